"""From a wish, a leverage, a margin ratio or a distance, to what has to be traded or added.

With notional ``N`` and margin balance ``B`` at the mark, closing ``D`` of the notional at a taker
fee ``f`` leads to leverage ``L`` where ``N - D = L (B - f D)``. Of an isolated position a share of
its margin comes back with what is closed; an order that keeps margin puts it in again at once, so
that the same holds for it.
Opening more of a cross position is the same equation the other way round; of an isolated one each
unit brings ``1 / leverage`` of margin with it: ``N + D = L (B + D / leverage)``.

At a distance ``d``, a share of the mark, from its liquidation, a position lives where its mark is
worse by that: ``B - d N`` covers the maintenance margin of ``(1 - d) N`` of a long, ``(1 + d) N``
of a short.

Left out: the difference between mark and last price, spread and impact.
"""

from collections.abc import Callable
from math import ceil
from typing import NamedTuple

from seawall.perpetual_view import PerpetualView, PositionView

TOLERANCE = 1e-3  # closer than this share to its target, a leverage is there
_N_HALVINGS = 60


class Steps(NamedTuple):
    """What leads to a leverage.

    Attributes:
        quantity: base units to trade, > 0 bought; 0.0 where the leverage is there already.
        why_not: why nothing leads there, or ``""``.
    """

    quantity: float
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
    return _reduce(position, closed, view.contracts[symbol].lot_size)


def to_ratio(view: PerpetualView, symbol: str, ratio: float) -> float:
    """Return the leverage of a position at which the margin ratio has fallen to ``ratio``.

    0.0 where all of it has to be closed: other positions of the cross account may need more.
    """
    others = _find_others(view, symbol)

    def is_enough(notional: float, balance: float) -> bool:
        return others + view.maintenance(notional, symbol) <= ratio * balance

    return _find_leverage(view, symbol, is_enough)


def to_distance(view: PerpetualView, symbol: str, distance: float) -> float:
    """Return the leverage of a position at which its liquidation is ``distance`` of the mark away.

    ``distance`` > 0, of a long < 1. As in ``to_ratio`` 0.0 where all of it has to be closed.
    """
    others = _find_others(view, symbol)
    worse = _find_worse(view, symbol, distance)

    def is_enough(notional: float, balance: float) -> bool:
        kept = others + view.maintenance(notional * worse, symbol)
        return balance - distance * notional >= kept

    return _find_leverage(view, symbol, is_enough)


def _find_leverage(
    view: PerpetualView, symbol: str, is_enough: Callable[[float, float], bool]
) -> float:
    """Return the highest leverage, by reducing, at which notional and balance are enough."""
    position, fee = view.position(symbol), view.contracts[symbol].taker_fee
    notional, balance = position.notional, position.margin
    if balance <= 0.0:
        return 0.0
    low, high = 0.0, notional
    if is_enough(notional, balance):
        return position.real_leverage
    for _ in range(_N_HALVINGS):
        middle = 0.5 * (low + high)
        is_there = is_enough(notional - middle, balance - middle * fee)
        low, high = (low, middle) if is_there else (middle, high)
    return (notional - high) / (balance - high * fee)


def find_missing(view: PerpetualView, symbol: str, ratio: float) -> float:
    """Return the quote units that have to be added for the margin ratio to fall to ``ratio``."""
    position = view.position(symbol)
    return max(position.maintenance / ratio - position.margin, 0.0)


def find_missing_for_distance(view: PerpetualView, symbol: str, distance: float) -> float:
    """Return the quote units that bring the liquidation ``distance`` of the mark away."""
    position = view.position(symbol)
    kept = view.maintenance(position.notional * _find_worse(view, symbol, distance), symbol)
    needed = distance * position.notional + kept + _find_others(view, symbol)
    return max(needed - position.margin, 0.0)


def find_ratio_at(view: PerpetualView, symbol: str, distance: float) -> float:
    """Return the margin ratio at which the liquidation will be ``distance`` of the mark away.

    Funding moves the price of it, and leaves the ratio. nan where nothing liquidates the position.
    """
    position = view.position(symbol)
    mark, end = position.mark_price, position.liquidation_price
    change = end / _find_worse(view, symbol, distance) / mark
    gained = (change - 1.0) * mark * position.quantity
    kept = view.maintenance(position.notional * change, symbol) + _find_others(view, symbol)
    return kept / (position.margin + gained)


def _find_others(view: PerpetualView, symbol: str) -> float:
    """Return the maintenance margin of what shares the margin of a position."""
    position = view.position(symbol)
    return position.maintenance - view.maintenance(position.notional, symbol)


def _find_worse(view: PerpetualView, symbol: str, distance: float) -> float:
    return 1.0 - distance if view.position(symbol).quantity > 0.0 else 1.0 + distance


def _reduce(position: PositionView, closed: float, lot_size: float) -> Steps:
    held = abs(position.quantity)
    quantity = min(closed / position.mark_price, held)
    if lot_size > 0.0:
        quantity = min(ceil(quantity / lot_size - _NEARLY) * lot_size, held)
    return Steps(-quantity if position.quantity > 0.0 else quantity)


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
