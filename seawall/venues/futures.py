"""A futures account on an exchange: margin behind positions, funding, liquidation, and its books.

The physics are the kernels of ``perpetual``; here they are called at the right moment, and what
they did is entered: fills, ledger, journal, snapshots. Ledger assets: ``perpetual:USDT`` is the
wallet with all isolated margins, ``contract:ETH/USDT:USDT`` a position in base units. Profit and
loss are booked as they are realised; what spread and slippage cost is in the fills and in them.
"""

from collections.abc import Sequence
from math import inf, nan
from typing import NamedTuple

import numpy as np

from seawall.errors import LedgerError
from seawall.fill import Fill
from seawall.market.series import FloatArray
from seawall.venues.futures_orders import execute
from seawall.venues.futures_tape import Stamp, Tape
from seawall.venues.ledger import TOLERANCE, Entry, EntryKind, Ledger
from seawall.venues.orders import FOREVER_MS, Bar, Book, VenueOrder
from seawall.venues.perpetual import layout, liquidation, margin, positions
from seawall.venues.spot import Execution, Offer

_SUMS: tuple[tuple[EntryKind, int, float], ...] = (
    ("pnl", layout.REALISED, 1.0),
    ("fee", layout.FEES, -1.0),
    ("funding", layout.FUNDING, 1.0),
    ("liquidation_fee", layout.LIQUIDATION_FEES, -1.0),
    ("insurance", layout.INSURED, 1.0),
    ("transfer", layout.TRANSFERRED, 1.0),
)
_CLOSE_TO = 1e-9  # of a liquidation price: nearer than this and the exact test decides


class Moved(NamedTuple):
    """Money that has arrived: what left ``source``, and what of it the way has cost."""

    time_ms: int
    sent_ms: int
    source: str
    target: str
    amount: float
    cost: float


Snapshot = tuple[int, FloatArray, FloatArray]
FundingRow = tuple[int, int, float, float, float, float]


class FuturesAccount:
    """One account for linear perpetuals, one position per contract.

    Args:
        symbols: of the contracts, by row; ``quote``: what their margin is.
        account, positions: the start, as in ``perpetual.layout``; changed in place.
        terms: as in ``perpetual.liquidation``.
        tape: marks, funding stamps and brackets of the run.
        ledger, fills: of the whole account, spot and futures.

    Attributes:
        books: by row.
        marks: float64, shape (n,), at the moment that was last played.
        snapshots: ``(step_ms, account, positions)`` after each step in which anything changed.
        events: ``(time_ms, row of perpetual.layout)`` of each liquidation step.
        funding: ``(time_ms, row, rate, mark, quantity, amount)`` of each settled stamp.
        transfers: money that has arrived, and ``transit``: ``(step_ms, quote units on the way)``
            after each change.
        is_changed: since the last snapshot.
        is_alert: whether a bar brings more than orders can: a stamp, or a mark that may liquidate.
    """

    def __init__(
        self,
        *,
        symbols: tuple[str, ...],
        quote: str,
        account: FloatArray,
        positions: FloatArray,
        terms: FloatArray,
        tape: Tape,
        ledger: Ledger,
        fills: list[Fill],
    ) -> None:
        self.symbols, self.asset = symbols, f"perpetual:{quote}"
        self.account, self.positions, self.terms = account, positions, terms
        self.tape, self.ledger, self.fills = tape, ledger, fills
        self.books: list[Book] = []
        self.marks: FloatArray = tape.opens[0]
        self.snapshots: list[Snapshot] = []
        self.events: list[tuple[int, FloatArray]] = []
        self.funding: list[FundingRow] = []
        self.transfers: list[Moved] = []
        self.transit: list[tuple[int, float]] = [(-FOREVER_MS, 0.0)]
        self.is_alert = False
        n_tiers = tape.tables.shape[1]
        self._buffer = np.zeros(((n_tiers + 1) * max(len(symbols), 1), layout.N_EVENT))
        self._booked = account.copy()
        self._spent = 0.0
        self.is_changed = False
        self._is_stale = True
        self._wallet = 0.0
        self._held: list[tuple[float, float, float, list[float]]] = []
        self._bound: tuple[list[float], float, float] | None = None

    # Start and end --------------------------------------------------------------------------------

    def open(self) -> list[Entry]:
        """Take the account as the start and return the entries that book it."""
        self.snapshots.append((-FOREVER_MS, self.account.copy(), self.positions.copy()))
        self._start = self.money
        self._spent = _find_cost(self.positions)
        entries = [Entry("initial", self.asset, self.money)]
        for book in self.books:
            book.held = float(self.positions[book.row, layout.QUANTITY])
            entries.append(Entry("initial", f"contract:{book.symbol}", book.held))
        return entries

    def balances(self) -> dict[str, float]:
        """Return what the ledger has to agree with."""
        held = self.positions[:, layout.QUANTITY]
        own = {f"contract:{symbol}": float(held[i]) for i, symbol in enumerate(self.symbols)}
        return {self.asset: self.money, **own}

    def check(self) -> None:
        """Compare what is there with what the sums and the fills say.

        Raises:
            LedgerError: money or a profit has appeared or vanished.
        """
        parts = sum(sign * float(self.account[place]) for _, place, sign in _SUMS)
        _agree("the futures wallet", self.money - self._start, parts, self._scale())
        made = _find_cost(self.positions) - self._spent
        realised = float(self.account[layout.REALISED])
        _agree("realised profit", realised, made, self._scale())

    def _scale(self) -> float:
        turnover = sum(abs(fill.quantity) * fill.price for fill in self.fills)
        return max(turnover, abs(self._start), abs(self.money))

    # What is owned --------------------------------------------------------------------------------

    @property
    def tables(self) -> FloatArray:
        """The leverage brackets in force."""
        return self.tape.tables

    @property
    def money(self) -> float:
        """The wallet and all isolated margins, quote units."""
        return float(self.account[layout.WALLET] + sum(self.positions[:, layout.MARGIN].tolist()))

    @property
    def free_wallet(self) -> float:
        """The wallet alone, quote units."""
        return float(self.account[layout.WALLET])

    @property
    def is_held(self) -> bool:
        """Whether any position is open."""
        if self._is_stale:
            self._refresh()
        return bool(self._held)

    def value(self, *, at_open: bool) -> float:
        """Return the equity at the marks with which this step opens or closes."""
        tape = self.tape
        if at_open:
            marks: FloatArray = tape.opens[tape.step]
            return margin.find_equity(self.account, self.positions, marks)
        if self._is_stale:
            self._refresh()
        step, total = tape.step, self._wallet
        for aside, quantity, entry, column in self._held:  # in the order of find_equity
            total += aside
            total += quantity * (column[step] - entry)
        return total

    def entry(self, row: int) -> float:
        """Return the entry price of a position, 0.0 without one."""
        return float(self.positions[row, layout.ENTRY])

    def available(self, marks: FloatArray) -> float:
        """Return what is free for new cross positions."""
        if self._is_stale:
            self._refresh()
        if not self._held:
            return max(self._wallet, 0.0)
        return margin.find_available(self.account, self.positions, marks)

    def withdrawable(self) -> float:
        """Return what may leave the wallet now."""
        return margin.find_withdrawable(self.account, self.positions, self.marks, self.tables)

    def margin_ratio(self, marks: FloatArray) -> float:
        """Return the highest margin ratio there is; 0.0 without a position."""
        if not self.is_held:
            return 0.0
        return margin.find_margin_ratio(self.account, self.positions, marks, self.tables)

    def mark_bar(self, row: int) -> Bar:
        """Return this step's bar of one mark; it knows neither volume nor when it opened."""
        tape, step = self.tape, self.tape.step
        parts = (tape.opens, tape.highs, tape.lows, tape.closes)
        open_, high, low, close = (float(part[step, row]) for part in parts)
        return Bar(0, 0, open_, high, low, close, nan)

    # Each step ------------------------------------------------------------------------------------

    def look(self, step: int) -> bool:
        """Go to a step; return whether it brings anything of its own: ``is_alert``."""
        tape = self.tape
        tape.step = step
        if self._is_stale:
            self._refresh()
        bound = self._bound
        if bound is not None:
            column, level, sign = bound
            is_safe = sign * (column[step] - level) > 0.0
        else:
            is_safe = not self._held or self._is_safe(step)
        self.is_alert = step >= tape.next_step or not is_safe
        return self.is_alert

    def show_open(self) -> None:
        """Take the marks with which the step opens."""
        self.marks = self.tape.opens[self.tape.step]

    def settle_stamps(self, until_ms: int = FOREVER_MS) -> list[Stamp]:
        """Settle the funding of this step up to a time; return the stamps that moved money."""
        settled = []
        self._is_stale = True  # other brackets may be in force
        for stamp in self.tape.take_stamps(until_ms):
            row, quantity = stamp.row, float(self.positions[stamp.row, layout.QUANTITY])
            if not quantity:
                continue
            amount = positions.settle_funding(
                self.account, self.positions, row, stamp.mark, stamp.rate
            )
            self.funding.append((stamp.time_ms, row, stamp.rate, stamp.mark, quantity, amount))
            self.post(stamp.time_ms)
            settled.append(stamp)
        return settled

    def find_breach(self, targets: FloatArray) -> tuple[float, int]:
        """Return the first liquidation on the way from ``marks``, as the kernel of that name."""
        if not self.is_held:
            return nan, layout.NOBODY
        return liquidation.find_breach(
            self.account, self.positions, self.marks, targets, self.tables
        )

    def rows_of(self, who: int) -> list[int]:
        """Return the contracts that a liquidation of ``who`` concerns."""
        if who != layout.CROSS:
            return [who]
        return np.flatnonzero(self.positions[:, layout.IS_ISOLATED] == 0.0).tolist()

    def liquidate(self, who: int, time_ms: int) -> list[FloatArray]:
        """Liquidate at ``marks``, book it and return a row of ``perpetual.layout`` per step."""
        n_events = liquidation.liquidate(
            self.account, self.positions, who, self.marks, self.tables, self.terms, self._buffer, 0
        )
        found = [self._buffer[k].copy() for k in range(n_events)]
        for event in found:
            event[layout.AT_BAR] = self.tape.step
            symbol, closed = self.symbols[int(event[layout.SYMBOL])], float(event[layout.CLOSED])
            self._spent += closed * float(event[layout.PRICE])
            self.ledger.post(
                time_ms,
                [
                    Entry("liquidation", f"contract:{symbol}", closed),
                    Entry("pnl", self.asset, float(event[layout.PNL])),
                    Entry("liquidation_fee", self.asset, -float(event[layout.FEE])),
                    Entry("insurance", self.asset, float(event[layout.INSURANCE])),
                ],
            )
            self.events.append((time_ms, event))
        self._booked = self.account.copy()
        self._touch()
        return found

    def end_step(self, step_ms: int) -> None:
        """Keep the account as it is after a step, where it has changed."""
        if not self.is_changed:
            return
        self.is_changed = False
        if self.snapshots[-1][0] == step_ms:
            self.snapshots.pop()
        self.snapshots.append((step_ms, self.account.copy(), self.positions.copy()))

    # Orders ---------------------------------------------------------------------------------------

    def find_wanted(self, order: VenueOrder) -> float:
        """Return how much of an order may still fill: what only reduces, up to the position."""
        wanted = order.remaining
        if not order.only_reduces:
            return wanted
        return min(wanted, positions.find_closable(self.positions, order.book.row, order.side))

    def attempt(
        self, order: VenueOrder, wanted: float, offer: Offer
    ) -> tuple[Execution, bool, bool]:
        """Return ``(execution, is_short_of_margin, is_over)``; see ``futures_orders.py``."""
        quantity = positions.find_affordable(
            self.account,
            self.positions,
            order.book.row,
            (order.side, wanted, order.only_reduces),
            offer,
            order.book.parameters.rules,
            self.marks,
            self.tables,
        )
        return execute(order, wanted, offer, quantity)

    def book_fill(self, book: Book, fill: Fill, execution: Execution, step_ms: int) -> None:
        """Let a fill change the position, and enter it."""
        del step_ms  # the snapshot is taken when the step is over
        positions.trade(self.account, self.positions, book.row, fill.quantity, fill.price, fill.fee)
        self._spent += fill.quantity * fill.price
        book.used += execution.quantity
        self.fills.append(fill)
        self.post(fill.time_ms, [Entry("trade", f"contract:{book.symbol}", fill.quantity)])

    # Money ----------------------------------------------------------------------------------------

    def move(self, amount: float, time_ms: int, *, cost: float = 0.0) -> float:
        """Let money come in (> 0, before ``cost``) or out (< 0); return what moved, signed."""
        moved = positions.transfer(
            self.account, self.positions, amount - cost, self.marks, self.tables
        )
        self.post(time_ms, [Entry("transfer", self.asset, cost),
                            Entry("transfer_cost", self.asset, -cost)])  # fmt: skip
        return moved + cost

    def add_margin(self, row: int, amount: float) -> float:
        """Move margin into or out of an isolated position; return what moved, signed."""
        moved = positions.add_margin(
            self.account, self.positions, row, amount, self.marks, self.tables
        )
        self._touch()
        return moved

    def post(self, time_ms: int, entries: Sequence[Entry] = ()) -> None:
        """Enter what the sums of the account have changed by since the last time."""
        fresh = self.account - self._booked
        own = [Entry(kind, self.asset, sign * float(fresh[place])) for kind, place, sign in _SUMS]
        self.ledger.post(time_ms, [*entries, *own])
        self._booked = self.account.copy()
        self._touch()

    def touch(self) -> None:
        """Note that leverage or mode of a contract has changed."""
        self._touch()

    def _touch(self) -> None:
        self.is_changed = self._is_stale = True
        for book in self.books:
            book.held = float(self.positions[book.row, layout.QUANTITY])

    # What is read on every bar --------------------------------------------------------------------

    def _is_safe(self, step: int) -> bool:
        """Return whether no mark of a step can liquidate; false is not certain."""
        tape = self.tape
        return liquidation.is_safe(
            self.account, self.positions, tape.least[step], tape.most[step], self.tables
        )

    def _refresh(self) -> None:
        """Read the positions once for all the bars until they change."""
        self._is_stale = False
        self._wallet = self.free_wallet
        rows = np.flatnonzero(self.positions[:, layout.QUANTITY]).tolist()
        self._held = [
            (
                float(self.positions[row, layout.MARGIN]),
                float(self.positions[row, layout.QUANTITY]),
                float(self.positions[row, layout.ENTRY]),
                self.tape.columns[row],
            )
            for row in rows
        ]
        self._bound = self._find_bound(rows[0]) if len(rows) == 1 else None

    def _find_bound(self, row: int) -> tuple[list[float], float, float] | None:
        """Return the mark up to which the one position is safe; ``None`` where there is none."""
        price = margin.find_liquidation_price(
            self.account, self.positions, row, self.marks, self.tables
        )
        if not 0.0 < price < inf:
            return self._find_no_bound(row)
        if self.positions[row, layout.QUANTITY] > 0.0:
            return self.tape.least_columns[row], price * (1 + _CLOSE_TO), 1.0
        return self.tape.most_columns[row], price * (1 - _CLOSE_TO), -1.0

    def _find_no_bound(self, row: int) -> tuple[list[float], float, float] | None:
        """Return a bound that no mark of a long reaches, where none > 0 liquidates it."""
        ratio = margin.find_margin_ratio(self.account, self.positions, self.marks, self.tables)
        if ratio < 1.0 and self.positions[row, layout.QUANTITY] > 0.0:
            return self.tape.least_columns[row], 0.0, 1.0
        return None


def _find_cost(held: FloatArray) -> float:
    """Return what the open positions were entered for, signed, quote units."""
    return float(np.sum(held[:, layout.QUANTITY] * held[:, layout.ENTRY]))


def _agree(name: str, found: float, expected: float, scale: float) -> None:
    if not abs(found - expected) <= TOLERANCE * scale:
        raise LedgerError(
            f"{name} must be what its parts add up to, {found!r} and {expected!r} differ: a defect "
            "of Seawall, please report it"
        )
