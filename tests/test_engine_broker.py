"""The exchange broker inside backtrader: statuses, positions, clocks, curves, refusals."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from seawall.engine.broker import ExchangeBroker
from seawall.engine.cerebro import Cerebro
from seawall.engine.feed import ArrayFeed
from seawall.errors import RecipeError
from seawall.fill import Fill
from seawall.recipe import Recipe
from seawall.venues.parameters import SpotParameters

Row = tuple[float, float, float, float]
FLAT: Row = (100.0, 100.0, 100.0, 100.0)
HOUR_MS = 3_600_000


class Scripted(bt.Strategy):
    """Runs ``script[bar](self)`` at the close of each bar, from 1 on; notes what it is told."""

    params: Any = (("script", {}), ("opening", {}))

    def __init__(self) -> None:
        self.told: list[tuple[int, str]] = []
        self.equities: list[float] = []
        self.cashes: list[float] = []
        self.pnl: list[float] = []
        self.sent: dict[str, Any] = {}
        self.seen_at_open: list[float] = []

    def notify_order(self, order: bt.Order) -> None:
        """Note a status."""
        self.told.append((order.ref, order.getstatusname()))

    def notify_trade(self, trade: bt.Trade) -> None:
        """Note what a closed trade made."""
        if trade.isclosed:
            self.pnl.append(trade.pnlcomm)

    def next_open(self) -> None:
        """Act at the open of a bar."""
        self.seen_at_open.append(self.broker.getvalue())
        if len(self.data) in self.p.opening:
            self.p.opening[len(self.data)](self)

    def next(self) -> None:
        """Act at the close of a bar."""
        self.equities.append(self.broker.getvalue())
        self.cashes.append(self.broker.getcash())
        if len(self) in self.p.script:
            self.p.script[len(self)](self)


Script = dict[int, Callable[[Any], object]]


def to_frame(rows: list[Row], volume: float = 1e6, start: str = "2024-01-01") -> pd.DataFrame:
    """Return an hourly table."""
    frame = pd.DataFrame(rows, columns=["open", "high", "low", "close"], dtype=float)
    frame.index = pd.date_range(start, periods=len(rows), freq="1h")
    return frame.assign(volume=volume)


def run(
    rows: list[Row],
    script: Script,
    *,
    parameters: SpotParameters | None = None,
    opening: Script | None = None,
    **account: Any,
) -> tuple[Scripted, ExchangeBroker]:
    """Return strategy and broker after a run over hourly bars."""
    cerebro = Cerebro(cheat_on_open=opening is not None)
    cerebro.adddata(ArrayFeed.from_frame(to_frame(rows), symbol="ETH/USDT", timeframe="1h"))
    broker = ExchangeBroker(parameters or SpotParameters(), **account)
    cerebro.broker = broker
    cerebro.addstrategy(Scripted, script=script, opening=opening or {})
    return cerebro.run()[0], broker


def prices(broker: ExchangeBroker) -> list[float]:
    """Return the fill prices."""
    return [fill.price for fill in broker.fills]


def test_a_round_trip_tells_what_backtrader_tells() -> None:
    """Buy 2 at 101, close at 103, fee 10 bp: pnl 4 - 0.202 - 0.206 = 3.592."""
    rows = [FLAT, (101.0, 102.0, 100.0, 102.0), (103.0, 103.0, 103.0, 103.0)]
    script: Script = {1: lambda s: s.buy(size=2), 2: lambda s: s.close()}
    strategy, broker = run(rows, script, parameters=SpotParameters(taker_fee_bps=10.0))
    words = ["Submitted", "Accepted", "Completed"]
    assert strategy.told == [(ref, word) for ref in (1, 2) for word in words]
    assert strategy.pnl == [pytest.approx(3.592)]
    assert broker.getposition(strategy.data).size == 0
    assert strategy.equities[-1] == pytest.approx(10_003.592)


def test_a_sell_knows_what_it_made() -> None:
    """Bought at 101, 2 sold at 103: 4 before fees, in the order itself."""
    rows = [FLAT, (101.0, 102.0, 100.0, 102.0), (103.0, 103.0, 103.0, 103.0)]
    script: Script = {1: lambda s: s.buy(size=2), 2: lambda s: s.sent.update(exit=s.close())}
    strategy, _ = run(rows, script, parameters=SpotParameters(taker_fee_bps=10.0))
    assert strategy.sent["exit"].executed.pnl == pytest.approx(4.0)


def test_a_capped_order_tells_partial() -> None:
    """A tenth of a volume of 1e6 fills per bar: 150,000 needs two."""
    parameters = SpotParameters(participation_cap=0.1)
    script: Script = {1: lambda s: s.buy(size=150_000)}
    strategy, _ = run([FLAT] * 4, script, parameters=parameters, cash=1e9)
    assert [word for _, word in strategy.told] == ["Submitted", "Accepted", "Partial", "Completed"]


@pytest.mark.parametrize(("latency_ms", "price"), [(0, 101.0), (1, 102.0), (HOUR_MS, 102.0)])
def test_latency_counts_from_the_close_of_the_decision(latency_ms: int, price: float) -> None:
    """A millisecond too late for the open of 101, an hour is still in time for that of 102."""
    rows = [(100.0 + t, 100.0 + t, 100.0 + t, 100.0 + t) for t in range(4)]
    parameters = SpotParameters(latency_ms=latency_ms)
    _, broker = run(rows, {1: lambda s: s.buy(size=1)}, parameters=parameters)
    assert prices(broker) == [price]


def test_a_plain_strategy_that_shorts_is_refused_by_name() -> None:
    """Rejected for backtrader, rule and remedy in the journal."""
    strategy, broker = run([FLAT] * 3, {1: lambda s: s.sell(size=1)})
    assert strategy.told == [(1, "Submitted"), (1, "Rejected")]
    refused = [entry for entry in broker.journal.entries if entry.kind == "refused"]
    assert "spot does not short" in refused[0].reason
    assert "stock" in refused[0].reason


def test_no_cash_is_margin() -> None:
    """A buy that not a single lot is left for ends as Margin."""
    script: Script = {1: lambda s: (s.buy(size=100), s.buy(size=1))}
    strategy, _ = run([FLAT] * 3, script, parameters=SpotParameters(lot_size=0.01))
    assert strategy.told[-1] == (2, "Margin")


@pytest.mark.parametrize(
    ("wishes", "quantity"),
    [({"cash": 500.0}, 5.0), ({"target_weight": 0.25}, 25.0), ({"size": 0.125}, 0.125)],
)
def test_sizes_by_keyword(wishes: dict[str, float], quantity: float) -> None:
    """``cash`` and ``target_weight`` are sized at the fill; sizes may be fractions."""
    _, broker = run([FLAT] * 3, {1: lambda s: s.buy(**{"size": 1, **wishes})})
    assert [fill.quantity for fill in broker.fills] == [quantity]


def test_a_target_weight_may_turn_out_to_sell() -> None:
    """Bought to half, the price doubles, weight 0.5 again: a buy order that sells."""
    rows = [FLAT, FLAT, (200.0, 200.0, 200.0, 200.0), (200.0, 200.0, 200.0, 200.0)]
    script: Script = {t: lambda s: s.buy(size=1, target_weight=0.5) for t in (1, 2)}
    strategy, broker = run(rows, script)
    assert [fill.quantity for fill in broker.fills] == [50.0, -12.5]
    assert broker.getposition(strategy.data).size == 37.5


@pytest.mark.parametrize(
    ("wishes", "bar", "price"),
    [
        ({"exectype": bt.Order.Limit, "price": 98.0}, (100.0, 101.0, 97.0, 99.0), 98.0),
        ({"exectype": bt.Order.Stop, "price": 105.0}, (100.0, 106.0, 97.0, 99.0), 105.0),
        (
            {"exectype": bt.Order.StopLimit, "price": 105.0, "plimit": 106.0},
            (100.0, 106.0, 97.0, 99.0), 105.0,
        ),
        ({"exectype": bt.Order.StopTrail, "trailamount": 4.0}, (100.0, 106.0, 97.0, 99.0), 104.0),
        ({"exectype": bt.Order.StopTrail, "trailpercent": 0.03}, (100.0, 106.0, 97.0, 99.0), 103.0),
        (
            {"exectype": bt.Order.StopTrailLimit, "price": 100.0, "plimit": 101.0,
             "trailamount": 4.0},
            (100.0, 106.0, 97.0, 99.0), 104.0,
        ),
        ({"exectype": bt.Order.Close}, (100.0, 106.0, 97.0, 99.0), 99.0),
        ({"exectype": bt.Order.Market}, (100.0, 106.0, 97.0, 99.0), 100.0),
    ],
)  # fmt: skip
def test_every_execution_type(wishes: dict[str, Any], bar: Row, price: float) -> None:
    """Whatever a bt.Strategy can send is taken and fills by the conventions."""
    _, broker = run([FLAT, bar, FLAT], {1: lambda s: s.buy(size=1, **wishes)})
    assert prices(broker)[:1] == [pytest.approx(price)]


def test_a_bracket_is_stopped_on_its_entry_bar() -> None:
    """buy_bracket at the open, low below the stop in the same bar: backtrader itself ignores it."""
    script: Script = {
        1: lambda s: s.buy_bracket(
            size=1, exectype=bt.Order.Market, stopprice=95.0, limitprice=110.0
        )
    }
    strategy, broker = run([FLAT, (100.0, 101.0, 80.0, 85.0), FLAT], script)
    assert prices(broker) == [100.0, 95.0]
    assert strategy.told[-1] == (3, "Canceled")


def test_a_bracket_sized_at_the_fill_exits_what_it_bought() -> None:
    """An entry for 1,000 of cash at 100 buys 10; its take-profit sells 10."""
    script: Script = {
        1: lambda s: s.buy_bracket(
            size=1,
            exectype=bt.Order.Market,
            stopprice=95.0,
            limitprice=110.0,
            oargs={"cash": 1_000.0},
        )
    }
    _, broker = run([FLAT, FLAT, (100.0, 120.0, 100.0, 115.0)], script)
    assert [fill.quantity for fill in broker.fills] == [10.0, -10.0]


def test_oco_cancels_the_other() -> None:
    """Two buys in one group: the stop fills, the limit is cancelled."""

    def send(s: Any) -> None:
        first = s.buy(size=1, exectype=bt.Order.Limit, price=95.0)
        s.buy(size=1, exectype=bt.Order.Stop, price=105.0, oco=first)

    strategy, broker = run(
        [FLAT, (100.0, 106.0, 99.0, 104.0), (100.0, 100.0, 90.0, 95.0)], {1: send}
    )
    assert prices(broker) == [105.0]
    assert (1, "Canceled") in strategy.told


def test_valid_expires_and_cancel_cancels() -> None:
    """An order valid for one hour misses the second bar; a cancelled one never fills."""

    def send(s: Any) -> None:
        s.buy(size=1, exectype=bt.Order.Limit, price=90.0, valid=timedelta(hours=1))
        s.sent["other"] = s.buy(size=1, exectype=bt.Order.Limit, price=90.0)

    script: Script = {1: send, 2: lambda s: s.cancel(s.sent["other"])}
    strategy, broker = run([FLAT, FLAT, (100.0, 100.0, 80.0, 90.0)], script)
    assert broker.fills == []
    assert {(1, "Expired"), (2, "Canceled")} <= set(strategy.told)


def test_orders_of_the_last_bar_are_listed() -> None:
    """What backtrader forgets is in the journal as expired, with the reason."""
    _, broker = run([FLAT] * 2, {2: lambda s: s.buy(size=1)})
    last = broker.journal.entries[-1]
    assert (last.kind, last.reason) == ("expired", "end_of_data")


def test_deciding_at_the_open_fills_at_that_open() -> None:
    """Sent in next_open of bar 2 (open 101): filled at 101, at that open's time."""
    rows = [FLAT, (101.0, 105.0, 101.0, 105.0), (105.0, 105.0, 105.0, 105.0)]
    opening: Script = {2: lambda s: s.buy(size=10)}
    strategy, broker = run(rows, {}, opening=opening)
    assert prices(broker) == [101.0]
    assert broker.fills[0].time_ms == broker.fills[0].bar_ms
    assert strategy.equities[1] == pytest.approx(10_000 + 10 * 4.0)


def test_the_value_at_the_open_does_not_know_the_close() -> None:
    """10 coins: marked at the opens in next_open, at the closes in next."""
    rows = [FLAT, FLAT, (101.0, 200.0, 101.0, 200.0)]
    strategy, _ = run(rows, {1: lambda s: s.buy(size=10)}, opening={})
    assert strategy.seen_at_open == [10_000.0, 10_010.0]  # backtrader has none for the first bar
    assert strategy.equities == [10_000.0, 10_000.0, 11_000.0]


def test_what_next_sends_with_an_open_clock_waits_for_the_next_bar() -> None:
    """Where the agent may act at opens, an order sent at a close still fills at the next open."""
    rows = [FLAT, (101.0, 101.0, 101.0, 101.0), (102.0, 102.0, 102.0, 102.0)]
    _, broker = run(rows, {1: lambda s: s.buy(size=1)}, opening={})
    assert prices(broker) == [101.0]


def test_fill_at_the_close_is_immediate() -> None:
    """With fill = "close" it is bought at the close of 100 that was just seen."""
    rows = [FLAT, (110.0, 110.0, 110.0, 110.0)]
    parameters = SpotParameters(fills_at_close=True)
    strategy, broker = run(rows, {1: lambda s: s.buy(size=10)}, parameters=parameters)
    assert prices(broker) == [100.0]
    assert strategy.equities == [10_000.0, 10_100.0]
    np.testing.assert_array_equal(broker.curves()[1], strategy.equities)


def test_fills_at_one_close_share_its_volume() -> None:
    """Two orders of 80,000 at one close with 100,000 to have: 80,000 and 20,000."""
    parameters = SpotParameters(fills_at_close=True, participation_cap=0.1)
    script: Script = {1: lambda s: (s.buy(size=80_000), s.buy(size=80_000))}
    _, broker = run([FLAT], script, parameters=parameters, cash=1e9)
    assert [fill.quantity for fill in broker.fills] == [80_000.0, 20_000.0]


def test_curves_equal_what_the_strategy_saw() -> None:
    """Equity and cash rebuilt after the run are getvalue and getcash to the bit, on two symbols."""
    rng = np.random.default_rng(3)
    cerebro = Cerebro()
    for symbol, start in (("ETH/USDT", "2024-01-01"), ("SOL/USDT", "2024-01-03")):
        close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 200)))
        frame = to_frame([(c, c * 1.01, c * 0.99, c) for c in close], start=start)
        cerebro.adddata(ArrayFeed.from_frame(frame, symbol=symbol, timeframe="1h"))
    broker = ExchangeBroker(SpotParameters(taker_fee_bps=10.0, impact_bps=10.0))
    cerebro.broker = broker

    class Random(Scripted):
        def prenext(self) -> None:
            self.next()

        def next(self) -> None:
            self.equities.append(self.broker.getvalue())
            self.cashes.append(self.broker.getcash())
            data = self.datas[int(rng.integers(2))]
            if len(data):
                self.buy(data=data, size=1, target_weight=float(rng.choice([0.0, 0.2, 0.5])))

    cerebro.addstrategy(Random)
    strategy = cerebro.run()[0]
    clock_ms, equity, cash = broker.curves()
    assert len(clock_ms) == 248
    assert len(broker.fills) > 100
    np.testing.assert_array_equal(equity, strategy.equities)
    np.testing.assert_array_equal(cash, strategy.cashes)


def test_the_value_of_one_feed_is_its_position() -> None:
    """getvalue([data]) is not the whole equity: order_target_percent depends on it."""
    found: list[float] = []
    script: Script = {
        1: lambda s: s.buy(size=10),
        2: lambda s: found.append(s.broker.getvalue([s.data])),
        3: lambda s: s.order_target_percent(target=0.5),
    }
    _, broker = run([FLAT] * 5, script)
    assert found == [1_000.0]
    assert [fill.quantity for fill in broker.fills] == [10.0, 40.0]


@pytest.mark.parametrize("bar", [1, 3])
def test_what_is_cancelled_or_refused_where_it_is_sent_is_dated_then(bar: int) -> None:
    """At the close of its bar: at the first, and two bars after the last that an order has met."""

    def send(s: Any) -> None:
        s.sent["entry"] = s.buy(size=1, price=50.0, exectype=bt.Order.Limit)
        s.cancel(s.sent["entry"])
        s.sell(size=1, price=60.0, exectype=bt.Order.Limit, parent=s.sent["entry"])

    script: Script = {bar: send}
    if bar > 1:
        script[1] = lambda s: s.buy(size=1)
    _, broker = run([FLAT] * 5, script)
    ended = [one for one in broker.journal.entries if one.kind in {"cancelled", "refused"}]
    start_ms = int(pd.Timestamp("2024-01-01").value // 1_000_000)
    assert [one.kind for one in ended] == ["cancelled", "refused"]
    assert [one.time_ms for one in ended] == [start_ms + bar * HOUR_MS] * 2


def test_initial_holdings_are_bought_at_the_first_price_for_free() -> None:
    """Half of 10,000 in coin at the first open of 50: 100 coins, booked in the ledger."""
    rows = [(50.0, 60.0, 50.0, 60.0), (60.0, 60.0, 60.0, 60.0)]
    strategy, broker = run(rows, {}, initial_holdings={"ETH": "50%"})
    assert broker.getposition(strategy.data).size == 100.0
    assert strategy.equities == [11_000.0, 11_000.0]
    assert [(row.kind, row.asset, row.amount) for row in broker.ledger] == [
        ("initial", "USDT", 5_000.0), ("initial", "ETH", 100.0),
    ]  # fmt: skip
    np.testing.assert_array_equal(broker.curves()[1], strategy.equities)


def test_initial_holdings_in_units_come_on_top_of_the_cash() -> None:
    """10,000 and 2 coins at 100 are 10,200; they can be sold."""
    strategy, broker = run([FLAT] * 3, {1: lambda s: s.close()}, initial_holdings={"ETH": 2.0})
    assert strategy.equities == [10_200.0] * 3
    assert [fill.quantity for fill in broker.fills] == [-2.0]


def test_an_hourly_order_sent_inside_the_hour_waits_for_the_next_hour() -> None:
    """Sent at 10:30 on the hourly feed: not at the open of 10:00, which is past, but at 11:00."""
    index = pd.date_range("2024-01-01", periods=8, freq="30min")
    halves = pd.DataFrame({name: np.arange(8) + 100.0 for name in ("open", "high", "low", "close")})
    fine = halves.set_index(index).assign(volume=1e6)
    hourly = fine.iloc[::2].assign(
        close=fine.close.iloc[1::2].to_numpy(), high=fine.high.iloc[1::2].to_numpy()
    )
    cerebro = Cerebro()
    cerebro.adddata(ArrayFeed.from_frame(fine, symbol="ETH/USDT", timeframe="30m", name="fine"))
    cerebro.adddata(ArrayFeed.from_frame(hourly, symbol="ETH/USDT", timeframe="1h", name="hourly"))
    broker = ExchangeBroker(SpotParameters())
    cerebro.broker = broker

    class Late(bt.Strategy):
        def next(self) -> None:
            if len(self.data0) == 3:
                self.buy(data=self.data1, size=1)

    cerebro.addstrategy(Late)
    cerebro.run()
    sent_ms = int(index[2].timestamp() * 1_000) + HOUR_MS // 2
    assert [fill.bar_ms for fill in broker.fills] == [sent_ms + HOUR_MS // 2]
    assert prices(broker) == [104.0]


def test_a_plain_feed_of_backtrader_works_too() -> None:
    """Stock Cerebro, PandasData without a timeframe: next-open fills all the same."""
    cerebro = bt.Cerebro(stdstats=False)
    rows: list[Row] = [FLAT, (101.0, 102.0, 100.0, 102.0), FLAT]
    cerebro.adddata(bt.feeds.PandasData(dataname=to_frame(rows), name="ETH/USDT"))
    broker = ExchangeBroker(SpotParameters())
    cerebro.broker = broker
    cerebro.addstrategy(Scripted, script={1: lambda s: s.buy(size=1)})
    strategy = cerebro.run()[0]
    assert prices(broker) == [101.0]
    np.testing.assert_array_equal(broker.curves()[1], strategy.equities)


def test_two_runs_are_equal() -> None:
    """Order ids, fills and journal do not depend on what ran before in the process."""
    script: Script = {1: lambda s: s.buy(size=1), 2: lambda s: s.close()}
    runs = [run([FLAT] * 4, script)[1] for _ in range(2)]
    assert repr(runs[0].fills) == repr(runs[1].fills)  # nan is not equal to itself
    assert runs[0].journal.entries == runs[1].journal.entries


def test_the_recipe_makes_the_broker() -> None:
    """Costs, cash, rounding and clock come from the recipe; unknown grids from the table."""
    recipe = Recipe.from_dict(
        {
            "market": {"venue": "binance", "symbols": ["BTC/USDT", "QQQ/USDT"], "timeframe": "1h",
                       "since": "2024-01-01", "until": "2024-02-01"},
            "account": {"cash": 5_000.0},
            "costs": {"taker_fee_bps": 7.0},
            "execution": {"participation_cap": float("inf")},
            "instruments": {"BTC/USDT": {"tick_size": 0.5}},
        }
    )  # fmt: skip
    bitcoin = SpotParameters.from_recipe(recipe, "BTC/USDT")
    assert (bitcoin.taker_fee_bps, bitcoin.tick_size, bitcoin.lot_size) == (7.0, 0.5, 0.00001)
    assert SpotParameters.from_recipe(recipe, "QQQ/USDT").lot_size == 0.0
    assert ExchangeBroker.from_recipe(recipe).startingcash == 5_000.0


def test_a_feed_without_parameters_is_refused() -> None:
    """A symbol that nobody described names itself."""
    with pytest.raises(RecipeError, match="ETH/USDT"):
        run([FLAT], {}, parameters={"BTC/USDT": SpotParameters()})  # type: ignore[arg-type]


def test_sleeping_through_bars_changes_nothing() -> None:
    """A strategy that sleeps leaves the same curve; the broker is idle meanwhile."""
    rows: list[Row] = [(100.0 + t, 101.0 + t, 99.0 + t, 100.0 + t) for t in range(10)]
    strategy, broker = run(rows, {1: lambda s: s.buy(size=1)})
    asleep: Script = {
        1: lambda s: s.buy(size=1),
        2: lambda s: s.env.sleep(s.data.datetime[0] + 5 / 24),
    }
    other, sleepy = run(rows, asleep)
    assert len(other.equities) < len(strategy.equities)
    np.testing.assert_array_equal(sleepy.curves()[1], broker.curves()[1])


def test_a_fill_is_a_fill() -> None:
    """The broker's fills are the rows that everything else speaks of."""
    _, broker = run([FLAT] * 3, {1: lambda s: s.buy(size=1)})
    assert isinstance(broker.fills[0], Fill)
    assert broker.fills[0].symbol == "ETH/USDT"
