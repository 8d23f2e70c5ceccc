"""What a perpetual's market allows of an order, and how its filters are described.

Source: Binance USD-M futures, ``exchangeInfo``. Percent price refers to the mark.
"""

from seawall.sandbox.decimals import ONE, multiply_down, to_text
from seawall.sandbox.linear_refusals import (
    no_price,
    no_quantity,
    notional_too_small,
    off_tick,
    price_above_max,
    price_too_high,
    price_too_low,
    quantity_too_large,
    too_fine,
)
from seawall.sandbox.market import Market, Terms
from seawall.sandbox.orders import Order

MOST_STOPS = 100  # conditional orders of one account in a market
_BAND_DECIMALS = 4


def check_order(market: Market, order: Order) -> None:
    """Raise ApiError where a filter of the market forbids a plain order."""
    if order.price:
        check_price(market, order.price)
        _check_band(market, order)
    check_quantity(market.terms, order.quantity)
    if not order.is_reduce_only:
        worth = multiply_down(order.price or market.price, order.quantity)
        if worth < market.terms.min_notional:
            raise notional_too_small(market.terms.min_notional)


def check_price(market: Market, price: int) -> None:
    """Raise ApiError where a price is not on the market's grid."""
    terms = market.terms
    if price <= 0:
        raise no_price()
    if price > terms.max_price:
        raise price_above_max()
    if price % 10 ** (8 - decimals_of(terms.tick)):
        raise too_fine()
    if price % terms.tick:
        raise off_tick()


def check_quantity(terms: Terms, quantity: int) -> None:
    """Raise ApiError where a quantity is not on the market's grid."""
    if quantity <= 0:
        raise no_quantity()
    if quantity % terms.lot:
        raise too_fine()
    if quantity > terms.max_quantity:
        raise quantity_too_large()


def decimals_of(step: int) -> int:
    """Return how many decimals the multiples of a step of 1e-8 units have."""
    n = 8
    while n > 0 and step % 10 ** (9 - n) == 0:
        n -= 1
    return n


def describe(terms: Terms) -> list[dict[str, object]]:
    """Return the filters as ``exchangeInfo`` lists them."""
    lots = {"minQty": to_text(terms.lot), "maxQty": to_text(terms.max_quantity)}
    step = to_text(terms.lot)
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": to_text(terms.tick),
            "maxPrice": to_text(terms.max_price),
            "tickSize": to_text(terms.tick),
        },
        {"filterType": "LOT_SIZE", **lots, "stepSize": step},
        {"filterType": "MARKET_LOT_SIZE", **lots, "stepSize": step},
        {"filterType": "MAX_NUM_ORDERS", "limit": terms.max_orders},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": MOST_STOPS},
        {"filterType": "MIN_NOTIONAL", "notional": to_text(terms.min_notional)},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": f"{terms.price_band:.4f}",
            "multiplierDown": f"{1 / terms.price_band:.4f}",
            "multiplierDecimal": str(_BAND_DECIMALS),
        },
    ]


def _check_band(market: Market, order: Order) -> None:
    """Refuse a bid far above the mark, and an ask far below it."""
    band, mark, tick = market.terms.price_band, market.mark_price, market.terms.tick
    if order.is_buy and order.price > mark * band:
        raise price_too_high(mark * band // tick * tick)
    if not order.is_buy and order.price * band < mark:
        raise price_too_low(-(-mark // band // tick) * tick)


def worth(price: int, quantity: int) -> float:
    """Return price times quantity in plain units."""
    return price / ONE * (quantity / ONE)
