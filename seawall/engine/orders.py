"""From backtrader's orders to the exchange's and back: made, copied, translated, marked.

Orders are built and copied without backtrader's generic machinery, which takes longer than the
exchange does; what comes out is the same object (a test compares all its attributes).
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import nan
from typing import Any

import backtrader as bt

from seawall.engine.feedview import to_ms
from seawall.fill import Fill
from seawall.venues.orders import FOREVER_MS, Book, Outcome, VenueOrder, VenueOrderType
from seawall.venues.spot import Execution

_TYPES: dict[int, VenueOrderType] = {
    bt.Order.Market: "market",
    bt.Order.Close: "close",
    bt.Order.Limit: "limit",
    bt.Order.Stop: "stop",
    bt.Order.StopLimit: "stop_limit",
    bt.Order.StopTrail: "trailing",
    bt.Order.StopTrailLimit: "trailing_limit",
}
_SETTINGS: dict[str, Any] = dict(bt.Order.params._getitems())  # noqa: SLF001 - names and defaults
_BT_ARGUMENTS = (
    "price", "exectype", "valid", "tradeid", "trailamount", "trailpercent", "parent", "transmit",
)  # fmt: skip
WARM_UP = "a warm-up is seen, not traded: order from the window's start on"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)


def make_order(
    kind: type[bt.Order], owner: Any, data: Any, size: float, arguments: dict[str, Any]
) -> bt.Order:
    """Return what ``kind(...)`` returns; what backtrader does not know becomes ``order.info``.

    The settings are also put where an order keeps what it changes itself: each of them is read
    many times, and backtrader's way to them is an attribute that is missing.
    """
    settings = dict(_SETTINGS, owner=owner, data=data, size=size)
    settings["pricelimit"] = arguments.pop("plimit", None)
    for name in _BT_ARGUMENTS:
        if name in arguments:
            settings[name] = arguments.pop(name)
    order: Any = object.__new__(kind)
    order.params = order.p = kind.params()
    order.p.__dict__.update(settings)
    order.__dict__.update(settings)
    kind.__init__(order)
    if arguments:
        order.addinfo(**arguments)
    made: bt.Order = order
    return made


def copy_order(order: bt.Order) -> bt.Order:
    """Return ``order.clone()``: what a strategy is told, with the fills that are new in it."""
    executed = order.executed
    executed.markpending()
    seen: Any = object.__new__(type(executed))
    seen.__dict__ = executed.__dict__.copy()
    twin: Any = object.__new__(type(order))
    twin.__dict__ = order.__dict__.copy()
    twin.executed = seen
    copied: bt.Order = twin
    return copied


def to_venue_order(
    order: bt.Order, wishes: Mapping[str, Any], book: Book, parent: VenueOrder | None
) -> VenueOrder:
    """Return the exchange's order; when it arrives is left to the caller.

    Args:
        order: backtrader's.
        wishes: what backtrader does not know, as it came with the order.
        book: of the order's feed.
        parent: the entry of the bracket, if this is an exit.
    """
    created: Any = order.created
    kind = _TYPES.get(order.exectype, "market")
    limit = nan
    if kind in ("limit", "stop_limit"):
        limit = created.price if kind == "limit" else created.pricelimit
    amount, fraction = order.trailamount or 0.0, order.trailpercent or 0.0
    venue_order = VenueOrder(
        order_id=str(order.ref), book=book, side=1.0 if order.ordtype == bt.Order.Buy else -1.0,
        type=kind, quantity=abs(created.size), limit_price=limit,
        stop_price=created.price if kind in ("stop", "stop_limit") else nan,
        trail_amount=amount, trail_fraction=0.0 if amount else fraction,
        limit_offset=order._limitoffset, extreme=order.price or created.pclose,  # noqa: SLF001
        good_until_ms=_find_end_ms(order, wishes.get("good_until_ms")), parent=parent,
    )  # fmt: skip
    if wishes:
        _apply(venue_order, wishes)
    if parent is not None:
        _hang_on(venue_order, parent)
    return venue_order


def _apply(order: VenueOrder, wishes: Mapping[str, Any]) -> None:
    order.cash, order.target_weight = wishes.get("cash"), wishes.get("target_weight")
    order.fits_to_cash = bool(wishes.get("fit_to_cash"))
    order.time_in_force = wishes.get("time_in_force") or "gtc"
    order.post_only = bool(wishes.get("post_only"))
    order.keeps_margin = bool(wishes.get("keep_margin"))
    order.reduce_only = bool(wishes.get("reduce_only"))
    is_exit_or_stop = order.has_stop or order.parent is not None
    order.on_mark = wishes.get("trigger") == "mark" and is_exit_or_stop
    order.reason = str(wishes.get("reason") or "")


def _hang_on(order: VenueOrder, parent: VenueOrder) -> None:
    """Make an order the exit of a bracket: it closes what the entry has bought."""
    is_sized_later = parent.cash is not None or parent.target_weight is not None
    order.follows_entry = is_sized_later or order.quantity >= parent.quantity
    order.cash = order.target_weight = None  # those size the entry alone
    parent.children.append(order)


def _find_end_ms(order: bt.Order, until_ms: int | None) -> int:
    """Return when an order expires: its ``good_until_ms``, or backtrader's ``valid``."""
    if until_ms:
        return int(until_ms)
    valid = order.valid
    if isinstance(valid, datetime):
        valid = order.data.date2num(valid)
    return to_ms(float(valid)) if valid else FOREVER_MS


def mark_filled(
    order: bt.Order,
    venue_order: VenueOrder,
    fill: Fill,
    execution: Execution,
    position: bt.Position,
) -> None:
    """Enter one fill in backtrader's order and position."""
    executed: Any = order.executed
    if not executed.size:  # the fill may have fixed size and side
        order.ordtype = bt.Order.Buy if venue_order.side > 0 else bt.Order.Sell
        order.size = order.created.size = venue_order.side * venue_order.quantity
        executed.remsize = order.size
    line, before, held = order.data.datetime, position.price, venue_order.book.held
    stamp = line[0]
    changed = position.update(fill.quantity, fill.price, _to_datetime(line, stamp))
    position.fix(held, position.price if held else 0.0)
    if venue_order.book.futures is not None:
        _, _, opened, closed = changed
        shares = _to_shares(opened, closed, fill, before)
    elif fill.quantity > 0:
        opened = execution.quantity * fill.price
        shares = (0.0, 0.0, 0.0, fill.quantity, opened, fill.fee, None, 0.0)
    else:
        pnl = execution.quantity * (fill.price - before)
        shares = (fill.quantity, execution.quantity * before, fill.fee, 0.0, 0.0, 0.0, None, pnl)
    execute: Any = order.execute
    execute(stamp, fill.quantity, fill.price, *shares, position.size, position.price)
    if venue_order.is_done:
        executed.remsize = 0.0
        order.completed()
    else:
        order.partial()


def _to_shares(opened: float, closed: float, fill: Fill, before: float) -> tuple[Any, ...]:
    """Return what a fill closed and opened, signed, as ``bt.Order.execute`` takes it."""
    fee_closed = fill.fee * closed / fill.quantity
    return (
        closed, abs(closed) * before, fee_closed,
        opened, abs(opened) * fill.price, fill.fee - fee_closed, None,
        -closed * (fill.price - before),
    )  # fmt: skip


def make_liquidation(
    book: Book, data: Any, execution: Execution, *, side: float, ref: int
) -> tuple[bt.Order, VenueOrder]:
    """Return a step of a liquidation as the order that backtrader and a strategy are told of."""
    kind = bt.BuyOrder if side > 0 else bt.SellOrder
    order = make_order(kind, None, data, side * execution.quantity, {"liquidation": True})
    order.ref = ref
    venue_order = VenueOrder(
        order_id=str(ref), book=book, side=side, type="market",
        quantity=execution.quantity, filled=execution.quantity, is_done=True,
    )  # fmt: skip
    return order, venue_order


def mark_ended(order: bt.Order, outcome: Outcome, broker: Any) -> None:
    """Enter in backtrader's order how it ended without being filled in full."""
    if outcome == "expired":
        order.status = bt.Order.Expired
        order.executed.dt = order.data.datetime[0]
    elif outcome == "rejected":
        order.reject(broker)
    elif outcome == "no_cash":
        order.margin()
    else:
        order.cancel()


def _to_datetime(line: Any, stamp: float) -> datetime:
    """Return a bar's close in the feed's time zone, naive as backtrader's own."""
    if line._tz is not None:  # noqa: SLF001
        local: datetime = line.datetime(0)
        return local
    return _EPOCH + timedelta(milliseconds=to_ms(stamp))


def find_fault(order: bt.Order, venue_order: VenueOrder, since_ms: int) -> str:
    """Return why an order cannot even be sent, or ``""``; ``since_ms``: the window's start."""
    parent = venue_order.parent
    if parent is not None and parent.is_done and parent.filled == 0.0:
        return "its entry is over: send it without parent"
    if getattr(order.data, "only_shows", False):
        symbol = order.data.candles.key.symbol
        return f"this feed only shows coarser bars of {symbol}: order on {symbol}'s own feed"
    if venue_order.live_ms - venue_order.book.parameters.latency_ms < since_ms:
        return WARM_UP
    return ""


def join(order: VenueOrder, leader: VenueOrder) -> None:
    """Let one order cancel the others of its leader's group; those that are over have left it."""
    leader.group = leader.group or [leader]
    leader.group[:] = [one for one in leader.group if not one.is_done or one is leader]
    leader.group.append(order)
    order.group = leader.group
