"""The sandbox's WebSockets: market streams, the WebSocket API and an account's events."""

import asyncio
import json
from itertools import pairwise
from typing import Any

import aiohttp
import numpy as np
import pytest
from sandbox_clients import (
    CCXT,
    KEY,
    PATIENCE,
    SECRET,
    START_MS,
    Body,
    RawClient,
    drain,
    exchange,
    pro_client,
    run_with_client,
    step,
    until,
    until_heard,
    wavy,
)

from seawall.sandbox.exchange import Exchange
from seawall.sandbox.gateway import Gateway
from seawall.sandbox.server import Server, ServerThread, all_routes
from seawall.sandbox.spot_feed import open_spot_hub
from seawall.sandbox.streams import MOST_WAITING, Connection, Hub
from seawall.sandbox.ws_api import WsApi
from seawall.units import MINUTE_MS

NOW_MS = START_MS + 100 * MINUTE_MS
ETH = "ETH/USDT"


def listening(made: Exchange, *names: str) -> tuple[Hub, Connection]:
    """Return a hub and a connection that has subscribed to streams."""
    hub, connection = open_spot_hub(made), Connection()
    for name in names:
        assert hub.subscribe(connection, name)
    return hub, connection


def test_a_day_of_streams_is_the_source() -> None:
    """Closed klines equal the bars to the bit, and the trades between add up to them."""
    source = wavy(400)
    made = exchange(source, start_ms=START_MS)
    _, connection = listening(made, "ethusdt@kline_1m", "ethusdt@aggTrade", "ethusdt@kline_5m")
    step(made, 300 * MINUTE_MS)
    events = drain(connection)
    closed = [e["k"] for e in events if e["e"] == "kline" and e["k"]["x"] and e["k"]["i"] == "1m"]
    assert [one["t"] for one in closed] == source.time_ms[:300].tolist()
    for name, field in (
        ("open", "o"),
        ("high", "h"),
        ("low", "l"),
        ("close", "c"),
        ("volume", "v"),
    ):
        served = np.array([float(one[field]) for one in closed])
        assert np.array_equal(served, getattr(source, name)[:300]), name
    coarse = [e["k"] for e in events if e["e"] == "kline" and e["k"]["x"] and e["k"]["i"] == "5m"]
    assert len(coarse) == 60
    assert float(coarse[7]["h"]) == source.high[35:40].max()
    trades = [e for e in events if e["e"] == "aggTrade" and e["T"] < START_MS + 300 * MINUTE_MS]
    # The first bar's first print was there before anybody listened.
    assert sum(float(e["q"]) for e in trades[11:]) == pytest.approx(source.volume[1:300].sum())
    assert [e["E"] for e in events] == sorted(e["E"] for e in events)


def test_depth_updates_carry_a_snapshot_forward() -> None:
    """A book kept by Binance's rule, snapshot then updates, is the exchange's at any print."""
    made = exchange(wavy(50), start_ms=START_MS)
    alice = RawClient(made)
    _, connection = listening(made, "ethusdt@depth@100ms")
    snapshot = alice.public("/api/v3/depth", symbol="ETHUSDT", limit=5000)
    book = {side: dict(snapshot[side]) for side in ("bids", "asks")}
    alice.order("BUY", "LIMIT", quantity="1", price="2990", timeInForce="GTC")
    step(made, 3 * MINUTE_MS)
    updates = [e for e in drain(connection) if e["u"] > snapshot["lastUpdateId"]]
    assert updates[0]["U"] <= snapshot["lastUpdateId"] + 1 <= updates[0]["u"]
    for before, after in pairwise(updates):
        assert after["U"] == before["u"] + 1
    for update in updates:
        for side, field in (("bids", "b"), ("asks", "a")):
            book[side].update(dict(update[field]))
    now = alice.public("/api/v3/depth", symbol="ETHUSDT", limit=5000)
    for side in ("bids", "asks"):
        kept = {p: q for p, q in book[side].items() if float(q) > 0}
        assert kept == dict(now[side])


def test_a_connection_that_does_not_read_is_given_up_once() -> None:
    """What piles up is bounded: the last that is put in line is the end, and nothing after it."""
    connection = Connection()
    for _ in range(MOST_WAITING + 100):
        connection.send("x")
    assert connection.queue.qsize() == MOST_WAITING + 2
    waiting = [connection.queue.get_nowait() for _ in range(MOST_WAITING + 2)]
    assert waiting.index("drop") == MOST_WAITING + 1


def test_every_stream_has_its_name_and_unknown_ones_have_none() -> None:
    """All channels of the market send once per print; a stream that is not there is refused."""
    made = exchange(wavy(50), start_ms=START_MS)
    names = [
        f"ethusdt@{channel}"
        for channel in ("trade", "miniTicker", "ticker", "bookTicker", "depth5", "depth20@100ms")
    ]
    hub, connection = listening(made, *names, "!miniTicker@arr", "!bookTicker")
    step(made, 5_000)
    assert len(drain(connection)) == 8
    for name in ("ethusdt@kline_7m", "dogeusdt@trade", "ethusdt@nothing", "ethusdt@depth7"):
        assert not hub.subscribe(connection, name)
    for name in list(connection.names):
        hub.unsubscribe(connection, name)
    assert not hub.is_watched(made.all_markets[0])
    step(made, MINUTE_MS)
    assert drain(connection) == []


def test_an_account_hears_of_its_orders_and_nobody_elses() -> None:
    """New, trade and cancel in order, each followed by the balances; wrapped with a number."""
    made = exchange(wavy(50), start_ms=START_MS)
    hub = open_spot_hub(made)
    api = WsApi(Gateway(made, all_routes()), hub)
    alice, bob = RawClient(made), RawClient(made, "key-of-bob-b", "secret-of-bob")
    connection = Connection()
    reply = json.loads(api.answer(connection, subscribe_text(made), "127.0.0.1"))
    assert (reply["status"], reply["result"]) == (200, {"subscriptionId": 0})
    alice.order("BUY", "MARKET", quantity="1", newClientOrderId="buy-1")
    bob.order("BUY", "MARKET", quantity="1")
    alice.order("BUY", "LIMIT", quantity="1", price="2900", timeInForce="GTC")
    alice.signed("DELETE", "/api/v3/openOrders", symbol="ETHUSDT")
    events = [message["event"] for message in drain(connection)]
    reports = [e for e in events if e["e"] == "executionReport"]
    assert [(e["x"], e["X"], e["i"]) for e in reports] == [
        ("NEW", "NEW", 1), ("TRADE", "FILLED", 1), ("NEW", "NEW", 3), ("CANCELED", "CANCELED", 3),
    ]  # fmt: skip
    assert reports[1]["c"] == "buy-1"
    last = [e for e in events if e["e"] == "outboundAccountPosition"][-1]
    account = alice.signed("GET", "/api/v3/account")[1]["balances"]
    for entry in last["B"]:
        same = next(one for one in account if one["asset"] == entry["a"])
        assert (same["free"], same["locked"]) == (entry["f"], entry["l"])


def subscribe_text(made: Exchange, *, secret: str = SECRET) -> str:
    """Return the request for user events, signed over the parameters sorted by name."""
    return signed_text(made, "userDataStream.subscribe.signature", {}, secret=secret)


def signed_text(
    made: Exchange, method: str, params: dict[str, str], *, secret: str = SECRET
) -> str:
    """Return a signed request of the WebSocket API."""
    import hashlib  # noqa: PLC0415 - what a client does, beside it
    import hmac  # noqa: PLC0415

    sent = {"apiKey": KEY, "timestamp": str(made.clock.now_ms()), **params}
    payload = "&".join(f"{name}={sent[name]}" for name in sorted(sent))
    sent["signature"] = hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
    return json.dumps({"id": "7", "method": method, "params": sent})


def test_the_websocket_api_trades_as_http_does() -> None:
    """An order placed and cancelled; wrong signatures, methods and texts are refused."""
    made = exchange(wavy(50), start_ms=START_MS)
    api = WsApi(Gateway(made, all_routes()), open_spot_hub(made))
    connection = Connection()

    def ask(text: str) -> Any:
        return json.loads(api.answer(connection, text, "127.0.0.1"))

    order = {
        "symbol": "ETHUSDT", "side": "BUY", "type": "LIMIT",
        "quantity": "1", "price": "2900", "timeInForce": "GTC",
    }  # fmt: skip
    placed = ask(signed_text(made, "order.place", order))
    assert (placed["id"], placed["status"], placed["result"]["status"]) == ("7", 200, "NEW")
    one = {"symbol": "ETHUSDT", "orderId": "1"}
    assert ask(signed_text(made, "order.cancel", one))["result"]["status"] == "CANCELED"
    again = ask(signed_text(made, "order.cancel", one))
    assert (again["status"], again["error"]["code"]) == (400, -2011)
    assert ask(subscribe_text(made, secret=KEY))["error"]["code"] == -1022
    assert ask('{"id":1,"method":"session.logon"}')["status"] == 400
    assert ask("no json")["error"]["code"] == -1135
    klines = ask('{"id":2,"method":"klines","params":{"symbol":"ETHUSDT","interval":"1m"}}')
    assert klines["result"][0][0] == START_MS


def with_pro(body: Body) -> None:
    """Run a coroutine with a served exchange and an unmodified ccxt.pro client."""
    made = exchange(wavy(400), start_ms=NOW_MS)
    with ServerThread(Server(made)) as thread:
        run_with_client(thread, pro_client, body)


def test_ccxt_pro_watches_the_market() -> None:
    """Candles, tickers, trades, bids and the order book arrive as ccxt's own structures."""

    async def body(thread: ServerThread, client: Any) -> None:
        candles = await until_heard(thread, client.watch_ohlcv(ETH, "1m"))
        assert candles[-1][0] >= NOW_MS
        ticker = await until_heard(thread, client.watch_ticker(ETH))
        assert (ticker["symbol"], ticker["last"] > 0) == (ETH, True)
        trades = await until_heard(thread, client.watch_trades(ETH))
        assert trades[-1]["symbol"] == ETH
        best = await until_heard(thread, client.watch_bids_asks([ETH]))
        assert best[ETH]["bid"] < best[ETH]["ask"]
        book = await until_heard(thread, client.watch_order_book(ETH))
        assert book["bids"][0][0] < book["asks"][0][0]

    with_pro(body)


def test_ccxt_pro_watches_its_account() -> None:
    """Orders, trades and balances of an order that is filled while it is watched."""

    async def body(thread: ServerThread, client: Any) -> None:
        watching = asyncio.ensure_future(client.watch_orders(ETH))
        balance = asyncio.ensure_future(client.watch_balance())
        hub = thread.server.hub
        while not await asyncio.to_thread(thread.call, lambda: hub.is_heard("alice")):
            pass
        made = await client.create_order(ETH, "market", "buy", 0.5)
        orders = await asyncio.wait_for(watching, PATIENCE)
        assert orders[-1]["id"] == made["id"]
        # The news of its acceptance may come alone, that of the fill before anybody waits again:
        # the client's own book of orders is what both are written into.
        await until(lambda: client.orders[-1]["status"] == "closed")
        held = await asyncio.wait_for(balance, PATIENCE)
        assert held["ETH"]["total"] > 100
        placed = await client.create_order_ws(ETH, "limit", "buy", 0.5, 2900)
        assert placed["status"] == "open"
        assert (await client.cancel_order_ws(placed["id"], ETH))["status"] == "canceled"

    with_pro(body)


@pytest.mark.parametrize("how", ["drop", "close"])
def test_a_lost_connection_is_a_network_error_and_the_next_call_subscribes_again(how: str) -> None:
    """Abrupt or with a closing frame: the waiting method fails, the next one hears again."""

    async def body(thread: ServerThread, client: Any) -> None:
        await until_heard(thread, client.watch_trades(ETH))
        waiting = asyncio.ensure_future(client.watch_trades(ETH))

        def cut() -> None:
            for connection in list(thread.server.hub.connections):
                connection.end("drop" if how == "drop" else "close")

        thread.call(cut)
        with pytest.raises(CCXT.NetworkError):
            await asyncio.wait_for(waiting, PATIENCE)
        assert await until_heard(thread, client.watch_trades(ETH))

    with_pro(body)


def test_a_stream_can_be_named_in_its_address_and_listed() -> None:
    """Combined streams wrap each event with its stream's name."""
    made = exchange(wavy(60), start_ms=START_MS)
    with ServerThread(Server(made)) as thread:

        async def run() -> None:
            url = thread.url + "/stream/stream?streams=ethusdt@trade/ethusdt@bookTicker"
            async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
                await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 3})
                listed = await socket.receive_json(timeout=PATIENCE)
                assert listed == {"result": ["ethusdt@bookTicker", "ethusdt@trade"], "id": 3}
                await asyncio.to_thread(thread.step, 5_000)
                heard = [await socket.receive_json(timeout=PATIENCE) for _ in range(2)]
                assert {one["stream"] for one in heard} == {"ethusdt@bookTicker", "ethusdt@trade"}
                await socket.send_str("[1]")
                assert "error" in await socket.receive_json(timeout=PATIENCE)

        asyncio.run(run())
