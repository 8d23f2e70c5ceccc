"""Moving average convergence/divergence: the trend of the trend."""

from seawall.agent import Decision
from seawall.errors import RecipeError
from seawall.observation import Observation

from ._averages import ExponentialMean
from ._parameters import true_or_false, whole_number
from ._rules import BUY, SELL, WAIT, RuleFollower, Stance, Style


class Macd:
    """Hold while the MACD line is above its signal line.

    The line is the exponential mean of ``fast`` bars minus that of ``slow`` bars, the signal line
    the exponential mean of the line over ``signal`` bars. Means start at the first price seen, with
    weight 2 / (span + 1); nothing is said before ``slow + signal`` prices.

    Parameters:
        fast, slow, signal: spans in bars; fast < slow.
        inverted: buy below and sell above instead, as CryptoTrade (EMNLP 2024) publishes it.
        weight: share of the equity to hold; > 0 and at most 1.
        style: ``"weight"``, or ``"half"`` to trade half of the cash or coins on every bar.

    Source: Appel, "Technical Analysis: Power Tools for Active Investors" (2005).
    """

    def __init__(
        self,
        *,
        fast: int = 12,
        slow: int = 26,
        signal: int = 9,
        inverted: bool = False,
        weight: float = 1.0,
        style: Style = "weight",
    ) -> None:
        self.fast = whole_number("fast", fast)
        self.slow = whole_number("slow", slow, at_least=2)
        self.signal = whole_number("signal", signal)
        if self.fast >= self.slow:
            raise RecipeError(
                f"agent.fast must be below agent.slow, is {fast} with slow = {slow}: "
                "try fast = 12, slow = 26"
            )
        above, below = (SELL, BUY) if true_or_false("inverted", inverted) else (BUY, SELL)
        stance = Stance(style=style, weight=weight)
        self._follower = RuleFollower(
            lambda: _Divergence(self.fast, self.slow, self.signal, above=above, below=below), stance
        )

    def decide(self, observation: Observation) -> Decision | None:
        """Return the target weight, or the order, when the lines call for one."""
        return self._follower.decide(observation)


class _Divergence:
    """The MACD line and its signal line of one symbol."""

    __slots__ = ("_above", "_below", "_fast", "_line", "_line_mean", "_missing", "_slow")

    def __init__(self, fast: int, slow: int, signal: int, *, above: int, below: int) -> None:
        self._fast, self._slow = ExponentialMean(fast), ExponentialMean(slow)
        self._line_mean = ExponentialMean(signal)
        self._line = 0.0
        self._missing = slow + signal
        self._above, self._below = above, below

    def update(self, price: float) -> int:
        self._line = self._fast.push(price) - self._slow.push(price)
        mean = self._line_mean.push(self._line)
        if self._missing > 1:
            self._missing -= 1
            return WAIT
        if self._line > mean:
            return self._above
        return self._below if self._line < mean else WAIT

    def explain(self) -> str:
        return f"MACD line at {self._line:.6g}, its signal line at {self._line_mean.value:.6g}"
