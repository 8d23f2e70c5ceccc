"""What a Sharpe ratio is worth: how sure, how long a record it needs, and after how many trials.

Everything here is *per period*: the Sharpe ratio is mean over standard deviation (``ddof = 1``, as
in ``metrics``) of simple returns per period, and nothing is annualised. A yearly ratio is the one
per period times the square root of the periods per year, a yearly variance of ratios is the one
per period times their number. Skewness and kurtosis are those of the sample (population moments);
kurtosis is not the excess: a normal law has 3.

Sources: Bailey and Lopez de Prado (2012), "The Sharpe ratio efficient frontier", Journal of Risk
15(2), for the probabilistic ratio and the minimum track record; Bailey and Lopez de Prado (2014),
"The deflated Sharpe ratio", Journal of Portfolio Management 40(5), for the expected maximum.
Left out: serial correlation of the returns, which makes all of these too sure where it is positive
(the bootstrap of ``superior`` keeps it), and clusters of trials that are nearly one.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from seawall.errors import RecipeError, ResultError
from seawall.market.series import FloatArray
from seawall.metrics import sharpe

_NORMAL = NormalDist()
_MIN_RETURNS = 2
_LEAST_SPREAD = 1e-12  # a variance of the ratio below this, times n, is rounding
_SAME_RATIO = 1e-9  # per period: ratios closer than that are one, found again


@dataclass(frozen=True, kw_only=True)
class TrackRecord:
    """What is needed of a series of returns to judge its Sharpe ratio; nan where it is constant.

    Attributes:
        n_periods: how many returns there are.
        sharpe: mean over standard deviation (``ddof = 1``), per period.
        skewness: third standardised moment.
        kurtosis: fourth standardised moment, 3 for a normal law, never below 1.
    """

    n_periods: int
    sharpe: float
    skewness: float
    kurtosis: float

    @property
    def spread(self) -> float:
        """Return the variance of the estimated ratio, times ``n_periods - 1``: 1 if all is normal.

        At a ratio of ``s`` it is ``1 - skewness s + (kurtosis - 1) / 4 s**2``, never negative.
        """
        ratio = self.sharpe
        found = 1.0 - self.skewness * ratio + (self.kurtosis - 1.0) / 4.0 * ratio**2
        return found if math.isnan(found) else max(found, 0.0)


def measure_track(returns: FloatArray) -> TrackRecord:
    """Return the length, Sharpe ratio, skewness and kurtosis of simple returns per period.

    ``returns``: float64, shape (n_periods,), n_periods >= 2, finite.

    Raises:
        ResultError: there are fewer than two returns, or one is not finite.
    """
    if returns.ndim != 1 or len(returns) < _MIN_RETURNS:
        raise ResultError(
            f"a track record has at least {_MIN_RETURNS} returns in one row, has shape "
            f"{returns.shape}: run over a longer window"
        )
    if not np.isfinite(returns).all():
        raise ResultError(
            "returns must be finite, "
            f"{np.count_nonzero(~np.isfinite(returns))} of {len(returns)} are not: "
            "look for a missing price, or for an account that was lost"
        )
    ratio = sharpe(returns, 1.0)
    if math.isnan(ratio):
        return TrackRecord(
            n_periods=len(returns), sharpe=math.nan, skewness=math.nan, kurtosis=math.nan
        )
    standard = (returns - returns.mean()) / returns.std()
    return TrackRecord(
        n_periods=len(returns),
        sharpe=ratio,
        skewness=float(np.mean(standard**3)),
        kurtosis=float(np.mean(standard**4)),
    )


def probabilistic_sharpe(track: TrackRecord, benchmark: float = 0.0) -> float:
    """Return how sure one may be that the true ratio is above ``benchmark``, 0 to 1.

    ``Phi((sharpe - benchmark) sqrt(n - 1) / sqrt(spread))``; nan for constant returns.
    """
    gap = track.sharpe - benchmark
    if math.isnan(gap):
        return math.nan
    if track.spread <= _LEAST_SPREAD:
        return 0.5 + 0.5 * float(np.sign(gap))
    return _NORMAL.cdf(gap * math.sqrt((track.n_periods - 1) / track.spread))


def minimum_track_record(
    track: TrackRecord, benchmark: float = 0.0, *, confidence: float = 0.95
) -> float:
    """Return how many periods such a record must have for ``confidence``: a number >= 1.

    ``1 + spread (Phi^-1(confidence) / (sharpe - benchmark))**2``; inf where the ratio is not above
    the benchmark, nan for constant returns.

    Raises:
        RecipeError: the confidence is not within 0.5 and 1.
    """
    if not 0.5 < confidence < 1.0:  # noqa: PLR2004 - below a half nothing is needed
        raise RecipeError(f"confidence must be above 0.5 and below 1, is {confidence}: try 0.95")
    gap = track.sharpe - benchmark
    if math.isnan(gap):
        return math.nan
    if gap <= 0:
        return math.inf
    return 1.0 + track.spread * (_NORMAL.inv_cdf(confidence) / gap) ** 2


def expected_maximum_sharpe(n_trials: int, variance: float) -> float:
    """Return the ratio that the best of ``n_trials`` without any skill is expected to show.

    ``sqrt(variance) ((1 - g) Phi^-1(1 - 1/N) + g Phi^-1(1 - 1/(N e)))`` with Euler's constant g; 0
    for one trial.

    Args:
        n_trials: how many were tried, >= 1, the one that is shown among them.
        variance: of the ratios of the trials, per period, >= 0.

    Raises:
        RecipeError: a number is out of its range.
    """
    if n_trials < 1:
        raise RecipeError(f"n_trials must be >= 1, is {n_trials}: what is shown was tried, too")
    if not (math.isfinite(variance) and variance >= 0.0):
        raise RecipeError(
            f"the variance of the trials' ratios must be >= 0, is {variance}: "
            "use variance_of_trials"
        )
    if n_trials == 1:
        return 0.0
    # The lower tail, with its sign turned: 1 - 1/N would be 1 for a large N.
    high = -_NORMAL.inv_cdf(1.0 / n_trials)
    higher = -_NORMAL.inv_cdf(1.0 / (n_trials * math.e))
    return math.sqrt(variance) * ((1.0 - np.euler_gamma) * high + np.euler_gamma * higher)


def deflated_sharpe(track: TrackRecord, *, n_trials: int, variance: float) -> float:
    """Return how sure one may be that the ratio is more than the best of so many trials' luck.

    The probabilistic ratio above ``expected_maximum_sharpe(n_trials, variance)``, 0 to 1.

    Raises:
        RecipeError: a number is out of its range.
    """
    return probabilistic_sharpe(track, expected_maximum_sharpe(n_trials, variance))


def variance_of_trials(sharpes: FloatArray, n_periods: int) -> float:
    """Return the variance of the trials' ratios per period, to be used in ``deflated_sharpe``.

    ``sharpes``: of every trial, per period, float64, shape (n_known,); nan where one is not known.

    The larger of two: the sample variance of the known ratios, and ``1 / (n_periods - 1)``, what
    ratios of independent trials without skill differ by. A ratio found again, by a run of the same
    rule under other code, is a trial but tells nothing of how trials differ: it is dropped here.
    So no run of what was run before lowers the bar.

    Raises:
        ResultError: there are fewer than two periods.
    """
    if n_periods < _MIN_RETURNS:
        raise ResultError(f"a track record has at least {_MIN_RETURNS} periods, has {n_periods}")
    by_chance = 1.0 / (n_periods - 1)
    known = np.sort(sharpes[np.isfinite(sharpes)])
    distinct = known[np.diff(known, prepend=-math.inf) > _SAME_RATIO]
    if len(distinct) < _MIN_RETURNS:
        return by_chance
    return max(float(distinct.var(ddof=1)), by_chance)
