"""What a market allows of an order: Binance's filters, checked and described.

Source: Binance spot, ``exchangeInfo`` and its filters. The average price that percent price and
notional refer to is here the last price.
"""

from seawall.sandbox.decimals import multiply_down, to_text
from seawall.sandbox.market import Market, Terms
from seawall.sandbox.orders import STOP_TYPES, Order
from seawall.sandbox.refusals import filter_failure


def check_order(market: Market, order: Order) -> None:
    """Raise ApiError where a filter of the market forbids the order."""
    terms = market.terms
    for price in (order.price, order.stop_price):
        if price:
            _check_price(terms, price)
    if order.price:
        _check_band(market, order.price)
    if order.quantity:
        _check_quantity(terms, order.quantity)
    _check_notional(market, order)


def check_count(market: Market, order: Order, opened: list[Order]) -> None:
    """Raise ApiError where the account has too many open orders in the market."""
    if len(opened) >= market.terms.max_orders:
        raise filter_failure("MAX_NUM_ORDERS")
    if order.type in STOP_TYPES:
        waiting = sum(1 for one in opened if one.type in STOP_TYPES and not one.is_working)
        if waiting >= market.terms.max_stops:
            raise filter_failure("MAX_NUM_ALGO_ORDERS")


def describe(terms: Terms) -> list[dict[str, object]]:
    """Return the filters as ``exchangeInfo`` lists them."""
    lots = {"minQty": to_text(terms.lot), "maxQty": to_text(terms.max_quantity)}
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": to_text(terms.tick),
            "maxPrice": to_text(terms.max_price),
            "tickSize": to_text(terms.tick),
        },
        {"filterType": "LOT_SIZE", **lots, "stepSize": to_text(terms.lot)},
        {"filterType": "MARKET_LOT_SIZE", **lots, "stepSize": to_text(terms.lot)},
        _describe_band(terms.price_band),
        {
            "filterType": "NOTIONAL",
            "minNotional": to_text(terms.min_notional),
            "applyMinToMarket": True,
            "maxNotional": to_text(terms.max_notional),
            "applyMaxToMarket": False,
            "avgPriceMins": 0,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": terms.max_orders},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": terms.max_stops},
    ]


def _describe_band(band: int) -> dict[str, object]:
    return {
        "filterType": "PERCENT_PRICE_BY_SIDE",
        "bidMultiplierUp": str(band),
        "bidMultiplierDown": str(1 / band),
        "askMultiplierUp": str(band),
        "askMultiplierDown": str(1 / band),
        "avgPriceMins": 0,
    }


def _check_price(terms: Terms, price: int) -> None:
    if price % terms.tick or not terms.tick <= price <= terms.max_price:
        raise filter_failure("PRICE_FILTER")


def _check_band(market: Market, price: int) -> None:
    band = market.terms.price_band
    if market.price > price * band or price > market.price * band:
        raise filter_failure("PERCENT_PRICE_BY_SIDE")


def _check_quantity(terms: Terms, quantity: int) -> None:
    if quantity % terms.lot or not terms.lot <= quantity <= terms.max_quantity:
        raise filter_failure("LOT_SIZE")


def _check_notional(market: Market, order: Order) -> None:
    price = order.price or order.stop_price or market.price
    notional = order.quote_quantity or multiply_down(price, order.quantity)
    if notional < market.terms.min_notional:
        raise filter_failure("NOTIONAL")
    if order.price and notional > market.terms.max_notional:
        raise filter_failure("NOTIONAL")
