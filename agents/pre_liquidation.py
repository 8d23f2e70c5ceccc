"""A guard in the style of Morpho's pre-liquidations: a little is sold early, more the later it is.

A borrower may authorise a contract by which anyone closes a part of the loan before it can be
liquidated: between a loan to value of their choice and the protocol's own, a share of the debt that
grows linearly from ``first_share`` to ``last_share``, for collateral worth that and an incentive
that grows from ``first_bonus`` to ``last_bonus``. Beyond the protocol's own, liquidators take over.

The same as the contract: both schedules, linear in the loan to value; that a part may be closed
again and again while it is beyond the threshold; that nobody comes where the incentive does not pay
the gas. Not the same: there anyone may close at the first price that allows it, here the loan's own
transaction is sent at a close and can be late; there whoever closes brings the asset and bears gas,
pool fee and impact, here the loan does, beside the incentive, which it pays as a service fee on
what it sells. So it costs a little more here, and comes a little later.

Source: morpho-org/pre-liquidation, `PreLiquidation.sol` and its README.
"""

from math import inf
from typing import ClassVar

from seawall import Decision, LoanView, Observation
from seawall.errors import RecipeError
from seawall.preview import preview
from seawall.rebalancing import to_health

from ._parameters import number, share
from ._protection import need_loan, send, sleep, wait

MOST_BONUS = 0.1
_AT_ONCE_MS = 1
_LEAST_HEALTH = 1.001


class PreLiquidation:
    """Below a health factor of ``start`` close a growing share of the debt, again and again.

    Parameters:
        start: > 1; the pre-liquidation's loan to value is the protocol's over it.
        first_share, last_share: of the debt that may be closed at once, at ``start`` and at 1.
        first_bonus, last_bonus: incentive as a share of what is closed, likewise; at most 0.1.
    """

    guards: ClassVar[str] = "loan"

    def __init__(
        self,
        *,
        start: float = 1.10,
        first_share: float = 0.1,
        last_share: float = 0.5,
        first_bonus: float = 0.01,
        last_bonus: float = 0.04,
    ) -> None:
        self.start = number("start", start, above=1.0)
        self.first_share = number("first_share", first_share, above=0.0, at_most=1.0)
        self.last_share = share("last_share", last_share)
        self.first_bonus = number("first_bonus", first_bonus, above=-1e-9, at_most=MOST_BONUS)
        self.last_bonus = number("last_bonus", last_bonus, above=-1e-9, at_most=MOST_BONUS)
        for first, last in (("first_share", "last_share"), ("first_bonus", "last_bonus")):
            if getattr(self, first) > getattr(self, last):
                raise RecipeError(
                    f"agent.{first} must be <= agent.{last}, is {getattr(self, first):g} with "
                    f"{last} = {getattr(self, last):g}: the later, the more"
                )

    def decide(self, observation: Observation) -> Decision:
        """Close a share, or sleep until the threshold."""
        loan = need_loan(observation)
        if loan.pending or not loan.health < self.start:
            return sleep(below=self.start)
        if loan.health < 1:
            return wait("", _AT_ONCE_MS)  # beyond the protocol's own line the contract refuses
        # (ltv - first ltv) / (last ltv - first ltv), with ltv = threshold / health
        depth = (1 / loan.health - 1 / self.start) / (1 - 1 / self.start)
        closed = self.first_share + depth * (self.last_share - self.first_share)
        bonus = self.first_bonus + depth * (self.last_bonus - self.first_bonus)
        return self._close(loan, closed, max(bonus, 0.0))

    def _close(self, loan: LoanView, closed: float, bonus: float) -> Decision:
        """Sell for a share of the debt, where its incentive pays the gas."""
        why = f"health {loan.health:.3f}: close {closed:.1%} of the debt at {bonus:.2%}"
        # Selling for a share s of the debt D leaves (L - threshold s D (1 + bonus)) / (D - s D).
        left = loan.health - loan.liquidation_threshold * closed * (1 + bonus)
        target = max(left / (1 - closed), _LEAST_HEALTH) if closed < 1 else inf
        bundle = to_health(loan, target, use_wallet=False, service_fee=bonus / (1 + bonus))
        if bundle is None:
            return wait(f"{why}: nothing can be done")
        gas_usd, incentive = preview(loan, bundle).gas_usd, bonus * closed * loan.debt_usd
        if incentive < gas_usd:
            return wait(
                f"{why}: {incentive:,.0f} USD do not pay {gas_usd:,.0f} of gas", _AT_ONCE_MS
            )
        return send(bundle, why)
