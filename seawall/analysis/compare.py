"""Run several agents on one path and say which of them can be told apart.

Cash and buy-and-hold always run beside the agents, and each agent meets random ones that are in the
market as long and trade as much as it does (see ``chance``). Intervals are paired (``statistics``).

An agent's rank is 1 + the number of agents that are told apart from it and lie above it: agents
that cannot be told apart from a better one share its rank, so the table shows ties as ties.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from seawall.analysis.chance import N_RANDOM, Chance, match, play
from seawall.analysis.comparison import Comparison, Pair, Standing
from seawall.analysis.contender import Contender, check_agent, to_contenders
from seawall.analysis.figures import to_ms
from seawall.analysis.guarded import WORDS, kind_of
from seawall.analysis.statistics import difference, percentile_among, period_ends, share_of_chance
from seawall.engine.run import run_and_count
from seawall.engine.world import ReportFetch, World, build_world
from seawall.errors import RecipeError, SeawallError
from seawall.market.catalog import Catalog
from seawall.recipe import Recipe
from seawall.result import Result
from seawall.workspace import find_recipe

ALWAYS = ("cash", "buy_and_hold")
_STEPS = 1_000  # of the progress, per agent
_TROUBLES = (("abstained", "abstained", "text"), ("refused", "was refused", "reason"))
_BOOTSTRAP_STREAM, _CHANCE_STREAM = 1, 2  # the seed's streams: one does not move the other

Advance = Callable[[int, int], None]


@dataclass(kw_only=True)
class _Course:
    """What has been run so far: results by shown name, and why others have none."""

    results: dict[str, Result] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def compare(
    recipe: Recipe | str | Path,
    agents: Sequence[str],
    *,
    catalog: Catalog | None = None,
    offline: bool = True,
    progress: Advance | None = None,
    on_fetch: ReportFetch = lambda _key, _progress: None,
    n_random: int = N_RANDOM,
) -> Comparison:
    """Return how the agents did on the recipe's path, beside cash, buy-and-hold and chance.

    Args:
        recipe: market, job, costs and seed, or the file or name of one; its own agent's parameters
            apply to the agent of the same name.
        agents: names, ``sma_cross`` or ``agents.sma_cross`` or ``sma_cross{fast=10}``. One that
            fails while it runs does not stop the others: its standing says why.
        catalog: where market data are; the default one if None.
        offline: a series that the catalog lacks is an error; else it is fetched first.
        progress: called now and then with steps done and steps in all.
        on_fetch: called with a series' key and how far its download is.
        n_random: random agents per agent.

    Raises:
        RecipeError: the recipe guards something (see ``league``), or it, a name or a parameter in
            ``agents`` is not allowed.
        WorkspaceError: there is no such agent.
        DataError: market data are missing or not usable.
    """
    if not isinstance(recipe, Recipe):
        recipe = Recipe.from_file(find_recipe(str(recipe)))
    kind = kind_of(recipe)
    if kind is not None:
        raise RecipeError(
            f"compare is of agents that trade, {recipe.name} has a {WORDS[kind].thing}: "
            "use seawall.league([recipe], [agents])"
        )
    contenders = with_always(agents)
    for contender in contenders:
        check_agent(contender.recipe(recipe))
    world = build_world(recipe, catalog or Catalog(), offline=offline, on_fetch=on_fetch)
    course = _Course()
    for place, contender in enumerate(contenders):
        part = _part(progress, place, len(contenders))
        _run_one(contender, recipe, course, world=world, progress=part)
    chances = _play_chances(recipe, course.results, world, n_random=n_random, progress=progress)
    return _conclude(recipe, contenders, course, chances)


def with_always(agents: Sequence[str]) -> list[Contender]:
    """Return the contenders, cash and buy-and-hold first; one that is named twice runs once."""
    return to_contenders((*ALWAYS, *agents))


def _run_one(
    contender: Contender,
    recipe: Recipe,
    course: _Course,
    *,
    world: World,
    progress: Advance | None,
) -> None:
    """Run one agent; what stops cash or buy-and-hold would stop every agent, and is raised."""
    try:
        own = contender.recipe(recipe)
        course.results[contender.name] = run_and_count(world, own, progress=progress)
    except SeawallError as error:
        if contender.name in ALWAYS:
            raise
        course.errors[contender.name] = str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - an agent is somebody else's code
        course.errors[contender.name] = f"{type(error).__name__}: {error}"


def _part(progress: Advance | None, place: int, n_agents: int) -> Advance | None:
    """Return a progress for one run that moves its part of the whole."""
    if progress is None:
        return None

    def advance(done: int, total: int) -> None:
        progress(_STEPS * place + _STEPS * done // max(total, 1), _STEPS * (n_agents + 1))

    return advance


def _play_chances(
    recipe: Recipe,
    results: Mapping[str, Result],
    world: World,
    *,
    n_random: int,
    progress: Advance | None,
) -> dict[str, Chance]:
    chances = {}
    for place, (name, result) in enumerate(results.items()):
        rng = _stream(recipe, _CHANCE_STREAM)
        chances[name] = play(recipe, world, match(result, world), n_random=n_random, rng=rng)
        if progress is not None:
            done = _STEPS * len(results) + _STEPS * (place + 1) // len(results)
            progress(done, _STEPS * (len(results) + 1))
    return chances


def _conclude(
    recipe: Recipe,
    contenders: Sequence[Contender],
    course: _Course,
    chances: Mapping[str, Chance],
) -> Comparison:
    results = course.results
    equity = pd.DataFrame({name: result.equity["equity"] for name, result in results.items()})
    pairs = _pairs(recipe, equity)
    first = next(iter(results.values()))
    standings = [
        _standing(contender.name, course, chances, n_above=count_above(contender.name, pairs))
        for contender in contenders
    ]
    return Comparison(
        recipe=recipe,
        standings=tuple(sorted(standings, key=_order)),
        pairs=tuple(pairs),
        labels=first.labels,
        versions=first.versions,
        data=first.data,
        equity=equity,
        quality=first.quality,
        random_returns=pd.DataFrame({name: chance.returns for name, chance in chances.items()}),
        fans=pd.concat([c.fan.assign(agent=name) for name, c in chances.items()]),
    )


def _pairs(recipe: Recipe, equity: pd.DataFrame) -> list[Pair]:
    """Return the difference of every two agents, the one that ended higher first."""
    rows = period_ends(to_ms(equity.index))
    # The first row is the start: it begins the first period.
    rows = rows if rows[0] == 0 else np.concatenate([[0], rows])
    curves = {str(name): equity[name].to_numpy(dtype=np.float64)[rows] for name in equity.columns}
    pairs = []
    for one, other in combinations(curves, 2):
        high, low = (one, other) if curves[one][-1] >= curves[other][-1] else (other, one)
        rng = _stream(recipe, _BOOTSTRAP_STREAM)
        found = difference(curves[high], curves[low], rng)
        pairs.append(Pair(first=high, second=low, difference=found))
    return pairs


def _stream(recipe: Recipe, number: int) -> np.random.Generator:
    """Return random numbers of the seed alone: equal curves get equal intervals, however named."""
    return np.random.default_rng([recipe.seed, number])


def count_above(name: str, pairs: Sequence[Pair]) -> int:
    """Return how many agents lie above ``name`` and are told apart from it."""
    return sum(pair.second == name and pair.difference.is_told_apart for pair in pairs)


def _standing(
    name: str, course: _Course, chances: Mapping[str, Chance], *, n_above: int
) -> Standing:
    if name not in course.results:
        return Standing(name=name, error=course.errors[name])
    result, chance = course.results[name], chances[name]
    metrics = result.metrics
    others = chance.returns if chance.has_luck else chance.returns[:0]
    return Standing(
        name=name,
        rank=1 + n_above,
        metrics=metrics,
        percentile=percentile_among(metrics.total_return, others),
        share_of_chance=share_of_chance(metrics.total_return, others),
        chance_turnover=chance.turnover,
        chance_exposure=chance.exposure,
        remarks=describe_troubles(result),
    )


def describe_troubles(result: Result) -> str:
    """Return how often an agent was liquidated, abstained or was refused, and why.

    On a futures account also how often an order was made smaller: its margin did not carry it.
    """
    journal, kinds = result.journal, list(_TROUBLES)
    found = []
    if n_struck := result.n_liquidations:
        found.append(f"was liquidated {n_struck:,} {'time' if n_struck == 1 else 'times'}")
    if not result.perpetual.empty:
        kinds.append(("reduced", "had orders made smaller", "reason"))
    for kind, verb, column in kinds:
        reasons = journal.loc[journal["kind"] == kind, column]
        if len(reasons):
            found.append(f"{verb} {len(reasons):,} times, most often: {reasons.mode().iloc[0]}")
    return "; ".join(found)


def _order(standing: Standing) -> tuple[int, float, str]:
    if standing.metrics is None:
        return (10**9, 0.0, standing.name)
    return (standing.rank, -standing.metrics.total_return, standing.name)
