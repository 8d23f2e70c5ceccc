"""Funding of perpetuals: when and how often it is settled, and the rate that a premium gives.

Source: Binance, *Introduction to Binance Futures Funding Rates*. Times are UTC: with an interval of
8 hours 00:00, 08:00 and 16:00.
"""

from typing import NamedTuple

import numpy as np

from seawall.market.series import FloatArray, TimeArray
from seawall.units import HOUR_MS, MINUTE_MS

FUNDING_TIMEFRAME = "8h"
BASE_INTERVAL_MS = 8 * HOUR_MS  # the interest rate and the band below are of eight hours
INTEREST_RATE = 0.0001
BAND = 0.0005
CAP = 0.003  # 0.75 of the maintenance rate of the first tier, 0.4 %
_LATE_MS = MINUTE_MS  # settlements may be stamped some seconds late
_RUN = 6


def find_stamps(since_ms: int, until_ms: int, interval_ms: int) -> TimeArray:
    """Return when funding is settled in ``since_ms <= time < until_ms``: int64, shape (n,)."""
    first = -(-since_ms // interval_ms) * interval_ms
    return np.arange(first, until_ms, interval_ms, dtype=np.int64)


class Spell(NamedTuple):
    """From when on a contract is settled how often.

    Attributes:
        since_ms: the settlement with which it begins; of the first one the window's start.
        interval_ms: between two settlements.
    """

    since_ms: int
    interval_ms: int


def find_spells(time_ms: TimeArray, since_ms: int, default_ms: int) -> tuple[Spell, ...]:
    """Return how often a series of rates was settled, by its own stamps.

    An interval is believed where it lies between six settlements in a row or more, and at once
    where it is shorter than the one before; a longer gap is a hole. Where none is believed it is
    the default, or the shortest gap where the default does not divide all of them.

    Args:
        time_ms: int64, shape (k,), sorted, of the window.
        since_ms: of the window.
        default_ms: what is believed without evidence.
    """
    gaps = np.rint(np.diff(time_ms) / _LATE_MS).astype(np.int64) * _LATE_MS
    starts = np.flatnonzero(np.diff(gaps, prepend=-1))
    lengths = np.diff(starts, append=len(gaps))
    spells: list[Spell] = []
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        interval_ms = int(gaps[start])
        last_ms = spells[-1].interval_ms if spells else 0
        if interval_ms < last_ms or (length >= _RUN and interval_ms != last_ms):
            spells.append(Spell(int(time_ms[start]) if spells else since_ms, interval_ms))
    if spells:
        return tuple(spells)
    is_default = not len(gaps) or not np.any(gaps % default_ms)
    return (Spell(since_ms, default_ms if is_default else int(gaps.min())),)


def find_missing(
    time_ms: TimeArray, since_ms: int, until_ms: int, spells: tuple[Spell, ...]
) -> TimeArray:
    """Return the settlements in a window that a series of rates lacks: int64, shape (n,).

    Args:
        time_ms: int64, shape (k,), sorted, of the series.
        since_ms: of the window.
        until_ms: likewise, not included.
        spells: how often it is settled; see ``find_spells``.
    """
    begins = [since_ms, *(max(one.since_ms, since_ms) for one in spells[1:])]
    ends = [*begins[1:], until_ms]
    wanted = np.concatenate(
        [
            find_stamps(begin, end, one.interval_ms)
            for begin, end, one in zip(begins, ends, spells, strict=True)
        ]
    )
    there = np.searchsorted(time_ms, wanted)
    last = len(time_ms) - 1
    if last < 0:
        return wanted
    at = time_ms[np.minimum(there, last)]
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
