"""The jobs that guard a loan: what they permit, what they refuse, and with which words."""

from collections.abc import Callable
from math import inf
from pathlib import Path

import numpy as np
import pytest
from made_loans import short_recipe, store_hours

from seawall.agent import Answer, Decision, Wake
from seawall.engine.run import run
from seawall.errors import RecipeError
from seawall.loan_action import Borrow, Bundle, Repay, Supply, Swap, TargetHealth
from seawall.observation import Observation
from seawall.result import Result
from seawall.units import HOUR_MS

N_BARS = 48
REPAY_100 = Repay(asset="USDC", amount=100.0)
Play = Callable[..., Result]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Return a run of an agent at a price that stands still: ``play(agent, job, **settings)``."""
    catalog = store_hours(tmp_path, np.full((4, N_BARS), 2_000.0))

    def run_it(agent: object, job: str = "liquidation_protection", **settings: object) -> Result:
        return run(short_recipe(job, **settings), catalog=catalog, agent=agent)

    return run_it


def once(*actions: object) -> Callable[[Observation], object]:
    """Return an agent that sends these at the start, and then sleeps."""
    left = list(actions)

    def decide(_: Observation) -> object:
        sent, left[:] = tuple(left), []
        return Decision(actions=sent, wake=Wake(after_ms=365 * 24 * HOUR_MS))  # type: ignore[arg-type]

    return decide


def refusals(result: Result) -> list[str]:
    """Return why actions were refused."""
    journal = result.journal
    return list(journal.loc[journal["kind"] == "refused", "reason"])


@pytest.mark.parametrize(
    ("job", "settings", "rule"),
    [
        (
            "liquidation_protection",
            {"strategy.min_reserve": -1.0},
            "strategy.min_reserve must be a finite number >= 0, is -1.0: write 0 for none",
        ),
        (
            "liquidation_protection",
            {"strategy.min_reserve": "much"},
            "strategy.min_reserve must be a number, is 'much'",
        ),
        ("liquidation_protection", {"strategy.max_spend": 0}, "strategy.max_spend must be > 0"),
        (
            "liquidation_protection",
            {"strategy.max_actions_per_day": 0},
            "strategy.max_actions_per_day must be > 0, is 0",
        ),
        (
            "leveraged_staking",
            {"strategy.max_leverage": 0.5},
            "strategy.max_leverage must be >= 1, is 0.5: 1 borrows nothing",
        ),
    ],
)
def test_limits_that_make_no_sense_are_refused(
    play: Play, job: str, settings: dict[str, object], rule: str
) -> None:
    """Before the run, in one line."""
    with pytest.raises(RecipeError) as caught:
        play(once(), job, **settings)
    assert rule in str(caught.value)


def test_the_wallet_keeps_its_reserve(play: Play) -> None:
    """Of 1,000 USDC 600 have to stay: 500 may not be repaid, 400 may; a target takes just those."""
    kept = {"strategy.min_reserve": 600.0}
    result = play(once(Repay(asset="USDC", amount=500.0)), **kept)
    assert refusals(result) == [
        "min_reserve is 600.00 USD, this would leave 500.00: take less out of the wallet"
    ]
    assert not refusals(play(once(Repay(asset="USDC", amount=400.0)), **kept))
    result = play(once(TargetHealth(health=1.5)), **kept)
    assert not refusals(result)
    assert result.loan is not None
    assert 600.0 <= result.loan["wallet_USDC"].iloc[-1] < 800.0


def test_a_wallet_below_its_reserve_may_still_be_filled(play: Play) -> None:
    """Where there is less than the reserve, what adds to it passes and what takes from it not."""
    kept = {"strategy.min_reserve": 5_000.0}
    assert not refusals(play(once(Borrow(asset="USDC", amount=100.0)), **kept))
    assert refusals(play(once(REPAY_100), **kept))


def test_what_would_cost_too_much_in_all_is_refused(play: Play) -> None:
    """One repayment costs 211,000 units at some 20 gwei and 2,000 USD: 8 USD; 20 allow two."""
    result = play(once(REPAY_100, REPAY_100), **{"strategy.max_spend": 1.0})
    assert len(refusals(result)) == 2
    assert refusals(result)[0].startswith("max_spend is 1.00 USD, this would make it ")

    def every_hour(_: Observation) -> Answer:
        return [Repay(asset="USDC", amount=10.0)]

    result = play(every_hour, **{"strategy.max_spend": 30.0})
    assert result.transactions is not None
    spent = result.transactions["gas_usd"].sum()
    assert 10.0 < spent < 40.0  # what was on its way when the limit was met still lands
    assert refusals(result)


def test_actions_are_counted_by_the_day(play: Play) -> None:
    """Two a day over two days, of one asked for every hour."""

    def every_hour(_: Observation) -> Answer:
        return [Repay(asset="USDC", amount=1.0)]

    result = play(every_hour, **{"strategy.max_actions_per_day": 2})
    assert result.transactions is not None
    assert len(result.transactions) == 4
    assert set(refusals(result)) == {"max_actions_per_day is 2: wait for tomorrow"}


def test_a_target_that_is_met_already_costs_nothing(play: Play) -> None:
    """It is neither sent nor counted: the repayment beside it is the first of the day."""

    def stays(observation: Observation) -> Answer:
        loan = observation.loan
        assert loan is not None
        target = TargetHealth(health=loan.health)
        return Decision(actions=(target, REPAY_100), wake=Wake(after_ms=365 * 24 * HOUR_MS))

    result = play(stays, **{"strategy.max_actions_per_day": 1})
    assert not refusals(result)
    assert result.transactions is not None
    assert list(result.transactions["what"]) == ["repay 100 USDC"]


def test_a_closed_loan_owes_nothing(play: Play) -> None:
    """``inf`` sells what the debt needs; the rest stays supplied."""
    result = play(once(TargetHealth(health=inf)))
    assert result.loan is not None
    assert result.loan["debt_USDC"].iloc[-1] == 0.0
    assert result.loan["collateral_WETH"].iloc[-1] > 3.0
    assert result.loan["health"].iloc[-1] == inf


def test_a_staking_loop_stays_below_its_leverage(play: Play) -> None:
    """20,000 over 6,000 are 3.33; borrowing 2,000 for collateral makes 22,000 over 6,000, 3.67."""
    buys = Bundle(
        actions=(
            Borrow(asset="USDC", amount=2_000.0),
            Swap(sell="USDC", buy="WETH", amount=2_000.0),
            Supply(asset="WETH", amount=inf),
        )
    )
    (why,) = refusals(play(once(buys), "leveraged_staking", **{"strategy.max_leverage": 3.5}))
    assert why.startswith("max_leverage is 3.5, this would make it 3.66")
    assert not refusals(play(once(buys), "leveraged_staking", **{"strategy.max_leverage": 4.0}))
    assert not refusals(play(once(REPAY_100), "leveraged_staking", **{"strategy.max_leverage": 2}))


def test_two_actions_of_one_decision_share_the_limits(play: Play) -> None:
    """400 and then 300 out of 1,000 with a reserve of 500: the second breaks it, as one would."""

    def repays_twice(observation: Observation) -> Answer:
        loan = observation.loan
        if loan is None or loan.debt["USDC"] < 13_900 or loan.pending:
            return None
        return [Repay(asset="USDC", amount=400.0), Repay(asset="USDC", amount=300.0)]

    result = play(repays_twice, **{"strategy.min_reserve": 500.0})
    refused = result.journal[result.journal["kind"] == "refused"]
    assert "min_reserve is 500.00 USD, this would leave 300.00" in refused["reason"].iloc[0]
    assert result.loan["wallet_USDC"].min() == pytest.approx(600.0)


def test_the_collateral_cannot_be_borrowed(play: Play) -> None:
    """Borrowing it would be a short sale: another job, and beyond what hindsight bounds."""

    def shorts(observation: Observation) -> Answer:
        del observation
        return [Borrow(asset="WETH", amount=0.1)]

    result = play(shorts)
    assert len(result.transactions) == 0
    refused = result.journal[result.journal["kind"] == "refused"]
    assert "this job borrows USDC alone" in refused["reason"].iloc[0]
