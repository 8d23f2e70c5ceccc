"""The mark price of every contract at every step: a series, built, the last price, or simulated."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from seawall.engine.perpetual.holes import describe_stretch
from seawall.errors import DataError
from seawall.market.catalog import Catalog, fetch_line
from seawall.market.mark import build_mark, find_alone
from seawall.market.series import Candles, FloatArray, Series, SeriesKey, TimeArray
from seawall.perpetual_recipe import MarkSection
from seawall.recipe import MarketSection
from seawall.units import to_time_text
from seawall.venues.futures_tape import HIGH, LOW

MarkOrigin = Literal["series", "built", "last", "simulated"]


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundMark:
    """The mark of one contract.

    Attributes:
        candles: the mark, warm-up included where there is some.
        origin: where it comes from.
        labels: what has to be said of it.
        extra: series that were read for it beside the market's candles.
    """

    candles: Candles
    origin: MarkOrigin
    labels: tuple[str, ...] = ()
    extra: tuple[Series, ...] = field(default=())


def find_mark(
    market: MarketSection,
    section: MarkSection,
    perpetual: Candles,
    candles: Mapping[str, Candles],
    catalog: Catalog,
) -> FoundMark:
    """Return the mark of a contract of a real market, as the recipe wants it.

    Args:
        market: of the recipe.
        section: of the recipe.
        perpetual: candles of the contract.
        candles: of the whole market, by symbol; its spot candles serve to build a mark.
        catalog: for the mark series, and for spot candles that the market does not have.

    Raises:
        SeriesNotFound: the recipe wants a series that the catalog lacks.
        DataError: the series does not cover the window.
    """
    symbol = perpetual.key.symbol
    if section.source == "last":
        return FoundMark(
            candles=perpetual,
            origin="last",
            labels=(f"assumption: the mark of {symbol} is its last price, wicks and all",),
        )
    if section.source == "built":
        return _build(market, perpetual, candles, catalog)
    key = SeriesKey("mark", market.venue, symbol, market.timeframe)
    if section.source == "auto" and not catalog.has(key):
        return _build(market, perpetual, candles, catalog)
    mark = catalog.read_candles(key, market.since_ms - market.warmup_ms, market.until_ms)
    if section.source == "auto" and not len(mark.between(market.since_ms, None)):
        return _build(market, perpetual, candles, catalog)
    _check_cover(market, perpetual, mark)
    return FoundMark(candles=mark, origin="series", extra=(mark,))


def align(candles: Candles, clock_ms: TimeArray) -> FloatArray:
    """Return open, high, low and close at each step: float64, shape (n_steps, 4).

    A step at which no bar closes has the last close four times; nan before the first bar. Bars
    that close between two steps, where the market's own candles are missing, give the second one
    their highs and lows: a price that was crossed in a hole was crossed.
    """
    last = np.searchsorted(candles.close_ms, clock_ms, "right") - 1
    bars = np.column_stack([candles.open, candles.high, candles.low, candles.close])
    rows = bars[np.maximum(last, 0)] if len(candles) else np.full((len(clock_ms), 4), np.nan)
    is_new = (last >= 0) & np.isin(clock_ms, candles.close_ms)
    rows = np.where(is_new[:, None], rows, rows[:, 3:])
    rows[last < 0] = np.nan
    for step in np.flatnonzero((np.diff(last, prepend=last[:1]) > 1) & (np.roll(last, 1) >= 0)):
        passed = slice(last[step - 1] + 1, last[step] + 1)
        rows[step, HIGH] = max(rows[step, HIGH], candles.high[passed].max())
        rows[step, LOW] = min(rows[step, LOW], candles.low[passed].min())
    return np.ascontiguousarray(rows)


def _build(
    market: MarketSection,
    perpetual: Candles,
    candles: Mapping[str, Candles],
    catalog: Catalog,
) -> FoundMark:
    symbol = perpetual.key.symbol
    spot_symbol = symbol.partition(":")[0]
    spot = candles.get(spot_symbol)
    extra: tuple[Series, ...] = ()
    if spot is None:
        key = SeriesKey("candles", market.venue, spot_symbol, market.timeframe)
        if catalog.has(key):
            spot = catalog.read_candles(key, market.since_ms - market.warmup_ms, market.until_ms)
            extra = (spot,)
    label = f"assumption: the mark of {symbol} is built from its candles and those of spot"
    return FoundMark(
        candles=build_mark(perpetual, spot),
        origin="built",
        labels=(label, *_label_alone(market, perpetual, spot)),
        extra=extra,
    )


def _label_alone(
    market: MarketSection, perpetual: Candles, spot: Candles | None
) -> tuple[str, ...]:
    """Return what is to be said of bars without a spot leg, with their longest stretch."""
    found = describe_stretch(market, perpetual, find_alone(perpetual, spot))
    if not found:
        return ()
    label = (
        f"assumption: spot of {perpetual.key.symbol} is missing in {found}: their mark is the "
        "perpetual's, long wicks clipped"
    )
    return (label,)


def _check_cover(market: MarketSection, perpetual: Candles, mark: Candles) -> None:
    """Raise DataError where a bar of the window has no mark."""
    wanted = perpetual.between(market.since_ms, market.until_ms).time_ms
    missing = wanted[~np.isin(wanted, mark.time_ms)]
    if not len(missing):
        return
    there = mark.between(market.since_ms, None).time_ms
    has = "has none of it"
    if len(there):
        has = f"has {to_time_text(int(there[0]))} .. {to_time_text(int(there[-1]))}"
    raise DataError(
        f"the mark series must cover the window, {mark.key} {has} and lacks {len(missing):,} bars "
        f'from {to_time_text(int(missing[0]))} on: set perpetual.mark.source = "built", or '
        f"{fetch_line(mark.key, market.since_ms, market.until_ms)}"
    )
