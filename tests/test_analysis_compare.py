"""Agents on one path: what always runs beside them, what fails alone, and what luck would do."""

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_result import make_comparison

from seawall.analysis import chance
from seawall.analysis.chance import Match, match, play
from seawall.analysis.compare import Advance, compare, count_above
from seawall.analysis.comparison import COMPARISON_FILE, Comparison, Pair, Standing
from seawall.analysis.report import write_report
from seawall.engine.run import run
from seawall.engine.world import World, build_world
from seawall.errors import RecipeError, ResultError, SeawallError, WorkspaceError
from seawall.market.catalog import Catalog
from seawall.recipe import Recipe
from seawall.result import Result

compare_module = import_module("seawall.analysis.compare")  # the function hides it elsewhere
N_RANDOM = 30
FAILS = 'rebalance{weights={"BTC/USDT" = 0.5}}'  # finds out at its first bar that there is none
FAILED = "rebalance{weights={'BTC/USDT': 0.5}}"


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    """Return 25 simulated days of hours."""
    market = {
        "venue": "simulated",
        "symbols": ["ETH/USDT"],
        "timeframe": "1h",
        "since": "2024-01-01",
        "until": "2024-01-26",
        "warmup": "5d",
    }
    agent = {"name": "agents.sma_cross", "fast": 5, "slow": 20}
    return Recipe.from_dict({"name": "small", "market": market, "agent": agent})


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Return an empty catalog: simulated markets need none."""
    return Catalog(tmp_path_factory.mktemp("catalog"))


@pytest.fixture(scope="module")
def world(recipe: Recipe, catalog: Catalog) -> World:
    """Return the market of the recipe."""
    return build_world(recipe, catalog, offline=True)


@pytest.fixture(scope="module")
def compared(recipe: Recipe, catalog: Catalog) -> Comparison:
    """Return the comparison of one agent, itself with other settings, and one that fails."""
    names = ["sma_cross", "agents.sma_cross{fast=3}", FAILS, "sma_cross"]
    return compare(recipe, names, catalog=catalog, n_random=N_RANDOM)


def _standing(comparison: Comparison, name: str) -> Standing:
    return next(s for s in comparison.standings if s.name == name)


def test_cash_and_buy_and_hold_always_run(compared: Comparison) -> None:
    """Nobody asked for them; an agent named twice runs once."""
    names = sorted(s.name for s in compared.standings)
    shown = ["buy_and_hold", "cash", FAILED, "sma_cross", "sma_cross{fast=3}"]
    assert names == shown
    cash = _standing(compared, "cash").metrics
    assert cash is not None
    assert cash.total_return == 0.0


def test_an_agent_that_fails_does_not_stop_the_others(compared: Comparison) -> None:
    """Its row is the last and says why; the others have numbers."""
    *good, last = compared.standings
    assert all(s.metrics is not None and s.rank >= 1 for s in good)
    assert (last.name, last.rank) == (FAILED, 0)
    assert "names 'BTC/USDT'" in last.error
    assert sum("failed:" in note for note in compared.notes) == 1


@pytest.mark.parametrize(
    ("agent", "kind", "message"),
    [
        ("sma_cros", WorkspaceError, "did you mean 'sma_cross'"),
        ("macd{fats=1}", RecipeError, "did you mean 'fast'"),
        ("macd{fast=-1}", RecipeError, "agent.fast must be"),
    ],
)
def test_a_wrong_name_or_parameter_is_said_before_anything_runs(
    recipe: Recipe, agent: str, kind: type[SeawallError], message: str
) -> None:
    """A typing error costs no run: not even the market is made."""

    def fail(*_: object) -> None:
        pytest.fail("something ran")

    with pytest.raises(kind, match=message):
        compare(recipe, ["sma_cross", agent], n_random=2, progress=fail)


def test_an_agent_that_ends_the_process_fails_alone(
    recipe: Recipe, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``sys.exit()`` in an agent is written into its row."""
    run_and_count = compare_module.run_and_count

    def run_or_exit(world: World, own: Recipe, *, progress: Advance | None) -> Result:
        if own.agent is not None and own.agent.name == "agents.sma_cross":
            raise SystemExit("enough")
        result: Result = run_and_count(world, own, progress=progress)
        return result

    monkeypatch.setattr(compare_module, "run_and_count", run_or_exit)
    found = compare(recipe, ["sma_cross"], catalog=catalog, n_random=2)
    assert _standing(found, "sma_cross").error == "SystemExit: enough"


def test_all_agents_saw_one_path(compared: Comparison, recipe: Recipe, catalog: Catalog) -> None:
    """The equity of an agent in a comparison is that of its own run, to the bit."""
    alone = run(recipe, catalog=catalog)
    assert compared.equity["sma_cross"].tolist() == alone.equity["equity"].tolist()
    assert compared.labels == ("simulated",)


def test_every_two_agents_are_compared_once(compared: Comparison) -> None:
    """Four agents with a result make six pairs; the one that ended higher comes first."""
    assert len(compared.pairs) == 6
    assert all(pair.difference.estimate >= 0 for pair in compared.pairs)
    one = compared.against("cash", "buy_and_hold")
    other = compared.against("buy_and_hold", "cash")
    assert one is not None
    assert other == one.reversed()
    assert compared.against("cash", FAILED) is None


def test_a_rank_counts_those_that_are_really_better() -> None:
    """Surely a > c, perhaps a > b and b > c: the ranks of a, b and c are 1, 1 and 2."""
    sure = make_comparison(100).pairs[0].difference
    sure = replace(sure, estimate=0.1, low=0.05, high=0.2)
    perhaps = replace(sure, low=-0.05)
    pairs = [
        Pair(first="a", second="c", difference=sure),
        Pair(first="a", second="b", difference=perhaps),
        Pair(first="b", second="c", difference=perhaps),
    ]
    assert [1 + count_above(name, pairs) for name in "abc"] == [1, 1, 2]


def test_numbers_do_not_depend_on_who_else_runs(
    compared: Comparison, recipe: Recipe, catalog: Catalog
) -> None:
    """Percentile and intervals of an agent are the same with fewer agents beside it."""
    fewer = compare(recipe, ["sma_cross"], catalog=catalog, n_random=N_RANDOM)
    assert _standing(fewer, "sma_cross") == _standing(compared, "sma_cross")
    assert fewer.against("sma_cross", "cash") == compared.against("sma_cross", "cash")
    assert fewer.random_returns["sma_cross"].tolist() == (
        compared.random_returns["sma_cross"].tolist()
    )


def test_random_agents_trade_and_hold_as_the_agent_does(compared: Comparison) -> None:
    """Turnover and exposure of the matched ones are within a quarter of the agent's."""
    for name in ("sma_cross", "sma_cross{fast=3}"):
        standing = _standing(compared, name)
        assert standing.metrics is not None
        assert standing.chance_turnover == pytest.approx(standing.metrics.turnover, rel=0.25)
        assert standing.chance_exposure == pytest.approx(standing.metrics.exposure, rel=0.25)
        assert 0 <= standing.percentile <= 100
    assert len(compared.random_returns) == N_RANDOM


def test_no_percentile_where_luck_has_no_say(compared: Comparison) -> None:
    """Cash and buy-and-hold hardly trade, so neither do their random twins."""
    assert np.isnan(_standing(compared, "cash").percentile)
    assert np.isnan(_standing(compared, "buy_and_hold").percentile)


def test_always_in_the_market_is_buy_and_hold(
    recipe: Recipe, world: World, catalog: Catalog
) -> None:
    """A random agent that never leaves has the engine's own buy-and-hold return, to 1e-9."""
    values = recipe.to_dict() | {"agent": {"name": "agents.buy_and_hold"}}
    held = run(Recipe.from_dict(values), catalog=catalog)
    matched = Match(long_share=1.0, switch_rate=0.0, weight=1.0, n_switches=0.0)
    found = play(recipe, world, matched, n_random=2, rng=np.random.default_rng(1))
    np.testing.assert_allclose(found.returns, held.metrics.total_return, atol=1e-9)
    assert match(held, world).long_share == 1.0


def test_random_agents_do_not_depend_on_how_many_fit_into_memory(
    recipe: Recipe, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths run one by one give what they give all at once."""
    matched = Match(long_share=0.4, switch_rate=0.1, weight=0.5, n_switches=60.0)
    whole = play(recipe, world, matched, n_random=7, rng=np.random.default_rng(3))
    monkeypatch.setattr(chance, "_MAX_CELLS", 1)
    parts = play(recipe, world, matched, n_random=7, rng=np.random.default_rng(3))
    assert whole.returns.tolist() == parts.returns.tolist()
    pd.testing.assert_frame_equal(whole.fan, parts.fan)
    assert len(set(whole.returns)) == 7


def test_the_fan_is_ordered_and_starts_at_the_start(compared: Comparison) -> None:
    """Quantiles never cross, and all random agents begin alike."""
    fan = compared.fans[compared.fans["agent"] == "sma_cross"]
    bands = fan[["p5", "p25", "p50", "p75", "p95"]].to_numpy()
    assert np.all(np.diff(bands, axis=1) >= 0)
    assert bands[0].tolist() == [100_000.0] * 5


def test_several_symbols_have_random_agents_too(catalog: Catalog) -> None:
    """Each symbol has its share of the cash and its own coin."""
    market = {
        "venue": "simulated",
        "symbols": ["ETH/USDT", "BTC/USDT"],
        "timeframe": "1h",
        "since": "2024-01-01",
        "until": "2024-01-08",
    }
    recipe = Recipe.from_dict({"market": market, "account": {"cash": 1_000.0}})
    found = compare(recipe, ["rebalance"], catalog=catalog, n_random=5)
    assert not any(s.error for s in found.standings)
    assert found.fans["p50"].iloc[0] == pytest.approx(1_000.0)


def test_a_recipe_without_a_job_for_agents_is_refused(recipe: Recipe, catalog: Catalog) -> None:
    """What would stop every agent is raised, not written into every row."""
    values = recipe.to_dict() | {"strategy": {"name": "strategies.golden_cross"}}
    with pytest.raises(RecipeError):
        compare(Recipe.from_dict(values), [], catalog=catalog, n_random=2)


def test_progress_goes_forward_and_ends(recipe: Recipe, catalog: Catalog) -> None:
    """Steps done never fall, and the last report is the end."""
    seen: list[tuple[int, int]] = []
    compare(
        recipe, [], catalog=catalog, n_random=2, progress=lambda done, n: seen.append((done, n))
    )
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == seen[-1][1]


def test_a_stored_comparison_is_the_same(compared: Comparison, tmp_path: Path) -> None:
    """What is saved and loaded says the same in every table, summary and report."""
    stored = Comparison.load(compared.save(tmp_path / "compared"))
    assert stored.summary() == compared.summary()
    assert stored.to_table() == compared.to_table()
    pd.testing.assert_frame_equal(stored.to_frame(), compared.to_frame())
    one = write_report(compared, tmp_path / "one.html").read_bytes()
    assert write_report(stored, tmp_path / "two.html").read_bytes() == one


def test_a_damaged_or_newer_comparison_is_refused(compared: Comparison, tmp_path: Path) -> None:
    """No folder, another schema, a table gone: one line each with the remedy."""
    with pytest.raises(ResultError, match="must hold a result"):
        Comparison.load(tmp_path / "nowhere")
    folder = compared.save(tmp_path / "compared")
    file = folder / COMPARISON_FILE
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"schema": 1,', '"schema": 9,'), encoding="utf-8")
    with pytest.raises(ResultError, match="schema 1 can be read"):
        Comparison.load(folder)
    file.write_text(text, encoding="utf-8")
    (folder / "fans.parquet").unlink()
    with pytest.raises(ResultError, match="compare the agents again"):
        Comparison.load(folder)


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("standings", "rank", "first"),
        ("standings", "metrics", 3),
        ("standings", "percentile", []),
        ("pairs", "estimate", "much"),
        ("pairs", "first", 3),
    ],
)
def test_values_of_another_type_are_refused(
    compared: Comparison, tmp_path: Path, section: str, name: str, value: object
) -> None:
    """A hand-edited comparison is told in one line when it is read, not when it is drawn."""
    folder = compared.save(tmp_path / "compared")
    stored = json.loads((folder / COMPARISON_FILE).read_text(encoding="utf-8"))
    stored[section][0][name] = value
    (folder / COMPARISON_FILE).write_text(json.dumps(stored), encoding="utf-8")
    with pytest.raises(ResultError, match="is damaged") as caught:
        Comparison.load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "column"),
    [("equity", "cash"), ("random_returns", "cash"), ("fans", "p5"), ("quality", "series")],
)
def test_tables_with_other_columns_are_refused(
    compared: Comparison, tmp_path: Path, name: str, column: str
) -> None:
    """A column that is gone is named."""
    folder = compared.save(tmp_path / "compared")
    getattr(compared, name).rename(columns={column: "x"}).to_parquet(folder / f"{name}.parquet")
    with pytest.raises(ResultError, match=f"{name}.parquet has no column {column}"):
        Comparison.load(folder)


def test_a_comparison_replaces_a_comparison_alone(compared: Comparison, tmp_path: Path) -> None:
    """What else lies in the folder stays there, and so does the older comparison."""
    folder = compared.save(tmp_path / "compared")
    assert compared.save(folder) == folder
    (folder / "thesis.txt").write_text("five years", encoding="utf-8")
    with pytest.raises(ResultError, match=r"holds 'thesis.txt'"):
        compared.save(folder)
    assert (folder / COMPARISON_FILE).is_file()
    assert (folder / "thesis.txt").is_file()
    assert list(tmp_path.iterdir()) == [folder]


def test_a_notebook_shows_text_as_text() -> None:
    """Names and errors are escaped."""
    made = make_comparison(100)
    shown = replace(made, standings=(Standing(name="<i>x", error="<script>"),))._repr_html_()
    assert "<i>" not in shown
    assert "<script>" not in shown
    assert "&lt;i&gt;x" in shown


def test_a_loan_is_sent_to_the_league() -> None:
    """Cash and buy-and-hold are no measure of a guard."""
    with pytest.raises(RecipeError, match=r"loan_demo has a loan: use seawall\.league"):
        compare("loan_demo", ["close_at"])
