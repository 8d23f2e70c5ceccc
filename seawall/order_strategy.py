"""From what an agent asks for to backtrader's orders, and the list of those that are alive.

``OrderStrategy`` is the half of a job that sends; ``AgentStrategy`` is the half that asks.
"""

from collections.abc import Mapping
from typing import Any

import backtrader as bt

from seawall.action import Action, Order, TargetWeight, to_json
from seawall.bt_orders import EXECTYPES, describe, limit_of, see_order, to_datetime, to_wishes
from seawall.deleveraging import to_leverage
from seawall.journal import JournalKind
from seawall.observation import FillSeen, Observation, OpenOrder
from seawall.perpetual_action import TargetLeverage
from seawall.units import is_perpetual


class OrderStrategy(bt.Strategy):
    """Sends orders towards targets, and keeps what is alive and what was filled.

    A class that derives from it fills ``feeds`` by symbol, and overrides ``_record`` and
    ``_fill_ms``; ``only_reduces`` where its orders of one side may not open anything.

    Parameters:
        sizing, rebalance_band: see ``AgentStrategy``.
    """

    params: Any = (("sizing", "decision"), ("rebalance_band", 0.02))
    broker: Any

    def __init__(self) -> None:
        self.feeds: dict[str, Any] = {}
        self._is_changed = True
        self._has_futures = False
        self._alive: dict[int, Any] = {}
        self._targets: dict[str, tuple[object, Any]] = {}
        self._fresh_fills: list[FillSeen] = []
        self._step = -1
        self._reason = ""  # of the decision that is being carried out

    # What has to be overridden --------------------------------------------------------------------

    def _record(self, kind: JournalKind, text: str, *, reason: str = "", symbol: str = "") -> None:
        """Write to the journal, dated now."""
        raise NotImplementedError

    def _fill_ms(self) -> int:
        """Return the close of the bar in which an order was filled just now."""
        raise NotImplementedError

    def only_reduces(self, symbol: str, side: str) -> bool:
        """Return whether orders of one side are sent to reduce a position, and never to turn it.

        The exchange cuts them to what is held when they fill, whatever has filled before.
        """
        del symbol, side
        return False

    # Towards a target -----------------------------------------------------------------------------

    def _aim(self, target: TargetWeight, observation: Observation) -> None:
        """Trade towards a weight; a target that is already on its way is left alone."""
        symbol, weight = target.symbol, target.weight
        price = observation.price(symbol)
        held = observation.quantities[symbol]
        if self._is_on_its_way(symbol, weight):
            return
        gap = weight - observation.weight(symbol)
        if gap == 0 or (weight != 0 and abs(gap) <= self.p.rebalance_band):
            return
        if not price > 0 or observation.equity <= 0:
            self._record("refused", describe(target), symbol=symbol, reason=_NO_PRICE)
            return
        quantity = abs(held) if weight == 0 else abs(weight * observation.equity / price - held)
        wishes: dict[str, object] = {"fit_to_cash": True}
        if self.p.sizing == "fill":
            wishes = {"target_weight": weight}
        reduces = held * gap < 0 and quantity <= abs(held)
        if is_perpetual(symbol) and (
            reduces or self.only_reduces(symbol, "buy" if gap > 0 else "sell")
        ):
            wishes["reduce_only"] = True  # it may have been liquidated by then
        self._trade(symbol, quantity if gap > 0 else -quantity, weight, wishes)

    def _lever(self, target: TargetLeverage, observation: Observation) -> None:
        """Trade towards a leverage; what it sets free of an isolated margin stays in it."""
        symbol, view = target.symbol, observation.perpetual
        if view is None:
            self._record("refused", describe(target), symbol=symbol, reason=NO_FUTURES)
            return
        if self._is_on_its_way(symbol, target):
            return
        steps = to_leverage(view, symbol, target.leverage)
        if steps.why_not:
            self._record("refused", describe(target), symbol=symbol, reason=steps.why_not)
        if steps.quantity == 0:
            return
        reduces = steps.quantity * observation.quantities[symbol] < 0
        wishes = {"reduce_only": True, "keep_margin": True} if reduces else {"fit_to_cash": True}
        self._trade(symbol, steps.quantity, target, wishes)

    def _is_on_its_way(self, symbol: str, target: object) -> bool:
        """Return whether an order for a target is alive; one for another target is cancelled."""
        standing = self._find_standing(symbol)
        if standing is None:
            return False
        if standing[0] == target:
            return True
        self.cancel(standing[1])
        return False

    def _find_standing(self, symbol: str) -> tuple[object, Any] | None:
        """Return the target of a symbol that is on its way, and the order that leads there."""
        standing = self._targets.get(symbol)
        return standing if standing is not None and standing[1].alive() else None

    def is_on_its_way(self, action: Action) -> bool:
        """Return whether an action is a target that a living order leads to: nothing is sent."""
        if not isinstance(action, (TargetWeight, TargetLeverage)):
            return False
        standing = self._find_standing(action.symbol)
        key = action.weight if isinstance(action, TargetWeight) else action
        return standing is not None and standing[0] == key

    def find_replaced(self, action: Action) -> Any:
        """Return the living order that a target would cancel; ``None`` where there is none."""
        if not isinstance(action, (TargetWeight, TargetLeverage)):
            return None
        standing = self._find_standing(action.symbol)
        return None if standing is None else standing[1]

    def _trade(
        self, symbol: str, quantity: float, target: object, wishes: Mapping[str, object]
    ) -> Any:
        """Send a market order, > 0 buys, that leads to a target."""
        trade = self.buy if quantity > 0 else self.sell
        order = trade(data=self.feeds[symbol], size=abs(quantity), **wishes)
        self._targets[symbol] = (target, order)
        self._alive[order.ref] = order
        return order

    # Single orders --------------------------------------------------------------------------------

    def _send(self, order: Order, observation: Observation) -> None:
        """Send one order, and its bracket behind it."""
        data, price = self.feeds[order.symbol], observation.price(order.symbol)
        if not price > 0:
            self._record("refused", to_json(order), symbol=order.symbol, reason=_NO_PRICE)
            return
        size = order.quantity if order.quantity is not None else (order.cash or 0.0) / price
        exits = [(order.stop_loss, bt.Order.Stop), (order.take_profit, bt.Order.Limit)]
        exits = [(price, exectype) for price, exectype in exits if price is not None]
        trade, back = (self.buy, self.sell) if order.side == "buy" else (self.sell, self.buy)
        is_stop = order.type in ("stop", "stop_limit")
        wishes = to_wishes(order)
        if self.only_reduces(order.symbol, order.side):
            wishes["reduce_only"] = True
        entry = trade(
            data=data,
            size=size,
            exectype=EXECTYPES[order.type],
            price=order.stop_price if is_stop else order.limit_price,
            plimit=order.limit_price if order.type == "stop_limit" else None,
            trailamount=order.trail_amount,
            trailpercent=order.trail_fraction,
            valid=to_datetime(order.good_until_ms),
            transmit=not exits,
            **wishes,
        )
        self._alive[entry.ref] = entry
        given = {"trigger": "mark"} if order.trigger == "mark" else {}
        for place, (level, exectype) in enumerate(exits, 1):
            last = place == len(exits)
            legs = {"exectype": exectype, "price": level, "parent": entry, "transmit": last}
            back(data=data, size=size, **legs, **given)

    def _cancel(self, order_id: str) -> None:
        for order in list(self._alive.values()):
            names = ("all", str(order.ref), str(order.info.get("client_id") or ""))
            if order_id in names:
                self.cancel(order)

    # Bookkeeping ----------------------------------------------------------------------------------

    def find_held(self, symbol: str) -> float:
        """Return the base units held now, what this decision has filled already included."""
        return float(self.broker.getposition(self.feeds[symbol]).size)

    def resting_buys(self, symbol: str, price: float, *, without: Any = None) -> float:
        """Return what living buy orders of ``symbol`` may still cost, quote units.

        ``price`` values those that have no limit: market orders, and stops above their trigger.
        """
        found = self._resting(symbol, "buy", without=without)
        return sum(_size_of(one) * (limit_of(one) or _dearest(one, price)) for one in found)

    def resting_quantity(self, symbol: str, side: str, *, without: Any = None) -> float:
        """Return what living orders of one side may still open, base units; exits do not count."""
        return sum(
            _size_of(one) for one in self._resting(symbol, side, opens=True, without=without)
        )

    def resting_notional(
        self, symbol: str, side: str, price: float, *, opens: bool = True, without: Any = None
    ) -> float:
        """Return the same in quote units, each at the highest of ``price`` and its own prices.

        A limit may be far through the market, and a stop beyond it: neither is filled there.

        Args:
            symbol: of the orders.
            side: ``"buy"`` or ``"sell"``.
            price: the last known one.
            opens: without those that only reduce; exits of a bracket never count.
            without: an order that is left out: what is about to be cancelled.
        """
        found = self._resting(symbol, side, opens=opens, without=without)
        return sum(_size_of(one) * _dearest(one, price) for one in found if one.parent is None)

    def reducing_quantity(self, symbol: str, side: str, *, without: Any = None) -> float:
        """Return what living orders of one side may only close, base units; two exits are one."""
        found: dict[int, float] = {}
        for one in self._resting(symbol, side, without=without):
            if one.parent is not None and one.parent.executed.size:
                key = one.parent.ref
            elif one.parent is None and one.info.get("reduce_only"):
                key = one.ref
            else:
                continue
            found[key] = max(found.get(key, 0.0), _size_of(one))
        return sum(found.values())

    def _resting(
        self, symbol: str, side: str, *, opens: bool = False, without: Any = None
    ) -> list[Any]:
        """Return living orders of one side; ``opens``: without those that only exit."""
        return [
            order
            for order in self._alive.values()
            if order is not without
            and order.alive()
            and order.data._name == symbol  # noqa: SLF001 - backtrader's public name of a feed
            and order.isbuy() == (side == "buy")
            and not (opens and (order.parent is not None or order.info.get("reduce_only")))
        ]

    def notify_order(self, order: Any) -> None:
        """Keep the list of living orders, and what was filled since the last decision."""
        self._is_changed = True
        for bit in order.executed.iterpending():
            self._fresh_fills.append(
                FillSeen(
                    time_ms=self._fill_ms(),
                    order_id=str(order.ref),
                    symbol=order.data._name,  # noqa: SLF001 - backtrader's public name of a feed
                    quantity=bit.size,
                    price=bit.price,
                    fee=bit.closedcomm + bit.openedcomm,
                )
            )
        if order.status == bt.Order.Margin:
            self._record("rejected", _MARGIN, symbol=order.data._name)  # noqa: SLF001
        if order.alive():
            self._alive[order.ref] = order
        else:
            self._alive.pop(order.ref, None)

    def _open_orders(self) -> tuple[OpenOrder, ...]:
        return tuple([see_order(order) for order in self._alive.values() if order.alive()])

    def _new_fills(self) -> tuple[FillSeen, ...]:
        fresh = tuple(self._fresh_fills)
        self._fresh_fills.clear()
        return fresh


NO_FUTURES = 'there is no futures account: set execution.fills to "exchange"'
_NO_PRICE = "an order needs a price and equity > 0: the symbol has not traded yet"
_MARGIN = "backtrader's own fill rules: not enough cash at the open it is filled at"
_STOPS = (bt.Order.Stop, bt.Order.StopLimit, bt.Order.StopTrail, bt.Order.StopTrailLimit)


def find_dearest(order: Order, price: float) -> float:
    """Return the highest price that an order names or that stands, quote units per base unit.

    It values an order for a limit on what may be held: no price of its own makes it look smaller.
    """
    trail = order.trail_amount or price * (order.trail_fraction or 0.0)
    raised = price + trail if order.side == "buy" else price
    return max(raised, order.limit_price or 0.0, order.stop_price or 0.0)


def _dearest(order: Any, price: float) -> float:
    """Return the same of backtrader's order."""
    stop = (order.created.price or 0.0) if order.exectype in _STOPS else 0.0
    return max(price, limit_of(order) or 0.0, stop)


def _size_of(order: Any) -> float:
    """Return what may still fill of backtrader's order, base units."""
    return float(abs(order.executed.remsize))
