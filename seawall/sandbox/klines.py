"""Klines as Binance serves them: rows of twelve fields, ready made, of any multiple of the bars.

Prices and volumes read back as the source's to the bit. Coarser intervals are added up from the
market's own bars and start where Binance's do: at multiples of the interval since 1970, weeks on
Mondays, months on their first.

Left out: intervals finer than the source, and those that its bars do not divide.
"""

from collections import OrderedDict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seawall.market.series import FloatArray, TimeArray
from seawall.sandbox.decimals import ONE, float_to_text
from seawall.sandbox.tape import Flows, IntArray, Print, Tape
from seawall.units import DAY_MS, to_duration_ms

INTERVALS = (
    *("1s", "1m", "3m", "5m", "15m", "30m"),
    *("1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w"),
    "1M",
)
_MONTH = "1M"
_CHUNK_ROWS = 512
_KEPT_CHUNKS = 128
_WEEK_MS = 7 * DAY_MS
_FIRST_MONDAY_MS = 4 * DAY_MS  # 1970-01-05
_ROW = '[%d,"%s","%s","%s","%s","%s",%d,"%s",%d,"%s","%s","0"]'


def is_served(interval: str, timeframe_ms: int) -> bool:
    """Return whether bars of a timeframe add up to an interval of Binance's."""
    if interval == _MONTH:
        return DAY_MS % timeframe_ms == 0
    return interval in INTERVALS and to_duration_ms(interval) % timeframe_ms == 0


class Kline(NamedTuple):
    """One kline; prices and volumes in plain units."""

    open_ms: int
    close_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float
    n_trades: int
    taker_base: float
    taker_quote: float
    first_number: int
    last_number: int

    def to_row(self) -> bytes:
        """Return the row of twelve fields as JSON."""
        text = float_to_text
        return (
            _ROW
            % (
                self.open_ms,
                text(self.open),
                text(self.high),
                text(self.low),
                text(self.close),
                text(self.volume),
                self.close_ms,
                f"{self.quote_volume:.8f}",
                self.n_trades,
                f"{self.taker_base:.8f}",
                f"{self.taker_quote:.8f}",
            )
        ).encode()


class KlineTable:
    """The klines of one market in one interval."""

    def __init__(self, tape: Tape, interval: str) -> None:
        """Group the bars of ``tape``; ``interval`` is a multiple of their timeframe."""
        self._tape, self._interval = tape, interval
        candles = tape.candles
        opens = _opens(candles.time_ms, interval)
        starts = np.flatnonzero(np.diff(opens, prepend=opens[:1] - 1))
        self.open_ms: TimeArray = opens[starts]
        self._close_ms = _ends(self.open_ms, interval) - 1
        self._starts: IntArray = np.append(starts, len(candles)).astype(np.int64)
        self._chunks: OrderedDict[int, list[bytes]] = OrderedDict()
        self._before: tuple[int, Kline | None] = (-1, None)  # a bar, and the whole ones before it

    def rows(self, start: int, stop: int) -> list[bytes]:
        """Return closed rows as JSON, from ``start`` to before ``stop``."""
        found: list[bytes] = []
        while start < stop:
            number, skipped = divmod(start, _CHUNK_ROWS)
            end = min(stop, (number + 1) * _CHUNK_ROWS)
            found += self._chunk(number)[skipped : end - number * _CHUNK_ROWS]
            start = end
        return found

    def forming(self, bar: int, now: Kline) -> Kline:
        """Return the kline that holds ``bar``, of which ``now`` has happened (``add_up``)."""
        row = int(np.searchsorted(self._starts, bar, "right")) - 1
        if self._before[0] != bar:
            first = int(self._starts[row])
            done = self._summary(np.array([first]), np.array([bar]))[0] if bar > first else None
            self._before = bar, done
        return _join(self._before[1], now, int(self.open_ms[row]), int(self._close_ms[row]))

    def _chunk(self, number: int) -> list[bytes]:
        chunk = self._chunks.get(number)
        if chunk is None:
            first = number * _CHUNK_ROWS
            made = self._make(first, min(first + _CHUNK_ROWS, len(self.open_ms)))
            chunk = self._chunks[number] = [kline.to_row() for kline in made]
            if len(self._chunks) > _KEPT_CHUNKS:
                self._chunks.popitem(last=False)
        return chunk

    def _make(self, start: int, stop: int) -> list[Kline]:
        return self._summary(self._starts[start:stop], self._starts[start + 1 : stop + 1])

    def _summary(self, starts: IntArray, stops: IntArray) -> list[Kline]:
        """Return what the bars of each group add up to; the groups follow one another."""
        candles, first, last = self._tape.candles, int(starts[0]), int(stops[-1])
        flows = self._tape.flows(first, last)
        at = starts - first
        span = slice(first, last)
        open_ms = _opens(candles.time_ms[starts], self._interval)
        columns = (
            open_ms,
            _ends(open_ms, self._interval) - 1,
            candles.open[starts],
            np.maximum.reduceat(candles.high[span], at),
            np.minimum.reduceat(candles.low[span], at),
            candles.close[stops - 1],
            _add(candles.volume[span], at),
            *_add_flows(flows, at),
            starts * self._tape.n_prints,
            stops * self._tape.n_prints - 1,
        )
        return [Kline(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _opens(time_ms: TimeArray, interval: str) -> TimeArray:
    """Return when the interval that holds each time begins."""
    if interval == _MONTH:
        return _to_ms(time_ms.astype("datetime64[ms]").astype("datetime64[M]"))
    step_ms = to_duration_ms(interval)
    offset = _FIRST_MONDAY_MS if step_ms % _WEEK_MS == 0 else 0
    return (time_ms - offset) // step_ms * step_ms + offset


def _ends(open_ms: TimeArray, interval: str) -> TimeArray:
    """Return when intervals that begin at ``open_ms`` are over."""
    if interval == _MONTH:
        return _to_ms(open_ms.astype("datetime64[ms]").astype("datetime64[M]") + 1)
    return open_ms + to_duration_ms(interval)


def _to_ms(months: NDArray[np.datetime64]) -> TimeArray:
    return months.astype("datetime64[ms]").astype(np.int64)


def _add(values: FloatArray, at: IntArray) -> FloatArray:
    return np.asarray(np.add.reduceat(values, at), dtype=np.float64)


def _add_flows(flows: Flows, at: IntArray) -> tuple[FloatArray, IntArray, FloatArray, FloatArray]:
    return (
        _add(flows.quote_volume, at),
        np.asarray(np.add.reduceat(flows.n_trades, at), dtype=np.int64),
        _add(flows.taker_base, at),
        _add(flows.taker_quote, at),
    )


def _join(done: Kline | None, now: Kline, open_ms: int, close_ms: int) -> Kline:
    """Return a kline of whole bars and of what has happened after them."""
    if done is None:
        return now._replace(open_ms=open_ms, close_ms=close_ms)
    return now._replace(
        open_ms=open_ms,
        close_ms=close_ms,
        open=done.open,
        high=max(done.high, now.high),
        low=min(done.low, now.low),
        volume=done.volume + now.volume,
        quote_volume=done.quote_volume + now.quote_volume,
        n_trades=done.n_trades + now.n_trades,
        taker_base=done.taker_base + now.taker_base,
        taker_quote=done.taker_quote + now.taker_quote,
        first_number=done.first_number,
    )


def add_up(prints: list[Print]) -> Kline:
    """Return what prints add up to; the kline's times are those of the first and the last."""
    prices = [one.price / ONE for one in prints]
    sizes = [one.quantity / ONE for one in prints]
    bought = [0.0 if one.is_buyer_maker else size for one, size in zip(prints, sizes, strict=True)]
    return Kline(
        open_ms=prints[0].time_ms,
        close_ms=prints[-1].time_ms,
        open=prices[0],
        high=max(prices),
        low=min(prices),
        close=prices[-1],
        volume=sum(one.quantity for one in prints) / ONE,
        quote_volume=sum(p * q for p, q in zip(prices, sizes, strict=True)),
        n_trades=sum(1 for size in sizes if size),
        taker_base=sum(bought),
        taker_quote=sum(p * q for p, q in zip(prices, bought, strict=True)),
        first_number=prints[0].number,
        last_number=prints[-1].number,
    )
