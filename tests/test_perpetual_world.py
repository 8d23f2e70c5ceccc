"""The world of a futures account: mark, funding and brackets of every step, and what it refuses."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.engine.perpetual.marks import align
from seawall.engine.perpetual.world import PerpetualWorld, build_perpetual_world, perpetual_section
from seawall.engine.world import World, build_world
from seawall.errors import DataError, RecipeError, SeriesNotFound
from seawall.market.bracket_files import store_brackets
from seawall.market.brackets import Brackets, Tier
from seawall.market.catalog import Catalog
from seawall.market.funding import find_stamps, to_rate
from seawall.market.mark import build_mark
from seawall.market.series import Candles, FloatArray, Kind, SeriesKey, Signal
from seawall.market.simulate import simulate
from seawall.recipe import Recipe
from seawall.units import DAY_MS, HOUR_MS, to_time_ms

SPOT, ETH, BTC = "ETH/USDT", "ETH/USDT:USDT", "BTC/USDT:USDT"
SINCE = to_time_ms("2025-01-02")
DAY = "2025-01-02", "2025-01-03"


def candles(
    symbol: str, closes: FloatArray, kind: Kind = "candles", since_ms: int = SINCE - DAY_MS
) -> Candles:
    """Return hourly candles with these closes: each opens at the close before, wicks of 1."""
    opens = np.concatenate([closes[:1], closes[:-1]])
    return Candles(
        key=SeriesKey(kind, "binance", symbol, "1h"),
        time_ms=since_ms + HOUR_MS * np.arange(len(closes), dtype=np.int64),
        open=opens,
        high=np.maximum(opens, closes) + 1,
        low=np.minimum(opens, closes) - 1,
        close=closes,
        volume=np.full(len(closes), np.nan if kind == "mark" else 1.0),
    )


def funding(symbol: str, times: list[int] | None = None, rate: float = 0.0002) -> Signal:
    """Return rates of three days, or of these times."""
    stamps = find_stamps(SINCE - DAY_MS, SINCE + 2 * DAY_MS, 8 * HOUR_MS)
    at = stamps if times is None else np.array(times, dtype=np.int64)
    return Signal(
        key=SeriesKey("funding", "binance", symbol, "8h"),
        time_ms=at,
        known_ms=at,
        value=np.full(len(at), rate),
    )


def ramp(n: int = 72, first: float = 3_000.0) -> FloatArray:
    """Return closes that rise by 1 an hour."""
    return first + np.arange(n, dtype=np.float64)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Three days of ETH, spot and perpetual, with funding; no mark."""
    made = Catalog(tmp_path)
    for series in (candles(SPOT, ramp()), candles(ETH, ramp()), funding(ETH)):
        made.write(series, fetched_ms=None)
    return made


def recipe(
    *symbols: str,
    window: tuple[str, str] = DAY,
    venue: str = "binance",
    market: Mapping[str, object] | None = None,
    **section: object,
) -> Recipe:
    """Return a recipe of one day, a day of warm-up before it."""
    names = symbols or (ETH,)
    described = {
        "venue": venue, "symbols": list(names), "timeframe": "1h",
        "since": window[0], "until": window[1], "warmup": "1d",
    }  # fmt: skip
    given: dict[str, object] = {
        "market": described | dict(market or {}), "agent": {"name": "agents.do_nothing"}
    }  # fmt: skip
    if section:
        given["perpetual"] = section
    return Recipe.model_validate(given)


def build(catalog: Catalog, made: Recipe) -> World:
    """Return the world, offline."""
    return build_world(made, catalog, offline=True)


def perpetual(catalog: Catalog, made: Recipe) -> PerpetualWorld:
    """Return the world of its futures account."""
    world = build(catalog, made).perpetual
    assert world is not None
    return world


def test_a_market_of_spot_has_none(catalog: Catalog) -> None:
    """No perpetual, no section, no futures account; with one, the default section."""
    spot = recipe(SPOT)
    assert perpetual_section(spot) is None
    assert build(catalog, spot).perpetual is None
    section = perpetual_section(recipe(SPOT, ETH))
    assert section is not None
    assert section.leverage == 10
    with pytest.raises(RecipeError, match="needs a perpetual"):
        build_perpetual_world(spot, {}, np.array([SINCE]), catalog)


def test_marks_are_those_of_the_series(catalog: Catalog) -> None:
    """The mark is 10 above the last price; a step's row is the bar that closes then."""
    mark = candles(ETH, ramp(first=3_010.0), "mark")
    catalog.write(mark, fetched_ms=None)
    world = perpetual(catalog, recipe(SPOT, ETH))
    assert world.symbols == (ETH,)
    assert world.sources == {ETH: "series"}
    assert world.marks.shape == (48, 1, 4)
    assert world.marks[30, 0].tolist() == [3_039.0, 3_041.0, 3_038.0, 3_040.0]
    assert world.labels == ()
    assert world.interval_at(0, 0) == 8 * HOUR_MS


def test_a_built_mark_is_labelled_and_spot_is_read_from_the_catalog(catalog: Catalog) -> None:
    """Without a mark series `auto` builds it; the market need not have the spot symbol."""
    made = recipe(ETH)
    world = perpetual(catalog, made)
    spot = catalog.read_candles(SeriesKey("candles", "binance", SPOT, "1h"))
    own = catalog.read_candles(SeriesKey("candles", "binance", ETH, "1h"))
    expected = align(build_mark(own, spot), build(catalog, made).clock_ms)
    assert np.array_equal(world.marks[:, 0], expected)
    assert world.sources == {ETH: "built"}
    assert any("is built from its candles and those of spot" in one for one in world.labels)
    assert str(spot.key) in build(catalog, made).hashes
    assert str(funding(ETH).key) in build(catalog, made).hashes


def test_bars_without_spot_are_told(catalog: Catalog, tmp_path: Path) -> None:
    """Spot ends at 06:00 of the day: 18 of 24 bars, and the stretch; without any, all of them."""
    catalog.write(candles(SPOT, ramp(30)), fetched_ms=None)
    labels = perpetual(catalog, recipe(ETH)).labels
    assert any("18 of 24 bars (2025-01-02 06:00 .. 2025-01-03 00:00)" in one for one in labels)
    other = Catalog(tmp_path / "other")
    other.write(candles(ETH, ramp()), fetched_ms=None)
    other.write(funding(ETH), fetched_ms=None)
    assert any("24 of 24 bars" in one for one in perpetual(other, recipe(ETH)).labels)


def test_the_last_price_can_be_the_mark(catalog: Catalog) -> None:
    """Wicks and all, and printed."""
    world = perpetual(catalog, recipe(ETH, mark={"source": "last"}))
    own = catalog.read_candles(SeriesKey("candles", "binance", ETH, "1h"))
    assert world.marks[30, 0].tolist() == [
        own.open[30], own.high[30], own.low[30], own.close[30],
    ]  # fmt: skip
    assert world.sources == {ETH: "last"}
    assert any("last price, wicks and all" in one for one in world.labels)


@pytest.mark.parametrize("source", ["auto", "series"])
def test_a_mark_series_that_is_too_short_is_refused(catalog: Catalog, source: str) -> None:
    """It ends at 06:00 of the day: 18 bars are missing from there on, and `built` is the remedy."""
    catalog.write(candles(ETH, ramp(30), "mark"), fetched_ms=None)
    with pytest.raises(DataError, match=r"18 bars from 2025-01-02 06:00 on: set .*\"built\""):
        build(catalog, recipe(ETH, mark={"source": source}))
    assert perpetual(catalog, recipe(ETH, mark={"source": "built"})).sources == {ETH: "built"}


def test_a_mark_series_of_another_time_is_none(catalog: Catalog) -> None:
    """It ends before the window: `auto` builds, `series` refuses."""
    catalog.write(candles(ETH, ramp(24), "mark"), fetched_ms=None)
    assert perpetual(catalog, recipe(ETH)).sources == {ETH: "built"}
    with pytest.raises(DataError, match="has none of it"):
        build(catalog, recipe(ETH, mark={"source": "series"}))


def test_a_mark_series_that_is_not_there_is_named(catalog: Catalog) -> None:
    """With the command that fetches it."""
    with pytest.raises(SeriesNotFound, match=r"mark/binance/ETH-USDT:USDT/1h .*--kind mark"):
        build(catalog, recipe(ETH, mark={"source": "series"}))


def test_a_mark_may_begin_within_the_warm_up(catalog: Catalog) -> None:
    """Before its first bar nan, then the bars, and the last close where one lacks.

    The mark begins 10 hours before the window; its bar of 19:00 the day before is missing.
    """
    late = candles(ETH, ramp(58), "mark", SINCE - 10 * HOUR_MS)
    kept = late.time_ms != SINCE - 5 * HOUR_MS
    holed = Candles(
        key=late.key, time_ms=late.time_ms[kept], open=late.open[kept], high=late.high[kept],
        low=late.low[kept], close=late.close[kept], volume=late.volume[kept],
    )  # fmt: skip
    catalog.write(holed, fetched_ms=None)
    marks = perpetual(catalog, recipe(ETH)).marks[:, 0]
    assert np.isnan(marks[:14]).all()
    assert not np.isnan(marks[14:]).any()
    assert marks[19].tolist() == [late.close[4]] * 4


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=20, unique=True),
    st.lists(st.integers(0, 60), min_size=1, max_size=20, unique=True),
)
def test_a_row_is_the_bar_that_closes_or_the_last_close(hours: list[int], steps: list[int]) -> None:
    """For any bars and any clock, row by row, with the extremes of bars between two steps."""
    at = np.array(sorted(hours), dtype=np.int64) * HOUR_MS
    prices = 100.0 + np.arange(len(at), dtype=np.float64)
    series = Candles(
        key=SeriesKey("mark", "binance", ETH, "1h"), time_ms=at, open=prices, high=prices + 2,
        low=prices - 2, close=prices + 1, volume=prices,
    )  # fmt: skip
    clock = np.array(sorted(steps), dtype=np.int64) * HOUR_MS
    n_before = 0
    for row, now in zip(align(series, clock), clock.tolist(), strict=True):
        closed = [i for i, close_ms in enumerate(series.close_ms.tolist()) if close_ms <= now]
        if not closed:
            assert np.isnan(row).all()
            continue
        last = prices[closed[-1]]
        is_own = series.close_ms[closed[-1]] == now
        expected = [last, last + 2, last - 2, last + 1] if is_own else [last + 1] * 4
        passed = closed[n_before:] if n_before else []
        if len(passed) > 1:
            expected[1] = max(expected[1], *(prices[i] + 2 for i in passed))
            expected[2] = min(expected[2], *(prices[i] - 2 for i in passed))
        assert row.tolist() == expected
        n_before = len(closed)


def test_a_liquidation_price_crossed_in_a_hole_of_the_candles_is_crossed(tmp_path: Path) -> None:
    """The contract's candles of 10:00 to 12:00 are missing; the mark fell to 1,000 at 11:00."""
    made = Catalog(tmp_path)
    whole, mark = candles(ETH, ramp()), candles(ETH, ramp(), "mark")
    kept = np.abs(whole.time_ms - (SINCE + 11 * HOUR_MS)) > HOUR_MS
    mark.low.setflags(write=True)
    mark.low[np.searchsorted(mark.time_ms, SINCE + 11 * HOUR_MS)] = 1_000.0
    holed = Candles(
        key=whole.key, time_ms=whole.time_ms[kept], open=whole.open[kept], high=whole.high[kept],
        low=whole.low[kept], close=whole.close[kept], volume=whole.volume[kept],
    )  # fmt: skip
    for series in (holed, mark, funding(ETH)):
        made.write(series, fetched_ms=None)
    world = perpetual(made, recipe(ETH))
    assert world.marks[:, 0, 2].min() == 1_000.0


def test_funding_falls_into_the_bar_that_contains_it(catalog: Catalog) -> None:
    """00:00, 08:00 and 16:00 of the day: steps 24, 32 and 40, at the open of the mark's bar then.

    The last one is stamped 40 seconds late: the same bar, the same open. Hour k of the ramp opens
    at 3000 + k - 1: 3023, 3031 and 3039. The stamp of the next midnight is no longer in.
    """
    times = [SINCE, SINCE + 8 * HOUR_MS, SINCE + 16 * HOUR_MS + 40_000, SINCE + 24 * HOUR_MS]
    catalog.write(funding(ETH, times), fetched_ms=None)
    stamps = perpetual(catalog, recipe(ETH, mark={"source": "last"})).stamps
    assert stamps.step.tolist() == [24, 32, 40]
    assert stamps.time_ms.tolist() == times[:3]
    assert stamps.row.tolist() == [0, 0, 0]
    assert stamps.rate.tolist() == [0.0002] * 3
    assert stamps.mark.tolist() == [3_023.0, 3_031.0, 3_039.0]


@pytest.mark.parametrize(("entry", "first"), [(None, 8), (3_000.0, 0)])
def test_a_position_does_not_pay_for_the_instant_in_which_it_is_entered(
    catalog: Catalog, entry: float | None, first: int
) -> None:
    """Entered at the first open, 00:00, it pays from 08:00 on; with an entry it was held before."""
    times = [SINCE + 30_000, SINCE + 8 * HOUR_MS, SINCE + 16 * HOUR_MS]
    for symbol in (ETH, BTC):
        catalog.write(candles(symbol, ramp()), fetched_ms=None)
        catalog.write(funding(symbol, times), fetched_ms=None)
    position = {"quantity": 1.0, "leverage": 2.0, "symbol": ETH}
    if entry is not None:
        position["entry"] = entry
    stamps = perpetual(catalog, recipe(BTC, ETH, mark={"source": "last"}, position=position)).stamps
    assert stamps.time_ms[stamps.row == 0].tolist() == times
    ours = stamps.time_ms[stamps.row == 1].tolist()
    assert ours == [time_ms for time_ms in times if time_ms >= SINCE + first * HOUR_MS]


@pytest.mark.parametrize(("timeframe", "is_said"), [("1d", True), ("12h", True), ("8h", False)])
def test_bars_longer_than_the_interval_of_funding_are_said(
    catalog: Catalog, *, timeframe: str, is_said: bool
) -> None:
    """Eight hours of funding fall inside bars of 12 hours and a day, not of eight hours."""
    market = {"timeframe": timeframe, "warmup": "0d"}
    window = "2025-01-02", "2025-01-09"
    made = recipe(ETH, window=window, venue="simulated", market=market)
    label = "assumption: funding inside a bar is settled at the mark of the bar's open"
    assert (label in perpetual(catalog, made).labels) == is_said


def test_funding_of_two_contracts_is_in_order_of_time(catalog: Catalog) -> None:
    """By time, then by row."""
    catalog.write(candles(BTC, ramp(first=60_000.0)), fetched_ms=None)
    catalog.write(funding(BTC, rate=-0.0001), fetched_ms=None)
    world = perpetual(catalog, recipe(BTC, ETH, mark={"source": "last"}))
    assert world.symbols == (BTC, ETH)
    assert world.stamps.row.tolist() == [0, 1] * 3
    assert world.stamps.rate.tolist() == [-0.0001, 0.0002] * 3
    assert world.marks.shape == (48, 2, 4)


def test_a_settlement_in_a_hole_has_the_last_mark(catalog: Catalog) -> None:
    """No bar from 07:00 to 10:00: 08:00 is at the close of 06:00, and in the bar of 10:00.

    Hour 24 + 6 closes at 3000 + 30.
    """
    whole = candles(ETH, ramp())
    kept = ~np.isin(whole.time_ms, SINCE + HOUR_MS * np.arange(7, 10))
    catalog.write(
        Candles(
            key=whole.key, time_ms=whole.time_ms[kept], open=whole.open[kept],
            high=whole.high[kept], low=whole.low[kept], close=whole.close[kept],
            volume=whole.volume[kept],
        ),
        fetched_ms=None,
    )  # fmt: skip
    made = recipe(ETH, mark={"source": "last"})
    stamps = perpetual(catalog, made).stamps
    assert stamps.mark[1] == 3_030.0
    clock = build(catalog, made).clock_ms
    assert clock[stamps.step[1]] == SINCE + 11 * HOUR_MS


def test_settlements_after_the_last_bar_are_nobodys(catalog: Catalog) -> None:
    """The bars end at 16:00: its settlement is in none of them, and funding after it not wanted."""
    kept = candles(ETH, ramp(40))
    catalog.write(kept, fetched_ms=None)
    for times in (None, [SINCE, SINCE + 8 * HOUR_MS]):
        catalog.write(funding(ETH, times), fetched_ms=None)
        world = perpetual(catalog, recipe(ETH, mark={"source": "last"}))
        assert world.stamps.step.tolist() == [24, 32]
        assert len(world) == 40


def test_a_hole_in_funding_is_named(catalog: Catalog) -> None:
    """08:00 is missing: refused with both remedies, or zero at that time, and printed."""
    catalog.write(funding(ETH, [SINCE, SINCE + 16 * HOUR_MS]), fetched_ms=None)
    with pytest.raises(DataError, match=r"no rate at 2025-01-02 08:00: .*missing = \"zero\""):
        build(catalog, recipe(ETH))
    world = perpetual(catalog, recipe(ETH, funding={"missing": "zero"}))
    assert world.stamps.rate.tolist() == [0.0002, 0.0, 0.0002]
    assert world.stamps.time_ms[1] == SINCE + 8 * HOUR_MS
    assert any("zero funding of ETH/USDT:USDT at 1 settlements" in one for one in world.labels)


def test_many_holes_are_counted(catalog: Catalog) -> None:
    """Funding of every hour is wanted: 21 are missing, three are named."""
    with pytest.raises(DataError, match=r"01:00, .* 02:00, .* 03:00 and 18 more"):
        build(catalog, recipe(ETH, funding={"interval": "1h"}))


FOUR_HOURS = find_stamps(SINCE, SINCE + DAY_MS, 4 * HOUR_MS)


def with_stamps(tmp_path: Path, times: list[int], n_days: int = 3) -> Catalog:
    """Return a catalog of one contract that is settled then."""
    made = Catalog(tmp_path / "own")
    for series in (candles(SPOT, ramp(24 * n_days)), candles(ETH, ramp(24 * n_days))):
        made.write(series, fetched_ms=None)
    made.write(funding(ETH, times), fetched_ms=None)
    return made


def test_a_series_has_its_own_interval(tmp_path: Path) -> None:
    """Every 4 hours by its stamps: holes are named, and an agent is told 4 hours."""
    whole = with_stamps(tmp_path / "a", FOUR_HOURS.tolist())
    assert perpetual(whole, recipe(ETH)).interval_at(0, SINCE) == 4 * HOUR_MS
    holes = np.delete(FOUR_HOURS, [3, 5]).tolist()
    with pytest.raises(DataError, match=r"every 4h, .* no rate at 2025-01-02 12:00, .* 20:00"):
        build(with_stamps(tmp_path / "b", holes), recipe(ETH))


def test_an_interval_that_changes_is_followed_and_said(tmp_path: Path) -> None:
    """Two days every 8 hours, then every 4: nothing is missing, and agents hear when it changed."""
    until = SINCE + DAY_MS
    times = [
        *find_stamps(SINCE - 2 * DAY_MS, until, 8 * HOUR_MS).tolist(),
        *find_stamps(until, until + DAY_MS, 4 * HOUR_MS).tolist(),
    ]
    made = Catalog(tmp_path)
    for series in (
        candles(SPOT, ramp(24 * 5), since_ms=SINCE - 3 * DAY_MS),
        candles(ETH, ramp(24 * 5), since_ms=SINCE - 3 * DAY_MS),
        funding(ETH, times),
    ):
        made.write(series, fetched_ms=None)
    window = ("2024-12-31", "2025-01-04")
    world = perpetual(made, recipe(ETH, window=window))
    assert world.interval_at(0, until - 1) == 8 * HOUR_MS
    assert world.interval_at(0, until) == 4 * HOUR_MS
    said = f"funding of {ETH} is settled every 8h, from 2025-01-03 00:00 every 4h"
    assert said in world.labels
    times.remove(until + 8 * HOUR_MS)
    made.write(funding(ETH, times), fetched_ms=None)
    with pytest.raises(DataError, match=r"every 8h and 4h, .* no rate at 2025-01-03 08:00"):
        build(made, recipe(ETH, window=window))


def test_an_interval_that_the_series_does_not_have_is_refused(catalog: Catalog) -> None:
    """The recipe says 24 hours, the stamps 8: the interval is the series' own."""
    with pytest.raises(DataError, match=r"interval is 24h, .* every 8h: leave the interval out"):
        build(catalog, recipe(ETH, funding={"interval": "24h"}))


def test_without_funding_nothing_runs(tmp_path: Path) -> None:
    """The series is named with its command; as zero it is printed."""
    bare = Catalog(tmp_path / "bare")
    bare.write(candles(ETH, ramp()), fetched_ms=None)
    with pytest.raises(SeriesNotFound, match=r"funding/binance/ETH-USDT:USDT/8h.*--kind funding"):
        build(bare, recipe(ETH))
    world = perpetual(bare, recipe(ETH, funding={"missing": "zero"}))
    assert world.stamps.rate.tolist() == [0.0] * 3
    assert any("the catalog has no rates" in one for one in world.labels)


def test_a_given_rate_needs_no_series(tmp_path: Path) -> None:
    """0.03 % every four hours: six settlements of the day."""
    bare = Catalog(tmp_path / "bare")
    bare.write(candles(ETH, ramp()), fetched_ms=None)
    section = {"source": "rate", "rate": 0.0003, "interval": "4h"}
    world = perpetual(bare, recipe(ETH, funding=section))
    assert world.stamps.rate.tolist() == [0.0003] * 6
    assert np.diff(world.stamps.time_ms).tolist() == [4 * HOUR_MS] * 5
    assert world.interval_at(0, 0) == 4 * HOUR_MS
    assert any("is 0.0300% every 4h" in one for one in world.labels)


def recipe_with(section: Mapping[str, object], symbol: str = ETH) -> Recipe:
    """Return the recipe of the day with a section."""
    given = recipe(symbol).model_dump(mode="json", include={"market", "agent"}, exclude_none=True)
    return Recipe.model_validate(given | {"perpetual": dict(section)})


def shifted(catalog: Catalog, window: tuple[str, str], missing: str) -> Recipe:
    """Move the catalog's three days to the window, and return its recipe."""
    moved = candles(ETH, ramp(), since_ms=to_time_ms(window[0]) - DAY_MS)
    catalog.write(moved, fetched_ms=None)
    rate = {"source": "rate", "rate": 0.0}
    return recipe(ETH, window=window, funding=rate, brackets={"missing": missing})


def test_brackets_of_a_later_day_are_refused_or_printed(catalog: Catalog) -> None:
    """In 2021 none was seen: the table of 2024 stands in where the recipe says so, printed."""
    window = ("2021-05-19", "2021-05-20")
    with pytest.raises(RecipeError, match=r"first seen on 2024-10-24 .*missing = \"nearest\""):
        build(catalog, shifted(catalog, window, "refuse"))
    world = perpetual(catalog, shifted(catalog, window, "nearest"))
    assert [epoch.names for epoch in world.epochs] == [(f"{ETH} 2024-10-24",)]
    expected = f"brackets of {ETH} 2024-10-24 stand for 2021-05-19 00:00 .. 2021-05-20 00:00"
    assert any(expected in one for one in world.labels)


def test_the_nearest_table_stands_until_its_own_day(catalog: Catalog) -> None:
    """The window runs over 2024-10-24: one epoch, and the assumption ends there."""
    world = perpetual(catalog, shifted(catalog, ("2024-10-23", "2024-10-25"), "nearest"))
    assert len(world.epochs) == 1
    assert any("stand for 2024-10-23 00:00 .. 2024-10-24 00:00" in one for one in world.labels)


def table(day: str, leverage: float = 20.0) -> Brackets:
    """Return one wide tier, seen on a day."""
    tier = Tier(floor=0.0, cap=1e6, rate=0.01, amount=0.0, max_leverage=leverage)
    return Brackets(symbol=ETH, seen_ms=to_time_ms(day), source="test", tiers=(tier,))


def test_a_table_of_the_window_begins_an_epoch(catalog: Catalog) -> None:
    """Seen on the second of two days: in force from the first bar of that day, step 48."""
    store_brackets(catalog, table("2025-01-03"))
    world = perpetual(catalog, recipe(ETH, window=("2025-01-02", "2025-01-04")))
    assert [(epoch.first_step, epoch.names[0]) for epoch in world.epochs] == [
        (0, f"{ETH} 2024-10-24"),
        (48, f"{ETH} 2025-01-03"),
    ]
    assert world.epochs[0].tables.shape == world.epochs[1].tables.shape == (1, 12, 5)
    assert world.epoch_at(47) is world.epochs[0]
    assert world.epoch_at(48) is world.epochs[1]


def test_a_contract_without_brackets_is_refused(tmp_path: Path) -> None:
    """There is nothing nearest to take either; both ways to get some are named."""
    other, symbol = Catalog(tmp_path / "other"), "DOGE/USDT:USDT"
    other.write(candles(symbol, ramp()), fetched_ms=None)
    other.write(funding(symbol), fetched_ms=None)
    section = {"brackets": {"missing": "nearest"}}
    with pytest.raises(RecipeError, match=r"--kind brackets`, or `seawall data import FILE"):
        build(other, recipe_with(section, symbol))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"leverage": 126.0}, r"perpetual.leverage must be at most 125.*is 126"),
        ({"contracts": {ETH: {"leverage": 150.0}}}, r"contracts.\"ETH/USDT:USDT\".leverage .* 125"),
        (
            {"position": {"quantity": 1.0, "leverage": 130.0}},
            r"perpetual.position.leverage must be at most 125",
        ),
        (
            {"position": {"notional": -600_001.0, "leverage": 100.0}},
            r"100x may have a notional below 600,000 .*has 600,001",
        ),
        (
            {"position": {"quantity": 200.0, "leverage": 100.0}},
            r"below 600,000 .*has 604,600",
        ),
    ],
)
def test_beyond_the_brackets_nothing_starts(
    catalog: Catalog, section: dict[str, object], message: str
) -> None:
    """ETH, 2024: 125x at most, 600,000 with 100x; 200 ETH at the mark's open of 3,023: 604,600."""
    with pytest.raises(RecipeError, match=message):
        build(catalog, recipe_with(section))


def test_what_the_brackets_allow_starts(catalog: Catalog) -> None:
    """125x, and 599,000 with 100x, are not beyond them."""
    section = {"leverage": 125.0, "position": {"notional": 599_000.0, "leverage": 100.0}}
    assert perpetual(catalog, recipe_with(section)).section.leverage == 125


def test_every_epoch_counts_for_leverage(catalog: Catalog) -> None:
    """A table that comes into force within the window allows 20x only."""
    store_brackets(catalog, table("2025-01-02"))
    with pytest.raises(RecipeError, match=r"at most 20, .* 2025-01-02, is 21"):
        build(catalog, recipe(ETH, leverage=21.0))


def simulated(*symbols: str, seed: int = 5, timeframe: str = "1h", **section: object) -> Recipe:
    """Return a recipe of a simulated week."""
    made = recipe(
        *symbols, window=("2025-01-02", "2025-01-09"), venue="simulated",
        market={"timeframe": timeframe}, **section,
    )  # fmt: skip
    return made.model_copy(update={"seed": seed})


@pytest.mark.parametrize("timeframe", ["1m", "5m", "7m", "1h"])
def test_a_simulated_perpetual_follows_its_spot(catalog: Catalog, timeframe: str) -> None:
    """Spot's path is what it is without the perpetual; the premium stays within 0.5 %."""
    world = build(catalog, simulated(SPOT, ETH, timeframe=timeframe))
    spot, contract = world.candles[SPOT], world.candles[ETH]
    alone = simulate(
        spot.key, seed=5, n_bars=len(spot), since_ms=int(spot.time_ms[0]), start_price=3_000.0
    )
    assert spot.sha256() == alone.sha256()
    assert contract.is_simulated
    for name in ("open", "high", "low", "close"):
        premium = getattr(contract, name) / getattr(spot, name) - 1
        assert np.abs(premium).max() < 0.005
        assert np.abs(premium).max() > 0.0002
    assert contract.open[0] == spot.open[0] == 3_000.0
    assert contract.open[1:] == pytest.approx(contract.close[:-1], rel=1e-12)
    assert world.perpetual is not None
    close = world.perpetual.marks[:, 0, 3]
    assert np.abs(close / spot.close - 1).max() < 0.005


def test_a_simulated_perpetual_is_the_same_without_spot(catalog: Catalog) -> None:
    """With its spot market or alone, again and in another run; another seed is another path."""
    both, alone = build(catalog, simulated(SPOT, ETH)), build(catalog, simulated(ETH))
    assert both.candles[ETH].sha256() == alone.candles[ETH].sha256()
    assert both.perpetual is not None
    assert alone.perpetual is not None
    assert np.array_equal(both.perpetual.marks, alone.perpetual.marks)
    assert np.array_equal(both.perpetual.stamps.rate, alone.perpetual.stamps.rate)
    other = build(catalog, simulated(ETH, seed=6))
    assert other.candles[ETH].sha256() != alone.candles[ETH].sha256()


def test_a_simulated_market_says_what_it_makes_up(catalog: Catalog) -> None:
    """Brackets of a real day stand in without being asked for, for coins that have none too."""
    world = perpetual(catalog, simulated(ETH, "SOL/USDT:USDT"))
    assert world.sources == {ETH: "simulated", "SOL/USDT:USDT": "simulated"}
    assert any(f"SOL/USDT:USDT has the leverage brackets of {ETH}" in one for one in world.labels)
    assert sum("funding" in one for one in world.labels) == 2
    assert len(world.stamps.rate) == 2 * 21
    assert np.abs(world.stamps.rate).max() < 0.003
    rate = perpetual(catalog, simulated(ETH, funding={"source": "rate", "rate": 0.001}))
    assert set(rate.stamps.rate.tolist()) == {0.001}


def test_a_simulated_perpetual_starts_where_its_spot_does(catalog: Catalog) -> None:
    """The price of spot counts for both; two that differ are refused."""
    prices: dict[str, object] = {"venue": "simulated", "start_prices": {SPOT: 2_000.0}}
    world = build(catalog, recipe(SPOT, ETH, market=prices))
    assert world.candles[ETH].open[0] == 2_000.0
    prices["start_prices"] = {ETH: 1_000.0}
    assert build(catalog, recipe(ETH, market=prices)).candles[ETH].open[0] == 1_000.0
    with pytest.raises(RecipeError, match=r"follows its spot market.*1000 .*3000"):
        build(catalog, recipe(SPOT, ETH, market=prices))


@pytest.mark.parametrize(
    ("premium", "rate"),
    [(0.0, 0.0001), (0.0006, 0.0001), (-0.0004, 0.0001), (0.002, 0.0015), (-0.002, -0.0015)],
)
def test_funding_follows_from_the_premium(premium: float, rate: float) -> None:
    """0.2 % + clamp(0.01 % - 0.2 %, ±0.05 %) = 0.15 %; within -0.04 % and 0.06 % it is 0.01 %.

    Four hours have half of it, and 5 % is capped at 0.3 %.
    """
    assert to_rate(np.array([premium]), 8 * HOUR_MS)[0] == pytest.approx(rate, abs=1e-12)
    assert to_rate(np.array([premium]), 4 * HOUR_MS)[0] == pytest.approx(rate / 2, abs=1e-12)
    assert to_rate(np.array([0.05]), 8 * HOUR_MS)[0] == 0.003


def test_an_hour_of_a_simulated_perpetual_is_twelve_times_five_minutes(catalog: Catalog) -> None:
    """Every timeframe is cut from one path, with one premium."""
    fine = build(catalog, simulated(ETH, timeframe="5m")).candles[ETH]
    coarse = build(catalog, simulated(ETH)).candles[ETH]
    assert np.array_equal(coarse.close, fine.close[11::12])
    assert np.array_equal(coarse.high, fine.high.reshape(-1, 12).max(axis=1))
    assert np.array_equal(coarse.low, fine.low.reshape(-1, 12).min(axis=1))


@pytest.mark.parametrize("timeframe", ["5m", "1h"])
def test_a_crash_reaches_the_perpetual(catalog: Catalog, timeframe: str) -> None:
    """Half of the price is gone within a day, on both, to within the premium."""
    crash = {"at": "2025-01-04", "depth": 0.5, "duration": "1d", "recovery": 0.0}
    made = recipe(
        SPOT, ETH, window=("2025-01-02", "2025-01-06"), venue="simulated",
        market={"timeframe": timeframe, "crash": crash},
    )  # fmt: skip
    world = build(catalog, made)
    start, stop = to_time_ms("2025-01-04"), to_time_ms("2025-01-05")
    for symbol in (SPOT, ETH):
        within = world.candles[symbol].between(start, stop)
        assert within.close[-1] / within.open[0] == pytest.approx(0.5, abs=0.005)
