"""The other side of the futures desk: what accounts gain it gives, fees and insurance it keeps.

With the accounts' equities it adds up to what was paid in, at any marks::

    sum(equity) + money + holdings * marks + fees + insurance + funding = paid_in
"""

import numpy as np

from seawall.market.series import FloatArray


class House:
    """Everything that is not an account's; money in units of the margin asset.

    Attributes:
        money: received for what it sold less what it paid for what it bought.
        holdings: float64, shape (n,), its positions in base units: the accounts', negated.
        fees: of orders; ``insurance``: liquidation fees less what the fund has paid.
        funding: that accounts paid, less what they received.
        paid_in: by accounts, less what they have taken out.
    """

    def __init__(self, n: int) -> None:
        self.money = self.fees = self.insurance = self.funding = self.paid_in = 0.0
        self.holdings: FloatArray = np.zeros(n)

    def give(self, row: int, quantity: float, price: float) -> None:
        """Stand against a trade of an account, ``quantity`` > 0 bought."""
        self.money += quantity * price
        self.holdings[row] -= quantity

    def worth(self, marks: FloatArray) -> float:
        """Return all of it at marks, what was paid in aside."""
        kept = self.money + self.fees + self.insurance + self.funding
        return kept + float(self.holdings @ marks)

    def to_list(self) -> list[float]:
        """Return the sums, for a file."""
        return [self.money, self.fees, self.insurance, self.funding, self.paid_in]

    def read(self, sums: list[float], holdings: dict[int, float]) -> None:
        """Take sums and holdings, by row, from a file."""
        self.money, self.fees, self.insurance, self.funding, self.paid_in = sums
        for row, held in holdings.items():
            self.holdings[row] = held
