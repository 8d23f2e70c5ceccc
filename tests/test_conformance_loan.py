"""Guards of loans in the conformance suite: planted faults are found by name, clean guards pass."""

import json
import sys
from dataclasses import replace
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
from hypothesis import given, settings
from hypothesis import strategies as st
from test_conformance import SHIPPED as TRADERS
from typer.testing import CliRunner

from seawall.action import TargetWeight
from seawall.agent import AgentInfo, Decision, Wake, as_agent
from seawall.cli.agents import new_app
from seawall.conformance.engine_contract import check_trials
from seawall.conformance.futures import CHANGES, Change, alter, gather, write_future
from seawall.conformance.loan_worlds import ABSENT, default_loan_recipe, make_trials
from seawall.conformance.rehearsal import MakeAgent
from seawall.conformance.suite import (
    check_agent,
    find_default,
    guards_loan,
    to_agent_recipe,
    to_strategy_recipe,
)
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
from seawall.engine.world import build_world
from seawall.errors import RecipeError
from seawall.loan_action import Supply, TargetHealth
from seawall.market.catalog import Catalog
from seawall.market.series import SeriesKey, Signal
from seawall.market.simulate import simulate
from seawall.observation import Observation
from seawall.recipe import Recipe
from seawall.units import DAY_MS, MINUTE_MS

SHORT = default_loan_recipe().with_settings(
    {"market.since": "2023-02-09", "market.until": "2023-02-13", "market.warmup": "2d"}
)
GUARDS = (
    "close_at", "defi_saver", "deleverage_and_hedge", "do_nothing", "hedge_on_drawdown",
    "minimum_leverage", "pre_liquidation", "summer_fi", "volatility_target",
)  # fmt: skip


@pytest.fixture
def nothing(tmp_path: Path) -> Catalog:
    """Return a catalog without a series."""
    return Catalog(tmp_path / "catalog")


def fails(make_guard: MakeAgent, catalog: Catalog, recipe: Recipe = SHORT) -> dict[str, str]:
    """Return the details of the contract checks that a guard fails, by check."""
    findings = check_trials(make_guard, make_trials(recipe, catalog))
    return failed(findings)


# The contract -------------------------------------------------------------------------------------


class Clean(Counting):
    """Deleverages a little now and then, uses a signal where it is known, survives a restart."""

    guards: ClassVar[str] = "loan"

    def decide(self, observation: Observation) -> Any:
        """Answer where there is a loan and a signal."""
        self.asked += 1
        loan = observation.loan
        if loan is None or loan.debt_usd == 0 or np.isnan(observation.signal(SIGNAL)):
            return None
        return loan.health + 0.01 if self.asked % 20 == 0 else None


def test_a_clean_guard_fails_nothing(nothing: Catalog) -> None:
    """A guard that keeps to the contract passes in every world."""
    assert fails(Clean, nothing) == {}


def test_a_bare_function_passes_too(nothing: Catalog) -> None:
    """A function is an agent; a number is the health factor to aim at."""

    def hold(observation: Observation) -> float | None:
        loan = observation.loan
        return 1.4 if loan is not None and loan.health < 1.3 else None

    findings = check_trials(lambda: as_agent(hold), make_trials(SHORT, nothing))
    assert all(finding.passed for finding in findings), findings


class NoWallet(Clean):
    """Trips over an empty wallet."""

    def decide(self, observation: Observation) -> Any:
        """Divide by what lies in the wallet."""
        loan = observation.loan
        return None if loan is None or loan.debt_usd / loan.wallet["USDC"] > 0 else 2.0


class NanHealth(Clean):
    """Answers nan where a signal is not known yet."""

    def decide(self, observation: Observation) -> Any:
        """Aim at a signal, known or not."""
        return TargetHealth(health=2.0 + abs(observation.signal(SIGNAL)))


class Trader(Clean):
    """Trades where there is a loan to guard."""

    def decide(self, observation: Observation) -> Any:
        """Ask for a weight."""
        return [TargetWeight(symbol=observation.symbols[0], weight=0.5)]


class Stranger(Clean):
    """Names an asset that the loan has not."""

    def decide(self, observation: Observation) -> Any:
        """Supply dogs."""
        return [Supply(asset="DOGE", amount=observation.time_ms)]


class Writer(Clean):
    """Writes to the prices it is shown."""

    def decide(self, observation: Observation) -> Any:
        """Scale prices in place."""
        prices = observation.prices()
        prices /= 2.0


class Waker(Clean):
    """Wants to be woken for a symbol that nobody offers."""

    def decide(self, observation: Observation) -> Any:
        """Sleep until dogs are dear."""
        return Decision(wake=Wake(above={"DOGE/USDT": float(observation.time_ms)}))


class Hoarder(Clean):
    """Keeps something on the class: a second run starts where the first ended."""

    seen: ClassVar[list[int]] = []

    def decide(self, observation: Observation) -> Any:
        """Count on the class."""
        self.seen.append(observation.time_ms)
        return 2.0 + len(self.seen)


class Dice(Clean):
    """Uses random numbers of its own."""

    def decide(self, observation: Observation) -> Any:
        """Throw unseeded dice."""
        return 2.0 + float(np.random.default_rng().random()) + 0 * observation.time_ms


class Forgetful(Clean):
    """Restores something else than it stored."""

    def decide(self, observation: Observation) -> Any:
        """Answer by how often it was asked."""
        self.asked += 1
        return 2.0 + self.asked + 0 * observation.time_ms

    def restore(self, state: bytes) -> None:
        """Start counting anew."""
        self.asked = 0 * len(state)


class Unrestorable(Clean):
    """Cannot read its own state."""

    def restore(self, state: bytes) -> None:
        """Expect something else."""
        raise ValueError(state)


class Quitter(Clean):
    """Ends the process."""

    def decide(self, observation: Observation) -> Any:
        """Leave."""
        sys.exit(observation.time_ms % 1)


class QuitsAtOnce(Clean):
    """Ends the process before the first bar."""

    def begin(self, info: AgentInfo) -> None:
        """Leave."""
        sys.exit(info.timeframe_ms % 1)


class QuitsAtLast(Clean):
    """Ends the process after the last bar."""

    def end(self) -> None:
        """Leave."""
        sys.exit(0)


class FitsBadly(Clean):
    """Cannot learn from an empty history."""

    def fit(self, history: Observation) -> None:
        """Read a price that may not be there."""
        float(history.prices()[0])


FAULTS: list[tuple[type[Clean], str, str]] = [
    (NoWallet, "an empty wallet", "ZeroDivisionError"),
    (NanHealth, "a signal that is not known yet", "health factor must be > 1, is nan"),
    (Trader, "an ordinary market", "trades, this job is a loan"),
    (Stranger, "an ordinary market", "there is no asset 'DOGE'"),
    (Writer, "an ordinary market", "work on a copy"),
    (Waker, "an ordinary market", "no symbol 'DOGE/USDT' to wake for"),
    (FitsBadly, "no history at the start", "IndexError"),
    (Quitter, "an ordinary market", "SystemExit: 0; only the user ends a run"),
    (QuitsAtOnce, "leaves the process alone", "SystemExit(0)"),
    (QuitsAtLast, "leaves the process alone", "SystemExit(0)"),
    (Hoarder, "decides the same twice", "keep nothing on the class"),
    (Dice, "decides the same twice", "info.rng"),
    (Forgetful, "goes on where its state()", "put all it needs into state()"),
    (Unrestorable, "goes on where its state()", "state() or restore() raises ValueError"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("guard", "check", "detail"), FAULTS)
def test_a_planted_fault_is_found(
    guard: type[Clean], check: str, detail: str, nothing: Catalog
) -> None:
    """The check that fails names the fault and the remedy."""
    found = fails(guard, nothing)
    names = [name for name in found if check in name]
    assert names, found
    assert detail in found[names[0]]


class Bender(Clean):
    """Wants the terms of the loan to be better than they are."""

    def decide(self, observation: Observation) -> Any:
        """Raise the threshold of what it is shown."""
        loan = observation.loan
        if loan is not None:
            terms: Any = loan.terms.threshold
            terms["WETH"] = 0.99


def test_a_guard_that_bends_the_terms_is_found(nothing: Catalog) -> None:
    """Whether they can be written to or not, whoever tries does not pass."""
    found = fails(Bender, nothing)
    assert "leaves what it is shown alone" in found or "an ordinary market" in str(found)


def test_the_default_loan_is_taken_up_and_falls_low(nothing: Catalog) -> None:
    """Every shipped guard has something to do in it: it nearly reaches liquidation."""
    ordinary = make_trials(default_loan_recipe(), nothing)[0]
    assert ordinary.world is not None
    prices = ordinary.world.candles["ETH/USDT"].between(ordinary.world.since_ms, None).close
    assert prices.max() > 1.1 * prices[0]
    assert 1.35 * prices.min() / prices[0] < 1


def test_a_world_in_which_there_is_no_such_loan_is_left_out(nothing: Catalog) -> None:
    """Its collateral is listed later: the finding says that it was not tried, and why."""
    recipe = SHORT.with_settings({"market.symbols": ["BTC/USDT", "ETH/USDT"]})
    findings = check_trials(Clean, make_trials(recipe, nothing))
    (left_out,) = (f for f in findings if f.detail.startswith("left out"))
    assert "listed later" in left_out.check
    assert left_out.passed
    assert "ETH-USDT" in left_out.detail


def test_a_debt_in_tokens_becomes_a_health_factor(nothing: Catalog) -> None:
    """At made-up prices 20,000 USDC could be more than the collateral is worth."""
    recipe = SHORT.model_copy(update={"loan": None})
    plain = {"equity": 10.0, "debt_amount": 20_000.0, "gas": {"source": "model"}}
    recipe = Recipe.from_dict({**json.loads(recipe.to_json()), "loan": plain})
    assert all(trial.world is not None for trial in make_trials(recipe, nothing))


# Whom it concerns ---------------------------------------------------------------------------------


def test_a_guard_says_so_and_gets_a_loan() -> None:
    """``guards = "loan"`` on the class chooses the recipe; a job that guards one gets it too."""
    assert guards_loan("close_at")
    assert not guards_loan("agents.sma_cross")
    assert find_default("close_at").loan is not None
    assert find_default("sma_cross").loan is None
    assert find_default("leveraged_staking", "strategies").loan is not None
    assert find_default("golden_cross", "strategies").loan is None
    job = to_strategy_recipe("leveraged_staking", default_loan_recipe())
    assert job.agent is not None
    assert guards_loan(job.agent.name)


def test_guards_of_loans_are_these() -> None:
    """Each is checked in a market with a loan, and nobody who trades is."""
    assert all(guards_loan(name) for name in GUARDS)
    assert not any(guards_loan(name) for name in TRADERS)


def test_a_guard_needs_a_loan() -> None:
    """A recipe without one is refused before anything runs."""
    with pytest.raises(RecipeError, match="guards a loan, the recipe has none"):
        check_agent("close_at", recipe=default_recipe())


# Other futures ------------------------------------------------------------------------------------


def test_a_loan_in_a_simulated_market_is_written_out(nothing: Catalog) -> None:
    """Crash and prices are in the bars by then; gas is the model's, the rates are settled."""
    recipe = SHORT.with_settings(
        {
            "market.venue": "simulated",
            "market.signals": [],
            "market.start_prices": {"ETH/USDT": 1_500.0},
            "market.crash": {"at": "2023-02-10", "depth": 0.3, "duration": "6h", "recovery": 0.5},
            "loan.gas.series": "gas/ethereum_avg.gas_price_gwei/1d",
            "loan.rates.source": "dated",
        }
    )
    changed, known = gather(recipe, nothing)
    assert changed.market.venue == "tripwire"
    assert not changed.market.start_prices
    assert changed.market.crash is None
    assert changed.loan is not None
    assert changed.loan.gas.series == ABSENT
    assert changed.loan.rates.source == "strategy"
    write_future(nothing, known)
    again = build_world(changed, nothing, offline=True)
    first = build_world(recipe, nothing, offline=True)
    assert np.array_equal(again.candles["ETH/USDT"].close, first.candles["ETH/USDT"].close)


STORED = """
seed = 14

[market]
venue = "made"
symbols = ["ETH/USDT"]
timeframe = "1h"
since = "2023-02-05"
until = "2023-02-19"
warmup = "5d"

[strategy]
name = "strategies.liquidation_protection"

[loan]
equity = 10.0
health = 1.25
wallet = { ETH = 1.0, USDC = 500 }

[loan.prices]
USDC = { numerator = "BTC/USDT", denominator = "BTC/USDC", venue = "elsewhere" }
"""


def fill_catalog(catalog: Catalog) -> Recipe:
    """Store all that a loan can read, and return a recipe that reads it."""
    recipe = Recipe.from_toml(STORED, name="stored")
    start_ms = recipe.market.since_ms - recipe.market.warmup_ms
    long = recipe.with_settings({"market.since": "2023-01-29", "market.warmup": "23d"})
    catalog.write(make_candles(long, "ETH/USDT"), fetched_ms=None)
    fine = simulate(
        SeriesKey("candles", "simulated", "BTC/USDT", "5m"),
        seed=1,
        n_bars=19 * 288,
        since_ms=start_ms,
        start_price=23_000.0,
    )
    peg = 1.0 + 0.002 * np.sin(np.arange(len(fine)) / 50.0)  # what a USDC pays, in USDT
    for symbol, price in (("BTC/USDT", peg), ("BTC/USDC", np.ones(len(fine)))):
        key = SeriesKey("candles", "elsewhere", symbol, "5m")
        names = ("open", "high", "low", "close")
        scaled = {name: getattr(fine, name) * price for name in names}
        catalog.write(replace(fine, key=key, **scaled), fetched_ms=None)
    days = start_ms - 40 * DAY_MS + DAY_MS * np.arange(70)
    rng = np.random.default_rng(5)
    gas_key = SeriesKey("signal", "gas", "ethereum_avg.gas_price_gwei", "1d")
    gwei = 20.0 + 10.0 * rng.random(len(days))
    catalog.write(
        Signal(key=gas_key, time_ms=days, known_ms=days + DAY_MS, value=gwei), fetched_ms=None
    )
    for name in ("WETH.borrow_rate", "WETH.supply_rate", "USDC.borrow_rate", "USDC.supply_rate"):
        key = SeriesKey("signal", "aave-v3-ethereum", name, "1d")
        taken = days + 26 * MINUTE_MS
        value = 0.03 + 0.02 * rng.random(len(days))
        catalog.write(Signal(key=key, time_ms=days, known_ms=taken, value=value), fetched_ms=None)
    return recipe


def test_all_that_a_stored_loan_reads_is_written_out(nothing: Catalog, tmp_path: Path) -> None:
    """Ratio candles of another venue, dated rates and the gas series: the copy has them too."""
    recipe = fill_catalog(nothing)
    changed, known = gather(recipe, nothing)
    assert changed.loan is not None
    assert changed.loan.rates.source == "series"
    keys = {str(one.series.key): one.is_snapshot for one in known}
    assert keys["candles/elsewhere/BTC-USDC/5m"] is False
    assert keys["signal/gas/ethereum_avg.gas_price_gwei/1d"] is False
    assert keys["signal/aave-v3-ethereum/USDC.borrow_rate/1d"] is True
    copy = Catalog(tmp_path / "copy")
    write_future(copy, known)
    one, two = build_world(recipe, nothing, offline=True), build_world(changed, copy, offline=True)
    assert one.loan is not None
    assert two.loan is not None
    assert np.array_equal(one.loan.borrow_rate, two.loan.borrow_rate)
    for feed, same in zip(one.loan.feeds, two.loan.feeds, strict=True):
        assert np.array_equal(feed.close, same.close)


@settings(max_examples=40, deadline=None)
@given(minute=st.integers(0, 20 * 24 * 60), change=st.sampled_from(CHANGES))
def test_a_snapshot_is_known_when_it_was_taken(minute: int, change: Change) -> None:
    """Of a rate it counts when it was taken, not when the day that it describes is over."""
    hours = make_signal(SHORT, SIGNAL)
    days = Signal(
        key=SeriesKey("signal", "pool", "USDC.borrow_rate", "1d"),
        time_ms=hours.time_ms[::24],
        known_ms=hours.time_ms[::24] + 26 * MINUTE_MS,
        value=hours.value[::24],
    )
    time_ms = int(hours.time_ms[0]) + minute * MINUTE_MS
    other = alter(days, change, time_ms, is_snapshot=True)
    assert isinstance(other, Signal)
    n = int(np.searchsorted(days.known_ms, time_ms, "right"))
    assert np.array_equal(other.value[:n], days.value[:n])
    assert len(other) == n or not np.any(other.value[n:] == days.value[n:])


@pytest.mark.parametrize("change", CHANGES)
def test_a_series_without_a_future_stays_as_it_is(change: Change) -> None:
    """One that a catalog has, and that has no value near the window, is empty: no warning."""
    empty = make_signal(SHORT, SIGNAL).between(0, 1)
    assert len(alter(empty, change, 10)) == 0


def outcome(*times: int) -> Outcome:
    """Return a run in which a transaction was carried out at some times."""
    done = tuple(Said(time_ms=t, text=f"done: {t}") for t in times)
    return Outcome(said=(), orders=(), files=(), error="", happened=done)


def test_what_became_of_a_loan_counts_too() -> None:
    """A transaction that went otherwise before t; after it anything may differ.

    Where the data end at t, the bar before counts: no next bar tells what gas will cost.
    """
    t = 10 * SHORT.market.timeframe_ms
    up, cut = Variant(change="up", time_ms=t), Variant(change="cut", time_ms=t)
    assert _find_difference(SHORT, outcome(t), outcome(), up)
    assert not _find_difference(SHORT, outcome(t + 1), outcome(), up)
    assert not _find_difference(SHORT, outcome(t), outcome(), cut)
    before = t - SHORT.market.timeframe_ms
    assert _find_difference(SHORT, outcome(before), outcome(), cut)


# The whole suite ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_leaking_guard_is_caught_and_an_honest_one_is_not() -> None:
    """The first decision that knew the next close is named."""
    found = check_planted_guards({"guard_next_close": {}, "guard_honest_hours": {}})
    detail = found["guard_next_close"][LOOK_AHEAD]["detail"]
    assert detail.startswith("look-ahead: with the full"), detail
    honest = found["guard_honest_hours"]
    assert all(finding["passed"] for finding in honest.values()), honest


@pytest.mark.slow
def test_stored_gas_rates_and_ratios_raise_no_alarm_and_hide_no_leak(tmp_path: Path) -> None:
    """A guard that tells all it sees of them passes; who reads the day's gas early does not."""
    catalog = Catalog(tmp_path / "catalog")
    recipe = fill_catalog(catalog)
    agents: dict[str, dict[str, object]] = {
        "guard_honest_hours": {"venue": "made"},
        "guard_days_gas": {},
    }
    found = check_planted_guards(agents, recipe, str(catalog.root))
    honest = found["guard_honest_hours"]
    assert all(finding["passed"] for finding in honest.values()), honest
    detail = found["guard_days_gas"][LOOK_AHEAD]["detail"]
    assert detail.startswith("look-ahead: with the full"), detail


@pytest.mark.slow
@pytest.mark.parametrize("name", GUARDS)
def test_the_shipped_guards_keep_to_the_contract(name: str, nothing: Catalog) -> None:
    """No alarm on clean guards, in any world."""
    recipe = to_agent_recipe(name, default_loan_recipe())
    findings = check_trials(lambda: make_agent(recipe), make_trials(recipe, nothing))
    assert all(finding.passed for finding in findings), findings


@pytest.mark.slow
def test_no_shipped_guard_knows_the_future() -> None:
    """No alarm on clean guards and their jobs."""
    base = default_loan_recipe()
    recipes = [to_agent_recipe(name, base) for name in GUARDS]
    recipes.append(to_strategy_recipe("leveraged_staking", base))
    for recipe, findings in zip(recipes, check_futures(recipes), strict=True):
        assert all(finding.passed for finding in findings), (recipe.agent, findings)
        name = "" if recipe.agent is None else recipe.agent.name
        said = int(findings[-1].detail.partition(" ")[0])
        # There is nothing to hedge with: that is said, and nothing else.
        idle = {"agents.do_nothing": 0, "agents.hedge_on_drawdown": 1}
        assert (said == idle[name]) if name in idle else (said > 1), findings


# The command line ---------------------------------------------------------------------------------


def test_new_agent_writes_a_guard(home: Path, nothing: Catalog) -> None:
    """With ``--loan`` it says that it guards one, and keeps to the contract as it stands."""
    ended = CliRunner().invoke(new_app, ["agent", "dike", "--loan"], catch_exceptions=False)
    assert ended.exit_code == 0
    assert "seawall run loan_demo --agent dike" in ended.output
    scope = run_source(home / "agents" / "dike.py")
    assert scope["Dike"].guards == "loan"
    assert fails(scope["Dike"], nothing) == {}


@pytest.mark.slow
def test_the_test_that_new_agent_writes_for_a_guard_passes(home: Path) -> None:
    """The first thing that whoever guards a loan runs is green."""
    CliRunner().invoke(new_app, ["agent", "dike", "--loan"], catch_exceptions=False)
    run_own_tests(home)
