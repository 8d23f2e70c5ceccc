"""Leverage brackets in the catalog: one small JSON file for each contract and day.

``<root>/brackets/<venue>/<SYMBOL-WITH-DASH>/<day>.json``; a file is whole or not there.
"""

import json
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from seawall.errors import DataError
from seawall.market.brackets import (
    VENUE,
    Brackets,
    Tier,
    find_shipped,
    from_ccxt,
    is_linear,
    to_bracket_venue,
)
from seawall.market.catalog import VARIABLE, Catalog, put_whole
from seawall.units import to_time_ms

KIND = "brackets"
SUFFIX = ".json"
_SCHEMA_VERSION = 1
_NAMES_SHOWN = 4


class ImportedBrackets(NamedTuple):
    """What was taken from a file: tables, and the symbols that no table was made of."""

    path: Path
    tables: tuple[Brackets, ...]
    passed_over: tuple[str, ...]


def store_brackets(catalog: Catalog, brackets: Brackets) -> None:
    """Keep a table in the catalog, in place of one of the same contract and day.

    Raises:
        DataError: the symbol cannot name a folder, or the catalog cannot be written.
    """
    folder = catalog.folder_of(KIND, brackets.venue, brackets.symbol)
    tiers = [[t.floor, t.cap, t.rate, t.amount, t.max_leverage] for t in brackets.tiers]
    content = {
        "schema_version": _SCHEMA_VERSION,
        "venue": brackets.venue,
        "symbol": brackets.symbol,
        "seen": brackets.day,
        "source": brackets.source,
        "tiers": tiers,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{brackets.day}.tmp"
        draft.write_text(json.dumps(content, indent=1), encoding="utf-8")
        put_whole(draft, folder / f"{brackets.day}{SUFFIX}")
    except OSError as error:
        raise DataError(
            f"the catalog must be writable, {folder} is not ({error.strerror}): "
            f"set {VARIABLE} to a folder that is"
        ) from error


def find_brackets(catalog: Catalog, venue: str, symbol: str) -> tuple[Brackets, ...]:
    """Return all tables of a contract, the oldest first: the shipped ones and the catalog's.

    Of two with one day the catalog's counts.

    Raises:
        DataError: a file of the catalog cannot be read.
    """
    venue = to_bracket_venue(venue)
    folder = catalog.folder_of(KIND, venue, symbol)
    stored = [_read(path) for path in sorted(folder.glob(f"*{SUFFIX}"))]
    by_day = {one.seen_ms: one for one in (*find_shipped(venue, symbol), *stored)}
    return tuple(by_day[seen_ms] for seen_ms in sorted(by_day))


def stored_brackets(catalog: Catalog) -> list[Brackets]:
    """Return every table that is in the catalog, by venue, day and symbol."""
    found = [_read(path) for path in catalog.root.glob(f"{KIND}/*/*/*{SUFFIX}")]
    return sorted(found, key=_by_day)


def describe_brackets(tables: list[Brackets]) -> list[tuple[str, int, str, str]]:
    """Return a row for each venue and day: which contracts, how many tables, day, source."""
    rows: list[tuple[str, int, str, str]] = []
    for (venue, _), group in groupby(sorted(tables, key=_by_day), lambda t: (t.venue, t.seen_ms)):
        same = list(group)
        names = ", ".join(one.symbol.replace("/", "-") for one in same[:_NAMES_SHOWN])
        more = f" and {len(same) - _NAMES_SHOWN} more" if len(same) > _NAMES_SHOWN else ""
        rows.append((f"{KIND}/{venue}/{names}{more}", len(same), same[0].day, same[0].source))
    return rows


def import_brackets(
    path: Path,
    catalog: Catalog,
    *,
    as_of: str | None,
    venue: str | None = None,
    symbol: str | None = None,
) -> ImportedBrackets:
    """Take a JSON file of brackets into the catalog: freqtrade's, or ccxt's answer as it stands.

    Args:
        path: ``binance_leverage_tiers.json``: by symbol, a list of ccxt's tiers.
        catalog: where the tables go.
        as_of: the day on which the tables held, which such a file does not tell.
        venue: Binance unless it is said.
        symbol: the only one to take; all linear perpetuals by default.

    Raises:
        DataError: the file is no such file, or the day is missing; then nothing is stored.
    """
    if as_of is None:
        raise DataError(
            f"brackets have a day from which they are in force, {path} tells none: say "
            "--as-of 2026-09-29, the day on which the file was made"
        )
    found = _load(path)
    wanted = [name for name in found if symbol in (None, name)]
    if not wanted:
        raise DataError(f"{path} has no brackets of {symbol!r}: it has {', '.join([*found][:5])}")
    seen_ms = to_time_ms(as_of.partition("T")[0])
    taken: list[Brackets] = []
    for name in wanted:
        tiers = found[name]
        if not isinstance(tiers, list):
            raise _not_brackets(path)
        if is_linear(name) and _has_folder(catalog, name):
            source = f"imported from {path.name}"
            taken.append(
                from_ccxt(tiers, symbol=name, venue=venue or VENUE, seen_ms=seen_ms, source=source)
            )
    for one in taken:  # all are checked before one is stored
        store_brackets(catalog, one)
    names = {one.symbol for one in taken}
    return ImportedBrackets(path, tuple(taken), tuple(name for name in wanted if name not in names))


def _by_day(one: Brackets) -> tuple[str, int, str]:
    return one.venue, one.seen_ms, one.symbol


def _has_folder(catalog: Catalog, symbol: str) -> bool:
    try:
        catalog.folder_of(symbol)
    except DataError:
        return False
    return True


def _load(path: Path) -> Mapping[str, object]:
    if not path.is_file():
        raise DataError(f"there is no file {path}: check its name")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} must be JSON, is not ({error}): fetch it again") from None
    if not isinstance(found, dict) or not found:
        raise _not_brackets(path)
    return found


def _not_brackets(path: Path) -> DataError:
    return DataError(
        f"a JSON file of brackets has a list of tiers by symbol, {path} has not: give freqtrade's "
        "binance_leverage_tiers.json"
    )


def _read(path: Path) -> Brackets:
    remedy = "delete it, and fetch or import the brackets again"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["schema_version"] != _SCHEMA_VERSION:
            raise DataError(
                f"the schema version of brackets must be {_SCHEMA_VERSION}, {path} says "
                f"{found['schema_version']!r}: upgrade Seawall, or {remedy}"
            )
        rows = [[float(number) for number in row] for row in found["tiers"]]
        return Brackets(
            symbol=str(found["symbol"]),
            venue=str(found["venue"]),
            seen_ms=to_time_ms(str(found["seen"])),
            source=str(found["source"]),
            tiers=tuple(
                Tier(floor=floor, cap=cap, rate=rate, amount=amount, max_leverage=leverage)
                for floor, cap, rate, amount, leverage in rows
            ),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} must hold brackets, it does not ({error}): {remedy}") from None
