"""The job that guards a leveraged position: what it permits, what it refuses, in which words."""

from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path

import pytest
from perpetual_runs import ETH, SPOT, Job, fill_catalog, make_recipe, play

from seawall.action import Action, Order, TargetWeight
from seawall.agent import Agent, Decision, Wake
from seawall.errors import RecipeError
from seawall.observation import Observation
from seawall.perpetual_action import AddMargin, TargetLeverage, Transfer
from seawall.units import HOUR_MS
from seawall.workspace import load

BTC = "BTC/USDT:USDT"
STILL = [2_000.0] * 10
FALLS = [2_000.0, 1_900.0, 1_800.0, 1_700.0, 1_650.0, 1_615.0, 1_605.0, 1_590.0, 1_500.0, 1_400.0]
"""An isolated 5x long of 2,000 is liquidated at 1,606.4: 16,000 / 9.96 for 10 ETH."""
Run = Callable[..., Job]


@pytest.fixture
def guard(tmp_path: Path) -> Run:
    """Return ``guard(agent, prices, **settings)``: 10 ETH at 5x isolated, 10,000 in reserve."""

    def run_it(
        agent: object,
        prices: Sequence[float] = STILL,
        others: Sequence[str] = (),
        **settings: object,
    ) -> Job:
        symbols = (ETH, *others)
        given = {
            "perpetual.margin": "isolated",
            "perpetual.position.quantity": 10.0,
            "perpetual.position.leverage": 5.0,
            **settings,
        }
        recipe = make_recipe("margin_protection", len(prices), symbols, given)
        return play(recipe, fill_catalog(tmp_path, dict.fromkeys(symbols, prices)), agent)

    return run_it


def in_turn(*answers: object) -> Callable[[Observation], object]:
    """Return an agent that gives one answer after another, and then none."""
    left = list(answers)
    return lambda _: left.pop(0) if left else None


def every_bar(*actions: object) -> Callable[[Observation], object]:
    """Return an agent that asks for the same at each bar."""
    return lambda _: list(actions)


def add(amount: float) -> list[AddMargin]:
    """Return an addition of margin."""
    return [AddMargin(symbol=ETH, amount=amount)]


def make(name: str, **parameters: object) -> Agent:
    """Return a shipped agent."""
    agent: Agent = load(f"agents.{name}")(**parameters)
    return agent


# What it lets be done -----------------------------------------------------------------------------


def test_left_alone_the_position_is_liquidated(guard: Run) -> None:
    """At 1,606.4 on the way from 1,615 to 1,605, in tier 1, all of it; the reserve is untouched."""
    job = guard(make("do_nothing"), FALLS)
    ((_, event),) = job.broker.futures.events
    assert event[4] == pytest.approx(16_000.0 / 9.96)
    assert job.held() == 0.0
    assert job.view.reserve == 10_000.0


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("add_margin_at_ratio", {"trigger": 0.1, "target": 0.02}),
        ("reduce_at_margin_ratio", {"trigger": 0.06, "target": 0.02}),
    ],
)
def test_a_guard_saves_what_it_is_given(
    guard: Run, name: str, parameters: dict[str, object]
) -> None:
    """On the same way down, isolated or cross; no action is refused, none is missing."""
    for mode in ("isolated", "cross"):
        job = guard(make(name, **parameters), FALLS, **{"perpetual.margin": mode})
        assert not job.broker.futures.events
        assert not job.texts("refused")
        assert not job.texts("failed")
        assert job.held() > 0.0
        assert job.view.margin_ratio < 0.5


@pytest.mark.parametrize("fee_bps", [0.0, 5.0])
def test_reducing_an_isolated_position_takes_it_to_its_target_within_one_bar(
    guard: Run, fee_bps: float
) -> None:
    """At 1,700 the ratio of 68 / 1,000 is above 0.05; 0.02 is 0.4 % of 5x, which it has at once.

    In the bar in which it is reduced the mark falls to 1,590, below the 1,606.4 at which it would
    have ended; without a fee 5,000 of notional are kept on the 1,000.
    """
    agent = make("reduce_at_margin_ratio", trigger=0.05, target=0.02)
    settings = {"perpetual.taker_fee_bps": fee_bps}
    still = guard(agent, [2_000.0, 1_900.0, 1_700.0, 1_700.0], **settings)
    ((_, quantity),) = still.fills()
    wanted = (68.0 - 20.0) / (0.004 - 0.02 * fee_bps * 1e-4) / 1_700.0
    assert -quantity == pytest.approx(wanted, abs=1e-3)  # on the lot
    assert still.view.position().real_leverage == pytest.approx(5.0, rel=1e-3)
    assert still.view.wallet == pytest.approx(0.0, abs=1e-9)
    falls = guard(agent, [2_000.0, 1_900.0, 1_700.0, 1_590.0], **settings)
    assert not falls.broker.futures.events


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_guard_with_a_distance_is_woken_where_it_acts(guard: Run, side: float) -> None:
    """Long 5x: 15 % above 1,606.4 is 1,889.9, short: 15 % below 2,390.4 is 2,078.6; not before.

    Then it is 30 % away: a leverage of 1 / (0.3 + 0.4 % of 0.7, or of 1.3).
    """
    for move, acts in ((105.0 if side > 0 else 75.0, False), (115.0 if side > 0 else 85.0, True)):
        price = 2_000.0 - side * move
        job = guard(
            make("reduce_at_margin_ratio"), [2_000.0, price, price],
            **{"perpetual.position.quantity": side * 10.0},
        )  # fmt: skip
        assert bool(job.fills()) == acts
    leverage = 1.0 / (0.3 + 0.004 * (1.0 - side * 0.3))
    assert job.view.position().real_leverage == pytest.approx(leverage, rel=1e-3)
    assert job.view.position().distance == pytest.approx(0.3, rel=2e-3)


def test_a_bare_number_is_the_leverage_of_the_guarded_position(guard: Run) -> None:
    """2.5x of 4,000 are 10,000: 5 ETH are sold; 0.0 closes what is left."""
    job = guard(in_turn(2.5), STILL, [BTC, SPOT])
    assert job.fills() == [(1, -5.0)]
    job = guard(in_turn(2.5, None, 0.0), STILL)
    assert [quantity for _, quantity in job.fills()] == [-5.0, -5.0]
    assert job.held() == 0.0


def test_the_job_guards_the_position_it_is_told(guard: Run) -> None:
    """Without a word from the session it is the market's first perpetual."""
    job = guard(in_turn(), STILL, [BTC])
    assert job.strategy.guarded == ETH


def test_a_hedge_in_another_market_is_allowed(guard: Run) -> None:
    """BTC is sold short on the cross wallet, and coin may be bought for cash."""
    short = Order(symbol=BTC, side="sell", quantity=1.0)
    coin = Order(symbol=SPOT, side="buy", quantity=1.0)
    settings = {"perpetual.wallet": 5_000.0, "perpetual.contracts": {BTC: {"margin": "cross"}}}
    job = guard(in_turn([short, coin]), STILL, [BTC, SPOT], **settings)
    assert job.fills(BTC) == [(1, -1.0)]
    assert job.fills(SPOT) == [(1, 1.0)]


# Limits -------------------------------------------------------------------------------------------


def test_the_position_may_not_grow(guard: Run) -> None:
    """10 ETH are the most there may be, by order, weight or leverage; back to 10 is allowed."""
    grow = "may_increase is false, this would make it 11 of 10 at the start: trade less of it"
    buy = Order(symbol=ETH, side="buy", quantity=1.0)
    assert guard(in_turn([buy])).reasons("refused") == [grow]
    # The equity is 14,000: 11 ETH weigh 22,000 of it.
    weight = TargetWeight(symbol=ETH, weight=22.0 / 14.0)
    assert guard(in_turn([weight])).reasons("refused") == [grow]
    (why,) = guard(in_turn(9.0), **{"perpetual.margin": "cross"}).reasons("refused")
    assert why.startswith("may_increase is false, this would make it 18 of 10")
    cross = {"perpetual.margin": "cross", "perpetual.wallet": 5_000.0}
    sell = Order(symbol=ETH, side="sell", quantity=2.0)
    job = guard(in_turn([sell], [buy], [buy], [buy]), **cross)
    assert job.fills() == [(1, -2.0), (2, 1.0), (3, 1.0)]
    assert job.reasons("refused") == [grow]


def test_resting_orders_count_towards_the_size(guard: Run) -> None:
    """After a sale of 2, a buy of 2 that rests leaves no room for another; its exits take none."""
    sell = Order(symbol=ETH, side="sell", quantity=2.0)
    rests = Order(symbol=ETH, side="buy", type="limit", quantity=2.0, limit_price=1_000.0)
    more = Order(symbol=ETH, side="buy", quantity=1.0)
    job = guard(in_turn([sell], [rests], [more]), **{"perpetual.margin": "cross"})
    assert len(job.reasons("refused")) == 1


def test_a_job_may_let_the_position_grow(guard: Run) -> None:
    """Then an order of 1 ETH more passes."""
    buy = Order(symbol=ETH, side="buy", quantity=1.0)
    job = guard(in_turn([buy]), **{"strategy.may_increase": True, "perpetual.wallet": 1_000.0})
    assert job.held() == 11.0


def test_the_position_is_never_turned(guard: Run) -> None:
    """A sale of 11 of 10 would leave a short; with reduce_only it closes. So for a short."""
    sell = Order(symbol=ETH, side="sell", quantity=11.0)
    (why,) = guard(in_turn([sell])).reasons("refused")
    assert why == f"this job guards a long, this would leave -1 {ETH}: send it reduce_only"
    closes = Order(symbol=ETH, side="sell", quantity=11.0, reduce_only=True)
    assert guard(in_turn([closes])).held() == 0.0
    short = {"perpetual.position.quantity": -10.0, "strategy.may_increase": True}
    buy = Order(symbol=ETH, side="buy", quantity=11.0)
    (why,) = guard(in_turn([buy]), **short).reasons("refused")
    assert why == f"this job guards a short, this would leave 1 {ETH}: send it reduce_only"


@pytest.mark.parametrize(
    "close", [TargetLeverage(symbol=ETH, leverage=0.0), TargetWeight(symbol=ETH, weight=0.0)]
)
def test_a_sale_that_rests_does_not_turn_what_is_closed(guard: Run, close: Action) -> None:
    """10 wait to be sold at 2,040 when all is closed: the price gets there, and nothing is held."""
    rests = Order(symbol=ETH, side="sell", type="limit", quantity=10.0, limit_price=2_040.0)
    rises = [2_000.0, 2_000.0, 2_000.0, 2_050.0, 2_050.0]
    job = guard(in_turn([rests], [close]), rises)
    assert [quantity for _, quantity in job.fills()] == [-10.0]
    assert job.held() == 0.0


def test_a_weight_counts_what_rests_on_its_side(guard: Run) -> None:
    """Of 10, 9 are sold, and 9 wait to be bought back: a weight back to 10 would make it 19."""
    cross = {"perpetual.margin": "cross", "perpetual.wallet": 10_000.0}
    sell = Order(symbol=ETH, side="sell", quantity=9.0)
    rests = Order(symbol=ETH, side="buy", type="limit", quantity=9.0, limit_price=1_950.0)
    back = TargetWeight(symbol=ETH, weight=20_000.0 / 24_000.0)
    more = TargetLeverage(symbol=ETH, leverage=1.0)
    job = guard(in_turn([sell], [rests], [back], [more], None), STILL, **cross)
    refused = job.reasons("refused")
    assert len(refused) == 2
    assert all(one.startswith("may_increase is false, this would make it ") for one in refused)
    assert job.held() == 1.0


def test_what_rests_on_spot_takes_its_part_of_the_reserve(guard: Run) -> None:
    """Of 2,000 free, 1,900 wait for a coin: a second one, or 101 of margin, does not fit beside."""
    kept = {"strategy.min_reserve": 8_000.0}
    rests = Order(symbol=SPOT, side="buy", type="limit", quantity=1.0, limit_price=1_900.0)
    for later in (rests, *add(101.0)):
        job = guard(in_turn([rests], [later]), STILL, [SPOT], **kept)
        assert len(job.reasons("refused")) == 1
        assert len(guard(in_turn([rests, later]), STILL, [SPOT], **kept).reasons("refused")) == 1
    job = guard(in_turn([rests], add(inf)), STILL, [SPOT], **kept)
    assert job.view.reserve == pytest.approx(9_900.0)


def test_the_fee_of_a_coin_comes_out_of_the_reserve_too(guard: Run) -> None:
    """1 ETH at 2,000 with 0.1 % is 2,002: of 2,001 free it is refused, by order or by weight."""
    settings = {"strategy.min_reserve": 7_999.0, "costs.taker_fee_bps": 10.0}
    weight = TargetWeight(symbol=SPOT, weight=2_000.0 / 14_000.0)
    for action in (Order(symbol=SPOT, side="buy", quantity=1.0), weight):
        job = guard(in_turn([action]), STILL, [SPOT], **settings)
        assert job.reasons("refused")[0].startswith(
            "min_reserve is 7,999.00, this would leave 7,99"
        )
        assert not guard(
            in_turn([action]), STILL, [SPOT], **{**settings, "strategy.min_reserve": 7_998.0}
        ).reasons("refused")  # fmt: skip


def test_the_fees_of_what_rests_count_as_spent(guard: Run) -> None:
    """Sales that wait cost 1.05 each once they fill: of 2.5 two are allowed, at a bar or later."""
    rests = Order(symbol=ETH, side="sell", type="limit", quantity=1.0, limit_price=2_100.0)
    settings = {"strategy.max_spend": 2.5, "perpetual.taker_fee_bps": 5.0}
    for answers in ([[rests, rests, rests]], [[rests], [rests], [rests]]):
        job = guard(in_turn(*answers), STILL, **settings)
        assert job.reasons("refused") == ["max_spend is 2.50, this would make it 3.15"]


def test_the_reserve_is_kept(guard: Run) -> None:
    """Of 10,000, 9,000 have to stay: 1,500 are too much, 600 and then 600 too, all is 1,000."""
    kept = {"strategy.min_reserve": 9_000.0}
    too_much = "min_reserve is 9,000.00, this would leave {} in the reserve: take less out of it"
    job = guard(in_turn(add(1_500.0)), **kept)
    assert job.reasons("refused") == [too_much.format("8,500.00")]
    job = guard(in_turn([*add(600.0), *add(600.0)]), **kept)
    assert job.reasons("refused") == [too_much.format("8,800.00")]
    job = guard(in_turn(add(inf)), **kept)
    assert job.view.reserve == pytest.approx(9_000.0)
    assert job.view.position(ETH).margin == pytest.approx(5_000.0)
    sent = Transfer(source="spot", target="perpetual", amount=inf)
    job = guard(in_turn([sent], [sent]), **kept)
    assert job.view.reserve == pytest.approx(9_000.0, abs=1e-3)
    assert job.view.wallet == pytest.approx(1_000.0, abs=1e-3)


def test_coin_is_bought_out_of_the_reserve_too(guard: Run) -> None:
    """1 ETH costs 2,000, and 1,000 are free."""
    buy = Order(symbol=SPOT, side="buy", quantity=1.0)
    job = guard(in_turn([buy]), STILL, [SPOT], **{"strategy.min_reserve": 9_000.0})
    assert job.reasons("refused")[0].startswith("min_reserve is 9,000.00, this would leave 8,000")


def test_the_agent_sees_what_is_free(guard: Run) -> None:
    """10,000 less 9,000: who adds what is missing asks for no more than that."""
    seen: list[float] = []

    def agent(observation: Observation) -> None:
        assert observation.perpetual is not None
        seen.append(observation.perpetual.reserve)

    guard(agent, **{"strategy.min_reserve": 9_000.0})
    assert set(seen) == {1_000.0}


def test_what_the_futures_wallet_gives_does_not_touch_the_reserve(guard: Run) -> None:
    """500 lie in the wallet: 500 of margin cost no reserve, 501 would cost 1."""
    job = guard(
        in_turn(add(500.0), add(501.0)),
        **{"strategy.min_reserve": 10_000.0, "perpetual.wallet": 500.0},
    )
    assert job.view.position(ETH).margin == pytest.approx(4_500.0)
    assert len(job.reasons("refused")) == 1


def test_fees_are_spent_up_to_a_limit(guard: Run) -> None:
    """5 bps of 2,000 are 1 for each ETH: two sales of 1 fit into 2.5, a third does not."""
    sell = Order(symbol=ETH, side="sell", quantity=1.0)
    job = guard(
        every_bar(sell), STILL[:6],
        **{"strategy.max_spend": 2.5, "perpetual.taker_fee_bps": 5.0},
    )  # fmt: skip
    assert len(job.fills()) == 2
    assert set(job.reasons("refused")) == {"max_spend is 2.50, this would make it 3.00"}
    job = guard(
        in_turn([sell, sell, sell]), STILL[:6],
        **{"strategy.max_spend": 2.5, "perpetual.taker_fee_bps": 5.0},
    )  # fmt: skip
    assert len(job.fills()) == 2


def test_transfers_are_spent_and_margin_may_still_be_added(guard: Run) -> None:
    """A transfer of 100 costs 3: nothing is left of 2 for a trade, and margin goes on."""
    sell = Order(symbol=ETH, side="sell", quantity=1.0)
    job = guard(
        in_turn(add(100.0), None, None, [sell], add(100.0)), STILL,
        **{"strategy.max_spend": 2.0, "perpetual.transfer.cost": 3.0, "perpetual.taker_fee_bps": 5},
    )  # fmt: skip
    assert job.reasons("refused") == ["max_spend is 2.00, this would make it 4.00"]
    assert job.view.position(ETH).margin == pytest.approx(4_200.0)


def test_actions_are_counted_by_the_day(guard: Run) -> None:
    """Two a day over two days; a target that is met already is none."""
    job = guard(every_bar(*add(1.0)), [2_000.0] * 48, **{"strategy.max_actions_per_day": 2})
    assert len(job.broker.futures.transfers) == 4
    assert set(job.reasons("refused")) == {"max_actions_per_day is 2: wait for tomorrow"}
    met = TargetLeverage(symbol=ETH, leverage=5.0)
    job = guard(in_turn([met, *add(1.0)]), **{"strategy.max_actions_per_day": 1})
    assert not job.reasons("refused")


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"strategy.min_reserve": -1.0}, "min_reserve must be a finite number >= 0, is -1.0"),
        ({"strategy.max_spend": 0}, "strategy.max_spend must be > 0, is 0"),
        ({"strategy.max_actions_per_day": 0}, "strategy.max_actions_per_day must be > 0"),
        ({"strategy.max_spend": "much"}, "strategy.max_spend must be a number, is 'much'"),
        ({"strategy.may_increase": 1}, "strategy.may_increase must be true or false, is 1"),
    ],
)
def test_limits_that_make_no_sense_are_refused(
    guard: Run, settings: dict[str, object], rule: str
) -> None:
    """Before the run, in one line."""
    with pytest.raises(RecipeError) as caught:
        guard(in_turn(), **settings)
    assert rule in str(caught.value)


def test_the_job_needs_a_perpetual(tmp_path: Path) -> None:
    """On spot alone there is no position to guard."""
    recipe = make_recipe("margin_protection", 5, [SPOT])
    with pytest.raises(RecipeError, match="guards a leveraged position, the market has"):
        play(recipe, fill_catalog(tmp_path, {SPOT: STILL[:5]}), in_turn())


def test_a_guard_is_woken_by_the_ratio_and_not_before(guard: Run) -> None:
    """5x: 0.4 % of the notional over what is left passes 0.06 between 1,700 and 1,650.

    At 1,700 there are 1,000 left for 68, 0.068; at 1,800 2,000 for 72, 0.036.
    """
    seen: list[float] = []

    def agent(observation: Observation) -> Decision:
        seen.append(observation.price())
        return Decision(wake=Wake(ratio_above=0.06, after_ms=1_000 * HOUR_MS))

    guard(agent, FALLS[:5])
    assert seen == [2_000.0, 1_700.0, 1_650.0]
