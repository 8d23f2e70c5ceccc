"""How likely it is that the best of several settings was the best by luck: PBO, by CSCV.

The periods are cut into an even number of blocks. For every choice of half of them, the setting
with the highest Sharpe ratio *in sample* (the chosen half) is looked up *out of sample* (the other
half): if it lies in the lower half of the settings there, choosing was of no use. The share of such
choices is the probability of backtest overfitting.

Conventions: the Sharpe ratio is per period with ``ddof = 1``. A setting whose returns do not vary
in a half (it did not trade) has a ratio of 0 there. Settings that tie in sample count equally;
those that tie out of sample share the mean of their ranks; one exactly in the middle counts half.

Source: Bailey, Borwein, Lopez de Prado and Zhu (2017), "The probability of backtest overfitting",
Journal of Computational Finance 20(4).
Left out: other measures than the Sharpe ratio, and purging between the halves: the blocks are long
against what an agent remembers, or else the number is too kind.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seawall.errors import RecipeError, ResultError
from seawall.market.series import FloatArray

N_BLOCKS = 16
_MOST_BLOCKS = 20  # 184,756 choices of ten
_MIN_PERIODS = 2  # of a block: one has no spread
_MIN_SETTINGS = 2
_CELLS = 4_000_000  # choices times settings held at once: 32 MB an array
_FLAT = 1e-7  # of a setting's deviation over all periods: less is the rounding of a constant
_ROUNDING = 1e-14  # a deviation of returns below this is that of a constant, as in ``metrics``
_DIGITS = 10  # ratios that agree in these are one


@dataclass(frozen=True, kw_only=True, eq=False)
class Overfitting:
    """What choosing the best setting in sample was worth out of sample.

    Attributes:
        probability: of backtest overfitting, 0 to 1.
        loss: share of the choices whose best setting has a ratio below 0 out of sample.
        slope: of the best setting's ratio out of sample on the one in sample, least squares; nan
            where the latter is always the same.
        logits: float64, shape (n_choices,): logit of the best setting's relative rank out of
            sample; below 0 is the lower half.
        n_settings, n_blocks, n_periods: the size of the problem.
    """

    probability: float
    loss: float
    slope: float
    logits: FloatArray
    n_settings: int
    n_blocks: int
    n_periods: int


def measure_overfitting(returns: FloatArray, n_blocks: int = N_BLOCKS) -> Overfitting:
    """Return how likely the best of some settings was the best by luck.

    Args:
        returns: simple returns per period, float64, shape (n_periods, n_settings): a *row* is a
            period, a *column* a setting, all over the same periods.
        n_blocks: even, 2 to 20; blocks differ by at most one period in length.

    Raises:
        RecipeError: the number of blocks is not allowed.
        ResultError: there are fewer than two settings, or two periods per block, or a return is
            not finite.
    """
    _check(returns, n_blocks)
    n_periods, n_settings = returns.shape
    blocks = _Blocks.cut(returns, n_blocks)
    parts = [_judge(blocks, chosen) for chosen in _choices(n_blocks, n_settings)]
    below, loss, logits, inside, outside = (np.concatenate(one) for one in zip(*parts, strict=True))
    return Overfitting(
        probability=float(below.mean()),
        loss=float(loss.mean()),
        slope=_slope(inside, outside),
        logits=logits,
        n_settings=n_settings,
        n_blocks=n_blocks,
        n_periods=n_periods,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Blocks:
    """Sums over each block, of returns that were centred and scaled column by column.

    Attributes:
        counts: float64, shape (n_blocks,).
        sums, squares: float64, shape (n_blocks, n_settings).
        shift: float64, shape (n_settings,): what centring took off, in the scaled unit.
    """

    counts: FloatArray
    sums: FloatArray
    squares: FloatArray
    shift: FloatArray

    @classmethod
    def cut(cls, returns: FloatArray, n_blocks: int) -> "_Blocks":
        mean, scale = returns.mean(axis=0), returns.std(axis=0)
        scale = np.where(scale > _ROUNDING, scale, 1.0)
        centred = (returns - mean) / scale
        starts = np.linspace(0, len(returns), n_blocks + 1).astype(np.int64)
        return cls(
            counts=np.diff(starts).astype(np.float64),
            sums=np.add.reduceat(centred, starts[:-1]),
            squares=np.add.reduceat(centred**2, starts[:-1]),
            shift=mean / scale,
        )

    def sharpe(self, chosen: FloatArray) -> FloatArray:
        """Return the ratios over the chosen blocks, shape (n_choices, n_settings)."""
        n = (chosen * self.counts).sum(axis=1, keepdims=True)
        mean = _add(chosen, self.sums) / n
        variance = (_add(chosen, self.squares) - n * mean**2) / (n - 1.0)
        deviation = np.sqrt(np.maximum(variance, 0.0))
        is_flat = deviation <= _FLAT
        ratio = (mean + self.shift) / np.where(is_flat, 1.0, deviation)
        return np.asarray(np.where(is_flat, 0.0, ratio).round(_DIGITS), dtype=np.float64)


def _add(chosen: FloatArray, values: FloatArray) -> FloatArray:
    """Return the sums of the chosen blocks; plain loops, so that any machine adds up alike."""
    return np.asarray(np.einsum("cb,bs->cs", chosen, values))


def _choices(n_blocks: int, n_settings: int) -> Iterator[FloatArray]:
    """Yield which blocks are in sample, 1.0 or 0.0, shape (n_choices, n_blocks), in parts."""
    rows = _halves(n_blocks)
    step = max(_CELLS // n_settings, 1)
    for start in range(0, len(rows), step):
        yield rows[start : start + step].astype(np.float64)


@cache
def _halves(n_blocks: int) -> NDArray[np.bool_]:
    """Return every choice of half of the blocks, shape (n_choices, n_blocks)."""
    rows = np.array(list(combinations(range(n_blocks), n_blocks // 2)))
    chosen = np.zeros((len(rows), n_blocks), dtype=np.bool_)
    np.put_along_axis(chosen, rows, values=True, axis=1)
    chosen.flags.writeable = False
    return chosen


def _judge(
    blocks: _Blocks, chosen: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return below, loss, logit, and the best's ratio in and out of sample; shape (n_choices,)."""
    inside, outside = blocks.sharpe(chosen), blocks.sharpe(1.0 - chosen)
    best = inside.max(axis=1)
    is_best = inside == best[:, None]
    weight = is_best / is_best.sum(axis=1, keepdims=True)
    rank = np.asarray(pd.DataFrame(outside).rank(axis=1).to_numpy(dtype=np.float64))
    n = outside.shape[1]
    logit = np.log(rank / (n + 1.0 - rank))
    below = np.where(logit < 0.0, 1.0, np.where(logit == 0.0, 0.5, 0.0))

    def average(values: FloatArray) -> FloatArray:
        return np.asarray((weight * values).sum(axis=1), dtype=np.float64)

    loss = (outside < 0.0).astype(np.float64)
    return average(below), average(loss), average(logit), best, average(outside)


def _slope(inside: FloatArray, outside: FloatArray) -> float:
    centred = inside - inside.mean()
    square = float((centred**2).sum())
    return float((centred * outside).sum()) / square if square > 0.0 else math.nan


def _check(returns: FloatArray, n_blocks: int) -> None:
    if n_blocks % 2 or not 2 <= n_blocks <= _MOST_BLOCKS:  # noqa: PLR2004 - two halves
        raise RecipeError(
            f"n_blocks must be even and within 2 and {_MOST_BLOCKS}, is {n_blocks}: try {N_BLOCKS}"
        )
    if returns.ndim != 2 or returns.shape[1] < _MIN_SETTINGS:  # noqa: PLR2004 - a matrix
        raise ResultError(
            "overfitting is of two settings or more, as a matrix of periods x settings; "
            f"the shape is {returns.shape}: give one column per setting"
        )
    if len(returns) < _MIN_PERIODS * n_blocks:
        raise ResultError(
            f"{n_blocks} blocks need {_MIN_PERIODS * n_blocks} periods, there are {len(returns)}: "
            "take fewer blocks or a longer window (a row is a period, a column a setting)"
        )
    if not np.isfinite(returns).all():
        raise ResultError("returns must be finite: leave out the setting that was ruined")
