"""A lending pool as a backtrader broker: it lives through the bars and carries out transactions.

At each bar, in order: transactions that are due at its open; the race of oracle, interest and
liquidators (``venues.lending.race``); the account at its close. A job that sleeps may let it live
through many bars at once (``live_until``): the bars are the same, and so is the journal.
"""

from collections.abc import Mapping
from math import inf
from typing import Any

import backtrader as bt
import numpy as np

from seawall.engine.feed import to_bt_time
from seawall.engine.loan.arithmetic import make_arithmetic
from seawall.engine.loan.books import Books
from seawall.engine.loan.sent import Landed, Sent, write_costs
from seawall.engine.loan.world import LoanWorld, open_loan
from seawall.errors import SeawallError
from seawall.journal import Journal
from seawall.loan_action import Bundle, LoanAction, describe_loan_action
from seawall.loan_view import LoanTerms, LoanView
from seawall.market.series import Candles, FloatArray
from seawall.observation import allocate
from seawall.venues.gas import GAS_UNITS
from seawall.venues.ledger import Ledger
from seawall.venues.lending import layout, race
from seawall.venues.lending.transactions import Conditions, Execution, Terms
from seawall.venues.lending.venue import LendingVenue
from seawall.venues.parameters import Ambiguity

_EVENTS = 4 * race.MOST_ROUNDS  # liquidations that one call of the kernel can report


class LoanBroker(bt.BrokerBase):
    """A loan at one protocol, for ``bt.Cerebro``.

    Attributes:
        world: what the loan is put into.
        trace: float64, shape (n_bars + 1, width), as in ``layout``; row 0 is the start.
        landed: every transaction that was carried out or failed.
        events: every liquidation, a row each, as in ``layout``.
        startingcash: USD at the start, what lies in the wallet.
        books: every change of wallet, collateral and debt.
        closes: of the market's symbols, for levels that an agent wants to be woken at.
        thinking_ms: how much later than now what is sent leaves: its agent is still thinking.
    """

    def __init__(
        self,
        world: LoanWorld,
        journal: Journal,
        intrabar: Ambiguity,
        *,
        candles: Mapping[str, Candles],
        latency_ms: int = 0,
    ) -> None:
        self.world, self.journal = world, journal
        self.closes = {symbol: series.close for symbol, series in candles.items()}
        self._intrabar, self._delay_ms = intrabar, latency_ms + world.loan.block_ms
        self._rows = world.rows(intrabar)
        self._n = len(world.names)
        self.min_reserve_usd = 0.0
        self.startingcash = 0.0
        self.thinking_ms = 0
        super().__init__()
        self._reset()

    def _reset(self) -> None:
        world, n = self.world, self._n
        width = layout.trace_width(n)
        written, shown = allocate((len(world) + 1) * width, np.float64, np.nan)
        self._trace, self.trace = written.reshape(-1, width), shown.reshape(-1, width)
        self._state = np.zeros(layout.state_size(n))
        self._events = np.zeros((_EVENTS, layout.N_EVENT))
        self.events: list[FloatArray] = []
        self._wake = np.array([-inf, inf, 0.0])
        self._stamps: list[float] = to_bt_time(world.close_ms).tolist()
        self._bars = {stamp: bar for bar, stamp in enumerate(self._stamps)}
        self._lived = 0
        self._bar = -1  # that the feeds show
        self._epoch = -1
        self._epoch_bars = world.epoch_bars()
        self._pending: list[Sent] = []
        self._n_sent = 0
        self._last_happened = -1
        self.landed: list[Landed] = []
        self.books = Books(self._state, world.names)
        self._arithmetic = make_arithmetic(world, self._state)
        self._enter_epoch(0)
        self._open()

    def extend(self, world: LoanWorld) -> None:
        """Go on in a world that is longer, where the market goes on; what was stays as it was.

        Raises:
            SeawallError: bars that were lived through would be others.
        """
        rows, n_lived = world.rows(self._intrabar), self._lived + 1
        if not np.array_equal(rows[:n_lived], self._rows[:n_lived]):
            raise SeawallError(
                f"the {self._lived} bars that a loan has lived through must stay as they were, do "
                "not: a defect of Seawall, please report it"
            )
        n_before, width = len(self._trace), layout.trace_width(self._n)
        if len(world) + 1 > n_before:
            written, shown = allocate(2 * (len(world) + 1) * width, np.float64, np.nan)
            trace, shown = written.reshape(-1, width), shown.reshape(-1, width)
            trace[:n_before] = self._trace
            self._trace, self.trace = trace, shown
        n_known = len(self._stamps)
        fresh: list[float] = to_bt_time(world.close_ms[n_known:]).tolist()
        self._stamps.extend(fresh)
        self._bars |= {stamp: bar for bar, stamp in enumerate(fresh, n_known)}
        self.world, self._rows = world, rows

    def stamp_of(self, bar: int) -> float:
        """Return the date number at which a bar is shown."""
        return self._stamps[bar]

    def _open(self) -> None:
        opening, n = open_loan(self.world), self._n
        for place, amounts in (
            (layout.COLLATERAL, opening.collateral),
            (layout.DEBT, opening.debt),
            (layout.WALLET, opening.wallet),
            (layout.FIRST_COLLATERAL, opening.collateral),
            (layout.FIRST_DEBT, opening.debt),
            (layout.MARK, race.of_world(self._rows[0], layout.CLOSE, n)),
        ):
            race.block(self._state, place, n)[:] = amounts
        prices = self._oracle(0)
        self._arithmetic.open(prices)
        health = self.venue.health(prices)
        for place in (layout.HEALTH, layout.MIN_HEALTH, layout.UNTOUCHED_HEALTH):
            self._state[place] = health
        race.show(self._state, self._risk, self._rows[0], self._trace[0], self._n_feeds)
        self.startingcash = float(self._trace[0, layout.SHOWN_WALLET_USD])
        self.books.open(int(self.world.open_ms[0]))

    def join(self, ledger: Ledger) -> None:
        """Write into the ledger of the account that the loan is a part of; before the run only."""
        self.books = Books(self._state, self.world.names, ledger)
        self.books.open(int(self.world.open_ms[0]))

    # The run --------------------------------------------------------------------------------------

    def next(self) -> None:
        """Live through the bar that has just closed, unless it has been lived through already."""
        self._bar = bar = self._bar_now()
        while self._lived <= bar:
            self._live(bar + 1)

    def stop(self) -> None:
        """Let what has not landed expire, and check the books."""
        now_ms = int(self.world.close_ms[-1])
        for sent in self._pending:
            self._record(
                now_ms, "expired", sent, reason="the window ended before it could be in a block"
            )
        self._pending.clear()
        self.books.post_interest(now_ms)
        self.books.check(
            self._trace[: self._lived + 1, layout.SHOWN_EQUITY],
            float(self._trace[: self._lived + 1, layout.SHOWN_COLLATERAL_USD].max()),
        )
        super().stop()

    @property
    def is_idle(self) -> bool:
        """True: what the bars bring is lived through ahead of them."""
        return True

    def _bar_now(self) -> int:
        """Return the bar that the feeds show; -1 in the warm-up."""
        latest = 0.0
        for data in self.cerebro.datas:
            line = data.datetime
            index = line._idx  # noqa: SLF001 - the public property costs a call per bar
            if index >= 0 and line.array[index] > latest:
                latest = line.array[index]
        return self._bars.get(latest, -1)

    def live_until(
        self, stop: int, *, health_below: float, health_above: float, at_fill: bool
    ) -> int:
        """Live on up to bar ``stop`` (not included) or to what wakes; return the last bar."""
        self._wake[layout.HEALTH_BELOW] = health_below
        self._wake[layout.HEALTH_ABOVE] = health_above
        self._wake[layout.AT_EVENT] = float(at_fill)
        try:
            while self._lived < stop:
                n_landed = len(self.landed)
                if self._live(stop) or (at_fill and len(self.landed) > n_landed):
                    break
        finally:
            self._wake[:] = -inf, inf, 0.0
        return self._lived - 1

    def _live(self, stop: int) -> bool:
        """Live through some bars, at least one; return whether the last one wakes the sleeper."""
        bar = self._lived
        if self._epoch + 1 < len(self._epoch_bars) and bar >= self._epoch_bars[self._epoch + 1]:
            self._enter_epoch(self._epoch + 1)
        has_landed = False
        if self._pending and self._pending[0].due_bar <= bar:
            has_landed = self._land(bar)
        until = min(stop, *self._next_bars(bar), bar + 1 if has_landed else stop)
        self._lived, n_events, is_woken = self._arithmetic.live_through(
            self._state, self._risk, self._rules, self._rows, self._trace, self._events,
            self._wake, bar, until,
        )  # fmt: skip
        if n_events:
            self._note_liquidations(n_events)
        return bool(is_woken)

    def _next_bars(self, bar: int) -> list[int]:
        """Return the bars after ``bar`` at which something of the account's own happens."""
        later = self._epoch_bars[self._epoch + 1 : self._epoch + 2]
        return [*later, *(sent.due_bar for sent in self._pending[:1] if sent.due_bar > bar)]

    def _enter_epoch(self, place: int) -> None:
        self._epoch = place
        epoch = self.world.terms.epochs[place]
        self._risk, self._rules = self.world.risk_of(epoch), self.world.rules_of(epoch)
        self._n_feeds = len(self.world.feeds)
        self.venue: LendingVenue = self._arithmetic.enter(epoch)
        self._terms = Terms(
            names=self.world.names,
            gas_units=dict(GAS_UNITS),
            swap_fee=float(self._rules[layout.SWAP_FEE]),
            depth_usd=float(self._rules[layout.DEPTH_USD]),
            flash_premium=self.world.terms.flash_premium,
            has_flash_loans=self.world.terms.has_flash_loans,
        )
        self._shown_terms = self._make_terms(epoch.name)
        if place:
            now_ms = int(self.world.open_ms[self._lived])
            self.journal.record(now_ms, "note", f"parameters of {epoch.name} have changed")

    # Transactions ---------------------------------------------------------------------------------

    def send(self, action: LoanAction, reason: str, bar: int) -> None:
        """Send a transaction after the close of ``bar``; it lands when it can be in a block."""
        now_ms = self.time_of(bar)
        self._n_sent += 1
        sent = Sent(
            number=self._n_sent,
            action=action,
            reason=reason,
            sent_ms=now_ms,
            due_bar=self._due_bar(now_ms + self.thinking_ms, bar),
            seen=race.of_world(self._rows[bar + 1], layout.CLOSE, self._n).copy(),
            health=float(self._trace[bar + 1, layout.SHOWN_HEALTH]),
        )
        self._pending.append(sent)
        self._pending.sort(key=lambda one: one.due_bar)
        self._record(now_ms, "sent", sent, reason=reason)

    def time_of(self, bar: int) -> int:
        """Return when ``bar`` closes; the window's start for -1."""
        return int(self.world.close_ms[bar]) if bar >= 0 else int(self.world.open_ms[0])

    def _due_bar(self, now_ms: int, bar: int) -> int:
        """Return the bar at whose open it is carried out.

        A bar does not tell what comes before the block inside it: for the worse the whole bar does,
        for the better nothing.
        """
        lands_ms = now_ms + self._delay_ms
        world = self.world
        if self._intrabar == "worst":
            found = int(np.searchsorted(world.open_ms, lands_ms, "left"))
        else:
            found = int(np.searchsorted(world.close_ms, lands_ms, "right"))
        return max(found, bar + 1)

    def _land(self, bar: int) -> bool:
        due = [sent for sent in self._pending if sent.due_bar <= bar]
        self._last_happened = bar
        self._pending = [sent for sent in self._pending if sent.due_bar > bar]
        row = self._rows[bar + 1]
        race.revalue(self._state, race.of_world(row, layout.OPEN, self._n), self._n)
        for sent in due:
            self._execute(sent, bar)
        return bool(due)

    def _execute(self, sent: Sent, bar: int) -> None:
        row, oracle = self._rows[bar + 1], self._oracle(bar)
        conditions = Conditions(
            prices=race.of_world(row, layout.OPEN, self._n),
            oracle=oracle,
            seen=sent.seen,
            gas_gwei=float(row[layout.GAS_PRICE]),
            native_usd=float(row[layout.NATIVE_OPEN]),
            is_down=bool(row[layout.IS_DOWN]),
        )
        now_ms = int(self.world.open_ms[bar])
        self.books.post_interest(now_ms)
        before = self.venue.health(oracle)
        execution = Execution(self._state, self.venue, self._terms, conditions)
        action = sent.action
        if isinstance(action, Bundle):
            lent = action.flash_loan
            receipt = execution.run(
                action.actions,
                flash=None if lent is None else (lent.asset, lent.amount),
                max_gas_usd=action.max_gas_usd,
                max_slippage=action.max_slippage,
            )
        else:
            receipt = execution.run((action,))
        self.books.post(now_ms, receipt.moved)
        self.landed.append(
            Landed(
                sent=sent,
                time_ms=now_ms,
                receipt=receipt,
                gas_gwei=conditions.gas_gwei,
                health_before=before,
                health_after=self.venue.health(oracle),
            )
        )
        kind = "failed" if receipt.error else "done"
        self._record(now_ms, kind, sent, reason=receipt.error or write_costs(receipt))

    def _oracle(self, bar: int) -> FloatArray:
        """Return the oracle's prices that stand when ``bar`` opens."""
        return race.standing_prices(
            self._state, self._rows[bar], self._risk, self._n, self._n_feeds
        )

    # What is seen and kept ------------------------------------------------------------------------

    def see(self, bar: int) -> LoanView:
        """Return the loan at the close of ``bar``; -1 is the start."""
        return LoanView(self.trace[bar + 1], self._shown_terms, len(self._pending))

    def has_happened(self, bar: int) -> bool:
        """Return whether a transaction landed, or a liquidation struck, in a bar."""
        return bar >= 0 and bar == self._last_happened

    def getcash(self) -> float:
        """Return what lies in the wallet, USD."""
        return float(self._trace[self._row(), layout.SHOWN_WALLET_USD])

    get_cash = getcash

    def getvalue(self, datas: Any = None, **_ignored: bool) -> float:
        """Return the equity, USD; a single feed holds nothing."""
        return float(self._trace[self._row(), layout.SHOWN_EQUITY]) if datas is None else 0.0

    get_value = getvalue

    def getposition(self, data: Any) -> bt.Position:
        """Return an empty position: a loan is not held through a feed."""
        del data
        return bt.Position()

    def get_notification(self) -> None:
        """Return nothing: a loan sends no backtrader orders."""

    def price_at_open(self, asset: str) -> float:
        """Return the market price at the open of the bar that was lived through last, USD."""
        prices = race.of_world(self._rows[self._lived], layout.OPEN, self._n)
        return float(prices[self.world.names.index(asset)])

    def _row(self) -> int:
        return min(self._bar + 1, self._lived)

    def buy(self, *_args: Any, **_kwargs: Any) -> bt.Order:
        """Refuse: the job is a loan."""
        raise SeawallError(_NO_ORDERS)

    sell = buy

    def charge(self, amount: float, time_ms: int) -> None:
        """Book what the agent's thinking has cost, USD > 0; the value leaves it out."""
        self.books.charge(amount, time_ms)

    @property
    def ledger(self) -> Ledger:
        """Every change of wallet, collateral and debt."""
        return self.books.ledger

    @property
    def parts(self) -> FloatArray:
        """The parts of the equity change so far, USD, as named by ``layout.PARTS``."""
        return race.parts_of(self._state, self._n)

    def _make_terms(self, protocol: str) -> LoanTerms:
        names, risk = self.world.names, self._risk

        def column(place: int, less: float = 0.0) -> dict[str, float]:
            return {name: float(risk[k, place]) - less for k, name in enumerate(names)}

        return LoanTerms(
            protocol=protocol,
            assets=names,
            collateral=self.world.loan.collateral,
            debt=self.world.loan.debt,
            threshold=column(layout.THRESHOLD),
            max_ltv=column(layout.MAX_LTV),
            bonus=column(layout.BONUS, 1.0),
            swap_fee=self._terms.swap_fee,
            depth_usd=self._terms.depth_usd,
            flash_premium=self._terms.flash_premium,
            has_flash_loans=self._terms.has_flash_loans,
            gas_units=self._terms.gas_units,
            delay_ms=self._delay_ms,
            min_reserve_usd=self.min_reserve_usd,
        )

    def set_reserve(self, usd: float) -> None:
        """Note what the job wants left in the wallet, so that agents can see it."""
        self.min_reserve_usd = usd
        self._shown_terms = self._make_terms(self._shown_terms.protocol)

    def _note_liquidations(self, n_events: int) -> None:
        names = self.world.names
        now_ms = self.time_of(int(self._events[0, layout.AT_BAR]))
        self._last_happened = int(self._events[0, layout.AT_BAR])
        self.books.post_interest(now_ms)
        for event in self._events[:n_events].copy():
            self.events.append(event)
            self.books.post_liquidation(now_ms, event)
            seized = f"{event[layout.SEIZED]:,.6g} {names[int(event[layout.COLLATERAL_ASSET])]}"
            repaid = f"{event[layout.REPAID]:,.6g} {names[int(event[layout.DEBT_ASSET])]}"
            self.journal.record(
                now_ms, "liquidated",
                f"{seized} seized for {repaid} repaid, at {event[layout.AT_PRICE]:,.6g} USD",
                reason=f"health factor {event[layout.HEALTH_BEFORE]:.4f}",
            )  # fmt: skip
        is_absorbed = self._rules[layout.PROTOCOL] == layout.COMET
        if is_absorbed or self._events[:n_events, layout.BAD_DEBT_USD].any():
            self.books.post_left_over(now_ms)

    def _record(self, time_ms: int, kind: Any, sent: Sent, *, reason: str) -> None:
        self.journal.record(
            time_ms, kind, describe_loan_action(sent.action),
            order_id=str(sent.number), reason=reason,
        )  # fmt: skip


_NO_ORDERS = (
    "this job guards a loan and sends no orders: answer Supply, Withdraw, Borrow, Repay, Swap, "
    "Bundle or TargetHealth"
)
