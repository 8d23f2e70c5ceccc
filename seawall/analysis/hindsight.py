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

- The wallet counts as collateral and as repaid debt: a reserve costs no interest and protects.
- Every coin of the collateral's kind earns the supply rate, every one of the debt's kind that is
  held the rate given for it.
- No flash-loan premium, no service fee, no reserve or spending limit, no latency but that of the
  first transaction; a move pays gas once, however many steps it takes.
- Wherever a liquidation would have been the cheaper sale, it may be had at the open, as far as
  wanted, at the bonus and without gas.
- Before the first transaction can land nothing is dropped: what happens there is nobody's fault.
- The loan may be left behind at the start with the wallet in hand, as bad debt allows.

Two things are not on the generous side, and small: positions between two states are only held at a
bar's limit (refine the grid to see: below 1 %, tested), and a reserve that is spent on more
collateral while the ratio is above the highest to borrow at.
"""

from dataclasses import dataclass
from math import inf, isfinite
from typing import cast

import numpy as np

from seawall.analysis.hindsight_kernel import Costs, Path, Terms, find_best, replay
from seawall.errors import ResultError
from seawall.market.series import FloatArray

N_STATES = 160
YEAR_S = 31_536_000
_N_SHORT = (0.25, 0.5, 0.75)  # shares of wealth in the collateral, between none and all
_LOW_SHARE = 0.2  # of the states with debt, for those far from any limit
_LOW_BELOW = 0.6  # of the lowest limit: what is "far"


@dataclass(frozen=True, kw_only=True, eq=False)
class HindsightPath:
    """What happened, bar by bar: float64, shape (n_bars,), unless said otherwise.

    Attributes:
        opens, closes: market price of the collateral, USD a token, > 0.
        debt_opens, debt_closes: of the debt asset.
        oracle, debt_oracle: what stands at the bar's open.
        oracle_low, debt_oracle_high: worst for a borrower within the bar; the former at most
            ``oracle``, the latter at least ``debt_oracle``.
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
    oracle: FloatArray
    debt_oracle: FloatArray
    oracle_low: FloatArray
    debt_oracle_high: FloatArray
    supply_rate: FloatArray
    borrow_rate: FloatArray
    debt_supply_rate: FloatArray
    gas_usd: FloatArray
    bar_s: float
    first_bar: int = 1

    def __post_init__(self) -> None:
        """Raise ResultError for arrays of different lengths, or prices that are none."""
        n_bars = len(self.opens)
        for name, values in vars(self).items():
            if not isinstance(values, np.ndarray):
                continue
            if values.shape != (n_bars,) or n_bars == 0:
                raise ResultError(
                    f"hindsight needs one {name} a bar, has {values.shape} for {n_bars} bars: "
                    "give arrays of one length"
                )
            is_price = "rate" not in name and name != "gas_usd"
            if not np.isfinite(values).all() or (is_price and not (values > 0).all()):
                raise ResultError(
                    f"hindsight needs finite {name}, prices above 0, has "
                    f"{float(np.min(values)):.6g} at the lowest: look for a gap there"
                )


@dataclass(frozen=True, kw_only=True)
class HindsightLoan:
    """What one starts with, and the rules.

    Attributes:
        collateral, debt: tokens in the protocol, >= 0.
        wallet_collateral, wallet_debt: tokens in the wallet, >= 0; native coins count where their
            price moves as one of the two.
        threshold, max_ltv: liquidation threshold and highest loan-to-value, fractions.
        bonus: what a liquidator seizes per debt repaid, 1.05.
        swap_fee: fraction of what goes in.
        depth_usd: on one side of the pool, inf: no impact.
    """

    collateral: float
    debt: float
    threshold: float
    max_ltv: float
    bonus: float
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
        health: health factor of the net position at the same times, at market prices; inf where
            nothing is owed.
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


def hindsight(path: HindsightPath, loan: HindsightLoan, *, n_states: int = N_STATES) -> Hindsight:
    """Return the best policy on a path that is known from its start to its end.

    Args:
        path: prices, oracle, rates and gas, bar by bar.
        loan: where it starts, and the rules.
        n_states: of the grid; memory is ``6 n_states`` bytes a bar, time grows with its square.

    Raises:
        ResultError: ``n_states`` is below 16 or above 8,000, or the loan has rules that are none.
    """
    _check(loan, n_states)
    inner = _to_path(path, loan)
    ratios, starts = _grid(inner, loan, n_states)
    terms = Terms(loan.threshold, loan.max_ltv, loan.bonus)
    costs = Costs(1.0 - loan.swap_fee, loan.depth_usd)
    states, kinds = find_best(inner, ratios, starts, terms, costs)
    held = replay(inner, ratios, starts, terms, costs, states, kinds)
    prices = np.append(path.opens[:1], path.closes)
    debt_prices = np.append(path.debt_opens[:1], path.debt_closes)
    curve = held[:, 0] * prices - held[:, 1] * debt_prices
    traded = float(held[:, 2].sum())
    return Hindsight(
        final_equity_usd=float(curve[-1]),
        curve=curve,
        health=_health(held[:, 0] * prices, held[:, 1] * debt_prices, loan.threshold),
        collateral=held[:, 0].copy(),
        debt=held[:, 1].copy(),
        n_rebalances=int(np.count_nonzero(kinds)),
        turnover=traded / float(curve.mean()) if curve.mean() > 0 else 0.0,
        gas_usd=float(held[:, 4].sum()),
        swap_cost_usd=float(held[:, 3].sum()),
        n_states=n_states,
    )


def _check(loan: HindsightLoan, n_states: int) -> None:
    if not 16 <= n_states <= 8_000:  # noqa: PLR2004 - states are numbered with 16 bits, two each
        raise ResultError(f"n_states must lie in 16 to 8000, is {n_states}: 160 is usual")
    sizes = (loan.collateral, loan.debt, loan.wallet_collateral, loan.wallet_debt)
    if not all(isfinite(size) and size >= 0 for size in sizes):
        raise ResultError(f"tokens of a loan must be finite and >= 0, are {sizes}: correct them")
    if not (0 < loan.max_ltv <= loan.threshold < 1 <= loan.bonus and 0 <= loan.swap_fee < 1):
        raise ResultError(
            "a loan needs 0 < max_ltv <= threshold < 1 <= bonus and 0 <= swap_fee < 1, has "
            f"{loan.max_ltv}, {loan.threshold}, {loan.bonus}, {loan.swap_fee}: correct them"
        )
    if not loan.depth_usd > 0:
        raise ResultError(f"depth_usd must be > 0, is {loan.depth_usd}: inf is a pool without end")


def _to_path(path: HindsightPath, loan: HindsightLoan) -> Path:
    """Return what the kernel reads: rates as growth a bar, each rounded in the borrower's favour.

    Collateral compounds within the bar, debt does not.
    """
    years = path.bar_s / YEAR_S
    relative = (path.oracle / path.debt_oracle) * (path.debt_opens / path.opens)
    return Path(
        price=path.opens,
        debt_price=path.debt_opens,
        last_price=float(path.closes[-1]),
        last_debt_price=float(path.debt_closes[-1]),
        may_borrow=loan.max_ltv * path.oracle / path.debt_oracle,
        may_hold=loan.threshold * path.oracle_low / path.debt_oracle_high,
        liquidation=np.minimum(1.0, np.maximum(1.0, relative) / loan.bonus),
        supply=np.expm1(path.supply_rate * years),
        borrow=path.borrow_rate * years,
        held=np.expm1(path.debt_supply_rate * years),
        gas=path.gas_usd,
        first=path.first_bar,
    )


def _grid(path: Path, loan: HindsightLoan, n_states: int) -> tuple[FloatArray, FloatArray]:
    """Return the states' ratios, debt tokens per collateral token, and where one may start.

    Ratios ascend from -inf, which is "all in the debt asset", to the highest that any bar allows;
    most lie where some bar's limit does. Starts have shape (n_states, 2): tokens of the loan as it
    is, and of the wallet alone; nan where neither is in that state.
    """
    growth = np.cumprod((1 + path.borrow) / (1 + path.supply))
    start = np.concatenate([[1.0], growth[:-1]])
    highest = float(np.max(path.may_hold / start)) * (1 + 1e-9)
    lowest = float(np.min(path.may_hold / start)) * _LOW_BELOW
    net = (loan.collateral + loan.wallet_collateral, loan.debt - loan.wallet_debt)
    wallet = (loan.wallet_collateral, -loan.wallet_debt)
    own = [_ratio(*net), _ratio(*wallet)]
    first = float(path.price[0] / path.debt_price[0])
    short = [-(1 - share) / share * first for share in _N_SHORT]
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


def _health(collateral: FloatArray, debt: FloatArray, threshold: float) -> FloatArray:
    owed = np.where(debt > 0, debt, 1.0)
    return cast("FloatArray", np.where(debt > 0, threshold * collateral / owed, inf))
