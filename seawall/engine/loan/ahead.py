"""The world of a loan whose market goes on: made anew at each bar, with one bar ahead.

Of the bar ahead nothing is known but when it opens: what is known of the gas as it does belongs to
the bar before. Its row is nan, so whatever would read it is found.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from seawall.engine.loan.standing import LoanStanding
from seawall.engine.loan.world import LoanWorld, build_loan_world
from seawall.market.catalog import Catalog
from seawall.market.series import Candles, TimeArray
from seawall.recipe import Recipe
from seawall.venues.parameters import Ambiguity

_INTRABAR: Ambiguity = "worst"  # a market that goes on is lived through once


def build_ahead(
    recipe: Recipe,
    candles: Mapping[str, Candles],
    clock_ms: TimeArray,
    standing: LoanStanding,
    catalog: Catalog,
) -> LoanWorld:
    """Return the world so far, and one bar that has not closed.

    Args:
        recipe: its window begins at or before the last step.
        candles: what has closed by then, by symbol; a symbol has one before the window at least.
        clock_ms: int64, shape (n_steps,), all steps so far.
        standing: what holds all the time.
        catalog: of no use to a live price.

    Raises:
        RecipeError: the loan cannot be taken so.
    """
    clock_ms = np.append(clock_ms, clock_ms[-1] + recipe.market.timeframe_ms)
    world = build_loan_world(recipe, candles, clock_ms, catalog, standing)
    rows = world.rows(_INTRABAR)
    rows[-1] = np.nan
    return world


def cut_ahead(world: LoanWorld) -> LoanWorld:
    """Return a world without the bar ahead: what a run over closed bars is put into."""
    return replace(
        world,
        open_ms=world.open_ms[:-1],
        close_ms=world.close_ms[:-1],
        borrow_rate=world.borrow_rate[:-1],
        supply_rate=world.supply_rate[:-1],
        _made={_INTRABAR: world.rows(_INTRABAR)[:-1]},
    )
