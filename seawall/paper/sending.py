"""From backtrader's order to what is sent: sized at the last close, in the exchange's steps."""

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import backtrader as bt

from seawall.engine.orders import make_order
from seawall.paper.client import ExchangeClient
from seawall.paper.order import OrderIntent, OrderRecord, OrderType, TradeFill
from seawall.units import is_perpetual

TYPES: Mapping[int, OrderType] = {
    bt.Order.Market: "market",
    bt.Order.Limit: "limit",
    bt.Order.Stop: "stop",
    bt.Order.StopLimit: "stop_limit",
}
LEFT_OUT = ("parent", "oco", "valid", "trailamount", "trailpercent", "good_until_ms")
_ROUNDING = 1 + 1e-12  # of a quantity that arithmetic has left just below a step


class Side(Protocol):
    """The account as a broker reads it: spot (``spot_side``) or futures (``futures_side``)."""

    def cash(self) -> float:
        """Return the quote units that are free, or held."""

    def value(self, prices: dict[str, float]) -> float:
        """Return the equity, quote units."""

    def quantity(self, symbol: str) -> float:
        """Return what is held of a symbol, base units."""

    def entry(self, symbol: str) -> float | None:
        """Return what it was opened at, where the exchange says."""

    def most(self, symbol: str, price: float, *, is_buy: bool) -> float:
        """Return how much an order that is fitted may be for, base units."""

    def gross(self, without: str, prices: dict[str, float]) -> float:
        """Return what is held in all symbols but one, quote units."""

    def fee_in_quote(self, fill: TradeFill) -> float | None:
        """Return a fill's fee in quote units, where it can be told."""

    def doubt(self) -> str:
        """Return why nothing that adds to the risk is sent now, or ``""``."""

    def refresh(self, *, at_once: bool = False) -> object:
        """Look at the account where it is time to."""

    def note_sent(self, client_id: str, symbol: str, *, keeps_margin: bool) -> None:
        """Write down what has to be remembered of an order, before it is sent."""


def find_fault(order: bt.Order, wishes: Mapping[str, Any]) -> str:
    """Return why an order cannot even be looked at, or ``""``."""
    oddities = [name for name in LEFT_OUT if wishes.get(name)]
    if oddities:
        return f"a paper order has no {', '.join(oddities)}: send its legs one by one"
    if order.exectype not in TYPES:
        return f"a paper order is one of {', '.join(TYPES.values())}"
    data: Any = order.data
    if not getattr(data, "is_live", True):
        return "a warm-up is seen, not traded: order from the first live bar on"
    if not last_close(data) > 0:
        return "an order needs a price: the symbol has not traded yet"
    return ""


def to_intent(
    order: bt.Order, wishes: Mapping[str, Any], client: ExchangeClient, side: Side, equity: float
) -> OrderIntent | None:
    """Return the order in the exchange's steps; ``None`` where nothing is left of it."""
    created: Any = order.created
    symbol, kind = name_of(order.data), TYPES[order.exectype]
    is_buy, quantity = _find_size(order, wishes, side, equity)
    limit = created.price if kind == "limit" else created.pricelimit
    try:
        rounded = float(client.exchange.amount_to_precision(symbol, quantity * _ROUNDING))
    except Exception:  # noqa: BLE001 - ccxt's word for "below the smallest amount"
        return None
    if not rounded > 0:
        return None
    trigger: Literal["last", "mark"] = "mark" if wishes.get("trigger") == "mark" else "last"
    return OrderIntent(
        client_id=client.journal.new_client_id(),
        symbol=symbol,
        side="buy" if is_buy else "sell",
        type=kind,
        quantity=rounded,
        price=_to_tick(client, symbol, limit) if kind in ("limit", "stop_limit") else None,
        stop_price=_to_tick(client, symbol, created.price) if "stop" in kind else None,
        time_in_force=wishes.get("time_in_force") or "gtc",
        post_only=bool(wishes.get("post_only")),
        reduce_only=is_perpetual(symbol) and bool(wishes.get("reduce_only")),
        trigger=trigger,
        reason=str(wishes.get("reason") or ""),
    )


def _find_size(
    order: bt.Order, wishes: Mapping[str, Any], side: Side, equity: float
) -> tuple[bool, float]:
    """Return whether an order buys, and how much it is for, base units."""
    symbol, price = name_of(order.data), last_close(order.data)
    is_buy, quantity = order.isbuy(), float(abs(order.created.size))
    target = wishes.get("target_weight")
    if target is not None:
        gap = float(target) * equity / price - side.quantity(symbol)
        is_buy, quantity = gap > 0, abs(gap)
    elif wishes.get("cash"):
        quantity = float(wishes["cash"]) / price
    if (wishes.get("fit_to_cash") or target is not None) and not wishes.get("reduce_only"):
        quantity = min(quantity, side.most(symbol, price, is_buy=is_buy))
    return is_buy, quantity


def from_record(record: OrderRecord, data: Any, owner: Any) -> Any:
    """Return backtrader's order of one that the journal knows, not yet submitted."""
    intent = record.intent
    price = intent.price if intent.stop_price is None else intent.stop_price
    arguments = {
        "exectype": next(kind for kind, name in TYPES.items() if name == intent.type),
        "price": price,
        "plimit": intent.price if intent.type == "stop_limit" else None,
        "client_id": intent.client_id,
        **({"reduce_only": True} if intent.reduce_only else {}),
    }
    kind = bt.BuyOrder if intent.side == "buy" else bt.SellOrder
    order: Any = make_order(kind, owner, data, intent.quantity, arguments)
    sign = 1.0 if intent.side == "buy" else -1.0
    order.executed.size = sign * record.filled
    order.executed.remsize = sign * (intent.quantity - record.filled)
    return order


def resize(order: bt.Order, intent: OrderIntent) -> None:
    """Let backtrader's order say what is really sent."""
    is_buy = intent.side == "buy"
    order.ordtype = bt.Order.Buy if is_buy else bt.Order.Sell
    size = intent.quantity if is_buy else -intent.quantity
    order.size = order.created.size = order.executed.remsize = size


def name_of(data: Any) -> str:
    """Return the symbol of a feed."""
    return str(data._name)  # noqa: SLF001 - backtrader's public name of a feed


def last_close(data: Any) -> float:
    """Return the last price of a feed; 0.0 before the first."""
    return float(data.close[0]) if len(data) else 0.0


def _to_tick(client: ExchangeClient, symbol: str, price: float) -> float:
    return float(client.exchange.price_to_precision(symbol, price))
