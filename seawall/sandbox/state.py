"""What survives a restart: accounts, balances, orders, trades and counters, in one SQLite file.

Everything that a request or a print has changed is written in one transaction before the answer
leaves. What is read back continues to the unit; markets come from the configuration again, and a
running clock finds orders that were filled while the exchange was down.
"""

import json
import sqlite3
from collections import Counter
from dataclasses import fields
from pathlib import Path

from seawall.errors import DataError
from seawall.sandbox import linear_state
from seawall.sandbox.accounts import Account
from seawall.sandbox.exchange import Exchange
from seawall.sandbox.gateway import encode
from seawall.sandbox.order_lists import join
from seawall.sandbox.orders import Order, Trade

SCHEMA_VERSION = 3
_ORDER_FIELDS = tuple(one.name for one in fields(Order))
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS accounts (name TEXT PRIMARY KEY, key TEXT, secret TEXT, value TEXT);
CREATE TABLE IF NOT EXISTS orders
    (account TEXT, code TEXT, number INTEGER, value TEXT, PRIMARY KEY (account, code, number));
CREATE TABLE IF NOT EXISTS trades
    (account TEXT, code TEXT, number INTEGER, order_number INTEGER, value TEXT,
     PRIMARY KEY (account, code, number, order_number));
"""


class State:
    """One exchange's file."""

    def __init__(self, path: Path, exchange: Exchange) -> None:
        """Open a file, made where there is none, and read what it holds into the exchange.

        Raises:
            DataError: the file is no state of an exchange, or of another version.
        """
        self._exchange = exchange
        self._orders: dict[tuple[str, str, int], Order] = {}
        self._trades: list[tuple[str, Trade]] = []
        self._accounts: dict[str, Account] = {}
        try:
            self._file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute("PRAGMA synchronous=NORMAL")
            self._file.executescript(_TABLES + linear_state.TABLES)
            self._check_version(path)
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"an exchange's state is a SQLite file, {path} is not ({error}): name another"
            ) from None
        self._linear = linear_state.LinearState(self._file, exchange.linear)
        self._read()
        exchange.spot.reports.append(self._note)

    def flush(self) -> None:
        """Write what has changed since the last time, all of it or nothing."""
        self._accounts.update(self._linear.owners)
        if not (self._orders or self._accounts or self._linear.is_dirty):
            return
        orders = [
            (*key, encode({name: getattr(order, name) for name in _ORDER_FIELDS}))
            for key, order in self._orders.items()
        ]
        self._file.execute("BEGIN")
        self._file.executemany("INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?)", orders)
        self._file.executemany(
            "INSERT OR REPLACE INTO trades VALUES (?, ?, ?, ?, ?)",
            [
                (name, trade.code, trade.trade_id, trade.order_id, encode(trade))
                for name, trade in self._trades
            ],
        )
        self._file.executemany(  # rows stay where they are: accounts keep their order
            "INSERT INTO accounts VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
            "key = excluded.key, secret = excluded.secret, value = excluded.value",
            [
                (name, account.key, account.secret.decode(), encode(_describe(account)))
                for name, account in self._accounts.items()
            ],
        )
        self._linear.write()
        self._put("counters", encode([dict(one) for one in self._counters()]))
        self._put("now_ms", str(self._exchange.event_ms))
        self._file.execute("COMMIT")
        self._orders.clear()
        self._trades.clear()
        self._accounts.clear()

    def note_accounts(self) -> None:
        """Write all accounts: one was opened, or something was paid in."""
        self._accounts.update(self._exchange.accounts.by_name)
        self._linear.note_all()
        self.flush()

    def close(self) -> None:
        """Write what is left and close the file."""
        self.note_accounts()
        self._file.close()

    def _note(self, account: Account, order: Order, _kind: str, trade: Trade | None) -> None:
        self._orders[account.name, order.code, order.order_id] = order
        self._accounts[account.name] = account
        if trade is not None:
            self._trades.append((account.name, trade))

    def _check_version(self, path: Path) -> None:
        found = self._get("version")
        if found is None:
            self._put("version", str(SCHEMA_VERSION))
        elif found != str(SCHEMA_VERSION):
            raise DataError(
                f"an exchange's state has version {SCHEMA_VERSION}, {path} has {found}: "
                "name another file"
            )

    def _read(self) -> None:
        counters = json.loads(self._get("counters") or "[{}, {}, {}, {}, {}]")
        for counter, stored in zip(self._counters(), counters, strict=True):
            counter.update(stored)
        for name, key, secret, value in self._file.execute("SELECT * FROM accounts ORDER BY rowid"):
            self._read_account(name, key, secret, json.loads(value))
        self._read_orders()
        rows = self._file.execute("SELECT account, value FROM trades ORDER BY code, number")
        for name, value in rows.fetchall():
            trade = Trade(*json.loads(value))
            account = self._exchange.accounts.by_name[name]
            account.history(trade.code).trades.append(trade)
        self._linear.read(self._exchange.accounts.by_name)

    def _counters(self) -> tuple[Counter[str], ...]:
        desk = self._exchange.spot
        return desk.house, desk.fees, desk.n_orders, desk.n_trades, desk.n_lists

    def _read_orders(self) -> None:
        """Read all orders, and put the open ones back into their books by time of arrival."""
        desk, accounts = self._exchange.spot, self._exchange.accounts
        rows = self._file.execute("SELECT value FROM orders ORDER BY code, number")
        opened: list[Order] = []
        paired: dict[str, list[Order]] = {}
        for (value,) in rows.fetchall():
            stored = json.loads(value)
            order = Order(**{name: stored[name] for name in _ORDER_FIELDS})
            history = accounts.by_name[order.account].history(order.code)
            history.add(order)
            if order.list_id >= 0:
                paired.setdefault(order.account, []).append(order)
            if order.is_open:
                opened.append(order)
            else:
                history.close(order)
        for order in sorted(opened, key=lambda one: (one.working_ms, one.order_id)):
            if order.code in desk.books:
                desk.books[order.code].restore(order)
        for name, legs in paired.items():
            accounts.by_name[name].order_lists = join(legs)

    def _read_account(self, name: str, key: str, secret: str, stored: dict[str, object]) -> None:
        accounts = self._exchange.accounts
        if name not in accounts.by_name:
            self._exchange.open_account(name, key=key, secret=secret, balances={})
        account = accounts.by_name[name]
        account.balances.clear()
        balances = stored["balances"]
        if isinstance(balances, dict):
            for asset, (free, locked) in balances.items():
                balance = account.balance(asset)
                balance.free, balance.locked = free, locked

    def remember(self, name: str, value: str) -> None:
        """Keep a setting that the next start must not choose anew, such as history's shift."""
        self._put(f"setting:{name}", value)

    def recall(self, name: str) -> str | None:
        """Return a remembered setting."""
        return self._get(f"setting:{name}")

    def _get(self, name: str) -> str | None:
        row = self._file.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def _put(self, name: str, value: str) -> None:
        self._file.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))


def saved_time_ms(path: Path) -> int | None:
    """Return the exchange's time when a state was last written, None where there is none."""
    found = _peek(path, "now_ms")
    return None if found is None else int(found)


def saved_number(path: Path, name: str) -> int | None:
    """Return a remembered setting that is a number, None where there is none."""
    found = saved_text(path, name)
    return None if found is None else int(found)


def saved_text(path: Path, name: str) -> str | None:
    """Return a remembered setting, None where there is none."""
    return _peek(path, f"setting:{name}")


def _peek(path: Path, name: str) -> str | None:
    """Return an entry of a file's meta table without opening the exchange's state."""
    if not path.is_file():
        return None
    file = sqlite3.connect(path)
    try:
        row = file.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    except sqlite3.DatabaseError:
        return None
    finally:
        file.close()
    return None if row is None else str(row[0])


def _describe(account: Account) -> dict[str, object]:
    return {"balances": {asset: [one.free, one.locked] for asset, one in account.balances.items()}}
