"""A futures account as the broker of a sandbox reads it: what the exchange has told of it last.

The account is looked at before every decision, after fills, and now and then; positions have to be
those that the fills add up to. Where the exchange does not answer, the last look stands, and its
age is known.
"""

from collections.abc import Mapping
from typing import NamedTuple

from seawall.journal import Journal, JournalKind
from seawall.paper.client import ExchangeClient
from seawall.paper.errors import PaperError
from seawall.paper.faults import ExchangeFault
from seawall.paper.forced import SEEN
from seawall.paper.futures_reading import FUNDING_FEE, ToldAccount
from seawall.paper.futures_view import Listed, Moment, ToldView, make_view
from seawall.paper.order import TradeFill
from seawall.units import SECOND_MS

KEEP, KEPT, TOLD = "keep margin", "kept margin", "told of a forced order"
_N_TOLD = "funding told"
_LOOK_MS = 5 * SECOND_MS
_MAX_LOOKS = 4
_MARGIN_FOR_COSTS = 0.998  # of what is free: the way of the price until the order arrives
_SAME = 1e-9
_LEAST = 0.01  # quote units of margin that are worth a request


class Kept(NamedTuple):
    """An order that reduces a position, and what it sets free has to back the rest.

    Attributes:
        before: quote units set aside when the order was sent. entry: price of the position then.
    """

    client_id: str
    symbol: str
    before: float
    entry: float


class FuturesSide:
    """One futures account.

    Args:
        client: the account; its futures are open and reconciled.
        listed: the contracts that are traded, in the order of the recipe.
        journal: the engine's, where what happens to the account is written.
        since_ms: funding is counted from here.

    Attributes:
        told: what the exchange said last; ``told_ms``: when.
        listed: the contracts.
    """

    def __init__(
        self,
        client: ExchangeClient,
        listed: Mapping[str, Listed],
        journal: Journal,
        *,
        since_ms: int,
    ) -> None:
        if client.futures is None:
            raise PaperError("a futures account must be opened first: client.open_futures")
        self._client, self.book, self._journal = client, client.futures, journal
        self.listed, self._since_ms = dict(listed), since_ms
        self._marks: dict[str, float] = {}
        self._rates: dict[str, float] = {}
        self._next_ms: dict[str, int] = {}
        self._fault, self._next_look_ms = "", 0
        self.told: ToldAccount = self.book.asks.account()
        self.told_ms = client.clock()
        self._look_at_market()

    # What the broker asks -------------------------------------------------------------------------

    def cash(self) -> float:
        """Return what is free for new orders, quote units."""
        return self.told.available

    def value(self, prices: Mapping[str, float]) -> float:
        """Return the equity at the marks; ``prices`` do not count."""
        del prices
        return self.told.equity

    def quantity(self, symbol: str) -> float:
        """Return the position, base units, > 0 long: what the fills add up to."""
        return self._client.journal.believed("position").get(symbol, 0.0)

    def entry(self, symbol: str) -> float | None:
        """Return the entry price; ``None`` without a position."""
        held = self.told.positions.get(symbol)
        return None if held is None else held.entry

    def most(self, symbol: str, price: float, *, is_buy: bool) -> float:
        """Return how much an order that is fitted may be for, base units."""
        setting = self.book.setting(symbol)
        leverage = 1.0 if setting is None else setting.leverage
        fee = self.listed[symbol].contract.taker_fee
        opened = self.told.available * _MARGIN_FOR_COSTS / (price * (1 / leverage + fee))
        held = self.quantity(symbol)
        closed = abs(held) if (held < 0) == is_buy and held else 0.0
        return closed + max(opened, 0.0)

    def gross(self, without: str, prices: Mapping[str, float]) -> float:
        """Return the notional of all positions but one, quote units, at the marks."""
        del prices
        return sum(
            abs(one.quantity) * one.mark
            for one in self.told.positions.values()
            if one.symbol != without
        )

    def fee_in_quote(self, fill: TradeFill) -> float | None:
        """Return a fill's fee in quote units; ``None`` where it was paid in a third asset."""
        return fill.fee if fill.fee_asset in (self.book.asks.asset, "") else None

    def note_sent(self, client_id: str, symbol: str, *, keeps_margin: bool) -> None:
        """Write down what an order has to leave in a position, before it is sent."""
        held, setting = self.told.positions.get(symbol), self.book.setting(symbol)
        if keeps_margin and held is not None and setting is not None and setting.is_isolated:
            now_ms = self._client.clock()
            payload = [symbol, held.isolated, held.entry]
            self._client.journal.see(f"{KEEP} {client_id}", now_ms, KEEP, payload)

    # Looking --------------------------------------------------------------------------------------

    def refresh(self, *, at_once: bool = False) -> bool:
        """Look at the account where it is time to; return whether what is known is of now."""
        now_ms = self._client.clock()
        if now_ms < self._next_look_ms and not at_once:
            return True
        self._next_look_ms = now_ms + _LOOK_MS
        try:
            self._look()
            self._put_back()
            self._tell_funding()
        except ExchangeFault as error:
            self._tell_fault(str(error))
            return False
        self._tell_fault("")
        return True

    def doubt(self) -> str:
        """Return why nothing that adds to the risk is sent now: how things stand is not known."""
        if not self._fault:
            return ""
        since_s = (self._client.clock() - self.told_ms) // SECOND_MS
        return f"the exchange has not told of the account for {since_s} s: {self._fault}"

    def settled_ms(self, symbol: str) -> int:
        """Return when funding is settled next: what changes it is a settlement."""
        return self._next_ms[symbol]

    def now_ms(self) -> int:
        """Return the session's time."""
        return self._client.clock()

    def _look(self) -> None:
        """Read account and marks until positions are those that the fills add up to.

        Raises:
            ExchangeFault: the exchange cannot be asked now.
        """
        for move, moving in self.book.resolve_moves():
            kind: JournalKind = "done" if moving.outcome == "done" else "failed"
            self.record(kind, f"move {move.amount:g} of margin", move.symbol, moving.text)
        for _ in range(_MAX_LOOKS):
            self.told, self.told_ms = self.book.asks.account(), self._client.clock()
            if not self._find_different():
                break
            for symbol in self.listed:
                self._client.sync_trades(symbol)
        self._look_at_market()

    def _find_different(self) -> list[str]:
        found = []
        for symbol in self.listed:
            told = self.told.positions.get(symbol)
            amount, believed = 0.0 if told is None else told.quantity, self.quantity(symbol)
            if abs(amount - believed) > _SAME * max(abs(amount), abs(believed)):
                found.append(symbol)
        return found

    def _look_at_market(self) -> None:
        """Read marks, and what funding is settled when."""
        due = not self._rates
        for symbol in self.listed:
            premium = self.book.asks.premium(symbol)
            due = due or premium.next_ms != self._next_ms.get(symbol)
            self._marks[symbol], self._next_ms[symbol] = premium.mark, premium.next_ms
        if due:
            self._settle_funding()

    def _settle_funding(self) -> None:
        """Count the incomes, and read the last rates."""
        for symbol in self.listed:
            rate = self.book.asks.last_rate(symbol)
            self._rates[symbol] = float("nan") if rate is None else rate
        self.book.sync_incomes()

    def _tell_funding(self) -> None:
        """Tell of funding that was counted since this was last done, whoever has counted it."""
        journal, known = self._client.journal, self.book.incomes(FUNDING_FEE)
        n_told = int(journal.recall(_N_TOLD) or 0)
        for one in known[n_told:]:
            if one.time_ms >= self._since_ms:
                way = "received" if one.amount > 0 else "paid"
                self.record("funding", f"{way} {abs(one.amount):.8g}", one.symbol)
        if len(known) > n_told:
            journal.remember(_N_TOLD, float(len(known)))

    def _put_back(self) -> None:
        """Put back what orders that are over have set free of a margin, less fee and loss."""
        journal, waiting = self._client.journal, self.book.unresolved_moves()
        for kept in self._find_kept():
            order = journal.order(kept.client_id)
            if not order.is_over or any(one.symbol == kept.symbol for one in waiting):
                continue
            held = self.told.positions.get(kept.symbol)
            freed = 0.0
            if held is not None and order.filled:
                freed = kept.before - held.isolated + self._earned(kept, order.exchange_id)
            amount = min(freed, self.told.withdrawable)
            if amount > _LEAST:
                moving = self.book.move_margin(kept.symbol, amount)
                if moving.outcome == "refused":
                    text = f"put back {amount:.8g} of margin"
                    self.record("failed", text, kept.symbol, moving.text)
                self._next_look_ms = 0
            key = f"{KEPT} {kept.client_id}"
            journal.see(key, self._client.clock(), KEPT, kept.client_id)

    def _earned(self, kept: Kept, exchange_id: str) -> float:
        """Return what the fills of an order have earned in closing, less their fees."""
        return sum(
            -one.signed * (one.price - kept.entry) - (self.fee_in_quote(one) or 0.0)
            for one in self._client.journal.fills(kept.symbol)
            if one.exchange_order_id == exchange_id
        )

    def _find_kept(self) -> list[Kept]:
        journal = self._client.journal
        over = {key.removeprefix(f"{KEPT} ") for key in journal.seen(KEPT)}
        rows = [(key.removeprefix(f"{KEEP} "), row) for key, row in journal.events(KEEP)]
        known = [Kept(client_id, *row) for client_id, row in rows if client_id not in over]
        return [one for one in known if journal.has_order(one.client_id)]

    # What an agent sees ---------------------------------------------------------------------------

    def see(self) -> ToldView:
        """Return the account; ``is_liquidated`` tells of what nobody was told of before."""
        journal, now_ms = self._client.journal, self._client.clock()
        told = set(journal.seen(TOLD))
        forced = [str(client_id) for _, client_id in journal.events(SEEN)]
        fresh = [client_id for client_id in forced if f"{TOLD} {client_id}" not in told]
        for client_id in fresh:
            journal.see(f"{TOLD} {client_id}", now_ms, TOLD, client_id)
        return self.peek(is_liquidated=bool(fresh))

    def peek(self, *, is_liquidated: bool = False) -> ToldView:
        """Return the account; nobody is told of anything by it."""
        return make_view(self.told, self._moment(), self.listed, is_liquidated=is_liquidated)

    def margin_ratio(self) -> float:
        """Return the highest margin ratio of the account; 0.0 without a position."""
        return self.peek().margin_ratio if self.told.positions else 0.0

    def _moment(self) -> Moment:
        since_ms = self._since_ms
        settings = {one: self.book.setting(one) for one in self.listed}
        return Moment(
            marks=self._marks,
            rates=self._rates,
            next_ms=self._next_ms,
            funding={one: self.book.funding(one, since_ms=since_ms) for one in self.listed},
            settings={one: found for one, found in settings.items() if found is not None},
        )

    def record(self, kind: JournalKind, text: str, symbol: str = "", reason: str = "") -> None:
        """Write to the engine's journal what has happened to the account."""
        self._journal.record(self._client.clock(), kind, text, reason=reason, symbol=symbol)

    def _tell_fault(self, text: str) -> None:
        """Note where the exchange begins not to tell of the account."""
        if text and not self._fault:
            self._client.journal.note(self._client.clock(), "fault", text)
        self._fault = text
