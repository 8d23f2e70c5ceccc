"""The ledger of trials: every run of an agent family that was ever made in a workspace.

The best of many tries looks good by luck alone, so whoever judges an agent has to know how often it
was tried. A trial is a family (the agent's import name, whatever its parameters) and the hash of
what was run, code and all; the same run again is no new trial. Rows are chained by hash: one that
is changed or taken out shows (``check``). That the last rows are gone shows by the digest alone,
which every league prints.

A workspace keeps it in ``.seawall/trials.sqlite``. Without a workspace there is none.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite
from pathlib import Path

from seawall import workspace_folders
from seawall.errors import WorkspaceError
from seawall.recipe import SIMULATED, Recipe
from seawall.sources import find_sources

PLACE = Path(".seawall") / "trials.sqlite"
EMPTY = "0" * 16
_BUSY_SECONDS = 30.0
_TABLE = """CREATE TABLE IF NOT EXISTS trials (
    n INTEGER PRIMARY KEY, family TEXT NOT NULL, run TEXT NOT NULL, name TEXT NOT NULL,
    market TEXT NOT NULL, sharpe REAL, hash TEXT NOT NULL, UNIQUE (family, run))"""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run of an agent.

    Attributes:
        family: the agent's import name, ``agents.sma_cross``.
        run: hash of what was run: the agent's code and parameters, market, costs and all.
        name: of the recipe, for the reader.
        market: what ratios are comparable in: see ``market_of``.
        sharpe: annualised; None where there is none.
    """

    family: str
    run: str
    name: str = ""
    market: str = ""
    sharpe: float | None = None


class TrialLedger:
    """The trials in one file; several processes may write to it.

    Args:
        path: of the file; made with the first trial.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, trials: Iterable[Trial]) -> int:
        """Add trials, and return how many of them are new.

        Raises:
            WorkspaceError: the file cannot be written.
        """
        rows = list(trials)
        if not rows:
            return 0
        with self._open() as base:
            base.execute("BEGIN IMMEDIATE")
            last = _last_hash(base)
            n_new = 0
            for row in rows:
                fresh = _chain(last, row)
                found = base.execute(
                    "INSERT OR IGNORE INTO trials (family, run, name, market, sharpe, hash) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    (row.family, row.run, row.name, row.market, row.sharpe, fresh),
                )
                if found.rowcount:
                    n_new, last = n_new + 1, fresh
            base.execute("COMMIT")
        return n_new

    def trials(self, family: str) -> list[Trial]:
        """Return the trials of a family, oldest first.

        Raises:
            WorkspaceError: the file cannot be read.
        """
        return [row for row in self._rows() if row.family == family]

    def count(self, family: str) -> int:
        """Return how many trials a family has."""
        return len(self.trials(family))

    @property
    def digest(self) -> str:
        """The hash of the last row, and so of all: 16 hexadecimal digits."""
        if not self.path.is_file():
            return EMPTY
        with self._open() as base:
            return _last_hash(base)

    def check(self) -> None:
        """Raise where a row was changed, or one is missing.

        Raises:
            WorkspaceError: it names the first row that does not add up.
        """
        if not self.path.is_file():
            return
        last = EMPTY
        with self._open() as base:
            rows = base.execute(
                "SELECT n, hash, family, run, name, market, sharpe FROM trials ORDER BY n"
            ).fetchall()
        for number, (n, stored, *values) in enumerate(rows, start=1):
            last = _chain(last, _to_trial(*values))
            if n != number or last != stored:
                raise WorkspaceError(
                    f"the ledger of trials must be as it was written, row {n} of {self.path} is "
                    "not: the count of trials cannot be trusted; begin a new ledger"
                )

    def _rows(self) -> Iterator[Trial]:
        if not self.path.is_file():
            return
        with self._open() as base:
            rows = base.execute("SELECT family, run, name, market, sharpe FROM trials ORDER BY n")
            yield from (_to_trial(*values) for values in rows.fetchall())

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(
                sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
            ) as base:
                base.execute(_TABLE)
                yield base
        except (OSError, sqlite3.Error) as error:
            raise WorkspaceError(
                f"trials are counted in {self.path}, it cannot be used ({error}): make it "
                "writable, or work outside of a workspace"
            ) from error


def workspace_ledger() -> TrialLedger | None:
    """Return the ledger of the workspace; None without one."""
    root = workspace_folders.WORKSPACE
    return None if root is None else TrialLedger(root / PLACE)


def note_run(recipe: Recipe, sharpe: float) -> None:
    """Count one run in the workspace's ledger, if there is one.

    Args:
        recipe: what was run, with its agent.
        sharpe: annualised; nan where there is none.

    Raises:
        WorkspaceError: the ledger cannot be written.
    """
    ledger = workspace_ledger()
    if ledger is not None and recipe.agent is not None:
        ledger.note([to_trial(recipe, sharpe if isfinite(sharpe) else None)])


def to_trial(recipe: Recipe, sharpe: float | None) -> Trial:
    """Return the trial that a run of a recipe is."""
    name = "" if recipe.agent is None else recipe.agent.name
    parts = (recipe.id, *find_sources(json.loads(recipe.to_json())))
    return Trial(
        family=name.partition(":")[0],
        run=sha256("\0".join(parts).encode()).hexdigest()[:16],
        name=recipe.name,
        market=market_of(recipe),
        sharpe=sharpe,
    )


def market_of(recipe: Recipe) -> str:
    """Return a hash of a recipe's market section, and of the seed where a model makes the market.

    Sharpe ratios spread over different windows for other reasons than luck.
    """
    market = recipe.market
    text = market.model_dump_json() + (str(recipe.seed) if market.venue == SIMULATED else "")
    return sha256(text.encode()).hexdigest()[:16]


def _to_trial(family: str, run: str, name: str, market: str, sharpe: float | None) -> Trial:
    return Trial(family=family, run=run, name=name, market=market, sharpe=sharpe)


def _last_hash(base: sqlite3.Connection) -> str:
    row = base.execute("SELECT hash FROM trials ORDER BY n DESC LIMIT 1").fetchone()
    return EMPTY if row is None else str(row[0])


def _chain(last: str, trial: Trial) -> str:
    values = (last, trial.family, trial.run, trial.name, trial.market, repr(trial.sharpe))
    text = "\0".join(values)
    return sha256(text.encode()).hexdigest()[:16]
