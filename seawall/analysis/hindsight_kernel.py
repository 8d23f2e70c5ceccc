"""The kernels of ``hindsight``: one trade, one bar, all bars, and the best policy once more.

State ``2 i`` is the grid's ratio ``i``; state ``2 i + 1`` lies between it and the next, and holds
the best position that was levered exactly to some bar's limit there. States ascend in leverage.
"""

from math import inf, isinf, isnan, nan, sqrt
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seawall.kernel import kernel
from seawall.market.series import FloatArray
from seawall.venues.swap import sell_for

StateArray = NDArray[np.int16]
KindArray = NDArray[np.int8]

STAY, TO_STATE, TO_BORROW_LIMIT, TO_HOLD_LIMIT = 0, 1, 2, 3  # how a state was come to in a bar
_ROUNDING: Final = 1e-12  # relative: a ratio at its limit is not beyond it


class Path(NamedTuple):
    """What happened: arrays of shape (n_bars,), see ``hindsight.HindsightPath``.

    ``may_borrow``, ``may_hold``: highest debt tokens per collateral token right after borrowing,
    and through the bar. ``liquidation``: what one USD of collateral repays when it is liquidated.
    ``supply``, ``borrow``, ``held``: growth in the bar of collateral, debt and held debt tokens.
    ``keep``: of what a swap is given, after its fee; ``depth``: USD on a side of its pool.
    """

    price: FloatArray
    debt_price: FloatArray
    last_price: float
    last_debt_price: float
    may_borrow: FloatArray
    may_hold: FloatArray
    liquidation: FloatArray
    supply: FloatArray
    borrow: FloatArray
    held: FloatArray
    gas: FloatArray
    first: int
    keep: float
    depth: float


class Bar(NamedTuple):
    """The same at one bar's open; ``scale`` makes a ratio of tokens one of USD values."""

    price: float
    debt_price: float
    scale: float
    may_borrow: float
    may_hold: float
    liquidation: float
    gas: float
    keep: float
    depth: float


class Trade(NamedTuple):
    """A position in USD after a trade, what was sold for it, the loss, and gas; debt inf: none.

    ``loss`` is fee and impact, or the liquidator's bonus.
    """

    collateral: float
    debt: float
    sold: float
    loss: float
    gas: float


@kernel
def at_open(path: Path, number: int) -> Bar:
    """Return one bar of a path; what one may borrow is no more than what one may hold."""
    price, debt_price = path.price[number], path.debt_price[number]
    hold = path.may_hold[number]
    return Bar(
        price, debt_price, debt_price / price, min(path.may_borrow[number], hold), hold,
        path.liquidation[number], path.gas[number], path.keep, path.depth,
    )  # fmt: skip


@kernel
def to_lower(collateral: float, debt: float, ratio: float, bar: Bar) -> Trade:
    """Return the better of a sale in the pool and a liquidation, down to a ratio of USD values.

    In the pool ``y`` solves ``debt + gas - out(y) = ratio (collateral - y)``, a quadratic for the
    constant product. No trade (debt inf) where the ratio is not below the position's.
    """
    best = Trade(0.0, inf, 0.0, 0.0, 0.0)
    is_flat, owed = isinf(ratio), debt + bar.gas
    sold = collateral if is_flat else _sold(owed - ratio * collateral, ratio, bar)
    if 0.0 < sold <= collateral:
        sale = sell_for(sold, bar.depth, 1.0 - bar.keep)
        lost = sale.fee_usd + sale.impact_usd
        best = Trade(collateral - sold, owed - sale.value_usd, sold, lost, bar.gas)
    rate = bar.liquidation
    seized = collateral if is_flat else (debt - ratio * collateral) / (rate - ratio)
    if 0.0 < seized <= collateral and rate > ratio:
        other = Trade(collateral - seized, debt - seized * rate, seized, seized * (1.0 - rate), 0.0)
        if other.collateral - other.debt > best.collateral - best.debt:
            return other
    return best


@kernel
def _sold(excess: float, ratio: float, bar: Bar) -> float:
    """Return what has to be sold so that ``out(y) - ratio y = excess``; -1 where nothing does."""
    if not excess > 0.0 or ratio >= bar.keep:
        return -1.0
    if isinf(bar.depth):
        return excess / (bar.keep - ratio)
    linear = bar.depth * (bar.keep - ratio) - excess * bar.keep
    square = linear * linear - 4.0 * ratio * bar.keep * excess * bar.depth
    if square < 0.0 or linear < 0.0:
        return -1.0
    return 2.0 * excess * bar.depth / (linear + sqrt(square))


@kernel
def to_higher(collateral: float, debt: float, ratio: float, bar: Bar) -> Trade:
    """Return a purchase of collateral with the debt asset, up to a ratio of USD values.

    ``x`` solves ``debt + gas + x = ratio (collateral + out(x))``. No trade (debt inf) where the
    ratio is not above the position's.
    """
    owed, keep, depth = debt + bar.gas, bar.keep, bar.depth
    room = ratio * collateral - owed
    if not room > 0.0 or isinf(ratio) or ratio * keep >= 1.0:
        return Trade(0.0, inf, 0.0, 0.0, 0.0)
    if isinf(depth):
        spent = room / (1.0 - ratio * keep)
    else:
        linear = depth * (1.0 - ratio * keep) - room * keep
        spent = 2.0 * room * depth / (linear + sqrt(linear * linear + 4.0 * keep * room * depth))
    bought = sell_for(spent, depth, 1.0 - keep)
    lost = bought.fee_usd + bought.impact_usd
    return Trade(collateral + bought.value_usd, owed + spent, spent, lost, bar.gas)


@kernel
def trade(collateral: float, debt: float, ratio: float, bar: Bar) -> Trade:
    """Return the trade of a position in USD to a ratio of USD values, whichever way that is."""
    up = to_higher(collateral, debt, ratio, bar)
    return up if up.debt < inf else to_lower(collateral, debt, ratio, bar)


@kernel
def find_best(path: Path, ratios: FloatArray, starts: FloatArray) -> tuple[StateArray, KindArray]:
    """Return the best policy: its state after each bar's open, and how it came to it.

    ``ratios``: shape (n_states,); ``starts``: shape (n_states, 2), nan where none starts. Both
    returned arrays have shape (n_bars + 1,), of which the first entry is the start.
    """
    n_bars, n = len(path.price), 2 * len(ratios) - 1
    held = np.full((n, 2), nan)
    held[::2] = starts
    grid = to_grid(ratios)
    back = np.zeros((n_bars, n), np.int16)
    kinds = np.zeros((n_bars, n), np.int8)
    for number in range(n_bars):
        if number >= path.first:
            held = _open(at_open(path, number), held, grid, back[number], kinds[number])
        else:
            back[number] = np.arange(n)
        accrue(path, number, held)
        accrue(path, number, grid)
    best, most = 0, -inf
    for state in range(n):
        wealth = held[state, 0] * path.last_price - held[state, 1] * path.last_debt_price
        if wealth > most:
            best, most = state, wealth
    states, ways = np.zeros(n_bars + 1, np.int16), np.zeros(n_bars + 1, np.int8)
    for number in range(n_bars - 1, -1, -1):
        states[number + 1], ways[number + 1] = best, kinds[number, best]
        best = back[number, best]
    states[0] = best
    return states, ways


@kernel
def to_grid(ratios: FloatArray) -> FloatArray:
    """Return tokens of each state of the grid, up to its size: shape (n_states, 2)."""
    grid = np.ones((len(ratios), 2))
    grid[:, 1] = ratios
    grid[0, 0], grid[0, 1] = 0.0, -1.0
    return grid


@kernel
def _ratio_of(grid: FloatArray, place: int) -> float:
    return -inf if place == 0 else grid[place, 1] / grid[place, 0]


@kernel
def accrue(path: Path, number: int, tokens: FloatArray) -> None:
    """Let interest of one bar accrue on tokens, shape (n, 2): collateral and debt or held debt."""
    for row in range(len(tokens)):
        is_owed = tokens[row, 1] > 0.0
        tokens[row, 0] *= 1.0 + path.supply[number]
        tokens[row, 1] *= 1.0 + (path.borrow[number] if is_owed else path.held[number])


@kernel
def _open(
    bar: Bar, held: FloatArray, grid: FloatArray, back: StateArray, kinds: KindArray
) -> FloatArray:
    """Return what each state holds after the trades of a bar's open; note where it came from."""
    n = len(held)
    value = np.empty((n, 2))
    value[:, 0], value[:, 1] = held[:, 0] * bar.price, held[:, 1] * bar.debt_price
    bids = _bids(value, bar)
    after = held.copy()
    for state in range(n):
        back[state] = state
        if held[state, 1] > bar.may_hold * held[state, 0] * (1.0 + _ROUNDING):
            after[state, :] = nan
    for place in range(len(grid) + 2):
        kind, state = TO_STATE, 2 * place
        if place < len(grid):
            ratio = _ratio_of(grid, place)
        else:
            kind = TO_BORROW_LIMIT if place == len(grid) else TO_HOLD_LIMIT
            ratio = bar.may_borrow if kind == TO_BORROW_LIMIT else bar.may_hold
            state = _between(grid, ratio)
        is_twice = kind == TO_HOLD_LIMIT and bar.may_hold <= bar.may_borrow
        if state < 0 or ratio > bar.may_hold * (1.0 + _ROUNDING) or is_twice:
            continue
        source = _find_source(state, ratio, value, after, bids, bar)
        if source >= 0:
            made = trade(value[source, 0], value[source, 1], ratio * bar.scale, bar)
            after[state, 0] = made.collateral / bar.price
            after[state, 1] = made.debt / bar.debt_price
            back[state], kinds[state] = source, kind
    return after


@kernel
def _between(grid: FloatArray, ratio: float) -> int:
    """Return the state between two of the grid's that a ratio lies in; -1: beyond, or on one."""
    for place in range(1, len(grid) - 1):
        if not grid[place, 1] < ratio * grid[place, 0]:
            return -1
        if ratio * grid[place + 1, 0] < grid[place + 1, 1]:
            return 2 * place + 1
    return -1


@kernel
def _bids(value: FloatArray, bar: Bar) -> FloatArray:
    """Return bounds of what states are worth when they trade, USD, shape (3, 2 n).

    Rows: when it sells without impact; when it buys without impact; when it is liquidated. Column
    ``s``: of state ``s``; column ``n + s``: the highest of it and of those beyond it, which are
    above it where they sell and below it where they buy.
    """
    n = len(value)
    bids = np.full((3, 2 * n), -inf)
    for state in range(n):
        collateral, debt = value[state]
        if not isnan(collateral):
            bids[0, state] = bar.keep * collateral - debt - bar.gas
            bids[1, state] = collateral - bar.keep * (debt + bar.gas)
            bids[2, state] = bar.liquidation * collateral - debt
    sells, buys, seized = -inf, -inf, -inf
    for state in range(n - 1, -1, -1):
        sells, seized = max(sells, bids[0, state]), max(seized, bids[2, state])
        bids[0, n + state], bids[2, n + state] = sells, seized
    for state in range(n):
        buys = max(buys, bids[1, state])
        bids[1, n + state] = buys
    return bids


@kernel
def _find_source(  # noqa: PLR0917 - a kernel takes no keywords
    state: int, ratio: float, value: FloatArray, after: FloatArray, bids: FloatArray, bar: Bar
) -> int:
    """Return the state whose trade into ``state`` leaves more than is there already; -1: none."""
    most = 0.0
    if not isnan(after[state, 0]):
        most = after[state, 0] * bar.price - after[state, 1] * bar.debt_price
    wanted = ratio * bar.scale
    source, most = _find_seller(state, wanted, most, value, bids, bar)
    if ratio <= bar.may_borrow * (1.0 + _ROUNDING) and not isinf(ratio):
        buyer, _ = _find_buyer(state, wanted, most, value, bids, bar)
        source = buyer if buyer >= 0 else source
    return source


@kernel
def _find_seller(  # noqa: PLR0917 - a kernel takes no keywords
    state: int, ratio: float, most: float, value: FloatArray, bids: FloatArray, bar: Bar
) -> tuple[int, float]:
    """Return the best state above that sells down to ``ratio``, and what is left; or -1.

    Nearest first: they pay the least impact, and then the bounds rule out most of the rest.
    """
    n, source = len(value), -1
    sells, seized = 1.0, 1.0
    if not isinf(ratio):
        if ratio >= min(bar.keep, bar.liquidation):
            return source, most
        sells = (1.0 - ratio) / (bar.keep - ratio)
        seized = (1.0 - ratio) / (bar.liquidation - ratio)
    for other in range(state, n):
        if max(sells * bids[0, n + other], seized * bids[2, n + other]) <= most:
            break
        if max(sells * bids[0, other], seized * bids[2, other]) > most:
            made = to_lower(value[other, 0], value[other, 1], ratio, bar)
            if made.collateral - made.debt > most:
                source, most = other, made.collateral - made.debt
    return source, most


@kernel
def _find_buyer(  # noqa: PLR0917 - a kernel takes no keywords
    state: int, ratio: float, most: float, value: FloatArray, bids: FloatArray, bar: Bar
) -> tuple[int, float]:
    """Return the best state below that buys up to ``ratio``, and what is left; or -1."""
    n, source = len(value), -1
    if ratio * bar.keep >= 1.0:
        return source, most
    buys = (1.0 - ratio) / (1.0 - bar.keep * ratio)
    for other in range(state, -1, -1):
        if buys * bids[1, n + other] <= most:
            break
        if buys * bids[1, other] > most:
            made = to_higher(value[other, 0], value[other, 1], ratio, bar)
            if made.collateral - made.debt > most:
                source, most = other, made.collateral - made.debt
    return source, most


@kernel
def to_targets(path: Path, ratios: FloatArray, states: StateArray, kinds: KindArray) -> FloatArray:
    """Return debt tokens per collateral token after each bar's trade; nan where it has none."""
    targets, grid = np.full(len(path.price), nan), to_grid(ratios)
    for number in range(len(targets)):
        kind = kinds[number + 1]
        if kind == TO_STATE:
            targets[number] = _ratio_of(grid, states[number + 1] // 2)
        elif kind == TO_BORROW_LIMIT:
            targets[number] = at_open(path, number).may_borrow
        elif kind == TO_HOLD_LIMIT:
            targets[number] = path.may_hold[number]
        accrue(path, number, grid)
    return targets


@kernel
def replay(path: Path, start: FloatArray, targets: FloatArray) -> FloatArray:
    """Return a policy played from its start's tokens, shape (1, 2): shape (n_bars + 1, 5).

    ``targets``: as in ``to_targets``. Columns: net collateral and debt tokens at the start and at
    each close, and what the bar's open sold, lost to fee and impact, and paid for gas, USD.
    """
    n_bars = len(path.price)
    held = np.zeros((n_bars + 1, 5))
    now = start.copy()
    held[0, :2] = now[0]
    for number in range(n_bars):
        if not isnan(targets[number]):
            bar = at_open(path, number)
            value, owed = now[0, 0] * bar.price, now[0, 1] * bar.debt_price
            made = trade(value, owed, targets[number] * bar.scale, bar)
            if made.debt < inf:
                now[0, 0], now[0, 1] = made.collateral / bar.price, made.debt / bar.debt_price
                held[number + 1, 2:] = np.array([made.sold, made.loss, made.gas])
        accrue(path, number, now)
        held[number + 1, :2] = now[0]
    return held
