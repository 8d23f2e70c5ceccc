"""What a paper session runs: a backtest's recipe, put on a live market."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from seawall.engine.components import find_strategy
from seawall.errors import RecipeError
from seawall.paper.allowed import Market, Venue, find_venue
from seawall.paper.guard import local_venue, shadow_of
from seawall.paper.limits import Limits
from seawall.paper.supervisor import Watch
from seawall.recipe import Recipe
from seawall.strategy import AgentStrategy
from seawall.units import SECOND_MS, is_perpetual, to_time_text

Style = Literal["shadow", "sandbox"]
LOCAL = "local:"
_FOREVER = "2199-01-01"
_NEEDED: Mapping[str, object] = {
    "execution.decide_at": "close",
    "execution.fill": "next_open",
    "execution.fills": "exchange",
    "market.signals": (),
    "market.higher_timeframes": (),
    "account.initial_holdings": {},
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One session, before it begins.

    Attributes:
        recipe: what is run; its window and its venue do not count, its warm-up does.
        style: ``shadow`` or ``sandbox``.
        exchange: a name on the allow-list, or ``local:http://127.0.0.1:8080``.
        folder: where the session keeps its journal, log and kill switch.
        limits, watch: what stands between the agent and the account.
        adopt: take the exchange's side where it and the journal differ.
        settle_ms: how long after its end a candle is taken.
    """

    recipe: Recipe
    style: Style
    exchange: str
    folder: Path
    limits: Limits = field(default_factory=Limits)
    watch: Watch = field(default_factory=Watch)
    adopt: bool = False
    settle_ms: int = 0

    def __post_init__(self) -> None:
        check_recipe(self.recipe)

    @property
    def venue(self) -> Venue:
        """Where its requests may go.

        Raises:
            GuardRefused: nowhere: the exchange is not supported so.
        """
        market: Market = "spot"
        if self.is_local:
            venue = local_venue(self.exchange.removeprefix(LOCAL), market)
            return shadow_of(venue) if self.style == "shadow" else venue
        return find_venue(self.exchange, market, self.style)

    @property
    def is_local(self) -> bool:
        """Whether the exchange is our own."""
        return self.exchange.startswith(LOCAL)

    @property
    def n_warm_up(self) -> int:
        """How many closed candles are read before the first that may trade; one at least."""
        market = self.recipe.market
        return max(1, -(-market.warmup_ms // market.timeframe_ms))


def check_recipe(recipe: Recipe) -> None:
    """Raise where a recipe cannot be run live.

    Raises:
        RecipeError: it asks for what a live market does not have, or its job is another.
    """
    if recipe.loan is not None or any(is_perpetual(symbol) for symbol in recipe.market.symbols):
        raise RecipeError(
            f"paper trading is on spot so far, the recipe has {list(recipe.market.symbols)}"
            f"{' and a loan' if recipe.loan is not None else ''}: take a recipe of spot symbols"
        )
    strategy = find_strategy(recipe)
    if not issubclass(strategy, AgentStrategy):
        raise RecipeError(
            f"paper trading runs a job for an agent, {recipe.strategy.name} decides itself: use "
            "strategies.spot_trading with an agent"
        )
    for key, wanted in _NEEDED.items():
        section, name = key.split(".")
        found = getattr(getattr(recipe, section), name)
        if found != wanted:
            needed = f"set it to {wanted!r}" if isinstance(wanted, str) else "leave it out"
            raise RecipeError(f"a live market is traded from close to next open, {key} is "
                              f"{found!r}: {needed}")  # fmt: skip


def to_live(recipe: Recipe, exchange: str, since_ms: int, until_ms: int | None = None) -> Recipe:
    """Return a recipe on the market where, and while, a session ran it.

    Args:
        recipe: as it was given.
        exchange: whose candles; a name without a path.
        since_ms: where trading began.
        until_ms: where it ended; far away if not given.
    """
    values = json.loads(recipe.to_json())
    kept = {name: values["market"][name] for name in ("symbols", "timeframe", "warmup")}
    until = _FOREVER if until_ms is None else _to_text(until_ms)
    live = {"venue": exchange, "since": _to_text(since_ms), "until": until}
    return Recipe.from_dict({**values, "market": {**kept, **live}})


def _to_text(time_ms: int) -> str:
    return to_time_text(time_ms // SECOND_MS * SECOND_MS)
