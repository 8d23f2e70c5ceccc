"""Market data of perpetuals: ``/fapi/v1`` and ``/futures/data``, what needs no key.

COIN-M futures, ``/dapi/v1``, are answered as listing nothing.

Source: Binance USD-M futures, market data endpoints; weights as documented.
Left out: open interest and long-short ratios, which are answered as empty; the index is the spot
market of the same exchange where it lists one, else the mark.
"""

from collections.abc import Callable

from seawall.market.funding import INTEREST_RATE
from seawall.sandbox.algo import ALGO_TYPES
from seawall.sandbox.call import Call, Route, Routes
from seawall.sandbox.decimals import money_to_text, to_text
from seawall.sandbox.exchange import Exchange
from seawall.sandbox.linear_filters import decimals_of, describe
from seawall.sandbox.market import Market
from seawall.sandbox.market_views import (
    aggregate_of,
    best_of,
    day_of,
    depth_of,
    find_prints,
    kline_page,
    rates_of,
    trade_of,
)
from seawall.sandbox.spot_json import JsonDict
from seawall.sandbox.spot_market_api import ping, time
from seawall.units import HOUR_MS

_MOST_KLINES = 1_500
_MOST_DEPTH = 1_000
_MOST_STAMPS = 1_000
_FOREVER_MS = 4_133_404_800_000  # when a perpetual is delivered
_BEFORE_MS = 1_569_398_400_000  # when the first was listed
PLAIN_TYPES = ("LIMIT", "MARKET")
TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "GTX", "GTD")


def exchange_info(exchange: Exchange, call: Call) -> object:
    """Answer with the markets and their filters."""
    asset = exchange.linear.asset
    return {
        "timezone": "UTC",
        "serverTime": call.now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": rates_of(exchange, "linear"),
        "exchangeFilters": [],
        "assets": [{"asset": asset, "marginAvailable": True, "autoAssetExchange": "0"}],
        "symbols": [_describe(exchange, one) for one in exchange.linear.markets.values()],
    }


def klines(exchange: Exchange, call: Call) -> bytes:
    """Answer with klines of the last price."""
    return kline_page(_market(exchange, call), call, most=_MOST_KLINES)


def mark_klines(exchange: Exchange, call: Call) -> bytes:
    """Answer with klines of the mark."""
    market = _market(exchange, call)
    return kline_page(market.marks or market, call, most=_MOST_KLINES)


def index_klines(exchange: Exchange, call: Call) -> bytes:
    """Answer with klines of the index: of the spot market, or of the mark."""
    market = exchange.linear.market(call.text("pair"))
    spot = exchange.spot.markets.get(market.code)
    return kline_page(spot or market.marks or market, call, most=_MOST_KLINES)


def continuous_klines(exchange: Exchange, call: Call) -> bytes:
    """Answer with klines of a pair's perpetual."""
    market = exchange.linear.market(call.text("pair"))
    return kline_page(market, call, most=_MOST_KLINES)


def depth(exchange: Exchange, call: Call) -> object:
    """Answer with the order book."""
    market = _market(exchange, call)
    shown = depth_of(exchange.book(market), call.limit(500, _MOST_DEPTH))
    return shown | {"E": call.now_ms, "T": market.last.time_ms}


def agg_trades(exchange: Exchange, call: Call) -> object:
    """Answer with aggregate trades; each print of the market is one."""
    found = find_prints(_market(exchange, call), call, default=500)
    return [aggregate_of(one) for one in found]


def trades(exchange: Exchange, call: Call) -> object:
    """Answer with the market's last trades."""
    found = find_prints(_market(exchange, call), call, default=500)
    return [trade_of(one) for one in found]


def ticker_day(exchange: Exchange, call: Call) -> object:
    """Answer with the last 24 hours."""
    return _one_or_all(exchange, call, day_of)


def ticker_price(exchange: Exchange, call: Call) -> object:
    """Answer with the last price."""

    def price_of(market: Market) -> JsonDict:
        price = to_text(market.price)
        return {"symbol": market.code, "price": price, "time": market.last.time_ms}

    return _one_or_all(exchange, call, price_of)


def ticker_book(exchange: Exchange, call: Call) -> object:
    """Answer with the best bid and ask."""

    def quotes_of(market: Market) -> JsonDict:
        return {
            "lastUpdateId": exchange.book(market).update_id,
            "symbol": market.code,
            **best_of(exchange, market),
            "time": market.last.time_ms,
        }

    return _one_or_all(exchange, call, quotes_of)


def premium_index(exchange: Exchange, call: Call) -> object:
    """Answer with mark, index and funding; the rate is that of the last stamp."""
    return _one_or_all(exchange, call, lambda market: premium_of(exchange, market))


def premium_of(exchange: Exchange, market: Market) -> JsonDict:
    """Return mark, index and funding of a market."""
    contract = exchange.linear.contract(market.code)
    now_ms, index = exchange.event_ms, index_of(exchange, market)
    return {
        "symbol": market.code,
        "markPrice": to_text(market.mark_price),
        "indexPrice": index,
        "estimatedSettlePrice": index,
        "lastFundingRate": money_to_text(contract.last_rate(now_ms)),
        "interestRate": money_to_text(INTEREST_RATE),
        "nextFundingTime": contract.next_stamp_ms(now_ms),
        "time": now_ms,
    }


def index_of(exchange: Exchange, market: Market) -> str:
    """Return the index price: of the spot market where there is one, else the mark."""
    spot = exchange.spot.markets.get(market.code)
    return to_text(spot.price if spot else market.mark_price)


def funding_rate(exchange: Exchange, call: Call) -> object:
    """Answer with settled funding: from a time on, or the last stamps."""
    codes = [_market(exchange, call).code] if "symbol" in call.params else exchange.linear.codes
    limit = call.limit(100, _MOST_STAMPS)
    since_ms, until_ms = call.integer("startTime"), call.integer("endTime")
    rows: list[tuple[int, JsonDict]] = []
    for code in codes:
        contract = exchange.linear.contract(code)
        last_ms = min(call.now_ms, call.now_ms if until_ms is None else until_ms)
        stop = contract.n_settled(last_ms)
        start = contract.n_settled((since_ms or 0) - 1)
        for n in range(start, stop):
            stamp_ms = int(contract.stamps_ms[n])
            at = max(int(contract.mark.time_ms.searchsorted(stamp_ms, "right")) - 1, 0)
            shown: JsonDict = {
                "symbol": code,
                "fundingTime": stamp_ms,
                "fundingRate": money_to_text(float(contract.rates[n])),
                "markPrice": money_to_text(float(contract.mark.open[at])),
            }
            rows.append((stamp_ms, shown))
    rows.sort(key=lambda row: row[0])
    found = [shown for _, shown in rows]
    return found[:limit] if since_ms is not None else found[-limit:]


def funding_info(exchange: Exchange, _call: Call) -> object:
    """Answer with the hours between two stamps."""
    return [
        {
            "symbol": code,
            "adjustedFundingRateCap": "0.02000000",
            "adjustedFundingRateFloor": "-0.02000000",
            "fundingIntervalHours": exchange.linear.contract(code).interval_ms // HOUR_MS,
            "disclaimer": False,
        }
        for code in exchange.linear.codes
    ]


def open_interest(exchange: Exchange, call: Call) -> object:
    """Answer with what the accounts of this exchange hold, long and short."""
    market = _market(exchange, call)
    row = exchange.linear.rows[market.code]
    held = sum(abs(seat.held(row)) for seat in exchange.linear.seats.values())
    return {"symbol": market.code, "openInterest": to_text(held), "time": call.now_ms}


def nothing(_exchange: Exchange, _call: Call) -> object:
    """Answer with an empty list."""
    return []


def no_markets(_exchange: Exchange, call: Call) -> object:
    """Answer that no contract is listed."""
    return {
        "timezone": "UTC",
        "serverTime": call.now_ms,
        "rateLimits": [],
        "exchangeFilters": [],
        "assets": [],
        "symbols": [],
    }


def _market(exchange: Exchange, call: Call) -> Market:
    return exchange.linear.market(call.text("symbol"))


def _one_or_all(exchange: Exchange, call: Call, make: Callable[[Market], JsonDict]) -> object:
    """Return what is made of the market that is named, or a list for all."""
    if "symbol" in call.params:
        return make(_market(exchange, call))
    return [make(market) for market in exchange.linear.markets.values()]


def _describe(exchange: Exchange, market: Market) -> JsonDict:
    terms, contract = market.terms, exchange.linear.contract(market.code)
    fee = exchange.settings.liquidation_fee_bps / 10_000
    return {
        "symbol": market.code,
        "pair": market.code,
        "contractType": "PERPETUAL",
        "deliveryDate": _FOREVER_MS,
        "onboardDate": min(_BEFORE_MS, int(market.candles.time_ms[0])),
        "status": "SETTLING" if market.is_over else "TRADING",
        "maintMarginPercent": f"{100 * contract.brackets[0].tiers[0].rate:.4f}",
        "requiredMarginPercent": f"{100 / exchange.settings.leverage:.4f}",
        "baseAsset": market.base,
        "quoteAsset": market.quote,
        "marginAsset": market.quote,
        "pricePrecision": decimals_of(terms.tick),
        "quantityPrecision": decimals_of(terms.lot),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": f"{fee:.6f}",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10_000,
        "filters": describe(terms),
        "orderTypes": [*PLAIN_TYPES, *sorted(ALGO_TYPES)],
        "timeInForce": list(TIMES_IN_FORCE[:4]),
        "permissionSets": ["GRID", "COPY"],
    }


def _depth_weight(call: Call) -> int:
    limit = call.integer("limit") or 500
    return next((weight for most, weight in ((50, 2), (100, 5), (500, 10)) if limit <= most), 20)


def _kline_weight(call: Call) -> int:
    limit = call.integer("limit") or 500
    return next((weight for most, weight in ((99, 1), (499, 2), (1000, 5)) if limit <= most), 10)


def _day_weight(call: Call) -> int:
    return 1 if "symbol" in call.params else 40


def _pair_weight(call: Call) -> int:
    return 1 if "symbol" in call.params else 2


ROUTES: Routes = {
    ("GET", "/fapi/v1/ping"): Route(ping),
    ("GET", "/fapi/v1/time"): Route(time, 0),
    ("GET", "/fapi/v1/exchangeInfo"): Route(exchange_info),
    ("GET", "/fapi/v1/depth"): Route(depth, _depth_weight),
    ("GET", "/fapi/v1/trades"): Route(trades, 5),
    ("GET", "/fapi/v1/historicalTrades"): Route(trades, 20, "key"),
    ("GET", "/fapi/v1/aggTrades"): Route(agg_trades, 20),
    ("GET", "/fapi/v1/klines"): Route(klines, _kline_weight),
    ("GET", "/fapi/v1/continuousKlines"): Route(continuous_klines, _kline_weight),
    ("GET", "/fapi/v1/markPriceKlines"): Route(mark_klines, _kline_weight),
    ("GET", "/fapi/v1/indexPriceKlines"): Route(index_klines, _kline_weight),
    ("GET", "/fapi/v1/premiumIndex"): Route(premium_index, 1),
    ("GET", "/fapi/v1/fundingRate"): Route(funding_rate, 1),
    ("GET", "/fapi/v1/fundingInfo"): Route(funding_info, 0),
    ("GET", "/fapi/v1/ticker/24hr"): Route(ticker_day, _day_weight),
    ("GET", "/fapi/v1/ticker/price"): Route(ticker_price, _pair_weight),
    ("GET", "/fapi/v2/ticker/price"): Route(ticker_price, _pair_weight),
    ("GET", "/fapi/v1/ticker/bookTicker"): Route(ticker_book, _pair_weight),
    ("GET", "/fapi/v1/openInterest"): Route(open_interest),
    ("GET", "/fapi/v1/constituents"): Route(nothing),
    ("GET", "/dapi/v1/ping"): Route(ping),
    ("GET", "/dapi/v1/time"): Route(time, 0),
    ("GET", "/dapi/v1/exchangeInfo"): Route(no_markets),
    ("GET", "/dapi/v1/premiumIndex"): Route(nothing),
    ("GET", "/dapi/v1/ticker/24hr"): Route(nothing),
    ("GET", "/dapi/v1/ticker/bookTicker"): Route(nothing),
}
for _name in (
    *("openInterestHist", "topLongShortAccountRatio", "topLongShortPositionRatio"),
    *("globalLongShortAccountRatio", "takerlongshortRatio", "basis"),
):
    ROUTES["GET", f"/futures/data/{_name}"] = Route(nothing)
