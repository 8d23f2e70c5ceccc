"""Sharpe ratios are deflated as published, and as another library does it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from seawall.analysis.sharpe import (
    TrackRecord,
    deflated_sharpe,
    expected_maximum_sharpe,
    measure_track,
    minimum_track_record,
    probabilistic_sharpe,
    variance_of_trials,
)
from seawall.errors import RecipeError, ResultError

Array = NDArray[np.float64]
RATIOS = st.floats(-1.0, 1.0)
LENGTHS = st.integers(2, 100_000)


def record(
    ratio: float, n: int = 1_000, skewness: float = 0.0, kurtosis: float = 3.0
) -> TrackRecord:
    """Return a track record by its moments."""
    return TrackRecord(n_periods=n, sharpe=ratio, skewness=skewness, kurtosis=kurtosis)


def wild(seed: int, n: int = 400) -> Array:
    """Return returns with fat tails and a little drift."""
    return np.asarray(0.001 + 0.01 * np.random.default_rng(seed).standard_t(5, n))


@given(st.integers(0, 1_000), st.floats(1e-6, 1e6))
def test_a_track_record_does_not_know_its_currency(seed: int, scale: float) -> None:
    """Returns times any number have the same ratio, skewness and kurtosis."""
    one, other = measure_track(wild(seed)), measure_track(wild(seed) * scale)
    assert math.isclose(one.sharpe, other.sharpe, rel_tol=1e-9)
    assert math.isclose(one.skewness, other.skewness, rel_tol=1e-7, abs_tol=1e-9)
    assert math.isclose(one.kurtosis, other.kurtosis, rel_tol=1e-9)
    assert one.spread >= 0.0


@given(RATIOS, LENGTHS, RATIOS)
def test_a_higher_bar_is_less_surely_passed(ratio: float, n: int, benchmark: float) -> None:
    """The probability is one, a half where the bar is the ratio itself, and falls with the bar."""
    track = record(ratio, n)
    at = [probabilistic_sharpe(track, bar) for bar in (benchmark, benchmark + 0.1)]
    assert 0.0 <= at[1] <= at[0] <= 1.0
    assert probabilistic_sharpe(track, ratio) == pytest.approx(0.5, abs=1e-12)


@given(st.floats(0.01, 1.0), st.floats(-2.0, 0.5), st.floats(5.0, 20.0), st.floats(0.6, 0.999))
def test_a_record_of_the_minimum_length_is_just_sure_enough(
    ratio: float, skewness: float, kurtosis: float, confidence: float
) -> None:
    """At the minimum length the probability is the confidence: one formula inverts the other."""
    track = record(ratio, 100, skewness, kurtosis)
    n = minimum_track_record(track, confidence=confidence)
    gap = ratio * math.sqrt((n - 1) / track.spread)
    assert 0.5 * (1 + math.erf(gap / math.sqrt(2))) == pytest.approx(confidence, abs=1e-9)


@given(RATIOS, LENGTHS, st.integers(1, 10**9), st.floats(0.0, 0.1))
def test_more_trials_never_make_a_ratio_surer(
    ratio: float, n: int, n_trials: int, variance: float
) -> None:
    """The bar rises with the number of trials and with how much they differ, from 0 for one."""
    track = record(ratio, n)
    sure = [
        deflated_sharpe(track, n_trials=k, variance=variance) for k in (1, n_trials, n_trials * 2)
    ]
    assert sure[0] == probabilistic_sharpe(track)
    assert sure[2] <= sure[1] + 1e-12
    assert sure[1] <= sure[0] + 1e-12


@given(st.lists(RATIOS, min_size=1, max_size=12), st.integers(2, 5_000), st.integers(0, 11), RATIOS)
def test_a_trial_run_again_never_makes_a_ratio_surer(
    ratios: list[float], n: int, again: int, ratio: float
) -> None:
    """The same ratio once more, or off by rounding, is a trial more and spreads them no less."""
    track, twin = record(ratio, n), ratios[again % len(ratios)]

    def sure(found: list[float], n_trials: int) -> float:
        variance = variance_of_trials(np.array(found), n)
        return deflated_sharpe(track, n_trials=n_trials, variance=variance)

    once = sure(ratios, len(ratios))
    for more in ([twin], [twin + 1e-13], [twin] * 50, [math.nan]):
        assert sure([*ratios, *more], len(ratios) + len(more)) <= once + 1e-9


def test_reruns_of_one_rule_leave_a_bar_to_pass() -> None:
    """Three ratios that are one: the bar is that of chance, ``1 / (n - 1)``, not 0.

    At 101 periods: 0.1 times the expected maximum of three standard normal numbers.
    """
    same = variance_of_trials(np.array([0.05, 0.05, 0.05]), 101)
    assert same == pytest.approx(0.01)
    assert expected_maximum_sharpe(3, same) == pytest.approx(0.1 * expected_maximum_sharpe(3, 1.0))


def test_the_published_example_is_reproduced() -> None:
    """Bailey and Lopez de Prado (2014): 100 trials, 1,250 days, 2.5 a year: 0.1132 and 0.9004.

    Per day of 250 a year the ratio is 2.5 / sqrt(250) and the trials' variance 0.5 / 250.
    """
    track = record(2.5 / math.sqrt(250), 1_250, skewness=-3.0, kurtosis=10.0)
    assert expected_maximum_sharpe(100, 0.5 / 250) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(track, n_trials=100, variance=0.5 / 250) == pytest.approx(
        0.9004, abs=5e-5
    )


def test_the_expected_maximum_is_that_of_normal_numbers() -> None:
    """The mean of the best of 50 standard normal numbers, drawn 20,000 times, is 2.249."""
    best = np.random.default_rng(1).normal(size=(20_000, 50)).max(axis=1)
    assert expected_maximum_sharpe(50, 1.0) == pytest.approx(best.mean(), rel=0.02)


def test_a_billion_trials_have_a_maximum_too() -> None:
    """Where ``1 - 1/N`` is all but 1 the lower tail is used: the maximum is finite and grows."""
    assert 5.9 < expected_maximum_sharpe(10**9, 1.0) < expected_maximum_sharpe(10**18, 1.0) < 9.0


def test_moments_by_hand() -> None:
    """Of (0, 0, 0, 4): mean 1, deviation sqrt(3) or 2 (ddof 1), skewness 6 / 3**1.5, kurtosis 7/3.

    Third moment (27 - 3) / 4 = 6, fourth (81 + 3) / 4 = 21, 21 / 9 = 7/3.
    """
    track = measure_track(np.array([0.0, 0.0, 0.0, 4.0]))
    assert track.sharpe == pytest.approx(0.5)
    assert track.skewness == pytest.approx(6 / 3**1.5)
    assert track.kurtosis == pytest.approx(7 / 3)


def test_constant_returns_have_no_ratio_to_judge() -> None:
    """Cash has no spread: nothing is sure or unsure of it, and no length is long enough or not."""
    track = measure_track(np.zeros(10))
    found = (track.sharpe, probabilistic_sharpe(track), minimum_track_record(track), track.spread)
    assert all(math.isnan(value) for value in found)
    assert math.isnan(deflated_sharpe(track, n_trials=5, variance=0.1))


def test_no_record_proves_a_ratio_that_was_not_shown() -> None:
    """A loser needs an infinite record."""
    assert minimum_track_record(record(-0.1)) == math.inf
    assert minimum_track_record(record(0.1), 0.1) == math.inf


def test_a_ratio_without_spread_is_certain() -> None:
    """Two returns, of which one is 0, have a spread of ``(1 - s)**2``: nothing at a ratio of 1."""
    track = record(1.0, 4, skewness=2.0, kurtosis=5.0)
    assert track.spread == 0.0
    assert [probabilistic_sharpe(track, bar) for bar in (0.5, 1.0, 2.0)] == [1.0, 0.5, 0.0]


def test_trials_of_unknown_ratios_differ_as_chance_does() -> None:
    """With two known ratios it is their variance, at least one over the periods less one."""
    assert variance_of_trials(np.array([0.1, np.nan, 0.3]), 52) == pytest.approx(0.02)
    assert variance_of_trials(np.array([0.1, np.nan, 0.11]), 51) == pytest.approx(0.02)
    assert variance_of_trials(np.array([0.1, np.nan]), 51) == pytest.approx(0.02)
    ratios = np.random.default_rng(3).normal(size=(4_000, 51))
    spread = (ratios.mean(axis=1) / ratios.std(axis=1, ddof=1)).var()
    assert variance_of_trials(np.array([]), 51) == pytest.approx(spread, rel=0.1)


def test_bad_input_is_refused() -> None:
    """Each message says the rule and the value."""
    with pytest.raises(ResultError, match=r"at least 2 returns .* shape \(1,\)"):
        measure_track(np.zeros(1))
    with pytest.raises(ResultError, match="1 of 3 are not"):
        measure_track(np.array([0.0, np.nan, 1.0]))
    with pytest.raises(RecipeError, match="n_trials must be >= 1, is 0"):
        expected_maximum_sharpe(0, 0.1)
    with pytest.raises(RecipeError, match=r"must be >= 0, is -0\.1"):
        expected_maximum_sharpe(3, -0.1)
    with pytest.raises(RecipeError, match=r"above 0.5 and below 1, is 1\.0"):
        minimum_track_record(record(0.1), confidence=1.0)
    with pytest.raises(ResultError, match="has 1"):
        variance_of_trials(np.array([]), 1)


def test_another_library_agrees() -> None:
    """At the same moments purgedcv finds the same numbers; its lengths are rounded up.

    Its moments are other ones (``ddof = 0``, corrected for bias), so theirs are used here.
    """
    purgedcv = pytest.importorskip("purgedcv", reason="purgedcv is not installed")
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    returns = wild(5)
    track = record(
        float(returns.mean() / returns.std()),
        len(returns),
        float(stats.skew(returns, bias=False)),
        float(stats.kurtosis(returns, bias=False, fisher=False)),
    )
    theirs = purgedcv.probabilistic_sharpe_ratio(returns, 0.02)
    assert probabilistic_sharpe(track, 0.02) == pytest.approx(theirs, abs=1e-9)
    theirs = purgedcv.deflated_sharpe_ratio(returns, n_trials=30, var_sharpe=0.001)
    assert deflated_sharpe(track, n_trials=30, variance=0.001) == pytest.approx(theirs, abs=1e-9)
    theirs = purgedcv.min_track_record_length(
        track.sharpe, 0.0, 0.05, track.skewness, track.kurtosis
    )
    assert 0 <= theirs - minimum_track_record(track) < 1
