"""Back a leveraged position with money from the reserve when its margin ratio has risen too far."""

from typing import ClassVar

from seawall import Decision, Observation
from seawall.deleveraging import find_missing
from seawall.perpetual_action import AddMargin

from ._margin import (
    DUST,
    SOON,
    check_ratios,
    find_position,
    need_account,
    rest,
    send,
    sleep,
    wait,
)


class AddMarginAtRatio:
    """Add as much as brings the margin ratio from above ``trigger`` down to ``target``.

    It goes as far as there is money: in the reserve, and for an isolated position in the futures
    wallet too. After that it can only wait.

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
        """Add margin, or sleep until the trigger."""
        view = need_account(observation)
        position = find_position(view, self.symbol)
        if position is None:
            return rest()
        if not position.margin_ratio > self.trigger:
            return sleep(above=self.trigger)
        if view.on_the_way:
            return Decision(wake=SOON)
        free = view.reserve + (view.withdrawable if position.is_isolated else 0.0)
        amount = min(find_missing(view, position.symbol, self.target), free)
        why = f"margin ratio {position.margin_ratio:.3f} is above {self.trigger:g}"
        if not amount > DUST:
            return wait(f"{why}: nothing is left to add")
        return send(AddMargin(symbol=position.symbol, amount=amount), why)
