"""Reduce a leveraged position when its liquidation has come too near."""

from typing import ClassVar

from seawall import Decision, Observation
from seawall.perpetual_action import TargetLeverage

from ._margin import find_position, need_account, read_limits, rest, send


class ReduceAtMarginRatio:
    """Close as much as takes a position that is too near to its liquidation to a safe distance.

    Parameters:
        distance, target_distance: from the mark to the liquidation price, as a share of the mark,
            > 0 and at most 0.9: it acts below the first, up to the second. A bar that falls by more
            than what is left comes first: ETH has fallen by 28 % within an hour.
        trigger, target: in their place, maintenance margin over margin balance, > 0 and at most 1,
            where it is liquidated. With a maintenance rate of 0.4 % a ratio ``r`` is
            ``0.4 % (1 / r - 1)`` of the price away from that: 7.6 % at 0.05, 0.4 % at 0.5.
        symbol: the contract; left out: the first with a position.
    """

    guards: ClassVar[str] = "margin"

    def __init__(
        self,
        *,
        distance: float = 0.15,
        target_distance: float = 0.3,
        trigger: float | None = None,
        target: float | None = None,
        symbol: str | None = None,
    ) -> None:
        self.limits = read_limits(trigger, target, distance, target_distance)
        self.symbol = symbol

    def decide(self, observation: Observation) -> Decision:
        """Reduce, or sleep until the trigger."""
        view = need_account(observation)
        position = find_position(view, self.symbol)
        if position is None:
            return rest()
        symbol = position.symbol
        if not self.limits.is_passed(position):
            return self.limits.sleep(view, symbol)
        leverage = self.limits.find_leverage(view, symbol)
        action = TargetLeverage(symbol=symbol, leverage=leverage)
        return send(action, self.limits.explain(position))
