"""What of the futures desk survives a restart: wallets, positions, orders, trades, incomes, sums.

Floats are written so that they read back to the bit. Listen keys are not kept: their streams are
gone with the process. Funding stamps and marks follow from where the markets stand.
"""

import json
import sqlite3
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TypeVar

from seawall.sandbox.accounts import Account
from seawall.sandbox.algo import AlgoOrder
from seawall.sandbox.gateway import encode
from seawall.sandbox.linear_desk import LinearDesk
from seawall.sandbox.orders import Order, Trade
from seawall.sandbox.seat import Income, Seat

TABLES = """
CREATE TABLE IF NOT EXISTS linear_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS seats (account TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS linear_orders
    (account TEXT, code TEXT, number INTEGER, value TEXT, PRIMARY KEY (account, code, number));
CREATE TABLE IF NOT EXISTS linear_trades
    (account TEXT, code TEXT, number INTEGER, order_number INTEGER, value TEXT,
     PRIMARY KEY (account, code, number, order_number));
CREATE TABLE IF NOT EXISTS algos (number INTEGER PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS incomes
    (account TEXT, number INTEGER, value TEXT, PRIMARY KEY (account, number));
"""
_ORDER_FIELDS = tuple(one.name for one in fields(Order))
_ALGO_FIELDS = tuple(one.name for one in fields(AlgoOrder))
T = TypeVar("T", Order, AlgoOrder)


class LinearState:
    """The tables of the futures desk in an exchange's file, and what has to be written."""

    def __init__(self, file: sqlite3.Connection, desk: LinearDesk) -> None:
        """Hear of everything at the desk from now on; the tables are there."""
        self._file, self._desk = file, desk
        self._seats: dict[str, Seat] = {}
        self._orders: dict[tuple[str, str, int], Order] = {}
        self._trades: list[tuple[str, Trade]] = []
        self._algos: dict[int, AlgoOrder] = {}
        self._n_written: dict[str, int] = {}  # incomes, by account
        self.owners: dict[str, Account] = {}  # whose spot wallet has changed
        desk.tell.witnesses.append(self)

    @property
    def is_dirty(self) -> bool:
        """Whether anything has to be written."""
        return bool(self._seats or self._orders or self._algos)

    def on_order(self, seat: Seat, order: Order, _kind: str, trade: Trade | None) -> None:
        """Note an order and its fill."""
        self._seats[seat.name] = seat
        self._orders[seat.name, order.code, order.order_id] = order
        if trade is not None:
            self._trades.append((seat.name, trade))

    def on_algo(self, seat: Seat, algo: AlgoOrder, _status: str) -> None:
        """Note a conditional order."""
        self._seats[seat.name] = seat
        self._algos[algo.algo_id] = algo

    def on_account(self, seat: Seat, reason: str, _rows: tuple[int, ...]) -> None:
        """Note a wallet and positions."""
        self._seats[seat.name] = seat
        if reason in {"DEPOSIT", "WITHDRAW"}:
            self.owners[seat.name] = seat.owner

    def on_income(self, seat: Seat, _income: Income) -> None:
        """Note a wallet."""
        self._seats[seat.name] = seat

    def note_all(self) -> None:
        """Note every wallet: something may have happened before anybody listened."""
        self._seats.update(self._desk.seats)

    def write(self) -> None:
        """Write what was noted; the caller has begun a transaction and will commit it."""
        trailing = [one for held in self._desk.waiting.values() for one in held if one.extreme]
        self._algos.update({one.algo_id: one for one in trailing})
        self._put_many(
            "INSERT OR REPLACE INTO linear_orders VALUES (?, ?, ?, ?)",
            [(*key, _to_text(order, _ORDER_FIELDS)) for key, order in self._orders.items()],
        )
        self._put_many(
            "INSERT OR REPLACE INTO linear_trades VALUES (?, ?, ?, ?, ?)",
            [(name, one.code, one.trade_id, one.order_id, encode(one))
             for name, one in self._trades],
        )  # fmt: skip
        self._put_many(
            "INSERT OR REPLACE INTO algos VALUES (?, ?)",
            [(number, _to_text(algo, _ALGO_FIELDS)) for number, algo in self._algos.items()],
        )
        self._put_many(
            "INSERT INTO seats VALUES (?, ?) ON CONFLICT (account) DO UPDATE SET "
            "value = excluded.value",
            [(name, encode(self._describe(seat))) for name, seat in self._seats.items()],
        )
        for name, seat in self._seats.items():
            known = self._n_written.get(name, 0)
            fresh = [(name, one.number, encode(one)) for one in seat.incomes if one.number > known]
            self._put_many("INSERT OR REPLACE INTO incomes VALUES (?, ?, ?)", fresh)
            self._n_written[name] = seat.n_incomes
        self._write_sums()
        for noted in (self._orders, self._algos, self._seats, self.owners, self._trades):
            noted.clear()

    def read(self, accounts: Mapping[str, Account]) -> None:
        """Read everything into the desk; accounts are there already."""
        self._read_sums()
        rows = self._file.execute("SELECT account, value FROM seats ORDER BY rowid").fetchall()
        for name, value in rows:
            self._read_seat(self._desk.seat(accounts[name]), json.loads(value))
        self._read_orders()
        self._read_algos()
        found = self._file.execute(
            "SELECT account, value FROM linear_trades ORDER BY code, number"
        ).fetchall()
        for name, value in found:
            trade = Trade(*json.loads(value))
            self._desk.seats[name].history(trade.code).trades.append(trade)

    def _put_many(self, text: str, rows: Sequence[tuple[object, ...]]) -> None:
        if rows:
            self._file.executemany(text, rows)

    def _describe(self, seat: Seat) -> dict[str, object]:
        codes = self._desk.codes
        return {
            "wallet": seat.wallet.tolist(),
            "positions": dict(zip(codes, seat.positions.tolist(), strict=True)),
            "update_ms": dict(zip(codes, seat.update_ms, strict=True)),
            "n_incomes": seat.n_incomes,
        }

    def _write_sums(self) -> None:
        desk = self._desk
        sums = {
            "house": desk.house.to_list(),
            "holdings": dict(zip(desk.codes, desk.house.holdings.tolist(), strict=True)),
            "n_orders": dict(desk.n_orders),
            "n_trades": dict(desk.n_trades),
            "n_algos": desk.n_algos,
        }
        self._put_many("INSERT OR REPLACE INTO linear_meta VALUES ('sums', ?)", [(encode(sums),)])

    def _read_sums(self) -> None:
        row = self._file.execute("SELECT value FROM linear_meta WHERE name = 'sums'").fetchone()
        if row is None:
            return
        sums, desk = json.loads(row[0]), self._desk
        held = {
            desk.rows[code]: held for code, held in sums["holdings"].items() if code in desk.rows
        }
        desk.house.read(sums["house"], held)
        desk.n_orders.update(sums["n_orders"])
        desk.n_trades.update(sums["n_trades"])
        desk.n_algos = sums["n_algos"]

    def _read_seat(self, seat: Seat, stored: Mapping[str, object]) -> None:
        seat.wallet[:] = stored["wallet"]  # type: ignore[call-overload]  # as it was written
        positions, updated = stored["positions"], stored["update_ms"]
        if isinstance(positions, dict) and isinstance(updated, dict):
            for code, values in positions.items():
                if code in self._desk.rows:
                    seat.positions[self._desk.rows[code]] = values
                    seat.update_ms[self._desk.rows[code]] = int(updated[code])
        rows = self._file.execute(
            "SELECT value FROM incomes WHERE account = ? ORDER BY number", (seat.name,)
        )
        incomes = [Income(*json.loads(value)) for (value,) in rows.fetchall()]
        seat.incomes = deque(incomes, maxlen=seat.incomes.maxlen)
        seat.n_incomes = self._n_written[seat.name] = int(str(stored["n_incomes"]))

    def _read_orders(self) -> None:
        """Read all orders, and put the open ones back into their books by time of arrival."""
        desk = self._desk
        rows = self._file.execute("SELECT value FROM linear_orders ORDER BY code, number")
        orders = [_from_text(Order, value, _ORDER_FIELDS) for (value,) in rows.fetchall()]
        for order in orders:
            history = desk.seats[order.account].history(order.code)
            history.add(order)
            if not order.is_open:
                history.close(order)
        opened = [one for one in orders if one.is_open and one.code in desk.books]
        for order in sorted(opened, key=lambda one: (one.working_ms, one.order_id)):
            desk.books[order.code].restore(order)
        forced = [one for one in orders if one.original_type == "LIQUIDATION"]
        for order in sorted(forced, key=lambda one: (one.time_ms, one.code, one.order_id)):
            desk.forced.append((order.account, order))

    def _read_algos(self) -> None:
        rows = self._file.execute("SELECT value FROM algos ORDER BY number")
        for (value,) in rows.fetchall():
            algo = _from_text(AlgoOrder, value, _ALGO_FIELDS)
            seat = self._desk.seats[algo.account]
            seat.algos.add(algo)
            if not algo.is_waiting:
                seat.algos.close(algo)
            elif algo.code in self._desk.waiting:
                self._desk.waiting[algo.code].append(algo)


def _to_text(order: Order | AlgoOrder, names: tuple[str, ...]) -> str:
    return encode({name: getattr(order, name) for name in names})


def _from_text(kind: type[T], text: str, names: tuple[str, ...]) -> T:
    stored = json.loads(text)
    return kind(**{name: stored[name] for name in names})
