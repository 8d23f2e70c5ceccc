"""Aave v2 and v3 in integers: what the contracts do, to the wei.

A pool is a state machine for several users, in the order of time::

    pool = AavePool(RULES["v3.3"], {"WETH": Reserve(...), "USDC": Reserve(...)})
    pool.supply("lender", "USDC", 1_000_000 * 10**6, now_s)
    pool.supply("alice", "WETH", 10 * 10**18, now_s)
    pool.borrow("alice", "USDC", 14_000 * 10**6, now_s)
    pool.set_price("WETH", 1_500 * 10**8)
    pool.liquidate("bob", "alice", "WETH", "USDC", ALL, now_s)

What a contract reverts is ``Refused`` here and changes nothing; the message starts with the name
of the contract's error. Users' wallets are not kept: who supplies or repays is taken to have it.

Source and what is left out: ``rules``.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from seawall.errors import RecipeError, SeawallError
from seawall.venues.lending import aave_account, aave_liquidation, aave_operations
from seawall.venues.lending.aave_rates import accrue
from seawall.venues.lending.aave_state import (
    TREASURY,
    AccountData,
    EMode,
    Liquidation,
    Market,
    RateCurve,
    Rates,
    Reserve,
)
from seawall.venues.lending.fixed import ALL
from seawall.venues.lending.rules import AaveRules

__all__ = [
    "ALL",
    "TREASURY",
    "AavePool",
    "AccountData",
    "EMode",
    "Liquidation",
    "RateCurve",
    "Rates",
    "Reserve",
]


class AavePool:
    """One Aave market under one version's rules.

    Amounts are wei, ``ALL`` is everything there is; times are whole seconds and do not decrease.
    ``price_decimals`` is the base currency's: 8 for dollars (v3), 18 for ether (v2 on Ethereum).
    """

    def __init__(
        self,
        rules: AaveRules,
        reserves: Mapping[str, Reserve],
        emodes: Mapping[int, EMode] | None = None,
        *,
        price_decimals: int = 8,
    ) -> None:
        self.market = Market(rules, dict(reserves), dict(emodes or {}), price_decimals)

    @property
    def rules(self) -> AaveRules:
        """The rules in force."""
        return self.market.rules

    @property
    def reserves(self) -> Mapping[str, Reserve]:
        """The reserves by asset; their parameters may be changed, as governance does."""
        return self.market.reserves

    def supply(self, user: str, asset: str, amount: int, now_s: int) -> None:
        """Supply an asset; the first supply of it becomes collateral where it may."""
        with self._all_or_nothing():
            aave_operations.supply(self.market, user, asset, amount, now_s)

    def withdraw(self, user: str, asset: str, amount: int, now_s: int) -> int:
        """Withdraw an asset and return how much."""
        with self._all_or_nothing():
            return aave_operations.withdraw(self.market, user, asset, amount, now_s)

    def borrow(self, user: str, asset: str, amount: int, now_s: int) -> None:
        """Borrow an asset at the variable rate."""
        with self._all_or_nothing():
            aave_operations.borrow(self.market, user, asset, amount, now_s)

    def repay(self, user: str, asset: str, amount: int, now_s: int) -> int:
        """Repay a user's debt and return how much was paid."""
        with self._all_or_nothing():
            return aave_operations.repay(self.market, user, asset, amount, now_s)

    def liquidate(
        self,
        liquidator: str,
        user: str,
        collateral_asset: str,
        debt_asset: str,
        amount: int,
        now_s: int,
    ) -> Liquidation:
        """Cover at most ``amount`` of a user's debt and seize collateral with the bonus."""
        with self._all_or_nothing():
            call = (user, collateral_asset, debt_asset, now_s)
            return aave_liquidation.liquidate(self.market, liquidator, call, amount)

    def max_cover(self, user: str, collateral_asset: str, debt_asset: str, now_s: int) -> int:
        """Return how much debt the close factor allows to cover now; 0 where health is >= 1."""
        call = (user, collateral_asset, debt_asset, now_s)
        return aave_liquidation.max_cover(self.market, call)

    def use_as_collateral(self, user: str, asset: str, now_s: int, *, use: bool = True) -> None:
        """Let a user's supply back his debt, or no longer."""
        with self._all_or_nothing():
            aave_operations.use_as_collateral(self.market, user, asset, use=use, now_s=now_s)

    def enter_emode(self, user: str, category: int, now_s: int) -> None:
        """Put a user into an efficiency mode; 0 leaves it."""
        with self._all_or_nothing():
            aave_operations.enter_emode(self.market, user, category, now_s)

    def mint_to_treasury(self, asset: str, now_s: int) -> None:
        """Turn what has accrued to the treasury into shares that it holds."""
        with self._all_or_nothing():
            aave_operations.mint_to_treasury(self.market, asset, now_s)

    def accrue(self, asset: str, now_s: int) -> None:
        """Bring a reserve's indices up to date, as any operation on it does first."""
        with self._all_or_nothing():
            accrue(self.market, asset, now_s)

    def account(self, user: str, now_s: int) -> AccountData:
        """Return a user's collateral, debt, ratios and health factor at the prices set."""
        return aave_account.account_data(self.market, user, now_s)

    def collateral(self, user: str, asset: str, now_s: int) -> int:
        """Return a user's supplied balance."""
        return aave_account.collateral_of(self.market, user, asset, now_s)

    def debt(self, user: str, asset: str, now_s: int) -> int:
        """Return a user's debt."""
        return aave_account.debt_of(self.market, user, asset, now_s)

    def set_price(self, asset: str, price: int) -> None:
        """Set what the oracle says of an asset, base currency units per whole token.

        Raises:
            RecipeError: the price is not above 0.
        """
        if price <= 0:
            raise RecipeError(f"a price must be > 0, is {price} for {asset}: give base units")
        self.market.reserve(asset).price = price

    def set_rates(
        self,
        asset: str,
        liquidity_rate_ray: int,
        borrow_rate_ray: int | None,
        now_s: int | None = None,
    ) -> None:
        """Let a reserve accrue at rates given from outside; None: at its own curve again.

        With ``now_s`` it accrues at the old rates first; without, the new ones hold from the last
        accrual on. The curve takes over again at the next operation on the reserve.
        """
        if now_s is not None:
            self.accrue(asset, now_s)
        reserve = self.market.reserve(asset)
        if borrow_rate_ray is None:
            reserve.fixed_rates = None
            return
        reserve.fixed_rates = Rates(liquidity_rate_ray, borrow_rate_ray)
        reserve.liquidity_rate, reserve.borrow_rate = reserve.fixed_rates

    def upgrade(self, rules: AaveRules) -> None:
        """Put other rules in force, as an upgrade of the same contracts does.

        Raises:
            RecipeError: from v2 to v3 or back: these are two markets, nothing moves between them.
        """
        if rules.is_v2 != self.rules.is_v2:
            raise RecipeError(
                f"v2 and v3 are two markets, the rules are {self.rules.name} and would be "
                f"{rules.name}: open another pool"
            )
        self.market.rules = rules

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        before = self.market.copy()
        try:
            yield
        except SeawallError:
            self.market.restore(before)
            raise
