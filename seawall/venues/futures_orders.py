"""What an order of a perpetual fills, given what margin and brackets carry of it."""

from seawall.fill import Fill
from seawall.venues.orders import MarginAccount, VenueOrder
from seawall.venues.spot import (
    NO_EXECUTION,
    Execution,
    Offer,
    compute_fee,
    find_taker_price,
    is_below_minimum,
    round_down,
)


def execute(
    order: VenueOrder, wanted: float, offer: Offer, quantity: float
) -> tuple[Execution, bool, bool]:
    """Return ``(execution, is_short_of_margin, is_over)``, as ``spot.attempt`` does for cash.

    Args:
        order: what fills.
        wanted: base units that may still fill of it; of what only reduces, up to the position.
        offer: what the market offers.
        quantity: base units that margin, brackets, position and the bar's volume allow.
    """
    rules = order.book.parameters.rules
    possible = round_down(min(wanted, offer.capacity), rules.lot_size)
    is_short = quantity < possible * (1.0 - 1e-12)
    price = find_taker_price(order.side, quantity, offer, rules)
    if is_short and order.filled == 0.0:  # what is left of it has to reach the minimum
        lot_size, minimum = rules.lot_size, rules.min_notional
        quantity = 0.0 if is_below_minimum(quantity, price, lot_size, minimum) else quantity
    left = wanted - quantity
    is_filled = not round_down(left, rules.lot_size) > 0.0 or left <= 1e-9 * wanted
    execution = NO_EXECUTION
    if quantity > 0.0:
        fee = compute_fee(quantity, price, offer.is_taker, rules)
        execution = Execution(quantity, price, fee, quantity * abs(price - offer.price))
    return execution, is_short, is_short or is_filled


def book_and_keep(
    futures: MarginAccount, order: VenueOrder, fill: Fill, execution: Execution
) -> float:
    """Book a fill; let what it sets free back the rest of an isolated position; return how much.

    Margin comes back with what is closed, so that reducing alone leaves the leverage as it was; put
    in again, less fee and loss, the liquidation moves away. That is one more request to a real
    exchange, right after the fill.
    """
    book, before = order.book, futures.free_wallet
    futures.book_fill(book, fill, execution, 0)
    freed = futures.free_wallet - before
    return futures.add_margin(book.row, freed) if freed > 0.0 else 0.0
