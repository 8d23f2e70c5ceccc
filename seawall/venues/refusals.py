"""What an exchange refuses, and the words for it: rule, value, remedy."""

from math import isfinite

from seawall.venues.futures import FuturesAccount
from seawall.venues.orders import VenueOrder
from seawall.venues.perpetual import layout, positions
from seawall.venues.spot import Execution, find_limit_price, is_below_minimum, round_down

TOLERANCE = 1e-9


def find_fault(order: VenueOrder, price: float) -> str:
    """Return why an order that arrives while ``price`` is traded must be refused, or ``""``."""
    return _find_bad_number(order) or _find_bad_size(order, price) or _find_post_only(order, price)


def is_too_small(order: VenueOrder, price: float) -> bool:
    """Return whether an order is under one lot or the minimum notional."""
    rules = order.book.parameters.rules
    return is_below_minimum(order.quantity, price, rules.lot_size, rules.min_notional)


def is_beyond_holding(order: VenueOrder) -> bool:
    """Return whether an order sells more coin than is held, to a billionth."""
    if order.side > 0 or order.book.futures is not None:
        return False
    asked = round_down(order.quantity - order.filled, order.book.parameters.lot_size)
    return asked > order.book.held * (1 + TOLERANCE)


def explain_short(order: VenueOrder) -> str:
    """Return the refusal of a sell beyond what is held."""
    asked, held = order.quantity - order.filled, order.book.held
    return (
        f"spot does not short: it sells what is held, {held:.8g} {order.book.base}, asked are "
        f'{asked:.8g}: sell less, or run it with fills = "stock" if it is meant to short'
    )


def explain_minimum(order: VenueOrder, price: float) -> str:
    """Return the refusal of an order that is too small."""
    parameters = order.book.parameters
    return (
        f"an order must reach {parameters.lot_size:.8g} {order.book.base} and a notional of "
        f"{parameters.min_notional:.8g}, is {order.quantity:.8g} and "
        f"{order.quantity * price:.8g}: ask for more"
    )


def explain_no_cash(order: VenueOrder, cash: float, quote: str) -> str:
    """Return the refusal of an order that the cash cannot carry."""
    if order.side > 0:
        return (
            f"a buy needs cash for the venue's minimum and the fee, there is {cash:.8g} {quote}: "
            "sell first, or ask for less"
        )
    return f"a sell must pay its fee, proceeds and {cash:.8g} {quote} do not: sell more at once"


def explain_no_margin(order: VenueOrder, futures: FuturesAccount | None) -> str:
    """Return the refusal of an order that the margin or the brackets cannot carry."""
    return (
        f"margin is insufficient: {_explain_means(order, futures)}: transfer more, ask for less, "
        "or set another leverage"
    )


def explain_nothing_to_reduce(order: VenueOrder) -> str:
    """Return the refusal of an order that only reduces where there is nothing for it to reduce."""
    return (
        f"reduce_only needs a position of the other side, {order.book.symbol} has "
        f"{order.book.held:.8g}: send it once there is one, or without reduce_only"
    )


def explain_reduction(
    order: VenueOrder, wanted: float, execution: Execution, futures: FuturesAccount | None
) -> tuple[str, str]:
    """Return text and reason of an order that was made smaller to fit cash or margin."""
    why = "the cash, price and fee allow no more"
    if order.book.futures is not None:
        why = f"the margin allows no more: {_explain_means(order, futures)}"
    return f"from {wanted:.8g} to {execution.quantity:.8g}", why


def _explain_means(order: VenueOrder, futures: FuturesAccount | None) -> str:
    """Return what carries an order of a perpetual, in words."""
    if futures is None:
        return ""
    row = order.book.row
    leverage, table = float(futures.positions[row, layout.LEVERAGE]), futures.tables[row]
    mark = float(futures.marks[row])
    room = positions.find_room(futures.positions, row, order.side, mark, table)
    is_isolated = futures.positions[row, layout.IS_ISOLATED] > 0.0
    free = futures.withdrawable() if is_isolated else futures.available(futures.marks)
    return (
        f"{free:.8g} is available at {leverage:.6g}x, and the bracket of that leverage has room "
        f"for {room * mark:.8g} more"
    )


def _find_bad_number(order: VenueOrder) -> str:
    needs_stop = order.type in ("stop", "stop_limit")
    checks = (
        ("quantity", order.quantity, order.cash is None and order.target_weight is None),
        ("cash", order.cash or 0.0, order.cash is not None),
        ("limit price", order.limit_price, order.type in ("limit", "stop_limit")),
        ("stop price", order.stop_price, needs_stop),
        ("trail", order.trail_amount + order.trail_fraction, order.is_trailing),
    )
    for name, value, is_needed in checks:
        if is_needed and not (isfinite(value) and value > 0):
            return f"the {name} of an order must be a finite number > 0, is {value}: give one"
    if order.book.futures is None:
        return _find_spot_fault(order)
    if order.target_weight is not None and not isfinite(order.target_weight):
        return f"a target weight must be finite, is {order.target_weight}: answer 0.0 for none"
    return ""


def _find_spot_fault(order: VenueOrder) -> str:
    """Return what spot does not have: shorts, reduce-only orders, mark prices."""
    if order.reduce_only or order.on_mark:
        return (
            'reduce_only and trigger = "mark" are of perpetuals, '
            f"{order.book.symbol} is spot: leave them out"
        )
    weight = order.target_weight
    if weight is not None and not (isfinite(weight) and weight >= 0):
        return (
            f"spot does not short: a target weight must be >= 0, is {weight}: answer 0.0 for none"
        )
    return ""


def _find_bad_size(order: VenueOrder, price: float) -> str:
    if order.is_exit or order.cash is not None or order.target_weight is not None:
        return ""
    if order.reduce_only:  # the smallest order there is does not count for them
        has_none = not order.side * order.book.held < 0
        return explain_nothing_to_reduce(order) if has_none and not order.has_stop else ""
    for own in (order.limit_price, order.stop_price):
        price = own if own > 0 else price
    if is_too_small(order, price):
        return explain_minimum(order, price)
    return explain_short(order) if is_beyond_holding(order) else ""


def _find_post_only(order: VenueOrder, price: float) -> str:
    if not (order.post_only and order.type == "limit"):
        return ""
    _, is_taker = find_limit_price(
        order.side, order.limit_price, (price, price, price), False, False
    )
    if not is_taker:
        return ""
    return (
        f"a post-only order must not take, its limit {order.limit_price:.8g} is reached at "
        f"{price:.8g}: move the limit away from the market"
    )
