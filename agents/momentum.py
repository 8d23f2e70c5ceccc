"""Time-series momentum with a volatility target: hold what rose, less of it when it is wild."""

from math import sqrt

import numpy as np

from seawall.action import TargetWeight
from seawall.agent import Decision
from seawall.market.series import FloatArray, TimeArray
from seawall.observation import Observation
from seawall.units import YEAR_MS

from ._parameters import duration, number, share

_FEWEST_PRICES = 3  # two returns: fewer have no deviation


class Momentum:
    """Hold each symbol that rose over ``lookback``, sized to a target volatility.

    The weight is ``target_volatility / volatility``, at most ``max_weight``, divided by the number
    of symbols; none where the price fell. Volatility is the standard deviation (ddof 1) of the log
    returns of the bars of ``volatility_window``, annualised with 365 days.

    Parameters:
        lookback: how far back the price is compared, as a duration.
        volatility_window: which bars measure the volatility, as a duration.
        target_volatility: per year, as a fraction; > 0.
        max_weight: of the equity, over all symbols; > 0 and at most 1.
        every: time between two looks, as a duration.
        band: smallest change of a weight that is worth a trade.

    Source: Moskowitz, Ooi, Pedersen, "Time series momentum", Journal of Financial Economics 104
    (2012). Left out: the short side.
    """

    def __init__(
        self,
        *,
        lookback: str = "28d",
        volatility_window: str = "28d",
        target_volatility: float = 0.4,
        max_weight: float = 1.0,
        every: str = "1d",
        band: float = 0.05,
    ) -> None:
        self.lookback_ms = duration("lookback", lookback)
        self.volatility_window_ms = duration("volatility_window", volatility_window)
        self.target_volatility = number("target_volatility", target_volatility, above=0.0)
        self.max_weight = number("max_weight", max_weight, above=0.0, at_most=1.0)
        self.every_ms = duration("every", every)
        self.band = share("band", band)
        self._next_ms: int | None = None
        self._asked: dict[str, float] = {}

    def decide(self, observation: Observation) -> Decision | None:
        """Return new target weights when it is time to look and they have changed enough."""
        if self._next_ms is not None and observation.time_ms < self._next_ms:
            return None
        self._next_ms = observation.time_ms + self.every_ms
        actions: list[TargetWeight] = []
        reasons: list[str] = []
        for symbol in observation.symbols:
            weight, reason = self._weigh(observation, symbol)
            before = self._asked.get(symbol, observation.weight(symbol))
            has_turned = (weight == 0.0) != (before == 0.0)
            if weight != before and (has_turned or abs(weight - before) >= self.band):
                self._asked[symbol] = weight
                actions.append(TargetWeight(symbol=symbol, weight=weight))
                reasons.append(reason)
        return Decision(actions=tuple(actions), reason="; ".join(reasons)) if actions else None

    def _weigh(self, observation: Observation, symbol: str) -> tuple[float, str]:
        prices, times = observation.prices(symbol), observation.history(symbol).time_ms
        needed_ms = max(self.lookback_ms, self.volatility_window_ms)
        if len(prices) < _FEWEST_PRICES or times[-1] - times[0] < needed_ms:
            return 0.0, f"{symbol} is known for less than the lookback"
        start = int(np.searchsorted(times, times[-1] - self.lookback_ms))
        change = float(prices[-1] / prices[start]) - 1.0
        if change <= 0.0:
            return 0.0, f"{symbol} fell {-change:.1%} over the lookback"
        volatility = self._volatility(prices, times)
        scale = self.target_volatility / volatility if volatility > 0.0 else self.max_weight
        weight = min(scale, self.max_weight) / len(observation.symbols)
        return weight, f"{symbol} rose {change:.1%}, volatility {volatility:.0%} a year"

    def _volatility(self, prices: FloatArray, times: TimeArray) -> float:
        start = int(np.searchsorted(times, times[-1] - self.volatility_window_ms))
        start = min(start, len(prices) - _FEWEST_PRICES)
        returns = np.diff(np.log(prices[start:]))
        bar_ms = float(times[-1] - times[start]) / len(returns)
        return float(returns.std(ddof=1)) * sqrt(YEAR_MS / bar_ms)
