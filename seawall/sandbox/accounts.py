"""Accounts: their keys, and what of each asset is free or locked, in 1e-8 units."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from seawall.errors import RecipeError
from seawall.sandbox.order_lists import OrderList
from seawall.sandbox.orders import History

SHORTEST_KEY = 8


@dataclass(slots=True)
class Balance:
    """What an account has of one asset."""

    free: int = 0
    locked: int = 0

    @property
    def total(self) -> int:
        """Free and locked together."""
        return self.free + self.locked


@dataclass(kw_only=True, eq=False)
class Account:
    """One account; ``maker_fee`` and ``taker_fee`` are fractions in 1e-8 units.

    Attributes:
        name: how the exchange's operator calls it.
        key: what the client sends; ``secret``: what it signs with.
        number: the uid that clients see.
        balances: of the spot wallet, by asset.
        histories: orders and trades, by market code.
        order_lists: pairs of spot orders, by number; of those that are over the last ``kept``.
    """

    name: str
    key: str
    secret: bytes = field(repr=False)
    number: int
    maker_fee: int
    taker_fee: int
    kept: int
    balances: dict[str, Balance] = field(default_factory=dict)
    histories: dict[str, History] = field(default_factory=dict)
    order_lists: dict[int, OrderList] = field(default_factory=dict)
    update_ms: int = 0

    def balance(self, asset: str) -> Balance:
        """Return the balance of an asset, made where there is none."""
        found = self.balances.get(asset)
        if found is None:
            found = self.balances[asset] = Balance()
        return found

    def history(self, code: str) -> History:
        """Return the orders and trades in a market."""
        found = self.histories.get(code)
        if found is None:
            found = self.histories[code] = History(self.kept)
        return found

    def add_list(self, made: OrderList) -> None:
        """Take a new pair of orders, and forget the oldest beyond what is kept."""
        self.order_lists[made.number] = made
        oldest = next(iter(self.order_lists.values()))
        if len(self.order_lists) > self.kept and oldest.is_over:
            del self.order_lists[oldest.number]


class Accounts:
    """All accounts of an exchange, by name and by key."""

    def __init__(self) -> None:
        self.by_name: dict[str, Account] = {}
        self.by_key: dict[str, Account] = {}

    def open(
        self,
        name: str,
        *,
        key: str,
        secret: str,
        balances: Mapping[str, int],
        fees: tuple[int, int],
        kept: int,
    ) -> Account:
        """Open an account; ``fees`` are maker and taker, balances 1e-8 units.

        Raises:
            RecipeError: name or key is taken, or the key is too short to be one.
        """
        if name in self.by_name or key in self.by_key:
            raise RecipeError(
                f"accounts have names and keys of their own, {name!r} is taken: change it"
            )
        if len(key) < SHORTEST_KEY or not secret:
            raise RecipeError(
                f"an account's key must have >= {SHORTEST_KEY} characters and a secret, {name!r} "
                f"has {len(key)}: make up a longer one"
            )
        account = Account(
            name=name,
            key=key,
            secret=secret.encode(),
            number=len(self.by_name) + 1,
            maker_fee=fees[0],
            taker_fee=fees[1],
            kept=kept,
        )
        for asset, units in balances.items():
            account.balance(asset).free = units
        self.by_name[name] = self.by_key[key] = account
        return account
