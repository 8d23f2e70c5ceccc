"""Trade perpetuals on a futures account, long and short, within limits."""

from collections.abc import Container
from dataclasses import replace
from math import inf
from typing import Any, ClassVar, NamedTuple

from seawall.action import Action, Order, TargetWeight
from seawall.agent import Decision, is_number, to_decision
from seawall.deleveraging import to_leverage
from seawall.errors import RecipeError
from seawall.margin_strategy import check_granted
from seawall.observation import Observation
from seawall.order_strategy import find_dearest
from seawall.perpetual_action import TargetLeverage
from seawall.strategy import AgentStrategy
from seawall.units import is_perpetual


class FuturesTrading(AgentStrategy):
    """The agent answers target weights or orders, of perpetuals; weights may be negative.

    A bare number is the weight of the one perpetual, whatever spot symbols stand beside it.

    Parameters:
        leverage: a weight of 1 is so many times the equity: an agent that answers 0 to 1, or -1 to
            1, is leveraged so and need not know. At most ``perpetual.leverage``.
        max_leverage: largest gross notional, in units of equity. Weights of one decision that go
            beyond are cut by the same factor; an order that does is refused. What rests, and what
            the decision has asked for before, counts as filled where that makes it larger, at the
            highest of last price, mark and its own prices. What the market does later does not.
        allow_short: whether a position may be negative; where not, sales are sent reduce-only.
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
        self._read: tuple[Action, ...] | None = None  # the actions of the last answer, leveraged
        self._wanted: dict[str, float] = {}  # by the decision in hand, in units of equity
        self._sent: set[str] = set()  # those of them that are as they were permitted

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

    def start(self) -> None:
        """Check the leverage; then tell the agent what it is up to."""
        view = self.see_perpetual()
        if view is not None:
            check_granted(view, self.perpetuals, self.p.leverage)
        super().start()

    def read_answer(self, answer: object) -> Decision:
        """Return an agent's answer as a decision, leveraged; note all weights that it wants.

        What has been read here already is leveraged: whoever answers by ``AgentInfo.read``, such as
        the link to an agent elsewhere, or a policy, hands its actions in again.
        """
        if is_number(answer) and len(self.perpetuals) == 1:
            answer = {self.perpetuals[0]: answer}
        decision = to_decision(answer, self.symbols)
        actions = decision.actions
        if actions is not self._read:
            actions = self._read = tuple([self._lever_up(action) for action in actions])
        self._wanted, self._sent = {}, set()
        for one in actions:
            if isinstance(one, TargetWeight) and self._may_want(one):
                before = self._wanted.get(one.symbol, 0.0)
                self._wanted[one.symbol] = max(before, one.weight, key=abs)
        return decision if actions == decision.actions else replace(decision, actions=actions)

    def _may_want(self, target: TargetWeight) -> bool:
        return is_perpetual(target.symbol) and (target.weight >= 0 or self.p.allow_short)

    def only_reduces(self, symbol: str, side: str) -> bool:
        """Return whether it is a sale where shorts are not allowed."""
        return side == "sell" and not self.p.allow_short and is_perpetual(symbol)

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
        if target.weight < 0 and not self.p.allow_short:
            return f"allow_short is false, the weight is {target.weight:.6g}: answer 0"
        limit, equity = self.p.max_leverage, observation.equity
        if limit == inf or not equity > 0:
            return target
        if target.symbol in self._sent:  # a second weight of a symbol replaces the first
            self._sent.discard(target.symbol)
            self._wanted[target.symbol] = target.weight
        cut, gross = self._find_cut(observation)
        if gross > max(limit, self._find_gross(observation)) * (1 + _NOTHING):
            return f"{self._say(gross)}: cancel what rests first"
        weight = target.weight * cut
        self._sent.add(target.symbol)
        self._wanted[target.symbol] = weight
        return TargetWeight(symbol=target.symbol, weight=weight)

    def _find_cut(self, observation: Observation) -> tuple[float, float]:
        """Return the factor for the weights that are still to be sent, and the gross after it."""
        equity, shares = observation.equity, self._wanted.items()
        sides = {one: self._find_sides(observation, _aim_at(one, weight)) for one, weight in shares}
        turned = {one: self._find_turned(one, sides[one]) for one, _ in shares}
        beside = sum(sides[one].find_beside(weight) + abs(turned[one]) for one, weight in shares)
        kept = self._find_gross(observation, without=self._wanted)
        sent = sum(abs(weight) for one, weight in shares if one in self._sent)
        wanted = sum(abs(weight) for one, weight in shares if one not in self._sent)
        room = max(self.p.max_leverage - kept - beside / equity - sent, 0.0)
        cut = min(room / wanted, 1.0) if wanted else 1.0
        after = 0.0
        for one, weight in shares:
            share = weight if one in self._sent else weight * cut
            after += sides[one].find_worst(share * equity + turned[one])
        return cut, kept + after / equity

    def _permit_order(self, order: Order, observation: Observation) -> Action | str:
        last = observation.price(order.symbol)
        if not last > 0:
            return order  # it is refused where it is sent
        size = order.cash / last if order.cash is not None else order.quantity or 0.0
        if self.only_reduces(order.symbol, order.side) and not order.reduce_only:
            after = self.find_held(order.symbol) - size
            if after < -_NOTHING * size:
                return (
                    f"allow_short is false, this would leave {after:.6g} {order.symbol}: sell less"
                )
            return order
        price = find_dearest(order, self._find_price(observation, order.symbol))
        size *= 1.0 if order.side == "buy" else -1.0
        return self._find_breach(order, size, price, observation) or order

    def _permit_leverage(self, target: TargetLeverage, observation: Observation) -> Action | str:
        view = observation.perpetual
        if view is None or self.is_on_its_way(target):
            return target
        change = to_leverage(view, target.symbol, target.leverage).quantity
        price = self._find_price(observation, target.symbol)
        return self._find_breach(target, change, price, observation) or target

    def _find_breach(
        self, action: Order | TargetLeverage, size: float, price: float, observation: Observation
    ) -> str:
        """Return why ``size`` base units, > 0 bought, at a price are too much, or ``""``."""
        if self.p.max_leverage == inf:
            return ""
        symbol, equity = action.symbol, observation.equity
        value = self.find_held(symbol) * self._find_price(observation, symbol)
        before = self._find_sides(observation, symbol).find_worst(value)
        sides = self._find_sides(observation, action)
        reduces = isinstance(action, TargetLeverage) and size * value <= 0
        if isinstance(action, Order):
            reduces = action.reduce_only
        sides = sides.reducing(size) if reduces else sides.adding(size, price)
        after, remedy = sides.find_worst(value), "cancel what rests first"
        if after <= before * (1 + _NOTHING):
            return ""
        kept = self._find_gross(observation, without=(symbol,))
        gross = kept + after / equity if equity > 0 else inf
        if gross <= self.p.max_leverage:
            return ""
        return f"{self._say(gross)}: {remedy if reduces else 'trade less of it'}"

    def _say(self, gross: float) -> str:
        return f"max_leverage is {self.p.max_leverage:g}, this would make it {gross:.4g}"

    def _find_gross(self, observation: Observation, without: Container[str] = ()) -> float:
        """Return the gross notional of all perpetuals but some, over equity, at its worst."""
        found = [symbol for symbol in self.perpetuals if symbol not in without]
        gross = 0.0
        for symbol in found:
            held = self.find_held(symbol)
            value = held * self._find_price(observation, symbol) if held else 0.0
            gross += self._find_sides(observation, symbol).find_worst(value)
        return gross / observation.equity if observation.equity > 0 else inf

    def _find_sides(
        self, observation: Observation, action: str | Order | TargetWeight | TargetLeverage
    ) -> "_Sides":
        """Return what living orders of a symbol may still open, but those an action cancels."""
        symbol = action if isinstance(action, str) else action.symbol
        without = None if isinstance(action, str) else self.find_replaced(action)
        price = self._find_price(observation, symbol)
        return _Sides(
            price,
            self.resting_quantity(symbol, "buy", without=without),
            self.resting_notional(symbol, "buy", price, without=without),
            self.resting_quantity(symbol, "sell", without=without),
            self.resting_notional(symbol, "sell", price, without=without),
            self.reducing_quantity(symbol, "buy", without=without),
            self.reducing_quantity(symbol, "sell", without=without),
        )

    def _find_turned(self, symbol: str, sides: "_Sides") -> float:
        """Return what a turn would become larger by where exits fill before it, quote units."""
        held, weight = self.find_held(symbol), self._wanted[symbol]
        if held * weight >= 0:
            return 0.0
        closed = min(sides.bought_back if held < 0 else sides.sold_off, abs(held))
        return closed * sides.price * (1.0 if weight > 0 else -1.0)

    def _find_price(self, observation: Observation, symbol: str) -> float:
        """Return the higher of last price and mark."""
        last, view = observation.price(symbol), observation.perpetual
        return last if view is None else max(last, view.mark(symbol))


class _Sides(NamedTuple):
    """What orders of one symbol may open: base units, and quote units at their worst prices."""

    price: float
    bought: float
    bought_notional: float
    sold: float
    sold_notional: float
    bought_back: float  # base units that only reduce: they may come first
    sold_off: float

    def adding(self, size: float, price: float) -> "_Sides":
        """Return the same with one order more, > 0 bought."""
        if size > 0:
            notional = self.bought_notional + size * price
            return self._replace(bought=self.bought + size, bought_notional=notional)
        notional = self.sold_notional - size * price
        return self._replace(sold=self.sold - size, sold_notional=notional)

    def reducing(self, size: float) -> "_Sides":
        """Return the same with one order more that only reduces, > 0 bought."""
        if size > 0:
            return self._replace(bought_back=self.bought_back + size)
        return self._replace(sold_off=self.sold_off - size)

    def find_worst(self, value: float) -> float:
        """Return the most that a position of so many quote units may become, whichever fill."""
        bought = (self.bought, self.bought_notional, self.bought_back)
        sold = (self.sold, self.sold_notional, self.sold_off)
        return max(abs(value), self._find_reach(value, *bought), self._find_reach(-value, *sold))

    def _find_reach(self, value: float, size: float, notional: float, closed: float) -> float:
        """Return what all orders of one side lead to, where ``value`` < 0 is of the other side."""
        if value >= 0 or not size:
            return max(value, 0.0) + notional
        left = max(-value / self.price - closed, 0.0)
        return max(size - left, 0.0) * notional / size

    def find_beside(self, weight: float) -> float:
        """Return what rests on the side of a weight, quote units; with none, on the larger side."""
        if weight == 0:
            return max(self.bought_notional, self.sold_notional)
        return self.bought_notional if weight > 0 else self.sold_notional


def _aim_at(symbol: str, weight: float) -> TargetWeight:
    return TargetWeight(symbol=symbol, weight=weight)


_NOTHING = 1e-9  # of an order: rounding
