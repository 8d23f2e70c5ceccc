"""From a wish, a leverage or a margin ratio, to what has to be traded or added.

With notional ``N`` and margin balance ``B`` at the mark, closing ``D`` of the notional at a taker
fee ``f`` leads to leverage ``L`` where ``N - D = L (B - f D)``. Of an isolated position a share of
its margin comes back with what is closed; it is put in again, so that the same holds for it.
Opening more of a cross position is the same equation the other way round; of an isolated one each
unit brings ``1 / leverage`` of margin with it: ``N + D = L (B + D / leverage)``.

Left out: the difference between mark and last price, spread and impact.
"""

from math import ceil
from typing import NamedTuple

from seawall.perpetual_view import PerpetualView, PositionView

TOLERANCE = 1e-3  # closer than this share to its target, a leverage is there
CUSHION = 0.02  # share of what should come back that is not counted on: the price may have moved
_N_HALVINGS = 60


class Steps(NamedTuple):
    """What leads to a leverage.

    Attributes:
        quantity: base units to trade, > 0 bought; 0.0 where the leverage is there already.
        margin: quote units to put back into the isolated margin behind the trade, >= 0.
        why_not: why nothing leads there, or ``""``.
    """

    quantity: float
    margin: float = 0.0
    why_not: str = ""


def to_leverage(view: PerpetualView, symbol: str, leverage: float) -> Steps:
    """Return what brings a position to so many times its margin; it keeps its side.

    The quantity is on the lot: what reduces is rounded up, what adds is left to the exchange.
    """
    position = view.position(symbol)
    if position.quantity == 0.0:
        why = f"there is no position in {symbol}: open one with an order or a weight"
        return Steps(0.0, why_not="" if leverage == 0.0 else why)
    if leverage == 0.0 or position.margin <= 0.0:
        return Steps(-position.quantity)
    wanted = leverage * position.margin
    if abs(position.notional - wanted) <= TOLERANCE * position.notional:
        return Steps(0.0)
    fee = view.contracts[symbol].taker_fee
    if wanted > position.notional:
        return _increase(position, leverage, fee)
    closed = (position.notional - wanted) / (1.0 - leverage * fee)
    return _reduce(position, closed, fee, view.contracts[symbol].lot_size)


def to_ratio(view: PerpetualView, symbol: str, ratio: float) -> float:
    """Return the leverage of a position at which the margin ratio has fallen to ``ratio``.

    0.0 where all of it has to be closed: other positions of the cross account may need more.
    """
    position, fee = view.position(symbol), view.contracts[symbol].taker_fee
    notional, balance = position.notional, position.margin
    if balance <= 0.0:
        return 0.0
    others = position.maintenance - view.maintenance(notional, symbol)

    def is_enough(closed: float) -> bool:
        kept = others + view.maintenance(notional - closed, symbol)
        return kept <= ratio * (balance - closed * fee)

    low, high = 0.0, notional
    if is_enough(low):
        return position.real_leverage
    for _ in range(_N_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return (notional - high) / (balance - high * fee)


def find_missing(view: PerpetualView, symbol: str, ratio: float) -> float:
    """Return the quote units that have to be added for the margin ratio to fall to ``ratio``."""
    position = view.position(symbol)
    return max(position.maintenance / ratio - position.margin, 0.0)


def _reduce(position: PositionView, closed: float, fee: float, lot_size: float) -> Steps:
    held = abs(position.quantity)
    quantity = min(closed / position.mark_price, held)
    if lot_size > 0.0:
        quantity = min(ceil(quantity / lot_size - _NEARLY) * lot_size, held)
    back = 0.0
    if position.is_isolated and quantity < held:
        released = position.margin * quantity / held - fee * quantity * position.mark_price
        back = max((1.0 - CUSHION) * released, 0.0)
    return Steps(-quantity if position.quantity > 0.0 else quantity, back)


def _increase(position: PositionView, leverage: float, fee: float) -> Steps:
    missing = leverage * position.margin - position.notional
    slope = 1.0 + leverage * fee
    if position.is_isolated:
        slope = 1.0 - leverage / position.leverage
        if slope <= 0.0:
            return Steps(
                0.0,
                why_not=f"the isolated margin of {position.symbol} is set aside at "
                f"{position.leverage:g}x, {leverage:g}x is not below: set its leverage first",
            )
    quantity = missing / slope / position.mark_price
    return Steps(quantity if position.quantity > 0.0 else -quantity)


_NEARLY = 1e-9  # of a lot: rounding of a quotient
