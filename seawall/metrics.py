"""Performance metrics of an equity curve and its closed trades: pure functions of arrays.

Conventions, for every number here:

- Returns are SIMPLE returns between consecutive samples, ``equity[t] / equity[t - 1] - 1``.
- A year has 365 days. Volatility, Sharpe and Sortino are annualised by the number of periods per
  year, ``YEAR_MS / median sampling step``; annual return and Calmar by the time that went by.
- Standard deviations have ``ddof = 1``; the risk-free rate is 0.
- Losses are negative: drawdown, VaR and CVaR are at most 0 where money was lost.
- What is not defined is nan, never infinity: Sharpe of a constant equity, Calmar without a
  drawdown, the profit factor without a losing trade, everything of an equity that starts at or
  below 0.
- Ruin: the return to the first equity at or below 0 counts as it is (-1 or less); returns after it
  have no meaning and are left out. Drawdown may then be below -1.

Left out: the buy-and-hold benchmark is measured by calling ``measure`` on its own equity.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seawall.errors import DataError
from seawall.units import DAY_MS, YEAR_MS, to_time_text

FloatArray = NDArray[np.float64]
TimeArray = NDArray[np.int64]

ANNUALISED_FROM_MS = 30 * DAY_MS  # a year made of fewer days says nothing
UNCHARGED = {"thinking": 0.0}  # of metrics that were stored before thinking was charged
TAIL = 0.05  # VaR and CVaR at 95 %
_ROUNDING = 1e-14  # a standard deviation of returns below this is the rounding of a constant


@dataclass(frozen=True, kw_only=True)
class ClosedTrade:
    """A position from flat to flat, or the part of one that was closed.

    Attributes:
        symbol: what was traded.
        entry_ms, exit_ms: times of the first opening and the last closing fill, UTC milliseconds.
        quantity: base units, > 0 for a long position, < 0 for a short one.
        entry_price, exit_price: mean prices, quote units per base unit.
        pnl: profit net of fees, quote units.
        fees: paid for opening and closing, quote units, >= 0.
        return_fraction: ``pnl`` as a fraction of the notional at entry.
    """

    symbol: str
    entry_ms: int
    exit_ms: int
    quantity: float
    entry_price: float
    exit_price: float
    pnl: float
    fees: float
    return_fraction: float


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """What one run achieved and what it cost; fractions unless a unit is given.

    ``r`` are the simple returns per sample, ``n`` their number, ``p`` the periods per year.

    Attributes:
        total_return: ``last equity / first equity - 1``.
        annual_return: ``(1 + total_return) ** (YEAR_MS / elapsed) - 1``; -1 after ruin.
        volatility: ``std(r, ddof=1) * sqrt(p)``.
        sharpe: ``mean(r) / std(r, ddof=1) * sqrt(p)``.
        sortino: ``mean(r) * p / (sqrt(mean(min(r, 0) ** 2)) * sqrt(p))``: all samples count in the
            downside's mean.
        calmar: ``annual_return / -max_drawdown``.
        max_drawdown: lowest ``equity / highest equity so far - 1``, <= 0.
        peak_ms, trough_ms: when the equity last stood at the peak before the maximum drawdown, and
            its trough; None without a drawdown.
        recovery_ms: first time at or above that peak again; None if it was not reached.
        longest_under_water_ms: longest time from a peak to its recovery, or to the end.
        under_water: share of the samples that lie below an earlier peak, 0 to 1.
        var_95: 5 % quantile of ``r``, linearly interpolated: per sample, not annualised.
        cvar_95: mean of the ``floor(0.05 * (n - 1)) + 1`` lowest ``r``.
        exposure: mean over the samples of the absolute exposure, a fraction of equity.
        turnover: traded notional, buys and sells, over the mean equity; not annualised.
        n_trades: closed trades.
        win_rate: share of the closed trades with ``pnl > 0``.
        profit_factor: sum of the gains over the sum of the losses, trade by trade, after fees.
        fees, slippage: paid in all, quote units.
        thinking: owed for the agent's thinking, model bills above all, quote units.
        best_trade, worst_trade: highest and lowest ``return_fraction`` of a closed trade.
        best_period, worst_period: highest and lowest ``r``.
        periods_per_year: ``p``.
    """

    total_return: float
    annual_return: float
    volatility: float
    sharpe: float
    sortino: float
    calmar: float
    max_drawdown: float
    peak_ms: int | None
    trough_ms: int | None
    recovery_ms: int | None
    longest_under_water_ms: int
    under_water: float
    var_95: float
    cvar_95: float
    exposure: float
    turnover: float
    n_trades: int
    win_rate: float
    profit_factor: float
    fees: float
    slippage: float
    best_trade: float
    worst_trade: float
    best_period: float
    worst_period: float
    periods_per_year: float
    thinking: float = 0.0

    @classmethod
    def from_dict(cls, values: Mapping[str, float | None]) -> "Metrics":
        """Return the metrics that ``to_dict`` has written: what is missing there is nan here.

        Raises:
            TypeError: a name is missing or unknown.
        """
        numbers = {
            name: math.nan if value is None and not name.endswith("_ms") else value
            for name, value in values.items()
        }
        return cls(**numbers)  # type: ignore[arg-type]  # the types are those that were written

    def to_dict(self) -> dict[str, float | int | None]:
        """Return plain floats, ints and None (for nan too: JSON has none), in the fields' order."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: _to_plain(value) for name, value in found.items()}


def without_years(metrics: Metrics, span_ms: int) -> Metrics:
    """Return metrics to be shown: of less than 30 days, nothing is compounded to a year."""
    if span_ms >= ANNUALISED_FROM_MS:
        return metrics
    return replace(metrics, annual_return=math.nan, calmar=math.nan)


class Drawdown(NamedTuple):
    """The maximum drawdown of an equity and how long it was under water, as in ``Metrics``."""

    max_drawdown: float
    peak_ms: int | None
    trough_ms: int | None
    recovery_ms: int | None
    longest_under_water_ms: int
    under_water: float


class TradeSummary(NamedTuple):
    """What the closed trades have in common, as in ``Metrics``."""

    n_trades: int
    win_rate: float
    profit_factor: float
    best_trade: float
    worst_trade: float


def measure(
    equity: FloatArray,
    time_ms: TimeArray,
    *,
    exposure: FloatArray | None = None,
    trades: Sequence[ClosedTrade] = (),
    fees: float = 0.0,
    slippage: float = 0.0,
    turnover_notional: float = 0.0,
    thinking: float = 0.0,
) -> Metrics:
    """Return the metrics of one equity curve.

    Args:
        equity: float64, shape (n_samples,), quote units, finite; the first is the start.
        time_ms: int64, shape (n_samples,), UTC milliseconds, strictly increasing.
        exposure: float64, shape (n_samples,), signed fraction of equity, or None if not known;
            samples that are nan are left out.
        trades: the closed trades, in any order.
        fees: paid in all, quote units.
        slippage: paid in all, quote units.
        turnover_notional: traded in all, buys and sells, quote units.
        thinking: owed for thinking in all, quote units.

    Raises:
        DataError: the arrays are empty, of different lengths, not finite or out of order.
    """
    _check_samples(equity, time_ms)
    returns = to_returns(equity)
    periods_per_year = to_periods_per_year(time_ms)
    annual_return = _annual_return(equity, time_ms)
    drawdown = find_drawdown(equity, time_ms)
    return Metrics(
        total_return=_ratio(float(equity[-1] - equity[0]), float(equity[0])),
        annual_return=annual_return,
        volatility=_deviation(returns) * math.sqrt(periods_per_year),
        sharpe=sharpe(returns, periods_per_year),
        sortino=sortino(returns, periods_per_year),
        calmar=_ratio(annual_return, -drawdown.max_drawdown),
        var_95=value_at_risk(returns),
        cvar_95=conditional_value_at_risk(returns),
        exposure=math.nan if exposure is None else _mean_known(np.abs(exposure)),
        turnover=_ratio(float(turnover_notional), float(equity.mean())),
        fees=float(fees),
        slippage=float(slippage),
        thinking=float(thinking),
        best_period=float(returns.max()) if returns.size else math.nan,
        worst_period=float(returns.min()) if returns.size else math.nan,
        periods_per_year=periods_per_year,
        **drawdown._asdict(),
        **summarise_trades(trades)._asdict(),
    )


def to_returns(equity: FloatArray) -> FloatArray:
    """Return simple returns per sample, shape (n_samples - 1,) or up to ruin, whichever is less.

    Empty where the equity starts at or below 0. ``equity``: float64, shape (n_samples,).
    """
    ruined = np.flatnonzero(equity <= 0)
    alive = equity[: ruined[0] + 1] if ruined.size else equity
    return np.asarray(alive[1:] / alive[:-1] - 1, dtype=np.float64)


def to_periods_per_year(time_ms: TimeArray) -> float:
    """Return how many samples a year of 365 days has at the median step; nan below two samples."""
    if time_ms.size < 2:  # noqa: PLR2004 - one step needs two samples
        return math.nan
    return float(YEAR_MS / np.median(np.diff(time_ms)))


def sharpe(returns: FloatArray, periods_per_year: float) -> float:
    """Return ``mean / std(ddof=1) * sqrt(periods_per_year)``; nan for constant returns."""
    deviation = _deviation(returns)
    if not deviation > _ROUNDING:
        return math.nan
    return float(returns.mean()) / deviation * math.sqrt(periods_per_year)


def sortino(returns: FloatArray, periods_per_year: float) -> float:
    """Return the mean over the downside deviation from 0, annualised; nan without a loss."""
    if not returns.size:
        return math.nan
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    if not downside > _ROUNDING:
        return math.nan
    return float(returns.mean()) / downside * math.sqrt(periods_per_year)


def value_at_risk(returns: FloatArray) -> float:
    """Return the 5 % quantile of the returns, linearly interpolated; nan without returns."""
    return float(np.quantile(returns, TAIL)) if returns.size else math.nan


def conditional_value_at_risk(returns: FloatArray) -> float:
    """Return the mean of the ``floor(0.05 * (n - 1)) + 1`` lowest returns; nan without returns."""
    if not returns.size:
        return math.nan
    last = int((returns.size - 1) * TAIL)
    return float(np.partition(returns, last)[: last + 1].mean())


def find_drawdown(equity: FloatArray, time_ms: TimeArray) -> Drawdown:
    """Return the maximum drawdown, its dates and the time under water; the earliest of equals.

    ``equity``, ``time_ms``: shape (n_samples,), as in ``measure``. All nan or None where the equity
    starts at or below 0.
    """
    if equity[0] <= 0:
        return Drawdown(math.nan, None, None, None, 0, math.nan)
    depth = equity / np.maximum.accumulate(equity) - 1
    is_under = depth < 0
    if not is_under.any():
        return Drawdown(0.0, None, None, None, 0, 0.0)
    trough = int(np.argmin(depth))
    peak = int(np.flatnonzero(~is_under[:trough])[-1])
    recovered = np.flatnonzero(equity[trough:] >= equity[peak])
    return Drawdown(
        max_drawdown=float(depth[trough]),
        peak_ms=int(time_ms[peak]),
        trough_ms=int(time_ms[trough]),
        recovery_ms=int(time_ms[trough + recovered[0]]) if recovered.size else None,
        longest_under_water_ms=_longest_under_water(is_under, time_ms),
        under_water=float(is_under.mean()),
    )


def summarise_trades(trades: Sequence[ClosedTrade]) -> TradeSummary:
    """Return the number, win rate, profit factor, best and worst of trades; nan without any."""
    pnl = np.array([trade.pnl for trade in trades], dtype=np.float64)
    fractions = [float(trade.return_fraction) for trade in trades]
    return TradeSummary(
        n_trades=len(trades),
        win_rate=_ratio(float(np.count_nonzero(pnl > 0)), len(trades)),
        profit_factor=_ratio(float(pnl[pnl > 0].sum()), float(-pnl[pnl < 0].sum())),
        best_trade=max(fractions, default=math.nan),
        worst_trade=min(fractions, default=math.nan),
    )


def _longest_under_water(is_under: NDArray[np.bool_], time_ms: TimeArray) -> int:
    """Return the longest time from a peak to its recovery or to the end, milliseconds."""
    bounds = np.flatnonzero(~is_under)
    if is_under[-1]:
        bounds = np.append(bounds, is_under.size - 1)
    spans = np.diff(time_ms[bounds])
    # Between two neighbouring peaks nothing is under water.
    return int(spans[is_under[bounds[:-1] + 1]].max())


def _annual_return(equity: FloatArray, time_ms: TimeArray) -> float:
    elapsed_ms = int(time_ms[-1] - time_ms[0])
    if equity[0] <= 0 or elapsed_ms == 0:
        return math.nan
    growth = float(equity[-1] / equity[0])
    if growth <= 0:
        return -1.0
    exponent = math.log(growth) * YEAR_MS / elapsed_ms
    # A few good minutes, annualised, leave the range of a float: no such number is meant.
    return math.expm1(exponent) if exponent < math.log(np.finfo(np.float64).max) else math.nan


def _deviation(returns: FloatArray) -> float:
    return float(returns.std(ddof=1)) if returns.size > 1 else math.nan


def _mean_known(values: FloatArray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan


def _ratio(part: float, whole: float) -> float:
    """Return ``part / whole``, nan where ``whole`` is not positive."""
    return part / whole if whole > 0 else math.nan


def _to_plain(value: float | None) -> float | int | None:
    return None if value is None or math.isnan(value) else value


def _check_samples(equity: FloatArray, time_ms: TimeArray) -> None:
    if equity.ndim != 1 or equity.shape != time_ms.shape or not equity.size:
        raise DataError(
            f"equity and time_ms must be one-dimensional, of one length >= 1, are {equity.shape} "
            f"and {time_ms.shape}: give one equity per time"
        )
    if (bad := np.flatnonzero(~np.isfinite(equity))).size:
        raise DataError(
            f"equity must be finite, is {equity[bad[0]]} at {to_time_text(int(time_ms[bad[0]]))} "
            f"(sample {bad[0]}): look for a missing price there"
        )
    if (bad := np.flatnonzero(np.diff(time_ms) <= 0)).size:
        raise DataError(
            f"time_ms must strictly increase, does not at sample {bad[0] + 1}: sort the samples"
        )
