"""A coin tosser with the turnover and the long share of another agent: what luck alone does."""

import numpy as np

from seawall.action import TargetWeight
from seawall.agent import AgentInfo, Decision
from seawall.errors import RecipeError
from seawall.observation import Observation

from ._parameters import number, share


class MatchedRandom:
    """Go in and out at random, as often and for as long as an agent that it is matched to.

    Each symbol is a two-state Markov chain. At its first bar it is held where a uniform number from
    [0, 1) is below ``long_share``; at each later one the state changes where the number is below
    ``p_out = switches_per_bar / (2 long_share)``, held, or
    ``p_in = switches_per_bar / (2 (1 - long_share))``, not held. One number is drawn per bar and
    listed symbol, in the order of the symbols, from the recipe's seed.

    Parameters:
        long_share: share of the bars in the market, from 0 to 1; at 0 or 1 it never changes.
        switches_per_bar: entries and exits per bar, from 0 to twice the smaller of ``long_share``
            and ``1 - long_share``.
        weight: share of the equity to hold, over all symbols; > 0 and at most 1.
    """

    def __init__(
        self, *, long_share: float = 0.5, switches_per_bar: float = 0.02, weight: float = 1.0
    ) -> None:
        self.long_share = share("long_share", long_share)
        self.switches_per_bar = share("switches_per_bar", switches_per_bar)
        self.weight = number("weight", weight, above=0.0, at_most=1.0)
        most = 2 * min(self.long_share, 1 - self.long_share)
        if 0 < most < self.switches_per_bar * (1 - 1e-12):
            raise RecipeError(
                f"agent.switches_per_bar must be <= {most:g} at long_share = {long_share:g}, "
                f"is {switches_per_bar:g}: a chain cannot change more often"
            )
        changes = most > 0
        self.p_out = self.switches_per_bar / (2 * self.long_share) if changes else 0.0
        self.p_in = self.switches_per_bar / (2 * (1 - self.long_share)) if changes else 0.0
        self._is_long: dict[str, bool] = {}
        self._rng = np.random.default_rng(0)

    def begin(self, info: AgentInfo) -> None:
        """Take the random numbers that the recipe's seed gives."""
        self._rng = info.rng

    def decide(self, observation: Observation) -> Decision | None:
        """Return new target weights where the coin says so, else ``None``."""
        actions: list[TargetWeight] = []
        for symbol in observation.symbols:
            if not len(observation.prices(symbol)):
                continue
            before = self._is_long.get(symbol)
            now = self._toss(before=before)
            self._is_long[symbol] = now
            if now != (before or False):
                weight = self.weight / len(observation.symbols) if now else 0.0
                actions.append(TargetWeight(symbol=symbol, weight=weight))
        return Decision(actions=tuple(actions), reason="the coin says so") if actions else None

    def _toss(self, *, before: bool | None) -> bool:
        number_drawn = self._rng.random()
        if before is None:
            return bool(number_drawn < self.long_share)
        has_changed = number_drawn < (self.p_out if before else self.p_in)
        return before != has_changed
