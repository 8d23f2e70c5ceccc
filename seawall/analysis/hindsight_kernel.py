"""The kernels of ``hindsight``: one trade, one bar, all bars, and the best policy once more.

State ``2 i`` is the grid's ratio ``i``; state ``2 i + 1`` lies between it and the next, and holds
the best position that was levered exactly to some bar's limit there. States ascend in leverage.
"""

from math import inf, isinf, sqrt
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seawall.kernel import kernel
from seawall.market.series import FloatArray
from seawall.venues.swap import sell_for

BoolArray = NDArray[np.bool_]
StateArray = NDArray[np.int16]
KindArray = NDArray[np.int8]

STAY, TO_STATE, TO_BORROW_LIMIT, TO_HOLD_LIMIT = 0, 1, 2, 3  # how a state was come to in a bar
_TINY: Final = 1e-12  # relative: a ratio at its limit is not beyond it


class Path(NamedTuple):
    """What happened: arrays of shape (n_bars,), see ``hindsight.HindsightPath``.

    ``may_borrow``, ``may_hold``: highest debt tokens per collateral token right after borrowing,
    and through the bar. ``liquidation``: what one USD of collateral repays when it is liquidated.
    ``supply``, ``borrow``, ``held``: growth in the bar of collateral, debt and held debt tokens.
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


class Terms(NamedTuple):
    """Rules of the market, as fractions."""

    threshold: float
    max_ltv: float
    bonus: float


class Costs(NamedTuple):
    """What a swap keeps after its fee, and the depth of its pool in USD."""

    keep: float
    depth: float


class Trade(NamedTuple):
    """A position in USD after a trade, what was sold for it, the loss, and gas; wealth -inf: none.

    ``loss`` is fee and impact, or the liquidator's bonus.
    """

    collateral: float
    debt: float
    sold: float
    loss: float
    gas: float

    # A kernel reads fields only: ``wealth`` would not compile as a property.


@kernel
def _none() -> Trade:
    return Trade(0.0, inf, 0.0, 0.0, 0.0)


@kernel
def to_lower(
    collateral: float, debt: float, ratio: float, gas: float, costs: Costs, liquidation: float
) -> Trade:
    """Return the better of a sale in the pool and a liquidation, down to a ratio of USD values.

    In the pool ``y`` solves ``debt + gas - out(y) = ratio (collateral - y)``, a quadratic for the
    constant product. No trade (debt inf) where the ratio is not below the position's.
    """
    best = _none()
    owed = debt + gas
    excess = owed - ratio * collateral
    if isinf(ratio):
        sale = sell_for(collateral, costs.depth, 1.0 - costs.keep)
        lost = sale.fee_usd + sale.impact_usd
        best = Trade(0.0, owed - sale.value_usd, collateral, lost, gas)
    elif excess > 0.0:
        sold = _sold(excess, ratio, costs)
        if 0.0 < sold <= collateral:
            sale = sell_for(sold, costs.depth, 1.0 - costs.keep)
            lost = sale.fee_usd + sale.impact_usd
            best = Trade(collateral - sold, owed - sale.value_usd, sold, lost, gas)
    seized = collateral
    if not isinf(ratio):
        seized = (debt - ratio * collateral) / (liquidation - ratio)
    if 0.0 < seized <= collateral and liquidation > ratio:
        lost = seized * (1.0 - liquidation)
        other = Trade(collateral - seized, debt - seized * liquidation, seized, lost, 0.0)
        if other.collateral - other.debt > best.collateral - best.debt:
            return other
    return best


@kernel
def to_higher(collateral: float, debt: float, ratio: float, gas: float, costs: Costs) -> Trade:
    """Return a purchase of collateral with the debt asset, up to a ratio of USD values.

    ``x`` solves ``debt + gas + x = ratio (collateral + out(x))``. No trade where the ratio is not
    above the position's.
    """
    owed = debt + gas
    room = ratio * collateral - owed
    if not room > 0.0 or isinf(ratio):
        return _none()
    keep, depth = costs.keep, costs.depth
    if isinf(depth):
        spent = room / (1.0 - ratio * keep)
    else:
        linear = depth * (1.0 - ratio * keep) - room * keep
        spent = 2.0 * room * depth / (linear + sqrt(linear * linear + 4.0 * keep * room * depth))
    bought = sell_for(spent, depth, 1.0 - keep)
    lost = bought.fee_usd + bought.impact_usd
    return Trade(collateral + bought.value_usd, owed + spent, spent, lost, gas)


@kernel
def _sold(excess: float, ratio: float, costs: Costs) -> float:
    """Return what has to be sold so that ``out(y) - ratio y = excess``; -1 where nothing does."""
    keep, depth = costs.keep, costs.depth
    if isinf(depth):
        return excess / (keep - ratio)
    linear = depth * (keep - ratio) - excess * keep
    square = linear * linear - 4.0 * ratio * keep * excess * depth
    if square < 0.0 or linear < 0.0:
        return -1.0
    return 2.0 * excess * depth / (linear + sqrt(square))


@kernel
def _trade(
    collateral: float, debt: float, bar: int, ratio: float, path: Path, costs: Costs
) -> Trade:
    """Return the trade of a position in USD to a ratio of USD values, whichever way that is."""
    up = to_higher(collateral, debt, ratio, path.gas[bar], costs)
    if up.debt < inf:
        return up
    return to_lower(collateral, debt, ratio, path.gas[bar], costs, path.liquidation[bar])


@kernel
def find_best(
    path: Path, ratios: FloatArray, starts: FloatArray, terms: Terms, costs: Costs
) -> tuple[StateArray, KindArray]:
    """Return the best policy: its state after each bar's open, and how it came to it.

    ``ratios``: shape (n_states,); ``starts``: shape (n_states, 2), nan where none starts. Both
    returned arrays have shape (n_bars + 1,), of which the first entry is the start.
    """
    n_bars, n = len(path.price), 2 * len(ratios) - 1
    held = np.full((n, 2), np.nan)
    held[::2] = starts
    grid = _directions(ratios)
    back = np.zeros((n_bars, n), np.int16)
    kinds = np.zeros((n_bars, n), np.int8)
    for bar in range(n_bars):
        if bar >= path.first:
            held = _open(bar, held, grid, path, costs, back[bar], kinds[bar])
        else:
            back[bar] = np.arange(n)
        _accrue(bar, held, path)
        _accrue(bar, grid, path)
    wealth = held[:, 0] * path.last_price - held[:, 1] * path.last_debt_price
    best = 0
    for state in range(n):
        if wealth[state] > wealth[best] or np.isnan(wealth[best]):
            best = state
    states, ways = np.zeros(n_bars + 1, np.int16), np.zeros(n_bars + 1, np.int8)
    for bar in range(n_bars - 1, -1, -1):
        states[bar + 1], ways[bar + 1] = best, kinds[bar, best]
        best = back[bar, best]
    states[0] = best
    return states, ways


@kernel
def _directions(ratios: FloatArray) -> FloatArray:
    """Return tokens of each state of the grid up to its size: shape (n_states, 2)."""
    grid = np.ones((len(ratios), 2))
    grid[:, 1] = ratios
    grid[0, 0], grid[0, 1] = 0.0, -1.0
    return grid


@kernel
def _accrue(bar: int, tokens: FloatArray, path: Path) -> None:
    for row in range(len(tokens)):
        tokens[row, 0] *= 1.0 + path.supply[bar]
        tokens[row, 1] *= 1.0 + (path.borrow[bar] if tokens[row, 1] > 0.0 else path.held[bar])


@kernel
def _open(  # noqa: PLR0917 - a kernel takes no keywords
    bar: int,
    held: FloatArray,
    grid: FloatArray,
    path: Path,
    costs: Costs,
    back: StateArray,
    kinds: KindArray,
) -> FloatArray:
    """Return what each state holds after the trades of a bar's open; note where it came from."""
    n = len(held)
    value = np.empty((n, 2))
    value[:, 0], value[:, 1] = held[:, 0] * path.price[bar], held[:, 1] * path.debt_price[bar]
    bids = _bids(bar, value, path, costs)
    after = held.copy()
    hold, borrow = path.may_hold[bar], min(path.may_borrow[bar], path.may_hold[bar])
    for state in range(n):
        back[state] = state
        if held[state, 1] > hold * held[state, 0] * (1.0 + _TINY):
            after[state, :] = np.nan
    for place in range(len(grid) + 2):
        kind, state = TO_STATE, 2 * place
        if place < len(grid):
            ratio = -inf if place == 0 else grid[place, 1] / grid[place, 0]
        else:
            kind = TO_BORROW_LIMIT if place == len(grid) else TO_HOLD_LIMIT
            ratio = borrow if kind == TO_BORROW_LIMIT else hold
            state = _between(grid, ratio)
        is_new = kind != TO_HOLD_LIMIT or hold > borrow
        if state < 0 or ratio > hold * (1.0 + _TINY) or not is_new:
            continue
        may_buy = ratio <= borrow * (1.0 + _TINY)
        scale = path.debt_price[bar] / path.price[bar]
        source = _best_source(bar, state, ratio * scale, may_buy, value, after, bids, path, costs)
        if source >= 0:
            made = _trade(value[source, 0], value[source, 1], bar, ratio * scale, path, costs)
            after[state, 0] = made.collateral / path.price[bar]
            after[state, 1] = made.debt / path.debt_price[bar]
            back[state], kinds[state] = source, kind
    return after


@kernel
def _between(grid: FloatArray, ratio: float) -> int:
    """Return the state between two of the grid's that a ratio lies in; -1: beyond, or on one."""
    for place in range(1, len(grid) - 1):
        if grid[place, 1] < ratio * grid[place, 0]:
            if ratio * grid[place + 1, 0] < grid[place + 1, 1]:
                return 2 * place + 1
        else:
            return -1
    return -1


@kernel
def _bids(bar: int, value: FloatArray, path: Path, costs: Costs) -> FloatArray:
    """Return bounds of what each state is worth when it trades, shape (3, n), and best of a side.

    Rows: worth when it sells without impact; when it buys without impact; when it is liquidated.
    Columns 0 to n - 1: each state's; n to 2 n - 1: the best of that state and those that may come
    after it on the way (above it for sellers, below it for buyers). Shape (3, 2 n).
    """
    n, keep, gas = len(value), costs.keep, path.gas[bar]
    bids = np.full((3, 2 * n), -inf)
    for state in range(n):
        collateral, debt = value[state]
        if not np.isnan(collateral):
            bids[0, state] = keep * collateral - debt - gas
            bids[1, state] = collateral - keep * (debt + gas)
            bids[2, state] = path.liquidation[bar] * collateral - debt
    best = np.full(3, -inf)
    for state in range(n - 1, -1, -1):
        best[0], best[2] = max(best[0], bids[0, state]), max(best[2], bids[2, state])
        bids[0, n + state], bids[2, n + state] = best[0], best[2]
    for state in range(n):
        best[1] = max(best[1], bids[1, state])
        bids[1, n + state] = best[1]
    return bids


@kernel
def _best_source(  # noqa: PLR0917 - a kernel takes no keywords
    bar: int,
    state: int,
    ratio: float,
    may_buy: bool,  # noqa: FBT001 - as above
    value: FloatArray,
    after: FloatArray,
    bids: FloatArray,
    path: Path,
    costs: Costs,
) -> int:
    """Return the state whose trade into ``state`` leaves more than is there already; -1: none.

    Nearest first: they pay the least impact, and then the bounds rule out most of the rest.
    """
    n = len(value)
    keep, way_out = costs.keep, path.liquidation[bar]
    best, source = 0.0, -1
    if not np.isnan(after[state, 0]):
        best = after[state, 0] * path.price[bar] - after[state, 1] * path.debt_price[bar]
    is_flat = isinf(ratio)
    if not is_flat and ratio >= min(keep, way_out):
        return -1
    sells = 1.0 if is_flat else (1.0 - ratio) / (keep - ratio)
    seizes = 1.0 if is_flat else (1.0 - ratio) / (way_out - ratio)
    for other in range(state, n):
        if max(sells * bids[0, n + other], seizes * bids[2, n + other]) <= best:
            break
        if max(sells * bids[0, other], seizes * bids[2, other]) > best:
            made = to_lower(value[other, 0], value[other, 1], ratio, path.gas[bar], costs, way_out)
            if made.collateral - made.debt > best:
                best, source = made.collateral - made.debt, other
    if not may_buy or is_flat:
        return source
    buys = (1.0 - ratio) / (1.0 - keep * ratio)
    for other in range(state, -1, -1):
        if buys * bids[1, n + other] <= best:
            break
        if buys * bids[1, other] > best:
            made = to_higher(value[other, 0], value[other, 1], ratio, path.gas[bar], costs)
            if made.collateral - made.debt > best:
                best, source = made.collateral - made.debt, other
    return source


@kernel
def replay(  # noqa: PLR0917 - a kernel takes no keywords
    path: Path,
    ratios: FloatArray,
    starts: FloatArray,
    terms: Terms,
    costs: Costs,
    states: StateArray,
    kinds: KindArray,
) -> FloatArray:
    """Return a policy played once more: shape (n_bars + 1, 5).

    Columns: net collateral and debt tokens at the start and at each close, and what the bar's open
    sold, lost to fee and impact, and paid for gas, USD.
    """
    n_bars = len(path.price)
    held = np.zeros((n_bars + 1, 5))
    now = starts[states[0] // 2 : states[0] // 2 + 1].copy()
    grid = _directions(ratios)
    held[0, 0], held[0, 1] = now[0]
    for bar in range(n_bars):
        kind, price, debt_price = kinds[bar + 1], path.price[bar], path.debt_price[bar]
        if kind != STAY:
            place = states[bar + 1] // 2
            ratio = -inf if place == 0 else grid[place, 1] / grid[place, 0]
            if kind == TO_BORROW_LIMIT:
                ratio = min(path.may_borrow[bar], path.may_hold[bar])
            elif kind == TO_HOLD_LIMIT:
                ratio = path.may_hold[bar]
            ratio *= debt_price / price
            made = _trade(now[0, 0] * price, now[0, 1] * debt_price, bar, ratio, path, costs)
            now[0, 0], now[0, 1] = made.collateral / price, made.debt / debt_price
            held[bar + 1, 2:] = np.array([made.sold, made.loss, made.gas])
        _accrue(bar, now, path)
        _accrue(bar, grid, path)
        held[bar + 1, 0], held[bar + 1, 1] = now[0]
    return held
