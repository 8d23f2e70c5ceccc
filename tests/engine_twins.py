"""A scripted strategy that writes down all it is told, run on stock backtrader and on Seawall."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd

from seawall.engine.cerebro import Cerebro
from seawall.engine.feed import ArrayFeed, to_bt_timeframe
from seawall.market.series import Candles, SeriesKey
from seawall.units import to_duration_ms

START_MS = 1_700_000_100_000 - 1_700_000_100_000 % 3_600_000


def make_candles(
    seed: int,
    n_bars: int,
    *,
    symbol: str = "A/B",
    timeframe: str = "5m",
    first: int = 0,
    gap_share: float = 0.0,
) -> Candles:
    """Return a random walk on a coarse price grid, so that touches and ties happen."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(-4, 5, n_bars)
    close = np.maximum(100.0 + np.cumsum(steps) * 0.5, 5.0)
    open_ = np.maximum(np.append(100.0, close[:-1]) + rng.integers(-2, 3, n_bars) * 0.5, 5.0)
    high = np.maximum(open_, close) + rng.integers(0, 4, n_bars) * 0.5
    low = np.minimum(open_, close) - rng.integers(0, 4, n_bars) * 0.5
    step_ms = to_duration_ms(timeframe)
    keep = rng.random(n_bars) >= gap_share
    keep[0] = True
    time_ms = START_MS + (np.arange(n_bars) + first) * step_ms
    return Candles(
        key=SeriesKey("candles", "made", symbol, timeframe),
        time_ms=time_ms[keep],
        open=open_[keep],
        high=high[keep],
        low=np.maximum(low, 1.0)[keep],
        close=close[keep],
        volume=rng.integers(0, 50, n_bars).astype(float)[keep],
    )


def to_frame(candles: Candles) -> pd.DataFrame:
    """Return the close-stamped table that stock backtrader reads."""
    columns = {name: getattr(candles, name) for name in ("open", "high", "low", "close", "volume")}
    return pd.DataFrame(columns, index=pd.to_datetime(candles.close_ms, unit="ms"))


def to_stock_feed(candles: Candles) -> Any:
    """Return stock backtrader's own feed of the same bars."""
    timeframe, compression = to_bt_timeframe(candles.key.timeframe_ms)
    make: Callable[..., Any] = bt.feeds.PandasData
    return make(
        dataname=to_frame(candles),
        name=candles.key.symbol,
        timeframe=timeframe,
        compression=compression,
    )


def to_array_feed(candles: Candles) -> Any:
    """Return Seawall's feed."""
    return ArrayFeed(candles, name=candles.key.symbol)


@dataclass(frozen=True, kw_only=True)
class Command:
    """What the scripted strategy does on one bar."""

    bar: int
    kind: str
    data: int = 0
    size: float | None = None
    exectype: int = 0
    offset: float = 0.0
    limit_offset: float = 0.0
    trail: float = 1.0
    trails_by_percent: bool = False
    valid: Any = None
    refers_to: int | None = None
    at_open: bool = False


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How the run is set up, on both sides alike."""

    cash: float = 10_000.0
    commission: dict[str, Any] = field(default_factory=dict)
    cheat_on_open: bool = False
    cheat_on_close: bool = False
    shortcash: bool = True
    checksubmit: bool = True
    slippage: float = 0.0
    quicknotify: bool = False
    tells_cash: bool = True
    looks_every: int = 1


class Scripted(bt.Strategy):
    """Does as commanded and logs everything."""

    params = (("commands", ()), ("period", 1), ("looks_every", 1))

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.sent: list[Any] = []
        self.refs: dict[int, int] = {}
        if self.p.period > 1:
            self.average = bt.ind.SMA(period=self.p.period)

    def note(self, *row: Any) -> None:
        """Write one row; nan becomes a word, which equals itself."""
        self.log.append((len(self), *("nan" if each != each else each for each in row)))  # noqa: PLR0124

    def notify_order(self, order: bt.Order) -> None:
        """Log an order, its number counted in order of appearance."""
        number = self.refs.setdefault(order.ref, len(self.refs))
        asked, done = order.created, order.executed
        self.note("order", number, order.status, order.exectype, order.size, asked.price)
        self.note("asked", asked.pricelimit, order.triggered, order.valid, asked.dt)
        self.note("done", done.size, done.price, done.value, done.comm, done.pnl, done.dt)
        self.note("left", done.remsize, done.psize, done.pprice, len(done.exbits))

    def notify_trade(self, trade: bt.Trade) -> None:
        """Log a trade."""
        self.note("trade", trade.status, trade.size, trade.price, trade.value, trade.pnl)
        self.note("trade2", trade.pnlcomm, trade.commission, trade.barlen, trade.justopened)

    def prenext_open(self) -> None:
        """Act before the bar's broker, also in the warm-up."""
        self.act(at_open=True)

    def next_open(self) -> None:
        """Act before the bar's broker."""
        self.act(at_open=True)

    def prenext(self) -> None:
        """Log and act in the warm-up too."""
        self.note("prenext")
        self.observe()

    def nextstart(self) -> None:
        """Log the one bar between."""
        self.note("nextstart")
        self.observe()

    def next(self) -> None:
        """Log and act."""
        self.observe()

    def observe(self) -> None:
        """Write down all that can be seen, then act."""
        if len(self) % self.p.looks_every:
            self.act(at_open=False)
            return
        self.note("time", self.datetime[0], *(len(data) for data in self.datas))
        self.note("bar", *(data.close[0] for data in self.datas if len(data)))
        self.note("account", self.broker.getcash(), self.broker.getvalue())
        self.note("held", *(self.getposition(data).size for data in self.datas))
        self.note("worth", *(self.broker.getvalue([data]) for data in self.datas if len(data)))
        if self.p.period > 1 and len(self) > self.p.period:
            self.note("average", self.average[0], self.average[-1])
        self.act(at_open=False)

    def act(self, *, at_open: bool) -> None:
        """Carry out what is due."""
        if at_open:
            self.note("open", self.broker.getvalue(), *(len(data) for data in self.datas))
        for command in self.p.commands:
            data = self.datas[command.data % len(self.datas)]
            if command.bar == len(self) and command.at_open == at_open and len(data):
                self.send(command, data)

    def send(self, command: Command, data: Any) -> None:
        """Send one order, or whatever the command says."""
        earlier = [order for order in self.sent if order is not None]
        other = earlier[command.refers_to % len(earlier)] if earlier and command.refers_to else None
        price = data.close[0] * (1 + command.offset)
        match command.kind:
            case "buy" | "sell":
                self.send_order(command, data, other)
            case "cancel" if other is not None:
                self.cancel(other)
            case "close":
                self.sent.append(self.close(data))
            case "target_size":
                self.sent.append(self.order_target_size(data, target=command.size or 0))
            case "target_value":
                self.sent.append(self.order_target_value(data, target=command.offset * 1e4))
            case "target_percent":
                self.sent.append(self.order_target_percent(data, target=command.offset * 5))
            case "bracket":
                send = self.buy_bracket if command.offset < 0.01 else self.sell_bracket
                width = 0.01 if command.offset < 0.01 else -0.01
                self.sent += send(
                    data=data, size=abs(command.size or 1), price=price,
                    stopprice=price * (1 - width), limitprice=price * (1 + 2 * width),
                    exectype=command.exectype if command.exectype in (0, 2, 3) else 2,
                    valid=command.valid,
                )  # fmt: skip
            case "add_cash":
                self.broker.add_cash(command.offset * 1e4)

    def send_order(self, command: Command, data: Any, other: Any) -> None:
        """Send a single order of any type."""
        price = data.close[0] * (1 + command.offset)
        wanted: dict[str, Any] = {"exectype": command.exectype, "valid": command.valid}
        if command.exectype >= bt.Order.Limit:
            wanted["price"] = price
        if command.exectype in (bt.Order.StopLimit, bt.Order.StopTrailLimit):
            wanted["plimit"] = price * (1 + command.limit_offset)
        if command.exectype in (bt.Order.StopTrail, bt.Order.StopTrailLimit):
            percent = command.trails_by_percent
            wanted |= (
                {"trailpercent": command.trail / 100} if percent else {"trailamount": command.trail}
            )
        send = self.buy if command.kind == "buy" else self.sell
        self.sent.append(send(data, size=command.size, oco=other, **wanted))


class CashScripted(Scripted):
    """The scripted strategy that listens to cash and value too."""

    def notify_cashvalue(self, cash: float, value: float) -> None:
        """Log cash and value."""
        self.note("cash", cash, value)

    def notify_fund(self, cash: float, value: float, fundvalue: float, shares: float) -> None:
        """Log the account as a fund."""
        self.note("fund", cash, value, fundvalue, shares)


def run_scripted(
    kind: type[bt.Cerebro],
    series: list[Candles],
    commands: tuple[Command, ...],
    *,
    setting: Setting,
    period: int = 1,
) -> tuple[list[Any], str]:
    """Return the log of a run and the name of what it raised, if anything."""
    cerebro = kind(
        stdstats=False, cheat_on_open=setting.cheat_on_open, quicknotify=setting.quicknotify
    )
    to_feed = to_array_feed if kind is Cerebro else to_stock_feed
    for candles in series:
        cerebro.adddata(to_feed(candles))
    broker = cerebro.broker
    broker.setcash(setting.cash)
    broker.set_coc(setting.cheat_on_close)
    broker.set_shortcash(setting.shortcash)
    broker.set_checksubmit(setting.checksubmit)
    if setting.commission:
        broker.setcommission(**setting.commission)
    if setting.slippage:
        broker.set_slippage_perc(setting.slippage)
    strategy = CashScripted if setting.tells_cash else Scripted
    log: list[Any] = []
    cerebro.addstrategy(
        _logging_to(strategy, log),
        commands=commands,
        period=period,
        looks_every=setting.looks_every,
    )
    try:
        cerebro.run()
    except (ArithmeticError, ValueError, TypeError, KeyError, IndexError) as error:
        return log, f"{type(error).__name__}: {error}"
    log.append(("end", broker.getcash(), broker.getvalue(), broker.fundvalue))
    return log, ""


def _logging_to(strategy: type[Scripted], log: list[Any]) -> type[Scripted]:
    """Return the strategy with a log that outlives a run which raises."""

    class Logged(strategy):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__()
            self.log = log

    return Logged


CANDLES = make_candles(11, 120)
TRADES = tuple(
    Command(bar=bar, kind="buy" if bar % 10 == 5 else "close", size=3.0, exectype=0)
    for bar in range(5, 115, 5)
)


class Crossing(bt.Strategy):
    """Trades a crossing and logs what it is told."""

    params = (("fast", 3), ("slow", 9))

    def __init__(self) -> None:
        slow = bt.ind.SMA(period=self.p.slow)
        self.cross = bt.ind.CrossOver(bt.ind.SMA(period=self.p.fast), slow)
        self.log: list[tuple[Any, ...]] = []

    def notify_order(self, order: bt.Order) -> None:
        """Log it."""
        self.log.append((len(self), order.status, order.executed.price, order.executed.size))

    def notify_timer(self, timer: Any, when: Any, *args: Any, **kwargs: Any) -> None:
        """Log it, and buy from it."""
        self.log.append(
            (len(self), type(timer).__name__, when, self.broker.getvalue(), args, kwargs)
        )
        self.buy(size=0.5)

    def next(self) -> None:
        """Trade the crossings."""
        if self.cross > 0:
            self.buy(size=2)
        elif self.cross < 0:
            self.close()

    def stop(self) -> None:
        """Log the end."""
        self.log.append((len(self), self.broker.getcash(), self.broker.getvalue()))


def run(kind: type[bt.Cerebro], prepare: Any, series: Any = (CANDLES,), **kwargs: Any) -> Any:
    """Return the cerebro and its strategies after a run."""
    cerebro = kind(**{"stdstats": False} | kwargs)
    to_feed = to_array_feed if kind is Cerebro else to_stock_feed
    for candles in series:
        cerebro.adddata(to_feed(candles))
    prepare(cerebro)
    return cerebro, cerebro.run()


def check_logs(prepare: Any, series: Any = (CANDLES,), **kwargs: Any) -> Any:
    """Compare the logs of all strategies on both engines; return ours."""
    _, stock = run(bt.Cerebro, prepare, series, **kwargs)
    cerebro, ours = run(Cerebro, prepare, series, **kwargs)
    assert [each.log for each in ours] == [each.log for each in stock]
    assert all(len(each.log) > 5 for each in ours)
    return cerebro, ours
