"""The wall: a process that has raised it reaches named hosts only, whatever library asks."""

import subprocess
import sys
import textwrap

import pytest

from seawall.paper.errors import GuardRefused
from seawall.paper.wall import find_ports, is_exchange_host, raise_wall

_START = """
import asyncio, os, socket, subprocess, sys, threading, urllib.request
import aiohttp, requests
from seawall.paper import wall
from seawall.paper.allowed import find_venue
from seawall.paper.errors import GuardRefused
from seawall.paper.guard import local_venue
from seawall.paper.wall import raise_wall

def fake(host, port, *rest, **named):
    if host == "127.0.0.1":
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, int(port)))]
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 443))]

def listen():
    server = socket.create_server(("127.0.0.1", 0))
    return server, server.getsockname()[1]

# A proxy of this machine, an agent's server, another, and our own exchange.
(proxy, proxy_port), (_a, agent_port), (_b, named_port), (_c, exchange_port) = [
    listen() for _ in range(4)
]
root = f"http://127.0.0.1:{proxy_port}"
for name in ("HTTPS_PROXY", "http_proxy", "All_Proxy", "NO_PROXY"):
    os.environ[name] = root

socket.getaddrinfo = fake  # no network in tests: a name that is let through gets this answer
raise_wall(
    [
        find_venue("binance", "spot", "sandbox"),
        local_venue(f"http://127.0.0.1:{exchange_port}", "spot"),
    ],
    ["api.model.example", f"localhost:{named_port}"],
    [agent_port],
)

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


def test_named_hosts_stay_open() -> None:
    """An address is known once a named host was looked up."""
    run(
        """
        where = ("192.0.2.7", 443)
        assert is_refused(lambda: sys.audit("socket.connect", None, where))
        socket.getaddrinfo("api.binance.com", 443)  # the fake answers; the name was not named
        assert is_refused(lambda: sys.audit("socket.connect", None, where))
        socket.getaddrinfo("testnet.binance.vision", 443)
        sys.audit("socket.connect", None, where)
        sys.audit("socket.getaddrinfo", "api.model.example", 443, 0, 0, 0)
        """
    )


def test_no_proxy_on_loopback_is_reached() -> None:
    """Neither from the environment, where none is left, nor given to a client by hand."""
    run(
        """
        import ccxt
        assert not [name for name in os.environ if name.lower().endswith("_proxy")]
        child = [sys.executable, "-c", "import urllib.request as u; print(u.getproxies())"]
        assert subprocess.run(child, capture_output=True, text=True).stdout.strip() == "{}"

        production = "https://api.binance.com/api/v3/time"
        os.environ["HTTPS_PROXY"] = root  # set again, by whoever is in the process

        def by_ccxt():
            client = ccxt.binance({"httpsProxy": root, "apiKey": "k", "secret": "s"})
            client.privateGetAccount()

        def trusting():
            client = ccxt.binance()
            client.requests_trust_env = client.session.trust_env = True
            client.fetch_time()

        def by_aiohttp():
            async def main():
                async with aiohttp.ClientSession(trust_env=True) as session:
                    await session.get(production)
            asyncio.run(main())

        calls = [
            lambda: requests.get(production, timeout=1),
            lambda: requests.get(production, proxies={"https": root}, timeout=1),
            lambda: urllib.request.urlopen(production, timeout=1),
            by_ccxt, trusting, by_aiohttp,
        ]
        assert all([is_refused(call) for call in calls])
        proxy.settimeout(0.1)
        try:
            proxy.accept()
            raise SystemExit("the proxy was reached")
        except TimeoutError:
            pass
        """
    )


def test_loopback_is_open_at_named_ports_only() -> None:
    """Those of our own exchange and of agents; Unix sockets and asyncio's own pairs work."""
    run(
        """
        for port in (exchange_port, agent_port, named_port):
            socket.create_connection(("127.0.0.1", port), 1).close()
        for host in ("127.0.0.1", "127.0.0.2", "0.0.0.0"):
            assert is_refused(lambda: socket.socket().connect((host, proxy_port)))
        assert is_refused(lambda: socket.socket(socket.AF_INET6).connect(("::1", proxy_port)))
        # A named host that a hosts file leads to loopback opens none of its ports.
        wall._WALL.addresses.add("127.0.0.1")
        assert is_refused(lambda: socket.create_connection(("127.0.0.1", proxy_port), 1))

        async def main():
            server = await asyncio.start_unix_server(lambda _r, w: w.close(), "s")
            reader, writer = await asyncio.open_unix_connection("s")
            assert await reader.read() == b""
            writer.close()
            server.close()

        import tempfile
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            asyncio.run(main())
            os.chdir("/")
        """
    )


def test_an_agents_ports_on_loopback_are_those_of_its_urls() -> None:
    """Wherever they stand in its parameters; another host gives none."""
    given = {
        "url": "http://127.0.0.1:8000/decide",
        "experts": ['http{url="http://localhost:8001"}', {"url": "http://[::1]:8002/v1"}],
        "bare": ("https://localhost", "HTTP://127.0.0.1/"),
        "others": ["http://localhost.example:8003", "http://192.0.2.1:8004", 8005, None, ""],
        "too_high": "http://127.0.0.1:123456/",
    }
    assert find_ports(given) == {8000, 8001, 8002, 443, 80}


def test_loopback_is_named_with_a_port() -> None:
    """All its ports at once would let every proxy of the machine through."""
    for host in ("127.0.0.1", "localhost", "::1"):
        with pytest.raises(GuardRefused, match=r"write --agent-host 127\.0\.0\.1:PORT"):
            raise_wall([], [host])


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
