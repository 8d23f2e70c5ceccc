"""backtrader's indicators over whole arrays: twins of its pure-Python loops.

backtrader's indicators are trees; nearly all are made of a few leaves that loop over the bars in
Python. The leaves have twins here, chosen by exact class; every other ``preonce``, ``oncestart``
and ``once`` runs as it is, with its parts computed by twins where there are any.

A twin gives backtrader's value to the bit, but for windows whose values differ by a factor of
more than 2**45 (1e-9 relative). Where it could not, with nan or infinity in a window, a division
by zero or unusual parameters, it declines and backtrader's own loop runs, also into its errors.

One difference is on purpose: where a feed is shorter than an indicator's minimum period,
backtrader fails with an IndexError; here the values stay nan and the strategy in ``prenext``.
"""

# ruff: noqa: SLF001 - the hooks of backtrader's own loop are private names

import operator
from collections.abc import Callable
from typing import Any

import backtrader as bt
import numpy as np
from backtrader import functions as fn
from backtrader.linebuffer import (
    LineActions,
    LineOwnOperation,
    LinesOperation,
    PseudoArray,
    _LineDelay,
)
from numpy.typing import NDArray

from seawall.engine import windows
from seawall.engine.feed import quicken
from seawall.market.series import FloatArray

Twin = Callable[[Any, int, int], bool]
Operand = FloatArray | float

_IND, _OBS = bt.LineIterator.IndType, bt.LineIterator.ObsType


def compute(indicator: Any) -> None:
    """Compute all values of an indicator and its parts: what its ``_once`` does."""
    own_once = type(indicator)._once
    if own_once is LineActions._once:
        _forward([indicator], indicator._clock.buflen())
        indicator.home()
        _fill(indicator)
        indicator.oncebinding()
    elif own_once is bt.LineIterator._once and type(indicator).forward is bt.LineSeries.forward:
        _compute_tree(indicator)
    else:
        indicator._once()


def _compute_tree(indicator: Any) -> None:
    quicken(indicator.lines)
    _forward(indicator.lines, indicator._clock.buflen())
    parts = indicator._lineiterators
    for part in parts[_IND]:
        compute(part)
    for observer in parts[_OBS]:
        observer.forward(size=indicator.buflen())
    for each in (*indicator.datas, *parts[_IND], *parts[_OBS], indicator):
        each.home()
    _fill(indicator)
    for line in indicator.lines:
        line.oncebinding()


def _forward(lines: Any, size: int) -> None:
    """Make room for ``size`` values, nan at first."""
    for line in lines:
        line.array.frombytes(np.full(size, np.nan).tobytes())
        line._idx += size
        line.lencount += size


def _fill(indicator: Any) -> None:
    first, stop = indicator._minperiod - 1, indicator.buflen()
    if stop <= first:
        return
    twin = TWINS.get(_without_alias(type(indicator)))
    if twin is not None:
        with np.errstate(all="ignore"):
            if twin(indicator, first, stop):
                return
    indicator.preonce(0, first)
    indicator.oncestart(first, first + 1)
    indicator.once(first + 1, stop)


def _without_alias(kind: type) -> type:
    """Return the class behind backtrader's second names: ``SMA`` is ``MovingAverageSimple``."""
    while vars(kind).get("aliased"):
        kind = kind.__bases__[0]
    return kind


def _view(line: Any) -> FloatArray:
    """Return a line's values without copying: let go before the line grows."""
    return np.frombuffer(line.array, dtype=np.float64)


def _write(line: Any, first: int, values: NDArray[Any]) -> bool:
    _view(line)[first : first + len(values)] = values
    return True


def _find_window(indicator: Any, first: int, stop: int) -> FloatArray | None:
    """Return what windows ending in ``first .. stop - 1`` see, ``None`` if not all finite."""
    period, values = indicator.p.period, _view(indicator.data)
    if not isinstance(period, int) or period < 1 or first - period + 1 < 0 or len(values) < stop:
        return None
    seen = values[first - period + 1 : stop]
    return seen if np.isfinite(seen).all() else None


def _average(indicator: Any, first: int, stop: int) -> bool:
    seen = _find_window(indicator, first, stop)
    if seen is None:
        return False
    period = indicator.p.period
    return _write(indicator.line, first, windows.sum_windows(seen, period) / period)


def _sum(indicator: Any, first: int, stop: int) -> bool:
    seen = _find_window(indicator, first, stop)
    if seen is None:
        return False
    return _write(indicator.line, first, windows.sum_windows(seen, indicator.p.period))


def _highest(indicator: Any, first: int, stop: int) -> bool:
    seen = _find_window(indicator, first, stop)
    if seen is None:
        return False
    return _write(indicator.line, first, windows.find_highest(seen, indicator.p.period))


def _lowest(indicator: Any, first: int, stop: int) -> bool:
    seen = _find_window(indicator, first, stop)
    if seen is None:
        return False
    return _write(indicator.line, first, -windows.find_highest(-seen, indicator.p.period))


def _smooth(indicator: Any, first: int, stop: int) -> bool:
    seen = _find_window(indicator, first, first + 1)
    values = _view(indicator.data)
    if seen is None or len(values) < stop:
        return False
    seed = float(windows.sum_windows(seen, len(seen))[0]) / len(seen)
    alpha, one_less = indicator.alpha, indicator.alpha1
    later = slice(first + 1, stop)
    if isinstance(alpha, float) and isinstance(one_less, float):
        rest = windows.smooth(values[later], seed, alpha, one_less)
    elif isinstance(alpha, bt.LineRoot) and isinstance(one_less, bt.LineRoot):
        factors = [_view(factor) for factor in (alpha, one_less)]
        if min(map(len, factors)) < stop:
            return False
        rest = windows.smooth_with(values[later], seed, factors[0][later], factors[1][later])
    else:
        return False
    return _write(indicator.line, first, np.append(seed, rest))


def _weigh(indicator: Any, first: int, stop: int) -> bool:
    seen = _find_window(indicator, first, stop)
    weights = indicator.p.weights
    if seen is None or len(weights) != indicator.p.period:
        return False
    sums = windows.weigh_windows(seen, np.array(weights, dtype=np.float64))
    return _write(indicator.line, first, indicator.p.coef * sums)


def _accumulate(indicator: Any, first: int, stop: int) -> bool:
    values = _view(indicator.data)
    if len(values) < stop:
        return False
    sums = windows.accumulate(values[first:stop], float(indicator.p.seed))
    return _write(indicator.line, first, sums)


def _hold_nonzero(indicator: Any, first: int, stop: int) -> bool:
    one, other = _view(indicator.data0), _view(indicator.data1)
    if min(len(one), len(other)) < stop:
        return False
    difference = one[first:stop] - other[first:stop]
    return _write(indicator.line, first, windows.hold_nonzero(difference))


def _find_operand(source: Any, first: int, stop: int) -> Operand | None:
    """Return the values of an operand, a number as it is, ``None`` for anything else."""
    if isinstance(source, PseudoArray):
        source = source.wrapped
    if isinstance(source, bool | int | float):
        return float(source)
    if not isinstance(source, bt.LineRoot):
        return None
    values = _view(source)
    return values[first:stop] if first >= 0 and len(values) >= stop else None


def _delay(action: Any, first: int, stop: int) -> bool:
    ago = 0 if isinstance(action.a, PseudoArray) else action.ago
    values = _find_operand(action.a, first + ago, stop + ago)
    if values is None:
        return False
    return _write(action, first, np.broadcast_to(values, stop - first))


def _operate(action: Any, first: int, stop: int) -> bool:
    one = _find_operand(action.a, first, stop)
    other = _find_operand(action.b, first, stop)
    function = _OPERATIONS.get(action.operation)
    if one is None or other is None or function is None or action.btime:
        return False
    if function is np.divide and not np.all(other):
        return False
    values = function(one, other)
    if action.operation is operator.pow and not np.isfinite(values).all():
        return False
    return _write(action, first, np.broadcast_to(values, stop - first))


def _raise(bases: Operand, exponents: Operand) -> FloatArray:
    pair = np.broadcast_arrays(np.atleast_1d(bases), np.atleast_1d(exponents))
    return windows.raise_to(*(np.ascontiguousarray(each, dtype=np.float64) for each in pair))


_OPERATIONS: dict[Any, Callable[[Operand, Operand], Any]] = {
    operator.add: np.add,
    operator.sub: np.subtract,
    operator.mul: np.multiply,
    operator.truediv: np.divide,
    operator.pow: _raise,
    operator.lt: np.less,
    operator.le: np.less_equal,
    operator.gt: np.greater,
    operator.ge: np.greater_equal,
    operator.eq: np.equal,
    operator.ne: np.not_equal,
}
_OWN_OPERATIONS: dict[Any, Callable[[FloatArray], Any]] = {
    operator.abs: np.abs,
    operator.neg: np.negative,
    bool: lambda values: values != 0,
}


def _operate_own(action: Any, first: int, stop: int) -> bool:
    values = _find_operand(action.a, first, stop)
    function = _OWN_OPERATIONS.get(action.operation)
    if function is None or not isinstance(values, np.ndarray):
        return False
    return _write(action, first, function(values))


def _find_operands(sources: Any, first: int, stop: int) -> list[FloatArray] | None:
    """Return all operands as arrays of one length, ``None`` if one is of another kind."""
    found = [_find_operand(source, first, stop) for source in sources]
    if any(each is None for each in found):
        return None
    return [np.broadcast_to(np.asarray(each), stop - first) for each in found]


def _logic(choose: Callable[[Any, list[FloatArray]], NDArray[Any] | None], names: str = "") -> Twin:
    """Return the twin of a function of lines: of its arguments, or of the attributes named."""

    def twin(action: Any, first: int, stop: int) -> bool:
        sources = [getattr(action, name) for name in names.split()] if names else action.args
        operands = _find_operands(sources, first, stop)
        values = None if operands is None else choose(action, operands)
        return values is not None and _write(action, first, values)

    return twin


def _pick_highest(_: Any, operands: list[FloatArray]) -> NDArray[Any]:
    picked = operands[0]
    for other in operands[1:]:
        picked = np.where(other > picked, other, picked)  # as max does, also with nan
    return picked


def _pick_lowest(_: Any, operands: list[FloatArray]) -> NDArray[Any]:
    picked = operands[0]
    for other in operands[1:]:
        picked = np.where(other < picked, other, picked)
    return picked


def _all_true(action: Any, operands: list[FloatArray]) -> NDArray[Any] | None:
    if len(operands) < 2 or action.flogic.keywords:  # noqa: PLR2004 - of one, it is the value
        return None
    return np.asarray(np.all([each != 0 for each in operands], axis=0))


def _any_true(action: Any, operands: list[FloatArray]) -> NDArray[Any] | None:
    if len(operands) < 2 or action.flogic.keywords:  # noqa: PLR2004 - of one, it is the value
        return None
    return np.asarray(np.any([each != 0 for each in operands], axis=0))


def _choose(_: Any, operands: list[FloatArray]) -> NDArray[Any]:
    condition, one, other = operands
    return np.where(condition != 0, one, other)


def _divide(action: Any, operands: list[FloatArray]) -> NDArray[Any]:
    one, other = operands
    return np.where(other != 0, one / other, float(action.zero))


def _divide_zero(action: Any, operands: list[FloatArray]) -> NDArray[Any]:
    one, other = operands
    at_zero = np.where(one == 0, float(action.dual), float(action.single))
    return np.where(other == 0, at_zero, one / other)


def _compare(_: Any, operands: list[FloatArray]) -> NDArray[Any]:
    one, other = operands
    return (one > other).astype(np.float64) - (one < other)


def _compare_three(_: Any, operands: list[FloatArray]) -> NDArray[Any]:
    one, other, less, same, more = operands
    return np.where(one < other, less, np.where(one > other, more, same))


TWINS: dict[type, Twin] = {
    bt.ind.Average: _average,
    bt.ind.SumN: _sum,
    bt.ind.Highest: _highest,
    bt.ind.Lowest: _lowest,
    bt.ind.ExponentialSmoothing: _smooth,
    bt.ind.ExponentialSmoothingDynamic: _smooth,
    bt.ind.WeightedAverage: _weigh,
    bt.ind.Accum: _accumulate,
    bt.ind.NonZeroDifference: _hold_nonzero,
    _LineDelay: _delay,
    LinesOperation: _operate,
    LineOwnOperation: _operate_own,
    fn.Max: _logic(_pick_highest),
    fn.Min: _logic(_pick_lowest),
    fn.And: _logic(_all_true),
    fn.Or: _logic(_any_true),
    fn.If: _logic(_choose, "cond a b"),
    fn.DivByZero: _logic(_divide, "a b"),
    fn.DivZeroByZero: _logic(_divide_zero, "a b"),
    fn.Cmp: _logic(_compare),
    fn.CmpEx: _logic(_compare_three),
}
