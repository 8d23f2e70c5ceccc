"""The sandbox's markets: amounts, the path inside a bar, klines, and the clock."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sandbox_clients import (
    ETH_TERMS,
    START_MS,
    RawClient,
    bars,
    exchange,
    market,
    wavy,
)

from seawall.errors import DataError, RecipeError
from seawall.market.catalog import Catalog
from seawall.market.series import Candles, SeriesKey
from seawall.sandbox.clock import Clock, shift_to_now
from seawall.sandbox.decimals import ONE, float_to_text, from_float, parse_decimal, to_text
from seawall.sandbox.market import Liquidity
from seawall.sandbox.sources import (
    find_terms,
    from_catalog,
    from_file,
    from_simulation,
    read_simulated,
    shifted,
)
from seawall.sandbox.tape import Tape
from seawall.units import DAY_MS, HOUR_MS, MINUTE_MS, to_time_ms

PRICES = st.integers(100, 10**7)  # cents


@st.composite
def any_bars(draw: st.DrawFn) -> list[tuple[float, float, float, float, float]]:
    """Return bars on a grid of cents whose opens do not follow from the closes before."""
    rows = []
    for _ in range(draw(st.integers(1, 6))):
        low = draw(PRICES)
        high = low + draw(st.integers(0, 5_000))
        opened, closed = draw(st.integers(low, high)), draw(st.integers(low, high))
        volume = draw(st.integers(0, 10**6))
        rows.append((opened / 100, high / 100, low / 100, closed / 100, volume / 1000))
    return rows


@given(units=st.integers(0, 10**20))
def test_amounts_are_written_and_read_without_loss(units: int) -> None:
    """Eight decimals in both directions, never in scientific notation."""
    text = to_text(units)
    assert parse_decimal(text) == units
    assert "e" not in text.lower()


@given(value=st.floats(0, 1e15, allow_nan=False))
def test_floats_are_written_so_that_they_read_back(value: float) -> None:
    """A served number is the source's to the bit, with eight decimals where they suffice."""
    text = float_to_text(value)
    assert float(text) == value
    assert "e" not in text


def test_a_number_with_too_many_decimals_is_told_from_one_that_is_none() -> None:
    """Nine decimals raise, zeros beyond the eighth do not count, letters are no number."""
    assert parse_decimal("1.230000000000") == 123 * ONE // 100
    assert parse_decimal("1e5") is None
    assert parse_decimal("-1") is None
    with pytest.raises(ValueError, match=r"0\.000000001"):
        parse_decimal("0.000000001")


@settings(max_examples=60, deadline=None)
@given(rows=any_bars(), n_prints=st.integers(4, 40), seed=st.integers(0, 9))
def test_a_bar_walks_its_extremes_and_trades_its_volume(
    rows: list[tuple[float, float, float, float, float]], n_prints: int, seed: int
) -> None:
    """The prints of every bar have its open, high, low, close and volume, exactly."""
    tape = Tape(bars(rows), seed=seed, n_prints=n_prints, tick=ETH_TERMS.tick)
    for i, (opened, high, low, closed, volume) in enumerate(rows):
        prints = tape.bar(i)
        prices = [one.price for one in prints]
        assert (prices[0], prices[-1]) == (from_float(opened), from_float(closed))
        assert (max(prices), min(prices)) == (from_float(high), from_float(low))
        assert sum(one.quantity for one in prints) == from_float(volume)
        assert min(one.quantity for one in prints) >= 0
        assert [one.number for one in prints] == list(range(i * n_prints, (i + 1) * n_prints))


def test_trades_are_in_whole_lots() -> None:
    """What a volume has beyond them is the last trade's: 10.00005 of lots of 0.0001."""
    lot = ETH_TERMS.lot
    for volume, rest in ((10.125, 0), (10.00005, 5_000)):
        rows = [(1.0, 2.0, 1.0, 2.0, volume)] * 20
        tape = Tape(bars(rows), seed=1, n_prints=12, tick=ETH_TERMS.tick, lot=lot)
        for bar in range(20):
            sizes = [one.quantity for one in tape.bar(bar)]
            assert [size % lot for size in sizes] == [0] * 11 + [rest]
            assert sum(sizes) == from_float(volume)
    client = RawClient(exchange(wavy(60), start_ms=START_MS + 30 * MINUTE_MS))
    trades = client.public("/api/v3/trades", symbol="ETHUSDT", limit=300)
    assert all(from_float(float(one["qty"])) % lot == 0 for one in trades)


def test_a_volume_beyond_what_floats_count_is_kept_and_one_beyond_64_bits_refused() -> None:
    """5,000,000,000.5 are 5e17 units of 1e-8, more than 2**53; 1e11 do not fit into 64 bits."""
    tape = Tape(bars([(1, 2, 1, 2, 5_000_000_000.5)]), seed=1, n_prints=7, tick=1)
    assert sum(one.quantity for one in tape.bar(0)) == 500_000_000_050_000_000
    with pytest.raises(DataError, match="take a finer timeframe"):
        Tape(bars([(1, 2, 1, 2, 1e11)]), seed=1, n_prints=7, tick=1)


def test_a_tape_depends_on_its_seed_and_nothing_else() -> None:
    """Any bar can be made first: the draws come from the seed and the bar's number."""
    candles = wavy(600)
    one = Tape(candles, seed=1, n_prints=12, tick=ETH_TERMS.tick)
    same = Tape(candles, seed=1, n_prints=12, tick=ETH_TERMS.tick)
    other = Tape(candles, seed=2, n_prints=12, tick=ETH_TERMS.tick)
    assert same.bar(599) == one.bar(599)
    assert [same.bar(i) for i in range(600)] == [one.bar(i) for i in range(600)]
    assert [other.bar(i) for i in range(9)] != [one.bar(i) for i in range(9)]


def test_klines_are_the_source_to_the_bit(tmp_path: Path) -> None:
    """What a client reads of closed bars is what the catalog holds, over pages of any size."""
    catalog = Catalog(tmp_path)
    source = wavy(1500)
    catalog.write(source, fetched_ms=None)
    candles, _ = from_catalog(catalog, source.key)
    client = RawClient(exchange(candles, start_ms=START_MS + 1400 * MINUTE_MS))
    rows: list[list[object]] = []
    since_ms = START_MS
    while since_ms < START_MS + 1400 * MINUTE_MS:
        page = client.public(
            "/api/v3/klines", symbol="ETHUSDT", interval="1m", startTime=since_ms, limit=333
        )
        rows += page
        since_ms = page[-1][0] + MINUTE_MS
    assert len(rows) == 1401  # the last is forming
    served = np.array([[float(str(x)) for x in row[:6]] for row in rows[:1400]])
    assert np.array_equal(served[:, 0].astype(np.int64), source.time_ms[:1400])
    names = ("open", "high", "low", "close", "volume")
    for column, name in enumerate(names, start=1):
        assert np.array_equal(served[:, column], getattr(source, name)[:1400]), name


def test_the_forming_kline_is_what_has_been_printed() -> None:
    """Its trades, added up, are its volume; nothing of the bar's future shows.

    Half a minute into a bar of 12 prints, seven have happened: at 0, 5, ... and 30 s.
    """
    client = RawClient(exchange(wavy(10), start_ms=START_MS + 4 * MINUTE_MS + 30_000))
    row = client.public("/api/v3/klines", symbol="ETHUSDT", interval="1m", limit=1)[0]
    seen = client.public("/api/v3/aggTrades", symbol="ETHUSDT", startTime=START_MS + 4 * MINUTE_MS)
    assert row[0] == START_MS + 4 * MINUTE_MS
    assert len(seen) == row[8] == 7
    assert from_float(float(row[5])) == sum(from_float(float(one["q"])) for one in seen)
    assert float(row[2]) == max(float(one["p"]) for one in seen)
    assert row[4] == seen[-1]["p"]


def test_coarse_klines_are_added_up_from_the_bars() -> None:
    """Two hours of minutes: open of the first, extremes of all, close of the last, the sum."""
    source = wavy(180)
    client = RawClient(exchange(source, start_ms=START_MS + 150 * MINUTE_MS))
    rows = client.public("/api/v3/klines", symbol="ETHUSDT", interval="1h")
    assert [row[0] for row in rows] == [START_MS, START_MS + HOUR_MS, START_MS + 2 * HOUR_MS]
    second = slice(60, 120)
    assert [float(x) for x in rows[1][1:5]] == [
        source.open[60],
        source.high[second].max(),
        source.low[second].min(),
        source.close[119],
    ]
    assert float(rows[1][5]) == pytest.approx(source.volume[second].sum(), rel=1e-12)


def test_weeks_begin_on_mondays_and_finer_intervals_are_refused() -> None:
    """2024-08-05 is a Monday; what is finer than the source is no interval here."""
    client = RawClient(exchange(wavy(30), start_ms=START_MS + 20 * MINUTE_MS))
    week = client.public("/api/v3/klines", symbol="ETHUSDT", interval="1w")
    assert week[0][0] == START_MS
    answer = client.send("GET", "/api/v3/klines", "symbol=ETHUSDT&interval=1s")
    assert (answer.status, json.loads(answer.body)["code"]) == (400, -1120)


def days(n: int, first: str) -> Candles:
    """Return ``n`` daily bars from a day on, each a bit above the last."""
    close = 3000.0 + np.arange(n, dtype=np.float64)
    return Candles(
        key=SeriesKey("candles", "test", "ETH/USDT", "1d"),
        time_ms=to_time_ms(first) + DAY_MS * np.arange(n, dtype=np.int64),
        open=close - 1, high=close + 2, low=close - 3, close=close, volume=np.full(n, 10.0),
    )  # fmt: skip


def test_months_are_those_of_the_calendar() -> None:
    """From 2024-01-20: a part of January, February's 29 days, and March as far as it goes."""
    client = RawClient(exchange(days(90, "2024-01-20"), start_ms=to_time_ms("2024-03-11")))
    rows = client.public("/api/v3/klines", symbol="ETHUSDT", interval="1M")
    firsts = [to_time_ms(f"2024-0{month}-01") for month in (1, 2, 3, 4)]
    assert [row[0] for row in rows] == firsts[:3]
    assert [row[6] + 1 for row in rows] == firsts[1:]
    assert [float(x) for x in rows[1][1:6]] == [3011.0, 3042.0, 3009.0, 3040.0, 290.0]
    assert float(rows[2][1]) == 3040.0
    assert float(rows[2][5]) < 110.0


def test_three_days_begin_at_multiples_since_1970_and_weeks_on_mondays() -> None:
    """2024-01-21 is day 19,743 = 3 * 6,581; 2024-01-22 is a Monday."""
    client = RawClient(exchange(days(90, "2024-01-20"), start_ms=to_time_ms("2024-02-10")))
    for interval, first, step in (("3d", "2024-01-21", 3), ("1w", "2024-01-22", 7)):
        rows = client.public("/api/v3/klines", symbol="ETHUSDT", interval=interval)
        begin = to_time_ms(first) - step * DAY_MS  # its bars before the first are missing
        assert [row[0] for row in rows] == [begin + step * DAY_MS * k for k in range(len(rows))]
        assert len(rows) >= 4


def test_months_need_bars_that_a_day_is_made_of() -> None:
    """Bars of a week lie across the ends of months."""
    weeks = days(30, "2024-01-01")
    weeks = replace(
        weeks,
        key=SeriesKey("candles", "test", "ETH/USDT", "1w"),
        time_ms=to_time_ms("2024-01-01") + 7 * DAY_MS * np.arange(30, dtype=np.int64),
    )
    client = RawClient(exchange(weeks, start_ms=to_time_ms("2024-03-11")))
    assert client.public("/api/v3/klines", symbol="ETHUSDT", interval="1w")
    answer = client.send("GET", "/api/v3/klines", "symbol=ETHUSDT&interval=1M")
    assert (answer.status, json.loads(answer.body)["code"]) == (400, -1120)


def test_no_answer_knows_the_future() -> None:
    """Klines and trades end at the exchange's time, whatever is asked for."""
    now_ms = START_MS + 5 * MINUTE_MS + 1
    client = RawClient(exchange(wavy(50), start_ms=now_ms))
    rows = client.public(
        "/api/v3/klines", symbol="ETHUSDT", interval="1m", startTime=START_MS, endTime=2**50
    )
    trades = client.public("/api/v3/trades", symbol="ETHUSDT", limit=1000)
    assert rows[-1][0] == START_MS + 5 * MINUTE_MS
    assert max(one["time"] for one in trades) <= now_ms
    late = client.public("/api/v3/aggTrades", symbol="ETHUSDT", fromId=5 * 12 + 1)
    assert late == []


def test_stepping_and_jumping_come_to_the_same_place() -> None:
    """A market that is walked print by print stands where one that jumped stands."""
    walked, jumped = market(wavy(40)), market(wavy(40))
    until_ms = START_MS + 33 * MINUTE_MS + 12_345
    while walked.next_ms <= until_ms:
        walked.step()
    jumped.jump(until_ms)
    assert (walked.last, walked.bar, walked.next_ms) == (jumped.last, jumped.bar, jumped.next_ms)


def test_a_price_jump_opens_the_next_bar() -> None:
    """A fall by a tenth: the bar in progress stays, all after it are lower, on the tick."""
    made = exchange(wavy(10), start_ms=START_MS + 3 * MINUTE_MS + 1)
    one = made.all_markets[0]
    before = one.candles
    one.gap(0.9)
    made.clock.advance(MINUTE_MS)
    made.catch_up()
    assert one.price == round(before.open[4] * 0.9 * 100) * ONE // 100
    assert np.array_equal(one.candles.close[:4], before.close[:4])


def test_a_day_is_what_its_trades_were() -> None:
    """The 24-hour ticker's volume and extremes are those of the bars of the last day."""
    source = wavy(2000)
    at = 1900
    client = RawClient(exchange(source, start_ms=START_MS + at * MINUTE_MS))
    day = client.public("/api/v3/ticker/24hr", symbol="ETHUSDT")
    span = slice(at - 1439, at)
    assert float(day["highPrice"]) == max(source.high[span].max(), source.open[at])
    assert float(day["volume"]) == pytest.approx(source.volume[span].sum(), rel=1e-3)
    assert float(day["lastPrice"]) == source.open[at]


def test_a_window_is_as_long_as_it_is_asked_for() -> None:
    """Half an hour and the day so far: open, extremes and volume of the bars in them."""
    source = wavy(200)
    client = RawClient(exchange(source, start_ms=START_MS + 120 * MINUTE_MS - 1))
    span = slice(90, 120)
    half = client.public("/api/v3/ticker", symbol="ETHUSDT", windowSize="30m")
    assert float(half["highPrice"]) == source.high[span].max()
    assert float(half["volume"]) == pytest.approx(source.volume[span].sum(), rel=0.02)
    today = client.public("/api/v3/ticker/tradingDay", symbols='["ETHUSDT"]')[0]
    assert float(today["openPrice"]) == source.open[0]
    assert float(today["volume"]) == pytest.approx(source.volume[:120].sum(), rel=0.02)
    for query in ("symbol=ETHUSDT&windowSize=8d", "windowSize=1d"):
        assert client.send("GET", "/api/v3/ticker", query).status == 400


def test_history_is_shifted_by_whole_days() -> None:
    """The hour of the day stays: 2024-01-01 is moved to the same hour's past of 2026-11-27."""
    since_ms, now_ms = 1_704_067_200_000, 1_795_739_400_000
    shift_ms = shift_to_now(since_ms, now_ms)
    assert shift_ms % DAY_MS == 0
    assert since_ms <= now_ms - shift_ms < since_ms + DAY_MS
    assert shifted(wavy(3), DAY_MS).time_ms[0] == START_MS + DAY_MS


def test_a_fast_clock_runs_as_many_times_faster() -> None:
    """Two real seconds at speed 60 are two minutes; a stepped clock stands still."""
    seconds = iter([10.0, 12.0, 20.0])
    clock = Clock(START_MS, speed=60.0, monotonic=lambda: next(seconds))
    assert clock.now_ms() == START_MS + 2 * MINUTE_MS
    stepped = Clock(START_MS, speed=0.0, monotonic=lambda: next(seconds))
    assert stepped.now_ms() == START_MS
    assert stepped.advance(5) == START_MS + 5
    with pytest.raises(RecipeError, match="time never returns"):
        stepped.advance(-1)


def test_a_simulated_market_lies_on_its_grid() -> None:
    """Prices on the tick and volumes on the lot, so that orders can name them."""
    candles, terms = from_simulation("ETH/USDT", seed=3, n_bars=300, since_ms=START_MS)
    for name in ("open", "high", "low", "close"):
        units = [from_float(float(x)) for x in getattr(candles, name)]
        assert not any(x % terms.tick for x in units)
    assert not any(from_float(float(x)) % terms.lot for x in candles.volume)
    assert (terms.tick, terms.lot) == (ONE // 100, ONE // 10_000)
    assert read_simulated("simulated:BTC/USDT@5m") == ("BTC/USDT", "5m")
    with pytest.raises(RecipeError, match="simulated:ETH/USDT"):
        read_simulated("BTC/USDT")


def test_a_grid_that_nobody_states_is_found_in_the_prices(tmp_path: Path) -> None:
    """Cents in the file make a tick of a cent; a file is read as the importer reads it."""
    path = tmp_path / "ETH-USDT-1m.csv"
    lines = ["timestamp,open,high,low,close,volume"]
    lines += [f"{START_MS + i * MINUTE_MS},100.25,101.5,99.75,100.5,{i}.5" for i in range(20)]
    path.write_text("\n".join(lines))
    candles, terms = from_file(path, tmp_path / "scratch")
    assert candles.key == SeriesKey("candles", "file", "ETH/USDT", "1m")
    assert terms.tick == ONE // 100
    assert terms == find_terms(candles, Catalog(tmp_path / "scratch").manifest(candles.key).filters)


def test_a_market_needs_a_bar_and_a_path_needs_four_prints() -> None:
    """Both are refused with the remedy when the exchange is opened."""
    with pytest.raises(DataError, match="start later"):
        market(wavy(3), start_ms=START_MS - 1)
    with pytest.raises(DataError, match="must have >= 4 prints"):
        market(wavy(3), liquidity=Liquidity(n_prints=3))
