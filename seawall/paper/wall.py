"""The wall around a paper process: no socket to a host that nobody named.

The guarded client is what a session uses; the wall stops what would not use it: a session object
of somebody else, a plain socket, a proxy from the environment, a library that phones home. It is
an audit hook of the interpreter, which cannot be taken away again, and holds every thread: a name
is looked up only if it was named, and an address is connected to only if such a look-up gave it.

Loopback and Unix sockets stay open (the local exchange, a model served on this machine).
Left out: child processes; extensions in C that open sockets themselves.
"""

import ipaddress
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Any

from seawall.paper.allowed import VENUES, Venue
from seawall.paper.errors import GuardRefused

_Lookup = Callable[..., list[Any]]


class _Wall:
    """What may be reached; there is one for a process."""

    def __init__(self) -> None:
        self.is_up = False
        self.hosts: frozenset[str] = frozenset()
        self.addresses: set[str] = set()
        self.look_up: _Lookup = socket.getaddrinfo


_WALL = _Wall()


def raise_wall(venues: Iterable[Venue], agent_hosts: Iterable[str] = ()) -> None:
    """Hold this process, for good, to the hosts of these venues and those named for agents.

    Args:
        venues: where the session trades and reads.
        agent_hosts: what an agent must reach, such as the API of a language model.

    Raises:
        GuardRefused: a wall is up already, or an agent's host belongs to an exchange.
    """
    if _WALL.is_up:
        raise GuardRefused("the wall is up already, for the life of the process: start another one")
    named = {host.lower().rstrip(".") for host in agent_hosts}
    for host in named:
        if is_exchange_host(host):
            raise GuardRefused(f"an agent may not be given a host of an exchange, is {host!r}")
    _WALL.hosts = frozenset(named | {host for venue in venues for host in venue.hosts})
    _WALL.look_up = socket.getaddrinfo
    _WALL.is_up = True
    socket.getaddrinfo = _look_up
    sys.addaudithook(_watch)


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
    inner = urls.values() if isinstance(urls, dict) else urls if isinstance(urls, list) else ()
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
        if name and name not in _WALL.hosts and not _is_local(name) and name != "localhost":
            raise GuardRefused(f"this process reaches named hosts only, is {name!r}")
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        target = arguments[1]
        if isinstance(target, tuple) and not _is_known(str(target[0])):
            raise GuardRefused(f"this process reaches named hosts only, is {target[0]!r}")


def _is_known(address: str) -> bool:
    return address in _WALL.addresses or _is_local(address)


def _is_local(name: str) -> bool:
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _to_name(host: Any) -> str:
    text = host.decode("ascii", "replace") if isinstance(host, (bytes, bytearray)) else host
    return str(text).lower() if text else ""
