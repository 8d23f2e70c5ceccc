"""Agents against benchmarks, and against each other: two families of comparisons, one resample.

Against each benchmark the agents are one family, one-sided (StepM); all pairs of agents are
another, two-sided. Both use the same resampled curves, so no verdict hangs on a draw that another
did not see. The corrected p-values are those of ``superior.step_down``.

Left out: a correction over the benchmarks: who must beat all of them risks no more than with one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from seawall.analysis.ranking import Ranking, rank
from seawall.analysis.superior import Gaps, Resampled, Spa, find_gaps, judge_best, step_down
from seawall.market.series import FloatArray

_MOST_GROWTH = 700.0  # the exponential of more leaves the range of a float


@dataclass(frozen=True, kw_only=True)
class Lead:
    """How far one curve lies above another.

    Attributes:
        ahead: how much more the first ends with, as a fraction of what the second ends with (0.05:
            five per cent more).
        low, high: ends of the interval of ``ahead`` for this pair alone.
        p_value: corrected for all comparisons of its family: at most ``1 - confidence`` is told
            apart. Against a benchmark it is one-sided (ahead), between agents two-sided.
    """

    ahead: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True, kw_only=True)
class AgentLead:
    """How far one agent lies above another; ``first`` ended at least as high as ``second``."""

    first: str
    second: str
    lead: Lead
    is_told_apart: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Contest:
    """What came of all comparisons.

    Attributes:
        over_benchmarks: by agent, then by benchmark.
        spa: by benchmark: whether any agent is better; empty without agents.
        pairs: every two agents.
        ranking: of the agents, in the order they were given.
    """

    over_benchmarks: Mapping[str, Mapping[str, Lead]]
    spa: Mapping[str, Spa]
    pairs: tuple[AgentLead, ...]
    ranking: Ranking


def hold(
    sample: Resampled, agents: Sequence[str], benchmarks: Sequence[str], confidence: float
) -> Contest:
    """Return what comes of all comparisons.

    Args:
        sample: the curves of the agents, then those of the benchmarks, in this order.
        agents: their names; none is allowed.
        benchmarks: their names.
        confidence: of intervals and of telling apart.
    """
    leads: dict[str, dict[str, Lead]] = {name: {} for name in agents}
    tests: dict[str, Spa] = {}
    columns = np.arange(len(agents), dtype=np.int64)
    for place, benchmark in enumerate(benchmarks if agents else (), start=len(agents)):
        gaps = find_gaps(sample, columns, np.full_like(columns, place))
        p_values = step_down(gaps.statistic, gaps.null)
        tests[benchmark] = judge_best(gaps, sample.n_periods)
        for name, lead in zip(agents, _to_leads(gaps, p_values, confidence), strict=True):
            leads[name][benchmark] = lead
    pairs, is_above = _compare_all(sample, agents, confidence)
    return Contest(over_benchmarks=leads, spa=tests, pairs=pairs, ranking=rank(is_above))


def _compare_all(
    sample: Resampled, agents: Sequence[str], confidence: float
) -> tuple[tuple[AgentLead, ...], "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]"]:
    """Return every pair of agents, and who was told above whom, shape (n_agents, n_agents)."""
    is_above = np.zeros((len(agents), len(agents)), dtype=np.bool_)
    totals = sample.growth.sum(axis=0)
    ordered = sorted(range(len(agents)), key=lambda place: -totals[place])
    pairs = np.array(list(combinations(ordered, 2)), dtype=np.int64).reshape(-1, 2)
    if not len(pairs):
        return (), is_above
    gaps = find_gaps(sample, pairs[:, 0], pairs[:, 1])
    p_values = step_down(np.abs(gaps.statistic), np.abs(gaps.null))
    is_told = is_told_apart(p_values, confidence)
    is_above[pairs[is_told, 0], pairs[is_told, 1]] = True
    found = [
        AgentLead(first=agents[one], second=agents[other], lead=lead, is_told_apart=bool(told))
        for (one, other), lead, told in zip(
            pairs, _to_leads(gaps, p_values, confidence), is_told, strict=True
        )
    ]
    return tuple(found), is_above


def is_told_apart(
    p_values: FloatArray, confidence: float
) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    """Return where a corrected p-value is small enough; the last bit of ``1 - 0.95`` is no bar."""
    return p_values <= (1.0 - confidence) * (1.0 + 1e-12)


def _to_leads(gaps: Gaps, p_values: FloatArray, confidence: float) -> list[Lead]:
    """Return gaps as fractions; the interval reaches as far to either side as chance does."""
    reach = np.quantile(np.abs(gaps.null), confidence, axis=0) * gaps.error
    ends = (gaps.estimate, gaps.estimate - reach, gaps.estimate + reach)
    rows = zip(*ends, p_values, strict=True)
    return [
        Lead(
            ahead=_to_fraction(middle), low=_to_fraction(low), high=_to_fraction(high),
            p_value=float(p_value),
        )
        for middle, low, high, p_value in rows
    ]  # fmt: skip


def _to_fraction(growth: float) -> float:
    return math.expm1(min(float(growth), _MOST_GROWTH))
