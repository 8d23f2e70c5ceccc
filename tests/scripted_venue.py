"""A spot exchange driven by hand: bars in, orders in, fills out; for the tests of the venue."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seawall.fill import Fill
from seawall.journal import Journal
from seawall.venues.account import Account
from seawall.venues.exchange import Exchange
from seawall.venues.orders import Bar, Book, Outcome, VenueOrder
from seawall.venues.parameters import SpotParameters
from seawall.venues.spot import Execution
from seawall.venues.step import meet_bars

BAR_MS = 60_000
Prices = tuple[float, float, float, float]


@dataclass
class Recorder:
    """Notes what the exchange says, in order."""

    events: list[tuple[str, str]] = field(default_factory=list)

    def on_accepted(self, order: VenueOrder) -> None:
        """Note an arrival."""
        self.events.append((order.order_id, "accepted"))

    def on_filled(self, order: VenueOrder, fill: Fill, execution: Execution) -> None:
        """Note a fill."""
        del fill, execution
        self.events.append((order.order_id, "completed" if order.is_done else "partial"))

    def on_closed(self, order: VenueOrder, outcome: Outcome) -> None:
        """Note an end."""
        self.events.append((order.order_id, outcome))


class Scripted:
    """One symbol; bar t closes at ``(t + 1) * BAR_MS``; orders trade from the next bar on."""

    def __init__(self, *, cash: float = 10_000.0, held: float = 0.0, **parameters: Any) -> None:
        self.recorder = Recorder()
        account = Account(cash=cash, quote="USDT")
        self.exchange = Exchange(account, journal=Journal(), listener=self.recorder)
        self.price = 100.0
        self.book = Book(
            symbol="ETH/USDT", base="ETH", parameters=SpotParameters(**parameters),
            read_price=self._read_price,
        )  # fmt: skip
        account.books.append(self.book)
        account.open([(self.book, held)], 0)
        self.n_bars = 0
        self.n_orders = 0

    def _read_price(self, at_open: bool) -> float:  # noqa: FBT001 - the book's protocol
        bar = self.book.bar
        return bar.open if at_open and bar is not None else self.price

    @property
    def fills(self) -> list[Fill]:
        """What was filled."""
        return self.exchange.account.fills

    @property
    def prices(self) -> list[float]:
        """Fill prices."""
        return [fill.price for fill in self.fills]

    @property
    def rules(self) -> list[str]:
        """Fill rules."""
        return [fill.rule for fill in self.fills]

    @property
    def equity(self) -> float:
        """Cash and coin at the last close."""
        return self.exchange.account.cash + self.book.held * self.price

    def reasons(self, kind: str) -> list[str]:
        """Return the reasons of all journal entries of one kind."""
        return [entry.reason for entry in self.exchange.journal.entries if entry.kind == kind]

    def send(self, type_: str, side: float, quantity: float = 1.0, **wishes: Any) -> VenueOrder:
        """Send an order after the last bar."""
        self.n_orders += 1
        now_ms = self.n_bars * BAR_MS
        order = VenueOrder(
            order_id=str(self.n_orders), book=self.book, side=side, type=type_, quantity=quantity,  # type: ignore[arg-type]
            live_ms=now_ms + self.book.parameters.latency_ms, sent_step_ms=now_ms, **wishes,
        )  # fmt: skip
        if order.parent is not None:
            order.parent.children.append(order)
            order.follows_entry = order.quantity >= order.parent.quantity
        self.exchange.send(order)
        return order

    def pair(self, first: VenueOrder, second: VenueOrder) -> None:
        """Let one cancel the other."""
        first.group = second.group = [first, second]

    def bracket(self, entry: VenueOrder, stop: float, take: float) -> tuple[VenueOrder, VenueOrder]:
        """Hang a stop-loss and a take-profit on an entry."""
        quantity = entry.quantity
        return (
            self.send("stop", -1.0, quantity, stop_price=stop, parent=entry),
            self.send("limit", -1.0, quantity, limit_price=take, parent=entry),
        )

    def meet(self, *bars: Prices | tuple[float, float, float, float, float]) -> "Scripted":
        """Let bars happen: (open, high, low, close[, volume = 1000])."""
        for prices in bars:
            open_ms = self.n_bars * BAR_MS
            volume = prices[4] if len(prices) == 5 else 1_000.0
            bar = Bar(open_ms, open_ms + BAR_MS, *prices[:4], volume)
            self.n_bars += 1
            self.price = prices[3]
            meet_bars(self.exchange, [(self.book, bar)], bar.close_ms)
        return self


Step = Callable[[Scripted], None]
Script = Mapping[int, Sequence[Step]]
