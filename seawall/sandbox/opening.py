"""From a description to an exchange: which markets, from when, how fast.

At the wall's speed, history is moved by whole days so that it goes on now: unmodified clients sign
with the wall's clock and see candles of today. At any other speed the exchange lives in history's
own time, and its clients need its clock.
"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from seawall.errors import RecipeError
from seawall.market.catalog import Catalog
from seawall.market.series import Candles, SeriesKey
from seawall.market.tables import SUFFIXES
from seawall.sandbox.clock import Clock, shift_to_now
from seawall.sandbox.exchange import Exchange, Settings
from seawall.sandbox.market import Liquidity, Market, Terms
from seawall.sandbox.sources import (
    SIMULATED,
    from_catalog,
    from_file,
    from_simulation,
    read_simulated,
    shifted,
)
from seawall.units import DAY_MS, to_duration_ms, to_time_text

WALL_SPEED = 1.0


@dataclass(frozen=True, kw_only=True)
class Opening:
    """How an exchange opens.

    Attributes:
        markets: each ``simulated:ETH/USDT`` (``@5m`` for other than minutes),
            ``binance/ETH/USDT/1h`` of the catalog, or the path of a file.
        since_ms: the moment of history at which trading begins; None: where a tenth of the
            first market's history is over, or now if it is simulated.
        speed: 1 is the wall's, with history shifted to now; 0 is stepped by hand.
        seed: of simulated paths, of the paths inside the bars, and of the book.
        warmup_days, days: of a simulated market, before and after the opening.
        shift_ms: by which history is moved at the wall's speed; None: so that it goes on now.
    """

    markets: tuple[str, ...]
    since_ms: int | None = None
    speed: float = WALL_SPEED
    seed: int = 1
    warmup_days: int = 7
    days: int = 30
    shift_ms: int | None = None
    liquidity: Liquidity = field(default_factory=Liquidity)


def open_exchange(
    opening: Opening, catalog: Catalog, *, now_ms: int, settings: Settings | None = None
) -> tuple[Exchange, int]:
    """Return an exchange and by how much its history is shifted.

    Args:
        opening: what is to be listed, and when.
        catalog: where series are read from.
        now_ms: the wall's time.
        settings: fees and limits.

    Raises:
        RecipeError: a market is named wrongly.
        DataError: a market has no bar when the exchange opens.
        SeriesNotFound: the catalog lacks a series.
    """
    if not opening.markets:
        raise RecipeError("an exchange must list a market, it has none: add simulated:ETH/USDT")
    since_ms = opening.since_ms
    found: list[tuple[Candles, Terms]] = []
    for text in opening.markets:
        found.append(_read(text, opening, catalog, now_ms if since_ms is None else since_ms))
        if since_ms is None:
            since_ms = _choose_start(found[0][0], now_ms)
    start_ms, shift_ms = since_ms or 0, 0
    if opening.speed == WALL_SPEED:
        chosen = opening.shift_ms
        shift_ms = shift_to_now(start_ms, now_ms) if chosen is None else chosen
        start_ms = now_ms
    markets = [
        Market(
            shifted(candles, shift_ms),
            terms,
            liquidity=opening.liquidity,
            seed=opening.seed,
            start_ms=start_ms,
        )
        for candles, terms in found
    ]
    clock = Clock(start_ms, speed=opening.speed)
    return Exchange(clock, markets, settings=settings), shift_ms


def _read(text: str, opening: Opening, catalog: Catalog, since_ms: int) -> tuple[Candles, Terms]:
    """Return the candles and terms that a text names."""
    if text.startswith(SIMULATED):
        symbol, timeframe = read_simulated(text)
        step_ms = to_duration_ms(timeframe)
        first_ms = (since_ms - opening.warmup_days * DAY_MS) // step_ms * step_ms
        n_bars = (opening.warmup_days + opening.days) * DAY_MS // step_ms
        return from_simulation(
            symbol, seed=opening.seed, n_bars=n_bars, since_ms=first_ms, timeframe=timeframe
        )
    if text.endswith(SUFFIXES):
        with tempfile.TemporaryDirectory() as scratch:
            return from_file(Path(text), Path(scratch))
    venue, _, rest = text.partition("/")
    symbol, _, timeframe = rest.rpartition("/")
    if "/" not in symbol:
        raise RecipeError(
            f"a market is simulated:ETH/USDT, binance/ETH/USDT/1h or a file, is {text!r}: "
            "write one of these"
        )
    to_duration_ms(timeframe)
    return from_catalog(catalog, SeriesKey("candles", venue, symbol, timeframe))


def _choose_start(candles: Candles, now_ms: int) -> int:
    """Return when trading begins where nobody says so."""
    if candles.is_simulated:
        return now_ms
    if not len(candles):
        raise RecipeError(f"a market must have bars, {candles.key} has none: name another")
    return int(candles.time_ms[len(candles) // 10])


def describe(exchange: Exchange, shift_ms: int) -> list[str]:
    """Return one line per market: what it is and where it stands."""
    return [
        f"{market.symbol} ({market.code}), {market.candles.source or market.candles.key}: "
        f"at {to_time_text(market.last.time_ms - shift_ms)} of its history"
        for market in exchange.all_markets
    ]
