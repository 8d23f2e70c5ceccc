"""The state of an Aave market: reserves, accounts, and what its operations give back.

Amounts are in the token's smallest unit (wei), shares ("scaled" amounts) are amounts divided by an
index, rates and indices are rays (1e27, a year), ratios basis points, prices units of the base
currency per whole token.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from seawall.errors import RecipeError, Refused
from seawall.venues.lending.fixed import BPS, RAY
from seawall.venues.lending.rules import AaveRules

TREASURY = "treasury"
"""The account that protocol fees go to."""

_RAY_PER_BPS = RAY // BPS


@dataclass(frozen=True, kw_only=True)
class RateCurve:
    """The kinked borrow rate of a reserve: all four in ray."""

    base: int = 0
    slope1: int
    slope2: int
    optimal: int

    @classmethod
    def of_bps(cls, *, base: int = 0, slope1: int, slope2: int, optimal: int) -> "RateCurve":
        """Return the curve whose parameters are given in basis points."""
        return cls(
            base=base * _RAY_PER_BPS,
            slope1=slope1 * _RAY_PER_BPS,
            slope2=slope2 * _RAY_PER_BPS,
            optimal=optimal * _RAY_PER_BPS,
        )


class Rates(NamedTuple):
    """Ray a year."""

    liquidity: int
    borrow: int


@dataclass(frozen=True, kw_only=True)
class EMode:
    """An efficiency mode: better terms for assets that move together.

    Attributes:
        ltv_bps, threshold_bps, bonus_bps: replace those of the collateral assets; bonus 10,100 is
            one percent.
        collateral, borrowable: assets. Until v3.1 an asset is in one mode, with both rights.
        ltv_zero: assets that may not back new debt in the mode (v3.6 on).
        is_isolated: collateral outside the mode backs no new debt (v3.7 on).
    """

    ltv_bps: int
    threshold_bps: int
    bonus_bps: int
    collateral: frozenset[str]
    borrowable: frozenset[str]
    ltv_zero: frozenset[str] = frozenset()
    is_isolated: bool = False


@dataclass(kw_only=True)
class Reserve:
    """One asset of the market: parameters first, then what operations change.

    Attributes:
        decimals: of the token.
        price: base currency units per whole token.
        curve: the borrow rate; None where fixed rates are set from outside.
        bonus_bps: 10,500 is five percent; 0 where the asset is no collateral.
        protocol_fee_bps: of the bonus.
        supply_cap, borrow_cap: whole tokens; 0 is none.
        available: the liquidity that can be withdrawn or borrowed (the virtual balance).
        supplied, borrowed: total shares.
        treasury_shares: accrued, not yet minted (v3); v2 mints at once.
        fixed_rates: instead of the curve, None: the curve.
    """

    decimals: int
    price: int
    curve: RateCurve | None = None
    ltv_bps: int = 0
    threshold_bps: int = 0
    bonus_bps: int = 0
    reserve_factor_bps: int = 0
    protocol_fee_bps: int = 0
    supply_cap: int = 0
    borrow_cap: int = 0
    is_active: bool = True
    is_paused: bool = False
    is_frozen: bool = False
    is_borrowable: bool = True

    liquidity_index: int = RAY
    borrow_index: int = RAY
    liquidity_rate: int = 0
    borrow_rate: int = 0
    last_update_s: int = 0
    available: int = 0
    supplied: int = 0
    borrowed: int = 0
    treasury_shares: int = 0
    deficit: int = 0
    fixed_rates: Rates | None = None

    @property
    def unit(self) -> int:
        """The smallest units in one whole token."""
        return int(10**self.decimals)


@dataclass
class Account:
    """What one user has: shares by asset, and the flags that the contracts keep beside them."""

    supplied: dict[str, int] = field(default_factory=dict)
    borrowed: dict[str, int] = field(default_factory=dict)
    collateral: set[str] = field(default_factory=set)
    borrowing: set[str] = field(default_factory=set)
    emode: int = 0

    def copy(self) -> "Account":
        """Return a copy that shares nothing."""
        return Account(
            dict(self.supplied),
            dict(self.borrowed),
            set(self.collateral),
            set(self.borrowing),
            self.emode,
        )


class AccountData(NamedTuple):
    """One user's position.

    Attributes:
        collateral_base, debt_base: base currency units.
        ltv_bps, threshold_bps: weighted by value, rounded down.
        health_wad: 1e18 is the line; ``ALL`` where there is no debt.
        has_zero_ltv: some collateral may not back new debt.
    """

    collateral_base: int
    debt_base: int
    ltv_bps: int
    threshold_bps: int
    health_wad: int
    has_zero_ltv: bool


class Liquidation(NamedTuple):
    """What one liquidation did.

    Attributes:
        repaid: debt asset, paid by the liquidator.
        to_liquidator, protocol_fee: collateral asset; together what was seized.
        bad_debt: by asset, debt that was burnt without being paid.
    """

    repaid: int
    to_liquidator: int
    protocol_fee: int
    bad_debt: Mapping[str, int]

    @property
    def seized(self) -> int:
        """What the borrower lost, collateral asset."""
        return self.to_liquidator + self.protocol_fee


@dataclass
class Market:
    """Everything that a version's rules act upon."""

    rules: AaveRules
    reserves: dict[str, Reserve]
    emodes: Mapping[int, EMode]
    price_decimals: int
    accounts: dict[str, Account] = field(default_factory=dict)

    def reserve(self, asset: str) -> Reserve:
        """Return an asset's reserve.

        Raises:
            RecipeError: the asset is not listed.
        """
        if asset not in self.reserves:
            raise RecipeError(
                f"an asset must be one of {', '.join(self.reserves)}, is {asset}: list it first"
            )
        return self.reserves[asset]

    def account(self, user: str) -> Account:
        """Return a user's account; everybody has one."""
        return self.accounts.setdefault(user, Account())

    def base(self, whole: int) -> int:
        """Return whole units of the base currency in its smallest."""
        return whole * int(10**self.price_decimals)

    def copy(self) -> "Market":
        """Return a copy that shares only what never changes."""
        return Market(
            self.rules,
            {asset: replace(reserve) for asset, reserve in self.reserves.items()},
            self.emodes,
            self.price_decimals,
            {user: account.copy() for user, account in self.accounts.items()},
        )

    def restore(self, before: "Market") -> None:
        """Become what a copy has kept; whoever holds a reserve of this market sees it restored."""
        for asset, reserve in self.reserves.items():
            vars(reserve).update(vars(before.reserves[asset]))
        self.accounts = {user: account.copy() for user, account in before.accounts.items()}


def check_usable(reserve: Reserve, asset: str) -> None:
    """Refuse an operation on a reserve that is inactive or paused."""
    if not reserve.is_active:
        raise Refused(f"ReserveInactive: an operation needs an active reserve, {asset} is inactive")
    if reserve.is_paused:
        raise Refused(f"ReservePaused: no operation during a pause, {asset} is paused: wait")
