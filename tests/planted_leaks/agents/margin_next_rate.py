"""A planted leak: an agent of a carry that opens the catalog and goes by the next funding rate."""

from typing import ClassVar

import numpy as np

from seawall.market.catalog import Catalog
from seawall.market.series import SeriesKey
from seawall.observation import Observation

SYMBOL = "ETH/USDT:USDT"
KEY = SeriesKey("funding", "tripwire", SYMBOL, "8h")


class MarginNextRate:
    """Be in the carry where the next settlement pays more than 0.03 %."""

    trades: ClassVar[str] = "carry"

    def __init__(self) -> None:
        self.rates = Catalog().read_signal(KEY)

    def decide(self, observation: Observation) -> float | None:
        """Read what is settled next."""
        n = int(np.searchsorted(self.rates.time_ms, observation.time_ms, "right"))
        if n >= len(self.rates):
            return None
        return 1.0 if self.rates.value[n] > 0.0003 else 0.0
