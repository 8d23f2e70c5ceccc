"""What a fill, a funding stamp and a transfer do to a futures account.

Arrays as in ``layout``; ``quantity`` of a fill is signed, > 0 buys. Each kernel changes the arrays
in place and keeps the sums of ``account``: the change of the equity is what they add up to.

An isolated position: what opens moves notional / leverage at the fill price from the wallet into
its margin; what closes gives the same share of the margin back, and profit, loss and fee settle in
the wallet together with it. A loss larger than what comes back takes the rest of the position's
margin, then the wallet: it is the owner's own trade. Funding settles in the margin.

Source: Binance USD-M futures: "Cost Required to Open a Position in Perpetual Futures Contracts"
(initial margin and open loss), "How to Adjust Margin Balance in Isolated Margin Mode", and of
funding "Event: Balance and Position Update": an isolated position's is told with the position, so
it is its own wallet that changes.
Left out: the 0.15 % that Binance adds to the last price when it sizes a market order to sell.
"""

from typing import NamedTuple

from seawall.kernel import kernel
from seawall.market.series import FloatArray
from seawall.venues import spot
from seawall.venues.perpetual import margin
from seawall.venues.perpetual.layout import (
    CAP,
    ENTRY,
    FEES,
    FLOOR,
    FUNDING,
    INSURED,
    IS_ISOLATED,
    LEVERAGE,
    MARGIN,
    MAX_LEVERAGE,
    PAID_FUNDING,
    QUANTITY,
    REALISED,
    TRANSFERRED,
    WALLET,
)

_NEARLY = 1e-12  # of a position: what float64 may leave of one that is closed
_KEPT = 1e-12  # of the budget: so that rounding does not take a wallet below zero
_BELOW = 1e-8  # of a CAP: more than rounding to the lot may add
_LARGE = 1e300


@kernel
def find_closable(positions: FloatArray, i: int, side: float) -> float:
    """Return how much of position ``i`` an order of that side reduces, base units >= 0."""
    held = float(positions[i, QUANTITY])
    return abs(held) if side * held < 0.0 else 0.0


@kernel
def insure(account: FloatArray, positions: FloatArray) -> float:
    """Let the insurance fund carry a wallet below zero with no cross position; return how much."""
    missing = -float(account[WALLET])
    if not missing > 0.0:
        return 0.0
    for i in range(len(positions)):
        if positions[i, QUANTITY] != 0.0 and positions[i, IS_ISOLATED] == 0.0:
            return 0.0
    account[WALLET] = 0.0
    account[INSURED] += missing
    return missing


@kernel
def reduce(
    account: FloatArray, positions: FloatArray, i: int, closed: float, price: float
) -> float:
    """Close ``closed`` base units >= 0 of position ``i`` and return the profit.

    Quantity, entry and REALISED change; whose money it is, the caller says.
    """
    held = float(positions[i, QUANTITY])
    side = 1.0 if held > 0.0 else -1.0
    pnl = side * closed * (price - float(positions[i, ENTRY]))
    account[REALISED] += pnl
    positions[i, QUANTITY] = held - side * closed
    if closed >= abs(held):
        positions[i, QUANTITY], positions[i, ENTRY] = 0.0, 0.0
    return pnl


@kernel
def _settle_isolated(
    account: FloatArray, positions: FloatArray, i: int, share: float, gain: float, aside: float
) -> None:
    """Settle a fill: ``share`` of the margin comes back, ``gain`` is after fees, ``aside`` goes."""
    back = float(positions[i, MARGIN]) * share
    net, left = back + gain, float(positions[i, MARGIN]) - back
    if share > 0.0 and net < 0.0:
        taken = min(-net, max(left, 0.0))
        net, left = net + taken, left - taken
    account[WALLET] += net - aside
    positions[i, MARGIN] = left + aside


@kernel
def trade(
    account: FloatArray, positions: FloatArray, i: int, quantity: float, price: float, fee: float
) -> float:
    """Book a fill: it opens, adds, reduces, closes or flips; return the profit that it realised.

    ``price`` > 0; ``fee``: quote units, > 0 is paid. What the account can afford is not asked here:
    ``find_affordable``. A wallet that ends below zero with no cross position is the insurance
    fund's: an order filled far from the mark.
    """
    held, closable = abs(float(positions[i, QUANTITY])), find_closable(positions, i, quantity)
    closed = min(closable, abs(quantity))
    opened = abs(quantity) - closed
    if closable > 0.0 and abs(abs(quantity) - held) <= _NEARLY * held:
        closed, opened = held, 0.0
    pnl, share = 0.0, 0.0
    if closed > 0.0:
        share = 1.0 if closed >= held else closed / held
        pnl = reduce(account, positions, i, closed, price)
    account[FEES] += fee
    if positions[i, IS_ISOLATED] > 0.0:
        aside = opened * price / float(positions[i, LEVERAGE])
        _settle_isolated(account, positions, i, share, pnl - fee, aside)
    else:
        account[WALLET] += pnl - fee
    if opened > 0.0:
        before = float(positions[i, QUANTITY])
        total = abs(before) + opened
        positions[i, ENTRY] += (price - float(positions[i, ENTRY])) * opened / total
        positions[i, QUANTITY] = before + (opened if quantity > 0.0 else -opened)
    insure(account, positions)
    return pnl


class _Means(NamedTuple):
    """What carries an order: see ``_find_means``."""

    budget: float
    mark: float
    leverage: float
    closable: float


@kernel
def _find_means(
    account: FloatArray,
    positions: FloatArray,
    i: int,
    side: float,
    marks: FloatArray,
    tables: FloatArray,
) -> _Means:
    """Return what is free once all that ``side`` reduces is closed at the mark, before fees."""
    closable, mark = find_closable(positions, i, side), float(marks[i])
    leverage, entry = float(positions[i, LEVERAGE]), float(positions[i, ENTRY])
    is_isolated = bool(positions[i, IS_ISOLATED] > 0.0)
    cross = margin.cross_margin(account, positions, marks, tables)
    free, kept = cross.balance - cross.initial, cross.balance - cross.maintenance
    if not is_isolated:
        free += closable * mark / leverage
        kept += margin.find_maintenance(closable * mark, tables[i])
        return _Means(min(free, kept), mark, leverage, closable)
    budget = min(free, kept, float(account[WALLET]) - cross.maintenance)
    if closable > 0.0:
        budget += float(positions[i, MARGIN]) - side * closable * (mark - entry)
    return _Means(budget, mark, leverage, closable)


@kernel
def _find_rest(
    side: float, quantity: float, means: _Means, offer: spot.Offer, rules: spot.Rules
) -> float:
    """Return what is left of the budget after an order that closes all it can and opens the rest.

    A short is opened at the higher of price and mark: its initial margin is due at the mark.
    """
    price = spot.find_taker_price(side, quantity, offer, rules)
    opened = max(quantity - means.closable, 0.0)
    assumed = price if side > 0.0 else max(price, means.mark)
    needed = opened * (assumed / means.leverage + max(side * (price - means.mark), 0.0))
    needed += side * means.closable * (price - means.mark)
    if not rules.allows_fee_debt:
        needed += spot.compute_fee(quantity, price, offer.is_taker, rules)
    return means.budget * (1.0 - _KEPT) - needed


@kernel
def _search(
    side: float, wanted: float, means: _Means, offer: spot.Offer, rules: spot.Rules
) -> float:
    """Return by bisection how much is affordable of ``wanted``, which is too much."""
    low, high = means.closable, wanted
    if _find_rest(side, low, means, offer, rules) < 0.0:
        return low
    for _ in range(200):
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break
        if _find_rest(side, middle, means, offer, rules) >= 0.0:
            low = middle
        else:
            high = middle
    return low


@kernel
def find_room(positions: FloatArray, i: int, side: float, mark: float, table: FloatArray) -> float:
    """Return how much more the brackets let an order of that side open, base units >= 0.

    At the mark, the position has to stay below the CAP of the last tier that allows its leverage:
    at the CAP the next tier begins. What the order closes first is not in it.
    """
    cap = 0.0
    for k in range(len(table)):
        if table[k, FLOOR] < _LARGE and table[k, MAX_LEVERAGE] >= positions[i, LEVERAGE]:
            cap = float(table[k, CAP])
    held = max(side * float(positions[i, QUANTITY]), 0.0)
    return max(cap / mark * (1.0 - _BELOW) - held, 0.0)


@kernel
def find_affordable(
    account: FloatArray,
    positions: FloatArray,
    i: int,
    order: tuple[float, float, bool],
    offer: spot.Offer,
    rules: spot.Rules,
    marks: FloatArray,
    tables: FloatArray,
) -> float:
    """Return the largest quantity, on the lot, that fills of an order; base units >= 0.

    ``order`` is (side, wanted, is_reduce_only). The part that reduces the position is free. The
    rest needs its initial margin, the loss it opens with (price against mark) and the fee of the
    whole order from what is available, and stays within the bracket of the leverage. All but a
    billionth of what is held closes all of it, also where that is not on the lot.
    """
    side, wanted, is_reduce_only = order
    closable = find_closable(positions, i, side)
    wanted = min(wanted, offer.capacity)
    if closable > 0.0 and abs(wanted - closable) <= 1e-9 * closable:
        return closable
    if wanted < closable:
        return spot.round_down(wanted, rules.lot_size)
    if is_reduce_only:
        return closable
    wanted = min(wanted, closable + find_room(positions, i, side, float(marks[i]), tables[i]))
    means = _find_means(account, positions, i, side, marks, tables)
    if _find_rest(side, wanted, means, offer, rules) >= 0.0:
        quantity = wanted
    else:
        quantity = _search(side, wanted, means, offer, rules)
    quantity = spot.round_down(quantity, rules.lot_size)
    shrink = max(rules.lot_size, 2.5e-16 * quantity, 5e-324)
    while quantity > closable and _find_rest(side, quantity, means, offer, rules) < 0.0:
        quantity -= shrink
    if quantity < closable * (1.0 + _NEARLY):
        return closable
    return 0.0 if quantity < 0.5 * rules.lot_size else quantity


@kernel
def settle_funding(
    account: FloatArray, positions: FloatArray, i: int, mark: float, rate: float
) -> float:
    """Settle one funding stamp of position ``i`` and return what it received, < 0 where it paid.

    ``-quantity * mark * rate``, in the wallet; of an isolated position in its margin, where what is
    paid moves its liquidation price closer.
    """
    received = -float(positions[i, QUANTITY]) * mark * rate
    if received == 0.0:
        return 0.0
    if positions[i, IS_ISOLATED] > 0.0:
        positions[i, MARGIN] += received
    else:
        account[WALLET] += received
    account[FUNDING] += received
    positions[i, PAID_FUNDING] += received
    return received


@kernel
def add_margin(
    account: FloatArray,
    positions: FloatArray,
    i: int,
    amount: float,
    marks: FloatArray,
    tables: FloatArray,
) -> float:
    """Move margin into (> 0) or out of (< 0) an isolated position; return what moved, signed.

    In: at most what may leave the cross account. Out: at most down to the position's initial margin
    at the mark, profit that is not realised aside. 0.0 for a cross position and without one.
    """
    if positions[i, IS_ISOLATED] == 0.0 or positions[i, QUANTITY] == 0.0:
        return 0.0
    if amount > 0.0:
        moved = min(amount, margin.find_withdrawable(account, positions, marks, tables))
    else:
        own = margin.isolated_margin(positions, i, float(marks[i]), tables[i])
        kept = min(float(positions[i, MARGIN]), own.balance) - own.maintenance
        moved = -max(min(-amount, kept, own.balance - own.initial), 0.0)
    account[WALLET] -= moved
    positions[i, MARGIN] += moved
    return moved


@kernel
def transfer(
    account: FloatArray,
    positions: FloatArray,
    amount: float,
    marks: FloatArray,
    tables: FloatArray,
) -> float:
    """Move money into (> 0) or out of (< 0) the wallet; return what moved, signed.

    Out: at most what may leave the cross account.
    """
    moved = amount
    if amount < 0.0:
        moved = -min(-amount, margin.find_withdrawable(account, positions, marks, tables))
    account[WALLET] += moved
    account[TRANSFERRED] += moved
    return moved
