"""An order as the exchange sees it, the bar it meets, and the book of one symbol."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf, nan
from typing import Literal, NamedTuple, Protocol

from seawall.fill import Fill
from seawall.venues.parameters import SpotParameters
from seawall.venues.spot import Execution, Offer, compute_capacity, find_trail_stop

VenueOrderType = Literal[
    "market", "close", "limit", "stop", "stop_limit", "trailing", "trailing_limit"
]
_LIMITS = ("limit", "stop_limit", "trailing_limit")
_TRAILS = ("trailing", "trailing_limit")
_PLAIN = ("market", "close", "limit")
TimeInForce = Literal["gtc", "ioc", "fok", "gtd"]
Outcome = Literal["cancelled", "expired", "rejected", "no_cash"]
FOREVER_MS = 1 << 62


class Bar(NamedTuple):
    """One bar of one symbol; prices quote per base, volume base units (nan: unknown)."""

    open_ms: int
    close_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Hit(NamedTuple):
    """How the market meets an order: where, by which rule, at what moment of the bar.

    Attributes:
        price: before spread and slippage.
        rule: name of the fill rule; ``trigger``: the stop or limit that let it happen, or nan.
        is_inside: at an unknown moment of the bar; else at its open, or ``at_close``.
        is_ambiguous: the bar does not tell whether it happened, or in which order.
    """

    price: float
    rule: str
    trigger: float = nan
    is_taker: bool = True
    is_inside: bool = False
    at_close: bool = False
    is_ambiguous: bool = False


@dataclass(kw_only=True, slots=True, eq=False)
class Book:
    """One symbol on the exchange: its rules, what is held, and the bar in progress.

    Attributes:
        base: the asset that is held, for the ledger.
        held: base units, >= 0; of a perpetual signed, < 0 is short.
        bar: the last bar that was met; ``None`` before the first.
        is_moving: the bar belongs to the step in progress.
        used: base units that have filled in ``bar``.
        read_price: the last known price; asked with True, a bar of this step counts by its open.
        futures: the account through which a perpetual settles, in which it is ``row``; ``None``:
            spot, which settles cash against coin.
    """

    symbol: str
    base: str
    parameters: SpotParameters
    read_price: Callable[[bool], float]
    held: float = 0.0
    bar: Bar | None = None
    is_moving: bool = False
    used: float = 0.0
    futures: "MarginAccount | None" = None
    row: int = -1

    @property
    def mark(self) -> Bar | None:
        """The bar of the mark price in this step; ``None`` for spot."""
        return None if self.futures is None else self.futures.mark_bar(self.row)

    def capacity(self, volume: float) -> float:
        """Return the base units that may still fill in a bar of that volume."""
        return max(compute_capacity(volume, self.parameters.participation_cap) - self.used, 0.0)


@dataclass(kw_only=True, slots=True, eq=False)
class VenueOrder:
    """One order and its state; prices quote per base, quantities base units, ``side`` +1.0 or -1.0.

    Attributes:
        quantity: what is asked; fixed at the fill where ``cash`` or ``target_weight`` sizes it.
        fits_to_cash: its size already means "as far as the cash goes": made smaller without a word.
        limit_price, stop_price: nan where the type has none; rounded to the tick on arrival.
        trail_amount, trail_fraction: distance of a trailing stop from ``extreme``.
        limit_offset: of a trailing limit: stop minus limit.
        live_ms: when it arrives; it trades from the first bar that opens then or later.
        group: orders of which one fill cancels the others.
        has_limit: it never trades beyond ``limit_price``; ``has_stop``: a trigger still has to be
            reached; ``is_trailing``: that trigger follows the market.
        parent, children: a bracket; ``follows_entry``: it exits whatever the entry has filled.
        reduce_only: it closes what is held of a perpetual, and never opens or turns a position.
        keeps_margin: what its fills set free of an isolated margin backs what is left at once.
        on_mark: the mark price sets it off, and has not yet; it then trades at last prices.
        has_rested: was on the book before the bar opened, so it is the maker.
        is_young: came to life inside the bar in progress; ``born_leg``: on which leg of its path.
    """

    order_id: str
    book: Book
    side: float
    type: VenueOrderType
    quantity: float
    cash: float | None = None
    target_weight: float | None = None
    fits_to_cash: bool = False
    limit_price: float = nan
    stop_price: float = nan
    trail_amount: float = 0.0
    trail_fraction: float = 0.0
    limit_offset: float = 0.0
    extreme: float = nan
    time_in_force: TimeInForce = "gtc"
    good_until_ms: int = FOREVER_MS
    post_only: bool = False
    reduce_only: bool = False
    keeps_margin: bool = False
    on_mark: bool = False
    reason: str = ""
    live_ms: int = 0
    sent_step_ms: int = -FOREVER_MS
    group: "list[VenueOrder]" = field(default_factory=list)
    parent: "VenueOrder | None" = None
    children: "list[VenueOrder]" = field(default_factory=list)
    follows_entry: bool = False
    filled: float = 0.0
    last_price: float = nan
    is_sized: bool = False
    is_done: bool = False
    has_arrived: bool = False
    has_rested: bool = False
    is_young: bool = False
    born_leg: int = -1
    has_limit: bool = field(init=False)
    has_stop: bool = field(init=False)
    is_trailing: bool = field(init=False)

    def __post_init__(self) -> None:
        self.has_limit = self.type in _LIMITS
        self.has_stop = self.type not in _PLAIN
        self.is_trailing = self.type in _TRAILS

    @property
    def is_exit(self) -> bool:
        """Whether it is the exit of a bracket."""
        return self.parent is not None

    @property
    def only_reduces(self) -> bool:
        """Whether it may close a position and no more."""
        return self.reduce_only or self.parent is not None

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for the entry of its bracket to fill."""
        return self.parent is not None and self.parent.filled == 0.0

    @property
    def is_market_now(self) -> bool:
        """Whether it trades at the next open: a market order, or a triggered stop."""
        return self.type != "close" and not self.has_stop and not self.has_limit

    @property
    def stop(self) -> float:
        """The trigger, quote units; a trailing one follows its extreme."""
        if not self.is_trailing:
            return self.stop_price
        return find_trail_stop(self.side, self.extreme, self.trail_amount, self.trail_fraction)

    def trigger(self) -> None:
        """Turn a stop into what it becomes: a market or a limit order."""
        if self.type == "trailing_limit":
            self.limit_price = self.stop - self.limit_offset
        self.has_stop = self.on_mark = False

    def watched(self, bar: Bar) -> Bar:
        """Return the bar that it meets: of the mark while that has to set it off, else ``bar``."""
        mark = self.book.mark if self.on_mark else None
        return bar if mark is None else mark

    @property
    def worst_price(self) -> float:
        """The worst price it accepts."""
        if self.has_limit:
            return self.limit_price
        return inf if self.side > 0 else 0.0

    @property
    def remaining(self) -> float:
        """What may still fill; for the exit of a bracket never more than the bracket has open."""
        if self.parent is None:
            return self.quantity - self.filled
        open_quantity = self.parent.filled - sum(exit_.filled for exit_ in self.parent.children)
        if self.follows_entry:
            return open_quantity
        return min(self.quantity - self.filled, open_quantity)

    def describe(self) -> str:
        """Return the order in words."""
        side = "buy" if self.side > 0 else "sell"
        if self.target_weight is not None and not self.is_sized:
            return f"{self.type} to weight {self.target_weight:.6g} of {self.book.symbol}"
        size = f"{self.quantity:.8g}"
        if self.cash is not None and not self.is_sized:
            size = f"for {self.cash:.8g} quote"
        stop = f", stop {self.stop_price:.8g}" if self.stop_price == self.stop_price else ""
        limit = f", limit {self.limit_price:.8g}" if self.has_limit else ""
        return f"{self.type} {side} {size} {self.book.symbol}{stop}{limit}"


def waits_for_close(order: VenueOrder) -> bool:
    """Return whether a market order fills at the close just seen: the optimistic mode."""
    return order.type == "market" and order.book.parameters.fills_at_close


def find_dependent(order: VenueOrder) -> list[VenueOrder]:
    """Return the orders that end where ``order`` ends without being filled in full."""
    dependent = [other for other in order.group if other is not order]
    if order.filled == 0.0:
        dependent += order.children  # what has been bought stays protected
    if order.parent is not None:
        dependent += [sibling for sibling in order.parent.children if sibling is not order]
    return dependent


def to_fill(order: VenueOrder, bar: Bar, hit: Hit, execution: Execution) -> Fill:
    """Return the row of one execution."""
    return Fill(
        bar.close_ms if hit.is_inside or hit.at_close else bar.open_ms, bar.open_ms,
        order.order_id, order.book.symbol, order.side * execution.quantity, execution.price,
        hit.price, hit.trigger, execution.slippage, execution.fee,
        "taker" if hit.is_taker else "maker", hit.rule, hit.is_ambiguous,
    )  # fmt: skip


def is_concerned(order: VenueOrder) -> bool:
    """Return whether its book's bar can change anything about an order; false is certain.

    One that has ended between two steps is concerned: it has to be dropped.
    """
    book = order.book
    bar = book.bar
    if bar is None or not book.is_moving or order.is_waiting:
        return False
    if order.is_done or order.is_trailing or order.is_market_now or not order.has_arrived:
        return True
    if order.type == "close" or bar.close_ms > order.good_until_ms:
        return True
    if order.on_mark:
        bar = order.watched(bar)
    if order.has_stop:
        return bar.high >= order.stop_price if order.side > 0 else bar.low <= order.stop_price
    return bar.low <= order.limit_price if order.side > 0 else bar.high >= order.limit_price


class MarginAccount(Protocol):
    """The account through which a perpetual settles, as far as its orders need it."""

    @property
    def free_wallet(self) -> float:
        """What backs no position yet, quote units."""

    def mark_bar(self, row: int) -> Bar:
        """Return this step's bar of one mark."""

    def find_wanted(self, order: VenueOrder) -> float:
        """Return how much of an order may still fill."""

    def attempt(
        self, order: VenueOrder, wanted: float, offer: Offer
    ) -> tuple[Execution, bool, bool]:
        """Return ``(execution, is_short_of_margin, is_over)``."""

    def book_fill(self, book: Book, fill: Fill, execution: Execution, step_ms: int) -> None:
        """Let a fill change the position, and enter it."""

    def add_margin(self, row: int, amount: float) -> float:
        """Move margin into or out of an isolated position; return what moved, signed."""


class Listener(Protocol):
    """Who is told what becomes of orders."""

    def on_accepted(self, order: VenueOrder) -> None:
        """The exchange has taken the order."""

    def on_filled(self, order: VenueOrder, fill: Fill, execution: Execution) -> None:
        """Some of it was filled; ``order.is_done`` says whether that was all."""

    def on_closed(self, order: VenueOrder, outcome: Outcome) -> None:
        """It ended without being filled in full."""
