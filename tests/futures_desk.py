"""A session's futures client on the local exchange, and a second one that tells the truth."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from linear_sandboxes import PERP, imbalance
from sandbox_clients import KEY, SECRET, usdm_client

from seawall.paper.client import ExchangeClient
from seawall.paper.connect import connect
from seawall.paper.faults import ExchangeFault
from seawall.paper.futures_book import FuturesBook
from seawall.paper.guard import local_venue
from seawall.paper.journal import PaperJournal
from seawall.paper.order import OrderIntent, OrderRecord
from seawall.paper.reconcile import Reconciliation, check, reconcile
from seawall.sandbox.faults import Fault
from seawall.sandbox.server import ServerThread
from seawall.units import MINUTE_MS

MARKET = OrderIntent(client_id="", symbol=PERP, side="buy", type="market", quantity=0.5)
RESTING = replace(MARKET, type="limit", price=2_900.0)
STOP = replace(MARKET, side="sell", type="stop", stop_price=2_900.0, reduce_only=True)
STOP_LIMIT = replace(STOP, type="stop_limit", price=2_890.0)
CLOSING = replace(MARKET, side="sell", reduce_only=True)
ORDERS = {"market": MARKET, "limit": RESTING, "stop": STOP, "stop limit": STOP_LIMIT}


class FuturesDesk:
    """A paper client of Alice's futures, and an unmodified client with the same keys."""

    def __init__(self, thread: ServerThread, file: Path) -> None:
        self.thread = thread
        self.clock = thread.server.exchange.clock.now_ms
        keys = {"apiKey": KEY, "secret": SECRET}
        settings = {"enableRateLimit": False, "timeout": 400}
        raw = connect(local_venue(thread.url, "perpetual"), keys, settings=settings)
        self.journal = PaperJournal(file)
        self.client = ExchangeClient(raw, self.journal, clock=self.clock)
        self.truth: Any = usdm_client(thread)
        raw.load_markets()
        self.truth.load_markets()
        self.journal.begin_session(self.clock(), venue="local", recipe="")
        self.book: FuturesBook = self.client.open_futures([PERP], asset="USDT")

    def close(self) -> None:
        """Close sockets and file."""
        self.client.exchange.session.close()
        self.truth.session.close()
        self.journal.close()

    def reconcile(self, *, adopt: bool = False) -> Reconciliation:
        """Compare at a start."""
        return reconcile(self.client, [PERP], market="perpetual", adopt=adopt)

    def kinds(self) -> list[str]:
        """Return the kinds of what differs now."""
        return [row.kind for row in check(self.client, [PERP], market="perpetual")]

    def strike(self, **fault: Any) -> None:
        """Let a fault wait for the next order, conditional ones among them."""
        one = Fault(**{"path": "/fapi/v1/(order|algoOrder)$", "method": "POST", **fault})
        self.thread.call(lambda: self.thread.server.faults.add(one))

    def calm(self) -> None:
        """Let no fault wait any more."""
        self.thread.call(self.thread.server.faults.clear)

    def place(self, intent: OrderIntent = MARKET) -> OrderRecord:
        """Send an order."""
        return self.client.place(replace(intent, client_id=self.journal.new_client_id()))

    def settle(self) -> None:
        """Do what a session does at every turn, now and after the receive window."""
        for _ in range(2):
            try:
                self.look()
            except ExchangeFault as error:
                if error.fault.cause not in ("rate_limited", "banned", "unknown", "maintenance"):
                    raise
            self.thread.step(2 * MINUTE_MS)
        self.look()

    def look(self) -> None:
        """Ask what became of everything."""
        self.client.resolve_all()
        self.client.sync_trades(PERP)
        self.book.resolve_moves()

    def check(self, *, n_sent: int | None = None) -> None:
        """Assert that what is believed is true; ``n_sent``: so many orders reached the exchange."""
        assert self.reconcile().differences == ()
        held = {one["symbol"]: one for one in self.truth.fetch_positions()}
        mine = self.journal.believed("position").get(PERP, 0.0)
        told = held.get(PERP)
        signed = 0.0 if told is None else told["contracts"] * (1 if told["side"] == "long" else -1)
        assert mine == pytest.approx(signed, abs=1e-9)
        wallet = float(self.truth.fetch_balance()["info"]["totalWalletBalance"])
        assert self.book.wallet == pytest.approx(wallet, abs=1e-5)
        listed = self.truth.fetch_open_orders(PERP)
        listed += self.truth.fetch_open_orders(PERP, params={"trigger": True})
        open_there = {one["clientOrderId"] for one in listed}
        assert {one.intent.client_id for one in self.journal.orders("open")} == open_there
        assert self.journal.unresolved() == []
        assert self.book.unresolved_moves() == []
        seat = self.thread.server.exchange.linear.seats["alice"]
        history = seat.history("ETHUSDT")
        assert len(self.journal.fills(PERP)) == len(history.trades)
        assert abs(imbalance(self.thread.server.exchange)) < 1e-4
        if n_sent is not None:
            plain = [one for one in history.orders.values() if not one.stop_price]
            assert len(plain) + len(seat.algos.orders) == n_sent
