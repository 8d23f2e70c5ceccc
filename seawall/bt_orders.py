"""Between what an agent asks for and backtrader's orders: words, order types, times, views."""

from datetime import UTC, datetime
from typing import Any

import backtrader as bt

from seawall.action import Action, Order, TargetWeight, to_json
from seawall.loan_action import LOAN_ACTIONS, describe_loan_action
from seawall.observation import OpenOrder
from seawall.perpetual_action import PERPETUAL_ACTIONS, describe_perpetual_action
from seawall.units import SECOND_MS

EXECTYPES = {
    "market": bt.Order.Market,
    "limit": bt.Order.Limit,
    "stop": bt.Order.Stop,
    "stop_limit": bt.Order.StopLimit,
    "trailing": bt.Order.StopTrail,
}


def describe(action: Action) -> str:
    """Return an action in the words of the journal."""
    if isinstance(action, TargetWeight):
        return f"{action.symbol} to weight {action.weight:.6g}"
    if isinstance(action, LOAN_ACTIONS):
        return describe_loan_action(action)
    if isinstance(action, PERPETUAL_ACTIONS):
        return describe_perpetual_action(action)
    return to_json(action)


def to_wishes(order: Order) -> dict[str, object]:
    """Return what the exchange takes of an order beside backtrader's own arguments."""
    wishes: dict[str, object] = {
        "cash": order.cash,
        "time_in_force": order.time_in_force,
        "post_only": order.post_only,
        "reduce_only": order.reduce_only,
        "trigger": "mark" if order.trigger == "mark" else "",
        "client_id": order.client_id,
    }
    return {name: value for name, value in wishes.items() if value}


def to_datetime(time_ms: int | None) -> datetime | None:
    """Return a time as backtrader takes it: naive, UTC."""
    if time_ms is None:
        return None
    return datetime.fromtimestamp(time_ms / SECOND_MS, tz=UTC).replace(tzinfo=None)


def limit_of(order: Any) -> float | None:
    """Return a backtrader order's limit price, quote units, or None."""
    price = order.created.price if order.exectype == bt.Order.Limit else order.created.pricelimit
    return price or None


def see_order(order: Any) -> OpenOrder:
    """Return a backtrader order as an agent sees it."""
    is_stop = order.exectype in (bt.Order.Stop, bt.Order.StopLimit)
    names = {exectype: name for name, exectype in EXECTYPES.items()}
    return OpenOrder(
        order_id=str(order.ref),
        symbol=order.data._name,  # noqa: SLF001 - backtrader's public name of a feed
        side="buy" if order.isbuy() else "sell",
        type=names.get(order.exectype, "other"),
        quantity=abs(order.created.size),
        remaining=abs(order.executed.remsize),
        limit_price=limit_of(order),
        stop_price=order.created.price if is_stop else None,
        client_id=str(order.info.get("client_id") or ""),
    )
