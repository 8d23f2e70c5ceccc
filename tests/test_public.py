"""The public names: whoever adds one does it on purpose."""

import subprocess
import sys

import seawall

PUBLIC = [
    "AddMargin", "Agent", "AgentInfo", "AgentStrategy", "ArrayFeed", "Borrow", "Bundle", "Cancel",
    "Catalog", "Cerebro", "Comparison", "Decision", "Feedback", "FlashLoan", "League",
    "LoanStrategy", "LoanView", "MarginStrategy", "Observation", "Order", "PerpetualView", "Recipe",
    "Repay", "Result", "SeawallError", "SetLeverage", "SetMarginMode", "Supply", "Swap",
    "TargetHealth", "TargetLeverage", "TargetWeight", "Transfer", "Wake", "Withdraw", "compare",
    "find_recipe", "league", "load", "run", "write_report",
]  # fmt: skip


def test_the_public_names_are_these_and_all_of_them_can_be_had() -> None:
    """``__all__`` is the list, and each name in it resolves."""
    assert sorted(seawall.__all__) == PUBLIC
    assert all(getattr(seawall, name) is not None for name in PUBLIC)
    assert set(PUBLIC) < set(dir(seawall))


def test_importing_seawall_and_asking_for_help_is_quick_because_little_is_imported() -> None:
    """Neither pandas nor numba nor ccxt is needed before something is run."""
    code = (
        "import sys, seawall, seawall.errors; print({'pandas', 'numba', 'ccxt'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
