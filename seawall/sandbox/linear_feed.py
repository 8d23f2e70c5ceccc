"""The channels of perpetuals: market events per print, and an account's orders and money."""

from seawall.sandbox.algo import AlgoOrder
from seawall.sandbox.depth_feed import DEPTH, DepthFeed
from seawall.sandbox.exchange import Exchange
from seawall.sandbox.linear_events import (
    BUILDERS,
    account_update,
    algo_update,
    config_update,
    exposure_of,
    force_order,
    order_update,
)
from seawall.sandbox.listen_keys import ListenKey
from seawall.sandbox.market import Market, Product
from seawall.sandbox.orders import Order, Trade
from seawall.sandbox.seat import Income, Seat
from seawall.sandbox.spot_events import kline
from seawall.sandbox.spot_json import JsonDict
from seawall.sandbox.streams import Connection, Hub
from seawall.sandbox.tape import Print

_CADENCES = ("@100ms", "@250ms", "@500ms", "@1s", "@3s")
_FORCED, _KLINE = "forceOrder", "kline_"


class LinearFeed:
    """Makes the events of the streams of perpetuals."""

    product: Product = "linear"
    everyone: tuple[str, ...] = (
        *("!miniTicker@arr", "!ticker@arr", "!bookTicker"),
        *("!markPrice@arr", "!markPrice@arr@1s", "!forceOrder@arr"),
    )

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._depth = DepthFeed(exchange)

    def split(self, name: str) -> tuple[str, str]:
        """Return the market's code and the channel of a stream."""
        code, _, channel = name.partition("@")
        for cadence in _CADENCES:
            channel = channel.removesuffix(cadence)
        return code.upper(), channel

    def has(self, market: Market, channel: str) -> bool:
        """Return whether a market has a channel."""
        if channel.startswith(_KLINE):
            return channel.removeprefix(_KLINE) in market.intervals()
        if channel.startswith(DEPTH):
            return self._depth.has(channel)
        return channel in BUILDERS or channel == _FORCED

    def begin(self, market: Market, channel: str) -> None:
        """Note from which book on the changes count."""
        if channel == DEPTH:
            self._depth.begin(market)

    def event(self, market: Market, channel: str, one: Print | None) -> JsonDict | None:
        """Return what a channel says now, None where it says nothing."""
        if channel.startswith(_KLINE):
            interval = channel.removeprefix(_KLINE)
            if one is None and market.forming(interval).close_ms + 1 != market.close_ms:
                return None
            return kline(self._exchange, market, interval, is_closed=one is None)
        if one is None or channel == _FORCED:  # that comes when somebody is liquidated
            return None
        if channel in {"aggTrade", "trade"} and not one.quantity:
            return None
        if channel.startswith(DEPTH):
            return self._depth.linear(market, channel)
        return BUILDERS[channel](self._exchange, market, one)

    def wrap(self, _number: int, event: JsonDict) -> JsonDict:
        """Return an account's event as it is sent: as it is."""
        return event


class UserStreams:
    """Tells accounts of what the desk does, as long as their listen keys live."""

    def __init__(self, exchange: Exchange, hub: Hub) -> None:
        self._exchange, self._hub = exchange, hub
        self._opened: dict[str, list[Connection]] = {}  # by listen key
        exchange.linear.tell.witnesses.append(self)
        exchange.listen_keys.on_expired.append(self._expire)
        exchange.listen_keys.on_closed.append(self._close)

    def open(self, connection: Connection, text: str) -> bool:
        """Send an account's events to a connection; return whether there is such a key."""
        key = self._exchange.listen_keys.find(text)
        if key is None:
            return False
        waiting = [one for one in self._opened.get(text, []) if one in self._hub.connections]
        self._opened[text] = [*waiting, connection]
        self._hub.listen(connection, key.account)
        return True

    def on_order(self, seat: Seat, order: Order, kind: str, trade: Trade | None) -> None:
        """Tell of an order; of a liquidation everybody."""
        now_ms, desk = self._exchange.event_ms, self._exchange.linear
        if kind == "CALCULATED":
            event = force_order(now_ms, order)
            self._hub.announce(desk.markets[order.code], _FORCED, event)
        if self._is_heard(seat):
            exposure = exposure_of(desk, seat, order.code)
            self._hub.tell(seat.owner, order_update(now_ms, order, kind, trade, exposure))

    def on_algo(self, seat: Seat, algo: AlgoOrder, status: str) -> None:
        """Tell of a conditional order."""
        if self._is_heard(seat):
            became = seat.history(algo.code).orders.get(algo.order_id)
            event = algo_update(self._exchange.event_ms, algo, status, became)
            self._hub.tell(seat.owner, event)

    def on_account(self, seat: Seat, reason: str, rows: tuple[int, ...]) -> None:
        """Tell of a wallet and positions."""
        if not self._is_heard(seat):
            return
        now_ms, desk = self._exchange.event_ms, self._exchange.linear
        if reason == "LEVERAGE":
            for row in rows:
                event = config_update(now_ms, desk.codes[row], seat.leverage(row))
                self._hub.tell(seat.owner, event)
            return
        self._hub.tell(seat.owner, account_update(now_ms, desk, seat, reason, rows))

    def on_income(self, seat: Seat, income: Income) -> None:
        """Say nothing: the wallet's event does."""

    def _is_heard(self, seat: Seat) -> bool:
        self._exchange.listen_keys.expire(self._exchange.event_ms)
        return self._hub.is_heard(seat.name)

    def _expire(self, key: ListenKey, time_ms: int) -> None:
        event: JsonDict = {"e": "listenKeyExpired", "E": time_ms, "listenKey": key.text}
        self._hub.tell(key.account, event)
        for connection in self._opened.pop(key.text, []):
            self._hub.leave(connection)

    def _close(self, key: ListenKey, _time_ms: int) -> None:
        for connection in self._opened.pop(key.text, []):
            self._hub.leave(connection)
            connection.end("close")


def open_linear_hub(exchange: Exchange) -> tuple[Hub, UserStreams]:
    """Return the hub of perpetuals and what opens user streams on it."""
    hub = Hub(exchange, LinearFeed(exchange))
    return hub, UserStreams(exchange, hub)
