"""What agents on a futures account share: their position, what they trade, going back to sleep."""

from dataclasses import dataclass

from seawall import Decision, Observation, Wake
from seawall.action import Action
from seawall.deleveraging import (
    find_missing,
    find_missing_for_distance,
    find_ratio_at,
    to_distance,
    to_ratio,
)
from seawall.errors import AgentError, RecipeError
from seawall.perpetual_view import PerpetualView, PositionView
from seawall.units import DAY_MS, HOUR_MS, is_perpetual

from ._parameters import number

_NO_ACCOUNT = (
    "this agent guards a leveraged position: use strategies.margin_protection, and give a "
    "[perpetual.position]"
)
SOON = Wake(at_fill=True, after_ms=1)  # at the next close: it may have been done, or refused
DUST = 0.01  # quote units: less is rounding
_FARTHEST = 0.9  # of the mark
_JUST_BEFORE = 1.0 - 1e-9  # so that rounding does not sleep through it
_NEVER = 1e6  # a margin ratio


def need_account(observation: Observation) -> PerpetualView:
    """Return the futures account, or raise where the market has none."""
    if observation.perpetual is None:
        raise AgentError(_NO_ACCOUNT)
    return observation.perpetual


def find_position(view: PerpetualView, symbol: str | None) -> PositionView | None:
    """Return the position in ``symbol``, or the first there is; ``None`` where there is none."""
    if symbol is not None:
        position = view.position(symbol)
        return position if position.quantity else None
    return next(iter(view.positions.values()), None)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a guard acts and how far it goes: margin ratios, or distances to the liquidation."""

    trigger: float
    target: float
    is_ratio: bool

    def is_passed(self, position: PositionView) -> bool:
        """Return whether a position is nearer to its end than the trigger."""
        if self.is_ratio:
            return position.margin_ratio > self.trigger
        return position.margin <= 0.0 or position.distance < self.trigger

    def explain(self, position: PositionView) -> str:
        """Return why it acts, in words."""
        if self.is_ratio:
            return f"margin ratio {position.margin_ratio:.3f} is above {self.trigger:g}"
        return f"liquidation is {position.distance:.1%} away, nearer than {self.trigger:.1%}"

    def find_leverage(self, view: PerpetualView, symbol: str) -> float:
        """Return the leverage that reaches the target."""
        find = to_ratio if self.is_ratio else to_distance
        return find(view, symbol, self.target)

    def find_missing(self, view: PerpetualView, symbol: str) -> float:
        """Return the quote units of margin that reach the target."""
        find = find_missing if self.is_ratio else find_missing_for_distance
        return find(view, symbol, self.target)

    def sleep(self, view: PerpetualView, symbol: str) -> Decision:
        """Return a decision to do nothing until the trigger is passed."""
        above = self.trigger
        if not self.is_ratio:
            above = find_ratio_at(view, symbol, self.trigger) * _JUST_BEFORE
        if not 0.0 < above < _NEVER:
            return rest()
        return Decision(wake=Wake(ratio_above=above))


def read_limits(
    trigger: float | None, target: float | None, distance: float, target_distance: float
) -> Limits:
    """Return two margin ratios where they are given, else two distances.

    Raises:
        RecipeError: one is out of its range, lacks the other, or they are the wrong way round.
    """
    near = number("distance", distance, above=0.0, at_most=_FARTHEST)
    far = number("target_distance", target_distance, above=0.0, at_most=_FARTHEST)
    if trigger is None and target is None:
        if not far > near:
            raise RecipeError(
                f"agent.target_distance must be above agent.distance, is {far:g} with distance = "
                f"{near:g}: an action would set off the next; correct one of them"
            )
        return Limits(trigger=near, target=far, is_ratio=False)
    ratios = {"trigger": trigger, "target": target}
    high, low = (
        None if one is None else number(name, one, above=0.0, at_most=1.0)
        for name, one in ratios.items()
    )
    if high is None or low is None:
        raise RecipeError(
            "agent.trigger and agent.target are two margin ratios, one of them is missing: give "
            "both, or neither for agent.distance and agent.target_distance"
        )
    if not low < high:
        raise RecipeError(
            f"agent.target must be below agent.trigger, is {low:g} with trigger = {high:g}: an "
            "action would set off the next; correct one of them"
        )
    return Limits(trigger=high, target=low, is_ratio=True)


def rest() -> Decision:
    """Return a decision to do nothing where there is no position: look again in a day."""
    return Decision(wake=Wake(at_fill=True, after_ms=DAY_MS))


def send(action: Action, why: str) -> Decision:
    """Return an action and why; the agent is asked again at the next close."""
    return Decision(actions=(action,), reason=why, wake=SOON)


def wait(why: str, after_ms: int = HOUR_MS) -> Decision:
    """Return a decision to do nothing now, for a reason."""
    return Decision(reason=why, wake=Wake(after_ms=after_ms))


def find_traded(observation: Observation) -> list[str]:
    """Return the listed symbols to trade: the perpetuals where the market has any, else all."""
    perpetuals = [symbol for symbol in observation.symbols if is_perpetual(symbol)]
    return [s for s in perpetuals or observation.symbols if len(observation.prices(s))]
