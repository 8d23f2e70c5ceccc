"""The spread over seeds is shown, and one lucky run does not carry the mean."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from seawall.analysis.seeds import interquartile_mean, measure_spread
from seawall.errors import RecipeError, ResultError

Array = NDArray[np.float64]
SCORES = st.lists(st.floats(-1e3, 1e3), min_size=5, max_size=30)


def stream() -> np.random.Generator:
    """Return random numbers for a bootstrap."""
    return np.random.default_rng(4)


@settings(deadline=None, max_examples=50)
@given(SCORES, st.floats(-100, 100))
def test_the_spread_moves_with_the_scores(scores: list[float], shift: float) -> None:
    """Adding a number moves every mean and end, and leaves the deviation."""
    table = np.array(scores)
    one = measure_spread(table, stream(), n_resamples=50)
    other = measure_spread(table + shift, stream(), n_resamples=50)
    assert other.iqm == pytest.approx(one.iqm + shift, abs=1e-8)
    assert other.low == pytest.approx(one.low + shift, abs=1e-8)
    assert other.deviation == pytest.approx(one.deviation, abs=1e-8)
    ends = (one.lowest, one.low, one.high, one.highest)
    assert all(a <= b + 1e-9 for a, b in pairwise(ends))


def test_the_middle_half_by_hand() -> None:
    """Of nine scores the two lowest and the two highest go: (3 + 4 + 5 + 6 + 7) / 5."""
    assert interquartile_mean(np.array([9.0, 1, 2, 3, 4, 5, 6, 7, 1_000])) == 5.0
    assert interquartile_mean(np.array([2.5])) == 2.5


def test_one_lucky_run_does_not_carry_it() -> None:
    """Seven runs at 0 and one at 100: the mean is 12.5, the interquartile mean 0."""
    found = measure_spread(np.array([0.0] * 7 + [100.0]), stream())
    assert (found.mean, found.iqm, found.highest) == (12.5, 0.0, 100.0)


def test_the_bootstrap_stays_within_each_task() -> None:
    """Seeds that agree in every task leave nothing to draw, however much tasks differ."""
    table = np.tile(np.arange(10.0) ** 2, (6, 1))
    found = measure_spread(table, stream())
    assert found.low == found.high == found.iqm
    assert found.deviation == 0.0
    assert (found.n_seeds, found.n_tasks) == (6, 10)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Of 200 samples of 20 normal scores, 0 is within the interval in about 95 %."""
    rng = np.random.default_rng(9)
    n_held = 0
    for _ in range(200):
        found = measure_spread(rng.normal(size=20), stream(), n_resamples=300)
        n_held += found.low <= 0.0 <= found.high
    assert 0.86 <= n_held / 200 <= 0.98


def test_too_few_seeds_are_refused() -> None:
    """Four runs are not five, and what is not a number is no score."""
    with pytest.raises(ResultError, match="at least 5 seeds, has 4"):
        measure_spread(np.zeros(4), stream())
    with pytest.raises(ResultError, match="finite"):
        measure_spread(np.full(5, np.nan), stream())
    with pytest.raises(ResultError, match="seeds x tasks"):
        measure_spread(np.zeros((5, 0)), stream())
    with pytest.raises(RecipeError, match=r"are 1\.0 and 2000"):
        measure_spread(np.zeros(5), stream(), confidence=1.0)


def test_another_library_agrees() -> None:
    """The interquartile mean is scipy's mean trimmed by a quarter."""
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    for n in range(5, 30):
        scores = np.random.default_rng(n).normal(size=n)
        assert interquartile_mean(scores) == pytest.approx(stats.trim_mean(scores, 0.25))
