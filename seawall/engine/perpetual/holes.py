"""Spot bars that are missing while their perpetual trades: valued at the perpetual's close.

A coin that is held keeps its last price through a hole in its series, while the short against it
follows the market: the account would lose on one leg what it earns on the other. So each missing
bar, from the first spot bar on, becomes one that nothing fills: open and close are the perpetual's,
high and low no more than these two, volume 0.

Left out: the basis. Where spot comes back, the difference between the two is a step in the equity.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seawall.market.series import PRICE_FIELDS, Candles
from seawall.recipe import MarketSection
from seawall.units import is_perpetual, to_time_text


class FilledMarket(NamedTuple):
    """Candles by symbol, spot without holes where its perpetual trades, and what has to be said."""

    candles: Mapping[str, Candles]
    labels: tuple[str, ...]


def fill_holes(market: MarketSection, candles: Mapping[str, Candles]) -> FilledMarket:
    """Return the candles of a market, each spot symbol filled from its own perpetual, if any.

    Args:
        market: of the recipe; labels count the bars of its window, not those of the warm-up.
        candles: by symbol, all of one timeframe.
    """
    filled, labels = dict(candles), []
    for symbol in filter(is_perpetual, candles):
        spot_symbol = symbol.partition(":")[0]
        spot = candles.get(spot_symbol)
        if spot is None or not len(spot):
            continue
        perpetual = candles[symbol]
        is_missing = ~np.isin(perpetual.time_ms, spot.time_ms)
        is_missing &= perpetual.time_ms > spot.time_ms[0]
        if not is_missing.any():
            continue
        filled[spot_symbol] = _fill(spot, perpetual, is_missing)
        found = describe_stretch(market, perpetual, is_missing)
        if found:
            labels.append(
                f"assumption: {spot_symbol} is missing in {found}: valued at the close of {symbol}"
            )
    return FilledMarket(filled, tuple(labels))


def describe_stretch(market: MarketSection, candles: Candles, is_meant: NDArray[np.bool_]) -> str:
    """Return how many bars of the window are meant, and when the longest run of them is.

    Such as ``"5 of 24 bars (2025-01-02 07:00 .. 2025-01-02 12:00)"``; ``""`` where there are none.

    Args:
        market: of the recipe, for the window.
        candles: whose bars are counted.
        is_meant: bool, shape (n_bars,).
    """
    is_inside = candles.time_ms >= market.since_ms
    meant = is_meant[is_inside]
    if not meant.any():
        return ""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], meant.astype(np.int8), [0]])))
    starts, stops = edges[::2], edges[1::2]
    k = int(np.argmax(stops - starts))
    begin = to_time_text(int(candles.time_ms[is_inside][starts[k]]))
    end = to_time_text(int(candles.close_ms[is_inside][stops[k] - 1]))
    stretch = f"{begin} .. {end}" if len(starts) == 1 else f"the longest {begin} .. {end}"
    return f"{int(meant.sum()):,} of {len(meant):,} bars ({stretch})"


def _fill(spot: Candles, perpetual: Candles, is_missing: NDArray[np.bool_]) -> Candles:
    """Return spot with a bar of volume 0, open and close the perpetual's, where it has none."""
    n = int(is_missing.sum())
    open_, close = perpetual.open[is_missing], perpetual.close[is_missing]
    made = (open_, np.maximum(open_, close), np.minimum(open_, close), close)
    times = np.concatenate([spot.time_ms, perpetual.time_ms[is_missing]])
    order = np.argsort(times)
    opens, highs, lows, closes = (
        np.concatenate([getattr(spot, name), own])[order]
        for name, own in zip(PRICE_FIELDS, made, strict=True)
    )
    return Candles(
        key=spot.key,
        time_ms=times[order],
        open=opens,
        high=highs,
        low=lows,
        close=closes,
        volume=np.concatenate([spot.volume, np.zeros(n)])[order],
        source=f"{spot.source}; {n:,} bars without trades at the close of {perpetual.key.symbol}",
        is_simulated=spot.is_simulated or perpetual.is_simulated,
    )
