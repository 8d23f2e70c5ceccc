"""The loan of a shadow session, alone or beside an exchange: a backtest's, on live candles.

It opens at the close before its first bar, at the prices that stand then; until then its value is
nan. Its world is a longer one at each step; what was lived through stays as it was.
"""

from collections.abc import Callable, Sequence
from math import nan
from typing import Any

import backtrader as bt

from seawall.engine.combined import CombinedBroker, with_wallet
from seawall.engine.loan.broker import LoanBroker
from seawall.engine.loan.world import LoanWorld
from seawall.engine.perpetual.world import PerpetualWorld
from seawall.errors import SeawallError
from seawall.journal import Journal
from seawall.loan_action import Bundle, LoanAction, describe_loan_action
from seawall.loan_view import LoanView
from seawall.market.series import FloatArray
from seawall.paper.shadow_broker import LinkedShadow
from seawall.perpetual_recipe import PerpetualSection
from seawall.venues.futures_tape import Stamp

_FLATTEN = "the kill switch: flatten"


class ShadowLoanBroker(LoanBroker):
    """The loan of a backtest, with somebody who may refuse a transaction before it is sent.

    Args:
        world: what the loan would be put into now: a job asks for its assets before it begins.
        journal: of the engine.
        latency_ms: of the recipe's decisions.

    Attributes:
        refusal_of: returns why a transaction is refused, or ``""``.
        is_open: whether the loan is taken.
    """

    refusal_of: Callable[[LoanAction], str] | None = None
    is_open = False

    def __init__(self, world: LoanWorld, journal: Journal, *, latency_ms: int = 0) -> None:
        bt.BrokerBase.__init__(self)
        self.world, self.journal, self._latency_ms = world, journal, latency_ms
        self.min_reserve_usd = self.startingcash = 0.0
        self.thinking_ms = 0
        self.closes = {}

    # As the market goes on ------------------------------------------------------------------------

    def open_account(self, perpetual: PerpetualWorld | None, loan: LoanWorld | None) -> None:
        """Take the loan at the prices that stand.

        Raises:
            SeawallError: there is no world of it.
            RecipeError: it may not be taken so.
        """
        del perpetual
        if loan is None:
            raise SeawallError("a loan is taken in a world, there is none: give one")
        reserve_usd, thinking_ms = self.min_reserve_usd, self.thinking_ms
        super().__init__(loan, self.journal, "worst", candles={}, latency_ms=self._latency_ms)
        self.thinking_ms, self.is_open = thinking_ms, True
        self.set_reserve(reserve_usd)

    def extend_loan(self, world: LoanWorld) -> None:
        """Put the loan into a longer world."""
        self.extend(world)

    def extend_perpetual(self, stamp_ms: int, marks: FloatArray, stamps: Sequence[Stamp]) -> None:
        """Do nothing: there is no futures account here."""

    def set_reserve(self, usd: float) -> None:
        """Note what the job wants left in the wallet."""
        if self.is_open:
            super().set_reserve(usd)
        self.min_reserve_usd = usd

    def next(self) -> None:
        """Live through the bar that has just closed, once the loan is taken."""
        if self.is_open:
            super().next()

    def stop(self) -> None:
        """Check the books; what has not landed is sent again where the session goes on."""
        if self.is_open:
            super().stop()

    def getcash(self) -> float:
        """Return what lies in the wallet, USD; nan before the loan is taken."""
        return super().getcash() if self.is_open else nan

    get_cash = getcash

    def getvalue(self, datas: Any = None, **ignored: bool) -> float:
        """Return the equity, USD; nan before the loan is taken."""
        return super().getvalue(datas, **ignored) if self.is_open else nan

    get_value = getvalue

    def now(self) -> LoanView:
        """Return the loan at the last close."""
        return self.see(self._bar)

    @property
    def n_liquidations(self) -> int:
        """How many liquidations there have been."""
        return len(self.events) if self.is_open else 0

    # Transactions ---------------------------------------------------------------------------------

    def send(self, action: LoanAction, reason: str, bar: int) -> None:
        """Send a transaction, unless it is refused."""
        why = "" if self.refusal_of is None else self.refusal_of(action)
        if not why:
            super().send(action, reason, bar)
            return
        text = describe_loan_action(action)
        self.journal.record(self.time_of(bar), "refused", text, reason=why)

    @property
    def is_waiting(self) -> bool:
        """Whether a transaction is on its way."""
        return bool(self._pending)

    def cancel_all(self) -> None:
        """Take back what is on its way to a block."""
        for sent in self._pending:
            now_ms = self.time_of(self._bar)
            self._record(now_ms, "cancelled", sent, reason="the kill switch")
        self._pending.clear()

    def send_closing(self, bundle: Bundle) -> None:
        """Send what closes the loan; nobody refuses it."""
        super().send(bundle, _FLATTEN, self._bar)


class ShadowCombinedBroker(CombinedBroker):
    """A loan and an exchange account of a shadow, as one broker."""

    loan: ShadowLoanBroker
    exchange: LinkedShadow

    def __init__(
        self, loan: ShadowLoanBroker, exchange: LinkedShadow, section: PerpetualSection
    ) -> None:
        super().__init__(loan, exchange, section)

    def start(self) -> None:
        """Show both the feeds; their accounts open later."""
        bt.BrokerBase.start(self)
        self.loan.cerebro = self.exchange.cerebro = self.cerebro
        self.exchange.start()
        self._value = nan

    def open_account(self, perpetual: PerpetualWorld | None, loan: LoanWorld | None) -> None:
        """Open both, with one ledger."""
        self.exchange.open_account(None if perpetual is None else with_wallet(perpetual), None)
        self.loan.open_account(None, loan)
        self.link()

    def extend_perpetual(self, stamp_ms: int, marks: FloatArray, stamps: Sequence[Stamp]) -> None:
        """Add a step to what the futures account meets."""
        self.exchange.extend_perpetual(stamp_ms, marks, stamps)

    def extend_loan(self, world: LoanWorld) -> None:
        """Put the loan into a longer world."""
        self.loan.extend_loan(world)

    def next(self) -> None:
        """Let both live through the bars that have just closed, once they are open."""
        if self.loan.is_open:
            super().next()

    def stop(self) -> None:
        """Check the books of both, once they are open."""
        if self.loan.is_open:
            super().stop()
