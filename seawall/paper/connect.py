"""ccxt clients that cannot leave the allow-list.

``connect`` builds the client of a venue: a subclass of ccxt's own whose sessions are guarded, which
shows every URL to the guard before it is sent, and refuses to have its transport replaced. Changed
``urls``, ``hostname`` or ``options`` lead to a refused URL, not to another host.
"""

import importlib
import ssl
from collections.abc import Mapping
from typing import Any, Literal

import certifi

from seawall.paper.allowed import Venue
from seawall.paper.errors import GuardRefused
from seawall.paper.guard import Guard
from seawall.paper.transport import GuardedSession, guarded_session, is_guarded

Flavour = Literal["sync", "async", "pro"]

# Under these names ccxt keeps what several calls wait for; nothing can be connected to them.
_NO_ADDRESSES = frozenset({"authenticationFlights"})
_MODULES = {"sync": "ccxt", "async": "ccxt.async_support", "pro": "ccxt.pro"}
_CREDENTIALS = (
    "apiKey", "secret", "uid", "accountId", "login", "password", "twofa", "privateKey",
    "walletAddress", "token",
)  # fmt: skip
_PROXIES = (
    "proxy", "proxies", "proxyUrl", "proxy_url", "proxyUrlCallback", "proxy_url_callback",
    "httpProxy", "http_proxy", "httpProxyCallback", "http_proxy_callback", "httpsProxy",
    "https_proxy", "httpsProxyCallback", "https_proxy_callback", "socksProxy", "socks_proxy",
    "socksProxyCallback", "socks_proxy_callback", "wsProxy", "ws_proxy", "wssProxy", "wss_proxy",
    "wsSocksProxy", "ws_socks_proxy", "aiohttp_proxy",
)  # fmt: skip
_PINNED = frozenset(
    {
        "guard", "_is_built", "check", "fetch", "open", "client", "get_socks_proxy_session",
        "own_session", "tcp_connector",
        "aiohttp_socks_connector", "socks_proxy_sessions", "aiohttp_trust_env",
        "requests_trust_env", "__class__",
    }
)  # fmt: skip


class GuardedClient:
    """What every guarded client is, beside a ccxt exchange."""

    guard: Guard
    _is_built = False

    def __setattr__(self, name: str, value: Any) -> None:
        if self._is_built and value is not None:
            is_foreign = name == "session" and not is_guarded(value, self.guard)
            if is_foreign or name in _PINNED:
                raise self.guard.refuse(f"{name} of a guarded client cannot be replaced")
            if name in _CREDENTIALS and value and self.guard.venue.mode == "shadow":
                raise self.guard.refuse(f"a shadow client holds no keys, {name} was set")
        super().__setattr__(name, value)

    def check(self, url: str, method: str) -> None:
        """Raise ``GuardRefused`` where a request, or the state of the client, is not allowed."""
        guard, state = self.guard, self.__dict__
        if state.get("session") is not None and not is_guarded(state["session"], guard):
            raise guard.refuse("the session of a guarded client was replaced")
        if guard.venue.mode == "shadow" and any(getattr(self, name, "") for name in _CREDENTIALS):
            raise guard.refuse("a shadow client holds no keys")
        for name in _PROXIES:
            if getattr(self, name, None):
                raise guard.refuse(f"a proxy sees and can change every request: unset {name}")
        guard.admit_address(method, url)


class _SyncClient(GuardedClient):
    def __init__(self, config: Mapping[str, object] | None = None) -> None:
        """Make the guarded session before ccxt would make its own, for whoever makes a client."""
        super().__init__({**(config or {}), "session": GuardedSession(self.guard)})  # type: ignore[call-arg]

    def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        """Send a request that the guard admits."""
        self.check(url, method)
        return super().fetch(url, method, headers, body)  # type: ignore[misc]


class _AsyncClient(GuardedClient):
    async def fetch(
        self, url: str, method: str = "GET", headers: Any = None, body: Any = None
    ) -> Any:
        """Send a request that the guard admits."""
        self.check(url, method)
        return await super().fetch(url, method, headers, body)  # type: ignore[misc]

    def open(self, lazy: bool = False) -> None:  # noqa: FBT001, FBT002 - ccxt's signature
        """Make the guarded session before ccxt would make its own."""
        if self.__dict__.get("session") is None and not (
            lazy and getattr(self, "closed_by_user", False)
        ):
            context = ssl.create_default_context(cafile=certifi.where())
            self.session = guarded_session(self.guard, context)
        super().open(lazy)  # type: ignore[misc]

    def client(self, url: str) -> Any:
        """Return the WebSocket client of an address that the guard admits."""
        if url not in _NO_ADDRESSES:
            self.check(url, "GET")
        return super().client(url)  # type: ignore[misc]

    def get_socks_proxy_session(self, socks_proxy: str) -> Any:
        """Refuse: such a session has a connector of its own."""
        raise self.guard.refuse(f"a proxy sees every request: use none, is {socks_proxy!r}")


def connect(
    venue: Venue,
    credentials: Mapping[str, str] | None = None,
    *,
    flavour: Flavour = "sync",
    settings: Mapping[str, object] | None = None,
) -> Any:
    """Return the guarded ccxt client of a venue.

    Args:
        venue: from ``allowed.find_venue`` or ``guard.local_venue``.
        credentials: ccxt's names (``apiKey``, ``secret``, ...); none in the shadow.
        flavour: ``sync``, ``async`` or ``pro`` (async with WebSockets).
        settings: further settings of ccxt, such as ``timeout`` in ms.

    Raises:
        GuardRefused: keys in the shadow, ccxt cannot switch the exchange to its sandbox, or what
            it then would ask is not on the allow-list.
    """
    guard = Guard(venue=venue)
    if venue.mode == "shadow" and credentials:
        raise guard.refuse("a shadow client holds no keys: start it without")
    kind = _guarded_class(venue.ccxt_id, flavour, guard)
    config = {"enableRateLimit": True, **venue.settings, **(settings or {}), **(credentials or {})}
    for name in ("session", "asyncio_loop", "sandbox", "verify", *_PINNED):
        config.pop(name, None)
    client = kind(config)
    _switch(client, venue)
    client.options["maxRetriesOnFailure"] = 0  # an order whose answer was lost may be live
    if venue.mode == "local" and venue.market == "perpetual":
        _know_errors(client)
    client._is_built = True  # noqa: SLF001 - its own mark, set once
    return client


def _know_errors(client: Any) -> None:
    """Let our own exchange's errors have the classes they have on Binance: ccxt goes by URL."""
    exact = {**client.exceptions["exact"], **client.exceptions["linear"]["exact"]}
    client.exceptions = {**client.exceptions, "exact": exact}


def _guarded_class(ccxt_id: str, flavour: Flavour, guard: Guard) -> type[Any]:
    module = importlib.import_module(_MODULES[flavour])
    original = getattr(module, ccxt_id, None)
    if not isinstance(original, type):
        raise GuardRefused(f"this ccxt has no {flavour} client {ccxt_id!r}: update ccxt")
    mixin = _SyncClient if flavour == "sync" else _AsyncClient
    return type(f"Guarded_{ccxt_id}", (mixin, original), {"guard": guard})


def _switch(client: Any, venue: Venue) -> None:
    """Tell ccxt to use the sandbox; what it answers is believed only where every URL fits."""
    try:
        if venue.switch == "sandbox":
            client.set_sandbox_mode(True)
        elif venue.switch == "demo":
            client.enable_demo_trading(True)
    except Exception as error:
        raise GuardRefused(
            f"ccxt cannot switch {venue.ccxt_id} to its sandbox ({type(error).__name__}): it would "
            "stay on production, so it is not used"
        ) from error
