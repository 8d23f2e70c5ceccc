"""A league in a world where nobody can win: how often does its verdict name a winner all the same?

The price is a martingale: nothing that an agent sees tells where it goes next. The shipped rules
trade in it through the engine, at the recipe's costs, beside agents that toss coins. Whoever is
told apart from the benchmarks there is a false winner; over many such worlds that must happen no
more often than the verdict's own level allows.

Two kinds of world: simulated (volatility comes and goes, jumps, no drift), or *shuffled* from real
candles: blocks of bars in a new order, each bar in its own size, up or down by a fair coin. The
size of a bar, of whatever sign, is taken off so that the mean price stays where it is.
"""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from seawall.agent import Agent
from seawall.analysis.contender import to_contender
from seawall.analysis.contest import is_told_apart
from seawall.analysis.curves import family_of, to_period_returns
from seawall.analysis.seeds import MIN_SEEDS
from seawall.analysis.statistics import CONFIDENCE, N_RESAMPLES
from seawall.analysis.verdicts import Verdicts, judge
from seawall.analysis.workers import watch_parent
from seawall.engine.compiled import random_weights, run_weights
from seawall.engine.components import make_agent
from seawall.engine.run import play_once
from seawall.engine.world import World, build_world
from seawall.errors import RecipeError
from seawall.market.catalog import Catalog
from seawall.market.series import Candles, FloatArray
from seawall.recipe import SIMULATED, Recipe
from seawall.units import to_duration_ms, to_time_ms, to_time_text
from seawall.venues.parameters import SpotParameters

RULES = (
    "sma_cross", "macd", "bollinger", "rsi", "donchian",
    'momentum{lookback="7d",volatility_window="7d"}', "sma_cross{fast=5,slow=40}", "dca",
)  # fmt: skip
RANDOM = "matched_random"
CASH, HELD = "cash", "buy_and_hold"
MEAN_BLOCK = 48
_SYMBOL, _TIMEFRAME, _SINCE = "ETH/USDT", "1h", "2023-01-01"
_COSTS = ("maker_fee_bps", "taker_fee_bps", "half_spread_bps", "impact_bps")
_SWITCHES_PER_BAR = 0.02
_MIN_AGENTS = 2
_WORLD_STREAM, _VERDICT_STREAM, _COIN_STREAM = 1, 2, 3  # of the seed; one does not move the other


@dataclass(frozen=True, kw_only=True)
class NullControl:
    """How often a winner was named where nobody can win.

    Attributes:
        n_leagues, n_agents, n_bars: of the control.
        with_winner: seeds of the leagues that named one.
        with_one_above_cash: seeds of those in which some agent was told apart above cash, the best
            that can be had there. To win it must be above buy-and-hold, too, so there are fewer.
        nominal: how often either is allowed to happen, ``1 - confidence``.
    """

    n_leagues: int
    n_agents: int
    n_bars: int
    with_winner: tuple[int, ...]
    with_one_above_cash: tuple[int, ...]
    nominal: float

    @property
    def rate(self) -> float:
        """Share of the leagues with at least one false winner: the family-wise error."""
        return len(self.with_winner) / self.n_leagues

    @property
    def rate_above_cash(self) -> float:
        """Share of the leagues in which some agent was told apart above cash."""
        return len(self.with_one_above_cash) / self.n_leagues

    def __str__(self) -> str:
        return (
            f"{len(self.with_winner)} of {self.n_leagues} null leagues ({self.n_agents} agents, "
            f"{self.n_bars:,} bars) named a winner, {len(self.with_one_above_cash)} told an agent "
            f"apart above cash: {100 * self.rate:.1f} % and {100 * self.rate_above_cash:.1f} % at "
            f"{100 * self.nominal:.0f} % nominal"
        )


def run_null_control(
    n_leagues: int = 200,
    *,
    n_agents: int = 6,
    n_bars: int = 2_000,
    seed: int = 0,
    source: Candles | None = None,
    is_free: bool = False,
    n_processes: int = 1,
    confidence: float = CONFIDENCE,
) -> NullControl:
    """Return how often a winner is named over ``n_leagues`` null leagues, seeded one by one.

    Args:
        n_leagues: how many worlds, >= 1.
        n_agents: as in ``null_league``.
        n_bars: of each world.
        seed: of the first league; the next has ``seed + 1``.
        source: candles to shuffle; None simulates.
        is_free: trading costs nothing, which brings agents as near to a win as they can be here.
        n_processes: that share the leagues; the result does not depend on it. They are spawned, so
            a script that asks for more than one keeps its own code behind ``__main__``.
        confidence: of the verdicts.

    Raises:
        RecipeError: a number is out of its range.
    """
    if n_leagues < 1 or n_processes < 1:
        raise RecipeError(
            f"n_leagues and n_processes must be >= 1, are {n_leagues} and {n_processes}: "
            "take 200 and 2"
        )
    judge_one = partial(
        _find_false, n_agents, n_bars, source=source, is_free=is_free, confidence=confidence
    )
    seeds = range(seed, seed + n_leagues)
    if n_processes == 1:
        found = [judge_one(one) for one in seeds]
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(n_processes, mp_context=context, initializer=watch_parent) as pool:
            found = list(pool.map(judge_one, seeds))
    pairs = list(zip(seeds, found, strict=True))
    return NullControl(
        n_leagues=n_leagues,
        n_agents=n_agents,
        n_bars=n_bars,
        with_winner=tuple(one for one, (has_winner, _) in pairs if has_winner),
        with_one_above_cash=tuple(one for one, (_, has_one_above) in pairs if has_one_above),
        nominal=1.0 - confidence,
    )


def null_league(
    n_agents: int = 6,
    n_bars: int = 2_000,
    seed: int = 0,
    *,
    source: Candles | None = None,
    is_free: bool = False,
    confidence: float = CONFIDENCE,
    n_resamples: int = N_RESAMPLES,
) -> Verdicts:
    """Return the league's verdicts on agents in one world where nobody can win.

    Args:
        n_agents: at least 2: shipped rules with their own settings, then coin tossers of several
            seeds; one of them is always among them.
        n_bars: hourly bars of a simulated world, or bars of a shuffled one.
        seed: of the world, the coins and the verdicts.
        source: candles to shuffle; None simulates.
        is_free: trading costs nothing.
        confidence: of the verdicts.
        n_resamples: of the verdicts.

    Raises:
        RecipeError: a number is out of its range.
    """
    if n_agents < _MIN_AGENTS or seed < 0:
        raise RecipeError(
            f"n_agents must be >= {_MIN_AGENTS} and seed >= 0, are {n_agents} and {seed}: "
            "take 6 and 0"
        )
    recipe, world = null_world(n_bars, seed, source=source, is_free=is_free)
    rules = RULES[: n_agents - 1]
    returns = {to_contender(name).name: _play_named(name, recipe, world) for name in rules}
    n_random = n_agents - len(rules)
    for number in range(n_random):
        long_share = (number + 1) / (n_random + 1)
        name = f"{RANDOM}{{long_share={long_share:.3g}}}"
        returns[name] = _toss(recipe, world, seed=[seed, _COIN_STREAM, number], share=long_share)
    held = _play_named(HELD, recipe, world)
    families = [family_of(name) for name in returns]
    return judge(
        returns,
        {CASH: np.zeros_like(held), HELD: held},
        {family: families.count(family) for family in families},
        np.random.default_rng([seed, _VERDICT_STREAM]),
        random=[name for name in returns if family_of(name) == RANDOM],
        confidence=confidence,
        n_resamples=n_resamples,
    )


def null_world(
    n_bars: int, seed: int, *, source: Candles | None = None, is_free: bool = False
) -> tuple[Recipe, World]:
    """Return a world where nobody can win, and the recipe of a run in it.

    Args:
        n_bars: how many bars, >= 1.
        seed: of the world, >= 0.
        source: candles to shuffle; None simulates.
        is_free: trading costs nothing; else it costs what it costs by default.

    Raises:
        RecipeError, DataError: there can be no such world.
    """
    timeframe = _TIMEFRAME if source is None else source.key.timeframe
    until_ms = to_time_ms(_SINCE) + n_bars * to_duration_ms(timeframe)
    recipe = Recipe.from_dict(
        {
            "name": "null",
            "seed": seed,
            "market": {
                "venue": SIMULATED, "symbols": [_SYMBOL], "timeframe": timeframe,
                "since": _SINCE, "until": to_time_text(until_ms),
            },
            "agent": {"name": "agents.cash"},
            "costs": dict.fromkeys(_COSTS, 0.0) if is_free else {},
        }
    )  # fmt: skip
    world = build_world(recipe, Catalog(), offline=True)
    if source is None:
        return recipe, world
    blank = world.candles[_SYMBOL]
    shuffled = shuffle_candles(source, n_bars, np.random.default_rng([seed, _WORLD_STREAM]))
    fields = {name: getattr(shuffled, name) for name in ("open", "high", "low", "close", "volume")}
    return recipe, replace(world, candles={_SYMBOL: replace(blank, **fields)})


def shuffle_candles(
    candles: Candles, n_bars: int, rng: np.random.Generator, *, mean_block: float = MEAN_BLOCK
) -> Candles:
    """Return candles as large as those given, in which no direction can be foretold.

    Blocks of bars are drawn with replacement, so that calm and wild times last as they did. A coin
    turns each bar up or down, and its log return ``r`` becomes ``+-r - log cosh r``, whose
    exponential has the mean 1. Each bar opens where the last one closed; the first at the first
    open given. Times go on bar by bar from the first one given.

    Args:
        candles: at least one.
        n_bars: how many to make, >= 1.
        rng: the random numbers.
        mean_block: mean length of a block, bars, >= 1.

    Raises:
        RecipeError: a number is out of its range.
    """
    if n_bars < 1 or not mean_block >= 1 or not len(candles):
        raise RecipeError(
            f"n_bars and mean_block must be >= 1 and candles given, are {n_bars}, {mean_block} and "
            f"{len(candles)}"
        )
    rows = _draw_rows(len(candles), n_bars, mean_block, rng)
    is_up = rng.random(n_bars) < 0.5  # noqa: PLR2004 - a fair coin
    body, top, bottom = (
        np.log(getattr(candles, name) / candles.open)[rows] for name in ("close", "high", "low")
    )
    shift = np.log(np.cosh(body))
    close = np.where(is_up, body, -body) - shift
    high = np.maximum(np.where(is_up, top, -bottom), np.maximum(close, 0.0))
    low = np.minimum(np.where(is_up, bottom, -top), np.minimum(close, 0.0))
    start = float(candles.open[0])
    opens = start * np.exp(np.concatenate([[0.0], np.cumsum(close)[:-1]]))
    closes = np.append(opens[1:], opens[-1] * np.exp(close[-1]))
    step = candles.key.timeframe_ms
    return Candles(
        key=candles.key,
        time_ms=candles.time_ms[0] + step * np.arange(n_bars, dtype=np.int64),
        open=opens,
        high=np.maximum(opens * np.exp(high), np.maximum(opens, closes)),
        low=np.minimum(opens * np.exp(low), np.minimum(opens, closes)),
        close=closes,
        volume=candles.volume[rows],
        source=f"shuffled from {candles.source}",
        is_simulated=True,
    )


def play(agent: Agent, recipe: Recipe, world: World) -> FloatArray:
    """Return what an agent makes of a world, through the engine: simple returns per period.

    ``agent``: a fresh one; the recipe's own is not asked.
    """
    curve = play_once(world, recipe, agent).curve
    return to_period_returns(curve.equity, curve.time_ms)


def _play_named(name: str, recipe: Recipe, world: World) -> FloatArray:
    own = to_contender(name).recipe(recipe)
    return play(make_agent(own), own, world)


def _toss(recipe: Recipe, world: World, *, seed: Sequence[int], share: float) -> FloatArray:
    """Return what coin tossers make of a world, one row per seed, through the compiled engine."""
    candles = world.candles[_SYMBOL]
    first = int(np.random.default_rng(seed).integers(2**63))
    paths = random_weights(
        first, len(candles), n_paths=MIN_SEEDS, long_share=share, switch_rate=_SWITCHES_PER_BAR
    )
    parameters = SpotParameters.from_recipe(recipe, _SYMBOL, world.filters[_SYMBOL])
    cash = recipe.account.cash
    found = run_weights(candles, parameters, paths, cash=cash, keeps_equity=True)
    times = np.concatenate([[world.since_ms], candles.close_ms])
    rows = [to_period_returns(np.concatenate([[cash], row]), times) for row in found.equity]
    return np.array(rows)


def _draw_rows(
    n_given: int, n_wanted: int, mean_block: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return rows of a stationary bootstrap, int64, shape (n_wanted,); the end wraps around."""
    begins = rng.random(n_wanted) * mean_block < 1.0
    begins[0] = True
    starts = rng.integers(0, n_given, size=n_wanted)
    places = np.arange(n_wanted)
    last_begin = np.maximum.accumulate(np.where(begins, places, 0))
    return np.asarray((starts[last_begin] + places - last_begin) % n_given, dtype=np.int64)


def _find_false(
    n_agents: int,
    n_bars: int,
    seed: int,
    *,
    source: Candles | None,
    is_free: bool,
    confidence: float,
) -> tuple[bool, bool]:
    """Return whether a null league names a winner, and whether it tells one apart above cash."""
    league = null_league(
        n_agents, n_bars, seed, source=source, is_free=is_free, confidence=confidence
    )
    over_cash = np.array([verdict.leads[CASH].p_value for verdict in league.agents])
    return bool(league.winners), bool(is_told_apart(over_cash, confidence).any())
