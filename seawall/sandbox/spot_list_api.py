"""Order lists of spot: ``/api/v3/orderList`` and the older ``/api/v3/order/oco``.

Source: Binance spot, "New Order list - OCO", the deprecated "New OCO", and their queries.
Left out: icebergs and trailing stops.
"""

from dataclasses import replace

from seawall.sandbox.call import Call, Route, Routes
from seawall.sandbox.exchange import Exchange
from seawall.sandbox.order_lists import OrderList
from seawall.sandbox.orders import BUY, Order
from seawall.sandbox.refusals import ApiError, bad_combination, missing
from seawall.sandbox.spot_json import canceled, listed, placed
from seawall.sandbox.spot_trade_api import read_order, read_response

_SHARED = ("symbol", "side", "quantity")
_OF_A_LEG = {
    "Type": "type",
    "ClientOrderId": "newClientOrderId",
    "Price": "price",
    "StopPrice": "stopPrice",
    "TimeInForce": "timeInForce",
}
_OLD_LIMIT = {"limitClientOrderId": "newClientOrderId", "price": "price"}
_OLD_STOP = {
    "stopClientOrderId": "newClientOrderId",
    "stopPrice": "stopPrice",
    "stopLimitPrice": "price",
    "stopLimitTimeInForce": "timeInForce",
}


def place(exchange: Exchange, call: Call) -> object:
    """Accept a pair that is described by what lies above and what lies below the price."""
    for name in ("aboveType", "belowType"):
        call.text(name)
    names = [{side + old: new for old, new in _OF_A_LEG.items()} for side in ("above", "below")]
    above, below = (_read_leg(call, one) for one in names)
    return _place(exchange, call, above, below)


def place_old(exchange: Exchange, call: Call) -> object:
    """Accept a pair that is described by its limit and its stop."""
    kind = "STOP_LOSS_LIMIT" if "stopLimitPrice" in call.params else "STOP_LOSS"
    limit = _read_leg(call, _OLD_LIMIT, type="LIMIT_MAKER")
    stop = _read_leg(call, _OLD_STOP, type=kind)
    above, below = (stop, limit) if call.params["side"] == BUY else (limit, stop)
    return _place(exchange, call, above, below)


def query(_exchange: Exchange, call: Call) -> object:
    """Answer with one list."""
    return listed(_find(call, "origClientOrderId", ApiError(-2013, "Order list does not exist.")))


def cancel(exchange: Exchange, call: Call) -> object:
    """Cancel both orders of a list."""
    code = exchange.spot.market(call.text("symbol")).code
    refusal = ApiError(-2011, "Unknown order list sent.")
    found = _find(call, "listClientOrderId", refusal)
    leg = next((one for one in found.legs if one.is_open and one.code == code), None)
    if leg is None:
        raise refusal
    exchange.spot.cancel(call.owner, leg, call.now_ms)
    return listed(found) | {"orderReports": [canceled(one, "") for one in found.legs]}


def open_lists(_exchange: Exchange, call: Call) -> object:
    """Answer with the lists that are not over."""
    return [listed(one) for one in call.owner.order_lists.values() if not one.is_over]


def all_lists(_exchange: Exchange, call: Call) -> object:
    """Answer with lists: from a number, in a window, or the last ones."""
    lists = call.owner.order_lists.values()
    found = call.page(lists, lambda one: (one.number, one.time_ms), first="fromId")
    return [listed(one) for one in found]


def _refuse_hidden(call: Call) -> None:
    """Raise ApiError where a leg is to be an iceberg or to trail."""
    if any(name.endswith(("IcebergQty", "railingDelta")) for name in call.params):
        raise bad_combination()


def _place(exchange: Exchange, call: Call, above: Order, below: Order) -> object:
    _refuse_hidden(call)
    kind = read_response(call, "RESULT")
    name = call.client_id("listClientOrderId")
    made = exchange.spot.place_pair(call.owner, above, below, name)
    return listed(made) | {"orderReports": [placed(leg, [], kind) for leg in made.legs]}


def _read_leg(call: Call, names: dict[str, str], **fixed: str) -> Order:
    """Return one order of a list, whose parameters have names of their own."""
    given = {name: call.params[name] for name in _SHARED if name in call.params}
    given |= {new: call.params[old] for old, new in names.items() if old in call.params}
    try:
        return read_order(replace(call, params=given | fixed))
    except ApiError as error:
        own = next((old for old, new in names.items() if f"'{new}'" in error.text), "")
        if own and error.code == missing("").code:
            raise missing(own) from None
        raise


def _find(call: Call, client_name: str, refusal: ApiError) -> OrderList:
    """Return the list that a request names by number or client's id."""
    number, client_id = call.integer("orderListId"), call.params.get(client_name)
    if number is None and not client_id:
        raise missing("orderListId")
    lists = call.owner.order_lists
    if number is not None:
        found = lists.get(number)
    else:
        found = next((one for one in reversed(lists.values()) if one.client_id == client_id), None)
    if found is None:
        raise refusal
    return found


ROUTES: Routes = {
    ("POST", "/api/v3/orderList/oco"): Route(place, 1, "signed", n_orders=2),
    ("POST", "/api/v3/order/oco"): Route(place_old, 1, "signed", n_orders=2),
    ("GET", "/api/v3/orderList"): Route(query, 4, "signed"),
    ("DELETE", "/api/v3/orderList"): Route(cancel, 1, "signed"),
    ("GET", "/api/v3/openOrderList"): Route(open_lists, 6, "signed"),
    ("GET", "/api/v3/allOrderList"): Route(all_lists, 20, "signed"),
}
