"""One interface over every protocol: what an account can do at a lending pool, in float64.

``FloatVenue`` works on the blocks of a loan's state, which the race's kernels work on too;
``exact.ExactVenue`` carries the same verbs to a protocol's integers.
"""

from typing import Protocol

import numpy as np

from seawall.errors import Refused
from seawall.market.series import FloatArray
from seawall.venues.lending import kernels, layout, race

NATIVE = "ETH"  # pays gas, is lent nowhere
_SLACK = 1e-9  # of an amount: what float64 may be short of


class LendingVenue(Protocol):
    """What an account can do; ``k`` is the place of an asset, amounts are tokens.

    Prices are USD per token, shape (n_assets,). ``inf`` is all there is. Each verb returns the
    tokens that moved, and raises ``Refused`` where the protocol forbids it: nothing moves then.
    """

    def supply(self, k: int, amount: float) -> float:
        """Add collateral."""
        ...

    def withdraw(self, k: int, amount: float, prices: FloatArray) -> float:
        """Take collateral back; the health factor must stay at 1 or above."""
        ...

    def borrow(self, k: int, amount: float, prices: FloatArray) -> float:
        """Take debt; the loan to value must stay within its limit."""
        ...

    def repay(self, k: int, amount: float) -> float:
        """Pay debt back."""
        ...

    def health(self, prices: FloatArray) -> float:
        """Return the health factor; inf without debt."""
        ...

    def save(self) -> object:
        """Return what ``restore`` takes to undo everything since."""
        ...

    def restore(self, saved: object) -> None:
        """Undo everything since ``save``."""
        ...


class Account(Protocol):
    """What the checks that come before any protocol's own look at; as in ``layout``."""

    collateral: FloatArray
    debt: FloatArray
    parameters: FloatArray
    rules: FloatArray
    names: tuple[str, ...]


def check_supply(account: Account, k: int, amount: float) -> None:
    """Refuse collateral that the protocol does not take, or none."""
    if not account.parameters[k, layout.THRESHOLD] > 0.0:
        raise Refused(f"{account.names[k]} must be collateral at this protocol, is not: swap first")
    if not amount > 0.0:
        raise Refused(f"collateral to add must be > 0, is {amount:g} {account.names[k]}: buy some")


def check_withdrawal(account: Account, k: int, amount: float) -> None:
    """Refuse to take more than is there, unless it is all."""
    held = float(account.collateral[k])
    if not held > 0.0:
        raise Refused(f"no {account.names[k]} lies at the protocol to withdraw: leave it out")
    if amount > held * (1 + _SLACK) and amount != np.inf:
        raise Refused(
            f"a withdrawal of {account.names[k]} must be at most the collateral of {held:.6g}, is "
            f"{amount:.6g}: withdraw less"
        )


def check_repayment(account: Account, k: int, amount: float) -> None:
    """Refuse to repay what is not owed, or nothing."""
    if not account.debt[k] > 0.0:
        raise Refused(
            f"a repayment needs a debt, there is none of {account.names[k]}: leave it out"
        )
    if not amount > 0.0:
        raise Refused(f"a repayment must be > 0, is {amount:g} {account.names[k]}: get some first")


def check_borrow(account: Account, k: int, amount: float) -> None:
    """Refuse a loan of what the protocol does not lend.

    Compound and Morpho lend one asset. Compound would take it from what the account has lent first
    (an absorption may leave that): a withdrawal says so.
    """
    name, lent = account.names[k], account.names[int(account.rules[layout.BASE_ASSET])]
    protocol = account.rules[layout.PROTOCOL]
    if not amount < np.inf:
        raise Refused("a borrowed amount must be finite, is all: name the amount")
    if protocol in (layout.COMET, layout.MORPHO) and name != lent:
        raise Refused(f"this market lends {lent} alone, the loan is of {name}: borrow {lent}")
    if name == NATIVE:
        raise Refused(f"{NATIVE} is lent nowhere: borrow WETH and swap it")
    if protocol == layout.COMET and account.collateral[k] > 0.0:
        raise Refused(
            f"{float(account.collateral[k]):.6g} {name} lie at the protocol, a loan would take "
            "them first: withdraw them"
        )


class FloatVenue:
    """A protocol's rules as kernels, on the collateral and debt of a state."""

    def __init__(
        self, state: FloatArray, parameters: FloatArray, rules: FloatArray, names: tuple[str, ...]
    ) -> None:
        self.collateral = race.block(state, layout.COLLATERAL, len(names))
        self.debt = race.block(state, layout.DEBT, len(names))
        self.parameters, self.rules, self.names = parameters, rules, names

    def supply(self, k: int, amount: float) -> float:
        """Add collateral."""
        check_supply(self, k, amount)
        self.collateral[k] += amount
        return amount

    def withdraw(self, k: int, amount: float, prices: FloatArray) -> float:
        """Take collateral back."""
        check_withdrawal(self, k, amount)
        held = float(self.collateral[k])
        moved = min(amount, held)
        self.collateral[k] = held - moved
        if self.debt.any() and not self._may_withdraw(prices):
            health = self.health(prices)
            self.collateral[k] = held
            raise Refused(
                f"after a withdrawal the health factor must be >= 1, would be {health:.4f}: "
                "withdraw less, or repay first"
            )
        return moved

    def _may_withdraw(self, prices: FloatArray) -> bool:
        if self.rules[layout.PROTOCOL] == layout.COMET:
            return bool(kernels.can_borrow(self.collateral, self.debt, prices, self.parameters))
        return self.health(prices) >= 1.0

    def borrow(self, k: int, amount: float, prices: FloatArray) -> float:
        """Take debt."""
        check_borrow(self, k, amount)
        row = self.parameters[k]
        there = row[layout.POOL_SUPPLY] + self.collateral[k] - row[layout.POOL_DEBT] - self.debt[k]
        if row[layout.POOL_SUPPLY] > 0.0 and amount > there:
            raise Refused(
                f"a pool lends what is in it, {there:,.6g} {self.names[k]}, asked for are "
                f"{amount:,.6g}: borrow less"
            )
        self.debt[k] += amount
        if not kernels.can_borrow(self.collateral, self.debt, prices, self.parameters):
            self.debt[k] -= amount
            limit = kernels.borrowable_of(self.collateral, prices, self.parameters)
            owed = kernels.weigh(self.debt, prices)
            raise Refused(
                f"a loan may be at most {limit:,.2f} USD here, would be "
                f"{owed + amount * prices[k]:,.2f}: borrow less, or supply first"
            )
        return amount

    def repay(self, k: int, amount: float) -> float:
        """Pay debt back."""
        check_repayment(self, k, amount)
        owed = float(self.debt[k])
        moved = min(amount, owed)
        self.debt[k] = owed - moved
        return moved

    def health(self, prices: FloatArray) -> float:
        """Return the health factor."""
        return float(kernels.health_of(self.collateral, self.debt, prices, self.parameters))

    def save(self) -> object:
        """Return copies of the balances."""
        return self.collateral.copy(), self.debt.copy()

    def restore(self, saved: object) -> None:
        """Put the balances back."""
        self.collateral[:], self.debt[:] = saved  # type: ignore[misc]  # what save gave
