"""Aave in integers: published vectors, what its versions do differently, and what never fails."""

from typing import NamedTuple

import pytest
from lending_pools import DAY_S, DOLLAR, START_S, dollars, listed, loan, market, wei

from seawall.errors import Refused
from seawall.venues.lending.aave import ALL, TREASURY, AavePool, Reserve
from seawall.venues.lending.fixed import RAY, WAD, YEAR_S
from seawall.venues.lending.rules import RULES

V3 = [name for name in RULES if name != "v2"]


class Golden(NamedTuple):
    """One published liquidation; tokens of USDC, wei of WETH, dollars of equity."""

    price: int
    health: float
    repaid: float
    to_liquidator: int
    fee: int
    equity_before: int
    equity_after: int


@pytest.mark.parametrize(
    "golden",
    [
        Golden(1_680, 0.996, 7_000, 4354166666666666665, 20833333333333334, 2_800, 2_450),
        Golden(1_600, 0.948571, 14_000, 9143750000000000000, 43750000000000000, 2_000, 1_300),
        Golden(1_500, 0.889286, 14_000, 9753333333333333332, 46666666666666667, 1_000, 300),
    ],
    ids=lambda golden: str(golden.price),
)
def test_golden_liquidations_of_v3_7(golden: Golden) -> None:
    """10 WETH against 14,000 USDC, threshold 83 %, bonus 5 %, fee 10 %, the largest cover.

    At 1,680: health 10 * 1680 * 0.83 / 14000 = 0.996, so half: 7000 / 1680 * 1.05 = 4.375 WETH
    are seized, of which a tenth of the bonus, 4.375 * (1 - 1/1.05) / 10, goes to the protocol.
    """
    pool = loan("v3.7")
    pool.set_price("WETH", golden.price * DOLLAR)
    health = pool.account("alice", START_S).health_wad / WAD
    assert health == pytest.approx(golden.health, abs=1e-6)
    assert dollars(pool, "alice") == pytest.approx(golden.equity_before)
    deal = pool.liquidate("bob", "alice", "WETH", "USDC", ALL, START_S)
    assert deal.repaid == wei("USDC", golden.repaid)
    assert (deal.to_liquidator, deal.protocol_fee) == (golden.to_liquidator, golden.fee)
    assert deal.seized == golden.to_liquidator + golden.fee
    assert not deal.bad_debt
    assert dollars(pool, "alice") == pytest.approx(golden.equity_after, abs=1e-6)
    assert pool.collateral(TREASURY, "WETH", START_S) == golden.fee


def test_golden_bad_debt_becomes_the_reserve_s_deficit() -> None:
    """At 1,300 all collateral pays 10 * 1300 / 1.05 = 12,380.952381; the rest is forgiven."""
    pool = loan("v3.7")
    pool.set_price("WETH", 1_300 * DOLLAR)
    deal = pool.liquidate("bob", "alice", "WETH", "USDC", ALL, START_S)
    assert deal.repaid == 12_380_952381
    assert (deal.to_liquidator, deal.protocol_fee) == (9952380952380952380, 47619047619047620)
    assert deal.bad_debt == {"USDC": 1_619_047619}
    assert pool.reserves["USDC"].deficit == 1_619_047619
    assert pool.debt("alice", "USDC", START_S) == 0
    account = pool.market.account("alice")
    assert not account.borrowing
    assert not account.collateral


def test_golden_dust_is_refused_and_nothing_changes() -> None:
    """At 1,600 a cover of 13,500 would leave 500 dollars of debt; one of 6,000 leaves enough."""
    pool = loan("v3.7")
    pool.set_price("WETH", 1_600 * DOLLAR)
    before = pool.market.copy()
    with pytest.raises(Refused, match=r"^MustNotLeaveDust: .* would leave debt worth 50000000000"):
        pool.liquidate("bob", "alice", "WETH", "USDC", wei("USDC", 13_500), START_S)
    assert pool.market == before
    deal = pool.liquidate("bob", "alice", "WETH", "USDC", wei("USDC", 6_000), START_S)
    assert (deal.to_liquidator, deal.protocol_fee) == (3918750000000000000, 18750000000000000)


def test_golden_close_factor_of_the_whole_position() -> None:
    """Debts of 10,000 and 4,000 at 1,680: half of the WHOLE debt, so 7,000 of the first."""
    pool = loan("v3.7", {"USDC": 10_000.0, "DAI": 4_000.0})
    pool.set_price("WETH", 1_680 * DOLLAR)
    assert pool.max_cover("alice", "WETH", "USDC", START_S) == wei("USDC", 7_000)
    assert pool.max_cover("alice", "WETH", "DAI", START_S) == wei("DAI", 4_000)
    deal = pool.liquidate("bob", "alice", "WETH", "DAI", ALL, START_S)
    assert deal.repaid == wei("DAI", 4_000)
    assert (deal.to_liquidator, deal.protocol_fee) == (2488095238095238094, 11904761904761905)


def test_golden_small_positions_are_closed_whole() -> None:
    """1.1 WETH at 1,700 against 1,600 USDC: under 2,000 dollars a side, all of it may go."""
    pool = loan("v3.7", {"USDC": 1_600.0}, weth=1.1)
    pool.set_price("WETH", 1_700 * DOLLAR)
    deal = pool.liquidate("bob", "alice", "WETH", "USDC", ALL, START_S)
    assert deal.repaid == wei("USDC", 1_600)
    assert (deal.to_liquidator, deal.protocol_fee) == (983529411764705881, 4705882352941177)


@pytest.mark.parametrize(
    ("rules", "debt", "health", "repaid", "to_liquidator"),
    [
        ("v3.0", 146257_107441, 1128150302484006583, 73128_553721, 43919160137037356322),
        ("v3.6", 146257_594710, 1128146543960076040, 73128_797355, 43919306457456896551),
    ],
)
def test_a_year_of_interest_and_a_liquidation_as_the_contracts_ran_it(
    rules: str, debt: int, health: int, repaid: int, to_liquidator: int
) -> None:
    """140,000 USDC on 100 WETH at 2,000 for 365 days, then WETH at 1,740.

    The figures come from the bytecode. The borrow rate is the one number not recorded with them;
    4.3727138888... percent gives all of both versions to the last digit.
    """
    weth = listed("WETH", 2_000.0, threshold_bps=8_250)
    pool = AavePool(RULES[rules], {"WETH": weth, "USDC": Reserve(decimals=6, price=DOLLAR)})
    pool.set_rates("USDC", 0, 43727138888888888888888889)
    pool.supply("lender", "USDC", wei("USDC", 1_000_000), START_S)
    pool.supply("alice", "WETH", wei("WETH", 100), START_S)
    pool.borrow("alice", "USDC", wei("USDC", 140_000), START_S)
    end_s = START_S + YEAR_S
    assert pool.debt("alice", "USDC", end_s) == debt
    assert pool.account("alice", end_s).health_wad == health
    pool.set_price("WETH", 1_740 * DOLLAR)
    assert round(pool.account("alice", end_s).health_wad / WAD, 5) == 0.98149
    deal = pool.liquidate("bob", "alice", "WETH", "USDC", ALL, end_s)
    assert (deal.repaid, deal.to_liquidator) == (repaid, to_liquidator)


def test_v2_liquidates_half_of_one_debt_however_deep_and_takes_no_fee() -> None:
    """At 1,300 v2 still covers 7,000 of 14,000; 7000 / 1300 * 1.05 = 5.653846 WETH are seized."""
    pool = loan("v2")
    pool.set_price("WETH", 1_300 * DOLLAR)
    deal = pool.liquidate("bob", "alice", "WETH", "USDC", ALL, START_S)
    assert (deal.repaid, deal.protocol_fee) == (wei("USDC", 7_000), 0)
    assert deal.to_liquidator == 5653846153846153846
    assert pool.reserves["USDC"].deficit == 0


def test_v2_counts_in_ether() -> None:
    """With prices in ether (18 decimals) a position's values are in ether, its health the same."""
    reserves = {"WETH": listed("WETH", 0.0), "USDC": listed("USDC", 0.0)}
    in_dollars, in_ether = loan("v2"), AavePool(RULES["v2"], reserves, price_decimals=18)
    in_ether.set_price("WETH", 10**18)
    in_ether.set_price("USDC", 10**18 // 2_000)
    in_ether.supply("lender", "USDC", wei("USDC", 1_000_000), START_S)
    in_ether.supply("alice", "WETH", wei("WETH", 10), START_S)
    in_ether.borrow("alice", "USDC", wei("USDC", 14_000), START_S)
    data = in_ether.account("alice", START_S)
    assert (data.collateral_base, data.debt_base) == (10 * 10**18, 7 * 10**18)
    assert data.health_wad == in_dollars.account("alice", START_S).health_wad


@pytest.mark.parametrize(
    ("rules", "cover"), [("v2", 5_000), ("v3.0", 5_000), ("v3.3", 7_000), ("v3.7", 7_000)]
)
def test_the_close_factor_belongs_to_the_reserve_before_v3_3(rules: str, cover: float) -> None:
    """Debts of 10,000 and 4,000: half of the first until v3.2, half of both from v3.3 on."""
    pool = loan(rules, {"USDC": 10_000.0, "DAI": 4_000.0})
    pool.set_price("WETH", 1_680 * DOLLAR)
    assert pool.max_cover("alice", "WETH", "USDC", START_S) == wei("USDC", cover)


@pytest.mark.parametrize("rules", ["v3.3", "v3.7"])
def test_every_debt_is_forgiven_with_the_last_collateral(rules: str) -> None:
    """Two debts on collateral that covers one: what is left of both becomes two deficits."""
    pool = loan(rules, {"USDC": 10_000.0, "DAI": 4_000.0})
    pool.set_price("WETH", 1_000 * DOLLAR)
    deal = pool.liquidate("bob", "alice", "WETH", "USDC", ALL, START_S)
    assert deal.bad_debt == {"USDC": wei("USDC", 10_000) - deal.repaid, "DAI": wei("DAI", 4_000)}
    assert pool.reserves["DAI"].deficit == wei("DAI", 4_000)
    assert pool.reserves["DAI"].borrowed == 0


@pytest.mark.parametrize("rules", ["v2", "v3.0"])
def test_bad_debt_stays_before_v3_3(rules: str) -> None:
    """Without collateral the debt lives on, and goes on accruing."""
    pool = loan(rules)
    pool.set_price("WETH", 600 * DOLLAR)
    while pool.collateral("alice", "WETH", START_S) > 0:
        pool.liquidate("bob", "alice", "WETH", "USDC", ALL, START_S)
    assert pool.debt("alice", "USDC", START_S) > 0
    assert pool.debt("alice", "USDC", START_S + DAY_S) > pool.debt("alice", "USDC", START_S)
    assert pool.account("alice", START_S).health_wad == 0


def test_nobody_liquidates_himself_from_v3_4_on() -> None:
    """v3.3 lets a borrower do it, v3.4 does not."""
    for rules, is_allowed in (("v3.3", True), ("v3.4", False)):
        pool = loan(rules)
        pool.set_price("WETH", 1_600 * DOLLAR)
        if is_allowed:
            assert pool.liquidate("alice", "alice", "WETH", "USDC", ALL, START_S).repaid
        else:
            with pytest.raises(Refused, match="SelfLiquidation"):
                pool.liquidate("alice", "alice", "WETH", "USDC", ALL, START_S)


@pytest.mark.parametrize("rules", list(RULES))
def test_a_liquidation_needs_an_unhealthy_loan_in_these_assets(rules: str) -> None:
    """Health at 1 or above, collateral that is none, a debt that is none: each is refused."""
    pool = loan(rules)
    assert pool.max_cover("alice", "WETH", "USDC", START_S) == 0
    for price, collateral, debt, error in (
        (2_000, "WETH", "USDC", "HealthFactorNotBelowThreshold"),
        (1_600, "DAI", "USDC", "CollateralCannotBeLiquidated"),
        (1_600, "WETH", "DAI", "SpecifiedCurrencyNotBorrowedByUser"),
    ):
        pool.set_price("WETH", price * DOLLAR)
        with pytest.raises(Refused, match=f"^{error}: "):
            pool.liquidate("bob", "alice", collateral, debt, ALL, START_S)


@pytest.mark.parametrize("rules", list(RULES))
def test_a_loan_needs_collateral_for_it(rules: str) -> None:
    """10 WETH at 2,000 with 80.5 % lend 16,100 and no more; without collateral nothing."""
    pool = market(rules)
    with pytest.raises(Refused, match=r"CollateralBalanceIsZero|LtvValidationFailed"):
        pool.borrow("alice", "USDC", 1, START_S)
    pool.supply("alice", "WETH", wei("WETH", 10), START_S)
    with pytest.raises(Refused, match="CollateralCannotCoverNewBorrow: a debt worth 1610100000000"):
        pool.borrow("alice", "USDC", wei("USDC", 16_101), START_S)
    pool.borrow("alice", "USDC", wei("USDC", 16_100), START_S)
    assert pool.account("alice", START_S).ltv_bps == 8_050


@pytest.mark.parametrize("rules", list(RULES))
def test_a_withdrawal_keeps_the_loan_healthy(rules: str) -> None:
    """14,000 at 83 % need 8.4338 WETH at 2,000: 1.5 may be withdrawn, 1.6 may not."""
    pool = loan(rules)
    with pytest.raises(Refused, match=r"TransferNotAllowed|HealthFactorLowerThan"):
        pool.withdraw("alice", "WETH", wei("WETH", 1.6), START_S)
    assert pool.withdraw("alice", "WETH", wei("WETH", 1.5), START_S) == wei("WETH", 1.5)
    assert pool.account("alice", START_S).health_wad >= WAD


@pytest.mark.parametrize("rules", list(RULES))
def test_a_loan_can_be_closed_whole_after_a_year(rules: str) -> None:
    """Repay all, withdraw all: no flag, share or wei is left, however the rounding went."""
    pool = loan(rules)
    end_s = START_S + YEAR_S
    assert pool.repay("alice", "USDC", ALL, end_s) > wei("USDC", 14_000)
    pool.withdraw("alice", "WETH", ALL, end_s)
    account = pool.market.account("alice")
    assert not account.borrowing
    assert not account.collateral
    assert not any(account.supplied.values())
    assert not any(account.borrowed.values())


@pytest.mark.parametrize("rules", list(RULES))
def test_lenders_are_paid_by_borrowers_less_the_treasury_s_share(rules: str) -> None:
    """Interest paid is interest earned: 85 % to the lender, 15 % to the treasury.

    To 1 %: supply interest is simple between two touches, borrow interest compound.
    """
    pool = loan(rules)
    end_s = START_S + YEAR_S
    for asset in ("USDC", "WETH"):
        pool.accrue(asset, end_s)
    if rules != "v2":
        pool.mint_to_treasury("USDC", end_s)
    paid = pool.debt("alice", "USDC", end_s) - wei("USDC", 14_000)
    earned = pool.collateral("lender", "USDC", end_s) - wei("USDC", 1_000_000)
    kept = pool.collateral(TREASURY, "USDC", end_s)
    assert earned == pytest.approx(paid * 0.85, rel=1e-2)
    assert kept == pytest.approx(paid * 0.15, rel=1e-2)


@pytest.mark.parametrize("rules", ["v3.6", "v3.7"])
def test_same_asset_liquidations_pay_the_treasury_twice_until_v3_6(rules: str) -> None:
    """Collateral and debt in WETH: v3.5 and v3.6 book the treasury's share of it twice."""
    pool = market(rules)
    pool.supply("lender", "WETH", wei("WETH", 100), START_S)
    pool.supply("alice", "USDC", wei("USDC", 10_000), START_S)
    pool.supply("alice", "WETH", wei("WETH", 1), START_S)
    pool.borrow("alice", "WETH", wei("WETH", 4.5), START_S)
    pool.set_price("WETH", 2_500 * DOLLAR)
    end_s = START_S + DAY_S
    once = pool.market.copy()
    pool.accrue("WETH", end_s)
    share = pool.reserves["WETH"].treasury_shares
    pool.market.restore(once)
    pool.liquidate("bob", "alice", "WETH", "WETH", ALL, end_s)
    assert share > 0
    assert pool.reserves["WETH"].treasury_shares == share * (2 if rules == "v3.6" else 1)


def test_fixed_rates_take_the_curve_s_place() -> None:
    """5 % on debt for a year: 140 USDC become 140 * (1 + 0.05 + 0.05^2/2 + 0.05^3/6)."""
    pool = loan("v3.7")
    with pytest.raises(Refused, match="TimeRunsBack"):
        pool.set_rates("USDC", 0, 0, START_S - 1)
    pool.set_rates("USDC", RAY // 25, RAY // 20, START_S)
    debt = pool.debt("alice", "USDC", START_S + YEAR_S)
    assert debt == pytest.approx(14_000e6 * (1 + 0.05 + 0.05**2 / 2 + 0.05**3 / 6), rel=1e-9)
    supplied = pool.collateral("lender", "USDC", START_S + YEAR_S)
    assert supplied == pytest.approx(1_000_000e6 * 1.04, rel=1e-9)
    pool.repay("alice", "USDC", wei("USDC", 1_000), START_S)
    assert pool.reserves["USDC"].borrow_rate == RAY // 20
    pool.set_rates("USDC", 0, None)
    pool.repay("alice", "USDC", wei("USDC", 1_000), START_S)
    assert pool.reserves["USDC"].borrow_rate != RAY // 20
    assert pool.reserves["USDC"].fixed_rates is None


def test_the_borrow_rate_has_a_kink() -> None:
    """Slopes 2.7 % to 90 %, then 80 %: 1.35 % at 45 %, 2.7 % at the kink, 42.7 % at 95 %."""
    pool = market("v3.7", lent=100.0)
    pool.supply("alice", "WETH", wei("WETH", 10), START_S)
    for borrowed, rate in ((45.0, 0.0135), (45.0, 0.027), (5.0, 0.427)):
        pool.borrow("alice", "USDC", wei("USDC", borrowed), START_S)
        assert pool.reserves["USDC"].borrow_rate / RAY == pytest.approx(rate, rel=1e-6)
    with pytest.raises(Refused, match="NotEnoughLiquidity: no more can be taken than is there"):
        pool.borrow("alice", "USDC", wei("USDC", 6), START_S)


@pytest.mark.parametrize("rules", V3)
def test_emode_lends_more_on_what_moves_together(rules: str) -> None:
    """In the mode WETH lends 90 % and is liquidated below 93 % with a bonus of 1 %."""
    pool = market(rules)
    pool.supply("alice", "WETH", wei("WETH", 10), START_S)
    with pytest.raises(Refused, match="InconsistentEModeCategory"):
        pool.enter_emode("alice", 7, START_S)
    pool.enter_emode("alice", 1, START_S)
    with pytest.raises(Refused, match=r"NotBorrowableInEMode|InconsistentEModeCategory"):
        pool.borrow("alice", "USDC", wei("USDC", 1), START_S)
    pool.borrow("alice", "DAI", wei("DAI", 17_900), START_S)
    assert pool.account("alice", START_S).threshold_bps == 9_300
    with pytest.raises(Refused, match="HealthFactorLowerThanLiquidationThreshold"):
        pool.enter_emode("alice", 0, START_S)
    pool.set_price("WETH", 1_920 * DOLLAR)
    deal = pool.liquidate("bob", "alice", "WETH", "DAI", wei("DAI", 1_920), START_S)
    assert deal.seized == wei("WETH", 1.01)


def test_v2_has_no_emode() -> None:
    """A mode is an invention of v3."""
    with pytest.raises(Refused, match="InconsistentEModeCategory"):
        market("v2").enter_emode("alice", 1, START_S)
