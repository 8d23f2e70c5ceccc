"""From fills to closed trades: a trade lasts from flat to flat."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from seawall.fill import Fill
from seawall.metrics import ClosedTrade

_DUST = 1e-9  # a position smaller than this share of the trade's size is flat


def closed_trades(fills: Iterable[Fill], held: dict[str, float] | None = None) -> list[ClosedTrade]:
    """Return the round trips that fills make, in the order in which they ended.

    A trade opens when the position leaves zero and closes when it is back there, or crosses it:
    then the fill is split between the old trade and the new. Entry and exit prices are averages
    weighted by quantity.

    Args:
        fills: in the order in which they happened.
        held: base units owned before the first fill, by symbol, < 0 short. They have no entry
            here, so what ends them closes no trade.
    """
    holdings = dict(held or {})
    open_trades: dict[str, _OpenTrade] = {}
    closed: list[ClosedTrade] = []
    for fill in fills:
        rest = fill.quantity
        gift = holdings.get(fill.symbol, 0.0)
        if gift * rest < 0:
            used = min(abs(gift), abs(rest)) * (1.0 if rest > 0 else -1.0)
            holdings[fill.symbol] = gift + used
            rest -= used
        while abs(rest) > _DUST * abs(fill.quantity):
            trade = open_trades.setdefault(fill.symbol, _OpenTrade(fill.symbol))
            rest -= trade.take(fill, rest)
            if trade.is_flat:
                closed.append(open_trades.pop(fill.symbol).close())
    return closed


@dataclass
class _OpenTrade:
    """A trade under way; quantities in base units, values in quote units, both unsigned."""

    symbol: str
    sign: float = 0.0
    entered: float = 0.0
    exited: float = 0.0
    entry_value: float = 0.0
    exit_value: float = 0.0
    fees: float = 0.0
    entry_ms: int = 0
    exit_ms: int = 0
    is_flat: bool = field(default=False)

    def take(self, fill: Fill, quantity: float) -> float:
        """Add as much of ``quantity`` as belongs to this trade, and return that."""
        if self.sign == 0.0:
            self.sign = 1.0 if quantity > 0 else -1.0
            self.entry_ms = fill.time_ms
        if quantity * self.sign > 0:
            self.entered += abs(quantity)
            self.entry_value += abs(quantity) * fill.price
            taken = quantity
        else:
            taken = -self.sign * min(abs(quantity), self.entered - self.exited)
            self.exited += abs(taken)
            self.exit_value += abs(taken) * fill.price
            self.exit_ms = fill.time_ms
            self.is_flat = self.entered - self.exited <= _DUST * self.entered
            if self.is_flat:
                taken = quantity if abs(quantity - taken) <= _DUST * self.entered else taken
        self.fees += fill.fee * abs(taken / fill.quantity)
        return taken

    def close(self) -> ClosedTrade:
        """Return the finished trade."""
        pnl = self.sign * (self.exit_value - self.entry_value) - self.fees
        return ClosedTrade(
            symbol=self.symbol,
            entry_ms=self.entry_ms,
            exit_ms=self.exit_ms,
            quantity=self.sign * self.entered,
            entry_price=self.entry_value / self.entered,
            exit_price=self.exit_value / self.exited,
            pnl=pnl,
            fees=self.fees,
            return_fraction=pnl / self.entry_value,
        )
