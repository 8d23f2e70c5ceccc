"""Donchian breakout: buy a new high, sell a new low. The rule of the turtles."""

from seawall.action import Action
from seawall.agent import Decision
from seawall.observation import Observation

from ._parameters import whole_number
from ._rules import BUY, SELL, WAIT, Stance, Style


class Donchian:
    """Buy above the highest high of ``entry_bars``, sell below the lowest low of ``exit_bars``.

    The newest price is compared with whole bars before it, never with its own.

    Parameters:
        entry_bars, exit_bars: lengths in bars.
        weight: share of the equity to hold; > 0 and at most 1.
        style: ``"weight"``, or ``"half"`` to trade half of the cash or coins on every bar.

    Source: Faith, "Way of the Turtle" (2007), system 1 without its filter and its pyramids.
    """

    def __init__(
        self,
        *,
        entry_bars: int = 20,
        exit_bars: int = 10,
        weight: float = 1.0,
        style: Style = "weight",
    ) -> None:
        self.entry_bars = whole_number("entry_bars", entry_bars)
        self.exit_bars = whole_number("exit_bars", exit_bars)
        self._stance = Stance(style=style, weight=weight)

    def decide(self, observation: Observation) -> Decision | None:
        """Return the target weight, or the order, at a breakout."""
        actions: list[Action] = []
        reasons: list[str] = []
        for symbol in observation.symbols:
            word, reason = self._look(observation, symbol)
            action = self._stance.act(observation, symbol, word) if word != WAIT else None
            if action is not None:
                actions.append(action)
                reasons.append(reason)
        if not actions:
            return None
        return Decision(actions=tuple(actions), reason="; ".join(reasons))

    def _look(self, observation: Observation, symbol: str) -> tuple[int, str]:
        n_before = len(observation.prices(symbol)) - 1  # whole bars before the newest price
        if n_before < max(self.entry_bars, self.exit_bars):
            return WAIT, ""
        history, price = observation.history(symbol), observation.price(symbol)
        highest = float(history.high[n_before - self.entry_bars : n_before].max())
        if price > highest:
            return BUY, f"price {price:.6g} is above the {self.entry_bars}-bar high {highest:.6g}"
        lowest = float(history.low[n_before - self.exit_bars : n_before].min())
        if price < lowest:
            return SELL, f"price {price:.6g} is below the {self.exit_bars}-bar low {lowest:.6g}"
        return WAIT, ""
