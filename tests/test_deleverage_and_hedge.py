"""The agent that deleverages by flash loan and hedges in one decision."""

from math import inf

import pytest
from loan_views import ETH_USDC

from seawall.conformance.loan_worlds import default_hedged_recipe
from seawall.conformance.suite import check_agent
from seawall.engine.components import make_named_agent
from seawall.engine.run import run
from seawall.errors import RecipeError
from seawall.loan_action import Bundle, FlashLoan, Repay, Swap, Withdraw
from seawall.loan_view import LoanView
from seawall.recipe import Recipe
from seawall.result import Result
from seawall.workspace import find_recipe, load

NAME = "agents.deleverage_and_hedge"


@pytest.fixture(scope="module")
def crash() -> Result:
    """Return the shipped recipe's run through a simulated crash, cut to its days."""
    recipe = Recipe.from_file(find_recipe("deleverage_and_hedge_demo"))
    return run(recipe.with_settings({"market.since": "2025-04-05", "market.until": "2025-04-09"}))


def kinds(result: Result, time_ms: int) -> list[str]:
    """Return what happened at one time, in order."""
    journal = result.journal
    return list(journal[journal["time_ms"] == time_ms]["kind"])


def test_loan_and_hedge_go_in_one_decision(crash: Result) -> None:
    """At the same close a flash-loan bundle is sent and a short ordered; both happen."""
    journal = crash.journal
    decided = journal[journal["reason"].str.startswith("health is")].iloc[0]
    assert decided["text"].startswith("flash loan of")
    at_once = kinds(crash, int(decided["time_ms"]))
    assert at_once.count("decision") == 1
    assert "sent" in at_once
    assert "ordered" in at_once
    done = journal[journal["kind"] == "done"]["text"]
    assert done.str.startswith("flash loan of").any()
    assert (crash.fills["quantity"] < 0).any()


def test_the_loan_survives_the_crash_that_it_would_not_survive_alone(crash: Result) -> None:
    """The same world without the agent ends in liquidations."""
    nobody = run(
        Recipe.from_dict({**crash.recipe.to_dict(), "agent": {"name": "agents.do_nothing"}})
    )
    assert nobody.counts.get("liquidated", 0) > 0
    assert crash.counts.get("liquidated", 0) == 0
    assert crash.metrics.total_return > nobody.metrics.total_return


def test_a_bundle_is_lent_what_it_sells() -> None:
    """Withdraw 2, sell 2, repay: lent 2, sell 2, repay, withdraw 2 and the premium of 5 bps."""
    with_flash_loan = load(f"{NAME}:with_flash_loan")
    loan = LoanView(row=None, terms=ETH_USDC)  # type: ignore[arg-type]  # its terms are all it reads
    plain = Bundle(
        actions=(
            Withdraw(asset="WETH", amount=2.0),
            Swap(sell="WETH", buy="USDC", amount=2.0),
            Repay(asset="USDC", amount=inf),
        ),
        max_gas_usd=50.0,
    )
    lent = with_flash_loan(plain, loan)
    assert lent.flash_loan == FlashLoan(asset="WETH", amount=2.0)
    assert lent.max_gas_usd == 50.0
    *steps, last = lent.actions
    assert tuple(steps) == plain.actions[1:]
    assert last.amount == pytest.approx(2.001)
    other = Bundle(actions=(Repay(asset="USDC", amount=5.0),))
    assert with_flash_loan(other, loan) is other


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"trigger": 1.6}, "agent.trigger < agent.target < agent.lift_at must hold"),
        ({"lift_at": 1.5}, "agent.trigger < agent.target < agent.lift_at must hold"),
        ({"trigger": 1.0}, "agent.trigger must be a number > 1"),
        ({"share": 0.0}, "agent.share must be a number > 0"),
        ({"leverage": -1.0}, "agent.leverage must be a number > 0"),
    ],
)
def test_levels_that_make_no_sense_are_refused(given: dict[str, float], said: str) -> None:
    """By name, before the run."""
    with pytest.raises(RecipeError, match=said):
        make_named_agent(NAME, given)


@pytest.mark.slow
def test_it_keeps_to_the_contract_in_a_market_with_a_hedge() -> None:
    """Look-ahead tripwire included."""
    report = check_agent("deleverage_and_hedge", recipe=default_hedged_recipe())
    assert [finding for finding in report.findings if not finding.passed] == []
