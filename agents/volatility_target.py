"""Hold as much distance to liquidation as the market may fall before one can react.

The fall that is feared within the reaction time is the larger of two forecasts: ``sigmas`` times
the volatility of an exponentially weighted mean of squared returns, and the worst ``quantile`` of
the falls over as long a time that the last ``n`` bars have seen. The health factor that survives it
is ``1 / (1 - fall)``; below it the agent deleverages to ``cushion`` times as much of a distance.
"""

from typing import ClassVar

import numpy as np

from seawall import AgentInfo, Decision, Observation, Wake

from ._parameters import number, share, whole_number
from ._protection import aim, need_loan


class VolatilityTarget:
    """Deleverage when the feared fall within ``reaction_bars`` would liquidate the loan."""

    guards: ClassVar[str] = "loan"

    def __init__(
        self,
        *,
        reaction_bars: int = 6,
        sigmas: float = 3.0,
        decay: float = 0.97,
        n: int = 720,
        quantile: float = 0.01,
        cushion: float = 2.0,
    ) -> None:
        self.reaction_bars = whole_number("reaction_bars", reaction_bars)
        self.sigmas = number("sigmas", sigmas, above=0.0)
        self.decay = number("decay", decay, above=0.0, at_most=0.9999)
        self.n = whole_number("n", n, at_least=2)
        self.quantile = share("quantile", quantile)
        self.cushion = number("cushion", cushion, above=1.0)
        self._bar_ms = 3_600_000

    def begin(self, info: AgentInfo) -> None:
        """Note how long a bar is."""
        self._bar_ms = info.timeframe_ms

    def decide(self, observation: Observation) -> Decision:
        """Deleverage where the feared fall is deeper than the distance, else look again soon."""
        loan = need_loan(observation)
        look_again = Wake(after_ms=self.reaction_bars * self._bar_ms, health_below=1.05)
        fall = self._find_fall(observation)
        least = 1.0 / (1.0 - fall)
        if loan.pending or loan.health >= least:
            return Decision(wake=look_again)
        target = 1.0 / (1.0 - min(self.cushion * fall, 0.7))
        why = f"health {loan.health:.3f}, a fall of {fall:.1%} is feared: to {target:.3f}"
        return aim(loan, target, why=why)

    def _find_fall(self, observation: Observation) -> float:
        """Return the feared fall over the reaction time, as a fraction below 0.6."""
        prices = observation.prices()[-self.n :]
        if len(prices) < self.reaction_bars + 2:
            return 0.05
        returns = np.diff(np.log(prices))
        weights = self.decay ** np.arange(len(returns))[::-1]
        variance = float(weights @ returns**2 / weights.sum())
        by_volatility = self.sigmas * np.sqrt(variance * self.reaction_bars)
        over = prices[self.reaction_bars :] / prices[: -self.reaction_bars] - 1.0
        by_quantile = -float(np.quantile(over, self.quantile))
        return float(np.clip(max(by_volatility, by_quantile), 0.01, 0.6))
