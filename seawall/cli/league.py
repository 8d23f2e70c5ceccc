"""``seawall league``: agents x windows x seeds, and what can be told apart."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli import screen
from seawall.cli.options import AsJson, Out
from seawall.errors import ResultError

if TYPE_CHECKING:
    from seawall.market.series import Candles
    from seawall.tournament.league_file import LeagueFile
    from seawall.tournament.standings import Standings
    from seawall.tournament.words import Rows

REPORT, SUMMARY = "report.html", "league.json"
CELLS = "cells"
_WIDE = 170  # columns of a terminal that whole tables fit in
_NARROW = 100  # below, stresses are shown in several tables
_AT_ONCE = 3
_MIN_AGENTS = 5
_SPAN = ("agent", "rank", "total return", "more than the best benchmark", "beats all",
         "deflated")  # fmt: skip
_ACROSS = ("agent", "mean rank", "mean return", "over the best benchmark", "95 % interval",
           "told apart")  # fmt: skip


def league(
    file: Annotated[str, typer.Argument(help="A TOML file, or the name of one in leagues/.")],
    out: Out = None,
    *,
    processes: Annotated[
        int, typer.Option(min=0, help="How many play at once; 0: one for each core.")
    ] = 0,
    limit: Annotated[
        int, typer.Option(min=0, help="Seconds that one cell may take; 0: as long as it does.")
    ] = 0,
    null: Annotated[
        int, typer.Option(min=0, help="Play so many leagues that nobody can win instead.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Play a league: agents in windows with seeds, in parallel; one that was killed goes on.

    Every cell is kept as soon as it is done, in results/cells, and is not played again while the
    recipe, the code and the data behind it are the same.
    """
    from seawall.tournament.league_file import LeagueFile, find_league

    wanted = LeagueFile.from_file(find_league(file))
    if null:
        _play_null(wanted, null, processes, as_json=as_json)
        return
    folder = out or screen.results_folder() / f"league-{wanted.name}"
    _check_folder(folder)
    standings = _play(wanted, processes, limit)
    found = _write(standings, folder)
    if as_json:
        screen.print_json(found)
        return
    _print(standings)
    played = standings.played
    screen.say(
        f"cells   {played.n_played:,} played, {played.n_known:,} known already\n"
        f"report  {found['report']}"
    )


def _check_folder(folder: Path) -> None:
    """Say that the folder cannot be written before hours of play, not after."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultError(f"the league cannot be written to {folder}: {error}") from None
    if not os.access(folder, os.W_OK):
        raise ResultError(f"the league cannot be written to {folder}: name another with --out")


def _play(wanted: "LeagueFile", processes: int, limit: int) -> "Standings":
    from seawall.tournament.play import play_league
    from seawall.tournament.processes import ProcessRunner
    from seawall.tournament.standings import stand
    from seawall.tournament.store import CellStore
    from seawall.trial_ledger import workspace_ledger

    ledger = workspace_ledger()
    with screen.progress(wanted.name) as advance, screen.prints_aside():
        played = play_league(
            wanted,
            runner=ProcessRunner(processes or None, limit_s=limit or None),
            store=CellStore(screen.results_folder() / CELLS),
            ledger=ledger,
            progress=advance,
        )
        return stand(played, ledger)


def _write(standings: "Standings", folder: Path) -> dict[str, object]:
    from seawall.analysis.page import write_page
    from seawall.tournament.page import league_page
    from seawall.tournament.page_file import keep_page
    from seawall.tournament.words import summary

    page = league_page(standings)
    keep_page(page, folder)
    report = write_page(page, folder / REPORT)
    found = {**summary(standings), "folder": str(folder.resolve()), "report": str(report)}
    screen.write_json(found, folder / SUMMARY)
    return found


def _print(standings: "Standings") -> None:
    from seawall.tournament.words import across_rows, find_notes, span_rows, strain_rows

    for stage in standings.spans:
        title = " · ".join((stage.name, *stage.labels))
        screen.print_table(title, *_fit(span_rows(stage), _SPAN))
    title = "short windows, in pairs" if standings.has_short else "all windows, in pairs"
    screen.print_table(title, *_fit(across_rows(standings), _ACROSS))
    if standings.strains:
        _print_strains(strain_rows(standings))
    for note in find_notes(standings):
        screen.say(note)


def _print_strains(rows: "Rows") -> None:
    from seawall.tournament.words import choose

    who, plain, *stresses = rows[0]
    n = _AT_ONCE if screen.out.width < _NARROW else len(stresses)
    for first in range(0, len(stresses), n):
        shown = choose(rows, (who, plain, *stresses[first : first + n]))
        screen.print_table("mean return, and the points that stress adds or takes", *shown)


def _fit(rows: "Rows", names: tuple[str, ...]) -> "Rows":
    """Return a table as it is where the screen is wide, its main columns where it is not."""
    from seawall.tournament.words import choose

    return rows if screen.out.width >= _WIDE else choose(rows, names)


def _play_null(wanted: "LeagueFile", n_leagues: int, processes: int, *, as_json: bool) -> None:
    """Play leagues of shipped rules and coin tossers in worlds that nobody can win."""
    from seawall.analysis.null_control import run_null_control

    candles = _find_candles(wanted)
    found = run_null_control(
        n_leagues,
        n_agents=max(len(wanted.agents), _MIN_AGENTS),
        source=candles,
        n_processes=processes or os.cpu_count() or 1,
    )
    where = "simulated" if candles is None else f"shuffled from {candles.key}"
    if as_json:
        screen.print_json({
            "world": where, "n_leagues": found.n_leagues, "n_agents": found.n_agents,
            "n_bars": found.n_bars, "false_win_rate": found.rate,
            "rate_above_cash": found.rate_above_cash, "nominal": found.nominal,
        })  # fmt: skip
        return
    screen.say(f"worlds: {where}; who plays: shipped rules and coin tossers")
    screen.out.print(str(found), markup=False, soft_wrap=True)


def _find_candles(wanted: "LeagueFile") -> "Candles | None":
    """Return the candles of the first window that is no simulation; None where all are."""
    from seawall.market.catalog import Catalog
    from seawall.market.series import SeriesKey
    from seawall.recipe import SIMULATED

    for recipe in wanted.recipes().values():
        market = recipe.market
        if market.venue != SIMULATED:
            key = SeriesKey("candles", market.venue, market.symbols[0], market.timeframe)
            return Catalog().read_candles(key, market.since_ms, market.until_ms)
    return None
