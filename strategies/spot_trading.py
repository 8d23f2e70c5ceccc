"""Trade one or many symbols on a spot exchange, within limits."""

from math import inf

from seawall.action import Action, Order, TargetWeight
from seawall.errors import RecipeError
from seawall.observation import Observation
from seawall.order_strategy import find_dearest
from seawall.strategy import AgentStrategy
from seawall.units import DAY_MS


class SpotTrading(AgentStrategy):
    """The agent answers target weights or orders; what it holds is paid for and never borrowed.

    Parameters:
        max_weight: largest share of the equity in one symbol; a larger target is cut to it, a
            larger buy order refused.
        max_turnover_per_day: largest sum of notional traded in one UTC day, in units of equity.
        drawdown_stop: sell everything and stop for good once the equity has fallen this far below
            its highest value at a close; 0: never.
        sizing, rebalance_band: see ``AgentStrategy``.
    """

    params = (
        ("max_weight", 1.0),
        ("max_turnover_per_day", inf),
        ("drawdown_stop", 0.0),
    )

    def __init__(self) -> None:
        super().__init__()
        self._drawdown_stop: float = self.p.drawdown_stop  # read once: it is asked for at each bar
        self._peak = 0.0
        self._day, self._turnover = 0, 0.0

    def check_parameters(self) -> None:
        """Raise ``RecipeError`` where a limit makes no sense."""
        super().check_parameters()
        self.check_numbers("max_weight", "max_turnover_per_day", "drawdown_stop")
        if not 0 < self.p.max_weight <= 1:
            raise RecipeError(
                f"strategy.max_weight must be > 0 and <= 1, is {self.p.max_weight}: "
                "spot has no leverage"
            )
        if not self.p.max_turnover_per_day > 0:
            raise RecipeError(
                f"strategy.max_turnover_per_day must be > 0, is {self.p.max_turnover_per_day}: "
                "leave it out for no limit"
            )
        if not 0 <= self.p.drawdown_stop < 1:
            raise RecipeError(
                f"strategy.drawdown_stop must be >= 0 and < 1, is {self.p.drawdown_stop}: "
                "write 0.2 for 20 %"
            )

    def halt(self, equity: float) -> str:
        """Return why, once the drawdown is beyond its limit."""
        limit = self._drawdown_stop
        if not limit:
            return ""
        self._peak = max(self._peak, equity)
        if equity < self._peak * (1 - limit):
            fallen = 1 - equity / self._peak
            return f"drawdown_stop is {limit:.2%}, the equity has fallen {fallen:.2%} from its peak"
        return ""

    def permit(self, action: Action, observation: Observation) -> Action | str:
        """Return the action within the limits, or the limit that it breaks."""
        if isinstance(action, TargetWeight):
            return self._permit_weight(action, observation)
        if isinstance(action, Order):
            return self._permit_order(action, observation)
        return action

    def _permit_weight(self, target: TargetWeight, observation: Observation) -> Action | str:
        if target.weight < 0:
            return f"spot does not short: a weight must be >= 0, is {target.weight:.6g}; answer 0"
        weight = min(target.weight, self.p.max_weight)
        moved = abs(weight - observation.weight(target.symbol)) * observation.equity
        if moved > self.p.rebalance_band * observation.equity and (
            why := self._spend(moved, observation)
        ):
            return why
        return TargetWeight(symbol=target.symbol, weight=weight)

    def _permit_order(self, order: Order, observation: Observation) -> Action | str:
        limit = order.limit_price if order.side == "buy" else None  # it pays no more
        price = limit or find_dearest(order, observation.price(order.symbol))
        notional = order.cash if order.cash is not None else (order.quantity or 0.0) * price
        if order.side == "buy" and self.p.max_weight < 1:
            bought = notional + self.resting_buys(order.symbol, price)
            weight = observation.weight(order.symbol) + bought / observation.equity
            if weight > self.p.max_weight:
                return (
                    f"max_weight is {self.p.max_weight}, this would make it {weight:.4g}: buy less"
                )
        return self._spend(notional, observation) or order

    def _spend(self, notional: float, observation: Observation) -> str:
        """Count ``notional`` quote units against today's turnover; return why it is too much."""
        if self.p.max_turnover_per_day == inf:
            return ""
        day = observation.time_ms // DAY_MS
        if day != self._day:
            self._day, self._turnover = day, 0.0
        turnover = self._turnover + notional / observation.equity
        if turnover > self.p.max_turnover_per_day:
            limit = self.p.max_turnover_per_day
            return f"max_turnover_per_day is {limit}, this would make it {turnover:.4g}"
        self._turnover = turnover
        return ""
