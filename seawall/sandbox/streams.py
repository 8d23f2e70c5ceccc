"""Who listens to what: subscriptions of WebSocket connections, and what is sent to them.

A hub serves one product; its feed knows the product's channels and makes their events. An event is
made once per print and channel, only where somebody listens; an account's events go to the
connections that it has opened. Everything is sent in the exchange's order of time.

Left out: the cadence of the real streams (every print is sent, not one message a second).
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple, Protocol

from seawall.sandbox.accounts import Account
from seawall.sandbox.exchange import Exchange
from seawall.sandbox.gateway import encode
from seawall.sandbox.market import Market, Product
from seawall.sandbox.spot_json import JsonDict
from seawall.sandbox.tape import Print

MOST_WAITING = 50_000  # messages; a connection that lets more pile up is dropped
Ending = Literal["close", "drop"]
ENDINGS: tuple[Ending, ...] = ("close", "drop")
Shape = Callable[[str], Iterable[str]]


class Connection:
    """One WebSocket: what waits to be sent, and how it is to end."""

    def __init__(self, *, is_combined: bool = False) -> None:
        self.is_combined = is_combined
        self.queue: asyncio.Queue[str | Ending] = asyncio.Queue()
        self.names: set[str] = set()
        self._is_given_up = False

    def send(self, text: str) -> None:
        """Put a message in line; a connection that does not read is given up."""
        if self._is_given_up:
            return
        self.queue.put_nowait(text)
        if self.queue.qsize() > MOST_WAITING:
            self._is_given_up = True
            self.end("drop")

    def end(self, how: Ending) -> None:
        """End the connection after what is in line: with a closing frame, or without a word."""
        self.queue.put_nowait(how)


class Listener(NamedTuple):
    """A connection that gets an account's events, and the number of its subscription."""

    connection: Connection
    number: int


class Feed(Protocol):
    """The channels of one product, and how its events are made.

    Attributes:
        product: whose markets it knows.
        everyone: streams that carry all markets, such as ``!ticker@arr``.
    """

    product: Product
    everyone: tuple[str, ...]

    def split(self, name: str) -> tuple[str, str]:
        """Return the market's code and the channel of a stream such as ``ethusdt@depth@100ms``."""

    def has(self, market: Market, channel: str) -> bool:
        """Return whether a market has a channel."""

    def begin(self, market: Market, channel: str) -> None:
        """Note that somebody listens to a channel now."""

    def event(self, market: Market, channel: str, one: Print | None) -> JsonDict | None:
        """Return what a channel says at a print, or at a bar's end, None where it is silent."""

    def wrap(self, number: int, event: JsonDict) -> JsonDict:
        """Return an account's event as it is sent on the subscription of that number."""


class Hub:
    """The streams of one product's markets and accounts."""

    def __init__(self, exchange: Exchange, feed: Feed) -> None:
        self.exchange, self.feed = exchange, feed
        self.connections: set[Connection] = set()
        self.shape: Shape = lambda text: (text,)  # faults double, hold back or drop messages
        self._subscribers: dict[str, dict[str, set[Connection]]] = {}  # by code, then channel
        self._everyone: dict[str, set[Connection]] = {}
        self._listeners: dict[str, list[Listener]] = {}
        self._n_subscriptions = 0
        exchange.watchers.append(self.on_print)
        exchange.audiences.append(self.is_watched)

    def is_watched(self, market: Market) -> bool:
        """Return whether anybody listens to a market."""
        if market.product != self.feed.product:
            return False
        return bool(self._everyone) or market.code in self._subscribers

    def subscribe(self, connection: Connection, name: str) -> bool:
        """Add a stream such as ``ethusdt@kline_1m``; return whether there is such a one."""
        if name in self.feed.everyone:
            self._everyone.setdefault(name, set()).add(connection)
        else:
            code, channel = self.feed.split(name)
            market = self.exchange.markets[self.feed.product].get(code)
            if market is None or not self.feed.has(market, channel):
                return False
            channels = self._subscribers.setdefault(code, {})
            if channel not in channels:
                channels[channel] = set()
                self.feed.begin(market, channel)
            channels[channel].add(connection)
        connection.names.add(name)
        return True

    def unsubscribe(self, connection: Connection, name: str) -> None:
        """Take a stream off a connection."""
        connection.names.discard(name)
        if name in self._everyone:
            self._everyone[name].discard(connection)
            if not self._everyone[name]:
                del self._everyone[name]
            return
        code, channel = self.feed.split(name)
        channels = self._subscribers.get(code, {})
        channels.get(channel, set()).discard(connection)
        if channel in channels and not channels[channel]:
            del channels[channel]
        if code in self._subscribers and not channels:
            del self._subscribers[code]

    def listen(self, connection: Connection, account: Account) -> int:
        """Send an account's events to a connection; return the subscription's number."""
        number = self._n_subscriptions
        self._n_subscriptions += 1
        self._listeners.setdefault(account.name, []).append(Listener(connection, number))
        return number

    def is_heard(self, account: str) -> bool:
        """Return whether a connection gets an account's events."""
        return account in self._listeners

    def leave(self, connection: Connection, number: int | None = None) -> None:
        """Send no more of any account's events to a connection, or none of one subscription."""
        for name, listeners in list(self._listeners.items()):
            left = [
                one
                for one in listeners
                if one.connection is not connection or number not in {None, one.number}
            ]
            if left:
                self._listeners[name] = left
            else:
                del self._listeners[name]

    def forget(self, connection: Connection) -> None:
        """Take a closed connection out of everything."""
        self.connections.discard(connection)
        for name in list(connection.names):
            self.unsubscribe(connection, name)
        self.leave(connection)

    def on_print(self, market: Market, one: Print | None) -> None:
        """Send what a print, or the end of a bar, is to those who listen."""
        if market.product != self.feed.product:
            return
        for channel, connections in list(self._subscribers.get(market.code, {}).items()):
            event = self.feed.event(market, channel, one)
            if event is not None:
                self._send(connections, f"{market.code.lower()}@{channel}", event)
        for name, connections in list(self._everyone.items()):
            channel = name.removeprefix("!").partition("@")[0]
            event = self.feed.event(market, channel, one)
            if event is not None:
                self._send(connections, name, [event] if "@arr" in name else event)

    def announce(self, market: Market, channel: str, event: JsonDict) -> None:
        """Send what happened in a market between prints to those who listen to a channel."""
        connections = self._subscribers.get(market.code, {}).get(channel, set())
        self._send(connections, f"{market.code.lower()}@{channel}", event)
        everyone = f"!{channel}@arr"
        self._send(self._everyone.get(everyone, set()), everyone, event)

    def tell(self, account: Account, event: JsonDict) -> None:
        """Send one event to an account's connections."""
        for connection, number in self._listeners.get(account.name, ()):
            for text in self.shape(encode(self.feed.wrap(number, event))):
                connection.send(text)

    def _send(self, connections: Iterable[Connection], name: str, event: object) -> None:
        for text in self.shape(encode(event)):
            for connection in connections:
                if connection.is_combined:
                    connection.send(f'{{"stream":"{name}","data":{text}}}')
                else:
                    connection.send(text)


def list_connections(hubs: Iterable[Hub]) -> list[Connection]:
    """Return every open WebSocket of some hubs."""
    return [one for hub in hubs for one in hub.connections]
