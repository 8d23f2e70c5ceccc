"""Loans on real prices, by hand."""

from pathlib import Path

import pandas as pd
import pytest

import seawall
from seawall.market.catalog import Catalog
from seawall.market.importer import import_files
from seawall.recipe import Recipe


@pytest.fixture(scope="module")
def catalog(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Return a catalog with hourly ETH and the gas of each day."""
    catalog = Catalog(tmp_path_factory.mktemp("catalog"))
    names = ("candles/binance/ETH-USDT-1h.parquet", "gas/ethereum-avg-1d.parquet")
    import_files([shared_data / name for name in names], catalog)
    return catalog


def test_the_loan_of_may_2021_is_liquidated_where_the_price_says_so(
    catalog: Catalog, shared_data: Path
) -> None:
    """Aave v2: threshold 82.5 %, bonus 5 %, half of the debt at once.

    At 2021-05-10 00:00 the last close is 3,923.95. Ten WETH of equity at a health factor of 1.2 are
    10 / (1 - 0.825 / 1.2) = 32 WETH against 32 x 3,923.95 x 0.825 / 1.2 = 86,326.90 USDC: health
    is 1 at 86,326.90 / (32 x 0.825) = 3,269.96. In a week, at 3.6 % a year for USDC and 1.6 % for
    WETH, the debt grows by 0.07 %, the collateral by 0.03 %: it is still within 0.1 % of that.

    The first hour that trades below is the one from 2021-05-17 03:00 (low 3,212.00; those before
    stay above 3,363). The oracle reports in steps of at most 0.5 %, so it is liquidated between
    3,253 and 3,274, for half of the debt, 43,193 USDC; a liquidator gets 5 % more in WETH.
    """
    candles = pd.read_parquet(shared_data / "candles/binance/ETH-USDT-1h.parquet")
    bars = candles.set_index("timestamp")
    assert bars.loc["2021-05-09 23:00", "close"] == 3_923.95
    window = bars.loc["2021-05-10":"2021-05-29"]
    first_below = window.index[window["low"] < 3_269.96][0]
    assert str(first_below) == "2021-05-17 03:00:00"

    recipe = Recipe.from_file(seawall.find_recipe("loan_2021_05_h120"))
    result = seawall.run(recipe.with_settings({"agent.name": "agents.do_nothing"}), catalog=catalog)
    start, first = result.loan.iloc[0], result.liquidations.iloc[0]
    assert start["collateral_WETH"] == pytest.approx(32.0)
    assert start["debt_USDC"] == pytest.approx(86_326.90)
    assert str(first["time"]) == "2021-05-17 04:00:00+00:00"  # that bar's close
    assert 3_253 < first["price"] < 3_274
    assert first["repaid"] == pytest.approx(43_193, rel=1e-3)
    assert first["seized"] * first["price"] == pytest.approx(1.05 * first["repaid"], rel=1e-9)


def test_the_loan_of_march_2023_lives_because_the_price_never_comes_there(
    catalog: Catalog,
) -> None:
    """At 2.2x the debt is 54.5 % of the collateral: ETH would have to fall by a third."""
    recipe = Recipe.from_file(seawall.find_recipe("loan_2023_03"))
    settings = {"agent.name": "agents.do_nothing", "loan.prices": {"USDC": 1.0}}
    result = seawall.run(recipe.with_settings(settings), catalog=catalog)
    assert len(result.liquidations) == 0
    lows = result.loan["oracle_low"]
    assert lows.min() > result.loan["liquidation_price"].max()
