"""The judge of every kind of guard: what a run comes to beside doing nothing, and the bound."""

from collections.abc import Mapping
from typing import Protocol

from seawall.analysis.guarded import kind_of
from seawall.analysis.hindsight_world import find_hindsight
from seawall.analysis.judgement import Judgement, MarginProtection, Protection
from seawall.analysis.league_table import BOUNDS, Bound
from seawall.analysis.margin_hindsight_world import find_margin_hindsight
from seawall.analysis.margin_protection import judge_margin
from seawall.analysis.protection import judge
from seawall.engine.world import World
from seawall.market.series import FloatArray
from seawall.recipe import Recipe
from seawall.result import Result

AnyJudgement = Judgement[Protection] | Judgement[MarginProtection]


class Best(Protocol):
    """The best policy on a path: what a loan's and a position's have in common."""

    @property
    def final_equity_usd(self) -> float:
        """At the last close."""

    @property
    def curve(self) -> FloatArray:
        """Equity at the start and at each close."""

    @property
    def n_rebalances(self) -> int:
        """How often it traded."""

    def to_cell(self) -> dict[str, float | int]:
        """Return what a league's table has of it."""


def find_bests(
    world: World, recipe: Recipe, untouched: Result, *, n_states: int | None = None
) -> Mapping[Bound, Best]:
    """Return the best policy for what a recipe guards, with bars resolved either way.

    Raises:
        ResultError: the recipe guards nothing.
    """
    found: dict[Bound, Best] = {}
    for bound in BOUNDS:
        if kind_of(recipe) == "margin":
            found[bound] = find_margin_hindsight(world, recipe, untouched, bound, n_states=n_states)
        else:
            found[bound] = find_hindsight(world, recipe, bound, n_states=n_states)
    return found


def judge_any(result: Result, untouched: Result, bests: Mapping[Bound, Best]) -> AnyJudgement:
    """Return what an agent's run comes to beside the same path without an agent.

    Raises:
        ResultError: one of them guards nothing, or they start with different equity.
        LedgerError: the parts do not add up.
    """
    worst_usd, best_usd = (bests[bound].final_equity_usd for bound in BOUNDS)
    if kind_of(result.recipe) == "margin":
        return judge_margin(result, untouched, hindsight_usd=worst_usd, best_usd=best_usd)
    return judge(result, untouched, hindsight_usd=worst_usd, best_usd=best_usd)
