"""An agent as a child process: what it says, what it fails at, and what becomes of it."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from remote_runs import CHILD, abstentions, child, reasons, run_child, spot

from seawall.conformance.suite import check_agent
from seawall.engine.components import make_agent
from seawall.engine.run import run
from seawall.errors import AgentError, AgentLost, RecipeError
from seawall.recipe import Recipe
from seawall.remote.stdio import Child

pytestmark = pytest.mark.slow  # whole sessions and processes


def children() -> set[int]:
    """Return the process ids of this process' living children."""
    mine = Path(f"/proc/{os.getpid()}/task")
    if not mine.is_dir():
        pytest.skip("children are counted in /proc, which is not here")
    found: set[int] = set()
    for task in mine.iterdir():
        found.update(int(pid) for pid in (task / "children").read_text().split())
    return found


def test_a_child_is_asked_once_a_bar_and_ends_with_the_run() -> None:
    """23 closes of a day can still be followed by a fill; no process and no thread is left."""
    before, threads = children(), threading.active_count()
    result = run_child()
    assert reasons(result) == [str(n) for n in range(1, len(reasons(result)) + 1)]
    assert result.counts["decisions"] == len(reasons(result)) >= 23
    assert abstentions(result) == []
    assert children() == before
    assert threading.active_count() == threads


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("garbage", "it is 'Traceback: my model xxx"),
        ("two answers", "has weights and target: leave out the others"),
        ("wrong symbol", "there is no symbol 'DOGE/USDT'"),
        ("typo", "targt: Extra inputs are not permitted"),
        ("error", "I have no idea"),
        ("deep", "recursion limit exceeded"),
    ],
)
def test_what_is_no_answer_is_an_abstention_with_what_was_said(fault: str, said: str) -> None:
    """The line is quoted, shortened; the next question is answered as ever."""
    result = run_child(fault)
    (why,) = abstentions(result)
    assert said in why
    assert len(why) < 400
    assert result.counts["decision"] == result.counts["decisions"] - 1


def test_chatter_on_stdout_costs_one_decision() -> None:
    """Three lines before the answer: the first is no answer, the rest are dropped with it."""
    result = run_child("chatter")
    (why,) = abstentions(result)
    assert "it is 'a warning'" in why


def test_a_child_that_floods_is_late_like_any_other() -> None:
    """Answers to old questions without an end: there is always something to read, and no answer."""
    result = run_child("flood", timeout_ms=300)
    assert abstentions(result) == ["no answer within timeout_ms = 300"] * 3
    assert result.counts["decision"] == result.counts["decisions"] - 3


def test_words_without_an_end_do_not_hold_up_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """Three megabytes on stderr before the answer: passed on in parts, and not byte by byte."""
    result = run_child("endless words")
    assert abstentions(result) == []
    parts = capsys.readouterr().err.splitlines()
    assert sum(part.count("x") for part in parts) == 3_000_000
    assert max(map(len, parts)) < 100_000


def test_a_late_answer_is_an_abstention_and_is_not_taken_for_the_next() -> None:
    """The child answers question 3 after its time: the answer to 4 is the one with number 4."""
    result = run_child("late", timeout_ms=500)
    assert set(abstentions(result)) == {"no answer within timeout_ms = 500"}
    asked = [int(reason) for reason in reasons(result)]
    assert asked == sorted(set(asked) - {3})


def test_a_child_that_dies_is_started_again_with_its_state(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It dies on question 3 and has counted 2: started again it counts on; its stderr is seen."""
    result = run_child("dies")
    assert abstentions(result) == []
    assert reasons(result) == [str(n) for n in range(1, result.counts["decisions"] + 1)]
    assert "[agent] out of memory" in capfd.readouterr().err


def test_a_child_that_gives_no_state_begins_anew() -> None:
    """Nothing is made up for it: the third question is the first that the second child sees."""
    assert reasons(run_child("forgets"))[:4] == ["1", "2", "1", "2"]


def test_a_child_that_dies_each_time_stops_the_run() -> None:
    """The error says how often, how, and what it said last."""
    rule = r"has gone 3 times \(max_restarts = 2\), at last: it has ended with exit code 3, last on"
    with pytest.raises(AgentLost, match=rule) as raised:
        run_child("always dies", max_restarts=2)
    assert "out of memory" in str(raised.value)


def test_a_child_that_answers_no_more_is_started_again_and_stops_the_run_at_last() -> None:
    """Three times in a row without an answer is a hang, not slowness."""
    before = children()
    with pytest.raises(AgentLost, match="has not answered 3 times in a row after 2 starts"):
        run_child("deaf", timeout_ms=150, max_restarts=1)
    assert children() == before


@pytest.mark.parametrize(
    ("fault", "more", "said"),
    [
        ("dies at once", {}, "last on stderr: 'I cannot begin: no such model'"),
        ("silent", {"start_timeout_ms": 200}, "no answer to hello within start_timeout_ms = 200"),
        ("another version", {}, "an agent speaks protocol 1, .* speaks 99"),
    ],
)
def test_a_handshake_that_fails_stops_the_run(
    fault: str, more: dict[str, object], said: str
) -> None:
    """Nobody wants a year of abstentions."""
    before = children()
    with pytest.raises(AgentLost, match=said):
        run_child(fault, 3, max_restarts=0, **more)
    assert children() == before


def test_a_handshake_of_garbage_stops_the_run() -> None:
    """The line is quoted."""
    agent = {"name": "agents.stdio", "command": ["echo", "hello there"]}
    with pytest.raises(AgentError, match="it is 'hello there'"):
        run(spot(agent))


def test_what_a_program_said_before_it_ended_is_its_handshake() -> None:
    """It has gone before the hello could be written: its line is there all the same."""
    way = Child(["echo", "hello there"])
    way.open()
    assert way._running is not None
    way._running._process.wait()
    assert way.ask(b"hello", 0, 20.0) == b"hello there"
    way.close()


def test_a_program_that_is_not_there_stops_the_run() -> None:
    """The message is the system's own."""
    agent = {"name": "agents.stdio", "command": ["no-such-program-at-all"], "max_restarts": 0}
    with pytest.raises(AgentLost, match=r"it cannot be started: .*No such file"):
        run(spot(agent))


def test_a_program_that_cannot_be_run_is_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Absent, or no program: one try, whatever ``max_restarts``, and the remedy."""
    tried = []
    start = subprocess.Popen

    def count(command: list[str], **rest: Any) -> Any:
        tried.append(command)
        return start(command, **rest)

    monkeypatch.setattr(subprocess, "Popen", count)
    notes = tmp_path / "notes.txt"
    notes.write_text("no program")
    for program, why in (("no-such-program-at-all", "No such file"), (str(notes), "denied")):
        agent = {"name": "agents.stdio", "command": [program], "max_restarts": 3}
        rule = rf"must be a program that may be run, .*{why}.*: correct agent\.command$"
        with pytest.raises(AgentLost, match=rule):
            run(spot(agent))
    assert [command[0] for command in tried] == ["no-such-program-at-all", str(notes)]


def test_a_child_that_does_not_read_is_late_and_does_not_block_the_run() -> None:
    """Its stdin fills up; the write waits no longer than the decision may take."""
    script = (
        "import sys, time; sys.stdin.readline(); "
        'print(\'{"type":"ready","protocol":1,"bars":2000}\', flush=True); time.sleep(3600)'
    )
    agent = {
        "name": "agents.stdio", "command": [sys.executable, "-c", script],
        "timeout_ms": 100, "max_restarts": 0,
    }  # fmt: skip
    before = children()
    longer = {"since": "2025-02-01", "until": "2025-02-03", "warmup": "30d", "timeframe": "15m"}
    market = {"venue": "simulated", "symbols": ["ETH/USDT"], **longer}
    with pytest.raises(AgentLost, match=r"has gone 1 times .* it is not running"):
        run(spot(agent, market=market))
    assert children() == before


def test_a_grandchild_does_not_outlive_the_run(tmp_path: Path) -> None:
    """The whole process group is ended: a shell may have started what it likes."""
    note = tmp_path / "pid"
    script = f"sleep 3600 & echo $! > {note}; exec {sys.executable} {CHILD} none"
    run(spot({"name": "agents.stdio", "command": ["sh", "-c", script], "timeout_ms": 20_000}))
    pid = int(note.read_text())
    for _ in range(500):  # a killed process is there until it has been waited for
        if not Path(f"/proc/{pid}").exists() or _is_dead(pid):
            return
        time.sleep(0.01)
    pytest.fail(f"the child's own child {pid} is still there")


def _is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("Z", "X")
    except OSError:
        return True


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"command": "node agent.js"}, "agent.command must be a list of words"),
        ({"command": []}, "agent.command must be a list of words"),
        ({"command": ["x", 3]}, "agent.command must be a list of words"),
        ({"timeout_ms": 0}, "agent.timeout_ms must be a whole number from 1, is 0"),
        ({"timeout_ms": 1.5}, "agent.timeout_ms must be a whole number from 1, is 1.5"),
        ({"max_restarts": -1}, "agent.max_restarts must be a whole number from 0"),
        ({"bars": 20_000}, "agent.bars must be a whole number from 0"),
        ({"mode": "live"}, "agent.mode must be record or replay, is 'live'"),
        ({"mode": "replay"}, "needs a recording, there is none"),
        ({"latency": "measured"}, "needs a recording, there is none"),
        ({"recording": "answers.csv"}, "agent.recording must be a .jsonl file"),
        ({"recording": 3}, "agent.recording must be text"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused_by_name(
    given: dict[str, object], said: str
) -> None:
    """Before anything is started."""
    with pytest.raises(RecipeError, match=said):
        make_agent(spot({**child(), **given}))


def test_a_recipe_with_a_command_survives_its_file() -> None:
    """The words of a command are plain TOML."""
    recipe = spot(child())
    again = Recipe.from_dict(recipe.to_dict())
    assert again.id == recipe.id


@pytest.mark.slow
def test_a_child_keeps_to_the_contract() -> None:
    """The conformance suite, look-ahead tripwire included, over a program in another process."""
    script = (
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    m = json.loads(line)\n"
        "    if m['type'] == 'hello':\n"
        "        print(json.dumps({'type': 'ready', 'protocol': 1, 'bars': 4}), flush=True)\n"
        "    elif m['type'] == 'observation':\n"
        "        weights = {\n"
        "            s: float(len(c['close']) > 1 and c['close'][-1] > c['close'][0]) / 2\n"
        "            for s, c in m['observation']['candles'].items()}\n"
        "        print(json.dumps({'type': 'decision', 'sequence': m['sequence'],\n"
        "                          'weights': weights}), flush=True)\n"
    )
    command = [sys.executable, "-c", script]
    report = check_agent("stdio", parameters={"command": command, "timeout_ms": 20_000})
    assert [finding for finding in report.findings if not finding.passed] == []
