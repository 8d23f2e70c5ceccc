"""One shape for a Morpho market, be it the contract or the specification: steps in, numbers out.

A step is what somebody does, or what the world does: the clock, a price, a rate. The same steps are
performed on both markets; what each gives or refuses, and the whole state after it, are flat
numbers, so that a comparison is one loop.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, cast

from seawall.errors import Refused
from seawall.venues.lending.morpho import NOBODY, MorphoMarket
from seawall.verify.evm import Reverted
from seawall.verify.morpho_contracts import DeployedMorpho, LinearRate

Verb = Literal[
    "supply",
    "withdraw",
    "borrow",
    "repay",
    "supply_collateral",
    "withdraw_collateral",
    "liquidate",
    "set_price",
    "set_rate",
    "warp",
    "accrue",
]
USERS = ("ann", "bob", "cyd", "lender")
FEE_RECIPIENT = "fee recipient"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step; what a verb does not need stays empty.

    Attributes:
        user: who acts; of a liquidation the borrower, ``by`` is the liquidator.
        first: assets in wei; of a liquidation what is seized; ``set_price``: the price;
            ``set_rate``: the base; ``warp``: seconds.
        second: shares instead of assets; of a liquidation those repaid; ``set_rate``: the slope.
    """

    verb: Verb
    user: str = ""
    first: int = 0
    second: int = 0
    by: str = ""

    def to_row(self) -> list[str | int]:
        """Return the step as one row of JSON."""
        return [self.verb, self.user, self.first, self.second, self.by]

    @classmethod
    def from_row(cls, row: Sequence[str | int]) -> "Step":
        """Return the step that a row stands for."""
        verb, user, first, second, by = row
        return cls(
            verb=cast("Verb", verb),
            user=str(user),
            first=int(first),
            second=int(second),
            by=str(by),
        )


class Outcome(NamedTuple):
    """What a step gave, wei and shares; or the contract's reason for refusing it."""

    gives: tuple[int, ...]
    refused: str


class Side(Protocol):
    """A market that steps can be performed on."""

    def perform(self, step: Step) -> Outcome:
        """Perform one step and return its outcome; a refusal is one, and changes nothing."""

    def read(self) -> dict[str, int]:
        """Return all that the market keeps, by name."""


class ContractSide:
    """The deployed contract."""

    def __init__(self, market: DeployedMorpho) -> None:
        self.market = market
        for user in USERS:
            market.add_user(user)

    def perform(self, step: Step) -> Outcome:
        """Perform one step."""
        try:
            return Outcome(self._do(step), "")
        except Reverted as reverted:
            return Outcome((), reverted.reason)

    def read(self) -> dict[str, int]:
        """Return all that the contract keeps, by name."""
        totals = self.market.totals()
        positions = {name: self.market.position(name) for name in (*USERS, FEE_RECIPIENT)}
        cash, collateral = self.market.held()
        state = vars(totals) | {"cash": cash, "collateral_held": collateral}
        for name, position in positions.items():
            state |= {f"{name}.{field}": value for field, value in vars(position).items()}
        return state

    def _do(self, step: Step) -> tuple[int, ...]:
        market = self.market
        match step.verb:
            case "supply" | "withdraw" | "borrow" | "repay":
                return tuple(getattr(market, step.verb)(step.user, step.first, step.second))
            case "supply_collateral" | "withdraw_collateral":
                getattr(market, step.verb)(step.user, step.first)
            case "liquidate":
                return tuple(market.liquidate(step.by, step.user, step.first, step.second))
            case "set_price":
                market.set_price(step.first)
            case "set_rate":
                market.set_rate(LinearRate(step.first, step.second))
            case "warp":
                market.evm.warp(step.first)
            case "accrue":
                market.accrue()
        return ()


class SpecificationSide:
    """The specification, with the clock that it is given by argument."""

    def __init__(self, market: MorphoMarket) -> None:
        self.market = market
        self.now_s = market.totals.last_update_s

    def perform(self, step: Step) -> Outcome:
        """Perform one step."""
        try:
            return Outcome(self._do(step), "")
        except Refused as refused:
            return Outcome((), str(refused).partition(": ")[0])

    def read(self) -> dict[str, int]:
        """Return all that the specification keeps, by name."""
        market = self.market
        state = vars(market.totals) | {"rate_memory": 0}
        state |= {"cash": market.cash, "collateral_held": market.collateral_held}
        for name in (*USERS, FEE_RECIPIENT):
            position = market.positions.get(name, NOBODY)
            state |= {f"{name}.{field}": value for field, value in vars(position).items()}
        return state

    def _do(self, step: Step) -> tuple[int, ...]:
        market, now_s = self.market, self.now_s
        match step.verb:
            case "supply" | "withdraw" | "borrow" | "repay":
                move = getattr(market, step.verb)
                return tuple(move(step.user, step.first, now_s, shares=step.second))
            case "supply_collateral":
                market.supply_collateral(step.user, step.first)
            case "withdraw_collateral":
                market.withdraw_collateral(step.user, step.first, now_s)
            case "liquidate":
                how = {"seized": step.first, "repaid_shares": step.second}
                return tuple(market.liquidate(step.user, now_s, **how))
            case "set_price":
                market.set_price(step.first)
            case "set_rate":
                market.rate_model = LinearRate(step.first, step.second)
            case "warp":
                self.now_s += step.first
            case "accrue":
                market.accrue(now_s)
        return ()


class Difference(NamedTuple):
    """Where contract and specification differ."""

    where: str
    expected: int | str
    found: int | str

    @property
    def size(self) -> int:
        """Return the difference in wei or shares; 1 where it is no number."""
        if isinstance(self.expected, int) and isinstance(self.found, int):
            return abs(self.expected - self.found)
        return 1


def compare_outcomes(expected: Outcome, found: Outcome) -> Iterator[Difference]:
    """Yield where two outcomes of the same step differ."""
    if expected.refused != found.refused:
        yield Difference("refusal", expected.refused, found.refused)
    for place, (one, other) in enumerate(zip(expected.gives, found.gives, strict=False)):
        if one != other:
            yield Difference(f"amount {place}", one, other)


def compare_states(expected: dict[str, int], found: dict[str, int]) -> Iterator[Difference]:
    """Yield every number in which two states differ."""
    for name, value in expected.items():
        if value != found[name]:
            yield Difference(name, value, found[name])
