"""What the conformance suite found."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: what was checked, a few words.
        passed: whether it holds.
        detail: what was seen, and what to do where it does not hold.
    """

    check: str
    passed: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """All findings about one agent or strategy."""

    name: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether every check holds."""
        return all(finding.passed for finding in self.findings)

    def to_dict(self) -> dict[str, object]:
        """Return plain values, JSON-able."""
        return {
            "name": self.name,
            "passed": self.passed,
            "findings": [vars(finding) for finding in self.findings],
        }
