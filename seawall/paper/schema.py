"""The tables of a paper journal, and how a file is opened as one."""

import os
import sqlite3
import time
from pathlib import Path

from seawall.paper.errors import JournalError

VERSION = 2
APPLICATION = 0x5EA3A11  # PRAGMA application_id: tells this journal from other SQLite files
_PATIENCE_SECONDS, _RETRY_SECONDS = 5.0, 0.01

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY, started_ms INTEGER NOT NULL, ended_ms INTEGER, ended_why TEXT,
    venue TEXT NOT NULL, recipe TEXT NOT NULL, setup TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE TABLE orders (
    number INTEGER PRIMARY KEY AUTOINCREMENT, client_id TEXT NOT NULL UNIQUE,
    session INTEGER NOT NULL REFERENCES sessions (id), intent TEXT NOT NULL,
    symbol TEXT NOT NULL, state TEXT NOT NULL, exchange_id TEXT NOT NULL DEFAULT '',
    filled REAL NOT NULL DEFAULT 0, why TEXT NOT NULL DEFAULT '', intent_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL, exchange_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX orders_by_exchange ON orders (symbol, exchange_id);
CREATE INDEX orders_by_state ON orders (state);
CREATE TABLE order_states (
    client_id TEXT NOT NULL REFERENCES orders (client_id), time_ms INTEGER NOT NULL,
    state TEXT NOT NULL, filled REAL NOT NULL, exchange_ms INTEGER NOT NULL, why TEXT NOT NULL
) STRICT;
CREATE TABLE fills (
    number INTEGER PRIMARY KEY AUTOINCREMENT, symbol TEXT NOT NULL, trade_id TEXT NOT NULL,
    exchange_order_id TEXT NOT NULL, side TEXT NOT NULL, price REAL NOT NULL,
    quantity REAL NOT NULL, fee REAL NOT NULL, fee_asset TEXT NOT NULL, time_ms INTEGER NOT NULL,
    is_maker INTEGER, UNIQUE (symbol, trade_id)
) STRICT;
CREATE TABLE baselines (
    kind TEXT NOT NULL, name TEXT NOT NULL, amount REAL NOT NULL, time_ms INTEGER NOT NULL,
    after_fill INTEGER NOT NULL, PRIMARY KEY (kind, name)
) STRICT;
CREATE TABLE events (
    key TEXT PRIMARY KEY, time_ms INTEGER NOT NULL, kind TEXT NOT NULL, payload TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE decisions (
    number INTEGER PRIMARY KEY AUTOINCREMENT, session INTEGER NOT NULL, time_ms INTEGER NOT NULL,
    actions TEXT NOT NULL, reason TEXT NOT NULL, seen TEXT NOT NULL
) STRICT;
CREATE TABLE equity (
    session INTEGER NOT NULL, time_ms INTEGER NOT NULL, equity REAL NOT NULL, cash REAL NOT NULL,
    holdings TEXT NOT NULL, PRIMARY KEY (session, time_ms)
) STRICT, WITHOUT ROWID;
CREATE TABLE candles (
    symbol TEXT NOT NULL, timeframe TEXT NOT NULL, time_ms INTEGER NOT NULL, open REAL NOT NULL,
    high REAL NOT NULL, low REAL NOT NULL, close REAL NOT NULL, volume REAL NOT NULL,
    seen_ms INTEGER NOT NULL, PRIMARY KEY (symbol, timeframe, time_ms)
) STRICT, WITHOUT ROWID;
CREATE TABLE entries (
    number INTEGER PRIMARY KEY AUTOINCREMENT, session INTEGER NOT NULL, time_ms INTEGER NOT NULL,
    kind TEXT NOT NULL, symbol TEXT NOT NULL, order_id TEXT NOT NULL, text TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE TABLE agent_states (
    one INTEGER PRIMARY KEY CHECK (one = 1), time_ms INTEGER NOT NULL, state BLOB NOT NULL
) STRICT;
CREATE TABLE notes (
    number INTEGER PRIMARY KEY AUTOINCREMENT, session INTEGER NOT NULL, time_ms INTEGER NOT NULL,
    kind TEXT NOT NULL, text TEXT NOT NULL
) STRICT;
"""


def open_database(file: Path) -> sqlite3.Connection:
    """Return the connection to a journal, made where there is none; every commit is on the disk.

    Args:
        file: where; readable by this user only.

    Raises:
        JournalError: the file is no journal, of a later version, or damaged.
    """
    try:
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
        database = sqlite3.connect(file, isolation_level=None, timeout=_PATIENCE_SECONDS)
        try:
            _prepare(database, file)
        except BaseException:
            database.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise JournalError(f"the journal {file.name} cannot be used: {error}") from error
    return database


def _prepare(database: sqlite3.Connection, file: Path) -> None:
    # WAL with FULL: a commit is synced before it returns, so an intent is on the disk when the
    # order leaves, also through a loss of power.
    _switch_to_wal(database)
    database.execute("PRAGMA synchronous = FULL")
    database.execute("PRAGMA foreign_keys = ON")
    database.execute("BEGIN")
    application, version, n_tables = _read_marks(database)
    database.execute("COMMIT")
    if application == 0 and n_tables == 0:
        application, version = _make_tables(database)
    if application != APPLICATION:
        raise JournalError(f"{file.name} is no paper journal: name another file")
    if version != VERSION:
        raise JournalError(
            f"a journal of version {VERSION} is read, {file.name} has {version}: use the Seawall "
            "that wrote it, or another file"
        )
    (fault,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if fault != "ok":
        raise JournalError(f"the journal {file.name} is damaged ({fault}): restore or replace it")


def _switch_to_wal(database: sqlite3.Connection) -> None:
    """Turn a file to WAL; SQLite does not wait by itself where another process is doing the same.

    Raises:
        sqlite3.OperationalError: the file stays locked.
    """
    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            return


def _read_marks(database: sqlite3.Connection) -> tuple[int, int, int]:
    """Return application, version and number of tables; inside a transaction, so of one moment."""
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    (n_tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return application, version, n_tables


def _make_tables(database: sqlite3.Connection) -> tuple[int, int]:
    """Make the tables, unless another process has just done so; return application and version.

    Whoever looks at a session may open its journal in the moment in which that begins it.
    """
    database.execute("BEGIN IMMEDIATE")
    application, version, n_tables = _read_marks(database)
    if application == 0 and n_tables == 0:
        for statement in filter(str.strip, _TABLES.split(";")):
            database.execute(statement)
        application, version = APPLICATION, VERSION
        database.execute(f"PRAGMA application_id = {APPLICATION}")
        database.execute(f"PRAGMA user_version = {VERSION}")
    database.execute("COMMIT")
    return application, version
