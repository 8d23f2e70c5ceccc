"""The contract between an agent and the world.

An agent is any object with ``decide(observation)``; a bare function is one too. It may also have
``begin(info)``, ``fit(history)``, ``learn(feedback)``, ``state() -> bytes``, ``restore(bytes)`` and
``end()``. An agent that raises or answers nonsense has abstained: the engine records why and leaves
things as they are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Protocol, cast, runtime_checkable

import numpy as np

from seawall.action import Action, Cancel, Order, TargetWeight
from seawall.errors import AgentError
from seawall.observation import Observation


@dataclass(frozen=True, kw_only=True)
class Wake:
    """When the agent wants to be asked again; whichever comes first. Nothing set: at the next bar.

    Attributes:
        after_ms: so many milliseconds from now.
        above, below: when a bar closes beyond one of these prices, by symbol.
        at_fill: when one of its orders fills.
    """

    after_ms: int | None = None
    above: Mapping[str, float] = field(default_factory=dict)
    below: Mapping[str, float] = field(default_factory=dict)
    at_fill: bool = False


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What an agent answers: actions in the order they are to be carried out, and why."""

    actions: tuple[Action, ...] = ()
    reason: str = ""
    wake: Wake | None = None


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
    """

    symbols: tuple[str, ...]
    timeframe_ms: int
    decide_at: str
    taker_fee_bps: float
    rng: np.random.Generator


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
    """Who decides."""

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


def to_decision(answer: object, symbols: tuple[str, ...]) -> Decision:
    """Return an agent's answer as a ``Decision``.

    A number is the one symbol's target weight, a mapping one per symbol, ``None`` nothing.

    Raises:
        AgentError: the answer is none of what ``Answer`` allows, or names an unknown symbol.
    """
    if answer is None:
        return _NOTHING
    if isinstance(answer, Decision):
        decision = answer
    elif isinstance(answer, (int, float, np.floating, np.integer)) and not isinstance(answer, bool):
        decision = Decision(actions=(_one_weight(float(answer), symbols),))
    elif isinstance(answer, Mapping):
        weights = [TargetWeight(symbol=str(s), weight=float(w)) for s, w in answer.items()]
        decision = Decision(actions=tuple(weights))
    elif isinstance(answer, Sequence) and not isinstance(answer, (str, bytes)):
        decision = Decision(actions=tuple(answer))
    else:
        raise AgentError(
            "an answer is a Decision, actions, weights by symbol, a number or None, "
            f"is {type(answer).__name__}: {answer!r:.80}"
        )
    for action in decision.actions:
        _check(action, symbols)
    return decision


_NOTHING = Decision()


def _one_weight(weight: float, symbols: tuple[str, ...]) -> TargetWeight:
    if len(symbols) != 1:
        raise AgentError(
            f"a bare number is the weight of the one symbol, the recipe has {len(symbols)}: "
            "answer weights by symbol"
        )
    return TargetWeight(symbol=symbols[0], weight=weight)


def _check(action: object, symbols: tuple[str, ...]) -> None:
    if isinstance(action, Cancel):
        return
    if not isinstance(action, (TargetWeight, Order)):
        raise AgentError(f"not an action: {action!r:.80}: use TargetWeight, Order or Cancel")
    if action.symbol not in symbols:
        raise AgentError(f"there is no symbol {action.symbol!r}: the recipe has {list(symbols)}")
    if isinstance(action, TargetWeight) and not isfinite(action.weight):
        raise AgentError(f"weight must be a finite number, is {action.weight}")
