"""Reads Parquet, CSV and feather files into tables with known columns, and says how it read them.

The table has ``timestamp`` (int64, UTC milliseconds) and the file's other columns, the known ones
under plain lower case names. Nothing is dropped, and nothing is sorted but a file that runs wholly
backwards in time.
"""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from seawall.errors import DataError
from seawall.market.series import CANDLE_FIELDS, TimeArray

SUFFIXES = (".parquet", ".feather", ".csv", ".csv.gz", ".csv.zip", ".zip")
TIME_NAMES = (
    "timestamp",
    "open_time",
    "opentime",
    "time",
    "datetime",
    "date",
    "ts",
    "unix",
    "unixtime",
    "unix_timestamp",
    "timestamp_ms",
    "time_ms",
    "funding_time",
    "fundingtime",
    "calc_time",
)
# The columns of Binance's public kline files, which have no header line.
_DUMP_COLUMNS = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
)
_FEWEST_COLUMNS = 6  # time, open, high, low, close, volume
_SHORT_NAMES = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume", "vol": "volume"}
KNOWN_NAMES = ("known_at", "known_ms", "published_at")
RATE_NAMES = ("funding_rate", "fundingrate", "last_funding_rate", "rate", "value", "open")
_KNOWN_COLUMNS = {*TIME_NAMES, *CANDLE_FIELDS, *KNOWN_NAMES, *RATE_NAMES, "symbol"}
# What pandas, pyarrow and the unpackers raise on a damaged file, some of it through a base class.
_UNREADABLE = (ValueError, OSError, EOFError, NotImplementedError, zlib.error, zipfile.BadZipFile)
# A number of this size and more is counted in the unit: 1e11 s is the year 5138, 1e11 ms is 1973.
_UNITS = ((1e17, "ns"), (1e14, "us"), (1e11, "ms"), (0.0, "s"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """A file as read.

    Attributes:
        path: of the file.
        frame: ``timestamp`` and the other columns; its index holds row numbers of the file, from 0.
        notes: what was understood, in words.
    """

    path: Path
    frame: pd.DataFrame
    notes: tuple[str, ...]


def read_table(path: Path) -> Table:
    """Read a file, find its time column and the unit of it.

    Raises:
        DataError: it cannot be read, or has no time column, or times that are none.
    """
    frame = _read_frame(path)
    frame.columns = pd.Index([_plain_name(name) for name in frame.columns])
    if doubled := frame.columns[frame.columns.duplicated()].tolist():
        raise DataError(
            f"a column name must stand once, {path} has {doubled[0]!r} twice: rename one"
        )
    name = next((name for name in TIME_NAMES if name in frame.columns), None)
    if name is None:
        raise DataError(
            f"a file must have a time column ({', '.join(TIME_NAMES[:6])} ...), {path} has "
            f"{', '.join(frame.columns[:8])}: rename the one that holds times"
        )
    time_ms, unit = _to_times(frame[name], path)
    notes = [f"times are {name!r} ({unit})"]
    rest = frame.drop(columns=[name])
    if "timestamp" in rest:
        rest = rest.rename(columns={"timestamp": "timestamp_"})
    rest.insert(0, "timestamp", time_ms)
    if len(time_ms) > 1 and (np.diff(time_ms) <= 0).all() and time_ms[0] > time_ms[-1]:
        rest = rest.iloc[::-1]
        notes.append("rows run backwards in time and were turned round")
    return Table(path=path, frame=rest, notes=tuple(notes))


def _read_frame(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(f"there is no file {path}: check its name")
    if not path.name.lower().endswith(SUFFIXES):
        raise DataError(f"a file must end in {', '.join(SUFFIXES)}, is {path}: convert it")
    try:
        frame = _parse(path)
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())[:150]
        raise DataError(
            f"{path} cannot be read as its name says ({reason}): fetch it again"
        ) from None
    if isinstance(frame.index, pd.DatetimeIndex):
        frame = frame.rename_axis("timestamp").reset_index()
    if frame.empty:
        raise DataError(f"a file must have rows, {path} has none: fetch it again")
    return frame.reset_index(drop=True)


def _parse(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    if path.suffix == ".feather":
        return pd.read_feather(path)
    first = pd.read_csv(path, header=None, nrows=1, dtype=str)
    cells = first.iloc[0].tolist()
    if all(_is_number(cell) for cell in cells) and _FEWEST_COLUMNS <= len(cells) <= len(
        _DUMP_COLUMNS
    ):
        return pd.read_csv(path, header=None, names=list(_DUMP_COLUMNS[: len(cells)]))
    return pd.read_csv(path)


def _is_number(cell: object) -> bool:
    try:
        float(str(cell))
    except ValueError:
        return False
    return True


def _plain_name(name: object) -> str:
    """Return a known column's plain name, and any other as it stands: it may name a signal."""
    given = str(name).strip()
    plain = given.lower().replace(" ", "_")
    plain = _SHORT_NAMES.get(plain, plain)
    return plain if plain in _KNOWN_COLUMNS else given


def _to_times(column: "pd.Series[pd.Timestamp]", path: Path) -> tuple[TimeArray, str]:
    """Return a column as int64 UTC milliseconds, and how it was read."""
    bad = column.isna()
    if not bad.any() and pd.api.types.is_numeric_dtype(column.dtype):
        return _from_numbers(column)
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        moments, unit = column, str(column.dtype)
    else:
        unit = "ISO text"
        moments = pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601")
    bad = moments.isna()
    if bad.any():
        rows = np.flatnonzero(bad)
        raise DataError(
            f"every row must have a time, {len(rows)} rows of {path} have none that can be read, "
            f"the first is row {rows[0]} ({column.iloc[rows[0]]!r}): write ISO times or numbers"
        )
    index = pd.DatetimeIndex(moments)
    index = index.tz_localize("UTC") if index.tz is None else index.tz_convert("UTC")
    return np.asarray(index.as_unit("ms").asi8, dtype=np.int64), unit


def _from_numbers(column: "pd.Series[pd.Timestamp]") -> tuple[TimeArray, str]:
    """Return milliseconds; whole numbers stay whole, as nanoseconds do not fit into a float."""
    numbers = np.asarray(column)
    size = float(np.median(np.abs(numbers)))
    unit = next(name for least, name in _UNITS if size >= least)
    if unit == "s":
        times = np.round(numbers * 1000.0)
    elif np.issubdtype(numbers.dtype, np.integer):
        times = numbers // {"ns": 1_000_000, "us": 1_000, "ms": 1}[unit]
    else:
        times = np.round(numbers / {"ns": 1e6, "us": 1e3, "ms": 1.0}[unit])
    return np.asarray(times, dtype=np.int64), f"numbers in {unit}"
