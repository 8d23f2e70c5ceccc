"""The operator's side, ``/_admin``: the clock, accounts, faults; with a token, on loopback only.

All requests are POST with a JSON object, but ``GET /_admin/state``. Errors are answered with status
400 and the message that the command line would show. A script (``script``) does the same at times
of its own.
"""

import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from seawall.errors import RecipeError, SeawallError
from seawall.sandbox.decimals import from_float, money_to_text, to_text
from seawall.sandbox.faults import EventFault, read_fault
from seawall.sandbox.gateway import Answer, encode
from seawall.sandbox.linear_account import find_transferable, pay
from seawall.sandbox.market import Market
from seawall.sandbox.refusals import ApiError
from seawall.sandbox.script import Act
from seawall.sandbox.spot_json import JsonDict

if TYPE_CHECKING:
    from seawall.sandbox.server import Server

PREFIX = "/_admin/"
TOKEN_HEADER = "X-Sandbox-Token"  # noqa: S105 - the header's name
_WRONG = (SeawallError, ApiError, ValueError, KeyError, TypeError)
_LOOPBACK = ("127.0.0.1", "::1", "")
Table = Mapping[str, object]
SCRIPTED = ("price", "skew", "maintenance", "sockets", "events", "liquidity", "deposit", "clear")


class AdminApi:
    """Answers the operator of one server."""

    def __init__(self, server: "Server", token: str) -> None:
        self._server, self._token = server, token
        self._verbs: dict[str, Callable[[Table], object]] = {
            "step": self._step,
            "account": self._account,
            "deposit": self._deposit,
            "fault": self._fault,
            "events": self._events,
            "clear": self._clear,
            "skew": self._skew,
            "maintenance": self._maintenance,
            "price": self._price,
            "liquidity": self._liquidity,
            "sockets": self._sockets,
        }

    async def answer(self, path: str, body: bytes, token: str, address: str) -> Answer:
        """Answer one request of the operator."""
        if address not in _LOOPBACK or not self._is_token(token):
            return Answer(403, b'{"error":"wrong token, or not from loopback"}', {})
        verb = path.removeprefix(PREFIX)
        try:
            if verb == "state":
                return _show(self._state())
            if verb not in self._verbs:
                known = ", ".join(("state", *self._verbs))
                raise RecipeError(f"the operator's verbs are {known}, is {verb!r}: choose one")
            table = json.loads(body or b"{}")
            if not isinstance(table, dict):
                raise RecipeError("a request of the operator is a JSON object: write {}")
            result = self._verbs[verb](table)
            return _show(await result if isinstance(result, Awaitable) else result)
        except _WRONG as error:
            return Answer(400, encode({"error": f"{error}"}).encode(), {})

    def act(self, act: Act) -> str:
        """Do what a script says now; return what was wrong with it, empty where nothing was."""
        try:
            self._verbs[act.verb](act.table)
        except _WRONG as error:
            return f"{act.verb} of the script failed: {error}"
        return ""

    def _is_token(self, token: str) -> bool:
        return bool(self._token) and hmac.compare_digest(token.encode(), self._token.encode())

    def _state(self) -> JsonDict:
        exchange = self._server.exchange
        now_ms = exchange.catch_up()
        return {
            "now_ms": now_ms,
            "prices": {one.symbol: to_text(one.price) for one in exchange.all_markets},
            "house": {asset: to_text(units) for asset, units in exchange.spot.house.items()},
            "fees": {asset: to_text(units) for asset, units in exchange.spot.fees.items()},
            "accounts": {
                name: {asset: to_text(one.total) for asset, one in account.balances.items()}
                for name, account in exchange.accounts.by_name.items()
            },
            "futures": {
                name: money_to_text(seat.money) for name, seat in exchange.linear.seats.items()
            },
            "insurance": money_to_text(exchange.linear.house.insurance),
            "n_sockets": len(self._server.all_connections()),
            "faults": {number: fault.path for number, fault in self._server.faults.waiting.items()},
            "script": {"left": len(self._server.acts), "failed": self._server.mishaps},
        }

    async def _step(self, table: Table) -> object:
        return {"now_ms": await self._server.advance(int(_number(table, "ms")))}

    def _account(self, table: Table) -> object:
        balances = table.get("balances", {})
        if not isinstance(balances, dict):
            raise RecipeError("balances are amounts by asset: write {'USDT': 1000}")
        account = self._server.exchange.open_account(
            str(table["name"]),
            key=str(table["key"]),
            secret=str(table["secret"]),
            balances={str(asset): float(amount) for asset, amount in balances.items()},
            futures=_number(table, "futures") if "futures" in table else 0.0,
        )
        return {"uid": account.number}

    def _deposit(self, table: Table) -> object:
        accounts = self._server.exchange.accounts.by_name
        name, asset = str(table["account"]), str(table["asset"])
        if name not in accounts:
            raise RecipeError(f"accounts are {', '.join(accounts)}, is {name!r}: choose one")
        if table.get("wallet", "spot") == "futures":
            return self._pay(name, asset, from_float(_number(table, "amount")))
        balance = accounts[name].balance(asset)
        units = from_float(_number(table, "amount"))
        if balance.free + units < 0:
            raise RecipeError(f"what is free can be taken, {to_text(balance.free)}: take less")
        balance.free += units
        now_ms = self._server.exchange.catch_up()
        self._server.hub.tell(
            accounts[name],
            {"e": "balanceUpdate", "E": now_ms, "a": asset, "d": to_text(units), "T": now_ms},
        )
        return {"free": to_text(balance.free)}

    def _pay(self, name: str, asset: str, units: int) -> object:
        """Let money come into or leave a futures wallet."""
        exchange = self._server.exchange
        desk, now_ms = exchange.linear, exchange.catch_up()
        if asset != desk.asset:
            raise RecipeError(f"futures wallets hold {desk.asset}, is {asset!r}: pay that")
        seat = desk.seat(exchange.accounts.by_name[name])
        pay(desk, seat, units, now_ms)
        return {"free": money_to_text(find_transferable(desk, seat))}

    def _fault(self, table: Table) -> object:
        return {"fault": self._server.faults.add(read_fault(table))}

    def _events(self, table: Table) -> object:
        kind: EventFault = table["kind"]  # type: ignore[assignment]  # checked by whom it is given
        self._server.faults.strike_events(kind, int(_number(table, "n")))
        return {}

    def _clear(self, _table: Table) -> object:
        self._server.faults.clear()
        self._server.exchange.skew_ms = 0
        self._server.exchange.is_in_maintenance = False
        return {}

    def _skew(self, table: Table) -> object:
        self._server.exchange.skew_ms = int(_number(table, "ms"))
        return {}

    def _maintenance(self, table: Table) -> object:
        self._server.exchange.is_in_maintenance = bool(table["on"])
        return {}

    def _price(self, table: Table) -> object:
        self._market(table).gap(_number(table, "factor"))
        return {}

    def _liquidity(self, table: Table) -> object:
        changed = {name: _number(table, name) for name in table if name != "symbol"}
        self._market(table).supply(changed)
        return {}

    def _sockets(self, table: Table) -> object:
        how = "drop" if table.get("how", "drop") == "drop" else "close"
        connections = self._server.all_connections()
        for connection in connections:
            connection.end("drop" if how == "drop" else "close")
        return {"n": len(connections)}

    def _market(self, table: Table) -> Market:
        markets = {one.symbol: one for one in self._server.exchange.all_markets}
        symbol = str(table["symbol"])
        if symbol not in markets:
            raise RecipeError(f"markets are {', '.join(markets)}, is {symbol!r}: choose one")
        return markets[symbol]


def _number(table: Table, name: str) -> float:
    value = table.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RecipeError(f"{name} is a number, is {value!r}: write one")
    return float(value)


def _show(value: object) -> Answer:
    return Answer(200, encode(value).encode(), {})
