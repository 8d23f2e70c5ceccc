"""Signals of a live session: what the catalog holds, as far as it is known at each step.

Nobody is asked for them: a value appears once ``seawall data import`` or ``get`` has stored it and
its ``known_at`` has passed. One that was stored later than that counts from the step that saw it
on; one that was given stays as it was. What a step sees is written down before the strategy sees
it, so a restart and a replay see the same.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from seawall.engine.world import to_signal_key
from seawall.errors import DataError
from seawall.market.catalog import Catalog
from seawall.market.series import SeriesKey, Signal
from seawall.observation import SignalWindow, allocate
from seawall.paper.journal import PaperJournal

EVENT = "signals"
SOURCE = "the catalog, as a paper session found it"
LABEL = "signals: from the catalog, each from when it was known and stored"
_BLOCK = 1_024  # values at first; doubled when they are full


class SignalRow(NamedTuple):
    """One value: what period it describes, and from when on the session knew it."""

    time_ms: int
    known_ms: int
    value: float


class GrowingSignal(SignalWindow):
    """The values of one signal so far; what is appended is known."""

    __slots__ = ()

    def __init__(self, key: SeriesKey) -> None:
        never = np.empty(0, dtype=np.int64)
        super().__init__(Signal(key=key, time_ms=never, known_ms=never, value=np.empty(0)))

    def reveal_until(self, time_ms: int) -> None:
        """Do nothing: what is not known yet is not here."""

    def append(self, rows: Iterable[SignalRow]) -> None:
        """Add values that have become known."""
        for row in rows:
            n = self.n_visible
            if n == len(self._values):
                self._grow(max(_BLOCK, 2 * n))
            self._known[n], self._values[n] = row.known_ms, row.value
            self.n_visible = n + 1

    def _grow(self, capacity: int) -> None:
        values, shown_values = allocate(capacity, np.float64, np.nan)
        known, shown_known = allocate(capacity, np.int64, 0)
        values[: self.n_visible], known[: self.n_visible] = self._values, self._known
        self._values, self._shown_values = values, shown_values
        self._known, self._shown_known = known, shown_known


class StoredSignal:
    """One signal in the catalog, read again where it has changed.

    Args:
        catalog: where it is.
        name: as the recipe has it.

    Attributes:
        is_simulated: whether a model made it.
        changed: the times of values that were given and then changed in the catalog.
    """

    def __init__(self, catalog: Catalog, name: str) -> None:
        self.key = to_signal_key(name)
        self._catalog, self._sha256 = catalog, ""
        self._given: dict[int, float] = {}
        self._waiting: list[SignalRow] = []
        self.is_simulated = False
        self.changed: list[int] = []

    def give(self, rows: Iterable[SignalRow]) -> None:
        """Count values as given."""
        self._given.update({row.time_ms: row.value for row in rows})
        self._waiting = [row for row in self._waiting if row.time_ms not in self._given]

    def read(self, until_ms: int) -> list[SignalRow]:
        """Return the values that are known by then and were not given, as they became known.

        Raises:
            DataError: it is not in the catalog, or damaged there.
        """
        manifest = self._catalog.manifest(self.key)
        if manifest.sha256 != self._sha256:
            self._take(self._catalog.read_signal(self.key))
            self._sha256 = manifest.sha256
        return [row for row in self._waiting if row.known_ms <= until_ms]

    def _take(self, signal: Signal) -> None:
        self.is_simulated = signal.is_simulated
        columns = (signal.time_ms.tolist(), signal.known_ms.tolist(), signal.value.tolist())
        rows = [SignalRow(*row) for row in zip(*columns, strict=True)]
        given = self._given
        self.changed = [
            row.time_ms for row in rows if given.get(row.time_ms, row.value) != row.value
        ]
        fresh = [row for row in rows if row.time_ms not in given]
        self._waiting = sorted(fresh, key=lambda row: (row.known_ms, row.time_ms))


class LiveSignals:
    """The signals of one session.

    Args:
        names: as the recipe has them.
        catalog, journal: where they are read, and written down.
        since_ms: the first step that an agent is asked at.
        on_fault: told, once, that one cannot be read, or has changed after it was given.

    Attributes:
        windows: by name.
    """

    def __init__(
        self,
        names: Sequence[str],
        catalog: Catalog,
        journal: PaperJournal,
        *,
        since_ms: int,
        on_fault: Callable[[str], object],
    ) -> None:
        self._stored = {name: StoredSignal(catalog, name) for name in names}
        self.windows = {name: GrowingSignal(one.key) for name, one in self._stored.items()}
        self._journal, self._since_ms, self._on_fault = journal, since_ms, on_fault
        self._recorded = deque(recorded_steps(journal))
        self._began = {name for _, fresh in self._recorded for name in fresh}
        self._last_ms = max((stamp for stamp, _ in self._recorded), default=0)
        self._last_ms = max(self._last_ms, journal.last_step() or 0)
        self._faults: dict[str, str] = {}

    def step(self, stamp_ms: int) -> dict[str, list[SignalRow]]:
        """Show what is known at a step; return the values that nobody has seen before."""
        if stamp_ms < self._since_ms or not self._stored:
            return {}
        while self._recorded and self._recorded[0][0] <= stamp_ms:
            self._show(self._recorded.popleft()[1])
        if stamp_ms <= self._last_ms:
            return {}
        fresh = {name: self._read(name, stamp_ms) for name in self._stored}
        fresh = {n: rows for n, rows in fresh.items() if rows or n not in self._began}
        self._last_ms = stamp_ms
        self._began.update(fresh)
        if fresh:
            simulated = [name for name in fresh if self._stored[name].is_simulated]
            payload = {"rows": fresh, "simulated": simulated}
            self._journal.see(f"{EVENT} {stamp_ms}", stamp_ms, EVENT, payload)
            self._show(fresh)
        for name, rows in fresh.items():
            if rows:
                self._journal.remember(known_name(name), rows[-1].known_ms)
        return fresh

    def _read(self, name: str, stamp_ms: int) -> list[SignalRow]:
        """Return what is new, in the order in which the session has come to know it."""
        stored, fault = self._stored[name], ""
        rows: list[SignalRow] = []
        try:
            rows = stored.read(stamp_ms)
            if stored.changed:
                fault = f"{len(stored.changed)} values were changed after they were given, and stay"
        except (DataError, OSError) as error:
            fault = f"it cannot be read, the session goes on with what it has: {error}"
        if fault and fault != self._faults.get(name):
            self._on_fault(f"signal {name}: {fault}")
        self._faults[name] = fault
        last_ms = self._last_ms if name in self._began else 0
        seen = [row if row.known_ms > last_ms else row._replace(known_ms=stamp_ms) for row in rows]
        return sorted(seen, key=lambda row: (row.known_ms, row.time_ms))

    def _show(self, fresh: dict[str, list[SignalRow]]) -> None:
        for name, rows in fresh.items():
            if name in self.windows:
                self.windows[name].append(rows)
                self._stored[name].give(rows)


def known_name(name: str) -> str:
    """Return under what name the journal remembers when a signal's last value became known."""
    return f"signal {name}"


def check_signals(names: Iterable[str], catalog: Catalog) -> None:
    """Raise where a signal cannot be read.

    Raises:
        DataError: the catalog lacks one, or it is damaged.
        RecipeError: a name is none.
    """
    for name in names:
        catalog.read_signal(to_signal_key(name))


def recorded_steps(journal: PaperJournal) -> list[tuple[int, dict[str, list[SignalRow]]]]:
    """Return what became known at which step, in order."""
    steps = [
        (int(key.split()[1]), {
            name: [SignalRow(*row) for row in rows] for name, rows in payload["rows"].items()
        })
        for key, payload in journal.events(EVENT)
    ]  # fmt: skip
    return sorted(steps, key=lambda step: step[0])


def recorded_signals(journal: PaperJournal, names: Iterable[str]) -> dict[str, Signal]:
    """Return the signals that a session saw, each value from when the session knew it."""
    simulated = {one for _, payload in journal.events(EVENT) for one in payload["simulated"]}
    steps = recorded_steps(journal)
    found = {}
    for name in names:
        rows = sorted(row for _, fresh in steps for row in fresh.get(name, ()))
        found[name] = Signal(
            key=to_signal_key(name),
            time_ms=np.array([row.time_ms for row in rows], dtype=np.int64),
            known_ms=np.array([row.known_ms for row in rows], dtype=np.int64),
            value=np.array([row.value for row in rows], dtype=np.float64),
            source=SOURCE,
            is_simulated=name in simulated,
        )
    return found
