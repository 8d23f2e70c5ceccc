"""Steps and comparisons of Aave markets, and the random steps that are drawn for them."""

import numpy as np
import pytest

from seawall.verify.aave_market import (
    UNLIMITED,
    Outcome,
    Step,
    compare_outcomes,
    compare_states,
    perform,
)
from seawall.verify.aave_specified import SpecifiedMarket
from seawall.verify.aave_twins import Tally
from seawall.verify.aave_v3_proof import PARTIES, SCENE, specify
from seawall.verify.aave_walks import Dice, opening, scenario, walk, worth

WALKERS = (*SCENE.actors, SCENE.liquidator)


def opened(users: tuple[str, ...] = PARTIES, rules: str = "v3.6") -> SpecifiedMarket:
    """Return a market of the specification with a deep pool."""
    market = specify(rules, users=users, is_synced=True)
    for step in opening(SCENE):
        assert perform(market, step).refused is None
    return market


@pytest.mark.parametrize(
    "step",
    [
        Step(verb="warp", amount=7),
        Step(verb="repay", user="ann", asset="DAI", amount=UNLIMITED),
        Step(verb="liquidate", user="bob", asset="WETH", amount=1, borrower="ann", debt="USDC"),
    ],
    ids=lambda step: step.verb,
)
def test_a_step_survives_its_row(step: Step) -> None:
    """A row of JSON is the whole step."""
    assert Step.from_row(step.to_row()) == step


def test_outcomes_differ_in_amount_or_refusal() -> None:
    """A wei is a difference of one; so is a refusal that the other does not know."""
    assert list(compare_outcomes(Outcome((5,), None), Outcome((5,), None))) == []
    (amount,) = compare_outcomes(Outcome((5,), None), Outcome((8,), None))
    assert (amount.where, amount.size) == ("amount", 3)
    (refusal,) = compare_outcomes(Outcome((), "MustNotLeaveDust"), Outcome((5,), None))
    assert (refusal.where, refusal.size) == ("refusal", 1)


def test_states_differ_where_one_wei_does() -> None:
    """One more wei supplied shows in the reserve and in the user, by name."""
    one, other = opened(), opened()
    one.supply("borrower", "USDC", 10**6)
    other.supply("borrower", "USDC", 10**6 + 1)
    found = {x.where: x.size for x in compare_states(one, other)}
    assert found["USDC.available"] == 1
    assert found["borrower.collateral.USDC"] == 1


def test_a_tally_remembers_the_first_difference_and_the_largest() -> None:
    """What is printed is where it began; how large it became is kept too."""
    tally, step = Tally(), Step(verb="warp", amount=1)
    first = compare_outcomes(Outcome((5,), None), Outcome((8,), None))
    second = compare_outcomes(Outcome((5,), None), Outcome((15,), None))
    assert not tally.note(step, Outcome((5,), None), first)
    assert not tally.note(step, Outcome((5,), None), second)
    assert (tally.steps, tally.largest) == (2, 10)
    assert tally.first == "['warp', '', '', 1]: amount: 5 is 8"


def test_a_kept_state_serves_again() -> None:
    """Every scenario begins in the same market, whatever the one before has done."""
    market = opened()
    kept, before = market.keep(), market.reserve("USDC")
    for _ in range(2):
        market.supply("borrower", "USDC", 10**6)
        market.warp(60)
        assert market.reserve("USDC") != before
        market.restore(kept)
        assert (market.reserve("USDC"), market.now_s) == (before, kept.now_s)


def test_amounts_are_odd_to_the_last_wei() -> None:
    """Dollars become tokens by the price that stands, and never nothing."""
    assert worth(SCENE, "USDC", 99.998765, SCENE.prices) == 100 * 10**6
    assert worth(SCENE, "WBTC", 1e-9, SCENE.prices) == 1
    dice = Dice(np.random.default_rng(0))
    assert len({dice.part(10**24) % 1000 for _ in range(50)}) > 1


def test_the_same_seed_draws_the_same_steps() -> None:
    """A proof that fails can be run again."""
    drawn = []
    for _ in range(2):
        market, prices = opened(WALKERS), dict(SCENE.prices)
        steps = []
        for step in walk(Dice(np.random.default_rng(3)), SCENE, market, 80, prices):
            perform(market, step)
            steps.append(step)
        drawn.append(steps)
    assert drawn[0] == drawn[1]
    assert {step.verb for step in drawn[0]} >= {"supply", "borrow", "repay", "warp", "set_price"}


def test_most_loans_are_liquidated() -> None:
    """A scenario is about liquidations: of 30 loans more than 20 meet one that goes through."""
    market, dice = opened(), Dice(np.random.default_rng(1))
    kept, liquidated = market.keep(), 0
    for _ in range(30):
        market.restore(kept)
        outcomes = [
            (step.verb, perform(market, step).refused)
            for step in scenario(dice, SCENE, market, dict(SCENE.prices))
        ]
        liquidated += ("liquidate", None) in outcomes
    assert liquidated > 20
