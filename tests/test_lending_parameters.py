"""Dated parameters of lending markets: what held when, and what is refused."""

import csv
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.errors import RecipeError
from seawall.units import to_time_ms
from seawall.venues.lending.comet_parameters import CUSDC_V3
from seawall.venues.lending.fixed import WAD
from seawall.venues.lending.parameters import (
    RAY_PER_BPS,
    AssetParameters,
    Market,
    bonuses,
    emode_at,
    gaps,
    history,
    morpho_at,
    parameters_at,
    starts_ms,
)

LISTED: dict[Market, tuple[str, ...]] = {
    "aave-v2": ("WETH", "wstETH", "WBTC", "USDC", "USDT", "DAI", "LINK"),
    "aave-v3": ("WETH", "wstETH", "WBTC", "USDC", "USDT", "DAI", "LINK"),
    "compound-v3-usdc": ("USDC", "WETH", "WBTC", "LINK", "UNI", "COMP"),
}
EVERY = [(market, asset) for market, assets in LISTED.items() for asset in assets]


def at(market: Market, asset: str, day: str) -> AssetParameters:
    """Return what held at the start of a day."""
    return parameters_at(market, asset, to_time_ms(day))


# protocols.md, table (i), 2023-10-31: LTV, LT, bonus, RF, LPF, base, s1, s2, Uopt in percent.
OCTOBER_2023 = {
    "WETH": (80.5, 83, 5, 15, 10, 0, 2.8, 80, 80),
    "wstETH": (78.5, 81, 6, 15, 10, 0.25, 4.5, 80, 45),
    "WBTC": (73, 78, 5, 20, 10, 0, 4, 300, 45),
    "USDC": (77, 80, 4.5, 10, 20, 0, 3.5, 60, 90),
    "USDT": (74, 76, 4.5, 10, 10, 0, 4, 75, 80),
    "DAI": (77, 80, 5, 10, 20, 0, 5, 75, 90),
    "LINK": (53, 68, 7, 20, 10, 0, 7, 300, 45),
}


@pytest.mark.parametrize("asset", OCTOBER_2023)
def test_the_state_of_october_2023_is_the_protocols_report(asset: str) -> None:
    """The rows gathered from single proposals come to the full report of 2023-10-31."""
    row = at("aave-v3", asset, "2023-10-31")
    found = (
        row.ltv_bps,
        row.threshold_bps,
        row.bonus_bps - 10_000,
        row.reserve_factor_bps,
        row.protocol_fee_bps,
        row.base_bps,
        row.slope1_bps,
        row.slope2_bps,
        row.optimal_bps,
    )
    assert found == tuple(round(value * 100) for value in OCTOBER_2023[asset])


def read_reserve(shared_data: Path, asset: str) -> dict[str, str]:
    """Return one reserve of the chain's snapshot of 2025-03-19, integers as text."""
    path = shared_data / "defi" / "aave-v3" / "ethereum-reserves-2025-03-19.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return next(row for row in csv.DictReader(file) if row["symbol"] == asset)


@pytest.mark.parametrize("asset", LISTED["aave-v3"])
def test_the_state_of_march_2025_is_the_chains(shared_data: Path, asset: str) -> None:
    """Every number of the snapshot of 2025-03-19 is in the table, the rate curve too."""
    chain = read_reserve(shared_data, asset)
    row = at("aave-v3", asset, "2025-03-19T10:18")
    expected = {
        "baseLTVasCollateral": row.ltv_bps,
        "reserveLiquidationThreshold": row.threshold_bps,
        "reserveLiquidationBonus": row.bonus_bps,
        "reserveFactor": row.reserve_factor_bps,
        "decimals": row.decimals,
        "baseVariableBorrowRate": row.base_bps * RAY_PER_BPS,
        "variableRateSlope1": row.slope1_bps * RAY_PER_BPS,
        "variableRateSlope2": row.slope2_bps * RAY_PER_BPS,
        "optimalUsageRatio": row.optimal_bps * RAY_PER_BPS,
    }
    assert {name: int(chain[name]) for name in expected} == expected


@pytest.mark.parametrize("asset", LISTED["aave-v3"])
def test_later_rows_are_what_the_daily_snapshots_show(shared_data: Path, asset: str) -> None:
    """LTV, threshold, bonus and reserve factor agree on every day from 2025-07-22 on."""
    days = pd.read_parquet(shared_data / "defi" / "aave-v3" / "reserves-daily.parquet")
    days = days[(days["network"] == "ethereum") & (days["symbol"] == asset)]
    times = np.asarray(days["timestamp"].dt.as_unit("ms").astype("int64"), dtype=np.int64)
    rows = [parameters_at("aave-v3", asset, int(time)) for time in times]
    assert [row.ltv for row in rows] == days["ltv"].round(4).tolist()
    assert [row.threshold for row in rows] == days["liquidation_threshold"].round(4).tolist()
    bonus = (1 + days["liquidation_bonus"]).round(4)
    assert [row.bonus for row in rows] == bonus.tolist()
    assert [row.reserve_factor for row in rows] == days["reserve_factor"].round(4).tolist()
    assert [row.is_frozen for row in rows] == days["frozen"].tolist()
    assert [row.is_borrowable for row in rows] == days["borrowing_enabled"].tolist()


@pytest.mark.parametrize("asset", ["USDC", "USDT", "DAI", "WETH"])
def test_the_curve_gives_the_rates_of_the_snapshots(shared_data: Path, asset: str) -> None:
    """Below the kink the curve gives the borrow rate within 0.5 % on 95 % of the days.

    The rest are days between a change and the first snapshot that shows it. WETH's curve is not
    resolved from 2026-04-19 on, see ``gaps``.
    """
    days = pd.read_parquet(shared_data / "defi" / "aave-v3" / "reserves-daily.parquet")
    days = days[(days["network"] == "ethereum") & (days["symbol"] == asset)]
    if asset == "WETH":
        days = days[days["timestamp"] < pd.Timestamp("2026-04-19")]
    errors: list[float] = []
    for day in days.itertuples():
        row = parameters_at("aave-v3", asset, int(pd.Timestamp(day.timestamp).timestamp() * 1000))  # type: ignore[arg-type]
        rate = float(day.variable_borrow_rate)  # type: ignore[arg-type]
        utilisation = float(day.liquidity_rate) / (rate * (1 - row.reserve_factor))  # type: ignore[arg-type]
        if utilisation < row.optimal:
            errors.append(abs(row.borrow_rate(utilisation) / rate - 1))
    assert len(errors) > 100
    assert np.mean(np.array(errors) < 0.005) > 0.95


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2021-05-19", (8000, 8250, 10500)),
        ("2021-09-14", (8000, 8500, 10500)),
        ("2022-06-13", (8250, 8500, 10500)),
        ("2022-11-09", (8250, 8600, 10500)),
    ],
)
def test_ether_in_the_crashes_of_aave_v2(day: str, expected: tuple[int, int, int]) -> None:
    """LTV, threshold and bonus of WETH on the days of the crashes."""
    row = at("aave-v2", "WETH", day)
    assert (row.ltv_bps, row.threshold_bps, row.bonus_bps) == expected


def test_bonuses_changed_as_governance_said() -> None:
    """LINK, UNI and WBTC lost a third of their bonus and more in the autumn of 2021."""
    assert [bonus.bonus_bps for bonus in bonuses("aave-v2", "WBTC")][:4] == [
        11000, 10900, 10750, 10650,
    ]  # fmt: skip
    assert [bonus.bonus_bps for bonus in bonuses("aave-v2", "UNI")] == [11000, 10800, 10750, 10900]
    assert at("aave-v2", "LINK", "2021-10-01").bonus == 1.10
    assert at("aave-v2", "LINK", "2021-12-04").bonus == 1.075
    assert bonuses("aave-v2", "DOGE") == ()


@given(st.sampled_from(EVERY), st.integers(0, 6 * 365 * 86_400_000))
def test_a_row_holds_from_its_day_to_the_next(listed: tuple[Market, str], after_ms: int) -> None:
    """The row of a time is the one whose span contains it, and the spans have no holes."""
    market, asset = listed
    rows = history(market, asset)
    time_ms = rows[0].since_ms + after_ms
    row = parameters_at(market, asset, time_ms)
    assert row.since_ms <= time_ms
    assert row.until_ms is None or time_ms < row.until_ms
    assert [r.until_ms for r in rows[:-1]] == [r.since_ms for r in rows[1:]]
    assert rows[-1].until_ms is None


@pytest.mark.parametrize(("market", "asset"), EVERY)
def test_every_row_makes_sense(market: Market, asset: str) -> None:
    """Loans are allowed below the threshold, a liquidation is paid for by it, and sources named."""
    for row in history(market, asset):
        assert row.ltv_bps <= row.threshold_bps
        assert row.threshold_bps * row.bonus_bps <= 10_000 * 10_000
        assert 0 < row.optimal_bps < 10_000
        assert row.source
        assert row.since_ms >= starts_ms(market)
        assert row.is_collateral == (row.threshold_bps > 0)


@given(st.sampled_from(EVERY), st.floats(0.0, 1.0))
def test_the_rate_curve_rises_and_suppliers_get_less(
    listed: tuple[Market, str], utilisation: float
) -> None:
    """The curve never falls, ends at base plus both slopes, and pays suppliers what is left."""
    row = history(*listed)[-1]
    rate = row.borrow_rate(utilisation)
    assert row.base <= rate <= row.base + row.slope1 + row.slope2 + 1e-12
    assert row.borrow_rate(1.0) == pytest.approx(row.base + row.slope1 + row.slope2)
    assert row.supply_rate(utilisation) <= rate * utilisation


def test_staked_ether_of_aave_v2_stands_for_the_wrapped_one() -> None:
    """Aave v2 lists stETH: the row says so, and its date is that of the listing."""
    row = at("aave-v2", "wstETH", "2022-06-13")
    assert row.asset == "stETH"
    assert (row.ltv_bps, row.threshold_bps, row.bonus_bps) == (6900, 8100, 10750)
    with pytest.raises(RecipeError, match="wstETH in Aave v2 is listed since 2022-03-01"):
        at("aave-v2", "wstETH", "2021-05-19")


def test_the_efficiency_mode_was_raised_once() -> None:
    """90 / 93 / 1 % at the launch of v3, 93 / 95 / 1 % since proposal 11."""
    before = emode_at("aave-v3", 1, to_time_ms("2023-10-31"))
    after = emode_at("aave-v3", 1, to_time_ms("2024-08-05"))
    assert (before.ltv, before.threshold, before.bonus) == (0.90, 0.93, 1.01)
    assert (after.ltv, after.threshold, after.bonus) == (0.93, 0.95, 1.01)
    assert after.assets == ("WETH", "wstETH")
    with pytest.raises(RecipeError, match="an e-mode of Aave v2 is one of: none, is 1"):
        emode_at("aave-v2", 1, to_time_ms("2022-01-01"))


def test_compound_is_what_its_specification_says() -> None:
    """The table and the specification's launch configuration of cUSDCv3 agree, the curve too."""
    for asset, listed in CUSDC_V3.collaterals.items():
        row = at("compound-v3-usdc", asset, "2023-03-11")
        assert row.ltv_bps * WAD // 10_000 == listed.borrow_factor
        assert row.threshold_bps * WAD // 10_000 == listed.liquidate_factor
        assert row.liquidation_factor_bps * WAD // 10_000 == listed.liquidation_factor
        assert row.decimals == listed.decimals
    usdc = at("compound-v3-usdc", "USDC", "2023-03-11")
    for utilisation in (0.0, 0.4, 0.8, 0.9, 1.0):
        per_second = CUSDC_V3.borrow_curve.rate(round(utilisation * WAD))
        assert usdc.borrow_rate(utilisation) == pytest.approx(per_second * 31_536_000 / WAD)


def test_morpho_is_a_pair_and_a_limit() -> None:
    """WETH/USDC at 86 % pays liquidators 1 / (1 - 0.3 * 0.14) = 1.04384."""
    market = morpho_at("WETH", "USDC", to_time_ms("2024-08-05"))
    assert market.lltv == 0.86
    assert market.incentive == pytest.approx(1.04384, abs=1e-5)
    assert morpho_at("wstETH", "WETH", to_time_ms("2024-08-05")).lltv == 0.945
    with pytest.raises(RecipeError, match=r"is wETH/USDC \(did you mean WETH/USDC\?\)"):
        morpho_at("wETH", "USDC", to_time_ms("2024-08-05"))
    with pytest.raises(RecipeError, match="Morpho Blue exists since"):
        morpho_at("WETH", "USDC", to_time_ms("2022-11-09"))


@pytest.mark.parametrize(
    ("market", "asset", "day", "message"),
    [
        ("aave-v2", "WETH", "2020-03-12", r"Aave v2 exists since 2020-12-03 .* set rules = \"v2\""),
        ("aave-v3", "WETH", "2022-06-13", "Aave v3 exists since 2023-01-27 .* later window"),
        ("aave-v2", "wEHT", "2022-06-13", r"is 'wEHT' \(did you mean WETH\?\)"),
        ("aave-v3", "DOGE", "2024-06-13", "one of WETH, wstETH, WBTC, USDC, USDT, DAI, LINK"),
        ("aave-v3", "USDT", "2023-02-01", "USDT in Aave v3 is listed since 2023-02-13"),
        ("avae-v3", "WETH", "2024-02-01", r"is 'avae-v3' \(did you mean aave-v3\?\)"),
    ],
)
def test_what_the_table_does_not_hold_is_refused(
    market: Market, asset: str, day: str, message: str
) -> None:
    """Each refusal is one line: the rule, the value, and what to do or the nearest name."""
    with pytest.raises(RecipeError, match=message) as caught:
        at(market, asset, day)
    assert "\n" not in str(caught.value)


def test_what_was_not_found_is_said() -> None:
    """Every market says which of its dates are missing."""
    for market in get_args(Market):
        assert len(gaps(market)) > 40


def test_nothing_is_read_at_import() -> None:
    """The table is parsed at the first lookup, not when the module is imported."""
    code = (
        "from seawall.venues.lending import parameters as p\n"
        "assert p._table.cache_info().currsize == 0\n"
        "p.starts_ms('aave-v2')\n"
        "assert p._table.cache_info().currsize == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
