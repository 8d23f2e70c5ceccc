"""What one comparison with somebody else's code or data came to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from seawall.errors import ToolError
from seawall.verify.packages import missing_tools


@dataclass(frozen=True, kw_only=True)
class Proof:
    """One comparison: what was compared with what, how often, and the largest difference.

    ``largest_error`` is in the smallest unit of what is compared (wei, ray, basis points) where
    that is an integer, and relative where it is a float; it may be as large as ``tolerance``.
    ``detail`` names the first difference, or what was covered. ``skipped`` is the reason why
    nothing was compared, ``None`` if it was.
    """

    protocol: str
    against: str
    compared: int = 0
    largest_error: int | float = 0
    detail: str = ""
    skipped: str | None = None
    tolerance: int | float = 0

    @property
    def holds(self) -> bool:
        """Return whether something was compared and nothing differed beyond the tolerance."""
        is_done = self.skipped is None and self.compared > 0
        return is_done and self.largest_error <= self.tolerance


class Compared(NamedTuple):
    """What a comparison with bytecode came to; as the fields of ``Proof``."""

    times: int
    largest_error: int
    detail: str


def prove_bytecode(protocol: str, package: str, compare: Callable[[], Compared]) -> Proof:
    """Return what a comparison came to; one that cannot be run on this machine says why.

    Args:
        protocol: its name.
        package: name and version of what holds the bytecode.
        compare: runs it; raises ``ToolError`` where the contracts cannot be had.
    """
    against = f"bytecode of {package}"
    if reason := missing_tools():
        return Proof(protocol=protocol, against=against, skipped=reason)
    try:
        found = compare()
    except ToolError as error:
        return Proof(protocol=protocol, against=against, skipped=str(error))
    return Proof(
        protocol=protocol,
        against=against,
        compared=found.times,
        largest_error=found.largest_error,
        detail=found.detail,
    )
