"""Stream events of spot, as Binance sends them: of the market, and of an account's orders.

Source: Binance spot, WebSocket streams and user data stream.
"""

from collections.abc import Callable

from seawall.sandbox.accounts import Account
from seawall.sandbox.decimals import float_to_text, to_text
from seawall.sandbox.exchange import Exchange
from seawall.sandbox.klines import Kline
from seawall.sandbox.market import Market
from seawall.sandbox.market_views import aggregate_of, best_of, changes
from seawall.sandbox.order_lists import OrderList
from seawall.sandbox.orders import Order, Trade
from seawall.sandbox.spot_json import PREVENTION, JsonDict, listed
from seawall.sandbox.tape import Print

Build = Callable[[Exchange, Market, Print], JsonDict]


def agg_trade(exchange: Exchange, market: Market, one: Print) -> JsonDict:
    """Return a print as an aggregate trade."""
    return {
        "e": "aggTrade",
        "E": exchange.event_ms,
        "s": market.code,
        **aggregate_of(one),
        "M": True,
    }


def trade(exchange: Exchange, market: Market, one: Print) -> JsonDict:
    """Return a print as a single trade."""
    return {
        "e": "trade",
        "E": exchange.event_ms,
        "s": market.code,
        "t": one.number,
        "p": to_text(one.price),
        "q": to_text(one.quantity),
        "T": one.time_ms,
        "m": one.is_buyer_maker,
        "M": True,
    }


def kline(exchange: Exchange, market: Market, interval: str, *, is_closed: bool) -> JsonDict:
    """Return the kline in progress, or the one that has just closed."""
    now: Kline = market.forming(interval)
    return {
        "e": "kline",
        "E": exchange.event_ms,
        "s": market.code,
        "k": {
            "t": now.open_ms,
            "T": now.close_ms,
            "s": market.code,
            "i": interval,
            "f": now.first_number,
            "L": now.last_number,
            "o": float_to_text(now.open),
            "c": float_to_text(now.close),
            "h": float_to_text(now.high),
            "l": float_to_text(now.low),
            "v": float_to_text(now.volume),
            "n": now.n_trades,
            "x": is_closed,
            "q": f"{now.quote_volume:.8f}",
            "V": f"{now.taker_base:.8f}",
            "Q": f"{now.taker_quote:.8f}",
            "B": "0",
        },
    }


def mini_ticker(exchange: Exchange, market: Market, _one: Print) -> JsonDict:
    """Return the last 24 hours without bid and ask."""
    day = market.day()
    return {
        "e": "24hrMiniTicker",
        "E": exchange.event_ms,
        "s": market.code,
        "c": float_to_text(day.close),
        "o": float_to_text(day.open),
        "h": float_to_text(day.high),
        "l": float_to_text(day.low),
        "v": f"{day.volume:.8f}",
        "q": f"{day.quote_volume:.8f}",
    }


def ticker(exchange: Exchange, market: Market, one: Print) -> JsonDict:
    """Return the last 24 hours with bid and ask."""
    day, best = market.day(), best_of(exchange, market)
    move = changes(day)
    return mini_ticker(exchange, market, one) | {
        "e": "24hrTicker",
        "p": move["priceChange"],
        "P": move["priceChangePercent"],
        "w": move["weightedAvgPrice"],
        "x": float_to_text(day.open),
        "Q": to_text(one.quantity),
        "b": best["bidPrice"],
        "B": best["bidQty"],
        "a": best["askPrice"],
        "A": best["askQty"],
        "O": day.open_ms,
        "C": exchange.event_ms,
        "F": day.first_number,
        "L": day.last_number,
        "n": day.n_trades,
    }


def book_ticker(exchange: Exchange, market: Market, _one: Print) -> JsonDict:
    """Return best bid and ask; on spot this event has no type and no time."""
    best = best_of(exchange, market)
    return {
        "u": exchange.book(market).update_id,
        "s": market.code,
        "b": best["bidPrice"],
        "B": best["bidQty"],
        "a": best["askPrice"],
        "A": best["askQty"],
    }


BUILDERS: dict[str, Build] = {
    "aggTrade": agg_trade,
    "trade": trade,
    "miniTicker": mini_ticker,
    "ticker": ticker,
    "bookTicker": book_ticker,
}


def execution_report(
    event_ms: int, account: Account, order: Order, kind: str, done: Trade | None
) -> JsonDict:
    """Return what happened to an order; ``kind`` is NEW, TRADE, CANCELED, EXPIRED and so on."""
    is_canceled = kind == "CANCELED"
    report: JsonDict = {
        "e": "executionReport",
        "E": event_ms,
        "s": order.code,
        "c": f"cancel{order.code}{order.order_id:09d}" if is_canceled else order.client_id,
        "C": order.client_id if is_canceled else "",
        "x": kind,
        "X": order.status,
        "r": "NONE",
        "g": order.list_id,
        "I": account.number * 10**9 + order.order_id,
        "V": PREVENTION,
        **_order_fields(order),
        **_trade_fields(done),
    }
    if order.is_working:
        report["W"] = order.working_ms
    return report


def _order_fields(order: Order) -> JsonDict:
    """Return what a report says of the order as it is."""
    return {
        "S": order.side,
        "o": order.type,
        "f": order.time_in_force,
        "q": to_text(order.quantity),
        "p": to_text(order.price),
        "P": to_text(order.stop_price),
        "F": "0.00000000",
        "i": order.order_id,
        "z": to_text(order.filled),
        "Z": to_text(order.filled_quote),
        "Q": to_text(order.quote_quantity),
        "T": order.update_ms,
        "O": order.time_ms,
        "w": order.is_open and order.is_working,
    }


def _trade_fields(done: Trade | None) -> JsonDict:
    """Return what a report says of a fill, zeros where there is none."""
    return {
        "l": to_text(done.quantity if done else 0),
        "L": to_text(done.price if done else 0),
        "Y": to_text(done.quote if done else 0),
        "n": to_text(done.fee if done else 0),
        "N": done.fee_asset if done else None,
        "t": done.trade_id if done else -1,
        "m": bool(done and done.is_maker),
        "M": False,
    }


def list_status(event_ms: int, made: OrderList) -> JsonDict:
    """Return that a list of orders has begun, or is over."""
    shown = listed(made)
    return {
        "e": "listStatus",
        "E": event_ms,
        "s": made.code,
        "g": made.number,
        "c": shown["contingencyType"],
        "l": shown["listStatusType"],
        "L": shown["listOrderStatus"],
        "r": "NONE",
        "C": made.client_id,
        "T": event_ms,
        "O": [{"s": leg.code, "i": leg.order_id, "c": leg.client_id} for leg in made.legs],
    }


def account_position(event_ms: int, account: Account, assets: tuple[str, ...]) -> JsonDict:
    """Return the balances of the assets that an order has touched."""
    return {
        "e": "outboundAccountPosition",
        "E": event_ms,
        "u": account.update_ms or event_ms,
        "U": account.update_ms or event_ms,
        "B": [
            {
                "a": asset,
                "f": to_text(account.balance(asset).free),
                "l": to_text(account.balance(asset).locked),
            }
            for asset in assets
        ],
    }


def depth_changes(before: dict[int, int], now: dict[int, int]) -> list[list[str]]:
    """Return the levels whose size has changed, 0 for those that are gone."""
    changed = {price: size for price, size in now.items() if before.get(price) != size}
    changed |= dict.fromkeys(before.keys() - now.keys(), 0)
    return [[to_text(price), to_text(size)] for price, size in sorted(changed.items())]
