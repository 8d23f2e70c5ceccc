"""Deleverage at once to a safe health factor, and keep it there."""

from typing import ClassVar

from seawall import Decision, Observation
from seawall.rebalancing import to_health

from ._parameters import number
from ._protection import need_loan, send, sleep


class MinimumLeverage:
    """Hold the health factor at ``health``: sell down to it at the start, and when it has fallen.

    It never borrows more.

    Parameters:
        health: to aim at, > 1.
        band: it acts again below ``health * (1 - band)``; > 0 and at most 0.9.
    """

    guards: ClassVar[str] = "loan"

    def __init__(self, *, health: float = 2.5, band: float = 0.1) -> None:
        self.health = number("health", health, above=1.0)
        self.band = number("band", band, above=0.0, at_most=0.9)

    def decide(self, observation: Observation) -> Decision:
        """Deleverage where it is needed, else sleep until it is."""
        loan = need_loan(observation)
        least = self.health * (1.0 - self.band)
        if loan.pending or not loan.health < least:
            return sleep(below=least)
        why = f"health {loan.health:.3f} is below {least:.3f}: to {self.health:g}"
        return send(to_health(loan, self.health), why)
