"""The allow-list: each venue's own client stays on it, and production is on none of a sandbox."""

import asyncio
import re
from contextlib import suppress
from typing import Any

import aiohttp
import ccxt
import pytest
import requests
from requests.adapters import HTTPAdapter

from seawall.paper.allowed import VENUES, Venue, find_venue
from seawall.paper.connect import connect
from seawall.paper.errors import GuardRefused

SANDBOXES = [venue for venue in VENUES if venue.mode == "sandbox"]
FAKE_KEYS = {
    "apiKey": "TESTNET-key",
    "secret": "c2VjcmV0LXNlY3JldC1zZWNyZXQ=",
    "password": "x",
    "walletAddress": "0x" + "11" * 20,
    "privateKey": "0x" + "22" * 32,
}


def market_of(venue: Venue) -> dict[str, Any]:
    """Return a market as ccxt describes one, enough to ask for anything."""
    is_spot = venue.market == "spot"
    return {
        "symbol": "BTC/USDT" if is_spot else "BTC/USDT:USDT", "id": "BTCUSDT", "base": "BTC",
        "lowercaseId": "btcusdt", "baseName": "BTC",
        "quote": "USDT", "baseId": "BTC", "quoteId": "USDT", "type": "spot" if is_spot else "swap",
        "settle": None if is_spot else "USDT", "settleId": None if is_spot else "USDT",
        "spot": is_spot, "swap": not is_spot, "future": False, "option": False, "margin": False,
        "contract": not is_spot, "linear": None if is_spot else True, "active": True,
        "inverse": None if is_spot else False, "contractSize": 1.0, "limits": {}, "info": {},
        "precision": {"amount": 0.001, "price": 0.1},
    }  # fmt: skip


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[requests.PreparedRequest]:
    """Return what reaches the transport beneath the guard; every answer is ``{}``."""
    seen: list[requests.PreparedRequest] = []

    def send(_self: Any, request: requests.PreparedRequest, **_rest: Any) -> requests.Response:
        seen.append(request)
        response = requests.Response()
        response.status_code, response._content = 200, b"{}"
        response.url, response.request = str(request.url), request
        return response

    monkeypatch.setattr(HTTPAdapter, "send", send)
    return seen


def ask_for_everything(client: Any, venue: Venue) -> None:
    """Call what a trader calls; what ``{}`` breaks in ccxt's parsers does not matter here."""
    market = market_of(venue)
    symbol = market["symbol"]
    calls: list[Any] = [client.fetch_markets, client.fetch_time, client.fetch_currencies]
    with suppress(Exception):
        client.set_markets([market])
    calls += [
        lambda: client.fetch_ohlcv(symbol, "1h", limit=10),
        lambda: client.fetch_ticker(symbol),
        lambda: client.fetch_order_book(symbol),
    ]
    if venue.mode == "sandbox":
        calls += [
            client.fetch_balance,
            lambda: client.create_order(symbol, "limit", "buy", 1, 100.0),
            lambda: client.fetch_order("1", symbol),
            lambda: client.fetch_open_orders(symbol),
            lambda: client.cancel_order("1", symbol),
            lambda: client.fetch_my_trades(symbol),
        ]
    if venue.mode == "sandbox" and venue.market == "perpetual":
        calls += [client.fetch_positions]
    client.enableRateLimit = False
    for call in calls:
        try:
            call()
        except GuardRefused:
            raise
        except Exception:  # noqa: BLE001, S112 - a parser that was given {}
            continue


@pytest.mark.parametrize("venue", VENUES, ids=lambda venue: venue.name.replace(" ", "-"))
def test_a_venue_s_own_client_stays_on_its_list(
    venue: Venue, sent: list[requests.PreparedRequest]
) -> None:
    """What a trader calls passes, reaches only the listed hosts, and carries what it must."""
    client = connect(venue, FAKE_KEYS if venue.mode == "sandbox" else None)
    ask_for_everything(client, venue)
    assert len(sent) >= 4
    hosts = {str(request.url).split("/")[2] for request in sent}
    assert hosts <= set(venue.hosts)
    for request in sent:
        for name, value in venue.headers.items():
            assert request.headers[name] == value
        if venue.mode == "shadow":
            assert request.method == "GET"
    assert client.guard.refusals == []


@pytest.mark.parametrize("venue", SANDBOXES, ids=lambda venue: venue.name.replace(" ", "-"))
def test_without_its_switch_a_client_is_refused(
    venue: Venue, sent: list[requests.PreparedRequest]
) -> None:
    """A sandbox client whose URLs are production's, or whose header is gone, sends nothing."""
    client = connect(venue, FAKE_KEYS)
    production = getattr(ccxt, venue.ccxt_id)()
    client.urls, client.headers = production.urls, {}
    client.options["sandboxMode"] = client.options["enableDemoTrading"] = False
    with pytest.raises(GuardRefused):
        ask_for_everything(client, venue)
    assert sent == []


@pytest.mark.parametrize(
    ("exchange", "market", "mode"),
    [
        ("kraken", "spot", "sandbox"),
        ("binance", "margin", "sandbox"),
        ("coinbase", "spot", "sandbox"),
        ("binance", "spot", "live"),
    ],
)
def test_what_is_not_supported_is_refused_with_the_list(
    exchange: str, market: Any, mode: Any
) -> None:
    """An unknown exchange, market or mode is told what there is."""
    with pytest.raises(GuardRefused, match="binance spot"):
        find_venue(exchange, market, mode)


def test_an_exchange_that_cannot_switch_is_refused() -> None:
    """Where ``set_sandbox_mode`` raises, ccxt stays on production URLs: the client is not used."""
    bad = Venue(
        exchange="kraken",
        market="spot",
        mode="sandbox",
        ccxt_id="kraken",
        switch="sandbox",
        routes=(),
    )
    with pytest.raises(GuardRefused, match="cannot switch"):
        connect(bad)
    demo = Venue(
        exchange="okx", market="spot", mode="sandbox", ccxt_id="okx", switch="demo", routes=()
    )
    with pytest.raises(GuardRefused, match="cannot switch"):
        connect(demo)


def test_no_sandbox_shares_a_route_with_production() -> None:
    """A host that production uses too needs a header that makes it a sandbox."""
    shadows = {host for venue in VENUES if venue.mode == "shadow" for host in venue.hosts}
    for venue in VENUES:
        if venue.mode == "sandbox" and not venue.headers:
            assert not shadows & set(venue.hosts)


@pytest.mark.parametrize(
    "word", ["withdraw", "transfer", "apikey", "sub-account", "deposit", "internal_transfer"]
)
def test_no_route_leads_to_money_leaving(word: str) -> None:
    """Withdrawals and transfers are on no list (where paths say what they do)."""
    paths = [
        f"/api/v5/asset/{word}", f"/v5/asset/{word}/create", f"/sapi/v1/{word}/apply",
        f"/api/v2/private/{word}", f"/derivatives/api/v3/{word}", f"/{word}s/crypto",
        "/derivatives/api/v3/withdrawal", "/v5/user/create-sub-api",
    ]  # fmt: skip
    for venue in VENUES:
        for route in venue.routes:
            for path in paths:
                assert not re.fullmatch(route.path, path), (venue.name, path)


@pytest.mark.parametrize("venue", VENUES, ids=lambda venue: venue.name.replace(" ", "-"))
@pytest.mark.slow
def test_an_asynchronous_client_gets_to_its_socket(
    venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The headers that aiohttp adds are no reason to refuse; what the guard admits goes on."""
    reached: list[str] = []

    async def connection(_self: Any, request: Any, *_rest: Any) -> Any:
        reached.append(request.url.host)
        raise aiohttp.ClientConnectionError("reached")

    monkeypatch.setattr(aiohttp.TCPConnector, "connect", connection)

    async def main() -> None:
        client = connect(venue, FAKE_KEYS if venue.mode == "sandbox" else None, flavour="pro")
        client.timeout_on_exit = 1
        with suppress(Exception):
            await client.fetch_time()
        with suppress(Exception):
            await client.fetch_markets()
        assert client.guard.refusals == []
        if venue.mode == "sandbox":
            streams = [route for route in venue.routes if route.scheme == "wss"]
            assert streams or venue.exchange == "coinbaseexchange"
        await client.close()

    asyncio.run(main())
    assert reached
    assert set(reached) <= set(venue.hosts)


@pytest.mark.parametrize("venue", SANDBOXES, ids=lambda venue: venue.name.replace(" ", "-"))
@pytest.mark.slow
def test_a_sandbox_s_own_streams_are_on_its_list(
    venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ccxt.pro opens for a ticker goes through, to the sandbox's own stream."""
    if venue.exchange == "coinbaseexchange":
        pytest.skip("its streams are not on the list: it is asked by REST")
    reached: list[str] = []

    async def connection(_self: Any, request: Any, *_rest: Any) -> Any:
        reached.append(request.url.host)
        raise aiohttp.ClientConnectionError("reached")

    monkeypatch.setattr(aiohttp.TCPConnector, "connect", connection)

    async def main() -> None:
        client = connect(venue, FAKE_KEYS, flavour="pro")
        client.timeout_on_exit = 1
        client.set_markets([market_of(venue)])
        for method in (client.watch_ticker, client.watch_order_book, client.watch_trades):
            with suppress(Exception):
                await asyncio.wait_for(method(market_of(venue)["symbol"]), 1)
        assert client.guard.refusals == []
        await client.close()

    asyncio.run(main())
    assert set(reached) <= set(venue.hosts)
    assert reached
