"""A futures account at the broker's table: which step it is, what is seen of it, what is asked."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Self

import numpy as np

from seawall.engine.bookfeeds import BookFeeds
from seawall.engine.feed import to_bt_time
from seawall.engine.perpetual.start import open_futures
from seawall.engine.perpetual.world import PerpetualWorld
from seawall.kernel import kernel
from seawall.market.series import FloatArray, TimeArray
from seawall.perpetual_action import (
    AddMargin,
    PerpetualAction,
    SetLeverage,
    TargetLeverage,
    Transfer,
    describe_perpetual_action,
)
from seawall.perpetual_view import Contract, PerpetualView
from seawall.venues.exchange import Exchange
from seawall.venues.futures import FuturesAccount
from seawall.venues.futures_requests import Moment, Requests
from seawall.venues.futures_tape import Stamp
from seawall.venues.orders import FOREVER_MS
from seawall.venues.perpetual import layout, margin
from seawall.venues.step import meet_bars

NO_FUTURES = "there is no futures account here: add a perpetual to market.symbols"


class FuturesSeat:
    """The futures account of one run.

    Args:
        world: of the run.
        exchange: where its orders are; it is told of the account.
        feeds: of the market.
        futures: the account.
        since_ms: nothing befalls it in bars that close up to then: they are warm-up.

    Attributes:
        requests: what is asked of it and not done yet.
        n_told: liquidations that an agent was told of.
        is_lost: bars have passed that were none of its business: the step has to be found.
    """

    def __init__(
        self,
        world: PerpetualWorld,
        exchange: Exchange,
        feeds: BookFeeds,
        futures: FuturesAccount,
        since_ms: int = -FOREVER_MS,
    ) -> None:
        self._world, self._exchange, self._feeds = world, exchange, feeds
        self._stamps, clock_ms = _read_clock(world, feeds)
        self._times_ms: list[int] = clock_ms.tolist()
        self._first = bisect_right(self._times_ms, since_ms)
        self.futures, self._tape = futures, futures.tape
        transfer = world.section.transfer
        self.requests = Requests(exchange, futures, delay_ms=transfer.delay_ms, cost=transfer.cost)
        account = exchange.account
        account.futures = exchange.futures = futures
        account.requests = exchange.requests = self.requests
        contracts = {book.symbol: self._describe(book.row) for book in futures.books}
        self._contracts = MappingProxyType(contracts)
        self._has_changes = any(len(spells) > 1 for spells in world.spells)
        self._rates = futures.tape.find_rates(-FOREVER_MS)
        self._next_ms: dict[str, int] = {}
        self._quiet_until_ms = -FOREVER_MS  # until then no funding is settled
        self.is_lost = True
        self.n_told = 0

    @classmethod
    def take(
        cls, world: PerpetualWorld, exchange: Exchange, feeds: BookFeeds, since_ms: int
    ) -> Self:
        """Open the account of a run; what of the cash is margin leaves the spot side."""
        account = exchange.account
        futures, account.cash = open_futures(
            world,
            {
                book.symbol: book
                for data, book in feeds.books.items()
                if not getattr(data, "only_shows", False)
            },
            quote=account.quote,
            cash=account.cash,
            has_spot=bool(feeds.spot_books),
            first_price=lambda symbol: feeds.find_first_price(symbol, since_ms),
            ledger=account.ledger,
            fills=account.fills,
        )
        return cls(world, exchange, feeds, futures, since_ms)

    def extend(self, stamp_ms: int, marks: FloatArray, stamps: Sequence[Stamp]) -> None:
        """Add the step that has just closed, where the market goes on; see ``Tape.extend``."""
        self._times_ms.append(stamp_ms)
        self._stamps.extend(to_bt_time(np.array([stamp_ms], dtype=np.int64)).tolist())
        self._tape.extend(marks, stamps)

    # Each step ------------------------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Whether bars can change the account although no order is alive."""
        return self.futures.is_held or bool(self.requests.waiting)

    def meet(self) -> None:
        """Let orders, marks and requests meet the bars that have just closed."""
        exchange, feeds = self._exchange, self._feeds
        now = feeds.now()
        step = self._find_step(now)
        if step < self._first or self._stamps[step] != now:  # warm-up; coarser bars alone
            self._tape.step = step
            return
        if self.futures.look(step) or self.requests.waiting:
            bars = feeds.fresh_bars(exchange.orders, self.futures.books, now)
        elif not exchange.orders or not (bars := feeds.fresh_bars(exchange.orders, (), now)):
            return
        exchange.open_ms = bars[0][1].open_ms if len(bars) == 1 else feeds.open_ms()
        meet_bars(exchange, bars, self._times_ms[step])

    def show_close(self) -> None:
        """Put the account at the close of the last step."""
        self.sync()
        self.futures.marks = self._tape.closes[self._tape.step]

    def sync(self) -> int:
        """Go to the step that the feeds show, and return it."""
        step = self._tape.step = self._find_step(self._feeds.now())
        return step

    def _find_step(self, now: float) -> int:
        self.is_lost = False
        stamps, step = self._stamps, self._tape.step + 1
        if step < len(stamps) and stamps[step] == now:
            return step
        return max(bisect_right(stamps, now) - 1, 0)

    # What is seen ---------------------------------------------------------------------------------

    def find_marks(self, *, at_open: bool) -> FloatArray:
        """Return the marks of the moment, shape (n,)."""
        tape = self._tape
        if at_open or self.is_lost:
            self.sync()
        marks: FloatArray = (tape.opens if at_open else tape.closes)[tape.step]
        return marks

    def available(self, *, at_open: bool) -> float:
        """Return what is free of the margin, quote units."""
        tape = self._tape
        if at_open or self.is_lost:
            self.sync()
        return self.futures.available((tape.opens if at_open else tape.closes)[tape.step])

    def margin_ratio(self, *, at_open: bool) -> float:
        """Return the highest margin ratio there is; 0.0 without a position."""
        if not self.futures.is_held:
            return 0.0
        return self.futures.margin_ratio(self.find_marks(at_open=at_open))

    def see(self, *, at_open: bool) -> PerpetualView:
        """Return what an agent may know of the account now."""
        futures, tape = self.futures, self._tape
        if at_open or self.is_lost:
            self.sync()
        step = tape.step
        time_ms = self._feeds.open_ms() if at_open else self._times_ms[step]
        if time_ms > self._quiet_until_ms:
            self._find_funding(time_ms)
        _, account, positions = futures.snapshots[-1]
        marks = (tape.opens if at_open else tape.closes)[step]
        n_events = len(futures.events)
        is_liquidated = n_events > self.n_told
        self.n_told = n_events
        return PerpetualView.of(
            (
                self._contracts, account, positions, marks, tape.tables, self._rates,
                self._next_ms, self._exchange.account.cash, futures.transit[-1][1], is_liquidated,
            )
        )  # fmt: skip

    def _find_funding(self, time_ms: int) -> None:
        """Read the last rates, and when each contract is settled next."""
        tape = self._tape
        if self._has_changes:
            self._contracts = MappingProxyType(
                {
                    symbol: replace(one, interval_ms=self._world.interval_at(one.row, time_ms))
                    for symbol, one in self._contracts.items()
                }
            )
        self._rates = tape.find_rates(time_ms)
        self._next_ms = {
            symbol: tape.find_next_stamp_ms(one.row, time_ms, one.interval_ms)
            for symbol, one in self._contracts.items()
        }
        self._quiet_until_ms = min(self._next_ms.values())
        if self._world.clock_ms is not None:  # settlements to come are not known, nor foreseen
            self._quiet_until_ms = -FOREVER_MS
            self._next_ms = {
                symbol: -(-time_ms // one.interval_ms) * one.interval_ms
                for symbol, one in self._contracts.items()
            }

    def _describe(self, row: int) -> Contract:
        symbol, book = self.futures.symbols[row], self.futures.books[row]
        rules = book.parameters.rules
        return Contract(
            symbol=symbol,
            row=row,
            taker_fee=rules.taker_fee,
            maker_fee=rules.maker_fee,
            liquidation_fee=float(self.futures.terms[row, 0]),
            lot_size=rules.lot_size,
            max_leverage=float(self.futures.tables[row, 0, layout.MAX_LEVERAGE]),
            interval_ms=self._world.interval_at(row, -FOREVER_MS),
        )

    # What is asked --------------------------------------------------------------------------------

    def ask(
        self, action: PerpetualAction, reason: str, when: Moment, *, thinking_ms: int = 0
    ) -> None:
        """Take what is no order; what cannot be done is written into the journal.

        It is done ``thinking_ms`` after it could have been, were it decided at once.
        """
        requests, futures = self.requests, self.futures
        latency_ms = futures.books[0].parameters.latency_ms + thinking_ms
        is_opening = when.time_ms < self._feeds.now_ms()
        when = when._replace(latency_ms=latency_ms)
        futures.marks = self.find_marks(at_open=is_opening)
        self._exchange.step_ms = self._feeds.now_ms()
        requests.reason = reason
        if isinstance(action, Transfer):
            requests.send_transfer(action.source, action.target, action.amount, when)
        elif action.symbol not in self._contracts or isinstance(action, TargetLeverage):
            why = f"there is no such request for {action.symbol}: it has {list(self._contracts)}"
            requests.refuse(describe_perpetual_action(action), why, when)
        else:
            row = self._contracts[action.symbol].row
            if isinstance(action, AddMargin):
                requests.add_margin(row, action.amount, when)
            elif isinstance(action, SetLeverage):
                requests.set_leverage(row, action.leverage, when)
            else:
                requests.set_mode(row, action.mode, when)
        futures.end_step(self._exchange.step_ms)

    # After the run --------------------------------------------------------------------------------

    def trace(self, equity: FloatArray, cash: FloatArray, clock_ms: TimeArray) -> None:
        """Add the account, and what is on the way, to curves of shape (n_steps,)."""
        times_ms = np.array(self._times_ms, dtype=np.int64)
        steps = np.maximum(np.searchsorted(times_ms, clock_ms, "right") - 1, 0)
        marks = self._tape.closes[steps]
        snapshots = self.futures.snapshots
        times = np.array([step_ms for step_ms, *_ in snapshots], dtype=np.int64)
        starts = [*np.searchsorted(clock_ms, times, "left").tolist(), len(clock_ms)]
        for row, (_, account, positions) in enumerate(snapshots):
            first, end = starts[row], starts[row + 1]
            _add_values(account, positions, marks[first:end], equity[first:end], cash[first:end])
        transit = self.futures.transit
        rows = _find_rows([step_ms for step_ms, _ in transit], clock_ms)
        equity += np.array([amount for _, amount in transit])[rows]


def _read_clock(world: PerpetualWorld, feeds: BookFeeds) -> tuple[list[float], TimeArray]:
    if world.clock_ms is None:
        return feeds.read_clock()
    return to_bt_time(world.clock_ms).tolist(), world.clock_ms


@kernel
def _add_values(
    account: FloatArray,
    positions: FloatArray,
    marks: FloatArray,
    equity: FloatArray,
    cash: FloatArray,
) -> None:
    """Add equity and free margin of an account that stands still, at each row of ``marks``."""
    for t in range(len(marks)):
        equity[t] += margin.find_equity(account, positions, marks[t])
        cash[t] += margin.find_available(account, positions, marks[t])


def _find_rows(times: Sequence[int], clock_ms: TimeArray) -> TimeArray:
    return np.searchsorted(np.array(times, dtype=np.int64), clock_ms, "right") - 1
