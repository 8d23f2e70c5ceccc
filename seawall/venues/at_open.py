"""What the open of a bar does to an order that is on the book."""

from seawall.venues.exchange import Exchange
from seawall.venues.orders import Hit, VenueOrder, waits_for_close
from seawall.venues.spot import find_limit_price, find_stop_price


def trade_at_open(exchange: Exchange, order: VenueOrder, price: float) -> None:
    """Fill what trades at an open of ``price``, the last price; trigger what it sets off."""
    if order.has_stop and _trigger(exchange, order, price):
        return
    if order.has_limit and not order.has_stop:
        _trade_limit(exchange, order, price)
    elif order.is_market_now and not waits_for_close(order):
        rule = "market" if order.type == "market" else f"{order.type}_rest"
        exchange.fill(order, Hit(price, rule))


def _trigger(exchange: Exchange, order: VenueOrder, price: float) -> bool:
    """Trigger a stop that the open has reached; true where it then is no limit but traded."""
    stop, mark = order.stop, order.book.mark if order.on_mark else None
    seen = price if mark is None else mark.open
    if find_stop_price(order.side, stop, (seen, seen, seen)) != seen:
        return False
    order.trigger()
    if order.has_limit:
        return False
    exchange.fill(order, Hit(price, f"{order.type}_gapped", stop))
    return True


def _trade_limit(exchange: Exchange, order: VenueOrder, price: float) -> None:
    limit, is_touch = order.limit_price, order.book.parameters.is_touch
    mark = order.book.mark if order.on_mark else None
    if mark is not None:  # a take-profit that the mark has to set off
        if order.side * (limit - mark.open) < 0.0:
            return
        order.on_mark = False
    point = (price, price, price)
    found, is_taker = find_limit_price(order.side, limit, point, order.has_rested, is_touch)
    order.has_rested = True
    if found == found:  # noqa: PLR0124 - not nan
        rule = "limit_taken" if is_taker else "limit_gapped"
        exchange.fill(order, Hit(found, rule, limit, is_taker))
