"""Made markets with a spot symbol and its perpetual, and jobs that are run in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seawall.agent import as_agent
from seawall.engine.broker import ExchangeBroker
from seawall.engine.cerebro import Cerebro
from seawall.engine.components import find_strategy
from seawall.engine.feed import ArrayFeed
from seawall.engine.run import _open_session
from seawall.engine.world import build_world
from seawall.journal import Journal
from seawall.market.catalog import Catalog
from seawall.market.series import Candles, SeriesKey
from seawall.recipe import Recipe
from seawall.units import HOUR_MS, is_perpetual, to_time_ms

SPOT, ETH = "ETH/USDT", "ETH/USDT:USDT"
SINCE = "2025-03-01"


def make_recipe(
    job: str,
    n_bars: int,
    symbols: Sequence[str] = (ETH,),
    settings: Mapping[str, object] | None = None,
) -> Recipe:
    """Return a recipe at made hourly prices without costs; the mark is the last price."""
    until = np.datetime64(to_time_ms(SINCE) + n_bars * HOUR_MS, "ms")
    futures = _FUTURES if any(is_perpetual(symbol) for symbol in symbols) else ""
    return Recipe.from_toml(
        f"""
        [market]
        venue = "binance"
        symbols = {list(symbols)}
        timeframe = "1h"
        since = "{SINCE}"
        until = "{until}"
        [strategy]
        name = "strategies.{job}"
        [agent]
        name = "agents.do_nothing"
        [account]
        cash = 10_000.0
        [costs]
        half_spread_bps = 0.0
        impact_bps = 0.0
        taker_fee_bps = 0.0
        maker_fee_bps = 0.0
        [execution]
        participation_cap = 1.0
        {futures}
        """
    ).with_settings(settings or {})


_FUTURES = """
[perpetual]
taker_fee_bps = 0.0
maker_fee_bps = 0.0
[perpetual.mark]
source = "last"
[perpetual.funding]
source = "rate"
rate = 0.0
"""


def fill_catalog(
    folder: Path, prices: Mapping[str, Sequence[float | None]], *, flat: bool = False
) -> Catalog:
    """Return hourly bars of these closes, see ``to_candles``."""
    catalog = Catalog(folder)
    for symbol, closes in prices.items():
        catalog.write(to_candles(symbol, closes, flat=flat), fetched_ms=None)
    return catalog


def to_candles(symbol: str, closes: Sequence[float | None], *, flat: bool = False) -> Candles:
    """Return bars that open at the close before and move straight; ``None``: there is no bar.

    ``flat``: bars of one price each, with gaps between them.
    """
    close = np.array([np.nan if one is None else one for one in closes], dtype=np.float64)
    known = np.array(pd.Series(close).ffill())
    opens = known if flat else np.concatenate([[known[0]], known[:-1]])
    candles = Candles(
        key=SeriesKey("candles", "binance", symbol, "1h"),
        time_ms=to_time_ms(SINCE) + np.arange(len(close), dtype=np.int64) * HOUR_MS,
        open=opens,
        high=np.maximum(opens, known),
        low=np.minimum(opens, known),
        close=known,
        volume=np.full(len(close), 1e6),
    )
    there = ~np.isnan(close)
    names = ("time_ms", "open", "high", "low", "close", "volume")
    return replace(candles, **{name: getattr(candles, name)[there] for name in names})


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """A job that has been run once, for the worse."""

    broker: Any
    strategy: Any
    recipe: Recipe

    @cached_property
    def journal(self) -> pd.DataFrame:
        """Every entry."""
        return pd.DataFrame(self.broker.journal.entries)

    def reasons(self, kind: str) -> list[str]:
        """Return the reasons of all entries of one kind."""
        return [entry.reason for entry in self.broker.journal.entries if entry.kind == kind]

    def texts(self, kind: str) -> list[str]:
        """Return the texts of all entries of one kind."""
        return [entry.text for entry in self.broker.journal.entries if entry.kind == kind]

    def fills(self, symbol: str = ETH) -> list[tuple[int, float]]:
        """Return hour and quantity of each fill of a symbol."""
        start_ms = self.recipe.market.since_ms
        found = [fill for fill in self.broker.fills if fill.symbol == symbol]
        return [((fill.time_ms - start_ms) // HOUR_MS, fill.quantity) for fill in found]

    @property
    def view(self) -> Any:
        """The futures account at the end."""
        return self.broker.see_perpetual()

    def held(self, symbol: str = ETH) -> float:
        """Return what is held at the end."""
        return float(self.broker.getposition(self.strategy.feeds[symbol]).size)


def play(recipe: Recipe, catalog: Catalog, agent: object) -> Job:
    """Run a job with an agent through one pass."""
    world = build_world(recipe, catalog, offline=True)
    journal = Journal()
    broker = ExchangeBroker.from_recipe(
        recipe, journal=journal, filters=world.filters, perpetual=world.perpetual
    )
    cerebro = Cerebro()
    cerebro.since_ms = world.since_ms
    cerebro.p.cheat_on_open = recipe.execution.decide_at == "open"
    cerebro.broker = broker
    for symbol, candles in world.candles.items():
        cerebro.adddata(ArrayFeed(candles), name=symbol)
    session = _open_session(recipe, world, journal, as_agent(agent))
    cerebro.addstrategy(find_strategy(recipe), session=session, **recipe.strategy.parameters)
    (strategy,) = cerebro.run()
    return Job(broker=broker, strategy=strategy, recipe=recipe)
