"""Who knows the next bar: the positive control of a league. It must win, or nothing can be told."""

from math import isfinite

from seawall.engine.world import World
from seawall.market.series import FloatArray
from seawall.observation import Observation
from seawall.recipe import Recipe
from seawall.units import BPS, is_perpetual

_ROUND_TRIP = 2.0  # costs of going in and out again
_FULL = 0.99  # fees are paid out of the rest


class Oracle:
    """Holds what rises from the next open to the one after it by more than a round trip costs.

    It is made of the world itself, which no agent is given; of contracts it goes short too.
    """

    def __init__(self, world: World, recipe: Recipe) -> None:
        costs = recipe.costs
        self._cost = _ROUND_TRIP * (costs.taker_fee_bps + costs.half_spread_bps) * BPS
        self._gains: dict[str, dict[int, float]] = {}
        for symbol, candles in world.candles.items():
            gains: FloatArray = candles.open[2:] / candles.open[1:-1] - 1
            closes = candles.close_ms[:-2].tolist()
            self._gains[symbol] = dict(zip(closes, gains.tolist(), strict=True))

    def decide(self, observation: Observation) -> dict[str, float] | None:
        """Return the weights of the next bar; ``None`` where the future is not known."""
        now_ms = observation.time_ms
        gains = {symbol: found.get(now_ms, float("nan")) for symbol, found in self._gains.items()}
        known = {symbol: gain for symbol, gain in gains.items() if isfinite(gain)}
        if not known:
            return None
        best = max(known, key=lambda symbol: self._worth(symbol, known[symbol]))
        weights = dict.fromkeys(self._gains, 0.0)
        if self._worth(best, known[best]) > self._cost:
            weights[best] = _FULL if known[best] > 0 else -_FULL
        elif observation.weight(best) and self._worth(best, known[best]) > 0:
            return None  # what is held goes on rising: to leave would cost more
        return weights

    def _worth(self, symbol: str, gain: float) -> float:
        return abs(gain) if is_perpetual(symbol) else gain
