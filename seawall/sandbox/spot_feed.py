"""The channels of spot: market events per print, and an account's orders and balances."""

from seawall.sandbox.accounts import Account
from seawall.sandbox.depth_feed import DEPTH, DepthFeed
from seawall.sandbox.exchange import Exchange
from seawall.sandbox.market import Market, Product
from seawall.sandbox.order_lists import OrderList
from seawall.sandbox.orders import Order, Trade
from seawall.sandbox.spot_events import (
    BUILDERS,
    account_position,
    execution_report,
    kline,
    list_status,
)
from seawall.sandbox.spot_json import JsonDict
from seawall.sandbox.streams import Hub
from seawall.sandbox.tape import Print

_CADENCES = ("@100ms", "@1000ms")


class SpotFeed:
    """Makes the events of spot streams."""

    product: Product = "spot"
    everyone: tuple[str, ...] = ("!miniTicker@arr", "!ticker@arr", "!bookTicker")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._depth = DepthFeed(exchange)

    def split(self, name: str) -> tuple[str, str]:
        """Return the market's code and the channel of a stream."""
        code, _, channel = name.partition("@")
        for cadence in _CADENCES:
            channel = channel.removesuffix(cadence) if channel.startswith(DEPTH) else channel
        return code.upper(), channel

    def has(self, market: Market, channel: str) -> bool:
        """Return whether a market has a channel."""
        if channel.startswith("kline_"):
            return channel.removeprefix("kline_") in market.intervals()
        if channel.startswith(DEPTH):
            return self._depth.has(channel)
        return channel in BUILDERS

    def begin(self, market: Market, channel: str) -> None:
        """Note from which book on the changes count."""
        if channel == DEPTH:
            self._depth.begin(market)

    def event(self, market: Market, channel: str, one: Print | None) -> JsonDict | None:
        """Return what a channel says now, None where it says nothing."""
        if channel.startswith("kline_"):
            interval = channel.removeprefix("kline_")
            if one is None and market.forming(interval).close_ms + 1 != market.close_ms:
                return None
            return kline(self._exchange, market, interval, is_closed=one is None)
        if one is None or (channel in {"aggTrade", "trade"} and not one.quantity):
            return None
        if channel == DEPTH:
            return self._depth.changes(market)
        if channel.startswith(DEPTH):
            return self._depth.partial(market, channel)
        return BUILDERS[channel](self._exchange, market, one)

    def wrap(self, number: int, event: JsonDict) -> JsonDict:
        """Return an account's event as the WebSocket API sends it."""
        return {"subscriptionId": number, "event": event}


def open_spot_hub(exchange: Exchange) -> Hub:
    """Return the hub of spot, which hears of every order from now on."""
    hub = Hub(exchange, SpotFeed(exchange))

    def report(account: Account, order: Order, kind: str, trade: Trade | None) -> None:
        if not hub.is_heard(account.name):
            return
        market, now_ms = exchange.spot.markets[order.code], exchange.event_ms
        hub.tell(account, execution_report(now_ms, account, order, kind, trade))
        hub.tell(account, account_position(now_ms, account, (market.base, market.quote)))

    def report_list(account: Account, made: OrderList) -> None:
        hub.tell(account, list_status(exchange.event_ms, made))

    exchange.spot.reports.append(report)
    exchange.spot.list_reports.append(report_list)
    return hub
