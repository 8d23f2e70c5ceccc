"""A recipe written as TOML is the same recipe when it is read."""

from hypothesis import given
from hypothesis import strategies as st
from synthetic_result import make_recipe

from seawall.analysis.toml import to_toml
from seawall.recipe import Recipe

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
VALUE = st.one_of(
    st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False), TEXT, st.lists(TEXT)
)


@given(name=TEXT, parameters=st.dictionaries(TEXT.filter(lambda k: k != "name"), VALUE, max_size=4))
def test_any_recipe_is_read_back(name: str, parameters: dict[str, object]) -> None:
    """Names with quotes, newlines, control characters and markup, and inf, survive."""
    values = make_recipe(48).to_dict()
    values |= {"name": name, "agent": {"name": "agents.cash", **parameters}}
    values["execution"] = {"participation_cap": float("inf")}
    values["instruments"] = {"ETH/USDT": {"tick_size": 0.01}}
    recipe = Recipe.from_dict(values)
    again = Recipe.from_toml(to_toml(recipe))
    assert again == recipe
    assert again.id == recipe.id
