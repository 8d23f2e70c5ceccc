"""From fills to the account at every step, in numpy; equal to what the broker said bar by bar."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seawall.engine.world import World
from seawall.fill import Fill
from seawall.market.series import Candles, FloatArray, TimeArray


@dataclass(frozen=True, kw_only=True, eq=False)
class AccountCurve:
    """The account over time; the first sample is the start, before anything is traded.

    Attributes:
        time_ms: int64, shape (n_samples,): the first tradable bar's open, then each step's clock
            (or each later open).
        equity, cash: float64, shape (n_samples,), quote units.
        exposure: float64, shape (n_samples,), gross value of the holdings over equity; nan where
            the equity is not > 0.
        prices: by symbol, float64, shape (n_samples,); nan before the symbol is listed.
    """

    time_ms: TimeArray
    equity: FloatArray
    cash: FloatArray
    exposure: FloatArray
    prices: Mapping[str, FloatArray]


def trace_account(
    world: World,
    fills: Sequence[Fill],
    *,
    cash: float,
    held: Mapping[str, float],
    at_open: bool,
) -> AccountCurve:
    """Return the account of a finished run.

    Args:
        world: what it ran in.
        fills: all of them, in order.
        cash: quote units at the start.
        held: base units at the start, by symbol.
        at_open: value the account at each bar's open, after what filled there, rather than at its
            close: for an agent that decides at the open. The run then ends at the last open.
    """
    first = int(np.searchsorted(world.clock_ms, world.since_ms, "right"))
    clock_ms = world.clock_ms[first:]
    bar_ms = next(iter(world.candles.values())).key.timeframe_ms
    times = clock_ms - bar_ms if at_open else clock_ms
    filled_ms = np.array([f.time_ms if at_open else f.bar_ms + bar_ms for f in fills], np.int64)
    if (
        at_open and len(filled_ms) and filled_ms.max() > times[-1]
    ):  # inside the last bar: its close is needed
        times = np.append(times, clock_ms[-1])
    # A paper session may fill after its last bar: that counts at the last sample.
    filled_at = np.minimum(np.searchsorted(times, filled_ms, "left"), len(times) - 1)
    flows = np.array([-f.quantity * f.price - f.fee for f in fills], dtype=np.float64)
    cash_curve = cash + _accumulate(filled_at, flows, len(times))
    value, gross = np.zeros(len(times) + 1), np.zeros(len(times) + 1)
    prices = {}
    for symbol, candles in world.candles.items():
        start_ms = int(clock_ms[0] - bar_ms)
        prices[symbol] = price = _marks(candles, times, start_ms=start_ms, at_open=at_open)
        moves = np.array([f.quantity if f.symbol == symbol else 0.0 for f in fills])
        quantity = held.get(symbol, 0.0) + _accumulate(filled_at, moves, len(times))
        worth = np.where(quantity == 0.0, 0.0, quantity * np.nan_to_num(price))
        value += worth
        gross += np.abs(worth)
    equity = cash_curve + value
    with np.errstate(invalid="ignore", divide="ignore"):
        exposure = np.where(equity > 0, gross / equity, np.nan)
    curve = AccountCurve(
        time_ms=np.concatenate([[clock_ms[0] - bar_ms], times]),
        equity=equity,
        cash=cash_curve,
        exposure=exposure,
        prices=prices,
    )
    return _without_first_trades(curve) if at_open else curve


def _without_first_trades(curve: AccountCurve) -> AccountCurve:
    """At the open the start and the first sample are one moment: keep it as before its trades."""

    def cut(values: FloatArray) -> FloatArray:
        return np.delete(values, 1)

    return AccountCurve(
        time_ms=np.delete(curve.time_ms, 1),
        equity=cut(curve.equity),
        cash=cut(curve.cash),
        exposure=cut(curve.exposure),
        prices={symbol: cut(price) for symbol, price in curve.prices.items()},
    )


def _accumulate(steps: TimeArray, amounts: FloatArray, n_steps: int) -> FloatArray:
    """Return the running sum at each sample; sample 0 is the start and has nothing of it."""
    total = np.zeros(n_steps + 1)
    np.add.at(total, steps + 1, amounts)
    return np.cumsum(total)


def _marks(candles: Candles, times: TimeArray, *, start_ms: int, at_open: bool) -> FloatArray:
    """Return the last known price at the start and at each sample, an open as it trades."""
    closed = np.searchsorted(candles.close_ms, times, "right")
    known = np.where(closed > 0, candles.close[np.maximum(closed - 1, 0)], np.nan)
    opened = np.searchsorted(candles.time_ms, times, "right")
    if at_open:  # where a bar opens at this very moment its open is newer than any close
        place = np.maximum(opened - 1, 0)
        opens_now = (opened > 0) & (candles.time_ms[place] == times)
        known = np.where(opens_now, candles.open[place], known)
    start = int(np.searchsorted(candles.time_ms, start_ms))
    is_listed = start < len(candles) and candles.time_ms[start] == start_ms
    before = int(np.searchsorted(candles.close_ms, start_ms, "right"))
    earlier = float(candles.close[before - 1]) if before else np.nan
    return np.concatenate([[candles.open[start] if is_listed else earlier], known])
