"""One window of a league as it was played, and judged where it is long enough."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from seawall.analysis.curves import family_of, to_period_returns
from seawall.analysis.league_statistics import SEED
from seawall.analysis.statistics import period_ends
from seawall.analysis.verdicts import Verdicts, judge
from seawall.errors import SeawallError
from seawall.market.series import FloatArray, TimeArray
from seawall.recipe import SIMULATED
from seawall.tournament.cells import ORACLE, Cell
from seawall.tournament.play import Played
from seawall.tournament.worth import N_LIQUIDATIONS, PERCENTILE
from seawall.trial_ledger import market_of
from seawall.units import DAY_MS, YEAR_MS

SPAN_DAYS = 250


@dataclass(frozen=True, kw_only=True)
class Census:
    """What is known beside the cells.

    Attributes:
        trials: by family, how often it was tried, at least once.
        sharpes: of these, annualised, as far as they are known, by (family, market): ratios of
            other windows spread for other reasons than luck.
        unranked: by (window, player), why it must not be ranked with the others there.
    """

    trials: Mapping[str, int]
    sharpes: Mapping[tuple[str, str], FloatArray]
    unranked: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """One window as it was played.

    Attributes:
        name: the window, with its seed behind it where its market is simulated.
        window: the league's name of it; ``seed``: of the recipe.
        n_days: its length.
        labels: what has to be said beside its numbers.
        time_ms: int64, shape (n_periods + 1,): start and ends of the periods.
        curves: by player, equity over that of the start, shape (n_seeds, n_periods + 1).
        failed: why others have none.
        liquidations: by player, the mean over seeds.
        percentiles: by player, where it lies among random agents that trade as much, 0 to 100, the
            mean over seeds; left out where it trades too little for that, or guards something.
        verdicts: of a span; None otherwise, and ``why`` says why.
        oracle: total return of who knows the next bar; None where it did not play.
    """

    name: str
    window: str
    seed: int
    n_days: float
    labels: tuple[str, ...]
    time_ms: TimeArray
    curves: Mapping[str, FloatArray]
    failed: Mapping[str, str]
    liquidations: Mapping[str, float]
    percentiles: Mapping[str, float]
    verdicts: Verdicts | None
    why: str
    oracle: float | None

    @property
    def returns(self) -> dict[str, float]:
        """Total return by player, the mean over its seeds."""
        return {name: float(curve[:, -1].mean() - 1) for name, curve in self.curves.items()}


def seatings(played: Played) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Give the windows with the seeds that belong together."""
    for window, recipe in played.recipes.items():
        seeds = tuple(recipe.seed + n for n in range(played.file.seeds))
        if recipe.market.venue == SIMULATED:
            yield from ((window, (seed,)) for seed in seeds)
        else:
            yield window, seeds


def to_stage(played: Played, window: str, seeds: tuple[int, ...], census: Census) -> Stage:
    """Return one window as it was played with some seeds, and judged if it is a span."""
    recipe = played.recipes[window]
    is_simulated = recipe.market.venue == SIMULATED
    cells: dict[str, list[Cell]] = {}
    failed: dict[str, str] = {}
    for name in played.players:
        own = [seed for seed in played.seeds_of(window, name) if seed in seeds]
        found = [played.cell(window, name, seed) for seed in own]
        errors = ["it was not played" if c is None else c.error for c in found]
        if any(errors):
            failed[name] = next(filter(None, errors))
        else:
            cells[name] = [c for c in found if c is not None]
    time_ms, curves = _to_curves(cells)
    for name in [name for name in cells if name not in curves]:
        failed[name] = "its equity has other times than that of the others, or begins at nothing"
        del cells[name]
    n_days = float(time_ms[-1] - time_ms[0]) / DAY_MS if len(time_ms) else 0.0
    verdicts, why = None, f"{n_days:.0f} days are too short to be judged by themselves"
    if n_days >= SPAN_DAYS:
        market = market_of(recipe.with_settings({"seed": seeds[0]}))
        ranked = {n: found for n, found in cells.items() if (window, n) not in census.unranked}
        verdicts, why = _judge(played, ranked, census, market, has_luck=not is_simulated)
    oracle = played.cell(window, ORACLE, seeds[0])
    return Stage(
        name=f"{window} #{seeds[0]}" if is_simulated else window,
        window=window,
        seed=seeds[0],
        n_days=n_days,
        labels=tuple(dict.fromkeys(x for cs in cells.values() for c in cs for x in c.labels)),
        time_ms=time_ms,
        curves=curves,
        failed=failed,
        liquidations={
            name: float(np.mean([cell.number(N_LIQUIDATIONS) for cell in found]))
            for name, found in cells.items()
        },
        percentiles={
            name: float(np.mean(ranks))
            for name, found in cells.items()
            if (ranks := [r for c in found if (r := c.worth.get(PERCENTILE)) is not None])
        },
        verdicts=verdicts,
        why=why,
        oracle=None if oracle is None or oracle.error else oracle.total_return,
    )


def _to_curves(
    cells: Mapping[str, Sequence[Cell]],
) -> tuple[TimeArray, dict[str, FloatArray]]:
    """Return the ends of the periods and everybody's equity there, over that of the start."""
    if not cells:
        return np.zeros(0, dtype=np.int64), {}
    first = next(iter(cells.values()))[0]
    rows = period_ends(first.time_ms)
    rows = rows if rows[0] == 0 else np.concatenate([[0], rows])
    return first.time_ms[rows], {
        name: np.stack([cell.equity[rows] / cell.equity[0] for cell in found])
        for name, found in cells.items()
        if all(len(cell.equity) == len(first.equity) and cell.equity[0] > 0 for cell in found)
    }


def _judge(
    played: Played,
    cells: Mapping[str, Sequence[Cell]],
    census: Census,
    market: str,
    *,
    has_luck: bool,
) -> tuple[Verdicts | None, str]:
    """Return the verdicts of a span, or why there are none."""
    if not cells:
        return None, "nobody has a result that may be ranked"
    names = [name for name in cells if name not in played.benchmarks]
    families = {family_of(name): played.families[name] for name in names}
    try:
        returns = {name: _to_returns(found) for name, found in cells.items()}
        n_per_year = YEAR_MS / _period_ms(next(iter(cells.values()))[0])
        found = judge(
            {name: returns[name] for name in names},
            {name: returns[name][0] for name in played.benchmarks if name in returns},
            {shown: census.trials[family] for shown, family in families.items()},
            np.random.default_rng(SEED),
            trial_sharpes={
                shown: known / math.sqrt(n_per_year)
                for shown, family in families.items()
                if (known := census.sharpes.get((family, market))) is not None
            },
            random=played.random & set(names) if has_luck else (),
        )
    except SeawallError as error:
        return None, str(error)
    return found, ""


def _to_returns(cells: Sequence[Cell]) -> FloatArray:
    """Return simple returns per period, shape (n_seeds, n_periods)."""
    return np.stack([to_period_returns(cell.equity, cell.time_ms) for cell in cells])


def _period_ms(cell: Cell) -> float:
    rows = period_ends(cell.time_ms)
    return float(np.median(np.diff(cell.time_ms[rows])))
