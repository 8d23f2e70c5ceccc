"""A result on disk: readable with pandas alone, refused with a message where it is not one."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import seawall
from seawall.errors import ResultError
from seawall.recipe import Recipe
from seawall.result import TABLES, Band, Result

NAMES = sorted(["result.json", *(f"{name}.parquet" for name in TABLES)])

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
    """Nothing of the older result stays behind, its report neither, and nothing temporary."""
    folder = result.save(tmp_path / "one")
    (folder / "report.html").write_text("old", encoding="utf-8")
    assert result.save(folder) == folder
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


@pytest.mark.parametrize("damage", ["stray", "foreign", "their own", "link", "folder"])
def test_a_folder_with_somebodys_files_is_refused(
    result: Result, tmp_path: Path, damage: str
) -> None:
    """Whatever Seawall has not written stays, whether there is a result beside it or not."""
    folder = tmp_path / "home"
    folder.mkdir()
    if damage != "foreign":
        result.save(folder)
    if damage == "their own":  # a result.json of another program
        for path in folder.glob("*.parquet"):
            path.unlink()
    elif damage == "link":
        (folder / "figure.png").symlink_to(tmp_path / "elsewhere")
    elif damage == "folder":
        (folder / "report.html").mkdir()
    else:
        (folder / "thesis.txt").write_text("five years", encoding="utf-8")
    before = sorted(folder.iterdir())
    with pytest.raises(ResultError, match="a result replaces only an older one") as caught:
        result.save(folder)
    assert "\n" not in str(caught.value)
    assert sorted(folder.iterdir()) == before
    assert list(tmp_path.iterdir()) == [folder]


def test_an_empty_folder_and_the_working_one_are_filled(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--out .`` works, twice too, and the shell's folder is not swapped under it."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for _ in range(2):
        number = folder.stat().st_ino
        assert result.save(Path()) == folder
        assert folder.stat().st_ino == number
        assert sorted(path.name for path in folder.iterdir()) == NAMES
        assert list(tmp_path.iterdir()) == [folder]


def test_a_file_and_what_lies_below_one_are_refused(result: Result, tmp_path: Path) -> None:
    """One line, and the file is as it was."""
    file = tmp_path / "thesis.txt"
    file.write_text("five years", encoding="utf-8")
    for place in (file, file / "below"):
        with pytest.raises(ResultError) as caught:
            result.save(place)
        assert "\n" not in str(caught.value)
    assert file.read_text(encoding="utf-8") == "five years"
    assert list(tmp_path.iterdir()) == [file]


def test_what_fails_half_way_leaves_the_older_result(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk costs the new result, not the old one, and nothing temporary stays."""
    folder = result.save(tmp_path / "one")

    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(pd.DataFrame, "to_parquet", fail)
        with pytest.raises(ResultError, match="no space left"):
            result.save(folder)
    assert Result.load(folder).summary() == result.summary()
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_the_stored_text_is_strict_json(result: Result, tmp_path: Path) -> None:
    """No cap is infinity, which other programs' JSON does not know."""
    recipe = result.recipe.with_settings({"execution.participation_cap": float("inf")})
    band = Band(pessimistic=float("nan"), optimistic=0.0, n_ambiguous=0)
    folder = replace(result, recipe=recipe, band=band).save(tmp_path / "one")
    text = (folder / "result.json").read_text(encoding="utf-8")
    json.loads(text, parse_constant=pytest.fail)
    assert Result.load(folder).recipe == recipe


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


@pytest.mark.parametrize(
    "values",
    [
        {"agent": 3},
        {"metrics": {"total_return": "high"}},
        {"metrics": {"n_trades": None}},
        {"metrics": {"sharpe": True}},
        {"metrics": 3},
        {"band": {"n_ambiguous": "many"}},
        {"labels": [3]},
        {"labels": None},
        {"versions": []},
        {"counts": {"decisions": "x"}},
        {"recipe": {"market": 3}},
        {"recipe": []},
    ],
    ids=str,
)
def test_values_of_another_type_are_refused(
    result: Result, tmp_path: Path, values: dict[str, object]
) -> None:
    """A hand-edited file is told in one line when it is read, not when it is drawn."""
    folder = result.save(tmp_path / "one")
    stored = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    for name, value in values.items():
        stored[name] = stored[name] | value if isinstance(value, dict) else value
    (folder / "result.json").write_text(json.dumps(stored), encoding="utf-8")
    with pytest.raises(ResultError, match="is damaged") as caught:
        Result.load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "3", "null", "[" * 100_000])
def test_json_of_another_form_is_refused(result: Result, tmp_path: Path, text: str) -> None:
    """A list, a number and nonsense are no result."""
    folder = result.save(tmp_path / "one")
    (folder / "result.json").write_text(text, encoding="utf-8")
    with pytest.raises(ResultError):
        Result.load(folder)


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("equity", {"equity": "benchmark", "benchmark": "other"}),
        ("equity", {"cash": "equity"}),
        ("prices", {"ETH/USDT": "BTC/USDT"}),
        ("fills", {"symbol": "quantity", "quantity": "symbol"}),
        ("trades", {"pnl": "profit"}),
        ("journal", {"time": "text", "text": "time"}),
        ("ledger", {"asset": "amount", "amount": "asset"}),
        ("quality", {"series": "name"}),
    ],
)
def test_tables_with_other_columns_are_refused(
    result: Result, tmp_path: Path, name: str, columns: dict[str, str]
) -> None:
    """A column that is gone, doubled or swapped with one of another type is named."""
    folder = result.save(tmp_path / "one")
    table = getattr(result, name).rename(columns=columns)
    table = table.loc[:, ~table.columns.duplicated(keep="last")]
    table.to_parquet(folder / f"{name}.parquet")
    with pytest.raises(ResultError, match=rf"is damaged \(.*{name}.parquet"):
        Result.load(folder)


def test_a_table_in_the_place_of_another_is_refused(result: Result, tmp_path: Path) -> None:
    """Prices without times are no curves."""
    folder = result.save(tmp_path / "one")
    result.prices.reset_index(drop=True).to_parquet(folder / "prices.parquet")
    with pytest.raises(ResultError, match=r"the index of prices.parquet is no UTC time"):
        Result.load(folder)


def test_the_notebook_table_is_escaped_and_labelled(result: Result) -> None:
    """A recipe's name is text, not markup; simulated data are called so."""
    text = result._repr_html_()
    assert "two &lt;weeks&gt;" in text
    assert "simulated" in text
