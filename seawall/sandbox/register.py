"""One account's orders by their numbers and by their clients' ids; the oldest are forgotten."""

from collections import deque
from typing import Generic, Protocol, TypeVar


class Entry(Protocol):
    """What is kept: an order of any kind.

    Attributes:
        client_id: how its client calls it; a later one may be called the same.
    """

    client_id: str

    @property
    def number(self) -> int:
        """How the exchange calls it; no other of the register is called so."""


E = TypeVar("E", bound=Entry)


class Register(Generic[E]):
    """Orders that are open, and of those that are over the last ``kept``.

    Attributes:
        orders: all of them, by number; ``open``: those that are not over.
        by_client: the latest that a client has called so.
    """

    def __init__(self, kept: int) -> None:
        self.orders: dict[int, E] = {}
        self.by_client: dict[str, E] = {}
        self.open: dict[int, E] = {}
        self._closed: deque[E] = deque()
        self._kept = kept

    def add(self, order: E) -> None:
        """Take a new order."""
        self.orders[order.number] = order
        self.by_client[order.client_id] = order
        self.open[order.number] = order

    def close(self, order: E) -> None:
        """Note that an order is over, and forget the oldest beyond what is kept."""
        if self.open.pop(order.number, None) is None:
            return
        self._closed.append(order)
        if len(self._closed) > self._kept:
            oldest = self._closed.popleft()
            del self.orders[oldest.number]
            if self.by_client.get(oldest.client_id) is oldest:
                del self.by_client[oldest.client_id]

    def find(self, number: int | None, client_id: str | None) -> E | None:
        """Return an order by its number, else the latest by its client's id."""
        if number is not None:
            return self.orders.get(number)
        return self.by_client.get(client_id or "")
