"""Exchanges to test against, and unmodified ccxt clients that are pointed at them."""

import asyncio
import hashlib
import hmac
import importlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np

from seawall.market.series import Candles, SeriesKey
from seawall.sandbox.clock import STEPPED, Clock
from seawall.sandbox.contract import Contract
from seawall.sandbox.decimals import ONE
from seawall.sandbox.exchange import Exchange, Settings
from seawall.sandbox.gateway import Answer, Gateway, Request
from seawall.sandbox.market import Liquidity, Market, Terms
from seawall.sandbox.server import ServerThread, all_routes
from seawall.sandbox.streams import Connection
from seawall.units import MINUTE_MS, to_time_ms

CCXT: Any = importlib.import_module("ccxt")  # our stub of it knows no private methods
CCXT_ASYNC: Any = importlib.import_module("ccxt.async_support")
CCXT_PRO: Any = importlib.import_module("ccxt.pro")
START_MS = to_time_ms("2024-08-05")
KEY, SECRET = "key-of-alice", "secret-of-alice"
KEY_BOB, SECRET_BOB = "key-of-bob-b", "secret-of-bob"
PATIENCE = 10.0  # seconds, for what has to arrive
ETH_TERMS = Terms(tick=ONE // 100, lot=ONE // 10_000)
PARTS = {
    "public": "/api/v3", "private": "/api/v3", "v1": "/api/v1",
    "sapi": "/sapi/v1", "sapiV2": "/sapi/v2", "sapiV3": "/sapi/v3", "sapiV4": "/sapi/v4",
    "fapiPublic": "/fapi/v1", "fapiPublicV2": "/fapi/v2", "fapiPublicV3": "/fapi/v3",
    "fapiPrivate": "/fapi/v1", "fapiPrivateV2": "/fapi/v2", "fapiPrivateV3": "/fapi/v3",
    "fapiData": "/futures/data", "dapiPublic": "/dapi/v1", "dapiPrivate": "/dapi/v1",
    "dapiPrivateV2": "/dapi/v2", "dapiData": "/futures/data", "eapiPublic": "/eapi/v1",
    "eapiPrivate": "/eapi/v1", "papi": "/papi/v1", "papiV2": "/papi/v2",
}  # fmt: skip
Body = Callable[[ServerThread, Any], Awaitable[None]]


def urls(url: str) -> dict[str, Any]:
    """Return ccxt's table of URLs, all of it on one server."""
    ws = url.replace("http", "ws", 1)
    streams = {
        "spot": f"{ws}/stream/ws",
        "margin": f"{ws}/stream/ws",
        "linear": f"{ws}/fstream/ws",
        "inverse": f"{ws}/dstream/ws",
        "ws-api": {"spot": f"{ws}/ws-api/v3", "linear": f"{ws}/ws-fapi/v1"},
    }
    return {part: url + path for part, path in PARTS.items()} | {"ws": streams}


def bars(rows: list[tuple[float, float, float, float, float]], symbol: str = "ETH/USDT") -> Candles:
    """Return one-minute bars of (open, high, low, close, volume), the first at ``START_MS``."""
    table = np.array(rows, dtype=np.float64)
    return Candles(
        key=SeriesKey("candles", "test", symbol, "1m"),
        time_ms=START_MS + MINUTE_MS * np.arange(len(rows), dtype=np.int64),
        open=table[:, 0],
        high=table[:, 1],
        low=table[:, 2],
        close=table[:, 3],
        volume=table[:, 4],
    )


def wavy(n: int, symbol: str = "ETH/USDT", level: float = 3000.0) -> Candles:
    """Return ``n`` bars that follow from their number alone, on a grid of cents."""
    rows = []
    for i in range(n):
        opened, closed = level + (i * 37 % 101) / 4, level + ((i + 1) * 37 % 101) / 4
        top, bottom = max(opened, closed) + 2.25, min(opened, closed) - 1.75
        rows.append((opened, top, bottom, closed, 10 + i % 7 + 0.125))
    return bars(rows, symbol)


def market(
    candles: Candles,
    *,
    start_ms: int = START_MS,
    seed: int = 7,
    liquidity: Liquidity | None = None,
    terms: Terms = ETH_TERMS,
    contract: Contract | None = None,
) -> Market:
    """Return a market that stands at ``start_ms``."""
    return Market(
        candles,
        terms,
        liquidity=liquidity or Liquidity(),
        seed=seed,
        start_ms=start_ms,
        contract=contract,
    )


def exchange(
    *candles: Candles,
    start_ms: int = START_MS,
    seed: int = 7,
    liquidity: Liquidity | None = None,
    settings: Settings | None = None,
    speed: float = STEPPED,
    futures: float = 0.0,
    contracts: Mapping[str, Contract] | None = None,
) -> Exchange:
    """Return an exchange with the accounts of Alice and Bob, stepped by hand unless told.

    ``futures``: USDT in each one's futures wallet; ``contracts``: of perpetuals, by symbol.
    """
    known = contracts or {}
    made = Exchange(
        Clock(start_ms, speed=speed),
        [
            market(
                one,
                start_ms=start_ms,
                seed=seed,
                liquidity=liquidity,
                contract=known.get(one.key.symbol),
            )
            for one in candles
        ],
        settings=settings,
    )
    rich = {"USDT": 1_000_000.0, "ETH": 100.0, "BTC": 10.0}
    for name, key, secret in (("alice", KEY, SECRET), ("bob", KEY_BOB, SECRET_BOB)):
        made.open_account(name, key=key, secret=secret, balances=rich, futures=futures)
    return made


def step(made: Exchange, step_ms: int = MINUTE_MS) -> None:
    """Move the clock and let everything happen."""
    made.clock.advance(step_ms)
    made.catch_up()


class RawClient:
    """Sends signed requests straight to a gateway, without a socket."""

    def __init__(self, exchange: Exchange, key: str = KEY, secret: str = SECRET) -> None:
        self.exchange, self.gateway = exchange, Gateway(exchange, all_routes())
        self.key, self.secret = key, secret

    def signed(self, method: str, path: str, **params: object) -> tuple[int, Any]:
        """Return status and JSON of a signed request."""
        answer = self.send(method, path, self.sign(params))
        return answer.status, json.loads(answer.body)

    def public(self, path: str, **params: object) -> Any:
        """Return the JSON of a GET that needs no key."""
        query = "&".join(f"{name}={value}" for name, value in params.items())
        answer = self.gateway.answer(Request("GET", f"{path}?{query}" if query else path))
        assert answer.status == 200, answer
        return json.loads(answer.body)

    def sign(self, params: Mapping[str, object]) -> str:
        """Return a query with timestamp and signature."""
        query = "&".join(f"{name}={value}" for name, value in params.items())
        query += ("&" if query else "") + f"timestamp={self.exchange.clock.now_ms()}"
        signature = hmac.new(self.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        return f"{query}&signature={signature}"

    def send(self, method: str, path: str, query: str) -> Answer:
        """Return the answer to a query that is signed already; POST carries it in the body."""
        if method == "POST":
            return self.gateway.answer(Request(method, path, query.encode(), self.key))
        return self.gateway.answer(Request(method, f"{path}?{query}", b"", self.key))

    def order(self, side: str, kind: str, **params: object) -> tuple[int, Any]:
        """Place an order for ETHUSDT; returns status and JSON."""
        shape = {"symbol": "ETHUSDT", "side": side, "type": kind}
        return self.signed("POST", "/api/v3/order", **shape, **params)


def spot_client(
    thread: ServerThread, *, key: str = KEY, secret: str = SECRET, **options: object
) -> Any:
    """Return an unmodified synchronous ccxt client on the exchange's clock."""
    return _tune(CCXT.binance(_config(thread.url, key, secret, options)), thread)


def usdm_client(
    thread: ServerThread, *, key: str = KEY, secret: str = SECRET, part: str = "api"
) -> Any:
    """Return an unmodified synchronous ccxt client for perpetuals on the exchange's clock.

    ``part``: of ccxt's table of URLs; ``demo`` and ``test`` are switched on in ccxt's own ways.
    """
    config = _config(thread.url, key, secret, {"defaultType": "swap"})
    config["urls"] = {part: urls(thread.url)}
    client = CCXT.binanceusdm(config)
    if part == "demo":
        client.enable_demo_trading(True)
    elif part == "test":
        client.set_sandbox_mode(True)
    return _tune(client, thread)


def async_client(thread: ServerThread, kind: str, **options: object) -> Any:
    """Return an unmodified asynchronous ccxt client with Alice's keys; ``kind``: of ccxt's class.

    It is made inside a running loop.
    """
    config: dict[str, Any] = {"urls": {"api": urls(thread.url)}, "enableRateLimit": False}
    config |= {"apiKey": KEY, "secret": SECRET, "options": options}
    client = getattr(CCXT_ASYNC, kind)(config)
    client.milliseconds = thread.server.exchange.clock.now_ms
    return client


def pro_usdm_client(thread: ServerThread, *, key: str = KEY, secret: str = SECRET) -> Any:
    """Return an unmodified ccxt.pro client for perpetuals; made inside a running loop."""
    client = CCXT_PRO.binanceusdm(_config(thread.url, key, secret, {"defaultType": "swap"}))
    client.milliseconds = thread.server.exchange.clock.now_ms
    return client


def pro_client(thread: ServerThread, *, key: str = KEY, secret: str = SECRET) -> Any:
    """Return an unmodified ccxt.pro client on the exchange's clock; made inside a running loop."""
    client = CCXT_PRO.binance(_config(thread.url, key, secret, {}))
    client.milliseconds = thread.server.exchange.clock.now_ms
    return client


async def until(is_so: Callable[[], object]) -> None:
    """Wait until something is so."""
    for _ in range(2_000):
        if is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(is_so)


def run_with_client(
    thread: ServerThread, open_client: Callable[[ServerThread], Any], body: Body
) -> None:
    """Run a coroutine with a client that has loaded its markets, and close it."""

    async def run() -> None:
        client = open_client(thread)
        try:
            await client.load_markets()
            await asyncio.wait_for(body(thread, client), 4 * PATIENCE)
        finally:
            await client.close()

    asyncio.run(run())


async def until_heard(
    thread: ServerThread, waiting: Awaitable[Any], *, step_ms: int = 5_000
) -> Any:
    """Step the clock until a watching method returns."""
    task = asyncio.ensure_future(waiting)
    for _ in range(400):
        done, _ = await asyncio.wait({task}, timeout=0.02)
        if done:
            break
        await asyncio.to_thread(thread.step, step_ms)
    return await task


def drain(connection: Connection) -> list[Any]:
    """Return all messages in line, read as JSON."""
    found = []
    while not connection.queue.empty():
        found.append(json.loads(connection.queue.get_nowait()))
    return found


def close(client: Any) -> None:
    """Close a synchronous client's sockets."""
    client.session.close()


def _config(url: str, key: str, secret: str, options: Mapping[str, object]) -> dict[str, Any]:
    config: dict[str, Any] = {"urls": {"api": urls(url)}, "enableRateLimit": False}
    config["options"] = {"defaultType": "spot", **options}
    if key:
        config |= {"apiKey": key, "secret": secret}
    return config


def _tune(client: Any, thread: ServerThread) -> Any:
    """Give a client the exchange's clock, and keep the network's proxies out of loopback."""
    clock = thread.server.exchange.clock
    client.milliseconds = clock.now_ms
    client.session.trust_env = False
    return client
