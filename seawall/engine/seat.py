"""One strategy's part of a bar in the trimmed loop: what of backtrader's ``_oncepost`` is needed.

A hook is called where someone overrides it, in backtrader's order; where nobody does, the call
and what it would have been given are left out.
"""

# ruff: noqa: SLF001 - the hooks of backtrader's own loop are private names

from collections.abc import Callable
from typing import Any, NamedTuple

import backtrader as bt
from backtrader.lineseries import LineSeriesStub

from seawall.engine.feed import quicken
from seawall.engine.indicators import compute
from seawall.engine.timeline import Passed, Timeline

_IND, _OBS = bt.LineIterator.IndType, bt.LineIterator.ObsType
_OWN_STEP = ("_oncepost", "_getminperstatus", "_next_analyzers", "_next_observers", "clear",
             "forward", "advance")  # fmt: skip


class CashHook(NamedTuple):
    """A listener for cash and value, or for those and the account as a fund."""

    call: Callable[..., None]
    is_fund: bool


class Seat:
    """A strategy while the trimmed loop runs it.

    Attributes:
        strategy: who sits here.
        may_sleep: passing over a bar would go unnoticed; true only from the minimum period on.
    """

    def __init__(self, strategy: Any, cerebro: Any) -> None:
        self.strategy = strategy
        self.may_sleep = False
        self._broker = strategy.broker
        self._is_plain = not any(_overrides(strategy, bt.Strategy, name) for name in _OWN_STEP)
        self._tells_always = _overrides(strategy, bt.Strategy, "_notify") or cerebro.p.quicknotify
        self._is_steady = False

    def begin(self, timeline: Timeline) -> None:
        """Compute the indicators, rewind, and find out what each bar needs."""
        strategy = self.strategy
        self._timeline = timeline
        _compute_indicators(strategy)
        strategy.reset()
        analyzers = [*strategy.analyzers]
        listeners = [*analyzers, *strategy._slave_analyzers]
        self._cash_hooks = _find_cash_hooks(strategy, listeners)
        self._analyzers = [one for one in analyzers if _steps(one)]
        self._observers = strategy._lineiterators[_OBS]
        self._clocked, self._odd = _sort_indicators(strategy)
        self._lines_by_group: dict[int, tuple[Any, ...]] = {}
        line = strategy.lines[0]
        self._line, self._append = line, line.array.append
        self._is_plain &= strategy.lines.fullsize() == 1 and not line.bindings
        quiet = self._is_plain and not (self._tells_always or self._cash_hooks)
        self._may_be_quiet = quiet and not (analyzers or self._observers or self._odd)

    def play(self, stamp: float, group: int) -> None:
        """Run the strategy's part of one bar."""
        strategy = self.strategy
        if not self._is_plain:
            strategy._oncepost(stamp)
            return
        self._move(stamp, group)
        if self._tells_always or strategy._orderspending or strategy._tradespending:
            strategy._notify()
        elif self._cash_hooks:
            self._tell_cash()
        if self._is_steady:
            strategy.next()
            status = -1
        else:
            status = self._warm_up()
        if self._analyzers:
            self._step_analyzers(status)
        if self._observers:
            strategy._next_observers(status, once=True)
        if strategy._orderspending or strategy._tradespending:
            strategy.clear()

    def skip(self, passed: Passed) -> None:
        """Move on by the bars that were passed over."""
        stamps, moved = passed
        line = self._line
        line.array.frombytes(stamps.tobytes())
        line._idx += len(stamps)
        line.lencount += len(stamps)
        for feed, lines in self._clocked:
            for other in lines:
                other._idx += moved[id(feed)]
                other.lencount += moved[id(feed)]

    def _move(self, stamp: float, group: int) -> None:
        """Take indicators and the strategy's own line one bar on."""
        lines = self._lines_by_group.get(group)
        if lines is None:
            lines = self._find_lines(group)
        for line in lines:
            line._idx += 1
            line.lencount += 1
        if self._odd:
            self._advance_odd()
        line = self._line
        self._append(stamp)
        line._idx += 1
        line.lencount += 1

    def _find_lines(self, group: int) -> tuple[Any, ...]:
        delivering = {id(feed) for feed in self._timeline.find_feeds(group)}
        found = [line for feed, lines in self._clocked if id(feed) in delivering for line in lines]
        self._lines_by_group[group] = tuple(found)
        return self._lines_by_group[group]

    def _advance_odd(self) -> None:
        for indicator in self._odd:
            if len(indicator._clock) > len(indicator):
                indicator.advance()

    def _warm_up(self) -> int:
        """Call prenext, nextstart or next by the bars there are; return the status."""
        strategy = self.strategy
        status: int = strategy._getminperstatus()
        self.may_sleep = status <= 0 and self._may_be_quiet
        if status < 0:
            self._is_steady = True
            strategy.next()
        elif status == 0:
            strategy.nextstart()
        else:
            strategy.prenext()
        return status

    def _step_analyzers(self, status: int) -> None:
        for analyzer in self._analyzers:
            if status < 0:
                analyzer._next()
            elif status == 0:
                analyzer._nextstart()
            else:
                analyzer._prenext()

    def _tell_cash(self) -> None:
        broker = self._broker
        cash, value = broker.getcash(), broker.getvalue()
        fund = (broker.fundvalue, broker.fundshares)
        for call, is_fund in self._cash_hooks:
            if is_fund:
                call(cash, value, *fund)
            else:
                call(cash, value)


def _compute_indicators(strategy: Any) -> None:
    """Do what ``Strategy._once`` does: all indicators over all bars, then back to the start."""
    for member in (strategy, *strategy._lineiterators[_OBS]):
        quicken(member.lines)
    strategy.forward(size=strategy._clock.buflen())
    for indicator in strategy._lineiterators[_IND]:
        compute(indicator)
    for observer in strategy._lineiterators[_OBS]:
        observer.forward(size=strategy.buflen())
    for data in strategy.datas:
        data.home()
    for member in (*strategy._lineiterators[_IND], *strategy._lineiterators[_OBS], strategy):
        member.home()
    for line in strategy.lines:
        line.oncebinding()


def _sort_indicators(strategy: Any) -> tuple[list[tuple[Any, list[Any]]], list[Any]]:
    """Return the lines that tick with a feed, per feed, and the indicators to be asked each bar."""
    by_feed: dict[int, tuple[Any, list[Any]]] = {id(d): (d, []) for d in strategy.datas}
    clocks: dict[int, Any] = {}
    for data in strategy.datas:
        clocks.update({id(part): data for part in (data, *data.lines)})
    odd = []
    for indicator in strategy._lineiterators[_IND]:
        feed = _find_feed(indicator, clocks)
        if feed is None:
            odd.append(indicator)
            continue
        lines = list(indicator.lines)
        quicken(lines)
        clocks.update({id(part): feed for part in (indicator, *lines)})
        by_feed[id(feed)][1].extend(lines)
    return list(by_feed.values()), odd


def _find_feed(indicator: Any, clocks: dict[int, Any]) -> Any:
    """Return the feed with which an indicator moves, ``None`` if it must be asked."""
    moves = type(indicator).advance
    if moves not in (bt.Indicator.advance, bt.LineBuffer.advance) or len(indicator):
        return None
    clock = indicator._clock
    if type(clock) is LineSeriesStub:
        clock = clock.lines[0]
    return clocks.get(id(clock))


def _find_cash_hooks(strategy: Any, analyzers: list[Any]) -> list[CashHook]:
    """Return who listens to cash and value, in the order in which backtrader tells them."""
    hooks = []
    for name, is_fund in (("notify_cashvalue", False), ("notify_fund", True)):
        if _overrides(strategy, bt.Strategy, name):
            hooks.append(CashHook(getattr(strategy, name), is_fund))
    for analyzer in analyzers:
        for name, is_fund in (("notify_cashvalue", False), ("notify_fund", True)):
            if _listens(analyzer, name):
                hooks.append(CashHook(getattr(analyzer, f"_{name}"), is_fund))
    return hooks


def _listens(analyzer: Any, name: str) -> bool:
    """Return whether an analyzer or one inside it overrides a notification."""
    own = any(_overrides(analyzer, bt.Analyzer, each) for each in (name, f"_{name}"))
    return own or any(_listens(child, name) for child in analyzer._children)


def _steps(analyzer: Any) -> bool:
    """Return whether an analyzer does anything on a bar."""
    names = ("_next", "_prenext", "_nextstart", "next", "prenext", "nextstart")
    own = any(_overrides(analyzer, bt.Analyzer, name) for name in names)
    return own or any(_steps(child) for child in analyzer._children)


def _overrides(thing: Any, base: type, name: str) -> bool:
    """Return whether a class, or the object itself, has its own version of a base's method."""
    return getattr(type(thing), name) is not getattr(base, name) or name in vars(thing)
