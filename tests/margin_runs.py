"""Short runs of guarded positions on simulated markets, for tests of what is made of them."""

from collections.abc import Sequence
from functools import cache
from typing import Literal

import numpy as np

from seawall.action import Order
from seawall.agent import Decision
from seawall.analysis.contender import to_contender
from seawall.engine.run import run_in
from seawall.engine.world import World, build_world
from seawall.market.catalog import Catalog
from seawall.observation import Observation
from seawall.perpetual_action import AddMargin, TargetLeverage
from seawall.recipe import Recipe
from seawall.result import Result

_EARLY = "{target=0.02, trigger=0.05}"  # 8 % away from the end, an hour's bar does not jump it
MARGIN_AGENTS = (
    "do_nothing", "reduce_at_margin_ratio", f"reduce_at_margin_ratio{_EARLY}",
    "add_margin_at_ratio", f"add_margin_at_ratio{_EARLY}",
)  # fmt: skip
_RICH: dict[str, object] = {"leverage": 10.0, "wallet": 30_000.0}  # nothing is ever short of margin
_WINDOWS: dict[str, dict[str, object]] = {
    "long": {"quantity": 10.0, "leverage": 5.0},
    "thin": {"quantity": 10.0, "leverage": 12.0},
    "short": {"quantity": -10.0, "leverage": 8.0},
    "rich": {"quantity": 10.0, "leverage": 10.0},
}


@cache
def margin_recipe(name: str, margin: str = "isolated") -> Recipe:
    """Return ten days of hours with a crash of a quarter in them."""
    return Recipe.from_dict(
        {
            "name": f"{name}_{margin}",
            "market": {
                "venue": "simulated",
                "symbols": ["ETH/USDT:USDT"],
                "timeframe": "1h",
                "since": "2025-04-01",
                "until": "2025-04-11",
                "crash": {"at": "2025-04-05", "depth": 0.25, "duration": "1d"},
            },
            "account": {"cash": 2_000.0},
            "strategy": {"name": "strategies.margin_protection"},
            "agent": {"name": "agents.do_nothing"},
            "perpetual": {
                "margin": margin,
                "brackets": {"missing": "nearest"},
                "position": _WINDOWS[name],
                **(_RICH if name == "rich" else {}),
            },
            "costs": {"impact_bps": 0.0},
        }
    )


@cache
def margin_world(name: str, margin: str = "isolated") -> World:
    """Return its world."""
    return build_world(margin_recipe(name, margin), Catalog(), offline=True)


@cache
def run_guard(name: str, agent: str, margin: str = "isolated") -> Result:
    """Return an agent's run in it."""
    recipe = to_contender(agent).recipe(margin_recipe(name, margin))
    return run_in(margin_world(name, margin), recipe)


class Follower:
    """An agent that knows the best policy from the second open on, as hindsight has it."""

    def __init__(self, quantities: Sequence[float]) -> None:
        self._quantities, self._n = list(quantities), 0

    def decide(self, observation: Observation) -> Decision:
        """Trade to what is best from the next open on."""
        self._n += 1
        symbol = observation.symbols[0]
        held = observation.quantities[symbol]
        change = self._quantities[min(self._n, len(self._quantities) - 1)] - held
        if not change:
            return Decision()
        side: Literal["buy", "sell"] = "buy" if change > 0 else "sell"
        return Decision(actions=(Order(symbol=symbol, side=side, quantity=abs(change)),))


class RandomGuard:
    """An agent that trades and moves margin at random, within what the job lets it."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def decide(self, observation: Observation) -> Decision:
        """Return one action in three of four bars."""
        view = observation.perpetual
        assert view is not None
        symbol, rng = view.symbols[0], self._rng
        size = float(rng.uniform(0.1, 10.0))
        chance = rng.random()
        if chance < 0.2:
            return Decision(actions=(AddMargin(symbol=symbol, amount=float(rng.normal(0, 500))),))
        if chance < 0.4:
            leverage = float(rng.uniform(0.0, 20.0))
            return Decision(actions=(TargetLeverage(symbol=symbol, leverage=leverage),))
        if chance < 0.75:
            side: Literal["buy", "sell"] = "buy" if rng.random() < 0.5 else "sell"
            return Decision(actions=(Order(symbol=symbol, side=side, quantity=size),))
        return Decision()
