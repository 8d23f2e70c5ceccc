"""Leave the loan as it is: what every guard of a loan is measured against."""

from typing import ClassVar

from seawall import Decision, Observation, Wake
from seawall.units import YEAR_MS


class DoNothing:
    """Never acts; the loan lives or is liquidated by itself."""

    guards: ClassVar[str] = "loan"

    def decide(self, observation: Observation) -> Decision:
        """Sleep for as long as one may."""
        del observation
        return Decision(wake=Wake(after_ms=100 * YEAR_MS))
