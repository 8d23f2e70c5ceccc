"""Trading perpetuals: the orders of ``/fapi/v1``.

Source: Binance USD-M futures, trading endpoints; weights as documented. Conditional orders are in
``algo_api``.
Left out: good-till-date, price match, self-trade prevention other than ``EXPIRE_MAKER``.
"""

import json
from collections.abc import Mapping
from dataclasses import replace

from seawall.sandbox.algo import ALGO_TYPES
from seawall.sandbox.call import Call, Route, Routes
from seawall.sandbox.exchange import Exchange
from seawall.sandbox.linear_json import ordered, traded
from seawall.sandbox.linear_market_api import PLAIN_TYPES
from seawall.sandbox.linear_refusals import (
    needs_algo,
    no_close_of,
    no_need_to_modify,
    wrong_position_side,
)
from seawall.sandbox.orders import BUY, SELL, Order, Side
from seawall.sandbox.refusals import (
    ApiError,
    bad_combination,
    illegal,
    missing,
    no_such_order,
    not_required,
    unknown_order,
)
from seawall.sandbox.seat import Seat
from seawall.sandbox.spot_json import JsonDict

_MOST_IN_BATCH, _MOST_CANCELED = 5, 10
_CLIENT_IDS = "origClientOrderIdList"
_TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "GTX")
ALL_CANCELED: JsonDict = {"code": 200, "msg": "The operation of cancel all open order is done."}


def seat_of(exchange: Exchange, call: Call) -> Seat:
    """Return the futures of the account that sent a request."""
    return exchange.linear.seat(call.owner)


def read_order(call: Call) -> Order:
    """Return the order that a request describes, not yet accepted.

    Raises:
        ApiError: a parameter is missing, malformed or not of this type of order.
    """
    kind = call.text("type")
    if kind in ALGO_TYPES:
        raise needs_algo()
    if kind not in PLAIN_TYPES:
        raise ApiError(-1116, "Invalid orderType.")
    if read_flag(call, "closePosition"):
        raise no_close_of(kind)
    side = read_side(call)
    is_limit = kind == "LIMIT"
    for name in ("stopPrice", *(() if is_limit else ("price", "timeInForce"))):
        if name in call.params:
            raise not_required(name)
    return Order(
        account=call.owner.name,
        code=call.text("symbol"),
        order_id=0,
        client_id=call.client_id("newClientOrderId"),
        side=side,
        type=kind,
        time_in_force=read_time_in_force(call) if is_limit else "GTC",
        quantity=read_amount(call, "quantity"),
        price=read_amount(call, "price") if is_limit else 0,
        time_ms=call.now_ms,
        is_reduce_only=read_flag(call, "reduceOnly"),
    )


def read_side(call: Call) -> Side:
    """Return buy or sell; hedge mode's sides are refused."""
    if call.params.get("positionSide", "BOTH") != "BOTH":
        raise wrong_position_side()
    if call.params.get("priceMatch", "NONE") != "NONE" or "goodTillDate" in call.params:
        raise bad_combination()
    side = call.choice("side", (BUY, SELL), ApiError(-1117, "Invalid side."))
    return "BUY" if side == BUY else "SELL"


def read_flag(call: Call, name: str) -> bool:
    """Return a boolean parameter, False where it was not sent."""
    value = call.params.get(name, "false").lower()
    if value not in {"true", "false"}:
        raise illegal(name, "true, false")
    return value == "true"


def read_amount(call: Call, name: str) -> int:
    """Return a mandatory number in 1e-8 units."""
    value = call.decimal(name)
    if value is None:
        raise missing(name)
    return value


def read_time_in_force(call: Call) -> str:
    """Return how long a limit order lives."""
    return call.choice("timeInForce", _TIMES_IN_FORCE, ApiError(-1115, "Invalid timeInForce."))


def place(exchange: Exchange, call: Call) -> object:
    """Accept a new order."""
    order = read_order(call)
    kind = call.params.get("newOrderRespType", "ACK")
    if kind not in {"ACK", "RESULT"}:
        raise ApiError(-1136, "Invalid newOrderRespType.")
    exchange.linear.place(seat_of(exchange, call), order)
    shown = ordered(order)
    if kind == "ACK":
        nothing = "0.00000000"
        shown |= {"status": "NEW", "executedQty": nothing, "cumQty": nothing}
        shown |= {"cumQuote": nothing, "avgPrice": nothing}
    return shown


def place_test(exchange: Exchange, call: Call) -> object:
    """Check a new order as if it were placed."""
    exchange.linear.check(seat_of(exchange, call), read_order(call))
    return {}


def place_batch(exchange: Exchange, call: Call) -> object:
    """Accept up to five orders, each for itself."""
    tables = _read_list(call, "batchOrders")
    if not 0 < len(tables) <= _MOST_IN_BATCH:
        raise ApiError(-4082, "Invalid number of batch place orders.")
    answers: list[object] = []
    for table in tables:
        if not isinstance(table, Mapping):
            raise illegal("batchOrders", "a list of orders")
        params = {str(name): _to_param(value) for name, value in table.items()}
        one = replace(call, params={"newOrderRespType": "RESULT", **params})
        try:
            answers.append(place(exchange, one))
        except ApiError as error:
            answers.append(error.shown())
    return answers


def modify(exchange: Exchange, call: Call) -> object:
    """Change price and quantity of a resting limit order; it goes behind the others."""
    order = _find(exchange, call, no_such_order())
    if order.type != "LIMIT" or order.side != read_side(call):
        raise ApiError(-5025, "Only limit order is supported.")
    if not order.is_open:
        raise no_such_order()
    price, quantity = read_amount(call, "price"), read_amount(call, "quantity")
    if (price, quantity) == (order.price, order.quantity):
        raise no_need_to_modify()
    exchange.linear.amend(seat_of(exchange, call), order, price, quantity, call.now_ms)
    return ordered(order)


def query(exchange: Exchange, call: Call) -> object:
    """Answer with one order."""
    return ordered(_find(exchange, call, no_such_order()))


def query_open(exchange: Exchange, call: Call) -> object:
    """Answer with one order that is open."""
    order = _find(exchange, call, no_such_order())
    if not order.is_open:
        raise no_such_order()
    return ordered(order)


def cancel(exchange: Exchange, call: Call) -> object:
    """Cancel one order."""
    order = _find(exchange, call, unknown_order())
    exchange.linear.cancel(seat_of(exchange, call), order, call.now_ms)
    return ordered(order)


def cancel_all(exchange: Exchange, call: Call) -> object:
    """Cancel all open orders of a market."""
    code = exchange.linear.market(call.text("symbol")).code
    seat = seat_of(exchange, call)
    for order in list(seat.history(code).open.values()):
        exchange.linear.cancel(seat, order, call.now_ms)
    return ALL_CANCELED


def cancel_batch(exchange: Exchange, call: Call) -> object:
    """Cancel up to ten orders, each for itself."""
    names = {name.lower(): name for name in call.params}  # clients write them in small letters too
    by_number = names.get("orderidlist")
    numbers = _read_list(call, by_number or names.get(_CLIENT_IDS.lower(), _CLIENT_IDS))
    if not 0 < len(numbers) <= _MOST_CANCELED:
        raise ApiError(-4083, "Invalid number of batch cancel orders.")
    single = "orderId" if by_number else "origClientOrderId"
    answers: list[object] = []
    for number in numbers:
        params = {"symbol": call.text("symbol"), single: str(number)}
        try:
            answers.append(cancel(exchange, replace(call, params=params)))
        except ApiError as error:
            answers.append(error.shown())
    return answers


def open_orders(exchange: Exchange, call: Call) -> object:
    """Answer with the open orders of a market, or of all."""
    seat = seat_of(exchange, call)
    codes = chosen_codes(exchange, call)
    return [ordered(order) for code in codes for order in seat.history(code).open.values()]


def all_orders(exchange: Exchange, call: Call) -> object:
    """Answer with the orders of a market, or of all: from a number, in a window, or the last."""
    seat = seat_of(exchange, call)
    orders = [
        order
        for code in chosen_codes(exchange, call)
        for order in seat.history(code).orders.values()
    ]
    orders.sort(key=lambda one: (one.time_ms, one.order_id))
    found = call.page(orders, lambda one: (one.order_id, one.time_ms), first="orderId")
    return [ordered(one) for one in found]


def user_trades(exchange: Exchange, call: Call) -> object:
    """Answer with the account's trades in a market."""
    code, order_id = exchange.linear.market(call.text("symbol")).code, call.integer("orderId")
    trades = seat_of(exchange, call).history(code).trades
    mine = (one for one in trades if order_id is None or one.order_id == order_id)
    found = call.page(mine, lambda one: (one.trade_id, one.time_ms), first="fromId")
    return [traded(one) for one in found]


def force_orders(exchange: Exchange, call: Call) -> object:
    """Answer with the orders by which the account was liquidated."""
    name, limit = call.owner.name, call.limit(50, 100)
    codes = chosen_codes(exchange, call)
    mine = [order for owner, order in exchange.linear.forced if owner == name]
    return [ordered(order) for order in mine if order.code in codes][-limit:]


def chosen_codes(exchange: Exchange, call: Call) -> tuple[str, ...]:
    """Return the market that a request names, all where it names none."""
    if "symbol" in call.params:
        return (exchange.linear.market(call.text("symbol")).code,)
    return exchange.linear.codes


def _find(exchange: Exchange, call: Call, refusal: ApiError) -> Order:
    """Return the order that a request names by number or client's id."""
    code = exchange.linear.market(call.text("symbol")).code
    order_id, client_id = call.integer("orderId"), call.params.get("origClientOrderId")
    if order_id is None and not client_id:
        raise ApiError(
            -1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
        )
    order = seat_of(exchange, call).history(code).find(order_id, client_id)
    if order is None:
        raise refusal
    return order


def _read_list(call: Call, name: str) -> list[object]:
    try:
        found = json.loads(call.text(name))
    except ValueError:
        raise illegal(name, "a JSON list") from None
    if not isinstance(found, list):
        raise illegal(name, "a JSON list")
    return found


def _to_param(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _open_weight(call: Call) -> int:
    return 1 if "symbol" in call.params else 40


def _n_in_batch(call: Call) -> int:
    return min(len(_read_list(call, "batchOrders")), _MOST_IN_BATCH)


ROUTES: Routes = {
    ("POST", "/fapi/v1/order"): Route(place, 0, "signed", n_orders=1),
    ("POST", "/fapi/v1/order/test"): Route(place_test, 0, "signed"),
    ("POST", "/fapi/v1/batchOrders"): Route(place_batch, 5, "signed", n_orders=_n_in_batch),
    ("PUT", "/fapi/v1/order"): Route(modify, 1, "signed", n_orders=1),
    ("GET", "/fapi/v1/order"): Route(query, 1, "signed"),
    ("GET", "/fapi/v1/openOrder"): Route(query_open, 1, "signed"),
    ("DELETE", "/fapi/v1/order"): Route(cancel, 1, "signed"),
    ("DELETE", "/fapi/v1/allOpenOrders"): Route(cancel_all, 1, "signed"),
    ("DELETE", "/fapi/v1/batchOrders"): Route(cancel_batch, 1, "signed"),
    ("GET", "/fapi/v1/openOrders"): Route(open_orders, _open_weight, "signed"),
    ("GET", "/fapi/v1/allOrders"): Route(all_orders, 5, "signed"),
    ("GET", "/fapi/v1/userTrades"): Route(user_trades, 5, "signed"),
    ("GET", "/fapi/v1/forceOrders"): Route(force_orders, 20, "signed"),
}
