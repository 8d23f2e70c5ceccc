"""A recorded day of minutes at 8,640 times the wall: all that is served is the source.

Bitcoin on Binance US on 2023-03-13, when it rose by an eighth: 1,440 minutes in ten seconds, each
with volume.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import numpy as np
import pytest
from sandbox_clients import KEY, SECRET, RawClient, close, spot_client

from seawall.market.catalog import Catalog
from seawall.market.series import Candles
from seawall.sandbox.exchange import Settings
from seawall.sandbox.market import Liquidity
from seawall.sandbox.opening import Opening, open_exchange
from seawall.sandbox.orders import Order, Trade
from seawall.sandbox.server import Server, ServerThread
from seawall.units import BPS, DAY_MS, MINUTE_MS, to_duration_ms, to_time_ms

pytestmark = pytest.mark.slow
DAY = to_time_ms("2023-03-13")
SPEED = 8_640.0
SPREAD_BPS = 1.0
INTERVALS = ("1m", "5m", "15m", "1h", "4h", "1d")
FILE = Path("candles") / "binanceus" / "BTC-USDT-1m.parquet"
BTC, CODE = "BTC/USDT", "BTCUSDT"
RUNGS = [k * 0.0025 for k in range(1, 41)]  # of the ladders: to 10% on either side


class Replay(NamedTuple):
    """What a day has left: the source, what was heard, and the orders that waited for it."""

    thread: ServerThread
    source: Candles
    events: list[dict[str, Any]]
    orders: list[Order]


@pytest.fixture(scope="module")
def replay(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    """Let the day pass on a running clock, over a real WebSocket, with orders on either side."""
    opening = Opening(
        markets=(str(shared_data / FILE),), since_ms=DAY, speed=SPEED,
        liquidity=Liquidity(spread_bps=SPREAD_BPS),
    )  # fmt: skip
    catalog = Catalog(tmp_path_factory.mktemp("catalog"))
    made, _ = open_exchange(opening, catalog, now_ms=0, settings=Settings(limits=None))
    made.open_account("alice", key=KEY, secret=SECRET, balances={"USDT": 1e7, "BTC": 1e3})
    alice = RawClient(made)
    price = made.all_markets[0].price / 1e8
    for away in RUNGS:
        for side, sign in (("BUY", -1), ("SELL", 1)):
            limit = f"{price * (1 + sign * away):.2f}"
            shape = {"quantity": "0.01", "price": limit, "timeInForce": "GTC"}
            alice.signed(
                "POST", "/api/v3/order", symbol=CODE, side=side, type="LIMIT", recvWindow=60_000,
                **shape,
            )  # fmt: skip
    with ServerThread(Server(made)) as thread:
        events = asyncio.run(listen(thread.url))
        source = made.all_markets[0].candles.between(DAY, DAY + DAY_MS)
        orders = list(made.accounts.by_name["alice"].history(CODE).orders.values())
        yield Replay(thread, source, events, orders)


async def listen(url: str) -> list[dict[str, Any]]:
    """Return the klines that close until the day is over, as they come."""
    names = "/".join(f"btcusdt@kline_{interval}" for interval in INTERVALS)
    closed = []
    async with (
        asyncio.timeout(120),
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/stream/stream?streams={names}", max_msg_size=0) as socket,
    ):
        async for message in socket:
            kline = json.loads(message.data)["data"]["k"]
            if kline["x"]:
                closed.append(kline)
                if kline["i"] == "1d":
                    break
    return closed


def added_up(source: Candles, interval: str) -> np.ndarray:
    """Return the source's bars of an interval: time, open, high, low, close, volume."""
    n = to_duration_ms(interval) // MINUTE_MS
    return np.column_stack(
        [
            source.time_ms[::n],
            source.open[::n],
            source.high.reshape(-1, n).max(axis=1),
            source.low.reshape(-1, n).min(axis=1),
            source.close[n - 1 :: n],
            source.volume.reshape(-1, n).sum(axis=1),
        ]
    )


@pytest.mark.parametrize("interval", INTERVALS)
def test_every_kline_that_was_sent_is_the_source(replay: Replay, interval: str) -> None:
    """Each closed once, in order, from the first that was heard; prices equal to the bit."""
    heard = np.array(
        [
            [float(one[name]) for name in ("t", "o", "h", "l", "c", "v")]
            for one in replay.events
            if one["i"] == interval
        ]
    )
    wanted = added_up(replay.source, interval)
    n_missed = int(np.searchsorted(wanted[:, 0], heard[0, 0]))
    assert n_missed * to_duration_ms(interval) < 3 * 60 * MINUTE_MS  # until it was listened
    assert np.array_equal(heard[:, :5], wanted[n_missed:, :5])
    np.testing.assert_allclose(heard[:, 5], wanted[n_missed:, 5], rtol=1e-12)


@pytest.mark.parametrize("interval", INTERVALS)
def test_every_kline_that_is_asked_for_is_the_source(replay: Replay, interval: str) -> None:
    """By an unmodified ccxt client, page by page."""
    client: Any = spot_client(replay.thread, key="")
    rows: list[list[float]] = []
    step_ms, since_ms = to_duration_ms(interval), DAY
    while since_ms < DAY + DAY_MS:
        rows += client.fetch_ohlcv(BTC, interval, since=since_ms, limit=500)
        since_ms = int(rows[-1][0]) + step_ms
    close(client)
    served = np.array([row for row in rows if row[0] < DAY + DAY_MS])
    wanted = added_up(replay.source, interval)
    assert np.array_equal(served[:, :5], wanted[:, :5])
    np.testing.assert_allclose(served[:, 5], wanted[:, 5], rtol=1e-12)


def test_every_fill_is_one_that_the_source_allows(replay: Replay) -> None:
    """At its own price, in the first minute whose extreme passes it; what no minute passes, waits.

    A bid is met once the best ask, the last price and half a spread, has come down to it.
    """
    source = replay.source
    trades: dict[int, list[Trade]] = {}
    account = replay.thread.server.exchange.accounts.by_name["alice"]
    for trade in account.history(CODE).trades:
        trades.setdefault(trade.order_id, []).append(trade)
    assert len(replay.orders) == 2 * len(RUNGS)
    reached = 0
    for order in replay.orders:
        price = order.price / 1e8
        surely = np.flatnonzero(
            source.low * (1 + SPREAD_BPS * BPS) + 0.01 < price
            if order.is_buy
            else source.high * (1 - SPREAD_BPS * BPS) - 0.01 > price
        )
        done = trades.get(order.order_id, [])
        if not len(surely):
            assert order.filled == 0 or abs(price / extreme(source, order) - 1) < 2 * BPS
            continue
        reached += 1
        assert order.status == "FILLED"
        assert sum(one.quantity for one in done) == order.quantity
        for one in done:
            bar = int((one.time_ms - DAY) // MINUTE_MS)
            assert one.is_maker
            assert one.price == order.price
            assert source.low[bar] <= price <= source.high[bar]
            assert bar <= surely[0] + 2  # the share of a print may take a minute or two more
    assert reached > len(RUNGS) // 2


def extreme(source: Candles, order: Order) -> float:
    """Return the day's price that was best for an order."""
    return float(source.low.min() if order.is_buy else source.high.max())


def test_no_minute_gives_more_than_its_volume(replay: Replay) -> None:
    """A quarter of each print at the most, to all orders together."""
    given = np.zeros(len(replay.source))
    account = replay.thread.server.exchange.accounts.by_name["alice"]
    for trade in account.history(CODE).trades:
        given[int((trade.time_ms - DAY) // MINUTE_MS)] += trade.quantity / 1e8
    assert given.sum() > 0.1
    assert np.all(given <= 0.25 * replay.source.volume + 1e-9)
