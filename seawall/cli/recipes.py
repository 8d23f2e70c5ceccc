"""How every verb reads its recipe: the file, then another agent, then what ``--set`` says."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from seawall import workspace
from seawall.errors import RecipeError

if TYPE_CHECKING:
    from seawall.recipe import Recipe

_AGENT, _NAME = "agent.", "agent.name"


def load_recipe(name: str, settings: Sequence[str] = (), agent: str | None = None) -> "Recipe":
    """Return a recipe with its settings; those of ``agent.`` are of the agent named beside it.

    Args:
        name: a TOML file, or the name of one in ``backtests/``.
        settings: ``KEY=VALUE`` each.
        agent: another agent, ``NAME`` or ``NAME{key=value}``.

    Raises:
        RecipeError: there is no such recipe or setting, or two agents are named.
    """
    from seawall.analysis.contender import to_contender
    from seawall.recipe import Recipe, parse_setting

    loaded = Recipe.from_file(workspace.find_recipe(name))
    given = dict(parse_setting(text) for text in settings)
    if not agent:
        return loaded.with_settings(given)
    if _NAME in given:
        raise RecipeError(
            f"one agent runs, --agent says {agent} and --set {_NAME} says {given[_NAME]}: give one"
        )
    parameters = {key: value for key, value in given.items() if key.startswith(_AGENT)}
    others = {key: value for key, value in given.items() if key not in parameters}
    return to_contender(agent).recipe(loaded.with_settings(others)).with_settings(parameters)


def check_reach(recipe: "Recipe", settings: Sequence[str], names: Sequence[str]) -> None:
    """Raise where settings of the recipe's own agent would reach none of the agents that run.

    Raises:
        RecipeError: they would.
    """
    from seawall.analysis.contender import to_contender
    from seawall.recipe import parse_setting

    keys = [key for key, _ in map(parse_setting, settings) if key.startswith(_AGENT)]
    own = "" if recipe.agent is None else recipe.agent.name.removeprefix("agents.")
    if keys and own not in {to_contender(name).file for name in names}:
        raise RecipeError(
            f"{keys[0]} is of the recipe's own agent, {own or 'none'}, which is not among "
            f"{', '.join(names)}: write NAME{{{keys[0].removeprefix(_AGENT)}=...}}"
        )
