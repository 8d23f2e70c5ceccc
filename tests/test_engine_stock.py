"""The stock broker: backtrader's rules, a value computed late, a record of all cash."""

from typing import Any

import backtrader as bt
import pytest
from engine_twins import (
    CANDLES,
    TRADES,
    Command,
    Crossing,
    Scripted,
    Setting,
    check_logs,
    make_candles,
    run,
    run_scripted,
)

from seawall.engine.cerebro import Cerebro
from seawall.engine.stock import Adjustment, Execution, StockBroker


@pytest.mark.parametrize(
    "commission",
    [
        {"commission": 0.001},
        {"commission": 2.0, "margin": 50.0, "mult": 5.0},
        {"commission": 0.0, "interest": 0.9, "interest_long": True},
    ],
    ids=["spot", "futures", "interest"],
)
def test_executions_and_adjustments_explain_the_cash(commission: dict[str, Any]) -> None:
    """Cash at the end is cash at the start and what was recorded in between."""
    heard: list[Execution] = []

    def prepare(cerebro: bt.Cerebro) -> None:
        cerebro.addstrategy(Scripted, commands=TRADES)
        cerebro.broker.setcommission(**commission)
        cerebro.broker.on_execution = heard.append

    long_ones = make_candles(14, 120, timeframe="4h")
    cerebro, _ = run(Cerebro, prepare, (long_ones,))
    broker: StockBroker = cerebro.broker
    moved = [each.cash_change for each in broker.executions]
    moved += [each.cash_change for each in broker.adjustments]
    assert broker.getcash() == pytest.approx(10_000 + sum(moved))
    assert heard == broker.executions
    assert len(heard) > 10
    assert bool(broker.adjustments) == (commission["commission"] != 0.001)
    assert all(isinstance(each, Adjustment) for each in broker.adjustments)


def test_cash_added_between_bars_buys_shares_at_that_bars_value() -> None:
    """Cash added while a position is open is priced by the bar on which it was added."""
    commands = (
        Command(bar=5, kind="buy", size=50.0),
        Command(bar=20, kind="add_cash", offset=0.3),
        Command(bar=60, kind="add_cash", offset=-0.1),
    )
    setting = Setting(tells_cash=False, looks_every=1000)
    ends = [run_scripted(kind, [CANDLES], commands, setting=setting)[0][-1]
            for kind in (bt.Cerebro, Cerebro)]  # fmt: skip
    assert ends[0] == ends[1]


def test_value_before_the_broker_is_the_last_bars() -> None:
    """With cheat-on-open the value asked for before the broker's turn is that of the last close."""

    class Early(Crossing):
        def next_open(self) -> None:
            if not self.position:
                self.buy(size=9)
            self.log.append((len(self), self.broker.getvalue(), self.broker.get_fundvalue()))

    check_logs(lambda cerebro: cerebro.addstrategy(Early), cheat_on_open=True)


def test_the_broker_says_when_it_is_idle() -> None:
    """Idle: nothing waits and nothing accrues; an order, interest or margin end that."""

    class Watching(bt.Strategy):
        def __init__(self) -> None:
            self.idle: list[bool] = []

        def next(self) -> None:
            assert isinstance(self.broker, StockBroker)
            self.idle.append(self.broker.is_idle)
            if len(self) == 3:
                self.buy(size=1)
                self.idle[-1] = self.broker.is_idle

    def prepare(cerebro: bt.Cerebro) -> None:
        cerebro.addstrategy(Watching)

    def prepare_futures(cerebro: bt.Cerebro) -> None:
        cerebro.addstrategy(Watching)
        cerebro.broker.setcommission(commission=1.0, margin=50.0, mult=2.0)

    assert run(Cerebro, prepare)[1][0].idle[:6] == [True, True, False, True, True, True]
    assert run(Cerebro, prepare_futures)[1][0].idle[:6] == [True, True, False, False, False, False]
