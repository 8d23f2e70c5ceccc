"""The books: every change of an account is an entry, and the entries make the balances.

Double entry: one row moves ``amount`` of one asset between the account's wallet and the counter
account that its ``kind`` names (``initial``, ``trade``, ``slippage``, ``fee``), so each transaction
balances per asset by construction. > 0 comes into the wallet, < 0 leaves it. A trade is booked at
the price before spread and slippage; what these cost is its own entry.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from seawall.errors import LedgerError

EntryKind = Literal[
    "initial", "trade", "slippage", "fee", "liquidation",
    # of a loan, whose assets are written "wallet:ETH", "collateral:WETH" and "debt:USDC"
    "supply", "withdraw", "borrow", "repay", "swap", "wrap", "gas", "flash_loan", "flash_premium",
    "interest", "bad_debt",
    # of a futures account, whose assets are written "perpetual:USDT" and "contract:ETH/USDT:USDT"
    "pnl", "funding", "liquidation_fee", "insurance", "transfer", "transfer_cost",
    # of the agent's thinking, whose asset is written "owed:USDT": the bill lies beside the venues
    "thinking",
]  # fmt: skip
TOLERANCE = 1e-9


class Entry(NamedTuple):
    """One movement inside a transaction; ``amount`` in units of ``asset``, > 0 is received."""

    kind: EntryKind
    asset: str
    amount: float


class LedgerRow(NamedTuple):
    """One entry as it is stored; ``transaction`` counts from 0."""

    time_ms: int
    transaction: int
    kind: EntryKind
    asset: str
    amount: float


class _Sum:
    """A running total with its rounding error kept (Neumaier): a long run does not drift."""

    __slots__ = ("error", "peak", "total")

    def __init__(self) -> None:
        self.total = self.error = self.peak = 0.0

    def add(self, amount: float) -> None:
        """Add one amount; ``peak`` is the largest total ever, in size."""
        before = self.total
        after = self.total = before + amount
        big, small = (before, amount) if abs(before) >= abs(amount) else (amount, before)
        self.error += (big - after) + small
        self.peak = max(self.peak, abs(after))


_NOTHING = _Sum()


class Ledger:
    """An append-only journal of entries, and the balances that they add up to."""

    __slots__ = (
        "_amounts", "_assets", "_kinds", "_sums", "_times", "_transactions", "n_transactions",
    )  # fmt: skip

    def __init__(self) -> None:
        self._times = array("q")
        self._transactions = array("q")
        self._kinds: list[EntryKind] = []
        self._assets: list[str] = []
        self._amounts = array("d")
        self._sums: dict[str, _Sum] = {}
        self.n_transactions = 0

    def __len__(self) -> int:
        return len(self._amounts)

    def post(self, time_ms: int, entries: Sequence[Entry]) -> int:
        """Append one transaction and return its number; entries of 0.0 are left out."""
        transaction = self.n_transactions
        for kind, asset, amount in entries:
            if amount:
                self._times.append(time_ms)
                self._transactions.append(transaction)
                self._kinds.append(kind)
                self._assets.append(asset)
                self._amounts.append(amount)
                if asset not in self._sums:
                    self._sums[asset] = _Sum()
                self._sums[asset].add(amount)
        self.n_transactions = transaction + 1
        return transaction

    def balance(self, asset: str) -> float:
        """Return what the entries of ``asset`` add up to, in its units."""
        found = self._sums.get(asset, _NOTHING)
        return found.total + found.error

    def total(self, kind: EntryKind, asset: str) -> float:
        """Return the sum of one kind of entries of ``asset``."""
        return sum(row.amount for row in self if row.kind == kind and row.asset == asset)

    def check(self, balances: Mapping[str, float]) -> None:
        """Compare the books with what the venue says is there.

        Raises:
            LedgerError: an asset differs by more than 1e-9 of the largest balance it ever had.
        """
        for asset in self._sums.keys() | balances.keys():
            booked, found = self.balance(asset), balances.get(asset, 0.0)
            peak = self._sums.get(asset, _NOTHING).peak
            if not abs(booked - found) <= TOLERANCE * max(peak, abs(found)):
                raise LedgerError(
                    f"entries and balances must agree, the entries of {asset} add up to "
                    f"{booked!r}, the account holds {found!r}: a defect of Seawall, "
                    "please report it"
                )

    def __iter__(self) -> Iterator[LedgerRow]:
        columns = (self._times, self._transactions, self._kinds, self._assets, self._amounts)
        return map(LedgerRow._make, zip(*columns, strict=True))

    def to_columns(self) -> dict[str, Sequence[object]]:
        """Return the entries as columns, ready for a DataFrame; ``time_ms`` in UTC milliseconds."""
        return {
            "time_ms": self._times,
            "transaction": self._transactions,
            "kind": self._kinds,
            "asset": self._assets,
            "amount": self._amounts,
        }
