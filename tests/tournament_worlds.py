"""Small markets that leagues are played in: daily bars of a random walk, in their own catalog."""

from pathlib import Path

import numpy as np

from seawall.market.catalog import Catalog
from seawall.market.series import Candles, SeriesKey
from seawall.recipe import Recipe
from seawall.tournament.league_file import LeagueFile
from seawall.tournament.play import Played, play_league
from seawall.tournament.runner import HereRunner, Runner
from seawall.tournament.store import CellStore
from seawall.trial_ledger import TrialLedger
from seawall.units import DAY_MS, to_time_ms

FIRST_MS = to_time_ms("2021-01-01")
N_BARS = 460
RECIPE = """
[market]
venue = "test"
symbols = ["ETH/USDT"]
timeframe = "1d"
since = "{since}"
until = "{until}"
warmup = "30d"

[agent]
name = "agents.sma_cross"
fast = 4
slow = 12
"""


def walk(seed: int, n: int = N_BARS) -> Candles:
    """Return daily candles of a random walk without drift."""
    rng = np.random.default_rng(seed)
    close = 1_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.03, n)))
    opened = np.concatenate([[1_000.0], close[:-1]])
    return Candles(
        key=SeriesKey("candles", "test", "ETH/USDT", "1d"),
        time_ms=FIRST_MS + DAY_MS * np.arange(n, dtype=np.int64),
        open=opened,
        high=np.maximum(opened, close) * 1.01,
        low=np.minimum(opened, close) * 0.99,
        close=close,
        volume=np.full(n, 1e6),
    )


def make_catalog(folder: Path, seed: int = 1) -> Catalog:
    """Return a catalog that holds the walk."""
    catalog = Catalog(folder / "data")
    catalog.write(walk(seed), fetched_ms=None)
    return catalog


def make_windows(folder: Path) -> list[str]:
    """Write a span of 400 days and two short windows; return their files."""
    found = []
    for name, since, until in (
        ("long", "2021-02-01", "2022-03-20"),
        ("first", "2021-03-01", "2021-05-01"),
        ("second", "2021-08-01", "2021-10-01"),
    ):
        path = folder / f"{name}.toml"
        path.write_text(RECIPE.format(since=since, until=until))
        found.append(str(path))
    return found


def make_league(folder: Path, **given: object) -> LeagueFile:
    """Return a league of two agents over the three windows."""
    values = {"windows": make_windows(folder), "agents": ["sma_cross", "momentum"], **given}
    return LeagueFile.from_dict({"name": "small", **values})


def play(
    folder: Path, file: LeagueFile, *, runner: Runner | None = None, seed: int = 1
) -> tuple[Played, TrialLedger]:
    """Play a league in the folder's catalog, with its cells and its ledger."""
    ledger = TrialLedger(folder / "trials.sqlite")
    played = play_league(
        file,
        runner=runner or HereRunner(),
        store=CellStore(folder / "cells"),
        ledger=ledger,
        catalog=make_catalog(folder, seed),
    )
    return played, ledger


def recipe_of(folder: Path, name: str = "long") -> Recipe:
    """Return one of the windows' recipes."""
    make_windows(folder)
    return Recipe.from_file(folder / f"{name}.toml")
