"""A result on disk: readable with pandas alone, refused with a message where it is not one."""

import json
from pathlib import Path

import pandas as pd
import pytest

import seawall
from seawall.errors import ResultError
from seawall.recipe import Recipe
from seawall.result import TABLES, Result

RECIPE = """
seed = 3
[market]
venue = "simulated"
symbols = ["ETH/USDT"]
timeframe = "1h"
since = "2025-01-01"
until = "2025-01-15"
[agent]
name = "agents.sma_cross"
fast = 3
slow = 12
"""


@pytest.fixture(scope="module")
def result() -> Result:
    """Return two weeks of a simulated market."""
    return seawall.run(Recipe.from_toml(RECIPE, name="two <weeks>"))


def test_a_result_survives_the_disk(result: Result, tmp_path: Path) -> None:
    """Every table, every metric (nan too) and the recipe come back equal."""
    again = Result.load(result.save(tmp_path / "one"))
    assert again.recipe == result.recipe
    assert again.summary() == result.summary()
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(again, name), getattr(result, name), check_freq=False)


def test_the_tables_are_readable_with_pandas_alone(result: Result, tmp_path: Path) -> None:
    """The equity's index is UTC and its last value over its first is the total return."""
    folder = result.save(tmp_path / "one")
    equity = pd.read_parquet(folder / "equity.parquet")["equity"]
    assert str(equity.index.dtype).endswith("UTC]")
    stored = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert equity.iloc[-1] / equity.iloc[0] - 1 == pytest.approx(stored["metrics"]["total_return"])


def test_saving_again_replaces_the_whole_folder(result: Result, tmp_path: Path) -> None:
    """Nothing of the older result stays behind, and nothing temporary."""
    folder = result.save(tmp_path / "one")
    (folder / "stray.txt").write_text("old", encoding="utf-8")
    result.save(folder)
    assert not (folder / "stray.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


@pytest.mark.parametrize("damage", ["empty", "version", "table", "json"])
def test_what_is_no_result_is_refused(result: Result, tmp_path: Path, damage: str) -> None:
    """One line each: no result, another schema, a missing table, broken JSON."""
    folder = result.save(tmp_path / "one")
    file = folder / "result.json"
    if damage == "empty":
        file.unlink()
    elif damage == "version":
        file.write_text(json.dumps({"schema": 99}), encoding="utf-8")
    elif damage == "table":
        (folder / "fills.parquet").write_bytes(b"not parquet")
    else:
        file.write_text("{", encoding="utf-8")
    with pytest.raises(ResultError) as caught:
        Result.load(folder)
    assert "\n" not in str(caught.value)


def test_the_notebook_table_is_escaped_and_labelled(result: Result) -> None:
    """A recipe's name is text, not markup; simulated data are called so."""
    text = result._repr_html_()
    assert "two &lt;weeks&gt;" in text
    assert "simulated" in text
