"""HTTP servers on loopback: Seawall's own in a thread, and a scripted one with faults."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from seawall.engine.components import make_named_agent
from seawall.remote.server import AgentServer, MakeAgent

Reply = Callable[[Mapping[str, Any]], object]
LONG_S = 30.0


@contextmanager
def serving(
    name: str, parameters: Mapping[str, object] | None = None, *, bars: int | None = None
) -> Iterator[AgentServer]:
    """Serve an agent while the block runs."""
    make = lambda: make_named_agent(f"agents.{name}", parameters or {})  # noqa: E731
    with serving_agent(make, name=name, bars=bars) as server:
        yield server


@contextmanager
def serving_agent(
    make_agent: MakeAgent, *, name: str, bars: int | None = None
) -> Iterator[AgentServer]:
    """Serve what a function makes while the block runs."""
    server = AgentServer(make_agent, name=name, bars=bars)
    is_up, loop = threading.Event(), asyncio.new_event_loop()
    is_over = asyncio.Event()

    async def serve() -> None:
        await server.start()
        is_up.set()
        await is_over.wait()
        await server.stop()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert is_up.wait(LONG_S)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(is_over.set)
        thread.join(LONG_S)
        loop.close()


def usual(message: Mapping[str, Any]) -> object:
    """Answer as an agent should: out of the market at even numbers."""
    if message["type"] == "hello":
        return {"type": "ready", "protocol": 1, "bars": 3}
    sequence = message.get("sequence", 0)
    return {"type": "decision", "sequence": sequence, "target": sequence % 2}


class _Scripted(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm: ClassVar[bool] = True
    wbufsize = -1
    server: "ScriptedServer"

    def do_POST(self) -> None:
        """Answer one message as the script says."""
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(message)
        reply = self.server.reply(message)
        if reply is HANG_UP:
            self.close_connection = True
            return
        if reply is DRIP:
            self._drip()
            return
        status = reply if isinstance(reply, int) else 200
        body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _drip(self) -> None:
        """Send a byte of a header now and then, for ever."""
        try:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
            while not self.server.is_over.is_set():
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.02)
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


HANG_UP, DRIP = object(), object()


class ScriptedServer(ThreadingHTTPServer):
    """Answers what a function says: a status, bytes, or JSON; ``HANG_UP`` closes the connection."""

    daemon_threads = True

    def __init__(self, reply: Reply) -> None:
        super().__init__(("127.0.0.1", 0), _Scripted)
        self.reply, self.asked = reply, []
        self.is_over = threading.Event()

    asked: list[Mapping[str, Any]]

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that has gone."""


@contextmanager
def scripted(reply: Reply = usual) -> Iterator[tuple[str, ScriptedServer]]:
    """Serve a script while the block runs; return its address and the server."""
    server = ScriptedServer(reply)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/decide", server
    finally:
        server.is_over.set()
        server.shutdown()
        thread.join(LONG_S)
        server.server_close()
