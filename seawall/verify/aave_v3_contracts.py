"""Aave v3 deployed for real: version 3.0 and version 3.6, in a local EVM.

Version 3.0 comes compiled in ``@aave/core-v3`` 1.19.3 (pool revision 1), version 3.6 as sources in
``@aave-dao/aave-v3-origin`` 3.6.0 (pool revision 10). Both stand behind the same verbs, those of
the specification, with users and assets by name; what they answer is read as plain integers.

Every user holds tokens enough for anything and lets the pool take them, so a refusal is always the
protocol's own.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from seawall.verify.aave_market import UNLIMITED, Refusal, ReserveState, UserState
from seawall.verify.aave_specified import Efficiency, Listing
from seawall.verify.evm import DEPLOYER, ZERO_ADDRESS, Contract, Evm, Reverted, encode
from seawall.verify.packages import (
    Artifact,
    compile_sources,
    fetch,
    gather_sources,
    own_contracts,
    read_artifact,
)

Version = Literal["v3.0", "v3.6"]
WALLET_TOKENS = 10**15  # of each asset, for each user
BPS_IN_RAY = 10**23
VARIABLE_RATE = 2
PRICE_UNIT = 10**8
_REVISION = {"v3.0": 1, "v3.6": 10}
_TREASURY_NUMBER = 0xFEE
_LIQUIDATION = "LiquidationCall(address,address,address,uint256,uint256,address,bool)"


class AaveV3Market:
    """A deployed pool with its tokens and oracle; verbs raise ``Refusal`` where it reverts."""

    def __init__(
        self,
        evm: Evm,
        version: Version,
        pool: Contract,
        assets: "_Assets",
        reasons: Mapping[str, str],
    ) -> None:
        self.evm = evm
        self.version = version
        self.pool = pool
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
        self._send(user, "supply", self._token(asset), amount, self._users[user], 0)

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
        paid, received = paid_in.view("balanceOf", wallet), received_in.view("balanceOf", wallet)
        places = received_in.address, paid_in.address, self._users[user]
        self._send(liquidator, "liquidationCall", *places, amount, False)
        if collateral == debt:
            words = self.evm.last_event_words(_LIQUIDATION)
            return words[0], words[1]
        paid -= paid_in.view("balanceOf", wallet)
        return paid, received_in.view("balanceOf", wallet) - received

    def set_price(self, asset: str, price: int) -> None:
        """Set what the oracle says, in 1e-8 USD per token."""
        self._assets.feeds[asset].call("set", price)

    def warp(self, seconds: int) -> None:
        """Move the clock forward."""
        self.evm.warp(seconds)

    def reserve(self, asset: str) -> ReserveState:
        """Return the state of one asset, as stored."""
        token = self._token(asset)
        data = self.pool.record("getReserveData", token)
        a_token, debt_token = self._assets.a_tokens[asset], self._assets.debt_tokens[asset]
        is_new = self.version != "v3.0"
        return ReserveState(
            liquidity_index=data["liquidityIndex"],
            borrow_index=data["variableBorrowIndex"],
            liquidity_rate=data["currentLiquidityRate"],
            borrow_rate=data["currentVariableBorrowRate"],
            updated_s=data["lastUpdateTimestamp"],
            accrued_to_treasury=data["accruedToTreasury"],
            scaled_supply=a_token.view("scaledTotalSupply"),
            scaled_debt=debt_token.view("scaledTotalSupply"),
            available=self.pool.view("getVirtualUnderlyingBalance", token)
            if is_new
            else self._assets.tokens[asset].view("balanceOf", a_token.address),
            deficit=self.pool.view("getReserveDeficit", token) if is_new else 0,
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
            scaled_collateral=self._balances("a_tokens", "scaledBalanceOf", address),
            collateral=self._balances("a_tokens", "balanceOf", address),
            scaled_debt=self._balances("debt_tokens", "scaledBalanceOf", address),
            debt=self._balances("debt_tokens", "balanceOf", address),
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
            raise Refusal(self._reasons.get(reverted.reason, reverted.reason)) from None

    def _balances(self, kind: str, function: str, address: str) -> dict[str, int]:
        tokens: Mapping[str, Contract] = getattr(self._assets, kind)
        return {asset: token.view(function, address) for asset, token in tokens.items()}

    def _token(self, asset: str) -> str:
        return self._assets.tokens[asset].address


@dataclass(frozen=True, kw_only=True)
class _Assets:
    tokens: Mapping[str, Contract]
    feeds: Mapping[str, Contract]
    a_tokens: Mapping[str, Contract]
    debt_tokens: Mapping[str, Contract]
    treasury: str


def deploy_aave_v3(
    evm: Evm,
    version: Version,
    listings: Sequence[Listing],
    efficiency: Efficiency,
    cache_folder: Path | None = None,
) -> AaveV3Market:
    """Deploy a whole market: provider, pool, configurator, oracle, and all assets listed.

    Raises:
        ToolError: the contracts cannot be fetched or compiled on this machine.
    """
    own = own_contracts(cache_folder)
    site = _Site(evm, _artifacts(version, cache_folder), version)
    tokens = {x.symbol: evm.deploy(own["Token"], x.symbol, x.decimals) for x in listings}
    feeds = {x.symbol: evm.deploy(own["PriceFeed"]) for x in listings}
    for listing in listings:
        feeds[listing.symbol].call("set", listing.price)
    treasury = evm.account(_TREASURY_NUMBER)
    pool, configurator = site.core([t.address for t in tokens.values()], feeds)
    for listing in listings:
        site.list_asset(configurator, tokens[listing.symbol].address, listing, treasury)
    site.set_efficiency(
        configurator, efficiency, [tokens[x.symbol].address for x in listings if x.in_emode]
    )
    places = {name: pool.record("getReserveData", t.address) for name, t in tokens.items()}
    return AaveV3Market(
        evm,
        version,
        pool,
        _Assets(
            tokens=tokens,
            feeds=feeds,
            a_tokens={n: site.at("AToken", x["aTokenAddress"]) for n, x in places.items()},
            debt_tokens={
                n: site.at("VariableDebtToken", x["variableDebtTokenAddress"])
                for n, x in places.items()
            },
            treasury=treasury,
        ),
        _numbered_reasons(cache_folder) if version == "v3.0" else {},
    )


class _Site:
    """Deploys a market's contracts, each with the libraries that it calls."""

    def __init__(self, evm: Evm, artifact: Callable[[str], Artifact], version: Version) -> None:
        self._evm = evm
        self._artifact = artifact
        self._version = version
        self._libraries: dict[str, str] = {}
        self._provider = self._deploy("PoolAddressesProvider", "seawall", DEPLOYER)
        self._implementations: dict[str, str] = {}

    def at(self, name: str, address: str) -> Contract:
        """Return a contract at an address, by the name that its interface has in version 3.0."""
        return self._evm.at(address, self._find(name).abi)

    def core(
        self, tokens: Sequence[str], feeds: Mapping[str, Contract]
    ) -> tuple[Contract, Contract]:
        """Deploy what a market has once; return the pool and its configurator."""
        provider = self._provider
        provider.call("setACLAdmin", DEPLOYER)
        roles = self._deploy("ACLManager", provider.address)
        provider.call("setACLManager", roles.address)
        roles.call("addPoolAdmin", DEPLOYER)
        sources = [feed.address for feed in feeds.values()]
        oracle = self._deploy(
            "AaveOracle", provider.address, tokens, sources, ZERO_ADDRESS, ZERO_ADDRESS, PRICE_UNIT
        )
        provider.call("setPriceOracle", oracle.address)
        strategy = (provider.address,) if self._version == "v3.0" else self._shared_strategy()
        implementation = self._deploy("Pool", *strategy)
        provider.call("setPoolImpl", implementation.address)
        pool = self.at("Pool", provider.view("getPool"))
        reader = self._deploy("AaveProtocolDataProvider", provider.address)
        provider.call("setPoolDataProvider", reader.address)
        provider.call("setPoolConfiguratorImpl", self._deploy("PoolConfigurator").address)
        configurator = self.at("PoolConfigurator", provider.view("getPoolConfigurator"))
        if implementation.view("POOL_REVISION") != _REVISION[self._version]:
            raise AssertionError(f"the package holds another pool than that of {self._version}")
        return pool, configurator

    def list_asset(
        self, configurator: Contract, token: str, listing: Listing, treasury: str
    ) -> None:
        """List one asset, borrowable, with its risk parameters and rates."""
        is_old = self._version == "v3.0"
        order = self._old_order if is_old else self._new_order
        configurator.call("initReserves", [order(token, listing, treasury)])
        configurator.call(
            "configureReserveAsCollateral",
            token,
            listing.ltv_bps,
            listing.threshold_bps,
            listing.bonus_bps,
        )
        configurator.call("setReserveBorrowing", token, True)
        configurator.call("setReserveFactor", token, listing.reserve_factor_bps)
        configurator.call("setLiquidationProtocolFee", token, listing.protocol_fee_bps)
        configurator.call("setSupplyCap", token, listing.supply_cap)
        configurator.call("setBorrowCap", token, listing.borrow_cap)

    def set_efficiency(
        self, configurator: Contract, efficiency: Efficiency, tokens: Iterable[str]
    ) -> None:
        """Set up e-mode category 1 and the assets that belong to it."""
        terms = efficiency.ltv_bps, efficiency.threshold_bps, efficiency.bonus_bps
        if self._version == "v3.0":
            configurator.call("setEModeCategory", 1, *terms, ZERO_ADDRESS, "correlated")
            for token in tokens:
                configurator.call("setAssetEModeCategory", token, 1)
        else:
            configurator.call("setEModeCategory", 1, *terms, "correlated")
            for token in tokens:
                configurator.call("setAssetCollateralInEMode", token, 1, True)
                configurator.call("setAssetBorrowableInEMode", token, 1, True)

    def _shared_strategy(self) -> tuple[str, str]:
        provider = self._provider.address
        return provider, self._deploy("DefaultReserveInterestRateStrategyV2", provider).address

    def _old_order(self, token: str, listing: Listing, treasury: str) -> tuple[Any, ...]:
        rates = (listing.optimal_bps, listing.base_bps, listing.slope1_bps, listing.slope2_bps)
        strategy = self._deploy(
            "DefaultReserveInterestRateStrategy",
            self._provider.address,
            *(rate * BPS_IN_RAY for rate in rates),
            *(0, 0, 0, 0, 0),  # the stable rate's, which nobody may borrow at
        )
        names = (listing.symbol,) * 6
        kinds = ("AToken", "StableDebtToken", "VariableDebtToken")
        return (
            *(self._implementation(kind) for kind in kinds),
            listing.decimals,
            strategy.address,
            token,
            treasury,
            ZERO_ADDRESS,
            *names,
            b"",
        )

    def _new_order(self, token: str, listing: Listing, treasury: str) -> tuple[Any, ...]:
        rates = (listing.optimal_bps, listing.base_bps, listing.slope1_bps, listing.slope2_bps)
        return (
            self._implementation("AToken", ZERO_ADDRESS, treasury),
            self._implementation("VariableDebtToken", ZERO_ADDRESS),
            token,
            *(listing.symbol,) * 4,
            b"",
            encode(("uint16", "uint32", "uint32", "uint32"), rates),
        )

    def _implementation(self, name: str, *arguments: str) -> str:
        """Return the code that the proxies of all tokens of one kind share."""
        if name not in self._implementations:
            pool = self._provider.view("getPool")
            deployed = self._deploy(name, pool, *arguments)
            self._implementations[name] = deployed.address
        return self._implementations[name]

    def _deploy(self, name: str, *arguments: Any) -> Contract:
        artifact = self._find(name)
        for library in artifact.links:
            if library not in self._libraries:
                self._libraries[library] = self._deploy(library).address
        return self._evm.deploy(artifact, *arguments, libraries=self._libraries)

    def _find(self, name: str) -> Artifact:
        has_instance = name in {"Pool", "PoolConfigurator", "AToken", "VariableDebtToken"}
        return self._artifact(
            f"{name}Instance" if has_instance and self._version != "v3.0" else name
        )


def _artifacts(version: Version, cache_folder: Path | None) -> Callable[[str], Artifact]:
    return _shipped_artifact(cache_folder) if version == "v3.0" else _compiled(cache_folder)


def _shipped_artifact(cache_folder: Path | None) -> Callable[[str], Artifact]:
    folder = fetch("@aave/core-v3", "1.19.3", cache_folder) / "artifacts" / "contracts"
    return lambda name: _read_shipped(folder, name)


@cache
def _numbered_reasons(cache_folder: Path | None) -> Mapping[str, str]:
    """Return what version 3.0's numbers of errors mean, in the style of version 3.6's names."""
    folder = fetch("@aave/core-v3", "1.19.3", cache_folder) / "contracts"
    text = (folder / "protocol" / "libraries" / "helpers" / "Errors.sol").read_text()
    found = re.findall(r"string public constant (\w+) = '(\d+)'", text)
    spoken = {number: name.replace("_", " ").title().replace(" ", "") for name, number in found}
    return {number: name.replace("Emode", "EMode") for number, name in spoken.items()}


@cache
def _read_shipped(folder: Path, name: str) -> Artifact:
    (path,) = folder.rglob(f"{name}.json")
    return read_artifact(path)


_ENTRIES = (
    "helpers/AaveProtocolDataProvider",
    "instances/ATokenInstance",
    "instances/PoolConfiguratorInstance",
    "instances/PoolInstance",
    "instances/VariableDebtTokenInstance",
    "misc/AaveOracle",
    "misc/DefaultReserveInterestRateStrategyV2",
    "protocol/configuration/ACLManager",
    "protocol/configuration/PoolAddressesProvider",
)
_LIBRARIES = ("Borrow", "Configurator", "FlashLoan", "Liquidation", "Pool", "Supply")


@cache
def _compile_origin(cache_folder: Path | None) -> dict[str, Artifact]:
    roots = {
        "src/": fetch("@aave-dao/aave-v3-origin", "3.6.0", cache_folder) / "src",
        "openzeppelin-contracts/contracts/": fetch(
            "@openzeppelin/contracts", "5.7.0", cache_folder
        ),
    }
    names = [entry.rpartition("/")[2] for entry in _ENTRIES]
    return compile_sources(
        gather_sources([f"src/contracts/{entry}.sol" for entry in _ENTRIES], roots),
        [*names, *(f"{library}Logic" for library in _LIBRARIES)],
        solc="0.8.27",
        settings={"evmVersion": "cancun"},
        cache=cache_folder,
    )


def _compiled(cache_folder: Path | None) -> Callable[[str], Artifact]:
    return _compile_origin(cache_folder).__getitem__
