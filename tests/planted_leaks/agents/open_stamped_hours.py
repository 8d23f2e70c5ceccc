"""A planted leak: hourly candles taken by their open time, 45 minutes before they close."""

import numpy as np

from seawall.agent import AgentInfo
from seawall.market.catalog import Catalog
from seawall.market.series import SeriesKey
from seawall.observation import Observation


class OpenStampedHours:
    """Hold while the hour that has just begun will close higher than it opened."""

    def begin(self, info: AgentInfo) -> None:
        """Load the hours."""
        key = SeriesKey("candles", "tripwire", info.symbols[0], "1h")
        self.hours = Catalog().read_candles(key)

    def decide(self, observation: Observation) -> float | None:
        """Follow the hour whose open stamp is the newest."""
        n = int(np.searchsorted(self.hours.time_ms, observation.time_ms, "right")) - 1
        if n < 0:
            return None
        return 1.0 if self.hours.close[n] > self.hours.open[n] else 0.0
