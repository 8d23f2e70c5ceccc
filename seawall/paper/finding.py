"""How an order whose answer is missing is found at the exchange, or given up.

It is asked for by our id, then looked for in the lists of orders, then in the account's trades. An
order that nobody knows is lost only when the exchange could not accept it any more: after the
receive window.

A stop on a perpetual is an *algo order* at Binance: it waits apart, under a number of another
series, and becomes an order with a number of its own when it is triggered. Until then its number
is kept as ``algo:NUMBER``, so that it is never taken for an order's.
"""

from typing import Any

from seawall.paper.calls import Calls, Rows
from seawall.paper.faults import ExchangeFault
from seawall.paper.journal import PaperJournal
from seawall.paper.order import OrderIntent, OrderNews, OrderRecord, State
from seawall.paper.reading import Unreadable, read_order

RECEIVE_WINDOW_MS = 10_000  # ccxt's recvWindow: the exchange accepts no request older than this
GRACE_MS = RECEIVE_WINDOW_MS + 5_000
ALGO = "algo:"
APART = {"trigger": True}


def is_apart(intent: OrderIntent) -> bool:
    """Return whether an order waits apart from the others: a stop on a perpetual."""
    return intent.stop_price is not None and ":" in intent.symbol


def still_waits(record: OrderRecord) -> bool:
    """Return whether an order is asked for among those that wait apart."""
    is_known_order = record.exchange_id and not record.exchange_id.startswith(ALGO)
    return is_apart(record.intent) and not is_known_order


def read_algo(answer: object, client_id: str, exchange_id: str = "") -> tuple[OrderNews, str]:
    """Return what is known of an order that waits apart, and the number of what it has become.

    The number is ``""`` before it is triggered: then the news is all there is to know.

    Raises:
        Unreadable: it has no number or state, or is another order's.
    """
    news = read_order(answer, client_id, exchange_id.removeprefix(ALGO))
    info: Any = answer["info"] if isinstance(answer, dict) else {}
    if not isinstance(info, dict):
        raise Unreadable("an order that waits apart without content is no answer")
    became = str(info.get("actualOrderId") or "").strip("0") and str(info["actualOrderId"])
    status = str(info.get("algoStatus") or "")
    state: State = news.state
    if status in ("TRIGGERING", "TRIGGERED") and not became:
        state = "open"
    elif status == "REJECTED" or (status == "FINISHED" and not became):
        state = "expired"  # it had been accepted: what came of it was not
    why = str(info.get("rm") or "it was triggered, and refused") if status == "REJECTED" else ""
    told = OrderNews(
        state=state,
        exchange_id=f"{ALGO}{news.exchange_id}",
        exchange_ms=news.exchange_ms,
        why=why,
    )
    return told, became


class OrderFinder:
    """Finds orders at the exchange.

    Args:
        calls: of the client.
        journal: where orders are known from.
    """

    def __init__(self, calls: Calls, journal: PaperJournal) -> None:
        self._calls, self._exchange, self._journal = calls, calls.exchange, journal

    def ask(self, record: OrderRecord) -> OrderNews | None:
        """Return what the exchange says of our id; ``None`` where it knows none.

        Raises:
            ExchangeFault: it cannot be asked now.
        """
        intent, me = record.intent, record.intent.client_id
        if still_waits(record):
            answer = self._fetch(None, intent.symbol, {"clientOrderId": me, **APART})
            return None if answer is None else self.follow(record, answer)
        if is_apart(intent):  # what it has become need not bear our id
            answer = self._fetch(record.exchange_id, intent.symbol, {})
        else:
            answer = self._fetch(record.exchange_id or None, intent.symbol, {"clientOrderId": me})
        if answer is None:
            return None
        return self._calls.understand(read_order, answer, me, record.exchange_id)

    def follow(self, record: OrderRecord, answer: object) -> OrderNews:
        """Return what is known of an order from its row among those that wait apart.

        Raises:
            ExchangeFault: what it has become cannot be asked for.
        """
        intent, me = record.intent, record.intent.client_id
        waiting, became = self._calls.understand(read_algo, answer, me, record.exchange_id)
        if not became:
            return waiting
        found = self._fetch(became, intent.symbol, {})
        if found is not None:
            return self._calls.understand(read_order, found, me, became)
        # An exchange forgets orders that ended unfilled; the fills of one that did not are listed.
        return OrderNews(state="expired", exchange_id=became, why="the exchange has forgotten it")

    def list(self, record: OrderRecord) -> Rows:
        """Return all open orders of a symbol, and all since one was intended.

        Raises:
            ExchangeFault: they cannot be asked for.
        """
        symbol, since_ms = record.intent.symbol, record.intent_ms - GRACE_MS
        wishes = [{}, APART] if is_apart(record.intent) else [{}]
        rows: Rows = []
        for wish in wishes:
            rows += self._calls.list(self._exchange.fetch_open_orders, symbol, None, None, wish)
            if self._exchange.has.get("fetchOrders"):
                rows += self._calls.list(self._exchange.fetch_orders, symbol, since_ms, None, wish)
        return [row for row in rows if isinstance(row, dict)]

    def find(self, record: OrderRecord, listed: Rows) -> OrderNews | None:
        """Return what a list says of our id.

        Raises:
            ExchangeFault: the row cannot be read.
        """
        me = record.intent.client_id
        for row in listed:
            if row.get("clientOrderId") != me:
                continue
            if _is_algo(row):
                return self.follow(record, row)
            return self._calls.understand(read_order, row, me)
        return None

    def is_too_late(self, record: OrderRecord, now_ms: int) -> bool:
        """Return whether an order that nobody knows can no longer arrive."""
        return not record.is_over and now_ms - record.intent_ms > GRACE_MS

    def give_up(self, record: OrderRecord, listed: Rows) -> OrderNews | None:
        """Return that an order which is too late is lost, unless it may have traded.

        A trade of an order that is listed under another id is somebody else's; the account's trades
        have been read. ``None``: those have shown what became of it.
        """
        intent = record.intent
        if record.is_over or record.exchange_id:
            return None
        others = {str(row.get("id")) for row in listed if row.get("clientOrderId")}
        for fill in self._journal.fills(intent.symbol, since_ms=record.intent_ms):
            is_known = fill.exchange_order_id in others or bool(
                self._journal.client_id_of(fill.symbol, fill.exchange_order_id)
            )
            if not is_known and fill.side == intent.side:
                text = f"a trade of order {fill.exchange_order_id} may be of {intent.client_id}"
                return OrderNews(state="unknown", why=text)
        return OrderNews(state="lost", why="the exchange knows no such order")

    def _fetch(self, order_id: str | None, symbol: str, wishes: dict[str, Any]) -> object | None:
        """Return the exchange's answer; ``None`` where it has no such order."""
        try:
            answer: object = self._calls.call(self._exchange.fetch_order, order_id, symbol, wishes)
        except ExchangeFault as error:
            if error.fault.cause in ("not_found", "rejected"):  # or it cannot be asked this way
                return None
            raise
        return answer


def _is_algo(row: Any) -> bool:
    return isinstance(row.get("info"), dict) and "algoId" in row["info"]
