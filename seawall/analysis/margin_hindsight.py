"""The best that could have been made of a futures position by somebody who knew the whole path.

It is no agent that one could run, but the bound that every agent is measured against. Forward
dynamic programming: for each quantity, the most wealth that could be beside it, bar by bar.

**States.** Quantities of the guarded contract in even steps, from the one at the start to 0: it may
be reduced, closed, and opened again up to what it was, as the job allows; where the market has
other symbols to hedge with, also to the same size on the other side, which is about what such a
hedge can do. In base units, so that prices leave a state alone.

**A bar.** First funding, on what is held when the bar opens. At its open any state may trade into
any other, at the last price, for taker fee and half the spread. States that are liquidated at the
mark's worst within the bar are dropped (resolved for the better: at its open and close). The end
values what is held at the mark.

**What is left out errs on the generous side**, because nobody may beat the bound:

- The whole reserve is margin, at every moment and without a transfer, its delay or its cost.
- A state stands for all quantities up to the next one nearer to 0, and is dropped only where that
  one would be liquidated. Twice the states so find less: 0.05 % at 45x in turmoil, and nothing
  in the shipped recipes, where no limit is in its way (tested to 0.1 % and 1 %).
- It may trade at the first open, a bar before an agent can; any size at once, without impact, lots
  or the initial margin of a leverage.
- Wherever a liquidation would have been the better exit, it may be had at the open's mark, as far
  as wanted, for the lower of its fee and the lowest bracket's maintenance rate: no liquidation
  takes less.
- The position may be left behind at the start with the reserve in hand, as an isolated one allows.

**What it does not bound**: how another symbol that hedges, spot included, moves apart from the
contract; limit orders that fill within a bar at better prices than an open's; a position larger
than the one at the start.
"""

from dataclasses import dataclass
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray

from seawall.analysis.margin_hindsight_kernel import Course, find_best, replay
from seawall.errors import ResultError
from seawall.market.series import FloatArray
from seawall.venues.perpetual.layout import N_TIER, RATE
from seawall.venues.perpetual.margin import find_maintenance

N_STATES = 101  # from 0 to the quantity at the start


@dataclass(frozen=True, kw_only=True, eq=False)
class MarginPath:
    """What happened, bar by bar: float64, shape (n_bars,), unless said otherwise.

    Attributes:
        opens: last price at which orders are carried out, > 0; nan where there is no bar.
        mark_opens, mark_lows, mark_highs, mark_closes: mark prices, > 0; lows and highs are what a
            liquidation looks at.
        funding: what a long of one base unit pays in the bar, quote units.
        tables: bracket tables as in ``venues.perpetual.layout``, shape (n_epochs, n_tiers, N_TIER).
        epochs: int64, which of them holds.
    """

    opens: FloatArray
    mark_opens: FloatArray
    mark_lows: FloatArray
    mark_highs: FloatArray
    mark_closes: FloatArray
    funding: FloatArray
    tables: FloatArray
    epochs: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Raise ResultError for arrays of different lengths, or prices that are none."""
        n_bars = len(self.opens)
        for name, values in vars(self).items():
            if name == "tables":
                continue
            if values.shape != (n_bars,) or n_bars == 0:
                raise ResultError(
                    f"hindsight needs {n_bars} values of {name}, has {values.shape} for {n_bars} "
                    "bars: give arrays of one length"
                )
            known = values[~np.isnan(values)] if name == "opens" else values
            is_price = name not in ("funding", "epochs")
            if not np.isfinite(known).all() or (is_price and not (known > 0).all()):
                raise ResultError(
                    f"hindsight needs finite {name}, prices above 0: look for a gap there"
                )
        if self.tables.ndim != 3 or self.tables.shape[2] != N_TIER:  # noqa: PLR2004 - axes
            raise ResultError(
                f"hindsight needs brackets of shape (n_epochs, n_tiers, {N_TIER}), has "
                f"{self.tables.shape}: see seawall.venues.perpetual.layout"
            )


@dataclass(frozen=True, kw_only=True)
class MarginStart:
    """What one starts with, and what trading costs.

    Attributes:
        quantity: base units, > 0 long, < 0 short, not 0.
        cash: equity less ``quantity`` at the mark of the first open: wallets, less what the
            position cost.
        reserve: quote units that are left where the position is lost at once.
        taker_fee, half_spread, liquidation_fee: fractions.
        may_turn: whether it may go to the other side.
    """

    quantity: float
    cash: float
    reserve: float = 0.0
    taker_fee: float = 0.0
    half_spread: float = 0.0
    liquidation_fee: float = 0.0
    may_turn: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class MarginHindsight:
    """The best policy found.

    Attributes:
        final_equity_usd: at the last close's mark, quote units.
        curve: equity at the start and at each close, shape (n_bars + 1,).
        health: equity over maintenance margin at the same times; inf where nothing is held.
        quantity: base units at the same times.
        n_rebalances: how often it traded.
        turnover: notional traded over mean equity.
        costs_usd: fees, spread and what the last price differed from the mark.
        funding_usd: paid, < 0: received.
        n_states: of the grid, from 0 to the quantity at the start.
    """

    final_equity_usd: float
    curve: FloatArray
    health: FloatArray
    quantity: FloatArray
    n_rebalances: int
    turnover: float
    costs_usd: float
    funding_usd: float
    n_states: int

    def to_cell(self) -> dict[str, float | int]:
        """Return what a league's table has of it."""
        return {
            "min_health": float(self.health.min()),
            "trading_fees_usd": self.costs_usd,
            "funding_usd": self.funding_usd,
        }


def margin_hindsight(
    path: MarginPath, start: MarginStart, *, n_states: int | None = None
) -> MarginHindsight:
    """Return the best policy on a path that is known from its start to its end.

    Args:
        path: prices, marks, funding and brackets, bar by bar.
        start: where it starts, and the costs.
        n_states: quantities from 0 to the one at the start; 101 if None. Memory is ``2 n_states``
            bytes a bar, twice that where it may turn.

    Raises:
        ResultError: ``n_states`` is below 2 or above 8,000, or what it starts with is no position.
    """
    n = N_STATES if n_states is None else n_states
    _check(start, n)
    course = to_course(path, start)
    grid = _grid(start, n)
    cash = np.where(grid == 0.0, start.reserve, -inf)
    cash[-1 if start.quantity > 0 else 0] = start.cash
    states = find_best(course, grid, cash)
    quantities = grid[states]
    played = replay(course, quantities, float(cash[states[0]]))
    marks = np.append(path.mark_opens[:1], path.mark_closes)
    curve = played[:, 0] + quantities * marks
    mean = float(curve.mean())
    return MarginHindsight(
        final_equity_usd=float(curve[-1]),
        curve=curve,
        health=_health(path, quantities, marks, curve),
        quantity=quantities,
        n_rebalances=int(played[:, 4].sum()),
        turnover=float(played[:, 1].sum()) / mean if mean > 0 else 0.0,
        costs_usd=float(played[:, 2].sum()),
        funding_usd=float(played[:, 3].sum()),
        n_states=n,
    )


def _grid(start: MarginStart, n_states: int) -> FloatArray:
    """Return quantities that ascend evenly, from or to the one at the start."""
    own = np.linspace(0.0, abs(start.quantity), n_states)
    other = -own[:0:-1] if start.may_turn else own[:0]
    grid = np.concatenate([other, own])
    return grid if start.quantity > 0 else 0.0 - grid[::-1]


def to_course(path: MarginPath, start: MarginStart) -> Course:
    """Return what the kernel reads, costs in the prices."""
    leaving = min(start.liquidation_fee, float(path.tables[:, 0, RATE].min()))
    return Course(
        buy=path.opens * (1 + start.half_spread) * (1 + start.taker_fee),
        sell=path.opens * (1 - start.half_spread) * (1 - start.taker_fee),
        leave_long=path.mark_opens * (1 - leaving),
        leave_short=path.mark_opens * (1 + leaving),
        mark=path.mark_opens,
        low=path.mark_lows,
        high=path.mark_highs,
        funding=path.funding,
        epochs=path.epochs,
        tables=path.tables,
        last_mark=float(path.mark_closes[-1]),
    )


def _check(start: MarginStart, n_states: int) -> None:
    if not 2 <= n_states <= 8_000:  # noqa: PLR2004 - states are numbered with 16 bits, two each
        raise ResultError(f"n_states must lie in 2 to 8000, is {n_states}: 101 is usual")
    if not (isfinite(start.quantity) and start.quantity):
        raise ResultError(
            f"hindsight needs a position, its quantity is {start.quantity}: give one other than 0"
        )
    if not (isfinite(start.cash) and start.reserve >= 0):
        raise ResultError(
            f"cash must be finite and the reserve >= 0, are {start.cash} and {start.reserve}: "
            "correct them"
        )
    for name in ("taker_fee", "half_spread", "liquidation_fee"):
        if not 0 <= getattr(start, name) < 1:
            raise ResultError(
                f"{name} must lie in [0, 1), is {getattr(start, name)}: 0.0005 is usual"
            )


def _health(
    path: MarginPath, quantities: FloatArray, marks: FloatArray, curve: FloatArray
) -> FloatArray:
    health = np.full(len(curve), inf)
    epochs = np.append(path.epochs[:1], path.epochs)
    for row in np.flatnonzero(quantities):
        notional = abs(float(quantities[row])) * float(marks[row])
        needed = find_maintenance(notional, path.tables[epochs[row]])
        health[row] = curve[row] / needed if needed > 0 else inf
    return health
