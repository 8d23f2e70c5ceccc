"""A recording: a run with a remote agent is reproduced without it, to the bit, or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from remote_runs import abstentions, child, reasons, run_child, spot
from remote_servers import scripted, usual

from seawall import workspace_folders
from seawall.engine.run import run
from seawall.errors import RecordingError
from seawall.recipe import Recipe
from seawall.remote.recording import Recorded, Recording
from seawall.result import Result
from seawall.workspace import find_recipe


def same(one: Result, other: Result) -> bool:
    """Return whether two results agree to the bit, journal and all."""
    return (
        one.equity.equals(other.equity)
        and one.fills.equals(other.fills)
        and one.journal.equals(other.journal)
        and one.ledger.equals(other.ledger)
    )


@pytest.mark.parametrize("fault", ["none", "garbage", "dies", "error", "late"])
@pytest.mark.slow
def test_a_replay_is_the_run_to_the_bit_and_starts_nothing(tmp_path: Path, fault: str) -> None:
    """Whatever happened, abstentions too: the program is not there any more."""
    file = str(tmp_path / "answers.jsonl")
    live = run_child(fault, timeout_ms=300 if fault == "late" else 20_000, recording=file)
    replayed = run(spot({
        "name": "agents.stdio", "command": ["no-such-program"], "recording": file, "mode": "replay",
    }))  # fmt: skip
    assert same(live, replayed)
    assert bool(abstentions(live)) == (fault in ("garbage", "error", "late"))


def test_recording_again_asks_nobody(tmp_path: Path) -> None:
    """What is known is taken from the file; it does not grow."""
    file = tmp_path / "answers.jsonl"
    with scripted() as (url, server):
        recipe = spot({"name": "agents.http", "url": url, "recording": str(file)})
        first = run(recipe)
        n_asked, size = len(server.asked), file.stat().st_size
        second = run(recipe)
        assert (len(server.asked), file.stat().st_size) == (n_asked, size)
    assert same(first, second)


def test_both_passes_of_a_loan_are_recorded_and_replayed(tmp_path: Path) -> None:
    """They part where the bar does not tell: what one has not asked is in the file all the same."""
    file = str(tmp_path / "answers.jsonl")
    short = {"market.since": "2025-04-06", "market.until": "2025-04-09"}
    loan = Recipe.from_file(find_recipe("loan_demo")).with_settings(short)

    def reply(message: Mapping[str, object]) -> object:
        if message["type"] == "hello":
            return {"type": "ready", "protocol": 1, "bars": 1}
        observation = message["observation"]
        assert isinstance(observation, dict)
        is_low = observation["loan"]["health"] != "inf" and observation["loan"]["health"] < 1.3
        return {
            "type": "decision", "sequence": message["sequence"], "target": 1.6 if is_low else None
        }  # fmt: skip

    with scripted(reply) as (url, _):
        agent = {"name": "agents.http", "url": url, "recording": file, "timeout_ms": 20_000}
        live = run(Recipe.from_dict({**loan.to_dict(), "agent": agent}))
    replayed = run(Recipe.from_dict({**loan.to_dict(), "agent": {**agent, "mode": "replay"}}))
    assert live.counts["decision"] > 0
    assert same(live, replayed)
    assert live.other is not None
    assert replayed.other is not None
    assert same(live.other, replayed.other)


def test_a_replay_of_another_run_fails_closed(tmp_path: Path) -> None:
    """Other bars, other prices, another job: the run stops instead of going on without answers."""
    file = str(tmp_path / "answers.jsonl")
    run_child(recording=file)
    replay = child(recording=file, mode="replay")
    with pytest.raises(RecordingError, match="has none to this run: market, job or bars"):
        run(spot(replay, seed=2))
    with pytest.raises(RecordingError, match="has none to this run"):
        run(spot(replay, costs={"taker_fee_bps": 7.0}))
    with pytest.raises(RecordingError, match="has none to question 1: market, job or bars"):
        run(spot({**replay, "bars": 4}))
    with pytest.raises(RecordingError, match="has none to question 1"):
        run(spot(replay, account={"cash": 9_999.0}))
    with pytest.raises(RecordingError, match="has none to this run"):
        run(spot(child(recording=str(tmp_path / "other.jsonl"), mode="replay")))


def test_a_recording_that_was_cut_short_is_finished(tmp_path: Path) -> None:
    """A kill in the middle of a line: what is whole counts, the child is shown it and goes on."""
    file = tmp_path / "answers.jsonl"
    whole = run_child("forgets", at=99, recording=str(file))
    kept = file.read_bytes()
    lines = kept.splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:9]) + lines[9][: len(lines[9]) // 2])
    again = run_child("forgets", at=99, recording=str(file))
    # It counts its questions and gives no state: it can only go on if it was shown the first ones.
    assert reasons(again) == reasons(whole)
    assert len(Recording(str(file))) == len(lines) - 1
    assert same(again, run_child("forgets", at=99, recording=str(file), mode="replay"))


def test_a_measured_latency_delays_the_orders_in_the_replay_too(tmp_path: Path) -> None:
    """An hour and a half of thinking, written into the recording by hand: fills come later."""
    file = tmp_path / "answers.jsonl"

    def sleeps(message: Mapping[str, object]) -> object:
        answer = usual(message)
        assert isinstance(answer, dict)
        return {**answer, "wake": {"after_ms": 10**10}} if "sequence" in answer else answer

    with scripted(sleeps) as (url, _):
        agent = {"name": "agents.http", "url": url, "recording": str(file), "latency": "measured"}
        quick = run(spot({**agent, "timeout_ms": 20_000}))
    header, ready, answer = (json.loads(line) for line in file.read_text().splitlines())
    lines = [header, ready, {**answer, "latency_ms": 90 * 60_000}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    slow = run(spot({**agent, "mode": "replay"}))
    assert slow.journal["text"].str.contains("5,400,000 ms").any()
    waited = [
        int(one.journal[one.journal["kind"] == "filled"]["time_ms"].iloc[0])
        - int(one.journal[one.journal["kind"] == "decision"]["time_ms"].iloc[0])
        for one in (quick, slow)
    ]
    assert waited[0] < waited[1]
    assert waited[1] >= 90 * 60_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is none"),
        ("date,price\n1,2\n", "is none"),
        ('{"seawall_recording":99,"protocol":1}\n', "is of another version"),
        ('{"seawall_recording":1,"protocol":99}\n', "is of another version"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_and_left_alone(
    tmp_path: Path, text: str, said: str
) -> None:
    """Nothing is appended to what somebody else has written."""
    file = tmp_path / "precious.jsonl"
    file.write_text(text)
    with pytest.raises(RecordingError, match=said):
        Recording(str(file))
    assert file.read_text() == text


def test_whoever_was_first_counts(tmp_path: Path) -> None:
    """Two runs record into one file at once: what was used is what is found."""
    first, second = (Recording(str(tmp_path / "answers.jsonl")) for _ in range(2))
    first.keep("a", Recorded(answer="1"))
    second.keep("a", Recorded(answer="2"))
    second.keep("b", Recorded(answer=None, failure="late", latency_ms=7))
    again = Recording(str(tmp_path / "answers.jsonl"))
    assert again.find("a") == Recorded(answer="1")
    assert again.find("b") == Recorded(answer=None, failure="late", latency_ms=7)


def test_a_relative_path_lies_in_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a recipe finds it wherever it is run from."""
    monkeypatch.setattr(workspace_folders, "WORKSPACE", tmp_path)
    Recording("recordings/mine.jsonl").keep("a", Recorded(answer="1"))
    assert (tmp_path / "recordings" / "mine.jsonl").is_file()


def test_a_place_that_cannot_be_written_stops_the_run(tmp_path: Path) -> None:
    """An answer that is not on disk must not be used."""
    (tmp_path / "file").write_text("")
    with scripted(usual) as (url, _), pytest.raises(RecordingError, match="must be written"):
        run(spot({
            "name": "agents.http", "url": url, "recording": str(tmp_path / "file" / "a.jsonl"),
        }))  # fmt: skip
