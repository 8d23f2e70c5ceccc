"""A planted leak: prices are scaled with mean and deviation of all times, the future included."""

from seawall.agent import AgentInfo
from seawall.market.catalog import Catalog
from seawall.market.series import SeriesKey
from seawall.observation import Observation


class WholeSeriesScaling:
    """Buy what is far below the mean of all times."""

    def begin(self, info: AgentInfo) -> None:
        """Look at everything."""
        close = (
            Catalog().read_candles(SeriesKey("candles", "tripwire", info.symbols[0], "15m")).close
        )
        self.mean, self.deviation = float(close.mean()), float(close.std())

    def decide(self, observation: Observation) -> float:
        """Answer a weight that falls with the score."""
        score = (observation.price() - self.mean) / self.deviation
        return min(1.0, max(0.0, 0.5 - round(score, 1)))
