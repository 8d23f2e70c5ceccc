"""Every row of the table of faults, against the local exchange: afterwards, belief is truth.

Each fault strikes the request that places an order, before or after the exchange has accepted it.
Then the session does what it always does: it asks for what is unresolved, at once and again after
the receive window. At the end an unmodified client of the same account says what is true.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import ccxt
import pytest
from paper_desk import MARKET, RESTING, SYMBOL, Desk
from sandbox_clients import SECRET, exchange, wavy

from seawall.paper.faults import Cause, ExchangeFault, read_fault
from seawall.paper.guard import local_venue
from seawall.paper.order import OrderIntent
from seawall.sandbox.exchange import Exchange
from seawall.sandbox.server import Server, ServerThread
from seawall.units import MINUTE_MS

HTML = "<html><body>blocked</body></html>"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Return a desk on an exchange whose clock is stepped."""
    made: Exchange = exchange(wavy(600))
    with ServerThread(Server(made)) as thread:
        thread.step(5 * MINUTE_MS)
        one = Desk(thread, tmp_path / "journal")
        yield one
        one.journal.close()


class Row(NamedTuple):
    """A fault, and how the order's first state reads."""

    name: str
    fault: dict[str, Any]
    state: str
    word: str = ""


def _json(code: int, text: str) -> str:
    return f'{{"code":{code},"msg":"{text}"}}'


def _error(status: int, code: int, text: str) -> dict[str, Any]:
    return {"status": status, "body": _json(code, text)}


def _limited(status: int, text: str, seconds: int) -> dict[str, Any]:
    return {**_error(status, -1003, text), "headers": {"Retry-After": str(seconds)}}


REFUSED = [
    Row("429", _limited(429, "x", 7), "rejected", "429"),
    Row("418", _limited(418, "IP banned", 90), "rejected", "418"),
    Row("-1008", _error(503, -1008, "Request throttled"), "rejected", "-1008"),
    Row("-1021", _error(400, -1021, "outside of the recvWindow."), "rejected", "-1021"),
    Row("-1022", _error(400, -1022, "Signature"), "rejected", "-1022"),
    Row("-2015", _error(401, -2015, "Invalid API-key"), "rejected", "-2015"),
    Row("-2019", _error(400, -2019, "Margin is insufficient."), "rejected", "Margin"),
    Row("-4164", _error(400, -4164, "notional"), "rejected", "notional"),
    Row("-1121", _error(400, -1121, "Invalid symbol."), "rejected", "symbol"),
]
NO_ANSWER = [
    Row("403 html", {"status": 403, "body": HTML}, "unknown"),
    Row("500 -1000", _error(500, -1000, "An unknown error"), "unknown"),
    Row("500 html", {"status": 500, "body": HTML}, "unknown"),
    Row("502 html", {"status": 502, "body": HTML}, "unknown"),
    Row("503 unknown", _error(503, -1000, "Unknown error, please check"), "unknown"),
    Row("504", {"status": 504, "body": ""}, "unknown"),
    Row("-1007", _error(408, -1007, "Timeout waiting"), "unknown"),
    Row("-1001", _error(500, -1001, "Internal error"), "unknown"),
    Row("-1016", _error(503, -1016, "no longer available"), "unknown"),
    Row("maintenance", _error(503, -1, "System is under maintenance."), "unknown"),
    Row("time-out", {"delay_s": 0.8, "is_drop": True}, "unknown"),
    Row("reset", {"is_drop": True}, "unknown"),
    Row("empty 200", {"status": 200, "body": ""}, "unknown"),
    Row("{} 200", {"status": 200, "body": "{}"}, "unknown"),
    Row("[] 200", {"status": 200, "body": "[]"}, "unknown"),
    Row("null 200", {"status": 200, "body": "null"}, "unknown"),
    Row("html 200", {"status": 200, "body": HTML}, "unknown"),
    Row("duplicate", _error(400, -2010, "Duplicate order sent."), "unknown"),
]
_RESTING = pytest.param(RESTING, id="resting", marks=pytest.mark.slow)
BOTH_ORDERS = pytest.mark.parametrize("intent", [pytest.param(MARKET, id="market"), _RESTING])
# One in four; the rest are for the slow set.
CANCELS = [
    pytest.param(row, id=row.name, marks=[pytest.mark.slow] * (i % 4 != 2))
    for i, row in enumerate(NO_ANSWER)
    if row.name != "time-out"
]


@BOTH_ORDERS
@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.name)
def test_what_is_refused_at_the_gate_is_rejected(desk: Desk, row: Row, intent: OrderIntent) -> None:
    """The exchange said no: the order is over, nothing is sent again."""
    desk.strike(**row.fault)
    record = desk.place(intent)
    assert record.state == row.state
    assert row.word in record.why
    desk.settle()
    desk.check(n_orders=0)


@BOTH_ORDERS
@pytest.mark.parametrize("row", NO_ANSWER, ids=lambda row: row.name)
def test_an_order_that_never_arrived_is_given_up(desk: Desk, row: Row, intent: OrderIntent) -> None:
    """Before acceptance: unknown at first, lost after the receive window, and not sent again."""
    desk.strike(stage="before", **row.fault)
    record = desk.place(intent)
    assert record.state == row.state
    me = record.intent.client_id
    assert desk.client.resolve(me).state == "unknown"  # it may still arrive
    desk.settle()
    assert desk.journal.order(me).state == "lost"
    desk.check(n_orders=0)


@BOTH_ORDERS
@pytest.mark.parametrize("row", NO_ANSWER, ids=lambda row: row.name)
def test_an_order_that_is_live_is_found(desk: Desk, row: Row, intent: OrderIntent) -> None:
    """After acceptance: unknown at first, then what the exchange says; one order, counted once."""
    desk.strike(stage="after", **row.fault)
    record = desk.place(intent)
    assert record.state == row.state
    expected = "filled" if intent is MARKET else "open"
    assert desk.client.resolve(record.intent.client_id).state == expected
    desk.settle()
    desk.check(n_orders=1)


def test_a_trade_by_hand_is_not_taken_for_a_lost_order(desk: Desk) -> None:
    """Somebody buys while an order of ours is unknown: theirs is listed, ours is lost."""
    desk.strike(stage="before", is_drop=True)
    record = desk.place()
    truth: Any = desk.truth
    truth.create_order(SYMBOL, "market", "buy", 0.5)
    desk.settle()
    assert desk.journal.order(record.intent.client_id).state == "lost"
    desk.check(n_orders=1)


def test_a_trade_that_nobody_lists_keeps_an_order_unknown(desk: Desk) -> None:
    """The exchange denies our id, yet a trade of an order it does not list: it may be ours."""
    desk.strike(stage="after", is_drop=True)
    record = desk.place()

    def not_found(*_arguments: Any) -> Any:
        raise ccxt.OrderNotFound('binance {"code":-2013}')  # type: ignore[attr-defined]

    raw = desk.client.exchange
    there = raw.fetch_order, raw.fetch_orders
    raw.fetch_order, raw.has["fetchOrders"] = not_found, False
    desk.thread.step(MINUTE_MS)
    resolved = desk.client.resolve(record.intent.client_id)
    assert resolved.state == "unknown"
    assert "may be of" in resolved.why
    raw.fetch_order, raw.has["fetchOrders"] = there[0], True
    desk.settle()
    desk.check(n_orders=1)


@pytest.mark.parametrize("keep", [1, 20, 120])
def test_a_cut_answer_is_none(desk: Desk, keep: int) -> None:
    """A 200 that ends in the middle: the order is live, and is found."""
    desk.strike(stage="after", keep_bytes=keep)
    assert desk.place().state == "unknown"
    desk.settle()
    desk.check(n_orders=1)


def test_a_limit_is_obeyed(desk: Desk) -> None:
    """After a 429 with Retry-After 7 nothing is sent for seven seconds, reads neither."""
    desk.strike(status=429, body=_json(-1003, "x"), headers={"Retry-After": "7"})
    desk.place()
    with pytest.raises(ExchangeFault, match="7000 ms") as held:
        desk.client.balances()
    assert held.value.fault.cause == "rate_limited"
    assert desk.place().state == "rejected"
    desk.thread.step(7_001)
    assert desk.client.balances()
    assert desk.place().state == "filled"
    desk.settle()
    desk.check(n_orders=1)


def test_the_exchange_is_down(desk: Desk) -> None:
    """Nobody listens at the port: unknown, then lost."""
    raw = desk.client.exchange
    there = raw.urls["api"]
    raw.urls["api"] = {**there, "private": "http://127.0.0.1:9/api/v3"}
    raw.guard.venue.__dict__["routes"] = (
        *raw.guard.venue.routes,
        *local_venue("http://127.0.0.1:9", "spot").routes,
    )
    assert desk.place().state == "unknown"
    raw.urls["api"] = there
    desk.settle()
    assert [one.state for one in desk.journal.orders()] == ["lost"]
    desk.check(n_orders=0)


REFUSALS = [
    ("too much", replace(MARKET, quantity=900.0), "insufficient"),
    ("lot", replace(MARKET, quantity=1e-9), "precision"),
    ("notional", replace(RESTING, quantity=0.0001, price=3000.0), "NOTIONAL"),
    ("post only", replace(RESTING, price=4000.0, post_only=True), "immediately match"),
    ("percent price", replace(RESTING, price=50.0), "PERCENT_PRICE"),
    ("unknown symbol", replace(MARKET, symbol="DOGE/USDT"), "DOGE"),
]


@pytest.mark.parametrize(("name", "intent", "word"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_the_exchange_s_own_refusals(desk: Desk, name: str, intent: OrderIntent, word: str) -> None:
    """Balance, filters, post-only, symbols: rejected, in the exchange's words."""
    record = desk.place(intent)
    assert record.state == "rejected", (name, record.why)
    assert word in record.why
    desk.settle()
    desk.check(n_orders=0)


def test_wrong_keys_are_known_as_such(desk: Desk) -> None:
    """A wrong secret is bad keys, also after an earlier success."""
    desk.client.balances()
    desk.client.exchange.secret = "wrong"  # noqa: S105
    with pytest.raises(ExchangeFault) as fault:
        desk.client.balances()
    assert fault.value.fault.cause == "bad_keys"
    assert "signature=***" in str(fault.value) or "signature" not in str(fault.value)
    desk.client.exchange.secret = SECRET
    desk.check(n_orders=0)


@pytest.mark.parametrize("skew_ms", [-20_000, 20_000])
def test_a_clock_that_is_wrong_is_measured_and_cured(desk: Desk, skew_ms: int) -> None:
    """Twenty seconds off: refused as the clock's fault; measured to the ms; then it works."""
    exchange_clock = desk.clock
    desk.client.exchange.milliseconds = lambda: exchange_clock() + skew_ms
    desk.client.clock = desk.client.exchange.milliseconds
    with pytest.raises(ExchangeFault) as fault:
        desk.client.balances()
    assert fault.value.fault.cause == "clock"
    assert desk.place().state == "rejected"
    assert desk.client.adjust_clock().skew_ms == skew_ms
    assert desk.place().state == "filled"
    desk.settle()
    desk.check(n_orders=1)


# Cancelling -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["before", "after"])
@pytest.mark.parametrize("row", CANCELS)
def test_a_cancel_without_an_answer(desk: Desk, row: Row, stage: str) -> None:
    """What became of the order is asked for: open still where the request was lost."""
    me = desk.place(RESTING).intent.client_id
    desk.strike(method="DELETE", stage=stage, **row.fault)
    try:
        state = desk.client.cancel(me).state
    except ExchangeFault:
        state = desk.client.resolve(me).state
    assert state == ("open" if stage == "before" else "cancelled")
    desk.settle()
    desk.check(n_orders=1)
    assert desk.client.cancel(me).state == "cancelled"
    assert desk.client.cancel(me).state == "cancelled"
    desk.check(n_orders=1)


def test_a_cancel_that_comes_too_late(desk: Desk) -> None:
    """Filled in the meantime: the order is filled, its fills are counted."""
    near = replace(RESTING, price=float(wavy(600).close[5]) - 0.5)
    me = desk.place(near).intent.client_id
    assert desk.journal.order(me).state == "open"
    desk.thread.step(30 * MINUTE_MS)
    assert desk.client.cancel(me).state == "filled"
    desk.settle()
    desk.check(n_orders=1)


def test_an_unknown_order_can_be_cancelled(desk: Desk) -> None:
    """By its client id alone, where the answer with the exchange's id was lost."""
    desk.strike(stage="after", is_drop=True)
    record = desk.place(RESTING)
    assert (record.state, record.exchange_id) == ("unknown", "")
    assert desk.client.cancel(record.intent.client_id).state == "cancelled"
    desk.settle()
    desk.check(n_orders=1)


# Reading ----------------------------------------------------------------------------------------

BODIES = ["", "{}", "[]", "null", HTML, '{"balances":', '[{"symbol":']


@pytest.mark.parametrize("body", BODIES)
def test_an_empty_account_is_no_answer(desk: Desk, body: str) -> None:
    """An empty, cut or foreign body of a 200 is a fault of unknown cause, never no money."""
    desk.strike(path="/api/v3/account$", method="GET", body=body)
    with pytest.raises(ExchangeFault) as fault:
        desk.client.balances()
    assert fault.value.fault.cause == "unknown"
    assert desk.client.balances()


@pytest.mark.parametrize("body", [one for one in BODIES if one != "[]"])
def test_a_list_without_content_is_no_answer(desk: Desk, body: str) -> None:
    """Open orders and trades: only ``[]`` itself is an empty list."""
    desk.place(RESTING)
    desk.place()
    desk.strike(path="/api/v3/openOrders$", method="GET", body=body)
    with pytest.raises(ExchangeFault):
        desk.client.open_orders(SYMBOL)
    desk.strike(path="/api/v3/myTrades$", method="GET", body=body)
    with pytest.raises(ExchangeFault):
        desk.client.sync_trades(SYMBOL)
    assert [one.client_id[:2] for one in desk.client.open_orders(SYMBOL)] == ["sw"]
    desk.settle()
    desk.check(n_orders=2)


@pytest.mark.parametrize("body", BODIES)
def test_an_order_that_cannot_be_read_stays_as_it_was(desk: Desk, body: str) -> None:
    """The answer to "what became of it" is garbage: nothing changes, it is asked again."""
    me = desk.place(RESTING).intent.client_id
    desk.strike(method="GET", body=body)
    with pytest.raises(ExchangeFault):
        desk.client.resolve(me)
    assert desk.journal.order(me).state == "open"
    desk.settle()
    desk.check(n_orders=1)


def test_an_order_of_another_id_is_not_taken(desk: Desk) -> None:
    """An answer about another order changes nothing of ours."""
    first, second = desk.place(RESTING), desk.place(replace(RESTING, price=1001.0))
    body = '{"symbol":"ETHUSDT","orderId":%s,"clientOrderId":"%s","status":"CANCELED","side":"BUY",'
    body += '"price":"1","origQty":"1","executedQty":"0","type":"LIMIT","time":1,"updateTime":1}'
    other = body % (second.exchange_id, second.intent.client_id)
    desk.strike(method="GET", body=other)
    with pytest.raises(ExchangeFault, match="another order"):
        desk.client.resolve(first.intent.client_id)
    desk.settle()
    desk.check(n_orders=2)


def test_partial_fills_are_counted_once(desk: Desk) -> None:
    """An order in many pieces, looked at after each step: the fills are those of the exchange."""
    desk.place(replace(RESTING, price=3010.0, quantity=60.0))
    for _ in range(12):
        desk.client.resolve_all()
        desk.client.sync_trades(SYMBOL)
        desk.thread.step(MINUTE_MS)
    desk.settle()
    assert len(desk.journal.fills()) > 1
    desk.check(n_orders=1)


def test_a_guard_s_refusal_is_no_unknown_order(desk: Desk) -> None:
    """What may not leave was not sent: rejected, and raised."""
    from seawall.paper.errors import GuardRefused  # noqa: PLC0415

    raw = desk.client.exchange
    there = raw.urls["api"]
    raw.urls["api"] = ccxt.binance().urls["api"]
    with pytest.raises(GuardRefused):
        desk.place()
    raw.urls["api"] = there
    assert [one.state for one in desk.journal.orders()] == ["rejected"]
    desk.check(n_orders=0)


CAUSES: list[tuple[Exception, Cause]] = [
    (ccxt.DDoSProtection("binance 429 Too Many Requests {}"), "rate_limited"),
    (ccxt.DDoSProtection("binance 418 I'm a Teapot {}"), "banned"),
    (ccxt.DDoSProtection('binance {"code":-2015,"msg":"Invalid API-key"}'), "bad_keys"),
    (ccxt.ExchangeError('binanceusdm {"code":-2019,"msg":"Margin"}'), "rejected"),
    (ccxt.ExchangeError("something else"), "unknown"),
    (ccxt.RequestTimeout("binance POST"), "unknown"),
    (ccxt.NetworkError("binance POST"), "unknown"),
    (ccxt.ExchangeNotAvailable("binance POST"), "unknown"),
    (KeyError("spot"), "unknown"),
    (AttributeError("x"), "unknown"),
]


@pytest.mark.parametrize(("error", "cause"), CAUSES, ids=str)
def test_causes(error: Exception, cause: Cause) -> None:
    """The class alone does not tell; what is not certain is unknown."""
    assert read_fault(error).cause == cause


def test_how_long_to_wait() -> None:
    """Retry-After in seconds, the end of a ban in ms, a minute where nothing is said."""
    limited = ccxt.DDoSProtection("binance 429 x")
    assert read_fault(limited, {"retry-after": "3"}).retry_ms == 3000
    assert read_fault(limited).retry_ms == 60_000
    ban = ccxt.DDoSProtection("binance 418 x IP banned until 1795349999999.")
    assert read_fault(ban, now_ms=1795349990000).retry_ms == 9_999
