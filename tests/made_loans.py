"""Loans over hours that a test makes up: their recipes, and the catalog that has the bars."""

from pathlib import Path

import numpy as np

from seawall.market.catalog import Catalog
from seawall.market.series import Candles, FloatArray, SeriesKey
from seawall.recipe import Recipe
from seawall.units import HOUR_MS, to_time_ms

SINCE, UNTIL = "2023-06-01", "2023-06-03"
JOB = "liquidation_protection"
_SHORT = """
amount = 10.0
debt_amount = 14_000.0
wallet = { ETH = 1.0, USDC = 1_000 }
"""


def loan_recipe(loan: str, *, since: str, until: str, job: str = JOB) -> Recipe:
    """Return the recipe of a loan, ``[loan]`` as given, at the strategy's rates and even gas."""
    return Recipe.from_toml(
        f"""
        [market]
        venue = "made"
        symbols = ["ETH/USDT"]
        timeframe = "1h"
        since = "{since}"
        until = "{until}"
        [strategy]
        name = "strategies.{job}"
        [agent]
        name = "agents.do_nothing"
        [loan]
        {loan}
        [loan.gas]
        source = "model"
        baseline_gwei = 20.0
        [loan.rates]
        source = "strategy"
        """
    )


def short_recipe(job: str = JOB, **settings: object) -> Recipe:
    """Return two days with a loan at a health factor of 1.186, and 1,000 USDC in the wallet."""
    return loan_recipe(_SHORT, since=SINCE, until=UNTIL, job=job).with_settings(settings)


def store_hours(folder: Path, bars: FloatArray, *, since: str = SINCE) -> Catalog:
    """Return a catalog of ETH's bars; ``bars``: open, high, low and close, shape (4, n)."""
    opens, highs, lows, closes = bars
    catalog = Catalog(folder)
    catalog.write(
        Candles(
            key=SeriesKey("candles", "made", "ETH/USDT", "1h"),
            time_ms=to_time_ms(since) + np.arange(len(closes)) * HOUR_MS,
            open=opens,
            high=highs,
            low=lows,
            close=closes,
            volume=np.ones(len(closes)),
        ),
        fetched_ms=None,
    )
    return catalog
