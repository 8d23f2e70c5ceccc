"""Aave v2 deployed for real, in a local EVM: the market of the crashes of 2021 and 2022.

``@aave/protocol-v2`` 1.0.1 holds it compiled (pool revision 2), with a price oracle that can be
set. It stands behind the same verbs as the specification, with users and assets by name; what it
answers is read as plain integers. Stable rates are switched off; there is no e-mode.

Every user holds tokens enough for anything and lets the pool take them, so a refusal is always the
protocol's own.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from seawall.verify.aave_market import UNLIMITED, Refusal, ReserveState, UserState
from seawall.verify.aave_specified import UNDERFLOW, Listing
from seawall.verify.evm import DEPLOYER, ZERO_ADDRESS, Contract, Evm, Reverted
from seawall.verify.packages import Artifact, fetch, own_contracts, read_artifact

PACKAGE, VERSION = "@aave/protocol-v2", "1.0.1"
REVISION = 2
WALLET_TOKENS = 10**15  # of each asset, for each user
BPS_IN_RAY = 10**23
VARIABLE_RATE = 2
_TREASURY_NUMBER = 0xFEE
_LIQUIDATION = "LiquidationCall(address,address,address,uint256,uint256,address,bool)"
# Version 2 has no name for an underflow, and other names for a few rules.
_UNDERFLOWS = ("SafeMath: subtraction overflow", "ERC20: burn amount exceeds balance")
_RENAMED = {
    "CollateralBalanceIs0": "CollateralBalanceIsZero",
    "UnderlyingBalanceNotGreaterThan0": "UnderlyingBalanceZero",
    "DepositAlreadyInUse": "TransferNotAllowed",
}


class AaveV2Market:
    """A deployed pool with its tokens and oracle; verbs raise ``Refusal`` where it reverts."""

    def __init__(
        self,
        evm: Evm,
        pool: Contract,
        oracle: Contract,
        assets: "_Assets",
        reasons: Mapping[str, str],
    ) -> None:
        self.evm = evm
        self.pool = pool
        self._oracle = oracle
        self._assets = assets
        self._reasons = reasons
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
        self._send(user, "deposit", self._token(asset), amount, self._users[user], 0)

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

    def set_emode(self, user: str, category: int) -> None:  # noqa: ARG002 - there is none
        """Refuse: version 2 has no e-mode."""
        raise Refusal("InconsistentEModeCategory")

    def use_as_collateral(self, user: str, asset: str, *, enabled: bool) -> None:
        """Let a supplied asset count as collateral, or not."""
        self._send(user, "setUserUseReserveAsCollateral", self._token(asset), enabled)

    def liquidate(
        self, liquidator: str, user: str, collateral: str, debt: str, amount: int
    ) -> tuple[int, int]:
        """Liquidate; return what the liquidator paid and received, in wei.

        Both are of the pool's event; where the tokens differ, his wallet agrees.
        """
        wallet = self._users[liquidator]
        paid_in, received_in = self._assets.tokens[debt], self._assets.tokens[collateral]
        before = paid_in.view("balanceOf", wallet), received_in.view("balanceOf", wallet)
        places = received_in.address, paid_in.address, self._users[user]
        self._send(liquidator, "liquidationCall", *places, amount, False)
        paid, received = self.evm.last_event_words(_LIQUIDATION)[:2]
        after = paid_in.view("balanceOf", wallet), received_in.view("balanceOf", wallet)
        moved = before[0] - after[0], after[1] - before[1]
        if collateral != debt and moved != (paid, received):
            raise AssertionError("the pool's event and the liquidator's wallet must agree")
        return paid, received

    def set_price(self, asset: str, price: int) -> None:
        """Set what the oracle says, base currency units per token."""
        self._oracle.call("setAssetPrice", self._token(asset), price)

    def warp(self, seconds: int) -> None:
        """Move the clock forward."""
        self.evm.warp(seconds)

    def reserve(self, asset: str) -> ReserveState:
        """Return the state of one asset, as stored."""
        data = self.pool.record("getReserveData", self._token(asset))
        a_token, debt_token = self._assets.a_tokens[asset], self._assets.debt_tokens[asset]
        return ReserveState(
            liquidity_index=data["liquidityIndex"],
            borrow_index=data["variableBorrowIndex"],
            liquidity_rate=data["currentLiquidityRate"],
            borrow_rate=data["currentVariableBorrowRate"],
            updated_s=data["lastUpdateTimestamp"],
            accrued_to_treasury=0,
            scaled_supply=a_token.view("scaledTotalSupply"),
            scaled_debt=debt_token.view("scaledTotalSupply"),
            available=self._assets.tokens[asset].view("balanceOf", a_token.address),
            deficit=0,
            treasury_scaled=a_token.view("scaledBalanceOf", self._assets.treasury),
        )

    def user(self, name: str) -> UserState:
        """Return what the pool and the tokens say about one user now."""
        address = self._users[name]
        flags = self.pool.record("getUserConfiguration", address)["data"]
        numbers = range(len(self.symbols))
        account = self.pool.view("getUserAccountData", address)
        collateral, debt, _, threshold, ltv, health = account
        return UserState(
            scaled_collateral=_balances(self._assets.a_tokens, "scaledBalanceOf", address),
            collateral=_balances(self._assets.a_tokens, "balanceOf", address),
            scaled_debt=_balances(self._assets.debt_tokens, "scaledBalanceOf", address),
            debt=_balances(self._assets.debt_tokens, "balanceOf", address),
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
            if reverted.reason in _UNDERFLOWS:
                raise Refusal(UNDERFLOW) from None
            name = self._reasons.get(reverted.reason, reverted.reason)
            raise Refusal(_RENAMED.get(name, name)) from None

    def _token(self, asset: str) -> str:
        return self._assets.tokens[asset].address


@dataclass(frozen=True, kw_only=True)
class _Assets:
    tokens: Mapping[str, Contract]
    a_tokens: Mapping[str, Contract]
    debt_tokens: Mapping[str, Contract]
    treasury: str


def deploy_aave_v2(
    evm: Evm, listings: Sequence[Listing], cache_folder: Path | None = None
) -> AaveV2Market:
    """Deploy a whole market: provider, pool, configurator, oracle, and all assets listed.

    Raises:
        ToolError: the contracts cannot be fetched on this machine.
    """
    token = own_contracts(cache_folder)["Token"]
    tokens = {x.symbol: evm.deploy(token, x.symbol, x.decimals) for x in listings}
    site = _Site(evm, fetch(PACKAGE, VERSION, cache_folder) / "artifacts" / "contracts")
    for listing in listings:
        place = tokens[listing.symbol].address
        site.list_asset(place, listing)
        site.oracle.call("setAssetPrice", place, listing.price)
    places = {name: site.pool.record("getReserveData", t.address) for name, t in tokens.items()}
    assets = _Assets(
        tokens=tokens,
        a_tokens={n: site.at("AToken", x["aTokenAddress"]) for n, x in places.items()},
        debt_tokens={
            n: site.at("VariableDebtToken", x["variableDebtTokenAddress"])
            for n, x in places.items()
        },
        treasury=site.treasury,
    )
    return AaveV2Market(evm, site.pool, site.oracle, assets, _read_reasons(cache_folder))


class _Site:
    """Deploys a market's contracts, each with the libraries that it calls."""

    def __init__(self, evm: Evm, folder: Path) -> None:
        self._evm = evm
        self._folder = folder
        self._libraries: dict[str, str] = {}
        self.treasury = evm.account(_TREASURY_NUMBER)
        self._provider = provider = self._deploy("LendingPoolAddressesProvider", "seawall")
        provider.call("setPoolAdmin", DEPLOYER)
        self.oracle = self._deploy("PriceOracle")
        provider.call("setPriceOracle", self.oracle.address)
        provider.call("setLendingRateOracle", self._deploy("LendingRateOracle").address)
        manager = self._deploy("LendingPoolCollateralManager")
        provider.call("setLendingPoolCollateralManager", manager.address)
        implementation = self._deploy("LendingPool")
        if implementation.view("LENDINGPOOL_REVISION") != REVISION:
            raise AssertionError(f"the package holds another pool than revision {REVISION}")
        provider.call("setLendingPoolImpl", implementation.address)
        self.pool = self.at("LendingPool", provider.view("getLendingPool"))
        configurator = self._deploy("LendingPoolConfigurator")
        provider.call("setLendingPoolConfiguratorImpl", configurator.address)
        place = provider.view("getLendingPoolConfigurator")
        self._configurator = self.at("LendingPoolConfigurator", place)

    def at(self, name: str, address: str) -> Contract:
        """Return a contract at an address, by the name of its interface."""
        return self._evm.at(address, _read(self._folder, name).abi)

    def list_asset(self, token: str, listing: Listing) -> None:
        """List one asset, borrowable at the variable rate, with its risk parameters and rates."""
        configure = self._configurator.call
        pool, names = self.pool.address, (listing.symbol, listing.symbol, ZERO_ADDRESS)
        a_token = self._deploy("AToken", pool, token, self.treasury, *names)
        stable = self._deploy("StableDebtToken", pool, token, *names)
        variable = self._deploy("VariableDebtToken", pool, token, *names)
        rates = (listing.optimal_bps, listing.base_bps, listing.slope1_bps, listing.slope2_bps)
        strategy = self._deploy(
            "DefaultReserveInterestRateStrategy",
            self._provider.address,
            *(rate * BPS_IN_RAY for rate in rates),
            *(0, 0),  # the stable rate's, which nobody may borrow at
        )
        kinds = (a_token.address, stable.address, variable.address)
        configure("initReserve", *kinds, listing.decimals, strategy.address)
        terms = (listing.ltv_bps, listing.threshold_bps, listing.bonus_bps)
        configure("configureReserveAsCollateral", token, *terms)
        configure("enableBorrowingOnReserve", token, False)
        configure("setReserveFactor", token, listing.reserve_factor_bps)

    def _deploy(self, name: str, *arguments: Any) -> Contract:
        artifact = _read(self._folder, name)
        for library in artifact.links:
            if library not in self._libraries:
                self._libraries[library] = self._deploy(library).address
        return self._evm.deploy(artifact, *arguments, libraries=self._libraries)


def _balances(tokens: Mapping[str, Contract], function: str, address: str) -> dict[str, int]:
    return {asset: token.view(function, address) for asset, token in tokens.items()}


@cache
def _read(folder: Path, name: str) -> Artifact:
    (path,) = folder.rglob(f"{name}.json")
    return read_artifact(path)


@cache
def _read_reasons(cache_folder: Path | None) -> Mapping[str, str]:
    """Return what the numbers of errors mean, in the style of the names of version 3.6."""
    folder = fetch(PACKAGE, VERSION, cache_folder) / "contracts" / "protocol" / "libraries"
    text = (folder / "helpers" / "Errors.sol").read_text()
    found = re.findall(r"string public constant [A-Z]+_(\w+) = '(\d+)'", text)
    return {number: name.replace("_", " ").title().replace(" ", "") for name, number in found}
