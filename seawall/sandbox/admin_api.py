"""The operator's side, ``/_admin``: the clock, accounts, faults; with a token, on loopback only.

All requests are POST with a JSON object, but ``GET /_admin/state``. Errors are answered with status
400 and the message that the command line would show. A script (``script``) does the same at times
of its own.
"""

import hmac
import json

from seawall.errors import RecipeError
from seawall.sandbox.decimals import money_to_text, to_text
from seawall.sandbox.gateway import Answer, encode
from seawall.sandbox.script import Table
from seawall.sandbox.spot_json import JsonDict
from seawall.sandbox.stage import Stage
from seawall.sandbox.streams import list_connections
from seawall.sandbox.verbs import WRONG, read_number

PREFIX = "/_admin/"
TOKEN_HEADER = "X-Sandbox-Token"  # noqa: S105 - the header's name
_LOOPBACK = ("127.0.0.1", "::1", "")


class AdminApi:
    """Answers the operator of one exchange."""

    def __init__(self, stage: Stage, token: str) -> None:
        self._stage, self._verbs, self._token = stage, stage.verbs, token

    async def answer(self, path: str, body: bytes, token: str, address: str) -> Answer:
        """Answer one request of the operator."""
        if address not in _LOOPBACK or not self._is_token(token):
            return Answer(403, b'{"error":"wrong token, or not from loopback"}', {})
        verb = path.removeprefix(PREFIX)
        try:
            if verb == "state":
                return _show(self._state())
            return _show(await self._do(verb, body))
        except WRONG as error:
            return Answer(400, encode({"error": f"{error}"}).encode(), {})

    async def _do(self, verb: str, body: bytes) -> object:
        if verb != "step" and verb not in self._verbs.by_name:
            known = ", ".join(("state", "step", *self._verbs.by_name))
            raise RecipeError(f"the operator's verbs are {known}, is {verb!r}: choose one")
        table = json.loads(body or b"{}")
        if not isinstance(table, dict):
            raise RecipeError("a request of the operator is a JSON object: write {}")
        return await self._step(table) if verb == "step" else self._verbs.by_name[verb](table)

    def _is_token(self, token: str) -> bool:
        return bool(self._token) and hmac.compare_digest(token.encode(), self._token.encode())

    def _state(self) -> JsonDict:
        exchange = self._stage.exchange
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
            "n_sockets": len(list_connections(self._verbs.hubs)),
            "faults": {number: fault.path for number, fault in self._verbs.faults.waiting.items()},
            "script": {"left": len(self._stage.acts), "failed": self._stage.mishaps},
        }

    async def _step(self, table: Table) -> object:
        return {"now_ms": await self._stage.advance(int(read_number(table, "ms")))}


def _show(value: object) -> Answer:
    return Answer(200, encode(value).encode(), {})
