"""The job on demeter: an Aave v3 market whose indices grow at the job's rates.

It repays with collateral at the market price and charges no swap fee for it.
"""

import csv
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from demeter import (  # type: ignore[import-not-found]
    Actuator,
    MarketInfo,
    MarketTypeEnum,
    Snapshot,
    Strategy,
    TokenInfo,
)
from demeter.aave import AaveV3Market  # type: ignore[import-not-found]

from bench.rivals.job import YEAR_S, Job, Outcome, serve

ETH = TokenInfo(name="weth", decimal=18)
USDC = TokenInfo(name="usdc", decimal=6)
POOL = MarketInfo("pool", MarketTypeEnum.aave_v3)
BPS = 10_000


class Guard(Strategy):  # type: ignore[misc]
    """Takes the loan at the start, closes it below a health factor."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job, self.n_closed, self.acted_at = job, 0, 0.0

    def initialize(self) -> None:
        """Supply and borrow; what is borrowed has paid for part of the collateral."""
        pool = self.broker.markets[POOL]
        pool.supply(ETH, self.job.collateral)
        pool.borrow(USDC, self.job.debt)
        self.broker.subtract_from_balance(USDC, Decimal(str(self.job.debt)))

    def on_bar(self, snapshot: Snapshot) -> None:
        """Close below the threshold."""
        del snapshot
        pool = self.broker.markets[POOL]
        if not pool.borrow_keys:
            return
        health = pool.health_factor
        if health < self.job.close_below:
            self.n_closed, self.acted_at = self.n_closed + 1, float(health)
            pool.repay(USDC, repay_with_collateral=True, repay_collateral_token=ETH)
            pool.withdraw(ETH)


def prepare(job: Job) -> Callable[[], Outcome]:
    """Return a run with its tables in memory, as decimals."""
    times = pd.to_datetime(np.array(job.close_s), unit="s")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "risk.csv"
        _write_risk(path, job)
        pool = AaveV3Market(POOL, str(path), [ETH, USDC])
    pool.set_token_data(ETH, _index_table(times, job.bar_s, supply_rate=job.supply_rate))
    pool.set_token_data(USDC, _index_table(times, job.bar_s, borrow_rate=job.borrow_rate))
    actuator = Actuator()
    actuator.broker.add_market(pool)
    actuator.broker.set_balance(ETH, job.collateral)
    actuator.broker.set_balance(USDC, 0)
    actuator.strategy = guard = Guard(job)
    actuator.set_price(pd.DataFrame({ETH.name: job.price, USDC.name: 1.0}, index=times))

    def run() -> Outcome:
        actuator.run(print_result=False)
        equity = [float(actuator.account_status[bar].net_value) for bar in (0, -1)]
        n = sum(type(action).__name__ == "LiquidationAction" for action in actuator.actions)
        return Outcome(n, guard.n_closed, guard.acted_at, *equity)

    return run


def _index_table(
    times: pd.DatetimeIndex, bar_s: int, *, supply_rate: float = 0.0, borrow_rate: float = 0.0
) -> pd.DataFrame:
    bars = np.arange(len(times))
    return pd.DataFrame(
        {
            "liquidity_rate": supply_rate,
            "stable_borrow_rate": 0.0,
            "variable_borrow_rate": borrow_rate,
            "liquidity_index": (1 + supply_rate * bar_s / YEAR_S) ** bars,
            "variable_borrow_index": (1 + borrow_rate * bar_s / YEAR_S) ** bars,
        },
        index=times,
    )


def _write_risk(path: Path, job: Job) -> None:
    """Write the table of risk parameters that the market reads, in the contracts' units."""
    of_both = {
        "usageAsCollateralEnabled": True,
        "baseLTVasCollateral": round(job.max_ltv * BPS),
        "reserveLiquidationThreshold": round(job.threshold * BPS),
        "reserveLiquidationBonus": round(job.bonus * BPS),
        "reserveFactor": 0,
        "borrowingEnabled": True,
        "optimalUsageRatio": 0,
        "variableRateSlope1": 0,
        "variableRateSlope2": 0,
        "baseVariableBorrowRate": 0,
        "supplyCap": 0,
        "borrowCap": 0,
        "borrowableInIsolation": False,
        "flashLoanEnabled": True,
    }
    rows = [
        {"symbol": ETH.name, "name": "Wrapped Ether", **of_both},
        {"symbol": USDC.name, "name": "USD Coin", **of_both},
    ]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    serve(prepare, "zelos-demeter")
