"""From a request to its answer: limits, key, signature, handler, and Binance's shape of an error.

It knows nothing of sockets: the HTTP server and the WebSocket API both come through here, and so
can a test.
"""

import json
from typing import NamedTuple

from seawall.sandbox.call import Call, Route, Routes, parse_params
from seawall.sandbox.exchange import Exchange
from seawall.sandbox.limits import Limits, Meter, OrderMeter
from seawall.sandbox.market import Product
from seawall.sandbox.refusals import ApiError, unknown_path
from seawall.sandbox.signing import identify

encode = json.JSONEncoder(separators=(",", ":")).encode
OK = 200
# Each with counters of its own; /sapi is not limited.
_LIMITED: dict[str, Product] = {"/api": "spot", "/fapi": "linear", "/dapi": "linear"}


class Request(NamedTuple):
    """What came over the wire; ``target`` is path and query as they were sent."""

    method: str
    target: str
    body: bytes = b""
    key: str = ""
    address: str = "127.0.0.1"


class Answer(NamedTuple):
    """What goes back."""

    status: int
    body: bytes
    headers: dict[str, str]


class Gateway:
    """Answers requests to one exchange."""

    def __init__(self, exchange: Exchange, routes: Routes) -> None:
        self.exchange, self.routes = exchange, routes
        self._meters: dict[tuple[str, str], Meter] = {}
        self._order_meters: dict[tuple[str, str], OrderMeter] = {}

    def answer(self, request: Request) -> Answer:
        """Answer one request at the exchange's present time."""
        headers: dict[str, str] = {}
        try:
            value = self._answer(request, headers)
        except ApiError as error:
            return self.refuse(error, headers)
        body = value if isinstance(value, bytes) else encode(value).encode()
        return Answer(OK, body, headers)

    def refuse(self, error: ApiError, headers: dict[str, str]) -> Answer:
        """Return the answer that a refusal is."""
        return Answer(error.status, encode(error.shown()).encode(), headers | error.headers)

    def run(self, route: Route, call: Call) -> object:
        """Return what a route makes of a call whose sender is known."""
        return route.handler(self.exchange, call)

    def _answer(self, request: Request, headers: dict[str, str]) -> object:
        path, _, query = request.target.partition("?")
        route = self.routes.get((request.method, path))
        if route is None:
            raise unknown_path(request.method, path)
        now_ms = self.exchange.catch_up()
        raw = query.encode("utf-8", "surrogateescape")
        call = Call(
            method=request.method,
            path=path,
            query=raw,
            body=request.body,
            params=parse_params(raw, request.body),
            address=request.address,
            key=request.key,
            now_ms=now_ms + self.exchange.skew_ms,
        )
        self.weigh(route, call, headers)
        call.account = identify(call, self.exchange.accounts, route.security)
        call.now_ms = now_ms if route.security != "none" else call.now_ms
        if route.n_orders and call.account is not None:
            self.count_orders(route, call, now_ms, headers)
        return self.run(route, call)

    def weigh(self, route: Route, call: Call, headers: dict[str, str]) -> None:
        """Count a request's weight.

        Raises:
            ApiError: it is one too many.
        """
        prefix = _prefix(call)
        limits = self._limits(prefix)
        if limits is None:
            return
        meter = self._meters.get((prefix, call.address))
        if meter is None:
            meter = self._meters[prefix, call.address] = Meter(limits)
        weight = route.weight if isinstance(route.weight, int) else route.weight(call)
        used = str(meter.add(call.now_ms, weight))
        headers["x-mbx-used-weight"] = headers["x-mbx-used-weight-1m"] = used

    def count_orders(self, route: Route, call: Call, now_ms: int, headers: dict[str, str]) -> None:
        """Count the new orders of a call whose sender is known.

        Raises:
            ApiError: they are too many.
        """
        prefix = _prefix(call)
        limits = self._limits(prefix)
        if limits is None:
            return
        key = prefix, call.owner.name
        meter = self._order_meters.get(key)
        if meter is None:
            meter = self._order_meters[key] = OrderMeter(limits)
        n = route.n_orders if isinstance(route.n_orders, int) else route.n_orders(call)
        headers |= meter.add(now_ms, n)

    def _limits(self, prefix: str) -> Limits | None:
        product = _LIMITED.get(prefix)
        return None if product is None else self.exchange.settings.limits_of(product)


def _prefix(call: Call) -> str:
    """Return the first part of a call's path, ``"/fapi"``."""
    return call.path[: call.path.find("/", 1)]
