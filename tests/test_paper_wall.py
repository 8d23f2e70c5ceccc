"""The wall: a process that has raised it reaches named hosts only, whatever library asks."""

import subprocess
import sys
import textwrap

import pytest

from seawall.paper.wall import is_exchange_host

_START = """
import asyncio, socket, sys, urllib.request
import aiohttp, requests
from seawall.paper import wall
from seawall.paper.allowed import find_venue
from seawall.paper.errors import GuardRefused
from seawall.paper.wall import raise_wall

def fake(host, port, *rest, **named):
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 443))]

socket.getaddrinfo = fake  # no network in tests: a name that is let through gets this answer
raise_wall([find_venue("binance", "spot", "sandbox")], ["api.model.example"])

def is_refused(call):
    try:
        call()
    except GuardRefused:
        return True
    except Exception as error:
        print("not refused:", type(error).__name__, error)
    return False
"""


def run(code: str) -> None:
    """Run code behind the wall in a process of its own: an audit hook cannot be taken away."""
    text = _START + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_other_libraries_are_refused() -> None:
    """requests, urllib, aiohttp, plain sockets, datagrams and look-ups by name or number."""
    run(
        """
        def by_aiohttp():
            async def main():
                async with aiohttp.ClientSession() as session:
                    await session.get("https://203.0.113.5/api/v3/time")
            asyncio.run(main())

        def connect(where):
            with socket.socket() as one:
                one.settimeout(1)
                one.connect(where)

        def datagram():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.sendto(b"x", ("203.0.113.5", 53))

        import _socket
        calls = [
            lambda: requests.get("https://203.0.113.5/", timeout=1),
            lambda: urllib.request.urlopen("https://203.0.113.5/"),
            by_aiohttp,
            lambda: connect(("203.0.113.5", 443)),
            lambda: sys.audit("socket.connect", None, ("api.binance.com", 443)),
            datagram,
            lambda: _socket.getaddrinfo("api.binance.com", 443),
            lambda: socket.gethostbyname("api.binance.com"),
        ]
        assert all([is_refused(call) for call in calls])
        """
    )


def test_named_hosts_and_loopback_stay_open() -> None:
    """An address is known once a named host was looked up; loopback always is."""
    run(
        """
        where = ("192.0.2.7", 443)
        assert is_refused(lambda: sys.audit("socket.connect", None, where))
        socket.getaddrinfo("api.binance.com", 443)  # the fake answers; the name was not named
        assert is_refused(lambda: sys.audit("socket.connect", None, where))
        socket.getaddrinfo("testnet.binance.vision", 443)
        sys.audit("socket.connect", None, where)
        sys.audit("socket.getaddrinfo", "api.model.example", 443, 0, 0, 0)
        with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as one:
            one.connect(server.getsockname())
        """
    )


def test_the_wall_is_raised_once() -> None:
    """A second wall could be a wider one."""
    run(
        """
        assert is_refused(lambda: raise_wall([], ["x.example"]))
        """
    )


@pytest.mark.slow
def test_an_agent_gets_no_host_of_an_exchange() -> None:
    """What ccxt knows as an exchange's domain, or beneath one, cannot be named for an agent."""
    for host in ("api.binance.com", "x.y.kraken.com", "bybit.com"):
        assert is_exchange_host(host)
    assert not is_exchange_host("api.model.example")
