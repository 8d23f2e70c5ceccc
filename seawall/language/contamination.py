"""Whether a model remembers the window it is tested on: the same runs, plain and masked.

Who reasons from what it is shown does as well when names and dates are hidden and prices rescaled;
who remembers does worse. The **memorisation gap** of a window is the return of the plain run less
the mean of the masked ones. Its interval is Student's over the windows, since the bars of one run
are one bet and not many.

Limits: see ``masks``. No gap is no proof: a path may be known by its shape, and few windows tell
little. A gap of a model with a cutoff before the window has another cause.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan, nan, sqrt
from statistics import NormalDist

import numpy as np

from seawall.engine.run import check, run_in
from seawall.engine.world import build_world
from seawall.errors import RecipeError
from seawall.language.cutoff import Exposure, exposure_of
from seawall.language.masks import DATES, NAMES, SCALE
from seawall.language.windows import split_window
from seawall.market.catalog import Catalog
from seawall.market.series import FloatArray
from seawall.recipe import Recipe
from seawall.result import Result

USUAL = (NAMES, DATES, SCALE)
LEVEL = 0.95
MIN_WINDOWS = 3  # fewer say nothing about the next one
Advance = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class WindowGap:
    """One window: total returns as fractions.

    Attributes:
        since, until: of the window, in words.
        plain: of the run that sees everything; ``masked``: of each masked run.
        moved: mean absolute difference of the exposure, plain against masked: how often the mask
            has changed a decision, whatever came of it.
    """

    since: str
    until: str
    plain: float
    masked: tuple[float, ...]
    moved: float

    @property
    def gap(self) -> float:
        """The plain return less the mean of the masked ones."""
        return self.plain - sum(self.masked) / len(self.masked)


@dataclass(frozen=True, kw_only=True)
class Contamination:
    """What plain and masked runs come to.

    Attributes:
        windows: one by one.
        gap: mean over the windows; ``low``, ``high``: its 95 % interval, nan below three windows.
        kinds: what was hidden.
        exposure: where the windows lie by the model's stated cutoff.
        n_decisions: of all runs.
    """

    windows: tuple[WindowGap, ...]
    gap: float
    low: float
    high: float
    kinds: tuple[str, ...]
    exposure: Exposure | None
    n_decisions: int

    @property
    def verdict(self) -> str:
        """What may be said, in one sentence."""
        if isnan(self.low):
            return f"{len(self.windows)} windows say nothing: ask for {MIN_WINDOWS} or more"
        if self.low > 0:
            return "the model does better where it can tell which market it is: it remembers"
        if self.high < 0:
            return "the model does worse where it can tell which market it is"
        return "plain and masked cannot be told apart: no sign of memory in these windows"


def measure_contamination(
    recipe: Recipe,
    *,
    n_windows: int = 4,
    n_masks: int = 2,
    kinds: Sequence[str] = USUAL,
    catalog: Catalog | None = None,
    progress: Advance = lambda _done, _total: None,
) -> Contamination:
    """Return the memorisation gap of a recipe's agent.

    Args:
        recipe: its window is split into ``n_windows``; its agent must have the parameters ``mask``
            and ``mask_seed``.
        n_windows: parts of the window, in order, each run by itself.
        n_masks: masked runs of each, with seeds 1, 2, ...
        kinds: what is hidden, as in ``masks``.
        catalog: where the data are.
        progress: called with runs done and runs in all.

    Raises:
        RecipeError: the agent has no mask, or the window is too short to be split.
    """
    if n_windows < 1 or n_masks < 1 or not kinds:
        raise RecipeError(
            f"a gap needs windows, masks and something hidden, are {n_windows}, {n_masks} and "
            f"{list(kinds)}: ask for at least one of each"
        )
    total, done, n_decisions = n_windows * (1 + n_masks), 0, 0
    found = []
    for part in split_window(recipe, n_windows):
        runs: list[Result] = []
        world = build_world(part, catalog or Catalog(), offline=True)
        for seed in range(n_masks + 1):
            hidden = list(kinds) if seed else []
            settings = {"agent.mask": hidden, "agent.mask_seed": max(seed, 1)}
            hidden_part = part.with_settings(settings)
            check(hidden_part)
            runs.append(run_in(world, hidden_part))  # a measurement, and no trial to choose from
            done += 1
            progress(done, total)
        n_decisions += sum(one.counts["decisions"] for one in runs)
        found.append(_to_gap(part, runs[0], runs[1:]))
    gaps = np.array([one.gap for one in found])
    low, high = _find_interval(gaps)
    return Contamination(
        windows=tuple(found),
        gap=float(gaps.mean()),
        low=low,
        high=high,
        kinds=tuple(kinds),
        exposure=exposure_of(recipe),
        n_decisions=n_decisions,
    )


def _to_gap(recipe: Recipe, plain: Result, masked: Sequence[Result]) -> WindowGap:
    own = _exposure(plain)
    return WindowGap(
        since=recipe.market.since,
        until=recipe.market.until,
        plain=plain.metrics.total_return,
        masked=tuple(one.metrics.total_return for one in masked),
        moved=float(np.mean([np.nanmean(np.abs(own - _exposure(one))) for one in masked])),
    )


def _exposure(result: Result) -> FloatArray:
    return result.equity["exposure"].to_numpy(np.float64)


def _find_interval(gaps: FloatArray) -> tuple[float, float]:
    """Return Student's interval of the mean gap: windows are few, and a bootstrap is too sure.

    Drawing four windows again and again, it says "it remembers" of one model in nine that does not.
    What the masks' seeds move is in the spread of the windows.
    """
    n = len(gaps)
    if n < MIN_WINDOWS:
        return nan, nan
    middle = float(gaps.mean())
    reach = _student_quantile(n - 1) * float(gaps.std(ddof=1)) / sqrt(n)
    return middle - reach, middle + reach


def _student_quantile(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t, to 0.1 %.

    Source: tables; from eleven degrees on Cornish and Fisher's expansion to the second order.
    """
    if freedom in _STUDENT:
        return _STUDENT[freedom]
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    first = (z**3 + z) / (4 * freedom)
    return z + first + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


_STUDENT = {
    2: 4.3027, 3: 3.1824, 4: 2.7764, 5: 2.5706, 6: 2.4469, 7: 2.3646, 8: 2.3060, 9: 2.2622,
    10: 2.2281,
}  # fmt: skip
