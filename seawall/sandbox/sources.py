"""Where an exchange's markets come from: the catalog, files, or a simulation.

A market is named as ``binance:ETH/USDT:1h`` is not: the venue comes first, then the symbol, then
the timeframe, ``binance/ETH/USDT/1h`` or ``simulated:ETH/USDT`` (1-minute bars). A file is given by
its path.
"""

from dataclasses import replace
from math import floor, log10
from pathlib import Path

import numpy as np

from seawall.errors import DataError, RecipeError
from seawall.market.bracket_files import find_brackets
from seawall.market.brackets import VENUE as BINANCE
from seawall.market.catalog import Catalog
from seawall.market.funding import BASE_INTERVAL_MS, FUNDING_TIMEFRAME
from seawall.market.importer import import_file
from seawall.market.manifest import Filters
from seawall.market.parts import Understanding
from seawall.market.series import PRICE_FIELDS, Candles, SeriesKey
from seawall.market.simulate import VENUE, simulate
from seawall.market.simulate_perpetual import simulate_perpetual
from seawall.sandbox.contract import Contract, make_contract
from seawall.sandbox.decimals import ONE, from_float
from seawall.sandbox.market import Terms
from seawall.units import to_duration_ms

SIMULATED = "simulated:"
SIMULATED_TIMEFRAME = "1m"
_START_PRICES = {"BTC": 60_000.0, "ETH": 3_000.0, "SOL": 150.0}
_LOT_VALUE = 1.0  # quote units: a lot is the power of ten of base units that is worth no more
_LOOKED_AT = 2_000  # prices from which the tick is found
_DIGITS = 5  # a simulated price moves in steps of 1e-5 of its power of ten


def from_catalog(catalog: Catalog, key: SeriesKey) -> tuple[Candles, Terms]:
    """Return stored candles and their terms: the exchange's grid where the catalog knows it.

    Raises:
        SeriesNotFound: it is not stored.
    """
    candles = catalog.read_candles(key)
    return candles, find_terms(candles, catalog.manifest(key).filters)


def from_file(
    path: Path, scratch: Path, *, symbol: str | None = None, timeframe: str | None = None
) -> tuple[Candles, Terms]:
    """Return the candles of one file, read as ``seawall data import`` reads it.

    Args:
        path: the file.
        scratch: an empty folder; what was understood is kept there.
        symbol: where the file's name does not tell it.
        timeframe: where the rows do not tell it.

    Raises:
        DataError: the file holds no candles, or bad rows.
    """
    catalog = Catalog(scratch)
    given = Understanding(kind="candles", venue="file", symbol=symbol, timeframe=timeframe)
    made = import_file(path, catalog, given)
    if len(made) != 1:
        raise DataError(f"a file must hold one market, {path} holds {len(made)}: say which symbol")
    return from_catalog(catalog, made[0].manifest.key)


def from_simulation(
    symbol: str,
    *,
    seed: int,
    n_bars: int,
    since_ms: int,
    timeframe: str = SIMULATED_TIMEFRAME,
    start_price: float | None = None,
) -> tuple[Candles, Terms]:
    """Return a simulated market with its prices on a tick and its volumes on a lot."""
    price = start_price or _find_price(symbol)
    key = SeriesKey("candles", VENUE, symbol, timeframe)
    candles = simulate(key, seed=seed, n_bars=n_bars, since_ms=since_ms, start_price=price)
    return _put_on_grid(candles, price)


def perpetual_from_simulation(
    symbol: str,
    *,
    seed: int,
    n_bars: int,
    since_ms: int,
    timeframe: str = SIMULATED_TIMEFRAME,
    start_price: float | None = None,
) -> tuple[Candles, Terms, Contract]:
    """Return a simulated perpetual: the spot market of the same seed with a premium."""
    price = start_price or _find_price(symbol)
    made = simulate_perpetual(
        SeriesKey("candles", VENUE, symbol, timeframe),
        seed=seed,
        n_bars=n_bars,
        since_ms=since_ms,
        start_price=price,
        interval_ms=BASE_INTERVAL_MS,
    )
    candles, terms = _put_on_grid(made.candles, price)
    contract = make_contract(candles, mark=made.mark, funding=made.funding)
    return candles, terms, contract


def contract_from_catalog(catalog: Catalog, candles: Candles) -> Contract:
    """Return the terms of a stored perpetual: mark, spot, funding and brackets where they are.

    Raises:
        DataError: what is stored cannot be read.
    """
    key = candles.key
    span = int(candles.time_ms[0]), int(candles.close_ms[-1])
    mark_key = replace(key, kind="mark")
    spot_key = replace(key, symbol=key.symbol.partition(":")[0])
    funding_key = SeriesKey("funding", key.venue, key.symbol, FUNDING_TIMEFRAME)
    venue = BINANCE if key.venue in {"file", VENUE} else key.venue
    return make_contract(
        candles,
        mark=catalog.read_candles(mark_key, *span) if catalog.has(mark_key) else None,
        spot=catalog.read_candles(spot_key, *span) if catalog.has(spot_key) else None,
        funding=catalog.read_signal(funding_key, *span) if catalog.has(funding_key) else None,
        brackets=find_brackets(catalog, venue, key.symbol),
    )


def _find_price(symbol: str) -> float:
    return _START_PRICES.get(symbol.partition("/")[0], 100.0)


def _put_on_grid(candles: Candles, price: float) -> tuple[Candles, Terms]:
    """Return simulated candles with prices on a tick and volumes on a lot, and the terms."""
    tick = 10.0 ** (floor(log10(price)) - _DIGITS)
    filters = Filters(tick_size=tick)
    terms = find_terms(candles, filters)
    rounded = {
        name: np.maximum(_round(getattr(candles, name), terms.tick), terms.tick / ONE)
        for name in PRICE_FIELDS
    }
    volume = _round(candles.volume, terms.lot)
    return replace(candles, volume=volume, **rounded), terms


def find_terms(candles: Candles, filters: Filters) -> Terms:
    """Return a market's terms; what the filters do not say follows from its prices."""
    price = float(np.median(candles.close[-_LOOKED_AT:]))
    tick = filters.tick_size or _find_tick(candles)
    lot = filters.lot_size or 10.0 ** floor(log10(_LOT_VALUE / price))
    smallest = Terms(tick=max(1, from_float(tick)), lot=max(1, from_float(lot)))
    if filters.min_notional:
        smallest = replace(smallest, min_notional=from_float(filters.min_notional))
    largest = 10.0 ** (floor(log10(price)) + 3)
    most = 10.0 ** floor(log10(9_000_000.0 / price)) * 9
    return replace(
        smallest,
        max_price=max(smallest.tick, from_float(largest)),
        max_quantity=max(smallest.lot, from_float(most)),
    )


def shifted(candles: Candles, shift_ms: int) -> Candles:
    """Return candles with every time moved by ``shift_ms``."""
    return replace(candles, time_ms=candles.time_ms + shift_ms)


def read_simulated(text: str) -> tuple[str, str]:
    """Return symbol and timeframe of ``simulated:ETH/USDT`` or ``simulated:ETH/USDT@5m``.

    Raises:
        RecipeError: it is no such text.
    """
    symbol, _, timeframe = text.removeprefix(SIMULATED).partition("@")
    if not text.startswith(SIMULATED) or "/" not in symbol:
        raise RecipeError(f"a simulated market is simulated:ETH/USDT, is {text!r}: write it so")
    to_duration_ms(timeframe or SIMULATED_TIMEFRAME)
    return symbol, timeframe or SIMULATED_TIMEFRAME


def _round(values: np.ndarray, step: int) -> np.ndarray:
    """Return values on multiples of a step of 1e-8 units, each the float nearest to its decimal."""
    units = np.rint(values * ONE / step).astype(np.int64) * step
    return np.asarray(units / ONE, dtype=np.float64)


def _find_tick(candles: Candles) -> float:
    """Return the largest power of ten on which all looked-at prices lie, not below 1e-8."""
    prices = np.concatenate([getattr(candles, name)[-_LOOKED_AT:] for name in PRICE_FIELDS])
    units = np.rint(prices * ONE).astype(np.int64)
    tick = 1
    while tick < ONE and not (units % (tick * 10)).any():
        tick *= 10
    return tick / ONE
