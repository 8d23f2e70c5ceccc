"""Spot market data: ``/api/v3``, what needs no key.

Source: Binance spot, market data endpoints; weights as documented.
"""

import json
from collections.abc import Callable
from typing import Protocol

from seawall.sandbox.call import Call, Route, Routes
from seawall.sandbox.decimals import ONE, float_to_text, to_text
from seawall.sandbox.exchange import Exchange
from seawall.sandbox.filters import describe
from seawall.sandbox.klines import Kline, KlineTable
from seawall.sandbox.market import Market
from seawall.sandbox.refusals import illegal, invalid_symbol
from seawall.sandbox.spot_json import PREVENTION, JsonDict
from seawall.sandbox.tape import Print
from seawall.units import HOUR_MS

ORDER_TYPES = (
    *("LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT"),
    *("TAKE_PROFIT", "TAKE_PROFIT_LIMIT"),
)
_MANY = 100
_MOST_KLINES = 1_000
_MOST_DEPTH = 5_000


class Charted(Protocol):
    """What has klines."""

    def klines(self, interval: str) -> KlineTable:
        """Return the table of an interval."""

    def forming(self, interval: str) -> Kline:
        """Return the kline in progress."""


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
        "rateLimits": rates_of(exchange),
        "exchangeFilters": [],
        "symbols": [_describe(market) for market in _chosen(exchange, call)],
    }


def rates_of(exchange: Exchange) -> list[JsonDict]:
    """Return the limits of requests and orders as ``exchangeInfo`` lists them."""
    limits = exchange.settings.limits
    if limits is None:
        return []
    return [
        _rate("REQUEST_WEIGHT", "MINUTE", 1, limits.weight_per_minute),
        _rate("ORDERS", "SECOND", 10, limits.orders_per_ten_seconds),
        _rate("ORDERS", "DAY", 1, limits.orders_per_day),
    ]


def depth(exchange: Exchange, call: Call) -> object:
    """Answer with the order book."""
    book = exchange.book(_market(exchange, call))
    limit = call.limit(100, _MOST_DEPTH)
    bids, asks = book.quotes()
    return {
        "lastUpdateId": book.update_id,
        "bids": [[to_text(price), to_text(size)] for price, size in bids[:limit]],
        "asks": [[to_text(price), to_text(size)] for price, size in asks[:limit]],
    }


def trades(exchange: Exchange, call: Call) -> object:
    """Answer with the market's last trades."""
    found = find_prints(_market(exchange, call), call, default=500)
    return [
        {
            "id": one.number,
            "price": to_text(one.price),
            "qty": to_text(one.quantity),
            "quoteQty": to_text(one.price * one.quantity // ONE),
            "time": one.time_ms,
            "isBuyerMaker": one.is_buyer_maker,
            "isBestMatch": True,
        }
        for one in found
    ]


def agg_trades(exchange: Exchange, call: Call) -> object:
    """Answer with aggregate trades; each print of the market is one."""
    found = find_prints(_market(exchange, call), call, default=500)
    return [
        {
            "a": one.number,
            "p": to_text(one.price),
            "q": to_text(one.quantity),
            "f": one.number,
            "l": one.number,
            "T": one.time_ms,
            "m": one.is_buyer_maker,
            "M": True,
        }
        for one in found
    ]


def klines(exchange: Exchange, call: Call) -> bytes:
    """Answer with klines, the last of them perhaps still forming."""
    return kline_page(_market(exchange, call), call)


def kline_page(market: Charted, call: Call, *, most: int = _MOST_KLINES) -> bytes:
    """Return one page of a market's or a mark's klines as JSON.

    From ``startTime`` the first ones, without it the last ones up to ``endTime``.
    """
    interval, limit = call.text("interval"), call.limit(500, most)
    table = market.klines(interval)
    since_ms, until_ms = call.integer("startTime"), call.integer("endTime")
    forming = market.forming(interval)
    n_known = int(table.open_ms.searchsorted(forming.open_ms))  # the last of them is forming
    last_ms = forming.open_ms if until_ms is None else until_ms
    stop = min(n_known + 1, int(table.open_ms.searchsorted(last_ms, "right")))
    start = 0 if since_ms is None else int(table.open_ms.searchsorted(since_ms))
    if since_ms is None:
        start = max(0, stop - limit)
    stop = min(stop, start + limit)
    rows = table.rows(start, min(stop, n_known)) if stop > start else []
    if stop > max(n_known, start):
        rows.append(forming.to_row())
    return b"[" + b",".join(rows) + b"]"


def average_price(exchange: Exchange, call: Call) -> object:
    """Answer with the average price of the last five minutes; here the last price."""
    market = _market(exchange, call)
    return {"mins": 5, "price": to_text(market.price), "closeTime": market.last.time_ms}


def ticker_day(exchange: Exchange, call: Call) -> object:
    """Answer with the last 24 hours."""
    return _one_or_all(exchange, call, lambda market: day_of(exchange, market))


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


def best_of(exchange: Exchange, market: Market) -> JsonDict:
    """Return best bid and ask with their sizes; zeros where a side is empty."""
    bids, asks = exchange.book(market).quotes()
    bid, ask = (side[0] if side else (0, 0) for side in (bids, asks))
    return {
        "bidPrice": to_text(bid[0]),
        "bidQty": to_text(bid[1]),
        "askPrice": to_text(ask[0]),
        "askQty": to_text(ask[1]),
    }


def day_of(exchange: Exchange, market: Market) -> JsonDict:
    """Return the last 24 hours of a market as ``ticker/24hr`` shows them."""
    day = market.day()
    last = market.last
    return {
        "symbol": market.code,
        **changes(day),
        "prevClosePrice": float_to_text(day.open),
        "lastPrice": float_to_text(day.close),
        "lastQty": to_text(last.quantity),
        **best_of(exchange, market),
        "openPrice": float_to_text(day.open),
        "highPrice": float_to_text(day.high),
        "lowPrice": float_to_text(day.low),
        "volume": f"{day.volume:.8f}",
        "quoteVolume": f"{day.quote_volume:.8f}",
        "openTime": day.open_ms,
        "closeTime": day.close_ms,
        "firstId": day.first_number,
        "lastId": day.last_number,
        "count": day.n_trades,
    }


def changes(day: Kline) -> JsonDict:
    """Return how far a price has moved, and its average weighted by volume."""
    move = day.close - day.open
    average = day.quote_volume / day.volume if day.volume > 0 else day.close
    return {
        "priceChange": f"{move:.8f}",
        "priceChangePercent": f"{100 * move / day.open:.3f}",
        "weightedAvgPrice": f"{average:.8f}",
    }


def find_prints(market: Market, call: Call, *, default: int) -> list[Print]:
    """Return trades: from a number, in a window of time, or the last ones."""
    limit = call.limit(default, _MOST_KLINES)
    first = call.integer("fromId")
    since_ms, until_ms = call.integer("startTime"), call.integer("endTime")
    if first is not None:
        return _forward(market, first // market.tape.n_prints, limit, first=first)
    if since_ms is not None:
        bar = max(0, market.bar_at(since_ms))
        last_ms = until_ms if until_ms is not None else since_ms + HOUR_MS
        found = _forward(market, bar, limit, since_ms=since_ms)
        return [one for one in found if one.time_ms <= last_ms]
    last_ms = call.now_ms if until_ms is None else until_ms
    collected: list[Print] = []
    bar = market.bar_at(last_ms)
    while bar >= 0 and len(collected) < limit:
        known = [one for one in market.prints_of(bar) if one.quantity and one.time_ms <= last_ms]
        collected = known + collected
        bar -= 1
    return collected[-limit:]


def _forward(
    market: Market, bar: int, limit: int, *, first: int = 0, since_ms: int = 0
) -> list[Print]:
    found: list[Print] = []
    while bar <= market.bar and len(found) < limit:
        found += [
            one
            for one in market.prints_of(bar)
            if one.quantity and one.number >= first and one.time_ms >= since_ms
        ]
        bar += 1
    return found[:limit]


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


def _rate(kind: str, interval: str, n: int, limit: int) -> JsonDict:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": n, "limit": limit}


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
        "ocoAllowed": False,
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
    ("GET", "/api/v3/time"): Route(time),
    ("GET", "/api/v3/exchangeInfo"): Route(exchange_info, 20),
    ("GET", "/api/v3/depth"): Route(depth, _depth_weight),
    ("GET", "/api/v3/trades"): Route(trades, 25),
    ("GET", "/api/v3/historicalTrades"): Route(trades, 25, "key"),
    ("GET", "/api/v3/aggTrades"): Route(agg_trades, 4),
    ("GET", "/api/v3/klines"): _KLINES,
    ("GET", "/api/v3/uiKlines"): _KLINES,
    ("GET", "/api/v3/avgPrice"): Route(average_price, 2),
    ("GET", "/api/v3/ticker/24hr"): Route(ticker_day, _day_weight),
    ("GET", "/api/v3/ticker/price"): Route(ticker_price, _price_weight),
    ("GET", "/api/v3/ticker/bookTicker"): Route(ticker_book, _price_weight),
}
