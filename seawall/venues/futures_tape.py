"""What each step brings to a futures account: mark prices, funding stamps, leverage brackets.

Steps count the moments at which bars close, from 0. Marks are quote units per base unit; a row per
contract, as in ``perpetual.layout``.
"""

from bisect import bisect_left
from collections.abc import Sequence
from math import inf, nan
from typing import NamedTuple

import numpy as np

from seawall.market.series import FloatArray
from seawall.units import MINUTE_MS

OPEN, HIGH, LOW, CLOSE = range(4)
LATE_MS = MINUTE_MS  # a stamp of a bar's open may be some seconds late


class Stamp(NamedTuple):
    """One funding stamp: of contract ``row``, inside the bar of ``step``, at its mark."""

    step: int
    time_ms: int
    row: int
    rate: float
    mark: float


class Tape:
    """All that happens to the contracts of one run, and how far it has been played.

    Args:
        marks: float64, shape (n_steps, n, 4): open, high, low, close of the mark in each step.
        stamps: sorted by time.
        epochs: ``(first step, tables)`` of the brackets, sorted; the first from step 0 on.
        is_worst: whether marks inside a bar liquidate, or only those at its open and close.

    Attributes:
        step: the one in progress, or the last.
        tables: the brackets in force, shape (n, n_tiers, N_TIER).
        opens, highs, lows, closes: float64, shape (n_steps, n).
        least, most: the marks of a step that liquidate longs and shorts, likewise.
        columns: the closes, and ``least_columns``, ``most_columns``: as lists by row, to be read
            one number at a time.
        next_step: the first step that brings a stamp or other brackets.
    """

    def __init__(
        self,
        *,
        marks: FloatArray,
        stamps: Sequence[Stamp],
        epochs: Sequence[tuple[int, FloatArray]],
        is_worst: bool,
    ) -> None:
        parts = [np.ascontiguousarray(marks[:, :, k], dtype=np.float64) for k in range(4)]
        self.opens, self.highs, self.lows, self.closes = parts
        self.is_worst = is_worst
        self.least = np.minimum(self.opens, self.closes)
        self.most = np.maximum(self.opens, self.closes)
        if is_worst:
            self.least = np.minimum(self.least, self.lows)
            self.most = np.maximum(self.most, self.highs)
        self.columns = _to_lists(self.closes)
        self.least_columns, self.most_columns = _to_lists(self.least), _to_lists(self.most)
        self._stamps, self._epochs = list(stamps), list(epochs)
        self._times = [stamp.time_ms for stamp in self._stamps]
        self._n_settled, self._epoch = 0, 0
        self.tables: FloatArray = self._epochs[0][1]
        self._rates, self._n_known = np.full(marks.shape[1], nan), 0
        self.step = 0
        self._find_next()

    def take_stamps(self, until_ms: int) -> list[Stamp]:
        """Return this step's stamps up to a time, once, and put the brackets in force that are due.

        Those of steps that have passed are nobody's.
        """
        first = self._n_settled
        while self._n_settled < len(self._stamps):
            stamp = self._stamps[self._n_settled]
            is_due = stamp.step == self.step and stamp.time_ms <= until_ms
            if not (is_due or stamp.step < self.step):
                break
            self._n_settled += 1
        while self._epoch + 1 < len(self._epochs) and self._epochs[self._epoch + 1][0] <= self.step:
            self._epoch += 1
            self.tables = self._epochs[self._epoch][1]
        self._find_next()
        return [one for one in self._stamps[first : self._n_settled] if one.step == self.step]

    def find_rates(self, time_ms: int) -> FloatArray:
        """Return the last rate of each contract before a time, nan where none; times only rise."""
        n_known = bisect_left(self._times, time_ms)
        if n_known != self._n_known:
            self._rates = self._rates.copy()
            for stamp in self._stamps[self._n_known : n_known]:
                self._rates[stamp.row] = stamp.rate
            self._n_known = n_known
        return self._rates

    def find_next_stamp_ms(self, row: int, time_ms: int, interval_ms: int) -> int:
        """Return when a contract is settled next, at ``time_ms`` or later."""
        for k in range(bisect_left(self._times, time_ms), len(self._stamps)):
            if self._stamps[k].row == row:
                return self._stamps[k].time_ms
        return -(-time_ms // interval_ms) * interval_ms

    def _find_next(self) -> None:
        steps: list[float] = [inf]
        if self._n_settled < len(self._stamps):
            steps.append(self._stamps[self._n_settled].step)
        if self._epoch + 1 < len(self._epochs):
            steps.append(self._epochs[self._epoch + 1][0])
        self.next_step = min(steps)


def _to_lists(values: FloatArray) -> list[list[float]]:
    return [column.tolist() for column in values.T]
