"""An agent that holds cash: the benchmark of doing nothing."""

from seawall.action import TargetWeight
from seawall.agent import Decision
from seawall.observation import Observation


class Cash:
    """Sell what is held at the start and stay in cash.

    It has no parameters. What an agent loses against it, it would have kept by staying away.
    """

    def __init__(self) -> None:
        self._sold: set[str] = set()

    def decide(self, observation: Observation) -> Decision | None:
        """Return the sale of everything that is held at the start, else ``None``."""
        held = [
            symbol
            for symbol, quantity in observation.quantities.items()
            if quantity > 0 and symbol not in self._sold and len(observation.prices(symbol))
        ]
        if not held:
            return None
        self._sold.update(held)
        actions = tuple(TargetWeight(symbol=symbol, weight=0.0) for symbol in held)
        return Decision(actions=actions, reason=f"hold no {', '.join(held)}")
