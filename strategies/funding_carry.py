"""Earn funding: as much coin on the spot side as is sold short in the perpetual of the same base.

With a share ``x`` of the equity ``E`` in one pair and a short leg at leverage ``L``, both legs have
the notional ``N = x E / (1 + 1 / L + COSTS)``: ``N`` buys coin, ``N / L`` is margin.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import floor, inf
from typing import Any, ClassVar

from seawall.action import Action, TargetWeight
from seawall.agent import Decision, is_number, to_decision
from seawall.errors import AgentError, RecipeError
from seawall.margin_strategy import check_granted
from seawall.observation import Observation
from seawall.perpetual_action import Transfer, Wallet
from seawall.perpetual_view import PerpetualView
from seawall.strategy import AgentStrategy
from seawall.units import DAY_MS, split_symbol

COSTS = 0.005  # share of the notional that is kept for fees, and for an open above the close
LEVEL = 1e-3  # share by which the legs may differ: lots of two markets
DUST = 5e-4  # likewise, as a share of the equity: less cannot be sold
NEAR = 0.005  # of the equity: closer than that a leg or the wallet is where it should be
PAUSE_MS = DAY_MS  # after a leg has failed; what has failed once would fail at the next bar too


@dataclass
class _Pair:
    """One base: its two symbols, the share it is to have, and what this bar says of it."""

    spot: str
    perpetual: str
    share: float = 0.0
    resumes_ms: int = 0
    price: float = 0.0
    coin: float = 0.0
    short: float = 0.0  # base units, >= 0
    seen: list[int] = field(default_factory=lambda: [0, 0])
    trades: list[bool] = field(default_factory=lambda: [False, False])

    def find_naked(self, equity: float) -> float:
        """Return the base units of coin without a short; < 0: of short without coin."""
        gap = self.coin - self.short
        is_level = abs(gap) <= LEVEL * max(self.coin, self.short)
        return 0.0 if is_level or abs(gap) * self.price <= DUST * equity else gap


class FundingCarry(AgentStrategy):
    """The agent answers the share of the equity in the carry, 0 to 1; the job trades both legs.

    A number is shared equally between the pairs of the market; a mapping gives a share per pair,
    by base, spot symbol or perpetual. A leg that has failed or was liquidated leaves the other
    naked until the next bar alone: the larger one is then reduced, which the journal notes, and the
    pair does not grow for a day.

    Parameters:
        leverage: of the short leg: its notional over the margin that is moved into the wallet.
        rebalance_at: margin ratio above which both legs are reduced, and the wallet is topped up.
            With a maintenance rate of 0.4 % the short is liquidated 7.6 % above 0.05, 1.6 % above
            0.2.
        band: drift of a leg from its target that is let be, as a share of the equity.
    """

    params: Any = (("leverage", 2.0), ("rebalance_at", 0.05), ("band", 0.1))
    trades: ClassVar[str] = "carry"

    def __init__(self) -> None:
        super().__init__()
        self.pairs = _find_pairs(self.symbols, self.perpetuals)
        self._by_symbol = {s: pair for pair in self.pairs for s in (pair.spot, pair.perpetual)}
        self._by_name = {split_symbol(pair.spot)[0]: pair for pair in self.pairs} | self._by_symbol
        self._is_moving = False
        self._sent_to: Wallet | None = None
        self._wanted: dict[str, float] = {}  # shares of the decision in hand, by perpetual

    def check_parameters(self) -> None:
        """Raise ``RecipeError`` where a limit makes no sense."""
        super().check_parameters()
        self.check_numbers("leverage", "rebalance_at", "band")
        if not 0 < self.p.leverage < inf:
            raise RecipeError(
                f"strategy.leverage must be a finite number > 0, is {self.p.leverage}: write 2"
            )
        for name in ("rebalance_at", "band"):
            if not 0 < getattr(self.p, name) < 1:
                raise RecipeError(
                    f"strategy.{name} must be > 0 and < 1, is {getattr(self.p, name)}: at a margin "
                    "ratio of 1 the short is liquidated; a band of 0 would trade at every bar"
                )

    def start(self) -> None:
        """Check margin mode and leverage; then tell the agent what it is up to."""
        view = self.see_perpetual()
        if view is None:
            raise RecipeError(
                'funding_carry needs a futures account: set execution.fills to "exchange"'
            )
        for pair in self.pairs:
            position = view.position(pair.perpetual)
            if position.is_isolated:
                raise RecipeError(
                    f"perpetual.margin must be cross, is isolated for {pair.perpetual}: the carry "
                    'backs its shorts out of the wallet; write margin = "cross"'
                )
        check_granted(view, [pair.perpetual for pair in self.pairs], self.p.leverage)
        super().start()

    # What the agent says --------------------------------------------------------------------------

    def read_answer(self, answer: object) -> Decision:
        """Return an agent's answer as shares by perpetual."""
        if is_number(answer):
            share = float(answer) / len(self.pairs)  # type: ignore[arg-type]  # it is a number
            answer = {pair.perpetual: share for pair in self.pairs}
        if isinstance(answer, Mapping):
            answer = {self._find_pair(name).perpetual: share for name, share in answer.items()}
        decision = to_decision(answer, self.symbols)
        self._wanted = {
            self._by_symbol[one.symbol].perpetual: one.weight
            for one in decision.actions
            if isinstance(one, TargetWeight) and 0 <= one.weight <= 1
            if one.symbol in self._by_symbol
        }
        return decision

    def _find_pair(self, name: object) -> _Pair:
        pair = self._by_name.get(str(name))
        if pair is None:
            raise AgentError(f"there is no pair {name!r}: the market has {list(self._by_name)}")
        return pair

    def permit(self, action: Action, observation: Observation) -> Action | str:
        """Return a share, or why it is none."""
        del observation
        if not isinstance(action, TargetWeight):
            return "this job trades both legs by itself: answer the share of the equity in them"
        if not 0 <= action.weight <= 1:
            return f"a share of the equity is from 0 to 1, is {action.weight:.6g}"
        pair = self._by_symbol.get(action.symbol)
        if pair is None:
            return f"{action.symbol} has no other leg in this market: name its spot and perpetual"
        total = sum(self._wanted.get(one.perpetual, one.share) for one in self.pairs)
        if total > 1 + 1e-9 and action.weight > pair.share:
            return f"all shares together must be at most 1, this would make them {total:.6g}"
        return action

    def _carry_out(self, action: Action, observation: Observation) -> None:
        del observation
        if not isinstance(action, TargetWeight):
            return
        pair = self._by_symbol[action.symbol]
        if pair.share != action.weight:
            pair.share, pair.resumes_ms, self._is_moving = action.weight, 0, True

    # What the job does ----------------------------------------------------------------------------

    def tend(self, time_ms: int) -> None:
        """Keep the legs equal; then go one step towards the shares, if one is due."""
        for pair in self.pairs:
            self._look_at(pair)
        equity: float = self.broker.getvalue()
        if self._repair(time_ms, equity) or equity <= 0:
            return
        if not self._is_moving and not self._has_drifted(equity):
            return
        view = self.see_perpetual()
        if view is not None:
            self._is_moving = self._step_towards(time_ms, equity, view)

    def _look_at(self, pair: _Pair) -> None:
        for leg, symbol in enumerate((pair.spot, pair.perpetual)):
            window = self.session.windows[symbol]
            pair.trades[leg] = window.n_open > pair.seen[leg] and window.last_volume() != 0
            pair.seen[leg] = window.n_open
        pair.price = self.session.windows[pair.perpetual].last_close()
        pair.coin = self.broker.getposition(self.feeds[pair.spot]).size
        held = self.broker.getposition(self.feeds[pair.perpetual]).size
        pair.short = -held if held < 0 else 0.0

    def _repair(self, time_ms: int, equity: float) -> bool:
        """Reduce what is naked; return whether there was anything."""
        is_found = False
        for pair in self.pairs:
            naked = pair.find_naked(equity)
            leg, symbol = (0, pair.spot) if naked > 0 else (1, pair.perpetual)
            if not naked or not pair.trades[leg]:
                continue
            is_found = True
            if self._is_on_its_way(symbol, _REPAIR):
                continue
            for order in self._orders_of(pair):
                self.cancel(order)
            text = f"the legs differ: {pair.coin:.8g} of coin, {pair.short:.8g} sold short"
            self._record("note", text, reason="the larger one is reduced", symbol=symbol)
            self._trade_leg(symbol, -naked, _REPAIR)
            pair.resumes_ms, self._is_moving = time_ms + PAUSE_MS, True
        return is_found

    def _orders_of(self, pair: _Pair) -> list[Any]:
        feeds = (self.feeds[pair.spot], self.feeds[pair.perpetual])
        return [order for order in self._alive.values() if order.alive() and order.data in feeds]

    def _has_drifted(self, equity: float) -> bool:
        """Return whether a leg is too far from its target, or the margin too thin."""
        gaps = [
            abs(self._find_target(pair, equity) - pair.coin) * pair.price for pair in self.pairs
        ]
        if max(gaps) > self.p.band * equity:
            return True
        return bool(self.broker.margin_ratio() > self.p.rebalance_at)

    def _find_target(self, pair: _Pair, equity: float) -> float:
        """Return the base units that either leg should have."""
        if not pair.price > 0:
            return 0.0
        notional: float = pair.share * equity / (1 + 1 / self.p.leverage + COSTS)
        return notional / pair.price

    def _step_towards(self, time_ms: int, equity: float, view: PerpetualView) -> bool:
        """Reduce or grow, and move the margin; return whether a step was due or is on its way."""
        near = NEAR * equity
        ready = [pair for pair in self.pairs if all(pair.trades) and not self._orders_of(pair)]
        gaps = {
            pair.perpetual: _round(self._find_target(pair, equity) - pair.coin, pair, view)
            for pair in ready
        }
        falling = [pair for pair in ready if gaps[pair.perpetual] * pair.price < -near]
        for pair in falling:
            self._shrink(pair, gaps[pair.perpetual])
        growing = [
            pair
            for pair in ready
            if gaps[pair.perpetual] * pair.price > near and time_ms >= pair.resumes_ms
        ]
        changed = sum(gaps[pair.perpetual] * pair.price for pair in (*falling, *growing))
        needed = (sum(pair.short * pair.price for pair in self.pairs) + changed) / self.p.leverage
        there = view.equity + (view.on_the_way if self._sent_to == "perpetual" else 0.0)
        if needed - there > near and view.reserve > near:
            self._move("spot", "perpetual", min(needed - there, view.reserve))
            return True
        if falling or view.on_the_way:
            return True
        return self._settle(growing, gaps, needed - there, near, view)

    def _settle(
        self,
        growing: list[_Pair],
        gaps: Mapping[str, float],
        missing: float,
        near: float,
        view: PerpetualView,
    ) -> bool:
        """Grow, or take margin out again; ``missing``: quote units that the wallet lacks."""
        if missing > near and self.broker.margin_ratio() > self.p.rebalance_at:
            return self._shrink_shorts(view)
        if growing:
            wanted = sum(gaps[pair.perpetual] * pair.price for pair in growing) * (1 + COSTS)
            if wanted > view.reserve + near and min(-missing, view.withdrawable) > near:
                self._move("perpetual", "spot", min(-missing, view.withdrawable))
                return True
            part = min(view.reserve / wanted, 1.0)
            if part * wanted > near:
                for pair in growing:
                    self._trade_both(pair, _round(gaps[pair.perpetual] * part, pair, view))
                return True
        if min(-missing, view.withdrawable) > near:
            self._move("perpetual", "spot", min(-missing, view.withdrawable))
            return True
        return False

    def _shrink_shorts(self, view: PerpetualView) -> bool:
        """Buy shorts back without their coin, which does not trade; return whether any were."""
        owed = sum(pair.short * pair.price for pair in self.pairs)
        part = 1.0 - max(view.equity, 0.0) * self.p.leverage / owed
        stuck = [pair for pair in self.pairs if pair.trades[1] and not pair.trades[0]]
        stuck = [pair for pair in stuck if part > 0 and not self._orders_of(pair)]
        for pair in stuck:
            text = f"margin is thin and {pair.spot} does not trade: part of the short is closed"
            self._record("note", text, symbol=pair.perpetual)
            self._trade_leg(pair.perpetual, pair.short * part, _STEP)
        return bool(stuck)

    def _move(self, source: Wallet, target: Wallet, amount: float) -> None:
        self._sent_to = target
        transfer = Transfer(source=source, target=target, amount=amount)
        self.broker.ask(transfer, "margin of the carry")

    def _trade_both(self, pair: _Pair, quantity: float) -> None:
        """Trade as much of either leg: coin bought and the perpetual sold where it is > 0."""
        if quantity:
            self._trade_leg(pair.spot, quantity, _STEP)
            self._trade_leg(pair.perpetual, -quantity, _STEP)

    def _shrink(self, pair: _Pair, gap: float) -> None:
        """Reduce both legs by ``-gap``, or close each of them where nothing is to be left."""
        if pair.share:
            self._trade_both(pair, gap)
            return
        self._trade_leg(pair.spot, -pair.coin, _STEP)
        if pair.short:
            self._trade_leg(pair.perpetual, pair.short, _STEP)

    def _trade_leg(self, symbol: str, quantity: float, target: str) -> None:
        reduces = symbol in self.perpetuals and quantity > 0
        self._trade(symbol, quantity, target, {"reduce_only": True} if reduces else _FIT)


_STEP, _REPAIR = "a step of the carry", "the repair of a leg"
_FIT: Mapping[str, object] = {"fit_to_cash": True}


def _find_pairs(symbols: tuple[str, ...], perpetuals: tuple[str, ...]) -> list[_Pair]:
    """Return every perpetual whose base is also in the market as spot.

    Raises:
        RecipeError: there is none.
    """
    spots = {one: one.partition(":")[0] for one in perpetuals}
    pairs = [_Pair(spot=spots[one], perpetual=one) for one in perpetuals if spots[one] in symbols]
    if not pairs:
        raise RecipeError(
            f"funding_carry needs spot and perpetual of a base, the market has {list(symbols)}: "
            'write symbols = ["ETH/USDT", "ETH/USDT:USDT"]'
        )
    return pairs


def _round(quantity: float, pair: _Pair, view: PerpetualView) -> float:
    """Return a quantity on the lot of the perpetual, towards 0."""
    lot = view.contracts[pair.perpetual].lot_size
    if lot <= 0:
        return quantity
    n_lots = floor(abs(quantity) / lot + 1e-9)
    return n_lots * lot if quantity > 0 else -n_lots * lot
