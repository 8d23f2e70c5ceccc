"""Labels: what came of a bar, known only bars later.

A label at bar ``t`` is made from bars after ``t``; it is nan where they have not all closed, and is
then no example. Who trains on what is known at ``t`` therefore trains on labels of earlier bars.
"""

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from seawall.features.bars import Bars
from seawall.market.series import FloatArray


class Payoff(NamedTuple):
    """What a trade brought on average where the label was true, and where it was not."""

    gain: float
    loss: float

    def expect(self, probability: float) -> float:
        """Return what a trade is expected to bring before costs, at a probability of the label."""
        return probability * self.gain + (1.0 - probability) * self.loss


def find_returns(bars: Bars, horizon: int) -> FloatArray:
    """Return what was earned from the open after each bar to the open ``horizon`` bars later.

    A decision at a close is filled at the next open, so that is where its result begins. Float64,
    shape (n_bars,), fractions before costs; nan for the last ``horizon + 1`` bars.
    """
    found = np.full(len(bars), np.nan)
    n = len(bars) - horizon - 1
    if n > 0:
        found[:n] = bars.open[horizon + 1 :] / bars.open[1 : n + 1] - 1.0
    return found


def find_falls(bars: Bars, horizon: int) -> FloatArray:
    """Return the deepest fall below each close within the next ``horizon`` bars, as a fraction.

    Lows count, as liquidators do not wait for a close. Float64, shape (n_bars,), >= 0; nan for the
    last ``horizon`` bars.
    """
    found = np.full(len(bars), np.nan)
    n = len(bars) - horizon
    if n > 0:
        lowest = sliding_window_view(bars.low[1:], horizon).min(axis=1)
        found[:n] = np.maximum(1.0 - lowest / bars.close[:n], 0.0)
    return found


def find_payoff(outcomes: FloatArray, labels: NDArray[np.bool_]) -> Payoff:
    """Return the mean outcome of trades whose label is true, and of the others; 0.0 without any.

    Args:
        outcomes: before costs, finite, in whatever unit the payoff is to have.
        labels: bool, of the same shape.
    """
    gain = float(outcomes[labels].mean()) if labels.any() else 0.0
    loss = float(outcomes[~labels].mean()) if not labels.all() else 0.0
    return Payoff(gain, loss)
