"""Simulated perpetuals: the path of their spot market, with a premium that returns to zero.

The perpetual's price is spot's times ``1 + premium``; spot's path is the one that ``simulate``
makes of the same seed, so that a market with both has one path. The premium is an
Ornstein-Uhlenbeck process on blocks of five minutes, linear in between, that begins at 0::

    premium' = premium * exp(-block / MEAN_LIFE) + noise

with the standard deviation ``PREMIUM`` in the long run. It is not calibrated, only of the right
size: at Binance, in 2024 to 2026, the hourly premium of BTC and ETH had a standard deviation of
0.042 % and 0.044 %, and an autocorrelation of 0.96 from hour to hour. The mark is built from both
markets as for real ones (``mark.py``), and funding follows from the premium by Binance's formula
(``funding.py``).

Left out: premiums that widen in a crash, and wicks of one market alone.
"""

import math
from dataclasses import replace
from math import exp, gcd
from typing import NamedTuple

import numpy as np

from seawall.kernel import kernel
from seawall.market.funding import find_stamps, to_rate
from seawall.market.mark import build_mark
from seawall.market.series import Candles, FloatArray, SeriesKey, Signal
from seawall.market.simulate import BLOCK_MS, VENUE, Crash, simulate, stream
from seawall.units import DAY_MS, to_duration_text

PREMIUM = 0.0004
MEAN_LIFE_MS = DAY_MS
FARTHEST = 0.01  # a premium stays within, whatever is drawn


class SimulatedPerpetual(NamedTuple):
    """Candles, mark and funding of one simulated contract."""

    candles: Candles
    mark: Candles
    funding: Signal


def simulate_perpetual(
    key: SeriesKey,
    *,
    seed: int,
    n_bars: int,
    since_ms: int,
    start_price: float,
    interval_ms: int,
    crash: Crash | None = None,
) -> SimulatedPerpetual:
    """Return ``n_bars`` simulated bars of a perpetual, with their mark and funding.

    Args:
        key: kind ``candles``, venue ``simulated``, a perpetual's symbol.
        seed: as in ``simulate``; the spot market of the same seed has the same path.
        n_bars: as in ``simulate``.
        since_ms: open time of the first bar.
        start_price: open of the first bar, of spot and perpetual.
        interval_ms: between two funding settlements.
        crash: as in ``simulate``, counted in bars of ``key``.

    Raises:
        DataError: an argument is out of its range.
    """
    fine_ms = gcd(key.timeframe_ms, BLOCK_MS)
    n_fine = key.timeframe_ms // fine_ms  # fine bars in one of the key's
    spot_symbol = key.symbol.partition(":")[0]
    spot = simulate(
        SeriesKey("candles", VENUE, spot_symbol, to_duration_text(fine_ms)),
        seed=seed,
        n_bars=n_bars * n_fine,
        since_ms=since_ms,
        start_price=start_price,
        crash=None if crash is None else _refine(crash, n_fine),
    )
    premium = _draw_premium(seed, key.symbol, -(-n_bars * key.timeframe_ms // BLOCK_MS))
    at_edge = np.arange(n_bars * n_fine + 1) * (fine_ms / BLOCK_MS)
    edges = np.interp(at_edge, np.arange(len(premium)), premium)
    spot_bars = np.array([spot.open, spot.high, spot.low, spot.close, spot.volume])
    candles = _to_candles(key, spot, _join(_shift(spot_bars, edges), n_fine))
    spot_key = SeriesKey("candles", VENUE, spot_symbol, key.timeframe)
    until_ms = since_ms + n_bars * key.timeframe_ms
    return SimulatedPerpetual(
        candles=candles,
        mark=build_mark(candles, _to_candles(spot_key, spot, _join(spot_bars, n_fine))),
        funding=_settle(key, premium, since_ms, until_ms, interval_ms=interval_ms),
    )


def _refine(crash: Crash, n_fine: int) -> Crash:
    return replace(
        crash, start_bar=crash.start_bar * n_fine, duration_bars=crash.duration_bars * n_fine
    )


def _draw_premium(seed: int, symbol: str, n_blocks: int) -> FloatArray:
    """Return the premium at the edges of all blocks, shape (n_blocks + 1,)."""
    noise = stream(seed, symbol, "premium").standard_normal(n_blocks)
    path = _revert(noise, exp(-BLOCK_MS / MEAN_LIFE_MS))
    return np.asarray(np.clip(path, -FARTHEST, FARTHEST), dtype=np.float64)


@kernel
def _revert(noise: FloatArray, kept: float) -> FloatArray:
    """Return an autoregressive path that begins at 0, one longer than its noise."""
    path = np.zeros(len(noise) + 1)
    scale = PREMIUM * math.sqrt(1.0 - kept * kept)
    for i in range(len(noise)):
        path[i + 1] = kept * path[i] + scale * noise[i]
    return path


def _shift(spot: FloatArray, premium: FloatArray) -> FloatArray:
    """Return the perpetual's bars, shape (5, n), from spot's and the premium at their edges."""
    opens, closes = spot[0] * (1 + premium[:-1]), spot[3] * (1 + premium[1:])
    highs = spot[1] * (1 + np.maximum(premium[:-1], premium[1:]))
    lows = spot[2] * (1 + np.minimum(premium[:-1], premium[1:]))
    top, bottom = np.maximum(opens, closes), np.minimum(opens, closes)
    return np.array([opens, np.maximum(highs, top), np.minimum(lows, bottom), closes, spot[4]])


def _join(bars: FloatArray, n: int) -> FloatArray:
    """Return bars of ``n`` of the given ones each: shape (5, n_bars / n)."""
    opens, highs, lows, closes, volume = bars.reshape(len(bars), -1, n)
    return np.array(
        [opens[:, 0], highs.max(axis=1), lows.min(axis=1), closes[:, -1], volume.sum(axis=1)]
    )


def _to_candles(key: SeriesKey, spot: Candles, bars: FloatArray) -> Candles:
    opens, highs, lows, closes, volume = bars
    is_spot = key.symbol == spot.key.symbol
    return Candles(
        key=key,
        time_ms=spot.time_ms[0] + key.timeframe_ms * np.arange(bars.shape[1], dtype=np.int64),
        open=opens,
        high=highs,
        low=lows,
        close=closes,
        volume=volume,
        source=spot.source if is_spot else f"{spot.source}; spot with a mean-reverting premium",
        is_simulated=True,
    )


def _settle(
    key: SeriesKey, premium: FloatArray, since_ms: int, until_ms: int, *, interval_ms: int
) -> Signal:
    """Return funding by the mean premium of the interval before each settlement."""
    stamps = find_stamps(since_ms, until_ms, interval_ms)
    summed = np.concatenate([[0.0], np.cumsum(premium)])
    stop = (stamps - since_ms) // BLOCK_MS + 1
    start = np.maximum(0, stop - interval_ms // BLOCK_MS)
    mean = (summed[stop] - summed[start]) / (stop - start)
    return Signal(
        key=SeriesKey("funding", VENUE, key.symbol, to_duration_text(interval_ms)),
        time_ms=stamps,
        known_ms=stamps,
        value=to_rate(mean, interval_ms),
        source="simulated: from the simulated premium",
        is_simulated=True,
    )
