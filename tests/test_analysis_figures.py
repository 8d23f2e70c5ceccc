"""Drawing leaves out points, never extremes, and returns by month multiply to the whole."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_result import make_result

from seawall.analysis.figures import (
    MAX_MARKERS,
    price_figures,
    thin,
    to_costs,
    to_daily,
    to_drawdown,
    to_means,
    to_monthly,
    to_ms,
)


@given(st.integers(0, 9_999), st.integers(10, 500), st.integers(1, 3_000))
def test_thinning_keeps_the_ends_and_the_extremes(seed: int, n_points: int, n: int) -> None:
    """At most ``n_points`` are left, in order, with the first, last, lowest and highest."""
    values = np.random.default_rng(seed).normal(size=n)
    rows = thin(values, n_points)
    assert len(rows) <= max(n_points, 2)
    assert np.all(np.diff(rows) > 0)
    assert {0, n - 1, int(values.argmin()), int(values.argmax())} <= set(rows.tolist())


def test_a_long_exposure_is_drawn_as_means() -> None:
    """10,000 bars in and out in turn are half in the market; short series stay as they are."""
    times, values = np.arange(10_000, dtype=np.int64), (np.arange(10_000) % 2).astype(np.float64)
    drawn_times, means = to_means(times, values, 500)
    assert len(means) == len(drawn_times) == 500
    np.testing.assert_allclose(means, 0.5)
    assert to_means(times[:10], values[:10])[1].tolist() == values[:10].tolist()


def test_a_series_that_starts_late_is_thinned_too() -> None:
    """Nan before a symbol is listed is passed over."""
    values = np.concatenate([np.full(5_000, np.nan), np.arange(5_000.0)])
    assert 9_999 in thin(values, 100)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_are_milliseconds_whatever_the_unit(unit: str) -> None:
    """Pandas may store seconds or nanoseconds, with a zone or without."""
    index = pd.DatetimeIndex(["2024-08-05 12:00"]).as_unit(unit)  # type: ignore[arg-type]
    assert to_ms(index).tolist() == [1_722_859_200_000]
    assert to_ms(index.tz_localize("UTC")).tolist() == [1_722_859_200_000]


def test_months_and_days_multiply_to_the_total_return() -> None:
    """No bar is counted twice or lost between two months, nor the start."""
    result = make_result(24 * 100)
    total = result.metrics.total_return
    for returns in (to_monthly(result.equity["equity"]), to_daily(result.equity["equity"])):
        whole = np.prod(1 + returns.to_numpy(dtype=np.float64)) - 1
        assert whole == pytest.approx(total, rel=1e-9)
    assert len(to_monthly(result.equity["equity"])) == 4
    assert len(to_daily(result.equity["equity"])) == 100


def test_drawdown_is_the_fall_from_the_highest_so_far() -> None:
    """100, 120, 90, 130: a quarter below 120, then nothing."""
    found = to_drawdown(np.array([100.0, 120.0, 90.0, 130.0]))
    np.testing.assert_allclose(found, [0, 0, -0.25, 0])


def test_costs_by_kind_add_up_to_fees_and_slippage() -> None:
    """What the bars show is what the metrics say was paid."""
    result = make_result(1_000)
    paid = result.metrics.fees + result.metrics.slippage
    assert sum(to_costs(result).values()) == pytest.approx(paid)


def test_too_many_fills_are_thinned_and_the_legend_says_so() -> None:
    """5,000 fills are not all drawn, and a reader is told how many are."""
    (figure,) = price_figures(make_result(10_000, hold_bars=2))
    bought = next(t for t in figure.traces if str(t["name"]).startswith("bought"))
    assert bought["name"] == f"bought ({MAX_MARKERS:,} of 2,500 drawn)"
