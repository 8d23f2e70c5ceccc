"""The statistics tell real differences from chance, pair by pair, and the same way every time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from seawall.analysis import statistics
from seawall.analysis.statistics import (
    NOT_TOLD_APART,
    TOLD_APART,
    block_length,
    difference,
    percentile_among,
    period_ends,
    resample_sums,
    share_of_chance,
    to_growth,
)
from seawall.errors import ResultError
from seawall.units import DAY_MS, HOUR_MS, MINUTE_MS

Array = NDArray[np.float64]


def _equity(growth: Array) -> Array:
    return np.asarray(100.0 * np.exp(np.concatenate([[0.0], np.cumsum(growth)])))


def _autoregressive(phi: float, n: int, seed: int) -> Array:
    noise = np.random.default_rng(seed).normal(size=n)
    values = np.zeros(n)
    for t in range(1, n):
        values[t] = phi * values[t - 1] + noise[t]
    return values


def test_equal_agents_cannot_be_told_apart() -> None:
    """Two equal curves differ by exactly nothing in every resample."""
    equity = _equity(np.random.default_rng(1).normal(0, 0.02, 300))
    found = difference(equity, equity, np.random.default_rng(2))
    assert (found.estimate, found.low, found.high) == (0.0, 0.0, 0.0)
    assert found.share_ahead == 0.5
    assert found.verdict == NOT_TOLD_APART


def test_pairing_tells_a_small_steady_edge_from_a_large_common_noise() -> None:
    """An edge of 0.1 % a day is seen under 4 % of daily noise that both share, not otherwise."""
    rng = np.random.default_rng(3)
    market, other = rng.normal(0, 0.04, 400), rng.normal(0, 0.04, 400)
    edge = rng.normal(0.001, 0.001, 400)
    paired = difference(_equity(market + edge), _equity(market), np.random.default_rng(4))
    unpaired = difference(_equity(market + edge), _equity(other), np.random.default_rng(4))
    assert paired.verdict == TOLD_APART
    assert paired.low > 0
    assert unpaired.verdict == NOT_TOLD_APART


def test_the_estimate_is_the_difference_of_the_total_returns() -> None:
    """100 to 110 against 100 to 105 is 0.10 - 0.05 = 0.05, whatever lies between."""
    first, second = np.array([100.0, 90.0, 110.0]), np.array([100.0, 120.0, 105.0])
    found = difference(first, second, np.random.default_rng(1))
    assert found.estimate == pytest.approx(0.05, abs=1e-12)


def test_one_seed_gives_one_interval_to_the_bit() -> None:
    """The interval is a function of the curves and of the generator's state alone."""
    growth = np.random.default_rng(5).normal(0, 0.01, (2, 250))
    pair = _equity(growth[0]), _equity(growth[1])
    one, again = (difference(*pair, np.random.default_rng(6)) for _ in range(2))
    other = difference(*pair, np.random.default_rng(7))
    assert one == again
    assert one.low != other.low


def test_reversing_a_difference_changes_its_sign_and_nothing_else() -> None:
    """Seen from the second agent the interval is mirrored and the verdict stays."""
    growth = np.random.default_rng(8).normal(0, 0.01, (2, 250))
    found = difference(_equity(growth[0]), _equity(growth[1]), np.random.default_rng(9))
    back = found.reversed()
    assert (back.low, back.high, back.estimate) == (-found.high, -found.low, -found.estimate)
    assert back.is_told_apart == found.is_told_apart
    assert back.share_ahead == pytest.approx(1 - found.share_ahead)


@pytest.mark.slow
def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """Of 300 pairs without an edge, and with runs in the noise, 2 % to 9 % are told apart."""
    rng, n_told = np.random.default_rng(10), 0
    for trial in range(300):
        one, other = (0.01 * _autoregressive(0.3, 400, 1_000 * trial + n) for n in (1, 2))
        found = difference(_equity(one), _equity(other), rng, n_resamples=500)
        n_told += found.is_told_apart
    assert 0.02 < n_told / 300 < 0.09


def test_blocks_are_as_long_as_the_theory_says() -> None:
    """For AR(1), phi 0.5, n 4,000: ((2 phi / (1 - phi)^2) / ((1 + phi) / (1 - phi)))^2 n)^(1/3)."""
    best = ((4.0 / 3.0) ** 2 * 4_000) ** (1 / 3)  # 19.2 periods
    found = np.median([block_length(_autoregressive(0.5, 4_000, seed)) for seed in range(9)])
    assert 0.7 * best < found < 1.3 * best
    noise = [block_length(np.random.default_rng(seed).normal(size=2_000)) for seed in range(9)]
    assert np.median(noise) < 3


def test_constant_or_short_series_have_blocks_of_one() -> None:
    """Where nothing varies, or too little is there, single periods are drawn."""
    assert block_length(np.zeros(100)) == 1.0
    assert block_length(np.arange(5.0)) == 1.0


@given(st.integers(1, 60), st.integers(0, 10_000), st.floats(1.0, 30.0))
@settings(deadline=None, max_examples=40)
def test_resamples_draw_whole_periods_for_all_columns(n: int, seed: int, block: float) -> None:
    """Two columns that are equal up to a factor stay so, and sums stay within n extremes."""
    growth = np.random.default_rng(seed).normal(size=n)
    columns = np.column_stack([growth, 2 * growth])
    sums = resample_sums(columns, 20, block, np.random.default_rng(seed))
    np.testing.assert_allclose(sums[:, 1], 2 * sums[:, 0], rtol=1e-12, atol=1e-12)
    assert np.all(np.abs(sums[:, 0]) <= n * np.abs(growth).max() + 1e-9)


def test_long_blocks_keep_neighbours_together() -> None:
    """With blocks far longer than the series a resample is a rotation: its sum is the whole sum."""
    growth = np.random.default_rng(1).normal(size=(200, 1))
    sums = resample_sums(growth, 50, 1e12, np.random.default_rng(2))
    np.testing.assert_allclose(sums, growth.sum(), rtol=1e-9)
    short = resample_sums(growth, 50, 1.0, np.random.default_rng(2))
    assert np.ptp(short) > 1.0


def test_a_lost_account_stays_lost() -> None:
    """Equity 100, 50, 0, 80 is a total return of -1: what comes after 0 does not count."""
    growth = to_growth(np.array([100.0, 50.0, 0.0, 80.0]))
    assert growth[0] == pytest.approx(np.log(0.5))
    assert growth[2] == 0.0
    assert np.expm1(growth.sum()) == -1.0


@pytest.mark.parametrize("equity", [np.array([100.0]), np.array([0.0, 1.0]), np.array([np.nan, 1])])
def test_equity_that_cannot_be_compared_is_refused(equity: Array) -> None:
    """A single value, or a start that is not above 0, has no growth."""
    with pytest.raises(ResultError, match="equity must start above 0"):
        to_growth(equity)


def test_curves_of_different_lengths_are_refused() -> None:
    """Two agents on different paths are not compared."""
    with pytest.raises(ResultError, match="same periods"):
        difference(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0]), np.random.default_rng(1))


def test_periods_are_days_where_there_are_enough_of_them() -> None:
    """A year of hours gives days that end at midnight; two weeks of hours stay hours."""
    year = HOUR_MS * np.arange(1, 24 * 365 + 1, dtype=np.int64)
    rows = period_ends(year)
    assert len(rows) == 365
    assert set(year[rows] % DAY_MS) == {0}
    weeks = HOUR_MS * np.arange(1, 24 * 14 + 1, dtype=np.int64)
    assert len(period_ends(weeks)) == len(weeks)
    minutes = 5 * MINUTE_MS * np.arange(1, 12 * 24 * 20 + 1, dtype=np.int64)
    assert set(np.diff(minutes[period_ends(minutes)])) == {HOUR_MS}


def test_percentiles_count_equal_ones_by_half() -> None:
    """Among 1, 2, 3, 4 the value 3 lies above two and beside one: 62.5."""
    others = np.array([1.0, 2.0, 3.0, 4.0])
    assert percentile_among(3.0, others) == 62.5
    assert percentile_among(3.0 + 1e-12, others) == 62.5
    assert percentile_among(9.0, others) == 100.0
    assert np.isnan(percentile_among(1.0, others[:0]))


def test_the_share_of_chance_is_never_nothing() -> None:
    """Better than all of 199 random agents is 1 in 200, not 0."""
    others = np.linspace(0, 1, 199)
    assert share_of_chance(2.0, others) == pytest.approx(1 / 200)
    assert share_of_chance(0.0, others) == 1.0


def test_the_sources_are_named() -> None:
    """Whoever doubts a number finds where its rule comes from."""
    assert "Politis and White" in str(statistics.__doc__)
