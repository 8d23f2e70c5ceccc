"""A portfolio of fixed weights, brought back when it has drifted."""

from collections.abc import Mapping

from seawall.action import TargetWeight
from seawall.agent import AgentInfo, Decision
from seawall.errors import RecipeError
from seawall.observation import Observation

from ._parameters import duration, share


class Rebalance:
    """Hold fixed weights; trade back to them when one has drifted by more than ``band``.

    A symbol that is not listed yet keeps its weight in cash.

    Parameters:
        weights: share of the equity by symbol, each from 0 to 1, at most 1 together; what is left
            is cash. Left out: equal weights.
        band: drift of a weight that is let be, as a share of the equity.
        every: time between two looks, as a duration.

    Source: Masters, "Rebalancing", Journal of Portfolio Management 29 (2003).
    """

    def __init__(
        self,
        *,
        weights: Mapping[str, float] | None = None,
        band: float = 0.05,
        every: str = "1d",
    ) -> None:
        self.weights = None if weights is None else _check_weights(weights)
        self.band = share("band", band)
        self.every_ms = duration("every", every)
        self._next_ms: int | None = None

    def begin(self, info: AgentInfo) -> None:
        """Check that every weight is that of a symbol of the market.

        Raises:
            RecipeError: there is a weight for another symbol.
        """
        if unknown := set(self.weights or {}) - set(info.symbols):
            raise RecipeError(
                f"agent.weights names {min(unknown)!r}: the market has {list(info.symbols)}"
            )

    def decide(self, observation: Observation) -> Decision | None:
        """Return all target weights when one has drifted, else ``None``."""
        if self._next_ms is not None and observation.time_ms < self._next_ms:
            return None
        self._next_ms = observation.time_ms + self.every_ms
        listed = [symbol for symbol in observation.symbols if len(observation.prices(symbol))]
        equal = 1.0 / len(observation.symbols)
        targets = {s: equal if self.weights is None else self.weights.get(s, 0.0) for s in listed}
        drifts = {symbol: observation.weight(symbol) - targets[symbol] for symbol in listed}
        worst = max(drifts, key=lambda symbol: abs(drifts[symbol]), default=None)
        if worst is None or abs(drifts[worst]) <= self.band:
            return None
        actions = tuple(TargetWeight(symbol=s, weight=w) for s, w in targets.items())
        reason = (
            f"{worst} is at {targets[worst] + drifts[worst]:.1%}, should be {targets[worst]:.1%}"
        )
        return Decision(actions=actions, reason=reason)


def _check_weights(weights: object) -> dict[str, float]:
    if not isinstance(weights, Mapping) or not weights:
        raise RecipeError(
            f"agent.weights must be shares by symbol, is {weights!r}: "
            'write weights = {"BTC/USDT" = 0.6, "ETH/USDT" = 0.4}'
        )
    checked = {
        str(symbol): share(f"weights.{symbol}", weight) for symbol, weight in weights.items()
    }
    if (total := sum(checked.values())) > 1.0 + 1e-9:
        raise RecipeError(f"agent.weights must be at most 1 together, are {total:g}: lower one")
    return checked
