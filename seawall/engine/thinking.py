"""What an agent's thinking has cost, taken off the account after the run.

A bill is owed from the moment of its decision on. It lies beside the venues: no venue's cash pays
it, so it forces no sale and moves no margin, and it is off the equity all the same.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from seawall.engine.accounts import AccountCurve
from seawall.market.series import FloatArray, TimeArray
from seawall.strategy import Bill

PART = "thinking"  # of the change of the equity


def find_owed(bills: Sequence[Bill], time_ms: TimeArray) -> FloatArray:
    """Return what is owed at each sample, quote units, float64, shape of ``time_ms``.

    The first sample is the start: nothing has been thought yet, though a decision may have its
    time.
    """
    taken = np.array([bill.time_ms for bill in bills], dtype=np.int64)
    owed = np.concatenate([[0.0], np.cumsum([bill.cost for bill in bills])])
    found: FloatArray = owed[np.searchsorted(taken, time_ms, "right")]
    found[0] = 0.0
    return found


def find_total(bills: Sequence[Bill]) -> float:
    """Return what is owed in the end, quote units."""
    return float(np.cumsum([bill.cost for bill in bills])[-1]) if bills else 0.0


def charge_curve(curve: AccountCurve, bills: Sequence[Bill]) -> AccountCurve:
    """Return an account over time without what is owed; the same one where nothing is."""
    if not bills:
        return curve
    equity = curve.equity - find_owed(bills, curve.time_ms)
    with np.errstate(invalid="ignore", divide="ignore"):
        exposure = np.where(equity > 0, curve.exposure * curve.equity / equity, np.nan)
    return replace(curve, equity=equity, exposure=exposure)
