"""Funding of perpetuals: at which times it is settled, and the rate that a premium gives.

Source: Binance, *Introduction to Binance Futures Funding Rates*. Times are UTC: with an interval of
8 hours 00:00, 08:00 and 16:00.
"""

import numpy as np

from seawall.market.series import FloatArray, Signal, TimeArray
from seawall.units import HOUR_MS, MINUTE_MS

FUNDING_TIMEFRAME = "8h"
BASE_INTERVAL_MS = 8 * HOUR_MS  # the interest rate and the band below are of eight hours
INTEREST_RATE = 0.0001
BAND = 0.0005
CAP = 0.003  # 0.75 of the maintenance rate of the first tier, 0.4 %
_LATE_MS = MINUTE_MS  # settlements may be stamped some seconds late


def find_stamps(since_ms: int, until_ms: int, interval_ms: int) -> TimeArray:
    """Return when funding is settled in ``since_ms <= time < until_ms``: int64, shape (n,)."""
    first = -(-since_ms // interval_ms) * interval_ms
    return np.arange(first, until_ms, interval_ms, dtype=np.int64)


def find_missing(series: Signal, since_ms: int, until_ms: int, interval_ms: int) -> TimeArray:
    """Return the settlements in a window that a series of rates lacks: int64, shape (n,)."""
    wanted = find_stamps(since_ms, until_ms, interval_ms)
    there = np.searchsorted(series.time_ms, wanted)
    last = len(series) - 1
    if last < 0:
        return wanted
    at = series.time_ms[np.minimum(there, last)]
    return wanted[(there > last) | (at > wanted + _LATE_MS)]


def to_rate(premium: FloatArray, interval_ms: int, *, cap: float = CAP) -> FloatArray:
    """Return funding rates from mean premiums of the perpetual over the index.

    ``rate = premium + clamp(interest - premium, ±0.05 %)``, per eight hours, capped; a shorter
    interval has its share of it. A premium between -0.04 % and 0.06 % gives 0.01 %.

    Args:
        premium: float64, any shape, fractions; the mean over the interval.
        interval_ms: between two settlements.
        cap: of the absolute rate of eight hours.
    """
    rate = premium + np.clip(INTEREST_RATE - premium, -BAND, BAND)
    share = interval_ms / BASE_INTERVAL_MS
    return np.asarray(np.clip(rate, -cap, cap) * share, dtype=np.float64)
