"""Swaps in a pool of given depth: worked examples, and what holds for any size."""

from math import inf, isinf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.venues.swap import cost_of, liquidation_profit, sell_for

depths = st.one_of(st.just(inf), st.floats(1e3, 1e10))
fees = st.sampled_from([0.0, 0.0005, 0.003, 0.01, 0.3])
values = st.floats(1e-6, 1e9)


def test_a_sale_of_a_thousandth_of_the_pool() -> None:
    """10,000 USD into 10,000,000 a side at 0.3 %.

    Fee 30; 9,970 go in; out = 10,000,000 * 9,970 / 10,009,970 = 9,960.0698...; impact 9.93...
    """
    sale = sell_for(10_000.0, 10_000_000.0, 0.003)
    assert sale.fee_usd == 30.0
    assert sale.value_usd == pytest.approx(1e7 * 9_970 / 10_009_970, rel=1e-14)
    assert sale.impact_usd == pytest.approx(9_970**2 / 10_009_970, rel=1e-9)


def test_a_sale_as_large_as_the_pool_gets_half() -> None:
    """D * D / (D + D) = D / 2: the other half is lost to the price."""
    assert sell_for(5e6, 5e6, 0.0) == (2.5e6, 0.0, 2.5e6)


def test_an_endless_pool_takes_the_fee_alone() -> None:
    """No depth moves no price: 1,000 in at 1 % is 990 out, and 990 out is 1,000 in."""
    assert sell_for(1_000.0, inf, 0.01) == (990.0, 10.0, 0.0)
    assert cost_of(990.0, inf, 0.01) == pytest.approx((1_000.0, 10.0, 0.0), abs=1e-10)


def test_it_agrees_with_uniswap_v2_integers() -> None:
    """The router's ``in * 997 * Ry / (Rx * 1000 + in * 997)``, floored, with reserves of 2e24."""
    reserve, amount = 2 * 10**24, 31 * 10**21
    exact = amount * 997 * reserve // (reserve * 1000 + amount * 997)
    assert sell_for(31e21, 2e24, 0.003).value_usd == pytest.approx(exact, rel=1e-14)


def test_nothing_costs_nothing() -> None:
    """Zero in is zero out, also where there is no pool at all."""
    assert sell_for(0.0, 0.0, 0.003) == cost_of(0.0, 0.0, 0.003) == (0.0, 0.0, 0.0)
    assert sell_for(5.0, 0.0, 0.0) == (0.0, 0.0, 5.0)


def test_a_pool_gives_less_than_it_holds() -> None:
    """To take all of one side would cost an endless amount."""
    assert isinf(cost_of(1e6, 1e6, 0.003).value_usd)
    assert isinf(cost_of(2e6, 1e6, 0.003).value_usd)
    assert sell_for(1e9, 1e6, 0.003).value_usd < 1e6


@settings(max_examples=500, deadline=None)
@given(value=values, depth=depths, fee=fees)
def test_what_comes_out_is_in_less_fee_less_impact(value: float, depth: float, fee: float) -> None:
    """To the bit, each part >= 0 and none larger than what goes in."""
    out, paid, impact = sell_for(value, depth, fee)
    assert out == value - paid - impact
    assert min(out, paid, impact) >= 0.0
    assert max(out, paid, impact) <= value
    assert out <= depth
    cost, paid, impact = cost_of(min(value, 0.9 * depth), depth, fee)
    assert cost == min(value, 0.9 * depth) + impact + paid
    assert min(paid, impact) >= 0.0


@settings(max_examples=500, deadline=None)
@given(value=values, depth=depths, fee=fees)
def test_exact_in_and_exact_out_are_inverses(value: float, depth: float, fee: float) -> None:
    """To 1e-12, value, fee and impact, for sales up to ten times what the pool holds.

    Far beyond that the last dollar out costs so much that floats cannot tell.
    """
    value = min(value, 10.0 * depth)
    sale = sell_for(value, depth, fee)
    back = cost_of(sale.value_usd, depth, fee)
    assert back.value_usd == pytest.approx(value, rel=1e-12)
    assert back.fee_usd == pytest.approx(sale.fee_usd, rel=1e-12)
    assert back.impact_usd == pytest.approx(sale.impact_usd, rel=1e-12, abs=1e-12 * value)


@settings(max_examples=200, deadline=None)
@given(value=values, share=st.floats(0.01, 0.99), depth=st.floats(1e3, 1e10), fee=fees)
def test_deeper_smaller_and_cheaper_is_better(
    value: float, share: float, depth: float, fee: float
) -> None:
    """Out grows with what goes in and with depth; per dollar a smaller sale gets more."""
    out = sell_for(value, depth, fee).value_usd
    part = sell_for(value * share, depth, fee).value_usd
    assert part < out
    assert part >= out * share * (1 - 1e-12)
    assert sell_for(value, depth * 2, fee).value_usd >= out * (1 - 1e-12)
    assert sell_for(value, depth, fee + 0.01).value_usd < out


def test_a_liquidation_pays_its_bonus_less_everything() -> None:
    """7,000 repaid at 5 %: 7,350 seized, fee 35, received 7,315; gas 20; endless pool at 0.3 %.

    7,315 - 7,000 - 20 - 21.945 = 273.055. (The first row of the golden vectors, at 1,680.)
    """
    got = liquidation_profit(7_000.0, 7_350.0, 35.0, 20.0, inf, 0.003)
    assert got == pytest.approx(273.055, abs=1e-9)


def test_gas_can_eat_a_small_liquidation() -> None:
    """100 repaid at 5 % earns less than 5; with gas at 6 USD nobody acts."""
    assert liquidation_profit(100.0, 105.0, 0.0, 0.0, inf, 0.0) == 5.0
    assert liquidation_profit(100.0, 105.0, 0.0, 6.0, inf, 0.0) < 0.0


def test_a_shallow_pool_can_eat_a_large_one() -> None:
    """5 % of 1,000,000 is 50,000; into 10,000,000 a side the sale loses a tenth of 1,050,000."""
    assert liquidation_profit(1e6, 1.05e6, 0.0, 0.0, 1e9, 0.0) > 0.0
    assert liquidation_profit(1e6, 1.05e6, 0.0, 0.0, 1e7, 0.0) == pytest.approx(
        5e4 - 1.05e6**2 / 11.05e6, rel=1e-9
    )


@settings(max_examples=200, deadline=None)
@given(
    repaid=st.floats(1.0, 1e8), bonus=st.floats(0.0, 0.15), gas=st.floats(0.0, 1e4), depth=depths,
    fee=fees,
)  # fmt: skip
def test_profit_is_what_the_sale_leaves(
    repaid: float, bonus: float, gas: float, depth: float, fee: float
) -> None:
    """It equals the proceeds of selling what was received, less what was repaid and the gas."""
    seized, charged = repaid * (1 + bonus), repaid * bonus * 0.1
    proceeds = sell_for(seized - charged, depth, fee).value_usd
    got = liquidation_profit(repaid, seized, charged, gas, depth, fee)
    assert got == pytest.approx(proceeds - repaid - gas, abs=1e-9 * repaid)
