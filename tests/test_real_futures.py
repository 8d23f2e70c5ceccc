"""Futures on real prices, marks and funding: by hand, and against computations of their own."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import seawall
from seawall.market.catalog import Catalog
from seawall.market.importer import import_files
from seawall.recipe import Recipe
from seawall.result import Result
from seawall.workspace import find_recipe

ETH = "ETH/USDT:USDT"
CARRIES = ("carry_btc", "carry_btc_always", "carry_eth", "carry_eth_always")
EPOCH, MILLISECOND = pd.Timestamp(0, tz="UTC"), pd.Timedelta(1, "ms")
HOLE = pd.Timestamp("2023-10-02 13:00", tz="UTC"), pd.Timestamp("2024-01-01 00:00", tz="UTC")


@pytest.fixture(scope="module")
def catalog(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Return a catalog with both legs of BTC and ETH, hourly, their funding and their marks."""
    catalog = Catalog(tmp_path_factory.mktemp("catalog"))
    files = ("candles/binance/{}-USDT-1h", "candles/binance-perp/{}-USDT-PERP-1h",
             "mark/binance-perp/{}-USDT-PERP-1h", "funding/binance/{}-USDT-PERP")  # fmt: skip
    names = [file.format(base) for file in files for base in ("BTC", "ETH")]
    import_files([shared_data / f"{name}.parquet" for name in names], catalog)
    return catalog


def read(shared_data: Path, name: str) -> pd.DataFrame:
    """Return a raw file by time, in UTC; nothing of the library has touched it."""
    frame = pd.read_parquet(shared_data / f"{name}.parquet")
    times = frame.pop("timestamp").dt.tz_localize("UTC")
    return frame.set_index(pd.DatetimeIndex(times))


def to_ms(times: pd.DatetimeIndex) -> NDArray[np.int64]:
    """Return UTC milliseconds, int64."""
    return np.asarray((times - EPOCH) // MILLISECOND, dtype=np.int64)


# A long of 10 ETH at 5x ---------------------------------------------------------------------------


def test_the_long_of_may_2021_is_liquidated_in_the_twelfth_hour_of_the_second_day(
    catalog: Catalog, shared_data: Path
) -> None:
    """10 ETH at the perpetual's open of 2021-05-18 00:00, 3,283.23: 32,832.30, margin 6,566.46.

    Four fundings come before the end, on marks that are built (there is no series of that year);
    that of the first open is not its own, it is entered there: -10 x (3,512.54 x 0.0001
    + 3,346.94 x 0.0006146 + 3,376.79 x 0.0001 + 2,985.29 x 0.00053311) = -(3.5125 + 20.5703
    + 3.3768 + 15.9149) = -43.3745, which leaves a margin of 6,523.0855.

    At a notional below 50,000 the first tier holds, 0.4 % and no amount: the balance
    6,523.0855 + 10 (m - 3,283.23) is the maintenance 0.004 x 10 m at
    m = (32,832.30 - 6,523.0855) / 9.96 = 2,641.4874. Before the funding it was 2,637.1325.

    No market traded below 2,818.88 before 11:00 of the 19th. In the hour from 11:00 the perpetual
    fell to 2,432.00 and spot to 2,442.82, at a premium of 1.001007 (the middle of 1.001827 at the
    open, 1.001007 at the close, 1.000796 in the three hours before): the mark's low is
    max(2,432.00, 2,445.28) = 2,445.28. So it is liquidated in that hour, at 2,641.4874, all of it
    in tier 1, for a fee of 1.25 % x 26,414.87 = 330.19. There are 105.66 left to pay it: the
    insurance fund pays 224.53, and nothing remains of the 6,566.46.
    """
    legs = ("candles/binance-perp/ETH-USDT-PERP-1h", "candles/binance/ETH-USDT-1h")
    perpetual, spot = (read(shared_data, name) for name in legs)
    before = slice("2021-05-18 00:00", "2021-05-19 10:00")
    assert perpetual.loc["2021-05-18 00:00", "open"] == 3_283.23
    assert min(perpetual.loc[before, "low"].min(), spot.loc[before, "low"].min()) == 2_818.88

    result = seawall.run("long_5x_2021_05", catalog=catalog)
    (event,) = result.margin_liquidations.itertuples()
    assert str(event.time) == "2021-05-19 12:00:00+00:00"  # that bar's close
    assert (event.tier, event.quantity, event.left) == (1, -10.0, 0.0)
    assert result.funding["amount"].sum() == pytest.approx(-43.3745, abs=1e-4)
    assert len(result.funding) == 4
    assert event.price == pytest.approx(2_641.4874, abs=1e-4)
    assert event.price == pytest.approx((32_832.30 - 6_566.46 + 43.37450101) / 9.96, abs=1e-7)
    assert (event.fee, event.insurance) == pytest.approx((330.1859, 224.5264), abs=1e-4)
    assert result.fills["fee"].iloc[-1] == pytest.approx(330.1859 - 224.5264, abs=1e-4)
    prices = result.perpetual[f"liquidation_price:{ETH}"]
    assert prices.iloc[0] == pytest.approx(2_637.1325, abs=1e-4)
    assert result.perpetual["equity_perpetual"].iloc[0] == pytest.approx(6_566.46)
    assert result.perpetual["equity_perpetual"].iloc[-1] == 0.0
    assert result.other is not None  # the close of 12:00 is the first mark of an hour below it
    assert [str(t) for t in result.other.margin_liquidations["time"]] == [
        "2021-05-19 13:00:00+00:00"
    ]


def test_the_long_of_october_2025_is_liquidated_by_a_mark_that_did_not_stay(
    catalog: Catalog, shared_data: Path
) -> None:
    """10 ETH at the perpetual's open of 2025-10-09 00:00, 4,523.66: 45,236.60, margin 9,047.32.

    Five fundings, on Binance's own marks, that of the first open is not its own:
    -10 x (-4,424.43 x 0.00000226 + 4,313.133 x 0.00005752 + 4,365.892 x 0.00002565
    + 4,321.089 x 0.00002511 - 4,100.48 x 0.00005147) = 0.1000 - 2.4809 - 1.1199 - 1.0850 + 2.1105
    = -2.4753.

    Margin 9,044.8447; the first tier (below 50,000) again: liquidated at
    (45,236.60 - 9,044.8447) / 9.96 = 3,633.7104. The mark's lowest before 21:00 of the 10th is
    3,843.93; in the hour from 21:00 it is 3,425.34, while the perpetual traded at 3,435 and the
    hour closed at a mark of 3,928.43. The fee of 1.25 % x 36,337.10 = 454.21 finds 145.35: the
    insurance fund pays 308.87.

    Read by closes alone, which is the best that the bars allow, it lives: no close of the mark in
    these ten days is below 3,633.71.
    """
    marks = read(shared_data, "mark/binance-perp/ETH-USDT-PERP-1h")
    assert marks.loc["2025-10-09 00:00":"2025-10-10 20:00", "low"].min() > 3_843.92
    assert marks.loc["2025-10-10 21:00", "low"] == pytest.approx(3_425.343, abs=1e-3)
    assert marks.loc["2025-10-09":"2025-10-18", "close"].min() > 3_633.88

    result = seawall.run("long_5x_2025_10", catalog=catalog)
    assert result.labels == ()
    (event,) = result.margin_liquidations.itertuples()
    assert str(event.time) == "2025-10-10 22:00:00+00:00"
    assert (event.tier, event.quantity, event.left) == (1, -10.0, 0.0)
    assert len(result.funding) == 5
    assert result.funding["amount"].sum() == pytest.approx(-2.4753, abs=1e-4)
    assert event.price == pytest.approx(3_633.7104, abs=1e-4)
    assert (event.fee, event.insurance) == pytest.approx((454.2138, 308.8654), abs=1e-4)
    assert result.perpetual["equity_perpetual"].iloc[-1] == 0.0
    assert result.other is not None
    assert len(result.other.margin_liquidations) == 0


# Funding of a carry -------------------------------------------------------------------------------


def settle(
    result: Result, rates: "pd.Series[float]", marks: "pd.Series[float]"
) -> "pd.Series[float]":
    """Return the funding of a run in pandas: what the fills before each stamp left, times -m r.

    Args:
        result: whose fills count: those in bars that opened before the stamp's own bar.
        rates: by stamp, of the file.
        marks: likewise; stamps without one are left out.
    """
    window = result.recipe.market
    rates = rates[pd.Timestamp(window.since, tz="UTC") : pd.Timestamp(window.until, tz="UTC")]
    rates = rates[rates.index < pd.Timestamp(window.until, tz="UTC")]
    fills = result.fills[result.fills["symbol"] == window.symbols[1]]
    held = fills.groupby("bar_ms")["quantity"].sum().cumsum()
    opened = to_ms(pd.DatetimeIndex(rates.index).floor("h"))
    place = np.searchsorted(held.index.to_numpy(), opened, "left") - 1
    quantity = np.where(place >= 0, held.to_numpy()[np.maximum(place, 0)], 0.0)
    return (-pd.Series(quantity, index=rates.index) * marks * rates).dropna()


def read_marks(result: Result) -> "pd.Series[float]":
    """Return the marks that the journal gives, by stamp."""
    entries = result.journal[result.journal["kind"] == "funding"]
    found = [float(re.findall(r"mark ([^,]+)", text)[0]) for text in entries["text"]]
    return pd.Series(found, index=pd.DatetimeIndex(entries["time"]), dtype=np.float64)


def contract_of(name: str) -> str:
    """Return ``"ETH-USDT-PERP"`` for the recipe ``"carry_eth_always"``."""
    return f"{name.split('_')[1].upper()}-USDT-PERP"


@pytest.mark.slow
@pytest.mark.parametrize("name", CARRIES)
def test_six_years_of_funding_are_what_rates_marks_and_fills_say(
    name: str, catalog: Catalog, shared_data: Path
) -> None:
    """Rates of the file, marks of the journal, quantities of the fills: each and all to 1e-9.

    The parts of the account add up, and nothing is liquidated.
    """
    result = seawall.run(name, catalog=catalog)
    rates = read(shared_data, f"funding/binance/{contract_of(name)}")["funding_rate"]
    amounts = settle(result, rates, read_marks(result))
    booked = result.funding.set_index("time")["amount"]
    assert len(booked) > 3_000
    assert (amounts - booked).abs().max() < 1e-9 * booked.abs().max()
    assert amounts.sum() == pytest.approx(booked.sum(), rel=1e-9)
    assert result.parts["funding"] == pytest.approx(booked.sum(), rel=1e-9)
    equity = result.equity["equity"]
    assert sum(result.parts.values()) == pytest.approx(equity.iloc[-1] - equity.iloc[0], rel=1e-9)
    assert len(result.margin_liquidations) == 0
    spot = result.recipe.market.symbols[0]
    (label,) = [one for one in result.labels if one.startswith(f"assumption: {spot} is missing")]
    assert "(the longest 2023-10-02 13:00 .. 2024-01-01 00:00)" in label
    assert label.endswith(f"valued at the close of {spot}:USDT")


@pytest.mark.parametrize("name", ["carry_btc_always", "carry_eth_always"])
def test_a_month_of_funding_without_the_journal(
    name: str, catalog: Catalog, shared_data: Path
) -> None:
    """October 2025: rates and marks from the files, quantities of the fills, nothing else."""
    changes = {
        "market.since": "2025-10-01",
        "market.until": "2025-11-01",
        "perpetual.mark.source": "series",
    }
    recipe = Recipe.from_file(find_recipe(name)).with_settings(changes)
    result = seawall.run(recipe, catalog=catalog)
    rates = read(shared_data, f"funding/binance/{contract_of(name)}")["funding_rate"]
    marks = read(shared_data, f"mark/binance-perp/{contract_of(name)}-1h")["open"]
    amounts = settle(result, rates, marks.reindex(rates.index))
    booked = result.funding.set_index("time")["amount"]
    assert len(amounts) == 93
    assert len(booked) > 90  # the first ones find no position yet
    assert amounts.sum() == pytest.approx(booked.sum(), rel=1e-9)
    assert (amounts.reindex(booked.index) - booked).abs().max() < 1e-9
    assert result.labels == ()


# The hole in spot ---------------------------------------------------------------------------------


def test_in_the_hole_of_2023_the_coin_is_valued_at_the_perpetual(
    catalog: Catalog, shared_data: Path
) -> None:
    """From 2023-10-02 13:00 to 2024-01-01 there is no spot bar of ETH, which rose by a third.

    What is held is worth the perpetual's close, nothing of it trades, and with both legs at one
    price nothing but funding moves the equity. Valued at its last price, the coin would have lost
    a sixth of the equity by the end.
    """
    changes = {"market.since": "2023-09-25", "market.until": "2024-01-08"}
    recipe = Recipe.from_file(find_recipe("carry_eth_always")).with_settings(changes)
    result = seawall.run(recipe, catalog=catalog)
    fills, (start, end) = result.fills, HOLE
    spot = fills[fills["symbol"] == "ETH/USDT"]
    assert not ((spot["time"] >= start) & (spot["time"] < end)).any()
    coin = spot.loc[spot["time"] < start, "quantity"].sum()
    perpetual = read(shared_data, "candles/binance-perp/ETH-USDT-PERP-1h")["close"]
    perpetual.index += pd.Timedelta(1, "h")  # by close, as results are
    inside = slice(start + pd.Timedelta(1, "h"), end)
    value = result.perpetual.loc[inside, "equity_spot"]
    cash = value - coin * perpetual[inside]
    moved = result.transfers[result.transfers["time"].between(start, end)]
    assert len(value) == 2_171
    assert np.ptp(cash) == pytest.approx(moved["amount"].sum(), abs=1e-6)
    rest = result.equity.loc[inside, "equity"] - result.perpetual.loc[inside, "funding"]
    assert np.ptp(rest) < 1e-6
    assert perpetual[end] / perpetual[start] > 1.3
    assert any("2023-10-02 13:00 .. 2024-01-01 00:00" in label for label in result.labels)
    assert result.quality["source"].str.contains("2,171 bars without trades").sum() == 1
