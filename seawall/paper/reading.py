"""What ccxt returns, read with suspicion.

A 200 with an empty, cut or foreign body does not raise: ``fetch_balance`` gives ``{}``,
``fetch_positions`` ``[]``, ``create_order`` an order without an id while the order is live. So
every answer is checked for what only a real one has, and ``Unreadable`` is raised where it is
missing: no answer is never taken for "nothing".
"""

from collections.abc import Iterable, Mapping
from typing import Any

from seawall.paper.order import OrderNews, Side, State, TradeFill

_STATES: Mapping[str, State] = {
    "open": "open",
    "closed": "filled",
    "canceled": "cancelled",
    "canceling": "open",
    "expired": "expired",
    "rejected": "rejected",
}


class Unreadable(Exception):  # noqa: N818 - reads as what happened; never leaves the client
    """An answer that is none: it becomes a fault of unknown cause."""


def check_list(answer: object, raw: object) -> list[Any]:
    """Return a list that was really sent.

    Args:
        answer: what ccxt made of it.
        raw: the JSON it came from: a list, or an object that says something.
    """
    if not isinstance(answer, list):
        raise Unreadable(f"a list was asked for, the answer is a {type(answer).__name__}")
    if not (isinstance(raw, list) or (isinstance(raw, dict) and raw)):
        raise Unreadable("the answer has no content: it is not taken for an empty list")
    if len(answer) == 0 and isinstance(raw, list) and len(raw) > 0:
        raise Unreadable("the answer has rows that cannot be read")
    return answer


def read_order(answer: object, client_id: str, exchange_id: str = "") -> OrderNews:
    """Return what an answer says of an order; it must be that order's.

    Raises:
        Unreadable: it has no id or state, or is another order's.
    """
    if not isinstance(answer, dict) or not answer.get("info") or not answer.get("id"):
        raise Unreadable("an order without an id is no answer")
    told = str(answer.get("clientOrderId") or "")
    if told != client_id and str(answer["id"]) != exchange_id:
        raise Unreadable(f"the answer is about another order: {told or answer['id']}")
    state = _STATES.get(str(answer.get("status")))
    if state is None:
        raise Unreadable(f"an order's state is not known: {answer.get('status')!r}")
    return OrderNews(
        state=state,
        exchange_id=str(answer["id"]),
        filled=to_number(answer.get("filled") or 0.0),
        exchange_ms=_read_time(answer),
    )


def read_balances(answer: object) -> dict[str, float]:
    """Return total balances by asset, those that are not zero.

    Raises:
        Unreadable: the answer is not an account's.
    """
    if not isinstance(answer, dict) or not isinstance(answer.get("total"), dict):
        raise Unreadable("balances without totals are no answer")
    if not answer.get("info") or not isinstance(answer["info"], (dict, list)):
        raise Unreadable("balances without content are no answer")
    total = {str(name): to_number(value) for name, value in answer["total"].items()}
    info = answer["info"]
    if not total and not (isinstance(info, dict) and {"balances", "assets"} & set(info)):
        raise Unreadable("balances without any asset are no answer")
    return {name: value for name, value in total.items() if value != 0}


def read_positions(answer: Iterable[Any]) -> dict[str, float]:
    """Return positions by symbol in base units, > 0 long, those that are not zero."""
    held: dict[str, float] = {}
    for one in answer:
        if not isinstance(one, dict) or not one.get("symbol") or one.get("contracts") is None:
            raise Unreadable("a position without a symbol or size is no answer")
        size = to_number(one["contracts"]) * to_number(one.get("contractSize") or 1.0)
        signed = -size if one.get("side") == "short" else size
        if signed:
            held[str(one["symbol"])] = held.get(str(one["symbol"]), 0.0) + signed
    return held


def read_fill(answer: object) -> TradeFill:
    """Return one execution.

    Raises:
        Unreadable: it lacks what an execution has.
    """
    if not isinstance(answer, dict) or not answer.get("id") or not answer.get("order"):
        raise Unreadable("an execution without an id or order is no answer")
    side, fee, maker = answer.get("side"), answer.get("fee") or {}, answer.get("takerOrMaker")
    if side not in ("buy", "sell"):
        raise Unreadable(f"an execution's side is not known: {side!r}")
    known_side: Side = "buy" if side == "buy" else "sell"
    return TradeFill(
        symbol=str(answer["symbol"]),
        trade_id=str(answer["id"]),
        exchange_order_id=str(answer["order"]),
        side=known_side,
        price=to_number(answer.get("price")),
        quantity=to_number(answer.get("amount")),
        fee=to_number(fee.get("cost") or 0.0),
        fee_asset=str(fee.get("currency") or ""),
        time_ms=int(to_number(answer.get("timestamp"))),
        is_maker=None if maker is None else maker == "maker",
    )


def read_price(answer: object) -> float:
    """Return the last price of a ticker.

    Raises:
        Unreadable: it has none that is > 0.
    """
    price = to_number(answer.get("last") if isinstance(answer, dict) else None)
    if not price > 0:
        raise Unreadable(f"a price must be > 0, is {price}")
    return price


def to_number(value: object) -> float:
    """Return a finite number.

    Raises:
        Unreadable: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise Unreadable(f"a number was asked for, the answer is {value!r}")
    try:
        number = float(value)
    except ValueError:
        raise Unreadable(f"a number was asked for, the answer is {value!r}") from None
    if not abs(number) < float("inf"):
        raise Unreadable(f"a finite number was asked for, the answer is {value!r}")
    return number


def _read_time(answer: Mapping[str, Any]) -> int:
    for name in ("lastUpdateTimestamp", "lastTradeTimestamp", "timestamp"):
        if answer.get(name):
            return int(to_number(answer[name]))
    return 0
