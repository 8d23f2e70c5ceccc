"""The futures account at the broker: start, funding, transfers, margin, what an agent sees."""

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
    make_section,
    real_brackets,
    run,
)
from test_futures_exchange import buy, flat, sell

from seawall.engine.perpetual.world import BracketEpoch
from seawall.errors import RecipeError
from seawall.perpetual_action import AddMargin, SetLeverage, SetMarginMode, TargetLeverage, Transfer
from seawall.venues.parameters import SpotParameters
from seawall.venues.perpetual import layout

BOTH = Market(rows={SPOT: [FLAT] * 8, PERP: [FLAT] * 8})


def ask(action: Any, reason: str = "") -> Any:
    """Return what asks for something."""
    return lambda s: s.broker.ask(action, reason)


def money(amount: float, source: str = "spot", target: str = "perpetual") -> Transfer:
    """Return a transfer."""
    return Transfer(source=source, target=target, amount=amount)  # type: ignore[arg-type]


# The start ----------------------------------------------------------------------------------------


def test_a_market_of_perpetuals_alone_starts_with_all_cash_as_margin() -> None:
    """10,000 of cash: the wallet; beside spot the wallet starts empty, or as the recipe says."""
    alone = run([FLAT] * 2, {})
    assert (alone.futures.account[layout.WALLET], alone.strategy.cashes[0]) == (10_000.0, 10_000.0)
    both = run(BOTH, {}, section=make_section(wallet=500.0))
    assert both.futures.account[layout.WALLET] == 500.0
    assert both.strategy.equities[0] == 10_500.0
    assert run(BOTH, {}).futures.account[layout.WALLET] == 0.0


@pytest.mark.parametrize("mode", ["cross", "isolated"])
def test_a_given_position_is_backed_by_its_margin(mode: str) -> None:
    """5x long of 20 at the first open of 100: 400 of margin beside 10,000 in reserve."""
    section = make_section(margin=mode, position={"quantity": 20.0, "leverage": 5.0})
    ran = run(Market(rows={PERP: [FLAT, flat(110.0)]}), {}, section=section)
    assert ran.strategy.equities == [10_400.0, 10_600.0]
    view = ran.strategy.views[0]
    assert (view.reserve, view.position().margin, view.position().quantity) == (10_000, 400, 20)
    assert [(row.kind, row.asset, row.amount) for row in ran.broker.ledger] == [
        ("initial", "USDT", 10_000.0), ("initial", "perpetual:USDT", 400.0),
        ("initial", f"contract:{PERP}", 20.0),
    ]  # fmt: skip
    position = ran.broker.getposition(ran.strategy.data)
    assert (position.size, position.price) == (20.0, 100.0)


def test_a_given_notional_is_a_quantity_at_its_entry() -> None:
    """A short of 1,000 entered at 80 is -12.5, at 100 it has lost 250 of its 500 of margin."""
    section = make_section(position={"notional": -1_000.0, "entry": 80.0, "leverage": 2.0})
    ran = run([FLAT] * 2, {}, section=section)
    assert ran.futures.positions[0, layout.QUANTITY] == -12.5
    assert ran.strategy.equities[0] == pytest.approx(10_000 + 500 - 250)


def test_nothing_befalls_a_position_in_the_warm_up() -> None:
    """The mark is at 10 before the window begins at 100: the 5x long lives."""
    section = make_section(position={"quantity": 20.0, "leverage": 5.0})
    rows = [FLAT, flat(10.0), flat(10.0), FLAT, FLAT]
    ran = run(rows, {}, section=section, since_ms=START_MS + 3 * HOUR_MS)
    assert ran.rules == []
    assert ran.strategy.equities[-1] == 10_400.0


# Funding ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "amount"), [(buy, -1.0), (sell, 1.0)])
def test_funding_is_paid_by_longs_at_a_rate_above_zero(side: Any, amount: float) -> None:
    """10 ETH at a mark of 100 and 0.1 %: a long pays 1, a short receives it."""
    market = Market(rows={PERP: [FLAT] * 4}, funding=[(2, PERP, 0.001, 100.0)])
    ran = run(market, {1: side(10)})
    assert ran.futures.account[layout.FUNDING] == pytest.approx(amount)
    assert ran.strategy.equities == [10_000.0, 10_000.0, 10_000.0 + amount, 10_000.0 + amount]
    (row,) = ran.futures.funding
    assert row == (START_MS + 2 * HOUR_MS, 0, 0.001, 100.0, -10 * amount, amount)
    text = f"rate 0.001, quantity {-10 * amount!r}, mark 100.0, amount {row[-1]!r}"
    assert ran.texts("funding") == [f"{text} "]


def test_funding_is_on_what_was_held_before_the_orders_of_the_bar() -> None:
    """Bought at the open at which funding is settled: nothing; sold at the next one: the whole."""
    funding = [(1, PERP, 0.001, 100.0), (2, PERP, 0.001, 100.0)]
    ran = run(
        Market(rows={PERP: [FLAT] * 4}, funding=funding), {1: buy(10), 2: lambda s: s.close()}
    )
    assert [(row[0], row[4]) for row in ran.futures.funding] == [(START_MS + 2 * HOUR_MS, 10.0)]


def test_funding_that_empties_the_margin_liquidates_at_once() -> None:
    """Isolated long of 500 with 5,000 of margin at 100: 6 % of 50,000 leave 2,000 < 2,500."""
    market = Market(rows={PERP: [FLAT] * 4}, funding=[(2, PERP, 0.06, 100.0)])
    ran = run(market, {1: buy(500)}, section=make_section(margin="isolated"))
    assert ran.rules == ["market", "liquidation"]


# Transfers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("delay", "arrives"), [("0", 1), ("1s", 2), ("90m", 3)])
def test_a_transfer_takes_its_time_and_cost(delay: str, arrives: int) -> None:
    """Sent at the close of bar 1: at the first open that comes then or later, less 5."""
    section = make_section(transfer={"delay": delay, "cost": 5.0})
    ran = run(BOTH, {1: ask(money(1_000.0), "for margin")}, section=section)
    (moved,) = ran.futures.transfers
    sent_ms = START_MS + HOUR_MS
    assert moved[:2] == (START_MS + arrives * HOUR_MS, sent_ms)
    assert moved[2:] == ("spot", "perpetual", 1_000.0, 5.0)
    wallets = [view.wallet for view in ran.strategy.views]
    assert wallets == [0.0] * arrives + [995.0] * (8 - arrives)
    ways = [view.on_the_way for view in ran.strategy.views]
    assert ways == [0.0] + [1_000.0] * (arrives - 1) + [0.0] * (8 - arrives)
    assert ran.strategy.equities == [10_000.0] * arrives + [9_995.0] * (8 - arrives)
    assert ran.texts("sent") == ["transfer 1000 from spot to perpetual for margin"]


def test_all_there_is_comes_back() -> None:
    """Profit that is not realised stays: of 1,000 and 10 ETH at 10x the initial margin is kept."""
    section = make_section(wallet=1_000.0)
    script = {
        1: lambda s: s.buy(data=s.data1, size=10),
        2: ask(money(float("inf"), "perpetual", "spot")),
    }
    rows = {SPOT: [FLAT] * 5, PERP: [FLAT, FLAT, flat(120.0), flat(120.0), flat(120.0)]}
    ran = run(Market(rows=rows), script, section=section)
    (moved,) = ran.futures.transfers
    assert moved.amount == pytest.approx(900.0)
    assert ran.broker.ledger.balance("USDT") == pytest.approx(10_900.0)


@pytest.mark.parametrize(
    ("action", "why"),
    [
        (money(1_000.0, "perpetual", "spot"), "must be more than its cost"),
        (money(1_000.0, "spot", "loan"), "a spot and a perpetual wallet"),
        (AddMargin(symbol=BITCOIN, amount=5.0), "no such request"),
        (TargetLeverage(symbol=PERP, leverage=2.0), "no such request"),
        (SetLeverage(symbol=PERP, leverage=126.0), "at most 125x"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(action: Any, why: str) -> None:
    """Nothing moves; the journal says why."""
    ran = run(BOTH, {1: ask(action)})
    assert why in ran.texts("refused")[0]
    assert ran.strategy.equities == [10_000.0] * 8


def test_a_transfer_beyond_what_is_there_is_reduced() -> None:
    """99,999 of 10,000: 10,000 are sent, and the journal says so."""
    ran = run(BOTH, {1: ask(money(99_999.0))})
    assert ran.futures.transfers[0].amount == 10_000.0
    assert "no more than 10000" in ran.texts("reduced")[0]


# Margin -------------------------------------------------------------------------------------------


def test_margin_comes_from_the_wallet_first_and_then_from_spot() -> None:
    """Isolated, wallet 300 free, 800 asked: 300 at the next open, 500 more after the delay."""
    section = make_section(
        margin="isolated", wallet=300.0, transfer={"delay": "1s", "cost": 2.0},
        position={"quantity": 10.0, "leverage": 5.0},
    )  # fmt: skip
    ran = run(BOTH, {1: ask(AddMargin(symbol=PERP, amount=800.0))}, section=section)
    margins = [view.position().margin for view in ran.strategy.views]
    assert margins == [200.0, 500.0, 1_000.0, *[1_000.0] * 5]
    assert ran.futures.transfers[0].amount == 502.0


def test_margin_of_an_isolated_position_is_taken_back_to_spot() -> None:
    """1,000 of margin behind 10 ETH at 5x keep 200; of the 500 asked 500 end in spot."""
    section = make_section(
        margin="isolated", position={"quantity": 10.0, "leverage": 5.0}, wallet=800.0
    )
    script = {
        1: ask(AddMargin(symbol=PERP, amount=800.0)),
        3: ask(AddMargin(symbol=PERP, amount=-500.0)),
    }
    ran = run(BOTH, script, section=section)
    assert ran.strategy.views[-1].position().margin == pytest.approx(500.0)
    assert ran.broker.ledger.balance("USDT") == pytest.approx(10_500.0)


def test_margin_of_a_cross_position_is_the_wallet() -> None:
    """100 more come from spot, 50 go back."""
    section = make_section(position={"quantity": 10.0, "leverage": 5.0})
    script = {
        1: ask(AddMargin(symbol=PERP, amount=100.0)),
        3: ask(AddMargin(symbol=PERP, amount=-50.0)),
    }
    ran = run(BOTH, script, section=section)
    assert [view.wallet for view in ran.strategy.views][1::2] == [300.0, 250.0, 250.0, 250.0]


def test_margin_that_arrives_in_time_saves_a_position() -> None:
    """The 10x long of 500 dies at 94.74 without, and lives at 92 with 2,000 more."""
    section = make_section(margin="isolated")
    rows = [FLAT, FLAT, FLAT, flat(92.0), flat(92.0)]
    dead = run(rows, {1: buy(500)}, section=section)
    saved = run(
        rows, {1: buy(500), 2: ask(AddMargin(symbol=PERP, amount=2_000.0))}, section=section
    )
    assert dead.rules == ["market", "liquidation"]
    assert saved.rules == ["market"]


def test_margin_is_added_out_of_what_the_orders_of_the_same_open_set_free() -> None:
    """Isolated, nothing else there: half of 500 is closed at 96, and 1,500 back the rest at 92.

    2,500 of 5,000 come back less the loss of 1,000. 4,000 behind 250 at 100 end at 88.42, where
    25,000 - 4,000 = 237.5 p; 2,500 alone at 94.74.
    """
    section = make_section(margin="isolated")
    rows = [FLAT, FLAT, flat(96.0), (96.0, 96.0, 92.0, 92.0), flat(92.0)]
    more = ask(AddMargin(symbol=PERP, amount=1_500.0))
    both = {1: buy(500), 3: lambda s: (more(s), sell(250)(s))}
    alone = {1: buy(500), 3: sell(250)}
    saved = run(rows, both, section=section, cash=5_000.0)
    assert saved.rules == ["market", "market"]
    assert saved.strategy.views[-1].position().margin == pytest.approx(4_000.0 - 2_000.0)
    assert run(rows, alone, section=section, cash=5_000.0).rules[-1] == "liquidation"


def test_leverage_is_set_before_the_orders_that_come_with_it() -> None:
    """At 10x 1,000 carry 100 ETH, at 15x 150."""
    script = {1: lambda s: (s.broker.ask(SetLeverage(symbol=PERP, leverage=15.0)), s.buy(size=140))}
    assert run([FLAT] * 3, script, cash=1_000.0).quantities == [pytest.approx(140.0)]


def test_leverage_beyond_the_bracket_of_the_position_is_refused() -> None:
    """12,000 ETH at 100 are 1.2 million: SIMPLE allows them 20x, asked are 50x."""
    ran = run(
        [FLAT] * 4, {1: buy(12_000), 2: ask(SetLeverage(symbol=PERP, leverage=50.0))}, cash=1e6
    )
    assert "is allowed 20x" in ran.texts("refused")[0]


def test_leverage_of_an_isolated_position_cannot_be_reduced() -> None:
    """Binance refuses it, and so does this."""
    script = {1: buy(10), 2: ask(SetLeverage(symbol=PERP, leverage=5.0))}
    ran = run([FLAT] * 4, script, section=make_section(margin="isolated"))
    assert "cannot be reduced" in ran.texts("refused")[0]


def test_the_margin_mode_cannot_change_with_a_position() -> None:
    """Without one it does."""
    mode = SetMarginMode(symbol=PERP, mode="isolated")
    refused = run([FLAT] * 4, {1: buy(10), 2: ask(mode)})
    assert "cannot change while a position" in refused.texts("refused")[0]
    changed = run([FLAT] * 5, {1: ask(mode), 2: buy(10)})
    assert changed.strategy.views[-1].position().is_isolated


# What is seen -------------------------------------------------------------------------------------


def test_the_view_tells_of_funding_marks_and_liquidations() -> None:
    """Rates only once they were settled; a liquidation is told once."""
    market = Market(
        rows={PERP: [FLAT, FLAT, FLAT, flat(80.0), flat(80.0)]},
        funding=[(2, PERP, 0.001, 100.0), (4, PERP, 0.002, 80.0)],
    )
    ran = run(market, {1: buy(500)})
    views = ran.strategy.views
    assert [view.is_liquidated for view in views] == [False, False, False, True, False]
    rates = [view.funding_rate() for view in views]
    assert rates[2:] == [0.001, 0.001, 0.002]
    assert np.isnan(rates[:2]).all()
    assert views[1].next_funding_ms() == START_MS + 2 * HOUR_MS
    assert views[2].next_funding_ms() == START_MS + 4 * HOUR_MS
    assert [view.mark() for view in views] == [100.0, 100.0, 100.0, 80.0, 80.0]
    assert views[1].margin_ratio == ran.strategy.ratios[1] == pytest.approx(2_500 / 10_000)


def test_a_strategy_without_futures_sees_none() -> None:
    """On spot alone the view is None and the ratio 0."""
    from seawall.engine.broker import ExchangeBroker  # noqa: PLC0415

    broker = ExchangeBroker(SpotParameters())
    assert broker.see_perpetual() is None
    assert broker.margin_ratio() == 0.0


def test_curves_equal_what_the_strategy_saw() -> None:
    """Equity and cash rebuilt after the run are getvalue and getcash to the bit."""
    rng = np.random.default_rng(5)

    def walk(n: int) -> list[tuple[float, float, float, float]]:
        close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, n)))
        return [(c, c * 1.01, c * 0.99, c) for c in close.tolist()]

    market = Market(
        rows={PERP: walk(200), BITCOIN: walk(200), SPOT: walk(200)},
        funding=[(k, PERP, 1e-4, 100.0) for k in range(8, 200, 8)],
        brackets=real_brackets(),
    )

    def trade(s: Any) -> None:
        data = s.datas[int(rng.integers(3))]
        weight = float(rng.choice([-0.5, 0.0, 0.3, 1.0]))
        s.buy(data=data, size=1, target_weight=max(weight, 0.0) if data is s.data2 else weight)

    ran = run(
        market, {}, every=trade, section=make_section(wallet=5_000.0),
        parameters=SpotParameters(taker_fee_bps=5.0, impact_bps=10.0),
    )  # fmt: skip
    _, equity, cash = ran.broker.curves()
    assert len(ran.broker.fills) > 100
    np.testing.assert_array_equal(equity, ran.strategy.equities)
    np.testing.assert_array_equal(cash, ran.strategy.cashes)


def test_deciding_at_the_open_fills_and_asks_at_that_open() -> None:
    """In next_open of bar 3: a transfer without delay and the order that needs it, at one open."""
    rows = {SPOT: [FLAT] * 5, PERP: [FLAT, FLAT, flat(110.0), flat(110.0), flat(110.0)]}
    opening = {
        3: lambda s: (s.broker.ask(money(5_000.0)), s.buy(data=s.data1, size=100)),
    }
    ran = run(Market(rows=rows), {}, opening=opening)
    assert ran.prices == [110.0]
    assert ran.futures.transfers[0].time_ms == ran.broker.fills[0].time_ms == START_MS + 2 * HOUR_MS


@pytest.mark.parametrize(("rate", "price"), [(0.25, 100.0), (0.15, 40_000 / 425)])
def test_new_brackets_take_hold_in_the_run(rate: float, price: float) -> None:
    """From bar 4 on the maintenance rate is higher: 500 at 100 with 10,000 die at 40,000/500(1-r).

    25 %: 106.67 is above the mark of 100, at once. 15 %: 94.12, when the next bar falls to 90.
    """
    market = Market(rows={PERP: [FLAT, FLAT, FLAT, FLAT, (100.0, 100.0, 90.0, 95.0), FLAT]})
    tighter = market.to_world(make_section()).epochs[0]
    tables = tighter.tables.copy()
    tables[:, 0, layout.RATE] = rate

    class Tightened(Market):
        def to_world(self, section: Any) -> Any:
            world = super().to_world(section)
            late = BracketEpoch(first_step=3, tables=tables, names=("later",))
            object.__setattr__(world, "epochs", (*world.epochs, late))
            return world

    ran = run(Tightened(rows=market.rows), {1: buy(500)})
    assert ran.rules == ["market", "liquidation"]
    assert ran.prices[-1] == pytest.approx(price)
    assert ran.broker.fills[-1].bar_ms == START_MS + (3 if price == 100.0 else 4) * HOUR_MS


def test_an_account_without_positions_sleeps() -> None:
    """Bars without position, order or request are passed over; funding then is nobody's."""
    market = Market(rows={PERP: [FLAT] * 12}, funding=[(k, PERP, 0.01, 100.0) for k in range(12)])
    script = {2: lambda s: s.env.sleep(s.data.datetime[0] + 5 / 24), 8: buy(10)}
    ran = run(market, script)
    assert len(ran.strategy.equities) < 12
    assert [row[0] for row in ran.futures.funding] == [START_MS + k * HOUR_MS for k in (9, 10, 11)]


def test_the_end_of_an_order_is_dated_when_it_is_asked_for() -> None:
    """An order that is cancelled in the first decision ends at the close of that bar."""

    def send(s: Any) -> None:
        s.cancel(s.buy(size=1, price=50.0, exectype=bt.Order.Limit))

    ran = run([FLAT] * 3, {1: send})
    (ended,) = [one for one in ran.broker.journal.entries if one.kind == "cancelled"]
    assert ended.time_ms == START_MS + HOUR_MS


def test_funding_inside_a_bar_is_on_what_its_open_has_left() -> None:
    """Bought at the open of bar 1 and sold at that of bar 3, 10 ETH pay from within 1 to 3."""
    funding = [(step, PERP, 0.001, 100.0) for step in (1.0, 1.5, 2.0, 2.5, 3.0, 3.5)]
    script = {1: buy(10), 3: lambda s: s.close()}
    ran = run(Market(rows={PERP: [FLAT] * 5}, funding=funding), script)
    paid = [((row[0] - START_MS) / HOUR_MS, row[4]) for row in ran.futures.funding]
    assert paid == [(1.5, 10.0), (2.0, 10.0), (2.5, 10.0), (3.0, 10.0)]
    assert ran.strategy.equities[-1] == pytest.approx(10_000.0 - 4.0)
    assert len(ran.texts("funding")) == 4


def test_funding_inside_a_bar_can_liquidate_in_it() -> None:
    """Isolated long of 500 with 5,000, bought at the open: 6 % of 50,000 leave too little."""
    market = Market(rows={PERP: [FLAT] * 3}, funding=[(1.5, PERP, 0.06, 100.0)])
    ran = run(market, {1: buy(500)}, section=make_section(margin="isolated"))
    assert ran.rules == ["market", "liquidation"]


def test_coins_at_the_start_need_their_spot_symbol() -> None:
    """3 ETH in a market of the perpetual alone: refused, with the remedy."""
    with pytest.raises(RecipeError, match=r"initial_holdings .*'ETH': 3.0.*add its spot symbol"):
        run([FLAT] * 3, {}, initial_holdings={"ETH": 3.0})


def test_a_given_position_smaller_than_a_lot_is_refused() -> None:
    """0.0004 ETH where a lot is 0.001."""
    section = make_section(position={"quantity": 0.0004, "leverage": 5.0})
    with pytest.raises(RecipeError, match=r"at least one lot of ETH/USDT:USDT, 0.001, is 0.0004"):
        run([FLAT] * 3, {}, section=section, parameters=SpotParameters(lot_size=0.001))
