"""A live backtrader feed: closed candles only, stamped with their close, the warm-up first."""

from collections.abc import Callable
from typing import Any

import backtrader as bt
import numpy as np

from seawall.engine.feed import to_bt_time, to_bt_timeframe
from seawall.paper.candles import CandleGate, CandleSource


class LiveFeed(bt.feed.DataBase):
    """One symbol's candles as they close.

    All feeds of a session share a gate, so that a strategy sees the symbols of one stamp together.

    Args:
        source: whose candles.
        gate: where they are released; ``warm_up`` has been called.
        clock: the time in ms.
        wait: called when there is nothing new; it sleeps, or moves a stepped clock.
        is_over: whether the session ends; asked whenever there is nothing to give.

    Attributes:
        is_live: whether the last candle was no warm-up: it closed after the feed began.
        close_ms: when the last candle closed.
        first_price: at which coin is counted that is held at the start, quote units, if any is.
    """

    def __init__(
        self,
        source: CandleSource,
        gate: CandleGate,
        *,
        clock: Callable[[], int],
        wait: Callable[[], object],
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__()
        self.p.timeframe, self.p.compression = to_bt_timeframe(source.timeframe_ms)
        self.p.name = self._dataname = source.symbol
        self.source, self._gate, self._now = source, gate, clock
        self._wait, self._is_over = wait, is_over
        self.is_live, self.close_ms = False, 0
        self.first_price: float | None = None
        self._began_ms = 0

    def islive(self) -> bool:
        """Tell Cerebro that bars come one by one."""
        return True

    def start(self) -> None:
        """Begin: the gate's warm-up is warm-up, or what has closed by now where it had none."""
        super().start()
        warm_ms = self._gate.warm_ms
        self._began_ms = self._now() if warm_ms is None else warm_ms

    def _load(self) -> bool | None:
        """Give the next candle; ``None``: there is none yet; false: there will be none."""
        candle = self._gate.take(self.source.symbol)
        if candle is None:
            if self._is_over():
                return False
            self._gate.poll(self._now())
            candle = self._gate.take(self.source.symbol)
        if candle is None:
            self._wait()
            return None
        self.close_ms = candle.time_ms + self.source.timeframe_ms
        self.is_live = self.close_ms > self._began_ms
        lines: Any = self.lines
        lines.datetime[0] = to_bt_time(np.array([self.close_ms], dtype=np.int64))[0]
        lines.open[0], lines.high[0] = candle.open, candle.high
        lines.low[0], lines.close[0] = candle.low, candle.close
        lines.volume[0], lines.openinterest[0] = candle.volume, float("nan")
        return True
