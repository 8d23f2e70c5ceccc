"""The best policy of a futures position: by hand, against every policy, and against random ones."""

from dataclasses import replace
from itertools import product
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from margin_policies import make_margin_path, make_random_path, play

from seawall.analysis.margin_hindsight import (
    MarginPath,
    MarginStart,
    margin_hindsight,
    to_course,
)
from seawall.analysis.margin_hindsight_kernel import find_best, replay
from seawall.errors import ResultError

# 200 of equity and 5x at 100; a liquidation takes 1 %, the brackets' lowest rate
LONG = MarginStart(quantity=10.0, cash=-800.0, liquidation_fee=0.0125, may_turn=True)


def costly(start: MarginStart) -> MarginStart:
    """Return a start with what an exchange charges."""
    return replace(start, taker_fee=5e-4, half_spread=1e-4, liquidation_fee=0.0125)


def test_a_rise_is_sat_out_and_a_fall_is_shorted() -> None:
    """10 coins at 100 and 200 of equity: +10 % makes 100, then -10 % at 110 makes 110 short."""
    found = margin_hindsight(make_margin_path([100, 110, 99]), LONG)
    assert found.final_equity_usd == pytest.approx(200 + 10 * 10 + 10 * 11)
    assert found.quantity.tolist() == [10.0, 10.0, -10.0]
    assert found.curve == pytest.approx([200, 300, 410])
    assert found.n_rebalances == 1


def test_what_may_not_turn_is_closed_at_most() -> None:
    """The same path on one side: +100, then nothing; a short mirrored makes the same."""
    found = margin_hindsight(make_margin_path([100, 110, 99]), replace(LONG, may_turn=False))
    assert found.final_equity_usd == pytest.approx(300.0)
    assert found.quantity.tolist() == [10.0, 10.0, 0.0]
    short = MarginStart(quantity=-10.0, cash=1_200.0, liquidation_fee=0.0125)
    found = margin_hindsight(make_margin_path([100, 90, 99]), short)
    assert found.final_equity_usd == pytest.approx(300.0)
    assert found.quantity.tolist() == [-10.0, -10.0, 0.0]


def test_costs_are_paid_on_what_is_traded() -> None:
    """A fall from 100 to 99 of 10 coins: turning 20 coins costs 2,000 * 0.1 % = 2, it wins 10."""
    start = replace(LONG, taker_fee=0.001)
    found = margin_hindsight(make_margin_path([100, 99]), start)
    assert found.final_equity_usd == pytest.approx(200 - 2 + 10)
    assert found.costs_usd == pytest.approx(2.0)


def test_a_fall_by_less_than_the_costs_is_sat_out() -> None:
    """From 100 to 99.9 a long loses 1; to close it costs 2."""
    start = replace(LONG, taker_fee=0.002)
    found = margin_hindsight(make_margin_path([100, 99.9]), start)
    assert found.final_equity_usd == pytest.approx(199.0)
    assert found.n_rebalances == 0


def test_a_dip_of_the_mark_forces_the_least_sale_that_survives_it() -> None:
    """200 of equity, 10 coins, a dip to 70 that comes back, 1 % of maintenance, 1 % of costs.

    ``q`` coins survive where ``200 - 10 (10 - q) 0.1 - 30 q > 0.7 q``: 190 = 29.7 q, q = 6.40; on
    the grid of 0.1 it is 6.4, which stands for all above 6.3. 3.5 coins are sold for 3.5, or 3.6.
    """
    start = replace(LONG, taker_fee=0.01)
    path = make_margin_path([100, 100], reach=0.3)
    found = margin_hindsight(replace(path, mark_highs=path.mark_opens), start)
    exact = 200 - (10 - 190 / 29.7)
    assert exact <= found.final_equity_usd <= exact + 0.11
    assert found.quantity[1] == pytest.approx(6.4, abs=0.11)


def test_resolved_for_the_better_a_dip_forces_nothing() -> None:
    """The same bar with its open and close alone is survived as it is."""
    path = make_margin_path([100, 100])
    assert margin_hindsight(path, replace(LONG, taker_fee=0.01)).final_equity_usd == 200.0


def test_funding_is_paid_by_what_is_held_when_the_bar_opens() -> None:
    """0.5 a coin at the second open: 5 are paid, or 10 coins sold at the first open for 4."""
    path = make_margin_path([100, 100, 100], funding=np.array([0.0, 0.5]))
    found = margin_hindsight(path, replace(LONG, taker_fee=0.004))
    # Closed at the first open for 4; short it would have received 5, for 4 more.
    assert found.final_equity_usd == pytest.approx(200 - 4 - 4 + 5)
    dear = margin_hindsight(path, replace(LONG, taker_fee=0.01))
    assert dear.final_equity_usd == pytest.approx(195.0)
    assert dear.funding_usd == pytest.approx(5.0)


def test_no_bar_no_trade() -> None:
    """Where no order can be carried out the fall is suffered; a mark is there all the same."""
    path = make_margin_path([100, 90], opens=np.array([np.nan]))
    found = margin_hindsight(path, LONG)
    # To be liquidated at the open's mark costs 1 % of 1,000.
    assert found.final_equity_usd == pytest.approx(190.0)


def test_the_reserve_survives_a_position_that_is_lost_at_once() -> None:
    """An isolated position with an equity below 0 is left behind, 50 of reserve stay."""
    start = MarginStart(quantity=10.0, cash=-1_100.0, reserve=50.0)
    found = margin_hindsight(make_margin_path([100, 100]), start)
    assert found.final_equity_usd == pytest.approx(50.0)


GRID = (-10.0, -5.0, 0.0, 5.0, 10.0)


@pytest.mark.parametrize("seed", range(4))
def test_no_policy_of_a_small_world_does_better(seed: int) -> None:
    """All 6^4 policies of four bars and five quantities end no higher.

    Where no limit is in the way the best of them is found to 1e-9.
    """
    rng = np.random.default_rng(seed)
    path = make_random_path(rng, 4)
    for cash in (-800.0, 5_000.0):
        start = costly(replace(LONG, cash=cash))
        policies = product((None, *GRID), repeat=4)
        most = max(play(path, start, policy) for policy in policies)
        found = margin_hindsight(path, start, n_states=3).final_equity_usd
        assert found >= most * (1 - 1e-9)
        if cash > 0:
            assert found == pytest.approx(most, rel=1e-9)
        fine = margin_hindsight(path, start, n_states=401).final_equity_usd
        assert fine >= most * (1 - 1e-9)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    is_short=st.booleans(),
    turns=st.booleans(),
    leverage=st.floats(1.2, 12.0),
)
@pytest.mark.slow
def test_no_random_policy_does_better(
    seed: int, leverage: float, *, is_short: bool, turns: bool
) -> None:
    """Random quantities off the grid on a random path, with fees, funding, gaps, liquidations."""
    rng = np.random.default_rng(seed)
    path = make_random_path(rng, 30)
    quantity = -10.0 if is_short else 10.0
    equity = 1_000 / leverage
    start = costly(MarginStart(quantity=quantity, cash=equity - quantity * 100, may_turn=turns))
    low, high = (-10.0, 10.0) if turns else sorted((0.0, quantity))
    path = replace(path, mark_opens=np.concatenate([[100.0], path.mark_opens[1:]]))
    path = replace(
        path,
        mark_lows=np.minimum(path.mark_lows, path.mark_opens),
        mark_highs=np.maximum(path.mark_highs, path.mark_opens),
    )
    most = margin_hindsight(path, start).final_equity_usd
    for _ in range(40):
        chance = rng.random()
        wanted = [
            float(rng.uniform(low, high)) if rng.random() < chance else None for _ in range(30)
        ]
        assert play(path, start, wanted) <= most + 1e-9 * abs(most)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("leverage", [30.0, 45.0])
def test_refining_the_grid_changes_it_by_less_than_1_percent(seed: int, leverage: float) -> None:
    """Hours in turmoil whose marks reach 4 % further, too far for all of the position at first.

    Twice the states find less, by 0.05 % at most; three states err by more than 0.3 %.
    """
    rng = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(rng.standard_t(4, 400) * 0.007 - 0.0008))
    path = make_margin_path(np.concatenate([[100.0], closes]), reach=0.04)
    start = costly(MarginStart(quantity=10.0, cash=1_000 / leverage - 1_000))
    coarse, usual, fine = (
        margin_hindsight(path, start, n_states=n).final_equity_usd for n in (3, 101, 201)
    )
    assert fine == pytest.approx(usual, rel=0.001)
    assert fine <= usual * (1 + 1e-9)
    assert coarse > 1.003 * fine


@pytest.mark.parametrize("seed", range(3))
def test_what_is_replayed_is_what_was_found(seed: int) -> None:
    """The curve of the best policy ends where the search said, and costs explain every jump."""
    path = make_random_path(np.random.default_rng(seed), 200)
    start = costly(replace(LONG, cash=-500.0))
    found = margin_hindsight(path, start)
    marks = np.append(path.mark_opens[:1], path.mark_closes)
    held = found.quantity[1:]
    # at the gap between a close and the next open the quantity before it is what moves
    gaps = found.quantity[:-1] * (path.mark_opens - marks[:-1])
    moved = float((gaps + held * (path.mark_closes - path.mark_opens)).sum())
    gained = found.final_equity_usd - found.curve[0]
    assert gained == pytest.approx(moved - found.costs_usd - found.funding_usd, rel=1e-9)
    assert _search(path, start) == pytest.approx(found.final_equity_usd, rel=1e-9)


def _search(path: MarginPath, start: MarginStart) -> float:
    """Return the best final equity on the same grid by trying all sources of all states."""
    course = to_course(path, start)
    grid = np.linspace(-10, 10, 201)
    held = np.full(201, -inf)
    held[-1], held[100] = start.cash, start.reserve
    apart = grid[None, :] - grid[:, None]  # from row to column
    for bar in range(len(path.opens)):
        held = held - grid * path.funding[bar]
        costs = np.maximum(apart * course.buy[bar], apart * course.sell[bar])
        is_less = (np.abs(grid[None, :]) <= np.abs(grid[:, None])) & (
            grid[None, :] * grid[:, None] >= 0
        )
        leaving = np.where(grid[:, None] > 0, course.leave_long[bar], course.leave_short[bar])
        left = (held[:, None] - np.where(is_less, apart * leaving, inf)).max(axis=0)
        held = np.maximum(held, left)
        held = (held[:, None] - costs).max(axis=0)
        least = np.sign(grid) * (np.abs(grid) - 0.1)
        worst = np.where(grid > 0, path.mark_lows[bar], path.mark_highs[bar])
        mark = path.mark_opens[bar]
        balance = held + grid * mark + least * (worst - mark)
        notional = np.abs(least) * worst
        needed = np.maximum(0.01 * notional, 0.05 * notional - 400)
        is_dead = np.where(np.abs(grid) < 1e-9, held < 0, balance <= needed)
        held = np.where(is_dead, -inf, held)
    return float((held + grid * course.last_mark).max())


def test_a_planted_fault_is_caught() -> None:
    """A bound that forgets the funding it pays is beaten by nobody, and above the true one."""
    path = make_margin_path([100, 103, 106, 109], funding=np.array([0.0, 1.0, 1.0]))
    start = replace(LONG, taker_fee=0.02)
    true = margin_hindsight(path, start).final_equity_usd
    free = margin_hindsight(replace(path, funding=np.zeros(3)), start).final_equity_usd
    assert free == pytest.approx(true + 20.0)
    assert play(path, start, (None,) * 3) == pytest.approx(true)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"mark_lows": np.ones(3)}, "values of mark_lows"),
        ({"mark_closes": np.array([np.nan, 1.0])}, "finite mark_closes"),
        ({"opens": np.array([-1.0, np.nan])}, "above 0"),
        ({"tables": np.zeros((1, 2, 3))}, "brackets"),
    ],
)
def test_paths_that_are_none_are_refused(values: dict[str, object], words: str) -> None:
    """Lengths, gaps and brackets are looked at first."""
    with pytest.raises(ResultError, match=words):
        make_margin_path([100, 110, 121], reach=0.0, basis=0.0, **values)


@pytest.mark.parametrize(
    ("start", "n_states", "words"),
    [
        (LONG, 1, "2 to 8000"),
        (replace(LONG, quantity=0.0), 11, "needs a position"),
        (replace(LONG, reserve=-1.0), 11, "reserve"),
        (replace(LONG, taker_fee=1.0), 11, "taker_fee"),
    ],
)
def test_starts_that_are_none_are_refused(start: MarginStart, n_states: int, words: str) -> None:
    """Each with the rule, the value and the remedy."""
    with pytest.raises(ResultError, match=words):
        margin_hindsight(make_margin_path([100, 110]), start, n_states=n_states)


def test_the_kernels_agree_without_a_trade() -> None:
    """One state that stays: the replay has its cash, and nothing was traded."""
    path = make_margin_path([100, 101, 102])
    course = to_course(path, LONG)
    states = find_best(course, np.array([-10.0, 0.0, 10.0]), np.array([-inf, 0.0, -800.0]))
    assert states.tolist() == [2, 2, 2]
    played = replay(course, np.full(3, 10.0), -800.0)
    assert played[:, 0].tolist() == [-800.0] * 3
    assert not played[:, 1:].any()
