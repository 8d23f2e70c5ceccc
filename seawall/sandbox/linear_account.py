"""What an account decides at the futures desk beside its orders: leverage, margin, transfers."""

from seawall.sandbox.decimals import ONE
from seawall.sandbox.linear_desk import LinearDesk
from seawall.sandbox.linear_refusals import (
    beyond_bracket,
    cross_too_small,
    invalid_leverage,
    isolated_leverage_down,
    isolated_too_small,
    leverage_too_small,
    margin_of_cross,
    margin_of_nothing,
    margin_type_with_orders,
    margin_type_with_position,
    same_margin_type,
)
from seawall.sandbox.order_margin import find_bound, find_exposure, find_free, find_movable
from seawall.sandbox.refusals import ApiError
from seawall.sandbox.seat import Seat
from seawall.venues.perpetual import layout, positions

_NEARLY = 1e-9  # quote units: less than what is shown


def find_largest(desk: LinearDesk, row: int, leverage: float) -> float:
    """Return the notional that a position of a leverage may have; 0.0 where none may."""
    allowed = desk.tables[row, :, layout.MAX_LEVERAGE] >= leverage
    return float(desk.tables[row, allowed, layout.CAP].max(initial=0.0))


def set_leverage(desk: LinearDesk, seat: Seat, code: str, leverage: int) -> None:
    """Change the leverage of a market.

    Raises:
        ApiError: no bracket has it, the position or its margin forbids it.
    """
    row = desk.rows[desk.market(code).code]
    if not 1 <= leverage <= desk.tables[row, 0, layout.MAX_LEVERAGE]:
        raise invalid_leverage(leverage)
    before = float(seat.positions[row, layout.LEVERAGE])
    if leverage < before and seat.is_isolated(row) and seat.held(row):
        raise isolated_leverage_down()
    exposure = find_exposure(seat, row, code, float(desk.marks[row]))
    if exposure.size > find_largest(desk, row, leverage):
        raise beyond_bracket()
    seat.positions[row, layout.LEVERAGE] = leverage
    is_bound = exposure.size > 0.0 and leverage < before
    if is_bound and find_free(seat, desk.standing, isolated=seat.is_isolated(row)) < 0.0:
        seat.positions[row, layout.LEVERAGE] = before
        raise leverage_too_small()
    desk.tell.account(seat, "LEVERAGE", (row,))


def set_margin_type(desk: LinearDesk, seat: Seat, code: str, *, isolated: bool) -> None:
    """Change the margin of a market from cross to isolated or back.

    Raises:
        ApiError: it is so already, or there are open orders or a position.
    """
    row = desk.rows[desk.market(code).code]
    if seat.is_isolated(row) == isolated:
        raise same_margin_type()
    if seat.history(code).open or seat.algos.waiting(code):
        raise margin_type_with_orders()
    if seat.held(row):
        raise margin_type_with_position()
    seat.positions[row, layout.IS_ISOLATED] = float(isolated)
    desk.tell.account(seat, "MARGIN_TYPE_CHANGE", (row,))


def move_margin(desk: LinearDesk, seat: Seat, code: str, amount: float) -> None:
    """Move margin into (> 0) or out of (< 0) an isolated position, all of it or nothing.

    Raises:
        ApiError: there is no isolated position, or not so much to move.
    """
    row = desk.rows[desk.market(code).code]
    if not seat.is_isolated(row):
        raise margin_of_cross()
    if not seat.held(row):
        raise margin_of_nothing()
    if amount > find_transferable(desk, seat) + _NEARLY:
        raise cross_too_small()
    wallet, held = seat.wallet.copy(), seat.positions.copy()
    moved = positions.add_margin(wallet, held, row, amount, desk.marks, desk.tables)
    if abs(moved - amount) > _NEARLY:
        raise cross_too_small() if amount > 0.0 else isolated_too_small()
    seat.wallet[:], seat.positions[:] = wallet, held
    desk.tell.account(seat, "MARGIN_TRANSFER", (row,))


def find_transferable(desk: LinearDesk, seat: Seat) -> float:
    """Return what may leave the cross account while its open orders keep their margin."""
    bound = find_bound(seat, desk.codes, desk.marks)
    return max(find_movable(seat, desk.standing) - bound, 0.0)


def pay(desk: LinearDesk, seat: Seat, units: int, now_ms: int) -> None:
    """Let money come into (> 0) or leave (< 0) a futures wallet, 1e-8 units of its asset.

    Raises:
        ApiError: so much cannot leave.
    """
    amount = units / ONE
    if -amount > find_transferable(desk, seat) + _NEARLY:
        raise ApiError(-5013, "Asset transfer failed: insufficient balance")
    moved = positions.transfer(seat.wallet, seat.positions, amount, desk.marks, desk.tables)
    desk.house.paid_in += moved
    desk.tell.income(seat, "TRANSFER", moved, now_ms)
    desk.tell.account(seat, "DEPOSIT" if units > 0 else "WITHDRAW")


def transfer(desk: LinearDesk, seat: Seat, units: int, now_ms: int) -> None:
    """Move money from the account's spot wallet (> 0) to its futures wallet, or back (< 0).

    Raises:
        ApiError: so much is not free.
    """
    balance = seat.owner.balance(desk.asset)
    if units > balance.free:
        raise ApiError(-5013, "Asset transfer failed: insufficient balance")
    pay(desk, seat, units, now_ms)
    balance.free -= units
    seat.owner.update_ms = now_ms
