"""Rolling and exponential averages that take one price at a time.

A rolling sum of floats drifts, and its drift looks like a crossing where a market stands still. So
sums are renewed exactly each time the window has turned over, and averages that are nearly equal
are compared by their exact means.
"""

from fractions import Fraction
from math import fsum, sqrt

_NEARLY = 1e-9  # averages that differ by less than this share are compared exactly


class RollingWindow:
    """The newest ``n`` prices; ``is_full`` once there are so many, ``total`` is their sum."""

    __slots__ = ("_place", "_ring", "is_full", "n", "total")

    def __init__(self, n: int) -> None:
        self.n = n
        self._ring = [0.0] * n
        self._place = 0
        self.total = 0.0
        self.is_full = False

    def push(self, price: float) -> None:
        """Take the next price; the oldest of a full window falls out."""
        place, ring = self._place, self._ring
        self.total += price - ring[place]
        ring[place] = price
        place += 1
        if place == self.n:
            place, self.is_full = 0, True
            self.total = fsum(ring)
        self._place = place

    def mean(self) -> float:
        """Return the mean of the full window, to 1e-12 or so."""
        return self.total / self.n

    def exact_mean(self) -> Fraction:
        """Return the mean of the full window, without any rounding."""
        return sum(map(Fraction, self._ring), Fraction(0)) / self.n

    def deviation(self) -> float:
        """Return the sample standard deviation (ddof 1) of the full window."""
        mean = fsum(self._ring) / self.n
        return sqrt(fsum([(price - mean) ** 2 for price in self._ring]) / (self.n - 1))


def compare_means(one: RollingWindow, other: RollingWindow) -> int:
    """Return 1, 0 or -1: whether the mean of ``one`` is above, equal to or below the other's."""
    first, second = one.total / one.n, other.total / other.n
    if abs(first - second) > _NEARLY * abs(second):
        return 1 if first > second else -1
    exact, other_exact = one.exact_mean(), other.exact_mean()
    return (exact > other_exact) - (exact < other_exact)


class ExponentialMean:
    """An exponential moving average of weight 2 / (span + 1) that starts at its first value."""

    __slots__ = ("_weight", "value")

    def __init__(self, span: int) -> None:
        self._weight = 2.0 / (span + 1.0)
        self.value: float | None = None

    def push(self, value: float) -> float:
        """Take the next value and return the average."""
        if self.value is None:
            self.value = value
        else:  # in this form an average that has arrived at a constant price stays there
            self.value += self._weight * (value - self.value)
        return self.value
