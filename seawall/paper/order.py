"""An order of a paper session: what was intended, what state it is in, and what it has filled.

The states, and where they lead::

    intended ──> unknown ──> lost         written; sent without an answer; never arrived
        │           │          │
        └───────────┴──────────┴──> open ──> filled | cancelled | expired
        └───────────┴─────────────> rejected

``lost`` is a belief about the network, so a late arrival may still end it; every other last state
is the exchange's word and stays, unless a reconciliation corrects it (``PaperJournal.correct``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from seawall.units import split_symbol

Side = Literal["buy", "sell"]
OrderType = Literal["market", "limit", "stop", "stop_limit"]
State = Literal["intended", "unknown", "open", "filled", "cancelled", "expired", "rejected", "lost"]

_ENDS: frozenset[State] = frozenset({"filled", "cancelled", "expired"})
_REFUSED: frozenset[State] = frozenset({"rejected", "lost"})
LAST_STATES: frozenset[State] = _ENDS | _REFUSED
UNRESOLVED: frozenset[State] = frozenset({"intended", "unknown"})
_OPEN: frozenset[State] = frozenset({"open"})
_LIVE: frozenset[State] = _OPEN | _ENDS
_ASKED: frozenset[State] = frozenset({"unknown"})
_ANSWERS: frozenset[State] = _LIVE | _ASKED | _REFUSED
_NONE: frozenset[State] = frozenset()
NEXT_STATES: Mapping[State, frozenset[State]] = {
    "intended": _ANSWERS,
    "unknown": _ANSWERS,
    "open": _LIVE,
    "lost": _LIVE,
    "filled": _NONE,
    "cancelled": _NONE,
    "expired": _NONE,
    "rejected": _NONE,
}


@dataclass(frozen=True, kw_only=True)
class OrderIntent:
    """What a session wants the exchange to do.

    Attributes:
        client_id: its own id, given to the exchange; made by ``PaperJournal.new_client_id``.
        symbol, side, type: as ccxt names them.
        quantity: base units, > 0.
        price: quote units, of limit orders.
        stop_price: quote units, of stops.
        time_in_force: ``gtc``, ``ioc`` or ``fok``.
        post_only, reduce_only: wishes of the order.
        trigger: which price sets off a stop on a perpetual.
        reason: why it was sent; from the decision.
        decided_ms: close of the bar that it was decided at, however late it was sent; 0 where that
            is not known, or no strategy decided: what the kill switch sells, say.
    """

    client_id: str
    symbol: str
    side: Side
    type: OrderType
    quantity: float
    price: float | None = None
    stop_price: float | None = None
    time_in_force: Literal["gtc", "ioc", "fok"] = "gtc"
    post_only: bool = False
    reduce_only: bool = False
    trigger: Literal["last", "mark"] = "last"
    reason: str = ""
    decided_ms: int = 0


@dataclass(frozen=True, kw_only=True)
class OrderRecord:
    """An order as the journal knows it.

    Attributes:
        intent: what was wanted.
        session: which session wanted it.
        state: see the module.
        exchange_id: the exchange's id, once known.
        filled: base units the exchange says are filled.
        why: what led to the state, such as the exchange's own words.
        intent_ms, updated_ms: when it was written, and last changed, on the session's clock.
        exchange_ms: the exchange's time of what is known; 0 before anything is.
    """

    intent: OrderIntent
    session: int
    state: State
    exchange_id: str
    filled: float
    why: str
    intent_ms: int
    updated_ms: int
    exchange_ms: int

    @property
    def is_over(self) -> bool:
        """Whether nothing more is expected of it."""
        return self.state in LAST_STATES


@dataclass(frozen=True, kw_only=True)
class OrderNews:
    """What the exchange says about one order.

    Attributes:
        state: what it is in now.
        exchange_id: the exchange's id.
        filled: base units filled so far.
        exchange_ms: the exchange's time of it; 0 where it says none.
        why: its words.
    """

    state: State
    exchange_id: str = ""
    filled: float = 0.0
    exchange_ms: int = 0
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class TradeFill:
    """One execution, as the exchange lists it.

    Attributes:
        symbol, trade_id: together unique on an exchange.
        exchange_order_id: whose fill it is.
        side: of the account.
        price: quote units. quantity: base units, > 0.
        fee: units of ``fee_asset``, >= 0 where paid.
        time_ms: the exchange's time.
        is_maker: whether the order rested; ``None`` where the exchange does not say.
    """

    symbol: str
    trade_id: str
    exchange_order_id: str
    side: Side
    price: float
    quantity: float
    fee: float
    fee_asset: str
    time_ms: int
    is_maker: bool | None = None

    @property
    def signed(self) -> float:
        """Return the base units with the account's sign: bought > 0."""
        return self.quantity if self.side == "buy" else -self.quantity

    def changes(self) -> dict[str, float]:
        """Return what a spot fill does to balances, by asset."""
        base, quote = split_symbol(self.symbol)
        changes = {base: self.signed, quote: -self.signed * self.price}
        if self.fee_asset:
            changes[self.fee_asset] = changes.get(self.fee_asset, 0.0) - self.fee
        return changes


def is_news(record: OrderRecord, news: OrderNews) -> bool:
    """Return whether what the exchange says goes beyond what is known; stale events do not.

    An event may come late or twice: one with less filled, or an open state after a last one, or
    from before what is known, changes nothing.
    """
    if news.state not in NEXT_STATES[record.state]:
        return False
    if news.filled < record.filled:
        return False
    is_older = 0 < news.exchange_ms < record.exchange_ms
    is_further = news.filled > record.filled or news.state in LAST_STATES
    return is_further or not is_older
