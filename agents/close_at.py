"""Close the loan once its health factor has fallen to a threshold."""

from math import inf
from typing import ClassVar

from seawall import Decision, Observation

from ._parameters import number
from ._protection import aim, need_loan, sleep


class CloseAt:
    """Repay everything and take the collateral back when health falls below ``threshold``."""

    guards: ClassVar[str] = "loan"

    def __init__(self, *, threshold: float = 1.15) -> None:
        self.threshold = number("threshold", threshold, above=1.0)

    def decide(self, observation: Observation) -> Decision:
        """Close, or sleep until the threshold."""
        loan = need_loan(observation)
        if loan.health < self.threshold and not loan.pending:
            why = f"health {loan.health:.3f} is below {self.threshold:g}: close"
            return aim(loan, inf, why=why)
        return sleep(below=self.threshold)
