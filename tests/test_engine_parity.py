"""Under ``fills = "stock"`` every strategy lives the same life as on stock backtrader."""

import datetime as dt
from typing import Any

import backtrader as bt
import pytest
from engine_twins import (
    Command,
    Setting,
    make_candles,
    run_scripted,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seawall.engine.cerebro import Cerebro
from seawall.engine.feed import resample

N_BARS = 40
SIZES = st.one_of(st.none(), st.sampled_from([0.5, 1, 2, 3.25, 10, 60, 150]))
OFFSETS = st.sampled_from([-0.05, -0.03, -0.015, -0.01, -0.005, 0.0, 0.005, 0.01, 0.02, 0.04])
VALID = st.one_of(
    st.none(),
    st.integers(1, 8).map(lambda bars: dt.timedelta(minutes=5 * bars)),
    st.sampled_from([dt.timedelta(), 0, dt.datetime(2023, 11, 15)]),  # noqa: DTZ001
)
COMMANDS = st.builds(
    Command,
    bar=st.integers(1, N_BARS),
    kind=st.sampled_from(
        [
            *["buy", "buy", "sell", "sell", "bracket", "bracket", "cancel", "close"],
            *["target_size", "target_value", "target_percent", "add_cash"],
        ]
    ),
    data=st.integers(0, 2),
    size=SIZES,
    exectype=st.integers(0, 6),
    offset=OFFSETS,
    limit_offset=OFFSETS,
    trail=st.sampled_from([0.5, 1.0, 2.0]),
    trails_by_percent=st.booleans(),
    valid=VALID,
    refers_to=st.one_of(st.none(), st.integers(1, 5)),
    at_open=st.booleans(),
)
SCHEMES = st.sampled_from(
    [
        {},
        {"commission": 0.001},
        {"commission": 2.0, "margin": 50.0, "mult": 5.0},
        {"commission": 0.001, "leverage": 3.0},
        {"commission": 0.001, "interest": 0.3},
        {"commission": 0.0, "interest": 0.3, "interest_long": True},
    ]
)
SETTINGS = st.builds(
    Setting,
    cash=st.sampled_from([500.0, 10_000.0, 1e6]),
    commission=SCHEMES,
    cheat_on_open=st.booleans(),
    cheat_on_close=st.booleans(),
    shortcash=st.booleans(),
    checksubmit=st.booleans(),
    slippage=st.sampled_from([0.0, 0.0, 0.002]),
    quicknotify=st.booleans(),
    tells_cash=st.booleans(),
    looks_every=st.sampled_from([1, 1, 3]),
)


@st.composite
def markets(draw: st.DrawFn) -> list[Any]:
    """Return one to three series with starts, ends and gaps of their own, perhaps an hourly one."""
    series = [
        make_candles(
            draw(st.integers(0, 10_000)),
            draw(st.integers(15, N_BARS)),
            symbol=f"S{number}/Q",
            first=draw(st.integers(0, 12)) if number else 0,
            gap_share=draw(st.sampled_from([0.0, 0.0, 0.2])),
        )
        for number in range(draw(st.integers(1, 3)))
    ]
    coarse = resample(series[0], "15m")
    if draw(st.booleans()) and len(coarse):
        series.append(coarse)
    return series


def check_parity(
    series: list[Any], commands: list[Command], setting: Setting, period: int
) -> list[Any]:
    """Run both and compare everything, to the bit."""
    script = tuple(sorted(commands, key=lambda command: command.bar))
    stock, stock_error = run_scripted(bt.Cerebro, series, script, setting=setting, period=period)
    ours: list[Any]
    ours, our_error = run_scripted(Cerebro, series, script, setting=setting, period=period)
    for number, (expected, found) in enumerate(zip(stock, ours, strict=False)):
        assert found == expected, f"row {number}"
    assert (len(ours), our_error) == (len(stock), stock_error)
    return ours


EXAMPLE = given(
    series=markets(),
    commands=st.lists(COMMANDS, min_size=1, max_size=12),
    setting=SETTINGS,
    period=st.sampled_from([1, 1, 4]),
)
CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large]


@EXAMPLE
@settings(max_examples=60, deadline=None, suppress_health_check=CHECKS)
def test_any_scripted_strategy_lives_the_same_life(
    series: list[Any], commands: list[Command], setting: Setting, period: int
) -> None:
    """Same orders, trades, cash and value notifications in the same order, equal to the bit."""
    check_parity(series, commands, setting, period)


@pytest.mark.slow
@EXAMPLE
@settings(max_examples=1500, deadline=None, suppress_health_check=CHECKS)
def test_many_scripted_strategies_live_the_same_life(
    series: list[Any], commands: list[Command], setting: Setting, period: int
) -> None:
    """The same over many more strategies."""
    check_parity(series, commands, setting, period)
