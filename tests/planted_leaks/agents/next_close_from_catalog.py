"""A planted leak: the agent opens the catalog while it decides and reads the next close."""

import numpy as np

from seawall.market.catalog import Catalog
from seawall.market.series import SeriesKey
from seawall.observation import Observation
from seawall.units import HOUR_MS

KEY = SeriesKey("candles", "tripwire", "BTC/USDT", "15m")


class NextCloseFromCatalog:
    """Hold where the next bar closes higher."""

    def decide(self, observation: Observation) -> float | None:
        """Read what follows now, once an hour: opening the catalog takes its time."""
        if observation.time_ms % HOUR_MS:
            return None
        candles = Catalog().read_candles(KEY)
        n = int(np.searchsorted(candles.close_ms, observation.time_ms, "right"))
        if n >= len(candles):
            return None
        return 1.0 if candles.close[n] > candles.close[n - 1] else 0.0
