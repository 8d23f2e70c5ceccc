"""What agents on a futures account share: their position, what they trade, going back to sleep."""

from seawall import Decision, Observation, Wake
from seawall.action import Action
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


def check_ratios(trigger: float, target: float) -> tuple[float, float]:
    """Return both margin ratios, or raise where an action would set off the next."""
    high = number("trigger", trigger, above=0.0, at_most=1.0)
    low = number("target", target, above=0.0, at_most=1.0)
    if not low < high:
        raise RecipeError(
            f"agent.target must be below agent.trigger, is {low:g} with trigger = {high:g}: an "
            "action would set off the next; correct one of them"
        )
    return high, low


def sleep(*, above: float) -> Decision:
    """Return a decision to do nothing until the margin ratio has risen above a level."""
    return Decision(wake=Wake(ratio_above=above))


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
