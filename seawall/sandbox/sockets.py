"""WebSocket connections: streams under ``/stream`` and ``/fstream``, APIs under ``/ws-(f)api``.

A stream's path may name what it carries (``/stream/ws/ethusdt@trade``,
``/stream/stream?streams=a/b``); ``SUBSCRIBE`` adds to it. A listen key in path or query makes it an
account's stream. Clients tell spot from futures by ``/stream`` in the address.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from aiohttp import WSMsgType, web

from seawall.sandbox.gateway import encode
from seawall.sandbox.linear_feed import UserStreams
from seawall.sandbox.streams import ENDINGS, Connection, Hub
from seawall.sandbox.ws_api import WsApi

_PING_SECONDS = 20.0
Reply = Callable[[Connection, str, str], str]


class Sockets:
    """Serves the WebSockets of one exchange, by the first part of their paths."""

    def __init__(
        self, hubs: Mapping[str, Hub], apis: Mapping[str, WsApi], users: Mapping[str, UserStreams]
    ) -> None:
        """Serve streams, ``{"stream": hub}``, and WebSocket APIs, ``{"ws-api": api}``.

        ``users``: what opens an account's streams by listen key, by the same names as ``hubs``.
        """
        self._hubs, self._apis, self._users = hubs, apis, users

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one connection until either side ends it."""
        path, _, query = request.raw_path.partition("?")
        first = path.split("/")[1]
        api = self._apis.get(first)
        if api is not None:
            return await self._run(request, Connection(), api.hub, api.answer)
        hub = self._hubs.get(first)
        if hub is None:
            return web.Response(status=404)
        params = dict(parse_qsl(query))
        streams = params.get("streams", "")
        connection = Connection(is_combined=bool(streams))
        users = self._users.get(first)
        for name in (*path.split("/"), *streams.split("/"), params.get("listenKey", "")):
            if "@" in name or name.startswith("!"):
                hub.subscribe(connection, name)
            elif users is not None and name:
                users.open(connection, name)

        def reply(connection: Connection, text: str, _address: str) -> str:
            return _manage(hub, connection, text)

        return await self._run(request, connection, hub, reply)

    async def _run(
        self, request: web.BaseRequest, connection: Connection, hub: Hub, reply: Reply
    ) -> web.StreamResponse:
        socket = web.WebSocketResponse(heartbeat=_PING_SECONDS)
        await socket.prepare(request)
        hub.connections.add(connection)
        reader = asyncio.create_task(_read(socket, request, connection, reply))
        writer = asyncio.create_task(_write(socket, connection))
        try:
            await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hub.forget(connection)
            # To close waits for the answer only where nobody else reads: the reader goes first.
            for task in (reader, writer):
                task.cancel()
            how, fault = await asyncio.gather(writer, reader, return_exceptions=True)
        if isinstance(fault, Exception):
            raise fault
        if how == "drop" and request.transport is not None:
            request.transport.abort()
        elif how == "close":
            await socket.close(code=1001)
        return socket


def _manage(hub: Hub, connection: Connection, text: str) -> str:
    """Answer SUBSCRIBE, UNSUBSCRIBE and LIST_SUBSCRIPTIONS."""
    number: object = None
    try:
        message = json.loads(text)
        number, method = message.get("id"), message.get("method")
        names = [str(name) for name in message.get("params") or []]
    except (ValueError, AttributeError, TypeError):
        return _refuse(number, 3, "Invalid JSON: expected value")
    if method == "LIST_SUBSCRIPTIONS":
        return encode({"result": sorted(connection.names), "id": number})
    if method not in {"SUBSCRIBE", "UNSUBSCRIBE"}:
        return _refuse(number, 2, "Invalid request: unknown variant")
    for name in names:
        if method == "SUBSCRIBE":
            hub.subscribe(connection, name)
        else:
            hub.unsubscribe(connection, name)
    return encode({"result": None, "id": number})


def _refuse(number: object, code: int, text: str) -> str:
    return encode({"error": {"code": code, "msg": text}, "id": number})


async def _read(
    socket: web.WebSocketResponse, request: web.BaseRequest, connection: Connection, reply: Reply
) -> None:
    """Answer what the other side says until it is gone."""
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            connection.send(reply(connection, str(message.data), request.remote or ""))


async def _write(socket: web.WebSocketResponse, connection: Connection) -> str:
    """Send what is put in line, in order; return how the connection is to end."""
    while True:
        text = await connection.queue.get()
        if text in ENDINGS:
            return text
        await socket.send_str(text)
