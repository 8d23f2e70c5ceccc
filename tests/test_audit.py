"""Audits: a foreign track record row by row, and a stored result by its hashes and books."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import seawall
from seawall.analysis.audit import audit_result
from seawall.analysis.track_record import audit_track_record
from seawall.errors import DataError
from seawall.market.series import Candles, SeriesKey
from seawall.recipe import Recipe
from seawall.result import Result
from seawall.units import DAY_MS, to_time_ms
from seawall.workspace import find_recipe

HEAD = "date,action,symbol,quantity,price,cash,holdings\n"
# 10 bps of each notional: 2,000 costs 2, 3,000 brings 3 less.
HONEST = """2024-01-01,hold,BTC,0,0,10000,0
2024-01-02,buy,BTC,0.05,40000,7998,0.05
2024-01-03,hold,BTC,0,41000,7998,0.05
2024-01-04,sell,BTC,0.05,60000,10995,0
"""


def record(folder: Path, text: str, head: str = HEAD) -> Path:
    """Write a track record and return its path."""
    path = folder / "record.csv"
    path.write_text(head + text)
    return path


def found(folder: Path, text: str, head: str = HEAD) -> list[tuple[int, str]]:
    """Return row and rule of what does not add up."""
    return [(one.row, one.rule) for one in audit_track_record(record(folder, text, head)).findings]


def test_an_honest_record_adds_up_and_its_fee_is_found(tmp_path: Path) -> None:
    """10,000 becomes 10,995 after two fees of 10 bps: + 9.95 %."""
    audit = audit_track_record(record(tmp_path, HONEST))
    assert audit.adds_up
    assert audit.final_equity == 10_995
    assert audit.total_return == pytest.approx(0.0995)
    assert audit.fee_rate == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("40000,7998,0.05", "40000,8998,0.05", [(3, "cash"), (4, "cash")]),
        ("41000,7998,0.05", "41000,7998,0.06", [(4, "holdings"), (5, "holdings")]),
        ("60000,10995,0", "60000,10995,0.01", [(5, "holdings")]),
        ("60000,10995,0", "60000,11995,0", [(5, "cash")]),
        ("2024-01-03", "2023-12-01", [(4, "readable")]),
        ("41000,7998,0.05", "41000,many,0.05", [(4, "readable")]),
        ("sell", "short", [(5, "readable")]),
    ],
)
def test_a_row_that_does_not_add_up_is_named(
    tmp_path: Path, old: str, new: str, expected: list[tuple[int, str]]
) -> None:
    """One planted error is found in its row; the next row differs from what the wrong one says."""
    assert found(tmp_path, HONEST.replace(old, new)) == expected


def test_cash_below_nothing_is_named(tmp_path: Path) -> None:
    """Bought for more than there was: the arithmetic is right and the account impossible."""
    text = "2024-01-01,hold,BTC,0,0,1000,0\n2024-01-02,buy,BTC,0.05,40000,-1002,0.05\n"
    assert found(tmp_path, text) == [(3, "cash")]


def test_stated_fees_and_equity_are_checked(tmp_path: Path) -> None:
    """With columns of their own a wrong fee is cash that is missing, and equity is recomputed."""
    head = HEAD.strip() + ",fee,equity\n"
    text = (
        "2024-01-01,hold,BTC,0,0,10000,0,0,10000\n"
        "2024-01-02,buy,BTC,0.05,40000,7998,0.05,1,9998\n"
        "2024-01-03,hold,BTC,0,41000,7998,0.05,0,12000\n"
    )
    assert found(tmp_path, text, head) == [(3, "cash"), (4, "equity")]


def test_deposits_are_no_gain(tmp_path: Path) -> None:
    """100 become 150 by a deposit of 50, and 50 more by trading: + 33.3 %, not + 100 %."""
    text = (
        "2024-01-01,hold,,0,0,100,\n2024-01-02,deposit,USD,50,,150,\n"
        '2024-01-03,buy,BTC,1,150,0,{"BTC": 1}\n2024-01-04,sell,BTC,1,200,200,{"BTC": 0}\n'
    )
    audit = audit_track_record(record(tmp_path, text))
    assert audit.adds_up
    assert audit.total_return == pytest.approx(1 / 3)
    assert found(tmp_path, text.replace("50,,150", "50,,160")) == [(3, "cash"), (4, "cash")]


def test_the_first_price_of_a_holding_is_no_gain(tmp_path: Path) -> None:
    """One BTC was there all the time, its price is stated when it is sold: nothing is earned."""
    rows = (
        '2024-01-01,buy,ETH,10,2000,80000,"{""ETH"": 10, ""BTC"": 1}"\n'
        '2024-01-02,sell,BTC,1,40000,120000,"{""ETH"": 10}"\n'
    )
    audit = audit_track_record(record(tmp_path, rows))
    assert audit.start_equity == audit.final_equity == 140_000
    assert audit.total_return == 0.0
    assert any("no price was stated of BTC before row 3" in note for note in audit.notes)


def test_holdings_that_are_not_stated_any_more_are_named(tmp_path: Path) -> None:
    """JSON states all that is held: a coin that is left out without a sale is gone."""
    text = (
        '2024-01-01,hold,,0,0,100,"{}"\n2024-01-02,buy,BTC,1,50,50,"{""BTC"": 1}"\n\n'
        '2024-01-03,buy,ETH,1,10,40,"{""ETH"": 1}"\n2024-01-04,hold,,0,0,40,"{""ETH"": 1}"\n'
    )
    audit = audit_track_record(record(tmp_path, text))
    # Line 4 of the file is blank: rows are named by their lines.
    assert [(one.row, one.rule) for one in audit.findings] == [(5, "holdings")]
    assert "BTC should be 1" in audit.findings[0].text
    assert audit.final_equity == 50


def test_prices_are_held_against_the_market(tmp_path: Path) -> None:
    """A sale at 60,000 on a day that traded from 39,000 to 42,000 is named."""
    days = to_time_ms("2024-01-01") + DAY_MS * np.arange(5)
    flat = np.full(5, 40_000.0)
    candles = Candles(
        key=SeriesKey("candles", "binance", "BTC/USDT", "1d"), time_ms=days, open=flat,
        high=flat + 2_000, low=flat - 1_000, close=flat, volume=flat,
    )  # fmt: skip
    audit = audit_track_record(record(tmp_path, HONEST), candles={"BTC": candles})
    assert [(one.row, one.rule) for one in audit.findings] == [(5, "price")]


def test_a_file_that_is_no_record_is_a_clear_line(tmp_path: Path) -> None:
    """A missing column is named."""
    with pytest.raises(DataError, match="lacks price, cash, holdings"):
        audit_track_record(record(tmp_path, "1,2,3,4\n", "date,action,symbol,quantity\n"))
    with pytest.raises(DataError, match="cannot be read"):
        audit_track_record(tmp_path / "none.csv")


@pytest.fixture(scope="module")
def result() -> Result:
    """Return a run with fills."""
    return seawall.run("demo")


def test_a_stored_result_adds_up(result: Result, tmp_path: Path) -> None:
    """Nothing is found, and the hash is the one that the result states."""
    folder = result.save(tmp_path / "run")
    audit = audit_result(folder)
    assert audit.adds_up, audit.findings
    assert audit.n_fills > 0
    assert audit.journal_hash == json.loads((folder / "result.json").read_text())["journal_hash"]


def test_a_futures_account_adds_up(tmp_path: Path) -> None:
    """Slippage of a contract is in its gains: the ledger books none, and nothing is amiss."""
    result = seawall.run("margin_demo")
    assert (result.fills["slippage"] > 0).any()
    audit = audit_result(result.save(tmp_path / "run"))
    assert audit.adds_up, audit.findings
    assert audit.n_fills > 0


@pytest.mark.parametrize("quantity", [10.0, 3_000.0])
def test_a_liquidated_account_adds_up(tmp_path: Path, quantity: float) -> None:
    """In one step or tier by tier: fee and insurance of the ledger are the fee of the fills."""
    recipe = Recipe.from_file(find_recipe("margin_demo")).with_settings(
        {"perpetual.leverage": 20, "perpetual.position": {"quantity": quantity, "leverage": 18},
         "agent": {"name": "agents.do_nothing"}}
    )  # fmt: skip
    result = seawall.run(recipe)
    assert result.n_liquidations == 1
    audit = audit_result(result.save(tmp_path / "run"))
    assert audit.adds_up, audit.findings


@pytest.mark.parametrize(
    ("column", "change", "rows"),
    [
        ("price", 1.1, [4]), ("raw_price", 1.1, [4, 4]), ("quantity", 1.1, [4, 4, 4]),
        ("slippage", 0.5, [4, 4]), ("time_ms", 1.01, [4]),
    ],
)  # fmt: skip
def test_a_fill_that_was_changed_is_found(
    result: Result, tmp_path: Path, column: str, change: float, rows: list[int]
) -> None:
    """Whatever of it was improved, its row is named."""
    folder = result.save(tmp_path / "run")
    fills = pd.read_parquet(folder / "fills.parquet")
    values = fills[column].to_numpy(dtype=np.float64).copy()
    values[4] *= change
    kind = np.int64 if column == "time_ms" else np.float64
    fills.assign(**{column: values.astype(kind)}).to_parquet(folder / "fills.parquet")
    named = [one.row for one in audit_result(folder).findings if one.rule == "fills"]
    assert named == rows


@pytest.mark.parametrize(
    ("change", "row"), [("text", 3), ("middle", 5), ("swap", 2), ("last", -1), ("hash", -1)]
)
def test_a_journal_that_was_changed_is_found(
    result: Result, tmp_path: Path, change: str, row: int
) -> None:
    """A reworded reason, a row that is gone, two that changed places, or the summary's own hash."""
    folder = result.save(tmp_path / "run")
    path = folder / "journal.parquet"
    journal = pd.read_parquet(path)
    if change == "text":
        journal.loc[3, "reason"] = "I knew it all along"
        journal.to_parquet(path)
    elif change == "middle":
        journal.drop(index=5).reset_index(drop=True).to_parquet(path)
    elif change == "swap":
        places = [0, 1, 3, 2, *range(4, len(journal))]
        journal.iloc[places].reset_index(drop=True).to_parquet(path)
    elif change == "last":
        journal.iloc[:-1].to_parquet(path)
    else:
        stored = json.loads((folder / "result.json").read_text())
        stored["journal_hash"] = "0" * 16
        (folder / "result.json").write_text(json.dumps(stored))
    (finding,) = audit_result(folder).findings
    assert (finding.rule, finding.row) == ("journal", row)


def test_books_and_metrics_that_were_changed_are_found(result: Result, tmp_path: Path) -> None:
    """A fee that is smaller in the fills, an entry that is gone, a return that was improved."""
    folder = result.save(tmp_path / "run")
    fills = pd.read_parquet(folder / "fills.parquet")
    fees = fills["fee"].to_numpy(dtype=np.float64).copy()
    fees[2] *= 0.5
    fills.assign(fee=fees).to_parquet(folder / "fills.parquet")
    rules = [(one.rule, one.row) for one in audit_result(folder).findings]
    assert rules == [("fills", 2), ("metrics", -1)]
    folder = result.save(tmp_path / "other")
    ledger = pd.read_parquet(folder / "ledger.parquet")
    ledger.iloc[:-1].to_parquet(folder / "ledger.parquet")
    stored = json.loads((folder / "result.json").read_text())
    stored["metrics"]["total_return"] += 0.01
    (folder / "result.json").write_text(json.dumps(stored))
    rules = [(one.rule, one.row) for one in audit_result(folder).findings]
    assert ("books", -1) in rules
    assert ("metrics", -1) in rules


def test_the_verb_names_the_rows_and_ends_with_its_code(tmp_path: Path) -> None:
    """Code 8 where something does not add up, 0 where all does; JSON has everything."""
    from seawall.cli import app  # noqa: PLC0415 - it takes a second, and one test

    good = CliRunner().invoke(app, ["audit", str(record(tmp_path, HONEST)), "--json"])
    assert good.exit_code == 0
    assert json.loads(good.stdout)["adds_up"] is True
    bad = CliRunner().invoke(
        app, ["audit", str(record(tmp_path, HONEST.replace("7998", "8998", 1)))]
    )
    assert bad.exit_code != 0
    assert getattr(bad.exception, "exit_code", 0) == 8
