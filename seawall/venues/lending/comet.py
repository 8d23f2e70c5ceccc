"""Compound v3 (Comet) as a specification in integers: one base token, several collaterals.

Units: amounts in wei of their token, prices in USD with 8 decimals, factors and utilisation as WAD
(1e18), rates per second as WAD, indices scaled by 1e15, times in seconds. An account has one base
balance: positive it is lent, negative it is owed. It is kept as a principal, rounded against the
account: what is lent down, what is owed up.

Liquidation has two halves. ``absorb`` takes ALL collateral of an account and credits its value
times the liquidation factor; a surplus stays the user's as base, a shortfall is the reserves' loss.
``buy_collateral`` then sells what was taken to anybody, at a discount, while the reserves are below
their target. Adding or taking collateral accrues no interest first, as in the contract.

An operation that is refused changes nothing, the accrual of interest included.

Source: ``Comet.sol`` and ``CometCore.sol``, compound-finance/comet. npm does not carry them, so
this one is held to the published rules alone, in ``tests/test_lending_comet.py``.
Left out: rewards, transfers between accounts, pausing, and the overflow of 64 and 104 bits.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from seawall.errors import Refused
from seawall.venues.lending.comet_parameters import Collateral, CometParameters
from seawall.venues.lending.comet_state import (
    INDEX_SCALE,
    NOBODY,
    Absorption,
    CometAccount,
    CometLiquidation,
    CometPosition,
    CometTotals,
)
from seawall.venues.lending.fixed import ALL, WAD, ceil_div

NO_DEBT = 2**256 - 1


class Comet:
    """One deployment: its parameters, the oracle's prices, and the accounts.

    Attributes:
        parameters: see ``CometParameters``.
        prices: USD with 8 decimals, by asset, the base token included.
        totals, positions: the state.
        fixed_rates: supply and borrow rate per second (WAD) where they are given from outside.
    """

    def __init__(
        self, parameters: CometParameters, prices: Mapping[str, int], *, now_s: int
    ) -> None:
        self.parameters = parameters
        self.prices: dict[str, int] = {}
        for asset in (parameters.base, *parameters.collaterals):
            if asset not in prices:
                raise Refused(f"BadPrice: every asset needs a price, {asset} has none: give one")
            self.set_price(asset, prices[asset])
        self.totals = CometTotals(last_accrual_s=now_s)
        self.positions: dict[str, CometPosition] = {}
        self.fixed_rates: tuple[int, int] | None = None

    def set_price(self, asset: str, price_usd: int) -> None:
        """Let the oracle say ``price_usd``, USD with 8 decimals."""
        if price_usd <= 0:
            raise Refused(f"BadPrice: a price is > 0, of {asset} is {price_usd}: correct it")
        self.prices[asset] = price_usd

    def set_rates(self, supply_rate: int, borrow_rate: int) -> None:
        """Use rates given from outside (WAD per second) from the last accrual on."""
        self.fixed_rates = (supply_rate, borrow_rate)

    def find_utilization(self) -> int:
        """Return what is borrowed over what is lent, as of the last accrual; WAD."""
        supplied, borrowed = self._measure_totals()
        return borrowed * WAD // supplied if supplied else 0

    def find_rates(self) -> tuple[int, int]:
        """Return supply and borrow rate per second, as of the last accrual; WAD."""
        if self.fixed_rates is not None:
            return self.fixed_rates
        utilization = self.find_utilization()
        parameters = self.parameters
        return parameters.supply_curve.rate(utilization), parameters.borrow_curve.rate(utilization)

    def accrue(self, now_s: int) -> None:
        """Grow both indices by the interest since the last accrual: linear in time."""
        elapsed_s = now_s - self.totals.last_accrual_s
        if elapsed_s == 0:
            return
        supply_rate, borrow_rate = self.find_rates()
        supply_index, borrow_index = self.totals.supply_index, self.totals.borrow_index
        self.totals = replace(
            self.totals,
            last_accrual_s=now_s,
            supply_index=supply_index + supply_index * (supply_rate * elapsed_s) // WAD,
            borrow_index=borrow_index + borrow_index * (borrow_rate * elapsed_s) // WAD,
        )

    def supply(self, user: str, amount: int, now_s: int) -> int:
        """Pay base in: it repays what is owed, the rest is lent. ``ALL`` repays exactly the debt.

        Returns what was paid, wei.
        """
        if amount == ALL:
            amount = self.debt(user, now_s)
        with self._transaction(now_s):
            self._pay_in(user, amount)
            self.totals = replace(self.totals, cash=self.totals.cash + amount)
        return amount

    def repay(self, user: str, amount: int, now_s: int) -> int:
        """Pay debt back; more than the debt is lent, as ``supply`` does."""
        return self.supply(user, amount, now_s)

    def withdraw(self, user: str, amount: int, now_s: int) -> int:
        """Take base out: first what is lent, the rest is borrowed. ``ALL`` takes what is lent.

        Returns what was taken, wei.
        """
        if amount == ALL:
            amount = self.account(user, now_s).supplied
        with self._transaction(now_s):
            balance = self._take_out(user, amount)
            if balance < 0:
                if -balance < self.parameters.borrow_min:
                    raise Refused(
                        f"BorrowTooSmall: a debt is at least {self.parameters.borrow_min}, would "
                        f"be {-balance}: borrow more"
                    )
                self._require_collateral(user)
            if amount > self.totals.cash:
                raise Refused(
                    f"TransferOutFailed: {self.totals.cash} base tokens are there, asked for are "
                    f"{amount}: ask for less"
                )
            self.totals = replace(self.totals, cash=self.totals.cash - amount)
        return amount

    def borrow(self, user: str, amount: int, now_s: int) -> int:
        """Borrow base; what the account has lent is taken first, as ``withdraw`` does."""
        return self.withdraw(user, amount, now_s)

    def supply_collateral(self, user: str, asset: str, amount: int) -> None:
        """Add collateral, wei; the account owns it, it earns nothing."""
        cap = self._rule(asset).supply_cap
        total = self.totals.collateral.get(asset, 0) + amount
        if cap is not None and total > cap:
            raise Refused(f"SupplyCapExceeded: at most {cap} {asset}, would be {total}: add less")
        self._change_collateral(user, asset, amount)
        self._change_held(asset, amount)

    def withdraw_collateral(self, user: str, asset: str, amount: int) -> None:
        """Take collateral out, wei, as far as the rest covers the debt by the borrow factors."""
        before = self.totals, dict(self.positions)
        try:
            self._change_collateral(user, asset, -amount)
            self._require_collateral(user)
        except Refused:
            self.totals, self.positions = before
            raise
        self._change_held(asset, -amount)

    def is_liquidatable(self, user: str) -> bool:
        """Return whether the account may be absorbed, by the indices of the last accrual."""
        return self._find_liquidity(user, to_borrow=False) < 0

    def absorb(self, user: str, now_s: int) -> Absorption:
        """Take the whole position onto the protocol's books: all collateral, all debt."""
        with self._transaction(now_s):
            if not self.is_liquidatable(user):
                raise Refused(
                    f"NotLiquidatable: an absorption needs a health below 1e18, is "
                    f"{self.account(user, now_s).health}: wait"
                )
            position = self.positions[user]
            balance = self._present(position.principal)
            seized = {
                a: n for a in self.parameters.collaterals if (n := position.collateral.get(a))
            }
            credit = self._credit(seized)
            new_balance = max(0, balance + credit)
            for asset, amount in seized.items():
                self._change_collateral(user, asset, -amount)
            self._pay_in(user, new_balance - balance)
        shortfall = max(0, -(balance + credit))
        return Absorption(seized, new_balance - balance, new_balance, shortfall)

    def liquidate(self, user: str, now_s: int) -> CometLiquidation:
        """Absorb an account, then buy what was seized, as one liquidator does in one transaction.

        Nothing is bought, and nothing refused, where the reserves have reached their target.
        """
        absorption = self.absorb(user, now_s)
        bought: dict[str, int] = {}
        paid = 0
        for asset, amount in absorption.seized.items():
            if self.reserves(now_s) < self.parameters.target_reserves:
                base_amount = self.quote_base(asset, amount)
                bought[asset] = self.buy_collateral(asset, base_amount, now_s)
                paid += base_amount
        return CometLiquidation(absorption, bought, paid)

    def quote_collateral(self, asset: str, base_amount: int) -> int:
        """Return the collateral that ``base_amount`` buys from the protocol, wei."""
        value = self.prices[self.parameters.base] * base_amount * self._rule(asset).scale
        return value // self._sale_price(asset) // self.parameters.base_scale

    def quote_base(self, asset: str, amount: int) -> int:
        """Return the most base that buys no more than ``amount`` collateral, wei."""
        value = self._sale_price(asset) * (amount + 1) * self.parameters.base_scale
        return ceil_div(value, self.prices[self.parameters.base] * self._rule(asset).scale) - 1

    def buy_collateral(self, asset: str, base_amount: int, now_s: int) -> int:
        """Buy absorbed collateral at the discount; returns how much, wei."""
        reserves = self.reserves(now_s)
        if reserves >= self.parameters.target_reserves:
            raise Refused(
                f"NotForSale: collateral is sold while reserves are below "
                f"{self.parameters.target_reserves}, are {reserves}: wait"
            )
        amount = self.quote_collateral(asset, base_amount)
        if amount > self.collateral_reserves(asset):
            raise Refused(
                f"InsufficientReserves: for sale are {self.collateral_reserves(asset)} {asset}, "
                f"asked for are {amount}: pay less"
            )
        self.totals = replace(self.totals, cash=self.totals.cash + base_amount)
        self._change_held(asset, -amount)
        return amount

    def reserves(self, now_s: int) -> int:
        """Return the protocol's own base at ``now_s``: cash - lent + owed, wei; may be negative."""
        with self._glance(now_s):
            supplied, borrowed = self._measure_totals()
        return self.totals.cash - supplied + borrowed

    def collateral_reserves(self, asset: str) -> int:
        """Return the collateral that the protocol holds for itself, wei."""
        return self.totals.held.get(asset, 0) - self.totals.collateral.get(asset, 0)

    def account(self, user: str, now_s: int) -> CometAccount:
        """Return what the account has, owes and may owe, interest up to ``now_s`` included."""
        position = self.positions.get(user, NOBODY)
        with self._glance(now_s):
            balance = self._present(position.principal)
        debt, supplied = max(0, -balance), max(0, balance)
        debt_usd = debt * self.prices[self.parameters.base] // self.parameters.base_scale
        value = borrow_limit = liquidation = 0
        for asset, amount in position.collateral.items():
            rule = self._rule(asset)
            usd = amount * self.prices[asset] // rule.scale
            value += usd
            borrow_limit += usd * rule.borrow_factor // WAD
            liquidation += usd * rule.liquidate_factor // WAD
        health = liquidation * WAD // debt_usd if debt_usd else NO_DEBT
        return CometAccount(supplied, debt, debt_usd, value, borrow_limit, liquidation, health)

    def collateral(self, user: str, asset: str) -> int:
        """Return the account's collateral in one asset, wei."""
        return self.positions.get(user, NOBODY).collateral.get(asset, 0)

    def debt(self, user: str, now_s: int) -> int:
        """Return what the account owes at ``now_s``, wei."""
        return self.account(user, now_s).debt

    @contextmanager
    def _transaction(self, now_s: int) -> Iterator[None]:
        """Accrue, then let the block change the state: all of it, or nothing if it is refused."""
        before = self.totals, dict(self.positions)
        try:
            self.accrue(now_s)
            yield
        except Refused:
            self.totals, self.positions = before
            raise

    @contextmanager
    def _glance(self, now_s: int) -> Iterator[None]:
        """Look at the indices as they will be at ``now_s``, and leave them as they were."""
        before = self.totals
        try:
            self.accrue(now_s)
            yield
        finally:
            self.totals = before

    def _rule(self, asset: str) -> Collateral:
        rule = self.parameters.collaterals.get(asset)
        if rule is None:
            known = ", ".join(self.parameters.collaterals)
            raise Refused(f"BadAsset: collateral is one of {known}, is {asset}: choose one of them")
        return rule

    def _measure_totals(self) -> tuple[int, int]:
        """Return what all accounts have lent and owe, by the indices of the last accrual; wei."""
        totals = self.totals
        supplied = totals.supply_principal * totals.supply_index // INDEX_SCALE
        return supplied, totals.borrow_principal * totals.borrow_index // INDEX_SCALE

    def _present(self, principal: int) -> int:
        """Return the balance that a principal stands for, rounded towards zero."""
        if principal >= 0:
            return principal * self.totals.supply_index // INDEX_SCALE
        return -(-principal * self.totals.borrow_index // INDEX_SCALE)

    def _principal(self, present: int) -> int:
        """Return the principal of a balance: lent rounded down, owed rounded up."""
        if present >= 0:
            return present * INDEX_SCALE // self.totals.supply_index
        return -ceil_div(-present * INDEX_SCALE, self.totals.borrow_index)

    def _pay_in(self, user: str, amount: int) -> None:
        """Add to an account's base balance: debt first."""
        old = self.positions.get(user, NOBODY).principal
        new = self._principal(self._present(old) + amount)
        self._set_principal(user, old, new, follows=new >= old)

    def _take_out(self, user: str, amount: int) -> int:
        """Take from an account's base balance, what is lent first, and return what remains."""
        old = self.positions.get(user, NOBODY).principal
        balance = self._present(old) - amount
        new = self._principal(balance)
        self._set_principal(user, old, new)
        return balance

    def _set_principal(self, user: str, old: int, new: int, *, follows: bool = True) -> None:
        """Set an account's principal; the totals follow unless rounding lowers what was paid in."""
        position = self.positions.get(user, NOBODY)
        self.positions[user] = replace(position, principal=new)
        if follows:
            self.totals = replace(
                self.totals,
                supply_principal=self.totals.supply_principal + max(new, 0) - max(old, 0),
                borrow_principal=self.totals.borrow_principal + max(-new, 0) - max(-old, 0),
            )

    def _change_collateral(self, user: str, asset: str, amount: int) -> None:
        """Add to an account's collateral; it may not fall below zero."""
        position = self.positions.get(user, NOBODY)
        new = position.collateral.get(asset, 0) + amount
        if new < 0:
            raise Refused(
                f"Panic(0x11): no more can be taken than there is, {asset} would become {new}: "
                "ask for less"
            )
        total = self.totals.collateral.get(asset, 0) + amount
        self.positions[user] = replace(position, collateral={**position.collateral, asset: new})
        self.totals = replace(self.totals, collateral={**self.totals.collateral, asset: total})

    def _change_held(self, asset: str, amount: int) -> None:
        """Count collateral tokens that come in or go out."""
        held = self.totals.held.get(asset, 0) + amount
        self.totals = replace(self.totals, held={**self.totals.held, asset: held})

    def _credit(self, seized: Mapping[str, int]) -> int:
        """Return the base that absorbed collateral is worth to its former owner, wei."""
        value = 0
        for asset, amount in seized.items():
            rule = self._rule(asset)
            value += (amount * self.prices[asset] // rule.scale) * rule.liquidation_factor // WAD
        return value * self.parameters.base_scale // self.prices[self.parameters.base]

    def _sale_price(self, asset: str) -> int:
        """Return what the protocol asks for collateral, USD with 8 decimals."""
        penalty = WAD - self._rule(asset).liquidation_factor
        discount = self.parameters.storefront_factor * penalty // WAD
        return self.prices[asset] * (WAD - discount) // WAD

    def _find_liquidity(self, user: str, *, to_borrow: bool) -> int:
        """Return the collateral's value by its factors, less the debt's; USD with 8 decimals."""
        position = self.positions.get(user, NOBODY)
        if position.principal >= 0:
            return 0
        debt = -self._present(position.principal)
        liquidity = -(debt * self.prices[self.parameters.base] // self.parameters.base_scale)
        for asset, amount in position.collateral.items():
            rule = self._rule(asset)
            factor = rule.borrow_factor if to_borrow else rule.liquidate_factor
            liquidity += (amount * self.prices[asset] // rule.scale) * factor // WAD
        return liquidity

    def _require_collateral(self, user: str) -> None:
        liquidity = self._find_liquidity(user, to_borrow=True)
        if liquidity < 0:
            raise Refused(
                f"NotCollateralized: collateral by its borrow factors covers the debt, is short of "
                f"{-liquidity} (USD, 8 decimals): borrow less or add collateral"
            )
