"""Morpho Blue in integers: worked examples, what holds for any walk, and what its bytecode said.

``golden/morpho.json`` was recorded with ``seawall.verify.morpho_proof.record``; the adaptive curve
is no part of that package, its rows are what the authors' own library answered.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.errors import Refused
from seawall.venues.lending.fixed import WAD, YEAR_S
from seawall.venues.lending.morpho import (
    NO_DEBT,
    PRICE_SCALE,
    MorphoMarket,
    compute_incentive,
)
from seawall.venues.lending.morpho_rates import AdaptiveCurve, FixedRate, RateModel, exponentiate
from seawall.verify.morpho_proof import replay

GOLDEN = json.loads((Path(__file__).parent / "golden" / "morpho.json").read_text())
ETH = 10**18
USDC = 10**6
NOON_S = 1_700_000_000
FIVE_PERCENT = FixedRate(5 * WAD // 100 // YEAR_S)
USERS = ("ann", "bob", "cyd")


def to_price(usd: int) -> int:
    """Return the oracle's price of one ETH in USDC: 6 decimals of 18, scaled by 1e36."""
    return usd * USDC * PRICE_SCALE // ETH


def make_market(
    *, model: RateModel = FIVE_PERCENT, fee: int = 0, lent: int = 1_000_000
) -> MorphoMarket:
    """Return an ETH-USDC market at 2,000 and 86 %, with USDC lent."""
    market = MorphoMarket(
        lltv=86 * WAD // 100, rate_model=model, price=to_price(2000), now_s=NOON_S, fee=fee
    )
    market.supply("lender", lent * USDC, NOON_S)
    return market


def make_loan(market: MorphoMarket, *, eth: int = 10, usdc: int = 16_000) -> None:
    """Let Ann borrow against ETH."""
    market.supply_collateral("ann", eth * ETH)
    market.borrow("ann", usdc * USDC, NOON_S)


def remember(market: MorphoMarket) -> tuple[object, ...]:
    """Return all that a market keeps."""
    return market.totals, dict(market.positions), market.cash, market.collateral_held


def test_five_percent_for_a_year() -> None:
    """160,000 x (1 + 0.05 + 0.05²/2 + 0.05³/6) = 168,203.33333, less the floors: ...332."""
    market = make_market()
    make_loan(market, eth=200, usdc=160_000)
    assert market.debt("ann", NOON_S + YEAR_S) == 168_203_333_332


def test_incentive_follows_the_lltv() -> None:
    """86 %: 1 / (1 - 0.3 x 0.14) = 1.04384; 38.5 % would give 1.226, the cap is 1.15."""
    assert compute_incentive(86 * WAD // 100) == 1_043_841_336_116_910_229
    assert compute_incentive(385 * WAD // 1000) == 115 * WAD // 100


def test_health_is_the_debt_limit_over_the_debt() -> None:
    """10 ETH x 2,000 x 0.86 = 17,200 over 16,000 is 1.075."""
    market = make_market()
    assert market.account("ann", NOON_S).health == NO_DEBT
    make_loan(market)
    account = market.account("ann", NOON_S)
    assert (account.max_borrow, account.debt) == (17_200 * USDC, 16_000 * USDC)
    assert account.health == 1_075 * WAD // 1000


def test_liquidation_of_all_debt() -> None:
    """At 1,800 16,000 USDC buy 16,000 x 1.04384.. / 1,800 = 9.2785896... ETH; no debt remains."""
    market = make_market()
    make_loan(market)
    market.set_price(to_price(1800))
    request = market.find_full_liquidation("ann", NOON_S)
    assert request.seized == 0
    taken = market.liquidate("ann", NOON_S, repaid_shares=request.repaid_shares)
    assert taken.repaid == 16_000 * USDC
    assert taken.seized / ETH == pytest.approx(16_000 / 0.958 / 1800, rel=1e-9)
    assert market.account("ann", NOON_S).health == NO_DEBT
    assert market.collateral("ann") == 10 * ETH - taken.seized


def test_liquidator_may_take_any_part() -> None:
    """There is no close factor: 1 ETH at 1,800 is repaid with 1,800 x 0.958 = 1,724.40 USDC."""
    market = make_market()
    make_loan(market)
    market.set_price(to_price(1800))
    taken = market.liquidate("ann", NOON_S, seized=ETH)
    assert taken.repaid == pytest.approx(1_724.4 * USDC, abs=2)
    assert taken.bad_debt == 0


def test_bad_debt_is_the_lenders_loss() -> None:
    """At 1,500 10 ETH repay 15,000 x 0.958 = 14,370; the other 1,630 leave the lenders' assets."""
    market = make_market()
    make_loan(market)
    market.set_price(to_price(1500))
    request = market.find_full_liquidation("ann", NOON_S)
    assert request == (10 * ETH, 0)
    taken = market.liquidate("ann", NOON_S, seized=request.seized)
    assert taken.repaid == pytest.approx(14_370 * USDC, abs=2)
    assert taken.repaid + taken.bad_debt == pytest.approx(16_000 * USDC, abs=2)
    lost = 1_000_000 * USDC - market.account("lender", NOON_S).supplied
    assert lost == pytest.approx(taken.bad_debt, abs=2)
    assert market.debt("ann", NOON_S) == 0


def test_fee_is_cut_out_of_the_interest() -> None:
    """A quarter of 50 USDC of interest (1,000 at 5 %, nearly) is the fee recipient's."""
    market = make_market(fee=WAD // 4)
    make_loan(market, usdc=1_000)
    market.accrue(NOON_S + YEAR_S)
    interest = market.totals.borrowed - 1_000 * USDC
    earned = market.account(market.fee_recipient, NOON_S + YEAR_S).supplied
    assert earned == pytest.approx(interest / 4, abs=2)


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (lambda m: m.borrow("ann", 2_000 * USDC, NOON_S + 60), "insufficient collateral"),
        (lambda m: m.withdraw_collateral("ann", ETH, NOON_S + 60), "insufficient collateral"),
        (lambda m: m.withdraw_collateral("bob", ETH, NOON_S + 60), r"Panic\(0x11\)"),
        (lambda m: m.withdraw("lender", 990_000 * USDC, NOON_S + 60), "insufficient liquidity"),
        (lambda m: m.liquidate("ann", NOON_S + 60, seized=ETH), "position is healthy"),
        (lambda m: m.liquidate("bob", NOON_S + 60, seized=ETH), "position is healthy"),
        (lambda m: m.repay("ann", 17_000 * USDC, NOON_S + 60), r"Panic\(0x11\)"),
        (lambda m: m.supply("ann", 0, NOON_S + 60), "inconsistent input"),
        (lambda m: m.supply("ann", 1, NOON_S + 60, shares=1), "inconsistent input"),
        (lambda m: m.supply_collateral("ann", 0), "zero assets"),
    ],
)  # fmt: skip
def test_refused_operation_changes_nothing(
    operation: Callable[[MorphoMarket], object], reason: str
) -> None:
    """The message starts with the contract's own, and the interest of that minute is not booked."""
    market = make_market()
    make_loan(market)
    before = remember(market)
    with pytest.raises(Refused, match=f"^{reason}: "):
        operation(market)
    assert remember(market) == before


def test_seizing_more_than_is_there_is_refused() -> None:
    """At 1,800 Ann can be liquidated, but not for an eleventh ETH of ten."""
    market = make_market()
    make_loan(market)
    market.set_price(to_price(1800))
    before = remember(market)
    with pytest.raises(Refused, match=r"Panic\(0x11\)"):
        market.liquidate("ann", NOON_S, seized=11 * ETH)
    assert remember(market) == before


def test_market_beyond_its_limits_is_refused() -> None:
    """An LLTV of 100 % and a fee above a quarter are refused when the market is made."""
    with pytest.raises(Refused, match="max LLTV exceeded"):
        MorphoMarket(lltv=WAD, rate_model=FIVE_PERCENT, price=1, now_s=NOON_S)
    with pytest.raises(Refused, match="max fee exceeded"):
        MorphoMarket(lltv=0, rate_model=FIVE_PERCENT, price=1, now_s=NOON_S, fee=WAD // 2)


amounts = st.one_of(st.integers(1, 5), st.integers(1, 3 * 10**12))
steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["supply", "withdraw", "borrow", "repay", "add", "take", "price", "liquidate"]
        ),
        st.sampled_from(USERS),
        amounts,
        st.sampled_from([0, 1, 13, 3600, 10**6]),
    ),
    max_size=40,
)


def apply(market: MorphoMarket, name: str, user: str, amount: int, now_s: int) -> None:
    """Try one operation."""
    wei = amount * 10**9
    if name == "add":
        market.supply_collateral(user, wei)
    elif name == "take":
        market.withdraw_collateral(user, wei, now_s)
    elif name == "price":
        market.set_price(to_price(amount % 4000 + 1))
    elif name == "liquidate":
        request = market.find_full_liquidation(user, now_s)
        market.liquidate(user, now_s, seized=request.seized, repaid_shares=request.repaid_shares)
    else:
        getattr(market, name)(user, amount, now_s)


@settings(max_examples=200, deadline=None)
@given(steps=steps, fee=st.sampled_from([0, WAD // 10]))
def test_nothing_appears_or_vanishes(steps: list[tuple[str, str, int, int]], fee: int) -> None:
    """Shares and collateral add up, and the tokens held cover what is lent and not borrowed."""
    market = make_market(model=AdaptiveCurve(), fee=fee)
    now_s = NOON_S
    for name, user, amount, seconds in steps:
        now_s += seconds
        before = remember(market)
        try:
            apply(market, name, user, amount, now_s)
        except Refused:
            assert remember(market) == before
        totals, positions = market.totals, market.positions.values()
        assert sum(p.supply_shares for p in positions) == totals.supply_shares
        assert sum(p.borrow_shares for p in positions) == totals.borrow_shares
        assert sum(p.collateral for p in positions) == market.collateral_held
        assert market.cash >= totals.supplied - totals.borrowed >= 0


@settings(max_examples=200, deadline=None)
@given(
    usd=st.integers(1, 1860),
    part=st.integers(1, 10**6),
    seconds=st.integers(0, YEAR_S),
    by_shares=st.booleans(),
)
def test_liquidation_stays_within_the_position(
    usd: int, part: int, seconds: int, *, by_shares: bool
) -> None:
    """No more is seized or repaid than there is, and the liquidator gets at most the incentive."""
    market = make_market()
    make_loan(market)
    now_s = NOON_S + seconds
    market.set_price(to_price(usd))
    before = market.account("ann", now_s)
    if before.health >= WAD:
        return
    whole = market.find_full_liquidation("ann", now_s)
    try:
        if by_shares:
            shares = market.positions["ann"].borrow_shares * part // 10**6 or 1
            taken = market.liquidate("ann", now_s, repaid_shares=shares)
        else:
            taken = market.liquidate(
                "ann", now_s, seized=(whole.seized or ETH) * part // 10**6 or 1
            )
    except Refused:
        return
    assert 0 <= taken.seized <= before.collateral
    assert taken.repaid + taken.bad_debt <= before.debt + 2
    value = taken.seized * market.price // PRICE_SCALE
    assert value <= (taken.repaid + 1) * market.incentive // WAD + 1


@settings(max_examples=100, deadline=None)
@given(seconds=st.integers(0, YEAR_S))
def test_looking_changes_nothing(seconds: int) -> None:
    """Asking for an account of later leaves the market as it was; so does accruing for 0 s."""
    market = make_market(model=AdaptiveCurve(), fee=WAD // 10)
    make_loan(market)
    before = remember(market)
    market.account("ann", NOON_S + seconds)
    market.find_full_liquidation("ann", NOON_S + seconds)
    market.accrue(NOON_S)
    assert remember(market) == before


def test_rate_from_outside_replaces_the_model() -> None:
    """At no interest 16,000 stay 16,000; at twice the five percent they earn twice as much."""
    market = make_market()
    make_loan(market)
    market.set_rate(0)
    assert market.debt("ann", NOON_S + YEAR_S) == 16_000 * USDC
    market.set_rate(2 * FIVE_PERCENT.rate_per_second)
    x = 0.1
    expected = 16_000 * USDC * (1 + x + x**2 / 2 + x**3 / 6)
    assert market.debt("ann", NOON_S + YEAR_S) == pytest.approx(expected, rel=1e-9)


def test_adaptive_curve_at_three_points() -> None:
    """4 % at 90 % utilisation, four times that fully borrowed, a quarter where nothing is."""
    curve = AdaptiveCurve()
    four_percent = curve.quote(0, 9 * WAD // 10, 0)
    assert four_percent.average == four_percent.memory == 4 * WAD // 100 // YEAR_S
    assert curve.quote(four_percent.memory, WAD, 0).average == 4 * four_percent.average
    assert curve.quote(four_percent.memory, 0, 0).average == four_percent.average // 4


def test_adaptive_curve_drifts_to_its_bounds() -> None:
    """Fully borrowed the rate at target grows by e^(50 t): after a day by 14.7 %, at most to 200 %.

    The exponential is an approximation: 50 / 365 = 0.13699, and 1 + x + x²/2 = 1.14637.
    """
    curve = AdaptiveCurve()
    start = 4 * WAD // 100 // YEAR_S
    assert curve.quote(start, WAD, 86_400).memory / start == pytest.approx(1.14637, rel=1e-5)
    assert curve.quote(start, WAD, YEAR_S).memory == 2 * WAD // YEAR_S
    assert curve.quote(start, 0, YEAR_S).memory == WAD // 1000 // YEAR_S


def test_exponential_at_its_edges() -> None:
    """Zero below ln(1e-18), one at zero, two at ln 2, clipped above."""
    assert exponentiate(-42 * WAD) == 0
    assert exponentiate(0) == WAD
    assert exponentiate(693_147_180_559_945_309) == 2 * WAD
    assert exponentiate(94 * WAD) == exponentiate(200 * WAD)


@pytest.mark.parametrize("number", range(len(GOLDEN["recordings"])))
def test_specification_follows_the_recording(number: int) -> None:
    """Every amount, every refusal and the last state, to the wei."""
    assert replay(GOLDEN["recordings"][number]) == []


def test_replay_finds_a_wrong_wei() -> None:
    """A recording with one wei more in the market does not pass."""
    recording = GOLDEN["recordings"][0]
    state = recording["state"] | {"cash": recording["state"]["cash"] + 1}
    (difference,) = replay(recording | {"state": state})
    assert (difference.where, difference.size) == ("cash", 1)


def test_adaptive_curve_follows_its_authors() -> None:
    """60 random periods: average rate and rate at target as the authors' library has them."""
    curve = AdaptiveCurve()
    for utilization, memory, elapsed_s, average, end in GOLDEN["curve"]:
        assert curve.quote(memory, utilization, elapsed_s) == (average, end)
