"""Any recipe as a Gymnasium environment, and policies trained in it.

``make(recipe)`` is the environment; ``encoding`` says what its numbers are, ``policy_file`` how a
trained policy is kept, ``train`` trains one. Importing this imports nothing else: Gymnasium,
stable-baselines3 and torch come with the extra ``rl``.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seawall.gym.env import SeawallEnv
    from seawall.market.catalog import Catalog
    from seawall.recipe import Recipe

__all__ = ["make"]


def make(
    recipe: "Recipe | str | Path",
    *,
    paths: int = 1,
    episode: str | None = None,
    every: str | None = None,
    catalog: "Catalog | None" = None,
    offline: bool = True,
) -> "SeawallEnv":
    """Return the Gymnasium environment of a recipe; see ``SeawallEnv``.

    Args:
        recipe: a recipe, a TOML file, or the name of one in ``backtests/``; its agent is not used.
        paths: of a simulated market: how many seeds, the recipe's and those after it, an episode
            is drawn from.
        episode: of recorded history: length of an episode such as ``"30d"``, cut out of the
            window at random; ``None``: the whole window.
        every: time between two steps, a whole number of bars such as ``"4h"``; ``None``: each bar.
        catalog: as for ``seawall.run``.
        offline: likewise.

    Raises:
        ToolError: the extra ``rl`` is not installed.
        RecipeError: the recipe, or one of these, is not allowed.
    """
    from seawall.engine.components import find_strategy  # noqa: PLC0415 - nothing at import
    from seawall.gym.env import SeawallEnv  # noqa: PLC0415
    from seawall.recipe import Recipe  # noqa: PLC0415
    from seawall.workspace import find_recipe  # noqa: PLC0415

    if not isinstance(recipe, Recipe):
        recipe = Recipe.from_file(find_recipe(str(recipe)))
    find_strategy(recipe.model_copy(update={"agent": None}))
    return SeawallEnv(
        recipe, paths=paths, episode=episode, every=every, catalog=catalog, offline=offline
    )
