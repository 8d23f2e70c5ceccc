"""The examples under ``examples/agents``, run as the README says, and the verbs beside them."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from remote_runs import EXAMPLES, abstentions, spot
from typer.testing import CliRunner

from seawall import workspace_folders
from seawall.cli import app
from seawall.engine.run import run
from seawall.recipe import Recipe
from seawall.result import Result
from seawall.workspace import find_recipe

SHORT = {"market.since": "2025-04-05", "market.until": "2025-04-12", "market.warmup": "7d"}
DEMO = Recipe.from_file(find_recipe("demo")).with_settings(SHORT)
LONG_S = 60

pytestmark = pytest.mark.skipif(
    not EXAMPLES.is_dir(), reason="the examples are in the checkout, which is not here"
)


def run_with(command: list[str]) -> Result:
    """Return what an example gives in a week of the demo's market."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    agent = {"name": "agents.stdio", "command": command, "timeout_ms": 20_000}
    return run(Recipe.from_dict({**DEMO.to_dict(), "agent": agent}))


def momentum(observation: object) -> float:
    """Do what the examples do, in this process."""
    closes = observation.prices()[-48:].tolist()  # type: ignore[attr-defined]
    return 1.0 if closes[-1] > sum(closes) / len(closes) else 0.0


@pytest.mark.parametrize("command", [[sys.executable, "momentum.py"], ["node", "momentum.js"]])
def test_momentum_is_the_same_in_every_language(command: list[str]) -> None:
    """Numbers cross the wire exactly: the same trades to the bit."""
    theirs = run_with([command[0], str(EXAMPLES / command[1])])
    ours = run(DEMO, agent=momentum)
    assert abstentions(theirs) == []
    assert len(ours.fills) > 3
    assert theirs.equity["equity"].equals(ours.equity["equity"])


def test_the_shell_can_be_an_agent() -> None:
    """In the market from Monday to Friday: it buys on a Monday and sells on a Saturday."""
    result = run_with(["sh", str(EXAMPLES / "monday.sh")])
    assert abstentions(result) == []
    days = [(day.day_name(), quantity > 0) for day, quantity in zip(
        result.fills["time"], result.fills["quantity"], strict=True
    )]  # fmt: skip
    assert days == [("Monday", True)]  # the window begins on a Saturday and ends on a Friday


def test_an_endpoint_in_the_style_of_uagents_is_an_agent() -> None:
    """It is posted to without its SDK, and answers every key of its model, most of them null."""
    script = str(EXAMPLES / "uagents_style.py")
    with subprocess.Popen(
        [sys.executable, script, "0"], stdout=subprocess.PIPE, text=True
    ) as served:
        try:
            assert served.stdout is not None
            url = served.stdout.readline().strip()
            agent = {"name": "agents.http", "url": url, "timeout_ms": 20_000}
            result = run(spot(agent))
        finally:
            served.kill()
    assert abstentions(result) == []
    assert len(result.fills)


@pytest.mark.slow
def test_serve_offers_an_agent_until_it_is_stopped(tmp_path: Path) -> None:
    """The verb says where, answers a run, and ends with exit code 0 on SIGTERM."""
    command = [sys.executable, "-m", "seawall", "serve", "sma_cross{fast=3,slow=9}"]
    environment = {k: v for k, v in os.environ.items() if k != workspace_folders.VARIABLE}
    with subprocess.Popen(
        [*command, "--port", "0", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd=tmp_path, env=environment,
    ) as served:  # fmt: skip
        try:
            assert served.stdout is not None
            said = "".join(served.stdout.readline() for _ in range(3))
            there = run(spot({"name": "agents.http", "url": json.loads(said)["url"]}))
            served.send_signal(signal.SIGTERM)
            assert served.wait(LONG_S) == 0
        finally:
            served.kill()
    here = run(spot({"name": "agents.sma_cross", "fast": 3, "slow": 9}))
    assert there.equity.equals(here.equity)


@pytest.mark.parametrize("what", [(), ("observation",), ("decision",), ("action",), ("handshake",)])
def test_schema_prints_json(what: tuple[str, ...]) -> None:
    """Each form by its name, or all of them."""
    done = CliRunner().invoke(app, ["schema", *what])
    assert done.exit_code == 0, done.output
    assert "$schema" in json.loads(done.stdout)
