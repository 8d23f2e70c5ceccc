"""Actions on a loan: valid by construction, JSON both ways, and what an agent may answer."""

import json
from collections.abc import Callable
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loan_views import make_loan

from seawall.action import Action, Cancel, Order, TargetWeight, from_json, json_schema, to_json
from seawall.agent import Decision, Wake, to_decision, to_loan_decision
from seawall.errors import AgentError
from seawall.loan_action import (
    Borrow,
    Bundle,
    FlashLoan,
    LoanAction,
    Repay,
    Supply,
    Swap,
    TargetHealth,
    Withdraw,
    describe_loan_action,
    find_assets,
)

ASSETS = ("WETH", "USDC", "ETH")
WRONG: dict[str, Any] = {"text": "1", "truth": True, "number": 7}
assets = st.sampled_from(["WETH", "USDC"])
amounts = st.one_of(st.floats(1e-9, 1e12), st.just(inf))
moves = st.one_of(
    *(st.builds(kind, asset=assets, amount=amounts) for kind in (Supply, Withdraw, Borrow, Repay))
)
swaps = st.builds(
    Swap,
    sell=st.just("WETH"),
    buy=st.just("USDC"),
    amount=amounts,
    service_fee=st.floats(0.0, 0.1),
)
flash_loans = st.builds(FlashLoan, asset=assets, amount=st.floats(1e-9, 1e12))
bundles = st.builds(
    Bundle,
    actions=st.lists(st.one_of(moves, swaps), min_size=1, max_size=5).map(tuple),
    flash_loan=st.one_of(st.none(), flash_loans),
    max_gas_usd=amounts,
    max_slippage=amounts,
)
targets = st.builds(TargetHealth, health=st.one_of(st.floats(1.001, 1e6), st.just(inf)))
actions = st.one_of(moves, swaps, bundles, targets)


@given(actions)
def test_an_action_on_a_loan_survives_json(action: LoanAction) -> None:
    """What is written is read back equal, infinities and nested steps among it."""
    text = to_json(action)
    assert from_json(text) == action
    assert json.loads(text)["kind"] == action.kind


def test_all_and_none_are_words_in_json() -> None:
    """No JSON number is infinite: an amount is "all", a limit "none"."""
    bundle = Bundle(actions=(Repay(asset="USDC", amount=inf),), max_slippage=0.01)
    read = json.loads(to_json(bundle))
    assert read["actions"] == [{"asset": "USDC", "amount": "all", "kind": "repay"}]
    assert read["max_gas_usd"] == "none"
    assert read["max_slippage"] == 0.01
    assert json.loads(to_json(TargetHealth(health=inf)))["health"] == "all"


def test_the_schema_names_every_kind() -> None:
    """A model that writes JSON is told of trading and of loans."""
    text = json.dumps(json_schema())
    for kind in ("supply", "withdraw", "borrow", "repay", "swap", "bundle", "target_health"):
        assert f'"{kind}"' in text


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: Repay(asset="USDC", amount=0.0), "amount must be > 0, is 0.0"),
        (lambda: Repay(asset="USDC", amount=-1.0), "amount must be > 0, is -1.0"),
        (lambda: Repay(asset="USDC", amount=nan), "amount must be > 0, is nan"),
        (
            lambda: Supply(asset="WETH", amount=WRONG["text"]),
            "amount must be a real number, is '1'",
        ),
        (
            lambda: Supply(asset="WETH", amount=WRONG["truth"]),
            "amount must be a real number, is True",
        ),
        (lambda: Borrow(asset=WRONG["number"], amount=1.0), "asset must be text, is 7"),
        (lambda: Swap(sell="WETH", buy="WETH", amount=1.0), "a swap has two assets, both are"),
        (
            lambda: Swap(sell="WETH", buy="USDC", amount=1.0, service_fee=0.2),
            "service_fee must be from 0 to 0.1, is 0.2",
        ),
        (
            lambda: Swap(sell="WETH", buy="USDC", amount=1.0, service_fee=nan),
            "service_fee must be from 0 to 0.1, is nan",
        ),
        (lambda: Bundle(actions=()), "a bundle has at least one step"),
        (
            lambda: Bundle(actions=(WRONG["number"],)),
            "a bundle holds supply, withdraw, borrow, repay and swap, has 7",
        ),
        (
            lambda: Bundle(actions=(Repay(asset="USDC", amount=1.0),), flash_loan=WRONG["number"]),
            "flash_loan must be a FlashLoan, is 7",
        ),
        (
            lambda: Bundle(actions=(Repay(asset="USDC", amount=1.0),), max_gas_usd=0.0),
            "max_gas_usd must be > 0, is 0.0",
        ),
        (lambda: TargetHealth(health=1.0), "a target health factor must be > 1, is 1.0"),
        (lambda: TargetHealth(health=nan), "a target health factor must be > 1, is nan"),
        (lambda: Wake(health_below=0.0), "health_below must be a finite number > 0, is 0.0"),
        (lambda: Wake(health_above=inf), "health_above must be a finite number > 0, is inf"),
        (lambda: Wake(health_below=WRONG["text"]), "health_below must be a real number, is '1'"),
    ],
)
def test_nonsense_is_refused_at_construction(make: Callable[[], object], rule: str) -> None:
    """Each message gives the rule and the value."""
    with pytest.raises(AgentError) as caught:
        make()
    assert rule in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        '{"kind": "repay", "asset": "USDC"}',
        '{"kind": "repay", "asset": "USDC", "amount": "some"}',
        '{"kind": "bundle", "actions": [{"kind": "target_health", "health": 2}]}',
        '{"kind": "bundle", "actions": []}',
        '{"kind": "flash_loan", "asset": "USDC", "amount": 1}',
    ],
)
def test_json_that_is_no_action_is_refused(text: str) -> None:
    """A step that lacks an amount, a bundle in a bundle, a flash loan by itself."""
    with pytest.raises(AgentError):
        from_json(text)


def test_an_action_is_described_in_a_few_words() -> None:
    """As the journal shows it."""
    step = Repay(asset="USDC", amount=1_500.0)
    bundle = Bundle(
        actions=(step, Swap(sell="WETH", buy="USDC", amount=inf)),
        flash_loan=FlashLoan(asset="WETH", amount=2.0),
    )
    assert describe_loan_action(step) == "repay 1,500 USDC"
    assert describe_loan_action(bundle) == (
        "flash loan of 2 WETH: repay 1,500 USDC, swap all WETH for USDC"
    )
    assert describe_loan_action(TargetHealth(health=1.5)) == "health factor to 1.5"
    assert describe_loan_action(TargetHealth(health=inf)) == "close the loan"
    assert find_assets(bundle) == ("WETH", "USDC", "WETH", "USDC")


@pytest.mark.parametrize("answer", [1.5, inf])
def test_a_bare_number_is_a_target_health_factor(answer: float) -> None:
    """Infinity closes the loan."""
    decision = to_loan_decision(answer, ASSETS)
    assert decision.actions == (TargetHealth(health=answer),)


def test_none_actions_and_decisions_pass() -> None:
    """Nothing, a list of steps, or a whole decision with its wish to sleep."""
    step = Repay(asset="USDC", amount=10.0)
    assert to_loan_decision(None, ASSETS) == Decision()
    assert to_loan_decision([step], ASSETS).actions == (step,)
    decision = Decision(actions=(step,), wake=Wake(health_below=1.1, at_fill=True))
    assert to_loan_decision(decision, ASSETS) is decision


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        (0.9, "a target health factor must be > 1, is 0.9"),
        (True, "a target health factor or None, is bool"),
        ("1.5", "a target health factor or None, is str"),
        ({"WETH": 0.5}, "a target health factor or None, is dict"),
        ([7], "not an action on a loan: 7"),
        ([TargetWeight(symbol="ETH/USDT", weight=1.0)], "target_weight trades, this job is a loan"),
        ([Order(symbol="ETH/USDT", side="buy", quantity=1.0)], "order trades, this job is a loan"),
        ([Cancel(order_id="all")], "cancel trades, this job is a loan"),
        (
            [Repay(asset="DAI", amount=1.0)],
            "there is no asset 'DAI': the loan has ['WETH', 'USDC', 'ETH']",
        ),
        (
            [
                Bundle(
                    actions=(Repay(asset="USDC", amount=1.0),),
                    flash_loan=FlashLoan(asset="DAI", amount=1.0),
                )
            ],
            "there is no asset 'DAI'",
        ),
        (Decision(wake=Wake(below={"ETH/USDT": 1.0})), "there is no symbol 'ETH/USDT' to wake for"),
    ],
)
def test_other_answers_are_refused(answer: object, rule: str) -> None:
    """Trading belongs to another job; what the loan does not know is named."""
    with pytest.raises(AgentError) as caught:
        to_loan_decision(answer, ASSETS)
    assert rule in str(caught.value)


def test_a_trading_job_refuses_actions_on_a_loan() -> None:
    """The other way round it is refused too."""
    action: Action = Repay(asset="USDC", amount=1.0)
    with pytest.raises(AgentError, match="not an action: Repay"):
        to_decision([action], ("ETH/USDT",))


def test_what_is_seen_of_a_loan_cannot_be_written_to() -> None:
    """Neither the row nor the terms: a cheaper gas or another loan would cheat the job's limits."""
    loan = make_loan()
    with pytest.raises(AgentError, match="is frozen"):
        loan._row = loan._row
    with pytest.raises(TypeError):
        loan.terms.gas_units["swap"] = 0.0  # type: ignore[index]  # that is what is tried
