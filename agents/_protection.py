"""What agents that guard a loan share: the loan they need, what they send, going back to sleep."""

from seawall import Decision, LoanView, Observation, Wake
from seawall.errors import AgentError, RecipeError
from seawall.loan_action import Bundle
from seawall.units import HOUR_MS

_NO_LOAN = "this agent guards a loan: use strategies.liquidation_protection, and give a [loan]"
SOON = Wake(at_fill=True, after_ms=1)  # at the next close: it may have landed, or been refused


def need_loan(observation: Observation) -> LoanView:
    """Return the loan, or raise where the job has none."""
    if observation.loan is None:
        raise AgentError(_NO_LOAN)
    return observation.loan


def check_apart(
    low_name: str, low: float, high_name: str, high: float, *, gap: float = 0.0
) -> None:
    """Raise where the first is not below the second, by ``gap`` at least."""
    if not low < high or not low + gap <= high * (1 + 1e-12):
        by = f" by {gap:g} at least" if gap else ""
        raise RecipeError(
            f"agent.{low_name} must be below agent.{high_name}{by}, is {low:g} with {high_name} = "
            f"{high:g}: an action would set off the next; correct one of them"
        )


def sleep(*, below: float) -> Decision:
    """Return a decision to do nothing until the health factor has fallen below a level."""
    return Decision(wake=Wake(health_below=below))


def send(bundle: Bundle | None, why: str) -> Decision:
    """Return a transaction and why; the agent is asked again at the next close.

    Where there is none, nothing can be done: it looks again in an hour.
    """
    if bundle is None:
        return wait(f"{why}: nothing can be done")
    return Decision(actions=(bundle,), reason=why, wake=SOON)


def wait(why: str, after_ms: int = HOUR_MS) -> Decision:
    """Return a decision to do nothing now, for a reason."""
    return Decision(reason=why, wake=Wake(after_ms=after_ms))
