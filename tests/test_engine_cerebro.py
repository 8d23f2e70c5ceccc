"""The trimmed loop calls what backtrader's own loop calls, in the same order."""

import datetime as dt
import io
from typing import Any

import backtrader as bt
import numpy as np
import pytest
from engine_twins import (
    CANDLES,
    TRADES,
    Crossing,
    Scripted,
    check_logs,
    make_candles,
    run,
    to_array_feed,
    to_stock_feed,
)

from seawall.engine.cerebro import Cerebro
from seawall.engine.feed import ArrayFeed, resample


def trap_own_loop(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows whenever backtrader's own vector loop runs."""
    ran = []
    own = bt.Cerebro._runonce

    def noted(self: bt.Cerebro, runstrats: Any) -> None:
        ran.append(type(self).__name__)
        own(self, runstrats)

    monkeypatch.setattr(bt.Cerebro, "_runonce", noted)
    return ran


def test_a_plain_run_is_trimmed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backtrader's own loop is not used where it need not be."""
    ran = trap_own_loop(monkeypatch)
    run(Cerebro, lambda cerebro: cerebro.addstrategy(Crossing))
    assert ran == []


@pytest.mark.parametrize(
    "how",
    [{"preload": False}, {"runonce": False}, {"exactbars": 1}, {"oldsync": True}, {"live": True}],
    ids=str,
)
def test_what_cannot_be_trimmed_runs_as_in_stock(how: dict[str, Any]) -> None:
    """Without preloading and the like the run is backtrader's own, on our feed and broker."""
    check_logs(lambda cerebro: cerebro.addstrategy(Crossing), **how)


def test_writer_falls_back_and_writes_the_same() -> None:
    """With a writer backtrader's own loop runs, and the text is the same."""
    texts = []
    for kind in (bt.Cerebro, Cerebro):
        out = io.StringIO()

        def prepare(cerebro: bt.Cerebro, out: io.StringIO = out) -> None:
            cerebro.addstrategy(Crossing)
            cerebro.addwriter(bt.WriterFile, csv=True, out=out)

        run(kind, prepare)
        texts.append(out.getvalue())
    assert texts[0] == texts[1].replace("ArrayFeed", "PandasData")
    assert len(texts[0]) > 1000


def test_repeated_stamps_fall_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A feed whose stamps do not increase is merged by backtrader itself."""
    ran = trap_own_loop(monkeypatch)
    feed = to_stock_feed(CANDLES)
    feed.p.dataname.index = feed.p.dataname.index.where(
        np.arange(len(CANDLES)) != 50, feed.p.dataname.index[49]
    )
    cerebro = Cerebro()
    cerebro.adddata(feed)
    cerebro.addstrategy(Crossing)
    assert len(cerebro.run()[0]) == len(CANDLES)
    assert ran == ["Cerebro"]


def test_foreign_feeds_are_trimmed_too() -> None:
    """Stock ``PandasData`` in our Cerebro, also resampled by backtrader, gives stock's log."""
    logs = []
    for kind in (bt.Cerebro, Cerebro):
        cerebro = kind(stdstats=False)
        cerebro.adddata(to_stock_feed(CANDLES))
        cerebro.resampledata(to_stock_feed(CANDLES), timeframe=bt.TimeFrame.Minutes, compression=15)
        cerebro.addstrategy(Scripted, commands=TRADES, period=4)
        logs.append(cerebro.run()[0].log)
    assert logs[0] == logs[1]


@pytest.mark.parametrize("how", ["resampledata", "replaydata"])
def test_backtraders_own_resampling_works_on_the_array_feed(how: str) -> None:
    """``resampledata`` and ``replaydata`` take our feed as they take stock's."""

    def prepare(cerebro: bt.Cerebro) -> None:
        to_feed = to_array_feed if isinstance(cerebro, Cerebro) else to_stock_feed
        add = getattr(cerebro, how)
        add(to_feed(CANDLES), timeframe=bt.TimeFrame.Minutes, compression=15)
        cerebro.addstrategy(Scripted, commands=TRADES)

    check_logs(prepare)


@pytest.mark.parametrize("cheat", [False, True])
def test_timers_fire_at_the_same_bars(cheat: bool) -> None:  # noqa: FBT001
    """Timers before and after the broker, of the strategy and of the cerebro."""

    class Timed(Crossing):
        def start(self) -> None:
            self.add_timer(dt.time(2, 0), repeat=dt.timedelta(minutes=35), cheat=cheat)

    def prepare(cerebro: bt.Cerebro) -> None:
        cerebro.addstrategy(Timed)

    _, ours = check_logs(prepare)
    assert any("Timer" in row for row in ours[0].log)


def test_several_strategies_share_a_broker() -> None:
    """Two strategies with different warm-ups, on feeds of different starts."""

    def prepare(cerebro: bt.Cerebro) -> None:
        cerebro.addstrategy(Crossing)
        cerebro.addstrategy(Crossing, fast=5, slow=20)
        cerebro.addstrategy(Scripted, commands=TRADES, period=12)

    other = make_candles(12, 90, symbol="C/D", first=20, gap_share=0.3)
    check_logs(prepare, (CANDLES, other, resample(CANDLES, "1h")))


def test_a_strategy_with_lines_of_its_own_runs() -> None:
    """A strategy that declares lines and writes them is stepped as backtrader does it."""

    class Lined(Crossing):
        lines = ("spread",)

        def next(self) -> None:
            self.l.spread[0] = self.data.high[0] - self.data.low[0]
            if len(self) > 20:
                self.log.append((len(self), self.l.spread[0], self.l.spread[-1]))
            super().next()

    check_logs(lambda cerebro: cerebro.addstrategy(Lined))


def test_signals_trade_as_in_stock() -> None:
    """A run made of signals alone."""

    class Signal(bt.Indicator):
        lines = ("signal",)

        def __init__(self) -> None:
            self.l.signal = self.data.close - bt.ind.SMA(period=9)

    def prepare(cerebro: bt.Cerebro) -> None:
        cerebro.add_signal(bt.SIGNAL_LONGSHORT, Signal)
        cerebro.addanalyzer(bt.analyzers.Transactions, _name="all")

    results = [
        run(kind, prepare)[1][0].analyzers.all.get_analysis() for kind in (bt.Cerebro, Cerebro)
    ]
    assert strip(results[0]) == strip(results[1])
    assert len(results[1]) > 10


ANALYZERS = [
    "AnnualReturn", "Calmar", "DrawDown", "GrossLeverage", "LogReturnsRolling", "PeriodStats",
    "PositionsValue", "PyFolio", "Returns", "SQN", "SharpeRatio", "SharpeRatio_A", "TimeDrawDown",
    "TimeReturn", "TradeAnalyzer", "Transactions", "VWR",
]  # fmt: skip


def strip(analysis: Any) -> Any:
    """Return an analysis as plain values: object names and identities differ between runs."""
    if isinstance(analysis, dict):
        return {str(key): strip(value) for key, value in analysis.items()}
    if isinstance(analysis, list | tuple):
        return [strip(value) for value in analysis]
    if isinstance(analysis, bt.Order | bt.Trade):
        return type(analysis).__name__
    return "nan" if analysis != analysis else analysis  # noqa: PLR0124


def test_analyzers_say_the_same() -> None:
    """All of backtrader's analyzers, equal to the bit."""

    def prepare(cerebro: bt.Cerebro) -> None:
        cerebro.addstrategy(Scripted, commands=TRADES, period=4)
        cerebro.broker.setcommission(0.001)
        for name in ANALYZERS:
            daily = {"timeframe": bt.TimeFrame.Minutes, "compression": 60}
            takes = name in {"TimeReturn", "TimeDrawDown", "LogReturnsRolling", "Calmar"}
            cerebro.addanalyzer(getattr(bt.analyzers, name), **(daily if takes else {}))

    _, stock = run(bt.Cerebro, prepare, stdstats=True)  # AnnualReturn reads an observer
    _, ours = run(Cerebro, prepare, stdstats=True)
    for expected, found in zip(stock[0].analyzers, ours[0].analyzers, strict=True):
        name = type(expected).__name__
        assert strip(found.get_analysis()) == strip(expected.get_analysis()), name


def test_own_analyzers_hear_everything_in_order() -> None:  # noqa: C901
    """A user's analyzer and its child are called as in stock, warm-up included."""

    class Child(bt.Analyzer):
        def start(self) -> None:
            self.rets = []

        def notify_cashvalue(self, cash: float, value: float) -> None:
            self.rets.append(("child cash", cash, value))

    class Parent(bt.Analyzer):
        def __init__(self) -> None:
            self.child = Child()

        def start(self) -> None:
            self.rets = []

        def notify_order(self, order: bt.Order) -> None:
            self.rets.append((len(self.strategy), "order", order.status))

        def notify_trade(self, trade: bt.Trade) -> None:
            self.rets.append((len(self.strategy), "trade", trade.pnl))

        def prenext(self) -> None:
            self.rets.append((len(self.strategy), "prenext"))

        def next(self) -> None:
            self.rets.append((len(self.strategy), "next", self.strategy.broker.getvalue()))

    def prepare(cerebro: bt.Cerebro) -> None:
        cerebro.addstrategy(Scripted, commands=TRADES, period=5)
        cerebro.addanalyzer(Parent)

    found = []
    for kind in (bt.Cerebro, Cerebro):
        analyzer = run(kind, prepare)[1][0].analyzers[0]
        found.append((analyzer.rets, analyzer.child.rets))
    assert found[0] == found[1]
    assert len(found[1][1]) == len(CANDLES)


def test_observers_see_the_same() -> None:
    """With ``stdstats=True`` and a benchmark the observers' lines equal stock's."""

    def prepare(cerebro: bt.Cerebro) -> None:
        cerebro.addstrategy(Scripted, commands=TRADES, period=5)
        cerebro.addobserver(bt.observers.DrawDown)
        cerebro.addobserver(bt.observers.TimeReturn, timeframe=bt.TimeFrame.NoTimeFrame)

    lines = []
    for kind in (bt.Cerebro, Cerebro):
        strategy = run(kind, prepare, stdstats=True)[1][0]
        observers = strategy._lineiterators[bt.LineIterator.ObsType]
        lines.append([np.array(line.array) for each in observers for line in each.lines])
    assert len(lines[0]) > 5
    for expected, found in zip(*lines, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_optimising_gives_stock_results() -> None:
    """``optstrategy`` runs each set of parameters as stock does."""

    def prepare(cerebro: bt.Cerebro) -> None:
        cerebro.optstrategy(Crossing, fast=[2, 3], slow=[8, 12])
        cerebro.addanalyzer(bt.analyzers.DrawDown)

    found = []
    for kind in (bt.Cerebro, Cerebro):
        results = run(kind, prepare, maxcpus=1)[1]
        found.append([strip(each[0].analyzers[0].get_analysis()) for each in results])
    assert found[0] == found[1]
    assert len(found[1]) == 4


def test_runstop_stops_at_once() -> None:
    """``runstop`` from a strategy ends the run on that bar."""

    class Stopping(Crossing):
        def next(self) -> None:
            super().next()
            if len(self) == 77:
                self.cerebro.runstop()

    _, ours = check_logs(lambda cerebro: cerebro.addstrategy(Stopping))
    assert len(ours[0]) == 77


def test_a_cerebro_runs_twice() -> None:
    """A second run starts from nothing and repeats the first."""
    cerebro = Cerebro()
    cerebro.adddata(to_array_feed(CANDLES))
    cerebro.addstrategy(Crossing)
    assert cerebro.run()[0].log == cerebro.run()[0].log


def test_backtrader_itself_is_left_alone() -> None:
    """A run changes no class of backtrader: stock beside it stays stock."""
    kinds = [bt.Cerebro, bt.Strategy, bt.LineBuffer, bt.brokers.BackBroker, bt.ind.Average]
    before = [dict(vars(kind)) for kind in kinds]
    run(Cerebro, lambda cerebro: cerebro.addstrategy(Crossing))
    assert [dict(vars(kind)) for kind in kinds] == before


class Sleeper(bt.Strategy):
    """Wakes every tenth bar."""

    def __init__(self) -> None:
        self.average = bt.ind.SMA(period=4)
        self.seen: list[tuple[Any, ...]] = []

    def next(self) -> None:
        """Write down what is seen, and go back to sleep."""
        lengths = [len(data) for data in self.datas]
        closes = [data.close[0] for data in self.datas]
        held, value = self.position.size, self.broker.getvalue()
        self.seen.append((len(self), self.average[0], *lengths, *closes, held, value))
        if len(self) == 34:
            self.buy(size=2)
        if isinstance(self.cerebro, Cerebro):
            self.cerebro.sleep(self.datetime[0] + 10 * 5 / 1440 - 1e-6)


def test_sleeping_bars_pass_unseen() -> None:
    """A sleeping strategy sees on waking what one that was awake sees on that bar.

    With an order on its way no bar is passed over: the fill is on the next bar, as ever.
    """

    def prepare(cerebro: bt.Cerebro) -> None:
        cerebro.addstrategy(Sleeper)

    other = make_candles(13, 100, symbol="C/D", gap_share=0.3)
    _, awake = run(bt.Cerebro, prepare, (CANDLES, other))
    _, asleep = run(Cerebro, prepare, (CANDLES, other))
    seen = [row[0] for row in asleep[0].seen]
    assert seen[:5] == [4, 14, 24, 34, 35]
    assert len(seen) < 20
    by_bar = {row[0]: row for row in awake[0].seen}
    assert all(by_bar[row[0]] == row for row in asleep[0].seen)
    assert len(asleep[0]) == len(awake[0])
    assert asleep[0].average[0] == awake[0].average[0]


class FirstNext(bt.Strategy):
    """Notes how many bars had closed at its first decision."""

    def __init__(self) -> None:
        self.average = bt.indicators.SMA(period=5)
        self.first = 0

    def next(self) -> None:
        """Note the first."""
        self.first = self.first or len(self)


@pytest.mark.parametrize(("n_before", "first"), [(0, 5), (3, 5), (20, 20)])
def test_warm_up_bars_are_seen_and_not_traded(n_before: int, first: int) -> None:
    """The first decision is at the close of the last warm-up bar, or once indicators are full."""
    candles = make_candles(1, 60)
    cerebro = Cerebro()
    cerebro.adddata(ArrayFeed(candles))
    cerebro.since_ms = int(candles.time_ms[n_before])
    cerebro.addstrategy(FirstNext)
    (strategy,) = cerebro.run()
    assert strategy.first == first


def test_progress_is_told_now_and_then() -> None:
    """At step 0 and every 4,096 steps, with the number of all steps."""
    heard: list[tuple[int, int]] = []
    cerebro = Cerebro()
    cerebro.adddata(ArrayFeed(make_candles(1, 5_000)))
    cerebro.on_progress = lambda done, total: heard.append((done, total))
    cerebro.addstrategy(FirstNext)
    cerebro.run()
    assert heard == [(0, 5_000), (4_096, 5_000)]
