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
_BLOCK = 4_096  # steps at first, where they are added; doubled when they are full
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

    ``extend`` adds a step, where the market goes on while it is played.

    Attributes:
        step: the one in progress, or the last.
        n_steps: how many there are; arrays may be longer, and are nan from there on.
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
        self.step, self.n_steps = 0, len(marks)
        self._find_next()

    def extend(self, marks: FloatArray, stamps: Sequence[Stamp]) -> None:
        """Add the step that has just closed.

        Args:
            marks: float64, shape (n, 4): open, high, low, close.
            stamps: those of this step, sorted by time.
        """
        step = self.n_steps
        if step == len(self.opens):
            self._grow(max(_BLOCK, 2 * step))
        parts = [self.opens, self.highs, self.lows, self.closes]
        for part, column in zip(parts, marks.T, strict=True):
            part[step] = column
        self.least[step] = np.minimum(self.opens[step], self.closes[step])
        self.most[step] = np.maximum(self.opens[step], self.closes[step])
        if self.is_worst:
            self.least[step] = np.minimum(self.least[step], self.lows[step])
            self.most[step] = np.maximum(self.most[step], self.highs[step])
        for columns, values in (
            (self.columns, self.closes),
            (self.least_columns, self.least),
            (self.most_columns, self.most),
        ):
            for one, value in zip(columns, values[step].tolist(), strict=True):
                one.append(value)  # others hold the list itself
        self._stamps.extend(stamps)
        self._times.extend(stamp.time_ms for stamp in stamps)
        self.n_steps = step + 1
        self._find_next()

    def _grow(self, capacity: int) -> None:
        """Move to larger memory; beyond the last step it holds nan."""
        for name in ("opens", "highs", "lows", "closes", "least", "most"):
            old: FloatArray = getattr(self, name)
            fresh = np.full((capacity, old.shape[1]), nan)
            fresh[: self.n_steps] = old[: self.n_steps]
            setattr(self, name, fresh)

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
