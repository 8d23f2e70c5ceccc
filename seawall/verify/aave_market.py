"""One shape for an Aave market, be it contracts or specification: steps in, states out.

A step is what somebody does, or what the world does: the clock, a price. The same steps are
performed on both markets, and after each the whole states are compared field by field.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple, Protocol, cast

Verb = Literal[
    "supply",
    "withdraw",
    "borrow",
    "repay",
    "liquidate",
    "set_emode",
    "use_as_collateral",
    "set_price",
    "warp",
]
UNLIMITED = 2**256 - 1
"""An amount that stands for all there is."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step; what a verb does not need stays empty.

    Attributes:
        user: who acts; of a liquidation the liquidator.
        asset: of a liquidation the collateral.
        amount: wei; ``set_price``: 1e-8 USD; ``warp``: seconds; ``set_emode``: the category;
            ``use_as_collateral``: 1 or 0.
        borrower, debt: of a liquidation: whose, and the asset repaid.
    """

    verb: Verb
    user: str = ""
    asset: str = ""
    amount: int = 0
    borrower: str = ""
    debt: str = ""

    def to_row(self) -> list[str | int]:
        """Return the step as one row of JSON."""
        row: list[str | int] = [self.verb, self.user, self.asset, self.amount]
        return [*row, self.borrower, self.debt] if self.borrower else row

    @classmethod
    def from_row(cls, row: Sequence[str | int]) -> "Step":
        """Return the step that a row stands for."""
        verb, user, asset, amount, borrower, debt = (*row, "", "")[:6]
        return cls(
            verb=cast("Verb", verb),
            user=str(user),
            asset=str(asset),
            amount=int(amount),
            borrower=str(borrower),
            debt=str(debt),
        )


@dataclass(frozen=True, kw_only=True)
class ReserveState:
    """What a market keeps for one asset: rays, wei, seconds."""

    liquidity_index: int
    borrow_index: int
    liquidity_rate: int
    borrow_rate: int
    updated_s: int
    accrued_to_treasury: int
    scaled_supply: int
    scaled_debt: int
    available: int  # the virtual balance where there is one, else what the aToken holds
    deficit: int
    treasury_scaled: int


@dataclass(frozen=True, kw_only=True)
class UserState:
    """What a market says about one user now; balances by asset, in wei."""

    scaled_collateral: Mapping[str, int]
    collateral: Mapping[str, int]
    scaled_debt: Mapping[str, int]
    debt: Mapping[str, int]
    used_as_collateral: frozenset[str]
    borrowed: frozenset[str]
    collateral_base: int
    debt_base: int
    threshold_bps: int
    ltv_bps: int
    health_wad: int


class Refusal(Exception):  # noqa: N818 - reads as what happened; the comparison expects it
    """A market refused a step; ``reason`` is the name of the rule, as version 3.6 calls it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Market(Protocol):
    """A market that steps can be performed on; a verb raises ``Refusal`` and changes nothing."""

    @property
    def symbols(self) -> Sequence[str]:
        """Return the listed assets."""

    @property
    def users(self) -> Sequence[str]:
        """Return those who act."""

    def supply(self, user: str, asset: str, amount: int) -> None:
        """Supply an amount in wei."""

    def withdraw(self, user: str, asset: str, amount: int) -> int:
        """Withdraw, and return the amount."""

    def borrow(self, user: str, asset: str, amount: int) -> None:
        """Borrow an amount in wei."""

    def repay(self, user: str, asset: str, amount: int) -> int:
        """Repay, and return the amount."""

    def liquidate(
        self, liquidator: str, user: str, collateral: str, debt: str, amount: int
    ) -> tuple[int, int]:
        """Liquidate; return what the liquidator paid and what he received."""

    def set_emode(self, user: str, category: int) -> None:
        """Enter an e-mode category, or leave with 0."""

    def use_as_collateral(self, user: str, asset: str, *, enabled: bool) -> None:
        """Let a supplied asset count as collateral, or not."""

    def set_price(self, asset: str, price: int) -> None:
        """Set the oracle's price, in 1e-8 USD per token."""

    def warp(self, seconds: int) -> None:
        """Move the clock forward."""

    def reserve(self, asset: str) -> ReserveState:
        """Return the state of one asset, as stored."""

    def user(self, name: str) -> UserState:
        """Return what one user has now."""


class Outcome(NamedTuple):
    """What a step gave: amounts in wei, or the rule by which it was refused."""

    gives: tuple[int, ...]
    refused: str | None


def perform(market: Market, step: Step) -> Outcome:
    """Perform one step and return its outcome; a refusal is an outcome."""
    try:
        return Outcome(_do(market, step), None)
    except Refusal as refusal:
        return Outcome((), refusal.reason)


def _do(market: Market, step: Step) -> tuple[int, ...]:
    match step.verb:
        case "supply":
            market.supply(step.user, step.asset, step.amount)
        case "withdraw":
            return (market.withdraw(step.user, step.asset, step.amount),)
        case "borrow":
            market.borrow(step.user, step.asset, step.amount)
        case "repay":
            return (market.repay(step.user, step.asset, step.amount),)
        case "liquidate":
            return market.liquidate(step.user, step.borrower, step.asset, step.debt, step.amount)
        case "set_emode":
            market.set_emode(step.user, step.amount)
        case "use_as_collateral":
            market.use_as_collateral(step.user, step.asset, enabled=bool(step.amount))
        case "set_price":
            market.set_price(step.asset, step.amount)
        case "warp":
            market.warp(step.amount)
    return ()


class Difference(NamedTuple):
    """Where two markets differ, and by how much."""

    where: str
    expected: object
    found: object

    @property
    def size(self) -> int:
        """Return the difference in the field's smallest unit; 1 where it is no number."""
        if isinstance(self.expected, int) and isinstance(self.found, int):
            return abs(self.expected - self.found)
        return 1


def compare_outcomes(contracts: Outcome, specification: Outcome) -> Iterator[Difference]:
    """Yield where two outcomes of the same step differ."""
    if contracts.refused != specification.refused:
        yield Difference("refusal", contracts.refused, specification.refused)
    for expected, found in zip(contracts.gives, specification.gives, strict=False):
        if expected != found:
            yield Difference("amount", expected, found)


def compare_states(contracts: Market, specification: Market) -> Iterator[Difference]:
    """Yield every field of every reserve and user in which two markets differ."""
    for asset in contracts.symbols:
        yield from _compare(asset, contracts.reserve(asset), specification.reserve(asset))
    for name in contracts.users:
        yield from _compare(name, contracts.user(name), specification.user(name))


def _compare(
    owner: str, contracts: ReserveState | UserState, specification: ReserveState | UserState
) -> Iterator[Difference]:
    if contracts == specification:
        return
    for field in fields(contracts):
        expected, found = getattr(contracts, field.name), getattr(specification, field.name)
        if isinstance(expected, dict):
            for asset in expected:
                if expected[asset] != found[asset]:
                    where = f"{owner}.{field.name}.{asset}"
                    yield Difference(where, expected[asset], found[asset])
        elif expected != found:
            yield Difference(f"{owner}.{field.name}", expected, found)
