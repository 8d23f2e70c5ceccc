"""The shipped recipes: all of them can be read, and run where their data are."""

from pathlib import Path

import pytest

import seawall
from seawall.engine.components import find_strategy, make_agent
from seawall.market.catalog import Catalog
from seawall.market.importer import import_files
from seawall.recipe import SIMULATED, Recipe
from seawall.units import DAY_MS
from seawall.workspace import find_recipe, list_names

RECIPES = {name: Recipe.from_file(find_recipe(name)) for name in list_names("backtests")}
SIMULATED_ONES = [name for name, r in RECIPES.items() if r.market.venue == SIMULATED]
CRASHES = [name for name in RECIPES if name.startswith("crash_")]


@pytest.fixture(scope="module")
def catalog(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Return a catalog with the real series that the crash recipes need."""
    catalog = Catalog(tmp_path_factory.mktemp("catalog"))
    folder = shared_data / "candles" / "binance"
    import_files([folder / "ETH-USDT-1h.parquet", folder / "ETH-USDT-5m.parquet"], catalog)
    dollars = [f"candles/binanceus/BTC-{quote}-1m.parquet" for quote in ("USDC", "USDT")]
    others = ["gas/ethereum-avg-1d.parquet", *dollars]
    import_files([shared_data / name for name in others], catalog)
    return catalog


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_names_what_exists_and_says_what_it_is(name: str) -> None:
    """Strategy, agent and all parameters are known; there is a description."""
    recipe = RECIPES[name]
    find_strategy(recipe)
    if recipe.agent is not None:
        make_agent(recipe)
    assert recipe.description


@pytest.mark.parametrize("name", SIMULATED_ONES)
def test_simulated_recipes_run_anywhere_and_are_labelled(name: str) -> None:
    """They need no data; whatever comes of them says "simulated", and trades or guards a loan."""
    result = seawall.run(RECIPES[name])
    assert "simulated" in result.labels
    assert len(result.fills) > 0 or len(result.loan) > 1
    assert "simulated" in result.quality["source"].iloc[0]


@pytest.mark.parametrize("name", CRASHES)
def test_a_crash_recipe_runs_on_real_prices(name: str, catalog: Catalog) -> None:
    """Thirty days of warm-up, the whole window, and at least one decision."""
    recipe = RECIPES[name]
    result = seawall.run(recipe, catalog=catalog)
    assert recipe.market.warmup_ms == 30 * DAY_MS
    hours = (recipe.market.until_ms - recipe.market.since_ms) / recipe.market.timeframe_ms
    assert len(result.equity) == pytest.approx(hours, rel=0.02)
    assert result.counts["decisions"] > 0
    assert result.labels == ()


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith("loan_20")])
def test_a_loan_recipe_runs_through_its_crash(name: str, catalog: Catalog) -> None:
    """On real prices: the parts add up, and the untouched loan is never healthier at worst."""
    recipe = RECIPES[name]
    result = seawall.run(recipe, catalog=catalog)
    equity = result.equity["equity"]
    assert sum(result.parts.values()) == pytest.approx(equity.iloc[-1] - equity.iloc[0], rel=1e-9)
    assert (result.loan["untouched_health"] <= result.loan["untouched_health_best"] + 1e-9).all()
    assert ("counterfactual" in " ".join(result.labels)) == ("2020_03" in name)


def test_there_is_a_recipe_for_every_crash_window() -> None:
    """Eight windows at one hour, three of them at five minutes too."""
    hourly = [name for name in CRASHES if RECIPES[name].market.timeframe == "1h"]
    assert (len(hourly), len(CRASHES)) == (8, 11)
