"""Reduce a leveraged position when its margin ratio has risen too far."""

from typing import ClassVar

from seawall import Decision, Observation
from seawall.deleveraging import to_ratio
from seawall.perpetual_action import TargetLeverage

from ._margin import check_ratios, find_position, need_account, rest, send, sleep


class ReduceAtMarginRatio:
    """Close as much as brings the margin ratio from above ``trigger`` down to ``target``.

    Parameters:
        trigger, target: maintenance margin over margin balance, > 0 and at most 1, where it is
            liquidated. With a maintenance rate of 0.4 % a ratio ``r`` is ``0.4 % (1 / r - 1)`` of
            the price away from that: 7.6 % at 0.05, and 0.4 % at 0.5, which may be one bar.
        symbol: the contract; left out: the first with a position.
    """

    guards: ClassVar[str] = "margin"

    def __init__(
        self, *, trigger: float = 0.05, target: float = 0.02, symbol: str | None = None
    ) -> None:
        self.trigger, self.target = check_ratios(trigger, target)
        self.symbol = symbol

    def decide(self, observation: Observation) -> Decision:
        """Reduce, or sleep until the trigger."""
        view = need_account(observation)
        position = find_position(view, self.symbol)
        if position is None:
            return rest()
        if not position.margin_ratio > self.trigger:
            return sleep(above=self.trigger)
        leverage = to_ratio(view, position.symbol, self.target)
        why = f"margin ratio {position.margin_ratio:.3f} is above {self.trigger:g}"
        return send(TargetLeverage(symbol=position.symbol, leverage=leverage), why)
