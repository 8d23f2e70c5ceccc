"""Morpho Blue deployed for real: version 1.0.0, one market in a local EVM.

The package holds sources, compiled with the compiler version and the intermediate representation
that its authors used. Oracle and rate model are ours, because both are whatever a market's creator
brings; so are the tokens.

Every user holds tokens enough for anything and lets Morpho take them, so a refusal is always the
protocol's own.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from seawall.venues.lending.fixed import WAD
from seawall.venues.lending.morpho import MorphoLiquidation, Moved, Position, Totals
from seawall.venues.lending.morpho_rates import RateQuote
from seawall.verify.evm import DEPLOYER, Evm, encode, keccak
from seawall.verify.packages import (
    OWN_COMPILER,
    Artifact,
    compile_sources,
    fetch,
    gather_sources,
    own_contracts,
)

PACKAGE, VERSION, COMPILER = "@morpho-org/morpho-blue", "1.0.0", "0.8.19"
WALLET = 10**36
UNLIMITED = 2**256 - 1
_FEE_RECIPIENT_NUMBER = 0xFEE
_LIQUIDATE = "Liquidate(bytes32,address,address,uint256,uint256,uint256,uint256,uint256)"


@dataclass(frozen=True)
class LinearRate:
    """The specification's twin of our ``MorphoRate``: base + slope * utilisation, per second."""

    base: int
    slope: int

    def quote(self, memory: int, utilization: int, elapsed_s: int) -> RateQuote:  # noqa: ARG002
        """Return the rate at a utilisation."""
        return RateQuote(self.base + self.slope * utilization // WAD, memory)


class DeployedMorpho:
    """One market of a deployed Morpho; verbs raise ``Reverted`` where the contract does."""

    def __init__(self, evm: Evm, *, lltv: int, fee: int, cache_folder: Path | None = None) -> None:
        self.evm = evm
        own = own_contracts(cache_folder) | _compile_own(cache_folder)
        self._loan = evm.deploy(own["Token"], "LOAN", 18)
        self._collateral = evm.deploy(own["Token"], "COLLATERAL", 18)
        self._oracle = evm.deploy(own["MorphoOracle"])
        self._rate = evm.deploy(own["MorphoRate"])
        self._morpho = evm.deploy(_compile_morpho(cache_folder), DEPLOYER)
        contracts = (self._loan, self._collateral, self._oracle, self._rate)
        self._params = (*(x.address for x in contracts), lltv)
        self._fee_recipient = evm.account(_FEE_RECIPIENT_NUMBER)
        self._users: dict[str, str] = {}
        self._open(lltv, fee)

    def _open(self, lltv: int, fee: int) -> None:
        morpho = self._morpho
        morpho.call("enableIrm", self._rate.address)
        morpho.call("enableLltv", lltv)
        morpho.call("createMarket", self._params)
        if fee:
            morpho.call("setFee", self._params, fee)
            morpho.call("setFeeRecipient", self._fee_recipient)
        types = ("address", "address", "address", "address", "uint256")
        self._id = keccak(encode(types, self._params))

    def add_user(self, name: str) -> None:
        """Give a user tokens of both kinds and Morpho the right to take them."""
        self._users[name] = address = self.evm.account(len(self._users))
        for token in (self._loan, self._collateral):
            token.call("mint", address, WALLET)
            token.call("approve", self._morpho.address, UNLIMITED, sender=address)

    def set_price(self, price: int) -> None:
        """Set what the oracle says: loan wei per collateral wei, times 1e36."""
        self._oracle.call("set", price)

    def set_rate(self, rate: LinearRate) -> None:
        """Set the rate model's line."""
        self._rate.call("set", rate.base, rate.slope)

    def supply(self, user: str, assets: int, shares: int) -> Moved:
        """Lend."""
        return Moved(*self._send(user, "supply", assets, shares, self._users[user], b""))

    def withdraw(self, user: str, assets: int, shares: int) -> Moved:
        """Take back what was lent."""
        address = self._users[user]
        return Moved(*self._send(user, "withdraw", assets, shares, address, address))

    def borrow(self, user: str, assets: int, shares: int) -> Moved:
        """Borrow."""
        address = self._users[user]
        return Moved(*self._send(user, "borrow", assets, shares, address, address))

    def repay(self, user: str, assets: int, shares: int) -> Moved:
        """Repay."""
        return Moved(*self._send(user, "repay", assets, shares, self._users[user], b""))

    def supply_collateral(self, user: str, assets: int) -> None:
        """Add collateral."""
        self._send(user, "supplyCollateral", assets, self._users[user], b"")

    def withdraw_collateral(self, user: str, assets: int) -> None:
        """Take collateral out."""
        address = self._users[user]
        self._send(user, "withdrawCollateral", assets, address, address)

    def liquidate(
        self, liquidator: str, user: str, seized: int, repaid_shares: int
    ) -> MorphoLiquidation:
        """Liquidate; the amounts are those of the event, and the liquidator's wallet agrees."""
        before = self._wallet(liquidator)
        self._send(liquidator, "liquidate", self._users[user], seized, repaid_shares, b"")
        taken = MorphoLiquidation(*self.evm.last_event_words(_LIQUIDATE))
        loan, collateral = self._wallet(liquidator)
        if (before[0] - loan, collateral - before[1]) != (taken.repaid, taken.seized):
            raise AssertionError("Morpho's event and the liquidator's wallet must agree")
        return taken

    def accrue(self) -> None:
        """Accrue interest."""
        self._morpho.call("accrueInterest", self._params)

    def totals(self) -> Totals:
        """Return what the market keeps."""
        supplied, supply_shares, borrowed, borrow_shares, updated, _ = self._morpho.view(
            "market", self._id
        )
        return Totals(updated, supplied, supply_shares, borrowed, borrow_shares)

    def position(self, user: str) -> Position:
        """Return what the contract keeps of one user, or of ``"fee recipient"``."""
        address = self._users.get(user, self._fee_recipient)
        return Position(*self._morpho.view("position", self._id, address))

    def held(self) -> tuple[int, int]:
        """Return the loan and collateral tokens that the contract holds."""
        return self._wallet_of(self._morpho.address)

    def _wallet(self, user: str) -> tuple[int, int]:
        return self._wallet_of(self._users[user])

    def _wallet_of(self, address: str) -> tuple[int, int]:
        loan, collateral = (
            token.view("balanceOf", address) for token in (self._loan, self._collateral)
        )
        return loan, collateral

    def _send(self, user: str, function: str, *arguments: Any) -> Any:
        return self._morpho.call(function, self._params, *arguments, sender=self._users[user])


@cache
def _compile_morpho(cache_folder: Path | None) -> Artifact:
    roots = {"src/": fetch(PACKAGE, VERSION, cache_folder) / "src"}
    sources = gather_sources(["src/Morpho.sol"], roots)
    settings = {"viaIR": True}
    return compile_sources(
        sources, ["Morpho"], solc=COMPILER, settings=settings, cache=cache_folder
    )["Morpho"]


@cache
def _compile_own(cache_folder: Path | None) -> dict[str, Artifact]:
    folder = files("seawall.verify") / "contracts"
    names = ("MorphoOracle", "MorphoRate")
    sources = {f"{name}.sol": (folder / f"{name}.sol").read_text() for name in names}
    return compile_sources(sources, names, solc=OWN_COMPILER, cache=cache_folder)
