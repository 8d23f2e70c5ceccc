"""What agents that guard a loan share: the loan they need, and going back to sleep."""

from math import inf

from seawall import Decision, LoanView, Observation, Wake
from seawall.errors import AgentError, RecipeError
from seawall.loan_action import Bundle
from seawall.rebalancing import close_loan, to_health

_NO_LOAN = "this agent guards a loan: use strategies.liquidation_protection, and give a [loan]"
SOON = Wake(at_fill=True, after_ms=1)  # at the next close: it may have landed, or been refused


def need_loan(observation: Observation) -> LoanView:
    """Return the loan, or raise where the job has none."""
    if observation.loan is None:
        raise AgentError(_NO_LOAN)
    return observation.loan


def check_order(low_name: str, low: float, high_name: str, high: float) -> None:
    """Raise where the first is not below the second."""
    if not low < high:
        raise RecipeError(
            f"agent.{low_name} must be below agent.{high_name}, is {low:g} and {high:g}: an action "
            "would trigger itself again; correct one of them"
        )


def sleep(*, below: float | None = None, above: float | None = None) -> Decision:
    """Return a decision to do nothing until the health factor leaves a range."""
    return Decision(wake=Wake(health_below=below, health_above=above, after_ms=None))


def aim(loan: LoanView, health: float, *, service_fee: float = 0.0, why: str) -> Decision:
    """Return the transaction that brings the health factor to ``health``, or closes the loan.

    The agent is asked again at the next close.
    """
    bundle = bundle_to(loan, health, service_fee=service_fee)
    if bundle is None:
        return Decision(reason=f"{why}: nothing can be done", wake=Wake(after_ms=3_600_000))
    return Decision(actions=(bundle,), reason=why, wake=SOON)


def bundle_to(loan: LoanView, health: float, *, service_fee: float = 0.0) -> Bundle | None:
    """Return the steps to a health factor; ``inf`` closes the loan."""
    if health == inf:
        return close_loan(loan, service_fee=service_fee)
    return to_health(loan, health, service_fee=service_fee)
