"""The ledger of trials: what counts, what does not, and what shows when somebody mends it."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

import seawall
from seawall import trial_ledger
from seawall.errors import WorkspaceError
from seawall.trial_ledger import EMPTY, Trial, TrialLedger

SMA = "agents.sma_cross"


def test_a_run_counts_once_and_a_family_whatever_its_parameters(tmp_path: Path) -> None:
    """Three runs of which two are the same are two trials; another family has its own count."""
    ledger = TrialLedger(tmp_path / "trials.sqlite")
    assert (ledger.count(SMA), ledger.digest) == (0, EMPTY)
    rows = [Trial(family=SMA, run=run, sharpe=0.5) for run in ("a", "b", "a")]
    assert ledger.note([*rows, Trial(family="agents.rsi", run="a")]) == 3
    assert ledger.note(rows) == 0
    assert (ledger.count(SMA), ledger.count("agents.rsi"), ledger.count("agents.macd")) == (2, 1, 0)
    ledger.check()


def test_a_row_that_was_changed_or_taken_out_shows(tmp_path: Path) -> None:
    """The chain of hashes names the first row that is not as it was written."""
    for number, change in enumerate(
        ("UPDATE trials SET sharpe = 3 WHERE n = 2", "DELETE FROM trials WHERE n = 2")
    ):
        ledger = TrialLedger(tmp_path / f"{number}.sqlite")
        ledger.note(Trial(family=SMA, run=str(n), sharpe=n / 10) for n in range(4))
        with closing(sqlite3.connect(ledger.path)) as base, base:
            base.execute(change)
        with pytest.raises(WorkspaceError, match=r"row [23] of"):
            ledger.check()


@pytest.mark.slow
def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    """Eight threads with a connection each: all rows are there, and the chain holds."""
    path = tmp_path / "trials.sqlite"

    def work(worker: int) -> None:
        for n in range(10):
            TrialLedger(path).note([Trial(family=SMA, run=f"{worker} {n}")])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    ledger = TrialLedger(path)
    assert ledger.count(SMA) == 80
    ledger.check()


def test_a_file_that_is_no_ledger_is_a_clear_line(tmp_path: Path) -> None:
    """Something else where the ledger should be is not overwritten."""
    path = tmp_path / "trials.sqlite"
    path.write_text("not a database, and long enough to be looked at " * 20)
    with pytest.raises(WorkspaceError, match="trials are counted in"):
        TrialLedger(path).note([Trial(family=SMA, run="a")])
    assert path.read_text().startswith("not a database")


def test_a_ledger_that_cannot_be_written_loses_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is whole, and its label says that it was not counted; a comparison's likewise."""
    path = tmp_path / "trials.sqlite"
    path.write_text("not a database, and long enough to be looked at " * 20)
    monkeypatch.setattr(trial_ledger, "workspace_ledger", lambda: TrialLedger(path))
    result = seawall.run("demo")
    assert len(result.fills) > 0
    assert any(label.startswith("trial not counted: ") for label in result.labels)
    comparison = seawall.compare("demo", ["sma_cross"], n_random=20)
    assert not any(standing.error for standing in comparison.standings)
    assert any(label.startswith("trial not counted: ") for label in comparison.labels)


def test_a_run_is_counted_and_one_in_memory_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice the same recipe is one trial of its agent's family; a function has no family."""
    ledger = TrialLedger(tmp_path / "trials.sqlite")
    monkeypatch.setattr(trial_ledger, "workspace_ledger", lambda: ledger)
    seawall.run("demo")
    seawall.run("demo")
    seawall.run("demo", agent=lambda _observation: 0.5)
    assert ledger.count(SMA) == 1
