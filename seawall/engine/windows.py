"""Kernels for indicators over a whole series: sliding sums, extremes and recursions.

Sums carry their rounding error (TwoSum) and so equal ``math.fsum`` to the bit, as long as the
window's values differ by less than a factor of 2**45: two averages of one constant price are then
equal here exactly where they are equal in backtrader, and no crossing is made up.
"""

import math

import numpy as np

from seawall.kernel import kernel
from seawall.market.series import FloatArray


@kernel
def sum_windows(values: FloatArray, period: int) -> FloatArray:
    """Return the sum of each window.

    ``values``: float64, shape (n,), finite. Returns shape (n - period + 1,), equal to ``fsum``.
    """
    n_windows = values.shape[0] - period + 1
    sums = np.empty(n_windows)
    high, low = 0.0, 0.0
    for index in range(values.shape[0]):
        for turn in range(2):
            if turn == 0:
                if index < period:
                    continue
                term = -values[index - period]
            else:
                term = values[index]
            total = high + term
            virtual = total - high
            error = (high - (total - virtual)) + (term - virtual) + low
            high = total + error
            low = error - (high - total)
        if index >= period - 1:
            sums[index - period + 1] = high
    return sums


@kernel
def weigh_windows(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the weighted sum of each window; shapes as in ``sum_windows``, period: the weights."""
    period = weights.shape[0]
    n_windows = values.shape[0] - period + 1
    sums = np.empty(n_windows)
    for start in range(n_windows):
        high, low = 0.0, 0.0
        for offset in range(period):
            term = values[start + offset] * weights[offset]
            total = high + term
            virtual = total - high
            error = (high - (total - virtual)) + (term - virtual) + low
            high = total + error
            low = error - (high - total)
        sums[start] = high
    return sums


@kernel
def find_highest(values: FloatArray, period: int) -> FloatArray:
    """Return the highest value of each window; shapes as in ``sum_windows``, no nan."""
    n_windows = values.shape[0] - period + 1
    highest = np.empty(n_windows)
    rows = np.empty(values.shape[0], dtype=np.int64)  # candidates, their values falling
    first, last = 0, -1
    for index in range(values.shape[0]):
        while last >= first and values[rows[last]] < values[index]:
            last -= 1
        last += 1
        rows[last] = index
        if rows[first] <= index - period:
            first += 1
        if index >= period - 1:
            highest[index - period + 1] = values[rows[first]]
    return highest


@kernel
def smooth(values: FloatArray, seed: float, alpha: float, one_less: float) -> FloatArray:
    """Return ``s[i] = s[i - 1] * one_less + values[i] * alpha``, ``s[-1]`` being the seed."""
    smoothed = np.empty(values.shape[0])
    previous = seed
    for index in range(values.shape[0]):
        previous = previous * one_less + values[index] * alpha
        smoothed[index] = previous
    return smoothed


@kernel
def smooth_with(
    values: FloatArray, seed: float, alpha: FloatArray, one_less: FloatArray
) -> FloatArray:
    """Return ``smooth`` with factors of their own per value; all arrays of shape (n,)."""
    smoothed = np.empty(values.shape[0])
    previous = seed
    for index in range(values.shape[0]):
        previous = previous * one_less[index] + values[index] * alpha[index]
        smoothed[index] = previous
    return smoothed


@kernel
def hold_nonzero(values: FloatArray) -> FloatArray:
    """Return the values, a zero replaced by what stood before it; the first stays."""
    held = np.empty(values.shape[0])
    previous = 0.0
    for index in range(values.shape[0]):
        if values[index] != 0.0 or index == 0:
            previous = values[index]
        held[index] = previous
    return held


@kernel
def accumulate(values: FloatArray, seed: float) -> FloatArray:
    """Return the running sum from a seed, added one by one."""
    sums = np.empty(values.shape[0])
    total = seed
    for index in range(values.shape[0]):
        total = total + values[index]
        sums[index] = total
    return sums


@kernel
def raise_to(bases: FloatArray, exponents: FloatArray) -> FloatArray:
    """Return the powers by the C library's ``pow``, which Python uses too."""
    powers = np.empty(bases.shape[0])
    for index in range(bases.shape[0]):
        powers[index] = math.pow(bases[index], exponents[index])
    return powers
