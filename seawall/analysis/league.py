"""Run all agents through all windows, and say who guards a loan, or a futures position, how well.

``do_nothing`` runs in every window beside the agents, and the best possible policy is sought in it
(``hindsight``). Every agent runs twice, with bars resolved for the worse and for the better.

What is compared is paired: two agents met the same windows, so what counts is their difference in
each. Windows of one market period (the same crash at another start, or at dearer gas) are not
independent: intervals are bootstrapped over periods, of which all windows are drawn together, and
the sign test counts periods.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from seawall.analysis.bounds import AnyJudgement, Best, find_bests, judge_any
from seawall.analysis.contender import Contender, check_agent, to_contender, to_contenders
from seawall.analysis.figures import to_ms
from seawall.analysis.guarded import guarded_symbol, kind_of
from seawall.analysis.judgement import (
    MarginProtection,
    Price,
    Protection,
    account_of,
    equity_of,
)
from seawall.analysis.league_statistics import SEED, to_pairs, to_place, to_ranks
from seawall.analysis.league_table import (
    BOUNDS,
    HINDSIGHT,
    UNTOUCHED,
    Bound,
    League,
    Place,
    Spell,
)
from seawall.analysis.statistics import difference, period_ends
from seawall.engine.run import run_and_count, run_in
from seawall.engine.world import ReportFetch, World, build_world
from seawall.errors import RecipeError, SeawallError
from seawall.market.catalog import Catalog
from seawall.market.series import FloatArray
from seawall.recipe import Recipe
from seawall.result import Result
from seawall.workspace import find_recipe

_STEPS = 1_000  # of the progress, per run
Advance = Callable[[int, int], None]


@dataclass(kw_only=True)
class _Course:
    """What has been run so far."""

    spells: list[Spell] = field(default_factory=list)
    rows: list[dict[str, object]] = field(default_factory=list)
    curves: list[pd.DataFrame] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)


def league(
    recipes: Sequence[Recipe | str | Path],
    agents: Sequence[str],
    *,
    catalog: Catalog | None = None,
    offline: bool = True,
    progress: Advance | None = None,
    on_fetch: ReportFetch = lambda _key, _progress: None,
    n_states: int | None = None,
) -> League:
    """Return how the agents guarded what all recipes give, beside do-nothing and hindsight.

    Args:
        recipes: one per window, each with a loan, or each with a position to guard; or files or
            names of such.
        agents: names, ``defi_saver`` or ``close_at{health=1.2}``. One that fails in a window has no
            row for it, and the league says why.
        catalog: where market data are; the default one if None.
        offline: a series that the catalog lacks is an error; else it is fetched first.
        progress: called now and then with steps done and steps in all.
        on_fetch: called with a series' key and how far its download is.
        n_states: of hindsight's grid; its own default if None.

    Raises:
        RecipeError: there is no recipe, one guards nothing or another kind, or a name or parameter
            is not allowed.
        WorkspaceError: there is no such agent.
        DataError: market data are missing or not usable.
    """
    windows = _to_windows(recipes)
    contenders = with_untouched(agents)
    for recipe in windows.values():
        for contender in contenders:
            check_agent(contender.recipe(recipe))
    course, place = _Course(), catalog or Catalog()
    total = len(windows) * (len(contenders) + 1)
    for number, (window, recipe) in enumerate(windows.items()):
        world = build_world(recipe, place, offline=offline, on_fetch=on_fetch)
        part = _part(progress, number * (len(contenders) + 1), total)
        _run_window(window, recipe, contenders, world, course, part, n_states)
    return _conclude(contenders, course)


def judge_alone(
    result: Result, recipe: Recipe, world: World, *, n_states: int | None = None
) -> AnyJudgement:
    """Return what one run comes to: ``do_nothing`` is run, and the best policy sought, beside it.

    Raises:
        ResultError: the recipe guards nothing.
    """
    untouched = run_in(world, to_contender(UNTOUCHED).recipe(recipe))
    bests = find_bests(world, recipe, untouched, n_states=n_states)
    return judge_any(result, untouched, bests)


def with_untouched(agents: Sequence[str]) -> list[Contender]:
    """Return the contenders, do-nothing first; one that is named twice runs once."""
    named = to_contenders((UNTOUCHED, *agents))
    return [one for one in named if one.file != HINDSIGHT]  # it is always there, and no agent


def _to_windows(recipes: Sequence[Recipe | str | Path]) -> dict[str, Recipe]:
    """Return the recipes by name."""
    found: dict[str, Recipe] = {}
    for given in recipes:
        recipe = given if isinstance(given, Recipe) else Recipe.from_file(find_recipe(str(given)))
        kind = kind_of(recipe)
        if kind is None:
            raise RecipeError(
                f"a league compares guards of loans or of futures positions, {recipe.name} has "
                "none: add [loan] or [perpetual.position]"
            )
        if found and kind_of(next(iter(found.values()))) != kind:
            raise RecipeError(
                "the windows of a league are all of loans or all of futures positions, "
                f"{recipe.name} is of another kind: compare it apart"
            )
        if recipe.name in found:
            raise RecipeError(f"windows need names of their own, two are {recipe.name}: rename one")
        found[recipe.name] = recipe
    if not found:
        raise RecipeError("a league needs at least one recipe, has none: name one of backtests/")
    return found


def _part(progress: Advance | None, first: int, total: int) -> Callable[[int], None]:
    """Return a function that tells the progress how many runs of a window are done."""

    def advance(done: int) -> None:
        if progress is not None:
            progress(_STEPS * (first + done), _STEPS * total)

    return advance


def _run_window(  # noqa: PLR0917 - private, in one place
    window: str,
    recipe: Recipe,
    contenders: Sequence[Contender],
    world: World,
    course: _Course,
    advance: Callable[[int], None],
    n_states: int | None,
) -> None:
    untouched = run_in(world, contenders[0].recipe(recipe))
    bests = find_bests(world, recipe, untouched, n_states=n_states)
    advance(1)
    course.versions.update(untouched.versions)
    course.data.update(untouched.data)
    course.spells.append(_to_spell(window, recipe, untouched, bests))
    for done, contender in enumerate(contenders):
        result: Result | None = untouched
        if contender.name != UNTOUCHED:
            result = _run_one(window, contender, recipe, world, course)
        if result is not None:
            judgement = judge_any(result, untouched, bests)
            _note(window, contender.name, result, untouched, judgement, course)
        advance(done + 2)
    _note_hindsight(window, untouched, bests, course)


def _run_one(
    window: str, contender: Contender, recipe: Recipe, world: World, course: _Course
) -> Result | None:
    """Run one agent; None where it fails, and why is noted."""
    try:
        return run_and_count(world, contender.recipe(recipe))
    except SeawallError as error:
        text = str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - an agent is somebody else's code
        text = f"{type(error).__name__}: {error}"
    course.errors.append({"window": window, "agent": contender.name, "error": text})
    return None


def _to_spell(window: str, recipe: Recipe, untouched: Result, bests: Mapping[Bound, Best]) -> Spell:
    loan = recipe.loan
    market = json.loads(recipe.to_json())["market"]
    return Spell(
        name=window,
        recipe=recipe,
        labels=untouched.labels,
        period=json.dumps(market, sort_keys=True),
        unit=loan.collateral if loan is not None else guarded_symbol(recipe) or "",
        start_equity_usd=float(equity_of(untouched)[0]),
        hindsight_usd=bests["worst"].final_equity_usd,
        hindsight_best_usd=bests["best"].final_equity_usd,
        n_rebalances=bests["worst"].n_rebalances,
    )


def _note(  # noqa: PLR0917 - private, in one place
    window: str,
    agent: str,
    result: Result,
    untouched: Result,
    judgement: AnyJudgement,
    course: _Course,
) -> None:
    """Add an agent's rows and curves of one window."""
    passes: dict[Bound, tuple[Result | None, Result | None]] = {
        "worst": (result, untouched),
        "best": (result.other, untouched.other),
    }
    found: dict[Bound, tuple[Protection | MarginProtection, Price]] = {
        "worst": (judgement.own, judgement.price),
        "best": (judgement.own_best, judgement.price_best),
    }
    curves: dict[Bound, FloatArray] = {}
    for bound in BOUNDS:
        mine, theirs = passes[bound]
        mine, theirs = mine or result, theirs or untouched
        own, price = found[bound]
        row = {"window": window, "agent": agent, "bound": bound, **_to_row(own, price)}
        course.rows.append({**row, **_gap(mine, theirs)})
        curves[bound] = equity_of(mine)
    course.curves.append(_to_curves(window, agent, result, curves))


def _to_row(own: Protection | MarginProtection, price: Price) -> dict[str, object]:
    start = own.start_equity_usd
    parts = {f"part_{name}": value for name, value in price.parts.items()}
    return {
        **own.to_dict(),
        "min_health": own.min_health,
        "total_return": own.total_return,
        "price_usd": price.price_usd,
        "price_share": price.price_usd / start if start > 0 else math.nan,
        "upside_given_up_usd": price.upside_given_up_usd,
        "share_of_possible": price.share_of_possible,
        **parts,
    }


def _gap(mine: Result, theirs: Result) -> dict[str, object]:
    """Return the paired difference of total returns to do-nothing, with its interval."""
    rows = period_ends(to_ms(account_of(mine).index))
    rows = rows if rows[0] == 0 else np.concatenate([[0], rows])
    curves = [equity_of(one)[rows] for one in (mine, theirs)]
    found = difference(curves[0], curves[1], np.random.default_rng(SEED))
    return {
        "over_do_nothing": found.estimate,
        "over_do_nothing_low": found.low,
        "over_do_nothing_high": found.high,
        "verdict": found.verdict,
    }


def _note_hindsight(
    window: str, untouched: Result, bests: Mapping[Bound, Best], course: _Course
) -> None:
    """Add the best policy's rows: what it ended with; it is never liquidated."""
    start = float(equity_of(untouched)[0])
    for bound, best in bests.items():
        other = untouched if bound == "worst" else untouched.other or untouched
        gained = best.final_equity_usd - float(equity_of(other)[-1])
        course.rows.append(
            {
                "window": window, "agent": HINDSIGHT, "bound": bound, "start_equity_usd": start,
                "final_equity_usd": best.final_equity_usd, "n_liquidations": 0,
                "total_return": best.final_equity_usd / start - 1, "price_usd": 0.0 - gained,
                "price_share": 0.0 - gained / start, "n_actions": best.n_rebalances,
                "share_of_possible": 1.0, **best.to_cell(),
            }
        )  # fmt: skip
    curves = {bound: best.curve for bound, best in bests.items()}
    course.curves.append(_to_curves(window, HINDSIGHT, untouched, curves))


def _to_curves(
    window: str, agent: str, result: Result, curves: Mapping[Bound, FloatArray]
) -> pd.DataFrame:
    worst, best = (curves[bound] for bound in BOUNDS)
    shown = {"window": window, "agent": agent, "time": account_of(result).index}
    return pd.DataFrame({**shown, "worst": worst, "best": best})


def _conclude(contenders: Sequence[Contender], course: _Course) -> League:
    cells = pd.DataFrame(course.rows)
    cells = cells.assign(rank=to_ranks(cells))
    periods = {spell.name: spell.period for spell in course.spells}
    names = [contender.name for contender in contenders]
    places = [
        to_place(name, bound, cells, periods, n_failed=_count(course.errors, name))
        for bound in BOUNDS
        for name in (*names, HINDSIGHT)
    ]
    return League(
        spells=tuple(course.spells),
        places=tuple(sorted(places, key=_order)),
        pairs=tuple(to_pairs(names, cells, periods)),
        errors=tuple(course.errors),
        versions=course.versions,
        data=course.data,
        cells=cells,
        equity=pd.concat(course.curves, ignore_index=True),
    )


def _count(errors: Iterable[Mapping[str, str]], name: str) -> int:
    return sum(error["agent"] == name for error in errors)


def _order(place: Place) -> tuple[int, bool, float, str]:
    rank = place.mean_rank if math.isfinite(place.mean_rank) else math.inf
    return (BOUNDS.index(place.bound), place.name == HINDSIGHT, rank, place.name)
