"""Orders that the exchange sends in the account's name: a liquidation, or what resembles one.

Their trades are listed among the account's own, of an order that nobody here has sent. Each such
order is asked for once: one that bears the exchange's mark of a forced order is entered in the
journal as what it is, so that its fills count once and are nobody's secret; one that is a stop of
ours that has just been triggered is joined to it; any other is somebody else's (``reconcile``).

Source: Binance USD-M futures, "Event: Order Update" (special client order ids).
"""

from collections.abc import Iterable
from typing import Any

from seawall.paper.calls import Calls
from seawall.paper.faults import ExchangeFault
from seawall.paper.journal import PaperJournal
from seawall.paper.order import OrderIntent, OrderNews, OrderRecord, TradeFill
from seawall.paper.reading import Unreadable, read_order, to_number

_MARKS = {
    "autoclose-": "liquidation",
    "adl_autoclose": "auto-deleveraging",
    "settlement_autoclose": "settlement",
}
FORCED = "forced: "
NOTE = "forced"  # kind of notes
SEEN = "forced order"  # events: their content is the order's id


def is_forced(record: OrderRecord) -> bool:
    """Return whether an order is the exchange's own."""
    return record.intent.reason.startswith(FORCED)


class ForcedOrders:
    """Finds out whose an order is that nobody here has sent."""

    def __init__(self, calls: Calls, journal: PaperJournal) -> None:
        self._calls, self._journal = calls, journal
        self._looked_at: set[tuple[str, str]] = set()

    def recognise(self, fills: Iterable[TradeFill], now_ms: int) -> None:
        """Look at the orders of fills that no order is known for.

        Raises:
            ExchangeFault: one cannot be asked for; it is looked at again the next time.
        """
        for fill in fills:
            key = (fill.symbol, fill.exchange_order_id)
            if key in self._looked_at or self._journal.client_id_of(*key):
                continue
            self._look_at(fill, now_ms)
            self._looked_at.add(key)

    def _look_at(self, fill: TradeFill, now_ms: int) -> None:
        order_id, symbol = fill.exchange_order_id, fill.symbol
        try:
            answer = self._calls.call(self._calls.exchange.fetch_order, order_id, symbol)
        except ExchangeFault as error:
            if error.fault.cause in ("not_found", "rejected"):
                return
            raise
        news = self._calls.understand(read_order, answer, "", order_id)
        name = str(answer.get("clientOrderId") or "")
        is_known = self._journal.has_order(name)
        if is_known:
            self._journal.tell(name, news, now_ms)
        kind = next((word for mark, word in _MARKS.items() if name.startswith(mark)), "")
        if kind:
            intent = self._calls.understand(_to_intent, answer, name, kind, fill)
            self._enter(intent, news, now_ms, is_known=is_known)

    def _enter(self, intent: OrderIntent, news: OrderNews, now_ms: int, *, is_known: bool) -> None:
        if not is_known:  # else a crash came between this and the next line
            self._journal.intend(intent, now_ms)
            self._journal.tell(intent.client_id, news, now_ms)
        self._journal.see(f"{SEEN} {intent.client_id}", now_ms, SEEN, intent.client_id)
        kind = intent.reason.removeprefix(FORCED)
        text = f"{kind}: {intent.side} {intent.quantity:g} {intent.symbol}"
        self._journal.note(now_ms, NOTE, text)


def _to_intent(answer: Any, name: str, kind: str, fill: TradeFill) -> OrderIntent:
    quantity = to_number(answer.get("amount"))
    if not quantity > 0:
        raise Unreadable(f"an order's quantity must be > 0, is {quantity}")
    return OrderIntent(
        client_id=name,
        symbol=fill.symbol,
        side=fill.side,
        type="market",
        quantity=quantity,
        reduce_only=True,
        reason=f"{FORCED}{kind}",
    )
