"""The loop of a live session: Cerebro, one step for each stamp at which candles close.

A step is a backtest's::

    feeds advance -> broker.next -> order notifications -> the strategy: indicators, notify_*, next

Between steps the session has its turn (``Session.turn``): it asks for candles, looks after orders
and limits, and waits. backtrader's own loop of live feeds is not used: it goes by the wall's clock
and asks each feed by itself.

A candle that comes after its step is over (the gate did not wait for it any longer) makes no step
of its own: it is seen at the next one, and no order is filled in it. A mark that comes so is not
taken any more, nor one to which no candle belongs.

Left out: timers, cheat-on-open, writers, several strategies' analyzers.
"""

# ruff: noqa: SLF001 - the hooks of backtrader's own loop are private names

from collections.abc import Callable, Mapping
from typing import Any

import backtrader as bt

from seawall.engine.cerebro import Cerebro
from seawall.paper.candles import Candle, CandleGate


class LiveCerebro(Cerebro):
    """Cerebro over feeds that grow.

    Args:
        gate: releases the candles of all feeds.
        turn: called before each look at the gate; false ends the session.
        on_late: called with candles whose step is over.
        on_candles: called with a stamp and its candles, marks included, when the feeds have them,
            and nobody else.
        on_step: called with the stamp when the strategy is done with it.
    """

    def __init__(
        self,
        gate: CandleGate,
        *,
        turn: Callable[[], bool],
        on_late: Callable[[Mapping[str, Candle]], None],
        on_candles: Callable[[int, Mapping[str, Candle]], None],
        on_step: Callable[[int], None],
    ) -> None:
        super().__init__()
        self._gate, self._turn = gate, turn
        self._on_candles, self._on_step, self._on_late = on_candles, on_step, on_late
        self._last_ms = 0

    def _runnext(self, strategies: list[Any]) -> None:
        while self._turn():
            stamp = self._gate.next_stamp()
            if stamp is not None:
                self._play(stamp, strategies)

    def _play(self, stamp: int, strategies: list[Any]) -> None:
        candles = self._gate.due(stamp)
        shown = {}
        for feed in self.datas:
            if feed._name in candles:
                feed.next()
                shown[feed._name] = candles[feed._name]
        for name in candles.keys() - shown.keys():
            self._gate.take(name)  # of a mark, which has no feed
        if stamp <= self._last_ms or not shown:
            if shown:
                self._on_late(shown)
            return
        self._last_ms = stamp
        self._on_candles(stamp, candles)
        self._broker.next()
        order: bt.Order | None = self._broker.get_notification()
        self._tell(order)
        for strategy in strategies:
            strategy._next()
        self._on_step(stamp)
