"""Money between an exchange and the wallet of a loan, which is on a chain.

What travels is the loan's debt token, a stablecoin. The exchange buys and sells it at the loan's
market price, free of charge: at the close at which it sends, at the open at which it receives.
Amounts that are asked for are quote units, which are USD here.

A transfer that is sent at a close leaves the loan's wallet as the next bar opens, and the exchange
at once. It arrives at the first bar that opens when its time has come, or later: before the loan's
transactions of that bar, or as any transfer on the exchange does. Its cost is taken out of what
arrives. In between it is in neither wallet, and in the equity.

Left out: gas of the transfer apart from its cost, and the bar's doubt about when inside it the
money comes: both ways to resolve bars take the later open.
"""

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from seawall.engine.loan.broker import LoanBroker
from seawall.venues.exchange import Exchange
from seawall.venues.futures import FuturesAccount, Moved
from seawall.venues.futures_requests import NOWHERE, PERPETUAL, SPOT, Moment, Request, Requests
from seawall.venues.ledger import Entry
from seawall.venues.orders import FOREVER_MS

LOAN = "loan"
_ENOUGH = 1.0 - 1e-12
_WALLETS = "this account has a spot, a perpetual and a loan wallet"


class Way(NamedTuple):
    """What a transfer takes: milliseconds, and quote units out of what arrives."""

    delay_ms: int
    cost: float


@dataclass(kw_only=True, slots=True)
class ChainRequest(Request):
    """A transfer to or from the chain; ``tokens``: what is on its way, 0.0 before it has left."""

    tokens: float = 0.0


class ChainRequests(Requests):
    """All that is on its way in an account that has a loan too.

    Args:
        way: between spot and perpetual; ``chain``: to and from the loan's wallet.

    Attributes:
        tokens: of the debt, on the way to or from the chain: ``(step_ms, tokens)`` after each
            change.
    """

    def __init__(
        self,
        exchange: Exchange,
        futures: FuturesAccount,
        loan: LoanBroker,
        *,
        way: Way,
        chain: Way,
    ) -> None:
        super().__init__(exchange, futures, delay_ms=way.delay_ms, cost=way.cost)
        self._loan, self._chain = loan, chain
        self._token = loan.world.loan.debt
        self._chain_asset = f"chain:{self._token}"
        self._leaving: list[ChainRequest] = []  # the loan's wallet, as the next bar opens
        self._coming: list[ChainRequest] = []  # to the loan's wallet
        self.tokens: list[tuple[int, float]] = [(-FOREVER_MS, 0.0)]

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is on its way to or from the chain."""
        return not (self._leaving or self._coming or self.tokens[-1][1])

    @property
    def chain_value(self) -> float:
        """What is on its way to or from the chain, quote units; what leaves next is not yet."""
        return self.tokens[-1][1] * self._price

    @property
    def expected(self) -> float:
        """The same with what leaves the loan's wallet next."""
        return self.chain_value + sum(one.amount for one in self._leaving)

    def balances(self) -> dict[str, float]:
        """Return what the ledger has to agree with: the loan's, and what is on the way."""
        own = {self._chain_asset: self.tokens[-1][1]}
        return {**super().balances(), **own, **self._loan.books.balances()}

    # What may be asked ----------------------------------------------------------------------------

    def send_transfer(
        self, source: str, target: str, amount: float, when: Moment, *, row: int = NOWHERE
    ) -> None:
        """Let money leave one wallet for another."""
        if LOAN not in (source, target):
            super().send_transfer(source, target, amount, when, row=row)
            return
        text = f"transfer {'all' if amount == inf else f'{amount:.8g}'} from {source} to {target}"
        if not {source, target} <= {SPOT, PERPETUAL, LOAN}:
            self._record("refused", text, _WALLETS, when)
            return
        free = self._find_free(source)
        moved = min(amount, free)
        if not moved > self._chain.cost:
            why = (
                f"a transfer must be more than its cost of {self._chain.cost:.8g}, what {source} "
                f"can spare is {free:.8g}: free some first, or ask for more"
            )
            self._record("refused", text, why, when)
            return
        if amount < inf and moved < amount * _ENOUGH:
            self._record("reduced", text, f"{source} can spare no more than {moved:.8g}", when)
        self._record("sent", text, "", when)
        self._send(source, target, moved, text, when)

    def _send(self, source: str, target: str, amount: float, text: str, when: Moment) -> None:
        request = ChainRequest(
            kind="chain_transfer",
            text=text,
            row=NOWHERE,
            amount=amount,
            sent_ms=when.time_ms,
            sent_step_ms=when.step_ms,
            live_ms=when.time_ms + self._chain.delay_ms,
            source=source,
            target=target,
        )
        if source == LOAN:
            self._leaving.append(request)
            self.waiting.append(request)
            return
        request.tokens = amount / self._price
        account, entry = self._exchange.account, Entry("transfer", self._quote, -amount)
        if source == SPOT:
            account.move(-amount, when.time_ms, self._exchange.step_ms, [entry])
        else:
            self._futures.move(-amount, when.time_ms)
        account.ledger.post(when.time_ms, [Entry("transfer", self._chain_asset, request.tokens)])
        self._change(request.tokens, self._exchange.step_ms)
        self._coming.append(request)

    # What is due ----------------------------------------------------------------------------------

    def meet_chain(self, open_ms: int, step_ms: int) -> None:
        """Let what was sent leave the loan's wallet as a bar opens, and what has come reach it."""
        leaving, self._leaving = self._leaving, []
        for request in leaving:
            self._leave(request, Moment(open_ms, request.sent_step_ms, 0), step_ms)
        for request in list(self._coming):
            if request.live_ms <= open_ms and request.sent_step_ms < step_ms:
                self._coming.remove(request)
                self._reach_loan(request, Moment(open_ms, request.sent_step_ms, 0), step_ms)

    def end(self, time_ms: int) -> None:
        """Let what has not left the loan's wallet expire: the data have ended."""
        for request in self._leaving:
            self.waiting.remove(request)
            why = "the window ended before it could leave the wallet"
            self._record("expired", request.text, why, Moment(time_ms, time_ms, 0))
        self._leaving.clear()

    def _leave(self, request: ChainRequest, now: Moment, step_ms: int) -> None:
        books = self._loan.books
        wanted = request.amount / books.mark(self._token)
        request.tokens = tokens = min(wanted, books.wallet(self._token))
        if not tokens > 0:
            self.waiting.remove(request)
            self._record("failed", request.text, "the loan's wallet is empty", now)
            return
        entries = [
            Entry("transfer", f"wallet:{self._token}", -tokens),
            Entry("transfer", self._chain_asset, tokens),
        ]
        books.move(self._token, -tokens, now.time_ms, entries)
        self._change(tokens, step_ms)

    def _reach_loan(self, request: ChainRequest, now: Moment, step_ms: int) -> None:
        books, tokens = self._loan.books, request.tokens
        wallet = f"wallet:{self._token}"
        cost = min(self._chain.cost / books.mark(self._token), tokens)
        entries = [
            Entry("transfer", self._chain_asset, -tokens),
            Entry("transfer", wallet, tokens),
            Entry("transfer_cost", wallet, -cost),
        ]
        books.move(self._token, tokens - cost, now.time_ms, entries)
        self._change(-tokens, step_ms)
        self._note(request, request.amount, cost * books.mark(self._token), now)

    def _do(self, request: Request, now: Moment) -> None:
        if isinstance(request, ChainRequest):
            self._reach_exchange(request, now)
        else:
            super()._do(request, now)

    def _reach_exchange(self, request: ChainRequest, now: Moment) -> None:
        account, tokens = self._exchange.account, request.tokens
        amount = tokens * self._loan.price_at_open(self._token)
        cost = min(self._chain.cost, amount)
        account.ledger.post(now.time_ms, [Entry("transfer", self._chain_asset, -tokens)])
        if request.target == PERPETUAL:
            self._futures.move(amount, now.time_ms, cost=cost)
        else:
            account.move(
                amount - cost, now.time_ms, self._exchange.step_ms,
                [Entry("transfer", self._quote, amount),
                 Entry("transfer_cost", self._quote, -cost)],
            )  # fmt: skip
        self._change(-tokens, self._exchange.step_ms)
        self._note(request, amount, cost, now)

    def _note(self, request: ChainRequest, amount: float, cost: float, now: Moment) -> None:
        self._futures.transfers.append(
            Moved(now.time_ms, request.sent_ms, request.source, request.target, amount, cost)
        )
        self._record("done", request.text, "", now)

    # Whose money ----------------------------------------------------------------------------------

    @property
    def _price(self) -> float:
        """What a token was last worth, quote units."""
        return self._loan.books.mark(self._token)

    def _find_free(self, wallet: str) -> float:
        if wallet != LOAN:
            return super()._find_free(wallet)
        leaving = sum(one.amount for one in self._leaving)
        return max(self._loan.books.wallet(self._token) * self._price - leaving, 0.0)

    def _change(self, tokens: float, step_ms: int) -> None:
        """Note that tokens have set out (> 0), or arrived; what is left is summed up anew."""
        on_the_way = [*self._coming, *self.waiting]
        left = sum(one.tokens for one in on_the_way if isinstance(one, ChainRequest))
        self.tokens.append((step_ms, left if tokens < 0 else self.tokens[-1][1] + tokens))
