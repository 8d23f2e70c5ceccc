"""The small markets that agents are tried in which guard a loan: those of ``worlds``, and a loan.

A rehearsal has no loan to show, so these are worlds of the engine.
"""

from dataclasses import replace

from seawall.conformance.engine_worlds import Trial, let_fall, make_trial, try_trial
from seawall.conformance.worlds import make_worlds
from seawall.market.catalog import Catalog
from seawall.recipe import Recipe

ABSENT = "tripwire/none/1d"  # a signal that no catalog has
_HEALTH = 1.3  # of a loan whose debt is given in tokens: at made-up prices that is another loan

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


_HEDGED = (
    _DEFAULT.replace('["ETH/USDT"]', '["ETH/USDT", "ETH/USDT:USDT"]').replace(
        "strategies.liquidation_protection", "strategies.hedged_loan"
    )
    + """
[perpetual.brackets]
missing = "nearest"
[perpetual.funding]
source = "rate"
rate = 0.0003
"""
)


def default_loan_recipe() -> Recipe:
    """Return the recipe that agents which guard a loan are checked with unless one is given."""
    return Recipe.from_toml(_DEFAULT, name="conformance")


def default_hedged_recipe() -> Recipe:
    """Return the recipe that jobs which hedge a loan are checked with unless one is given."""
    return Recipe.from_toml(_HEDGED, name="conformance")


def make_trials(recipe: Recipe, catalog: Catalog) -> list[Trial]:
    """Return an ordinary world with the recipe's loan, and the unpleasant ones.

    Raises:
        RecipeError: there can be no such loan even in the ordinary world.
        DataError: what the loan needs beside the market is not in the catalog.
    """
    recipe = _at_any_price(recipe)
    worlds = make_worlds(recipe)
    ordinary = worlds[0]
    trials = [try_trial(world, recipe, catalog) for world in worlds[1:]]
    trials.append(try_trial(let_fall(ordinary), recipe, catalog))
    trials.append(
        try_trial(replace(ordinary, name="an empty wallet"), _without_wallet(recipe), catalog)
    )
    return [make_trial(ordinary, recipe, catalog), *trials]


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
