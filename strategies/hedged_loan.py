"""Guard a loan whose price risk may be hedged with a short: two venues, one account."""

from dataclasses import replace
from math import inf
from typing import Any, ClassVar

from seawall.action import Action, Cancel, Order
from seawall.errors import RecipeError
from seawall.loan_action import LOAN_ACTIONS
from seawall.loan_view import LoanView
from seawall.observation import Observation
from seawall.perpetual_action import Transfer
from seawall.perpetual_view import PerpetualView
from seawall.units import is_perpetual

from .liquidation_protection import LiquidationProtection, find_reserve
from .margin_protection import find_change


class HedgedLoan(LiquidationProtection):
    """The agent answers actions on the loan, the health factor to aim at, or actions on the hedge.

    Beside what ``liquidation_protection`` allows it may sell perpetuals of the market short and buy
    them back, set margin and leverage, and move money between the loan's wallet (``"loan"``), and
    the spot and futures wallets of the exchange. A hedge keeps the price from hurting, not the
    loan's health factor: basis, funding and both liquidations remain.

    Parameters:
        max_hedge: largest notional of all shorts, at the mark, as a share of the collateral's
            value; a hedge beyond it, or a long, is refused. Sales that rest, or that the decision
            has asked for before, count as filled. What the collateral loses later does not.
        min_reserve: see ``LiquidationProtection``; a transfer out of the wallet counts too.
        max_spend: the same with fees, spread, impact and transfers on the exchange; the spread and
            impact of a trade, and the cost of a transfer, are not foreseen.
        max_actions_per_day: of the loan, orders and transfers together; to cancel is none.
        sizing: ``decision`` alone: at the fill the exchange knows its own equity only.
    """

    params: Any = (("max_hedge", 1.0),)
    trades: ClassVar[str] = "perpetual"
    has_hedges: ClassVar[bool] = True

    def check_parameters(self) -> None:
        """Raise ``RecipeError`` where a limit makes no sense."""
        super().check_parameters()
        self.check_numbers("max_hedge")
        if not self.p.max_hedge >= 0:
            raise RecipeError(
                f"strategy.max_hedge must be >= 0, is {self.p.max_hedge}: 1 is the whole "
                "collateral, 0 no hedge"
            )
        if self.p.sizing != "decision":
            raise RecipeError(
                f"strategy.sizing must be decision with a loan, is {self.p.sizing}: at the fill "
                "the exchange knows its own equity alone"
            )

    def permit(self, action: Action, observation: Observation) -> Action | str:
        """Return the action, or the limit that it breaks."""
        loan, view = observation.loan, observation.perpetual
        if isinstance(action, LOAN_ACTIONS):
            return super().permit(action, observation)
        if loan is None or view is None or isinstance(action, Cancel):
            return action
        if self.is_on_its_way(action):
            return action
        taken = 0.0
        if isinstance(action, Transfer) and action.source == "loan":
            action = self._fit(action, loan)
            taken = action.amount
        change = find_change(action, observation, view)
        if why := self._find_hedge_breach(action, change, loan, view):
            return why
        cost = 0.0
        if change:
            symbol: str = getattr(action, "symbol", "")
            cost = abs(change) * view.mark(symbol) * view.contracts[symbol].taker_fee
        left = find_reserve(loan) - taken
        return self.take(loan, observation.time_ms, left_usd=left, cost_usd=cost) or action

    def only_reduces(self, symbol: str, side: str) -> bool:
        """Return whether it is a purchase: a hedge is bought back, and nothing more."""
        return side == "buy" and is_perpetual(symbol)

    def find_spent(self, loan: LoanView) -> float:
        """Return what loan and exchange have cost so far, USD, liquidations apart."""
        own = [fill for fill in self.broker.fills if fill.rule != "liquidation"]
        moved = self.broker.futures.transfers
        traded: float = sum(fill.fee + fill.slippage for fill in own)
        carried: float = sum(one.cost for one in moved)
        return loan.spent_usd + traded + carried

    def _fit(self, action: Transfer, loan: LoanView) -> Transfer:
        """Return "all there is" as what the reserve lets go."""
        if action.amount < inf:
            return action
        debt = loan.terms.debt
        there = loan.wallet[debt] * loan.market_prices[debt]
        free = min(there, find_reserve(loan) - self.p.min_reserve)
        return replace(action, amount=max(free, _NOTHING))

    def _find_hedge_breach(
        self, action: Action, change: float, loan: LoanView, view: PerpetualView
    ) -> str:
        """Return why a trade would be no hedge, or too large a one, or ``""``."""
        if not change or (isinstance(action, Order) and action.reduce_only):
            return ""
        symbol: str = getattr(action, "symbol", "")
        if change > 0:
            held = self.find_held(symbol)
            if held + change <= _NEARLY * abs(held):
                return ""
            return (
                f"this job hedges with shorts, this would leave a long of {held + change:.8g} "
                f"{symbol}: buy less, or send it reduce_only"
            )
        notional, replaced = -change * view.mark(symbol), self.find_replaced(action)
        for name in self.perpetuals:
            sold = self.resting_quantity(name, "sell", without=replaced) - self.find_held(name)
            notional += sold * view.mark(name) if sold else 0.0
        if notional <= self.p.max_hedge * loan.collateral_usd * (1 + _NEARLY):
            return ""
        share = notional / loan.collateral_usd if loan.collateral_usd > 0 else inf
        return (
            f"max_hedge is {self.p.max_hedge:g} of the collateral, this would make it "
            f"{share:.4g}: sell less"
        )


_NOTHING = 1e-6  # USD: what "all" may be short of
_NEARLY = 1e-9  # of a position: rounding
