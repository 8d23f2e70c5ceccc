"""Hold as much distance to liquidation as the market may fall before one can react.

The fall that is feared within the reaction time is the larger of two forecasts: ``sigmas`` times
the volatility of an exponentially weighted mean of squared returns, and the ``quantile`` of the
changes over as long a time that the last ``n`` bars have seen. The health factor that survives it
is ``1 / (1 - fall)``; below it the agent deleverages to ``1 / (1 - cushion fall)``.

Source: the weighted mean is that of RiskMetrics (J.P. Morgan, Technical Document, 1996).
Left out: the fall is that of the market's first symbol, so for a loan in an asset that moves with
the collateral (a staking loop) it fears too much.
"""

from typing import ClassVar

import numpy as np

from seawall import AgentInfo, Decision, Observation, Wake
from seawall.market.series import FloatArray
from seawall.rebalancing import to_health

from ._parameters import number, whole_number
from ._protection import need_loan, send

LEAST_FALL, LARGEST_FALL = 0.01, 0.6
UNKNOWN_FALL = 0.05  # until there are bars enough
LARGEST_DISTANCE = 0.7
_HOUR_MS = 3_600_000


class VolatilityTarget:
    """Deleverage when the feared fall within ``reaction_bars`` would liquidate the loan.

    Parameters:
        reaction_bars: bars until an action has taken effect, for certain.
        sigmas: of volatility that are feared, > 0.
        decay: weight of a squared return one bar older, > 0 and < 1.
        n: bars that the forecasts look back, more than ``reaction_bars``.
        quantile: of the changes over the reaction time, > 0 and at most 0.5.
        cushion: distance to aim at, in feared falls; > 1.
    """

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
        self.n = whole_number("n", n, at_least=self.reaction_bars + 2)
        self.quantile = number("quantile", quantile, above=0.0, at_most=0.5)
        self.cushion = number("cushion", cushion, above=1.0)
        self._weights = self.decay ** np.arange(self.n - 1)[::-1]
        self._bar_ms = _HOUR_MS

    def begin(self, info: AgentInfo) -> None:
        """Note how long a bar is."""
        self._bar_ms = info.timeframe_ms

    def decide(self, observation: Observation) -> Decision:
        """Deleverage where the feared fall is deeper than the distance, else look again soon."""
        loan = need_loan(observation)
        fall = self._find_fall(observation.prices()[-self.n :])
        least = 1.0 / (1.0 - fall)
        if loan.pending or loan.health >= least:
            wake = Wake(after_ms=self.reaction_bars * self._bar_ms, health_below=least)
            return Decision(wake=wake)
        target = 1.0 / (1.0 - min(self.cushion * fall, LARGEST_DISTANCE))
        why = f"health {loan.health:.3f}, a fall of {fall:.1%} is feared: to {target:.3f}"
        return send(to_health(loan, target), why)

    def _find_fall(self, prices: FloatArray) -> float:
        """Return the feared fall over the reaction time, as a fraction."""
        if len(prices) < self.reaction_bars + 2:
            return UNKNOWN_FALL
        squares = np.diff(np.log(prices)) ** 2
        weights = self._weights[-len(squares) :]
        variance = float(weights @ squares / weights.sum())
        by_volatility = self.sigmas * np.sqrt(variance * self.reaction_bars)
        changes = prices[self.reaction_bars :] / prices[: -self.reaction_bars] - 1.0
        by_quantile = -float(np.quantile(changes, self.quantile))
        return float(np.clip(max(by_volatility, by_quantile), LEAST_FALL, LARGEST_FALL))
