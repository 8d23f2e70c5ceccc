"""A paper session's client on the local exchange, and a second client that tells the truth."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sandbox_clients import KEY, SECRET, spot_client

from seawall.paper.client import ExchangeClient
from seawall.paper.connect import connect
from seawall.paper.faults import ExchangeFault
from seawall.paper.guard import local_venue
from seawall.paper.journal import PaperJournal
from seawall.paper.order import OrderIntent, OrderRecord
from seawall.sandbox.faults import Fault
from seawall.sandbox.server import ServerThread
from seawall.units import MINUTE_MS

SYMBOL = "ETH/USDT"
MARKET = OrderIntent(client_id="", symbol=SYMBOL, side="buy", type="market", quantity=0.5)
RESTING = replace(MARKET, type="limit", price=1000.0)


class Desk:
    """A paper client, the exchange it trades on, and a second client that tells the truth."""

    def __init__(self, thread: ServerThread, file: Path, *, is_new: bool = True) -> None:
        self.thread = thread
        self.clock = thread.server.exchange.clock.now_ms
        keys = {"apiKey": KEY, "secret": SECRET}
        settings = {"enableRateLimit": False, "timeout": 400}
        raw = connect(local_venue(thread.url, "spot"), keys, settings=settings)
        self.journal = PaperJournal(file)
        self.client = ExchangeClient(raw, self.journal, clock=self.clock)
        self.truth = spot_client(thread)
        raw.load_markets()
        self.truth.load_markets()
        self.journal.begin_session(self.clock(), venue="local", recipe="")
        if is_new:
            self.journal.set_baseline("balance", self.client.balances(), self.clock())

    def strike(self, **fault: Any) -> None:
        """Let a fault wait for the next order."""
        one = Fault(**{"path": "/api/v3/order$", "method": "POST", **fault})
        self.thread.call(lambda: self.thread.server.faults.add(one))

    def place(self, intent: OrderIntent = MARKET) -> OrderRecord:
        """Send an order."""
        return self.client.place(replace(intent, client_id=self.journal.new_client_id()))

    def settle(self) -> None:
        """Do what a session does at every turn, now and after the receive window."""
        for _ in range(2):
            try:
                self.client.resolve_all()
                self.client.sync_trades(SYMBOL)
            except ExchangeFault as error:
                if error.fault.cause not in ("rate_limited", "banned", "unknown", "maintenance"):
                    raise
            self.thread.step(2 * MINUTE_MS)
        self.client.resolve_all()
        self.client.sync_trades(SYMBOL)

    def check(self, *, n_orders: int) -> None:
        """Assert that what is believed is true, and that no order was sent twice."""
        truth: Any = self.truth
        told = truth.fetch_balance()["total"]
        believed = self.journal.believed("balance")
        for asset in ("ETH", "USDT"):
            assert believed[asset] == pytest.approx(told[asset], abs=1e-8)
        open_there = {one["clientOrderId"] for one in truth.fetch_open_orders(SYMBOL)}
        assert {one.intent.client_id for one in self.journal.orders("open")} == open_there
        trades = pages(truth.fetch_my_trades, "fromId")
        assert {fill.trade_id for fill in self.journal.fills()} == trades
        assert len(pages(truth.fetch_orders, "orderId")) == n_orders
        assert self.journal.unresolved() == []


def pages(fetch: Any, name: str) -> set[str]:
    """Return the ids of all rows of a list that comes in pages, ``name`` being the first id."""
    found: set[str] = set()
    while True:
        first = max((int(one) for one in found), default=-1) + 1
        rows = fetch(SYMBOL, None, 1000, {name: first})
        if not {one["id"] for one in rows} - found:
            return found
        found |= {one["id"] for one in rows}
