"""A backtrader broker that sends orders to a sandbox, and believes nothing but the exchange.

Beside backtrader's own arguments ``buy`` and ``sell`` take ``cash``, ``fit_to_cash``,
``target_weight``, ``time_in_force``, ``post_only`` and ``reason``, as the broker of a backtest
does; sizes are fixed at the last close. An order is checked against the limits, written to the
journal, sent once, and then followed: at each turn the exchange is asked, new fills are booked,
and the strategy is told.

Of perpetuals they also take ``reduce_only``, ``trigger`` and ``keep_margin``, and a stop waits at
the exchange as an algo order. What else is asked of a futures account is in ``futures_asks``.

Left out: brackets, one-cancels-other, trailing and dated orders: they are rejected by name.
"""

from collections import deque
from dataclasses import replace
from typing import Any

import backtrader as bt

from seawall.engine.orders import copy_order, make_order
from seawall.fill import Fill
from seawall.paper.client import ExchangeClient
from seawall.paper.faults import ExchangeFault
from seawall.paper.fills import to_fill
from seawall.paper.forced import FORCED, NOTE, is_forced
from seawall.paper.futures_asks import FuturesAsks
from seawall.paper.limits import Exposure, LimitKeeper, is_reducing
from seawall.paper.news import Heard, OrderStream
from seawall.paper.order import OrderIntent, OrderRecord, TradeFill
from seawall.paper.sending import (
    LEFT_OUT,
    Side,
    find_fault,
    from_record,
    last_close,
    name_of,
    resize,
    to_intent,
)
from seawall.paper.spot_side import SpotSide
from seawall.paper.supervisor import Supervisor
from seawall.perpetual_action import PerpetualAction
from seawall.perpetual_view import PerpetualView
from seawall.units import SECOND_MS


class PaperBroker(bt.BrokerBase):
    """The account of a sandbox for ``bt.Cerebro``.

    Args:
        client: the account; its journal has a baseline (``reconcile``).
        keeper: the session's limits.
        quote: the asset of cash.
        side: how the account is read; as one of spot if not given.
        futures: carries out what is asked of a futures account beside orders.
        look_ms: how often the exchange is asked at most while orders are alive.

    Attributes:
        stream: tells news of orders, where there is one.
        supervisor: watches the session, where there is one: its ``turn`` comes first at each turn,
            and what it refuses is not sent unless it makes a position smaller.
        decided_ms: close of the bar that is decided at now; set by the desk, 0 before the first.
        fills: every execution that was booked, in order.
    """

    def __init__(
        self,
        client: ExchangeClient,
        keeper: LimitKeeper,
        *,
        quote: str,
        side: Side | None = None,
        futures: FuturesAsks | None = None,
        look_ms: int = SECOND_MS,
    ) -> None:
        super().__init__()
        self.client, self.keeper, self._look_ms = client, keeper, look_ms
        self.futures = futures
        self.side: Side = side or SpotSide(client, quote=quote)
        self.fills: list[Fill] = []
        self.supervisor: Supervisor | None = None
        self.stream: OrderStream | None = None
        self.decided_ms = 0
        self.startingcash = self.getcash()
        self._notifications: deque[bt.Order] = deque()
        self._alive: dict[str, bt.Order] = {}  # by client id
        self._ids: dict[int, str] = {}
        self._positions: dict[str, bt.Position] = {}
        self._unclaimed: list[TradeFill] = []
        self._next_look_ms, self._n_orders = 0, 0
        known = client.journal.fills_after(0)
        self._booked = known[-1][0] if known else 0

    # The account ----------------------------------------------------------------------------------

    def getcash(self) -> float:
        """Return the quote units that are believed to be held, or free of a futures account."""
        return self.side.cash()

    get_cash = getcash

    def getvalue(self, datas: Any = None, **_ignored: bool) -> float:
        """Return the equity, or the value held in ``datas``, at the last closes."""
        if datas is None:
            return self.side.value(self._prices())
        return sum(self.side.quantity(name_of(data)) * last_close(data) for data in datas)

    get_value = getvalue

    def getposition(self, data: Any) -> bt.Position:
        """Return backtrader's position of one feed."""
        name = name_of(data)
        held, entry = self.side.quantity(name), self.side.entry(name)
        position = self._positions.setdefault(name, bt.Position(held, entry or last_close(data)))
        position.fix(held, (entry or position.price) if held else 0.0)
        return position

    # A futures account ----------------------------------------------------------------------------

    def see_perpetual(self) -> PerpetualView | None:
        """Return what an agent may know of the futures account; ``None`` where there is none."""
        return None if self.futures is None else self.futures.side.see()

    def margin_ratio(self) -> float:
        """Return the highest margin ratio at the last look; 0.0 without a position."""
        return 0.0 if self.futures is None else self.futures.side.margin_ratio()

    def ask(self, action: PerpetualAction, reason: str = "") -> None:
        """Do what is asked of the futures account beside orders; refusals are in the journal."""
        del reason  # it stands with the decision
        if self.futures is not None:
            self.futures.ask(action, refusal=self._refusal())

    def _prices(self) -> dict[str, float]:
        traded = [one for one in self.cerebro.datas if not getattr(one, "only_shows", False)]
        return {name_of(data): last_close(data) for data in traded}

    # Orders ---------------------------------------------------------------------------------------

    def buy(  # type: ignore[override]  # the rest comes by keyword, as bt.Strategy sends it
        self, owner: Any, data: Any, size: float, **wishes: Any
    ) -> bt.Order:
        """Send a buy; see the module for what ``wishes`` may hold."""
        return self._send(bt.BuyOrder, owner, data, size, wishes)

    def sell(  # type: ignore[override]
        self, owner: Any, data: Any, size: float, **wishes: Any
    ) -> bt.Order:
        """Send a sell; see the module for what ``wishes`` may hold."""
        return self._send(bt.SellOrder, owner, data, size, wishes)

    def cancel(self, order: bt.Order) -> bool:
        """Ask the exchange to cancel; false where the order is over, or the answer is missing."""
        client_id = self._ids.get(order.ref, "")
        if client_id not in self._alive:
            return False
        try:
            record = self.client.cancel(client_id)
        except ExchangeFault as error:
            self._note("cancel", f"{client_id}: {error}")
            return False
        self._follow()
        return record.state == "cancelled"

    def get_notification(self) -> bt.Order | None:
        """Return the next order that has changed, or ``None``."""
        return self._notifications.popleft() if self._notifications else None

    def get_orders_open(self, safe: bool = False) -> list[bt.Order]:  # noqa: FBT001, FBT002
        """Return the orders that are alive."""
        return [copy_order(order) if safe else order for order in self._alive.values()]

    def take_over(self, owner: Any) -> list[str]:
        """Take over the orders of earlier sessions that are open; return their client ids.

        The owner is told of each as of one of its own that has just been accepted. What is open
        and was not made by this journal, or in a symbol that is not traded, is cancelled: an
        adopted order of somebody else, say.

        Raises:
            ExchangeFault: one should be cancelled, and the exchange does not say that it is.
        """
        feeds = {name_of(data): data for data in self.cerebro.datas}
        taken = []
        for record in self.client.journal.orders("open"):
            intent = record.intent
            if intent.symbol not in feeds or not intent.client_id.startswith(
                self.client.journal.mark
            ):
                self.client.cancel(intent.client_id)
                continue
            self._attach(record, feeds[intent.symbol], owner)
            taken.append(intent.client_id)
        return taken

    def _attach(self, record: OrderRecord, data: Any, owner: Any) -> None:
        order = from_record(record, data, owner)
        self._n_orders = order.ref = self._n_orders + 1
        order.addcomminfo(self.getcommissioninfo(data))
        order.submit(self)
        order.accept(self)
        self._alive[record.intent.client_id] = order
        self._ids[order.ref] = record.intent.client_id
        self._notifications.append(copy_order(order))

    def next(self) -> None:
        """Ask the exchange what became of the orders, and book it; called at every turn."""
        if self.supervisor is not None:
            self.supervisor.turn()
        if self.futures is not None:
            self.futures.turn()
        heard = [] if self.stream is None else self.stream.take()
        for one in heard:
            self._hear(one)
        now_ms, before = self.client.clock(), self._booked
        if heard or (self._alive and now_ms >= self._next_look_ms):
            self._next_look_ms = now_ms + self._look_ms
            self._look(has_heard=bool(heard))
        else:
            self._follow()
        self.side.refresh(at_once=self._booked != before or bool(heard))

    def _look(self, *, has_heard: bool) -> None:
        """Ask what became of the orders; where the stream spoke, it may be of what is not ours."""
        try:
            self.client.resolve_all()
            for data in self.cerebro.datas if has_heard else [o.data for o in self._alive.values()]:
                self.client.sync_trades(name_of(data))
        except ExchangeFault as error:
            self._note("fault", str(error))
        self._follow()

    def _hear(self, heard: Heard) -> None:
        """Write news of an order down; the exchange is asked now, whatever they say."""
        journal, now_ms, news = self.client.journal, self.client.clock(), heard.news
        if news is None:
            if heard.text:
                self._note("stream", heard.text)
        elif journal.has_order(heard.client_id):
            key = f"order {heard.client_id} {news.exchange_ms} {news.state} {news.filled!r}"
            if journal.see(key, now_ms, "order event", [news.state, news.filled]):
                journal.tell(heard.client_id, news, now_ms)

    def _send(
        self, kind: type[bt.Order], owner: Any, data: Any, size: float, wishes: dict[str, Any]
    ) -> bt.Order:
        order = make_order(
            kind, owner, data, size, {k: v for k, v in wishes.items() if k not in LEFT_OUT}
        )
        # backtrader counts over all runs of the process: that would not be reproducible.
        self._n_orders = order.ref = self._n_orders + 1
        order.addcomminfo(self.getcommissioninfo(data))
        order.submit(self)
        self._notifications.append(copy_order(order))
        why, intent = find_fault(order, wishes), None
        if not why:
            intent = to_intent(order, wishes, self.client, self.side, self.getvalue())
            why = _NOTHING if intent is None else self._breach_of(intent, order)
        if intent is None or why:
            self._reject(order, why)
            return order
        resize(order, intent)
        intent = replace(intent, decided_ms=self.decided_ms)
        self._transmit(order, intent, keeps_margin=bool(wishes.get("keep_margin")))
        return order

    def _transmit(self, order: bt.Order, intent: OrderIntent, *, keeps_margin: bool) -> None:
        self.keeper.note_sent(self.client.clock())
        self._alive[intent.client_id] = order
        self._ids[order.ref] = intent.client_id
        order.addinfo(client_id=intent.client_id)
        self.side.note_sent(intent.client_id, intent.symbol, keeps_margin=keeps_margin)
        self.client.place(intent)
        self._note_quote(intent)
        self._next_look_ms = 0
        self._follow()

    def _note_quote(self, intent: OrderIntent) -> None:
        """Note bid and ask beside a market order: what it met (``parity``); none is no harm."""
        if intent.type != "market":
            return
        calls, symbol = self.client.calls, intent.symbol
        try:
            told = calls.call(calls.exchange.fetch_bids_asks, [symbol])[symbol]
            bid, ask = float(told["bid"]), float(told["ask"])
        except (ExchangeFault, KeyError, TypeError, ValueError):
            return
        now_ms = self.client.clock()
        quote = {"time_ms": now_ms, "symbol": symbol, "bid": bid, "ask": ask}
        self.client.journal.see(f"quote {intent.client_id}", now_ms, "quote", quote)

    def _refusal(self) -> str:
        """Return why nothing that adds to the risk is sent now, or ``""``."""
        return (self.supervisor.refusal if self.supervisor is not None else "") or self.side.doubt()

    def _breach_of(self, intent: OrderIntent, order: bt.Order) -> str:
        resting = sum(
            one.intent.quantity - one.filled
            for one in self.client.journal.orders("open", "unknown", "intended")
            if (one.intent.symbol, one.intent.side) == (intent.symbol, intent.side)
            and not one.intent.reduce_only
        )
        exposure = Exposure(
            last_close(order.data),
            self.side.quantity(intent.symbol),
            resting,
            self.side.gross(intent.symbol, self._prices()),
            self.getvalue(),
        )
        refusal = self._refusal()
        if refusal and not is_reducing(intent, exposure):
            return refusal
        breach = self.keeper.check_order(intent, exposure, self.client.clock())
        return "" if breach is None else f"{breach.limit}: {breach.text}"

    # What the exchange says -----------------------------------------------------------------------

    def _follow(self) -> None:
        """Book what the journal has learnt since the last time, and tell the strategy."""
        journal = self.client.journal
        fresh = journal.fills_after(self._booked)
        waiting, self._unclaimed = [*self._unclaimed, *(fill for _, fill in fresh)], []
        self._booked = fresh[-1][0] if fresh else self._booked
        for fill in waiting:
            client_id = journal.client_id_of(fill.symbol, fill.exchange_order_id)
            if not client_id:
                self._unclaimed.append(fill)  # of a stop, it may be known later whose it is
            elif client_id in self._alive:
                self._book(self._alive[client_id], fill)
            elif is_forced(journal.order(client_id)):
                self._tell_forced(journal.order(client_id), fill)
        for client_id, order in list(self._alive.items()):
            self._settle(client_id, order, journal.order(client_id))

    def _settle(self, client_id: str, order: bt.Order, record: OrderRecord) -> None:
        """Bring backtrader's status in line with the journal's."""
        executed = abs(order.executed.size)
        if record.is_over and executed < record.filled * (1 - 1e-9):
            return  # its trades are not all listed yet
        if record.state == "open" and order.status == bt.Order.Submitted:
            order.accept(self)
        elif record.state == "filled":
            order.executed.remsize = 0.0
            order.completed()
        elif record.state == "cancelled":
            order.cancel()
        elif record.state == "expired":
            order.status = bt.Order.Expired
        elif record.state in ("rejected", "lost"):
            self._note("rejected", f"{client_id}: {record.why}")
            order.reject(self)
        else:
            return
        if record.is_over:
            del self._alive[client_id]
        self._notifications.append(copy_order(order))

    def _book(self, order: bt.Order, fill: TradeFill, *, rule: str = "the exchange") -> None:
        """Enter one fill in backtrader's order and position."""
        position = self._positions.setdefault(fill.symbol, bt.Position())
        before = position.price
        _, _, opened, closed = position.update(fill.signed, fill.price)
        fee = self._fee_of(fill)
        self.fills.append(to_fill(fill, fee=fee, order_id=str(order.ref), rule=rule))
        share = abs(closed) / fill.quantity
        order.execute(
            order.data.datetime[0], fill.signed, fill.price,
            closed, abs(closed) * before, fee * share,
            opened, abs(opened) * fill.price, fee * (1 - share),
            None, -closed * (fill.price - before), position.size, position.price,
        )  # fmt: skip
        if abs(order.executed.size) < abs(order.created.size):
            order.partial()
            self._notifications.append(copy_order(order))

    def _tell_forced(self, record: OrderRecord, fill: TradeFill) -> None:
        """Tell the strategy of a fill of the exchange's own order as of an order that is filled."""
        data = next((one for one in self.cerebro.datas if name_of(one) == fill.symbol), None)
        if data is None:
            return
        kind = bt.BuyOrder if fill.side == "buy" else bt.SellOrder
        order: Any = make_order(kind, None, data, fill.quantity, {"liquidation": True})
        self._n_orders = order.ref = self._n_orders + 1
        order.addcomminfo(self.getcommissioninfo(data))
        order.submit(self)
        order.accept(self)
        what = record.intent.reason.removeprefix(FORCED)
        self._note(NOTE, f"{what}: {fill.signed:g} {fill.symbol} at {fill.price:g}")
        self._book(order, fill, rule="liquidation")
        order.executed.remsize = 0.0
        order.completed()
        self._notifications.append(copy_order(order))

    def _fee_of(self, fill: TradeFill) -> float:
        fee = self.side.fee_in_quote(fill)
        if fee is None:
            text = f"{fill.fee:g} {fill.fee_asset} of {fill.trade_id} is not in the value"
            self._note("fee", text)
        return fee or 0.0

    def _reject(self, order: bt.Order, why: str) -> None:
        journal, now_ms = self.client.journal, self.client.clock()
        text = f"{name_of(order.data)}: {why}"
        journal.note(now_ms, "refused", text)
        told = {"time_ms": now_ms, "decided_ms": self.decided_ms, "text": text}
        journal.see(f"refusal {journal.session} {order.ref}", now_ms, "refusal", told)
        order.reject(self)
        self._notifications.append(copy_order(order))

    def _note(self, kind: str, text: str) -> None:
        self.client.journal.note(self.client.clock(), kind, text)


_NOTHING = "there is nothing to send: the size rounds to zero"
