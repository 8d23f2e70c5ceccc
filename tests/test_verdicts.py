"""One call judges a league: who wins, who ties, what is too short, overfitted, lost or left out."""

import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from seawall.analysis.contest import is_told_apart
from seawall.analysis.curves import Curve, family_of, to_period_returns
from seawall.analysis.sharpe import expected_maximum_sharpe
from seawall.analysis.verdicts import Verdict, Verdicts, judge
from seawall.errors import RecipeError, ResultError
from seawall.units import HOUR_MS

Array = NDArray[np.float64]
N = 400
EVERY = {"a": 3, "b": 1, "c": 1, "coin": 5, "lost": 1}


def market(seed: int = 0, n: int = N) -> Array:
    """Return a market's simple returns per period."""
    return np.asarray(0.01 * np.random.default_rng([seed, 1]).standard_t(5, n))


def noise(seed: int, n: int = N) -> Array:
    """Return what an agent's own luck adds."""
    return np.asarray(0.004 * np.random.default_rng([seed, 2]).normal(size=n))


def judge_all(
    returns: Mapping[str, Array], *, seed: int = 0, n_resamples: int = 499, n_blocks: int = 6
) -> Verdicts:
    """Judge agents against cash and buy-and-hold of the market."""
    held = market()[: next(iter(returns.values())).shape[-1]]
    benchmarks = {"cash": np.zeros_like(held), "buy_and_hold": held}
    return judge(
        returns, benchmarks, EVERY, np.random.default_rng(seed),
        random=["coin"], n_resamples=n_resamples, n_blocks=n_blocks,
    )  # fmt: skip


def by_name(verdicts: Verdicts) -> dict[str, Verdict]:
    """Return the agents' verdicts by name."""
    return {verdict.name: verdict for verdict in verdicts.agents}


LEAGUE = {
    "a{fast=5}": 0.5 * market() + noise(1) + 0.004,
    "a{fast=9}": 0.5 * market() + noise(2),
    "b": 0.5 * market() + noise(3) - 0.004,
    "c": market(),
    "coin": np.array([0.5 * market() + noise(10 + seed) for seed in range(5)]),
    "lost": np.concatenate([market()[:50], [-1.2], np.full(N - 51, np.nan)]),
}
JUDGED = judge_all(LEAGUE)


@settings(deadline=None, max_examples=8)
@given(st.permutations(list(LEAGUE)), st.integers(0, 1_000))
def test_neither_the_order_of_the_agents_nor_the_run_changes_a_verdict(
    order: list[str], seed: int
) -> None:
    """The same random numbers judge the same league in the same way, to the bit."""
    one = judge_all(LEAGUE, seed=seed, n_resamples=60)
    other = judge_all({name: LEAGUE[name] for name in order}, seed=seed, n_resamples=60)
    assert one.agents[:-1] == other.agents[:-1]
    assert (one.leads, one.groups, one.spa) == (other.leads, other.groups, other.spa)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.lists(st.floats(-0.006, 0.006), min_size=2, max_size=6))
def test_verdicts_never_contradict_each_other(seed: int, edges: list[float]) -> None:
    """Who is told apart above another ranks above it, and returned more; ties are mutual."""
    names = [f"a{{n={k}}}" for k in range(len(edges))]
    returns = {
        name: 0.5 * market() + noise(seed + k) + edge
        for k, (name, edge) in enumerate(zip(names, edges, strict=True))
    }
    found = judge_all(returns, n_resamples=99)
    verdicts = by_name(found)
    for lead in found.leads:
        first, second = verdicts[lead.first], verdicts[lead.second]
        assert first.total_return >= second.total_return
        assert (first.name in second.tied_with) == (second.name in first.tied_with)
        if lead.is_told_apart:
            assert first.rank < second.rank
            assert first.last_rank < second.last_rank
            assert first.name not in second.tied_with
    for verdict in found.agents:
        assert verdict.wins == all(lead.p_value <= 0.05 + 1e-12 for lead in verdict.leads.values())
        assert verdict.p_value == max(lead.p_value for lead in verdict.leads.values())
        assert verdict.deflated_sharpe <= verdict.probabilistic_sharpe


def test_a_true_edge_wins_and_nobody_else_does() -> None:
    """0.4 % a period over half of the market is told apart from both benchmarks and all agents."""
    best = JUDGED.agents[0]
    assert JUDGED.winners == ("a{fast=5}",)
    assert (best.name, best.rank, best.last_rank, best.tied_with) == ("a{fast=5}", 1, 1, ())
    assert best.leads["cash"].low > 0.0
    assert all(test.p_value <= 0.05 for test in JUDGED.spa.values())


def test_ties_are_shown_as_ties() -> None:
    """Three without an edge cannot be told apart, and share what ranks are left above the loser."""
    found = by_name(JUDGED)
    for name in ("a{fast=9}", "c", "coin"):
        assert (found[name].rank, found[name].last_rank) == (2, 4)
    assert sorted(found["c"].tied_with) == ["a{fast=9}", "coin"]
    assert found["b"].rank == found["b"].last_rank == 5
    assert [sorted(group) for group in JUDGED.groups] == [
        ["a{fast=5}"], ["a{fast=9}", "c", "coin"], ["b"], ["lost"],
    ]  # fmt: skip


def test_who_is_the_benchmark_is_not_told_apart_from_it() -> None:
    """An agent that only holds is ahead of buy-and-hold by nothing, with certainty of nothing."""
    lead = by_name(JUDGED)["c"].leads["buy_and_hold"]
    assert (lead.ahead, lead.low, lead.high, lead.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_pairs_of_agents_are_two_sided() -> None:
    """A lead over an agent that holds has twice the p-value of that over buy-and-hold itself."""
    luck = noise(1) - noise(1).mean() + 0.00034
    found = judge_all({"a": market() + luck, "c": market()}, n_resamples=4_999)
    one_sided = by_name(found)["a"].leads["buy_and_hold"].p_value
    assert 0.01 < one_sided < 0.2
    assert found.leads[0].lead.p_value == pytest.approx(2 * one_sided, rel=0.2)


def test_a_lead_is_what_one_ends_with_over_the_other() -> None:
    """Twice the end of the other is a lead of 1: the ratio of the equities, less 1."""
    found = by_name(JUDGED)["a{fast=5}"]
    end, other = np.prod(1 + LEAGUE["a{fast=5}"]), np.prod(1 + market())
    assert found.leads["buy_and_hold"].ahead == pytest.approx(end / other - 1)
    assert found.total_return == pytest.approx(end - 1)


def test_a_lost_account_is_last_and_no_matter_of_chance() -> None:
    """It ranks behind all, ties with nobody that lived, has no leads and wins nothing."""
    lost = by_name(JUDGED)["lost"]
    assert lost.is_lost
    assert (lost.rank, lost.last_rank, lost.total_return) == (6, 6, -1.0)
    assert not lost.wins
    assert not lost.leads
    assert lost.p_value == 1.0
    assert all("lost" not in (lead.first, lead.second) for lead in JUDGED.leads)


def test_two_lost_accounts_share_the_last_ranks() -> None:
    """What they did before does not order them, and a league of the lost has no tests."""
    lost = np.concatenate([[-1.0], np.zeros(N - 1)])
    found = judge_all({"a": lost, "b": lost[::-1].copy()})
    assert [(v.rank, v.last_rank, v.tied_with) for v in found.agents] == [
        (1, 2, ("b",)), (1, 2, ("a",)),
    ]  # fmt: skip
    assert not found.spa
    assert found.groups == (("a", "b"),)


def test_trials_are_counted_by_family() -> None:
    """Both settings of ``a`` are measured by the family's three trials, ``c`` by its one."""
    found = by_name(JUDGED)
    bar = expected_maximum_sharpe(3, 1 / (N - 1))
    for name in ("a{fast=5}", "a{fast=9}"):
        assert (found[name].n_trials, found[name].sharpe_to_beat) == (3, bar)
    assert found["c"].sharpe_to_beat == 0.0
    assert found["c"].deflated_sharpe == found["c"].probabilistic_sharpe
    assert list(JUDGED.overfitting) == ["a"]


def test_what_is_shown_was_tried() -> None:
    """A ledger that counts fewer runs than settings are shown is not believed."""
    returns = {f"a{{n={k}}}": noise(k) for k in range(4)}
    found = judge(
        returns, {"cash": np.zeros(N)}, {"a": 1}, np.random.default_rng(0), n_resamples=50
    )
    assert {verdict.n_trials for verdict in found.agents} == {4}


def test_known_trials_set_the_bar() -> None:
    """Ratios of trials that differ more than chance raise what has to be beaten."""
    ratios = np.array([0.0, 0.3, -0.3])
    found = judge(
        {"a": noise(1)}, {"cash": np.zeros(N)}, EVERY, np.random.default_rng(0),
        trial_sharpes={"a": ratios}, n_resamples=50,
    )  # fmt: skip
    bar = expected_maximum_sharpe(3, float(ratios.var(ddof=1)))
    assert found.agents[0].sharpe_to_beat == bar


def test_a_short_record_says_so() -> None:
    """The winner's record is long enough for its ratio, that of a loser never is."""
    found = by_name(JUDGED)
    assert found["a{fast=5}"].is_long_enough
    assert found["b"].minimum_track == math.inf
    assert not found["b"].is_long_enough


def test_random_agents_need_five_seeds() -> None:
    """With five the spread is shown; with four it is left out, with the reason, and not ranked."""
    assert by_name(JUDGED)["coin"].spread is not None
    assert by_name(JUDGED)["c"].spread is None
    found = judge_all({**LEAGUE, "coin": LEAGUE["coin"][:4]})
    assert "coin" not in by_name(found)
    assert found.unjudged["coin"].startswith("depends on its seed and has 4 of at least 5")


def test_seeds_that_differ_are_not_told_apart_by_one_of_them() -> None:
    """Four seeds without an edge and one with a great one: the family of five does not win."""
    seeds = np.array([noise(seed) for seed in range(5)])
    seeds[0] += 0.02
    mean = seeds.mean(axis=0)
    found = judge_all({"coin": seeds, "c": mean})
    assert by_name(found)["c"].leads["cash"].p_value <= 0.05
    assert by_name(found)["coin"].leads["cash"].p_value > 0.05


def test_short_spans_are_cut_into_fewer_blocks() -> None:
    """Twenty periods leave ten blocks of two."""
    found = judge_all({"a{n=1}": noise(1, 20), "a{n=2}": noise(2, 20)}, n_resamples=50, n_blocks=16)
    assert found.selection is not None
    assert found.selection.n_blocks == 10
    assert judge_all({"a": noise(1, 20)}, n_resamples=50).selection is None


def test_periods_start_at_the_start_and_keep_the_total() -> None:
    """Fifty days of hours make 300 periods of four, which multiply to the total return."""
    equity = 100 * np.cumprod(1 + np.concatenate([[0.0], market(3, 1_200)]))
    times = HOUR_MS * np.arange(len(equity), dtype=np.int64)
    returns = to_period_returns(equity, times)
    assert len(returns) == 300
    assert np.prod(1 + returns) == pytest.approx(equity[-1] / equity[0])


def test_an_account_stays_lost() -> None:
    """Equity that goes to nothing returns -1 once and 0 ever after, whatever it is said to be."""
    times = HOUR_MS * np.arange(5, dtype=np.int64)
    returns = to_period_returns(np.array([100.0, 110.0, -5.0, 50.0, np.nan]), times)
    assert returns == pytest.approx([0.1, -1.0, 0.0, 0.0])
    curve = Curve.read("x", np.array([0.1, -1.0, np.nan, 0.5]))
    assert curve.is_lost
    assert curve.returns.tolist() == [[0.1, -1.0, 0.0, 0.0]]
    assert curve.totals.tolist() == [-1.0]


def test_the_level_itself_is_told_apart() -> None:
    """A p-value of 1/10 at 90 % counts, though 1 - 0.9 is a little less than that in floats."""
    assert 1 - 0.9 < 0.1
    assert is_told_apart(np.array([0.1, 0.100001]), 0.9).tolist() == [True, False]
    assert family_of("sma_cross{fast=10}") == family_of("sma_cross") == "sma_cross"


def test_bad_input_is_refused() -> None:
    """Each message says what to do."""
    rng, cash = np.random.default_rng(0), {"cash": np.zeros(N)}
    with pytest.raises(ResultError, match="has 0 and 1"):
        judge({}, cash, EVERY, rng)
    with pytest.raises(ResultError, match="has 1 and 0"):
        judge({"a": noise(1)}, {}, EVERY, rng)
    with pytest.raises(ResultError, match="counts the runs of every family, lacks z"):
        judge({"z{n=1}": noise(1)}, cash, EVERY, rng)
    with pytest.raises(ResultError, match=r"the same periods.*\[400, 401\]"):
        judge({"a": noise(1, 401)}, cash, EVERY, rng)
    with pytest.raises(ResultError, match="at least 20"):
        judge({"a": noise(1, 19)}, {"cash": np.zeros(19)}, EVERY, rng)
    with pytest.raises(ResultError, match="returns of a must be finite"):
        judge({"a": np.full(N, np.nan)}, cash, EVERY, rng)
    with pytest.raises(ResultError, match="those of a have shape"):
        judge({"a": np.zeros((2, 2, 2))}, cash, EVERY, rng)
    with pytest.raises(ResultError, match="whose account lives, cash is not"):
        judge({"a": noise(1)}, {"cash": np.full(N, -1.0)}, EVERY, rng)
    with pytest.raises(RecipeError, match=r"confidence must be .* is 0\.4"):
        judge({"a": noise(1)}, cash, EVERY, rng, confidence=0.4)
    with pytest.raises(RecipeError, match="18 resamples cannot tell anything apart"):
        judge({"a": noise(1)}, cash, EVERY, rng, n_resamples=18)
    with pytest.raises(RecipeError, match="confidence must"):
        judge({"a": noise(1)}, cash, EVERY, rng, confidence=float("nan"))
    with pytest.raises(ResultError, match="equity must start above 0"):
        to_period_returns(np.zeros(5), HOUR_MS * np.arange(5, dtype=np.int64))
