"""A remote agent shaped like a Fetch.ai uAgents REST endpoint; it imports nothing but Python's own.

With the SDK the same agent is::

    class Request(Model):
        type: str
        protocol: int = 0
        sequence: int = 0
        observation: dict = {}
        info: dict = {}
        state: str = ""

    class Response(Model):
        type: str
        protocol: int | None = None
        sequence: int | None = None
        weights: dict[str, float] | None = None

    agent = Agent(name="seawall", port=8000)

    @agent.on_rest_post("/decide", Request, Response)
    async def decide(ctx: Context, request: Request) -> Response: ...

A typed model answers with every key it has, those that are not set as null: Seawall takes that for
left out. Start it, then run the backtest in another terminal::

    python examples/agents/uagents_style.py 8000
    seawall run demo --agent 'http{url="http://127.0.0.1:8000/decide"}'
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

EMPTY = {"protocol": None, "sequence": None, "weights": None}


def decide(request: dict) -> dict:
    """Return the response: hold each symbol in equal parts while it is above its mean."""
    if request["type"] == "hello":
        return {**EMPTY, "type": "ready", "protocol": 1}
    weights = {}
    for symbol, candles in request["observation"]["candles"].items():
        closes = candles["close"]
        is_above = bool(closes) and closes[-1] > sum(closes) / len(closes)
        weights[symbol] = 1.0 / len(request["observation"]["candles"]) if is_above else 0.0
    return {**EMPTY, "type": "decision", "sequence": request["sequence"], "weights": weights}


class Endpoint(BaseHTTPRequestHandler):
    """POST /decide: a request's JSON in, a response's JSON out."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm: ClassVar[bool] = True  # or a decision takes 40 ms more
    wbufsize = -1  # head and body in one packet

    def do_POST(self) -> None:
        """Answer one message."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({} if request["type"] == "end" else decide(request)).encode()
        self.send_response(200 if self.path == "/decide" else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Endpoint)
    print(f"http://127.0.0.1:{server.server_address[1]}/decide", flush=True)
    server.serve_forever()
