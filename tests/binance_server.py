"""A loopback HTTP server that answers market-data requests as Binance does, with faults on demand.

It knows klines (spot and USD-M), mark price klines, funding rates, exchangeInfo and time. A fault
is taken from the front of ``faults`` by the first request whose path it names.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

import ccxt

from seawall.market.download import open_exchange
from seawall.units import to_duration_ms

API_PARTS = {
    "public": "/api/v3",
    "v1": "/api/v1",
    "fapiPublic": "/fapi/v1",
    "fapiPublicV2": "/fapi/v2",
    "fapiPublicV3": "/fapi/v3",
    "dapiPublic": "/dapi/v1",
    "sapi": "/sapi/v1",
}
BASES = ("BTC", "ETH")
Row = list[int | str]


@dataclass(kw_only=True)
class Fault:
    """What the next request to ``path`` gets in place of, or before, its answer.

    Attributes:
        status: HTTP status; 200 with ``body`` None answers as usual.
        drop_after: bytes of the usual answer's body after which the connection closes.
        hook: called first, for example to kill the client.
    """

    path: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    drop_after: int | None = None
    hook: Callable[[], None] | None = None


@dataclass(kw_only=True)
class BinanceServer:
    """History to serve, faults to make, and the requests that came.

    Attributes:
        now_ms: the exchange's time.
        looks_ahead_ms: how far after ``startTime`` klines are looked for; None is for ever, as
            Binance does, other exchanges do not.
    """

    now_ms: int
    looks_ahead_ms: int | None = None
    klines: dict[tuple[str, str, str], list[Row]] = field(default_factory=dict)
    funding: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Start to serve on a free port of 127.0.0.1."""
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop to serve."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def add_klines(self, path: str, symbol: str, interval: str, rows: list[Row]) -> None:
        """Serve rows under ``/api/v3/klines``, ``/fapi/v1/klines`` or its mark price twin."""
        self.klines[path, symbol, interval] = rows

    def pages(self) -> list[str]:
        """Return the requests for rows, leaving out exchangeInfo and time."""
        return [r for r in self.requests if "exchangeInfo" not in r and not r.endswith("/time")]

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, object]:
        """Return status and JSON value of the usual answer."""
        if path.endswith("/time"):
            return 200, {"serverTime": self.now_ms}
        if path.endswith("/exchangeInfo"):
            return 200, _exchange_info(path)
        symbol = query.get("symbol", "")
        if symbol not in {f"{base}USDT" for base in BASES}:
            return 400, {"code": -1121, "msg": "Invalid symbol."}
        start, end = int(query.get("startTime", 0)), int(query.get("endTime", self.now_ms))
        if path.endswith("/fundingRate"):
            rates = [
                {"symbol": symbol, "fundingTime": t, "fundingRate": rate, "markPrice": "100.0"}
                for t, rate in self.funding.get(symbol, [])
                if start <= t <= min(end, self.now_ms)
            ]
            return 200, rates[: int(query.get("limit", 100))]
        if self.looks_ahead_ms is not None:
            end = min(end, start + self.looks_ahead_ms)
        stored = self.klines.get((path, symbol, query["interval"]), [])
        found = [r for r in stored if start <= int(r[0]) <= min(end, self.now_ms)]
        limit = int(query.get("limit", 500))
        return 200, found[:limit] if "startTime" in query else found[-limit:]


def client(url: str, market_type: str = "spot") -> ccxt.Exchange:
    """Return the real ccxt client as Seawall opens it, pointed at ``url``, without its pauses."""
    exchange = open_exchange("binance", "swap" if market_type == "swap" else "spot")
    point_at(exchange, url)
    return exchange


def point_at(exchange: ccxt.Exchange, url: str) -> None:
    """Point a ccxt client at a server, and let it ask as fast as it can."""
    exchange.urls["api"] = {part: url + path for part, path in API_PARTS.items()}
    exchange.enableRateLimit = False
    exchange.session.trust_env = False  # a proxy of this network has no business on loopback


def candle_rows(first_ms: int, n_rows: int, interval: str) -> list[Row]:
    """Return ``n_rows`` klines of twelve fields; prices follow from the time alone."""
    step_ms = to_duration_ms(interval)
    rows: list[Row] = []
    for t in range(first_ms, first_ms + n_rows * step_ms, step_ms):
        level = 1000 + (t // step_ms * 7919) % 997 / 10
        prices = [f"{level + shift:.2f}" for shift in (0.0, 1.5, -1.5, 0.5)]
        volume = f"{1 + (t // step_ms) % 13:.4f}"
        rows.append([t, *prices, volume, t + step_ms - 1, "1.0", 10, "1.0", "1.0", "0"])
    return rows


def _exchange_info(path: str) -> dict[str, object]:
    is_spot = path.startswith("/api")
    return {"timezone": "UTC", "symbols": [_market(base, is_spot=is_spot) for base in BASES]}


def _market(base: str, *, is_spot: bool) -> dict[str, object]:
    notional = {"minNotional": "5.0"} if is_spot else {"notional": "20"}
    market: dict[str, object] = {
        "symbol": f"{base}USDT",
        "status": "TRADING",
        "baseAsset": base,
        "quoteAsset": "USDT",
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "permissions": ["SPOT"],
        "isSpotTradingAllowed": True,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.0001", "maxQty": "9000", "stepSize": "0.0001"},
            {"filterType": "NOTIONAL" if is_spot else "MIN_NOTIONAL", **notional},
        ],
    }
    if not is_spot:
        market |= {"contractType": "PERPETUAL", "marginAsset": "USDT", "onboardDate": 1}
        market |= {"pair": f"{base}USDT", "pricePrecision": 2, "quantityPrecision": 4}
    return market


def _handler(server: BinanceServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # headers and body are two writes: no 40 ms between them

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            server.requests.append(self.path)
            fault = next((f for f in server.faults if f.path in self.path), Fault(path=""))
            if fault.path:
                server.faults.remove(fault)
            if fault.hook:
                fault.hook()
            status, value = server.answer(parts.path, dict(parse_qsl(parts.query)))
            body = json.dumps(value).encode()
            if fault.body is not None or fault.status != 200:
                status, body = fault.status, (fault.body or "{}").encode()
            self._send(status, fault, body)

        def _send(self, status: int, fault: Fault, body: bytes) -> None:
            self.send_response(status)
            kind = "text/html" if body.startswith(b"<") else "application/json"
            for name, text in ({"Content-Type": kind} | fault.headers).items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body if fault.drop_after is None else body[: fault.drop_after])
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the client was killed
            if fault.drop_after is not None:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    return Handler
