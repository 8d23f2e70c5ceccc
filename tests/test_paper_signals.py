"""Signals of a session: read from the catalog as they become known, recorded, and replayed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paper_sessions import RECIPE, Run, keys
from rich.console import Console
from sandbox_clients import START_MS, exchange, wavy

from seawall.errors import SeriesNotFound
from seawall.market.catalog import VARIABLE, Catalog
from seawall.market.series import SeriesKey, Signal
from seawall.observation import Observation
from seawall.paper.journal import PaperJournal
from seawall.paper.outcome import session_result
from seawall.paper.parity import Parity, replay
from seawall.paper.places import JOURNAL, LOG
from seawall.paper.record import Record
from seawall.paper.signals import LABEL, GrowingSignal, SignalRow
from seawall.paper.status import read_status
from seawall.paper.view import show
from seawall.sandbox.server import Server, ServerThread
from seawall.units import MINUTE_MS

pytestmark = pytest.mark.slow  # whole sessions and processes

ETH = wavy(2_000)
NAME = "test/mood/5m"
KEY = SeriesKey("signal", "test", "mood", "5m")
MOODY = RECIPE.with_settings({"market.signals": [NAME]})
BEGIN = START_MS + 101 * MINUTE_MS  # the first decision
Value = tuple[int, int, float]  # minutes from the first decision: described, known; the value


@pytest.fixture
def thread() -> Iterator[ServerThread]:
    """Return an exchange in the middle of its hundredth bar."""
    with ServerThread(Server(exchange(ETH))) as made:
        made.step(100 * MINUTE_MS + 30_000)
        yield made


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    """Return the user's catalog, empty."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "data"))
    return Catalog()


def store(catalog: Catalog, *values: Value) -> None:
    """Store values as ``seawall data import`` does: those that are there stay."""
    table = np.array(values, dtype=np.float64).reshape(-1, 3)
    times = (BEGIN + table[:, :2] * MINUTE_MS).astype(np.int64)
    signal = Signal(key=KEY, time_ms=times[:, 0], known_ms=times[:, 1], value=table[:, 2].copy())
    catalog.append(signal, fetched_ms=0)


class Reader:
    """An agent that keeps what it sees of the signal, and trades by its last value."""

    def __init__(self) -> None:
        self.seen: dict[int, list[tuple[int, float]]] = {}

    def decide(self, observation: Observation) -> float | None:
        """Hold where the mood is above 50."""
        known, values = observation.signal_history(NAME)
        minute = (observation.time_ms - BEGIN) // MINUTE_MS
        self.seen[minute] = [
            ((int(k) - BEGIN) // MINUTE_MS, v)
            for k, v in zip(known.tolist(), values.tolist(), strict=True)
        ]
        latest = observation.signal(NAME)
        return None if latest != latest else float(latest > 50)  # noqa: PLR0124 - nan


def compare(folder: Path, agent: Any) -> Parity:
    """Return the parity of the session of a folder."""
    with PaperJournal(folder / JOURNAL) as journal:
        return replay(Record(journal), agent=agent)


def test_a_value_is_seen_from_when_it_is_known(
    thread: ServerThread, tmp_path: Path, catalog: Catalog
) -> None:
    """Stored before the start, known at minutes -10, 0, 3 and never within the run: seen from the
    first decision, the first, the fourth, and not; the replay sees the same.
    """  # noqa: D205
    store(catalog, (-15, -10, 40.0), (-10, 0, 60.0), (-5, 3, 30.0), (0, 500, 99.0))
    agent = Reader()
    Run(thread, tmp_path / "s", recipe=MOODY).go(8, agent=agent)
    before = [(-10, 40.0), (0, 60.0)]
    assert [agent.seen[i] for i in range(3)] == [before] * 3
    assert [agent.seen[i] for i in range(3, 8)] == [[*before, (3, 30.0)]] * 5
    again = Reader()
    parity = compare(tmp_path / "s", again)
    assert again.seen == agent.seen
    assert parity.agrees
    assert len(parity.fills) == 2


def test_what_is_stored_while_it_runs_appears(
    thread: ServerThread, tmp_path: Path, catalog: Catalog
) -> None:
    """Stored at minute 4: a value known at minute 6 is seen at 6, one known at minute 2 at 5, the
    first step after it was stored, and counts from then on; a replay, which finds the catalog as it
    is now, sees each when the session did.
    """  # noqa: D205
    store(catalog, (-15, -10, 60.0))

    def at_turn(now: int) -> None:
        if BEGIN + 4 * MINUTE_MS < now < BEGIN + 5 * MINUTE_MS:
            store(catalog, (-5, 2, 40.0), (0, 6, 70.0))

    agent = Reader()
    Run(thread, tmp_path / "s", recipe=MOODY).go(10, agent=agent, at_turn=at_turn)
    assert agent.seen[4] == [(-10, 60.0)]
    assert agent.seen[5] == [(-10, 60.0), (5, 40.0)]
    assert agent.seen[6] == agent.seen[9] == [(-10, 60.0), (5, 40.0), (6, 70.0)]
    again = Reader()
    assert compare(tmp_path / "s", again).agrees
    assert again.seen == agent.seen


class _Stateful(Reader):
    """A reader that keeps its own state: it is not reminded of what an earlier one has seen."""

    def state(self) -> bytes:
        """Return nothing."""
        return b""

    def restore(self, _state: bytes) -> None:
        """Take nothing back."""


@pytest.mark.parametrize("style", ["shadow", "sandbox"])
def test_a_restart_goes_on_with_what_was_seen(
    thread: ServerThread, tmp_path: Path, catalog: Catalog, monkeypatch: Any, style: Any
) -> None:
    """Three starts; in between a value is stored that was known long ago: it counts from the step
    that saw it, also for the third start, and for the replay.
    """  # noqa: D205
    keys(monkeypatch)
    store(catalog, (-15, -10, 60.0))
    run = Run(thread, tmp_path / "s", recipe=MOODY, style=style)
    agents = [_Stateful() for _ in range(3)]
    run.go(3, agent=agents[0])
    store(catalog, (-5, 1, 40.0))
    run.go(3, agent=agents[1])
    run.go(3, agent=agents[2])
    first = min(agents[1].seen)
    assert agents[0].seen[1] == [(-10, 60.0)]
    expected = [(-10, 60.0), (first, 40.0)]
    assert [*agents[1].seen.values(), *agents[2].seen.values()] == [expected] * (
        len(agents[1].seen) + len(agents[2].seen)
    )
    again = Reader()
    compare(tmp_path / "s", again)
    for agent in agents:
        for minute, seen in agent.seen.items():
            assert again.seen[minute] == seen


def test_a_value_that_was_given_stays(
    thread: ServerThread, tmp_path: Path, catalog: Catalog
) -> None:
    """Corrected in the catalog while the session runs: noted as a fault, once, and not taken."""
    store(catalog, (-15, -10, 60.0))

    def at_turn(now: int) -> None:
        if BEGIN + 4 * MINUTE_MS < now < BEGIN + 5 * MINUTE_MS:
            store(catalog, (-15, -10, 20.0))

    agent = Reader()
    Run(thread, tmp_path / "s", recipe=MOODY).go(8, agent=agent, at_turn=at_turn)
    assert agent.seen[7] == [(-10, 60.0)]
    with PaperJournal(tmp_path / "s" / JOURNAL) as journal:
        (note,) = journal.notes("fault")
    assert "1 values were changed" in note.text


def test_a_catalog_that_breaks_does_not_end_a_session(
    thread: ServerThread, tmp_path: Path, catalog: Catalog
) -> None:
    """Damaged at minute 4: noted, the session goes on with what it has; mended at minute 6."""
    store(catalog, (-15, -10, 60.0), (-5, 3, 40.0))
    (file,) = catalog.root.rglob("manifest.json")
    whole = file.read_text("utf-8")

    def at_turn(now: int) -> None:
        if BEGIN + 4 * MINUTE_MS < now < BEGIN + 5 * MINUTE_MS:
            file.write_text("{", "utf-8")
        if now > BEGIN + 6 * MINUTE_MS and file.read_text("utf-8") == "{":
            file.write_text(whole, "utf-8")
            store(catalog, (0, 5, 70.0))

    agent = Reader()
    Run(thread, tmp_path / "s", recipe=MOODY).go(9, agent=agent, at_turn=at_turn)
    assert agent.seen[6] == [(-10, 60.0), (3, 40.0)]
    assert agent.seen[8] == [(-10, 60.0), (3, 40.0), (7, 70.0)]
    with PaperJournal(tmp_path / "s" / JOURNAL) as journal:
        assert len(journal.notes("fault")) == 1


def test_a_signal_that_is_not_there_is_refused(
    thread: ServerThread, tmp_path: Path, catalog: Catalog
) -> None:
    """Before anything begins, with the command that brings it."""
    assert catalog.keys() == []
    with pytest.raises(SeriesNotFound, match="seawall data import FILE --kind signal"):
        Run(thread, tmp_path / "s", recipe=MOODY).go(1)
    assert not (tmp_path / "s").exists()


def test_its_age_is_shown_and_the_result_is_labelled(
    thread: ServerThread, tmp_path: Path, catalog: Catalog
) -> None:
    """Known at minute 3, looked at at minute 7: four minutes old; a line of the log tells of it."""
    store(catalog, (-15, -10, 60.0), (-5, 3, 40.0))
    Run(thread, tmp_path / "s", recipe=MOODY).go(8, agent=Reader())
    status = read_status(tmp_path / "s")
    assert status.signals == {NAME: BEGIN + 3 * MINUTE_MS}
    console = Console(record=True, width=100)
    console.print(show(status))
    (line,) = [one for one in console.export_text().splitlines() if NAME in one]
    assert "4 min" in line
    told = status.to_dict()["signals"]
    assert told == {NAME: {"known_ms": BEGIN + 3 * MINUTE_MS, "age_ms": status.now_ms - BEGIN
                           - 3 * MINUTE_MS}}  # fmt: skip
    lines = [json.loads(one) for one in (tmp_path / "s" / LOG).read_text("utf-8").splitlines()]
    assert [(one["values"], one["value"]) for one in lines if one["kind"] == "signal"] == [
        (1, 60.0), (1, 40.0),
    ]  # fmt: skip
    with PaperJournal(tmp_path / "s" / JOURNAL) as journal:
        result = session_result(Record(journal))
    assert LABEL in result.labels
    assert any("test/mood" in one for one in result.data)


def test_a_window_of_values_grows_and_shows_no_future() -> None:
    """Over two blocks: in order, read-only, what was given before stays as it was."""
    window = GrowingSignal(KEY)
    rows = [SignalRow(i, i + 1, i / 3) for i in range(3_000)]
    window.append(rows[:100])
    early = window.view(window.n_visible)
    window.append(rows[100:])
    window.reveal_until(0)
    assert window.n_visible == 3_000
    known, values = window.view(3_000)
    assert known.tolist() == [row.known_ms for row in rows]
    assert values.tolist() == [row.value for row in rows]
    assert early[1].tolist() == [row.value for row in rows[:100]]
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 1.0
