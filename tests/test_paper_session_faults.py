"""Whole sessions through faults: candles, orders, clocks, an exchange that is away for a while."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paper_child import Busy
from paper_sessions import Run, keys
from request_faults import FAULTS, HTML
from sandbox_clients import exchange, spot_client, wavy

from seawall.paper.faults import ExchangeFault
from seawall.paper.journal import PaperJournal
from seawall.paper.places import JOURNAL
from seawall.paper.record import Record
from seawall.sandbox.faults import Fault
from seawall.sandbox.server import Server, ServerThread
from seawall.units import MINUTE_MS

pytestmark = pytest.mark.slow  # whole sessions and processes

SYMBOL = "ETH/USDT"
ETH = wavy(2_000)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Return sessions of Alice's account on an exchange in the middle of a bar."""
    keys(monkeypatch)
    with ServerThread(Server(exchange(ETH))) as thread:
        thread.step(100 * MINUTE_MS + 30_000)
        yield Run(thread, tmp_path, style="sandbox")


def strike(run: Run, **fault: Any) -> None:
    """Let a fault wait for a request."""
    run.thread.call(lambda: run.thread.server.faults.add(Fault(**fault)))


def finish(run: Run) -> Record:
    """Let the account settle in a last start without faults, and assert that belief is truth."""
    run.thread.call(run.thread.server.faults.clear)
    run.go(3, agent=_Idle())
    journal = PaperJournal(run.plan.folder / JOURNAL)
    truth: Any = spot_client(run.thread)
    total, believed = truth.fetch_balance()["total"], journal.believed("balance")
    for asset in ("ETH", "USDT"):
        assert believed[asset] == pytest.approx(total[asset], abs=1e-8)
    open_there = {one["clientOrderId"] for one in truth.fetch_open_orders(SYMBOL)}
    assert {one.intent.client_id for one in journal.orders("open")} == open_there
    history = run.thread.server.exchange.accounts.by_name["alice"].history("ETHUSDT")
    assert len(journal.fills()) == len(history.trades)
    assert journal.unresolved() == []
    return Record(journal)


class _Idle:
    """An agent that leaves things as they are."""

    def decide(self, _observation: Any) -> None:
        """Do nothing."""


@pytest.mark.parametrize("seed", [1, 2])
def test_a_session_lives_through_faults(run: Run, seed: int) -> None:
    """Forty bars of trading while a fifth of all requests, candles and orders, meet a fault."""
    draws = random.Random(seed)  # noqa: S311 - a test's choices

    def trouble(_now: int) -> None:
        run.thread.call(run.thread.server.faults.clear)
        stage = draws.choice(["before", "after"])
        strike(run, **{"path": "/api/v3/", "stage": stage, "probability": 0.2,
                       **draws.choice(FAULTS)})  # fmt: skip

    run.go(40, agent=Busy(), at_turn=trouble)
    record = finish(run)
    assert len(record.decisions([1])) >= 35
    assert len(record.journal.fills()) > 5
    assert len(record.journal.notes("fault")) > 3
    seen = [one.time_ms for one in record.candles(SYMBOL, "1m", int(ETH.time_ms[100]))]
    assert seen == ETH.time_ms[100 : 100 + len(seen)].tolist()
    record.journal.close()


@pytest.mark.parametrize("path", ["klines", "/api/v3/"])
def test_an_exchange_that_is_away(run: Run, path: str) -> None:
    """Six bars without candles, or without any answer: noted once, nothing new is sent on stale
    data, and all bars are seen afterwards.
    """  # noqa: D205 - one sentence, over two lines
    first_ms, last_ms = int(ETH.close_ms[105]), int(ETH.close_ms[111])

    def trouble(now: int) -> None:
        run.thread.call(run.thread.server.faults.clear)
        if first_ms <= now < last_ms:
            strike(run, path=path, status=503, body=HTML, n=1_000)

    run.go(25, agent=Busy(), at_turn=trouble)
    record = finish(run)
    notes = [one.text for one in record.journal.notes("fault")]
    assert "candles come again" in notes
    assert len([one for one in notes if "503" in one or "html" in one]) <= 16
    seen = [one.time_ms for one in record.candles(SYMBOL, "1m", int(ETH.time_ms[100]))]
    assert seen == ETH.time_ms[100 : 100 + len(seen)].tolist()
    record.journal.close()


def test_an_exchange_that_does_not_answer_is_no_start(run: Run) -> None:
    """The error says what is wrong; the next start is as if nothing had been."""
    strike(run, path="/api/v3/account", status=504, body="", n=100)
    with pytest.raises(ExchangeFault):
        run.go(2, agent=_Idle())
    record = finish(run)
    assert record.sessions()[0].ended_why.startswith("ExchangeFault")
    record.journal.close()
