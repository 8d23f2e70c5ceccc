"""What an agent did for a futures position: what it saved and lost, and what that cost.

Everything comes from what a run left (``Result.perpetual``, ``margin_liquidations``, ``funding``,
``transfers``, ``fills``, ``parts``) and, for the price of protection, from the same path run
without the agent (see ``judgement``).

A **false alarm** is an action that lowered the risk, an order that reduced the guarded position or
a transfer into the futures wallet, although the position as it stood before would not have been
liquidated: until the agent next took more risk, or to the end of the window, the mark would not
have come to its liquidation price, as it stood at the last close before the action and moved by the
funding that this position would have paid since. The mark is each bar's extreme against the
position where the result has it, else the close.

Left out: margin taken out of the futures wallet for an isolated position is no transfer, and orders
in another contract are no part of the position; neither is judged. What funding moves is divided by
the quantity alone, without the maintenance margin of the moved notional: 1 % of the shift at most
in the lowest brackets.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from seawall.analysis.figures import column_values, row_times, to_ms
from seawall.analysis.guarded import guarded_symbol
from seawall.analysis.judgement import (
    MARGIN_PARTS,
    Judgement,
    MarginProtection,
    equity_of,
    judge_with,
)
from seawall.errors import ResultError
from seawall.market.series import FloatArray, TimeArray
from seawall.result import Result

HIGH_RATIO = 0.8
LIQUIDATION = "liquidation"  # rule of the fills that a liquidation makes


class Course(NamedTuple):
    """One position over time: shape (n_samples,), the start and each close.

    ``low``, ``high``: extremes of the mark since the sample before.
    """

    time_ms: TimeArray
    quantity: FloatArray
    liquidation_price: FloatArray
    low: FloatArray
    high: FloatArray


class Act(NamedTuple):
    """What an agent did: ``risk`` is -1 where it lowered it, +1 where it raised it, 0 neither."""

    time_ms: int
    risk: int


def judge_margin(
    result: Result,
    untouched: Result,
    *,
    hindsight_usd: float = math.nan,
    best_usd: float = math.nan,
) -> Judgement[MarginProtection]:
    """Return what an agent's run comes to beside the same path without an agent.

    Args:
        result: of the agent.
        untouched: of ``do_nothing`` on the same recipe.
        hindsight_usd: final equity of the best policy, bars resolved for the worse.
        best_usd: the same, resolved for the better.

    Raises:
        ResultError: one of them has no position to guard, or they start with different equity.
        LedgerError: the parts do not add up.
    """
    return judge_with(
        measure_margin,
        (result, untouched),
        names=MARGIN_PARTS,
        hindsight_usd=hindsight_usd,
        best_usd=best_usd,
    )


def measure_margin(result: Result) -> MarginProtection:
    """Return what became of a futures position in one run.

    Raises:
        ResultError: the result has none to guard.
    """
    _symbol_of(result)
    frame, parts, struck = result.perpetual, result.parts, result.margin_liquidations
    equity = equity_of(result)
    ratio = column_values(frame, "margin_ratio")[1:]
    moved = [_moved(result.transfers, "target"), _moved(result.transfers, "source")]
    return MarginProtection(
        start_equity_usd=float(equity[0]),
        final_equity_usd=float(equity[-1]),
        n_liquidations=int(struck["time"].nunique()),
        n_steps=len(struck),
        liquidated_usd=float(
            np.abs(column_values(struck, "quantity") * column_values(struck, "price")).sum()
        ),
        liquidation_fees_usd=0.0 - parts["liquidation_fees"],
        insurance_usd=parts["insurance"],
        worst_margin_ratio=float(column_values(frame, "worst_margin_ratio").max()),
        above_80=float(np.mean(ratio > HIGH_RATIO)) if ratio.size else 0.0,
        min_distance=find_least_distance(result),
        n_actions=len(own_orders(result)) + len(result.transfers),
        n_refused=int((result.journal["kind"] == "refused").sum()),
        n_false_alarms=len(find_false_alarms(result)),
        margin_added_usd=moved[0] - moved[1],
        funding_usd=0.0 - parts["funding"],
        trading_fees_usd=0.0 - parts["trading_fees"],
        slippage_usd=0.0 - parts["slippage"],
        transfers_usd=0.0 - parts["transfers"],
    )


def contracts_of(result: Result) -> tuple[str, ...]:
    """Return the contracts of a result, in the order of its table."""
    names = (str(name) for name in result.perpetual.columns)
    return tuple(name.partition(":")[2] for name in names if name.startswith("quantity:"))


def to_course(result: Result, symbol: str) -> Course:
    """Return one contract's position over time."""
    frame = result.perpetual
    mark = column_values(frame, f"mark:{symbol}")
    low, high = (
        column_values(frame, name) if name in frame else mark
        for name in (f"mark_low:{symbol}", f"mark_high:{symbol}")
    )
    return Course(
        time_ms=to_ms(frame.index),
        quantity=column_values(frame, f"quantity:{symbol}"),
        liquidation_price=column_values(frame, f"liquidation_price:{symbol}"),
        low=low,
        high=high,
    )


def find_least_distance(result: Result) -> float:
    """Return how near a close's mark came to a liquidation price, as a fraction; nan: never any."""
    found = []
    for symbol in contracts_of(result):
        mark = column_values(result.perpetual, f"mark:{symbol}")
        course = to_course(result, symbol)
        away = (mark - course.liquidation_price) * np.sign(course.quantity) / mark
        found.append(away[np.isfinite(away) & (course.quantity != 0.0)])
    known = np.concatenate(found) if found else np.zeros(0)
    return float(known.min()) if known.size else math.nan


def own_orders(result: Result) -> pd.DataFrame:
    """Return the fills of the agent's orders, one row an order: time_ms, symbol, quantity."""
    fills = result.fills[result.fills["rule"] != LIQUIDATION]
    kept = fills[["order_id", "time_ms", "symbol", "quantity"]]
    return kept.groupby("order_id", sort=False, as_index=False).agg(
        {"time_ms": "first", "symbol": "first", "quantity": "sum"}
    )


def find_acts(result: Result) -> list[Act]:
    """Return what the agent did to the guarded position, in the order of time."""
    symbol = _symbol_of(result)
    course = to_course(result, symbol)
    orders = own_orders(result)
    acts = []
    own = orders[orders["symbol"] == symbol]
    times, quantities = own["time_ms"].to_numpy(dtype=np.int64), column_values(own, "quantity")
    for time_ms, traded in zip(times, quantities, strict=True):
        held = course.quantity[stood_at(course, time_ms)]
        grows = abs(held + traded) - abs(held)
        acts.append(Act(int(time_ms), int(np.sign(grows))))
    moved = result.transfers
    arrived = row_times(moved) if len(moved) else np.zeros(0, np.int64)
    for time_ms, source, target in zip(arrived, moved["source"], moved["target"], strict=True):
        risk = -1 if target == "perpetual" else 1 if source == "perpetual" else 0
        acts.append(Act(int(time_ms), risk))
    return sorted(acts)


def find_false_alarms(result: Result) -> list[Act]:
    """Return the actions that protected against what never came near."""
    acts = find_acts(result)
    if not any(act.risk < 0 for act in acts):
        return []
    symbol = _symbol_of(result)
    course = to_course(result, symbol)
    ups = [act.time_ms for act in acts if act.risk > 0]
    rates = _funding_by_sample(result, symbol, course)
    found = []
    for act in acts:
        stood = stood_at(course, act.time_ms)
        quantity = course.quantity[stood]
        if act.risk >= 0 or quantity == 0.0:
            continue
        later = [up for up in ups if up > act.time_ms]
        last = len(course.time_ms)
        if later:
            last = min(last, int(np.searchsorted(course.time_ms, later[0], "right")) + 1)
        ahead = slice(stood + 1, last)
        paid = np.cumsum(rates[ahead])  # quote units per base unit, of a long
        level = course.liquidation_price[stood] + paid
        is_reached = course.low[ahead] <= level if quantity > 0 else course.high[ahead] >= level
        if not is_reached.any():
            found.append(act)
    return found


def stood_at(course: Course, time_ms: int) -> int:
    """Return the last sample that closed before a moment, or at it; the start at least."""
    return max(int(np.searchsorted(course.time_ms, time_ms, "right")) - 1, 0)


def _funding_by_sample(result: Result, symbol: str, course: Course) -> FloatArray:
    """Return what a long of one base unit pays within each sample, shape (n_samples,).

    A long's liquidation price rises by it, and a short's, which receives it, does too.
    """
    paid = np.zeros(len(course.time_ms))
    rows = result.funding[result.funding["symbol"] == symbol]
    if len(rows):
        times = row_times(rows)
        places = np.searchsorted(course.time_ms, times, "right")
        per_unit = column_values(rows, "rate") * column_values(rows, "mark")
        np.add.at(paid, np.minimum(places, len(paid) - 1), per_unit)
    return paid


def _symbol_of(result: Result) -> str:
    symbol = guarded_symbol(result.recipe)
    if symbol is None or result.perpetual.empty:
        raise ResultError(
            f"protection is of a futures position, {result.recipe.name} guards none: add "
            "[perpetual.position]"
        )
    return symbol


def _moved(transfers: pd.DataFrame, column: str) -> float:
    return float(transfers.loc[transfers[column] == "perpetual", "amount"].astype(float).sum())
