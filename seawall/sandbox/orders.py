"""Orders and trades as the exchange keeps them; all amounts in 1e-8 units."""

from collections import deque
from dataclasses import dataclass
from typing import Literal, NamedTuple

from seawall.sandbox.register import Register

BUY, SELL = "BUY", "SELL"
Side = Literal["BUY", "SELL"]
Status = Literal[
    "NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH", "REJECTED"
]
STOP_TYPES = frozenset({"STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"})
MARKET_TYPES = frozenset({"MARKET", "STOP_LOSS", "TAKE_PROFIT"})
OPEN_STATUSES = frozenset({"NEW", "PARTIALLY_FILLED"})


class Trade(NamedTuple):
    """One fill of one account's order; ``fee`` in 1e-8 units of ``fee_asset``."""

    code: str
    trade_id: int
    order_id: int
    price: int
    quantity: int
    quote: int
    fee: int
    fee_asset: str
    time_ms: int
    is_buyer: bool
    is_maker: bool
    realised: int = 0  # of a perpetual's position, profit that it realised


@dataclass(slots=True, kw_only=True, eq=False)
class Order:
    """One order of one account.

    Attributes:
        code: the market's, for example ``ETHUSDT``.
        price: of the limit, 0 without one; ``stop_price``: the trigger, 0 without one.
        quote_quantity: what a market order spends or wants to get, 0 without it.
        stop_is_up: the trigger is reached from below.
        locked: what it still locks of ``locked_asset``.
        is_working: in the book or done; False while it waits for its trigger.
        is_reduce_only: of a perpetual: it opens nothing.
        original_type: of a perpetual: what it was before its trigger, its own type without one.
        closes_all: of a perpetual: it was to close whatever is held.
        list_id, list_client_id: of the list of orders that it belongs to; -1 where it stands alone.
    """

    account: str
    code: str
    order_id: int
    client_id: str
    side: Side
    type: str
    time_in_force: str
    quantity: int
    time_ms: int
    price: int = 0
    stop_price: int = 0
    stop_is_up: bool = False
    quote_quantity: int = 0
    locked_asset: str = ""
    locked: int = 0
    status: Status = "NEW"
    filled: int = 0
    filled_quote: int = 0
    update_ms: int = 0
    working_ms: int = -1
    is_working: bool = True
    is_reduce_only: bool = False
    original_type: str = ""
    closes_all: bool = False
    list_id: int = -1
    list_client_id: str = ""

    @property
    def number(self) -> int:
        """How the exchange calls it, within its market."""
        return self.order_id

    @property
    def left(self) -> int:
        """The quantity that is not filled."""
        return self.quantity - self.filled

    @property
    def is_buy(self) -> bool:
        """Whether it buys."""
        return self.side == BUY

    @property
    def is_open(self) -> bool:
        """Whether it can still fill."""
        return self.status in OPEN_STATUSES

    @property
    def is_market(self) -> bool:
        """Whether it has no limit."""
        return self.type in MARKET_TYPES


class History(Register[Order]):
    """The orders and trades of one account in one market; of what is over the last ``kept``."""

    def __init__(self, kept: int) -> None:
        super().__init__(kept)
        self.trades: deque[Trade] = deque(maxlen=kept)
