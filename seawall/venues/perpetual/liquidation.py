"""When the exchange liquidates an account, and what it then does.

Arrays as in ``layout``. The trigger is a margin balance <= maintenance margin, at mark prices.
``terms``: float64, shape (n, N_TERM), a row per contract.

Source: Binance, "Liquidation Protocols": by the mark price, a position is not closed whole where
less will do, the fee is charged on what was closed, and small positions are bankrupt by the fee as
it is above their maintenance rate. Fee rates: ``liquidationFee`` of ``GET /fapi/v1/exchangeInfo``,
0.0125 for BTCUSDT and ETHUSDT.
Ours, because Binance publishes neither: one tier at a time, and in the cross account the position
with the largest loss first.
Left out: auto-deleveraging, the market impact of the liquidation orders (they fill at the mark) and
closing at the bankruptcy price; what margin is left stays with the owner.
"""

from math import nan

import numpy as np

from seawall.kernel import kernel
from seawall.market.series import FloatArray
from seawall.venues import spot
from seawall.venues.perpetual import margin
from seawall.venues.perpetual.layout import (
    CLOSED,
    CROSS,
    FEE,
    FLOOR,
    INSURANCE,
    INSURED,
    IS_ISOLATED,
    LEFT,
    LIQUIDATION_FEES,
    MARGIN,
    MARGIN_BEFORE,
    NOBODY,
    PNL,
    PRICE,
    QUANTITY,
    RATE,
    RATIO_BEFORE,
    SYMBOL,
    TIER,
    WALLET,
)
from seawall.venues.perpetual.positions import insure, reduce

# terms
FEE_RATE = 0  # of the notional that is closed
LOT_SIZE = 1  # base units; 0.0 is none
N_TERM = 2

_NEARLY = 1e-12  # of what a step leaves: so that rounding does not put it back on the floor


@kernel
def is_safe(
    account: FloatArray,
    positions: FloatArray,
    lows: FloatArray,
    highs: FloatArray,
    tables: FloatArray,
) -> bool:
    """Return whether nothing is liquidated while each mark stays within its low and high.

    ``lows``, ``highs``: float64, shape (n,). Longs at their lows and shorts at their highs all at
    once, which is the least that balance less maintenance can be: True is certain, False is not.
    """
    excess, has_cross = float(account[WALLET]), False
    for i in range(len(positions)):
        quantity = positions[i, QUANTITY]
        if quantity == 0.0:
            continue
        mark = lows[i] if quantity > 0.0 else highs[i]
        own = margin.find_excess(positions, i, mark, tables[i])
        if positions[i, IS_ISOLATED] == 0.0:
            excess += own
            has_cross = True
        elif not positions[i, MARGIN] + own > 0.0:
            return False
    return excess > 0.0 or not has_cross


@kernel
def _find_along(
    account: FloatArray,
    positions: FloatArray,
    marks: FloatArray,
    targets: FloatArray,
    tables: FloatArray,
    fraction: float,
) -> tuple[float, float]:
    """Return the cross account's balance less maintenance on the way, and its slope there."""
    excess, slope = float(account[WALLET]), 0.0
    for i in range(len(positions)):
        quantity = float(positions[i, QUANTITY])
        if quantity == 0.0 or positions[i, IS_ISOLATED] > 0.0:
            continue
        change = targets[i] - marks[i]
        mark = marks[i] + fraction * change
        tier = margin.find_tier(abs(quantity) * mark, tables[i])
        excess += margin.find_excess(positions, i, mark, tables[i])
        slope += change * (quantity - abs(quantity) * float(tables[i, tier, RATE]))
    return excess, slope


@kernel
def _breach_cross(
    account: FloatArray,
    positions: FloatArray,
    marks: FloatArray,
    targets: FloatArray,
    tables: FloatArray,
) -> float:
    """Return the first fraction at which the cross account is liquidated, nan where none.

    Balance less maintenance is concave along the way and made of straight pieces: where both ends
    are above zero all of it is, else Newton's method from the end goes from piece to piece towards
    the one root, never past it.
    """
    has_cross = False
    for i in range(len(positions)):
        if positions[i, QUANTITY] != 0.0 and positions[i, IS_ISOLATED] == 0.0:
            has_cross = True
    if not has_cross:
        return nan
    if not _find_along(account, positions, marks, targets, tables, 0.0)[0] > 0.0:
        return 0.0
    fraction = 1.0
    excess, slope = _find_along(account, positions, marks, targets, tables, fraction)
    if excess > 0.0:
        return nan
    while excess < 0.0 and slope < 0.0:
        better = fraction - excess / slope
        if not 0.0 < better < fraction:
            break
        fraction = better
        excess, slope = _find_along(account, positions, marks, targets, tables, fraction)
    return fraction


@kernel
def _breach_isolated(
    account: FloatArray,
    positions: FloatArray,
    i: int,
    marks: FloatArray,
    target: float,
    tables: FloatArray,
) -> float:
    """Return the first fraction at which an isolated position is liquidated, nan where none."""
    set_aside = float(positions[i, MARGIN])
    if not set_aside + margin.find_excess(positions, i, marks[i], tables[i]) > 0.0:
        return 0.0
    if set_aside + margin.find_excess(positions, i, target, tables[i]) > 0.0:
        return nan
    price = margin.find_liquidation_price(account, positions, i, marks, tables)
    fraction = (price - marks[i]) / (target - marks[i])
    return min(max(fraction, 0.0), 1.0) if fraction == fraction else 1.0  # noqa: PLR0124 - nan


@kernel
def find_breach(
    account: FloatArray,
    positions: FloatArray,
    marks: FloatArray,
    targets: FloatArray,
    tables: FloatArray,
) -> tuple[float, int]:
    """Return ``(fraction, who)`` of the first liquidation while the marks move.

    All marks go together on straight lines from ``marks`` (fraction 0) to ``targets`` (1); ``who``
    is an isolated position's row or ``CROSS``. ``(nan, NOBODY)`` where none is. Exact: the tiers'
    straight pieces are solved, not sampled.
    """
    first, who = nan, NOBODY
    fraction = _breach_cross(account, positions, marks, targets, tables)
    if fraction >= 0.0:
        first, who = fraction, CROSS
    for i in range(len(positions)):
        if positions[i, QUANTITY] == 0.0 or positions[i, IS_ISOLATED] == 0.0:
            continue
        fraction = _breach_isolated(account, positions, i, marks, targets[i], tables)
        if fraction >= 0.0 and not first <= fraction:
            first, who = fraction, i
    return first, who


@kernel
def _choose(positions: FloatArray, which: int, marks: FloatArray) -> int:
    """Return the row to reduce next, NOBODY where nothing is left; of cross the largest loss."""
    if which >= 0:
        return which if positions[which, QUANTITY] != 0.0 else NOBODY
    chosen, worst = NOBODY, 0.0
    for i in range(len(positions)):
        if positions[i, QUANTITY] == 0.0 or positions[i, IS_ISOLATED] > 0.0:
            continue
        gain = margin.find_unrealised(positions, i, marks[i])
        if chosen == NOBODY or gain < worst:
            chosen, worst = i, gain
    return chosen


@kernel
def _measure(
    account: FloatArray, positions: FloatArray, which: int, marks: FloatArray, tables: FloatArray
) -> margin.Margin:
    if which >= 0:
        return margin.isolated_margin(positions, which, marks[which], tables[which])
    return margin.cross_margin(account, positions, marks, tables)


@kernel
def find_step(quantity: float, mark: float, table: FloatArray, lot_size: float) -> float:
    """Return how much of a position one step closes, base units >= 0; ``quantity`` >= 0.

    So much that it leaves its tier, rounded to a lot that closes more; in the first tier all.
    """
    tier = margin.find_tier(quantity * mark, table)
    if tier == 0:
        return quantity
    left = min(spot.round_down(float(table[tier, FLOOR]) / mark, lot_size), quantity)
    while left > 0.0 and margin.find_tier(left * (1.0 + _NEARLY) * mark, table) >= tier:
        left -= max(lot_size, 2.0 * _NEARLY * left)
    return quantity - left if left > 0.0 else quantity


@kernel
def _settle(account: FloatArray, positions: FloatArray, which: int, i: int, gain: float) -> float:
    """Settle what a step gained after its fee and return what the insurance fund paid."""
    if which == CROSS:
        account[WALLET] += gain
        return insure(account, positions)
    positions[i, MARGIN] += gain
    if positions[i, QUANTITY] != 0.0:
        return 0.0
    back = float(positions[i, MARGIN])
    positions[i, MARGIN] = 0.0
    account[WALLET] += max(back, 0.0)
    account[INSURED] += max(-back, 0.0)
    return max(-back, 0.0)


@kernel
def _is_over(now: margin.Margin) -> bool:
    return now.balance > now.maintenance


@kernel
def liquidate(
    account: FloatArray,
    positions: FloatArray,
    which: int,
    marks: FloatArray,
    tables: FloatArray,
    terms: FloatArray,
    events: FloatArray,
    n_events: int,
) -> int:
    """Liquidate what is liquidable, an isolated row or ``CROSS``, and return the new ``n_events``.

    Step by step: close at the mark until the position leaves its tier, charge the fee on what was
    closed, check again; so the first step is taken in any case, the caller has found it due. At the
    end no equity is below zero: what the margin does not carry of losses and fees, the insurance
    fund does, which is also who receives the fees. A step is one row of ``events``, AT_BAR is the
    caller's; ``n * n_tiers`` rows suffice, and the number counts also what found no row left.
    """
    now = _measure(account, positions, which, marks, tables)
    i = _choose(positions, which, marks)
    while i != NOBODY:
        held, mark = float(positions[i, QUANTITY]), float(marks[i])
        tier = margin.find_tier(abs(held) * mark, tables[i])
        closed = find_step(abs(held), mark, tables[i], float(terms[i, LOT_SIZE]))
        pnl, fee = reduce(account, positions, i, closed, mark), closed * mark * terms[i, FEE_RATE]
        account[LIQUIDATION_FEES] += fee
        insurance = _settle(account, positions, which, i, pnl - fee)
        if n_events < len(events):
            event = events[n_events]
            event[SYMBOL], event[TIER], event[PRICE] = i, tier + 1, mark
            event[CLOSED] = -closed if held > 0.0 else closed
            event[FEE], event[PNL], event[INSURANCE] = fee, pnl, insurance
            event[RATIO_BEFORE] = np.inf
            if now.balance > 0.0:
                event[RATIO_BEFORE] = now.maintenance / now.balance
            event[MARGIN_BEFORE], event[LEFT] = now.balance, positions[i, QUANTITY]
        n_events += 1
        now = _measure(account, positions, which, marks, tables)
        if _is_over(now):
            break
        i = _choose(positions, which, marks)
    return n_events
