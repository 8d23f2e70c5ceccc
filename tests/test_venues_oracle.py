"""The oracle: worked examples, and what holds for any market and any history of a feed."""

from itertools import product
from math import ceil, log
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.errors import DataError, RecipeError
from seawall.units import YEAR_MS
from seawall.venues.oracle import (
    WSTETH_MAX_GROWTH,
    Bars,
    Capped,
    Down,
    Fault,
    Feed,
    OracleTrack,
    Stale,
    Wick,
    cap_ratio,
    count_steps,
    price_at_step,
    report_ratio,
    track,
)

MINUTES_5 = 300
ETH_USD = Feed()
QUIET = Feed(heartbeat_s=10**9)  # a heartbeat that is never due
WHOLE = ("low", "high", "close", "close_low", "close_high")


def make_bars(*rows: tuple[float, float, float, float], step_s: int = MINUTES_5) -> Bars:
    """Return bars of (open, high, low, close); the first one opens at 0 seconds."""
    open_, high, low, close = np.array(rows, dtype=np.float64).reshape(-1, 4).T.copy()
    close_s = (1 + np.arange(len(rows), dtype=np.int64)) * step_s
    return Bars(open_, high, low, close, close_s)


def flat(*prices: float) -> Bars:
    """Return bars without an inside: open, high, low and close are one price."""
    return make_bars(*((price,) * 4 for price in prices))


def walk(seed: int, n_bars: int, step_s: int, scale: float) -> Bars:
    """Return bars of a random walk with wicks and gaps."""
    chance = np.random.default_rng(seed)
    close = 2000.0 * np.exp(np.cumsum(chance.standard_t(3, n_bars)) * scale)
    open_ = np.concatenate(([2000.0], close[:-1])) * np.exp(chance.normal(0, scale / 4, n_bars))
    reach = np.exp(np.abs(chance.normal(0, scale, (2, n_bars))))
    high, low = np.maximum(open_, close) * reach[0], np.minimum(open_, close) / reach[1]
    close_s = (1 + np.arange(n_bars, dtype=np.int64)) * step_s
    return Bars(open_, high, low, close, close_s)


def both(bars: Bars, feed: Feed = ETH_USD, **more: Any) -> tuple[OracleTrack, OracleTrack]:
    """Return the worst and the best track."""
    worst = track(bars, feed, intrabar="worst", **more)
    return worst, track(bars, feed, intrabar="best", **more)


markets = st.builds(
    walk,
    seed=st.integers(0, 2**32 - 1),
    n_bars=st.integers(1, 60),
    step_s=st.sampled_from([60, 300, 3600, 86_400]),
    scale=st.sampled_from([0.0002, 0.002, 0.02, 0.2]),
)
feeds = st.builds(
    Feed,
    deviation=st.sampled_from([0.0025, 0.005, 0.02]),
    heartbeat_s=st.sampled_from([900, 3600, 86_400, 10**9]),
)


@st.composite
def faults(draw: st.DrawFn) -> Fault:
    """Return any fault of a feed within the first 60 bars."""
    unit = draw(st.sampled_from([1, 300]))  # off the closes, or on them
    since = unit * draw(st.integers(-3, 40))
    until = since + unit * draw(st.integers(1, 40))
    kind = draw(st.sampled_from(["stale", "down", "wick"]))
    if kind == "wick":
        return Wick(since_s=since, until_s=until, factor=draw(st.sampled_from([0.5, 0.97, 1.1])))
    if kind == "down":
        return Down(since_s=since, until_s=until)
    return Stale(since_s=since, until_s=until)


def test_closes_report_at_the_threshold() -> None:
    """100 stands; 99.6 is 0.4 % below and is not seen, 99.5 is 0.5 % below and is, 99.9 is not.

    99.5 stands, and 99.9 / 99.5 - 1 = 0.402 %.
    """
    got = track(flat(100.0, 99.6, 99.5, 99.9), QUIET, intrabar="best")
    assert got.close.tolist() == [100.0, 100.0, 99.5, 99.5]
    assert all((getattr(got, name) == got.close).all() for name in WHOLE)


def test_the_heartbeat_counts_from_the_last_report() -> None:
    """Two closes 0.1 % apart; the 4th bar of 5 minutes moves 1 % and reports at 1,200 s.

    With a heartbeat of 1,500 s the next report is due at 2,700 s: the 9th close, not the 5th.
    """
    prices = [100.0] * 3 + [101.0] + [101.1] * 6
    feed = Feed(heartbeat_s=1500)
    got = track(flat(*prices), feed, intrabar="best")
    assert got.close.tolist() == [100.0] * 3 + [101.0] * 5 + [101.1] * 2


def test_a_heartbeat_of_days_ago_is_due_at_once() -> None:
    """After a gap of two days in the bars the first close is reported, however near it is."""
    bars = flat(100.0, 100.1, 100.2)
    late = bars._replace(close_s=np.array([300, 600, 600 + 2 * 86_400], dtype=np.int64))
    assert track(late, ETH_USD, intrabar="best").close.tolist() == [100.0, 100.0, 100.2]


def test_worst_reports_a_low_that_deviates() -> None:
    """The bar falls from 100 to 99 and closes at 100: worst reports 99, best sees nothing.

    99 cannot stand after the close: 100 / 99 - 1 = 1.01 %, so 100 is reported again.
    """
    worst, best = both(make_bars((100, 100, 99, 100)), QUIET, start_s=0)
    assert (worst.low[0], worst.high[0]) == (99.0, 100.0)
    assert (worst.close_low[0], worst.close_high[0]) == (100.0, 100.0)
    assert (best.low[0], best.high[0]) == (100.0, 100.0)


def test_worst_keeps_a_low_that_the_close_does_not_unseat() -> None:
    """99.4 is reported; the close at 99.8 is 0.402 % above it: 99.4 may stand, or 100 may."""
    worst, _ = both(make_bars((100, 100, 99.4, 99.8)), QUIET, start_s=0)
    assert (worst.close_low[0], worst.close[0], worst.close_high[0]) == (99.4, 100.0, 100.0)


def test_the_other_extreme_may_come_first() -> None:
    """99.7 is 0.3 % below 100, but 0.99 % below 100.7, which is 0.7 % above 100: both report.

    Without that high (100.3 is 0.3 % above) neither does.
    """
    worst, _ = both(make_bars((100, 100.7, 99.7, 100)), QUIET, start_s=0)
    assert (worst.low[0], worst.high[0]) == (99.7, 100.7)
    worst, _ = both(make_bars((100, 100.3, 99.7, 100)), QUIET, start_s=0)
    assert (worst.low[0], worst.high[0]) == (100.0, 100.0)


def test_a_heartbeat_inside_the_bar_reports_any_price_of_it() -> None:
    """In hourly bars a heartbeat of an hour falls into each: worst sees every extreme."""
    bars = make_bars((100, 100.1, 99.9, 100), (100, 100.2, 99.8, 100), step_s=3600)
    worst, _ = both(bars)
    assert worst.low.tolist() == [99.9, 99.8]
    assert worst.high.tolist() == [100.1, 100.2]


def test_before_the_first_bar_the_first_open_stands() -> None:
    """The first bar opens at 100 and is at 100.4 ever after: 100 stands, and is in force."""
    worst, best = both(make_bars((100, 100.4, 100.4, 100.4)), QUIET, start_s=0)
    assert worst.low[0] == best.close[0] == 100.0


@settings(max_examples=200, deadline=None)
@given(bars=markets, feed=feeds, faulty=st.lists(faults(), max_size=2))
def test_worst_and_best_are_ordered(bars: Bars, feed: Feed, faulty: list[Fault]) -> None:
    """For every bar, faults included: what a do-nothing loan meets is never milder in worst."""
    worst, best = both(bars, feed, faults=faulty)
    assert (worst.low <= best.low).all()
    assert (worst.high >= best.high).all()
    assert (worst.low <= worst.close_low).all()
    assert (worst.close_low <= worst.close).all()
    assert (worst.close <= worst.close_high).all()
    assert (worst.close_high <= worst.high).all()
    assert (worst.close == best.close).all()


@settings(max_examples=200, deadline=None)
@given(bars=markets, feed=feeds)
def test_reports_stay_on_the_path_and_near_the_close(bars: Bars, feed: Feed) -> None:
    """What is new in a bar lies within its extremes; what stands is within the threshold."""
    worst, best = both(bars, feed)
    was_low = np.concatenate((bars.open[:1], worst.close_low[:-1]))
    was_high = np.concatenate((bars.open[:1], worst.close_high[:-1]))
    assert (worst.low >= np.minimum(was_low, bars.low)).all()
    assert (worst.high <= np.maximum(was_high, bars.high)).all()
    for standing in (worst.close_low, worst.close_high, best.close):
        assert (np.abs(bars.close / standing - 1) < feed.deviation + 1e-12).all()


def every_history(bars: Bars, feed: Feed) -> list[tuple[set[float], set[float]]]:
    """Return, by bar, all prices in force and all that may stand at its close.

    Written for clearness: in each bar the feed looks at its extremes in either order, at one, or at
    none, then at the close; it reports what deviates, or what it sees when a heartbeat is due.
    """
    states = {(float(bars.open[0]), 0)}
    found = []
    for _, high, low, close, now in zip(*bars, strict=True):
        in_force: set[float] = set()
        after: set[tuple[float, int]] = set()
        for (price, reported), looks in product(
            states, ((), (low,), (high,), (low, high), (high, low))
        ):
            standing, last = price, reported
            in_force.add(standing)
            for seen in (*looks, close):
                is_due = now - last >= feed.heartbeat_s
                if is_due or abs(seen / standing - 1) >= feed.deviation - 1e-12:
                    standing, last = seen, now
                    in_force.add(standing)
            after.add((standing, last))
        states = after
        found.append((in_force, {price for price, _ in states}))
    return found


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([0.0005, 0.002, 0.01]),
    feed=st.sampled_from([QUIET, Feed(heartbeat_s=600), Feed(heartbeat_s=900)]),
)
def test_worst_is_a_history_and_no_history_is_much_worse(
    seed: int, scale: float, feed: Feed
) -> None:
    """Against all histories one by one: worst is among them, and none goes a threshold beyond."""
    bars = walk(seed, 7, MINUTES_5, scale)
    worst, best = both(bars, feed)
    for t, (in_force, standing) in enumerate(every_history(bars, feed)):
        assert {worst.low[t], worst.high[t]} <= in_force
        assert {worst.close_low[t], worst.close_high[t], best.close[t]} <= standing
        assert worst.low[t] * (1 - feed.deviation) <= min(in_force)
        assert worst.high[t] * (1 + 2 * feed.deviation) >= max(in_force)


def test_a_stale_feed_reports_nothing() -> None:
    """From 600 s to 1,200 s nothing is reported, neither at a close nor inside a bar.

    Worst has it that the last report before was the bar's low of 80, which then stands until 90 is
    reported at 1,200 s; best has it that 100 stood.
    """
    bars = make_bars(*[(100, 100, 100, 100)] + [(90, 91, 80, 90)] * 3)
    fault = Stale(since_s=600, until_s=1200)
    worst, best = both(bars, QUIET, faults=[fault])
    assert best.close.tolist() == [100.0, 100.0, 100.0, 90.0]
    assert worst.low.tolist() == [100.0, 80.0, 80.0, 80.0]
    assert worst.close_low.tolist() == [100.0, 80.0, 80.0, 90.0]
    assert not worst.is_down.any()


def test_a_feed_that_wakes_at_a_close_reports_that_close() -> None:
    """Silent within the bar, it reports the 110 of the close: no higher price than that one."""
    fault = Stale(since_s=300, until_s=600)
    worst, best = both(make_bars((100,) * 4, (100, 120, 90, 110)), QUIET, faults=[fault])
    assert best.close.tolist() == [100.0, 110.0]
    assert (worst.low[1], worst.high[1]) == (100.0, 110.0)


def test_a_feed_that_is_down_says_so() -> None:
    """Bars that touch the window are down for the account, those within it for everybody."""
    fault = Down(since_s=450, until_s=1200)
    worst, best = both(flat(100, 90, 90, 90, 90), QUIET, faults=[fault])
    assert best.close.tolist() == [100.0, 100.0, 100.0, 90.0, 90.0]
    assert worst.is_down.tolist() == [False, True, True, True, False]
    assert worst.is_down_throughout.tolist() == [False, False, True, True, False]


def test_a_wick_is_reported_and_recovers() -> None:
    """Half the price from 600 s to 900 s: the close at 600 s is reported at 50, the next at 100."""
    fault = Wick(since_s=600, until_s=900, factor=0.5)
    worst, best = both(flat(100, 100, 100, 100), QUIET, faults=[fault])
    assert best.close.tolist() == [100.0, 50.0, 100.0, 100.0]
    assert worst.low.tolist() == [100.0, 50.0, 50.0, 100.0]


def test_a_wick_inside_a_bar_is_seen_by_worst_alone() -> None:
    """It lasts a minute within a bar of five: no close sees it, the path does."""
    fault = Wick(since_s=400, until_s=460, factor=0.9)
    worst, best = both(flat(100, 100, 100), QUIET, faults=[fault])
    assert best.close.tolist() == [100.0] * 3
    assert worst.low.tolist() == [100.0, 90.0, 100.0]


def test_a_cap_grows_linearly_from_its_snapshot() -> None:
    """1.15 may grow by 9.68 % of itself in 365 days: half a year later the cap is 1.20566."""
    year_s = YEAR_MS // 1000
    time_s = np.array([-5, 0, year_s // 2, year_s], dtype=np.int64)
    ratio = np.array([1.2, 1.1, 1.21, 1.21])
    got = cap_ratio(ratio, time_s, snapshot_ratio=1.15, snapshot_s=0)
    assert got.tolist() == pytest.approx([1.15, 1.1, 1.15 * (1 + 0.0968 / 2), 1.21], rel=1e-15)


def test_a_capped_rate_repeats_march_2026() -> None:
    """A snapshot 2.85 % too low takes 2.85 % off the rate in its window, and nothing outside.

    wstETH at 1.2285: 1.2285 * (1 - 0.0285) = 1.19349, the "about 1.19" that was read that day.
    """
    ratio, time_s = np.full(5, 1.2285), np.arange(5, dtype=np.int64) * 3600
    fault = Capped(since_s=3600, until_s=3 * 3600, below=0.0285)
    got = report_ratio(ratio, time_s, [fault, Stale(since_s=0, until_s=9)])
    assert got[[0, 3, 4]].tolist() == [1.2285] * 3
    assert got[1] == pytest.approx(1.1934878, abs=1e-7)
    grown = got[1] * (1 + WSTETH_MAX_GROWTH * 3600 / (YEAR_MS / 1000))
    assert got[2] == pytest.approx(grown, rel=1e-12)


def test_a_cap_that_is_not_too_low_changes_nothing() -> None:
    """A rate that grows by 3 % a year stays below a cap that grows by 9.68 %."""
    time_s = np.arange(100, dtype=np.int64) * 86_400
    ratio = np.array(1.15 * (1 + 0.03 * time_s / (YEAR_MS / 1000)), dtype=np.float64)
    fault = Capped(since_s=10 * 86_400, until_s=90 * 86_400)
    assert (report_ratio(ratio, time_s, [fault]) == ratio).all()


prices = st.floats(1e-3, 1e6)


@settings(max_examples=200, deadline=None)
@given(
    pairs=st.lists(st.tuples(prices, st.floats(0.3, 3.0)), min_size=1, max_size=3),
    deviation=st.sampled_from([0.0025, 0.005, 0.02]),
)
def test_no_step_is_larger_than_a_report(
    pairs: list[tuple[float, float]], deviation: float
) -> None:
    """Steps down stay within the threshold, the last one is the target, one fewer would not do."""
    last = np.array([price for price, _ in pairs])
    target = last * np.array([change for _, change in pairs])
    n_steps = count_steps(last, target, np.full(len(pairs), deviation))
    path = np.array([last] * (n_steps + 1))
    for step in range(1, n_steps + 1):
        price_at_step(last, target, step, n_steps, path[step])
    assert (path[-1] == target).all()
    moves = np.abs(np.diff(np.log(path), axis=0))
    assert moves.max() <= -log(1 - deviation) * (1 + 1e-6)
    furthest = np.abs(np.log(target / last)).max()
    assert n_steps == max(ceil(furthest / -log(1 - deviation) - 1e-9), 1)


def test_steps_from_2000_to_1900() -> None:
    """log(1900 / 2000) / log(0.995) = 10.23: 11 reports; the 5th is 2000 * 0.95 ** (5 / 11)."""
    last, target, out = np.array([2000.0]), np.array([1900.0]), np.empty(1)
    assert count_steps(last, target, np.array([0.005])) == 11
    price_at_step(last, target, 5, 11, out)
    assert out[0] == pytest.approx(1953.909, abs=1e-3)
    assert count_steps(last, last, np.array([0.005])) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Feed(deviation=0.0), "deviation must be above 0"),
        (lambda: Feed(deviation=1.0), "deviation must be above 0"),
        (lambda: Feed(heartbeat_s=0), "heartbeat must be > 0"),
        (lambda: Stale(since_s=5, until_s=5), "must end after it starts"),
        (lambda: Wick(since_s=0, until_s=5, factor=0.0), "factor must be a finite number > 0"),
        (lambda: Capped(since_s=0, until_s=5, below=1.0), "a cap must lie"),
        (lambda: Capped(since_s=0, until_s=5, max_growth_per_year=-0.1), "a cap must lie"),
    ],
)
def test_nonsense_is_refused(make: Any, message: str) -> None:
    """Each bad number has one line with the rule, the value and the remedy."""
    with pytest.raises(RecipeError, match=message):
        make()


@pytest.mark.parametrize("intrabar", ["worst", "best"])
def test_a_feed_needs_bars(intrabar: Literal["worst", "best"]) -> None:
    """No bars, or columns of different lengths, are refused."""
    with pytest.raises(DataError, match="a feed needs bars"):
        track(flat(), ETH_USD, intrabar=intrabar)
    with pytest.raises(DataError, match="a feed needs bars"):
        track(flat(1, 2)._replace(low=np.array([1.0])), ETH_USD, intrabar=intrabar)
