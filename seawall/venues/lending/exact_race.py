"""The race of oracle, interest and liquidators on a protocol's integers: the twin of ``race``.

The same bars in the same order (read ``race`` first). The oracle's path, the liquidator's choice
and sums, and the books are its kernels; interest, health and what a liquidation does are the
protocol's. Some hundred times slower.
"""

from typing import NamedTuple

import numpy as np

from seawall.errors import Refused
from seawall.market.series import FloatArray
from seawall.venues import oracle
from seawall.venues.lending import kernels, layout, race
from seawall.venues.lending.exact import Deal, ExactVenue
from seawall.venues.lending.layout import N_FEEDS, N_RULES, RATIO

_GWEI = 1e-9


class ExactRace:
    """The race of one venue's account; ``live_through`` stands in for the kernel of that name."""

    def __init__(self, venue: ExactVenue) -> None:
        self._venue = venue

    def live_through(
        self,
        state: FloatArray,
        parameters: FloatArray,
        rules: FloatArray,
        world: FloatArray,
        trace: FloatArray,
        events: FloatArray,
        wake: FloatArray,
        start: int,
        stop: int,
    ) -> tuple[int, int, bool]:
        """Live through bars; see ``race.live_through``."""
        for bar in range(start, stop):
            row = world[bar + 1]
            one = _Bar(self._venue, state, parameters, rules, world[bar], row, events, bar)
            n_events = _live(one)
            race.show(state, parameters, row, trace[bar + 1], int(rules[N_FEEDS]))
            health = state[layout.HEALTH]
            is_woken = bool(
                health < wake[layout.HEALTH_BELOW] or health > wake[layout.HEALTH_ABOVE]
            )
            if n_events > 0:
                return bar + 1, n_events, is_woken or bool(wake[layout.AT_EVENT] > 0.0)
            if is_woken:
                return bar + 1, 0, True
        return stop, 0, False


class _Bar(NamedTuple):
    """One bar: the account's side, and the rows of the world before it and of itself."""

    venue: ExactVenue
    state: FloatArray
    parameters: FloatArray
    rules: FloatArray
    before: FloatArray
    row: FloatArray
    events: FloatArray
    number: int

    @property
    def n(self) -> int:
        """How many assets there are."""
        return len(self.parameters)

    @property
    def gas_usd(self) -> float:
        """What a liquidation costs its sender."""
        gas = self.rules[layout.LIQUIDATION_GAS] * self.row[layout.GAS_PRICE]
        return float(gas * _GWEI * self.row[layout.NATIVE_OPEN])

    def feeds(self, row: FloatArray, low: int, high: int) -> FloatArray:
        """Return one side of a row's feeds, the worse for the account as it is now."""
        n, n_feeds = self.n, int(self.rules[N_FEEDS])
        chosen = np.empty(n_feeds)
        race.choose_feeds(
            self.venue.collateral, self.venue.debt, race.of_world(row, RATIO, n), self.parameters,
            race.feeds_of_world(row, low, n, n_feeds), race.feeds_of_world(row, high, n, n_feeds),
            chosen,
        )  # fmt: skip
        return chosen

    def prices(self, feeds: FloatArray) -> FloatArray:
        """Return the oracle's price of each asset."""
        prices = np.empty(self.n)
        race.to_prices(feeds, race.of_world(self.row, RATIO, self.n), self.parameters, prices)
        return prices


def _live(bar: _Bar) -> int:
    """Live through one bar; return the number of liquidations. Twin of ``race._live_one``."""
    state, row, n = bar.state, bar.row, bar.n
    race.revalue(state, race.of_world(row, layout.OPEN, n), n)
    bar.venue.accrue(row)
    _follow_untouched(bar)
    state[layout.MIN_HEALTH] = np.inf
    last = bar.feeds(bar.before, layout.FEED_CLOSE_LOW, layout.FEED_CLOSE_HIGH)
    is_dark = row[layout.IS_DARK] != 0.0
    n_events = 0
    if not is_dark:
        extreme = bar.feeds(row, layout.FEED_LOW, layout.FEED_HIGH)
        if bar.row[layout.IS_JUMP] > 0.0:
            last = extreme  # silent before: no report in between
        n_events = _walk(bar, last, extreme, n_events)
        last = extreme
    close = bar.feeds(row, layout.FEED_CLOSE_LOW, layout.FEED_CLOSE_HIGH)
    if not is_dark:
        n_events = _walk(bar, last, close, n_events)
    state[layout.HEALTH] = bar.venue.health(bar.prices(close))
    state[layout.MIN_HEALTH] = min(state[layout.MIN_HEALTH], state[layout.HEALTH])
    race.revalue(state, race.of_world(row, layout.CLOSE, n), n)
    return n_events


def _follow_untouched(bar: _Bar) -> None:
    """Bring the loan as it was first taken through the bar; it exists in float64 alone."""
    n, n_feeds = bar.n, int(bar.rules[N_FEEDS])
    race.accrue_untouched(bar.state, bar.row, bar.parameters, bar.rules, n)
    first = race.block(bar.state, layout.FIRST_COLLATERAL, n)
    owed = race.block(bar.state, layout.FIRST_DEBT, n)
    worst = np.empty(n_feeds)
    race.choose_feeds(
        first, owed, race.of_world(bar.row, RATIO, n), bar.parameters,
        race.feeds_of_world(bar.row, layout.FEED_LOW, n, n_feeds),
        race.feeds_of_world(bar.row, layout.FEED_HIGH, n, n_feeds), worst,
    )  # fmt: skip
    bar.state[layout.UNTOUCHED_HEALTH] = kernels.health_of(
        first, owed, bar.prices(worst), bar.parameters
    )


def _walk(bar: _Bar, last: FloatArray, target: FloatArray, n_events: int) -> int:
    """Let the oracle go from ``last`` to ``target``; liquidators act as soon as they may."""
    health = bar.venue.health(bar.prices(target))
    if not health < 1.0:
        bar.state[layout.MIN_HEALTH] = min(bar.state[layout.MIN_HEALTH], health)
        return n_events
    feeds = np.empty(len(last))
    steps = oracle.count_steps(last, target, bar.rules[N_RULES:])
    for step in range(1, steps + 1):
        oracle.price_at_step(last, target, step, steps, feeds)
        prices = bar.prices(feeds)
        health = bar.venue.health(prices)
        bar.state[layout.MIN_HEALTH] = min(bar.state[layout.MIN_HEALTH], health)
        n_events = _liquidate_all(bar, prices, n_events)
    return n_events


def _liquidate_all(bar: _Bar, prices: FloatArray, n_events: int) -> int:
    """Let liquidators act at one oracle price while it pays; return the number of events."""
    venue = bar.venue
    for _ in range(race.MOST_ROUNDS):
        before = venue.health(prices)
        if not before < 1.0 or n_events >= len(bar.events):
            break
        owed = kernels.weigh(venue.debt, prices)
        held = kernels.weigh(venue.collateral, prices)
        found = _liquidate(bar, prices, held)
        if found is None:
            break
        i, j, deal = found
        event = bar.events[n_events]
        race.book_liquidation(bar.state, event, prices, bar.rules, i, j, deal, owed, held, bar.n)
        venue.synchronise()
        event[layout.AT_BAR], event[layout.LIQUIDATOR_GAS_USD] = bar.number, bar.gas_usd
        event[layout.HEALTH_BEFORE] = before
        event[layout.HEALTH_AFTER] = venue.health(prices)
        n_events += 1
    return n_events


def _liquidate(bar: _Bar, prices: FloatArray, held: float) -> tuple[int, int, Deal] | None:
    """Let one liquidator act, if the protocol lets it and it pays; return what it did."""
    venue = bar.venue
    i, j, wanted = kernels.find_best(
        venue.collateral, venue.debt, prices, bar.parameters, bar.rules
    )
    if wanted <= 0.0:
        return None
    saved = venue.save()
    race.revalue(bar.state, prices, bar.n)
    try:
        deal = venue.liquidate(i, j, wanted, prices)
    except Refused:
        venue.restore(saved)
        return None
    if race.earn(deal, prices, bar.parameters, bar.rules, i, j, held, bar.gas_usd) <= 0.0:
        venue.restore(saved)
        return None
    return i, j, deal
