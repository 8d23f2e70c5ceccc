"""Equity as the statistics of a league want it: returns per period, seed by seed.

An agent that was run with several seeds has several rows. An account that is lost stays lost: its
return is -1 (or less, where it owes) in that period and 0 afterwards.
"""

import math
from dataclasses import dataclass

import numpy as np

from seawall.analysis.sharpe import TrackRecord, measure_track
from seawall.analysis.statistics import period_ends
from seawall.errors import ResultError
from seawall.market.series import FloatArray, TimeArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """The returns of one agent or benchmark over a span.

    Attributes:
        name: as it is shown, with its settings.
        returns: simple, per period, shape (n_seeds, n_periods); 0 after the loss of the account.
        growth: change of log equity, same shape; 0 from the loss on.
        is_lost: an equity, with any seed, reached 0.
    """

    name: str
    returns: FloatArray
    growth: FloatArray
    is_lost: bool

    @classmethod
    def read(cls, name: str, returns: FloatArray) -> "Curve":
        """Return the curve of simple returns, shape (n_periods,) or (n_seeds, n_periods).

        A return at or below -1 is the loss of the account; what follows it is not read.

        Raises:
            ResultError: there are none, or one that is read is not finite.
        """
        table = np.array(np.atleast_2d(returns), dtype=np.float64)
        if table.ndim != 2 or not table.size:  # noqa: PLR2004 - seeds x periods
            raise ResultError(
                f"returns are (n_periods,) or (n_seeds, n_periods), those of {name} have shape "
                f"{np.shape(returns)}"
            )
        is_loss = table <= -1.0
        is_over = np.logical_or.accumulate(is_loss, axis=1)
        table[is_over & ~(is_loss & (np.cumsum(is_over, axis=1) == 1))] = 0.0
        if not np.isfinite(table).all():
            raise ResultError(
                f"returns of {name} must be finite, one is not: look for a missing price"
            )
        growth = np.log1p(np.where(is_over, 0.0, table))
        return cls(name=name, returns=table, growth=growth, is_lost=bool(is_loss.any()))

    @property
    def family(self) -> str:
        """The name without its settings."""
        return family_of(self.name)

    @property
    def total_return(self) -> float:
        """Of the mean growth over the seeds, as a fraction; -1 where an account was lost."""
        growth = float(self.growth.mean(axis=0).sum())
        return -1.0 if self.is_lost else math.expm1(growth)

    @property
    def totals(self) -> FloatArray:
        """Total return of each seed, as a fraction, shape (n_seeds,)."""
        lost = (self.returns <= -1.0).any(axis=1)
        return np.asarray(np.where(lost, -1.0, np.expm1(self.growth.sum(axis=1))))

    @property
    def track(self) -> TrackRecord:
        """Of the seed whose Sharpe ratio is in the middle; of two, the lower."""
        tracks = sorted(
            map(measure_track, self.returns),
            key=lambda one: -math.inf if math.isnan(one.sharpe) else one.sharpe,
        )
        return tracks[(len(tracks) - 1) // 2]


def to_period_returns(equity: FloatArray, time_ms: TimeArray) -> FloatArray:
    """Return simple returns per period, shape (n_periods,), the periods those of ``statistics``.

    They are a bar, 1 h, 4 h or 1 d long, the coarsest that leaves 250. From the loss of the account
    on, that period's return is -1 and later ones are 0.

    ``equity``, ``time_ms``: shape (n_samples,); the first is the start, the others are at closes.

    Raises:
        ResultError: there is no period, or the start is not > 0.
    """
    rows = period_ends(time_ms)
    rows = rows if len(rows) and rows[0] == 0 else np.concatenate([[0], rows])
    ends = equity[rows] if len(equity) else equity
    if len(ends) < 2 or not (math.isfinite(ends[0]) and ends[0] > 0):  # noqa: PLR2004 - one period
        raise ResultError(
            f"equity must start above 0 and span a period, has {len(equity)} values: "
            "run the recipe over a longer window"
        )
    is_lost = np.logical_or.accumulate(~(ends > 0.0))
    ends = np.where(is_lost, 0.0, ends)
    before = np.where(is_lost[:-1], 1.0, ends[:-1])
    return np.asarray(np.where(is_lost[:-1], 0.0, ends[1:] / before - 1.0))


def family_of(name: str) -> str:
    """Return an agent's name without its settings: ``sma_cross`` of ``sma_cross{fast=10}``."""
    return name.partition("{")[0].strip()
