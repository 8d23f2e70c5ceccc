"""What ``seawall run`` and ``seawall compare`` say of guards: of loans and of futures positions."""

from collections.abc import Sequence
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from seawall import workspace
from seawall.cli import screen
from seawall.errors import SeawallError

if TYPE_CHECKING:
    from seawall.analysis.bounds import AnyJudgement
    from seawall.analysis.guarded import Kind
    from seawall.recipe import Recipe
    from seawall.result import Result

ALL = "all"  # in place of agents: every one that guards what the recipes give
_NEAR = 1.1  # a health factor that is near the end
_HIGH = 0.8  # a margin ratio that is


def judge_guard(result: "Result") -> "AnyJudgement | None":
    """Return what a run comes to beside doing nothing and hindsight.

    ``None`` where nothing is guarded, and where that cannot be found out: the run is not lost for
    it.
    """
    from seawall.analysis.guarded import kind_of

    if kind_of(result.recipe) is None:
        return None
    from seawall.analysis.league import judge_alone
    from seawall.engine.world import build_world
    from seawall.market.catalog import Catalog

    try:
        world = build_world(result.recipe, Catalog(), offline=True)
        return judge_alone(result, result.recipe, world)
    except SeawallError as error:
        screen.say(f"the run is not judged beside doing nothing and hindsight: {error}")
        return None


def guard_rows(result: "Result") -> list[tuple[str, str, str]]:
    """Return what happened to a loan and to a futures account, and the parts of the change."""
    from seawall.analysis.guarded import money_of
    from seawall.analysis.judgement import parts_of

    money = money_of(result.recipe)
    rows = [] if result.recipe.loan is None else _loan_rows(result)
    rows += [] if result.perpetual.empty else _perpetual_rows(result)
    return rows + [
        (f"{name.replace('_', ' ')} ({money})", screen.number(part), "")
        for name, part in parts_of(result).items()
        if part
    ]


def _loan_rows(result: "Result") -> list[tuple[str, str, str]]:
    lost = result.liquidations
    name = "liquidations" if result.perpetual.empty else "liquidations of the loan"
    return [
        (name, f"{len(lost):,}", ""),
        ("collateral seized (USD)", screen.number(float(lost["seized_usd"].sum())), ""),
        ("lowest health factor", screen.number(float(result.loan["min_health"].min()), 3), ""),
        ("time below 1.1", screen.percent(float((result.loan["health"] < _NEAR).mean())), ""),
        ("transactions", f"{len(result.transactions):,}", ""),
    ]


def _perpetual_rows(result: "Result") -> list[tuple[str, str, str]]:
    struck, frame = result.margin_liquidations, result.perpetual
    ratio = float(frame["worst_margin_ratio"].max())
    name = "liquidations" if result.recipe.loan is None else "liquidations of futures"
    return [
        (name, f"{struck['time'].nunique():,}", ""),
        ("highest margin ratio", "no margin" if ratio == inf else screen.percent(ratio), ""),
        (
            "margin ratio > 80 %",
            screen.percent(float((frame["margin_ratio"] > _HIGH).mean())),
            "",
        ),
        ("transfers", f"{len(result.transfers):,}", ""),
    ]


def print_judgement(judgement: "AnyJudgement", recipe: "Recipe") -> None:
    """Say what protection cost, and how much of the possible it was."""
    from seawall.analysis.guarded import WORDS, kind_of, money_of

    price, money = judgement.price, money_of(recipe)
    share = screen.percent(price.share_of_possible)
    screen.say(
        f"without the agent the {WORDS[kind_of(recipe) or 'loan'].thing} would have ended at "
        f"{screen.number(judgement.untouched.final_equity_usd)} {money} "
        f"({judgement.untouched.n_liquidations} liquidations): protection cost "
        f"{screen.number(price.price_usd)} {money}; with hindsight "
        f"{screen.number(price.hindsight_usd)} {money} was possible, the agent had {share} of it"
    )
    if judgement.excess:
        screen.say(judgement.excess)


def find_guards(kind: "Kind") -> list[str]:
    """Return every agent that guards a loan, or a futures position."""
    from seawall.agent import guards

    names = workspace.list_names("agents")
    return [name for name in names if guards(workspace.load(f"agents.{name}"), kind)]


def compare_guards(
    recipes: Sequence["Recipe"], agents: str, out: Path | None, *, offline: bool, as_json: bool
) -> None:
    """Compare guards over the windows of several recipes; write the league and its report."""
    from seawall.analysis.contender import split_names
    from seawall.analysis.guarded import kind_of
    from seawall.analysis.league import league
    from seawall.analysis.league_table import LAYOUT
    from seawall.analysis.report import write_report
    from seawall.result_folder import check_folder

    kind = kind_of(recipes[0]) or "loan"
    names = find_guards(kind) if agents == ALL else split_names(agents)
    known = "\0".join((*sorted(names), *(recipe.id for recipe in recipes)))
    folder_name = f"league-{len(recipes)}-{sha256(known.encode()).hexdigest()[:12]}"
    place = check_folder(out or screen.results_folder() / folder_name, LAYOUT)
    with screen.progress("league") as advance, screen.prints_aside():
        found = league(recipes, names, offline=offline, progress=advance)
    folder = found.save(place)
    path = write_report(found, folder / "report.html")
    if as_json:
        screen.print_json({**found.summary(), "folder": str(folder), "report": str(path)})
        return
    header, rows = found.to_table()
    screen.print_table(" · ".join((found.title, *found.labels)), header, rows)
    for note in found.notes:
        screen.say(note)
    screen.say(f"result  {folder}\nreport  {path}")
