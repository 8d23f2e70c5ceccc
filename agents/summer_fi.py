"""A guard in the style of Summer.fi's automation: sell above a loan to value, stop-loss above it.

An auto-sell brings the loan to value from ``trigger`` back to ``target`` per cent, unless gas costs
more than ``max_gas_usd``; it is not sent where it would end more than two points from the target. A
stop-loss closes the loan above ``stop_loss``, whatever the gas costs.

Left out: the service's auto-buy, and that it watches every block.
"""

from math import inf
from typing import ClassVar

from seawall import Decision, LoanView, Observation, Wake
from seawall.preview import preview

from ._parameters import number
from ._protection import SOON, aim, bundle_to, check_order, need_loan

SERVICE_FEE = 0.002  # of what is swapped
POINTS = 2.0
_HOUR_MS = 3_600_000


class SummerFi:
    """Auto-sell at ``trigger`` % loan to value to ``target`` %, stop-loss at ``stop_loss`` %."""

    guards: ClassVar[str] = "loan"

    def __init__(
        self,
        *,
        trigger: float = 68.0,
        target: float = 55.0,
        stop_loss: float = 77.0,
        max_gas_usd: float = 300.0,
    ) -> None:
        self.trigger = number("trigger", trigger, above=0.0, at_most=99.0)
        self.target = number("target", target, above=0.0, at_most=99.0)
        self.stop_loss = number("stop_loss", stop_loss, above=0.0, at_most=100.0)
        check_order("target", self.target, "trigger", self.trigger)
        check_order("trigger", self.trigger, "stop_loss", self.stop_loss)
        self.max_gas_usd = number("max_gas_usd", max_gas_usd, above=0.0)

    def decide(self, observation: Observation) -> Decision:
        """Stop, sell, or sleep until the trigger."""
        loan = need_loan(observation)
        ltv = 100.0 * loan.ltv
        if not loan.pending and ltv > self.stop_loss:
            return aim(
                loan, inf, service_fee=SERVICE_FEE, why=f"loan to value {ltv:.1f} %: stop-loss"
            )
        if not loan.pending and ltv > self.trigger:
            return self._sell(loan, ltv)
        if ltv == 0.0:
            return Decision(wake=Wake(after_ms=24 * _HOUR_MS))
        threshold = loan.liquidation_threshold
        below = threshold / (self.trigger / 100.0)
        return Decision(wake=Wake(health_below=below, after_ms=24 * _HOUR_MS))

    def _sell(self, loan: LoanView, ltv: float) -> Decision:
        why = f"loan to value {ltv:.1f} %: sell to {self.target:g} %"
        health = max(loan.liquidation_threshold / (self.target / 100.0), 1.001)
        bundle = bundle_to(loan, health, service_fee=SERVICE_FEE)
        wait = Wake(after_ms=_HOUR_MS)
        if bundle is None:
            return Decision(reason=f"{why}; nothing can be done", wake=wait)
        after = preview(loan, bundle)
        if after.gas_usd > self.max_gas_usd:
            return Decision(reason=f"{why}; gas of {after.gas_usd:,.0f} USD is too much", wake=wait)
        worth = sum(held * after.prices[name] for name, held in after.collateral.items())
        reached = 100.0 * after.debt_usd / worth if worth > 0 else 0.0
        if abs(reached - self.target) > POINTS:
            return Decision(reason=f"{why}; it would end at {reached:.1f} %", wake=wait)
        return Decision(actions=(bundle,), reason=why, wake=SOON)
