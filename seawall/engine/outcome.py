"""From what a run left to a ``Result``: tables, metrics, benchmark, labels."""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version

import numpy as np
import pandas as pd

from seawall import __version__
from seawall.engine.accounts import AccountCurve
from seawall.engine.world import World
from seawall.fill import Fill
from seawall.journal import JournalEntry
from seawall.market.quality import check
from seawall.market.series import Candles, FloatArray
from seawall.metrics import ClosedTrade, Metrics, measure
from seawall.recipe import Recipe
from seawall.result import Band, Result
from seawall.trades import closed_trades
from seawall.units import BPS, to_time_text
from seawall.venues.ledger import Ledger

_PACKAGES = ("backtrader", "numba", "numpy", "pandas")
_TRADE_COLUMNS = (
    "symbol", "entry_ms", "exit_ms", "quantity", "entry_price", "exit_price", "pnl", "fees",
    "return_fraction",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Played:
    """What one pass over the bars left; ``held`` are the base units at its start, by symbol."""

    curve: AccountCurve
    fills: Sequence[Fill]
    journal: Sequence[JournalEntry]
    ledger: Ledger
    held: Mapping[str, float]
    n_decisions: int

    @property
    def n_ambiguous(self) -> int:
        """Fills whose order or existence the bar does not tell."""
        return sum(fill.is_ambiguous for fill in self.fills)

    @property
    def total_return(self) -> float:
        """Last equity over the first, less 1."""
        return float(self.curve.equity[-1] / self.curve.equity[0] - 1)


def to_result(recipe: Recipe, world: World, played: Played, hopeful: Played) -> Result:
    """Return the result of ``played``, with ``hopeful``, the optimistic pass, as the band's top."""
    curve = played.curve
    index = pd.Index(pd.to_datetime(curve.time_ms, unit="ms", utc=True), name="time")
    trades = closed_trades(played.fills, dict(played.held))
    benchmark = buy_and_hold(recipe, world, curve)
    columns = {"equity": curve.equity, "cash": curve.cash, "exposure": curve.exposure}
    return Result(
        recipe=recipe,
        agent=recipe.agent.name if recipe.agent else recipe.strategy.name,
        strategy=recipe.strategy.name,
        metrics=_measure(played, trades),
        benchmark=measure(benchmark, curve.time_ms, exposure=np.ones(len(benchmark))),
        band=Band(
            pessimistic=min(played.total_return, hopeful.total_return),
            optimistic=max(played.total_return, hopeful.total_return),
            n_ambiguous=played.n_ambiguous,
        ),
        labels=_labels(recipe, world),
        versions=_versions(),
        data=world.hashes,
        equity=pd.DataFrame({**columns, "benchmark": benchmark}, index=index),
        prices=pd.DataFrame(dict(curve.prices), index=index),
        fills=_with_time(pd.DataFrame(list(played.fills), columns=list(Fill._fields))),
        trades=pd.DataFrame([asdict(trade) for trade in trades], columns=list(_TRADE_COLUMNS)),
        journal=_with_time(pd.DataFrame(list(played.journal), columns=list(JournalEntry._fields))),
        ledger=_with_time(pd.DataFrame(played.ledger.to_columns())),
        quality=pd.DataFrame([_quality_row(series) for series in world.candles.values()]),
        counts={
            "decisions": played.n_decisions,
            **Counter(entry.kind for entry in played.journal),
        },
    )


def buy_and_hold(recipe: Recipe, world: World, curve: AccountCurve) -> FloatArray:
    """Return the equity of buying every symbol at its first price and keeping it.

    The cash is split evenly; each part pays taker fee and half-spread at the first open that may
    trade, with no cap on volume. A symbol that is listed later is bought when it is.
    """
    friction = (1 + recipe.costs.half_spread_bps * BPS) * (1 + recipe.costs.taker_fee_bps * BPS)
    share = recipe.account.cash / len(world.candles)
    equity = np.zeros(len(curve.time_ms))
    for symbol, candles in world.candles.items():
        price = curve.prices[symbol]
        first_open = float(candles.between(world.since_ms, None).open[0])
        is_listed = np.isfinite(price)
        is_listed[0] = False  # the first sample is the start: still in cash
        worth = np.where(is_listed, share / (first_open * friction) * price, share)
        equity += worth
    return equity


def _measure(played: Played, trades: Sequence[ClosedTrade]) -> Metrics:
    return measure(
        played.curve.equity,
        played.curve.time_ms,
        exposure=played.curve.exposure,
        trades=trades,
        fees=sum(fill.fee for fill in played.fills),
        slippage=sum(fill.slippage for fill in played.fills),
        turnover_notional=sum(abs(fill.quantity) * fill.price for fill in played.fills),
    )


def _labels(recipe: Recipe, world: World) -> tuple[str, ...]:
    if world.is_simulated and "simulated" not in recipe.labels:
        return ("simulated", *recipe.labels)
    return recipe.labels


def _versions() -> dict[str, str]:
    found = {package: version(package) for package in _PACKAGES}
    return {"seawall": __version__, "python": platform.python_version(), **found}


def _with_time(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table with a readable UTC column ``time`` in front."""
    frame.insert(0, "time", pd.to_datetime(frame["time_ms"].astype("int64"), unit="ms", utc=True))
    return frame


def _quality_row(series: Candles) -> dict[str, object]:
    """Return what there is to say about one series: bars, span, source, and counts of findings."""
    report = check(series)
    counts = {finding.rule: len(finding.rows) for finding in report.findings}
    return {
        "series": str(series.key),
        "bars": len(series),
        "first": to_time_text(int(series.time_ms[0])),
        "last": to_time_text(int(series.time_ms[-1])),
        "source": series.source,
        "findings": ", ".join(f"{rule}: {n}" for rule, n in counts.items()) or "none",
    }
