"""``seawall data``: fetch, import, list and check market data."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from seawall.cli.options import AsJson
from seawall.cli.screen import err, out, print_json
from seawall.errors import DataError, RecipeError
from seawall.market.bracket_files import (
    KIND,
    SUFFIX,
    ImportedBrackets,
    describe_brackets,
    import_brackets,
    stored_brackets,
)
from seawall.market.brackets import Brackets
from seawall.market.catalog import Catalog
from seawall.market.importer import Imported, check_file, import_files
from seawall.market.manifest import Interval, Manifest
from seawall.market.quality import QualityReport, check
from seawall.market.series import KINDS, Kind
from seawall.units import SECOND_MS, to_time_ms, to_time_text

WIDTH_OFF_TERMINAL = 200

app = typer.Typer(no_args_is_help=True, help="Fetch, import, list and check market data.")

KindOption = Annotated[
    str | None, typer.Option("--kind", help=f"What it is: {', '.join([*KINDS, KIND])}.")
]


@app.command("get")
def get(
    exchange: Annotated[str, typer.Argument(help="An exchange as ccxt names it: binance.")],
    symbol: Annotated[str, typer.Argument(help="ETH/USDT is spot, ETH/USDT:USDT perpetual.")],
    *,
    since: Annotated[
        str | None, typer.Option(help="First day or time, UTC: 2022-05-01; not for brackets.")
    ] = None,
    timeframe: Annotated[str, typer.Option(help="Length of a candle.")] = "1h",
    until: Annotated[
        str | None, typer.Option(help="Day or time, UTC, before which to end.")
    ] = None,
    kind: Annotated[str, typer.Option(help="candles, mark, funding or brackets.")] = "candles",
    as_json: AsJson = False,
) -> None:
    """Fetch history from an exchange, without a key; run again, it goes on where it was.

    Brackets are fetched as they are today; Binance tells them to its customers only, whose keys
    come from BINANCE_API_KEY and BINANCE_API_SECRET.
    """
    if kind == KIND:
        _get_brackets(exchange, symbol, as_json=as_json)
        return
    if since is None:
        raise RecipeError("--since must say where to begin, is missing: add --since 2022-05-01")
    # ccxt takes half a second to import: the other commands do without it.
    from seawall.market.download import DownloadRequest, download, open_exchange

    request = DownloadRequest(
        symbol=symbol,
        timeframe=timeframe,
        since_ms=to_time_ms(since),
        until_ms=None if until is None else to_time_ms(until),
        kind=_to_kind(kind),
    )
    client = open_exchange(exchange, request.market_type)
    with _shown_progress(f"{exchange} {symbol}") as progress:
        manifest = download(
            client,
            request,
            Catalog(),
            now_ms=time.time_ns() // (SECOND_MS * SECOND_MS),
            progress=lambda step: progress(step.rows, step.done_ms, step.total_ms),
        )
    if as_json:
        print_json(describe(manifest))
        return
    typer.echo(_summarize(manifest))


@app.command("import")
def import_(  # the command is called import
    files: Annotated[list[Path], typer.Argument(help="Parquet, CSV, feather files, or folders.")],
    *,
    kind: KindOption = None,
    venue: Annotated[str | None, typer.Option(help="Where it is from: binance.")] = None,
    symbol: Annotated[str | None, typer.Option(help="ETH/USDT, or a signal's name.")] = None,
    timeframe: Annotated[str | None, typer.Option(help="Length of one row's period.")] = None,
    known_after: Annotated[
        str | None, typer.Option(help="How long after its timestamp a signal is known: 2d.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(help="The day from which brackets hold: 2026-09-29.")
    ] = None,
    skip_bad: Annotated[bool, typer.Option(help="Leave bad rows out, and list them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take files into the catalog; what was understood of each is printed, options override it.

    A JSON file holds leverage brackets, as freqtrade's binance_leverage_tiers.json does.
    """
    refused: list[tuple[Path, DataError]] = []
    tables = [path for path in files if kind == KIND or path.name.endswith(SUFFIX)]
    taken: list[ImportedBrackets] = []
    for path in tables:
        try:
            taken.append(import_brackets(path, Catalog(), as_of=as_of, venue=venue, symbol=symbol))
        except DataError as reason:
            refused.append((path, reason))
    imported = import_files(
        [path for path in files if path not in tables],
        Catalog(),
        kind=None if kind in (None, KIND) else _to_kind(kind),
        venue=venue,
        symbol=symbol,
        timeframe=timeframe,
        known_after=known_after,
        is_skipping_bad=skip_bad,
        on_refusal=lambda path, error: refused.append((path, error)),
    )
    if as_json:
        print_json(
            {
                "imported": [_describe_import(one) for one in imported],
                "brackets": [_describe_brackets(t) for one in taken for t in one.tables],
                "refused": [{"file": str(path), "reason": str(error)} for path, error in refused],
            }
        )
    else:
        _print_imported(imported)
        _print_brackets(taken)
        for _, error in refused:
            typer.echo(f"refused: {error}", err=True)
    # What lies in a folder beside series is passed over; a file that was named must be taken.
    named = [path for path, _ in refused if path in files]
    if named or not (imported or taken):
        raise DataError(
            f"every file named must be importable, {len(named) or len(refused)} were refused "
            "(reasons above): mend them or name others"
        )


@app.command("list")
def list_(*, as_json: AsJson = False) -> None:
    """List the series and the leverage brackets in the catalog."""
    catalog = Catalog()
    keys = catalog.keys()
    manifests = [catalog.manifest(key) for key in keys]
    brackets = stored_brackets(catalog)
    if as_json:
        tables = [_describe_brackets(one) for one in brackets]
        print_json([*(describe(manifest) for manifest in manifests), *tables])
        return
    if not (manifests or brackets):
        typer.echo(
            f"The catalog {catalog.root} is empty: run `seawall data get binance ETH/USDT "
            "--timeframe 1h --since 2022-05-01` or `seawall data import FILE`."
        )
        return
    table = Table("series", "rows", "first", "last", "gaps", "source")
    for manifest in manifests:
        label = "simulated: " if manifest.is_simulated else ""
        table.add_row(
            escape(f"{label}{manifest.key}"),
            f"{manifest.rows:,}",
            _to_text(manifest.first_ms),
            _to_text(manifest.last_ms),
            str(len(manifest.gaps)),
            escape(manifest.source),
        )
    for name, count, day, source in describe_brackets(brackets):
        table.add_row(escape(name), f"{count:,}", day, "-", "-", escape(source))
    print_table(table)


@app.command("check")
def check_(
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="Series as `data list` prints them, or files; all series by default."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Report gaps, duplicates, disorder, impossible prices, zero volume and odd wicks."""
    catalog = Catalog()
    stored = catalog.keys()
    wanted = targets or [str(key) for key in stored]
    reports = [report for target in wanted for report in _check_one(catalog, target)]
    rows = [row for report in reports for row in report.to_rows()]
    if as_json:
        print_json({"checked": [_describe_report(report) for report in reports], "findings": rows})
    else:
        _print_reports(reports, rows)
    if bad := [report.name for report in reports if len(report.refused_rows)]:
        raise DataError(
            f"rows must be sound, those of {', '.join(bad)} are not (listed above): "
            "mend the files, or import them with --skip-bad"
        )


def describe(manifest: Manifest) -> dict[str, object]:
    """Return what JSON output says about a stored series; times are UTC text."""
    key = manifest.key
    return {
        "series": str(key),
        "kind": key.kind,
        "venue": key.venue,
        "symbol": key.symbol,
        "timeframe": key.timeframe,
        "rows": manifest.rows,
        "first": None if manifest.first_ms is None else to_time_text(manifest.first_ms),
        "last": None if manifest.last_ms is None else to_time_text(manifest.last_ms),
        "gaps": [_to_texts(gap) for gap in manifest.gaps],
        "confirmed_gaps": [_to_texts(gap) for gap in manifest.confirmed_gaps],
        "source": manifest.source,
        "is_simulated": manifest.is_simulated,
        "fetched": None if manifest.fetched_ms is None else to_time_text(manifest.fetched_ms),
        "sha256": manifest.sha256,
        "filters": manifest.filters.model_dump(),
    }


def _get_brackets(name: str, symbol: str, *, as_json: bool) -> None:
    """Fetch brackets, and say what came."""
    from seawall.market.bracket_download import download_brackets
    from seawall.market.download import open_exchange

    found = download_brackets(
        open_exchange(name, "swap"), symbol, Catalog(), now_ms=time.time_ns() // 1_000_000
    )
    if as_json:
        print_json(_describe_brackets(found))
        return
    typer.echo(
        f"{KIND}/{found.venue}/{found.name}: {len(found.tiers)} tiers, {found.max_leverage:g}x"
    )


def _describe_brackets(brackets: Brackets) -> dict[str, object]:
    """Return what JSON output says about a table of brackets."""
    return {
        "kind": KIND,
        "venue": brackets.venue,
        "symbol": brackets.symbol,
        "seen": brackets.day,
        "tiers": len(brackets.tiers),
        "max_leverage": brackets.max_leverage,
        "source": brackets.source,
    }


def _print_brackets(taken: list[ImportedBrackets]) -> None:
    for one in taken:
        for name, count, day, _ in describe_brackets(list(one.tables)):
            typer.echo(f"{one.path}: leverage brackets of {count:,} contracts, seen {day}")
            typer.echo(f"  -> {name}")
        if one.passed_over:
            typer.echo(
                f"  left out {len(one.passed_over)}, no perpetuals settled in their quote or names "
                f"that cannot be stored: {', '.join(one.passed_over)}"
            )


def print_table(table: Table) -> None:
    """Print a table as wide as the terminal, or as it needs to be where there is none."""
    console = out if out.is_terminal else Console(width=WIDTH_OFF_TERMINAL)
    console.print(table)


def _to_kind(text: str) -> Kind:
    for kind in KINDS:
        if kind == text:
            return kind
    raise RecipeError(f"--kind is one of {', '.join(KINDS)}, is {text!r}: take one of these")


@contextmanager
def _shown_progress(title: str) -> Iterator[Callable[[int, int, int], None]]:
    """Give what shows progress as a bar with rows, rate and time left; silent off a terminal."""
    if not err.is_terminal:
        yield lambda *_: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%  {task.fields[rows]:,} rows  {task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err) as bar:
        task = bar.add_task(escape(title), total=None, rows=0, rate="")
        started = time.monotonic()

        def show(rows: int, done_ms: int, total_ms: int) -> None:
            rate = f"{rows / max(time.monotonic() - started, 1e-3):,.0f} rows/s"
            bar.update(task, total=total_ms, completed=done_ms, rows=rows, rate=rate)

        yield show


def _summarize(manifest: Manifest) -> str:
    """Return one line about a stored series."""
    gaps = f", {len(manifest.gaps)} gaps" if manifest.gaps else ""
    known = len(manifest.gaps) - len(manifest.open_gaps)
    confirmed = f" ({known} of them also at the exchange)" if known else ""
    return (
        f"{manifest.key}: {manifest.rows:,} rows, {_to_text(manifest.first_ms)} to "
        f"{_to_text(manifest.last_ms)}{gaps}{confirmed}"
    )


def _print_imported(imported: list[Imported]) -> None:
    for one in imported:
        notes = "; ".join(one.notes)
        typer.echo(f"{one.path}: {one.n_rows:,} rows ({notes})")
        typer.echo(f"  -> {_summarize(one.manifest)}")
        if one.skipped_rows:
            rows = ", ".join(str(row) for row in one.skipped_rows)
            typer.echo(f"  left out {len(one.skipped_rows)} bad rows, counted from 0: {rows}")


def _describe_import(one: Imported) -> dict[str, object]:
    return {
        "file": str(one.path),
        "rows": one.n_rows,
        "notes": list(one.notes),
        "skipped_rows": list(one.skipped_rows),
        "series": describe(one.manifest),
    }


def _check_one(catalog: Catalog, target: str) -> list[QualityReport]:
    """Check a stored series by its printed name, or a file that need not be fit to be stored."""
    keys = catalog.keys()
    stored = {str(key): key for key in keys}
    if target in stored:
        return [check(catalog.read(stored[target]))]
    if Path(target).is_file():
        return check_file(Path(target))
    close = get_close_matches(target, list(stored), n=1)
    meant = f" (did you mean {close[0]}?)" if close else ""
    raise DataError(
        f"a series is named as `seawall data list` prints it, or is a file, is {target!r}{meant}: "
        "run `seawall data list`"
    )


def _describe_report(report: QualityReport) -> dict[str, object]:
    return {"series": report.name, "rows": report.n_rows, "findings": len(report.findings)}


def _print_reports(reports: list[QualityReport], rows: list[dict[str, object]]) -> None:
    clean = [report for report in reports if not report.findings]
    typer.echo(f"{len(reports)} checked, {len(clean)} without findings")
    if not rows:
        return
    table = Table("series", "finding", "count", "refused", "detail", "rows, from 0")
    for row in rows:
        numbers = row["rows"]
        shown = ", ".join(map(str, numbers)) if isinstance(numbers, list) else ""
        more = " ..." if isinstance(numbers, list) and row["count"] != len(numbers) else ""
        cells = [str(row[name]) for name in ("series", "finding", "count")]
        is_refused = "yes" if row["refused"] else ""
        table.add_row(*map(escape, cells), is_refused, escape(str(row["detail"])), shown + more)
    print_table(table)


def _to_text(time_ms: int | None) -> str:
    return "-" if time_ms is None else to_time_text(time_ms)


def _to_texts(gap: Interval) -> list[str]:
    return [to_time_text(time_ms) for time_ms in gap]
