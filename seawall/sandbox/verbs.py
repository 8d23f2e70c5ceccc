"""What the operator does to an exchange, by verbs: to its prices, accounts, faults and streams.

The admin API does them when it is asked (``admin_api``), a script at times of its own (``stage``).
"""

from collections.abc import Callable

from seawall.errors import RecipeError, SeawallError
from seawall.sandbox.decimals import from_float, money_to_text, to_text
from seawall.sandbox.exchange import Exchange
from seawall.sandbox.faults import EventFault, Faults, read_fault
from seawall.sandbox.linear_account import find_transferable, pay
from seawall.sandbox.market import Market
from seawall.sandbox.refusals import ApiError
from seawall.sandbox.script import Act, Table
from seawall.sandbox.streams import Hub, list_connections

SCRIPTED = ("price", "skew", "maintenance", "sockets", "events", "liquidity", "deposit", "clear")
WRONG = (SeawallError, ApiError, ValueError, KeyError, TypeError)  # what a wrong table raises


class Verbs:
    """What the operator of one exchange can do at once.

    Attributes:
        hubs: the streams of all products.
        faults: what waits to go wrong.
        by_name: the verbs; each takes a table, and returns what is answered.
    """

    def __init__(self, exchange: Exchange, faults: Faults, *, spot: Hub, linear: Hub) -> None:
        """Make the verbs; ``spot`` and ``linear`` are the products' streams."""
        self.exchange, self.faults = exchange, faults
        self.hubs, self._spot = (spot, linear), spot
        self.by_name: dict[str, Callable[[Table], object]] = {
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

    def act(self, act: Act) -> str:
        """Do what a script says now; return what was wrong with it, empty where nothing was."""
        try:
            self.by_name[act.verb](act.table)
        except WRONG as error:
            return f"{act.verb} of the script failed: {error}"
        return ""

    def _account(self, table: Table) -> object:
        balances = table.get("balances", {})
        if not isinstance(balances, dict):
            raise RecipeError("balances are amounts by asset: write {'USDT': 1000}")
        account = self.exchange.open_account(
            str(table["name"]),
            key=str(table["key"]),
            secret=str(table["secret"]),
            balances={str(asset): float(amount) for asset, amount in balances.items()},
            futures=read_number(table, "futures") if "futures" in table else 0.0,
        )
        return {"uid": account.number}

    def _deposit(self, table: Table) -> object:
        accounts = self.exchange.accounts.by_name
        name, asset = str(table["account"]), str(table["asset"])
        if name not in accounts:
            raise RecipeError(f"accounts are {', '.join(accounts)}, is {name!r}: choose one")
        if table.get("wallet", "spot") == "futures":
            return self._pay(name, asset, from_float(read_number(table, "amount")))
        balance = accounts[name].balance(asset)
        units = from_float(read_number(table, "amount"))
        if balance.free + units < 0:
            raise RecipeError(f"what is free can be taken, {to_text(balance.free)}: take less")
        balance.free += units
        now_ms = self.exchange.catch_up()
        self._spot.tell(
            accounts[name],
            {"e": "balanceUpdate", "E": now_ms, "a": asset, "d": to_text(units), "T": now_ms},
        )
        return {"free": to_text(balance.free)}

    def _pay(self, name: str, asset: str, units: int) -> object:
        """Let money come into or leave a futures wallet."""
        exchange = self.exchange
        desk, now_ms = exchange.linear, exchange.catch_up()
        if asset != desk.asset:
            raise RecipeError(f"futures wallets hold {desk.asset}, is {asset!r}: pay that")
        seat = desk.seat(exchange.accounts.by_name[name])
        pay(desk, seat, units, now_ms)
        return {"free": money_to_text(find_transferable(desk, seat))}

    def _fault(self, table: Table) -> object:
        return {"fault": self.faults.add(read_fault(table))}

    def _events(self, table: Table) -> object:
        kind: EventFault = table["kind"]  # type: ignore[assignment]  # checked by whom it is given
        self.faults.strike_events(kind, int(read_number(table, "n")))
        return {}

    def _clear(self, _table: Table) -> object:
        self.faults.clear()
        self.exchange.skew_ms = 0
        self.exchange.is_in_maintenance = False
        return {}

    def _skew(self, table: Table) -> object:
        self.exchange.skew_ms = int(read_number(table, "ms"))
        return {}

    def _maintenance(self, table: Table) -> object:
        self.exchange.is_in_maintenance = bool(table["on"])
        return {}

    def _price(self, table: Table) -> object:
        self._market(table).gap(read_number(table, "factor"))
        return {}

    def _liquidity(self, table: Table) -> object:
        changed = {name: read_number(table, name) for name in table if name != "symbol"}
        self._market(table).supply(changed)
        return {}

    def _sockets(self, table: Table) -> object:
        how = "drop" if table.get("how", "drop") == "drop" else "close"
        connections = list_connections(self.hubs)
        for connection in connections:
            connection.end("drop" if how == "drop" else "close")
        return {"n": len(connections)}

    def _market(self, table: Table) -> Market:
        markets = {one.symbol: one for one in self.exchange.all_markets}
        symbol = str(table["symbol"])
        if symbol not in markets:
            raise RecipeError(f"markets are {', '.join(markets)}, is {symbol!r}: choose one")
        return markets[symbol]


def read_number(table: Table, name: str) -> float:
    """Return a number of a table.

    Raises:
        RecipeError: it is none.
    """
    value = table.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RecipeError(f"{name} is a number, is {value!r}: write one")
    return float(value)
