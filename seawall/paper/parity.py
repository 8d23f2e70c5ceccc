"""A session run again by the backtest engine: what differs, decision by decision, fill by fill.

The engine gets the candles that the session saw, the same recipe and a new agent. In the shadow
the same decisions and fills must come out: the venue is the same code. In a sandbox fills differ
by what a model of a market cannot know, and each difference is given its reason: the account the
agent saw, a refusal, a partial fill, the time the order took, the spread it met.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seawall.action import to_json
from seawall.agent import Agent, AgentInfo, Answer, Decision
from seawall.engine.components import make_agent
from seawall.engine.outcome import Played
from seawall.engine.run import play_once
from seawall.engine.thinking import find_total
from seawall.engine.world import World
from seawall.fill import Fill
from seawall.journal import JournalEntry
from seawall.observation import Observation
from seawall.paper.asked import read_as
from seawall.paper.circumstances import Circumstances
from seawall.paper.futures_parity import pair_funding
from seawall.paper.futures_record import has_told_account
from seawall.paper.order import OrderRecord
from seawall.paper.outcome import (
    SessionRun,
    find_run,
    recorded_bills,
    recorded_fills,
    recorded_world,
)
from seawall.paper.parity_events import EventPair, pair_events
from seawall.paper.plan import with_account
from seawall.paper.record import Record, Recorded, to_plain
from seawall.units import BPS, SECOND_MS

_SAME = 1e-9  # relative
_SLOW_MS = SECOND_MS
_FEE_SHARE = 0.005  # of a quantity: a fee that is taken in coin, never more


class DecisionPair(NamedTuple):
    """One moment at which the session's agent, the replay's, or both were asked.

    Attributes:
        time_ms: the close it was made at.
        recorded, replayed: what was answered; ``None`` where nobody was asked.
        why: why they differ; ``""`` where they do not.
    """

    time_ms: int
    recorded: Recorded | None
    replayed: Recorded | None
    why: str


class Filled(NamedTuple):
    """What one order came to.

    Attributes:
        time_ms: of its first fill; ``last_ms``: of its last.
        quantity: base units, signed. price: the average, quote units. fee: quote units.
    """

    symbol: str
    time_ms: int
    last_ms: int
    quantity: float
    price: float
    fee: float


class FillPair(NamedTuple):
    """What one decision was filled with, here and there, in one symbol.

    Attributes:
        bar_ms: the bar that followed the decision: its open.
        recorded, replayed: ``None`` where nothing was filled.
        why: why they differ; ``""`` where they do not.
    """

    bar_ms: int
    recorded: Filled | None
    replayed: Filled | None
    why: str


@dataclass(frozen=True, kw_only=True)
class Parity:
    """What a replay has found.

    Attributes:
        run: what was replayed.
        decisions, fills: all pairs, in order of time.
        events: funding, liquidations, transactions and transfers of a shadow; likewise.
        equity, replayed_equity: at the last close, quote units; a sandbox's that has ended, after
            all that its end has sold.
    """

    run: SessionRun
    decisions: Sequence[DecisionPair]
    fills: Sequence[FillPair]
    events: Sequence[EventPair] = ()
    equity: float
    replayed_equity: float

    @property
    def differences(self) -> list[DecisionPair | FillPair | EventPair]:
        """The pairs that differ."""
        pairs: list[DecisionPair | FillPair | EventPair]
        pairs = [*self.decisions, *self.fills, *self.events]
        return [pair for pair in pairs if pair.why]

    @property
    def agrees(self) -> bool:
        """Whether every decision is identical, every fill and event equal."""
        return not self.differences


def replay(record: Record, number: int | None = None, *, agent: Agent | None = None) -> Parity:
    """Return how a session compares with a backtest over what it saw.

    Args:
        record: of the session.
        number: of the session; the last by default.
        agent: a new one, in place of the recipe's.

    Raises:
        JournalError: there is no such session, or it has seen no bar yet.
    """
    run = find_run(record, number)
    noting = _NotingAgent(agent or make_agent(run.recipe))
    world = recorded_world(record, run)
    played = play_once(world, with_account(run.recipe, run.setup), noting)
    recorded = record.decisions(run.numbers)
    around = Circumstances(record, run)
    decisions = _pair_decisions(recorded, noting.made, around)
    owed = find_total(recorded_bills(record, run))
    return Parity(
        run=run,
        decisions=decisions,
        fills=_pair_fills(record, run, played, decisions=decisions, world=world, around=around),
        events=_pair_events(record, run, played),
        equity=_find_equity(record, run) - owed,
        replayed_equity=float(played.curve.equity[-1]),
    )


def _find_equity(record: Record, run: SessionRun) -> float:
    values = [value for one in run.numbers for value in record.journal.values(one)]
    last_ms, equity, _ = max(values, default=(0, run.setup.cash, 0.0))
    closing = record.closing(last_ms, run.numbers)
    return equity if closing is None else closing.equity


def _pair_events(record: Record, run: SessionRun, played: Played) -> list[EventPair]:
    if has_told_account(run.setup):
        return pair_funding(record, run, played)
    return pair_events(record.entries(run.numbers), played.journal) if run.setup.world else []


class _NotingAgent:
    """An agent whose answers are kept."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self.made: list[Recorded] = []
        self._read: Callable[[object], Decision] | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._agent, name)

    def begin(self, info: AgentInfo) -> None:
        """Tell the agent what it is up to, and take how its job reads answers."""
        self._read = info.read
        begin = getattr(self._agent, "begin", None)
        if begin is not None:
            begin(info)

    def decide(self, observation: Observation) -> Answer:
        """Return the agent's answer, and keep it."""
        seen = {"equity": observation.equity, "cash": observation.cash}
        held = {"quantities": dict(observation.quantities)}
        try:
            answer = self._agent.decide(observation)
            decision, plain = read_as(answer, observation.symbols, self._read), to_plain(answer)
        except (Exception, SystemExit) as error:
            text = f"{type(error).__name__}: {error}"
            self.made.append(Recorded(observation.time_ms, Decision(), text, 0, seen | held))
            raise
        made = Recorded(observation.time_ms, decision, "", 0, seen | held, plain)
        self.made.append(made)
        return made.answer


# Decisions ----------------------------------------------------------------------------------------


def _pair_decisions(
    recorded: Sequence[Recorded], replayed: Sequence[Recorded], around: Circumstances
) -> list[DecisionPair]:
    ours = {made.time_ms: made for made in recorded}
    theirs = {made.time_ms: made for made in replayed}
    return [
        DecisionPair(
            moment, a := ours.get(moment), b := theirs.get(moment),
            _why_decided(a, b, moment, around),
        )
        for moment in sorted({*ours, *theirs})
    ]  # fmt: skip


def _why_decided(
    ours: Recorded | None, theirs: Recorded | None, time_ms: int, around: Circumstances
) -> str:
    if ours is None:
        return around.why_not_asked(time_ms)
    if theirs is None:
        return "nobody is asked in the replay: the agent sleeps, since it decided otherwise before"
    same = [to_json(one) for one in ours.decision.actions] == [
        to_json(one) for one in theirs.decision.actions
    ]
    if same and bool(ours.error) == bool(theirs.error):
        return ""
    if ours.error or theirs.error:
        return around.who_raised(ours.error, theirs.error)
    return around.late_at(time_ms) or _why_otherwise(ours, theirs)


def _why_otherwise(ours: Recorded, theirs: Recorded) -> str:
    """Return why two answers differ that nothing from outside explains."""
    for name in ("equity", "cash"):
        mine, other = float(ours.seen[name]), float(theirs.seen[name])
        if abs(mine - other) > _SAME * abs(other):
            return f"it saw another account: {name} {mine:.8g}, in the replay {other:.8g}"
    return "it saw the same, and decided otherwise: the agent is not reproducible"


# Fills --------------------------------------------------------------------------------------------


def _pair_fills(
    record: Record,
    run: SessionRun,
    played: Played,
    *,
    decisions: Sequence[DecisionPair],
    world: World,
    around: Circumstances,
) -> list[FillPair]:
    frame_ms = run.recipe.market.timeframe_ms
    sent = _sent_in(record, run, [pair.recorded for pair in decisions])
    ours = _group(recorded_fills(record, run), sent)
    replayed = [pair.replayed for pair in decisions]
    theirs = _group(played.fills, _sent_by(played.journal, run, replayed))
    differing = {pair.time_ms for pair in decisions if pair.why}
    refused = _refusals(record, run, frame_ms)
    quotes, asked = _quotes(record, frame_ms), _asked_for(record, run, frame_ms)
    pairs = []
    for bar_ms, symbol in sorted({*ours, *theirs}):
        key = (bar_ms, symbol)
        mine, other = _sum(symbol, ours.get(key)), _sum(symbol, theirs.get(key))
        why = _why_filled(mine, other, bar_ms, asked.get(key))
        if why and mine is None:
            is_sent = key in asked or bar_ms in sent.values()
            why = refused.get(key, why + around.why_not_filled(is_sent=is_sent))
        if why and other is None:
            why += around.who_closed(symbol, bar_ms)
        if why and (late := around.late_in(symbol, bar_ms, _end_of(mine, other))):
            why = f"{why}; {late}"
        if not why and run.setup.mode == "shadow" and _rows(ours[key]) != _rows(theirs[key]):
            why = "the same in sum, filled in other parts"
        if why and bar_ms in differing:
            why = f"the decision differs; {why}"
        if why and mine is not None and other is not None:
            why += _explain_price(mine, quotes.get(key), _find_open(world, symbol, bar_ms))
        pairs.append(FillPair(bar_ms, mine, other, why))
    return pairs


def _end_of(*filled: Filled | None) -> int:
    return max(one.last_ms for one in filled if one is not None) + 1


def _find_open(world: World, symbol: str, bar_ms: int) -> float | None:
    candles = world.candles[symbol]
    row = int(np.searchsorted(candles.time_ms, bar_ms))
    is_there = row < len(candles) and candles.time_ms[row] == bar_ms
    return float(candles.open[row]) if is_there else None


def _rows(fills: Sequence[Fill]) -> list[tuple[int, float, float, float]]:
    return [(one.time_ms, one.quantity, one.price, one.fee) for one in fills]


def _group(fills: Sequence[Fill], sent: Mapping[str, int]) -> dict[tuple[int, str], list[Fill]]:
    """Return what was filled of all orders that one decision sent, by its bar and symbol."""
    found: dict[tuple[int, str], list[Fill]] = {}
    for fill in fills:
        key = (sent.get(fill.order_id, fill.bar_ms), fill.symbol)
        found.setdefault(key, []).append(fill)
    return found


def _sum(symbol: str, fills: Sequence[Fill] | None) -> Filled | None:
    if not fills:
        return None
    quantity = sum(fill.quantity for fill in fills)
    traded = sum(abs(fill.quantity) for fill in fills)
    worth = sum(abs(fill.quantity) * fill.price for fill in fills)
    times = [fill.time_ms for fill in fills]
    fee = sum(fill.fee for fill in fills)
    return Filled(symbol, min(times), max(times), quantity, worth / traded, fee)


def _bar_of(order: OrderRecord, frame_ms: int) -> int:
    """Return the bar that followed the decision behind an order, however late it was sent.

    Where no decision is known (of the kill switch's orders, in journals of earlier versions) it is
    the bar in which it was sent.
    """
    return (order.intent.decided_ms or order.intent_ms) // frame_ms * frame_ms


def _sent_in(record: Record, run: SessionRun, made: Iterable[Recorded | None]) -> dict[str, int]:
    """Return the bar that followed the decision behind each order of the session."""
    if run.setup.mode == "shadow":
        return _sent_by(record.entries(run.numbers), run, made)
    frame_ms = run.recipe.market.timeframe_ms
    orders = record.journal.orders()
    return {one.exchange_id: _bar_of(one, frame_ms) for one in orders if one.exchange_id}


def _sent_by(
    entries: Sequence[JournalEntry], run: SessionRun, made: Iterable[Recorded | None]
) -> dict[str, int]:
    """Return the same of our own venue, whose orders arrive when they were thought of and sent."""
    frame_ms, latency_ms = run.recipe.market.timeframe_ms, run.recipe.execution.latency_ms
    decided = {}
    for one in made:
        if one is not None and one.decision.actions:
            thinking = one.decision.thinking
            thought_ms = 0 if thinking is None else thinking.latency_ms
            decided[one.time_ms + thought_ms + latency_ms] = one.time_ms
    return {
        one.order_id: decided.get(one.time_ms, one.time_ms) // frame_ms * frame_ms
        for one in entries
        if one.kind == "ordered"
    }


def _quotes(record: Record, frame_ms: int) -> dict[tuple[int, str], tuple[float, float]]:
    """Return the first bid and ask that were noted with an order, by bar and symbol."""
    bars = {one.intent.client_id: _bar_of(one, frame_ms) for one in record.journal.orders()}
    found: dict[tuple[int, str], tuple[float, float]] = {}
    for key, quote in record.journal.events("quote"):
        bar_ms = bars.get(key.removeprefix("quote "), int(quote["time_ms"]) // frame_ms * frame_ms)
        found.setdefault((bar_ms, str(quote["symbol"])), (float(quote["bid"]), float(quote["ask"])))
    return found


def _refusals(record: Record, run: SessionRun, frame_ms: int) -> dict[tuple[int, str], str]:
    """Return why an order of the session was refused, by the bar that followed, and symbol."""
    found = {
        (one.time_ms // frame_ms * frame_ms, one.symbol): f"refused: {one.reason or one.text}"
        for one in record.entries(run.numbers)
        if one.kind in ("refused", "rejected")
    }
    dated = {
        (told["time_ms"], told["text"]): told["decided_ms"]
        for _, told in record.journal.events("refusal")
    }
    for note in record.journal.notes("refused"):
        symbol, _, why = note.text.partition(": ")
        decided_ms = dated.get((note.time_ms, note.text)) or note.time_ms
        found[decided_ms // frame_ms * frame_ms, symbol] = f"refused: {why}"
    return found


def _asked_for(record: Record, run: SessionRun, frame_ms: int) -> dict[tuple[int, str], float]:
    """Return the base units that the orders of one decision were for; a shadow's are not kept."""
    found: dict[tuple[int, str], float] = {}
    for one in record.journal.orders() if run.setup.mode != "shadow" else ():
        key = (_bar_of(one, frame_ms), one.intent.symbol)
        sign = 1.0 if one.intent.side == "buy" else -1.0
        found[key] = found.get(key, 0.0) + sign * one.intent.quantity
    return found


def _why_filled(
    ours: Filled | None, theirs: Filled | None, bar_ms: int, asked: float | None
) -> str:
    if ours is None:
        return "nothing was filled in the session"
    if theirs is None:
        return "nothing is filled in the replay"
    reasons = []
    if abs(ours.quantity - theirs.quantity) > _SAME * abs(theirs.quantity):
        wanted = theirs.quantity if asked is None else asked
        is_part = abs(ours.quantity) < abs(wanted) * (1 - _FEE_SHARE)
        what = f"partial fill of {wanted:.8g}" if is_part else "size, less fees and a margin"
        reasons.append(f"{what}: {ours.quantity:.8g}, in the replay {theirs.quantity:.8g}")
    if abs(ours.price - theirs.price) > _SAME * theirs.price:
        share = (ours.price / theirs.price - 1) / BPS
        reasons.append(
            f"price: {ours.price:.8g}, in the replay {theirs.price:.8g} ({share:+.2f} bp)"
        )
    if abs(ours.fee - theirs.fee) > _SAME * max(abs(theirs.fee), _SAME) and not reasons:
        reasons.append(f"fee: {ours.fee:.8g}, in the replay {theirs.fee:.8g}")
    if reasons and ours.time_ms - bar_ms >= _SLOW_MS:
        reasons.append(f"latency: filled {(ours.time_ms - bar_ms) / SECOND_MS:.1f} s after it")
    return "; ".join(reasons)


def _explain_price(ours: Filled, quote: tuple[float, float] | None, opened: float | None) -> str:
    """Return the parts of a price: how far the market had moved, and the spread that was paid."""
    if quote is None or not opened:
        return ""
    middle = (quote[0] + quote[1]) / 2
    side = 1.0 if ours.quantity > 0 else -1.0
    moved, spread = side * (middle / opened - 1), side * (ours.price / middle - 1)
    return f"; of it latency {moved / BPS:+.2f} bp, spread {spread / BPS:+.2f} bp from the open"
