"""The specification of Aave behind the verbs that its contracts are compared by."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from seawall.errors import Refused
from seawall.venues.lending.aave import TREASURY, AavePool, EMode, RateCurve, Reserve
from seawall.venues.lending.aave_state import Market
from seawall.venues.lending.rules import RULES
from seawall.verify.aave_market import Refusal, ReserveState, UserState


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One asset as a market lists it; fractions and rates in basis points, price in 1e-8 USD."""

    symbol: str
    decimals: int
    price: int
    ltv_bps: int
    threshold_bps: int
    bonus_bps: int
    reserve_factor_bps: int
    protocol_fee_bps: int
    optimal_bps: int
    base_bps: int
    slope1_bps: int
    slope2_bps: int
    in_emode: bool = False
    supply_cap: int = 0  # whole tokens; 0 is none
    borrow_cap: int = 0


@dataclass(frozen=True, kw_only=True)
class Efficiency:
    """What holds for a user in e-mode, category 1; fractions in basis points."""

    ltv_bps: int
    threshold_bps: int
    bonus_bps: int


# What the specification explains is a bare underflow in the contracts.
UNDERFLOW = "Panic(0x11)"
_UNDERFLOWS = ("NotEnoughLiquidity", "NotEnoughShares")


class SpecifiedMarket:
    """A market of the specification, with a clock; verbs raise ``Refusal`` where it refuses.

    ``is_synced``: listing an asset already set its rates, as setting a reserve factor does from
    version 3.1 on.
    """

    def __init__(
        self,
        rules: str,
        listings: Sequence[Listing],
        efficiency: Efficiency,
        *,
        users: Sequence[str],
        now_s: int,
        is_synced: bool,
    ) -> None:
        correlated = frozenset(x.symbol for x in listings if x.in_emode)
        mode = EMode(
            ltv_bps=efficiency.ltv_bps,
            threshold_bps=efficiency.threshold_bps,
            bonus_bps=efficiency.bonus_bps,
            collateral=correlated,
            borrowable=correlated,
        )
        reserves = {x.symbol: _to_reserve(x) for x in listings}
        if is_synced:
            for listing in listings:
                reserve = reserves[listing.symbol]
                reserve.last_update_s = now_s
                reserve.borrow_rate = _to_curve(listing).base
        self._pool = AavePool(RULES[rules], reserves, {1: mode})
        self.users = tuple(users)
        self.now_s = now_s

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return the listed assets."""
        return tuple(self._pool.reserves)

    def supply(self, user: str, asset: str, amount: int) -> None:
        """Supply an amount in wei."""
        with _refusals():
            self._pool.supply(user, asset, amount, self.now_s)

    def withdraw(self, user: str, asset: str, amount: int) -> int:
        """Withdraw, and return the amount."""
        with _refusals():
            return self._pool.withdraw(user, asset, amount, self.now_s)

    def borrow(self, user: str, asset: str, amount: int) -> None:
        """Borrow an amount in wei."""
        with _refusals():
            self._pool.borrow(user, asset, amount, self.now_s)

    def repay(self, user: str, asset: str, amount: int) -> int:
        """Repay, and return the amount."""
        with _refusals():
            return self._pool.repay(user, asset, amount, self.now_s)

    def liquidate(
        self, liquidator: str, user: str, collateral: str, debt: str, amount: int
    ) -> tuple[int, int]:
        """Liquidate; return what the liquidator paid and what he received."""
        with _refusals():
            deal = self._pool.liquidate(liquidator, user, collateral, debt, amount, self.now_s)
            return deal.repaid, deal.to_liquidator

    def set_emode(self, user: str, category: int) -> None:
        """Enter an e-mode category, or leave with 0."""
        with _refusals():
            self._pool.enter_emode(user, category, self.now_s)

    def use_as_collateral(self, user: str, asset: str, *, enabled: bool) -> None:
        """Let a supplied asset count as collateral, or not."""
        with _refusals():
            self._pool.use_as_collateral(user, asset, self.now_s, use=enabled)

    def set_price(self, asset: str, price: int) -> None:
        """Set the oracle's price, in 1e-8 USD per token."""
        self._pool.set_price(asset, price)

    def warp(self, seconds: int) -> None:
        """Move the clock forward."""
        self.now_s += seconds

    def reserve(self, asset: str) -> ReserveState:
        """Return the state of one asset, as stored."""
        reserve = self._pool.reserves[asset]
        treasury = self._pool.market.account(TREASURY)
        return ReserveState(
            liquidity_index=reserve.liquidity_index,
            borrow_index=reserve.borrow_index,
            liquidity_rate=reserve.liquidity_rate,
            borrow_rate=reserve.borrow_rate,
            updated_s=reserve.last_update_s,
            accrued_to_treasury=reserve.treasury_shares,
            scaled_supply=reserve.supplied,
            scaled_debt=reserve.borrowed,
            available=reserve.available,
            deficit=reserve.deficit,
            treasury_scaled=treasury.supplied.get(asset, 0),
        )

    def user(self, name: str) -> UserState:
        """Return what one user has now."""
        account = self._pool.market.account(name)
        data = self._pool.account(name, self.now_s)
        return UserState(
            scaled_collateral=self._all(account.supplied),
            collateral={x: self._pool.collateral(name, x, self.now_s) for x in self.symbols},
            scaled_debt=self._all(account.borrowed),
            debt={x: self._pool.debt(name, x, self.now_s) for x in self.symbols},
            used_as_collateral=frozenset(account.collateral),
            borrowed=frozenset(account.borrowing),
            collateral_base=data.collateral_base,
            debt_base=data.debt_base,
            threshold_bps=data.threshold_bps,
            ltv_bps=data.ltv_bps,
            health_wad=data.health_wad,
        )

    def keep(self) -> "Kept":
        """Return a copy of the whole state, for ``restore``."""
        return Kept(self._pool.market.copy(), self.now_s)

    def restore(self, kept: "Kept") -> None:
        """Go back to a kept state, which serves again."""
        self._pool.market.restore(kept.market.copy())
        self.now_s = kept.now_s

    def _all(self, held: Mapping[str, int]) -> dict[str, int]:
        return {asset: held.get(asset, 0) for asset in self.symbols}


class Kept(NamedTuple):
    """The state and the clock at one moment."""

    market: Market
    now_s: int


def _to_reserve(listing: Listing) -> Reserve:
    return Reserve(
        decimals=listing.decimals,
        price=listing.price,
        curve=_to_curve(listing),
        ltv_bps=listing.ltv_bps,
        threshold_bps=listing.threshold_bps,
        bonus_bps=listing.bonus_bps,
        reserve_factor_bps=listing.reserve_factor_bps,
        protocol_fee_bps=listing.protocol_fee_bps,
        supply_cap=listing.supply_cap,
        borrow_cap=listing.borrow_cap,
    )


def _to_curve(listing: Listing) -> RateCurve:
    return RateCurve.of_bps(
        base=listing.base_bps,
        slope1=listing.slope1_bps,
        slope2=listing.slope2_bps,
        optimal=listing.optimal_bps,
    )


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        reason = str(refused).partition(":")[0]
        raise Refusal(UNDERFLOW if reason in _UNDERFLOWS else reason) from None
