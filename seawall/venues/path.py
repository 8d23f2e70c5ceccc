"""What happens inside a bar: a path from the open through both extremes to the close.

A bar does not tell whether its low or its high came first. Both orders are possible paths, and what
is hit on the way to one extreme is hit nearest to the open first: that much is certain. "worst"
takes the path that hurts: down first where coin is held (a stop before a take-profit), up first
where none is; of perpetuals see ``choose_first``. "best" takes the other. A fill that the other
path would not have, or not so, is ambiguous and is counted.

What comes to life inside the bar meets the rest of it with more doubt. In "worst" a stop-loss is
live at once; the take-profit of an entry inside the bar waits for the next; a triggered stop-limit
fills only where any path would have filled it: at its trigger, or because the bar closes beyond it.

Perpetual books walk together (``futures_path.py``). What the mark sets off fills at the worse of
its trigger and the last price at the same relative place of the leg.
"""

from collections.abc import Sequence
from math import isnan

from seawall.venues.exchange import Exchange
from seawall.venues.orders import Bar, Book, Hit, VenueOrder
from seawall.venues.spot import find_limit_price, find_stop_price

DOWN, UP = -1.0, 1.0
LAST_LEG = 2


def walk(exchange: Exchange, bar: Bar, orders: list[VenueOrder]) -> None:
    """Let the resting ``orders`` of one book meet the inside of ``bar``."""
    if not is_met(bar, orders):
        return
    path = Walk(exchange, bar, orders)
    for leg in range(LAST_LEG + 1):
        path.begin(leg)
        while (hit := path.find_next()) is not None:
            path.take(*hit)
    path.finish()


def is_met(bar: Bar, orders: list[VenueOrder]) -> bool:
    """Return whether the inside of ``bar`` reaches any of ``orders``."""
    return any(_is_in(order, bar) for order in orders if _is_live(order, bar))


def choose_first(book: Book, bar: Bar | None = None, orders: Sequence[VenueOrder] = ()) -> float:
    """Return which way a bar goes first: against the position in "worst", with it in "best".

    What a stop opens inside the bar has to be there before the bar goes against it: a perpetual
    whose stops only open shorts goes down first in "worst", and one whose stops add to what is
    held goes with it first, unless that also takes a profit.
    """
    against = DOWN if book.held > 0 else UP
    if bar is not None and book.futures is not None and _is_opened_inside(book, bar, orders):
        against = -against
    return against if book.parameters.ambiguity == "worst" else -against


def _is_opened_inside(book: Book, bar: Bar, orders: Sequence[VenueOrder]) -> bool:
    """Return whether stops inside the bar open on the side to which the bar else goes last."""
    reached = [order for order in orders if _is_live(order, bar) and _is_in(order, bar)]
    stops = {order.side for order in reached if order.has_stop and not order.only_reduces}
    if not book.held:
        return stops == {DOWN}
    side = UP if book.held > 0 else DOWN
    return side in stops and all(order.has_stop or order.side == side for order in reached)


def _to_points(bar: Bar, first: float) -> tuple[float, float, float, float]:
    """Return the corners of the path through ``bar``."""
    if first == DOWN:
        return bar.open, bar.low, bar.high, bar.close
    return bar.open, bar.high, bar.low, bar.close


class Walk:
    """The orders of one book on their way through one bar, a leg of the path at a time.

    Attributes:
        book: whose orders.
        origin, end: where the present leg begins and ends, last price.
        start: where it is by now.
        first: which way the path goes first.
    """

    def __init__(self, exchange: Exchange, bar: Bar, orders: list[VenueOrder]) -> None:
        self.book = orders[0].book
        self.leg = 0
        self.origin = self.start = self.end = bar.open
        self._exchange, self._bar, self._orders = exchange, bar, orders
        self.first = choose_first(self.book, bar, orders)
        self._points = _to_points(bar, self.first)
        self._doubtful = _find_doubtful(orders, bar)
        self._met: set[tuple[str, bool]] = set()

    def begin(self, leg: int) -> None:
        """Set out on a leg."""
        self.leg = leg
        self.origin = self.start = self._points[leg]
        self.end = self._points[leg + 1]

    def find_next(self) -> tuple[VenueOrder, float] | None:
        """Return the next order that last prices hit on this leg, and where."""
        waiting = [o for o in self._find_waiting() if not o.on_mark]
        return _find_next(waiting, (self.start, self.end, self.leg))

    def find_on_mark(self, start: float, end: float) -> tuple[VenueOrder, float] | None:
        """Return the next order that the mark sets off between two prices, and where."""
        waiting = [o for o in self._find_waiting() if o.on_mark]
        return _find_next(waiting, (start, end, self.leg)) if waiting else None

    def take(self, order: VenueOrder, level: float) -> None:
        """Fill or trigger an order that the path has reached at ``level``, a last price."""
        self.start = level
        self._met.add((order.order_id, order.has_stop or order.on_mark))
        _meet(self._exchange, order, level, self.leg, is_doubtful=order in self._doubtful)

    def finish(self) -> None:
        """Count what the bar reaches and doubt has kept from filling."""
        for order in self._orders:
            if order.is_young and _is_live(order, self._bar) and _is_in(order, self._bar):
                self._exchange.n_ambiguous += 1

    def _find_waiting(self) -> list[VenueOrder]:
        return [
            order
            for order in self._orders
            if _is_live(order, self._bar)
            and (order.order_id, order.has_stop or order.on_mark) not in self._met
        ]


def _is_live(order: VenueOrder, bar: Bar) -> bool:
    is_placed = order.has_arrived and not order.is_done and not order.is_waiting
    return is_placed and (order.has_stop or order.has_limit) and bar.open_ms >= order.live_ms


def _level(order: VenueOrder) -> float:
    return order.stop if order.has_stop else order.limit_price


def _is_reached(order: VenueOrder, low: float, high: float) -> bool:
    """Return whether prices between ``low`` and ``high`` reach the order's level."""
    level = _level(order)
    if order.has_stop:
        return not isnan(find_stop_price(order.side, level, (level, low, high)))
    is_touch = order.book.parameters.is_touch
    return not isnan(find_limit_price(order.side, level, (level, low, high), True, is_touch)[0])


def _is_in(order: VenueOrder, bar: Bar) -> bool:
    """Return whether the inside of a bar, or of its mark, reaches the order's level."""
    seen = order.watched(bar) if order.on_mark else bar
    return _is_reached(order, seen.low, seen.high)


def _find_next(
    orders: list[VenueOrder], leg: tuple[float, float, int]
) -> tuple[VenueOrder, float] | None:
    """Return the next order that is hit on the way from start to end, and where."""
    start, end, number = leg
    if number == LAST_LEG:  # whatever the path: the close lies beyond the level
        certain = [o for o in orders if not _is_barred(o, number) and _is_reached(o, end, end)]
        return (certain[0], _level(certain[0])) if certain else None
    low, high = min(start, end), max(start, end)
    direction = UP if end >= start else DOWN
    found: tuple[VenueOrder, float] | None = None
    for order in orders:
        if _is_barred(order, number):
            continue
        level = _level(order)
        # A stop is hit on the way in its own direction, a limit on the way against it.
        towards = order.side if order.has_stop else -order.side
        if towards != direction or not _is_reached(order, low, high):
            continue
        if (level - start) * direction < 0:
            level = start  # it came to life with the price already beyond it
        if found is None or (level - found[1]) * direction < 0:
            found = (order, level)
    return found


def _is_barred(order: VenueOrder, leg: int) -> bool:
    """Return whether doubt about the path keeps an order out of this leg."""
    if not order.is_young:
        return leg == LAST_LEG
    is_worst = order.book.parameters.ambiguity == "worst"
    if order.is_exit and not order.has_stop:
        return is_worst
    if order.has_stop:
        return not is_worst and leg not in (order.born_leg, LAST_LEG)
    return is_worst and leg != LAST_LEG


def _meet(
    exchange: Exchange, order: VenueOrder, level: float, leg: int, *, is_doubtful: bool
) -> None:
    """Fill or trigger an order that the path has reached at ``level``."""
    is_doubtful |= order.is_young and leg not in (order.born_leg, LAST_LEG)
    filled_before = order.filled
    if order.on_mark and not order.has_stop:
        order.on_mark = False  # a take-profit that the mark sets off: a limit from here on
        order.is_young, order.born_leg, order.has_rested = True, leg, True
    elif order.has_stop:
        _meet_stop(exchange, order, level, is_doubtful=is_doubtful)
        if not order.is_done:
            order.is_young, order.born_leg, order.has_rested = True, leg, True
    else:
        rule = "limit_touched" if order.book.parameters.is_touch else "limit_through"
        limit = order.limit_price
        hit = Hit(limit, rule, limit, is_taker=False, is_inside=True, is_ambiguous=is_doubtful)
        exchange.fill(order, hit)
    if order.filled > filled_before:
        for child in order.children:
            if not child.is_done and not child.has_rested:
                child.is_young, child.born_leg, child.has_rested = True, leg, True


def _meet_stop(exchange: Exchange, order: VenueOrder, level: float, *, is_doubtful: bool) -> None:
    """Trigger a stop at ``level``, and fill what trades there."""
    stop, is_by_mark = order.stop, order.on_mark
    order.trigger()
    rule = order.type if not order.has_limit else f"{order.type}_taken"
    if is_by_mark:
        rule = f"{rule}_by_mark"
        level = max(level, stop) if order.side > 0 else min(level, stop)
    if not order.has_limit or order.side * (order.limit_price - level) >= 0:
        exchange.fill(order, Hit(level, rule, stop, is_inside=True, is_ambiguous=is_doubtful))


def _find_doubtful(orders: list[VenueOrder], bar: Bar) -> list[VenueOrder]:
    """Return the orders of which one cancels the other, with both in the bar, on both sides."""
    hit = [o for o in orders if _is_live(o, bar) and _is_in(o, bar)]
    doubtful = []
    for order in hit:
        rivals = order.parent.children if order.parent is not None else order.group
        side = _is_above(order, bar)
        if any(
            rival is not order and rival in hit and _is_above(rival, bar) != side
            for rival in rivals
        ):
            doubtful.append(order)
    return doubtful


def _is_above(order: VenueOrder, bar: Bar) -> bool:
    return _level(order) > (order.watched(bar) if order.on_mark else bar).open
