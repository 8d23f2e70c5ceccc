"""Marked keys, and no trace of them: in files while they are written and after, in what is shown.

The exchange is made to repeat key, secret and signature in its answers, as exchanges do.
"""

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from linear_sandboxes import PERP
from paper_sessions import RECIPE, TOML, Run, wait_for
from rich.console import Console
from sandbox_clients import exchange, wavy

from seawall.analysis.report import write_report
from seawall.paper.account_lock import AccountLock
from seawall.paper.errors import PaperError
from seawall.paper.journal import PaperJournal
from seawall.paper.outcome import session_result
from seawall.paper.parity import replay
from seawall.paper.places import JOURNAL, LOG, lock_folder
from seawall.paper.record import Record
from seawall.paper.status import read_status
from seawall.paper.view import show
from seawall.recipe import Recipe
from seawall.sandbox.contract import make_contract
from seawall.sandbox.exchange import Settings
from seawall.sandbox.faults import Fault
from seawall.sandbox.server import Server, ServerThread
from seawall.units import MINUTE_MS

KEY, SECRET = "MARKEDkey0123456789abcdef", "MARKEDsecret+/=0123456789abcdef"
MARKS = [
    *(text.encode() for text in (KEY, SECRET)),
    *(base64.b64encode(text.encode()) for text in (KEY, SECRET)),
    b"MARKEDsecret%2B%2F%3D0123456789abcdef",
    b"MARKED",
]
ECHO = json.dumps({"code": -2015, "msg": f"Invalid API-key {KEY}, secret {SECRET}, apiKey={KEY}"})
ETH = wavy(2_000)
FUTURES = Recipe.from_dict(
    {
        "name": "futures", "market": {**RECIPE.to_dict()["market"], "symbols": [PERP]},  # type: ignore[dict-item]
        "agent": {"name": "agents.sma_cross", "fast": 2, "slow": 5},
        "strategy": {"name": "strategies.futures_trading"},
        "perpetual": {"leverage": 5, "margin": "cross"},
    }
)  # fmt: skip


def exchange_of_marks(**how: Any) -> ServerThread:
    """Return an exchange with an account whose keys are marked, in the middle of a bar."""
    perpetual = wavy(2_000, PERP)
    made = exchange(ETH, perpetual, contracts={PERP: make_contract(perpetual)}, **how)
    made.open_account(
        "marked", key=KEY, secret=SECRET, balances={"USDT": 50_000.0, "ETH": 3.0}, futures=10_000.0
    )
    made.clock.advance(100 * MINUTE_MS + 30_000)
    return ServerThread(Server(made))


def check_clean(content: bytes, what: object) -> None:
    """Assert that nothing marked is in it."""
    found = [mark for mark in MARKS if mark in content]
    assert not found, f"{what}: {found}"


def check_files(*folders: Path) -> int:
    """Assert that nothing marked is in any file of these folders; return how many there are."""
    n_files = 0
    for folder in folders:
        for file in folder.rglob("*"):
            if file.is_file():
                check_clean(file.name.encode() + file.read_bytes(), file)
                n_files += 1
    return n_files


@pytest.fixture
def thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerThread]:
    """Return the exchange; the keys are in the environment."""
    monkeypatch.setenv("LOCAL_SANDBOX_API_KEY", KEY)
    monkeypatch.setenv("LOCAL_SANDBOX_SECRET", SECRET)
    with exchange_of_marks() as made:
        yield made


@pytest.mark.parametrize("recipe", [RECIPE, FUTURES], ids=["spot", "futures"])
@pytest.mark.slow
def test_nothing_shows_the_keys(thread: ServerThread, tmp_path: Path, recipe: Recipe) -> None:
    """At every turn of a run with faults, journal and its WAL, log and locks; afterwards status,
    view, replay, report, and the folder of the result.
    """  # noqa: D205 - one sentence, over two lines
    folder, n_seen = tmp_path / "session", []
    begin = thread.server.exchange.clock.now_ms()

    def at_turn(now: int) -> None:
        n_seen.append(check_files(folder, lock_folder()))
        if (now - begin) // MINUTE_MS in (3, 5):
            echo = Fault(path="/v[0-9]/", status=401, body=ECHO, n=3)
            thread.call(lambda: thread.server.faults.add(echo))
            thread.call(lambda: thread.server.faults.add(Fault(path="/order", is_drop=True)))

    Run(thread, folder, style="sandbox", recipe=recipe).go(14, at_turn=at_turn)
    assert max(n_seen) >= 4  # journal, WAL, its index and the log
    with PaperJournal(folder / JOURNAL) as journal:
        record = Record(journal)
        assert any("***" in note.text for note in journal.notes())  # it was there to be hidden
        assert len(journal.fills()) > 1
        parity = replay(record)
        result = session_result(record)
    status = read_status(folder)
    console = Console(width=120, record=True, file=(tmp_path / "seen").open("w"))
    console.print(show(status))
    console.file.close()
    write_report(result, tmp_path / "report.html")
    result.save(tmp_path / "result")
    shown = [json.dumps(status.to_dict()), repr(status), repr(parity), repr(result)]
    for text in shown:
        check_clean(text.encode(), text[:80])
    assert check_files(tmp_path, lock_folder()) > 8


class _Leaking:
    """An agent that raises what it found in the environment, and cannot say its state."""

    def decide(self, _observation: Any) -> None:
        """Raise."""
        raise ValueError(f"the key is {os.environ['LOCAL_SANDBOX_API_KEY']}, {SECRET}")

    def state(self) -> bytes:
        """Raise too."""
        raise ValueError(SECRET)

    def restore(self, _state: bytes) -> None:
        """Take nothing back."""


def test_what_an_agent_raises_is_cleaned(thread: ServerThread, tmp_path: Path) -> None:
    """Its errors are recorded, without what it had no business to know."""
    Run(thread, tmp_path, style="sandbox").go(3, agent=_Leaking())
    assert check_files(tmp_path) >= 2
    with PaperJournal(tmp_path / JOURNAL) as journal:
        made = Record(journal).decisions([1])
        assert made[0].error.startswith("ValueError: the key is ***")
        assert journal.notes("state")


def test_an_error_does_not_show_them(thread: ServerThread, tmp_path: Path) -> None:
    """The exchange refuses the account and says its keys: error, causes and traceback are clean."""
    echo = Fault(path="/api/v3/account", method="GET", status=401, body=ECHO, n=0)
    thread.call(lambda: thread.server.faults.add(echo))
    with pytest.raises(PaperError) as refusal:
        Run(thread, tmp_path, style="sandbox").go(2)
    check_clean("".join(traceback.format_exception(refusal.value)).encode(), "the traceback")
    assert "***" in str(refusal.value)
    assert check_files(tmp_path) >= 2


def test_the_lock_s_name_tells_accounts_apart_and_keys_not(thread: ServerThread) -> None:
    """It is a hash: of the key, not the key."""
    from seawall.paper.guard import local_venue  # noqa: PLC0415 - one test needs it
    from seawall.paper.keys import load_keys  # noqa: PLC0415

    venue = local_venue(thread.url, "spot")
    keys = load_keys(venue, keyring=lambda _service, _name: None)
    lock = AccountLock(lock_folder(), venue, keys.fingerprint)
    check_clean(lock.name.encode(), lock.name)
    assert keys.fingerprint in lock.name
    assert keys.fingerprint not in hashlib.sha256(KEY.encode()).hexdigest()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the signals are POSIX's")
def test_a_process_does_not_show_them(tmp_path: Path) -> None:
    """The command line with keys from a ``.env`` file: what it prints, also where it fails, and all
    files it leaves; ``status``, ``replay`` and ``report`` after it.
    """  # noqa: D205
    (tmp_path / "waves.toml").write_text(TOML, "utf-8")
    (tmp_path / "keys.env").write_text(
        f"LOCAL_SANDBOX_API_KEY={KEY}\nLOCAL_SANDBOX_SECRET='{SECRET}'\n", "utf-8"
    )
    (tmp_path / "keys.env").chmod(0o600)
    folder = tmp_path / "session"
    drop = ("SEAWALL_WORKSPACE", "LOCAL_SANDBOX_API_KEY", "LOCAL_SANDBOX_SECRET")
    environment = {name: value for name, value in os.environ.items() if name not in drop}

    def seawall(*arguments: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "seawall", *arguments], cwd=tmp_path, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    with exchange_of_marks(speed=60.0, settings=Settings(limits=None)) as thread:
        line = ("paper", "waves.toml", "--sandbox", "--exchange", f"local:{thread.url}", "--json",
                "--keys", "keys.env", "--out", "session")  # fmt: skip
        first = seawall(*line)
        log = folder / LOG
        wait_for(lambda: log.exists() and log.read_text("utf-8").count('"step"') > 3)
        first.send_signal(signal.SIGTERM)
        echo = Fault(path="/api/v3/account", method="GET", status=401, body=ECHO, n=0)
        outputs = [first.communicate(timeout=60)]
        thread.call(lambda: thread.server.faults.add(echo))
        failing = seawall(*line)
        outputs.append(failing.communicate(timeout=60))
    others = [
        seawall("paper", "status", "session", "--json"),
        seawall("replay", "session", "--json"),
        seawall("report", "session"),
    ]
    outputs += [one.communicate(timeout=60) for one in others]
    assert (first.returncode, failing.returncode) == (0, 11), outputs
    assert [one.returncode for one in others] == [0, 0, 0], outputs
    assert b"***" in outputs[1][1]
    for text in outputs:
        check_clean(b"".join(text), text)
    (tmp_path / "keys.env").unlink()
    assert (folder / "report.html").is_file()
    assert check_files(tmp_path, lock_folder()) >= 4
