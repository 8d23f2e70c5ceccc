"""Takes files into the catalog: finds out what they hold, says so, and refuses bad rows by number.

Nothing is dropped silently: a file with bad rows is refused, or, if that is asked for, taken
without them and each of their numbers listed. Rows join what the catalog has of the series.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from seawall.errors import DataError
from seawall.market.catalog import Catalog
from seawall.market.manifest import Manifest
from seawall.market.naming import Named, read_name
from seawall.market.parts import Part, Understanding, find_kind, find_timeframe, split_table
from seawall.market.quality import QualityReport, check, to_ms
from seawall.market.rates import is_lending_rates, name_venue, split_rates
from seawall.market.series import Candles, Kind, Series, SeriesKey, Signal, TimeArray
from seawall.market.tables import SUFFIXES, Table, read_table
from seawall.market.titles import is_titles, split_titles
from seawall.units import to_duration_ms, to_duration_text

_ROWS_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Imported:
    """One series taken from a file.

    Attributes:
        path: the file.
        manifest: of the series as the catalog has it now.
        n_rows: rows taken from the file.
        notes: what was understood, in words.
        skipped_rows: row numbers of the file, from 0, that were bad and left out on request.
    """

    path: Path
    manifest: Manifest
    n_rows: int
    notes: tuple[str, ...]
    skipped_rows: tuple[int, ...] = ()


def import_files(
    paths: Iterable[Path],
    catalog: Catalog,
    *,
    kind: Kind | None = None,
    venue: str | None = None,
    symbol: str | None = None,
    timeframe: str | None = None,
    known_after: str | None = None,
    is_skipping_bad: bool = False,
    on_refusal: Callable[[Path, DataError], None] | None = None,
) -> list[Imported]:
    """Take files, and all data files below folders, into a catalog.

    Args:
        paths: Parquet, CSV (also .gz, .zip) or feather files, or folders of them.
        catalog: where the series go.
        kind: option that overrides what a file says; so do venue, symbol and timeframe.
        venue: for example ``binance``.
        symbol: for example ``ETH/USDT``; the name of a signal.
        timeframe: for example ``5m``.
        known_after: a duration after which a signal's value is known, at least the timeframe.
        is_skipping_bad: take files without their bad rows, which are listed.
        on_refusal: called for a file that is refused; without it the first refusal is raised.

    Raises:
        DataError: a file is refused, or there is none.
    """
    given = Understanding(
        kind=kind,
        venue=venue,
        symbol=symbol,
        timeframe=timeframe,
        known_after_ms=None if known_after is None else to_duration_ms(known_after),
        is_skipping_bad=is_skipping_bad,
    )
    imported: list[Imported] = []
    for path in _walk(paths):
        try:
            imported += import_file(path, catalog, given)
        except DataError as error:
            if on_refusal is None:
                raise
            on_refusal(path, error)
    return imported


def import_file(path: Path, catalog: Catalog, given: Understanding) -> list[Imported]:
    """Take one file into the catalog: one series, or one per symbol or signal column.

    Raises:
        DataError: it holds no series, or bad rows; then nothing of it is stored.
    """
    named = read_name(path)
    if named.unsupported and given.kind is None:
        raise DataError(
            f"the catalog keeps candles, mark, funding and signals, {path} lies where "
            f"{named.unsupported}: make candles of it first, or say --kind"
        )
    table = read_table(path)
    kind = given.kind or ("signal" if _is_made(table) else find_kind(table, named))
    venue = name_venue(path) if is_lending_rates(table) else named.venue
    given = replace(given, kind=kind, venue=given.venue or _find_venue(path, venue))
    parts = _split(table, named, given)
    made = [_make(part, catalog, given) for part in parts]  # all are checked before one is stored
    return [store() for store in made]


def check_file(path: Path) -> list[QualityReport]:
    """Look through each series of a file, fit to be imported or not; see ``quality.check``.

    Raises:
        DataError: it cannot be read, or holds no series.
    """
    named = read_name(path)
    table = read_table(path)
    kind = "signal" if _is_made(table) else find_kind(table, named)
    is_many = kind == "signal" or "symbol" in table.frame
    symbol = None if is_many else named.symbol or named.stem
    parts = _split(table, named, Understanding(kind=kind, symbol=symbol))
    reports: list[QualityReport] = []
    for part in parts:
        step_ms = None if part.timeframe is None else to_duration_ms(part.timeframe)
        name = f"{path} {part.symbol}" if len(parts) > 1 else str(path)
        reports.append(check(part.frame, name=name, timeframe_ms=step_ms))
    return reports


def _walk(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = sorted(p for p in path.rglob("*") if p.is_file() and p.name.endswith(SUFFIXES))
        if not found:
            raise DataError(f"a folder must hold {', '.join(SUFFIXES)} files, {path} has none")
        yield from found


def _split(table: Table, named: Named, given: Understanding) -> list[Part]:
    """Return the series that a table holds, whose kind is known."""
    if is_lending_rates(table) and given.kind == "signal":
        return list(split_rates(table, given))
    if is_titles(table) and given.kind == "signal":
        return list(split_titles(table, given))
    return list(split_table(table, named, given))


def _is_made(table: Table) -> bool:
    """Return whether signals are made of a table's rows, instead of read from its columns."""
    return is_lending_rates(table) or is_titles(table)


def _find_venue(path: Path, venue: str | None) -> str:
    if venue is None:
        raise DataError(
            f"a series has a venue, the folders of {path} name none: say --venue binance"
        )
    return venue


def _make(part: Part, catalog: Catalog, given: Understanding) -> Callable[[], Imported]:
    """Check the rows of a part, and return what stores them."""
    timeframe, notes = find_timeframe(part)
    frame, skipped = _refuse_bad_rows(part, timeframe, given)
    key = SeriesKey(given.kind or "candles", given.venue or "", part.symbol, timeframe)
    series, known_note = _to_series(
        key, frame, given, source=f"imported from {part.table.path.name}"
    )
    catalog.check_key(key)

    def store() -> Imported:
        return Imported(
            path=part.table.path,
            manifest=catalog.append(series, fetched_ms=None),
            n_rows=len(series),
            notes=(*part.table.notes, *part.notes, *notes, *known_note),
            skipped_rows=skipped,
        )

    return store


def _refuse_bad_rows(
    part: Part, timeframe: str, given: Understanding
) -> tuple[pd.DataFrame, tuple[int, ...]]:
    """Return the rows to store and the file's numbers of those left out on request."""
    report = check(part.frame, timeframe_ms=to_duration_ms(timeframe))
    bad = report.refused_rows
    if not len(bad):
        return part.frame, ()
    if not given.is_skipping_bad:
        raise DataError(_list_bad_rows(part, report))
    kept = part.frame.drop(index=bad.tolist())
    if kept.empty:
        raise DataError(
            f"all {len(bad)} rows of {part.table.path} are bad: `seawall data check` it"
        )
    return kept, tuple(bad.tolist())


def _list_bad_rows(part: Part, report: QualityReport) -> str:
    """Return the one line that refuses a file, with the numbers of its bad rows."""
    found: list[str] = []
    for finding in report.findings:
        if finding.is_refused:
            rows = finding.rows[:_ROWS_SHOWN].tolist()
            more = len(finding.rows) - len(rows)
            tail = f" and {more} more" if more else ""
            found.append(
                f"{finding.rule} in row{'s' if len(rows) > 1 else ''} "
                f"{', '.join(map(str, rows))}{tail}"
            )
    return (
        f"rows must be sound, {part.table.path} ({part.symbol}) has {'; '.join(found)}, counted "
        "from 0: mend the file, or say --skip-bad to leave them out"
    )


def _to_series(
    key: SeriesKey, frame: pd.DataFrame, given: Understanding, *, source: str
) -> tuple[Series, tuple[str, ...]]:
    time_ms = to_ms(frame["timestamp"])
    if key.kind == "funding":
        value = frame["value"].to_numpy(np.float64)
        return Signal(key=key, time_ms=time_ms, known_ms=time_ms, value=value, source=source), ()
    if key.kind == "signal":
        known_ms, note = _find_known(key, frame, time_ms, given)
        value = frame["value"].to_numpy(np.float64)
        return Signal(key=key, time_ms=time_ms, known_ms=known_ms, value=value, source=source), (
            note,
        )
    no_volume = np.full(len(frame), np.nan)
    candles = Candles(
        key=key,
        time_ms=time_ms,
        open=frame["open"].to_numpy(np.float64),
        high=frame["high"].to_numpy(np.float64),
        low=frame["low"].to_numpy(np.float64),
        close=frame["close"].to_numpy(np.float64),
        volume=no_volume if key.kind == "mark" else frame["volume"].to_numpy(np.float64),
        source=source,
    )
    return candles, ()


def _find_known(
    key: SeriesKey, frame: pd.DataFrame, time_ms: TimeArray, given: Understanding
) -> tuple[TimeArray, str]:
    """Return when each value was known: as the file says, else when its period is over."""
    after_ms = given.known_after_ms
    if after_ms is None and "known_at" in frame:
        return to_ms(frame["known_at"]), "known as the file says"
    if after_ms is not None and after_ms < key.timeframe_ms:
        raise DataError(
            f"a value is known after its period of {key.timeframe} at the earliest, --known-after "
            f"says {to_duration_text(after_ms)}: give more, or a known_at column in the file"
        )
    after_ms = after_ms or key.timeframe_ms
    return time_ms + after_ms, f"known {to_duration_text(after_ms)} after the timestamp"
