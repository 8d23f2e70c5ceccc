"""What a paper session runs: a backtest's recipe, put on a live market."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from seawall.engine.checks import check_job
from seawall.engine.components import find_strategy
from seawall.engine.loan.standing import check_live as check_live_loan
from seawall.errors import RecipeError
from seawall.paper.allowed import FUTURES_TRIED, Market, Venue, find_venue, is_served
from seawall.paper.errors import GuardRefused
from seawall.paper.futures_record import has_told_account, with_told_account
from seawall.paper.guard import local_venue, shadow_of
from seawall.paper.limits import Limits
from seawall.paper.record import Setup
from seawall.paper.supervisor import Watch
from seawall.recipe import Recipe
from seawall.strategy import AgentStrategy
from seawall.units import SECOND_MS, is_perpetual, split_symbol, to_time_text

Style = Literal["shadow", "sandbox"]
LOCAL = "local:"
MARKETS: tuple[Market, ...] = ("spot", "perpetual")
_KEPT = ("symbols", "timeframe", "higher_timeframes", "warmup", "signals")  # of the market section
_FOREVER = "2199-01-01"
_NEEDED: Mapping[str, object] = {
    "execution.decide_at": "close",
    "execution.fill": "next_open",
    "execution.fills": "exchange",
    "market.texts": None,
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
        opens: open the position that the recipe guards, where a sandbox holds nothing.
        settle_ms: how long after its end a candle is taken.
    """

    recipe: Recipe
    style: Style
    exchange: str
    folder: Path
    limits: Limits = field(default_factory=Limits)
    watch: Watch = field(default_factory=Watch)
    adopt: bool = False
    opens: bool = False
    settle_ms: int = 0

    def __post_init__(self) -> None:
        check_recipe(self.recipe, self.style)
        if self.style == "sandbox" and self.recipe.account.initial_holdings:
            raise RecipeError(
                "account.initial_holdings belong to an account that begins with the session, in a "
                f"sandbox it is the exchange's, they are "
                f"{dict(self.recipe.account.initial_holdings)}: leave them out and buy there, or "
                "run --shadow"
            )
        if self.style == "sandbox" and self.markets == ("perpetual",) and not self._is_tried:
            raise GuardRefused(
                f"--sandbox on futures needs an exchange whose account can be read, is "
                f"{self.exchange!r}: choose {', '.join(FUTURES_TRIED)} or local:URL, or --shadow"
            )

    @property
    def _is_tried(self) -> bool:
        return self.is_local or is_served(self.venue)

    @property
    def markets(self) -> tuple[Market, ...]:
        """The exchange's markets that its symbols are of; the first one names the session."""
        there = {market_of(symbol) for symbol in self.recipe.market.symbols}
        return tuple(market for market in MARKETS if market in there)

    @property
    def venue(self) -> Venue:
        """Where its requests may go: that of its first market.

        Raises:
            GuardRefused: nowhere: the exchange is not supported so.
        """
        return self.venue_of(self.markets[0])

    def venue_of(self, market: Market) -> Venue:
        """Return where the requests of one of its markets may go.

        Raises:
            GuardRefused: nowhere: the exchange is not supported so.
        """
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


def market_of(symbol: str) -> Market:
    """Return the market of an exchange on which a symbol is traded."""
    return "perpetual" if is_perpetual(symbol) else "spot"


def check_recipe(recipe: Recipe, style: Style = "shadow") -> None:
    """Raise where a recipe cannot be run live.

    Raises:
        RecipeError: it asks for what a live market does not have, or its job is another.
    """
    strategy = find_strategy(recipe)
    check_job(recipe, strategy)
    if recipe.loan is not None:
        check_live_loan(recipe.loan)
    if style == "sandbox":
        _check_sandbox(recipe)
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
            rule = (
                "a live market is traded from close to next open, by an exchange's rules"
                if section == "execution"
                else "a paper session reads no texts yet"
            )
            raise RecipeError(f"{rule}, {key} is {found!r}: {needed}")


def _check_sandbox(recipe: Recipe) -> None:
    """Raise where no exchange's sandbox is what a recipe needs."""
    symbols = recipe.market.symbols
    if recipe.loan is not None:
        raise RecipeError(
            "no exchange's sandbox has a loan, the recipe has one: take a recipe without, or run "
            "--shadow"
        )
    if len({market_of(symbol) for symbol in symbols}) > 1:
        raise RecipeError(
            f"a sandbox session has one account, spot or futures, the recipe has {list(symbols)}: "
            "take symbols of one market, or run --shadow"
        )


def to_live(recipe: Recipe, exchange: str, since_ms: int, until_ms: int | None = None) -> Recipe:
    """Return a recipe on the market where, and while, a session ran it.

    Args:
        recipe: as it was given.
        exchange: whose candles; a name without a path.
        since_ms: where trading began.
        until_ms: where it ended; far away if not given.
    """
    values = json.loads(recipe.to_json())
    kept = {name: values["market"][name] for name in _KEPT}
    until = _FOREVER if until_ms is None else _to_text(until_ms)
    live = {"venue": exchange, "since": _to_text(since_ms), "until": until}
    return Recipe.from_dict({**values, "market": {**kept, **live}})


def with_account(recipe: Recipe, setup: Setup) -> Recipe:
    """Return a recipe whose account is what a session began with."""
    if has_told_account(setup):
        return with_told_account(recipe, setup)
    held = {split_symbol(symbol)[0]: amount for symbol, amount in setup.holdings.items() if amount}
    return recipe.with_settings({"account.cash": setup.cash, "account.initial_holdings": held})


def _to_text(time_ms: int) -> str:
    return to_time_text(time_ms // SECOND_MS * SECOND_MS)
