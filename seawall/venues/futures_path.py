"""What a bar does to a futures account: funding, liquidation, and orders, in one order of events.

1. Funding of the open's own stamp, on the position held when the bar opens. 2. Liquidation at the
open's mark. 3. What has arrived: money, margin, orders (``step.py``). 4. Funding of stamps
inside the bar, where it is longer than their interval, on what is held then. 5. Inside: all
perpetual books walk their paths together (``path.py``), and every mark goes with its own book from
corner to corner. How far on a leg a level or a liquidation lies, as a fraction of the leg, says
what comes first; at the same place the liquidation does. 6. The close.

In "worst" the first leg is against every position, so that a liquidation comes before any exit with
profit, and before every stop that is farther away. In "best" only the marks at open and close
liquidate. What is liquidated loses its open orders first: those of the contract, or of all cross
contracts.

Left out: how marks and last prices move against each other inside a bar; both go straight.
"""

from typing import NamedTuple

import numpy as np

from seawall.fill import Fill
from seawall.market.series import FloatArray
from seawall.venues.exchange import Exchange
from seawall.venues.futures import FuturesAccount
from seawall.venues.futures_tape import LATE_MS
from seawall.venues.orders import Bar, VenueOrder
from seawall.venues.path import DOWN, LAST_LEG, Walk, choose_first, is_met
from seawall.venues.perpetual import layout
from seawall.venues.spot import Execution

LIQUIDATION = "liquidation"


class _Hit(NamedTuple):
    """An order that a leg reaches: at which fraction of it, at which last price."""

    fraction: float
    walk: Walk
    order: VenueOrder
    level: float


def open_bar(exchange: Exchange, futures: FuturesAccount) -> None:
    """Settle the funding of a bar's open, and liquidate what its opening marks liquidate."""
    settle_until(exchange, futures, exchange.open_ms + LATE_MS)
    futures.show_open()
    liquidate_due(exchange, futures, at_open=True)


def settle_until(exchange: Exchange, futures: FuturesAccount, until_ms: int) -> None:
    """Settle the funding of this step up to a time, on what is held now, and write it down."""
    n_before = len(futures.funding)
    futures.settle_stamps(until_ms)
    for time_ms, row, rate, mark, quantity, amount in futures.funding[n_before:]:
        exchange.journal.record(
            time_ms,
            "funding",
            f"rate {rate!r}, quantity {quantity!r}, mark {mark!r}, amount {amount!r}",
            symbol=futures.symbols[row],
        )


def liquidate_due(exchange: Exchange, futures: FuturesAccount, *, at_open: bool) -> None:
    """Liquidate what is liquidable at the present marks."""
    while True:
        _, who = futures.find_breach(futures.marks)
        if who == layout.NOBODY or not _strike(exchange, futures, who, at_open=at_open):
            return


def walk_together(
    exchange: Exchange, futures: FuturesAccount, met: list[tuple[Bar, list[VenueOrder]]]
) -> None:
    """Let the orders of all perpetual books, and the marks, go through the inside of one step."""
    walks = [Walk(exchange, bar, orders) for bar, orders in met if orders and is_met(bar, orders)]
    tape, is_worst = futures.tape, futures.tape.is_worst
    corners = _find_corners(futures, walks)
    for leg in range(LAST_LEG + 1):
        for walk in walks:
            walk.begin(leg)
        _walk_leg(exchange, futures, walks, (corners[leg], corners[leg + 1]))
        futures.marks = corners[leg + 1]
    for walk in walks:
        walk.finish()
    futures.marks = tape.closes[tape.step]
    if not is_worst:
        liquidate_due(exchange, futures, at_open=False)


def _walk_leg(
    exchange: Exchange,
    futures: FuturesAccount,
    walks: list[Walk],
    ends: tuple[FloatArray, FloatArray],
) -> None:
    """Take what happens on one leg, the nearest first."""
    start, end = ends
    place, is_worst = 0.0, futures.tape.is_worst
    while True:
        hit = _find_first(walks, ends, place)
        share, who = futures.find_breach(end) if is_worst else (0.0, layout.NOBODY)
        if who != layout.NOBODY:
            at = place + (1.0 - place) * share
            if hit is None or at <= hit.fraction:
                place = at
                futures.marks = start + place * (end - start)
                if _strike(exchange, futures, who, at_open=False):
                    continue
        if hit is None:
            return
        place = hit.fraction
        futures.marks = start + place * (end - start)
        hit.walk.take(hit.order, hit.level)


def _find_first(
    walks: list[Walk], ends: tuple[FloatArray, FloatArray], place: float
) -> _Hit | None:
    """Return what the books reach next on this leg, from ``place`` on."""
    first: _Hit | None = None
    for walk in walks:
        for hit in (_find_on_last(walk), _find_on_mark(walk, ends)):
            if hit is not None and (first is None or hit.fraction < first.fraction):
                first = hit
    return first and first._replace(fraction=max(first.fraction, place))


def _find_on_last(walk: Walk) -> _Hit | None:
    found = walk.find_next()
    if found is None:
        return None
    order, level = found
    return _Hit(_to_fraction(level, walk.origin, walk.end), walk, order, level)


def _find_on_mark(walk: Walk, ends: tuple[FloatArray, FloatArray]) -> _Hit | None:
    row = walk.book.row
    start, end = float(ends[0][row]), float(ends[1][row])
    found = walk.find_on_mark(start, end)
    if found is None:
        return None
    order, level = found
    fraction = _to_fraction(level, start, end)
    return _Hit(fraction, walk, order, walk.origin + fraction * (walk.end - walk.origin))


def _to_fraction(level: float, start: float, end: float) -> float:
    if start == end:
        return 0.0
    return min(max((level - start) / (end - start), 0.0), 1.0)


def _find_corners(futures: FuturesAccount, walks: list[Walk]) -> tuple[FloatArray, ...]:
    """Return the marks at the four corners of the path, shape (n,) each."""
    tape = futures.tape
    step = tape.step
    low, high = tape.lows[step], tape.highs[step]
    firsts = [choose_first(book) for book in futures.books]
    for one in walks:
        firsts[one.book.row] = one.first
    is_down = np.array(firsts) == DOWN
    return (
        tape.opens[step],
        np.where(is_down, low, high),
        np.where(is_down, high, low),
        tape.closes[step],
    )


def _strike(exchange: Exchange, futures: FuturesAccount, who: int, *, at_open: bool) -> bool:
    """Liquidate; tell of it in journal and fills; return whether anything was done."""
    tape = futures.tape
    is_ambiguous = not at_open and tape.is_worst and not _is_due_at_close(futures)
    rows = futures.rows_of(who)
    exchange.moment_ms = time_ms = exchange.open_ms if at_open else exchange.step_ms
    for order in exchange.orders:
        if order.book.futures is futures and order.book.row in rows and not order.is_done:
            exchange.close(order, "cancelled", "the position is liquidated", with_group=False)
    exchange.moment_ms = None
    events = futures.liquidate(who, time_ms)
    exchange.n_ambiguous += is_ambiguous and bool(events)
    for event in events:
        _tell(exchange, futures, event, (time_ms, is_ambiguous))
    return bool(events)


def _is_due_at_close(futures: FuturesAccount) -> bool:
    """Return whether the close would liquidate as well, had nothing been done before."""
    now, tape = futures.marks, futures.tape
    futures.marks = tape.closes[tape.step]
    _, who = futures.find_breach(futures.marks)
    futures.marks = now
    return who != layout.NOBODY


def _tell(
    exchange: Exchange, futures: FuturesAccount, event: FloatArray, when: tuple[int, bool]
) -> None:
    """Write one step of a liquidation as a fill, and into the journal.

    The fill of rule "liquidation" trades at the mark; its fee is what the account paid of the
    liquidation fee, none where the insurance fund carried it. What the fund carried beyond the fee
    is a loss at the mark that the account did not bear: it is in the ledger and in
    ``Result.margin_liquidations`` as ``insurance``, not in the fill. The journal and the table have
    the whole fee.
    """
    time_ms, is_ambiguous = when
    book = futures.books[int(event[layout.SYMBOL])]
    closed, mark, fee = (float(event[k]) for k in (layout.CLOSED, layout.PRICE, layout.FEE))
    paid = max(fee - float(event[layout.INSURANCE]), 0.0)
    fill = Fill(
        time_ms, exchange.open_ms, LIQUIDATION, book.symbol, closed, mark, mark, float("nan"),
        0.0, paid, "taker", LIQUIDATION, is_ambiguous,
    )  # fmt: skip
    futures.fills.append(fill)
    text = (
        f"closed {closed!r} at the mark of {mark!r}, tier {int(event[layout.TIER])}, "
        f"fee {fee:.8g}, {float(event[layout.LEFT]):.8g} left"
    )
    why = (
        f"the margin balance of {event[layout.MARGIN_BEFORE]:.8g} does not exceed the maintenance "
        f"margin: ratio {event[layout.RATIO_BEFORE]:.6g}"
    )
    exchange.journal.record(
        time_ms, "liquidated", text, symbol=book.symbol, order_id=LIQUIDATION, reason=why
    )
    exchange.on_liquidated(book, fill, Execution(abs(closed), mark, paid, 0.0))
