"""What the README shows works as it stands there."""

import re
from pathlib import Path

import pytest

import seawall
from seawall.agent import as_agent
from seawall.perpetual_recipe import PerpetualSection
from seawall.recipe import Recipe
from seawall.workspace import list_names

README = Path(__file__).parents[1] / "README.md"
if not README.is_file():
    pytest.skip("the README is not beside the tests", allow_module_level=True)
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, flags=re.DOTALL)


def block(language: str, part: str) -> str:
    """Return the one block of a language that holds a text."""
    (found,) = [code for kind, code in BLOCKS if kind == language and part in code]
    return str(found)


def test_the_agent_runs_and_trades() -> None:
    """As it is printed, on the demo's market."""
    names: dict[str, type] = {}
    exec(block("python", "class DipBuyer"), names)  # noqa: S102 - it is the README's own code
    agent = as_agent(names["DipBuyer"]())
    recipe = Recipe.from_file(seawall.find_recipe("demo"))
    result = seawall.run(recipe, agent=agent)
    assert result.counts.get("abstained", 0) == 0
    assert len(result.fills) > 0


def test_the_recipe_says_the_defaults_it_claims_to() -> None:
    """What stands under "the defaults" is what a recipe without these sections has."""
    recipe = Recipe.from_toml(block("toml", "my_first"))
    bare = Recipe.from_dict({"market": recipe.to_dict()["market"]})
    assert recipe.costs == bare.costs
    assert recipe.execution == bare.execution
    assert recipe.strategy.name == bare.strategy.name


def test_the_loan_recipe_runs_and_says_the_defaults_it_claims_to() -> None:
    """As it is printed; the oracle is that of a loan that says nothing of it."""
    recipe = Recipe.from_toml(block("toml", "my_loan"))
    result = seawall.run(recipe)
    assert result.counts.get("abstained", 0) == 0
    assert recipe.loan is not None
    assert recipe.loan.oracle == type(recipe.loan.oracle)()


def test_the_margin_recipe_runs_and_says_the_defaults_it_claims_to() -> None:
    """As it is printed; all but the mode and the position is what a section of nothing says."""
    recipe = Recipe.from_toml(block("toml", "my_margin"))
    result = seawall.run(recipe)
    assert result.counts.get("abstained", 0) == 0
    section = recipe.perpetual
    assert section is not None
    assert section == PerpetualSection(margin="isolated", position=section.position)


def test_every_recipe_and_verb_that_is_named_exists() -> None:
    """Names in ``seawall run NAME`` are those of shipped recipes, or of the one it shows."""
    named = set(re.findall(r"seawall run ([a-z_0-9]+)", TEXT))
    assert named <= {*list_names("backtests"), "my_first", "my_loan", "my_margin"}
    assert "BENCH" not in TEXT
