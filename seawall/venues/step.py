"""One step of an exchange: what the bars that close at one moment make of its orders.

Within it, in this order: what the bar does to a futures account by itself (``futures_path.py``) and
what has arrived in it; every order that can trade at the open does (target weights that sell first,
since they pay for those that buy; then in the order in which they were sent); margin is added to
isolated positions, also out of what those orders have set free; funding inside the bar is settled;
then each symbol walks the path inside its bar (``path.py``), then what asked for the close gets it.
"""

from collections.abc import Sequence

from seawall.venues.at_open import trade_at_open
from seawall.venues.exchange import Exchange
from seawall.venues.futures import FuturesAccount
from seawall.venues.futures_path import open_bar, settle_until, walk_together
from seawall.venues.orders import Bar, Book, VenueOrder, is_concerned, waits_for_close
from seawall.venues.path import walk


def meet_bars(exchange: Exchange, bars: Sequence[tuple[Book, Bar]], step_ms: int) -> None:
    """Let every order of an exchange meet the bars that closed at ``step_ms``."""
    exchange.step_ms = step_ms
    exchange.account.begin_step()
    for book, bar in bars:
        book.bar, book.is_moving, book.used = bar, True, 0.0
    futures, requests, is_alert = exchange.futures, exchange.requests, False
    if futures is not None and (futures.is_alert or (requests and requests.waiting)):
        is_alert = _open_account(exchange, futures)
    if is_alert or any(map(is_concerned, exchange.orders)):
        _meet(exchange, bars)
    for book, _ in bars:
        book.is_moving = False
    if futures is not None and futures.is_changed:
        futures.end_step(step_ms)


def _open_account(exchange: Exchange, futures: FuturesAccount) -> bool:
    """Do what a bar does to a futures account; return whether it may do more inside."""
    if futures.is_alert:
        open_bar(exchange, futures)
        futures.look(futures.tape.step)  # a funding stamp alone leaves nothing to be done
    requests = exchange.requests
    if requests is None or not requests.waiting:
        return futures.is_alert
    futures.show_open()
    return requests.meet_open(exchange.open_ms, exchange.step_ms) or futures.is_alert


def _meet(exchange: Exchange, bars: Sequence[tuple[Book, Bar]]) -> None:
    step_ms, futures = exchange.step_ms, exchange.futures
    if futures is not None:
        futures.show_open()
    due = [o for o in exchange.orders if o.book.is_moving and o.sent_step_ms < step_ms]
    first = due if len(due) == 1 else sorted(due, key=exchange.account.frees_no_cash)
    for order in first:
        if not order.is_done and not order.is_waiting:
            _meet_open(exchange, order)
    _go_inside(exchange)
    perpetual: list[tuple[Bar, list[VenueOrder]]] = []
    for book, bar in bars:
        mine = [order for order in due if order.book is book and not order.is_done]
        if book.futures is not None:
            perpetual.append((bar, mine))
            continue
        if bar.volume != 0.0 and mine:
            walk(exchange, bar, mine)
        for order in mine:
            _finish_bar(exchange, order, bar)
    if futures is not None:
        _meet_together(exchange, futures, perpetual)
    exchange.orders = [order for order in exchange.orders if not order.is_done]


def _meet_open(exchange: Exchange, order: VenueOrder) -> None:
    bar = order.book.bar
    if bar is None or bar.open_ms < order.live_ms:
        return
    if bar.close_ms > order.good_until_ms:
        exchange.close(order, "expired", "its time is over")
        return
    if not order.has_arrived and not exchange.arrive(order, bar.open):
        return
    if bar.volume != 0.0:
        trade_at_open(exchange, order, bar.open)
    if order.type != "close" and not waits_for_close(order):
        exchange.end_immediate(order)


def _go_inside(exchange: Exchange) -> None:
    """Do what comes between the orders of the open and the inside of the bar."""
    futures, requests = exchange.futures, exchange.requests
    if requests is not None and requests.waiting:
        requests.meet_open(exchange.open_ms, exchange.step_ms, is_after_orders=True)
    if futures is not None and futures.is_alert:
        settle_until(exchange, futures, exchange.step_ms)


def _meet_together(
    exchange: Exchange, futures: FuturesAccount, met: list[tuple[Bar, list[VenueOrder]]]
) -> None:
    walk_together(exchange, futures, [(bar, mine) for bar, mine in met if bar.volume != 0.0])
    for bar, mine in met:
        for order in mine:
            _finish_bar(exchange, order, bar)


def _finish_bar(exchange: Exchange, order: VenueOrder, bar: Bar) -> None:
    """Fill what asked for the close; let trailing stops see the completed bar."""
    if order.is_done or not order.has_arrived or bar.open_ms < order.live_ms:
        return
    if order.type == "close" or waits_for_close(order):
        exchange.fill_at_close(order)
    if order.has_stop and order.is_trailing and not order.is_young:
        seen = order.watched(bar)
        extreme = seen.high if order.side < 0 else seen.low
        better = max if order.side < 0 else min
        order.extreme = better(order.extreme, extreme)
    order.is_young = False
    order.born_leg = -1
