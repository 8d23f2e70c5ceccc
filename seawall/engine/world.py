"""The world of one run: the recipe's candles and signals, read, fetched or simulated.

A series that the catalog lacks is fetched first, unless the run is offline. Warm-up bars come with
the rest: ``since_ms`` says where trading starts.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from seawall.engine.feed import resample
from seawall.engine.loan.world import LoanWorld, build_loan_world
from seawall.engine.perpetual.holes import fill_holes
from seawall.engine.perpetual.world import (
    PerpetualWorld,
    build_perpetual_world,
    perpetual_section,
)
from seawall.engine.simulated import check_start_prices, simulate_symbol
from seawall.errors import DataError, RecipeError, SeriesNotFound
from seawall.market.catalog import Catalog, fetch_line
from seawall.market.funding import FUNDING_TIMEFRAME
from seawall.market.manifest import Filters
from seawall.market.series import Candles, Kind, Series, SeriesKey, Signal, TimeArray
from seawall.market.texts import Texts, read_texts
from seawall.perpetual_recipe import PerpetualSection
from seawall.recipe import SIMULATED, MarketSection, Recipe
from seawall.units import SECOND_MS, is_perpetual, to_time_text

if TYPE_CHECKING:
    from seawall.market.download import Progress

ReportFetch = Callable[[SeriesKey, "Progress"], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """What one run is put into.

    Attributes:
        candles: by symbol, warm-up included; every symbol has at least one bar. Holes of spot are
            filled where its perpetual is in the market (``perpetual/holes.py``).
        higher: coarser candles, as (symbol, candles), made from the same bars.
        signals: by the name the recipe gives them.
        filters: order grids that the catalog knows, by symbol.
        since_ms, until_ms: the bars that trade open in between.
        clock_ms: int64, shape (n_steps,): the close stamps of all bars, sorted, unique.
        loan: what a loan meets beside the candles, where the recipe has one.
        perpetual: what a futures account meets, where the market has perpetuals.
        read: candles as they were read, of symbols whose holes have been filled.
        texts: by the name the recipe gives them.
    """

    candles: Mapping[str, Candles]
    higher: tuple[tuple[str, Candles], ...]
    signals: Mapping[str, Signal]
    filters: Mapping[str, Filters]
    since_ms: int
    until_ms: int
    clock_ms: TimeArray
    loan: LoanWorld | None = None
    perpetual: PerpetualWorld | None = None
    read: Mapping[str, Candles] = field(default_factory=dict)
    texts: Mapping[str, Texts] = field(default_factory=dict)

    @property
    def hashes(self) -> dict[str, str]:
        """The content hash of every series that was read, by key."""
        candles = {**self.candles, **self.read}
        series: list[Series] = [*candles.values(), *self.signals.values()]
        if self.loan is not None:
            series.extend(self.loan.extra)
        if self.perpetual is not None:
            series.extend(self.perpetual.extra)
        texts = {f"texts/{name}": one.sha256() for name, one in self.texts.items()}
        return {str(one.key): one.sha256() for one in series} | texts

    @property
    def is_simulated(self) -> bool:
        """Whether any of it is made by a model."""
        series: list[Series] = [*self.candles.values(), *self.signals.values()]
        return any(one.is_simulated for one in series)

    def n_closed(self, symbol: str) -> TimeArray:
        """Return how many bars of ``symbol`` have closed at each step: int64, shape (n_steps,)."""
        return np.searchsorted(self.candles[symbol].close_ms, self.clock_ms, "right")


def build_world(
    recipe: Recipe,
    catalog: Catalog,
    *,
    offline: bool,
    on_fetch: ReportFetch = lambda _key, _progress: None,
) -> World:
    """Return everything that a recipe's market section names.

    Raises:
        RecipeError: the market section asks for what such a market does not have.
        SeriesNotFound: the catalog lacks a series and ``offline`` forbids to fetch it.
        DataError: the window holds no bar.
        ExchangeError: a series could not be fetched.
    """
    market = recipe.market
    check_start_prices(market)
    source = _Source(catalog, offline=offline, on_fetch=on_fetch)
    if market.venue == SIMULATED:
        read = {symbol: simulate_symbol(recipe, symbol) for symbol in market.symbols}
    else:
        read = {symbol: source.candles(market, symbol) for symbol in market.symbols}
    for symbol, series in read.items():
        _check_window(market, symbol, series)
    candles, labels = fill_holes(market, read)
    higher = tuple(
        (symbol, resample(series, coarse))
        for symbol, series in candles.items()
        for coarse in market.higher_timeframes
    )
    all_close_ms = [series.close_ms for series in candles.values()]
    clock_ms = np.unique(np.concatenate(all_close_ms))
    section = perpetual_section(recipe)
    if section is not None and market.venue != SIMULATED:
        source.complete(market, section)
    perpetual = None
    if section is not None:
        perpetual = build_perpetual_world(recipe, candles, clock_ms, catalog)
        perpetual = replace(perpetual, labels=(*perpetual.labels, *labels))
    return World(
        candles=candles,
        higher=tuple((symbol, series) for symbol, series in higher if len(series)),
        signals={name: source.signal(market, name) for name in market.signals},
        filters={symbol: source.filters(series.key) for symbol, series in candles.items()},
        since_ms=market.since_ms,
        until_ms=market.until_ms,
        clock_ms=clock_ms,
        loan=build_loan_world(recipe, candles, clock_ms, catalog) if recipe.loan else None,
        perpetual=perpetual,
        read={symbol: read[symbol] for symbol in read if read[symbol] is not candles[symbol]},
        texts={name: read_texts(catalog, name) for name in market.texts or ()},
    )


def to_signal_key(name: str) -> SeriesKey:
    """Return the key of a signal by the name that a recipe gives it.

    Raises:
        RecipeError: the name is none.
    """
    venue, _, rest = name.partition("/")
    symbol, _, timeframe = rest.rpartition("/")
    if not (venue and symbol and timeframe):
        raise RecipeError(
            f"market.signals are VENUE/NAME/TIMEFRAME, has {name!r}: "
            "write alternative/fear_greed/1d"
        )
    return SeriesKey("signal", venue, symbol, timeframe)


class _Source:
    """Reads from the catalog, and fetches what it lacks."""

    def __init__(self, catalog: Catalog, *, offline: bool, on_fetch: ReportFetch) -> None:
        self._catalog, self._offline, self._on_fetch = catalog, offline, on_fetch

    def candles(self, market: MarketSection, symbol: str) -> Candles:
        key = SeriesKey("candles", market.venue, symbol, market.timeframe)
        start_ms = market.since_ms - market.warmup_ms
        if not self._catalog.has(key):
            self._fetch(key, start_ms, market.until_ms)
        return self._catalog.read_candles(key, start_ms, market.until_ms)

    def signal(self, market: MarketSection, name: str) -> Signal:
        return self._catalog.read_signal(to_signal_key(name), None, market.until_ms)

    def complete(self, market: MarketSection, section: PerpetualSection) -> None:
        """Fetch the funding, and the mark if it is asked for, that a futures account lacks."""
        if self._offline:
            return  # what lacks is named where it is read
        wanted: list[tuple[Kind, str]] = []
        if section.funding.source == "series" and section.funding.missing == "refuse":
            wanted.append(("funding", FUNDING_TIMEFRAME))
        if section.mark.source == "series":
            wanted.append(("mark", market.timeframe))
        for kind, timeframe in wanted:
            for symbol in filter(is_perpetual, market.symbols):
                key = SeriesKey(kind, market.venue, symbol, timeframe)
                if not self._catalog.has(key):
                    self._fetch(key, market.since_ms, market.until_ms)

    def filters(self, key: SeriesKey) -> Filters:
        return self._catalog.manifest(key).filters if self._catalog.has(key) else Filters()

    def _fetch(self, key: SeriesKey, since_ms: int, until_ms: int) -> None:
        if self._offline:
            raise SeriesNotFound(
                f"the recipe needs {key}, the catalog in {self._catalog.root} has none: "
                f"{fetch_line(key, since_ms, until_ms)}"
            )
        # ccxt takes a second to import: only a run that fetches waits for it.
        from seawall.market.download import (  # noqa: PLC0415
            DownloadRequest,
            download,
            open_exchange,
        )

        request = DownloadRequest(
            symbol=key.symbol,
            timeframe=key.timeframe,
            since_ms=since_ms,
            until_ms=until_ms,
            kind=key.kind,
        )
        exchange = open_exchange(key.venue, request.market_type)
        now_ms = int(time.time() * SECOND_MS)
        download(
            exchange, request, self._catalog,
            now_ms=now_ms, progress=lambda progress: self._on_fetch(key, progress),
        )  # fmt: skip


def _check_window(market: MarketSection, symbol: str, series: Candles) -> None:
    trading = series.between(market.since_ms, None)
    if len(trading):
        return
    window = f"{to_time_text(market.since_ms)} .. {to_time_text(market.until_ms)}"
    key = SeriesKey("candles", market.venue, symbol, market.timeframe)
    raise DataError(
        f"the window must hold bars, {key} has none in {window}: move market.since and "
        f"market.until, or {fetch_line(key, market.since_ms, market.until_ms)}"
    )
