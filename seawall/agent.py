"""The contract between an agent and the world.

An agent is any object with ``decide(observation)``; a bare function is one too. It may also have
``begin(info)``, ``fit(history)``, ``learn(feedback)``, ``state() -> bytes``, ``restore(bytes)`` and
``end()``. An agent that raises or answers nonsense has abstained: the engine records why and leaves
things as they are.

``fit`` is called before the first decision, with an observation that ends before now by the
embargo. An agent that wants it again says how often with an attribute, ``refit_ms``: it is fitted
anew at the first decision by which so many milliseconds have passed since the last time.

An agent that guards a loan, or a leveraged position, says so with a class attribute,
``guards = "loan"`` or ``"margin"``, ``("loan", "margin")`` for both: it is then checked in a market
that has one. An agent that answers the share of a carry says ``trades = "carry"``. An agent whose
numbers must not be shown without a word has ``labels(recipe)``, which returns such texts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Protocol, cast, runtime_checkable

import numpy as np

from seawall.action import Action, Cancel, Order, TargetWeight
from seawall.errors import AgentError
from seawall.given import to_bool, to_number, to_shown, to_text, to_whole
from seawall.loan_action import LOAN_ACTIONS, TargetHealth, find_assets
from seawall.observation import Observation
from seawall.perpetual_action import (
    PERPETUAL_ACTIONS,
    PerpetualAction,
    TargetLeverage,
    Transfer,
)
from seawall.thinking import Thinking as Thinking  # noqa: PLC0414 - it is a part of the contract
from seawall.units import DAY_MS, is_perpetual

_LONGEST_SLEEP_MS = 36_525 * DAY_MS  # a hundred years


@dataclass(frozen=True, kw_only=True)
class Wake:
    """When the agent wants to be asked again; whichever comes first. Nothing set: at the next bar.

    Attributes:
        after_ms: so many milliseconds from now, 0 to a hundred years.
        above, below: when a bar closes beyond one of these prices, by symbol.
        at_fill: when one of its orders fills, or one of its positions is liquidated.
        health_below, health_above: when a bar closes with a loan's health factor, at the oracle's
            price, beyond one of these; > 0.
        ratio_above: when a bar closes with the futures account's margin ratio above this; > 0.

    Raises:
        AgentError: a time, level or flag that is none.
    """

    after_ms: int | None = None
    above: Mapping[str, float] = field(default_factory=dict)
    below: Mapping[str, float] = field(default_factory=dict)
    at_fill: bool = False
    health_below: float | None = None
    health_above: float | None = None
    ratio_above: float | None = None

    def __post_init__(self) -> None:
        if self.after_ms is not None:
            _put(self, "after_ms", to_whole("after_ms", self.after_ms, _LONGEST_SLEEP_MS))
        _put(self, "above", _to_levels("above", self.above))
        _put(self, "below", _to_levels("below", self.below))
        _put(self, "at_fill", to_bool("at_fill", self.at_fill))
        for name in ("health_below", "health_above", "ratio_above"):
            if getattr(self, name) is not None:
                _put(self, name, _to_level(name, getattr(self, name)))


def _to_level(name: str, value: object) -> float:
    level = to_number(name, value)
    if not (isfinite(level) and level > 0):
        raise AgentError(f"{name} must be a finite number > 0, is {level}: leave it out for none")
    return level


def _to_levels(name: str, levels: object) -> dict[str, float]:
    if not isinstance(levels, Mapping):
        raise AgentError(f"{name} must be prices by symbol, is {to_shown(levels)}: give a mapping")
    found = {
        to_text(f"a symbol in {name}", symbol): to_number(f"a price in {name}", level)
        for symbol, level in levels.items()
    }
    for symbol, level in found.items():
        if not isfinite(level):
            raise AgentError(f"{name} must be finite, is {level} for {symbol!r}: leave it out")
    return found


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What an agent answers: actions in the order they are to be carried out, and why.

    Attributes:
        actions: what to do; none leaves things as they are.
        reason: for the journal.
        wake: when to be asked again.
        thinking: what the decision cost, and how long it took; ``None`` is nothing.
        abstained: why the agent has no answer, ``""`` where it has one; recorded as an abstention.

    Raises:
        AgentError: a part is not what it should be.
    """

    actions: tuple[Action, ...] = ()
    reason: str = ""
    wake: Wake | None = None
    thinking: Thinking | None = None
    abstained: str = ""

    def __post_init__(self) -> None:
        if type(self.actions) is not tuple:
            if not isinstance(self.actions, Sequence) or isinstance(self.actions, (str, bytes)):
                raise AgentError(
                    f"actions must be a tuple of actions, is {to_shown(self.actions)}: "
                    "write (action,) for one, leave it out for none"
                )
            _put(self, "actions", tuple(self.actions))
        _put(self, "reason", to_text("reason", self.reason))
        if not (self.wake is None or isinstance(self.wake, Wake)):
            raise AgentError(
                f"wake must be a Wake or None, is {to_shown(self.wake)}: use Wake(after_ms=...)"
            )
        if not (self.thinking is None or isinstance(self.thinking, Thinking)):
            raise AgentError(
                f"thinking must be a Thinking or None, is {to_shown(self.thinking)}: leave it out"
            )
        _put(self, "abstained", to_text("abstained", self.abstained))
        if self.abstained and self.actions:
            raise AgentError(
                f"who abstains asks for nothing, {len(self.actions)} actions are given: leave "
                "abstained out"
            )


_put = object.__setattr__  # what is frozen is still being made

Answer = Decision | Sequence[Action] | Mapping[str, float] | float | None


@dataclass(frozen=True, kw_only=True)
class AgentInfo:
    """What an agent is told before the first bar.

    Attributes:
        symbols: what may be traded.
        timeframe_ms: length of a bar.
        decide_at: ``"close"``, or ``"open"`` where the agent sees the open it will trade at.
        taker_fee_bps: of notional.
        rng: the agent's own random numbers, made from the recipe's seed.
        actions: the ``kind`` of each action that the job takes.
        assets: of a loan; none without one.
        guarded: the contract whose position the job guards; ``""``: none.
        read: what the job makes of an answer; it raises AgentError where that is none.
    """

    symbols: tuple[str, ...]
    timeframe_ms: int
    decide_at: str
    taker_fee_bps: float
    rng: np.random.Generator
    actions: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    guarded: str = ""
    read: Callable[[object], Decision] | None = None


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """How a past decision turned out; given only once the outcome is really known.

    Attributes:
        decided_ms: when it was taken.
        known_ms: when the outcome was known: the next time the agent was asked.
        equity_return: change of the equity in between, as a fraction.
    """

    decided_ms: int
    known_ms: int
    equity_return: float


@runtime_checkable
class Agent(Protocol):
    """Who decides; the module says which other hooks and attributes it may have."""

    def decide(self, observation: Observation) -> Answer:
        """Return what to do now: see ``Answer`` and the README."""
        ...


class FunctionAgent:
    """A bare function as an agent."""

    def __init__(self, function: Callable[[Observation], Answer]) -> None:
        self.function = function

    def decide(self, observation: Observation) -> Answer:
        """Return what the function returns."""
        return self.function(observation)


def as_agent(thing: object) -> Agent:
    """Return ``thing`` as an agent: an object with ``decide``, or a bare function.

    Raises:
        AgentError: it is neither.
    """
    if isinstance(thing, type):
        raise AgentError(f"an agent is an object, is the class {thing.__name__}: call it first")
    if isinstance(thing, Agent):
        return thing
    if callable(thing):
        return FunctionAgent(cast("Callable[[Observation], Answer]", thing))
    raise AgentError(f"an agent has decide(observation), {type(thing).__name__} has none: add it")


class FitSchedule:
    """When an agent is to be fitted: once, or every ``refit_ms`` milliseconds of the market's time.

    Raises:
        AgentError: its ``refit_ms`` is no whole number >= 0; 0 is once.
    """

    def __init__(self, agent: Agent) -> None:
        self.wants = hasattr(agent, "fit")
        given = getattr(agent, "refit_ms", 0)
        self._refit_ms = to_whole("refit_ms", given, _LONGEST_SLEEP_MS) if self.wants else 0
        self._last_ms: int | None = None

    def take(self, now_ms: int) -> bool:
        """Return whether the agent is to be fitted now, and count it as done."""
        last_ms = self._last_ms
        if not self.wants:
            return False
        if last_ms is not None and (not self._refit_ms or now_ms < last_ms + self._refit_ms):
            return False
        self._last_ms = now_ms
        return True


def guards(thing: object, what: str) -> bool:
    """Return whether an agent, or its class, says that it guards ``"loan"`` or ``"margin"``."""
    said: object = getattr(thing, "guards", ())
    return said == what or (isinstance(said, tuple) and what in said)


def to_decision(answer: object, symbols: tuple[str, ...]) -> Decision:
    """Return an agent's answer as a ``Decision``.

    A number is the one symbol's target weight, a mapping one per symbol, ``None`` nothing. Where
    ``symbols`` has perpetuals, an action may be one on the futures account.

    Raises:
        AgentError: the answer is none of what ``Answer`` allows, or names an unknown symbol.
    """
    if answer is None:
        return _NOTHING
    if isinstance(answer, Decision):
        decision = answer
    elif is_number(answer):
        decision = Decision(actions=(_one_weight(answer, symbols),))
    elif isinstance(answer, Mapping):
        weights = [TargetWeight(symbol=str(s), weight=w) for s, w in answer.items()]
        decision = Decision(actions=tuple(weights))
    elif isinstance(answer, Sequence) and not isinstance(answer, (str, bytes)):
        decision = Decision(actions=tuple(answer))
    else:
        raise AgentError(
            "an answer is a Decision, actions, weights by symbol, a number or None, "
            f"is {type(answer).__name__}: {to_shown(answer)}"
        )
    for action in decision.actions:
        _check(action, symbols)
    if decision.wake is not None:
        _check_wake(decision.wake, symbols)
    return decision


def is_number(answer: object) -> bool:
    """Return whether an agent answered a bare number, numpy's too; a bool is none."""
    is_bool = isinstance(answer, bool)
    return isinstance(answer, (int, float, np.floating, np.integer)) and not is_bool


def to_margin_decision(answer: object, symbols: tuple[str, ...], guarded: str) -> Decision:
    """Return the answer of an agent that guards a leveraged position as a ``Decision``.

    A number is the leverage to aim at in the contract ``guarded``, 0.0 closes it; for the rest see
    ``to_decision``.

    Raises:
        AgentError: the answer is none of these, or names an unknown symbol.
    """
    if is_number(answer):
        return Decision(
            actions=(TargetLeverage(symbol=guarded, leverage=to_number("leverage", answer)),)
        )
    return to_decision(answer, symbols)


def to_loan_decision(
    answer: object,
    assets: tuple[str, ...],
    symbols: tuple[str, ...] = (),
    hedges: tuple[str, ...] = (),
) -> Decision:
    """Return the answer of an agent that guards a loan as a ``Decision``.

    A number is the health factor to aim at (``inf``: close the loan), ``None`` nothing.

    Args:
        answer: the agent's.
        assets: of the loan.
        symbols: those whose prices it may wake for.
        hedges: those that it may trade, and for whose account it may act, to hedge the loan.

    Raises:
        AgentError: the answer is none of these, trades what is no hedge, or names an asset that the
            loan has not.
    """
    if answer is None:
        return _NOTHING
    if isinstance(answer, Decision):
        decision = answer
    elif is_number(answer):
        decision = Decision(actions=(TargetHealth(health=to_number("health", answer)),))
    elif isinstance(answer, Sequence) and not isinstance(answer, (str, bytes)):
        decision = Decision(actions=tuple(answer))
    else:
        raise AgentError(
            "an answer is a Decision, actions on the loan, a target health factor or None, "
            f"is {type(answer).__name__}: {to_shown(answer)}"
        )
    for action in decision.actions:
        if hedges and not isinstance(action, LOAN_ACTIONS):
            _check(action, hedges)
        else:
            _check_on_loan(action, assets)
    if decision.wake is not None:
        _check_wake(decision.wake, symbols)
    return decision


_NOTHING = Decision()


def _check_on_loan(action: object, assets: tuple[str, ...]) -> None:
    if isinstance(action, (TargetWeight, Order, Cancel)):
        raise AgentError(
            f"{action.kind} trades, this job is a loan: use Supply, Withdraw, Borrow, Repay, Swap, "
            "Bundle or TargetHealth"
        )
    if not isinstance(action, LOAN_ACTIONS):
        raise AgentError(
            f"not an action on a loan: {to_shown(action)}: use Supply, Withdraw, Borrow, Repay, "
            "Swap, Bundle or TargetHealth"
        )
    for asset in find_assets(action):
        if asset not in assets:
            raise AgentError(f"there is no asset {asset!r}: the loan has {list(assets)}")


def _one_weight(weight: object, symbols: tuple[str, ...]) -> TargetWeight:
    if len(symbols) != 1:
        raise AgentError(
            f"a bare number is the weight of the one symbol, the recipe has {len(symbols)}: "
            "answer weights by symbol"
        )
    return TargetWeight(symbol=symbols[0], weight=to_number("weight", weight))


def _check(action: object, symbols: tuple[str, ...]) -> None:
    if isinstance(action, Cancel):
        return
    if isinstance(action, (TargetWeight, Order)):
        if action.symbol not in symbols:
            raise AgentError(
                f"there is no symbol {action.symbol!r}: the recipe has {list(symbols)}"
            )
        if type(action) is Order and not is_perpetual(action.symbol):
            _check_spot_order(action)
    elif isinstance(action, PERPETUAL_ACTIONS):
        _check_on_futures(action, symbols)
    else:
        raise AgentError(f"not an action: {to_shown(action)}: use TargetWeight, Order or Cancel")


def _check_spot_order(order: Order) -> None:
    if order.reduce_only or order.trigger != "last":
        name = "reduce_only" if order.reduce_only else "trigger"
        raise AgentError(f"{name} belongs to perpetuals, {order.symbol!r} is spot: leave it out")


def _check_on_futures(action: PerpetualAction, symbols: tuple[str, ...]) -> None:
    perpetuals = [symbol for symbol in symbols if is_perpetual(symbol)]
    if not perpetuals:
        raise AgentError(f"{action.kind} needs a perpetual, the recipe has {list(symbols)}: trade")
    if not isinstance(action, Transfer) and action.symbol not in perpetuals:
        raise AgentError(f"there is no perpetual {action.symbol!r}: the recipe has {perpetuals}")


def _check_wake(wake: Wake, symbols: tuple[str, ...]) -> None:
    for symbol in (*wake.above, *wake.below):
        if symbol not in symbols:
            raise AgentError(
                f"there is no symbol {symbol!r} to wake for: the recipe has {list(symbols)}"
            )
    if wake.ratio_above is not None and not any(is_perpetual(symbol) for symbol in symbols):
        raise AgentError(
            f"ratio_above needs a perpetual, the recipe has {list(symbols)}: leave it out"
        )
