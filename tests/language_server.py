"""An OpenAI-compatible server on loopback that answers as a script says.

A script takes the request's JSON and returns an ``Answer``. ``follow_trend`` is the model of the
shipped recording: it reads the closes it is shown and holds while the last is above their mean.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKENS = (400, 40)
Body = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One response: a status, a body, headers, a delay in seconds; ``drop`` closes without one."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    drop: bool = False


Script = Callable[[Body], Answer]


def complete(
    message: Mapping[str, object],
    *,
    finish: str = "stop",
    tokens: tuple[int, int] | None = TOKENS,
    delay_s: float = 0.0,
) -> Answer:
    """Return a chat completion with one message; ``tokens`` ``None``: it does not count them."""
    body: Body = {
        "id": "scripted", "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": finish, "message": dict(message)}],
    }  # fmt: skip
    if tokens is not None:
        body["usage"] = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
    return Answer(body=json.dumps(body).encode(), delay_s=delay_s)


def call(
    arguments: object,
    *,
    tokens: tuple[int, int] | None = TOKENS,
    delay_s: float = 0.0,
    name: str = "decide",
) -> Answer:
    """Return a completion that calls the tool; texts are sent as they are, the rest as JSON."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    tool = {"id": "1", "type": "function", "function": {"name": name, "arguments": text}}
    message = {"role": "assistant", "content": None, "tool_calls": [tool]}
    return complete(message, finish="tool_calls", tokens=tokens, delay_s=delay_s)


def speak(text: str) -> Answer:
    """Return a completion that talks and calls nothing."""
    return complete({"role": "assistant", "content": text})


def refuse() -> Answer:
    """Return a completion that refuses."""
    message = {"role": "assistant", "content": None, "refusal": "I cannot give advice."}
    return complete(message)


def weigh(symbol: str, weight: float, reason: str = "scripted", **wake: object) -> Body:
    """Return the arguments that aim at a weight."""
    action = {"kind": "target_weight", "symbol": symbol, "weight": weight}
    found: Body = {"actions": [action], "reason": reason}
    return found | ({"wake": wake} if wake else {})


def shown(body: Body) -> str:
    """Return the last message of the user."""
    messages = body["messages"]
    assert isinstance(messages, list)
    return str(messages[-1]["content"])


def first_symbol(body: Body) -> str:
    """Return the first symbol of the observation."""
    found = re.search(r"market:\n  (\S+):\n", shown(body))
    assert found is not None
    return found[1]


def follow_trend(body: Body) -> Answer:
    """Hold while the last close that is shown is above the mean of all that are."""
    found = re.search(r"closes over \w+: ([-\d.e+ ]+)", shown(body))
    closes = [float(one) for one in found[1].split()] if found else [1.0]
    mean = sum(closes) / len(closes)
    weight = 1.0 if closes[-1] > mean else 0.0
    reason = f"last close {closes[-1]:g} against a mean of {mean:.6g}"
    symbol = first_symbol(body)
    return call(weigh(symbol, weight, reason, after_minutes=1_440), tokens=(len(shown(body)), 40))


class LanguageServer:
    """The server; ``requests`` are all that it was asked, headers included.

    Attributes:
        script: what it answers; may be set while it runs.
        requests: the JSON of each request.
        keys: the ``Authorization`` of each.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[Body] = []
        self.keys: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                outer.answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - likewise
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """The base of the API."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        length = int(handler.headers.get("Content-Length", "0"))
        body = json.loads(handler.rfile.read(length))
        self.requests.append(body)
        self.keys.append(handler.headers.get("Authorization", ""))
        assert handler.path == "/v1/chat/completions"
        answer = self.script(body)
        if answer.delay_s:
            time.sleep(answer.delay_s)
        if answer.drop:
            handler.close_connection = True
            handler.connection.close()
            return
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        handler.wfile.write(answer.body)

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def serving(script: Script) -> Iterator[LanguageServer]:
    """Run a server while something is tested."""
    server = LanguageServer(script)
    try:
        yield server
    finally:
        server.close()


def in_turn(answers: Sequence[Answer]) -> Script:
    """Return a script that gives one answer after the other, the last one for good."""
    left = list(answers)

    def script(_body: Body) -> Answer:
        return left.pop(0) if len(left) > 1 else left[0]

    return script
