"""From a model's score to a probability, fitted on examples that the model has not seen.

``p = 1 / (1 + exp(-(slope * score + offset)))``. A slope of 0 says that the score told nothing:
every probability is then the base rate.

Source: Platt, "Probabilistic outputs for support vector machines" (1999); the targets are his,
(n + 1) / (n + 2) and 1 / (n + 2), so that no probability becomes 0 or 1.
"""

from math import exp, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seawall.market.series import FloatArray

_MOST_STEPS = 100
_ENOUGH = 1e-12  # change of the loss, per example, at which the fit has arrived
_RIDGE = 1e-9  # keeps the two equations solvable where all scores are equal
_SMALLEST_STEP = 1e-10


class Calibration(NamedTuple):
    """A slope and an offset on the log-odds."""

    slope: float
    offset: float

    @property
    def has_skill(self) -> bool:
        """Whether a higher score meant a higher probability on examples that were not seen."""
        return self.slope > 0.0

    def to_probability(self, score: float) -> float:
        """Return the probability of a score, > 0 and < 1."""
        odds = self.slope * score + self.offset
        return 1.0 / (1.0 + exp(-odds)) if odds >= 0 else exp(odds) / (1.0 + exp(odds))


def calibrate(scores: FloatArray, labels: NDArray[np.bool_]) -> Calibration:
    """Return the calibration of scores, by Newton's method; slope 0 where they tell nothing.

    Args:
        scores: float64, shape (n,), finite.
        labels: bool, shape (n,).
    """
    n_true = int(labels.sum())
    n_false = len(labels) - n_true
    base = Calibration(0.0, log((n_true + 1.0) / (n_false + 1.0)))
    if not n_true or not n_false:
        return base
    targets = np.where(labels, (n_true + 1.0) / (n_true + 2.0), 1.0 / (n_false + 2.0))
    slope, offset, loss = 0.0, base.offset, _find_loss(scores, targets, 0.0, base.offset)
    for _ in range(_MOST_STEPS):
        step = _find_step(scores, targets, slope, offset)
        size = 1.0
        while size > _SMALLEST_STEP:
            tried = slope + size * step[0], offset + size * step[1]
            tried_loss = _find_loss(scores, targets, *tried)
            if tried_loss < loss:
                break
            size /= 2.0
        else:
            break
        gained, (slope, offset), loss = loss - tried_loss, tried, tried_loss
        if gained < _ENOUGH * len(labels):
            break
    return Calibration(slope, offset) if slope > 0.0 else base


def _find_loss(scores: FloatArray, targets: FloatArray, slope: float, offset: float) -> float:
    odds = slope * scores + offset
    return float((np.logaddexp(0.0, odds) - targets * odds).sum())


def _find_step(
    scores: FloatArray, targets: FloatArray, slope: float, offset: float
) -> tuple[float, float]:
    """Return Newton's step for slope and offset."""
    odds = slope * scores + offset
    p = np.exp(-np.logaddexp(0.0, -odds))
    weight, error = p * (1.0 - p), targets - p
    a = float((weight * scores * scores).sum()) + _RIDGE
    b = float((weight * scores).sum())
    c = float(weight.sum()) + _RIDGE
    first, second = float((error * scores).sum()), float(error.sum())
    determinant = a * c - b * b
    return (c * first - b * second) / determinant, (a * second - b * first) / determinant
