"""Checks of agents' parameters: each returns the value, or raises a ``RecipeError`` that names it.

Recipes are plain TOML, so a parameter can be of any type until it has been looked at.
"""

from math import isfinite
from typing import TypeGuard, TypeVar

from seawall.errors import RecipeError
from seawall.units import to_duration_ms

Choice = TypeVar("Choice", bound=str)


def whole_number(name: str, value: object, *, at_least: int = 1) -> int:
    """Return a whole number >= ``at_least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise RecipeError(
            f"agent.{name} must be a whole number >= {at_least}, is {value!r}: "
            f"write {name} = {max(at_least, 20)}"
        )
    return value


def number(name: str, value: object, *, above: float, at_most: float = float("inf")) -> float:
    """Return a finite number with ``above`` < value <= ``at_most``."""
    if not _is_number(value) or not above < value <= at_most:
        limit = "" if at_most == float("inf") else f" and <= {at_most:g}"
        raise RecipeError(
            f"agent.{name} must be a number > {above:g}{limit}, is {value!r}: correct the recipe"
        )
    return float(value)


def share(name: str, value: object) -> float:
    """Return a number between 0 and 1, both included."""
    if not _is_number(value) or not 0.0 <= value <= 1.0:
        raise RecipeError(f"agent.{name} must be from 0 to 1, is {value!r}: 0.5 is one half")
    return float(value)


def one_of(name: str, value: Choice, allowed: tuple[Choice, ...]) -> Choice:
    """Return one of the allowed words."""
    if value not in allowed:
        words = ", ".join(repr(word) for word in allowed)
        raise RecipeError(f"agent.{name} must be one of {words}, is {value!r}: pick one")
    return value


def true_or_false(name: str, value: object) -> bool:
    """Return a boolean."""
    if not isinstance(value, bool):
        raise RecipeError(f"agent.{name} must be true or false, is {value!r}: write {name} = true")
    return value


def duration(name: str, value: object) -> int:
    """Return the milliseconds of a duration such as ``"7d"``."""
    try:
        return to_duration_ms(value if isinstance(value, str) else repr(value))
    except RecipeError as error:
        raise RecipeError(f"agent.{name}: {error}") from None


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)
