"""What a league comes to: each long window judged by itself, all windows together in pairs.

A window of 250 days or more is a *span*: there the differences of equity are bootstrapped in
blocks, Sharpe ratios are deflated by every trial that the workspace has seen, and the choice among
parameter sets is held against overfitting (``analysis.verdicts``). Windows of days or weeks can
separate nothing by themselves: of those only the paired table speaks, which counts windows.

A simulated market is another one with every seed: each is a window of its own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from seawall.analysis.contender import to_contender
from seawall.errors import SeawallError
from seawall.language.cutoff import refuse_rank
from seawall.market.series import FloatArray
from seawall.tournament.across import (
    Abstention,
    Across,
    Strain,
    Thinking,
    compare_across,
    find_abstentions,
    find_periods,
    find_strains,
    find_thinking,
)
from seawall.tournament.play import Played
from seawall.tournament.stages import SPAN_DAYS, Census, Stage, seatings, to_stage
from seawall.trial_ledger import TrialLedger

_SAME = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Standings:
    """A league's result.

    Attributes:
        played: what it was made of.
        stages: windows, in the order of the file.
        across: over the short windows; over all where there are only spans. ``n_periods``: how many
            of these are independent of each other.
        strains, thinking, abstentions: see there.
        trials: by family, how many the ledger knows; ``digest``: of the ledger, ``""`` without one.
        ranks: by total return, 1 the best: one row per stage, one column per ranked player.
        concordance: Kendall's W of the ranks over the windows: 1 the same order everywhere, 0 none;
            nan for fewer than two windows.
        unranked: by (window, player), why it must not be ranked with the others there.
    """

    played: Played
    stages: tuple[Stage, ...]
    across: tuple[Across, ...]
    n_periods: int
    strains: tuple[Strain, ...]
    thinking: tuple[Thinking, ...]
    abstentions: tuple[Abstention, ...]
    trials: Mapping[str, int]
    digest: str
    ranks: pd.DataFrame
    concordance: float
    unranked: Mapping[tuple[str, str], str]

    @property
    def spans(self) -> tuple[Stage, ...]:
        """The stages that were judged by themselves."""
        return tuple(stage for stage in self.stages if stage.verdicts is not None)

    @property
    def has_short(self) -> bool:
        """Whether there are windows too short to be judged by themselves."""
        return any(stage.n_days < SPAN_DAYS for stage in self.stages)

    @property
    def labels(self) -> tuple[str, ...]:
        """What has to be said beside every number: of any window."""
        return tuple(dict.fromkeys(label for stage in self.stages for label in stage.labels))

    @property
    def errors(self) -> list[tuple[str, str, str]]:
        """Window, player and why, of everything that failed."""
        return [
            (stage.name, name, why) for stage in self.stages for name, why in stage.failed.items()
        ]


def stand(played: Played, ledger: TrialLedger | None = None) -> Standings:
    """Return what a played league comes to.

    Raises:
        WorkspaceError: the ledger was changed, or cannot be read.
    """
    unranked = find_unranked(played)
    census = _count_trials(played, ledger, unranked)
    stages = tuple(to_stage(played, window, seeds, census) for window, seeds in seatings(played))
    # A span says more by itself than as one of many windows, and would outweigh them all.
    short = tuple(stage for stage in stages if stage.n_days < SPAN_DAYS) or stages
    ranks = _ranks(played, stages, unranked)
    own = ranks.loc[[stage.name for stage in short]]
    periods = find_periods(played, short)
    return Standings(
        played=played,
        stages=stages,
        across=tuple(compare_across(played, short, own, periods, unranked)),
        n_periods=len(set(periods.values())),
        strains=tuple(find_strains(played)),
        thinking=tuple(find_thinking(played)),
        abstentions=tuple(find_abstentions(played)),
        trials=census.trials,
        digest="" if ledger is None else ledger.digest,
        ranks=ranks,
        concordance=concordance(ranks),
        unranked=unranked,
    )


def find_unranked(played: Played) -> dict[tuple[str, str], str]:
    """Return, by (window, player), why it must not be ranked with the others there.

    A language model is not ranked on windows before its stated training cutoff, unless masked. Who
    abstained in more than half of its decisions is not: what it ended with is no work of its own.
    """
    found = {
        (one.window, one.name): "it abstained in more than half of its decisions"
        + (f", most often: {one.reason}" if one.reason else "")
        for one in find_abstentions(played)
        if one.is_mostly
    }
    for window, recipe in played.recipes.items():
        for name in played.players:
            try:
                why = refuse_rank(to_contender(name).recipe(recipe))
            except SeawallError as error:  # the cutoff is no date, say
                why = str(error)
            if why:
                found[window, name] = why
    return found


def _count_trials(
    played: Played, ledger: TrialLedger | None, unranked: Mapping[tuple[str, str], str]
) -> Census:
    """Return trials by family, and the annualised Sharpe ratios that are known of them."""
    counts: dict[str, int] = {}
    sharpes: dict[tuple[str, str], FloatArray] = {}
    if ledger is not None:
        ledger.check()
    for family in dict.fromkeys(played.families.values()):
        rows = [] if ledger is None else ledger.trials(family)
        here = {
            cell.key
            for (window, name, seed, stress), cell in played.cells.items()
            if played.families.get(name) == family
            and not (cell.error or stress)
            and seed in played.seeds_of(window, name)
        }
        counts[family] = max(len(rows), len(here), 1)
        known = [(row.market, row.sharpe) for row in rows if row.sharpe is not None]
        for market in {market for market, _ in known}:
            found = [sharpe for place, sharpe in known if place == market]
            sharpes[family, market] = np.array(found, dtype=np.float64)
    return Census(trials=counts, sharpes=sharpes, unranked=unranked)


def _ranks(
    played: Played, stages: Sequence[Stage], unranked: Mapping[tuple[str, str], str]
) -> pd.DataFrame:
    """Return ranks by total return, 1 the best: one row per stage, one column per player."""
    shown = [*played.benchmarks, *played.agents]
    table = pd.DataFrame(
        [
            {
                name: stage.returns.get(name, math.nan)
                for name in shown
                if (stage.window, name) not in unranked
            }
            for stage in stages
        ],
        index=[stage.name for stage in stages],
        columns=shown,
        dtype=np.float64,
    )
    rounded = (table / _SAME).round() * _SAME
    return rounded.rank(axis=1, ascending=False)


def concordance(ranks: pd.DataFrame) -> float:
    """Return Kendall's W of ranks, rows that rank the same columns; ties are corrected for.

    Source: Kendall and Babington Smith (1939), "The problem of m rankings", Annals of Mathematical
    Statistics 10. nan for fewer than two full rows or columns, or where every row is one tie. Who
    has no rank at all is left out.
    """
    full = ranks.dropna(axis=1, how="all").dropna()
    m, n = full.shape
    if m < 2 or n < 2:  # noqa: PLR2004 - one order agrees with itself
        return math.nan
    sums = full.sum(axis=0).to_numpy(dtype=np.float64)
    spread = float(((sums - sums.mean()) ** 2).sum())
    ties = sum(
        float(count**3 - count)
        for _, row in full.iterrows()
        for count in row.value_counts().to_numpy()
    )
    most = m**2 * (n**3 - n) - m * ties
    return 12 * spread / most if most > 0 else math.nan
