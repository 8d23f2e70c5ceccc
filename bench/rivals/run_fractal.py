"""The job on fractal-defi: an Aave entity beside a spot exchange.

It knows no flash loan and does not follow tokens from one entity to the other, so the rule repays
and withdraws first and sells what it owes afterwards, in the same step.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from fractal.core.base import (  # type: ignore[import-not-found]
    Action,
    ActionToTake,
    BaseStrategy,
    BaseStrategyParams,
    NamedEntity,
    Observation,
)
from fractal.core.entities import AaveEntity, SimpleSpotExchange  # type: ignore[import-not-found]
from fractal.core.entities.protocols.aave import AaveGlobalState  # type: ignore[import-not-found]
from fractal.core.entities.simple.spot import (  # type: ignore[import-not-found]
    SimpleSpotExchangeGlobalState,
)

from bench.rivals.job import YEAR_S, Job, Outcome, serve


class Guard(BaseStrategy[BaseStrategyParams]):  # type: ignore[misc]
    """Takes the loan on the first bar, closes it below a health factor."""

    job: Job

    def set_up(self) -> None:
        """Register the pool and the exchange."""
        job = self.job
        self.is_taken, self.is_closed, self.acted_at = False, False, 0.0
        pool = AaveEntity(max_ltv=job.max_ltv, liq_thr=job.threshold, collateral_is_volatile=True)
        self.register_entity(NamedEntity("pool", pool))
        self.register_entity(NamedEntity("exchange", SimpleSpotExchange(job.swap_fee)))

    def predict(self) -> list[ActionToTake]:
        """Take the loan, close it, or do nothing."""
        pool = self.get_entity("pool")
        if not self.is_taken:
            self.is_taken = True
            return [
                _act("pool", "deposit", amount_in_notional=self.job.collateral),
                _act("pool", "borrow", amount_in_product=self.job.debt),
            ]
        health = pool.health_factor
        if not pool.internal_state.borrowed or health >= self.job.close_below:
            return []
        self.is_closed, self.acted_at = True, health
        return self._close(pool.internal_state.collateral, pool.internal_state.borrowed)

    def _close(self, collateral: float, debt: float) -> list[ActionToTake]:
        exchange = self.get_entity("exchange")
        sold = debt / exchange.current_price / (1 - exchange.trading_fee)
        return [
            _act("pool", "repay", amount_in_product=debt),
            _act("pool", "withdraw", amount_in_notional=collateral),
            _act("exchange", "inject_product", amount=collateral),
            _act("exchange", "sell", amount_in_product=sold),
            _act("exchange", "withdraw", amount_in_notional=lambda _: exchange.internal_state.cash),
        ]


def prepare(job: Job) -> Callable[[], Outcome]:
    """Return a run with its observations in memory."""
    share = job.bar_s / YEAR_S
    observations = [
        Observation(
            datetime.fromtimestamp(close_s, tz=UTC),
            {
                "pool": AaveGlobalState(
                    collateral_price=price,
                    debt_price=1.0,
                    lending_rate=job.supply_rate * share,
                    borrowing_rate=job.borrow_rate * share,
                ),
                "exchange": SimpleSpotExchangeGlobalState(
                    open=price, high=price, low=price, close=price
                ),
            },
        )
        for close_s, price in zip(job.close_s, job.price, strict=True)
    ]

    def run() -> Outcome:
        strategy = type("ThisGuard", (Guard,), {"job": job})()
        result = strategy.run(observations)
        last = result.internal_states[-1]["pool"]
        # A liquidation leaves no record: both sides are set to nothing.
        is_wiped = not strategy.is_closed and not last.borrowed
        equity = [sum(result.balances[bar].values()) for bar in (0, -1)]
        return Outcome(int(is_wiped), int(strategy.is_closed), strategy.acted_at, *equity)

    return run


def _act(entity: str, name: str, **given: object) -> ActionToTake:
    return ActionToTake(entity, Action(name, given))


if __name__ == "__main__":
    serve(prepare, "fractal-defi")
