"""A league file: which agents play in which windows, and what is asked of the result.

::

    name = "majors"
    agents = ["sma_cross", "rsi{n=7}", "momentum"]
    windows = [                                            # recipes: names, or files
        "crash_2020_03",
        { recipe = "crash_2020_03", name = "btc", settings = { "market.symbols" = ["BTC/USDT"] } },
    ]
    seeds = 5                                              # of what is random
    stress = ["one_bar_later", "double_fees"]

    [[sweep]]                                              # parameter sets: what PBO is about
    agent = "sma_cross"
    parameters = { fast = [10, 20], slow = [50, 100] }

Plain values only, as in a recipe. Every window's recipe says market, job and costs; the league puts
its agents in.
"""

from collections.abc import Mapping
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from seawall.analysis.contender import Contender, to_contender
from seawall.errors import RecipeError, WorkspaceError
from seawall.recipe import Recipe
from seawall.recipe_errors import explain, parse_toml, read_text
from seawall.recipe_section import Section
from seawall.tournament.cells import ORACLE
from seawall.tournament.stress import check_stress
from seawall.workspace import did_you_mean, find_recipe

MIN_SEEDS = 5
_MAX_SETS = 1_000


class WindowSection(Section):
    """One window.

    Attributes:
        recipe: its name, or file.
        name: in the tables; the recipe's own otherwise.
        settings: of this window's recipe, by dotted key.
    """

    recipe: str
    name: str = ""
    settings: Mapping[str, object] = Field(default_factory=dict)


class SweepSection(Section):
    """Parameter sets of one agent: all combinations of the values given.

    Attributes:
        agent: its name.
        parameters: by name, the values to be tried.
    """

    agent: str
    parameters: Mapping[str, tuple[object, ...]]

    @field_validator("parameters", mode="before")
    @classmethod
    def _lists_are_tuples(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        return {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}

    @model_validator(mode="after")
    def _check(self) -> Self:
        n_sets = len(self.contenders())
        if not 2 <= n_sets <= _MAX_SETS:  # noqa: PLR2004 - one set is no choice
            raise RecipeError(
                f"a sweep has 2 to {_MAX_SETS} parameter sets, that of {self.agent} has {n_sets}: "
                "give more or fewer values"
            )
        return self

    def contenders(self) -> list[Contender]:
        """Return the agent with each parameter set."""
        base = to_contender(self.agent)
        names, sets = tuple(self.parameters), product(*self.parameters.values())
        return [
            Contender(file=base.file, given={**base.given, **dict(zip(names, one, strict=True))})
            for one in sets
        ]


class LeagueFile(Section):
    """One league.

    Attributes:
        name, description: for the reader.
        agents: as in ``seawall compare``: NAME, or NAME{key=value}.
        windows: recipes, by name or file. All trade, all guard loans, or all guard positions.
        benchmarks: who has to be beaten; cash and buy-and-hold, or doing nothing where something is
            guarded, if none is named.
        seeds: how many seeds an agent with luck of its own plays with, 5 at least.
        sweep: parameter sets, each a trial; PBO is told of them.
        stress: see ``seawall.tournament.stress``.
        settings: of every window's recipe, by dotted key, such as ``costs.taker_fee_bps``.
        oracle: let one that knows the next bar play too: it must win, or the league can tell
            nothing. Where agents trade only.
    """

    name: str = "unnamed"
    description: str = ""
    agents: Annotated[tuple[str, ...], Field(min_length=1)]
    windows: Annotated[tuple[WindowSection, ...], Field(min_length=1)]
    benchmarks: tuple[str, ...] = ()
    seeds: Annotated[int, Field(ge=MIN_SEEDS, le=100)] = MIN_SEEDS
    sweep: tuple[SweepSection, ...] = ()
    stress: tuple[str, ...] = ()
    settings: Mapping[str, object] = Field(default_factory=dict)
    oracle: bool = True

    @field_validator("agents", "benchmarks", "sweep", "stress", mode="before")
    @classmethod
    def _lists_are_tuples(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("windows", mode="before")
    @classmethod
    def _names_are_windows(cls, value: object) -> object:
        if not isinstance(value, list):
            return value
        return tuple({"recipe": one} if isinstance(one, str) else one for one in value)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for text in (*self.agents, *self.benchmarks, *(one.agent for one in self.sweep)):
            # Raises where it cannot be read; one that is missing fails alone.
            if to_contender(text).name == ORACLE:
                raise RecipeError(
                    f"{ORACLE} is who knows the next bar in every league, an agent bears that name:"
                    " rename its file"
                )
        for text in self.stress:
            check_stress(text)
        return self

    @classmethod
    def from_toml(cls, text: str, *, name: str = "unnamed") -> Self:
        """Return the league that a TOML text describes.

        Raises:
            RecipeError: it is no TOML, or a key or value is not allowed; the message names it.
        """
        return cls.from_dict({"name": name, **parse_toml(text, f"league {name}")})

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """Return the league of plain values.

        Raises:
            RecipeError: a key or value is not allowed; the message names it.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise RecipeError(explain(error, cls, "a league")) from None

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Return the league of a file; its name is the file's unless it says otherwise.

        Raises:
            RecipeError: it cannot be read, or says what is not allowed.
        """
        return cls.from_toml(read_text(path, f"league {path}"), name=path.stem)

    def recipes(self) -> dict[str, Recipe]:
        """Return the windows' recipes by name, the league's settings in them.

        Raises:
            WorkspaceError: there is no such recipe.
            RecipeError: it is not allowed, or two windows bear one name.
        """
        found: dict[str, Recipe] = {}
        for window in self.windows:
            settings = {**self.settings, **window.settings}
            recipe = Recipe.from_file(find_recipe(window.recipe)).with_settings(settings)
            name = window.name or recipe.name
            if name in found:
                raise RecipeError(f"windows need names of their own, two are {name}: rename one")
            found[name] = recipe
        return found


def find_league(name: str) -> Path:
    """Return the file of a league: a path as it stands, or the name of one in ``leagues/``.

    ``leagues/`` lies in ``backtests/``, in the shipped one and in the workspace's.

    Raises:
        WorkspaceError: there is no such league.
    """
    if name.endswith(".toml") or Path(name).name != name:
        path = Path(name)
        if path.is_file():
            return path
        raise WorkspaceError(f"there is no league file {name}: give the path of one")
    found = {
        path.stem: path
        for folder in import_module("seawall.backtests").__path__
        for path in sorted((Path(folder) / "leagues").glob("*.toml"))
    }
    if name not in found:
        raise WorkspaceError(
            f"there is no league {name!r}{did_you_mean(name, found)}: "
            f"there are {', '.join(found) or 'none'}"
        )
    return found[name]
