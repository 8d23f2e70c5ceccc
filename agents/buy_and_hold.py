"""Buy once and hold: the benchmark that most trading does not beat."""

from typing import Literal

from seawall.action import Action, Order, TargetWeight
from seawall.agent import Decision
from seawall.observation import Observation

from ._parameters import number, one_of

DUST = 1e-6  # of the equity: less cash than that is not spent


class BuyAndHold:
    """Buy every symbol when it is first seen, in equal shares, and never trade again.

    Parameters:
        weight: share of the equity to invest, over all symbols; > 0 and at most 1.
        style: ``"weight"`` buys each symbol once; ``"all"`` spends all the cash there is on each
            bar, as the buy-and-hold of CryptoTrade (EMNLP 2024) does.
    """

    def __init__(self, *, weight: float = 1.0, style: Literal["weight", "all"] = "weight") -> None:
        self.weight = number("weight", weight, above=0.0, at_most=1.0)
        self.style = one_of("style", style, ("weight", "all"))
        self._bought: set[str] = set()

    def decide(self, observation: Observation) -> Decision | None:
        """Return the first purchase of each symbol, else ``None``."""
        if self.style == "weight" and len(self._bought) == len(observation.symbols):
            return None
        listed = [symbol for symbol in observation.symbols if len(observation.prices(symbol))]
        if self.style == "all":
            return _spend_all(observation, listed)
        fresh = [symbol for symbol in listed if symbol not in self._bought]
        if not fresh:
            return None
        self._bought.update(fresh)
        share = self.weight / len(observation.symbols)
        actions = tuple(TargetWeight(symbol=symbol, weight=share) for symbol in fresh)
        return Decision(actions=actions, reason=f"buy {', '.join(fresh)} and hold")


def _spend_all(observation: Observation, listed: list[str]) -> Decision | None:
    if not listed or observation.cash <= max(DUST * observation.equity, 0.0):
        return None
    each = observation.cash / len(listed)
    actions: tuple[Action, ...] = tuple(
        Order(symbol=symbol, side="buy", cash=each) for symbol in listed
    )
    return Decision(actions=actions, reason="spend all the cash and hold")
