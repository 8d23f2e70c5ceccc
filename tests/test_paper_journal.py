"""The paper journal: nothing written is lost, nothing is counted twice, nothing goes back."""

import multiprocessing
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.paper.account_lock import AccountLock
from seawall.paper.allowed import find_venue
from seawall.paper.errors import AccountLocked, JournalError
from seawall.paper.journal import PaperJournal
from seawall.paper.order import LAST_STATES, NEXT_STATES, OrderIntent, OrderNews, TradeFill

SPOT = find_venue("binance", "spot", "sandbox")
BUY = OrderIntent(
    client_id="", symbol="ETH/USDT", side="buy", type="limit", quantity=2.0, price=100.0
)
FILL = TradeFill(
    symbol="ETH/USDT", trade_id="1", exchange_order_id="7", side="buy", price=100.0, quantity=1.0,
    fee=0.001, fee_asset="ETH", time_ms=50,
)  # fmt: skip


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[PaperJournal]:
    """Return a journal with a session in it."""
    with PaperJournal(tmp_path / "journal.sqlite") as one:
        one.begin_session(1, venue=SPOT.name, recipe="x")
        yield one


def intend(journal: PaperJournal, **changes: Any) -> str:
    """Write an order down and return its id."""
    client_id = journal.new_client_id()
    journal.intend(replace(BUY, client_id=client_id, **changes), 10)
    return client_id


def test_an_order_goes_through_its_states(journal: PaperJournal) -> None:
    """Intended, unknown, open with 1 of 2 filled, filled; all of it in the history."""
    client_id = intend(journal)
    assert journal.order(client_id).state == "intended"
    assert [one.intent.client_id for one in journal.unresolved()] == [client_id]
    assert journal.tell(client_id, OrderNews(state="unknown", why="timed out"), 11)
    assert journal.tell(client_id, OrderNews(state="open", exchange_id="7", filled=1.0), 12)
    assert journal.tell(client_id, OrderNews(state="filled", filled=2.0, exchange_ms=9), 13)
    order = journal.order(client_id)
    assert (order.state, order.filled, order.exchange_id, order.is_over) == (
        "filled",
        2.0,
        "7",
        True,
    )
    assert order.intent == replace(BUY, client_id=client_id)
    assert [state for _, state, _, _ in journal.history(client_id)] == [
        "intended", "unknown", "open", "filled",
    ]  # fmt: skip
    assert journal.client_id_of("ETH/USDT", "7") == client_id
    assert journal.unresolved() == []


def test_stale_news_change_nothing(journal: PaperJournal) -> None:
    """An open state after a last one, less filled than known, or an older event."""
    client_id = intend(journal)
    journal.tell(client_id, OrderNews(state="open", filled=1.0, exchange_ms=100), 11)
    assert not journal.tell(client_id, OrderNews(state="open", filled=0.5, exchange_ms=101), 12)
    assert not journal.tell(client_id, OrderNews(state="open", filled=1.0, exchange_ms=99), 12)
    assert journal.tell(client_id, OrderNews(state="filled", filled=2.0, exchange_ms=99), 13)
    assert not journal.tell(client_id, OrderNews(state="open", exchange_ms=102), 14)
    assert not journal.tell(client_id, OrderNews(state="cancelled", filled=2.0), 14)
    assert journal.order(client_id).state == "filled"
    journal.correct(client_id, OrderNews(state="cancelled", filled=1.0), 15)
    assert journal.order(client_id).state == "cancelled"


def test_a_lost_order_may_still_arrive(journal: PaperJournal) -> None:
    """A late acceptance after a timeout is news; a rejection is the exchange's last word."""
    client_id = intend(journal)
    journal.tell(client_id, OrderNews(state="lost"), 11)
    assert journal.tell(client_id, OrderNews(state="open", exchange_id="9"), 12)
    rejected = intend(journal)
    journal.tell(rejected, OrderNews(state="rejected"), 11)
    assert not journal.tell(rejected, OrderNews(state="open"), 12)


NEWS = st.builds(
    OrderNews,
    state=st.sampled_from([state for state in NEXT_STATES if state != "intended"]),
    filled=st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    exchange_ms=st.integers(0, 20),
)


@settings(deadline=None, max_examples=30)
@given(st.lists(NEWS, max_size=12))
def test_what_is_filled_never_shrinks_and_an_end_stays(stream: list[OrderNews]) -> None:
    """Whatever order events come in, doubled and late ones too."""
    with TemporaryDirectory() as folder, PaperJournal(Path(folder) / "journal") as journal:
        journal.begin_session(0, venue="v", recipe="r")
        client_id = intend(journal)
        before = journal.order(client_id)
        for news in [*stream, *reversed(stream)]:
            journal.tell(client_id, news, 20)
            after = journal.order(client_id)
            assert after.filled >= before.filled
            if before.state in LAST_STATES - {"lost"}:
                assert after == before
            before = after
            assert not journal.tell(client_id, OrderNews(state="open", filled=-1.0), 21)


def test_ids_are_never_given_twice(tmp_path: Path) -> None:
    """Not over orders, sessions and restarts, nor by another journal; letters and digits only."""
    seen: set[str] = set()
    for name in ("a", "a", "b"):
        with PaperJournal(tmp_path / name) as journal:
            for _ in range(2):
                journal.begin_session(1, venue="v", recipe="r")
                for _ in range(3):
                    one = intend(journal)
                    assert one.isalnum()
                    assert len(one) <= 22
                    assert one.startswith(journal.mark)
                    assert one not in seen
                    seen.add(one)
    assert len(seen) == 18


def test_an_id_is_written_once(journal: PaperJournal) -> None:
    """The same id again, or no session, is refused."""
    client_id = intend(journal)
    with pytest.raises(JournalError, match="new"):
        journal.intend(replace(BUY, client_id=client_id), 11)
    with pytest.raises(JournalError, match="in the journal"):
        journal.tell("nobody", OrderNews(state="open"), 12)


def test_fills_are_counted_once(journal: PaperJournal) -> None:
    """Told twice, counted once; the same trade with other numbers is an error."""
    assert journal.add_fills([FILL, FILL]) == [FILL]
    assert journal.add_fills([FILL, replace(FILL, trade_id="2")]) == [replace(FILL, trade_id="2")]
    assert journal.add_fills([replace(FILL, symbol="BTC/USDT")])
    assert len(journal.fills()) == 3
    assert journal.fills("BTC/USDT") == [replace(FILL, symbol="BTC/USDT")]
    with pytest.raises(JournalError, match="once"):
        journal.add_fills([replace(FILL, trade_id="3"), replace(FILL, quantity=5.0)])
    assert len(journal.fills()) == 3  # all or nothing
    assert journal.last_fill_ms("ETH/USDT") == 50


def test_what_is_believed_is_the_baseline_and_the_fills_after_it(journal: PaperJournal) -> None:
    """10 ETH, 1000 USDT; bought 1 at 100 for 0.001 ETH: 10.999 ETH, 900 USDT; position 1."""
    journal.add_fills([replace(FILL, trade_id="0")])  # before the baseline: in it already
    journal.set_baseline("balance", {"ETH": 10.0, "USDT": 1000.0}, 5)
    journal.set_baseline("position", {}, 5)
    journal.add_fills([FILL])
    assert journal.believed("balance") == pytest.approx({"ETH": 10.999, "USDT": 900.0})
    assert journal.believed("position") == {"ETH/USDT": 1.0}
    sold = replace(FILL, trade_id="2", side="sell", quantity=3.0, fee=0.3, fee_asset="BNB")
    journal.add_fills([sold])
    assert journal.believed("balance") == pytest.approx({"ETH": 7.999, "USDT": 1200.0, "BNB": -0.3})
    assert journal.believed("position") == {"ETH/USDT": -2.0}


def test_an_empty_baseline_is_one(journal: PaperJournal) -> None:
    """An account without positions was looked at, and has none."""
    assert not journal.has_baseline("position")
    journal.add_fills([FILL])
    journal.set_baseline("position", {}, 5)
    assert journal.has_baseline("position")
    assert not journal.has_baseline("balance")
    assert journal.believed("position") == {}


def test_the_rest_is_kept(journal: PaperJournal) -> None:
    """Events once, decisions with reasons, values, notes."""
    assert journal.see("e1", 5, "fill", {"a": 1})
    assert not journal.see("e1", 6, "fill", {"a": 2})
    journal.decide(7, actions=[{"type": "hold"}], reason="calm", seen={"close": 100.0})
    assert journal.decisions() == [(7, [{"type": "hold"}], "calm", {"close": 100.0})]
    journal.value(8, equity=10.0, cash=5.0, holdings={"ETH": 1.0})
    assert journal.values() == [(8, 10.0, 5.0)]
    journal.note(9, "limit", "reached")
    assert [tuple(note) for note in journal.notes("limit")] == [(9, "limit", "reached")]
    assert journal.notes("other") == []


# The file ---------------------------------------------------------------------------------------


def test_every_commit_is_synced(journal: PaperJournal) -> None:
    """WAL, and synchronous = FULL (2): an intent is on the disk before the order leaves."""
    assert journal._one("PRAGMA journal_mode") == ("wal",)
    assert journal._one("PRAGMA synchronous") == (2,)


def test_the_file_is_the_user_s(tmp_path: Path) -> None:
    """Nobody else reads what is traded."""
    with PaperJournal(tmp_path / "j") as _:
        assert stat.S_IMODE((tmp_path / "j").stat().st_mode) == 0o600


def test_other_files_are_refused(tmp_path: Path) -> None:
    """Another database, a later version, something else, a folder."""
    other = sqlite3.connect(tmp_path / "other")
    other.execute("CREATE TABLE x (y)")
    other.close()
    (tmp_path / "text").write_text("this is no database " * 100)
    PaperJournal(tmp_path / "later").close()
    later = sqlite3.connect(tmp_path / "later")
    later.execute("PRAGMA user_version = 99")
    later.close()
    for name, why in (("other", "no paper journal"), ("text", "cannot be used"), ("later", "99")):
        with pytest.raises(JournalError, match=why):
            PaperJournal(tmp_path / name)
    with pytest.raises(JournalError, match="cannot be used"):
        PaperJournal(tmp_path)


_WRITER = """
import sys
from pathlib import Path
from seawall.paper.journal import PaperJournal
from seawall.paper.order import OrderIntent, OrderNews, TradeFill

journal = PaperJournal(Path(sys.argv[1]))
journal.begin_session(1, venue="v", recipe="r")
while True:
    me = journal.new_client_id()
    journal.intend(OrderIntent(client_id=me, symbol="ETH/USDT", side="buy", type="market",
                               quantity=1.0), 1)
    print("sent", me, flush=True)
    journal.tell(me, OrderNews(state="open", exchange_id="x" + me), 2)
    fill = TradeFill(symbol="ETH/USDT", trade_id=me, exchange_order_id="x" + me, side="buy",
                     price=1.0, quantity=1.0, fee=0.0, fee_asset="", time_ms=1)
    journal.add_fills([fill, fill])
    print("filled", me, flush=True)
    journal.tell(me, OrderNews(state="filled", filled=1.0), 3)
    print("told", me, flush=True)
"""


def kill_once(file: Path, delay: float) -> list[tuple[str, str]]:
    """Run a writer, kill it after it has begun and ``delay`` s, return what it said was done."""
    command = [sys.executable, "-c", _WRITER, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        lines = [first, *process.stdout.readlines()]
    whole = [line.split() for line in lines if line.endswith("\n")]
    return [(what, me) for what, me in whole]


def check_after_kills(file: Path, n_kills: int) -> None:
    """Kill writers at random moments; what each said was done is there, once, and intact."""
    random_moments = random.Random(5)  # noqa: S311 - moments, no secrets
    done: list[tuple[str, str]] = []
    for _ in range(n_kills):
        done += kill_once(file, random_moments.random() * 0.05)
        with PaperJournal(file) as journal:
            orders = {one.intent.client_id: one for one in journal.orders()}
            fills = [fill.trade_id for fill in journal.fills()]
            believed = journal.believed("position").get("ETH/USDT", 0.0)
        assert len(fills) == len(set(fills)) == believed
        for what, me in done:
            assert me in orders
            assert what == "sent" or me in fills
            assert what != "told" or orders[me].state == "filled"
    assert {what for what, _ in done} == {"sent", "filled", "told"}
    assert len({me for what, me in done if what == "sent"}) > n_kills


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
@pytest.mark.slow
def test_a_kill_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    """Six kills; the slow test makes forty."""
    check_after_kills(tmp_path / "journal", 6)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_forty_kills_lose_nothing(tmp_path: Path) -> None:
    """The same file through forty kills."""
    check_after_kills(tmp_path / "journal", 40)


# The lock ---------------------------------------------------------------------------------------


def _hold(folder: Path, started: Any) -> None:
    lock = AccountLock(folder, SPOT, "f")
    lock.acquire()
    started.set()
    time.sleep(60)


def test_a_second_session_is_refused(tmp_path: Path) -> None:
    """The account, not the journal, is locked; another account is free; a release frees it."""
    with AccountLock(tmp_path, SPOT, "f"):
        with pytest.raises(AccountLocked, match=f"process {os.getpid()}"):
            AccountLock(tmp_path, SPOT, "f").acquire()
        with AccountLock(tmp_path, SPOT, "other"):
            pass
    with AccountLock(tmp_path, SPOT, "f"):
        pass


@pytest.mark.slow
def test_a_killed_session_frees_its_account(tmp_path: Path) -> None:
    """The lock is the system's: it ends with the process, and holds as long as it lives."""
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    process = context.Process(target=_hold, args=(tmp_path, started))
    process.start()
    assert started.wait(30)
    with pytest.raises(AccountLocked, match=f"process {process.pid}"):
        AccountLock(tmp_path, SPOT, "f").acquire()
    process.kill()
    process.join(30)
    with AccountLock(tmp_path, SPOT, "f"):
        pass
