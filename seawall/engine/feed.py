"""Candles as a backtrader data feed: close-stamped, checked, and loaded without a loop over rows.

An exchange stamps a candle with its OPEN time; backtrader shows a bar at its stamp. So every bar
here carries its CLOSE time, ``open + timeframe``, also one made of finer candles: an hourly bar
appears at the end of the hour, together with the last five-minute bar of that hour. Fed
open-stamped, backtrader would show the hourly close 55 minutes early.

Stamps are backtrader's own: days since year 1 as float64, equal to the bit to ``bt.date2num``.
"""

import array
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seawall.errors import DataError
from seawall.market.series import CANDLE_FIELDS, Candles, FloatArray, SeriesKey
from seawall.units import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, to_duration_ms

EPOCH_ORDINAL = 719_163  # date(1970, 1, 1).toordinal()
MONDAY_MS = 4 * DAY_MS  # 1970-01-05: weeks start on Monday, days and shorter ones at midnight UTC
TICK_FIELDS = {f"tick_{name}": name for name in ("close", "low", "high", "open", "volume")}


class ArrayLine(bt.LineBuffer):
    """A line whose value is read in one step; backtrader's own goes through a property."""

    def __getitem__(self, ago: int) -> float:
        return self.array[self._idx + ago]

    def __len__(self) -> int:
        return self.lencount

    def forward(self, value: float = np.nan, size: int = 1) -> None:
        """Move on by ``size`` and append as many values, at once rather than one by one."""
        self.idx += size
        self.lencount += size
        self.array.extend(array.array("d", [value]) * size)

    def fill(self, values: FloatArray) -> None:
        """Replace the content by ``values``; a look-ahead extension of nan stays behind it."""
        self.array = array.array("d")
        self.array.frombytes(np.ascontiguousarray(values, dtype=np.float64).tobytes())
        self.array.extend(array.array("d", [np.nan]) * self.extension)
        self.home()


def quicken(lines: Any) -> None:
    """Make the plain lines of one object read fast; no other object of backtrader changes."""
    for line in lines:
        if type(line) is bt.LineBuffer:
            line.__class__ = ArrayLine


class ArrayFeed(bt.feed.DataBase):
    """One series of candles as a backtrader feed.

    ``ArrayFeed(candles, name="ETH/USDT")``: every parameter of a backtrader feed is accepted by
    keyword; ``fromdate`` and ``todate`` compare with the close. The default name is the symbol:
    give names where one symbol comes in several timeframes.

    Attributes:
        candles: what is fed, with open stamps.
        only_shows: coarser bars of another feed: they are read, orders go to the other.
        shown_ms: int64, shape (n_bars,): when each bar is delivered, its close by default.

    Left out: tick values (``tick_close`` and its like) are the bar's own on every bar; a stock
    feed leaves them ``None`` on the last.
    """

    def __init__(self, candles: Candles, **parameters: Any) -> None:
        if parameters:  # those of a feed have been taken by backtrader's metaclass
            raise DataError(
                f"a feed has no parameter {', '.join(map(repr, parameters))}: "
                "use backtrader's own, name, fromdate, todate, sessionend and their like"
            )
        super().__init__()
        self.candles, self.shown_ms = candles, candles.close_ms
        self.only_shows = False
        self.p.timeframe, self.p.compression = to_bt_timeframe(candles.key.timeframe_ms)
        self.p.name = self.p.name or candles.key.symbol
        self._dataname = self.p.name
        self._row = 0
        quicken(self.lines)
        for alias in self.getlinealiases():  # found at once, not through two __getattr__
            self.__dict__[alias] = getattr(self.lines, alias)

    @classmethod
    def from_frame(
        cls, frame: pd.DataFrame, *, symbol: str, timeframe: str, name: str | None = None
    ) -> "ArrayFeed":
        """Return the feed of an open-stamped table.

        Args:
            frame: columns open, high, low, close, volume (any case); index: a DatetimeIndex in
                UTC, or without a zone and meant so, strictly increasing, whole milliseconds.
            symbol: for example ``"ETH/USDT"``.
            timeframe: the length of one row, for example ``"5m"``.
            name: the feed's name; the symbol if not given.

        Raises:
            DataError: the table breaks one of these rules.
        """
        key = SeriesKey("candles", "table", symbol, timeframe)
        candles = _to_candles(key, frame)
        return cls(candles, name=name or symbol)

    def show_with(self, fine: Candles) -> None:
        """Only show these bars, each with the first of the finer ones that closes no earlier.

        Where the finer ones have a gap at its end, a bar is seen after its close: nothing tells
        before then that it is over. Of several that wait, one is seen with each finer bar.
        """
        self.only_shows = True
        place = np.arange(len(self.candles))
        rows = np.searchsorted(fine.close_ms, self.candles.close_ms)
        rows = np.maximum.accumulate(rows - place) + place
        n = int(np.searchsorted(rows, len(fine)))
        if n < len(place):
            self.candles = self.candles.between(None, int(self.candles.time_ms[n]))
        self.shown_ms = fine.close_ms[rows[:n]]

    def __len__(self) -> int:
        return self.line0.lencount  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        if name in TICK_FIELDS:
            return getattr(self.lines, TICK_FIELDS[name])[0]
        if name == "tick_last":
            return self.lines[0][0]
        return super().__getattr__(name)

    def _tick_nullify(self) -> None:
        """Do nothing: a tick value is read from the bar when asked for."""

    def _tick_fill(self, force: bool = False) -> None:  # noqa: FBT001, FBT002 - backtrader's
        """Do nothing: a tick value is read from the bar when asked for."""

    def start(self) -> None:
        """Rewind to the first candle."""
        super().start()
        self._row = 0

    def preload(self) -> None:
        """Fill all lines in one go; filters and time zones need backtrader's own row by row."""
        if self._filters or self._tzinput:
            super().preload()
            return
        columns = to_columns(self.candles)
        if self.only_shows:
            columns["datetime"] = to_bt_time(self.shown_ms)
        stamps = columns["datetime"]
        keep = (stamps >= self.fromdate) & (stamps <= self.todate)
        for alias in self.getlinealiases():
            line: ArrayLine = getattr(self.lines, alias)
            line.fill(columns[alias] if keep.all() else columns[alias][keep])
        self._row = len(self.candles)  # backtrader's own loop asks for more after the last bar

    def _load(self) -> bool:
        """Load the next candle: the way of a run that does not preload (resample, replay)."""
        if self._row >= len(self.candles):
            return False
        row = self._row
        for field in CANDLE_FIELDS:
            getattr(self.lines, field)[0] = getattr(self.candles, field)[row]
        self.lines.datetime[0] = to_bt_time(self.shown_ms[row : row + 1])[0]
        self._row += 1
        return True


def to_columns(candles: Candles) -> dict[str, FloatArray]:
    """Return what each line of a feed holds: float64, shape (n_bars,), by name.

    Open interest is nan, as in backtrader where a table has none. A mark series has no volume: 0.
    """
    columns = {field: getattr(candles, field) for field in CANDLE_FIELDS}
    columns["volume"] = np.nan_to_num(candles.volume, nan=0.0)
    columns["openinterest"] = np.full(len(candles), np.nan)
    columns["datetime"] = to_bt_time(candles.close_ms)
    return columns


def to_bt_time(time_ms: NDArray[np.int64]) -> FloatArray:
    """Return backtrader's date numbers of UTC milliseconds, float64 of the same shape.

    Equal to the bit to ``bt.date2num``, which adds day, hour, minute, second and microsecond
    with ``fsum``: here the same terms are added with their rounding errors kept.
    """
    day, rest = np.divmod(np.asarray(time_ms, dtype=np.int64), DAY_MS)
    hour, rest = np.divmod(rest, HOUR_MS)
    minute, rest = np.divmod(rest, MINUTE_MS)
    second, milli = np.divmod(rest, SECOND_MS)
    total = (day + EPOCH_ORDINAL).astype(np.float64)
    error = np.zeros_like(total)
    terms = (hour / 24.0, minute / 1440.0, second / 86400.0, milli * 1e3 / 86400e6)
    for term in terms:
        added = total + term
        virtual = added - total
        error += (total - (added - virtual)) + (term - virtual)
        total = added
    return total + error


def to_bt_timeframe(timeframe_ms: int) -> tuple[int, int]:
    """Return backtrader's (timeframe, compression) of a bar length in milliseconds."""
    if timeframe_ms % DAY_MS == 0:
        days = timeframe_ms // DAY_MS
        return (bt.TimeFrame.Weeks, days // 7) if days % 7 == 0 else (bt.TimeFrame.Days, days)
    if timeframe_ms % MINUTE_MS == 0:
        return bt.TimeFrame.Minutes, timeframe_ms // MINUTE_MS
    return bt.TimeFrame.Seconds, timeframe_ms // SECOND_MS


def resample(candles: Candles, timeframe: str, *, until_ms: int | None = None) -> Candles:
    """Return the candles of a longer timeframe, made of these, without a look ahead.

    A bucket starts at a multiple of the timeframe (a week on Monday, all in UTC). What is not
    whole is left out: the first bucket where the candles begin after its start, and the last
    where they end before its end. A gap inside is no reason: an exchange's own long candle is
    made of the same trades, and the bucket's end has passed.

    Args:
        candles: the finer candles.
        timeframe: the longer timeframe, for example ``"1h"``.
        until_ms: up to when the candles are known; the last one's close if not given. Say it where
            the last bars of a bucket may be missing for good, in a gap, and the bucket is over.

    Raises:
        DataError: the timeframe is not a multiple of the candles' own.
    """
    fine_ms, coarse_ms = candles.key.timeframe_ms, to_duration_ms(timeframe)
    if coarse_ms % fine_ms:
        raise DataError(
            f"a longer timeframe must be a multiple of the candles' {candles.key.timeframe}, "
            f"is {timeframe}: choose a multiple, or load finer candles"
        )
    key = SeriesKey(candles.key.kind, candles.key.venue, candles.key.symbol, timeframe)
    starts, rows = _to_buckets(candles, coarse_ms, until_ms)
    stops = np.append(rows[1:], _end_row(candles, starts, coarse_ms))
    if len(starts) == 0 or stops[-1] <= rows[0]:
        starts, rows = starts[:0], rows[:0]
    return _aggregate(candles, key=key, starts=starts, rows=rows, stops=stops[: len(rows)])


def _to_buckets(
    candles: Candles, coarse_ms: int, until_ms: int | None
) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Return the start of each whole bucket and the row of its first candle."""
    origin = MONDAY_MS if coarse_ms % (7 * DAY_MS) == 0 else 0
    bucket = (candles.time_ms - origin) // coarse_ms * coarse_ms + origin
    starts, rows = np.unique(bucket, return_index=True)
    if len(starts) and candles.time_ms[0] != starts[0]:
        starts, rows = starts[1:], rows[1:]
    if len(starts) and (until_ms or candles.close_ms[-1]) < starts[-1] + coarse_ms:
        starts, rows = starts[:-1], rows[:-1]
    return starts, rows


def _end_row(candles: Candles, starts: NDArray[np.int64], coarse_ms: int) -> int:
    """Return the row after the last whole bucket."""
    if len(starts) == 0:
        return 0
    return int(np.searchsorted(candles.time_ms, starts[-1] + coarse_ms))


def _aggregate(
    candles: Candles,
    *,
    key: SeriesKey,
    starts: NDArray[np.int64],
    rows: NDArray[np.intp],
    stops: NDArray[np.intp],
) -> Candles:
    def over(function: np.ufunc, values: FloatArray) -> FloatArray:
        if len(rows) == 0:
            return values[:0]
        folded: FloatArray = function.reduceat(values[: stops[-1]], rows)
        return folded

    return Candles(
        key=key,
        time_ms=starts,
        open=candles.open[rows],
        high=over(np.maximum, candles.high),
        low=over(np.minimum, candles.low),
        close=candles.close[stops - 1],
        volume=over(np.add, candles.volume),
        source=f"{candles.source} (from {candles.key.timeframe})".strip(),
        is_simulated=candles.is_simulated,
    )


def _to_utc_ms(index: pd.Index) -> NDArray[np.int64]:
    if not isinstance(index, pd.DatetimeIndex):
        raise DataError(
            f"the index must be a DatetimeIndex, is {type(index).__name__}: "
            "use frame.set_index(pd.to_datetime(..., utc=True))"
        )
    if index.tz is not None and str(index.tz) not in {"UTC", "utc", "UTC+00:00"}:
        raise DataError(f"the index must be in UTC, is in {index.tz}: use frame.tz_convert('UTC')")
    nanos = index.as_unit("ns").asi8
    if index.hasnans or (nanos % 1_000_000).any():
        raise DataError(
            "the index must hold whole milliseconds, some rows do not (or have no time): "
            "use frame.index.floor('ms') and drop rows without a time"
        )
    return nanos // 1_000_000


def _to_candles(key: SeriesKey, frame: pd.DataFrame) -> Candles:
    found = {str(column).lower(): column for column in frame.columns}
    missing = [field for field in CANDLE_FIELDS if field not in found]
    if missing:
        raise DataError(
            f"columns open, high, low, close, volume are needed, missing: {', '.join(missing)}; "
            "rename or add them"
        )
    column = {name: frame[found[name]].to_numpy(dtype=np.float64) for name in CANDLE_FIELDS}
    return Candles(
        key=key,
        time_ms=_to_utc_ms(frame.index),
        open=column["open"],
        high=column["high"],
        low=column["low"],
        close=column["close"],
        volume=column["volume"],
        source="a table",
    )
