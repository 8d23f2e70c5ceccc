"""An agent behind HTTP: each message is one POST to one address, the answer is the response's body.

The connection is kept and TCP_NODELAY set: without it a decision takes 40 ms more. Loopback is
allowed; any other host has to be named. Redirects are not followed, proxies not used.
"""

import ipaddress
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Timer
from urllib.parse import SplitResult, urlsplit
from weakref import finalize

from seawall.errors import RecipeError
from seawall.remote.form import LONGEST_MESSAGE, show
from seawall.remote.link import Gone, Late

RUN_HEADER = "X-Seawall-Run"  # random, one for each run: a server can tell them apart
_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}
_CHUNK = 1 << 16
_OK = 200


class Endpoint:
    """The way to an agent behind HTTP; see ``Way``.

    Args:
        url: ``http://127.0.0.1:8000/decide``.
        hosts: other hosts than loopback that may be asked.

    Raises:
        RecipeError: it is no such address, or its host is not allowed.
    """

    pause_s = 0.2

    def __init__(self, url: str, hosts: Sequence[str] = ()) -> None:
        self._url = _check_url(url, hosts)
        self.name = f"the agent at {self._url.scheme}://{self._url.netloc}{self._url.path}"
        query = f"?{self._url.query}" if self._url.query else ""
        self._path = (self._url.path or "/") + query
        self._headers = {**_HEADERS, RUN_HEADER: ""}
        self._connection: HTTPConnection | None = None
        self._forget: Callable[[], object] | None = None

    def open(self) -> None:
        """Forget the connection: the next message makes one, and begins another run."""
        self.close()
        self._headers[RUN_HEADER] = secrets.token_hex(8)

    def ask(self, message: bytes, sequence: int, timeout_s: float) -> bytes:
        """Return the body of the response to a POST."""
        del sequence  # a response belongs to its request
        deadline = time.monotonic() + timeout_s
        is_kept = self._connection is not None
        try:
            return self._post(message, deadline)
        except Gone:
            if not is_kept:
                raise
        # A connection that was kept may have been closed meanwhile, which says nothing of the
        # agent. It can tell by the number if it has had the question already.
        return self._post(message, deadline)

    def close(self, farewell: bytes = b"") -> None:
        """Say farewell where there is a connection, and close it."""
        if farewell and self._connection is not None:
            with suppress(Gone, Late):
                self._post(farewell, time.monotonic() + 1.0)
        self._connection = None
        if self._forget is not None:
            self._forget()

    def _post(self, message: bytes, deadline: float) -> bytes:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise Late
        connection = self._connection or self._connect(remaining)
        # A socket's own timeout begins anew with each byte: a slow drip would never end.
        watch = Timer(remaining, _break, (connection,))
        watch.daemon = True
        watch.start()
        why, body = "", b""
        try:
            body = self._exchange(connection, message)
        except (OSError, HTTPException) as error:
            why = f"{type(error).__name__}: {error}"
        watch.cancel()
        if time.monotonic() >= deadline:  # what is there may have been cut short
            self.close()
            raise Late
        if why:
            self.close()
            raise Gone(why)
        return body

    def _connect(self, timeout_s: float) -> HTTPConnection:
        kind = HTTPSConnection if self._url.scheme == "https" else HTTPConnection
        connection = kind(self._url.hostname or "", self._url.port, timeout=timeout_s)
        try:
            connection.connect()
        except TimeoutError:
            connection.close()
            raise Late from None
        except OSError as error:
            connection.close()
            raise Gone(f"it cannot be reached: {error}") from None
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sock.settimeout(None)  # the watch ends it
        self._connection = connection
        # A run that is interrupted says no farewell.
        self._forget = finalize(self, connection.close)
        return connection

    def _exchange(self, connection: HTTPConnection, message: bytes) -> bytes:
        connection.request("POST", self._path, body=message, headers=self._headers)
        response = connection.getresponse()
        body = bytearray()
        while chunk := response.read(_CHUNK):
            body += chunk
            if len(body) > LONGEST_MESSAGE:
                raise HTTPException(f"an answer has more than {LONGEST_MESSAGE:,} bytes")
        if response.will_close:
            self.close()
        if response.status != _OK:
            raise HTTPException(f"HTTP {response.status}, {show(bytes(body))}")
        return bytes(body)


def _break(connection: HTTPConnection) -> None:
    """End whatever waits for this connection."""
    with suppress(OSError, AttributeError):
        connection.sock.shutdown(socket.SHUT_RDWR)


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine's own loopback."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_url(url: str, hosts: Sequence[str]) -> SplitResult:
    shown = f"agent.url must be such as http://127.0.0.1:8000/decide, is {url!r:.80}"
    try:
        split = urlsplit(url)
        port = split.port
    except (ValueError, AttributeError, TypeError):
        raise RecipeError(f"{shown}: correct it") from None
    host = split.hostname or ""
    if split.scheme not in ("http", "https") or not host or port == 0 or split.fragment:
        raise RecipeError(f"{shown}: correct it")
    if split.username is not None or split.password is not None:
        raise RecipeError("agent.url must hold no user and password: a recipe is no place for keys")
    if not isinstance(hosts, (list, tuple)):
        raise RecipeError(
            f'agent.hosts must be a list of names, is {hosts!r:.80}: write ["{host}"]'
        )
    if not is_loopback(host) and host not in hosts:
        raise RecipeError(
            f"an agent on another machine must be named, {host} is not: add hosts = "
            f'["{host}"] to [agent], which sends it all that is observed'
        )
    return split
