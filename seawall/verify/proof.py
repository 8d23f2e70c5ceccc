"""What one comparison with somebody else's code or data came to."""

from dataclasses import dataclass


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
