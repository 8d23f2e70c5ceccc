"""What open orders of perpetuals bind, and whether the margin carries one more.

The kernels know positions; an exchange also keeps margin for orders that rest. For one market, with
``p`` the position's notional at the mark, ``b`` and ``a`` what the bids and asks are worth (orders
that only reduce bind nothing)::

    bound = (max(|p + b|, |p - a|) - |p|) / leverage

A new order needs what that rises by, the loss with which it opens (its price against the mark), and
the taker's fee; what only closes needs nothing. Cross orders may use unrealised profit, isolated
ones only what may leave the cross account.

Source: Binance, "How to Calculate Cost Required to Open a Position in Perpetual Futures Contracts"
and the fields ``bidNotional``, ``askNotional`` and ``openOrderInitialMargin`` of the API.
"""

from collections.abc import Iterable
from typing import NamedTuple

from seawall.market.series import FloatArray
from seawall.sandbox.decimals import ONE
from seawall.sandbox.linear_refusals import beyond_bracket, short_of_margin
from seawall.sandbox.orders import Order
from seawall.sandbox.seat import Seat
from seawall.venues.perpetual import layout, margin, positions


class Exposure(NamedTuple):
    """What an account has in one market: notionals in quote units, quantities in 1e-8 units.

    ``position`` is signed; ``bids`` and ``asks`` are of open orders that may open.
    """

    position: float
    bids: float
    asks: float
    n_bid: int
    n_ask: int

    @property
    def size(self) -> float:
        """The largest notional that orders can make of it."""
        return max(abs(self.position + self.bids), abs(self.position - self.asks))

    @property
    def bound(self) -> float:
        """The notional that only orders account for."""
        return self.size - abs(self.position)


def find_exposure(seat: Seat, row: int, code: str, mark: float) -> Exposure:
    """Return what an account has in a market at a mark."""
    bids, asks, n_bid, n_ask = 0.0, 0.0, 0, 0
    for order in _opening(seat, code):
        value = order.price / ONE * (order.left / ONE)
        if order.is_buy:
            bids, n_bid = bids + value, n_bid + order.left
        else:
            asks, n_ask = asks + value, n_ask + order.left
    held = float(seat.positions[row, layout.QUANTITY]) * mark
    return Exposure(held, bids, asks, n_bid, n_ask)


def find_bound(seat: Seat, codes: Iterable[str], marks: FloatArray) -> float:
    """Return the margin that all open orders bind; ``codes`` by row."""
    total = 0.0
    for row, code in enumerate(codes):
        history = seat.histories.get(code)
        if history is not None and history.open:
            found = find_exposure(seat, row, code, float(marks[row]))
            total += found.bound / float(seat.positions[row, layout.LEVERAGE])
    return total


class Standing(NamedTuple):
    """Where an account stands: marks and bracket tables by row, and the markets' codes."""

    codes: tuple[str, ...]
    marks: FloatArray
    tables: FloatArray


def find_free(seat: Seat, standing: Standing, *, isolated: bool) -> float:
    """Return what new orders may bind; < 0 where the account is short of margin."""
    surplus = margin.find_surplus(seat.wallet, seat.positions, standing.marks)
    if isolated:
        surplus = min(surplus, find_movable(seat, standing))
    return surplus - find_bound(seat, standing.codes, standing.marks)


def find_movable(seat: Seat, standing: Standing) -> float:
    """Return what may leave the cross account, open orders aside."""
    return margin.find_withdrawable(seat.wallet, seat.positions, standing.marks, standing.tables)


def check_margin(seat: Seat, row: int, order: Order, price: float, standing: Standing) -> None:
    """Raise ApiError where margin or brackets forbid an order, filled at ``price`` or resting."""
    mark, quantity = float(standing.marks[row]), order.left / ONE
    now = find_exposure(seat, row, standing.codes[row], mark)
    resting = now.n_bid if order.is_buy else now.n_ask
    opened = max(resting + order.left - seat.closable(row, order.side), 0)
    if not opened:
        return
    side = 1.0 if order.is_buy else -1.0
    room = positions.find_room(seat.positions, row, side, mark, standing.tables[row])
    if opened / ONE > room:
        raise beyond_bracket()
    value = quantity * (price if order.is_buy else max(price, mark))
    then = now._replace(
        bids=now.bids + (value if order.is_buy else 0.0),
        asks=now.asks + (0.0 if order.is_buy else value),
    )
    need = (then.bound - now.bound) / float(seat.positions[row, layout.LEVERAGE])
    fresh = min(opened, order.left) / ONE
    need += fresh * max(side * (price - mark), 0.0)
    need += quantity * price * seat.taker_fee / ONE
    if need > find_free(seat, standing, isolated=seat.is_isolated(row)):
        raise short_of_margin()


def has_margin_for(seat: Seat, row: int, order: Order, quantity: int) -> bool:
    """Return whether the wallet still holds what a fill at the order's price would set aside.

    What rests was checked when it came; losses since then may have taken its margin. A cross order
    sets nothing aside: the account's margin ratio says whether it lives.
    """
    closed = min(seat.closable(row, order.side), quantity)
    opened = quantity - closed
    if not opened or not seat.is_isolated(row):
        return True
    price = order.price / ONE
    budget = float(seat.wallet[layout.WALLET]) - quantity / ONE * price * seat.maker_fee / ONE
    if closed:  # it flips: all of the position's margin comes back, with its profit or loss
        gain = margin.find_unrealised(seat.positions, row, price)
        budget += float(seat.positions[row, layout.MARGIN]) + gain
    return opened / ONE * price / float(seat.positions[row, layout.LEVERAGE]) <= budget


def _opening(seat: Seat, code: str) -> list[Order]:
    """Return the open orders of a market that may open something."""
    history = seat.histories.get(code)
    if history is None:
        return []
    return [order for order in history.open.values() if not order.is_reduce_only]
