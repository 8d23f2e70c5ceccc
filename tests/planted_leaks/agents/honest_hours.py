"""No leak: an agent that opens the catalog itself and takes only what has closed."""

import numpy as np

from seawall.market.catalog import Catalog
from seawall.market.series import SeriesKey
from seawall.observation import Observation


class HonestHours:
    """Hold while the last whole hour rose."""

    def __init__(self) -> None:
        self.hours = Catalog().read_candles(SeriesKey("candles", "tripwire", "BTC/USDT", "1h"))

    def decide(self, observation: Observation) -> float | None:
        """Follow the newest hour that has closed."""
        n = int(np.searchsorted(self.hours.close_ms, observation.time_ms, "right")) - 1
        if n < 0:
            return None
        return 1.0 if self.hours.close[n] > self.hours.open[n] else 0.0
