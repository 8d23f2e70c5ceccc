"""One span, all agents: what may be said of each, and what may not. The one door is ``judge``.

Two questions are asked, each with its own family of comparisons, at one confidence:

1. *Does it beat the benchmarks?* An agent **wins** where it is told apart from every benchmark, so
   from the best of them, whichever that is. Against each one StepM holds the chance of any false
   name among all agents; to ask for all of them needs no further correction.
2. *Who is ahead of whom?* All pairs of agents, both sides, stepped down together. Ranks show what
   is left open (``ranking``).

Both are about growth, the change of log equity, so that the order is that of the total returns.
Sharpe ratios, their deflation and the probability of overfitting are about simple returns, as in
``metrics``. An account that was lost is no matter of chance: it ranks last, and wins nothing.

An agent given with several seeds is the mean of their growths; resamples draw its seeds as well as
the market's periods, and its Sharpe ratio is that of the seed in the middle. What is random needs
at least five.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from seawall.analysis.contest import AgentLead, Contest, Lead, hold, is_told_apart
from seawall.analysis.curves import Curve
from seawall.analysis.overfitting import N_BLOCKS, Overfitting, measure_overfitting
from seawall.analysis.seeds import MIN_SEEDS, SeedSpread, measure_spread
from seawall.analysis.sharpe import (
    TrackRecord,
    expected_maximum_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
    variance_of_trials,
)
from seawall.analysis.statistics import CONFIDENCE, N_RESAMPLES
from seawall.analysis.superior import MIN_PERIODS, Spa, resample
from seawall.errors import RecipeError, ResultError
from seawall.market.series import FloatArray

_NONE_KNOWN: Mapping[str, FloatArray] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What may be said of one agent.

    Attributes:
        name, family: the agent and, without its settings, the family whose trials count.
        rank, last_rank: the ranks it may have among the agents, 1 the best.
        tied_with: the agents that it cannot be told apart from.
        wins: it is told apart from, and above, every benchmark.
        p_value: of that: the largest of those against the benchmarks.
        leads: over each benchmark; empty where the account was lost.
        is_lost: an equity (with any seed) reached 0.
        total_return: as a fraction; with several seeds that of their mean growth, -1 if lost.
        track: length, Sharpe ratio, skewness and kurtosis, per period.
        probabilistic_sharpe: how sure the true ratio is above 0.
        deflated_sharpe: how sure it is above ``sharpe_to_beat``.
        sharpe_to_beat: what the best of ``n_trials`` without skill is expected to show, per period.
        n_trials: of the family, the settings shown here at least.
        minimum_track: periods needed to be sure that the ratio is above 0; inf: no number is.
        spread: total returns over the seeds; None for one seed.
    """

    name: str
    family: str
    rank: int
    last_rank: int
    tied_with: tuple[str, ...]
    wins: bool
    p_value: float
    leads: Mapping[str, Lead]
    is_lost: bool
    total_return: float
    track: TrackRecord
    probabilistic_sharpe: float
    deflated_sharpe: float
    sharpe_to_beat: float
    n_trials: int
    minimum_track: float
    spread: SeedSpread | None

    @property
    def is_long_enough(self) -> bool:
        """Whether the record is as long as its Sharpe ratio needs."""
        return self.track.n_periods >= self.minimum_track


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """What may be said of all agents over one span.

    Attributes:
        agents: by first rank, then total return.
        leads: every two agents whose accounts lived, the one that ended higher first.
        groups: names that cannot be told apart from each other; some may be in several.
        spa: by benchmark: whether any agent is better.
        overfitting: by family with several settings: of choosing among them.
        selection: the same of choosing among all agents; None for one agent.
        unjudged: agents left out, and why.
        n_periods, block_length, n_resamples, confidence: of the comparisons.
    """

    agents: tuple[Verdict, ...]
    leads: tuple[AgentLead, ...]
    groups: tuple[tuple[str, ...], ...]
    spa: Mapping[str, Spa]
    overfitting: Mapping[str, Overfitting]
    selection: Overfitting | None
    unjudged: Mapping[str, str]
    n_periods: int
    block_length: float
    n_resamples: int
    confidence: float

    @property
    def winners(self) -> tuple[str, ...]:
        """The agents that are told apart from, and above, every benchmark."""
        return tuple(verdict.name for verdict in self.agents if verdict.wins)


def judge(
    returns: Mapping[str, FloatArray],
    benchmarks: Mapping[str, FloatArray],
    n_trials: Mapping[str, int],
    rng: np.random.Generator,
    *,
    trial_sharpes: Mapping[str, FloatArray] = _NONE_KNOWN,
    random: Collection[str] = (),
    confidence: float = CONFIDENCE,
    n_resamples: int = N_RESAMPLES,
    n_blocks: int = N_BLOCKS,
) -> Verdicts:
    """Return what may be said of agents over one span; the same ``rng``, the same to the bit.

    Args:
        returns: simple returns per period by agent (``sma_cross{fast=10}``), float64, shape
            (n_periods,), or (n_seeds, n_periods). A return at or below -1 is the loss of the
            account; what follows it is not read. ``curves.to_period_returns`` makes them of equity.
        benchmarks: the same, one run each: buy-and-hold, cash, doing nothing.
        n_trials: runs ever made, by family: the agent's name up to its braces.
        rng: the random numbers.
        trial_sharpes: Sharpe ratios per period of a family's trials, as far as they are known; see
            ``sharpe.variance_of_trials`` for where they are not.
        random: agents whose decisions depend on the seed; one with fewer than five seeds is left
            out, and ``unjudged`` says so.
        confidence: of every verdict and interval, 0.5 to 1.
        n_resamples: of every bootstrap; no p-value is below ``1 / (n_resamples + 1)``.
        n_blocks: of the probability of overfitting; fewer where there are not two periods each.

    Raises:
        ResultError: there is no agent or benchmark, curves differ in length, there are fewer than
            20 periods, a number is not finite, a benchmark lost its account, or a family has no
            count.
        RecipeError: the confidence or a number of trials is out of its range, or there are too few
            resamples for the confidence.
    """
    _check_level(confidence, n_resamples)
    curves, unjudged = _read(returns, random)
    against = [Curve.read(name, benchmarks[name]) for name in sorted(benchmarks)]
    _check(curves, against, n_trials)
    alive = [curve for curve in curves if not curve.is_lost]
    growths = [curve.growth for curve in (*alive, *against)]
    sample = resample(growths, rng, n_resamples=n_resamples)
    names = [curve.name for curve in alive]
    contest = hold(sample, names, [curve.name for curve in against], confidence)
    places = _Places.read(contest, names, [curve.name for curve in curves if curve.is_lost])
    verdicts = []
    for curve in curves:
        trials = _Trials.count(curve.family, curves, n_trials, trial_sharpes)
        verdicts.append(_conclude(curve, places, contest, trials, rng=rng, confidence=confidence))
    return Verdicts(
        agents=tuple(sorted(verdicts, key=lambda one: (one.rank, -one.total_return, one.name))),
        leads=contest.pairs,
        groups=places.groups,
        spa=contest.spa,
        overfitting=_overfit_families(curves, n_blocks),
        selection=_overfit(curves, n_blocks),
        unjudged=unjudged,
        n_periods=sample.n_periods,
        block_length=sample.block_length,
        n_resamples=n_resamples,
        confidence=confidence,
    )


def _read(
    returns: Mapping[str, FloatArray], random: Collection[str]
) -> tuple[list[Curve], dict[str, str]]:
    """Return the agents that can be judged, by name, and why others cannot."""
    curves = [Curve.read(name, returns[name]) for name in sorted(returns)]
    unjudged = {
        curve.name: f"depends on its seed and has {len(curve.returns)} of at least {MIN_SEEDS} "
        "seeds: run more of them"
        for curve in curves
        if curve.name in random and len(curve.returns) < MIN_SEEDS
    }
    return [curve for curve in curves if curve.name not in unjudged], unjudged


@dataclass(frozen=True, kw_only=True)
class _Places:
    """First and last rank, and ties, by name: accounts that were lost are tied behind all."""

    first: Mapping[str, int]
    last: Mapping[str, int]
    tied: Mapping[str, tuple[str, ...]]
    groups: tuple[tuple[str, ...], ...]

    @classmethod
    def read(cls, contest: Contest, alive: Sequence[str], lost: Sequence[str]) -> "_Places":
        ranking, n = contest.ranking, len(alive) + len(lost)
        rows = range(len(alive))
        ties = {alive[k]: tuple(alive[other] for other in ranking.tied_with(k)) for k in rows}
        others = {name: tuple(other for other in lost if other != name) for name in lost}
        groups = [tuple(alive[k] for k in group) for group in ranking.groups]
        return cls(
            first={alive[k]: int(ranking.first[k]) for k in rows}
            | dict.fromkeys(lost, len(alive) + 1),
            last={alive[k]: int(ranking.last[k]) for k in rows} | dict.fromkeys(lost, n),
            tied=ties | others,
            groups=(*groups, *((tuple(lost),) if lost else ())),
        )


@dataclass(frozen=True, kw_only=True)
class _Trials:
    """How many runs of a family there were, and what the best without skill would show."""

    n: int
    sharpe_to_beat: float

    @classmethod
    def count(
        cls,
        family: str,
        curves: Sequence[Curve],
        n_trials: Mapping[str, int],
        sharpes: Mapping[str, FloatArray],
    ) -> "_Trials":
        n_shown = sum(curve.family == family for curve in curves)
        n = max(int(n_trials[family]), n_shown)
        known = np.asarray(sharpes.get(family, ()), dtype=np.float64)
        variance = variance_of_trials(known, curves[0].returns.shape[1])
        return cls(n=n, sharpe_to_beat=expected_maximum_sharpe(n, variance))


def _conclude(
    curve: Curve,
    places: _Places,
    contest: Contest,
    trials: _Trials,
    *,
    rng: np.random.Generator,
    confidence: float,
) -> Verdict:
    """Return what may be said of one agent."""
    name, track = curve.name, curve.track
    leads = contest.over_benchmarks.get(name, {})
    p_value = max((lead.p_value for lead in leads.values()), default=1.0)
    has_spread = len(curve.returns) >= MIN_SEEDS
    return Verdict(
        name=name,
        family=curve.family,
        rank=places.first[name],
        last_rank=places.last[name],
        tied_with=places.tied[name],
        wins=bool(is_told_apart(np.array(p_value), confidence)),
        p_value=p_value,
        leads=leads,
        is_lost=curve.is_lost,
        total_return=curve.total_return,
        track=track,
        probabilistic_sharpe=probabilistic_sharpe(track),
        deflated_sharpe=probabilistic_sharpe(track, trials.sharpe_to_beat),
        sharpe_to_beat=trials.sharpe_to_beat,
        n_trials=trials.n,
        minimum_track=minimum_track_record(track, confidence=confidence),
        spread=measure_spread(curve.totals, rng, confidence=confidence) if has_spread else None,
    )


def _overfit_families(curves: Sequence[Curve], n_blocks: int) -> dict[str, Overfitting]:
    found = {}
    for family in sorted({curve.family for curve in curves}):
        mine = _overfit([curve for curve in curves if curve.family == family], n_blocks)
        if mine is not None:
            found[family] = mine
    return found


def _overfit(curves: Sequence[Curve], n_blocks: int) -> Overfitting | None:
    """Return what choosing among some agents is worth; None where there are fewer than two."""
    chosen = [curve.returns.mean(axis=0) for curve in curves]
    if len(chosen) < 2:  # noqa: PLR2004 - nothing to choose from
        return None
    most = len(chosen[0]) // 4 * 2  # two periods per block, an even number of blocks
    return measure_overfitting(np.column_stack(chosen), min(n_blocks, most))


def _check_level(confidence: float, n_resamples: int) -> None:
    if not 0.5 < confidence < 1.0:  # noqa: PLR2004 - below a half nothing is said
        raise RecipeError(f"confidence must be above 0.5 and below 1, is {confidence}: try 0.95")
    if not is_told_apart(np.array(1.0 / (max(n_resamples, 0) + 1)), confidence):
        raise RecipeError(
            f"{n_resamples} resamples cannot tell anything apart at confidence {confidence:g}, the "
            f"smallest p-value is 1 / (n_resamples + 1): take {N_RESAMPLES}"
        )


def _check(judged: Sequence[Curve], against: Sequence[Curve], n_trials: Mapping[str, int]) -> None:
    if not judged or not against:
        raise ResultError(
            f"a verdict needs an agent and a benchmark, has {len(judged)} and {len(against)}: "
            "add cash, or give random agents five seeds"
        )
    lengths = {curve.returns.shape[1] for curve in (*judged, *against)}
    if len(lengths) > 1 or min(lengths) < MIN_PERIODS:
        raise ResultError(
            f"all curves have the same periods, at least {MIN_PERIODS}, have {sorted(lengths)}: "
            "run all agents on one recipe, over a longer window"
        )
    for curve in against:
        if curve.is_lost or len(curve.returns) > 1:
            raise ResultError(
                f"a benchmark is one run whose account lives, {curve.name} is not: leave it out"
            )
    if missing := sorted({curve.family for curve in judged} - set(n_trials)):
        raise ResultError(
            f"n_trials counts the runs of every family, lacks {', '.join(missing)}: "
            "count them in the ledger of trials"
        )
