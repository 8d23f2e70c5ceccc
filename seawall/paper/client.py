"""The exchange as a trader must see it: an answer may be missing, the truth is the exchange's.

Every order has an id of its own and is in the journal before it is sent. It is sent once. Where
the answer is missing, late or unreadable, the order is *unknown* until the exchange has been asked
for that id, for its lists of orders, and for the account's trades. An order that nobody knows is
given up only when the exchange could not accept it any more: after the receive window.

No call waits or retries by itself: a call that fails raises ``ExchangeFault`` and the session asks
again at its next turn. After a 429 or 418 nothing is sent until the time the exchange named.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from seawall.paper.calls import Calls, Clock
from seawall.paper.errors import GuardRefused
from seawall.paper.faults import ExchangeFault, Fault
from seawall.paper.finding import (
    APART,
    GRACE_MS,
    OrderFinder,
    is_apart,
    read_algo,
    still_waits,
)
from seawall.paper.forced import ForcedOrders
from seawall.paper.futures_book import FuturesBook
from seawall.paper.journal import PaperJournal
from seawall.paper.order import OrderIntent, OrderNews, OrderRecord, State, TradeFill
from seawall.paper.reading import (
    Unreadable,
    read_balances,
    read_fill,
    read_order,
    read_positions,
    read_price,
    to_number,
)
from seawall.paper.redaction import Redactor
from seawall.units import DAY_MS

_PAGE = 500
_OVERLAP_MS = 60_000  # trades may be listed late, and in another order
_SPAN_MS = 6 * DAY_MS  # Binance lists the trades of at most seven days after the time asked for
_TYPES = {"market": "market", "limit": "limit", "stop": "market", "stop_limit": "limit"}


class ClockReading(NamedTuple):
    """What one look at the exchange's clock told.

    Attributes:
        skew_ms: ours minus the exchange's, at the middle of the round trip.
        round_trip_ms: how long it took; the skew is known to half of it.
    """

    skew_ms: int
    round_trip_ms: int


class SeenOrder(NamedTuple):
    """An open order as the exchange lists it."""

    client_id: str
    symbol: str
    side: str
    quantity: float
    price: float
    news: OrderNews


class ExchangeClient:
    """One account on one exchange, over a guarded synchronous ccxt client.

    Args:
        exchange: from ``connect``.
        journal: where orders and fills are written.
        clock: the time in ms, the exchange's where it runs on its own.
        redactor: cleans what errors say.

    Attributes:
        calls: what sends; ``calls.blocked_until_ms`` says until when nothing is.
        futures: what is believed of a futures account; ``None`` on spot.
    """

    def __init__(
        self,
        exchange: Any,
        journal: PaperJournal,
        *,
        clock: Clock,
        redactor: Redactor | None = None,
    ) -> None:
        self.exchange, self.journal, self.clock = exchange, journal, clock
        self.calls = Calls(exchange, clock=clock, redactor=redactor)
        self.futures: FuturesBook | None = None
        self._finder = OrderFinder(self.calls, journal)
        self._forced = ForcedOrders(self.calls, journal)

    def open_futures(self, symbols: Iterable[str], *, asset: str) -> FuturesBook:
        """Let this be a futures account from here on, and return the belief about it."""
        self.futures = FuturesBook(self.calls, self.journal, tuple(symbols), asset=asset)
        return self.futures

    # Orders ---------------------------------------------------------------------------------------

    def place(self, intent: OrderIntent) -> OrderRecord:
        """Write an order down, send it once, and return what is known of it then.

        The state is ``unknown`` where no answer says more; ``resolve`` asks. What the exchange
        refuses is ``rejected`` with its words; nothing is raised for it.

        Raises:
            GuardRefused: the request may not leave; the order is ``rejected``.
            JournalError: the id was used before; nothing was sent.
        """
        me, journal = intent.client_id, self.journal
        journal.intend(intent, self.clock())
        try:
            answer = self.calls.call(
                self.exchange.create_order, *_arguments(intent), _wishes(intent)
            )
            news = self.calls.understand(_read_placed, answer, intent)
        except ExchangeFault as error:
            state: State = "unknown" if error.fault.may_be_live else "rejected"
            news = OrderNews(state=state, why=str(error))
        except GuardRefused as error:
            journal.tell(me, OrderNews(state="rejected", why=str(error)), self.clock())
            raise
        journal.tell(me, news, self.clock())
        return journal.order(me)

    def resolve(self, client_id: str) -> OrderRecord:
        """Ask the exchange what became of an order, and return it.

        Raises:
            ExchangeFault: it cannot be asked now; nothing has changed.
        """
        record = self.journal.order(client_id)
        finder = self._finder
        news = finder.ask(record)
        if news is None:
            listed = finder.list(record)
            news = finder.find(record, listed)
        if news is None and finder.is_too_late(record, self.clock()):
            self.sync_trades(record.intent.symbol)
            news = finder.give_up(self.journal.order(client_id), listed)
        elif news is not None and news.filled > record.filled:
            self.sync_trades(record.intent.symbol)
        if news is not None:
            self.journal.tell(client_id, news, self.clock())
        return self.journal.order(client_id)

    def resolve_all(self) -> list[OrderRecord]:
        """Ask for all orders that are unresolved, open or lost of late; return those asked for.

        Raises:
            ExchangeFault: the exchange cannot be asked now.
        """
        recent = self.clock() - 10 * GRACE_MS
        lost = self.journal.orders("lost", updated_ms=recent)
        asked = [*self.journal.unresolved(), *self.journal.orders("open"), *lost]
        return [self.resolve(one.intent.client_id) for one in asked]

    def cancel(self, client_id: str) -> OrderRecord:
        """Cancel an order and return what became of it: it may have been filled before.

        Raises:
            ExchangeFault: it is not known whether it is cancelled; ask with ``resolve``.
        """
        record = self.journal.order(client_id)
        if record.state in ("filled", "cancelled", "expired", "rejected"):
            return record
        self._cancel_once(record)
        found = self.resolve(client_id)
        if found.state == "open" and found.exchange_id != record.exchange_id:
            self._cancel_once(found)  # it was triggered just then, and has another number now
            found = self.resolve(client_id)
        return found

    def _cancel_once(self, record: OrderRecord) -> None:
        order_id: str | None = record.exchange_id or None
        wishes: dict[str, Any] = {"clientOrderId": record.intent.client_id}
        if still_waits(record):
            order_id, wishes = None, {**wishes, **APART}
        elif is_apart(record.intent):
            wishes = {}
        try:
            self.calls.call(self.exchange.cancel_order, order_id, record.intent.symbol, wishes)
        except ExchangeFault as error:
            if error.fault.cause not in ("not_found", "unknown", "rejected"):
                raise

    def open_orders(self, symbol: str) -> list[SeenOrder]:
        """Return what the exchange lists as open, ours and foreign.

        Raises:
            ExchangeFault: it cannot be asked, or answers nothing that can be read.
        """
        rows = self.calls.list(self.exchange.fetch_open_orders, symbol)
        seen = [self.calls.understand(_read_open, row) for row in rows]
        if self.futures is None:
            return seen
        seen = [self._by_our_id(order) for order in seen]
        rows = self.calls.list(self.exchange.fetch_open_orders, symbol, None, None, APART)
        return seen + [self.calls.understand(_read_waiting, row) for row in rows]

    def _by_our_id(self, order: SeenOrder) -> SeenOrder:
        """Return an order under our id where its number is known: a stop's may bear another."""
        me = self.journal.client_id_of(order.symbol, order.news.exchange_id)
        return order._replace(client_id=me) if me else order

    # The account ----------------------------------------------------------------------------------

    def sync_trades(self, symbol: str) -> list[TradeFill]:
        """Count the account's trades since the last that is known; return the new ones.

        Raises:
            ExchangeFault: they cannot be asked for.
        """
        fresh: list[TradeFill] = []
        last_ms = self.journal.last_fill_ms(symbol)
        cursor = last_ms - _OVERLAP_MS if last_ms else self._first_intent_ms(symbol)
        while cursor <= self.clock() + _OVERLAP_MS:
            rows = self.calls.list(self.exchange.fetch_my_trades, symbol, cursor, _PAGE)
            page = [self.calls.understand(read_fill, row) for row in rows]
            fresh += self.journal.add_fills(sorted(page, key=lambda fill: fill.time_ms))
            self.recognise(fresh)
            if len(page) < _PAGE:
                cursor += _SPAN_MS
            else:
                cursor = max(cursor + 1, *(fill.time_ms for fill in page))
        return fresh

    def recognise(self, fills: Iterable[TradeFill]) -> None:
        """Find out whose trades they are that no order of ours is known for; futures only.

        A liquidation is an order of the exchange's own, and is entered as one.

        Raises:
            ExchangeFault: the exchange cannot be asked now.
        """
        if self.futures is not None:
            self._forced.recognise(fills, self.clock())

    def balances(self) -> dict[str, float]:
        """Return the total of each asset that is not zero.

        Raises:
            ExchangeFault: they cannot be asked for, or the answer is none.
        """
        answer = self.calls.call(self.exchange.fetch_balance)
        return self.calls.understand(read_balances, answer)

    def positions(self, symbols: Iterable[str]) -> dict[str, float]:
        """Return positions by symbol, base units, > 0 long; those that are not zero.

        On a futures account that is known two answers have to agree. Elsewhere "none" where the
        journal believes one is asked for twice: an empty answer looks alike.

        Raises:
            ExchangeFault: they cannot be asked for, or the answer is none.
        """
        wanted = list(symbols)
        if self.futures is not None:
            told = self.futures.asks.account().positions
            return {symbol: one.quantity for symbol, one in told.items() if symbol in wanted}
        held = self._positions(wanted)
        believed = self.journal.believed("position")
        if any(believed.get(symbol) and symbol not in held for symbol in wanted):
            again = self._positions(wanted)
            if again != held:
                text = f"two answers about positions differ: {held} and {again}"
                raise ExchangeFault(Fault(cause="unknown", text=text), text)
        return held

    def last_price(self, symbol: str) -> float:
        """Return the last traded price, quote units.

        Raises:
            ExchangeFault: it cannot be asked for, or the answer is none.
        """
        answer = self.calls.call(self.exchange.fetch_ticker, symbol)
        return self.calls.understand(read_price, answer)

    def read_clock(self) -> ClockReading:
        """Compare the clocks.

        Raises:
            ExchangeFault: the exchange does not tell its time.
        """
        before = self.clock()
        answer = self.calls.call(self.exchange.fetch_time)
        after = self.clock()
        told = int(self.calls.understand(to_number, answer))
        return ClockReading(skew_ms=(before + after) // 2 - told, round_trip_ms=after - before)

    def adjust_clock(self) -> ClockReading:
        """Compare the clocks, and sign with the exchange's from now on."""
        reading = self.read_clock()
        self.exchange.options["timeDifference"] = reading.skew_ms
        return reading

    def _first_intent_ms(self, symbol: str) -> int:
        times = [one.intent_ms for one in self.journal.orders() if one.intent.symbol == symbol]
        return min([*times, self.clock()]) - _OVERLAP_MS

    # Requests -------------------------------------------------------------------------------------

    def _positions(self, symbols: list[str]) -> dict[str, float]:
        rows = self.calls.list(self.exchange.fetch_positions, symbols)
        return self.calls.understand(read_positions, rows)


def _arguments(intent: OrderIntent) -> tuple[str, str, str, float, float | None]:
    return intent.symbol, _TYPES[intent.type], intent.side, intent.quantity, intent.price


def _wishes(intent: OrderIntent) -> dict[str, Any]:
    wishes: dict[str, Any] = {"clientOrderId": intent.client_id}
    if intent.type in ("limit", "stop_limit") and not intent.post_only:
        wishes["timeInForce"] = intent.time_in_force.upper()
    if intent.post_only:
        wishes["postOnly"] = True
    if intent.reduce_only:
        wishes["reduceOnly"] = True
    if intent.stop_price is not None:
        wishes["triggerPrice"] = intent.stop_price
        if intent.trigger == "mark":
            wishes["workingType"] = "MARK_PRICE"
    return wishes


def _read_placed(answer: object, intent: OrderIntent) -> OrderNews:
    """Return what the answer to a new order says of it."""
    if is_apart(intent):
        return read_algo(answer, intent.client_id)[0]
    return read_order(answer, intent.client_id)


def _read_waiting(row: Any) -> SeenOrder:
    """Return an order that waits apart."""
    seen = _read_open(row)
    return seen._replace(news=read_algo(row, seen.client_id, seen.news.exchange_id)[0])


def _read_open(row: Any) -> SeenOrder:
    if not isinstance(row, dict):
        raise Unreadable("an open order must be a row")
    client_id, order_id = str(row.get("clientOrderId") or ""), str(row.get("id") or "")
    return SeenOrder(
        client_id=client_id,
        symbol=str(row.get("symbol")),
        side=str(row.get("side")),
        quantity=to_number(row.get("amount")),
        price=to_number(row.get("price") or 0.0),
        news=read_order(row, client_id, order_id),
    )
