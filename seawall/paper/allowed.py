"""The allow-list: where paper trading may send a request, by exchange, market and mode.

A request that matches no route of its session's venue is refused before a socket opens. Hosts are
compared as text, not as patterns: what is not written here letter by letter does not exist. Paths
are patterns that must match in full. No route leads to withdrawals, transfers or key management.

Source: the endpoints and switches of ccxt 4.5.90, each client built and asked for its URLs.
Left out: exchanges whose sandbox is a header that public calls do not carry (bitget), whose
sandbox client also has production URLs for what it needs (gemini), and those without a sandbox.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from seawall.paper.errors import GuardRefused

Market = Literal["spot", "perpetual"]
Mode = Literal["shadow", "sandbox", "local"]
Switch = Literal["", "sandbox", "demo"]

_READ = frozenset({"GET"})
_TRADE = frozenset({"GET", "POST", "PUT", "DELETE"})


@dataclass(frozen=True, kw_only=True)
class Route:
    """One family of addresses.

    Attributes:
        scheme: ``https`` or ``wss``; ``http`` and ``ws`` on loopback only.
        host: lower case, compared as text.
        port: ``None``: the scheme's own.
        path: a regular expression; the path without the query must match it in full.
        methods: those that are allowed.
    """

    scheme: Literal["https", "wss", "http", "ws"]
    host: str
    path: str
    port: int | None = None
    methods: frozenset[str] = _READ


@dataclass(frozen=True, kw_only=True)
class Venue:
    """One supported (exchange, market, mode), and everything its requests may be.

    Attributes:
        exchange, market, mode: its name; ``exchange`` is what a recipe says.
        ccxt_id: the client's class in ccxt.
        switch: how ccxt is told: ``set_sandbox_mode``, ``enable_demo_trading`` or nothing.
        routes: where requests may go.
        headers: what every request must carry, by lower-case name; not streams: theirs is
            another host.
        harmless: further headers a shadow request may carry, lower case.
        settings: what the client is built with, beside keys.
    """

    exchange: str
    market: Market
    mode: Mode
    ccxt_id: str
    routes: tuple[Route, ...]
    switch: Switch = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    harmless: frozenset[str] = frozenset()
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return ``"binance spot sandbox"``."""
        return f"{self.exchange} {self.market} {self.mode}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return all hosts that its routes name, sorted."""
        return tuple(sorted({route.host for route in self.routes}))


def _rest(host: str, *paths: str) -> tuple[Route, ...]:
    return tuple(Route(scheme="https", host=host, path=path, methods=_TRADE) for path in paths)


def _public(host: str, *paths: str) -> tuple[Route, ...]:
    return tuple(Route(scheme="https", host=host, path=path) for path in paths)


def _stream(host: str, path: str) -> Route:
    return Route(scheme="wss", host=host, path=path)


_SPOT_ONLY = {"options": {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}}}
_LINEAR_ONLY = {"options": {"fetchMarkets": {"types": ["linear"]}}}
_SWAP = {"options": {"defaultType": "swap"}}
_SPOT = {"options": {"defaultType": "spot"}}

_BINANCE_READS = (
    r"(ping|time|exchangeInfo|klines|depth|aggTrades|trades|ticker/(24hr|bookTicker|price))"
)
_BINANCE_FUTURES_READS = (
    r"(ping|time|exchangeInfo|klines|markPriceKlines|depth|aggTrades|trades|premiumIndex|"
    r"fundingRate|fundingInfo|ticker/(24hr|bookTicker|price))"
)
_BYBIT_READS = (
    r"/v5/market/(time|instruments-info|kline|mark-price-kline|tickers|orderbook|recent-trade|"
    r"funding/history|risk-limit)"
)
_OKX_READS = (
    r"/api/v5/public/(time|instruments|funding-rate|funding-rate-history|mark-price|position-tiers)",
    (
        r"/api/v5/market/(candles|history-candles|mark-price-candles|"
        r"history-mark-price-candles|ticker|tickers|books|trades)"
    ),
)
_BYBIT_TESTNET = (
    *_rest(
        "api-testnet.bybit.com",
        r"/v5/(market|order|position|execution)/[a-z/-]+",
        r"/v5/account/(info|wallet-balance|fee-rate|transaction-log|set-margin-mode)",
        r"/v5/user/query-api",
        r"/v5/asset/coin/query-info",
    ),
    _stream("stream-testnet.bybit.com", r"/v5/(public/(spot|linear)|private|trade)"),
)
_OKX_DEMO = (
    *_rest(
        "www.okx.com",
        *_OKX_READS,
        r"/api/v5/trade/[a-z-]+",
        r"/api/v5/account/(balance|positions|config|bills|leverage-info|set-leverage|trade-fee|"
        r"max-size|set-position-mode)",
        r"/api/v5/asset/currencies",
    ),
    Route(scheme="wss", host="wspap.okx.com", port=443, path=r"/ws/v5/(public|private|business)"),
)
_DEMO_HEADER = {"x-simulated-trading": "1"}

_SANDBOXES = (
    Venue(
        exchange="binance",
        market="spot",
        mode="sandbox",
        ccxt_id="binance",
        switch="sandbox",
        settings=_SPOT_ONLY,
        routes=(
            *_rest("testnet.binance.vision", r"/api/v3/[A-Za-z0-9/]+"),
            _stream("stream.testnet.binance.vision", r"/(ws(/\w+)?|stream)"),
            _stream("ws-api.testnet.binance.vision", r"/ws-api/v3"),
        ),
    ),
    Venue(
        exchange="binance",
        market="perpetual",
        mode="sandbox",
        ccxt_id="binanceusdm",
        switch="demo",
        settings=_LINEAR_ONLY,
        routes=(
            *_rest("demo-fapi.binance.com", r"/fapi/v[123]/[A-Za-z0-9/]+"),
            _stream("fstream.binancefuture.com", r"/((public|market|private)/)?ws(/\w+)?"),
        ),
    ),
    Venue(
        exchange="bybit",
        market="spot",
        mode="sandbox",
        ccxt_id="bybit",
        switch="sandbox",
        settings=_SPOT,
        routes=_BYBIT_TESTNET,
    ),
    Venue(
        exchange="bybit",
        market="perpetual",
        mode="sandbox",
        ccxt_id="bybit",
        switch="sandbox",
        settings=_SWAP,
        routes=_BYBIT_TESTNET,
    ),
    Venue(
        exchange="okx",
        market="spot",
        mode="sandbox",
        ccxt_id="okx",
        switch="sandbox",
        settings=_SPOT,
        headers=_DEMO_HEADER,
        routes=_OKX_DEMO,
    ),
    Venue(
        exchange="okx",
        market="perpetual",
        mode="sandbox",
        ccxt_id="okx",
        switch="sandbox",
        settings=_SWAP,
        headers=_DEMO_HEADER,
        routes=_OKX_DEMO,
    ),
    Venue(
        exchange="krakenfutures",
        market="perpetual",
        mode="sandbox",
        ccxt_id="krakenfutures",
        switch="sandbox",
        routes=(
            *_rest(
                "demo-futures.kraken.com",
                r"/derivatives/api/v[34]/(instruments|tickers(/\w+)?|orderbook|history|accounts|"
                r"openpositions|openorders|fills|orders/status|sendorder|editorder|batchorder|"
                r"cancelorder|cancelallorders|cancelallordersafter|leveragepreferences|"
                r"historicalfundingrates)",
                r"/api/(charts|history)/v[123]/[A-Za-z0-9/_-]+",
            ),
            _stream("demo-futures.kraken.com", r"/ws/v1"),
        ),
    ),
    Venue(
        exchange="deribit",
        market="perpetual",
        mode="sandbox",
        ccxt_id="deribit",
        switch="sandbox",
        settings=_SWAP,
        routes=(
            *_rest(
                "test.deribit.com",
                r"/api/v2/public/[a-z_]+",
                r"/api/v2/private/(buy|sell|edit|cancel(_\w+)?|get_(?!deposit|withdraw|transfer|"
                r"current_deposit)\w+)",
            ),
            _stream("test.deribit.com", r"/ws/api/v2"),
        ),
    ),
    Venue(
        exchange="hyperliquid",
        market="perpetual",
        mode="sandbox",
        ccxt_id="hyperliquid",
        switch="sandbox",
        settings=_SWAP,
        routes=(
            *_rest("api.hyperliquid-testnet.xyz", r"/(info|exchange)"),
            _stream("api.hyperliquid-testnet.xyz", r"/ws"),
        ),
    ),
    Venue(
        exchange="coinbaseexchange",
        market="spot",
        mode="sandbox",
        ccxt_id="coinbaseexchange",
        switch="sandbox",
        routes=_rest(
            "api-public.sandbox.exchange.coinbase.com",
            r"/(products|orders|fills|accounts|currencies|time|fees)(/[A-Za-z0-9_:-]+)*",
        ),
    ),
)

_SHADOWS = (
    Venue(
        exchange="binance",
        market="spot",
        mode="shadow",
        ccxt_id="binance",
        settings=_SPOT_ONLY,
        routes=_public("api.binance.com", rf"/api/v3/{_BINANCE_READS}"),
    ),
    Venue(
        exchange="binance",
        market="perpetual",
        mode="shadow",
        ccxt_id="binanceusdm",
        settings=_LINEAR_ONLY,
        routes=_public("fapi.binance.com", rf"/fapi/v1/{_BINANCE_FUTURES_READS}"),
    ),
    Venue(
        exchange="bybit",
        market="spot",
        mode="shadow",
        ccxt_id="bybit",
        settings=_SPOT,
        routes=_public("api.bybit.com", _BYBIT_READS),
    ),
    Venue(
        exchange="bybit",
        market="perpetual",
        mode="shadow",
        ccxt_id="bybit",
        settings=_SWAP,
        routes=_public("api.bybit.com", _BYBIT_READS),
    ),
    Venue(
        exchange="okx",
        market="spot",
        mode="shadow",
        ccxt_id="okx",
        settings=_SPOT,
        routes=_public("www.okx.com", *_OKX_READS),
    ),
    Venue(
        exchange="okx",
        market="perpetual",
        mode="shadow",
        ccxt_id="okx",
        settings=_SWAP,
        routes=_public("www.okx.com", *_OKX_READS),
    ),
    Venue(
        exchange="kraken",
        market="spot",
        mode="shadow",
        ccxt_id="kraken",
        routes=_public(
            "api.kraken.com", r"/0/public/(AssetPairs|Assets|Time|OHLC|Ticker|Depth|Trades)"
        ),
    ),
    Venue(
        exchange="krakenfutures",
        market="perpetual",
        mode="shadow",
        ccxt_id="krakenfutures",
        routes=_public(
            "futures.kraken.com",
            r"/derivatives/api/v3/(instruments|tickers(/\w+)?|orderbook|history)",
            r"/derivatives/api/v4/historicalfundingrates",
            r"/api/charts/v1/(trade|mark|spot)/\w+/\w+",
        ),
    ),
    Venue(
        exchange="coinbaseexchange",
        market="spot",
        mode="shadow",
        ccxt_id="coinbaseexchange",
        routes=_public(
            "api.exchange.coinbase.com",
            r"/(time|currencies|products(/[A-Z0-9-]+(/(candles|ticker|book|trades|stats))?)?)",
        ),
    ),
    Venue(
        exchange="deribit",
        market="perpetual",
        mode="shadow",
        ccxt_id="deribit",
        settings=_SWAP,
        routes=_public(
            "www.deribit.com",
            r"/api/v2/public/(get_instruments|get_time|get_currencies|get_tradingview_chart_data|"
            r"ticker|get_order_book|get_funding_rate_value|get_funding_rate_history|"
            r"get_last_trades_by_instrument)",
        ),
    ),
)

VENUES: tuple[Venue, ...] = _SANDBOXES + _SHADOWS
FUTURES_TRIED = ("binance",)  # whose sandbox's futures account can be read; beside our own exchange


def is_served(venue: Venue) -> bool:
    """Whether a session can run there: routes alone do not read a futures account."""
    is_account = venue.mode == "sandbox" and venue.market == "perpetual"
    return not is_account or venue.exchange in FUTURES_TRIED


def find_venue(exchange: str, market: Market, mode: Mode) -> Venue:
    """Return the venue of that name.

    Raises:
        GuardRefused: it is not supported; the message lists what is.
    """
    for venue in VENUES:
        if (venue.exchange, venue.market, venue.mode) == (exchange, market, mode):
            return venue
    raise GuardRefused(
        f"paper trading needs a tested exchange, market and mode, is {exchange!r} {market!r} "
        f"{mode!r}: choose one of {list_supported(mode)}, or the local exchange"
    )


def list_supported(mode: str, venues: Iterable[Venue] = VENUES) -> str:
    """Return ``"binance spot, binance perpetual, ..."`` of one mode; of all where it is unknown."""
    modes = {venue.mode for venue in venues}
    named = [f"{v.exchange} {v.market}" for v in venues if v.mode == mode and is_served(v)]
    if mode in modes:
        return ", ".join(named)
    return ", ".join(v.name for v in venues if is_served(v))
