"""Candles of a ratio: which minutes count, what is carried, and what is left out."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.errors import DataError
from seawall.market.catalog import Catalog
from seawall.market.importer import import_files
from seawall.market.ratio import MAX_STALE_MS, ratio_candles
from seawall.market.series import Candles, SeriesKey
from seawall.units import HOUR_MS, MINUTE_MS, to_time_ms

FIRST = 1_678_492_800_000  # 2023-03-11 00:00 UTC


def make(
    quote: str, close: list[float], volume: list[float] | None = None, first: int = FIRST
) -> Candles:
    """Return minutes of bitcoin in a quote; each traded one coin unless said."""
    prices = np.array(close)
    return Candles(
        key=SeriesKey("candles", "binanceus", f"BTC/{quote}", "1m"),
        time_ms=first + np.arange(len(close)) * MINUTE_MS,
        open=prices,
        high=prices * 1.5,
        low=prices * 0.5,
        close=prices,
        volume=np.ones(len(close)) if volume is None else np.array(volume),
        source=f"a test in {quote}",
    )


def test_the_ratio_is_close_over_close_of_minutes() -> None:
    """USDT 90, 80, 99, 100 over USDC 100 four times: 0.9, 0.8, 0.99, 1.0 in one bar of 4m.

    Highs and lows of the two sides are not used: they need not fall together.
    """
    ratio = ratio_candles(make("USDT", [90, 80, 99, 100]), make("USDC", [100] * 4), "2m")
    assert str(ratio.key) == "candles/binanceus/USDC-USDT/2m"
    assert ratio.open.tolist() == [0.9, 0.8]
    assert ratio.high.tolist() == [0.9, 1.0]
    assert ratio.low.tolist() == [0.8, 0.8]
    assert ratio.close.tolist() == [0.8, 1.0]
    assert "a test in USDT; a test in USDC" in ratio.source


def test_a_stale_minute_makes_no_depeg() -> None:
    """Bitcoin falls 10 % while USDC's side does not trade: the ratio stays 1, it is not 0.9."""
    numerator = make("USDT", [100, 90, 90, 90])
    denominator = make("USDC", [100, 100, 100, 90], [1, 0, 0, 1])
    ratio = ratio_candles(numerator, denominator, "1m")
    assert ratio.close.tolist() == [1.0, 1.0, 1.0, 1.0]
    assert ratio.low.tolist() == [1.0, 1.0, 1.0, 1.0]
    assert ratio.volume.tolist() == [100.0, 0.0, 0.0, 90.0]


def test_a_ratio_is_carried_for_an_hour_and_no_longer() -> None:
    """After the last common minute at 00:00 bars are flat up to 01:00, then a gap, then trades."""
    n = 180
    volume = [1.0] + [0.0] * (n - 2) + [1.0]
    ratio = ratio_candles(make("USDT", [95.0] * n), make("USDC", [100.0] * n, volume), "10m")
    opens = ((ratio.time_ms - FIRST) // MINUTE_MS).tolist()
    assert opens == [0, 10, 20, 30, 40, 50, 170]
    assert MAX_STALE_MS == HOUR_MS
    assert ratio.open.tolist() == [0.95] * 7


def test_only_whole_bars_are_made() -> None:
    """Minutes 00:30 to 02:29 hold one whole hour."""
    first = FIRST + 30 * MINUTE_MS
    ratio = ratio_candles(
        make("USDT", [99.0] * 120, first=first), make("USDC", [100.0] * 120, first=first), "1h"
    )
    assert ratio.time_ms.tolist() == [FIRST + HOUR_MS]


def test_volume_is_of_the_side_that_traded_less() -> None:
    """2 BTC at 90 USDT are 200 USDC at 0.9; 1 BTC at 100 USDC is 100: 100 it is."""
    ratio = ratio_candles(make("USDT", [90.0], [2.0]), make("USDC", [100.0], [1.0]), "1m")
    assert ratio.volume.tolist() == [100.0]
    ratio = ratio_candles(make("USDT", [90.0], [0.5]), make("USDC", [100.0], [1.0]), "1m")
    assert ratio.volume.tolist() == [50.0]


@given(
    st.lists(
        st.tuples(
            st.floats(1.0, 1e6),
            st.floats(1.0, 1e6),
            st.sampled_from([0, 1]),
            st.sampled_from([0, 1]),
        ),
        min_size=30,
        max_size=200,
    ),
    st.sampled_from(["1m", "5m", "10m"]),
)
@pytest.mark.slow
def test_no_bar_knows_the_minutes_after_it(
    minutes: list[tuple[float, float, int, int]], timeframe: str
) -> None:
    """Cut off after any bar, the bars before are the same; all of them lie among real ratios."""
    above, below, up, down = (list(column) for column in zip(*minutes, strict=True))
    up[0] = down[0] = 1
    numerator = make("USDT", above, [float(v) for v in up])
    denominator = make("USDC", below, [float(v) for v in down])
    ratio = ratio_candles(numerator, denominator, timeframe)
    seen = np.array(above) / np.array(below)
    assert set(ratio.low) | set(ratio.high) | set(ratio.close) <= set(seen)
    until_ms = int(ratio.close_ms[len(ratio) // 2])
    cut = ratio_candles(
        numerator.between(None, until_ms), denominator.between(None, until_ms), timeframe
    )
    n = len(cut)
    for name in ("time_ms", "open", "high", "low", "close"):
        assert getattr(cut, name).tolist() == getattr(ratio, name)[:n].tolist()
    assert cut.volume == pytest.approx(ratio.volume[:n])


@pytest.mark.parametrize(
    ("symbol", "timeframe", "message"),
    [
        ("ETH/USDC", "1h", "a ratio is of two prices of one thing"),
        ("BTC/USDC", "90s", "must be a multiple of the candles' 1m, is 90s"),
        ("BTC/USDC", "1d", "a whole bar of 1d"),
    ],
)
def test_what_is_no_ratio_is_refused(symbol: str, timeframe: str, message: str) -> None:
    """Two bases, an odd timeframe or too few minutes are one line with the remedy."""
    numerator, other = make("USDT", [100.0] * 90), make("USDC", [100.0] * 90)
    key = SeriesKey("candles", "binanceus", symbol, "1m")
    columns = {n: getattr(other, n) for n in ("time_ms", "open", "high", "low", "close", "volume")}
    with pytest.raises(DataError, match=message) as caught:
        ratio_candles(numerator, Candles(key=key, **columns), timeframe)
    assert "\n" not in str(caught.value)


def test_series_that_never_trade_together_are_refused() -> None:
    """Where no minute has trades on both sides there is no ratio to carry."""
    stale = make("USDC", [100.0] * 90, [0.0] * 90)
    with pytest.raises(DataError, match="share none"):
        ratio_candles(make("USDT", [100.0] * 90), stale, "1h")


def test_the_depeg_of_march_2023(shared_data: Path, tmp_path: Path) -> None:
    """USDC fell to 0.8692 USDT in the hour from 2023-03-11 07:00 and was back a week later."""
    catalog = Catalog(tmp_path)
    import_files([shared_data / "candles" / "binanceus"], catalog)
    sides = [
        catalog.read_candles(SeriesKey("candles", "binanceus", f"BTC/{quote}", "1m"))
        for quote in ("USDT", "USDC")
    ]
    ratio = ratio_candles(sides[0], sides[1], "1h")
    assert len(ratio) == 504
    lowest = int(np.argmin(ratio.low))
    assert ratio.time_ms[lowest] == to_time_ms("2023-03-11T07:00")
    assert ratio.low[lowest] == pytest.approx(0.8692, abs=1e-4)
    calm = ratio.time_ms < to_time_ms("2023-03-10")
    assert ratio.low[calm].min() > 0.996
    assert ratio.high[calm].max() < 1.003
