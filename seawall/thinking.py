"""What one decision of an agent took: its bill, and the time until its answer."""

from dataclasses import dataclass
from math import isfinite

from seawall.errors import AgentError
from seawall.given import to_number, to_whole
from seawall.units import DAY_MS

_LONGEST_MS = 36_525 * DAY_MS  # a hundred years
_put = object.__setattr__  # what is frozen is still being made


@dataclass(frozen=True, kw_only=True)
class Thinking:
    """What one decision took: the bill is off the equity, the time delays what was decided.

    Both change numbers, so in a backtest they come from the recipe or from a recording.

    Attributes:
        cost: quote units of the account, USD of a loan; >= 0. It is owed beside the venues: no
            venue's money pays it.
        latency_ms: from the question to the answer, 0 to a hundred years. Orders leave so much
            later, as with ``execution.latency``; until then the agent is not asked again.
        n_calls, input_tokens, output_tokens: of a language model, for the journal.

    Raises:
        AgentError: a number that is none, or is out of range.
    """

    cost: float = 0.0
    latency_ms: int = 0
    n_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __post_init__(self) -> None:
        cost = to_number("cost", self.cost)
        if not (isfinite(cost) and cost >= 0):
            raise AgentError(f"cost must be a finite number >= 0, is {cost}: leave it out for none")
        _put(self, "cost", cost)
        _put(self, "latency_ms", to_whole("latency_ms", self.latency_ms, _LONGEST_MS))
        for name in ("n_calls", "input_tokens", "output_tokens"):
            value = to_number(name, getattr(self, name))
            if not (value >= 0 and value.is_integer()):
                raise AgentError(f"{name} must be a whole number >= 0, is {value}: count again")
            _put(self, name, int(value))
