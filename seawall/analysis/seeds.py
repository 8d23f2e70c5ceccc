"""How much of a result is the seed's: the spread of anything random over its runs.

One run of a random agent says little: the spread over seeds is often larger than what is claimed.
The number to show for several tasks is the *interquartile mean*, the mean of the middle half of all
runs: it is steadier than the median, and one lucky run does not carry it. Its interval is a
stratified bootstrap: within each task, runs are drawn with replacement.

Source: Agarwal et al. (2021), "Deep reinforcement learning at the edge of the statistical
precipice", NeurIPS 34.
Left out: performance profiles. Of scores over one span the market's own chance is no part: see
``verdicts`` for both together.
"""

from dataclasses import dataclass

import numpy as np

from seawall.analysis.statistics import CONFIDENCE, N_RESAMPLES
from seawall.errors import RecipeError, ResultError
from seawall.market.series import FloatArray

MIN_SEEDS = 5


@dataclass(frozen=True, kw_only=True)
class SeedSpread:
    """What the seed alone changes.

    Attributes:
        n_seeds, n_tasks: runs per task, and tasks.
        mean: of all scores.
        deviation: standard deviation over the seeds (``ddof = 1``), root mean square over tasks.
        lowest, highest: worst and best score.
        iqm: mean of the middle half of all scores.
        low, high: ends of its interval.
        confidence: of the interval.
    """

    n_seeds: int
    n_tasks: int
    mean: float
    deviation: float
    lowest: float
    highest: float
    iqm: float
    low: float
    high: float
    confidence: float


def measure_spread(
    scores: FloatArray,
    rng: np.random.Generator,
    *,
    n_resamples: int = N_RESAMPLES,
    confidence: float = CONFIDENCE,
) -> SeedSpread:
    """Return how much scores differ by the seed alone.

    Args:
        scores: in any unit, float64, shape (n_seeds,) or (n_seeds, n_tasks); a task is a market or
            a window. At least five seeds.
        rng: the random numbers; the same state gives the same interval to the bit.
        n_resamples: how many are drawn.
        confidence: of the interval, between 0 and 1.

    Raises:
        ResultError: there are fewer than five seeds, no task, or a score that is not finite.
        RecipeError: the confidence is not within 0 and 1, or nothing is drawn.
    """
    table = scores[:, None] if scores.ndim == 1 else scores
    _check(table, n_resamples, confidence)
    n_seeds, n_tasks = table.shape
    seeds = rng.integers(0, n_seeds, size=(n_resamples, n_seeds, n_tasks))
    drawn = table[seeds, np.arange(n_tasks)].reshape(n_resamples, -1)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(_middle_means(drawn), [tail, 1.0 - tail])
    return SeedSpread(
        n_seeds=n_seeds,
        n_tasks=n_tasks,
        mean=float(table.mean()),
        deviation=float(np.sqrt(table.var(axis=0, ddof=1).mean())),
        lowest=float(table.min()),
        highest=float(table.max()),
        iqm=interquartile_mean(table.ravel()),
        low=float(low),
        high=float(high),
        confidence=confidence,
    )


def interquartile_mean(scores: FloatArray) -> float:
    """Return the mean without the ``floor(n / 4)`` lowest and as many highest of ``n`` scores.

    ``scores``: float64, shape (n,), n >= 1.
    """
    return float(_middle_means(scores[None, :])[0])


def _middle_means(rows: FloatArray) -> FloatArray:
    n = rows.shape[1]
    cut = n // 4
    return np.asarray(np.sort(rows, axis=1)[:, cut : n - cut].mean(axis=1))


def _check(table: FloatArray, n_resamples: int, confidence: float) -> None:
    if table.ndim != 2 or not table.shape[1]:  # noqa: PLR2004 - seeds x tasks
        raise ResultError(f"scores are a table of seeds x tasks, have shape {table.shape}")
    if len(table) < MIN_SEEDS:
        raise ResultError(
            f"what is random needs at least {MIN_SEEDS} seeds, has {len(table)}: run more of them"
        )
    if not np.isfinite(table).all():
        raise ResultError("scores must be finite: leave out the task that has no score")
    if not 0.0 < confidence < 1.0 or n_resamples < 1:
        raise RecipeError(
            f"confidence must be within 0 and 1 and n_resamples >= 1, are {confidence} and "
            f"{n_resamples}"
        )
