"""How orders of perpetuals fill: on marks, at which fees, in which order with the rest of a bar."""

import backtrader as bt
import pytest
from futures_runs import FLAT, PERP, SPOT, Market, Row, make_section, run
from test_futures_exchange import buy, flat, sell

from seawall.fill import Fill
from seawall.venues.parameters import SpotParameters

STOP, LIMIT, MARKET, TRAIL = bt.Order.Stop, bt.Order.Limit, bt.Order.Market, bt.Order.StopTrail


def on_marks(rows: list[Row], marks: list[Row]) -> Market:
    """Return a market of one perpetual whose mark is not its last price."""
    return Market(rows={PERP: rows}, marks={PERP: marks})


# The mark -----------------------------------------------------------------------------------------


def test_a_wick_of_last_prices_does_not_liquidate() -> None:
    """The last price falls to 50, the mark to 95 only: nothing is liquidated."""
    rows = [FLAT, FLAT, (100.0, 100.0, 50.0, 100.0), FLAT]
    marks = [FLAT, FLAT, (100.0, 100.0, 95.0, 100.0), FLAT]
    ran = run(on_marks(rows, marks), {1: buy(500)})
    assert ran.rules == ["market"]


def test_a_stop_on_the_mark_is_not_set_off_by_a_wick_of_last_prices() -> None:
    """Stop at 90: on last it sells at 90; on the mark, whose low is 95, it rests."""
    rows = [FLAT, FLAT, (100.0, 100.0, 80.0, 100.0), FLAT]
    marks = [FLAT, FLAT, (100.0, 100.0, 95.0, 100.0), FLAT]
    for trigger, prices in (("last", [100.0, 90.0]), ("mark", [100.0])):
        stop = sell(10, exectype=STOP, price=90.0, reduce_only=True, trigger=trigger)
        script = {1: lambda s: s.buy(size=10), 2: stop}
        late = on_marks([FLAT, *rows], [FLAT, *marks])
        assert run(late, script).prices == prices


@pytest.mark.parametrize(("low", "price"), [(76.0, 88.0), (98.0, 90.0)])
def test_a_stop_on_the_mark_fills_at_the_worse_of_stop_and_last(low: float, price: float) -> None:
    """The mark's way from 100 to 80 is at the stop of 90 half-way: last prices at 88, or at 99."""
    rows = [FLAT, FLAT, (100.0, 100.0, low, 100.0), FLAT]
    marks = [FLAT, FLAT, (100.0, 100.0, 80.0, 100.0), FLAT]
    stop = sell(10, exectype=STOP, price=90.0, reduce_only=True, trigger="mark")
    ran = run(on_marks(rows, marks), {1: lambda s: (s.buy(size=10), stop(s))})
    assert ran.prices == [100.0, pytest.approx(price)]
    assert ran.rules[-1] == "stop_by_mark"


def test_a_stop_on_a_gapping_mark_fills_at_the_open() -> None:
    """The mark opens at 85 below the stop at 90, the last price at 87: sold at 87."""
    rows = [FLAT, FLAT, flat(87.0), FLAT]
    marks = [FLAT, FLAT, flat(85.0), FLAT]
    stop = sell(10, exectype=STOP, price=90.0, reduce_only=True, trigger="mark")
    ran = run(on_marks(rows, marks), {1: lambda s: (s.buy(size=10), stop(s))})
    assert ran.prices == [100.0, 87.0]
    assert ran.rules[-1] == "stop_gapped"


def test_a_take_profit_on_the_mark_waits_for_it() -> None:
    """Last prices pass 110 at bar 3, the mark at bar 4: a limit from there on, filled at bar 5."""
    up = (100.0, 115.0, 100.0, 100.0)
    rows = [FLAT, FLAT, up, up, up, FLAT]
    marks = [FLAT, FLAT, FLAT, up, up, FLAT]
    script = {
        1: lambda s: s.buy_bracket(
            size=10, exectype=MARKET, stopprice=50.0, limitprice=110.0,
            limitargs={"trigger": "mark"},
        )
    }  # fmt: skip
    ran = run(on_marks(rows, marks), script)
    assert ran.prices == [100.0, 110.0]
    assert ran.broker.fills[1].bar_ms - ran.broker.fills[0].bar_ms == 3 * 3_600_000


def test_a_trailing_stop_on_the_mark_follows_the_mark() -> None:
    """Trail 10 from the mark's completed high of 120: stopped at 110, last prices are at 105."""
    rows = [FLAT, FLAT, FLAT, flat(105.0), FLAT]
    marks = [FLAT, FLAT, (100.0, 120.0, 100.0, 120.0), (120.0, 120.0, 100.0, 100.0), FLAT]
    stop = sell(10, exectype=TRAIL, trailamount=10.0, reduce_only=True, trigger="mark")
    ran = run(on_marks(rows, marks), {1: lambda s: s.buy(size=10), 2: stop})
    assert ran.prices == [100.0, 105.0]
    assert ran.rules[-1] == "trailing_by_mark"


def test_spot_knows_neither_marks_nor_reduce_only() -> None:
    """Both are refused by name on a spot book."""
    market = Market(rows={SPOT: [FLAT] * 3, PERP: [FLAT] * 3})

    def send(s: bt.Strategy) -> None:
        s.buy(data=s.data0, size=1, reduce_only=True)
        s.buy(data=s.data0, size=1, exectype=STOP, price=110.0, trigger="mark")

    ran = run(market, {1: send})
    assert ran.broker.fills == []
    assert len([text for text in ran.texts("refused") if "is spot: leave them out" in text]) == 2


def test_maker_and_taker_fees() -> None:
    """A market buy of 10 at 100 pays 5 bp, a resting sell at 105 pays 2 bp of 1,050."""
    parameters = SpotParameters(maker_fee_bps=2.0, taker_fee_bps=5.0)
    script = {1: lambda s: (s.buy(size=10), s.sell(size=10, exectype=LIMIT, price=105.0))}
    ran = run([FLAT, FLAT, (100.0, 106.0, 100.0, 100.0), FLAT], script, parameters=parameters)
    assert [fill.fee for fill in ran.broker.fills] == [pytest.approx(0.5), pytest.approx(0.21)]
    assert [fill.liquidity for fill in ran.broker.fills] == ["taker", "maker"]


def test_a_liquidation_is_a_fill_of_its_own() -> None:
    """Rule and order id say so, the price is the mark, the fee 1.25 % of what was closed."""
    section = make_section(liquidation_fee_bps=125.0)
    ran = run([FLAT, FLAT, flat(84.0), flat(84.0)], {1: lambda s: s.buy(size=500)}, section=section)
    fill = ran.broker.fills[-1]
    assert isinstance(fill, Fill)
    assert (fill.order_id, fill.rule, fill.liquidity) == ("liquidation", "liquidation", "taker")
    assert (fill.price, fill.raw_price, fill.quantity) == (84.0, 84.0, -500.0)
    assert fill.fee == pytest.approx(500 * 84 * 0.0125)
    assert ran.strategy.told[-1] == (2, "Completed")


def test_an_entry_inside_the_bar_is_liquidated_on_the_rest_of_its_path() -> None:
    """Flat, worst goes up first: a buy stop at 105 opens 900, which the way down liquidates.

    10,000 + 900 (p - 105) = 45 p: p = 84,500 / 855 = 98.83.
    """
    script = {1: lambda s: s.buy(size=900, exectype=STOP, price=105.0)}
    ran = run([FLAT, (100.0, 106.0, 90.0, 100.0), FLAT], script)
    assert ran.rules == ["stop", "liquidation"]
    assert ran.prices == [105.0, pytest.approx(84_500 / 855)]


def test_a_partial_fill_of_a_volume_cap_opens_a_part() -> None:
    """A tenth of a volume of 50 is 5 per bar: short 12 takes three bars."""
    market = Market(rows={PERP: [FLAT] * 6}, volume=50.0)
    parameters = SpotParameters(participation_cap=0.1)
    ran = run(market, {1: sell(12)}, parameters=parameters)
    assert ran.quantities == [-5.0, -5.0, -2.0]
