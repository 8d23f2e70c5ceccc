"""An exchange as a state machine: what is sent, what becomes of it, what is owned.

Orders arrive, fill and end here; ``step.py`` lets them meet the bars.

Spot and perpetual books have their orders in common; what a fill does is the business of the
account behind the book: spot settles cash against coin, does not short, and its cash is never below
zero unless fees may be owed; a perpetual settles through its margin (``futures.py``).

Left out: coin that one resting sell locks is not denied to another; what is no longer there when
the second one triggers is refused then.
"""

from collections.abc import Callable

from seawall.fill import Fill
from seawall.journal import Journal, JournalKind
from seawall.venues.account import Account, OnTheWay
from seawall.venues.futures import FuturesAccount
from seawall.venues.futures_orders import book_and_keep
from seawall.venues.orders import (
    FOREVER_MS,
    Book,
    Hit,
    Listener,
    Outcome,
    VenueOrder,
    find_dependent,
    to_fill,
)
from seawall.venues.refusals import (
    explain_minimum,
    explain_no_cash,
    explain_no_margin,
    explain_nothing_to_reduce,
    explain_reduction,
    explain_short,
    find_fault,
    is_beyond_holding,
    is_too_small,
)
from seawall.venues.spot import (
    Execution,
    Offer,
    find_quantity_for_cash,
    find_quantity_for_weight,
    round_price,
)

IMMEDIATE = ("ioc", "fok")
_FEES_TAKE = 0.02  # of an order as large as the margin allows


class Exchange:
    """The resting orders of one exchange, and the account that they trade for.

    Attributes:
        account: what is owned.
        orders: those that are alive, in the order in which they were sent; one that ends between
            two steps is dropped at the next.
        journal: what happened, in words.
        n_ambiguous: events whose order or existence a bar does not tell.
        step_ms: the close stamp of the step in progress; ``open_ms``: when its bars have opened.
        moment_ms: when what is being done happens, where that is not the bar's open.
        futures, requests: the futures account and what is on its way to it, where there is one.
        on_liquidated: told of each step of a liquidation.
    """

    def __init__(self, account: Account, *, journal: Journal, listener: Listener) -> None:
        self.account = account
        self.journal = journal
        self.listener = listener
        self.orders: list[VenueOrder] = []
        self.n_ambiguous = 0
        self.step_ms = -FOREVER_MS
        self.open_ms = -FOREVER_MS
        self.moment_ms: int | None = None
        self.futures: FuturesAccount | None = None
        self.requests: OnTheWay | None = None
        self.on_liquidated: Callable[[Book, Fill, Execution], None] = _ignore

    # What may be asked ----------------------------------------------------------------------------

    def send(self, order: VenueOrder) -> None:
        """Take an order on its way; it is looked at when it arrives."""
        self.orders.append(order)

    def cancel(self, order: VenueOrder, reason: str = "") -> bool:
        """Cancel an order and what depends on it; false where it is over already."""
        return self.close(order, "cancelled", reason or "asked for")

    def end(self, time_ms: int) -> None:
        """Let every order that is left expire: the data have ended."""
        self.step_ms = time_ms
        for order in self.orders:
            if not order.is_done:
                self.close(order, "expired", "end_of_data", with_group=False)
        self.orders = []
        self.account.check()

    # Arrival --------------------------------------------------------------------------------------

    def arrive(self, order: VenueOrder, price: float) -> bool:
        """Check an order and put it on the book; refuse it by name where a rule forbids it."""
        if order.type != "market":
            tick = order.book.parameters.tick_size
            order.limit_price = round_price(order.side, order.limit_price, tick)
            order.stop_price = round_price(-order.side, order.stop_price, tick)
        fault = find_fault(order, price)
        if fault:
            self.close(order, "rejected", fault)
            return False
        order.has_arrived = True
        self._record(order, "ordered", order.describe(), order.reason, order.live_ms)
        self.listener.on_accepted(order)
        for child in order.children:
            if not child.has_arrived:
                self.arrive(child, price)
        return not order.is_done

    # Fills ----------------------------------------------------------------------------------------

    def fill(self, order: VenueOrder, hit: Hit) -> None:
        """Fill what can be filled of an order where the market meets it."""
        book, bar = order.book, order.book.bar
        if bar is None:
            return
        capacity = book.capacity(bar.volume)
        offer = Offer(hit.price, order.worst_price, bar.volume, capacity, hit.is_taker)
        if not self._is_ready(order, offer, at_close=hit.at_close):
            return
        if order.target_weight is not None:  # it has found its side
            offer = offer._replace(limit=order.worst_price)
        account = self.account if book.futures is None else book.futures
        wanted = account.find_wanted(order)
        execution, is_short, is_over = account.attempt(order, wanted, offer)
        if order.time_in_force == "fok" and not (is_over and not is_short):
            self.close(order, "cancelled", "fok: not all of it could be filled at once")
        elif execution.quantity > 0.0:
            if is_short and not _is_expected(order, execution.quantity / wanted):
                self._record(
                    order, "reduced", *explain_reduction(order, wanted, execution, self.futures)
                )
            order.is_done = is_over
            self._settle(order, to_fill(order, bar, hit, execution), execution)
        elif is_short:
            if book.futures is None:
                fault = explain_no_cash(order, self.account.cash, self.account.quote)
            else:
                fault = explain_no_margin(order, self.futures)
            self.close(order, "no_cash" if order.filled == 0.0 else "cancelled", fault)

    def fill_at_close(self, order: VenueOrder) -> None:
        """Fill a market order at the close of its book's last bar: the optimistic mode."""
        bar = order.book.bar
        if bar is None or order.is_done or order.is_waiting:
            return
        if order.has_arrived or self.arrive(order, bar.close):
            if bar.volume != 0.0:
                self.fill(order, Hit(bar.close, order.type, at_close=True))
            self.end_immediate(order)

    def _is_ready(self, order: VenueOrder, offer: Offer, *, at_close: bool) -> bool:
        """Fix the size of an order that is sized at its fill; refuse what spot cannot sell."""
        if not order.is_sized and (order.cash is not None or order.target_weight is not None):
            self._size(order, offer, at_close=at_close)
            if order.quantity == 0.0:
                self.close(order, "cancelled", "nothing to trade: the weight is held already")
                return False
            if is_too_small(order, offer.price):
                self.close(order, "rejected", explain_minimum(order, offer.price))
                return False
        order.is_sized = True
        if not order.is_exit and is_beyond_holding(order):
            self.close(order, "rejected", explain_short(order))
            return False
        futures = order.book.futures
        if futures is not None and order.only_reduces and not futures.find_wanted(order) > 0.0:
            self.close(order, "cancelled", explain_nothing_to_reduce(order))
            return False
        return True

    def _size(self, order: VenueOrder, offer: Offer, *, at_close: bool) -> None:
        book = order.book
        if order.target_weight is not None:
            equity = self.account.equity(at_close=at_close)
            wanted = find_quantity_for_weight(order.target_weight, equity, offer.price, book.held)
            order.side = 1.0 if wanted > 0 else -1.0
            order.quantity = abs(wanted)
            order.fits_to_cash = True
        elif order.cash is not None:
            rules = book.parameters.rules
            order.quantity = find_quantity_for_cash(order.side, order.cash, offer, rules)

    def _settle(self, order: VenueOrder, fill: Fill, execution: Execution) -> None:
        """Book one fill, tell of it, and let it end what it ends."""
        order.filled += execution.quantity
        order.last_price = execution.price
        self.n_ambiguous += fill.is_ambiguous
        book = order.book
        kept = 0.0
        if book.futures is None:
            self.account.book_fill(book, fill, execution, self.step_ms)
        elif order.keeps_margin:
            kept = book_and_keep(book.futures, order, fill, execution)
        else:
            book.futures.book_fill(book, fill, execution, self.step_ms)
        verb = "bought" if order.side > 0 else "sold"
        text = (
            f"{verb} {execution.quantity:.8g} at {fill.price:.8g}, fee {fill.fee:.4g} ({fill.rule})"
        )
        self._record(order, "filled", text, order.reason, fill.time_ms)
        if kept:
            self._record(
                order, "done", f"margin of {kept:.8g} backs what is left", "", fill.time_ms
            )
        self.listener.on_filled(order, fill, execution)
        self.moment_ms = fill.time_ms  # what the fill ends, ends with it
        self._after_fill(order)
        self.moment_ms = None

    def _after_fill(self, order: VenueOrder) -> None:
        """Let one fill cancel its group, and the end of an exit its bracket."""
        for other in order.group:
            if other is not order:
                self.close(other, "cancelled", "oco: the other one filled", with_group=False)
        for child in order.children:
            if child.is_trailing and not child.has_rested:
                child.extreme = order.last_price
        parent = order.parent
        if parent is not None and order.is_done:
            self.close(parent, "cancelled", "bracket: its exit has filled", with_group=False)
            for sibling in parent.children:
                self.close(sibling, "cancelled", "bracket: the other exit filled", with_group=False)

    # Ends -----------------------------------------------------------------------------------------

    def close(
        self, order: VenueOrder, outcome: Outcome, reason: str, *, with_group: bool = True
    ) -> bool:
        """End an order that is not filled in full; by default with those that depend on it."""
        if order.is_done:
            return False
        order.is_done = True
        kind: JournalKind = "refused"
        if outcome in ("cancelled", "expired"):
            kind = outcome
        self._record(order, kind, order.describe(), reason)
        self.listener.on_closed(order, outcome)
        if with_group:
            why = f"goes with order {order.order_id}"
            for other in find_dependent(order):
                self.close(other, "cancelled", why, with_group=False)
        return True

    def end_immediate(self, order: VenueOrder) -> None:
        """Cancel what is left of an order that had to fill at once."""
        if order.time_in_force in IMMEDIATE and not order.is_done and not order.has_stop:
            self.close(order, "cancelled", f"{order.time_in_force}: the rest did not fill at once")

    def _record(
        self,
        order: VenueOrder,
        kind: JournalKind,
        text: str,
        reason: str,
        time_ms: int | None = None,
    ) -> None:
        book = order.book
        if time_ms is None:
            time_ms = self.moment_ms
        if time_ms is None:
            time_ms = self.step_ms if book.bar is None or not book.is_moving else book.bar.open_ms
        self.journal.record(
            time_ms, kind, text, symbol=book.symbol, order_id=order.order_id, reason=reason
        )


def _ignore(book: Book, fill: Fill, execution: Execution) -> None:
    """Do nothing: nobody wants to be told."""


def _is_expected(order: VenueOrder, share: float) -> bool:
    """Return whether an order may be made smaller without a word: what fees take of "all"."""
    return order.fits_to_cash and (order.book.futures is None or share >= 1.0 - _FEES_TAKE)
