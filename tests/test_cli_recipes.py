"""What ``--set`` says of an agent is said to the agent that runs, or is an error."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from seawall.cli import app
from seawall.cli.recipes import check_reach, load_recipe
from seawall.errors import RecipeError, RecordingError


def test_settings_come_after_the_agent_beside_them() -> None:
    """And those of the market before it, so that both may be changed at once."""
    settings = ["agent.fast=7", "market.warmup=9d"]
    loaded = load_recipe("demo", settings, "sma_cross{fast=3,slow=50}")
    assert loaded.agent is not None
    assert dict(loaded.agent.parameters) == {"fast": 7, "slow": 50}
    assert loaded.market.warmup == "9d"
    assert load_recipe("demo", settings[1:]).agent is not None


@pytest.mark.parametrize("verb", [["run"], ["drill", "--days", "1"]])
def test_an_unknown_parameter_beside_another_agent_is_refused(verb: list[str]) -> None:
    """It is not dropped with the agent that the recipe had."""
    done = CliRunner().invoke(
        app, [*verb, "demo", "--agent", "buy_and_hold", "--set", "agent.nonsense=3"]
    )
    assert isinstance(done.exception, RecipeError)
    assert "nonsense" in str(done.exception)


def test_a_replay_with_another_model_stops(tmp_path: Path) -> None:
    """The cassette holds answers of the recipe's model, not of the one that is asked for."""
    arguments = ["run", "language_demo", "--agent", "language_model", "--set", "agent.model=zz"]
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, RecordingError)
    assert "zz" in str(done.exception)


def test_two_agents_are_refused() -> None:
    """Neither wins silently."""
    with pytest.raises(RecipeError, match=r"one agent runs, --agent says cash"):
        load_recipe("demo", ["agent.name=agents.dca"], "cash")


def test_a_setting_that_reaches_nobody_is_refused() -> None:
    """In a comparison it is of the recipe's own agent: one of those that are compared."""
    loaded = load_recipe("demo")
    check_reach(loaded, ["agent.fast=10"], ["cash", "sma_cross{slow=50}"])
    check_reach(loaded, ["market.warmup=9d"], ["cash"])
    with pytest.raises(RecipeError, match=r"own agent, sma_cross, .* write NAME\{fast=\.\.\.\}"):
        check_reach(loaded, ["agent.fast=10"], ["cash", "dca"])
    done = CliRunner().invoke(app, ["compare", "demo", "--agents", "dca", "--set", "agent.fast=10"])
    assert isinstance(done.exception, RecipeError)
