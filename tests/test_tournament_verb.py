"""``seawall league``: what a user sees, what is left when it is killed, and any bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from tournament_worlds import make_catalog, make_league, make_windows, play
from typer.testing import CliRunner

from seawall.cli import app, screen
from seawall.errors import ResultError
from seawall.tournament.page_file import PAGE_FILE, load_page
from seawall.tournament.standings import stand
from seawall.tournament.words import find_notes

PATIENCE_S = 240.0


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder to work in, with a small catalog and a league file, and no workspace."""
    catalog = make_catalog(tmp_path)
    monkeypatch.setenv("SEAWALL_DATA", str(catalog.root))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(screen, "results_folder", lambda: tmp_path / "results")
    windows = json.dumps(make_windows(tmp_path)[1:])
    (tmp_path / "small.toml").write_text(
        f'agents = ["sma_cross", "rsi"]\nwindows = {windows}\noracle = false\n'
        'stress = ["double_fees"]\n'
    )
    return tmp_path


@pytest.mark.slow
def test_a_league_is_shown_kept_and_written_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables fit the screen and no number is cut; a second run plays nothing, on any screen."""
    for width in (80, 120, 200):
        monkeypatch.setattr(screen, "out", Console(width=width, highlight=False))
        found = CliRunner().invoke(app, ["league", "small.toml", "--processes", "1"])
        assert found.exit_code == 0, found.output
        assert max(map(len, found.stdout.splitlines())) <= width
        assert "…" not in found.stdout
        assert "sma_cross" in found.stdout
    second = CliRunner().invoke(app, ["league", "small.toml", "--json"])
    assert json.loads(second.stdout)["n_played"] == 0  # and JSON is all that stdout holds
    folder = place / "results" / "league-small"
    before = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    again = CliRunner().invoke(app, ["report", str(folder)])
    assert again.exit_code == 0, again.output
    assert (folder / "report.html").read_bytes() == before


def test_a_page_that_is_damaged_or_of_another_version_is_a_clear_line(tmp_path: Path) -> None:
    """What is wrong, and that playing again costs nothing."""
    for text, why in (("{", "JSONDecodeError"), ('{"schema": 99}', "schema 99"), ("[]", "TypeErr")):
        (tmp_path / PAGE_FILE).write_text(text)
        with pytest.raises(ResultError, match=f"(?s){why}.*play the league again"):
            load_page(tmp_path)


def test_a_folder_that_cannot_be_written_is_said_first(place: Path) -> None:
    """Before anything is played."""
    (place / "taken").write_text("a file")
    found = CliRunner().invoke(app, ["league", "small.toml", "--out", str(place / "taken" / "x")])
    assert isinstance(found.exception, ResultError)
    assert not (place / "results").exists()


@pytest.mark.slow
def test_null_leagues_say_how_often_somebody_wins(place: Path) -> None:
    """Two leagues in worlds that are shuffled from the first window's candles."""
    found = CliRunner().invoke(
        app, ["league", "small.toml", "--null", "2", "--processes", "1", "--json"]
    )
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert told["n_leagues"] == 2
    assert told["n_agents"] == 5
    assert "test/ETH-USDT" in told["world"] or "test" in told["world"]
    assert 0.0 <= told["false_win_rate"] <= 1.0
    assert not (place / "results").exists()


GARBAGE = "import sys\nfor line in sys.stdin:\n    print('<html>garbage', flush=True)\n"


def test_bad_input_of_any_kind_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clear line for each, and whoever is well plays on.

    A model file of another version, one that is none, a policy that is no policy, an endpoint that
    is down, a replay without its recording, an agent that is not there, a child that prints
    garbage.
    """
    monkeypatch.setenv("SEAWALL_LLM_URL", "http://127.0.0.1:9/v1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.model").write_text('{"schema": 0, "kind": "gradient_boosting"}')
    (tmp_path / "none.model").write_bytes(b"\x00\x01 no model")
    (tmp_path / "policy.zip").write_bytes(b"no zip")
    (tmp_path / "child.py").write_text(GARBAGE)
    command = json.dumps([sys.executable, str(tmp_path / "child.py")])
    bad = [
        'gradient_boosting{model="old.model"}',
        'gradient_boosting{model="none.model"}',
        f'policy{{path="{tmp_path}/policy.zip"}}',
        'policy{path="nowhere.zip"}',
        'http{url="http://127.0.0.1:9/decide"}',
        'language_model{model="m", cassette="empty.cassette", mode="replay"}',
        "nobody",
        f"stdio{{command={command}, timeout_ms=200}}",
    ]
    windows = make_windows(tmp_path)[1:2]
    file = make_league(
        tmp_path, windows=windows, agents=[*bad, "momentum"], oracle=False, benchmarks=["cash"]
    )
    played, ledger = play(tmp_path, file)
    notes = find_notes(stand(played, ledger))
    for name in played.agents:
        cell = played.cell("first", name)
        assert cell is not None
        if name == "momentum":
            assert cell.error == ""
            continue
        assert cell.error, name
        assert "\n" not in cell.error
        assert "Traceback" not in cell.error
        assert any(note.startswith(f"{name} failed in first: ") for note in notes), name
    assert ledger.count("agents.momentum") == 1


SLEEPER = """import os
import pathlib
import time


class Sleeper:
    \"\"\"Sleeps where a file says so.\"\"\"

    def decide(self, observation):
        pathlib.Path("asleep").write_text(str(os.getpid()))
        while True:
            time.sleep(1.0)
"""
SLOW = SLEEPER.replace("Sleeper", "Slow").replace(
    """        pathlib.Path("asleep").write_text(str(os.getpid()))
        while True:
            time.sleep(1.0)
""",
    "        time.sleep(0.01)\n",
)


@pytest.fixture
def workspace(place: Path) -> Iterator[Path]:
    """Return a workspace with an agent that never answers, and one that takes its time."""
    for kind in ("agents", "strategies", "backtests"):
        (place / kind).mkdir()
    (place / "agents" / "sleeper.py").write_text(SLEEPER)
    (place / "agents" / "slow.py").write_text(SLOW)
    text = (place / "small.toml").read_text()
    one = json.dumps(make_windows(place)[1:2])
    (place / "asleep.toml").write_text(
        f'agents = ["sma_cross", "sleeper"]\nwindows = {one}\noracle = false\n'
    )
    (place / "slow.toml").write_text(text.replace('"rsi"', '"slow"'))
    yield place
    for pid in _children_of(place):
        os.kill(pid, signal.SIGKILL)


# Whoever starts the tests in the background has them ignore what a terminal sends.
BEGIN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from seawall.cli import main; main()"
)


def _start(place: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", BEGIN, "league", *arguments, "--processes", "2"],
        cwd=place, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "SEAWALL_WORKSPACE": str(place)}, start_new_session=True,
    )  # fmt: skip


def _children_of(place: Path) -> list[int]:
    """Return every process whose environment names the workspace."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            told = (folder / "environ").read_bytes()
        except OSError:
            continue
        if f"SEAWALL_WORKSPACE={place}".encode() in told and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found


def _wait_for(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.1)


def _cells(place: Path) -> dict[str, bytes]:
    found = {}
    for path in (place / "results" / "cells").rglob("[!.]*.parquet"):
        found[path.name] = pd.read_parquet(path)["equity"].to_numpy().tobytes()
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="it looks into /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_outlives_a_league_that_is_ended(workspace: Path, how: signal.Signals) -> None:
    """Killed, interrupted or told to end while an agent sleeps: no process is left."""
    league = _start(workspace, "asleep.toml")
    _wait_for((workspace / "asleep").exists)
    assert len(_children_of(workspace)) >= 2
    league.send_signal(how)
    _wait_for(lambda: not _children_of(workspace))
    league.communicate(timeout=PATIENCE_S)
    if how == signal.SIGINT:
        assert league.returncode == 130


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="it looks into /proc")
def test_a_league_killed_at_several_moments_ends_as_one_in_one_go(workspace: Path) -> None:
    """Killed before, between and after its first cells; beside it another one plays the same."""
    for n_cells in (0, 3):
        league = _start(workspace, "slow.toml")
        while len(_cells(workspace)) < n_cells and league.poll() is None:
            time.sleep(0.1)
        assert league.poll() is None, "it ended before it could be killed"
        league.kill()
        league.communicate(timeout=PATIENCE_S)
        _wait_for(lambda: not _children_of(workspace))
    two = [_start(workspace, "slow.toml", "--json") for _ in range(2)]
    told = [json.loads(league.communicate(timeout=PATIENCE_S)[0]) for league in two]
    assert told[0]["n_known"] >= 3
    cells = _cells(workspace)
    (workspace / "results").rename(workspace / "before")
    (workspace / ".seawall").rename(workspace / "ledger")
    whole = json.loads(_start(workspace, "slow.toml", "--json").communicate(timeout=PATIENCE_S)[0])
    assert _cells(workspace) == cells
    for key in ("across", "returns", "stress", "trials", "errors", "n_periods"):
        assert told[0][key] == told[1][key] == whole[key], key


@pytest.mark.slow
def test_a_cell_that_takes_too_long_has_failed(workspace: Path) -> None:
    """An agent that sleeps for ever costs its own cells and no others."""
    league = _start(workspace, "asleep.toml", "--json", "--limit", "10")
    out, _ = league.communicate(timeout=PATIENCE_S)
    told = json.loads(out)
    assert {(name, why) for _, name, why in told["errors"]} == {
        ("sleeper", "a cell may take 10 s, this one took longer: raise the limit")
    }
    assert set(told["returns"]["first"]) == {"cash", "buy_and_hold", "sma_cross"}
    assert set(told["trials"]) >= {"agents.sma_cross"}
