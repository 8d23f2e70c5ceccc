"""What is asked of a futures account beside orders: money on its way, margin, leverage, mode.

What is asked is done like a market order: at the first bar that opens when its time has come, or
later, after what its open liquidates. Transfers, leverage and mode come before that bar's orders;
margin comes after those that trade at the open, which may have set it free. Money leaves its wallet
at once and is in neither until it arrives; a transfer's cost is taken out of what arrives. What
cannot be done is written into the journal with the reason, and is not tried again.
"""

from dataclasses import dataclass
from math import inf
from typing import Literal, NamedTuple

from seawall.errors import LedgerError
from seawall.journal import JournalKind
from seawall.venues.exchange import Exchange
from seawall.venues.futures import FuturesAccount, Moved
from seawall.venues.ledger import TOLERANCE, Entry
from seawall.venues.perpetual import layout, margin

Kind = Literal["transfer", "chain_transfer", "add_margin", "set_leverage", "set_margin_mode"]
SPOT, PERPETUAL = "spot", "perpetual"
NOWHERE = -1
_ENOUGH = 1.0 - 1e-12


class Moment(NamedTuple):
    """When something is asked: the time, the step then played last, and how long an order takes."""

    time_ms: int
    step_ms: int
    latency_ms: int


@dataclass(kw_only=True, slots=True)
class Request:
    """One thing that was asked.

    Attributes:
        row: of the contract; of a transfer the one whose margin it is for, or ``NOWHERE``.
        amount: quote units; the leverage; 1.0 for isolated and 0.0 for cross.
        live_ms: it is done at the first bar that opens then or later, and was not met before.
    """

    kind: Kind
    text: str
    row: int
    amount: float
    sent_ms: int
    sent_step_ms: int
    live_ms: int
    source: str = ""
    target: str = ""


class Requests:
    """All that is on its way in one account.

    Args:
        delay_ms, cost: of a transfer between spot and perpetual; the cost in quote units.

    Attributes:
        waiting: in the order in which it was asked.
        reason: of whoever asks now, for the journal.
    """

    def __init__(
        self, exchange: Exchange, futures: FuturesAccount, *, delay_ms: int, cost: float
    ) -> None:
        self._exchange, self._futures = exchange, futures
        self._delay_ms, self._cost = delay_ms, cost
        self.waiting: list[Request] = []
        self.reason = ""
        quote = exchange.account.quote
        self._quote, self.asset = quote, f"transit:{quote}"

    @property
    def on_the_way(self) -> float:
        """Quote units that have left one wallet and not reached the other."""
        return self._futures.transit[-1][1]

    def balances(self) -> dict[str, float]:
        """Return what the ledger has to agree with beside the account itself."""
        return {self.asset: self.on_the_way}

    # What may be asked ----------------------------------------------------------------------------

    def send_transfer(
        self, source: str, target: str, amount: float, when: Moment, *, row: int = NOWHERE
    ) -> None:
        """Let money leave one wallet for another."""
        text = f"transfer {_words(amount)} from {source} to {target}"
        if {source, target} != {SPOT, PERPETUAL}:
            self._record("refused", text, "this account has a spot and a perpetual wallet", when)
            return
        free = self._find_free(source)
        moved = min(amount, free)
        if not moved > self._cost:
            why = (
                f"a transfer must be more than its cost of {self._cost:.8g}, what {source} can "
                f"spare is {free:.8g}: free some first, or ask for more"
            )
            self._record("refused", text, why, when)
            return
        if amount < inf and moved < amount * _ENOUGH:
            self._record("reduced", text, f"{source} can spare no more than {moved:.8g}", when)
        self._take(source, moved, when.time_ms)
        self._carry(moved)
        self._record("sent", text, "", when)
        self.waiting.append(
            Request(
                kind="transfer",
                text=text,
                row=row,
                amount=moved,
                sent_ms=when.time_ms,
                sent_step_ms=when.step_ms,
                live_ms=when.time_ms + self._delay_ms,
                source=source,
                target=target,
            )
        )

    def add_margin(self, row: int, amount: float, when: Moment) -> None:
        """Back a position with more, out of the wallet and then out of spot; < 0 takes it back.

        What neither has may be set free by the orders of the next open: it is looked for again.
        """
        futures = self._futures
        if futures.positions[row, layout.IS_ISOLATED] == 0.0:
            if amount > 0:
                self.send_transfer(SPOT, PERPETUAL, amount, when)
            else:
                self.send_transfer(PERPETUAL, SPOT, -amount, when)
            return
        free = futures.withdrawable()
        lacks = max(amount - free, 0.0)
        coming = min(lacks, self._find_free(SPOT) - self._cost)
        own = free if amount == inf else amount - max(coming, 0.0)
        if own:
            self._queue("add_margin", f"margin of {own:.8g}", row, own, when)
        if coming > 0.0:
            self.send_transfer(SPOT, PERPETUAL, coming + self._cost, when, row=row)
        elif not own:
            self._record("refused", "margin of all", _NO_MARGIN, when, row=row)

    def set_leverage(self, row: int, leverage: float, when: Moment) -> None:
        """Set the leverage of a contract's initial margin."""
        self._queue("set_leverage", f"leverage of {leverage:.6g}x", row, leverage, when)

    def set_mode(self, row: int, mode: str, when: Moment) -> None:
        """Set the margin mode of a contract."""
        is_isolated = float(mode == "isolated")
        self._queue("set_margin_mode", f"{mode} margin", row, is_isolated, when)

    def refuse(self, text: str, why: str, when: Moment) -> None:
        """Write down what cannot even be asked."""
        self._record("refused", text, why, when)

    # What is due ----------------------------------------------------------------------------------

    def meet_open(self, open_ms: int, step_ms: int, *, is_after_orders: bool = False) -> bool:
        """Do what is due at a bar's open, before its orders or after; return whether any is due."""
        place, is_any_due = 0, False
        while place < len(self.waiting):
            request = self.waiting[place]
            is_due = request.live_ms <= open_ms and request.sent_step_ms < step_ms
            is_any_due = is_any_due or is_due
            if not is_due or (request.kind == "add_margin" and not is_after_orders):
                place += 1
                continue
            del self.waiting[place]
            self._do(request, Moment(open_ms, request.sent_step_ms, 0))
        return is_any_due

    def check(self) -> None:
        """Compare what is on the way with what was sent.

        Raises:
            LedgerError: they differ.
        """
        sent = sum(one.amount for one in self.waiting if one.kind == "transfer")
        scale = max((abs(amount) for _, amount in self._futures.transit), default=0.0)
        if not abs(sent - self.on_the_way) <= TOLERANCE * scale:
            raise LedgerError(
                f"{self.on_the_way!r} is on its way and {sent!r} was sent: a defect of Seawall, "
                "please report it"
            )

    def _do(self, request: Request, now: Moment) -> None:
        if request.kind == "transfer":
            self._arrive(request, now)
        elif request.kind == "add_margin":
            self._change_margin(request.row, request.amount, now)
        elif why := self._find_fault(request):
            self._record("refused", request.text, why, now, row=request.row)
        else:
            is_mode = request.kind == "set_margin_mode"
            place = layout.IS_ISOLATED if is_mode else layout.LEVERAGE
            self._futures.positions[request.row, place] = request.amount
            self._futures.touch()
            self._record("done", request.text, "", now, row=request.row)

    def _arrive(self, request: Request, now: Moment) -> None:
        amount, cost = request.amount, self._cost
        self._carry(-amount)
        if request.target == PERPETUAL:
            self._exchange.account.ledger.post(
                now.time_ms, [Entry("transfer", self.asset, -amount)]
            )
            self._futures.move(amount, now.time_ms, cost=cost)
        else:
            self._exchange.account.move(
                amount - cost, now.time_ms, self._exchange.step_ms,
                [Entry("transfer", self.asset, -amount), Entry("transfer", self._quote, amount),
                 Entry("transfer_cost", self._quote, -cost)],
            )  # fmt: skip
        moved = Moved(now.time_ms, request.sent_ms, request.source, request.target, amount, cost)
        self._futures.transfers.append(moved)
        self._record("done", request.text, "", now)
        if request.row != NOWHERE:  # behind the orders of this open
            self._queue("add_margin", "", request.row, amount - cost, now)

    def _change_margin(self, row: int, amount: float, now: Moment) -> None:
        moved = self._futures.add_margin(row, amount)
        text = f"margin of {_words(amount)}"
        if not moved:
            why = "no isolated position is open, or what backs it cannot spare anything"
            self._record("failed", text, why if amount < 0 else _NO_MARGIN, now, row=row)
            return
        is_whole = abs(moved) >= abs(amount) * _ENOUGH or abs(amount) == inf
        self._record("done" if is_whole else "reduced", text, f"moved {moved:.8g}", now, row=row)
        if amount < 0:
            self.send_transfer(PERPETUAL, SPOT, -moved, now)

    # Whose money ----------------------------------------------------------------------------------

    def _find_free(self, wallet: str) -> float:
        if wallet == SPOT:
            return max(self._exchange.account.cash, 0.0)
        return self._futures.withdrawable()

    def _take(self, source: str, amount: float, time_ms: int) -> None:
        account, entry = self._exchange.account, Entry("transfer", self.asset, amount)
        if source == SPOT:
            entries = [Entry("transfer", self._quote, -amount), entry]
            account.move(-amount, time_ms, self._exchange.step_ms, entries)
        else:
            self._futures.move(-amount, time_ms)
            account.ledger.post(time_ms, [entry])

    def _carry(self, amount: float) -> None:
        left = sum(one.amount for one in self.waiting if one.kind == "transfer")
        self._futures.transit.append((self._exchange.step_ms, left + max(amount, 0.0)))

    def _queue(self, kind: Kind, text: str, row: int, amount: float, when: Moment) -> None:
        if text:
            self._record("sent", text, "", when, row=row)
        self.waiting.append(
            Request(
                kind=kind,
                text=text,
                row=row,
                amount=amount,
                sent_ms=when.time_ms,
                sent_step_ms=when.step_ms,
                live_ms=when.time_ms + when.latency_ms,
            )
        )

    def _find_fault(self, request: Request) -> str:
        """Return why leverage or mode cannot be set, or ``""``."""
        futures, row = self._futures, request.row
        quantity = float(futures.positions[row, layout.QUANTITY])
        if request.kind == "set_margin_mode":
            is_same = futures.positions[row, layout.IS_ISOLATED] == request.amount
            has_order = any(
                one.has_arrived and not one.is_done and one.book is futures.books[row]
                for one in self._exchange.orders
            )
            return "" if is_same or not (quantity or has_order) else _NO_MODE
        return _find_leverage_fault(futures, row, request.amount)

    def _record(
        self, kind: JournalKind, text: str, why: str, when: Moment, *, row: int = NOWHERE
    ) -> None:
        symbol = self._futures.symbols[row] if row != NOWHERE else ""
        why = why or (self.reason if kind == "sent" else "")
        self._exchange.journal.record(when.time_ms, kind, text, symbol=symbol, reason=why)


_NO_MODE = (
    "the margin mode of a contract cannot change while a position or an order is open: close and "
    "cancel them first"
)
_NO_MARGIN = "no isolated position is open, or the futures wallet can spare nothing: transfer more"


def _find_leverage_fault(futures: FuturesAccount, row: int, leverage: float) -> str:
    """Return why a contract cannot have this leverage, or ``""``."""
    own, table = futures.positions[row], futures.tables[row]
    most = float(table[0, layout.MAX_LEVERAGE])
    if leverage > most:
        return f"the brackets allow at most {most:.6g}x, is {leverage:.6g}x: ask for less"
    if not own[layout.QUANTITY]:
        return ""
    if own[layout.IS_ISOLATED] and leverage < own[layout.LEVERAGE]:
        return (
            f"the leverage of an isolated position cannot be reduced, is "
            f"{own[layout.LEVERAGE]:.6g}x: add margin, or close it first"
        )
    before = float(own[layout.LEVERAGE])
    own[layout.LEVERAGE] = leverage  # tried, and put back
    cross = margin.cross_margin(futures.account, futures.positions, futures.marks, futures.tables)
    own[layout.LEVERAGE] = before
    if not own[layout.IS_ISOLATED] and cross.initial > cross.balance:
        return (
            f"the initial margin would be {cross.initial:.8g}, the margin balance is "
            f"{cross.balance:.8g}: keep a higher leverage, or reduce the position"
        )
    notional = abs(float(own[layout.QUANTITY])) * float(futures.marks[row])
    tier = margin.find_tier(notional, table)
    if leverage > table[tier, layout.MAX_LEVERAGE]:
        return (
            f"a notional of {notional:.8g} is allowed {table[tier, layout.MAX_LEVERAGE]:.6g}x, "
            f"asked are {leverage:.6g}x: ask for less, or reduce the position"
        )
    return ""


def _words(amount: float) -> str:
    return "all" if abs(amount) == inf else f"{amount:.8g}"
