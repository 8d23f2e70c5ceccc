"""Dollar-cost averaging: the same amount at the same interval, whatever the price."""

import json

from seawall.action import Order
from seawall.agent import Decision, Wake
from seawall.errors import AgentError
from seawall.observation import Observation

from ._parameters import duration, number, whole_number

CENT = 0.01  # quote units: what is left of the cash at the end is not worth an order


class Dca:
    """Buy for a fixed amount of cash every so often, until the cash is spent.

    It sleeps in between. Several symbols share each purchase equally; one that is not listed yet
    leaves its part unspent.

    Parameters:
        every: time between two purchases, as a duration.
        cash_per_purchase: quote units; left out, the cash at the start is spent in ``purchases``.
        purchases: into how many purchases the cash is divided.
    """

    def __init__(
        self, *, every: str = "7d", cash_per_purchase: float | None = None, purchases: int = 26
    ) -> None:
        self.every_ms = duration("every", every)
        self.purchases = whole_number("purchases", purchases)
        self._amount = (
            None
            if cash_per_purchase is None
            else number("cash_per_purchase", cash_per_purchase, above=0.0)
        )
        self._next_ms: int | None = None

    def decide(self, observation: Observation) -> Decision | None:
        """Return the purchase that is due, and sleep until the next; else ``None``."""
        if self._next_ms is not None and observation.time_ms < self._next_ms:
            return None
        listed = [symbol for symbol in observation.symbols if len(observation.prices(symbol))]
        if self._amount is None:
            self._amount = max(observation.cash, 0.0) / self.purchases
        each = min(self._amount, observation.cash) / len(observation.symbols)
        if not listed or each < CENT:
            return None
        self._next_ms = observation.time_ms + self.every_ms
        actions = tuple(Order(symbol=symbol, side="buy", cash=each) for symbol in listed)
        reason = f"the purchase that is due, {each:,.2f} each"
        return Decision(actions=actions, reason=reason, wake=Wake(after_ms=self.every_ms))

    def state(self) -> bytes:
        """Return what has to survive a restart."""
        return json.dumps({"amount": self._amount, "next_ms": self._next_ms}).encode()

    def restore(self, state: bytes) -> None:
        """Go on where ``state()`` was taken.

        Raises:
            AgentError: it is the state of something else.
        """
        try:
            stored = json.loads(state)
            self._amount, self._next_ms = stored["amount"], stored["next_ms"]
        except (ValueError, KeyError, TypeError):
            raise AgentError(f"this is no state of dca: {state!r:.80}: start anew") from None
