"""An account on paper: what another agent's answers would have brought, net of costs.

What is asked for at a decision is filled at the first open that comes after it, at fee and half the
spread, as far as the cash goes. Only target weights and market orders are carried out.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from seawall.action import Action, Order, TargetWeight
from seawall.errors import AgentError
from seawall.observation import Observation


class _Asked(NamedTuple):
    """An action that waits for the next open of its symbol."""

    time_ms: int
    action: TargetWeight | Order


class ShadowAccount:
    """Cash and coin on paper.

    Attributes:
        cash: quote units; it begins with ``1.0``: only shares matter.
        quantities: base units by symbol.
        equity: quote units at the prices that were seen last.
    """

    def __init__(self, symbols: tuple[str, ...], cost: float) -> None:
        """Begin with cash alone; ``cost`` is of the notional, each way."""
        self.cash = 1.0
        self.quantities = dict.fromkeys(symbols, 0.0)
        self.equity = 1.0
        self._cost = cost
        self._asked: dict[str, _Asked] = {}

    def settle(self, observation: Observation) -> None:
        """Fill what has met an open by now, and value the account."""
        for symbol, asked in list(self._asked.items()):
            history = observation.history(symbol)
            place = int(np.searchsorted(history.time_ms, asked.time_ms))
            if place < len(history.open):
                del self._asked[symbol]
                self._fill(symbol, asked.action, float(history.open[place]), observation)
        self.equity = self._value({s: observation.price(s) for s in self.quantities})

    def ask(self, actions: tuple[Action, ...], time_ms: int) -> None:
        """Take what an agent asks for; of one symbol the newest wish counts.

        Raises:
            AgentError: it is neither a target weight nor a market order.
        """
        for action in actions:
            is_plain = isinstance(action, TargetWeight) or (
                isinstance(action, Order) and action.type == "market"
            )
            if not (is_plain and isinstance(action, (TargetWeight, Order))):
                raise AgentError(
                    f"an expert answers target weights or market orders, not {action.kind}: "
                    "choose another expert"
                )
            self._asked[action.symbol] = _Asked(time_ms, action)

    def weights(self, observation: Observation) -> Mapping[str, float]:
        """Return the share of the equity in each symbol, as it is to be at the next open."""
        found: dict[str, float] = {}
        for symbol, quantity in self.quantities.items():
            asked = self._asked.get(symbol)
            price = observation.price(symbol)
            held = quantity
            if asked is not None and isinstance(asked.action, Order):
                held += self._size(asked.action, price)
            if asked is not None and isinstance(asked.action, TargetWeight):
                found[symbol] = asked.action.weight
            elif held == 0.0 or not self.equity > 0.0:
                found[symbol] = 0.0
            else:
                found[symbol] = min(max(held * price / self.equity, 0.0), 1.0)
        return found

    def _size(self, order: Order, price: float) -> float:
        """Return the signed quantity of a market order at a price."""
        if not price > 0.0:
            return 0.0
        size = order.quantity if order.quantity is not None else (order.cash or 0.0) / price
        return size if order.side == "buy" else -size

    def _fill(
        self, symbol: str, action: TargetWeight | Order, price: float, observation: Observation
    ) -> None:
        held = self.quantities[symbol]
        if isinstance(action, TargetWeight):
            prices = {s: observation.price(s) for s in self.quantities}
            quantity = action.weight * self._value({**prices, symbol: price}) / price - held
        else:
            quantity = self._size(action, price)
        affordable = max(self.cash, 0.0) / (price * (1.0 + self._cost))
        quantity = max(min(quantity, affordable), -held)
        self.quantities[symbol] = held + quantity
        self.cash -= quantity * price + abs(quantity) * price * self._cost

    def _value(self, prices: Mapping[str, float]) -> float:
        return self.cash + sum(q * prices[s] for s, q in self.quantities.items() if q)
