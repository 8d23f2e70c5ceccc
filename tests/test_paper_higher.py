"""Coarser candles of a session: the exchange's own, seen once they have closed, and replayed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paper_sessions import RECIPE, Run
from sandbox_clients import START_MS, bars, exchange, spot_client, wavy
from shadow_markets import CARRY, GUARD, HEDGE, LENT, run_in

from seawall.engine.feed import ArrayFeed, resample
from seawall.engine.run import play_once
from seawall.market.series import Candles
from seawall.paper.candles import Candle, CandleSource
from seawall.paper.coarse import CoarseBars
from seawall.paper.journal import PaperJournal
from seawall.paper.outcome import find_run, recorded_world
from seawall.paper.parity import Parity, replay
from seawall.paper.places import JOURNAL
from seawall.paper.plan import with_account
from seawall.paper.record import Record
from seawall.recipe import Recipe
from seawall.sandbox.server import Server, ServerThread
from seawall.strategy import AgentStrategy
from seawall.units import HOUR_MS, MINUTE_MS

ETH, BTC = wavy(2_000), wavy(2_000, "BTC/USDT", 60_000.0)
HIGHER = RECIPE.with_settings({"market.higher_timeframes": ["5m", "15m"], "market.warmup": "40m"})
PAIR = HIGHER.with_settings({"market.symbols": ["ETH/USDT", "BTC/USDT"]})
Row = tuple[float, ...]


class Watching(AgentStrategy):
    """A job that keeps what it is shown, by step: the coarse bars it has not seen before."""

    seen: ClassVar[list[tuple[int, str, Row]]] = []

    def next(self) -> None:
        """Look, then do what the job does."""
        super().next()
        for feed in self.datas[len(self.symbols) :]:
            if len(feed) > self._lengths.get(feed._name, 0):
                self._lengths[feed._name] = len(feed)
                row = tuple(float(line[0]) for line in (feed.open, feed.high, feed.low, feed.close))
                step_ms = self._clock_ms[self._step]
                self.seen.append((step_ms, feed._name, (*row, float(feed.volume[0]))))

    def __init__(self) -> None:
        super().__init__()
        self._lengths: dict[str, int] = {}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str, Row]]:
    """Return what the strategy of sessions and replays is shown."""
    for module in ("paper.session", "paper.plan", "engine.run"):
        monkeypatch.setattr(f"seawall.{module}.find_strategy", lambda _recipe: Watching)
    Watching.seen.clear()
    return Watching.seen


@pytest.fixture
def thread() -> Iterator[ServerThread]:
    """Return an exchange with two symbols in the middle of its hundredth bar."""
    with ServerThread(Server(exchange(ETH, BTC))) as made:
        made.step(100 * MINUTE_MS + 30_000)
        yield made


def compare(folder: Path) -> Parity:
    """Return the parity of the session of a folder."""
    with PaperJournal(folder / JOURNAL) as journal:
        return replay(Record(journal))


# The candles --------------------------------------------------------------------------------------


def fold(candles: Candles, timeframe: str) -> list[Candle]:
    """Return coarse candles, made one by one."""
    folder = CoarseBars(MINUTE_MS, {"5m": 5, "15m": 15, "1h": 60}[timeframe] * MINUTE_MS)
    names = Candle._fields[1:]
    columns = [getattr(candles, name).tolist() for name in names]
    rows = zip(candles.time_ms.tolist(), *columns, strict=True)
    return [coarse for row in rows for coarse in folder.add(Candle(*row))]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.booleans(), min_size=70, max_size=140).filter(any),
    st.sampled_from(["5m", "15m", "1h"]),
)
def test_folded_one_by_one_they_are_resampled(kept: list[bool], timeframe: str) -> None:
    """With gaps anywhere: equal to the bit to what the backtest makes of the whole series."""
    whole = wavy(len(kept))
    rows = [
        (whole.open[i], whole.high[i], whole.low[i], whole.close[i], whole.volume[i] / 3)
        for i in range(len(kept))
    ]
    made = bars(rows)
    mask = np.array(kept)
    names = ("time_ms", "open", "high", "low", "close", "volume")
    candles = Candles(key=made.key, **{name: getattr(made, name)[mask] for name in names})
    expected = resample(candles, timeframe)
    found = fold(candles, timeframe)
    for place, name in enumerate(names):
        assert [row[place] for row in found] == getattr(expected, name).tolist()


def test_a_bar_is_shown_with_the_first_finer_one_that_tells_it_is_over() -> None:
    """Minutes 0-4 and 11: the bar of 0-4 is shown at its end; those of minutes 5-9 there are none.
    Of minutes 0-3, 9, 14: the bar of 0-4 waits for minute 9, that of 5-9 for minute 14.
    """  # noqa: D205
    whole = wavy(15)

    def shown(minutes: list[int]) -> list[int]:
        rows = np.array(minutes)
        names = ("time_ms", "open", "high", "low", "close", "volume")
        fine = Candles(key=whole.key, **{name: getattr(whole, name)[rows] for name in names})
        feed = ArrayFeed(resample(fine, "5m"))
        feed.show_with(fine)
        return [int(stamp - START_MS) // MINUTE_MS for stamp in feed.shown_ms]

    assert shown([0, 1, 2, 3, 4, 11]) == [5]
    assert shown([0, 1, 2, 3, 9, 14]) == [10, 15]


# The session --------------------------------------------------------------------------------------


def test_they_are_the_exchange_s_own_and_seen_when_closed(
    thread: ServerThread, tmp_path: Path, seen: list[tuple[int, str, Row]]
) -> None:
    """Over the warm-up and 40 bars: each coarse bar is what the exchange lists for it, at the step
    at which it has closed, none is missing; decisions and fills are the replay's.
    """  # noqa: D205
    Run(thread, tmp_path, recipe=PAIR).go(40)
    client: Any = spot_client(thread)
    for symbol in ("ETH/USDT", "BTC/USDT"):
        for timeframe, minutes in (("5m", 5), ("15m", 15)):
            listed = client.fetch_ohlcv(symbol, timeframe, START_MS, 500)
            truth = {row[0] + minutes * MINUTE_MS: row[1:6] for row in listed}
            found = {step: row for step, name, row in seen if name == f"{symbol} {timeframe}"}
            assert len(found) >= 70 // minutes - 1
            assert sorted(found) == list(range(min(found), max(found) + 1, minutes * MINUTE_MS))
            for step_ms, row in found.items():
                assert row == pytest.approx(tuple(truth[step_ms]), rel=1e-12)
    assert compare(tmp_path).agrees


def test_a_replay_shows_the_same_at_the_same_steps(
    thread: ServerThread, tmp_path: Path, seen: list[tuple[int, str, Row]]
) -> None:
    """To the bit, after three starts of the session; a restart shows the recorded ones again."""
    run = Run(thread, tmp_path, recipe=HIGHER)
    for _ in range(3):
        seen.clear()
        run.go(12)
    live = list(seen)
    seen.clear()
    with PaperJournal(tmp_path / JOURNAL) as journal:
        record = Record(journal)
        found = find_run(record)
        world = recorded_world(record, found)
        play_once(world, with_account(found.recipe, found.setup), _Idle())
    assert len(live) > 15
    assert seen == live
    assert compare(tmp_path).agrees


@pytest.mark.parametrize(
    "of",
    [GUARD, *(pytest.param(one, marks=pytest.mark.slow) for one in (CARRY, LENT, HEDGE))],
    ids=["perpetual", "carry", "loan", "hedged loan"],
)
def test_every_venue_takes_them(tmp_path: Path, of: Recipe) -> None:
    """Two starts on falling prices: fills, funding and liquidations are the replay's."""
    recipe = of.with_settings({"market.higher_timeframes": ["5m"]})
    run_in(tmp_path, recipe, 10, 10)
    parity = compare(tmp_path)
    assert parity.agrees
    assert parity.equity == pytest.approx(parity.replayed_equity, rel=1e-12)


class _Idle:
    """An agent that does nothing."""

    def decide(self, _observation: Any) -> None:
        """Leave things as they are."""


def test_a_sandbox_values_a_coin_once(
    thread: ServerThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The feeds of coarser bars hold nothing: the equity is the account's, the fills are sent."""
    from paper_sessions import keys  # noqa: PLC0415 - the other tests need none

    keys(monkeypatch)
    Run(thread, tmp_path, recipe=HIGHER, style="sandbox").go(15)
    truth: Any = spot_client(thread)
    total = truth.fetch_balance()["total"]
    with PaperJournal(tmp_path / JOURNAL) as journal:
        stamp_ms, equity, cash = journal.values(1)[-1]
        row = int((stamp_ms - START_MS) // MINUTE_MS) - 1
        assert len(journal.fills()) > 2
        assert equity == pytest.approx(cash + total["ETH"] * ETH.close[row], rel=1e-9)


def test_late_finer_candles_make_the_same_bar(
    thread: ServerThread,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seen: list[tuple[int, str, Row]],
) -> None:
    """One symbol's candles stay away over the end of a bar: it is seen later, and whole."""
    real, clock = CandleSource.fresh, thread.server.exchange.clock.now_ms

    def fresh(self: CandleSource) -> list[Candle]:
        is_away = ETH.close_ms[103] <= clock() < ETH.close_ms[105]
        return [] if is_away and self.symbol == "BTC/USDT" else real(self)

    monkeypatch.setattr(CandleSource, "fresh", fresh)
    Run(thread, tmp_path, recipe=PAIR).go(14)
    truth = resample(BTC, "5m")
    closed = dict(zip(truth.close_ms.tolist(), truth.close.tolist(), strict=True))
    rows = [(step, row) for step, name, row in seen if name == "BTC/USDT 5m"]
    late = [(step, row) for step, row in rows if step not in closed]
    assert len(late) == 1
    assert late[0][1][3] == closed[late[0][0] // (5 * MINUTE_MS) * 5 * MINUTE_MS]
    assert len(rows) == len({row for _, row in rows})


def test_a_gap_at_a_bar_s_end_does_not_lose_a_step() -> None:
    """A backtest with holes at the ends of coarse bars: as many steps as finer bars, the same
    decisions as without coarser bars.
    """  # noqa: D205
    from seawall.engine.world import World  # noqa: PLC0415

    whole = wavy(300)
    mask = np.ones(300, dtype=bool)
    mask[[99, 100, 101, 124, 129, 209]] = False
    names = ("time_ms", "open", "high", "low", "close", "volume")
    candles = Candles(key=whole.key, **{name: getattr(whole, name)[mask] for name in names})
    plain = Recipe.from_dict({
        "market": {"venue": "test", "symbols": ["ETH/USDT"], "timeframe": "1m",
                   "since": "2024-08-05T01:00", "until": "2024-08-05T05:00", "warmup": "1h"},
        "agent": {"name": "agents.sma_cross", "fast": 2, "slow": 5},
    })  # fmt: skip

    def play(*higher: str) -> Any:
        recipe = plain.with_settings({"market.higher_timeframes": list(higher)})
        world = World(
            candles={"ETH/USDT": candles}, signals={}, filters={},
            higher=tuple(("ETH/USDT", resample(candles, one)) for one in higher),
            since_ms=START_MS + HOUR_MS, until_ms=START_MS + 5 * HOUR_MS,
            clock_ms=candles.close_ms,
        )  # fmt: skip
        from seawall.engine.components import make_agent  # noqa: PLC0415

        return play_once(world, recipe, make_agent(recipe))

    alone, beside = play(), play("5m", "15m")
    assert beside.fills == alone.fills
    assert beside.n_decisions == alone.n_decisions
    assert beside.curve.equity.tolist() == alone.curve.equity.tolist()
