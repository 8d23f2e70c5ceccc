"""What the command line says of futures: the account, the judgement, the league of guards."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from margin_runs import MARGIN_AGENTS, margin_recipe

from seawall import workspace_folders
from seawall.analysis.judgement import Judgement, MarginProtection
from seawall.analysis.toml import to_toml
from seawall.cli import main
from seawall.cli.loans import find_guards
from seawall.recipe import Recipe
from seawall.result import Result

Cli = Callable[..., tuple[int, str, str]]
EARLY = MARGIN_AGENTS[2]


@pytest.fixture
def seawall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    """Return the command line, run in an empty folder that holds two recipes."""
    for name in ("long", "thin"):
        recipe = margin_recipe(name)
        (tmp_path / f"{name}.toml").write_text(to_toml(recipe), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEAWALL_DATA", str(tmp_path / "catalog"))
    monkeypatch.delenv(workspace_folders.VARIABLE, raising=False)
    monkeypatch.setattr(workspace_folders, "WORKSPACE", None)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["seawall", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        written = capsys.readouterr()
        return int(ended.value.code or 0), written.out, written.err

    return call


def test_a_recipe_with_a_position_is_its_own_toml() -> None:
    """What the page shows makes the same recipe again."""
    recipe = margin_recipe("short")
    assert Recipe.from_toml(to_toml(recipe)).id == recipe.id


def test_a_guarded_position_is_run_and_judged(seawall: Cli, tmp_path: Path) -> None:
    """The table has margin ratio and parts, a line says what protection cost; both are stored."""
    code, out, err = seawall("run", "long.toml", "--agent", EARLY, "--out", "done")
    assert code == 0
    for words in (
        "highest margin ratio",
        "trading fees (USDT)",
        "funding (USDT)",
        "margin ratio > 80",
    ):
        assert words in out
    assert "without the agent the position would have ended at" in err
    result = Result.load(tmp_path / "done")
    assert result.judgement is not None
    judgement = Judgement.from_dict(result.judgement)
    assert isinstance(judgement.own, MarginProtection)
    assert judgement.own.n_liquidations == 0 < judgement.untouched.n_liquidations
    assert (tmp_path / "done" / "report.html").stat().st_size > 1e6


def test_a_stored_result_is_reported_again(seawall: Cli, tmp_path: Path) -> None:
    """From the folder alone, with the stored judgement: the same page to the byte."""
    seawall("run", "long.toml", "--agent", EARLY, "--out", "done")
    first = (tmp_path / "done" / "report.html").read_bytes()
    code, _, _ = seawall("report", "done", "--out", "again.html")
    assert code == 0
    assert (tmp_path / "again.html").read_bytes() == first


def test_guards_are_compared_over_several_recipes(seawall: Cli) -> None:
    """Two windows with a comma between them; the JSON has the bound and no error."""
    code, out, _ = seawall("compare", "long.toml,thin.toml", "--agents", EARLY, "--json")
    assert code == 0
    found = json.loads(out)
    names = {place["name"] for place in found["places"]}
    assert names == {"do_nothing", EARLY, "hindsight"}
    assert found["errors"] == []


def test_all_means_those_who_guard_what_is_given() -> None:
    """Guards of margin for a position, guards of loans for a loan; doing nothing is both."""
    margin, loan = find_guards("margin"), find_guards("loan")
    assert {"do_nothing", "reduce_at_margin_ratio", "add_margin_at_ratio"} <= set(margin)
    assert "do_nothing" in loan
    assert "close_at" not in margin
    assert "reduce_at_margin_ratio" not in loan
    assert "sma_cross" not in (*margin, *loan)
