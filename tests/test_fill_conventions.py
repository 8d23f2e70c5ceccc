"""The cases that engines disagree on, as executable tests of what Seawall does.

The letters are those of the comparison of engines that the fill conventions come from; the numbers
are those of the conventions. A buy is +1.0 and a sell -1.0; bars are (open, high, low, close).
"""

from math import inf, isnan, nan

import pytest
from scripted_venue import BAR_MS, Scripted

BUY, SELL = 1.0, -1.0
SIGNAL = (100.0, 100.0, 100.0, 100.0)


# The cases A to H ---------------------------------------------------------------------------------


def test_case_a_market_fills_at_the_next_open() -> None:
    """Signal at the close of 100, next open 102: filled at 102, not at 100."""
    venue = Scripted().meet(SIGNAL)
    venue.send("market", BUY)
    venue.meet((102.0, 103.0, 101.0, 103.0))
    assert venue.prices == [102.0]
    assert venue.fills[0].time_ms == BAR_MS
    assert venue.rules == ["market"]


def test_case_a_at_the_close_is_the_optimistic_mode() -> None:
    """With fill = "close" the same order fills at 100, the close just seen."""
    venue = Scripted(fills_at_close=True).meet(SIGNAL)
    order = venue.send("market", BUY)
    venue.exchange.fill_at_close(order)
    assert venue.prices == [100.0]
    assert venue.fills[0].time_ms == BAR_MS


@pytest.mark.parametrize(("is_touch", "prices"), [(False, []), (True, [99.0])])
def test_case_b_a_touched_limit(*, is_touch: bool, prices: list[float]) -> None:
    """Buy limit 99, low exactly 99: rests by default, fills where touch is enough."""
    venue = Scripted(is_touch=is_touch).meet(SIGNAL)
    venue.send("limit", BUY, limit_price=99.0)
    venue.meet((100.0, 101.0, 99.0, 100.0))
    assert venue.prices == prices


def test_case_c_a_limit_that_arrives_marketable_takes_the_open() -> None:
    """Buy limit 98 sent at 100, next open 95: taker at 95."""
    venue = Scripted().meet(SIGNAL)
    venue.send("limit", BUY, limit_price=98.0)
    venue.meet((95.0, 96.0, 94.0, 95.0))
    assert venue.prices == [95.0]
    assert venue.fills[0].liquidity == "taker"


def test_case_c_a_resting_limit_gets_its_own_price() -> None:
    """Buy limit 98 has rested a bar, then a gap to 95: maker at 98; 95 would be free money."""
    venue = Scripted().meet(SIGNAL)
    venue.send("limit", BUY, limit_price=98.0)
    venue.meet(SIGNAL, (95.0, 96.0, 94.0, 95.0))
    assert venue.prices == [98.0]
    assert venue.fills[0].liquidity == "maker"
    assert venue.rules == ["limit_gapped"]


@pytest.mark.parametrize(
    ("bar", "price", "rule"),
    [
        ((90.0, 91.0, 89.0, 90.0), 90.0, "stop_gapped"),
        ((100.0, 101.0, 95.0, 96.0), 95.0, "stop"),
        ((100.0, 101.0, 95.1, 96.0), None, None),
    ],
)
def test_case_d_a_stop_fills_at_the_worse_of_stop_and_open(
    bar: tuple[float, float, float, float], price: float | None, rule: str | None
) -> None:
    """Sell stop 95: a gap to 90 fills at 90, a touch at 95, a low of 95.1 does not trigger."""
    venue = Scripted(held=1.0).meet(SIGNAL)
    venue.send("stop", SELL, stop_price=95.0)
    venue.meet(bar)
    assert venue.prices == ([] if price is None else [price])
    assert venue.rules == ([] if rule is None else [rule])


@pytest.mark.parametrize(("ambiguity", "price"), [("worst", 95.0), ("best", 105.0)])
def test_case_e_stop_loss_and_take_profit_in_one_bar(ambiguity: str, price: float) -> None:
    """SL 95 and TP 105 in a later bar 100/110/90: the stop, or the other in the optimistic run."""
    venue = Scripted(ambiguity=ambiguity).meet(SIGNAL)
    entry = venue.send("market", BUY)
    venue.bracket(entry, 95.0, 105.0)
    venue.meet((100.0, 101.0, 99.0, 100.0), (100.0, 110.0, 90.0, 100.0))
    assert venue.prices == [100.0, price]
    assert venue.fills[1].is_ambiguous
    assert venue.exchange.n_ambiguous == 1
    assert venue.exchange.orders == []


def test_case_f_the_stop_loss_is_live_on_the_entry_bar() -> None:
    """Entry at the open of 100, SL 95, low 80 in the same bar: stopped at 95."""
    venue = Scripted().meet(SIGNAL)
    entry = venue.send("market", BUY)
    venue.bracket(entry, 95.0, 130.0)
    venue.meet((100.0, 101.0, 80.0, 85.0))
    assert venue.prices == [100.0, 95.0]
    assert not venue.fills[1].is_ambiguous


def test_case_g_spot_does_not_short() -> None:
    """Selling 10 times the cash with nothing held is refused by name; equity stays as it was."""
    venue = Scripted().meet(SIGNAL)
    venue.send("market", SELL, 1_000.0)
    venue.meet((100.0, 200.0, 100.0, 200.0))
    assert venue.fills == []
    assert "spot does not short" in venue.reasons("refused")[0]
    assert venue.recorder.events == [("1", "rejected")]
    assert venue.equity == 10_000.0


def test_case_h_a_weight_buys_a_fraction_of_a_coin() -> None:
    """Half of 10,000 cash at 60,000: 5000 / 60000 = 0.083333 coin, on the lot of 0.00001."""
    venue = Scripted(lot_size=0.00001).meet((60_000.0, 60_000.0, 60_000.0, 60_000.0))
    venue.send("market", BUY, 0.0, target_weight=0.5)
    venue.meet((60_000.0, 60_000.0, 60_000.0, 60_000.0))
    assert venue.fills[0].quantity == pytest.approx(0.08333, abs=1e-12)


# The conventions, number by number ----------------------------------------------------------------


def test_1_latency_delays_the_earliest_fill() -> None:
    """An order of 61 s latency sent at 1:00 arrives at 2:01 and fills at the open of 3:00."""
    venue = Scripted(latency_ms=61_000).meet(SIGNAL)
    venue.send("market", BUY)
    venue.meet((101.0,) * 4, (102.0,) * 4, (103.0,) * 4)
    assert venue.prices == [103.0]


def test_2_a_taker_pays_spread_impact_and_fee() -> None:
    """Buy 10 of a volume of 1000 at 100: 5 bp half-spread, 20 bp * sqrt(0.01) = 2 bp impact.

    price = 100 * 1.0007 = 100.07; slippage = 10 * 0.07 = 0.7; fee = 1000.7 * 0.001 = 1.0007.
    """
    venue = Scripted(half_spread_bps=5.0, impact_bps=20.0, taker_fee_bps=10.0).meet(SIGNAL)
    venue.send("market", BUY, 10.0)
    venue.meet((100.0, 101.0, 99.0, 100.0))
    fill = venue.fills[0]
    assert fill.price == pytest.approx(100.07)
    assert fill.raw_price == 100.0
    assert fill.slippage == pytest.approx(0.7)
    assert fill.fee == pytest.approx(1.0007)
    assert isnan(fill.trigger_price)
    assert venue.exchange.account.cash == pytest.approx(10_000 - 1_000.7 - 1.0007)


def test_3_a_maker_pays_no_spread_and_the_maker_fee() -> None:
    """Buy limit 99 traded through: 99 flat, fee 99 * 0.0002."""
    venue = Scripted(half_spread_bps=5.0, maker_fee_bps=2.0, taker_fee_bps=10.0).meet(SIGNAL)
    venue.send("limit", BUY, limit_price=99.0)
    venue.meet((100.0, 101.0, 98.9, 100.0))
    fill = venue.fills[0]
    assert (fill.price, fill.liquidity, fill.rule) == (99.0, "maker", "limit_through")
    assert fill.fee == pytest.approx(0.0198)
    assert fill.time_ms == 2 * BAR_MS


def test_3_a_taken_limit_never_pays_more_than_its_limit() -> None:
    """Open 100, limit 100, half-spread 5 bp: 100.05 would be beyond the limit, 100 is paid."""
    venue = Scripted(half_spread_bps=5.0).meet(SIGNAL)
    venue.send("limit", BUY, limit_price=100.0)
    venue.meet((100.0, 101.0, 99.0, 100.0))
    assert venue.prices == [100.0]


@pytest.mark.parametrize(
    ("limit", "close", "price"),
    [
        (106.0, 104.0, 105.0),  # at the trigger the limit is reached: 105
        (103.0, 102.0, 103.0),  # triggered at 105, closed at 102: any path has crossed 103
        (103.0, 104.0, None),  # 103 was traded, but perhaps before the trigger: next bar
    ],
)
def test_4_a_stop_limit_fills_in_its_bar_only_where_every_path_does(
    limit: float, close: float, price: float | None
) -> None:
    """Buy stop 105 with limits above and below, in a bar 100/107/99."""
    venue = Scripted().meet(SIGNAL)
    venue.send("stop_limit", BUY, stop_price=105.0, limit_price=limit)
    venue.meet((100.0, 107.0, 99.0, close))
    assert venue.prices == ([] if price is None else [price])
    if price is None:
        venue.meet((104.0, 104.0, 102.0, 104.0))
        assert venue.prices == [103.0]
        assert venue.exchange.n_ambiguous == 1


def test_5_what_lies_on_one_side_of_the_open_is_hit_nearest_first() -> None:
    """Buy limit 98 and, hanging on it, a stop at 95; low 90: bought, then stopped, no doubt."""
    venue = Scripted().meet(SIGNAL)
    entry = venue.send("limit", BUY, limit_price=98.0)
    venue.bracket(entry, 95.0, 120.0)
    venue.meet((100.0, 101.0, 90.0, 92.0))
    assert venue.prices == [98.0, 95.0]
    assert venue.exchange.n_ambiguous == 0


@pytest.mark.parametrize("close", [100.0, 106.0])
def test_6_a_limit_entry_takes_no_profit_on_its_bar(close: float) -> None:
    """Bought at 98 somewhere in the bar 100/110/97: whether 105 came later is unknown.

    Where the bar closes beyond 105 it is known, and the convention is the same: the next bar.
    """
    venue = Scripted().meet(SIGNAL)
    entry = venue.send("limit", BUY, limit_price=98.0)
    venue.bracket(entry, 90.0, 105.0)
    venue.meet((100.0, 110.0, 97.0, close))
    assert venue.prices == [98.0]
    assert venue.exchange.n_ambiguous == 1
    venue.meet((100.0, 106.0, 99.0, 105.5))
    assert venue.prices == [98.0, 105.0]


def test_6_an_open_entry_takes_profit_on_its_bar_unless_stopped() -> None:
    """Entry at the open of 100, TP 105, bar 100/106/99: both at once; SL 95 was not touched."""
    venue = Scripted().meet(SIGNAL)
    entry = venue.send("market", BUY)
    venue.bracket(entry, 95.0, 105.0)
    venue.meet((100.0, 106.0, 99.0, 104.0))
    assert venue.prices == [100.0, 105.0]
    assert venue.exchange.n_ambiguous == 0


@pytest.mark.parametrize(("ambiguity", "n_fills"), [("worst", 2), ("best", 1)])
def test_6_a_stop_entry_may_be_stopped_on_its_bar(ambiguity: str, n_fills: int) -> None:
    """Buy stop 105, SL 98, bar 100/106/97/104: the low may have come after the entry."""
    venue = Scripted(ambiguity=ambiguity).meet(SIGNAL)
    entry = venue.send("stop", BUY, stop_price=105.0)
    venue.bracket(entry, 98.0, 120.0)
    venue.meet((100.0, 106.0, 97.0, 104.0))
    assert venue.prices == [105.0, 98.0][:n_fills]
    assert venue.exchange.n_ambiguous == 1


def test_7_a_trailing_stop_follows_completed_bars() -> None:
    """Trail of 5 from 100: the high of 110 moves the stop to 105 only for the next bar.

    Bar 1 (100/110/100): the stop is at 95 all through it. Bar 2 (107/108/104): hit at 105.
    """
    venue = Scripted(held=1.0).meet(SIGNAL)
    venue.send("trailing", SELL, trail_amount=5.0, extreme=100.0)
    venue.meet((100.0, 110.0, 100.0, 107.0))
    assert venue.fills == []
    venue.meet((107.0, 108.0, 104.0, 106.0))
    assert venue.prices == [105.0]


def test_7_a_trailing_exit_does_not_follow_the_bar_of_its_entry() -> None:
    """Bought at 98 in the bar 100/110/97, whose high may be older: 5 below 98, not below 110."""
    venue = Scripted().meet(SIGNAL)
    entry = venue.send("limit", BUY, limit_price=98.0)
    venue.send("trailing", SELL, trail_amount=5.0, extreme=100.0, parent=entry)
    venue.meet((100.0, 110.0, 97.0, 108.0), (108.0, 108.0, 94.0, 95.0))
    assert venue.prices == [98.0]
    venue.meet((108.0, 108.0, 100.0, 101.0))  # now the completed high of 108 counts: 103
    assert venue.prices == [98.0, 103.0]


def test_9_a_tenth_of_the_volume_fills_and_the_rest_rests() -> None:
    """Buy 25 with a cap of 10 % of a volume of 100: 10, 10 and 5 at three opens."""
    venue = Scripted(participation_cap=0.1).meet(SIGNAL)
    venue.send("market", BUY, 25.0)
    venue.meet(*[(100.0 + t, 103.0, 99.0, 100.0, 100.0) for t in range(3)])
    assert [fill.quantity for fill in venue.fills] == [10.0, 10.0, 5.0]
    assert venue.prices == [100.0, 101.0, 102.0]
    events = [event for _, event in venue.recorder.events]
    assert events == ["accepted", "partial", "partial", "completed"]


def test_9_orders_of_one_bar_share_its_volume() -> None:
    """Two buys of 8 with 10 to have: 8 and 2, then the 6 that are left."""
    venue = Scripted(participation_cap=0.1).meet(SIGNAL)
    venue.send("market", BUY, 8.0)
    venue.send("market", BUY, 8.0)
    venue.meet(*[(100.0, 101.0, 99.0, 100.0, 100.0)] * 2)
    assert [fill.quantity for fill in venue.fills] == [8.0, 2.0, 6.0]


def test_9_a_bar_without_volume_fills_nothing() -> None:
    """Market, limit and stop all wait for a bar that was traded."""
    venue = Scripted(held=1.0).meet(SIGNAL)
    venue.send("market", BUY)
    venue.send("limit", BUY, limit_price=95.0)
    venue.send("stop", SELL, stop_price=95.0)
    venue.meet((100.0, 100.0, 90.0, 91.0, 0.0))
    assert venue.fills == []
    venue.meet((101.0, 101.0, 101.0, 101.0))
    assert venue.prices == [101.0]


def test_9_a_close_without_volume_fills_nothing() -> None:
    """An order for the close waits for a bar that was traded, too."""
    venue = Scripted().meet(SIGNAL)
    venue.send("close", BUY)
    venue.meet((100.0, 100.0, 90.0, 91.0, 0.0), (100.0, 104.0, 99.0, 103.0))
    assert venue.prices == [103.0]


def test_11_quantities_and_limits_are_on_the_grid() -> None:
    """1.239 on a lot of 0.01 is 1.23; a buy limit of 98.57 on a tick of 0.1 is 98.5."""
    venue = Scripted(lot_size=0.01, tick_size=0.1).meet(SIGNAL)
    venue.send("limit", BUY, 1.239, limit_price=98.57)
    venue.meet((100.0, 100.0, 98.0, 99.0))
    assert venue.fills[0].quantity == pytest.approx(1.23)
    assert venue.fills[0].price == pytest.approx(98.5)


def test_11_a_stop_on_the_grid_triggers_no_earlier() -> None:
    """A sell stop of 95.07 on a tick of 0.1 is 95.0: a low of 95.05 does not reach it."""
    venue = Scripted(held=1.0, tick_size=0.1).meet(SIGNAL)
    venue.send("stop", SELL, stop_price=95.07)
    venue.meet((100.0, 100.0, 95.05, 96.0))
    assert venue.fills == []


def test_11_an_order_below_the_minimum_is_refused() -> None:
    """0.04 at 100 is 4 of notional where 5 are asked."""
    venue = Scripted(lot_size=0.01, min_notional=5.0).meet(SIGNAL)
    venue.send("market", BUY, 0.04)
    venue.meet(SIGNAL)
    assert venue.fills == []
    assert "notional of 5" in venue.reasons("refused")[0]


def test_11_a_weight_below_the_minimum_is_refused() -> None:
    """0.0004 of 10,000 is 4 of notional where 5 are asked; it is known at the open alone."""
    venue = Scripted(min_notional=5.0).meet(SIGNAL)
    venue.send("market", BUY, 0.0, target_weight=0.0004)
    venue.meet(SIGNAL)
    assert venue.fills == []
    assert "notional of 5" in venue.reasons("refused")[0]


def test_11_what_is_left_at_the_end_expires() -> None:
    """An order after the last bar is listed as expired, with the reason end_of_data."""
    venue = Scripted().meet(SIGNAL)
    venue.send("market", BUY)
    venue.exchange.end(BAR_MS)
    assert venue.reasons("expired") == ["end_of_data"]
    assert venue.recorder.events == [("1", "expired")]


def test_12_every_fill_says_what_let_it_happen() -> None:
    """A stop's fill names rule, trigger, raw price, side of liquidity and its bar."""
    venue = Scripted(held=1.0, half_spread_bps=10.0).meet(SIGNAL)
    venue.send("stop", SELL, stop_price=95.0)
    venue.meet((100.0, 100.0, 94.0, 96.0))
    fill = venue.fills[0]
    assert (fill.rule, fill.trigger_price, fill.raw_price, fill.liquidity) == (
        "stop", 95.0, 95.0, "taker",
    )  # fmt: skip
    assert fill.price == pytest.approx(95.0 * 0.999)
    assert (fill.bar_ms, fill.time_ms) == (BAR_MS, 2 * BAR_MS)
    assert fill.quantity == -1.0


def test_unknown_volume_caps_nothing() -> None:
    """A table without volumes (nan) fills whole and without slippage by size."""
    venue = Scripted(participation_cap=0.1, impact_bps=50.0).meet(SIGNAL)
    venue.send("market", BUY, 50.0)
    venue.meet((100.0, 100.0, 100.0, 100.0, nan))
    assert [(f.quantity, f.price) for f in venue.fills] == [(50.0, 100.0)]


def test_no_cap_is_inf() -> None:
    """A cap of inf fills more than the bar's volume."""
    venue = Scripted(participation_cap=inf).meet(SIGNAL)
    venue.send("market", BUY, 50.0)
    venue.meet((100.0, 100.0, 100.0, 100.0, 1.0))
    assert venue.fills[0].quantity == 50.0
