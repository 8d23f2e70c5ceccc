"""Hold a carry while funding pays, and leave it when it no longer does.

The mean of the last ``n`` settled funding rates, per year of 365 days, decides; a rate is known
from its settlement on.

Left out: what it costs to enter and to leave; a low ``n`` pays that often. Bars longer than the
funding interval hold rates that it would not hear: on those it abstains and says so.
"""

import json
from typing import ClassVar

from seawall.agent import AgentInfo, Answer
from seawall.errors import AgentError, RecipeError
from seawall.observation import Observation
from seawall.perpetual_view import PerpetualView
from seawall.units import YEAR_MS, to_duration_text

from ._parameters import number, share, whole_number

LARGEST_RATE = 100.0  # per year


class FundingThreshold:
    """Answer the share ``weight`` above ``enter``, 0.0 below ``leave``, and no change in between.

    For ``strategies.funding_carry``, of all pairs of the market; each has an equal part.

    Parameters:
        enter, leave: mean funding rate per year; 0.05 is 5 %.
        n: settlements that are averaged; until there are so many it stays out.
        weight: share of the equity, over all pairs.
    """

    trades: ClassVar[str] = "carry"

    def __init__(
        self, *, enter: float = 0.05, leave: float = 0.0, n: int = 21, weight: float = 1.0
    ) -> None:
        self.enter = number("enter", enter, above=-LARGEST_RATE, at_most=LARGEST_RATE)
        self.leave = number("leave", leave, above=-LARGEST_RATE, at_most=LARGEST_RATE)
        if self.leave > self.enter:
            raise RecipeError(
                f"agent.leave must be at most agent.enter, is {leave:g} with enter = {enter:g}: "
                "between them it would come and go"
            )
        self.n = whole_number("n", n)
        self.weight = share("weight", weight)
        self._bar_ms = 0
        self._rates: dict[str, list[float]] = {}
        self._settled_ms: dict[str, int] = {}
        self._is_in: dict[str, bool] = {}

    def begin(self, info: AgentInfo) -> None:
        """Note how long a bar is."""
        self._bar_ms = info.timeframe_ms

    def decide(self, observation: Observation) -> Answer:
        """Return the shares that have changed, by contract; ``None`` where none has."""
        view = observation.perpetual
        if view is None:
            return None
        changed = {}
        for symbol in view.symbols:
            self._listen(view, symbol)
            before = self._is_in.get(symbol, False)
            now = self._judge(view, symbol, before=before)
            if now != before:
                self._is_in[symbol] = now
                changed[symbol] = self.weight / len(view.symbols) if now else 0.0
        return changed or None

    def _listen(self, view: PerpetualView, symbol: str) -> None:
        """Note the rate that was settled last, once.

        Raises:
            AgentError: others were settled since the bar before.
        """
        interval_ms = view.contracts[symbol].interval_ms
        if self._bar_ms > interval_ms:
            longest = to_duration_text(interval_ms)
            raise AgentError(
                f"funding_threshold hears one rate a bar, {symbol} is settled every {longest} and "
                f"bars last {to_duration_text(self._bar_ms)}: take bars of at most {longest}"
            )
        next_ms, rate = view.next_funding_ms(symbol), view.funding_rate(symbol)
        if rate != rate or self._settled_ms.get(symbol) == next_ms:  # noqa: PLR0124 - nan
            return
        self._settled_ms[symbol] = next_ms
        rates = self._rates.setdefault(symbol, [])
        rates.append(rate)
        del rates[: -self.n]

    def _judge(self, view: PerpetualView, symbol: str, *, before: bool) -> bool:
        rates = self._rates.get(symbol, [])
        if len(rates) < self.n:
            return before
        mean = sum(rates) / self.n * YEAR_MS / view.contracts[symbol].interval_ms
        if mean > self.enter:
            return True
        return before and not mean < self.leave

    def state(self) -> bytes:
        """Return what has been heard, and where it is in."""
        return json.dumps([self._rates, self._settled_ms, self._is_in]).encode()

    def restore(self, state: bytes) -> None:
        """Go on from there."""
        self._rates, self._settled_ms, self._is_in = json.loads(state)
