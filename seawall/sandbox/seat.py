"""One account's futures: the flat state that the kernels read, its orders and its income.

Money is float64 as the kernels keep it, in units of the margin asset; quantities are brought back
to the nearest 1e-8 unit after every change, so that what is held compares exactly with orders.
"""

from collections import deque
from typing import NamedTuple

import numpy as np

from seawall.market.series import FloatArray
from seawall.sandbox.accounts import Account
from seawall.sandbox.algo import AlgoHistory
from seawall.sandbox.decimals import ONE
from seawall.sandbox.orders import History, Side
from seawall.venues.perpetual import layout


class Income(NamedTuple):
    """One change of a futures wallet; they all add up to what it holds.

    ``kind`` as Binance names it: TRANSFER, REALIZED_PNL, COMMISSION, FUNDING_FEE, INSURANCE_CLEAR
    (a liquidation's fee, < 0, and what the insurance fund paid, > 0).
    """

    number: int
    time_ms: int
    code: str
    kind: str
    amount: float
    trade_id: int


class Move(NamedTuple):
    """Margin that an account has moved into (> 0) or out of an isolated position."""

    time_ms: int
    code: str
    amount: float


class Seat:
    """What one account has at the futures desk.

    Attributes:
        owner: the account.
        wallet: float64, shape (N_ACCOUNT,); ``positions``: shape (n, N_POSITION), a row for each
            market of the desk.
        maker_fee, taker_fee: fractions in 1e-8 units.
        histories: of orders and trades, by market code.
        moves: of margin, since the exchange was started.
        update_ms: by row, when the position last changed; 0 before.
    """

    def __init__(self, owner: Account, n: int, *, fees: tuple[int, int], kept: int) -> None:
        """Make an empty one; ``fees`` are maker and taker."""
        self.owner = owner
        self.wallet: FloatArray = np.zeros(layout.N_ACCOUNT)
        self.positions: FloatArray = np.zeros((n, layout.N_POSITION))
        self.positions[:, layout.LEVERAGE] = 1.0
        self.maker_fee, self.taker_fee = fees
        self.histories: dict[str, History] = {}
        self.algos = AlgoHistory(kept)
        self.incomes: deque[Income] = deque(maxlen=kept)
        self.n_incomes = 0
        self.moves: deque[Move] = deque(maxlen=kept)
        self.update_ms = [0] * n
        self._kept = kept

    @property
    def name(self) -> str:
        """The account's."""
        return self.owner.name

    @property
    def money(self) -> float:
        """The wallet and all isolated margins."""
        return float(self.wallet[layout.WALLET] + self.positions[:, layout.MARGIN].sum())

    @property
    def wallet_ms(self) -> int:
        """When the wallet last changed, 0 where it never has: clients take that for no wallet."""
        return self.incomes[-1].time_ms if self.incomes else 0

    @property
    def is_flat(self) -> bool:
        """Whether it holds nothing."""
        return not self.positions[:, layout.QUANTITY].any()

    def history(self, code: str) -> History:
        """Return the orders and trades in a market."""
        found = self.histories.get(code)
        if found is None:
            found = self.histories[code] = History(self._kept)
        return found

    def held(self, row: int) -> int:
        """Return a position, signed, in 1e-8 base units."""
        return round(float(self.positions[row, layout.QUANTITY]) * ONE)

    def is_isolated(self, row: int) -> bool:
        """Return whether a market's margin is isolated."""
        return bool(self.positions[row, layout.IS_ISOLATED] > 0.0)

    def leverage(self, row: int) -> int:
        """Return a market's leverage."""
        return int(self.positions[row, layout.LEVERAGE])

    def closable(self, row: int, side: Side) -> int:
        """Return how much an order of that side reduces, 1e-8 base units."""
        held = self.held(row)
        return abs(held) if (held < 0) == (side == "BUY") else 0

    def settle_grid(self, row: int) -> None:
        """Bring a position to the nearest 1e-8 unit: what float64 leaves of sums of lots."""
        self.positions[row, layout.QUANTITY] = self.held(row) / ONE
        if not self.positions[row, layout.QUANTITY]:
            self.positions[row, layout.ENTRY] = 0.0

    def receive(
        self, kind: str, amount: float, time_ms: int, *, code: str = "", trade_id: int = 0
    ) -> Income | None:
        """Note a change of the wallet, and return it; nothing where nothing has changed."""
        if amount == 0.0:
            return None
        self.n_incomes += 1
        income = Income(self.n_incomes, time_ms, code, kind, amount, trade_id)
        self.incomes.append(income)
        return income
