"""The array feed: close stamps, checked input, resampling without a look ahead."""

import datetime as dt
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
import pytest
from engine_twins import (
    START_MS,
    make_candles,
    to_array_feed,
    to_frame,
    to_stock_feed,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.engine.cerebro import Cerebro
from seawall.engine.feed import ArrayFeed, resample, to_bt_time, to_bt_timeframe
from seawall.errors import DataError
from seawall.market.series import Candles, SeriesKey
from seawall.units import DAY_MS, HOUR_MS, MINUTE_MS, to_duration_ms

LINES = ("datetime", "open", "high", "low", "close", "volume", "openinterest")


class Collector(bt.Strategy):
    """Keeps what each bar shows of every feed."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []

    def next(self) -> None:
        """Keep the time, and length and close of each feed."""
        seen = [(len(data), data.close[0]) for data in self.datas if len(data)]
        self.rows.append((bt.num2date(self.datetime[0]), *seen))

    def prenext(self) -> None:
        """Keep the same where a feed has not begun."""
        self.next()


def run_collector(*feeds: Any, kind: type[bt.Cerebro] = Cerebro, **kwargs: Any) -> Any:
    """Return the strategy after a run over some feeds."""
    cerebro = kind(stdstats=False, **kwargs)
    for feed in feeds:
        cerebro.adddata(feed)
    cerebro.addstrategy(Collector)
    return cerebro.run()[0]


@given(st.integers(0, 4 * 10**12))
@settings(max_examples=300)
def test_stamps_equal_date2num_to_the_bit(time_ms: int) -> None:
    """A millisecond stamp becomes the date number that backtrader computes for it."""
    moment = dt.datetime(1970, 1, 1) + dt.timedelta(milliseconds=time_ms)  # noqa: DTZ001
    assert to_bt_time(np.array([time_ms]))[0] == bt.date2num(moment)


def test_lines_equal_those_of_stock() -> None:
    """All seven lines hold what stock ``PandasData`` reads from a close-stamped table."""
    candles = make_candles(5, 50, gap_share=0.2)
    ours = run_collector(to_array_feed(candles)).data
    stock = run_collector(to_stock_feed(candles), kind=bt.Cerebro).data
    for name in LINES:
        expected = np.array(getattr(stock.lines, name).array)
        np.testing.assert_array_equal(np.array(getattr(ours.lines, name).array), expected)


def test_bars_carry_their_close_time() -> None:
    """The first five-minute bar opens at 00:00 and is stamped 00:05."""
    candles = make_candles(1, 3)
    first = run_collector(to_array_feed(candles)).rows[0][0]
    opened = dt.datetime.fromtimestamp(START_MS / 1000, tz=dt.UTC)
    assert first == opened.replace(tzinfo=None) + dt.timedelta(minutes=5)


@pytest.mark.parametrize(
    ("timeframe", "expected"),
    [
        ("30s", (bt.TimeFrame.Seconds, 30)),
        ("5m", (bt.TimeFrame.Minutes, 5)),
        ("4h", (bt.TimeFrame.Minutes, 240)),
        ("1d", (bt.TimeFrame.Days, 1)),
        ("2w", (bt.TimeFrame.Weeks, 2)),
    ],
)
def test_timeframe_is_told_to_backtrader(timeframe: str, expected: tuple[int, int]) -> None:
    """Analyzers read the bar length from the feed."""
    feed = to_array_feed(make_candles(1, 3, timeframe=timeframe))
    assert (feed._timeframe, feed._compression) == expected
    assert to_bt_timeframe(to_duration_ms(timeframe)) == expected


def test_hourly_close_is_not_visible_before_the_hour_ends() -> None:
    """Beside 5-minute bars the hour 0:00-1:00 shows at 1:00; an open-stamped feed shows it early.

    Worked: the hour's close is that of the bar 0:55-1:00, the twelfth. Close-stamped, the hourly
    feed's first bar arrives with the twelfth fine bar. Open-stamped in both series, it arrives with
    the first fine bar: the close of 1:00 known at 0:05.
    """
    fine = make_candles(6, 36)
    hourly = resample(fine, "1h")
    rows = run_collector(to_array_feed(fine), to_array_feed(hourly)).rows
    first = next(number for number, row in enumerate(rows, 1) if len(row) == 3)
    assert first == 12
    assert rows[11][2] == (1, fine.close[11])

    def to_open_stamped(candles: Candles) -> Any:
        frame = to_frame(candles)
        frame.index = pd.to_datetime(candles.time_ms, unit="ms")
        minutes = candles.key.timeframe_ms // MINUTE_MS
        make: Any = bt.feeds.PandasData
        return make(dataname=frame, timeframe=bt.TimeFrame.Minutes, compression=minutes)

    early = run_collector(to_open_stamped(fine), to_open_stamped(hourly), kind=bt.Cerebro).rows
    assert early[0][2] == (1, fine.close[11])


def test_resampling_takes_only_whole_buckets() -> None:
    """Fine bars 0:10 to 2:25 make the hour 1:00-2:00 alone, from its twelve bars."""
    fine = make_candles(7, 28, first=2)
    hourly = resample(fine, "1h")
    inside = slice(10, 22)
    assert hourly.time_ms.tolist() == [START_MS + HOUR_MS]
    assert hourly.open[0] == fine.open[10]
    assert hourly.high[0] == fine.high[inside].max()
    assert hourly.low[0] == fine.low[inside].min()
    assert hourly.close[0] == fine.close[21]
    assert hourly.volume[0] == fine.volume[inside].sum()
    assert hourly.key.timeframe == "1h"


def test_resampling_bridges_gaps_and_skips_empty_buckets() -> None:
    """A bucket with some of its bars is made of those; one with none does not exist."""
    fine = make_candles(8, 60)
    keep = np.ones(60, dtype=bool)
    keep[14:18] = keep[24:36] = False  # part of the second hour, all of the third
    gapped = Candles(
        key=fine.key, time_ms=fine.time_ms[keep], open=fine.open[keep], high=fine.high[keep],
        low=fine.low[keep], close=fine.close[keep], volume=fine.volume[keep],
    )  # fmt: skip
    hourly = resample(gapped, "1h")
    hours = (hourly.time_ms - START_MS) // HOUR_MS
    assert hours.tolist() == [0, 1, 3, 4]
    assert hourly.volume[1] == fine.volume[12:14].sum() + fine.volume[18:24].sum()
    assert hourly.open[2] == fine.open[36]


@given(st.integers(0, 500), st.integers(1, 80), st.integers(0, 30), st.sampled_from([0.0, 0.4]))
@settings(max_examples=60, deadline=None)
def test_resampling_knows_nothing_of_later_bars(
    seed: int, n_bars: int, first: int, gap_share: float
) -> None:
    """What is shown by a time is the same when everything after that time is cut off."""
    fine = make_candles(seed, n_bars, first=first, gap_share=gap_share)
    cut = START_MS + (first + n_bars // 2) * 5 * MINUTE_MS
    whole = resample(fine, "15m", until_ms=START_MS + DAY_MS)
    early = resample(fine.between(None, cut), "15m", until_ms=cut)
    shown = whole.close_ms <= cut
    for name in ("time_ms", "open", "high", "low", "close", "volume"):
        np.testing.assert_array_equal(getattr(whole, name)[shown], getattr(early, name))


def test_weeks_start_on_monday() -> None:
    """A week opens on Monday 00:00 UTC."""
    daily = make_candles(9, 30, timeframe="1d")
    days = (resample(daily, "1w").time_ms // DAY_MS + 3) % 7
    assert set(days.tolist()) == {0}


def test_resampling_to_no_multiple_is_refused() -> None:
    """Seven minutes are not made of five."""
    with pytest.raises(DataError, match="must be a multiple"):
        resample(make_candles(1, 10), "7m")


def test_table_becomes_a_feed() -> None:
    """An open-stamped table in UTC, its columns in any case, is read as candles."""
    candles = make_candles(2, 20)
    frame = to_frame(candles).rename(columns=str.upper)
    frame.index = pd.to_datetime(candles.time_ms, unit="ms", utc=True)
    feed = ArrayFeed.from_frame(frame, symbol="A/B", timeframe="5m")
    assert feed.candles.time_ms.tolist() == candles.time_ms.tolist()
    assert feed._name == "A/B"
    np.testing.assert_array_equal(feed.candles.close, candles.close)


def spoil(frame: pd.DataFrame, how: str) -> pd.DataFrame:
    """Return a table with one fault."""
    match how:
        case "zone":
            frame = frame.tz_localize("Asia/Tokyo")
        case "order":
            frame = frame.iloc[::-1]
        case "double":
            frame = frame.iloc[[0, 1, 1, 2]]
        case "nan":
            frame.iloc[1, 3] = np.nan
        case "index":
            frame = frame.reset_index(drop=True)
        case "column":
            frame = frame.drop(columns="volume")
        case "micro":
            frame.index += pd.Timedelta(microseconds=5)
    return frame


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("zone", "must be in UTC, is in Asia/Tokyo"),
        ("order", "must strictly increase"),
        ("double", "must strictly increase"),
        ("nan", "must be a finite price"),
        ("index", "must be a DatetimeIndex"),
        ("column", "missing: volume"),
        ("micro", "whole milliseconds"),
    ],
)
def test_spoilt_table_is_refused(how: str, message: str) -> None:
    """Each fault is named, with what to do about it."""
    frame = spoil(to_frame(make_candles(2, 20)), how)
    with pytest.raises(DataError, match=message):
        ArrayFeed.from_frame(frame, symbol="A/B", timeframe="5m")


def test_dates_cut_a_feed_as_in_stock() -> None:
    """``fromdate`` and ``todate`` compare with the close, as with stock on the same stamps."""
    candles = make_candles(3, 40)
    opened = dt.datetime.fromtimestamp(START_MS / 1000, tz=dt.UTC).replace(tzinfo=None)
    dates = {
        "fromdate": opened + dt.timedelta(minutes=31),
        "todate": opened + dt.timedelta(minutes=90),
    }
    ours = run_collector(ArrayFeed(candles, **dates))
    stock_make: Any = bt.feeds.PandasData
    stock = run_collector(stock_make(dataname=to_frame(candles), **dates), kind=bt.Cerebro)
    assert ours.rows == stock.rows
    assert len(ours.rows) == 12


def test_ticks_are_the_bar() -> None:
    """``tick_close`` and its like are the current bar's values."""

    class Ticker(bt.Strategy):
        def next(self) -> None:
            data = self.data
            assert (data.tick_open, data.tick_last) == (data.open[0], data.close[0])

    cerebro = Cerebro()
    cerebro.adddata(to_array_feed(make_candles(1, 10)))
    cerebro.addstrategy(Ticker)
    assert len(cerebro.run()[0]) == 10


def test_mark_series_has_no_volume() -> None:
    """A mark series, whose volume is nan, is fed with volume 0."""
    candles = make_candles(1, 5)
    mark = Candles(
        key=SeriesKey("mark", "made", "A/B", "5m"), time_ms=candles.time_ms, open=candles.open,
        high=candles.high, low=candles.low, close=candles.close, volume=np.full(5, np.nan),
    )  # fmt: skip
    feed = run_collector(to_array_feed(mark)).data
    assert list(feed.volume.array) == [0.0] * 5
