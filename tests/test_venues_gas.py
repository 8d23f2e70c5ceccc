"""Gas: units, the dated series before the model, what is known, and the model's fit."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.errors import DataError, RecipeError
from seawall.units import DAY_MS, HOUR_MS, to_time_ms
from seawall.venues import gas
from seawall.venues.gas import (
    BASELINES,
    GAS_UNITS,
    HIGHEST_EXCESS,
    INTERCEPT,
    MEDIAN_DAYS,
    RESPONSE,
    SIGMA,
    TYPICAL_VOLATILITY,
    FloatArray,
    GasTrack,
    TimeArray,
    count_gas,
    find_baseline,
    find_excess,
    gas_per_bar,
    model_gwei,
)

START_MS = to_time_ms("2024-08-01")


def hours(n: int, since_ms: int = START_MS) -> TimeArray:
    """Return when n hourly bars open."""
    return since_ms + HOUR_MS * np.arange(n, dtype=np.int64)


def price_path(n: int, *, crash_at: int = -1, size: float = 0.0) -> FloatArray:
    """Return n closes that move by a typical hour each, up and down, and once by ``size``."""
    steps = TYPICAL_VOLATILITY * np.where(np.arange(n) % 2, 1.0, -1.0)
    if crash_at >= 0:
        steps[crash_at] += size
    return np.asarray(2500.0 * np.exp(np.cumsum(steps)))


def price_gas(n: int = 72, close: FloatArray | None = None, **more: Any) -> GasTrack:
    """Return the gas price of n hourly bars, on a market without events unless given one."""
    time_ms = hours(n)
    market = price_path(n) if close is None else close
    return gas_per_bar(
        time_ms,
        time_ms + HOUR_MS,
        market_close_ms=time_ms + HOUR_MS,
        market_close=market,
        **more,
    )


def series(*gwei: float, since: str = "2024-08-01") -> dict[str, Any]:
    """Return a daily series as arguments."""
    days = to_time_ms(since) + DAY_MS * np.arange(len(gwei), dtype=np.int64)
    return {"series_time_ms": days, "series_gwei": np.array(gwei)}


def test_a_transaction_pays_its_21000_once() -> None:
    """A bundle of three steps: 21,000 + 60,000 + 189,949 + 240,296 + 142,248 = 653,493."""
    assert count_gas(["repay"]) == 21_000 + 189_949
    assert count_gas(["bundle", "repay", "withdraw", "swap"]) == 653_493


def test_every_operation_has_its_units() -> None:
    """What the venue can be asked for has a price, each a plausible one."""
    assert set(GAS_UNITS) == {
        "transaction", "supply", "withdraw", "borrow", "repay", "swap", "flash_loan", "bundle",
        "liquidation",
    }  # fmt: skip
    assert all(20_000 < units < 600_000 for units in GAS_UNITS.values())


def test_a_bar_pays_the_average_of_its_day() -> None:
    """24 hours at 10 gwei, 24 at 30; what is known on the second day is the first day's 10."""
    got = price_gas(48, **series(10.0, 30.0))
    assert got.gwei.tolist() == [10.0] * 24 + [30.0] * 24
    assert got.known_gwei[24:].tolist() == [10.0] * 24
    assert not got.is_modelled.any()
    assert got.share_modelled == 0.0


def test_the_last_bar_of_a_day_does_not_know_its_day() -> None:
    """With the day before in the series every bar of the first day knows 7, none knows 10."""
    got = price_gas(25, **series(7.0, 10.0, 30.0, since="2024-07-31"))
    assert got.known_gwei.tolist() == [7.0] * 24 + [10.0]


def test_the_multiplier_scales_what_is_paid_and_what_is_known() -> None:
    """Five times the gas, in the series and in the model."""
    once = price_gas(72, **series(10.0, 30.0), model=True)
    five = price_gas(72, **series(10.0, 30.0), model=True, multiplier=5.0)
    assert five.gwei == pytest.approx(5 * once.gwei, rel=1e-15)
    assert five.known_gwei == pytest.approx(5 * once.known_gwei, rel=1e-15)


def test_a_missing_day_is_refused_without_the_model() -> None:
    """The message says how many days, which one, and the way out."""
    with pytest.raises(DataError, match=r"1 have none, the first is 2024-08-03: .*\"model\""):
        price_gas(72, **series(10.0, 30.0))
    with pytest.raises(DataError, match=r"3 have none, the first is 2024-08-01"):
        price_gas(72)


def test_a_hole_in_the_series_is_not_bridged() -> None:
    """The 1st and the 3rd are there, the 2nd is not: neither neighbour stands in for it."""
    days = {name: column[[0, 2]] for name, column in series(10.0, 20.0, 30.0).items()}
    with pytest.raises(DataError, match="1 have none, the first is 2024-08-02"):
        price_gas(72, **days)
    got = price_gas(72, **days, model=True)
    assert got.is_modelled.tolist() == [False] * 24 + [True] * 24 + [False] * 24
    before = model_gwei(hours(72) + HOUR_MS, price_path(72))[47:71]
    assert (got.known_gwei[48:] == before).all()


def test_a_price_of_zero_is_no_price() -> None:
    """The series has days at 0 in 2015, when nobody paid: those are missing."""
    with pytest.raises(DataError, match="1 have none, the first is 2024-08-02"):
        price_gas(72, **series(10.0, 0.0, 30.0))


def test_the_model_fills_what_the_series_lacks_and_nothing_else() -> None:
    """Two days from the series, the third from the model, and the share says so."""
    got = price_gas(72, **series(10.0, 30.0), model=True)
    assert got.gwei[:48].tolist() == [10.0] * 24 + [30.0] * 24
    assert got.is_modelled.tolist() == [False] * 48 + [True] * 24
    assert got.share_modelled == pytest.approx(1 / 3)
    modelled = model_gwei(hours(72) + HOUR_MS, price_path(72))
    assert (got.gwei[48:] == modelled[48:]).all()


def test_a_modelled_bar_knows_the_model_of_the_bar_before() -> None:
    """The first bar knows the level alone: there is no close before it."""
    got = price_gas(72, close=price_path(72, crash_at=30, size=-0.1), model=True)
    assert (got.known_gwei[1:] == got.gwei[:-1]).all()
    assert got.known_gwei[0] == find_baseline(hours(1))[0]


def test_a_calm_market_pays_the_level() -> None:
    """With x = 0: level * exp(-0.0667 + 0.357^2 / 2) = 0.9970 of it; 26.10 held from 2024 on."""
    got = price_gas(72, model=True)
    assert got.gwei == pytest.approx(26.10 * np.exp(INTERCEPT + SIGMA**2 / 2), rel=0.01)


def test_a_crash_is_dear_and_the_dearness_passes() -> None:
    """An hour of -10 % more than doubles the price at once; two days later it is as before."""
    got = price_gas(96, close=price_path(96, crash_at=40, size=-0.1), model=True)
    assert got.gwei[40] > 2.5 * got.gwei[39]
    assert got.known_gwei[40] == got.gwei[39]
    assert got.gwei[88] < 1.05 * got.gwei[39]


def test_a_level_of_ones_own_replaces_the_dated_one() -> None:
    """``baseline_gwei = 2`` scales the model by 2 / 26.10, the rise stays."""
    close = price_path(72, crash_at=40, size=-0.1)
    dated = price_gas(72, close=close, model=True)
    own = price_gas(72, close=close, model=True, baseline_gwei=2.0)
    assert own.gwei == pytest.approx(dated.gwei * 2.0 / 26.10, rel=1e-12)


def test_the_level_is_a_line_in_logs_between_its_dates() -> None:
    """At each date its own value; half way through 2022 about the geometric mean; the ends hold."""
    at = np.array([to_time_ms(date) for date, _ in BASELINES], dtype=np.int64)
    assert find_baseline(at) == pytest.approx([gwei for _, gwei in BASELINES], rel=1e-12)
    middle = (to_time_ms("2021-11-15") + to_time_ms("2023-02-15")) // 2
    assert find_baseline(np.array([middle]))[0] == pytest.approx((113.84 * 28.95) ** 0.5, rel=1e-9)
    ends = np.array([to_time_ms("2017-01-01"), to_time_ms("2026-01-01")], dtype=np.int64)
    assert find_baseline(ends) == pytest.approx([14.47, 26.10], rel=1e-12)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([0.0, 1e-4, 0.01, 0.3]),
    cut=st.integers(2, 199),
)
def test_the_model_looks_at_nothing_later(seed: int, scale: float, cut: int) -> None:
    """Whatever comes after a close, the model up to it is the same; always finite and bounded."""
    chance = np.random.default_rng(seed)
    close_ms = hours(200) + HOUR_MS
    close = 2000.0 * np.exp(np.cumsum(chance.standard_t(3, 200)) * scale)
    changed = close.copy()
    changed[cut:] *= np.exp(chance.normal(0, 0.2, 200 - cut))
    whole, other = model_gwei(close_ms, close), model_gwei(close_ms, changed)
    assert (whole[:cut] == other[:cut]).all()
    level = find_baseline(close_ms)
    assert (whole >= level * np.exp(INTERCEPT)).all()
    most = np.exp(INTERCEPT + RESPONSE * HIGHEST_EXCESS**2 + SIGMA**2 / 2)
    assert (whole <= level * most * (1 + 1e-12)).all()


def test_bars_of_any_length_see_the_same_volatility() -> None:
    """A steady market is x = 0 in hours and in 5 minutes: means decay with time, not with bars."""
    chance = np.random.default_rng(1)
    steps = chance.normal(0, TYPICAL_VOLATILITY / 12**0.5, 12 * 24 * 60)
    close = 2000.0 * np.exp(np.cumsum(steps))
    close_ms = START_MS + 5 * 60_000 * (1 + np.arange(len(close), dtype=np.int64))
    fine, coarse = find_excess(close_ms, close), find_excess(close_ms[11::12], close[11::12])
    assert abs(np.median(fine)) < 0.2
    assert abs(np.median(coarse)) < 0.2


def test_closes_before_the_run_warm_the_model_up() -> None:
    """A market three times as lively as is typical is unusual at first, and usual after months."""
    n = 24 * 200
    close_ms = hours(n, START_MS - n * HOUR_MS) + HOUR_MS
    close = np.exp(3 * np.log(price_path(n) / 2500.0))
    warm = gas_per_bar(
        hours(1), hours(1) + HOUR_MS, market_close_ms=close_ms, market_close=close, model=True
    )
    late = slice(n - 24, n)
    cold = gas_per_bar(
        hours(1), hours(1) + HOUR_MS,
        market_close_ms=close_ms[late], market_close=close[late], model=True,
    )  # fmt: skip
    assert cold.gwei[0] > 1.3 * warm.gwei[0]


def test_no_market_at_all_is_the_level() -> None:
    """A run on something else than ETH may have no closes to give."""
    empty = np.empty(0)
    got = gas_per_bar(
        hours(3), hours(3) + HOUR_MS, market_close_ms=empty.astype(np.int64), market_close=empty,
        model=True, baseline_gwei=9.0,
    )  # fmt: skip
    assert got.gwei.tolist() == got.known_gwei.tolist() == [9.0] * 3


@pytest.mark.parametrize("name", ["multiplier", "baseline_gwei"])
@pytest.mark.parametrize("value", [0.0, -1.0, np.inf, np.nan])
def test_a_price_must_be_a_price(name: str, value: float) -> None:
    """Nothing, less than nothing and no number are refused by name."""
    given: dict[str, Any] = {name: value}
    with pytest.raises(RecipeError, match=rf"gas\.{name} must be a finite number > 0"):
        price_gas(3, model=True, **given)


@pytest.fixture(scope="module")
def real(shared_data: Path) -> dict[str, Any]:
    """Return the gas series and ETH's hours of the fit."""
    paid = pd.read_parquet(shared_data / "gas" / "ethereum-avg-1d.parquet")
    gwei = paid.set_index("timestamp")["gas_price_gwei"]
    candles = pd.read_parquet(shared_data / "candles" / "binance" / "ETH-USDT-1h.parquet")
    candles = candles.set_index("timestamp").loc["2019-06-01":"2024-01-31"]
    opens = candles.index.to_numpy().astype("datetime64[ms]").astype(np.int64)
    return {
        "gwei": gwei[gwei > 0],
        "close_ms": opens + HOUR_MS,
        "close": candles["close"].to_numpy().copy(),
        "index": candles.index,
    }


def tabulate(real: dict[str, Any]) -> pd.DataFrame:
    """Return, by day: log gas over its median of the days before, and the mean of max(x, 0)^2."""
    excess = np.clip(find_excess(real["close_ms"], real["close"]), 0.0, HIGHEST_EXCESS)
    unusual = pd.Series(excess**2, real["index"]).resample("1D").mean()
    before = real["gwei"].rolling(MEDIAN_DAYS).median().shift(1)
    days = pd.DataFrame({"rise": np.log(real["gwei"] / before), "unusual": unusual}).dropna()
    return pd.concat([days.loc["2020-01-01":"2021-12-31"], days.loc["2023-01-15":"2024-01-31"]])


def fit(days: pd.DataFrame) -> tuple[float, float]:
    """Return intercept and response by least squares."""
    design = np.column_stack((np.ones(len(days)), days["unusual"]))
    found = np.linalg.lstsq(design, days["rise"].to_numpy(), rcond=None)[0]
    return float(found[0]), float(found[1])


def miss(days: pd.DataFrame, found: tuple[float, float]) -> float:
    """Return the root mean square error of a fit on days, in logs."""
    residual = days["rise"] - found[0] - found[1] * days["unusual"]
    return float(np.sqrt((residual**2).mean()))


@pytest.mark.slow
def test_the_fit_repeats(real: dict[str, Any]) -> None:
    """Refitted on the days that exist, the constants come out to 1 %, and R2 as it is stated."""
    days = tabulate(real)
    intercept, response = fit(days)
    residual = days["rise"] - intercept - response * days["unusual"]
    assert len(days) == 1023
    assert intercept == pytest.approx(INTERCEPT, rel=0.01)
    assert response == pytest.approx(RESPONSE, rel=0.01)
    assert residual.std(ddof=2) == pytest.approx(SIGMA, rel=0.01)
    assert 1 - residual.var() / days["rise"].var() == pytest.approx(0.117, abs=0.0005)


@pytest.mark.slow
def test_it_predicts_the_years_it_has_not_seen(real: dict[str, Any]) -> None:
    """Out of sample, both ways, it errs less than the median alone: a little, as is stated."""
    days = tabulate(real)
    early, late = days.loc[:"2021-12-31"], days.loc["2023-01-01":]
    nothing = (0.0, 0.0)
    assert miss(late, fit(early)) == pytest.approx(0.325, abs=0.0005)
    assert miss(late, nothing) == pytest.approx(0.331, abs=0.0005)
    assert miss(early, fit(late)) == pytest.approx(0.377, abs=0.0005)
    assert miss(early, nothing) == pytest.approx(0.398, abs=0.0005)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("day", "modelled", "paid"),
    [("2020-03-12", 3.2, 6.9), ("2020-03-13", 4.3, 7.5), ("2021-05-19", 2.3, 2.7)],
)
def test_crash_days_rise(real: dict[str, Any], day: str, modelled: float, paid: float) -> None:
    """Days of 2020-03 and 2021-05: the model's rise over the median beside the real one."""
    row = tabulate(real).loc[day]
    rise = np.exp(INTERCEPT + RESPONSE * row["unusual"] + SIGMA**2 / 2)
    assert rise == pytest.approx(modelled, abs=0.05)
    assert np.exp(row["rise"]) == pytest.approx(paid, abs=0.05)


@pytest.mark.slow
def test_the_levels_are_the_series_own(real: dict[str, Any]) -> None:
    """Each level is the median of its quarter, and TYPICAL_VOLATILITY the median slow level."""
    medians = real["gwei"].resample("QS").median()
    for date, level in BASELINES:
        start = pd.Timestamp(date).to_period("Q").start_time
        assert medians[start] == pytest.approx(level, rel=0.01), date
    excess = find_excess(real["close_ms"], real["close"])
    assert np.isfinite(excess).all()
    squared = np.diff(np.log(real["close"])) ** 2
    middle = np.sqrt(pd.Series(squared).rolling(24 * 30).median().median() / 0.4549)
    assert middle == pytest.approx(TYPICAL_VOLATILITY, rel=0.2)


@pytest.mark.slow
def test_the_whole_model_is_no_bargain(real: dict[str, Any]) -> None:
    """Over all days that exist, levels and rises together, it charges about what was paid.

    The mean of 1,127 days is within 10 %; late 2021's level held through 2023-24 would err by a
    factor of four.
    """
    modelled = pd.Series(model_gwei(real["close_ms"], real["close"]), real["index"])
    both = pd.DataFrame({"model": modelled.resample("1D").mean(), "paid": real["gwei"]}).dropna()
    both = both.loc["2020-01-01":]
    assert both["model"].mean() == pytest.approx(both["paid"].mean(), rel=0.10)
    held = np.log(both.loc["2023-01-15":, "paid"] / 113.84)
    assert float(np.sqrt((held**2).mean())) == pytest.approx(1.41, abs=0.02)


def test_the_sources_are_stated() -> None:
    """The numbers of the fit stand where the model is described."""
    assert gas.__doc__ is not None
    for figure in ("n = 1,023 days", "R2 = 0.117", "sigma 0.357", "0.325", "0.377"):
        assert figure in gas.__doc__
