"""Compound v3 in integers: worked examples by its launch parameters, and what holds always."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.errors import Refused
from seawall.venues.lending.comet import NO_DEBT, Comet
from seawall.venues.lending.comet_parameters import CUSDC_V3
from seawall.venues.lending.comet_state import INDEX_SCALE
from seawall.venues.lending.fixed import ALL, WAD, YEAR_S

ETH = 10**18
BTC = 10**8
USDC = 10**6
USD = 10**8
NOON_S = 1_700_000_000
PRICES = {
    "USDC": USD,
    "WETH": 2000 * USD,
    "WBTC": 30_000 * USD,
    "COMP": 50 * USD,
    "UNI": 5 * USD,
    "LINK": 7 * USD,
}


def make_comet(*, lent: int = 1_000_000) -> Comet:
    """Return the market of launch day with USDC lent by one lender."""
    comet = Comet(CUSDC_V3, PRICES, now_s=NOON_S)
    comet.supply("lender", lent * USDC, NOON_S)
    return comet


def make_loan(comet: Comet, *, eth: int = 10, usdc: int = 16_000) -> None:
    """Let Ann borrow against ETH."""
    comet.supply_collateral("ann", "WETH", eth * ETH)
    comet.borrow("ann", usdc * USDC, NOON_S)


def remember(comet: Comet) -> tuple[object, ...]:
    """Return all that the market keeps."""
    return comet.totals, dict(comet.positions)


@pytest.mark.parametrize(
    ("utilization", "supply_percent", "borrow_percent"),
    [(0.0, 0.0, 1.5), (0.4, 1.3, 2.9), (0.8, 2.6, 4.3), (0.9, 6.6, 6.8), (1.0, 10.6, 9.3)],
)
def test_curves_of_launch_day(
    utilization: float, supply_percent: float, borrow_percent: float
) -> None:
    """Supply 0.0325 u to 80 %, then 0.40 u; borrow 0.015 + 0.035 u, then 0.25 u.

    At 90 %: 0.0325 x 0.8 + 0.40 x 0.1 = 6.6 %, and 0.015 + 0.035 x 0.8 + 0.25 x 0.1 = 6.8 %.
    """
    at = int(utilization * 10) * WAD // 10
    supply_rate = CUSDC_V3.supply_curve.rate(at) * YEAR_S / WAD
    borrow_rate = CUSDC_V3.borrow_curve.rate(at) * YEAR_S / WAD
    assert supply_rate * 100 == pytest.approx(supply_percent, abs=1e-8)
    assert borrow_rate * 100 == pytest.approx(borrow_percent, abs=1e-8)


def test_interest_is_linear_between_accruals() -> None:
    """800,000 of 1,000,000 lent: 4.3 % of 800,000 is 34,400; touched at half time it is more.

    17,200 and 13,000 are booked then: 817,200 / 1,013,000 is 80.6713 %, past the kink, so 0.043 +
    0.25 x 0.006713 = 4.46782 % on 817,200 for the other half: 18,255.5, together 35,455.5.
    """
    comet = make_comet()
    make_loan(comet, eth=1000, usdc=800_000)
    end_s = NOON_S + YEAR_S
    whole = comet.debt("ann", end_s)
    assert whole == pytest.approx(834_400 * USDC, abs=60)
    assert comet.account("lender", end_s).supplied == pytest.approx(1_026_000 * USDC, abs=60)
    comet.accrue(NOON_S + YEAR_S // 2)
    assert comet.debt("ann", end_s) / USDC == pytest.approx(835_455.5, abs=0.2)


def test_reserves_are_the_spread() -> None:
    """A year at 80 %: borrowers owe 34,400, lenders are owed 26,000, the reserves have 8,400."""
    comet = make_comet()
    make_loan(comet, eth=1000, usdc=800_000)
    assert comet.reserves(NOON_S) == 0
    assert comet.reserves(NOON_S + YEAR_S) == pytest.approx(8_400 * USDC, abs=60)


def test_account_of_a_loan() -> None:
    """10 ETH at 2,000: 16,500 may be borrowed (82.5 %), 17,900 is the line (89.5 %)."""
    comet = make_comet()
    assert comet.account("ann", NOON_S).health == NO_DEBT
    make_loan(comet)
    account = comet.account("ann", NOON_S)
    assert account.debt == 16_000 * USDC
    assert account.collateral_usd == 20_000 * USD
    assert account.borrow_limit_usd == 16_500 * USD
    assert account.liquidation_usd == 17_900 * USD
    assert account.health == 17_900 * WAD // 16_000
    assert not comet.is_liquidatable("ann")


def test_between_the_two_lines_nothing_happens() -> None:
    """At 1,900 the limit is 15,675 and the line 17,005: 16,000 may be owed, not borrowed."""
    comet = make_comet()
    make_loan(comet)
    comet.set_price("WETH", 1900 * USD)
    assert not comet.is_liquidatable("ann")
    with pytest.raises(Refused, match=r"^NotCollateralized: "):
        comet.withdraw_collateral("ann", "WETH", 1)
    with pytest.raises(Refused, match=r"^NotLiquidatable: "):
        comet.absorb("ann", NOON_S)


def test_absorption_takes_all_and_leaves_the_surplus() -> None:
    """At 1,780 the line is 15,931 < 16,000: 10 ETH count 17,800 x 0.95 = 16,910, 910 stay Ann's."""
    comet = make_comet()
    make_loan(comet)
    comet.set_price("WETH", 1780 * USD)
    absorbed = comet.absorb("ann", NOON_S)
    assert absorbed.seized == {"WETH": 10 * ETH}
    assert (absorbed.repaid, absorbed.surplus, absorbed.bad_debt) == (16_910 * USDC, 910 * USDC, 0)
    account = comet.account("ann", NOON_S)
    assert (account.supplied, account.debt) == (910 * USDC, 0)
    assert comet.collateral("ann", "WETH") == 0
    assert comet.collateral_reserves("WETH") == 10 * ETH
    assert comet.reserves(NOON_S) == -16_910 * USDC


def test_shortfall_is_the_reserves_loss() -> None:
    """At 1,500 10 ETH count 14,250 of 16,000 owed: 1,750 is bad debt, Ann owes nothing."""
    comet = make_comet()
    make_loan(comet)
    comet.set_price("WETH", 1500 * USD)
    absorbed = comet.absorb("ann", NOON_S)
    assert (absorbed.repaid, absorbed.surplus) == (16_000 * USDC, 0)
    assert absorbed.bad_debt == 1_750 * USDC
    assert comet.debt("ann", NOON_S) == 0


def test_storefront_sells_at_half_the_penalty() -> None:
    """Factor 95 %: the discount is 0.5 x 5 % = 2.5 %, so 1,735.50 buy one ETH at 1,780."""
    comet = make_comet()
    make_loan(comet)
    comet.set_price("WETH", 1780 * USD)
    comet.absorb("ann", NOON_S)
    assert comet.quote_collateral("WETH", 1_735_500_000) == ETH
    assert comet.buy_collateral("WETH", 1_735_500_000, NOON_S) == ETH
    assert comet.collateral_reserves("WETH") == 9 * ETH
    assert comet.reserves(NOON_S) == -16_910 * USDC + 1_735_500_000


def test_liquidator_buys_all_that_was_absorbed() -> None:
    """10 ETH at 1,735.50 are 17,355; the reserves end 445 up: half the penalty of 890."""
    comet = make_comet()
    make_loan(comet)
    comet.set_price("WETH", 1780 * USD)
    done = comet.liquidate("ann", NOON_S)
    assert done.bought["WETH"] == pytest.approx(10 * ETH, rel=1e-9)
    assert done.bought["WETH"] <= 10 * ETH
    assert done.paid == pytest.approx(17_355 * USDC, abs=1)
    assert comet.reserves(NOON_S) == pytest.approx(445 * USDC, abs=1)


def test_nothing_is_for_sale_above_the_target() -> None:
    """The absorption leaves the reserves at -16,910, their target here: nothing is sold then."""
    parameters = replace(CUSDC_V3, target_reserves=-16_910 * USDC)
    comet = Comet(parameters, PRICES, now_s=NOON_S)
    comet.supply("lender", 100_000 * USDC, NOON_S)
    make_loan(comet)
    comet.set_price("WETH", 1780 * USD)
    done = comet.liquidate("ann", NOON_S)
    assert done.absorption.seized == {"WETH": 10 * ETH}
    assert (done.bought, done.paid) == ({}, 0)
    with pytest.raises(Refused, match=r"^NotForSale: "):
        comet.buy_collateral("WETH", USDC, NOON_S)


def test_paying_beyond_the_debt_lends() -> None:
    """20,000 paid by somebody who owes 16,000: 4,000 are lent; ``ALL`` pays the debt to the wei."""
    comet = make_comet()
    make_loan(comet)
    comet.supply("ann", 20_000 * USDC, NOON_S)
    assert comet.account("ann", NOON_S).supplied == 4_000 * USDC
    assert comet.withdraw("ann", ALL, NOON_S) == 4_000 * USDC
    comet.borrow("ann", 16_000 * USDC, NOON_S)
    later_s = NOON_S + YEAR_S
    due = comet.debt("ann", later_s)
    assert comet.repay("ann", ALL, later_s) == due
    assert comet.account("ann", later_s)[:2] == (0, 0)


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (lambda c: c.borrow("ann", 600 * USDC, NOON_S + 60), "NotCollateralized"),
        (lambda c: c.borrow("bob", 99 * USDC, NOON_S + 60), "BorrowTooSmall"),
        (lambda c: c.borrow("bob", 100 * USDC, NOON_S + 60), "NotCollateralized"),
        (lambda c: c.withdraw_collateral("ann", "WETH", ETH), "NotCollateralized"),
        (lambda c: c.withdraw_collateral("bob", "WETH", ETH), r"Panic\(0x11\)"),
        (lambda c: c.withdraw("lender", 990_000 * USDC, NOON_S + 60), "TransferOutFailed"),
        (lambda c: c.absorb("ann", NOON_S + 60), "NotLiquidatable"),
        (lambda c: c.absorb("bob", NOON_S + 60), "NotLiquidatable"),
        (lambda c: c.buy_collateral("WETH", USDC, NOON_S + 60), "InsufficientReserves"),
        (lambda c: c.supply_collateral("ann", "DAI", 1), "BadAsset"),
        (lambda c: c.set_price("WETH", 0), "BadPrice"),
    ],
)  # fmt: skip
def test_refused_operation_changes_nothing(
    operation: Callable[[Comet], object], reason: str
) -> None:
    """The message starts with the contract's own error, and no interest is booked on the way."""
    comet = make_comet()
    make_loan(comet)
    before = remember(comet)
    with pytest.raises(Refused, match=f"^{reason}: "):
        operation(comet)
    assert remember(comet) == before


def test_supply_cap() -> None:
    """With a cap of 10 ETH the eleventh is refused."""
    capped = replace(CUSDC_V3.collaterals["WETH"], supply_cap=10 * ETH)
    parameters = replace(CUSDC_V3, collaterals={**CUSDC_V3.collaterals, "WETH": capped})
    comet = Comet(parameters, PRICES, now_s=NOON_S)
    comet.supply_collateral("ann", "WETH", 10 * ETH)
    with pytest.raises(Refused, match=r"^SupplyCapExceeded: "):
        comet.supply_collateral("ann", "WETH", ETH)


def test_price_of_every_asset_is_wanted() -> None:
    """A market without a price of LINK is refused when it is made."""
    prices = {asset: price for asset, price in PRICES.items() if asset != "LINK"}
    with pytest.raises(Refused, match="LINK"):
        Comet(CUSDC_V3, prices, now_s=NOON_S)


def test_rates_from_outside_replace_the_curves() -> None:
    """At 0 and 10 %: lenders get nothing, 16,000 become 17,600."""
    comet = make_comet()
    make_loan(comet)
    comet.set_rates(0, WAD // 10 // YEAR_S)
    assert comet.account("lender", NOON_S + YEAR_S).supplied == 1_000_000 * USDC
    assert comet.debt("ann", NOON_S + YEAR_S) == pytest.approx(17_600 * USDC, abs=5)


def test_principals_are_rounded_against_the_account() -> None:
    """With both indices at 1.1, 1,000 are 909.0909090..: lent ...909, owed ...910.

    Lent that is worth 999,999,999.9, cut to 999,999,999; paying in nothing cuts the principal to
    ...908 of it, and the contract leaves the total as it was.
    """
    comet = make_comet()
    comet.set_rates(WAD // 10, WAD // 10)
    comet.supply_collateral("ann", "WETH", 10 * ETH)
    comet.borrow("ann", 1_000 * USDC, NOON_S + 1)
    comet.supply("bob", 1_000 * USDC, NOON_S + 1)
    assert comet.totals.borrow_index == comet.totals.supply_index == 11 * INDEX_SCALE // 10
    assert comet.positions["ann"].principal == -909_090_910
    assert comet.positions["bob"].principal == 909_090_909
    before = comet.totals.supply_principal
    comet.supply("bob", 0, NOON_S + 1)
    assert comet.positions["bob"].principal == 909_090_908
    assert comet.totals.supply_principal == before


amounts = st.one_of(st.integers(1, 5), st.integers(1, 3 * 10**12))
steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["supply", "withdraw", "add", "take", "price", "absorb", "liquidate", "buy"]
        ),
        st.sampled_from(["ann", "bob", "cyd"]),
        st.sampled_from(["WETH", "WBTC"]),
        amounts,
        st.sampled_from([0, 1, 13, 3600, 10**6]),
    ),
    max_size=40,
)


def apply(comet: Comet, step: tuple[str, str, str, int, int], now_s: int) -> None:
    """Try one operation."""
    name, user, asset, amount, _ = step
    wei = amount * 10**8 if asset == "WETH" else amount // 100
    if name == "add":
        comet.supply_collateral(user, asset, wei)
    elif name == "take":
        comet.withdraw_collateral(user, asset, wei)
    elif name == "price":
        comet.set_price(asset, (amount % 4000 + 1) * USD)
    elif name == "buy":
        comet.buy_collateral(asset, amount, now_s)
    elif name in ("absorb", "liquidate"):
        getattr(comet, name)(user, now_s)
    else:
        getattr(comet, name)(user, amount, now_s)


@settings(max_examples=200, deadline=None)
@given(steps=steps)
def test_nothing_appears_or_vanishes(steps: list[tuple[str, str, str, int, int]]) -> None:
    """Collateral held is the accounts' and the protocol's; principals add up, but for rounding."""
    comet = make_comet()
    now_s = NOON_S
    for step in steps:
        now_s += step[-1]
        before = remember(comet)
        try:
            apply(comet, step, now_s)
        except Refused:
            if step[0] != "liquidate":
                assert remember(comet) == before
        positions = list(comet.positions.values())
        for asset in ("WETH", "WBTC"):
            owned = sum(p.collateral.get(asset, 0) for p in positions)
            assert owned == comet.totals.collateral.get(asset, 0)
            assert comet.collateral_reserves(asset) >= 0
        lent = sum(max(p.principal, 0) for p in positions)
        owed = sum(max(-p.principal, 0) for p in positions)
        assert abs(lent - comet.totals.supply_principal) <= len(steps)
        assert abs(owed - comet.totals.borrow_principal) <= len(steps)
        assert comet.totals.cash >= 0


@settings(max_examples=200, deadline=None)
@given(
    usd=st.integers(1, 1790),
    btc=st.integers(0, BTC),
    seconds=st.integers(0, YEAR_S),
)
def test_absorption_balances(usd: int, btc: int, seconds: int) -> None:
    """All collateral and no more is seized; credit, surplus and bad debt balance with the debt."""
    comet = make_comet()
    make_loan(comet)
    comet.supply_collateral("ann", "WBTC", btc)
    comet.set_price("WETH", usd * USD)
    now_s = NOON_S + seconds
    before = comet.account("ann", now_s)
    if before.health >= WAD:
        with pytest.raises(Refused, match=r"^NotLiquidatable: "):
            comet.absorb("ann", now_s)
        return
    absorbed = comet.absorb("ann", now_s)
    assert absorbed.seized == {"WETH": 10 * ETH} | ({"WBTC": btc} if btc else {})
    assert absorbed.repaid == before.debt + absorbed.surplus
    assert not (absorbed.surplus and absorbed.bad_debt)
    assert absorbed.surplus <= comet.account("ann", now_s).supplied + 1
    credit = absorbed.repaid - absorbed.bad_debt
    assert credit * 100 <= before.collateral_usd * 95 // 100 + 100


@settings(max_examples=200, deadline=None)
@given(amount=st.integers(0, 10**20), usd=st.integers(1, 5000))
def test_quotes_are_each_others_inverse(amount: int, usd: int) -> None:
    """What is quoted for an amount of collateral buys no more of it, and a wei more would."""
    comet = make_comet()
    comet.set_price("WETH", usd * USD)
    base_amount = comet.quote_base("WETH", amount)
    assert comet.quote_collateral("WETH", base_amount) <= amount
    assert comet.quote_collateral("WETH", base_amount + 1) > amount


@settings(max_examples=100, deadline=None)
@given(seconds=st.integers(0, YEAR_S))
def test_looking_changes_nothing(seconds: int) -> None:
    """Asking for an account of later leaves the market as it was; so does accruing for 0 s."""
    comet = make_comet()
    make_loan(comet)
    before = remember(comet)
    comet.account("ann", NOON_S + seconds)
    comet.reserves(NOON_S + seconds)
    comet.accrue(NOON_S)
    assert remember(comet) == before
    assert comet.totals.supply_index == comet.totals.borrow_index == INDEX_SCALE
