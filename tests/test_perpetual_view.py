"""What is seen of a futures account, and what leads from there to a leverage or a margin ratio."""

from math import inf, isnan

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from perpetual_views import BTC, ETH, TAKER_FEE, make_view, show

from seawall.deleveraging import (
    TOLERANCE,
    find_missing,
    find_missing_for_distance,
    find_ratio_at,
    to_distance,
    to_leverage,
    to_ratio,
)
from seawall.errors import AgentError
from seawall.perpetual_view import PerpetualView
from seawall.venues.perpetual import positions
from seawall.venues.perpetual.layout import MARGIN, WALLET
from seawall.venues.perpetual.margin import find_liquidation_price, find_margin_ratio


def test_a_position_is_shown_with_its_margin() -> None:
    """10 ETH at 2,000, 5x isolated, mark 1,900.

    Notional 19,000, margin 4,000 - 1,000 = 3,000, so 6.33x; the first tier asks 0.4 %, 76, a
    ratio of 0.0253. It is liquidated where 4,000 + 10 (p - 2,000) = 0.04 p: 16,000 / 9.96.
    """
    position = make_view(mark=1_900.0).position()
    assert position.symbol == ETH
    assert position.notional == 19_000.0
    assert position.margin == pytest.approx(3_000.0)
    assert position.unrealised == -1_000.0
    assert position.maintenance == pytest.approx(76.0)
    assert position.margin_ratio == pytest.approx(76.0 / 3_000.0)
    assert position.real_leverage == pytest.approx(19.0 / 3.0)
    assert position.liquidation_price == pytest.approx(16_000.0 / 9.96)
    assert position.distance == pytest.approx(1.0 - 16_000.0 / 9.96 / 1_900.0)


def test_a_margin_that_is_gone_has_an_endless_ratio() -> None:
    """At 1,600 nothing is left of 4,000."""
    position = make_view(mark=1_600.0).position()
    assert position.margin_ratio == inf
    assert position.real_leverage == inf


def test_the_account_is_shown_as_the_kernels_see_it() -> None:
    """An isolated long beside a cross short: 50 in the wallet beyond both margins."""
    view = make_view(btc=-0.01, wallet=150.0, mark=2_100.0, reserve=70.0)
    assert set(view.positions) == {ETH, BTC}
    assert view.wallet == pytest.approx(150.0)
    assert view.equity == pytest.approx(150.0 + 4_000.0 + 1_000.0)
    assert view.available == pytest.approx(50.0)
    assert view.withdrawable == pytest.approx(50.0)
    assert view.reserve == 70.0
    assert view.margin_ratio == pytest.approx(max(84.0 / 5_000.0, 2.0 / 150.0))
    assert view.mark() == 2_100.0
    assert isnan(view.funding_rate(BTC))
    assert view.position(BTC).quantity == -0.01


def test_maintenance_of_another_size_is_that_of_its_bracket() -> None:
    """50,000 at 0.4 %; 100,000 at 0.5 % less 50."""
    view = make_view()
    assert view.maintenance(50_000.0) == pytest.approx(200.0)
    assert view.maintenance(100_000.0, BTC) == pytest.approx(450.0)


def test_a_reserve_can_be_kept() -> None:
    """What a job wants left is not shown as free; all else stays."""
    view = make_view(reserve=100.0)
    kept = view.keeping(30.0)
    assert (kept.reserve, view.reserve) == (70.0, 100.0)
    assert kept.position() == view.position()
    assert view.keeping(500.0).reserve == 0.0


def test_what_is_seen_is_frozen_and_names_what_is_not_there() -> None:
    """An agent cannot set or delete a part, and a wrong symbol is said."""
    view = make_view()
    with pytest.raises(AgentError, match="frozen"):
        view.reserve = 5.0  # type: ignore[misc]
    with pytest.raises(AgentError, match="frozen"):
        del view.reserve
    with pytest.raises(AgentError, match=r"no perpetual 'ETH/USDT'"):
        view.position("ETH/USDT")


def test_a_short_has_a_negative_weight() -> None:
    """3 ETH sold short at 2,000 are -0.6 of 10,000; 15 bought are 3 times it."""
    assert show(make_view(), quantities={ETH: -3.0}).weight() == pytest.approx(-0.6)
    assert show(make_view(), quantities={ETH: 15.0}).weight() == pytest.approx(3.0)


# Towards a leverage or a ratio --------------------------------------------------------------------

sizes = st.floats(0.5, 400.0)
sides = st.sampled_from([1.0, -1.0])
moves = st.floats(-0.1, 0.1)
leverages = st.floats(2.0, 8.0)


def play(view: PerpetualView, quantity: float, *, mark: float | None = None) -> PerpetualView:
    """Return the account after a trade at the mark with its fee that keeps its margin.

    ``mark``: where the first contract's mark goes after it.
    """
    account, held = view._account.copy(), view._positions.copy()
    now, tables, before = view.mark(), view._tables, view.wallet
    positions.trade(account, held, 0, quantity, now, abs(quantity) * now * TAKER_FEE)
    freed = float(account[WALLET]) - before
    if freed > 0:
        positions.add_margin(account, held, 0, freed, view._marks, tables)
    marks = view._marks.copy()
    marks[0] = now if mark is None else mark
    return PerpetualView(
        contracts=view.contracts,
        account=account,
        positions=held,
        marks=marks,
        tables=tables,
        reserve=view.reserve,
        funding_rates=np.array([0.0, 0.0]),
        next_funding_ms={},
    )


def make_moved(
    size: float, side: float, move: float, leverage: float, *, isolated: bool
) -> PerpetualView:
    """Return a position whose mark has moved by a share of its margin."""
    mark = 2_000.0 * (1.0 + side * move * 5.0 / leverage)
    return make_view(
        quantity=side * size, mark=mark, leverage=leverage, is_isolated=isolated, lot_size=0.0,
        wallet=0.0 if isolated else 50.0,
    )  # fmt: skip


@given(size=sizes, side=sides, move=moves, leverage=leverages, share=st.floats(0.05, 0.95))
@settings(deadline=None, max_examples=60)
def test_a_trade_reaches_the_leverage_it_was_made_for(
    size: float, side: float, move: float, leverage: float, share: float
) -> None:
    """Cross or isolated, fee included: an order that keeps its margin meets it exactly."""
    for isolated in (False, True):
        view = make_moved(size, side, move, leverage, isolated=isolated)
        target = share * view.position().real_leverage
        steps = to_leverage(view, ETH, target)
        assert steps.quantity * side < 0
        reached = play(view, steps.quantity).position().real_leverage
        assert reached == pytest.approx(target, rel=1e-9)


@given(size=sizes, side=sides, move=moves, leverage=leverages, factor=st.floats(1.01, 3.0))
@settings(deadline=None, max_examples=60)
def test_a_leverage_is_raised_too(
    size: float, side: float, move: float, leverage: float, factor: float
) -> None:
    """Of a cross account with the fee, of an isolated one with the margin that is set aside."""
    view = make_moved(size, side, move, leverage, isolated=False)
    target = factor * view.position().real_leverage
    steps = to_leverage(view, ETH, target)
    reached = play(view, steps.quantity).position().real_leverage
    assert reached == pytest.approx(target, rel=1e-9)
    view = make_moved(size, side, abs(move), leverage, isolated=True)
    target = factor * view.position().real_leverage
    steps = to_leverage(view, ETH, target)
    if steps.why_not:
        assert target >= leverage
        return
    assume(target < 0.999 * leverage)
    reached = play(view, steps.quantity).position().real_leverage
    assert reached == pytest.approx(target, rel=1e-9)


def test_a_leverage_that_is_there_needs_nothing() -> None:
    """Within a thousandth; 0 closes all of it, and without a position there is nothing to close."""
    view = make_view()
    assert to_leverage(view, ETH, 5.0 * (1 + 0.9 * TOLERANCE)).quantity == 0.0
    assert to_leverage(view, ETH, 0.0) == (-10.0, "")
    assert to_leverage(make_view(quantity=-10.0), ETH, 0.0).quantity == 10.0
    flat = make_view(quantity=0.0)
    assert to_leverage(flat, ETH, 0.0) == (0.0, "")
    assert "there is no position" in to_leverage(flat, ETH, 2.0).why_not
    assert to_leverage(make_view(mark=1_500.0), ETH, 2.0).quantity == -10.0


def test_what_reduces_is_rounded_up_to_the_lot() -> None:
    """From 5x to 4.9x: 400 / (1 - 0.00245) / 2,000 = 0.2005 ETH, on a lot of 0.1 that is 0.3."""
    steps = to_leverage(make_view(lot_size=0.1), ETH, 4.9)
    assert steps.quantity == pytest.approx(-0.3)


@given(
    size=sizes, side=sides, leverage=leverages, fall=st.floats(0.5, 0.93), btc=st.floats(0, 0.05)
)
@settings(deadline=None, max_examples=60)
def test_a_margin_ratio_is_met_by_reducing(
    size: float, side: float, leverage: float, fall: float, btc: float
) -> None:
    """The leverage found leads to the ratio asked for, by the venue's own kernel, tiers and all."""
    for isolated in (False, True):
        view = make_view(
            quantity=side * size, mark=2_000.0 * (1 - side * fall / leverage), leverage=leverage,
            is_isolated=isolated, lot_size=0.0, btc=0.0 if isolated else btc,
            wallet=0.0 if isolated else 50_000.0 * btc / leverage,
        )  # fmt: skip
        before = view.position()
        assume(before.margin_ratio < 1)
        others = 0.0 if isolated else view.maintenance(50_000.0 * btc, BTC) / before.margin
        ratio = others + 0.5 * (before.margin_ratio - others)
        leverage_found = to_ratio(view, ETH, ratio)
        assert 0 < leverage_found < before.real_leverage
        steps = to_leverage(view, ETH, leverage_found)
        after = play(view, steps.quantity)
        reached = find_margin_ratio(
            after._account,
            after._positions,
            after._marks,
            after._tables,
        )
        assert reached == pytest.approx(ratio, rel=2e-3)


@given(
    size=sizes, side=sides, leverage=leverages, fall=st.floats(0.5, 0.93), btc=st.floats(0, 0.05)
)
@settings(deadline=None, max_examples=60)
def test_a_distance_is_met_by_reducing_and_by_adding(
    size: float, side: float, leverage: float, fall: float, btc: float
) -> None:
    """The kernel's liquidation price is then that share of the mark away, tiers and all."""
    for isolated in (False, True):
        view = make_view(
            quantity=side * size, mark=2_000.0 * (1 - side * fall / leverage), leverage=leverage,
            is_isolated=isolated, lot_size=0.0, btc=0.0 if isolated else btc,
            wallet=0.0 if isolated else 50_000.0 * btc / leverage,
        )  # fmt: skip
        before = view.position()
        assume(before.margin_ratio < 1 and before.distance < 0.3)
        wanted = 0.5 * (before.distance + 0.3)
        found = to_distance(view, ETH, wanted)
        assert 0 <= found < before.real_leverage
        if found:
            after = play(view, to_leverage(view, ETH, found).quantity).position()
            assert after.distance == pytest.approx(wanted, rel=1e-2)
        missing = find_missing_for_distance(view, ETH, wanted)
        account, held = view._account.copy(), view._positions.copy()
        target = held[0] if isolated else account
        target[MARGIN if isolated else WALLET] += missing
        price = find_liquidation_price(account, held, 0, view._marks, view._tables)
        assert abs(price / before.mark_price - 1.0) == pytest.approx(wanted, rel=1e-9)


@given(size=sizes, side=sides, leverage=leverages, distance=st.floats(0.01, 0.1))
@settings(deadline=None, max_examples=60)
def test_the_ratio_at_a_distance_is_that_of_the_mark_there(
    size: float, side: float, leverage: float, distance: float
) -> None:
    """Played to the mark that is so far from the end, the account has that ratio and distance."""
    for isolated in (False, True):
        view = make_view(quantity=side * size, leverage=leverage, is_isolated=isolated)
        found = find_ratio_at(view, ETH, distance)
        mark = view.position().liquidation_price / (1.0 - side * distance)
        there = play(view, 0.0, mark=mark).position()
        assert there.margin_ratio == pytest.approx(found, rel=1e-9)
        assert there.distance == pytest.approx(distance, rel=1e-6)


def test_a_distance_that_is_met_changes_nothing_and_a_margin_that_is_gone_closes() -> None:
    """At 5x it is 19.7 %: 0.1 is met, 0.5 asks for a balance of 0.5 + 0.4 % of half: 1 / 0.502."""
    view = make_view()
    assert to_distance(view, ETH, 0.1) == view.position().real_leverage
    assert find_missing_for_distance(view, ETH, 0.1) == 0.0
    assert to_distance(view, ETH, 0.5) == pytest.approx(1.0 / 0.502)
    assert find_missing_for_distance(view, ETH, 0.5) == pytest.approx(10_000.0 + 40.0 - 4_000.0)
    assert to_distance(make_view(mark=1_500.0), ETH, 0.5) == 0.0


def test_a_ratio_that_is_met_changes_nothing_and_one_that_cannot_be_met_closes() -> None:
    """The other position alone may need more than the ratio allows."""
    view = make_view(is_isolated=False, btc=0.01, wallet=100.0)
    position = view.position()
    assert to_ratio(view, ETH, 0.5) == position.real_leverage
    assert to_ratio(view, ETH, 1e-6) == pytest.approx(0.0, abs=1e-9)
    assert to_ratio(make_view(mark=1_500.0), ETH, 0.5) == 0.0


@given(size=sizes, side=sides, leverage=leverages, fall=st.floats(0.5, 0.95))
@settings(deadline=None, max_examples=60)
def test_the_missing_margin_is_what_it_says(
    size: float, side: float, leverage: float, fall: float
) -> None:
    """Added to the balance it makes the ratio; nothing is missing where it is low enough."""
    view = make_view(
        quantity=side * size, mark=2_000.0 * (1 - side * fall / leverage), leverage=leverage
    )
    position = view.position()
    ratio = 0.5 * position.margin_ratio
    missing = find_missing(view, ETH, ratio)
    assert position.maintenance / (position.margin + missing) == pytest.approx(ratio)
    assert find_missing(view, ETH, 2.0 * position.margin_ratio) == 0.0
