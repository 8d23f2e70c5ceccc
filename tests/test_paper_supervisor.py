"""The supervisor: what stops a session, and that it is stopped at the exchange too."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paper_desk import RESTING, SYMBOL, Desk
from sandbox_clients import exchange, wavy

from seawall.paper.kill_switch import KillSwitch
from seawall.paper.limits import LimitKeeper, Limits, Pulse
from seawall.paper.supervisor import Supervisor, Watch
from seawall.sandbox.server import Server, ServerThread
from seawall.units import MINUTE_MS


class Bench:
    """A desk with a supervisor, and what it is shown."""

    def __init__(self, desk: Desk, file: Path) -> None:
        self.desk, self.switch = desk, KillSwitch(file)
        self.equity, self.data_ms, self.agent_ms = 100.0, desk.clock(), desk.clock()
        limits = Limits(max_drawdown=0.2, max_data_age_ms=10 * MINUTE_MS, max_silence_ms=10**9)
        self.supervisor = Supervisor(
            desk.client,
            LimitKeeper(limits, desk.journal),
            self.switch,
            symbols=[SYMBOL],
            market="spot",
            equity=lambda: self.equity,
            pulse=lambda: Pulse(self.data_ms, self.agent_ms, None),
            watch=Watch(check_ms=MINUTE_MS),
        )

    def turns(self, n: int = 1) -> Supervisor:
        """Turn, a minute apart; data are fresh."""
        for _ in range(n):
            self.desk.thread.step(MINUTE_MS)
            self.data_ms = self.desk.clock()
            self.supervisor.turn()
        return self.supervisor


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Return a supervised desk with a resting order."""
    with ServerThread(Server(exchange(wavy(600)))) as thread:
        thread.step(5 * MINUTE_MS)
        desk = Desk(thread, tmp_path / "journal")
        desk.place(RESTING)
        yield Bench(desk, tmp_path / "stop")
        desk.journal.close()


def n_open(bench: Bench) -> int:
    """Return how many orders the exchange has open."""
    return len(bench.desk.client.open_orders(SYMBOL))


def test_a_calm_session_goes_on(bench: Bench) -> None:
    """Nothing is wrong: no refusal, orders stay."""
    assert bench.turns(5).refusal == ""
    assert n_open(bench) == 1


def test_a_loss_ends_it(bench: Bench) -> None:
    """20 % below the highest: everything is cancelled, nothing new is sent, for good."""
    bench.turns()
    bench.equity = 79.0
    supervisor = bench.turns()
    assert "max_drawdown" in supervisor.refusal
    assert supervisor.is_over
    assert n_open(bench) == 0
    bench.equity = 200.0
    assert bench.turns(3).refusal


def test_an_unknown_equity_is_no_loss(bench: Bench) -> None:
    """Before the first price the account has no value: no limit is touched by it."""
    bench.equity = float("nan")
    assert bench.turns(2).refusal == ""


def test_stale_data_pause_it(bench: Bench) -> None:
    """Nothing new for ten minutes; it goes on when data come again."""
    bench.turns()
    bench.desk.thread.step(11 * MINUTE_MS)
    bench.supervisor.turn()
    assert "max_data_age_ms" in bench.supervisor.paused
    assert bench.supervisor.ending == ""
    assert bench.turns().refusal == ""
    assert n_open(bench) == 1


@pytest.mark.parametrize("order", ["stop", "cancel", "flatten"])
def test_the_switch_ends_it(bench: Bench, order: Any) -> None:
    """Whatever the file says is done, and confirmed by the exchange."""
    bench.turns()
    bench.switch.press(order)
    assert order in bench.turns(3).ending
    assert bench.supervisor.is_over
    assert n_open(bench) == (1 if order == "stop" else 0)
    truth: Any = bench.desk.truth
    left = truth.fetch_balance()["total"]["ETH"]
    assert left == (pytest.approx(0.0, abs=0.01) if order == "flatten" else 100.0)


def test_a_stronger_order_wins_later(bench: Bench) -> None:
    """The exchange is silent while it is told to cancel; told to flatten meanwhile, it does."""
    bench.turns()
    bench.desk.strike(method="", path="/api", status=503, body="<html></html>", n=0)
    bench.switch.press("cancel")
    assert not bench.turns(2).is_over
    bench.switch.press("flatten")
    assert not bench.turns(2).is_over
    bench.desk.thread.call(bench.desk.thread.server.faults.clear)
    assert bench.turns(4).is_over
    truth: Any = bench.desk.truth
    assert truth.fetch_balance()["total"]["ETH"] == pytest.approx(0.0, abs=0.01)


def test_a_difference_pauses_and_then_ends_it(bench: Bench) -> None:
    """An order by hand: at once nothing new is sent; three looks later the session ends."""
    bench.turns()
    truth: Any = bench.desk.truth
    truth.create_order(SYMBOL, "limit", "buy", 0.5, 1200.0, {"clientOrderId": "byhand"})
    assert "foreign order byhand" in bench.turns().paused
    assert bench.supervisor.ending == ""
    assert "differ for good" in bench.turns(2).ending
    assert not bench.supervisor.is_over  # what is not ours is not cancelled, and it is said
    assert "byhand" in bench.desk.journal.notes("ending")[-1].text


def test_a_difference_that_goes_away_is_forgiven(bench: Bench) -> None:
    """Cancelled by hand again before the third look: the session goes on."""
    bench.turns()
    truth: Any = bench.desk.truth
    made = truth.create_order(SYMBOL, "limit", "buy", 0.5, 1200.0, {"clientOrderId": "byhand"})
    assert bench.turns(2).paused
    truth.cancel_order(made["id"], SYMBOL)
    assert bench.turns(3).refusal == ""


def test_a_silent_exchange_is_not_a_difference(bench: Bench) -> None:
    """Faults are noted; nothing is concluded from them."""
    bench.turns()
    bench.desk.strike(method="", path="/api", status=503, body="<html></html>", n=0)
    assert bench.turns(5).refusal == ""
    assert len(bench.desk.journal.notes("fault")) == 5
    bench.desk.thread.call(bench.desk.thread.server.faults.clear)
    assert bench.turns().refusal == ""


def test_a_wrong_clock_pauses_it(bench: Bench) -> None:
    """Five seconds off, measured at a look: nothing new until it is cured."""
    exchange_clock = bench.desk.clock
    bench.desk.client.clock = lambda: exchange_clock() + 5_000
    bench.turns(2)
    assert "max_clock_skew_ms" in bench.supervisor.paused
    bench.desk.client.clock = exchange_clock
    assert bench.turns(3).refusal == ""
