"""How a loan is computed: by float64 kernels, or with ``loan.exact`` by its protocol's integers."""

from collections.abc import Callable
from typing import Protocol

from seawall.engine.loan.terms import NATIVE, Epoch
from seawall.engine.loan.world import LoanWorld
from seawall.market.series import FloatArray
from seawall.units import SECOND_MS
from seawall.venues.lending import layout, race
from seawall.venues.lending.exact import ExactVenue
from seawall.venues.lending.exact_pools import (
    AaveIntegers,
    CometIntegers,
    IntegerPool,
    MorphoIntegers,
)
from seawall.venues.lending.exact_race import ExactRace
from seawall.venues.lending.rules import RULES, AaveRules
from seawall.venues.lending.venue import FloatVenue, LendingVenue

_USUAL_DECIMALS = 18
_DECIMALS = {"WBTC": 8, "USDC": 6, "USDT": 6}


class Arithmetic(Protocol):
    """What a broker asks.

    Attributes:
        live_through: as the kernel ``race.live_through``.
    """

    live_through: Callable[..., tuple[int, int, bool]]

    def enter(self, epoch: Epoch) -> LendingVenue:
        """Put an epoch's rules and parameters in force; return where transactions act."""
        ...

    def open(self, prices: FloatArray) -> None:
        """Take the loan that stands in the state, at the oracle's prices."""
        ...


def make_arithmetic(world: LoanWorld, state: FloatArray) -> Arithmetic:
    """Return what the recipe asks for, on a state."""
    if world.loan.exact:
        return _Integers(world, state)
    return _Kernels(world, state)


class _Kernels:
    """Float64: the state is all there is."""

    def __init__(self, world: LoanWorld, state: FloatArray) -> None:
        self._world, self._state = world, state
        self.live_through = race.live_through

    def enter(self, epoch: Epoch) -> LendingVenue:
        """Return the kernels' venue."""
        world = self._world
        return FloatVenue(self._state, world.risk_of(epoch), world.rules_of(epoch), world.names)

    def open(self, prices: FloatArray) -> None:
        """Do nothing: the loan stands in the state."""


class _Integers:
    """The protocol's integers, which the state follows."""

    def __init__(self, world: LoanWorld, state: FloatArray) -> None:
        self._world = world
        self._venue = _make_venue(world, state)
        self.live_through = ExactRace(self._venue).live_through

    def enter(self, epoch: Epoch) -> LendingVenue:
        """Change parameters and rules as governance does."""
        world = self._world
        self._venue.change(world.risk_of(epoch), world.rules_of(epoch), _version_of(epoch))
        return self._venue

    def open(self, prices: FloatArray) -> None:
        """Supply and borrow."""
        self._venue.open(prices)


def _make_venue(world: LoanWorld, state: FloatArray) -> ExactVenue:
    epoch = world.terms.epochs[0]
    risk, rules = world.risk_of(epoch), world.rules_of(epoch)
    decimals = tuple(_DECIMALS.get(name, _USUAL_DECIMALS) for name in world.names)
    pool = _make_pool(world, epoch, risk, dict(zip(world.names, decimals, strict=True)))
    return ExactVenue(state, risk, rules, world.names, decimals, pool)


def _make_pool(
    world: LoanWorld, epoch: Epoch, risk: FloatArray, decimals: dict[str, int]
) -> IntegerPool:
    loan, now_s = world.loan, int(world.open_ms[0]) // SECOND_MS
    rows = dict(zip(world.names, risk, strict=True))
    lent = {name: places for name, places in decimals.items() if name != NATIVE}
    version = _version_of(epoch)
    if version is not None:
        return AaveIntegers(version, lent, rows, now_s)
    if loan.protocol == "compound":
        storefront = float(epoch.rules[layout.STOREFRONT])
        return CometIntegers(loan.debt, lent, rows, storefront, now_s)
    return MorphoIntegers(loan.collateral, loan.debt, lent, rows, now_s)


def _version_of(epoch: Epoch) -> AaveRules | None:
    """Return the version of Aave that an epoch names; None for other protocols."""
    return RULES.get(epoch.name.removeprefix("aave "))
