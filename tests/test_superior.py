"""However many agents are tried, chance is named a winner no more often than the level allows."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from seawall.analysis.superior import Spa, find_gaps, resample, spa, step_down, stepm
from seawall.errors import ResultError

Array = NDArray[np.float64]
LEVEL = 0.05


def luck(seed: int, n_periods: int = 250, n_agents: int = 6, *, persistence: float = 0.0) -> Array:
    """Return growth over a benchmark of agents without skill, fat-tailed."""
    shocks = np.random.default_rng([seed, 7]).standard_t(5, (n_periods, n_agents)) * 0.01
    for t in range(1, n_periods):
        shocks[t] += persistence * shocks[t - 1]
    return shocks


def stream(seed: int = 0) -> np.random.Generator:
    """Return random numbers for a bootstrap."""
    return np.random.default_rng([seed, 1])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.floats(1e-3, 1e3))
def test_neither_order_nor_unit_of_the_agents_matters(seed: int, scale: float) -> None:
    """The same resamples are drawn for all, and each gap is measured in its own error."""
    excess = luck(seed, 60, 5)
    order = np.random.default_rng(seed).permutation(5)
    one = stepm(excess, stream(), n_resamples=200)
    other = stepm(excess[:, order] * scale, stream(), n_resamples=200)
    assert one[order] == pytest.approx(other, abs=0.01)
    assert np.all((one > 0.0) & (one <= 1.0))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.floats(0.0, 0.02))
def test_the_consistent_p_value_lies_between_its_bounds(seed: int, handicap: float) -> None:
    """The less is centred, the smaller is what chance makes of the hopeless."""
    excess = luck(seed, 60, 5)
    excess[:, 2:] -= handicap
    found = spa(excess, stream(), n_resamples=200)
    assert 0.0 < found.lower <= found.p_value <= found.upper <= 1.0
    assert found.statistic >= 0.0


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.integers(1, 8))
def test_stepping_down_is_the_plain_algorithm(seed: int, n: int) -> None:
    """Removing the best by hand, one after the other, gives the same p-values."""
    rng = np.random.default_rng(seed)
    statistic, null = np.round(rng.normal(1, 1, n), 1), np.round(rng.normal(size=(50, n)), 1)
    rest, least, expected = list(range(n)), 0.0, np.empty(n)
    while rest:
        best = max(rest, key=lambda agent: (statistic[agent], -agent))
        made = null[:, rest].max(axis=1)
        least = max(least, (1 + int((made >= statistic[best]).sum())) / 51)
        expected[best] = least
        rest.remove(best)
    assert np.array_equal(step_down(statistic, null), expected)


def test_stepping_down_by_hand() -> None:
    """Three agents, four resamples: p-values 2/5, 2/5 and 4/5.

    The best (3) is met by the largest of all three in one resample of four: (1 + 1) / 5. Without
    it, the second (2) is met once by the rest: 2/5. The last (0) is met by its own three times.
    """
    null = np.array([[0.0, 3.5, 0.5], [1.0, 0.0, 0.0], [2.9, -1.0, -1.0], [-3.0, 1.9, 0.2]])
    assert step_down(np.array([3.0, 2.0, 0.0]), null) == pytest.approx([0.4, 0.4, 0.8])


def test_the_second_is_measured_by_what_the_first_leaves() -> None:
    """Of two agents with an edge the weaker one is named only once the wild first is out."""
    null = np.zeros((99, 2))
    null[:10, 0] = 5.0
    assert step_down(np.array([9.0, 2.0]), null) == pytest.approx([0.01, 0.01])
    assert np.mean(null.max(axis=1) >= 2.0) > LEVEL


def test_an_edge_is_found_among_many_without() -> None:
    """0.2 % a period under 1 % of noise is named, and nobody else."""
    excess = luck(1, 400, 20)
    excess[:, 3] += 0.003
    p_values = stepm(excess, stream())
    assert np.flatnonzero(p_values <= LEVEL).tolist() == [3]
    found = spa(excess, stream())
    assert found.p_value <= LEVEL
    assert found.best == 3


def test_hopeless_agents_do_not_hide_a_good_one() -> None:
    """Thirty that lose steadily, and wildly, raise the bound that counts them, not the p-value."""
    good = luck(2, 300, 1) + 0.0013
    hopeless = luck(3, 300, 30) - 0.02
    alone, crowded = spa(good, stream()), spa(np.hstack([good, hopeless]), stream())
    assert crowded.p_value == pytest.approx(alone.p_value, abs=0.02)
    assert crowded.upper > 2 * crowded.p_value


@pytest.mark.parametrize(("persistence", "most"), [(0.0, 0.08), (0.3, 0.11)])
@pytest.mark.slow
def test_chance_is_named_no_more_often_than_allowed(persistence: float, most: float) -> None:
    """In 200 worlds without skill somebody is named in about 5 %; a little more if gaps persist."""
    n_false = sum(
        bool(
            (
                stepm(luck(seed, persistence=persistence), stream(seed), n_resamples=299) <= LEVEL
            ).any()
        )
        for seed in range(200)
    )
    assert 0.01 <= n_false / 200 <= most


def test_curves_that_are_one_are_never_told_apart() -> None:
    """Equal, or equal but for rounding in a steady direction: the p-value is 1."""
    rng = np.random.default_rng(5)
    excess = np.column_stack([np.zeros(100), 1e-14 * (1 + rng.random(100))])
    assert stepm(excess, stream()).tolist() == [1.0, 1.0]
    assert spa(excess, stream()).p_value == 1.0


def test_a_gap_that_is_the_same_in_every_period_is_certain() -> None:
    """Interest of 1e-5 a period needs no luck: the p-value is as small as it can be."""
    excess = np.column_stack([np.full(100, 1e-5), np.full(100, -1e-5), np.zeros(100)])
    assert stepm(excess, stream(), n_resamples=99) == pytest.approx([0.01, 1.0, 1.0])
    found = spa(excess, stream(), n_resamples=99)
    assert (found.p_value, found.best) == (0.01, 0)


def test_one_lucky_seed_is_the_seeds_luck() -> None:
    """An agent that is good with one seed of five is not told apart, as its mean alone would be."""
    quiet = 0.001 * np.random.default_rng(6).normal(size=(5, 200))
    quiet[0] += 0.01
    zero = np.zeros((1, 200))
    first, second = np.array([0]), np.array([1])
    spread = find_gaps(resample([quiet, zero], stream()), first, second)
    fixed = find_gaps(resample([quiet.mean(axis=0, keepdims=True), zero], stream()), first, second)
    assert spread.estimate == pytest.approx(fixed.estimate)
    assert step_down(fixed.statistic, fixed.null)[0] <= LEVEL
    assert step_down(spread.statistic, spread.null)[0] > LEVEL


def test_resamples_draw_the_seeds_as_well() -> None:
    """Five seeds of steady growth differ in nothing but the seed, and so do their resamples.

    The mean of five draws from totals of deviation ``s`` has the deviation ``s / sqrt(5)``.
    """
    steady = np.repeat(0.001 * np.arange(5.0)[:, None], 100, axis=1)
    sample = resample([steady, np.zeros((1, 100))], stream(), n_resamples=4_000)
    spread = steady.sum(axis=1).std() / math.sqrt(5)
    assert sample.drawn[:, 0].std() == pytest.approx(spread, rel=0.05)
    assert sample.drawn[:, 0].mean() == pytest.approx(0.2, rel=0.02)
    assert not sample.drawn[:, 1].any()


def test_the_same_random_numbers_give_the_same_test() -> None:
    """To the bit, and other ones give another."""
    excess = luck(8)
    one, other, third = (spa(excess, stream(seed)) for seed in (1, 1, 2))
    assert one == other
    assert one.p_value != third.p_value


def test_bad_input_is_refused() -> None:
    """Each message says what is wrong with the curves."""
    with pytest.raises(ResultError, match="one column each"):
        spa(np.zeros(30), stream())
    with pytest.raises(ResultError, match=r"at least 20 periods .* there are 19"):
        stepm(np.zeros((19, 2)), stream())
    with pytest.raises(ResultError, match="finite"):
        stepm(np.full((30, 2), np.nan), stream())
    with pytest.raises(ResultError, match="run all agents on one recipe"):
        resample([np.zeros((1, 30)), np.zeros((1, 31))], stream())
    with pytest.raises(ResultError, match="one resample, has 1 and 0"):
        resample([np.zeros((1, 30))], stream(), n_resamples=0)
    with pytest.raises(ResultError, match="one curve"):
        resample([], stream())


@pytest.mark.parametrize("edge", [0.0, 0.001, 0.002])
@pytest.mark.slow
def test_another_library_agrees(edge: float) -> None:
    """In arch, with blocks as long, SPA's p-value and StepM's names are the same but for draws."""
    bootstrap = pytest.importorskip("arch.bootstrap", reason="arch is not installed")
    excess = luck(11, 400, 8)
    excess[:, 2] += edge
    excess[:, 5] -= 0.01
    length = math.ceil(resample([*excess.T[:, None, :]], stream()).block_length)
    losses = (np.zeros(400), -excess)
    theirs = bootstrap.SPA(*losses, block_size=length, reps=2_000, seed=3)
    theirs.compute()
    mine: Spa = spa(excess, stream())
    assert mine.p_value == pytest.approx(float(theirs.pvalues["consistent"]), abs=0.04)
    assert mine.upper == pytest.approx(float(theirs.pvalues["upper"]), abs=0.04)
    steps = bootstrap.StepM(*losses, size=LEVEL, block_size=length, reps=2_000, seed=3)
    steps.compute()
    named = np.flatnonzero(stepm(excess, stream()) <= LEVEL).tolist()
    assert named == list(steps.superior_models)
