"""The Gymnasium environment of a recipe: the engine in lock-step, one decision a step.

The observation is ``Encoding.encode``, the action ``Encoding.decode``. The reward is the change of
the log of the equity since the last step, so costs, funding, interest and liquidations are in it.
An episode ends (``truncated``) with the window, and (``terminated``) where no equity is left.
"""

from collections import OrderedDict
from dataclasses import replace
from math import log
from typing import Any

import numpy as np

from seawall.agent import Decision, Wake
from seawall.engine.lockstep import Lockstep
from seawall.engine.world import World, build_world
from seawall.errors import AgentError, RecipeError, ToolError
from seawall.gym.encoding import LIMIT, Encoding, Features, Step
from seawall.market.catalog import Catalog
from seawall.recipe import SIMULATED, Recipe
from seawall.units import to_duration_ms, to_time_text

try:
    import gymnasium
except ImportError:
    raise ToolError(
        "an environment needs the package gymnasium, which is not installed: pip install "
        "'seawall[rl]' (the README says how to get torch without CUDA)"
    ) from None

_MOST_WORLDS = 64  # kept, so that a seed that is drawn again costs nothing
_LEAST_EQUITY = 1e-9  # of the first: what is less counts as nothing


class SeawallEnv(gymnasium.Env[Features, Any]):  # type: ignore[misc,unused-ignore]  # absent: Any
    """A recipe as an environment; arguments as of ``seawall.gym.make``.

    ``observation_space``: Box(-10, 10, (n_features,), float32); ``encoding.names`` names them.
    ``action_space``: Box(-1, 1) of weights, or Discrete of levels: ``Encoding``.
    ``info``: ``time_ms``, ``equity``, ``seed``, and ``journal``, what has happened since the step
    before as (kind, text) pairs; at the end also ``total_return``.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(
        self,
        recipe: Recipe,
        *,
        paths: int = 1,
        episode: str | None = None,
        every: str | None = None,
        catalog: Catalog | None = None,
        offline: bool = True,
    ) -> None:
        self.recipe = recipe
        self._paths, self._episode_ms = paths, _check_draws(recipe, paths, episode)
        self.every_ms = _check_every(recipe, every)
        self._catalog, self._offline = catalog or Catalog(), offline
        self._worlds: OrderedDict[str, World] = OrderedDict()
        self._run: Lockstep | None = None
        self._equity = self._first_equity = 0.0
        first = self._begin(recipe)
        if first.observation is None:
            raise RecipeError(
                f"an environment needs a bar at which it is asked, {recipe.name} has none: "
                "lengthen the window"
            )
        self.encoding = Encoding.of(first.info, first.observation)
        n_features = len(self.encoding.names)
        self.observation_space = gymnasium.spaces.Box(-LIMIT, LIMIT, (n_features,), np.float32)
        if self.encoding.n_choices:
            self.action_space = gymnasium.spaces.Discrete(self.encoding.n_choices)
        else:
            shape = (self.encoding.n_numbers,)
            self.action_space = gymnasium.spaces.Box(-1.0, 1.0, shape, np.float32)
        self.close()

    # What Gymnasium calls -------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Features, dict[str, Any]]:
        """Begin an episode; the same seed begins the same one.

        Args:
            seed: of what episodes are drawn with; ``None`` goes on with the last.
            options: ``{"path": k}`` takes a certain path of a simulated market.
        """
        super().reset(seed=seed)
        self.close()
        run = self._begin(self._draw(options or {}))
        if run.observation is None:
            raise AgentError("an episode has a bar at which it is asked, this one has none")
        self._equity = self._first_equity = run.observation.equity
        return self.encoding.encode(run.observation), self._tell(run)

    def step(self, action: Step) -> tuple[Features, float, bool, bool, dict[str, Any]]:
        """Answer what is seen, and move on to where the next answer is wanted.

        Raises:
            AgentError: there is no episode, or it is over.
        """
        run = self._run
        if run is None or run.observation is None:
            raise AgentError("a step needs an episode that is not over: call reset() first")
        before = run.observation
        run.answer(self._decide(action, run))
        seen = run.observation
        equity = seen.equity if seen is not None else self._find_last_equity(run)
        reward = self._earn(equity)
        is_ruined = equity <= _LEAST_EQUITY * self._first_equity
        shown = self.encoding.encode(seen if seen is not None else before)
        info = self._tell(run)
        if seen is None or is_ruined:
            info["total_return"] = equity / self._first_equity - 1.0
            self.close()
        return shown, reward, is_ruined, seen is None and not is_ruined, info

    def close(self) -> None:
        """End the episode where it stands; no thread is left."""
        if self._run is not None:
            self._run.close()
            self._run = None

    # One episode ----------------------------------------------------------------------------------

    def _draw(self, options: dict[str, Any]) -> Recipe:
        """Return the recipe of an episode: another path, or another part of the window."""
        if self._episode_ms is not None:
            market = self.recipe.market
            n = (market.until_ms - market.since_ms - self._episode_ms) // market.timeframe_ms
            start_ms = market.since_ms + int(self.np_random.integers(n + 1)) * market.timeframe_ms
            return self.recipe.with_settings({
                "market.since": to_time_text(start_ms),
                "market.until": to_time_text(start_ms + self._episode_ms),
            })  # fmt: skip
        path = options.get("path")
        if path is None and self._paths > 1:
            path = int(self.np_random.integers(self._paths))
        return self.recipe.model_copy(update={"seed": self.recipe.seed + (path or 0)})

    def _begin(self, recipe: Recipe) -> Lockstep:
        world = self._worlds.get(recipe.id)
        if world is None:
            world = build_world(recipe, self._catalog, offline=self._offline)
            self._worlds[recipe.id] = world
            if len(self._worlds) > _MOST_WORLDS:
                self._worlds.popitem(last=False)
        self._run = Lockstep(recipe, world)
        return self._run

    def _decide(self, action: Step, run: Lockstep) -> Decision:
        if run.observation is None or run.info.read is None:
            raise AgentError("a step needs an episode that is not over: call reset() first")
        decision = run.info.read(self.encoding.decode(action, run.observation))
        if self.every_ms is None:
            return decision
        return replace(decision, wake=Wake(after_ms=self.every_ms))

    def _earn(self, equity: float) -> float:
        """Return the reward, and remember the equity that it led to."""
        floor = _LEAST_EQUITY * self._first_equity
        before, self._equity = max(self._equity, floor), equity
        return log(max(equity, floor) / before)

    @staticmethod
    def _find_last_equity(run: Lockstep) -> float:
        if run.played is None:
            raise AgentError("a run that is over has left something, this one has not")
        return float(run.played.curve.equity[-1])

    def _tell(self, run: Lockstep) -> dict[str, Any]:
        journal = [(entry.kind, entry.text) for entry in run.news()]
        now = run.observation
        told = {"equity": self._equity, "seed": run.recipe.seed, "journal": journal}
        return told if now is None else {**told, "time_ms": now.time_ms}


def _check_draws(recipe: Recipe, paths: int, episode: str | None) -> int | None:
    """Return the length of an episode in milliseconds; ``None``: the whole window."""
    if isinstance(paths, bool) or not isinstance(paths, int) or paths < 1:
        raise RecipeError(f"paths must be a whole number >= 1, is {paths!r}: 1 is the recipe's own")
    is_simulated = recipe.market.venue == SIMULATED
    if paths > 1 and not is_simulated:
        raise RecipeError(
            f"paths belong to simulated markets, the venue is {recipe.market.venue}: history has "
            'one; give episode="30d"'
        )
    if episode is None:
        return None
    if is_simulated:
        raise RecipeError(
            "episode cuts parts out of recorded history, the market is simulated: give paths=16"
        )
    length_ms, market = to_duration_ms(episode), recipe.market
    if length_ms % market.timeframe_ms or length_ms > market.until_ms - market.since_ms:
        raise RecipeError(
            f"episode must be whole bars of {market.timeframe} and fit into the window, is "
            f"{episode}: shorten it"
        )
    return length_ms


def _check_every(recipe: Recipe, every: str | None) -> int | None:
    if every is None:
        return None
    length_ms = to_duration_ms(every)
    if length_ms % recipe.market.timeframe_ms:
        raise RecipeError(
            f"every must be whole bars of {recipe.market.timeframe}, is {every}: correct it"
        )
    return length_ms
