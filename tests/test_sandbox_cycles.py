"""Full cycles of every unified method: sync, async and pro, by all three ways to point a client.

Spot and USD-M perpetuals; ``api`` replaces the URLs of production, ``test`` and ``demo`` are ccxt's
own switches with their URLs on loopback.
"""

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from linear_sandboxes import PERP, funding
from sandbox_clients import (
    CCXT,
    CCXT_ASYNC,
    CCXT_PRO,
    KEY,
    SECRET,
    START_MS,
    exchange,
    until,
    urls,
    wavy,
)

from seawall.sandbox.contract import make_contract
from seawall.sandbox.exchange import Settings
from seawall.sandbox.server import Server, ServerThread
from seawall.units import HOUR_MS, MINUTE_MS

pytestmark = pytest.mark.slow  # whole sessions and processes

NOW_MS = START_MS + 1500 * MINUTE_MS
ETH, CODE = "ETH/USDT", "ETHUSDT"
PATIENCE = 20.0
KINDS = {"sync": CCXT, "async": CCXT_ASYNC, "pro": CCXT_PRO}
SWITCHES = {"test": "set_sandbox_mode", "demo": "enable_demo_trading"}
TRIGGER = {"trigger": True}
ways = pytest.mark.parametrize("way", ["api", "test", "demo"])
kinds = pytest.mark.parametrize(
    "kind", ["sync", "async", pytest.param("pro", marks=pytest.mark.slow)]
)


@pytest.fixture
def thread() -> Iterator[ServerThread]:
    """Serve a spot market and its perpetual on a clock that is stepped by hand."""
    eth = wavy(2000, PERP)
    rates = funding([0.0001, 0.0002, -0.0001] * 4, first_ms=START_MS)
    made = exchange(
        wavy(2000),
        eth,
        start_ms=NOW_MS,
        futures=100_000.0,
        contracts={PERP: make_contract(eth, spot=wavy(2000), funding=rates)},
        settings=Settings(limits=None),
    )
    with ServerThread(Server(made)) as running:
        yield running


class Cycle:
    """One client, whose methods are awaited whether they are coroutines or not."""

    def __init__(self, thread: ServerThread, kind: str, way: str, name: str) -> None:
        config = {
            "urls": {way: urls(thread.url)}, "apiKey": KEY, "secret": SECRET,
            "enableRateLimit": False,
        }  # fmt: skip
        self.client: Any = getattr(KINDS[kind], name)(config)
        if way in SWITCHES:
            getattr(self.client, SWITCHES[way])(True)
        self.client.milliseconds = thread.server.exchange.clock.now_ms
        if kind == "sync":
            self.client.session.trust_env = False
        self.thread = thread

    async def __call__(self, name: str, *given: object, **named: object) -> Any:
        """Return what a method returns."""
        found = getattr(self.client, name)(*given, **named)
        return await found if inspect.isawaitable(found) else found

    async def step(self, step_ms: int) -> None:
        """Move the exchange's clock."""
        await asyncio.to_thread(self.thread.step, step_ms)

    async def hear(self, name: str, *given: object) -> Any:
        """Return what a watching method returns while the clock is stepped."""
        task = asyncio.ensure_future(getattr(self.client, name)(*given))
        async with asyncio.timeout(PATIENCE):
            while not (await asyncio.wait({task}, timeout=0.02))[0]:
                await self.step(5_000)
        return task.result()

    async def close(self) -> None:
        """Close its sockets."""
        if inspect.iscoroutinefunction(getattr(self.client, "close", None)):
            await self.client.close()
        else:
            self.client.session.close()


@ways
@kinds
def test_spot_from_markets_to_trades(thread: ServerThread, kind: str, way: str) -> None:
    """Each row of the table for spot, and what the rows say of one another."""

    async def run() -> None:
        cycle = Cycle(thread, kind, way, "binance")
        try:
            await _look_at_spot(cycle)
            await _trade_spot(cycle)
        finally:
            await cycle.close()

    asyncio.run(run())


@ways
@kinds
def test_perpetuals_from_markets_to_funding(thread: ServerThread, kind: str, way: str) -> None:
    """Each row of the table for USD-M, and what the rows say of one another."""

    async def run() -> None:
        cycle = Cycle(thread, kind, way, "binanceusdm")
        try:
            await _look_at_perpetuals(cycle)
            await _set_perpetuals(cycle)
            await _trade_perpetuals(cycle)
            await _wait_with_algo_orders(cycle)
        finally:
            await cycle.close()

    asyncio.run(run())


@ways
def test_pro_watches_spot_by_each_way(thread: ServerThread, way: str) -> None:
    """The market, then an order of its own, over the WebSockets of that way."""

    async def run() -> None:
        cycle = Cycle(thread, "pro", way, "binance")
        try:
            await cycle("load_markets")
            await _watch_market(cycle, ETH)
            await _watch_order(cycle, ETH)
        finally:
            await cycle.close()

    asyncio.run(run())


@ways
def test_pro_watches_perpetuals_by_each_way(thread: ServerThread, way: str) -> None:
    """The market and its mark, then an order and its position, over WebSockets."""

    async def run() -> None:
        cycle = Cycle(thread, "pro", way, "binanceusdm")
        try:
            await cycle("load_markets")
            await _watch_market(cycle, PERP)
            assert (await cycle.hear("watch_mark_price", PERP))["markPrice"] > 0
            await _watch_order(cycle, PERP)
        finally:
            await cycle.close()

    asyncio.run(run())


# Spot ---------------------------------------------------------------------------------------------


async def _look_at_spot(cycle: Cycle) -> None:
    markets = await cycle("load_markets")
    assert {ETH, PERP} <= set(markets)
    assert (await cycle("fetch_currencies") or {"ETH": {}})["ETH"] is not None
    assert await cycle("fetch_time") == NOW_MS
    assert (await cycle("fetch_status"))["status"] == "ok"
    rows = await cycle("fetch_ohlcv", ETH, "5m", since=NOW_MS - HOUR_MS, limit=12)
    assert [row[0] for row in rows] == list(range(NOW_MS - HOUR_MS, NOW_MS, 5 * MINUTE_MS))
    ticker = await cycle("fetch_ticker", ETH)
    assert (await cycle("fetch_tickers", [ETH]))[ETH]["last"] == ticker["last"]
    best = (await cycle("fetch_bids_asks", [ETH]))[ETH]
    book = await cycle("fetch_order_book", ETH, 5)
    assert (book["bids"][0][0], book["asks"][0][0]) == (best["bid"], best["ask"])
    trades = await cycle("fetch_trades", ETH, limit=7)
    assert trades[-1]["price"] == ticker["last"]


async def _trade_spot(cycle: Cycle) -> None:
    before = (await cycle("fetch_balance"))["total"]
    bought = await cycle("create_order", ETH, "market", "buy", 0.5)
    resting = await cycle("create_order", ETH, "limit", "buy", 0.1, 2900)
    stop = await cycle("create_order", ETH, "limit", "sell", 0.1, 2800, {"stopPrice": 2850})
    assert [one["status"] for one in (bought, resting, stop)] == ["closed", "open", "open"]
    assert (await cycle("fetch_order", stop["id"], ETH))["triggerPrice"] == 2850
    opened = await cycle("fetch_open_orders", ETH)
    assert {one["id"] for one in opened} == {resting["id"], stop["id"]}
    assert len(await cycle("fetch_orders", ETH)) == 3
    assert len(await cycle("fetch_closed_orders", ETH)) == 1
    assert (await cycle("cancel_order", resting["id"], ETH))["status"] == "canceled"
    assert [one["id"] for one in await cycle("cancel_all_orders", ETH)] == [stop["id"]]
    trades = await cycle("fetch_my_trades", ETH)
    assert sum(one["amount"] for one in trades) == pytest.approx(0.5)
    after = (await cycle("fetch_balance"))["total"]
    assert before["USDT"] - after["USDT"] == pytest.approx(sum(one["cost"] for one in trades))
    assert (await cycle("fetch_trading_fee", ETH))["taker"] == 0.001


# Perpetuals ---------------------------------------------------------------------------------------


async def _look_at_perpetuals(cycle: Cycle) -> None:
    assert set(await cycle("load_markets")) == {PERP}
    for price in (None, "mark", "index"):
        params = {} if price is None else {"price": price}
        since = {"since": NOW_MS - HOUR_MS, "limit": 12, "params": params}
        assert len(await cycle("fetch_ohlcv", PERP, "5m", **since)) == 12
    ticker = await cycle("fetch_ticker", PERP)
    assert ticker["last"] > 0
    best = (await cycle("fetch_bids_asks", [PERP]))[PERP]
    book = await cycle("fetch_order_book", PERP, 5)
    assert (book["bids"][0][0], book["asks"][0][0]) == (best["bid"], best["ask"])
    assert (await cycle("fetch_funding_rate", PERP))["fundingRate"] == 0.0001
    assert set(await cycle("fetch_funding_rates")) == {PERP}
    history = await cycle("fetch_funding_rate_history", PERP, limit=2)
    assert [one["fundingRate"] for one in history] == [-0.0001, 0.0001]
    assert (await cycle("fetch_funding_intervals"))[PERP]["interval"] == "8h"
    assert (await cycle("fetch_open_interest", PERP))["openInterestAmount"] >= 0
    assert await cycle("fetch_open_interest_history", PERP, "5m") == []


async def _set_perpetuals(cycle: Cycle) -> None:
    tiers = await cycle("fetch_leverage_tiers", [PERP])
    assert tiers[PERP][0]["maxLeverage"] == 125
    assert (await cycle("set_leverage", 7, PERP))["leverage"] == 7
    assert (await cycle("fetch_leverages"))[PERP]["longLeverage"] == 7
    assert (await cycle("fetch_position_mode", PERP))["hedged"] is False
    await cycle("set_margin_mode", "isolated", PERP)
    assert (await cycle("fetch_trading_fee", PERP))["taker"] == 0.0005
    with pytest.raises(CCXT.BadRequest, match="-4084"):
        await cycle("set_position_mode", True)


async def _trade_perpetuals(cycle: Cycle) -> None:
    before = (await cycle("fetch_balance"))["USDT"]["total"]
    opened = await cycle("create_order", PERP, "market", "buy", 0.5)
    assert opened["status"] == "closed"
    (held,) = await cycle("fetch_positions", [PERP])
    assert (held["contracts"], held["side"], held["marginMode"]) == (0.5, "long", "isolated")
    only = {"reduceOnly": True}
    resting = await cycle("create_order", PERP, "limit", "sell", 0.5, 3500, only)
    assert (await cycle("fetch_order", resting["id"], PERP))["reduceOnly"]
    assert [one["id"] for one in await cycle("fetch_open_orders", PERP)] == [resting["id"]]
    assert (await cycle("cancel_order", resting["id"], PERP))["status"] == "canceled"
    assert len(await cycle("fetch_orders", PERP)) == 2
    fee = (await cycle("fetch_my_trades", PERP))[-1]["fee"]["cost"]
    await cycle.step(9 * HOUR_MS)
    paid = await cycle("fetch_funding_history", PERP)
    after = (await cycle("fetch_balance"))["USDT"]["total"]
    (held,) = await cycle("fetch_positions", [PERP])
    assert len(paid) == 1
    change = held["unrealizedPnl"] - fee + paid[0]["amount"]
    assert after - before == pytest.approx(change, abs=1e-6)


async def _wait_with_algo_orders(cycle: Cycle) -> None:
    """Stop and take profit wait beside each other; ids of both kinds never meet."""
    stops = [
        await cycle(
            "create_order", PERP, "market", "sell", 0.5, None, {name: price, "reduceOnly": True}
        )
        for name, price in (("stopLossPrice", 2000), ("takeProfitPrice", 4000))
    ]
    numbers = {one["id"] for one in await cycle("fetch_orders", PERP)}
    assert numbers.isdisjoint({one["id"] for one in stops})
    found = await cycle("fetch_order", stops[0]["id"], PERP, TRIGGER)
    assert (found["triggerPrice"], found["status"]) == (2000, "open")
    waiting = await cycle("fetch_open_orders", PERP, params=TRIGGER)
    assert {one["id"] for one in waiting} == {one["id"] for one in stops}
    await cycle("cancel_order", stops[0]["id"], PERP, TRIGGER)
    await cycle("cancel_all_orders", PERP, TRIGGER)
    assert await cycle("fetch_open_orders", PERP, params=TRIGGER) == []


# Streams ------------------------------------------------------------------------------------------


async def _watch_market(cycle: Cycle, symbol: str) -> None:
    candles = await cycle.hear("watch_ohlcv", symbol, "1m")
    assert candles[-1][0] % MINUTE_MS == 0
    assert (await cycle.hear("watch_ticker", symbol))["symbol"] == symbol
    assert (await cycle.hear("watch_trades", symbol))[-1]["symbol"] == symbol
    best = (await cycle.hear("watch_bids_asks", [symbol]))[symbol]
    assert best["bid"] < best["ask"]
    book = await cycle.hear("watch_order_book", symbol)
    assert book["bids"][0][0] < book["asks"][0][0]


async def _watch_order(cycle: Cycle, symbol: str) -> None:
    """Orders that are placed while their account is listened to are heard of, filled and paid.

    Another is placed where one of the three was not waiting yet: they share one connection.
    """
    watching = [
        asyncio.ensure_future(getattr(cycle.client, name)())
        for name in ("watch_orders", "watch_my_trades", "watch_balance")
    ]
    hub = cycle.thread.server.hubs["stream" if symbol == ETH else "fstream"]
    await until(lambda: cycle.thread.call(lambda: hub.is_heard("alice")))
    made = set()
    async with asyncio.timeout(PATIENCE):
        while not all(one.done() for one in watching):
            made.add((await cycle("create_order", symbol, "market", "buy", 0.5))["id"])
            await asyncio.wait(watching, timeout=0.5)
    orders, trades, _ = (one.result() for one in watching)
    assert {orders[-1]["id"], trades[-1]["order"]} <= made
    await until(lambda: cycle.client.orders[-1]["status"] == "closed")
