"""A league is played: every cell once, again only what has changed, and whatever fails alone."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from tournament_worlds import make_catalog, make_league, make_windows, play, recipe_of, walk

from seawall.errors import RecipeError, SeawallError, WorkspaceError
from seawall.tournament.cells import ORACLE, Cell, Task
from seawall.tournament.league_file import LeagueFile, find_league
from seawall.tournament.runner import HereRunner
from seawall.tournament.runner import play as play_task
from seawall.tournament.store import CellStore
from seawall.tournament.stress import MISSING, NOISE, StressedCatalog

WINDOWS = ("long", "first", "second")


class KilledRunner(HereRunner):
    """Plays some cells, and is then killed."""

    def __init__(self, n: int) -> None:
        self._n = n

    def run(self, tasks: Sequence[Task]) -> Iterator[Cell]:
        """Give the first cells; raise where the process would have died."""
        yield from super().run(tasks[: self._n])
        raise KeyboardInterrupt


class NoRunner:
    """Plays nothing, and says so when it is asked to."""

    def run(self, tasks: Sequence[Task]) -> Iterator[Cell]:
        """Raise if there is anything to play."""
        assert not tasks, [task.agent for task in tasks]
        return iter(())


def test_everybody_plays_everywhere_and_the_oracle_wins(tmp_path: Path) -> None:
    """Benchmarks and the oracle play beside the agents; who knows the next bar ends highest."""
    played, _ = play(tmp_path, make_league(tmp_path))
    assert played.benchmarks == ("cash", "buy_and_hold")
    for window in WINDOWS:
        totals = {}
        for name in (*played.players, ORACLE):
            cell = played.cell(window, name)
            assert cell is not None
            assert cell.error == ""
            totals[name] = cell.total_return
        assert max(totals, key=lambda name: totals[name]) == ORACLE
        assert totals["cash"] == 0.0


@pytest.mark.slow
def test_a_league_that_was_killed_goes_on(tmp_path: Path) -> None:
    """What was done before is not done again, and the result is that of a league in one go."""
    file = make_league(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        play(tmp_path, file, runner=KilledRunner(7))
    played, _ = play(tmp_path, file)
    assert played.n_known == 7
    (tmp_path / "other").mkdir()
    whole, _ = play(tmp_path / "other", make_league(tmp_path / "other"))
    assert played.cells.keys() == whole.cells.keys()
    for place, cell in played.cells.items():
        assert (cell.equity == whole.cells[place].equity).all()


def test_unchanged_cells_are_not_run_again_and_are_no_new_trials(tmp_path: Path) -> None:
    """The second league runs nothing; a new parameter runs its own cells; new data run all."""
    file = make_league(tmp_path)
    _, ledger = play(tmp_path, file)
    n_trials, digest = ledger.count("agents.sma_cross"), ledger.digest
    assert n_trials == len(WINDOWS)
    again, _ = play(tmp_path, file, runner=NoRunner())
    assert again.n_played == 0
    assert ledger.digest == digest
    more, _ = play(tmp_path, make_league(tmp_path, agents=["sma_cross", "momentum", "rsi"]))
    assert {cell.task.agent for cell in more.cells.values()} > {"rsi"}
    assert more.n_played == len(WINDOWS) + 1  # and one to see whether it has luck of its own
    fresh, _ = play(tmp_path, file, seed=2)
    assert fresh.n_known == 0


@pytest.mark.slow
def test_who_has_luck_plays_with_all_seeds(tmp_path: Path) -> None:
    """A random agent has five cells a window, a rule one; each seed of the first is a trial."""
    file = make_league(tmp_path, agents=["matched_random", "sma_cross"])
    played, ledger = play(tmp_path, file)
    assert played.random == {"matched_random"}
    assert played.seeds_of("first", "matched_random") == (1, 2, 3, 4, 5)
    assert played.seeds_of("first", "sma_cross") == (1,)
    assert ledger.count("agents.matched_random") == 5 * len(WINDOWS)
    assert ledger.count("agents.sma_cross") == len(WINDOWS)


def test_what_fails_fails_alone(tmp_path: Path) -> None:
    """An agent that is not there, and one that guards loans: a clear line each, the rest go on."""
    file = make_league(tmp_path, agents=["sma_crosss", "defi_saver", "momentum"])
    played, _ = play(tmp_path, file)
    unknown, guard = played.cell("first", "sma_crosss"), played.cell("first", "defi_saver")
    assert unknown is not None
    assert "did you mean 'sma_cross'" in unknown.error
    assert guard is not None
    assert "guards a loan" in guard.error
    good = played.cell("first", "momentum")
    assert good is not None
    assert good.error == ""


@pytest.mark.slow
def test_a_stress_changes_what_it_says_and_nothing_else(tmp_path: Path) -> None:
    """Every stress gives another equity than none, to an agent that trades."""
    stress = ["one_bar_later", "double_fees", "price_noise", "missing_bars", "start_later=5"]
    file = make_league(tmp_path, agents=["sma_cross"], stress=stress)
    played, _ = play(tmp_path, file)
    plain = played.cell("long", "sma_cross")
    assert plain is not None
    for one in stress:
        cell = played.cell("long", "sma_cross", stress=one)
        assert cell is not None
        assert cell.error == ""
        assert cell.total_return != plain.total_return, one
    dear = played.cell("long", "sma_cross", stress="double_fees")
    assert dear is not None
    assert dear.worth["fees"] > 1.8 * float(plain.worth["fees"] or 0)  # type: ignore[operator]


@pytest.mark.slow
def test_a_damaged_cell_is_played_again(tmp_path: Path) -> None:
    """A file that was cut short is none."""
    file = make_league(tmp_path)
    play(tmp_path, file)
    victim = min((tmp_path / "cells").rglob("*.parquet"))
    victim.write_bytes(victim.read_bytes()[:100])
    again, _ = play(tmp_path, file)
    assert again.n_played == 1


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"agents": []}, "agents"),
        ({"seeds": 3}, "seeds"),
        ({"stres": ["double_fees"]}, "no key of a league: did you mean 'stress'"),
        ({"stress": ["double_fee"]}, "a stress is one of"),
        ({"stress": ["start_later=-1"]}, "a stress is one of"),
        ({"agents": ["sma_cross{fast="]}, "NAME{key=value}"),
        ({"sweep": [{"agent": "rsi", "parameters": {"n": [7]}}]}, "2 to 1000 parameter sets"),
    ],
)
def test_a_wrong_league_file_is_a_clear_line(
    tmp_path: Path, given: dict[str, object], text: str
) -> None:
    """The key, the value and what is allowed."""
    with pytest.raises(RecipeError, match="(?s).*" + text.replace("{", r"\{")):
        make_league(tmp_path, **given)


def test_windows_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    """Trading beside loans, one name twice, a window that is not there."""
    loan = LeagueFile.from_dict({"agents": ["cash"], "windows": ["demo", "loan_demo"]})
    with pytest.raises(RecipeError, match="make two leagues"):
        play(tmp_path, loan)
    with pytest.raises(RecipeError, match="names of their own"):
        make_league(tmp_path, windows=[make_windows(tmp_path)[0]] * 2).recipes()
    with pytest.raises(WorkspaceError, match="no recipe 'nowhere'"):
        make_league(tmp_path, windows=["nowhere"]).recipes()
    with pytest.raises(WorkspaceError, match="no league 'nothing'"):
        find_league("nothing")


def test_missing_data_fail_a_window_and_not_the_league(tmp_path: Path) -> None:
    """A window of a market that the catalog lacks: its cells say which series is missing."""
    first = make_windows(tmp_path)[1]
    other = {"recipe": first, "name": "far", "settings": {"market.venue": "elsewhere"}}
    played, _ = play(tmp_path, make_league(tmp_path, windows=[first, other]))
    far, near = played.cell("far", "momentum"), played.cell("first", "momentum")
    assert far is not None
    assert "elsewhere" in far.error
    assert near is not None
    assert near.error == ""


def test_a_task_is_the_run_it_names(tmp_path: Path) -> None:
    """A cell's equity is that of the recipe, run by itself, to the bit."""
    from seawall.engine.run import run  # noqa: PLC0415 - beside what it is compared with

    catalog = make_catalog(tmp_path)
    recipe = recipe_of(tmp_path)
    task = Task(
        window="long", agent="sma_cross", seed=1, recipe=recipe.to_json(), catalog=str(catalog.root)
    )
    alone = run(recipe, catalog=catalog)
    assert (play_task(task).equity == alone.equity["equity"].to_numpy()).all()
    assert CellStore(tmp_path / "none").find(task) is None


@pytest.mark.slow
def test_several_processes_give_the_same_and_one_that_dies_fails_alone(tmp_path: Path) -> None:
    """Spawned processes; an agent that ends its process is a failed cell, the others are whole."""
    agents = tmp_path / "agents"
    for kind in ("agents", "strategies", "backtests"):
        (tmp_path / kind).mkdir()
    (agents / "deadly.py").write_text("import os\n\n\ndef deadly(observation):\n    os._exit(3)\n")
    script = tmp_path / "play.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from tournament_worlds import make_league, play\n"
        "from seawall.tournament.processes import ProcessRunner\n"
        "if __name__ == '__main__':\n"
        "    here = Path.cwd()\n"
        "    file = make_league(here, agents=['deadly', 'momentum'], oracle=False)\n"
        "    played, _ = play(here, file, runner=ProcessRunner(2))\n"
        "    for (window, name, seed, _), cell in sorted(played.cells.items()):\n"
        "        print(window, name, seed, cell.error or repr(cell.total_return))\n"
    )
    import subprocess  # noqa: PLC0415 - one test
    import sys  # noqa: PLC0415

    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "SEAWALL_WORKSPACE": str(tmp_path)}, timeout=300,
    )  # fmt: skip
    lines = dict(line.rsplit(" 1 ", 1) for line in done.stdout.splitlines() if " 1 " in line)
    assert all("its process ended" in lines[f"{window} deadly"] for window in WINDOWS)
    (tmp_path / "alone").mkdir()
    played, _ = play(tmp_path / "alone", make_league(tmp_path / "alone", agents=["momentum"]))
    for window in WINDOWS:
        cell = played.cell(window, "momentum")
        assert cell is not None
        assert lines[f"{window} momentum"] == repr(cell.total_return)


def test_the_pieces_that_others_may_take_over_are_plain(tmp_path: Path) -> None:
    """Tasks and cells can be pickled; that is all that a runner elsewhere needs."""
    import pickle  # noqa: PLC0415 - one test

    catalog = make_catalog(tmp_path)
    task = Task(
        window="long", agent="sma_cross", seed=1, recipe=recipe_of(tmp_path).to_json(),
        catalog=str(catalog.root),
    )  # fmt: skip
    cell = pickle.loads(pickle.dumps(play_task(pickle.loads(pickle.dumps(task)))))  # noqa: S301
    assert cell.task == task
    assert len(cell.equity) > 300


def test_noise_and_holes_are_the_same_for_everybody(tmp_path: Path) -> None:
    """They depend on time and symbol alone, are as large as stated, and leave prices in order."""
    catalog = make_catalog(tmp_path)
    key = walk(1).key
    plain, noisy = walk(1), StressedCatalog(catalog, "price_noise").read_candles(key)
    ratio = np.log(noisy.close / plain.close)
    assert 0.8 * NOISE < ratio.std() < 1.2 * NOISE
    assert np.allclose(np.log(noisy.open / plain.open), ratio)
    part = StressedCatalog(catalog, "price_noise").read_candles(key, plain.time_ms[50])
    assert (part.close == noisy.close[50:]).all()
    holed = StressedCatalog(catalog, "missing_bars").read_candles(key)
    assert 1 <= len(plain) - len(holed) <= 3 * MISSING * len(plain)
    assert set(holed.time_ms) < set(plain.time_ms)


def test_a_broken_ledger_stops_before_anything_is_lost(tmp_path: Path) -> None:
    """Hours of play end before they begin where the ledger cannot be used."""
    (tmp_path / "trials.sqlite").write_text("no database " * 100)
    with pytest.raises(SeawallError, match="trials are counted"):
        play(tmp_path, make_league(tmp_path), runner=NoRunner())
