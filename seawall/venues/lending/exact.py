"""The verbs of a venue on a protocol's integers: tokens in float64 outside, wei inside.

``ExactVenue`` keeps the blocks of a loan's state equal to the integers after every change, so that
all that reads the state (trace, books, parts of the equity change) works as with the kernels. What
the protocol's rounding takes or gives, a wei here and there, is booked as interest.
"""

from math import inf
from typing import Any

from seawall.market.series import FloatArray
from seawall.venues.lending import kernels, layout, race
from seawall.venues.lending.exact_pools import IntegerPool, Taken
from seawall.venues.lending.fixed import ALL, WAD
from seawall.venues.lending.rules import AaveRules
from seawall.venues.lending.venue import (
    check_borrow,
    check_repayment,
    check_supply,
    check_withdrawal,
)

_PRICE = 10**8
_NEARLY = 1e-12  # of an amount: what float64 may be short of

Deal = tuple[float, float, float, float]
"""What a liquidation repaid, seized, charged as a fee (tokens) and left as bad debt (USD)."""


class ExactVenue:
    """A protocol's own arithmetic for one account; a ``LendingVenue``.

    Attributes:
        pool: the protocol.
        decimals: of each asset.
        parameters, rules: as in ``layout``.
    """

    def __init__(
        self,
        state: FloatArray,
        parameters: FloatArray,
        rules: FloatArray,
        names: tuple[str, ...],
        decimals: tuple[int, ...],
        pool: IntegerPool,
    ) -> None:
        self._state, self._n = state, len(names)
        self.collateral = race.block(state, layout.COLLATERAL, self._n)
        self.debt = race.block(state, layout.DEBT, self._n)
        self.parameters, self.rules, self.names = parameters, rules, names
        self.decimals, self.pool = decimals, pool
        self._lent = tuple(names.index(asset) for asset in pool.assets)

    def open(self, prices: FloatArray) -> None:
        """Take the loan that stands in the state, and note it as the protocol does."""
        self.set_prices(prices)
        for k in self._lent:
            if self.collateral[k] > 0.0:
                self.pool.supply(self.names[k], self._to_wei(k, self.collateral[k]))
        for k in self._lent:
            if self.debt[k] > 0.0:
                self.pool.borrow(self.names[k], self._to_wei(k, self.debt[k]))
        for k in self._lent:
            self.collateral[k], self.debt[k] = self._held(k), self._owed(k)

    def change(self, parameters: FloatArray, rules: FloatArray, version: AaveRules | None) -> None:
        """Put other parameters and rules in force, as governance does."""
        self.parameters, self.rules = parameters, rules
        self.pool.change({self.names[k]: parameters[k] for k in self._lent}, version)
        self.synchronise()

    def accrue(self, row: FloatArray) -> None:
        """Let one bar's interest grow collateral and debt; ``row``: of the world."""
        supply = race.of_world(row, layout.SUPPLY_RATE, self._n)
        borrow = race.of_world(row, layout.BORROW_RATE, self._n)
        rates = {
            self.names[k]: kernels.rates_of(
                self.parameters[k], self.collateral[k], self.debt[k], supply[k], borrow[k]
            )
            for k in self._lent
        }
        self.pool.accrue(rates, round(row[layout.SECONDS]))
        self.synchronise()

    def synchronise(self) -> None:
        """Let the state follow the integers; what differs is interest."""
        for k in self._lent:
            held, owed = self._held(k), self._owed(k)
            race.add_interest(
                self._state, k, held - self.collateral[k], owed - self.debt[k], self._n
            )
            self.collateral[k], self.debt[k] = held, owed

    # The verbs ------------------------------------------------------------------------------------

    def supply(self, k: int, amount: float) -> float:
        """Add collateral."""
        check_supply(self, k, amount)
        wei, moved = self._pay(k, amount)
        self.pool.supply(self.names[k], wei)
        self.collateral[k] += moved
        self.synchronise()
        return moved

    def withdraw(self, k: int, amount: float, prices: FloatArray) -> float:
        """Take collateral back."""
        check_withdrawal(self, k, amount)
        self.set_prices(prices)
        is_all = amount >= self.collateral[k]
        taken = self.pool.withdraw(self.names[k], ALL if is_all else self._to_wei(k, amount))
        moved = self._to_tokens(k, taken)
        self.collateral[k] -= moved
        self.synchronise()
        return moved

    def borrow(self, k: int, amount: float, prices: FloatArray) -> float:
        """Take debt."""
        check_borrow(self, k, amount)
        self.set_prices(prices)
        wei = self._to_wei(k, amount)
        self.pool.borrow(self.names[k], wei)
        moved = self._to_tokens(k, wei)
        self.debt[k] += moved
        self.synchronise()
        return moved

    def repay(self, k: int, amount: float) -> float:
        """Pay debt back."""
        check_repayment(self, k, amount)
        is_all = amount >= self.debt[k]
        wei, moved = (ALL, 0.0) if is_all else self._pay(k, amount)
        paid = self.pool.repay(self.names[k], wei)
        moved = self._to_tokens(k, paid) if is_all else moved
        self.debt[k] -= moved
        self.synchronise()
        return moved

    def liquidate(self, i: int, j: int, wanted: float, prices: FloatArray) -> Deal:
        """Let a liquidator act and return what it did, as ``kernels.liquidate`` does.

        The wei that rounding took on the way are left to ``synchronise``, so that they are not
        booked as a part of the liquidation.

        Raises:
            Refused: the protocol forbids it.
        """
        self.set_prices(prices)
        is_absorbed = self.rules[layout.PROTOCOL] == layout.COMET
        whole = wanted >= self.debt[j]
        taken = self.pool.liquidate(
            self.names[i], self.names[j], ALL if whole else self._to_wei(j, wanted)
        )
        deal = self._to_deal(i, j, taken, prices)
        repaid, seized, _, bad = deal
        if is_absorbed:
            for k in self._lent:
                self.collateral[k], self.debt[k] = self._held(k), 0.0
        else:
            kernels.settle(
                self.collateral, self.debt, prices, self.parameters, self.rules,
                i, j, repaid, seized, bad,
            )  # fmt: skip
        return deal

    def _to_deal(self, i: int, j: int, taken: Taken, prices: FloatArray) -> Deal:
        bad = 0.0
        for asset, owed in taken.bad_debt.items():
            k = self.names.index(asset)
            bad += self._to_tokens(k, owed) * prices[k]
        return (
            self._to_tokens(j, taken.repaid),
            self._to_tokens(i, taken.seized),
            self._to_tokens(i, taken.fee),
            float(bad),
        )

    def health(self, prices: FloatArray) -> float:
        """Return the health factor."""
        self.set_prices(prices)
        health = self.pool.health()
        return inf if health == ALL else health / WAD

    def save(self) -> object:
        """Return the integers and the state."""
        return self.pool.save(), self._state.copy()

    def restore(self, saved: Any) -> None:
        """Put them back."""
        pool, state = saved
        self.pool.restore(pool)
        self._state[:] = state

    def set_prices(self, prices: FloatArray) -> None:
        """Let the oracle say something, with 8 decimals."""
        self.pool.set_prices({self.names[k]: round(prices[k] * _PRICE) for k in self._lent})

    # Between tokens and wei -----------------------------------------------------------------------

    def _to_wei(self, k: int, amount: float) -> int:
        """Return tokens in wei, to the nearest."""
        numerator, denominator = float(amount).as_integer_ratio()
        return (numerator * self._unit(k) + denominator // 2) // denominator

    def _pay(self, k: int, amount: float) -> tuple[int, float]:
        """Return what an amount pays, wei and tokens: no more than it is."""
        wei = self._to_wei(k, amount)
        if self._to_tokens(k, wei) > amount * (1 + _NEARLY):
            wei -= 1
        return wei, min(self._to_tokens(k, wei), amount)

    def _to_tokens(self, k: int, wei: int) -> float:
        return wei / self._unit(k)

    def _unit(self, k: int) -> int:
        return int(10 ** self.decimals[k])

    def _held(self, k: int) -> float:
        return self._to_tokens(k, self.pool.collateral(self.names[k]))

    def _owed(self, k: int) -> float:
        return self._to_tokens(k, self.pool.debt(self.names[k]))
