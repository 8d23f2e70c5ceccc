"""Guard a leveraged position: keep it from being liquidated, within limits of what may be spent."""

from dataclasses import replace
from math import inf
from typing import Any

from seawall.action import Action, Cancel, Order, TargetWeight
from seawall.deleveraging import to_leverage
from seawall.errors import RecipeError
from seawall.margin_strategy import MarginStrategy
from seawall.observation import Observation
from seawall.order_strategy import find_dearest
from seawall.perpetual_action import AddMargin, TargetLeverage, Transfer
from seawall.perpetual_view import PerpetualView
from seawall.units import BPS, DAY_MS, is_perpetual

from ._limits import check_limits


class MarginProtection(MarginStrategy):
    """The agent answers actions on the position, or the leverage to aim at; 0.0 closes it.

    It may add margin out of the reserve, which is the cash on the spot side, reduce or close the
    position, and hedge it: with other perpetuals of the market, or with spot.

    Parameters:
        min_reserve: quote units of cash that no action may take the reserve below, but for the cost
            of a transfer; the agent does not see them as free. Coin that living orders may buy
            counts with its fee, at the last price where they have no limit: the open may be dearer
            than the close.
        max_spend: quote units of fees, spread, impact and transfers in all; a trade that would go
            beyond is refused, its own spread and impact not foreseen; the fees of living orders
            count. What a liquidation costs does not, and margin may always be added.
        max_actions_per_day: actions of one UTC day; to cancel is none.
        may_increase: whether the position may become larger than it was at the start. It may never
            be turned to its other side: what reduces it is sent reduce-only.
        sizing, rebalance_band: see ``AgentStrategy``.
    """

    params: Any = (
        ("min_reserve", 0.0),
        ("max_spend", inf),
        ("max_actions_per_day", inf),
        ("may_increase", False),
    )

    def __init__(self) -> None:
        super().__init__()
        self._first: float | None = None  # base units of the guarded position, signed
        self._day, self._n_today = 0, 0
        self._asked_ms = -1
        self._taken = 0.0  # by what this decision has asked for already, beside orders
        self._n_before = 0  # fills before this decision
        self._n_fills = self._n_moved = 0
        self._spent = 0.0

    def check_parameters(self) -> None:
        """Raise ``RecipeError`` where a limit makes no sense."""
        super().check_parameters()
        check_limits(self)
        if not isinstance(self.p.may_increase, bool):
            raise RecipeError(
                f"strategy.may_increase must be true or false, is {self.p.may_increase!r}"
            )

    def see_perpetual(self) -> PerpetualView | None:
        """Return the futures account, with the reserve that the job lets be spent."""
        view = super().see_perpetual()
        if view is not None and self._first is None:
            self._first = view.position(self.guarded).quantity or None
        return view if view is None or not self.p.min_reserve else view.keeping(self.p.min_reserve)

    def only_reduces(self, symbol: str, side: str) -> bool:
        """Return whether it goes against the guarded position."""
        if symbol != self.guarded or self._first is None:
            return False
        return side == ("sell" if self._first > 0 else "buy")

    def permit(self, action: Action, observation: Observation) -> Action | str:
        """Return the action, as far as the reserve goes, or the limit that it breaks."""
        view = observation.perpetual
        if view is None or isinstance(action, Cancel):
            return action
        if observation.time_ms != self._asked_ms:
            self._asked_ms, self._taken = observation.time_ms, 0.0
            self._n_before = len(self.broker.fills)
        if self.is_on_its_way(action):
            return action
        if isinstance(action, (AddMargin, Transfer)) and action.amount == inf:
            action = self._fit(action, observation, view)
        change = find_change(action, observation, view)
        if isinstance(action, TargetLeverage) and not change:
            return action  # it is there already, or nothing leads there
        why = self._find_size_breach(action, change)
        return why or self._find_breach(action, change, observation, view) or action

    def _fit(
        self, action: AddMargin | Transfer, observation: Observation, view: PerpetualView
    ) -> AddMargin | Transfer:
        """Return "all there is" as an amount where the reserve has to keep something."""
        if not self.p.min_reserve or (isinstance(action, Transfer) and action.source != "spot"):
            return action
        free = max(view.reserve - self._taken - self._find_committed(observation), 0.0)
        if isinstance(action, AddMargin):
            free += self._own_means(action, view)
        return replace(action, amount=max(free, _NOTHING))

    def _own_means(self, action: AddMargin, view: PerpetualView) -> float:
        """Return what the futures wallet gives to an isolated position, quote units."""
        return view.withdrawable if view.position(action.symbol).is_isolated else 0.0

    def _find_size_breach(self, action: Action, change: float) -> str:
        """Return why the guarded position would be too large, or turned, or ``""``."""
        if getattr(action, "symbol", "") != self.guarded or self._first is None or not change:
            return ""
        if isinstance(action, Order) and action.reduce_only:
            return ""
        way, replaced = 1.0 if change > 0 else -1.0, self.find_replaced(action)
        word = "buy" if change > 0 else "sell"
        change += way * self.resting_quantity(self.guarded, word, without=replaced)
        side = 1.0 if self._first > 0 else -1.0
        after = side * (self.find_held(self.guarded) + change)
        if after < -_NEARLY * abs(self._first):
            return (
                f"this job guards a {'long' if side > 0 else 'short'}, this would leave "
                f"{side * after:.8g} {self.guarded}: send it reduce_only"
            )
        if side * change > 0 and after > abs(self._first) * (1 + _NEARLY):
            if self.p.may_increase:
                return ""
            return (
                f"may_increase is false, this would make it {side * after:.8g} of "
                f"{self._first:.8g} at the start: trade less of it"
            )
        return ""

    def _find_breach(
        self, action: Action, change: float, observation: Observation, view: PerpetualView
    ) -> str:
        """Return the limit that an action would break, or ``""``; it is counted then."""
        taken, cost = self._find_taken(action, change, observation, view), 0.0
        symbol = getattr(action, "symbol", "")
        replaced = self.find_replaced(action)
        if change:
            price = observation.price(symbol)
            price = find_dearest(action, price) if isinstance(action, Order) else price
            cost = abs(change) * price * self._fee_of(symbol, view)
        committed = self._find_committed(observation, replaced) if taken > 0 else 0.0
        left = view.reserve - self._taken - committed - taken
        if taken > 0 and left < -0.5 * _NOTHING:
            kept = self.p.min_reserve
            return (
                f"min_reserve is {kept:,.2f}, this would leave {left + kept:,.2f} in the reserve: "
                "take less out of it"
            )
        spent = cost
        if cost and self.p.max_spend < inf:
            spent += self._count_spent() + self._find_fees(observation, view, replaced)
        if cost and spent > self.p.max_spend:
            return f"max_spend is {self.p.max_spend:,.2f}, this would make it {spent:,.2f}"
        day = observation.time_ms // DAY_MS
        if day != self._day:
            self._day, self._n_today = day, 0
        if self._n_today + 1 > self.p.max_actions_per_day:
            return f"max_actions_per_day is {self.p.max_actions_per_day:g}: wait for tomorrow"
        self._n_today += 1
        if not isinstance(action, (Order, TargetWeight)):
            self._taken += taken
        return ""

    def _find_taken(
        self, action: Action, change: float, observation: Observation, view: PerpetualView
    ) -> float:
        """Return what an action takes out of the reserve, quote units; "all" is what is free."""
        if isinstance(action, Transfer) and action.source == "spot":
            return action.amount if action.amount < inf else 0.0
        if isinstance(action, AddMargin) and 0 < action.amount < inf:
            return max(action.amount - self._own_means(action, view), 0.0)
        symbol = getattr(action, "symbol", "")
        if change > 0 and not is_perpetual(symbol):
            price = observation.price(symbol)
            if isinstance(action, Order):
                price = action.limit_price or find_dearest(action, price)
            return change * price * (1 + self._fee_of(symbol, view))
        return 0.0

    def _find_committed(self, observation: Observation, without: Any = None) -> float:
        """Return what living orders, and those filled just now, take of the reserve, quote units.

        0.0 where none has to be kept: the exchange itself says then what there is no money for.
        """
        if not self.p.min_reserve:
            return 0.0
        filled = [
            one for one in self.broker.fills[self._n_before :] if not is_perpetual(one.symbol)
        ]
        committed: float = sum(one.quantity * one.price + one.fee for one in filled)
        fee = self.session.info.taker_fee_bps * BPS
        for symbol in self.symbols:
            if not is_perpetual(symbol):
                price = observation.price(symbol)
                committed += self.resting_buys(symbol, price, without=without) * (1 + fee)
        return committed

    def _find_fees(self, observation: Observation, view: PerpetualView, without: Any) -> float:
        """Return the fees of what living orders may still trade, quote units; exits are free."""
        fees = 0.0
        for symbol in self.symbols:
            price = observation.price(symbol)
            traded = sum(
                self.resting_notional(symbol, side, price, opens=False, without=without)
                for side in ("buy", "sell")
            )
            fees += traded * self._fee_of(symbol, view)
        return fees

    def _fee_of(self, symbol: str, view: PerpetualView) -> float:
        """Return the taker's fee, a fraction."""
        if is_perpetual(symbol):
            return view.contracts[symbol].taker_fee
        return self.session.info.taker_fee_bps * BPS

    def _count_spent(self) -> float:
        """Return fees, spread, impact and transfers so far, quote units."""
        fills, moved = self.broker.fills, self.broker.futures.transfers
        own = [one for one in fills[self._n_fills :] if one.rule != "liquidation"]
        self._spent += sum(one.fee + one.slippage for one in own)
        self._spent += sum(one.cost for one in moved[self._n_moved :])
        self._n_fills, self._n_moved = len(fills), len(moved)
        return self._spent


def find_change(action: Action, observation: Observation, view: PerpetualView) -> float:
    """Return the base units that an action trades, > 0 bought."""
    if isinstance(action, TargetLeverage):
        return to_leverage(view, action.symbol, action.leverage).quantity
    if not isinstance(action, (TargetWeight, Order)):
        return 0.0
    price = observation.price(action.symbol)
    if not price > 0:
        return 0.0
    if isinstance(action, TargetWeight):
        held = observation.quantities[action.symbol]
        return action.weight * observation.equity / price - held
    size = action.cash / price if action.cash is not None else action.quantity or 0.0
    return size if action.side == "buy" else -size


_NOTHING = 1e-6  # quote units: what "all" may be short of
_NEARLY = 1e-9  # of the position: rounding
