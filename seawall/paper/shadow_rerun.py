"""A shadow session run once more from its record, for a report: nothing is asked, nothing written.

The same strategy, broker and desk pass over the recorded bars; the agent's answers, what was
refused, and what the kill switch did are those of the record. What is left is the account to the
bit, in the engine's own tables.
"""

from collections.abc import Callable, Mapping
from typing import Any

from seawall.engine.outcome import Played
from seawall.engine.run import collect
from seawall.engine.world import World
from seawall.journal import Journal
from seawall.market.catalog import Catalog
from seawall.observation import Observation
from seawall.paper.asked import AskedAgent
from seawall.paper.candles import Candle, CandleGate, CandleSource
from seawall.paper.limits import LimitKeeper, Limits
from seawall.paper.log import SessionLog
from seawall.paper.opening_shadow import make_broker
from seawall.paper.plan import with_account
from seawall.paper.record import Record, Setup
from seawall.paper.redaction import Redactor
from seawall.paper.session import LATE, PaperSession
from seawall.paper.shadow import ShadowDesk
from seawall.paper.shadow_broker import ShadowBroker
from seawall.paper.shadow_funding import mark_name, recorded_settled
from seawall.paper.shadow_record import settled_in
from seawall.paper.shadow_standing import preview
from seawall.paper.shadow_world import ShadowWorld, Standing
from seawall.paper.signals import LiveSignals
from seawall.recipe import Recipe

_END_MS = 1 << 62
_NO_LIMITS = Limits(
    max_daily_loss=None, max_drawdown=None, max_orders_per_minute=None, max_clock_skew_ms=None
)


def run_again(record: Record, recipe: Recipe, setup: Setup, world: World) -> Played:
    """Return what a session has left.

    Args:
        record: of the session.
        recipe: on the live market, from where trading began to the last candle.
        setup: how the first session began.
        world: what it saw.
    """
    live, standing = with_account(recipe, setup), Standing.from_dict(setup.world)
    journal, catalog = Journal(), Catalog()
    gate, sources = _make_gate(record, live, standing)
    last_ms = setup.since_ms - live.market.timeframe_ms
    known = {
        one.symbol: [candle for candle in gate.ready(one.symbol) if candle.time_ms <= last_ms]
        for one in sources
    }
    broker = make_broker(live, setup, journal, preview(live, standing, known, catalog))
    keeper = LimitKeeper(_NO_LIMITS, record.journal)
    desk = _RecalledDesk(broker, keeper, record.journal, lambda: 0, done_ms=_END_MS)
    decisions = record.decisions([one.number for one in record.sessions()])
    rerun = _Rerun(
        live, desk, AskedAgent(_Nobody(), record, known=decisions, away_ms=_END_MS), record,
        gate=gate, sources=sources, clock=lambda: 0, wait=lambda: None, journal=journal,
        log=SessionLog(None, Redactor()), signals=_make_signals(record, live, catalog),
        first_prices=setup.first_prices, done_ms=_END_MS,
    )  # fmt: skip
    grown = ShadowWorld(live, standing, catalog, broker)
    if world.loan is not None:
        grown.foresee(world.loan, _END_MS)
    rerun.on_bars = _follow(record, live, standing, grown)
    rerun.run()
    (strategy,) = broker.cerebro.runningstrats
    return collect(recipe, world, broker, strategy, journal)


def _make_gate(
    record: Record, recipe: Recipe, standing: Standing
) -> tuple[CandleGate, list[CandleSource]]:
    """Return a gate that has all that was recorded, and no more to come."""
    market = recipe.market
    calls: Any = None  # nothing is asked
    marks = () if standing.perpetual is None else map(mark_name, standing.perpetual.symbols)
    names = (*market.symbols, *marks)
    sources = [CandleSource(calls, name, market.timeframe) for name in names]
    gate = CandleGate(sources)
    late = [(*key.split()[-2:], after_ms) for key, after_ms in record.journal.events(LATE)]
    for source in sources:
        mine = {int(opened): after for name, opened, after in late if name == source.symbol}
        gate.put(source.symbol, record.candles(source.symbol, market.timeframe), mine)
    return gate, sources[: len(market.symbols)]


def _make_signals(record: Record, recipe: Recipe, catalog: Catalog) -> LiveSignals | None:
    market = recipe.market
    if not market.signals:
        return None
    return LiveSignals(
        market.signals, catalog, record.journal,
        since_ms=market.since_ms, on_fault=lambda _text: None,
    )  # fmt: skip


def _follow(
    record: Record, recipe: Recipe, standing: Standing, world: ShadowWorld
) -> Callable[[int, Mapping[str, Candle]], None]:
    """Return what lets the worlds of the venues grow with each step."""
    contracts = () if standing.perpetual is None else standing.perpetual.symbols
    funding = {symbol: recorded_settled(record.journal, symbol) for symbol in contracts}

    def step(stamp_ms: int, candles: Mapping[str, Candle]) -> None:
        world.step(stamp_ms, candles, settled_in(funding, recipe, world.before_ms, stamp_ms))

    return step


class _Nobody:
    """Who would be asked about bars that nobody was asked about, and is not."""

    def decide(self, _observation: Observation) -> None:
        """Answer nothing."""

    def state(self) -> bytes:
        """Keep nothing: it need not be shown what was recorded."""
        return b""

    def restore(self, state: bytes) -> None:
        """Take nothing back."""


class _RecalledDesk(ShadowDesk):
    """Refuses and ends as it did, and writes nothing."""

    def _keep_fills(self, exchange: ShadowBroker, stamp_ms: int) -> None:
        """They are in the record."""

    def _look_at_margin(self, stamp_ms: int) -> None:
        """What there was to note was noted."""


class _Rerun(PaperSession):
    """A session without a market that goes on."""

    def _turn(self) -> bool:
        return self._gate.next_stamp() is not None

    def _on_late(self, candles: Mapping[str, Candle]) -> None:
        self._market.add_late(candles)
        self._fold(candles)

    def _on_step(self, stamp_ms: int) -> None:
        self._desk.end_step(stamp_ms)

    def _look_at_signals(self, stamp_ms: int) -> None:
        if self._signals is not None:
            self._signals.step(stamp_ms)
