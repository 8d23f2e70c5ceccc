"""Checks of the limits that jobs which guard something share."""

from math import inf

from seawall.errors import RecipeError
from seawall.strategy import AgentStrategy


def check_limits(strategy: AgentStrategy) -> None:
    """Raise ``RecipeError`` where what may be spent, or how often one may act, makes no sense."""
    limits = strategy.p
    strategy.check_numbers("min_reserve", "max_spend", "max_actions_per_day")
    if not 0 <= limits.min_reserve < inf:
        raise RecipeError(
            f"strategy.min_reserve must be a finite number >= 0, is {limits.min_reserve}: "
            "write 0 for none"
        )
    for name in ("max_spend", "max_actions_per_day"):
        if not getattr(limits, name) > 0:
            raise RecipeError(
                f"strategy.{name} must be > 0, is {getattr(limits, name)}: leave it out for no "
                "limit, or take agents.do_nothing"
            )
