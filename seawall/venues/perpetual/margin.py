"""What a futures account must hold, what it has free, and at which mark it is liquidated.

Arrays as in ``layout``; ``marks``: float64, shape (n,), mark prices. ``table``: one contract's
brackets, shape (n_tiers, N_TIER), with rates that rise and amounts that join the tiers
(``amount = floor * (rate - rate before) + amount before``), so that the maintenance margin is
continuous in the notional. The cross account is the wallet and all positions that are not isolated.

Source: Binance, "How to Calculate Liquidation Price of USD-M Futures Contracts", "Leverage and
Margin of USD-M Futures", "How to Adjust Margin Balance in Isolated Margin Mode" (available and
removable amounts), "10 Most Frequently Asked Questions About Binance Futures" (withdrawals).
Left out: the margin of open orders.
"""

from math import inf, nan
from typing import NamedTuple

from seawall.kernel import kernel
from seawall.market.series import FloatArray
from seawall.venues.perpetual.layout import (
    AMOUNT,
    ENTRY,
    FLOOR,
    IS_ISOLATED,
    LEVERAGE,
    MARGIN,
    QUANTITY,
    RATE,
    WALLET,
)

_NOTHING = 1e-12  # of the entry: a liquidation price that is 0 but for rounding


class Margin(NamedTuple):
    """Quote units of one margin account, cross or isolated.

    Attributes:
        balance: wallet or isolated margin, and ``unrealised``; liquidated at ``maintenance``.
        maintenance: what it must hold.
        initial: notional at the mark / leverage, what it must hold before more can be opened.
        unrealised: profit of its open positions at the mark.
    """

    balance: float
    maintenance: float
    initial: float
    unrealised: float


@kernel
def find_tier(notional: float, table: FloatArray) -> int:
    """Return the tier of a notional >= 0, counted from 0; beyond the last CAP the last one."""
    tier = 0
    for k in range(1, len(table)):
        if not notional >= table[k, FLOOR]:
            break
        tier = k
    return tier


@kernel
def find_maintenance(notional: float, table: FloatArray) -> float:
    """Return the maintenance margin of a notional: ``notional * RATE - AMOUNT``, >= 0."""
    k = find_tier(notional, table)
    return max(notional * float(table[k, RATE]) - float(table[k, AMOUNT]), 0.0)


@kernel
def find_unrealised(positions: FloatArray, i: int, mark: float) -> float:
    """Return the profit of position ``i`` at a mark."""
    return float(positions[i, QUANTITY]) * (mark - float(positions[i, ENTRY]))


@kernel
def find_excess(positions: FloatArray, i: int, mark: float, table: FloatArray) -> float:
    """Return what position ``i`` adds to balance less maintenance: concave in the mark.

    It rises with the mark for a long and falls for a short, as no rate reaches 1.
    """
    quantity = float(positions[i, QUANTITY])
    gain = quantity * (mark - float(positions[i, ENTRY]))
    return gain - find_maintenance(abs(quantity) * mark, table)


@kernel
def cross_margin(
    account: FloatArray, positions: FloatArray, marks: FloatArray, tables: FloatArray
) -> Margin:
    """Return the margin of the cross account."""
    maintenance, initial, unrealised = 0.0, 0.0, 0.0
    for i in range(len(positions)):
        quantity = float(positions[i, QUANTITY])
        if quantity == 0.0 or positions[i, IS_ISOLATED] > 0.0:
            continue
        notional = abs(quantity) * marks[i]
        maintenance += find_maintenance(notional, tables[i])
        initial += notional / float(positions[i, LEVERAGE])
        unrealised += find_unrealised(positions, i, marks[i])
    return Margin(float(account[WALLET]) + unrealised, maintenance, initial, unrealised)


@kernel
def isolated_margin(positions: FloatArray, i: int, mark: float, table: FloatArray) -> Margin:
    """Return the margin of the isolated position ``i``."""
    notional = abs(float(positions[i, QUANTITY])) * mark
    unrealised = find_unrealised(positions, i, mark)
    return Margin(
        float(positions[i, MARGIN]) + unrealised,
        find_maintenance(notional, table),
        notional / float(positions[i, LEVERAGE]),
        unrealised,
    )


@kernel
def find_equity(account: FloatArray, positions: FloatArray, marks: FloatArray) -> float:
    """Return the equity of the futures account: wallet, isolated margins, unrealised profit."""
    equity = float(account[WALLET])
    for i in range(len(positions)):
        equity += float(positions[i, MARGIN])
        if positions[i, QUANTITY] != 0.0:
            equity += find_unrealised(positions, i, marks[i])
    return equity


@kernel
def find_surplus(account: FloatArray, positions: FloatArray, marks: FloatArray) -> float:
    """Return balance less initial margin of the cross account; < 0 where it is short of it."""
    surplus = float(account[WALLET])
    for i in range(len(positions)):
        quantity = float(positions[i, QUANTITY])
        if quantity == 0.0 or positions[i, IS_ISOLATED] > 0.0:
            continue
        surplus += find_unrealised(positions, i, marks[i])
        surplus -= abs(quantity) * marks[i] / float(positions[i, LEVERAGE])
    return surplus


@kernel
def find_available(account: FloatArray, positions: FloatArray, marks: FloatArray) -> float:
    """Return what is free for the initial margin of cross positions, >= 0.

    Cross wallet + unrealised profit of cross positions - their initial margin. Unrealised profit
    counts for cross orders only: what leaves the cross account is ``find_withdrawable``.
    """
    return max(find_surplus(account, positions, marks), 0.0)


@kernel
def find_withdrawable(
    account: FloatArray, positions: FloatArray, marks: FloatArray, tables: FloatArray
) -> float:
    """Return what may leave the cross account, out of it or into isolated margin, >= 0.

    The smaller of ``find_available`` and wallet - maintenance margin of cross positions: a profit
    that is not realised cannot leave. Nor can what unrealised losses need: ours, it matters only
    where a position has grown out of the bracket of its leverage.
    """
    cross = cross_margin(account, positions, marks, tables)
    kept = min(float(account[WALLET]), cross.balance) - cross.maintenance
    return max(min(kept, cross.balance - cross.initial), 0.0)


@kernel
def _find_backing(
    account: FloatArray, positions: FloatArray, i: int, marks: FloatArray, tables: FloatArray
) -> float:
    """Return the balance less maintenance that position ``i`` can count on besides its own."""
    if positions[i, IS_ISOLATED] > 0.0:
        return float(positions[i, MARGIN])
    backing = float(account[WALLET])
    for j in range(len(positions)):
        is_other = j != i and positions[j, QUANTITY] != 0.0 and positions[j, IS_ISOLATED] == 0.0
        if is_other:
            backing += find_excess(positions, j, marks[j], tables[j])
    return backing


@kernel
def find_liquidation_price(
    account: FloatArray, positions: FloatArray, i: int, marks: FloatArray, tables: FloatArray
) -> float:
    """Return the mark of ``i`` at which it, or the cross account, is liquidated; the others stay.

    nan without a position and where there is none: no price > 0 liquidates a long, or every price
    liquidates a short. In closed form, the tier picked again at each price found until it stays:
    balance less maintenance is concave in the mark, so that this is Newton's method on straight
    pieces and ends.

    Source: Binance, ``(WB - TMM + UPNL + cum - side·pos·EP) / (pos·MMR - side·pos)``.
    """
    quantity = float(positions[i, QUANTITY])
    if quantity == 0.0:
        return nan
    free = _find_backing(account, positions, i, marks, tables) - quantity * positions[i, ENTRY]
    tier, price = find_tier(abs(quantity) * marks[i], tables[i]), nan
    for _ in range(len(tables[i]) + 2):
        rate, amount = float(tables[i, tier, RATE]), float(tables[i, tier, AMOUNT])
        price = (free + amount) / (abs(quantity) * rate - quantity)
        better = find_tier(abs(quantity) * max(price, 0.0), tables[i])
        if better == tier:
            break
        tier = better
    return price if price > _NOTHING * positions[i, ENTRY] else nan


@kernel
def _is_alive(
    account: FloatArray, positions: FloatArray, i: int, marks: FloatArray, tables: FloatArray
) -> bool:
    if positions[i, IS_ISOLATED] > 0.0:
        own = isolated_margin(positions, i, marks[i], tables[i])
        return own.balance > own.maintenance
    cross = cross_margin(account, positions, marks, tables)
    return cross.balance > cross.maintenance


@kernel
def bisect_liquidation_price(
    account: FloatArray, positions: FloatArray, i: int, marks: FloatArray, tables: FloatArray
) -> float:
    """Return ``find_liquidation_price`` by bisection of the trigger itself, without its formula."""
    quantity = float(positions[i, QUANTITY])
    if quantity == 0.0:
        return nan
    tried = marks.copy()
    low, high = 0.0, max(float(marks[i]), float(positions[i, ENTRY]))
    is_long = quantity > 0.0
    tried[i] = low
    if _is_alive(account, positions, i, tried, tables) == is_long:
        return nan
    tried[i] = high
    while _is_alive(account, positions, i, tried, tables) != is_long and high < inf:
        low, high = high, 2.0 * high
        tried[i] = high
    for _ in range(2_000):
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break
        tried[i] = middle
        if _is_alive(account, positions, i, tried, tables) == is_long:
            high = middle
        else:
            low = middle
    price = low if is_long else high
    return price if price > _NOTHING * positions[i, ENTRY] else nan


@kernel
def _to_ratio(balance: float, maintenance: float) -> float:
    return maintenance / balance if balance > 0.0 else inf


@kernel
def find_margin_ratio(
    account: FloatArray, positions: FloatArray, marks: FloatArray, tables: FloatArray
) -> float:
    """Return the highest ratio of maintenance margin to margin balance; >= 1 is liquidated.

    Over the cross account and each isolated position; 0.0 without positions, inf where a balance
    is <= 0.
    """
    ratio, maintenance, balance, has_cross = 0.0, 0.0, float(account[WALLET]), False
    for i in range(len(positions)):
        quantity = float(positions[i, QUANTITY])
        if quantity == 0.0:
            continue
        needed = find_maintenance(abs(quantity) * marks[i], tables[i])
        unrealised = find_unrealised(positions, i, marks[i])
        if positions[i, IS_ISOLATED] > 0.0:
            ratio = max(ratio, _to_ratio(float(positions[i, MARGIN]) + unrealised, needed))
        else:
            has_cross = True
            maintenance += needed
            balance += unrealised
    return max(ratio, _to_ratio(balance, maintenance)) if has_cross else ratio
