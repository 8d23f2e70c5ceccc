"""A loan through eleven days of a falling price, for tests: made bars, an agent by timetable."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from made_loans import loan_recipe, store_hours

from seawall.agent import Decision, Wake
from seawall.loan_action import LoanAction
from seawall.market.catalog import Catalog
from seawall.observation import Observation
from seawall.recipe import Recipe
from seawall.units import HOUR_MS, to_time_ms

SINCE, UNTIL = "2025-02-20", "2025-03-03"
"""Aave v3.3 replaces v3.0 on 2025-02-24, in the middle of the fall."""

_START_MS = to_time_ms(SINCE)
_N_BARS = 11 * 24
_LOAN = """
amount = 500.0
health = 1.2
wallet = { ETH = 5.0, WETH = 30.0, USDC = 90_000 }
[loan.swap]
depth_usd = 2e9
"""


def falling_recipe(**settings: object) -> Recipe:
    """Return the recipe of a loan large enough that a token's wei do not count."""
    return loan_recipe(_LOAN, since=SINCE, until=UNTIL).with_settings(settings)


def falling_catalog(folder: Path, seed: int = 3) -> Catalog:
    """Return bars of ETH that fall by about 60 % in fits and starts."""
    rng = np.random.default_rng(seed)
    moves = rng.normal(-0.0035, 0.008, _N_BARS)
    close = 2_700 * np.exp(np.cumsum(moves))
    opens = np.concatenate([[2_700.0], close[:-1]])
    reach = rng.exponential(0.002, (2, _N_BARS))
    high = np.maximum(opens, close) * (1 + reach[0])
    low = np.minimum(opens, close) * (1 - reach[1])
    return store_hours(folder, np.array([opens, high, low, close]), since=SINCE)


class Timetable:
    """An agent that does at given hours what it was given, and sleeps in between.

    With ``sleeps=False`` it is asked at every bar and decides the same.
    """

    def __init__(
        self,
        actions: Mapping[int, tuple[LoanAction, ...]],
        *,
        sleeps: bool = True,
        wake: Wake | None = None,
    ) -> None:
        self._actions, self._sleeps, self._wake = dict(actions), sleeps, wake or Wake()

    def decide(self, observation: Observation) -> Decision:
        """Return what this hour's entry says."""
        hour = (observation.time_ms - _START_MS) // HOUR_MS
        later = [one for one in self._actions if one > hour]
        hours = min(later) - hour if later else 10_000
        wish = replace(self._wake, after_ms=hours * HOUR_MS) if self._sleeps else None
        actions = self._actions.get(hour, ())
        return Decision(actions=actions, reason=f"hour {hour}" if actions else "", wake=wish)
