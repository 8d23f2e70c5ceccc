"""Conditional orders of perpetuals: ``/fapi/v1/algoOrder`` and what belongs to it.

Source: Binance USD-M futures, "New Algo Order" and its queries.
Left out: price protection (accepted, not obeyed), algo types other than ``CONDITIONAL``.
"""

from seawall.sandbox.algo import ALGO_TYPES, STOPS, TRAILING, WITH_PRICE, AlgoOrder, WorkingType
from seawall.sandbox.call import Call, Route, Routes
from seawall.sandbox.decimals import ONE, multiply_down
from seawall.sandbox.exchange import Exchange
from seawall.sandbox.linear_filters import MOST_STOPS, check_price, check_quantity
from seawall.sandbox.linear_json import waiting
from seawall.sandbox.linear_refusals import (
    duplicate_client_id,
    improper_reduce_only,
    invalid_callback,
    no_close_of,
    notional_too_small,
    one_close_order,
    too_many_stops,
    would_trigger,
)
from seawall.sandbox.linear_trade_api import (
    ALL_CANCELED,
    chosen_codes,
    read_amount,
    read_flag,
    read_side,
    read_time_in_force,
    seat_of,
)
from seawall.sandbox.linear_triggers import drop, price_of, wait
from seawall.sandbox.market import Market
from seawall.sandbox.refusals import ApiError, no_such_order, not_required, unknown_order
from seawall.sandbox.seat import Seat
from seawall.sandbox.spot_json import JsonDict

_PER_CENT = 100
_LEAST_CALLBACK, _MOST_CALLBACK = ONE // 1_000, ONE // 10
_CLOSING = frozenset({"STOP_MARKET", "TAKE_PROFIT_MARKET"})
_WORKING_TYPES: dict[str, WorkingType] = {
    "CONTRACT_PRICE": "CONTRACT_PRICE",
    "MARK_PRICE": "MARK_PRICE",
}


def read_algo(call: Call) -> AlgoOrder:
    """Return the conditional order that a request describes, not yet accepted.

    Raises:
        ApiError: a parameter is missing, malformed or not of this type of order.
    """
    call.choice("algoType", ("CONDITIONAL",), ApiError(-1116, "Invalid algoType."))
    kind = call.choice("type", ALGO_TYPES, ApiError(-1116, "Invalid orderType."))
    working = call.params.get("workingType", "CONTRACT_PRICE")
    if working not in _WORKING_TYPES:
        raise ApiError(-1128, "Invalid workingType.")
    closes_all = read_flag(call, "closePosition")
    is_trailing = kind == TRAILING
    has_time = "timeInForce" in call.params and kind in WITH_PRICE
    algo = AlgoOrder(
        account=call.owner.name,
        code=call.text("symbol"),
        algo_id=0,
        client_id=call.client_id("clientAlgoId"),
        side=read_side(call),
        type=kind,
        time_in_force=read_time_in_force(call) if has_time else "GTC",
        quantity=0 if closes_all else read_amount(call, "quantity"),
        time_ms=call.now_ms,
        trigger_price=0 if is_trailing else read_amount(call, "triggerPrice"),
        price=read_amount(call, "price") if kind in WITH_PRICE else 0,
        callback=_read_callback(call) if is_trailing else 0,
        activate_price=(call.decimal("activatePrice") or 0) if is_trailing else 0,
        working_type=_WORKING_TYPES[working],
        closes_all=closes_all,
        is_reduce_only=read_flag(call, "reduceOnly"),
    )
    _check_close(call, algo)
    return algo


def place(exchange: Exchange, call: Call) -> object:
    """Let a new conditional order wait."""
    desk, seat, algo = exchange.linear, seat_of(exchange, call), read_algo(call)
    market = desk.market(algo.code)
    _check_grid(market, algo)
    others = seat.algos.waiting(algo.code)
    if len(others) >= MOST_STOPS:
        raise too_many_stops()
    namesake = seat.algos.by_client.get(algo.client_id)
    if namesake is not None and namesake.is_waiting:
        raise duplicate_client_id()
    for other in others:
        is_same = other.side == algo.side and (other.type in STOPS) == (algo.type in STOPS)
        if algo.closes_all and other.closes_all and is_same:
            raise one_close_order()
    if algo.aim(price_of(market, algo)):
        raise would_trigger()
    wait(desk, seat, algo)
    return waiting(algo, None)


def query(exchange: Exchange, call: Call) -> object:
    """Answer with one conditional order."""
    return _show(exchange, call, _find(exchange, call, no_such_order()))


def cancel(exchange: Exchange, call: Call) -> object:
    """Cancel one conditional order."""
    algo = _find(exchange, call, unknown_order())
    drop(exchange.linear, seat_of(exchange, call), algo, call.now_ms)
    return {
        "algoId": algo.algo_id,
        "clientAlgoId": algo.client_id,
        "code": "200",
        "msg": "success",
    }


def cancel_all(exchange: Exchange, call: Call) -> object:
    """Cancel all conditional orders of a market."""
    code = exchange.linear.market(call.text("symbol")).code
    seat = seat_of(exchange, call)
    for algo in seat.algos.waiting(code):
        drop(exchange.linear, seat, algo, call.now_ms)
    return ALL_CANCELED


def open_orders(exchange: Exchange, call: Call) -> object:
    """Answer with the conditional orders that wait."""
    codes = chosen_codes(exchange, call)
    found = seat_of(exchange, call).algos.waiting()
    return [waiting(algo, None) for algo in found if algo.code in codes]


def all_orders(exchange: Exchange, call: Call) -> object:
    """Answer with the conditional orders of a market: from a number, in a window, or the last."""
    codes, algos = chosen_codes(exchange, call), seat_of(exchange, call).algos
    chosen = (algo for algo in algos.orders.values() if algo.code in codes)
    found = call.page(chosen, lambda one: (one.algo_id, one.time_ms), first="algoId")
    return [_show(exchange, call, one) for one in found]


def _show(exchange: Exchange, call: Call, algo: AlgoOrder) -> JsonDict:
    seat: Seat = seat_of(exchange, call)
    became = seat.history(algo.code).orders.get(algo.order_id) if algo.order_id else None
    return waiting(algo, became)


def _find(exchange: Exchange, call: Call, refusal: ApiError) -> AlgoOrder:
    """Return the conditional order that a request names by number or client's id."""
    algo_id, client_id = call.integer("algoId"), call.params.get("clientAlgoId")
    if algo_id is None and not client_id:
        raise ApiError(
            -1102, "Param 'clientAlgoId' or 'algoId' must be sent, but both were empty/null!"
        )
    algo = seat_of(exchange, call).algos.find(algo_id, client_id)
    if algo is None:
        raise refusal
    return algo


def _read_callback(call: Call) -> int:
    """Return the callback rate as a fraction in 1e-8 units; it is sent in per cent."""
    rate = read_amount(call, "callbackRate") // _PER_CENT
    if not _LEAST_CALLBACK <= rate <= _MOST_CALLBACK:
        raise invalid_callback()
    return rate


def _check_close(call: Call, algo: AlgoOrder) -> None:
    """Refuse what cannot stand beside ``closePosition``."""
    if not algo.closes_all:
        return
    if algo.type not in _CLOSING:
        raise no_close_of(algo.type)
    if algo.is_reduce_only:
        raise improper_reduce_only()
    if "quantity" in call.params:
        raise not_required("quantity")


def _check_grid(market: Market, algo: AlgoOrder) -> None:
    """Raise ApiError where prices, quantity or worth are not the market's."""
    for price in (algo.trigger_price, algo.price, algo.activate_price):
        if price:
            check_price(market, price)
    if not algo.trigger_price and algo.type != TRAILING:
        check_price(market, algo.trigger_price)
    if algo.closes_all:
        return
    check_quantity(market.terms, algo.quantity)
    price = algo.price or algo.trigger_price or market.price
    if not algo.is_reduce_only and (
        multiply_down(price, algo.quantity) < market.terms.min_notional
    ):
        raise notional_too_small(market.terms.min_notional)


def _open_weight(call: Call) -> int:
    return 1 if "symbol" in call.params else 40


ROUTES: Routes = {
    ("POST", "/fapi/v1/algoOrder"): Route(place, 0, "signed", n_orders=1),
    ("GET", "/fapi/v1/algoOrder"): Route(query, 1, "signed"),
    ("DELETE", "/fapi/v1/algoOrder"): Route(cancel, 1, "signed"),
    ("DELETE", "/fapi/v1/algoOpenOrders"): Route(cancel_all, 1, "signed"),
    ("GET", "/fapi/v1/openAlgoOrders"): Route(open_orders, _open_weight, "signed"),
    ("GET", "/fapi/v1/allAlgoOrders"): Route(all_orders, 5, "signed"),
}
