"""What a session is doing, read from its journal: while it runs, and after.

Nothing is written, and no exchange is asked: what is shown is what the session believes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from filelock import FileLock, Timeout

from seawall.agent import Decision
from seawall.bt_orders import describe
from seawall.paper.distances import Seen, find_distances
from seawall.paper.errors import JournalError
from seawall.paper.forced import NOTE as FORCED_NOTE
from seawall.paper.gauges import read_gauges
from seawall.paper.journal import Note, PaperJournal
from seawall.paper.places import JOURNAL, SWITCH, lock_folder
from seawall.paper.record import Record, Recorded, SessionRow
from seawall.paper.session import HEARTBEAT, SILENT
from seawall.paper.signals import known_name
from seawall.paper.supervisor import PAUSED, RESUMED
from seawall.units import is_perpetual, split_symbol

_TROUBLES = ("fault", PAUSED, "difference", "refused", "rejected", "ending", "cancel", "state",
             "liquidated", "margin call", FORCED_NOTE)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Status:
    """One look at a session.

    Attributes:
        session: the last start.
        is_running: whether a process holds its account.
        now_ms: its last sign of life, on the exchange's clock; ``data_ms``: close of the last bar.
        equity: quote units, at the last close, or when a sandbox's session had ended;
            ``start_equity``: at the first close.
        cash, holdings: quote units, and base units by symbol, as they are believed to be now.
        prices: last closes, quote units by symbol.
        gauges: how near it is to a liquidation, by name (``gauges``); empty where it cannot be.
        signals: by name, when the last value became known.
        decision: the last one.
        n_decisions, n_fills: so far, in this journal.
        open_orders: in words.
        left: of each limit what is left, as a share of it (``distances``).
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
    paused: str = ""
    prices: Mapping[str, float] = field(default_factory=dict)
    gauges: Mapping[str, float] = field(default_factory=dict)
    signals: Mapping[str, int | None] = field(default_factory=dict)

    @property
    def data_age_ms(self) -> int | None:
        """How old the last closed bar is; ``None`` before the first."""
        return None if self.data_ms is None else max(0, self.now_ms - self.data_ms)

    @property
    def worth(self) -> dict[str, float]:
        """What is held of each symbol, quote units at the last close, < 0 sold short."""
        return {
            symbol: size * self.prices[symbol]
            for symbol, size in self.holdings.items()
            if size and symbol in self.prices
        }

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
            "worth": self.worth,
            "gauges": {name: _finite(value) for name, value in self.gauges.items()},
            "signals": {
                name: {
                    "known_ms": known_ms,
                    "age_ms": None if known_ms is None else self.now_ms - known_ms,
                }
                for name, known_ms in self.signals.items()
            },
            "decisions": self.n_decisions,
            "fills": self.n_fills,
            "open_orders": list(self.open_orders),
            "left_of_limits": dict(self.left),
            "paused": self.paused,
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
    market = last.recipe.market
    first, newest = _ends_of_equity(journal)
    newest = newest and _with_closing(record, newest)
    ((n_decisions,),) = journal.rows("SELECT count(DISTINCT time_ms) FROM decisions")
    ((n_fills,),) = journal.rows("SELECT count(*) FROM fills")
    data_ms = None if newest is None else newest[0]
    now_ms = int(max(journal.recall(HEARTBEAT) or 0, data_ms or 0, last.started_ms))
    held, is_running = _holdings(journal, last), _is_held(folder, last)
    status = Status(
        session=last,
        is_running=is_running,
        now_ms=now_ms,
        data_ms=data_ms,
        equity=None if newest is None else newest[1],
        cash=_cash(journal, last, newest),
        start_equity=None if first is None else first[1],
        holdings=held,
        prices=_last_prices(journal, last),
        gauges=read_gauges(journal),
        signals={name: _to_int(journal.recall(known_name(name))) for name in market.signals},
        decision=record.last_decision(),
        n_decisions=n_decisions,
        n_fills=n_fills,
        open_orders=_open_orders(journal),
        left={},
        troubles=_troubles(journal, is_running=is_running)[-n_troubles:],
        paused=_paused(journal, last) if is_running else "",
        switch=_read(folder / SWITCH),
    )
    silent_ms = journal.recall(SILENT) or now_ms
    seen = Seen(now_ms, data_ms, int(silent_ms), status.equity, status.worth)
    return replace(status, left=find_distances(journal, last, seen))


def _ends_of_equity(journal: PaperJournal) -> list[tuple[int, float, float] | None]:
    """Return when, equity and cash of the first step and of the last; ``None`` before any."""
    query = "SELECT time_ms, equity, cash FROM equity ORDER BY time_ms"
    found = [journal.rows(f"{query}{order} LIMIT 1") for order in ("", " DESC")]
    return [(rows[0][0], rows[0][1], rows[0][2]) if rows else None for rows in found]


def _with_closing(record: Record, newest: tuple[int, float, float]) -> tuple[int, float, float]:
    """Return when the last step was, and equity and cash after what the end has sold since."""
    closing = record.closing(newest[0])
    return newest if closing is None else (newest[0], closing.equity, closing.cash)


def _holdings(journal: PaperJournal, session: SessionRow) -> dict[str, float]:
    """Return what is held by symbol: believed coin, and positions as of the last step."""
    coins, contracts = journal.believed("balance"), journal.believed("position")
    rows = journal.rows("SELECT holdings FROM equity ORDER BY time_ms DESC LIMIT 1")
    shown = json.loads(rows[0][0]) if rows else {}
    return {
        symbol: contracts.get(symbol, shown.get(symbol, 0.0))
        if is_perpetual(symbol)
        else coins.get(split_symbol(symbol)[0], 0.0)
        for symbol in session.recipe.market.symbols
    }


def _cash(
    journal: PaperJournal, session: SessionRow, newest: tuple[int, float, float] | None
) -> float | None:
    """Return the cash: believed on spot, as of the last step where contracts have taken of it."""
    market = session.recipe.market
    if any(is_perpetual(symbol) for symbol in market.symbols) or session.recipe.loan is not None:
        return None if newest is None else newest[2]
    return journal.believed("balance").get(market.quote)


def _last_prices(journal: PaperJournal, session: SessionRow) -> dict[str, float]:
    query = (
        "SELECT close FROM candles WHERE symbol = ? AND timeframe = ? ORDER BY time_ms DESC LIMIT 1"
    )
    market = session.recipe.market
    found = {one: journal.rows(query, one, market.timeframe) for one in market.symbols}
    return {symbol: float(rows[0][0]) for symbol, rows in found.items() if rows}


def _open_orders(journal: PaperJournal) -> tuple[str, ...]:
    return tuple(
        f"{one.intent.side} {one.intent.quantity:g} {one.intent.symbol} {one.intent.type}"
        f"{f' at {one.intent.price:g}' if one.intent.price else ''} ({one.state})"
        for one in journal.orders("open", "unknown", "intended")
    )


def _troubles(journal: PaperJournal, *, is_running: bool) -> tuple[Note, ...]:
    """Return what went wrong, in order; what was noted again and again is one, the last.

    How it ends is among it while it does: afterwards its state says so.
    """
    found: list[tuple[Note, int]] = []
    for note in journal.notes():
        if note.kind not in _TROUBLES or (note.kind == "ending" and not is_running):
            continue
        before = found[-1] if found else None
        is_again = before is not None and before[0][1:] == note[1:]
        n_times = before[1] + 1 if before is not None and is_again else 1
        found[-1 if is_again else len(found) :] = [(note, n_times)]
    return tuple(
        note._replace(text=f"{note.text} ({n_times} times)") if n_times > 1 else note
        for note, n_times in found
    )


def _paused(journal: PaperJournal, session: SessionRow) -> str:
    rows = journal.rows(
        "SELECT kind, text FROM notes WHERE session = ? AND kind IN (?, ?)"
        " ORDER BY number DESC LIMIT 1",
        session.number, PAUSED, RESUMED,
    )  # fmt: skip
    return str(rows[0][1]) if rows and rows[0][0] == PAUSED else ""


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
    except FileNotFoundError:
        return ""
    except OSError:
        return "cancel"  # as the switch itself reads what it cannot


def _to_int(value: float | None) -> int | None:
    return None if value is None else int(value)


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None
