"""One cell of a league: an agent, a window, a seed, a stress; and what became of it.

A cell is addressed by its content: the recipe, the sources of agent, job and library, the files
that parameters name, the versions of what computes, and the stress. One that was played, on data
that the catalog still has, is not played again. Nobody can see whether a program, an address or a
model is still the one it was, so a cell that asked one is played again, unless it replays a
recording.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import seawall
from seawall.errors import RecordingError
from seawall.language.places import find_cassette
from seawall.market.catalog import Catalog
from seawall.market.series import FloatArray, TimeArray
from seawall.recipe import Recipe
from seawall.sources import find_sources
from seawall.tournament.stress import NONE

SCHEMA = 2
ORACLE = "oracle"
# What can change no number of a run, but for some files that can.
_APART = ("analysis", "cli", "conformance", "paper", "sandbox", "tournament", "verify")
_COUNTED = (
    "analysis/chance.py", "analysis/judgement.py", "analysis/statistics.py",
    "tournament/oracle.py", "tournament/runner.py", "tournament/stress.py", "tournament/worth.py",
)  # fmt: skip
_PACKAGES = (
    "backtrader", "lightgbm", "numba", "numpy", "pandas", "river", "scikit-learn", "scipy",
    "stable-baselines3", "torch",
)  # fmt: skip
# Agents that ask somebody else, unless mode = "replay"; each with what its recording is called.
_OUTSIDE = {"http": "recording", "stdio": "recording", "language_model": "cassette"}
_REPLAY = "replay"


@dataclass(frozen=True, kw_only=True)
class Task:
    """A cell before it is played.

    Attributes:
        window, agent: names as they are shown.
        seed: of the recipe.
        stress: name of one, or ``""``.
        recipe: as JSON, with agent, seed and stress in it.
        catalog: folder of the market data.
    """

    window: str
    agent: str
    seed: int
    recipe: str
    catalog: str
    stress: str = NONE

    @property
    def key(self) -> str:
        """The hash of everything but the data that can change the cell, 64 hexadecimal digits."""
        values = json.loads(self.recipe)
        recipe = Recipe.from_dict(values)
        parts = (
            str(SCHEMA), recipe.id, self.agent if self.agent == ORACLE else "", self.stress,
            library_hash(), *find_sources(values), *_find_tapes(values),
        )  # fmt: skip
        return sha256("\0".join(parts).encode()).hexdigest()

    @property
    def is_settled(self) -> bool:
        """Whether nobody outside is asked: the same task is the same cell."""
        asked = _find_outside(json.loads(self.recipe))
        return all(told.get("mode") == _REPLAY for _, told in asked)


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """What became of a task.

    Attributes:
        task: it.
        key: of the task when it was played.
        error: why there is nothing; else ``""``.
        time_ms: int64, shape (n_samples,), start and closes, UTC.
        equity: float64, shape (n_samples,), quote units or USD, of the whole account.
        worth: by name, plain numbers: metrics, counts and costs.
        labels: what has to be said beside the numbers.
        data: content hash of each series as the catalog has it, by key.
        seconds: the run took.
        why_abstained: why the agent mostly had no answer, where it had none.
    """

    task: Task
    key: str
    error: str = ""
    time_ms: TimeArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    equity: FloatArray = field(default_factory=lambda: np.zeros(0))
    worth: Mapping[str, float | None] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    data: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    why_abstained: str = ""

    def number(self, name: str) -> float:
        """Return one of the plain numbers; 0.0 where it is not defined."""
        return float(self.worth.get(name) or 0.0)

    @property
    def total_return(self) -> float:
        """Last equity over the first, minus 1; nan where there is none."""
        if len(self.equity) == 0 or not self.equity[0] > 0:
            return float("nan")
        return float(self.equity[-1] / self.equity[0] - 1)


def data_state(catalog: Catalog, keys: Iterator[str] | list[str]) -> dict[str, str]:
    """Return the content hash of stored series, by key; what is not stored is left out."""
    wanted = set(keys)
    if not wanted:
        return {}
    known = {str(key): key for key in catalog.keys() if str(key) in wanted}  # noqa: SIM118
    return {text: catalog.manifest(key).sha256 for text, key in known.items()}


@cache
def library_hash() -> str:
    """Return the hash of the library's own sources, as far as they can change a number."""
    root = Path(seawall.__file__).parent
    found = sha256(repr([(name, _version(name)) for name in _PACKAGES]).encode())
    for path in sorted(root.rglob("*")):
        place = path.relative_to(root)
        is_counted = place.parts[0] not in _APART or place.as_posix() in _COUNTED
        is_source = path.suffix in (".py", ".toml") and is_counted
        if is_source and place.parts[0] not in ("agents", "strategies", "backtests"):
            found.update(str(place).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _find_outside(recipe: Mapping[str, object]) -> list[tuple[str, Mapping[str, object]]]:
    """Return each agent of a recipe that asks somebody outside, with what it is told."""
    return [(kind, told) for told in _tables(recipe.get("agent")) for kind in _kinds(told)]


def _tables(value: object) -> Iterator[Mapping[str, object]]:
    """Give a table and all within it; a name in a list is a table of that name alone."""
    if isinstance(value, Mapping):
        yield value
        for one in value.values():
            yield from _tables(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _tables({"name": one} if isinstance(one, str) else one)


def _kinds(told: Mapping[str, object]) -> list[str]:
    name = str(told.get("name", "")).removeprefix("agents.").partition(":")[0].partition("{")[0]
    return [name] if name in _OUTSIDE else []


def _find_tapes(recipe: Mapping[str, object]) -> list[str]:
    """Return a hash of each recording that a recipe's agents replay."""
    found = []
    for kind, told in _find_outside(recipe):
        name = told.get(_OUTSIDE[kind], "language_model" if kind == "language_model" else "")
        if isinstance(name, str) and name:
            path = _find_tape(kind, name)
            if path is not None and path.is_file():
                found.append(f"{name} {sha256(path.read_bytes()).hexdigest()}")
    return found


def _find_tape(kind: str, name: str) -> Path | None:
    try:
        return find_cassette(name) if kind == "language_model" else Path(name)
    except RecordingError:
        return None
