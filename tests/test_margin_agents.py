"""The agents on a futures account: what each sends, when, and why not; worked out by hand."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from loan_views import make_loan
from perpetual_views import BTC, EIGHT_HOURS_MS, ETH, make_view, show

from seawall.action import Order, TargetWeight
from seawall.agent import Agent, AgentInfo, Decision, guards, to_loan_decision, to_margin_decision
from seawall.errors import AgentError, RecipeError
from seawall.observation import Observation
from seawall.perpetual_action import AddMargin, TargetLeverage, Transfer
from seawall.perpetual_view import PerpetualView
from seawall.units import DAY_MS, HOUR_MS
from seawall.workspace import load

GUARDS = ("add_margin_at_ratio", "do_nothing", "reduce_at_margin_ratio")
ACTS = ("add_margin_at_ratio", "reduce_at_margin_ratio")
IN_DANGER: dict[str, Any] = {"mark": 1_615.0, "reserve": 1_000.0}
"""16,150 of notional need 64.6; 150 are left of 4,000: a margin ratio of 0.431."""


def make(name: str, **parameters: object) -> Agent:
    """Return a shipped agent."""
    agent: Agent = load(f"agents.{name}")(**parameters)
    return agent


def ask(agent: Agent, view: PerpetualView) -> Decision:
    """Return a guard's decision on an account."""
    return to_margin_decision(agent.decide(show(view)), (ETH,), ETH)


# Guards of margin ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GUARDS)
def test_a_guard_says_so(name: str) -> None:
    """Doing nothing guards both, a loan and a position."""
    assert guards(load(f"agents.{name}"), "margin")
    assert guards(load(f"agents.{name}"), "loan") == (name == "do_nothing")


@pytest.mark.parametrize("name", ACTS)
def test_a_guard_without_an_account_says_what_it_needs(name: str) -> None:
    """One line: the rule, and the job that has one."""
    with pytest.raises(AgentError, match=r"use strategies\.margin_protection"):
        make(name).decide(show(None))


@pytest.mark.parametrize("name", GUARDS)
def test_a_guard_sleeps_while_the_position_is_safe(name: str) -> None:
    """At 5x it sends nothing and is woken by the ratio alone; nor when flat.

    15 % from its end it has 0.4 % of the mark there, and of it 15 % of 99.6 % more: 0.0261.
    """
    decision = ask(make(name), make_view())
    assert not decision.actions
    assert decision.wake is not None
    if name != "do_nothing":
        assert decision.wake.ratio_above == pytest.approx(0.004 / (0.004 + 0.15 * 0.996))
        assert decision.wake.after_ms is None
        decision = ask(make(name, trigger=0.05, target=0.02), make_view())
        assert decision.wake is not None
        assert decision.wake.ratio_above == 0.05
    flat = ask(make(name), make_view(quantity=0.0))
    assert not flat.actions
    assert flat.wake is not None
    assert (flat.wake.after_ms or 0) >= DAY_MS


@pytest.mark.parametrize("name", ACTS)
def test_a_guard_acts_where_it_wanted_to_be_woken_and_not_before(name: str) -> None:
    """The ratio is 0.4307: a trigger just below it acts, one just above it does not."""
    view = make_view(**IN_DANGER)
    ratio = view.position().margin_ratio
    assert ratio == pytest.approx(64.6 / 150.0)
    assert ask(make(name, trigger=ratio * 0.999, target=0.2), view).actions
    assert not ask(make(name, trigger=ratio * 1.001, target=0.2), view).actions


@pytest.mark.parametrize("name", ACTS)
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_guard_acts_at_a_distance_and_not_before(name: str, side: float) -> None:
    """A long of 2,000 ends at 16,000 / 9.96, a short at 24,000 / 10.04: 12 % from there it acts."""
    end = 24_000.0 / 10.04 if side < 0 else 16_000.0 / 9.96
    for distance, acts in ((0.119, True), (0.121, False)):
        mark = end / (1.0 - side * distance)
        view = make_view(quantity=side * 10.0, mark=mark, reserve=1_000.0)
        decision = ask(make(name, distance=0.12), view)
        assert bool(decision.actions) == acts
        assert decision.wake is not None
        if not acts:
            assert (decision.wake.ratio_above or 0.0) > view.position().margin_ratio
    assert decision.reason == ""


def test_a_guard_says_how_near_the_end_is() -> None:
    """1,606.4 is 10.8 % below 1,800."""
    decision = ask(make("reduce_at_margin_ratio"), make_view(mark=1_800.0))
    assert decision.reason == "liquidation is 10.8% away, nearer than 15.0%"
    (action,) = decision.actions
    assert isinstance(action, TargetLeverage)
    assert action.leverage == pytest.approx(1.0 / (0.3 + 0.004 * 0.7))


def test_a_position_that_nothing_liquidates_is_left_alone() -> None:
    """A long that is paid in full has no price of liquidation: look again in a day."""
    decision = ask(make("reduce_at_margin_ratio"), make_view(leverage=1.0, wallet=0.0))
    assert not decision.actions
    assert decision.wake is not None
    assert decision.wake.after_ms == DAY_MS


def test_margin_is_added_until_the_target() -> None:
    """64.6 / 0.2 = 323 should back it, 150 do: 173 are missing."""
    decision = ask(make("add_margin_at_ratio", trigger=0.4, target=0.2), make_view(**IN_DANGER))
    (action,) = decision.actions
    assert isinstance(action, AddMargin)
    assert action.amount == pytest.approx(173.0)
    assert action.symbol == ETH
    assert decision.reason == "margin ratio 0.431 is above 0.4"
    assert decision.wake is not None
    assert decision.wake.after_ms == 1


def test_margin_is_added_as_far_as_there_is_money() -> None:
    """60 in the reserve and 40 in the futures wallet are 100; with nothing it waits and says so."""
    agent = make("add_margin_at_ratio", trigger=0.4, target=0.2)
    (action,) = ask(agent, make_view(mark=1_615.0, reserve=60.0, wallet=40.0)).actions
    assert isinstance(action, AddMargin)
    assert action.amount == pytest.approx(100.0)
    decision = ask(agent, make_view(mark=1_615.0))
    assert not decision.actions
    assert decision.reason.endswith("nothing is left to add")
    assert decision.wake is not None
    assert decision.wake.after_ms == HOUR_MS


def test_margin_on_its_way_is_waited_for() -> None:
    """A second addition would be one too many."""
    view = make_view(**IN_DANGER, on_the_way=173.0)
    decision = ask(make("add_margin_at_ratio", trigger=0.4, target=0.2), view)
    assert not decision.actions
    assert decision.wake is not None
    assert decision.wake.after_ms == 1


def test_a_position_is_reduced_to_the_target() -> None:
    """Half the ratio is about half the position: 0.4 % of what is left over what is left of 150.

    Closing D costs 0.05 % of it: 0.004 (16,150 - D) = 0.2 (150 - 0.0005 D) gives D = 8,871.8, a
    leverage of 7,278.2 / 145.56 = 50.
    """
    agent = make("reduce_at_margin_ratio", trigger=0.4, target=0.2)
    (action,) = ask(agent, make_view(**IN_DANGER)).actions
    assert isinstance(action, TargetLeverage)
    assert action.leverage == pytest.approx(50.0)
    (gone,) = ask(agent, make_view(mark=1_590.0)).actions
    assert gone == TargetLeverage(symbol=ETH, leverage=0.0)


@pytest.mark.parametrize("name", ACTS)
def test_a_guard_can_be_told_which_contract(name: str) -> None:
    """Nothing is done for ETH where BTC is to be guarded."""
    agent = make(name, trigger=0.4, target=0.2, symbol=BTC)
    assert not ask(agent, make_view(**IN_DANGER)).actions


@pytest.mark.parametrize(
    ("name", "parameters", "rule"),
    [
        ("add_margin_at_ratio", {"trigger": 0.2, "target": 0.3}, "agent.target must be below"),
        ("reduce_at_margin_ratio", {"trigger": 1.5}, "agent.trigger must be a number"),
        ("reduce_at_margin_ratio", {"trigger": 0.5}, "one of them is missing: give both"),
        ("add_margin_at_ratio", {"distance": 0.95}, "agent.distance must be a number"),
        ("add_margin_at_ratio", {"distance": 0.4}, "agent.target_distance must be above"),
        ("reduce_at_margin_ratio", {"target": 0.0}, "agent.target must be a number"),
        ("fixed_leverage", {"leverage": 0.0}, "agent.leverage must be a number"),
        ("fixed_leverage", {"side": "up"}, "agent.side must be one of 'long', 'short'"),
        ("volatility_leverage", {"n": 2}, "agent.n must be a whole number"),
        ("volatility_leverage", {"every": "soon"}, "agent.every: "),
        ("funding_threshold", {"leave": 0.2}, "agent.leave must be at most agent.enter"),
        ("funding_threshold", {"weight": 2.0}, "agent.weight must be from 0 to 1"),
        ("hedge_on_drawdown", {"measure": "fear"}, "agent.measure must be one of"),
        ("hedge_on_drawdown", {"hedge_at": 1.5}, "agent.lift_at must be above agent.hedge_at"),
        (
            "hedge_on_drawdown",
            {"measure": "drawdown", "hedge_at": 0.05},
            "agent.lift_at must be below agent.hedge_at",
        ),
    ],
)
def test_parameters_that_make_no_sense_are_refused(
    name: str, parameters: dict[str, object], rule: str
) -> None:
    """By name, before the run."""
    with pytest.raises(RecipeError, match=rule):
        make(name, **parameters)


# Leverage -----------------------------------------------------------------------------------------


def test_a_fixed_leverage_is_held_outside_its_band() -> None:
    """2x of 10,000 at 2,000 are 10 ETH; 10.9 are 2.18x and let be, 11.1 are not."""
    agent = make("fixed_leverage", leverage=2.0, band=0.1)
    decision = cast("Decision", agent.decide(show(None)))
    assert decision.actions == (TargetWeight(symbol=ETH, weight=2.0),)
    assert agent.decide(show(None, quantities={ETH: 10.9})) is None
    decision = cast("Decision", agent.decide(show(None, quantities={ETH: 11.1})))
    assert decision.reason == f"{ETH} is at 2.22, should be 2"
    short = cast("Decision", make("fixed_leverage", side="short").decide(show(None)))
    assert short.actions == (TargetWeight(symbol=ETH, weight=-2.0),)


def test_leverage_is_spread_over_the_perpetuals() -> None:
    """Of two perpetuals beside a spot symbol each has half; without one spot is traded."""
    symbols = ("ETH/USDT", ETH, BTC)
    decision = cast("Decision", make("fixed_leverage").decide(show(None, symbols=symbols)))
    assert [(a.symbol, a.weight) for a in decision.actions] == [(ETH, 1.0), (BTC, 1.0)]  # type: ignore[union-attr]
    decision = cast("Decision", make("fixed_leverage").decide(show(None, symbols=("ETH/USDT",))))
    assert decision.actions == (TargetWeight(symbol="ETH/USDT", weight=2.0),)


def begun(agent: Agent) -> Any:
    """Return an agent that knows its market."""
    cast("Any", agent).begin(
        AgentInfo(
            symbols=(ETH,), timeframe_ms=HOUR_MS, decide_at="close", taker_fee_bps=5.0,
            rng=np.random.default_rng(0),
        )
    )  # fmt: skip
    return agent


def test_leverage_is_the_target_over_the_volatility() -> None:
    """Log returns of 1 % up and down have a deviation of 1 %, 93.6 % in 8,760 hours: 0.468 is half.

    A market that stands still and one with too few bars say nothing.
    """
    prices = [2_000.0 * np.exp(0.01 * (k % 2)) for k in range(51)]
    agent = begun(make("volatility_leverage", volatility=0.5 * 0.01 * np.sqrt(8_760), n=50))
    decision = agent.decide(show(None, prices=prices))
    assert decision.actions[0].weight == pytest.approx(0.5)
    assert decision.reason == f"the volatility of {ETH} is 93.6%"
    for quiet in ([2_000.0] * 51, prices[:50]):
        agent = begun(make("volatility_leverage", n=50))
        assert agent.decide(show(None, prices=quiet)) is None


def test_leverage_has_a_cap_a_side_and_a_pace() -> None:
    """A calm market would allow 428x; the cap holds, and it looks once a day."""
    prices = [2_000.0 * np.exp(1e-5 * (k % 2)) for k in range(51)]
    agent = begun(make("volatility_leverage", n=50, side="short", max_leverage=4.0))
    decision = agent.decide(show(None, prices=prices))
    assert decision.actions == (TargetWeight(symbol=ETH, weight=-4.0),)
    assert agent.decide(show(None, prices=prices)) is None
    later = show(None, prices=prices, time_ms=51 * HOUR_MS + DAY_MS)
    assert agent.decide(later).actions == decision.actions


# Carry --------------------------------------------------------------------------------------------


def hear(agent: Agent, rates: Sequence[float], first: int = 1, **parts: object) -> list[object]:
    """Return what an agent answers after each settlement; it is asked twice between two."""
    answers: list[object] = []
    for k, rate in enumerate(rates, first):
        view = make_view(funding_rate=rate, next_funding_ms=(k + 1) * EIGHT_HOURS_MS, **parts)  # type: ignore[arg-type]
        answers.append(agent.decide(show(view)))
        assert agent.decide(show(view)) is None
    return answers


def test_a_carry_is_entered_above_one_rate_and_left_below_another() -> None:
    """Means of two rates, three a day: 0.01 % is 10.95 % a year, above 5; 0 is not below 0."""
    agent = make("funding_threshold", n=2, enter=0.05, leave=0.0)
    rates = [1e-4, 1e-4, -1e-4, 0.0, 5e-5]
    share = {ETH: 0.5, BTC: 0.5}
    gone = {ETH: 0.0, BTC: 0.0}
    assert hear(agent, rates) == [None, share, None, gone, None]


def test_a_carry_hears_every_rate_or_abstains() -> None:
    """A bar of a day holds three settlements, of which the last alone would be heard."""
    agent: Any = make("funding_threshold", n=2)
    info = AgentInfo(
        symbols=(ETH, BTC), timeframe_ms=DAY_MS, decide_at="close", taker_fee_bps=5.0,
        rng=np.random.default_rng(1),
    )  # fmt: skip
    agent.begin(info)
    with pytest.raises(AgentError, match="settled every 8h and bars last 1d: take bars of at most"):
        hear(agent, [1e-4])
    agent.begin(replace(info, timeframe_ms=8 * HOUR_MS))
    assert hear(agent, [1e-4, 1e-4])[1] is not None


def test_a_carry_goes_on_after_a_restart() -> None:
    """The rates heard, and that it is in, are in its state."""
    agent: Any = make("funding_threshold", n=3)
    hear(agent, [1e-4, 1e-4, 1e-4])
    fresh: Any = make("funding_threshold", n=3)
    fresh.restore(agent.state())
    assert hear(fresh, [-1e-3], first=4) == hear(agent, [-1e-3], first=4)
    assert fresh.state() == agent.state()


def test_a_carry_without_a_perpetual_or_a_rate_stays_out() -> None:
    """There is nothing to go by."""
    assert make("funding_threshold").decide(show(None)) is None
    assert make("funding_threshold", n=1).decide(show(make_view())) is None


# Hedging a loan -----------------------------------------------------------------------------------

FLAT: dict[str, Any] = {"quantity": 0.0}


def hedge(agent: Agent, view: PerpetualView | None, health: float = 1.2, **parts: Any) -> Decision:
    """Return the decision on a loan of 10 WETH at 2,000, hedged on a futures account."""
    loan = make_loan(health=health)
    answer = agent.decide(show(view, loan=loan, symbols=("ETH/USDT", ETH), **parts))
    return to_loan_decision(answer, loan.terms.assets, ("ETH/USDT", ETH), (ETH,))


def test_a_loan_in_danger_is_hedged_with_a_short() -> None:
    """10 WETH are 20,000 USD, 10 ETH; 8,000 in the wallet carry it: 20,000 / 3 are needed."""
    decision = hedge(make("hedge_on_drawdown"), make_view(**FLAT, wallet=8_000.0))
    assert decision.actions == (Order(symbol=ETH, side="sell", quantity=10.0),)
    assert decision.reason == "health is 1.200, hedge 10"


def test_margin_for_the_hedge_comes_from_the_reserve_first() -> None:
    """6,666.67 are needed, 1,000 are there: the rest is moved, and waited for."""
    agent = make("hedge_on_drawdown")
    decision = hedge(agent, make_view(**FLAT, wallet=1_000.0, reserve=9_000.0))
    (action,) = decision.actions
    assert isinstance(action, Transfer)
    assert action.amount == pytest.approx(20_000.0 / 3.0 - 1_000.0)
    waiting = hedge(agent, make_view(**FLAT, wallet=1_000.0, reserve=4_000.0, on_the_way=5_667.0))
    assert not waiting.actions


def test_a_hedge_is_as_large_as_its_margin_allows() -> None:
    """1,000 at 3x, less 5 %, carry 2,850 of notional, 1.425 ETH; without margin there is none."""
    (order,) = hedge(make("hedge_on_drawdown"), make_view(**FLAT, wallet=1_000.0)).actions
    assert isinstance(order, Order)
    assert order.quantity == pytest.approx(1.425)
    decision = hedge(make("hedge_on_drawdown"), make_view(**FLAT))
    assert not decision.actions
    assert decision.reason.endswith("no margin is left")


def test_a_hedge_is_lifted_when_the_loan_has_recovered() -> None:
    """At 1.45 it goes; at 1.3, between both levels, it stays, and no new one would begin."""
    short = make_view(quantity=-10.0, is_isolated=False)
    decision = hedge(make("hedge_on_drawdown"), short, health=1.45)
    assert decision.actions == (Order(symbol=ETH, side="buy", quantity=10.0, reduce_only=True),)
    kept = hedge(make("hedge_on_drawdown"), short, health=1.3)
    assert not kept.actions
    assert kept.wake is not None
    assert kept.wake.health_above == 1.4
    none = hedge(make("hedge_on_drawdown"), make_view(**FLAT, wallet=8_000.0), health=1.3)
    assert not none.actions
    assert none.wake is not None
    assert none.wake.health_below == 1.25


def test_a_hedge_that_has_drifted_is_brought_back() -> None:
    """12 ETH short of 10: 2 are bought back; 10.5 are within the band."""
    order = Order(symbol=ETH, side="buy", quantity=2.0, reduce_only=True)
    drifted = make_view(quantity=-12.0, is_isolated=False)
    assert hedge(make("hedge_on_drawdown"), drifted).actions == (order,)
    near = make_view(quantity=-10.5, is_isolated=False)
    assert not hedge(make("hedge_on_drawdown"), near).actions


def test_a_drawdown_sets_off_the_hedge_too() -> None:
    """From 2,400 to 2,000 is 16.7 %, beyond 15; of the last five bars it is nothing."""
    prices = [2_400.0, *[2_000.0] * 10]
    view = make_view(**FLAT, wallet=8_000.0)
    agent = make("hedge_on_drawdown", measure="drawdown")
    assert hedge(agent, view, health=3.0, prices=prices).reason == "drawdown is 0.167, hedge 10"
    short = make("hedge_on_drawdown", measure="drawdown", n=5)
    assert not hedge(short, view, health=1.05, prices=prices).actions


def test_without_a_perpetual_a_loan_cannot_be_hedged() -> None:
    """It says so once and sleeps; without a loan it says what it guards."""
    decision = hedge(make("hedge_on_drawdown"), None)
    assert decision.reason == "there is no perpetual to hedge with"
    assert not decision.actions
    observation: Observation = show(make_view())
    with pytest.raises(AgentError, match="guards a loan"):
        make("hedge_on_drawdown").decide(observation)
