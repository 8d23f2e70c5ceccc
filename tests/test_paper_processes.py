"""Paper sessions in processes of their own, on a local exchange at sixty times the wall."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paper_sessions import TOML
from sandbox_clients import KEY, SECRET

from seawall.paper.errors import JournalError
from seawall.paper.places import JOURNAL
from seawall.paper.status import read_status

pytestmark = pytest.mark.slow
PATIENCE = 60.0


class Processes:
    """What was started in a folder; what each says on stderr is in a file of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen[str]] = []
        (folder / "recipe.toml").write_text(TOML)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start ``seawall`` with arguments."""
        keys = {"LOCAL_SANDBOX_API_KEY": KEY, "LOCAL_SANDBOX_SECRET": SECRET}
        environment = {
            name: value for name, value in os.environ.items() if name != "SEAWALL_WORKSPACE"
        }
        with self.said(len(self.running)).open("w") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "seawall", *arguments],
                cwd=self.folder, env=environment | keys, text=True,
                stdout=subprocess.PIPE, stderr=said,
            )  # fmt: skip
        self.running.append(process)
        return process

    def said(self, number: int) -> Path:
        """Return the file of what a process says."""
        return self.folder / f"said-{number}"

    def check(self) -> None:
        """Fail where one has ended with an error, with what it said."""
        for number, process in enumerate(self.running):
            assert process.poll() in {None, 0}, self.said(number).read_text()

    def stop(self) -> None:
        """End all of them."""
        for process in self.running:
            process.terminate()
            process.wait(20)
            assert process.stdout is not None
            process.stdout.close()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Return what starts processes, and end them."""
    made = Processes(tmp_path)
    yield made
    made.stop()


def test_two_sessions_start_stop_and_start_again_while_they_are_looked_at(
    processes: Processes,
) -> None:
    """A shadow stopped by SIGTERM and started again, a sandbox session flattened; no file of theirs
    holds the secret, the replay finds the record whole.
    """  # noqa: D205 - one sentence, over two lines
    account = f"{KEY}:{SECRET}:USDT=10000"
    server = processes.start(
        "sandbox", "--port", "0", "--speed", "60", "--json", "--account", account
    )
    on = ("--exchange", f"local:{_read_json(server)['url']}")
    shadow, other = processes.folder / "shadow", processes.folder / "other"
    first = processes.start("paper", "recipe.toml", "--shadow", *on, "--out", str(shadow))
    second = processes.start("paper", "recipe.toml", "--sandbox", *on, "--out", str(other))
    _wait_for(processes, shadow, 4)
    assert read_status(shadow).is_running
    first.send_signal(signal.SIGTERM)
    assert first.wait(20) == 0
    n = _n_decisions(shadow)
    third = processes.start("paper", "recipe.toml", "--shadow", *on, "--out", str(shadow))
    _wait_for(processes, shadow, n + 2)
    _wait_for(processes, other, 6)
    _run(processes, "paper", "stop", str(other), "--flatten")
    assert second.wait(20) == 0
    _run(processes, "paper", "stop", str(shadow))
    assert third.wait(20) == 0
    assert abs(read_status(other).holdings["ETH/USDT"]) < 0.001
    assert json.loads(_run(processes, "replay", str(shadow), "--json"))["equity"] > 0
    for file in (one for one in processes.folder.rglob("*") if one.is_file()):
        assert SECRET.encode() not in file.read_bytes()


def test_a_killed_session_is_flattened_by_the_stop_itself(processes: Processes) -> None:
    """Killed with coin: ``stop --flatten`` sells it and says so; without an exchange it fails."""
    account = f"{KEY}:{SECRET}:USDT=10000"
    server = processes.start(
        "sandbox", "--port", "0", "--speed", "60", "--json", "--account", account
    )
    on = ("--exchange", f"local:{_read_json(server)['url']}")
    folder = processes.folder / "killed"
    recipe = TOML.replace("sma_cross", "buy_and_hold").partition("fast")[0]
    (processes.folder / "recipe.toml").write_text(recipe)
    first = processes.start("paper", "recipe.toml", "--sandbox", *on, "--out", str(folder))
    _wait_for(processes, folder, 3)
    first.kill()
    first.wait(20)
    assert first.stdout is not None
    first.stdout.close()
    (holding,) = read_status(folder).holdings.values()
    assert holding > 0.1
    processes.running[1] = server  # one that was killed is no failure
    _run(processes, "paper", "stop", str(folder), "--flatten")
    said = processes.said(len(processes.running) - 1).read_text()
    assert "it is done now: sold: sell" in said
    assert abs(read_status(folder).holdings["ETH/USDT"]) < 0.001
    _run(processes, "paper", "stop", str(folder), "--release")
    server.terminate()
    server.wait(20)
    failed = processes.start("paper", "stop", str(folder), "--flatten")
    assert failed.wait(PATIENCE) == 11
    assert "here it is not done" in processes.said(len(processes.running) - 1).read_text()


def _wait_for(processes: Processes, folder: Path, n: int) -> None:
    """Look at a session, from before it begins, until it has decided ``n`` times."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        processes.check()
        if _n_decisions(folder) >= n:
            return
        time.sleep(0.02)
    pytest.fail(f"no {n} decisions in {folder}")


def _n_decisions(folder: Path) -> int:
    if not (folder / JOURNAL).is_file():
        return 0
    try:
        return read_status(folder).n_decisions
    except JournalError as error:
        if "no session yet" not in str(error):
            raise
        return 0


def _run(processes: Processes, *arguments: str) -> str:
    """Return what a command writes."""
    process = processes.start(*arguments)
    out, _ = process.communicate(timeout=PATIENCE)
    processes.check()
    return out


def _read_json(process: subprocess.Popen[str]) -> Any:
    text = ""
    assert process.stdout is not None
    while not text.endswith("\n}\n"):
        line = process.stdout.readline()
        assert line
        text += line
    return json.loads(text)
