"""What ``seawall run`` and ``seawall compare`` say of loans."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from seawall import workspace
from seawall.cli import screen
from seawall.errors import SeawallError

if TYPE_CHECKING:
    from seawall.analysis.protection import Judgement
    from seawall.recipe import Recipe
    from seawall.result import Result

ALL = "all"  # in place of agents: every one that guards a loan
_NEAR = 1.1  # a health factor that is near the end


def judge_loan(result: "Result") -> "Judgement | None":
    """Return what a run comes to beside doing nothing and hindsight.

    ``None`` without a loan, and where that cannot be found out: the run is not lost for it.
    """
    if result.recipe.loan is None:
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


def loan_rows(result: "Result") -> list[tuple[str, str, str]]:
    """Return what happened to a loan: liquidations, lowest health, and the parts of the change."""
    lost = result.liquidations
    rows = [
        ("liquidations", f"{len(lost):,}", ""),
        ("collateral seized (USD)", screen.number(float(lost["seized_usd"].sum())), ""),
        ("lowest health factor", screen.number(float(result.loan["min_health"].min()), 3), ""),
        ("time below 1.1", screen.percent(float((result.loan["health"] < _NEAR).mean())), ""),
        ("transactions", f"{len(result.transactions):,}", ""),
    ]
    return rows + [
        (f"{name.replace('_', ' ')} (USD)", screen.number(part), "")
        for name, part in result.parts.items()
        if part
    ]


def print_judgement(judgement: "Judgement") -> None:
    """Say what protection cost, and how much of the possible it was."""
    price = judgement.price
    share = screen.percent(price.share_of_possible)
    screen.say(
        f"without the agent the loan would have ended at "
        f"{screen.number(judgement.untouched.final_equity_usd)} USD "
        f"({judgement.untouched.n_liquidations} liquidations): protection cost "
        f"{screen.number(price.price_usd)} USD; with hindsight "
        f"{screen.number(price.hindsight_usd)} USD was possible, the agent had {share} of it"
    )
    if judgement.excess:
        screen.say(judgement.excess)


def _find_guards() -> list[str]:
    """Return every agent that guards a loan."""
    from seawall.conformance.suite import guards_loan

    return [name for name in workspace.list_names("agents") if guards_loan(name)]


def compare_loans(
    recipes: Sequence["Recipe"], agents: str, out: Path | None, *, offline: bool, as_json: bool
) -> None:
    """Compare guards over the windows of several recipes; write the league and its report."""
    from seawall.analysis.contender import split_names
    from seawall.analysis.league import league
    from seawall.analysis.league_table import LAYOUT
    from seawall.analysis.report import write_report
    from seawall.result import check_folder

    names = _find_guards() if agents == ALL else split_names(agents)
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
