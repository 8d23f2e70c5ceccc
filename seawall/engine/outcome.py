"""From what a run left to a ``Result``: tables, metrics, benchmark, labels."""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version

import numpy as np
import pandas as pd

from seawall import __version__
from seawall.engine.accounts import AccountCurve
from seawall.engine.loan.outcome import LoanPlayed
from seawall.engine.perpetual.outcome import PerpetualPlayed
from seawall.engine.thinking import PART, find_owed, find_total
from seawall.engine.world import World
from seawall.fill import Fill
from seawall.journal import JournalEntry
from seawall.market.quality import check
from seawall.market.series import Candles, FloatArray, TimeArray
from seawall.metrics import ClosedTrade, Metrics, measure
from seawall.recipe import Recipe
from seawall.result import Band, Result
from seawall.strategy import Bill
from seawall.trades import closed_trades
from seawall.units import BPS, is_perpetual, to_time_text
from seawall.venues.ledger import Ledger

MISSING_SHARE = 0.01  # fewer missing bars than this are a matter of the data quality table
UNHEDGED_BOUND = "hindsight does not hedge: it bounds the loan, with the exchange's cash as its own"
_BEST_COLUMNS = ("health", "min_health", "untouched_health", "equity")
_BEST_OF_FUTURES = ("equity_perpetual", "margin_ratio")
_PACKAGES = ("backtrader", "numba", "numpy", "pandas")
_TRADE_COLUMNS = (
    "symbol", "entry_ms", "exit_ms", "quantity", "entry_price", "exit_price", "pnl", "fees",
    "return_fraction",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Played:
    """What one pass over the bars left.

    Attributes:
        held: base units at its start, by symbol.
        n_ambiguous: how often the bar did not tell what happened, or in which order.
        loan: what it left of a loan; ``perpetual``: of a futures account. With both, the parts of
            each have names of their own.
        bills: for the agent's thinking; they are off the curve already.
        labels: what the agent says must be told wherever its numbers are shown.
    """

    curve: AccountCurve
    fills: Sequence[Fill]
    journal: Sequence[JournalEntry]
    ledger: Ledger
    held: Mapping[str, float]
    n_decisions: int
    n_ambiguous: int
    loan: LoanPlayed | None = None
    perpetual: PerpetualPlayed | None = None
    bills: Sequence[Bill] = ()
    labels: tuple[str, ...] = ()

    @property
    def total_return(self) -> float:
        """Last equity over the first, less 1."""
        return float(self.curve.equity[-1] / self.curve.equity[0] - 1)


def to_result(recipe: Recipe, world: World, played: Played, hopeful: Played) -> Result:
    """Return the result of ``played``; ``hopeful``, resolved for the better, tops the band."""
    result = _with_venues(_to_result(recipe, world, played, hopeful), played)
    if played.loan is not None and hopeful.loan is not None:
        hoped = _without_owed(hopeful.loan.frame, hopeful)
        best = hoped[list(_BEST_COLUMNS)].add_suffix("_best")
        result = replace(result, loan=result.loan.join(best))
    if played.perpetual is not None and hopeful.perpetual is not None:
        best = hopeful.perpetual.frame[list(_BEST_OF_FUTURES)].add_suffix("_best")
        result = replace(result, perpetual=result.perpetual.join(best))
    if hopeful is played or (played.loan is None and played.perpetual is None):
        return result
    other = _with_venues(_to_result(recipe, world, hopeful, hopeful), hopeful)
    return replace(result, other=other)


def _with_venues(result: Result, played: Played) -> Result:
    """Return the result with the tables of the venues that the pass had."""
    parts: dict[str, float] = {}
    if played.loan is not None:
        loan = played.loan
        result = replace(
            result,
            loan=_without_owed(loan.frame, played),
            liquidations=loan.liquidations,
            transactions=loan.transactions,
        )
        parts |= loan.parts
    if played.perpetual is not None:
        futures = played.perpetual
        result = replace(
            result,
            perpetual=futures.frame,
            margin_liquidations=futures.liquidations,
            funding=futures.funding,
            transfers=futures.transfers,
        )
        parts |= futures.parts
    if parts and played.bills:
        parts[PART] = -find_total(played.bills)
    return replace(result, parts=parts)


def _without_owed(frame: pd.DataFrame, played: Played) -> pd.DataFrame:
    """Return a loan's table with what is owed for thinking off its equity."""
    if not played.bills:
        return frame
    owed = find_owed(played.bills, played.curve.time_ms)
    return frame.assign(equity=frame["equity"] - owed)


def _to_result(recipe: Recipe, world: World, played: Played, hopeful: Played) -> Result:
    curve = played.curve
    index = pd.Index(pd.to_datetime(curve.time_ms, unit="ms", utc=True), name="time")
    trades = closed_trades(played.fills, dict(played.held))
    metrics = _measure(played, trades)
    benchmark = buy_and_hold(recipe, world, curve)
    columns = {"equity": curve.equity, "cash": curve.cash, "exposure": curve.exposure}
    return Result(
        recipe=recipe,
        agent=recipe.agent.name if recipe.agent else recipe.strategy.name,
        strategy=recipe.strategy.name,
        metrics=metrics,
        benchmark=measure(
            benchmark.equity,
            curve.time_ms,
            exposure=benchmark.exposure,
            fees=benchmark.fees,
            slippage=benchmark.slippage,
            turnover_notional=benchmark.notional,
        ),
        band=Band(
            pessimistic=metrics.total_return,
            optimistic=metrics.total_return if hopeful is played else hopeful.total_return,
            n_ambiguous=max(played.n_ambiguous, hopeful.n_ambiguous),
        ),
        labels=(*_labels(recipe, world), *played.labels),
        versions=_versions(),
        data=world.hashes,
        equity=pd.DataFrame({**columns, "benchmark": benchmark.equity}, index=index),
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


@dataclass(frozen=True, kw_only=True, eq=False)
class BuyAndHold:
    """The benchmark: ``equity`` and ``exposure`` of shape (n_samples,), the rest in quote units."""

    equity: FloatArray
    exposure: FloatArray
    fees: float
    slippage: float
    notional: float


def buy_and_hold(recipe: Recipe, world: World, curve: AccountCurve) -> BuyAndHold:
    """Return what buying every symbol at its first price and keeping it would have made.

    It starts with the account's whole equity in cash, split evenly over the symbols; each part pays
    taker fee, fixed fee and half-spread at the first open that may trade, with no cap on volume. A
    symbol that is listed later is bought when it is. A perpetual is bought without leverage, at its
    own taker fee, and pays and gets funding.
    """
    costs = recipe.costs
    spread = 1 + costs.half_spread_bps * BPS
    share = float(curve.equity[0]) / len(world.candles)
    held, idle = np.zeros(len(curve.time_ms)), np.zeros(len(curve.time_ms))
    notional = 0.0
    for symbol, candles in world.candles.items():
        trading = candles.between(world.since_ms, None)
        price = float(trading.open[0]) * spread
        units = (share / price - _fixed_fee(recipe, world, symbol)) / _fee(recipe, world, symbol)
        notional += units * price
        first_ms = trading.time_ms[0] if _is_at_open(recipe) else trading.close_ms[0]
        has_bought = curve.time_ms >= first_ms
        has_bought[0] = False  # the first sample is the start: still in cash
        held += np.where(has_bought, units * np.nan_to_num(curve.prices[symbol]), 0.0)
        held += units * _funding(world, symbol, int(trading.time_ms[0]), curve.time_ms)
        idle += np.where(has_bought, 0.0, share)
    equity = held + idle
    return BuyAndHold(
        equity=equity,
        exposure=held / equity,
        fees=float(curve.equity[0]) - notional,
        slippage=notional * (1 - 1 / spread),
        notional=notional,
    )


def _fee(recipe: Recipe, world: World, symbol: str) -> float:
    """Return 1 and the taker fee of a symbol."""
    fee_bps = recipe.costs.taker_fee_bps
    if world.perpetual is not None and is_perpetual(symbol):
        fee_bps = world.perpetual.section.fees_of(symbol)[1]
    return 1 + fee_bps * BPS


def _fixed_fee(recipe: Recipe, world: World, symbol: str) -> float:
    has_none = world.perpetual is not None and is_perpetual(symbol)
    return 0.0 if has_none else recipe.costs.fixed_fee_base


def _funding(world: World, symbol: str, bought_ms: int, time_ms: TimeArray) -> FloatArray:
    """Return the funding that one unit, bought at a bar's open, has got at each time."""
    if world.perpetual is None or not is_perpetual(symbol):
        return np.zeros(len(time_ms))
    stamps, row = world.perpetual.stamps, world.perpetual.symbols.index(symbol)
    is_met = (stamps.row == row) & (stamps.time_ms > bought_ms)
    got = np.concatenate([[0.0], np.cumsum(-(stamps.mark * stamps.rate)[is_met])])
    return got[np.searchsorted(stamps.time_ms[is_met], time_ms, "left")]


def _is_at_open(recipe: Recipe) -> bool:
    return recipe.execution.decide_at == "open"


def _measure(played: Played, trades: Sequence[ClosedTrade]) -> Metrics:
    fees, slippage, turnover = 0.0, 0.0, 0.0
    if played.loan is not None:
        fees, slippage, turnover = played.loan.fees, played.loan.impact, played.loan.swapped
    return measure(
        played.curve.equity,
        played.curve.time_ms,
        exposure=played.curve.exposure,
        trades=trades,
        fees=fees + sum(fill.fee for fill in played.fills),
        slippage=slippage + sum(fill.slippage for fill in played.fills),
        turnover_notional=turnover + sum(abs(f.quantity) * f.price for f in played.fills),
        thinking=find_total(played.bills),
    )


def _labels(recipe: Recipe, world: World) -> tuple[str, ...]:
    """Return what has to be said beside every number: of the recipe, and of holes in the data."""
    is_new = world.is_simulated and "simulated" not in recipe.labels
    labels = ("simulated", *recipe.labels) if is_new else recipe.labels
    labels = (*labels, *(world.loan.labels if world.loan else ()))
    labels = (*labels, *(world.perpetual.labels if world.perpetual else ()))
    if world.loan and world.perpetual:
        labels = (*labels, *_label_combined(recipe, labels))
    holes = [_find_holes(recipe, series) for series in world.candles.values()]
    return (*labels, *(hole for hole in holes if hole))


def _label_combined(recipe: Recipe, labels: Sequence[str]) -> tuple[str, ...]:
    """Return what has to be said of a loan and an exchange in one account."""
    quote = recipe.market.quote
    dollar = f"assumption: {quote} is 1 USD"
    is_new = quote != "USD" and dollar not in labels
    return (*((dollar,) if is_new else ()), UNHEDGED_BOUND)


def _find_holes(recipe: Recipe, series: Candles) -> str:
    """Return how many bars the window or its warm-up lacks, where that is worth a word."""
    market = recipe.market
    bar_ms = market.timeframe_ms
    lacking = []
    since_ms = market.since_ms
    for name, start, stop in (
        ("window", since_ms, market.until_ms),
        ("warm-up", since_ms - market.warmup_ms, since_ms),
    ):
        wanted, there = (stop - start) // bar_ms, len(series.between(start, stop))
        if wanted - there > MISSING_SHARE * wanted:
            lacking.append(f"{wanted - there:,} of {wanted:,} bars of the {name}")
    return f"missing in {series.key.symbol}: {' and '.join(lacking)}" if lacking else ""


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
