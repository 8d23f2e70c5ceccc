"""What counts as an agent, and what as an answer."""

import numpy as np
import pytest

from seawall.action import Order, TargetWeight
from seawall.agent import Agent, Decision, FunctionAgent, as_agent, to_decision
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
    ],
)
def test_nonsense_is_named(answer: object, symbols: tuple[str, ...], rule: str) -> None:
    """The message says what an answer is and what this one was."""
    with pytest.raises(AgentError, match=rule):
        to_decision(answer, symbols)
