"""One paper session: the recipe's strategy and agent in Cerebro, on a market that goes on.

``run`` lets the warm-up pass, then one step for each stamp at which candles close; in between it
has its turn: kill switch, limits, orders, candles, in that order. Whatever is seen, decided and
filled is in the journal before the next step.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from seawall.agent import Agent, AgentInfo
from seawall.engine.components import find_strategy
from seawall.engine.run import find_guarded, find_taker_fee
from seawall.journal import Journal
from seawall.market.series import SeriesKey
from seawall.paper.asked import AskedAgent
from seawall.paper.candles import Candle, CandleGate, CandleSource
from seawall.paper.coarse import CoarseFeed
from seawall.paper.feed import LiveFeed
from seawall.paper.gauges import keep_gauges
from seawall.paper.growing import GrowingMarket
from seawall.paper.limits import Pulse
from seawall.paper.live import LiveCerebro
from seawall.paper.log import SessionLog
from seawall.paper.record import Closing, Record
from seawall.paper.signals import LiveSignals
from seawall.paper.supervisor import Supervisor
from seawall.recipe import Recipe
from seawall.strategy import Session
from seawall.units import to_time_text

Clock = Callable[[], int]
HEARTBEAT, SILENT = "heartbeat", "silent since"
LATE, MISSED = "late candle", "missed bar"  # kinds of events


class Desk(Protocol):
    """What stands between the strategy and the venue: the shadow's, or a sandbox's."""

    broker: Any

    @property
    def supervisor(self) -> Supervisor | None:
        """Who watches the session."""

    def turn(self) -> None:
        """Look after orders and limits, between two steps."""

    def begin_step(self, stamp_ms: int) -> None:
        """Do what comes before the strategy sees the candles of a stamp."""

    def end_step(self, stamp_ms: int) -> None:
        """Write down what the venue did."""

    def look_last(self) -> bool:
        """Look at the account when all is over; return whether that told of more than the steps."""

    def gauges(self) -> Mapping[str, float]:
        """Return how near the account is to a liquidation; see ``seawall.paper.gauges``."""


class PaperSession:
    """Runs one session.

    Args:
        recipe: on the live market (``plan.to_live``).
        desk: the broker and who watches it.
        agent: who decides, and what it has said before.
        record: where everything goes.
        sources: the candles of each symbol, in the order of the recipe.
        clock: the exchange's time.
        wait: called where nothing is due; it sleeps, or moves a stepped clock.
        signals: those of the recipe; ``None`` where it has none.
        first_prices: by symbol, at which coin was counted that is held at the start.
        done_ms: steps up to here were done, and written down, by an earlier start.
        only_newest: whether a bar is only seen where a later one has closed when it comes: nothing
            is asked or sent at a price that is past.
        log: of the session.

    Attributes:
        journal: the engine's own, of the strategy.
        is_done: asked at each turn; true ends the session as a stop does.
        on_turn: called at each turn in which nothing is due.
        on_bars: called with a stamp and its candles, those of marks included, before the broker.
    """

    def __init__(
        self,
        recipe: Recipe,
        desk: Desk,
        agent: AskedAgent,
        record: Record,
        *,
        gate: CandleGate,
        sources: list[CandleSource],
        clock: Clock,
        wait: Callable[[], object],
        journal: Journal,
        log: SessionLog,
        signals: LiveSignals | None = None,
        first_prices: Mapping[str, float] | None = None,
        done_ms: int = 0,
        only_newest: bool = False,
    ) -> None:
        self._recipe, self._desk, self._agent, self.record = recipe, desk, agent, record
        self._gate, self._sources, self._clock, self._wait = gate, sources, clock, wait
        self.journal, self._log, self._done_ms = journal, log, done_ms
        agent.interruption, agent.now = self._why_interrupt, clock
        self._signals, self._first_prices = signals, first_prices or {}
        self._only_newest, self._missed = only_newest, list[int]()
        self._coarse = [
            CoarseFeed(one.symbol, one.timeframe_ms, timeframe)
            for one in sources
            for timeframe in recipe.market.higher_timeframes
        ]
        self.is_done: Callable[[], bool] = lambda: False
        self.on_turn: Callable[[], object] = lambda: None
        self.on_bars: Callable[[int, Mapping[str, Candle]], object] = lambda _stamp, _candles: None
        self._market = GrowingMarket({one.symbol: self._key(one.symbol) for one in sources})
        self._n_entries = 0
        self._n_known = len(record.entries()) if done_ms else 0
        self._fault = ""
        self._beat_ms = 0

    # The run --------------------------------------------------------------------------------------

    def run(self) -> str:
        """Run until the session ends; return why it did."""
        cerebro = LiveCerebro(
            self._gate,
            turn=self._turn,
            on_late=self._on_late,
            on_candles=self._on_candles,
            on_step=self._on_step,
        )
        cerebro.broker = self._desk.broker
        for source in self._sources:
            feed = LiveFeed(source, self._gate, clock=self._clock, wait=self._wait)
            feed.first_price = self._first_prices.get(source.symbol)
            cerebro.adddata(feed, name=source.symbol)
        for coarse in self._coarse:
            cerebro.adddata(coarse, name=coarse.p.name)
        recipe = self._recipe
        given: dict[str, object] = dict(recipe.strategy.parameters)
        given["session"] = self._open()
        cerebro.addstrategy(find_strategy(recipe), **given)
        cerebro.run()
        self._tell_missed()
        self._close()
        supervisor = self._desk.supervisor
        return (supervisor.ending if supervisor is not None else "") or "stopped"

    def _close(self) -> None:
        """Write down what the account is worth where it has traded since the last step."""
        steps = self._market.clock_ms
        if not (steps and self.record.journal.fills(since_ms=steps[-1])):
            return
        if not self._desk.look_last():
            return
        broker, now_ms = self._desk.broker, self._clock()
        closing = Closing(now_ms, float(broker.getvalue()), float(broker.getcash()))
        self.record.keep_closing(closing)
        self._log.write("closing", now_ms, equity=closing.equity, cash=closing.cash)

    @property
    def n_steps(self) -> int:
        """How many steps there were, the warm-up included."""
        return len(self._market.clock_ms)

    def pulse(self) -> Pulse:
        """Return the signs of life; the skew is measured by the supervisor."""
        silent_ms = self._agent.silent_since_ms
        return Pulse(data_ms=self._gate.data_ms, agent_ms=silent_ms, skew_ms=None)

    def _why_interrupt(self, since_ms: int) -> str:
        supervisor = self._desk.supervisor
        return "" if supervisor is None else supervisor.find_interruption(since_ms)

    def equity(self) -> float:
        """Return what the account is worth, quote units; nan before the first step."""
        return float(self._desk.broker.getvalue()) if self._market.clock_ms else float("nan")

    def _open(self) -> Session:
        """Return what the strategy is given: as in a backtest, but growing."""
        recipe, market = self._recipe, self._market
        agent: Agent = self._agent
        info = AgentInfo(
            symbols=tuple(market.windows),
            timeframe_ms=recipe.market.timeframe_ms,
            decide_at="close",
            taker_fee_bps=find_taker_fee(recipe),
            rng=np.random.default_rng(recipe.seed),
        )
        return Session(
            agent=agent,
            info=info,
            windows=market.windows,
            signals={} if self._signals is None else self._signals.windows,
            clock_ms=market.clock_ms,
            n_closed=market.n_closed,
            since_ms=recipe.market.since_ms,
            journal=self.journal,
            embargo_ms=recipe.market.timeframe_ms,
            guarded=find_guarded(recipe),
        )

    def _key(self, symbol: str) -> SeriesKey:
        market = self._recipe.market
        return SeriesKey("candles", market.venue, symbol, market.timeframe)

    # Between two steps ----------------------------------------------------------------------------

    def _turn(self) -> bool:
        """Return whether the session goes on; look after everything once."""
        gate, desk = self._gate, self._desk
        if gate.next_stamp() is not None:
            return True  # of the warm-up, of the record, or just released
        desk.turn()
        supervisor = desk.supervisor
        if supervisor is not None:
            if self.is_done() and not supervisor.ending:
                supervisor.halt("the session was to end now", "stop")
                desk.turn()
            if supervisor.is_over:
                return False
        gate.poll(self._clock())
        self._tell_fault(gate.last_fault or getattr(self._clock, "fault", ""))
        self._beat()
        self.on_turn()
        if gate.next_stamp() is None:
            self._wait()
        return True

    def _tell_fault(self, fault: str) -> None:
        """Note where the exchange begins, and ends, to give no candles."""
        if fault == self._fault:
            return
        self._fault = fault
        text = fault or "candles come again"
        self.record.journal.note(self._clock(), "fault", text)

    def _beat(self) -> None:
        """Leave a sign of life now and then, for those who look from outside."""
        now_ms = self._clock()
        if now_ms >= self._beat_ms:
            self._beat_ms = now_ms + self._recipe.market.timeframe_ms // 10
            self.record.journal.remember(HEARTBEAT, now_ms)
            self.record.journal.remember(SILENT, self._agent.silent_since_ms or 0)

    # One step -------------------------------------------------------------------------------------

    def _on_late(self, candles: Mapping[str, Candle]) -> None:
        now_ms, names, step_ms = self._clock(), ", ".join(candles), self._market.clock_ms[-1]
        for symbol, candle in candles.items():
            self.record.keep_candles(symbol, self._recipe.market.timeframe, [candle], now_ms)
            self.record.journal.see(f"{LATE} {symbol} {candle.time_ms}", now_ms, LATE, step_ms)
        self._market.add_late(candles)
        self._fold(candles)
        text = f"a candle came after its step was over: {names}"
        self.record.journal.note(now_ms, "fault", text)

    def _on_candles(self, stamp_ms: int, candles: Mapping[str, Candle]) -> None:
        windows = self._market.windows
        self._market.step(stamp_ms, {name: one for name, one in candles.items() if name in windows})
        if stamp_ms > self._done_ms:
            self.record.keep_step(self._recipe.market.timeframe, candles, self._clock())
        self.on_bars(stamp_ms, candles)
        self._fold(candles)
        for coarse in self._coarse:
            if coarse.symbol in candles:
                coarse.show(stamp_ms)
        self._look_at_signals(stamp_ms)
        if self._only_newest:
            self._strategy().is_missed = is_behind = self._gate.is_behind(self._clock())
            if not is_behind:
                self._tell_missed()
        self._desk.begin_step(stamp_ms)

    def _fold(self, candles: Mapping[str, Candle]) -> None:
        for coarse in self._coarse:
            if coarse.symbol in candles:
                coarse.add(candles[coarse.symbol])

    def _strategy(self) -> Any:
        return self._desk.broker.cerebro.runningstrats[0]

    def _look_at_missed(self, stamp_ms: int) -> None:
        """Write down that the agent was due at a bar that was only seen."""
        strategy = self._strategy()
        if strategy.is_missed and strategy.is_overdue:
            self.record.journal.see(f"{MISSED} {stamp_ms}", self._clock(), MISSED, stamp_ms)
            self._missed.append(stamp_ms)

    def _tell_missed(self) -> None:
        """Note the bars that were missed, all of an outage together."""
        if not self._missed:
            return
        now_ms, n = self._clock(), len(self._missed)
        first, last = to_time_text(self._missed[0]), to_time_text(self._missed[-1])
        self._missed.clear()
        which = f"{n} bars, closed {first} to {last}" if n > 1 else f"the bar that closed at {last}"
        text = (
            f"nobody was asked about {which}: a later one had closed by then, and only the newest "
            "bar is decided at (an outage, a slow start, or an agent slower than its bars)"
        )
        self.record.journal.note(now_ms, "fault", text)
        self._log.write("fault", now_ms, text=text)

    def _look_at_signals(self, stamp_ms: int) -> None:
        fresh = {} if self._signals is None else self._signals.step(stamp_ms)
        for name, rows in fresh.items():
            if rows:
                last = rows[-1]
                self._log.write(
                    "signal", stamp_ms, name=name, values=len(rows), known_ms=last.known_ms,
                    value=last.value,
                )  # fmt: skip

    def _on_step(self, stamp_ms: int) -> None:
        """Write down what this step has brought, as far as it was not written before."""
        self._desk.end_step(stamp_ms)
        if self._only_newest:
            self._look_at_missed(stamp_ms)
        fresh = self.journal.entries[self._n_entries :]
        self._n_entries = len(self.journal.entries)
        known = min(self._n_known, len(fresh))
        self._n_known -= known
        self.record.keep_entries(fresh[known:])
        if stamp_ms < self._recipe.market.since_ms:
            return
        for entry in fresh[known:]:
            self._log.write(**entry._asdict())
        if stamp_ms > self._done_ms:
            self._value(stamp_ms)

    def _value(self, stamp_ms: int) -> None:
        broker = self._desk.broker
        equity, cash = float(broker.getvalue()), float(broker.getcash())
        held = {
            symbol: float(broker.getposition(data).size)
            for symbol, data in zip(self._market.windows, broker.cerebro.datas, strict=False)
        }
        self.record.journal.value(stamp_ms, equity=equity, cash=cash, holdings=held)
        keep_gauges(self.record.journal, self._desk.gauges())
        self._log.write("step", stamp_ms, equity=equity, cash=cash, holdings=held)
