"""Guard a loan: keep it from being liquidated, within limits of what may be spent."""

from math import inf

from seawall.action import Action
from seawall.loan_action import LOAN_ACTIONS, Borrow, Bundle, LoanAction, TargetHealth
from seawall.loan_strategy import LoanStrategy
from seawall.loan_view import LoanView
from seawall.observation import Observation
from seawall.preview import preview
from seawall.units import DAY_MS

from ._limits import check_limits


class LiquidationProtection(LoanStrategy):
    """The agent answers actions on the loan, or the health factor to aim at.

    It may repay, add collateral, deleverage, borrow more or close the loan; a number is the health
    factor to aim at, ``inf`` closes it.

    Parameters:
        min_reserve: USD that no action may take the wallet below; the coin for gas does not count.
        max_spend: USD of gas, swaps, premiums and services in all; what would go beyond is refused.
        max_actions_per_day: transactions of one UTC day.
    """

    params = (("min_reserve", 0.0), ("max_spend", inf), ("max_actions_per_day", inf))

    def __init__(self) -> None:
        super().__init__()
        self._day, self._n_today = 0, 0
        self._asked_ms = -1
        self._on_the_way = 0.0, 0.0  # USD out of the wallet and spent, by what has not landed
        self.broker.set_reserve(self.p.min_reserve)

    def check_parameters(self) -> None:
        """Raise ``RecipeError`` where a limit makes no sense."""
        super().check_parameters()
        check_limits(self)

    def permit(self, action: Action, observation: Observation) -> Action | str:
        """Return the action, or the limit that it breaks."""
        loan = observation.loan
        steps = None if loan is None else self.find_steps(action, loan)
        if loan is None or steps is None:
            return action  # it is there already
        return self._find_breach(steps, loan, observation.time_ms) or action

    def find_steps(self, action: Action, loan: LoanView) -> LoanAction | None:
        """Return what an action does to the loan; ``None`` where nothing."""
        if isinstance(action, TargetHealth):
            return self.plan(action, loan)
        return action if isinstance(action, LOAN_ACTIONS) else None

    def _find_breach(self, steps: LoanAction, loan: LoanView, time_ms: int) -> str:
        """Return the limit that a transaction would break, or ``""``; it is counted then."""
        foreign = [s.asset for s in steps_of(steps) if isinstance(s, Borrow)]
        if any(asset != loan.terms.debt for asset in foreign):
            return f"this job borrows {loan.terms.debt} alone, this borrows {', '.join(foreign)}"
        after = preview(loan, steps)
        return self.take(loan, time_ms, left_usd=after.wallet_usd, cost_usd=after.spent_usd)

    def find_spent(self, loan: LoanView) -> float:
        """Return what has been spent so far, USD, as ``max_spend`` counts it."""
        return loan.spent_usd

    def take(self, loan: LoanView, time_ms: int, *, left_usd: float, cost_usd: float) -> str:
        """Return the limit that an action would break, or ``""``; it is counted then.

        Args:
            loan: as it is seen.
            time_ms: now.
            left_usd: what the action alone would leave in the wallet, without the coin for gas.
            cost_usd: what it would cost.
        """
        if time_ms != self._asked_ms and not loan.pending:
            self._on_the_way = 0.0, 0.0
        self._asked_ms = time_ms
        before = find_reserve(loan)
        taken, spending = self._on_the_way
        left = left_usd - taken
        if left < min(self.p.min_reserve, before - taken) - _CENT:
            return (
                f"min_reserve is {self.p.min_reserve:,.2f} USD, this would leave "
                f"{left:,.2f}: take less out of the wallet"
            )
        spent = self.find_spent(loan) + spending + cost_usd
        if spent > self.p.max_spend:
            return f"max_spend is {self.p.max_spend:,.2f} USD, this would make it {spent:,.2f}"
        day = time_ms // DAY_MS
        if day != self._day:
            self._day, self._n_today = day, 0
        if self._n_today + 1 > self.p.max_actions_per_day:
            return f"max_actions_per_day is {self.p.max_actions_per_day:g}: wait for tomorrow"
        self._n_today += 1
        self._on_the_way = taken + max(before - left_usd, 0.0), spending + cost_usd
        return ""


def steps_of(action: LoanAction) -> tuple[object, ...]:
    """Return the steps of a transaction."""
    return action.actions if isinstance(action, Bundle) else (action,)


_CENT = 0.01  # USD: what "all" may be short of


def find_reserve(loan: LoanView) -> float:
    """Return what lies in the wallet now, USD, without the coin for gas."""
    gas_coin = loan.wallet["ETH"] * loan.market_prices["ETH"]
    return loan.wallet_usd - gas_coin
