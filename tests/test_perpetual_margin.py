"""Margin and liquidation price of a futures account."""

from math import inf, isnan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perpetual_accounts import (
    BTC,
    BTC_2021,
    BTC_2024,
    ETH,
    ETH_2021,
    ETH_2024,
    START,
    TABLES,
    Account,
    Tiers,
    tables_of,
)

from seawall.market.series import FloatArray
from seawall.venues.perpetual import layout, margin

NEAR = 1e-9
ONE_TIER_EACH = tables_of([(10**9, 2.5, 16_300, 20)], [(10**9, 10.0, 135_365, 5)])
WHOLE_2021 = tables_of(BTC_2021, ETH_2021)


def _published(tables: FloatArray, *held: int) -> Account:
    """Return Binance's worked example with some of its two positions."""
    it = Account(1_535_443.01, tables=tables)
    it.marks[:] = 31_967.27, 1_335.18
    for i in held:
        it.set(i, *((109.488, 32_481.98) if i == BTC else (3_683.979, 1_456.84)))
    return it


@pytest.mark.parametrize("tables", [ONE_TIER_EACH, WHOLE_2021], ids=["one tier", "brackets"])
def test_the_published_example_of_cross_margin(tables: FloatArray) -> None:
    """Binance: in one account ETH is liquidated at 1,153.26 and BTC at 26,316.89.

    ETH: TMM of BTC = 109.488 * 31,967.27 * 2.5 % - 16,300 = 71,200.81; UPNL of BTC = 109.488 *
    (31,967.27 - 32,481.98) = -56,354.57; (1,535,443.01 - 71,200.81 - 56,354.57 + 135,365 -
    3,683.979 * 1,456.84) / (3,683.979 * 10 % - 3,683.979) = -3,823,714.37 / -3,315.58 = 1,153.26.
    """
    it = _published(tables, BTC, ETH)
    found = [margin.find_liquidation_price(*it.state, i, it.marks, tables) for i in (ETH, BTC)]
    assert found == pytest.approx([1_153.26, 26_316.89], abs=0.005)


@pytest.mark.parametrize("tables", [ONE_TIER_EACH, WHOLE_2021], ids=["one tier", "brackets"])
@pytest.mark.parametrize(("i", "expected"), [(ETH, 1_114.78), (BTC, 18_778.73)])
@pytest.mark.parametrize("is_isolated", [False, True])
def test_the_published_example_of_each_position_alone(
    tables: FloatArray,
    i: int,
    expected: float,
    is_isolated: bool,  # noqa: FBT001
) -> None:
    """Binance: with that wallet for itself, ETH is liquidated at 1,114.78 and BTC at 18,778.73.

    ETH: (1,535,443.01 + 135,365 - 5,366,967.97) / (3,683.979 * (10 % - 1)) = 1,114.78.
    """
    it = _published(tables, i)
    if is_isolated:
        it.positions[i, [layout.IS_ISOLATED, layout.MARGIN]] = 1.0, it.account[layout.WALLET]
        it.account[layout.WALLET] = 0.0
    found = margin.find_liquidation_price(*it.state, i, it.marks, tables)
    assert found == pytest.approx(expected, abs=0.005)
    assert margin.bisect_liquidation_price(*it.state, i, it.marks, tables) == pytest.approx(
        found, rel=NEAR
    )


@pytest.mark.parametrize("tiers", [BTC_2021, ETH_2021, BTC_2024, ETH_2024])
def test_published_amounts_join_the_tiers(tiers: Tiers) -> None:
    """The maintenance margin is the same on both sides of each floor, as the amounts are made."""
    table = tables_of(tiers)[0]
    for floor, rate, amount in table[1:, [layout.FLOOR, layout.RATE, layout.AMOUNT]]:
        assert margin.find_maintenance(floor, table) == pytest.approx(floor * rate - amount)
        below = margin.find_maintenance(np.nextafter(floor, 0.0), table)
        assert margin.find_maintenance(floor, table) == pytest.approx(below, rel=1e-12)


@pytest.mark.parametrize(
    ("notional", "tier", "maintenance"),
    [
        (0.0, 0, 0.0),
        (49_999.0, 0, 199.996),
        (50_000.0, 1, 200.0),
        (600_000.0, 2, 2_950.0),
        (12e6, 4, 108_550.0),
        (5e9, 11, 2.5e9 - 421_481_450.0),
    ],
)
def test_a_notional_has_its_tier(notional: float, tier: int, maintenance: float) -> None:
    """A floor belongs to its tier and beyond the last cap the last holds: 12 M * 2 % - 131,450."""
    assert margin.find_tier(notional, TABLES[BTC]) == tier
    assert margin.find_maintenance(notional, TABLES[BTC]) == pytest.approx(maintenance)


def test_rows_behind_the_last_tier_are_no_tiers() -> None:
    """A contract with fewer tiers than another stays in its last one at any notional."""
    tables = tables_of(BTC_2024, ETH_2024[:3])
    assert margin.find_tier(1e12, tables[ETH]) == 2


def test_margins_of_a_mixed_account() -> None:
    """One cross and one isolated position, each with its own margin.

    Cross: 2 BTC from 60,000 at a mark of 61,000: unrealised 2,000, initial 122,000 / 10 = 12,200,
    maintenance 122,000 * 0.5 % - 50 = 560. Isolated: 10 ETH short from 2,500 at 2,600 with 2,500:
    unrealised -1,000, balance 1,500, initial 2,600, maintenance 26,000 * 0.4 % = 104. Wallet
    20,000: available 20,000 + 2,000 - 12,200 = 9,800, which may all leave (20,000 - 560 is more);
    equity 20,000 + 2,500 + 2,000 - 1,000; ratio max(560 / 22,000, 104 / 1,500).
    """
    it = Account(20_000.0, isolated=(False, True))
    it.set(BTC, 2.0, 60_000.0)
    it.set(ETH, -10.0, 2_500.0, 2_500.0)
    it.marks[:] = 61_000.0, 2_600.0
    cross = margin.cross_margin(*it.state, it.marks, it.tables)
    assert cross == pytest.approx((22_000.0, 560.0, 12_200.0, 2_000.0))
    alone = margin.isolated_margin(it.positions, ETH, 2_600.0, it.tables[ETH])
    assert alone == pytest.approx((1_500.0, 104.0, 2_600.0, -1_000.0))
    assert it.equity == 23_500.0
    assert margin.find_available(*it.state, it.marks) == pytest.approx(9_800.0)
    assert margin.find_withdrawable(*it.state, it.marks, it.tables) == pytest.approx(9_800.0)
    ratio = margin.find_margin_ratio(*it.state, it.marks, it.tables)
    assert ratio == pytest.approx(104.0 / 1_500.0)


def test_a_profit_that_is_not_realised_may_not_leave() -> None:
    """Wallet 7,000, 1 BTC from 60,000 at 80,000: 19,000 free for orders, 6,650 to withdraw.

    7,000 + 20,000 - 80,000 / 10 = 19,000; 7,000 - (80,000 * 0.5 % - 50) = 6,650.
    """
    it = Account(7_000.0)
    it.set(BTC, 1.0, 60_000.0)
    it.marks[BTC] = 80_000.0
    assert margin.find_available(*it.state, it.marks) == pytest.approx(19_000.0)
    assert margin.find_withdrawable(*it.state, it.marks, it.tables) == pytest.approx(6_650.0)


def test_an_empty_account_has_no_risk() -> None:
    """Without a position the ratio is 0.0 and there is no liquidation price."""
    it = Account(0.0)
    assert margin.find_margin_ratio(*it.state, it.marks, it.tables) == 0.0
    assert isnan(margin.find_liquidation_price(*it.state, BTC, it.marks, it.tables))
    assert isnan(margin.bisect_liquidation_price(*it.state, BTC, it.marks, it.tables))


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize("wallet", [0.0, -10.0])
def test_a_balance_of_nothing_is_an_infinite_ratio(
    wallet: float,
    isolated: bool,  # noqa: FBT001
) -> None:
    """Where the margin balance is <= 0 the ratio is inf, cross and isolated."""
    it = Account(0.0 if isolated else wallet, isolated=(isolated, False))
    it.set(BTC, 1.0, 60_000.0, wallet if isolated else 0.0)
    assert margin.find_margin_ratio(*it.state, it.marks, it.tables) == inf


@pytest.mark.parametrize(("quantity", "wallet"), [(1.0, 60_000.0), (1.0, 70_000.0), (-1.0, -7e4)])
def test_no_price_is_no_liquidation_price(quantity: float, wallet: float) -> None:
    """A long that is paid for whole is never liquidated; a short that owes more always is: nan."""
    it = Account(wallet)
    it.set(BTC, quantity, 60_000.0)
    assert isnan(margin.find_liquidation_price(*it.state, BTC, it.marks, it.tables))
    assert isnan(margin.bisect_liquidation_price(*it.state, BTC, it.marks, it.tables))


sizes = st.floats(1e-3, 20_000.0) | st.floats(-20_000.0, -1e-3)
moves = st.floats(0.3, 3.0)


@st.composite
def accounts(draw: st.DrawFn) -> Account:
    """Draw an account with two positions, healthy or not, in any modes, through all the tiers."""
    it = Account(0.0, isolated=(draw(st.booleans()), draw(st.booleans())))
    for i in range(2):
        quantity, entry = draw(sizes), START[i] * draw(moves)
        it.marks[i] = entry * draw(moves)
        share = draw(st.floats(0.001, 1.2)) * abs(quantity) * entry
        is_isolated = it.positions[i, layout.IS_ISOLATED] > 0.0
        it.set(i, quantity, entry, share if is_isolated else 0.0)
        it.account[layout.WALLET] += 0.0 if is_isolated else share
    return it


@settings(deadline=None, max_examples=300)
@given(accounts(), st.sampled_from([BTC, ETH]))
def test_the_closed_form_is_the_bisection(it: Account, i: int) -> None:
    """Both liquidation prices are within 1e-9 of each other, and are or are not there together."""
    closed = margin.find_liquidation_price(*it.state, i, it.marks, it.tables)
    halved = margin.bisect_liquidation_price(*it.state, i, it.marks, it.tables)
    entry = max(it.positions[:, layout.ENTRY] * np.abs(it.positions[:, layout.QUANTITY]))
    noise = 1e-13 * entry / abs(it.positions[i, layout.QUANTITY])
    if isnan(closed) or isnan(halved):
        assert not max(nan_to_zero(closed), nan_to_zero(halved)) > noise
    else:
        assert closed == pytest.approx(halved, rel=NEAR, abs=noise)


def nan_to_zero(price: float) -> float:
    """Return 0.0 for no price."""
    return 0.0 if isnan(price) else price


@settings(deadline=None, max_examples=200)
@given(accounts(), st.sampled_from([BTC, ETH]))
def test_at_the_liquidation_price_balance_is_maintenance(it: Account, i: int) -> None:
    """With the mark there, the margin balance equals the maintenance margin."""
    price = margin.find_liquidation_price(*it.state, i, it.marks, it.tables)
    if isnan(price):
        return
    it.marks[i] = price
    if it.positions[i, layout.IS_ISOLATED] > 0.0:
        own = margin.isolated_margin(it.positions, i, price, it.tables[i])
    else:
        own = margin.cross_margin(*it.state, it.marks, it.tables)
    assert own.balance == pytest.approx(own.maintenance, rel=NEAR, abs=1e-12 * it.size())


@settings(deadline=None, max_examples=200)
@given(accounts())
def test_margin_is_not_counted_twice(it: Account) -> None:
    """What is free and what is in use are together within the equity, where there is any free."""
    free = margin.find_available(*it.state, it.marks)
    cross = margin.cross_margin(*it.state, it.marks, it.tables)
    tiny = 1e-12 * it.size()
    apart = sum(
        margin.isolated_margin(it.positions, i, it.marks[i], it.tables[i]).balance
        for i in range(2)
        if it.positions[i, layout.IS_ISOLATED] > 0.0
    )
    assert free == 0.0 or free + cross.initial + apart <= it.equity + tiny
    leaving = margin.find_withdrawable(*it.state, it.marks, it.tables)
    assert 0.0 <= leaving <= free + tiny
    it.account[layout.WALLET] -= leaving
    after = margin.cross_margin(*it.state, it.marks, it.tables)
    assert leaving == 0.0 or after.balance >= max(after.initial, after.maintenance) - tiny


def test_the_tier_at_the_liquidation_price_counts() -> None:
    """A long of 250 BTC from 60,000 (15 M, tier 5) is liquidated in tier 4, by tier 4's rate.

    Isolated with 5 M: (5 M + 11,450 - 15 M) / (250 * (1 % - 1)) = 40,357.78, a notional of 10.1 M,
    below 12 M. By the tier of the entry it would be (5 M + 131,450 - 15 M) / (250 * (2 % - 1)) =
    40,279.80.
    """
    it = Account(0.0, isolated=(True, True))
    it.set(BTC, 250.0, 60_000.0, 5e6)
    found = margin.find_liquidation_price(*it.state, BTC, it.marks, it.tables)
    assert found == pytest.approx(9_988_550.0 / 247.5, rel=1e-12)
