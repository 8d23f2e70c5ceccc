"""Metrics: checked against empyrical on random series, and against arithmetic done by hand."""

import json
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.errors import DataError
from seawall.metrics import ClosedTrade, FloatArray, Metrics, measure, without_years
from seawall.units import DAY_MS, HOUR_MS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # empyrical warns of its optional dependencies
    import empyrical  # type: ignore[import-untyped]

START_MS = 1_704_067_200_000  # 2024-01-01


def measure_values(*values: float, step_ms: int = DAY_MS) -> Metrics:
    """Return the metrics of an equity given by its values, one per day or per ``step_ms``."""
    time_ms = START_MS + step_ms * np.arange(len(values), dtype=np.int64)
    return measure(np.array(values, dtype=np.float64), time_ms)


def to_equity(returns: FloatArray) -> FloatArray:
    """Return the equity that starts at 10,000 and has these simple returns."""
    return 10_000.0 * np.concatenate([[1.0], np.cumprod(1.0 + returns)])


def trade(pnl: float, return_fraction: float) -> ClosedTrade:
    """Return a closed trade of which only the outcome matters."""
    return ClosedTrade(
        symbol="ETH/USDT",
        entry_ms=START_MS,
        exit_ms=START_MS + HOUR_MS,
        quantity=1.0,
        entry_price=100.0,
        exit_price=100.0 + pnl,
        pnl=pnl,
        fees=0.0,
        return_fraction=return_fraction,
    )


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n_returns=st.integers(3, 900),
    step_ms=st.sampled_from([5 * 60_000, HOUR_MS, DAY_MS]),
)
def test_the_ratios_equal_those_of_empyrical(seed: int, n_returns: int, step_ms: int) -> None:
    """Nine metrics of any random series equal empyrical's, at 365 days and any sampling."""
    random = np.random.default_rng(seed)
    returns = random.standard_t(4, n_returns).clip(-20, 20) * 0.01
    equity = to_equity(returns)
    found = measure_values(*equity, step_ms=step_ms)
    per_year = 365 * DAY_MS / step_ms
    series = pd.Series(equity).pct_change().dropna()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "total_return": empyrical.cum_returns_final(series),
            "annual_return": empyrical.annual_return(series, annualization=per_year),
            "volatility": empyrical.annual_volatility(series, annualization=per_year),
            "sharpe": empyrical.sharpe_ratio(series, annualization=per_year),
            "sortino": empyrical.sortino_ratio(series, annualization=per_year),
            "calmar": empyrical.calmar_ratio(series, annualization=per_year),
            "max_drawdown": empyrical.max_drawdown(series),
            "var_95": empyrical.value_at_risk(series, 0.05),
            "cvar_95": empyrical.conditional_value_at_risk(series, 0.05),
        }
    for name, value in expected.items():
        ours = getattr(found, name)
        # A short run, annualised, may leave the range of floats: ours is then nan.
        if math.isfinite(value) and math.isfinite(ours):
            assert ours == pytest.approx(value, rel=1e-8, abs=1e-12), name
        else:
            assert name in {"annual_return", "calmar", "sortino"}, name


def test_a_series_by_hand() -> None:
    """100, 110, 99, 108.9 by day: returns +0.1, -0.1, +0.1.

    Mean 1/30; deviations 1/15, -2/15, 1/15, squares sum to 6/225, over 2: variance 3/225.
    Downside: sqrt(0.01 / 3). Drawdown 99/110 - 1 = -0.1 from day 1 to day 2, not recovered.
    """
    found = measure_values(100.0, 110.0, 99.0, 108.9)
    deviation = math.sqrt(3 / 225)
    assert found.periods_per_year == 365
    assert found.total_return == pytest.approx(0.089)
    assert found.annual_return == pytest.approx(1.089 ** (365 / 3) - 1)
    assert found.volatility == pytest.approx(deviation * math.sqrt(365))
    assert found.sharpe == pytest.approx(1 / 30 / deviation * math.sqrt(365))
    assert found.sortino == pytest.approx(1 / 30 / math.sqrt(0.01 / 3) * math.sqrt(365))
    assert found.calmar == pytest.approx(found.annual_return / 0.1)
    assert found.max_drawdown == pytest.approx(-0.1)
    assert (found.best_period, found.worst_period) == pytest.approx((0.1, -0.1))
    assert (found.peak_ms, found.trough_ms) == (START_MS + DAY_MS, START_MS + 2 * DAY_MS)
    assert found.recovery_ms is None
    assert found.longest_under_water_ms == 2 * DAY_MS
    assert found.under_water == 0.5


def test_the_dates_of_a_drawdown_by_hand() -> None:
    """The deepest fall is 100 to 80 of days 3 to 5, won back on day 7; day 1 to 2 is shallower.

    The peak is dated where the equity last stood at it, day 3; under water are days 1, 4, 5, 6.
    """
    found = measure_values(100.0, 95.0, 100.0, 100.0, 90.0, 80.0, 99.0, 100.0, 101.0)
    assert found.max_drawdown == pytest.approx(-0.2)
    assert found.peak_ms == START_MS + 3 * DAY_MS
    assert found.trough_ms == START_MS + 5 * DAY_MS
    assert found.recovery_ms == START_MS + 7 * DAY_MS
    assert found.longest_under_water_ms == 4 * DAY_MS
    assert found.under_water == pytest.approx(4 / 9)


def test_trades_exposure_and_costs_by_hand() -> None:
    """Two wins (30 and 10) and one loss (20): win rate 2/3, profit factor 2.

    Exposure |0.5|, |-0.5|, (nan left out), 1 has the mean 2/3; 410 traded over a mean equity of
    102.5 is a turnover of 4.
    """
    found = measure(
        np.array([100.0, 110.0, 90.0, 110.0]),
        START_MS + DAY_MS * np.arange(4, dtype=np.int64),
        exposure=np.array([0.5, -0.5, math.nan, 1.0]),
        trades=[trade(30.0, 0.3), trade(-20.0, -0.2), trade(10.0, 0.1)],
        fees=1.5,
        slippage=0.5,
        turnover_notional=410.0,
    )
    assert found.exposure == pytest.approx(2 / 3)
    assert found.turnover == pytest.approx(4.0)
    assert found.n_trades == 3
    assert found.win_rate == pytest.approx(2 / 3)
    assert found.profit_factor == pytest.approx(2.0)
    assert (found.best_trade, found.worst_trade) == (0.3, -0.2)
    assert (found.fees, found.slippage) == (1.5, 0.5)


@pytest.mark.parametrize("n_samples", [1, 2, 50])
def test_a_constant_equity_has_no_ratios(n_samples: int) -> None:
    """Cash: no return, no drawdown; Sharpe, Sortino, Calmar are nan, and nothing is infinite."""
    found = measure_values(*[100.0] * n_samples)
    assert found.total_return == 0
    assert found.max_drawdown == 0
    assert found.peak_ms is found.trough_ms is found.recovery_ms is None
    for name in ("sharpe", "sortino", "calmar", "win_rate", "profit_factor", "best_trade"):
        assert math.isnan(getattr(found, name)), name
    assert not any(math.isinf(value) for value in found.to_dict().values() if value is not None)


def test_a_constant_growth_has_no_sharpe() -> None:
    """1 % every day has a deviation that is rounding alone: no Sharpe of 1e15."""
    found = measure_values(*(100 * 1.01 ** np.arange(60)))
    assert math.isnan(found.sharpe)
    assert math.isnan(found.sortino)
    assert found.total_return == pytest.approx(1.01**59 - 1)


def test_ruin_counts_once() -> None:
    """100, 50, -10, -10: returns -0.5 and -1.2, none after ruin; the drawdown is below -1."""
    found = measure_values(100.0, 50.0, -10.0, -10.0)
    assert found.total_return == pytest.approx(-1.1)
    assert found.annual_return == -1.0
    assert found.worst_period == pytest.approx(-1.2)
    assert found.best_period == pytest.approx(-0.5)
    assert found.max_drawdown == pytest.approx(-1.1)
    assert found.trough_ms == START_MS + 2 * DAY_MS
    assert measure_values(100.0, 0.0, 0.0).total_return == -1.0


def test_an_equity_that_starts_at_zero_has_no_returns() -> None:
    """Without a start there is nothing to divide by: nan, and a dictionary of None."""
    found = measure_values(0.0, 10.0, 20.0)
    assert math.isnan(found.total_return)
    assert math.isnan(found.max_drawdown)
    assert found.to_dict()["sharpe"] is None


def test_five_good_minutes_are_not_annualised_to_infinity() -> None:
    """+10 % in five minutes, annualised, is no float: nan, not an overflow."""
    found = measure_values(100.0, 110.0, step_ms=300_000)
    assert math.isnan(found.annual_return)
    assert found.total_return == pytest.approx(0.1)


def test_gaps_do_not_change_the_annualisation() -> None:
    """The sampling step is the median one: a gap of a week among days leaves 365 per year."""
    time_ms = START_MS + DAY_MS * np.array([0, 1, 2, 9, 10, 11], dtype=np.int64)
    found = measure(np.array([100.0, 101.0, 99.0, 103.0, 104.0, 102.0]), time_ms)
    assert found.periods_per_year == 365
    assert found.annual_return == pytest.approx(1.02 ** (365 / 11) - 1)


def test_the_dictionary_is_strict_json() -> None:
    """Every field is there in order, and JSON takes it without NaN."""
    found = measure_values(100.0, 110.0, 99.0, 108.9).to_dict()
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text) == found
    assert list(found)[:2] == ["total_return", "annual_return"]
    assert all(type(value) in {float, int, type(None)} for value in found.values())


def test_bad_samples_are_named() -> None:
    """Nothing, different lengths, a missing value and disorder are refused in one line."""
    time_ms = START_MS + DAY_MS * np.arange(3, dtype=np.int64)
    with pytest.raises(DataError, match="length"):
        measure(np.array([]), time_ms[:0])
    with pytest.raises(DataError, match="length"):
        measure(np.ones(2), time_ms)
    with pytest.raises(DataError, match="2024-01-02"):
        measure(np.array([1.0, math.nan, 1.0]), time_ms)
    with pytest.raises(DataError, match="sample 1"):
        measure(np.ones(3), time_ms[::-1].copy())


def test_of_a_few_days_no_year_is_made() -> None:
    """Below 30 days annual return and Calmar are shown as none; the rest is as it was."""
    days = np.arange(11) * 86_400_000
    found = measure(np.linspace(100.0, 150.0, 11) + np.arange(11) % 2, days)
    shown = without_years(found, int(days[-1]))
    assert np.isfinite([found.annual_return, found.total_return]).all()
    assert np.isnan([shown.annual_return, shown.calmar]).all()
    assert shown.total_return == found.total_return
    assert without_years(found, 30 * 86_400_000) is found
