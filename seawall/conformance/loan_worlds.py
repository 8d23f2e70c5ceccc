"""The small markets that agents are tried in which guard a loan: those of ``worlds``, and a loan.

A rehearsal has no loan to show, so these are worlds of the engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from seawall.conformance.worlds import TestWorld, make_worlds, shorten, to_iso
from seawall.engine.loan.world import build_loan_world
from seawall.engine.world import World
from seawall.errors import DataError, RecipeError
from seawall.market.catalog import Catalog
from seawall.market.manifest import Filters
from seawall.market.series import Candles, Signal
from seawall.recipe import Recipe

ABSENT = "tripwire/none/1d"  # a signal that no catalog has
_HEALTH = 1.3  # of a loan whose debt is given in tokens: at made-up prices that is another loan
_FALL = 0.4  # what is left of a price that falls at once

_DEFAULT = f"""
seed = 14                      # up by 13 %, then down to 71 % of the first price, and back

[market]
venue = "tripwire"
symbols = ["ETH/USDT"]
timeframe = "1h"
since = "2023-01-29"
until = "2023-03-30"
warmup = "23d"
signals = ["tripwire/made_up/1h"]

[strategy]
name = "strategies.liquidation_protection"

[loan]
equity = 10.0
health = 1.35
wallet = {{ ETH = 1.0, USDC = 500 }}

[loan.gas]
source = "model"
series = "{ABSENT}"

[loan.rates]
source = "strategy"
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class LoanTrial:
    """One world of the engine and the recipe that is run in it.

    Attributes:
        world: ``None`` where there can be no such loan; ``missing`` says why.
    """

    name: str
    recipe: Recipe
    world: World | None
    missing: str = ""


def default_loan_recipe() -> Recipe:
    """Return the recipe that agents which guard a loan are checked with unless one is given."""
    return Recipe.from_toml(_DEFAULT, name="conformance")


def make_trials(recipe: Recipe, catalog: Catalog) -> list[LoanTrial]:
    """Return an ordinary world with the recipe's loan, and the unpleasant ones.

    Raises:
        RecipeError: there can be no such loan even in the ordinary world.
        DataError: what the loan needs beside the market is not in the catalog.
    """
    recipe = _at_any_price(recipe)
    worlds = make_worlds(recipe)
    ordinary = worlds[0]
    trials = [_try(world, recipe, catalog) for world in worlds[1:]]
    trials.append(_try(_fallen(ordinary), recipe, catalog))
    trials.append(_try(replace(ordinary, name="an empty wallet"), _without_wallet(recipe), catalog))
    return [_make(ordinary, recipe, catalog), *trials]


def to_world(
    candles: Mapping[str, Candles], signals: Mapping[str, Signal], recipe: Recipe, catalog: Catalog
) -> World:
    """Return what the engine's ``build_world`` would, of candles and signals that are here.

    Raises:
        RecipeError: there can be no such loan.
        DataError: a price, a rate or the gas of a day is missing.
    """
    market = recipe.market
    clock_ms = np.unique(np.concatenate([series.close_ms for series in candles.values()]))
    return World(
        candles=candles,
        higher=(),
        signals=signals,
        filters={symbol: Filters() for symbol in candles},
        since_ms=market.since_ms,
        until_ms=market.until_ms,
        clock_ms=clock_ms,
        loan=build_loan_world(recipe, candles, clock_ms, catalog) if recipe.loan else None,
    )


def _try(world: TestWorld, recipe: Recipe, catalog: Catalog) -> LoanTrial:
    try:
        return _make(world, recipe, catalog)
    except (DataError, RecipeError) as error:
        return LoanTrial(name=world.name, recipe=recipe, world=None, missing=str(error))


def _make(world: TestWorld, recipe: Recipe, catalog: Catalog) -> LoanTrial:
    market = shorten(recipe).market
    window = {"since": to_iso(world.since_ms), "until": market.until, "warmup": "0d"}
    fitted = recipe.model_copy(update={"market": market.model_copy(update=window)})
    made = to_world(world.candles, world.signals, fitted, catalog)
    return LoanTrial(name=world.name, recipe=fitted, world=made)


def _at_any_price(recipe: Recipe) -> Recipe:
    loan = recipe.loan
    if loan is None or loan.debt_amount is None:
        return recipe
    sized = loan.model_copy(update={"debt_amount": None, "health": _HEALTH})
    return recipe.model_copy(update={"loan": sized})


def _without_wallet(recipe: Recipe) -> Recipe:
    if recipe.loan is None:
        return recipe
    return recipe.model_copy(update={"loan": recipe.loan.model_copy(update={"wallet": {}})})


def _fallen(world: TestWorld) -> TestWorld:
    """Return the world with prices that fall between two bars, and stay down."""
    candles = {}
    for symbol, series in world.candles.items():
        middle_ms = (world.since_ms + int(series.close_ms[-1])) // 2
        factor = np.where(series.time_ms < middle_ms, 1.0, _FALL)
        names = ("open", "high", "low", "close")
        prices = {name: getattr(series, name) * factor for name in names}
        candles[symbol] = replace(series, **prices)
    return replace(world, name="prices that fall at once", candles=candles)
