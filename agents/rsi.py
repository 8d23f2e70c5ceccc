"""The relative strength index: buy what fell too far, sell what rose too far."""

from seawall.agent import Decision
from seawall.errors import RecipeError
from seawall.observation import Observation

from ._parameters import number, whole_number
from ._rules import BUY, SELL, WAIT, RuleFollower, Stance, Style


class Rsi:
    """Buy when the RSI is below ``oversold``, sell when it is above ``overbought``.

    Wilder's smoothing: the first average gain and loss are plain means of ``n`` changes. A market
    that has not moved at all has RSI 50.

    Parameters:
        n: length in bars.
        oversold, overbought: levels from 0 to 100; oversold < overbought.
        weight: share of the equity to hold; > 0 and at most 1.
        style: ``"weight"``, or ``"half"`` to trade half of the cash or coins on every bar.

    Source: Wilder, "New Concepts in Technical Trading Systems" (1978).
    """

    def __init__(
        self,
        *,
        n: int = 14,
        oversold: float = 30.0,
        overbought: float = 70.0,
        weight: float = 1.0,
        style: Style = "weight",
    ) -> None:
        self.n = whole_number("n", n)
        self.oversold = number("oversold", oversold, above=0.0, at_most=100.0)
        self.overbought = number("overbought", overbought, above=0.0, at_most=100.0)
        if self.oversold >= self.overbought:
            raise RecipeError(
                f"agent.oversold must be below agent.overbought, is {oversold:g} with "
                f"overbought = {overbought:g}: try 30 and 70"
            )
        stance = Stance(style=style, weight=weight)
        self._follower = RuleFollower(
            lambda: _Strength(self.n, self.oversold, self.overbought), stance
        )

    def decide(self, observation: Observation) -> Decision | None:
        """Return the target weight, or the order, when the index calls for one."""
        return self._follower.decide(observation)


class _Strength:
    """The index of one symbol."""

    __slots__ = ("_gain", "_last", "_loss", "_n", "_n_changes", "_overbought", "_oversold", "value")

    def __init__(self, n: int, oversold: float, overbought: float) -> None:
        self._n, self._oversold, self._overbought = n, oversold, overbought
        self._gain = self._loss = 0.0
        self._n_changes = 0
        self._last: float | None = None
        self.value = 50.0

    def update(self, price: float) -> int:
        change = 0.0 if self._last is None else price - self._last
        if self._last is not None:
            self._n_changes += 1
            n = min(self._n_changes, self._n)  # a plain mean of the first n, then Wilder's
            self._gain += (max(change, 0.0) - self._gain) / n
            self._loss += (max(-change, 0.0) - self._loss) / n
        self._last = price
        if self._n_changes < self._n:
            return WAIT
        total = self._gain + self._loss
        self.value = 100.0 * self._gain / total if total > 0 else 50.0
        if self.value < self._oversold:
            return BUY
        return SELL if self.value > self._overbought else WAIT

    def explain(self) -> str:
        if self.value < self._oversold:
            return f"RSI {self._n} at {self.value:.1f} is below {self._oversold:g}"
        return f"RSI {self._n} at {self.value:.1f} is above {self._overbought:g}"
