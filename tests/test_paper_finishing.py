"""The kill switch where nothing runs: the account of a killed session is emptied all the same."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from linear_sandboxes import PERP, glide, perpetuals
from paper_sessions import Run, keys
from sandbox_clients import exchange, spot_client, usdm_client, wavy

from seawall.action import Order
from seawall.cli.stopping import describe_left, find_told, finish_here
from seawall.observation import Observation
from seawall.paper.account_lock import AccountLock
from seawall.paper.errors import AccountLocked, NotReconciled, PaperError
from seawall.paper.finishing import finish
from seawall.paper.journal import PaperJournal
from seawall.paper.kill_switch import KillSwitch, Stopped, find_end
from seawall.paper.opening import Surroundings
from seawall.paper.parity import replay
from seawall.paper.places import JOURNAL, SWITCH, lock_folder
from seawall.paper.record import Record
from seawall.paper.status import read_status
from seawall.recipe import Recipe
from seawall.sandbox.server import Server, ServerThread
from seawall.units import MINUTE_MS

SYMBOL = "ETH/USDT"
FUTURES = Recipe.from_dict(
    {
        "name": "futures",
        "market": {
            "venue": "simulated", "symbols": [PERP], "timeframe": "1m", "since": "2025-01-01",
            "until": "2025-02-01", "warmup": "5m",
        },
        "account": {"cash": 10_000}, "agent": {"name": "agents.cash"},
        "strategy": {"name": "strategies.futures_trading"},
        "perpetual": {"leverage": 5, "margin": "cross"},
    }
)  # fmt: skip


class Holding:
    """An agent that buys one coin at its first bar, and has a bid that rests."""

    def __init__(self, symbol: str) -> None:
        self.symbol, self.n = symbol, 0

    def decide(self, _observation: Observation) -> list[Order] | None:
        """Buy once."""
        self.n += 1
        buy = Order(symbol=self.symbol, side="buy", quantity=1.0)
        bid = Order(symbol=self.symbol, side="buy", type="limit", quantity=0.1, limit_price=2_500.0)
        return [buy, bid] if self.n == 1 else None


@pytest.fixture
def spot(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerThread]:
    """Return an exchange for coins in the middle of a bar."""
    keys(monkeypatch)
    with ServerThread(Server(exchange(wavy(2_000)))) as made:
        made.step(100 * MINUTE_MS + 30_000)
        yield made


@pytest.fixture
def futures(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerThread]:
    """Return an exchange for contracts in the middle of a bar."""
    keys(monkeypatch)
    with ServerThread(Server(perpetuals(glide([3000.0, 3010.0], 600), futures=10_000.0))) as made:
        made.step(20 * MINUTE_MS + 30_000)
        yield made


def killed(run: Run, symbol: str) -> Run:
    """Run a session that holds a coin and has a bid; leave it without an end, as a kill does."""
    run.go(4, agent=Holding(symbol))
    with sqlite3.connect(run.plan.folder / JOURNAL) as database:
        database.execute("UPDATE sessions SET ended_ms = NULL, ended_why = NULL")
    database.close()
    found = read_status(run.plan.folder)
    assert not found.is_running
    assert found.holdings[symbol] > 0.9
    assert len(found.open_orders) == 1
    return run


def around(run: Run) -> Surroundings:
    """Return what a stop is given in a test."""
    return Surroundings(clock=run.clock, wait=lambda: run.thread.step(run.step_ms), has_wall=False)


def test_a_killed_spot_session_is_flattened(spot: ServerThread, tmp_path: Path) -> None:
    """The bid is cancelled, the coin is sold, and the session has an end; the next start agrees."""
    run = killed(Run(spot, tmp_path, style="sandbox"), SYMBOL)
    KillSwitch(tmp_path / SWITCH).press("flatten")
    stopped = finish(tmp_path, "flatten", around=around(run))
    assert stopped.is_done
    assert stopped.text.startswith("sold: sell 100.999 ETH/USDT is filled")
    truth: Any = spot_client(spot)
    assert truth.fetch_balance()["total"]["ETH"] < 0.001
    assert truth.fetch_open_orders(SYMBOL) == []
    found = read_status(tmp_path)
    assert found.session.ended_why == "the kill switch says flatten"
    assert found.holdings[SYMBOL] < 0.001
    assert found.equity == pytest.approx(found.cash, rel=1e-5)  # dust beside it
    with PaperJournal(tmp_path / JOURNAL) as journal:
        assert journal.believed("balance")["USDT"] == pytest.approx(
            truth.fetch_balance()["total"]["USDT"], abs=1e-7
        )
        assert find_end(journal, found.session.number, "cancel") is not None
    with pytest.raises(PaperError, match="kill switch is on"):
        run.go(1)
    KillSwitch(tmp_path / SWITCH).release()
    assert run.go(2, agent=Holding(SYMBOL)) == "the session was to end now"


@pytest.mark.slow
def test_a_killed_futures_session_is_flattened(futures: ServerThread, tmp_path: Path) -> None:
    """The position is closed by an order that only reduces; wallet and journal agree after it."""
    run = Run(futures, tmp_path, style="sandbox", recipe=FUTURES)
    run.step_ms = MINUTE_MS
    killed(run, PERP)
    assert finish(tmp_path, "flatten", around=around(run)).is_done
    truth: Any = usdm_client(futures)
    assert truth.fetch_positions([PERP]) == []
    assert truth.fetch_open_orders(PERP) == []
    with PaperJournal(tmp_path / JOURNAL) as journal:
        assert journal.believed("position")[PERP] == pytest.approx(0.0)
        found = read_status(tmp_path)
        assert found.equity == pytest.approx(truth.fetch_balance()["USDT"]["total"], abs=0.01)
        assert found.gauges == {}
        last = journal.orders()[-1]
        assert (last.intent.reduce_only, last.state) == (True, "filled")
    assert run.go(2) == "the session was to end now"
    with PaperJournal(tmp_path / JOURNAL) as journal:
        assert journal.notes("difference") == []


def test_what_a_flattened_account_is_worth(spot: ServerThread, tmp_path: Path) -> None:
    """Sold within a bar: its equity is the account's, fees included, in status and replay."""
    run = Run(spot, tmp_path, style="sandbox")
    switch, end_ms = KillSwitch(tmp_path / SWITCH), run.clock() + 9 * MINUTE_MS // 2
    run.go(
        20,
        agent=Holding(SYMBOL),
        at_turn=lambda now: switch.press("flatten") if now >= end_ms else None,
    )
    truth: Any = spot_client(spot)
    cash = truth.fetch_balance()["total"]["USDT"]
    found = read_status(tmp_path)
    assert found.holdings[SYMBOL] < 0.001
    assert (found.equity, found.cash) == pytest.approx((cash, cash), rel=1e-5)
    with PaperJournal(tmp_path / JOURNAL) as journal:
        held = [equity for _, equity, _ in journal.values(1)]
        assert abs(cash - held[-1]) > 1.0
        assert (found.data_ms or 0) == journal.values(1)[-1][0]
        parity = replay(Record(journal), agent=Holding(SYMBOL))
    assert parity.equity == pytest.approx(cash, rel=1e-5)


def test_cancel_leaves_the_coin(spot: ServerThread, tmp_path: Path) -> None:
    """Only the bid is gone; what the session had done by itself is not done again."""
    run = killed(Run(spot, tmp_path, style="sandbox"), SYMBOL)
    assert finish(tmp_path, "cancel", around=around(run)) == Stopped(
        True, "all orders are cancelled"
    )
    found = read_status(tmp_path)
    assert found.holdings[SYMBOL] > 0.9
    assert found.open_orders == ()
    assert find_told(tmp_path, found, "cancel", ran=True) == "all orders are cancelled"
    assert find_told(tmp_path, found, "cancel", ran=False) == ""
    assert find_told(tmp_path, found, "flatten", ran=True) == ""


def test_a_foreign_trade_is_adopted_first(spot: ServerThread, tmp_path: Path) -> None:
    """Nothing is sold while belief and truth differ, unless the exchange's side is to be taken."""
    run = killed(Run(spot, tmp_path, style="sandbox"), SYMBOL)
    truth: Any = spot_client(spot)
    truth.create_order(SYMBOL, "market", "buy", 0.5)
    with pytest.raises(NotReconciled, match="--adopt"):
        finish(tmp_path, "flatten", around=around(run))
    assert truth.fetch_balance()["total"]["ETH"] > 101.4
    assert finish(tmp_path, "flatten", adopt=True, around=around(run)).is_done
    assert truth.fetch_balance()["total"]["ETH"] < 0.001


@pytest.mark.slow
def test_what_cannot_be_done_is_said(
    spot: ServerThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without keys, or while another holds the account: an error, with what is left."""
    run = killed(Run(spot, tmp_path, style="sandbox"), SYMBOL)
    found = read_status(tmp_path)
    left = "as last known it has left 100.999 ETH/USDT, the order buy 0.1 ETH/USDT limit at 2500"
    assert describe_left(found) == f"{left} (open)"
    venue = run.plan.venue
    name = found.session.setup.lock.removeprefix(f"{venue.name.replace(' ', '-')}-")
    with AccountLock(lock_folder(), venue, name), pytest.raises(AccountLocked):
        finish(tmp_path, "flatten", around=around(run))
    monkeypatch.delenv("LOCAL_SANDBOX_API_KEY")
    with pytest.raises(PaperError, match="no session has done flatten") as raised:
        finish_here(tmp_path, found, "flatten", adopt=False, keys=None, seconds=1.0)
    assert left in str(raised.value)
    truth: Any = spot_client(spot)
    assert truth.fetch_balance()["total"]["ETH"] > 100
    with sqlite3.connect(tmp_path / JOURNAL) as database:
        database.execute("UPDATE sessions SET setup = json_remove(setup, '$.place')")
    database.close()
    with pytest.raises(PaperError, match="--release, start the session again"):
        finish(tmp_path, "flatten", around=around(run))
