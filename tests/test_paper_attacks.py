"""The guarded client: no way through or around the ccxt object opens a socket."""

import asyncio
import importlib
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import aiohttp
import ccxt
import pytest
import requests
from requests.adapters import HTTPAdapter

from seawall.paper.allowed import find_venue
from seawall.paper.connect import connect
from seawall.paper.errors import GuardRefused
from seawall.paper.guard import Guard, local_venue

SPOT = find_venue("binance", "spot", "sandbox")
SHADOW = find_venue("binance", "spot", "shadow")
OKX = find_venue("okx", "spot", "sandbox")
KEYS = {"apiKey": "k" * 64, "secret": "s" * 64}
PRODUCTION = "https://api.binance.com/api/v3/time"
TESTNET = "https://testnet.binance.vision/api/v3/time"


@pytest.fixture
def no_socket(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Fail every look-up and connection, and tell which were tried."""
    tried: list[str] = []

    def refuse(*arguments: Any, **_named: Any) -> Any:
        tried.append(str(arguments))
        raise OSError("a socket was about to open")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    yield tried
    assert tried == []


class _Redirect(BaseHTTPRequestHandler):
    """Answers ``{}``; paths with ``moved`` in them lead to another host, ``inside`` to its own."""

    def do_GET(self) -> None:
        target = {
            "/api/v3/moved": "http://127.0.0.1:9/api/v3/time",
            "/api/v3/inside": "/api/v3/time",
        }
        if self.path in target:
            self.send_response(302)
            self.send_header("Location", target[self.path])
        else:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2" if self.path not in target else "0")
        self.end_headers()
        if self.path not in target:
            self.wfile.write(b"{}")

    do_POST = do_GET  # noqa: N815 - the library's name

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    """Return the root of a loopback server."""
    one = ThreadingHTTPServer(("127.0.0.1", 0), _Redirect)
    thread = threading.Thread(target=one.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{one.server_address[1]}"
    one.shutdown()
    one.server_close()


def run(
    main: Callable[[Any], Coroutine[Any, Any, None]], venue: Any = SPOT, flavour: Any = "async"
) -> None:
    """Run with an asynchronous guarded client, and close it."""

    async def whole() -> None:
        client = connect(venue, None if venue.mode == "shadow" else KEYS, flavour=flavour)
        client.timeout_on_exit = 1
        try:
            await main(client)
        finally:
            await client.close()

    asyncio.run(whole())


def _original(client: Any) -> Any:
    """Return ccxt's own ``fetch``, beneath the guard's."""
    theirs = [kind for kind in type(client).__mro__ if kind.__module__.startswith("ccxt")]
    return next(vars(kind)["fetch"] for kind in theirs if "fetch" in vars(kind))


def test_the_shadow_has_no_keys(no_socket: list[str]) -> None:
    """Keys are refused when it is made, when they are set, and when they came around that."""
    with pytest.raises(GuardRefused, match="no keys"):
        connect(SHADOW, KEYS)
    client = connect(SHADOW)
    with pytest.raises(GuardRefused, match="no keys"):
        client.apiKey = "k"
    client.__dict__["secret"] = "s"  # noqa: S105
    with pytest.raises(GuardRefused, match="no keys"):
        client.fetch_time()
    assert no_socket == []


# A synchronous client ---------------------------------------------------------------------------


def _change_urls(client: Any) -> None:
    client.urls["api"] = ccxt.binance().urls["api"]
    client.fetch_time()


def _switch_back(client: Any) -> None:
    client.options["sandboxMode"] = False
    client.urls = ccxt.binance().urls
    client.fetch_time()


def _set_sandbox_off(client: Any) -> None:
    client.set_sandbox_mode(False)
    client.fetch_time()


def _futures(client: Any) -> None:
    client.fapiPublicGetTime()


def _sapi(client: Any) -> None:
    client.urls["api"]["sapi"] = "https://api.binance.com/sapi/v1"
    client.sapiGetSystemStatus()


def _fetch(client: Any) -> None:
    client.fetch(PRODUCTION)


def _base_fetch(client: Any) -> None:
    _original(client)(client, PRODUCTION)


def _session(client: Any) -> None:
    client.session.get(PRODUCTION)


def _adapter(client: Any) -> None:
    request = requests.Request("GET", PRODUCTION).prepare()
    client.session.get_adapter(PRODUCTION).send(request)


def _pool(client: Any) -> None:
    client.session.get_adapter(TESTNET).poolmanager.request("GET", PRODUCTION)


def _proxied_pool(client: Any) -> None:
    client.session.get_adapter(TESTNET).proxy_manager_for("http://127.0.0.1:9")


def _environment_proxy(client: Any) -> None:
    client.session.trust_env = True
    client.session.get(TESTNET)


def _mount(client: Any) -> None:
    client.session.mount("https://", HTTPAdapter())


def _adapters(client: Any) -> None:
    client.session.adapters["https://"] = HTTPAdapter()
    client.session.get(PRODUCTION)


def _new_session(client: Any) -> None:
    client.session = requests.Session()


def _hidden_session(client: Any) -> None:
    client.__dict__["session"] = requests.Session()
    client.fetch_time()


def _new_fetch(client: Any) -> None:
    client.fetch = lambda *_rest: requests.get(PRODUCTION, timeout=1)


def _other_guard(client: Any) -> None:
    client.guard = Guard(venue=SHADOW)


def _unbuilt(client: Any) -> None:
    client._is_built = False


def _sign(client: Any) -> None:
    client.sign = lambda *_rest, **_more: {
        "url": PRODUCTION,
        "method": "GET",
        "headers": {},
        "body": None,
    }
    client.fetch_time()


def _proxy(client: Any) -> None:
    client.httpsProxy = "http://127.0.0.1:9"
    client.fetch_time()


def _proxy_url(client: Any) -> None:
    client.proxyUrl = "https://proxy.example/"
    client.fetch_time()


def _old_proxies(client: Any) -> None:
    client.proxies = {"https": "http://127.0.0.1:9"}
    client.fetch_time()


def _session_proxies(client: Any) -> None:
    client.session.proxies = {"https": "http://127.0.0.1:9"}
    client.fetch_time()


def _unverified(client: Any) -> None:
    client.verify = False
    client.fetch_time()


def _host_header(client: Any) -> None:
    client.headers = {"Host": "api.binance.com"}
    client.fetch_time()


def _private_adapter(client: Any) -> None:
    client.session._adapter = HTTPAdapter()


def _new_get_adapter(client: Any) -> None:
    client.session.get_adapter = lambda _url: HTTPAdapter()


def _session_guard(client: Any) -> None:
    client.session.guard = Guard(venue=SHADOW)


def _another_of_the_class(client: Any) -> None:
    another = type(client)()  # as ccxt makes it, not through ``connect``
    another.session.get(PRODUCTION)


def _beneath_another(client: Any) -> None:
    another = type(client)({"session": requests.Session()})
    _original(another)(another, PRODUCTION)


ATTACKS = [
    _private_adapter, _new_get_adapter, _session_guard, _another_of_the_class, _beneath_another,
    _change_urls, _switch_back, _set_sandbox_off, _futures, _sapi, _fetch, _base_fetch, _session,
    _adapter, _pool, _proxied_pool, _environment_proxy,
    _mount, _adapters, _new_session, _hidden_session, _new_fetch, _sign,
    _other_guard, _unbuilt, _proxy,
    _proxy_url, _old_proxies, _session_proxies, _unverified, _host_header,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_no_way_around_a_client(
    attack: Callable[[Any], None], no_socket: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """URLs, options, proxies, sessions and methods of the ccxt object: nothing opens a socket."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    client = connect(SPOT, KEYS)
    with pytest.raises(GuardRefused):
        attack(client)
    assert client.guard.refusals
    assert no_socket == []


def test_a_changed_hostname_is_refused(no_socket: list[str]) -> None:
    """Bybit's URLs are made of ``hostname``: another one is another host."""
    client = connect(find_venue("bybit", "spot", "sandbox"), KEYS)
    client.hostname = "bytick.com"
    with pytest.raises(GuardRefused, match=r"api-testnet\.bytick\.com"):
        client.fetch_time()
    assert no_socket == []


def test_a_header_switch_cannot_be_lost(no_socket: list[str]) -> None:
    """OKX tells demo from real by a header alone: without it nothing is sent."""
    client = connect(OKX, {**KEYS, "password": "x"})
    client.headers = {}
    with pytest.raises(GuardRefused, match="x-simulated-trading"):
        client.fetch_time()
    client.headers = {"x-simulated-trading": "0"}
    with pytest.raises(GuardRefused, match="x-simulated-trading"):
        client.fetch_balance()
    assert no_socket == []


def test_settings_do_not_bring_a_session(no_socket: list[str]) -> None:
    """A session, URLs or a switch in the settings change nothing."""
    settings = {"session": requests.Session(), "urls": {"test": ccxt.binance().urls["api"]}}
    client = connect(SPOT, KEYS, settings=settings)
    with pytest.raises(GuardRefused):
        client.fetch_time()
    with pytest.raises(GuardRefused):
        client.session.get(PRODUCTION)
    assert no_socket == []


@pytest.mark.parametrize("path", ["moved", "inside"])
def test_redirects_are_refused(server: str, path: str) -> None:
    """A redirect is not followed, also not to the same host."""
    client = connect(local_venue(server, "spot"), KEYS)
    assert client.fetch(f"{server}/api/v3/time") == {}
    with pytest.raises(GuardRefused, match="redirects"):
        client.fetch(f"{server}/api/v3/{path}")
    with pytest.raises(GuardRefused, match="redirects"):
        client.session.get(f"{server}/api/v3/{path}", allow_redirects=True)


# An asynchronous client -------------------------------------------------------------------------


async def _async_urls(client: Any) -> None:
    client.urls["api"] = ccxt.binance().urls["api"]
    await client.fetch_time()


async def _async_fetch(client: Any) -> None:
    await client.fetch(PRODUCTION)


async def _async_base_fetch(client: Any) -> None:
    await _original(client)(client, PRODUCTION)


async def _async_session(client: Any) -> None:
    client.open()
    await client.session.get(PRODUCTION)


async def _async_proxy(client: Any) -> None:
    client.open()
    await client.session.get(TESTNET, proxy="http://127.0.0.1:9")


async def _async_https_proxy(client: Any) -> None:
    client.httpsProxy = "http://127.0.0.1:9"
    await client.fetch_time()


async def _async_aiohttp_proxy(client: Any) -> None:
    client.aiohttp_proxy = "http://127.0.0.1:9"
    await client.fetch_time()


async def _async_socks(client: Any) -> None:
    client.socksProxy = "socks5://127.0.0.1:9"
    await client.fetch_time()


async def _async_unverified(client: Any) -> None:
    client.open()
    await client.session.get(TESTNET, ssl=False)


async def _async_socket(client: Any) -> None:
    client.open()
    await client.session.ws_connect("wss://stream.binance.com:9443/ws")


async def _async_new_session(client: Any) -> None:
    client.open()
    async with aiohttp.ClientSession() as session:
        client.session = session


async def _async_host(client: Any) -> None:
    client.open()
    await client.session.get(TESTNET, headers={"Host": "api.binance.com"})


async def _async_context(client: Any) -> None:
    client.open()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    await client.session.get(TESTNET, ssl=context)


async def _async_other_name(client: Any) -> None:
    client.open()
    await client.session.get(TESTNET, server_hostname="api.binance.com")


async def _async_guard(client: Any) -> None:
    client.open()
    client.session.connector.guard = Guard(venue=SHADOW)


async def _async_connect(client: Any) -> None:
    client.open()
    client.session.connector.connect = aiohttp.TCPConnector.connect


ASYNC_ATTACKS = [
    _async_context, _async_other_name, _async_guard, _async_connect,
    _async_urls, _async_fetch, _async_base_fetch, _async_session, _async_proxy,
    _async_https_proxy, _async_aiohttp_proxy, _async_socks, _async_unverified, _async_socket,
    _async_new_session, _async_host,
]  # fmt: skip


@pytest.mark.parametrize("attack", ASYNC_ATTACKS, ids=lambda attack: attack.__name__)
def test_no_way_around_an_asynchronous_client(
    attack: Callable[[Any], Coroutine[Any, Any, None]], no_socket: list[str]
) -> None:
    """The same through aiohttp: sessions, proxies, sockets."""

    async def main(client: Any) -> None:
        with pytest.raises(GuardRefused):
            await attack(client)

    run(main)
    assert no_socket == []


def test_redirects_of_an_asynchronous_client_are_refused(server: str) -> None:
    """Left alone, aiohttp follows redirects by itself; here it may not."""

    async def main(client: Any) -> None:
        assert await client.fetch(f"{server}/api/v3/time") == {}
        for path in ("moved", "inside"):
            with pytest.raises(GuardRefused, match="redirects"):
                await client.fetch(f"{server}/api/v3/{path}")

    run(main, local_venue(server, "spot"))


# WebSockets -------------------------------------------------------------------------------------


def test_a_socket_client_of_another_url_is_refused(no_socket: list[str]) -> None:
    """watch_* with changed URLs, ``client`` used directly, and ccxt's own socket class."""
    sockets = importlib.import_module("ccxt.async_support.base.ws.client")
    url = "wss://stream.binance.com:9443/ws/1"

    async def main(client: Any) -> None:
        client.open()
        with pytest.raises(GuardRefused):
            client.client(url)
        ignore = lambda *_rest: None  # noqa: E731
        raw = sockets.Client(
            url, ignore, ignore, ignore, ignore, {"asyncio_loop": asyncio.get_event_loop()}
        )
        with pytest.raises(GuardRefused):
            await raw.create_connection(client.session)
        with pytest.raises(GuardRefused):
            client.watch(url, "x")

    run(main, flavour="pro")
    assert no_socket == []


def test_the_shadow_opens_no_socket(no_socket: list[str]) -> None:
    """A WebSocket carries what it likes once it is open: the shadow has none."""

    async def main(client: Any) -> None:
        with pytest.raises(GuardRefused):
            client.client("wss://stream.binance.com:9443/ws/1")

    run(main, SHADOW, flavour="pro")
    assert no_socket == []
