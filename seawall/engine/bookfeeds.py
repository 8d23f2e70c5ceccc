"""The feeds of a run, each with its book on the exchange: clocks, prices, and the value in them."""

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

import numpy as np

from seawall.engine.feed import to_bt_time
from seawall.engine.feedview import FeedView, to_ms
from seawall.errors import RecipeError
from seawall.market.series import FloatArray, TimeArray
from seawall.recipe import to_share
from seawall.units import split_symbol
from seawall.venues.orders import Bar, Book, VenueOrder
from seawall.venues.parameters import SpotParameters

Change = tuple[int, float, int, float]


class BookFeeds:
    """Feeds and books in one order.

    Attributes:
        books: by feed; ``spot_books``: those that settle in coin, in the order of the feeds.
        first_prices: by symbol, quote units, where coin was held at the start.
        held: the line of closes and the book of each spot symbol that is held.

    ``contracts`` are the symbols that settle through a futures account.
    """

    def __init__(
        self,
        datas: Sequence[Any],
        parameters: Mapping[str, SpotParameters] | SpotParameters,
        contracts: Sequence[str] = (),
    ) -> None:
        self.first_prices: dict[str, float] = {}
        self.books: dict[Any, Book] = {}
        self.held: list[tuple[Any, Book]] = []
        self._pairs: list[tuple[FeedView, Book]] = []
        for data in datas:
            feed = FeedView(data)
            self.books[data] = book = self._open_book(feed, parameters)
            self._pairs.append((feed, book))
        self._spot = [pair for pair in self._pairs if pair[1].symbol not in contracts]
        self.spot_books = [book for _, book in self._spot]
        self._stamps = [feed.stamps for feed, _ in self._pairs]
        self._last_stamp, self._last_ms = 0.0, 0

    def _open_book(
        self, feed: FeedView, given: Mapping[str, SpotParameters] | SpotParameters
    ) -> Book:
        symbol = feed.symbol
        base = split_symbol(symbol)[0] if "/" in symbol else symbol or "base"
        if isinstance(given, SpotParameters):
            parameters = given
        elif symbol in given:
            parameters = given[symbol]
        else:
            raise RecipeError(f"parameters has no symbol {symbol!r}: it has {list(given)}")

        def read_price(at_open: bool) -> float:  # noqa: FBT001 - called on every valuation
            stamp = feed.stamp
            if not stamp:
                return self.first_prices.get(symbol, nan)
            return feed.price(at_open=at_open and stamp == self.now())

        return Book(symbol=symbol, base=base, parameters=parameters, read_price=read_price)

    # Clocks ---------------------------------------------------------------------------------------

    def now(self) -> float:
        """Return the latest close stamp that any feed shows, backtrader's days; 0.0: none."""
        latest = 0.0
        for line in self._stamps:
            index = line._idx  # noqa: SLF001 - the public property costs a call per bar
            if index >= 0 and line.array[index] > latest:
                latest = line.array[index]
        return latest

    def now_ms(self) -> int:
        """Return the same in UTC milliseconds."""
        now = self.now()
        if now != self._last_stamp:
            self._last_stamp, self._last_ms = now, to_ms(now) if now else 0
        return self._last_ms

    def open_ms(self) -> int:
        """Return when the bars that close last have opened."""
        now = self.now()
        return max(feed.bar().open_ms for feed, _ in self._pairs if feed.stamp == now)

    def read_clock(self) -> tuple[list[float], TimeArray]:
        """Return when bars close, backtrader's days and UTC milliseconds, of all feeds but coarser.

        Raises:
            RecipeError: a feed does not know its bars before the run.
        """
        times = []
        for feed, book in self._pairs:
            if feed.candles is None:
                raise RecipeError(
                    f"perpetuals need an ArrayFeed, {book.symbol} has another feed: its marks are "
                    "told by steps, which have to be known before the run"
                )
            if not getattr(feed.data, "only_shows", False):
                times.append(feed.candles.close_ms)
        clock_ms: TimeArray = np.unique(np.concatenate(times))
        return to_bt_time(clock_ms).tolist(), clock_ms

    # Bars and prices ------------------------------------------------------------------------------

    def fresh_bars(
        self, orders: Sequence[VenueOrder], also: Sequence[Book] = (), now: float = 0.0
    ) -> list[tuple[Book, Bar]]:
        """Return the bars that have just closed, of the books that have orders, and of others.

        ``now``: what ``now()`` gives, where the caller has it.
        """
        now = now or self.now()
        wanted = {id(order.book) for order in orders}
        if also:
            wanted |= {id(book) for book in also}
        return [
            (book, feed.bar())
            for feed, book in self._pairs
            if id(book) in wanted and feed.stamp == now
        ]

    def last_bar(self, book: Book) -> Bar | None:
        """Return the bar that a book's feed shows, ``None`` before the first."""
        feed = next(feed for feed, one in self._pairs if one is book)
        return feed.bar() if feed.stamp else None

    def watch_held(self) -> None:
        """Note which closes the account is valued at."""
        self.held = [(feed.close, book) for feed, book in self._spot if book.held]

    def find_first_price(self, symbol: str, since_ms: int) -> float:
        """Return the open of a symbol's first bar from ``since_ms`` on; see ``FeedView``."""
        feed = next(feed for feed, book in self._pairs if book.symbol == symbol)
        return feed.first_price(since_ms)

    def find_holdings(
        self, wanted: Mapping[str, float | str], cash: float, since_ms: int
    ) -> tuple[list[tuple[Book, float]], float]:
        """Return base units per book, and the cash that is left of ``cash``.

        Shares of the cash become coin at the first price from ``since_ms`` on, free of charge.

        Raises:
            RecipeError: the shares are more than the cash, there is no first price, or a base is
                not traded as spot.
        """
        holdings, spent = [], 0.0
        left = dict(wanted)
        for feed, book in self._spot:
            amount = left.pop(book.base, None)
            if not amount:
                continue
            price = self.first_prices[book.symbol] = feed.first_price(since_ms)
            if isinstance(amount, str):
                share = to_share(amount, f"account.initial_holdings.{book.base}")
                spent += share * cash
                amount = share * cash / price
            holdings.append((book, float(amount)))
        if self._pairs and any(left.values()):
            bases = sorted({book.base for book in self.spot_books})
            raise RecipeError(
                "account.initial_holdings may name what the market has as spot, which is "
                f"{bases}, is {left}: add its spot symbol to market.symbols, or leave it out "
                "(a perpetual that is held at the start is perpetual.position)"
            )
        if spent > cash:
            raise RecipeError(f"account.initial_holdings spend {spent} of {cash} cash")
        return holdings, cash - spent

    # Curves ---------------------------------------------------------------------------------------

    def trace(
        self, changes: Sequence[Change], clock_ms: TimeArray | None
    ) -> tuple[TimeArray, FloatArray, FloatArray]:
        """Return ``(clock_ms, equity, cash)`` at each step, shape (n_steps,) each, after a run.

        Args:
            changes: those of the account.
            clock_ms: the steps; by default all close stamps of all feeds.
        """
        series = [feed.closes() for feed, _ in self._spot]
        if clock_ms is None:
            clock_ms = np.unique(np.concatenate([feed.closes()[0] for feed, _ in self._pairs]))
        steps = np.array([when for when, *_ in changes], dtype=np.int64)
        cashes = np.array([cash for _, cash, *_ in changes])
        cash = cashes[np.searchsorted(steps, clock_ms, "right") - 1]
        equity = cash.copy()
        for place, (times, closes) in enumerate(series):
            book = self._spot[place][1]
            held = _find_held(changes, place, clock_ms)
            rows = np.searchsorted(times, clock_ms, "right") - 1
            before = self.first_prices.get(book.symbol, nan)
            price = np.where(rows >= 0, closes[np.maximum(rows, 0)], before)
            equity += np.where(held > 0, held * np.where(held > 0, price, 0.0), 0.0)
        return clock_ms, equity, cash


def _find_held(changes: Sequence[Change], place: int, clock_ms: TimeArray) -> FloatArray:
    """Return what was held of one book at each step, base units."""
    rows = [(when, held) for when, _, book, held in changes if book == place]
    times = np.array([when for when, _ in rows], dtype=np.int64)
    amounts = np.array([held for _, held in rows], dtype=np.float64)
    return amounts[np.searchsorted(times, clock_ms, "right") - 1]
