"""Spot market data: ``/api/v3``, what needs no key.

Source: Binance spot, market data endpoints; weights as documented.
"""

import json
from collections.abc import Callable

from seawall.errors import RecipeError
from seawall.sandbox.call import Call, Route, Routes
from seawall.sandbox.decimals import to_text
from seawall.sandbox.exchange import Exchange
from seawall.sandbox.filters import describe
from seawall.sandbox.market import Market
from seawall.sandbox.market_views import (
    aggregate_of,
    best_of,
    day_of,
    depth_of,
    find_prints,
    kline_page,
    rates_of,
    span_of,
    trade_of,
)
from seawall.sandbox.refusals import illegal, invalid_symbol, missing
from seawall.sandbox.spot_json import PREVENTION, JsonDict
from seawall.units import DAY_MS, MINUTE_MS, to_duration_ms

ORDER_TYPES = (
    *("LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT"),
    *("TAKE_PROFIT", "TAKE_PROFIT_LIMIT"),
)
_MANY = 100
_MOST_DEPTH = 5_000
_LONGEST_WINDOW_MS = 7 * DAY_MS


def time(_exchange: Exchange, call: Call) -> object:
    """Answer with the exchange's time."""
    return {"serverTime": call.now_ms}


def ping(_exchange: Exchange, _call: Call) -> object:
    """Answer that the exchange is there."""
    return {}


def exchange_info(exchange: Exchange, call: Call) -> object:
    """Answer with the markets and their filters."""
    return {
        "timezone": "UTC",
        "serverTime": call.now_ms,
        "rateLimits": rates_of(exchange, "spot"),
        "exchangeFilters": [],
        "symbols": [_describe(market) for market in _chosen(exchange, call)],
    }


def depth(exchange: Exchange, call: Call) -> object:
    """Answer with the order book."""
    book = exchange.book(_market(exchange, call))
    return depth_of(book, call.limit(100, _MOST_DEPTH))


def trades(exchange: Exchange, call: Call) -> object:
    """Answer with the market's last trades."""
    found = find_prints(_market(exchange, call), call, default=500)
    return [trade_of(one) | {"isBestMatch": True} for one in found]


def agg_trades(exchange: Exchange, call: Call) -> object:
    """Answer with aggregate trades; each print of the market is one."""
    found = find_prints(_market(exchange, call), call, default=500)
    return [aggregate_of(one) | {"M": True} for one in found]


def klines(exchange: Exchange, call: Call) -> bytes:
    """Answer with klines, the last of them perhaps still forming."""
    return kline_page(_market(exchange, call), call)


def average_price(exchange: Exchange, call: Call) -> object:
    """Answer with the average price of the last five minutes; here the last price."""
    market = _market(exchange, call)
    return {"mins": 5, "price": to_text(market.price), "closeTime": market.last.time_ms}


def ticker_day(exchange: Exchange, call: Call) -> object:
    """Answer with the last 24 hours."""
    return _one_or_all(exchange, call, lambda market: _spot_day_of(exchange, market))


def ticker_window(exchange: Exchange, call: Call) -> object:
    """Answer with the last hours or days, ``windowSize``, of the markets that are named."""
    text = call.params.get("windowSize", "1d")
    try:
        span_ms = to_duration_ms(text)
    except RecipeError:
        span_ms = 0
    if not MINUTE_MS <= span_ms <= _LONGEST_WINDOW_MS:
        raise illegal("windowSize", "1m-59m, 1h-23h, 1d-7d")
    if not {"symbol", "symbols"} & call.params.keys():
        raise missing("symbol")
    return _one_or_all(exchange, call, lambda market: span_of(market, span_ms))


def ticker_today(exchange: Exchange, call: Call) -> object:
    """Answer with the present day of UTC of the markets that are named."""
    if not {"symbol", "symbols"} & call.params.keys():
        raise missing("symbol")
    span_ms = call.now_ms % DAY_MS + 1
    return _one_or_all(exchange, call, lambda market: span_of(market, span_ms))


def ticker_price(exchange: Exchange, call: Call) -> object:
    """Answer with the last price."""
    return _one_or_all(
        exchange,
        call,
        lambda market: {"symbol": market.code, "price": to_text(market.price)},
    )


def ticker_book(exchange: Exchange, call: Call) -> object:
    """Answer with the best bid and ask."""
    return _one_or_all(
        exchange, call, lambda market: {"symbol": market.code, **best_of(exchange, market)}
    )


def _spot_day_of(exchange: Exchange, market: Market) -> JsonDict:
    """Return the last 24 hours, with bid and ask: by these clients know that it is spot."""
    shown = day_of(market)
    return shown | {"prevClosePrice": shown["openPrice"], **best_of(exchange, market)}


def _market(exchange: Exchange, call: Call) -> Market:
    return exchange.spot.market(call.text("symbol"))


def _chosen(exchange: Exchange, call: Call) -> list[Market]:
    """Return the markets that a request names, all where it names none."""
    if "symbol" in call.params:
        return [_market(exchange, call)]
    if "symbols" not in call.params:
        return list(exchange.spot.markets.values())
    try:
        names = json.loads(call.params["symbols"])
    except ValueError:
        raise illegal(
            "symbols", '^\\[("[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}){0,1}\\]$'
        ) from None
    if not isinstance(names, list):
        raise invalid_symbol()
    return [exchange.spot.market(str(name)) for name in names]


def _one_or_all(exchange: Exchange, call: Call, make: Callable[[Market], JsonDict]) -> object:
    """Return what is made of the market that is named, or a list for several."""
    made = [make(market) for market in _chosen(exchange, call)]
    return made[0] if "symbol" in call.params else made


def _describe(market: Market) -> JsonDict:
    return {
        "symbol": market.code,
        "status": "BREAK" if market.is_over else "TRADING",
        "baseAsset": market.base,
        "baseAssetPrecision": 8,
        "quoteAsset": market.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": list(ORDER_TYPES),
        "icebergAllowed": False,
        "ocoAllowed": True,
        "otoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": describe(market.terms),
        "permissions": ["SPOT"],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": PREVENTION,
        "allowedSelfTradePreventionModes": [PREVENTION],
    }


def _depth_weight(call: Call) -> int:
    limit = call.integer("limit") or 100
    return next(
        (weight for most, weight in ((100, 5), (500, 25), (1000, 50)) if limit <= most), 250
    )


def _day_weight(call: Call) -> int:
    if "symbol" in call.params:
        return 2
    n = call.params["symbols"].count(",") + 1 if "symbols" in call.params else _MANY + 1
    return 2 if n <= 20 else 40 if n <= _MANY else 80  # noqa: PLR2004 - Binance's table


def _price_weight(call: Call) -> int:
    return 2 if "symbol" in call.params else 4


_KLINES = Route(klines, 2)
ROUTES: Routes = {
    ("GET", "/api/v3/ping"): Route(ping),
    ("GET", "/api/v3/time"): Route(time, 0),
    ("GET", "/api/v3/exchangeInfo"): Route(exchange_info, 20),
    ("GET", "/api/v3/depth"): Route(depth, _depth_weight),
    ("GET", "/api/v3/trades"): Route(trades, 25),
    ("GET", "/api/v3/historicalTrades"): Route(trades, 25, "key"),
    ("GET", "/api/v3/aggTrades"): Route(agg_trades, 4),
    ("GET", "/api/v3/klines"): _KLINES,
    ("GET", "/api/v3/uiKlines"): _KLINES,
    ("GET", "/api/v3/avgPrice"): Route(average_price, 2),
    ("GET", "/api/v3/ticker/24hr"): Route(ticker_day, _day_weight),
    ("GET", "/api/v3/ticker"): Route(ticker_window, 4),
    ("GET", "/api/v3/ticker/tradingDay"): Route(ticker_today, 4),
    ("GET", "/api/v3/ticker/price"): Route(ticker_price, _price_weight),
    ("GET", "/api/v3/ticker/bookTicker"): Route(ticker_book, _price_weight),
}
