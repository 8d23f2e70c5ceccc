"""Close the loan once its health factor has fallen to a threshold."""

from typing import ClassVar, Literal

from seawall import Decision, Observation
from seawall.rebalancing import close_loan

from ._parameters import number, one_of
from ._protection import need_loan, send, sleep


class CloseAt:
    """Repay everything when the health factor has fallen below ``threshold``.

    Parameters:
        threshold: > 1.
        keep: ``"collateral"`` sells what the debt needs and leaves the rest supplied, with nothing
            owed; ``"debt"`` sells all of it for the asset that was owed, and is out of the market.
    """

    guards: ClassVar[str] = "loan"

    def __init__(
        self, *, threshold: float = 1.15, keep: Literal["collateral", "debt"] = "collateral"
    ) -> None:
        self.threshold = number("threshold", threshold, above=1.0)
        self.keep = one_of("keep", keep, ("collateral", "debt"))

    def decide(self, observation: Observation) -> Decision:
        """Close, or sleep until the threshold."""
        loan = need_loan(observation)
        if loan.pending or not loan.health < self.threshold:
            return sleep(below=self.threshold)
        why = f"health {loan.health:.3f} is below {self.threshold:g}: close"
        return send(close_loan(loan, sell_all=self.keep == "debt"), why)
