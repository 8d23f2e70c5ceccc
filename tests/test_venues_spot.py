"""The kernels of the spot venue: worked examples, and what holds for any numbers."""

from math import inf, isnan, nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.venues.spot import (
    Offer,
    Rules,
    Wallet,
    attempt,
    compute_capacity,
    compute_cost,
    execute,
    find_affordable,
    find_limit_price,
    find_quantity_for_cash,
    find_quantity_for_weight,
    find_stop_price,
    find_taker_price,
    find_trail_stop,
    is_below_minimum,
    round_down,
    round_price,
    settle,
)

FREE = Rules(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, False)


def make_rules(**changes: Any) -> Rules:
    """Return frictionless rules with some changes."""
    return FREE._replace(**changes)


def buy_at(
    price: float, *, volume: float = nan, capacity: float = inf, limit: float = inf
) -> Offer:
    """Return what the market offers to a buyer who takes."""
    return Offer(price, limit, volume, capacity, True)


def rules() -> st.SearchStrategy[Rules]:
    """Return any rules without fee debt."""
    fractions = st.sampled_from([0.0, 0.0001, 0.004])
    return st.builds(
        Rules, fractions, fractions, fractions, st.sampled_from([0.0, 0.001, 0.1]),
        st.sampled_from([0.0, 0.00147]), st.sampled_from([0.0, 1e-5, 0.1]),
        st.just(0.0), st.just(False),
    )  # fmt: skip


prices = st.floats(1e-4, 1e6)
amounts = st.floats(1e-3, 1e9)


@settings(max_examples=300, deadline=None)
@given(cash=amounts, price=prices, volume=st.one_of(st.just(nan), amounts), rules=rules())
def test_affordable_is_the_largest_that_the_cash_pays(
    cash: float, price: float, volume: float, rules: Rules
) -> None:
    """Its cost is within the cash, and a little more would not be."""
    offer = buy_at(price, volume=volume)
    quantity = find_affordable(cash, offer, rules)
    assert quantity == 0 or compute_cost(quantity, offer, rules) <= cash
    more = quantity + rules.lot_size if rules.lot_size else quantity * (1 + 1e-9)
    if quantity and cash / price < 1e9:
        assert compute_cost(more * (1 + 1e-9), offer, rules) > cash * (1 - 1e-9)


@settings(max_examples=300, deadline=None)
@given(
    side=st.sampled_from([1.0, -1.0]), wanted=amounts, price=prices, rules=rules(),
    cash=st.one_of(st.just(0.0), amounts), held=st.one_of(st.just(0.0), amounts),
    capacity=st.one_of(st.just(inf), amounts),
)  # fmt: skip
def test_execution_stays_within_wallet_and_capacity(
    *,
    side: float,
    wanted: float,
    price: float,
    rules: Rules,
    cash: float,
    held: float,
    capacity: float,
) -> None:
    """Never more than wanted, offered, held or paid for; the cash after it is >= 0."""
    offer = Offer(price, inf if side > 0 else 0.0, 1e6, capacity, True)
    wanted = min(wanted, held) if side < 0 else wanted
    found = execute(side, wanted, offer, Wallet(cash, held), rules)
    assert 0 <= found.quantity <= min(wanted, capacity) * (1 + 2e-9) + 1e-9 * rules.lot_size
    if found.quantity:
        assert settle(side, cash, found.quantity * found.price, found.fee) >= 0
        assert found.slippage >= 0
        assert side * (found.price - price) >= 0
    if side < 0:
        assert found.quantity <= held


@settings(max_examples=200, deadline=None)
@given(side=st.sampled_from([1.0, -1.0]), cash=amounts, price=prices, rules=rules())
def test_cash_sizes_to_its_notional(side: float, cash: float, price: float, rules: Rules) -> None:
    """Quantity times average price is the cash asked for."""
    offer = Offer(price, inf if side > 0 else 0.0, cash / price * 5, inf, True)
    quantity = find_quantity_for_cash(side, cash, offer, rules)
    assert quantity * find_taker_price(side, quantity, offer, rules) == pytest.approx(
        cash, rel=1e-9
    )


@settings(max_examples=200, deadline=None)
@given(quantity=st.floats(0, 1e6), step=st.sampled_from([0.1, 0.01, 1e-5, 1.0]))
def test_rounding_is_down_and_stable(quantity: float, step: float) -> None:
    """At most a step is lost, nothing is won, and what is on the grid stays."""
    once = round_down(quantity, step)
    assert quantity - step <= once <= quantity + 1e-9 * step + 1e-9 * quantity
    assert round_down(once, step) == once


def test_rounding_knows_that_three_tenths_are_three_steps() -> None:
    """0.3 / 0.1 is 2.9999999999999996 in floating point; it is still three."""
    assert round_down(0.3, 0.1) == pytest.approx(0.3, abs=1e-15)


def test_limits_round_to_the_passive_side() -> None:
    """On a tick of 0.5 a buy at 99.7 bids 99.5, a sell at 99.7 asks 100."""
    assert round_price(1.0, 99.7, 0.5) == 99.5
    assert round_price(-1.0, 99.7, 0.5) == 100.0
    assert round_price(1.0, 99.7, 0.0) == 99.7


def test_taker_price_example() -> None:
    """100 * (1 + 0.0005 + 0.002 * sqrt(10 / 1000)) = 100.07; a sell is its mirror: 99.93."""
    costs = make_rules(half_spread=0.0005, impact=0.002)
    assert find_taker_price(1.0, 10.0, buy_at(100.0, volume=1_000.0), costs) == pytest.approx(
        100.07
    )
    sell = Offer(100.0, 0.0, 1_000.0, inf, True)
    assert find_taker_price(-1.0, 10.0, sell, costs) == pytest.approx(99.93)


@pytest.mark.parametrize(
    ("side", "limit", "bar", "has_rested", "found"),
    [
        (1.0, 98.0, (95.0, 94.0, 96.0), False, (95.0, True)),
        (1.0, 98.0, (95.0, 94.0, 96.0), True, (98.0, False)),
        (1.0, 98.0, (100.0, 97.9, 101.0), False, (98.0, False)),
        (-1.0, 102.0, (105.0, 104.0, 106.0), False, (105.0, True)),
        (-1.0, 102.0, (105.0, 104.0, 106.0), True, (102.0, False)),
        (-1.0, 102.0, (100.0, 99.0, 102.1), True, (102.0, False)),
    ],
)
def test_limit_prices(
    *,
    side: float,
    limit: float,
    bar: tuple[float, float, float],
    has_rested: bool,
    found: tuple[float, bool],
) -> None:
    """Marketable on arrival: taker at the open; rested: maker at its own price."""
    assert find_limit_price(side, limit, bar, has_rested, False) == found


def test_a_touch_is_no_trade_through() -> None:
    """Low equal to the limit fills only where a touch is enough."""
    bar = (100.0, 98.0, 101.0)
    assert isnan(find_limit_price(1.0, 98.0, bar, True, False)[0])
    assert find_limit_price(1.0, 98.0, bar, True, True) == (98.0, False)


def test_stop_prices() -> None:
    """The worse of stop and open; a touch triggers; out of reach is nan."""
    assert find_stop_price(-1.0, 95.0, (90.0, 89.0, 91.0)) == 90.0
    assert find_stop_price(-1.0, 95.0, (100.0, 95.0, 101.0)) == 95.0
    assert find_stop_price(1.0, 105.0, (107.0, 106.0, 108.0)) == 107.0
    assert isnan(find_stop_price(1.0, 105.0, (100.0, 99.0, 104.9)))


def test_trails() -> None:
    """A sell trails below the high, a buy above the low; by amount or by fraction."""
    assert find_trail_stop(-1.0, 110.0, 5.0, 0.0) == 105.0
    assert find_trail_stop(1.0, 90.0, 0.0, 0.1) == pytest.approx(99.0)


def test_weights_to_quantities() -> None:
    """Half of 10,000 at 100 with 20 held: buy 30; weight 0 sells all 20, exactly."""
    assert find_quantity_for_weight(0.5, 10_000.0, 100.0, 20.0) == 30.0
    assert find_quantity_for_weight(0.0, 10_000.0, 100.0, 20.0) == -20.0


def test_minimum_example() -> None:
    """0.049 on a lot of 0.01 is 0.04; at 100 that is 4 < 5."""
    grid = (0.01, 5.0)
    assert is_below_minimum(0.049, 100.0, *grid)
    assert not is_below_minimum(0.05, 100.0, *grid)
    assert is_below_minimum(0.009, 1e9, *grid)
    assert is_below_minimum(nan, 100.0, *grid)


def test_capacity() -> None:
    """A tenth of the volume; no cap, or a volume that nobody knows, is inf."""
    assert compute_capacity(50.0, 0.1) == 5.0
    assert compute_capacity(50.0, inf) == inf
    assert compute_capacity(nan, 0.1) == inf


def test_dust_below_a_lot_stays() -> None:
    """Of 1.239 held on a lot of 0.01 a sell of everything sells 1.23."""
    sell = Offer(100.0, 0.0, nan, inf, True)
    found = execute(-1.0, 1.239, sell, Wallet(0.0, 1.239), make_rules(lot_size=0.01))
    assert found.quantity == pytest.approx(1.23)


def test_a_full_sale_leaves_exactly_nothing() -> None:
    """0.1 + 0.2 held and sold as 0.3: no dust of 5e-17 stays."""
    sell = Offer(100.0, 0.0, nan, inf, True)
    held = 0.1 + 0.2
    assert execute(-1.0, 0.3, sell, Wallet(0.0, held), make_rules(lot_size=0.1)).quantity == held


def test_a_sale_on_the_lot_is_never_more_than_is_held() -> None:
    """87 on a lot of 0.00001 rounds to 87.00000000000001: 87 are sold."""
    sell = Offer(100.0, 0.0, nan, inf, True)
    found = execute(-1.0, 87.0, sell, Wallet(0.0, 87.0), make_rules(lot_size=1e-5))
    assert found.quantity == 87.0


def test_a_sale_that_cannot_pay_its_fee_is_over() -> None:
    """0.0001 coin at 100 brings 0.01, the fixed fee is 0.147: nothing fills or is waited for."""
    sell = Offer(100.0, 0.0, nan, inf, True)
    fixed = make_rules(fixed_fee_base=0.00147)
    execution, is_short, is_over = attempt((-1.0, 0.0001, True), sell, Wallet(0.0, 0.0001), fixed)
    assert (execution.quantity, is_short, is_over) == (0.0, True, True)
