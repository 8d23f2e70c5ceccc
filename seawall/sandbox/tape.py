"""The trades inside the bars: a path from the open through both extremes to the close.

Each bar becomes ``n_prints`` trades at even distances. The first has the open's price, the last the
close's; in between the path is straight to one extreme, to the other and to the close. Which
extreme comes first, where, and how the volume is split, is drawn from the seed and the bar's number
alone: any bar can be made at any time and is always the same.

Left out: the account's own trades do not move the path, the volume or the candles.
"""

from collections import OrderedDict
from hashlib import sha256
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seawall.errors import DataError
from seawall.market.series import Candles, FloatArray
from seawall.sandbox.decimals import ONE

FEWEST_PRINTS = 4
_CHUNK_BARS = 256
_KEPT_CHUNKS = 64
_LARGEST_VOLUME = 9e10  # of a bar, base units: 2**63 units of 1e-8
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_MASK = (1 << 64) - 1

IntArray = NDArray[np.int64]


class Print(NamedTuple):
    """One trade of the market; price and quantity in 1e-8 units, the quantity may be 0."""

    number: int
    time_ms: int
    price: int
    quantity: int
    is_buyer_maker: bool


class _Chunk(NamedTuple):
    """The prints of some bars; arrays of shape (n_bars, n_prints)."""

    prices: IntArray
    quantities: IntArray
    is_buyer_maker: NDArray[np.bool_]


class Flows(NamedTuple):
    """What the prints of bars add up to: float64, shape (n_bars,), and int64 counts."""

    quote_volume: FloatArray
    n_trades: IntArray
    taker_base: FloatArray
    taker_quote: FloatArray


class Tape:
    """The prints of one market's bars, made when asked for."""

    def __init__(
        self, candles: Candles, *, seed: int, n_prints: int, tick: int, lot: int = 1
    ) -> None:
        """Make the tape of ``candles``; ``tick`` in 1e-8 quote units, ``lot`` in 1e-8 base units.

        Raises:
            DataError: too few prints for a path, or a volume beyond what can be counted.
        """
        if n_prints < FEWEST_PRINTS:
            raise DataError(
                f"a bar must have >= {FEWEST_PRINTS} prints, has {n_prints}: open, low, high, close"
            )
        if len(candles) and float(np.max(candles.volume)) >= _LARGEST_VOLUME:
            raise DataError(
                f"a bar's volume must be < {_LARGEST_VOLUME:g} base units, {candles.key} has "
                f"{float(np.max(candles.volume)):g}: take a finer timeframe"
            )
        self.candles, self.n_prints, self._tick, self._lot = candles, n_prints, tick, lot
        self.step_ms = max(1, candles.key.timeframe_ms // n_prints)
        self.key = stream_key(seed, candles.key.symbol)
        self._chunks: OrderedDict[int, _Chunk] = OrderedDict()

    def bar(self, bar: int) -> list[Print]:
        """Return the prints of one bar, in order."""
        chunk = self._chunk(bar // _CHUNK_BARS)
        row = bar % _CHUNK_BARS
        start_ms, first = int(self.candles.time_ms[bar]), bar * self.n_prints
        columns = zip(
            chunk.prices[row].tolist(),
            chunk.quantities[row].tolist(),
            chunk.is_buyer_maker[row].tolist(),
            strict=True,
        )
        return [
            Print(first + i, start_ms + i * self.step_ms, price, quantity, is_maker)
            for i, (price, quantity, is_maker) in enumerate(columns)
        ]

    def flows(self, start: int, stop: int) -> Flows:
        """Return what the prints of the bars from ``start`` to before ``stop`` add up to."""
        parts = []
        for number in range(start // _CHUNK_BARS, -(-stop // _CHUNK_BARS)):
            first = number * _CHUNK_BARS
            rows = slice(max(start - first, 0), stop - first)
            parts.append(_add_up(self._chunk(number), rows))
        if not parts:
            empty = np.empty(0)
            return Flows(empty, np.empty(0, np.int64), empty, empty)
        return Flows(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _chunk(self, number: int) -> _Chunk:
        chunk = self._chunks.get(number)
        if chunk is None:
            chunk = self._chunks[number] = self._make(number)
            if len(self._chunks) > _KEPT_CHUNKS:
                self._chunks.popitem(last=False)
        return chunk

    def _make(self, number: int) -> _Chunk:
        rows = slice(number * _CHUNK_BARS, (number + 1) * _CHUNK_BARS)
        bars = np.arange(len(self.candles.time_ms), dtype=np.uint64)[rows]
        draws = draw_uniform(self.key, bars, self.n_prints + 3)
        prices = self._walk(rows, draws[:, :3])
        volume = np.rint(np.nan_to_num(self.candles.volume[rows]) * ONE).astype(np.int64)
        quantities = _split(volume, 0.5 + draws[:, 3:], self._lot)
        moves = np.diff(prices, axis=1, prepend=prices[:, :1])
        is_sell = np.where(moves == 0, draws[:, 3:] < 0.5, moves < 0)  # noqa: PLR2004 - even odds
        return _Chunk(prices, quantities, is_sell)

    def _walk(self, rows: slice, draws: FloatArray) -> IntArray:
        """Return the prices of the bars' prints, shape (n_bars, n_prints)."""
        opens, highs, lows, closes = (
            np.rint(getattr(self.candles, name)[rows] * ONE).astype(np.int64)
            for name in ("open", "high", "low", "close")
        )
        is_low_first = draws[:, 0] < 0.5  # noqa: PLR2004 - even odds
        first = np.where(is_low_first, lows, highs)
        second = np.where(is_low_first, highs, lows)
        knots = _draw_knots(draws, self.n_prints - 1)
        values = np.column_stack([opens, first, second, closes])
        steps = np.arange(self.n_prints)
        prices = np.empty((len(opens), self.n_prints), dtype=np.int64)
        for leg in range(3):
            begin, end = knots[:, leg, None], knots[:, leg + 1, None]
            share = (steps - begin) / (end - begin)
            start, stop = values[:, leg, None], values[:, leg + 1, None]
            line = start + np.rint(share * (stop - start)).astype(np.int64)
            line = (line + self._tick // 2) // self._tick * self._tick
            line = np.clip(line, lows[:, None], highs[:, None])
            line = np.where(steps == begin, start, np.where(steps == end, stop, line))
            inside = (steps >= begin) & (steps <= end)
            prices[inside] = line[inside]
        return prices


def stream_key(seed: int, symbol: str) -> int:
    """Return the 64 bits from which all draws of one market come."""
    return int.from_bytes(sha256(f"{seed}:{symbol}".encode()).digest()[:8], "little")


def draw_uniform(key: int, rows: NDArray[np.uint64], n: int) -> FloatArray:
    """Return numbers in [0, 1), shape (len(rows), n), that depend on the key and the row alone."""
    golden, first, second = _MIX
    places = np.multiply.outer(rows, np.full(n, n, np.uint64)) + np.arange(n, dtype=np.uint64)
    z: NDArray[np.uint64] = np.asarray(places, dtype=np.uint64) * golden + np.uint64(key)
    z = (z ^ (z >> np.uint64(30))) * first
    z = (z ^ (z >> np.uint64(27))) * second
    z ^= z >> np.uint64(31)
    return np.asarray((z >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def draw_one(key: int, number: int) -> int:
    """Return 64 bits that depend on the key and the number alone (SplitMix64)."""
    z = (number * 0x9E3779B97F4A7C15 + key) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def _draw_knots(draws: FloatArray, last: int) -> IntArray:
    """Return at which prints a bar's path turns: open, both extremes, close; shape (n_bars, 4)."""
    first = 1 + np.floor(draws[:, 1] * (last - 2)).astype(np.int64)
    second = first + 1 + np.floor(draws[:, 2] * (last - 1 - first)).astype(np.int64)
    return np.column_stack([np.zeros_like(first), first, second, np.full_like(first, last)])


def _split(volume: IntArray, weights: FloatArray, lot: int) -> IntArray:
    """Split each bar's volume by weight into whole lots; the parts add up to it exactly.

    What a volume has beyond whole lots is the last part's.
    """
    sums = np.cumsum(weights, axis=1)
    lots = volume // lot
    reached = np.floor(lots[:, None] * (sums / sums[:, -1:])).astype(np.int64)
    parts = np.diff(reached, axis=1, prepend=0) * lot
    parts[:, -1] += volume - lots * lot
    return parts


def _add_up(chunk: _Chunk, rows: slice) -> Flows:
    quantities = chunk.quantities[rows] / ONE
    notional = quantities * (chunk.prices[rows] / ONE)
    is_buy = ~chunk.is_buyer_maker[rows]
    return Flows(
        notional.sum(axis=1),
        np.count_nonzero(chunk.quantities[rows], axis=1).astype(np.int64),
        (quantities * is_buy).sum(axis=1),
        (notional * is_buy).sum(axis=1),
    )
