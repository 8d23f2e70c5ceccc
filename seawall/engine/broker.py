"""The spot exchange as a backtrader broker: whatever a ``bt.Strategy`` can send, it takes.

Beside backtrader's own arguments, ``buy`` and ``sell`` take these by keyword (they are kept in
``order.info``): ``cash`` (quote units to spend or receive), ``target_weight`` (share of the equity
to hold; both fix the size, and the second also the side, at the fill), ``fit_to_cash`` (made
smaller without a journal entry), ``time_in_force`` (``gtc``, ``ioc``, ``fok``, ``gtd``),
``good_until_ms``, ``post_only``, ``reason`` and ``client_id``. Costs come from ``SpotParameters``;
a commission scheme that a script sets is kept and not charged, and the journal says so.
"""

from collections import deque
from collections.abc import Mapping
from datetime import datetime
from math import nan
from typing import Any, Self

import backtrader as bt
import numpy as np

from seawall.engine.feedview import FeedView, to_ms
from seawall.errors import RecipeError
from seawall.fill import Fill
from seawall.journal import Journal
from seawall.market.series import FloatArray, TimeArray
from seawall.recipe import Recipe, to_share
from seawall.units import BPS, split_symbol
from seawall.venues.exchange import SpotExchange
from seawall.venues.ledger import Ledger
from seawall.venues.orders import FOREVER_MS, Book, Outcome, VenueOrder, VenueOrderType
from seawall.venues.parameters import Ambiguity, OrderGrid, SpotParameters
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
_FRICTIONLESS = SpotParameters()


class ExchangeBroker(bt.BrokerBase):
    """A spot exchange for ``bt.Cerebro``.

    Args:
        parameters: by symbol, or one for all symbols.
        cash: quote units at the start.
        initial_holdings: by base asset: base units, or a share of ``cash`` such as ``"50%"`` that
            becomes coin at the first price from ``since_ms`` on, free of charge.
        journal: where everything is written; a new one by default.
        quote: the asset of cash, prices and fees.
        since_ms: open stamp of the first bar that may trade.

    Attributes:
        fills, journal, ledger, n_ambiguous: as in ``SpotExchange``.
        startingcash: quote units at the start.
        positions: backtrader positions by feed.
    """

    _exchange: SpotExchange
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
    ) -> None:
        self._parameters = parameters
        self._initial_holdings = dict(initial_holdings or {})
        self.journal = Journal() if journal is None else journal
        self._quote = quote
        self._since_ms = since_ms
        self.startingcash = float(cash)
        self._is_coo = False
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
    ) -> Self:
        """Return the broker of a recipe; ``filters`` are what the catalog knows, by symbol."""
        known = filters or {}
        parameters = {
            symbol: SpotParameters.from_recipe(
                recipe, symbol, known.get(symbol), ambiguity=ambiguity
            )
            for symbol in recipe.market.symbols
        }
        return cls(
            parameters,
            cash=recipe.account.cash,
            initial_holdings=recipe.account.initial_holdings,
            journal=journal,
            quote=recipe.market.quote,
            since_ms=recipe.market.since_ms,
        )

    # The run --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the account; backtrader calls it before the first bar."""
        super().start()
        self._reset(list(self.cerebro.datas))

    def stop(self) -> None:
        """Let what is left expire, and check the books."""
        self._exchange.end(self._now_ms())
        super().stop()

    def next(self) -> None:
        """Meet the bars that have just closed, then value the account."""
        if self._exchange.orders:
            self._step()
        if self._is_coo:
            self._seen_ms = self._now_ms()
        value = self._exchange.cash
        for line, book in self._held:
            index = line._idx  # noqa: SLF001 - the public property costs a call per bar
            value += book.held * (line.array[index] if index >= 0 else book.read_price(False))
        self._value = value

    @property
    def is_idle(self) -> bool:
        """Whether the broker has nothing to do until something is sent."""
        return not self._exchange.orders

    def set_coo(self, coo: bool) -> None:  # noqa: FBT001 - backtrader's signature
        """Let what is sent in ``next_open`` fill at that bar's open."""
        self._is_coo = coo

    # The account ----------------------------------------------------------------------------------

    @property
    def fills(self) -> list[Fill]:
        """Every execution, in order."""
        return self._exchange.fills

    @property
    def ledger(self) -> Ledger:
        """Every change of the account."""
        return self._exchange.ledger

    @property
    def n_ambiguous(self) -> int:
        """Events whose order or existence a bar does not tell."""
        return self._exchange.n_ambiguous

    @property
    def exchange(self) -> SpotExchange:
        """The venue behind the broker."""
        return self._exchange

    def getcash(self) -> float:
        """Return the cash, quote units."""
        return self._exchange.cash

    get_cash = getcash

    def setcash(self, cash: float) -> None:
        """Set the cash at the start, quote units; before the run only."""
        self.startingcash = self._exchange.cash = self._value = float(cash)

    set_cash = setcash

    def getvalue(self, datas: Any = None, **_ignored: bool) -> float:
        """Return the equity, or the value held in ``datas``, at the last known prices."""
        at_open = self._is_coo and self._is_opening()
        if datas is None:
            return self._exchange.value(at_open=True) if at_open else self._value
        books = [self._books[data] for data in datas]
        return sum((b.held * b.read_price(at_open) for b in books if b.held), 0.0)

    get_value = getvalue

    def getposition(self, data: Any) -> bt.Position:
        """Return backtrader's position of one feed."""
        return self.positions[data]

    def setcommission(self, *args: Any, **kwargs: Any) -> None:
        """Keep a commission scheme for scripts that read it; the exchange charges its own fees."""
        super().setcommission(*args, **kwargs)
        self.journal.record(0, "note", "the commission a script set is not charged",
                            reason="costs come from the recipe or SpotParameters")  # fmt: skip

    def changes_of(self, data: Any) -> tuple[TimeArray, FloatArray]:
        """Return when the holding of one feed changed, and to what: shape (n_changes,) each."""
        place = self._exchange.books.index(self._books[data])
        rows = [(when, held) for when, _, book, held in self._exchange.changes if book == place]
        times = np.array([when for when, _ in rows], dtype=np.int64)
        return times, np.array([held for _, held in rows], dtype=np.float64)

    def curves(self, clock_ms: TimeArray | None = None) -> tuple[TimeArray, FloatArray, FloatArray]:
        """Return ``(clock_ms, equity, cash)`` at each step, shape (n_steps,) each, after the run.

        Rebuilt from the changes of the account and the feeds' closes; equal to the bit to what
        ``getvalue`` gave on each bar. The default clock: all close stamps of all feeds.
        """
        series = [feed.closes() for feed in self._feeds.values()]
        if clock_ms is None:
            clock_ms = np.unique(np.concatenate([times for times, _ in series]))
        steps = np.array([when for when, *_ in self._exchange.changes], dtype=np.int64)
        cashes = np.array([cash for _, cash, *_ in self._exchange.changes])
        cash = cashes[np.searchsorted(steps, clock_ms, "right") - 1]
        equity = cash.copy()
        for (data, book), (times, closes) in zip(self._books.items(), series, strict=True):
            when, amounts = self.changes_of(data)
            held = amounts[np.searchsorted(when, clock_ms, "right") - 1]
            rows = np.searchsorted(times, clock_ms, "right") - 1
            before = self._first_prices.get(book.symbol, nan)
            price = np.where(rows >= 0, closes[np.maximum(rows, 0)], before)
            equity += np.where(held > 0, held * np.where(held > 0, price, 0.0), 0.0)
        return clock_ms, equity, cash

    # Orders ---------------------------------------------------------------------------------------

    def buy(  # type: ignore[override]  # the rest comes by keyword, as bt.Strategy sends it
        self, owner: Any, data: Any, size: float, **kwargs: Any
    ) -> bt.Order:
        """Send a buy; see the module for what ``kwargs`` may hold."""
        return self._submit(bt.BuyOrder, owner, data, size, kwargs)

    def sell(  # type: ignore[override]
        self, owner: Any, data: Any, size: float, **kwargs: Any
    ) -> bt.Order:
        """Send a sell; see the module for what ``kwargs`` may hold."""
        return self._submit(bt.SellOrder, owner, data, size, kwargs)

    def cancel(self, order: bt.Order, _bracket: bool = False) -> bool:  # noqa: FBT001, FBT002
        """Cancel an order; false where it is over already."""
        venue_order = self._venue_orders.get(order.ref)
        return venue_order is not None and self._exchange.cancel(venue_order)

    def get_orders_open(self, safe: bool = False) -> list[bt.Order]:  # noqa: FBT001, FBT002
        """Return the orders that are alive."""
        found = [self._orders[int(order.order_id)] for order in self._exchange.orders]
        return [order.clone() for order in found] if safe else found

    def orderstatus(self, order: bt.Order) -> int:
        """Return an order's status now."""
        return self._orders.get(order.ref, order).status

    def get_notification(self) -> bt.Order | None:
        """Return the next order that has changed, or ``None``."""
        return self._notifications.popleft() if self._notifications else None

    def _submit(
        self, kind: type[bt.Order], owner: Any, data: Any, size: float, arguments: dict[str, Any]
    ) -> bt.Order:
        own = {name: arguments.pop(name) for name in _BT_ARGUMENTS if name in arguments}
        oco = arguments.pop("oco", None)
        order = kind(
            owner=owner, data=data, size=size, pricelimit=arguments.pop("plimit", None), **own
        )
        self._n_orders += 1
        order.ref = (
            self._n_orders
        )  # backtrader counts over all runs of the process: not reproducible
        order.addinfo(**arguments)
        self._orders[order.ref] = order
        venue_order = self._to_venue_order(order)
        self._venue_orders[order.ref] = venue_order
        if oco is not None and oco.ref in self._venue_orders:
            leader = self._venue_orders[oco.ref]
            leader.group = leader.group or [leader]
            leader.group.append(venue_order)
            venue_order.group = leader.group
        self._queue.append(order)
        if order.transmit:
            while self._queue:
                self._transmit(self._queue.popleft())
        return order

    def _transmit(self, order: bt.Order) -> None:
        venue_order = self._venue_orders[order.ref]
        order.submit(self)
        self._notify(order)
        parent = venue_order.parent
        if parent is not None and parent.is_done and parent.filled == 0.0:
            self._exchange.close(
                venue_order, "rejected", "its entry is over: send it without parent"
            )
            return
        self._exchange.send(venue_order)
        if venue_order.book.parameters.fills_at_close and venue_order.type == "market":
            self._fill_at_close(venue_order)

    def _fill_at_close(self, venue_order: VenueOrder) -> None:
        book, exchange = venue_order.book, self._exchange
        feed = self._feeds[id(book)]
        if self._is_opening() or not feed.stamp or venue_order.live_ms > self._now_ms():
            return
        bar = feed.bar()
        if book.bar is None or book.bar.close_ms != bar.close_ms:
            book.bar, book.used = bar, 0.0
        exchange.step_ms = self._now_ms()
        exchange.fill_at_close(venue_order)
        exchange.orders = [one for one in exchange.orders if not one.is_done]
        self._value = exchange.value(at_open=False)

    def _to_venue_order(self, order: bt.Order) -> VenueOrder:
        info, created, book = order.info, order.created, self._books[order.data]
        is_opening = self._is_opening()
        sent_ms = self._open_ms() if is_opening else self._now_ms()
        kind = _TYPES.get(order.exectype, "market")
        stop = created.price if kind in ("stop", "stop_limit") else nan
        limit = created.price if kind == "limit" else created.pricelimit
        parent = self._venue_orders.get(order.parent.ref) if order.parent is not None else None
        venue_order = VenueOrder(
            order_id=str(order.ref), book=book, side=1.0 if order.isbuy() else -1.0, type=kind,
            quantity=abs(created.size), cash=info.get("cash"),
            target_weight=info.get("target_weight"), fits_to_cash=bool(info.get("fit_to_cash")),
            limit_price=limit if kind in ("limit", "stop_limit") else nan, stop_price=stop,
            trail_amount=order.trailamount or 0.0,
            trail_fraction=0.0 if order.trailamount else (order.trailpercent or 0.0),
            limit_offset=order._limitoffset, extreme=order.price or created.pclose,  # noqa: SLF001
            time_in_force=info.get("time_in_force") or "gtc", good_until_ms=_find_end_ms(order),
            post_only=bool(info.get("post_only")), reason=str(info.get("reason") or ""),
            live_ms=sent_ms + book.parameters.latency_ms,
            sent_step_ms=self._seen_ms if is_opening else self._now_ms(), parent=parent,
        )  # fmt: skip
        if parent is not None:
            entry_size = abs(self._orders[int(parent.order_id)].created.size)
            is_sized_later = parent.cash is not None or parent.target_weight is not None
            venue_order.follows_entry = is_sized_later or venue_order.quantity >= entry_size
            venue_order.cash = venue_order.target_weight = None  # those size the entry alone
            parent.children.append(venue_order)
        return venue_order

    # What the exchange says -----------------------------------------------------------------------

    def on_accepted(self, order: VenueOrder) -> None:
        """Tell the strategy that the exchange has the order."""
        bt_order = self._orders[int(order.order_id)]
        bt_order.accept(self)
        self._notify(bt_order)

    def on_filled(self, order: VenueOrder, fill: Fill, execution: Execution) -> None:
        """Book a fill in backtrader's position and order, and tell the strategy."""
        bt_order = self._orders[int(order.order_id)]
        if not bt_order.executed.size:  # the fill may have fixed size and side
            bt_order.ordtype = bt.Order.Buy if order.side > 0 else bt.Order.Sell
            bt_order.size = bt_order.created.size = order.side * order.quantity
            bt_order.executed.remsize = bt_order.size
        data, position = bt_order.data, self.positions[bt_order.data]
        before = position.price
        when = data.datetime.datetime(0)
        position.update(fill.quantity, fill.price, when)
        position.fix(order.book.held, position.price if order.book.held else 0.0)
        is_buy = fill.quantity > 0
        notional = execution.quantity * (fill.price if is_buy else before)
        opened, closed = (notional, 0.0) if is_buy else (0.0, notional)
        bt_order.execute(
            data.datetime[0], fill.quantity, fill.price,
            0.0 if is_buy else fill.quantity, closed, 0.0 if is_buy else fill.fee,
            fill.quantity if is_buy else 0.0, opened, fill.fee if is_buy else 0.0,
            None, 0.0 if is_buy else execution.quantity * (fill.price - before),
            position.size, position.price,
        )  # fmt: skip
        if order.is_done:
            bt_order.executed.remsize = 0.0
            bt_order.completed()
        else:
            bt_order.partial()
        bt_order.addcomminfo(self.getcommissioninfo(data))
        self._watch_held()
        self._notify(bt_order)

    def on_closed(self, order: VenueOrder, outcome: Outcome) -> None:
        """Tell the strategy how an order ended."""
        bt_order = self._orders[int(order.order_id)]
        if outcome == "expired":
            bt_order.status = bt.Order.Expired
            bt_order.executed.dt = bt_order.data.datetime[0]
        elif outcome == "rejected":
            bt_order.reject(self)
        elif outcome == "no_cash":
            bt_order.margin()
        else:
            bt_order.cancel()
        self._notify(bt_order)

    def _notify(self, order: bt.Order) -> None:
        self._notifications.append(order.clone())

    # Feeds ----------------------------------------------------------------------------------------

    def _reset(self, datas: list[Any]) -> None:
        self._notifications: deque[bt.Order] = deque()
        self._queue: deque[bt.Order] = deque()
        self._orders: dict[int, bt.Order] = {}
        self._venue_orders: dict[int, VenueOrder] = {}
        self._n_orders = 0
        self._seen_ms = -FOREVER_MS
        self._first_prices: dict[str, float] = {}
        self._books: dict[Any, Book] = {}
        self._feeds: dict[int, FeedView] = {}  # by id of the book, in the order of the books
        self._held: list[tuple[Any, Book]] = []
        self.positions: dict[Any, bt.Position] = {data: bt.Position() for data in datas}
        self._exchange = SpotExchange(
            cash=self.startingcash, quote=self._quote, journal=self.journal, listener=self
        )
        for data in datas:
            feed = FeedView(data)
            book = self._open_book(feed)
            self._books[data] = book
            self._feeds[id(book)] = feed
            self._exchange.books.append(book)
            fee = book.parameters.taker_fee_bps * BPS
            name = data._name  # noqa: SLF001 - backtrader's public name of a feed
            self.comminfo.setdefault(name, bt.CommInfoBase(commission=fee, percabs=True))
        if datas:
            self._exchange.open_account(self._find_holdings(), max(self._since_ms, 0))
        for data, book in self._books.items():
            if book.held:
                self.positions[data] = bt.Position(book.held, self._first_prices[book.symbol])
        self._watch_held()
        self._value = self._exchange.value(at_open=False)

    def _watch_held(self) -> None:
        """Note which closes the account is valued at."""
        self._held = [(self._feeds[id(b)].close, b) for b in self._exchange.books if b.held]

    def _open_book(self, feed: FeedView) -> Book:
        symbol = feed.symbol
        base = split_symbol(symbol)[0] if "/" in symbol else symbol or "base"
        given = self._parameters
        if isinstance(given, SpotParameters):
            parameters = given
        elif symbol in given:
            parameters = given[symbol]
        else:
            raise RecipeError(f"parameters has no symbol {symbol!r}: it has {list(given)}")

        def read_price(at_open: bool) -> float:  # noqa: FBT001 - called on every valuation
            stamp = feed.stamp
            if not stamp:
                return self._first_prices.get(symbol, nan)
            return feed.price(at_open=at_open and stamp == self._now())

        return Book(symbol=symbol, base=base, parameters=parameters, read_price=read_price)

    def _find_holdings(self) -> list[tuple[Book, float]]:
        """Return base units per book; shares of the cash become coin at the first price."""
        holdings, spent = [], 0.0
        left = dict(self._initial_holdings)
        for book in self._exchange.books:
            wanted = left.pop(book.base, None)
            if not wanted:
                continue
            price = self._feeds[id(book)].first_price(self._since_ms)
            self._first_prices[book.symbol] = price
            if isinstance(wanted, str):
                share = to_share(wanted, f"account.initial_holdings.{book.base}")
                spent += share * self.startingcash
                wanted = share * self.startingcash / price
            holdings.append((book, float(wanted)))
        if spent > self.startingcash:
            raise RecipeError(f"account.initial_holdings spend {spent} of {self.startingcash} cash")
        self._exchange.cash = self.startingcash - spent
        return holdings

    def _step(self) -> None:
        now = self._now()
        wanted = {id(order.book) for order in self._exchange.orders}
        feeds = [
            (book, self._feeds[id(book)]) for book in self._exchange.books if id(book) in wanted
        ]
        bars = [(book, feed.bar()) for book, feed in feeds if feed.stamp == now]
        if bars:
            self._exchange.step(bars, to_ms(now))

    def _now(self) -> float:
        """Return the latest close stamp that any feed shows, backtrader's days."""
        return max([feed.stamp for feed in self._feeds.values()], default=0.0)

    def _now_ms(self) -> int:
        now = self._now()
        return to_ms(now) if now else 0

    def _is_opening(self) -> bool:
        """Return whether the feeds show a bar that has not been traded: in ``next_open``."""
        return self._is_coo and self._now_ms() > self._seen_ms

    def _open_ms(self) -> int:
        now = self._now()
        return max(feed.bar().open_ms for feed in self._feeds.values() if feed.stamp == now)


_BT_ARGUMENTS = (
    "price", "exectype", "valid", "tradeid", "trailamount", "trailpercent", "parent", "transmit",
)  # fmt: skip


def _find_end_ms(order: bt.Order) -> int:
    """Return when an order expires: its ``good_until_ms``, or backtrader's ``valid``."""
    until_ms = order.info.get("good_until_ms")
    if until_ms:
        return int(until_ms)
    valid = order.valid
    if isinstance(valid, datetime):
        valid = order.data.date2num(valid)
    if not valid:
        return FOREVER_MS
    return to_ms(float(valid))
