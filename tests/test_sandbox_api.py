"""The sandbox's requests: signatures, parameters, filters, limits, and Binance's words for no."""

import json
from dataclasses import replace

import pytest
from sandbox_clients import CCXT, KEY, START_MS, RawClient, exchange, wavy

from seawall.sandbox.contract import make_contract
from seawall.sandbox.exchange import Exchange, Settings
from seawall.sandbox.gateway import Answer, Request
from seawall.sandbox.limits import LINEAR_LIMITS, Limits
from seawall.sandbox.orders import Side
from seawall.units import MINUTE_MS

NOW_MS = START_MS + 5 * MINUTE_MS


@pytest.fixture
def made() -> Exchange:
    """Return an exchange in whose market ETH trades at 3,021.25."""
    return exchange(wavy(60), start_ms=NOW_MS)


@pytest.fixture
def alice(made: Exchange) -> RawClient:
    """Return a client that signs as Alice."""
    return RawClient(made)


def refusal(answer: tuple[int, dict[str, object]]) -> tuple[int, object, object]:
    """Return status, code and text of a refused request."""
    status, body = answer
    return status, body.get("code"), body.get("msg")


def send(client: RawClient, query: str, *, key: str = KEY) -> tuple[int, object, object]:
    """Return what a raw query for the account is refused with."""
    answer = client.gateway.answer(Request("GET", f"/api/v3/account?{query}", b"", key))
    return refusal((answer.status, json.loads(answer.body)))


def test_a_signature_is_over_the_raw_bytes(alice: RawClient) -> None:
    """The same parameters in another order, or encoded otherwise, are not what was signed."""
    query = alice.sign({"omitZeroBalances": "true"})
    assert alice.send("GET", "/api/v3/account", query).status == 200
    signed, _, signature = query.rpartition("&signature=")
    swapped = "&".join(reversed(signed.split("&")))
    wrong = (400, -1022, "Signature for this request is not valid.")
    assert send(alice, f"{swapped}&signature={signature}") == wrong
    assert send(alice, f"{signed.replace('true', '%74rue')}&signature={signature}") == wrong
    assert send(alice, f"signature={signature}&{signed}")[0] == 200  # it may stand anywhere


def test_a_signature_covers_query_and_body_together(alice: RawClient) -> None:
    """Binance signs the query followed by the body, without anything in between."""
    query, body = "symbol=ETHUSDT&side=BUY", f"type=MARKET&quantity=1&timestamp={NOW_MS}"
    signed = alice.sign({})  # for the shape of a signature only
    assert "signature" in signed
    import hashlib  # noqa: PLC0415 - what a client does, beside it
    import hmac  # noqa: PLC0415

    digest = hmac.new(alice.secret.encode(), (query + body).encode(), hashlib.sha256).hexdigest()
    raw = f"{body}&signature={digest}".encode()
    answer = alice.gateway.answer(Request("POST", f"/api/v3/order?{query}", raw, KEY))
    assert (answer.status, json.loads(answer.body)["status"]) == (200, "FILLED")


def test_who_cannot_be_told_is_refused(alice: RawClient) -> None:
    """No key, an unknown key, no signature, no time, a window too long: each has its code."""
    query = alice.sign({})
    assert send(alice, query, key="") == (401, -2014, "API-key format invalid.")
    unknown = (401, -2015, "Invalid API-key, IP, or permissions for action.")
    assert send(alice, query, key="somebody-else") == unknown
    assert send(alice, f"timestamp={NOW_MS}")[1] == -1102
    assert send(alice, _sign_raw(alice, "recvWindow=5000"))[1:] == (
        -1102,
        "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed.",
    )
    assert send(alice, alice.sign({"recvWindow": 60_001}))[1] == -1131
    assert send(alice, "timestamp=1&timestamp=2")[1] == -1101


def _sign_raw(client: RawClient, query: str) -> str:
    import hashlib  # noqa: PLC0415 - what a client does, beside it
    import hmac  # noqa: PLC0415

    digest = hmac.new(client.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
    return f"{query}&signature={digest}"


@pytest.mark.parametrize("kind", ["RSA", "Ed25519"])
def test_a_key_of_another_kind_signs_nothing_here(alice: RawClient, kind: str) -> None:
    """A signature in base64, as such keys make it, is no valid one: Binance's own refusal."""
    signature = "A" * (342 if kind == "RSA" else 86) + "%3D%3D"
    query = f"timestamp={alice.exchange.clock.now_ms()}&signature={signature}"
    answer = alice.send("GET", "/api/v3/account", query)
    assert (answer.status, json.loads(answer.body)["code"]) == (400, -1022)


@pytest.mark.parametrize(
    ("offset_ms", "text"),
    [
        (-5_000, None),
        (-5_001, "Timestamp for this request is outside of the recvWindow."),
        (999, None),
        (1_000, "Timestamp for this request was 1000ms ahead of the server's time."),
    ],
)
def test_a_request_is_fresh(alice: RawClient, offset_ms: int, text: str | None) -> None:
    """Five seconds old at most, less than a second ahead of the exchange's clock."""
    status, code, said = send(alice, _sign_raw(alice, f"timestamp={NOW_MS + offset_ms}"))
    assert (status, code, said) == ((200, None, None) if text is None else (400, -1021, text))


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"symbol": "DOGEUSDT"}, -1121, "Invalid symbol."),
        ({"side": "HOLD"}, -1117, "Invalid side."),
        ({"type": "ICEBERG"}, -1116, "Invalid orderType."),
        ({"timeInForce": "GTX"}, -1115, "Invalid timeInForce."),
        ({"timeInForce": None}, -1102, "Mandatory parameter 'timeInForce'"),
        ({"quantity": None}, -1102, "Mandatory parameter 'quantity'"),
        ({"price": None}, -1102, "Mandatory parameter 'price'"),
        ({"price": "0"}, -1013, "Invalid price."),
        ({"quantity": "0"}, -1013, "Invalid quantity."),
        ({"quantity": "1e3"}, -1100, "Illegal characters found in parameter 'quantity'"),
        ({"quantity": "-1"}, -1100, "Illegal characters found in parameter 'quantity'"),
        ({"quantity": "1.000000001"}, -1111, "Parameter 'quantity' has too much precision."),
        ({"stopPrice": "3000"}, -1106, "Parameter 'stopPrice' sent when not required."),
        ({"quoteOrderQty": "10"}, -1106, "Parameter 'quoteOrderQty' sent when not required."),
        ({"newClientOrderId": "a b"}, -1100, "Illegal characters found in parameter"),
        ({"icebergQty": "0.1"}, -1128, "Combination of optional parameters invalid."),
        ({"price": "3000.001"}, -1013, "Filter failure: PRICE_FILTER"),
        ({"price": "2000000"}, -1013, "Filter failure: PRICE_FILTER"),
        ({"quantity": "1.00001"}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": "9000.0001"}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": "0.0001"}, -1013, "Filter failure: NOTIONAL"),
        ({"price": "16000"}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
        ({"price": "600"}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
        ({"quantity": "500"}, -2010, "Account has insufficient balance for requested action."),
        (
            {"type": "LIMIT_MAKER", "timeInForce": None, "price": "3100"},
            -2010,
            "Order would immediately match and take.",
        ),
        (
            {"type": "STOP_LOSS_LIMIT", "stopPrice": "3000"},
            -2010,
            "Stop price would trigger immediately.",
        ),
    ],
)
def test_a_wrong_order_is_refused_in_binances_words(
    alice: RawClient, change: dict[str, str | None], code: int, text: str
) -> None:
    """Each with its code and text, and nothing of it stays: no order, nothing locked."""
    order = {
        "symbol": "ETHUSDT", "side": "BUY", "type": "LIMIT",
        "quantity": "1", "price": "2900", "timeInForce": "GTC",
    } | change  # fmt: skip
    sent = {name: value for name, value in order.items() if value is not None}
    status, said, words = refusal(alice.signed("POST", "/api/v3/order", **sent))
    assert (status, said) == (400, code)
    assert str(words).startswith(text)
    assert alice.signed("GET", "/api/v3/openOrders")[1] == []
    assert not any(b["locked"] != "0.00000000" for b in _balances(alice))


def _balances(client: RawClient) -> list[dict[str, str]]:
    found = client.signed("GET", "/api/v3/account")[1]["balances"]
    assert isinstance(found, list)
    return found


def test_a_client_id_is_free_again_once_its_order_is_over(alice: RawClient) -> None:
    """Twice while open is a duplicate; after the first is filled the same id buys again."""
    same = {"newClientOrderId": "mine-1"}
    resting = {"quantity": "1", "price": "2900", "timeInForce": "GTC"}
    assert alice.order("BUY", "LIMIT", **resting, **same)[0] == 200
    twice = alice.order("BUY", "LIMIT", **resting, **same)
    assert refusal(twice) == (400, -2010, "Duplicate order sent.")
    alice.signed("DELETE", "/api/v3/order", symbol="ETHUSDT", origClientOrderId="mine-1")
    for _ in range(2):
        assert alice.order("BUY", "MARKET", quantity="1", **same)[1]["status"] == "FILLED"
    found = alice.signed("GET", "/api/v3/order", symbol="ETHUSDT", origClientOrderId="mine-1")[1]
    assert found["orderId"] == 3


def test_what_is_not_there_can_be_neither_found_nor_cancelled(alice: RawClient) -> None:
    """-2013 for a query, -2011 for a cancel, of the unknown and of the filled."""
    one = {"symbol": "ETHUSDT", "orderId": 99}
    gone = (400, -2013, "Order does not exist.")
    unknown = (400, -2011, "Unknown order sent.")
    assert refusal(alice.signed("GET", "/api/v3/order", **one)) == gone
    assert refusal(alice.signed("DELETE", "/api/v3/order", **one)) == unknown
    assert refusal(alice.signed("DELETE", "/api/v3/openOrders", symbol="ETHUSDT")) == unknown
    alice.order("BUY", "MARKET", quantity="1")
    filled = {"symbol": "ETHUSDT", "orderId": 1}
    assert refusal(alice.signed("DELETE", "/api/v3/order", **filled)) == unknown
    assert alice.signed("GET", "/api/v3/order", symbol="ETHUSDT")[1]["code"] == -1102


def test_an_order_can_be_replaced(alice: RawClient) -> None:
    """Both succeed; or the new one is refused and the old is gone, which status 409 tells."""
    resting = {"quantity": "1", "price": "2900", "timeInForce": "GTC"}
    alice.order("BUY", "LIMIT", **resting)
    shape = {
        "symbol": "ETHUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC",
        "cancelReplaceMode": "STOP_ON_FAILURE",
    }  # fmt: skip
    path = "/api/v3/order/cancelReplace"
    status, both = alice.signed("POST", path, **shape, quantity="2", price="2890", cancelOrderId=1)
    assert (status, both["cancelResult"], both["newOrderResult"]) == (200, "SUCCESS", "SUCCESS")
    status, half = alice.signed(
        "POST", path, **shape, quantity="900", price="2890", cancelOrderId=2
    )
    assert (status, half["code"], half["data"]["newOrderResponse"]["code"]) == (409, -2021, -2010)
    assert alice.signed("GET", "/api/v3/openOrders")[1] == []
    status, none = alice.signed("POST", path, **shape, quantity="1", price="2890", cancelOrderId=2)
    assert (status, none["code"], none["data"]["newOrderResult"]) == (400, -2022, "NOT_ATTEMPTED")


def test_a_test_order_changes_nothing(alice: RawClient) -> None:
    """It is refused as the real one would be, and otherwise answered with nothing."""
    order = {"symbol": "ETHUSDT", "side": "BUY", "type": "MARKET"}
    assert alice.signed("POST", "/api/v3/order/test", **order, quantity="1") == (200, {})
    assert alice.signed("POST", "/api/v3/order/test", **order, quantity="999")[0] == 400
    assert alice.signed("GET", "/api/v3/allOrders", symbol="ETHUSDT")[1] == []


def test_open_orders_are_counted(alice: RawClient) -> None:
    """Five stops wait at most, and 200 orders; one more is a filter's failure."""
    stop = {"quantity": "0.01", "stopPrice": "2900"}
    for _ in range(5):
        assert alice.order("SELL", "STOP_LOSS", **stop)[0] == 200
    sixth = alice.order("SELL", "STOP_LOSS", **stop)
    assert refusal(sixth)[1:] == (-1013, "Filter failure: MAX_NUM_ALGO_ORDERS")
    resting = {"quantity": "0.01", "price": "2900", "timeInForce": "GTC"}
    alice.gateway.exchange.settings = Settings(limits=None)
    for _ in range(195):
        assert alice.order("BUY", "LIMIT", **resting)[0] == 200
    full = alice.order("BUY", "LIMIT", **resting)
    assert refusal(full)[1:] == (-1013, "Filter failure: MAX_NUM_ORDERS")


def test_too_much_weight_is_answered_429_and_then_418() -> None:
    """Ten klines of weight 2 fill a limit of 20; the minute's end frees it, a ban outlasts it."""
    limits = Limits(weight_per_minute=20, patience=3)
    made = exchange(wavy(60), start_ms=NOW_MS, settings=Settings(limits=limits))
    client = RawClient(made)
    page = "symbol=ETHUSDT&interval=1m&limit=1"
    answers = [client.send("GET", "/api/v3/klines", page) for _ in range(11)]
    assert [one.status for one in answers] == [200] * 10 + [429]
    assert answers[9].headers["x-mbx-used-weight-1m"] == "20"
    assert answers[10].headers["Retry-After"] == "60"
    assert b"Too much request weight used; current limit is 20" in answers[10].body
    made.clock.advance(MINUTE_MS)
    assert client.send("GET", "/api/v3/klines", page).status == 200
    statuses = [client.send("GET", "/api/v3/klines", page).status for _ in range(14)]
    assert statuses == [200] * 9 + [429] * 3 + [418] * 2
    made.clock.advance(MINUTE_MS)
    banned = client.send("GET", "/api/v3/klines", page)
    assert banned.status == 418
    assert b"Way too much request weight used; IP banned until" in banned.body
    assert banned.headers["Retry-After"] == "60"
    made.clock.advance(MINUTE_MS)
    assert client.send("GET", "/api/v3/klines", page).status == 200


def test_too_many_orders_are_refused() -> None:
    """Three in ten seconds; the fourth waits for the next ten, and has not been placed."""
    limits = Limits(orders_per_ten_seconds=3)
    made = exchange(wavy(60), start_ms=NOW_MS, settings=Settings(limits=limits))
    client = RawClient(made)
    for _ in range(3):
        assert client.order("BUY", "MARKET", quantity="0.1")[0] == 200
    status, code, text = refusal(client.order("BUY", "MARKET", quantity="0.1"))
    assert (status, code) == (429, -1015)
    assert text == "Too many new orders; current limit is 3 orders per 10 SECOND."
    made.clock.advance(10_000)
    assert client.order("BUY", "MARKET", quantity="0.1")[1]["orderId"] == 4


def both_products(settings: Settings) -> Exchange:
    """Return an exchange that lists ETH and its perpetual."""
    perpetual = wavy(60, "ETH/USDT:USDT")
    return exchange(
        wavy(60), perpetual, start_ms=NOW_MS, settings=settings, futures=10_000.0,
        contracts={"ETH/USDT:USDT": make_contract(perpetual)},
    )  # fmt: skip


def test_each_product_has_limits_of_its_own() -> None:
    """Binance's of USD-M are 2,400 of weight and 1,200 orders a minute, 300 in ten seconds."""
    client = RawClient(both_products(Settings()))
    told = {
        api: [
            (one["rateLimitType"], one["intervalNum"], one["interval"], one["limit"])
            for one in client.public(f"{api}/exchangeInfo")["rateLimits"]
        ]
        for api in ("/api/v3", "/fapi/v1")
    }
    assert told["/api/v3"] == [
        ("REQUEST_WEIGHT", 1, "MINUTE", 6_000), ("ORDERS", 10, "SECOND", 100),
        ("ORDERS", 1, "DAY", 200_000),
    ]  # fmt: skip
    assert told["/fapi/v1"] == [
        ("REQUEST_WEIGHT", 1, "MINUTE", 2_400), ("ORDERS", 10, "SECOND", 300),
        ("ORDERS", 1, "MINUTE", 1_200),
    ]  # fmt: skip
    order = {"symbol": "ETHUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    for path, longer in (("/api/v3/order", "1d"), ("/fapi/v1/order", "1m")):
        signed = client.send("POST", path, client.sign(order))
        shown = {name for name in signed.headers if name.startswith("x-mbx-order-count")}
        assert shown == {"x-mbx-order-count-10s", f"x-mbx-order-count-{longer}"}
        assert signed.headers["x-mbx-order-count-10s"] == "1"


def test_asking_for_the_time_uses_nothing_up() -> None:
    """A session on the exchange's clock asks a hundred times a second, at every speed."""
    made = exchange(
        wavy(60), start_ms=NOW_MS, settings=Settings(limits=Limits(weight_per_minute=2))
    )
    client = RawClient(made)
    for _ in range(20):
        assert client.send("GET", "/api/v3/time", "").status == 200
    assert client.send("GET", "/api/v3/ping", "").headers["x-mbx-used-weight-1m"] == "1"


def test_a_batch_counts_as_its_orders() -> None:
    """Five of two batches fit into a limit of nine, and what is refused does not count."""
    limits = replace(LINEAR_LIMITS, orders_per_ten_seconds=9)
    client = RawClient(both_products(Settings(linear_limits=limits)))

    def send(path: str, **params: object) -> Answer:
        return client.send("POST", path, client.sign(params))

    one = {"symbol": "ETHUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    batch = json.dumps([one] * 5)
    answers = [send("/fapi/v1/batchOrders", batchOrders=batch) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 429]
    assert answers[0].headers["x-mbx-order-count-1m"] == "5"
    assert b"current limit is 9 orders per 10 SECOND" in answers[1].body
    last = [send("/fapi/v1/order", **one) for _ in range(5)]
    assert [answer.status for answer in last] == [200] * 4 + [429]
    assert last[3].headers["x-mbx-order-count-10s"] == "9"


def test_a_path_that_is_not_served_is_said_so(alice: RawClient) -> None:
    """Binance's -5000, which ccxt does not take for an exchange that is out of order."""
    answer = alice.gateway.answer(Request("POST", "/api/v3/orderList/oto"))
    told = json.loads(answer.body)
    assert (answer.status, told["code"]) == (404, -5000)
    assert told["msg"] == "Path /api/v3/orderList/oto, Method POST is invalid"
    for path in ("/api/v3/rateLimit/order", "/fapi/v1/premiumIndexKlines", "/sapi/v1/x"):
        url, body = f"http://127.0.0.1:8080{path}", answer.body.decode()
        with pytest.raises(CCXT.ExchangeError) as caught:
            CCXT.binance().handle_errors(404, "Not Found", url, "GET", {}, body, told, {}, None)
        assert not isinstance(caught.value, CCXT.OperationFailed)  # of which network errors are


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_answers_come_in_the_size_asked_for(alice: RawClient, side: Side) -> None:
    """ACK has the numbers, RESULT the order, FULL its fills too."""
    kinds = {}
    for kind in ("ACK", "RESULT", "FULL"):
        kinds[kind] = alice.order(side, "MARKET", quantity="1", newOrderRespType=kind)[1]
    assert "status" not in kinds["ACK"]
    assert "fills" not in kinds["RESULT"]
    assert kinds["RESULT"]["status"] == "FILLED"
    assert len(kinds["FULL"]["fills"]) == 1
