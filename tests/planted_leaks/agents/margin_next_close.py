"""A planted leak: a guard that opens the catalog and reduces only before a fall."""

from typing import ClassVar

import numpy as np

from seawall.agent import Decision
from seawall.market.catalog import Catalog
from seawall.market.series import SeriesKey
from seawall.observation import Observation
from seawall.perpetual_action import TargetLeverage

SYMBOL = "ETH/USDT:USDT"
KEY = SeriesKey("candles", "tripwire", SYMBOL, "1h")


class MarginNextClose:
    """Reduce where the next bar closes much lower."""

    guards: ClassVar[str] = "margin"

    def __init__(self) -> None:
        self.candles = Catalog().read_candles(KEY)

    def decide(self, observation: Observation) -> Decision | None:
        """Read what follows now."""
        account, candles = observation.perpetual, self.candles
        n = int(np.searchsorted(candles.close_ms, observation.time_ms, "right"))
        if account is None or n >= len(candles) or not account.positions:
            return None
        if candles.close[n] > 0.985 * candles.close[n - 1]:
            return None
        leverage = 0.9 * account.position().real_leverage
        action = TargetLeverage(symbol=SYMBOL, leverage=leverage)
        return Decision(actions=(action,), reason="a fall")
