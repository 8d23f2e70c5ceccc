"""What a league comes to: who is told apart, how often it was tried, and what the page shows."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tournament_worlds import make_league, play

from seawall.errors import WorkspaceError
from seawall.recipe import Recipe
from seawall.tournament import standings as module
from seawall.tournament.across import MIN_WINDOWS
from seawall.tournament.page import write_league_report
from seawall.tournament.play import Played
from seawall.tournament.standings import Standings, concordance, stand
from seawall.tournament.words import across_rows, find_notes, span_rows, strain_rows, summary
from seawall.trial_ledger import Trial, TrialLedger

SWEEP = [{"agent": "sma_cross", "parameters": {"fast": [3, 5], "slow": [10, 20]}}]


@pytest.fixture(scope="module")
def league(tmp_path_factory: pytest.TempPathFactory) -> tuple[Played, TrialLedger]:
    """Return a league of a rule, a sweep of it and one with luck, under two stresses."""
    folder = tmp_path_factory.mktemp("league")
    file = make_league(
        folder,
        agents=["sma_cross", "matched_random"],
        sweep=SWEEP,
        stress=["double_fees", "double_gas"],
    )
    return play(folder, file)


@pytest.fixture(scope="module")
def standings(league: tuple[Played, TrialLedger]) -> Standings:
    """Return what it comes to."""
    return stand(*league)


def test_a_long_window_is_judged_and_short_ones_are_paired(standings: Standings) -> None:
    """400 days are a span; 61 days are not, and the paired table holds those alone."""
    assert [stage.name for stage in standings.spans] == ["long"]
    assert "too short" in standings.stages[1].why
    assert {one.n_windows for one in standings.across} == {2}
    assert "fewer than" in " ".join(find_notes(standings))
    assert not any(one.is_told_apart for one in standings.across)
    assert MIN_WINDOWS > 2


def test_trials_are_counted_by_family_whatever_the_parameters(
    league: tuple[Played, TrialLedger], standings: Standings
) -> None:
    """Four sets and the window's own make fifteen trials of one family."""
    _, ledger = league
    assert standings.trials["agents.sma_cross"] == ledger.count("agents.sma_cross") == 5 * 3
    verdicts = standings.spans[0].verdicts
    assert verdicts is not None
    counts = {one.name: one.n_trials for one in verdicts.agents}
    assert counts["sma_cross{fast=3, slow=10}"] == 15
    assert set(verdicts.overfitting) == {"sma_cross"}
    assert verdicts.overfitting["sma_cross"].n_settings == 5


def test_more_trials_elsewhere_make_a_result_less_likely_skill(
    tmp_path: Path, league: tuple[Played, TrialLedger]
) -> None:
    """The same result after 1,000 other runs of the family has a lower deflated Sharpe ratio."""
    played, ledger = league
    busy = TrialLedger(tmp_path / "busy.sqlite")
    busy.note(ledger.trials("agents.sma_cross"))
    busy.note(Trial(family="agents.sma_cross", run=f"x{n}") for n in range(1_000))

    def deflated(of: TrialLedger) -> float:
        verdicts = stand(played, of).spans[0].verdicts
        assert verdicts is not None
        return next(v.deflated_sharpe for v in verdicts.agents if v.name == "sma_cross")

    assert deflated(busy) < deflated(ledger)


def test_an_agent_edited_by_a_comment_and_run_again_is_no_surer(
    tmp_path: Path, league: tuple[Played, TrialLedger]
) -> None:
    """The same Sharpe ratio under other code is a trial more; the league alone counts 15."""
    played, ledger = league
    own = played.cell("long", "sma_cross")
    assert own is not None
    rows = [row for row in ledger.trials("agents.sma_cross") if row.sharpe == own.worth["sharpe"]]

    def deflated(n_runs: int) -> float:
        again = TrialLedger(tmp_path / f"{n_runs}.sqlite")
        again.note(replace(rows[0], run=f"x{n}") for n in range(n_runs))
        verdicts = stand(played, again).spans[0].verdicts
        assert verdicts is not None
        return next(v.deflated_sharpe for v in verdicts.agents if v.name == "sma_cross")

    assert deflated(1) == deflated(4) > deflated(40)


def test_a_ledger_that_was_mended_is_refused(
    tmp_path: Path, league: tuple[Played, TrialLedger]
) -> None:
    """Trials that were taken out show before anything is judged."""
    import sqlite3  # noqa: PLC0415 - one test
    from contextlib import closing  # noqa: PLC0415

    played, ledger = league
    path = tmp_path / "mended.sqlite"
    path.write_bytes(ledger.path.read_bytes())
    with closing(sqlite3.connect(path)) as base, base:
        base.execute("DELETE FROM trials WHERE n = 3")
    with pytest.raises(WorkspaceError, match="cannot be trusted"):
        stand(played, TrialLedger(path))


def test_seeds_are_shown_with_their_spread(standings: Standings) -> None:
    """The random agent has five curves in each window, the rule one and no spread."""
    assert standings.stages[0].curves["matched_random"].shape[0] == 5
    spread = {one.name: one.seed_spread for one in standings.across}
    assert spread["matched_random"] > 0
    assert np.isnan(spread["sma_cross"])


def test_stress_says_what_is_left_and_nothing_where_it_does_not_apply(
    standings: Standings,
) -> None:
    """Twice the fees leave less of a rule that trades; there is no gas to double."""
    header, rows = strain_rows(standings)
    assert header == ("agent", "as it is", "double_fees", "double_gas")
    assert all(row[3] == "–" for row in rows)  # noqa: RUF001 - the dash of the tables
    (rule,) = [one for one in standings.strains if one.name == "sma_cross"]
    assert rule.stressed < rule.plain


def test_stress_of_who_has_luck_is_over_the_seeds_of_the_league(
    league: tuple[Played, TrialLedger], standings: Standings
) -> None:
    """As it is: the mean return of the windows' tables. Stressed: the mean of five cells each."""
    played, _ = league
    (one,) = [one for one in standings.strains if one.name == "matched_random"]
    shown = [stage.returns["matched_random"] for stage in standings.stages]
    assert one.plain == pytest.approx(np.mean(shown), abs=1e-12)
    cells = [
        cell
        for (_, name, _, stress), cell in played.cells.items()
        if (name, stress) == ("matched_random", "double_fees")
    ]
    assert len(cells) == 5 * len(standings.stages)
    assert one.stressed == pytest.approx(np.mean([cell.total_return for cell in cells]), abs=1e-12)


def test_a_model_that_may_have_read_of_a_window_is_not_ranked_there(
    league: tuple[Played, TrialLedger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the cutoff it has no rank and no verdict, and the notes say why; after it, it has."""
    played, ledger = league

    def refuse(recipe: Recipe) -> str:
        is_it = recipe.agent is not None and recipe.agent.name == "agents.sma_cross"
        return "it may be remembered" if is_it and recipe.market.since < "2021-03" else ""

    monkeypatch.setattr(module, "refuse_rank", refuse)
    found = stand(played, ledger)
    swept = {("long", name) for name in played.sweeps["sma_cross"]}
    assert set(found.unranked) == {("long", "sma_cross"), *swept}
    verdicts = found.spans[0].verdicts
    assert verdicts is not None
    assert "sma_cross" not in {one.name for one in verdicts.agents}
    ranks = found.ranks["sma_cross"].astype(np.float64)
    assert np.isnan(ranks["long"])
    assert np.isfinite(ranks["first"])
    assert "sma_cross is not ranked in long: it may be remembered" in find_notes(found)
    assert "sma_cross" in {row[1] for row in across_rows(found)[1]}
    short = stand(played, ledger).across
    monkeypatch.setattr(module, "refuse_rank", lambda _: "it may be remembered")
    nowhere = stand(played, ledger)
    assert across_rows(nowhere)[1] == []  # nobody has a window, and the notes say why
    nobody = nowhere.across
    assert {one.n_windows for one in short} == {2}
    assert {
        (one.n_windows, one.n_failed) for one in nobody if one.name not in played.benchmarks
    } == {(0, 0)}


def test_kendalls_w() -> None:
    """1 for the same order, 0 for two opposite ones; ties as in the definition.

    Three rows that rank three columns 1 2 3, 1 2 3, 2 1 3: sums 4 5 9, mean 6, squares
    4 + 1 + 9 = 14, W = 12 * 14 / (9 * (27 - 3)) = 0.7778.
    """
    same = pd.DataFrame([[1.0, 2.0, 3.0]] * 4)
    assert concordance(same) == pytest.approx(1.0)
    assert concordance(pd.DataFrame([[1.0, 2.0], [2.0, 1.0]])) == pytest.approx(0.0)
    some = pd.DataFrame([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [2.0, 1.0, 3.0]])
    assert concordance(some) == pytest.approx(0.77778, abs=1e-5)
    assert np.isnan(concordance(same.iloc[:1]))
    # A tie in one row: sums 2.5 3.5 6, squares 6.5, W = 12 * 6.5 / (4 * 24 - 2 * (8 - 2)).
    tied = pd.DataFrame([[1.5, 1.5, 3.0], [1.0, 2.0, 3.0]])
    assert concordance(tied) == pytest.approx(78 / 84)


def test_tables_page_and_summary_hold_everybody(standings: Standings, tmp_path: Path) -> None:
    """Each agent is in the tables; the page asks for nothing from outside; the summary is JSON."""
    _, spans = span_rows(standings.stages[0])
    assert {row[1] for row in spans} >= {"sma_cross", "matched_random"}
    _, across = across_rows(standings)
    assert {row[1] for row in across} == {"cash", "buy_and_hold", "sma_cross", "matched_random"}
    page = write_league_report(standings, tmp_path / "report.html").read_text()
    for text in ("What is left under stress", "Do ranks hold?", "matched_random", "long"):
        assert text in page
    assert "Content-Security-Policy" in page
    assert "http://" not in page.split("<script")[0]
    found = json.loads(json.dumps(summary(standings), allow_nan=False))
    assert found["spans"]["long"]["winners"] == []
    assert found["ledger"] == standings.digest
