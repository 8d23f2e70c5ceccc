"""The price paths of a loan: what the market pays for each asset, and what its oracle follows.

A feed is one price series with one oracle on it; an asset is a feed times a ratio (1 for most, the
exchange rate for a staked token). Two assets of one feed move together, also in the extremes of a
bar.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from seawall.errors import DataError, RecipeError
from seawall.loan_recipe import STABLECOINS, DepegSection, FaultSection, LoanSection, PriceSection
from seawall.market.catalog import Catalog
from seawall.market.ratio import ratio_candles
from seawall.market.series import Candles, FloatArray, SeriesKey, TimeArray
from seawall.recipe import MarketSection, Recipe
from seawall.units import (
    SECOND_MS,
    YEAR_MS,
    is_perpetual,
    split_symbol,
    to_duration_ms,
    to_time_ms,
    to_time_text,
)
from seawall.venues import oracle

_WRAPPED = {"WETH": "ETH", "wstETH": "ETH", "WBTC": "BTC"}
# wstETH in ETH: what Aave's oracle said on 2025-03-19 10:18 UTC (2323.3294 over 1940.7364), grown
# by a round figure for the staking yield of 2023 to 2025.
WSTETH_AT = "2025-03-19T10:18"
WSTETH_RATE = 1.197138
WSTETH_GROWTH = 0.032


class BarTimes(NamedTuple):
    """When the bars that trade open and close: int64, shape (n_bars,), UTC milliseconds."""

    open_ms: TimeArray
    close_ms: TimeArray


@dataclass(frozen=True, kw_only=True, eq=False)
class FeedPath:
    """One price series and the oracle on it.

    ``open`` to ``close``: float64, shape (n_bars,), USD; ``start``: the price before them.
    """

    name: str
    start: float
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    reports: oracle.Feed
    faults: tuple[oracle.Fault, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class AssetPath:
    """One asset: its feed's place, the ratio the oracle reads, and what the market pays.

    ``ratio``, ``open`` and ``close``: float64, shape (n_bars,); ``start`` and ``ratio_start`` are
    those before the first bar. Prices in USD.
    """

    feed: int
    ratio_start: float
    ratio: FloatArray
    start: float
    open: FloatArray
    close: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Paths:
    """All of a loan's, the candles of ETH, what was read beside the market, what to say of it."""

    feeds: tuple[FeedPath, ...]
    assets: tuple[AssetPath, ...]
    native: Candles
    series: tuple[Candles, ...]
    labels: tuple[str, ...]


def find_paths(
    recipe: Recipe,
    names: tuple[str, ...],
    candles: Mapping[str, Candles],
    bars: BarTimes,
    catalog: Catalog,
) -> Paths:
    """Return the price paths of the loan's assets over the bars that trade.

    Raises:
        RecipeError: an asset has no price in this market.
        DataError: a series has no bar before the window's end.
    """
    loan = recipe.loan
    if loan is None:
        raise RecipeError("there is no loan in this recipe: add [loan]")
    finder = _Finder(recipe.market, loan, candles, bars, catalog)
    assets = tuple(finder.asset(name) for name in names)
    return Paths(
        feeds=tuple(finder.feeds.values()),
        assets=assets,
        native=finder.native(),
        series=tuple(finder.read.values()),
        labels=tuple(dict.fromkeys(finder.labels)),
    )


class _Finder:
    """Finds feeds, each once, and notes what has to be said."""

    def __init__(
        self,
        market: MarketSection,
        loan: LoanSection,
        candles: Mapping[str, Candles],
        bars: BarTimes,
        catalog: Catalog,
    ) -> None:
        self._market, self._loan, self._candles, self._catalog = market, loan, candles, catalog
        self._open_ms, self._close_ms = bars
        self.feeds: dict[str, FeedPath] = {}
        self.read: dict[str, Candles] = {}
        self.labels: list[str] = []

    def asset(self, name: str) -> AssetPath:
        """Return the path of one asset."""
        section = self._loan.prices.get(name) or self._guess(name)
        feed = self._feed(name, section)
        place = list(self.feeds).index(feed.name)
        rate, growth = self._rate(name, section)
        years = (self._close_ms - self._open_ms[0]) / YEAR_MS
        ratio = rate * (1.0 + growth) ** years
        paid = ratio * (1.0 - self._discount(section.market_discount))
        faults = to_faults(self._loan.oracle.faults, name)
        read = oracle.report_ratio(ratio, self._close_ms // SECOND_MS, faults)
        return AssetPath(
            feed=place,
            ratio_start=rate,
            ratio=read,
            start=feed.start * rate,
            open=feed.open * np.concatenate([[rate], paid[:-1]]),
            close=feed.close * paid,
        )

    def native(self) -> Candles:
        """Return the candles of ETH: the gas is paid in it, and its model follows it."""
        return self._candles[self._symbol_of("ETH", "gas")]

    def _guess(self, name: str) -> PriceSection:
        if name in STABLECOINS:
            return PriceSection(value=1.0)
        return PriceSection(symbol=self._symbol_of(_WRAPPED.get(name, name), name))

    def _symbol_of(self, base: str, what: str) -> str:
        for symbol in sorted(self._candles, key=is_perpetual):  # spot first, and in its order
            if split_symbol(symbol)[0] == base:
                return symbol
        raise RecipeError(
            f"the loan needs a price of {base} (for {what}), the market has "
            f"{', '.join(self._candles)}: add {base}/{self._market.quote} to market.symbols, or "
            "name it in [loan.prices]"
        )

    def _feed(self, asset: str, section: PriceSection) -> FeedPath:
        name = section.symbol or f"{asset}: {section.value or section.numerator}"
        found = self.feeds.get(name)
        if found is None:
            found = self._make_feed(name, asset, section)
        else:  # what is ordered of any asset's oracle holds for the feed that it shares
            given = self._loan.oracle
            others = tuple(f for f in to_faults(given.faults, asset) if f not in found.faults)
            named = [m for m in (given.deviation, given.heartbeat) if isinstance(m, Mapping)]
            reports = found.reports if not any(asset in m for m in named) else self._reports(asset)
            found = replace(found, faults=(*found.faults, *others), reports=reports)
        self.feeds[name] = found
        return found

    def _reports(self, asset: str) -> oracle.Feed:
        given = self._loan.oracle
        return oracle.Feed(
            deviation=given.deviation_of(asset), heartbeat_s=given.heartbeat_s(asset)
        )

    def _make_feed(self, name: str, asset: str, section: PriceSection) -> FeedPath:
        reports = self._reports(asset)
        faults = to_faults(self._loan.oracle.faults, asset)
        if section.value is not None:
            self.labels.append(f"assumption: {asset} is {section.value:g} USD")
            flat = np.full(len(self._close_ms), section.value)
            return FeedPath(
                name=name, start=section.value, open=flat, high=flat, low=flat, close=flat,
                reports=reports, faults=faults,
            )  # fmt: skip
        start, bars = self._align(self._series(asset, section))
        return FeedPath(
            name=name, start=start, open=bars[0], high=bars[1], low=bars[2], close=bars[3],
            reports=reports, faults=faults,
        )  # fmt: skip

    def _series(self, asset: str, section: PriceSection) -> Candles:
        if section.symbol is not None:
            if section.symbol not in self._candles:
                raise RecipeError(
                    f"loan.prices.{asset} names {section.symbol!r}: the market has "
                    f"{', '.join(self._candles)}; add it to market.symbols"
                )
            if self._market.quote != "USD":
                self.labels.append(f"assumption: {self._market.quote} is 1 USD")
            return self._candles[section.symbol]
        above = self._read_finest(section.venue, section.numerator or "")
        below = self._read_finest(section.venue, section.denominator or "")
        return ratio_candles(above, below, self._market.timeframe)

    def _read_finest(self, venue: str | None, symbol: str) -> Candles:
        """Return the finest series of a symbol that the catalog has, not coarser than the bars."""
        where = venue or self._market.venue
        for timeframe in dict.fromkeys(("1m", "5m", "1h", self._market.timeframe)):
            key = SeriesKey("candles", where, symbol, timeframe)
            is_fine = to_duration_ms(timeframe) <= self._market.timeframe_ms
            if is_fine and self._catalog.has(key):
                start_ms = int(self._open_ms[0]) - self._market.warmup_ms
                found = self._catalog.read_candles(key, start_ms, int(self._close_ms[-1]))
                self.read[str(found.key)] = found
                return found
        raise DataError(
            f"the loan needs candles of {symbol} on {where}, the catalog has none: "
            f"seawall data import, or seawall data get {where} {symbol}"
        )

    def _align(self, candles: Candles) -> tuple[float, tuple[FloatArray, ...]]:
        """Return the price before the first bar, and open, high, low, close at every bar.

        A bar that the series lacks stands at its last close.
        """
        if not len(candles) or candles.close_ms[0] > self._close_ms[-1]:
            raise DataError(
                f"{candles.key} must have bars in the window, has none: move the window"
            )
        row = np.searchsorted(candles.close_ms, self._close_ms, "right") - 1
        is_there = (row >= 0) & (candles.close_ms[np.maximum(row, 0)] == self._close_ms)
        if not (is_there[0] or row[0] >= 0):
            first = to_time_text(int(candles.time_ms[0]))
            raise DataError(
                f"{candles.key} must begin with the window, begins at {first}: move market.since"
            )
        row = np.maximum(row, 0)
        last = candles.close[row]
        bars = tuple(
            np.where(is_there, getattr(candles, name)[row], last)
            for name in ("open", "high", "low", "close")
        )
        before = int(np.searchsorted(candles.close_ms, self._open_ms[0], "right")) - 1
        start = float(candles.close[before]) if before >= 0 else float(bars[0][0])
        return start, bars

    def _rate(self, name: str, section: PriceSection) -> tuple[float, float]:
        """Return tokens of the feed per token at the start, and their growth a year."""
        if section.rate is not None:
            if section.growth:
                self.labels.append(f"modelled: {name} grows by {section.growth:.2%} a year")
            return section.rate, section.growth
        if name != "wstETH":
            if section.growth:
                self.labels.append(f"modelled: {name} grows by {section.growth:.2%} a year")
            return 1.0, section.growth
        years = (int(self._open_ms[0]) - to_time_ms(WSTETH_AT)) / YEAR_MS
        growth = section.growth or WSTETH_GROWTH
        self.labels.append(f"modelled: wstETH grows by {growth:.2%} a year against ETH")
        return max(WSTETH_RATE * (1.0 + growth) ** years, 1.0), growth

    def _discount(self, depeg: DepegSection | None) -> FloatArray:
        """Return by how much the market pays less than the ratio says, at each close."""
        if depeg is None:
            return np.zeros(len(self._close_ms))
        at, length = to_time_ms(depeg.at), to_duration_ms(depeg.duration)
        self.labels.append(f"simulated: a depeg of {depeg.depth:.1%} from {depeg.at}")
        times = [at, at + length, at + 2 * length]
        depths = [0.0, depeg.depth, depeg.depth * (1.0 - depeg.recovery)]
        return np.interp(self._close_ms, times, depths)


def to_faults(sections: tuple[FaultSection, ...], asset: str) -> tuple[oracle.Fault, ...]:
    """Return the faults of one asset's oracle."""
    found: list[oracle.Fault] = []
    for section in sections:
        if section.asset != asset:
            continue
        since_s, until_s = (to_time_ms(t) // SECOND_MS for t in (section.since, section.until))
        if section.kind == "stale":
            found.append(oracle.Stale(since_s=since_s, until_s=until_s))
        elif section.kind == "down":
            found.append(oracle.Down(since_s=since_s, until_s=until_s))
        elif section.kind == "wick":
            found.append(oracle.Wick(since_s=since_s, until_s=until_s, factor=section.factor))
        else:
            found.append(
                oracle.Capped(
                    since_s=since_s,
                    until_s=until_s,
                    below=section.below,
                    max_growth_per_year=section.growth,
                )
            )
    return tuple(found)
