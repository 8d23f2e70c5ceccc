"""A spot exchange as a state machine: what is sent, what each bar makes of it, what is owned.

One step is one moment at which bars close. Within it, in this order: every order that can trade at
the open does (target weights that sell first, since they pay for those that buy; then in the order
in which they were sent), then each symbol walks the path inside its bar (``path.py``), then what
asked for the close gets it. Spot does not short, and cash is never below zero unless fees may be
owed.

Left out: coin that one resting sell locks is not denied to another; what is no longer there when
the second one triggers is refused then.
"""

from collections.abc import Sequence
from math import nan

from seawall.fill import Fill
from seawall.journal import Journal, JournalKind
from seawall.venues.ledger import Entry, Ledger
from seawall.venues.orders import FOREVER_MS, Bar, Book, Listener, Outcome, VenueOrder
from seawall.venues.path import walk
from seawall.venues.refusals import (
    explain_minimum,
    explain_no_cash,
    explain_reduction,
    explain_short,
    find_fault,
    is_beyond_holding,
)
from seawall.venues.spot import (
    Execution,
    Offer,
    Wallet,
    attempt,
    compute_capacity,
    find_limit_price,
    find_quantity_for_cash,
    find_quantity_for_weight,
    find_stop_price,
    find_trail_stop,
    is_below_minimum,
    round_price,
    settle,
)

IMMEDIATE = ("ioc", "fok")


class SpotExchange:
    """The account and the resting orders of one spot exchange.

    Attributes:
        cash: quote units; ``books``: one per symbol, with what is held.
        orders: those that are alive, in the order in which they were sent.
        fills, journal, ledger: what happened.
        changes: ``(step_ms, cash, place of the book, held)`` after each change of the account.
        n_ambiguous: events whose order or existence a bar does not tell.
        step_ms: the close stamp of the step in progress.
    """

    def __init__(self, *, cash: float, quote: str, journal: Journal, listener: Listener) -> None:
        self.cash = cash
        self.quote = quote
        self.journal = journal
        self.listener = listener
        self.books: list[Book] = []
        self.orders: list[VenueOrder] = []
        self.fills: list[Fill] = []
        self.ledger = Ledger()
        self.changes: list[tuple[int, float, int, float]] = []
        self.n_ambiguous = 0
        self.step_ms = -FOREVER_MS
        self._equity: float | None = None

    def open_account(self, holdings: Sequence[tuple[Book, float]], time_ms: int) -> None:
        """Book what is owned at the start: the cash, and ``holdings`` in base units."""
        entries = [Entry("initial", self.quote, self.cash)]
        for book, quantity in holdings:
            book.held = quantity
            entries.append(Entry("initial", book.base, quantity))
        self.ledger.post(time_ms, entries)
        for place, book in enumerate(self.books):
            self.changes.append((-FOREVER_MS, self.cash, place, book.held))

    def check_books(self) -> None:
        """Compare cash and coin with the ledger.

        Raises:
            LedgerError: they differ.
        """
        balances = {self.quote: self.cash}
        for book in self.books:
            balances[book.base] = balances.get(book.base, 0.0) + book.held
        self.ledger.check(balances)

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
        self.check_books()

    # One step -------------------------------------------------------------------------------------

    def step(self, bars: Sequence[tuple[Book, Bar]], step_ms: int) -> None:
        """Let every order meet the bars that closed at ``step_ms``."""
        self.step_ms = step_ms
        self._equity = None
        for book, bar in bars:
            book.bar, book.is_moving, book.used = bar, True, 0.0
        if not any(_is_concerned(order) for order in self.orders):
            for book, _ in bars:
                book.is_moving = False
            return
        due = [
            order for order in self.orders if order.book.is_moving and order.sent_step_ms < step_ms
        ]
        for order in sorted(due, key=self._does_not_free_cash):
            if not order.is_done and not order.is_waiting:
                self._meet_open(order)
        for book, bar in bars:
            mine = [order for order in due if order.book is book]
            if bar.volume != 0.0 and mine:
                walk(self, bar, mine)
            for order in mine:
                self._finish_bar(order, bar)
        for book, _ in bars:
            book.is_moving = False
        self.orders = [order for order in self.orders if not order.is_done]

    def fill_at_close(self, order: VenueOrder) -> None:
        """Fill a market order at the close of its book's last bar: the optimistic mode."""
        bar = order.book.bar
        if bar is None or order.is_done or order.is_waiting:
            return
        if order.has_arrived or self._arrive(order, bar.close):
            if bar.volume != 0.0:
                self.fill(order, bar.close, rule=order.type, at_close=True)
            self._end_immediate(order)

    def _does_not_free_cash(self, order: VenueOrder) -> bool:
        weight, bar = order.target_weight, order.book.bar
        if weight is None or order.is_sized or bar is None:
            return True
        return weight * self._equity_now(at_close=False) >= order.book.held * bar.open

    def _meet_open(self, order: VenueOrder) -> None:
        bar = order.book.bar
        if bar is None or bar.open_ms < order.live_ms:
            return
        if bar.close_ms > order.good_until_ms:
            self.close(order, "expired", "its time is over")
            return
        if not order.has_arrived and not self._arrive(order, bar.open):
            return
        if bar.volume != 0.0:
            self._trade_at_open(order, bar.open)
        if order.type != "close" and not self._waits_for_close(order):
            self._end_immediate(order)

    def _trade_at_open(self, order: VenueOrder, price: float) -> None:
        point = (price, price, price)
        if order.has_stop:
            stop = self.stop_of(order)
            if find_stop_price(order.side, stop, point) == price:
                self.trigger(order)
                if not order.has_limit:
                    self.fill(order, price, rule=f"{order.type}_gapped", trigger=stop)
                    return
        if order.has_limit and not order.has_stop and not order.is_done:
            is_touch = order.book.parameters.is_touch
            limit = order.limit_price
            found, is_taker = find_limit_price(order.side, limit, point, order.has_rested, is_touch)
            order.has_rested = True
            if found == found:  # noqa: PLR0124 - not nan
                rule = "limit_taken" if is_taker else "limit_gapped"
                self.fill(order, found, rule=rule, trigger=limit, is_taker=is_taker)
        elif order.is_market_now and not self._waits_for_close(order):
            self.fill(
                order, price, rule="market" if order.type == "market" else f"{order.type}_rest"
            )

    def _finish_bar(self, order: VenueOrder, bar: Bar) -> None:
        """Fill what asked for the close; let trailing stops see the completed bar."""
        if order.is_done or not order.has_arrived or bar.open_ms < order.live_ms:
            return
        if order.type == "close" or self._waits_for_close(order):
            self.fill_at_close(order)
        if order.has_stop and order.is_trailing and not order.is_young:
            extreme = bar.high if order.side < 0 else bar.low
            better = max if order.side < 0 else min
            order.extreme = better(order.extreme, extreme)
        order.is_young = False
        order.born_leg = -1

    def _waits_for_close(self, order: VenueOrder) -> bool:
        return order.type == "market" and order.book.parameters.fills_at_close

    def _end_immediate(self, order: VenueOrder) -> None:
        if order.time_in_force in IMMEDIATE and not order.is_done and not order.has_stop:
            self.close(order, "cancelled", f"{order.time_in_force}: the rest did not fill at once")

    # Arrival --------------------------------------------------------------------------------------

    def _arrive(self, order: VenueOrder, price: float) -> bool:
        """Check an order and put it on the book; refuse it by name where a rule forbids it."""
        tick = order.book.parameters.tick_size
        order.limit_price = round_price(order.side, order.limit_price, tick)
        order.stop_price = round_price(-order.side, order.stop_price, tick)
        fault = find_fault(order, price)
        if fault:
            self.refuse(order, fault)
            return False
        order.has_arrived = True
        self._record(order, "ordered", order.describe(), reason=order.reason, time_ms=order.live_ms)
        self.listener.on_accepted(order)
        for child in order.children:
            if not child.has_arrived:
                self._arrive(child, price)
        return not order.is_done

    def refuse(self, order: VenueOrder, fault: str, outcome: Outcome = "rejected") -> None:
        """End an order that a rule of the venue forbids, and say which."""
        self.close(order, outcome, fault)

    # Fills ----------------------------------------------------------------------------------------

    def stop_of(self, order: VenueOrder) -> float:
        """Return the trigger of an order, quote units; a trailing one follows its extreme."""
        if not order.is_trailing:
            return order.stop_price
        amount, fraction = order.trail_amount, order.trail_fraction
        return find_trail_stop(order.side, order.extreme, amount, fraction)

    def trigger(self, order: VenueOrder) -> None:
        """Turn a stop into what it becomes: a market or a limit order."""
        if order.type == "trailing_limit":
            order.limit_price = self.stop_of(order) - order.limit_offset
        order.is_triggered = True

    def fill(
        self,
        order: VenueOrder,
        price: float,
        *,
        rule: str,
        trigger: float = nan,
        is_taker: bool = True,
        is_inside: bool = False,
        at_close: bool = False,
        is_ambiguous: bool = False,
    ) -> None:
        """Fill what can be filled of ``order`` at ``price``, the price before spread and slippage.

        ``is_inside``: at an unknown moment of the bar; else at its open, or ``at_close``.
        """
        book, bar = order.book, order.book.bar
        if bar is None:
            return
        parameters = book.parameters
        capacity = max(compute_capacity(bar.volume, parameters.participation_cap) - book.used, 0.0)
        offer = Offer(price, order.worst_price, bar.volume, capacity, is_taker)
        if not self._is_ready(order, offer, at_close=at_close):
            return
        offer = offer._replace(limit=order.worst_price)  # a target weight has found its side
        wanted = order.remaining
        if order.side < 0 and order.is_exit:
            wanted = min(wanted, book.held)
        wallet = Wallet(self.cash, book.held)
        execution, is_short, is_over = attempt(
            (order.side, wanted, order.filled == 0.0), offer, wallet, parameters.rules
        )
        if order.time_in_force == "fok" and not (is_over and not is_short):
            self.close(order, "cancelled", "fok: not all of it could be filled at once")
            return
        if execution.quantity > 0.0:
            moment = bar.close_ms if is_inside or at_close else bar.open_ms
            fill = Fill(
                moment, bar.open_ms, order.order_id, book.symbol,
                order.side * execution.quantity, execution.price, price, trigger,
                execution.slippage, execution.fee, "taker" if is_taker else "maker",
                rule, is_ambiguous,
            )  # fmt: skip
            if is_short and not order.fits_to_cash:
                self._record(order, "reduced", *explain_reduction(wanted, execution))
            order.is_done = is_over
            self._book(order, fill, execution)
        elif is_short:
            fault = explain_no_cash(order, self.cash, self.quote)
            self.close(order, "no_cash" if order.filled == 0.0 else "cancelled", fault)

    def _is_ready(self, order: VenueOrder, offer: Offer, *, at_close: bool) -> bool:
        """Fix the size of an order that is sized at its fill; refuse what spot cannot sell."""
        if not order.is_sized and (order.cash is not None or order.target_weight is not None):
            self._size(order, offer, at_close=at_close)
            rules = order.book.parameters.rules
            if order.quantity == 0.0:
                self.close(order, "cancelled", "nothing to trade: the weight is held already")
                return False
            if is_below_minimum(order.quantity, offer.price, rules):
                self.refuse(order, explain_minimum(order, offer.price))
                return False
        order.is_sized = True
        if not order.is_exit and is_beyond_holding(order):
            self.refuse(order, explain_short(order))
            return False
        return True

    def _size(self, order: VenueOrder, offer: Offer, *, at_close: bool) -> None:
        book = order.book
        rules = book.parameters.rules
        if order.target_weight is not None:
            equity = self._equity_now(at_close=at_close)
            wanted = find_quantity_for_weight(order.target_weight, equity, offer.price, book.held)
            order.side = 1.0 if wanted > 0 else -1.0
            order.quantity = abs(wanted)
            order.fits_to_cash = True
        elif order.cash is not None:
            order.quantity = find_quantity_for_cash(order.side, order.cash, offer, rules)

    def _equity_now(self, *, at_close: bool) -> float:
        """Return the equity at the open of the step (kept for the step) or at its close."""
        if at_close:
            return self.value(at_open=False)
        if self._equity is None:
            self._equity = self.value(at_open=True)
        return self._equity

    def value(self, *, at_open: bool) -> float:
        """Return cash and holdings, quote units, at the closes or at the opens of the last bars."""
        total = self.cash
        for book in self.books:
            if book.held:
                total += book.held * book.read_price(at_open)
        return total

    def _book(self, order: VenueOrder, fill: Fill, execution: Execution) -> None:
        book = order.book
        self.cash = settle(order.side, self.cash, execution)
        book.held = max(book.held + fill.quantity, 0.0)
        book.used += execution.quantity
        order.filled += execution.quantity
        order.last_price = execution.price
        self.fills.append(fill)
        self.n_ambiguous += fill.is_ambiguous
        self.changes.append((self.step_ms, self.cash, self.books.index(book), book.held))
        entries = (
            Entry("trade", book.base, fill.quantity),
            Entry("trade", self.quote, -fill.quantity * fill.price + fill.slippage),
            Entry("slippage", self.quote, -fill.slippage),
            Entry("fee", self.quote, -fill.fee),
        )
        self.ledger.post(fill.time_ms, entries)
        verb = "bought" if order.side > 0 else "sold"
        text = (
            f"{verb} {execution.quantity:.8g} at {fill.price:.8g}, fee {fill.fee:.4g} ({fill.rule})"
        )
        self._record(order, "filled", text, reason=order.reason, time_ms=fill.time_ms)
        self.listener.on_filled(order, fill, execution)
        self._after_fill(order)

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
        self._record(order, kind, order.describe(), reason=reason)
        self.listener.on_closed(order, outcome)
        if with_group:
            dependent = [other for other in order.group if other is not order]
            if order.filled == 0.0:
                dependent += order.children  # what has been bought stays protected
            if order.parent is not None:
                dependent += [sibling for sibling in order.parent.children if sibling is not order]
            for other in dependent:
                self.close(
                    other, "cancelled", f"goes with order {order.order_id}", with_group=False
                )
        return True

    def _record(
        self,
        order: VenueOrder,
        kind: JournalKind,
        text: str,
        reason: str = "",
        *,
        time_ms: int | None = None,
    ) -> None:
        when = self._now_ms(order) if time_ms is None else time_ms
        symbol, order_id = order.book.symbol, order.order_id
        self.journal.record(when, kind, text, symbol=symbol, order_id=order_id, reason=reason)

    def _now_ms(self, order: VenueOrder) -> int:
        bar = order.book.bar
        return self.step_ms if bar is None or not order.book.is_moving else bar.open_ms


def _is_concerned(order: VenueOrder) -> bool:
    """Return whether its book's bar can change anything about an order; false is certain."""
    book = order.book
    bar = book.bar
    if bar is None or not book.is_moving or order.is_waiting:
        return False
    if order.is_trailing or order.is_market_now or not order.has_arrived:
        return True
    if order.type == "close" or bar.close_ms > order.good_until_ms:
        return True
    if order.has_stop:
        return bar.high >= order.stop_price if order.side > 0 else bar.low <= order.stop_price
    return bar.low <= order.limit_price if order.side > 0 else bar.high >= order.limit_price
