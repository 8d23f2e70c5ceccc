"""The world moves and the liquidators act, bar by bar, as one kernel; the agent has no say in it.

One bar, after what was sent has been carried out at its open:

1. Interest of the bar accrues.
2. The oracle follows the bar's path: from the price that stood, step by step of its deviation
   threshold, to the extreme against the account (``worst``; ``best`` has none), then to what stands
   at the close. At the first step at which the health factor is below 1 liquidators act, again and
   again while the rules allow it and it pays after gas and the sale of what they get.
3. At the close the account is marked at market prices.

One call lives through as many bars as nobody listens to: it stops after a bar in which something
happened that the sleeper waits for.
"""

import numpy as np

from seawall.kernel import kernel
from seawall.market.series import FloatArray
from seawall.venues import oracle, swap
from seawall.venues.lending import kernels, layout
from seawall.venues.lending.layout import (
    ACCRUED,
    BAD_DEBT,
    BORROW_INTEREST,
    BORROW_RATE,
    CLOSE,
    COLLATERAL,
    DEBT,
    EARNED,
    FEED,
    FEED_CLOSE_HIGH,
    FEED_CLOSE_LOW,
    FEED_HIGH,
    FEED_LOW,
    FIRST_COLLATERAL,
    FIRST_DEBT,
    LIQUIDATION_BONUS,
    LIQUIDATION_FEE,
    MARK,
    MARKET,
    N_BLOCKS,
    N_FEEDS,
    N_RULES,
    N_STATE,
    N_TRACE,
    N_WORLD,
    RATIO,
    SUPPLY_INTEREST,
    SUPPLY_RATE,
    THRESHOLD,
    WALLET,
)

MOST_ROUNDS = 64  # liquidations at one oracle price
_GWEI = 1e-9


@kernel
def block(state: FloatArray, place: int, n: int) -> FloatArray:
    """Return one block of a state, as a view."""
    start = N_STATE + place * n
    return state[start : start + n]


@kernel
def parts_of(state: FloatArray, n: int) -> FloatArray:
    """Return the parts of the equity change, as a view."""
    return state[N_STATE + N_BLOCKS * n :]


@kernel
def of_world(row: FloatArray, place: int, n: int) -> FloatArray:
    """Return one block of n of a row of the world, as a view."""
    start = N_WORLD + place * n
    return row[start : start + n]


@kernel
def feeds_of_world(row: FloatArray, place: int, n: int, n_feeds: int) -> FloatArray:
    """Return one block of f of a row of the world, as a view."""
    start = N_WORLD + 5 * n + place * n_feeds
    return row[start : start + n_feeds]


@kernel
def revalue(state: FloatArray, prices: FloatArray, n: int) -> None:
    """Mark everything owned and owed at new prices; the difference is the market's part."""
    collateral, debt = block(state, COLLATERAL, n), block(state, DEBT, n)
    wallet, mark = block(state, WALLET, n), block(state, MARK, n)
    gained = 0.0
    for k in range(n):
        gained += (collateral[k] - debt[k] + wallet[k]) * (prices[k] - mark[k])
        mark[k] = prices[k]
    parts_of(state, n)[MARKET] += gained


@kernel
def accrue(
    state: FloatArray, row: FloatArray, parameters: FloatArray, rules: FloatArray, n: int
) -> None:
    """Let one bar's interest grow collateral and debt."""
    seconds, protocol = row[layout.SECONDS], rules[layout.PROTOCOL]
    supply, borrow = of_world(row, SUPPLY_RATE, n), of_world(row, BORROW_RATE, n)
    collateral, debt = block(state, COLLATERAL, n), block(state, DEBT, n)
    for k in range(n):
        earned, paid = kernels.rates_of(parameters[k], collateral[k], debt[k], supply[k], borrow[k])
        gain = collateral[k] * (kernels.grow_linear(earned, seconds) - 1.0)
        cost = debt[k] * (kernels.grow_debt(protocol, paid, seconds) - 1.0)
        add_interest(state, k, gain, cost, n)


@kernel
def add_interest(state: FloatArray, k: int, gain: float, cost: float, n: int) -> None:
    """Add interest of one asset, tokens, to collateral and debt, and book it."""
    mark, parts = block(state, MARK, n)[k], parts_of(state, n)
    block(state, COLLATERAL, n)[k] += gain
    block(state, DEBT, n)[k] += cost
    block(state, EARNED, n)[k] += gain
    block(state, ACCRUED, n)[k] += cost
    parts[SUPPLY_INTEREST] += gain * mark
    parts[BORROW_INTEREST] -= cost * mark


@kernel
def accrue_untouched(
    state: FloatArray, row: FloatArray, parameters: FloatArray, rules: FloatArray, n: int
) -> None:
    """Let one bar's interest grow collateral and debt of the loan as it was first taken."""
    seconds, protocol = row[layout.SECONDS], rules[layout.PROTOCOL]
    supply, borrow = of_world(row, SUPPLY_RATE, n), of_world(row, BORROW_RATE, n)
    first, owed = block(state, FIRST_COLLATERAL, n), block(state, FIRST_DEBT, n)
    for k in range(n):
        earned, paid = kernels.rates_of(parameters[k], first[k], owed[k], supply[k], borrow[k])
        first[k] *= kernels.grow_linear(earned, seconds)
        owed[k] *= kernels.grow_debt(protocol, paid, seconds)


@kernel
def choose_feeds(
    collateral: FloatArray,
    debt: FloatArray,
    ratio: FloatArray,
    parameters: FloatArray,
    low: FloatArray,
    high: FloatArray,
    out: FloatArray,
) -> None:
    """Fill ``out`` with the side of each feed that is worse for the account's health."""
    for f in range(len(out)):
        lean = 0.0
        for k in range(len(collateral)):
            if int(parameters[k, FEED]) == f:
                lean += (collateral[k] * parameters[k, THRESHOLD] - debt[k]) * ratio[k]
        out[f] = low[f] if lean >= 0.0 else high[f]


@kernel
def to_prices(
    feeds: FloatArray, ratio: FloatArray, parameters: FloatArray, out: FloatArray
) -> None:
    """Fill ``out`` with the oracle's price of each asset: its feed times its ratio."""
    for k in range(len(out)):
        out[k] = feeds[int(parameters[k, FEED])] * ratio[k]


@kernel
def standing_prices(
    state: FloatArray, row: FloatArray, parameters: FloatArray, n: int, n_feeds: int
) -> FloatArray:
    """Return the oracle's prices at the close of a row, on the side worse for the account."""
    feeds, prices = np.empty(n_feeds), np.empty(n)
    choose_feeds(
        block(state, COLLATERAL, n), block(state, DEBT, n), of_world(row, RATIO, n), parameters,
        feeds_of_world(row, FEED_CLOSE_LOW, n, n_feeds),
        feeds_of_world(row, FEED_CLOSE_HIGH, n, n_feeds), feeds,
    )  # fmt: skip
    to_prices(feeds, of_world(row, RATIO, n), parameters, prices)
    return prices


@kernel
def earn(
    deal: tuple[float, float, float, float],
    prices: FloatArray,
    parameters: FloatArray,
    rules: FloatArray,
    i: int,
    j: int,
    held_usd: float,
    gas_usd: float,
) -> float:
    """Return what a liquidator earns by a deal ``(repaid, seized, fee, bad debt)``, USD."""
    if rules[layout.PROTOCOL] == layout.COMET:
        # What the storefront sells below the oracle's price is the absorber's reward.
        discount = rules[layout.STOREFRONT] * (1.0 - parameters[i, layout.LIQUIDATION_FACTOR])
        return swap.liquidation_profit(
            held_usd * (1.0 - discount), held_usd, 0.0, gas_usd,
            rules[layout.DEPTH_USD], rules[layout.SWAP_FEE],
        )  # fmt: skip
    repaid, seized, fee, _ = deal
    return swap.liquidation_profit(
        repaid * prices[j], seized * prices[i], fee * prices[i], gas_usd,
        rules[layout.DEPTH_USD], rules[layout.SWAP_FEE],
    )  # fmt: skip


@kernel
def book_liquidation(
    state: FloatArray,
    event: FloatArray,
    prices: FloatArray,
    rules: FloatArray,
    i: int,
    j: int,
    deal: tuple[float, float, float, float],
    owed_before: float,
    held_before: float,
    n: int,
) -> None:
    """Book a deal that has been settled: its parts of the equity change, and its event.

    ``owed_before`` and ``held_before`` are debt and collateral before it, USD.
    """
    repaid, seized, fee, bad = deal
    parts = parts_of(state, n)
    held = kernels.weigh(block(state, COLLATERAL, n), prices)
    owed = kernels.weigh(block(state, DEBT, n), prices)
    lost = (held_before - held) - (owed_before - owed)
    is_absorbed = rules[layout.PROTOCOL] == layout.COMET
    fee_usd = 0.0 if is_absorbed else fee * prices[i]
    parts[LIQUIDATION_BONUS] -= lost + bad - fee_usd
    parts[LIQUIDATION_FEE] -= fee_usd
    parts[BAD_DEBT] += bad
    state[layout.N_LIQUIDATIONS] += 1
    event[layout.COLLATERAL_ASSET], event[layout.DEBT_ASSET] = i, j
    event[layout.REPAID] = owed_before / prices[j] if is_absorbed else repaid
    event[layout.SEIZED] = held_before / prices[i] if is_absorbed else seized
    event[layout.REPAID_USD] = owed_before - bad if is_absorbed else repaid * prices[j]
    event[layout.SEIZED_USD] = held_before if is_absorbed else seized * prices[i]
    event[layout.BONUS_USD] = lost + bad - fee_usd
    event[layout.FEE_USD], event[layout.BAD_DEBT_USD] = fee_usd, bad
    event[layout.AT_PRICE] = prices[i]


@kernel
def _liquidate_all(
    state: FloatArray,
    prices: FloatArray,
    parameters: FloatArray,
    rules: FloatArray,
    events: FloatArray,
    n_events: int,
    bar: int,
    gas_usd: float,
    n: int,
) -> int:
    """Let liquidators act at one oracle price while it pays; return the number of events."""
    collateral, debt = block(state, COLLATERAL, n), block(state, DEBT, n)
    for _ in range(MOST_ROUNDS):
        before = kernels.health_of(collateral, debt, prices, parameters)
        if not before < 1.0 or n_events >= len(events):
            break
        i, j, wanted = kernels.find_best(collateral, debt, prices, parameters, rules)
        if wanted <= 0.0:
            break
        deal = kernels.liquidate(collateral, debt, prices, parameters, rules, i, j, wanted)
        owed, held = kernels.weigh(debt, prices), kernels.weigh(collateral, prices)
        if earn(deal, prices, parameters, rules, i, j, held, gas_usd) <= 0.0:
            break
        revalue(state, prices, n)
        repaid, seized, _, bad = deal
        kernels.settle(collateral, debt, prices, parameters, rules, i, j, repaid, seized, bad)
        event = events[n_events]
        book_liquidation(state, event, prices, rules, i, j, deal, owed, held, n)
        event[layout.AT_BAR], event[layout.LIQUIDATOR_GAS_USD] = bar, gas_usd
        event[layout.HEALTH_BEFORE] = before
        event[layout.HEALTH_AFTER] = kernels.health_of(collateral, debt, prices, parameters)
        n_events += 1
    return n_events


@kernel
def _walk(
    state: FloatArray,
    last: FloatArray,
    target: FloatArray,
    ratio: FloatArray,
    parameters: FloatArray,
    rules: FloatArray,
    events: FloatArray,
    n_events: int,
    bar: int,
    gas_usd: float,
    n: int,
) -> int:
    """Let the oracle go from ``last`` to ``target``; liquidators act as soon as they may."""
    collateral, debt = block(state, COLLATERAL, n), block(state, DEBT, n)
    prices, feeds = np.empty(n), np.empty(len(last))
    to_prices(target, ratio, parameters, prices)
    health = kernels.health_of(collateral, debt, prices, parameters)
    if not health < 1.0:
        state[layout.MIN_HEALTH] = min(state[layout.MIN_HEALTH], health)
        return n_events
    steps = oracle.count_steps(last, target, rules[N_RULES:])
    for step in range(1, steps + 1):
        oracle.price_at_step(last, target, step, steps, feeds)
        to_prices(feeds, ratio, parameters, prices)
        health = kernels.health_of(collateral, debt, prices, parameters)
        state[layout.MIN_HEALTH] = min(state[layout.MIN_HEALTH], health)
        n_events = _liquidate_all(
            state, prices, parameters, rules, events, n_events, bar, gas_usd, n
        )
    return n_events


@kernel
def _live_one(
    state: FloatArray,
    parameters: FloatArray,
    rules: FloatArray,
    before: FloatArray,
    row: FloatArray,
    events: FloatArray,
    n_events: int,
    bar: int,
) -> int:
    """Live through one bar, from the row ``before`` to its own ``row``; return the events."""
    n, n_feeds = len(parameters), int(rules[N_FEEDS])
    collateral, debt = block(state, COLLATERAL, n), block(state, DEBT, n)
    first, owed = block(state, FIRST_COLLATERAL, n), block(state, FIRST_DEBT, n)
    ratio = of_world(row, RATIO, n)
    last, target, prices = np.empty(n_feeds), np.empty(n_feeds), np.empty(n)
    revalue(state, of_world(row, layout.OPEN, n), n)
    accrue(state, row, parameters, rules, n)
    accrue_untouched(state, row, parameters, rules, n)
    low = feeds_of_world(row, FEED_LOW, n, n_feeds)
    high = feeds_of_world(row, FEED_HIGH, n, n_feeds)
    choose_feeds(first, owed, ratio, parameters, low, high, target)
    to_prices(target, ratio, parameters, prices)
    state[layout.UNTOUCHED_HEALTH] = kernels.health_of(first, owed, prices, parameters)
    choose_feeds(
        collateral, debt, of_world(before, RATIO, n), parameters,
        feeds_of_world(before, FEED_CLOSE_LOW, n, n_feeds),
        feeds_of_world(before, FEED_CLOSE_HIGH, n, n_feeds), last,
    )  # fmt: skip
    state[layout.MIN_HEALTH] = np.inf
    gas_usd = (
        rules[layout.LIQUIDATION_GAS] * row[layout.GAS_PRICE] * _GWEI * row[layout.NATIVE_OPEN]
    )
    if row[layout.IS_DARK] == 0.0:
        choose_feeds(collateral, debt, ratio, parameters, low, high, target)
        if row[layout.IS_JUMP] > 0.0:
            last[:] = target  # silent before: no report in between
        n_events = _walk(
            state, last, target, ratio, parameters, rules, events, n_events, bar, gas_usd, n
        )
        last[:] = target
    choose_feeds(
        collateral, debt, ratio, parameters,
        feeds_of_world(row, FEED_CLOSE_LOW, n, n_feeds),
        feeds_of_world(row, FEED_CLOSE_HIGH, n, n_feeds), target,
    )  # fmt: skip
    if row[layout.IS_DARK] == 0.0:
        n_events = _walk(
            state, last, target, ratio, parameters, rules, events, n_events, bar, gas_usd, n
        )
    to_prices(target, ratio, parameters, prices)
    state[layout.HEALTH] = kernels.health_of(collateral, debt, prices, parameters)
    state[layout.MIN_HEALTH] = min(state[layout.MIN_HEALTH], state[layout.HEALTH])
    revalue(state, of_world(row, CLOSE, n), n)
    return n_events


@kernel
def show(
    state: FloatArray, parameters: FloatArray, row: FloatArray, shown: FloatArray, n_feeds: int
) -> None:
    """Write one row of the trace: what the account is at the close of ``row``."""
    n = len(parameters)
    collateral, debt = block(state, COLLATERAL, n), block(state, DEBT, n)
    wallet, close = block(state, WALLET, n), of_world(row, CLOSE, n)
    prices = standing_prices(state, row, parameters, n, n_feeds)
    shown[layout.SHOWN_HEALTH] = state[layout.HEALTH]
    shown[layout.SHOWN_MIN_HEALTH] = state[layout.MIN_HEALTH]
    shown[layout.SHOWN_UNTOUCHED] = state[layout.UNTOUCHED_HEALTH]
    shown[layout.SHOWN_COLLATERAL_USD] = kernels.weigh(collateral, prices)
    shown[layout.SHOWN_DEBT_USD] = kernels.weigh(debt, prices)
    shown[layout.SHOWN_WALLET_USD] = kernels.weigh(wallet, close)
    net = kernels.weigh(collateral, close) - kernels.weigh(debt, close)
    shown[layout.SHOWN_EQUITY] = net + shown[layout.SHOWN_WALLET_USD]
    shown[layout.SHOWN_GAS] = row[layout.GAS_KNOWN]
    shown[layout.SHOWN_LIQUIDATIONS] = state[layout.N_LIQUIDATIONS]
    shown[layout.SHOWN_SPENT] = state[layout.SPENT]
    feeds = feeds_of_world(row, FEED_LOW, n, n_feeds)
    shown[layout.SHOWN_LOW] = np.nan
    for k in range(n):
        if collateral[k] > 0.0 and np.isnan(shown[layout.SHOWN_LOW]):
            shown[layout.SHOWN_LOW] = feeds[int(parameters[k, FEED])] * of_world(row, RATIO, n)[k]
    shown[layout.SHOWN_LIMIT_USD] = kernels.limit_by(
        collateral, prices, parameters, THRESHOLD, parameters[0, layout.HEALTH_IN_BPS]
    )
    shown[layout.SHOWN_BORROWABLE_USD] = kernels.borrowable_of(collateral, prices, parameters)
    supply, borrow = of_world(row, SUPPLY_RATE, n), of_world(row, BORROW_RATE, n)
    for k in range(n):
        earned, paid = kernels.rates_of(parameters[k], collateral[k], debt[k], supply[k], borrow[k])
        shown[N_TRACE + layout.T_COLLATERAL * n + k] = collateral[k]
        shown[N_TRACE + layout.T_DEBT * n + k] = debt[k]
        shown[N_TRACE + layout.T_WALLET * n + k] = wallet[k]
        shown[N_TRACE + layout.T_ORACLE * n + k] = prices[k]
        shown[N_TRACE + layout.T_PRICE * n + k] = close[k]
        shown[N_TRACE + layout.T_SUPPLY_RATE * n + k] = earned
        shown[N_TRACE + layout.T_BORROW_RATE * n + k] = paid


@kernel
def live_through(
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
    """Live through bars ``start`` to ``stop`` (not included).

    Returns ``(next bar, number of events, whether the last bar woke the sleeper)``.

    Bar ``t`` is row ``t + 1`` of ``world`` and ``trace``. It ends early after a bar whose health is
    beyond a level of ``wake``, or in which something was liquidated: the first of ``events``.
    """
    n_feeds = int(rules[N_FEEDS])
    n_events = 0
    for bar in range(start, stop):
        row = world[bar + 1]
        n_events = _live_one(state, parameters, rules, world[bar], row, events, n_events, bar)
        show(state, parameters, row, trace[bar + 1], n_feeds)
        health = state[layout.HEALTH]
        is_woken = health < wake[layout.HEALTH_BELOW] or health > wake[layout.HEALTH_ABOVE]
        if n_events > 0:
            return bar + 1, n_events, is_woken or wake[layout.AT_EVENT] > 0.0
        if is_woken:
            return bar + 1, n_events, True
    return stop, n_events, False
