"""The environment of a recipe, and what its numbers mean; what needs torch is marked ``rl``."""

import json
import os
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from math import exp, inf
from pathlib import Path

import numpy as np
import pytest
from remote_runs import spot

import seawall.gym
from seawall.agent import AgentInfo
from seawall.conformance.contract import check_contract
from seawall.engine.components import make_agent
from seawall.engine.lockstep import Lockstep
from seawall.engine.run import run, run_in
from seawall.engine.world import build_world
from seawall.errors import AgentError, AgentLost, DataError, RecipeError
from seawall.gym.encoding import HEALTH_LEVELS, LIMIT, Encoding, check_fits
from seawall.gym.train import Plan, train
from seawall.market.catalog import Catalog
from seawall.observation import Observation
from seawall.recipe import Recipe
from seawall.workspace import find_recipe

ABSENT = "the extra rl is not installed: pip install gymnasium stable-baselines3"
SHORT = {"market.since": "2025-04-05", "market.until": "2025-04-09", "market.warmup": "7d"}
JOBS = {
    "demo": "weights", "futures_demo": "signed_weights", "margin_demo": "leverage",
    "carry_demo": "carry", "loan_demo": "health", "hedged_loan_demo": "health",
}  # fmt: skip


def short(name: str) -> Recipe:
    """Return four days of a demo, its crash among them."""
    return Recipe.from_file(find_recipe(name)).with_settings(SHORT)


def first(recipe: Recipe) -> tuple[AgentInfo, Observation]:
    """Return what a job is told and sees first."""
    with Lockstep(recipe, build_world(recipe, Catalog(), offline=True)) as run:
        assert run.observation is not None
        return run.info, run.observation


# The encoding: no package is needed ---------------------------------------------------------------


@pytest.mark.parametrize("name", JOBS)
def test_each_kind_of_job_has_its_numbers(name: str) -> None:
    """As many as are named, finite, within the box, whatever is seen."""
    recipe = short(name)
    info, seen = first(recipe)
    encoding = Encoding.of(info, seen)
    assert encoding.kind == JOBS[name]
    features = encoding.encode(seen)
    assert features.shape == (len(encoding.names),)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert (np.abs(features) <= LIMIT).all()
    assert len(set(encoding.names)) == len(encoding.names)


def test_the_features_do_not_depend_on_the_price_level() -> None:
    """The same path at ten times the price is the same: returns, not prices, are seen."""
    low = spot(None)
    high = low.with_settings({"market.start_prices": {"ETH/USDT": 30_000.0}})
    base = low.with_settings({"market.start_prices": {"ETH/USDT": 3_000.0}})
    (info, one), (_, ten) = first(base), first(high)
    encoding = Encoding.of(info, one)
    assert encoding.encode(one) == pytest.approx(encoding.encode(ten), abs=1e-4)


def test_actions_are_answers_of_the_job() -> None:
    """-1 to 1 is 0 to all of it on spot; a place in the list is a level of a guard."""
    info, seen = first(short("demo"))
    weights = Encoding.of(info, seen)
    for number, weight in ((-1.0, 0.0), (0.0, 0.5), (1.0, 1.0), (7.0, 1.0)):
        assert weights.decode(np.array([number], np.float32), seen) == {"ETH/USDT": weight}
    info, seen = first(short("loan_demo"))
    guard = Encoding.of(info, seen)
    assert guard.decode(0, seen) is None
    assert guard.decode(1, seen) == HEALTH_LEVELS[0]
    assert guard.decode(np.int64(len(HEALTH_LEVELS)), seen) == inf
    for place in (-1, len(HEALTH_LEVELS) + 1):
        with pytest.raises(AgentError, match="an action must be 0 to 6"):
            guard.decode(place, seen)
    with pytest.raises(AgentError, match="an action must have 1 numbers, has 2"):
        weights.decode(np.array([0.1, 0.2]), seen)
    info, seen = first(short("futures_demo"))
    assert Encoding.of(info, seen).decode(np.array([-0.5]), seen) == {"ETH/USDT:USDT": -0.5}


def test_a_policy_that_sees_other_numbers_is_named() -> None:
    """What is apart, and how many there are on either side."""
    spot_job = Encoding.of(*first(short("demo")))
    loan = Encoding.of(*first(short("loan_demo")))
    check_fits(spot_job, spot_job)
    with pytest.raises(RecipeError, match=r"9 numbers, here there are 17 \(kind weights not"):
        check_fits(spot_job, loan)
    old = Encoding(**{**spot_job.to_dict(), "version": 99})  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="encoding 1, this one on 99: train it again"):
        check_fits(old, spot_job)


@pytest.mark.slow
def test_importing_it_imports_nothing_else() -> None:
    """Neither gymnasium nor torch, nothing is registered, no random seed is touched."""
    code = (
        "import random, sys; before = random.getstate(); import numpy as np\n"
        "state = np.random.get_state()[1].tolist()\n"
        "import seawall.gym, seawall.gym.encoding, seawall.gym.policy_file\n"
        "assert random.getstate() == before and np.random.get_state()[1].tolist() == state\n"
        "print({'gymnasium', 'torch', 'stable_baselines3'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no .*: `seawall train RECIPE` makes one"),
        (b"not a zip", "is a zip of stable-baselines3, .* is none"),
        ({"data": "{}"}, "says what it sees in seawall.json, .* does not"),
        ({"seawall.json": "{"}, "says what it sees in seawall.json, .* does not"),
        ({"seawall.json": "[]"}, "of this version is of schema 1"),
        ({"seawall.json": '{"seawall_policy": 99}'}, "it is of schema 99"),
        (
            {"seawall.json": '{"seawall_policy": 1, "algorithm": "os.system", "encoding": {}}'},
            "its algorithm is 'os.system'",
        ),
        (
            {"seawall.json": '{"seawall_policy": 1, "algorithm": "PPO", "encoding": {"x": 1}}'},
            "its encoding has other parts",
        ),
    ],
)
def test_a_file_that_is_no_policy_is_refused_before_anything_is_loaded(
    tmp_path: Path, content: bytes | dict[str, str] | None, said: str
) -> None:
    """One line each, when the agent is made."""
    file = tmp_path / "policy.zip"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        with zipfile.ZipFile(file, "w") as archive:
            for name, text in content.items():
                archive.writestr(name, text)
    with pytest.raises(RecipeError, match=said):
        make_agent(spot({"name": "agents.policy", "path": str(file)}))


# The environment ----------------------------------------------------------------------------------


@pytest.mark.rl
@pytest.mark.parametrize("name", JOBS)
def test_it_passes_gymnasiums_own_check(name: str) -> None:
    """Spaces, determinism under a seed, types; a warning would be an error."""
    checker = pytest.importorskip("gymnasium.utils.env_checker", reason=ABSENT)
    env = seawall.gym.make(short(name), paths=2)
    checker.check_env(env, skip_render_check=True)
    env.close()


@pytest.mark.rl
@pytest.mark.parametrize("name", ["demo", "loan_demo", "margin_demo"])
def test_rewards_add_up_to_the_backtest(name: str) -> None:
    """The sum of the rewards is the log of the total return, costs and all, to rounding."""
    pytest.importorskip("gymnasium", reason=ABSENT)
    recipe = short(name)
    env = seawall.gym.make(recipe)
    env.action_space.seed(3)
    actions, rewards, is_over = [], 0.0, False
    env.reset(seed=1)
    while not is_over:
        action = env.action_space.sample()
        actions.append(action)
        _, reward, terminated, truncated, info = env.step(action)
        rewards += reward
        is_over = terminated or truncated
    encoding = env.encoding

    class Same:
        """Answers what was answered in the environment."""

        def __init__(self) -> None:
            self.actions = list(actions)

        def decide(self, observation: Observation) -> object:
            return encoding.decode(self.actions.pop(0), observation)

    result = run_in(build_world(recipe, Catalog(), offline=True), recipe, agent=Same())
    assert exp(rewards) - 1 == pytest.approx(result.metrics.total_return, abs=1e-12)
    assert info["total_return"] == pytest.approx(result.metrics.total_return, abs=1e-12)


@pytest.mark.rl
def test_the_same_seed_begins_the_same_episode() -> None:
    """A path is drawn from the seed, and can be named."""
    pytest.importorskip("gymnasium", reason=ABSENT)
    env = seawall.gym.make(short("demo"), paths=50)
    seeds = [env.reset(seed=seed)[1]["seed"] for seed in (1, 2, 3, 1, 2, 3)]
    assert seeds[:3] == seeds[3:]
    assert len(set(seeds)) > 1
    assert env.reset(options={"path": 7})[1]["seed"] == env.recipe.seed + 7
    env.close()


@pytest.mark.rl
def test_recorded_history_is_cut_into_episodes(tmp_path: Path) -> None:
    """Windows of one length, somewhere in the whole; the same seed, the same window."""
    pytest.importorskip("gymnasium", reason=ABSENT)
    recipe = spot(None).with_settings({"market.until": "2025-01-13"})
    world = build_world(recipe, Catalog(tmp_path), offline=True)
    catalog = Catalog(tmp_path)
    candles = world.candles["ETH/USDT"]
    key = replace(candles.key, venue="recorded")
    catalog.write(replace(candles, key=key), fetched_ms=0)
    recorded = recipe.with_settings({"market.venue": "recorded"})
    env = seawall.gym.make(recorded, episode="2d", catalog=catalog)
    starts = [env.reset(seed=seed)[1]["time_ms"] for seed in (1, 2, 3, 4, 1)]
    assert starts[0] == starts[4]
    assert len(set(starts)) > 1
    n_steps, is_over = 0, False
    while not is_over:
        _, _, terminated, is_over, _ = env.step(env.action_space.sample())
        n_steps += 1
        assert not terminated
    assert n_steps == 48 + 1
    env.close()


@pytest.mark.rl
def test_every_lets_bars_pass() -> None:
    """Four hours between two steps: a quarter of the steps."""
    pytest.importorskip("gymnasium", reason=ABSENT)
    env = seawall.gym.make(short("loan_demo"), every="4h")
    _, info = env.reset(seed=1)
    _, _, _, _, after = env.step(0)
    assert after["time_ms"] - info["time_ms"] == 4 * 3_600_000
    env.close()


@pytest.mark.rl
def test_a_closed_environment_leaves_no_thread() -> None:
    """In the middle of an episode too; a step then says what to do."""
    pytest.importorskip("gymnasium", reason=ABSENT)
    before = threading.active_count()
    env = seawall.gym.make(short("demo"))
    assert threading.active_count() == before
    env.reset(seed=1)
    env.step(env.action_space.sample())
    env.reset(seed=2)
    assert threading.active_count() == before + 1
    env.close()
    assert threading.active_count() == before
    with pytest.raises(AgentError, match=r"call reset\(\) first"):
        env.step(env.action_space.sample())


@pytest.mark.rl
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"paths": 0}, "paths must be a whole number >= 1"),
        ({"episode": "2d"}, "the market is simulated: give paths=16"),
        ({"every": "90m"}, "every must be whole bars of 1h"),
        ({"every": "soon"}, "a duration is"),
    ],
)
def test_what_no_environment_can_do_is_refused(given: dict[str, object], said: str) -> None:
    """By name, when it is made."""
    pytest.importorskip("gymnasium", reason=ABSENT)
    with pytest.raises(RecipeError, match=said):
        seawall.gym.make(short("demo"), **given)  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="plain backtrader strategy"):
        seawall.gym.make(spot(None, strategy={"name": "strategies.golden_cross"}))
    with pytest.raises((RecipeError, DataError)):
        seawall.gym.make(spot(None).with_settings({"market.venue": "nowhere"}))


# Training -----------------------------------------------------------------------------------------


@pytest.mark.rl
def test_a_policy_is_trained_kept_and_does_its_job(tmp_path: Path) -> None:
    """A few hundred steps: the file decides alike twice, and refuses another kind of job."""
    pytest.importorskip("stable_baselines3", reason=ABSENT)
    plan = Plan(recipe=short("loan_demo"), steps=200, paths=2, test_paths=2, every="4h")
    training = train(plan, tmp_path / "policy.zip", rules=[{"name": "agents.do_nothing"}])
    assert training.episodes
    assert [one.agent for one in training.tested] == ["policy", "do_nothing"]
    tested = {recipe.seed for recipe in plan.tests}
    assert not tested & {plan.recipe.seed + path for path in range(plan.paths)}
    agent = {"name": "agents.policy", "path": str(training.path)}
    job = Recipe.from_dict({**plan.tests[0].to_dict(), "agent": agent})
    one, two = run(job), run(job)
    assert one.journal.equals(two.journal)
    assert one.counts.get("abstained", 0) == 0
    assert one.counts["decisions"] <= 96 // 4 + 1
    assert one.metrics.total_return == training.tested[0].total_returns[0]
    with pytest.raises(AgentLost, match="a policy sees what it was trained on"):
        run(Recipe.from_dict({**short("demo").to_dict(), "agent": agent}))


@pytest.mark.rl
def test_a_policy_of_another_version_is_one_line(tmp_path: Path) -> None:
    """A note that is right around something that stable-baselines3 cannot read."""
    pytest.importorskip("stable_baselines3", reason=ABSENT)
    encoding = Encoding.of(*first(short("demo"))).to_dict()
    note = {
        "seawall_policy": 1, "algorithm": "PPO", "encoding": encoding, "trained_on": "x",
        "every_ms": 0,
    }  # fmt: skip
    with zipfile.ZipFile(tmp_path / "policy.zip", "w") as archive:
        archive.writestr("seawall.json", json.dumps(note))
        archive.writestr("data", "{}")
    with pytest.raises(RecipeError, match="readable by the stable-baselines3 that is installed"):
        run(spot({"name": "agents.policy", "path": str(tmp_path / "policy.zip")}))


@pytest.mark.rl
@pytest.mark.slow
def test_the_verb_trains_and_reports(tmp_path: Path) -> None:
    """A process of its own: policy, report and numbers are written."""
    pytest.importorskip("stable_baselines3", reason=ABSENT)
    command = [sys.executable, "-m", "seawall", "train", "loan_demo", "--steps", "120"]
    more = ["--every", "12h", "--test-paths", "2", "--out", str(tmp_path / "out")]
    environment = {k: v for k, v in os.environ.items() if k != "SEAWALL_WORKSPACE"}
    done = subprocess.run(
        [*command, *more], capture_output=True, text=True, check=False, cwd=tmp_path,
        env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "policy.zip", "report.html", "training.json",
    }  # fmt: skip
    assert "defi_saver" in done.stdout


@pytest.mark.rl
def test_a_policy_keeps_to_the_contract(tmp_path: Path) -> None:
    """In ordinary and unpleasant worlds; what it was trained on, no check can tell."""
    pytest.importorskip("stable_baselines3", reason=ABSENT)
    recipe = spot(None)
    training = train(Plan(recipe=recipe, steps=64, test_paths=1), tmp_path / "policy.zip")
    agent = {"name": "agents.policy", "path": str(training.path)}
    findings = check_contract(lambda: make_agent(spot(agent)), recipe)
    assert [finding for finding in findings if not finding.passed] == []
