"""One account at a protocol in integers, among lenders who never run dry: Aave, Comet, Morpho.

The three specifications behind one interface, for ``exact.ExactVenue``. Amounts are wei of their
token, ``ALL`` is everything there is, prices USD with 8 decimals, health a WAD (``ALL`` without
debt), rates fractions per year, times whole seconds. What a protocol forbids is ``Refused``.

Parameters are rows of ``layout``, by asset; they are rounded to what a contract can hold (basis
points; for Morpho and Comet millionths).

Left out: what the other users do. Rates come from outside, and there is always liquidity.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from seawall.errors import RecipeError
from seawall.market.series import FloatArray
from seawall.venues.lending import layout
from seawall.venues.lending.aave import AavePool, Rates, Reserve
from seawall.venues.lending.comet import Comet
from seawall.venues.lending.comet_parameters import CUSDC_V3, Collateral, CometParameters
from seawall.venues.lending.fixed import ALL, RAY, WAD, YEAR_S
from seawall.venues.lending.morpho import NOBODY, PRICE_SCALE, MorphoMarket
from seawall.venues.lending.morpho_rates import FixedRate
from seawall.venues.lending.morpho_shares import to_shares_down
from seawall.venues.lending.rules import AaveRules

_LENDER, _LIQUIDATOR, _ACCOUNT, _BORROWER = "lender", "liquidator", "account", "borrower"
_DEEP = 10**12  # tokens
_SAME_BONUS = 1e-6

Risk = Mapping[str, FloatArray]
YearlyRates = Mapping[str, tuple[float, float]]


class Taken(NamedTuple):
    """What one liquidation did, wei: of the debt, of the collateral, and debt nobody pays."""

    repaid: int
    seized: int
    fee: int
    bad_debt: Mapping[str, int]


class IntegerPool(Protocol):
    """What one account can do at a protocol.

    Attributes:
        assets: those in which it can have a balance.
    """

    assets: tuple[str, ...]

    def change(self, risk: Risk, rules: AaveRules | None) -> None:
        """Put other parameters, and of Aave other rules, in force."""
        ...

    def set_prices(self, prices: Mapping[str, int]) -> None:
        """Let the oracle say something."""
        ...

    def accrue(self, rates: YearlyRates, seconds: int) -> None:
        """Let time pass at ``(supply rate, borrow rate)`` of each asset."""
        ...

    def supply(self, asset: str, amount: int) -> None:
        """Add collateral."""
        ...

    def withdraw(self, asset: str, amount: int) -> int:
        """Take collateral back and return how much."""
        ...

    def borrow(self, asset: str, amount: int) -> None:
        """Take debt."""
        ...

    def repay(self, asset: str, amount: int) -> int:
        """Pay debt back, at most all of it, and return how much."""
        ...

    def liquidate(self, collateral: str, debt: str, wanted: int) -> Taken:
        """Let a liquidator repay at most ``wanted`` of the debt."""
        ...

    def collateral(self, asset: str) -> int:
        """Return the collateral."""
        ...

    def debt(self, asset: str) -> int:
        """Return what is owed."""
        ...

    def health(self) -> int:
        """Return the health factor at the prices that were set."""
        ...

    def save(self) -> object:
        """Return what ``restore`` takes to undo everything since."""
        ...

    def restore(self, saved: Any) -> None:
        """Undo everything since ``save``."""
        ...


class AaveIntegers:
    """One account at Aave, any version.

    Where the rules leave debt on an account without collateral (until v3.2), the borrower walks
    away from it: it counts as bad debt, and what he does next he does as somebody new.
    """

    def __init__(
        self, rules: AaveRules, decimals: Mapping[str, int], risk: Risk, now_s: int
    ) -> None:
        self.assets = tuple(decimals)
        reserves = {
            asset: Reserve(decimals=places, price=1, fixed_rates=Rates(0, 0), last_update_s=now_s)
            for asset, places in decimals.items()
        }
        self.pool = AavePool(rules, reserves)
        self._now_s, self._n_left = now_s, 0
        self.change(risk, rules)
        for asset, places in decimals.items():
            self.pool.supply(_LENDER, asset, _DEEP * int(10**places), now_s)

    @property
    def _user(self) -> str:
        return f"{_ACCOUNT} {self._n_left}"

    def change(self, risk: Risk, rules: AaveRules | None) -> None:
        """Put other parameters and rules in force."""
        if rules is not None:
            self.pool.upgrade(rules)
        for asset, reserve in self.pool.reserves.items():
            row = risk[asset]
            reserve.ltv_bps = _to_bps(row[layout.MAX_LTV])
            reserve.threshold_bps = _to_bps(row[layout.THRESHOLD])
            reserve.bonus_bps = _to_bps(row[layout.BONUS])
            reserve.protocol_fee_bps = _to_bps(row[layout.PROTOCOL_FEE])

    def set_prices(self, prices: Mapping[str, int]) -> None:
        """Let the oracle say something."""
        for asset in self.assets:
            self.pool.set_price(asset, prices[asset])

    def accrue(self, rates: YearlyRates, seconds: int) -> None:
        """Let time pass; v2 would not grow a debt whose lenders get nothing at all."""
        self._now_s += seconds
        for asset in self.assets:
            supply, borrow = rates[asset]
            self.pool.set_rates(asset, max(int(supply * RAY), 1), int(borrow * RAY))
            self.pool.accrue(asset, self._now_s)

    def supply(self, asset: str, amount: int) -> None:
        """Add collateral; a liquidation may have left a wei and dropped the flag: set it again."""
        self.pool.supply(self._user, asset, amount, self._now_s)
        if asset not in self.pool.market.account(self._user).collateral:
            self.pool.use_as_collateral(self._user, asset, self._now_s)

    def withdraw(self, asset: str, amount: int) -> int:
        """Take collateral back."""
        return self.pool.withdraw(self._user, asset, amount, self._now_s)

    def borrow(self, asset: str, amount: int) -> None:
        """Take debt."""
        self.pool.borrow(self._user, asset, amount, self._now_s)

    def repay(self, asset: str, amount: int) -> int:
        """Pay debt back."""
        return self.pool.repay(self._user, asset, amount, self._now_s)

    def liquidate(self, collateral: str, debt: str, wanted: int) -> Taken:
        """Let a liquidator repay at most ``wanted`` of the debt."""
        done = self.pool.liquidate(_LIQUIDATOR, self._user, collateral, debt, wanted, self._now_s)
        bad_debt = done.bad_debt
        has_nothing = self.pool.account(self._user, self._now_s).collateral_base == 0
        if has_nothing and not self.pool.rules.records_deficit:
            bad_debt = {asset: owed for asset in self.assets if (owed := self.debt(asset))}
            self._n_left += bool(bad_debt)
        return Taken(done.repaid, done.seized, done.protocol_fee, bad_debt)

    def collateral(self, asset: str) -> int:
        """Return the collateral."""
        return self.pool.collateral(self._user, asset, self._now_s)

    def debt(self, asset: str) -> int:
        """Return what is owed."""
        return self.pool.debt(self._user, asset, self._now_s)

    def health(self) -> int:
        """Return the health factor."""
        return self.pool.account(self._user, self._now_s).health_wad

    def save(self) -> object:
        """Return a copy of the market."""
        return self.pool.market.copy(), self._n_left

    def restore(self, saved: Any) -> None:
        """Put the market back."""
        market, self._n_left = saved
        self.pool.market.restore(market)


class CometIntegers:
    """One account at Compound v3: the base asset is borrowed, or lent what an absorption left."""

    def __init__(
        self, base: str, decimals: Mapping[str, int], risk: Risk, storefront: float, now_s: int
    ) -> None:
        self.assets = tuple(decimals)
        self._base, self._decimals, self._storefront = base, decimals, storefront
        self._now_s = now_s
        self.comet = Comet(self._listed(risk), dict.fromkeys(decimals, 1), now_s=now_s)
        self.comet.supply(_LENDER, _DEEP * int(10 ** decimals[base]), now_s)

    def _listed(self, risk: Risk) -> CometParameters:
        collaterals = {
            asset: Collateral(
                decimals=places,
                borrow_factor=_to_wad(risk[asset][layout.MAX_LTV]),
                liquidate_factor=_to_wad(risk[asset][layout.THRESHOLD]),
                liquidation_factor=_to_wad(risk[asset][layout.LIQUIDATION_FACTOR]),
            )
            for asset, places in self._decimals.items()
            if asset != self._base
        }
        return replace(
            CUSDC_V3,
            base=self._base,
            base_decimals=self._decimals[self._base],
            collaterals=collaterals,
            storefront_factor=_to_wad(self._storefront),
        )

    def change(self, risk: Risk, rules: AaveRules | None) -> None:
        """Put other parameters in force."""
        del rules
        self.comet.parameters = self._listed(risk)

    def set_prices(self, prices: Mapping[str, int]) -> None:
        """Let the oracle say something."""
        for asset in self.assets:
            self.comet.set_price(asset, prices[asset])

    def accrue(self, rates: YearlyRates, seconds: int) -> None:
        """Let time pass."""
        self._now_s += seconds
        supply, borrow = rates[self._base]
        self.comet.set_rates(_per_second(supply), _per_second(borrow))
        self.comet.accrue(self._now_s)

    def supply(self, asset: str, amount: int) -> None:
        """Add collateral."""
        self.comet.supply_collateral(_ACCOUNT, asset, amount)

    def withdraw(self, asset: str, amount: int) -> int:
        """Take collateral, or lent base, back."""
        amount = min(amount, self.collateral(asset))
        if asset == self._base:
            return self.comet.withdraw(_ACCOUNT, amount, self._now_s)
        self.comet.withdraw_collateral(_ACCOUNT, asset, amount)
        return amount

    def borrow(self, asset: str, amount: int) -> None:
        """Take debt."""
        del asset
        self.comet.borrow(_ACCOUNT, amount, self._now_s)

    def repay(self, asset: str, amount: int) -> int:
        """Pay debt back."""
        return self.comet.repay(_ACCOUNT, min(amount, self.debt(asset)), self._now_s)

    def liquidate(self, collateral: str, debt: str, wanted: int) -> Taken:
        """Let the account be absorbed: all of it, whatever is wanted."""
        del wanted
        owed = self.debt(debt)
        done = self.comet.absorb(_ACCOUNT, self._now_s)
        bad_debt = {debt: done.bad_debt} if done.bad_debt else {}
        return Taken(owed, done.seized.get(collateral, 0), 0, bad_debt)

    def collateral(self, asset: str) -> int:
        """Return the collateral; of the base asset what is lent."""
        if asset == self._base:
            return self.comet.account(_ACCOUNT, self._now_s).supplied
        return self.comet.collateral(_ACCOUNT, asset)

    def debt(self, asset: str) -> int:
        """Return what is owed."""
        return self.comet.debt(_ACCOUNT, self._now_s) if asset == self._base else 0

    def health(self) -> int:
        """Return the health factor."""
        return self.comet.account(_ACCOUNT, self._now_s).health

    def save(self) -> object:
        """Return totals and positions."""
        return self.comet.totals, dict(self.comet.positions)

    def restore(self, saved: Any) -> None:
        """Put totals and positions back."""
        self.comet.totals, self.comet.positions = saved


class MorphoIntegers:
    """One account in one market of Morpho Blue: ``collateral`` against ``loan``.

    The contract cuts the interest of all borrowers together to whole wei each time it accrues; half
    of what is lent is borrowed by somebody else, so that this is shared as it is on chain.
    """

    def __init__(
        self, collateral: str, loan: str, decimals: Mapping[str, int], risk: Risk, now_s: int
    ) -> None:
        self.assets: tuple[str, ...] = (collateral, loan)
        self._collateral, self._loan, self._decimals = collateral, loan, decimals
        self._now_s = now_s
        self.market = MorphoMarket(
            lltv=_to_wad(risk[collateral][layout.THRESHOLD]),
            rate_model=FixedRate(0),
            price=PRICE_SCALE,
            now_s=now_s,
        )
        self._check_bonus(float(risk[collateral][layout.BONUS]))
        deep = _DEEP * int(10 ** decimals[loan])
        self.market.supply(_LENDER, deep, now_s)
        self.market.supply_collateral(_BORROWER, 2 * deep)
        self.market.borrow(_BORROWER, deep // 2, now_s)

    def _check_bonus(self, bonus: float) -> None:
        own = self.market.incentive / WAD
        if abs(bonus - own) > _SAME_BONUS:
            raise RecipeError(
                f"with loan.exact a Morpho market's bonus follows from its LLTV, is {own - 1:.4%} "
                f"there and {bonus - 1:.4%} in the recipe: leave loan.parameters' bonus out"
            )

    def change(self, risk: Risk, rules: AaveRules | None) -> None:
        """Change nothing: a market of Morpho is what it was created as."""

    def set_prices(self, prices: Mapping[str, int]) -> None:
        """Let the oracle say something."""
        above = prices[self._collateral] * int(10 ** self._decimals[self._loan])
        below = prices[self._loan] * int(10 ** self._decimals[self._collateral])
        self.market.set_price(above * PRICE_SCALE // below)

    def accrue(self, rates: YearlyRates, seconds: int) -> None:
        """Let time pass."""
        self._now_s += seconds
        self.market.set_rate(_per_second(rates[self._loan][1]))
        self.market.accrue(self._now_s)

    def supply(self, asset: str, amount: int) -> None:
        """Add collateral."""
        del asset
        self.market.supply_collateral(_ACCOUNT, amount)

    def withdraw(self, asset: str, amount: int) -> int:
        """Take collateral back."""
        amount = min(amount, self.collateral(asset))
        self.market.withdraw_collateral(_ACCOUNT, amount, self._now_s)
        return amount

    def borrow(self, asset: str, amount: int) -> None:
        """Take debt."""
        del asset
        self.market.borrow(_ACCOUNT, amount, self._now_s)

    def repay(self, asset: str, amount: int) -> int:
        """Pay debt back; all of it by shares."""
        if amount < self.debt(asset):
            return self.market.repay(_ACCOUNT, amount, self._now_s).assets
        return self.market.repay(_ACCOUNT, 0, self._now_s, shares=self._shares()).assets

    def liquidate(self, collateral: str, debt: str, wanted: int) -> Taken:
        """Let a liquidator repay at most ``wanted`` of the debt."""
        del collateral
        saved, market = self.save(), self.market
        seized, shares = market.find_full_liquidation(_ACCOUNT, self._now_s)
        done = market.liquidate(_ACCOUNT, self._now_s, seized=seized, repaid_shares=shares)
        if done.repaid > wanted:
            self.restore(saved)
            totals = market.totals
            asked = to_shares_down(wanted, totals.borrowed, totals.borrow_shares)
            done = market.liquidate(_ACCOUNT, self._now_s, repaid_shares=asked)
        bad_debt = {debt: done.bad_debt} if done.bad_debt else {}
        return Taken(done.repaid, done.seized, 0, bad_debt)

    def _shares(self) -> int:
        return self.market.positions.get(_ACCOUNT, NOBODY).borrow_shares

    def collateral(self, asset: str) -> int:
        """Return the collateral."""
        return self.market.collateral(_ACCOUNT) if asset == self._collateral else 0

    def debt(self, asset: str) -> int:
        """Return what is owed."""
        return self.market.debt(_ACCOUNT, self._now_s) if asset == self._loan else 0

    def health(self) -> int:
        """Return the health factor."""
        return self.market.account(_ACCOUNT, self._now_s).health

    def save(self) -> object:
        """Return totals, positions and what the contract holds."""
        market = self.market
        return market.totals, dict(market.positions), market.cash, market.collateral_held

    def restore(self, saved: Any) -> None:
        """Put them back."""
        market = self.market
        market.totals, market.positions, market.cash, market.collateral_held = saved


def _to_bps(fraction: float) -> int:
    return round(fraction * 10_000)


def _to_wad(fraction: float) -> int:
    return int(round(fraction * 10**6) * 10**12)


def _per_second(rate: float) -> int:
    """Return a yearly rate as WAD per second, cut as a contract cuts it."""
    return int(rate * WAD) // YEAR_S


__all__ = [
    "ALL",
    "AaveIntegers",
    "CometIntegers",
    "IntegerPool",
    "MorphoIntegers",
    "Taken",
]
