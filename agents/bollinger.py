"""Bollinger reversion: buy below the lower band, sell when the price has come back."""

from typing import Literal

from seawall.agent import Decision
from seawall.observation import Observation

from ._averages import RollingWindow
from ._parameters import number, one_of, whole_number
from ._rules import BUY, SELL, WAIT, RuleFollower, Stance, Style


class Bollinger:
    """Buy below ``mean - width * deviation`` of the last ``n`` prices; sell above the exit line.

    The deviation is the sample's (ddof 1). Between the lines nothing changes.

    Parameters:
        n: length in bars, at least 2; the newest price is one of them.
        width: distance of the bands in standard deviations, > 0.
        exit_at: the line above which to sell: ``"middle"`` (the mean) or ``"upper"``.
        weight: share of the equity to hold; > 0 and at most 1.
        style: ``"weight"``, or ``"half"`` to trade half of the cash or coins on every bar.

    Source: Bollinger, "Bollinger on Bollinger Bands" (2001).
    """

    def __init__(
        self,
        *,
        n: int = 20,
        width: float = 2.0,
        exit_at: Literal["middle", "upper"] = "middle",
        weight: float = 1.0,
        style: Style = "weight",
    ) -> None:
        self.n = whole_number("n", n, at_least=2)
        self.width = number("width", width, above=0.0)
        self.exit_at = one_of("exit_at", exit_at, ("middle", "upper"))
        exit_width = self.width if self.exit_at == "upper" else 0.0
        stance = Stance(style=style, weight=weight)
        self._follower = RuleFollower(lambda: _Bands(self.n, self.width, exit_width), stance)

    def decide(self, observation: Observation) -> Decision | None:
        """Return the target weight, or the order, when the bands call for one."""
        return self._follower.decide(observation)


class _Bands:
    """The bands of one symbol."""

    __slots__ = ("_exit_width", "_price", "_width", "_window")

    def __init__(self, n: int, width: float, exit_width: float) -> None:
        self._window = RollingWindow(n)
        self._width, self._exit_width = width, exit_width
        self._price = float("nan")

    def update(self, price: float) -> int:
        self._window.push(price)
        self._price = price
        if not self._window.is_full:
            return WAIT
        mean, deviation = self._window.mean(), self._window.deviation()
        if price < mean - self._width * deviation:
            return BUY
        return SELL if price > mean + self._exit_width * deviation else WAIT

    def explain(self) -> str:
        mean, deviation = self._window.mean(), self._window.deviation()
        return f"price {self._price:.6g}, mean {mean:.6g}, deviation {deviation:.4g}"
