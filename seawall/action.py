"""What an agent may ask for: frozen values, JSON both ways.

An action is a wish. What becomes of it is decided by the strategy's limits and by the venue; what
is refused is recorded with its reason. Prices are quote units per base unit, quantities base units.
"""

from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError

from seawall.errors import AgentError
from seawall.given import to_bool, to_number, to_shown, to_text, to_whole
from seawall.loan_action import Borrow, Bundle, Repay, Supply, Swap, TargetHealth, Withdraw
from seawall.perpetual_action import (
    AddMargin,
    SetLeverage,
    SetMarginMode,
    TargetLeverage,
    Transfer,
)

Side = Literal["buy", "sell"]
OrderType = Literal["market", "limit", "stop", "stop_limit", "trailing"]
TimeInForce = Literal["gtc", "ioc", "fok", "gtd"]
TriggerPrice = Literal["last", "mark"]

_LATEST_MS = 7_258_118_400_000  # 2200-01-01 UTC
_WORDS: dict[str, tuple[str, ...]] = {
    "side": get_args(Side),
    "type": get_args(OrderType),
    "time_in_force": get_args(TimeInForce),
    "trigger": get_args(TriggerPrice),
}
_put = object.__setattr__  # what is frozen is still being made


@dataclass(frozen=True, kw_only=True)
class TargetWeight:
    """Hold ``weight`` of the equity in ``symbol``: 1.0 is all of it, 0.0 none; < 0 is short.

    Raises:
        AgentError: the weight is no finite number, or the symbol no text.
    """

    symbol: str
    weight: float
    kind: Literal["target_weight"] = "target_weight"

    def __post_init__(self) -> None:
        if type(self.weight) is not float:  # made at every bar: what is usual has to be quick
            _put(self, "weight", to_number("weight", self.weight))
        if not isfinite(self.weight):
            raise AgentError(
                f"weight must be a finite number, is {self.weight}: answer 0.0 for none"
            )
        if type(self.symbol) is not str:
            _put(self, "symbol", to_text("symbol", self.symbol))


@dataclass(frozen=True, kw_only=True)
class Order:
    """One order; exactly one of ``quantity`` and ``cash`` says how large it is.

    Attributes:
        quantity: base units, > 0.
        cash: quote units to spend or receive, > 0; the quantity is fixed at the fill (market only).
        limit_price: for ``limit`` and ``stop_limit``.
        stop_price: for ``stop`` and ``stop_limit``: the trigger.
        trail_amount, trail_fraction: for ``trailing``: distance from the best completed extreme, in
            quote units or as a fraction of it; exactly one.
        time_in_force: ``gtc`` rests, ``ioc`` fills what it can at once, ``fok`` all at once or not
            at all, ``gtd`` rests until ``good_until_ms``.
        post_only: a limit order that would take liquidity is refused instead.
        reduce_only: of a perpetual: it closes what is held, and never opens or turns a position.
        trigger: of a perpetual's stops, trailing ones and brackets too: which price sets them off.
        stop_loss, take_profit: a bracket: two exits, one cancels the other, live from the entry on.
        client_id: the agent's own name for it, to cancel it by.

    Raises:
        AgentError: a price, size or combination that no venue could take.
    """

    symbol: str
    side: Side
    type: OrderType = "market"
    quantity: float | None = None
    cash: float | None = None
    limit_price: float | None = None
    stop_price: float | None = None
    trail_amount: float | None = None
    trail_fraction: float | None = None
    time_in_force: TimeInForce = "gtc"
    good_until_ms: int | None = None
    post_only: bool = False
    reduce_only: bool = False
    trigger: TriggerPrice = "last"
    stop_loss: float | None = None
    take_profit: float | None = None
    client_id: str = ""
    kind: Literal["order"] = "order"

    def __post_init__(self) -> None:
        self._check_words()
        self._check_numbers()
        if (self.quantity is None) == (self.cash is None):
            raise AgentError("an order has exactly one of quantity and cash: give one of them")
        if self.cash is not None and self.type != "market":
            raise AgentError(
                f"cash sizes a market order only, type is {self.type!r}: give a quantity"
            )
        self._check_prices()

    def _check_words(self) -> None:
        given = vars(self)
        for name, allowed in _WORDS.items():
            value = given[name]
            if not isinstance(value, str) or value not in allowed:
                raise AgentError(
                    f"{name} must be one of {', '.join(allowed)}, is {to_shown(value)}: "
                    "write it in lower case, exactly so"
                )
            if type(value) is not str:
                _put(self, name, allowed[allowed.index(value)])
        for name in ("symbol", "client_id"):
            if type(given[name]) is not str or not given[name].isascii():
                _put(self, name, to_text(name, given[name]))
        for name in ("post_only", "reduce_only"):
            if type(given[name]) is not bool:
                _put(self, name, to_bool(name, given[name]))

    def _check_numbers(self) -> None:
        given = vars(self)
        for name in _POSITIVE:
            value = given[name]
            if value is None:
                continue
            if type(value) is not float:
                value = to_number(name, value)
                _put(self, name, value)
            if not (isfinite(value) and value > 0):
                raise AgentError(
                    f"{name} must be a finite number > 0, is {value}: leave it out for none"
                )
        if self.good_until_ms is not None:
            until_ms = to_whole("good_until_ms", self.good_until_ms, _LATEST_MS)
            _put(self, "good_until_ms", until_ms)

    def _check_prices(self) -> None:
        needs_limit = self.type in ("limit", "stop_limit")
        needs_stop = self.type in ("stop", "stop_limit")
        if needs_limit != (self.limit_price is not None):
            raise AgentError(
                f"limit_price belongs to limit and stop_limit orders, type is {self.type!r}"
            )
        if needs_stop != (self.stop_price is not None):
            raise AgentError(
                f"stop_price belongs to stop and stop_limit orders, type is {self.type!r}"
            )
        trails = (self.trail_amount is not None) + (self.trail_fraction is not None)
        if trails != (self.type == "trailing"):
            raise AgentError("a trailing order has exactly one of trail_amount and trail_fraction")
        if (self.time_in_force == "gtd") != (self.good_until_ms is not None):
            raise AgentError("good_until_ms belongs to time_in_force = 'gtd', and to it alone")
        if self.post_only and self.type != "limit":
            raise AgentError(f"post_only belongs to limit orders, type is {self.type!r}")


_POSITIVE = (
    "quantity", "cash", "limit_price", "stop_price", "trail_amount", "trail_fraction",
    "stop_loss", "take_profit",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """Cancel a resting order by its venue's id or the agent's own; ``"all"`` cancels every one.

    Raises:
        AgentError: the id is no text.
    """

    order_id: str
    kind: Literal["cancel"] = "cancel"

    def __post_init__(self) -> None:
        _put(self, "order_id", to_text("order_id", self.order_id))


Action = (
    TargetWeight
    | Order
    | Cancel
    | Supply
    | Withdraw
    | Borrow
    | Repay
    | Swap
    | Bundle
    | TargetHealth
    | AddMargin
    | Transfer
    | TargetLeverage
    | SetLeverage
    | SetMarginMode
)
_ADAPTER: TypeAdapter[Action] = TypeAdapter(Annotated[Action, Field(discriminator="kind")])


def to_json(action: Action) -> str:
    """Return an action as one JSON object; fields that are not set are left out."""
    return _ADAPTER.dump_json(action, exclude_none=True).decode()


def from_json(text: str | bytes) -> Action:
    """Return the action that a JSON object describes; ``kind`` says which.

    Raises:
        AgentError: it is no JSON, or no action.
    """
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise AgentError(f"not an action: {where}: {first['msg']}") from None


def json_schema() -> dict[str, object]:
    """Return the JSON Schema of every action."""
    return _ADAPTER.json_schema()
