"""How accounts live on the mark: funding at its stamps, liquidation on the way of the mark.

At each print the mark goes on a straight line from where it stood to where it stands, and jumps at
the open of a bar. The kernels find where on that line an account is liquidated, so that it happens
at the liquidation price and not at the next print. Open orders go first.
"""

import numpy as np

from seawall.market.series import FloatArray
from seawall.sandbox.decimals import ONE, from_float, multiply_down
from seawall.sandbox.linear_desk import LinearDesk
from seawall.sandbox.linear_triggers import drop
from seawall.sandbox.market import Market
from seawall.sandbox.orders import Order, Trade
from seawall.sandbox.seat import Seat
from seawall.sandbox.tape import Print
from seawall.venues.perpetual import layout, liquidation, positions

_MARGIN_OF_BAR = 1e-9  # by which a bar is taken to be wider than it is


def live(desk: LinearDesk, market: Market, one: Print) -> None:
    """Settle what funding is due at a print, and let its mark do what it does."""
    row, mark = desk.rows[market.code], market.mark_price / ONE
    desk.load_brackets(row, one.time_ms)
    before = desk.marks.copy()
    targets = before.copy()
    targets[row] = mark
    is_gap = one.number % market.liquidity.n_prints == 0
    desk.marks[row] = mark
    _settle(desk, row, one.time_ms)
    for seat in list(desk.seats.values()):
        if seat.positions[row, layout.QUANTITY]:
            _walk(desk, seat, targets if is_gap else before, targets, one.time_ms)
    desk.marks[:] = targets


def is_safe_in(desk: LinearDesk, row: int, marks: tuple[float, float], end_ms: int) -> bool:
    """Return whether a bar changes nothing for the positions of a market.

    ``marks``: the bar's lowest and highest. An account that has something in another market too may
    be liquidated by both together: the bar is then looked at.
    """
    if desk.contracts[row].n_settled(end_ms) > desk.n_settled[row]:
        return not _holders(desk, row)
    lows, highs = desk.marks.copy(), desk.marks.copy()
    lows[row] = min(marks[0], lows[row]) * (1.0 - _MARGIN_OF_BAR)
    highs[row] = max(marks[1], highs[row]) * (1.0 + _MARGIN_OF_BAR)
    for seat in _holders(desk, row):
        others = [code for at, code in enumerate(desk.codes) if at != row]
        is_alone = np.count_nonzero(seat.positions[:, layout.QUANTITY]) == 1
        is_busy = any(seat.history(code).open or seat.algos.waiting(code) for code in others)
        if not is_alone or is_busy or end_ms >= desk.brackets_end_ms[row]:
            return False
        if not liquidation.is_safe(seat.wallet, seat.positions, lows, highs, desk.tables):
            return False
    return True


def _holders(desk: LinearDesk, row: int) -> list[Seat]:
    return [seat for seat in desk.seats.values() if seat.positions[row, layout.QUANTITY]]


def _settle(desk: LinearDesk, row: int, time_ms: int) -> None:
    """Settle the stamps up to a time on the positions that are held, at the mark."""
    contract, code = desk.contracts[row], desk.codes[row]
    n = contract.n_settled(time_ms)
    for stamp in range(desk.n_settled[row], n):
        rate = float(contract.rates[stamp])
        for seat in _holders(desk, row):
            amount = positions.settle_funding(
                seat.wallet, seat.positions, row, float(desk.marks[row]), rate
            )
            if amount:
                desk.house.funding -= amount
                desk.tell.income(seat, "FUNDING_FEE", amount, time_ms, code=code)
                rows = (row,) if seat.is_isolated(row) else ()
                desk.tell.account(seat, "FUNDING_FEE", rows)
    desk.n_settled[row] = n


def _walk(
    desk: LinearDesk, seat: Seat, start: FloatArray, targets: FloatArray, time_ms: int
) -> None:
    """Let the marks go from ``start`` to ``targets``, liquidating on the way."""
    lows, highs = np.minimum(start, targets), np.maximum(start, targets)
    if liquidation.is_safe(seat.wallet, seat.positions, lows, highs, desk.tables):
        return
    now = start.copy()
    while True:
        fraction, who = liquidation.find_breach(
            seat.wallet, seat.positions, now, targets, desk.tables
        )
        if who == layout.NOBODY:
            break
        now += fraction * (targets - now)
        desk.marks[:] = now
        _liquidate(desk, seat, who, time_ms)
    desk.marks[:] = targets


def _liquidate(desk: LinearDesk, seat: Seat, who: int, time_ms: int) -> None:
    """Liquidate an isolated row or the cross account at the marks as they are."""
    rows = [who]
    if who == layout.CROSS:
        rows = np.flatnonzero(seat.positions[:, layout.IS_ISOLATED] == 0.0).tolist()
    for row in rows:
        code = desk.codes[row]
        for order in list(seat.history(code).open.values()):
            desk.cancel(seat, order, time_ms)
        for algo in seat.algos.waiting(code):
            drop(desk, seat, algo, time_ms)
    events = np.zeros(((desk.tables.shape[1] + 1) * len(desk.codes), layout.N_EVENT))
    n_events = liquidation.liquidate(
        seat.wallet, seat.positions, who, desk.marks, desk.tables, desk.terms, events, 0
    )
    for event in events[:n_events]:
        _book_step(desk, seat, event, time_ms)


def _book_step(desk: LinearDesk, seat: Seat, event: FloatArray, time_ms: int) -> None:
    """Enter one step of a liquidation: an order of the exchange's own that is filled at once."""
    row, code = int(event[layout.SYMBOL]), desk.codes[int(event[layout.SYMBOL])]
    closed, mark = float(event[layout.CLOSED]), float(event[layout.PRICE])
    fee, insured = float(event[layout.FEE]), float(event[layout.INSURANCE])
    desk.house.give(row, closed, mark)
    desk.house.insurance += fee - insured
    order = Order(
        account=seat.name,
        code=code,
        order_id=0,
        client_id=f"autoclose-{time_ms}{desk.n_orders[code] + 1}",
        side="BUY" if closed > 0.0 else "SELL",
        type="LIMIT",
        time_in_force="IOC",
        quantity=from_float(abs(closed)),
        price=from_float(mark),
        time_ms=time_ms,
        original_type="LIQUIDATION",
    )
    desk.enter(seat, order)
    desk.n_trades[code] += 1
    trade = Trade(
        code=code,
        trade_id=desk.n_trades[code],
        order_id=order.order_id,
        price=order.price,
        quantity=order.quantity,
        quote=multiply_down(order.price, order.quantity),
        fee=from_float(fee),
        fee_asset=desk.asset,
        time_ms=time_ms,
        is_buyer=order.is_buy,
        is_maker=False,
        realised=from_float(float(event[layout.PNL])),
    )
    desk.book(seat, order, trade)
    for kind, amount in (
        ("REALIZED_PNL", float(event[layout.PNL])),
        ("INSURANCE_CLEAR", -fee),
        ("INSURANCE_CLEAR", insured),
    ):
        desk.tell.income(seat, kind, amount, time_ms, code=code, trade_id=trade.trade_id)
    desk.tell.account(seat, "ORDER", (row,))
    desk.tell.order(seat, order, "CALCULATED", trade)
    desk.forced.append((seat.name, order))
