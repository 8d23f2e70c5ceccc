"""The physics of a spot exchange: at which price, how much and at which fee an order fills.

Kernels of numbers only; both engines call them, so that they cannot differ. Prices are quote units
per base unit, quantities base units and > 0, ``side`` is +1.0 for a buy and -1.0 for a sell.
A volume of nan is unknown: no cap and no slippage by size. A bar with volume 0 fills nothing: the
caller does not ask.

Source: the project's fill conventions (README, "How an order is filled").
Left out: queue position, the book's own depth, and rounding of an average fill price to the tick
(an order that takes from several levels fills between ticks; limits and stops are on the tick).
"""

from math import inf, nan
from typing import NamedTuple

import numpy as np

from seawall.kernel import kernel

BUY, SELL = 1.0, -1.0


class Rules(NamedTuple):
    """What the kernels need to know of a venue; fractions, not basis points.

    Attributes:
        maker_fee, taker_fee: of notional.
        half_spread: paid by whoever takes.
        impact: slippage, as a fraction, of an order as large as the bar's volume.
        fixed_fee_base: base units per fill, charged in quote at the fill price.
        lot_size, min_notional: base and quote units; 0.0 is none.
        allows_fee_debt: fees may take the cash below zero.
    """

    maker_fee: float
    taker_fee: float
    half_spread: float
    impact: float
    fixed_fee_base: float
    lot_size: float
    min_notional: float
    allows_fee_debt: bool


class Offer(NamedTuple):
    """What the market offers to one order at one moment.

    Attributes:
        price: before spread and slippage.
        limit: the worst price that the order accepts; inf for a buy and 0.0 for a sell without one.
        volume: of the bar, base units; nan: unknown.
        capacity: base units that may still fill in this bar; inf: no cap.
        is_taker: pays spread, slippage and the taker fee; else the price is the order's own.
    """

    price: float
    limit: float
    volume: float
    capacity: float
    is_taker: bool


class Wallet(NamedTuple):
    """Quote units of cash and base units held."""

    cash: float
    held: float


class Execution(NamedTuple):
    """What fills: base units >= 0.0, the average price, quote units of fee and of slippage."""

    quantity: float
    price: float
    fee: float
    slippage: float


NO_EXECUTION = Execution(0.0, nan, 0.0, 0.0)


@kernel
def find_limit_price(
    side: float,
    limit: float,
    bar: tuple[float, float, float],
    has_rested: bool,  # noqa: FBT001 - a kernel takes no keywords
    is_touch: bool,  # noqa: FBT001
) -> tuple[float, bool]:
    """Return ``(price, is_taker)`` of a limit order in a bar; the price is nan where it rests.

    ``bar`` is (open, low, high). An order that arrives marketable takes at the open. One that has
    rested gets its own price, also where the bar opens beyond it: a resting bid is paid no better.
    By default the bar has to trade beyond the limit; ``is_touch``: to reach it.
    """
    open_, low, high = bar
    if not has_rested and side * (limit - open_) >= 0.0:
        return open_, True
    beyond = limit - low if side > 0.0 else high - limit
    if beyond > 0.0 or (is_touch and beyond == 0.0):
        return limit, False
    return nan, False


@kernel
def find_stop_price(side: float, stop: float, bar: tuple[float, float, float]) -> float:
    """Return the price before slippage of a triggered stop, nan where the bar does not reach it.

    ``bar`` is (open, low, high). A touch triggers; the price is the worse of stop and open.
    """
    open_, low, high = bar
    if side > 0.0:
        return max(stop, open_) if high >= stop else nan
    return min(stop, open_) if low <= stop else nan


@kernel
def find_trail_stop(side: float, extreme: float, amount: float, fraction: float) -> float:
    """Return the trigger that trails ``extreme``, the best completed high (sell) or low (buy)."""
    return extreme + side * (amount + fraction * extreme)


@kernel
def round_down(quantity: float, step: float) -> float:
    """Return the largest multiple of ``step`` <= quantity, to a billionth of a step; 0: itself."""
    if step <= 0.0:
        return quantity
    n = quantity / step
    return float(np.floor(n + 1e-9 + 4e-16 * n) * step)


@kernel
def round_price(side: float, price: float, tick: float) -> float:
    """Return a limit on the tick, never better for its owner's chances: buys down, sells up."""
    if tick <= 0.0:
        return price
    n = price / tick
    return float((np.floor(n + 1e-9) if side > 0.0 else np.ceil(n - 1e-9)) * tick)


@kernel
def find_taker_price(side: float, quantity: float, offer: Offer, rules: Rules) -> float:
    """Return what a taker pays or gets on average, never beyond its limit.

    price = open * (1 + side * (half_spread + impact * sqrt(quantity / volume))), >= 0.
    """
    if not offer.is_taker:
        return offer.price
    share = quantity / offer.volume if offer.volume > 0.0 else 0.0
    price = offer.price * (1.0 + side * (rules.half_spread + rules.impact * np.sqrt(share)))
    return float(min(price, offer.limit) if side > 0.0 else max(price, offer.limit, 0.0))


@kernel
def compute_fee(
    quantity: float,
    price: float,
    is_taker: bool,  # noqa: FBT001 - a kernel takes no keywords
    rules: Rules,
) -> float:
    """Return the fee of one fill in quote units."""
    rate = rules.taker_fee if is_taker else rules.maker_fee
    return quantity * price * rate + rules.fixed_fee_base * price


@kernel
def compute_cost(quantity: float, offer: Offer, rules: Rules) -> float:
    """Return the cash that a buy of ``quantity`` needs: with its fee, unless that may be owed."""
    price = find_taker_price(1.0, quantity, offer, rules)
    if rules.allows_fee_debt:
        return quantity * price
    return quantity * price + compute_fee(quantity, price, offer.is_taker, rules)


@kernel
def find_affordable(cash: float, offer: Offer, rules: Rules) -> float:
    """Return the largest quantity, on the lot, that ``cash`` buys: its cost is within ``cash``.

    Slippage grows with the quantity: solved as a fixed point, which contracts by more than half.
    """
    if not cash > 0.0:
        return 0.0
    rate = rules.taker_fee if offer.is_taker else rules.maker_fee
    rate, fixed = (0.0, 0.0) if rules.allows_fee_debt else (rate, rules.fixed_fee_base)
    quantity = 0.0
    for _ in range(100):
        price = find_taker_price(1.0, quantity, offer, rules)
        better = max(cash / price - fixed, 0.0) / (1.0 + rate)
        is_settled = abs(better - quantity) <= 1e-15 * better
        quantity = better
        if is_settled:
            break
    quantity = round_down(quantity, rules.lot_size)
    # At least one unit in the last place: a lot may be smaller than what floats can tell apart.
    shrink = max(rules.lot_size, 2.5e-16 * quantity, 5e-324)
    while quantity > 0.0 and compute_cost(quantity, offer, rules) > cash:
        quantity = max(quantity - shrink, 0.0)
    return 0.0 if quantity < 0.5 * rules.lot_size else quantity


@kernel
def find_quantity_for_cash(side: float, cash: float, offer: Offer, rules: Rules) -> float:
    """Return the quantity whose notional, without the fee, is ``cash``; not yet on the lot.

    What exceeds the bar's capacity is priced as the part that fills in this bar.
    """
    quantity = 0.0
    for _ in range(100):
        price = find_taker_price(side, min(quantity, offer.capacity), offer, rules)
        better = cash / price
        is_settled = abs(better - quantity) <= 1e-15 * better
        quantity = better
        if is_settled:
            break
    return quantity


@kernel
def find_quantity_for_weight(weight: float, equity: float, price: float, held: float) -> float:
    """Return the signed quantity from ``held`` to ``weight`` of the equity at ``price``."""
    if weight == 0.0:
        return -held
    return weight * equity / price - held


@kernel
def is_below_minimum(quantity: float, price: float, lot_size: float, min_notional: float) -> bool:
    """Return whether an order is too small for the venue: under one lot or the minimum notional."""
    on_lot = round_down(quantity, lot_size)
    return not on_lot > 0.0 or on_lot * price < min_notional


@kernel
def execute(side: float, wanted: float, offer: Offer, wallet: Wallet, rules: Rules) -> Execution:
    """Return what fills now of ``wanted``: limited by capacity, cash or coin, and on the lot.

    A sell of all but a billionth of what is held sells all of it. A sell whose fee the cash cannot
    carry fills nothing.
    """
    quantity = min(wanted, offer.capacity)
    if side < 0.0 and quantity >= wallet.held * (1.0 - 1e-9):
        quantity = wallet.held
        on_lot = round_down(quantity, rules.lot_size)
        if abs(on_lot - quantity) > 1e-9 * rules.lot_size:
            quantity = min(on_lot, quantity)  # dust below one lot cannot be sold
    else:
        quantity = round_down(quantity, rules.lot_size)
    if side > 0.0 and compute_cost(quantity, offer, rules) > wallet.cash:
        quantity = find_affordable(wallet.cash, offer, rules)
    if not quantity > 0.0:
        return Execution(0.0, np.nan, 0.0, 0.0)
    price = find_taker_price(side, quantity, offer, rules)
    fee = compute_fee(quantity, price, offer.is_taker, rules)
    is_debt = side < 0.0 and wallet.cash + (quantity * price - fee) < 0.0
    if is_debt and not rules.allows_fee_debt:
        return Execution(0.0, np.nan, 0.0, 0.0)
    slippage = quantity * abs(price - offer.price)
    return Execution(quantity, price, fee, slippage)


@kernel
def attempt(
    order: tuple[float, float, bool], offer: Offer, wallet: Wallet, rules: Rules
) -> tuple[Execution, bool, bool]:
    """Return ``(execution, is_short_of_cash, is_over)`` of one order at one offer.

    ``order`` is (side, wanted, is_first): is_first where nothing of it has filled yet, so that what
    the cash leaves of it still has to reach the venue's minimum. ``is_over``: nothing is left to
    wait for, because it is filled or the cash is spent.
    """
    side, wanted, is_first = order
    execution = execute(side, wanted, offer, wallet, rules)
    possible = round_down(min(wanted, offer.capacity), rules.lot_size)
    if side > 0.0:
        is_short = execution.quantity < possible * (1.0 - 1e-12)
    else:
        is_short = execution.quantity == 0.0 and possible > 0.0
    found, price, lot_size = execution.quantity, execution.price, rules.lot_size
    if is_short and is_first and is_below_minimum(found, price, lot_size, rules.min_notional):
        execution = Execution(0.0, np.nan, 0.0, 0.0)
    left = wanted - execution.quantity
    is_filled = not round_down(left, rules.lot_size) > 0.0 or left <= 1e-9 * wanted
    return execution, is_short, is_short or is_filled


@kernel
def settle(side: float, cash: float, notional: float, fee: float) -> float:
    """Return the cash after a fill; every engine adds in this order, so that all get the same."""
    if side > 0.0:
        return cash - (notional + fee)
    return cash + (notional - fee)


@kernel
def compute_capacity(volume: float, cap: float) -> float:
    """Return the base units that may fill in a bar of ``volume``; inf where it is unknown."""
    if volume >= 0.0 and cap < inf:
        return volume * cap
    return inf
