"""The compiled twin: many target-weight paths over one symbol, with the venue's own kernels.

One bar, in the engine's order: the pending order trades at the open, the account is marked at the
close, then a weight that is due at this bar becomes an order, which replaces what was pending.
Fills and equity equal those of the backtrader engine (a test holds them to it). Used for matched
random agents and for sweeps.

Left out: everything but market orders, several symbols, and ``fill = "close"``.
"""

from dataclasses import dataclass
from math import isfinite, nan
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seawall.errors import RecipeError
from seawall.kernel import kernel
from seawall.market.series import Candles, FloatArray
from seawall.venues.parameters import SpotParameters
from seawall.venues.spot import (
    Offer,
    Rules,
    Wallet,
    attempt,
    compute_capacity,
    find_quantity_for_weight,
    is_below_minimum,
    settle,
)

IntArray = NDArray[np.int64]
SizedAt = Literal["fill", "decision"]


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightPaths:
    """Target weights of many paths, kept only where they change hands.

    Attributes:
        starts: int64, shape (n_paths + 1,): path p owns ``bars[starts[p]:starts[p + 1]]``.
        bars: int64, the bar at whose close a weight is decided, increasing within a path.
        weights: float64 of the same shape, share of the equity to hold, >= 0.
    """

    starts: IntArray
    bars: IntArray
    weights: FloatArray

    def __post_init__(self) -> None:
        if not (np.isfinite(self.weights).all() and (self.weights >= 0).all()):
            raise RecipeError("weights must be finite and >= 0: spot does not short")

    @property
    def n_paths(self) -> int:
        """How many paths there are."""
        return len(self.starts) - 1

    @classmethod
    def from_dense(cls, weights: FloatArray) -> "WeightPaths":
        """Return the paths of an array of shape (n_paths, n_bars); nan is no order at that bar."""
        path, bars = np.nonzero(~np.isnan(weights))
        starts = np.searchsorted(path, np.arange(len(weights) + 1))
        return cls(
            starts=starts.astype(np.int64), bars=bars.astype(np.int64), weights=weights[path, bars]
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class PathResults:
    """What became of each path: float64 arrays of shape (n_paths,), quote units unless said.

    Attributes:
        final_equity: at the last close.
        max_drawdown: largest fall from a peak, as a fraction, from the first bar on.
        mean_return, std_return: of the simple returns per bar (std with ddof 1).
        n_fills: int64; turnover: sum of notional; fees, slippage: paid.
        exposure: mean share of bars with coin at the close.
        equity: shape (n_paths, n_bars), at each close; empty unless asked for.
        fill_quantities, fill_prices: shape (n_paths, n_bars), signed base units and quote per base
            of what filled in each bar (0.0 and nan: nothing); empty unless asked for.
    """

    final_equity: FloatArray
    max_drawdown: FloatArray
    mean_return: FloatArray
    std_return: FloatArray
    n_fills: IntArray
    turnover: FloatArray
    fees: FloatArray
    slippage: FloatArray
    exposure: FloatArray
    equity: FloatArray
    fill_quantities: FloatArray
    fill_prices: FloatArray


class _Bars(NamedTuple):
    open_ms: IntArray
    close_ms: IntArray
    open: FloatArray
    close: FloatArray
    volume: FloatArray


class _Settings(NamedTuple):
    cash: float
    held: float
    cap: float
    latency_ms: int
    is_sized_at_fill: bool
    first_bar: int
    rules: Rules


class _Record(NamedTuple):
    """Rows to write to, shape (n_bars,), or (0,) where nobody asked."""

    equity: FloatArray
    quantity: FloatArray
    price: FloatArray


class _Path(NamedTuple):
    final_equity: float
    max_drawdown: float
    mean_return: float
    std_return: float
    n_fills: int
    turnover: float
    fees: float
    slippage: float
    exposure: float


def run_weights(
    candles: Candles,
    parameters: SpotParameters,
    paths: WeightPaths,
    *,
    cash: float,
    held: float = 0.0,
    sized_at: SizedAt = "fill",
    first_bar: int = 0,
    keeps_equity: bool = False,
    keeps_fills: bool = False,
) -> PathResults:
    """Return what becomes of each path of target weights on one symbol.

    A weight decided at the close of bar t trades at the open of t + 1 (later with latency); its
    size is fixed at that open, or at the close of t. What a bar's volume does not take rests.

    Args:
        candles: the market.
        parameters: the venue, as the engine gets it.
        paths: what is decided, and when.
        cash: quote units at the start.
        held: base units at the start.
        sized_at: when the quantity is fixed.
        first_bar: statistics start at this bar's close.
        keeps_equity: also return the equity at each bar.
        keeps_fills: also return what filled in each bar.

    Raises:
        RecipeError: the venue fills at the close, which this engine does not know.
    """
    if parameters.fills_at_close:
        raise RecipeError(
            'the compiled engine knows fill = "next_open" alone, the venue fills at the close: '
            "use the backtrader engine"
        )
    if not (isfinite(cash) and cash > 0):
        raise RecipeError(f"cash must be a finite number > 0, is {cash}")
    bars = _Bars(candles.time_ms, candles.close_ms, candles.open, candles.close, candles.volume)
    settings = _Settings(
        float(cash), float(held), float(parameters.participation_cap), parameters.latency_ms,
        sized_at == "fill", first_bar, parameters.rules,
    )  # fmt: skip
    n_bars = len(candles)
    equity = np.empty((paths.n_paths, n_bars if keeps_equity else 0))
    shape = (paths.n_paths, n_bars if keeps_fills else 0)
    quantities, prices = np.zeros(shape), np.full(shape, nan)
    found: list[_Path] = []
    for path in range(paths.n_paths):
        part = slice(paths.starts[path], paths.starts[path + 1])
        record = _Record(equity[path], quantities[path], prices[path])
        found.append(_run_path(bars, paths.bars[part], paths.weights[part], settings, record))
    columns = dict(zip(_Path._fields, np.array(found, dtype=np.float64).T, strict=True))
    n_fills = columns.pop("n_fills").astype(np.int64)
    return PathResults(
        **columns, n_fills=n_fills, equity=equity, fill_quantities=quantities, fill_prices=prices
    )


def random_weights(
    seed: int,
    n_bars: int,
    *,
    n_paths: int = 1,
    long_share: float,
    switch_rate: float,
    weight: float = 1.0,
    first_bar: int = 0,
) -> WeightPaths:
    """Return paths that switch between 0 and ``weight`` at random: a two-state Markov chain.

    Holding times are geometric, such that the chain is long in ``long_share`` of all bars and
    switches ``switch_rate`` times per bar, in the mean. Path p depends on the seed and p alone.

    Raises:
        RecipeError: no such chain exists: a share outside 0..1, or more switches than
            ``2 * min(long_share, 1 - long_share)`` per bar.
    """
    most = 2 * min(long_share, 1 - long_share)
    if not 0 <= long_share <= 1 or not 0 <= switch_rate <= most + 1e-12:
        raise RecipeError(
            f"switch_rate must be within 0 and 2 * min(long_share, 1 - long_share), is "
            f"{switch_rate} at a long share of {long_share}: use at most {most}"
        )
    n = n_bars - first_bar
    all_bars, all_weights, starts = [], [], [0]
    for path in range(n_paths):
        rng = np.random.default_rng([seed, path])
        bars, is_long = _draw_chain(rng, n, long_share, switch_rate)
        all_bars.append(bars + first_bar)
        all_weights.append(np.where(is_long, weight, 0.0))
        starts.append(starts[-1] + len(bars))
    return WeightPaths(
        starts=np.array(starts, dtype=np.int64),
        bars=np.concatenate(all_bars),
        weights=np.concatenate(all_weights),
    )


def measure_rates(is_long: NDArray[np.bool_]) -> tuple[float, float]:
    """Return ``(long_share, switch_rate)`` of a path: what ``random_weights`` needs to match it."""
    n_switches = int(np.count_nonzero(np.diff(is_long.astype(np.int8))))
    long_share = float(np.mean(is_long))
    most = 2 * min(long_share, 1 - long_share)
    return long_share, min(n_switches / max(len(is_long) - 1, 1), most)


def _draw_chain(
    rng: np.random.Generator, n_bars: int, long_share: float, switch_rate: float
) -> tuple[IntArray, NDArray[np.bool_]]:
    """Return the bars at which a state begins, the first among them, and whether it is long."""
    starts_long = bool(rng.random() < long_share)
    if switch_rate == 0:
        return np.zeros(1, dtype=np.int64), np.array([starts_long])
    end_long, end_flat = switch_rate / (2 * long_share), switch_rate / (2 * (1 - long_share))
    bars, last = [np.zeros(1, dtype=np.int64)], 0
    while last < n_bars:
        n_draws = int(n_bars * switch_rate / 2) + 16
        times = np.empty(2 * n_draws, dtype=np.int64)
        first, second = (end_long, end_flat) if starts_long else (end_flat, end_long)
        times[0::2] = rng.geometric(min(first, 1.0), n_draws)
        times[1::2] = rng.geometric(min(second, 1.0), n_draws)
        bars.append(last + np.cumsum(times))
        last = int(bars[-1][-1])
    joined = np.concatenate(bars)
    joined = joined[joined < n_bars]
    return joined, (np.arange(len(joined)) % 2 == 0) == starts_long


class _Pending(NamedTuple):
    """The order in waiting: a weight until it is sized, then a side and a quantity; 0.0 is none."""

    weight: float
    side: float
    left: float
    is_unsized: bool
    is_unchecked: bool
    is_first: bool
    live_ms: int


class _Account(NamedTuple):
    """What is owned, and what trading has come to."""

    cash: float
    held: float
    n_fills: int
    turnover: float
    fees: float
    slippage: float


class _Curve(NamedTuple):
    """Running statistics of the equity (Welford)."""

    peak: float
    drawdown: float
    n_returns: int
    mean: float
    square: float
    n_exposed: int


@kernel
def _send(
    weight: float, now: tuple[float, float, float], live_ms: int, settings: _Settings
) -> _Pending:
    """Return the order of a weight decided now; ``now`` is (equity, close, held)."""
    if settings.is_sized_at_fill:
        return _Pending(weight, 1.0, 0.0, True, True, True, live_ms)
    equity, close, held = now
    wanted = find_quantity_for_weight(weight, equity, close, held)
    side = 1.0 if wanted > 0.0 else -1.0
    return _Pending(weight, side, side * wanted, False, True, True, live_ms)


@kernel
def _check_size(
    order: _Pending, account: _Account, bar: tuple[float, float], rules: Rules
) -> _Pending:
    """Return the order with its size fixed and checked once; ``bar`` is (open, volume)."""
    open_, volume = bar
    side, left, is_unchecked = order.side, order.left, order.is_unchecked
    if order.is_unsized:
        if volume == 0.0:
            return order
        equity = account.cash + account.held * open_
        wanted = find_quantity_for_weight(order.weight, equity, open_, account.held)
        side = 1.0 if wanted > 0.0 else -1.0
        left = side * wanted
    if is_unchecked and is_below_minimum(left, open_, rules.lot_size, rules.min_notional):
        left = 0.0
    return _Pending(order.weight, side, left, False, False, order.is_first, order.live_ms)


@kernel
def _trade(
    order: _Pending, account: _Account, offer: Offer, rules: Rules
) -> tuple[_Pending, _Account, float, float]:
    """Return the order and the account after one open, and quantity and price of what filled."""
    a, side = account, order.side
    execution, _, is_over = attempt(
        (side, order.left, order.is_first), offer, Wallet(a.cash, a.held), rules
    )
    quantity, price = execution.quantity, execution.price
    left = 0.0 if is_over else order.left - quantity
    is_first = order.is_first and not quantity > 0.0
    rest = _Pending(order.weight, side, left, False, False, is_first, order.live_ms)
    if not quantity > 0.0:
        return rest, account, 0.0, nan
    notional = quantity * price
    after = _Account(
        settle(side, a.cash, notional, execution.fee), max(a.held + side * quantity, 0.0),
        a.n_fills + 1, a.turnover + notional, a.fees + execution.fee,
        a.slippage + execution.slippage,
    )  # fmt: skip
    return rest, after, side * quantity, price


@kernel
def _mark(curve: _Curve, before: float, equity: float, is_exposed: bool) -> _Curve:  # noqa: FBT001
    """Return the statistics with one more close; ``before`` is nan at the first."""
    peak = max(curve.peak, equity)
    drawdown = max(curve.drawdown, 1.0 - equity / peak)
    n_exposed = curve.n_exposed + is_exposed
    if np.isnan(before):
        return _Curve(peak, drawdown, 0, 0.0, 0.0, n_exposed)
    change = equity / before - 1.0
    n_returns = curve.n_returns + 1
    mean = curve.mean + (change - curve.mean) / n_returns
    square = curve.square + (change - curve.mean) * (change - mean)
    return _Curve(peak, drawdown, n_returns, mean, square, n_exposed)


@kernel
def _run_path(
    bars: _Bars, switch_bars: IntArray, weights: FloatArray, settings: _Settings, record: _Record
) -> _Path:
    """Run one path; see ``run_weights``."""
    account = _Account(settings.cash, settings.held, 0, 0.0, 0.0, 0.0)
    order = _Pending(nan, 1.0, 0.0, False, False, True, 0)
    curve = _Curve(0.0, 0.0, 0, 0.0, 0.0, 0)
    place, equity, before = 0, nan, nan
    for t in range(len(bars.open)):
        open_, volume = bars.open[t], bars.volume[t]
        if (order.is_unsized or order.left > 0.0) and bars.open_ms[t] >= order.live_ms:
            order = _check_size(order, account, (open_, volume), settings.rules)
            if order.left > 0.0 and volume != 0.0:
                capacity = compute_capacity(volume, settings.cap)
                limit = np.inf if order.side > 0.0 else 0.0
                offer = Offer(open_, limit, volume, capacity, True)
                order, account, quantity, price = _trade(order, account, offer, settings.rules)
                if len(record.quantity):
                    record.quantity[t], record.price[t] = quantity, price
        equity = account.cash + account.held * bars.close[t]
        if len(record.equity):
            record.equity[t] = equity
        if t >= settings.first_bar:
            curve = _mark(curve, before, equity, account.held > 0.0)
            before = equity
        if place < len(switch_bars) and switch_bars[place] == t:
            live_ms = bars.close_ms[t] + settings.latency_ms
            now = (equity, bars.close[t], account.held)
            order = _send(weights[place], now, live_ms, settings)
            place += 1
    std = np.sqrt(curve.square / (curve.n_returns - 1)) if curve.n_returns > 1 else nan
    exposure = curve.n_exposed / max(len(bars.open) - settings.first_bar, 1)
    return _Path(
        equity, curve.drawdown, curve.mean, std, account.n_fills,
        account.turnover, account.fees, account.slippage, exposure,
    )  # fmt: skip
