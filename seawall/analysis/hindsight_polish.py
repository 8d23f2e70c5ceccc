"""The last step of ``hindsight``: move the best policy of a grid off the grid.

A pool's impact makes it worth while to trade a little in each of many bars, less than one state of
a grid. So every bar's trade is moved to where, with all other trades as they are, the most wealth
is left after the next one; over and over. What comes of it is a policy like any other, and legal.
"""

from math import inf, isinf, isnan, nan
from typing import Final, NamedTuple

import numpy as np

from seawall.analysis.hindsight_kernel import Bar, Path, accrue, at_open, trade
from seawall.kernel import kernel
from seawall.market.series import FloatArray

N_SWEEPS: Final = 60
_FIRST_STEP: Final = 0.1  # of 1 + leverage: how far a trade is moved in the first sweep
_SHRINK: Final = 0.93  # a sweep
_N_HALVINGS: Final = 10  # of a search, each by the golden section
_GOLDEN: Final = 0.6180339887498949
_ROUNDING: Final = 1e-12
_HIGH: Final = 0.99  # USD of debt per USD of collateral: no search beyond it


class Ahead(NamedTuple):
    """From one bar's open to the next trade: growth of USD values, and the bar of that trade.

    ``wanted``: debt per collateral after it, of USD values; nan where it is the end.
    """

    supply: float
    borrow: float
    held: float
    wanted: float
    bar: Bar


@kernel
def polish(path: Path, start: FloatArray, targets: FloatArray) -> FloatArray:
    """Return targets that leave no less; ``start`` and ``targets`` as ``replay`` reads them."""
    step = _FIRST_STEP
    for _ in range(N_SWEEPS):
        targets = _sweep(path, start, targets, step)
        step *= _SHRINK
    return targets


@kernel
def _sweep(path: Path, start: FloatArray, targets: FloatArray, step: float) -> FloatArray:
    """Return the targets after each was moved once; the same ones where it gets stuck."""
    n_bars = len(targets)
    found, now = targets.copy(), start.copy()
    after, legal = _look_ahead(path, targets)
    grown = _grow(path)
    for number in range(n_bars):
        if number >= path.first:
            bar, then = at_open(path, number), after[number]
            next_bar, wanted = bar, nan
            if then < n_bars:
                next_bar = at_open(path, then)
                wanted = targets[then] * next_bar.scale
            factors = grown[then] / grown[number]
            ahead = Ahead(factors[0], factors[1], factors[2], wanted, next_bar)
            value, owed = now[0, 0] * bar.price, now[0, 1] * bar.debt_price
            wanted, is_any = _choose(
                value, owed, targets[number] * bar.scale, legal[number] * bar.scale, bar, ahead,
                step,
            )  # fmt: skip
            if not is_any:
                return targets
            found[number] = wanted / bar.scale
            if not isnan(wanted):
                made = trade(value, owed, wanted, bar)
                now[0, 0], now[0, 1] = made.collateral / bar.price, made.debt / bar.debt_price
        accrue(path, number, now)
    return found


@kernel
def _look_ahead(path: Path, targets: FloatArray) -> tuple[np.ndarray, FloatArray]:
    """Return the bar of the trade after each bar, and the highest legal ratio until then."""
    n_bars = len(targets)
    after, legal = np.empty(n_bars, np.int64), np.empty(n_bars)
    then, most = n_bars, inf
    for number in range(n_bars - 1, -1, -1):
        growth = (1.0 + path.borrow[number]) / (1.0 + path.supply[number])
        most = min(most / growth, path.may_hold[number])
        after[number], legal[number] = then, most
        if not isnan(targets[number]):
            then, most = number, inf
    return after, legal


@kernel
def _grow(path: Path) -> FloatArray:
    """Return what a token at the start is worth at each open and the end, with interest.

    Columns: collateral, debt, debt tokens held.
    """
    n_bars = len(path.price)
    grown = np.ones((n_bars + 1, 3))
    for number in range(n_bars):
        grown[number + 1, 0] = grown[number, 0] * (1.0 + path.supply[number])
        grown[number + 1, 1] = grown[number, 1] * (1.0 + path.borrow[number])
        grown[number + 1, 2] = grown[number, 2] * (1.0 + path.held[number])
    grown[:n_bars, 0] *= path.price
    grown[n_bars, 0] *= path.last_price
    for column in range(1, 3):
        grown[:n_bars, column] *= path.debt_price
        grown[n_bars, column] *= path.last_debt_price
    return grown


@kernel
def _choose(  # noqa: PLR0917 - a kernel takes no keywords
    value: float, owed: float, target: float, legal: float, bar: Bar, ahead: Ahead, step: float
) -> tuple[float, bool]:
    """Return the best ratio of USD values to trade to, nan: none; and whether anything is legal."""
    best, most = nan, -inf
    if owed <= legal * value * (1.0 + _ROUNDING):
        most = _leave(value, owed, ahead)
    borrow = min(legal, bar.may_borrow * bar.scale)
    for ratio in (target, borrow, legal, -inf):
        left = _try(value, owed, ratio, legal, bar, ahead)
        if _is_more(left, most):
            best, most = ratio, left
    at = best
    if isnan(at):
        at = owed / value if value > 0.0 else -inf
    if at < _HIGH:
        leverage = _to_leverage(at)
        low = max(0.0, leverage - step * (1.0 + leverage))
        high = leverage + step * (1.0 + leverage)
        high = min(high, _to_leverage(min(legal, _HIGH)))
        ratio, left = _search(value, owed, low, high, legal, bar, ahead)
        if _is_more(left, most):
            best, most = ratio, left
    return best, most > -inf


@kernel
def _is_more(left: float, most: float) -> bool:
    return left > most and (isinf(most) or left - most > abs(most) * _ROUNDING)


@kernel
def _search(  # noqa: PLR0917 - a kernel takes no keywords
    value: float, owed: float, low: float, high: float, legal: float, bar: Bar, ahead: Ahead
) -> tuple[float, float]:
    """Return the best ratio between two leverages, and what it leaves, by the golden section."""
    one, other = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    first = _try(value, owed, _to_ratio(one), legal, bar, ahead)
    second = _try(value, owed, _to_ratio(other), legal, bar, ahead)
    for _ in range(_N_HALVINGS):
        if first >= second:
            high, other, second = other, one, first
            one = high - _GOLDEN * (high - low)
            first = _try(value, owed, _to_ratio(one), legal, bar, ahead)
        else:
            low, one, first = one, other, second
            other = low + _GOLDEN * (high - low)
            second = _try(value, owed, _to_ratio(other), legal, bar, ahead)
    return (_to_ratio(one), first) if first >= second else (_to_ratio(other), second)


@kernel
def _try(  # noqa: PLR0917 - a kernel takes no keywords
    value: float, owed: float, ratio: float, legal: float, bar: Bar, ahead: Ahead
) -> float:
    """Return what a trade to a ratio leaves after the next one; -inf where one is not legal."""
    if isnan(ratio) or ratio > legal * (1.0 + _ROUNDING):
        return -inf
    made = trade(value, owed, ratio, bar)
    is_up = made.collateral > value
    if made.debt == inf or (is_up and ratio > bar.may_borrow * bar.scale * (1.0 + _ROUNDING)):
        return -inf
    return _leave(made.collateral, made.debt, ahead)


@kernel
def _leave(value: float, owed: float, ahead: Ahead) -> float:
    """Return what a position is worth after the next trade, or at the end; -inf: not legal."""
    after = ahead.bar
    value *= ahead.supply
    owed *= ahead.borrow if owed > 0.0 else ahead.held
    if isnan(ahead.wanted) or (value == 0.0 and isinf(ahead.wanted)):
        return value - owed
    made = trade(value, owed, ahead.wanted, after)
    limit = after.may_borrow * after.scale * (1.0 + _ROUNDING)
    if made.debt == inf or (made.collateral > value and ahead.wanted > limit):
        return -inf
    return made.collateral - made.debt


@kernel
def _to_leverage(ratio: float) -> float:
    return 0.0 if isinf(ratio) else 1.0 / (1.0 - ratio)


@kernel
def _to_ratio(leverage: float) -> float:
    return 1.0 - 1.0 / leverage if leverage > 0.0 else -inf
