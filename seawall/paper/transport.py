"""The transports of a guarded client: sockets that open only for what the guard admits.

``GuardedSession`` takes the place of the requests session, ``guarded_session`` of the aiohttp one,
WebSockets included. Both refuse redirects, proxies and unverified certificates, read no proxy or
password from the environment, and ask the guard about the request as it will go out.
"""

import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import aiohttp
import requests
from aiohttp.abc import AbstractResolver
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPConnectionPool, PoolManager

from seawall.paper.guard import DEFAULT_PORTS, Guard

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection


_PINNED = frozenset(
    {
        "guard", "_is_built", "__class__", "_adapter", "get_adapter", "mount", "send", "request",
        "connect", "_ssl", "_resolver",
    }
)  # fmt: skip


class GuardedPools(PoolManager):
    """The connections beneath a requests session: none to another host, whoever asks."""

    def __init__(self, guard: Guard, **settings: Any) -> None:
        self._guard = guard
        super().__init__(**settings)

    def connection_from_host(
        self,
        host: str | None,
        port: int | None = None,
        scheme: str | None = "http",
        pool_kwargs: dict[str, Any] | None = None,
    ) -> HTTPConnectionPool:
        """Return the connections to a host of the venue."""
        scheme = scheme or "http"
        name = f"[{host}]" if host and ":" in host and not host.startswith("[") else str(host)
        self._guard.admit_host(scheme, name, port or DEFAULT_PORTS[scheme])
        return super().connection_from_host(host, port, scheme, pool_kwargs)


class GuardedAdapter(HTTPAdapter):
    """What opens the sockets of a requests session."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        super().__init__(max_retries=0)  # a lost answer is no reason to send an order again

    def init_poolmanager(
        self,
        connections: int,
        maxsize: int,
        block: bool = False,  # noqa: FBT001, FBT002 - requests' signature
        **rest: Any,
    ) -> None:
        """Make connections to the venue's hosts only."""
        settings = {"num_pools": connections, "maxsize": maxsize, "block": block, **rest}
        self.poolmanager = GuardedPools(self._guard, **settings)

    def proxy_manager_for(self, *_proxy: Any, **_settings: Any) -> NoReturn:
        """Refuse: a proxy sees and can change every request."""
        raise self._guard.refuse("a proxy sees and can change every request: use none")

    def send(  # type: ignore[override]  # all but the request comes by keyword
        self, request: requests.PreparedRequest, **arguments: Any
    ) -> requests.Response:
        """Send a request that the guard admits."""
        guard, url = self._guard, str(request.url)
        headers = {name: _to_text(value) for name, value in request.headers.items()}
        guard.admit(str(request.method), url, headers, has_body=bool(request.body))
        if any((arguments.get("proxies") or {}).values()):
            raise guard.refuse("a proxy sees and can change every request: use none")
        if arguments.get("verify", True) is False and url.startswith("https"):
            raise guard.refuse("certificates must be verified: a name alone proves no host")
        response = super().send(request, **arguments)
        if 300 <= response.status_code < 400 and "location" in response.headers:  # noqa: PLR2004
            response.close()
            raise guard.refuse(f"redirects are refused: {request.method} {url.partition('?')[0]}")
        return response


class GuardedSession(requests.Session):
    """A requests session with no way around its adapter."""

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self.guard = guard
        self._adapter = GuardedAdapter(guard)
        self.adapters = dict.fromkeys(("https://", "http://"), self._adapter)
        self.trust_env = False
        self._is_built = True

    def __setattr__(self, name: str, value: object) -> None:
        """Set what is the caller's to set; what guards stays as it was made."""
        if getattr(self, "_is_built", False) and name in _PINNED:
            raise self.guard.refuse(f"{name} of a guarded session cannot be replaced")
        super().__setattr__(name, value)

    def get_adapter(self, url: str | bytes) -> BaseAdapter:
        """Return the guarded adapter, whatever was mounted."""
        del url
        return self._adapter

    def mount(self, prefix: str | bytes, adapter: BaseAdapter) -> None:
        """Take an adapter of the guard only; requests mounts its own two while it is made."""
        if hasattr(self, "guard") and adapter is not self._adapter:
            raise self.guard.refuse(f"no other adapter may serve {prefix!r}")

    def send(self, request: requests.PreparedRequest, **arguments: Any) -> requests.Response:
        """Send without following anything."""
        self.trust_env = False
        return super().send(request, **{**arguments, "allow_redirects": False})


class GuardedConnector(aiohttp.TCPConnector):
    """What opens the sockets of an aiohttp session; asked again for every request and redirect."""

    def __init__(self, guard: Guard, context: ssl.SSLContext) -> None:
        self.guard = guard
        resolver: AbstractResolver = (
            aiohttp.ThreadedResolver()
        )  # the system's own, in sight of the wall
        super().__init__(ssl=context, resolver=resolver)
        self._is_built = True

    def __setattr__(self, name: str, value: object) -> None:
        """Set what is aiohttp's to set; what guards stays as it was made."""
        if getattr(self, "_is_built", False) and name in _PINNED:
            raise self.guard.refuse(f"{name} of a guarded connector cannot be replaced")
        super().__setattr__(name, value)

    async def connect(
        self,
        req: "ClientRequest",
        traces: Any,
        timeout: Any,  # noqa: ASYNC109 - aiohttp's
    ) -> "Connection":
        """Return a connection for a request that the guard admits."""
        url, headers, guard = str(req.url), dict(req.headers), self.guard
        if is_socket := headers.get("Upgrade", "").lower() == "websocket":
            url = url.replace("http", "ws", 1) if url.startswith("http") else url
            headers = _without_handshake(headers)
        has_body = not is_socket and bool(req.body) and int(headers.get("Content-Length", 1)) > 0
        headers.pop("Content-Length", None)
        guard.admit(req.method, url, headers, has_body=has_body)
        if req.proxy is not None:
            raise guard.refuse("a proxy sees and can change every request: use none")
        if req.ssl is not True or req.server_hostname is not None:
            raise guard.refuse("certificates must be verified: a name alone proves no host")
        return await super().connect(req, traces, timeout)


def guarded_session(guard: Guard, context: ssl.SSLContext) -> aiohttp.ClientSession:
    """Return an aiohttp session whose every connection passes the guard; in a running loop."""
    trace = aiohttp.TraceConfig()

    async def refuse(_session: Any, _context: Any, parameters: Any) -> NoReturn:
        raise guard.refuse(f"redirects are refused: {parameters.method} {parameters.url.host}")

    trace.on_request_redirect.append(refuse)
    connector = GuardedConnector(guard, context)
    return aiohttp.ClientSession(connector=connector, trust_env=False, trace_configs=[trace])


def is_guarded(session: object, guard: Guard) -> bool:
    """Return whether a session of either kind is one that this guard made."""
    if isinstance(session, GuardedSession):
        return session.guard is guard
    connector = getattr(session, "connector", None)
    return isinstance(connector, GuardedConnector) and connector.guard is guard


def _without_handshake(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a WebSocket's opening that are not the handshake itself."""
    return {
        name: value
        for name, value in headers.items()
        if not name.lower().startswith("sec-websocket-") and name.lower() != "upgrade"
    }


def _to_text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
