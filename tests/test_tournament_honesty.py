"""What would make a league say more than it knows: stale cells, uncounted runs, one crash twice."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tournament_worlds import make_catalog, make_league, make_windows, play, recipe_of

import seawall.agents
from seawall import workspace_folders
from seawall.errors import RecipeError, ResultError
from seawall.sources import find_sources
from seawall.tournament import cells
from seawall.tournament.across import find_periods
from seawall.tournament.cells import Cell, Task
from seawall.tournament.processes import ProcessRunner
from seawall.tournament.runner import HereRunner
from seawall.tournament.standings import concordance, stand
from seawall.tournament.store import CellStore
from seawall.tournament.words import find_notes, strain_rows
from seawall.trial_ledger import to_trial

pytestmark = pytest.mark.slow  # whole sessions and processes


class CountingRunner(HereRunner):
    """Plays, and notes what it was given."""

    def __init__(self) -> None:
        self.given: list[Task] = []

    def run(self, tasks: Sequence[Task]) -> Iterator[Cell]:
        """Give the cells in the order of the tasks."""
        self.given += tasks
        return super().run(tasks)


@pytest.fixture
def agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder whose files are agents too."""
    folder = tmp_path / "more"
    folder.mkdir()
    monkeypatch.setattr(seawall.agents, "__path__", [*seawall.agents.__path__, str(folder)])
    return folder


def task_of(folder: Path, agent: Mapping[str, object]) -> Task:
    """Return a cell of an agent."""
    values = {**json.loads(recipe_of(folder).to_json()), "agent": dict(agent)}
    return Task(
        window="long", agent="x", seed=1, recipe=json.dumps(values),
        catalog=str(make_catalog(folder).root),
    )  # fmt: skip


def test_code_that_an_agent_names_or_imports_is_part_of_the_cell(
    agents: Path, tmp_path: Path
) -> None:
    """Its file, what that imports, experts by default or as a parameter, braces and all."""
    (agents / "_mine_base.py").write_text("A = 1\n")
    (agents / "mine_one.py").write_text("from ._mine_base import A\n")
    (agents / "mine_two.py").write_text("EXPERTS = ('agents.mine_one', 'cash')\n")
    told: dict[str, dict[str, object]] = {
        "direct": {"name": "agents.mine_one"},
        "default": {"name": "agents.mine_two"},
        "listed": {"name": "agents.expert_weights", "experts": ["mine_one{x=0.5}", "cash"]},
        "table": {"name": "agents.expert_weights", "experts": [{"name": "agents.mine_one"}]},
    }
    before = {way: find_sources({"agent": agent}) for way, agent in told.items()}
    other = find_sources({"agent": {"name": "agents.rsi"}})
    (agents / "_mine_base.py").write_text("A = 2\n")
    for way, agent in told.items():
        assert find_sources({"agent": agent}) != before[way], way
    assert find_sources({"agent": {"name": "agents.rsi"}}) == other
    assert task_of(tmp_path, told["direct"]).key != task_of(tmp_path, {"name": "agents.rsi"}).key


def test_a_file_that_a_parameter_names_is_part_of_the_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy lies beside the recipe, or in the workspace: trained anew it is another cell."""
    work, home = tmp_path / "work", tmp_path / "home"
    for folder in (work, home):
        folder.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr(workspace_folders, "WORKSPACE", home)
    agent = {"name": "agents.policy", "path": "policy.zip"}
    seen = [find_sources({"agent": agent})]
    for folder, content in ((home, "one"), (home, "two"), (work, "three")):
        (folder / "policy.zip").write_text(content)
        seen.append(find_sources({"agent": agent}))
    assert len({tuple(found) for found in seen}) == 4


def test_an_agent_that_was_edited_is_a_new_trial(agents: Path, tmp_path: Path) -> None:
    """Whoever mends an agent until it wins has tried as often as it was run."""
    recipe = recipe_of(tmp_path).with_settings({"agent.name": "agents.mine"})
    seen = set()
    for number in range(3):
        (agents / "mine.py").write_text(f"N = {number}\n")
        seen.add(to_trial(recipe, 0.0).run)
        assert to_trial(recipe, 0.0).run in seen
    assert len(seen) == 3


def test_a_family_has_one_count_by_whatever_name(tmp_path: Path) -> None:
    """The same agent with its class named is no fresh family."""
    recipe = recipe_of(tmp_path).with_settings({"agent.name": "agents.sma_cross:SmaCross"})
    assert to_trial(recipe, 0.0).family == "agents.sma_cross"
    file = make_league(tmp_path, agents=["sma_cross", "sma_cross:SmaCross"], oracle=False)
    played, ledger = play(tmp_path, file)
    standings = stand(played, ledger)
    assert standings.trials["agents.sma_cross"] == ledger.count("agents.sma_cross") == 2 * 3
    verdicts = standings.spans[0].verdicts
    assert verdicts is not None
    assert {one.n_trials for one in verdicts.agents} == {6}


def test_a_cell_that_nobody_counted_is_counted_when_it_is_found(tmp_path: Path) -> None:
    """Cells that a run without a ledger has left, or a process that was killed, are trials."""
    file = make_league(tmp_path, agents=["sma_cross"], oracle=False)
    _, ledger = play(tmp_path, file)
    ledger.path.unlink()
    again, ledger = play(tmp_path, file)
    assert again.n_played == 0
    assert ledger.count("agents.sma_cross") == 3


@pytest.mark.parametrize(
    ("agent", "is_settled"),
    [
        ({"name": "agents.sma_cross"}, True),
        ({"name": "agents.http", "url": "http://127.0.0.1:1/"}, False),
        ({"name": "agents.stdio", "command": ["cat"], "recording": "x.jsonl"}, False),
        (
            {"name": "agents.stdio", "command": ["cat"], "recording": "x.jsonl", "mode": "replay"},
            True,
        ),
        ({"name": "agents.language_model", "model": "m"}, False),
        ({"name": "agents.language_model", "model": "m", "mode": "replay"}, True),
        ({"name": "agents.expert_weights", "experts": ["cash", "agents.http"]}, False),
        ({"name": "agents.expert_weights", "experts": [{"name": "stdio:Stdio"}]}, False),
    ],
)
def test_what_was_asked_outside_is_not_kept(
    tmp_path: Path, agent: dict[str, object], *, is_settled: bool
) -> None:
    """Nobody can see whether it would answer the same; a recording that is replayed does."""
    task = task_of(tmp_path, agent)
    assert task.is_settled is is_settled
    store = CellStore(tmp_path / "cells")
    store.keep(Cell(task=task, key=task.key))
    assert (store.find(task) is not None) is is_settled


def test_another_recording_is_another_cell(tmp_path: Path) -> None:
    """A replay depends on what was recorded, under whatever name."""
    tape = tmp_path / "tape.cassette"
    agent = {"name": "agents.language_model", "model": "m", "mode": "replay", "cassette": str(tape)}
    keys = set()
    for content in (b"", b"one", b"two"):
        tape.write_bytes(content)
        keys.add(task_of(tmp_path, agent).key)
    assert len(keys) == 3


def test_code_that_changes_underway_is_not_kept(tmp_path: Path) -> None:
    """A cell whose key is another one after it was played is shown, and said to be no fit."""

    class Changed(HereRunner):
        def run(self, tasks: Sequence[Task]) -> Iterator[Cell]:
            yield from (replace(cell, key="0" * 64) for cell in super().run(tasks))

    file = make_league(tmp_path, agents=["sma_cross"], oracle=False)
    played, ledger = play(tmp_path, file, runner=Changed())
    assert played.n_changed == played.n_played > 0
    assert not list((tmp_path / "cells").rglob("*.parquet"))
    assert any("changed while" in note for note in find_notes(stand(played, ledger)))


def test_nobody_plays_under_the_name_of_who_knows_the_future(tmp_path: Path) -> None:
    """An agent called oracle would be given the future."""
    for given in ({"agents": ["oracle"]}, {"benchmarks": ["oracle"]}):
        with pytest.raises(RecipeError, match="bears that name"):
            make_league(tmp_path, **given)


def test_luck_is_looked_for_where_there_is_a_result(tmp_path: Path) -> None:
    """A first window without data, or a simulated one, does not make a coin tosser a rule."""
    first = make_windows(tmp_path)[1]
    far = {"recipe": first, "name": "far", "settings": {"market.venue": "elsewhere"}}
    made = {"recipe": first, "name": "made", "settings": {"market.venue": "simulated"}}
    for other in (far, made):
        file = make_league(
            tmp_path, windows=[other, first], agents=["matched_random"], oracle=False,
            benchmarks=["cash"],
        )  # fmt: skip
        played, _ = play(tmp_path, file)
        assert played.random == {"matched_random"}
        assert played.seeds_of("first", "matched_random") == (1, 2, 3, 4, 5)
        assert played.cell("first", "matched_random", 5) is not None


def test_windows_that_overlap_are_one_period(tmp_path: Path) -> None:
    """The same weeks of two coins are one piece of evidence, and so is a window within another."""
    first, second = make_windows(tmp_path)[1:]
    within = {"market.since": "2021-03-10", "market.until": "2021-04-10"}
    file = make_league(
        tmp_path, agents=["momentum"], oracle=False,
        windows=[
            second, first, {"recipe": first, "name": "dear", "settings": {"costs.impact_bps": 5.0}},
            {"recipe": first, "name": "within", "settings": within},
        ],
    )  # fmt: skip
    played, ledger = play(tmp_path, file)
    standings = stand(played, ledger)
    periods = find_periods(played, standings.stages)
    assert standings.n_periods == len(set(periods.values())) == 2
    assert periods["first"] == periods["dear"] == periods["within"] != periods["second"]
    assert {one.n_ahead + one.n_behind for one in standings.across} <= {0, 1, 2}


def test_points_under_stress_are_over_the_same_windows(tmp_path: Path) -> None:
    """A stress that leaves a window out is set against the others alone, and says how many."""
    file = make_league(
        tmp_path, agents=["sma_cross"], oracle=False, stress=["double_fees", "start_later=70"]
    )
    played, ledger = play(tmp_path, file)
    standings = stand(played, ledger)
    _, ((_, _, fees, late),) = strain_rows(standings)
    assert "of" not in fees
    assert late.endswith("(1 of 3)")
    (note,) = [note for note in find_notes(standings) if "under start_later" in note]
    assert note.startswith(
        "under start_later=70 cash, buy_and_hold, sma_cross failed in first, sec"
    )


def test_another_exchange_is_another_market(tmp_path: Path) -> None:
    """``venue=NAME`` is the run on that venue's candles; where there are none it is said so."""
    from tournament_worlds import walk  # noqa: PLC0415 - one test

    from seawall.engine.run import run  # noqa: PLC0415

    catalog = make_catalog(tmp_path)
    other = walk(7)
    catalog.write(replace(other, key=replace(other.key, venue="other")), fetched_ms=None)
    file = make_league(
        tmp_path, agents=["sma_cross"], oracle=False, stress=["venue=other", "venue=nowhere"]
    )
    played, ledger = play(tmp_path, file)
    cell = played.cell("long", "sma_cross", stress="venue=other")
    assert cell is not None
    assert list(cell.data) == ["candles/other/ETH-USDT/1d"] or "other" in str(list(cell.data))
    alone = run(recipe_of(tmp_path).with_settings({"market.venue": "other"}), catalog=catalog)
    assert cell.total_return == pytest.approx(alone.metrics.total_return, rel=1e-12)
    standings = stand(played, ledger)
    (row,) = strain_rows(standings)[1]
    assert row[2] not in {"+0.00 pp", "–"}  # noqa: RUF001 - the dash of the tables
    assert row[3] == "–"  # noqa: RUF001
    assert any("under venue=nowhere cash, " in note for note in find_notes(standings))


def test_a_league_where_everything_fails_says_so_once(tmp_path: Path) -> None:
    """One line for an agent that is missing, whatever the number of windows."""
    file = make_league(tmp_path, agents=["nobody"], oracle=False)
    played, ledger = play(tmp_path, file)
    notes = [note for note in find_notes(stand(played, ledger)) if note.startswith("nobody failed")]
    assert len(notes) == 1
    assert "long, first, second" in notes[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_said_before_anything_is_played(tmp_path: Path) -> None:
    """A read-only results folder."""
    (tmp_path / "cells").mkdir(mode=0o500)
    runner = CountingRunner()
    with pytest.raises(ResultError, match="cannot be written"):
        play(tmp_path, make_league(tmp_path), runner=runner)
    assert runner.given == []


def test_a_file_where_the_folder_should_be_is_said_before_anything_is_played(
    tmp_path: Path,
) -> None:
    """The same for whoever may write anywhere."""
    (tmp_path / "cells").write_text("no folder")
    runner = CountingRunner()
    with pytest.raises(ResultError, match="cannot be written"):
        play(tmp_path, make_league(tmp_path), runner=runner)
    assert runner.given == []


def test_every_file_that_is_counted_is_there() -> None:
    """A file that was renamed would be counted no more, and what it changes would not show."""
    root = Path(seawall.__file__).parent
    assert [name for name in cells._COUNTED if not (root / name).is_file()] == []
    assert [name for name in cells._APART if not (root / name).is_dir()] == []


def test_who_has_no_rank_takes_no_order_from_the_others() -> None:
    """Kendall's W of two equal rows is 1, beside a column that failed everywhere too."""
    ranks = pd.DataFrame({"a": [1.0, 1.0], "b": [2.0, 2.0], "failed": [np.nan, np.nan]})
    assert concordance(ranks) == pytest.approx(1.0)


@pytest.mark.parametrize(("n", "limit_s"), [(0, None), (1, 0.5)])
def test_processes_that_cannot_be_are_refused(n: int, limit_s: float | None) -> None:
    """No process, or no time, plays nothing."""
    with pytest.raises(RecipeError, match="leave them out"):
        ProcessRunner(n, limit_s=limit_s)


def test_enough_periods_and_signs_tell_an_agent_apart(tmp_path: Path) -> None:
    """Ahead in 8 of 8 periods is told apart among 2 agents, 5 of 5 is not; nor among 100."""
    played, ledger = play(tmp_path, make_league(tmp_path, agents=["sma_cross"], oracle=False))
    one = stand(played, ledger).across[-1]
    ahead = replace(one, low=0.01, high=0.05, n_ahead=8, n_behind=0, chance=2 / 2**8, n_compared=2)
    assert ahead.is_told_apart
    assert not replace(ahead, chance=2 / 2**5).is_told_apart
    assert not replace(ahead, n_compared=100).is_told_apart
    assert not replace(ahead, low=-0.01).is_told_apart
