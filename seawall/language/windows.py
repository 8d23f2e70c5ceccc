"""A recipe on a part of its window."""

import json
from itertools import pairwise

from seawall.errors import RecipeError
from seawall.recipe import Recipe
from seawall.units import to_time_ms, to_time_text


def with_window(recipe: Recipe, since_ms: int, until_ms: int) -> Recipe:
    """Return a recipe on another window; a simulated crash that lies outside is left out."""
    values = json.loads(recipe.to_json())
    market = values["market"]
    market |= {"since": _to_iso(since_ms), "until": _to_iso(until_ms)}
    crash = recipe.market.crash
    if crash is not None and not since_ms <= to_time_ms(crash.at) < until_ms:
        del market["crash"]
    return Recipe.from_dict(values)


def split_window(recipe: Recipe, n: int) -> list[Recipe]:
    """Return a recipe for each of ``n`` parts of its window, in order and without overlap.

    Raises:
        RecipeError: a part would have fewer than two bars.
    """
    market = recipe.market
    bar_ms = market.timeframe_ms
    n_bars = (market.until_ms - market.since_ms) // bar_ms
    if n_bars < 2 * n:
        raise RecipeError(f"{n} windows need {2 * n} bars, the recipe has {n_bars}: ask for fewer")
    edges = [market.since_ms + n_bars * place // n * bar_ms for place in range(n + 1)]
    return [with_window(recipe, a, b) for a, b in pairwise(edges)]


def _to_iso(time_ms: int) -> str:
    return to_time_text(time_ms).replace(" ", "T")
