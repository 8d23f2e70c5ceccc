"""What the quality check finds, with row numbers, in raw tables and in stored series."""

import numpy as np
import pandas as pd
import pytest

from seawall.market.quality import check, wick_bound
from seawall.market.series import Candles, SeriesKey, Signal

MINUTE = 60_000


def make_frame(n_rows: int = 6) -> pd.DataFrame:
    """Return sound candles one minute apart."""
    prices = 100.0 + np.arange(n_rows)
    return pd.DataFrame(
        {
            "timestamp": np.arange(n_rows) * MINUTE,
            "open": prices,
            "high": prices + 1,
            "low": prices - 1,
            "close": prices + 0.5,
            "volume": np.ones(n_rows),
        }
    )


def findings(frame: pd.DataFrame) -> dict[str, list[int]]:
    """Return the row numbers of each finding."""
    return {f.rule: f.rows.tolist() for f in check(frame).findings}


def test_sound_rows_have_no_findings() -> None:
    """Nothing is said about a table with nothing wrong; its step is found from its times."""
    report = check(make_frame(), name="x")
    assert (report.findings, report.n_rows, report.timeframe_ms) == ((), 6, MINUTE)
    assert report.to_rows() == []


@pytest.mark.parametrize(
    ("row", "column", "value", "rule"),
    [
        (2, "high", 50.0, "high < low"),
        (2, "low", 102.2, "high < low"),
        (3, "low", -1.0, "price <= 0"),
        (3, "open", 0.0, "price <= 0"),
        (4, "close", np.nan, "not a number"),
        (4, "volume", np.nan, "not a number"),
        (4, "high", np.inf, "not a number"),
        (5, "volume", -1.0, "volume < 0"),
        (5, "volume", 0.0, "zero volume"),
    ],
)
def test_each_impossible_value_is_found(row: int, column: str, value: float, rule: str) -> None:
    """The row is named by its number, and refused unless it is a fact about the market."""
    frame = make_frame()
    frame.loc[row, column] = value
    assert findings(frame)[rule] == [row]
    expected = [] if rule == "zero volume" else [row]
    assert check(frame).refused_rows.tolist() == expected


def test_times_out_of_order_or_twice_are_found() -> None:
    """Rows 0 1 1 4 3 5: the repeated and the late row are refused, and a minute is missing."""
    frame = make_frame()
    frame["timestamp"] = np.array([0, 1, 1, 4, 3, 5]) * MINUTE
    assert findings(frame) == {"disorder": [4], "duplicate": [2], "gap": [4]}
    gap = next(f for f in check(frame).findings if f.rule == "gap")
    assert gap.detail == (
        "1 rows of 1m missing, most of them after 1970-01-01 00:01 until 1970-01-01 00:03"
    )


def test_a_late_repetition_is_reported_once() -> None:
    """Rows 0 1 2 1 3 4: the fourth is a duplicate, and not also out of order."""
    frame = make_frame()
    frame["timestamp"] = np.array([0, 1, 2, 1, 3, 4]) * MINUTE
    assert findings(frame) == {"duplicate": [3]}


def test_row_numbers_are_those_of_the_index() -> None:
    """A table cut from a longer one reports the numbers of the longer one."""
    frame = make_frame(20).iloc[10:].copy()
    frame.loc[12, "low"] = -1.0
    assert findings(frame) == {"price <= 0": [12]}


def test_datetimes_are_times() -> None:
    """A column of datetimes in any unit and zone reads as the same times."""
    frame = make_frame()
    wanted = check(frame.drop(index=3).reset_index(drop=True)).to_rows()
    for unit in ("s", "ms", "us", "ns"):
        times = pd.DatetimeIndex(pd.to_datetime(frame["timestamp"], unit="ms", utc=True))
        moved = frame.assign(timestamp=times.as_unit(unit).tz_convert("Asia/Tokyo"))
        assert check(moved.drop(index=3).reset_index(drop=True)).to_rows() == wanted


def test_odd_wicks_are_found_on_a_heavy_tailed_market() -> None:
    """Of 5,000 lognormal wicks around 0.1 % only a planted 60 % one is odd."""
    generator = np.random.default_rng(1)
    n_rows = 5_000
    frame = make_frame(n_rows)
    for name in ("open", "close"):
        frame[name] = 100.0
    frame["high"] = 100.0 * np.exp(generator.lognormal(np.log(1e-3), 0.8, n_rows))
    frame["low"] = 100.0 / np.exp(generator.lognormal(np.log(1e-3), 0.8, n_rows))
    frame.loc[1_234, "low"] = 40.0
    rows = findings(frame)["wick"]
    assert 1_234 in rows
    assert len(rows) <= 3
    assert not check(frame).refused_rows.size


def test_the_wick_bound_is_median_times_four_deviations() -> None:
    """Wicks exp(-3), exp(-2), exp(-1) in equal parts: median -2, deviation 1.4826."""
    wicks = np.exp(np.repeat([-3.0, -2.0, -1.0], 50))
    assert wick_bound(wicks) == pytest.approx(np.exp(-2 + 4 * 1.4826))
    assert wick_bound(wicks[:10]) == np.inf


def test_values_are_checked_too() -> None:
    """A signal's value must be a number, and not be known before the time it describes."""
    frame = pd.DataFrame(
        {"timestamp": [0, 1, 2], "value": [1.0, np.inf, 3.0], "known_at": [0, 1, 1]}
    )
    assert findings(frame) == {"not a number": [1], "known too early": [2]}


def test_stored_series_can_be_checked() -> None:
    """A series needs no name or step; what it can still have are gaps, zero volume and wicks."""
    key = SeriesKey("candles", "binance", "ETH/USDT", "1m")
    one = np.ones(3)
    candles = Candles(
        key=key,
        time_ms=np.array([0, 1, 4]) * MINUTE,
        open=one,
        high=one,
        low=one,
        close=one,
        volume=np.array([1.0, 0.0, 1.0]),
    )
    rows = check(candles).to_rows()
    assert [(r["series"], r["finding"], r["rows"]) for r in rows] == [
        (str(key), "gap", [2]),
        (str(key), "zero volume", [1]),
    ]
    signal = Signal(
        key=SeriesKey("signal", "alt", "fear", "1m"),
        time_ms=np.array([0, MINUTE]),
        known_ms=np.array([5, MINUTE]),
        value=np.ones(2),
    )
    assert check(signal).findings == ()


def test_an_empty_table_is_no_error() -> None:
    """No rows, no findings."""
    assert check(make_frame(0)).findings == ()
