"""From what a loan and an exchange in one account lived through to one curve and all tables.

Equity is USD; what the exchange quotes counts as such. At each bar it is the sum of spot, perpetual
and loan, and of what is on the way between them.
"""

from dataclasses import replace

import numpy as np

from seawall.engine.accounts import AccountCurve
from seawall.engine.combined import CombinedBroker
from seawall.engine.loan.outcome import LoanPlayed, collect_loan, trace_loan
from seawall.engine.perpetual.outcome import (
    PARTS,
    PerpetualPlayed,
    collect_perpetual,
    find_amounts,
)
from seawall.engine.world import World
from seawall.errors import SeawallError
from seawall.market.series import FloatArray
from seawall.venues.lending import layout

HEDGE = "hedge_"
TRANSFERS = "transfers"  # of the whole account: it is no part of one venue


def collect_combined(
    world: World, broker: CombinedBroker
) -> tuple[AccountCurve, LoanPlayed, PerpetualPlayed]:
    """Return the whole account over time, and the tables of both venues.

    The parts of the perpetual are those of the exchange, named ``hedge_...``; with the loan's and
    ``transfers`` they add up to the change of the whole equity. ``hedge_market`` is what no other
    part explains: profit and loss on the exchange, and what the debt token's price made of money
    on the way. Both venues' books are checked when a run ends, so nothing can hide in it.

    Raises:
        SeawallError: the account has no perpetuals.
    """
    if world.perpetual is None or broker.futures is None:
        raise SeawallError("a combined account needs perpetuals, has none: add one")
    exchange, played = collect_perpetual(world, broker.exchange, world.perpetual, broker.futures)
    loan, own = trace_loan(world, broker.loan), collect_loan(broker.loan)
    on_chain = _trace_chain(broker, exchange)
    curve = _add(exchange, loan, on_chain)
    frame = played.frame.assign(
        equity_loan=loan.equity, on_the_way=played.frame["on_the_way"].to_numpy() + on_chain
    )
    change = float(curve.equity[-1] - curve.equity[0])
    parts = _to_hedge_parts(played.parts, change - sum(own.parts.values()))
    return curve, own, replace(played, frame=frame, parts=parts)


def _trace_chain(broker: CombinedBroker, curve: AccountCurve) -> FloatArray:
    """Return what is on the way to or from the chain at each sample, USD."""
    loan = broker.loan
    column = layout.N_TRACE + layout.T_PRICE * len(loan.world.names)
    prices = loan.trace[:, column + loan.world.names.index(loan.world.loan.debt)]
    return find_amounts(broker.requests.tokens, curve.time_ms) * prices


def _add(exchange: AccountCurve, loan: AccountCurve, on_chain: FloatArray) -> AccountCurve:
    """Return both accounts as one; exposures are gross values over equity."""
    equity = exchange.equity + loan.equity + on_chain
    gross = np.zeros(len(equity))
    for one in (exchange, loan):
        gross += np.where(one.equity > 0, np.nan_to_num(one.exposure) * one.equity, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        exposure = np.where(equity > 0, gross / equity, np.nan)
    return AccountCurve(
        time_ms=exchange.time_ms,
        equity=equity,
        cash=exchange.cash + loan.cash,
        exposure=exposure,
        prices=exchange.prices,
    )


def _to_hedge_parts(parts: dict[str, float], change: float) -> dict[str, float]:
    """Return the exchange's parts as an account with a loan names them; they make ``change``."""
    fixed = {name: parts[name] for name in PARTS if name not in ("market", TRANSFERS)}
    rest = change - sum(fixed.values()) - parts[TRANSFERS]
    named = {f"{HEDGE}{name}": value for name, value in fixed.items()}
    return {f"{HEDGE}market": rest, **named, TRANSFERS: parts[TRANSFERS]}
