"""The players of a league over all windows: in pairs, under stress, and what they decided."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from seawall.analysis.league_statistics import interval, sign_test
from seawall.recipe import SIMULATED
from seawall.tournament.play import Played
from seawall.tournament.stages import Stage, seatings
from seawall.tournament.worth import LATENCY_MS, N_ABSTAINED, N_DECISIONS, THINKING

MIN_WINDOWS = 6  # with fewer, not even a sign test could be below 5 %
_LEVEL = 0.05
_SAME = 1e-9


@dataclass(frozen=True, kw_only=True)
class Across:
    """One player over all windows.

    Attributes:
        name: the player; ``n_windows``, ``n_failed``: played, and failed in.
        mean_return, worst_return, worst_window: of total returns.
        mean_rank: by total return, 1 the best; ties share their mean.
        over: mean difference of total returns to the best benchmark of each window, with its 95 %
            interval, bootstrapped over market periods.
        n_ahead, n_behind: periods in which it was ahead of that benchmark, and behind.
        chance: of a two-sided sign test over them. ``n_compared``: how many agents are tested so.
        n_liquidations: in all windows, the mean over seeds.
        seed_spread: standard deviation of total returns over seeds, root mean square over the
            windows; nan without luck of its own.
    """

    name: str
    n_windows: int
    n_failed: int
    mean_return: float
    worst_return: float
    worst_window: str
    mean_rank: float
    over: float
    low: float
    high: float
    n_ahead: int
    n_behind: int
    chance: float
    n_compared: int
    n_liquidations: float
    seed_spread: float

    @property
    def is_told_apart(self) -> bool:
        """Whether 0 lies outside the interval, and signs are no chance for any of the agents.

        The sign test is corrected for the number of agents (Bonferroni); the interval is not, and
        with few periods it is too narrow by itself.
        """
        return self.chance * self.n_compared <= _LEVEL and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, kw_only=True)
class Strain:
    """What a stress leaves of one player's result: means over windows where it applies, and seeds.

    Attributes:
        name, stress: who and what.
        plain, stressed: mean total return without and with it, over the same seeds.
        over_plain, over_stressed: mean lead over the best benchmark, likewise.
        n_windows: windows that both have.
    """

    name: str
    stress: str
    plain: float
    stressed: float
    over_plain: float
    over_stressed: float
    n_windows: int


@dataclass(frozen=True, kw_only=True)
class Thinking:
    """What deciding cost one player, over all windows, against what it earned.

    Attributes:
        name: the player. cost: quote units or USD. earned: final less first equity, net of it.
        latency_ms: mean time of a decision that was charged; nan where none was.
        n_decisions, n_abstained: in all.
    """

    name: str
    cost: float
    earned: float
    latency_ms: float
    n_decisions: int
    n_abstained: int


@dataclass(frozen=True, kw_only=True)
class Abstention:
    """Where a player had no answer: it raised, or an endpoint gave none.

    Attributes:
        window, name: where and who. reason: the commonest; ``""`` where none was kept.
        n_abstained, n_decisions: over the seeds.
    """

    window: str
    name: str
    n_abstained: int
    n_decisions: int
    reason: str

    @property
    def is_mostly(self) -> bool:
        """Whether the result is that of nobody: more than half of the decisions were none."""
        return 2 * self.n_abstained > self.n_decisions


def find_periods(played: Played, stages: Sequence[Stage]) -> dict[str, str]:
    """Return, by window, what it shares with those that are not independent of it.

    Windows that overlap in time are one period, whatever they trade: coins fall together. A
    simulated market is its own.
    """
    found: dict[str, str] = {}
    spans = []
    for stage in stages:
        market = played.recipes[stage.window].market
        if market.venue == SIMULATED:
            found[stage.name] = stage.name
        else:
            spans.append((market.since_ms, market.until_ms, stage.name))
    last_ms, period = 0, ""
    for since_ms, until_ms, name in sorted(spans):
        if not period or since_ms >= last_ms:
            period = name
        last_ms = max(last_ms, until_ms)
        found[name] = period
    return found


def compare_across(
    played: Played,
    stages: Sequence[Stage],
    ranks: pd.DataFrame,
    periods: Mapping[str, str],
    unranked: Collection[tuple[str, str]],
) -> Iterator[Across]:
    """Give every benchmark and agent over the windows that it may be ranked in."""
    for name in (*played.benchmarks, *played.agents):
        own = [stage for stage in stages if (stage.window, name) not in unranked]
        returns = {s.name: s.returns[name] for s in own if name in s.returns}
        gaps = pd.Series(
            {
                s.name: s.returns[name] - best
                for s in own
                if name in s.returns and (best := _best(played, s, but=name)) is not None
            },
            dtype=np.float64,
        )
        low, high = interval(gaps, periods) if len(gaps) else (math.nan, math.nan)
        by_period = gaps.groupby(gaps.index.map(periods)).mean()
        ahead, behind = int((by_period > _SAME).sum()), int((by_period < -_SAME).sum())
        worst = min(returns, key=lambda window: returns[window], default="")
        yield Across(
            name=name,
            n_windows=len(returns),
            n_failed=len(own) - len(returns),
            mean_return=float(np.mean(list(returns.values()))) if returns else math.nan,
            worst_return=returns.get(worst, math.nan),
            worst_window=worst,
            mean_rank=float(ranks[name].mean()),
            over=float(gaps.mean()) if len(gaps) else math.nan,
            low=low,
            high=high,
            n_ahead=ahead,
            n_behind=behind,
            chance=sign_test(ahead, behind),
            n_compared=max(len(played.agents), 1),
            n_liquidations=sum(stage.liquidations.get(name, 0.0) for stage in own),
            seed_spread=_seed_spread(own, name),
        )


def _best(played: Played, stage: Stage, *, but: str) -> float | None:
    """Return what the best benchmark of a stage made; a benchmark is held against the others."""
    found = [stage.returns[n] for n in played.benchmarks if n != but and n in stage.returns]
    return max(found, default=None)


def _seed_spread(stages: Sequence[Stage], name: str) -> float:
    spreads = [
        float(np.var(curve[:, -1], ddof=1))
        for stage in stages
        if (curve := stage.curves.get(name)) is not None and len(curve) > 1
    ]
    return math.sqrt(float(np.mean(spreads))) if spreads else math.nan


def find_strains(played: Played) -> Iterator[Strain]:
    """Give what each stress leaves; leads are over the best benchmark under the same stress."""
    for stress in played.file.stress:
        for name in played.agents:
            rows = [
                row
                for window, seeds in seatings(played)
                if (row := _strain(played, window, seeds, name, stress))
            ]
            if not rows:
                continue
            plain, stressed, over, over_stressed = np.mean(np.array(rows), axis=0).tolist()
            yield Strain(
                name=name, stress=stress, plain=plain, stressed=stressed, over_plain=over,
                over_stressed=over_stressed, n_windows=len(rows),
            )  # fmt: skip


def _strain(
    played: Played, window: str, seeds: Collection[int], name: str, stress: str
) -> tuple[float, float, float, float] | None:
    def total(player: str, under: str) -> float | None:
        own = [seed for seed in played.seeds_of(window, player) if seed in seeds]
        cells = [played.cell(window, player, seed, under) for seed in own]
        found = [cell.total_return for cell in cells if cell is not None and not cell.error]
        return float(np.mean(found)) if found and len(found) == len(own) else None

    plain, stressed = total(name, ""), total(name, stress)
    bests = [
        max(
            (t for mark in played.benchmarks if (t := total(mark, under)) is not None), default=None
        )
        for under in ("", stress)
    ]
    if plain is None or stressed is None or bests[0] is None or bests[1] is None:
        return None
    return plain, stressed, plain - bests[0], stressed - bests[1]


def find_abstentions(played: Played) -> Iterator[Abstention]:
    """Give every window and player with a decision that was none, in the order of the file."""
    for window in played.recipes:
        for name in played.players:
            cells = [
                cell
                for seed in played.seeds_of(window, name)
                if (cell := played.cell(window, name, seed)) is not None and not cell.error
            ]
            n_abstained = int(sum(cell.number(N_ABSTAINED) for cell in cells))
            if n_abstained:
                most = max(cells, key=lambda cell: cell.number(N_ABSTAINED))
                yield Abstention(
                    window=window, name=name, n_abstained=n_abstained, reason=most.why_abstained,
                    n_decisions=int(sum(cell.number(N_DECISIONS) for cell in cells)),
                )  # fmt: skip


def find_thinking(played: Played) -> Iterator[Thinking]:
    """Give what deciding cost every agent that has a result."""
    for name in played.agents:
        cells = [
            cell
            for (window, player, seed, stress), cell in played.cells.items()
            if player == name and not stress and not cell.error
            if seed in played.seeds_of(window, name)
        ]
        if not cells:
            continue
        latencies = [cell.number(LATENCY_MS) for cell in cells if cell.worth.get(LATENCY_MS)]
        yield Thinking(
            name=name,
            cost=sum(cell.number(THINKING) for cell in cells),
            earned=sum(float(cell.equity[-1] - cell.equity[0]) for cell in cells),
            latency_ms=float(np.mean(latencies)) if latencies else math.nan,
            n_decisions=int(sum(cell.number(N_DECISIONS) for cell in cells)),
            n_abstained=int(sum(cell.number(N_ABSTAINED) for cell in cells)),
        )
