"""Aave v3 deployed for real: version 3.0 and version 3.6, in a local EVM.

Version 3.0 comes compiled in ``@aave/core-v3`` 1.19.3 (pool revision 1), version 3.6 as sources in
``@aave-dao/aave-v3-origin`` 3.6.0 (pool revision 10). ``aave_pool`` says what one can do with them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from seawall.verify.aave_pool import (
    BPS_IN_RAY,
    TREASURY_NUMBER,
    DeployedMarket,
    Dialect,
    find_assets,
    read_reasons,
)
from seawall.verify.aave_specified import Efficiency, Listing
from seawall.verify.evm import DEPLOYER, ZERO_ADDRESS, Contract, Evm, encode
from seawall.verify.packages import (
    Artifact,
    compile_sources,
    fetch,
    find_artifact,
    gather_sources,
    own_contracts,
)

Version = Literal["v3.0", "v3.6"]
PRICE_UNIT = 10**8
_REVISION = {"v3.0": 1, "v3.6": 10}


def deploy_aave_v3(
    evm: Evm,
    version: Version,
    listings: Sequence[Listing],
    efficiency: Efficiency,
    cache_folder: Path | None = None,
) -> DeployedMarket:
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
    treasury = evm.account(TREASURY_NUMBER)
    pool, configurator = site.core([t.address for t in tokens.values()], feeds)
    for listing in listings:
        site.list_asset(configurator, tokens[listing.symbol].address, listing, treasury)
    site.set_efficiency(
        configurator, efficiency, [tokens[x.symbol].address for x in listings if x.in_emode]
    )
    reasons = _numbered_reasons(cache_folder) if version == "v3.0" else {}
    dialect = Dialect(
        supply="supply",
        has_emode=True,
        has_treasury_accrual=True,
        has_deficits=version != "v3.0",
        is_event_checked=False,
        set_price=lambda asset, price: feeds[asset].call("set", price),
        name_rule=lambda reason: reasons.get(reason, reason),
    )
    return DeployedMarket(evm, pool, find_assets(pool, tokens, site.at, treasury), dialect)


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
    return lambda name: find_artifact(folder, name)


@cache
def _numbered_reasons(cache_folder: Path | None) -> Mapping[str, str]:
    """Return what version 3.0's numbers of errors mean."""
    folder = fetch("@aave/core-v3", "1.19.3", cache_folder) / "contracts"
    errors = folder / "protocol" / "libraries" / "helpers" / "Errors.sol"
    spoken = read_reasons(errors, r"string public constant (\w+) = '(\d+)'")
    return {number: name.replace("Emode", "EMode") for number, name in spoken.items()}


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
