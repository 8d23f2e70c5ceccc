"""What is owned on one exchange: cash, coin, and the books that say where it came from.

Cash and coin are here; a futures account beside them has its own wallet (``futures.py``).
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from seawall.fill import Fill
from seawall.venues.futures import FuturesAccount
from seawall.venues.ledger import Entry, Ledger
from seawall.venues.orders import FOREVER_MS, Book, VenueOrder
from seawall.venues.spot import Execution, Offer, Wallet, attempt, settle


class OnTheWay(Protocol):
    """What is on its way to or from a futures account, and what else was asked of it."""

    @property
    def waiting(self) -> Collection[object]:
        """What has not been done yet."""

    @property
    def on_the_way(self) -> float:
        """Quote units that have left one wallet and not reached the other."""

    def meet_open(self, open_ms: int, step_ms: int, *, is_after_orders: bool = False) -> bool:
        """Do what is due at a bar's open, before its orders or after; return whether any is due."""

    def balances(self) -> dict[str, float]:
        """Return what the ledger has to agree with beside the account itself."""

    def check(self) -> None:
        """Compare what is on the way with what was sent."""


class Account:
    """Cash and coin, with a ledger of every change.

    Attributes:
        cash: quote units; ``quote``: their asset.
        books: one per spot symbol, with what is held.
        fills: every execution, in order; those of perpetuals too.
        changes: ``(step_ms, cash, place of the book, held)`` after each change; place -1: cash.
        futures: of perpetuals, where there are any; ``requests``: what is on its way to or from it.
        owed: quote units, for the agent's thinking; no cash pays it, and ``value`` leaves it out.
    """

    def __init__(self, *, cash: float, quote: str) -> None:
        self.cash = cash
        self.quote = quote
        self.books: list[Book] = []
        self.fills: list[Fill] = []
        self.ledger = Ledger()
        self.changes: list[tuple[int, float, int, float]] = []
        self.futures: FuturesAccount | None = None
        self.requests: OnTheWay | None = None
        self.owed = 0.0
        self._equity_at_open: float | None = None

    def open(self, holdings: Sequence[tuple[Book, float]], time_ms: int) -> None:
        """Book what is owned at the start: the cash, and ``holdings`` in base units."""
        entries = [Entry("initial", self.quote, self.cash)]
        for book, quantity in holdings:
            book.held = quantity
            entries.append(Entry("initial", book.base, quantity))
        if self.futures is not None:
            entries += self.futures.open()
        self.ledger.post(time_ms, entries)
        self.changes.append((-FOREVER_MS, self.cash, -1, 0.0))
        for place, book in enumerate(self.books):
            self.changes.append((-FOREVER_MS, self.cash, place, book.held))

    def check(self) -> None:
        """Compare cash, coin, and what a futures account and the way to it hold with the ledger.

        Raises:
            LedgerError: they differ.
        """
        balances = {self.quote: self.cash}
        for book in self.books:
            balances[book.base] = balances.get(book.base, 0.0) + book.held
        if self.futures is not None:
            self.futures.check()
            balances |= self.futures.balances()
        if self.requests is not None:
            self.requests.check()
            balances |= self.requests.balances()
        if self.owed:
            balances[f"owed:{self.quote}"] = -self.owed
        self.ledger.check(balances)

    def charge(self, amount: float, time_ms: int) -> None:
        """Book what the agent's thinking has cost, quote units > 0."""
        self.owed += amount
        self.ledger.post(time_ms, [Entry("thinking", f"owed:{self.quote}", -amount)])

    def value(self, *, at_open: bool) -> float:
        """Return all that is owned, quote units, at the closes or at the opens of the last bars."""
        total = self.cash
        for book in self.books:
            if book.held:
                total += book.held * book.read_price(at_open)
        if self.futures is not None:
            total += self.futures.value(at_open=at_open)
        if self.requests is not None:
            total += self.requests.on_the_way
        return total

    def begin_step(self) -> None:
        """Forget the equity at the open of the step before."""
        self._equity_at_open = None

    def equity(self, *, at_close: bool) -> float:
        """Return the equity by which weights are sized: at the close, or before the open's trades.

        All weights of one open share the equity that was there before the first of them traded.
        """
        if at_close:
            return self.value(at_open=False)
        if self._equity_at_open is None:
            self._equity_at_open = self.value(at_open=True)
        return self._equity_at_open

    def frees_no_cash(self, order: VenueOrder) -> bool:
        """Return whether an order is anything but a target weight below what is held."""
        weight, bar = order.target_weight, order.book.bar
        if weight is None or order.is_sized or bar is None:
            return True
        aim = weight * self.equity(at_close=False)
        return abs(aim) >= abs(order.book.held * bar.open)

    def move(self, amount: float, time_ms: int, step_ms: int, entries: Sequence[Entry]) -> None:
        """Let cash come in (> 0) or out, as ``entries`` say."""
        self.cash += amount
        self.changes.append((step_ms, self.cash, -1, 0.0))
        self.ledger.post(time_ms, entries)

    def find_wanted(self, order: VenueOrder) -> float:
        """Return how much of an order may still fill: of a bracket's exit, what is held."""
        wanted = order.remaining
        return min(wanted, order.book.held) if order.side < 0 and order.is_exit else wanted

    def attempt(
        self, order: VenueOrder, wanted: float, offer: Offer
    ) -> tuple[Execution, bool, bool]:
        """Return ``(execution, is_short_of_cash, is_over)``."""
        wallet = Wallet(self.cash, order.book.held)
        request = (order.side, wanted, order.filled == 0.0)
        return attempt(request, offer, wallet, order.book.parameters.rules)

    def book_fill(self, book: Book, fill: Fill, execution: Execution, step_ms: int) -> None:
        """Move cash and coin as one fill says, and enter it in the ledger."""
        side = 1.0 if fill.quantity > 0 else -1.0
        self.cash = settle(side, self.cash, execution.quantity * execution.price, execution.fee)
        book.held = max(book.held + fill.quantity, 0.0)
        book.used += execution.quantity
        self.fills.append(fill)
        self.changes.append((step_ms, self.cash, self.books.index(book), book.held))
        entries = (
            Entry("trade", book.base, fill.quantity),
            Entry("trade", self.quote, -fill.quantity * fill.price + fill.slippage),
            Entry("slippage", self.quote, -fill.slippage),
            Entry("fee", self.quote, -fill.fee),
        )
        self.ledger.post(fill.time_ms, entries)
