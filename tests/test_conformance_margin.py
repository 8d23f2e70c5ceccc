"""Agents on a futures account in the conformance suite: planted faults are found by name."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from conformance_agents import (
    SIGNAL,
    Counting,
    check_planted_guards,
    failed,
    run_own_tests,
    run_source,
)
from test_conformance import SHIPPED as TRADERS
from test_conformance_loan import GUARDS as LOAN_GUARDS
from typer.testing import CliRunner

from seawall.agent import as_agent, guards
from seawall.cli.agents import new_app
from seawall.conformance.engine_contract import check_trials
from seawall.conformance.engine_worlds import Trial
from seawall.conformance.futures import gather, write_brackets
from seawall.conformance.loan_worlds import default_loan_recipe
from seawall.conformance.margin_worlds import (
    default_carry_recipe,
    default_futures_recipe,
    default_margin_recipe,
    make_margin_trials,
)
from seawall.conformance.rehearsal import MakeAgent
from seawall.conformance.suite import (
    check_agent,
    find_default,
    guards_loan,
    guards_margin,
    to_agent_recipe,
    to_strategy_recipe,
)
from seawall.conformance.tripwire import LOOK_AHEAD, check_futures
from seawall.conformance.worlds import default_recipe, make_candles
from seawall.engine.components import make_agent
from seawall.errors import RecipeError, WorkspaceError
from seawall.market.bracket_files import find_brackets
from seawall.market.catalog import Catalog
from seawall.observation import Observation
from seawall.recipe import Recipe
from seawall.workspace import list_names, load

SPOT, ETH = "ETH/USDT", "ETH/USDT:USDT"
SHORT_WINDOW = {
    "market.since": "2023-02-27",
    "market.until": "2023-03-06",
    "market.warmup": "2d",
}
SHORT = default_margin_recipe().with_settings(SHORT_WINDOW)
GUARDS = ("add_margin_at_ratio", "do_nothing", "reduce_at_margin_ratio")
CARRIERS = ("funding_threshold",)
# They need a program, an address or a file, and are checked with one in tests of their own.
ELSEWHERE = ("http", "language_model", "policy", "stdio")
# They are fitted, or need a signal: checked in worlds that have what they need.
LEARNED = ("expert_weights", "fear_greed", "gradient_boosting", "hazard", "river_logistic")


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Return a catalog without a series."""
    return Catalog(tmp_path_factory.mktemp("catalog"))


@pytest.fixture(scope="module")
def trials(nothing: Catalog) -> list[Trial]:
    """Return the worlds of the short recipe."""
    return make_margin_trials(SHORT, nothing)


def fails(make_guard: MakeAgent, trials: list[Trial]) -> dict[str, str]:
    """Return the details of the contract checks that a guard fails, by check."""
    findings = check_trials(make_guard, trials)
    return failed(findings)


# The contract -------------------------------------------------------------------------------------


class Clean(Counting):
    """Reduces a little now and then, uses a signal where it is known, survives a restart."""

    guards: ClassVar[str] = "margin"

    def decide(self, observation: Observation) -> Any:
        """Answer where there is a position and a signal."""
        self.asked += 1
        view = observation.perpetual
        if view is None or not view.positions or np.isnan(observation.signal(SIGNAL)):
            return None
        return 0.97 * view.position().real_leverage if self.asked % 20 == 0 else None


def test_a_clean_guard_fails_nothing(trials: list[Trial]) -> None:
    """A guard that keeps to the contract passes in every world, a bare function too."""
    assert fails(Clean, trials) == {}

    def hold(observation: Observation) -> float | None:
        view = observation.perpetual
        return 3.0 if view is not None and view.margin_ratio > 0.05 else None

    assert fails(lambda: as_agent(hold), trials) == {}


class NoReserve(Clean):
    """Trips over an empty reserve."""

    def decide(self, observation: Observation) -> Any:
        """Divide by what is free."""
        assert observation.perpetual is not None
        if observation.perpetual.reserve < 10.0:
            raise ZeroDivisionError("no reserve")
        return super().decide(observation)


class Gone(Clean):
    """Takes it that the position is always there."""

    def decide(self, observation: Observation) -> Any:
        """Ask for it by name."""
        assert observation.perpetual is not None
        return observation.perpetual.positions[ETH].real_leverage * 0.999


class Nonsense(Clean):
    """Answers what is none."""

    def decide(self, observation: Observation) -> Any:
        """A leverage below 0."""
        del observation
        return -1.0


class Bends(Clean):
    """Writes to what it is shown."""

    def decide(self, observation: Observation) -> Any:
        """Change the positions under the view."""
        view: Any = observation.perpetual
        view._positions[0, 0] *= 1.0 + 1e-6
        return None


class Forgets(Clean):
    """Leaves what it has counted out of its state."""

    def restore(self, state: bytes) -> None:
        """Begin again."""
        del state
        self.asked = 0


class Moody(Clean):
    """Keeps a count on the class."""

    count: ClassVar[int] = 0

    def decide(self, observation: Observation) -> Any:
        """Answer by how often any of them was asked."""
        Moody.count += 1
        self.asked = Moody.count
        return super().decide(observation)


@pytest.mark.parametrize(
    ("kind", "check", "words"),
    [
        (NoReserve, "answers what is allowed: an empty reserve", "no reserve"),
        (Gone, "answers what is allowed: prices that fall at once", "KeyError"),
        (Nonsense, "answers what is allowed: an ordinary market", "finite number >= 0"),
        (Bends, "leaves what it is shown alone", "the futures account"),
        (Forgets, "goes on where its state() was taken", "put all it needs into state()"),
        (Moody, "decides the same twice in one process", "keep nothing on the class"),
    ],
)
@pytest.mark.slow
def test_a_planted_fault_is_found_by_name(
    kind: type[Clean], check: str, words: str, trials: list[Trial]
) -> None:
    """Each check catches the fault that it is there for."""
    found = fails(kind, trials)
    assert words in found[check], found


# The worlds ---------------------------------------------------------------------------------------


def test_a_made_up_perpetual_follows_its_spot_market() -> None:
    """Within 1 %: a carry of two unrelated prices would be none."""
    recipe = default_carry_recipe()
    spot, perpetual = make_candles(recipe, SPOT), make_candles(recipe, ETH)
    assert np.array_equal(spot.time_ms, perpetual.time_ms)
    assert np.abs(perpetual.close / spot.close - 1.0).max() < 0.01
    assert np.abs(perpetual.close / spot.close - 1.0).max() > 0.0


def test_the_worlds_put_a_guard_to_the_test(nothing: Catalog) -> None:
    """Left alone the position is lost in the ordinary world; rates of funding differ."""
    recipe = to_agent_recipe("do_nothing", default_margin_recipe())
    trials = make_margin_trials(recipe, nothing)
    assert [trial.missing for trial in trials if trial.world is None] == []
    assert {"an empty reserve", "prices that fall at once"} < {trial.name for trial in trials}
    world = trials[0].world
    assert world is not None
    assert world.perpetual is not None
    marks = world.perpetual.marks[:, 0, 2]
    assert marks.min() / marks[0] < 0.8  # of 5x
    assert len(set(world.perpetual.stamps.rate.tolist())) > 100


def test_an_entry_price_is_left_out_at_made_up_prices(nothing: Catalog) -> None:
    """An entry at 9,000 would be liquidated at once at 2,000."""
    recipe = SHORT.with_settings({"perpetual.position.entry": 9_000.0})
    trial = make_margin_trials(recipe, nothing)[0]
    assert trial.recipe.perpetual is not None
    assert trial.recipe.perpetual.position is not None
    assert trial.recipe.perpetual.position.entry is None


def test_brackets_go_with_the_tripwire(nothing: Catalog, tmp_path: Path) -> None:
    """Those of a made-up venue are a real exchange's; funding is stored, with its own rates."""
    recipe, known = gather(SHORT, nothing)
    root = Catalog(tmp_path / "future")
    write_brackets(root, recipe, nothing)
    assert find_brackets(root, "tripwire", ETH)
    kinds = [one.series.key.kind for one in known]
    assert kinds.count("funding") == 1
    assert recipe.perpetual is not None
    assert recipe.perpetual.funding.source == "series"


# Whom it concerns ---------------------------------------------------------------------------------


def test_an_agent_says_where_it_is_checked() -> None:
    """By what it guards or trades; a job too; doing nothing is checked with a loan."""
    for name in GUARDS:
        assert guards_margin(name)
    agents = {
        "reduce_at_margin_ratio": default_margin_recipe(),
        "do_nothing": default_loan_recipe(),
        "funding_threshold": default_carry_recipe(),
        "fixed_leverage": default_recipe(),
    }
    assert {name: find_default(name) for name in agents} == agents
    jobs = {
        "margin_protection": default_margin_recipe(),
        "funding_carry": default_carry_recipe(),
        "futures_trading": default_futures_recipe(),
        "spot_trading": default_recipe(),
    }
    assert {name: find_default(name, "strategies") for name in jobs} == jobs


@pytest.mark.parametrize(
    ("job", "agent"),
    [
        ("margin_protection", "agents.reduce_at_margin_ratio"),
        ("funding_carry", "agents.funding_threshold"),
        ("futures_trading", "agents.sma_cross"),
    ],
)
def test_a_job_is_checked_with_an_agent_that_does_it(job: str, agent: str) -> None:
    """Where the recipe names none."""
    recipe = to_strategy_recipe(job, find_default(job, "strategies"))
    assert recipe.agent is not None
    assert recipe.agent.name == agent


def test_no_shipped_agent_is_forgotten() -> None:
    """Each is checked in a market with what it guards or trades: nothing ships unchecked."""
    checked = {*TRADERS, *GUARDS, *LOAN_GUARDS, *CARRIERS, *ELSEWHERE, *LEARNED}
    assert sorted(checked) == list_names("agents")
    for name in list_names("agents"):
        kind = load(f"agents.{name}")
        assert guards(kind, "margin") == guards_margin(name) == (name in GUARDS)
        assert guards(kind, "loan") == guards_loan(name) == (name in (*LOAN_GUARDS, "hazard"))
        assert (getattr(kind, "trades", "") == "carry") == (name in CARRIERS)


def test_a_guard_needs_what_it_guards() -> None:
    """A recipe without a position is refused before anything runs, one with only the other too."""
    rule = r"guards a position, the recipe has none: name one with \[perpetual.position\]"
    with pytest.raises(RecipeError, match=rule):
        check_agent("reduce_at_margin_ratio", recipe=default_recipe())
    with pytest.raises(RecipeError, match="guards a loan, the recipe has none"):
        check_agent("close_at", recipe=default_margin_recipe())


# Shipped agents and leaks -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", [*GUARDS, *CARRIERS])
def test_the_shipped_agents_keep_to_the_contract(name: str, nothing: Catalog) -> None:
    """No alarm on clean agents, in any world."""
    base = default_carry_recipe() if name in CARRIERS else default_margin_recipe()
    recipe = to_agent_recipe(name, base)
    findings = check_trials(lambda: make_agent(recipe), make_margin_trials(recipe, nothing))
    assert all(finding.passed for finding in findings), findings


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sma_cross", "fixed_leverage", "volatility_leverage"])
def test_traders_keep_to_the_contract_on_perpetuals(name: str, nothing: Catalog) -> None:
    """The same agents that are checked on spot."""
    recipe = to_agent_recipe(name, default_futures_recipe())
    findings = check_trials(lambda: make_agent(recipe), make_margin_trials(recipe, nothing))
    assert all(finding.passed for finding in findings), findings


@pytest.mark.slow
def test_nothing_shipped_knows_the_future() -> None:
    """No alarm on clean agents and their jobs, and they do something."""
    recipes = [to_agent_recipe(name, default_margin_recipe()) for name in GUARDS]
    recipes += [to_agent_recipe(name, default_carry_recipe()) for name in CARRIERS]
    for name in ("fixed_leverage", "volatility_leverage"):
        recipes.append(to_agent_recipe(name, default_futures_recipe()))
    for recipe, findings in zip(recipes, check_futures(recipes), strict=True):
        assert all(finding.passed for finding in findings), (recipe.agent, findings)
        is_idle = recipe.agent is not None and recipe.agent.name == "agents.do_nothing"
        said = int(findings[-1].detail.partition(" ")[0])
        assert (said == 0) == is_idle, findings


@pytest.mark.slow
@pytest.mark.parametrize(
    ("agent", "recipe"),
    [("margin_next_close", default_margin_recipe()), ("margin_next_rate", default_carry_recipe())],
)
def test_a_leaking_agent_is_caught(agent: str, recipe: Recipe) -> None:
    """The first decision that knew the next close, or the next funding rate, is named."""
    found = check_planted_guards({agent: {}}, recipe)
    detail = found[agent][LOOK_AHEAD]["detail"]
    assert detail.startswith("look-ahead: with the full"), detail


@pytest.mark.slow
def test_what_is_seen_of_an_account_is_known_by_then() -> None:
    """A guard that tells all of it at every bar, mark and margin too, raises no alarm."""
    found = check_planted_guards({"margin_honest_account": {}}, default_margin_recipe())
    findings = found["margin_honest_account"]
    assert all(finding["passed"] for finding in findings.values()), findings


# The command line ---------------------------------------------------------------------------------


def test_new_agent_writes_a_guard(home: Path, trials: list[Trial]) -> None:
    """With ``--margin`` it says what it guards, and keeps to the contract as it stands."""
    ended = CliRunner().invoke(new_app, ["agent", "moat", "--margin"], catch_exceptions=False)
    assert ended.exit_code == 0
    assert "seawall run margin_demo --agent moat" in ended.output
    scope = run_source(home / "agents" / "moat.py")
    assert guards(scope["Moat"], "margin")
    assert fails(scope["Moat"], trials) == {}


def test_new_agent_guards_one_thing(home: Path) -> None:
    """Both flags at once are refused, and nothing is written."""
    with pytest.raises(WorkspaceError, match="give --loan or --margin"):
        CliRunner().invoke(new_app, ["agent", "moat", "--margin", "--loan"], catch_exceptions=False)
    assert not list(home.iterdir())


@pytest.mark.slow
def test_the_test_that_new_agent_writes_for_a_guard_passes(home: Path) -> None:
    """The first thing that whoever guards a position runs is green."""
    CliRunner().invoke(new_app, ["agent", "moat", "--margin"], catch_exceptions=False)
    run_own_tests(home)
