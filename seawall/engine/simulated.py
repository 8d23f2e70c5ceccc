"""The simulated markets that a recipe describes: spot, and perpetuals that follow it."""

from typing import NamedTuple

from seawall.errors import DataError, RecipeError
from seawall.market.series import Candles, SeriesKey
from seawall.market.simulate import simulate
from seawall.market.simulate_perpetual import SimulatedPerpetual, simulate_perpetual
from seawall.market.simulation_parameters import Crash
from seawall.recipe import SIMULATED, MarketSection, Recipe
from seawall.units import is_perpetual, to_duration_ms, to_time_ms

MAX_SIMULATED_BARS = 20_000_000  # per series: 38 years of minutes, 1 GB
_START_PRICES = {"BTC": 60_000.0, "ETH": 3_000.0, "SOL": 150.0}


class _Path(NamedTuple):
    """What a simulated path is made from."""

    n_bars: int
    since_ms: int
    start_price: float
    crash: Crash | None


def simulate_symbol(recipe: Recipe, symbol: str) -> Candles:
    """Return the candles of one symbol of a simulated market, warm-up included.

    Raises:
        RecipeError, DataError: the recipe asks for what cannot be simulated.
    """
    if is_perpetual(symbol):
        interval_ms = to_duration_ms("8h")  # candles do not depend on it
        return simulate_contract(recipe, symbol, interval_ms).candles
    n_bars, since_ms, start_price, crash = _find_path(recipe.market, symbol)
    return simulate(
        SeriesKey("candles", SIMULATED, symbol, recipe.market.timeframe),
        seed=recipe.seed, n_bars=n_bars, since_ms=since_ms, start_price=start_price, crash=crash,
    )  # fmt: skip


def simulate_contract(recipe: Recipe, symbol: str, interval_ms: int) -> SimulatedPerpetual:
    """Return candles, mark and funding of one perpetual of a simulated market.

    Args:
        recipe: its market is simulated.
        symbol: a perpetual of the market.
        interval_ms: between two funding settlements.
    """
    n_bars, since_ms, start_price, crash = _find_path(recipe.market, symbol)
    return simulate_perpetual(
        SeriesKey("candles", SIMULATED, symbol, recipe.market.timeframe),
        seed=recipe.seed, n_bars=n_bars, since_ms=since_ms, start_price=start_price, crash=crash,
        interval_ms=interval_ms,
    )  # fmt: skip


def check_start_prices(market: MarketSection) -> None:
    """Raise RecipeError where start prices do not fit the market."""
    if market.start_prices and market.venue != SIMULATED:
        raise RecipeError(
            f"market.start_prices belong to venue = {SIMULATED!r}, venue is {market.venue!r}: "
            "remove them"
        )
    for symbol, price in market.start_prices.items():
        if symbol not in market.symbols:
            raise RecipeError(
                f"market.start_prices names {symbol!r}: the market has {list(market.symbols)}"
            )
        spot = _spot_of(symbol)
        if spot != symbol and spot in market.symbols and price != _find_start(market, spot):
            raise RecipeError(
                f"a simulated perpetual follows its spot market, {symbol} starts at {price:g} and "
                f"{spot} at {_find_start(market, spot):g}: give the price of {spot} only"
            )


def _find_path(market: MarketSection, symbol: str) -> _Path:
    start_ms = market.since_ms - market.warmup_ms
    n_bars = (market.until_ms - start_ms) // market.timeframe_ms
    if n_bars < 1:
        raise DataError(f"a window holds at least one bar of {market.timeframe}: move market.until")
    if n_bars > MAX_SIMULATED_BARS:
        raise RecipeError(
            f"a simulated market has at most {MAX_SIMULATED_BARS:,} bars, this window has "
            f"{n_bars:,}: shorten it or take a coarser market.timeframe"
        )
    return _Path(n_bars, start_ms, _find_start(market, symbol), _to_crash(market, start_ms))


def _find_start(market: MarketSection, symbol: str) -> float:
    """Return the first price: a perpetual without one has that of its spot market."""
    spot = _spot_of(symbol)
    if spot in market.start_prices:
        return market.start_prices[spot]
    return market.start_prices.get(symbol, _START_PRICES.get(spot.partition("/")[0], 100.0))


def _spot_of(symbol: str) -> str:
    return symbol.partition(":")[0]


def _to_crash(market: MarketSection, start_ms: int) -> Crash | None:
    if market.crash is None:
        return None
    bar_ms = market.timeframe_ms
    at_ms = to_time_ms(market.crash.at)
    if not market.since_ms <= at_ms < market.until_ms:
        raise RecipeError(f"market.crash.at must lie in the window, is {market.crash.at}")
    return Crash(
        start_bar=(at_ms - start_ms) // bar_ms,
        depth=market.crash.depth,
        duration_bars=max(1, to_duration_ms(market.crash.duration) // bar_ms),
        recovery=market.crash.recovery,
    )
