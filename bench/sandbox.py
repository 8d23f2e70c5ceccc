"""How much the local exchange takes: signed market orders and klines per second.

The exchange runs in a process of its own; the load comes from raw sockets whose requests were
signed before the clock started, sixteen at a time, so that the client costs next to nothing.
Request limits are off. Wall-clock time: both processes share the machine.

Memory: what the exchange's process has grown by at its largest while a number of signed requests
came, once all that it keeps (2,000 orders and trades for each account and market) was full.

    python -m bench.sandbox [N_REQUESTS]
"""

import asyncio
import hmac
import multiprocessing
import resource
import sys
import time
from hashlib import sha256
from multiprocessing.connection import Connection
from typing import NamedTuple
from urllib.parse import urlsplit

from bench.timing import describe_machine
from seawall.market.catalog import Catalog
from seawall.sandbox.exchange import Settings
from seawall.sandbox.market import Liquidity
from seawall.sandbox.opening import Opening, open_exchange
from seawall.sandbox.server import Server, ServerThread
from seawall.units import SECOND_MS

MARKETS = ("simulated:ETH/USDT", "simulated:ETH/USDT:USDT")
KEY, SECRET = "key-of-the-bench", "secret-of-the-bench"
N_CONNECTIONS = 16
N_ORDERS = 16_000
N_PAGES = 320
PAGE = 1_000  # klines
N_REQUESTS = 100_000  # while memory is watched
KEPT = 2_000
BATCH = 2_000  # signed at once, and sent while the signatures are good
AIMS = {"orders": 2_000, "klines": 80_000}


class Row(NamedTuple):
    """One line of the table."""

    workload: str
    per_second: float
    aim: float


def main() -> None:
    """Print the table, the machine and the versions."""
    print(describe_machine(("aiohttp",)))
    print(f"\nThe local exchange, {N_CONNECTIONS} connections, pre-signed requests\n")
    print(f"{'workload':<28}{'per second':>14}{'aim':>10}")
    for row in measure():
        print(f"{row.workload:<28}{row.per_second:>14,.0f}{row.aim:>10,.0f}")
    n_requests = int(sys.argv[1]) if sys.argv[1:] else N_REQUESTS
    grown, before = measure_memory(n_requests)
    print(f"\nmemory: {grown:+.1f} MB after {n_requests:,} requests, from {before:.0f} MB")


def measure_memory(n_requests: int) -> tuple[float, float]:
    """Return by how many megabytes the exchange grows, and how large it was before."""
    port, pipe, process = _start()
    try:
        _send_mixed(port, 5 * KEPT, 0)
        before = _ask_size(pipe)
        _send_mixed(port, n_requests, 5 * KEPT)
        return _ask_size(pipe) - before, before
    finally:
        pipe.send("end")
        process.join()


def _ask_size(pipe: Connection) -> float:
    pipe.send("size")
    return float(pipe.recv())


def _send_mixed(port: int, n: int, first: int) -> None:
    """Send market orders of both desks in turn."""
    for start in range(first, first + n, BATCH):
        numbers = range(start, min(start + BATCH, first + n))
        _time(port, [_order(("/api/v3/order", "/fapi/v1/order")[i // 2 % 2], i) for i in numbers])


def _start() -> "tuple[int, Connection, multiprocessing.process.BaseProcess]":
    """Return the port of an exchange in a process of its own, how it is asked, and the process."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,))
    process.start()
    return int(here.recv()), here, process


def measure(n_orders: int = N_ORDERS, n_pages: int = N_PAGES) -> list[Row]:
    """Return one row per workload."""
    port, pipe, process = _start()
    try:
        spot = _time(port, [_order("/api/v3/order", i) for i in range(n_orders)])
        futures = _time(port, [_order("/fapi/v1/order", i) for i in range(n_orders)])
        klines = _time(port, [_KLINES] * n_pages) * PAGE
    finally:
        pipe.send("end")
        process.join()
    return [
        Row("spot market orders", spot, AIMS["orders"]),
        Row("futures market orders", futures, AIMS["orders"]),
        Row("klines, 1,000 a page", klines, AIMS["klines"]),
    ]


def _serve(pipe: Connection) -> None:
    """Serve until told to end; the port is told first, and the largest size when it is asked."""
    exchange, _ = open_exchange(
        Opening(markets=MARKETS, days=2, liquidity=Liquidity(level_notional=5e6)),
        Catalog(),
        now_ms=int(time.time() * SECOND_MS),
        settings=Settings(limits=None, kept=KEPT),
    )
    exchange.open_account(
        "bench", key=KEY, secret=SECRET, balances={"USDT": 1e7, "ETH": 1e4}, futures=1e7
    )
    with ServerThread(Server(exchange)) as server:
        pipe.send(urlsplit(server.url).port)
        unit = 1e6 if sys.platform == "darwin" else 1e3  # of ru_maxrss, in megabytes
        while pipe.recv() == "size":
            pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


def _order(path: str, number: int) -> bytes:
    """Return one signed request, good for a minute."""
    side = "BUY" if number % 2 else "SELL"
    body = (
        f"symbol=ETHUSDT&side={side}&type=MARKET&quantity=0.010&newClientOrderId=b-{path[1]}{number}"
        f"&timestamp={int(time.time() * SECOND_MS)}&recvWindow=60000"
    )
    body += "&signature=" + hmac.new(SECRET.encode(), body.encode(), sha256).hexdigest()
    return (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nX-MBX-APIKEY: {KEY}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


_KLINES = (
    f"GET /api/v3/klines?symbol=ETHUSDT&interval=1m&limit={PAGE} HTTP/1.1\r\nHost: bench\r\n\r\n"
).encode()


def _time(port: int, requests: list[bytes]) -> float:
    """Return requests answered per second."""
    shares = [requests[k::N_CONNECTIONS] for k in range(N_CONNECTIONS)]

    async def run() -> float:
        start = time.perf_counter()
        await asyncio.gather(*(_send(port, share) for share in shares))
        return len(requests) / (time.perf_counter() - start)

    return asyncio.run(run())


async def _send(port: int, requests: list[bytes]) -> None:
    """Send requests one after the other over one connection.

    Raises:
        RuntimeError: one was not answered with 200.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for request in requests:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        start = head.lower().index(b"content-length:") + len(b"content-length:")
        body = await reader.readexactly(int(head[start : head.index(b"\r\n", start)]))
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"an answer must be 200, is {head[:40]!r} {body[:200]!r}")
    writer.close()


if __name__ == "__main__":
    main()
