"""Pairs of spot orders of which one cancels the other (OCO): a profit to take and a loss to stop.

What either fills, or its trigger, ends the other. Both together lock what the more demanding one
needs: they never fill both.

Source: Binance spot, order lists.
Left out: the lists in which one order places others (OTO, OTOCO).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from seawall.sandbox.orders import STOP_TYPES, Order
from seawall.sandbox.refusals import bad_combination, rejected

_LOSSES = frozenset({"STOP_LOSS", "STOP_LOSS_LIMIT"})
_PROFITS = frozenset({"LIMIT_MAKER", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"})


@dataclass(frozen=True, kw_only=True)
class OrderList:
    """Two orders of one account in one market, the upper one first.

    Attributes:
        number: of the account's lists, from 1.
        client_id: the client's name for the list.
    """

    number: int
    client_id: str
    code: str
    time_ms: int
    legs: tuple[Order, Order]

    @property
    def is_over(self) -> bool:
        """Whether neither can fill any more."""
        return not any(leg.is_open for leg in self.legs)

    def other(self, order: Order) -> Order:
        """Return the order that ``order`` cancels."""
        return self.legs[1] if order is self.legs[0] else self.legs[0]


def read_pair(above: Order, below: Order, price: int) -> tuple[Order, Order]:
    """Return which of two orders takes the profit and which stops the loss, in this order.

    Raises:
        ApiError: they are no such orders on either side of the last price.
    """
    profit, loss = (below, above) if above.is_buy else (above, below)
    if profit.type not in _PROFITS or loss.type not in _LOSSES:
        raise bad_combination()
    if not _level(above) > price > _level(below):
        raise rejected("The relationship of the prices for the orders is not correct.")
    return profit, loss


def join(orders: Iterable[Order]) -> dict[int, OrderList]:
    """Return the lists that stored orders belong to, by number."""
    legs: dict[int, list[Order]] = {}
    for order in orders:
        if order.list_id >= 0:
            legs.setdefault(order.list_id, []).append(order)
    found = {}
    for number, pair in sorted(legs.items()):
        above, below = sorted(pair, key=_level, reverse=True)
        found[number] = OrderList(
            number=number,
            client_id=above.list_client_id,
            code=above.code,
            time_ms=above.time_ms,
            legs=(above, below),
        )
    return found


def _level(order: Order) -> int:
    """Return the price at which an order begins to matter."""
    return order.stop_price if order.type in STOP_TYPES else order.price
