"""A planted leak: a guard that opens the catalog and deleverages only before a fall."""

from typing import ClassVar

import numpy as np

from seawall.agent import Decision
from seawall.loan_action import TargetHealth
from seawall.market.catalog import Catalog
from seawall.market.series import SeriesKey
from seawall.observation import Observation

KEY = SeriesKey("candles", "tripwire", "ETH/USDT", "1h")


class GuardNextClose:
    """Deleverage where the next bar closes much lower."""

    guards: ClassVar[str] = "loan"

    def __init__(self) -> None:
        self.candles = Catalog().read_candles(KEY)

    def decide(self, observation: Observation) -> Decision | None:
        """Read what follows now."""
        loan, candles = observation.loan, self.candles
        n = int(np.searchsorted(candles.close_ms, observation.time_ms, "right"))
        if loan is None or loan.pending or n >= len(candles):
            return None
        if candles.close[n] > 0.985 * candles.close[n - 1]:
            return None
        return Decision(actions=(TargetHealth(health=loan.health + 0.02),), reason="a fall")
