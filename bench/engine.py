"""How fast backtrader runs here: bars per second beside stock backtrader and backtesting.py.

Two workloads on one five-minute series: a strategy that does nothing, and an SMA 50/200 cross with
orders; the cross also as an agent that is asked at every bar, under the rules of an exchange. All
engines get the data in memory and run to their result. Stock backtrader is timed on a prefix,
because it takes minutes on the whole; all figures are bars per second of processor time, the best
of a few runs, and ratios are to stock backtrader as it comes (with its default observers).

    python -m bench.engine
"""

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import backtrader as bt
import numpy as np
import pandas as pd

from bench.timing import describe_machine, time_run
from seawall.engine.cerebro import Cerebro
from seawall.engine.feed import ArrayFeed
from seawall.engine.run import run_in
from seawall.engine.world import build_world
from seawall.market.catalog import Catalog
from seawall.market.series import Candles, SeriesKey
from seawall.recipe import Recipe

N_BARS = 318_329
STOCK_BARS = 30_000
REAL_FILE = Path(__file__).parents[2] / "shared/data/candles/binance/BTC-USDT-5m.parquet"
FAST, SLOW, FEE, CASH, SIZE = 50, 200, 0.001, 1e6, 1.0


class Row(NamedTuple):
    """One line of the table; ``ratio``: to stock backtrader as it comes."""

    workload: str
    engine: str
    bars_per_second: float
    ratio: float


class Idle(bt.Strategy):
    """Does nothing on every bar."""

    def next(self) -> None:
        """Do nothing."""


class Cross(bt.Strategy):
    """Buys when the fast average crosses above the slow one, closes when it crosses below."""

    def __init__(self) -> None:
        self.cross = bt.ind.CrossOver(bt.ind.SMA(period=FAST), bt.ind.SMA(period=SLOW))

    def next(self) -> None:
        """Trade the crossings."""
        if not self.position:
            if self.cross > 0:
                self.buy(size=SIZE)
        elif self.cross < 0:
            self.close()


def load_candles(n_bars: int) -> Candles:
    """Return real BTC/USDT candles where they are there, else a random walk of that length."""
    if REAL_FILE.is_file():
        table = pd.read_parquet(REAL_FILE).iloc[:n_bars].set_index("timestamp")
        candles: Candles = ArrayFeed.from_frame(table, symbol="BTC/USDT", timeframe="5m").candles
        return candles
    return make_candles(n_bars)


def make_candles(n_bars: int) -> Candles:
    """Return a seeded random walk of five-minute candles."""
    rng = np.random.default_rng(7)
    close = 30_000 * np.exp(np.cumsum(rng.standard_normal(n_bars)) * 0.001)
    open_ = np.append(close[0], close[:-1])
    return Candles(
        key=SeriesKey("candles", "simulated", "BTC/USDT", "5m"),
        time_ms=1_600_000_000_000 // 300_000 * 300_000 + np.arange(n_bars) * 300_000,
        open=open_,
        high=np.maximum(open_, close) * 1.0005,
        low=np.minimum(open_, close) * 0.9995,
        close=close,
        volume=rng.exponential(10.0, n_bars),
        source="a seeded random walk",
        is_simulated=True,
    )


def to_frame(candles: Candles) -> pd.DataFrame:
    """Return the close-stamped table for the other engines."""
    names = ("open", "high", "low", "close", "volume")
    columns = {name: getattr(candles, name) for name in names}
    return pd.DataFrame(columns, index=pd.to_datetime(candles.close_ms, unit="ms"))


def run_stock(candles: Candles, strategy: type[bt.Strategy], *, has_observers: bool) -> None:
    """Run stock backtrader with its own feed."""
    feed: Any = bt.feeds.PandasData
    _run(
        bt.Cerebro(stdstats=has_observers),
        feed(dataname=to_frame(candles), timeframe=bt.TimeFrame.Minutes, compression=5),
        strategy,
    )


def run_seawall(candles: Candles, strategy: type[bt.Strategy]) -> None:
    """Run the same on Seawall."""
    _run(Cerebro(), ArrayFeed(candles), strategy)


def _run(cerebro: bt.Cerebro, feed: Any, strategy: type[bt.Strategy]) -> None:
    cerebro.adddata(feed)
    cerebro.addstrategy(strategy)
    cerebro.broker.setcash(CASH)
    cerebro.broker.setcommission(FEE)
    cerebro.run()


def run_backtesting(candles: Candles) -> None:
    """Run the cross on backtesting.py."""
    from backtesting import Backtest, Strategy  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra
    from backtesting.lib import crossover  # type: ignore[import-untyped]  # noqa: PLC0415

    class CrossThere(Strategy):  # type: ignore[misc, unused-ignore]
        def init(self) -> None:
            self.fast = self.I(_average, self.data.Close, FAST)
            self.slow = self.I(_average, self.data.Close, SLOW)

        def next(self) -> None:
            if not self.position:
                if crossover(self.fast, self.slow):
                    self.buy(size=int(SIZE))
            elif crossover(self.slow, self.fast):
                self.position.close()

    table = to_frame(candles).rename(columns=str.capitalize)
    Backtest(table, CrossThere, cash=CASH, commission=FEE, finalize_trades=True).run()


def _average(values: Any, period: int) -> Any:
    return pd.Series(values).rolling(period).mean()


def prepare_agent(candles: Candles) -> Callable[[], object]:
    """Return a run of the same cross as an agent that is asked at every bar."""
    stored = replace(candles, key=replace(candles.key, venue="bench"))
    recipe = _to_recipe(stored)
    with TemporaryDirectory() as folder:
        catalog = Catalog(Path(folder))
        catalog.write(stored, fetched_ms=None)
        world = build_world(recipe, catalog, offline=True)
    return partial(run_in, world, recipe)


def _to_recipe(candles: Candles) -> Recipe:
    key = candles.key
    span = (int(candles.time_ms[0]), int(candles.close_ms[-1]))
    since, until = (datetime.fromtimestamp(ms / 1000, tz=UTC).isoformat() for ms in span)
    market = {
        "venue": key.venue,
        "symbols": [key.symbol],
        "timeframe": key.timeframe,
        "since": since,
        "until": until,
    }
    agent = {"name": "agents.sma_cross", "fast": FAST, "slow": SLOW}
    return Recipe.from_dict({"market": market, "agent": agent, "account": {"cash": CASH / 10}})


def measure(n_bars: int = N_BARS, n_runs: int = 2, *, has_rival: bool = True) -> list[Row]:
    """Return one row per workload and engine; the rival is backtesting.py, if installed."""
    candles = load_candles(n_bars)
    prefix = candles.between(None, int(candles.time_ms[min(STOCK_BARS, n_bars) - 1]) + 1)
    run_seawall(prefix, Cross)  # the kernels compile
    rows = []
    for workload, strategy in (("no-op", Idle), ("SMA 50/200 cross", Cross)):
        stock = partial(run_stock, prefix, strategy)
        runs: dict[str, Callable[[], object]] = {
            "backtrader": partial(stock, has_observers=True),
            "backtrader, stdstats=False": partial(stock, has_observers=False),
            "seawall": partial(run_seawall, candles, strategy),
        }
        if strategy is Cross:
            runs["seawall, agent every bar"] = prepare_agent(candles)
        if has_rival and strategy is Cross and find_spec("backtesting"):
            runs["backtesting.py"] = partial(run_backtesting, candles)
        counts = {engine: len(candles) for engine in runs}
        counts |= dict.fromkeys(("backtrader", "backtrader, stdstats=False"), len(prefix))
        speeds = {name: time_run(run, counts[name], n_runs) for name, run in runs.items()}
        reference = speeds["backtrader"]
        rows += [Row(workload, name, speed, speed / reference) for name, speed in speeds.items()]
    return rows


def measure_memory(n_bars: int = N_BARS) -> float:
    """Return the peak memory that a run of the cross adds, in bytes per bar, candles included."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure_memory, (n_bars,))


def _measure_memory(n_bars: int) -> float:
    run_seawall(make_candles(2_000), Cross)
    before = _read_peak_memory()
    run_seawall(make_candles(n_bars), Cross)
    return (_read_peak_memory() - before) / n_bars


def _read_peak_memory() -> float:
    """Return the process's peak resident memory in bytes; nan where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return np.nan
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return float(line.split()[1]) * 1024


def main() -> None:
    """Print the table, the machine, the versions and the peak memory."""
    packages = ("backtrader", "numpy", "numba", "pandas", "backtesting")
    print(describe_machine(packages))
    print(f"{N_BARS:,} bars; stock backtrader timed on the first {STOCK_BARS:,}\n")
    print(f"{'workload':<18}{'engine':<28}{'bars/s':>12}{'ratio':>8}")
    for row in measure():
        speed = f"{row.bars_per_second:,.0f}"
        print(f"{row.workload:<18}{row.engine:<28}{speed:>12}{row.ratio:>7.1f}x")
    print(f"\npeak memory of the cross: {measure_memory():,.0f} bytes per bar")


if __name__ == "__main__":
    main()
