"""Perpetual books: what margin carries, what liquidates, in which order of events."""

from math import inf, isfinite
from typing import Any

import backtrader as bt
import numpy as np
import pytest
from futures_runs import (
    BITCOIN,
    FLAT,
    HOUR_MS,
    PERP,
    SPOT,
    START_MS,
    Market,
    Ran,
    Row,
    make_section,
    real_brackets,
    run,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.perpetual_action import (
    AddMargin,
    PerpetualAction,
    SetLeverage,
    SetMarginMode,
    Transfer,
    Wallet,
)
from seawall.perpetual_recipe import MarginMode
from seawall.venues.parameters import SpotParameters
from seawall.venues.perpetual import layout

LIQUIDATION = "liquidation"
MARKET, LIMIT, STOP = bt.Order.Market, bt.Order.Limit, bt.Order.Stop
STOP_LIMIT, TRAIL = bt.Order.StopLimit, bt.Order.StopTrail
ON_LOTS = SpotParameters(lot_size=0.01, min_notional=5.0)


def flat(price: float) -> Row:
    """Return a bar that does not move."""
    return price, price, price, price


def buy(size: float, **wishes: Any) -> Any:
    """Return what buys."""
    return lambda s: s.buy(size=size, **wishes)


def sell(size: float, **wishes: Any) -> Any:
    """Return what sells."""
    return lambda s: s.sell(size=size, **wishes)


# Profit -------------------------------------------------------------------------------------------


def test_a_long_and_its_close() -> None:
    """Long 10 at 100, closed at 110, fee 10 bp: 100 - 1 - 1.1 = 97.9 on 10,000."""
    ran = run(
        [FLAT, FLAT, flat(110.0), flat(110.0)], {1: buy(10), 2: lambda s: s.close()},
        parameters=SpotParameters(taker_fee_bps=10.0),
    )  # fmt: skip
    assert ran.quantities == [10.0, -10.0]
    assert ran.strategy.equities[-1] == pytest.approx(10_097.9)
    assert ran.strategy.pnl == [pytest.approx(97.9)]


def test_a_short_earns_when_the_price_falls() -> None:
    """Short 10 at 100, marked at 90: 100 of profit, a position of -10; bought back it stays."""
    ran = run([FLAT, FLAT, flat(90.0), flat(90.0)], {1: sell(10), 3: lambda s: s.close()})
    assert ran.strategy.equities == [10_000.0, 10_000.0, 10_100.0, 10_100.0]
    assert ran.strategy.views[2].position().quantity == -10.0
    assert ran.quantities == [-10.0, 10.0]
    assert ran.strategy.pnl == [pytest.approx(100.0)]


def test_a_sell_beyond_the_position_flips_it() -> None:
    """Long 10 at 100, sell 25 at 110: 100 realised, short 15 at 110; at 100 another 150."""
    rows = [FLAT, FLAT, flat(110.0), flat(100.0)]
    ran = run(rows, {1: buy(10), 2: sell(25)})
    position = ran.broker.getposition(ran.strategy.data)
    assert (position.size, position.price) == (-15.0, 110.0)
    assert ran.futures.account[layout.REALISED] == pytest.approx(100.0)
    assert ran.strategy.equities[-1] == pytest.approx(10_250.0)
    assert ran.strategy.pnl == [pytest.approx(100.0)]


def test_a_weight_may_be_negative_and_above_one() -> None:
    """-0.5 of 10,000 at 100 is short 50; 3.0 of it is long 300: 350 are bought."""
    script = {
        1: lambda s: s.sell(size=1, target_weight=-0.5),
        2: lambda s: s.buy(size=1, target_weight=3.0),
    }
    ran = run([FLAT] * 4, script)
    assert ran.quantities == [-50.0, 350.0]


# Margin -------------------------------------------------------------------------------------------


def test_margin_is_insufficient() -> None:
    """1,000 at 10x carry 10,000 of notional: of 150 ETH at 100 100 are bought, of 1 more none."""
    ran = run([FLAT] * 4, {1: buy(150), 2: buy(1)}, cash=1_000.0, parameters=ON_LOTS)
    assert ran.quantities == [pytest.approx(100.0, abs=0.011)]
    assert "the margin allows no more" in ran.texts("reduced")[0]
    assert "margin is insufficient" in ran.texts("refused")[0]
    assert ran.strategy.told[-1] == (2, "Margin")


def test_the_bracket_of_the_leverage_caps_the_notional() -> None:
    """At 100x SIMPLE allows a million: of 30,000 ETH at 100 10,000 are bought."""
    section = make_section(leverage=100.0)
    ran = run([FLAT] * 2, {1: buy(30_000)}, cash=1e6, section=section)
    assert ran.quantities == [pytest.approx(10_000.0)]
    assert "bracket" in ran.texts("reduced")[0]


def test_reduce_only_is_cut_to_the_position_and_refused_without_one() -> None:
    """Long 10: a reduce-only sell of 25 sells 10; the next has nothing to reduce."""
    script = {1: buy(10), 2: sell(25, reduce_only=True), 3: sell(1, reduce_only=True)}
    ran = run([FLAT] * 5, script)
    assert ran.quantities == [10.0, -10.0]
    assert "reduce_only needs a position" in ran.texts("refused")[0]


def test_a_reduce_only_stop_whose_position_is_gone_is_cancelled() -> None:
    """Long 10, stop for 10 at 90, closed by hand: at 85 the stop does not open a short."""

    def protect(s: Any) -> None:
        s.sell(size=10, exectype=STOP, price=90.0, reduce_only=True)

    script = {1: buy(10), 2: protect, 3: lambda s: s.close()}
    ran = run([FLAT, FLAT, FLAT, FLAT, (100.0, 100.0, 85.0, 85.0), FLAT], script)
    assert ran.quantities == [10.0, -10.0]
    assert "reduce_only needs a position" in ran.texts("cancelled")[0]


# Liquidation --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "price"), [("cross", 1_000 * 40 / 475), ("isolated", 100 * 0.9 / 0.95)]
)
def test_a_long_is_liquidated_at_the_price_of_the_closed_form(mode: str, price: float) -> None:
    """500 ETH at 100 and 10x, 5 % maintenance, wallet 10,000.

    Cross: 10,000 + 500 (p - 100) = 0.05 * 500 p, p = 40,000 / 475 = 84.2105.
    Isolated, margin 5,000: 5,000 + 500 (p - 100) = 25 p, p = 45,000 / 475 = 94.7368.
    """
    rows = [FLAT, FLAT, (100.0, 100.0, 80.0, 82.0), flat(82.0)]
    ran = run(rows, {1: buy(500)}, section=make_section(margin=mode))
    assert ran.rules == ["market", LIQUIDATION]
    assert ran.prices[1] == pytest.approx(price, rel=1e-12)
    assert ran.quantities == [500.0, -500.0]
    assert ran.broker.getposition(ran.strategy.data).size == 0.0
    left = 10_000 - 500 * (100 - price)
    assert ran.strategy.equities[-1] == pytest.approx(left)


@pytest.mark.parametrize(("side", "price"), [(buy, 40_000 / 475), (sell, 60_000 / 525)])
def test_the_inside_of_a_bar_liquidates_although_it_ends_well(side: Any, price: float) -> None:
    """No orders, 100 at open and close: the extreme at 80 or 120 is enough, and is in doubt."""
    ran = run([FLAT, FLAT, (100.0, 120.0, 80.0, 100.0), FLAT], {1: side(500)})
    assert ran.rules == ["market", LIQUIDATION]
    assert ran.prices[1] == pytest.approx(price)
    assert ran.broker.fills[1].is_ambiguous
    assert ran.broker.n_ambiguous == 1


def test_an_isolated_liquidation_leaves_the_rest_of_the_wallet() -> None:
    """Isolated 10x: of 10,000 only the 5,000 set aside are at stake, and the fee comes out of them.

    At 94.7368 the margin balance is 2,368.42; a fee of 1 % of 47,368.42 takes 473.68 of it.
    """
    rows = [FLAT, FLAT, (100.0, 100.0, 50.0, 50.0), flat(50.0)]
    section = make_section(margin="isolated", liquidation_fee_bps=100.0)
    ran = run(rows, {1: buy(500)}, section=section)
    mark = 45_000 / 475
    left = 5_000 + (5_000 - 500 * (100 - mark)) - 5 * mark
    assert ran.strategy.equities[-1] == pytest.approx(left)
    assert ran.broker.fills[-1].fee == pytest.approx(5 * mark)


def test_a_gap_is_liquidated_at_the_open_mark_and_insured() -> None:
    """Cross, liquidation at 84.21; the mark opens at 70: 10,000 - 15,000, the fund pays 5,000."""
    ran = run([FLAT, FLAT, flat(70.0), flat(70.0)], {1: buy(500)})
    fill = ran.broker.fills[-1]
    assert (fill.rule, fill.price, fill.time_ms) == (LIQUIDATION, 70.0, START_MS + 2 * HOUR_MS)
    assert ran.strategy.equities[-1] == 0.0
    assert ran.futures.account[layout.INSURED] == pytest.approx(5_000.0)
    kinds = {(row.kind, row.asset) for row in ran.broker.ledger}
    assert ("insurance", "perpetual:USDT") in kinds
    assert ran.broker.n_ambiguous == 0


def test_a_stop_that_is_nearer_comes_first() -> None:
    """Stop at 90, liquidation at 84.21, low 80: sold at 90, nothing is liquidated."""
    script = {
        1: lambda s: s.buy_bracket(size=500, exectype=MARKET, stopprice=90.0, limitprice=120.0)
    }
    ran = run([FLAT, FLAT, (100.0, 121.0, 80.0, 100.0), FLAT], script)
    assert ran.prices == [100.0, 90.0]
    assert ran.rules == ["market", "stop"]


def test_a_liquidation_that_is_nearer_cancels_the_stop_and_the_take_profit() -> None:
    """Stop at 82, liquidation at 84.21, take-profit at 120, bar 100/121/80: liquidated alone."""
    script = {
        1: lambda s: s.buy_bracket(size=500, exectype=MARKET, stopprice=82.0, limitprice=120.0)
    }
    ran = run([FLAT, FLAT, (100.0, 121.0, 80.0, 100.0), FLAT], script)
    assert ran.rules == ["market", LIQUIDATION]
    assert len([text for text in ran.texts("cancelled") if "liquidated" in text]) == 2
    assert ran.broker.n_ambiguous == 1


def test_in_best_the_take_profit_fills_and_the_inside_does_not_liquidate() -> None:
    """The same bar for the better: sold at 120, and only the marks at open and close bite."""
    script = {
        1: lambda s: s.buy_bracket(size=500, exectype=MARKET, stopprice=82.0, limitprice=120.0)
    }
    ran = run(
        [FLAT, FLAT, (100.0, 121.0, 80.0, 100.0), FLAT], script,
        parameters=SpotParameters(ambiguity="best"),
    )  # fmt: skip
    assert ran.prices == [100.0, 120.0]
    late = run([FLAT, FLAT, (100.0, 100.0, 80.0, 82.0), FLAT], {1: buy(500)},
               parameters=SpotParameters(ambiguity="best"))  # fmt: skip
    assert (late.rules[-1], late.prices[-1]) == (LIQUIDATION, 82.0)


def test_a_short_is_liquidated_on_the_way_up() -> None:
    """Short 500 at 100: 10,000 + 500 (100 - p) = 25 p, p = 60,000 / 525 = 114.2857."""
    rows = [FLAT, FLAT, (100.0, 120.0, 80.0, 100.0), FLAT]
    script = {
        1: lambda s: s.sell_bracket(size=500, exectype=MARKET, stopprice=118.0, limitprice=85.0)
    }
    ran = run(rows, script)
    assert ran.rules == ["market", LIQUIDATION]
    assert ran.prices[1] == pytest.approx(60_000 / 525, rel=1e-12)
    assert ran.quantities == [-500.0, 500.0]


def test_the_exits_of_a_short_are_buys() -> None:
    """Short 10 with a stop at 110 and a take-profit at 90: 90 is bought, the stop goes."""
    script = {
        1: lambda s: s.sell_bracket(size=10, exectype=MARKET, stopprice=110.0, limitprice=90.0)
    }
    ran = run([FLAT, FLAT, (100.0, 101.0, 89.0, 95.0), FLAT], script)
    assert ran.prices == [100.0, 90.0]
    assert ran.quantities == [-10.0, 10.0]
    assert ran.strategy.told[-1] == (2, "Canceled")


def test_a_big_position_is_liquidated_tier_by_tier() -> None:
    """20,000 ETH at 100 and 20x isolated: margin 100,000 in tier 2 (10 % - 50,000 of 2,000,000).

    Maintenance of 2,000,000 is 150,000 > 100,000: due at once at the next open's mark. Step 1
    sells to just below 1,000,000, where maintenance is 50,000: what is left lives on.
    """
    rows = [flat(100.0)] * 4
    section = make_section(margin="isolated", leverage=20.0)
    ran = run(rows, {1: buy(20_000)}, section=section, cash=1e6,
              parameters=SpotParameters(lot_size=1.0))  # fmt: skip
    assert ran.quantities == [20_000.0, -10_001.0]
    ((time_ms, event),) = ran.futures.events
    assert (event[layout.TIER], event[layout.LEFT]) == (2.0, 9_999.0)
    assert ran.broker.getposition(ran.strategy.data).size == 9_999.0
    assert "tier 2" in ran.texts("liquidated")[0]
    assert time_ms == ran.broker.fills[-1].time_ms


def test_cross_positions_are_liquidated_together_and_isolated_ones_alone() -> None:
    """BTC isolated falls through its price: the cross ETH and its order stay; then the reverse."""
    down, calm = (100.0, 100.0, 90.0, 90.0), FLAT
    contracts: dict[str, Any] = {BITCOIN: {"margin": "isolated"}}
    market = Market(rows={PERP: [FLAT, FLAT, calm, calm], BITCOIN: [FLAT, FLAT, down, flat(90.0)]})

    def send(s: Any) -> None:
        s.buy(data=s.data0, size=100)
        s.buy(data=s.data1, size=100)
        s.buy(data=s.data0, size=1, exectype=LIMIT, price=50.0)

    ran = run(market, {1: send}, section=make_section(contracts=contracts))
    assert [fill.symbol for fill in ran.broker.fills if fill.rule == LIQUIDATION] == [BITCOIN]
    assert ran.broker.getposition(ran.strategy.data0).size == 100.0
    assert ran.texts("expired")[0].startswith("limit buy 1 ")


# Streams ------------------------------------------------------------------------------------------


@st.composite
def bars(draw: st.DrawFn, n: int) -> list[Row]:
    """Return a path of bars that starts at 100."""
    price, rows = 100.0, []
    for _ in range(n):
        open_ = price * draw(st.sampled_from([1.0, 1.0, 0.97, 1.04]))
        price = open_ * draw(st.sampled_from([0.8, 0.95, 1.0, 1.03, 1.2]))
        wick = draw(st.sampled_from([1.0, 1.02, 1.1]))
        rows.append((open_, max(open_, price) * wick, min(open_, price) / wick, price))
    return rows


@st.composite
def wishes(draw: st.DrawFn) -> dict[str, Any]:
    """Return what to send at a bar."""
    kind = draw(st.sampled_from([MARKET, MARKET, LIMIT, STOP, STOP_LIMIT, TRAIL]))
    wish: dict[str, Any] = {
        "side": draw(st.sampled_from(["buy", "sell"])),
        "size": draw(st.sampled_from([0.5, 7.0, 200.0, 5_000.0])),
        "exectype": kind,
        "reduce_only": draw(st.booleans()),
        "trigger": draw(st.sampled_from(["last", "mark"])),
        "keep_margin": draw(st.booleans()),
    }
    if kind in (LIMIT, STOP, STOP_LIMIT):
        wish["price"] = draw(st.sampled_from([80.0, 95.0, 105.0, 125.0]))
    if kind == STOP_LIMIT:
        wish["plimit"] = draw(st.sampled_from([90.0, 110.0]))
    if kind == TRAIL:
        wish["trailpercent"] = 0.05
    if kind == MARKET and draw(st.booleans()):
        wish["target_weight"] = draw(st.sampled_from([-8.0, -1.0, 0.0, 1.0, 8.0]))
    return wish


@st.composite
def requests(draw: st.DrawFn) -> PerpetualAction:
    """Return what to ask for at a bar, beside orders."""
    amount = draw(st.sampled_from([10.0, 700.0, inf]))
    symbol = draw(st.sampled_from([PERP, BITCOIN]))
    wallets: list[tuple[Wallet, Wallet]] = [("spot", "perpetual"), ("perpetual", "spot")]
    source, target = draw(st.sampled_from(wallets))
    leverage = draw(st.sampled_from([1.0, 20.0, 100.0]))
    modes: list[MarginMode] = ["cross", "isolated"]
    actions: list[PerpetualAction] = [
        Transfer(source=source, target=target, amount=amount),
        AddMargin(symbol=symbol, amount=amount),
        AddMargin(symbol=symbol, amount=-300.0),
        SetLeverage(symbol=symbol, leverage=leverage),
        SetMarginMode(symbol=symbol, mode=draw(st.sampled_from(modes))),
    ]
    return draw(st.sampled_from(actions))


def play(data: st.DataObject, mode: str, ambiguity: str) -> Ran:
    """Return a run of a random stream of orders and requests on two contracts beside spot."""
    n, rates = 8, st.sampled_from([-0.01, 0.002])
    symbols = (PERP, BITCOIN)
    market = Market(
        rows={symbol: data.draw(bars(n)) for symbol in (*symbols, SPOT)},
        marks={symbol: data.draw(bars(n)) for symbol in symbols if data.draw(st.booleans())},
        funding=[(k, s, data.draw(rates), 100.0) for k in (2, 5) for s in symbols],
        brackets=real_brackets() if data.draw(st.booleans()) else {},
        volume=data.draw(st.sampled_from([1e9, 1_000.0])),
    )
    asked = st.lists(requests(), max_size=2)
    stream = {k: (data.draw(st.lists(wishes(), max_size=3)), data.draw(asked)) for k in range(1, n)}

    def act(sent: list[dict[str, Any]], asked: list[PerpetualAction]) -> Any:
        def go(s: Any) -> None:
            for action in asked:
                s.broker.ask(action)
            for place, wish in enumerate(sent):
                own = dict(wish)
                trade = s.buy if own.pop("side") == "buy" else s.sell
                trade(data=s.datas[place], **own)

        return go

    parameters = SpotParameters(
        taker_fee_bps=5.0, maker_fee_bps=2.0, half_spread_bps=5.0, lot_size=0.001,
        participation_cap=0.5, ambiguity=ambiguity,  # type: ignore[arg-type]
    )  # fmt: skip
    section = make_section(
        margin=mode, leverage=20.0, liquidation_fee_bps=125.0, wallet=9_000.0,
        transfer={"delay": data.draw(st.sampled_from(["0", "90m"])), "cost": 1.0},
        position=data.draw(st.sampled_from([None, {"notional": -20_000.0, "leverage": 10.0}])),
    )  # fmt: skip
    return run(market, {k: act(*sent) for k, sent in stream.items()}, section=section,
               parameters=parameters)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    data=st.data(),
    mode=st.sampled_from(["cross", "isolated"]),
    ambiguity=st.sampled_from(["worst", "best"]),
)
def test_any_stream_keeps_the_books(data: st.DataObject, mode: str, ambiguity: str) -> None:
    """Ledger, sums and fills agree (checked at the end), equity is never below zero once checked.

    The equity at a close may be below zero only where the bar's marks were not yet looked at; an
    isolated margin only by the funding that it has paid, while the position's profit carries it.
    """
    ran = play(data, mode, ambiguity)
    equities = np.array(ran.strategy.equities)
    assert np.isfinite(equities).all()
    assert equities.min() >= -1e-6 * 10_000
    np.testing.assert_allclose(ran.broker.curves()[1], equities, rtol=0, atol=1e-9 * 10_000)
    start = ran.futures.snapshots[0][2][:, layout.QUANTITY]
    held = dict(zip((*ran.futures.symbols, SPOT), (*start, 0.0), strict=True))
    for fill in ran.broker.fills:
        held[fill.symbol] += fill.quantity
        assert isfinite(fill.price)
    for row, symbol in enumerate(ran.futures.symbols):
        quantity = ran.futures.positions[row, layout.QUANTITY]
        assert quantity == pytest.approx(held[symbol], abs=1e-9)
    paid = np.zeros(len(ran.futures.symbols))
    for _, row, *_, amount in ran.futures.funding:
        paid[row] += min(amount, 0.0)
    for _, account, positions in ran.futures.snapshots:
        assert (positions[:, layout.MARGIN] >= paid - 1e-9).all()
        assert account[layout.WALLET] > -1e9


# A stop that opens inside the bar ----------------------------------------------------------------


UP_LAST: Row = (100.0, 109.0, 94.0, 96.0)
DOWN_LAST: Row = (100.0, 106.0, 91.0, 104.0)


def enter(side: float, stop: float, loss: float) -> Any:
    """Return what enters 10 by a stop, with a stop-loss."""

    def send(s: Any) -> None:
        opens, closes = (s.buy, s.sell) if side > 0 else (s.sell, s.buy)
        entry = opens(size=10, exectype=STOP, price=stop, transmit=False)
        closes(size=10, exectype=STOP, price=loss, parent=entry, transmit=True)

    return send


@pytest.mark.parametrize(
    ("bar", "side", "stop", "loss"), [(UP_LAST, -1.0, 95.0, 104.0), (DOWN_LAST, 1.0, 105.0, 96.0)]
)
@pytest.mark.parametrize(("ambiguity", "n_fills"), [("worst", 2), ("best", 1)])
def test_an_entry_by_stop_meets_its_stop_loss_in_the_same_bar(  # noqa: PLR0917
    bar: Row, side: float, stop: float, loss: float, ambiguity: Any, n_fills: int
) -> None:
    """Short at 95, then 104 of the high; long at 105, then 96 of the low: for the worse, 9 lost."""
    parameters = SpotParameters(ambiguity=ambiguity)
    ran = run([FLAT, FLAT, bar, flat(bar[3])], {1: enter(side, stop, loss)}, parameters=parameters)
    assert ran.prices == [stop, loss][:n_fills]
    if n_fills == 2:
        assert ran.strategy.equities[-1] == pytest.approx(10_000.0 - 90.0)
        assert ran.broker.n_ambiguous == 1


@pytest.mark.parametrize(
    ("bar", "send", "price"),
    [
        (UP_LAST, sell(900, exectype=STOP, price=95.0), 95_500 / 945),
        (DOWN_LAST, buy(900, exectype=STOP, price=105.0), 84_500 / 855),
    ],
)
def test_an_entry_by_stop_is_liquidated_in_the_same_bar(bar: Row, send: Any, price: float) -> None:
    """10,000 + 900 (95 - m) = 5 % of 900 m at 101.06; 10,000 + 900 (m - 105) at 98.83.

    No bar before had anything to do with the account: the liquidation is still in its own bar.
    """
    ran = run([FLAT, FLAT, bar, flat(bar[3])], {1: send})
    assert ran.rules == ["stop", LIQUIDATION]
    assert ran.prices[-1] == pytest.approx(price)
    assert ran.broker.fills[-1].bar_ms == START_MS + 2 * HOUR_MS


@pytest.mark.parametrize(
    ("bar", "first", "more", "price"),
    [
        (UP_LAST, sell(500), sell(400, exectype=STOP, price=95.0), 98_000 / 945),
        (DOWN_LAST, buy(500), buy(400, exectype=STOP, price=105.0), 82_000 / 855),
    ],
)
def test_what_a_stop_adds_is_there_before_the_adverse_extreme(
    bar: Row, first: Any, more: Any, price: float
) -> None:
    """Short 500 at 100 lives up to 114.29, with 400 more at 95 up to 103.70; the long likewise."""
    ran = run([FLAT, FLAT, FLAT, bar, flat(bar[3])], {1: first, 2: more})
    assert ran.rules == ["market", "stop", LIQUIDATION]
    assert ran.prices[-1] == pytest.approx(price)


def test_a_stop_that_adds_does_not_bring_a_profit_first() -> None:
    """Long 10, more at 105, profit at 105.5, loss at 92: the loss of the whole comes first."""

    def send(s: Any) -> None:
        loss = s.sell(size=10, exectype=STOP, price=92.0)
        s.sell(size=10, exectype=LIMIT, price=105.5, oco=loss)
        s.buy(size=5, exectype=STOP, price=105.0)

    ran = run([FLAT, FLAT, FLAT, DOWN_LAST, flat(104.0)], {1: buy(10), 2: send})
    assert ran.prices == [100.0, 92.0, 105.0]


# The fee of a liquidation -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "paid", "insured"),
    [((100.0, 100.0, 94.0, 100.0), 592.1053, 0.0), (flat(90.5), 250.0, 315.625),
     (flat(70.0), 0.0, 10_437.5)],
)  # fmt: skip
def test_the_fill_of_a_liquidation_has_the_fee_that_was_paid(
    row: Row, paid: float, insured: float
) -> None:
    """Isolated long 500 with 5,000 at 100, fee 1.25 %.

    Inside the bar at 45,000 / 475 = 94.74 there are 2,368 left for 592.11. At a gap to 90.5 there
    are 250 for 565.63, and the fund carries 315.63. At 70 nothing is left, and it carries 10,000.
    """
    section = make_section(margin="isolated", liquidation_fee_bps=125.0)
    ran = run([FLAT, FLAT, row, flat(row[3])], {1: buy(500)}, section=section)
    assert ran.rules == ["market", LIQUIDATION]
    assert ran.broker.fills[-1].fee == pytest.approx(paid)
    ((_, event),) = ran.futures.events
    assert event[layout.INSURANCE] == pytest.approx(insured)
    assert event[layout.FEE] == pytest.approx(0.0125 * 500 * event[layout.PRICE])
