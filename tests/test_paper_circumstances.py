"""Why a replay differs: a candle that came late, a session that was away, an agent that slept."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from paper_sessions import FREE, RECIPE, Run, keys
from sandbox_clients import exchange, wavy

from seawall.action import Order
from seawall.agent import Decision, Thinking, Wake
from seawall.observation import Observation
from seawall.paper.candles import Candle, CandleSource
from seawall.paper.journal import PaperJournal
from seawall.paper.kill_switch import KillSwitch
from seawall.paper.limits import Limits
from seawall.paper.parity import FillPair, Parity, replay
from seawall.paper.places import JOURNAL, SWITCH
from seawall.paper.record import Record
from seawall.sandbox.server import Server, ServerThread
from seawall.units import MINUTE_MS

ETH, BTC = wavy(2_000), wavy(2_000, "BTC/USDT", 60_000.0)
PAIR = RECIPE.with_settings({"market.symbols": ["ETH/USDT", "BTC/USDT"]})


@pytest.fixture
def thread() -> Iterator[ServerThread]:
    """Return an exchange with two symbols in the middle of its hundredth bar."""
    with ServerThread(Server(exchange(ETH, BTC))) as made:
        made.step(100 * MINUTE_MS + 30_000)
        yield made


def compare(folder: Path, agent: Any) -> Parity:
    """Return the parity of the session of a folder."""
    with PaperJournal(folder / JOURNAL) as journal:
        return replay(Record(journal), agent=agent)


class _Follower:
    """An agent that holds what it has just seen rise, one symbol, by the minute."""

    def decide(self, observation: Observation) -> dict[str, float]:
        """Return the weight of the BTC by the last two closes it sees."""
        prices = observation.prices("BTC/USDT")
        return {"BTC/USDT": 0.9 if prices[-1] > prices[-2] else 0.1}


def test_a_late_candle_is_named(
    thread: ServerThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The BTC candles of two minutes came more than half a minute after their end: what was decided
    without them, and what was not filled in them, says so, by symbol, time and delay; every other
    difference follows from these.
    """  # noqa: D205 - one sentence, over several lines
    real, clock = CandleSource.fresh, thread.server.exchange.clock.now_ms

    def fresh(self: CandleSource) -> list[Candle]:
        is_away = ETH.close_ms[103] <= clock() < ETH.close_ms[105]
        return [] if is_away and self.symbol == "BTC/USDT" else real(self)

    monkeypatch.setattr(CandleSource, "fresh", fresh)
    Run(thread, tmp_path, recipe=PAIR).go(12, agent=_Follower())
    parity = compare(tmp_path, _Follower())
    decided = {pair.time_ms: pair.why for pair in parity.decisions if pair.why}
    assert min(decided) in (ETH.close_ms[103], ETH.close_ms[104])
    why = decided[min(decided)]
    assert "the candle of BTC/USDT that opened at 2024-08-05 01:43 came" in why
    assert "s after its end" in why
    assert "decided without it" in why
    late = [pair.why for pair in parity.fills if "no order is filled in a bar" in pair.why]
    assert late
    assert all("not reproducible" not in pair.why for pair in parity.differences)


def test_away_and_asleep_are_told_apart(thread: ServerThread, tmp_path: Path) -> None:
    """Five bars while nobody ran it; and five that the agent slept through, since it was woken by
    the bar before and asked for other things than in the replay.
    """  # noqa: D205
    run = Run(thread, tmp_path)
    run.go(4, agent=_Sleeper(0))
    thread.step(6 * MINUTE_MS)
    run.go(10, agent=_Sleeper(5))
    whys = [pair.why for pair in compare(tmp_path, _Sleeper(0)).decisions if pair.recorded is None]
    away = [why for why in whys if "it was away" in why]
    asleep = [why for why in whys if "the agent slept" in why]
    assert len(away) == 5
    assert len(asleep) == 8
    assert len(whys) == 13


@pytest.mark.parametrize("style", ["shadow", "sandbox"])
def test_what_the_kill_switch_sold_is_named(
    thread: ServerThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, style: Any
) -> None:
    """A replay holds on to it: nothing is filled there, and it is said who sold."""
    keys(monkeypatch)
    switch, begin = KillSwitch(tmp_path / SWITCH), thread.server.exchange.clock.now_ms()

    def at_turn(now: int) -> None:
        if now - begin > 4 * MINUTE_MS:
            switch.press("flatten")

    Run(thread, tmp_path, style=style).go(12, agent=_Holder(), at_turn=at_turn)
    parity = compare(tmp_path, _Holder())
    last = [pair for pair in parity.fills if pair.why][-1]
    assert last.replayed is None
    assert "the kill switch has closed the position" in last.why


class _Holder:
    """An agent that is all in."""

    def decide(self, _observation: Observation) -> float:
        """Hold."""
        return 1.0


class _Sleeper:
    """An agent that sleeps for some minutes after each answer, and keeps its own state."""

    def __init__(self, minutes: int) -> None:
        self.minutes = minutes

    def decide(self, _observation: Observation) -> Decision:
        """Sleep."""
        return Decision(wake=Wake(after_ms=self.minutes * MINUTE_MS) if self.minutes else None)

    def state(self) -> bytes:
        """Return nothing."""
        return b""

    def restore(self, _state: bytes) -> None:
        """Take nothing back."""


class _Late:
    """An agent that answers once, after two and a half bars, with an order.

    ``thinking``: what it says of that; a replay, in which nothing takes time, goes by it.
    """

    def __init__(self, step: Callable[[int], object], thinking: Thinking | None = None) -> None:
        self.step, self.thinking, self.n = step, thinking, 0

    def decide(self, _observation: Observation) -> Decision | None:
        """Buy at the first question."""
        self.n += 1
        if self.n > 1:
            return None
        self.step(_LATE_MS)
        order = Order(symbol="ETH/USDT", side="buy", quantity=1.0)
        return Decision(actions=(order,), thinking=self.thinking)


_LATE_MS = 5 * MINUTE_MS // 2
_THINKING = Thinking(n_calls=1, input_tokens=1, output_tokens=1, cost=0.0, latency_ms=_LATE_MS)


@pytest.fixture
def late(
    thread: ServerThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., FillPair]:
    """Return a function: the fills of such an agent's sandbox session, one with its replay's."""

    def play(limits: Limits = FREE, thinking: Thinking | None = None) -> FillPair:
        keys(monkeypatch)
        run = Run(thread, tmp_path, style="sandbox", limits=limits)
        run.go(8, agent=_Late(thread.step, thinking))
        (pair,) = compare(tmp_path, _Late(lambda _ms: None, thinking)).fills
        assert pair.bar_ms == ETH.close_ms[100]
        return pair

    return play


@pytest.mark.parametrize("thinking", [None, _THINKING], ids=["silent", "told"])
def test_an_order_that_left_late_is_one_fill_with_its_reason(
    late: Callable[..., FillPair], thinking: Thinking | None
) -> None:
    """Decided at one bar, sent in the third: one row, and what the price differs by is latency."""
    pair = late(thinking=thinking)
    assert pair.recorded is not None
    assert pair.replayed is not None
    assert "latency: filled 150.0 s after it" in pair.why
    assert "of it latency" in pair.why
    assert "nothing" not in pair.why


def test_a_refusal_that_came_late_is_the_reason(late: Callable[..., FillPair]) -> None:
    """Decided at one bar, refused in the third: the replay's fill has the limit beside it."""
    pair = late(replace(FREE, max_order=500.0))
    assert pair.recorded is None
    assert pair.why.startswith("refused: max_order")


def test_a_journal_without_the_decisions_of_orders_is_read(
    late: Callable[..., FillPair], tmp_path: Path
) -> None:
    """One of an earlier version: an order counts for the bar in which it was sent."""
    late()
    with PaperJournal(tmp_path / JOURNAL) as journal, journal.transaction() as database:
        database.execute("UPDATE orders SET intent = json_remove(intent, '$.decided_ms')")
    bars = [pair.bar_ms for pair in compare(tmp_path, _Late(lambda _ms: None)).fills]
    assert bars == [ETH.close_ms[100], ETH.close_ms[102]]
