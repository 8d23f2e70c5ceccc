"""An account lives through bars without orders: funding and liquidation as one kernel.

``marks``: float64, shape (n_bars, n, 4), the marks' open, high, low, close. ``trace``: float64,
shape (n_bars, N_TRACE), a row per bar, at its close. Other arrays as in ``layout`` and
``liquidation``.

In the worst pass each mark goes from its open to the extreme against its position, all at once, and
then to its close; bars do not tell. In the best pass only opens and closes count.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seawall.kernel import kernel
from seawall.market.series import FloatArray
from seawall.venues.perpetual import liquidation, margin
from seawall.venues.perpetual import positions as book
from seawall.venues.perpetual.layout import AT_BAR, MARGIN, NOBODY, QUANTITY, WALLET

OPEN, HIGH, LOW, CLOSE = range(4)  # of marks

# trace
SHOWN_EQUITY = 0
SHOWN_WALLET = 1  # with the margins of isolated positions; equity less unrealised profit
SHOWN_RATIO = 2  # margin ratio, the highest of cross and isolated
SHOWN_MAINTENANCE = 3  # margin, of all positions
SHOWN_UNREALISED = 4
N_TRACE = 5


class Stamps(NamedTuple):
    """Funding stamps in the order of their bars, arrays of shape (n_stamps,).

    Attributes:
        bar: the bar that holds the stamp: open <= stamp < close.
        row: of the contract in ``positions``.
        rate: fraction of the notional, > 0 is paid by longs.
        mark: at the stamp, quote per base.
    """

    bar: NDArray[np.int64]
    row: NDArray[np.int64]
    rate: FloatArray
    mark: FloatArray


@kernel
def _go(
    account: FloatArray,
    positions: FloatArray,
    now: FloatArray,
    targets: FloatArray,
    tables: FloatArray,
    terms: FloatArray,
    events: FloatArray,
    n_events: int,
) -> int:
    """Let the marks go from ``now`` to ``targets``, liquidating on the way; ``now`` follows."""
    while True:
        fraction, who = liquidation.find_breach(account, positions, now, targets, tables)
        if who == NOBODY:
            break
        for i in range(len(now)):
            now[i] += fraction * (targets[i] - now[i])
        n_events = liquidation.liquidate(
            account, positions, who, now, tables, terms, events, n_events
        )
    now[:] = targets
    return n_events


@kernel
def live_bar(
    account: FloatArray,
    positions: FloatArray,
    tables: FloatArray,
    terms: FloatArray,
    marks: FloatArray,
    events: FloatArray,
    n_events: int,
    is_worst: bool,  # noqa: FBT001 - a kernel takes no keywords
) -> int:
    """Live through one bar after its funding, ``marks``: shape (n, 4); return ``n_events``."""
    if liquidation.is_safe(account, positions, marks[:, LOW], marks[:, HIGH], tables):
        return n_events
    now, targets = marks[:, OPEN].copy(), marks[:, CLOSE].copy()
    n_events = _go(account, positions, now, now.copy(), tables, terms, events, n_events)
    if not is_worst:
        now[:] = targets
        return _go(account, positions, now, targets, tables, terms, events, n_events)
    for i in range(len(positions)):
        if positions[i, QUANTITY] != 0.0:
            targets[i] = marks[i, LOW] if positions[i, QUANTITY] > 0.0 else marks[i, HIGH]
    n_events = _go(account, positions, now, targets, tables, terms, events, n_events)
    targets[:] = marks[:, CLOSE]
    return _go(account, positions, now, targets, tables, terms, events, n_events)


@kernel
def show(
    account: FloatArray,
    positions: FloatArray,
    marks: FloatArray,
    tables: FloatArray,
    shown: FloatArray,
) -> None:
    """Write one row of the trace: what the account is at ``marks``, shape (n,)."""
    wallet, unrealised, maintenance = float(account[WALLET]), 0.0, 0.0
    for i in range(len(positions)):
        wallet += positions[i, MARGIN]
        if positions[i, QUANTITY] != 0.0:
            notional = abs(float(positions[i, QUANTITY])) * marks[i]
            unrealised += margin.find_unrealised(positions, i, marks[i])
            maintenance += margin.find_maintenance(notional, tables[i])
    shown[SHOWN_EQUITY], shown[SHOWN_WALLET] = wallet + unrealised, wallet
    shown[SHOWN_MAINTENANCE], shown[SHOWN_UNREALISED] = maintenance, unrealised
    shown[SHOWN_RATIO] = margin.find_margin_ratio(account, positions, marks, tables)


@kernel
def live_through(
    account: FloatArray,
    positions: FloatArray,
    tables: FloatArray,
    terms: FloatArray,
    marks: FloatArray,
    stamps: Stamps,
    trace: FloatArray,
    events: FloatArray,
    start: int,
    stop: int,
    is_worst: bool,  # noqa: FBT001 - a kernel takes no keywords
) -> int:
    """Live through bars ``start`` to ``stop`` (not included); return the number of events.

    In each bar: the funding of its stamps, liquidation at the open, inside and at the close. It
    counts events from 0, also those for which ``events`` has no row.
    """
    n_events, k = 0, int(np.searchsorted(stamps.bar, start))
    for bar in range(start, stop):
        while k < len(stamps.bar) and stamps.bar[k] == bar:
            book.settle_funding(account, positions, stamps.row[k], stamps.mark[k], stamps.rate[k])
            k += 1
        before = n_events
        n_events = live_bar(
            account, positions, tables, terms, marks[bar], events, n_events, is_worst
        )
        for row in range(before, min(n_events, len(events))):
            events[row, AT_BAR] = bar
        show(account, positions, marks[bar, :, CLOSE], tables, trace[bar])
    return n_events
