"""The order book of one market: made around the path, with the accounts' own orders in it.

At every print the made levels are new; what takers take of them is gone until the next. Orders of
accounts stand beside them by price, then time. At one price the made level comes first: whoever
rests there has others ahead. A resting order is met when the opposite made quote reaches its price,
and then gets a share of the print's volume; while it waits for more, no made level stands against
it.

All prices and quantities in 1e-8 units. The book knows nothing of balances: a desk settles.
"""

from bisect import insort
from collections.abc import Iterator
from typing import NamedTuple

from seawall.sandbox.decimals import ONE, from_float
from seawall.sandbox.market import Market
from seawall.sandbox.orders import BUY, Order, Side
from seawall.sandbox.tape import Print, draw_one
from seawall.units import BPS

UPDATES_PER_PRINT = 1_000
_BITS = 16  # of a draw that size a level


class Take(NamedTuple):
    """A quantity at a price; ``maker`` is the account's order that gives it, None: made."""

    price: int
    quantity: int
    maker: Order | None


class Plan(NamedTuple):
    """What a taker would get now: by price, and the account's own orders that stand in the way."""

    takes: list[Take]
    own: list[Order]

    @property
    def quantity(self) -> int:
        """The base units of all takes."""
        return sum(take.quantity for take in self.takes)

    @property
    def quote(self) -> int:
        """What they cost, each rounded down as it will be settled."""
        return sum(take.price * take.quantity // ONE for take in self.takes)


class Want(NamedTuple):
    """What a taker wants: a quantity, or as much as ``budget`` buys or sells for, up to a limit."""

    side: Side
    account: str
    quantity: int
    budget: int = 0
    limit: int = 0


_Resting = tuple[int, int, Order]


class Book:
    """The levels and orders of one market."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.update_id = market.last.number * UPDATES_PER_PRINT + 1
        self.stops: list[Order] = []
        self._bids: list[_Resting] = []  # by -price, then arrival
        self._asks: list[_Resting] = []
        self._n_arrived = 0
        self._made: tuple[list[list[int]], list[list[int]]] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no account has an order or a stop here."""
        return not (self._bids or self._asks or self.stops)

    def refresh(self) -> None:
        """Make the levels anew: the market has printed."""
        self._made = None
        # From the print's number, not counted: prints that nobody looked at leave no trace.
        self.update_id = max(self.update_id + 1, self.market.last.number * UPDATES_PER_PRINT)

    def rest(self, order: Order) -> None:
        """Put an order behind the others of its price."""
        self._n_arrived += 1
        self.update_id += 1
        if order.is_buy:
            insort(self._bids, (-order.price, self._n_arrived, order))
        else:
            insort(self._asks, (order.price, self._n_arrived, order))

    def restore(self, order: Order) -> None:
        """Put back an open order that was here before a restart."""
        if order.is_working:
            self.rest(order)
        else:
            self.stops.append(order)

    def remove(self, order: Order) -> None:
        """Take an order or a stop out."""
        self.update_id += 1
        if order in self.stops:
            self.stops.remove(order)
            return
        side = self._bids if order.is_buy else self._asks
        side[:] = [one for one in side if one[2] is not order]

    def quotes(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return bids and asks as (price, quantity), best first, orders and made levels joined."""
        bids, asks = self._levels()
        lowest_ask = self._asks[0][0] if self._asks else None
        highest_bid = -self._bids[0][0] if self._bids else None
        made_bids = [
            (price, size) for price, size in bids if lowest_ask is None or price < lowest_ask
        ]
        made_asks = [
            (price, size) for price, size in asks if highest_bid is None or price > highest_bid
        ]
        return (
            _join(made_bids, [(-key, order.left) for key, _, order in self._bids], is_bid=True),
            _join(made_asks, [(key, order.left) for key, _, order in self._asks], is_bid=False),
        )

    def plan(self, want: Want) -> Plan:
        """Return what a taker would get now; nothing changes."""
        takes: list[Take] = []
        own: list[Order] = []
        left, budget, lot = want.quantity, want.budget, self.market.terms.lot
        for price, size, maker in self._offers(want):
            if maker is not None and maker.account == want.account:
                own.append(maker)
                continue
            if want.budget:
                left = budget * ONE // price // lot * lot
            quantity = min(left, size)
            if quantity <= 0:
                break
            takes.append(Take(price, quantity, maker))
            left -= quantity
            budget -= price * quantity // ONE
            if not want.budget and left == 0:
                break
        return Plan(takes, own)

    def apply(self, want: Want, plan: Plan) -> None:
        """Take what was planned out of the made levels; orders are settled by the desk."""
        self.update_id += 1
        levels = self._levels()[1 if want.side == BUY else 0]
        taken = {take.price: take.quantity for take in plan.takes if take.maker is None}
        for level in levels:
            if not taken:
                break
            level[1] -= taken.pop(level[0], 0)
        while levels and levels[0][1] == 0:
            levels.pop(0)

    def meet(self, one: Print) -> list[Take]:
        """Return what resting orders get of a print: by price, then time, up to their share."""
        if not (self._bids or self._asks) or not one.quantity:
            return []
        bids, asks = self._levels()
        share = self.market.liquidity.participation
        budget = int(one.quantity * share) // self.market.terms.lot * self.market.terms.lot
        met: list[Take] = []
        for side, best, sign in ((self._bids, asks, -1), (self._asks, bids, 1)):
            for key, _, order in side:
                if not best or sign * best[0][0] < key or budget <= 0:
                    break
                quantity = min(order.left, budget)
                budget -= quantity
                met.append(Take(sign * key, quantity, order))
        return met

    def would_match(self, side: Side, price: int) -> bool:
        """Return whether an order at ``price`` would take at once."""
        return next(self._offers(Want(side, "", 1, limit=price)), None) is not None

    def triggered(self) -> list[Order]:
        """Return the stops that the last price has reached, in order of arrival."""
        price = self.market.price
        return [
            order
            for order in self.stops
            if (price >= order.stop_price if order.stop_is_up else price <= order.stop_price)
        ]

    def is_out_of_reach(self, low: int, high: int) -> bool:
        """Return whether prices between ``low`` and ``high`` meet no order and no stop."""
        if self._bids and low <= -self._bids[0][0]:
            return False
        if self._asks and high >= self._asks[0][0]:
            return False
        return not any(
            high >= order.stop_price if order.stop_is_up else low <= order.stop_price
            for order in self.stops
        )

    def _offers(self, want: Want) -> Iterator[tuple[int, int, Order | None]]:
        """Yield what stands against a taker, best first, within its limit."""
        is_buy = want.side == BUY
        sign = 1 if is_buy else -1  # makes a smaller number the better one
        made = self._levels()[1 if is_buy else 0]
        orders = self._asks if is_buy else self._bids
        behind = self._bids if is_buy else self._asks
        hidden = -behind[0][0] if behind else None
        i = j = 0
        while i < len(made) or j < len(orders):
            while i < len(made) and (
                not made[i][1] or (hidden is not None and sign * made[i][0] <= hidden)
            ):
                i += 1
            is_made = i < len(made) and (j == len(orders) or sign * made[i][0] <= orders[j][0])
            if not is_made and j == len(orders):
                return  # only hidden levels were left
            price = made[i][0] if is_made else sign * orders[j][0]
            if want.limit and sign * price > sign * want.limit:
                return
            if is_made:
                yield price, made[i][1], None
                i += 1
            else:
                yield price, orders[j][2].left, orders[j][2]
                j += 1

    def _levels(self) -> tuple[list[list[int]], list[list[int]]]:
        """Return the made bids and asks as [price, quantity], best first."""
        if self._made is None:
            self._made = self._make()
        return self._made

    def _make(self) -> tuple[list[list[int]], list[list[int]]]:
        market, liquidity = self.market, self.market.liquidity
        tick, lot, price = market.terms.tick, market.terms.lot, market.price
        half = int(price * liquidity.spread_bps * BPS / 2)
        step = max(tick, int(price * liquidity.step_bps * BPS) // tick * tick)
        bid = (price - half) // tick * tick
        ask = -(-(price + half) // tick) * tick
        if bid >= ask:
            bid -= tick
        average = from_float(liquidity.level_notional) * ONE // price
        number = market.last.number * 2 * liquidity.n_levels
        sides: list[list[list[int]]] = [[], []]
        for i in range(liquidity.n_levels):
            for side, best, sign in ((0, bid, -1), (1, ask, 1)):
                level = best + sign * i * step
                draw = draw_one(market.tape.key, number + 2 * i + side) >> (64 - _BITS)
                size = average * ((1 << _BITS) // 2 + draw) >> _BITS
                if level > 0:
                    sides[side].append([level, max(lot, size // lot * lot)])
        return sides[0], sides[1]


def _join(
    made: list[tuple[int, int]], orders: list[tuple[int, int]], *, is_bid: bool
) -> list[tuple[int, int]]:
    if not orders:
        return [(price, size) for price, size in made if size]
    sizes: dict[int, int] = {}
    for price, size in (*made, *orders):
        sizes[price] = sizes.get(price, 0) + size
    return sorted(((p, size) for p, size in sizes.items() if size), reverse=is_bid)
