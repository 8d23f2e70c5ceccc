"""A guard in the style of Morpho's pre-liquidations: a little is sold early, more the later it is.

Between the pre-liquidation threshold and the protocol's own, a share of the debt is closed that
grows linearly from ``first_share`` to ``last_share``, at an incentive that grows from
``first_bonus`` to ``last_bonus``: cheaper than being liquidated.

The same as the contract: the two linear schedules. Not the same: there anyone may close at the
first price that allows it, here the loan's own transaction does at a close, pays gas, and pays the
incentive as a service fee on what it sells.
"""

from typing import ClassVar

from seawall import Decision, Observation

from ._parameters import number, share
from ._protection import aim, check_order, need_loan, sleep


class PreLiquidation:
    """Below a health factor of ``start`` close a growing share of the debt, again and again."""

    guards: ClassVar[str] = "loan"

    def __init__(
        self,
        *,
        start: float = 1.10,
        first_share: float = 0.1,
        last_share: float = 0.5,
        first_bonus: float = 0.005,
        last_bonus: float = 0.02,
    ) -> None:
        self.start = number("start", start, above=1.0)
        self.first_share, self.last_share = (
            share("first_share", first_share), share("last_share", last_share),
        )  # fmt: skip
        self.first_bonus, self.last_bonus = (
            share("first_bonus", first_bonus), share("last_bonus", last_bonus),
        )  # fmt: skip
        check_order("first_share", self.first_share, "last_share", self.last_share)
        check_order("first_bonus", self.first_bonus, "last_bonus", self.last_bonus)

    def decide(self, observation: Observation) -> Decision:
        """Close a share, or sleep until the threshold."""
        loan = need_loan(observation)
        if loan.pending or not loan.health < self.start:
            return sleep(below=self.start)
        depth = min((self.start - loan.health) / (self.start - 1.0), 1.0)
        closed = self.first_share + depth * (self.last_share - self.first_share)
        bonus = self.first_bonus + depth * (self.last_bonus - self.first_bonus)
        # Selling a share s of the debt D leaves (L - threshold s D) / (D - s D).
        threshold = loan.liquidation_threshold
        target = (loan.health - threshold * closed) / (1.0 - closed)
        why = f"health {loan.health:.3f}: close {closed:.0%} of the debt"
        return aim(loan, max(target, 1.001), service_fee=min(bonus, 0.1), why=why)
