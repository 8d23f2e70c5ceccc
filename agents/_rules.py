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
from seawall.observation import Observation

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
    """A rule of one symbol, how many prices it has been told, and what was seen with the last.

    An agent elsewhere may see a window that moves and never grows: there the times tell bars apart.
    """

    __slots__ = ("n_told", "rule", "seen")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.n_told = 0
        self.seen: Observation | None = None

    def tell(self, observation: Observation, symbol: str) -> int | None:
        """Tell the rule what it has not heard yet, and return its last word; ``None``: nothing."""
        prices = observation.prices(symbol)
        n, n_told, seen = len(prices), self.n_told, self.seen
        self.n_told, self.seen = n, observation
        if n == n_told + 1:  # asked at every bar: no list for one price
            return self.rule.update(prices.item(n_told))
        start = 0
        if seen is not None and n_told:
            told_ms = seen.history(symbol).time_ms.item(-1)
            time_ms = observation.history(symbol).time_ms
            start = int(np.searchsorted(time_ms, told_ms, "right"))
        if start == n:
            return None  # not listed yet, or no new bar
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
            word = followed.tell(observation, symbol)
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
