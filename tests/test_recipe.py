"""A recipe: validated, hashable, and wrong ones are named key by key."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.errors import RecipeError
from seawall.recipe import Recipe, parse_setting, to_share

TEXT = """
[market]
venue = "binance"
symbols = ["ETH/USDT"]
timeframe = "1h"
since = 2024-01-01
until = "2024-02-01"

[agent]
name = "agents.sma_cross"
fast = 10
"""


def with_line(line: str) -> str:
    """Return the text with a line of its own in front."""
    return f"{line}\n{TEXT}"


def test_a_recipe_survives_json_and_keeps_its_id() -> None:
    """What was read can be written, read again, and is the same experiment."""
    recipe = Recipe.from_toml(TEXT)
    again = Recipe.from_dict(recipe.to_dict())
    assert (again, again.id) == (recipe, recipe.id)


def test_no_cap_is_strict_json_and_the_same_experiment() -> None:
    """Infinity is stored as text, read back as a number, and the id is what it always was."""
    plain = Recipe.from_toml(TEXT)
    recipe = plain.with_settings({"execution.participation_cap": float("inf")})
    stored = json.loads(recipe.to_json(), parse_constant=pytest.fail)
    assert stored["execution"]["participation_cap"] == "inf"
    assert Recipe.from_dict(stored) == recipe
    assert recipe.id == "6247feb71457529f"
    assert recipe.with_settings({"seed": 1}) == recipe


def test_the_name_does_not_change_the_id_and_a_parameter_does() -> None:
    """The id is the hash of what can change a number."""
    recipe = Recipe.from_toml(TEXT, name="a")
    assert recipe.id == Recipe.from_toml(TEXT, name="b").id
    assert recipe.id == Recipe.from_toml(with_line('description = "x"')).id
    assert recipe.id != recipe.with_settings({"agent.fast": 11}).id
    assert recipe.id != recipe.with_settings({"seed": 2}).id


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (with_line("sed = 3"), "sed is no key of a recipe: did you mean 'seed'?"),
        (
            TEXT.replace("venue", "vanue"),
            "market.vanue is no key of a recipe: did you mean 'venue'?",
        ),
        (TEXT.replace('timeframe = "1h"', ""), "market.timeframe is missing"),
        (TEXT.replace('"1h"', '"1y"'), "is '1y': write 5m, 1h or 1d"),
        (TEXT.replace("2024-02-01", "2024-01-01"), "the window is empty"),
        (TEXT.replace("2024-02-01", "yesterday"), "is 'yesterday': write 2024-08-05"),
        (TEXT.replace('["ETH/USDT"]', '["ETH/USDT", "ETH/BTC"]'), "share one quote"),
        (TEXT.replace('["ETH/USDT"]', "[]"), "market.symbols"),
        (TEXT + "[account]\ncash = -5", "account.cash: Input should be greater than 0, is -5"),
        (TEXT + '[account]\ncash = "many"', "account.cash"),
        (TEXT + "[account.initial_holdings]\nBTC = 1", "the market has \\['ETH'\\]"),
        (TEXT + '[account.initial_holdings]\nETH = "half"', "a share such as \"50%\", is 'half'"),
        (TEXT + '[execution]\nfill = "now"', "'next_open' or 'close', is 'now'"),
        (TEXT + "[costs]\ntaker_fee_bps = inf", "costs.taker_fee_bps"),
        (TEXT + '[instruments."BTC/USDT"]\nlot_size = 1', "instruments names 'BTC/USDT'"),
        (TEXT + '[market.crash]\nat = "2024-01-05"\ndepth = 0.3', "market.crash belongs to venue"),
        ("market = 3", "market"),
        ("not toml", "is not TOML"),
        (with_line("schema = 2"), "schema"),
        (TEXT.replace("2024-01-01", "1969-12-31"), "must lie from 1970 to 2200"),
        (TEXT.replace("2024-02-01", "9999-12-31"), "must lie from 1970 to 2200"),
        (TEXT.replace("[agent]", 'warmup = "99999d"\n[agent]'), "must lie from 1970 to 2200"),
        (TEXT.replace("[agent]", 'higher_timeframes = ["2h", "120m"]\n[agent]'), "distinct multi"),
        (with_line('name = "a\\nb"'), "name must be one line of text"),
        (TEXT + "width = inf", "parameters are text, true, false, finite numbers"),
        (TEXT + "start = 2024-01-01", "has another \\(Object of type date"),
        (TEXT + f"[account]\ncash = 1{'0' * 400}", "numbers in a recipe are of sensible size"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    """The message has the key and the value, in one line."""
    with pytest.raises(RecipeError, match=message) as caught:
        Recipe.from_toml(text)
    assert "\n" not in str(caught.value)


@given(st.dictionaries(st.text(), st.one_of(st.integers(), st.text(), st.floats(), st.none())))
def test_no_plain_value_gives_a_traceback_from_the_depths(values: dict[str, object]) -> None:
    """Whatever a file holds, the error is a RecipeError."""
    with pytest.raises(RecipeError):
        Recipe.from_dict({"market": values, **values})


def test_settings_are_toml_or_plain_text() -> None:
    """``--set`` takes numbers, lists and names alike."""
    assert parse_setting("agent.fast=10") == ("agent.fast", 10)
    assert parse_setting("execution.participation_cap=inf") == (
        "execution.participation_cap",
        float("inf"),
    )
    assert parse_setting("agent.name=agents.rsi") == ("agent.name", "agents.rsi")
    with pytest.raises(RecipeError, match="write --set"):
        parse_setting("agent.fast")


def test_a_setting_below_a_value_is_refused() -> None:
    """``seed.x`` cannot be set: seed is a number."""
    with pytest.raises(RecipeError, match="seed is a value, not a section"):
        Recipe.from_toml(with_line("seed = 1")).with_settings({"seed.x": 1})


def test_optimistic_settings_are_labelled() -> None:
    """Whoever shows a number of such a recipe has the words at hand."""
    recipe = Recipe.from_toml(TEXT)
    assert recipe.labels == ()
    optimistic = recipe.with_settings({"execution.decide_at": "open", "execution.fill": "close"})
    assert [label.partition(":")[0] for label in optimistic.labels] == ["optimistic", "optimistic"]


def test_a_share_is_a_percentage() -> None:
    """``"50%"`` is 0.5."""
    assert to_share("50%", "key") == 0.5
    with pytest.raises(RecipeError, match="key must be"):
        to_share("150%", "key")


def test_the_id_is_the_same_in_another_process_with_another_hash_seed() -> None:
    """Nothing in the hash depends on the order of a set or a dict."""
    code = f"from seawall.recipe import Recipe; print(Recipe.from_toml({TEXT!r}).id)"
    found = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True, text=True, check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }  # fmt: skip
    assert found == {Recipe.from_toml(TEXT).id}


@pytest.mark.parametrize(
    "symbol",
    ["BTC/USD:BTC", "ETH/USDT:USDC", "ETH/USDT:USDT-251226", "ETH/USDT:", "ETH/USDT:USDT:USDT"],
)
def test_contracts_that_are_no_linear_perpetuals_are_refused(symbol: str) -> None:
    """Coin-margined and dated ones have other rules."""
    market = {"venue": "simulated", "symbols": [symbol], "timeframe": "1h"}
    market |= {"since": "2025-01-01", "until": "2025-01-02"}
    with pytest.raises(RecipeError, match="a perpetual here is linear"):
        Recipe.from_dict({"market": market})
