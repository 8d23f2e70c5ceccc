"""An Aave pool deployed for real, of whatever version: its users, its verbs, and its state.

It stands behind the same verbs as the specification, with users and assets by name; what it answers
is read as plain integers. What a version does in a way of its own is its ``Dialect``; how it is
deployed, and how assets are listed, stands in ``aave_v2_contracts`` and ``aave_v3_contracts``.

Every user holds tokens enough for anything and lets the pool take them, so a refusal is always the
protocol's own.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seawall.verify.aave_market import UNLIMITED, Refusal, ReserveState, UserState
from seawall.verify.evm import Contract, Evm, Reverted

WALLET_TOKENS = 10**15  # of each asset, for each user
BPS_IN_RAY = 10**23
VARIABLE_RATE = 2
TREASURY_NUMBER = 0xFEE
_LIQUIDATION = "LiquidationCall(address,address,address,uint256,uint256,address,bool)"


@dataclass(frozen=True, kw_only=True)
class Assets:
    """The contracts of each listed asset, by symbol, and the treasury's address."""

    tokens: Mapping[str, Contract]
    a_tokens: Mapping[str, Contract]
    debt_tokens: Mapping[str, Contract]
    treasury: str


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What a version does in a way of its own.

    Attributes:
        supply: what its pool calls to supply.
        has_emode: without it every change of category is refused.
        has_treasury_accrual: what the treasury is owed is kept in the reserve, not minted at once.
        has_deficits: deficits are kept, and beside them a virtual balance.
        is_event_checked: a liquidation's event must agree with the liquidator's wallet.
        set_price: sets what its oracle says of an asset.
        name_rule: turns what the pool reverts with into the rule's name in version 3.6.
    """

    supply: str
    has_emode: bool
    has_treasury_accrual: bool
    has_deficits: bool
    is_event_checked: bool
    set_price: Callable[[str, int], None]
    name_rule: Callable[[str], str]


class DeployedMarket:
    """A deployed pool with its tokens and oracle; verbs raise ``Refusal`` where it reverts."""

    def __init__(self, evm: Evm, pool: Contract, assets: Assets, dialect: Dialect) -> None:
        self.evm = evm
        self.pool = pool
        self._assets = assets
        self._dialect = dialect
        self._users: dict[str, str] = {}

    @property
    def users(self) -> tuple[str, ...]:
        """Return those who act, in the order in which they came."""
        return tuple(self._users)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return the listed assets, in the order of their ids."""
        return tuple(self._assets.tokens)

    def add_user(self, name: str) -> None:
        """Give a user tokens of every kind and the pool the right to take them."""
        self._users[name] = address = self.evm.account(len(self._users))
        for token in self._assets.tokens.values():
            token.call("mint", address, WALLET_TOKENS * 10 ** token.view("decimals"))
            token.call("approve", self.pool.address, UNLIMITED, sender=address)

    def supply(self, user: str, asset: str, amount: int) -> None:
        """Supply an amount in wei; the first of an asset becomes collateral by itself."""
        self._send(user, self._dialect.supply, self._token(asset), amount, self._users[user], 0)

    def withdraw(self, user: str, asset: str, amount: int) -> int:
        """Withdraw an amount in wei, ``UNLIMITED`` for all there is; return the amount."""
        return int(self._send(user, "withdraw", self._token(asset), amount, self._users[user]))

    def borrow(self, user: str, asset: str, amount: int) -> None:
        """Borrow an amount in wei at the variable rate."""
        self._send(user, "borrow", self._token(asset), amount, VARIABLE_RATE, 0, self._users[user])

    def repay(self, user: str, asset: str, amount: int) -> int:
        """Repay an amount in wei, ``UNLIMITED`` for all there is; return the amount."""
        token = self._token(asset)
        return int(self._send(user, "repay", token, amount, VARIABLE_RATE, self._users[user]))

    def set_emode(self, user: str, category: int) -> None:
        """Enter an e-mode category, or leave with 0."""
        if not self._dialect.has_emode:
            raise Refusal("InconsistentEModeCategory")
        self._send(user, "setUserEMode", category)

    def use_as_collateral(self, user: str, asset: str, *, enabled: bool) -> None:
        """Let a supplied asset count as collateral, or not."""
        self._send(user, "setUserUseReserveAsCollateral", self._token(asset), enabled)

    def liquidate(
        self, liquidator: str, user: str, collateral: str, debt: str, amount: int
    ) -> tuple[int, int]:
        """Liquidate; return what the liquidator paid and received, in wei.

        Both are read from his wallet; where collateral and debt are the same token, which the
        wallet cannot tell apart, from the pool's event.
        """
        wallet = self._users[liquidator]
        paid_in, received_in = self._assets.tokens[debt], self._assets.tokens[collateral]
        before = paid_in.view("balanceOf", wallet), received_in.view("balanceOf", wallet)
        places = received_in.address, paid_in.address, self._users[user]
        self._send(liquidator, "liquidationCall", *places, amount, False)
        is_same = collateral == debt
        told: tuple[int, ...] = ()
        if is_same or self._dialect.is_event_checked:
            told = self.evm.last_event_words(_LIQUIDATION)[:2]
        if is_same:
            return told[0], told[1]
        after = paid_in.view("balanceOf", wallet), received_in.view("balanceOf", wallet)
        moved = before[0] - after[0], after[1] - before[1]
        if self._dialect.is_event_checked and moved != told:
            raise AssertionError("the pool's event and the liquidator's wallet must agree")
        return moved

    def set_price(self, asset: str, price: int) -> None:
        """Set what the oracle says, in 1e-8 of the base currency per token."""
        self._dialect.set_price(asset, price)

    def warp(self, seconds: int) -> None:
        """Move the clock forward."""
        self.evm.warp(seconds)

    def reserve(self, asset: str) -> ReserveState:
        """Return the state of one asset, as stored."""
        token, dialect = self._assets.tokens[asset], self._dialect
        data = self.pool.record("getReserveData", token.address)
        a_token, debt_token = self._assets.a_tokens[asset], self._assets.debt_tokens[asset]
        return ReserveState(
            liquidity_index=data["liquidityIndex"],
            borrow_index=data["variableBorrowIndex"],
            liquidity_rate=data["currentLiquidityRate"],
            borrow_rate=data["currentVariableBorrowRate"],
            updated_s=data["lastUpdateTimestamp"],
            accrued_to_treasury=data["accruedToTreasury"] if dialect.has_treasury_accrual else 0,
            scaled_supply=a_token.view("scaledTotalSupply"),
            scaled_debt=debt_token.view("scaledTotalSupply"),
            available=self.pool.view("getVirtualUnderlyingBalance", token.address)
            if dialect.has_deficits
            else token.view("balanceOf", a_token.address),
            deficit=self.pool.view("getReserveDeficit", token.address)
            if dialect.has_deficits
            else 0,
            treasury_scaled=a_token.view("scaledBalanceOf", self._assets.treasury),
        )

    def user(self, name: str) -> UserState:
        """Return what the pool and the tokens say about one user now."""
        address, assets = self._users[name], self._assets
        flags = self.pool.record("getUserConfiguration", address)["data"]
        numbers = range(len(self.symbols))
        account = self.pool.view("getUserAccountData", address)
        collateral, debt, _, threshold, ltv, health = account
        return UserState(
            scaled_collateral=_balances(assets.a_tokens, "scaledBalanceOf", address),
            collateral=_balances(assets.a_tokens, "balanceOf", address),
            scaled_debt=_balances(assets.debt_tokens, "scaledBalanceOf", address),
            debt=_balances(assets.debt_tokens, "balanceOf", address),
            used_as_collateral=frozenset(
                self.symbols[i] for i in numbers if flags >> 2 * i + 1 & 1
            ),
            borrowed=frozenset(self.symbols[i] for i in numbers if flags >> 2 * i & 1),
            collateral_base=collateral,
            debt_base=debt,
            threshold_bps=threshold,
            ltv_bps=ltv,
            health_wad=health,
        )

    def _send(self, user: str, function: str, *arguments: Any) -> Any:
        """Send a user's transaction to the pool; a revert becomes a refusal by its rule's name."""
        try:
            return self.pool.call(function, *arguments, sender=self._users[user])
        except Reverted as reverted:
            raise Refusal(self._dialect.name_rule(reverted.reason)) from None

    def _token(self, asset: str) -> str:
        return self._assets.tokens[asset].address


def _balances(tokens: Mapping[str, Contract], function: str, address: str) -> dict[str, int]:
    return {asset: token.view(function, address) for asset, token in tokens.items()}


def find_assets(
    pool: Contract,
    tokens: Mapping[str, Contract],
    at: Callable[[str, str], Contract],
    treasury: str,
) -> Assets:
    """Return the contracts of the assets that a pool has listed.

    ``at`` returns a contract by the name of its interface and its address.
    """
    places = {name: pool.record("getReserveData", t.address) for name, t in tokens.items()}
    return Assets(
        tokens=tokens,
        a_tokens={n: at("AToken", x["aTokenAddress"]) for n, x in places.items()},
        debt_tokens={
            n: at("VariableDebtToken", x["variableDebtTokenAddress"]) for n, x in places.items()
        },
        treasury=treasury,
    )


def read_reasons(errors: Path, pattern: str) -> dict[str, str]:
    """Return what the numbers of errors mean, by a source file, in the style of version 3.6.

    ``pattern`` finds name and number of each.
    """
    found: list[tuple[str, str]] = re.findall(pattern, errors.read_text())
    return {number: name.replace("_", " ").title().replace(" ", "") for name, number in found}
