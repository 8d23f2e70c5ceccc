"""How an agent is named in a comparison: ``sma_cross``, or ``sma_cross{fast = 10}``."""

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from seawall.engine.components import find_strategy, make_agent
from seawall.errors import RecipeError, SeawallError
from seawall.recipe import Recipe

_KIND = "agents."


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One agent of a comparison and the settings it runs with.

    Attributes:
        file: its name without ``agents.``.
        given: settings written behind the name, which come before those of the recipe.
    """

    file: str
    given: Mapping[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name as it is shown: ``sma_cross`` or ``sma_cross{fast=10}``."""
        if not self.given:
            return self.file
        return f"{self.file}{{{', '.join(f'{k}={_write(v)}' for k, v in self.given.items())}}}"

    def recipe(self, recipe: Recipe) -> Recipe:
        """Return the recipe with this agent in it.

        Where the recipe's own agent is the same one, its parameters apply, else the defaults.
        """
        own = recipe.agent
        is_same = own is not None and own.name.removeprefix(_KIND) == self.file
        parameters = dict(own.parameters) if own is not None and is_same else {}
        values = json.loads(recipe.to_json())
        values["agent"] = {"name": _KIND + self.file, **parameters, **self.given}
        return Recipe.from_dict(values)


def to_contender(text: str) -> Contender:
    """Return the agent that a text names; settings in braces are TOML.

    Raises:
        RecipeError: it is no name, or the braces hold no TOML.
    """
    file, brace, rest = text.strip().partition("{")
    file = file.strip().removeprefix(_KIND)
    if not file or (brace and not rest.endswith("}")):
        raise RecipeError(
            f"an agent is NAME or NAME{{key=value}}, is {text!r}: write sma_cross{{fast=10}}"
        )
    try:
        given = tomllib.loads(f"given = {{{rest}")["given"] if brace else {}
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(
            f"the settings of {text!r} are not TOML ({error}): write sma_cross{{fast=10}}"
        ) from None
    return Contender(file=file, given=given)


def to_contenders(texts: Iterable[str]) -> list[Contender]:
    """Return the agents that texts name, in order; one that is named twice stands there once.

    Raises:
        RecipeError: see ``to_contender``.
    """
    found: dict[str, Contender] = {}
    for text in texts:
        contender = to_contender(text)
        found.setdefault(contender.name, contender)
    return list(found.values())


def check_agent(recipe: Recipe) -> None:
    """Raise what is wrong with the name or the parameters of a recipe's agent before it runs."""
    find_strategy(recipe)
    # What else its constructor raises is the agent's own failure, and fails what is its own alone.
    try:
        make_agent(recipe)
    except SeawallError:
        raise
    except (Exception, SystemExit):  # noqa: BLE001 - an agent is somebody else's code
        return


def split_names(text: str) -> list[str]:
    """Return the names in a list with commas; a comma within braces does not part two."""
    names, depth, start = [], 0, 0
    for place, char in enumerate(text):
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            names.append(text[start:place])
            start = place + 1
    return [name.strip() for name in [*names, text[start:]] if name.strip()]


def _write(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (str, bool)) else str(value)
