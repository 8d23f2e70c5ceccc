"""How a session ends when the system says so: signals, a full disk, a folder it may not write."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from paper_sessions import FREE, MARKET_TOML, RECIPE, Run, keys, wait_for
from sandbox_clients import exchange, spot_client, wavy

from seawall.errors import SeawallError
from seawall.paper.errors import JournalError, PaperError
from seawall.paper.journal import PaperJournal
from seawall.paper.kill_switch import KillSwitch
from seawall.paper.log import SessionLog
from seawall.paper.opening import HASTY, Surroundings, open_session
from seawall.paper.places import JOURNAL, LOG
from seawall.paper.plan import Plan
from seawall.paper.redaction import Redactor
from seawall.paper.status import read_status
from seawall.sandbox.exchange import Settings
from seawall.sandbox.server import Server, ServerThread
from seawall.units import HOUR_MS, MINUTE_MS

pytestmark = pytest.mark.slow  # whole sessions and processes

ETH = wavy(2_000)
TOML = f"""{MARKET_TOML}
[agent]
name = "agents.{{agent}}"
"""
HANGING = '''"""An agent that never answers."""

import time
from pathlib import Path


def decide(observation):
    """Say that it was asked, and hang."""
    Path("asked").touch()
    time.sleep(600)
'''


@pytest.fixture
def thread() -> Iterator[ServerThread]:
    """Return an exchange in the middle of its hundredth bar."""
    with ServerThread(Server(exchange(ETH))) as made:
        made.step(100 * MINUTE_MS + 30_000)
        yield made


# A disk that is full ------------------------------------------------------------------------------


def _fill_up(monkeypatch: pytest.MonkeyPatch, n_pages: int) -> None:
    """Let every journal be full when it has grown by so many pages."""
    real = PaperJournal.__init__

    def init(self: PaperJournal, file: Path) -> None:
        real(self, file)
        (there,) = self._database.execute("PRAGMA page_count").fetchone()
        self._database.execute(f"PRAGMA max_page_count = {there + n_pages}")

    monkeypatch.setattr(PaperJournal, "__init__", init)


@pytest.mark.parametrize("style", ["shadow", "sandbox"])
def test_a_full_disk_ends_it_and_loses_nothing(
    thread: ServerThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, style: Any
) -> None:
    """Full after 2, 3 and 5 pages more, at whatever is being written then: one clear line; on a
    disk with room it goes on, and belief is truth.
    """  # noqa: D205 - one sentence, over two lines
    keys(monkeypatch)
    run = Run(thread, tmp_path, style=style)
    run.go(4)
    for n_pages in (2, 3, 5):
        with monkeypatch.context() as patch:
            _fill_up(patch, n_pages)
            with pytest.raises(JournalError, match=r"disk is full.*free the disk"):
                run.go(500)
    run.go(5)
    with PaperJournal(tmp_path / JOURNAL) as journal:
        assert (journal.last_step() or 0) >= run.clock() - 2 * MINUTE_MS
        if style == "sandbox":
            truth: Any = spot_client(thread)
            total = truth.fetch_balance()["total"]
            believed = journal.believed("balance")
            assert {a: believed[a] for a in ("ETH", "USDT")} == pytest.approx(
                {a: total[a] for a in ("ETH", "USDT")}, abs=1e-7
            )
            assert len(journal.fills()) == len(truth.fetch_my_trades("ETH/USDT", None, 1000))
            assert journal.unresolved() == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_log_that_cannot_be_written_is_named() -> None:
    """No line is lost in silence."""
    with SessionLog(Path("/dev/full"), Redactor()) as log, pytest.raises(PaperError, match="free"):
        log.write("note", 0, text="x")


def test_a_line_that_was_cut_is_ended(tmp_path: Path) -> None:
    """What a full disk has left of a line does not spoil the next."""
    file = tmp_path / LOG
    file.write_text('{"kind": "no', "utf-8")
    with SessionLog(file, Redactor()) as log:
        log.write("note", 0, text="x")
    lines = file.read_text("utf-8").splitlines()
    assert len(lines) == 2
    assert json.loads(lines[1])["text"] == "x"


def test_a_write_that_fails_is_undone_whole(tmp_path: Path) -> None:
    """What was done before it in the same transaction is not there; the journal goes on."""
    with PaperJournal(tmp_path / JOURNAL) as journal:
        journal.begin_session(0, venue="v", recipe="r")
        with pytest.raises(JournalError):
            _write_half(journal)
        assert journal.notes() == []
        journal.note(2, "kind", "text")
        assert [note.time_ms for note in journal.notes()] == [2]


def _write_half(journal: PaperJournal) -> None:
    """Write a note in a transaction that fails."""
    with journal.transaction() as database:
        row = "INSERT INTO notes (session, time_ms, kind, text) VALUES (1, 1, '', '')"
        database.execute(row)
        raise sqlite3.OperationalError("database or disk is full")


# What is found out before anything is begun ------------------------------------------------------


def test_an_agent_that_is_not_there_is_named_first(thread: ServerThread, tmp_path: Path) -> None:
    """Missing, or with a parameter it does not have: no folder is left behind."""
    for settings, word in (
        ({"agent.name": "agents.nobody"}, "no agents/nobody.py"),
        ({"agent.slwo": 3}, "did you mean 'slow'"),
    ):
        with pytest.raises(SeawallError, match=word):
            Run(thread, tmp_path / "s", recipe=RECIPE.with_settings(settings)).go(1)
    assert not (tmp_path / "s").exists()


# A folder that cannot be used ---------------------------------------------------------------------


def test_a_folder_that_is_a_file_is_named(thread: ServerThread, tmp_path: Path) -> None:
    """With the option that names another."""
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(PaperError, match=r"cannot be written to.*--out"):
            Run(thread, folder).go(1)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only_is_named(thread: ServerThread, tmp_path: Path) -> None:
    """Also where it is there already."""
    folder = tmp_path / "mine"
    folder.mkdir(mode=0o500)
    with pytest.raises(PaperError, match=r"cannot be written to.*--out"):
        Run(thread, folder).go(1)


# Signals ------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="the signals are POSIX's")
def test_the_second_ctrl_c_ends_at_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The first one stops and says what the second does."""
    switch = KillSwitch(tmp_path / "stop")
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & ignores it
        switch.listen()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        os.kill(os.getpid(), signal.SIGINT)
        assert switch.read() == "stop"
        assert "Ctrl-C again" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_DFL)
        for number, handler in before.items():
            signal.signal(number, handler)


class _Interrupted:
    """An agent in whose midst the second Ctrl-C comes."""

    def decide(self, _observation: Any) -> None:
        """Be broken off."""
        raise KeyboardInterrupt


def test_an_end_at_once_is_written_down(thread: ServerThread, tmp_path: Path) -> None:
    """The journal says how it ended; started again it goes on."""
    run = Run(thread, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run.go(3, agent=_Interrupted())
    assert read_status(tmp_path).session.ended_why == HASTY
    assert run.go(3) == "the session was to end now"


# The command line, where Ctrl-C is heard: a shell's & has it ignored.
HEARING = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from seawall.cli import main; main()"
)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the signals are POSIX's")
def test_signals_from_outside(tmp_path: Path) -> None:
    """A process at work gets SIGTERM, one whose agent hangs gets Ctrl-C: both end with 0, their
    last step written.
    """  # noqa: D205 - one sentence, over two lines
    for name in ("agents", "strategies", "backtests"):
        (tmp_path / name).mkdir()
    (tmp_path / "agents" / "hanging.py").write_text(HANGING, "utf-8")
    made = exchange(wavy(40_000), speed=60.0, settings=Settings(limits=None))
    made.clock.advance(HOUR_MS)
    with ServerThread(Server(made)) as running:
        environment = {k: v for k, v in os.environ.items() if k != "SEAWALL_WORKSPACE"}
        started = {}
        for name, agent in (("works", "cash"), ("hangs", "hanging:decide")):
            (tmp_path / f"{name}.toml").write_text(TOML.format(agent=agent), "utf-8")
            line = [sys.executable, "-c", HEARING, "paper", f"{name}.toml", "--shadow"]
            started[name] = subprocess.Popen(
                [*line, "--exchange", f"local:{running.url}", "--out", name],
                cwd=tmp_path, env=environment, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        works, hangs = started["works"], started["hangs"]
        folder = tmp_path / "works"
        wait_for(lambda: (folder / LOG).exists() and '"step"' in (folder / LOG).read_text("utf-8"))
        works.send_signal(signal.SIGTERM)
        _, err = works.communicate(timeout=60)
        assert (works.returncode, "the kill switch says stop" in err) == (0, True), err
        assert read_status(folder).session.ended_why == "the kill switch says stop"
        wait_for(lambda: (tmp_path / "asked").exists() or hangs.poll() is not None)
        hangs.send_signal(signal.SIGINT)
        _, err = hangs.communicate(timeout=60)
        assert (hangs.returncode, "Traceback" in err) == (0, False), err
        assert "Ctrl-C again" in err
        assert read_status(tmp_path / "hangs").session.ended_why == "the kill switch says stop"
        stopped = running.call(made.clock.now_ms)
    assert read_status(folder).now_ms <= stopped


def test_an_exchange_that_is_too_fast_for_signatures_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 3,600 times the wall a request of ten seconds lives for 3 ms: said before it begins."""
    keys(monkeypatch)
    made = exchange(ETH, speed=3_600.0)
    plan = Plan(
        recipe=RECIPE, style="sandbox", exchange="local:", folder=tmp_path / "s", limits=FREE
    )
    around = Surroundings(has_wall=False, listens=False, has_streams=False)
    with ServerThread(Server(made)) as running:
        fast = replace(plan, exchange=f"local:{running.url}")
        with (
            pytest.raises(PaperError, match="start the exchange with --speed 60"),
            open_session(fast, around),
        ):
            pass
    assert not (tmp_path / "s").exists()
