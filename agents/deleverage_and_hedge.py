"""Deleverage a loan with a flash loan, and hedge what is left, in one decision."""

from dataclasses import replace
from typing import ClassVar

from seawall import Decision, LoanView, Observation, Wake
from seawall.action import Action, Order
from seawall.errors import RecipeError
from seawall.loan_action import Bundle, FlashLoan, Repay, Swap, Withdraw
from seawall.perpetual_action import Transfer
from seawall.perpetual_view import PerpetualView
from seawall.preview import preview
from seawall.rebalancing import to_health
from seawall.units import DAY_MS

from ._margin import DUST
from ._parameters import number
from ._protection import SOON, need_loan, wait

_NEARLY_ALL = 0.95  # of the margin there is: fees and the next open need some


class DeleverageAndHedge:
    """Below ``trigger``, bring the loan to ``target`` and sell a perpetual short, at once.

    The loan is one bundle: a flash loan of collateral is sold, what it brings repays debt, and the
    collateral that is set free pays the flash loan back, so no withdrawal has to pass while the
    loan is weak. Beside it goes an order that sells ``share`` of the collateral that is left short.
    So that both can go in one decision, the margin is moved to the exchange's futures wallet in
    calm weather. Above ``lift_at`` the short is bought back. Without a perpetual it deleverages.

    Parameters:
        trigger, target, lift_at: health factors, each above the one before.
        share: of the collateral's value that is sold short, > 0.
        leverage: of the short, at most; less margin makes the short smaller.
        symbol: the contract; left out: the first.
    """

    guards: ClassVar[str] = "loan"

    def __init__(
        self,
        *,
        trigger: float = 1.25,
        target: float = 1.5,
        lift_at: float = 1.7,
        share: float = 0.5,
        leverage: float = 3.0,
        symbol: str | None = None,
    ) -> None:
        self.trigger = number("trigger", trigger, above=1.0)
        self.target = number("target", target, above=1.0)
        self.lift_at = number("lift_at", lift_at, above=1.0)
        if not self.trigger < self.target < self.lift_at:
            raise RecipeError(
                "agent.trigger < agent.target < agent.lift_at must hold, are "
                f"{trigger:g}, {target:g} and {lift_at:g}: an action would set off the next"
            )
        self.share = number("share", share, above=0.0)
        self.leverage = number("leverage", leverage, above=0.0)
        self.symbol = symbol

    def decide(self, observation: Observation) -> Decision:
        """Deleverage and hedge, lift the hedge, make ready, or sleep."""
        loan, view = need_loan(observation), observation.perpetual
        if loan.pending:
            return Decision(wake=SOON)
        if loan.health < self.trigger:
            return self._protect(loan, view)
        held = 0.0 if view is None else -view.position(self.symbol).quantity
        if view is not None and held > 0 and loan.health > self.lift_at:
            back = Order(
                symbol=self._find_symbol(view), side="buy", quantity=held, reduce_only=True
            )
            why = f"health is {loan.health:.3f}: lift the hedge"
            return Decision(actions=(back,), reason=why, wake=SOON)
        if view is not None and view.reserve > DUST and not view.on_the_way:
            ready = Transfer(source="spot", target="perpetual", amount=view.reserve)
            return Decision(actions=(ready,), reason="margin for a hedge", wake=self._sleep(held))
        return Decision(wake=self._sleep(held))

    def _protect(self, loan: LoanView, view: PerpetualView | None) -> Decision:
        """Return the bundle and the short."""
        bundle = to_health(loan, self.target, use_wallet=False)
        if bundle is None:
            return wait(f"health is {loan.health:.3f}: nothing can be sold")
        bundle = with_flash_loan(bundle, loan)
        actions: list[Action] = [bundle]
        after = preview(loan, bundle)
        kept = after.collateral[loan.terms.collateral]
        if view is not None and (short := self._find_short(view, kept)) > 0:
            symbol = self._find_symbol(view)
            actions.append(Order(symbol=symbol, side="sell", quantity=short))
        why = f"health is {loan.health:.3f}: deleverage to {self.target:g}"
        return Decision(actions=tuple(actions), reason=why, wake=SOON)

    def _find_short(self, view: PerpetualView, collateral: float) -> float:
        """Return what is to be sold short beside what is, base units; as far as margin goes."""
        mark = view.mark(self.symbol)
        if not mark > 0:
            return 0.0
        missing = self.share * collateral + view.position(self.symbol).quantity
        return min(missing, _NEARLY_ALL * view.available * self.leverage / mark)

    def _find_symbol(self, view: PerpetualView) -> str:
        return self.symbol or view.symbols[0]

    def _sleep(self, held: float) -> Wake:
        above = self.lift_at if held > 0 else None
        return Wake(health_below=self.trigger, health_above=above, after_ms=DAY_MS)


def with_flash_loan(bundle: Bundle, loan: LoanView) -> Bundle:
    """Return a bundle that withdraws, sells and repays as one that is lent what it sells.

    Any other bundle, and all where the protocol has no flash loans, is returned as it is.
    """
    if not loan.terms.has_flash_loans or bundle.flash_loan is not None:
        return bundle
    match bundle.actions:
        case (Withdraw() as withdraw, Swap() as swap, Repay() as repay):
            owed = withdraw.amount * (1.0 + loan.terms.flash_premium)
            lent = FlashLoan(asset=withdraw.asset, amount=withdraw.amount)
            steps = (swap, repay, replace(withdraw, amount=owed))
            return replace(bundle, actions=steps, flash_loan=lent)
    return bundle
