"""Leverage brackets as the kernels read them."""

from collections.abc import Sequence

import numpy as np

from seawall.market.brackets import Brackets
from seawall.market.series import FloatArray
from seawall.venues.perpetual import layout


def to_table(brackets: Sequence[Brackets], n_tiers: int | None = None) -> FloatArray:
    """Return brackets as an array, shape (n, n_tiers, N_TIER), a row of it for each contract.

    Rows behind the last tier of a contract have the floor and the cap inf, its last rate and
    amount, and the leverage 0.0: no notional and no leverage leads there.
    """
    n_tiers = n_tiers or max(len(one.tiers) for one in brackets)
    table = np.empty((len(brackets), n_tiers, layout.N_TIER))
    for row, one in enumerate(brackets):
        last = one.tiers[-1]
        table[row, :, layout.FLOOR] = table[row, :, layout.CAP] = np.inf
        table[row, :, layout.RATE], table[row, :, layout.AMOUNT] = last.rate, last.amount
        table[row, :, layout.MAX_LEVERAGE] = 0.0
        for k, tier in enumerate(one.tiers):
            table[row, k, layout.FLOOR] = tier.floor
            table[row, k, layout.CAP] = tier.cap
            table[row, k, layout.RATE] = tier.rate
            table[row, k, layout.AMOUNT] = tier.amount
            table[row, k, layout.MAX_LEVERAGE] = tier.max_leverage
    return table
