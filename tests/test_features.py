"""Features: the same at once and one by one, blind to the future, worked out by hand."""

from dataclasses import dataclass, replace
from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.errors import AgentError, RecipeError
from seawall.features import Bars, FeatureSet, candles, feature_set
from seawall.features.bars import KnownValues
from seawall.features.candles import CANDLE_FEATURES, CandleFeature
from seawall.features.signals import SIGNAL_FEATURES
from seawall.market.series import Candles, FloatArray, SeriesKey, Signal
from seawall.observation import Observation, SignalWindow, Window
from seawall.units import DAY_MS, HOUR_MS

SYMBOL, MOOD = "ETH/USDT", "test/mood/1d"
NAMES = (
    "return_1", "return_7", "volatility_2", "volatility_20", "rsi_1", "rsi_9", "range_1", "range_8",
    "position_5", "distance_1", "distance_12", "drawdown_6", "volume_1", "volume_11", "skewness_10",
    "hour_sine", "hour_cosine", "weekday_sine", "weekday_cosine", "hours_to_funding",
    f"value:{MOOD}", f"change_1:{MOOD}", f"growth_2:{MOOD}", f"score_3:{MOOD}", f"age:{MOOD}",
)  # fmt: skip
N_BARS = 150


@dataclass(frozen=True)
class World:
    """Candles and one signal."""

    series: Candles
    mood: Signal

    @property
    def bars(self) -> Bars:
        """All of it, as features take it."""
        one = self.series
        order = np.argsort(self.mood.known_ms, kind="stable")
        mood = KnownValues(self.mood.known_ms[order], self.mood.value[order])
        return Bars(
            close_ms=one.close_ms,
            open=one.open,
            high=one.high,
            low=one.low,
            close=one.close,
            volume=one.volume,
            signals={MOOD: mood},
        )

    def observe(self, n_bars: int, *, at_open: bool = False) -> Observation:
        """Return what is seen once ``n_bars`` have closed; at the open, one open more."""
        window, mood = Window(self.series), SignalWindow(self.mood)
        is_more = at_open and n_bars < len(self.series)
        window.reveal(n_bars, n_bars + is_more)
        now_ms = int(self.series.close_ms[n_bars - 1]) if n_bars else 0
        mood.reveal_until(now_ms)
        return Observation(
            time_ms=now_ms,
            windows={SYMBOL: window},
            signals={MOOD: mood},
            cash=1.0,
            equity=1.0,
            quantities={},
            at_open=at_open,
        )


def make_world(seed: int, n_bars: int = N_BARS, *, is_still: bool = False) -> World:
    """Return a market with holes and a signal that comes late, falls silent and speaks again."""
    rng = np.random.default_rng(seed)
    steps = 1 + (rng.random(n_bars) < 0.1) * rng.integers(0, 30, n_bars)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.0 if is_still else 0.02, n_bars)))
    opened = np.concatenate([[100.0], close[:-1]])
    spread = 0.0 if is_still else 0.01
    series = Candles(
        key=SeriesKey("candles", "test", SYMBOL, "1h"),
        time_ms=HOUR_MS * np.cumsum(steps),
        open=opened,
        high=np.maximum(opened, close) * (1 + spread * rng.random(n_bars)),
        low=np.minimum(opened, close) * (1 - spread * rng.random(n_bars)),
        close=close,
        volume=np.where(rng.random(n_bars) < 0.2, 0.0, rng.random(n_bars)),
    )
    days = DAY_MS * np.sort(rng.choice(np.arange(20), size=9, replace=False))
    late = rng.integers(0, 2 * DAY_MS, 9)
    mood = Signal(
        key=SeriesKey("signal", "test", "mood", "1d"),
        time_ms=days,
        known_ms=days + DAY_MS + late,
        value=np.where(rng.random(9) < 0.3, 50.0, rng.normal(50, 20, 9)),
    )
    return World(series, mood)


def scramble(world: World, seed: int, t_ms: int) -> World:
    """Return a world that is the same until ``t_ms`` and another one afterwards."""
    other, one = make_world(seed + 1_000), world.series
    n = int(np.searchsorted(one.close_ms, t_ms, "right"))

    def join(name: str) -> FloatArray:
        return np.concatenate([getattr(one, name)[:n], 3 * getattr(other.series, name)[n:]])

    changed = replace(
        one,
        open=join("open"),
        high=join("high"),
        low=join("low"),
        close=join("close"),
        volume=join("volume"),
    )
    value = np.where(world.mood.known_ms <= t_ms, world.mood.value, -7.0)
    return World(changed, replace(world.mood, value=value))


def same(one: FloatArray, other: FloatArray, tolerance: float = 0.0) -> bool:
    """Return whether two arrays are equal, nan where nan, relative to their size."""
    return bool(np.allclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True))


def test_every_feature_is_among_those_tested() -> None:
    """The properties below hold for what they are tried on: for all there are."""
    tried = {name.partition(":")[0].rstrip("0123456789").rstrip("_") for name in NAMES}
    assert tried == {*CANDLE_FEATURES, *SIGNAL_FEATURES, "age"}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), place=st.integers(1, N_BARS))
def test_the_newest_row_is_the_row_of_the_table(seed: int, place: int) -> None:
    """Whether all history is at hand or just what an observation shows, the numbers are the same.

    At the open the bar that is about to trade adds nothing.
    """
    world, features = make_world(seed), FeatureSet(NAMES)
    table = features.table(world.bars)
    for at_open in (False, True):
        seen = Bars.of(world.observe(place, at_open=at_open), SYMBOL, HOUR_MS)
        assert len(seen) == place
        assert same(features.latest(seen), table[place - 1], 1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), place=st.integers(1, N_BARS - 1))
def test_the_future_changes_nothing(seed: int, place: int) -> None:
    """Cut off or scrambled after t, the rows up to t stay the same to the bit."""
    world, features = make_world(seed), FeatureSet(NAMES)
    t_ms = int(world.series.close_ms[place - 1])
    table = features.table(world.bars)[:place]
    other = scramble(world, seed, t_ms)
    assert np.array_equal(features.table(other.bars)[:place], table, equal_nan=True)
    cut = World(world.series.between(None, t_ms), world.mood)
    assert np.array_equal(
        features.table(cut.bars)[:place], table[: len(cut.series)], equal_nan=True
    )


def test_a_planted_look_ahead_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A centred window, of the kind that creeps in, differs as soon as the future does."""

    def centred(bars: Bars, n: int, n_rows: int) -> FloatArray:
        return np.convolve(bars.close, np.ones(n) / n, mode="same")[len(bars) - n_rows :]

    monkeypatch.setitem(CANDLE_FEATURES, "peek", CandleFeature(compute=centred))
    features, world = FeatureSet(["peek_5"]), make_world(1)
    t_ms = int(world.series.close_ms[99])
    table = features.table(world.bars)[:100]
    other = features.table(scramble(world, 1, t_ms).bars)[:100]
    assert not same(table, other, 1e-9)
    assert not same(features.latest(world.bars.last(100)), table[-1], 1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_a_market_that_stands_still_gives_finite_numbers(seed: int) -> None:
    """Nothing is divided by a spread of rounding: what there are bars enough for is a number."""
    world = make_world(seed, is_still=True)
    names = [name for name in NAMES if ":" not in name and not name.startswith("volume")]
    table = FeatureSet(names).table(world.bars)
    assert np.isfinite(table[30:]).all()
    assert np.abs(table).max(where=np.isfinite(table), initial=0.0) < 10


def test_no_bar_at_all_is_no_error() -> None:
    """Before the first bar all is unknown."""
    features = FeatureSet(NAMES)
    none = Bars.of(make_world(1).observe(0), SYMBOL, HOUR_MS)
    assert np.isnan(features.latest(none)).all()
    assert features.table(none).shape == (0, len(NAMES))


def test_long_windows_are_computed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for seven rows or less at once, the numbers are the same to the bit."""
    world, features = make_world(2), FeatureSet(NAMES)
    table = features.table(world.bars)
    monkeypatch.setattr(feature_set, "MOST_NUMBERS", 60)
    assert np.array_equal(features.table(world.bars), table, equal_nan=True)
    assert np.array_equal(features.table(world.bars, 11), table[-11:], equal_nan=True)


# Worked examples ----------------------------------------------------------------------------------


def bars_of(closes: list[float], **columns: list[float]) -> Bars:
    """Return hourly bars; open, high and low are the close unless given."""
    close = np.array(closes)
    given = {name: np.array(values) for name, values in columns.items()}
    return Bars(
        close_ms=HOUR_MS * np.arange(1, len(close) + 1, dtype=np.int64),
        open=given.get("open", close),
        high=given.get("high", close),
        low=given.get("low", close),
        close=close,
        volume=given.get("volume", np.ones(len(close))),
    )


def test_features_of_closes_are_these() -> None:
    """Closes 100, 110, 99, 121.

    ``return_2`` is ln(121/110); ``rsi_3`` has gains 10 + 22 and a loss of 11: 32/43; of the mean of
    three, 110, ``distance_3`` is ln 1.1; ``drawdown_3`` of 99 from 110 is 0.1.
    """
    bars = bars_of([100.0, 110.0, 99.0, 121.0])
    table = FeatureSet(["return_2", "rsi_3", "distance_3", "drawdown_3"]).table(bars)
    assert table[3].tolist() == pytest.approx([log(121 / 110), 32 / 43, log(1.1), 0.0])
    assert table[2, 3] == pytest.approx(0.1)
    assert np.isnan(table[1]).tolist() == [True, True, True, True]
    returns = np.diff(np.log(bars.close))
    volatility = FeatureSet(["volatility_3"]).latest(bars)[0]
    mean = returns.sum() / 3
    assert volatility == pytest.approx(sqrt(((returns - mean) ** 2).sum() / 2))


def test_features_of_ranges_and_volumes_are_these() -> None:
    """High 12, low 8, close 11 after 10/10/10: ranges 4/11 and 0; (11 - 8) / (12 - 8) = 0.75.

    Volumes 1 and 3: the newest is 1.5 times their mean.
    """
    bars = bars_of([10.0, 11.0], high=[10.0, 12.0], low=[10.0, 8.0], volume=[1.0, 3.0])
    table = FeatureSet(["range_2", "position_2", "volume_2"]).table(bars)
    assert table[1].tolist() == pytest.approx([2 / 11, 0.75, 1.5])


def test_features_of_the_calendar_are_these() -> None:
    """Thursday 1970-01-01 06:00: a quarter of a day, four days of seven, two hours to 08:00."""
    names = ["hour_sine", "hour_cosine", "weekday_sine", "weekday_cosine", "hours_to_funding"]
    row = FeatureSet(names).table(bars_of([1.0] * 6))[5]
    angle = 2 * np.pi * 4 / 7
    assert row.tolist() == pytest.approx([1, 0, np.sin(angle), np.cos(angle), 2], abs=1e-12)


def test_skewness_is_the_third_moment() -> None:
    """Log returns 0, 0, 3 d: mean d, deviations -d, -d, 2d; 2 d^3 / (2 d^2)^1.5 = 1 / sqrt 2."""
    bars = bars_of([1.0, 1.0, 1.0, 1.3])
    assert candles.skewness(bars, 3, 4)[3] == pytest.approx(1 / sqrt(2))


def with_signal(known_ms: list[int], values: list[float], close_ms: list[int]) -> Bars:
    """Return bars that close at some times, with the signal."""
    bars = bars_of([1.0] * len(close_ms))
    known = KnownValues(np.array(known_ms, dtype=np.int64), np.array(values))
    return replace(bars, close_ms=np.array(close_ms, dtype=np.int64), signals={MOOD: known})


def latest(name: str, known_ms: list[int], values: list[float], now_ms: int) -> float:
    """Return a feature of a signal at one moment."""
    return float(FeatureSet([name]).latest(with_signal(known_ms, values, [now_ms]))[0])


def test_a_signal_counts_from_the_moment_it_is_known() -> None:
    """Known at the close it counts, a millisecond later it does not."""
    assert np.isnan(latest(f"value:{MOOD}", [1_000], [40.0], 999))
    assert latest(f"value:{MOOD}", [1_000], [40.0], 1_000) == 40.0


def test_a_signal_that_has_fallen_silent_is_unknown_but_its_age_goes_on() -> None:
    """Of a daily one the newest value counts for three days."""
    at = 3 * DAY_MS
    assert latest(f"value:{MOOD}", [0], [40.0], at) == 40.0
    assert np.isnan(latest(f"value:{MOOD}", [0], [40.0], at + 1))
    assert latest(f"age:{MOOD}", [0], [40.0], 5 * DAY_MS) == 5.0


def test_features_of_a_signal_are_these() -> None:
    """Values 20, 30, 40: up 20 over two; ln 2; mean 30, deviation 10: a score of 1."""
    known, values = [0, 1, 2], [20.0, 30.0, 40.0]
    assert latest(f"change_2:{MOOD}", known, values, 2) == 20.0
    assert latest(f"growth_2:{MOOD}", known, values, 2) == pytest.approx(log(2))
    assert latest(f"score_3:{MOOD}", known, values, 2) == pytest.approx(1.0)
    assert np.isnan(latest(f"change_3:{MOOD}", known, values, 2))
    assert np.isnan(latest(f"growth_1:{MOOD}", [0, 1], [-1.0, 5.0], 1))


# Names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["retrun_24"], "there is no feature 'retrun' of bars"),
        (["return"], "return must have a number from 1"),
        (["return_0"], "return must have a number from 1"),
        (["return_999999999"], "return must have a number from 1 to 10000"),
        (["volatility_1"], "volatility must have a number from 2"),
        (["hour_sine_3"], "hour_sine has no number"),
        (["mood:test/mood/1d"], "there is no feature 'mood' of a signal"),
        (["value:mood"], "a signal is VENUE/NAME/TIMEFRAME"),
        (["value:test/mood/daily"], "a signal is VENUE/NAME/TIMEFRAME"),
        (["return_1", "return_1"], "features must be distinct, 'return_1'"),
        ([], "features must be names, there is none"),
        ([5], "a feature is WHAT_N, WHAT or WHAT_N:SIGNAL, is 5"),
        (["return_1 "], "a feature is WHAT_N"),
    ],
)
def test_names_that_are_none_are_refused(names: list[str], message: str) -> None:
    """The message says what there is."""
    with pytest.raises(RecipeError) as caught:
        FeatureSet(names)
    assert message in str(caught.value)


def test_a_signal_that_the_recipe_lacks_is_named() -> None:
    """What is missing, what there is, and where to add it."""
    features = FeatureSet([f"value:{MOOD}"])
    with pytest.raises(AgentError, match=r"needs the signal 'test/mood/1d'.*market\.signals"):
        features.latest(bars_of([1.0]))


def test_the_hash_tells_sets_apart() -> None:
    """By name and by order."""
    one = FeatureSet(["return_1", "rsi_2"])
    assert one.hash == FeatureSet(("return_1", "rsi_2")).hash
    assert one.hash != FeatureSet(["rsi_2", "return_1"]).hash
