"""No leak: a guard that says all it sees of the futures account at every bar."""

from typing import ClassVar

from seawall.agent import Decision
from seawall.observation import Observation
from seawall.perpetual_action import TargetLeverage


class MarginHonestAccount:
    """Tell everything, and reduce a little now and then."""

    guards: ClassVar[str] = "margin"

    def __init__(self) -> None:
        self.asked = 0

    def decide(self, observation: Observation) -> Decision | None:
        """Answer with what is known now."""
        account = observation.perpetual
        if account is None:
            return None
        self.asked += 1
        position = account.position()
        told = (
            f"{position} {account.funding_rate()} {account.next_funding_ms()} {account.equity} "
            f"{account.reserve} {account.on_the_way} {observation.equity} {observation.price()}"
        )
        if self.asked % 50 or not position.quantity:
            return Decision(reason=told)
        leverage = 0.97 * position.real_leverage
        action = TargetLeverage(symbol=position.symbol, leverage=leverage)
        return Decision(actions=(action,), reason=told)
