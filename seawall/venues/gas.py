"""What a transaction costs: gas units by operation, and the gas price of every bar.

The price is the average of the day in which a bar opens, from a dated series. Where the series has
no such day a run is refused, unless it asks for the model: the price then rises with volatility.

The model. Of the hour-scale volatility v of ETH (exponential mean of squared log returns, 1.5
hours) and its own slow level s (exponential mean of log v, 30 days), ``x = log v - s`` says how
unusual the moment is. The gas price relative to its median of the 14 days before is
``exp(INTERCEPT + RESPONSE * max(x, 0)^2)``, a median; times ``exp(SIGMA^2 / 2)`` it is the
conditional mean, which is what the model returns. Nothing is random. x counts up to
``HIGHEST_EXCESS``, in the fit too: one hour in a thousand is above 2.39, the highest is 3.18.

The fit: least squares of log daily average gas on the day's mean of ``max(x, 0)^2``, ETH-USDT
hourly candles, 2020-01-01 to 2021-12-31 and 2023-01-15 to 2024-01-31 without the quarter that the
candles lack, n = 1,023 days, R2 = 0.117, residual sigma 0.357 (log). On ordinary days volatility
explains little. On crash days it explains more than half of the rise, in logs: 2020-03-12 3.2 times
the median (the day: 6.9), 2020-03-13 4.3 (7.5), 2021-05-19 2.3 (2.7). Fitted on 2020-21 alone it
predicts 2023-24 with an error of 0.325 (log, root mean square; the median alone 0.331), fitted on
2023-24 it predicts 2020-21 with 0.377 (0.398). All that is given the median of the days before:
the level is an assumption wherever there is no series, and errs more (that of late 2021 held
through 2023-24: 1.41, a factor of four). Means, median and square were chosen among some 130
variants on these same days, the out-of-sample errors in view: both flatter it a little.

The level, ``BASELINES``: quarterly medians of the same series, joined by straight lines in logs.
2022 has no data: a line from the last quarter of 2021 to the first of 2023. After 2024-01-31
there is none either and January 2024 is held, although blobs (EIP-4844, 2024-03) and larger blocks
(2025) lowered the level since, by how much is not measured here: this assumes dear protection.
``baseline_gwei`` replaces the level by a number of one's own.

Left out: what drives gas but not volatility (mints, airdrops), priority fees of a race within a
block, and hours: a day's average understates its worst hour.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from seawall.errors import DataError, RecipeError
from seawall.kernel import kernel
from seawall.units import DAY_MS, HOUR_MS, to_time_ms, to_time_text

FloatArray = NDArray[np.float64]
TimeArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

GAS_UNITS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "transaction": 21_000.0,  # once each: Ethereum yellow paper, G_transaction
        # Aave v3, aave-dao/aave-v3-origin `snapshots/Pool.Operations.json` at commit 04419e25
        # (it has deficits: v3.3 or later; v2 is not measured); the dearer of the cases that an
        # account in debt meets.
        "supply": 176_366.0,  # a first supply that becomes collateral
        "withdraw": 240_296.0,  # in part, with debts
        "borrow": 257_306.0,  # a first borrow
        "repay": 189_949.0,  # in part
        "flash_loan": 170_603.0,  # flashLoanSimple to a receiver that does nothing
        "liquidation": 383_994.0,  # in part; in full 393,192
        # Uniswap v3-periphery `SwapRouter.gas.spec.ts.snap` (one pool: 111,248) and one tick
        # crossed (31,000: smart-order-router `gas-costs.ts`).
        "swap": 142_248.0,
        "bundle": 60_000.0,  # assumed: a smart wallet that decodes and delegates several steps
    }
)


def count_gas(steps: Iterable[str]) -> float:
    """Return the gas units of one transaction that does ``steps``, keys of ``GAS_UNITS``.

    ``count_gas(["bundle", "flash_loan", "repay", "withdraw", "swap"])``: 21,000 once and the sum.
    Whether the snapshots hold those 21,000 too is not said there: if so this errs upwards by them.
    Left out: token approvals, refunds for cleared storage, and a failed transaction's shorter run.
    """
    return GAS_UNITS["transaction"] + sum(GAS_UNITS[step] for step in steps)


FAST_HOURS: Final = 1.5
SLOW_HOURS: Final = 30 * 24.0
MEDIAN_DAYS: Final = 14
HIGHEST_EXCESS: Final = 2.5
INTERCEPT: Final = -0.0667
RESPONSE: Final = 0.432
SIGMA: Final = 0.357
TYPICAL_VOLATILITY: Final = 0.0057  # per square-root hour: where the slow level starts
LEAST_VOLATILITY: Final = 1e-6  # a market that stands still has a logarithm too

BASELINES: Final = (
    ("2019-11-15", 14.47),
    ("2020-02-15", 11.49),
    ("2020-05-15", 28.39),
    ("2020-08-15", 98.38),
    ("2020-11-15", 63.50),
    ("2021-02-15", 143.03),
    ("2021-05-15", 66.94),
    ("2021-08-15", 57.55),
    ("2021-11-15", 113.84),
    ("2023-02-15", 28.95),
    ("2023-05-15", 38.41),
    ("2023-08-15", 23.87),
    ("2023-11-15", 30.93),
    ("2024-01-15", 26.10),  # January alone
)


@dataclass(frozen=True, kw_only=True, eq=False)
class GasTrack:
    """The gas price of every bar.

    Attributes:
        gwei: float64, shape (n_bars,), what a transaction of the bar pays per unit, > 0.
        known_gwei: float64, shape (n_bars,), what can be known of it while the bar lasts: the
            average of the day before; for a modelled bar the model at the close before it.
        is_modelled: bool, shape (n_bars,).
    """

    gwei: FloatArray
    known_gwei: FloatArray
    is_modelled: BoolArray

    def __len__(self) -> int:
        return len(self.gwei)

    @property
    def share_modelled(self) -> float:
        """The share of bars whose price is modelled, 0 to 1."""
        return float(self.is_modelled.mean()) if len(self) else 0.0


def gas_per_bar(
    time_ms: TimeArray,
    close_ms: TimeArray,
    *,
    market_close_ms: TimeArray,
    market_close: FloatArray,
    series_time_ms: TimeArray | None = None,
    series_gwei: FloatArray | None = None,
    model: bool = False,
    baseline_gwei: float | None = None,
    multiplier: float = 1.0,
) -> GasTrack:
    """Return the gas price of every bar, a dated series before the model.

    ``time_ms`` and ``close_ms``: int64, shape (n_bars,), when the bars of the run open and close.
    ``market_close_ms`` and ``market_close``: closes of ETH, shape (n,); they may start before the
    run (30 days give the model its own slow level) and need not have the run's bars.
    ``series_time_ms`` and ``series_gwei``: the start of each day and its average, sorted.
    ``model``: whether days without a value may be modelled; ``baseline_gwei``: at which level,
    instead of ``BASELINES``. ``multiplier``: of every price, what is known included; 5 asks what a
    crowded chain would do.

    Where the series lacks the day before, what is known is the model's, also with ``model`` off:
    an estimate of one's own needs no leave.

    Raises:
        DataError: a day has no value, or none > 0, and ``model`` is off.
        RecipeError: ``multiplier`` or ``baseline_gwei`` is not > 0.
    """
    for name, value in (("gas.multiplier", multiplier), ("gas.baseline_gwei", baseline_gwei)):
        if value is not None and not 0.0 < value < np.inf:
            raise RecipeError(f"{name} must be a finite number > 0, is {value}: leave it out")
    days = time_ms // DAY_MS
    priced, is_priced = _look_up(days, series_time_ms, series_gwei)
    if not model and not is_priced.all():
        _refuse(days[~is_priced])
    modelled = model_gwei(market_close_ms, market_close, baseline_gwei=baseline_gwei)
    now = _at(close_ms, market_close_ms, modelled, baseline_gwei)
    before = _at(time_ms, market_close_ms, modelled, baseline_gwei)
    yesterday, is_known = _look_up(days - 1, series_time_ms, series_gwei)
    return GasTrack(
        gwei=np.where(is_priced, priced, now) * multiplier,
        known_gwei=np.where(is_priced & is_known, yesterday, before) * multiplier,
        is_modelled=~is_priced,
    )


def model_gwei(
    close_ms: TimeArray, close: FloatArray, *, baseline_gwei: float | None = None
) -> FloatArray:
    """Return the conditional mean of the gas price at each close of ETH, gwei, shape (n,)."""
    excess = np.clip(find_excess(close_ms, close), 0.0, HIGHEST_EXCESS)
    rise = INTERCEPT + RESPONSE * excess**2 + SIGMA**2 / 2.0
    return np.asarray(find_baseline(close_ms, baseline_gwei) * np.exp(rise))


def find_baseline(time_ms: TimeArray, baseline_gwei: float | None = None) -> FloatArray:
    """Return the level of the gas price at each time, gwei; before and after, the nearest one."""
    if baseline_gwei is not None:
        return np.full(len(time_ms), baseline_gwei)
    at = np.array([to_time_ms(date) for date, _ in BASELINES], dtype=np.float64)
    level = np.log([gwei for _, gwei in BASELINES])
    return np.asarray(np.exp(np.interp(time_ms.astype(np.float64), at, level)))


def find_excess(close_ms: TimeArray, close: FloatArray) -> FloatArray:
    """Return how unusual the volatility is at each close: x of the model, shape (n,), in logs.

    Bars may have any length and gaps: both means decay with time, not with bars.
    """
    excess = np.zeros(len(close))
    hours = (close_ms - close_ms[:1]) / HOUR_MS
    _follow_excess(hours, np.log(close), excess)
    return excess


@kernel
def _follow_excess(hours: FloatArray, log_close: FloatArray, excess: FloatArray) -> None:
    """Fill ``excess`` with the log of fast volatility less its slow mean, 0.0 at first."""
    variance, slow = TYPICAL_VOLATILITY**2, np.log(TYPICAL_VOLATILITY)
    for t in range(1, len(hours)):
        elapsed = hours[t] - hours[t - 1]
        squared = (log_close[t] - log_close[t - 1]) ** 2 / elapsed
        variance += (1.0 - np.exp(-elapsed / FAST_HOURS)) * (squared - variance)
        fast = np.log(max(np.sqrt(variance), LEAST_VOLATILITY))
        slow += (1.0 - np.exp(-elapsed / SLOW_HOURS)) * (fast - slow)
        excess[t] = fast - slow


def _look_up(
    days: TimeArray, series_time_ms: TimeArray | None, series_gwei: FloatArray | None
) -> tuple[FloatArray, BoolArray]:
    """Return the series' value of each day, and whether it has one that is a price."""
    if series_time_ms is None or series_gwei is None or not len(series_time_ms):
        return np.full(len(days), np.nan), np.zeros(len(days), dtype=np.bool_)
    known = series_time_ms // DAY_MS
    rows = np.minimum(np.searchsorted(known, days), len(known) - 1)
    is_there = (known[rows] == days) & (series_gwei[rows] > 0.0)
    return np.where(is_there, series_gwei[rows], np.nan), is_there


def _at(
    time_ms: TimeArray, close_ms: TimeArray, modelled: FloatArray, baseline_gwei: float | None
) -> FloatArray:
    """Return the model at each time, from closes up to it; the level alone where there is none."""
    rows = np.searchsorted(close_ms, time_ms, side="right") - 1
    if not len(modelled):
        return find_baseline(time_ms, baseline_gwei)
    return np.where(rows >= 0, modelled[rows], find_baseline(time_ms, baseline_gwei))


def _refuse(missing: TimeArray) -> None:
    days = np.unique(missing)
    raise DataError(
        f"a gas price is needed for every day of the run, {len(days)} have none, the first is "
        f"{to_time_text(int(days[0]) * DAY_MS)[:10]}: import a series that has them, or set "
        'gas.source = "model"'
    )
