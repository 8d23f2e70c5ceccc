"""From what an indicator says about a price to what the agent asks for.

A rule takes one price after another and says ``BUY``, ``SELL`` or ``WAIT``. ``RuleFollower`` keeps
one rule per symbol, feeds each the prices it has not seen, be it the whole warm-up or what passed
while the agent slept, and acts on the newest word in one of two styles:

``weight``  a buy means "hold ``weight`` of the equity", a sell "hold none"; said when it changes.
``half``    on every bar a buy spends half of the cash, a sell gives half of what is held: the
            published CryptoTrade baselines (EMNLP 2024) trade so.

Several symbols share ``weight`` (and the half) equally.
"""

from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np

from seawall.action import Action, Order, TargetWeight
from seawall.agent import Decision
from seawall.observation import History, Observation

from ._parameters import number, one_of

BUY, WAIT, SELL = 1, 0, -1
Style = Literal["weight", "half"]


class Rule(Protocol):
    """What turns prices into words."""

    def update(self, price: float) -> int:
        """Take the next price, quote per base unit, and return ``BUY``, ``SELL`` or ``WAIT``."""
        ...

    def explain(self) -> str:
        """Return why the last word was said."""
        ...


class Stance:
    """What was last said about each symbol, and how a new word is carried out."""

    def __init__(self, *, style: Style, weight: float, wait_for_change: bool = False) -> None:
        self.style = one_of("style", style, ("weight", "half"))
        self.weight = number("weight", weight, above=0.0, at_most=1.0)
        self._waits = wait_for_change
        self._word: dict[str, int] = {}
        self._bought: set[str] = set()

    def act(self, observation: Observation, symbol: str, word: int) -> Action | None:
        """Return the action that ``word`` calls for now, or ``None``."""
        if self.style == "half":
            return _half(observation, symbol, word)
        before = self._word.get(symbol, WAIT)
        if word in (WAIT, before):
            return None
        self._word[symbol] = word
        if before == WAIT and self._waits:
            return None
        if word == BUY:
            self._bought.add(symbol)
            share = self.weight / len(observation.symbols)
            return TargetWeight(symbol=symbol, weight=share)
        if symbol not in self._bought and not observation.quantities.get(symbol, 0.0):
            return None  # there has never been anything to sell
        return TargetWeight(symbol=symbol, weight=0.0)


class _Followed:
    """A rule of one symbol, and the time of the last bar whose price it has been told.

    Bars are told apart by time: an agent elsewhere may see a window that moves and never grows.
    """

    __slots__ = ("rule", "told_ms")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.told_ms = -1  # before any bar

    def tell(self, history: History) -> int | None:
        """Tell the rule what it has not heard yet, and return its last word; ``None``: nothing."""
        time_ms, told_ms = history.time_ms, self.told_ms
        n = len(time_ms)
        if not n:
            return None  # not listed yet
        last_ms = time_ms.item(-1)
        if last_ms <= told_ms:
            return None  # no new bar
        self.told_ms = last_ms
        prices = history.close if n == len(history) else history.open
        if n > 1 and time_ms.item(-2) == told_ms:  # asked at every bar: no list for one price
            return self.rule.update(prices.item(-1))
        start = int(np.searchsorted(time_ms, told_ms, "right"))
        word = WAIT
        for price in prices[start:].tolist():
            word = self.rule.update(price)
        return word


class RuleFollower:
    """One rule per symbol, and the stance towards each."""

    def __init__(self, make_rule: Callable[[], Rule], stance: Stance) -> None:
        self._make_rule, self._stance = make_rule, stance
        self._followed: dict[str, _Followed] = {}

    def decide(self, observation: Observation) -> Decision | None:
        """Return the actions that the newest prices call for, with the reasons, or ``None``."""
        found: list[tuple[Action, str]] = []
        for symbol in observation.symbols:
            followed = self._followed.get(symbol)
            if followed is None:
                followed = self._followed[symbol] = _Followed(self._make_rule())
            word = followed.tell(observation.history(symbol))
            if word is None:
                continue
            action = self._stance.act(observation, symbol, word)
            if action is not None:
                found.append((action, followed.rule.explain()))
        if not found:
            return None
        actions, reasons = zip(*found, strict=True)
        return Decision(actions=actions, reason="; ".join(reasons))


def _half(observation: Observation, symbol: str, word: int) -> Action | None:
    held = observation.quantities.get(symbol, 0.0)
    if word == BUY and observation.cash > 0:  # fees may have taken it below zero
        part = observation.cash / 2 / len(observation.symbols)
        return Order(symbol=symbol, side="buy", cash=part)
    if word == SELL and held > 0:
        return Order(symbol=symbol, side="sell", quantity=held / 2)
    return None
