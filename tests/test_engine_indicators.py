"""backtrader's indicators have the values they have on stock backtrader."""

import dataclasses
import math
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import backtrader as bt
import numpy as np
import pytest
from engine_twins import (
    make_candles,
    to_array_feed,
    to_stock_feed,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seawall.engine import indicators, windows
from seawall.engine.cerebro import Cerebro

if find_spec("statsmodels"):  # on import it sets filters of its own, which come after pytest's
    import_module("statsmodels.tools.sm_exceptions")
pytestmark = pytest.mark.filterwarnings("ignore:.*perfectly colinear")

KINDS: dict[str, Any] = bt.Indicator._indcol
FINE = make_candles(1, 260, symbol="A/Q")
OTHER = make_candles(2, 150, symbol="B/Q", first=7, gap_share=0.1)


def run_indicator(kind: type[bt.Cerebro], make: Any, series: tuple[Any, ...] = (FINE,)) -> Any:
    """Return all lines of what ``make`` builds in a strategy, or the name of what it raised."""
    cerebro = kind(stdstats=False)
    for candles in series:
        cerebro.adddata(to_array_feed(candles) if kind is Cerebro else to_stock_feed(candles))

    class Watcher(bt.Strategy):
        def __init__(self) -> None:
            self.made = make(self)
            self.seen: list[tuple[float, ...]] = []

        def next(self) -> None:
            lines = self.made.lines
            self.seen.append((len(self), *(lines[i][0] for i in range(len(self.names())))))

        def names(self) -> range:
            return range(self.made.lines.size() if hasattr(self.made.lines, "size") else 1)

    cerebro.addstrategy(Watcher)
    try:
        watcher = cerebro.run()[0]
    except Exception as error:  # noqa: BLE001
        return type(error).__name__
    return np.array(watcher.seen)


def check_same(make: Any, series: tuple[Any, ...] = (FINE,)) -> Any:
    """Compare an indicator's values on both engines."""
    stock, ours = (run_indicator(kind, make, series) for kind in (bt.Cerebro, Cerebro))
    if isinstance(stock, str) or isinstance(ours, str):
        assert ours == stock
    else:
        assert ours.shape == stock.shape
        np.testing.assert_allclose(ours, stock, rtol=1e-9, atol=1e-12)
    return ours


def _mark_most_slow(names: list[str]) -> list[Any]:
    """By default one indicator in six is compared, all of them with the slow tests."""
    return [
        name if i % 6 == 0 else pytest.param(name, marks=pytest.mark.slow)
        for i, name in enumerate(names)
    ]


@pytest.mark.parametrize("name", _mark_most_slow(sorted(KINDS)))
def test_every_indicator_has_stock_values(name: str) -> None:
    """Each of backtrader's own indicators with its default parameters, or the same refusal."""
    kind = KINDS[name]
    n_datas = max(kind._mindatas, 1)
    series = (FINE, FINE)[:n_datas]
    check_same(lambda strategy: kind(*strategy.datas[:n_datas]), series)


OPERATIONS = {
    "arithmetic": lambda s: (s.data.close * 2 - s.data.open) / (s.data.high + 1) + s.data.low**2,
    "reversed": lambda s: 100 / s.data.close - (5 - s.data.open) * 2,
    "floor division": lambda s: s.data.close // 3,
    "comparison": lambda s: (s.data.close > s.data.open) + (s.data.close <= 100),
    "equality": lambda s: (s.data.close == s.data.open) * (s.data.close != s.data.high),
    "unary": lambda s: abs(-(s.data.close - 100)),
    "root": lambda s: s.data.close**0.5,
    "delay": lambda s: s.data.close(-3) - s.data.close(0),
    "max": lambda s: bt.Max(s.data.close, s.data.open(-1), 99.5),
    "min": lambda s: bt.Min(s.data.close, s.data.open(-1), 99.5),
    "and": lambda s: bt.And(s.data.close > s.data.open, s.data.close(-1) > s.data.open(-1), 1),
    "or": lambda s: bt.Or(s.data.close > s.data.open, s.data.close > 100),
    "if": lambda s: bt.If(s.data.close > s.data.open, s.data.close, -1.0),
    "safe division": lambda s: bt.functions.DivByZero(s.data.high, s.data.close - s.data.open),
    "safer division": lambda s: bt.functions.DivZeroByZero(s.data.high - 100, s.data.close - 100),
    "compare": lambda s: bt.functions.Cmp(s.data.close, s.data.open),
    "compare three": lambda s: bt.functions.CmpEx(s.data.close, s.data.open, 1.0, 2.0, s.data.low),
    "sum": lambda s: bt.functions.Sum(s.data.close, s.data.open),
    "division by zero": lambda s: s.data.close / (s.data.close - s.data.close),
    "complex power": lambda s: (s.data.close - 1000) ** 0.5,
    "two feeds": lambda s: bt.ind.SMA(s.data1, period=5),
    "average of an indicator": lambda _: bt.ind.EMA(bt.ind.RSI(period=5), period=4),
    "channel": lambda s: bt.ind.Highest(s.data.high(-1), period=7) - bt.ind.Lowest(s.data.low),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_on_lines_has_stock_values(name: str) -> None:
    """Arithmetic, comparisons and functions of lines, also where stock raises."""
    check_same(OPERATIONS[name], (FINE, OTHER) if name == "two feeds" else (FINE,))


def test_flat_prices_make_no_crossing() -> None:
    """Two averages of one constant price tie exactly as in stock: no crossing is made up."""
    for price in (0.1, 1 / 3, 60_123.45):
        same = np.full(120, price)
        flat = dataclasses.replace(make_candles(3, 120), open=same, high=same, low=same, close=same)

        def cross(_: bt.Strategy) -> Any:
            return bt.ind.CrossOver(bt.ind.SMA(period=7), bt.ind.SMA(period=30))

        seen = check_same(cross, (flat,))
        assert not seen[:, 1].any()


def test_averages_and_crossings_are_equal_to_the_bit() -> None:
    """What decides a trade is not merely close: equal floats, so that ties stay ties."""
    makes = [
        lambda _: bt.ind.SMA(period=7),
        lambda _: bt.ind.WMA(period=7),
        lambda _: bt.ind.EMA(period=7),
        lambda _: bt.ind.CrossOver(bt.ind.SMA(period=3), bt.ind.SMA(period=9)),
        lambda s: bt.ind.CrossOver(s.data.close, bt.ind.BBands(period=9).top),
    ]
    thirds = dataclasses.replace(
        FINE, **{name: getattr(FINE, name) / 3 for name in ("open", "high", "low", "close")}
    )
    for make in makes:
        stock, ours = (run_indicator(kind, make, (thirds,)) for kind in (bt.Cerebro, Cerebro))
        np.testing.assert_array_equal(ours, stock)


def test_own_indicators_run_as_they_are() -> None:
    """A user's indicator with only ``next``, and one that derives from a twin's class."""

    class Half(bt.Indicator):
        lines = ("half",)

        def __init__(self) -> None:
            self.addminperiod(3)
            self.inner = bt.ind.SMA(period=4)

        def next(self) -> None:
            self.l.half[0] = self.inner[0] / 2 + self.data.close[-2]

    class Doubled(bt.ind.Average):  # type: ignore[misc]
        def once(self, start: int, end: int) -> None:
            super().once(start, end)
            for i in range(start, end):
                self.line.array[i] *= 2

    assert check_same(lambda _: Half()).shape == (257, 2)
    doubled = check_same(lambda _: Doubled(period=4))
    single = check_same(lambda _: bt.ind.Average(period=4))
    np.testing.assert_array_equal(doubled[:, 1], single[:, 1] * 2)


def test_a_short_feed_stays_in_the_warm_up() -> None:
    """30 bars and an average over 50: stock fails with an IndexError, here no bar is decided."""
    short = make_candles(4, 30)

    def average(_: bt.Strategy) -> Any:
        return bt.ind.SMA(period=50)

    assert run_indicator(bt.Cerebro, average, (short,)) == "IndexError"
    assert run_indicator(Cerebro, average, (short,)).shape == (0,)


FINITE = st.floats(-1e6, 1e6, allow_subnormal=False)
WINDOWED = st.tuples(
    hnp.arrays(np.float64, st.integers(1, 60), elements=FINITE), st.integers(1, 60)
).filter(lambda case: case[1] <= len(case[0]))


@given(WINDOWED)
@settings(deadline=None)
def test_sliding_sums_equal_fsum(case: tuple[Any, int]) -> None:
    """A sliding sum with its rounding error carried along is what fsum gives, window by window."""
    values, period = np.round(case[0], 2), case[1]
    expected = [math.fsum(values[i : i + period]) for i in range(len(values) - period + 1)]
    np.testing.assert_array_equal(windows.sum_windows(values, period), expected)


@given(WINDOWED)
@settings(deadline=None)
def test_sliding_extremes_equal_max(case: tuple[Any, int]) -> None:
    """The highest of each window is what max gives."""
    values, period = case
    expected = [max(values[i : i + period]) for i in range(len(values) - period + 1)]
    np.testing.assert_array_equal(windows.find_highest(values, period), expected)


def test_twins_do_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The common indicators never reach backtrader's Python loops."""

    def refuse(self: Any, start: int, end: int) -> None:
        raise AssertionError(f"{type(self).__name__}.once({start}, {end}) ran")

    for kind in indicators.TWINS:
        if "once" in vars(kind):
            monkeypatch.setattr(kind, "once", refuse)
    common = [bt.ind.SMA, bt.ind.EMA, bt.ind.WMA, bt.ind.MACD, bt.ind.RSI, bt.ind.BBands]
    common += [bt.ind.ATR, bt.ind.StdDev, bt.ind.Momentum, bt.ind.ROC, bt.ind.Highest, bt.ind.SMMA]
    for make in common:
        assert run_indicator(Cerebro, lambda _, make=make: make()).shape[0] > 0
