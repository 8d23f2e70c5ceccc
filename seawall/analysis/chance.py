"""What luck alone would have done: random agents that trade as much, and hold as long, as an agent.

A random agent goes in and out of each symbol as a two-state Markov chain does. It is matched to an
agent in three numbers: the share of bars in the market, the weight held there, and the turnover. It
runs on the same candles at the same costs, in the compiled engine, whose fills equal the engine's.

Left out: an agent that trades more than a chain with its long share can (one that is always in the
market and rebalances) gets as many switches as are possible: ``Chance.turnover`` says how many that
were. With several symbols each has its own share of the cash. Random agents fill at the next open
and are valued at the close, whatever the recipe says about the clock: they know nothing, so seeing
the open first is no help to them. Where the market has perpetuals nobody is matched: the compiled
engine has no shorts, leverage, funding or liquidation.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from seawall.engine.compiled import WeightPaths, random_weights, run_weights
from seawall.engine.world import World
from seawall.market.series import Candles, FloatArray, TimeArray
from seawall.recipe import Recipe, to_share
from seawall.result import Result
from seawall.units import is_perpetual, split_symbol
from seawall.venues.parameters import SpotParameters

N_RANDOM = 200
QUANTILES = (5, 25, 50, 75, 95)
_N_TIMES = 400  # of the fan
_MAX_CELLS = 8_000_000  # path-bars kept at once: 64 MB
_MIN_SWITCHES = 5
_IN_MARKET = 0.01  # of the equity: less is dust that rounding left


@dataclass(frozen=True, kw_only=True)
class Match:
    """What a random agent has in common with an agent.

    Attributes:
        long_share: share of the bars in the market, 0 to 1.
        switch_rate: entries and exits per bar and symbol.
        weight: share of the equity held when in the market, > 0, at most 1.
        n_switches: entries and exits to be expected over the whole window.
    """

    long_share: float
    switch_rate: float
    weight: float
    n_switches: float

    @property
    def has_luck(self) -> bool:
        """Whether a random agent trades often enough for its luck to be a measure of anything."""
        return self.n_switches >= _MIN_SWITCHES


@dataclass(frozen=True, kw_only=True, eq=False)
class Chance:
    """What the random agents of one agent did.

    Attributes:
        returns: total returns as fractions, float64, shape (n_random,).
        turnover: mean over them, as in ``Metrics``.
        exposure: mean share of the equity in the market.
        has_luck: they trade often enough for a percentile among them to mean something.
        fan: columns ``time`` and ``p5`` to ``p95``: quantiles of their equity, quote units.
    """

    returns: FloatArray
    turnover: float
    exposure: float
    has_luck: bool
    fan: pd.DataFrame


def match(result: Result, world: World) -> Match:
    """Return what random agents need to be like the agent of ``result``, which ran in ``world``."""
    # The first row is the start. Without a warm-up the first decision is at the first close and
    # trades at the next open, so that nobody can be in the market at that close.
    n_before = 1 if any(_has_warmup(world, c) for c in world.candles.values()) else 2
    exposure = np.nan_to_num(result.equity["exposure"].to_numpy(dtype=np.float64)[n_before:])
    n_symbols = len(result.recipe.market.symbols)
    is_in = exposure > _IN_MARKET
    is_spot = not any(is_perpetual(symbol) for symbol in world.candles)
    if not (is_spot and is_in.any() and len(exposure)):
        return Match(long_share=0.0, switch_rate=0.0, weight=1.0, n_switches=0.0)
    if n_symbols == 1:
        long_share = float(is_in.mean())
        weight = min(float(exposure[is_in].mean()), 1.0)
    else:  # each symbol goes in and out by itself; what they hold together is what has to match
        long_share, weight = min(float(exposure.mean()), 1.0), 1.0
    turnover = np.nan_to_num(result.metrics.turnover)
    most = 2 * min(long_share, 1 - long_share)
    wanted = float(turnover) / (weight * len(exposure))
    rate = min(wanted, most)
    return Match(
        long_share=long_share,
        switch_rate=rate,
        weight=weight,
        n_switches=rate * len(exposure) * n_symbols,
    )


def play(
    recipe: Recipe, world: World, matched: Match, *, n_random: int, rng: np.random.Generator
) -> Chance:
    """Return what ``n_random`` random agents make of the world; one ``rng``, one answer."""
    since_ms, until_ms = world.since_ms, int(world.clock_ms[-1])
    times = np.linspace(since_ms, until_ms, _N_TIMES).astype(np.int64)
    equity = np.zeros((n_random, len(times)))
    final, traded, exposure = np.zeros(n_random), np.zeros(n_random), np.zeros(n_random)
    start = 0.0
    for symbol, candles in world.candles.items():
        account = _Account.open(recipe, world, symbol, candles)
        paths = _draw(matched, candles, account.first_bar, n_random=n_random, rng=rng)
        for part in _parts(n_random, len(candles)):
            found = run_weights(
                candles,
                account.parameters,
                _slice(paths, part),
                cash=account.cash,
                held=account.held,
                first_bar=account.first_bar,
                keeps_equity=True,
            )
            equity[part] += _sample(found.equity, candles.close_ms, times, account.start)
            final[part] += found.final_equity
            traded[part] += found.turnover
            exposure[part] += found.exposure / len(world.candles)
        start += account.start
    fan = np.percentile(equity, QUANTILES, axis=0)
    named = {f"p{quantile}": row for quantile, row in zip(QUANTILES, fan, strict=True)}
    return Chance(
        returns=final / start - 1.0,
        turnover=float(np.mean(traded / equity.mean(axis=1))),
        exposure=float(exposure.mean()) * matched.weight,
        has_luck=matched.has_luck,
        fan=pd.DataFrame({"time": pd.to_datetime(times, unit="ms", utc=True), **named}),
    )


@dataclass(frozen=True, kw_only=True)
class _Account:
    """One symbol's share of what is owned at the start."""

    parameters: SpotParameters
    cash: float
    held: float
    start: float  # quote units, all of it
    first_bar: int  # the first at whose close a decision is taken

    @classmethod
    def open(cls, recipe: Recipe, world: World, symbol: str, candles: Candles) -> "_Account":
        parameters = SpotParameters.from_recipe(recipe, symbol, world.filters[symbol])
        first_bar = int(np.searchsorted(candles.time_ms, world.since_ms))
        price = float(candles.open[first_bar])
        first_bar -= _has_warmup(world, candles)  # the last close of the warm-up may be decided on
        wanted = recipe.account.initial_holdings.get(split_symbol(symbol)[0], 0.0)
        cash = recipe.account.cash / len(world.candles)
        held = wanted if isinstance(wanted, float) else 0.0
        if isinstance(wanted, str):
            worth = to_share(wanted, "account.initial_holdings") * recipe.account.cash
            held, cash = worth / price, max(cash - worth, 1e-9)
        return cls(
            parameters=replace(parameters, fills_at_close=False),
            cash=cash,
            held=held,
            start=cash + held * price,
            first_bar=first_bar,
        )


def _has_warmup(world: World, candles: Candles) -> bool:
    return bool(candles.time_ms[0] < world.since_ms)


def _draw(
    matched: Match,
    candles: Candles,
    first_bar: int,
    *,
    n_random: int,
    rng: np.random.Generator,
) -> WeightPaths:
    return random_weights(
        int(rng.integers(2**63)),
        len(candles),
        n_paths=n_random,
        long_share=matched.long_share,
        switch_rate=matched.switch_rate,
        weight=matched.weight,
        first_bar=first_bar,
    )


def _parts(n_random: int, n_bars: int) -> list[slice]:
    """Return slices of paths whose equity fits into memory."""
    size = max(_MAX_CELLS // max(n_bars, 1), 1)
    return [slice(first, min(first + size, n_random)) for first in range(0, n_random, size)]


def _slice(paths: WeightPaths, part: slice) -> WeightPaths:
    starts = paths.starts[part.start : part.stop + 1]
    kept = slice(int(starts[0]), int(starts[-1]))
    return WeightPaths(
        starts=starts - starts[0], bars=paths.bars[kept], weights=paths.weights[kept]
    )


def _sample(equity: FloatArray, close_ms: TimeArray, times: TimeArray, start: float) -> FloatArray:
    """Return equity at the last close up to each time, shape (n_paths, n_times)."""
    rows = np.searchsorted(close_ms, times, "right") - 1
    found = equity[:, np.maximum(rows, 0)]
    return np.where(rows[None, :] >= 0, found, start)
