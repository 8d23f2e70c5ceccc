"""The sandbox's streams of perpetuals: markets, accounts by listen key, and ``ws-fapi``."""

import asyncio
import json
from itertools import pairwise
from typing import Any

import aiohttp
from linear_sandboxes import (
    BTC_PERP,
    CODE,
    PERP,
    algo,
    flat,
    funding,
    glide,
    mark_as,
    order,
    perpetuals,
)
from sandbox_clients import (
    PATIENCE,
    START_MS,
    Body,
    RawClient,
    drain,
    exchange,
    pro_usdm_client,
    run_with_client,
    step,
    until,
    until_heard,
    wavy,
)

from seawall.sandbox.contract import make_contract
from seawall.sandbox.exchange import Exchange
from seawall.sandbox.linear_feed import UserStreams, open_linear_hub
from seawall.sandbox.server import Server, ServerThread
from seawall.sandbox.streams import Connection, Hub
from seawall.units import HOUR_MS, MINUTE_MS

NOW_MS = START_MS + 100 * MINUTE_MS


def listening(made: Exchange) -> tuple[Hub, UserStreams, Connection, str]:
    """Return a connection that hears what happens to Alice, and her key."""
    hub, users = open_linear_hub(made)
    key = RawClient(made).signed("POST", "/fapi/v1/listenKey")[1]["listenKey"]
    connection = Connection()
    hub.connections.add(connection)
    assert users.open(connection, key)
    return hub, users, connection, key


def test_markets_send_what_they_are() -> None:
    """Every channel once per print; futures' shapes, and a depth that joins to the one before."""
    candles = wavy(50, PERP)
    made = perpetuals(candles)
    hub, connection = open_linear_hub(made)[0], Connection()
    names = [
        f"ethusdt@{channel}"
        for channel in (
            *("aggTrade", "trade", "miniTicker", "ticker", "bookTicker", "markPrice@1s"),
            *("depth5@100ms", "kline_1m"),
        )
    ]
    for name in (*names, "!markPrice@arr@1s", "!ticker@arr", "ethusdt@forceOrder"):
        assert hub.subscribe(connection, name), name
    step(made, 5_000)
    events = drain(connection)
    single = {one["e"]: one for one in events if isinstance(one, dict)}
    assert set(single) == {
        "aggTrade", "trade", "24hrMiniTicker", "24hrTicker", "bookTicker", "markPriceUpdate",
        "depthUpdate", "kline",
    }  # fmt: skip
    assert "b" not in single["24hrTicker"]
    assert (single["bookTicker"]["s"], single["bookTicker"]["E"]) == (CODE, START_MS + 5_000)
    assert single["markPriceUpdate"]["T"] == START_MS + 8 * HOUR_MS
    assert [one[0]["e"] for one in events if isinstance(one, list)] == [
        "markPriceUpdate", "24hrTicker",
    ]  # fmt: skip
    for name in ("ethusdt@kline_7m", "dogeusdt@trade", "ethusdt@depth7"):
        assert not hub.subscribe(connection, name)


def test_depth_updates_join() -> None:
    """Each update names the one before it, and the first covers the snapshot."""
    made = perpetuals(wavy(50, PERP))
    alice, connection = RawClient(made), Connection()
    hub = open_linear_hub(made)[0]
    hub.subscribe(connection, "ethusdt@depth")
    snapshot = alice.public("/fapi/v1/depth", symbol=CODE, limit=1000)
    step(made, 3 * MINUTE_MS)
    updates = drain(connection)
    assert updates[0]["U"] <= snapshot["lastUpdateId"] + 1 <= updates[0]["u"]
    for before, after in pairwise(updates):
        assert after["pu"] == before["u"]


def test_an_account_hears_of_orders_money_and_conditional_orders() -> None:
    """A fill is told by wallet and position, then by the order; a stop through all its stages."""
    made = perpetuals(glide([3000, 2900], 20))
    _, _, connection, _ = listening(made)
    alice = RawClient(made)
    alice.signed("POST", "/fapi/v1/leverage", symbol=CODE, leverage=10)
    order(alice, "BUY", "MARKET", quantity="1", newClientOrderId="buy-1")
    algo(alice, "SELL", "STOP_MARKET", triggerPrice="2950", quantity="1", reduceOnly="true")
    step(made, 20 * MINUTE_MS)
    events = drain(connection)
    said = [
        (one["e"], one["o"]["X"]) if "o" in one else (one["e"], one.get("a", {}).get("m"))
        for one in events
    ]
    assert said == [
        ("ACCOUNT_CONFIG_UPDATE", None),
        ("ORDER_TRADE_UPDATE", "NEW"),
        ("ACCOUNT_UPDATE", "ORDER"),
        ("ORDER_TRADE_UPDATE", "FILLED"),
        ("ALGO_UPDATE", "NEW"),
        ("ALGO_UPDATE", "TRIGGERING"),
        ("ORDER_TRADE_UPDATE", "NEW"),
        ("ALGO_UPDATE", "TRIGGERED"),
        ("ACCOUNT_UPDATE", "ORDER"),
        ("ORDER_TRADE_UPDATE", "FILLED"),
        ("ALGO_UPDATE", "FINISHED"),
    ]
    bought = events[3]["o"]
    assert (bought["c"], bought["x"], bought["n"], bought["rp"]) == (
        "buy-1", "TRADE", "1.50007500", "0.00000000",
    )  # fmt: skip
    change = events[2]["a"]
    assert change["P"][0]["pa"] == "1.00000000"
    assert change["B"][0]["wb"] == "9998.49992500"
    assert float(events[9]["o"]["rp"]) < -50
    assert [one["E"] for one in events] == sorted(one["E"] for one in events)


def test_funding_and_liquidation_are_told() -> None:
    """Funding changes the wallet; a liquidation is the exchange's order, told to everybody."""
    candles = glide([3000, 2600], 9 * 60)
    rates = funding([0.001], first_ms=START_MS + HOUR_MS, interval="1h")
    made = perpetuals(candles, contract=make_contract(candles, funding=rates))
    hub, _, connection, _ = listening(made)
    public = Connection()
    for name in ("!forceOrder@arr", "ethusdt@forceOrder"):
        hub.subscribe(public, name)
    alice = RawClient(made)
    alice.signed("POST", "/fapi/v1/marginType", symbol=CODE, marginType="ISOLATED")
    order(alice, "BUY", "MARKET", quantity="1")
    drain(connection)
    step(made, HOUR_MS - 1)  # a listen key lives for an hour
    alice.signed("PUT", "/fapi/v1/listenKey")
    step(made, HOUR_MS - 1)
    alice.signed("PUT", "/fapi/v1/listenKey")
    step(made, HOUR_MS - 1)
    alice.signed("PUT", "/fapi/v1/listenKey")
    step(made, HOUR_MS - 1)
    events = drain(connection)
    assert events[0]["a"]["m"] == "FUNDING_FEE"
    assert events[0]["a"]["P"][0]["iw"] != "0.00000000"
    last = events[-1]["o"]
    assert (last["x"], last["X"], last["ot"]) == ("CALCULATED", "FILLED", "LIQUIDATION")
    assert last["c"].startswith("autoclose-")
    told = drain(public)
    assert told[0]["o"]["s"] == CODE
    assert told[0] == told[1]  # by the market's stream, and by that of all


def test_a_listen_key_lives_for_an_hour_and_is_prolonged() -> None:
    """One key for an account; it ends with an event, after which nothing more is said."""
    made = perpetuals(flat(300))
    hub, users, connection, key = listening(made)
    alice = RawClient(made)
    step(made, HOUR_MS - 1)
    assert alice.signed("POST", "/fapi/v1/listenKey")[1]["listenKey"] == key
    step(made, HOUR_MS - 1)
    assert drain(connection) == []
    step(made, 2 * HOUR_MS)
    assert drain(connection) == [
        {"e": "listenKeyExpired", "E": START_MS + 2 * HOUR_MS - 1, "listenKey": key}
    ]
    order(alice, "BUY", "MARKET", quantity="1")
    assert drain(connection) == []
    assert not hub.is_heard("alice")
    refused = alice.signed("PUT", "/fapi/v1/listenKey")[1]
    assert refused == {"code": -1125, "msg": "This listenKey does not exist."}
    fresh = alice.signed("POST", "/fapi/v1/listenKey")[1]["listenKey"]
    assert fresh != key
    assert not users.open(Connection(), key)
    assert users.open(connection, fresh)
    alice.signed("DELETE", "/fapi/v1/listenKey")
    assert connection.queue.get_nowait() == "close"


def test_what_happens_after_a_key_has_expired_is_not_told() -> None:
    """One step of two hours: the bid at 2,950 fills in the first, that at 2,850 in the second."""
    made = perpetuals(glide([3000, 2800], 120))
    alice = RawClient(made)
    for price in ("2950", "2850"):
        order(alice, "BUY", "LIMIT", quantity="1", price=price, timeInForce="GTC")
    connection = listening(made)[2]
    step(made, 2 * HOUR_MS)
    events = drain(connection)
    filled = [one["o"]["p"] for one in events if one["e"] == "ORDER_TRADE_UPDATE"]
    assert filled == ["2950.00000000"]
    assert events[-1]["e"] == "listenKeyExpired"


def with_pro(body: Body) -> None:
    """Run a coroutine with a served exchange and an unmodified ccxt.pro client."""
    eth = wavy(800, PERP)
    mark = mark_as(eth, [*eth.open.tolist(), float(eth.close[-1])])
    made = exchange(
        eth,
        wavy(800, BTC_PERP, 60_000.0),
        start_ms=NOW_MS,
        futures=100_000.0,
        contracts={PERP: make_contract(eth, mark=mark)},
    )
    with ServerThread(Server(made)) as thread:
        run_with_client(thread, pro_usdm_client, body)


def test_ccxt_pro_watches_the_market() -> None:
    """Candles, tickers, marks, trades, bids and asks, and the order book."""

    async def body(thread: ServerThread, client: Any) -> None:
        candles = await until_heard(thread, client.watch_ohlcv(PERP, "1m"))
        assert candles[-1][0] >= NOW_MS
        ticker = await until_heard(thread, client.watch_ticker(PERP))
        assert (ticker["symbol"], ticker["last"] > 0) == (PERP, True)
        tickers = await until_heard(thread, client.watch_tickers([PERP, BTC_PERP]))
        assert set(tickers) <= {PERP, BTC_PERP}
        mark = await until_heard(thread, client.watch_mark_price(PERP))
        assert mark["markPrice"] > 0
        marks = await until_heard(thread, client.watch_mark_prices())
        assert set(marks) <= {PERP, BTC_PERP}
        trades = await until_heard(thread, client.watch_trades(PERP))
        assert trades[-1]["symbol"] == PERP
        best = await until_heard(thread, client.watch_bids_asks([PERP]))
        assert best[PERP]["bid"] < best[PERP]["ask"]
        book = await until_heard(thread, client.watch_order_book(PERP))
        assert book["bids"][0][0] < book["asks"][0][0]

    with_pro(body)


def test_ccxt_pro_watches_its_account() -> None:
    """Orders, trades, balance and positions of an order that is filled while it is watched."""

    async def body(thread: ServerThread, client: Any) -> None:
        orders = asyncio.ensure_future(client.watch_orders(PERP))
        trades = asyncio.ensure_future(client.watch_my_trades(PERP))
        balance = asyncio.ensure_future(client.watch_balance())
        positions = asyncio.ensure_future(client.watch_positions([PERP]))
        hub = thread.server.hubs["fstream"]
        await until(lambda: thread.call(lambda: hub.is_heard("alice")))
        await asyncio.sleep(0.3)  # the four share one connection; let all of them wait
        made = await client.create_order(PERP, "market", "buy", 0.5)
        await asyncio.wait_for(orders, PATIENCE)
        await until(lambda: client.orders[-1]["status"] == "closed")
        assert client.orders[-1]["id"] == made["id"]
        fill = (await asyncio.wait_for(trades, PATIENCE))[-1]
        assert (fill["order"], fill["amount"], fill["takerOrMaker"]) == (made["id"], 0.5, "taker")
        held = await asyncio.wait_for(balance, PATIENCE)
        assert 99_990 < held["USDT"]["total"] < 100_000
        await asyncio.wait_for(positions, PATIENCE)  # the first is a snapshot, which was empty
        await until(lambda: client.positions["linear"])
        seen = client.positions["linear"][-1]
        assert (seen["symbol"], seen["contracts"]) == (PERP, 0.5)
        news = asyncio.ensure_future(client.watch_orders(PERP))
        params = {"stopLossPrice": 2000, "reduceOnly": True}
        stop = await client.create_order(PERP, "market", "sell", 0.5, None, params)
        await asyncio.wait_for(news, PATIENCE)
        assert client.orders[-1]["clientOrderId"] == stop["clientOrderId"]

    with_pro(body)


def test_ccxt_pro_trades_over_the_websocket_api() -> None:
    """Orders placed, changed and cancelled, balance and positions, all over ``ws-fapi``."""

    async def body(_thread: ServerThread, client: Any) -> None:
        placed = await client.create_order_ws(PERP, "limit", "buy", 0.5, 2900)
        assert placed["status"] == "open"
        assert (await client.fetch_order_ws(placed["id"], PERP))["price"] == 2900.0
        edited = await client.edit_order_ws(placed["id"], PERP, "limit", "buy", 0.6, 2890)
        assert edited["price"] == 2890.0
        assert (await client.cancel_order_ws(placed["id"], PERP))["status"] == "canceled"
        await client.create_order_ws(PERP, "market", "buy", 0.5)
        held = await client.fetch_positions_ws([PERP])
        assert (held[0]["contracts"], held[0]["side"]) == (0.5, "long")
        assert (await client.fetch_balance_ws())["USDT"]["total"] > 99_990
        stop = {"stopLossPrice": 2000, "reduceOnly": True}
        waiting = await client.create_order_ws(PERP, "market", "sell", 0.5, None, stop)
        assert waiting["triggerPrice"] == 2000.0
        ticker = await client.fetch_ticker_ws(PERP)
        assert ticker["bid"] < ticker["ask"]
        book = await client.fetch_order_book_ws(PERP)
        assert book["bids"][0][0] == ticker["bid"]

    with_pro(body)


def test_a_listen_key_may_stand_in_the_path() -> None:
    """Beside the query, ``/ws/KEY`` and ``/stream?streams=KEY`` open an account's stream."""
    made = perpetuals(flat(60))
    with ServerThread(Server(made)) as thread:

        async def run() -> None:
            key = thread.call(lambda: RawClient(made).signed("POST", "/fapi/v1/listenKey"))[1]
            text = key["listenKey"]
            ways = (f"/private/ws?listenKey={text}", f"/ws/{text}", f"/stream?streams={text}")
            async with aiohttp.ClientSession() as session:
                for way in ways:
                    async with session.ws_connect(f"{thread.url}/fstream{way}") as socket:
                        await asyncio.sleep(0.05)
                        await asyncio.to_thread(
                            thread.call,
                            lambda: order(RawClient(made), "BUY", "MARKET", quantity="1"),
                        )
                        heard = json.loads((await socket.receive(timeout=PATIENCE)).data)
                        event = heard.get("data", heard)
                        assert event["e"] == "ORDER_TRADE_UPDATE"

        asyncio.run(run())
