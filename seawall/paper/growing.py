"""What an agent sees of a market that goes on: windows and steps that grow bar by bar.

A backtest hands its strategy arrays that are whole from the start and shows of them what has
closed; here they grow, in blocks, and what has not happened is nowhere. The strategy's loop is the
same for both.
"""

from collections.abc import Mapping

import numpy as np

from seawall.market.series import CANDLE_FIELDS, Candles, SeriesKey
from seawall.observation import Window, allocate
from seawall.paper.candles import Candle

_BLOCK = 4_096  # bars at first; doubled when they are full


class GrowingSteps(list[int]):
    """Steps that are appended to while others read them: an array's ``tolist`` without a copy."""

    def tolist(self) -> list[int]:
        """Return the steps themselves, those to come included."""
        return self


class GrowingWindow(Window):
    """The visible part of one symbol's candles, which ends where the market has come to.

    A view that was given away before the memory grew keeps the memory it was made of.
    """

    __slots__ = ("_n",)

    def __init__(self, key: SeriesKey, place: int = 0) -> None:
        none, never = np.empty(0), np.empty(0, dtype=np.int64)
        empty = Candles(
            key=key, time_ms=never, open=none, high=none, low=none, close=none, volume=none
        )
        super().__init__(empty, place)
        self._n = 0

    def append(self, candle: Candle) -> None:
        """Add the candle that has just closed."""
        n = self._n
        if n == len(self._times):
            self._grow(max(_BLOCK, 2 * n))
        self._times[n] = candle.time_ms
        for values, name in zip(self._values, CANDLE_FIELDS, strict=True):
            values[n] = getattr(candle, name)
        self._n = self._n_times = n + 1
        self._copied = [n + 1] * len(CANDLE_FIELDS)

    def _grow(self, capacity: int) -> None:
        """Move to larger memory; beyond the last bar it holds nan, and 0 for times."""
        memories = [allocate(capacity, np.float64, np.nan) for _ in CANDLE_FIELDS]
        for (fresh, _), old in zip(memories, self._values, strict=True):
            fresh[: self._n] = old[: self._n]
        times, shown_times = allocate(capacity, np.int64, 0)
        times[: self._n] = self._times[: self._n]
        self._values = self._source = [values for values, _ in memories]
        self._shown = [shown for _, shown in memories]
        self._times, self._shown_times = times, shown_times
        self._source_times = times


class GrowingMarket:
    """The market of a session, as its strategy is given it.

    Attributes:
        windows: by symbol.
        clock_ms: close stamps of all steps so far; ``n_closed``: by symbol, bars closed by then.
    """

    def __init__(self, keys: Mapping[str, SeriesKey]) -> None:
        self.windows = {
            symbol: GrowingWindow(key, place) for place, (symbol, key) in enumerate(keys.items())
        }
        self.clock_ms = GrowingSteps()
        self.n_closed = {symbol: GrowingSteps() for symbol in keys}

    def step(self, stamp_ms: int, candles: Mapping[str, Candle]) -> None:
        """Add one step: the candles that close at this stamp."""
        for symbol, candle in candles.items():
            self.windows[symbol].append(candle)
        self.clock_ms.append(stamp_ms)
        for symbol, counts in self.n_closed.items():
            before = counts[-1] if counts else 0
            counts.append(before + (symbol in candles))

    def add_late(self, candles: Mapping[str, Candle]) -> None:
        """Add candles that came after their step was over: they are seen at the next one."""
        for symbol, candle in candles.items():
            self.windows[symbol].append(candle)
            self.n_closed[symbol][-1] += 1
