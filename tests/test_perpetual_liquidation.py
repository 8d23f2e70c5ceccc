"""What is liquidated, when on the way, and what is left."""

from math import inf, isnan, nextafter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perpetual_accounts import BTC, BTC_2024, ETH, ETH_2024, START, Account, tables_of

from seawall.market.series import FloatArray
from seawall.venues.perpetual import layout, liquidation, margin
from seawall.venues.perpetual.layout import (
    CLOSED,
    CROSS,
    FEE,
    INSURANCE,
    INSURED,
    LEFT,
    LIQUIDATION_FEES,
    MARGIN,
    MARGIN_BEFORE,
    NOBODY,
    PNL,
    QUANTITY,
    RATIO_BEFORE,
    REALISED,
    SYMBOL,
    TIER,
    WALLET,
)


def _breach(it: Account, btc: float, eth: float) -> tuple[float, int]:
    """Return the first breach on the way from the account's marks to others."""
    return liquidation.find_breach(*it.state, it.marks, np.array([btc, eth]), it.tables)


def _is_safe(it: Account, btc: tuple[float, float], eth: tuple[float, float]) -> bool:
    lows, highs = np.array([btc[0], eth[0]]), np.array([btc[1], eth[1]])
    return liquidation.is_safe(*it.state, lows, highs, it.tables)


def test_a_small_isolated_position_is_closed_whole_and_its_fee_is_insured() -> None:
    """10 ETH from 2,500 at 5x, 5,000 aside: due at 20,000 / 9.96 = 2,008.032, tier 1, all closed.

    There the balance is 5,000 + 10 * (2,008.032 - 2,500) = 80.32 = 0.4 % of 20,080.32. The fee of
    1.25 % is 251.00, of which the insurance fund books 170.68. The rest of the wallet stays.
    """
    it = Account(1_000.0, isolated=(False, True))
    it.set(ETH, 10.0, 2_500.0, 5_000.0)
    it.first = 6_000.0
    price = 20_000.0 / 9.96
    assert margin.find_liquidation_price(*it.state, ETH, it.marks, it.tables) == pytest.approx(
        price
    )
    it.marks[ETH] = price
    assert it.liquidate(ETH) == 1
    event = it.events[0]
    assert event[[SYMBOL, TIER, CLOSED, LEFT]] == pytest.approx((ETH, 1, -10.0, 0.0))
    assert event[[FEE, PNL, INSURANCE]] == pytest.approx((251.00402, -4_919.67871, 170.68273))
    assert event[[RATIO_BEFORE, MARGIN_BEFORE]] == pytest.approx((1.0, 80.32129))
    assert it.positions[ETH, [QUANTITY, MARGIN]] == pytest.approx(0.0, abs=0.0)
    sums = it.account[[WALLET, REALISED, LIQUIDATION_FEES, INSURED]]
    assert sums == pytest.approx((1_000.0, -4_919.67871, 251.00402, 170.68273))
    assert it.find_missing() == pytest.approx(0.0, abs=1e-9)


def test_what_the_fee_leaves_stays_with_the_owner() -> None:
    """The same with a fee of 0.1 %: 80.32 - 20.08 = 60.24 of the margin go back to the wallet."""
    it = Account(1_000.0, isolated=(False, True))
    it.set(ETH, 10.0, 2_500.0, 5_000.0)
    it.terms[:, liquidation.FEE_RATE] = 0.001
    it.marks[ETH] = 20_000.0 / 9.96
    it.liquidate(ETH)
    assert it.account[[WALLET, INSURED]] == pytest.approx((1_060.240964, 0.0))


def test_a_large_position_goes_tier_by_tier_and_may_live_on() -> None:
    """A short of 12 BTC at 60,000 (720,000, tier 3) leaves tier 3 and is healthy in tier 2.

    Below 600,000 are 9.999 BTC on the lot: 2.001 close for a fee of 0.1 % of 120,060 = 120.06.
    Maintenance was 720,000 * 0.65 % - 950 = 3,730, the balance as much; after it 3,609.94 stand
    against 599,940 * 0.5 % - 50 = 2,949.70.
    """
    it = Account(0.0, isolated=(True, False))
    it.set(BTC, -12.0, 60_000.0, 3_730.0)
    it.terms[:, liquidation.FEE_RATE] = 0.001
    assert it.liquidate(BTC) == 1
    event = it.events[0, [TIER, CLOSED, LEFT, FEE, PNL, INSURANCE, RATIO_BEFORE]]
    assert event == pytest.approx((3, 2.001, -9.999, 120.06, 0.0, 0.0, 1.0))
    assert it.positions[BTC, [QUANTITY, MARGIN]] == pytest.approx((-9.999, 3_609.94))


def test_a_fee_above_the_maintenance_rate_closes_every_tier() -> None:
    """The same at 1.25 %: after 1,500.75 of fee 2,229.25 are below 2,949.70, and so on to tier 1.

    Tier 2 to below 50,000: 9.166 close and 0.833 are left; tier 1: all. The fees are 1.25 % of
    720,000 = 9,000 in sum, the fund carries 9,000 - 3,730 = 5,270.
    """
    it = Account(0.0, isolated=(True, False))
    it.set(BTC, -12.0, 60_000.0, 3_730.0)
    it.first = 3_730.0
    assert it.liquidate(BTC) == 3
    assert it.events[:3, TIER] == pytest.approx((3, 2, 1))
    assert it.events[:3, CLOSED] == pytest.approx((2.001, 9.166, 0.833))
    assert it.events[:3, INSURANCE] == pytest.approx((0.0, 0.0, 5_270.0))
    assert it.account[[LIQUIDATION_FEES, INSURED, WALLET]] == pytest.approx((9_000.0, 5_270.0, 0.0))
    assert it.equity == 0.0


def test_a_balance_of_exactly_the_maintenance_margin_is_not_healthy() -> None:
    """A step that leaves a short of 8 BTC at 62,500 with 2,450 aside goes on.

    Tier 2 from 500,000: 0.5 % less 50 is 2,450. From 10 BTC (625,000, tier 3) down to below 600,000
    with a lot of 8 leaves 8 BTC and, without a fee and at the entry, just that balance; below
    50,000 that lot leaves nothing.
    """
    it = Account(0.0, isolated=(True, False))
    it.set(BTC, -10.0, 62_500.0, 2_450.0)
    it.marks[BTC] = 62_500.0
    it.terms[BTC] = 0.0, 8.0
    assert it.liquidate(BTC) == 2
    assert it.account[WALLET] == 2_450.0


def test_the_largest_loss_of_the_cross_account_goes_first() -> None:
    """BTC has lost 5,000 and ETH 6,000: ETH is closed, and BTC stays as the rest carries it.

    Wallet 11,300: balance 300 against 55,000 * 0.5 % - 50 + 19,000 * 0.4 % = 301. The fee of 0.1 %
    of 19,000 is 19: 281 stand against 225.
    """
    it = Account(11_300.0)
    it.set(BTC, 1.0, 60_000.0)
    it.set(ETH, 10.0, 2_500.0)
    it.terms[:, liquidation.FEE_RATE] = 0.001
    it.marks[:] = 55_000.0, 1_900.0
    assert _breach(it, *it.marks) == (0.0, CROSS)
    assert it.liquidate(CROSS) == 1
    assert it.events[0, SYMBOL] == ETH
    assert it.positions[:, QUANTITY] == pytest.approx((1.0, 0.0))
    assert it.account[WALLET] == pytest.approx(5_281.0)
    assert _breach(it, *it.marks)[1] == NOBODY


def test_one_leg_dies_and_the_other_does_not_notice() -> None:
    """An isolated ETH far under water costs its margin only: the cross account stays as it was."""
    it = Account(20_000.0, isolated=(False, True))
    it.set(BTC, 1.0, 60_000.0)
    it.set(ETH, 10.0, 2_500.0, 2_500.0)
    before = margin.cross_margin(*it.state, it.marks, it.tables)
    it.marks[ETH] = 1_000.0
    assert _breach(it, *it.marks) == (0.0, ETH)
    it.liquidate(ETH)
    assert margin.cross_margin(*it.state, it.marks, it.tables) == before
    assert it.account[INSURED] == pytest.approx(12_500.0 + 125.0)


def test_a_bankrupt_cross_account_ends_at_nothing() -> None:
    """Both positions closed below zero: the insurance fund brings the wallet to exactly 0.0."""
    it = Account(1_000.0)
    it.set(BTC, 1.0, 60_000.0)
    it.set(ETH, -10.0, 2_500.0)
    it.marks[:] = 50_000.0, 2_600.0
    it.liquidate(CROSS)
    assert it.account[WALLET] == it.equity == 0.0
    assert it.account[INSURED] == pytest.approx(10_000.0 + 1_000.0 - 1_000.0 + 0.0125 * 76_000.0)
    assert it.find_missing() == pytest.approx(0.0, abs=1e-9)


def test_a_liquidation_without_rows_left_is_complete_and_counted() -> None:
    """Where ``events`` is full, all is closed all the same and the number says what is missing."""
    it = Account(0.0, isolated=(True, False))
    it.set(BTC, -12.0, 60_000.0, 3_730.0)
    it.events = np.zeros((1, layout.N_EVENT))
    assert it.liquidate(BTC) == 3
    assert it.positions[BTC, QUANTITY] == 0.0


@pytest.mark.parametrize(
    ("quantity", "lot_size", "expected"),
    [(10.0, 0.001, 0.001), (10.0, 1.0, 1.0), (10.0005, 0.001, 0.0015), (0.5, 0.001, 0.5)],
)
def test_a_step_leaves_the_tier_by_a_lot_that_closes_more(
    quantity: float, lot_size: float, expected: float
) -> None:
    """10 BTC at 60,000 stand on the floor of tier 3, which belongs to it: 9.999 do not.

    At a lot of 1 BTC 9 are left; in tier 1 nothing.
    """
    table = tables_of(BTC_2024)[0]
    assert liquidation.find_step(quantity, 60_000.0, table, lot_size) == pytest.approx(expected)


@settings(deadline=None, max_examples=300)
@given(st.floats(0.001, 30_000.0), st.floats(1e3, 2e5), st.sampled_from([0.0, 0.001, 0.1, 7.0]))
def test_a_step_always_leaves_its_tier(quantity: float, mark: float, lot_size: float) -> None:
    """What is left is in a lower tier, within a lot of its cap, or nothing is left."""
    table = tables_of(BTC_2024)[0]
    tier = margin.find_tier(quantity * mark, table)
    closed = liquidation.find_step(quantity, mark, table, lot_size)
    left = quantity - closed
    assert 0.0 < closed <= quantity
    if tier == 0:
        assert left == 0.0
    else:
        assert margin.find_tier(left * mark, table) < tier
        assert left >= table[tier, layout.FLOOR] / mark - 2.0 * lot_size - 1e-9 * quantity


def test_the_way_to_the_liquidation_price_is_exact() -> None:
    """From 2,500 to 1,500 a long due at 2,008.032 is liquidated after 49.1968 % of the way."""
    it = Account(0.0, isolated=(False, True))
    it.set(ETH, 10.0, 2_500.0, 5_000.0)
    fraction, who = _breach(it, START[BTC], 1_500.0)
    assert who == ETH
    assert fraction == pytest.approx((2_500.0 - 20_000.0 / 9.96) / 1_000.0, rel=1e-12)
    assert _breach(it, START[BTC], 2_009.0)[1] == NOBODY
    assert _breach(it, 1.0, 4_000.0)[1] == NOBODY


def test_the_first_of_two_liquidations_is_found() -> None:
    """Isolated BTC is due at 54,221.11 and the cross account of ETH at 2,259.04.

    BTC: (6,000 + 50 - 60,000) / (0.5 % - 1); ETH: (2,500 - 25,000) / (10 * (0.4 % - 1)). On the way
    to 48,000 and 2,200 BTC is due after 48.157 % and ETH after 80.3 %; to 54,000 and 2,000 BTC is
    due after 96.3 % and ETH after 48.193 %; to 48,000 and 2,000 BTC is by a hair before ETH.
    """
    it = Account(2_500.0, isolated=(True, False))
    it.set(BTC, 1.0, 60_000.0, 6_000.0)
    it.set(ETH, 10.0, 2_500.0)
    btc, eth = 53_950.0 / 0.995, 22_500.0 / 9.96
    fraction, who = _breach(it, 48_000.0, 2_200.0)
    assert who == BTC
    assert fraction == pytest.approx((60_000.0 - btc) / 12_000.0)
    fraction, who = _breach(it, 54_000.0, 2_000.0)
    assert who == CROSS
    assert fraction == pytest.approx((2_500.0 - eth) / 500.0)
    assert _breach(it, 48_000.0, 2_000.0)[1] == BTC


def test_what_is_due_at_the_start_is_due_at_once() -> None:
    """A balance of exactly the maintenance margin is liquidated, at fraction 0."""
    it = Account(0.0, isolated=(True, False))
    it.set(BTC, -12.0, 60_000.0, 3_730.0)
    assert _breach(it, 50_000.0, START[ETH]) == (0.0, BTC)
    assert not _is_safe(it, (50_000.0, 60_000.0), (1.0, 9e9))
    it.positions[BTC, MARGIN] = nextafter(3_730.0, inf)
    assert isnan(_breach(it, 50_000.0, START[ETH])[0])
    assert _is_safe(it, (50_000.0, 60_000.0), (1.0, 9e9))


def test_an_account_without_positions_is_safe() -> None:
    """Nothing can happen to it, whatever its wallet."""
    it = Account(0.0)
    assert _is_safe(it, (1e-9, 1e9), (1e-9, 1e9))
    assert _breach(it, 1.0, 1.0)[1] == NOBODY
    assert it.liquidate(CROSS) == 0


@st.composite
def ways(draw: st.DrawFn) -> tuple[Account, FloatArray]:
    """Draw an account that is not due, in any modes and tiers, and where its marks go."""
    it = Account(0.0, isolated=(draw(st.booleans()), draw(st.booleans())))
    for i in range(2):
        quantity = draw(st.sampled_from([0.0, 1.0, -1.0])) * 10.0 ** draw(st.floats(-3.0, 4.3))
        entry = it.marks[i] * draw(st.floats(0.7, 1.4))
        needed = margin.find_maintenance(abs(quantity) * it.marks[i], it.tables[i])
        loss = max(-quantity * (it.marks[i] - entry), 0.0)
        share = (needed + loss) * (1.0 + draw(st.floats(1e-6, 1.0)))
        is_isolated = it.positions[i, layout.IS_ISOLATED] > 0.0
        it.set(i, quantity, entry if quantity else 0.0, share if is_isolated else 0.0)
        it.account[WALLET] += 0.0 if is_isolated else share
    it.first = it.account[WALLET] + it.positions[:, MARGIN].sum()
    return it, it.marks * np.array([draw(st.floats(0.4, 2.5)), draw(st.floats(0.4, 2.5))])


def _excesses(it: Account, marks: FloatArray) -> dict[int, float]:
    """Return balance less maintenance of all that can be liquidated, from the margins."""
    found = {}
    for i in range(2):
        if it.positions[i, layout.IS_ISOLATED] > 0.0 and it.positions[i, QUANTITY] != 0.0:
            own = margin.isolated_margin(it.positions, i, marks[i], it.tables[i])
            found[i] = own.balance - own.maintenance
    cross = margin.cross_margin(*it.state, marks, it.tables)
    if cross.initial > 0.0:
        found[CROSS] = cross.balance - cross.maintenance
    return found


@settings(deadline=None, max_examples=400)
@given(ways())
def test_the_first_breach_is_a_root_and_nothing_is_due_before(
    drawn: tuple[Account, FloatArray],
) -> None:
    """At the fraction found, balance is maintenance; at 200 places before it nothing is due."""
    it, targets = drawn
    fraction, who = liquidation.find_breach(*it.state, it.marks, targets, it.tables)
    tiny = 1e-11 * it.size()
    until = 1.0 if who == NOBODY else fraction
    for t in np.linspace(0.0, until, 200):
        marks = it.marks + t * (targets - it.marks)
        assert all(excess > -tiny for excess in _excesses(it, marks).values())
    if who != NOBODY:
        marks = it.marks + fraction * (targets - it.marks)
        assert _excesses(it, marks)[who] == pytest.approx(0.0, abs=tiny)


@settings(deadline=None, max_examples=300)
@given(ways(), st.sampled_from([BTC, ETH]))
def test_a_price_crossed_is_a_liquidation_and_one_not_reached_is_none(
    drawn: tuple[Account, FloatArray], i: int
) -> None:
    """With one mark moving, a billionth beyond the liquidation price is due, before it not."""
    it, _ = drawn
    price = margin.find_liquidation_price(*it.state, i, it.marks, it.tables)
    if isnan(price):
        assert it.positions[i, QUANTITY] >= 0.0
        targets = it.marks.copy()
        targets[i] *= 1e-9
        assert liquidation.find_breach(*it.state, it.marks, targets, it.tables)[1] == NOBODY
        return
    targets, near = it.marks.copy(), 1e-9 + 1e-12 * it.size() / (abs(price * it.positions[i, 0]))
    away = 1.0 if price > it.marks[i] else -1.0
    targets[i] = price * (1.0 + away * near)
    _, who = liquidation.find_breach(*it.state, it.marks, targets, it.tables)
    assert who == (i if it.positions[i, layout.IS_ISOLATED] > 0.0 else CROSS)
    targets[i] = price * (1.0 - away * near)
    if away * (targets[i] - it.marks[i]) > 0.0:
        assert liquidation.find_breach(*it.state, it.marks, targets, it.tables)[1] == NOBODY


@settings(deadline=None, max_examples=300)
@given(ways(), st.integers(0, 2**32 - 1))
def test_what_is_safe_is_not_due_anywhere(drawn: tuple[Account, FloatArray], seed: int) -> None:
    """Where ``is_safe``, no path within the extremes is due; where not, the adverse corner is."""
    it, targets = drawn
    lows, highs = np.minimum(it.marks, targets), np.maximum(it.marks, targets)
    is_safe = liquidation.is_safe(*it.state, lows, highs, it.tables)
    corner = np.where(it.positions[:, QUANTITY] > 0.0, lows, highs)
    at_corner = _excesses(it, corner)
    tiny = 1e-12 * it.size()
    if not is_safe:
        assert min(at_corner.values()) <= tiny
        return
    assert all(excess > -tiny for excess in at_corner.values())
    rng = np.random.default_rng(seed)
    for _ in range(20):
        there, then = rng.uniform(lows, highs, (2, 2))
        fraction, who = liquidation.find_breach(*it.state, there, then, it.tables)
        assert who == NOBODY or min(at_corner.values()) < tiny, fraction


@settings(deadline=None, max_examples=300)
@given(ways(), st.floats(0.0, 0.05), st.sampled_from([0.0, 0.001, 0.5]))
def test_after_a_liquidation_nothing_is_due_and_nothing_is_owed(
    drawn: tuple[Account, FloatArray], fee_rate: float, lot_size: float
) -> None:
    """Equity is not below zero, what is left is healthy, and the sums explain the equity.

    A liquidation only reduces, and its events add up to the sums.
    """
    it, targets = drawn
    it.terms[:] = fee_rate, lot_size
    it.marks[:] = targets
    held = it.positions[:, QUANTITY].copy()
    it.liquidate_due()
    tiny = 1e-12 * it.size()
    assert it.equity >= -tiny
    assert it.account[WALLET] >= 0.0 or CROSS in _excesses(it, it.marks)
    assert all(excess > 0.0 for excess in _excesses(it, it.marks).values())
    left = it.positions[:, QUANTITY]
    assert np.all(left * held >= 0.0)
    assert np.all(np.abs(left) <= np.abs(held))
    assert it.find_missing() == pytest.approx(0.0, abs=1e-9 * max(it.size(), 1.0))
    rows = it.events[: it.n_events]
    for column, total in ((FEE, LIQUIDATION_FEES), (INSURANCE, INSURED), (PNL, REALISED)):
        assert rows[:, column].sum() == pytest.approx(it.account[total], abs=10 * tiny)
    for i in range(2):
        closed = rows[rows[:, SYMBOL] == i, CLOSED].sum()
        assert held[i] + closed == pytest.approx(left[i], rel=1e-9, abs=1e-9)


def test_the_tables_of_both_contracts_are_told_apart() -> None:
    """A notional of 60 M stands in tier 5 of BTC (to 70 M) and in tier 6 of ETH (50 to 65 M)."""
    tables = tables_of(BTC_2024, ETH_2024)
    assert [margin.find_tier(6e7, table) + 1 for table in tables] == [5, 6]
