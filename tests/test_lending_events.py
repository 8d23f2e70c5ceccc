"""The dated bonuses of Aave v2, held against what liquidators got."""

from pathlib import Path

import pandas as pd
import pytest

from seawall.errors import DataError
from seawall.verify.events import CLASSES, FILE, check_events


def test_liquidators_got_the_dated_bonus(shared_data: Path) -> None:
    """2,826 of 2,915 rows with WETH hold (96.9 %), and 4,856 of all 5,168 (94.0 %)."""
    report = check_events(shared_data)
    assert (report.n_weth, report.n_weth_within) == (2_915, 2_826)
    assert (report.n_all, report.n_all_within) == (5_168, 4_856)
    assert report.weth_share >= 0.96
    assert report.share >= 0.85


def test_bonuses_read_off_the_events_are_not_needed(shared_data: Path) -> None:
    """Without the 200 rows whose bonus no other source states, 90.1 % of all rows hold."""
    report = check_events(shared_data)
    assert report.n_read_off == 200
    assert report.independent_share >= 0.90


def test_every_miss_has_a_class(shared_data: Path) -> None:
    """Of 312 misses 290 are two mispriced groups of tokens, and three have no explanation."""
    report = check_events(shared_data)
    assert dict(report.misses) == {
        "no dated bonus": 0,
        "fixed in ether": 183,
        "wrong throughout": 107,
        "share of a pool": 2,
        "another moment": 17,
        "unexplained": 3,
    }
    assert len(report.table) == report.n_all - report.n_all_within == sum(report.misses.values())
    assert tuple(report.misses) == CLASSES


def write_events(folder: Path, rows: list[dict[str, object]]) -> Path:
    """Write liquidation events as the shared data has them, and return the data folder."""
    path = folder / FILE
    path.parent.mkdir(parents=True)
    frame = pd.DataFrame(rows)
    frame["timestamp"] = pd.to_datetime(frame["timestamp"])
    frame.to_parquet(path)
    return folder


def make_event(**changes: object) -> dict[str, object]:
    """Return an event of 2021-12-01: 1,000 USDC repaid, 1,050 USD of WETH seized."""
    event: dict[str, object] = {
        "timestamp": "2021-12-01T00:00",
        "collateral_asset": "WETH",
        "collateral_amount": 0.25,
        "collateral_usd": 1_050.0,
        "debt_asset": "USDC",
        "debt_amount": 1_000.0,
        "debt_usd": 1_000.0,
    }
    return event | changes


def test_a_wrong_bonus_is_caught(tmp_path: Path) -> None:
    """LINK at 7.5 % holds after AIP 40 and misses before it, when the bonus was 10 %."""
    link = {"collateral_asset": "LINK", "collateral_amount": 40.0, "collateral_usd": 1_075.0}
    rows = [
        make_event(timestamp="2021-10-01T00:00", **link),
        make_event(timestamp="2021-12-01T00:00", **link),
        make_event(),
    ]
    report = check_events(write_events(tmp_path, rows))
    assert (report.n_all, report.n_all_within, report.n_weth) == (3, 2, 1)
    assert report.misses["unexplained"] == 1
    assert report.table["error"].tolist() == pytest.approx([1_075 / 1_100 - 1])


def test_rows_that_do_not_count_stay_out(tmp_path: Path) -> None:
    """Early, tiny and unpriced rows are no evidence; an unlisted collateral has its own class."""
    rows = [
        make_event(),
        make_event(timestamp="2021-07-31T23:59"),
        make_event(debt_usd=100.0),
        make_event(collateral_usd=float("nan")),
        make_event(collateral_asset="DOGE"),
    ]
    report = check_events(write_events(tmp_path, rows))
    assert report.n_all == 2
    assert report.misses["no dated bonus"] == 1


def test_prices_of_another_moment_are_told_from_a_wrong_bonus(tmp_path: Path) -> None:
    """A row that misses by 3 % is excused only where prices moved by 3 % within the hour."""
    moved = make_event(
        timestamp="2021-12-01T00:30", collateral_usd=1_050.0 / 1.03, collateral_amount=0.25
    )
    report = check_events(write_events(tmp_path, [make_event(), moved]))
    assert report.misses["another moment"] == 1
    far = make_event(timestamp="2021-12-01T02:00", collateral_usd=1_050.0 / 1.03)
    report = check_events(write_events(tmp_path / "far", [make_event(), far]))
    assert report.misses["unexplained"] == 1


def test_missing_events_are_one_line(tmp_path: Path) -> None:
    """A folder without the file is refused with its path."""
    with pytest.raises(DataError, match=r"liquidations\.parquet is not"):
        check_events(tmp_path)
