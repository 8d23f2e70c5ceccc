"""The carry job: both legs equal, margin kept, and what happens when a leg fails."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from perpetual_runs import ETH, SPOT, Job, fill_catalog, make_recipe, play

from seawall.action import Order, TargetWeight
from seawall.agent import Decision, Wake
from seawall.errors import RecipeError
from seawall.observation import Observation
from seawall.workspace import load

BTC_SPOT, BTC = "BTC/USDT", "BTC/USDT:USDT"
BOTH = (SPOT, ETH)
STILL = [2_000.0] * 12
COSTS = 0.005
Run = Callable[..., Job]


@pytest.fixture
def carry(tmp_path: Path) -> Run:
    """Return ``carry(agent, prices, **settings)``: spot and perpetual of ETH at one price."""

    def run_it(
        agent: object,
        prices: Sequence[float | None] = STILL,
        spot: Sequence[float | None] | None = None,
        symbols: Sequence[str] = BOTH,
        **given: object,
    ) -> Job:
        recipe = make_recipe("funding_carry", len(prices), symbols, given)
        own = {s: prices if ":" in s or spot is None else spot for s in symbols}
        return play(recipe, fill_catalog(tmp_path, own), agent)

    return run_it


def in_turn(*answers: object) -> Callable[[Observation], object]:
    """Return an agent that gives one answer after another, and then none."""
    left = list(answers)
    return lambda _: left.pop(0) if left else None


def once(answer: float) -> Callable[[Observation], object]:
    """Return an agent that answers a share at the start and then sleeps for good."""
    shares = {ETH: answer}
    actions = tuple(TargetWeight(symbol=s, weight=w) for s, w in shares.items())
    return lambda _: Decision(actions=actions, wake=Wake(after_ms=10**11))


def legs(job: Job) -> tuple[float, float]:
    """Return coin and short at the end."""
    return job.held(SPOT), -job.held(ETH)


# Both legs ----------------------------------------------------------------------------------------


def test_a_share_becomes_two_equal_legs(carry: Run) -> None:
    """All of 10,000 at 2x: 10,000 / 1.505 = 6,644.5 a leg, 3.322 ETH, 3,322 of margin.

    The money is sent first, arrives a bar later, and then both legs trade in one bar.
    """
    job = carry(once(1.0))
    coin, short = legs(job)
    assert coin == short == pytest.approx(10_000.0 / (1.5 + COSTS) / 2_000.0, rel=1e-3)
    assert job.fills(SPOT)[0][0] == job.fills(ETH)[0][0]
    assert len(job.fills(SPOT)) == len(job.fills(ETH)) == 1
    assert job.view.equity == pytest.approx(coin * 2_000.0 / 2.0, rel=2e-3)
    assert job.broker.getvalue() == pytest.approx(10_000.0)


def test_half_a_share_is_half_as_much_and_none_is_none(carry: Run) -> None:
    """0.5 of the equity; 0 closes both, and the margin comes back to the spot side."""
    coin, short = legs(carry(once(0.5)))
    assert coin == short == pytest.approx(5_000.0 / (1.5 + COSTS) / 2_000.0, rel=1e-3)
    job = carry(in_turn(1.0, None, None, None, None, 0.0))
    assert legs(job) == (0.0, 0.0)
    assert job.view.reserve == pytest.approx(10_000.0, abs=60.0)
    assert job.view.equity < 60.0


def test_the_price_does_not_matter_but_the_funding_does(carry: Run) -> None:
    """0.1 % every eight hours on 3.322 ETH at 2,000, received at 08:00: 6.64; the path is none."""
    up = [2_000.0, 2_000.0, 2_000.0, 2_000.0, 2_050.0, 1_990.0, 2_000.0, *[2_000.0] * 5]
    job = carry(once(1.0), up, **{"perpetual.funding.rate": 0.001})
    coin, _ = legs(job)
    assert job.broker.getvalue() == pytest.approx(10_000.0 + 0.001 * coin * 2_000.0)


@given(
    moves=st.lists(st.floats(-0.08, 0.08), min_size=10, max_size=30),
    shares=st.lists(st.sampled_from([None, 0.0, 0.3, 0.7, 1.0]), min_size=1, max_size=20),
    leverage=st.sampled_from([1.0, 2.0, 4.0]),
)
@settings(
    deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_legs_are_equal_at_every_close(
    tmp_path_factory: pytest.TempPathFactory,
    moves: list[float],
    shares: list[float],
    leverage: float,
) -> None:
    """Whatever the path and the answers: no bar closes with a naked leg, nor is one liquidated.

    Without costs and funding the equity is that of the start, whatever the price does.
    """
    prices = [2_000.0]
    for move in moves:
        prices.append(prices[-1] * (1 + move))
    gaps: list[float] = []

    def agent(observation: Observation) -> float | None:
        held = observation.quantities
        gaps.append(held[SPOT] + held[ETH])
        return shares[len(gaps) % len(shares)]

    recipe = make_recipe("funding_carry", len(prices), BOTH, {"strategy.leverage": leverage})
    catalog = fill_catalog(tmp_path_factory.mktemp("carry"), dict.fromkeys(BOTH, prices))
    job = play(recipe, catalog, agent)
    assert max(map(abs, gaps)) < 1e-9
    assert not job.broker.futures.events
    assert not job.reasons("rejected")
    assert job.broker.getvalue() == pytest.approx(10_000.0)


# Margin -------------------------------------------------------------------------------------------


def test_a_rising_price_is_answered_by_smaller_legs_and_more_margin(carry: Run) -> None:
    """Up by a half, past where the short would be liquidated at 2x: the wallet is topped up."""
    rises = [2_000.0] * 4 + [2_000.0 * 1.06**k for k in range(1, 12)]
    job = carry(once(1.0), rises)
    coin, short = legs(job)
    assert coin == pytest.approx(short)
    assert coin < 0.75 * job.fills(SPOT)[0][1]
    assert not job.broker.futures.events
    assert job.view.margin_ratio < 0.02
    assert job.broker.getvalue() == pytest.approx(10_000.0)


def test_the_margin_ratio_sets_off_the_rebalancing_too(carry: Run) -> None:
    """With a band that never bites, a ratio of 0.02 at +30 % does."""
    rises = [2_000.0] * 4 + [2_000.0 * 1.05**k for k in range(1, 8)]
    wide = {"strategy.band": 0.99}
    left = carry(once(1.0), rises, **wide)
    assert len(left.fills(SPOT)) == 1
    job = carry(once(1.0), rises, **{**wide, "strategy.rebalance_at": 0.02})
    assert len(job.fills(SPOT)) > 1
    assert job.view.margin_ratio < left.view.margin_ratio


def test_two_pairs_share_what_one_number_says(carry: Run) -> None:
    """Half each; a mapping by base, spot or perpetual says what each has."""
    symbols = (SPOT, ETH, BTC_SPOT, BTC)
    job = carry(in_turn(1.0), symbols=symbols)
    each = 5_000.0 / (1.5 + COSTS) / 2_000.0
    assert job.held(SPOT) == pytest.approx(each, rel=1e-2)
    assert job.held(BTC) == pytest.approx(-each, rel=1e-2)
    job = carry(in_turn({"ETH": 0.2, BTC_SPOT: 0.4}), symbols=symbols)
    assert job.held(BTC) == pytest.approx(2.0 * job.held(ETH), rel=1e-2)


# What goes wrong ----------------------------------------------------------------------------------


def test_a_switch_between_pairs_does_not_depend_on_their_order(carry: Run) -> None:
    """From all in ETH to all in BTC is one decision, whichever of the two is named first."""
    symbols = (SPOT, ETH, BTC_SPOT, BTC)
    for shares in ({"BTC": 1.0, "ETH": 0.0}, {"ETH": 0.0, "BTC": 1.0}):
        job = carry(in_turn({"ETH": 1.0}, *[None] * 4, shares), [2_000.0] * 20, symbols=symbols)
        assert not job.reasons("refused")
        assert job.held(ETH) == 0.0
        assert job.held(BTC) < -3.0


def test_an_isolated_margin_is_refused_before_the_run(carry: Run) -> None:
    """What the job moves into the wallet would not reach the shorts: by section or by contract."""
    by_section: dict[str, object] = {"perpetual.margin": "isolated"}
    by_contract: dict[str, object] = {"perpetual.contracts": {ETH: {"margin": "isolated"}}}
    for isolated in (by_section, by_contract):
        with pytest.raises(RecipeError, match=r"margin must be cross, is isolated .* margin = .cr"):
            carry(once(1.0), **isolated)


def test_a_leg_that_fails_does_not_leave_the_other_naked(carry: Run) -> None:
    """No order of the perpetual is large enough for the exchange: the coin is sold at the next bar.

    Bought at the second open, sold at the third, noted, and for a day not tried again: the margin
    goes back meanwhile, and is sent once more.
    """
    refused = {"instruments": {ETH: {"min_notional": 1e9}}}
    job = carry(once(1.0), [2_000.0] * 34, **refused)
    assert [hour for hour, _ in job.fills(SPOT)] == [2, 3, 28, 29]
    assert legs(job) == (0.0, 0.0)
    assert job.texts("note")[0] == "the legs differ: 3.322 of coin, 0 sold short"
    assert job.broker.getvalue() == pytest.approx(10_000.0)


def test_a_liquidated_short_is_followed_by_its_coin(carry: Run) -> None:
    """A jump of 60 % in one bar liquidates a 2x short; the coin is sold at the next open."""
    jumps = [2_000.0] * 5 + [3_200.0] * 7
    job = carry(once(1.0), jumps)
    assert job.broker.futures.events
    coin, short = legs(job)
    assert coin == pytest.approx(short, abs=1e-9)
    notes = job.texts("note")
    assert notes
    assert notes[0].startswith("the legs differ: 3.32")
    assert notes[0].endswith(" of coin, 0 sold short")
    (hour,) = {hour for hour, quantity in job.fills(SPOT) if quantity < 0}
    assert hour == 6
    assert len(job.fills(SPOT)) == 2  # and for a day it is not built again


def test_a_leg_that_cannot_trade_waits(carry: Run) -> None:
    """Spot has no bars for five hours, in which the agent leaves: both legs trade afterwards."""
    spot = [2_000.0] * 5 + [None] * 5 + [2_000.0] * 5
    job = carry(in_turn(1.0, *[None] * 5, 0.0), [2_000.0] * 15, spot)
    assert legs(job) == (0.0, 0.0)
    assert job.fills(SPOT)[-1][0] == job.fills(ETH)[-1][0]
    assert not job.texts("note")


def test_a_short_without_its_coin_is_reduced_when_margin_is_thin(carry: Run) -> None:
    """Spot stands still and the perpetual rises by a half: part of the short is bought back."""
    rises = [2_000.0] * 4 + [2_000.0 * 1.05**k for k in range(1, 12)]
    spot = [2_000.0] * 4 + [None] * 10 + [rises[-1]]
    job = carry(once(1.0), rises, spot, **{"strategy.rebalance_at": 0.02})
    assert not job.broker.futures.events
    assert any("does not trade" in text for text in job.texts("note"))


def test_what_is_no_share_is_refused(carry: Run) -> None:
    """More than all, less than none, an order, and what has no other leg."""
    job = carry(in_turn(1.5, -0.5, [Order(symbol=SPOT, side="buy", quantity=1.0)]))
    assert job.reasons("refused") == [
        "a share of the equity is from 0 to 1, is 1.5",
        "a share of the equity is from 0 to 1, is -0.5",
        "this job trades both legs by itself: answer the share of the equity in them",
    ]
    symbols = (SPOT, ETH, BTC_SPOT, BTC)
    job = carry(in_turn({"ETH": 0.6, "BTC": 0.6}), symbols=symbols)
    assert (
        job.reasons("refused")
        == ["all shares together must be at most 1, this would make them 1.2"] * 2
    )
    job = carry(in_turn({"DOGE": 0.6}))
    assert job.texts("abstained")[0].startswith("AgentError: there is no pair 'DOGE'")


@pytest.mark.parametrize(
    ("given_settings", "rule"),
    [
        ({"strategy.leverage": 0.0}, "strategy.leverage must be a finite number > 0, is 0.0"),
        ({"strategy.leverage": 20.0}, "strategy.leverage is 20, ETH/USDT:USDT is set to 10x"),
        ({"strategy.rebalance_at": 1.0}, "strategy.rebalance_at must be > 0 and < 1, is 1.0"),
        ({"strategy.band": 0.0}, "strategy.band must be > 0 and < 1, is 0.0"),
        ({"strategy.band": "x"}, "strategy.band must be a number, is 'x'"),
    ],
)
def test_limits_that_make_no_sense_are_refused(
    carry: Run, given_settings: dict[str, object], rule: str
) -> None:
    """Before the run, in one line."""
    with pytest.raises(RecipeError) as caught:
        carry(in_turn(), **given_settings)
    assert rule in str(caught.value)


def test_a_pair_has_two_legs(carry: Run) -> None:
    """A perpetual alone is none."""
    with pytest.raises(RecipeError, match="funding_carry needs spot and perpetual of a base"):
        carry(in_turn(), symbols=[ETH])


def test_the_shipped_agent_enters_and_leaves(carry: Run) -> None:
    """0.01 % at every settlement is 11 % a year: in after two, and it stays."""
    agent = load("agents.funding_threshold")(n=2)
    job = carry(agent, [2_000.0] * 30, **{"perpetual.funding.rate": 0.0001})
    coin, short = legs(job)
    assert coin == short > 3.0
    assert job.fills(SPOT)[0][0] > 8
