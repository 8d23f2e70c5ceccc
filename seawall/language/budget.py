"""What thinking may cost: prices, and the limits on calls, tokens and money."""

from dataclasses import dataclass
from math import inf

from seawall.language.request import Reply, Request

_MILLION = 1e6


@dataclass(frozen=True, kw_only=True)
class Prices:
    """USD per million tokens, in and out."""

    input_usd: float = 0.0
    output_usd: float = 0.0

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        """Return what so many tokens cost, USD."""
        return (input_tokens * self.input_usd + output_tokens * self.output_usd) / _MILLION


@dataclass(kw_only=True)
class Budget:
    """What is spent, and what may be.

    Attributes:
        max_calls, max_tokens, max_usd: limits of a whole run; ``inf``: none.
        n_calls, input_tokens, output_tokens, usd: spent so far.
    """

    prices: Prices
    max_calls: float = inf
    max_tokens: float = inf
    max_usd: float = inf
    n_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0

    def find_limit(self, request: Request) -> str:
        """Return the limit that a call could break, or ``""``.

        Its tokens are counted as four characters each, and its answer as long as it may become.
        """
        asked, answered = request.n_tokens_guessed, request.max_tokens
        tokens = self.input_tokens + self.output_tokens + asked + answered
        usd = self.usd + self.prices.cost(asked, answered)
        for name, needed, limit, spent in (
            ("budget_calls", self.n_calls + 1, self.max_calls, f"{self.n_calls}"),
            ("budget_tokens", tokens, self.max_tokens, f"{self.input_tokens + self.output_tokens}"),
            ("budget_usd", usd, self.max_usd, f"{self.usd:.6g}"),
        ):
            if needed > limit:
                return f"the budget is spent: agent.{name} is {limit:g}, {spent} are used"
        return ""

    def spend(self, reply: Reply) -> float:
        """Count one call; return what it cost, USD."""
        cost = self.prices.cost(reply.input_tokens, reply.output_tokens)
        self.n_calls += 1
        self.input_tokens += reply.input_tokens
        self.output_tokens += reply.output_tokens
        self.usd += cost
        return cost
