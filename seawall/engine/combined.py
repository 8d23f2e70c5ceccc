"""One account over venues: a loan on a chain beside spot and perpetuals on an exchange.

Each venue lives by its own rules through the same bars, and may liquidate while the other is fine;
the ledger and the journal are one. Equity is USD: what the exchange quotes counts as such. A bar,
in order: what was sent leaves the loan's wallet or reaches it, the loan's bar, the exchange's bar.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import backtrader as bt

from seawall.engine.broker import ExchangeBroker
from seawall.engine.chain_transfers import ChainRequests, Way
from seawall.engine.loan.broker import LoanBroker
from seawall.engine.loan.world import LoanWorld
from seawall.engine.perpetual.world import PerpetualWorld
from seawall.engine.world import World
from seawall.errors import SeawallError
from seawall.fill import Fill
from seawall.journal import Journal
from seawall.loan_action import LoanAction
from seawall.loan_view import LoanView
from seawall.market.series import FloatArray
from seawall.perpetual_action import PerpetualAction
from seawall.perpetual_recipe import PerpetualSection
from seawall.perpetual_view import PerpetualView
from seawall.recipe import Recipe
from seawall.venues.futures import FuturesAccount
from seawall.venues.ledger import Ledger
from seawall.venues.parameters import Ambiguity


class LinkedExchange(ExchangeBroker):
    """An exchange whose account has a loan elsewhere."""

    def join(self, loan: LoanBroker, section: PerpetualSection) -> ChainRequests:
        """Take transfers to and from a loan's wallet; return what is on its way.

        Raises:
            SeawallError: there is no futures account.
        """
        seat, exchange = self._seat, self._exchange
        if seat is None:
            raise SeawallError("a loan is hedged on a futures account, there is none: add one")
        transfer = section.transfer
        requests = ChainRequests(
            exchange,
            seat.futures,
            loan,
            way=Way(transfer.delay_ms, transfer.cost),
            chain=Way(transfer.loan_delay_ms, transfer.loan_cost),
        )
        seat.requests = exchange.requests = exchange.account.requests = requests
        return requests

    def meet_chain(self, requests: ChainRequests) -> None:
        """Let a loan's wallet send and get as the bar opens that has just closed."""
        requests.meet_chain(self._feeds.open_ms(), self._feeds.now_ms())

    def now_ms(self) -> int:
        """Return when the last bar closed."""
        return self._feeds.now_ms()


class CombinedBroker(bt.BrokerBase):
    """A loan and an exchange account for ``bt.Cerebro``; orders go to the exchange.

    Attributes:
        loan, exchange: the venues.
        requests: what is on its way between them; of the run.
        startingcash: what lies in the loan's wallet and in cash on the exchange, USD.
    """

    requests: ChainRequests

    def __init__(
        self, loan: LoanBroker, exchange: LinkedExchange, section: PerpetualSection
    ) -> None:
        self.loan, self.exchange, self._section = loan, exchange, section
        self.startingcash = loan.startingcash + exchange.startingcash
        self._value = 0.0
        super().__init__()

    @classmethod
    def from_recipe(
        cls, recipe: Recipe, world: World, journal: Journal, ambiguity: Ambiguity
    ) -> Self:
        """Return the broker of a recipe with a loan and perpetuals.

        Raises:
            SeawallError: the world lacks one of them.
        """
        if world.loan is None or world.perpetual is None:
            raise SeawallError("a combined account needs a loan and perpetuals: give both")
        loan = LoanBroker(
            world.loan, journal, ambiguity,
            candles=world.candles, latency_ms=recipe.execution.latency_ms,
        )  # fmt: skip
        exchange = LinkedExchange.from_recipe(
            recipe,
            journal=journal,
            filters=world.filters,
            ambiguity=ambiguity,
            perpetual=with_wallet(world.perpetual),
        )
        return cls(loan, exchange, world.perpetual.section)

    # The run --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open both, with one ledger."""
        super().start()
        self.loan.cerebro = self.exchange.cerebro = self.cerebro
        self.exchange.start()
        self.loan.start()
        self.link()

    def link(self) -> None:
        """Join both accounts, which are open, in one ledger, and let money move between them."""
        self.loan.join(self.exchange.ledger)
        self.requests = self.exchange.join(self.loan, self._section)
        self._value = self._find_value()

    def stop(self) -> None:
        """Let what is left expire, and check the books of both."""
        self.requests.end(self.exchange.now_ms())
        self.loan.stop()
        self.exchange.stop()
        super().stop()

    def next(self) -> None:
        """Let both live through the bars that have just closed, then value the account."""
        if not self.requests.is_quiet:
            self.exchange.meet_chain(self.requests)
        self.loan.next()
        self.exchange.next()
        self._value = self._find_value()

    def _find_value(self) -> float:
        return self.loan.getvalue() + self.exchange.getvalue() + self.requests.chain_value

    @property
    def is_idle(self) -> bool:
        """Whether bars may pass unseen: nothing is held, ordered or on its way but the loan."""
        return self.exchange.is_idle and self.requests.is_quiet

    @property
    def thinking_ms(self) -> int:
        """How much later than now what is sent leaves, on either venue."""
        return self.exchange.thinking_ms

    @thinking_ms.setter
    def thinking_ms(self, latency_ms: int) -> None:
        self.exchange.thinking_ms = self.loan.thinking_ms = latency_ms

    # The account ----------------------------------------------------------------------------------

    def charge(self, amount: float, time_ms: int) -> None:
        """Book what the agent's thinking has cost, USD > 0."""
        self.exchange.charge(amount, time_ms)

    def getcash(self) -> float:
        """Return what lies in the loan's wallet, and what is free on the exchange, USD."""
        return self.loan.getcash() + self.exchange.getcash()

    get_cash = getcash

    def getvalue(self, datas: Any = None, **_ignored: bool) -> float:
        """Return the equity of all venues and of what is between them, USD."""
        return self._value if datas is None else self.exchange.getvalue(datas)

    get_value = getvalue

    def getposition(self, data: Any) -> bt.Position:
        """Return backtrader's position of one feed, on the exchange."""
        return self.exchange.getposition(data)

    @property
    def ledger(self) -> Ledger:
        """Every change of the account."""
        return self.exchange.ledger

    @property
    def fills(self) -> list[Fill]:
        """Every execution on the exchange."""
        return self.exchange.fills

    @property
    def n_ambiguous(self) -> int:
        """As of the exchange."""
        return self.exchange.n_ambiguous

    # The loan -------------------------------------------------------------------------------------

    @property
    def world(self) -> LoanWorld:
        """What the loan is put into."""
        return self.loan.world

    @property
    def closes(self) -> Mapping[str, FloatArray]:
        """Of the market's symbols."""
        return self.loan.closes

    def see(self, bar: int) -> LoanView:
        """Return the loan at the close of ``bar``."""
        return self.loan.see(bar)

    def send(self, action: LoanAction, reason: str, bar: int) -> None:
        """Send a transaction of the loan."""
        self.loan.send(action, reason, bar)

    def live_until(
        self, stop: int, *, health_below: float, health_above: float, at_fill: bool
    ) -> int:
        """Let the loan live on; asked only where ``is_idle``."""
        return self.loan.live_until(
            stop, health_below=health_below, health_above=health_above, at_fill=at_fill
        )

    def stamp_of(self, bar: int) -> float:
        """Return the date number at which a bar is shown."""
        return self.loan.stamp_of(bar)

    def has_happened(self, bar: int) -> bool:
        """Return whether a transaction landed, or the loan was liquidated, in a bar."""
        return self.loan.has_happened(bar)

    def set_reserve(self, usd: float) -> None:
        """Note what the job wants left in the loan's wallet."""
        self.loan.set_reserve(usd)

    # The exchange ---------------------------------------------------------------------------------

    @property
    def futures(self) -> FuturesAccount | None:
        """The futures account."""
        return self.exchange.futures

    def see_perpetual(self) -> PerpetualView | None:
        """Return the futures account; what is on its way from or to the chain counts too."""
        view = self.exchange.see_perpetual()
        return view if view is None else view.expecting(self.requests.expected)

    def margin_ratio(self) -> float:
        """Return the highest margin ratio at the last closes."""
        return self.exchange.margin_ratio()

    def ask(self, action: PerpetualAction, reason: str = "") -> None:
        """Take what is asked of the futures account, or moves money between the venues."""
        self.exchange.ask(action, reason)

    def buy(self, *args: Any, **kwargs: Any) -> bt.Order:
        """Send a buy to the exchange."""
        return self.exchange.buy(*args, **kwargs)

    def sell(self, *args: Any, **kwargs: Any) -> bt.Order:
        """Send a sell to the exchange."""
        return self.exchange.sell(*args, **kwargs)

    def cancel(self, order: bt.Order, _bracket: bool = False) -> bool:  # noqa: FBT001, FBT002
        """Cancel an order; false where it is over already."""
        return self.exchange.cancel(order)

    def get_orders_open(self, safe: bool = False) -> list[bt.Order]:  # noqa: FBT001, FBT002
        """Return the orders that are alive."""
        return self.exchange.get_orders_open(safe)

    def orderstatus(self, order: bt.Order) -> int:
        """Return an order's status now."""
        return self.exchange.orderstatus(order)

    def get_notification(self) -> bt.Order | None:
        """Return the next order that has changed, or ``None``."""
        return self.exchange.get_notification()


def with_wallet(world: PerpetualWorld) -> PerpetualWorld:
    """Return a world in which the cash is on the spot side, whatever the market has."""
    section = world.section
    if section.wallet is not None or section.position is not None:
        return world
    return replace(world, section=section.model_copy(update={"wallet": 0.0}))
