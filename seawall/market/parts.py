"""Splits a table into the series that it holds: by kind, by symbol, by numeric column."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from seawall.errors import DataError
from seawall.market.naming import Named, to_symbol
from seawall.market.quality import commonest_step_ms, to_ms
from seawall.market.series import PRICE_FIELDS, FloatArray, Kind
from seawall.market.tables import KNOWN_NAMES, RATE_NAMES, Table
from seawall.units import to_duration_ms, to_duration_text


@dataclass(frozen=True, kw_only=True)
class Understanding:
    """What is known about a file from options or, where they are None, to be found out.

    Attributes:
        known_after_ms: how long after its timestamp a signal's value is known; None is the
            timeframe, and less is refused: it would be seen before its period ended.
        is_skipping_bad: take a file without its bad rows.
    """

    kind: Kind | None = None
    venue: str | None = None
    symbol: str | None = None
    timeframe: str | None = None
    known_after_ms: int | None = None
    is_skipping_bad: bool = False


@dataclass(frozen=True, kw_only=True)
class Part:
    """The rows of one series within a file, with plain columns."""

    table: Table
    frame: pd.DataFrame
    symbol: str
    timeframe: str | None
    notes: tuple[str, ...]


def find_kind(table: Table, named: Named) -> Kind:
    """Return what a file holds: as its folders and name say, else as its columns do.

    Raises:
        DataError: neither tells.
    """
    columns = table.frame.columns
    has_prices = all(name in columns for name in PRICE_FIELDS)
    if named.kind is not None and (named.kind not in ("candles", "mark") or has_prices):
        return named.kind
    if has_prices:
        return "candles"
    if any(name in columns for name in RATE_NAMES[:3]):
        return "funding"
    raise DataError(
        f"candles have open, high, low, close, {table.path} has {', '.join(columns[:8])}: "
        "if each numeric column is a signal, say --kind signal --venue NAME"
    )


def split_table(table: Table, named: Named, given: Understanding) -> Iterator[Part]:
    """Return one part per series: per value of a ``symbol`` column, per numeric signal column."""
    if given.kind == "signal":
        yield from _split_signals(table, named, given)
        return
    timeframe = given.timeframe or named.timeframe
    if "symbol" in table.frame and given.symbol is None:
        for text, rows in table.frame.groupby("symbol", sort=False):
            symbol = to_symbol(str(text))
            if symbol is None:
                raise DataError(
                    f"a symbol is BASE-QUOTE, {table.path} has {text!r} in its symbol column: "
                    "write ETH-USDT there"
                )
            yield _to_part(table, rows, symbol, timeframe, given)
        return
    symbol = given.symbol or named.symbol
    if symbol is None:
        raise DataError(
            f"a series has a symbol, the name of {table.path} tells none: say --symbol ETH/USDT"
        )
    yield _to_part(table, table.frame, symbol, timeframe, given)


def _to_part(
    table: Table, frame: pd.DataFrame, symbol: str, timeframe: str | None, given: Understanding
) -> Part:
    """Return the rows of one candle, mark or funding series."""
    if given.kind == "funding":
        name = next((name for name in RATE_NAMES if name in frame), None)
        if name is None:
            raise DataError(
                f"funding has a column {RATE_NAMES[0]}, {table.path} has "
                f"{', '.join(frame.columns[:8])}: rename the one that holds rates"
            )
        plain = pd.DataFrame({"timestamp": frame["timestamp"], "value": _to_float(frame[name])})
        return Part(
            table=table,
            frame=plain,
            symbol=symbol,
            timeframe=given.timeframe or "8h",
            notes=(f"rates are {name!r}",),
        )
    names = [*PRICE_FIELDS, *(["volume"] if given.kind == "candles" else [])]
    if missing := [name for name in names if name not in frame]:
        raise DataError(
            f"{given.kind} have {', '.join(names)}, {table.path} has no {missing[0]}: "
            "rename the column that holds it"
        )
    columns = {name: _to_float(frame[name]) for name in names}
    plain = pd.DataFrame({"timestamp": frame["timestamp"], **columns})
    return Part(table=table, frame=plain, symbol=symbol, timeframe=timeframe, notes=())


def _split_signals(table: Table, named: Named, given: Understanding) -> Iterator[Part]:
    """Return one signal per numeric column, named after the file and, unless ``value``, it."""
    frame = table.frame
    known = next((name for name in KNOWN_NAMES if name in frame), None)
    numbers = {
        str(name): _to_float(frame[name])
        for name in frame.columns
        if name not in ("timestamp", known) and _is_numeric(frame[name])
    }
    if not numbers:
        raise DataError(f"a signal is a numeric column, {table.path} has none: nothing to import")
    stem = given.symbol or named.stem
    for name, values in numbers.items():
        there = ~np.isnan(values)
        plain = pd.DataFrame({"timestamp": frame["timestamp"], "value": values})
        notes = [f"values are {name!r}"]
        if known is not None:
            plain["known_at"] = pd.to_datetime(frame[known], utc=True)
            notes.append(f"known from {known!r}")
        if not there.all():
            notes.append(f"{int((~there).sum())} rows have no value and stay out")
        if there.any():
            yield Part(
                table=table,
                frame=plain[there],
                symbol=stem if name == "value" else f"{stem}.{name}",
                timeframe=given.timeframe or named.timeframe,
                notes=tuple(notes),
            )


def find_timeframe(part: Part) -> tuple[str, tuple[str, ...]]:
    """Return the timeframe that was given or named, if the times agree, or else the times'."""
    step_ms = commonest_step_ms(to_ms(part.frame["timestamp"]))
    if part.timeframe is None:
        if step_ms == 0:
            raise DataError(
                f"one row does not tell a timeframe, {part.table.path} has one: say --timeframe"
            )
        found = to_duration_text(step_ms)
        to_duration_ms(found)
        return found, (f"timeframe {found} is the commonest step",)
    if step_ms and step_ms % to_duration_ms(part.timeframe):
        raise DataError(
            f"rows must be {part.timeframe} apart, those of {part.table.path} ({part.symbol}) are "
            f"mostly {to_duration_text(step_ms)} apart: say --timeframe {to_duration_text(step_ms)}"
        )
    return part.timeframe, ()


def _is_numeric(column: "pd.Series[float]") -> bool:
    """Return whether a column holds numbers; integers beyond 64 bits come as objects."""
    if pd.api.types.is_bool_dtype(column.dtype):
        return False
    if pd.api.types.is_numeric_dtype(column.dtype):
        return True
    return column.dtype == object and not np.isnan(_to_float(column)).all()


def _to_float(column: "pd.Series[float]") -> FloatArray:
    """Return a column as float64, nan where a cell is no number."""
    return np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)
