"""An agent that had no answer is no agent that chose cash: a league says so, and ranks it not."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tournament_worlds import make_league, make_windows, play

import seawall.agents
from seawall.tournament.page import write_league_report
from seawall.tournament.standings import Standings, stand
from seawall.tournament.store import _META, CellStore
from seawall.tournament.words import across_rows, find_notes, summary

MUTE = """
class Mute:
    is_random = False

    def __init__(self, *, every: int = 1) -> None:
        self.every, self.n = every, 0

    def decide(self, observation):
        self.n += 1
        if self.n % self.every == 0:
            raise ValueError("the endpoint said 429")
"""
N = 62  # decisions in each of the two windows, of 61 days
WHY = "ValueError: the endpoint said 429"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the league is played in."""
    return tmp_path_factory.mktemp("league")


@pytest.fixture(scope="module")
def standings(place: Path) -> Standings:
    """Return a league of one that never answers, one that mostly does, and a rule."""
    folder = place / "more"
    folder.mkdir()
    (folder / "mute.py").write_text(MUTE)
    file = make_league(
        place, windows=make_windows(place)[1:], oracle=False,
        agents=["mute", "mute{every=3}", "sma_cross"],
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seawall.agents, "__path__", [*seawall.agents.__path__, str(folder)])
        return stand(*play(place, file))


def test_who_mostly_had_no_answer_is_named_and_not_ranked(
    standings: Standings, tmp_path: Path
) -> None:
    """62 of 62 decisions of each window: no rank, no row in pairs, and the reason on the page."""
    notes = find_notes(standings)
    counted = f"mute abstained in {2 * N} of {2 * N} decisions in first, second"
    assert f"{counted}, most often: {WHY}" in notes
    refusal = "mute is not ranked in first, second: it abstained in more than half of its decisions"
    assert f"{refusal}, most often: {WHY}" in notes
    assert np.isnan(standings.ranks["mute"].to_numpy(dtype=np.float64)).all()
    assert "mute" not in {row[1] for row in across_rows(standings)[1]}
    assert refusal in write_league_report(standings, tmp_path / "report.html").read_text()


def test_who_mostly_answered_is_named_and_ranked(standings: Standings) -> None:
    """Each third decision, 20 of 62 a window; the rule, which always answers, is in no note."""
    notes = find_notes(standings)
    (note,) = [note for note in notes if note.startswith("mute{every=3} ")]
    assert note.startswith(f"mute{{every=3}} abstained in 40 of {2 * N} decisions in first, ")
    assert {"mute{every=3}", "sma_cross"} <= {row[1] for row in across_rows(standings)[1]}
    assert not any(note.startswith("sma_cross") for note in notes)
    found = json.loads(json.dumps(summary(standings), allow_nan=False))["abstentions"]
    assert [one["n_abstained"] for one in found] == [N, 20, N, 20]


def test_the_reason_is_kept_with_the_cell_and_may_be_missing_in_an_older_one(
    standings: Standings, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A league that is played again knows why; a file without a reason can be read all the same."""
    cell = standings.played.cell("first", "mute")
    assert cell is not None
    more = str(place / "more")
    monkeypatch.setattr(seawall.agents, "__path__", [*seawall.agents.__path__, more])
    store = CellStore(place / "cells")
    kept = store.find(cell.task)
    assert kept is not None
    assert kept.why_abstained == WHY
    path = store._path(cell.key)
    table = pd.read_parquet(path)
    stored = json.loads(table.attrs[_META])
    del stored["why_abstained"]
    table.attrs[_META] = json.dumps(stored)
    table.to_parquet(path, index=False)
    older = store.find(cell.task)
    assert older is not None
    assert older.why_abstained == ""
    cells = {**standings.played.cells, ("first", "mute", 1, ""): older}
    again = find_notes(stand(replace(standings.played, cells=cells)))
    assert f"mute abstained in {N} of {N} decisions in first" in again
