"""Trade perpetuals on a futures account, long and short, within limits."""

from collections.abc import Container
from dataclasses import replace
from math import inf
from typing import Any, ClassVar

from seawall.action import Action, Order, TargetWeight
from seawall.agent import Decision, is_number, to_decision
from seawall.errors import RecipeError
from seawall.observation import Observation
from seawall.perpetual_action import TargetLeverage
from seawall.strategy import AgentStrategy
from seawall.units import is_perpetual


class FuturesTrading(AgentStrategy):
    """The agent answers target weights or orders, of perpetuals; weights may be negative.

    A bare number is the weight of the one perpetual, whatever spot symbols stand beside it.

    Parameters:
        leverage: a weight of 1 is so many times the equity: an agent that answers 0 to 1, or -1 to
            1, is leveraged so and need not know.
        max_leverage: largest gross notional, in units of equity. Weights of one decision that go
            beyond are cut by the same factor; an order that does is refused.
        allow_short: whether a position may be negative.
        sizing, rebalance_band: see ``AgentStrategy``.
    """

    params: Any = (("leverage", 1.0), ("max_leverage", inf), ("allow_short", True))
    trades: ClassVar[str] = "perpetual"

    def __init__(self) -> None:
        super().__init__()
        if not self.perpetuals:
            raise RecipeError(
                f"this job trades perpetuals, the market has {list(self.symbols)}: name one such "
                "as ETH/USDT:USDT, or take strategies.spot_trading"
            )
        self._wanted: dict[str, float] = {}  # by the decision in hand, in units of equity

    def check_parameters(self) -> None:
        """Raise ``RecipeError`` where a limit makes no sense."""
        super().check_parameters()
        self.check_numbers("leverage", "max_leverage")
        if not 0 < self.p.leverage < inf:
            raise RecipeError(
                f"strategy.leverage must be a finite number > 0, is {self.p.leverage}: 1 is none"
            )
        if not self.p.max_leverage > 0:
            raise RecipeError(
                f"strategy.max_leverage must be > 0, is {self.p.max_leverage}: leave it out for "
                "that of the exchange alone"
            )
        if not isinstance(self.p.allow_short, bool):
            raise RecipeError(
                f"strategy.allow_short must be true or false, is {self.p.allow_short!r}"
            )

    def read_answer(self, answer: object) -> Decision:
        """Return an agent's answer as a decision, leveraged; note all weights that it wants."""
        if is_number(answer) and len(self.perpetuals) == 1:
            answer = {self.perpetuals[0]: answer}
        decision = to_decision(answer, self.symbols)
        actions = tuple([self._lever_up(action) for action in decision.actions])
        targets = [one for one in actions if isinstance(one, TargetWeight)]
        self._wanted = {one.symbol: one.weight for one in targets}
        return decision if actions == decision.actions else replace(decision, actions=actions)

    def _lever_up(self, action: Action) -> Action:
        if isinstance(action, TargetWeight):
            return TargetWeight(symbol=action.symbol, weight=action.weight * self.p.leverage)
        return action

    def permit(self, action: Action, observation: Observation) -> Action | str:
        """Return the action within the limits, or the limit that it breaks."""
        symbol = getattr(action, "symbol", self.perpetuals[0])
        if not is_perpetual(symbol):
            return f"this job trades perpetuals alone, {symbol} is spot: leave it out"
        if isinstance(action, TargetWeight):
            return self._permit_weight(action, observation)
        if isinstance(action, Order):
            return self._permit_order(action, observation)
        if isinstance(action, TargetLeverage):
            return self._permit_leverage(action, observation)
        return action

    def _permit_weight(self, target: TargetWeight, observation: Observation) -> Action | str:
        weight = target.weight
        if weight < 0 and not self.p.allow_short:
            return f"allow_short is false, the weight is {weight:.6g}: answer 0"
        kept = self._gross(observation, self._wanted)
        room = max(self.p.max_leverage - kept, 0.0)
        wanted = sum(abs(one) for one in self._wanted.values() if one > 0 or self.p.allow_short)
        if wanted > room:
            weight *= room / wanted
        return TargetWeight(symbol=target.symbol, weight=weight)

    def _permit_order(self, order: Order, observation: Observation) -> Action | str:
        price = order.limit_price or order.stop_price or observation.price(order.symbol)
        if order.reduce_only or not price > 0:
            return order  # without a price it is refused where it is sent
        size = order.cash / price if order.cash is not None else order.quantity or 0.0
        side = 1.0 if order.side == "buy" else -1.0
        held = observation.quantities[order.symbol]
        after = held + side * (size + self.resting_quantity(order.symbol, order.side))
        if after < -_NOTHING * size and side < 0 and not self.p.allow_short:
            return f"allow_short is false, this would leave {after:.6g} {order.symbol}: sell less"
        if side * after > 0 and abs(after) > abs(held):
            notional = abs(after) * price / observation.equity if observation.equity > 0 else inf
            return self._find_breach(order.symbol, notional, observation) or order
        return order

    def _permit_leverage(self, target: TargetLeverage, observation: Observation) -> Action | str:
        view = observation.perpetual
        if view is None or observation.equity <= 0:
            return target
        position = view.position(target.symbol)
        notional = target.leverage * position.margin / observation.equity
        if notional * observation.equity <= position.notional:
            return target
        return self._find_breach(target.symbol, notional, observation) or target

    def _find_breach(self, symbol: str, notional: float, observation: Observation) -> str:
        """Return why so much of one symbol, in units of equity, is too much, or ``""``."""
        gross = notional + self._gross(observation, (symbol,))
        if gross <= self.p.max_leverage:
            return ""
        return (
            f"max_leverage is {self.p.max_leverage:g}, this would make it {gross:.4g}: "
            "trade less of it"
        )

    def _gross(self, observation: Observation, without: Container[str]) -> float:
        """Return the gross notional of what is held in all perpetuals but some, over equity."""
        held = [symbol for symbol in self.perpetuals if symbol not in without]
        return sum(abs(observation.weight(symbol)) for symbol in held)


_NOTHING = 1e-9  # of an order: rounding
