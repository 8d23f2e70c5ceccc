"""Coarser candles of a live session, made of the closed ones: equal to the exchange's own.

By the rules of ``engine.feed.resample``, one candle at a time: a bucket is over when a candle
closes at its end or later; one that had begun before the first candle is left out; of several
that are over at once, one is shown with each finer candle.
"""

from collections import deque
from typing import Any

import backtrader as bt
import numpy as np

from seawall.engine.feed import MONDAY_MS, to_bt_time, to_bt_timeframe
from seawall.paper.candles import Candle
from seawall.units import DAY_MS, to_duration_ms


class CoarseBars:
    """Folds candles of one timeframe into those of a longer one.

    Args:
        fine_ms, coarse_ms: the two timeframes; the second a multiple of the first.
    """

    def __init__(self, fine_ms: int, coarse_ms: int) -> None:
        self._fine_ms, self._coarse_ms = fine_ms, coarse_ms
        self._origin_ms = MONDAY_MS if coarse_ms % (7 * DAY_MS) == 0 else 0
        self._open: list[Candle] = []
        self._start_ms: int | None = None
        self._is_whole = False

    def add(self, candle: Candle) -> list[Candle]:
        """Return the coarse candles that are over with this candle, the oldest first."""
        over = []
        start_ms = self._bucket_of(candle)
        if self._start_ms is None:
            self._is_whole = candle.time_ms == start_ms
        elif start_ms != self._start_ms:
            over += self._close()
        self._start_ms = start_ms
        self._open.append(candle)
        if candle.time_ms + self._fine_ms >= start_ms + self._coarse_ms:
            over += self._close()
        return over

    def _bucket_of(self, candle: Candle) -> int:
        since_ms = candle.time_ms - self._origin_ms
        return since_ms - since_ms % self._coarse_ms + self._origin_ms

    def _close(self) -> list[Candle]:
        """Return the bucket as a candle; nothing where it is no whole one, or was given."""
        parts, is_whole = self._open, self._is_whole
        self._open, self._is_whole = [], True
        if not parts or not is_whole:
            return []
        volumes = np.array([one.volume for one in parts])
        return [
            Candle(
                self._bucket_of(parts[0]),
                parts[0].open,
                max(one.high for one in parts),
                min(one.low for one in parts),
                parts[-1].close,
                float(np.add.reduceat(volumes, [0])[0]),  # adds in the order of ``resample``
            )
        ]


class CoarseFeed(bt.feed.DataBase):
    """The coarser candles of one symbol, as a feed that is only read.

    Args:
        symbol: whose candles.
        fine_ms: of the candles that are traded.
        timeframe: of those that are shown.

    Attributes:
        symbol: whose candles; orders go to another feed.
        only_shows: true, as of such a feed in a backtest.
    """

    def __init__(self, symbol: str, fine_ms: int, timeframe: str) -> None:
        super().__init__()
        self.symbol, self.only_shows = symbol, True
        coarse_ms = to_duration_ms(timeframe)
        self.p.timeframe, self.p.compression = to_bt_timeframe(coarse_ms)
        self.p.name = self._dataname = f"{symbol} {timeframe}"
        self._bars = CoarseBars(fine_ms, coarse_ms)
        self._waiting: deque[Candle] = deque()
        self._stamp_ms = 0

    def islive(self) -> bool:
        """Tell Cerebro that bars come one by one."""
        return True

    def add(self, candle: Candle) -> None:
        """Take a finer candle."""
        self._waiting.extend(self._bars.add(candle))

    def show(self, stamp_ms: int) -> None:
        """Show the next coarse candle that is over, if there is one, at this step."""
        self._stamp_ms = stamp_ms
        if self._waiting:
            self.next()

    def _load(self) -> bool | None:
        if not self._waiting:
            return None
        candle = self._waiting.popleft()
        lines: Any = self.lines
        lines.datetime[0] = to_bt_time(np.array([self._stamp_ms], dtype=np.int64))[0]
        lines.open[0], lines.high[0] = candle.open, candle.high
        lines.low[0], lines.close[0] = candle.low, candle.close
        lines.volume[0], lines.openinterest[0] = candle.volume, float("nan")
        return True
