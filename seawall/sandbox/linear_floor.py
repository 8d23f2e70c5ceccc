"""The futures floor: what a market's prints, and the mark beside them, do at the futures desk.

The desk takes orders and matches them; the mark then moves accounts (``linear_life``) and lets
conditional orders become orders (``linear_triggers``). Here all three follow the market.
"""

from seawall.sandbox.decimals import ONE
from seawall.sandbox.linear_desk import LinearDesk
from seawall.sandbox.linear_life import is_safe_in, live
from seawall.sandbox.linear_triggers import trigger_reached
from seawall.sandbox.market import Market
from seawall.sandbox.tape import Print
from seawall.venues.perpetual import layout


class LinearFloor:
    """The futures desk as the exchange moves it along."""

    def __init__(self, desk: LinearDesk) -> None:
        self.books, self._desk = desk.books, desk

    def on_print(self, market: Market, one: Print) -> None:
        """Let a print, and the mark beside it, do what they do: liquidate, fill, trigger."""
        desk, book = self._desk, self.books[market.code]
        book.refresh()
        live(desk, market, one)
        if not book.is_empty:
            desk.meet(market, one)
        if desk.waiting[market.code]:
            trigger_reached(desk, market, one.time_ms)

    def is_idle(self, market: Market) -> bool:
        """Return whether no account has an order or a position in a market."""
        desk = self._desk
        row = desk.rows[market.code]
        if not self.books[market.code].is_empty or desk.waiting[market.code]:
            return False
        return not any(seat.positions[row, layout.QUANTITY] for seat in desk.seats.values())

    def is_out_of_reach(self, market: Market, low: int, high: int, end_ms: int) -> bool:
        """Return whether nothing happens while the last price stays within a bar's extremes."""
        if not self.books[market.code].is_out_of_reach(low, high):
            return False
        bar = int(market.candles.time_ms.searchsorted(end_ms)) - 1
        assert market.marks is not None  # noqa: S101 - a perpetual has one
        marks = market.marks.range_of(bar)
        for algo in self._desk.waiting[market.code]:
            ends = (low, high)
            if algo.working_type == "MARK_PRICE":
                ends = int(marks[0] * ONE) - 1, int(marks[1] * ONE) + 1
            if not algo.is_waiting or algo.may_be_reached(*ends):
                return False
        return is_safe_in(self._desk, self._desk.rows[market.code], marks, end_ms)

    def refresh(self, market: Market) -> None:
        """Note that the market has moved on: book, mark, brackets, and stamps of nobody."""
        desk = self._desk
        self.books[market.code].refresh()
        row = desk.rows[market.code]
        desk.marks[row] = market.mark_price / ONE
        desk.load_brackets(row, market.last.time_ms)
        desk.n_settled[row] = desk.contracts[row].n_settled(market.last.time_ms)
