"""The small worlds of the engine that agents are tried in, made of made-up candles and signals."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from seawall.conformance.worlds import VENUE, TestWorld, shorten, to_iso
from seawall.engine.loan.world import build_loan_world
from seawall.engine.perpetual.world import PerpetualWorld, build_perpetual_world, perpetual_section
from seawall.engine.world import World
from seawall.errors import DataError, RecipeError
from seawall.market.brackets import VENUE as BRACKET_VENUE
from seawall.market.catalog import Catalog
from seawall.market.manifest import Filters
from seawall.market.series import Candles, Signal, TimeArray
from seawall.recipe import Recipe
from seawall.units import is_perpetual

_FALL = 0.4  # what is left of a price that falls at once
_RATES = (3e-4, 1e-4)  # mean and deviation of a made-up funding rate


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """One world of the engine and the recipe that is run in it.

    Attributes:
        world: ``None`` where there can be no such loan or position; ``missing`` says why.
    """

    name: str
    recipe: Recipe
    world: World | None
    missing: str = ""


def try_trial(world: TestWorld, recipe: Recipe, catalog: Catalog) -> Trial:
    """Return a made-up world as one of the engine, or why it cannot be one."""
    try:
        return make_trial(world, recipe, catalog)
    except (DataError, RecipeError) as error:
        return Trial(name=world.name, recipe=recipe, world=None, missing=str(error))


def make_trial(world: TestWorld, recipe: Recipe, catalog: Catalog) -> Trial:
    """Return a made-up world as one of the engine.

    Raises:
        RecipeError: there can be no such loan or position.
        DataError: what it needs is not in the catalog.
    """
    market = shorten(recipe).market
    window = {"since": to_iso(world.since_ms), "until": market.until, "warmup": "0d"}
    fitted = recipe.model_copy(update={"market": market.model_copy(update=window)})
    made = to_world(world.candles, world.signals, fitted, catalog)
    return Trial(name=world.name, recipe=fitted, world=made)


def to_world(
    candles: Mapping[str, Candles], signals: Mapping[str, Signal], recipe: Recipe, catalog: Catalog
) -> World:
    """Return what the engine's ``build_world`` would, of candles and signals that are here.

    Raises:
        RecipeError: there can be no such loan or position.
        DataError: a price, a rate or the gas of a day is missing.
    """
    market = recipe.market
    clock_ms = np.unique(np.concatenate([series.close_ms for series in candles.values()]))
    has_perpetuals = perpetual_section(recipe) is not None
    return World(
        candles=candles,
        higher=(),
        signals=signals,
        filters={symbol: Filters() for symbol in candles},
        since_ms=market.since_ms,
        until_ms=market.until_ms,
        clock_ms=clock_ms,
        loan=build_loan_world(recipe, candles, clock_ms, catalog) if recipe.loan else None,
        perpetual=_to_perpetual(recipe, candles, clock_ms, catalog) if has_perpetuals else None,
    )


def let_fall(world: TestWorld) -> TestWorld:
    """Return the world with prices that fall between two bars, and stay down."""
    candles = {}
    for symbol, series in world.candles.items():
        middle_ms = (world.since_ms + int(series.close_ms[-1])) // 2
        factor = np.where(series.time_ms < middle_ms, 1.0, _FALL)
        names = ("open", "high", "low", "close")
        prices = {name: getattr(series, name) * factor for name in names}
        candles[symbol] = replace(series, **prices)
    return replace(world, name="prices that fall at once", candles=candles)


def _to_perpetual(
    recipe: Recipe, candles: Mapping[str, Candles], clock_ms: TimeArray, catalog: Catalog
) -> PerpetualWorld:
    """Return the futures account's world: brackets of a real exchange, made-up mark and funding."""
    has_spot = any(not is_perpetual(symbol) for symbol in candles)
    settings = {
        "perpetual.mark.source": "built" if has_spot else "last",
        "perpetual.funding": {"source": "rate", "rate": 0.0},
        "perpetual.brackets.missing": "nearest",
    }
    made = recipe.with_settings(settings)
    if made.market.venue == VENUE:
        market = made.market.model_copy(update={"venue": BRACKET_VENUE})
        made = made.model_copy(update={"market": market})
    world = build_perpetual_world(made, candles, clock_ms, catalog)
    mean, deviation = _RATES
    noise = np.random.default_rng(recipe.seed).normal(size=len(world.stamps.rate))
    stamps = world.stamps._replace(rate=mean + deviation * noise)
    return replace(world, stamps=stamps)
