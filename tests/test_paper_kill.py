"""kill -9 at random moments: after each, journal and exchange agree, and nothing is doubled."""

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paper_child import RECIPE, SYMBOL, trade
from paper_sessions import Run, keys
from sandbox_clients import exchange, spot_client, wavy

from seawall.paper.journal import PaperJournal
from seawall.paper.parity import replay
from seawall.paper.places import JOURNAL
from seawall.paper.plan import Style
from seawall.paper.record import Record
from seawall.sandbox.clock import STEPPED
from seawall.sandbox.exchange import Settings
from seawall.sandbox.server import Server, ServerThread
from seawall.units import HOUR_MS, MINUTE_MS

SPEED = 120.0


@pytest.fixture
def thread() -> Iterator[ServerThread]:
    """Return an exchange at two bars a second, without limits on requests."""
    made = exchange(wavy(40_000), speed=SPEED, settings=Settings(limits=None))
    made.clock.advance(HOUR_MS)
    with ServerThread(Server(made)) as running:
        yield running


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return how children are made: forked from a server that has imported everything."""
    keys(monkeypatch)
    context = multiprocessing.get_context("forkserver")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    context.set_forkserver_preload(["paper_warm"])
    return context


def live_once(context: Any, arguments: tuple[Any, ...]) -> float:
    """Let a session live for one bar, and return how many seconds that takes on this machine."""
    begun = time.monotonic()
    child = context.Process(target=trade, args=(*arguments, 1))
    child.start()
    child.join()
    return time.monotonic() - begun


def kill_often(
    context: Any, arguments: tuple[Any, ...], n_kills: int, longest_seconds: float
) -> int:
    """Start and kill a session; return how often it had been doing something.

    Where the machine is slow it lives longer, so that kills strike decisions and not starts alone.
    """
    live_once(context, arguments)  # the first one imports
    longest_seconds = max(longest_seconds, 1.2 * live_once(context, arguments))
    rng = np.random.default_rng(7)
    n_running = 0
    for _ in range(n_kills):
        child = context.Process(target=trade, args=arguments)
        child.start()
        time.sleep(float(rng.uniform(0.05, longest_seconds)))
        n_running += child.is_alive()
        child.kill()
        child.join()
        assert child.exitcode in (0, -9), (Path(arguments[1]) / "errors").read_text("utf-8")
    return n_running


def check_sandbox(thread: ServerThread, journal: PaperJournal) -> None:
    """Assert that belief is truth, and that no decision was carried out twice."""
    truth: Any = spot_client(thread)
    told, believed = truth.fetch_balance()["total"], journal.believed("balance")
    for asset in ("ETH", "USDT"):
        assert believed[asset] == pytest.approx(told[asset], abs=1e-7)
    assert journal.unresolved() == []
    open_there = {one["clientOrderId"] for one in truth.fetch_open_orders(SYMBOL)}
    assert {one.intent.client_id for one in journal.orders("open")} == open_there
    account = thread.server.exchange.accounts.by_name["alice"]
    history = account.history("ETHUSDT")
    assert len(journal.fills()) == len(history.trades)
    moments = Counter(
        (one.intent_ms // MINUTE_MS, one.intent.type)
        for one in journal.orders()
        if one.state != "rejected"
    )
    assert max(moments.values()) == 1


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a signal of POSIX systems")
@pytest.mark.parametrize(("style", "n_kills"), [("shadow", 50), ("sandbox", 150)])
def test_killed_at_two_hundred_moments(
    thread: ServerThread, processes: Any, tmp_path: Path, style: Style, n_kills: int
) -> None:
    """A session that trades at every bar is killed and started; each start finds that journal and
    exchange agree, and at the end so do balances, trades, open orders and decisions.
    """  # noqa: D205 - one sentence, over two lines
    arguments = (thread.url, str(tmp_path), style)
    longest_seconds = 1.2 if style == "shadow" else 0.9  # a shadow runs its record once more
    assert kill_often(processes, arguments, n_kills, longest_seconds) > n_kills / 2
    thread.call(lambda: _stand_still(thread))
    Run(thread, tmp_path, style=style, recipe=RECIPE).go(2, agent=_Idle())
    with PaperJournal(tmp_path / JOURNAL) as journal:
        record = Record(journal)
        assert len(record.sessions()) > n_kills / 2
        n_decisions = len(record.decisions([one.number for one in record.sessions()]))
        assert n_decisions > n_kills / 4
        if style == "sandbox":
            check_sandbox(thread, journal)
            return
        parity = replay(record, agent=_Absent(record))
        assert [pair for pair in parity.fills if pair.why] == []
        assert parity.equity == pytest.approx(parity.replayed_equity, rel=1e-12)


def _stand_still(thread: ServerThread) -> None:
    """Let the clock go on by hand only: what is compared must not move meanwhile."""
    clock = thread.server.exchange.clock
    clock._start_ms, clock.speed = clock.now_ms(), STEPPED


class _Idle:
    """An agent that leaves things as they are."""

    def decide(self, _observation: Any) -> None:
        """Do nothing."""

    def state(self) -> bytes:
        """Return nothing."""
        return b""

    def restore(self, _state: bytes) -> None:
        """Take nothing back."""


class _Absent:
    """An agent that says what a record says, and nothing where nobody had been asked."""

    def __init__(self, record: Record) -> None:
        numbers = [one.number for one in record.sessions()]
        self._made = {made.time_ms: made.decision for made in record.decisions(numbers)}

    def decide(self, observation: Any) -> Any:
        """Return the recorded decision."""
        return self._made.get(observation.time_ms)


def test_the_recipe_of_the_child_is_one() -> None:
    """It can be run live."""
    assert RECIPE.market.symbols == (SYMBOL,)
