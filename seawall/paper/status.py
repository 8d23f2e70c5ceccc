"""What a session is doing, read from its journal: while it runs, and after.

Nothing is written, and no exchange is asked: what is shown is what the session believes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from seawall.agent import Decision
from seawall.bt_orders import describe
from seawall.paper.errors import JournalError
from seawall.paper.journal import Note, PaperJournal
from seawall.paper.places import JOURNAL, SWITCH, lock_folder
from seawall.paper.record import Record, Recorded, SessionRow
from seawall.paper.session import HEARTBEAT
from seawall.units import split_symbol

_TROUBLES = ("fault", "paused", "difference", "refused", "rejected", "ending", "cancel", "state")


@dataclass(frozen=True, kw_only=True)
class Status:
    """One look at a session.

    Attributes:
        session: the last start.
        is_running: whether a process holds its account.
        now_ms: its last sign of life, on the exchange's clock; ``data_ms``: close of the last bar.
        equity: quote units, at the last close; ``start_equity``: at the first.
        cash, holdings: quote units, and base units by symbol, as they are believed to be now.
        decision: the last one.
        n_decisions, n_fills: so far, in this journal.
        open_orders: in words.
        left: of each loss limit what is left, as a share of it.
        troubles: the last notes of what went wrong, the newest last.
        paused: why nothing new is sent, ``""`` where it may be.
        switch: what the kill switch says, ``""`` where it is off.
    """

    session: SessionRow
    is_running: bool
    now_ms: int
    data_ms: int | None
    equity: float | None
    cash: float | None
    start_equity: float | None
    holdings: Mapping[str, float]
    decision: Recorded | None
    n_decisions: int
    n_fills: int
    open_orders: tuple[str, ...]
    left: Mapping[str, float]
    troubles: tuple[Note, ...]
    switch: str

    @property
    def data_age_ms(self) -> int | None:
        """How old the last closed bar is; ``None`` before the first."""
        return None if self.data_ms is None else max(0, self.now_ms - self.data_ms)

    def to_dict(self) -> dict[str, object]:
        """Return plain values, JSON-able."""
        made = self.decision
        return {
            "session": self.session.number,
            "recipe": self.session.recipe.name,
            "venue": self.session.venue,
            "is_running": self.is_running,
            "ended": self.session.ended_why,
            "now_ms": self.now_ms,
            "data_ms": self.data_ms,
            "data_age_ms": self.data_age_ms,
            "equity": self.equity,
            "cash": self.cash,
            "start_equity": self.start_equity,
            "holdings": dict(self.holdings),
            "decisions": self.n_decisions,
            "fills": self.n_fills,
            "open_orders": list(self.open_orders),
            "left_of_limits": dict(self.left),
            "troubles": [note._asdict() for note in self.troubles],
            "switch": self.switch,
            "decision": None if made is None else {
                "time_ms": made.time_ms, "text": describe_decision(made), "took_ms": made.took_ms,
                "reason": made.decision.reason,
            },
        }  # fmt: skip


def read_status(folder: Path, *, n_troubles: int = 5) -> Status:
    """Return what the session of a folder is doing.

    Raises:
        JournalError: there is none, or its journal cannot be read.
    """
    file = folder / JOURNAL
    if not file.is_file():
        raise JournalError(
            f"a paper session's folder has a {JOURNAL}, {folder} has none: name the folder that "
            "seawall paper printed"
        )
    with PaperJournal(file) as journal:
        return look(journal, folder, n_troubles=n_troubles)


def describe_decision(made: Recorded) -> str:
    """Return a decision in words."""
    decision: Decision = made.decision
    if made.error:
        return f"abstained: {made.error}"
    return "; ".join(describe(action) for action in decision.actions) or "nothing"


def look(journal: PaperJournal, folder: Path, *, n_troubles: int = 5) -> Status:
    """Return what the session of an open journal is doing.

    Raises:
        JournalError: none has begun.
    """
    record = Record(journal)
    sessions = record.sessions()
    if not sessions:
        raise JournalError(f"the journal of {folder} has no session yet: wait for it to begin")
    last = sessions[-1]
    with journal.transaction() as database:
        (n_decisions,) = database.execute(
            "SELECT count(DISTINCT time_ms) FROM decisions"
        ).fetchone()
        (n_fills,) = database.execute("SELECT count(*) FROM fills").fetchone()
        query = "SELECT time_ms, equity FROM equity ORDER BY time_ms"
        first = database.execute(f"{query} LIMIT 1").fetchone()
        newest = database.execute(f"{query} DESC LIMIT 1").fetchone()
    beat, believed, market = (
        journal.recall(HEARTBEAT), journal.believed("balance"), last.recipe.market,
    )  # fmt: skip
    data_ms = None if newest is None else newest[0]
    return Status(
        session=last,
        is_running=_is_held(folder, last),
        now_ms=int(max(beat or 0, data_ms or 0, last.started_ms)),
        data_ms=data_ms,
        equity=None if newest is None else newest[1],
        cash=believed.get(market.quote),
        start_equity=None if first is None else first[1],
        holdings={one: believed.get(split_symbol(one)[0], 0.0) for one in market.symbols},
        decision=record.last_decision(),
        n_decisions=n_decisions,
        n_fills=n_fills,
        open_orders=tuple(
            f"{one.intent.side} {one.intent.quantity:g} {one.intent.symbol} {one.intent.type}"
            f"{f' at {one.intent.price:g}' if one.intent.price else ''} ({one.state})"
            for one in journal.orders("open", "unknown", "intended")
        ),
        left=_left(journal, last, newest[1]) if newest else {},
        troubles=tuple(one for one in journal.notes() if one.kind in _TROUBLES)[-n_troubles:],
        switch=_read(folder / SWITCH),
    )


def _left(journal: PaperJournal, session: SessionRow, equity: float) -> dict[str, float]:
    """Return how far the loss limits are; only read, unlike ``LimitKeeper.distances``."""
    left = {}
    for name, origin in (("max_drawdown", "limits peak"), ("max_daily_loss", "limits day start")):
        most, highest = session.setup.limits.get(name), journal.recall(origin)
        if most and highest:
            left[name] = max(0.0, 1 - max(0.0, 1 - equity / highest) / most)
    return left


def _is_held(folder: Path, session: SessionRow) -> bool:
    """Return whether a process runs the session: then its lock cannot be taken."""
    if session.ended_ms is not None:
        return False
    place = folder if session.setup.mode == "shadow" else lock_folder()
    file = place / f"{session.setup.lock}.lock"
    if not file.exists():
        return False
    try:
        with FileLock(file, timeout=0, is_singleton=False):
            return False
    except Timeout:
        return True


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip() or "cancel"
    except OSError:
        return ""
