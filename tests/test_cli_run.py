"""The verbs run, compare, report, list, show and doctor: one JSON value, stable exit codes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from seawall import workspace_folders
from seawall.cli import main
from seawall.errors import (
    DataError,
    RecipeError,
    ResultError,
    SeawallError,
    WorkspaceError,
)
from seawall.result import Result

RECIPE = """
seed = 3
[market]
venue = "simulated"
symbols = ["ETH/USDT"]
timeframe = "1h"
since = "2025-01-01"
until = "2025-01-11"
[agent]
name = "agents.sma_cross"
fast = 3
slow = 12
"""


class Done(NamedTuple):
    """How a command ended: exit code and what it wrote."""

    code: int
    out: str
    err: str


Cli = Callable[..., Done]


@pytest.fixture
def seawall(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    """Return the command line, run in this process, in the folder and on an empty catalog."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SEAWALL_DATA", str(folder / "catalog"))
    # Without a workspace, results go to the folder and not to the checkout.
    monkeypatch.delenv(workspace_folders.VARIABLE, raising=False)
    monkeypatch.setattr(workspace_folders, "WORKSPACE", None)

    def call(*words: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["seawall", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        written = capsys.readouterr()
        return Done(int(ended.value.code or 0), written.out, written.err)

    return call


def read_json(done: Done) -> dict[str, object]:
    """Return the one JSON value on stdout of a command that went well."""
    assert done.code == 0, done.err
    value = json.loads(done.out)
    assert isinstance(value, dict)
    return value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with one recipe in it."""
    (tmp_path / "mine.toml").write_text(RECIPE, encoding="utf-8")
    return tmp_path


def test_run_writes_a_result_and_a_report_and_says_where(folder: Path, seawall: Cli) -> None:
    """With ``--json`` stdout is one value; the folder it names holds all tables and the page."""
    value = read_json(seawall("run", "mine.toml", "--json", "--out", "here"))
    assert value["labels"] == ["simulated"]
    assert {path.name for path in (folder / "here").iterdir()} >= {
        "result.json", "equity.parquet", "fills.parquet", "journal.parquet", "report.html",
    }  # fmt: skip
    equity = pd.read_parquet(folder / "here" / "equity.parquet")["equity"]
    metrics = value["metrics"]
    assert isinstance(metrics, dict)
    assert metrics["total_return"] == pytest.approx(equity.iloc[-1] / equity.iloc[0] - 1)


@pytest.mark.slow
def test_the_same_recipe_gives_the_same_bits_in_another_process(folder: Path) -> None:
    """Two processes with different hash seeds leave equal tables and an equal summary."""
    command = [sys.executable, "-m", "seawall", "run", "mine.toml", "--out"]
    for name, hash_seed in (("one", "1"), ("two", "2")):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        subprocess.run([*command, name], cwd=folder, env=environment, check=True)
    one, two = folder / "one", folder / "two"
    assert (one / "result.json").read_text() == (two / "result.json").read_text()
    for table in one.glob("*.parquet"):
        pd.testing.assert_frame_equal(
            pd.read_parquet(table), pd.read_parquet(two / table.name), check_exact=True
        )


def test_compare_and_report(folder: Path, seawall: Cli) -> None:
    """A comparison names every agent, cash and buy-and-hold too; its report comes again."""
    words = ("compare", "mine.toml", "--agents", "rsi{n=5},sma_cross", "--json", "--out", "both")
    value = read_json(seawall(*words))
    standings = value["standings"]
    assert isinstance(standings, list)
    names = {standing["name"] for standing in standings}
    assert names == {"cash", "buy_and_hold", "rsi{n=5}", "sma_cross"}
    read_json(seawall("report", "both", "--out", "again.html", "--json"))
    assert "rsi{n=5}" in (folder / "again.html").read_text(encoding="utf-8")


def test_a_table_is_printed_where_there_is_no_terminal(seawall: Cli) -> None:
    """Plain text on stdout, the paths on stderr, and no progress bar."""
    done = seawall("run", "mine.toml")
    assert done.code == 0, done.err
    assert "max drawdown" in done.out
    assert "simulated" in done.out
    assert "\x1b" not in done.out + done.err
    assert "report.html" in done.err


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (("run", "nosuch"), WorkspaceError, "there is no recipe 'nosuch'"),
        (("run", "demmo"), WorkspaceError, "did you mean 'demo'"),
        (("run", "mine.toml", "--set", "agent.fats=3"), RecipeError, "did you mean 'fast'"),
        (("run", "mine.toml", "--set", "agent.fast"), RecipeError, "KEY=VALUE"),
        (("run", "mine.toml", "--set", "agent.name=nobody"), WorkspaceError, "nobody"),
        (("run", "crash_2024_07", "--offline"), DataError, "seawall data get binance ETH/USDT"),
        (("report", "nowhere"), ResultError, "result.json"),
        (("run", "mine.toml", "--out", "mine.toml"), ResultError, "mine.toml is a file"),
        (("run", "mine.toml", "--out", "."), ResultError, "holds 'mine.toml'"),
        (("compare", "mine.toml", "--agents", "rsi", "--out", "."), ResultError, "'mine.toml'"),
        (("compare", "mine.toml", "--agents", "rssi"), WorkspaceError, "did you mean 'rsi'"),
        (("compare", "mine.toml", "--agents", "rsi{m=5}"), RecipeError, "agent.m is no parameter"),
        (
            ("run", "mine.toml", "--set", "market.start_prices={'BTC/USDT'=1}"),
            RecipeError,
            "market.start_prices names 'BTC/USDT'",
        ),
        (
            ("run", "crash_2024_07", "--offline", "--set", "market.start_prices={'ETH/USDT'=1}"),
            RecipeError,
            "market.start_prices belong to venue = 'simulated'",
        ),
        (
            (
                "run",
                "mine.toml",
                "--set",
                "market.since=1971-01-01",
                "--set",
                "market.timeframe=1m",
            ),
            RecipeError,
            "at most 20,000,000 bars, this window has 28,",
        ),
        (("show", "smacross"), WorkspaceError, "did you mean 'sma_cross'"),
    ],
)
def test_what_is_wrong_is_one_line_and_an_exit_code(
    seawall: Cli, words: tuple[str, ...], kind: type[SeawallError], message: str
) -> None:
    """Stderr has the message and nothing else, stdout stays empty."""
    done = seawall(*words)
    assert done.code == kind.exit_code
    assert done.out == ""
    assert message in done.err
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1


def test_list_show_and_doctor_speak_json(seawall: Cli) -> None:
    """Every shipped agent is listed; one shows its parameters; all is well."""
    listed = seawall("list", "agents", "--json")
    names = {row["name"] for row in json.loads(listed.out)}
    assert {"cash", "buy_and_hold", "sma_cross", "matched_random"} <= names
    shown = read_json(seawall("show", "sma_cross", "--json"))
    assert shown["parameters"] == {
        "fast": "20", "slow": "100", "weight": "1.0", "style": "'weight'",
        "wait_for_cross": "False",
    }  # fmt: skip
    assert read_json(seawall("doctor", "--json"))["problems"] == []


@pytest.mark.slow
def test_other_agents_are_another_comparison(folder: Path, seawall: Cli) -> None:
    """The default folder depends on who is compared, not on the order; none is overwritten."""
    found = [
        read_json(seawall("compare", "mine.toml", "--agents", names, "--json"))["folder"]
        for names in ("rsi", "rsi{n=5}", "rsi,dca", "dca,rsi")
    ]
    assert len(set(found)) == 3
    assert found[2] == found[3]
    assert {str(path) for path in (folder / "results").iterdir()} == set(found)


@pytest.mark.parametrize(
    "name", ["../../escape", "/absolute", ".hidden", "a" * 300, "\u65e5", "a/b c"]
)
def test_a_recipes_name_is_no_path(folder: Path, seawall: Cli, name: str) -> None:
    """Whatever a recipe is called, its result lies in one folder below results."""
    done = seawall("run", "mine.toml", "--json", "--set", f"name={name}")
    place = Path(str(read_json(done)["folder"]))
    assert place.parent == folder / "results"
    assert not place.name.startswith(".")
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["results"]


def test_json_on_stdout_is_strict(seawall: Cli) -> None:
    """A recipe without a cap on volume writes no Infinity."""
    done = seawall("run", "mine.toml", "--json", "--set", "execution.participation_cap=inf")
    stored = json.loads(done.out, parse_constant=pytest.fail)
    assert stored["recipe"]["execution"]["participation_cap"] == "inf"


@pytest.mark.parametrize("words", [("run",), ("compare", "--agents", "rsi")])
def test_a_damaged_result_is_one_line(folder: Path, seawall: Cli, words: tuple[str, ...]) -> None:
    """``report`` on JSON of another form ends with exit code 7."""
    verb, *rest = words
    assert seawall(verb, "mine.toml", *rest, "--out", "here").code == 0
    file = "result.json" if verb == "run" else "comparison.json"
    (folder / "here" / file).write_text("[]", encoding="utf-8")
    done = seawall("report", "here")
    assert done.code == ResultError.exit_code
    assert done.err.count("\n") == 1


def add_to(monkeypatch: pytest.MonkeyPatch, kind: str, folder: Path) -> Path:
    """Return a new folder that is joined to one of the three kinds for one test."""
    package = import_module(f"seawall.{kind}")
    (folder / kind).mkdir()
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder / kind)])
    return folder / kind


def test_an_unreadable_recipe_does_not_stop_the_list(
    folder: Path, seawall: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row says why; the others are listed as ever."""
    (add_to(monkeypatch, "backtests", folder) / "latin.toml").write_bytes(b'name = "caf\xe9"')
    done = seawall("list", "backtests", "--json")
    about = {row["name"]: row["about"] for row in json.loads(done.out)}
    assert "is not" in about["latin"]
    assert "cannot be loaded" not in about["demo"]
    assert "latin.toml" in seawall("show", "backtests.latin").err


def test_an_agent_file_that_ends_the_process_is_listed(
    folder: Path, seawall: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``sys.exit()`` in a file ends neither list nor doctor, and doctor calls it a problem."""
    (add_to(monkeypatch, "agents", folder) / "quits.py").write_text("raise SystemExit\n")
    about = {r["name"]: r["about"] for r in json.loads(seawall("list", "agents", "--json").out)}
    assert "SystemExit" in about["quits"]
    done = seawall("doctor", "--json")
    assert done.code == WorkspaceError.exit_code
    assert ["quits" in text for text in json.loads(done.out)["problems"]] == [True]


def test_doctor_lists_every_problem(
    folder: Path, seawall: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged series, a bad recipe and a workspace that is none are told side by side."""
    for symbol in ("ETH-USDT", "BTC-USDT"):
        series = folder / "catalog" / "candles" / "binance" / symbol / "1h"
        series.mkdir(parents=True)
        (series / "manifest.json").write_text("{", encoding="utf-8")
    (add_to(monkeypatch, "backtests", folder) / "latin.toml").write_bytes(b"\xe9")
    monkeypatch.delitem(sys.modules, "seawall.strategies")
    monkeypatch.setenv(workspace_folders.VARIABLE, str(folder))
    done = seawall("doctor", "--json")
    assert done.code == WorkspaceError.exit_code
    problems = json.loads(done.out)["problems"]
    for text in (workspace_folders.VARIABLE, "latin.toml", "ETH-USDT", "BTC-USDT"):
        assert sum(text in problem for problem in problems) == 1, text


def test_an_error_is_json_too_where_json_is_asked_for(seawall: Cli) -> None:
    """One value on stdout with the message and the exit code, the line on stderr as ever."""
    done = seawall("run", "nosuch", "--json")
    value = json.loads(done.out)
    assert value["exit_code"] == done.code == WorkspaceError.exit_code
    assert "there is no recipe 'nosuch'" in value["error"]
    assert done.err.startswith("error: ")


LOAN = """
seed = 3
[market]
venue = "simulated"
symbols = ["ETH/USDT"]
timeframe = "1h"
since = "2025-01-01"
until = "2025-01-06"
[strategy]
name = "strategies.liquidation_protection"
[agent]
name = "agents.close_at"
[loan]
equity = 10.0
leverage = 2.2
wallet = { ETH = 1.0 }
[loan.gas]
source = "model"
"""


def test_a_loan_is_run_and_judged(seawall: Cli, folder: Path) -> None:
    """What happened to it, what protection cost, and a report."""
    (folder / "loan.toml").write_text(LOAN)
    done = seawall("run", "loan.toml", "--out", "one")
    assert done.code == 0
    assert re.search(r"annual return\W+-\W+-\W", done.out)  # of five days no year is made
    assert "lowest health factor" in done.out
    assert "protection cost" in done.err
    assert "Price of protection" in (folder / "one" / "report.html").read_text()


@pytest.mark.slow
def test_guards_of_loans_are_compared_over_several_recipes(seawall: Cli, folder: Path) -> None:
    """Every guard, do-nothing and hindsight beside them; the league can be reported again."""
    for name in ("calm", "other"):
        (folder / f"{name}.toml").write_text(LOAN)
    done = seawall("compare", "calm.toml,other.toml", "--agents", "all", "--out", "two", "--json")
    found = json.loads(done.out)
    assert {place["name"] for place in found["places"]} > {"do_nothing", "hindsight", "close_at"}
    assert len(found["windows"]) == 2
    assert seawall("report", "two").code == 0


def test_hindsight_is_no_agent_to_run(seawall: Cli, folder: Path) -> None:
    """It knows the path: what it is, and where it is shown, is said."""
    (folder / "loan.toml").write_text(LOAN)
    done = seawall("run", "loan.toml", "--agent", "hindsight")
    assert done.code == RecipeError.exit_code
    assert "no agent but the bound" in done.err


def test_a_pattern_that_fits_no_recipe_is_refused(seawall: Cli) -> None:
    """The pattern is named, and where to look."""
    done = seawall("compare", "loan_1999*", "--agents", "close_at")
    assert done.code == RecipeError.exit_code
    assert "fits none" in done.err


def test_a_judgement_is_stored_with_the_result(seawall: Cli, folder: Path) -> None:
    """``--json`` has it, and a report written again shows the same price of protection."""
    (folder / "loan.toml").write_text(LOAN)
    value = read_json(seawall("run", "loan.toml", "--json", "--out", "one"))
    judgement = value["judgement"]
    assert isinstance(judgement, dict)
    assert judgement["price"]["hindsight_usd"] > 0
    again = Result.load(folder / "one")
    assert again.judgement == judgement
    first = (folder / "one" / "report.html").read_text()
    assert seawall("report", "one", "--out", "again.html").code == 0
    written = (folder / "again.html").read_text()
    assert "Share of the possible" in first
    shown = [re.findall(r'<div class="card.*?</div>', page, re.DOTALL) for page in (first, written)]
    assert shown[0] == shown[1]
    assert 'id="decomposition"' in written


@pytest.mark.parametrize("damage", [3, {"own": 3}, {"own": {"seized": "much"}}])
def test_a_damaged_judgement_is_one_line(seawall: Cli, folder: Path, damage: object) -> None:
    """It is checked like everything else in the folder."""
    (folder / "loan.toml").write_text(LOAN)
    assert seawall("run", "loan.toml", "--out", "one").code == 0
    path = folder / "one" / "result.json"
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({**stored, "judgement": damage}))
    done = seawall("report", "one")
    assert done.code == ResultError.exit_code
    assert "damaged" in done.err
    assert done.err.count("\n") == 1


def test_a_run_that_cannot_be_judged_is_kept(
    seawall: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hindsight refuses some loans: result and report are written without it, and it says why."""

    def refuse(*_: object) -> None:
        raise ResultError("hindsight needs max_ltv <= threshold < 1")

    monkeypatch.setattr("seawall.analysis.league.judge_alone", refuse)
    (folder / "loan.toml").write_text(LOAN)
    done = seawall("run", "loan.toml", "--json", "--out", "one")
    assert read_json(done)["judgement"] is None
    assert "is not judged" in done.err
    assert "needs max_ltv <= threshold < 1" in done.err
    assert Result.load(folder / "one").judgement is None
    assert "Share of the possible" not in (folder / "one" / "report.html").read_text()
