"""The small markets with perpetuals that agents are tried in: those of ``worlds``, and an account.

A rehearsal has no futures account to show, so these are worlds of the engine.
"""

from dataclasses import replace

from seawall.conformance.engine_worlds import Trial, let_fall, make_trial, try_trial
from seawall.conformance.worlds import make_worlds
from seawall.market.catalog import Catalog
from seawall.recipe import Recipe

_SMALL_CASH = 1.0

_MARKET = """
seed = 5                       # a fall by 28 % in the second half, in steps that leave time to act

[market]
venue = "tripwire"
timeframe = "1h"
since = "2023-01-29"
until = "2023-03-30"
warmup = "23d"
signals = ["tripwire/made_up/1h"]
"""

_ACCOUNT = """
[perpetual.brackets]
missing = "nearest"
[perpetual.funding]
source = "rate"
rate = 0.0003
"""

_MARGIN = f"""
{_MARKET}
symbols = ["ETH/USDT:USDT"]

[strategy]
name = "strategies.margin_protection"

[account]
cash = 3_000.0

[perpetual]
margin = "isolated"
[perpetual.position]
quantity = 10.0
leverage = 5.0
{_ACCOUNT}
"""

_CARRY = f"""
{_MARKET}
symbols = ["ETH/USDT", "ETH/USDT:USDT"]

[strategy]
name = "strategies.funding_carry"
{_ACCOUNT}
"""

_FUTURES = f"""
{_MARKET}
symbols = ["ETH/USDT:USDT"]

[strategy]
name = "strategies.futures_trading"
{_ACCOUNT}
"""


def default_margin_recipe() -> Recipe:
    """Return the recipe that guards of a position are checked with unless one is given."""
    return Recipe.from_toml(_MARGIN, name="conformance")


def default_carry_recipe() -> Recipe:
    """Return the recipe that agents of a carry are checked with unless one is given."""
    return Recipe.from_toml(_CARRY, name="conformance")


def default_futures_recipe() -> Recipe:
    """Return the recipe that jobs which trade perpetuals are checked with unless one is given."""
    return Recipe.from_toml(_FUTURES, name="conformance")


def make_margin_trials(recipe: Recipe, catalog: Catalog) -> list[Trial]:
    """Return an ordinary world with the recipe's futures account, and the unpleasant ones.

    Raises:
        RecipeError: there can be no such account even in the ordinary world.
        DataError: what it needs beside the market is not in the catalog.
    """
    recipe = _at_any_price(recipe)
    worlds = make_worlds(recipe)
    ordinary = worlds[0]
    trials = [try_trial(world, recipe, catalog) for world in worlds[1:]]
    trials.append(try_trial(let_fall(ordinary), recipe, catalog))
    if recipe.perpetual is not None and recipe.perpetual.position is not None:
        poor = recipe.with_settings({"account.cash": _SMALL_CASH})
        trials.append(try_trial(replace(ordinary, name="an empty reserve"), poor, catalog))
    return [make_trial(ordinary, recipe, catalog), *trials]


def _at_any_price(recipe: Recipe) -> Recipe:
    """Return the recipe with a position that is entered at the first price, whatever it is."""
    account = recipe.perpetual
    if account is None or account.position is None or account.position.entry is None:
        return recipe
    position = account.position.model_copy(update={"entry": None})
    return recipe.model_copy(
        update={"perpetual": account.model_copy(update={"position": position})}
    )
