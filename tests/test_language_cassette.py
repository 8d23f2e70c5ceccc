"""The recording of a model's calls, and the endpoint behind it."""

import json
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from language_server import Answer, Body, call, complete, in_turn, refuse, serving, speak, weigh

from seawall.errors import RecordingError
from seawall.language.cassette import Cassette, Mode, read_cassette
from seawall.language.drift import compare_cassettes
from seawall.language.endpoint import (
    KEY_VARIABLE,
    URL_VARIABLE,
    Endpoint,
    Patience,
    load_endpoint,
    read_body,
)
from seawall.language.places import find_cassette
from seawall.language.request import Reply, Request

KEY = "sk-marked-0123456789"


def ask(text: str = "what now?", **changes: Any) -> Request:
    """Return a request."""
    given: dict[str, Any] = {
        "model": "m", "messages": ({"role": "user", "content": text},), "tools": (),
        "temperature": 0.0, "max_tokens": 50, "prompt": "v1",
    }  # fmt: skip
    return Request(**(given | changes))


def answer(text: str) -> Callable[[Request], Reply]:
    """Return a call that always says one thing."""
    return lambda _request: Reply(message={"content": text}, input_tokens=3, latency_ms=7)


def slowly(text: str, _request: Request) -> Reply:
    """Say one thing, ten milliseconds later."""
    return Reply(message={"content": text}, input_tokens=3, latency_ms=17)


def fail(_request: Request) -> Reply:
    """Stand for a call that must not be made."""
    pytest.fail("a call was made")


# The cassette -------------------------------------------------------------------------------------


def test_what_was_recorded_is_replayed_without_a_call(tmp_path: Path) -> None:
    """Message, tokens and latency come back as they were."""
    path = tmp_path / "deep" / "one.cassette"
    first = Cassette(path).ask(ask(), answer("hold"))
    again = Cassette(path, "replay").ask(ask(), fail)
    assert first == again
    assert (again.message, again.input_tokens, again.latency_ms) == ({"content": "hold"}, 3, 7)


@pytest.mark.parametrize(
    "change",
    [{"model": "n"}, {"temperature": 0.1}, {"max_tokens": 51}, {"prompt": "v2"},
     {"tools": ({"type": "function"},)}, {"messages": ({"role": "user", "content": "else"},)}],
)  # fmt: skip
def test_whatever_can_change_the_answer_is_part_of_the_key(change: dict[str, Any]) -> None:
    """Each field alone makes another key."""
    assert ask(**change).key != ask().key


def test_the_key_does_not_depend_on_the_order_of_a_messages_fields() -> None:
    """Canonical: sorted."""
    turned = ({"content": "what now?", "role": "user"},)
    assert ask(messages=turned).key == ask().key


def test_the_same_question_twice_keeps_both_answers_in_order(tmp_path: Path) -> None:
    """A model at temperature 0 may still answer twice."""
    tape = Cassette(tmp_path / "a.cassette")
    said = [tape.ask(ask(), answer(word)).message["content"] for word in ("first", "second")]
    replayed = Cassette(tape.path, "replay")
    assert [replayed.ask(ask(), fail).message["content"] for _ in said] == said
    with pytest.raises(RecordingError, match="number 2"):
        replayed.ask(ask(), fail)


def test_recording_again_uses_what_is_there_and_refreshing_does_not(tmp_path: Path) -> None:
    """A run that was cut off goes on without paying twice."""
    path = tmp_path / "a.cassette"
    Cassette(path).ask(ask(), answer("old"))
    assert Cassette(path, "record").ask(ask(), fail).message == {"content": "old"}
    assert Cassette(path, "refresh").ask(ask(), answer("new")).message == {"content": "new"}
    assert Cassette(path, "replay").ask(ask(), fail).message == {"content": "new"}


@pytest.mark.parametrize(
    ("change", "told"),
    [({"model": "n"}, "of the model m, not n"), ({"prompt": "v2"}, "of prompt v1, not v2"),
     ({"temperature": 1.0}, "differ from then")],
)  # fmt: skip
def test_a_miss_in_a_replay_says_what_the_recording_is_of(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    """It fails closed, by name."""
    Cassette(tmp_path / "a.cassette").ask(ask(), answer("x"))
    with pytest.raises(RecordingError, match=told):
        Cassette(tmp_path / "a.cassette", "replay").ask(ask(**change), fail)


def test_what_cannot_be_replayed_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    """Nothing there, no database, another database, another version."""
    with pytest.raises(RecordingError, match="there is no"):
        Cassette(tmp_path / "none.cassette", "replay")
    torn = tmp_path / "torn.cassette"
    torn.write_bytes(b"SQLite format 3\0" + b"\x01" * 500)
    other = tmp_path / "other.cassette"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER)")
    connection.close()
    modes: tuple[Mode, ...] = ("record", "replay")
    for mode in modes:
        with pytest.raises(RecordingError, match="readable SQLite"):
            Cassette(torn, mode)
        with pytest.raises(RecordingError, match="another database"):
            Cassette(other, mode)
    mine = Cassette(tmp_path / "mine.cassette")
    with sqlite3.connect(mine.path) as connection:
        connection.execute("UPDATE meta SET value = '9' WHERE name = 'schema'")
    connection.close()
    with pytest.raises(RecordingError, match="version 1"):
        Cassette(mine.path, "replay")


def test_a_damaged_row_is_refused(tmp_path: Path) -> None:
    """A changed answer does not pass for the recorded one."""
    tape = Cassette(tmp_path / "a.cassette")
    tape.ask(ask(), answer("hold"))
    with sqlite3.connect(tape.path) as connection:
        connection.execute("UPDATE calls SET reply = replace(reply, 'hold', 'sell')")
    connection.close()
    with pytest.raises(RecordingError, match="damaged"):
        Cassette(tape.path, "replay").ask(ask(), fail)


@pytest.mark.parametrize("mode", ["replay", "record"])
def test_whatever_is_damaged_is_one_kind_of_error(tmp_path: Path, mode: Mode) -> None:
    """Cut short or with other bytes: an answer is the recorded one, or the file is refused."""
    whole = tmp_path / "whole.cassette"
    tape = Cassette(whole)
    for n in range(10):
        tape.ask(ask(f"question {n} " * 50), answer(f"answer {n} " * 100))
    data, rng = whole.read_bytes(), np.random.default_rng(5)
    n_refused = 0
    for turn in range(40):
        damaged = bytearray(data)
        if turn % 2:
            del damaged[int(rng.integers(len(data))) :]
        for place in rng.integers(max(len(damaged), 1), size=10) if damaged else ():
            damaged[place] = int(rng.integers(128, 256))  # alone it is no text
        path = tmp_path / f"{turn}.cassette"
        path.write_bytes(damaged)
        try:
            again = Cassette(path, mode)
            for n in range(10):
                said = again.ask(ask(f"question {n} " * 50), answer("new")).message["content"]
                assert said in ("new", f"answer {n} " * 100)
            again.summary()
        except RecordingError:
            n_refused += 1
    assert n_refused > 20


def test_a_call_that_dies_leaves_nothing_behind(tmp_path: Path) -> None:
    """A row is written whole, after its answer: the next run makes the call again."""
    tape = Cassette(tmp_path / "a.cassette")

    def dies(_request: Request) -> Reply:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tape.ask(ask(), dies)
    assert tape.summary().n_calls == 0
    assert Cassette(tape.path).ask(ask(), answer("later")).message == {"content": "later"}


def test_processes_may_record_into_one_file(tmp_path: Path) -> None:
    """Who is first with a question wins; everybody else uses that answer."""
    code = (
        "import sys; from pathlib import Path\n"
        "from seawall.language.cassette import Cassette\n"
        "from seawall.language.request import Reply, Request\n"
        "tape = Cassette(Path(sys.argv[1]))\n"
        "for n in range(15):\n"
        "    request = Request(model='m', messages=({'role': 'user', 'content': str(n)},),"
        " tools=(), temperature=0.0, max_tokens=5, prompt='v1')\n"
        "    got = tape.ask(request, lambda r: Reply(message={'content': sys.argv[2]}))\n"
        "    print(got.message['content'])\n"
    )
    path = str(tmp_path / "shared.cassette")
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, path, name], stdout=subprocess.PIPE, text=True
        )
        for name in ("one", "two")
    ]
    said = [child.communicate()[0].split() for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert said[0] == said[1]
    assert Cassette(Path(path), "replay").summary().n_calls == 15


def test_a_summary_and_a_drift_say_what_is_there(tmp_path: Path) -> None:
    """Two of three questions are held by both; one of them got another answer, more slowly."""
    before, after = (Cassette(tmp_path / f"{name}.cassette") for name in ("before", "after"))
    for text, ours, theirs in (("a", "hold", "hold"), ("b", "buy", "sell")):
        before.ask(ask(text), answer(ours))
        after.ask(ask(text), partial(slowly, theirs))
    after.ask(ask("c"), answer("buy"))
    drift = compare_cassettes(before, after)
    assert (drift.n_same, drift.n_changed, drift.n_before, drift.n_after) == (1, 1, 0, 1)
    assert (drift.changes[0].before, drift.changes[0].after) == ("buy", "sell")
    assert drift.latency_ms == 10.0
    held = read_cassette(after.path).summary()
    assert (held.n_calls, held.models, held.prompts) == (3, ("m",), ("v1",))


def test_a_cassette_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the data; a shipped one where there is none; a path as it stands."""
    monkeypatch.setenv("SEAWALL_DATA", str(tmp_path))
    own = tmp_path / "cassettes" / "language_demo.cassette"
    assert find_cassette("language_demo", "record") == own
    assert find_cassette("language_demo").parent.name == "backtests"
    Cassette(own).ask(ask(), answer("x"))
    assert find_cassette("language_demo") == own
    assert find_cassette("some/where.cassette") == Path("some/where.cassette")
    for name in ("", "../up", ".hidden", "a/b"):
        with pytest.raises(RecordingError, match="rename"):
            find_cassette(name)


# The endpoint -------------------------------------------------------------------------------------


def no_wait(_seconds: float) -> None:
    """Wait for nothing."""


def test_an_answer_comes_back_with_tokens_and_its_time(tmp_path: Path) -> None:
    """The key goes into the header, and is not in the cassette."""
    with serving(lambda _body: call(weigh("ETH/USDT", 1.0), tokens=(123, 45))) as server:
        endpoint = Endpoint(server.url, KEY)
        reply = Cassette(tmp_path / "a.cassette").ask(ask(), endpoint)
        endpoint.close()
    assert server.keys == [f"Bearer {KEY}"]
    assert (reply.input_tokens, reply.output_tokens, reply.is_guessed) == (123, 45, False)
    assert reply.latency_ms > 0
    assert server.requests[0]["model"] == "m"
    assert KEY.encode() not in (tmp_path / "a.cassette").read_bytes()
    assert server.url.encode() not in (tmp_path / "a.cassette").read_bytes()


def test_tokens_that_are_not_counted_are_guessed() -> None:
    """Four characters each."""
    with serving(lambda _body: call("{}", tokens=None)) as server:
        reply = Endpoint(server.url)(ask("x" * 400))
    assert reply.is_guessed
    assert reply.input_tokens > 100
    assert reply.output_tokens > 0


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_endpoint_is_tried_again(status: int) -> None:
    """It waits as long as it is told, up to a limit."""
    waited: list[float] = []
    answers = [Answer(status=status, headers={"Retry-After": "7"}), speak("hold")]
    with serving(in_turn(answers)) as server:
        reply = Endpoint(server.url, sleep=waited.append)(ask())
    assert (reply.error, reply.message["content"], waited) == ("", "hold", [7.0])


def test_an_endpoint_that_stays_busy_is_given_up() -> None:
    """A reply without a message: the agent abstains."""
    with serving(lambda _body: Answer(status=429)) as server:
        reply = Endpoint(server.url, sleep=no_wait)(ask())
    assert reply.error == "the endpoint said 429"
    assert len(server.requests) == 3


def test_what_passes_by_itself_is_a_reply_without_a_message() -> None:
    """A slow answer, and a connection that is cut."""
    patience = Patience(timeout_s=0.2)
    with serving(lambda _body: Answer(delay_s=0.6)) as server:
        slow = Endpoint(server.url, patience=patience)(ask())
    with serving(lambda _body: Answer(drop=True)) as server:
        cut = Endpoint(server.url, sleep=no_wait)(ask())
    assert slow.error == "no answer within 0.2 s"
    assert cut.error == "the connection was lost"
    assert slow.input_tokens > 0  # it may have been charged


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404])
def test_what_does_not_pass_ends_the_run_and_records_nothing(tmp_path: Path, status: int) -> None:
    """A refused key or an unknown model would be a year of abstentions."""
    tape = Cassette(tmp_path / "a.cassette")
    headers = {"Location": "http://127.0.0.1:9/"}
    with (
        serving(lambda _body: Answer(status=status, headers=headers)) as server,
        pytest.raises(RecordingError, match=str(status)) as caught,
    ):
        tape.ask(ask(), Endpoint(server.url, KEY))
    assert KEY not in str(caught.value)
    assert tape.summary().n_calls == 0


def test_what_fails_after_a_first_answer_may_pass() -> None:
    """An outage in the middle of a run is an abstention, not the end of a session."""
    answers = [speak("hold"), Answer(status=401)]
    with serving(in_turn(answers)) as server:
        endpoint = Endpoint(server.url, KEY, sleep=no_wait)
        assert endpoint(ask()).error == ""
        assert endpoint(ask()).error.startswith("the endpoint must take the request, says 401")
    assert endpoint(ask()).error


@pytest.mark.parametrize("head", [b"X: ", b"Content-Length: 99999\r\n\r\n"])
def test_a_drip_of_bytes_is_late_all_the_same(head: bytes) -> None:
    """In a header or in the body: each byte comes in time, all of them never."""
    is_over = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + head)
            while not is_over.wait(0.01):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        reply = Endpoint(url, patience=Patience(timeout_s=0.3))(ask())
        is_over.set()
        thread.join()
    assert reply.error == "no answer within 0.3 s"
    assert reply.latency_ms < 20_000


@pytest.mark.parametrize("wait", ["nan", "-5", "soon", "inf"])
def test_a_wait_that_is_none_is_not_waited_for(wait: str) -> None:
    """What a busy endpoint asks for is a number of seconds, or nothing."""
    waited: list[float] = []
    with serving(lambda _body: Answer(status=429, headers={"Retry-After": wait})) as server:
        Endpoint(server.url, sleep=waited.append)(ask())
    assert waited == [1.0, 2.0]


def test_counts_beyond_all_bounds_are_no_counts() -> None:
    """A bill of 10**400 tokens would end the run, one of 10**18 every account."""
    body = complete({"content": "x"}, tokens=(10**400, 10**18)).body
    reply = read_body(ask(), body)
    assert reply.is_guessed
    assert reply.input_tokens + reply.output_tokens < 1_000


def test_a_proxy_is_not_shown_what_stays_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key would go to it in the clear."""
    asked: list[Body] = []

    def listen(body: Body) -> Answer:
        asked.append(body)
        return speak("hold")

    with serving(listen) as proxy, serving(lambda _body: speak("near")) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        assert Endpoint(server.url, KEY)(ask()).message["content"] == "near"
    assert asked == []


def test_a_body_without_an_end_is_cut_off() -> None:
    """Neither memory nor time runs out."""
    huge = b"x" * (5 << 20)
    with serving(lambda _body: Answer(body=huge)) as server:
        assert "larger than" in Endpoint(server.url)(ask()).error


def test_nobody_there_ends_the_run() -> None:
    """A port that is closed again."""
    with serving(lambda _body: speak("")) as server:
        url = server.url
    with pytest.raises(RecordingError, match="nobody answers"):
        Endpoint(url, sleep=no_wait)(ask())


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b'{"choices": []}', b'{"choices": [{"message": "text"}]}',
     b'{"choices": 3}', b"[" * 100_000],
)  # fmt: skip
def test_a_body_that_is_no_completion_is_a_reply_without_a_message(body: bytes) -> None:
    """Empty, HTML, other JSON, nested beyond reason."""
    reply = read_body(ask(), body)
    assert reply.error.startswith("the body is no chat completion")
    assert reply.message == {}


def test_a_refusal_comes_back_as_one() -> None:
    """It is an answer: what to make of it is the agent's matter."""
    assert read_body(ask(), refuse().body).message["refusal"] == "I cannot give advice."
    cut = complete({"content": "x"}, finish="length")
    assert read_body(ask(), cut.body).finish == "length"


@pytest.mark.parametrize(
    "url",
    ["", "ftp://host/v1", "http://example.org/v1", "nonsense", "http://localhost:99999/v1",
     "http://[::1/v1", "https://user:word@example.org/v1"],
)  # fmt: skip
def test_a_key_is_not_sent_in_the_clear(url: str) -> None:
    """https, or this very machine."""
    with pytest.raises(RecordingError, match=URL_VARIABLE):
        load_endpoint({URL_VARIABLE: url, KEY_VARIABLE: KEY})


def test_a_key_that_is_said_back_is_cut_out() -> None:
    """An answer is recorded as it came, and the key is not to be in a recording."""
    with serving(lambda _body: speak(f"thank you for {KEY}, and again {KEY}")) as server:
        reply = Endpoint(server.url, KEY)(ask())
    assert reply.message["content"] == "thank you for ***, and again ***"


@pytest.mark.parametrize("key", ["ключ", "two\nlines", "a\tb"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(key: str) -> None:
    """Before anything is sent, in one line."""
    with pytest.raises(RecordingError, match="must be printable ASCII") as caught:
        Endpoint("http://127.0.0.1:1/v1", key)
    assert key not in str(caught.value)


def test_what_follows_the_question_mark_stays_at_the_end() -> None:
    """Some endpoints want a version there."""
    endpoint = Endpoint("https://example.org/v1?api-version=3")
    assert endpoint._url == "https://example.org/v1/chat/completions?api-version=3"


def test_a_key_is_not_shown_or_sent_to_another_process() -> None:
    """Neither by repr nor by pickle."""
    endpoint = load_endpoint({URL_VARIABLE: "https://example.org/v1", KEY_VARIABLE: KEY})
    assert KEY not in repr(vars(endpoint))
    with pytest.raises(RecordingError, match="another process"):
        endpoint._auth.__reduce__()


def test_the_body_is_what_the_api_takes() -> None:
    """Tools and their choice are there only where there are tools."""
    seen: list[Body] = []

    def script(body: Body) -> Answer:
        seen.append(body)
        return speak("x")

    with serving(script) as server:
        endpoint = Endpoint(server.url)
        endpoint(ask())
        endpoint(ask(tools=({"type": "function"},)))
    assert set(seen[0]) == {"model", "messages", "temperature", "max_tokens"}
    assert set(seen[1]) == {*seen[0], "tools", "tool_choice"}
    assert json.loads(ask().canonical())["prompt"] == "v1"
