"""From what a session has recorded to the world it saw, and to a ``Result`` as of a backtest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan

import numpy as np

from seawall.engine.accounts import trace_account
from seawall.engine.feed import resample
from seawall.engine.outcome import Played, to_result
from seawall.engine.perpetual.outcome import LIQUIDATION_RULE
from seawall.engine.thinking import charge_curve
from seawall.engine.world import World
from seawall.fill import Fill
from seawall.journal import JournalEntry
from seawall.market.catalog import Catalog
from seawall.market.series import Candles, SeriesKey
from seawall.paper.candles import Candle
from seawall.paper.errors import JournalError
from seawall.paper.forced import is_forced
from seawall.paper.futures_opening import OPENED
from seawall.paper.futures_outcome import told_played
from seawall.paper.futures_record import has_told_account
from seawall.paper.order import TradeFill
from seawall.paper.plan import to_live, with_account
from seawall.paper.record import Record, SessionRow, Setup
from seawall.paper.shadow import FILL
from seawall.paper.shadow_record import play_record
from seawall.paper.shadow_rerun import run_again
from seawall.paper.shadow_world import Standing
from seawall.paper.signals import LABEL, recorded_signals
from seawall.recipe import Recipe
from seawall.result import Result
from seawall.strategy import Bill
from seawall.units import split_symbol
from seawall.venues.ledger import Entry, Ledger

SOURCE = "recorded by a paper session"
_NEVER_MS = 1 << 62
_TOLD = ("fault", "paused", "ending", "difference", "refused", "rejected", "cancel", "fee",
         "liquidated", "margin call")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SessionRun:
    """Sessions that belong together: one recipe, one venue, started again now and then.

    Attributes:
        numbers: of the sessions.
        recipe: on the live market, from where trading began to the last candle.
        setup: how the first one began.
        venue: its name.
        last: the last start.
    """

    numbers: tuple[int, ...]
    recipe: Recipe
    setup: Setup
    venue: str
    last: SessionRow


def find_run(record: Record, number: int | None = None) -> SessionRun:
    """Return the run that a session, the last by default, is the end of.

    Raises:
        JournalError: there is no such session, or it has not seen a bar yet.
    """
    rows = [row for row in record.sessions() if number is None or row.number <= number]
    if not rows or (number is not None and rows[-1].number != number):
        raise JournalError(f"the journal must have a session {number or ''}: it has none")
    last, chosen = rows[-1], []
    for row in reversed(rows):
        if (row.recipe.id, row.venue) != (last.recipe.id, last.venue):
            break
        chosen.append(row)
    while len(chosen) > 1 and _has_seen_nothing(record, chosen[-1]):
        chosen.pop()  # it was refused, or killed before its first bar
    first = chosen[-1]
    market = last.recipe.market
    opens = [
        candle.time_ms
        for symbol in market.symbols
        for candle in record.candles(symbol, market.timeframe, first.setup.since_ms)
    ]
    if not opens:
        raise JournalError("a session must have seen a bar that may trade, has none yet: wait")
    until_ms = max(opens) + market.timeframe_ms
    recipe = to_live(last.recipe, first.setup.exchange, first.setup.since_ms, until_ms)
    return SessionRun(
        numbers=tuple(row.number for row in reversed(chosen)),
        recipe=recipe, setup=first.setup, venue=first.venue, last=last,
    )  # fmt: skip


def _has_seen_nothing(record: Record, row: SessionRow) -> bool:
    """Return whether a start on an exchange's account was over before its first bar."""
    return row.setup.mode != "shadow" and not record.journal.values(row.number)


def recorded_world(record: Record, run: SessionRun, catalog: Catalog | None = None) -> World:
    """Return the world of a backtest, made of what the session saw."""
    market = run.recipe.market
    since_ms = market.since_ms - max(1, -(-market.warmup_ms // market.timeframe_ms) + 1) * (
        market.timeframe_ms
    )
    candles = {
        symbol: to_candles(
            SeriesKey("candles", market.venue, symbol, market.timeframe),
            record.candles(symbol, market.timeframe, since_ms),
        )
        for symbol in market.symbols
    }
    clock_ms = np.unique(np.concatenate([one.close_ms for one in candles.values()]))
    standing = Standing.from_dict(run.setup.world)
    venues = None
    if standing.is_needed:
        last_ms = int(clock_ms[-1])
        recipe = with_account(run.recipe, run.setup)
        venues = play_record(record, recipe, standing, catalog or Catalog(), last_ms)
    higher = [
        (symbol, resample(one, coarse))
        for symbol, one in candles.items()
        for coarse in market.higher_timeframes
    ]
    return World(
        candles=candles,
        higher=tuple((symbol, one) for symbol, one in higher if len(one)),
        signals=recorded_signals(record.journal, market.signals),
        filters=run.setup.grids(),
        since_ms=market.since_ms,
        until_ms=market.until_ms,
        clock_ms=clock_ms,
        loan=None if venues is None else venues.closed_loan(),
        perpetual=None if venues is None else venues.perpetual(),
    )


def to_candles(key: SeriesKey, rows: Sequence[Candle]) -> Candles:
    """Return candles as a series."""
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(Candle._fields))
    return Candles(
        key=key,
        time_ms=np.array([row.time_ms for row in rows], dtype=np.int64),
        open=table[:, 1],
        high=table[:, 2],
        low=table[:, 3],
        close=table[:, 4],
        volume=table[:, 5],
        source=SOURCE,
    )


def recorded_fills(record: Record, run: SessionRun) -> list[Fill]:
    """Return the fills of a run, in order: the venue's own rows in the shadow.

    Raises:
        JournalError: another version wrote them.
    """
    journal = record.journal
    if run.setup.mode == "shadow":
        rows = [row for _, row in sorted(journal.events(FILL), key=_number_of)]
        if any(len(row) != len(Fill._fields) for row in rows):
            raise JournalError("the fills are another version's: use the Seawall that wrote them")
        return [Fill(*row) for row in rows]
    frame_ms = run.recipe.market.timeframe_ms
    ours = set(run.recipe.market.symbols)
    since_ms = _find_counted(record, run)
    trades = [one for one in journal.fills(since_ms=since_ms) if one.symbol in ours]
    forced = {one.exchange_id for one in journal.orders() if is_forced(one)}
    fills = [_to_fill(one, frame_ms) for one in sorted(trades, key=lambda one: one.time_ms)]
    return [one._replace(rule=LIQUIDATION_RULE) if one.order_id in forced else one for one in fills]


def recorded_bills(record: Record, run: SessionRun) -> list[Bill]:
    """Return what the agent's thinking has cost, in order of time."""
    return [
        Bill(made.time_ms, made.decision.thinking.cost)
        for made in record.decisions(run.numbers)
        if made.decision.thinking is not None and made.decision.thinking.cost
    ]


def _find_counted(record: Record, run: SessionRun) -> int:
    """Return from when on fills and incomes count, ms: what a start opened, it began with."""
    starts = [row.started_ms for row in record.sessions() if row.number in run.numbers[:2]]
    opened = {
        one.exchange_id
        for one in record.journal.orders()
        if one.intent.reason == OPENED and starts[0] <= one.intent_ms < [*starts[1:], _NEVER_MS][0]
    }
    fills = record.journal.fills(since_ms=run.setup.since_ms)
    times = [fill.time_ms + 1 for fill in fills if fill.exchange_order_id in opened]
    return max([run.setup.since_ms, *times])


def session_result(record: Record, number: int | None = None) -> Result:
    """Return what a run has come to, as a backtest's result.

    Raises:
        JournalError: there is no such session, or it has seen no bar yet.
    """
    run = find_run(record, number)
    world = recorded_world(record, run)
    fills = recorded_fills(record, run)
    play = _play if run.setup.world else _spot
    played = play(record, run, world, fills)
    result = to_result(run.recipe, world, played, played)
    told = (LABEL,) if run.recipe.market.signals else ()
    return replace(result, labels=(f"paper: {run.venue}", *told, *result.labels))


def _spot(record: Record, run: SessionRun, world: World, fills: Sequence[Fill]) -> Played:
    """Return what a session on spot alone has left."""
    setup, bills = run.setup, recorded_bills(record, run)
    curve = trace_account(world, fills, cash=setup.cash, held=setup.holdings, at_open=False)
    return Played(
        curve=charge_curve(curve, bills),
        fills=fills,
        journal=recorded_entries(record, run, fills),
        ledger=_with_bills(_to_ledger(run, fills), bills, run),
        held=setup.holdings,
        n_decisions=len(record.decisions(run.numbers)),
        n_ambiguous=sum(fill.is_ambiguous for fill in fills),
        bills=bills,
    )


def _play(record: Record, run: SessionRun, world: World, fills: Sequence[Fill]) -> Played:
    """Return what a session with more venues than spot has left."""
    n_decisions = len(record.decisions(run.numbers))
    journal = recorded_entries(record, run, fills)
    if not has_told_account(run.setup):
        played = run_again(record, run.recipe, run.setup, world)  # it charges as a backtest does
        return replace(played, journal=journal, n_decisions=n_decisions)
    bills = recorded_bills(record, run)
    setup = replace(run.setup, since_ms=_find_counted(record, run))
    played = told_played(record, setup, world, fills, journal, n_decisions=n_decisions)
    return replace(
        played,
        curve=charge_curve(played.curve, bills),
        ledger=_with_bills(played.ledger, bills, run),
        bills=bills,
    )


def _with_bills(ledger: Ledger, bills: Sequence[Bill], run: SessionRun) -> Ledger:
    for bill in bills:
        owed = Entry("thinking", f"owed:{run.recipe.market.quote}", -bill.cost)
        ledger.post(bill.time_ms, [owed])
    return ledger


def recorded_entries(record: Record, run: SessionRun, fills: Sequence[Fill]) -> list[JournalEntry]:
    """Return what strategy and venue wrote, and what else happened, in order of time."""
    since_ms = run.setup.since_ms
    entries = [one for one in record.entries(run.numbers) if one.time_ms >= since_ms]
    if run.setup.mode != "shadow":
        entries += [_describe_fill(fill) for fill in fills]
    entries += [
        JournalEntry(note.time_ms, "note", "", "", f"{note.kind}: {note.text}", "")
        for note in record.journal.notes()
        if note.kind in _TOLD and note.time_ms >= since_ms
    ]
    return sorted(entries, key=lambda one: one.time_ms)


def _number_of(event: tuple[str, object]) -> int:
    return int(event[0].rpartition(" ")[2])


def _to_fill(trade: TradeFill, frame_ms: int) -> Fill:
    """Return a trade as a fill; a fee in coin makes the coin less and is a fee in quote units."""
    base, _ = split_symbol(trade.symbol)
    lost = trade.fee if trade.fee_asset == base else 0.0
    quantity = trade.signed - lost
    fee = lost * trade.price if lost else trade.fee
    return Fill(
        time_ms=trade.time_ms,
        bar_ms=trade.time_ms // frame_ms * frame_ms,
        order_id=trade.exchange_order_id,
        symbol=trade.symbol,
        quantity=quantity,
        price=trade.price,
        raw_price=trade.price,
        trigger_price=nan,
        slippage=0.0,
        fee=fee,
        liquidity="maker" if trade.is_maker else "taker",
        rule="the exchange",
        is_ambiguous=False,
    )


def _describe_fill(fill: Fill) -> JournalEntry:
    side = "bought" if fill.quantity > 0 else "sold"
    text = f"{side} {abs(fill.quantity):g} at {fill.price:g}, fee {fill.fee:g}"
    return JournalEntry(fill.time_ms, "filled", fill.symbol, fill.order_id, text, "")


def _to_ledger(run: SessionRun, fills: Sequence[Fill]) -> Ledger:
    ledger, quote = Ledger(), run.recipe.market.quote
    held: Mapping[str, float] = run.setup.holdings
    opening = [Entry("initial", quote, run.setup.cash)]
    opening += [Entry("initial", split_symbol(s)[0], amount) for s, amount in held.items()]
    ledger.post(run.setup.since_ms, opening)
    for fill in fills:
        base = split_symbol(fill.symbol)[0]
        entries = [
            Entry("trade", base, fill.quantity),
            Entry("trade", quote, -fill.quantity * fill.price),
            Entry("fee", quote, -fill.fee),
        ]
        ledger.post(fill.time_ms, entries)
    return ledger
