"""The probability of overfitting is the published one, also where settings tie or do nothing."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from seawall.analysis import overfitting
from seawall.analysis.overfitting import measure_overfitting
from seawall.errors import RecipeError, ResultError

Array = NDArray[np.float64]


def noise(seed: int = 0, n_periods: int = 120, n_settings: int = 6) -> Array:
    """Return settings without any skill."""
    return np.random.default_rng(seed).normal(0, 0.01, (n_periods, n_settings))


def plainly(returns: Array, n_blocks: int) -> float:
    """Return the probability by loops, for settings that neither tie nor stand still."""
    blocks = np.array_split(np.arange(len(returns)), n_blocks)
    n_below = 0
    choices = list(combinations(range(n_blocks), n_blocks // 2))
    for chosen in choices:
        inside = np.concatenate([blocks[b] for b in chosen])
        outside = np.setdiff1d(np.arange(len(returns)), inside)
        ratios = [
            returns[rows].mean(axis=0) / returns[rows].std(axis=0, ddof=1)
            for rows in (inside, outside)
        ]
        rank = 1 + int((ratios[1] < ratios[1][np.argmax(ratios[0])]).sum())
        n_below += rank / (returns.shape[1] + 1) < 0.5
    return n_below / len(choices)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([2, 4, 6, 8]), st.sampled_from([2, 4, 6]))
def test_fast_sums_equal_plain_loops(seed: int, n_blocks: int, n_settings: int) -> None:
    """Sums of blocks give what slicing gives; an even number of settings has no middle."""
    returns = noise(seed, 15 * n_blocks, n_settings)
    found = measure_overfitting(returns, n_blocks)
    assert found.probability == pytest.approx(plainly(returns, n_blocks), abs=1e-12)
    assert len(found.logits) == math.comb(n_blocks, n_blocks // 2)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(0, 10_000), st.floats(1e-3, 1e3))
def test_neither_order_nor_size_of_the_settings_matters(
    seed: int, other: int, scale: float
) -> None:
    """A ratio does not know the stake, and the settings have no order."""
    returns = noise(seed, 80, 5)
    order = np.random.default_rng(other).permutation(5)
    one, two = measure_overfitting(returns, 6), measure_overfitting(returns[:, order] * scale, 6)
    assert one.probability == two.probability
    assert one.loss == two.loss
    assert 0.0 <= one.probability <= 1.0


def test_published_values_are_reproduced() -> None:
    """Noise of 50 settings is overfitted in 83 of 252 choices; an edge of 0.3 % a day in none."""
    returns = noise(0, 1_000, 50)
    assert measure_overfitting(returns, 10).probability == pytest.approx(0.329365, abs=5e-7)
    returns[:, 7] += 0.003
    found = measure_overfitting(returns, 10)
    assert found.probability == 0.0
    assert found.loss == 0.0
    assert found.logits.min() == found.logits.max() == pytest.approx(math.log(50 / 1))


def test_settings_that_are_one_are_a_coin_toss() -> None:
    """Nothing can be chosen among clones: each lies in the middle, which counts half."""
    one = noise(1, 100, 1)
    found = measure_overfitting(np.hstack([one] * 4), 8)
    assert found.probability == 0.5
    assert np.all(found.logits == 0.0)


def test_a_clone_of_the_best_changes_nothing_of_substance() -> None:
    """A second copy of a true edge is chosen with it and does not look like luck."""
    returns = noise(2, 400, 6)
    returns[:, 2] += 0.005
    found = measure_overfitting(np.column_stack([returns, returns[:, 2]]), 8)
    assert found.probability == 0.0


def test_what_ties_in_sample_counts_equally() -> None:
    """Both trade in the second half only, one up and one down, beside one that always loses.

    Two blocks, two choices. With the first half in sample the first two tie at 0: out of sample one
    is the best, one the worst, so half of that choice is below. With the second half in sample the
    one that goes up is best, and out of sample it ties at 0 with the other, above the loser: ranks
    2.5, 2.5, 1. So the probability is (1/2 + 0) / 2.
    """
    wave = np.tile([0.01, 0.03], 10)
    up = np.concatenate([np.zeros(20), wave])
    returns = np.column_stack([up, -up, np.tile([-0.001, -0.003], 20)])
    found = measure_overfitting(returns, 2)
    assert found.probability == pytest.approx(0.25)


def test_a_setting_that_never_trades_has_a_ratio_of_nothing() -> None:
    """Beside losers, doing nothing is the best in and out of sample, and loses nothing."""
    returns = noise(3, 200, 5) - 0.01
    returns[:, 4] = 0.0
    found = measure_overfitting(returns, 10)
    assert found.probability == 0.0
    assert found.loss == 0.0
    assert math.isnan(found.slope)


def test_interest_is_no_ratio_to_choose_by() -> None:
    """Returns that vary in their last digits alone count as 0, not as the best there is."""
    returns = noise(6, 200, 5)
    returns[:, 1] = 1e-5 + 1e-18 * np.random.default_rng(7).normal(size=200)
    assert returns.std(axis=0)[1] > 0.0
    found = measure_overfitting(returns, 8)
    returns[:, 1] = 0.0
    assert np.array_equal(found.logits, measure_overfitting(returns, 8).logits)


def test_a_drift_far_above_its_noise_is_not_lost_to_rounding() -> None:
    """Returns of 1 +- 1e-6 have the ratios of their noise, whatever the sums of squares are."""
    returns = 1.0 + 1e-6 * np.random.default_rng(4).normal(size=(200, 4))
    assert measure_overfitting(returns, 8).probability == pytest.approx(plainly(returns, 8))


def test_large_problems_are_cut_into_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a few choices give what one part gives."""
    returns = noise(5, 160, 7)
    whole = measure_overfitting(returns, 8)
    monkeypatch.setattr(overfitting, "_CELLS", 40)
    parts = measure_overfitting(returns, 8)
    assert parts.probability == whole.probability
    assert np.array_equal(parts.logits, whole.logits)


def test_bad_input_is_refused() -> None:
    """Among it a matrix the wrong way round, which would give a plausible number."""
    with pytest.raises(RecipeError, match="even and within 2 and 20, is 7"):
        measure_overfitting(noise(), 7)
    with pytest.raises(RecipeError, match="is 22"):
        measure_overfitting(noise(), 22)
    with pytest.raises(ResultError, match=r"one column per setting"):
        measure_overfitting(np.zeros(10))
    with pytest.raises(ResultError, match=r"shape is \(120, 1\)"):
        measure_overfitting(noise(n_settings=1))
    with pytest.raises(ResultError, match="a row is a period"):
        measure_overfitting(noise().T, 16)
    bad = noise()
    bad[3, 3] = np.nan
    with pytest.raises(ResultError, match="finite"):
        measure_overfitting(bad)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_another_library_agrees(seed: int) -> None:
    """Given the transposed matrix, purgedcv finds the same share and slope."""
    purgedcv = pytest.importorskip("purgedcv", reason="purgedcv is not installed")
    returns = noise(seed, 240, 10)
    mine = measure_overfitting(returns, 8)
    theirs = purgedcv.probability_of_backtest_overfitting(returns.T, n_splits=8)
    assert mine.probability == pytest.approx(theirs.pbo)
    assert mine.slope == pytest.approx(theirs.slope, abs=1e-6)
    assert sorted(mine.logits) == pytest.approx(sorted(theirs.logits))
