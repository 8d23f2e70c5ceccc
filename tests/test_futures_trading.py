"""The job that trades perpetuals: leverage, limits, and existing agents that need not know."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perpetual_runs import ETH, SPOT, Job, fill_catalog, make_recipe, play, to_candles

from seawall.action import Action, Cancel, Order, TargetWeight
from seawall.agent import Agent, Decision, Wake
from seawall.errors import RecipeError
from seawall.observation import Observation
from seawall.perpetual_action import (
    AddMargin,
    SetLeverage,
    SetMarginMode,
    TargetLeverage,
    Transfer,
)
from seawall.workspace import load

BTC = "BTC/USDT:USDT"
STILL = [2_000.0] * 12
Run = Callable[..., Job]


@pytest.fixture
def trade(tmp_path: Path) -> Run:
    """Return ``trade(agent, prices, **settings)``: the job in ETH's perpetual at these prices."""

    def run_it(
        agent: object,
        prices: Sequence[float | None] = STILL,
        others: Sequence[str] = (),
        *,
        flat: bool = False,
        **settings: object,
    ) -> Job:
        symbols = (ETH, *others)
        recipe = make_recipe("futures_trading", len(prices), symbols, settings)
        catalog = fill_catalog(tmp_path, dict.fromkeys(symbols, prices), flat=flat)
        return play(recipe, catalog, agent)

    return run_it


def once(*actions: object, wake: Wake | None = None) -> Callable[[Observation], object]:
    """Return an agent that answers these at the start, and then sleeps."""
    left = list(actions)

    def decide(_: Observation) -> object:
        sent, left[:] = tuple(left), []
        return Decision(actions=sent, wake=wake or Wake(after_ms=10**10))  # type: ignore[arg-type]

    return decide


def in_turn(*answers: object) -> Callable[[Observation], object]:
    """Return an agent that gives one answer after another, and then none."""
    left = list(answers)
    return lambda _: left.pop(0) if left else None


# Leverage and its limits --------------------------------------------------------------------------


def test_a_weight_of_one_is_leveraged(trade: Run) -> None:
    """3 times 10,000 at 2,000 are 15 ETH; the agent answers 1 and need not know."""
    job = trade(once(TargetWeight(symbol=ETH, weight=1.0)), **{"strategy.leverage": 3.0})
    assert job.fills() == [(1, 15.0)]
    assert not job.reasons("reduced")


def test_a_short_earns_when_the_price_falls(trade: Run) -> None:
    """-1 of 10,000 sells 5 ETH at 2,000; at 1,900 that is 500 more, and the weight is negative."""
    seen: list[float] = []

    def agent(observation: Observation) -> float | None:
        seen.append(observation.weight(ETH))
        return -1.0 if len(seen) == 1 else None

    job = trade(agent, [2_000.0, 2_000.0, 1_900.0, 1_900.0])
    assert job.fills() == [(1, -5.0)]
    assert job.view.equity == pytest.approx(10_500.0)
    assert seen[1] == pytest.approx(-1.0)
    assert seen[3] == pytest.approx(-5.0 * 1_900.0 / 10_500.0)


def test_a_weight_turns_a_position_in_one_trade(trade: Run) -> None:
    """From +0.5 to -0.5 is one order of 5 ETH; to 0 closes all that is held."""
    job = trade(in_turn(0.5, -0.5, 0.0))
    assert job.fills() == [(1, 2.5), (2, -5.0), (3, 2.5)]


def test_the_gross_of_one_decision_is_cut_to_the_limit(trade: Run) -> None:
    """2 long and 1 short are 3; with 1.5 allowed both are halved, whichever comes first."""
    agent = in_turn({ETH: 2.0, BTC: -1.0})
    job = trade(agent, others=[BTC], **{"strategy.max_leverage": 1.5})
    assert job.fills() == [(1, 5.0)]
    assert job.fills(BTC) == [(1, -2.5)]
    assert job.texts("reduced") == [f"{ETH} to weight 1", f"{BTC} to weight -0.5"]


def test_what_is_held_beside_a_weight_takes_its_room(trade: Run) -> None:
    """1 held in BTC leaves 0.5 of 1.5 for ETH; where BTC is given up, all of it is there."""
    allowed = {"strategy.max_leverage": 1.5}
    job = trade(in_turn({BTC: 1.0}, {ETH: 2.0}), others=[BTC], **allowed)
    assert job.fills() == [(2, 2.5)]
    job = trade(in_turn({BTC: 1.0}, {ETH: 2.0, BTC: 0.0}), others=[BTC], **allowed)
    assert job.fills() == [(2, 7.5)]


def test_an_order_beyond_the_limit_is_refused(trade: Run) -> None:
    """6 ETH are 1.2 of 10,000; resting orders of its side count, what reduces is free."""
    allowed = {"strategy.max_leverage": 1.0}
    job = trade(once(Order(symbol=ETH, side="buy", quantity=6.0)), **allowed)
    assert job.reasons("refused") == ["max_leverage is 1, this would make it 1.2: trade less of it"]
    rests = Order(symbol=ETH, side="buy", type="limit", quantity=4.0, limit_price=1_500.0)
    job = trade(in_turn([rests], [Order(symbol=ETH, side="buy", quantity=2.0)]), **allowed)
    assert job.reasons("refused") == ["max_leverage is 1, this would make it 1.2: trade less of it"]
    back = Order(symbol=ETH, side="sell", quantity=5.0)
    job = trade(in_turn([Order(symbol=ETH, side="buy", quantity=5.0)], [back]), **allowed)
    assert not job.reasons("refused")
    assert job.held() == 0.0


@pytest.mark.parametrize(
    "order",
    [
        Order(symbol=ETH, side="sell", type="limit", quantity=25.0, limit_price=5.0),
        Order(symbol=ETH, side="buy", type="stop", quantity=25.0, stop_price=1.0),
        Order(
            symbol=ETH, side="buy", type="stop_limit", quantity=25.0, stop_price=1.0,
            limit_price=3_000.0,
        ),
        Order(symbol=ETH, side="buy", type="trailing", quantity=5.0, trail_fraction=0.1),
    ],
)  # fmt: skip
def test_no_price_of_its_own_makes_an_order_smaller(trade: Run, order: Order) -> None:
    """25 ETH are 5 times the equity at 2,000, whatever limit or trigger is named far below."""
    job = trade(in_turn([order]), **{"strategy.max_leverage": 1.0})
    (why,) = job.reasons("refused")
    assert why.startswith("max_leverage is 1, this would make it ")
    assert not job.fills()


def test_a_distant_take_profit_closes_and_is_free(trade: Run) -> None:
    """A sale of all that is held at five times the price opens nothing, so that it is allowed."""
    exits = Order(symbol=ETH, side="sell", type="limit", quantity=5.0, limit_price=10_000.0)
    job = trade(in_turn(1.0, [exits]), **{"strategy.max_leverage": 1.0})
    assert not job.reasons("refused")
    turns = replace(exits, quantity=7.0)  # 2 short at 10,000 are 2 of the equity
    job = trade(in_turn(1.0, [turns]), **{"strategy.max_leverage": 1.0})
    assert job.reasons("refused") == ["max_leverage is 1, this would make it 2: trade less of it"]


def test_one_decision_shares_one_limit_over_all_symbols(trade: Run) -> None:
    """1 of 1 has been asked for in one symbol: an order, or a weight, in the other has no room."""
    allowed = {"strategy.max_leverage": 1.0}
    buys = [Order(symbol=one, side="buy", quantity=5.0) for one in (ETH, BTC)]
    job = trade(in_turn(buys), others=[BTC], **allowed)
    assert (job.held(ETH), job.held(BTC)) == (5.0, 0.0)
    assert job.reasons("refused") == ["max_leverage is 1, this would make it 2: trade less of it"]
    weight = TargetWeight(symbol=BTC, weight=1.0)
    job = trade(in_turn([buys[0], weight]), others=[BTC], **allowed)
    assert (job.held(ETH), job.held(BTC)) == (5.0, 0.0)
    job = trade(in_turn([weight, buys[0]]), others=[BTC], **allowed)
    assert (job.held(ETH), job.held(BTC)) == (0.0, 5.0)


def test_an_order_and_a_weight_of_one_symbol_share_the_limit(trade: Run) -> None:
    """4 of 5 ETH are asked for by an order: the weight of 1 is cut to the fifth that is left."""
    buy = Order(symbol=ETH, side="buy", quantity=4.0)
    job = trade(in_turn([buy, TargetWeight(symbol=ETH, weight=1.0)]), **{
        "strategy.max_leverage": 1.0
    })  # fmt: skip
    assert job.held() == pytest.approx(5.0)
    job = trade(
        in_turn([TargetWeight(symbol=ETH, weight=3.0), TargetWeight(symbol=ETH, weight=0.5)]),
        **{"strategy.max_leverage": 1.0, "execution.fill": "close"},
    )
    assert max(abs(quantity) for _, quantity in job.fills()) <= 5.0 + 1e-9


def test_what_rests_in_another_symbol_takes_its_room(trade: Run) -> None:
    """0.8 rests in BTC at a later bar's decision: 0.2 are left for an order, or for a weight."""
    rests = Order(symbol=BTC, side="buy", type="limit", quantity=4.0, limit_price=1_500.0)
    allowed = {"strategy.max_leverage": 1.0}
    order = Order(symbol=ETH, side="buy", quantity=2.0)
    job = trade(in_turn([rests], [order]), others=[BTC], **allowed)
    assert job.reasons("refused") == ["max_leverage is 1, this would make it 1.2: trade less of it"]
    job = trade(in_turn([rests], {ETH: 1.0}), others=[BTC], **allowed)
    assert job.held() == pytest.approx(1.0)


def test_a_weight_beside_an_order_that_turns_is_refused(trade: Run) -> None:
    """5 held and 10 that wait to be sold are 1 short at worst; at weight 0 they would be 2."""
    turns = Order(symbol=ETH, side="sell", type="limit", quantity=10.0, limit_price=2_000.5)
    job = trade(in_turn(1.0, [turns], 0.0), **{"strategy.max_leverage": 1.01})
    (why,) = job.reasons("refused")
    assert why.endswith("cancel what rests first")


def test_without_shorts_nothing_ends_below_zero(trade: Run) -> None:
    """A negative weight and a sale of more than is held are refused by name; reducing is not."""
    no_short = {"strategy.allow_short": False}
    job = trade(in_turn(-0.5), **no_short)
    assert job.reasons("refused") == ["allow_short is false, the weight is -0.5: answer 0"]
    sale = Order(symbol=ETH, side="sell", quantity=1.0)
    job = trade(in_turn([sale]), **no_short)
    assert job.reasons("refused") == [f"allow_short is false, this would leave -1 {ETH}: sell less"]
    job = trade(in_turn(0.5, [sale], 0.0), **no_short)
    assert job.fills() == [(1, 2.5), (2, -1.0), (3, -1.5)]


def test_a_leverage_to_aim_at_keeps_to_the_limit(trade: Run) -> None:
    """5x of 10,000 would be 50,000; 1.5 times the equity is allowed, 1.2 is traded to."""
    allowed = {"strategy.max_leverage": 1.5}
    job = trade(in_turn(1.0, [TargetLeverage(symbol=ETH, leverage=5.0)]), **allowed)
    assert job.reasons("refused") == ["max_leverage is 1.5, this would make it 5: trade less of it"]
    job = trade(in_turn(1.0, [TargetLeverage(symbol=ETH, leverage=1.2)]), **allowed)
    assert job.fills() == [(1, 5.0), (2, 1.0)]


def test_the_job_is_for_perpetuals_alone(trade: Run, tmp_path: Path) -> None:
    """A bare number means the one perpetual beside spot; a trade in spot is refused."""
    job = trade(in_turn(0.5, {SPOT: 0.5}), others=[SPOT], **{"perpetual.wallet": 9_000.0})
    assert job.fills() == [(1, 0.5 * 19_000.0 / 2_000.0)]
    assert job.reasons("refused") == [
        f"this job trades perpetuals alone, {SPOT} is spot: leave it out"
    ]
    recipe = make_recipe("futures_trading", 5, [SPOT])
    with pytest.raises(RecipeError, match="this job trades perpetuals, the market has"):
        play(recipe, fill_catalog(tmp_path, {SPOT: STILL[:5]}), once())


SWINGS = [2_000.0 * (1 + 0.01 * (-1) ** (k // 2)) for k in range(16)]
wishes = st.one_of(
    st.builds(
        Order,
        symbol=st.sampled_from([ETH, BTC]), side=st.sampled_from(["buy", "sell"]),
        quantity=st.sampled_from([1.0, 3.0, 5.0, 8.0]),
    ),
    st.builds(
        Order,
        symbol=st.sampled_from([ETH, BTC]), side=st.sampled_from(["buy", "sell"]),
        quantity=st.sampled_from([1.0, 4.0, 9.0]),
        type=st.just("limit"), limit_price=st.sampled_from([1_000.0, 1_990.0, 2_010.0, 3_000.0]),
    ),
    st.builds(
        Order,
        symbol=st.sampled_from([ETH, BTC]), side=st.sampled_from(["buy", "sell"]),
        quantity=st.sampled_from([1.0, 4.0, 9.0]),
        type=st.just("stop"), stop_price=st.sampled_from([1.0, 1_990.0, 2_010.0]),
    ),
    st.builds(
        TargetWeight,
        symbol=st.sampled_from([ETH, BTC]), weight=st.sampled_from([-1.0, -0.5, 0.0, 0.4, 1.0]),
    ),
    st.builds(
        TargetLeverage, symbol=st.sampled_from([ETH, BTC]), leverage=st.sampled_from([0.0, 0.5, 2])
    ),
    st.just(Cancel(order_id="all")),
)  # fmt: skip


@pytest.mark.slow
@given(
    answers=st.lists(st.lists(wishes, max_size=3), min_size=8, max_size=15),
    allow_short=st.booleans(),
)
@settings(deadline=None, max_examples=25)
def test_nothing_that_is_asked_for_goes_beyond_the_limits(
    tmp_path_factory: pytest.TempPathFactory, answers: list[list[Action]], *, allow_short: bool
) -> None:
    """Prices that swing by 1 %: the gross stays near 1, whatever rests, and no short is opened."""
    limits = {"strategy.max_leverage": 1.0, "strategy.allow_short": allow_short}
    recipe = make_recipe("futures_trading", len(SWINGS), (ETH, BTC), limits)
    catalog = fill_catalog(tmp_path_factory.mktemp("swings"), dict.fromkeys((ETH, BTC), SWINGS))
    left, seen = list(answers), []

    def agent(observation: Observation) -> object:
        seen.append([observation.weight(symbol) for symbol in (ETH, BTC)])
        return left.pop(0) if left else None

    play(recipe, catalog, agent)
    assert all(sum(map(abs, weights)) < 1.08 for weights in seen)
    assert allow_short or all(min(weights) >= 0.0 for weights in seen)


def test_what_closes_first_leaves_no_room_to_turn(trade: Run) -> None:
    """5 short and closed by one order: 10 more in the same decision would be a long of 2, not 1.

    So with a bracket: its exit may come before the sale that turns, and a weight only closes then.
    """
    allowed = {"strategy.max_leverage": 1.01}
    close = TargetLeverage(symbol=ETH, leverage=0.0)
    turns = Order(symbol=ETH, side="buy", quantity=10.0)
    job = trade(in_turn(-1.0, [close, turns]), **allowed)
    assert job.reasons("refused") == [
        "max_leverage is 1.01, this would make it 2: trade less of it"
    ]
    job = trade(in_turn(-1.0, [turns, close]), **allowed)
    (why,) = job.reasons("refused")
    assert why.endswith("this would make it 2: cancel what rests first")
    entry = Order(symbol=ETH, side="buy", quantity=5.0, stop_loss=1_000.0, take_profit=3_000.0)
    job = trade(in_turn([entry], [replace(turns, side="sell")]), **allowed)
    assert len(job.reasons("refused")) == 1
    job = trade(in_turn([entry], -1.0), **allowed)
    assert job.held() == pytest.approx(0.0, abs=0.06)


def test_an_order_between_two_weights_takes_the_room_of_the_second(trade: Run) -> None:
    """-1 and -1 are halved; 1 ETH sold between them is 0.2, so that 0.3 of 1 are left for BTC."""
    asked = [
        TargetWeight(symbol=ETH, weight=-1.0),
        Order(symbol=ETH, side="sell", quantity=1.0),
        TargetWeight(symbol=BTC, weight=-1.0),
    ]
    job = trade(in_turn(asked), others=[BTC], **{"strategy.max_leverage": 1.0})
    assert job.held(ETH) == -3.5
    assert job.held(BTC) == pytest.approx(-1.5)


RISES = [2_000.0, 2_000.0, 2_000.0, 2_000.0, 2_050.0, 2_050.0, 2_050.0]


@pytest.mark.parametrize(
    "answers",
    [
        (None, "rests", 0.0),
        (None, "rests", [TargetLeverage(symbol=ETH, leverage=0.0)]),
        (None, [Order(symbol=ETH, side="sell", quantity=5.0)] * 2),
        (None, [
            Order(symbol=ETH, side="sell", quantity=5.0, reduce_only=True),
            Order(symbol=ETH, side="sell", quantity=5.0),
        ]),
    ],
)  # fmt: skip
def test_what_rests_opens_no_short_where_none_is_allowed(
    trade: Run, answers: Sequence[object]
) -> None:
    """5 are held and sold twice, by orders, weight or leverage: they are sold once."""
    rests = [Order(symbol=ETH, side="sell", type="limit", quantity=5.0, limit_price=2_040.0)]
    asked = [rests if one == "rests" else one for one in answers]
    job = trade(in_turn(1.0, *asked), RISES, **{"strategy.allow_short": False})
    assert sum(quantity for _, quantity in job.fills()) == 0.0
    assert job.held() == 0.0
    assert not job.reasons("reduced")


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"strategy.leverage": 0.0}, "strategy.leverage must be a finite number > 0, is 0.0"),
        ({"strategy.leverage": "big"}, "strategy.leverage must be a number, is 'big'"),
        ({"strategy.max_leverage": 0}, "strategy.max_leverage must be > 0, is 0"),
        ({"strategy.allow_short": 1}, "strategy.allow_short must be true or false, is 1"),
    ],
)
def test_limits_that_make_no_sense_are_refused(
    trade: Run, settings: dict[str, object], rule: str
) -> None:
    """Before the run, in one line."""
    with pytest.raises(RecipeError) as caught:
        trade(once(), **settings)
    assert rule in str(caught.value)


def test_more_leverage_than_the_contract_grants_is_refused(trade: Run) -> None:
    """Orders would be made smaller without end; 10x is the default of the exchange's side."""
    with pytest.raises(RecipeError, match=r"strategy.leverage is 20, ETH/USDT:USDT is set to 10x"):
        trade(once(), **{"strategy.leverage": 20.0})


# What the loop does with the account --------------------------------------------------------------


def test_a_target_leverage_of_a_cross_account_is_met(trade: Run) -> None:
    """5 ETH of 10,000 are 1x; 2x buys 5 more, 0.5x sells 7.5, 0 the rest; the fill wakes it."""
    answers = [TargetLeverage(symbol=ETH, leverage=level) for level in (2.0, 0.5, 0.0)]
    job = trade(in_turn(1.0, *[[one] for one in answers]))
    assert job.fills() == [(1, 5.0), (2, 5.0), (3, -7.5), (4, -2.5)]


def test_a_target_leverage_without_a_position_is_refused(trade: Run) -> None:
    """It has no side to keep; 0 is there already, and says nothing."""
    job = trade(in_turn([TargetLeverage(symbol=ETH, leverage=2.0)]))
    assert "there is no position in" in job.reasons("refused")[0]
    job = trade(in_turn([TargetLeverage(symbol=ETH, leverage=0.0)]))
    assert not job.reasons("refused")


def test_the_margin_of_what_an_isolated_position_sheds_stays_in_it(trade: Run) -> None:
    """5 ETH at 5x have 2,000 of margin; to 2.5x sells 2.5, and the 1,000 set free back the rest.

    Asked for the same at every bar, nothing more is traded: 5,000 over 2,000 are 2.5x.
    """
    isolated = {"perpetual.margin": "isolated", "perpetual.leverage": 5.0}
    down = [TargetLeverage(symbol=ETH, leverage=2.5)]
    job = trade(in_turn(1.0, down, down, None), STILL[:5], **isolated)
    assert job.fills() == [(1, 5.0), (2, -2.5)]
    position = job.view.position(ETH)
    assert position.margin == pytest.approx(2_000.0)
    assert job.view.wallet == pytest.approx(8_000.0)
    assert "margin of 1000 backs what is left" in job.texts("done")
    job = trade(in_turn(1.0, down, down, down), STILL[:6], **isolated)
    assert job.fills() == [(1, 5.0), (2, -2.5)]


def test_what_a_capped_order_sets_free_backs_what_is_left_fill_by_fill(trade: Run) -> None:
    """A bar fills half of what is to be sold: after each fill all 2,000 of margin are behind it.

    2.5 of 5 ETH in two bars of 1.25: 7,500 over 2,000 are 3.75x, then 2.5x.
    """
    settings = {
        "perpetual.margin": "isolated", "perpetual.leverage": 5.0,
        "execution.participation_cap": 1.25e-6,
    }  # fmt: skip
    down = [TargetLeverage(symbol=ETH, leverage=2.5)]
    job = trade(in_turn(1.0, None, None, None, down), STILL, **settings)
    assert [quantity for _, quantity in job.fills()] == [1.25, 1.25, 1.25, 1.25, -1.25, -1.25]
    assert job.view.position(ETH).margin == pytest.approx(2_000.0)
    assert job.texts("done").count("margin of 500 backs what is left") == 1


def test_other_requests_reach_the_exchange(trade: Run) -> None:
    """Transfers, margin, leverage and mode are carried out by the broker, with the reason."""
    actions = [
        SetMarginMode(symbol=ETH, mode="isolated"),
        SetLeverage(symbol=ETH, leverage=4.0),
        Transfer(source="perpetual", target="spot", amount=1_000.0),
    ]
    buy = [Order(symbol=ETH, side="buy", quantity=1.0)]
    more = Decision(actions=(AddMargin(symbol=ETH, amount=100.0),), reason="to be safe")
    job = trade(in_turn(actions, buy, more))
    position = job.view.position(ETH)
    assert position.is_isolated
    assert position.leverage == 4.0
    assert position.margin == pytest.approx(600.0)
    assert job.view.reserve == pytest.approx(1_000.0)
    assert "to be safe" in job.reasons("sent")


def test_a_bracket_guards_a_short(trade: Run) -> None:
    """A stop above and a take-profit below; the one that is reached closes it, the other goes."""
    entry = Order(symbol=ETH, side="sell", quantity=2.0, stop_loss=2_100.0, take_profit=1_900.0)
    job = trade(in_turn([entry]), [2_000.0, 2_000.0, 1_850.0, 1_850.0])
    assert [quantity for _, quantity in job.fills()] == [-2.0, 2.0]
    assert job.view.equity == pytest.approx(10_200.0)
    job = trade(in_turn([entry]), [2_000.0, 2_000.0, 2_150.0, 2_150.0])
    assert job.held() == 0.0
    assert job.view.equity == pytest.approx(9_800.0)


def test_a_weight_that_closes_never_turns_the_position(trade: Run) -> None:
    """A gap to 1,850 sets off the stop at 1,900 at the open at which all is to be sold: once."""
    entry = Order(symbol=ETH, side="buy", quantity=2.0, stop_loss=1_900.0)
    gap = [2_000.0, 2_000.0, 1_850.0, 1_850.0, 1_850.0]
    job = trade(in_turn([entry], {ETH: 0.0}), gap, flat=True)
    assert job.fills() == [(1, 2.0), (2, -2.0)]
    job = trade(in_turn([entry], [TargetLeverage(symbol=ETH, leverage=0.0)]), gap, flat=True)
    assert job.fills() == [(1, 2.0), (2, -2.0)]


def test_a_bracket_may_listen_to_the_mark(tmp_path: Path) -> None:
    """The last price falls to 1,850 and returns, the mark stands: only the last sets off a stop."""
    prices = [2_000.0, 2_000.0, 1_850.0, 2_000.0, 2_000.0]
    catalog = fill_catalog(tmp_path, {ETH: prices})
    mark = to_candles(ETH, [2_000.0] * 5)
    catalog.write(replace(mark, key=replace(mark.key, kind="mark")), fetched_ms=None)
    recipe = make_recipe("futures_trading", 5, [ETH], {"perpetual.mark.source": "series"})
    for trigger, held in (("last", 0.0), ("mark", 2.0)):
        entry = Order(symbol=ETH, side="buy", quantity=2.0, stop_loss=1_900.0, trigger=trigger)  # type: ignore[arg-type]
        job = play(recipe, catalog, in_turn([entry]))
        assert job.held() == held


def test_reduce_only_reaches_the_exchange(trade: Run) -> None:
    """5 are to be sold of 2: two are, and no short is opened."""
    sale = Order(symbol=ETH, side="sell", quantity=5.0, reduce_only=True)
    job = trade(in_turn([Order(symbol=ETH, side="buy", quantity=2.0)], [sale]))
    assert job.fills() == [(1, 2.0), (2, -2.0)]


def test_a_margin_ratio_wakes_the_agent(trade: Run) -> None:
    """8x of 10,000 is 40 ETH; 0.4 % and 0.5 % of it over what is left: above 0.05 below 1,800.

    At 1,850 there are 4,000 left for 320, 0.08; at 1,950 8,000 for 340, 0.0425.
    """
    seen: list[float] = []

    def agent(observation: Observation) -> Decision:
        assert observation.perpetual is not None
        seen.append(observation.price())
        first = (TargetWeight(symbol=ETH, weight=8.0),) if len(seen) == 1 else ()
        return Decision(actions=first, wake=Wake(ratio_above=0.05))

    trade(agent, [2_000.0, 2_000.0, 1_950.0, 1_850.0, 1_950.0, 1_840.0])
    assert seen == [2_000.0, 1_850.0, 1_840.0]


def test_a_liquidation_shows_and_wakes(trade: Run) -> None:
    """10x falls by 15 %: who waits for fills alone is asked, holds nothing, and sees why."""
    seen: list[tuple[float, bool]] = []

    def agent(observation: Observation) -> Decision:
        assert observation.perpetual is not None
        seen.append((observation.quantities[ETH], observation.perpetual.is_liquidated))
        first = (TargetWeight(symbol=ETH, weight=9.5),) if len(seen) == 1 else ()
        return Decision(actions=first, wake=Wake(at_fill=True))

    job = trade(agent, [2_000.0, 2_000.0, 2_000.0, 1_700.0, 1_700.0])
    assert seen == [(0.0, False), (47.5, False), (0.0, True)]
    assert job.view.equity >= 0.0


# Existing agents ----------------------------------------------------------------------------------

PRICES = (2_000.0 * np.exp(np.cumsum(np.random.default_rng(4).normal(0, 0.01, 120)))).tolist()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("bollinger", {"n": 5, "width": 1.0}), ("buy_and_hold", {}), ("cash", {}),
        ("dca", {"every": "6h"}), ("donchian", {"entry_bars": 6, "exit_bars": 3}),
        ("macd", {"fast": 3, "slow": 6, "signal": 3}), ("rsi", {"n": 3}),
        ("matched_random", {"switches_per_bar": 0.2}), ("rebalance", {"every": "4h"}),
        ("momentum", {"lookback": "24h", "volatility_window": "24h", "every": "4h"}),
        ("sma_cross", {"fast": 2, "slow": 5}), ("fixed_leverage", {}),
        ("volatility_leverage", {"n": 10, "every": "4h"}),
    ],
)  # fmt: skip
def test_every_trading_agent_works_on_a_perpetual(
    trade: Run, name: str, parameters: dict[str, object]
) -> None:
    """Unchanged, on the perpetual as its one symbol, at twice the leverage: it trades, no fault."""
    kind: Any = load(f"agents.{name}")
    agent: Agent = kind(**parameters)
    job = trade(agent, PRICES, **{"strategy.leverage": 2.0})
    assert not job.texts("abstained")
    assert bool(job.fills()) == (name != "cash")
    assert job.view.equity > 0.0
