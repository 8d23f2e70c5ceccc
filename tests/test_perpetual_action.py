"""Actions on a futures account: valid by construction, JSON both ways, what an agent may answer."""

import json
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.action import Action, Cancel, Order, TargetWeight, from_json, json_schema, to_json
from seawall.agent import Decision, Wake, guards, to_decision, to_loan_decision, to_margin_decision
from seawall.bt_orders import describe, to_wishes
from seawall.errors import AgentError
from seawall.loan_action import Repay
from seawall.perpetual_action import (
    AddMargin,
    SetLeverage,
    SetMarginMode,
    TargetLeverage,
    Transfer,
    describe_perpetual_action,
)

SPOT, PERPETUAL = "ETH/USDT", "ETH/USDT:USDT"
BOTH = (SPOT, PERPETUAL)
TO_WALLET = Transfer(source="spot", target="perpetual", amount=100.0)
ALL: tuple[Any, ...] = (
    TO_WALLET,
    AddMargin(symbol=PERPETUAL, amount=-5.0),
    TargetLeverage(symbol=PERPETUAL, leverage=2.0),
    SetLeverage(symbol=PERPETUAL, leverage=3.0),
    SetMarginMode(symbol=PERPETUAL, mode="isolated"),
)
money = st.one_of(st.floats(1e-9, 1e12), st.just(inf))
actions = st.one_of(
    st.builds(Transfer, source=st.just("spot"), target=st.just("perpetual"), amount=money),
    st.builds(AddMargin, symbol=st.just(PERPETUAL), amount=st.floats(-1e9, -1e-9) | money),
    st.builds(TargetLeverage, symbol=st.just(PERPETUAL), leverage=st.floats(0.0, 125.0)),
    st.builds(SetLeverage, symbol=st.just(PERPETUAL), leverage=st.floats(1.0, 125.0)),
    st.builds(SetMarginMode, symbol=st.just(PERPETUAL), mode=st.sampled_from(["cross"])),
)


@given(action=actions)
def test_an_action_survives_json(action: Action) -> None:
    """What is written is read back as the same value; all there is becomes ``"all"``."""
    text = to_json(action)
    assert from_json(text) == action
    assert ("inf" in repr(action)) == ('"all"' in text)


def test_the_schema_knows_every_action() -> None:
    """A model that fills in JSON is told of each kind."""
    schema = json.dumps(json_schema())
    assert all(f'"{action.kind}"' in schema for action in ALL)


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: Transfer(source="spot", target="spot", amount=1.0), "has two wallets"),
        (lambda: Transfer(source="bank", target="spot", amount=1.0), "must be one of spot, perp"),  # type: ignore[arg-type]
        (lambda: Transfer(source="spot", target="loan", amount=0.0), "amount must be > 0"),
        (lambda: Transfer(source="spot", target="loan", amount=nan), "amount must be > 0"),
        (lambda: AddMargin(symbol=PERPETUAL, amount=0.0), "other than 0"),
        (lambda: AddMargin(symbol=PERPETUAL, amount=-inf), "other than 0"),
        (lambda: AddMargin(symbol=PERPETUAL, amount=nan), "other than 0"),
        (lambda: TargetLeverage(symbol=PERPETUAL, leverage=-1.0), ">= 0, is -1.0: 0.0 closes"),
        (lambda: TargetLeverage(symbol=PERPETUAL, leverage=inf), "a finite number >= 0"),
        (lambda: SetLeverage(symbol=PERPETUAL, leverage=0.5), ">= 1, is 0.5"),
        (lambda: SetMarginMode(symbol=PERPETUAL, mode="both"), "cross or isolated"),  # type: ignore[arg-type]
    ],
)
def test_what_no_exchange_could_do_cannot_be_made(make: Any, rule: str) -> None:
    """The rule, the value, and what to do."""
    with pytest.raises(AgentError, match=rule):
        make()


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (TO_WALLET, "transfer 100 from spot to perpetual"),
        (AddMargin(symbol=PERPETUAL, amount=inf), f"add all of margin to {PERPETUAL}"),
        (AddMargin(symbol=PERPETUAL, amount=-5.0), f"take 5 of margin from {PERPETUAL}"),
        (TargetLeverage(symbol=PERPETUAL, leverage=2.5), f"trade {PERPETUAL} to 2.5x"),
        (SetLeverage(symbol=PERPETUAL, leverage=3), f"set the leverage of {PERPETUAL} to 3x"),
        (SetMarginMode(symbol=PERPETUAL, mode="cross"), f"set the margin of {PERPETUAL} to cross"),
    ],
)
def test_the_journal_says_an_action_in_words(action: Any, words: str) -> None:
    """As a person would; the journal uses the same words."""
    assert describe_perpetual_action(action) == describe(action) == words


# What an agent may answer -------------------------------------------------------------------------


@pytest.mark.parametrize("action", ALL)
def test_actions_on_the_account_need_a_perpetual_in_the_market(action: Any) -> None:
    """With one they pass; on spot alone the answer is none, whatever it names."""
    assert to_decision([action], BOTH).actions == (action,)
    with pytest.raises(AgentError, match=f"{action.kind} needs a perpetual"):
        to_decision([action], (SPOT,))


def test_a_contract_has_to_be_in_the_market() -> None:
    """Spot has no leverage, and another contract is not there."""
    for symbol in (SPOT, "BTC/USDT:USDT"):
        with pytest.raises(AgentError, match=f"there is no perpetual '{symbol}'"):
            to_decision([TargetLeverage(symbol=symbol, leverage=1.0)], BOTH)


def test_what_belongs_to_perpetuals_is_refused_on_spot() -> None:
    """Reduce-only and mark triggers mean nothing there, and would be dropped without a word."""
    plain = {"side": "sell", "quantity": 1.0}
    for extra in ({"reduce_only": True}, {"trigger": "mark"}):
        order = Order(symbol=PERPETUAL, **plain, **extra)  # type: ignore[arg-type]
        assert to_decision([order], BOTH).actions == (order,)
        order = Order(symbol=SPOT, **plain, **extra)  # type: ignore[arg-type]
        with pytest.raises(AgentError, match=f"{next(iter(extra))} belongs to perpetuals"):
            to_decision([order], BOTH)


def test_what_the_exchange_is_told_of_an_order() -> None:
    """Only what was asked for; the last price is the usual trigger."""
    order = Order(symbol=PERPETUAL, side="sell", quantity=1.0, reduce_only=True)
    assert to_wishes(order) == {"time_in_force": "gtc", "reduce_only": True}
    order = Order(
        symbol=PERPETUAL, side="sell", type="stop", quantity=1.0, stop_price=9.0, trigger="mark"
    )
    assert to_wishes(order) == {"time_in_force": "gtc", "trigger": "mark"}


@pytest.mark.parametrize("answer", [0.0, 2, 3.5])
def test_a_guard_of_margin_answers_a_leverage(answer: float) -> None:
    """A bare number is the leverage of the guarded position, though the market has two symbols."""
    decision = to_margin_decision(answer, BOTH, PERPETUAL)
    assert decision.actions == (TargetLeverage(symbol=PERPETUAL, leverage=float(answer)),)


def test_a_guard_of_margin_may_hedge_and_keep_still() -> None:
    """Orders of every symbol pass, ``None`` is nothing, and nonsense is none."""
    hedge = TargetWeight(symbol=SPOT, weight=0.2)
    assert to_margin_decision([hedge], BOTH, PERPETUAL).actions == (hedge,)
    assert to_margin_decision(None, BOTH, PERPETUAL) == Decision()
    with pytest.raises(AgentError, match="finite number >= 0"):
        to_margin_decision(-1.0, BOTH, PERPETUAL)
    with pytest.raises(AgentError, match="an answer is a Decision"):
        to_margin_decision(True, BOTH, PERPETUAL)


def test_a_loan_is_hedged_only_where_the_job_lets_it() -> None:
    """Without hedges a trade is refused as ever; with them it passes beside actions on the loan."""
    order = Order(symbol=PERPETUAL, side="sell", quantity=1.0)
    repay = Repay(asset="USDC", amount=1.0)
    with pytest.raises(AgentError, match="order trades, this job is a loan"):
        to_loan_decision([order], ("USDC",), BOTH)
    both = [order, repay, Cancel(order_id="all")]
    assert len(to_loan_decision(both, ("USDC",), BOTH, (PERPETUAL,)).actions) == 3
    with pytest.raises(AgentError, match="no symbol 'ETH/USDT'"):
        to_loan_decision([TargetWeight(symbol=SPOT, weight=1)], ("USDC",), BOTH, (PERPETUAL,))


# Waking and guarding ------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.0, -1.0, nan, inf, "high"])
def test_a_margin_ratio_to_wake_at_is_a_number_above_0(level: Any) -> None:
    """Anything else would never wake, or always."""
    with pytest.raises(AgentError, match="ratio_above must be"):
        Wake(ratio_above=level)


def test_a_margin_ratio_to_wake_at_needs_a_perpetual() -> None:
    """On spot alone the agent would sleep for ever."""
    wish = Decision(wake=Wake(ratio_above=0.5))
    assert to_decision(wish, BOTH) is wish
    with pytest.raises(AgentError, match="ratio_above needs a perpetual"):
        to_decision(wish, (SPOT,))


class _Both:
    guards = ("loan", "margin")


class _Margin:
    guards = "margin"


def test_an_agent_says_what_it_guards() -> None:
    """One word or two, on the class or the object; who says nothing guards nothing."""
    assert guards(_Both, "loan")
    assert guards(_Both(), "margin")
    assert guards(_Margin, "margin")
    assert not guards(_Margin, "loan")
    assert not guards(_Margin, "mar")
    assert not guards(len, "loan")
