"""The kernels of ``margin_hindsight``: one bar, all bars, and the best policy once more.

A state is a quantity of a grid that ascends evenly from short to long; its value is the most cash
that could be beside it. Trading costs a share of the notional, so a trade over several places of
the grid costs what the trades from place to place cost: one pass up and one down find the best
source of every state.
"""

from math import inf, isnan
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seawall.kernel import kernel
from seawall.market.series import FloatArray
from seawall.venues.perpetual.margin import find_maintenance

StateArray = NDArray[np.int16]


class Course(NamedTuple):
    """What happened: float64, shape (n_bars,), unless said otherwise; prices in quote units.

    ``buy``, ``sell``: what one base unit costs and brings at the open, fee and spread included; nan
    where nothing is traded. ``leave_long``, ``leave_short``: the same where a liquidation does it.
    ``mark``: the mark at the open; ``low``, ``high``: its extremes in the bar. ``funding``: what a
    long of one base unit pays in the bar. ``tables``: shape (n_epochs, n_tiers, N_TIER);
    ``epochs``: int64, which of them holds. ``last_mark``: at the end.
    """

    buy: FloatArray
    sell: FloatArray
    leave_long: FloatArray
    leave_short: FloatArray
    mark: FloatArray
    low: FloatArray
    high: FloatArray
    funding: FloatArray
    epochs: NDArray[np.int64]
    tables: FloatArray
    last_mark: float


@kernel
def find_best(course: Course, grid: FloatArray, cash: FloatArray) -> StateArray:
    """Return the place on the grid at the start and after each bar's open, shape (n_bars + 1,).

    ``grid``: quantities, shape (n_states,); ``cash``: what is beside each at the start, -inf where
    none starts.
    """
    n_bars, n = len(course.mark), len(grid)
    sources = np.zeros((n_bars, n), np.int16)
    held = cash.copy()
    for bar in range(n_bars):
        for state in range(n):
            held[state] -= grid[state] * course.funding[bar]
            sources[bar, state] = state
        leave(course, bar, grid, held, sources[bar])
        trade(course, bar, grid, held, sources[bar])
        drop(course, bar, grid, held)
    best, most = 0, -inf
    for state in range(n):
        wealth = held[state] + grid[state] * course.last_mark
        if wealth > most:
            best, most = state, wealth
    states = np.zeros(n_bars + 1, np.int16)
    for bar in range(n_bars - 1, -1, -1):
        states[bar + 1] = best
        best = sources[bar, best]
    states[0] = best
    return states


@kernel
def leave(course: Course, bar: int, grid: FloatArray, held: FloatArray, source: StateArray) -> None:
    """Let what was held from before be liquidated, as far as wanted, where that leaves more."""
    for state in range(len(grid) - 2, -1, -1):
        made = held[state + 1] + (grid[state + 1] - grid[state]) * course.leave_long[bar]
        if grid[state] >= 0.0 and made > held[state]:
            held[state], source[state] = made, source[state + 1]
    for state in range(1, len(grid)):
        made = held[state - 1] - (grid[state] - grid[state - 1]) * course.leave_short[bar]
        if grid[state] <= 0.0 and made > held[state]:
            held[state], source[state] = made, source[state - 1]


@kernel
def trade(course: Course, bar: int, grid: FloatArray, held: FloatArray, source: StateArray) -> None:
    """Let every state trade into every other at the open."""
    if isnan(course.buy[bar]):
        return
    for state in range(1, len(grid)):
        made = held[state - 1] - (grid[state] - grid[state - 1]) * course.buy[bar]
        if made > held[state]:
            held[state], source[state] = made, source[state - 1]
    for state in range(len(grid) - 2, -1, -1):
        made = held[state + 1] + (grid[state + 1] - grid[state]) * course.sell[bar]
        if made > held[state]:
            held[state], source[state] = made, source[state + 1]


@kernel
def drop(course: Course, bar: int, grid: FloatArray, held: FloatArray) -> None:
    """Forget the states that are liquidated in the bar, in favour of what lies between two places.

    A state stands for all quantities up to one place nearer to 0 (``find_excess``).
    """
    table = course.tables[course.epochs[bar]]
    for state in range(len(grid)):
        quantity = grid[state]
        if quantity == 0.0:
            if held[state] < 0.0:
                held[state] = -inf
            continue
        step = grid[1] - grid[0]
        least = quantity - step if quantity > 0.0 else quantity + step
        worst = course.low[bar] if quantity > 0.0 else course.high[bar]
        mark = course.mark[bar]
        balance = held[state] + quantity * mark + least * (worst - mark)
        if not balance > find_maintenance(abs(least) * worst, table):
            held[state] = -inf


@kernel
def replay(course: Course, quantities: FloatArray, cash: float) -> FloatArray:
    """Return a policy played once more, shape (n_bars + 1, 5).

    ``quantities``: at the start and after each bar's open, shape (n_bars + 1,). Columns: cash at
    the start and at each close, and what the bar traded at its mark, lost by it (< 0: won, where
    the last price was better than the mark), paid of funding, and whether it traded.
    """
    n_bars = len(course.mark)
    played = np.zeros((n_bars + 1, 5))
    played[0, 0] = cash
    for bar in range(n_bars):
        before, after = quantities[bar], quantities[bar + 1]
        paid = before * course.funding[bar]
        traded = find_trade(course, bar, before, after)
        cash += traded - paid
        worth = (before - after) * course.mark[bar]
        is_trade = before != after or traded != 0.0
        played[bar + 1, 0] = cash
        played[bar + 1, 1] = abs(worth)
        played[bar + 1, 2] = worth - traded
        played[bar + 1, 3] = paid
        played[bar + 1, 4] = 1.0 if is_trade else 0.0
    return played


@kernel
def find_trade(course: Course, bar: int, before: float, after: float) -> float:
    """Return the most cash that a change of quantity brings: traded, left, or left and traded."""
    leaving = course.leave_long[bar] if before > 0.0 else course.leave_short[bar]
    best = to_cash(course, bar, before, after)
    if before != 0.0:
        best = max(best, before * leaving + to_cash(course, bar, 0.0, after))
    if before * after > 0.0 and abs(after) < abs(before):
        best = max(best, (before - after) * leaving)
    return best


@kernel
def to_cash(course: Course, bar: int, before: float, after: float) -> float:
    """Return what trading at the open brings; -inf where nothing is traded."""
    if before == after:
        return 0.0
    if isnan(course.buy[bar]):
        return -inf
    price = course.buy[bar] if after > before else course.sell[bar]
    return float((before - after) * price)
