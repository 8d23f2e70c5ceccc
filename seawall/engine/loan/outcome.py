"""From what a loan's broker lived through to tables: health, liquidations, transactions, parts."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from seawall.engine.accounts import AccountCurve, trace_account
from seawall.engine.loan.broker import LoanBroker
from seawall.engine.loan.sent import Landed
from seawall.engine.world import World
from seawall.loan_action import describe_loan_action
from seawall.market.series import FloatArray
from seawall.venues.lending import layout

_COLUMNS = {
    "health": layout.SHOWN_HEALTH,
    "min_health": layout.SHOWN_MIN_HEALTH,
    "untouched_health": layout.SHOWN_UNTOUCHED,
    "collateral_usd": layout.SHOWN_COLLATERAL_USD,
    "debt_usd": layout.SHOWN_DEBT_USD,
    "wallet_usd": layout.SHOWN_WALLET_USD,
    "equity": layout.SHOWN_EQUITY,
    "gas_gwei": layout.SHOWN_GAS,
    "oracle_low": layout.SHOWN_LOW,
}
_BLOCKS = {
    "collateral": layout.T_COLLATERAL,
    "debt": layout.T_DEBT,
    "wallet": layout.T_WALLET,
    "supply_rate": layout.T_SUPPLY_RATE,
    "borrow_rate": layout.T_BORROW_RATE,
}
LIQUIDATION_COLUMNS = (
    "time", "collateral_asset", "debt_asset", "repaid", "seized", "repaid_usd", "seized_usd",
    "bonus_usd", "protocol_fee_usd", "bad_debt_usd", "health_before", "health_after", "price",
    "liquidator_gas_usd",
)  # fmt: skip
TRANSACTION_COLUMNS = (
    "time", "sent_ms", "status", "what", "reason", "gas_units", "gas_gwei", "gas_usd",
    "swap_fee_usd", "impact_usd", "service_fee_usd", "premium_usd", "swapped_usd", "health_seen",
    "health_before", "health_after", "error",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class LoanPlayed:
    """What one pass left of a loan.

    Attributes:
        frame: a row per bar, row 0 is the start; columns as in ``Result.loan``.
        liquidations, transactions: a row each.
        parts: of the change of the equity, USD; they add up to it.
        costs: fees, impact and notional swapped, USD.
    """

    frame: pd.DataFrame
    liquidations: pd.DataFrame
    transactions: pd.DataFrame
    parts: dict[str, float]
    fees: float
    impact: float
    swapped: float


def trace_loan(world: World, broker: LoanBroker) -> AccountCurve:
    """Return the account over time: equity and wallet in USD, and how much of it is at risk."""
    market = trace_account(world, (), cash=1.0, held={}, at_open=False)
    trace, names = broker.trace, broker.world.names
    debt_place = names.index(broker.world.loan.debt)
    n = len(names)
    prices = _block(trace, layout.T_PRICE, n)
    held = _block(trace, layout.T_COLLATERAL, n) + _block(trace, layout.T_WALLET, n)
    net = held - _block(trace, layout.T_DEBT, n)
    worth = net * prices
    at_risk = np.abs(worth[:, [k for k in range(n) if k != debt_place]]).sum(axis=1)
    equity = trace[:, layout.SHOWN_EQUITY]
    with np.errstate(invalid="ignore", divide="ignore"):
        exposure = np.where(equity > 0, at_risk / equity, np.nan)
    return AccountCurve(
        time_ms=market.time_ms,
        equity=equity.copy(),
        cash=trace[:, layout.SHOWN_WALLET_USD].copy(),
        exposure=exposure,
        prices=market.prices,
    )


def collect_loan(broker: LoanBroker) -> LoanPlayed:
    """Return the tables of a finished pass."""
    landed = broker.landed
    parts = dict(zip(layout.PARTS, broker.parts.tolist(), strict=True))
    spent = ("gas", "swap_fees", "service_fees", "flash_premiums")
    return LoanPlayed(
        frame=_frame(broker),
        liquidations=_liquidations(broker),
        transactions=_transactions(landed),
        parts=parts,
        fees=sum(0.0 - parts[name] for name in spent),
        impact=0.0 - parts["impact"],
        swapped=sum(one.receipt.costs.swapped for one in landed),
    )


def _block(trace: FloatArray, place: int, n: int) -> FloatArray:
    start = layout.N_TRACE + place * n
    return trace[:, start : start + n]


def _frame(broker: LoanBroker) -> pd.DataFrame:
    world, trace, n = broker.world, broker.trace, len(broker.world.names)
    times = np.concatenate([world.open_ms[:1], world.close_ms])
    index = pd.Index(pd.to_datetime(times, unit="ms", utc=True), name="time")
    main = world.names.index(world.loan.collateral)
    columns = {name: trace[:, place] for name, place in _COLUMNS.items()}
    columns["oracle_price"] = _block(trace, layout.T_ORACLE, n)[:, main]
    columns["market_price"] = _block(trace, layout.T_PRICE, n)[:, main]
    columns["liquidation_price"] = _liquidation_price(broker, main)
    for name, place in _BLOCKS.items():
        for k, asset in enumerate(world.names):
            columns[f"{name}_{asset}"] = _block(trace, place, n)[:, k]
    return pd.DataFrame(columns, index=index)


def _liquidation_price(broker: LoanBroker, main: int) -> FloatArray:
    """Return the oracle price of the collateral at which health is 1, at each close."""
    trace, n = broker.trace, len(broker.world.names)
    prices = _block(trace, layout.T_ORACLE, n)[:, main]
    held = _block(trace, layout.T_COLLATERAL, n)[:, main] * prices
    limit, debt = trace[:, layout.SHOWN_LIMIT_USD], trace[:, layout.SHOWN_DEBT_USD]
    worth = trace[:, layout.SHOWN_COLLATERAL_USD]
    with np.errstate(invalid="ignore", divide="ignore"):
        threshold = np.where(worth > 0, limit / worth, np.nan)
        slope = held * threshold
        found = prices * (slope + debt - limit) / slope
    return np.where((debt > 0) & (found > 0), found, np.nan)


def _liquidations(broker: LoanBroker) -> pd.DataFrame:
    names = broker.world.names
    rows = [
        (
            broker.time_of(int(event[layout.AT_BAR])),
            names[int(event[layout.COLLATERAL_ASSET])],
            names[int(event[layout.DEBT_ASSET])],
            *event[layout.REPAID :].tolist(),
        )
        for event in broker.events
    ]
    return _timed(pd.DataFrame(rows, columns=list(LIQUIDATION_COLUMNS)))


def _transactions(landed: list[Landed]) -> pd.DataFrame:
    rows = []
    for one in landed:
        costs = one.receipt.costs
        rows.append(
            (
                one.time_ms, one.sent.sent_ms, "failed" if one.receipt.error else "done",
                describe_loan_action(one.sent.action), one.sent.reason, costs.gas_units,
                one.gas_gwei, costs.gas, costs.swap_fee, costs.impact, costs.service_fee,
                costs.premium, costs.swapped, one.sent.health, one.health_before,
                one.health_after, one.receipt.error,
            )
        )  # fmt: skip
    return _timed(pd.DataFrame(rows, columns=list(TRANSACTION_COLUMNS)))


def _timed(frame: pd.DataFrame) -> pd.DataFrame:
    frame["time"] = pd.to_datetime(frame["time"].astype("int64"), unit="ms", utc=True)
    return frame
