"""How sure one can be that two agents differ, and how an agent compares with chance.

Everything is *paired*: two agents saw the same market, so what counts is their difference in each
period, not two separate spreads. Returns come in runs, so whole *blocks* of periods are drawn, not
single ones. The rules, in the order of use:

1. Equity is cut into periods: the coarsest of a bar, 1 h, 4 h and 1 d that still leaves 250 of
   them, or the bars themselves. Growth in a period is the change of log equity, so that the sums
   reproduce the total return exactly.
2. Blocks have a random length with a mean chosen from the differences themselves.
3. The same blocks are drawn for both agents, 2,000 times; the interval is the middle 95 % of the
   differences in total return. If it holds 0, the two **cannot be told apart**.

Sources: Politis and Romano (1994), "The stationary bootstrap", JASA 89; Politis and White (2004),
"Automatic block-length selection for the dependent bootstrap", Econometric Reviews 23, with the
correction of Patton, Politis and White (2009), ibid. 28; Davison and Hinkley (1997), "Bootstrap
methods and their application", section 4.2, for the +1 in the share of chance.
Left out: a correction for many comparisons (the report says how many there were), studentised
intervals, and changes of the market itself: a bootstrap knows only the regimes it was shown.
"""

from dataclasses import dataclass, replace
from math import ceil, isfinite, log10, sqrt

import numpy as np

from seawall.errors import ResultError
from seawall.kernel import kernel
from seawall.market.series import FloatArray, TimeArray
from seawall.units import DAY_MS, HOUR_MS

N_RESAMPLES = 2_000
CONFIDENCE = 0.95
MIN_PERIODS = 250
_EQUAL = 1e-9  # total returns closer than that are one number
TOLD_APART = "told apart"
NOT_TOLD_APART = "cannot be told apart"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far one total return lies above another, and how sure that is.

    Attributes:
        estimate: first minus second total return, as a fraction (0.05: five percentage points).
        low, high: ends of the interval, same unit.
        confidence: of the interval, for example 0.95.
        share_ahead: share of the resamples in which the first ends ahead; a tie counts half.
        block_length: mean block length used, in periods.
        n_periods: how many periods were resampled.
    """

    estimate: float
    low: float
    high: float
    confidence: float
    share_ahead: float
    block_length: float
    n_periods: int

    @property
    def is_told_apart(self) -> bool:
        """Whether 0 lies outside the interval."""
        return self.low > 0.0 or self.high < 0.0

    def reversed(self) -> "Difference":
        """Return the same seen from the second agent."""
        return replace(
            self,
            estimate=0.0 - self.estimate,
            low=0.0 - self.high,
            high=0.0 - self.low,
            share_ahead=1.0 - self.share_ahead,
        )

    @property
    def verdict(self) -> str:
        """The same in words."""
        return TOLD_APART if self.is_told_apart else NOT_TOLD_APART


@kernel
def resample_sums(
    growth: FloatArray, n_resamples: int, mean_block: float, rng: np.random.Generator
) -> FloatArray:
    """Return column sums of stationary-bootstrap resamples, shape (n_resamples, n_columns).

    Each step starts a new block with probability ``1 / mean_block`` at a uniform period, else goes
    on to the next one; the end wraps to the start. All columns share the periods drawn.

    ``growth``: float64, shape (n_periods, n_columns), n_periods >= 1.
    Source: Politis and Romano (1994), section 2.
    """
    n_periods, n_columns = growth.shape
    sums = np.zeros((n_resamples, n_columns))
    for resample in range(n_resamples):
        place = 0
        for step in range(n_periods):
            if step == 0 or rng.random() * mean_block < 1.0:
                place = int(rng.random() * n_periods)
            else:
                place = place + 1 if place + 1 < n_periods else 0
            for column in range(n_columns):
                sums[resample, column] += growth[place, column]
    return sums


def block_length(values: FloatArray) -> float:
    """Return the mean block length for the stationary bootstrap of ``values``, in periods, >= 1.

    The rule of Politis and White, corrected: find the lag beyond which ``max(5, log10 n)``
    autocorrelations in a row are below ``2 sqrt(log10(n) / n)``; the sums of the autocovariances up
    to twice that lag, under a flat-top window, give the length that minimises the error of the
    estimated variance; at most ``min(3 sqrt(n), n / 3)``.

    ``values``: float64, shape (n,). Where all are equal, or n < 8, the length is 1.
    """
    n = len(values)
    centred = values - values.mean()
    if n < 8 or not np.any(np.abs(centred) > 1e-15):  # noqa: PLR2004 - documented above
        return 1.0
    n_quiet = max(5, int(log10(n)))
    n_lags = min(ceil(sqrt(n)) + n_quiet, n - 2)
    covariance = _autocovariances(centred, n_lags)
    loud = np.abs(covariance[1:] / covariance[0]) >= 2 * sqrt(log10(n) / n)
    lag = next((m for m in range(n_lags - n_quiet + 1) if not loud[m : m + n_quiet].any()), None)
    bandwidth = n_lags if lag is None else min(2 * max(lag, 1), n_lags)
    lags = np.arange(1, bandwidth + 1)
    window = np.minimum(1.0, 2 * (1 - lags / bandwidth))
    slope = 2 * float(window @ (lags * covariance[1 : bandwidth + 1]))
    long_run = covariance[0] + 2 * float(window @ covariance[1 : bandwidth + 1])
    if long_run == 0.0:
        return 1.0
    best = float((slope**2 / long_run**2 * n) ** (1 / 3))
    return min(max(best, 1.0), float(ceil(min(3 * sqrt(n), n / 3))))


def difference(
    first: FloatArray,
    second: FloatArray,
    rng: np.random.Generator,
    *,
    n_resamples: int = N_RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Difference:
    """Return how far the total return of ``first`` lies above that of ``second``.

    Args:
        first: equity at the ends of the periods, shape (n_periods + 1,), quote units; its first
            value is what it started with. Equity that reaches 0 stays there.
        second: the same of the other agent, over the same periods.
        rng: the random numbers; the same state gives the same interval to the bit.
        n_resamples: how many resamples are drawn.
        confidence: of the interval, between 0 and 1.

    Raises:
        ResultError: the lengths differ, there is no period, or a start is not > 0.
    """
    growth = np.column_stack([to_growth(first), _like(first, second)])
    block = block_length(growth[:, 0] - growth[:, 1])
    totals = np.expm1(resample_sums(growth, n_resamples, block, rng))
    gaps = totals[:, 0] - totals[:, 1]
    tail = (1 - confidence) / 2
    low, high = np.quantile(gaps, [tail, 1 - tail], method="linear")
    ahead = float(np.mean(gaps > 0) + 0.5 * np.mean(gaps == 0))
    ended = np.expm1(growth.sum(axis=0))
    return Difference(
        estimate=float(ended[0] - ended[1]),
        low=float(low),
        high=float(high),
        confidence=confidence,
        share_ahead=ahead,
        block_length=block,
        n_periods=len(growth),
    )


def to_growth(equity: FloatArray) -> FloatArray:
    """Return the change of log equity in each period, shape (n_periods,).

    From the moment that equity is not > 0 the account is lost: that period's growth is -700 (the
    exponential of which is 1e-304, nothing), later ones are 0.

    Raises:
        ResultError: there is no period, or the start is not > 0.
    """
    if len(equity) < 2 or not (isfinite(equity[0]) and equity[0] > 0):  # noqa: PLR2004
        raise ResultError(
            f"equity must start above 0 and span a period, has {len(equity)} values: "
            "run the recipe over a longer window"
        )
    lost = np.logical_or.accumulate(~(equity > 0))
    logs = np.log(np.where(lost, 1.0, equity))
    growth = np.diff(logs)
    growth[lost[1:]] = 0.0
    if lost.any():
        growth[int(np.argmax(lost)) - 1] = -700.0
    return growth


def period_ends(time_ms: TimeArray) -> TimeArray:
    """Return the rows that end a resampling period, int64, shape (n_periods,), the last included.

    ``time_ms``: int64, shape (n_bars,), close times. The period is rule 1 of the module.
    """
    n = len(time_ms)
    for length_ms in (DAY_MS, 4 * HOUR_MS, HOUR_MS):
        if n and (time_ms[-1] - time_ms[0]) // length_ms >= MIN_PERIODS:
            label = (time_ms - 1) // length_ms  # a bar that closes at midnight ends the old day
            last = np.flatnonzero(np.diff(label)).astype(np.int64)
            return np.append(last, n - 1)
    return np.arange(n, dtype=np.int64)


def percentile_among(value: float, others: FloatArray) -> float:
    """Return the share of ``others`` below ``value``, 0 to 100; an equal one counts half.

    Equal is closer than 1e-9. nan where there are none to compare with.
    """
    if len(others) == 0:
        return float("nan")
    gaps = value - others
    is_equal = np.abs(gaps) <= _EQUAL
    return float(100 * (np.mean((gaps > 0) & ~is_equal) + 0.5 * np.mean(is_equal)))


def share_of_chance(value: float, others: FloatArray) -> float:
    """Return how often chance alone does as well: ``(1 + n at or above value) / (n + 1)``.

    Never 0: among 200 random agents nothing below 1/201 can be known. nan where there are none.
    """
    if len(others) == 0:
        return float("nan")
    return float((1 + np.count_nonzero(others >= value - _EQUAL)) / (len(others) + 1))


def _like(first: FloatArray, second: FloatArray) -> FloatArray:
    if len(first) != len(second):
        raise ResultError(
            f"two agents are compared over the same periods, have {len(first)} and {len(second)}: "
            "run both on one recipe"
        )
    return to_growth(second)


def _autocovariances(centred: FloatArray, n_lags: int) -> FloatArray:
    n = len(centred)
    return np.array([centred[lag:] @ centred[: n - lag] for lag in range(n_lags + 1)]) / n
