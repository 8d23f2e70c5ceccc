"""What tests of conformance share: agents that count, planted leaks, agents just written."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from seawall import workspace_folders
from seawall.agent import AgentInfo
from seawall.conformance import Finding
from seawall.market.catalog import VARIABLE
from seawall.recipe import Recipe

LEAKS = Path(__file__).parent / "planted_leaks"
SIGNAL = "tripwire/made_up/1h"
CHECK_ALL = """
import json, sys
from seawall.conformance.suite import find_default, to_agent_recipe
from seawall.conformance.tripwire import check_futures
from seawall.recipe import Recipe

given = Recipe.from_dict(json.loads(sys.argv[1])) if sys.argv[1] else None
jobs = [
    to_agent_recipe(name, given or find_default(name), json.loads(parameters))
    for name, parameters in zip(sys.argv[2::2], sys.argv[3::2])
]
print(json.dumps([[vars(f) for f in fs] for fs in check_futures(jobs)]))
"""


class Counting:
    """What an agent that counts how often it was asked keeps, and that survives a restart."""

    def __init__(self) -> None:
        self.asked = 0
        self.rng = np.random.default_rng(0)

    def begin(self, info: AgentInfo) -> None:
        """Take the random numbers."""
        self.rng = info.rng

    def state(self) -> bytes:
        """Return what has been counted."""
        return str(self.asked).encode()

    def restore(self, state: bytes) -> None:
        """Go on counting."""
        self.asked = int(state)


def failed(findings: Iterable[Finding]) -> dict[str, str]:
    """Return the details of the checks that were not passed, by check."""
    return {finding.check: finding.detail for finding in findings if not finding.passed}


def check_planted_guards(
    agents: dict[str, dict[str, object]], recipe: Recipe | None = None, catalog: str = ""
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the tripwire's findings by agent and check, in the workspace of planted leaks.

    ``agents``: their parameters, by name.
    """
    environment = {**os.environ, workspace_folders.VARIABLE: str(LEAKS)}
    if catalog:
        environment[VARIABLE] = catalog
    names = [text for name, given in agents.items() for text in (name, json.dumps(given))]
    command = [sys.executable, "-c", CHECK_ALL, recipe.to_json() if recipe else "", *names]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    return {
        name: {finding["check"]: finding for finding in findings}
        for name, findings in zip(agents, found, strict=True)
    }


def run_source(file: Path) -> dict[str, Any]:
    """Return what a file of Python defines."""
    scope: dict[str, Any] = {}
    source = file.read_text(encoding="utf-8")
    exec(compile(source, file.name, "exec"), scope)  # noqa: S102 - our own template
    return scope


def run_own_tests(home: Path) -> None:
    """Run the tests that lie in a workspace, and assert that they pass."""
    environment = {k: v for k, v in os.environ.items() if k != workspace_folders.VARIABLE}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    ended = subprocess.run(
        command, cwd=home, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
