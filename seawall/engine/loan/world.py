"""The world of a loan: prices, oracle, interest and gas of every bar, as one flat array.

Made before the run, from the recipe and the market's candles alone. Two of them exist, for the two
ways to resolve what a bar does not tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from seawall.engine.loan.prices import AssetPath, BarTimes, FeedPath, find_paths
from seawall.engine.loan.rates import Rates, find_rates
from seawall.engine.loan.standing import LoanStanding
from seawall.engine.loan.terms import NATIVE, Epoch, LoanTermsOfTime, find_terms
from seawall.errors import RecipeError
from seawall.loan_recipe import LoanSection
from seawall.market.catalog import Catalog
from seawall.market.series import Candles, FloatArray, SeriesKey, Signal, TimeArray
from seawall.recipe import Recipe
from seawall.units import SECOND_MS, to_time_ms
from seawall.venues import oracle
from seawall.venues.gas import INTERCEPT, RESPONSE, SIGMA, GasTrack, gas_per_bar
from seawall.venues.lending import kernels, layout
from seawall.venues.parameters import Ambiguity


@dataclass(frozen=True, kw_only=True, eq=False)
class Opening:
    """The loan as it is taken, tokens, shape (n_assets,) each."""

    collateral: FloatArray
    debt: FloatArray
    wallet: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class LoanWorld:
    """What one loan is put into.

    Attributes:
        loan: the recipe's section.
        names: assets, in the order of every array.
        open_ms, close_ms: int64, shape (n_bars,), of the bars that trade.
        first_step: how many steps of the clock come before them.
        feeds, assets: the price paths.
        terms: rules and parameters.
        borrow_rate, supply_rate: float64, shape (n_bars, n_assets), per year.
        gas: what the chain charges.
        native: place of the coin that pays gas.
        labels: what has to be said beside every number.
        extra: series that were read beside the market's candles.
    """

    loan: LoanSection
    names: tuple[str, ...]
    open_ms: TimeArray
    close_ms: TimeArray
    first_step: int
    feeds: tuple[FeedPath, ...]
    assets: tuple[AssetPath, ...]
    terms: LoanTermsOfTime
    borrow_rate: FloatArray
    supply_rate: FloatArray
    gas: GasTrack
    labels: tuple[str, ...]
    extra: tuple[Candles | Signal, ...] = ()
    _made: dict[str, FloatArray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.close_ms)

    @property
    def native(self) -> int:
        """The place of the coin that pays gas."""
        return self.names.index(NATIVE)

    def epoch_bars(self) -> list[int]:
        """Return the first bar of each epoch."""
        return [int(np.searchsorted(self.open_ms, epoch.since_ms)) for epoch in self.terms.epochs]

    def rules_of(self, epoch: Epoch) -> FloatArray:
        """Return an epoch's rules with the feeds' thresholds behind them."""
        thresholds = [feed.reports.deviation for feed in self.feeds]
        rules = np.concatenate([epoch.rules, thresholds])
        rules[layout.N_FEEDS] = len(thresholds)
        return rules

    def risk_of(self, epoch: Epoch) -> FloatArray:
        """Return an epoch's parameters with each asset's feed."""
        risk = epoch.risk.copy()
        risk[:, layout.FEED] = [asset.feed for asset in self.assets]
        return risk

    def rows(self, intrabar: Ambiguity) -> FloatArray:
        """Return the world's array, shape (n_bars + 1, width): row 0 is the start."""
        if intrabar not in self._made:
            self._made[intrabar] = self._make(intrabar)
        return self._made[intrabar]

    def _make(self, intrabar: Ambiguity) -> FloatArray:
        n, n_feeds = len(self.names), len(self.feeds)
        rows = np.zeros((len(self) + 1, layout.world_width(n, n_feeds)))
        # A hole in the data is a long bar: interest goes on.
        since_ms = np.concatenate([self.open_ms[:1], self.close_ms[:-1]])
        rows[1:, layout.SECONDS] = (self.close_ms - since_ms) / SECOND_MS
        rows[1:, layout.GAS_PRICE] = self.gas.gwei
        # Seen at a close: what can be known while the next bar lasts.
        rows[:-1, layout.GAS_KNOWN] = self.gas.known_gwei
        rows[-1, layout.GAS_KNOWN] = self.gas.known_gwei[-1]  # of no use: nothing lands after it
        native = self.assets[self.native]
        rows[1:, layout.NATIVE_OPEN] = native.open
        for k, asset in enumerate(self.assets):
            for place, first, values in (
                (layout.OPEN, asset.start, asset.open),
                (layout.CLOSE, asset.start, asset.close),
                (layout.RATIO, asset.ratio_start, asset.ratio),
                (layout.SUPPLY_RATE, self.supply_rate[0, k], self.supply_rate[:, k]),
                (layout.BORROW_RATE, self.borrow_rate[0, k], self.borrow_rate[:, k]),
            ):
                column = layout.N_WORLD + place * n + k
                rows[0, column], rows[1:, column] = first, values
        for f, feed in enumerate(self.feeds):
            self._fill_feed(rows, f, feed, intrabar)
        return rows

    def _fill_feed(self, rows: FloatArray, f: int, feed: FeedPath, intrabar: Ambiguity) -> None:
        bars = oracle.Bars(
            open=feed.open, high=feed.high, low=feed.low, close=feed.close,
            close_s=self.close_ms // SECOND_MS,
        )  # fmt: skip
        track = oracle.track(
            bars, feed.reports, intrabar=intrabar, faults=feed.faults,
            start_s=int(self.open_ms[0]) // SECOND_MS,
        )  # fmt: skip
        n, n_feeds = len(self.names), len(self.feeds)
        start = layout.N_WORLD + 5 * n + f
        for place, values in (
            (layout.FEED_LOW, track.low),
            (layout.FEED_HIGH, track.high),
            (layout.FEED_CLOSE_LOW, track.close_low),
            (layout.FEED_CLOSE_HIGH, track.close_high),
        ):
            rows[0, start + place * n_feeds] = feed.start
            rows[1:, start + place * n_feeds] = values
        opens_s = self.open_ms // SECOND_MS
        for fault in feed.faults:
            if isinstance(fault, oracle.Stale | oracle.Down):
                was_silent = (opens_s >= fault.since_s) & (opens_s <= fault.until_s)
                rows[1:, layout.IS_JUMP] = np.maximum(rows[1:, layout.IS_JUMP], was_silent)
        rows[1:, layout.IS_DOWN] = np.maximum(rows[1:, layout.IS_DOWN], track.is_down)
        rows[1:, layout.IS_DARK] = np.maximum(rows[1:, layout.IS_DARK], track.is_down_throughout)

    def start_prices(self) -> FloatArray:
        """Return the oracle's prices at the start, USD per token."""
        return np.array([self.feeds[a.feed].start * a.ratio_start for a in self.assets])


def build_loan_world(
    recipe: Recipe,
    candles: Mapping[str, Candles],
    clock_ms: TimeArray,
    catalog: Catalog,
    standing: LoanStanding | None = None,
) -> LoanWorld:
    """Return the world of a recipe's loan.

    ``standing``: what holds all the time, where the market goes on; else it is as of each day.

    Raises:
        RecipeError: what the recipe asks for cannot be.
        DataError: a price, a rate or the gas of a day is missing.
    """
    loan = recipe.loan
    if loan is None:
        raise RecipeError(f"{recipe.strategy.name} guards a loan, the recipe has none: add [loan]")
    market = recipe.market
    names = tuple(dict.fromkeys((loan.collateral, loan.debt, NATIVE)))
    first = int(np.searchsorted(clock_ms, market.since_ms, "right"))
    close_ms = clock_ms[first:]
    open_ms = np.concatenate([[close_ms[0] - market.timeframe_ms], close_ms[:-1]])
    open_ms = np.maximum(open_ms, close_ms - market.timeframe_ms)
    bars = BarTimes(open_ms, close_ms)
    if standing is None:
        terms = find_terms(loan, names, int(open_ms[0]), int(close_ms[-1]))
    else:
        terms = standing.terms
    _check_names(loan, names)
    _check_faults(loan, bars)
    paths = find_paths(recipe, names, candles, bars, catalog)
    _check_wrapped(names, paths.assets)
    if standing is None:
        rates = find_rates(loan, names, terms, open_ms, catalog)
        gas, gas_series = _find_gas(loan, paths.native, bars, catalog)
    else:
        rates = _hold_rates(standing, len(open_ms))
        gas, gas_series = _hold_gas(loan, standing, paths.native, bars), ()
    series: tuple[Candles | Signal, ...] = (*paths.series, *rates.series, *gas_series)
    labels = (
        *terms.labels,
        *paths.labels,
        *rates.labels,
        *_label_gas(loan, gas),
        *_label_own(loan),
    )
    world = LoanWorld(
        loan=loan,
        names=names,
        open_ms=open_ms,
        close_ms=close_ms,
        first_step=first,
        feeds=paths.feeds,
        assets=paths.assets,
        terms=terms,
        borrow_rate=rates.borrow,
        supply_rate=rates.supply,
        gas=gas,
        labels=labels,
        extra=series,
    )
    open_loan(world)  # what cannot be taken is refused before the run
    return world


def open_loan(world: LoanWorld) -> Opening:
    """Return the loan as it is taken at the start, at the oracle's prices.

    Raises:
        RecipeError: it may not be taken so.
    """
    loan, names = world.loan, world.names
    prices, risk = world.start_prices(), world.risk_of(world.terms.epochs[0])
    i, j = names.index(loan.collateral), names.index(loan.debt)
    price = prices[i] / prices[j]
    threshold = float(risk[i, layout.THRESHOLD])
    if not threshold > 0:
        raise RecipeError(
            f"loan.collateral must be accepted by {world.terms.epochs[0].name}, {loan.collateral} "
            "is not: choose another"
        )
    share = _debt_share(loan, threshold, price)
    amount = loan.amount if loan.amount is not None else (loan.equity or 0.0) / (1 - share)
    owed = loan.debt_amount if loan.debt_amount is not None else share * amount * price
    collateral, debt = np.zeros(len(names)), np.zeros(len(names))
    collateral[i], debt[j] = amount, owed
    _check_opening(world, collateral, debt, prices, risk)
    there = float(risk[j, layout.POOL_SUPPLY] - risk[j, layout.POOL_DEBT])
    if risk[j, layout.POOL_SUPPLY] > 0 and owed > there:
        raise RecipeError(
            f"a loan must fit into its pool, loan.rates.pool_supply leaves {there:,.6g} "
            f"{loan.debt}, the debt is {owed:,.6g}: give a larger pool, or borrow less"
        )
    wallet = np.array([loan.wallet.get(name, 0.0) for name in names])
    return Opening(collateral=collateral, debt=debt, wallet=wallet)


def _debt_share(loan: LoanSection, threshold: float, price: float) -> float:
    """Return debt over collateral, in value."""
    if loan.ltv is not None:
        share = loan.ltv
    elif loan.leverage is not None:
        share = 1 - 1 / loan.leverage
    elif loan.health is not None:
        share = threshold / loan.health
    else:
        owed = (loan.debt_amount or 0.0) / price
        held = loan.amount if loan.amount is not None else (loan.equity or 0.0) + owed
        share = owed / held
    if not share < 1:
        raise RecipeError(
            f"a loan must be worth less than its collateral, would be {share:.2%} of it: borrow "
            "less"
        )
    return share


def _check_opening(
    world: LoanWorld,
    collateral: FloatArray,
    debt: FloatArray,
    prices: FloatArray,
    risk: FloatArray,
) -> None:
    health = kernels.health_of(collateral, debt, prices, risk)
    if not health > 1:
        raise RecipeError(
            f"the health factor at the start must be > 1, would be {health:.4f}: it could be "
            "liquidated at once; borrow less"
        )
    if not kernels.can_borrow(collateral, debt, prices, risk):
        limit = kernels.weigh_by(collateral, prices, risk, layout.MAX_LTV)
        worth = kernels.weigh(collateral, prices)
        least = kernels.weigh_by(collateral, prices, risk, layout.THRESHOLD) / limit
        raise RecipeError(
            f"the loan to value at the start must be at most {limit / worth:.2%} "
            f"({world.terms.epochs[0].name}, {world.loan.collateral}), would be "
            f"{kernels.weigh(debt, prices) / worth:.2%}: borrow less, or start with a health "
            f"factor of at least {least:.3f}"
        )


def _check_names(loan: LoanSection, names: tuple[str, ...]) -> None:
    for section, given in (
        ("loan.wallet", loan.wallet),
        ("loan.prices", loan.prices),
        ("loan.parameters", loan.parameters),
        ("loan.rates.pool_supply", loan.rates.pool_supply),
        ("loan.rates.utilisation", _by_asset(loan.rates.utilisation)),
        ("loan.oracle.deviation", _by_asset(loan.oracle.deviation)),
        ("loan.oracle.heartbeat", _by_asset(loan.oracle.heartbeat)),
    ):
        for asset in given:
            if asset not in names:
                raise RecipeError(
                    f"{section} names {asset!r}: the loan has {', '.join(names)}; correct it"
                )
    for fault in loan.oracle.faults:
        if fault.asset not in names:
            raise RecipeError(
                f"loan.oracle.faults names {fault.asset!r}: the loan has {', '.join(names)}"
            )


def _by_asset(given: object) -> Mapping[str, object]:
    return given if isinstance(given, Mapping) else {}


def _check_faults(loan: LoanSection, bars: BarTimes) -> None:
    """Raise RecipeError where no bar of the window meets a fault."""
    for fault in loan.oracle.faults:
        since_ms, until_ms = to_time_ms(fault.since), to_time_ms(fault.until)
        if until_ms <= bars.open_ms[0] or since_ms >= bars.close_ms[-1]:
            raise RecipeError(
                f"a fault must lie in the window, {fault.kind} of {fault.asset} is from "
                f"{fault.since} to {fault.until}: move it"
            )


def _check_wrapped(names: tuple[str, ...], assets: tuple[AssetPath, ...]) -> None:
    """Raise RecipeError where WETH is not worth an ETH: wrapping is one for one."""
    if "WETH" not in names:
        return
    wrapped, native = assets[names.index("WETH")], assets[names.index(NATIVE)]
    if not np.array_equal(wrapped.open, native.open):
        raise RecipeError(
            "WETH is ETH, one for one, loan.prices gives it another price: leave it out, or give "
            "ETH the same"
        )


def _find_gas(
    loan: LoanSection, native: Candles, bars: BarTimes, catalog: Catalog
) -> tuple[GasTrack, tuple[Signal, ...]]:
    open_ms, close_ms = bars
    venue, _, rest = loan.gas.series.partition("/")
    name, _, timeframe = rest.rpartition("/")
    key = SeriesKey("signal", venue, name, timeframe)
    series = catalog.read_signal(key, None, None) if catalog.has(key) else None
    track = gas_per_bar(
        open_ms,
        close_ms,
        market_close_ms=native.close_ms,
        market_close=native.close,
        series_time_ms=None if series is None else series.time_ms,
        series_gwei=None if series is None else series.value,
        model=loan.gas.source == "model",
        baseline_gwei=loan.gas.baseline_gwei,
        multiplier=loan.gas.multiplier,
    )
    return track, () if series is None else (series,)


def _hold_rates(standing: LoanStanding, n_bars: int) -> Rates:
    epoch = standing.epoch
    return Rates(
        borrow=np.tile(epoch.borrow_rate, (n_bars, 1)),
        supply=np.tile(epoch.supply_rate, (n_bars, 1)),
        labels=standing.labels,
        series=(),
    )


def _hold_gas(
    loan: LoanSection, standing: LoanStanding, native: Candles, bars: BarTimes
) -> GasTrack:
    """Return the gas that stands, or what the model makes of the market so far."""
    if standing.gas_gwei is not None:
        gwei = np.full(len(bars.open_ms), standing.gas_gwei * loan.gas.multiplier)
        return GasTrack(gwei=gwei, known_gwei=gwei, is_modelled=np.zeros(len(gwei), np.bool_))
    return gas_per_bar(
        bars.open_ms,
        bars.close_ms,
        market_close_ms=native.close_ms,
        market_close=native.close,
        model=True,
        baseline_gwei=loan.gas.baseline_gwei,
        multiplier=loan.gas.multiplier,
    )


def _label_own(loan: LoanSection) -> tuple[str, ...]:
    """Return what the recipe itself changes of the world."""
    found = [f"fault: {fault.kind} oracle of {fault.asset}" for fault in loan.oracle.faults]
    if loan.parameters:
        found.append(f"own risk parameters: {', '.join(loan.parameters)}")
    if loan.flash_premium_bps is not None:
        found.append(f"own flash premium: {loan.flash_premium_bps:g} bps")
    if not loan.wallet.get(NATIVE):
        found.append("no ETH in the wallet: no transaction can be paid for")
    return tuple(dict.fromkeys(found))


def _label_gas(loan: LoanSection, gas: GasTrack) -> tuple[str, ...]:
    found = []
    if gas.share_modelled > 0:
        level = "the fitted level" if loan.gas.baseline_gwei is None else "an own level"
        found.append(
            f"modelled: gas in {gas.share_modelled:.0%} of the hours, on {level} times "
            f"exp({INTERCEPT:g} + {RESPONSE:g} x^2 + {SIGMA:g}^2 / 2)"
        )
    if loan.gas.multiplier != 1:
        found.append(f"gas at {loan.gas.multiplier:g} times its price")
    return tuple(found)
