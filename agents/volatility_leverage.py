"""Hold so much leverage that the volatility of the equity stays where it should be.

Leverage is the target over the volatility of the last ``n`` bars, both per year of 365 days; it is
small when markets are wild. Not to be confused with ``volatility_target``, which guards a loan.

Source: Harvey, Hoyle, Korgaonkar, Rattray, Sargaison and van Hemert, "The Impact of Volatility
Targeting", Journal of Portfolio Management 45 (2018).
Left out: correlation; several symbols share the target equally.
"""

import numpy as np

from seawall.action import TargetWeight
from seawall.agent import AgentInfo, Decision
from seawall.market.series import FloatArray
from seawall.observation import Observation
from seawall.units import HOUR_MS, YEAR_MS

from ._margin import find_traded
from ._parameters import duration, number, one_of, whole_number
from .fixed_leverage import Side


class VolatilityLeverage:
    """Trade to ``volatility`` / realised volatility now and then; perpetuals where there are any.

    Parameters:
        volatility: of the equity that is aimed at, per year; 0.4 is 40 %.
        n: bars that are looked back, at least 10.
        max_leverage: the most that is held, however calm it is.
        side: ``"long"`` or ``"short"``.
        band: drift that is let be, as a share of the leverage.
        every: time between two looks, as a duration.
    """

    def __init__(
        self,
        *,
        volatility: float = 0.4,
        n: int = 336,
        max_leverage: float = 3.0,
        side: Side = "long",
        band: float = 0.1,
        every: str = "1d",
    ) -> None:
        self.volatility = number("volatility", volatility, above=0.0)
        self.n = whole_number("n", n, at_least=10)
        self.max_leverage = number("max_leverage", max_leverage, above=0.0)
        self.side = one_of("side", side, ("long", "short"))
        self.band = number("band", band, above=0.0)
        self.every_ms = duration("every", every)
        self._bar_ms = HOUR_MS
        self._next_ms: int | None = None

    def begin(self, info: AgentInfo) -> None:
        """Note how long a bar is."""
        self._bar_ms = info.timeframe_ms

    def decide(self, observation: Observation) -> Decision | None:
        """Return the target weights that have drifted, else ``None``."""
        if self._next_ms is not None and observation.time_ms < self._next_ms:
            return None
        self._next_ms = observation.time_ms + self.every_ms
        symbols = find_traded(observation)
        sign = 1.0 if self.side == "long" else -1.0
        actions, words = [], []
        for symbol in symbols:
            volatility = self._measure(observation.prices(symbol)[-self.n - 1 :])
            if volatility is None:
                continue
            leverage = min(self.volatility / volatility, self.max_leverage)
            weight = sign * leverage / len(symbols)
            if abs(observation.weight(symbol) - weight) > self.band * abs(weight):
                actions.append(TargetWeight(symbol=symbol, weight=weight))
                words.append(f"the volatility of {symbol} is {volatility:.1%}")
        return Decision(actions=tuple(actions), reason=", ".join(words)) if actions else None

    def _measure(self, prices: FloatArray) -> float | None:
        """Return the volatility per year; ``None`` where there are too few bars, or it is 0."""
        if len(prices) < self.n + 1:
            return None
        per_bar = float(np.std(np.diff(np.log(prices))))
        return per_bar * float(np.sqrt(YEAR_MS / self._bar_ms)) if per_bar > _STILL else None


_STILL = 1e-12  # a market that stands still but for rounding
