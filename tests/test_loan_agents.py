"""The agents that guard a loan: what each sends, when, and why not; worked out by hand."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, cast

import numpy as np
import pytest
from loan_views import ETH_USDC, STAKED, make_loan

from seawall.agent import Agent, Decision, to_loan_decision
from seawall.errors import AgentError, RecipeError
from seawall.loan_action import Bundle, Swap
from seawall.loan_view import LoanView
from seawall.market.series import Candles, SeriesKey
from seawall.observation import Observation, Window
from seawall.preview import Preview, preview
from seawall.units import DAY_MS, HOUR_MS
from seawall.workspace import load

AGENTS = (
    "close_at", "defi_saver", "do_nothing", "minimum_leverage", "pre_liquidation", "summer_fi",
    "volatility_target",
)  # fmt: skip
ACTS = tuple(name for name in AGENTS if name != "do_nothing")
THIN = replace(ETH_USDC, depth_usd=20_000.0)


class Begins(Protocol):
    """What an agent does with the market's terms."""

    _bar_ms: int


def make(name: str, **parameters: object) -> Agent:
    """Return a shipped agent."""
    agent: Agent = load(f"agents.{name}")(**parameters)
    return agent


def show(loan: LoanView | None, prices: Sequence[float] = (2_000.0,) * 800) -> Observation:
    """Return what an agent sees of a loan, after hourly closes."""
    price = np.array(prices, dtype=np.float64)
    key = SeriesKey("candles", "test", "ETH/USDT", "1h")
    candles = Candles(
        key=key,
        time_ms=np.arange(len(price), dtype=np.int64) * key.timeframe_ms,
        open=price,
        high=price,
        low=price,
        close=price,
        volume=np.ones(len(price)),
    )
    window = Window(candles)
    window.reveal(len(price))
    return Observation(
        time_ms=len(price) * HOUR_MS,
        windows={"ETH/USDT": window},
        signals={},
        cash=0.0,
        equity=0.0,
        quantities={},
        loan=loan,
    )


def ask(agent: Agent, loan: LoanView, prices: Sequence[float] = (2_000.0,) * 800) -> Decision:
    """Return an agent's decision on a loan."""
    answer = agent.decide(show(loan, prices))
    return to_loan_decision(answer, loan.terms.assets, ("ETH/USDT",))


def bundle_of(decision: Decision) -> Bundle:
    """Return the one bundle that was sent."""
    (bundle,) = decision.actions
    assert isinstance(bundle, Bundle)
    return bundle


def outcome(decision: Decision, loan: LoanView) -> Preview:
    """Return what comes of the one bundle that was sent."""
    return preview(loan, bundle_of(decision))


def fees_of(bundle: Bundle) -> list[float]:
    """Return the service fees of a bundle's swaps."""
    return [step.service_fee for step in bundle.actions if isinstance(step, Swap)]


def ltv_of(after: Preview) -> float:
    """Return debt over collateral at the oracle's prices."""
    return after.debt_usd / sum(x * after.prices[a] for a, x in after.collateral.items())


@pytest.mark.parametrize("name", ACTS)
def test_an_agent_without_a_loan_says_what_it_needs(name: str) -> None:
    """One line: the rule, and the job that has one."""
    with pytest.raises(AgentError, match=r"guards a loan: use strategies\.liquidation_protection"):
        make(name).decide(show(None))


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_sleeps_while_the_loan_is_safe(name: str) -> None:
    """At a health factor of 5, and with nothing owed, it sends nothing and sleeps over bars."""
    for loan in (make_loan(health=5.0), make_loan()):
        decision = ask(make(name), loan)
        assert not decision.actions
        assert decision.wake is not None
        assert decision.wake.after_ms is None or decision.wake.after_ms > HOUR_MS


@pytest.mark.parametrize("name", ACTS)
def test_an_agent_wakes_before_it_would_act(name: str) -> None:
    """The level it wants to be woken at is one at which it acts, and not before."""
    agent = make(name)
    decision = ask(agent, make_loan(health=5.0))
    assert decision.wake is not None
    level = decision.wake.health_below
    assert level is not None
    assert ask(agent, make_loan(health=level * 0.999, gas_gwei=1.0)).actions
    assert not ask(agent, make_loan(health=level * 1.001, gas_gwei=1.0)).actions


@pytest.mark.parametrize("name", ACTS)
def test_an_agent_waits_for_what_it_has_sent(name: str) -> None:
    """A second transaction on the way would repay twice."""
    assert not ask(make(name), make_loan(health=1.05, pending=1)).actions


@pytest.mark.parametrize("name", ACTS)
def test_an_agent_makes_a_loan_in_danger_safer(name: str) -> None:
    """At 1.05 every one of them acts, gives a reason, and the loan is healthier afterwards."""
    loan = make_loan(health=1.05)
    prices = [2_000.0 * (1.0 + 0.02 * (n % 2)) for n in range(800)]
    decision = ask(make(name), loan, prices)
    assert decision.reason
    assert decision.wake is not None
    assert outcome(decision, loan).health > loan.health


@pytest.mark.parametrize("name", ACTS)
def test_an_agent_lives_with_a_loan_that_nothing_can_save(name: str) -> None:
    """Under water, and without an oracle price worth a thing: no exception, no transaction."""
    for loan in (make_loan(health=0.5), make_loan(collateral=0.0, debt=1_000.0)):
        decision = ask(make(name), loan)
        assert all(isinstance(action, Bundle) for action in decision.actions)


@pytest.mark.parametrize("name", ACTS)
def test_an_agent_guards_a_staking_loop_too(name: str) -> None:
    """A staked token against the coin it stakes: the swap is between two assets that move."""
    loan = make_loan(health=1.005, terms=STAKED)
    lower = {"summer_fi": {"trigger": 85.0, "target": 80.0, "stop_loss": 92.5}}.get(name, {})
    decision = ask(make(name, **lower), loan)
    assert outcome(decision, loan).health > loan.health


@pytest.mark.parametrize(
    ("name", "parameters", "rule"),
    [
        ("close_at", {"threshold": 1.0}, "agent.threshold must be a number > 1, is 1.0"),
        ("close_at", {"keep": "cash"}, "agent.keep must be one of 'collateral', 'debt'"),
        ("minimum_leverage", {"health": 0.9}, "agent.health must be a number > 1, is 0.9"),
        ("minimum_leverage", {"band": 0.0}, "agent.band must be a number > 0 and <= 0.9"),
        (
            "defi_saver",
            {"trigger": 150.0, "target": 120.0},
            "agent.trigger must be below agent.target by 5 at least, is 150 with target = 120",
        ),
        ("defi_saver", {"trigger": 120.0, "target": 124.0}, "below agent.target by 5 at least"),
        ("defi_saver", {"trigger": 99.0}, "agent.trigger must be a number > 100, is 99.0"),
        (
            "defi_saver",
            {"boost_trigger": 133.0, "boost_target": 120.0},
            "agent.target must be below agent.boost_trigger by 5 at least",
        ),
        (
            "defi_saver",
            {"boost_trigger": 150.0, "boost_target": 115.0},
            "agent.trigger must be below agent.boost_target by 5 at least",
        ),
        (
            "defi_saver",
            {"boost_trigger": 150.0},
            "agent.trigger must be below agent.boost_target by 5 at least, is 112 with",
        ),
        ("defi_saver", {"boost_trigger": "high"}, "agent.boost_trigger must be a number"),
        ("defi_saver", {"gas_cap": 2.0}, "agent.gas_cap must be from 0 to 1, is 2.0"),
        ("defi_saver", {"minimum_debt": -5.0}, "agent.minimum_debt must be a number"),
        ("defi_saver", {"swap_fee": 0.5}, "agent.swap_fee must be a number"),
        (
            "summer_fi",
            {"trigger": 60.0, "target": 70.0},
            "agent.target must be below agent.trigger by 1.4 at least, is 70 with trigger = 60",
        ),
        (
            "summer_fi",
            {"stop_loss": 70.0},
            "agent.trigger must be below agent.stop_loss, is 72 with stop_loss = 70",
        ),
        ("summer_fi", {"max_gas_usd": 0.0}, "agent.max_gas_usd must be a number > 0"),
        ("summer_fi", {"close_to": "usd"}, "agent.close_to must be one of 'debt', 'collateral'"),
        ("pre_liquidation", {"start": 1.0}, "agent.start must be a number > 1"),
        (
            "pre_liquidation",
            {"first_share": 0.6},
            "agent.first_share must be <= agent.last_share, is 0.6 with last_share = 0.5",
        ),
        ("pre_liquidation", {"last_bonus": 0.2}, "agent.last_bonus must be a number"),
        ("volatility_target", {"reaction_bars": 0}, "agent.reaction_bars must be a whole number"),
        ("volatility_target", {"cushion": 1.0}, "agent.cushion must be a number > 1"),
        ("volatility_target", {"n": 5}, "agent.n must be a whole number >= 8"),
        ("volatility_target", {"quantile": 0.0}, "agent.quantile must be a number > 0"),
    ],
)
def test_parameters_that_cannot_be_are_refused(
    name: str, parameters: dict[str, object], rule: str
) -> None:
    """At construction, in one line: the rule, the value, the remedy."""
    with pytest.raises(RecipeError) as caught:
        make(name, **parameters)
    assert rule in str(caught.value)
    assert "\n" not in str(caught.value)


def test_do_nothing_sleeps_for_a_hundred_years() -> None:
    """Also where the loan is about to be liquidated."""
    decision = ask(make("do_nothing"), make_loan(health=1.0001))
    assert not decision.actions
    assert decision.wake is not None
    assert decision.wake.after_ms == 100 * 365 * DAY_MS


def test_close_at_repays_everything() -> None:
    """Below 1.15 it closes: the rest of the collateral stays, or is sold too."""
    loan = make_loan(health=1.14)
    kept = outcome(ask(make("close_at"), loan), loan)
    assert kept.debt["USDC"] == 0.0
    assert kept.collateral["WETH"] > 2.4
    sold = outcome(ask(make("close_at", keep="debt"), loan), loan)
    assert sold.debt["USDC"] == 0.0
    assert sold.collateral["WETH"] + sold.wallet["WETH"] == pytest.approx(0.0, abs=1e-9)


def test_minimum_leverage_acts_at_once_and_then_below_its_band() -> None:
    """To 2.5 from 2.2; from 2.3, which is above 2.25, not."""
    agent = make("minimum_leverage")
    loan = make_loan(health=2.2)
    assert outcome(ask(agent, loan), loan).health == pytest.approx(2.5, rel=1e-3)
    assert not ask(agent, make_loan(health=2.3)).actions
    assert not ask(agent, make_loan(health=9.0)).actions


def test_defi_saver_repays_to_its_target_and_pays_its_fees() -> None:
    """Safety ratio 110 % is 16,100 / 14,636: repaid to 130 %, for 0.30 % of what is swapped."""
    loan = make_loan(debt=16_100.0 / 1.10, wallet={"USDC": 5_000.0})
    decision = ask(make("defi_saver"), loan)
    after = outcome(decision, loan)
    assert after.capacity_usd / after.debt_usd == pytest.approx(1.30, rel=1e-3)
    assert fees_of(bundle_of(decision)) == pytest.approx([0.003])
    assert after.wallet["USDC"] >= 5_000.0  # out of the collateral alone
    assert "safety ratio 110.0 %: repay to 130 %" in decision.reason


def test_defi_saver_sees_no_ratio_below_a_hundred() -> None:
    """Beyond what may be borrowed Aave says that nothing more may be: 100 %, and it repays."""
    loan = make_loan(health=1.005)
    decision = ask(make("defi_saver"), loan)
    assert "safety ratio 100.0 %" in decision.reason
    assert decision.actions


def test_defi_saver_boosts_only_if_it_is_told_to() -> None:
    """At 200 % a boost to 160 % borrows 16,100 (1/1.6 - 1/2) and more, for what it buys."""
    loan = make_loan(debt=8_050.0)
    assert not ask(make("defi_saver"), loan).actions
    boosts = make("defi_saver", boost_trigger=190.0, boost_target=160.0)
    after = outcome(ask(boosts, loan), loan)
    assert after.capacity_usd / after.debt_usd == pytest.approx(1.60, rel=1e-3)
    assert not ask(boosts, make_loan(debt=16_100.0 / 1.85)).actions
    assert not ask(boosts, make_loan()).actions


@pytest.mark.parametrize(
    ("loan", "why"),
    [
        (make_loan(collateral=3.0, health=1.05), "a debt of 4,743 USD is too small"),
        (make_loan(health=1.05, gas_gwei=3_000.0), "USD is too much"),
        (make_loan(health=1.001, terms=THIN), "it would end at 100.0 %"),
    ],
)
def test_defi_saver_says_why_it_sends_nothing(loan: LoanView, why: str) -> None:
    """A small debt; dear gas; a pool so thin that nothing may be borrowed again afterwards."""
    decision = ask(make("defi_saver"), loan)
    assert not decision.actions
    assert why in decision.reason


def test_dear_gas_is_looked_at_again_at_the_next_close_and_a_small_debt_in_a_day() -> None:
    """What may pass soon is waited for; what does not is slept over."""
    dear = ask(make("defi_saver"), make_loan(health=1.05, gas_gwei=3_000.0))
    small = ask(make("defi_saver"), make_loan(collateral=3.0, health=1.05))
    assert dear.wake is not None
    assert small.wake is not None
    assert (dear.wake.after_ms, small.wake.after_ms) == (1, DAY_MS)


def test_summer_fi_sells_to_its_target_within_its_gas() -> None:
    """Loan to value 73 % to 62 %, for 0.2 % of what is swapped; at 71.5 % it sleeps."""
    loan = make_loan(debt=14_600.0)
    decision = ask(make("summer_fi"), loan)
    assert ltv_of(outcome(decision, loan)) == pytest.approx(0.62, rel=1e-3)
    assert fees_of(bundle_of(decision)) == [0.002]
    assert not ask(make("summer_fi"), make_loan(debt=14_300.0)).actions


def test_summer_fi_waits_for_cheaper_gas_but_stops_at_any() -> None:
    """At 1,000 gwei the auto-sell waits, the stop-loss at 77 % does not."""
    dear = ask(make("summer_fi"), make_loan(debt=14_600.0, gas_gwei=1_000.0))
    assert not dear.actions
    assert "USD is too much" in dear.reason
    loan = make_loan(debt=15_500.0, gas_gwei=1_000.0)
    decision = ask(make("summer_fi"), loan)
    after = outcome(decision, loan)
    assert after.debt["USDC"] == 0.0
    assert after.collateral["WETH"] == pytest.approx(0.0, abs=1e-9)
    kept = outcome(ask(make("summer_fi", close_to="collateral"), loan), loan)
    assert kept.debt["USDC"] == 0.0
    assert kept.collateral["WETH"] > 1.0


def test_summer_fi_needs_a_trigger_below_what_may_be_borrowed() -> None:
    """The service refuses 81 % where 80.5 % may be borrowed; the stop-loss works all the same."""
    agent = make("summer_fi", trigger=81.0, target=70.0, stop_loss=82.0)
    with pytest.raises(AgentError, match=r"below the largest loan to value, 80\.5 %, is 81"):
        ask(agent, make_loan(debt=16_300.0))
    assert ask(agent, make_loan(debt=16_450.0)).actions


def test_pre_liquidation_closes_more_the_later_it_is() -> None:
    """At ``1 / health`` half way between 1/1.1 and 1: 30 % of the debt, an incentive of 2.5 %."""
    health = 2 / (1 / 1.1 + 1)
    loan = make_loan(health=health)
    decision = ask(make("pre_liquidation"), loan)
    after = outcome(decision, loan)
    assert "close 30.0% of the debt at 2.50%" in decision.reason
    assert fees_of(bundle_of(decision)) == pytest.approx([0.025 / 1.025])
    assert 1 - after.debt_usd / loan.debt_usd == pytest.approx(0.30, rel=0.02)
    early = make_loan(health=1.095, gas_gwei=5.0)
    after = outcome(ask(make("pre_liquidation"), early), early)
    assert 1 - after.debt_usd / early.debt_usd < 0.15


def test_pre_liquidation_comes_neither_for_free_nor_too_late() -> None:
    """An incentive below its gas brings nobody; below 1 the protocol's own liquidators come."""
    poor = ask(make("pre_liquidation"), make_loan(health=1.09, gas_gwei=200.0))
    assert not poor.actions
    assert "do not pay" in poor.reason
    assert not ask(make("pre_liquidation"), make_loan(health=0.99)).actions
    whole = make_loan(health=1.01)
    closes = make("pre_liquidation", first_share=1.0, last_share=1.0)
    assert outcome(ask(closes, whole), whole).debt["USDC"] == 0.0


def test_volatility_target_keeps_the_distance_that_is_feared() -> None:
    """Hourly changes of 1 %: 3 sigmas of 6 hours are 7.3 %, so 1.079 is needed, and 1.172 sought.

    Each log return is 0.00995 or -0.00995, and so is the mean: 3 * 0.00995 * sqrt(6) = 0.0731.
    """
    prices = [2_000.0 * (1.01 if n % 2 else 1.0) for n in range(800)]
    agent = make("volatility_target")
    fall = 3 * np.log(1.01) * np.sqrt(6)
    assert not ask(agent, make_loan(health=1 / (1 - fall) + 1e-3), prices).actions
    loan = make_loan(health=1 / (1 - fall) - 1e-3)
    after = outcome(ask(agent, loan, prices), loan)
    assert after.health == pytest.approx(1 / (1 - 2 * fall), rel=1e-3)


def test_volatility_target_fears_what_it_has_seen() -> None:
    """A crash of 20 % in the look-back, calm since: the quantile fears it, the volatility does not.

    30 of 720 bars end six hours that hold it when it took 25 bars: more than one in a hundred.
    """
    crash = [2_000.0] * 300 + [2_000.0 * (1 - 0.008 * n) for n in range(1, 26)]
    prices = [*crash, *[1_600.0] * 475]
    loan = make_loan(health=1.04)
    decision = ask(make("volatility_target"), loan, prices)
    assert decision.actions
    assert not ask(make("volatility_target"), loan, [2_000.0] * 800).actions


def test_volatility_target_looks_again_after_its_reaction_time() -> None:
    """Six bars, or sooner where the health factor falls below what it feared."""
    agent = make("volatility_target")
    cast("Begins", agent)._bar_ms = HOUR_MS
    decision = ask(agent, make_loan(health=2.0), [2_000.0] * 3)
    assert decision.wake is not None
    assert decision.wake.after_ms == 6 * HOUR_MS
    assert decision.wake.health_below == pytest.approx(1 / 0.95)
