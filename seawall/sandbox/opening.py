"""From a description to an exchange: which markets, from when, how fast.

At the wall's speed, history is moved by whole days so that it goes on now: unmodified clients sign
with the wall's clock and see candles of today. At any other speed the exchange lives in history's
own time, and its clients need its clock.
"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from seawall.errors import RecipeError
from seawall.market.catalog import Catalog
from seawall.market.series import Candles, SeriesKey
from seawall.market.tables import SUFFIXES
from seawall.sandbox.clock import Clock, shift_to_now
from seawall.sandbox.contract import Contract, make_contract
from seawall.sandbox.exchange import Exchange, Settings
from seawall.sandbox.market import Liquidity, Market, Terms
from seawall.sandbox.sources import (
    SIMULATED,
    contract_from_catalog,
    from_catalog,
    from_file,
    from_simulation,
    perpetual_from_simulation,
    read_simulated,
    shifted,
)
from seawall.units import DAY_MS, is_perpetual, to_duration_ms, to_time_text

WALL_SPEED = 1.0


@dataclass(frozen=True, kw_only=True)
class Opening:
    """How an exchange opens.

    Attributes:
        markets: each ``simulated:ETH/USDT`` (``@5m`` for other than minutes),
            ``binance/ETH/USDT/1h`` of the catalog, or the path of a file; ``ETH/USDT:USDT`` is a
            perpetual.
        since_ms: the moment of history at which trading begins; None: where a tenth of the
            first market's history is over, or now if it is simulated.
        speed: 1 is the wall's, with history shifted to now; 0 is stepped by hand.
        seed: of simulated paths, of the paths inside the bars, and of the book.
        warmup_days, days: of a simulated market, before and after the opening.
        shift_ms: by which history is moved at the wall's speed; None: so that it goes on now.
        resume_ms: the exchange's time at which the markets stand, when a saved exchange goes on:
            what lies between it and now happens first; None: they stand at the clock's time.
    """

    markets: tuple[str, ...]
    since_ms: int | None = None
    speed: float = WALL_SPEED
    seed: int = 1
    warmup_days: int = 7
    days: int = 30
    shift_ms: int | None = None
    resume_ms: int | None = None
    liquidity: Liquidity = field(default_factory=Liquidity)


class Listing(NamedTuple):
    """What a text names: candles, their order grid, and a perpetual's terms."""

    candles: Candles
    terms: Terms
    contract: Contract | None = None


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
    wall = Clock(now_ms)  # runs while history is read, which may take seconds
    found, begin_ms = _find(opening, catalog, now_ms)
    start_ms, shift_ms = begin_ms, 0
    if opening.speed == WALL_SPEED:
        chosen = opening.shift_ms
        shift_ms = shift_to_now(begin_ms, now_ms) if chosen is None else chosen
        start_ms = now_ms
    stand_ms = start_ms if opening.resume_ms is None else opening.resume_ms
    markets = [
        Market(
            shifted(one.candles, shift_ms),
            one.terms,
            liquidity=opening.liquidity,
            seed=opening.seed,
            start_ms=stand_ms,
            contract=None if one.contract is None else one.contract.shifted(shift_ms),
        )
        for one in found
    ]
    clock = wall if opening.speed == WALL_SPEED else Clock(stand_ms, speed=opening.speed)
    exchange = Exchange(clock, markets, settings=settings)
    exchange.event_ms = stand_ms  # no later than the markets stand
    return exchange, shift_ms


def _find(opening: Opening, catalog: Catalog, now_ms: int) -> tuple[list[Listing], int]:
    """Return what is listed, and the moment of history at which trading begins."""
    since_ms = opening.since_ms
    found: list[Listing] = []
    for text in opening.markets:
        found.append(_read(text, opening, catalog, now_ms if since_ms is None else since_ms))
        if since_ms is None:
            since_ms = _choose_start(found[0].candles, now_ms)
    return found, since_ms or 0


def _read(text: str, opening: Opening, catalog: Catalog, since_ms: int) -> Listing:
    """Return what a text names."""
    if text.startswith(SIMULATED):
        return _simulate(text, opening, since_ms)
    if text.endswith(SUFFIXES):
        with tempfile.TemporaryDirectory() as scratch:
            candles, terms = from_file(Path(text), Path(scratch))
        contract = make_contract(candles) if is_perpetual(candles.key.symbol) else None
        return Listing(candles, terms, contract)
    venue, _, rest = text.partition("/")
    symbol, _, timeframe = rest.rpartition("/")
    if "/" not in symbol:
        raise RecipeError(
            f"a market is simulated:ETH/USDT, binance/ETH/USDT/1h or a file, is {text!r}: "
            "write one of these"
        )
    to_duration_ms(timeframe)
    candles, terms = from_catalog(catalog, SeriesKey("candles", venue, symbol, timeframe))
    contract = contract_from_catalog(catalog, candles) if is_perpetual(symbol) else None
    return Listing(candles, terms, contract)


def _simulate(text: str, opening: Opening, since_ms: int) -> Listing:
    """Return a simulated market, its history around the opening."""
    symbol, timeframe = read_simulated(text)
    step_ms = to_duration_ms(timeframe)
    first_ms = (since_ms - opening.warmup_days * DAY_MS) // step_ms * step_ms
    n_bars = (opening.warmup_days + opening.days) * DAY_MS // step_ms
    make = perpetual_from_simulation if is_perpetual(symbol) else from_simulation
    return Listing(
        *make(symbol, seed=opening.seed, n_bars=n_bars, since_ms=first_ms, timeframe=timeframe)
    )


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
        + "".join(f"; {label}" for label in (market.contract.labels if market.contract else ()))
        for market in exchange.all_markets
    ]
