"""Fills, funding, margin and transfers of a futures account."""

from dataclasses import dataclass
from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perpetual_accounts import BTC, ETH, FREE, START, Account

from seawall.venues import spot
from seawall.venues.perpetual import layout, margin, positions
from seawall.venues.perpetual.layout import ENTRY, FEES, INSURED, MARGIN, QUANTITY, REALISED, WALLET

NO_FEE = FREE._replace(maker_fee=0.0, taker_fee=0.0)


def _offer(price: float, capacity: float = inf) -> spot.Offer:
    return spot.Offer(price, nan, nan, capacity, True)


def _affordable(
    it: Account, i: int, order: tuple[float, float, bool], offer: spot.Offer, rules: spot.Rules
) -> float:
    """Return ``find_affordable`` with the limit that the side has without one."""
    offer = offer._replace(limit=inf if order[0] > 0.0 else 0.0)
    return positions.find_affordable(*it.state, i, order, offer, rules, it.marks, it.tables)


@dataclass(frozen=True)
class Step:
    """A fill, and what the account has to be afterwards."""

    quantity: float
    price: float
    fee: float
    pnl: float
    holding: tuple[float, float]  # quantity, entry
    wallet: float
    set_aside: float  # margin, isolated


CROSS_STEPS = [
    Step(2.0, 2_000.0, 2.0, 0.0, (2.0, 2_000.0), 9_998.0, 0.0),  # opens
    Step(2.0, 3_000.0, 3.0, 0.0, (4.0, 2_500.0), 9_995.0, 0.0),  # adds: (4,000 + 6,000) / 4
    Step(-1.0, 2_600.0, 1.0, 100.0, (3.0, 2_500.0), 10_094.0, 0.0),  # reduces
    Step(-5.0, 2_400.0, 6.0, -300.0, (-2.0, 2_400.0), 9_788.0, 0.0),  # flips: 3 * -100
    Step(2.0, 2_300.0, 2.0, 200.0, (0.0, 0.0), 9_986.0, 0.0),  # closes
]
ISOLATED_STEPS = [
    Step(2.0, 2_000.0, 2.0, 0.0, (2.0, 2_000.0), 9_598.0, 400.0),  # 4,000 / 10 aside
    Step(2.0, 3_000.0, 3.0, 0.0, (4.0, 2_500.0), 8_995.0, 1_000.0),  # and 6,000 / 10
    Step(-1.0, 2_600.0, 1.0, 100.0, (3.0, 2_500.0), 9_344.0, 750.0),  # 250 + 100 - 1 back
    Step(-5.0, 2_400.0, 6.0, -300.0, (-2.0, 2_400.0), 9_308.0, 480.0),  # 750 - 300 - 6 - 480
    Step(2.0, 2_300.0, 2.0, 200.0, (0.0, 0.0), 9_986.0, 0.0),  # 480 + 200 - 2 back
]


@pytest.mark.parametrize(
    ("isolated", "steps"), [(False, CROSS_STEPS), (True, ISOLATED_STEPS)], ids=["cross", "isolated"]
)
def test_a_position_opens_adds_reduces_flips_and_closes(
    isolated: bool,  # noqa: FBT001
    steps: list[Step],
) -> None:
    """Wallet 10,000, 10x: fees 14 and profits 100 - 300 + 200 = 0 leave 9,986 in either mode."""
    it = Account(10_000.0, isolated=(False, isolated))
    for step in steps:
        assert it.open(ETH, step.quantity, step.price, step.fee) == pytest.approx(step.pnl)
        held = it.positions[ETH, [QUANTITY, ENTRY, MARGIN]]
        assert held == pytest.approx((*step.holding, step.set_aside))
        assert it.account[WALLET] == pytest.approx(step.wallet)
    assert it.account[[REALISED, FEES, INSURED]] == pytest.approx((0.0, 14.0, 0.0), abs=1e-9)


def test_a_short_earns_what_the_price_falls() -> None:
    """1 BTC sold at 60,000 and bought at 59,000 earns 1,000."""
    it = Account(10_000.0)
    it.open(BTC, -1.0, 60_000.0)
    assert it.open(BTC, 1.0, 59_000.0) == 1_000.0
    assert it.account[WALLET] == 11_000.0


def test_a_close_that_is_off_by_rounding_closes_all() -> None:
    """0.1 + 0.2 is closed by 0.3, which is less by a bit of the float, and nothing is left."""
    it = Account(10_000.0, isolated=(True, True))
    it.open(BTC, 0.1, 60_000.0)
    it.open(BTC, 0.2, 60_000.0)
    it.open(BTC, -0.3, 60_000.0)
    assert it.positions[BTC, :3] == pytest.approx(0.0, abs=0.0)
    assert it.account[WALLET] == pytest.approx(10_000.0)


@pytest.mark.parametrize(
    ("wallet", "left", "insured"), [(1_000.0, 300.0, 0.0), (300.0, 0.0, 400.0)]
)
def test_a_loss_beyond_the_isolated_margin_is_paid_by_the_wallet(
    wallet: float, left: float, insured: float
) -> None:
    """Closed at a loss of 1,200 with 500 set aside: 700 from the wallet, then the insurance fund.

    2 ETH from 2,500, 10x: 500 aside; sold at 1,900 lose 1,200. No money is made of nothing.
    """
    it = Account(wallet + 500.0, isolated=(True, True))
    it.open(ETH, 2.0, 2_500.0)
    it.open(ETH, -2.0, 1_900.0)
    assert it.account[[WALLET, INSURED]] == pytest.approx((left, insured))
    assert it.find_missing() == pytest.approx(0.0, abs=1e-9)


def test_a_loss_beyond_the_share_takes_the_rest_of_the_margin_first() -> None:
    """Half closed at a loss of 600 with a share of 250: the other 250 pay too, then 100 of cash."""
    it = Account(1_500.0, isolated=(True, True))
    it.open(ETH, 2.0, 2_500.0)
    it.open(ETH, -1.0, 1_900.0)
    assert it.account[WALLET] == pytest.approx(900.0)
    assert it.positions[ETH, MARGIN] == 0.0


def test_the_insurance_fund_waits_while_a_cross_position_is_open() -> None:
    """A realised loss may leave the wallet below zero while another position's profit carries it.

    Wallet 1,000; 1 BTC long at +5,000; ETH closed at -3,000: wallet -2,000, balance 3,000, nothing
    insured. The BTC closed at +1,000 instead leaves -1,000, which is.
    """
    it = Account(1_000.0)
    it.set(BTC, 1.0, 60_000.0)
    it.set(ETH, 10.0, 2_500.0)
    it.marks[:] = 65_000.0, 2_200.0
    it.open(ETH, -10.0, 2_200.0)
    assert it.account[[WALLET, INSURED]] == pytest.approx((-2_000.0, 0.0))
    it.open(BTC, -1.0, 61_000.0)
    assert it.account[[WALLET, INSURED]] == pytest.approx((0.0, 1_000.0))


@pytest.mark.parametrize(
    ("side", "price", "expected"),
    [
        (1.0, 60_000.0, 1.658),
        (-1.0, 60_000.0, 1.658),
        (1.0, 60_100.0, 1.628),
        (-1.0, 59_900.0, 1.631),
    ],
)
def test_margin_fee_and_opening_loss_limit_what_opens(
    side: float, price: float, expected: float
) -> None:
    """Wallet 10,000, 10x, fee 5 bps: 10,000 / (6,000 + 30) = 1.658 BTC at the mark of 60,000.

    Bought at 60,100: / (6,010 + 100 + 30.05) = 1.6286. Sold at 59,900, the margin is due at the
    mark: / (6,000 + 100 + 29.95) = 1.6313.
    """
    it = Account(10_000.0)
    found = _affordable(it, BTC, (side, 100.0, False), _offer(price), FREE)
    assert found == pytest.approx(expected)


def test_what_reduces_is_free_and_what_flips_pays() -> None:
    """With no balance a long may be closed whole; to flip it needs margin of its own.

    Wallet 6,000, 10x, no fee: 1 BTC is all it carries. At 57,000 its balance is 3,000 and its
    initial margin 5,700: selling 3 closes 1 and opens 3,000 / 5,700 = 0.526.
    """
    it = Account(6_000.0)
    it.open(BTC, 1.0, 60_000.0)
    it.marks[BTC] = 57_000.0
    offer = _offer(57_000.0)
    assert _affordable(it, BTC, (1.0, 3.0, False), offer, NO_FEE) == 0.0
    assert _affordable(it, BTC, (-1.0, 0.4, False), offer, NO_FEE) == pytest.approx(0.4)
    assert _affordable(it, BTC, (-1.0, 3.0, False), offer, NO_FEE) == pytest.approx(1.526)
    assert _affordable(it, BTC, (-1.0, 3.0, True), offer, NO_FEE) == 1.0
    assert _affordable(it, BTC, (1.0, 3.0, True), offer, NO_FEE) == 0.0
    it.marks[BTC] = 54_100.0
    assert _affordable(it, BTC, (-1.0, 3.0, False), _offer(54_000.0), FREE) == 1.0


def test_a_flip_of_an_isolated_position_spends_what_comes_back() -> None:
    """Wallet 0, 1 BTC from 60,000 with 6,000 aside, 10x, no fee, sold at a mark of 57,000.

    Closing gives 6,000 - 3,000 = 3,000 back, which opens 3,000 / 5,700 = 0.526 of a short.
    """
    it = Account(0.0, isolated=(True, True))
    it.set(BTC, 1.0, 60_000.0, 6_000.0)
    it.marks[BTC] = 57_000.0
    found = _affordable(it, BTC, (-1.0, 3.0, False), _offer(57_000.0), NO_FEE)
    assert found == pytest.approx(1.526)


def test_isolated_margin_is_not_taken_from_a_profit_that_is_not_realised() -> None:
    """Wallet 7,000 and 19,000 free for cross orders, 6,650 of it cash: 26.6 ETH isolated, 76 cross.

    1 BTC from 60,000 at 80,000: 27,000 - 8,000 is free, 7,000 - 350 may leave; an ETH needs 250.
    """
    for isolated, expected in ((True, 26.6), (False, 76.0)):
        it = Account(7_000.0, isolated=(False, isolated))
        it.set(BTC, 1.0, 60_000.0)
        it.marks[BTC] = 80_000.0
        found = _affordable(it, ETH, (1.0, 500.0, False), _offer(2_500.0), NO_FEE)
        assert found == pytest.approx(expected, abs=0.0011)


def test_an_order_within_a_billionth_of_the_position_closes_it() -> None:
    """Less or more by rounding is all of it, to the bit: nothing is left and nothing is opened."""
    it = Account(1_000.0)
    it.set(BTC, 0.30000000000000004, 60_000.0)
    for wanted in (0.3, 0.3000000001):
        found = _affordable(it, BTC, (-1.0, wanted, False), _offer(60_000.0), FREE)
        assert found == it.positions[BTC, QUANTITY]


def test_a_position_off_the_lot_closes_whole() -> None:
    """0.0015 BTC at a lot of 0.001: all of it closes, part of it only in lots."""
    it = Account(1_000.0)
    it.set(BTC, 0.0015, 60_000.0)
    offer = _offer(60_000.0)
    assert _affordable(it, BTC, (-1.0, 0.0015, True), offer, FREE) == 0.0015
    assert _affordable(it, BTC, (-1.0, 0.0014, True), offer, FREE) == 0.001
    assert _affordable(it, BTC, (-1.0, 9.0, True), offer, FREE) == 0.0015


@pytest.mark.parametrize(("leverage", "most"), [(125.0, 0.833), (100.0, 9.999), (20.0, 1_666.666)])
def test_the_bracket_of_the_leverage_limits_the_position(leverage: float, most: float) -> None:
    """At 125x BTC stays below a notional of 50,000, at 100x below 600,000, at 20x 100 million."""
    it = Account(1e9, leverage=(leverage, 1.0))
    assert _affordable(it, BTC, (1.0, 1e6, False), _offer(60_000.0), FREE) == pytest.approx(most)
    it.open(BTC, -most, 60_000.0)
    offer = _offer(60_000.0)
    assert _affordable(it, BTC, (-1.0, 1e6, False), offer, FREE) < 0.002
    assert _affordable(it, BTC, (1.0, 1e6, False), offer, FREE) == pytest.approx(2 * most, abs=2e-3)
    it.positions[BTC, layout.LEVERAGE] = 126.0
    assert _affordable(it, BTC, (1.0, 1e6, False), offer, FREE) == pytest.approx(most)


def test_the_bar_caps_what_fills() -> None:
    """No more fills than the offer's capacity, rounded to the lot."""
    it = Account(1e6)
    assert _affordable(it, BTC, (1.0, 5.0, False), _offer(60_000.0, 0.5507), FREE) == 0.55


@st.composite
def orders(draw: st.DrawFn) -> tuple[Account, int, tuple[float, float, bool], spot.Offer]:
    """Draw an account that lives, and an order on one of its contracts near the mark."""
    isolated = (draw(st.booleans()), draw(st.booleans()))
    leverage = (draw(st.sampled_from([1.0, 3.0, 20.0, 75.0])), draw(st.sampled_from([2.0, 50.0])))
    it = Account(draw(st.floats(100.0, 1e7)), isolated=isolated, leverage=leverage)
    for i in range(2):
        side = draw(st.sampled_from([1.0, -1.0, 0.0]))
        wanted = it.account[WALLET] * draw(st.floats(0.0, 0.6)) * leverage[i] / START[i]
        found = _affordable(it, i, (side or 1.0, wanted, False), _offer(START[i]), FREE)
        if side != 0.0 and found > 0.0:
            it.open(i, side * found, START[i], found * START[i] * FREE.taker_fee)
    for i in range(2):
        it.marks[i] *= draw(st.floats(0.9, 1.1))
    it.liquidate_due()
    i = draw(st.sampled_from([BTC, ETH]))
    price = it.marks[i] * draw(st.floats(0.99, 1.01))
    wanted = draw(st.floats(0.001, 1e8)) / START[i]
    order = (draw(st.sampled_from([1.0, -1.0])), wanted, draw(st.booleans()))
    return it, i, order, _offer(price, inf)


def _find_slack(
    it: Account, i: int, quantity: float, offer: spot.Offer, rules: spot.Rules
) -> float:
    """Return what the cross account has above its needs after a fill, < 0 where it is insured."""
    account, held = it.account.copy(), it.positions.copy()
    price = spot.find_taker_price(1.0 if quantity > 0.0 else -1.0, abs(quantity), offer, rules)
    fee = spot.compute_fee(abs(quantity), price, True, rules)
    positions.trade(account, held, i, quantity, price, fee)
    account[WALLET] -= account[INSURED] - it.account[INSURED]
    cross = margin.cross_margin(account, held, it.marks, it.tables)
    slack = cross.balance - max(cross.initial, cross.maintenance)
    if held[i, layout.IS_ISOLATED] > 0.0:
        return float(min(slack, account[WALLET] - cross.maintenance))
    return float(slack)


Drawn = tuple[Account, int, tuple[float, float, bool], spot.Offer]


@settings(deadline=None, max_examples=300)
@given(orders(), st.sampled_from([0.0, 0.3]))
def test_what_opens_is_on_margin(drawn: Drawn, impact: float) -> None:
    """After what opens, the account holds its margins; slippage by size included."""
    it, i, order, offer = drawn
    side, wanted, is_reduce_only = order
    rules = FREE._replace(impact=impact)
    offer = offer._replace(volume=1e7 / it.marks[i], limit=inf if side > 0.0 else 0.0)
    found = _affordable(it, i, order, offer, rules)
    closable = positions.find_closable(it.positions, i, side)
    assert 0.0 <= found <= max(wanted, closable) * (1 + 1e-12)
    if found > closable:
        assert not is_reduce_only
        tiny = 1e-13 * (it.size() + found * offer.price)
        assert _find_slack(it, i, side * found, offer, rules) >= -tiny


@settings(deadline=None, max_examples=300)
@given(orders())
def test_one_lot_more_is_not_on_margin(drawn: Drawn) -> None:
    """At the mark, where nothing is gained or lost by opening, no more could have been had."""
    it, i, (side, wanted, _), offer = drawn
    offer = offer._replace(price=float(it.marks[i]), limit=inf if side > 0.0 else 0.0)
    found = _affordable(it, i, (side, wanted, False), offer, FREE)
    closable = positions.find_closable(it.positions, i, side)
    most = closable + positions.find_room(it.positions, i, side, it.marks[i], it.tables[i])
    if found < min(wanted, most) - 0.0011:
        assert _find_slack(it, i, side * (found + 0.0011), offer, FREE) < 0.0


@settings(deadline=None, max_examples=200)
@given(orders())
def test_what_opens_stays_below_the_cap_of_its_leverage(drawn: Drawn) -> None:
    """At its mark, and on the lot: at the CAP itself the next tier holds."""
    it, i, (side, _, _), offer = drawn
    table, leverage = it.tables[i], it.positions[i, layout.LEVERAGE]
    caps = table[(table[:, layout.MAX_LEVERAGE] >= leverage) & (table[:, layout.FLOOR] < 1e300)]
    found = _affordable(it, i, (side, 1e9, False), offer, FREE)
    after = abs(it.positions[i, layout.QUANTITY] + side * found) * it.marks[i]
    if found > positions.find_closable(it.positions, i, side):
        assert after < caps[:, layout.CAP].max()


def test_funding_is_paid_by_longs_where_the_rate_is_positive() -> None:
    """2 BTC at a mark of 61,000 and 0.01 %: a long pays 12.20 from the wallet, a short gets it.

    An isolated one pays from its margin.
    """
    for quantity, isolated in ((2.0, False), (-2.0, False), (2.0, True)):
        it = Account(10_000.0, isolated=(isolated, False))
        it.set(BTC, quantity, 60_000.0, 5_000.0 if isolated else 0.0)
        received = positions.settle_funding(*it.state, BTC, 61_000.0, 1e-4)
        assert received == pytest.approx(-12.2 if quantity > 0.0 else 12.2)
        assert it.account[WALLET] == pytest.approx(10_000.0 + (0.0 if isolated else received))
        assert it.positions[BTC, MARGIN] == pytest.approx(4_987.8 if isolated else 0.0)
        assert it.account[layout.FUNDING] == it.positions[BTC, layout.PAID_FUNDING] == received
        assert positions.settle_funding(*it.state, ETH, 2_500.0, 1e-4) == 0.0


def test_margin_is_added_as_far_as_it_may_leave_the_cross_account() -> None:
    """Wallet 10,000 less 1 BTC's initial margin of 6,000 leaves 4,000 to add, of 5,000 asked."""
    it = Account(10_000.0, isolated=(False, True))
    it.set(BTC, 1.0, 60_000.0)
    it.set(ETH, 4.0, 2_500.0, 1_000.0)
    moved = positions.add_margin(*it.state, ETH, 5_000.0, it.marks, it.tables)
    assert moved == pytest.approx(4_000.0)
    assert (it.account[WALLET], it.positions[ETH, MARGIN]) == (6_000.0, 5_000.0)
    assert positions.add_margin(*it.state, BTC, 100.0, it.marks, it.tables) == 0.0


@pytest.mark.parametrize(("mark", "expected"), [(2_500.0, -800.0), (2_600.0, -1_160.0)])
def test_margin_is_taken_out_down_to_the_initial_margin(mark: float, expected: float) -> None:
    """4 ETH from 2,500, 10x, 1,800 aside: all above 1,000 may go, above 1,040 of 2,200 at 2,600.

    A profit of 400 is in the balance: 1,800 + 400 - 1,040 = 1,160 may go.
    """
    it = Account(0.0, isolated=(False, True))
    it.set(ETH, 4.0, 2_500.0, 1_800.0)
    it.marks[ETH] = mark
    moved = positions.add_margin(*it.state, ETH, -9_999.0, it.marks, it.tables)
    assert moved == pytest.approx(expected)
    assert it.account[WALLET] == pytest.approx(-expected)


def test_profit_that_is_not_realised_stays_in_isolated_margin() -> None:
    """1 BTC from 60,000 at 90,000 with 6,000 aside: 6,000 - (90,000 * 0.5 % - 50) = 5,600 go."""
    it = Account(0.0, isolated=(True, True))
    it.set(BTC, 1.0, 60_000.0, 6_000.0)
    it.marks[BTC] = 90_000.0
    moved = positions.add_margin(*it.state, BTC, -1e6, it.marks, it.tables)
    assert moved == pytest.approx(-5_600.0)


def test_a_transfer_takes_out_what_is_free_and_no_more() -> None:
    """Wallet 10,000 with 1 BTC at 10x: 4,000 may leave; coming in is not limited."""
    it = Account(10_000.0)
    it.set(BTC, 1.0, 60_000.0)
    assert positions.transfer(*it.state, 500.0, it.marks, it.tables) == 500.0
    assert positions.transfer(*it.state, -9e9, it.marks, it.tables) == pytest.approx(-4_500.0)
    assert positions.transfer(*it.state, -1.0, it.marks, it.tables) == 0.0
    assert it.account[layout.TRANSFERRED] == pytest.approx(-4_000.0)
    assert it.find_missing() == pytest.approx(0.0, abs=1e-9)
