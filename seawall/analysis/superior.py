"""Whether any agent, and which, beats a benchmark, however many were tried: SPA and StepM.

Try enough agents and one of them looks good. Both tests resample whole curves, all with the same
periods, and compare the best gap with the best gap that chance makes of *all* of them:

- **SPA** (superior predictive ability): how often would the best of these look so good if none was
  better than the benchmark? Gaps far below 0 are not centred: hopeless agents do not dilute it.
- **StepM** (stepwise multiple testing): which ones are better. Once the best is told apart, the
  next is measured by what is left. The chance of one false name or more, anywhere, is held at the
  level (the family-wise error). Every gap is centred here, which is the safe way.

What is compared is growth, the change of log equity: its sum is the total return, and nobody gains
by risk alone. Gaps are divided by their standard error before the largest is taken. That error is
the stationary bootstrap's for the gap's own block length, or, where larger, the same with the bias
of short blocks taken off, ``2 V(2b) - V(b)``: gaps that persist would pass too often otherwise.

Sources: Hansen (2005), "A test for superior predictive ability", JBES 23; Romano and Wolf (2005),
"Stepwise multiple testing as formalized data snooping", Econometrica 73, and (2016), "Efficient
computation of adjusted p-values", Statistics & Probability Letters 113; Politis and Romano (1994),
"The stationary bootstrap", JASA 89, for the variance.
Left out: White's reality check (SPA's ``upper``, unstudentised) and model confidence sets.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seawall.analysis.statistics import N_RESAMPLES, block_length, resample_sums
from seawall.errors import ResultError
from seawall.market.series import FloatArray

IntArray = NDArray[np.int64]
MIN_PERIODS = 20
_EQUAL = 1e-9  # of the log growth over all periods: curves that end closer than that are one
_ROUNDING = 1e-12  # a standard error of growth below this is that of a constant


@dataclass(frozen=True, kw_only=True, eq=False)
class Resampled:
    """Curves over the same periods and what resampling made of them, all drawn alike.

    Attributes:
        growth: change of log equity, the mean over an agent's seeds, shape (n_periods, n_curves).
        drawn: its sum in each resample, shape (n_resamples, n_curves).
        seed_variance: variance of that sum's mean over seeds, shape (n_curves,); 0 for one seed.
        block_length: mean block length used, in periods.
    """

    growth: FloatArray
    drawn: FloatArray
    seed_variance: FloatArray
    block_length: float

    @property
    def n_periods(self) -> int:
        """How many periods were resampled."""
        return len(self.growth)


@dataclass(frozen=True, kw_only=True, eq=False)
class Gaps:
    """How far some curves lie above others, in standard errors.

    Attributes:
        estimate: difference of log growth over all periods, shape (n_gaps,).
        error: its standard error, same shape; 0 where the gap is the same in every period.
        statistic: ``estimate / error``; 0 for curves that are one, infinite for a constant gap.
        null: what chance makes of it, centred at 0 with deviation 1 (0 for a constant gap), shape
            (n_resamples, n_gaps).
    """

    estimate: FloatArray
    error: FloatArray
    statistic: FloatArray
    null: FloatArray


@dataclass(frozen=True, kw_only=True)
class Spa:
    """How often chance makes the best of some agents look as good against one benchmark.

    Attributes:
        p_value: the consistent one; small: somebody is better than the benchmark.
        lower, upper: its bounds: no hopeless agent counts, all of them count in full.
        statistic: the largest gap in standard errors, 0 where nobody lies above.
        best: which agent that is, from 0.
    """

    p_value: float
    lower: float
    upper: float
    statistic: float
    best: int


def resample(
    curves: Sequence[FloatArray], rng: np.random.Generator, *, n_resamples: int = N_RESAMPLES
) -> Resampled:
    """Return curves with their resamples: blocks of periods, and of each agent its seeds.

    The mean block length is the mean of what suits the gaps between each curve and their mean.

    Args:
        curves: growth of each, float64, shape (n_seeds, n_periods), n_seeds >= 1.
        rng: the random numbers; the same state gives the same resamples to the bit.
        n_resamples: how many are drawn, >= 1.

    Raises:
        ResultError: there are no curves, too few periods or resamples, or the curves do not fit.
    """
    _check(curves, n_resamples)
    growth = np.column_stack([curve.mean(axis=0) for curve in curves])
    gaps = growth - growth.mean(axis=1, keepdims=True)
    block = float(np.mean([block_length(gaps[:, place]) for place in range(len(curves))]))
    sums = resample_sums(np.vstack(curves).T, n_resamples, block, rng)
    drawn, first = np.empty((n_resamples, len(curves))), 0
    for place, curve in enumerate(curves):
        n_seeds = len(curve)
        mine = sums[:, first : first + n_seeds]
        if n_seeds > 1:
            seeds = rng.integers(0, n_seeds, size=mine.shape)
            mine = np.take_along_axis(mine, seeds, axis=1)
        drawn[:, place] = mine.mean(axis=1)
        first += n_seeds
    totals = [curve.sum(axis=1) for curve in curves]
    variances = [total.var(ddof=1) / len(total) if len(total) > 1 else 0.0 for total in totals]
    return Resampled(
        growth=growth, drawn=drawn, seed_variance=np.array(variances), block_length=block
    )


def find_gaps(sample: Resampled, first: IntArray, second: IntArray) -> Gaps:
    """Return how far each curve of ``first`` lies above that of ``second``.

    ``first``, ``second``: columns of the sample, int64, shape (n_gaps,).
    """
    totals = sample.growth.sum(axis=0)
    estimate = totals[first] - totals[second]
    pairs = zip(first, second, strict=True)
    in_time = [_variance(sample.growth[:, one] - sample.growth[:, other]) for one, other in pairs]
    error = np.sqrt(np.array(in_time) + sample.seed_variance[first] + sample.seed_variance[second])
    gaps = sample.drawn[:, first] - sample.drawn[:, second]
    centred = gaps - estimate
    deviation = gaps.std(axis=0)
    is_constant = (error <= _ROUNDING) | (deviation <= _ROUNDING)
    error = np.where(is_constant, 0.0, error)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(np.abs(estimate) <= _EQUAL, 0.0, estimate / error)
    null = np.where(is_constant, 0.0, centred / np.where(is_constant, 1.0, deviation))
    return Gaps(estimate=estimate, error=error, statistic=statistic, null=null)


def judge_best(gaps: Gaps, n_periods: int) -> Spa:
    """Return the test of superior predictive ability for gaps against one benchmark."""
    statistic = np.where(np.isfinite(gaps.statistic), gaps.statistic, _huge(gaps.statistic))
    highest = max(float(statistic.max()), 0.0)
    hopeless = -math.sqrt(2.0 * math.log(math.log(n_periods)))

    def p_value(is_centred: NDArray[np.bool_]) -> float:
        made = (gaps.null + np.where(is_centred, 0.0, statistic)).max(axis=1)
        n_as_good = np.count_nonzero(np.maximum(made, 0.0) >= highest)
        return float((1 + n_as_good) / (len(made) + 1))

    return Spa(
        p_value=p_value(statistic >= hopeless),
        lower=p_value(statistic >= 0.0),
        upper=p_value(np.ones_like(statistic, dtype=np.bool_)),
        statistic=highest,
        best=int(statistic.argmax()),
    )


def step_down(statistic: FloatArray, null: FloatArray) -> FloatArray:
    """Return p-values that hold the chance of any false name at the level, shape (n,).

    Naming all whose p-value is at most ``a`` is StepM at level ``a``. The largest statistic is
    measured by the largest of all, the next by the largest of the rest, and so on; none gets a
    smaller p-value than one before it.

    Args:
        statistic: shape (n,); absolute values where either side counts.
        null: what chance makes of them, likewise, shape (n_resamples, n).
    """
    order = np.argsort(-statistic, kind="stable")
    rest = np.maximum.accumulate(null[:, order[::-1]], axis=1)[:, ::-1]
    share = (1 + np.count_nonzero(rest >= statistic[order], axis=0)) / (len(null) + 1)
    found = np.empty(len(statistic))
    found[order] = np.maximum.accumulate(share)
    return found


def spa(excess: FloatArray, rng: np.random.Generator, *, n_resamples: int = N_RESAMPLES) -> Spa:
    """Return how often chance makes the best of some agents look as good as it does.

    ``excess``: growth of each agent less that of the benchmark, shape (n_periods, n_agents).

    Raises:
        ResultError: there are fewer than 20 periods, no agents, or numbers that are not finite.
    """
    return judge_best(_against_zero(excess, rng, n_resamples), len(excess))


def stepm(
    excess: FloatArray, rng: np.random.Generator, *, n_resamples: int = N_RESAMPLES
) -> FloatArray:
    """Return each agent's p-value of being better than the benchmark, shape (n_agents,).

    Those at or below 0.05 are named at a family-wise error of 5 %. ``excess``: as in ``spa``.

    Raises:
        ResultError: as ``spa``.
    """
    gaps = _against_zero(excess, rng, n_resamples)
    return step_down(gaps.statistic, gaps.null)


def _against_zero(excess: FloatArray, rng: np.random.Generator, n_resamples: int) -> Gaps:
    if excess.ndim != 2:  # noqa: PLR2004 - a matrix
        raise ResultError(
            f"excess is a matrix of periods x agents, has shape {excess.shape}: one column each"
        )
    curves = [*excess.T[:, None, :], np.zeros((1, len(excess)))]
    sample = resample(curves, rng, n_resamples=n_resamples)
    agents = np.arange(excess.shape[1], dtype=np.int64)
    return find_gaps(sample, agents, np.full_like(agents, excess.shape[1]))


def _variance(gap: FloatArray) -> float:
    """Return the variance of the sum of ``gap`` over all periods, its persistence included."""
    n, own = len(gap), block_length(gap)
    transform = np.fft.rfft(gap - gap.mean(), 2 * n)
    covariance = np.fft.irfft(np.abs(transform) ** 2)[:n] / n
    lags = np.arange(1, n)

    def at(block: float) -> float:
        goes_on = 1.0 - 1.0 / block
        weight = (1 - lags / n) * goes_on**lags + lags / n * goes_on ** (n - lags)
        return float(covariance[0] + 2.0 * (weight * covariance[1:]).sum())

    short, long = at(own), at(2.0 * own)
    return n * max(short, 2.0 * long - short, 0.0)


def _huge(statistic: FloatArray) -> FloatArray:
    """Return what stands for an infinite statistic where it is added to."""
    return np.sign(statistic) * 1e9


def _check(curves: Sequence[FloatArray], n_resamples: int) -> None:
    if not len(curves) or n_resamples < 1:
        raise ResultError(
            f"resampling needs at least one curve and one resample, has {len(curves)} and "
            f"{n_resamples}: give more"
        )
    shapes = {curve.shape for curve in curves}
    are_tables = all(len(shape) == 2 and shape[0] for shape in shapes)  # noqa: PLR2004
    if not are_tables or len({shape[1] for shape in shapes}) > 1:
        raise ResultError(
            f"curves are (n_seeds, n_periods) over the same periods, have shapes {sorted(shapes)}: "
            "run all agents on one recipe"
        )
    n_periods = curves[0].shape[1]
    if n_periods < MIN_PERIODS:
        raise ResultError(
            f"at least {MIN_PERIODS} periods are needed to tell anything apart, there are "
            f"{n_periods}: run over a longer window"
        )
    if not all(np.isfinite(curve).all() for curve in curves):
        raise ResultError("growth must be finite: leave out an account that was lost")
