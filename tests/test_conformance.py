"""The conformance suite: planted faults are found by name, and clean agents raise no alarm."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from conformance_agents import LEAKS, SIGNAL, Counting, failed, run_own_tests, run_source
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from seawall import workspace_folders
from seawall.action import TargetWeight
from seawall.agent import AgentInfo, as_agent
from seawall.cli.agents import check_app, new_app
from seawall.conformance import Finding, Report
from seawall.conformance.contract import check_contract
from seawall.conformance.futures import CHANGES, Change, alter, gather
from seawall.conformance.rehearsal import MakeAgent
from seawall.conformance.suite import to_agent_recipe, to_strategy_recipe
from seawall.conformance.tripwire import (
    LOOK_AHEAD,
    Outcome,
    Said,
    Variant,
    _find_difference,
    check_futures,
)
from seawall.conformance.worlds import default_recipe, make_candles, make_signal
from seawall.engine.components import make_agent
from seawall.errors import AgentError, WorkspaceError
from seawall.market.catalog import VARIABLE, Catalog
from seawall.market.series import Candles, Signal
from seawall.observation import Observation
from seawall.recipe import Recipe

RECIPE = Recipe.from_file(LEAKS / "backtests" / "tripwire.toml").model_copy(update={"agent": None})


def fails(make_agent: MakeAgent) -> dict[str, str]:
    """Return the details of the contract checks that an agent fails, by check."""
    recipe = RECIPE.with_settings({"market.signals": [SIGNAL]})
    findings = check_contract(make_agent, recipe)
    return failed(findings)


# The contract -------------------------------------------------------------------------------------


class Clean(Counting):
    """Follows the last move, uses a signal where it is known, and survives a restart."""

    def decide(self, observation: Observation) -> list[TargetWeight] | None:
        """Answer where there are two prices."""
        prices = observation.prices()
        self.asked += 1
        if len(prices) < 2 or np.isnan(observation.signal(SIGNAL)):
            return None
        weight = float(prices[-1] > prices[-2]) if self.asked % 7 else 0.0
        return [TargetWeight(symbol=observation.symbols[0], weight=weight)]


def test_a_clean_agent_fails_nothing() -> None:
    """An agent that keeps to the contract passes in every world."""
    assert fails(Clean) == {}


def test_a_bare_function_passes_too() -> None:
    """A function is an agent; a number is the weight of the one symbol."""

    def half(observation: Observation) -> float:
        return 0.5 if observation.equity > 0 else 0.0

    assert fails(lambda: as_agent(half)) == {}


class FirstPrice(Clean):
    """Trips over an empty history."""

    def decide(self, observation: Observation) -> list[TargetWeight] | None:
        """Read a price that may not be there."""
        float(observation.prices()[-1])
        return None


class NanWeight(Clean):
    """Answers nan where a signal is not known yet."""

    def decide(self, observation: Observation) -> list[TargetWeight] | None:
        """Turn a signal into a weight, known or not."""
        weight = observation.signal(SIGNAL) / 100
        return [TargetWeight(symbol=observation.symbols[0], weight=weight)]


class Writer(Clean):
    """Writes to what it is shown."""

    def decide(self, observation: Observation) -> list[TargetWeight] | None:
        """Scale prices in place."""
        prices = observation.prices()
        prices /= 2.0
        return None


class Forcer(Clean):
    """Makes a view writeable first."""

    def decide(self, observation: Observation) -> list[TargetWeight] | None:
        """Take the lock off."""
        prices = observation.prices()
        if len(prices):
            prices.flags.writeable = True
            prices[0] = 1.0
        return None


class Hoarder(Clean):
    """Keeps something on the class: a second run starts where the first ended."""

    seen: ClassVar[list[int]] = []

    def decide(self, observation: Observation) -> list[TargetWeight] | None:
        """Count on the class."""
        self.seen.append(observation.time_ms)
        weight = 1 / len(self.seen)
        return [TargetWeight(symbol=observation.symbols[0], weight=weight)]


class Dice(Clean):
    """Uses random numbers of its own."""

    def decide(self, observation: Observation) -> list[TargetWeight] | None:
        """Throw unseeded dice."""
        weight = float(np.random.default_rng().random())
        return [TargetWeight(symbol=observation.symbols[0], weight=weight)]


class Forgetful(Clean):
    """Restores something else than it stored."""

    def decide(self, observation: Observation) -> list[TargetWeight] | None:
        """Answer by how often it was asked."""
        self.asked += 1
        return [TargetWeight(symbol=observation.symbols[0], weight=1 / self.asked)]

    def restore(self, state: bytes) -> None:
        """Start counting anew."""
        self.asked = 0 * len(state)


class Stranger(Clean):
    """Names a symbol that nobody offers."""

    def decide(self, observation: Observation) -> list[TargetWeight] | None:
        """Ask for dogs."""
        return [TargetWeight(symbol="DOGE/USDT", weight=observation.weight())]


class Quitter(Clean):
    """Ends the process."""

    def decide(self, observation: Observation) -> list[TargetWeight] | None:
        """Leave."""
        sys.exit(observation.time_ms % 1)


class QuitsAtOnce(Clean):
    """Ends the process before the first bar."""

    def begin(self, info: AgentInfo) -> None:
        """Leave."""
        sys.exit(info.timeframe_ms % 1)


FAULTS: list[tuple[type[Clean], str, str]] = [
    (FirstPrice, "no history at the start", "IndexError"),
    (FirstPrice, "a symbol that is listed later", "IndexError"),
    (NanWeight, "a signal that is not known yet", "weight must be a finite number, is nan"),
    (Writer, "an ordinary market", "work on a copy"),
    (Forcer, "an ordinary market", "work on a copy"),
    (Quitter, "an ordinary market", "SystemExit: 0; only the user ends a run"),
    (QuitsAtOnce, "leaves the process alone", "SystemExit(0)"),
    (Hoarder, "decides the same twice", "keep nothing on the class"),
    (Dice, "decides the same twice", "info.rng"),
    (Forgetful, "goes on where its state()", "put all it needs into state()"),
    (Stranger, "an ordinary market", "there is no symbol 'DOGE/USDT'"),
]


@pytest.mark.parametrize(("agent", "check", "detail"), FAULTS)
def test_a_planted_fault_is_found(agent: type[Clean], check: str, detail: str) -> None:
    """The check that fails names the fault and the remedy."""
    found = fails(agent)
    names = [name for name in found if check in name]
    assert names, found
    assert detail in found[names[0]]


# Other futures ------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(hour=st.integers(1, 24 * 8), quarter=st.integers(0, 3), change=st.sampled_from(CHANGES))
def test_another_future_leaves_the_past_alone(hour: int, quarter: int, change: Change) -> None:
    """Rows whose period ends by t stay to the bit; every later one is gone or different."""
    start_ms = RECIPE.market.since_ms - RECIPE.market.warmup_ms
    time_ms = start_ms + (4 * hour + quarter) * 15 * 60_000
    candles = make_candles(RECIPE, "BTC/USDT")
    other = alter(candles, change, time_ms)
    assert isinstance(other, Candles)
    n_past = int(np.searchsorted(candles.close_ms, time_ms, "right"))
    for name in ("time_ms", "open", "high", "low", "close", "volume"):
        assert np.array_equal(getattr(other, name)[:n_past], getattr(candles, name)[:n_past])
    if change == "cut":
        assert len(other) == n_past
    else:
        assert not np.any(other.close[n_past:] == candles.close[n_past:])
    signal = make_signal(RECIPE, SIGNAL)
    changed = alter(signal, change, time_ms)
    assert isinstance(changed, Signal)
    n_known = int(np.searchsorted(signal.time_ms + 3_600_000, time_ms, "right"))
    assert np.array_equal(changed.value[:n_known], signal.value[:n_known])
    assert len(changed) == n_known or not np.any(changed.value[n_known:] == signal.value[n_known:])


def test_the_future_goes_up_and_down() -> None:
    """A leak that reads the sign of one bar sees it turned in one of the two."""
    candles = make_candles(RECIPE, "BTC/USDT")
    time_ms = int(candles.close_ms[400])
    up, down = alter(candles, "up", time_ms), alter(candles, "down", time_ms)
    assert isinstance(up, Candles)
    assert isinstance(down, Candles)
    assert up.close[401] > 1.5 * up.close[400]
    assert down.close[401] < 0.75 * down.close[400]


def test_a_simulated_market_is_written_out() -> None:
    """What a run would generate, nobody could cut: it goes through the catalog, hours included."""
    recipe = RECIPE.with_settings({"market.venue": "simulated"})
    changed, known = gather(recipe, None)
    assert changed.market.venue == "tripwire"
    assert {one.series.key.timeframe for one in known} == {"15m", "1h"}


def outcome(*times: int, error: str = "") -> Outcome:
    """Return a run that decided at some times."""
    said = tuple(Said(time_ms=t, text=f"decision at {t}") for t in times)
    return Outcome(said=said, orders=(), files=(), error=error)


@pytest.mark.parametrize(
    ("other", "is_found"),
    [
        (outcome(10, 20, 30), False),
        (outcome(10, 20, 31), False),  # after t anything may differ
        (outcome(10, 30), True),
        (outcome(10, 19, 20), True),
        (outcome(10, 20, 25), True),
        (outcome(error="IndexError: out of range"), True),
    ],
)
def test_differences_count_up_to_t(other: Outcome, *, is_found: bool) -> None:
    """With t = 25: decisions at 10 and 20 must be the same, nothing may be added, none raised."""
    variant = Variant(change="cut", time_ms=25)
    assert bool(_find_difference(RECIPE, outcome(10, 20, 30), other, variant)) == is_found


def test_at_the_open_the_bar_after_t_is_known_rightly() -> None:
    """Who decides at the open sees the open at t: only decisions a bar earlier have to agree."""
    recipe = RECIPE.with_settings({"execution.decide_at": "open"})
    t = 10 * recipe.market.timeframe_ms
    variant = Variant(change="up", time_ms=t)
    assert not _find_difference(recipe, outcome(t), outcome(), variant)
    before = t - recipe.market.timeframe_ms
    assert _find_difference(recipe, outcome(before), outcome(), variant)


# Files past the catalog ---------------------------------------------------------------------------

READ_SOME = """
import json, sys
from pathlib import Path
import numpy as np, pandas as pd, pyarrow as pa, pyarrow.parquet as pq
import pyarrow.csv, pyarrow.dataset, pyarrow.feather
from seawall.conformance.reads import Reads

home = Path(sys.argv[1])
reads = Reads(catalog=str(home / "catalog"), original=str(home / "original"))
reads.listen()
for code in json.loads(sys.argv[2]):
    reads.files.clear()
    exec(code)
    print(*(Path(file).relative_to(home) for file in sorted(reads.files)))
"""
READ_BY: tuple[tuple[str, str], ...] = (
    ("pq.read_table(str(home / 'prices.parquet'))", "prices.parquet"),
    ("pq.read_table(source=home / 'prices.parquet')", "prices.parquet"),
    ("pq.ParquetFile(str(home / 'prices.parquet')).read()", "prices.parquet"),
    ("pa.dataset.dataset(str(home / 'prices.parquet')).to_table()", "prices.parquet"),
    ("pa.feather.read_table(str(home / 'prices.feather'))", "prices.feather"),
    ("pa.csv.read_csv(str(home / 'prices.csv'))", "prices.csv"),
    ("pa.OSFile(str(home / 'prices.npy')).read()", "prices.npy"),
    ("pa.memory_map(str(home / 'prices.npy')).read()", "prices.npy"),
    ("pd.read_parquet(home / 'prices.parquet')", "prices.parquet"),
    ("np.load(home / 'prices.npy')", "prices.npy"),
    ("np.load(home / 'prices.npy', mmap_mode='r')", "prices.npy"),
    ("(home / 'weights').read_bytes()", "weights"),
    ("import sqlite3; sqlite3.connect(home / 'weights').close()", "weights"),
    ("(home / 'original' / 'manifest.json').read_text()", "original/manifest.json"),
    ("(home / 'catalog' / 'manifest.json').read_text()", ""),
    ("pq.read_table(home / 'catalog' / 'prices.parquet')", ""),
    ("(home / 'own').write_text('a'); (home / 'own').read_text()", ""),
    ("pa.OSFile(str(home / 'own'), mode='w').close()", ""),
    ("zoneinfo = __import__('zoneinfo'); zoneinfo.ZoneInfo('Europe/Berlin')", ""),
    ("import seawall.agents.sma_cross, seawall.cli, json.tool, xml.dom.minidom", ""),
)


def test_every_file_read_past_the_catalog_is_seen(tmp_path: Path) -> None:
    """Whatever the suffix, by Python or by pyarrow itself; code and the catalog are no matter."""
    table = pd.DataFrame({"close": [1.0, 2.0]})
    (tmp_path / "catalog").mkdir()
    (tmp_path / "original").mkdir()
    for folder in ("catalog", "original"):
        (tmp_path / folder / "manifest.json").write_text("{}", encoding="utf-8")
    table.to_parquet(tmp_path / "prices.parquet")
    table.to_parquet(tmp_path / "catalog" / "prices.parquet")
    table.to_feather(tmp_path / "prices.feather")
    np.save(tmp_path / "prices.npy", np.ones(3))
    (tmp_path / "prices.csv").write_text("close\n1.0\n", encoding="utf-8")
    (tmp_path / "weights").write_bytes(b"")
    codes = json.dumps([code for code, _ in READ_BY])
    command = [sys.executable, "-c", READ_SOME, str(tmp_path), codes]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found = zip((code for code, _ in READ_BY), ended.stdout.splitlines(), strict=True)
    assert list(found) == list(READ_BY)


# The whole suite ----------------------------------------------------------------------------------


def check_planted(kind: str, name: str, *options: str, catalog: Path | None = None) -> Report:
    """Return the report of ``seawall check`` in the workspace of planted leaks."""
    environment = {**os.environ, workspace_folders.VARIABLE: str(LEAKS)}
    if catalog is not None:
        environment[VARIABLE] = str(catalog)
    recipe = () if "--recipe" in options else ("--recipe", "tripwire")
    command = [sys.executable, "-m", "seawall", "check", kind, name, "--json", *recipe, *options]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.stdout, ended.stderr
    stored = json.loads(ended.stdout)
    findings = tuple(Finding(**finding) for finding in stored["findings"])
    report = Report(name=stored["name"], findings=findings)
    assert ended.returncode == (0 if report.passed else AgentError.exit_code), ended.stderr
    return report


CHECK_ALL = """
import json, sys
from pathlib import Path
from seawall.conformance.suite import to_agent_recipe, to_strategy_recipe
from seawall.conformance.tripwire import check_futures
from seawall.recipe import Recipe

recipe = Recipe.from_file(Path(sys.argv[1])).model_copy(update={"agent": None})
makers = {"agents": to_agent_recipe, "strategies": to_strategy_recipe}
names = sys.argv[2:]
jobs = [makers[name.partition(".")[0]](name, recipe) for name in names]
found = check_futures(jobs)
print(json.dumps({n: [vars(f) for f in fs] for n, fs in zip(names, found)}))
"""
PLANTED = (
    "agents.next_close_from_catalog", "agents.whole_series_scaling",
    "agents.centred_window_in_fit", "agents.open_stamped_hours", "strategies.next_close",
    "strategies.guarded_next_close", "strategies.whole_array",
)  # fmt: skip
HONEST = "agents.honest_hours"


@pytest.mark.slow
def test_planted_leaks_are_caught_and_honest_agents_are_not() -> None:
    """Whatever the way by which the future leaks in, the first decision that knew it is named.

    Opening the catalog is no crime: hours that have closed may be read.
    """
    command = [sys.executable, "-c", CHECK_ALL, str(LEAKS / "backtests" / "tripwire.toml")]
    environment = {**os.environ, workspace_folders.VARIABLE: str(LEAKS)}
    ended = subprocess.run(
        [*command, *PLANTED, HONEST], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    found = {
        name: {finding["check"]: finding for finding in findings}
        for name, findings in json.loads(ended.stdout).items()
    }
    for name in PLANTED:
        assert found[name][LOOK_AHEAD]["detail"].startswith("look-ahead: with the full"), name
    assert all(finding["passed"] for finding in found[HONEST].values()), found[HONEST]


@pytest.mark.slow
@pytest.mark.parametrize("known_after_ms", [0, 3_600_000])
def test_a_signal_with_a_wrong_known_at_is_caught(tmp_path: Path, known_after_ms: int) -> None:
    """A value of an hour that is "known" when the hour begins is look-ahead; at its end, not."""
    market = RECIPE.market
    recipe = RECIPE.with_settings({"market.venue": "elsewhere"})
    candles = make_candles(recipe, "BTC/USDT")
    signal = make_signal(recipe, "elsewhere/next_hour/1h")
    steps = np.diff(np.append(candles.open[::4], candles.close[-1]))[: len(signal)]
    wrong = Signal(
        key=signal.key,
        time_ms=signal.time_ms,
        known_ms=signal.time_ms + known_after_ms,
        value=steps,
    )
    catalog = Catalog(tmp_path / "catalog")
    catalog.write(candles, fetched_ms=None)
    catalog.write(wrong, fetched_ms=None)
    file = tmp_path / "signal.toml"
    file.write_text(
        "[market]\n"
        'venue = "elsewhere"\nsymbols = ["BTC/USDT"]\ntimeframe = "15m"\n'
        f'since = "{market.since}"\nuntil = "{market.until}"\nwarmup = "{market.warmup}"\n'
        'signals = ["elsewhere/next_hour/1h"]\n',
        encoding="utf-8",
    )
    report = check_planted("agent", "follows_signal", "--recipe", str(file), catalog=catalog.root)
    (found,) = (finding for finding in report.findings if finding.check == LOOK_AHEAD)
    assert found.passed == (known_after_ms > 0), found.detail


@pytest.mark.slow
def test_a_table_read_past_the_catalog_is_reported(tmp_path: Path) -> None:
    """What the tripwire cannot cut, it names."""
    table = tmp_path / "weights.csv"
    times = RECIPE.market.since_ms + 3_600_000 * np.arange(24)
    lines = [f"{t},{n % 2}" for n, t in enumerate(times.tolist())]
    table.write_text("\n".join(["time_ms,weight", *lines]) + "\n", encoding="utf-8")
    report = check_planted("agent", "reads_a_file", "--set", f'path="{table}"')
    details = [finding.detail for finding in report.findings if not finding.passed]
    assert [str(table) in detail for detail in details] == [True]


QUITS = """
import sys

def quits(observation):
    sys.exit()
"""


@pytest.mark.slow
def test_an_agent_that_ends_the_process_fails_its_check(tmp_path: Path) -> None:
    """It neither ends the check in silence, nor passes it."""
    for kind in workspace_folders.KINDS:
        (tmp_path / kind).mkdir()
    (tmp_path / "agents" / "quits.py").write_text(QUITS, encoding="utf-8")
    command = [sys.executable, "-m", "seawall", "check", "agent", "quits", "--json"]
    environment = {**os.environ, workspace_folders.VARIABLE: str(tmp_path)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == AgentError.exit_code, ended.stderr
    failed = [f for f in json.loads(ended.stdout)["findings"] if not f["passed"]]
    assert "SystemExit" in failed[0]["detail"]


SHIPPED = (
    "bollinger", "buy_and_hold", "cash", "dca", "donchian", "fixed_leverage", "macd",
    "matched_random", "momentum", "rebalance", "rsi", "sma_cross", "volatility_leverage",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_agents_keep_to_the_contract(name: str) -> None:
    """No alarm on clean agents, in any world."""
    recipe = to_agent_recipe(name, default_recipe())
    findings = check_contract(lambda: make_agent(recipe), recipe)
    assert all(finding.passed for finding in findings), findings


@pytest.mark.slow
def test_nothing_shipped_knows_the_future() -> None:
    """No alarm on clean agents and strategies, plain backtrader code among them."""
    base = default_recipe()
    recipes = [to_agent_recipe(name, base) for name in SHIPPED]
    recipes += [to_strategy_recipe(name, base) for name in ("golden_cross", "spot_trading")]
    for recipe, findings in zip(recipes, check_futures(recipes), strict=True):
        assert all(finding.passed for finding in findings), (recipe.agent, findings)


# The command line ---------------------------------------------------------------------------------


def test_new_agent_makes_a_workspace(home: Path) -> None:
    """The three folders, an agent and its test, and what to do next."""
    ended = CliRunner().invoke(new_app, ["agent", "dip_buyer"], catch_exceptions=False)
    assert ended.exit_code == 0
    assert "seawall check agent dip_buyer" in ended.output
    assert all((home / kind).is_dir() for kind in workspace_folders.KINDS)
    scope = run_source(home / "agents" / "dip_buyer.py")
    assert hasattr(scope["DipBuyer"], "decide")
    assert "dip_buyer" in (home / "tests" / "test_dip_buyer.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["sma_cross", "My_Agent", "2fast", "../evil", "_hidden", "class"])
def test_new_agent_refuses_bad_names(home: Path, name: str) -> None:
    """Shipped names, names that Python or a folder would not take: nothing is written."""
    with pytest.raises(WorkspaceError):
        CliRunner().invoke(new_app, ["agent", name], catch_exceptions=False)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("taken", ["agents/mine.py", "tests/test_mine.py"])
def test_new_agent_overwrites_nothing(home: Path, taken: str) -> None:
    """An agent or a test of that name stays as it is."""
    path = home / taken
    path.parent.mkdir()
    path.write_text("precious", encoding="utf-8")
    with pytest.raises(WorkspaceError, match="is there already"):
        CliRunner().invoke(new_app, ["agent", "mine"], catch_exceptions=False)
    assert path.read_text(encoding="utf-8") == "precious"
    assert sum(1 for found in home.rglob("*") if found.is_file()) == 1


def test_check_names_an_agent_that_is_not_there() -> None:
    """A typo is answered with the nearest name."""
    with pytest.raises(WorkspaceError, match="did you mean 'sma_cross'"):
        CliRunner().invoke(check_app, ["agent", "sma_cros"], catch_exceptions=False)


@pytest.mark.slow
def test_the_test_that_new_agent_writes_passes(home: Path) -> None:
    """The first thing a new user runs is green."""
    CliRunner().invoke(new_app, ["agent", "dip_buyer"], catch_exceptions=False)
    run_own_tests(home)
