"""Agents that learn: they find what is there, hold nothing where there is nothing, and repeat."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loan_views import make_loan
from test_agents import Market, begin, play, to_candles

import seawall
from seawall.agent import Agent, Decision, Feedback, to_decision
from seawall.conformance.contract import check_contract
from seawall.conformance.suite import find_default, to_agent_recipe
from seawall.conformance.tripwire import check_futures
from seawall.engine.components import make_agent
from seawall.errors import AgentError, RecipeError, WorkspaceError
from seawall.features import Bars, FeatureSet
from seawall.learning import load_model
from seawall.learning import trees as trees_module
from seawall.market.catalog import Catalog
from seawall.market.importer import import_files
from seawall.market.series import Candles, SeriesKey, Signal
from seawall.observation import Observation, SignalWindow, Window
from seawall.recipe import Recipe
from seawall.units import DAY_MS, HOUR_MS
from seawall.workspace import find_recipe, load

LEARNED = ("expert_weights", "fear_greed", "gradient_boosting", "hazard", "river_logistic")
NEEDS = {"gradient_boosting": "sklearn", "hazard": "sklearn", "river_logistic": "river"}
MOOD = "made/mood/1h"


def make(name: str, **parameters: object) -> Any:
    """Return a shipped agent, or skip where what it needs is not installed."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason="needs the extra ml: pip install 'seawall[ml]'")
    return load(f"agents.{name}")(**parameters)


# Every one ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LEARNED)
def test_the_docstring_names_every_parameter(name: str) -> None:
    """The class is named after its file."""
    agent_class = load(f"agents.{name}")
    for parameter in agent_class.__init__.__kwdefaults__:
        assert parameter in agent_class.__doc__, parameter


BAD: list[tuple[str, dict[str, object], str]] = [
    ("fear_greed", {"fear": 80.0}, "agent.fear must be below agent.greed"),
    ("fear_greed", {"stale": "soon"}, "agent.stale: a duration is"),
    ("gradient_boosting", {"features": "return_1"}, "agent.features must be names"),
    ("gradient_boosting", {"features": ["retrun_1"]}, "agent.features: there is no feature"),
    ("gradient_boosting", {"refit": "monthly"}, "agent.refit: a duration is"),
    ("gradient_boosting", {"library": "xgboost"}, "agent.library must be one of"),
    ("gradient_boosting", {"seed": 2**40}, "agent.seed must be at most"),
    ("gradient_boosting", {"model": 5}, "agent.model must be a file"),
    ("gradient_boosting", {"model": "m.pkl"}, "agent.model must be a file that ends in .npz"),
    ("gradient_boosting", {"calibration_share": 1.0}, "agent.calibration_share must be a number"),
    ("hazard", {"level": 0.9}, "agent.level must be a number"),
    ("hazard", {"reaction_bars": 0}, "agent.reaction_bars must be a whole number >= 1"),
    ("river_logistic", {"memory": 3}, "agent.memory must be a whole number >= 10"),
    ("expert_weights", {"experts": ["agents.cash"]}, "agent.experts must be 2 at least"),
    ("expert_weights", {"experts": "agents.cash"}, "agent.experts must be agents"),
    ("expert_weights", {"experts": [5, 6]}, "an expert is a name, or a table with one"),
    (
        "expert_weights",
        {"experts": ["agents.cash", {"name": "agents.sma_cross", "fsat": 3}]},
        "expert agents.sma_cross cannot be made",
    ),
    (
        "expert_weights",
        {"experts": ["agents.cash", {"name": "agents.sma_cross", "fast": 0}]},
        "expert agents.sma_cross: agent.fast must be a whole number",
    ),
    ("expert_weights", {"experts": ["cash", "defi_saver"]}, "guards a position"),
]


@pytest.mark.parametrize(("name", "parameters", "message"), BAD)
def test_bad_parameters_are_refused_by_name(
    name: str, parameters: dict[str, object], message: str
) -> None:
    """Rule and value."""
    with pytest.raises(RecipeError) as caught:
        make(name, **parameters)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_without_its_library_an_agent_says_which_extra_brings_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file can still be loaded, and so listed; only making the agent fails."""
    for known in trees_module._MODULES:
        monkeypatch.setitem(trees_module._MODULES, known, "no_such_module")
    agent_class = load(f"agents.{name}")
    with pytest.raises(WorkspaceError, match=r"pip install 'seawall\[ml\]'"):
        agent_class()


WITHOUT = """
import sys
for name in ("sklearn", "river", "lightgbm", "scipy", "joblib", "threadpoolctl"):
    sys.modules[name] = None
import seawall.workspace, seawall.agents
for name in ("gradient_boosting", "hazard", "river_logistic", "expert_weights", "fear_greed"):
    seawall.workspace.load("agents." + name)
"""


@pytest.mark.slow
def test_the_files_can_be_loaded_where_no_library_is_installed() -> None:
    """In a process that has none of them; the core needs none either."""
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


# A market in which something is to be learnt ------------------------------------------------------


def make_market(n_bars: int, *, is_telling: bool, seed: int = 5) -> tuple[Candles, Signal]:
    """Return a walk whose drift over the next hours a signal tells, or seems to."""
    rng = np.random.default_rng(seed)
    mood = np.repeat(rng.choice([-1.0, 1.0], size=n_bars // 12 + 1), 12)[:n_bars]
    told = mood if is_telling else rng.permutation(mood)
    drift = np.concatenate([[0.0], mood[:-1]]) * 0.002
    close = 1_000 * np.exp(np.cumsum(drift + rng.normal(0, 0.004, n_bars)))
    opened = np.concatenate([[1_000.0], close[:-1]])
    key = SeriesKey("candles", "made", "ETH/USDT", "1h")
    time_ms = HOUR_MS * np.arange(n_bars, dtype=np.int64)
    series = Candles(
        key=key,
        time_ms=time_ms,
        open=opened,
        high=np.maximum(opened, close) * 1.001,
        low=np.minimum(opened, close) * 0.999,
        close=close,
        volume=np.full(n_bars, 1e6),
    )
    signal = Signal(
        key=SeriesKey("signal", "made", "mood", "1h"),
        time_ms=time_ms,
        known_ms=time_ms + HOUR_MS,
        value=told,
    )
    return series, signal


def made_recipe(name: str, n_bars: int, warmup: int, **parameters: object) -> Recipe:
    """Return a recipe of the made market, traded after so many bars."""
    return Recipe.from_dict(
        {
            "market": {
                "venue": "made",
                "symbols": ["ETH/USDT"],
                "timeframe": "1h",
                "since": f"1970-01-{1 + warmup // 24:02d}" if warmup < 24 * 31 else "1970-02-11",
                "until": str(np.datetime64(n_bars * HOUR_MS, "ms"))[:10],
                "warmup": f"{warmup}h",
                "signals": [MOOD],
            },
            "agent": {"name": f"agents.{name}", **parameters},
        }
    )


def run_made(
    tmp_path: Path, name: str, *, is_telling: bool, **parameters: object
) -> seawall.Result:
    """Run an agent in the made market: 41 days of warm-up, 42 that are traded."""
    make(name)
    series, signal = make_market(83 * 24, is_telling=is_telling)
    catalog = Catalog(tmp_path / ("telling" if is_telling else "silent"))
    catalog.write(series, fetched_ms=None)
    catalog.write(signal, fetched_ms=None)
    recipe = made_recipe(name, 83 * 24, 41 * 24, **parameters)
    return seawall.run(recipe, catalog=catalog, offline=True)


SMALL: dict[str, Any] = {"n_trees": 30, "min_leaf": 20, "min_examples": 200}
WITH_MOOD = ["return_1", "return_6", f"value:{MOOD}", f"change_1:{MOOD}"]
LEARNERS: list[tuple[str, dict[str, Any]]] = [
    ("gradient_boosting", {"features": WITH_MOOD, "horizon": 6, "refit": "14d", **SMALL}),
    (
        "gradient_boosting",
        {"features": WITH_MOOD, "horizon": 6, "refit": "14d", "library": "lightgbm", **SMALL},
    ),
    ("river_logistic", {"features": WITH_MOOD, "horizon": 6, "min_examples": 200}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "parameters"), LEARNERS)
def test_a_learner_finds_what_a_signal_tells_and_trades_little_where_it_tells_nothing(
    tmp_path: Path, name: str, parameters: dict[str, Any]
) -> None:
    """Drift of 20 bps an hour, told by a signal: it earns; the same values shuffled: little.

    The market itself ends where it began, give or take.
    """
    if parameters.get("library") == "lightgbm":
        pytest.importorskip("lightgbm")
    told = run_made(tmp_path, name, is_telling=True, **parameters)
    assert told.metrics.total_return > 0.3
    assert len(told.fills) > 10
    silent = run_made(tmp_path, name, is_telling=False, **parameters)
    assert silent.metrics.total_return < told.metrics.total_return / 3
    first = told.journal[told.journal["kind"] == "decision"]["reason"].iloc[0]
    assert "bps expected, a round trip costs 22.0 bps" in first


@pytest.mark.slow
def test_a_learned_run_repeats_to_the_bit_on_any_number_of_threads(tmp_path: Path) -> None:
    """Two processes, one and two threads: the same fills and the same model."""
    make("gradient_boosting")
    code = """
import sys
from pathlib import Path
import seawall
from seawall.recipe import Recipe
recipe = Recipe.from_file(Path(sys.argv[1])).with_settings({"agent.save_to": sys.argv[2]})
result = seawall.run(recipe)
print(result.fills.to_csv(), result.equity.to_csv())
"""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        '[market]\nvenue = "simulated"\nsymbols = ["ETH/USDT"]\ntimeframe = "1h"\n'
        'since = "2025-01-01"\nuntil = "2025-01-20"\nwarmup = "60d"\n'
        '[agent]\nname = "agents.gradient_boosting"\nhorizon = 6\nrefit = "7d"\nedge = 0.1\n',
        encoding="utf-8",
    )
    found = []
    for threads in ("1", "2"):
        out = tmp_path / f"{threads}.npz"
        ended = subprocess.run(
            [sys.executable, "-c", code, str(recipe), str(out)],
            env={**os.environ, "OMP_NUM_THREADS": threads},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        found.append((ended.stdout, out.read_bytes()))
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_model_can_be_kept_and_used_again_without_fitting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last model of a run, in another run: no library is needed, no fit is made.

    With other features, or for another agent, the file is refused.
    """
    path = tmp_path / "kept.npz"
    parameters = {"features": WITH_MOOD, "horizon": 6, "refit": "never", **SMALL}
    first = run_made(
        tmp_path, "gradient_boosting", is_telling=True, save_to=str(path), **parameters
    )
    features = FeatureSet(WITH_MOOD)
    kept = load_model(
        path, target="direction", horizon=6, features=WITH_MOOD, features_hash=features.hash
    )
    assert kept.library.startswith("scikit-learn ")
    monkeypatch.setitem(trees_module._MODULES, "scikit-learn", "no_such_module")
    agent = load("agents.gradient_boosting")(features=WITH_MOOD, horizon=6, model=str(path))
    series, signal = make_market(83 * 24, is_telling=True)
    catalog = Catalog(tmp_path / "again")
    catalog.write(series, fetched_ms=None)
    catalog.write(signal, fetched_ms=None)
    recipe = made_recipe("gradient_boosting", 83 * 24, 41 * 24)
    again = seawall.run(recipe, agent=agent, catalog=catalog, offline=True)
    assert again.fills["price"].tolist() == first.fills["price"].tolist()
    assert agent.labels(recipe) == ()  # it was fitted on the warm-up alone
    day = str(np.datetime64(kept.fitted_ms - DAY_MS, "ms"))[:10]
    earlier = recipe.with_settings({"market.since": day, "market.warmup": "1d"})
    assert agent.labels(earlier)[0].startswith("in sample: its model was fitted on this window")
    with pytest.raises(AgentError, match="has other features"):
        load("agents.gradient_boosting")(features=["return_1"], horizon=6, model=str(path))
    with pytest.raises(AgentError, match="must be a model of hazard, is one of direction"):
        load("agents.hazard")(model=str(path))
    with pytest.raises(AgentError, match="fitted on bars of 1h, these are of 1d"):
        begin(load("agents.gradient_boosting")(features=WITH_MOOD, horizon=6, model=str(path)))
    with pytest.raises(AgentError, match="there is no model file"):
        load("agents.gradient_boosting")(model=str(tmp_path / "none.npz"))


# Hazard -------------------------------------------------------------------------------------------


def make_guard(**parameters: object) -> Any:
    """Return a hazard agent that has learnt from a simulated walk of 1 % an hour."""
    rng = np.random.default_rng(11)
    prices = 2_000 * np.exp(np.cumsum(rng.normal(0, 0.01, size=2_500)))
    agent = make("hazard", reaction_bars=4, min_examples=500, n_trees=60, **parameters)
    candles = to_candles(prices.tolist(), timeframe="1h")
    market = Market(candles)
    agent.begin(replace_info())
    agent.fit(market.observe(int(candles.close_ms[-1])))
    return agent, market, candles


def replace_info() -> Any:
    """Return what the agent is told: hourly bars."""
    told: list[Any] = []

    class Listener:
        def begin(self, info: Any) -> None:
            told.append(info)

        def decide(self, observation: Observation) -> None:
            del observation

    begin(Listener())
    return replace(told[0], timeframe_ms=HOUR_MS)


def see_loan(market: Market, candles: Candles, health: float, **changed: Any) -> Observation:
    """Return the last bar, with a loan at a health factor."""
    time_ms = int(candles.close_ms[-1])
    market.observe(time_ms)
    return Observation(
        time_ms=time_ms,
        windows=market.windows,
        signals={},
        cash=0.0,
        equity=1.0,
        quantities={},
        loan=make_loan(health=health, **changed),
    )


def test_a_hazard_is_the_frequency_of_falls_and_falls_with_the_distance() -> None:
    """Four hours at 1 % each: how deep the lowest close of them is, found by drawing 200,000 paths.

    In the mean over many bars the agent has the same: to a third where it happens in more than two
    of a hundred cases.
    """
    agent, market, candles = make_guard()
    rng = np.random.default_rng(1)
    lowest = np.exp(np.cumsum(rng.normal(0, 0.01, size=(200_000, 4)), axis=1)).min(axis=1)
    bars = Bars.of(market.observe(int(candles.close_ms[-1])), candles.key.symbol, HOUR_MS)
    rows = agent.training.features.table(bars, 200)
    last = np.ones(len(rows))
    for distance in (0.01, 0.02, 0.03, 0.04):
        health = 1.0 / (1.0 - distance)
        found = np.array([agent._find_hazard(row, 0.02, health) for row in rows])
        true = float((lowest < 1.0 - distance).mean())
        assert true / 1.33 < found.mean() < true * 1.33, (distance, found.mean(), true)
        assert (found <= last).all()
        last = found
    assert agent._find_hazard(rows[-1], 0.02, 1.3) < 0.005


def test_the_guard_acts_where_it_pays_and_not_where_it_does_not() -> None:
    """At 1.02 a loan of 16,000 USD is in danger, at 1.5 it is not.

    Where gas costs more than a liquidation nothing is sent, and neither is a second transaction
    while one is on its way.
    """
    agent, market, candles = make_guard()

    def ask(health: float, **changed: Any) -> Any:
        return agent.decide(see_loan(market, candles, health, **changed))

    acted = ask(1.02)
    assert isinstance(acted, Decision)
    assert len(acted.actions) == 1
    assert "liquidated within 4 bars with p = " in acted.reason
    assert ask(1.5) is None
    assert ask(1.02, gas_gwei=20_000.0) is None
    assert ask(1.02, pending=1) is None
    assert ask(0.99) is None
    assert ask(1.02, collateral=0.0, debt=0.0) is None


def test_without_a_model_the_guard_fears_a_fall_of_five_per_cent() -> None:
    """A health factor of 1.04 is nearer than that, one of 1.06 is not."""
    agent, market, candles = make_guard()
    agent._model = None
    assert agent.decide(see_loan(market, candles, 1.04)) is not None
    assert agent.decide(see_loan(market, candles, 1.06)) is None


# Experts ------------------------------------------------------------------------------------------


def hold(observation: Observation) -> float:
    """Hold everything."""
    return float(observation.equity > 0)


def play_experts(agent: Any, prices: list[float]) -> tuple[list[Decision], Market]:
    """Ask an agent at each close; outcomes become known each time."""
    candles = to_candles(prices, timeframe="1h")
    market = Market(candles)
    decisions: list[Decision] = []
    last: int | None = None
    for time_ms in candles.close_ms.tolist():
        if last is not None:
            agent.learn(Feedback(decided_ms=last, known_ms=time_ms, equity_return=0.0))
        decisions += play(agent, market, [time_ms])
        last = time_ms
    return decisions, market


def test_weights_follow_what_the_experts_have_earned() -> None:
    """Rate 1, no costs: holding is filled at 100 and stands at 121, cash at 1: weights 1.21 : 1."""
    experts = ["agents.buy_and_hold", "agents.cash"]
    agent = make("expert_weights", experts=experts, rate=1.0, half_spread_bps=0.0)
    begin(agent)
    for expert in agent._experts:
        expert._account._cost = 0.0
    decisions, _ = play_experts(agent, [100.0, 100.0, 110.0, 121.0])
    assert decisions[0].actions[0].weight == 0.5  # type: ignore[union-attr] # a target weight
    assert agent.weights["buy_and_hold"] == pytest.approx(1.21 / 2.21)
    assert sum(agent.weights.values()) == pytest.approx(1.0)


def test_weights_wait_until_an_outcome_is_known() -> None:
    """Without a word of the engine they stay as they are, whatever the accounts show."""
    agent = make("expert_weights", experts=["agents.buy_and_hold", "agents.cash"])
    begin(agent)
    candles = to_candles([100.0, 100.0, 150.0, 200.0], timeframe="1h")
    play(agent, Market(candles), candles.close_ms.tolist())
    assert agent.weights == {"buy_and_hold": 0.5, "cash": 0.5}


def test_an_experts_account_pays_its_costs() -> None:
    """At 10 + 1 bps, 1 of cash buys 1 / 1.0011 of coin at 100: worth that at the same price."""
    agent = make("expert_weights", experts=["agents.buy_and_hold", "agents.cash"], rate=1.0)
    begin(agent)
    play_experts(agent, [100.0, 100.0])
    assert agent._experts[0]._account.equity == pytest.approx(1 / 1.0011)


def test_mixing_keeps_everybody_in_the_game() -> None:
    """After a price that doubles twenty times cash still has its share of the mixing, a tenth / 2.

    It is a little more, as the last step has only begun to take it away.
    """
    experts = ["agents.buy_and_hold", "agents.cash"]
    prices = [100.0 * 2.0**n for n in range(20)]
    for mixing, least in ((0.0, 0.0), (0.1, 0.05)):
        agent = make("expert_weights", experts=experts, mixing=mixing)
        begin(agent)
        play_experts(agent, prices)
        assert agent.weights["cash"] == pytest.approx(least, abs=0.002)


def test_an_expert_that_raises_has_abstained_and_is_named() -> None:
    """The others go on; what it said is in the reason."""
    agent = make("expert_weights", experts=["agents.buy_and_hold", "agents.cash"])
    begin(agent)

    class Moody:
        def decide(self, observation: Observation) -> None:
            raise ValueError(f"not at {observation.time_ms}")

    agent._experts[1].agent = Moody()
    decisions, _ = play_experts(agent, [100.0, 101.0])
    assert "cash abstained: ValueError: not at 3600000" in decisions[0].reason
    assert decisions[0].actions


def test_two_experts_of_one_name_are_told_apart_and_get_numbers_of_their_own() -> None:
    """Two coin tossers with the same parameters do not toss the same."""
    agent = make("expert_weights", experts=["agents.matched_random", "agents.matched_random"])
    begin(agent)
    assert list(agent.weights) == ["matched_random", "matched_random#2"]
    play_experts(agent, [100.0 + n for n in range(60)])
    accounts = [expert._account.equity for expert in agent._experts]
    assert accounts[0] != accounts[1]


def test_experts_see_their_own_account() -> None:
    """What an expert holds is what it asked for, not what the mean of all has become."""
    seen: list[float] = []

    class Watcher:
        def decide(self, observation: Observation) -> float:
            seen.append(round(observation.weight(), 6))
            return 1.0

    agent = make("expert_weights", experts=["agents.cash", "agents.cash"])
    begin(agent)
    agent._experts[0].agent = Watcher()
    play_experts(agent, [100.0, 100.0, 100.0])
    assert seen == [0.0, 1.0, 1.0]


def test_experts_that_learn_are_fitted_with_it() -> None:
    """As often as the most eager one says; without one of them there is no fit at all."""
    make("gradient_boosting")
    experts = ["agents.cash", {"name": "agents.gradient_boosting", "refit": "7d"}]
    agent = make("expert_weights", experts=experts)
    assert agent.refit_ms == 7 * DAY_MS
    assert hasattr(agent, "fit")
    assert not hasattr(make("expert_weights"), "fit")


# Fear and greed -----------------------------------------------------------------------------------


def play_mood(values: list[float], **parameters: object) -> list[float | None]:
    """Return the weights asked for on each day of an index; a value is known one day late."""
    candles = to_candles([100.0] * (len(values) + 1))
    days = DAY_MS * np.arange(len(values), dtype=np.int64)
    there = np.isfinite(values)
    signal = SignalWindow(
        Signal(
            key=SeriesKey("signal", "sentiment", "fear_greed", "1d"),
            time_ms=days[there],
            known_ms=days[there] + DAY_MS,
            value=np.array(values)[there],
        )
    )
    agent = make("fear_greed", **parameters)
    begin(agent)
    window = Window(candles)
    asked: list[float | None] = []
    for n, time_ms in enumerate(candles.close_ms.tolist()):
        window.reveal(n + 1)
        signal.reveal_until(time_ms)
        observation = Observation(
            time_ms=time_ms,
            windows={"BTC/USDT": window},
            signals={"sentiment/fear_greed/1d": signal},
            cash=1.0,
            equity=1.0,
            quantities={},
        )
        actions = to_decision(agent.decide(observation), ("BTC/USDT",)).actions
        asked.append(actions[0].weight if actions else None)  # type: ignore[union-attr] # likewise
    return asked[: len(values)]


def test_fear_is_bought_and_greed_is_sold_one_day_late() -> None:
    """20 on day 0, known at its end: bought at the close of day 0; 80 on day 2: sold at its end."""
    assert play_mood([20.0, 50.0, 80.0, 60.0]) == [1.0, None, 0.0, None]
    assert play_mood([20.0, 80.0], inverted=True) == [None, 1.0]
    assert play_mood([80.0, 50.0]) == [None, None]


def test_an_index_that_has_fallen_silent_is_not_acted_on() -> None:
    """With a day of patience, a fear that was known on day 0 counts on no day of silence."""
    silent = float("nan")
    assert play_mood([50.0, silent, silent, 10.0], stale="1d") == [None, None, None, 1.0]


def test_without_a_signal_it_says_what_to_write() -> None:
    """An abstention with the remedy, at every decision."""
    with pytest.raises(AgentError, match=r"signals = \["):
        make("fear_greed").decide(Market(to_candles([1.0])).observe(DAY_MS))


# Conformance --------------------------------------------------------------------------------------

QUICK: Mapping[str, dict[str, object]] = {
    "gradient_boosting": {"n_trees": 10, "horizon": 4, "edge": 0.1, "refit": "2d"},
    "hazard": {"n_trees": 10, "history": "20d", "min_examples": 300, "refit": "5d"},
    "river_logistic": {"horizon": 4, "edge": 0.1},
    "expert_weights": {"experts": ["agents.sma_cross", "agents.matched_random"]},
    "fear_greed": {},
}


@pytest.mark.slow
def test_they_keep_to_the_contract_and_know_no_future() -> None:
    """Each in the market that it is checked in, with every check of ``seawall check agent``.

    ``fear_greed`` learns nothing and has no signal there: for it the contract is enough.
    """
    recipes: list[Recipe] = []
    for name in LEARNED:
        make(name)
        base = find_default(name)
        short = {"market.until": "2023-02-08"}
        if base.loan is None:
            short = {"market.until": "2023-02-08", "market.warmup": "6d"}
        recipe = to_agent_recipe(name, base.with_settings(short), QUICK[name])
        if name != "fear_greed":
            recipes.append(recipe)
        if recipe.loan is None:
            findings = check_contract(_maker(recipe), recipe)
            assert all(finding.passed for finding in findings), findings
    for recipe, findings in zip(recipes, check_futures(recipes), strict=True):
        assert all(finding.passed for finding in findings), (recipe.agent, findings)


def _maker(recipe: Recipe) -> Callable[[], Agent]:
    return lambda: make_agent(recipe)


# Real data ----------------------------------------------------------------------------------------

ONE_DAY_LATE = ("sentiment/fear-greed-1d",)  # the index of a day is out when the day begins
OVER_ONE_DAY_LATE = ("onchain/dune/ETH-1d", "sentiment/news-titles-2023")  # when it is over


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Return a catalog with the candles and the signals of the recipes that learn."""
    catalog = Catalog(tmp_path_factory.mktemp("catalog"))

    def take(*names: str, **options: Any) -> None:
        import_files([shared_data / f"{name}.parquet" for name in names], catalog, **options)

    take("candles/binance/ETH-USDT-1h", "candles/binance/BTC-USDT-1h", *ONE_DAY_LATE)
    take(*OVER_ONE_DAY_LATE, known_after="2d")
    take("funding/binance/ETH-USDT-PERP", kind="signal")
    return catalog


@pytest.mark.slow
@pytest.mark.parametrize("name", ["learned_signals_eth", "fear_greed_btc", "hazard_2022_06"])
def test_a_recipe_runs_on_real_data_and_knows_its_signals_one_day_late(
    name: str, real: Catalog
) -> None:
    """Every signal of a day is known a day later than it could have been; the agent acts."""
    recipe = Recipe.from_file(find_recipe(name))
    if recipe.agent is not None:
        make(recipe.agent.name.removeprefix("agents."))
    for signal in recipe.market.signals:
        venue, symbol, timeframe = signal.split("/")
        stored = real.read_signal(SeriesKey("signal", venue, symbol, timeframe), None, None)
        late_ms = np.unique(stored.known_ms - stored.time_ms).tolist()
        usual = 8 * HOUR_MS if timeframe == "8h" else 2 * DAY_MS
        assert late_ms == [DAY_MS if "fear_greed" in signal else usual]
    result = seawall.run(recipe, catalog=real, offline=True)
    assert result.counts["decisions"] > 400
    assert result.counts.get("abstained", 0) == 0
    assert (result.journal["kind"] == "decision").any()
    assert result.labels == () or recipe.loan is not None
