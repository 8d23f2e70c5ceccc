"""Aave v2 deployed for real, in a local EVM: the market of the crashes of 2021 and 2022.

``@aave/protocol-v2`` 1.0.1 holds it compiled (pool revision 2), with a price oracle that can be
set. ``aave_pool`` says what one can do with it. Stable rates are switched off; there is no e-mode.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from seawall.verify.aave_pool import (
    BPS_IN_RAY,
    TREASURY_NUMBER,
    DeployedMarket,
    Dialect,
    find_assets,
    read_reasons,
)
from seawall.verify.aave_specified import UNDERFLOW, Listing
from seawall.verify.evm import DEPLOYER, ZERO_ADDRESS, Contract, Evm
from seawall.verify.packages import fetch, find_artifact, own_contracts

PACKAGE, VERSION = "@aave/protocol-v2", "1.0.1"
REVISION = 2
# Version 2 has no name for an underflow, and other names for a few rules.
_UNDERFLOWS = ("SafeMath: subtraction overflow", "ERC20: burn amount exceeds balance")
_RENAMED = {
    "CollateralBalanceIs0": "CollateralBalanceIsZero",
    "UnderlyingBalanceNotGreaterThan0": "UnderlyingBalanceZero",
    "DepositAlreadyInUse": "TransferNotAllowed",
}


def deploy_aave_v2(
    evm: Evm, listings: Sequence[Listing], cache_folder: Path | None = None
) -> DeployedMarket:
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
    reasons = _reasons(cache_folder)
    dialect = Dialect(
        supply="deposit",
        has_emode=False,
        has_treasury_accrual=False,
        has_deficits=False,
        is_event_checked=True,
        set_price=lambda asset, price: site.oracle.call(
            "setAssetPrice", tokens[asset].address, price
        ),
        name_rule=lambda reason: _name_rule(reason, reasons),
    )
    assets = find_assets(site.pool, tokens, site.at, site.treasury)
    return DeployedMarket(evm, site.pool, assets, dialect)


def _name_rule(reason: str, reasons: Mapping[str, str]) -> str:
    """Return the rule's name in version 3.6."""
    if reason in _UNDERFLOWS:
        return UNDERFLOW
    name = reasons.get(reason, reason)
    return _RENAMED.get(name, name)


class _Site:
    """Deploys a market's contracts, each with the libraries that it calls."""

    def __init__(self, evm: Evm, folder: Path) -> None:
        self._evm = evm
        self._folder = folder
        self._libraries: dict[str, str] = {}
        self.treasury = evm.account(TREASURY_NUMBER)
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
        return self._evm.at(address, find_artifact(self._folder, name).abi)

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
        artifact = find_artifact(self._folder, name)
        for library in artifact.links:
            if library not in self._libraries:
                self._libraries[library] = self._deploy(library).address
        return self._evm.deploy(artifact, *arguments, libraries=self._libraries)


@cache
def _reasons(cache_folder: Path | None) -> Mapping[str, str]:
    """Return what the numbers of errors mean."""
    folder = fetch(PACKAGE, VERSION, cache_folder) / "contracts" / "protocol" / "libraries"
    return read_reasons(
        folder / "helpers" / "Errors.sol", r"string public constant [A-Z]+_(\w+) = '(\d+)'"
    )
