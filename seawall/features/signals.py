"""Features of signals: what was known of them at the close of each bar, and how old it was.

A value counts from the moment at which it was known. Once the newest one is older than
``STALE_PERIODS`` of its own periods, the signal has fallen silent: its features are nan until it
speaks again, only its ``age`` goes on.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from seawall.features.bars import KnownValues
from seawall.market.series import FloatArray, TimeArray

STALE_PERIODS = 3
_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class SignalFeature:
    """How a feature of a signal is computed.

    Attributes:
        compute: takes the values, the place of the newest one known at each bar (>= 0), and ``n``.
        n_extra: values that it needs beside ``n``.
        takes_n: whether its name has a number.
        smallest: that ``n`` may be.
    """

    compute: Callable[[FloatArray, TimeArray, int], FloatArray]
    n_extra: int = 0
    takes_n: bool = True
    smallest: int = 1


def compute_signal(
    feature: SignalFeature, known: KnownValues, close_ms: TimeArray, *, n: int, period_ms: int
) -> FloatArray:
    """Return a feature at each close, float64 of shape (n_bars,); nan where it is not known."""
    found = np.full(len(close_ms), np.nan)
    place = np.searchsorted(known.known_ms, close_ms, "right") - 1
    enough = place >= n + feature.n_extra - 1
    rows = np.flatnonzero(enough)
    rows = rows[close_ms[rows] - known.known_ms[place[rows]] <= STALE_PERIODS * period_ms]
    if len(rows):
        found[rows] = feature.compute(known.value, place[rows], n)
    return found


def compute_age(known: KnownValues, close_ms: TimeArray, *, period_ms: int) -> FloatArray:
    """Return how long before each close the newest value was known, in its periods; nan: none."""
    found = np.full(len(close_ms), np.nan)
    place = np.searchsorted(known.known_ms, close_ms, "right") - 1
    rows = np.flatnonzero(place >= 0)
    found[rows] = (close_ms[rows] - known.known_ms[place[rows]]) / period_ms
    return found


def _value(value: FloatArray, place: TimeArray, _n: int) -> FloatArray:
    return value[place]


def _change(value: FloatArray, place: TimeArray, n: int) -> FloatArray:
    return value[place] - value[place - n]


def _growth(value: FloatArray, place: TimeArray, n: int) -> FloatArray:
    """Return the log of the newest value over the one of ``n`` before; nan where one is <= 0."""
    new, old = value[place], value[place - n]
    is_sound = (new > 0.0) & (old > 0.0)
    ratio = np.where(is_sound, new, 1.0) / np.where(is_sound, old, 1.0)
    return np.where(is_sound, np.log(ratio), np.nan)


def _score(value: FloatArray, place: TimeArray, n: int) -> FloatArray:
    """Return the newest value, less the mean of ``n``, over their deviation; 0.0 without one."""
    window = value[place[:, None] - np.arange(n)]
    mean, deviation = window.mean(axis=1), window.std(axis=1, ddof=1)
    is_still = deviation <= _ROUNDING * np.abs(mean)
    return np.where(is_still, 0.0, (value[place] - mean) / np.where(is_still, 1.0, deviation))


SIGNAL_FEATURES = {
    "value": SignalFeature(compute=_value, n_extra=1, takes_n=False),
    "change": SignalFeature(compute=_change, n_extra=1),
    "growth": SignalFeature(compute=_growth, n_extra=1),
    "score": SignalFeature(compute=_score, smallest=2),
}
AGE = "age"
