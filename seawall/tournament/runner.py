"""Who plays the cells of a league: this process, or several beside it (``processes``).

A runner gets tasks and gives cells, in whatever order they are done; it keeps nothing. Tasks and
cells are plain and can be pickled, so a cluster can stand behind the same method.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Protocol

import numpy as np

from seawall.analysis.chance import N_RANDOM, match
from seawall.analysis.chance import play as play_random
from seawall.analysis.figures import to_ms
from seawall.analysis.guarded import kind_of
from seawall.analysis.judgement import account_of, equity_of
from seawall.analysis.statistics import percentile_among
from seawall.engine.run import check, run_in
from seawall.engine.world import World, build_world
from seawall.errors import SeawallError
from seawall.market.catalog import Catalog
from seawall.recipe import Recipe
from seawall.result import Result
from seawall.tournament.cells import ORACLE, Cell, Task, data_state
from seawall.tournament.oracle import Oracle
from seawall.tournament.stress import stressed_catalog
from seawall.tournament.worth import PERCENTILE, why_abstained, worth_of

_CHANCE_STREAM = 2  # of the seed: the random agents do not move what the agent draws
_LONGEST = 400  # characters of an error


class Runner(Protocol):
    """Plays cells."""

    def run(self, tasks: Sequence[Task]) -> Iterator[Cell]:
        """Give the cell of every task, in any order; what fails is a cell with an error."""
        ...


class HereRunner:
    """Plays one cell after the other in this process: for notebooks, tests and debuggers."""

    def run(self, tasks: Sequence[Task]) -> Iterator[Cell]:
        """Give the cells in the order of the tasks."""
        for task in tasks:
            yield play(task)


def play(task: Task) -> Cell:
    """Return the cell of a task; whatever the agent does wrong is its error."""
    begun = time.perf_counter()
    recipe = Recipe.from_dict(json.loads(task.recipe))
    catalog = Catalog(Path(task.catalog))
    try:
        with _silence():
            world = _world(_without_agent(recipe), str(catalog.root), task.stress)
            result = _run(task, recipe, world)
        cell = _to_cell(task, result, catalog, _percentile(task, result, world))
    except SeawallError as error:
        return Cell(task=task, key="", error=to_line(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - an agent is somebody else's code
        return Cell(task=task, key="", error=f"{type(error).__name__}: {to_line(error)}")
    return replace(cell, seconds=time.perf_counter() - begun)


def to_line(error: BaseException | str) -> str:
    """Return what an error says as one line of a bearable length."""
    text = " ".join(str(error).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


class _Nowhere(StringIO):
    """Takes everything and keeps nothing."""

    def write(self, text: str) -> int:
        """Return how much was taken."""
        return len(text)


def _silence() -> "redirect_stdout[_Nowhere]":
    """Let nothing that agents print reach the terminal, where the progress is."""
    return redirect_stdout(_Nowhere())


def _run(task: Task, recipe: Recipe, world: World) -> Result:
    if task.agent == ORACLE:
        return run_in(world, recipe, agent=Oracle(world, recipe))
    check(recipe)
    return run_in(world, recipe)


def _without_agent(recipe: Recipe) -> str:
    values = json.loads(recipe.to_json())
    values.pop("agent", None)
    return json.dumps(values, sort_keys=True)


@lru_cache(maxsize=2)
def _world(recipe: str, catalog: str, stress: str) -> World:
    """Return the world of a window; agents that meet the same one share it."""
    store = stressed_catalog(Catalog(Path(catalog)), stress)
    return build_world(Recipe.from_dict(json.loads(recipe)), store, offline=True)


def _percentile(task: Task, result: Result, world: World) -> dict[str, float]:
    """Return where the result lies among random agents that trade as much; nothing where none."""
    if task.stress or task.agent == ORACLE or kind_of(result.recipe) is not None:
        return {}
    rng = np.random.default_rng([result.recipe.seed, _CHANCE_STREAM])
    chance = play_random(result.recipe, world, match(result, world), n_random=N_RANDOM, rng=rng)
    if not chance.has_luck:
        return {}
    return {PERCENTILE: percentile_among(result.metrics.total_return, chance.returns)}


def _to_cell(task: Task, result: Result, catalog: Catalog, more: Mapping[str, float]) -> Cell:
    return Cell(
        task=task,
        key=task.key,
        time_ms=np.asarray(to_ms(account_of(result).index), dtype=np.int64),
        equity=equity_of(result),
        worth={**worth_of(result), **more},
        labels=result.labels,
        data=data_state(catalog, list(result.data)),
        why_abstained=to_line(why_abstained(result)),
    )
