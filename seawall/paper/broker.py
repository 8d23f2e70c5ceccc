"""A backtrader broker that sends orders to a sandbox, and believes nothing but the exchange.

Beside backtrader's own arguments ``buy`` and ``sell`` take ``cash``, ``fit_to_cash``,
``target_weight``, ``time_in_force``, ``post_only`` and ``reason``, as the broker of a backtest
does; sizes are fixed at the last close. An order is checked against the limits, written to the
journal, sent once, and then followed: at each turn the exchange is asked, new fills are booked,
and the strategy is told.

Left out: brackets, one-cancels-other, trailing and dated orders: they are rejected by name.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any

import backtrader as bt

from seawall.engine.orders import copy_order, make_order
from seawall.paper.client import ExchangeClient
from seawall.paper.faults import ExchangeFault
from seawall.paper.limits import Exposure, LimitKeeper, is_reducing
from seawall.paper.news import Heard, OrderStream
from seawall.paper.order import OrderIntent, OrderRecord, OrderType, TradeFill
from seawall.paper.supervisor import Supervisor
from seawall.units import SECOND_MS, split_symbol

_TYPES: Mapping[int, OrderType] = {
    bt.Order.Market: "market",
    bt.Order.Limit: "limit",
    bt.Order.Stop: "stop",
    bt.Order.StopLimit: "stop_limit",
}
_LEFT_OUT = ("parent", "oco", "valid", "trailamount", "trailpercent", "good_until_ms")
_MARGIN_FOR_COSTS = 0.998  # of the cash: fee and the way of the price until the order arrives


class PaperBroker(bt.BrokerBase):
    """The spot account of a sandbox for ``bt.Cerebro``.

    Args:
        client: the account; its journal has a baseline (``reconcile``).
        keeper: the session's limits.
        quote: the asset of cash.
        look_ms: how often the exchange is asked at most while orders are alive.

    Attributes:
        stream: tells news of orders, where there is one.
        supervisor: watches the session, where there is one: its ``turn`` comes first at each turn,
            and what it refuses is not sent unless it makes a position smaller.
    """

    def __init__(
        self, client: ExchangeClient, keeper: LimitKeeper, *, quote: str, look_ms: int = SECOND_MS
    ) -> None:
        super().__init__()
        self.client, self.keeper, self._quote, self._look_ms = client, keeper, quote, look_ms
        self.supervisor: Supervisor | None = None
        self.stream: OrderStream | None = None
        self.startingcash = self.getcash()
        self._notifications: deque[bt.Order] = deque()
        self._alive: dict[str, bt.Order] = {}  # by client id
        self._ids: dict[int, str] = {}
        self._positions: dict[str, bt.Position] = {}
        self._next_look_ms, self._n_orders = 0, 0
        known = client.journal.fills_after(0)
        self._booked = known[-1][0] if known else 0

    # The account ----------------------------------------------------------------------------------

    def getcash(self) -> float:
        """Return the quote units that are believed to be held, those behind orders included."""
        return self.client.journal.believed("balance").get(self._quote, 0.0)

    get_cash = getcash

    def getvalue(self, datas: Any = None, **_ignored: bool) -> float:
        """Return the equity, or the value held in ``datas``, at the last closes."""
        held = self.client.journal.believed("balance")
        feeds = self.cerebro.datas if datas is None else datas
        value = 0.0 if datas is not None else held.get(self._quote, 0.0)
        for data in feeds:
            value += held.get(_base(data), 0.0) * _last_close(data)
        return value

    get_value = getvalue

    def getposition(self, data: Any) -> bt.Position:
        """Return backtrader's position of one feed: what is held of its coin."""
        name, held = _name(data), self.client.journal.believed("balance").get(_base(data), 0.0)
        position = self._positions.setdefault(name, bt.Position(held, _last_close(data)))
        position.fix(held, position.price if held else 0.0)
        return position

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
        feeds = {_name(data): data for data in self.cerebro.datas}
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
        intent = record.intent
        price = intent.price if intent.stop_price is None else intent.stop_price
        arguments = {
            "exectype": next(kind for kind, name in _TYPES.items() if name == intent.type),
            "price": price,
            "plimit": intent.price if intent.type == "stop_limit" else None,
            "client_id": intent.client_id,
        }
        kind = bt.BuyOrder if intent.side == "buy" else bt.SellOrder
        order: Any = make_order(kind, owner, data, intent.quantity, arguments)
        self._n_orders = order.ref = self._n_orders + 1
        order.addcomminfo(self.getcommissioninfo(data))
        sign = 1.0 if intent.side == "buy" else -1.0
        order.executed.size = sign * record.filled
        order.executed.remsize = sign * (intent.quantity - record.filled)
        order.submit(self)
        order.accept(self)
        self._alive[intent.client_id] = order
        self._ids[order.ref] = intent.client_id
        self._notifications.append(copy_order(order))

    def next(self) -> None:
        """Ask the exchange what became of the orders, and book it; called at every turn."""
        if self.supervisor is not None:
            self.supervisor.turn()
        if self.stream is not None:
            for heard in self.stream.take():
                self._hear(heard)
        now_ms = self.client.clock()
        if not self._alive or now_ms < self._next_look_ms:
            return
        self._next_look_ms = now_ms + self._look_ms
        try:
            self.client.resolve_all()
            for symbol in {_name(order.data) for order in self._alive.values()}:
                self.client.sync_trades(symbol)
        except ExchangeFault as error:
            self._note("fault", str(error))
        self._follow()

    def _hear(self, heard: Heard) -> None:
        """Write news of an order down, and look at the exchange now, whatever they say."""
        journal, now_ms, news = self.client.journal, self.client.clock(), heard.news
        self._next_look_ms = 0
        if news is None:
            self._note("stream", heard.text)
        elif journal.has_order(heard.client_id):
            key = f"order {heard.client_id} {news.exchange_ms} {news.state} {news.filled!r}"
            if journal.see(key, now_ms, "order event", [news.state, news.filled]):
                journal.tell(heard.client_id, news, now_ms)

    def _send(
        self, kind: type[bt.Order], owner: Any, data: Any, size: float, wishes: dict[str, Any]
    ) -> bt.Order:
        oddities = [name for name in _LEFT_OUT if wishes.pop(name, None)]
        target = wishes.get("target_weight")
        order = make_order(kind, owner, data, size, dict(wishes))
        # backtrader counts over all runs of the process: that would not be reproducible.
        self._n_orders = order.ref = self._n_orders + 1
        order.addcomminfo(self.getcommissioninfo(data))
        order.submit(self)
        self._notifications.append(copy_order(order))
        why = f"a paper order has no {', '.join(oddities)}" if oddities else self._fault_of(order)
        intent = None if why else self._to_intent(order, wishes, target)
        if intent is not None:
            why = self._breach_of(intent, order)
        if intent is None or why:
            self._reject(order, why or "there is nothing to send: the size rounds to zero")
            return order
        _resize(order, intent)
        self.keeper.note_sent(self.client.clock())
        self._alive[intent.client_id] = order
        self._ids[order.ref] = intent.client_id
        order.addinfo(client_id=intent.client_id)
        self.client.place(intent)
        self._note_quote(intent)
        self._next_look_ms = 0
        self._follow()
        return order

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

    def _fault_of(self, order: bt.Order) -> str:
        """Return why an order cannot even be looked at, or ``""``."""
        if order.exectype not in _TYPES:
            return f"a paper order is one of {', '.join(_TYPES.values())}"
        data: Any = order.data
        if not getattr(data, "is_live", True):
            return "a warm-up is seen, not traded: order from the first live bar on"
        if not _last_close(data) > 0:
            return "an order needs a price: the symbol has not traded yet"
        return ""

    def _to_intent(
        self, order: bt.Order, wishes: Mapping[str, Any], target: float | None
    ) -> OrderIntent | None:
        """Return the order in the exchange's steps; ``None`` where nothing is left of it."""
        data, created, exchange = order.data, order.created, self.client.exchange
        symbol, kind, price = _name(data), _TYPES[order.exectype], _last_close(data)
        is_buy = order.isbuy()
        quantity = abs(created.size)
        if target is not None:
            gap = target * self.getvalue() / price - self.getposition(data).size
            is_buy, quantity = gap > 0, abs(gap)
        elif wishes.get("cash"):
            quantity = float(wishes["cash"]) / price
        if is_buy and (wishes.get("fit_to_cash") or target is not None):
            quantity = min(quantity, self.getcash() * _MARGIN_FOR_COSTS / price)
        limit = created.price if kind == "limit" else created.pricelimit
        try:
            rounded = float(exchange.amount_to_precision(symbol, quantity))
        except Exception:  # noqa: BLE001 - ccxt's word for "below the smallest amount"
            return None
        return OrderIntent(
            client_id=self.client.journal.new_client_id(),
            symbol=symbol,
            side="buy" if is_buy else "sell",
            type=kind,
            quantity=rounded,
            price=self._to_tick(symbol, limit) if kind in ("limit", "stop_limit") else None,
            stop_price=self._to_tick(symbol, created.price) if "stop" in kind else None,
            time_in_force=wishes.get("time_in_force") or "gtc",
            post_only=bool(wishes.get("post_only")),
            reason=str(wishes.get("reason") or ""),
        )

    def _to_tick(self, symbol: str, price: float) -> float:
        return float(self.client.exchange.price_to_precision(symbol, price))

    def _breach_of(self, intent: OrderIntent, order: bt.Order) -> str:
        resting = sum(
            one.intent.quantity - one.filled
            for one in self.client.journal.orders("open", "unknown", "intended")
            if (one.intent.symbol, one.intent.side) == (intent.symbol, intent.side)
        )
        exposure = Exposure(_last_close(order.data), self.getposition(order.data).size, resting)
        refusal = "" if self.supervisor is None else self.supervisor.refusal
        if refusal and not is_reducing(intent, exposure):
            return refusal
        breach = self.keeper.check_order(intent, exposure, self.client.clock())
        return "" if breach is None else f"{breach.limit}: {breach.text}"

    # What the exchange says -----------------------------------------------------------------------

    def _follow(self) -> None:
        """Book what the journal has learnt since the last time, and tell the strategy."""
        journal = self.client.journal
        for number, fill in journal.fills_after(self._booked):
            self._booked = number
            client_id = journal.client_id_of(fill.symbol, fill.exchange_order_id)
            if client_id in self._alive:
                self._book(self._alive[client_id], fill)
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

    def _book(self, order: bt.Order, fill: TradeFill) -> None:
        """Enter one fill in backtrader's order and position."""
        position = self._positions.setdefault(fill.symbol, bt.Position())
        before = position.price
        _, _, opened, closed = position.update(fill.signed, fill.price)
        fee = self._fee_in_quote(fill)
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

    def _fee_in_quote(self, fill: TradeFill) -> float:
        base, quote = split_symbol(fill.symbol)
        if fill.fee_asset in (quote, ""):
            return fill.fee
        if fill.fee_asset == base:
            return fill.fee * fill.price
        self._note("fee", f"{fill.fee:g} {fill.fee_asset} of {fill.trade_id} is not in the value")
        return 0.0

    def _reject(self, order: bt.Order, why: str) -> None:
        self._note("refused", f"{_name(order.data)}: {why}")
        order.reject(self)
        self._notifications.append(copy_order(order))

    def _note(self, kind: str, text: str) -> None:
        self.client.journal.note(self.client.clock(), kind, text)


def _resize(order: bt.Order, intent: OrderIntent) -> None:
    """Let backtrader's order say what is really sent."""
    is_buy = intent.side == "buy"
    order.ordtype = bt.Order.Buy if is_buy else bt.Order.Sell
    size = intent.quantity if is_buy else -intent.quantity
    order.size = order.created.size = order.executed.remsize = size


def _name(data: Any) -> str:
    return str(data._name)  # noqa: SLF001 - backtrader's public name of a feed


def _base(data: Any) -> str:
    return split_symbol(_name(data))[0]


def _last_close(data: Any) -> float:
    return float(data.close[0]) if len(data) else 0.0
