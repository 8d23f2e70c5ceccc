"""``bt.Cerebro`` with a trimmed loop: the same calls in the same order, several times faster.

Any ``bt.Strategy`` runs unchanged. Nothing of backtrader's classes is replaced: a stock
``bt.Cerebro`` beside it in the same process behaves as ever.

One bar of the trimmed loop, in backtrader's order::

    feeds advance -> cheat timers -> next_open -> broker.next -> order notifications -> timers
    -> per strategy: its indicators advance, notify_*, prenext/nextstart/next, analyzers, observers

What is trimmed: the feeds are merged once (numpy) instead of being peeked at on every bar; lines
move by two integer additions; indicators are computed over whole arrays; hooks that nobody
overrides are not called. A run that cannot be trimmed goes to backtrader's own loop:
no preloading or ``runonce``, live or replayed feeds, writers, ``oldsync``, ``exactbars``,
feeds whose stamps do not strictly increase.
"""

# ruff: noqa: SLF001 - the hooks of backtrader's own loop are private names

from collections.abc import Callable
from typing import Any

import backtrader as bt
import numpy as np

from seawall.engine.seat import Seat
from seawall.engine.stock import StockBroker
from seawall.engine.timeline import Movers, Timeline

REPORT_STEPS = 4096


class Cerebro(bt.Cerebro):
    """``bt.Cerebro``, faster.

    ``stdstats`` (backtrader's default observers) is off: the three of them take more time than
    everything else together, exist for backtrader's own plotting, which is not used here, and
    change no trade. ``Cerebro(stdstats=True)`` or ``addobserver`` brings them back.

    The broker is ``StockBroker``; ``cerebro.broker = other`` replaces it.

    Attributes:
        since_ms: bars that close up to then are warm-up: every strategy is in ``prenext`` until the
            last of them, so that its first decision can fill at the first bar after; None: none.
        on_progress: called now and then with steps done and steps in all.
    """

    params = (("stdstats", False),)

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)  # none are left: backtrader's metaclass has taken them
        self.broker = StockBroker()
        self._sleeps_until = -np.inf
        self._is_asleep = False
        self._seats: list[Seat] = []
        self.since_ms: int | None = None
        self.on_progress: Callable[[int, int], None] | None = None

    def sleep(self, until: float) -> None:
        """Let the loop pass over all bars that close before ``until``, a date number.

        For a strategy that has nothing to do before then. Feeds and indicators move on, neither
        the broker nor the strategy is called; ``len(strategy)`` counts the bars. It is a wish: it
        is granted where it changes nothing else, that is with one strategy past its minimum
        period, no analyzers, observers, timers or cheat-on-open, no ``notify_cashvalue`` or
        ``notify_fund``, and a broker whose ``is_idle`` is true. Otherwise each bar comes as ever.
        Value the bars passed over from ``feed.close.array``, if needed.
        """
        self._sleeps_until = until

    @property
    def grants_sleep(self) -> bool:
        """Whether a wish to sleep would be granted now: nobody but the sleeper listens."""
        is_busy = self._timers or self._timerscheat or self.p.cheat_on_open
        is_idle = getattr(self._broker, "is_idle", False)
        return bool(len(self._seats) == 1 and self._seats[0].may_sleep and is_idle and not is_busy)

    def _runonce(self, runstrats: list[bt.Strategy]) -> None:
        timeline = None
        if not (self.p.oldsync or self.runwriters or self._exactbars):
            timeline = Timeline.of(self.datas)
        if timeline is None or not runstrats:
            super()._runonce(runstrats)
            return
        if self.since_ms is not None:
            _hold_back(runstrats, self.since_ms)
        seats = self._seats = [Seat(strategy, self) for strategy in runstrats]
        for seat in seats:
            seat.begin(timeline)
        self._sleeps_until, self._is_asleep = -np.inf, False
        broker = self._broker
        if isinstance(broker, StockBroker):
            broker.values_lazily = not (self.p.cheat_on_open or self._timerscheat)
        self._run_trimmed(timeline, seats)
        if isinstance(broker, StockBroker):
            broker.revalue()
            broker.values_lazily = False

    def _run_trimmed(self, timeline: Timeline, seats: list[Seat]) -> None:  # noqa: C901 - one bar, readable from top to bottom
        broker_next, take = self._broker.next, self._broker.get_notification
        has_opening = bool(self._timerscheat or self.p.cheat_on_open)
        report = self.on_progress
        for step, (stamp, group) in enumerate(zip(timeline.stamps, timeline.groups, strict=True)):
            if stamp < self._sleeps_until and self._pass_over():
                continue
            if report is not None and not step % REPORT_STEPS:
                report(step, len(timeline))
            if self._is_asleep:
                self._wake(timeline, step, seats)
            self._advance(timeline.movers[group])
            if has_opening and not self._open(stamp, seats):
                return
            broker_next()
            if (order := take()) is not None:
                self._tell(order)
            if self._event_stop:
                return
            if self._timers:
                self._check_timers(self.runningstrats, stamp, cheat=False)
            for seat in seats:
                seat.play(stamp, group)
                if self._event_stop:
                    return
        if self._is_asleep:
            self._wake(timeline, len(timeline), seats)

    def _advance(self, movers: Movers) -> None:
        for line in movers.lines:
            line._idx += 1
            line.lencount += 1
        for feed in movers.feeds:
            feed.advance()

    def _open(self, stamp: float, seats: list[Seat]) -> bool:
        """Run what comes before the broker; return whether to go on."""
        self._check_timers(self.runningstrats, stamp, cheat=True)
        if self.p.cheat_on_open:
            for seat in seats:
                seat.strategy._oncepost_open()
                if self._event_stop:
                    return False
        return True

    def _tell(self, order: bt.Order | None) -> None:
        """Hand an order, and all that wait behind it, to the strategies that own them."""
        while order is not None:
            owner = self.runningstrats[0] if order.owner is None else order.owner
            owner._addnotification(order, quicknotify=self.p.quicknotify)
            order = self._broker.get_notification()

    def _pass_over(self) -> bool:
        """Return whether a bar may pass unseen; where not, the wish to sleep is void."""
        if not self._is_asleep:
            self._is_asleep = self.grants_sleep
            if not self._is_asleep:
                self._sleeps_until = -np.inf
        return self._is_asleep

    def _wake(self, timeline: Timeline, step: int, seats: list[Seat]) -> None:
        passed = timeline.catch_up(len(seats[0].strategy), step)
        for seat in seats:
            seat.skip(passed)
        self._is_asleep = False


def _hold_back(strategies: list[bt.Strategy], since_ms: int) -> None:
    """Lengthen every strategy's minimum period by the warm-up bars of its feeds."""
    for strategy in strategies:
        for place, feed in enumerate(strategy.datas):
            shown_ms = getattr(feed, "shown_ms", None)
            if shown_ms is not None:
                n_before = int(np.searchsorted(shown_ms, since_ms, "right"))
                strategy._minperiods[place] = max(strategy._minperiods[place], n_before)
