"""The WebSocket APIs, ``/ws-api/v3`` and ``/ws-fapi/v1``: the same requests as over HTTP.

On that of spot an account's events come too; perpetuals have streams for them. Source: Binance,
WebSocket API. Signatures are over the
parameters sorted by name.
Left out: ``session.logon``, which needs an Ed25519 key.
"""

import json
from collections.abc import Mapping

from seawall.sandbox.call import Call, Route, Routes
from seawall.sandbox.gateway import Gateway, encode
from seawall.sandbox.refusals import ApiError
from seawall.sandbox.signing import check_signature, check_time, find_account
from seawall.sandbox.streams import Connection, Hub

Methods = Mapping[str, tuple[str, str]]  # HTTP method and path below the prefix
SPOT_PREFIX = "/api/v3/"
SPOT_METHODS: Methods = {
    "ping": ("GET", "ping"),
    "time": ("GET", "time"),
    "exchangeInfo": ("GET", "exchangeInfo"),
    "depth": ("GET", "depth"),
    "trades.recent": ("GET", "trades"),
    "trades.historical": ("GET", "historicalTrades"),
    "trades.aggregate": ("GET", "aggTrades"),
    "klines": ("GET", "klines"),
    "uiKlines": ("GET", "uiKlines"),
    "avgPrice": ("GET", "avgPrice"),
    "ticker": ("GET", "ticker"),
    "ticker.24hr": ("GET", "ticker/24hr"),
    "ticker.tradingDay": ("GET", "ticker/tradingDay"),
    "ticker.price": ("GET", "ticker/price"),
    "ticker.book": ("GET", "ticker/bookTicker"),
    "order.place": ("POST", "order"),
    "order.test": ("POST", "order/test"),
    "order.status": ("GET", "order"),
    "order.cancel": ("DELETE", "order"),
    "order.cancelReplace": ("POST", "order/cancelReplace"),
    "openOrders.status": ("GET", "openOrders"),
    "openOrders.cancelAll": ("DELETE", "openOrders"),
    "allOrders": ("GET", "allOrders"),
    "orderList.place": ("POST", "order/oco"),
    "orderList.place.oco": ("POST", "orderList/oco"),
    "orderList.status": ("GET", "orderList"),
    "orderList.cancel": ("DELETE", "orderList"),
    "openOrderLists.status": ("GET", "openOrderList"),
    "allOrderLists": ("GET", "allOrderList"),
    "myTrades": ("GET", "myTrades"),
    "account.status": ("GET", "account"),
    "account.commission": ("GET", "account/commission"),
}
LINEAR_PREFIX = "/fapi/"
LINEAR_METHODS: Methods = {
    "depth": ("GET", "v1/depth"),
    "ticker.price": ("GET", "v1/ticker/price"),
    "ticker.book": ("GET", "v1/ticker/bookTicker"),
    "order.place": ("POST", "v1/order"),
    "order.test": ("POST", "v1/order/test"),
    "order.modify": ("PUT", "v1/order"),
    "order.status": ("GET", "v1/order"),
    "order.cancel": ("DELETE", "v1/order"),
    "algoOrder.place": ("POST", "v1/algoOrder"),
    "algoOrder.cancel": ("DELETE", "v1/algoOrder"),
    "account.balance": ("GET", "v2/balance"),
    "v2/account.balance": ("GET", "v3/balance"),
    "account.status": ("GET", "v2/account"),
    "v2/account.status": ("GET", "v3/account"),
    "account.position": ("GET", "v2/positionRisk"),
    "v2/account.position": ("GET", "v3/positionRisk"),
    "userDataStream.start": ("POST", "v1/listenKey"),
    "userDataStream.ping": ("PUT", "v1/listenKey"),
    "userDataStream.stop": ("DELETE", "v1/listenKey"),
}
_SUBSCRIBE, _UNSUBSCRIBE = "userDataStream.subscribe.signature", "userDataStream.unsubscribe"


class WsApi:
    """Answers the messages of one product's WebSocket API connections."""

    def __init__(
        self,
        gateway: Gateway,
        hub: Hub,
        *,
        prefix: str = SPOT_PREFIX,
        methods: Methods = SPOT_METHODS,
    ) -> None:
        self.hub, self._gateway, self._prefix = hub, gateway, prefix
        self._routes = _pick(gateway.routes, prefix, methods)

    def answer(self, connection: Connection, text: str, address: str) -> str:
        """Return the reply to one message."""
        number: object = None
        try:
            message = json.loads(text)
            number = message.get("id") if isinstance(message, dict) else None
            if not isinstance(message, dict) or not isinstance(message.get("method"), str):
                raise ApiError(-1135, "Invalid JSON Request")  # noqa: TRY301 - answered below
            result = self._run(connection, message, address)
        except ValueError:
            return _refuse(None, ApiError(-1135, "Invalid JSON Request"))
        except ApiError as error:
            return _refuse(number, error)
        shown = result.decode() if isinstance(result, bytes) else encode(result)
        return f'{{"id":{encode(number)},"status":200,"result":{shown},"rateLimits":[]}}'

    def _run(self, connection: Connection, message: dict[str, object], address: str) -> object:
        method = str(message["method"])
        given = message.get("params")
        params = _read(given if isinstance(given, dict) else {})
        now_ms = self._gateway.exchange.catch_up()
        call = _to_call(self._prefix + method, params, address, now_ms)
        if method == _SUBSCRIBE and self._prefix == SPOT_PREFIX:
            self._identify(call)
            return {"subscriptionId": self.hub.listen(connection, call.owner)}
        if method == _UNSUBSCRIBE:
            self.hub.leave(connection, call.integer("subscriptionId"))
            return {}
        route = self._routes.get(method)
        if route is None:
            raise ApiError(-1100, f"Unknown method: {method}")
        self._gateway.weigh(route, call, {})
        if route.security == "key":
            call.account = find_account(call.key, self._gateway.exchange.accounts)
        elif route.security == "signed":
            self._identify(call)
        if route.n_orders:
            self._gateway.count_orders(route, call, now_ms, {})
        return self._gateway.run(route, call)

    def _identify(self, call: Call) -> None:
        call.account = find_account(call.key, self._gateway.exchange.accounts)
        check_signature(call.account, call.query, call.params.get("signature"))
        check_time(call)


def _pick(routes: Routes, prefix: str, methods: Methods) -> dict[str, Route]:
    return {
        name: routes[method, prefix + path]
        for name, (method, path) in methods.items()
        if (method, prefix + path) in routes
    }


def _read(params: dict[str, object]) -> dict[str, str]:
    """Return parameters as text; booleans as JSON writes them, lists as JSON."""
    return {
        name: value if isinstance(value, str) else encode(value)
        for name, value in params.items()
        if value is not None
    }


def _to_call(path: str, params: dict[str, str], address: str, now_ms: int) -> Call:
    return Call(
        method="WS",
        path=path,
        query=_payload(params).encode(),
        body=b"",
        params=params,
        address=address,
        key=params.get("apiKey", ""),
        now_ms=now_ms,
    )


def _payload(params: dict[str, str]) -> str:
    """Return what is signed."""
    return "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature")


def _refuse(number: object, error: ApiError) -> str:
    return encode({"id": number, "status": error.status, "error": error.shown(), "rateLimits": []})
