"""A loan's transactions on their way, and what became of them."""

from dataclasses import dataclass

from seawall.loan_action import LoanAction
from seawall.market.series import FloatArray
from seawall.venues.lending.transactions import Receipt


@dataclass(frozen=True, kw_only=True, eq=False)
class Sent:
    """A transaction on its way: what, why, when it was sent, and what was seen then."""

    number: int
    action: LoanAction
    reason: str
    sent_ms: int
    due_bar: int
    seen: FloatArray
    health: float


@dataclass(frozen=True, kw_only=True)
class Landed:
    """A transaction that was carried out, or failed."""

    sent: Sent
    time_ms: int
    receipt: Receipt
    gas_gwei: float
    health_before: float
    health_after: float


def write_costs(receipt: Receipt) -> str:
    """Return what a transaction cost, in words."""
    costs = receipt.costs
    parts = (
        ("gas", costs.gas),
        ("swap fee", costs.swap_fee),
        ("impact", costs.impact),
        ("service", costs.service_fee),
        ("premium", costs.premium),
    )
    return ", ".join(f"{name} {cost:,.2f} USD" for name, cost in parts if cost)
