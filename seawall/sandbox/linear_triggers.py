"""Conditional orders at the futures desk: they wait, are dropped, and become orders."""

from seawall.sandbox.algo import AlgoOrder
from seawall.sandbox.linear_desk import LinearDesk
from seawall.sandbox.market import Market
from seawall.sandbox.orders import Order
from seawall.sandbox.refusals import ApiError, unknown_order
from seawall.sandbox.seat import Seat

_FIRST_ID = 2_000_000_000_000  # far from orders' numbers: clients keep both in one table


def price_of(market: Market, algo: AlgoOrder) -> int:
    """Return the price that a conditional order watches."""
    return market.mark_price if algo.working_type == "MARK_PRICE" else market.price


def wait(desk: LinearDesk, seat: Seat, algo: AlgoOrder) -> None:
    """Let a conditional order wait."""
    desk.n_algos += 1
    algo.algo_id = _FIRST_ID + desk.n_algos
    algo.client_id = algo.client_id or f"sandboxalgo{algo.algo_id:09d}"
    algo.update_ms = algo.time_ms
    algo.is_reached(price_of(desk.markets[algo.code], algo))  # one that trails begins here
    seat.algos.add(algo)
    desk.waiting[algo.code].append(algo)
    desk.tell.algo(seat, algo, algo.status)


def drop(desk: LinearDesk, seat: Seat, algo: AlgoOrder, now_ms: int) -> None:
    """Cancel a conditional order.

    Raises:
        ApiError: it does not wait.
    """
    if not algo.is_waiting:
        raise unknown_order()
    algo.status, algo.update_ms = "CANCELED", now_ms
    _take_out(desk, seat, algo)
    desk.tell.algo(seat, algo, "CANCELED")


def trigger_reached(desk: LinearDesk, market: Market, now_ms: int) -> None:
    """Let the conditional orders of a market that its prices have reached become orders."""
    for algo in list(desk.waiting[market.code]):
        if algo.is_waiting and algo.is_reached(price_of(market, algo)):
            _trigger(desk, algo, now_ms)


def _trigger(desk: LinearDesk, algo: AlgoOrder, now_ms: int) -> None:
    """Let a conditional order become the order it stands for, or be rejected."""
    seat = desk.seats[algo.account]
    algo.trigger_ms = algo.update_ms = now_ms
    desk.tell.algo(seat, algo, "TRIGGERING")
    _take_out(desk, seat, algo)
    order = _to_order(desk, seat, algo, now_ms)
    try:
        plan = desk.check(seat, order)
    except ApiError as error:
        algo.status, algo.reason = "REJECTED", error.text
        desk.tell.algo(seat, algo, "REJECTED")
        return
    algo.status = "TRIGGERED"
    desk.enter(seat, order)
    algo.order_id = order.order_id
    desk.tell.algo(seat, algo, "TRIGGERED")
    desk.work(seat, order, plan)


def _take_out(desk: LinearDesk, seat: Seat, algo: AlgoOrder) -> None:
    desk.waiting[algo.code].remove(algo)
    seat.algos.close(algo)


def _to_order(desk: LinearDesk, seat: Seat, algo: AlgoOrder, now_ms: int) -> Order:
    """Return the plain order that a conditional one becomes."""
    quantity = algo.quantity
    if algo.closes_all:  # where nothing is held, any quantity is refused
        lot = desk.markets[algo.code].terms.lot
        quantity = seat.closable(desk.rows[algo.code], algo.side) or lot
    return Order(
        account=algo.account,
        code=algo.code,
        order_id=0,
        client_id=algo.client_id,
        side=algo.side,
        type="LIMIT" if algo.price else "MARKET",
        time_in_force=algo.time_in_force,
        quantity=quantity,
        price=algo.price,
        stop_price=algo.trigger_price,
        time_ms=now_ms,
        is_reduce_only=algo.is_reduce_only or algo.closes_all,
        original_type=algo.type,
        closes_all=algo.closes_all,
    )
