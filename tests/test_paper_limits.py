"""Limits and the kill switch: out of the agent's reach, and stronger than it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paper_desk import MARKET, RESTING, SYMBOL, Desk
from sandbox_clients import exchange, wavy

from seawall.errors import RecipeError
from seawall.paper.errors import PaperError
from seawall.paper.journal import PaperJournal
from seawall.paper.kill_switch import KillSwitch, Order, carry_out
from seawall.paper.limits import Exposure, LimitKeeper, Limits, Pulse, is_reducing
from seawall.paper.order import OrderIntent
from seawall.sandbox.server import Server, ServerThread
from seawall.units import DAY_MS, MINUTE_MS

BUY = OrderIntent(client_id="x", symbol=SYMBOL, side="buy", type="market", quantity=1.0)
SELL = replace(BUY, side="sell")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[PaperJournal]:
    """Return a journal with a session in it."""
    with PaperJournal(tmp_path / "journal") as one:
        one.begin_session(0, venue="v", recipe="r")
        yield one


def keeper(journal: PaperJournal, **limits: Any) -> LimitKeeper:
    """Return a keeper of these limits and no others."""
    none = dict.fromkeys(Limits.__dataclass_fields__)
    return LimitKeeper(Limits(**{**none, **limits}), journal)


def test_an_order_s_size_is_limited(journal: PaperJournal) -> None:
    """1 at 100 is 100 > 99: refused; the higher of limit and market price counts."""
    one = keeper(journal, max_order=100.0)
    assert one.check_order(BUY, Exposure(100.0, 0.0), 0) is None
    breach = one.check_order(BUY, Exposure(100.1, 0.0), 0)
    assert breach is not None
    assert (breach.limit, breach.consequence) == ("max_order", "refuse")
    assert one.check_order(replace(BUY, price=101.0), Exposure(100.0, 0.0), 0) is not None
    assert one.check_order(BUY, Exposure(float("nan"), 0.0), 0) is not None


def test_a_position_is_limited_with_its_open_orders(journal: PaperJournal) -> None:
    """Held 1, resting 1, wanted 1 at 100: 300 > 250; a short counts as much."""
    one = keeper(journal, max_position=250.0)
    assert one.check_order(BUY, Exposure(100.0, 1.0, 0.5), 0) is None
    assert one.check_order(BUY, Exposure(100.0, 1.0, 1.0), 0) is not None
    assert one.check_order(SELL, Exposure(100.0, -2.0, 0.0), 0) is not None


def test_what_reduces_passes(journal: PaperJournal) -> None:
    """A position that is too large may be closed, but not turned around."""
    one = keeper(journal, max_order=1.0, max_position=1.0, max_orders_per_minute=1)
    one.note_sent(0)
    assert one.check_order(SELL, Exposure(100.0, 1.0), 1) is None
    assert one.check_order(replace(SELL, reduce_only=True), Exposure(100.0, 0.0), 1) is None
    assert one.check_order(SELL, Exposure(100.0, 0.5), 1) is not None
    assert one.check_order(SELL, Exposure(100.0, 1.0, 0.5), 1) is not None


@settings(deadline=None, max_examples=100)
@given(st.floats(-5, 5), st.floats(0.01, 5), st.floats(0, 5), st.sampled_from(["buy", "sell"]))
def test_reducing_never_grows_a_position(
    held: float, quantity: float, resting: float, side: Any
) -> None:
    """What counts as reducing leaves a smaller position on the same side, with all that rests."""
    intent = replace(BUY, side=side, quantity=quantity)
    if is_reducing(intent, Exposure(100.0, held, resting)):
        sign = 1.0 if side == "buy" else -1.0
        after = held + sign * (quantity + resting)
        assert abs(after) < abs(held)
        assert after * held >= -1e-9


def test_orders_per_minute(journal: PaperJournal) -> None:
    """Two in a minute; the third waits until the first is a minute old; restarts count on."""
    one, free = keeper(journal, max_orders_per_minute=2), Exposure(100.0, 0.0)
    for time_ms in (0, 10):
        assert one.check_order(BUY, free, time_ms) is None
        one.note_sent(time_ms)
        journal.intend(replace(BUY, client_id=journal.new_client_id()), time_ms)
    assert one.check_order(BUY, free, MINUTE_MS - 1) is not None
    assert keeper(journal, max_orders_per_minute=2).check_order(BUY, free, 20) is not None
    assert one.check_order(BUY, free, MINUTE_MS) is None


def test_losses_are_counted_over_restarts(journal: PaperJournal) -> None:
    """From 120 to 90 is 25 %: past a drawdown of 0.2, in this session and in the next."""
    one = keeper(journal, max_drawdown=0.2)
    assert one.check_equity(100.0, 0) is None
    assert one.check_equity(120.0, 1) is None
    assert one.check_equity(97.0, 2) is None
    assert one.distances(108.0, 3)["max_drawdown"] == pytest.approx(0.5)
    again = keeper(journal, max_drawdown=0.2)
    breach = again.check_equity(90.0, 4)
    assert breach is not None
    assert (breach.limit, breach.consequence) == ("max_drawdown", "halt")
    assert again.distances(90.0, 4)["max_drawdown"] == 0.0


def test_a_day_s_loss_begins_anew_at_midnight(journal: PaperJournal) -> None:
    """100 to 89 is 11 % of a day's 10 %; the next day begins at 89."""
    one = keeper(journal, max_daily_loss=0.1)
    assert one.check_equity(100.0, DAY_MS - 10) is None
    breach = one.check_equity(89.0, DAY_MS - 5)
    assert breach is not None
    assert breach.limit == "max_daily_loss"
    assert one.check_equity(89.0, DAY_MS) is None
    assert keeper(journal, max_daily_loss=0.1).check_equity(80.0, DAY_MS + 1) is not None


def test_an_account_with_nothing_left_halts(journal: PaperJournal) -> None:
    """Zero and below are a full loss, not a division by zero."""
    one = keeper(journal, max_drawdown=0.5, max_daily_loss=0.5)
    assert one.check_equity(0.0, 0) is not None
    assert one.check_equity(-1.0, 1) is not None


@pytest.mark.parametrize(
    ("pulse", "limit", "consequence"),
    [
        (Pulse(1_000, 10_000, 0), "max_data_age_ms", "pause"),
        (Pulse(10_000, 1_000, 0), "max_silence_ms", "halt"),
        (Pulse(10_000, 10_000, 501), "max_clock_skew_ms", "pause"),
        (Pulse(10_000, 10_000, -501), "max_clock_skew_ms", "pause"),
    ],
)
def test_signs_of_life(journal: PaperJournal, pulse: Pulse, limit: str, consequence: str) -> None:
    """Stale data and a wrong clock pause, a silent agent halts; at the limit nothing happens."""
    one = keeper(journal, max_data_age_ms=500, max_silence_ms=500, max_clock_skew_ms=500)
    breach = one.check_pulse(pulse, 10_000)
    assert breach is not None
    assert (breach.limit, breach.consequence) == (limit, consequence)
    assert one.check_pulse(Pulse(9_500, 9_500, -500), 10_000) is None
    assert one.check_pulse(Pulse(None, None, None), 10_000) is None


@pytest.mark.parametrize("bad", [0, -1.0, float("nan")])
@pytest.mark.parametrize("name", list(Limits.__dataclass_fields__))
def test_limits_are_positive(name: str, bad: float) -> None:
    """Zero is no limit and no trade: it is refused."""
    with pytest.raises(RecipeError, match=name):
        Limits(**{name: bad})  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="share"):
        Limits(max_drawdown=1.5)


# The kill switch --------------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Return a desk on an exchange whose clock is stepped."""
    with ServerThread(Server(exchange(wavy(600)))) as thread:
        thread.step(5 * MINUTE_MS)
        one = Desk(thread, tmp_path / "journal")
        yield one
        one.journal.close()


def obey(desk: Desk, order: Order) -> str:
    """Carry out an order, again until it is done, as a session does; return what was said."""
    for _ in range(6):
        stopped = carry_out(order, desk.client, [SYMBOL], market="spot")
        if stopped.is_done:
            return stopped.text
        desk.thread.step(20_000)
    return "not done: " + stopped.text


def test_the_file_is_the_switch(tmp_path: Path) -> None:
    """Pressed, read, released; a session does not begin while it is on; nonsense means cancel."""
    switch = KillSwitch(tmp_path / "stop")
    assert switch.read() is None
    switch.check_released()
    for order in ("stop", "cancel", "flatten"):
        switch.press(order)
        assert KillSwitch(tmp_path / "stop").read() == order
    with pytest.raises(PaperError, match="kill switch is on"):
        switch.check_released()
    (tmp_path / "stop").write_bytes(b"\xff what")
    assert switch.read() == "cancel"
    switch.release()
    assert switch.read() is None


def test_an_unreadable_file_means_cancel(tmp_path: Path) -> None:
    """Something is there: the session ends."""
    (tmp_path / "stop").mkdir()
    assert KillSwitch(tmp_path / "stop").read() == "cancel"


@pytest.mark.skipif(os.name != "posix", reason="the signals are POSIX's")
def test_signals_press_it(tmp_path: Path) -> None:
    """SIGTERM stops, a stronger one after it wins, a weaker one does not."""
    text = (
        "import os, signal, sys; from pathlib import Path\n"
        "from seawall.paper.kill_switch import KillSwitch\n"
        "switch = KillSwitch(Path(sys.argv[1])); switch.listen()\n"
        "for name in ('SIGTERM', 'SIGUSR2', 'SIGUSR1'):\n"
        "    os.kill(os.getpid(), getattr(signal, name)); print(switch.read())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", text, str(tmp_path / "stop")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["stop", "flatten", "flatten"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_stop_leaves_everything(desk: Desk) -> None:
    """Orders stay open."""
    desk.place(RESTING)
    assert "stays open" in obey(desk, "stop")
    assert len(desk.client.open_orders(SYMBOL)) == 1


def test_cancel_cancels_everything(desk: Desk) -> None:
    """Ours that are open, and one of which it was not known whether it arrived."""
    desk.place(RESTING)
    desk.strike(stage="after", is_drop=True)
    desk.place(RESTING)
    assert obey(desk, "cancel") == "all orders are cancelled"
    desk.check(n_orders=2)
    assert [one.state for one in desk.journal.orders()] == ["cancelled", "cancelled"]


def test_flatten_sells_everything(desk: Desk) -> None:
    """100 ETH at the start and what was bought: all of it sold, down to dust."""
    desk.place()
    desk.place(RESTING)
    assert obey(desk, "flatten").startswith("flat")
    truth: Any = desk.truth
    assert truth.fetch_balance()["total"]["ETH"] * 3000 < 10
    desk.settle()
    assert desk.journal.orders("open") == []


@pytest.mark.parametrize("stage", ["before", "after"])
def test_flatten_through_faults(desk: Desk, stage: str) -> None:
    """Cancels and sales whose answers are lost: done again where needed, sold once."""
    desk.place(RESTING)
    desk.strike(method="DELETE", stage=stage, is_drop=True)
    desk.strike(method="POST", stage=stage, is_drop=True)
    assert obey(desk, "flatten").startswith("flat")
    desk.settle()
    truth: Any = desk.truth
    trades = truth.fetch_my_trades(SYMBOL)
    sold = sum(one["amount"] for one in trades if one["side"] == "sell")
    assert sold == pytest.approx(100.0, abs=0.01)
    assert {one["order"] for one in trades} <= {one.exchange_id for one in desk.journal.orders()}


def test_a_foreign_order_is_not_called_done(desk: Desk) -> None:
    """What is not ours is not cancelled, and the switch says so."""
    truth: Any = desk.truth
    truth.create_order(SYMBOL, "limit", "buy", 0.5, 1200.0, {"clientOrderId": "byhand"})
    assert "byhand" in obey(desk, "cancel")


def test_the_exchange_is_silent(desk: Desk) -> None:
    """Not done, said so, and done when it answers again."""
    desk.place(MARKET)
    desk.place(RESTING)
    desk.strike(method="", path="/api", status=503, body="<html></html>", n=0)
    assert not carry_out("cancel", desk.client, [SYMBOL], market="spot").is_done
    desk.thread.call(desk.thread.server.faults.clear)
    assert obey(desk, "cancel") == "all orders are cancelled"
