"""Proximal policy optimisation on a recipe, and its test out of sample against rules.

It is trained on some paths, or the first part of the window, and tested on others, or the rest;
what was seen in training is never in the test. Small enough for a CPU: minutes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from seawall.engine.run import run
from seawall.errors import RecipeError, ToolError
from seawall.gym.policy_file import Policy, save_policy
from seawall.market.catalog import Catalog
from seawall.recipe import SIMULATED, Recipe
from seawall.units import to_time_text

Advance = Callable[[int, int], None]
TRAIN_SHARE = 0.7  # of recorded history; the rest is the test
_TEST_PATHS_FROM = 10_000  # seeds of the test lie so far behind those of the training
_ROLLOUT = 1_024  # steps between two updates
_PREFERENCE = 2.0  # log odds of leaving all as it is against each level, at first


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is trained, and how long.

    Attributes:
        steps: decisions in all, > 0.
        paths: of a simulated market, in training.
        test_paths: likewise, in the test.
        every: time between two decisions such as ``"4h"``; ``None``: each bar.
        seed: of everything that is random in training.
    """

    recipe: Recipe
    steps: int = 60_000
    paths: int = 16
    test_paths: int = 8
    every: str | None = None
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("steps", "paths", "test_paths"):
            if getattr(self, name) < 1:
                raise RecipeError(f"{name} must be >= 1, is {getattr(self, name)}: correct it")

    @property
    def is_simulated(self) -> bool:
        """Whether paths are drawn; else the window is parted."""
        return self.recipe.market.venue == SIMULATED

    @property
    def training(self) -> Recipe:
        """The recipe that is trained on: on history, the first part of the window."""
        if self.is_simulated:
            return self.recipe
        return self.recipe.with_settings({"market.until": to_time_text(self._parting_ms)})

    @property
    def tests(self) -> tuple[Recipe, ...]:
        """The recipes of the test: other paths, or the rest of the window."""
        if self.is_simulated:
            first = self.recipe.seed + max(self.paths, _TEST_PATHS_FROM)
            return tuple(
                self.recipe.model_copy(update={"seed": first + n}) for n in range(self.test_paths)
            )
        return (self.recipe.with_settings({"market.since": to_time_text(self._parting_ms)}),)

    @property
    def _parting_ms(self) -> int:
        market = self.recipe.market
        n_bars = (market.until_ms - market.since_ms) // market.timeframe_ms
        return market.since_ms + int(n_bars * TRAIN_SHARE) * market.timeframe_ms


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One episode of the training: the steps done at its end, and its total return."""

    steps: int
    total_return: float


@dataclass(frozen=True, kw_only=True)
class Tested:
    """One agent in the test, a number for each of its recipes.

    Attributes:
        total_returns: last equity over the first, less 1.
        n_liquidations: of a loan or a position.
    """

    agent: str
    total_returns: tuple[float, ...]
    n_liquidations: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Training:
    """What a training left."""

    plan: Plan
    path: Path
    episodes: tuple[Episode, ...]
    tested: tuple[Tested, ...]


def train(
    plan: Plan,
    path: Path,
    *,
    rules: Sequence[dict[str, object]] = (),
    catalog: Catalog | None = None,
    offline: bool = True,
    progress: Advance = lambda _done, _total: None,
) -> Training:
    """Train a policy, write it to ``path``, and test it out of sample.

    Args:
        plan: what is trained.
        path: of the policy, a zip.
        rules: agents that are tested beside it, each as the section of a recipe.
        catalog: as for ``seawall.run``.
        offline: likewise.
        progress: called now and then with steps done and steps in all.

    Raises:
        ToolError: the extra ``rl`` is not installed.
        RecipeError: the recipe has no environment, or the file cannot be written.
    """
    from seawall.gym.env import SeawallEnv  # noqa: PLC0415 - an extra

    env = SeawallEnv(
        plan.training, paths=plan.paths if plan.is_simulated else 1, every=plan.every,
        catalog=catalog, offline=offline,
    )  # fmt: skip
    episodes: list[Episode] = []
    try:
        model = _learn(env, plan, episodes, progress)
        policy = Policy(
            model=model,
            encoding=env.encoding,
            trained_on=plan.training.id,
            every_ms=env.every_ms or 0,
        )
    finally:
        env.close()
    save_policy(policy, path)
    own: dict[str, object] = {"name": "agents.policy", "path": str(path.resolve())}
    agents = [own, *rules]
    tested = [_test(agent, plan.tests, catalog, offline=offline) for agent in agents]
    return Training(plan=plan, path=path, episodes=tuple(episodes), tested=tuple(tested))


def _learn(env: Any, plan: Plan, episodes: list[Episode], progress: Advance) -> Any:
    """Return the trained model; ``episodes`` is filled while it learns."""
    try:
        library = import_module("stable_baselines3")
        callbacks = import_module("stable_baselines3.common.callbacks")
        torch = import_module("torch")
    except ImportError:
        raise ToolError(
            "training needs the packages stable-baselines3 and torch, which are not installed: pip "
            "install 'seawall[rl]' (the README says how to get torch without CUDA)"
        ) from None

    class Watch(callbacks.BaseCallback):  # type: ignore[misc,name-defined,unused-ignore]
        """Keeps the total return of each episode, and tells how far it is."""

        def _on_step(self) -> bool:
            episodes.extend(
                Episode(steps=self.num_timesteps, total_return=info["total_return"])
                for info in self.locals["infos"]
                if "total_return" in info
            )
            if not self.num_timesteps % 256:
                progress(self.num_timesteps, plan.steps)
            return True

    model = library.PPO(
        "MlpPolicy", env, seed=plan.seed, device="cpu", verbose=0,
        n_steps=min(_ROLLOUT, max(plan.steps, 2)), batch_size=min(256, max(plan.steps, 2)),
        gamma=0.995, gae_lambda=0.95, ent_coef=0.001, learning_rate=1e-3,
        policy_kwargs={"net_arch": [32, 32]},
    )  # fmt: skip
    _prefer_nothing(model, env)
    # A network this small is slower on several cores, and they are wanted elsewhere.
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model.learn(plan.steps, callback=Watch())
    finally:
        torch.set_num_threads(n_threads)
    return model


def _prefer_nothing(model: Any, env: Any) -> None:
    """Let a policy that chooses among levels begin as one that mostly leaves all as it is.

    Evenly random, it would act at nearly every step, and learn from little but its own costs.
    """
    if env.encoding.n_choices:
        torch = import_module("torch")
        with torch.no_grad():
            model.policy.action_net.bias[0] += _PREFERENCE


def _test(
    agent: dict[str, object], recipes: Sequence[Recipe], catalog: Catalog | None, *, offline: bool
) -> Tested:
    results = [
        run(Recipe.from_dict({**one.to_dict(), "agent": agent}), catalog=catalog, offline=offline)
        for one in recipes
    ]
    name = str(agent["name"]).removeprefix("agents.")
    return Tested(
        agent=name,
        total_returns=tuple(result.metrics.total_return for result in results),
        n_liquidations=tuple(result.n_liquidations for result in results),
    )
