"""Other futures: copies of a catalog in which everything after a time t is cut off or scrambled.

A row belongs to the future if its PERIOD ends after t: a candle is known when it closes, a signal
describes the period that starts at its timestamp, whatever its ``known_at`` claims. A funding rate
is known when it is settled, which is its timestamp; a rate that a loan pays or earns is a snapshot,
known when it was taken, its ``known_at``.

Leverage brackets change on days that are announced: all of the recipe's contracts are there,
whatever is cut off.

What a day's gas costs on average is known when the day is over, and a loan pays it before: its
receipts would tell. So a loan is run with the modelled gas price, which follows the bars.
"""

from dataclasses import dataclass, replace
from typing import Literal
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from seawall.conformance.engine_worlds import to_world
from seawall.conformance.loan_worlds import ABSENT
from seawall.conformance.worlds import VENUE, make_candles, make_signal
from seawall.engine.feed import resample
from seawall.engine.world import World, build_world
from seawall.market.bracket_files import find_brackets, store_brackets, stored_brackets
from seawall.market.brackets import VENUE as BRACKET_VENUE
from seawall.market.catalog import Catalog
from seawall.market.funding import FUNDING_TIMEFRAME
from seawall.market.manifest import Filters
from seawall.market.series import Candles, Series, SeriesKey, Signal
from seawall.recipe import SIMULATED, Recipe
from seawall.units import DAY_MS, is_perpetual, split_symbol, to_duration_ms

Change = Literal["cut", "up", "down"]
CHANGES: tuple[Change, ...] = ("cut", "up", "down")
WORDS = {"cut": "cut off", "up": "scrambled upwards", "down": "scrambled downwards"}
_LEVEL = 2.0  # how far up or down: a leak that reads one sign of one bar sees it turn in one of two
_BEFORE_MS, _AFTER_MS = 400 * DAY_MS, 30 * DAY_MS  # rows that an agent might open for itself
_COARSE = "1h"


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """One series that a run could reach, with its order grid.

    Attributes:
        is_snapshot: a signal of which ``known_at`` says when a value is known.
    """

    series: Series
    filters: Filters
    is_snapshot: bool = False


def gather(recipe: Recipe, catalog: Catalog | None) -> tuple[Recipe, list[Known]]:
    """Return the recipe as the tripwire runs it, and every series that the run could reach.

    A simulated or made-up market is written out, as bars and as hours, because what is generated
    during a run has no future that could be cut.

    Raises:
        RecipeError: there can be no such market, or no such loan.
        DataError: the catalog lacks what it needs.
    """
    catalog = catalog or Catalog()
    if recipe.market.venue not in (SIMULATED, VENUE):
        known = _stored(recipe, catalog)
        if recipe.loan is None:
            return recipe, known
        return _settle_loan(recipe, build_world(recipe, catalog, offline=True), known)
    world = _make_world(recipe, catalog)
    recipe, known = _settle_account(_write_out(recipe), world, _made(recipe, world))
    return _settle_loan(recipe, world, known)


def _make_world(recipe: Recipe, catalog: Catalog) -> World:
    market = recipe.market
    if market.venue == SIMULATED:
        return build_world(recipe, catalog, offline=True)
    candles = {symbol: make_candles(recipe, symbol) for symbol in market.symbols}
    signals = {name: make_signal(recipe, name) for name in market.signals}
    return to_world(candles, signals, recipe, catalog)


def _made(recipe: Recipe, world: World) -> list[Known]:
    made = [_under(VENUE, candles) for candles in world.candles.values()]
    others: list[Series] = list(world.signals.values())
    bar_ms, hour_ms = recipe.market.timeframe_ms, to_duration_ms(_COARSE)
    if bar_ms < hour_ms and hour_ms % bar_ms == 0:
        others += [resample(candles, _COARSE) for candles in made]
    return [Known(series=one, filters=Filters()) for one in [*made, *others]]


def _write_out(recipe: Recipe) -> Recipe:
    """Return the recipe for a market that is stored: its crash and its prices are in the bars."""
    market = recipe.market
    plain = {k: v for k, v in recipe.to_dict().items() if k != "market"}
    made = {"crash", "start_prices"}
    kept = market.model_dump(by_alias=True, exclude_none=True, exclude=made)
    return Recipe.from_dict({**plain, "market": {**kept, "venue": VENUE}})


def _settle_loan(recipe: Recipe, world: World, known: list[Known]) -> tuple[Recipe, list[Known]]:
    """Return both as a loan needs them: what it reads is there, whatever is cut off.

    Where its rates come from is said: a window that is cut off could find dated ones for all of it.
    """
    loan = recipe.loan
    if loan is None or world.loan is None:
        return recipe, known
    there = {one.series.key for one in known}
    more = [one for one in world.loan.extra if one.key not in there]
    known = known + [Known(series=one, filters=Filters()) for one in more]
    rates = {
        one.key
        for one in world.loan.extra
        if isinstance(one, Signal) and one.key.venue == loan.rates.series
    }
    settings: dict[str, object] = {"loan.gas.source": "model", "loan.gas.series": ABSENT}
    if loan.rates.source == "dated":
        settings["loan.rates.source"] = "series" if rates else "strategy"
    known = [replace(one, is_snapshot=one.series.key in rates) for one in known]
    return recipe.with_settings(settings), known


def _settle_account(recipe: Recipe, world: World, known: list[Known]) -> tuple[Recipe, list[Known]]:
    """Return both as a futures account needs them: its funding is stored, and its mark if any."""
    account = world.perpetual
    if account is None:
        return recipe, known
    marks = [one for one in account.extra if isinstance(one, Candles) and one.key.kind == "mark"]
    known = known + [Known(series=_under(VENUE, one), filters=Filters()) for one in marks]
    stamps = account.stamps
    for row, symbol in enumerate(account.symbols):
        own = stamps.row == row
        rates = Signal(
            key=SeriesKey("funding", VENUE, symbol, FUNDING_TIMEFRAME),
            time_ms=stamps.time_ms[own],
            known_ms=stamps.time_ms[own],
            value=stamps.rate[own],
            source="made up for the conformance suite",
            is_simulated=True,
        )
        known.append(Known(series=rates, filters=Filters()))
    settings = {
        # A position that is opened at a settlement has none there (engine.perpetual.stamps).
        "perpetual.funding": {"interval": account.section.funding.interval, "missing": "zero"},
        "perpetual.brackets.missing": "nearest",
    }
    return recipe.with_settings(settings), known


def write_brackets(root: Catalog, recipe: Recipe, original: Catalog | None) -> None:
    """Write the leverage brackets that a run of the recipe needs, and those that are stored."""
    original = original or Catalog()
    if recipe.market.venue != VENUE:
        for table in stored_brackets(original):
            store_brackets(root, table)
        return
    for symbol in filter(is_perpetual, recipe.market.symbols):
        for table in find_brackets(original, BRACKET_VENUE, symbol):
            store_brackets(root, replace(table, venue=VENUE))


def write_future(
    root: Catalog, known: list[Known], *, change: Change | None = None, time_ms: int = 0
) -> None:
    """Write a catalog in which what follows ``time_ms`` is changed; ``None``: nothing is."""
    for one in known:
        series = one.series
        if change is not None:
            series = alter(series, change, time_ms, is_snapshot=one.is_snapshot)
        root.write(series, fetched_ms=None, filters=one.filters)


def alter(series: Series, change: Change, time_ms: int, *, is_snapshot: bool = False) -> Series:
    """Return the series with every row whose period ends after ``time_ms`` cut or scrambled.

    ``is_snapshot``: with every row that is known after it.
    """
    if is_snapshot and isinstance(series, Signal):
        is_future = series.known_ms > time_ms
    else:
        length_ms = 0 if series.key.kind == "funding" else series.key.timeframe_ms
        is_future = series.time_ms + length_ms > time_ms
    if not is_future.any():
        return series
    if change == "cut":
        return _keep(series, ~is_future)
    level = _LEVEL if change == "up" else 1 / _LEVEL
    rng = np.random.default_rng(crc32(str(series.key).encode()))
    noise = rng.normal(size=len(series))
    if isinstance(series, Signal):
        spread = float(series.value.std()) or 1.0
        shift = spread * (10.0 * np.log(level) + noise)
        return replace(series, value=np.where(is_future, series.value + shift, series.value))
    factor = np.where(is_future, level * np.exp(0.02 * noise), 1.0)
    crowd = np.where(is_future, np.exp(rng.normal(size=len(series))), 1.0)
    prices = {n: getattr(series, n) * factor for n in ("open", "high", "low", "close")}
    return replace(series, **prices, volume=series.volume * crowd)


def _keep(series: Series, rows: NDArray[np.bool_]) -> Series:
    names = ("time_ms", "known_ms", "value") if isinstance(series, Signal) else _CANDLE_ARRAYS
    return replace(series, **{name: getattr(series, name)[rows] for name in names})


_CANDLE_ARRAYS = ("time_ms", "open", "high", "low", "close", "volume")


def _under(venue: str, candles: Candles) -> Candles:
    return replace(candles, key=replace(candles.key, venue=venue))


def _stored(recipe: Recipe, catalog: Catalog) -> list[Known]:
    """Return all signals, all of the venue's series, and all of the recipe's assets elsewhere."""
    market = recipe.market
    bases = {split_symbol(symbol)[0] for symbol in market.symbols}
    since_ms = market.since_ms - market.warmup_ms - _BEFORE_MS
    return [
        Known(
            series=catalog.read(key, since_ms, market.until_ms + _AFTER_MS),
            filters=catalog.manifest(key).filters,
        )
        for key in catalog.keys()  # noqa: SIM118 - a catalog is no dict
        if key.kind == "signal"
        or key.venue == market.venue
        or key.symbol.partition("/")[0] in bases
    ]
