"""Hindsight of futures positions in runs of the engine: nobody is above it, and what it reads."""

import math
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from margin_runs import MARGIN_AGENTS, Follower, RandomGuard, margin_recipe, margin_world, run_guard

from seawall.analysis.bounds import find_bests, judge_any
from seawall.analysis.compare import compare
from seawall.analysis.contender import to_contender
from seawall.analysis.judgement import MarginProtection, equity_of
from seawall.analysis.league import judge_alone, league
from seawall.analysis.league_table import BOUNDS
from seawall.analysis.margin_hindsight import MarginPath, margin_hindsight
from seawall.analysis.margin_hindsight_world import to_margin_path, to_margin_start
from seawall.engine.run import run_in
from seawall.engine.world import build_world
from seawall.errors import RecipeError
from seawall.market.catalog import Catalog
from seawall.market.importer import import_files
from seawall.recipe import Recipe
from seawall.workspace import find_recipe, list_names

NAMES = ("long", "thin", "short")
MODES = ("isolated", "cross")
PLACES = tuple(product(NAMES, MODES))
RECIPES = [name for name in list_names("backtests") if name.startswith("margin_")]


@pytest.mark.parametrize(("name", "mode"), PLACES)
@pytest.mark.slow
def test_no_shipped_guard_does_better(name: str, mode: str) -> None:
    """Bars resolved either way; the parts of each difference add up on the way."""
    untouched = run_guard(name, "do_nothing", mode)
    bests = find_bests(margin_world(name, mode), margin_recipe(name, mode), untouched)
    for agent in MARGIN_AGENTS:
        result = run_guard(name, agent, mode)
        found = judge_any(result, untouched, bests)
        assert isinstance(found.own, MarginProtection)
        for bound, one in zip(BOUNDS, (result, result.other or result), strict=True):
            assert equity_of(one)[-1] <= bests[bound].final_equity_usd * (1 + 1e-9)


@pytest.mark.parametrize(("name", "mode"), PLACES)
@pytest.mark.slow
def test_no_random_guard_does_better(name: str, mode: str) -> None:
    """Orders, leverage and margin at random: closed, opened again, liquidated."""
    untouched = run_guard(name, "do_nothing", mode)
    world, recipe = margin_world(name, mode), margin_recipe(name, mode)
    bests = find_bests(world, recipe, untouched)
    n_traded = 0
    for seed in range(4):
        result = run_in(world, recipe, agent=RandomGuard(seed))
        n_traded += len(result.fills)
        for bound, one in zip(BOUNDS, (result, result.other or result), strict=True):
            assert equity_of(one)[-1] <= bests[bound].final_equity_usd * (1 + 1e-9)
    assert n_traded > 20


def test_who_knows_the_best_policy_comes_to_the_bound_and_no_further() -> None:
    """Done by the engine from the second open on, it ends where hindsight that waits a bar does.

    Nothing is short of margin, so that no state is dropped and none stands for another.
    """
    untouched = run_guard("rich", "do_nothing", "cross")
    world, recipe = margin_world("rich", "cross"), margin_recipe("rich", "cross")
    path, start = to_margin_path(world, recipe, "worst"), to_margin_start(recipe, untouched)
    later = MarginPath(**{k: v if k == "tables" else v[1:] for k, v in vars(path).items()})
    paid = start.quantity * float(path.funding[0])
    best = margin_hindsight(later, replace(start, cash=start.cash - paid))
    result = run_in(world, recipe, agent=Follower(best.quantity.tolist()))
    assert best.n_rebalances > 50
    assert equity_of(result)[2:] == pytest.approx(best.curve[1:], rel=1e-9)
    assert -result.parts["funding"] == pytest.approx(best.funding_usd + paid)
    assert best.final_equity_usd <= margin_hindsight(path, start).final_equity_usd


def test_some_guard_acts_and_is_liquidated_otherwise() -> None:
    """The windows are such that protection matters: early guards live where others are lost."""
    lost, saved = run_guard("long", "do_nothing"), run_guard("long", MARGIN_AGENTS[2])
    assert len(lost.margin_liquidations)
    assert not len(saved.margin_liquidations)
    assert len(saved.fills)
    assert len(run_guard("long", MARGIN_AGENTS[4]).transfers)


@pytest.mark.parametrize("name", NAMES)
def test_to_hold_it_to_the_end_is_a_policy_of_its_own(name: str) -> None:
    """Played by hand from what is read of the world, an untouched position ends where it did."""
    result = run_guard(name, "do_nothing")
    path = to_margin_path(margin_world(name), margin_recipe(name), "worst")
    start = to_margin_start(margin_recipe(name), result)
    n_alive = len(path.opens)
    if len(result.margin_liquidations):
        struck = result.margin_liquidations["time"].iloc[0]
        n_alive = int(np.searchsorted(result.equity.index, struck)) - 1
    paid = np.cumsum(path.funding * start.quantity)[:n_alive]
    held = start.cash - paid + start.quantity * path.mark_closes[:n_alive]
    assert held == pytest.approx(equity_of(result)[1 : n_alive + 1])
    assert start.cash + start.quantity * path.mark_opens[0] == pytest.approx(equity_of(result)[0])


def test_a_judgement_alone_is_that_of_runs_and_bounds_apart() -> None:
    """It runs do-nothing and seeks the bound by itself."""
    result, untouched = run_guard("long", MARGIN_AGENTS[2]), run_guard("long", "do_nothing")
    world, recipe = margin_world("long"), margin_recipe("long")
    bests = find_bests(world, recipe, untouched, n_states=41)
    found = judge_any(result, untouched, bests)
    assert judge_alone(result, recipe, world, n_states=41) == found
    assert found.price.hindsight_usd == bests["worst"].final_equity_usd
    assert 0 < found.price.share_of_possible < 1


def test_a_league_of_margin_guards() -> None:
    """Two windows, do-nothing and the bound beside the agents; loans are another league."""
    recipes = [margin_recipe("long"), margin_recipe("thin")]
    played = league(recipes, [MARGIN_AGENTS[2], MARGIN_AGENTS[4]], n_states=41)
    assert played.errors == ()
    assert (played.kind, played.money) == ("margin", "USDT")
    assert played.agents[-1] == "hindsight"
    assert played.to_table()[0][-1] == "max margin ratio"
    cell = played.cell("long_isolated", MARGIN_AGENTS[2])
    assert cell is not None
    result = run_guard("long", MARGIN_AGENTS[2])
    assert cell["final_equity_usd"] == equity_of(result)[-1]
    assert cell["worst_margin_ratio"] == result.perpetual["worst_margin_ratio"].max()


@pytest.fixture(scope="module")
def catalog(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Return a catalog with the real series that the recipes need."""
    catalog = Catalog(tmp_path_factory.mktemp("catalog"))
    names = (
        "candles/binance/ETH-USDT-1h.parquet", "candles/binance/ETH-USDT-5m.parquet",
        "candles/binance-perp/ETH-USDT-PERP-1h.parquet",
        "candles/binance-perp/ETH-USDT-PERP-5m.parquet",
        "mark/binance-perp/ETH-USDT-PERP-1h.parquet", "funding/binance/ETH-USDT-PERP.parquet",
    )  # fmt: skip
    import_files([shared_data / name for name in names], catalog)
    return catalog


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_no_shipped_guard_beats_hindsight_in_a_shipped_recipe(name: str, catalog: Catalog) -> None:
    """Bars resolved either way; twice the states change the bound by less than 1 %."""
    recipe = Recipe.from_file(find_recipe(name))
    world = build_world(recipe, catalog, offline=True)
    untouched = run_in(world, to_contender("do_nothing").recipe(recipe))
    bests = find_bests(world, recipe, untouched)
    fine = find_bests(world, recipe, untouched, n_states=201)
    for bound in BOUNDS:
        usual = bests[bound].final_equity_usd
        assert fine[bound].final_equity_usd == pytest.approx(usual, rel=0.01)
    for agent in MARGIN_AGENTS:
        result = run_in(world, to_contender(agent).recipe(recipe))
        for bound, one in zip(BOUNDS, (result, result.other or result), strict=True):
            assert equity_of(one)[-1] <= bests[bound].final_equity_usd * (1 + 1e-9)


def test_a_comparison_of_traders_has_no_random_twins(catalog_of_none: Catalog) -> None:
    """They would be long and without leverage; a guard is sent to the league."""
    values = margin_recipe("long").to_dict()
    section = values["perpetual"]
    assert isinstance(section, dict)
    trading = Recipe.from_dict(
        {
            **values,
            "strategy": {"name": "strategies.futures_trading"},
            "perpetual": {"brackets": section["brackets"]},
            "agent": {"name": "agents.sma_cross"},
        }
    )
    found = compare(trading, ["sma_cross"], catalog=catalog_of_none)
    assert all(math.isnan(one.percentile) for one in found.standings)
    with pytest.raises(RecipeError, match=r"has a position: use seawall\.league"):
        compare(margin_recipe("long"), [], catalog=catalog_of_none)


@pytest.fixture
def catalog_of_none(tmp_path: Path) -> Catalog:
    """Return an empty catalog: simulated markets need none."""
    return Catalog(tmp_path)


def test_a_league_is_of_one_kind() -> None:
    """A loan and a futures position are not compared."""
    with pytest.raises(RecipeError, match="another kind"):
        league(["loan_demo", margin_recipe("long")], [], catalog=Catalog())
