"""Features of candles and of the calendar: pure functions of ``bars``, a number ``n`` and rows.

Each returns float64 of shape (n_rows,): the values at the closes of the newest ``n_rows`` bars, nan
where there are not yet bars enough. A window is so many bars, not so much time: over a hole it
reaches further back. Every window is finite, so a value depends on the bars of its window alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from seawall.features.bars import Bars
from seawall.market.series import FloatArray, TimeArray
from seawall.units import DAY_MS, HOUR_MS

_ROUNDING = 1e-12  # a spread of less than this share of its mean is none
_THURSDAY = 4  # 1970-01-01 was one; Sunday is 0
_DAYS_IN_WEEK = 7


@dataclass(frozen=True, kw_only=True)
class CandleFeature:
    """How a feature is computed.

    Attributes:
        compute: takes bars, ``n`` and ``n_rows``, returns float64 of shape (n_rows,).
        n_extra: bars that it needs beside ``n``.
        takes_n: whether its name has a number.
        smallest: that ``n`` may be.
    """

    compute: Callable[[Bars, int, int], FloatArray]
    n_extra: int = 0
    takes_n: bool = True
    smallest: int = 1


def _windows(values: FloatArray, n: int, n_rows: int) -> FloatArray:
    """Return the last ``n`` values at each of the newest rows, shape (n_rows, n).

    Before the first value there is nan.
    """
    recent = values[max(len(values) - n - n_rows + 1, 0) :]
    if missing := n + n_rows - 1 - len(recent):
        recent = np.concatenate([np.full(missing, np.nan), recent])
    if n_rows == 1:  # asked at every decision: no need to slide
        return recent[None, :]
    found: FloatArray = sliding_window_view(recent, n) if n_rows else np.empty((0, n))
    return found


def _newest(values: FloatArray, n_rows: int) -> FloatArray:
    return values[len(values) - n_rows :]


def _change_windows(values: FloatArray, n: int, n_rows: int) -> FloatArray:
    """Return the last ``n`` changes at each of the newest rows, shape (n_rows, n)."""
    return np.diff(_windows(values, n + 1, n_rows), axis=1)


def log_return(bars: Bars, n: int, n_rows: int) -> FloatArray:
    """Return the log of the close over that of ``n`` bars before."""
    before = _windows(bars.close, n + 1, n_rows)[:, 0]
    return np.log(_newest(bars.close, n_rows) / before)


def volatility(bars: Bars, n: int, n_rows: int) -> FloatArray:
    """Return the standard deviation (ddof 1) of the last ``n`` log returns, per bar."""
    changes = np.diff(np.log(_windows(bars.close, n + 1, n_rows)), axis=1)
    found: FloatArray = changes.std(axis=1, ddof=1)
    return found


def rsi(bars: Bars, n: int, n_rows: int) -> FloatArray:
    """Return Cutler's relative strength index of ``n`` changes, 0 to 1; 0.5 where nothing moved."""
    changes = _change_windows(bars.close, n, n_rows)
    gain, loss = np.maximum(changes, 0.0).sum(axis=1), np.maximum(-changes, 0.0).sum(axis=1)
    total = gain + loss
    return np.where(total == 0.0, 0.5, gain / np.where(total == 0.0, 1.0, total))


def mean_range(bars: Bars, n: int, n_rows: int) -> FloatArray:
    """Return the mean of (high - low) / close over ``n`` bars."""
    high, low = _windows(bars.high, n, n_rows), _windows(bars.low, n, n_rows)
    found: FloatArray = ((high - low) / _windows(bars.close, n, n_rows)).mean(axis=1)
    return found


def position(bars: Bars, n: int, n_rows: int) -> FloatArray:
    """Return where the close lies between the lowest low, 0, and the highest high, 1, of ``n``."""
    low = _windows(bars.low, n, n_rows).min(axis=1)
    spread = _windows(bars.high, n, n_rows).max(axis=1) - low
    above = _newest(bars.close, n_rows) - low
    return np.where(spread == 0.0, 0.5, above / np.where(spread == 0.0, 1.0, spread))


def distance(bars: Bars, n: int, n_rows: int) -> FloatArray:
    """Return the log of the close over the mean close of ``n`` bars."""
    mean: FloatArray = _windows(bars.close, n, n_rows).mean(axis=1)
    return np.log(_newest(bars.close, n_rows) / mean)


def drawdown(bars: Bars, n: int, n_rows: int) -> FloatArray:
    """Return the fall of the close from the highest of ``n`` closes, 0 to 1."""
    highest: FloatArray = _windows(bars.close, n, n_rows).max(axis=1)
    return 1.0 - _newest(bars.close, n_rows) / highest


def relative_volume(bars: Bars, n: int, n_rows: int) -> FloatArray:
    """Return the volume over its mean of ``n`` bars; nan where nothing was traded in them."""
    mean = _windows(bars.volume, n, n_rows).mean(axis=1)
    return _newest(bars.volume, n_rows) / np.where(mean > 0.0, mean, np.nan)


def skewness(bars: Bars, n: int, n_rows: int) -> FloatArray:
    """Return the skewness of the last ``n`` log returns; 0.0 where they do not differ."""
    changes = np.diff(np.log(_windows(bars.close, n + 1, n_rows)), axis=1)
    centred = changes - changes.mean(axis=1, keepdims=True)
    square = centred * centred
    deviation = np.sqrt(square.mean(axis=1))
    is_still = deviation <= _ROUNDING
    third = (square * centred).mean(axis=1)
    return np.where(is_still, 0.0, third / np.where(is_still, 1.0, deviation) ** 3)


def hour_sine(bars: Bars, _n: int, n_rows: int) -> FloatArray:
    """Return the sine of the UTC time of day of the close, a day being one turn."""
    return np.sin(_day_angle(bars, n_rows))


def hour_cosine(bars: Bars, _n: int, n_rows: int) -> FloatArray:
    """Return the cosine of the UTC time of day of the close, a day being one turn."""
    return np.cos(_day_angle(bars, n_rows))


def weekday_sine(bars: Bars, _n: int, n_rows: int) -> FloatArray:
    """Return the sine of the day of the week of the close, a week being one turn."""
    return np.sin(_week_angle(bars, n_rows))


def weekday_cosine(bars: Bars, _n: int, n_rows: int) -> FloatArray:
    """Return the cosine of the day of the week of the close, a week being one turn."""
    return np.cos(_week_angle(bars, n_rows))


def hours_to_funding(bars: Bars, _n: int, n_rows: int) -> FloatArray:
    """Return the hours until the next of the settlements at 00:00, 08:00 and 16:00 UTC, > 0."""
    step_ms = 8 * HOUR_MS
    return (step_ms - _newest_ms(bars, n_rows) % step_ms) / HOUR_MS


def _newest_ms(bars: Bars, n_rows: int) -> TimeArray:
    return bars.close_ms[len(bars) - n_rows :]


def _day_angle(bars: Bars, n_rows: int) -> FloatArray:
    return 2.0 * np.pi * (_newest_ms(bars, n_rows) % DAY_MS) / DAY_MS


def _week_angle(bars: Bars, n_rows: int) -> FloatArray:
    day = (_newest_ms(bars, n_rows) // DAY_MS + _THURSDAY) % _DAYS_IN_WEEK
    return 2.0 * np.pi * day / _DAYS_IN_WEEK


CANDLE_FEATURES = {
    "return": CandleFeature(compute=log_return, n_extra=1),
    "volatility": CandleFeature(compute=volatility, n_extra=1, smallest=2),
    "rsi": CandleFeature(compute=rsi, n_extra=1),
    "range": CandleFeature(compute=mean_range),
    "position": CandleFeature(compute=position),
    "distance": CandleFeature(compute=distance),
    "drawdown": CandleFeature(compute=drawdown),
    "volume": CandleFeature(compute=relative_volume),
    "skewness": CandleFeature(compute=skewness, n_extra=1, smallest=3),
    "hour_sine": CandleFeature(compute=hour_sine, takes_n=False),
    "hour_cosine": CandleFeature(compute=hour_cosine, takes_n=False),
    "weekday_sine": CandleFeature(compute=weekday_sine, takes_n=False),
    "weekday_cosine": CandleFeature(compute=weekday_cosine, takes_n=False),
    "hours_to_funding": CandleFeature(compute=hours_to_funding, takes_n=False),
}
