"""The crossing of two simple moving averages: the oldest trend rule there is."""

from seawall.agent import Decision
from seawall.errors import RecipeError
from seawall.observation import Observation

from ._averages import RollingWindow, compare_means
from ._parameters import true_or_false, whole_number
from ._rules import WAIT, RuleFollower, Stance, Style


class SmaCross:
    """Hold while the mean of the last ``fast`` prices is above the mean of the last ``slow``.

    ``fast = 1`` is the price itself: buy above its average, sell below. Averages that are equal
    change nothing.

    Parameters:
        fast, slow: lengths in bars; fast < slow.
        weight: share of the equity to hold; > 0 and at most 1.
        style: ``"weight"``, or ``"half"`` to trade half of the cash or coins on every bar.
        wait_for_cross: do not act on the state that is found at the start, only on crossings.

    Source: Brock, Lakonishok, LeBaron, "Simple Technical Trading Rules and the Stochastic
    Properties of Stock Returns", Journal of Finance 47 (1992).
    """

    def __init__(
        self,
        *,
        fast: int = 20,
        slow: int = 100,
        weight: float = 1.0,
        style: Style = "weight",
        wait_for_cross: bool = False,
    ) -> None:
        self.slow = whole_number("slow", slow, at_least=2)
        self.fast = whole_number("fast", fast)
        if self.fast >= self.slow:
            raise RecipeError(
                f"agent.fast must be below agent.slow, is {fast} with slow = {slow}: "
                "try fast = 20, slow = 100"
            )
        waits = true_or_false("wait_for_cross", wait_for_cross)
        stance = Stance(style=style, weight=weight, wait_for_change=waits)
        self._follower = RuleFollower(lambda: _Cross(self.fast, self.slow), stance)

    def decide(self, observation: Observation) -> Decision | None:
        """Return the target weight, or the order, when the averages call for one."""
        return self._follower.decide(observation)


class _Cross:
    """Which of two averages of one symbol is above the other."""

    __slots__ = ("_fast", "_slow")

    def __init__(self, fast: int, slow: int) -> None:
        self._fast, self._slow = RollingWindow(fast), RollingWindow(slow)

    def update(self, price: float) -> int:
        self._fast.push(price)
        self._slow.push(price)
        if not self._slow.is_full:
            return WAIT
        return compare_means(self._fast, self._slow)

    def explain(self) -> str:
        fast, slow = self._fast.mean(), self._slow.mean()
        word = "above" if fast > slow else "below"
        return f"SMA {self._fast.n} at {fast:.6g} is {word} SMA {self._slow.n} at {slow:.6g}"
