"""A guard in the style of DeFi Saver's automation: repay below one ratio, boost above another.

The ratio is borrowing power over debt: collateral times the largest loan to value, over what is
owed, in per cent. A repayment is sent when the ratio has fallen below ``trigger`` and brings it to
``target``; a boost likewise above ``boost_trigger``. As the service does, it checks what would come
of it: nothing is sent that would end more than five points from its target, for a debt below
``minimum_debt``, or at a gas cost above ``gas_cap`` of what is moved. Its fees, 0.25 % and 0.05 %
of what is swapped, are paid.

Left out: the service watches every block; this one is asked at closes.
"""

from typing import ClassVar

from seawall import Decision, LoanView, Observation, Wake
from seawall.errors import RecipeError
from seawall.preview import preview

from ._parameters import number
from ._protection import SOON, bundle_to, check_order, need_loan

SERVICE_FEE = 0.0025 + 0.0005  # of what is swapped: the service, and its automation
POINTS = 5.0  # how far from its target an action may end
_HOUR_MS = 3_600_000


class DefiSaver:
    """Repay below ``trigger`` to ``target`` per cent; boost above ``boost_trigger`` if set."""

    guards: ClassVar[str] = "loan"

    def __init__(
        self,
        *,
        trigger: float = 120.0,
        target: float = 150.0,
        boost_trigger: float = 0.0,
        boost_target: float = 0.0,
        minimum_debt: float = 500.0,
        gas_cap: float = 0.05,
    ) -> None:
        self.trigger = number("trigger", trigger, above=100.0)
        self.target = number("target", target, above=100.0)
        check_order("trigger", self.trigger, "target", self.target)
        self.boost_trigger, self.boost_target = float(boost_trigger), float(boost_target)
        if self.boost_trigger:
            check_order("target", self.target, "boost_trigger", self.boost_trigger)
            check_order("boost_target", self.boost_target, "boost_trigger", self.boost_trigger)
            if not self.boost_target > self.trigger:
                raise RecipeError(
                    f"agent.boost_target must be above agent.trigger, is {self.boost_target:g} and "
                    f"{self.trigger:g}: a boost would trigger a repayment"
                )
        self.minimum_debt = number("minimum_debt", minimum_debt, above=0.0)
        self.gas_cap = number("gas_cap", gas_cap, above=0.0, at_most=1.0)

    def decide(self, observation: Observation) -> Decision:
        """Repay, boost, or sleep until a trigger."""
        loan = need_loan(observation)
        ratio = _ratio(loan)
        if loan.pending or ratio is None:
            return self._sleep(loan)
        if ratio < self.trigger:
            return self._act(loan, ratio, self.target, "repay")
        if self.boost_trigger and ratio > self.boost_trigger:
            return self._act(loan, ratio, self.boost_target, "boost")
        return self._sleep(loan)

    def _act(self, loan: LoanView, ratio: float, target: float, what: str) -> Decision:
        """Return the action, or why the service would not send it."""
        why = f"ratio {ratio:.1f} %: {what} to {target:g} %"
        if loan.debt_usd < self.minimum_debt:
            return _wait(f"{why}; the debt of {loan.debt_usd:,.0f} USD is too small")
        health = max(target / 100.0 / _scale(loan), 1.001)
        bundle = bundle_to(loan, health, service_fee=SERVICE_FEE)
        if bundle is None:
            return _wait(f"{why}; nothing can be done")
        after = preview(loan, bundle)
        moved = abs(loan.debt_usd - after.debt_usd)
        if after.gas_usd > self.gas_cap * moved:
            return _wait(f"{why}; gas of {after.gas_usd:,.0f} USD is too much")
        reached = 100.0 * after.capacity_usd / after.debt_usd if after.debt_usd > 0 else target
        if abs(reached - target) > POINTS:
            return _wait(f"{why}; it would end at {reached:.1f} %")
        return Decision(actions=(bundle,), reason=why, wake=SOON)

    def _sleep(self, loan: LoanView) -> Decision:
        """Sleep until the ratio may be beyond a trigger; a day at most, for limits change."""
        scale = _scale(loan)
        if scale == 0.0:
            return _wait("")
        above = self.boost_trigger / 100.0 / scale if self.boost_trigger else None
        below = self.trigger / 100.0 / scale
        return Decision(wake=Wake(health_below=below, health_above=above, after_ms=24 * _HOUR_MS))


def _ratio(loan: LoanView) -> float | None:
    """Return borrowing power over debt in per cent; None where nothing is owed."""
    owed = loan.debt_usd
    return 100.0 * (loan.borrowable_usd + owed) / owed if owed > 0 else None


def _scale(loan: LoanView) -> float:
    """Return the ratio (1.0 is 100 %) at a health factor of 1."""
    limit = loan.liquidation_threshold * loan.collateral_usd
    return (loan.borrowable_usd + loan.debt_usd) / limit if limit > 0 else 0.0


def _wait(why: str) -> Decision:
    return Decision(reason=why, wake=Wake(after_ms=_HOUR_MS))
