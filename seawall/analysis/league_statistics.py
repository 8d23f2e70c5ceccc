"""What can be said of agents over windows: ranks, means, intervals and signs, all paired."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from seawall.analysis.league_table import HINDSIGHT, Bound, LeaguePair, Place
from seawall.market.series import FloatArray

N_RESAMPLES = 10_000
SEED = 20_260_101  # of every bootstrap of a league: the same windows give the same intervals
_SAME = 1e-9  # of the start: final equities closer than that are one, and share a rank


def to_ranks(cells: pd.DataFrame) -> FloatArray:
    """Return each agent's rank in its window by final equity, 1 the best; ties share their mean."""
    step = _SAME * cells["start_equity_usd"].abs()
    rounded = (cells["final_equity_usd"] / step).round() * step
    playing = rounded.where(cells["agent"] != HINDSIGHT)
    by = [cells["window"], cells["bound"]]
    ranks = playing.groupby(by).rank(ascending=False)
    return np.asarray(ranks.to_numpy(dtype=np.float64))


def to_place(
    name: str, bound: Bound, cells: pd.DataFrame, periods: Mapping[str, str], *, n_failed: int = 0
) -> Place:
    """Return how one agent did over all windows, with bars resolved one way."""
    mine = cells[(cells["agent"] == name) & (cells["bound"] == bound)]
    share = mine.set_index("window")["share_of_possible"].astype(np.float64).dropna()
    low, high = interval(share, periods)
    returns = mine.set_index("window")["total_return"].astype(np.float64)
    has_any = len(mine) > 0
    return Place(
        name=name,
        bound=bound,
        n_windows=len(mine),
        n_failed=n_failed,
        mean_rank=float(mine["rank"].mean()) if has_any else math.nan,
        n_liquidations=int(mine["n_liquidations"].sum()),
        n_liquidated=int((mine["n_liquidations"] > 0).sum()),
        mean_share=float(share.mean()) if len(share) else math.nan,
        share_low=low,
        share_high=high,
        mean_price=float(mine["price_share"].mean()) if has_any else math.nan,
        mean_return=float(returns.mean()) if has_any else math.nan,
        worst_window=str(returns.idxmin()) if returns.notna().any() else "",
        worst_return=float(returns.min()) if has_any else math.nan,
        min_health=float(mine["min_health"].min()) if has_any else math.nan,
    )


def to_pairs(
    names: Sequence[str], cells: pd.DataFrame, periods: Mapping[str, str]
) -> Iterable[LeaguePair]:
    """Return the paired difference of total returns of every two agents, over the windows."""
    worst = cells[cells["bound"] == "worst"]
    table = worst.pivot_table(index="window", columns="agent", values="total_return", sort=False)
    for one, other in combinations([name for name in names if name in table], 2):
        gaps = (table[one] - table[other]).dropna()
        if not len(gaps):
            continue
        first, second = (one, other) if gaps.mean() >= 0 else (other, one)
        gaps = gaps if first == one else 0.0 - gaps
        low, high = interval(gaps, periods)
        by_period = gaps.groupby(gaps.index.map(periods)).mean()
        ahead = int((by_period > _SAME).sum())
        behind = int((by_period < -_SAME).sum())
        yield LeaguePair(
            first=first, second=second, mean=float(gaps.mean()), low=low, high=high,
            n_ahead=ahead, n_behind=behind, n_periods=len(by_period),
            chance=sign_test(ahead, behind),
        )  # fmt: skip


def interval(values: "pd.Series[float]", periods: Mapping[str, str]) -> tuple[float, float]:
    """Return the middle 95 % of the mean over windows, bootstrapped over market periods.

    nan where there are fewer than two periods. ``values``: indexed by window.
    """
    groups = [group.to_numpy() for _, group in values.groupby(values.index.map(periods))]
    if len(groups) < 2:  # noqa: PLR2004 - one period has no spread
        return math.nan, math.nan
    sums = np.array([group.sum() for group in groups])
    counts = np.array([len(group) for group in groups])
    rng = np.random.default_rng(SEED)
    drawn = rng.integers(0, len(groups), size=(N_RESAMPLES, len(groups)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def sign_test(n_ahead: int, n_behind: int) -> float:
    """Return how often a fair coin is at least as one-sided: two-sided, ties left out."""
    n = n_ahead + n_behind
    if n == 0:
        return 1.0
    tail = sum(math.comb(n, k) for k in range(min(n_ahead, n_behind) + 1)) / 2**n
    return float(min(1.0, 2 * tail))
