"""Order book streams: what has changed since the last update, or the first levels."""

from seawall.sandbox.decimals import to_text
from seawall.sandbox.exchange import Exchange
from seawall.sandbox.market import Market
from seawall.sandbox.spot_events import depth_changes
from seawall.sandbox.spot_json import JsonDict

DEPTH = "depth"
_PARTIAL_DEPTHS = ("5", "10", "20")
Levels = dict[int, int]


class DepthFeed:
    """Makes the depth events of one product's markets."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._sent: dict[str, tuple[int, Levels, Levels]] = {}  # depth as it was last sent

    def has(self, channel: str) -> bool:
        """Return whether there is such a channel."""
        return channel == DEPTH or channel.removeprefix(DEPTH) in _PARTIAL_DEPTHS

    def begin(self, market: Market) -> None:
        """Note from which book on the changes count."""
        self._sent[market.code] = self._levels(market)

    def changes(self, market: Market) -> JsonDict:
        """Return what has changed since the last time."""
        before, now = self._sent[market.code], self._levels(market)
        self._sent[market.code] = now
        return {
            "e": "depthUpdate",
            "E": self._exchange.event_ms,
            "s": market.code,
            "U": before[0] + 1,
            "u": now[0],
            "b": depth_changes(before[1], now[1]),
            "a": depth_changes(before[2], now[2]),
        }

    def partial(self, market: Market, channel: str) -> JsonDict:
        """Return the first levels."""
        book, n = self._exchange.book(market), int(channel.removeprefix(DEPTH))
        bids, asks = (
            [[to_text(price), to_text(size)] for price, size in side[:n]] for side in book.quotes()
        )
        return {"lastUpdateId": book.update_id, "bids": bids, "asks": asks}

    def linear(self, market: Market, channel: str) -> JsonDict:
        """Return changes or first levels as futures say them: with the update before."""
        if channel == DEPTH:
            last = self._sent[market.code][0]
            return {**self.changes(market), "T": market.last.time_ms, "pu": last}
        found = self.partial(market, channel)
        number = found["lastUpdateId"]
        return {
            "e": "depthUpdate",
            "E": self._exchange.event_ms,
            "T": market.last.time_ms,
            "s": market.code,
            "U": number,
            "u": number,
            "pu": number,
            "b": found["bids"],
            "a": found["asks"],
        }

    def _levels(self, market: Market) -> tuple[int, Levels, Levels]:
        book = self._exchange.book(market)
        bids, asks = book.quotes()
        return book.update_id, dict(bids), dict(asks)
