"""Seawall: a backtester for AI agents in crypto and DeFi whose numbers hold.

The public names; everything else may move. They are imported when they are first used, so that
``import seawall`` and the command line start at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from seawall.workspace import (
    find_recipe,
    load,
)  # at once: the workspace is where Python was started

__version__ = "0.1.0"

if TYPE_CHECKING:
    from seawall.action import Cancel, Order, TargetWeight
    from seawall.agent import Agent, AgentInfo, Decision, Feedback, Wake
    from seawall.analysis.compare import compare
    from seawall.analysis.comparison import Comparison
    from seawall.analysis.league import league
    from seawall.analysis.league_table import League
    from seawall.analysis.report import write_report
    from seawall.engine.cerebro import Cerebro
    from seawall.engine.feed import ArrayFeed
    from seawall.engine.run import run
    from seawall.errors import SeawallError
    from seawall.loan_action import (
        Borrow,
        Bundle,
        FlashLoan,
        Repay,
        Supply,
        Swap,
        TargetHealth,
        Withdraw,
    )
    from seawall.loan_strategy import LoanStrategy
    from seawall.loan_view import LoanView
    from seawall.margin_strategy import MarginStrategy
    from seawall.market.catalog import Catalog
    from seawall.observation import Observation
    from seawall.perpetual_action import (
        AddMargin,
        SetLeverage,
        SetMarginMode,
        TargetLeverage,
        Transfer,
    )
    from seawall.perpetual_view import PerpetualView
    from seawall.recipe import Recipe
    from seawall.result import Result
    from seawall.strategy import AgentStrategy

_HOMES = {
    "AddMargin": "perpetual_action",
    "Agent": "agent",
    "AgentInfo": "agent",
    "AgentStrategy": "strategy",
    "ArrayFeed": "engine.feed",
    "Borrow": "loan_action",
    "Bundle": "loan_action",
    "Cancel": "action",
    "Catalog": "market.catalog",
    "Cerebro": "engine.cerebro",
    "Comparison": "analysis.comparison",
    "Decision": "agent",
    "Feedback": "agent",
    "FlashLoan": "loan_action",
    "League": "analysis.league_table",
    "LoanStrategy": "loan_strategy",
    "LoanView": "loan_view",
    "MarginStrategy": "margin_strategy",
    "Observation": "observation",
    "Order": "action",
    "PerpetualView": "perpetual_view",
    "Recipe": "recipe",
    "Repay": "loan_action",
    "Result": "result",
    "SeawallError": "errors",
    "SetLeverage": "perpetual_action",
    "SetMarginMode": "perpetual_action",
    "Supply": "loan_action",
    "Swap": "loan_action",
    "TargetHealth": "loan_action",
    "TargetLeverage": "perpetual_action",
    "TargetWeight": "action",
    "Transfer": "perpetual_action",
    "Wake": "agent",
    "Withdraw": "loan_action",
    "compare": "analysis.compare",
    "league": "analysis.league",
    "run": "engine.run",
    "write_report": "analysis.report",
}

__all__ = [
    "AddMargin",
    "Agent",
    "AgentInfo",
    "AgentStrategy",
    "ArrayFeed",
    "Borrow",
    "Bundle",
    "Cancel",
    "Catalog",
    "Cerebro",
    "Comparison",
    "Decision",
    "Feedback",
    "FlashLoan",
    "League",
    "LoanStrategy",
    "LoanView",
    "MarginStrategy",
    "Observation",
    "Order",
    "PerpetualView",
    "Recipe",
    "Repay",
    "Result",
    "SeawallError",
    "SetLeverage",
    "SetMarginMode",
    "Supply",
    "Swap",
    "TargetHealth",
    "TargetLeverage",
    "TargetWeight",
    "Transfer",
    "Wake",
    "Withdraw",
    "compare",
    "find_recipe",
    "league",
    "load",
    "run",
    "write_report",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'seawall' has no attribute {name!r}")
    value = getattr(import_module(f"seawall.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
