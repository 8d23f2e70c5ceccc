"""The guard: every way to production that could be thought of ends before a socket opens."""

from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from seawall.paper.allowed import find_venue
from seawall.paper.errors import GuardRefused
from seawall.paper.guard import Guard, local_venue, read_address

SPOT = find_venue("binance", "spot", "sandbox")
SHADOW = find_venue("binance", "spot", "shadow")
OKX = find_venue("okx", "spot", "sandbox")
KEYS = {"apiKey": "k" * 64, "secret": "s" * 64}
PRODUCTION = "https://api.binance.com/api/v3/time"
TESTNET = "https://testnet.binance.vision/api/v3/time"


# URLs -------------------------------------------------------------------------------------------

ODD_URLS = [
    "https://api.binance.com/api/v3/time",
    "https://testnet.binance.vision@api.binance.com/api/v3/time",
    "https://user:pw@testnet.binance.vision/api/v3/time",
    "https://TESTNET.binance.vision/api/v3/time",
    "HTTPS://testnet.binance.vision/api/v3/time",
    "https://testnet.binance.vision./api/v3/time",
    "https://testnet.binance.vision.evil.com/api/v3/time",
    "https://evil-testnet.binance.vision/api/v3/time",
    "https://testnet.binance.vision:8443/api/v3/time",
    "https://testnet.binance.vision:0443/api/v3/time",
    "https://testnet.binance.vision:/api/v3/time",
    "http://testnet.binance.vision/api/v3/time",
    "http://testnet.binance.vision:443/api/v3/time",
    "https://testnet.binance.vision\\@api.binance.com/api/v3/time",
    "https://testnet.binance.vision#@api.binance.com/api/v3/time",
    "https://api.binance.com#testnet.binance.vision/api/v3/time",
    "https://testnet.binance.vision/sapi/v1/capital/withdraw/apply",
    "https://testnet.binance.vision/api/v3/../../sapi/v1/system/status",
    "https://testnet.binance.vision/api/v3/%2e%2e/time",
    "https://testnet.binance.vision//api/v3/time",
    "https://testnet.binance.vision/api/v3/time\r\nHost: api.binance.com",
    "https://testnet.binance.vision /api/v3/time",
    " https://testnet.binance.vision/api/v3/time",
    "https://testnet.binance.vision/api/v3/time\n",
    "https://testnet。binance.vision/api/v3/time",
    "https://t\u0435stnet.binance.vision/api/v3/time",
    "https://xn--tstnet-dhe.binance.vision/api/v3/time",
    "https://[::1]/api/v3/time",
    "https://[::ffff:1.2.3.4]/api/v3/time",
    "https://1.2.3.4/api/v3/time",
    "//testnet.binance.vision/api/v3/time",
    "ftp://testnet.binance.vision/api/v3/time",
    "file:///etc/passwd",
    "",
]


@pytest.mark.parametrize("url", ODD_URLS)
def test_no_spelling_gets_past(url: str) -> None:
    """User parts, capitals, dots, ports, escapes, alphabets: refused, and noted."""
    guard = Guard(venue=SPOT)
    with pytest.raises(GuardRefused):
        guard.admit("GET", url, {})
    assert len(guard.refusals) == 1
    Guard(venue=SPOT).admit("GET", TESTNET, {})


@given(st.text(max_size=30), st.sampled_from(["before", "host", "after"]))
def test_only_the_letters_of_the_list_pass(noise: str, place: str) -> None:
    """Whatever is put before, into or behind the host, only the listed host is ever admitted."""
    url = {
        "before": f"https://{noise}testnet.binance.vision/api/v3/time",
        "host": f"https://testnet{noise}.binance.vision/api/v3/time",
        "after": f"https://testnet.binance.vision{noise}/api/v3/time",
    }[place]
    try:
        Guard(venue=SPOT).admit("GET", url, {})
    except GuardRefused:
        return
    assert (
        urlsplit(str(requests.Request("GET", url).prepare().url)).hostname
        == "testnet.binance.vision"
    )
    assert read_address(url).host == "testnet.binance.vision"


def test_a_refusal_does_not_show_the_query() -> None:
    """A signature in a refused URL is not repeated in the message."""
    guard = Guard(venue=SPOT)
    for url in ("https://api.binance.com/x?signature=abc", "https://A/x?signature=abc"):
        with pytest.raises(GuardRefused) as refusal:
            guard.admit("GET", url, {})
        assert "abc" not in str(refusal.value)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "api.binance.com"},
        {"host": "api.binance.com"},
        {"X-Forwarded-Host": "api.binance.com"},
        {"X-HTTP-Method-Override": "DELETE"},
        {"Proxy-Authorization": "x"},
    ],
)
def test_no_header_leads_elsewhere(headers: dict[str, str]) -> None:
    """A front end that routes by header is not told another host."""
    with pytest.raises(GuardRefused):
        Guard(venue=SPOT).admit("GET", TESTNET, headers)


# The shadow -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "headers", "has_body"),
    [
        ("POST", "/api/v3/order", {}, False),
        ("GET", "/api/v3/account", {}, False),
        ("GET", "/api/v3/time?timestamp=1&signature=ab", {}, False),
        ("GET", "/api/v3/time?x=1&SIGNATURE=ab", {}, False),
        ("GET", "/api/v3/time?%73ignature=ab", {}, False),
        ("GET", "/api/v3/time", {"X-MBX-APIKEY": "k"}, False),
        ("GET", "/api/v3/time", {"authorization": "k"}, False),
        ("GET", "/api/v3/time", {"Cookie": "k"}, False),
        ("GET", "/api/v3/time", {}, True),
        ("DELETE", "/api/v3/time", {}, False),
    ],
)
def test_the_shadow_only_reads_what_is_public(
    method: str,
    path: str,
    headers: dict[str, str],
    has_body: bool,  # noqa: FBT001
) -> None:
    """No signature, key, cookie or body, no other verb, no private path."""
    guard = Guard(venue=SHADOW)
    guard.admit("GET", PRODUCTION, {"User-Agent": "x"})
    with pytest.raises(GuardRefused):
        guard.admit(method, "https://api.binance.com" + path, headers, has_body=has_body)


# The local exchange -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "root",
    [
        "http://localhost:8080", "http://192.168.0.1:8080", "http://api.binance.com",
        "https://127.0.0.1:8080", "http://127.0.0.1:8080/api", "http://0.0.0.0:8080",
        "http://127.0.0.1@api.binance.com", "http://[::ffff:8.8.8.8]:80",
    ],
)  # fmt: skip
def test_the_local_exchange_is_on_loopback(root: str) -> None:
    """Only a literal loopback address is local."""
    with pytest.raises(GuardRefused):
        local_venue(root, "spot")


def test_the_local_exchange_is_one_port() -> None:
    """Another port of loopback may be a tunnel to anywhere."""
    guard = Guard(venue=local_venue("http://127.0.0.1:8080", "spot"))
    guard.admit("POST", "http://127.0.0.1:8080/api/v3/order", {"Host": "127.0.0.1:8080"})
    local_venue("http://[::1]:8080", "perpetual")
    for url in ("http://127.0.0.1:8081/api/v3/order", "http://127.0.0.2:8080/api/v3/order"):
        with pytest.raises(GuardRefused):
            guard.admit("POST", url, {})
