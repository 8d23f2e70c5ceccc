"""A league is played: which cells there are, which are known already, and who plays the rest.

An agent has luck of its own where another seed gives another result: that is tried in the first
window that it can play, unless the agent says ``is_random``. What has luck plays with all seeds
everywhere; a simulated market is itself another one with each seed, so there everybody does.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from seawall.analysis.contender import Contender, to_contender
from seawall.analysis.guarded import Kind, kind_of
from seawall.errors import RecipeError, SeawallError
from seawall.market.catalog import Catalog
from seawall.recipe import SIMULATED, Recipe
from seawall.tournament.cells import ORACLE, Cell, Task
from seawall.tournament.league_file import LeagueFile
from seawall.tournament.runner import Runner, to_line
from seawall.tournament.store import CellStore
from seawall.tournament.stress import NONE, stressed, why_not
from seawall.trial_ledger import TrialLedger, to_trial
from seawall.workspace import load

Advance = Callable[[int, int], None]
_Place = tuple[str, str, int, str]  # window, agent, seed, stress
_TRADING = ("cash", "buy_and_hold")
_GUARDING = ("do_nothing",)


@dataclass(kw_only=True)
class Played:
    """A league that was played.

    Attributes:
        file: what was to be played.
        recipes: by window.
        kind: what is guarded; None where agents trade.
        benchmarks, agents, sweeps: shown names; the sets of each swept agent by its file.
        cells: by (window, agent, seed, stress).
        random: agents with luck of their own.
        families: import name of every agent, by shown name.
        n_played, n_known: cells that were run now, and such as were there already.
        n_changed: cells that were run while code or files changed, and are not kept.
    """

    file: LeagueFile
    recipes: Mapping[str, Recipe]
    kind: Kind | None
    benchmarks: tuple[str, ...]
    agents: tuple[str, ...]
    sweeps: Mapping[str, tuple[str, ...]]
    cells: dict[tuple[str, str, int, str], Cell] = field(default_factory=dict)
    random: set[str] = field(default_factory=set)
    families: dict[str, str] = field(default_factory=dict)
    n_played: int = 0
    n_known: int = 0
    n_changed: int = 0

    @property
    def players(self) -> tuple[str, ...]:
        """Everybody but the oracle: benchmarks, agents, parameter sets."""
        swept = [name for names in self.sweeps.values() for name in names]
        return tuple(dict.fromkeys((*self.benchmarks, *self.agents, *swept)))

    def seeds_of(self, window: str, agent: str) -> tuple[int, ...]:
        """Return the seeds that an agent plays a window with, the recipe's own first."""
        recipe = self.recipes[window]
        has_many = agent in self.random or recipe.market.venue == SIMULATED
        return tuple(recipe.seed + n for n in range(self.file.seeds if has_many else 1))

    def cell(self, window: str, agent: str, seed: int = -1, stress: str = NONE) -> Cell | None:
        """Return a cell; seed -1 is the recipe's own. None where it was not played."""
        number = self.recipes[window].seed if seed < 0 else seed
        return self.cells.get((window, agent, number, stress))


def play_league(
    file: LeagueFile,
    *,
    runner: Runner,
    store: CellStore,
    ledger: TrialLedger | None = None,
    catalog: Catalog | None = None,
    progress: Advance = lambda _done, _total: None,
) -> Played:
    """Play what a league file asks for; what was played before is not played again.

    Args:
        file: the league.
        runner: who plays.
        store: where cells are kept, each as soon as it is done.
        ledger: of trials; None where there is no workspace.
        catalog: of market data; the default one if None.
        progress: called with cells done and cells known of so far.

    Raises:
        RecipeError: a window or an agent's parameter is not allowed.
        ResultError: the cells cannot be kept.
        WorkspaceError: there is no such recipe, or the ledger was changed or cannot be written.
    """
    played = _begin(file)
    store.check()
    if ledger is not None:
        ledger.check()
    course = _Course(played, runner, store, ledger, str((catalog or Catalog()).root), progress)
    course.fetch(course.task(w, name) for w in played.recipes for name in course.everybody)
    course.probe([name for name in played.players if _may_be_random(played.families[name])])
    course.fetch(
        course.task(window, name, seed=seed)
        for window in played.recipes
        for name in played.players
        for seed in played.seeds_of(window, name)
    )
    course.fetch(course.stress_tasks())
    return played


class _Course:
    """Plays the tasks of one league."""

    def __init__(  # noqa: PLR0917 - private, in one place
        self,
        played: Played,
        runner: Runner,
        store: CellStore,
        ledger: TrialLedger | None,
        catalog: str,
        progress: Advance,
    ) -> None:
        self.played, self._runner, self._store = played, runner, store
        self._ledger, self._catalog, self._progress = ledger, catalog, progress
        self._total = 0
        oracle = (ORACLE,) if played.kind is None and played.file.oracle else ()
        self.everybody = (*played.players, *oracle)

    def task(self, window: str, name: str, *, seed: int = -1, stress: str = NONE) -> Task:
        """Return the task of a cell."""
        recipe = self.played.recipes[window]
        own = recipe if name == ORACLE else to_contender(name).recipe(recipe)
        number = recipe.seed if seed < 0 else seed
        values = json.loads(stressed(own, stress).to_json())
        values["seed"] = number
        return Task(
            window=window, agent=name, seed=number, stress=stress,
            recipe=json.dumps(values, sort_keys=True), catalog=self._catalog,
        )  # fmt: skip

    def probe(self, unsaid: Iterable[str]) -> None:
        """Find out who has luck of their own: another seed is tried where there is a result.

        A probe is a trial of those who have luck alone: who has none has the same run again.
        """
        played = self.played
        places = {name: found for name in unsaid if (found := _probed_window(played, name))}
        tasks = {
            name: self.task(window, name, seed=played.recipes[window].seed + 1)
            for name, window in places.items()
        }
        self.fetch(tasks.values(), is_trial=False)
        cells = {name: played.cells[_place(task)] for name, task in tasks.items()}
        for name in played.players:
            if name in cells:
                own = played.cell(places[name], name)
                is_random = own is not None and _differ(own, cells[name])
            else:
                is_random = _says_random(played.families[name])
            if is_random:
                played.random.add(name)
        self._note(cell for name, cell in cells.items() if name in played.random)

    def stress_tasks(self) -> Iterable[Task]:
        """Give the stressed cells of everybody who is ranked, with the seeds of the plain ones."""
        names = (*self.played.benchmarks, *self.played.agents)
        for stress in self.played.file.stress:
            for window, recipe in self.played.recipes.items():
                if why_not(stress, recipe):
                    continue
                for name in names:
                    seeds = self.played.seeds_of(window, name)
                    plain = [self.played.cell(window, name, seed) for seed in seeds]
                    if any(cell is None or cell.error for cell in plain):
                        continue  # it has said why
                    try:
                        yield from [
                            self.task(window, name, seed=seed, stress=stress) for seed in seeds
                        ]
                    except SeawallError as error:  # nothing is left of the window, say
                        self._fail(window, name, stress, error)

    def fetch(self, tasks: Iterable[Task], *, is_trial: bool = True) -> None:
        """Find or play every task that is not there yet."""
        played = self.played
        wanted = {_place(task): task for task in tasks if _place(task) not in played.cells}
        self._total += len(wanted)
        keys = {place: task.key for place, task in wanted.items()}  # of the code as it is now
        known = [cell for task in wanted.values() if (cell := self._store.find(task)) is not None]
        played.n_known += len(known)
        for cell in known:
            self._add(cell)
        if is_trial:  # one that is counted already is none; one that nobody counted is
            self._note(known)
        left = [task for place, task in wanted.items() if place not in played.cells]
        for cell in self._runner.run(left):
            if is_trial:
                self._note([cell])  # before it is kept: nobody sees what was not counted
            if cell.error or cell.key == keys[_place(cell.task)]:
                self._store.keep(cell)
            else:
                played.n_changed += 1
            played.n_played += 1
            self._add(cell)

    def _add(self, cell: Cell) -> None:
        self.played.cells[_place(cell.task)] = cell
        self._progress(len(self.played.cells), self._total)

    def _note(self, cells: Iterable[Cell]) -> None:
        """Count trials; what failed, is stressed, or knows the future, is none."""
        if self._ledger is None:
            return
        self._ledger.note(
            to_trial(Recipe.from_dict(json.loads(cell.task.recipe)), cell.worth.get("sharpe"))
            for cell in cells
            if not (cell.error or cell.task.stress or cell.task.agent == ORACLE)
        )

    def _fail(self, window: str, name: str, stress: str, error: SeawallError) -> None:
        recipe = self.played.recipes[window]
        task = Task(
            window=window, agent=name, seed=recipe.seed, stress=stress, recipe=recipe.to_json(),
            catalog=self._catalog,
        )  # fmt: skip
        self.played.cells[_place(task)] = Cell(task=task, key="", error=to_line(error))


def _begin(file: LeagueFile) -> Played:
    """Return the league before anything is played; every recipe of it is allowed."""
    recipes = file.recipes()
    kinds = {kind_of(recipe) for recipe in recipes.values()}
    if len(kinds) > 1:
        raise RecipeError(
            "the windows of a league are all of trading, of loans or of futures positions, these "
            f"are of {' and '.join(sorted(str(k or 'trading') for k in kinds))}: make two leagues"
        )
    kind = kinds.pop()
    benchmarks = file.benchmarks or (_TRADING if kind is None else _GUARDING)
    contenders = {one.name: one for one in map(to_contender, (*benchmarks, *file.agents))}
    marks = [to_contender(text).name for text in benchmarks]
    sweeps: dict[str, tuple[str, ...]] = {}
    for sweep in file.sweep:
        sets = {one.name: one for one in sweep.contenders()}
        contenders |= sets
        sweeps[sweep.agent] = tuple(sets)
    for recipe in recipes.values():
        for contender in contenders.values():
            contender.recipe(recipe)  # raises where a parameter is none
    agents = [to_contender(text).name for text in file.agents]
    return Played(
        file=file, recipes=recipes, kind=kind, benchmarks=tuple(dict.fromkeys(marks)),
        agents=tuple(dict.fromkeys(name for name in agents if name not in marks)), sweeps=sweeps,
        families={name: _family(one, recipes) for name, one in contenders.items()},
    )  # fmt: skip


def _family(contender: Contender, recipes: Mapping[str, Recipe]) -> str:
    agent = contender.recipe(next(iter(recipes.values()))).agent
    return "" if agent is None else agent.name.partition(":")[0]


def _may_be_random(family: str) -> bool:
    """Return whether it has to be tried: not where the agent says so, or cannot be loaded."""
    try:
        return not isinstance(getattr(load(family), "is_random", None), bool)
    except SeawallError:
        return False


def _says_random(family: str) -> bool:
    try:
        return getattr(load(family), "is_random", None) is True
    except SeawallError:
        return False


def _probed_window(played: Played, name: str) -> str:
    """Return a window that an agent has a result in; a simulated market has luck of its own."""
    for window, recipe in played.recipes.items():
        cell = played.cell(window, name)
        if recipe.market.venue != SIMULATED and cell is not None and not cell.error:
            return window
    return ""


def _differ(one: Cell, other: Cell) -> bool:
    """Return whether two cells of an agent differ by more than the seed; a failed one does not."""
    if one.error or other.error:
        return False
    return len(one.equity) != len(other.equity) or bool((one.equity != other.equity).any())


def _place(task: Task) -> _Place:
    return task.window, task.agent, task.seed, task.stress
