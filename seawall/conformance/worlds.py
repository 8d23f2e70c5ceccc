"""The small markets that agents are tried in: made up, seeded, of every unpleasant kind.

Whatever a recipe names, the same symbols, signals and timeframe are made here, so that an agent
finds what it asks for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from seawall.market.series import Candles, SeriesKey, Signal
from seawall.market.simulate import simulate
from seawall.market.simulate_perpetual import simulate_perpetual
from seawall.recipe import SIMULATED, Recipe
from seawall.units import DAY_MS, HOUR_MS, is_perpetual, to_duration_ms

VENUE = "tripwire"
FUNDING_MS = 8 * HOUR_MS
SIGNAL = "tripwire/made_up/1h"
_START_PRICES = {"BTC": 30_000.0, "ETH": 2_000.0}
_LONGEST_WORLD = 3_000  # bars: enough for any shipped agent, quick enough to run a dozen of them

_DEFAULT = """
[market]
venue = "tripwire"
symbols = ["BTC/USDT"]
timeframe = "15m"
since = "2023-02-05"
until = "2023-02-19"
warmup = "30d"
signals = ["tripwire/made_up/1h"]
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class TestWorld:
    """Candles by symbol and signals by name, as an agent may meet them.

    Attributes:
        since_ms: when the agent is asked first; what opens earlier is warm-up.
    """

    __test__ = False  # its name begins as pytest's tests do

    name: str
    candles: Mapping[str, Candles]
    signals: Mapping[str, Signal]
    since_ms: int


def default_recipe() -> Recipe:
    """Return the recipe that agents are checked with unless another is given."""
    return Recipe.from_toml(_DEFAULT, name="conformance")


def make_candles(recipe: Recipe, symbol: str) -> Candles:
    """Return simulated candles of the recipe's window, warm-up included, under its own venue."""
    market = recipe.market
    start_ms = market.since_ms - market.warmup_ms
    spot, base = symbol.partition(":")[0], symbol.partition("/")[0]
    usual = market.start_prices.get(spot, _START_PRICES.get(base, 100.0))
    n_bars = max(1, (market.until_ms - start_ms) // market.timeframe_ms)
    start_price = market.start_prices.get(symbol, usual)
    key = SeriesKey("candles", SIMULATED, symbol, market.timeframe)
    if is_perpetual(symbol):  # it follows its spot market
        made = simulate_perpetual(
            key, seed=recipe.seed, n_bars=n_bars, since_ms=start_ms, start_price=start_price,
            interval_ms=FUNDING_MS,
        ).candles  # fmt: skip
    else:
        made = simulate(
            key, seed=recipe.seed, n_bars=n_bars, since_ms=start_ms, start_price=start_price
        )
    return replace(made, key=SeriesKey("candles", market.venue, symbol, market.timeframe))


def make_signal(recipe: Recipe, name: str) -> Signal:
    """Return a made-up signal: a random walk, each value known when its period has ended."""
    venue, _, rest = name.partition("/")
    symbol, _, timeframe = rest.rpartition("/")
    period_ms = to_duration_ms(timeframe)
    start_ms = recipe.market.since_ms - recipe.market.warmup_ms
    time_ms = np.arange(start_ms, recipe.market.until_ms, period_ms, dtype=np.int64)
    rng = np.random.default_rng(recipe.seed)
    return Signal(
        key=SeriesKey("signal", venue, symbol, timeframe),
        time_ms=time_ms,
        known_ms=time_ms + period_ms,
        value=50.0 + np.cumsum(rng.normal(size=len(time_ms))),
        source="made up for the conformance suite",
        is_simulated=True,
    )


def make_worlds(recipe: Recipe) -> list[TestWorld]:
    """Return an ordinary world and the unpleasant ones, made for a recipe's market."""
    short = shorten(recipe)
    market = short.market
    candles = {symbol: make_candles(short, symbol) for symbol in market.symbols}
    signals = {name: make_signal(short, name) for name in market.signals}
    start_ms, since_ms = market.since_ms - market.warmup_ms, market.since_ms
    middle_ms = (since_ms + market.until_ms) // 2
    late = {**candles, market.symbols[-1]: candles[market.symbols[-1]].between(middle_ms, None)}
    gap = {s: _without(c, middle_ms, middle_ms + DAY_MS) for s, c in candles.items()}
    silent = {name: signal.between(middle_ms, None) for name, signal in signals.items()}
    still = {symbol: _flat(series) for symbol, series in candles.items()}

    def world(
        name: str,
        series: Mapping[str, Candles],
        known: Mapping[str, Signal] = signals,
        since_ms: int = since_ms,
    ) -> TestWorld:
        return TestWorld(name=name, candles=series, signals=known, since_ms=since_ms)

    return [
        world("an ordinary market", candles),
        world("no history at the start", candles, since_ms=start_ms),
        world("a symbol that is listed later", late),
        world("a day without bars", gap),
        world("a signal that is not known yet", candles, silent),
        world("a market that stands still", still),
    ]


def shorten(recipe: Recipe) -> Recipe:
    """Return the recipe with a window short enough to be tried many times."""
    market = recipe.market
    warmup_ms = min(market.warmup_ms, _LONGEST_WORLD // 2 * market.timeframe_ms)
    window_ms = min(market.until_ms - market.since_ms, _LONGEST_WORLD // 2 * market.timeframe_ms)
    seconds = warmup_ms // 1000
    return recipe.model_copy(
        update={
            "market": market.model_copy(
                update={
                    "until": to_iso(market.since_ms + window_ms),
                    "warmup": f"{seconds}s" if seconds else "0d",
                }
            )
        }
    )


def to_iso(time_ms: int) -> str:
    """Return a time as a recipe writes it."""
    return f"{np.datetime64(time_ms, 'ms')}"


def _without(candles: Candles, since_ms: int, until_ms: int) -> Candles:
    keep = (candles.time_ms < since_ms) | (candles.time_ms >= until_ms)
    names = ("time_ms", "open", "high", "low", "close", "volume")
    return replace(candles, **{name: getattr(candles, name)[keep] for name in names})


def _flat(candles: Candles) -> Candles:
    price = np.full(len(candles), candles.open[0])
    nothing = np.zeros(len(candles))
    return replace(candles, open=price, high=price, low=price, close=price, volume=nothing)
