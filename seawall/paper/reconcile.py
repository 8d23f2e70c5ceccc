"""Journal against exchange: at the start, and on a timer.

What is believed and what the exchange tells are compared row by row: open orders, trades, balances
or positions. A difference is shown and either adopted, which makes the exchange's side the belief,
or the session does not go on. It is never ignored, and nothing at the exchange is changed by it.

The exchange moves while it is read, so trades are read before and after, and all again where one
came in between.

On a futures account positions stand in place of balances, and its wallet, leverage, margin modes
and moves of margin are compared too (``futures_reconcile``).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from seawall.paper.allowed import Market
from seawall.paper.client import ExchangeClient, SeenOrder
from seawall.paper.differences import UNRESOLVED, Difference
from seawall.paper.errors import NotReconciled
from seawall.paper.futures_reconcile import (
    FuturesSnapshot,
    adopt_first,
    adopt_futures,
    compare_futures,
    read_futures,
)
from seawall.paper.journal import BaselineKind, PaperJournal
from seawall.paper.order import OrderIntent, OrderNews, TradeFill

_MAX_READS = 5
_ABSOLUTE, _RELATIVE = 1e-8, 1e-9  # an exchange rounds to eight decimals
_ADOPTED = "adopted"


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What the exchange told at one moment."""

    open_orders: Sequence[SeenOrder]
    foreign_trades: Sequence[TradeFill]
    held: dict[str, float]
    kind: BaselineKind
    futures: FuturesSnapshot | None = None


@dataclass(frozen=True, kw_only=True)
class Reconciliation:
    """What a comparison found, and what was done with it."""

    differences: tuple[Difference, ...]
    is_adopted: bool
    is_first: bool

    @property
    def agrees(self) -> bool:
        """Whether belief and truth are one now."""
        return not self.differences or self.is_adopted


def reconcile(
    client: ExchangeClient, symbols: Iterable[str], *, market: Market, adopt: bool = False
) -> Reconciliation:
    """Compare, and adopt what the exchange says if told so; at a session's start.

    On an account that was never seen, balances are taken as they are: nothing was believed.
    Open orders and positions are differences also then: somebody else made them.

    Raises:
        NotReconciled: there are differences, and ``adopt`` is false or cannot help.
        ExchangeFault: the exchange cannot be asked now.
    """
    journal, kind = client.journal, _kind_of(market)
    is_first = not journal.has_baseline(kind)
    snapshot = read_snapshot(client, symbols, kind=kind)
    if is_first and kind == "balance":
        journal.set_baseline(kind, snapshot.held, client.clock())
    if client.futures is not None and snapshot.futures is not None:
        adopt_first(client.futures, snapshot.futures)
    rows = compare(client, snapshot)
    for row in rows:
        journal.note(client.clock(), "difference", str(row))
    waiting = [row for row in rows if row.kind in UNRESOLVED]
    if rows and (waiting or not adopt):
        raise NotReconciled(_explain(rows, waiting))
    if rows or is_first:
        _adopt(client, snapshot)
    return Reconciliation(differences=tuple(rows), is_adopted=bool(rows), is_first=is_first)


def check(client: ExchangeClient, symbols: Iterable[str], *, market: Market) -> list[Difference]:
    """Compare on a timer and return what differs; the session decides, and nothing is adopted.

    Raises:
        ExchangeFault: the exchange cannot be asked now.
    """
    rows = compare(client, read_snapshot(client, symbols, kind=_kind_of(market)))
    for row in rows:
        client.journal.note(client.clock(), "difference", str(row))
    return rows


def read_snapshot(
    client: ExchangeClient, symbols: Iterable[str], *, kind: BaselineKind
) -> Snapshot:
    """Settle what is unresolved, then read the account while no trade comes in between.

    Raises:
        ExchangeFault: the exchange cannot be asked now.
        NotReconciled: the account trades all the time; something else uses it.
    """
    wanted = list(symbols)
    # Trades first: an order that fills after it was asked for shows as a trade in the loop.
    _sync(client, wanted)
    client.resolve_all()
    for _ in range(_MAX_READS):
        seen = [order for symbol in wanted for order in client.open_orders(symbol)]
        held, futures = _read_held(client, wanted, kind)
        has_moved = client.futures is not None and futures is None
        if not _sync(client, wanted) and not has_moved:
            foreign = [fill for fill in client.journal.fills() if _is_foreign(client.journal, fill)]
            client.recognise(foreign)
            return Snapshot(
                open_orders=seen,
                foreign_trades=[one for one in foreign if _is_foreign(client.journal, one)],
                held=held,
                kind=kind,
                futures=futures,
            )
        client.resolve_all()
    raise NotReconciled(
        f"an account must stand still while it is read, traded {_MAX_READS} times: stop what else "
        "trades on it"
    )


def _read_held(
    client: ExchangeClient, symbols: list[str], kind: BaselineKind
) -> tuple[dict[str, float], FuturesSnapshot | None]:
    """Return balances or positions; of a futures account all that was told of it, if it stood."""
    if client.futures is None:
        return (client.balances() if kind == "balance" else client.positions(symbols)), None
    told = read_futures(client.futures)
    return ({} if told is None else told.held), told


def compare(client: ExchangeClient, snapshot: Snapshot) -> list[Difference]:
    """Return all rows in which the journal differs from what the exchange told."""
    journal = client.journal
    rows = [
        Difference("unresolved order", one.intent.client_id, one.state, "nothing yet")
        for one in journal.unresolved()
    ]
    rows += _compare_orders(journal, snapshot.open_orders)
    adopted = _adopted_trades(journal)
    rows += [
        Difference("foreign trade", f"{one.symbol} {one.trade_id}", "none", _describe_fill(one))
        for one in snapshot.foreign_trades
        if f"{one.symbol} {one.trade_id}" not in adopted
    ]
    if client.futures is not None and snapshot.futures is not None:
        rows += compare_futures(client.futures, snapshot.futures)
    return rows + _compare_amounts(journal, snapshot)


def _compare_orders(journal: PaperJournal, seen: Sequence[SeenOrder]) -> list[Difference]:
    rows, listed = [], set()
    for order in seen:
        me = order.client_id
        listed.add(me)
        if not journal.has_order(me):
            rows.append(
                Difference("foreign order", me or order.news.exchange_id, "none", _say(order))
            )
        elif journal.order(me).state != "open":
            rows.append(Difference("order state", me, journal.order(me).state, "open"))
    open_here = [record.intent.client_id for record in journal.orders("open")]
    rows += [
        Difference("order state", me, "open", "not open") for me in open_here if me not in listed
    ]
    return rows


def _compare_amounts(journal: PaperJournal, snapshot: Snapshot) -> list[Difference]:
    believed, told = journal.believed(snapshot.kind), snapshot.held
    rows = []
    for name in sorted({*believed, *told}):
        mine, theirs = believed.get(name, 0.0), told.get(name, 0.0)
        if abs(mine - theirs) > _ABSOLUTE + _RELATIVE * abs(theirs):
            rows.append(Difference(snapshot.kind, name, f"{mine:.10g}", f"{theirs:.10g}"))
    return rows


def _adopt(client: ExchangeClient, snapshot: Snapshot) -> None:
    """Make the exchange's side the belief; foreign orders become the journal's, to be cancelled."""
    journal, now_ms = client.journal, client.clock()
    listed = set()
    for order in snapshot.open_orders:
        me = order.client_id or f"x{order.news.exchange_id}"
        listed.add(me)
        if not journal.has_order(me):
            journal.intend(_to_intent(order, me), now_ms)
        if journal.order(me).state != "open":
            journal.correct(me, _because(order.news), now_ms)
    for record in journal.orders("open"):
        if record.intent.client_id not in listed:
            gone = OrderNews(state="cancelled", filled=record.filled, why=_ADOPTED)
            journal.correct(record.intent.client_id, gone, now_ms)
    for fill in snapshot.foreign_trades:
        journal.see(f"adopted {fill.symbol} {fill.trade_id}", now_ms, _ADOPTED, fill.trade_id)
    journal.set_baseline(snapshot.kind, snapshot.held, now_ms)
    if client.futures is not None and snapshot.futures is not None:
        adopt_futures(client.futures, snapshot.futures)


def _kind_of(market: Market) -> BaselineKind:
    return "balance" if market == "spot" else "position"


def _sync(client: ExchangeClient, symbols: Iterable[str]) -> list[TradeFill]:
    return [fill for symbol in symbols for fill in client.sync_trades(symbol)]


def _is_foreign(journal: PaperJournal, fill: TradeFill) -> bool:
    return not journal.client_id_of(fill.symbol, fill.exchange_order_id)


def _adopted_trades(journal: PaperJournal) -> set[str]:
    return {key.removeprefix("adopted ") for key in journal.seen(_ADOPTED)}


def _to_intent(order: SeenOrder, client_id: str) -> OrderIntent:
    return OrderIntent(
        client_id=client_id,
        symbol=order.symbol,
        side="buy" if order.side == "buy" else "sell",
        type="limit" if order.price else "market",
        quantity=order.quantity,
        price=order.price or None,
        reason=_ADOPTED,
    )


def _because(news: OrderNews) -> OrderNews:
    return OrderNews(
        state=news.state,
        exchange_id=news.exchange_id,
        filled=news.filled,
        exchange_ms=news.exchange_ms,
        why=_ADOPTED,
    )


def _say(order: SeenOrder) -> str:
    return f"{order.side} {order.quantity:g} {order.symbol} at {order.price:g}"


def _describe_fill(fill: TradeFill) -> str:
    return f"{fill.side} {fill.quantity:g} at {fill.price:g} of order {fill.exchange_order_id}"


def _explain(rows: Sequence[Difference], waiting: Sequence[Difference]) -> str:
    listed = "; ".join(str(row) for row in rows[:10]) + ("; ..." if len(rows) > 10 else "")  # noqa: PLR2004
    remedy = (
        "what was sent may still arrive: start again in half a minute"
        if waiting
        else "look at the account, then start with --adopt to take the exchange's side"
    )
    return f"the journal and the exchange must agree, {len(rows)} differ ({listed}): {remedy}"
