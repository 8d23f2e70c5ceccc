"""A guarded client's WebSockets on the local exchange: market and user streams pass the guard."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from paper_desk import SYMBOL
from sandbox_clients import KEY, SECRET, exchange, wavy

from seawall.paper.connect import connect
from seawall.paper.guard import local_venue
from seawall.sandbox.server import Server, ServerThread
from seawall.units import MINUTE_MS

KEYS = {"apiKey": KEY, "secret": SECRET}


@pytest.fixture
def thread() -> Iterator[ServerThread]:
    """Return a local exchange whose clock is stepped."""
    with ServerThread(Server(exchange(wavy(600)))) as one:
        one.step(5 * MINUTE_MS)
        yield one


def guarded(thread: ServerThread) -> Any:
    """Return a guarded client with streams, on the exchange's clock."""
    settings = {"enableRateLimit": False}
    client = connect(local_venue(thread.url, "spot"), KEYS, flavour="pro", settings=settings)
    client.milliseconds = thread.server.exchange.clock.now_ms
    client.timeout_on_exit = 1
    return client


def is_subscribed(thread: ServerThread) -> bool:
    """Return whether the exchange has a listener for candles and one for the account."""
    hub = thread.server.hub
    return any(one.names for one in hub.connections) and any(hub._listeners.values())


def wait_until_subscribed(thread: ServerThread) -> None:
    """Return when both streams are there."""
    while not thread.call(lambda: is_subscribed(thread)):
        continue


def test_market_and_user_streams_pass_the_guard(thread: ServerThread) -> None:
    """Candles come as the clock moves; an order of ours is told; nothing was refused."""

    async def main() -> None:
        client = guarded(thread)
        try:
            await client.load_markets()
            candles = asyncio.create_task(client.watch_ohlcv(SYMBOL, "1m"))
            orders = asyncio.create_task(client.watch_orders(SYMBOL))
            await asyncio.to_thread(wait_until_subscribed, thread)
            await client.create_order(SYMBOL, "market", "buy", 0.5)
            told = await asyncio.wait_for(orders, 5)
            await asyncio.to_thread(thread.step, MINUTE_MS)
            rows = await asyncio.wait_for(candles, 5)
            assert told[0]["symbol"] == SYMBOL
            assert rows
            assert client.guard.refusals == []
        finally:
            await client.close()

    asyncio.run(main())
