"""From names in a recipe to agents and strategies, every parameter checked before the run."""

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches

import backtrader as bt

from seawall.agent import Agent, as_agent
from seawall.errors import RecipeError, SeawallError, WorkspaceError
from seawall.recipe import Recipe
from seawall.strategy import AgentStrategy
from seawall.workspace import load

_GIVEN = ("session",)


def make_agent(recipe: Recipe) -> Agent:
    """Return the recipe's agent, made with the recipe's parameters.

    Raises:
        RecipeError: a parameter is unknown, missing or not allowed.
        WorkspaceError: there is no such agent.
    """
    section = recipe.agent
    if section is None:
        raise RecipeError(
            f"{recipe.strategy.name} is a job for an agent, the recipe names none: "
            'add [agent] with name = "agents.buy_and_hold"'
        )
    return make_named_agent(section.name, section.parameters)


def make_named_agent(name: str, parameters: Mapping[str, object]) -> Agent:
    """Return the agent of a name, such as ``agents.sma_cross``, made with these parameters.

    Raises:
        RecipeError: a parameter is unknown, missing or not allowed.
        WorkspaceError: there is no such agent.
    """
    factory = load(_qualified("agents", name))
    if not isinstance(factory, type):
        if parameters:
            raise RecipeError(
                f"{name} is a function and takes no parameters, the recipe gives "
                f"{sorted(parameters)}"
            )
        return as_agent(factory)
    _check_keys("agent", name, parameters, _keywords(factory))
    try:
        return as_agent(factory(**parameters))
    except SeawallError:
        raise
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
        raise RecipeError(f"agent {name} cannot be made: {reason}") from error


def find_strategy(recipe: Recipe) -> type[bt.Strategy]:
    """Return the recipe's strategy class, its parameters checked by name.

    Raises:
        RecipeError: a parameter is unknown, or an agent is given to a plain strategy.
        WorkspaceError: there is no such strategy.
    """
    section = recipe.strategy
    found = load(_qualified("strategies", section.name))
    if not (isinstance(found, type) and issubclass(found, bt.Strategy)):
        raise WorkspaceError(f"{section.name} must be a backtrader.Strategy, is {found!r:.60}")
    keys = {name: None for name in found.params._getkeys() if name not in _GIVEN}  # noqa: SLF001
    _check_keys("strategy", section.name, section.parameters, keys)
    if recipe.agent is not None and not issubclass(found, AgentStrategy):
        raise RecipeError(
            f"{section.name} is a plain backtrader strategy and decides itself: "
            "remove [agent], or use strategies.spot_trading"
        )
    return found


def _qualified(kind: str, name: str) -> str:
    return name if name.startswith(f"{kind}.") else f"{kind}.{name}"


def _keywords(factory: Callable[..., object]) -> dict[str, inspect.Parameter] | None:
    """Return the parameters that may be given by name; ``None``: any."""
    parameters = inspect.signature(factory).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return None
    return dict(parameters)


def _check_keys(
    section: str, name: str, given: Mapping[str, object], allowed: Mapping[str, object] | None
) -> None:
    if allowed is None:
        return
    for key in given:
        if key not in allowed:
            close = get_close_matches(key, list(allowed), n=1)
            meant = f"did you mean {close[0]!r}? " if close else ""
            raise RecipeError(
                f"{section}.{key} is no parameter of {name}: {meant}"
                f"it has {', '.join(sorted(allowed)) or 'none'}"
            )
