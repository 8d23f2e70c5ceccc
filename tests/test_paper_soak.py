"""Many orders through random faults, and sessions killed at random moments: belief is truth."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from paper_desk import MARKET, RESTING, SYMBOL, Desk
from request_faults import FAULTS
from sandbox_clients import KEY, SECRET, exchange, wavy

from seawall.paper.faults import ExchangeFault
from seawall.paper.reconcile import reconcile
from seawall.sandbox.faults import Fault
from seawall.sandbox.server import Server, ServerThread
from seawall.units import MINUTE_MS

pytestmark = pytest.mark.slow  # whole sessions and processes


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Return a desk on an exchange with many bars."""
    with ServerThread(Server(exchange(wavy(40_000)))) as thread:
        thread.step(5 * MINUTE_MS)
        one = Desk(thread, tmp_path / "journal")
        yield one
        one.journal.close()


def act(desk: Desk, draws: random.Random) -> None:
    """Do one random thing, as an agent would."""
    open_now = desk.journal.orders("open")
    quantity = draws.choice([0.01, 0.02, 0.03])
    side: Any = draws.choice(["buy", "sell"])
    choice = draws.random()
    if choice < 0.45:
        desk.place(replace(MARKET, side=side, quantity=quantity))
    elif choice < 0.8 or not open_now:
        price = round((2995.0 if side == "buy" else 3020.0) + draws.randint(-10, 10), 2)
        desk.place(replace(RESTING, side=side, quantity=quantity, price=price))
    else:
        desk.client.cancel(draws.choice(open_now).intent.client_id)


def live_through(desk: Desk, n_turns: int, seed: int, *, n_acts: int = 1) -> None:
    """Act, once or more, and look after the account by turns; a third of all requests fail."""
    draws = random.Random(seed)  # noqa: S311 - a test's choices
    for _ in range(n_turns):
        fault = Fault(
            **{
                "path": "/api/v3/(order|openOrders|myTrades|account|allOrders)$",
                "stage": draws.choice(["before", "after"]),
                "probability": 0.34,
                **draws.choice(FAULTS),
            }
        )
        desk.thread.call(lambda fault=fault: desk.thread.server.faults.add(fault))  # type: ignore[misc]
        acts = [lambda: act(desk, draws)] * n_acts
        for step in (*acts, desk.client.resolve_all, _sync(desk)):
            try:
                step()
            except ExchangeFault:
                continue
        desk.thread.step(draws.choice([500, 5_000, 20_000, MINUTE_MS]))
    desk.thread.call(desk.thread.server.faults.clear)


def _sync(desk: Desk) -> Any:
    return lambda: desk.client.sync_trades(SYMBOL)


def check_no_secret(desk: Desk) -> None:
    """Assert that the journal holds neither keys nor signatures, whatever errors it has noted."""
    file = desk.journal._one("SELECT file FROM pragma_database_list WHERE name = 'main'")[0]
    for part in ("", "-wal"):
        content = Path(file + part).read_bytes() if Path(file + part).exists() else b""
        assert KEY.encode() not in content
        assert SECRET.encode() not in content
        assert not re.search(rb"signature=[0-9a-f]", content)


def check_end(desk: Desk) -> int:
    """Assert that belief is truth and nothing was doubled; return how many orders there were."""
    desk.settle()
    desk.settle()
    accepted = [one for one in desk.journal.orders() if one.exchange_id]
    desk.check(n_orders=len(accepted))
    assert reconcile(desk.client, [SYMBOL], market="spot").differences == ()
    check_no_secret(desk)
    ids = [one.intent.client_id for one in desk.journal.orders()]
    assert len(ids) == len(set(ids))
    return len(ids)


@pytest.mark.parametrize("seed", [1, 2])
def test_faults_by_chance(desk: Desk, seed: int) -> None:
    """Sixty turns."""
    live_through(desk, 60, seed)
    assert check_end(desk) > 30


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 14))
def test_many_faults_by_chance(desk: Desk, seed: int) -> None:
    """Two hundred and fifty turns, four times."""
    live_through(desk, 250, seed)
    assert check_end(desk) > 120


@pytest.mark.slow
def test_ten_thousand_orders(desk: Desk) -> None:
    """More than 10,000 orders while a third of all requests meet a fault: belief is truth."""
    live_through(desk, 1_350, 99, n_acts=10)
    assert check_end(desk) >= 10_000


_SESSION = """
import sys
from pathlib import Path
from seawall.paper.client import ExchangeClient
from seawall.paper.connect import connect
from seawall.paper.guard import local_venue
from seawall.paper.journal import PaperJournal
from seawall.paper.order import OrderIntent
from seawall.paper.reconcile import reconcile

url, file, key, secret, now_ms = sys.argv[1:]
keys = {"apiKey": key, "secret": secret}
raw = connect(local_venue(url, "spot"), keys, settings={"enableRateLimit": False})
raw.load_markets()
journal = PaperJournal(Path(file))
client = ExchangeClient(raw, journal, clock=lambda: int(now_ms))
journal.begin_session(int(now_ms), venue="local", recipe="")
reconcile(client, ["ETH/USDT"], market="spot")
print("ready", flush=True)
while True:
    for kind, price in (("market", None), ("limit", 1000.0)):
        intent = OrderIntent(client_id=journal.new_client_id(), symbol="ETH/USDT", side="buy",
                             type=kind, quantity=0.01, price=price)
        record = client.place(intent)
    client.sync_trades("ETH/USDT")
    client.cancel(record.intent.client_id)
"""


def kill_sessions(desk: Desk, n_kills: int) -> None:
    """Start a session, kill it at a random moment, start the next; at the end all agrees."""
    draws = random.Random(3)  # noqa: S311 - a test's choices
    file = desk.journal._one("SELECT file FROM pragma_database_list WHERE name = 'main'")[0]
    desk.journal.close()
    for _ in range(n_kills):
        now = str(desk.clock())
        command = [sys.executable, "-c", _SESSION, desk.thread.url, file, KEY, SECRET, now]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == b"ready\n", process.stderr.read().decode()
            time.sleep(draws.random() * 0.1)
            process.send_signal(signal.SIGKILL)
        desk.thread.step(MINUTE_MS)  # the receive window passes: what was in flight is decided
    again = Desk(desk.thread, Path(file), is_new=False)
    assert check_end(again) > n_kills
    again.journal.close()


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_a_killed_session_goes_on(desk: Desk) -> None:
    """Three kills: each next start reconciles without --adopt."""
    kill_sessions(desk, 3)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_thirty_killed_sessions(desk: Desk) -> None:
    """Thirty kills of one account's sessions: nothing lost, nothing doubled."""
    kill_sessions(desk, 30)
