"""Simulated markets: the same seed, the same path; crashes on demand; calibrated to real ETH."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.errors import DataError, RecipeError
from seawall.market.series import CANDLE_FIELDS, Candles, FloatArray, SeriesKey
from seawall.market.simulate import Crash, SimulatedMarket, simulate
from seawall.units import DAY_MS, MINUTE_MS

SINCE_MS = 1_704_067_200_000  # 2024-01-01
N_REAL = 318_297


def make(
    *,
    n_bars: int = 600,
    seed: int = 7,
    symbol: str = "ETH/USDT",
    timeframe: str = "5m",
    crash: Crash | None = None,
) -> Candles:
    """Return a simulated series that starts at 2,000."""
    return simulate(
        SeriesKey("candles", "simulated", symbol, timeframe),
        seed=seed,
        n_bars=n_bars,
        since_ms=SINCE_MS,
        start_price=2_000.0,
        crash=crash,
    )


@pytest.mark.slow
def test_another_process_makes_the_same_bits() -> None:
    """Two processes with different hash seeds make the series that this one makes."""
    program = (
        "from seawall.market.series import SeriesKey\n"
        "from seawall.market.simulate import simulate\n"
        "key = SeriesKey('candles', 'simulated', 'ETH/USDT', '5m')\n"
        f"made = simulate(key, seed=7, n_bars=600, since_ms={SINCE_MS}, start_price=2000.0)\n"
        "print(made.sha256())"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    assert hashes == {make().sha256()}


def test_everything_is_labelled_simulated() -> None:
    """The series says that it is simulated, in its flag, its source and its key."""
    series = make()
    assert series.is_simulated
    assert series.source.startswith("simulated")
    assert str(series.key) == "candles/simulated/ETH-USDT/5m"
    assert series.open[0] == 2_000.0
    assert series.time_ms[0] == SINCE_MS


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**63),
    n_bars=st.integers(1, 700),
    timeframe=st.sampled_from(["10s", "1m", "3m", "5m", "15m", "1h"]),
)
def test_a_longer_run_starts_with_the_shorter_one(seed: int, n_bars: int, timeframe: str) -> None:
    """Any number of bars is a prefix of a longer series, to the bit, and its candles are valid."""
    short = make(seed=seed, n_bars=n_bars, timeframe=timeframe)
    long = make(seed=seed, n_bars=n_bars + 37, timeframe=timeframe)
    assert short.sha256() == long.between(None, int(short.close_ms[-1])).sha256()
    assert (short.open[1:] == short.close[:-1]).all()
    assert (short.volume > 0).all()


def test_timeframes_are_cut_from_one_path() -> None:
    """Five 1-minute candles, or a day of them, make the coarser candle of the same seed."""
    fine = make(timeframe="1m", n_bars=2 * 1_440)
    for timeframe in ("5m", "1d"):
        n_fine = SeriesKey("candles", "simulated", "X/Y", timeframe).timeframe_ms // MINUTE_MS
        coarse = make(timeframe=timeframe, n_bars=2 * 1_440 // n_fine)
        parts = {name: getattr(fine, name).reshape(-1, n_fine) for name in CANDLE_FIELDS}
        np.testing.assert_array_equal(coarse.open, parts["open"][:, 0])
        np.testing.assert_array_equal(coarse.high, parts["high"].max(axis=1))
        np.testing.assert_array_equal(coarse.low, parts["low"].min(axis=1))
        np.testing.assert_array_equal(coarse.close, parts["close"][:, -1])
        np.testing.assert_allclose(coarse.volume, parts["volume"].sum(axis=1), rtol=1e-12)


def test_seeds_and_symbols_differ_and_symbols_correlate() -> None:
    """Another seed is uncorrelated, another symbol of the same seed correlates by about 0.7."""
    eth, btc, other = (
        to_returns(make(n_bars=50_000, seed=seed, symbol=symbol))
        for seed, symbol in ((1, "ETH/USDT"), (1, "BTC/USDT"), (2, "ETH/USDT"))
    )
    assert np.corrcoef(eth, btc)[0, 1] == pytest.approx(0.7, abs=0.07)
    assert abs(np.corrcoef(eth, other)[0, 1]) < 0.05


def test_a_crash_falls_by_its_depth_and_recovers_as_told() -> None:
    """At the end of a 40 % crash the price is 0.6 of what it was, half of it won back: 0.8."""
    crash = Crash(start_bar=300, depth=0.4, duration_bars=50, recovery=0.5)
    calm, series = make(), make(crash=crash)
    for name in CANDLE_FIELDS:
        np.testing.assert_array_equal(getattr(series, name)[:300], getattr(calm, name)[:300])
    before = series.open[300]
    assert series.close[349] == pytest.approx(0.6 * before, rel=1e-9)
    assert series.low[300:350].min() <= 0.6 * before * (1 + 1e-9)
    assert series.close[399] == pytest.approx(0.8 * before, rel=1e-9)
    assert series.volume[300:350].sum() > 2 * calm.volume[300:350].sum()
    spread = np.log(series.high / series.low)[300:350].mean()
    assert spread > 2 * np.log(calm.high / calm.low)[300:350].mean()
    assert "crash of 40%" in series.source


def test_a_crash_without_recovery_leaves_the_price_free() -> None:
    """With no recovery the returns after a crash and its aftermath are those of the calm path."""
    crash = Crash(start_bar=100, depth=0.2, duration_bars=20)
    calm, series = make(), make(crash=crash)
    np.testing.assert_allclose(to_returns(series)[140:], to_returns(calm)[140:], atol=1e-12)
    assert (
        make(n_bars=110, crash=crash).sha256()
        == series.between(None, int(series.time_ms[110])).sha256()
    )


def test_a_crash_amplifies_the_volatility() -> None:
    """A crash of almost no depth leaves its volatility: 3 times, then back to 1 over 50 bars: 2."""
    calm = make()
    series = make(crash=Crash(start_bar=300, depth=0.001, duration_bars=50))
    ratio = np.log(series.high / series.low) / np.log(calm.high / calm.low)
    assert ratio[300:350].mean() == pytest.approx(3, rel=0.1)
    assert ratio[350:400].mean() == pytest.approx(2, rel=0.1)
    assert ratio[400:].mean() == pytest.approx(1, rel=1e-6)


def test_the_expected_price_does_not_move() -> None:
    """Without drift a price is a martingale: the mean of 1,500 seeds after a day is the start.

    At ten times the usual volatility, so that the mean of the log, -5 %, would be seen.
    """
    wild = SimulatedMarket(block_volatility=0.018, jump_rate=0.02)
    key = SeriesKey("candles", "simulated", "ETH/USDT", "1d")
    growth = np.array(
        [
            simulate(
                key, seed=seed, n_bars=1, since_ms=SINCE_MS, start_price=1.0, parameters=wild
            ).close[0]
            for seed in range(1_500)
        ]
    )
    assert abs(growth.mean() - 1) < 3 * growth.std() / np.sqrt(len(growth))
    assert np.log(growth).mean() < -0.04


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"n_bars": 0}, "bars"),
        ({"seed": -1}, "seed"),
        ({"timeframe": "15s"}, "10s"),
        ({"crash": Crash(start_bar=600, depth=0.1, duration_bars=1)}, "start_bar"),
    ],
)
def test_a_bad_argument_is_named(change: dict[str, object], part: str) -> None:
    """What is out of range is refused in one line that names it."""
    with pytest.raises(DataError, match=part):
        make(**change)  # type: ignore[arg-type]


def test_a_bad_parameter_is_named() -> None:
    """Parameters are checked where they are made, and a real venue's name is refused."""
    with pytest.raises(RecipeError, match="correlation"):
        SimulatedMarket(correlation=1.5)
    with pytest.raises(RecipeError, match="hour_profile"):
        SimulatedMarket(hour_profile=(1.0, 1.0))
    with pytest.raises(RecipeError, match=r"crash\.depth"):
        Crash(start_bar=0, depth=1.0, duration_bars=3)
    with pytest.raises(RecipeError, match="regime_high"):
        SimulatedMarket(regime_high=float("nan"))
    real = SeriesKey("candles", "binance", "ETH/USDT", "5m")
    with pytest.raises(DataError, match="simulated"):
        simulate(real, seed=1, n_bars=5, since_ms=SINCE_MS, start_price=1.0)


def to_returns(series: Candles) -> FloatArray:
    """Return log returns of the closes, shape (n_bars - 1,)."""
    return np.diff(np.log(series.close))


def describe(returns: FloatArray) -> dict[str, float]:
    """Return the statistics that the model is calibrated to; nan marks a return across a gap."""
    size = np.abs(returns)
    known = returns[np.isfinite(returns)]
    centred = size - np.nanmean(size)
    return {
        "annual volatility": float(known.std() * np.sqrt(365 * 288)),
        "kurtosis (normal: 3)": float((((known - known.mean()) / known.std()) ** 4).mean()),
        "1 % quantile": float(np.quantile(known, 0.01)),
        "99 % quantile": float(np.quantile(known, 0.99)),
        **{
            f"autocorrelation of |return|, lag {lag}": float(
                np.nanmean(centred[:-lag] * centred[lag:]) / np.nanvar(size)
            )
            for lag in (1, 12, 288)
        },
    }


@pytest.mark.slow
def test_the_default_market_moves_like_ether(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each statistic of the simulated market is within 20 % of 5-minute ETH/USDT of Binance.

    Simulated is the median of nine seeds, each as long as the real series: kurtosis is made by a
    few dozen returns and varies by a third from seed to seed (so does the real one by year).
    """
    real = pd.read_parquet(shared_data / "candles" / "binance" / "ETH-USDT-5m.parquet")
    time_ms = real["timestamp"].to_numpy().astype("datetime64[ms]").astype(np.int64)
    returns = np.diff(np.log(real["close"].to_numpy()))
    measured = describe(np.where(np.diff(time_ms) == 5 * MINUTE_MS, returns, np.nan))
    runs = [describe(to_returns(make(seed=seed, n_bars=N_REAL))) for seed in range(1, 10)]
    table = {name: sorted(run[name] for run in runs) for name in measured}
    lines = [f"{'5-minute ETH/USDT':36}{'measured':>10}{'simulated':>11}   lowest to highest seed"]
    for name, values in table.items():
        row = f"{name:36}{measured[name]:10.4f}{values[4]:11.4f}"
        lines.append(f"{row}   {values[0]:.4f} to {values[-1]:.4f}")
    with capsys.disabled():
        print("", *lines, sep="\n")  # noqa: T201 - the table is what this test is for
    for name, values in table.items():
        assert values[4] == pytest.approx(measured[name], rel=0.2), name


@pytest.mark.slow
def test_volume_is_like_that_of_ether(shared_data: Path) -> None:
    """The median turnover of 5 minutes is within 20 % of the real one, and follows the range."""
    real = pd.read_parquet(shared_data / "candles" / "binance" / "ETH-USDT-5m.parquet")
    runs = [make(seed=seed, n_bars=N_REAL) for seed in range(1, 6)]
    turnover = np.median([np.median(series.volume * series.close) for series in runs])
    assert turnover == pytest.approx((real["volume"] * real["close"]).median(), rel=0.2)
    spread = np.log(runs[0].high / runs[0].low)
    assert np.corrcoef(np.log(runs[0].volume * runs[0].close), np.log(spread))[0, 1] > 0.6


def test_a_start_within_a_day_takes_the_hours_profile() -> None:
    """The hours that are calm on average (3 to 6 UTC) are calmer than those of 14 to 17."""
    series = make(n_bars=60 * 288)
    hour = series.time_ms % DAY_MS // (60 * MINUTE_MS)
    spread = np.log(series.high / series.low)
    assert spread[(hour >= 14) & (hour < 17)].mean() > 1.3 * spread[(hour >= 3) & (hour < 6)].mean()
