"""What an agent may ask of a futures account beside orders: frozen values, JSON both ways.

Amounts are quote units; ``math.inf`` is all there is (JSON: ``"all"``).
"""

from dataclasses import dataclass
from math import inf, isfinite
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from seawall.errors import AgentError
from seawall.given import to_number, to_shown, to_text

Wallet = Literal["spot", "perpetual", "loan"]
WALLETS: tuple[Wallet, ...] = get_args(Wallet)
_put = object.__setattr__  # what is frozen is still being made


def _read_all(value: object) -> object:
    return inf if value == "all" else value


def _write_all(value: float) -> float | str:
    return "all" if value == inf else value


Money = Annotated[
    float,
    BeforeValidator(_read_all),
    PlainSerializer(_write_all),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"const": "all"}]}),
]


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """Move quote money between two wallets of the account; it takes time and costs.

    Raises:
        AgentError: the amount is not > 0, or a wallet is none.
    """

    source: Wallet
    target: Wallet
    amount: Money
    kind: Literal["transfer"] = "transfer"

    def __post_init__(self) -> None:
        for name in ("source", "target"):
            if getattr(self, name) not in WALLETS:
                raise AgentError(
                    f"{name} must be one of {', '.join(WALLETS)}, is "
                    f"{to_shown(getattr(self, name))}: write it in lower case, exactly so"
                )
        if self.source == self.target:
            raise AgentError(f"a transfer has two wallets, both are {self.source!r}: change one")
        _put(self, "amount", _to_money("amount", self.amount))


@dataclass(frozen=True, kw_only=True)
class AddMargin:
    """Back a position with more money, or with less: ``amount`` < 0 takes it back.

    It comes out of the futures wallet, and what that lacks out of the spot wallet, with the time
    and cost of a transfer. What is taken back goes into the spot wallet. For a cross position the
    futures wallet is the margin. At an open it comes after the orders that are due there.

    Raises:
        AgentError: the amount is 0 or no number.
    """

    symbol: str
    amount: Money
    kind: Literal["add_margin"] = "add_margin"

    def __post_init__(self) -> None:
        _put(self, "symbol", to_text("symbol", self.symbol))
        amount = to_number("amount", self.amount)
        if not (amount and amount > -inf) or amount != amount:  # noqa: PLR0124 - nan
            raise AgentError(f"amount must be a number other than 0, is {amount}: inf is all")
        _put(self, "amount", amount)


@dataclass(frozen=True, kw_only=True)
class TargetLeverage:
    """Trade a position to so many times the margin that backs it; 0.0 closes it.

    It keeps its side. The margin is the isolated one with its unrealised profit, or the margin
    balance of the cross account. What a reduction sets free of an isolated margin stays behind it.

    Raises:
        AgentError: the leverage is no finite number >= 0.
    """

    symbol: str
    leverage: float
    kind: Literal["target_leverage"] = "target_leverage"

    def __post_init__(self) -> None:
        _put(self, "symbol", to_text("symbol", self.symbol))
        leverage = to_number("leverage", self.leverage)
        if not (isfinite(leverage) and leverage >= 0):
            raise AgentError(
                f"leverage must be a finite number >= 0, is {leverage}: 0.0 closes the position"
            )
        _put(self, "leverage", leverage)


@dataclass(frozen=True, kw_only=True)
class SetLeverage:
    """Set the leverage of a contract's initial margin; its bracket caps the notional.

    Raises:
        AgentError: the leverage is no finite number >= 1.
    """

    symbol: str
    leverage: float
    kind: Literal["set_leverage"] = "set_leverage"

    def __post_init__(self) -> None:
        _put(self, "symbol", to_text("symbol", self.symbol))
        leverage = to_number("leverage", self.leverage)
        if not (isfinite(leverage) and leverage >= 1):
            raise AgentError(f"leverage must be a finite number >= 1, is {leverage}: 1 is none")
        _put(self, "leverage", leverage)


@dataclass(frozen=True, kw_only=True)
class SetMarginMode:
    """Set the margin mode of a contract; refused while a position or an order is open.

    Raises:
        AgentError: there is no such mode.
    """

    symbol: str
    mode: Literal["cross", "isolated"]
    kind: Literal["set_margin_mode"] = "set_margin_mode"

    def __post_init__(self) -> None:
        _put(self, "symbol", to_text("symbol", self.symbol))
        if self.mode not in ("cross", "isolated"):
            raise AgentError(
                f"mode must be cross or isolated, is {to_shown(self.mode)}: write it exactly so"
            )


PerpetualAction = Transfer | AddMargin | TargetLeverage | SetLeverage | SetMarginMode
PERPETUAL_ACTIONS = (Transfer, AddMargin, TargetLeverage, SetLeverage, SetMarginMode)


def describe_perpetual_action(action: PerpetualAction) -> str:
    """Return the action in words."""
    if isinstance(action, Transfer):
        return f"transfer {_words(action.amount)} from {action.source} to {action.target}"
    if isinstance(action, AddMargin):
        if action.amount < 0:
            return f"take {_words(-action.amount)} of margin from {action.symbol}"
        return f"add {_words(action.amount)} of margin to {action.symbol}"
    if isinstance(action, TargetLeverage):
        return f"trade {action.symbol} to {action.leverage:.4g}x"
    if isinstance(action, SetLeverage):
        return f"set the leverage of {action.symbol} to {action.leverage:.4g}x"
    return f"set the margin of {action.symbol} to {action.mode}"


def _words(amount: float) -> str:
    return "all" if amount == inf else f"{amount:,.8g}"


def _to_money(name: str, value: object) -> float:
    amount = to_number(name, value)
    if not amount > 0:
        raise AgentError(f"{name} must be > 0, is {amount}: inf is all there is")
    return amount
