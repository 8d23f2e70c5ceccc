"""What an agent may ask of a loan: frozen values, JSON both ways.

Amounts are tokens of the asset; ``math.inf`` is all there is (JSON: ``"all"``). Each action sent by
itself is one transaction; a ``Bundle`` is one transaction too, and happens whole or not at all.
"""

from dataclasses import dataclass
from math import inf, isfinite
from typing import Annotated, Literal

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from seawall.errors import AgentError
from seawall.given import to_number, to_shown, to_text

_put = object.__setattr__  # what is frozen is still being made


def _read_all(value: object) -> object:
    return inf if value == "all" else value


def _write_all(value: float) -> float | str:
    return "all" if value == inf else value


def _read_none(value: object) -> object:
    return inf if value == "none" else value


def _write_none(value: float) -> float | str:
    return "none" if value == inf else value


def _schema(word: str) -> WithJsonSchema:
    """Return the JSON Schema of a number > 0, or a word that stands for infinity."""
    return WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"const": word}]})


Amount = Annotated[float, BeforeValidator(_read_all), PlainSerializer(_write_all), _schema("all")]
Limit = Annotated[float, BeforeValidator(_read_none), PlainSerializer(_write_none), _schema("none")]


@dataclass(frozen=True, kw_only=True)
class _Moved:
    """So much of one asset.

    Raises:
        AgentError: the amount is not > 0, or the asset no text.
    """

    asset: str
    amount: Amount

    def __post_init__(self) -> None:
        _put(self, "asset", to_text("asset", self.asset))
        _put(self, "amount", _to_amount("amount", self.amount))


@dataclass(frozen=True, kw_only=True)
class Supply(_Moved):
    """Move an asset from the wallet into the collateral."""

    kind: Literal["supply"] = "supply"


@dataclass(frozen=True, kw_only=True)
class Withdraw(_Moved):
    """Take collateral back into the wallet."""

    kind: Literal["withdraw"] = "withdraw"


@dataclass(frozen=True, kw_only=True)
class Borrow(_Moved):
    """Borrow an asset into the wallet."""

    kind: Literal["borrow"] = "borrow"


@dataclass(frozen=True, kw_only=True)
class Repay(_Moved):
    """Pay debt back out of the wallet."""

    kind: Literal["repay"] = "repay"


@dataclass(frozen=True, kw_only=True)
class Swap:
    """Sell an asset of the wallet for another, at the market's price less pool fee and impact.

    Attributes:
        amount: tokens of ``sell``.
        service_fee: share of the amount that goes to an automation service first, 0 to 0.1.

    Raises:
        AgentError: an amount, asset or fee that no swap could have.
    """

    sell: str
    buy: str
    amount: Amount
    service_fee: float = 0.0
    kind: Literal["swap"] = "swap"

    def __post_init__(self) -> None:
        _put(self, "sell", to_text("sell", self.sell))
        _put(self, "buy", to_text("buy", self.buy))
        _put(self, "amount", _to_amount("amount", self.amount))
        fee = to_number("service_fee", self.service_fee)
        if not 0 <= fee <= _LARGEST_FEE:
            raise AgentError(
                f"service_fee must be from 0 to {_LARGEST_FEE}, is {fee}: leave it out"
            )
        _put(self, "service_fee", fee)
        if self.sell == self.buy:
            raise AgentError(f"a swap has two assets, both are {self.sell!r}: leave it out")


@dataclass(frozen=True, kw_only=True)
class FlashLoan(_Moved):
    """Lent at the start of a bundle, taken back with a premium at its end."""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """Several steps in one transaction: all happen, or none does and the gas is spent.

    Attributes:
        actions: supply, withdraw, borrow, repay and swap, in order.
        flash_loan: what the bundle works with until its end.
        max_gas_usd: it is not sent into a block where it would cost more, and waits no longer.
        max_slippage: largest share of a swap's value that fee and impact may take, and that the
            price may have fallen since it was sent; beyond, the bundle fails.

    Raises:
        AgentError: it has no step, or a limit is none.
    """

    actions: tuple[Supply | Withdraw | Borrow | Repay | Swap, ...]
    flash_loan: FlashLoan | None = None
    max_gas_usd: Limit = inf
    max_slippage: Limit = inf
    kind: Literal["bundle"] = "bundle"

    def __post_init__(self) -> None:
        _put(self, "actions", tuple(self.actions))
        for action in self.actions:
            if not isinstance(action, (Supply, Withdraw, Borrow, Repay, Swap)):
                raise AgentError(
                    f"a bundle holds supply, withdraw, borrow, repay and swap, has "
                    f"{to_shown(action)}: send it apart"
                )
        if not self.actions:
            raise AgentError("a bundle has at least one step: answer None to do nothing")
        if not (self.flash_loan is None or isinstance(self.flash_loan, FlashLoan)):
            raise AgentError(f"flash_loan must be a FlashLoan, is {to_shown(self.flash_loan)}")
        for name in ("max_gas_usd", "max_slippage"):
            _put(self, name, _to_amount(name, getattr(self, name)))


@dataclass(frozen=True, kw_only=True)
class TargetHealth:
    """Bring the health factor to ``health``; the job finds the steps. ``inf``: close the loan.

    Raises:
        AgentError: it is not > 1.
    """

    health: Amount
    kind: Literal["target_health"] = "target_health"

    def __post_init__(self) -> None:
        health = to_number("health", self.health)
        if not health > 1:
            raise AgentError(
                f"a target health factor must be > 1, is {health}: answer 1.5, or None"
            )
        _put(self, "health", health)


LoanAction = Supply | Withdraw | Borrow | Repay | Swap | Bundle | TargetHealth
LOAN_ACTIONS = (Supply, Withdraw, Borrow, Repay, Swap, Bundle, TargetHealth)
_LARGEST_FEE = 0.1


def find_assets(action: LoanAction) -> tuple[str, ...]:
    """Return the assets that an action names, in order."""
    if isinstance(action, TargetHealth):
        return ()
    if isinstance(action, Swap):
        return (action.sell, action.buy)
    if isinstance(action, Bundle):
        lent = (action.flash_loan.asset,) if action.flash_loan else ()
        return (*lent, *(asset for step in action.actions for asset in find_assets(step)))
    return (action.asset,)


def describe_loan_action(action: LoanAction) -> str:
    """Return an action in a few words: ``"repay 500 USDC"``."""
    if isinstance(action, TargetHealth):
        return "close the loan" if action.health == inf else f"health factor to {action.health:.4g}"
    if isinstance(action, Swap):
        return f"swap {_write(action.amount)} {action.sell} for {action.buy}"
    if isinstance(action, Bundle):
        steps = ", ".join(describe_loan_action(step) for step in action.actions)
        lent = action.flash_loan
        return f"flash loan of {_write(lent.amount)} {lent.asset}: {steps}" if lent else steps
    return f"{action.kind} {_write(action.amount)} {action.asset}"


def _write(amount: float) -> str:
    return f"{amount:,.6g}" if isfinite(amount) else "all"


def _to_amount(name: str, value: object) -> float:
    amount = to_number(name, value)
    if not amount > 0:
        raise AgentError(f"{name} must be > 0, is {amount}: leave the step out for none")
    return amount
