"""The best that could have been made of a loan by somebody who knew the whole path.

It is no agent that one could run, but the bound that every agent is measured against. Forward
dynamic programming: for each state, the largest wealth that could be in it, bar by bar.

**States.** A loan, net of the wallet, is so many collateral tokens and so many debt tokens. A state
is their ratio, from "all in the debt asset" over "no debt" to the highest debt that is ever legal;
which is to say a liquidation price, or a health factor at a given price. Prices leave the ratio
alone and interest moves all ratios alike, so a position stays in its state exactly, without
rounding from bar to bar. Between two neighbours there is one more state, for positions that are
levered exactly to the limit of their bar.

**A bar.** At its open any state may trade into any other: gas, the pool's fee and its impact are
paid out of the real wealth. States whose health factor falls below 1 at the bar's worst oracle
price are dropped: to be liquidated there is never better than to have traded at the open. Then
interest accrues, and the close values what is held.

**What is left out errs on the generous side**, because nobody may beat the bound:

- The wallet counts as collateral and as repaid debt: a reserve earns interest and protects.
- Every coin of the collateral's kind earns the supply rate, every one of the debt's kind that is
  held the rate given for it.
- No flash-loan premium, no service fee, no reserve or spending limit, no latency but that of the
  first transaction; a move pays gas once, however many steps it takes.
- Wherever a liquidation would have been the cheaper sale, it may be had at the open, as far as
  wanted, at the bonus and without gas.
- Before the first transaction can land nothing is dropped: what happens there is nobody's fault.
- The loan may be left behind at the start with the wallet in hand, as bad debt allows.

**The grid costs something.** The best policy of the grid is polished off it (`hindsight_polish`).
Twice the states then change the shipped windows, of weeks to a few months, by less than 1 %
(tested; 0.15 % at most). Over half a year in which wealth grew 3,700-fold it was 3.8 %: there a
fortune that moves its own pool would have to be led through thousands of small trades at once. One
thing is left out that is not generous either, and small: a reserve that is spent on more collateral
while the ratio is above the highest to borrow at.
"""

from dataclasses import dataclass
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray

from seawall.analysis.hindsight_kernel import Path, find_best, replay, to_targets
from seawall.analysis.hindsight_polish import polish
from seawall.errors import ResultError
from seawall.market.series import FloatArray

N_STATES = 240
N_STATES_LONG = 128  # of paths with more bars than MANY_BARS
MANY_BARS = 20_000
YEAR_S = 31_536_000
_SHORT_SHARE = 0.1  # of the states without debt, between none of wealth in the collateral and all
_LOW_SHARE = 0.2  # of the states with debt, for those far from any limit
_LOW_BELOW = 0.6  # of the lowest limit: what is "far"


@dataclass(frozen=True, kw_only=True, eq=False)
class HindsightPath:
    """What happened, bar by bar: float64, shape (n_bars,), unless said otherwise.

    Attributes:
        opens, closes: market price of the collateral, USD a token, > 0.
        debt_opens, debt_closes: of the debt asset.
        standing: what the oracle says one collateral token is worth, in debt tokens, at each open
            and at the end, shape (n_bars + 1,); on the side worse for a borrower.
        worst: the same, lowest within the bar.
        is_safe: bool, whether nobody can liquidate in the bar.
        threshold, max_ltv: liquidation threshold and highest loan-to-value, fractions.
        bonus: what a liquidator seizes per debt repaid, 1.05.
        supply_rate, borrow_rate: of collateral and debt, fraction a year.
        debt_supply_rate: what the debt asset earns where it is held, fraction a year.
        gas_usd: the least that a change of leverage costs, USD.
        bar_s: seconds of a bar.
        first_bar: number of the bar at whose open a transaction can land first.
    """

    opens: FloatArray
    closes: FloatArray
    debt_opens: FloatArray
    debt_closes: FloatArray
    standing: FloatArray
    worst: FloatArray
    is_safe: NDArray[np.bool_]
    threshold: FloatArray
    max_ltv: FloatArray
    bonus: FloatArray
    supply_rate: FloatArray
    borrow_rate: FloatArray
    debt_supply_rate: FloatArray
    gas_usd: FloatArray
    bar_s: FloatArray
    first_bar: int = 1

    def __post_init__(self) -> None:
        """Raise ResultError for arrays of different lengths, or prices that are none."""
        n_bars = len(self.opens)
        for name, values in vars(self).items():
            if not isinstance(values, np.ndarray):
                continue
            length = n_bars + (name == "standing")
            if values.shape != (length,) or n_bars == 0:
                raise ResultError(
                    f"hindsight needs {length} values of {name}, has {values.shape} for {n_bars} "
                    "bars: give arrays of one length"
                )
            may_be_zero = name.endswith(("_rate", "_usd")) or name == "is_safe"
            if not np.isfinite(values).all() or not (may_be_zero or (values > 0).all()):
                raise ResultError(
                    f"hindsight needs finite {name}, prices and shares above 0, has "
                    f"{float(np.min(values)):.6g} at the lowest: look for a gap there"
                )
        if not (
            (self.max_ltv <= self.threshold).all()
            and (self.threshold < 1).all()
            and (self.bonus >= 1).all()
        ):
            raise ResultError(
                "hindsight needs max_ltv <= threshold < 1 <= bonus in every bar, has "
                f"{self.max_ltv.max()}, {self.threshold.max()}, {self.bonus.min()}: correct them"
            )


@dataclass(frozen=True, kw_only=True)
class HindsightLoan:
    """What one starts with, and what a swap costs.

    Attributes:
        collateral, debt: tokens in the protocol, >= 0.
        wallet_collateral, wallet_debt: tokens in the wallet, >= 0; native coins count where their
            price moves as one of the two.
        swap_fee: fraction of what goes in.
        depth_usd: on one side of the pool, inf: no impact.
    """

    collateral: float
    debt: float
    wallet_collateral: float = 0.0
    wallet_debt: float = 0.0
    swap_fee: float = 0.0
    depth_usd: float = inf


@dataclass(frozen=True, kw_only=True, eq=False)
class Hindsight:
    """The best policy found.

    Attributes:
        final_equity_usd: at the last close, at market prices.
        curve: equity in USD at the start and at each close, shape (n_bars + 1,).
        health: health factor of the net position at the same times, at what the oracle says; inf
            where nothing is owed.
        collateral, debt: net tokens at the same times; debt < 0: held.
        n_rebalances: how often it traded.
        turnover: USD traded over mean equity.
        gas_usd, swap_cost_usd: paid in all; the latter is fee and impact.
        n_states: of the grid.
    """

    final_equity_usd: float
    curve: FloatArray
    health: FloatArray
    collateral: FloatArray
    debt: FloatArray
    n_rebalances: int
    turnover: float
    gas_usd: float
    swap_cost_usd: float
    n_states: int

    def to_cell(self) -> dict[str, float | int]:
        """Return what a league's table has of it."""
        return {
            "min_health": float(self.health.min()),
            "gas_usd": self.gas_usd,
            "swap_costs_usd": self.swap_cost_usd,
        }


def hindsight(
    path: HindsightPath, loan: HindsightLoan, *, n_states: int | None = None
) -> Hindsight:
    """Return the best policy on a path that is known from its start to its end.

    Args:
        path: prices, oracle, rates and gas, bar by bar.
        loan: where it starts, and the rules.
        n_states: of the grid; 240 if None, 128 where there are more than 20,000 bars. Memory is
            ``6 n_states`` bytes a bar, time grows with its square.

    Raises:
        ResultError: ``n_states`` is below 16 or above 8,000, or the loan has rules that are none.
    """
    if n_states is None:
        n_states = N_STATES if len(path.opens) <= MANY_BARS else N_STATES_LONG
    _check(loan, n_states)
    inner = _to_path(path, loan)
    ratios, starts = _grid(inner, loan, n_states)
    held = _play(inner, ratios, starts)
    prices = np.append(path.opens[:1], path.closes)
    debt_prices = np.append(path.debt_opens[:1], path.debt_closes)
    curve = held[:, 0] * prices - held[:, 1] * debt_prices
    traded = float(held[:, 2].sum())
    return Hindsight(
        final_equity_usd=float(curve[-1]),
        curve=curve,
        health=_health(held, path),
        collateral=held[:, 0].copy(),
        debt=held[:, 1].copy(),
        n_rebalances=int(np.count_nonzero(held[:, 2])),
        turnover=traded / float(curve.mean()) if curve.mean() > 0 else 0.0,
        gas_usd=float(held[:, 4].sum()),
        swap_cost_usd=float(held[:, 3].sum()),
        n_states=n_states,
    )


def _play(path: Path, ratios: FloatArray, starts: FloatArray) -> FloatArray:
    """Return the course of the best policy on the grid, polished off it."""
    states, kinds = find_best(path, ratios, starts)
    place = int(states[0]) // 2
    start = starts[place : place + 1]
    targets = to_targets(path, ratios, states, kinds)
    best = replay(path, start, targets)
    other = replay(path, start, polish(path, start, targets))
    return max(best, other, key=lambda held: _worth(path, held))


def _worth(path: Path, held: FloatArray) -> float:
    return float(held[-1, 0] * path.last_price - held[-1, 1] * path.last_debt_price)


def _check(loan: HindsightLoan, n_states: int) -> None:
    if not 16 <= n_states <= 8_000:  # noqa: PLR2004 - states are numbered with 16 bits, two each
        raise ResultError(f"n_states must lie in 16 to 8000, is {n_states}: 240 is usual")
    sizes = (loan.collateral, loan.debt, loan.wallet_collateral, loan.wallet_debt)
    if not all(isfinite(size) and size >= 0 for size in sizes):
        raise ResultError(f"tokens of a loan must be finite and >= 0, are {sizes}: correct them")
    if not 0 <= loan.swap_fee < 1:
        raise ResultError(f"swap_fee must lie in [0, 1), is {loan.swap_fee}: 0.0005 is usual")
    if not loan.depth_usd > 0:
        raise ResultError(f"depth_usd must be > 0, is {loan.depth_usd}: inf is a pool without end")


def _to_path(path: HindsightPath, loan: HindsightLoan) -> Path:
    """Return what the kernel reads: rates as growth a bar, each rounded in the borrower's favour.

    Collateral compounds within the bar, debt does not.
    """
    years = path.bar_s / YEAR_S
    gap = path.standing[:-1] * path.debt_opens / path.opens  # the oracle over the market
    return Path(
        price=path.opens,
        debt_price=path.debt_opens,
        last_price=float(path.closes[-1]),
        last_debt_price=float(path.debt_closes[-1]),
        may_borrow=path.max_ltv * path.standing[:-1],
        may_hold=np.where(path.is_safe, inf, path.threshold * path.worst),
        liquidation=np.minimum(1.0, np.maximum(1.0, gap) / path.bonus),
        supply=np.expm1(path.supply_rate * years),
        borrow=path.borrow_rate * years,
        held=np.expm1(path.debt_supply_rate * years),
        gas=path.gas_usd,
        first=path.first_bar,
        keep=1.0 - loan.swap_fee,
        depth=loan.depth_usd,
    )


def _grid(path: Path, loan: HindsightLoan, n_states: int) -> tuple[FloatArray, FloatArray]:
    """Return the states' ratios, debt tokens per collateral token, and where one may start.

    Ratios ascend from -inf, which is "all in the debt asset", to the highest that any bar allows;
    most lie where some bar's limit does. Starts have shape (n_states, 2): tokens of the loan as it
    is, and of the wallet alone; nan where neither is in that state.
    """
    growth = np.cumprod((1 + path.borrow) / (1 + path.supply))
    start = np.concatenate([[1.0], growth[:-1]])
    limit = np.where(np.isinf(path.may_hold), path.may_borrow, path.may_hold) / start
    highest = float(limit.max()) * (1 + 1e-9)
    lowest = float(limit.min()) * _LOW_BELOW
    net = (loan.collateral + loan.wallet_collateral, loan.debt - loan.wallet_debt)
    wallet = (loan.wallet_collateral, -loan.wallet_debt)
    own = [_ratio(*net), _ratio(*wallet)]
    first = float(path.price[0] / path.debt_price[0])
    shares = np.linspace(0.0, 1.0, int(_SHORT_SHARE * n_states) + 2)[1:-1]  # in the collateral
    short = (1 - 1 / shares) * first
    n_left = n_states - len(short) - 2 - len({one for one in own if one not in (-inf, 0.0)})
    n_low = int(_LOW_SHARE * n_left)
    low = np.linspace(0.0, lowest, n_low + 1)[1:]
    high = np.geomspace(lowest, highest, n_left - n_low + 1)[1:]
    ratios = np.unique(np.concatenate([[-inf], short, [0.0], low, high, own]))
    starts = np.full((len(ratios), 2), np.nan)
    for ratio, tokens in zip(reversed(own), (wallet, net), strict=True):
        starts[int(np.searchsorted(ratios, ratio))] = tokens
    return ratios, starts


def _ratio(collateral: float, debt: float) -> float:
    return debt / collateral if collateral > 0 else -inf


def _health(held: FloatArray, path: HindsightPath) -> FloatArray:
    collateral, debt = held[:, 0], held[:, 1]
    threshold = np.append(path.threshold[:1], path.threshold)
    is_owed = debt > 0
    worth = threshold * collateral * path.standing
    return np.where(is_owed, worth / np.where(is_owed, debt, 1.0), inf)
