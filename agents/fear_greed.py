"""Buy when the others are fearful, sell when they are greedy.

The index of fear and greed is a signal that the recipe names, from 0, extreme fear, to 100, extreme
greed; each value counts from when it was known. Once the newest one is older than ``stale`` nothing
is asked for until the index speaks again.

Source of the index: alternative.me, "Crypto Fear & Greed Index".
"""

from seawall import AgentInfo, Decision, Observation, TargetWeight
from seawall.errors import AgentError

from ._parameters import duration, number, true_or_false
from ._protection import check_apart


class FearGreed:
    """Hold while the index has last been at ``fear`` or below, not once at ``greed`` or above.

    Parameters:
        fear, greed: levels of the index, the first below the second.
        signal: as the recipe names it, ``sentiment/fear_greed/1d``; ``""``: its first.
        inverted: buy greed and sell fear.
        weight: of the equity, over all symbols; > 0 and at most 1.
        stale: age beyond which a value is not acted on, as a duration.
    """

    def __init__(
        self,
        *,
        fear: float = 25.0,
        greed: float = 75.0,
        signal: str = "",
        inverted: bool = False,
        weight: float = 1.0,
        stale: str = "3d",
    ) -> None:
        self.fear = number("fear", fear, above=-1e-9, at_most=100.0)
        self.greed = number("greed", greed, above=-1e-9, at_most=100.0)
        check_apart("fear", self.fear, "greed", self.greed)
        self.signal = signal
        self.inverted = true_or_false("inverted", inverted)
        self.weight = number("weight", weight, above=0.0, at_most=1.0)
        self.stale_ms = duration("stale", stale)
        self._is_long: bool | None = None
        self._asked: dict[str, bool] = {}

    def begin(self, info: AgentInfo) -> None:
        """Begin anew."""
        self._is_long = None
        self._asked = dict.fromkeys(info.symbols, False)

    def decide(self, observation: Observation) -> Decision | None:
        """Go in or out where the newest known value says so."""
        known_ms, values = observation.signal_history(self._find_signal(observation))
        if not len(values) or observation.time_ms - known_ms[-1] > self.stale_ms:
            return None
        value = float(values[-1])
        if value <= self.fear or value >= self.greed:
            self._is_long = (value <= self.fear) != self.inverted
        if self._is_long is None:
            return None
        share = self.weight / len(observation.symbols) if self._is_long else 0.0
        actions = [
            TargetWeight(symbol=symbol, weight=share)
            for symbol in observation.symbols
            if self._asked.get(symbol, False) != self._is_long
            and len(observation.prices(symbol))  # it is listed
        ]
        if not actions:
            return None
        self._asked |= {action.symbol: self._is_long for action in actions}
        word = "fear" if value <= self.fear else "greed" if value >= self.greed else "index"
        return Decision(actions=tuple(actions), reason=f"{word} at {value:g}")

    def _find_signal(self, observation: Observation) -> str:
        names = observation.signal_names
        if not self.signal and not names:
            raise AgentError(
                "this agent needs a signal, the recipe names none: write "
                'signals = ["sentiment/fear_greed/1d"] in [market]'
            )
        return self.signal or names[0]
