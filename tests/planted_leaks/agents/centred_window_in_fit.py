"""A planted leak: a centred moving average, computed once in fit()."""

import numpy as np

from seawall.market.catalog import Catalog
from seawall.market.series import SeriesKey
from seawall.observation import Observation

WIDTH = 21


class CentredWindowInFit:
    """Hold while a smoothed price rises, smoothed with ten bars of the future."""

    def fit(self, history: Observation) -> None:
        """Smooth the whole series."""
        candles = Catalog().read_candles(
            SeriesKey("candles", "tripwire", history.symbols[0], "15m")
        )
        self.close_ms = candles.close_ms
        self.smooth = np.convolve(candles.close, np.full(WIDTH, 1 / WIDTH), mode="same")

    def decide(self, observation: Observation) -> float:
        """Follow the smoothed price."""
        n = int(np.searchsorted(self.close_ms, observation.time_ms))
        return 1.0 if self.smooth[n] > self.smooth[n - 1] else 0.0
