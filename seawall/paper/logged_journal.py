"""The journal of a running session: what is written into it is a line of the log too.

Orders as they are intended and change, fills, and all notes: refusals, pauses, differences, what
the kill switch did, liquidations, faults. A line follows its entry; a journal that cannot be
written has no line.
"""

from collections.abc import Iterable

from seawall.paper.journal import PaperJournal
from seawall.paper.log import SessionLog
from seawall.paper.order import OrderIntent, OrderNews, TradeFill

_WISHES = ("price", "stop_price", "reason")  # those of an order that are told where they are given


class LoggedJournal(PaperJournal):
    """A journal that a session writes.

    Attributes:
        log: of the session; ``None`` before it is open.
        is_shadow: whether fills and liquidations are in the log already, as the engine notes them.
    """

    log: SessionLog | None = None
    is_shadow = False

    def note(self, time_ms: int, kind: str, text: str) -> None:
        """Note anything in words."""
        super().note(time_ms, kind, text)
        if not (self.is_shadow and kind == "liquidated"):
            self._write_line(kind, time_ms, text=text)

    def intend(self, intent: OrderIntent, time_ms: int) -> None:
        """Write an order down, before it is sent."""
        super().intend(intent, time_ms)
        wishes = {name: getattr(intent, name) for name in _WISHES if getattr(intent, name)}
        self._write_line(
            "order", time_ms, client_id=intent.client_id, state="intended", symbol=intent.symbol,
            side=intent.side, type=intent.type, quantity=intent.quantity,
            reduce_only=intent.reduce_only, **wishes,
        )  # fmt: skip

    def tell(self, client_id: str, news: OrderNews, time_ms: int) -> bool:
        """Write what the exchange says of an order; return whether it was news."""
        is_new = super().tell(client_id, news, time_ms)
        if is_new:
            self._write_state(client_id, news, time_ms)
        return is_new

    def correct(self, client_id: str, news: OrderNews, time_ms: int) -> None:
        """Write what the exchange says against what was known."""
        super().correct(client_id, news, time_ms)
        self._write_state(client_id, news, time_ms)

    def add_fills(self, fills: Iterable[TradeFill]) -> list[TradeFill]:
        """Count fills, each once; return those that were new."""
        fresh = super().add_fills(fills)
        for fill in () if self.is_shadow else fresh:
            self._write_line(
                "filled", fill.time_ms, symbol=fill.symbol, side=fill.side, quantity=fill.quantity,
                price=fill.price, fee=fill.fee, fee_asset=fill.fee_asset,
                order_id=fill.exchange_order_id, trade_id=fill.trade_id,
            )  # fmt: skip
        return fresh

    def _write_state(self, client_id: str, news: OrderNews, time_ms: int) -> None:
        self._write_line(
            "order", time_ms, client_id=client_id, state=news.state, filled=news.filled,
            why=news.why,
        )  # fmt: skip

    def _write_line(self, kind: str, time_ms: int, **fields: object) -> None:
        if self.log is not None:
            self.log.write(kind, time_ms, **fields)
