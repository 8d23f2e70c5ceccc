"""What counts as an agent, and what as an answer."""

import numpy as np
import pytest

from seawall.action import Order, TargetWeight
from seawall.agent import Agent, Decision, FunctionAgent, Wake, as_agent, to_decision
from seawall.errors import AgentError
from seawall.observation import Observation

ONE = ("ETH/USDT",)
TWO = ("ETH/USDT", "BTC/USDT")


class Silent:
    """An agent that never asks for anything."""

    def decide(self, observation: Observation) -> None:
        """Answer nothing."""
        del observation


def test_an_object_with_decide_and_a_bare_function_are_agents() -> None:
    """A class is not: it has to be called first."""
    assert isinstance(as_agent(Silent()), Agent)
    assert isinstance(as_agent(lambda _observation: 1.0), FunctionAgent)
    with pytest.raises(AgentError, match="call it first"):
        as_agent(Silent)
    with pytest.raises(AgentError, match="has none"):
        as_agent(3)


@pytest.mark.parametrize("answer", [1, 1.0, np.float64(1.0), {"ETH/USDT": 1.0}])
def test_a_number_or_a_mapping_is_target_weights(answer: object) -> None:
    """All four mean: everything into the one symbol."""
    assert to_decision(answer, ONE).actions == (TargetWeight(symbol="ETH/USDT", weight=1.0),)


def test_nothing_is_leave_things_as_they_are() -> None:
    """None has no actions and no reason."""
    assert to_decision(None, ONE) == Decision()


def test_actions_and_decisions_pass_through() -> None:
    """A list of actions becomes a decision; a decision stays itself."""
    order = Order(symbol="ETH/USDT", side="buy", quantity=1.0)
    assert to_decision([order], ONE).actions == (order,)
    decision = Decision(actions=(order,), reason="because")
    assert to_decision(decision, ONE) is decision


@pytest.mark.parametrize(
    ("answer", "symbols", "rule"),
    [
        (float("nan"), ONE, "finite"),
        (1.0, TWO, "answer weights by symbol"),
        ({"DOGE/USDT": 1.0}, ONE, "no symbol 'DOGE/USDT'"),
        ("buy", ONE, "an answer is a Decision"),
        (True, ONE, "an answer is a Decision"),
        (["buy"], ONE, "not an action"),
        (object(), ONE, "an answer is a Decision"),
        ({"ETH/USDT": "1"}, ONE, "weight must be a real number, is '1'"),
        ({"ETH/USDT": None}, ONE, "weight must be a real number, is None"),
        (10**400, ONE, "finite"),
        ([10**5000], ONE, "not an action: a int that cannot be shown"),
        (Decision(wake=Wake(above={"DOGE/USDT": 1.0})), ONE, "no symbol 'DOGE/USDT' to wake for"),
        (Decision(wake=Wake(below={"BTC/USDT": 1.0})), ONE, "no symbol 'BTC/USDT' to wake for"),
    ],
)
def test_nonsense_is_named(answer: object, symbols: tuple[str, ...], rule: str) -> None:
    """The message says what an answer is and what this one was."""
    with pytest.raises(AgentError, match=rule):
        to_decision(answer, symbols)


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"after_ms": -1}, "after_ms must be whole milliseconds"),
        ({"after_ms": 1.5}, "after_ms must be whole milliseconds"),
        ({"after_ms": 10**30}, "after_ms must be whole milliseconds"),
        ({"after_ms": "1h"}, "after_ms must be whole milliseconds"),
        ({"above": 100.0}, "above must be prices by symbol"),
        ({"above": {"ETH/USDT": "100"}}, "a price in above must be a real number"),
        ({"below": {"ETH/USDT": float("nan")}}, "below must be finite"),
        ({"below": {7: 1.0}}, "a symbol in below must be text"),
        ({"at_fill": "yes"}, "at_fill must be True or False"),
    ],
)
def test_a_wake_that_would_never_work_is_refused(wrong: dict[str, object], rule: str) -> None:
    """The run would otherwise fall over it a bar later, when the agent is no longer asked."""
    with pytest.raises(AgentError, match=rule):
        Wake(**wrong)  # type: ignore[arg-type]


def test_a_wake_holds_plain_numbers_of_its_own() -> None:
    """What an agent later does to the mapping it gave changes nothing."""
    levels = {"ETH/USDT": np.float64(100.0)}
    wake = Wake(after_ms=np.int64(5), above=levels)  # type: ignore[arg-type]
    levels.clear()
    assert wake == Wake(after_ms=5, above={"ETH/USDT": 100.0})
    assert type(wake.after_ms) is int


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"actions": TargetWeight(symbol="ETH/USDT", weight=1.0)}, "actions must be a tuple"),
        ({"actions": "buy"}, "actions must be a tuple"),
        ({"reason": 7}, "reason must be text"),
        ({"wake": 3_600_000}, "wake must be a Wake or None"),
    ],
)
def test_a_decision_of_the_wrong_parts_is_refused(wrong: dict[str, object], rule: str) -> None:
    """The message says which part, and what to write instead."""
    with pytest.raises(AgentError, match=rule):
        Decision(**wrong)  # type: ignore[arg-type]


def test_a_decision_takes_a_list_and_any_text() -> None:
    """A list becomes a tuple; a lone surrogate, which no file could hold, becomes ?."""
    order = Order(symbol="ETH/USDT", side="buy", quantity=1.0)
    decision = Decision(actions=[order], reason="up \ud83d")  # type: ignore[arg-type]
    assert decision == Decision(actions=(order,), reason="up ?")
