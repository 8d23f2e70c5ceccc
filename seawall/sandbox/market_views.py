"""What spot and perpetuals say of a market alike: klines, trades, tickers, depth, limits.

Each product adds what only it has. Source: Binance, market data endpoints.
"""

from typing import Protocol

from seawall.sandbox.book import Book
from seawall.sandbox.call import MOST_ROWS, Call
from seawall.sandbox.decimals import ONE, float_to_text, to_text
from seawall.sandbox.exchange import Exchange
from seawall.sandbox.klines import Kline, KlineTable
from seawall.sandbox.market import Market, Product
from seawall.sandbox.spot_json import JsonDict
from seawall.sandbox.tape import Print
from seawall.units import DAY_MS, HOUR_MS


class Charted(Protocol):
    """What has klines."""

    def klines(self, interval: str) -> KlineTable:
        """Return the table of an interval."""

    def forming(self, interval: str) -> Kline:
        """Return the kline in progress."""


def kline_page(market: Charted, call: Call, *, most: int = MOST_ROWS) -> bytes:
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


def find_prints(market: Market, call: Call, *, default: int) -> list[Print]:
    """Return trades: from a number, in a window of time, or the last ones."""
    limit = call.limit(default, MOST_ROWS)
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


def trade_of(one: Print) -> JsonDict:
    """Return a print as ``trades`` shows it."""
    return {
        "id": one.number,
        "price": to_text(one.price),
        "qty": to_text(one.quantity),
        "quoteQty": to_text(one.price * one.quantity // ONE),
        "time": one.time_ms,
        "isBuyerMaker": one.is_buyer_maker,
    }


def aggregate_of(one: Print) -> JsonDict:
    """Return a print as ``aggTrades`` shows it: each is an aggregate trade."""
    return {
        "a": one.number,
        "p": to_text(one.price),
        "q": to_text(one.quantity),
        "f": one.number,
        "l": one.number,
        "T": one.time_ms,
        "m": one.is_buyer_maker,
    }


def depth_of(book: Book, limit: int) -> JsonDict:
    """Return the first levels of an order book."""
    bids, asks = book.quotes()
    return {
        "lastUpdateId": book.update_id,
        "bids": [[to_text(price), to_text(size)] for price, size in bids[:limit]],
        "asks": [[to_text(price), to_text(size)] for price, size in asks[:limit]],
    }


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


def day_of(market: Market) -> JsonDict:
    """Return the last 24 hours of a market, without what tells spot from perpetuals."""
    return span_of(market, DAY_MS) | {"lastQty": to_text(market.last.quantity)}


def span_of(market: Market, span_ms: int) -> JsonDict:
    """Return what has happened in a market in a time up to now."""
    day = market.day(span_ms)
    return {
        "symbol": market.code,
        **changes(day),
        "lastPrice": float_to_text(day.close),
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


def rates_of(exchange: Exchange, product: Product) -> list[JsonDict]:
    """Return the limits of requests and orders as a product's ``exchangeInfo`` lists them."""
    limits = exchange.settings.limits_of(product)
    if limits is None:
        return []
    orders = [_rate("ORDERS", one.interval, one.n, one.most) for one in limits.orders]
    return [_rate("REQUEST_WEIGHT", "MINUTE", 1, limits.weight_per_minute), *orders]


def _rate(kind: str, interval: str, n: int, limit: int) -> JsonDict:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": n, "limit": limit}


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
