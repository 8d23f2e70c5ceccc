"""An agent is named with or without settings, and runs with those of the recipe or its own."""

import pytest
from synthetic_result import make_recipe

from seawall.analysis.contender import split_names, to_contender
from seawall.errors import RecipeError


@pytest.mark.parametrize("text", ["sma_cross", "agents.sma_cross", " sma_cross "])
def test_the_recipes_agent_keeps_the_recipes_parameters(text: str) -> None:
    """The recipe says fast = 20 for sma_cross: that holds for it, however it is written."""
    contender = to_contender(text)
    section = contender.recipe(make_recipe(48)).agent
    assert contender.name == "sma_cross"
    assert section is not None
    assert (section.name, section.parameters) == ("agents.sma_cross", {"fast": 20})


def test_another_agent_gets_its_defaults() -> None:
    """What the recipe says of one agent is not given to another."""
    section = to_contender("macd").recipe(make_recipe(48)).agent
    assert section is not None
    assert section.parameters == {}


def test_settings_come_before_those_of_the_recipe() -> None:
    """Braces hold TOML; the shown name tells two settings of one agent apart."""
    contender = to_contender('agents.sma_cross{fast = 5, mode = "x"}')
    section = contender.recipe(make_recipe(48)).agent
    assert contender.name == 'sma_cross{fast=5, mode="x"}'
    assert section is not None
    assert section.parameters == {"fast": 5, "mode": "x"}


@pytest.mark.parametrize("text", ["", "{fast=1}", "sma_cross{fast=1", "sma_cross{fast}", "agents."])
def test_what_is_no_name_is_refused(text: str) -> None:
    """The message shows the value and how it is written."""
    with pytest.raises(RecipeError, match="write sma_cross"):
        to_contender(text)


def test_commas_within_braces_do_not_part_names() -> None:
    """A list on the command line may hold agents with settings."""
    assert split_names("a, b{x=1,y=[1,2]} ,c,") == ["a", "b{x=1,y=[1,2]}", "c"]
