"""Why a replay differs: a candle that came late, a session that was away, an agent that slept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paper_sessions import RECIPE, Run, keys
from sandbox_clients import exchange, wavy

from seawall.agent import Decision, Wake
from seawall.observation import Observation
from seawall.paper.candles import Candle, CandleSource
from seawall.paper.journal import PaperJournal
from seawall.paper.kill_switch import KillSwitch
from seawall.paper.parity import Parity, replay
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
