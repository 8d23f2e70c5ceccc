"""A recipe written as TOML is the same recipe when it is read."""

from hypothesis import given
from hypothesis import strategies as st
from synthetic_result import make_recipe

from seawall.analysis.toml import to_toml
from seawall.recipe import Recipe

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NAME = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
VALUE = st.one_of(st.booleans(), st.integers(-(2**53), 2**53), NUMBER, TEXT, st.lists(TEXT))


@given(name=NAME, parameters=st.dictionaries(TEXT.filter(lambda k: k != "name"), VALUE, max_size=4))
def test_any_recipe_is_read_back(name: str, parameters: dict[str, object]) -> None:
    """Quotes and markup, control characters in parameters, and a cap of inf survive."""
    values = make_recipe(48).to_dict()
    values |= {"name": name, "agent": {"name": "agents.cash", **parameters}}
    values["execution"] = {"participation_cap": float("inf")}
    values["instruments"] = {"ETH/USDT": {"tick_size": 0.01}}
    recipe = Recipe.from_dict(values)
    again = Recipe.from_toml(to_toml(recipe))
    assert again == recipe
    assert again.id == recipe.id
