"""What a session saw and did, in its journal: enough to go on after a crash, and to replay it.

Candles are kept as they were first seen, decisions as they were made, with what they were made
from; so the same bars can be run again, by a restart (``asked``) or by the backtest engine
(``parity``).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from seawall.action import Action, from_json, to_json
from seawall.agent import Decision, Thinking, Wake, is_number
from seawall.journal import JournalEntry
from seawall.market.manifest import Filters
from seawall.paper.allowed import Mode
from seawall.paper.candles import Candle
from seawall.paper.errors import JournalError
from seawall.paper.journal import PaperJournal
from seawall.recipe import Recipe

SHADOW_ACCOUNT = "shadow"
_CLOSING = "closing"  # events: session, equity and cash


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How a session began, beside its recipe.

    Attributes:
        mode: ``shadow``, ``sandbox`` or ``local`` (our own exchange, with orders).
        exchange: whose candles.
        since_ms: bars that open earlier are warm-up.
        cash: quote units at the start; ``holdings``: base units by symbol.
        first_prices: at which a shadow's coin was counted, quote units by symbol.
        world: what holds for the venues of a shadow beside spot (``shadow_world.Standing``).
        filters: the exchange's order grid, by symbol.
        limits: the session's, by name.
        account: which one, ``SandboxKeys.fingerprint``; of a shadow a word.
        lock: the name of its lock.
        place: the exchange as it was named, ``local:URL`` included; ``""``: ``exchange`` names it.
    """

    mode: Mode
    exchange: str
    since_ms: int
    cash: float
    holdings: Mapping[str, float] = field(default_factory=dict)
    first_prices: Mapping[str, float] = field(default_factory=dict)
    world: Mapping[str, Any] = field(default_factory=dict)
    filters: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    limits: Mapping[str, float | None] = field(default_factory=dict)
    account: str = SHADOW_ACCOUNT
    lock: str = ""
    place: str = ""

    def grids(self) -> dict[str, Filters]:
        """Return the order grids as the engine takes them."""
        return {symbol: Filters(**dict(values)) for symbol, values in self.filters.items()}


class SessionRow(NamedTuple):
    """One start of a session; ``ended_ms`` is ``None`` while it runs, and where it was killed."""

    number: int
    started_ms: int
    ended_ms: int | None
    ended_why: str
    venue: str
    recipe: Recipe
    setup: Setup


class Recorded(NamedTuple):
    """One decision as it was made.

    Attributes:
        time_ms: the close stamp of the bar it was made at.
        decision: what was answered; ``error``: why there is no answer, ``""`` where there is one.
        took_ms: how long the agent thought, on the wall.
        seen: equity, cash and quantities it was made from.
        plain: what was answered, where it was a number, or numbers by name: its job reads it again.
    """

    time_ms: int
    decision: Decision
    error: str
    took_ms: int
    seen: Mapping[str, Any]
    plain: float | Mapping[str, float] | None = None

    @property
    def answer(self) -> Decision | float | Mapping[str, float]:
        """What a job is given: it reads it, once."""
        return self.decision if self.plain is None else self.plain


class Closing(NamedTuple):
    """What a sandbox's account was worth when its session had ended, all that it sold included.

    Attributes:
        time_ms: on the exchange's clock.
        equity, cash: quote units.
    """

    time_ms: int
    equity: float
    cash: float


def to_plain(answer: object) -> float | dict[str, float] | None:
    """Return an answer that is a number, or numbers by name; ``None``: it is a decision."""
    if isinstance(answer, Mapping):
        return {str(name): float(value) for name, value in answer.items()}
    return float(answer) if is_number(answer) else None  # type: ignore[arg-type]  # it is one


class Record:
    """Writes and reads what a session saw.

    Args:
        journal: of the account; its session has begun where something is written.
    """

    def __init__(self, journal: PaperJournal) -> None:
        self.journal = journal

    # Sessions -------------------------------------------------------------------------------------

    def begin(self, time_ms: int, venue: str, recipe: Recipe, setup: Setup) -> int:
        """Return the number of a new session."""
        text = json.dumps(asdict(setup))
        return self.journal.begin_session(time_ms, venue=venue, recipe=recipe.to_json(), setup=text)

    def amend(self, setup: Setup) -> None:
        """Replace how this session began: something was found out after it had."""
        with self.journal.transaction() as database:
            values = (json.dumps(asdict(setup)), self.journal.session)
            database.execute("UPDATE sessions SET setup = ? WHERE id = ?", values)

    def sessions(self) -> list[SessionRow]:
        """Return all sessions, the first one first.

        Raises:
            JournalError: one of them cannot be read.
        """
        query = "SELECT id, started_ms, ended_ms, coalesce(ended_why, ''), venue, recipe, setup"
        with self.journal.transaction() as database:
            rows = database.execute(f"{query} FROM sessions ORDER BY id").fetchall()
        try:
            return [
                SessionRow(
                    number, started_ms, ended_ms, why, venue,
                    Recipe.from_dict(json.loads(recipe)), _to_setup(setup),
                )
                for number, started_ms, ended_ms, why, venue, recipe, setup in rows
            ]  # fmt: skip
        except (ValueError, TypeError, KeyError) as error:
            raise JournalError(f"a session of the journal cannot be read: {error}") from None

    def keep_closing(self, closing: Closing) -> None:
        """Keep what the account is worth at the end of this session."""
        key = f"{_CLOSING} {self.journal.session} {closing.time_ms}"
        payload = [self.journal.session, *closing]
        self.journal.see(key, closing.time_ms, _CLOSING, payload)

    def closing(self, since_ms: int, sessions: Sequence[int] | None = None) -> Closing | None:
        """Return the last closing since a step, of these sessions or all; ``None``: none."""
        found = [
            Closing(*row)
            for _, (number, *row) in self.journal.events(_CLOSING)
            if row[0] >= since_ms and (sessions is None or number in sessions)
        ]
        return max(found, key=lambda one: one.time_ms, default=None)

    # The market -----------------------------------------------------------------------------------

    def keep_candles(
        self, symbol: str, timeframe: str, candles: Iterable[Candle], seen_ms: int
    ) -> None:
        """Keep candles; one that is there already stays as it was."""
        with self.journal.transaction() as database:
            database.executemany(
                "INSERT OR IGNORE INTO candles VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(symbol, timeframe, *candle, seen_ms) for candle in candles],
            )

    def keep_step(self, timeframe: str, candles: Mapping[str, Candle], seen_ms: int) -> None:
        """Keep the candles of one step, by name: all of them or none."""
        with self.journal.transaction() as database:
            database.executemany(
                "INSERT OR IGNORE INTO candles VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(name, timeframe, *candle, seen_ms) for name, candle in candles.items()],
            )

    def candles(self, symbol: str, timeframe: str, since_ms: int = 0) -> list[Candle]:
        """Return the candles that open at or after ``since_ms``."""
        query = (
            "SELECT time_ms, open, high, low, close, volume FROM candles"
            " WHERE symbol = ? AND timeframe = ? AND time_ms >= ? ORDER BY time_ms"
        )
        with self.journal.transaction() as database:
            rows = database.execute(query, (symbol, timeframe, since_ms)).fetchall()
        return [Candle(*row) for row in rows]

    # The agent ------------------------------------------------------------------------------------

    def keep_decision(self, made: Recorded) -> None:
        """Keep a decision, before it is carried out."""
        decision = made.decision
        seen = {
            **made.seen,
            "wake": None if decision.wake is None else _from_wake(decision.wake),
            "thinking": None if decision.thinking is None else asdict(decision.thinking),
            "abstained": decision.abstained,
            "plain": made.plain,
            "error": made.error,
            "took_ms": made.took_ms,
        }
        actions = [json.loads(to_json(action)) for action in decision.actions]
        self.journal.decide(made.time_ms, actions=actions, reason=decision.reason, seen=seen)

    def decisions(self, sessions: Sequence[int]) -> list[Recorded]:
        """Return the decisions of these sessions, in order; one of a moment counts once."""
        found: dict[int, Recorded] = {}
        for number in sessions:
            for time_ms, actions, reason, seen in self.journal.decisions(number):
                found.setdefault(time_ms, _to_recorded(time_ms, actions, reason, seen))
        return [found[time_ms] for time_ms in sorted(found)]

    def last_decision(self) -> Recorded | None:
        """Return the last decision of all sessions that asked for something, or gave a reason."""
        query = "SELECT time_ms, actions, reason, seen FROM decisions"
        said = " WHERE actions != '[]' OR reason != ''"
        with self.journal.transaction() as database:
            row = database.execute(f"{query}{said} ORDER BY number DESC LIMIT 1").fetchone()
        if row is None:
            return None
        return _to_recorded(row[0], json.loads(row[1]), row[2], json.loads(row[3]))

    def keep_state(self, time_ms: int, state: bytes) -> None:
        """Keep what an agent wants to remember over a restart."""
        with self.journal.transaction() as database:
            database.execute(
                "INSERT OR REPLACE INTO agent_states VALUES (1, ?, ?)", (time_ms, state)
            )

    def state(self) -> bytes | None:
        """Return what the agent wanted to remember."""
        with self.journal.transaction() as database:
            row = database.execute("SELECT state FROM agent_states").fetchone()
        return None if row is None else bytes(row[0])

    # What the strategy and the venue wrote --------------------------------------------------------

    def keep_entries(self, entries: Sequence[JournalEntry]) -> None:
        """Keep lines of the engine's journal."""
        if not entries:
            return
        rows = [(self.journal.session, *entry) for entry in entries]
        with self.journal.transaction() as database:
            database.executemany(
                "INSERT INTO entries (session, time_ms, kind, symbol, order_id, text, reason)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )

    def entries(self, sessions: Sequence[int] | None = None) -> list[JournalEntry]:
        """Return the lines of these sessions, of all where none is named."""
        query = "SELECT session, time_ms, kind, symbol, order_id, text, reason FROM entries"
        with self.journal.transaction() as database:
            rows = database.execute(query + " ORDER BY number").fetchall()
        return [JournalEntry(*row[1:]) for row in rows if sessions is None or row[0] in sessions]


def _to_setup(text: str) -> Setup:
    return Setup(**json.loads(text))


def _to_recorded(time_ms: int, actions: Sequence[object], reason: str, seen: Any) -> Recorded:
    wake, thinking = seen.pop("wake", None), seen.pop("thinking", None)
    plain = seen.pop("plain", None)
    decision = Decision(
        actions=tuple(_to_action(action) for action in actions),
        reason=reason,
        wake=None if wake is None else Wake(**wake),
        thinking=None if thinking is None else Thinking(**thinking),
        abstained=seen.pop("abstained", ""),
    )
    error, took_ms = seen.pop("error", ""), seen.pop("took_ms", 0)
    return Recorded(time_ms, decision, error, took_ms, seen, plain)


def _to_action(value: object) -> Action:
    return from_json(json.dumps(value))


def _from_wake(wake: Wake) -> dict[str, object]:
    names = ("after_ms", "at_fill", "health_below", "health_above", "ratio_above")
    levels = {"above": dict(wake.above), "below": dict(wake.below)}
    return {**levels, **{name: getattr(wake, name) for name in names}}
