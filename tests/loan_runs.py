"""Short runs of loans on simulated markets, for tests of what is made of them; run once each."""

import json
from functools import cache

from seawall.analysis.contender import to_contender
from seawall.engine.run import run_in
from seawall.engine.world import World, build_world
from seawall.market.catalog import Catalog
from seawall.recipe import Recipe
from seawall.result import Result
from seawall.workspace import find_recipe

AGENTS = (
    "do_nothing", "close_at", "defi_saver", "summer_fi", "pre_liquidation", "volatility_target",
    "minimum_leverage",
)  # fmt: skip
_CRASH = {"since": "2025-04-01", "until": "2025-04-15"}
_DEPEG = {"since": "2025-02-05", "until": "2025-02-19"}
SHORT: dict[str, tuple[str, dict[str, str], dict[str, object]]] = {
    "crash": ("loan_demo", _CRASH, {}),
    "thin": ("loan_demo", _CRASH, {"leverage": None, "health": 1.2}),
    "depeg": ("wsteth_loop", _DEPEG, {}),
}


@cache
def recipe_of(name: str) -> Recipe:
    """Return the recipe of a short window: two weeks with a crash or a depeg in them."""
    file, market, loan = SHORT[name]
    values = json.loads(Recipe.from_file(find_recipe(file)).to_json())
    values["name"] = name
    values["market"] |= market
    values["loan"] = {k: v for k, v in (values["loan"] | loan).items() if v is not None}
    return Recipe.from_dict(values)


@cache
def world_of(name: str) -> World:
    """Return its world."""
    return build_world(recipe_of(name), Catalog(), offline=True)


@cache
def run_agent(name: str, agent: str) -> Result:
    """Return an agent's run in it."""
    return run_in(world_of(name), to_contender(agent).recipe(recipe_of(name)))
