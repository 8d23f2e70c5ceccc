"""``seawall paper``, ``replay`` and ``report`` of a session: as a person types them."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from paper_sessions import TOML, Run
from sandbox_clients import exchange, wavy

from seawall.cli import main
from seawall.cli.screen import Answer
from seawall.paper.errors import GuardRefused
from seawall.paper.limits import Limits
from seawall.paper.places import JOURNAL, SWITCH
from seawall.paper.status import read_status
from seawall.paper.view import rows
from seawall.sandbox.server import Server, ServerThread
from seawall.units import MINUTE_MS

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def thread() -> Iterator[ServerThread]:
    """Return an exchange in the middle of a bar."""
    with ServerThread(Server(exchange(wavy(2_000)))) as made:
        made.step(100 * MINUTE_MS + 30_000)
        yield made


@pytest.fixture
def folder(thread: ServerThread, tmp_path: Path) -> Path:
    """Return the folder of a session of 20 bars that has ended."""
    Run(thread, tmp_path / "paper" / "waves").go(20)
    return tmp_path / "paper" / "waves"


@pytest.fixture
def seawall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    """Return the command line, run in this process and in the folder of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEAWALL_WORKSPACE", raising=False)
    monkeypatch.setattr("seawall.workspace_folders.WORKSPACE", None)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["seawall", *arguments])
        Answer.is_given = False
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_the_status_of_an_ended_session(folder: Path, seawall: Cli) -> None:
    """Equity, positions, the last decision with its reason, what is left of the limits."""
    code, out, _ = seawall("paper", "status")
    assert code == 0
    for text in ("ended", "equity", "positions", "SMA 2 at", "20 decisions", "data age"):
        assert text in out
    code, out, _ = seawall("paper", "status", str(folder), "--json")
    found = json.loads(out)
    assert (code, found["decisions"], found["is_running"]) == (0, 20, False)


def test_the_switch_is_pressed_and_released(folder: Path, seawall: Cli) -> None:
    """``stop --flatten`` leaves it on until it is taken back; a plain stop does not. The session
    has ended with coin: nothing is sold, and it says what to do.
    """  # noqa: D205 - one sentence, over two lines
    code, _, err = seawall("paper", "stop", str(folder), "--flatten")
    assert (code, (folder / SWITCH).read_text()) == (11, "flatten\n")
    assert "it has ended and as last known it has left" in err
    assert f"--release {folder}, start it again" in " ".join(err.split())
    assert dict(rows(read_status(folder)))["kill switch"].startswith("flatten;")
    seawall("paper", "stop", str(folder), "--release")
    assert not (folder / SWITCH).exists()
    seawall("paper", "stop", str(folder))
    assert not (folder / SWITCH).exists()


def test_a_replay_of_a_shadow_differs_in_nothing(folder: Path, seawall: Cli) -> None:
    """As a table, and as JSON with every decision."""
    code, out, _ = seawall("replay", str(folder))
    assert code == 0
    assert "decisions" in out
    code, out, _ = seawall("replay", str(folder), "--json")
    found = json.loads(out)
    assert (code, found["agrees"], len(found["decisions"])) == (0, True, 20)


def test_a_session_has_a_report(folder: Path, seawall: Cli) -> None:
    """Written into its folder, labelled as paper."""
    code, _, err = seawall("report", str(folder))
    assert code == 0
    assert "report" in err
    assert "paper: local spot shadow" in (folder / "report.html").read_text("utf-8")
    assert (folder / JOURNAL).is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("paper", "recipe.toml"), 2, "give one, --shadow or"),
        (("paper", "recipe.toml", "--shadow", "--sandbox"), 2, "give one"),
        (("paper", "recipe.toml", "--shadow"), 11, "'simulated'"),
        (("paper", "recipe.toml", "--sandbox", "--exchange", "kraken"), 11, "choose one of"),
        (("paper", "recipe.toml", "--sandbox", "--exchange", "binance"), 11, "TESTNET"),
        (("paper", "recipe.toml", "--shadow", "--limit", "max_orders=1"), 2, "max_order,"),
        (("paper", "recipe.toml", "--shadow", "--limit", "max_order=x"), 2, "a number or none"),
        (("paper", "recipe.toml", "--shadow", "--exchange", "local:http://10.0.0.1:80"), 11,
         "on loopback"),
        (("paper", "status", "nowhere"), 11, "journal.sqlite"),
        (("paper", "status"), 2, "there must be a session"),
        (("replay", "nowhere"), 11, "journal.sqlite"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(
    seawall: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    arguments: tuple[str, ...],
    code: int,
    word: str,
) -> None:
    """With the exit code of its class; nothing was connected to, no folder is left."""
    for name in list(os.environ):
        if "TESTNET" in name or "SANDBOX" in name or "DEMO" in name:
            monkeypatch.delenv(name)
    monkeypatch.setitem(sys.modules, "keyring", None)  # whoever runs this may have keys in it
    (tmp_path / "recipe.toml").write_text(TOML)
    found, _, err = seawall(*arguments)
    assert (found, err.count("\n")) == (code, 1), err
    assert word in err
    assert not (tmp_path / "paper").exists()


def test_the_help_names_every_limit(seawall: Cli) -> None:
    """Who reads it needs no other page."""
    _, out, _ = seawall("paper", "run", "--help")
    words = " ".join(out.replace("│", " ").split())
    for name in Limits.__dataclass_fields__:
        assert name in words


def test_an_agents_own_ports_on_loopback_are_open_without_a_word(
    tmp_path: Path, seawall: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The URL in the recipe and that of a language model; ``--agent-host`` names others."""
    given: list[object] = []

    def note(_venues: object, hosts: tuple[str, ...], ports: set[int]) -> None:
        given.extend([hosts, ports])
        raise GuardRefused("far enough")

    monkeypatch.setattr("seawall.paper.opening_parts.raise_wall", note)
    monkeypatch.setattr("seawall.paper.opening_parts.protect_output", lambda _redactor: None)
    monkeypatch.setenv("SEAWALL_LLM_URL", "http://localhost:8001/v1")
    agent = '[agent]\nname = "agents.http"\nurl = "http://127.0.0.1:8000/decide"\n'
    (tmp_path / "recipe.toml").write_text(TOML.partition("[agent]")[0] + agent)
    arguments = ("--shadow", "--exchange", "local:http://127.0.0.1:1")
    code, _, err = seawall("paper", "recipe.toml", *arguments, "--agent-host", "127.0.0.1:8002")
    assert code != 0, err
    assert given == [("127.0.0.1:8002",), {8000, 8001}]
