"""The exchange of a shadow session: a backtest's, bar by bar, whose account opens when it is time.

An account with perpetuals opens at the close before its first bar, since its prices are not known
earlier; until then its value is nan. What it meets then grows with each step.
"""

from collections.abc import Callable, Sequence
from math import nan
from typing import Any

import backtrader as bt

from seawall.engine.broker import ExchangeBroker
from seawall.engine.combined import LinkedExchange
from seawall.engine.loan.world import LoanWorld
from seawall.engine.orders import copy_order
from seawall.engine.perpetual.world import PerpetualWorld
from seawall.errors import SeawallError
from seawall.market.series import FloatArray
from seawall.perpetual_action import PerpetualAction, describe_perpetual_action
from seawall.perpetual_view import PerpetualView
from seawall.units import is_perpetual
from seawall.venues.futures_tape import Stamp

_FLATTEN = "the kill switch: flatten"


class ShadowBroker(ExchangeBroker):
    """The exchange of a backtest, with somebody who may refuse an order before it is sent.

    Attributes:
        refusal_of: returns why an order is refused, or ``""``.
        refusal_of_request: the same of what is asked of a futures account beside orders.
        is_open: whether the account is; false where its prices are not known yet.
    """

    refusal_of: Callable[[Any], str] | None = None
    refusal_of_request: Callable[[PerpetualAction], str] | None = None
    is_open = True

    @property
    def quote(self) -> str:
        """The asset of cash and fees."""
        return self._quote

    # As the market goes on ------------------------------------------------------------------------

    def start(self) -> None:
        """Open the account; one with perpetuals is a preview, to be opened when it is time."""
        self.is_open = self._perpetual is None
        super().start()

    def open_account(self, perpetual: PerpetualWorld | None, loan: LoanWorld | None) -> None:
        """Open the account in what is known so far; ``loan`` is another broker's."""
        del loan
        self._perpetual = perpetual
        self._reset(list(self.cerebro.datas))
        self.is_open = True

    def extend_perpetual(self, stamp_ms: int, marks: FloatArray, stamps: Sequence[Stamp]) -> None:
        """Add a step to what the futures account meets; see ``FuturesSeat.extend``.

        Raises:
            SeawallError: there is none.
        """
        if self._seat is None:
            raise SeawallError("a step of marks needs a futures account, there is none: open it")
        self._seat.extend(stamp_ms, marks, stamps)

    def extend_loan(self, world: LoanWorld) -> None:
        """Do nothing: there is no loan here."""

    def getvalue(self, datas: Any = None, **ignored: bool) -> float:
        """Return the equity, quote units; nan before the account is open."""
        return super().getvalue(datas, **ignored) if self.is_open else nan

    get_value = getvalue

    def peek_perpetual(self) -> PerpetualView | None:
        """Return the futures account without having told anybody of a liquidation."""
        seat = self._seat
        if seat is None:
            return None
        n_events = seat.n_told
        view = seat.see(at_open=False)
        seat.n_told = n_events
        return view

    @property
    def n_liquidations(self) -> int:
        """How many steps of liquidations there have been."""
        return 0 if self.futures is None else len(self.futures.events)

    # Ends -----------------------------------------------------------------------------------------

    def cancel_all(self) -> None:
        """Cancel every order that is alive."""
        for order in list(self._exchange.orders):
            self._exchange.cancel(order)

    def held(self) -> list[tuple[Any, float]]:
        """Return every feed that something is held of, and how many base units."""
        found = [(data, self.getposition(data).size) for data in self.cerebro.datas]
        return [(data, size) for data, size in found if size]

    def close_all(self, owner: Any) -> int:
        """Send a market order against every position; return how many there are.

        One against a contract can only reduce it.
        """
        positions = self.held()
        refusal_of, self.refusal_of = self.refusal_of, None
        for data, size in positions:
            send = self.sell if size > 0 else self.buy
            only = {"reduce_only": True} if is_perpetual(data._name) else {}  # noqa: SLF001
            send(owner, data, abs(size), reason=_FLATTEN, **only)
        self.refusal_of = refusal_of
        return len(positions)

    # Orders ---------------------------------------------------------------------------------------

    def resting(self, data: Any, *, is_buy: bool) -> float:
        """Return what living orders of one side may still fill, base units."""
        book, side = self._feeds.books[data], 1.0 if is_buy else -1.0
        return sum(
            one.quantity for one in self._exchange.orders if one.book is book and one.side == side
        )

    def ask(self, action: PerpetualAction, reason: str = "") -> None:
        """Take what is asked of the futures account, unless it is refused."""
        why = "" if self.refusal_of_request is None else self.refusal_of_request(action)
        if why:
            now_ms = self._feeds.now_ms()
            text = describe_perpetual_action(action)
            self.journal.record(now_ms, "refused", text, reason=why)
            return
        super().ask(action, reason)

    def _transmit(self, order: bt.Order) -> None:
        why = self.refusal_of(order) if self.refusal_of is not None else ""
        if not why:
            super()._transmit(order)
            return
        order.submit(self)
        self._notifications.append(copy_order(order))
        self._exchange.step_ms = self._feeds.now_ms()
        self._exchange.close(self._venue_orders[order.ref], "rejected", why)


class LinkedShadow(ShadowBroker, LinkedExchange):
    """The exchange of a shadow whose account has a loan elsewhere."""
