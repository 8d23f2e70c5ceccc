"""The shipped recipes: all of them can be read, and run where their data are."""

from pathlib import Path

import pytest

import seawall
from seawall.engine.components import find_strategy, make_agent
from seawall.errors import WorkspaceError
from seawall.market.catalog import Catalog
from seawall.market.importer import import_files
from seawall.recipe import SIMULATED, Recipe
from seawall.units import DAY_MS
from seawall.workspace import find_recipe, list_names

RECIPES = {name: Recipe.from_file(find_recipe(name)) for name in list_names("backtests")}
SIMULATED_ONES = [name for name, r in RECIPES.items() if r.market.venue == SIMULATED]
FITTED = ("hazard_demo", "learned_demo")  # seconds each
CRASHES = [name for name in RECIPES if name.startswith("crash_")]
GUARDED = [name for name in RECIPES if name.startswith(("margin_2", "long_5x_"))]
FUTURES = [name for name in RECIPES if name.startswith("futures_2")]
CARRIES = [name for name in RECIPES if name.startswith(("carry_btc", "carry_eth"))]
NEAREST = "assumption: the leverage brackets of ETH/USDT:USDT 2024-10-24 stand for"
BUILT = "assumption: the mark of ETH/USDT:USDT is built from its candles and those of spot"


@pytest.fixture(scope="module")
def catalog(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Return a catalog with the real series that the crash recipes need."""
    catalog = Catalog(tmp_path_factory.mktemp("catalog"))
    folder = shared_data / "candles" / "binance"
    import_files([folder / "ETH-USDT-1h.parquet", folder / "ETH-USDT-5m.parquet"], catalog)
    dollars = [f"candles/binanceus/BTC-{quote}-1m.parquet" for quote in ("USDC", "USDT")]
    others = ["gas/ethereum-avg-1d.parquet", *dollars]
    contracts = ["candles/binance-perp/ETH-USDT-PERP-5m", *_files_of("ETH"), *_files_of("BTC")]
    others += [f"{name}.parquet" for name in (*contracts, "candles/binance/BTC-USDT-1h")]
    import_files([shared_data / name for name in others], catalog)
    return catalog


def _need_extras(recipe: Recipe) -> None:
    """Make the recipe's agent, or skip where it needs an extra that is not installed."""
    try:
        if recipe.agent is not None:
            make_agent(recipe)
    except WorkspaceError as error:
        if "pip install 'seawall[" not in str(error):
            raise
        pytest.skip(str(error))


def _files_of(base: str) -> tuple[str, str, str]:
    """Return the files of a contract: hourly candles and mark, and its funding."""
    contract = f"{base}-USDT-PERP"
    return (
        f"candles/binance-perp/{contract}-1h",
        f"mark/binance-perp/{contract}-1h",
        f"funding/binance/{contract}",
    )


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_names_what_exists_and_says_what_it_is(name: str) -> None:
    """Strategy, agent and all parameters are known; there is a description."""
    recipe = RECIPES[name]
    find_strategy(recipe)
    assert recipe.description
    _need_extras(recipe)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in FITTED else ())
        for name in SIMULATED_ONES
    ],
)
def test_simulated_recipes_run_anywhere_and_are_labelled(name: str) -> None:
    """They need no data; whatever comes of them says "simulated", and trades or guards a loan."""
    _need_extras(RECIPES[name])
    result = seawall.run(RECIPES[name])
    assert "simulated" in result.labels
    assert len(result.fills) > 0 or len(result.loan) > 1
    assert "simulated" in result.quality["source"].iloc[0]


@pytest.mark.parametrize("name", CRASHES)
@pytest.mark.slow
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
@pytest.mark.slow
def test_a_loan_recipe_runs_through_its_crash(name: str, catalog: Catalog) -> None:
    """On real prices: the parts add up, and the untouched loan is never healthier at worst."""
    recipe = RECIPES[name]
    result = seawall.run(recipe, catalog=catalog)
    equity = result.equity["equity"]
    assert sum(result.parts.values()) == pytest.approx(equity.iloc[-1] - equity.iloc[0], rel=1e-9)
    assert (result.loan["untouched_health"] <= result.loan["untouched_health_best"] + 1e-9).all()
    assert ("counterfactual" in " ".join(result.labels)) == ("2020_03" in name)


@pytest.mark.parametrize("name", [*GUARDED, *FUTURES])
@pytest.mark.slow
def test_a_futures_recipe_runs_on_real_prices(name: str, catalog: Catalog) -> None:
    """The parts add up, no equity is negative, all the funding of the window is settled on a mark.

    What stands in for tables and marks of other days is said.
    """
    recipe = RECIPES[name]
    result = seawall.run(recipe, catalog=catalog)
    equity = result.equity["equity"]
    assert sum(result.parts.values()) == pytest.approx(equity.iloc[-1] - equity.iloc[0], abs=1e-6)
    assert len(equity) == 1 + (recipe.market.until_ms - recipe.market.since_ms) / (
        recipe.market.timeframe_ms
    )
    assert equity.min() >= 0
    assert result.perpetual["equity_perpetual"].min() >= 0
    assert result.funding["amount"].sum() == pytest.approx(result.parts["funding"], abs=1e-9)
    is_traded = len(result.fills) > 0 and len(result.margin_liquidations) == 0
    assert is_traded or name in GUARDED
    text = " ".join(result.labels)
    assert (NEAREST in text) == ("2025" not in name)
    assert (BUILT in text) == (name.endswith("5m") or "2025" not in name)


@pytest.mark.parametrize("name", GUARDED)
@pytest.mark.slow
def test_a_guarded_position_begins_as_the_recipe_says(name: str, catalog: Catalog) -> None:
    """Ten ETH at the perpetual's first open, a fifth of it as isolated margin, all else aside."""
    recipe = RECIPES[name].with_settings({"agent.name": "agents.do_nothing"})
    result = seawall.run(recipe, catalog=catalog)
    start, entry = result.perpetual.iloc[0], result.prices["ETH/USDT:USDT"].iloc[0]
    assert start["quantity:ETH/USDT:USDT"] == 10
    assert start["entry:ETH/USDT:USDT"] == entry
    assert start["wallet"] == pytest.approx(10 * entry / 5)
    cash = recipe.account.cash
    assert (result.perpetual["equity_spot"] - cash).abs().max() < 1e-9
    is_hit = len(result.margin_liquidations) > 0
    assert is_hit == (name != "margin_2023_03")
    assert (abs(result.equity["equity"].iloc[-1] - cash) < 1e-9) == is_hit


@pytest.mark.parametrize("name", CARRIES)
def test_a_carry_recipe_runs_on_real_prices(name: str, catalog: Catalog) -> None:
    """Its first three months, March 2020 among them: equal legs, funding, a loss of little.

    All six years are in ``test_real_futures.py``.
    """
    recipe = RECIPES[name].with_settings({"market.until": "2020-04-01"})
    result = seawall.run(recipe, catalog=catalog)
    coin, contract = recipe.market.symbols
    fills = result.fills.groupby("symbol")["quantity"].sum()
    assert fills[coin] == pytest.approx(-fills[contract], rel=1e-2, abs=1e-6)
    assert len(result.margin_liquidations) == 0
    assert result.parts["funding"] > 0
    assert result.metrics.max_drawdown > -0.03
    equity = result.equity["equity"]
    assert sum(result.parts.values()) == pytest.approx(equity.iloc[-1] - equity.iloc[0], abs=1e-6)


def test_there_is_a_recipe_for_every_crash_window() -> None:
    """Eight windows at one hour, three of them at five minutes too; futures have one such."""
    hourly = [name for name in CRASHES if RECIPES[name].market.timeframe == "1h"]
    assert (len(hourly), len(CRASHES)) == (8, 11)
    windows = {name.removeprefix("crash_") for name in hourly} | {"2025_10_5m"}
    assert {name.removeprefix("futures_") for name in FUTURES} == windows
    assert {name for name in GUARDED if name.startswith("margin")} == {
        f"margin_{window}" for window in windows
    }
