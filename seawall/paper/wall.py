"""The wall around a paper process: no socket to a host that nobody named.

The guarded client is what a session uses; the wall stops what would not use it: a session object
of somebody else, a plain socket, a proxy, a library that phones home. It is an audit hook of the
interpreter, which cannot be taken away again, and holds every thread: a name is looked up only if
it was named, and an address is connected to only if such a look-up gave it.

On loopback the ports that were named are open, and no other: a proxy of this machine would reach
every host. What names one in the environment is taken out of it, for child processes too.

Left out: child processes; Unix sockets, which stay open; extensions in C that open sockets
themselves.
"""

import ipaddress
import os
import re
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Any

from seawall.paper.allowed import VENUES, Venue
from seawall.paper.errors import GuardRefused
from seawall.paper.guard import DEFAULT_PORTS

_LOCAL_NAME = "localhost"
_LOCAL_URL = re.compile(
    r"(https?)://(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::(\d{1,5}))?(?=[^\w.:-]|$)",
    re.IGNORECASE,
)
_Lookup = Callable[..., list[Any]]


class _Wall:
    """What may be reached; there is one for a process."""

    def __init__(self) -> None:
        self.is_up = False
        self.hosts: frozenset[str] = frozenset()
        self.addresses: set[str] = set()
        self.ports: frozenset[int] = frozenset()  # on loopback
        self.look_up: _Lookup = socket.getaddrinfo


_WALL = _Wall()


def raise_wall(
    venues: Iterable[Venue], agent_hosts: Iterable[str] = (), ports: Iterable[int] = ()
) -> None:
    """Hold this process, for good, to the hosts of these venues and those named for agents.

    Args:
        venues: where the session trades and reads.
        agent_hosts: what an agent must reach, such as the API of a language model; on loopback
            with its port, ``127.0.0.1:11434``.
        ports: further ones that are open on loopback; see ``find_ports``.

    Raises:
        GuardRefused: a wall is up already, or an agent's host belongs to an exchange or is
            loopback without a port.
    """
    if _WALL.is_up:
        raise GuardRefused("the wall is up already, for the life of the process: start another one")
    venues, open_ports, named = list(venues), set(ports), set[str]()
    for host in (host.lower().rstrip(".") for host in agent_hosts):
        if (port := _local_port(host)) is not None:
            open_ports.add(port)
        elif is_exchange_host(host):
            raise GuardRefused(f"an agent may not be given a host of an exchange, is {host!r}")
        else:
            named.add(host)
    routes = [route for venue in venues for route in venue.routes]
    open_ports |= {one.port or DEFAULT_PORTS[one.scheme] for one in routes if _is_local(one.host)}
    _WALL.hosts = frozenset(named | {route.host for route in routes})
    _WALL.ports = frozenset(open_ports)
    _WALL.look_up = socket.getaddrinfo
    _WALL.is_up = True
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    socket.getaddrinfo = _look_up
    sys.addaudithook(_watch)


def find_ports(given: object) -> set[int]:
    """Return the ports of all URLs on loopback that stand in a text, or in the texts of a table.

    A recipe's agent names its own so, ``url = "http://127.0.0.1:8000/decide"``.
    """
    found = [match for text in _texts(given) for match in _LOCAL_URL.finditer(text)]
    return {int(match[2] or DEFAULT_PORTS[match[1].lower()]) for match in found}


def _local_port(host: str) -> int | None:
    """Return the port of a host on loopback, None of another host.

    Raises:
        GuardRefused: it is loopback without a port.
    """
    name, colon, port = host.rpartition(":")
    if colon and port.isdecimal() and _is_local(name.strip("[]"), or_named=True):
        return int(port)
    if _is_local(host.strip("[]"), or_named=True):
        raise GuardRefused(
            "on loopback an agent is given a port, not all of them: a proxy may listen at one, is "
            f"{host!r}: write --agent-host 127.0.0.1:PORT"
        )
    return None


def is_exchange_host(host: str) -> bool:
    """Return whether ccxt, or the allow-list, knows a host or a parent of it as an exchange's."""
    return any(_is_within(host, known) for known in _exchange_domains())


def _exchange_domains() -> set[str]:
    import ccxt  # noqa: PLC0415 - one second, and only where an agent names hosts

    domains = {_domain(host) for venue in VENUES for host in venue.hosts}
    for name in ccxt.exchanges:
        exchange = getattr(ccxt, name)()
        for text in _texts(exchange.urls):
            host = text.partition("://")[2].partition("/")[0].partition(":")[0]
            hostname = str(getattr(exchange, "hostname", "") or "")
            domains.add(_domain(host.replace("{hostname}", hostname).lower()))
    return {domain for domain in domains if "." in domain} - {"github.com", "amazonaws.com"}


def _texts(urls: object) -> list[str]:
    if isinstance(urls, str):
        return [urls]
    if isinstance(urls, dict):
        urls = list(urls.values())
    inner = urls if isinstance(urls, (list, tuple)) else ()
    return [text for one in inner for text in _texts(one)]


def _domain(host: str) -> str:
    return ".".join(host.split(".")[-2:])


def _is_within(host: str, domain: str) -> bool:
    return host == domain or host.endswith("." + domain)


def _look_up(host: Any, *arguments: Any, **named: Any) -> list[Any]:
    """Resolve a name that was named, and remember what it stands for."""
    found = _WALL.look_up(host, *arguments, **named)
    if _to_name(host) in _WALL.hosts:
        _WALL.addresses.update(str(entry[4][0]) for entry in found)
    return found


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Raise before a name is looked up, or an address reached, that is not allowed."""
    if not event.startswith("socket."):
        return
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        name = _to_name(arguments[0])
        if name and name not in _WALL.hosts and not _is_local(name, or_named=True):
            raise GuardRefused(f"this process reaches named hosts only, is {name!r}")
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        target = arguments[1]
        if not isinstance(target, tuple):
            return
        address = str(target[0])
        if _is_local(address):
            if target[1] not in _WALL.ports:
                raise GuardRefused(
                    "on loopback this process reaches named ports only, is "
                    f"{target[1]!r}: if it is the agent's, --agent-host {address}:{target[1]}"
                )
        elif address not in _WALL.addresses:
            raise GuardRefused(f"this process reaches named hosts only, is {target[0]!r}")


def _is_local(name: str, *, or_named: bool = False) -> bool:
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return or_named and name == _LOCAL_NAME


def _to_name(host: Any) -> str:
    text = host.decode("ascii", "replace") if isinstance(host, (bytes, bytearray)) else host
    return str(text).lower() if text else ""
