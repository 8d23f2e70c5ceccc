"""The exchange as a backtrader broker: whatever a ``bt.Strategy`` can send, it takes.

Beside backtrader's own arguments, ``buy`` and ``sell`` take these by keyword (they are kept in
``order.info``): ``cash`` (quote units to spend or receive), ``target_weight`` (share of the equity
to hold; both fix the size, and the second also the side, at the fill), ``fit_to_cash`` (made
smaller without a journal entry), ``time_in_force`` (``gtc``, ``ioc``, ``fok``, ``gtd``),
``good_until_ms``, ``post_only``, ``reason`` and ``client_id``; of perpetuals also ``reduce_only``,
``trigger`` (``last``, or ``mark``: which price sets off a stop or a bracket's exit) and
``keep_margin`` (what a fill sets free of an isolated margin backs what is left).
Costs come from ``SpotParameters``; a commission scheme that a script sets is kept and not charged,
and the journal says so.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, Self

import backtrader as bt

from seawall.engine.bookfeeds import BookFeeds
from seawall.engine.orders import (
    WARM_UP,
    copy_order,
    find_fault,
    join,
    make_liquidation,
    make_order,
    mark_ended,
    mark_filled,
    to_venue_order,
)
from seawall.engine.perpetual.seat import NO_FUTURES, FuturesSeat
from seawall.engine.perpetual.world import PerpetualWorld
from seawall.fill import Fill
from seawall.journal import Journal
from seawall.market.series import FloatArray, TimeArray
from seawall.perpetual_action import PerpetualAction
from seawall.perpetual_view import PerpetualView
from seawall.recipe import Recipe
from seawall.units import BPS
from seawall.venues.account import Account
from seawall.venues.exchange import Exchange
from seawall.venues.futures_requests import Moment
from seawall.venues.ledger import Ledger
from seawall.venues.orders import FOREVER_MS, Book, Outcome, VenueOrder
from seawall.venues.parameters import Ambiguity, OrderGrid, SpotParameters, find_parameters
from seawall.venues.spot import Execution
from seawall.venues.step import meet_bars

_FRICTIONLESS = SpotParameters()


class ExchangeBroker(bt.BrokerBase):
    """An exchange for ``bt.Cerebro``.

    Args:
        parameters: by symbol, or one for all symbols.
        cash: quote units at the start.
        initial_holdings: by base asset: base units, or a share of ``cash`` such as ``"50%"`` that
            becomes coin at the first price from ``since_ms`` on, free of charge.
        journal: where everything is written; a new one by default.
        quote: the asset of cash, prices and fees.
        since_ms: open stamp of the first bar that may trade.
        perpetual: of a market with perpetuals: their marks, funding and brackets, by step of the
            feeds' clock; their symbols then settle through a futures account.

    Attributes:
        fills, journal, ledger, n_ambiguous: as in ``Exchange``.
        startingcash: quote units at the start.
        positions: backtrader positions by feed.
        futures: the futures account, ``None`` where there are no perpetuals, or before the run.
        thinking_ms: how much later than now what is sent leaves: its agent is still thinking.
    """

    _exchange: Exchange
    _seen_ms: int
    _value: float

    def __init__(
        self,
        parameters: Mapping[str, SpotParameters] | SpotParameters = _FRICTIONLESS,
        *,
        cash: float = 10_000.0,
        initial_holdings: Mapping[str, float | str] | None = None,
        journal: Journal | None = None,
        quote: str = "USDT",
        since_ms: int = -FOREVER_MS,
        perpetual: PerpetualWorld | None = None,
    ) -> None:
        self._perpetual = perpetual
        self._parameters = parameters
        self._initial_holdings = dict(initial_holdings or {})
        self.journal = Journal() if journal is None else journal
        self._quote = quote
        self._since_ms = since_ms
        self.startingcash = float(cash)
        self._is_coo = False
        self.thinking_ms = 0
        super().__init__()
        self._reset([])

    @classmethod
    def from_recipe(
        cls,
        recipe: Recipe,
        *,
        journal: Journal | None = None,
        filters: Mapping[str, OrderGrid] | None = None,
        ambiguity: Ambiguity = "worst",
        perpetual: PerpetualWorld | None = None,
    ) -> Self:
        """Return the broker of a recipe; ``filters`` are what the catalog knows, by symbol."""
        contracts = None if perpetual is None else perpetual.section
        parameters = find_parameters(
            recipe, filters or {}, ambiguity=ambiguity, contracts=contracts
        )
        return cls(
            parameters,
            cash=recipe.account.cash,
            initial_holdings=recipe.account.initial_holdings,
            journal=journal,
            quote=recipe.market.quote,
            since_ms=recipe.market.since_ms,
            perpetual=perpetual,
        )

    # The run --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the account; backtrader calls it before the first bar."""
        super().start()
        self._reset(list(self.cerebro.datas))

    def stop(self) -> None:
        """Let what is left expire, and check the books."""
        if self._seat is not None:
            self._seat.show_close()
        self._exchange.end(self._feeds.now_ms())
        super().stop()

    def next(self) -> None:
        """Meet the bars that have just closed, then value the account."""
        exchange, seat = self._exchange, self._seat
        if seat is not None:
            if exchange.orders or seat.is_busy:
                seat.meet()
            else:
                seat.is_lost = True
        elif exchange.orders:
            bars = self._feeds.fresh_bars(exchange.orders)
            if bars:
                meet_bars(exchange, bars, self._feeds.now_ms())
        if self._is_coo:
            self._seen_ms = self._feeds.now_ms()
        value = self._account.cash
        for line, book in self._feeds.held:
            index = line._idx  # noqa: SLF001 - the public property costs a call per bar
            value += book.held * (line.array[index] if index >= 0 else book.read_price(False))
        if seat is not None:
            futures = seat.futures
            value += futures.value(at_open=False)
            value += futures.transit[-1][1]
        self._value = value

    @property
    def is_idle(self) -> bool:
        """Whether the broker has nothing to do until something is sent."""
        return not (self._exchange.orders or (self._seat is not None and self._seat.is_busy))

    def set_coo(self, coo: bool) -> None:  # noqa: FBT001 - backtrader's signature
        """Let what is sent in ``next_open`` fill at that bar's open."""
        self._is_coo = coo

    def _reset(self, datas: list[Any]) -> None:
        self._notifications: deque[bt.Order] = deque()
        self._queue: deque[bt.Order] = deque()
        self._orders: dict[str, bt.Order] = {}  # those that are alive
        self._ends: dict[int, int] = {}  # the status of those that are over
        self._venue_orders: dict[int, VenueOrder] = {}
        self._n_orders = 0
        self._seen_ms = -FOREVER_MS
        contracts = self._perpetual.symbols if self._perpetual is not None else ()
        self._feeds = feeds = BookFeeds(datas, self._parameters, contracts)
        wanted, since_ms = self._initial_holdings, self._since_ms
        holdings, cash = feeds.find_holdings(wanted, self.startingcash, since_ms)
        self._account = Account(cash=cash, quote=self._quote)
        self._account.books.extend(feeds.spot_books)
        self._exchange = Exchange(self._account, journal=self.journal, listener=self)
        self._seat: FuturesSeat | None = None
        if datas and self._perpetual is not None:
            self._seat = FuturesSeat.take(self._perpetual, self._exchange, feeds, since_ms)
            self._exchange.on_liquidated = self._on_liquidated
        self.futures = None if self._seat is None else self._seat.futures
        if datas:
            self._account.open(holdings, max(since_ms, 0))
        self.positions: dict[Any, bt.Position] = {}
        for data, book in feeds.books.items():
            price = feeds.first_prices.get(book.symbol, 0.0)
            if self.futures is not None and book.futures is not None:
                price = self.futures.entry(book.row)
            self.positions[data] = bt.Position(book.held, price) if book.held else bt.Position()
            fee = book.parameters.taker_fee_bps * BPS
            name = data._name  # noqa: SLF001 - backtrader's public name of a feed
            self.comminfo.setdefault(name, bt.CommInfoBase(commission=fee, percabs=True))
        feeds.watch_held()
        self._value = self._account.value(at_open=False)

    # The account ----------------------------------------------------------------------------------

    @property
    def fills(self) -> list[Fill]:
        """Every execution, in order."""
        return self._account.fills

    @property
    def ledger(self) -> Ledger:
        """Every change of the account."""
        return self._account.ledger

    @property
    def n_ambiguous(self) -> int:
        """Events whose order or existence a bar does not tell."""
        return self._exchange.n_ambiguous

    def getcash(self) -> float:
        """Return the cash, quote units, with what is free of a futures account's margin."""
        seat, cash = self._seat, self._account.cash
        if seat is None:
            return cash
        return cash + seat.available(at_open=self._is_coo and self._is_opening())

    get_cash = getcash

    def setcash(self, cash: float) -> None:
        """Set the cash at the start, quote units; before the run only."""
        self.startingcash = self._account.cash = self._value = float(cash)

    set_cash = setcash

    def charge(self, amount: float, time_ms: int) -> None:
        """Book what the agent's thinking has cost, quote units > 0; the value leaves it out."""
        self._account.charge(amount, time_ms)

    def getvalue(self, datas: Any = None, **_ignored: bool) -> float:
        """Return the equity, or the value held in ``datas``, at the last known prices."""
        at_open = self._is_coo and self._is_opening()
        if at_open and self._seat is not None:
            self._seat.sync()
        if datas is None:
            return self._account.value(at_open=True) if at_open else self._value
        books = [self._feeds.books[data] for data in datas]
        return sum((b.held * b.read_price(at_open) for b in books if b.held), 0.0)

    get_value = getvalue

    def getposition(self, data: Any) -> bt.Position:
        """Return backtrader's position of one feed."""
        return self.positions[data]

    def setcommission(self, *args: Any, **kwargs: Any) -> None:
        """Keep a commission scheme for scripts that read it; the exchange charges its own fees."""
        super().setcommission(*args, **kwargs)
        text = "the commission a script set is not charged"
        self.journal.record(0, "note", text, reason="costs come from the recipe or SpotParameters")

    def curves(self, clock_ms: TimeArray | None = None) -> tuple[TimeArray, FloatArray, FloatArray]:
        """Return ``(clock_ms, equity, cash)`` at each step, shape (n_steps,) each, after the run.

        Rebuilt from the changes of the account and the feeds' closes; equal to the bit to what
        ``getvalue`` gave on each bar. The default clock: all close stamps of all feeds.
        """
        clock_ms, equity, cash = self._feeds.trace(self._account.changes, clock_ms)
        if self._seat is not None:
            self._seat.trace(equity, cash, clock_ms)
        return clock_ms, equity, cash

    # The futures account --------------------------------------------------------------------------

    def see_perpetual(self) -> PerpetualView | None:
        """Return what an agent may know of the futures account now; ``None`` where there is none.

        ``is_liquidated`` tells of what has happened since this was last called.
        """
        seat = self._seat
        return None if seat is None else seat.see(at_open=self._is_coo and self._is_opening())

    def margin_ratio(self) -> float:
        """Return the highest margin ratio at the last closes; 0.0 without a position."""
        seat = self._seat
        return 0.0 if seat is None else seat.margin_ratio(at_open=self._is_opening())

    def ask(self, action: PerpetualAction, reason: str = "") -> None:
        """Take what is asked of the futures account beside orders; it is done when it is due.

        What cannot be done is refused in the journal. ``TargetLeverage`` is an order: it is not
        taken here.
        """
        seat, now = self._seat, self._find_moment(0)
        if seat is None or now.time_ms < self._since_ms:
            why = NO_FUTURES if seat is None else WARM_UP
            self.journal.record(now.time_ms, "refused", action.kind, reason=why)
        else:
            seat.ask(action, reason, now, thinking_ms=self.thinking_ms)

    # Orders ---------------------------------------------------------------------------------------

    def buy(  # type: ignore[override]  # the rest comes by keyword, as bt.Strategy sends it
        self, owner: Any, data: Any, size: float, **kwargs: Any
    ) -> bt.Order:
        """Send a buy; see the module for what ``kwargs`` may hold."""
        oco = kwargs.pop("oco", None)
        return self._submit(make_order(bt.BuyOrder, owner, data, size, kwargs), kwargs, oco)

    def sell(  # type: ignore[override]
        self, owner: Any, data: Any, size: float, **kwargs: Any
    ) -> bt.Order:
        """Send a sell; see the module for what ``kwargs`` may hold."""
        oco = kwargs.pop("oco", None)
        return self._submit(make_order(bt.SellOrder, owner, data, size, kwargs), kwargs, oco)

    def cancel(self, order: bt.Order, _bracket: bool = False) -> bool:  # noqa: FBT001, FBT002
        """Cancel an order; false where it is over already."""
        venue_order = self._venue_orders.get(order.ref)
        return venue_order is not None and self._end_now(venue_order, "cancelled", "asked for")

    def get_orders_open(self, safe: bool = False) -> list[bt.Order]:  # noqa: FBT001, FBT002
        """Return the orders that are alive."""
        alive = [order.order_id for order in self._exchange.orders if not order.is_done]
        return [copy_order(self._orders[i]) if safe else self._orders[i] for i in alive]

    def orderstatus(self, order: bt.Order) -> int:
        """Return an order's status now."""
        living = self._orders.get(str(order.ref), order)
        return self._ends.get(order.ref, living.status)

    def get_notification(self) -> bt.Order | None:
        """Return the next order that has changed, or ``None``."""
        return self._notifications.popleft() if self._notifications else None

    def _submit(self, order: bt.Order, wishes: Mapping[str, Any], oco: bt.Order | None) -> bt.Order:
        # backtrader counts over all runs of the process: that would not be reproducible.
        self._n_orders = order.ref = self._n_orders + 1
        parent = None if order.parent is None else self._venue_orders.get(order.parent.ref)
        venue_order = to_venue_order(order, wishes, self._feeds.books[order.data], parent)
        now = self._find_moment(venue_order.book.parameters.latency_ms + self.thinking_ms)
        venue_order.live_ms = now.time_ms + now.latency_ms
        venue_order.sent_step_ms = now.step_ms
        self._orders[venue_order.order_id] = order
        self._venue_orders[order.ref] = venue_order
        if oco is not None and oco.ref in self._venue_orders:
            join(venue_order, self._venue_orders[oco.ref])
        self._queue.append(order)
        if order.transmit:
            while self._queue:
                self._transmit(self._queue.popleft())
        return order

    def _find_moment(self, latency_ms: int) -> Moment:
        """Return when something is sent now, and how long an order takes."""
        if self._is_opening():
            return Moment(self._feeds.open_ms(), self._seen_ms, latency_ms)
        now_ms = self._feeds.now_ms()
        return Moment(now_ms, now_ms, latency_ms)

    def _end_now(self, order: VenueOrder, outcome: Outcome, reason: str) -> bool:
        """End an order at the moment the strategy is in, not at the last bar an order has met."""
        exchange = self._exchange
        exchange.moment_ms = self._find_moment(0).time_ms
        is_ended = exchange.close(order, outcome, reason)
        exchange.moment_ms = None
        return is_ended

    def _transmit(self, order: bt.Order) -> None:
        venue_order = self._venue_orders[order.ref]
        order.submit(self)
        self._notifications.append(copy_order(order))
        if fault := find_fault(order, venue_order, self._since_ms):
            self._end_now(venue_order, "rejected", fault)
            return
        self._exchange.send(venue_order)
        if venue_order.book.parameters.fills_at_close and venue_order.type == "market":
            self._fill_at_close(venue_order)

    def _fill_at_close(self, venue_order: VenueOrder) -> None:
        book, exchange, now_ms = venue_order.book, self._exchange, self._feeds.now_ms()
        bar = self._feeds.last_bar(book)
        if self._is_opening() or bar is None or venue_order.live_ms > now_ms:
            return
        if book.bar is None or book.bar.close_ms != bar.close_ms:
            book.bar, book.used = bar, 0.0
        exchange.step_ms = now_ms
        if self._seat is not None:
            self._seat.show_close()
        exchange.fill_at_close(venue_order)
        if self._seat is not None:
            self._seat.futures.end_step(now_ms)
        exchange.orders = [one for one in exchange.orders if not one.is_done]
        self._value = self._account.value(at_open=False)

    def _is_opening(self) -> bool:
        """Return whether the feeds show a bar that has not been traded: in ``next_open``."""
        return self._is_coo and self._feeds.now_ms() > self._seen_ms

    # What the exchange says -----------------------------------------------------------------------

    def on_accepted(self, order: VenueOrder) -> None:
        """Tell the strategy that the exchange has the order."""
        bt_order = self._orders[order.order_id]
        bt_order.accept(self)
        self._notifications.append(copy_order(bt_order))

    def on_filled(self, order: VenueOrder, fill: Fill, execution: Execution) -> None:
        """Book a fill in backtrader's position and order, and tell the strategy."""
        bt_order = self._orders[order.order_id]
        mark_filled(bt_order, order, fill, execution, self.positions[bt_order.data])
        bt_order.addcomminfo(self.getcommissioninfo(bt_order.data))
        self._feeds.watch_held()
        self._notifications.append(copy_order(bt_order))
        if order.is_done:
            self._forget(bt_order)

    def on_closed(self, order: VenueOrder, outcome: Outcome) -> None:
        """Tell the strategy how an order ended."""
        bt_order = self._orders[order.order_id]
        mark_ended(bt_order, outcome, self)
        self._notifications.append(copy_order(bt_order))
        self._forget(bt_order)

    def _on_liquidated(self, book: Book, fill: Fill, execution: Execution) -> None:
        """Tell the strategy of a liquidation as of an order of the exchange that has filled."""
        data = next(data for data, one in self._feeds.books.items() if one is book)
        self._n_orders += 1
        side = 1.0 if fill.quantity > 0 else -1.0
        order, venue_order = make_liquidation(book, data, execution, side=side, ref=self._n_orders)
        self._orders[venue_order.order_id] = order
        order.submit(self)
        order.accept(self)
        self.on_filled(venue_order, fill, execution)

    def _forget(self, order: bt.Order) -> None:
        """Keep the status alone of an order that is over: an agent may send one on every bar."""
        self._ends[order.ref] = order.status
        del self._orders[str(order.ref)]
