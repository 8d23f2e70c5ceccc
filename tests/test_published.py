"""Numbers that others have published, through the normal engine and the shipped recipes."""

from pathlib import Path

import pytest

import seawall
from seawall.market.catalog import Catalog
from seawall.market.importer import import_files
from seawall.recipe import Recipe
from seawall.workspace import find_recipe

WINDOWS = {
    "bull": ("2023-10-01", "2023-12-02"),
    "sideways": ("2023-06-17", "2023-08-26"),
    "bear": ("2023-04-12", "2023-06-17"),
}
CRYPTOTRADE = {
    "buy_and_hold": (39.66, -0.83, -15.61),
    "sma_15": (22.58, 3.65, -21.74),
    "sma_15_30": (38.53, -3.14, -7.68),
    "macd_inverted": (13.57, -6.71, -9.51),
    "bollinger": (2.97, -3.19, -1.17),
    "macd": (17.84, 3.00, -9.69),
}


@pytest.fixture(scope="module")
def catalog(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Return a catalog with the two series that the published numbers are about."""
    catalog = Catalog(tmp_path_factory.mktemp("catalog"))
    files = ["coinmarketcap/BTC-USD-1d.parquet", "binance/BTC-USDT-5m.parquet"]
    import_files([shared_data / "candles" / file for file in files], catalog)
    return catalog


@pytest.mark.parametrize(("place", "window"), list(enumerate(WINDOWS)), ids=list(WINDOWS))
@pytest.mark.parametrize("name", CRYPTOTRADE)
def test_the_cryptotrade_baselines(name: str, place: int, window: str, catalog: Catalog) -> None:
    """Total returns in per cent to 0.01 points: CryptoTrade (EMNLP 2024), BTC columns."""
    since, until = WINDOWS[window]
    recipe = Recipe.from_file(find_recipe(f"cryptotrade_{name}"))
    recipe = recipe.with_settings({"market.since": since, "market.until": until})
    result = seawall.run(recipe, catalog=catalog)
    assert 100 * result.metrics.total_return == pytest.approx(CRYPTOTRADE[name][place], abs=0.01)
    assert any(label.startswith("optimistic") for label in result.labels)


@pytest.mark.slow
def test_the_sma_cross_on_five_minute_bars(catalog: Catalog) -> None:
    """SMA 20/100 on BTC, 0.1 % fee: 5,831.0898 from 100,000 with 4,623 orders, long at the end."""
    result = seawall.run(Recipe.from_file(find_recipe("published_sma_cross_5m")), catalog=catalog)
    assert result.equity["equity"].iloc[-1] == pytest.approx(5_831.0898, rel=1e-6)
    assert len(result.fills) == result.counts["ordered"] == 4_623
    assert result.equity["exposure"].iloc[-1] == pytest.approx(1.0)
