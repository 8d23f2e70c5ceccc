"""Leave the loan or the position as it is: what every guard of one is measured against."""

from typing import ClassVar

from seawall import Decision, Observation, Wake
from seawall.units import YEAR_MS


class DoNothing:
    """Never acts; what it guards lives or is liquidated by itself."""

    guards: ClassVar[tuple[str, ...]] = ("loan", "margin")

    def decide(self, observation: Observation) -> Decision:
        """Sleep for as long as one may."""
        del observation
        return Decision(wake=Wake(after_ms=100 * YEAR_MS))
