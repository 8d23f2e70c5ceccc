"""Makes the candles of a ratio of two prices, such as USDC in USDT out of two prices of bitcoin.

BTC/USDT over BTC/USDC is the price of USDC in USDT. The two are fine candles of one venue; the
ratio is taken minute by minute and then gathered into longer bars:

- A minute has a ratio, close over close, only where both sides traded in it. A minute without
  trades repeats an old price, and an old price over a new one is a depeg that was none: where one
  side is stale the last ratio is carried instead.
- The highs of two candles need not fall together, and high over low would be a ratio that nobody
  saw. So a bar's high and low are the largest and the smallest of its minutes' ratios, its close is
  the last one, its open the one that was carried into it (its own first where there is none).
- A bar without a ratio of its own is flat, with volume 0, while the one carried is not older than
  ``MAX_STALE_MS`` at its close; beyond that it is left out: a gap, not an invented price.
- The volume of a minute is what was spent on the side that traded less, in the ratio's base
  (USDC).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from seawall.errors import DataError
from seawall.market.series import Candles, FloatArray, SeriesKey, TimeArray
from seawall.units import HOUR_MS, split_symbol, to_duration_ms, to_duration_text

MAX_STALE_MS = HOUR_MS


@dataclass(frozen=True, eq=False)
class _Minutes:
    """The fine bars that have a ratio: their opens in time, the ratio, what was traded."""

    time_ms: TimeArray
    ratio: FloatArray
    volume: FloatArray


def ratio_candles(numerator: Candles, denominator: Candles, timeframe: str) -> Candles:
    """Return candles of ``numerator / denominator``; the module says by which rules.

    ``ratio_candles(btc_usdt, btc_usdc, "1h")``: hourly candles of USDC/USDT.

    Args:
        numerator: fine candles, for example BTC/USDT of 1m.
        denominator: candles of the same base and timeframe, for example BTC/USDC.
        timeframe: a multiple of theirs, for example ``"1h"``.

    Raises:
        DataError: the two do not have one base, or not one timeframe, or the timeframe is no
            multiple of it, or they share no whole bar or no minute in which both traded.
    """
    _check(numerator, denominator, timeframe)
    key = _name(numerator, denominator, timeframe)
    minutes = _divide(numerator, denominator)
    starts = _find_bars(numerator, denominator, key.timeframe_ms)
    if not len(minutes.ratio) or not len(starts):
        raise DataError(
            f"a ratio needs a whole bar of {timeframe} and minutes in which both sides traded, "
            f"{numerator.key} and {denominator.key} share none: give series of the same days"
        )
    source = (
        f"{numerator.key} over {denominator.key}, minutes in which both traded, carried up to "
        f"{to_duration_text(MAX_STALE_MS)} ({numerator.source}; {denominator.source})"
    )
    ratio = _gather(minutes, starts, key=key, source=source)
    return replace(ratio, is_simulated=numerator.is_simulated or denominator.is_simulated)


def _check(numerator: Candles, denominator: Candles, timeframe: str) -> None:
    keys = (numerator.key, denominator.key)
    bases = [split_symbol(key.symbol)[0] for key in keys]
    if bases[0] != bases[1]:
        raise DataError(
            f"a ratio is of two prices of one thing, {keys[0]} and {keys[1]} are of {bases[0]} "
            f"and {bases[1]}: give two symbols with one base, BTC/USDT and BTC/USDC"
        )
    if keys[0].timeframe != keys[1].timeframe:
        raise DataError(
            f"a ratio is of candles of one timeframe, {keys[0]} and {keys[1]} have two: "
            "resample one of them"
        )
    if to_duration_ms(timeframe) % keys[0].timeframe_ms:
        raise DataError(
            f"a ratio's timeframe must be a multiple of the candles' {keys[0].timeframe}, "
            f"is {timeframe}: choose a multiple"
        )


def _name(numerator: Candles, denominator: Candles, timeframe: str) -> SeriesKey:
    """Return the key of the ratio: BTC/USDT over BTC/USDC is USDC/USDT."""
    quote = split_symbol(numerator.key.symbol)[1]
    base = split_symbol(denominator.key.symbol)[1]
    return SeriesKey("candles", numerator.key.venue, f"{base}/{quote}", timeframe)


def _divide(numerator: Candles, denominator: Candles) -> _Minutes:
    """Return the ratio of every fine bar in which both sides traded."""
    times, above, below = np.intersect1d(
        numerator.time_ms, denominator.time_ms, assume_unique=True, return_indices=True
    )
    traded = (numerator.volume[above] > 0) & (denominator.volume[below] > 0)
    above, below = above[traded], below[traded]
    ratio = numerator.close[above] / denominator.close[below]
    spent = numerator.volume[above] * numerator.close[above] / ratio
    spent_below = denominator.volume[below] * denominator.close[below]
    return _Minutes(times[traded], ratio, np.minimum(spent, spent_below))


def _find_bars(numerator: Candles, denominator: Candles, step_ms: int) -> TimeArray:
    """Return the opens of the bars that both series cover from the start to the end."""
    if not len(numerator) or not len(denominator):
        return np.empty(0, dtype=np.int64)
    since_ms = max(int(numerator.time_ms[0]), int(denominator.time_ms[0]))
    until_ms = min(int(numerator.close_ms[-1]), int(denominator.close_ms[-1]))
    first = -(-since_ms // step_ms) * step_ms
    return np.arange(first, until_ms - step_ms + 1, step_ms, dtype=np.int64)


def _gather(minutes: _Minutes, starts: TimeArray, *, key: SeriesKey, source: str) -> Candles:
    """Return the bars that have a ratio, their own or a carried one."""
    step = key.timeframe_ms
    begin = np.searchsorted(minutes.time_ms, starts)
    end = np.searchsorted(minutes.time_ms, starts + step)
    age_ms = starts + step - minutes.time_ms[np.maximum(end - 1, 0)]
    kept = (end > begin) | ((end > 0) & (age_ms <= MAX_STALE_MS))
    starts, begin, end = starts[kept], begin[kept], end[kept]
    is_carried = (begin > 0) & (starts - minutes.time_ms[np.maximum(begin - 1, 0)] <= MAX_STALE_MS)
    traded = np.r_[0.0, np.cumsum(minutes.volume)]
    # Each bar's own minutes, and before them the one that is carried into it.
    spans = np.stack([np.where(is_carried, begin - 1, begin), end], axis=1).ravel()
    return Candles(
        key=key,
        time_ms=starts,
        open=minutes.ratio[spans[::2]],
        high=_fold(np.maximum, minutes.ratio, spans),
        low=_fold(np.minimum, minutes.ratio, spans),
        close=minutes.ratio[end - 1],
        volume=traded[end] - traded[begin],
        source=source,
    )


def _fold(function: np.ufunc, values: FloatArray, spans: NDArray[np.intp]) -> FloatArray:
    """Return a ufunc over ``values[start:stop]`` of each pair in ``spans``."""
    folded: FloatArray = function.reduceat(np.append(values, values[-1]), spans)[::2]
    return folded
