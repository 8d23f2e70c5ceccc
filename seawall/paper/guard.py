"""The guard: every request of a session, before a socket opens, against its venue's allow-list.

It is fail-closed: an address is read by one strict grammar, and what the grammar does not know (a
user in front of the host, capitals, a trailing dot, escapes, other alphabets, ``..``) is refused
rather than understood. The transports (``transport``) ask it for every request, redirects
included, and so does the client itself (``connect``); ``wall`` holds the whole process to it.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from seawall.paper.allowed import Market, Route, Venue
from seawall.paper.errors import GuardRefused

_URL = re.compile(
    r"(?P<scheme>https?|wss?)://"
    r"(?P<host>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>/[A-Za-z0-9/_.:~-]*)?"
    r"(?:\?(?P<query>[!-~]*))?",
)
DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_ORDINARY_HEADERS = frozenset(
    {"accept", "accept-encoding", "connection", "content-type", "host", "user-agent"}
)
_SIGNING_NAMES = frozenset(
    {
        "accesskey", "access_key", "api_key", "apikey", "key", "listenkey", "nonce", "passphrase",
        "recvwindow", "recv_window", "sign", "signature", "signaturemethod", "token",
    }
)  # fmt: skip
_OTHER_SOCKETS = ("inverse", "option", "optionMarket", "optionPrivate", "papi", "stock")
_FORBIDDEN_HEADERS = ("proxy-", "x-http-method", "x-method-override", "x-forwarded", "forwarded")


class Address(NamedTuple):
    """A URL in its parts; ``port`` is never missing, ``path`` is at least ``/``."""

    scheme: str
    host: str
    port: int
    path: str
    query: str


def read_address(url: str) -> Address:
    """Return the parts of a URL.

    Raises:
        GuardRefused: it is not written in the one form that is accepted.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise GuardRefused(
            "a URL must be plain scheme://host[:port]/path[?query] in lower case, without user, "
            f"trailing dot, escapes in the path or other alphabets, is {_cut(url)!r}"
        )
    path = match["path"] or "/"
    if "//" in path or any(part in (".", "..") for part in path.split("/")):
        raise GuardRefused(f"a path must have no empty, . or .. parts, is {path!r}")
    port = int(match["port"]) if match["port"] else DEFAULT_PORTS[match["scheme"]]
    return Address(match["scheme"], match["host"], port, path, match["query"] or "")


@dataclass(frozen=True, kw_only=True)
class Guard:
    """What one session may ask, and a list of what it was refused.

    Attributes:
        venue: where it may go.
        refusals: one line for each refusal; a caller that swallowed the exception cannot hide it.
    """

    venue: Venue
    refusals: list[str] = field(default_factory=list)

    def admit(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        has_body: bool = False,
    ) -> None:
        """Return where a request is allowed; it may then be sent exactly as it was shown.

        Raises:
            GuardRefused: it is not on the allow-list of the session's venue.
        """
        try:
            address = read_address(url)
            self._check_route(method, address)
            self._check_headers(headers or {}, address)
            if self.venue.mode == "shadow":
                _check_unsigned(address, headers or {}, has_body=has_body, venue=self.venue)
        except GuardRefused as refusal:
            self.refusals.append(str(refusal))
            raise

    def admit_address(self, method: str, url: str) -> None:
        """Return where method and URL are allowed; headers are checked when it is sent.

        Raises:
            GuardRefused: as for ``admit``.
        """
        try:
            self._check_route(method, read_address(url))
        except GuardRefused as refusal:
            self.refusals.append(str(refusal))
            raise

    def admit_host(self, scheme: str, host: str, port: int) -> None:
        """Return where a connection may be opened; what goes through it is checked by ``admit``.

        Raises:
            GuardRefused: no route of the venue leads there.
        """
        places = {
            (one.scheme, one.host, one.port or DEFAULT_PORTS[one.scheme])
            for one in self.venue.routes
        }
        if (scheme, host, port) not in places:
            raise self.refuse(
                f"{self.venue.name} connects only to {', '.join(self.venue.hosts)}, "
                f"is {scheme}://{host}:{port}"
            )

    def refuse(self, why: str) -> GuardRefused:
        """Return the refusal to raise for anything else that would lead around the guard."""
        self.refusals.append(why)
        return GuardRefused(why)

    def _check_route(self, method: str, address: Address) -> None:
        if not any(_fits(route, method, address) for route in self.venue.routes):
            raise GuardRefused(
                f"{self.venue.name} reaches only {', '.join(self.venue.hosts)} on listed paths, "
                f"is {method} {address.scheme}://{address.host}:{address.port}{address.path}"
            )

    def _check_headers(self, headers: Mapping[str, str], address: Address) -> None:
        seen = {name.lower(): str(value) for name, value in headers.items()}
        is_stream = address.scheme in ("ws", "wss")  # a sandbox's stream has a host of its own
        for name, value in self.venue.headers.items():
            if seen.get(name) != value and not is_stream:
                raise GuardRefused(
                    f"every request of {self.venue.name} must carry the header {name}: {value}: "
                    "without it the exchange takes it for a real one"
                )
        host = seen.get("host")
        if host is not None and host not in _host_headers(address):
            raise GuardRefused(f"the Host header must be the URL's own, is {_cut(host)!r}")
        for name in seen:
            if name.startswith(_FORBIDDEN_HEADERS):
                raise GuardRefused(f"no header may redirect a request, is {name!r}")


def local_venue(root: str, market: Market) -> Venue:
    """Return the venue of our own exchange on loopback.

    Args:
        root: ``"http://127.0.0.1:8080"``: scheme, address and port; ``localhost`` is a name that
            a hosts file can turn elsewhere, so the address is asked for.
        market: what is traded there.

    Raises:
        GuardRefused: the root is not such an address.
    """
    address = read_address(root)
    if (
        address.scheme != "http"
        or address.path != "/"
        or address.query
        or not _is_loopback(address)
    ):
        raise GuardRefused(
            "the local exchange must be http://ADDRESS:PORT on loopback, "
            f"is {_cut(root)!r}: write http://127.0.0.1:8080"
        )
    host, port = address.host, address.port
    trade = frozenset({"GET", "POST", "PUT", "DELETE"})
    anywhere = r"/(api|sapi|fapi|dapi|futures)/[A-Za-z0-9/_.-]+"
    streams = r"/(stream|fstream|ws-api|ws-fapi)(/[A-Za-z0-9_@!.-]+)*"
    return Venue(
        exchange="local",
        market=market,
        mode="local",
        ccxt_id="binance" if market == "spot" else "binanceusdm",
        switch="sandbox" if market == "spot" else "demo",
        settings={"urls": {"test": local_urls(root), "demo": local_urls(root)}},
        routes=(
            Route(scheme="http", host=host, port=port, path=anywhere, methods=trade),
            Route(scheme="ws", host=host, port=port, path=streams),
        ),
    )


def shadow_of(venue: Venue) -> Venue:
    """Return a venue as a shadow sees it: it is read, without keys, and nothing is sent to it."""
    reads = tuple(replace(route, methods=frozenset({"GET"})) for route in venue.routes)
    return replace(venue, mode="shadow", routes=reads)


def local_urls(root: str) -> dict[str, object]:
    """Return ccxt's table of Binance URLs with all of them at ``root``.

    Spot streams contain ``/stream`` and linear ones do not: ccxt tells the markets apart by it.
    """
    root = root.rstrip("/")
    socket = root.replace("http", "ws", 1)
    urls: dict[str, object] = {
        "public": f"{root}/api/v3",
        "private": f"{root}/api/v3",
        "v1": f"{root}/api/v1",
        "sapi": f"{root}/sapi/v1",
        "fapiData": f"{root}/futures/data",
        "dapiData": f"{root}/futures/data",
    }
    for version in (2, 3, 4):
        urls[f"sapiV{version}"] = f"{root}/sapi/v{version}"
    for family in ("fapi", "dapi"):
        for side in ("Public", "Private"):
            for version in (1, 2, 3):
                suffix = "" if version == 1 else f"V{version}"
                urls[f"{family}{side}{suffix}"] = f"{root}/{family}/v{version}"
    # What is not served is at the root as well: what ccxt finds no URL for, it takes from itself.
    urls |= {"eapiPublic": f"{root}/eapi/v1", "eapiPrivate": f"{root}/eapi/v1"}
    urls |= {"papi": f"{root}/papi/v1", "papiV2": f"{root}/papi/v2"}
    urls["ws"] = {
        "spot": f"{socket}/stream/ws",
        "margin": f"{socket}/stream/ws",
        "linear": f"{socket}/fstream/ws",
        **{name: f"{socket}/{name}/ws" for name in _OTHER_SOCKETS},
        "ws-api": {
            "spot": f"{socket}/ws-api/v3",
            "linear": f"{socket}/ws-fapi/v1",
            "inverse": f"{socket}/ws-dapi/v1",
        },
    }
    return urls


def _fits(route: Route, method: str, address: Address) -> bool:
    port = route.port or DEFAULT_PORTS[route.scheme]
    where = (address.scheme, address.host, address.port)
    is_there = where == (route.scheme, route.host, port)
    return is_there and method in route.methods and bool(re.fullmatch(route.path, address.path))


def _host_headers(address: Address) -> tuple[str, ...]:
    full = f"{address.host}:{address.port}"
    is_usual = DEFAULT_PORTS[address.scheme] == address.port
    return (address.host, full) if is_usual else (full,)


def _check_unsigned(
    address: Address, headers: Mapping[str, str], *, has_body: bool, venue: Venue
) -> None:
    names = {part.partition("=")[0].lower() for part in re.split("[&;]", address.query)}
    if signed := sorted(names & _SIGNING_NAMES) or ["an escape"] * any("%" in n for n in names):
        raise GuardRefused(f"a shadow request must be unsigned, has {', '.join(signed)} in its URL")
    allowed = _ORDINARY_HEADERS | venue.harmless | set(venue.headers)
    if odd := sorted(name for name in headers if name.lower() not in allowed):
        raise GuardRefused(f"a shadow request carries ordinary headers only, has {', '.join(odd)}")
    if has_body:
        raise GuardRefused("a shadow request has no body: it reads, it sends nothing")


def _is_loopback(address: Address) -> bool:
    try:
        return ipaddress.ip_address(address.host.strip("[]")).is_loopback
    except ValueError:
        return False


def _cut(text: str) -> str:
    """Return the start of a text without its query: what follows may hold a signature."""
    return text.partition("?")[0][:120]
