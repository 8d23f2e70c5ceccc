"""A guard in the style of Summer.fi's automation: auto-sell at a loan to value, stop-loss above it.

An auto-sell brings the loan to value from ``trigger`` to ``target``, out of the collateral alone,
unless gas costs more than ``max_gas_usd``; it then waits until gas is cheaper. It is sent only
where it ends within 2 % of the target (a target of 60 allows 58.8 to 61.2). The stop-loss closes
the loan above ``stop_loss``, whatever the gas costs. The fee, 0.2 % of what is swapped, is paid.

Source: `AaveV3BasicSellCommandV2.sol` and `AaveV3StopLossCommandV2.sol` of OasisDEX's
automation-smartcontracts; Summer.fi's documentation, "Auto-Sell", "Stop-Loss", "Costs and fees".
Left out: the auto-buy; that the service watches every block, this one is asked at closes; that it
caps the base fee of the block in gwei, here it is the cost in USD at the gas price known when it is
sent (a bundle that fails for its gas would have to pay, the service's does not); that pairs of
correlated assets pay 0.2 % a year in place of the fee on the swap.
"""

from typing import ClassVar, Literal

from seawall import Decision, LoanView, Observation, Wake
from seawall.errors import AgentError
from seawall.preview import preview
from seawall.rebalancing import close_loan, to_health
from seawall.units import DAY_MS

from ._parameters import number, one_of
from ._protection import SOON, check_apart, need_loan, send, wait

SERVICE_FEE = 0.002
DEVIATION = 0.02  # share of the target that an auto-sell may miss it by
_AT_ONCE_MS = 1
_LEAST_HEALTH = 1.001


class SummerFi:
    """Auto-sell at ``trigger`` per cent loan to value to ``target``, stop-loss at ``stop_loss``.

    Parameters:
        trigger, target: per cent; the target below the trigger by 2 % of it at least, the trigger
            below what may be borrowed.
        stop_loss: per cent, above the trigger.
        max_gas_usd: of an auto-sell.
        close_to: what a stop-loss leaves: ``"debt"`` sells all collateral for the asset that was
            owed, ``"collateral"`` only what the debt needs.
    """

    guards: ClassVar[str] = "loan"

    def __init__(
        self,
        *,
        trigger: float = 72.0,
        target: float = 62.0,
        stop_loss: float = 77.0,
        max_gas_usd: float = 300.0,
        close_to: Literal["debt", "collateral"] = "debt",
    ) -> None:
        self.trigger = number("trigger", trigger, above=0.0, at_most=99.0)
        self.target = number("target", target, above=0.0, at_most=99.0)
        self.stop_loss = number("stop_loss", stop_loss, above=0.0, at_most=100.0)
        gap = DEVIATION * self.target
        check_apart("target", self.target, "trigger", self.trigger, gap=gap)
        check_apart("trigger", self.trigger, "stop_loss", self.stop_loss)
        self.max_gas_usd = number("max_gas_usd", max_gas_usd, above=0.0)
        self.close_to = one_of("close_to", close_to, ("debt", "collateral"))

    def decide(self, observation: Observation) -> Decision:
        """Stop, sell, or sleep until the trigger.

        Raises:
            AgentError: the trigger is beyond what may be borrowed: the service refuses that.
        """
        loan = need_loan(observation)
        ltv = 100.0 * loan.ltv
        if not loan.pending and ltv > self.stop_loss:
            return self._stop(loan, ltv)
        if not loan.pending and ltv >= self.trigger:
            return self._sell(loan, ltv)
        below = loan.liquidation_threshold / (self.trigger / 100.0) or None
        return Decision(wake=Wake(health_below=below, after_ms=DAY_MS))

    def _stop(self, loan: LoanView, ltv: float) -> Decision:
        bundle = close_loan(
            loan, use_wallet=False, service_fee=SERVICE_FEE, sell_all=self.close_to == "debt"
        )
        return send(bundle, f"loan to value {ltv:.1f} % is above {self.stop_loss:g} %: stop-loss")

    def _sell(self, loan: LoanView, ltv: float) -> Decision:
        most = 100.0 * (loan.borrowable_usd + loan.debt_usd) / loan.collateral_usd
        if self.trigger >= most:
            raise AgentError(
                f"agent.trigger must be below the largest loan to value, {most:.1f} %, is "
                f"{self.trigger:g}: lower it"
            )
        why = f"loan to value {ltv:.1f} %: sell to {self.target:g} %"
        health = max(loan.liquidation_threshold / (self.target / 100.0), _LEAST_HEALTH)
        bundle = to_health(loan, health, use_wallet=False, service_fee=SERVICE_FEE)
        if bundle is None:
            return wait(f"{why}; nothing can be done")
        after = preview(loan, bundle)
        if after.gas_usd > self.max_gas_usd:
            return wait(f"{why}; gas of {after.gas_usd:,.0f} USD is too much", _AT_ONCE_MS)
        worth = sum(held * after.prices[name] for name, held in after.collateral.items())
        reached = 100.0 * after.debt_usd / worth if worth > 0 else 0.0
        if abs(reached - self.target) > DEVIATION * self.target:
            return wait(f"{why}; it would end at {reached:.1f} %")
        return Decision(actions=(bundle,), reason=why, wake=SOON)
