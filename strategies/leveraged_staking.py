"""A staking loop: a staked token as collateral, the coin it stakes owed, leveraged."""

from typing import Any

from seawall.action import Action
from seawall.errors import RecipeError
from seawall.observation import Observation
from seawall.preview import preview

from .liquidation_protection import LiquidationProtection


class LeveragedStaking(LiquidationProtection):
    """As ``liquidation_protection``, for a loop such as wstETH against WETH in the efficiency mode.

    Parameters:
        max_leverage: collateral over what is owned of it; what would go beyond is refused.
        min_reserve, max_spend, max_actions_per_day: see ``LiquidationProtection``.
    """

    params: Any = (("max_leverage", 10.0),)

    def check_parameters(self) -> None:
        """Raise ``RecipeError`` where a limit makes no sense."""
        super().check_parameters()
        self.check_numbers("max_leverage")
        if not self.p.max_leverage >= 1:
            raise RecipeError(
                f"strategy.max_leverage must be >= 1, is {self.p.max_leverage}: 1 borrows nothing"
            )

    def permit(self, action: Action, observation: Observation) -> Action | str:
        """Return the action, or the limit that it breaks."""
        loan = observation.loan
        steps = None if loan is None else self.find_steps(action, loan)
        if loan is not None and steps is not None:
            after = preview(loan, steps)
            worth = sum(held * after.prices[name] for name, held in after.collateral.items())
            own = worth - after.debt_usd
            if after.debt_usd > loan.debt_usd and worth > self.p.max_leverage * own:
                reached = f"{worth / own:.4g}" if own > 0 else "endless"
                return (
                    f"max_leverage is {self.p.max_leverage:g}, this would make it {reached}: "
                    "borrow less"
                )
        return super().permit(action, observation)
