"""The journal of a paper account: what was intended, what happened, and what is believed.

One SQLite file for each account. An order is written before it is sent, a fill is counted once
however often it is told, and what is believed about balances and positions is a baseline, adopted
from the exchange, and the fills after it. A process may be killed at any moment: whatever a method
returned from is on the disk.

Secrets do not belong here, and nothing here has a place for one; what errors say is cleaned by
the caller (``redaction``).
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from secrets import token_hex
from typing import Any, Literal, NamedTuple, Self

from seawall.paper.errors import JournalError
from seawall.paper.order import (
    NEXT_STATES,
    UNRESOLVED,
    OrderIntent,
    OrderNews,
    OrderRecord,
    TradeFill,
    is_news,
)
from seawall.paper.schema import open_database

BaselineKind = Literal["balance", "position"]
PREFIX = "sw"
_ORDER_COLUMNS = (
    "intent, session, state, exchange_id, filled, why, intent_ms, updated_ms, exchange_ms"
)
_FILL_COLUMNS = (
    "symbol, trade_id, exchange_order_id, side, price, quantity, fee, fee_asset, time_ms, is_maker"
)


class Note(NamedTuple):
    """One line of what else happened."""

    time_ms: int
    kind: str
    text: str


class PaperJournal:
    """The journal of one account; one process writes it (``account_lock``), any may read.

    Args:
        file: where it is; made where there is none.

    Raises:
        JournalError: the file cannot be used as one.
    """

    def __init__(self, file: Path) -> None:
        self._database = open_database(file)
        with self.transaction() as database:
            database.execute("INSERT OR IGNORE INTO meta VALUES ('tag', ?)", (token_hex(3),))
        (self._tag,) = self._one("SELECT value FROM meta WHERE name = 'tag'")
        self.session = 0
        self._beliefs: dict[str, dict[str, float]] = {}  # by kind; until a fill or a baseline

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; everything in it was on the disk before."""
        self._database.close()

    # Sessions -------------------------------------------------------------------------------------

    def begin_session(self, time_ms: int, *, venue: str, recipe: str, setup: str = "{}") -> int:
        """Return the number of a new session; ``recipe`` is what is run, in text."""
        with self.transaction() as database:
            cursor = database.execute(
                "INSERT INTO sessions (started_ms, venue, recipe, setup) VALUES (?, ?, ?, ?)",
                (time_ms, venue, recipe, setup),
            )
        self.session = int(cursor.lastrowid or 0)
        return self.session

    def end_session(self, time_ms: int, why: str) -> None:
        """Note that the session ended by itself; a killed one has no end."""
        with self.transaction() as database:
            database.execute(
                "UPDATE sessions SET ended_ms = ?, ended_why = ? WHERE id = ?",
                (time_ms, why, self.session),
            )

    # Orders ---------------------------------------------------------------------------------------

    def new_client_id(self) -> str:
        """Return an id for the next order: letters and digits, at most 22, never given before.

        It begins with this journal's own mark, so an order of another journal of the same account
        is never taken for one of this.
        """
        (last,) = self._one("SELECT coalesce(max(number), 0) FROM orders")
        return f"{self.mark}{self.session:04x}{last + 1:08x}"

    @property
    def mark(self) -> str:
        """Return what the ids of all orders of this journal begin with."""
        return f"{PREFIX}{self._tag}"

    def intend(self, intent: OrderIntent, time_ms: int) -> None:
        """Write an order down; when this returns it is on the disk, and may be sent.

        Raises:
            JournalError: its id is taken.
        """
        try:
            with self.transaction() as database:
                database.execute(
                    "INSERT INTO orders (client_id, session, intent, symbol, state, intent_ms,"
                    " updated_ms) VALUES (?, ?, ?, ?, 'intended', ?, ?)",
                    (
                        intent.client_id,
                        self.session,
                        json.dumps(asdict(intent)),
                        intent.symbol,
                        time_ms,
                        time_ms,
                    ),
                )
                _log_state(database, intent.client_id, OrderNews(state="intended"), time_ms)
        except sqlite3.IntegrityError as error:
            raise JournalError(
                f"an order's id must be new, within a session that has begun, is "
                f"{intent.client_id!r}: use new_client_id()"
            ) from error

    def tell(self, client_id: str, news: OrderNews, time_ms: int) -> bool:
        """Write what the exchange says of an order; return whether it was news."""
        with self.transaction() as database:
            record = self.order(client_id)
            if not is_news(record, news):
                return False
            self._write(database, record, news, time_ms)
        return True

    def correct(self, client_id: str, news: OrderNews, time_ms: int) -> None:
        """Write what the exchange says against what was known; for a reconciliation only."""
        with self.transaction() as database:
            self._write(database, self.order(client_id), news, time_ms)

    def order(self, client_id: str) -> OrderRecord:
        """Return an order.

        Raises:
            JournalError: the journal has none of that id.
        """
        query = f"SELECT {_ORDER_COLUMNS} FROM orders WHERE client_id = ?"  # noqa: S608
        row = self._database.execute(query, (client_id,)).fetchone()
        if row is None:
            raise JournalError(f"an order's id must be in the journal, is {client_id!r}")
        return _to_order(row)

    def orders(self, *states: str, updated_ms: int = 0) -> list[OrderRecord]:
        """Return the orders in these states, in all where none is named; the oldest first.

        ``updated_ms``: only those of which something was learnt since.
        """
        chosen = states or tuple(NEXT_STATES)
        marks = ", ".join("?" * len(chosen))
        query = f"SELECT {_ORDER_COLUMNS} FROM orders WHERE state IN ({marks})"  # noqa: S608
        found = self._database.execute(
            query + " AND updated_ms >= ? ORDER BY number", (*chosen, updated_ms)
        )
        return [_to_order(row) for row in found]

    def unresolved(self) -> list[OrderRecord]:
        """Return the orders of which it is not known whether the exchange has them."""
        return self.orders(*sorted(UNRESOLVED))

    def has_order(self, client_id: str) -> bool:
        """Return whether an order of that id was ever intended."""
        query = "SELECT count(*) FROM orders WHERE client_id = ?"
        return bool(self._one(query, client_id)[0])

    def client_id_of(self, symbol: str, exchange_id: str) -> str:
        """Return our id of an order of the exchange; ``""`` where it is none of ours."""
        query = "SELECT client_id FROM orders WHERE symbol = ? AND exchange_id = ?"
        row = self._database.execute(query, (symbol, exchange_id)).fetchone()
        return "" if row is None else str(row[0])

    def history(self, client_id: str) -> list[tuple[int, str, float, str]]:
        """Return ``(time_ms, state, filled, why)`` of all that became of an order."""
        query = "SELECT time_ms, state, filled, why FROM order_states WHERE client_id = ?"
        return list(self._database.execute(query + " ORDER BY rowid", (client_id,)))

    # Fills and what follows from them -------------------------------------------------------------

    def add_fills(self, fills: Iterable[TradeFill]) -> list[TradeFill]:
        """Count fills, each once; return those that were new.

        Raises:
            JournalError: a known trade comes again with another quantity or price.
        """
        fresh = []
        self._beliefs.clear()
        with self.transaction() as database:
            for fill in fills:
                values = tuple(asdict(fill).values())
                query = (
                    f"INSERT OR IGNORE INTO fills ({_FILL_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)"  # noqa: S608
                )
                if database.execute(query, values).rowcount:
                    fresh.append(fill)
                else:
                    self._check_same(fill)
        return fresh

    def fills(self, symbol: str | None = None, *, since_ms: int = 0) -> list[TradeFill]:
        """Return fills in the order they were learnt."""
        query = f"SELECT {_FILL_COLUMNS} FROM fills WHERE time_ms >= ?"  # noqa: S608
        rows = self._database.execute(query + " ORDER BY number", (since_ms,))
        return [_to_fill(row) for row in rows if symbol is None or row[0] == symbol]

    def fills_after(self, number: int) -> list[tuple[int, TradeFill]]:
        """Return the fills learnt after the one of that number, each with its own; 0 for all."""
        query = f"SELECT {_FILL_COLUMNS}, number FROM fills WHERE number > ? ORDER BY number"  # noqa: S608
        return [(row[-1], _to_fill(row[:-1])) for row in self._database.execute(query, (number,))]

    def last_fill_ms(self, symbol: str) -> int:
        """Return the exchange's time of the last fill that is known; 0 before the first."""
        query = "SELECT coalesce(max(time_ms), 0) FROM fills WHERE symbol = ?"
        return int(self._one(query, symbol)[0])

    def set_baseline(self, kind: BaselineKind, amounts: Mapping[str, float], time_ms: int) -> None:
        """Adopt amounts of the exchange: from here on, fills are added to them."""
        self._beliefs.clear()
        with self.transaction() as database:
            (last,) = self._one("SELECT coalesce(max(number), 0) FROM fills")
            database.execute("DELETE FROM baselines WHERE kind = ?", (kind,))
            database.executemany(
                "INSERT INTO baselines VALUES (?, ?, ?, ?, ?)",
                [(kind, name, amount, time_ms, last) for name, amount in amounts.items()],
            )
            entry = ("INSERT OR REPLACE INTO meta VALUES (?, ?)", (f"baseline {kind}", str(last)))
            database.execute(*entry)

    def has_baseline(self, kind: BaselineKind) -> bool:
        """Return whether amounts were ever adopted."""
        return bool(self._one("SELECT count(*) FROM meta WHERE name = ?", f"baseline {kind}")[0])

    def believed(self, kind: BaselineKind) -> dict[str, float]:
        """Return what is believed to be held: the baseline and all fills after it.

        Spot balances are by asset, fees included; positions by symbol, > 0 long.
        """
        if kind in self._beliefs:
            return dict(self._beliefs[kind])
        query = "SELECT name, amount FROM baselines WHERE kind = ?"
        held = dict(self._database.execute(query, (kind,)).fetchall())
        row = self._database.execute(
            "SELECT value FROM meta WHERE name = ?", (f"baseline {kind}",)
        ).fetchone()
        query = f"SELECT {_FILL_COLUMNS} FROM fills WHERE number > ? ORDER BY number"  # noqa: S608
        for fill_row in self._database.execute(query, (int(row[0]) if row else 0,)):
            fill = _to_fill(fill_row)
            changes = {fill.symbol: fill.signed} if kind == "position" else fill.changes()
            for name, change in changes.items():
                held[name] = held.get(name, 0.0) + change
        self._beliefs[kind] = dict(held)
        return held

    # Everything else ------------------------------------------------------------------------------

    def see(self, key: str, time_ms: int, kind: str, payload: object) -> bool:
        """Note an event of the exchange; return whether it was seen for the first time."""
        query = "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?)"
        with self.transaction() as database:
            cursor = database.execute(query, (key, time_ms, kind, json.dumps(payload)))
        return bool(cursor.rowcount)

    def see_all(self, rows: Iterable[tuple[str, object]], time_ms: int, kind: str) -> list[str]:
        """Note events, keys and contents, together; return the keys that were seen first now."""
        query = "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?)"
        with self.transaction() as database:
            return [
                key
                for key, payload in rows
                if database.execute(query, (key, time_ms, kind, json.dumps(payload))).rowcount
            ]

    def seen(self, kind: str) -> list[str]:
        """Return the keys of all events of a kind."""
        return [key for key, _ in self.events(kind)]

    def events(self, kind: str) -> list[tuple[str, Any]]:
        """Return keys and contents of all events of a kind."""
        rows = self._database.execute("SELECT key, payload FROM events WHERE kind = ?", (kind,))
        return [(key, json.loads(payload)) for key, payload in rows]

    def decide(self, time_ms: int, *, actions: object, reason: str, seen: object) -> None:
        """Note a decision, its reason, and what it was made from."""
        values = (self.session, time_ms, json.dumps(actions), reason, json.dumps(seen))
        with self.transaction() as database:
            database.execute(
                "INSERT INTO decisions (session, time_ms, actions, reason, seen)"
                " VALUES (?, ?, ?, ?, ?)",
                values,
            )

    def decisions(self, session: int | None = None) -> list[tuple[int, Any, str, Any]]:
        """Return ``(time_ms, actions, reason, seen)`` of a session, this one by default."""
        query = "SELECT time_ms, actions, reason, seen FROM decisions WHERE session = ?"
        rows = self._database.execute(query + " ORDER BY number", (session or self.session,))
        return [(t, json.loads(actions), why, json.loads(seen)) for t, actions, why, seen in rows]

    def value(
        self, time_ms: int, *, equity: float, cash: float, holdings: Mapping[str, float]
    ) -> None:
        """Note what the account was worth, quote units, and what it held."""
        values = (self.session, time_ms, equity, cash, json.dumps(dict(holdings)))
        with self.transaction() as database:
            database.execute("INSERT OR REPLACE INTO equity VALUES (?, ?, ?, ?, ?)", values)

    def values(self, session: int | None = None) -> list[tuple[int, float, float]]:
        """Return ``(time_ms, equity, cash)`` of a session, this one by default."""
        query = "SELECT time_ms, equity, cash FROM equity WHERE session = ? ORDER BY time_ms"
        return list(self._database.execute(query, (session or self.session,)))

    def last_step(self) -> int | None:
        """Return the last step that was valued or decided at, ``None`` before the first."""
        (last_ms,) = self._one(
            "SELECT max(time_ms) FROM (SELECT time_ms FROM equity"
            " UNION ALL SELECT time_ms FROM decisions)"
        )
        return None if last_ms is None else int(last_ms)

    def equities(self) -> dict[int, float]:
        """Return what the account was worth, quote units, by step, of all sessions."""
        return dict(self._database.execute("SELECT time_ms, equity FROM equity"))

    def note(self, time_ms: int, kind: str, text: str) -> None:
        """Note anything else in words: an error, a refusal, a limit, a difference."""
        values = (self.session, time_ms, kind, text)
        with self.transaction() as database:
            database.execute(
                "INSERT INTO notes (session, time_ms, kind, text) VALUES (?, ?, ?, ?)", values
            )

    def notes(self, kind: str | None = None) -> list[Note]:
        """Return the notes of all sessions, of one kind or all."""
        rows = self._database.execute("SELECT time_ms, kind, text FROM notes ORDER BY number")
        return [Note(*row) for row in rows if kind is None or row[1] == kind]

    def remember(self, name: str, value: float) -> None:
        """Keep a number beyond the session, such as the highest equity."""
        with self.transaction() as database:
            database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, repr(value)))

    def recall(self, name: str) -> float | None:
        """Return a number that was kept, ``None`` where there is none."""
        query = "SELECT value FROM meta WHERE name = ?"
        row = self._database.execute(query, (name,)).fetchone()
        return None if row is None else float(row[0])

    # The file -------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the database; what is done to it in the block is done together, or not at all.

        Raises:
            JournalError: it cannot be written: the disk is full, say, or was taken away.
        """
        database = self._database
        try:
            database.execute("BEGIN IMMEDIATE")
            yield database
            database.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):  # a full disk has rolled it back already
                database.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                remedy = "close what holds it" if "locked" in str(error) else "free the disk"
                raise JournalError(
                    f"what happens is written into the journal first, it cannot be ({error}): "
                    f"{remedy}, then start the session again; what was confirmed is in it"
                ) from error
            raise

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a question that changes nothing; it waits for no writer."""
        return list(self._database.execute(query, values))

    def _one(self, query: str, *values: object) -> tuple[Any, ...]:
        row: tuple[Any, ...] = self._database.execute(query, values).fetchone()
        return row

    def _write(
        self, database: sqlite3.Connection, record: OrderRecord, news: OrderNews, time_ms: int
    ) -> None:
        database.execute(
            "UPDATE orders SET state = ?, exchange_id = ?, filled = ?, why = ?, updated_ms = ?,"
            " exchange_ms = ? WHERE client_id = ?",
            (
                news.state,
                news.exchange_id or record.exchange_id,
                news.filled,
                news.why,
                time_ms,
                max(news.exchange_ms, record.exchange_ms),
                record.intent.client_id,
            ),
        )
        _log_state(database, record.intent.client_id, news, time_ms)

    def _check_same(self, fill: TradeFill) -> None:
        query = "SELECT side, price, quantity FROM fills WHERE symbol = ? AND trade_id = ?"
        known = self._one(query, fill.symbol, fill.trade_id)
        if known != (fill.side, fill.price, fill.quantity):
            raise JournalError(
                f"a trade happens once, {fill.symbol} {fill.trade_id} was {known} and is now "
                f"{(fill.side, fill.price, fill.quantity)}: reconcile by hand"
            )


def _log_state(database: sqlite3.Connection, client_id: str, news: OrderNews, time_ms: int) -> None:
    values = (client_id, time_ms, news.state, news.filled, news.exchange_ms, news.why)
    database.execute("INSERT INTO order_states VALUES (?, ?, ?, ?, ?, ?)", values)


def _to_order(row: tuple[Any, ...]) -> OrderRecord:
    names = _ORDER_COLUMNS.split(", ")
    return OrderRecord(
        **dict(zip(names, (OrderIntent(**json.loads(row[0])), *row[1:]), strict=True))
    )


def _to_fill(row: tuple[Any, ...]) -> TradeFill:
    maker = None if row[9] is None else bool(row[9])
    return TradeFill(**dict(zip(_FILL_COLUMNS.split(", "), (*row[:9], maker), strict=True)))
