"""A guard in the style of DeFi Saver's automation: repay below one ratio, boost above another.

The safety ratio is what may be borrowed in all over what is owed, in per cent; it stops at 100, as
Aave's own figure does, so that a ratio of 100 is still some way from liquidation. A repayment is
sent when it has fallen below ``trigger`` and brings it to ``target``, out of the collateral alone;
a boost is the same the other way. As on chain, a repayment must end above where it began and at
most five points above its target, a boost below and at most five points below. The fees, 0.25 % of
what is swapped (0.10 % between assets that move together) and 0.05 %, are paid.

Source: `AaveV3RatioHelper.sol`, `AaveV3RatioCheck.sol` and `GasFeeHelper.sol` of
defisaver-v3-contracts; DeFi Saver's help pages "Automation: Fees" and "Requirements" (on Ethereum:
30,000 USD of debt to sign up, nothing is executed at 5,000 or below).
Left out: the service watches every block, this one is asked at closes; it charges gas to the
position, here the wallet pays it.
"""

from typing import ClassVar

from seawall import Decision, LoanView, Observation, Wake
from seawall.preview import Preview, preview
from seawall.rebalancing import to_health
from seawall.units import DAY_MS

from ._parameters import number, share
from ._protection import SOON, check_apart, need_loan, wait

POINTS = 5.0  # per cent of ratio by which an action may overshoot its target
AUTOMATION_FEE = 0.0005
_AT_ONCE_MS = 1
_LEAST_HEALTH = 1.001


class DefiSaver:
    """Repay below ``trigger`` to ``target``; boost above ``boost_trigger`` to ``boost_target``.

    Parameters:
        trigger, target: safety ratios in per cent; the target above the trigger by 5 at least.
        boost_trigger, boost_target: likewise, the target below the trigger; 0 for no boost. They
            keep 5 points from ``target`` and ``trigger``, so that one does not set off the other.
        minimum_debt: USD; nothing is sent where less is owed.
        gas_cap: share of what is repaid or borrowed that gas may cost; beyond, it waits.
        swap_fee: of what is swapped, beside the automation's 0.0005; at most 0.05.
    """

    guards: ClassVar[str] = "loan"

    def __init__(
        self,
        *,
        trigger: float = 112.0,
        target: float = 130.0,
        boost_trigger: float = 0.0,
        boost_target: float = 0.0,
        minimum_debt: float = 5_000.0,
        gas_cap: float = 0.2,
        swap_fee: float = 0.0025,
    ) -> None:
        self.trigger = number("trigger", trigger, above=100.0)
        self.target = number("target", target, above=100.0)
        check_apart("trigger", self.trigger, "target", self.target, gap=POINTS)
        self.boost_trigger = number("boost_trigger", boost_trigger, above=-1e-9)
        self.boost_target = number("boost_target", boost_target, above=-1e-9)
        if self.boost_trigger or self.boost_target:
            names = ("boost_target", self.boost_target, "boost_trigger", self.boost_trigger)
            check_apart(*names, gap=POINTS)
            check_apart("target", self.target, "boost_trigger", self.boost_trigger, gap=POINTS)
            check_apart("trigger", self.trigger, "boost_target", self.boost_target, gap=POINTS)
        self.minimum_debt = number("minimum_debt", minimum_debt, above=-1e-9)
        self.gas_cap = share("gas_cap", gas_cap)
        fee = number("swap_fee", swap_fee, above=-1e-9, at_most=0.05)
        self.service_fee = max(fee, 0.0) + AUTOMATION_FEE

    def decide(self, observation: Observation) -> Decision:
        """Repay, boost, or sleep until a trigger."""
        loan = need_loan(observation)
        ratio = find_ratio(loan)
        if loan.pending:
            return self._sleep(loan)
        if ratio < self.trigger:
            return self._act(loan, ratio, self.target, "repay")
        if self.boost_trigger and ratio > self.boost_trigger and loan.debt_usd > 0:
            return self._act(loan, ratio, self.boost_target, "boost")
        return self._sleep(loan)

    def _act(self, loan: LoanView, ratio: float, target: float, what: str) -> Decision:
        """Return the action, or why the service would not send it."""
        why = f"safety ratio {ratio:.1f} %: {what} to {target:g} %"
        if loan.debt_usd <= self.minimum_debt:
            return wait(f"{why}; a debt of {loan.debt_usd:,.0f} USD is too small", DAY_MS)
        health = max(target / 100.0 / find_scale(loan), _LEAST_HEALTH)
        bundle = to_health(loan, health, use_wallet=False, service_fee=self.service_fee)
        if bundle is None:
            return wait(f"{why}; nothing can be done")
        after = preview(loan, bundle)
        if after.gas_usd > self.gas_cap * abs(loan.debt_usd - after.debt_usd):
            return wait(f"{why}; gas of {after.gas_usd:,.0f} USD is too much", _AT_ONCE_MS)
        reached = ratio_of(after)
        is_right = ratio < reached <= target + POINTS
        if what == "boost":
            is_right = target - POINTS <= reached < ratio
        if not is_right:
            return wait(f"{why}; it would end at {reached:.1f} %")
        return Decision(actions=(bundle,), reason=why, wake=SOON)

    def _sleep(self, loan: LoanView) -> Decision:
        """Sleep until the ratio may be beyond a trigger; a day at most, for limits change."""
        scale = find_scale(loan)
        above = self.boost_trigger / 100.0 / scale if self.boost_trigger else None
        below = self.trigger / 100.0 / scale
        return Decision(wake=Wake(health_below=below, health_above=above, after_ms=DAY_MS))


def find_ratio(loan: LoanView) -> float:
    """Return the safety ratio in per cent, at least 100; inf where nothing is owed."""
    owed = loan.debt_usd
    return 100.0 * max((loan.borrowable_usd + owed) / owed, 1.0) if owed > 0 else float("inf")


def ratio_of(after: Preview) -> float:
    """Return the safety ratio after an action, likewise."""
    owed = after.debt_usd
    return 100.0 * max(after.capacity_usd / owed, 1.0) if owed > 0 else float("inf")


def find_scale(loan: LoanView) -> float:
    """Return the ratio (1.0 is 100 %) at a health factor of 1."""
    limit = loan.liquidation_threshold * loan.collateral_usd
    capacity = loan.borrowable_usd + loan.debt_usd
    return capacity / limit if limit > 0 and capacity > 0 else 1.0
