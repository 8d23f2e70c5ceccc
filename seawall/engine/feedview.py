"""What the broker reads from a backtrader feed: its stamp, its bar, its last price."""

from typing import Any

import backtrader as bt
import numpy as np

from seawall.errors import RecipeError
from seawall.market.series import FloatArray, TimeArray
from seawall.units import DAY_MS, MINUTE_MS, SECOND_MS
from seawall.venues.orders import Bar

EPOCH_ORDINAL = 719_163  # date(1970, 1, 1).toordinal(): backtrader counts days since year 1
_UNIT_MS = {
    bt.TimeFrame.Seconds: SECOND_MS,
    bt.TimeFrame.Minutes: MINUTE_MS,
    bt.TimeFrame.Days: DAY_MS,
}


class FeedView:
    """One feed, read straight from its lines: the broker looks at it on every bar.

    Attributes:
        data: the feed; ``symbol``: its symbol, or its name where it has none.
        close, stamps: its lines of closes and of close stamps.
        timeframe_ms: length of a bar, as the feed says.
    """

    __slots__ = ("_lines", "candles", "close", "data", "stamps", "symbol", "timeframe_ms")

    def __init__(self, data: Any) -> None:
        self.data = data
        self.candles = getattr(data, "candles", None)
        lines = data.lines
        self.close = lines.close
        self.stamps = lines.datetime
        self._lines = (lines.open, lines.high, lines.low, lines.close, lines.volume)
        if self.candles is not None:
            self.symbol: str = self.candles.key.symbol
            self.timeframe_ms = int(self.candles.key.timeframe_ms)
        else:
            self.symbol = getattr(data, "symbol", data._name)  # noqa: SLF001 - its public name
            self.timeframe_ms = _UNIT_MS.get(data._timeframe, DAY_MS) * data._compression  # noqa: SLF001

    @property
    def stamp(self) -> float:
        """The close stamp of the visible bar, backtrader's days; 0.0 before the first."""
        line = self.stamps
        index = line._idx  # noqa: SLF001 - the public property costs a call per bar
        return float(line.array[index]) if index >= 0 else 0.0

    def price(self, *, at_open: bool) -> float:
        """Return the close of the visible bar, or its open; the feed must show one."""
        line = self._lines[0] if at_open else self.close
        return float(line.array[line._idx])  # noqa: SLF001

    def bar(self) -> Bar:
        """Return the visible bar; it opened one timeframe ago, or when the last one closed."""
        line = self.stamps
        index = line._idx  # noqa: SLF001
        close_ms = to_ms(line.array[index])
        open_ms = close_ms - self.timeframe_ms
        if self.candles is None and index > 0:  # a feed may not know its own timeframe
            open_ms = max(open_ms, to_ms(line.array[index - 1]))
        values = [one.array[one._idx] for one in self._lines]  # noqa: SLF001
        return Bar(open_ms, close_ms, *values)

    def closes(self) -> tuple[TimeArray, FloatArray]:
        """Return close stamps in milliseconds and closes of the whole feed, after a run."""
        if self.candles is not None:
            return self.candles.close_ms, self.candles.close
        days = np.array(self.stamps.array)
        return np.rint((days - EPOCH_ORDINAL) * DAY_MS).astype(np.int64), np.array(self.close.array)

    def first_price(self, since_ms: int) -> float:
        """Return the open of the first bar that opens at or after ``since_ms``.

        A live feed has the price at which coin was counted when its session began.

        Raises:
            RecipeError: the feed does not know its bars before the run, or has none from there on.
        """
        told: float | None = getattr(self.data, "first_price", None)
        if told is not None:
            return told
        if self.candles is None:
            raise RecipeError(
                f"initial holdings need an ArrayFeed, {self.symbol} has another feed: its first "
                "price is not known before the run"
            )
        row = int(np.searchsorted(self.candles.time_ms, since_ms))
        if row >= len(self.candles):
            raise RecipeError(
                f"initial holdings need a first price, {self.symbol} has no bar in the window"
            )
        return float(self.candles.open[row])


def to_ms(stamp: float) -> int:
    """Return UTC milliseconds of a backtrader date number."""
    return round((stamp - EPOCH_ORDINAL) * DAY_MS)
