"""Stream events of perpetuals, as Binance sends them: of the market, and of an account.

Source: Binance USD-M futures, WebSocket market streams and user data streams.
"""

from collections.abc import Callable

from seawall.sandbox.algo import AlgoOrder
from seawall.sandbox.decimals import money_to_text, to_text
from seawall.sandbox.exchange import Exchange
from seawall.sandbox.linear_desk import LinearDesk
from seawall.sandbox.linear_json import average_of
from seawall.sandbox.linear_market_api import premium_of
from seawall.sandbox.market import Market
from seawall.sandbox.order_margin import find_exposure
from seawall.sandbox.orders import Order, Trade
from seawall.sandbox.seat import Seat
from seawall.sandbox.spot_events import (
    agg_trade,
    book_ticker,
    mini_ticker,
    ticker,
    trade,
)
from seawall.sandbox.spot_json import PREVENTION, JsonDict
from seawall.sandbox.tape import Print
from seawall.venues.perpetual import layout, margin

Build = Callable[[Exchange, Market, Print], JsonDict]
_ONLY_SPOT = ("M",)
_ONLY_SPOT_TICKER = ("b", "B", "a", "A", "x")


def linear_agg_trade(exchange: Exchange, market: Market, one: Print) -> JsonDict:
    """Return a print as an aggregate trade."""
    return _without(agg_trade(exchange, market, one), _ONLY_SPOT)


def linear_trade(exchange: Exchange, market: Market, one: Print) -> JsonDict:
    """Return a print as a single trade."""
    return _without(trade(exchange, market, one), _ONLY_SPOT) | {"X": "MARKET"}


def linear_ticker(exchange: Exchange, market: Market, one: Print) -> JsonDict:
    """Return the last 24 hours; here without bid and ask."""
    return _without(ticker(exchange, market, one), _ONLY_SPOT_TICKER)


def linear_book_ticker(exchange: Exchange, market: Market, one: Print) -> JsonDict:
    """Return best bid and ask, here with type and time."""
    times = {"T": one.time_ms, "E": exchange.event_ms}
    return {"e": "bookTicker", **book_ticker(exchange, market, one), **times}


def mark_price(exchange: Exchange, market: Market, _one: Print) -> JsonDict:
    """Return mark, index and funding."""
    premium = premium_of(exchange, market)
    return {
        "e": "markPriceUpdate",
        "E": exchange.event_ms,
        "s": market.code,
        "p": premium["markPrice"],
        "ap": premium["markPrice"],
        "i": premium["indexPrice"],
        "P": premium["estimatedSettlePrice"],
        "r": premium["lastFundingRate"],
        "T": premium["nextFundingTime"],
    }


BUILDERS: dict[str, Build] = {
    "aggTrade": linear_agg_trade,
    "trade": linear_trade,
    "miniTicker": mini_ticker,
    "ticker": linear_ticker,
    "bookTicker": linear_book_ticker,
    "markPrice": mark_price,
}


def order_update(
    event_ms: int, order: Order, kind: str, done: Trade | None, exposure: tuple[float, float]
) -> JsonDict:
    """Return what happened to an order; ``exposure``: what open bids and asks are worth."""
    shown: JsonDict = {
        "s": order.code,
        "c": order.client_id,
        "S": order.side,
        "o": order.type,
        "f": order.time_in_force,
        "q": to_text(order.quantity),
        "p": to_text(order.price),
        "ap": average_of(order),
        "sp": to_text(order.stop_price),
        "x": kind,
        "X": order.status,
        "i": order.order_id,
        "l": to_text(done.quantity if done else 0),
        "z": to_text(order.filled),
        "L": to_text(done.price if done else 0),
        "T": order.update_ms,
        "t": done.trade_id if done else 0,
        "b": money_to_text(exposure[0]),
        "a": money_to_text(exposure[1]),
        "m": bool(done and done.is_maker),
        "R": order.is_reduce_only,
        "wt": "CONTRACT_PRICE",
        "ot": order.original_type,
        "ps": "BOTH",
        "cp": order.closes_all,
        "rp": to_text(done.realised if done else 0),
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": PREVENTION,
        "pm": "NONE",
        "gtd": 0,
    }
    if done is not None:
        shown |= {"n": to_text(done.fee), "N": done.fee_asset}
    return {"e": "ORDER_TRADE_UPDATE", "E": event_ms, "T": order.update_ms, "o": shown}


def algo_update(event_ms: int, algo: AlgoOrder, status: str, became: Order | None) -> JsonDict:
    """Return what happened to a conditional order; ``became``: the order that it has become."""
    shown: JsonDict = {
        "caid": algo.client_id,
        "aid": algo.algo_id,
        "at": "CONDITIONAL",
        "o": algo.type,
        "s": algo.code,
        "S": algo.side,
        "ps": "BOTH",
        "f": algo.time_in_force,
        "q": to_text(algo.quantity),
        "X": status,
        "ai": str(algo.order_id or ""),
        "tp": to_text(algo.trigger_price),
        "p": to_text(algo.price),
        "V": PREVENTION,
        "wt": algo.working_type,
        "pm": "NONE",
        "cp": algo.closes_all,
        "pP": False,
        "R": algo.is_reduce_only,
        "tt": algo.trigger_ms,
        "gtd": 0,
        "rm": algo.reason,
    }
    if became is not None:
        filled = to_text(became.filled)
        shown |= {"ap": average_of(became), "aq": filled, "act": became.type}
    return {"e": "ALGO_UPDATE", "T": algo.update_ms, "E": event_ms, "o": shown}


def account_update(
    event_ms: int, desk: LinearDesk, seat: Seat, reason: str, rows: tuple[int, ...]
) -> JsonDict:
    """Return the wallet and the positions of some rows, and why they have changed."""
    wallet: JsonDict = {
        "a": desk.asset,
        "wb": money_to_text(seat.money),
        "cw": money_to_text(float(seat.wallet[layout.WALLET])),
        "bc": "0",
    }
    positions = [_position_of(desk, seat, row) for row in rows]
    data: JsonDict = {"m": reason, "B": [wallet], "P": positions}
    return {"e": "ACCOUNT_UPDATE", "E": event_ms, "T": event_ms, "a": data}


def config_update(event_ms: int, code: str, leverage: int) -> JsonDict:
    """Return a market's new leverage."""
    changed = {"s": code, "l": leverage}
    return {"e": "ACCOUNT_CONFIG_UPDATE", "E": event_ms, "T": event_ms, "ac": changed}


def force_order(event_ms: int, order: Order) -> JsonDict:
    """Return a liquidation as everybody sees it."""
    return {
        "e": "forceOrder",
        "E": event_ms,
        "o": {
            "s": order.code,
            "S": order.side,
            "o": order.type,
            "f": order.time_in_force,
            "q": to_text(order.quantity),
            "p": to_text(order.price),
            "ap": average_of(order),
            "X": order.status,
            "l": to_text(order.filled),
            "z": to_text(order.filled),
            "T": order.update_ms,
        },
    }


def exposure_of(desk: LinearDesk, seat: Seat, code: str) -> tuple[float, float]:
    """Return what the open bids and asks of a market are worth."""
    row = desk.rows[code]
    found = find_exposure(seat, row, code, float(desk.marks[row]))
    return found.bids, found.asks


def _position_of(desk: LinearDesk, seat: Seat, row: int) -> JsonDict:
    mark = float(desk.marks[row])
    unrealised = 0.0
    if seat.held(row):
        unrealised = margin.find_unrealised(seat.positions, row, mark)
    entry = money_to_text(float(seat.positions[row, layout.ENTRY]))
    return {
        "s": desk.codes[row],
        "pa": to_text(seat.held(row)),
        "ep": entry,
        "bep": entry,
        "cr": "0",
        "up": money_to_text(unrealised),
        "mt": "isolated" if seat.is_isolated(row) else "cross",
        "iw": money_to_text(float(seat.positions[row, layout.MARGIN])),
        "ps": "BOTH",
        "ma": desk.asset,
    }


def _without(event: JsonDict, names: tuple[str, ...]) -> JsonDict:
    return {name: value for name, value in event.items() if name not in names}
