"""Spot trading: ``/api/v3``, what needs a key and a signature.

Source: Binance spot, trading and account endpoints; weights as documented.
Left out: icebergs, trailing stops; lists of orders are in ``spot_list_api``.
"""

from typing import NamedTuple

from seawall.sandbox.call import Call, Route, Routes
from seawall.sandbox.exchange import Exchange
from seawall.sandbox.orders import BUY, SELL, Order, Side, Trade
from seawall.sandbox.refusals import (
    ApiError,
    bad_combination,
    illegal,
    missing,
    no_such_order,
    not_required,
    unknown_order,
)
from seawall.sandbox.spot_json import account_of, canceled, placed, queried, traded

_RESPONSES = ("ACK", "RESULT", "FULL")
_TIMES_IN_FORCE = ("GTC", "IOC", "FOK")


class _Shape(NamedTuple):
    """Which parameters an order type takes beside symbol, side and type."""

    has_price: bool
    has_stop: bool
    has_time_in_force: bool


_SHAPES = {
    "LIMIT": _Shape(has_price=True, has_stop=False, has_time_in_force=True),
    "LIMIT_MAKER": _Shape(has_price=True, has_stop=False, has_time_in_force=False),
    "MARKET": _Shape(has_price=False, has_stop=False, has_time_in_force=False),
    "STOP_LOSS": _Shape(has_price=False, has_stop=True, has_time_in_force=False),
    "STOP_LOSS_LIMIT": _Shape(has_price=True, has_stop=True, has_time_in_force=True),
    "TAKE_PROFIT": _Shape(has_price=False, has_stop=True, has_time_in_force=False),
    "TAKE_PROFIT_LIMIT": _Shape(has_price=True, has_stop=True, has_time_in_force=True),
}


def read_order(call: Call) -> Order:
    """Return the order that a request describes, not yet accepted.

    Raises:
        ApiError: a parameter is missing, malformed or not of this type of order.
    """
    kind = call.choice("type", _SHAPES, ApiError(-1116, "Invalid orderType."))
    side: Side = "BUY" if _read_side(call) == BUY else "SELL"
    shape = _SHAPES[kind]
    quantity, budget = _read_quantity(call, kind)
    for name in ("icebergQty", "trailingDelta"):
        if call.params.get(name):
            raise bad_combination()
    return Order(
        account=call.owner.name,
        code=call.text("symbol"),
        order_id=0,
        client_id=call.client_id("newClientOrderId"),
        side=side,
        type=kind,
        time_in_force=_read_time_in_force(call, shape),
        quantity=quantity,
        quote_quantity=budget,
        price=_read_price(call, "price", is_needed=shape.has_price),
        stop_price=_read_price(call, "stopPrice", is_needed=shape.has_stop),
        time_ms=call.now_ms,
    )


def place(exchange: Exchange, call: Call) -> object:
    """Accept a new order."""
    order = read_order(call)
    kind = read_response(call, _default_response(order))
    trades: list[Trade] = exchange.spot.place(call.owner, order)
    return placed(order, trades, kind)


def place_test(exchange: Exchange, call: Call) -> object:
    """Check a new order as if it were placed."""
    exchange.spot.check(call.owner, read_order(call))
    return {}


def query(exchange: Exchange, call: Call) -> object:
    """Answer with one order."""
    return queried(_find(exchange, call, no_such_order()))


def cancel(exchange: Exchange, call: Call) -> object:
    """Cancel one order."""
    order = _find(exchange, call, unknown_order())
    client_id = call.client_id("newClientOrderId")
    restriction = call.params.get("cancelRestrictions")
    if restriction in {"ONLY_NEW", "ONLY_PARTIALLY_FILLED"} and order.is_open:
        wanted = restriction.removeprefix("ONLY_")
        if order.status != wanted:
            raise ApiError(-2011, "Order was not canceled due to cancel restrictions.")
    exchange.spot.cancel(call.owner, order, call.now_ms)
    return canceled(order, client_id)


def cancel_all(exchange: Exchange, call: Call) -> object:
    """Cancel all open orders of a market."""
    code = exchange.spot.market(call.text("symbol")).code
    opened = list(call.owner.history(code).open.values())
    if not opened:
        raise unknown_order()
    for order in opened:
        if order.is_open:  # not ended by the other order of its list
            exchange.spot.cancel(call.owner, order, call.now_ms)
    return [canceled(order, "") for order in opened]


def cancel_replace(exchange: Exchange, call: Call) -> object:
    """Cancel an order and place another in its stead."""
    mode = call.text("cancelReplaceMode")
    if mode not in {"STOP_ON_FAILURE", "ALLOW_FAILURE"}:
        raise illegal("cancelReplaceMode", "STOP_ON_FAILURE, ALLOW_FAILURE")
    order = read_order(call)
    gone, is_gone = _cancel_first(exchange, call, order.code)
    if not is_gone and mode == "STOP_ON_FAILURE":
        raise _ReplaceError("FAILURE", "NOT_ATTEMPTED", gone, None)
    old = "SUCCESS" if is_gone else "FAILURE"
    try:
        trades = exchange.spot.place(call.owner, order)
    except ApiError as error:
        raise _ReplaceError(old, "FAILURE", gone, error.shown()) from None
    made = placed(order, trades, read_response(call, _default_response(order)))
    if not is_gone:
        raise _ReplaceError(old, "SUCCESS", gone, made)
    return {
        "cancelResult": old,
        "newOrderResult": "SUCCESS",
        "cancelResponse": gone,
        "newOrderResponse": made,
    }


def _cancel_first(exchange: Exchange, call: Call, code: str) -> tuple[object, bool]:
    """Return the answer to the cancel half of a replacement, and whether it has succeeded."""
    number, client_id = call.integer("cancelOrderId"), call.params.get("cancelOrigClientOrderId")
    if number is None and not client_id:
        raise missing("cancelOrigClientOrderId")
    old = call.owner.history(exchange.spot.market(code).code).find(number, client_id)
    if old is None or not old.is_open:
        return unknown_order().shown(), False
    exchange.spot.cancel(call.owner, old, call.now_ms)
    return canceled(old, call.client_id("cancelNewClientOrderId")), True


def open_orders(exchange: Exchange, call: Call) -> object:
    """Answer with the open orders of a market, or of all."""
    if "symbol" in call.params:
        codes = [exchange.spot.market(call.text("symbol")).code]
    else:
        codes = list(call.owner.histories)
    return [queried(order) for code in codes for order in call.owner.history(code).open.values()]


def all_orders(exchange: Exchange, call: Call) -> object:
    """Answer with the orders of a market: from a number, in a window, or the last ones."""
    code = exchange.spot.market(call.text("symbol")).code
    orders = sorted(call.owner.history(code).orders.values(), key=lambda one: one.order_id)
    found = call.page(orders, lambda one: (one.order_id, one.time_ms), first="orderId")
    return [queried(one) for one in found]


def my_trades(exchange: Exchange, call: Call) -> object:
    """Answer with the account's trades in a market."""
    code, order_id = exchange.spot.market(call.text("symbol")).code, call.integer("orderId")
    history = call.owner.history(code)
    mine = (one for one in history.trades if order_id is None or one.order_id == order_id)
    found = call.page(mine, lambda one: (one.trade_id, one.time_ms), first="fromId")
    orders = history.orders
    return [
        traded(one, orders[one.order_id].list_id if one.order_id in orders else -1) for one in found
    ]


def account(_exchange: Exchange, call: Call) -> object:
    """Answer with the spot wallet."""
    return account_of(call.owner, has_zeros=call.params.get("omitZeroBalances") != "true")


def commission(exchange: Exchange, call: Call) -> object:
    """Answer with the fees of a market."""
    code = exchange.spot.market(call.text("symbol")).code
    rates = account_of(call.owner, has_zeros=False)["commissionRates"]
    return {"symbol": code, "standardCommission": rates}


def prevented(_exchange: Exchange, _call: Call) -> object:
    """Answer that no match was prevented: a rival of the same account expires instead."""
    return []


class _ReplaceError(ApiError):
    """One or both halves of a cancel-replace have failed; ``data`` says what became of them."""

    def __init__(self, old: str, new: str, gone: object, made: object) -> None:
        is_half = "SUCCESS" in {old, new}
        code = -2021 if is_half else -2022
        text = (
            "Order cancel-replace partially failed." if is_half else "Order cancel-replace failed."
        )
        super().__init__(code, text, status=409 if is_half else 400)
        self.data: dict[str, object] = {
            "cancelResult": old,
            "newOrderResult": new,
            "cancelResponse": gone,
            "newOrderResponse": made,
        }

    def shown(self) -> dict[str, object]:
        """Return code and text, and what became of the halves."""
        return super().shown() | {"data": self.data}


def _find(exchange: Exchange, call: Call, refusal: ApiError) -> Order:
    """Return the order that a request names by number or client's id."""
    code = exchange.spot.market(call.text("symbol")).code
    order_id, client_id = call.integer("orderId"), call.params.get("origClientOrderId")
    if order_id is None and not client_id:
        raise ApiError(
            -1102,
            "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!",
        )
    order = call.owner.history(code).find(order_id, client_id)
    if order is None:
        raise refusal
    return order


def _read_side(call: Call) -> str:
    return call.choice("side", (BUY, SELL), ApiError(-1117, "Invalid side."))


def _read_quantity(call: Call, kind: str) -> tuple[int, int]:
    """Return quantity and quote budget, of which a market order takes either."""
    quantity, budget = call.decimal("quantity"), call.decimal("quoteOrderQty")
    if budget is not None and kind != "MARKET":
        raise not_required("quoteOrderQty")
    if (quantity is None) == (budget is None):
        if quantity is not None:
            raise bad_combination()
        raise missing("quantity")
    if quantity == 0 or budget == 0:
        raise ApiError(-1013, "Invalid quantity.")
    return quantity or 0, budget or 0


def _read_price(call: Call, name: str, *, is_needed: bool) -> int:
    price = call.decimal(name)
    if not is_needed:
        if price is not None:
            raise not_required(name)
        return 0
    if price is None:
        raise missing(name)
    if price == 0:
        raise ApiError(-1013, f"Invalid {'stopPrice' if name == 'stopPrice' else 'price'}.")
    return price


def _read_time_in_force(call: Call, shape: _Shape) -> str:
    if shape.has_time_in_force:
        return call.choice("timeInForce", _TIMES_IN_FORCE, ApiError(-1115, "Invalid timeInForce."))
    if "timeInForce" in call.params:
        raise not_required("timeInForce")
    return "GTC"


def read_response(call: Call, default: str) -> str:
    """Return how much a new order's answer is to say.

    Raises:
        ApiError: it is none of the three ways.
    """
    kind = call.params.get("newOrderRespType", default)
    if kind not in _RESPONSES:
        raise ApiError(-1100, "Illegal characters found in parameter 'newOrderRespType'.")
    return kind


def _default_response(order: Order) -> str:
    return "FULL" if order.type in {"MARKET", "LIMIT"} else "ACK"


def _open_weight(call: Call) -> int:
    return 6 if "symbol" in call.params else 80


ROUTES: Routes = {
    ("POST", "/api/v3/order"): Route(place, 1, "signed", n_orders=1),
    ("POST", "/api/v3/order/test"): Route(place_test, 1, "signed"),
    ("GET", "/api/v3/order"): Route(query, 4, "signed"),
    ("DELETE", "/api/v3/order"): Route(cancel, 1, "signed"),
    ("POST", "/api/v3/order/cancelReplace"): Route(cancel_replace, 1, "signed", n_orders=1),
    ("GET", "/api/v3/openOrders"): Route(open_orders, _open_weight, "signed"),
    ("DELETE", "/api/v3/openOrders"): Route(cancel_all, 1, "signed"),
    ("GET", "/api/v3/allOrders"): Route(all_orders, 20, "signed"),
    ("GET", "/api/v3/myTrades"): Route(my_trades, 20, "signed"),
    ("GET", "/api/v3/myPreventedMatches"): Route(prevented, 20, "signed"),
    ("GET", "/api/v3/account"): Route(account, 20, "signed"),
    ("GET", "/api/v3/account/commission"): Route(commission, 20, "signed"),
}
