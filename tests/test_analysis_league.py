"""Agents over windows: ranks and ties, what is paired, what is stored, and what fails alone."""

import json
import math
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest
from loan_runs import recipe_of, run_agent

from seawall.analysis.league import league, with_untouched
from seawall.analysis.league_statistics import interval, sign_test, to_ranks
from seawall.analysis.league_table import BOUNDS, HINDSIGHT, League, LeaguePair
from seawall.analysis.report import write_report
from seawall.engine.run import run_in
from seawall.engine.world import World
from seawall.errors import RecipeError, ResultError, SeawallError, WorkspaceError
from seawall.market.catalog import Catalog
from seawall.recipe import Recipe
from seawall.result import Result
from seawall.workspace import find_recipe

WINDOWS = ("crash", "thin")
NAMES = ("defi_saver", "close_at", "close_at{threshold=1.05}")
EVERYBODY = {"do_nothing", *NAMES, HINDSIGHT}
N_STATES = 48


def _play(catalog: Catalog) -> League:
    recipes = [recipe_of(name) for name in WINDOWS]
    return league(recipes, NAMES, catalog=catalog, n_states=N_STATES)


def _plain(one: League) -> str:
    return json.dumps(one.summary(), sort_keys=True)  # nan is nan here


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Return an empty catalog: simulated markets need none."""
    return Catalog(tmp_path_factory.mktemp("catalog"))


@pytest.fixture(scope="module")
def played(catalog: Catalog) -> League:
    """Return two simulated windows of one period, with three agents."""
    return _play(catalog)


def test_everybody_is_in_every_window_both_ways(played: League) -> None:
    """Do-nothing and hindsight were not asked for; each has one row per window and bound."""
    assert set(played.agents) == EVERYBODY
    assert played.agents[-1] == HINDSIGHT
    rows = played.cells[["window", "agent", "bound"]]
    assert len(rows) == len(rows.drop_duplicates()) == len(WINDOWS) * len(EVERYBODY) * 2
    assert played.errors == ()


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("agent", ["defi_saver", "close_at", "do_nothing"])
def test_cells_are_those_of_runs_by_themselves(played: League, window: str, agent: str) -> None:
    """Final equity and liquidations of an agent that runs alone, bars resolved either way."""
    result = run_agent(window, agent)
    for bound, one in zip(BOUNDS, (result, result.other or result), strict=True):
        cell = played.cell(window, agent, bound)
        assert cell is not None
        assert cell["final_equity_usd"] == one.loan["equity"].iloc[-1]
        assert cell["n_liquidations"] == len(one.liquidations)


def test_ranks_follow_final_equity_and_hindsight_has_none(played: League) -> None:
    """The best in a window is 1; the bound is above all and plays in no rank."""
    for (_, _), rows in played.cells.groupby(["window", "bound"]):
        bound = rows[rows["agent"] == HINDSIGHT]
        agents = rows[rows["agent"] != HINDSIGHT].sort_values("rank")
        assert bound["rank"].isna().all()
        assert agents["final_equity_usd"].is_monotonic_decreasing
        assert agents["rank"].sum() == sum(range(1, len(agents) + 1))
        assert (agents["final_equity_usd"] <= bound["final_equity_usd"].iloc[0]).all()
    places = [played.place(name) for name in played.agents[:-1]]
    assert places == sorted(places, key=lambda place: (place.mean_rank, place.name))
    assert math.isnan(played.place(HINDSIGHT).mean_rank)


def test_ties_share_the_mean_of_their_ranks() -> None:
    """10, 10 and 9 of one start are ranks 1.5, 1.5 and 3; other windows and bounds are apart."""
    cells = pd.DataFrame(
        [
            ("a", "one", "worst", 10.0),
            ("a", "two", "worst", 10.0 + 1e-12),
            ("a", "three", "worst", 9.0),
            ("a", HINDSIGHT, "worst", 99.0),
            ("a", "one", "best", 1.0),
            ("b", "one", "worst", 1.0),
        ],
        columns=["window", "agent", "bound", "final_equity_usd"],
    ).assign(start_equity_usd=10.0)
    ranks = to_ranks(cells)
    assert ranks[[0, 1, 2, 4, 5]].tolist() == [1.5, 1.5, 3.0, 1.0, 1.0]
    assert math.isnan(ranks[3])


def test_do_nothing_changes_nothing_against_itself(played: League) -> None:
    """Its price, its share and its paired difference are 0 in all windows."""
    own = played.cells[played.cells["agent"] == "do_nothing"]
    for column in ("price_usd", "price_share", "share_of_possible", "over_do_nothing"):
        assert (own[column] == 0.0).all()
    assert (played.cells.loc[played.cells["agent"] == HINDSIGHT, "share_of_possible"] == 1.0).all()


def test_one_period_tells_nobody_apart(played: League) -> None:
    """Two windows of one market are one period: no interval, and a coin is as one-sided."""
    assert len({spell.period for spell in played.spells}) == 1
    assert len(played.pairs) == 6
    for pair in played.pairs:
        assert not pair.is_told_apart
        assert math.isnan(pair.low)
        assert (pair.n_periods, pair.chance) == (1, 1.0)
        assert pair.mean >= 0.0
    assert "2 windows are 1 market periods" in " ".join(played.notes)


def test_a_share_above_1_is_explained(played: League) -> None:
    """Planted: one agent ended above hindsight; who lost more than it all is not meant."""
    assert "more than 100 %" not in " ".join(played.notes)
    for gained, is_told in ((500.0, True), (-500.0, False)):
        cells = played.cells.copy()
        row = cells.index[cells["agent"] == "close_at"][0]
        cells.loc[row, ["share_of_possible", "price_usd"]] = 1.2, -gained
        told = " ".join(replace(played, cells=cells).notes)
        assert ("more than 100 %" in told) == is_told


@pytest.mark.parametrize(("n_periods", "is_apart"), [(5, False), (6, True)])
def test_few_periods_tell_nobody_apart(n_periods: int, is_apart: bool) -> None:  # noqa: FBT001
    """All ahead in five is 1 / 16 of a fair coin, in six 1 / 32."""
    pair = LeaguePair(
        first="one", second="two", mean=0.1, low=0.05, high=0.2, n_ahead=n_periods, n_behind=0,
        n_periods=n_periods, chance=sign_test(n_periods, 0),
    )  # fmt: skip
    assert pair.is_told_apart == (pair.chance < 0.05) == is_apart


def test_intervals_are_bootstrapped_over_periods() -> None:
    """Three windows of one period and one of another: two draws, so the ends are their means."""
    values = pd.Series({"a": 1.0, "b": 1.0, "c": 1.0, "d": 5.0})
    periods = {"a": "x", "b": "x", "c": "x", "d": "y"}
    assert interval(values, periods) == (1.0, 5.0)
    assert all(math.isnan(end) for end in interval(values[:3], periods))


@pytest.mark.parametrize(
    ("ahead", "behind", "chance"), [(0, 0, 1.0), (5, 0, 0.0625), (0, 8, 0.0078125), (1, 1, 1.0)]
)
def test_a_sign_test_by_hand(ahead: int, behind: int, chance: float) -> None:
    """Five of five: 2 / 32."""
    assert sign_test(ahead, behind) == chance


def test_the_same_league_is_the_same(played: League, catalog: Catalog) -> None:
    """Played twice it is equal to the last digit, intervals too."""
    again = _play(catalog)
    assert _plain(again) == _plain(played)
    pd.testing.assert_frame_equal(again.cells, played.cells, check_exact=True)
    pd.testing.assert_frame_equal(again.equity, played.equity, check_exact=True)


def test_what_is_stored_is_what_is_loaded(played: League, tmp_path: Path) -> None:
    """Values, tables and the recipes come back; a page of both is the same."""
    folder = played.save(tmp_path / "league")
    loaded = League.load(folder)
    assert _plain(loaded) == _plain(played)
    assert loaded.spells == played.spells
    pd.testing.assert_frame_equal(loaded.to_frame(), played.to_frame())
    for name in ("cells", "equity"):
        pd.testing.assert_frame_equal(
            getattr(loaded, name), getattr(played, name), check_dtype=False
        )
    one = write_report(played, tmp_path / "one.html").read_text(encoding="utf-8")
    other = write_report(loaded, tmp_path / "other.html").read_text(encoding="utf-8")
    assert one == other


def test_damage_is_said(played: League, tmp_path: Path) -> None:
    """A value that is none, and a folder without a league."""
    folder = played.save(tmp_path / "league")
    path = folder / "league.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    stored["places"][0]["mean_rank"] = "first"
    path.write_text(json.dumps(stored), encoding="utf-8")
    with pytest.raises(ResultError, match="is damaged"):
        League.load(folder)
    with pytest.raises(ResultError):
        League.load(tmp_path)


def test_the_tables_say_the_same(played: League) -> None:
    """One row per agent and bound in the frame; text has one row an agent, one a window."""
    frame = played.to_frame()
    assert list(frame.index.names) == ["name", "bound"]
    assert len(frame) == 2 * len(EVERYBODY)
    header, rows = played.to_table()
    assert [row[1] for row in rows] == list(played.agents)
    assert {len(row) for row in rows} == {len(header)}
    header, rows = played.to_windows()
    assert [row[0] for row in rows] == list(WINDOWS)
    assert header == ("window", *played.agents)
    assert "<table>" in played._repr_html_()
    with pytest.raises(ResultError, match="not nobody"):
        played.place("nobody")


def test_equity_starts_the_same_for_all(played: League) -> None:
    """All curves of a window begin with its start, both ways; hindsight ends where it says."""
    for spell in played.spells:
        rows = played.equity[played.equity["window"] == spell.name]
        for agent, curve in rows.groupby("agent"):
            assert curve[["worst", "best"]].iloc[0].tolist() == pytest.approx(
                [spell.start_equity_usd] * 2
            )
            if agent == HINDSIGHT:
                assert curve["worst"].iloc[-1] == spell.hindsight_usd
                assert curve["best"].iloc[-1] == spell.hindsight_best_usd


def test_hindsight_and_do_nothing_need_not_be_named() -> None:
    """Named or not they are there once; the bound is no agent."""
    found = with_untouched(["close_at", HINDSIGHT, "do_nothing", "agents.close_at"])
    assert [contender.name for contender in found] == ["do_nothing", "close_at"]


def test_an_agent_that_fails_does_not_stop_the_others(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It has no row in that window, and the league says why."""

    def fail(world: World, recipe: Recipe) -> Result:
        if recipe.agent is not None and recipe.agent.name == "agents.summer_fi":
            raise ValueError("out of ideas")
        return run_in(world, recipe)

    monkeypatch.setattr(import_module("seawall.analysis.league"), "run_and_count", fail)
    recipes = [recipe_of("thin")]
    found = league(recipes, ["summer_fi", "close_at"], catalog=catalog, n_states=N_STATES)
    assert found.cell("thin", "close_at") is not None
    assert found.cell("thin", "summer_fi") is None
    assert (found.place("summer_fi").n_failed, found.place("summer_fi").n_windows) == (1, 0)
    assert "summer_fi failed in thin: ValueError: out of ideas" in found.notes
    assert "failed" in found.to_windows()[1][0]
    assert League.load(found.save(tmp_path / "league")).notes == found.notes
    assert "out of ideas" in write_report(found, tmp_path / "x.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("recipes", "agents", "kind", "words"),
    [
        ([], ["close_at"], RecipeError, "at least one"),
        (["demo"], ["close_at"], RecipeError, "has none"),
        (["loan_demo", "loan_demo"], ["close_at"], RecipeError, "names of their own"),
        (["loan_demo"], ["no_such_agent"], WorkspaceError, "no_such_agent"),
        (["loan_demo"], ["close_at{helth=1.2}"], SeawallError, "helth"),
    ],
)
def test_what_cannot_be_played_is_refused_first(
    recipes: list[str], agents: list[str], kind: type[Exception], words: str, catalog: Catalog
) -> None:
    """Before anything runs, and with the reason."""
    files = [str(find_recipe(name)) for name in recipes]
    with pytest.raises(kind, match=words):
        league(files, agents, catalog=catalog, n_states=N_STATES)
