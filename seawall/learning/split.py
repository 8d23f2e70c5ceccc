"""Purged splits: no example is trained on whose label reaches into what it is judged on."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seawall.market.series import TimeArray


class Split(NamedTuple):
    """Places of examples, int64: those to train on, and the later ones to judge by."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]


def split_purged(close_ms: TimeArray, known_ms: TimeArray, test_share: float) -> Split:
    """Return the latest examples to judge by, and those whose labels were known before them.

    Examples in between belong to neither part: their labels are made from the first bars of the
    test part.

    Args:
        close_ms: when the features of each example were known, int64, shape (n,), any order.
        known_ms: when its label was known, later than that.
        test_share: of the examples, > 0 and < 1.
    """
    if not len(close_ms):
        nothing = np.empty(0, dtype=np.int64)
        return Split(nothing, nothing)
    place = min(int(len(close_ms) * (1.0 - test_share)), len(close_ms) - 1)
    first_ms = np.sort(close_ms)[place]
    return Split(np.flatnonzero(known_ms <= first_ms), np.flatnonzero(close_ms >= first_ms))
