"""Small recipes in which remote agents are tried."""

import sys
from collections.abc import Mapping
from pathlib import Path

from seawall.engine.run import run
from seawall.recipe import Recipe
from seawall.result import Result

CHILD = str(Path(__file__).with_name("remote_child.py"))
EXAMPLES = Path(__file__).parents[1] / "examples" / "agents"
SPOT: Mapping[str, object] = {
    "market": {
        "venue": "simulated",
        "symbols": ["ETH/USDT"],
        "timeframe": "1h",
        "since": "2025-01-03",
        "until": "2025-01-04",
        "warmup": "2d",
    },
    "account": {"cash": 10_000.0},
}


def spot(agent: Mapping[str, object] | None, **sections: object) -> Recipe:
    """Return a day of hourly bars with an agent."""
    return Recipe.from_dict({**SPOT, **({"agent": dict(agent)} if agent else {}), **sections})


def child(fault: str = "none", at: int = 3, **parameters: object) -> dict[str, object]:
    """Return the section of an agent that is the scripted child."""
    command = [sys.executable, CHILD, fault, str(at)]
    return {"name": "agents.stdio", "command": command, "timeout_ms": 20_000, **parameters}


def run_child(fault: str = "none", at: int = 3, **parameters: object) -> Result:
    """Return what a day with the scripted child gives."""
    return run(spot(child(fault, at, **parameters)))


def reasons(result: Result) -> list[str]:
    """Return the reasons of all decisions, in order."""
    journal = result.journal
    return list(journal[journal["kind"] == "decision"]["reason"])


def abstentions(result: Result) -> list[str]:
    """Return why the agent abstained, in order."""
    journal = result.journal
    return list(journal[journal["kind"] == "abstained"]["text"])
