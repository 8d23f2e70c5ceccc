"""Integer arithmetic as contracts do it, and interest in it."""

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.venues.lending import fixed
from seawall.venues.lending.aave_rates import rates_of
from seawall.venues.lending.aave_state import RateCurve
from seawall.venues.lending.fixed import BPS, RAY, YEAR_S
from seawall.venues.lending.rules import RULES

AMOUNTS = st.integers(0, 10**40)
DIVISORS = st.integers(1, 10**40)
HALF = Fraction(1, 2)
COMPOUNDED = (
    fixed.compounded_growth_per_second,
    fixed.compounded_growth_binomial,
    fixed.compounded_growth_taylor,
)


@given(a=AMOUNTS, b=DIVISORS)
def test_floor_half_and_ceil_round_as_they_say(a: int, b: int) -> None:
    """Against exact fractions: down by less than 1, up by less than 1, to the nearer one.

    A division by an odd number adds half of it rounded down: then the tie goes up by a hair less.
    """
    cases = [
        (Fraction(a * b, RAY), fixed.ray_mul_floor, fixed.ray_mul, fixed.ray_mul_ceil),
        (Fraction(a * RAY, b), fixed.ray_div_floor, fixed.ray_div, fixed.ray_div_ceil),
        (Fraction(a * b, BPS), fixed.percent_mul_floor, fixed.percent_mul, fixed.percent_mul_ceil),
        (Fraction(a * BPS, b), fixed.percent_div_floor, fixed.percent_div, fixed.percent_div_ceil),
    ]
    for exact, floor, half, ceil in cases:
        assert 0 <= exact - floor(a, b) < 1
        assert 0 <= ceil(a, b) - exact < 1
        assert -HALF <= half(a, b) - exact <= HALF


def test_halves_go_up() -> None:
    """2.5 becomes 3 in all four, and in wad."""
    assert fixed.ray_mul(5, RAY // 2) == 3
    assert fixed.ray_div(5, 2 * RAY) == 3
    assert fixed.percent_mul(5, 5_000) == 3
    assert fixed.percent_div(5, 20_000) == 3
    assert fixed.wad_div(5, 2 * 10**18) == 3


@pytest.mark.parametrize("growth", COMPOUNDED)
def test_compounding_is_the_exponential_s_first_terms(growth: Callable[[int, int], int]) -> None:
    """5 % for a year: 1 + 0.05 + 0.05^2/2 + 0.05^3/6 = 1.0512708; for no time: 1."""
    assert growth(RAY // 20, 0) == RAY
    assert growth(RAY // 20, YEAR_S) / RAY == pytest.approx(1.0512708333, rel=1e-5)
    assert growth(RAY // 20, 1) >= RAY + RAY // 20 // YEAR_S


def test_the_forms_of_compounding_differ_where_it_is_cut_off() -> None:
    """A day at 50 %: old and new differ by 1.1e-11, v2 and v3.0 by 1.1e-16, but they do differ."""
    per_second, binomial, taylor = (growth(RAY // 2, 86_400) for growth in COMPOUNDED)
    assert (taylor - binomial) / binomial == pytest.approx(1.1e-11, rel=0.05)
    assert (per_second - binomial) / binomial == pytest.approx(1.1e-16, rel=0.05)


def test_simple_interest_cuts_off_below_a_ray() -> None:
    """A rate of one ray pays its first ray after a year, not before."""
    assert fixed.linear_growth(1, YEAR_S - 1) == RAY
    assert fixed.linear_growth(1, YEAR_S) == RAY + 1


def test_a_small_debt_rounds_the_supply_rate_before_v3_3() -> None:
    """The way over an average: 7 wei at 1.35 % weigh 7e9, times the rate 94,500,000.0 exactly.

    At 1.3512345678 % they weigh 94,586,419.746, cut to a whole ray: the rate becomes
    94,586,420 / 7e9 = 1.351234571428 %, which is what suppliers then share.
    """
    rate = 13_512_345_678 * 10**15
    assert fixed.average_rate(7, 135 * RAY // BPS) == 135 * RAY // BPS
    assert fixed.average_rate(7, rate) == 13512345714285714285714286
    curve = RateCurve(base=rate, slope1=0, slope2=0, optimal=RAY)
    old, new = (
        rates_of(RULES[x], curve, debt=7, available=0, reserve_factor_bps=0)
        for x in ("v3.0", "v3.3")
    )
    assert old.borrow == new.borrow == new.liquidity == rate
    assert old.liquidity == 13512345714285714285714286


def test_a_deficit_lowers_what_suppliers_earn_not_what_borrowers_pay() -> None:
    """Utilisation 1/2, with a deficit of the same size again 1/3 for suppliers."""
    curve = RateCurve.of_bps(slope1=400, slope2=400, optimal=5_000)
    terms = {"debt": 10**9, "available": 10**9, "reserve_factor_bps": 0}
    sound = rates_of(RULES["v3.7"], curve, **terms)
    hurt = rates_of(RULES["v3.7"], curve, **terms, deficit=10**9)
    assert sound.borrow == hurt.borrow == 4 * RAY // 100
    assert sound.liquidity == 2 * RAY // 100
    assert hurt.liquidity == pytest.approx(4 * RAY // 300, abs=2)
