"""Candles of one series that closes bar by bar, as the engine reads series: whole, or the end."""

from collections.abc import Iterable

import numpy as np

from seawall.market.series import CANDLE_FIELDS, Candles, FloatArray, SeriesKey, TimeArray
from seawall.paper.candles import Candle

SOURCE = "recorded by a paper session"
_BLOCK = 1_024  # bars at first; doubled when they are full


class GrowingCandles:
    """One series so far.

    Args:
        key: of the series.
        candles: what has closed already.
    """

    def __init__(self, key: SeriesKey, candles: Iterable[Candle] = ()) -> None:
        self.key = key
        self._n = 0
        self._times: TimeArray = np.zeros(_BLOCK, dtype=np.int64)
        self._values: FloatArray = np.full((len(CANDLE_FIELDS), _BLOCK), np.nan)
        for candle in candles:
            self.append(candle)

    def __len__(self) -> int:
        return self._n

    def append(self, candle: Candle) -> None:
        """Add the candle that has just closed."""
        n = self._n
        if n == len(self._times):
            self._times = np.concatenate([self._times, np.zeros(n, dtype=np.int64)])
            self._values = np.concatenate([self._values, np.full((len(CANDLE_FIELDS), n), np.nan)],
                                          axis=1)  # fmt: skip
        self._times[n] = candle.time_ms
        self._values[:, n] = candle[1:]
        self._n = n + 1

    def series(self, last: int | None = None) -> Candles:
        """Return all of it, or its ``last`` candles."""
        part = slice(0 if last is None else max(self._n - last, 0), self._n)
        return Candles(
            key=self.key,
            time_ms=self._times[part],
            **dict(zip(CANDLE_FIELDS, self._values[:, part], strict=True)),
            source=SOURCE,
        )

    def close_by(self, time_ms: int) -> float:
        """Return the last close by a time, quote units; nan where there is none."""
        closes_ms = self._times[: self._n] + self.key.timeframe_ms
        row = int(np.searchsorted(closes_ms, time_ms, "right")) - 1
        return float(self._values[3, row]) if row >= 0 else float("nan")
