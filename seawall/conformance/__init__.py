"""The conformance suite: what every agent and every strategy has to keep to.

``check_agent`` and ``check_strategy`` run it whole. An agent passes when it decides the same twice
and in another process, leaves what it is shown alone, survives missing data, answers only what is
allowed, goes on where its ``state()`` was taken, and does not know the future (the tripwire). A
plain backtrader strategy is held to determinism and the tripwire.
"""

from seawall.conformance.report import Finding, Report
from seawall.conformance.suite import check_agent, check_strategy

__all__ = ["Finding", "Report", "check_agent", "check_strategy"]
