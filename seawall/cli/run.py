"""``seawall demo``, ``run``, ``compare`` and ``report``."""

import fnmatch
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from seawall import workspace
from seawall.cli import screen
from seawall.cli.loans import (
    ALL,
    compare_guards,
    guard_rows,
    judge_guard,
    print_judgement,
)
from seawall.cli.options import AsJson, Offline, Out, RecipeName, RecipeNames, Settings
from seawall.cli.recipes import check_reach, load_recipe
from seawall.errors import RecipeError

if TYPE_CHECKING:
    from seawall.analysis.comparison import Comparison
    from seawall.analysis.league_table import League
    from seawall.engine.world import ReportFetch
    from seawall.recipe import Recipe
    from seawall.result import Result

WIDE = 130  # columns of a terminal that shows the whole table
ONLY_WIDE = ("rank", "95 % interval", "max drawdown", "Sharpe", "trades", "costs")
ANNUALISED_FROM = timedelta(days=90)
DEMO = "demo"
DEMO_AGENTS = "sma_cross,macd,rsi,bollinger,donchian,momentum,dca"


def run(
    recipe: RecipeName,
    settings: Settings = [],  # noqa: B006 - typer reads the default, nobody changes it
    out: Out = None,
    *,
    agent: Annotated[
        str | None, typer.Option(help="Another agent: NAME, or NAME{key=value}.")
    ] = None,
    offline: Offline = False,
    png: Annotated[bool, typer.Option("--png", help="Write the main figure too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Backtest one recipe; print its metrics, write the result and the report."""
    from seawall.analysis.report import write_report
    from seawall.engine.run import run as run_recipe
    from seawall.result import LAYOUT
    from seawall.result_folder import check_folder

    if agent == "hindsight":
        raise RecipeError(
            "hindsight is no agent but the bound of all: every run of a loan or a guarded position "
            "names it, and `seawall compare` shows it"
        )
    loaded = load_recipe(recipe, settings, agent)
    # Before the run, which may be long: a folder that will not do is not found out after it.
    place = check_folder(
        out or screen.results_folder() / f"{_to_file_name(loaded.name)}-{loaded.id}", LAYOUT
    )
    with screen.progress(loaded.name) as advance, _fetching() as on_fetch, screen.prints_aside():
        result = run_recipe(loaded, offline=offline, progress=advance, on_fetch=on_fetch)
        judgement = judge_guard(result)
    if judgement is not None:
        result = replace(result, judgement=judgement.to_dict())
    folder = result.save(place)
    report_path = write_report(result, folder / "report.html")
    figure = _write_png(result, folder) if png else None
    if as_json:
        screen.print_json({**result.summary(), "folder": str(folder), "report": str(report_path)})
        return
    _print_result(result)
    if judgement is not None:
        print_judgement(judgement, result.recipe)
    screen.say(
        f"result  {folder}\nreport  {report_path}" + (f"\nfigure  {figure}" if figure else "")
    )


def compare(
    recipe: RecipeNames,
    agents: Annotated[str, typer.Option(help="Names, separated by commas; of guards also: all.")],
    settings: Settings = [],  # noqa: B006 - typer reads the default, nobody changes it
    out: Out = None,
    *,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Compare agents on one path, beside cash, buy-and-hold and matched-random agents.

    Guards of loans, or of futures positions, are compared beside doing nothing and hindsight, over
    one recipe or several: names separated by commas, or with a * in them.
    """
    from seawall.analysis.contender import split_names
    from seawall.analysis.guarded import kind_of

    loaded = [load_recipe(name, settings) for name in _find_recipes(recipe)]
    if agents != ALL:
        check_reach(loaded[0], settings, split_names(agents))
    if len(loaded) > 1 or kind_of(loaded[0]) is not None:
        compare_guards(loaded, agents, out, offline=offline, as_json=as_json)
    else:
        _compare(loaded[0], agents, out, offline=offline, as_json=as_json)


def demo(out: Out = None, *, as_json: AsJson = False) -> None:
    """Compare the shipped agents on a simulated market: no network, no key, under a minute."""
    loaded = load_recipe(DEMO)
    _compare(loaded, DEMO_AGENTS, out, offline=True, as_json=as_json)


def report(
    result: Annotated[
        Path, typer.Argument(help="A folder that run, compare, league or paper has written.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="The file; FOLDER/report.html otherwise.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Write the report of a stored result, a league or a paper session again."""
    from seawall.analysis.page import write_page
    from seawall.analysis.report import write_report
    from seawall.tournament.page_file import PAGE_FILE, load_page

    target = out or result / "report.html"
    if (result / PAGE_FILE).is_file():
        path = write_page(load_page(result), target)
    else:
        path = write_report(_load_stored(result), target)
    if as_json:
        screen.print_json({"report": str(path)})
    else:
        screen.say(f"report  {path}")


def _compare(
    recipe: "Recipe", agents: str, out: Path | None, *, offline: bool, as_json: bool
) -> None:
    from seawall.analysis.compare import compare as compare_agents
    from seawall.analysis.comparison import LAYOUT
    from seawall.analysis.contender import split_names, to_contender
    from seawall.analysis.report import write_report
    from seawall.result_folder import check_folder

    names = split_names(agents)
    # Who was compared is part of the name: other agents on this recipe are another comparison.
    who = "\0".join(sorted({to_contender(name).name for name in names}))
    known = f"{recipe.id}-{sha256(who.encode()).hexdigest()[:8]}"
    place = check_folder(
        out or screen.results_folder() / f"compare-{_to_file_name(recipe.name)}-{known}", LAYOUT
    )
    with screen.progress(recipe.name) as advance, _fetching() as on_fetch, screen.prints_aside():
        comparison = compare_agents(
            recipe, names, offline=offline, progress=advance, on_fetch=on_fetch
        )
    folder = comparison.save(place)
    path = write_report(comparison, folder / "report.html")
    if as_json:
        screen.print_json({**comparison.summary(), "folder": str(folder), "report": str(path)})
        return
    _print_comparison(comparison)
    screen.say(f"result  {folder}\nreport  {path}")


def _find_recipes(names: str) -> list[str]:
    """Return the names that are meant: commas separate, a ``*`` stands for anything."""
    found: list[str] = []
    for part in names.split(","):
        name = part.strip()
        matching = (
            fnmatch.filter(workspace.list_names("backtests"), name) if "*" in name else [name]
        )
        if not matching:
            raise RecipeError(
                f"a pattern must fit a recipe, {name!r} fits none: seawall list backtests"
            )
        found.extend(matching)
    return list(dict.fromkeys(found))


def _load_stored(folder: Path) -> "Result | Comparison | League":
    from seawall.analysis.comparison import COMPARISON_FILE, Comparison
    from seawall.analysis.league_table import LAYOUT, League
    from seawall.cli.paper import session_result
    from seawall.result import Result

    if (session := session_result(folder)) is not None:
        return session
    if (folder / LAYOUT.file).is_file():
        return League.load(folder)
    if (folder / COMPARISON_FILE).is_file():
        return Comparison.load(folder)
    return Result.load(folder)


def _to_file_name(name: str) -> str:
    """Return a recipe's name with nothing in it that a path could be made of, 60 long at most."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[:60].strip("-.") or "recipe"


@contextmanager
def _fetching() -> Iterator["ReportFetch"]:
    """Show a bar per series while data are fetched; a line each where there is no terminal."""
    from seawall.market.download import Progress as Fetched
    from seawall.market.series import SeriesKey

    if not screen.err.is_terminal:
        yield lambda _key, _fetched: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=screen.err, transient=True) as bars:
        tasks = {}

        def show(key: SeriesKey, fetched: Fetched) -> None:
            if key not in tasks:
                tasks[key] = bars.add_task(f"fetching {key}", rows=0)
            bars.update(
                tasks[key], completed=fetched.done_ms, total=fetched.total_ms, rows=fetched.rows
            )

        yield show


def _write_png(result: "Result", folder: Path) -> Path:
    from seawall.analysis.png import write_png

    return write_png(result, folder / "figure.png")


def _print_result(result: "Result") -> None:
    from seawall.analysis.guarded import kind_of
    from seawall.metrics import without_years

    title = " · ".join((result.recipe.name, result.agent, *result.labels))
    span = result.equity.index[-1] - result.equity.index[0]
    span_ms = int(span / timedelta(milliseconds=1))
    ours, theirs = (without_years(one, span_ms) for one in (result.metrics, result.benchmark))
    percents = ("total_return", "annual_return", "volatility", "max_drawdown", "exposure")
    rows = [
        (
            name.replace("_", " "),
            screen.percent(getattr(ours, name)),
            screen.percent(getattr(theirs, name)),
        )
        for name in percents
    ]
    plain = ("sharpe", "sortino", "calmar", "turnover", "profit_factor")
    rows += [
        (
            name.replace("_", " "),
            screen.number(getattr(ours, name)),
            screen.number(getattr(theirs, name)),
        )
        for name in plain
    ]
    rows += [("win rate", screen.percent(ours.win_rate), ""), ("trades", str(ours.n_trades), "")]
    rows += [(name, screen.number(getattr(ours, name)), "") for name in ("fees", "slippage")]
    if ours.thinking:
        rows.append(("thinking", screen.number(ours.thinking, 4), ""))
    if kind_of(result.recipe) is not None:
        rows = [*rows[:4], *(row for row in rows if row[0] == "thinking")]
    elif span < ANNUALISED_FROM:  # a year made of a few days says nothing
        rows = [row for row in rows if row[0] not in ("annual return", "calmar")]
    rows += guard_rows(result)
    screen.print_table(title, ("", "agent", "buy and hold"), rows)
    if result.recipe.loan is not None:
        screen.say(
            "shown is the run in which the oracle sees each bar's worst; in the one that sees "
            f"closes alone the total return is {screen.percent(result.band.optimistic)}"
        )
    elif result.band.pessimistic != result.band.optimistic:
        low, high = screen.percent(result.band.pessimistic), screen.percent(result.band.optimistic)
        screen.say(
            f"{result.band.n_ambiguous} fills depend on what bars do not tell: "
            f"the total return lies between {low} (shown) and {high}"
        )
    from seawall.analysis.compare import describe_troubles

    if troubles := describe_troubles(result):
        screen.say(f"the agent {troubles}")


def _print_comparison(comparison: "Comparison") -> None:
    header, rows = comparison.to_table()
    if screen.out.width < WIDE:
        kept = [place for place, name in enumerate(header) if name not in ONLY_WIDE]
        header = tuple(header[place] for place in kept)
        rows = [tuple(row[place] for place in kept) for row in rows]
    screen.print_table(comparison.title, header, rows)
    for note in comparison.notes:
        screen.say(note)
