"""Conditional orders of perpetuals: Binance's "algo orders", which wait outside the book.

Each waits for the last price or the mark to reach its trigger, or trails the best price since it
became active, and then becomes a plain order. All amounts in 1e-8 units, the callback rate too.

Source: Binance USD-M futures, "New Algo Order" and "Event: Algo Order Update".
"""

from dataclasses import dataclass
from typing import Literal

from seawall.sandbox.decimals import ONE
from seawall.sandbox.orders import Side
from seawall.sandbox.register import Register

AlgoStatus = Literal["NEW", "CANCELED", "TRIGGERED", "FINISHED", "REJECTED", "EXPIRED"]
WorkingType = Literal["CONTRACT_PRICE", "MARK_PRICE"]
TRAILING = "TRAILING_STOP_MARKET"
STOPS = frozenset({"STOP", "STOP_MARKET"})
WITH_PRICE = frozenset({"STOP", "TAKE_PROFIT"})
ALGO_TYPES = frozenset({"STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", TRAILING})


@dataclass(slots=True, kw_only=True, eq=False)
class AlgoOrder:
    """One conditional order of one account.

    Attributes:
        trigger_price: 0 of one that trails; ``price``: the limit that it becomes, 0 for none.
        callback: of one that trails, the share by which the price has to come back.
        activate_price: from which it trails, 0 for at once; ``extreme``: the best price since then,
            0 before.
        closes_all: it closes whatever is held when it triggers, whatever that is then.
        is_up: the trigger is reached from below.
        order_id: of the order that it became, 0 before.
        reason: why it was rejected.
    """

    account: str
    code: str
    algo_id: int
    client_id: str
    side: Side
    type: str
    time_in_force: str
    quantity: int
    time_ms: int
    trigger_price: int = 0
    price: int = 0
    callback: int = 0
    activate_price: int = 0
    extreme: int = 0
    working_type: WorkingType = "CONTRACT_PRICE"
    closes_all: bool = False
    is_reduce_only: bool = False
    is_up: bool = False
    status: AlgoStatus = "NEW"
    update_ms: int = 0
    trigger_ms: int = 0
    order_id: int = 0
    reason: str = ""

    @property
    def number(self) -> int:
        """How the exchange calls it."""
        return self.algo_id

    @property
    def is_waiting(self) -> bool:
        """Whether it has not triggered yet and still may."""
        return self.status == "NEW"

    def aim(self, price: int) -> bool:
        """Find from which side the trigger is reached; return whether it is reached already."""
        is_buy = self.side == "BUY"
        if self.type == TRAILING:
            self.is_up = is_buy
            return False
        self.is_up = is_buy == (self.type in STOPS)
        return self.is_reached(price)

    def is_reached(self, price: int) -> bool:
        """Return whether a price triggers it; one that trails follows the price."""
        if self.type == TRAILING:
            return self._follow(price)
        return price >= self.trigger_price if self.is_up else price <= self.trigger_price

    def may_be_reached(self, low: int, high: int) -> bool:
        """Return whether prices from ``low`` to ``high`` may trigger it; one that trails: yes."""
        if self.type == TRAILING:
            return True
        return high >= self.trigger_price if self.is_up else low <= self.trigger_price

    def _follow(self, price: int) -> bool:
        """Trail the price; return whether it has come back by the callback rate."""
        is_sell = not self.is_up
        if not self.extreme:
            start = self.activate_price
            if start and (price < start if is_sell else price > start):
                return False
            self.extreme = price
        self.extreme = max(self.extreme, price) if is_sell else min(self.extreme, price)
        if is_sell:
            return price <= self.extreme * (ONE - self.callback) // ONE
        return price >= -(-self.extreme * (ONE + self.callback) // ONE)


class AlgoHistory(Register[AlgoOrder]):
    """The conditional orders of one account; of what is over the last ``kept``."""

    def waiting(self, code: str | None = None) -> list[AlgoOrder]:
        """Return those that wait, of one market or of all."""
        return [one for one in self.orders.values() if one.is_waiting and code in {None, one.code}]
