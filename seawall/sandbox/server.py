"""The exchange on a socket: HTTP and WebSocket on loopback, or in a thread of this process."""

import asyncio
import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from aiohttp import web

from seawall.errors import ExchangeError
from seawall.sandbox import (
    algo_api,
    linear_account_api,
    linear_market_api,
    linear_trade_api,
    spot_list_api,
    spot_market_api,
    spot_trade_api,
    wallet_api,
)
from seawall.sandbox.admin_api import PREFIX, TOKEN_HEADER, AdminApi
from seawall.sandbox.call import Routes
from seawall.sandbox.exchange import Exchange
from seawall.sandbox.faults import Faults, unavailable
from seawall.sandbox.gateway import Answer, Gateway, Request
from seawall.sandbox.linear_feed import open_linear_hub
from seawall.sandbox.script import Script
from seawall.sandbox.sockets import Sockets
from seawall.sandbox.spot_feed import open_spot_hub
from seawall.sandbox.stage import SLICE_MS, Stage
from seawall.sandbox.state import State
from seawall.sandbox.streams import list_connections
from seawall.sandbox.verbs import Verbs
from seawall.sandbox.ws_api import LINEAR_METHODS, LINEAR_PREFIX, WsApi

LOOPBACK = "127.0.0.1"
STATUS_PATH = "/sapi/v1/system/status"  # the one that a maintenance answers
_START_SECONDS = 10
_PULSE_SECONDS = 0.05  # how often a running clock's market is brought up to date without requests
T = TypeVar("T")


def all_routes() -> Routes:
    """Return every path that is served."""
    return {
        **wallet_api.ROUTES,
        **spot_market_api.ROUTES,
        **spot_trade_api.ROUTES,
        **spot_list_api.ROUTES,
        **linear_market_api.ROUTES,
        **linear_trade_api.ROUTES,
        **algo_api.ROUTES,
        **linear_account_api.ROUTES,
    }


class Server:
    """Serves one exchange; ``start`` and ``stop`` belong to one event loop."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        host: str = LOOPBACK,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        token: str = "",
        state: State | None = None,
    ) -> None:
        """Prepare to serve.

        Args:
            exchange: what is served.
            host: where it listens.
            port: 0 is any that is free.
            tls: certificate and key, for HTTPS and WSS.
            token: of the operator; without one the admin API refuses everybody.
            state: where changes are written before they are answered.
        """
        self.exchange, self.gateway = exchange, Gateway(exchange, all_routes())
        self.hub = open_spot_hub(exchange)
        linear, users = open_linear_hub(exchange)
        self.hubs = {"stream": self.hub, "fstream": linear}
        apis = {
            "ws-api": WsApi(self.gateway, self.hub),
            "ws-fapi": WsApi(self.gateway, linear, prefix=LINEAR_PREFIX, methods=LINEAR_METHODS),
        }
        self.sockets = Sockets(self.hubs, apis, {"fstream": users})
        self.faults = Faults()
        for hub in self.hubs.values():
            hub.shape = self.faults.shape
        self.state = state
        self.stage = Stage(Verbs(exchange, self.faults, spot=self.hub, linear=linear))
        self._admin = AdminApi(self.stage, token)
        self._host, self._port, self._tls = host, port, tls
        self._runner: web.ServerRunner | None = None
        self._pulse: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://{self._host}:{self._port}"

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            ExchangeError: the port is taken.
        """
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None))
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, ssl_context=self._tls)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise ExchangeError(
                f"the exchange must have a port to itself, {self._port} is not to be had "
                f"({error.strerror}): choose another with --port"
            ) from error
        self._port = self._runner.addresses[0][1]
        if not self.exchange.clock.is_stepped:
            self._pulse = asyncio.create_task(self._keep_up())

    def follow(self, script: Script) -> None:
        """Let a script's faults wait, and do what else it says when its time comes."""
        self.stage.follow(script)

    async def stop(self) -> None:
        """Close all connections and stop to listen."""
        if self._pulse is not None:
            self._pulse.cancel()
            await asyncio.gather(self._pulse, return_exceptions=True)
        for connection in list_connections(self.hubs.values()):
            connection.end("close")
        web_server = self._runner.server if self._runner is not None else None
        transports = [one.transport for one in web_server.connections] if web_server else []
        if self._runner is not None:
            await self._runner.cleanup()
        for transport in transports:
            if transport is not None:  # TLS would wait for the other side's goodbye
                transport.abort()
        await asyncio.sleep(0)  # let the loop close what was aborted
        if self.state is not None:
            self.state.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if "Upgrade" in request.headers:
            return await self.sockets.serve(request)
        body = await request.read() if request.can_read_body else b""
        address, target = request.remote or "", request.raw_path
        if target.startswith(PREFIX):
            token = request.headers.get(TOKEN_HEADER, "")
            answer = await self._admin.answer(target, body, token, address)
            if self.state is not None:
                self.state.note_accounts()
            return self._finish(answer)
        wire = Request(
            request.method, target, body, request.headers.get("X-MBX-APIKEY", ""), address
        )
        if self.stage.acts:
            self.stage.catch_up()
        if self.faults.waiting or self.exchange.is_in_maintenance:
            return await self._suffer(request, wire)
        return self._finish(self.gateway.answer(wire))

    async def _suffer(self, request: web.BaseRequest, wire: Request) -> web.StreamResponse:
        """Answer a request with the fault that strikes it."""
        path = wire.target.partition("?")[0]
        if self.exchange.is_in_maintenance and path != STATUS_PATH:
            return self._finish(self.gateway.refuse(unavailable(), {}))
        fault = self.faults.take(wire.method, path, self.exchange.clock.now_ms())
        if fault is None:
            return self._finish(self.gateway.answer(wire))
        is_seen = fault.stage == "after" or not (fault.is_drop or fault.replaces)
        if fault.stage == "before":
            await asyncio.sleep(fault.delay_s)
        answer = self.gateway.answer(wire) if is_seen else Answer(200, b"{}", {})
        if self.state is not None:
            self.state.flush()
        if fault.stage == "after":
            await asyncio.sleep(fault.delay_s)
        if fault.is_drop and request.transport is not None:
            request.transport.abort()
        if fault.replaces:
            text = fault.body if fault.body is not None else "{}"
            answer = Answer(fault.status or 200, text.encode(), answer.headers)
        if fault.keep_bytes is not None:
            answer = answer._replace(body=answer.body[: fault.keep_bytes])
        return self._finish(answer._replace(headers=answer.headers | dict(fault.headers)))

    def _finish(self, answer: Answer) -> web.Response:
        """Write what has changed, then return the response."""
        if self.state is not None:
            self.state.flush()
        kind = "text/html" if answer.body.startswith(b"<") else "application/json"
        return web.Response(
            body=answer.body, status=answer.status, headers=answer.headers, content_type=kind
        )

    async def _keep_up(self) -> None:
        """Move the market with a running clock while nobody asks."""
        while True:
            now_ms = self.stage.catch_up(most_ms=SLICE_MS)
            if self.state is not None:
                self.state.flush()
            is_behind = self.exchange.clock.now_ms() - now_ms >= SLICE_MS
            await asyncio.sleep(0 if is_behind else _PULSE_SECONDS)


class ServerThread:
    """A server in a thread of its own, for as long as a ``with`` block lasts."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        """Start to serve."""
        self._thread.start()
        future = asyncio.run_coroutine_threadsafe(self.server.start(), self._loop)
        try:
            future.result(_START_SECONDS)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop to serve."""
        asyncio.run_coroutine_threadsafe(self.server.stop(), self._loop).result(_START_SECONDS)
        self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.server.url

    def call(self, function: Callable[[], T]) -> T:
        """Return what ``function`` returns, run between two requests."""

        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def step(self, step_ms: int) -> int:
        """Move a stepped clock, let all that happens happen, and return the new time."""
        coming = self.server.stage.advance(step_ms)
        return asyncio.run_coroutine_threadsafe(coming, self._loop).result()
