"""Futures sessions ended at any moment, and many orders through faults: belief is truth."""

import multiprocessing
import os
import random
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from futures_child import RECIPE, Busy, trade
from futures_desk import MARKET, RESTING, STOP, STOP_LIMIT, FuturesDesk
from linear_sandboxes import PERP, funding, perpetuals
from paper_sessions import Run, keys
from request_faults import FAULTS
from sandbox_clients import usdm_client, wavy
from test_paper_futures_session import Scripted, session

from seawall.paper.faults import ExchangeFault
from seawall.paper.journal import PaperJournal
from seawall.paper.order import Side
from seawall.paper.places import JOURNAL
from seawall.sandbox.clock import STEPPED
from seawall.sandbox.contract import make_contract
from seawall.sandbox.exchange import Exchange
from seawall.sandbox.faults import Fault
from seawall.sandbox.server import Server, ServerThread
from seawall.units import HOUR_MS, MINUTE_MS

WAVES = wavy(40_000, PERP)
SPEED = 120.0
_MOST_OPEN = 5


def serve() -> Exchange:
    """Return an exchange with funding every hour."""
    rates = funding([0.0001] * 600, first_ms=int(WAVES.time_ms[0]), interval="1h")
    return perpetuals(WAVES, futures=100_000.0, contract=make_contract(WAVES, funding=rates))


class _KilledError(BaseException):
    """What a test raises in place of a kill."""


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 4))]
)
@pytest.mark.slow
def test_ended_anywhere_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Without a goodbye at random writes, again and again: each start agrees without --adopt."""
    keys(monkeypatch)
    rng, real = np.random.default_rng(seed), PaperJournal.transaction
    left = [int(rng.integers(15, 80))]

    def failing(self: PaperJournal) -> Any:
        left[0] -= 1
        if left[0] == 0:
            left[0] = int(rng.integers(15, 80))
            raise _KilledError
        return real(self)

    with ServerThread(Server(serve())) as thread:
        thread.step(50 * MINUTE_MS + 30_000)
        run = session(thread, tmp_path, RECIPE)
        end_ms, n_killed = run.clock() + 18 * MINUTE_MS, 0
        while run.clock() < end_ms:
            try:
                with monkeypatch.context() as patch:
                    patch.setattr(PaperJournal, "transaction", failing)
                    run.go(-(-(end_ms - run.clock()) // MINUTE_MS), agent=Busy())
            except _KilledError:
                n_killed += 1
                thread.step(MINUTE_MS)
        assert n_killed > 2
        check_end(run)


def check_end(run: Run) -> None:
    """Start once more, and assert that belief is truth and nothing was done twice."""
    run.go(2, agent=Scripted())
    client = usdm_client(run.thread)
    with PaperJournal(run.plan.folder / JOURNAL) as journal:
        told = {one["symbol"]: one for one in client.fetch_positions()}.get(PERP)
        signed = 0.0 if told is None else told["contracts"] * (1 if told["side"] == "long" else -1)
        assert journal.believed("position").get(PERP, 0.0) == pytest.approx(signed, abs=1e-9)
        listed = client.fetch_open_orders(PERP)
        listed += client.fetch_open_orders(PERP, params={"trigger": True})
        assert {one.intent.client_id for one in journal.orders("open")} == {
            one["clientOrderId"] for one in listed
        }
        seat = run.thread.server.exchange.linear.seats["alice"]
        assert len(journal.fills()) == len(seat.history("ETHUSDT").trades)
        assert journal.unresolved() == []
        wallet = float(client.fetch_balance()["info"]["totalWalletBalance"])
        incomes = sum(row[3] for _, row in journal.events("income"))
        assert (journal.recall("futures wallet") or 0.0) + incomes == pytest.approx(
            wallet, abs=1e-4
        )
        done = [row for _, row in journal.events("margin moved") if row[3] == "done"]
        assert len(done) == len(seat.moves)
        moments = Counter(
            (one.intent_ms // MINUTE_MS, one.intent.type)
            for one in journal.orders()
            if one.state != "rejected"
        )
        assert max(moments.values()) == 1
    client.session.close()


# Killed -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a signal of POSIX systems")
def test_killed_at_thirty_moments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that does something at every bar is killed and started, thirty times."""
    keys(monkeypatch)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["paper_warm"])
    made, rng, n_running = serve(), np.random.default_rng(7), 0
    made.clock.speed = SPEED
    with ServerThread(Server(made)) as thread:
        thread.call(lambda: made.clock.advance(HOUR_MS))
        longest_seconds = 0.0
        for place in range(30):
            child = context.Process(target=trade, args=(thread.url, str(tmp_path)))
            child.start()
            if place == 0:  # how long it takes to trade depends on the machine
                longest_seconds = 2 * wait_for_order(tmp_path)
            else:
                time.sleep(float(rng.uniform(0.05, longest_seconds)))
            n_running += child.is_alive()
            child.kill()
            child.join()
            assert child.exitcode in (0, -9), (tmp_path / "errors").read_text("utf-8")
        assert n_running > 15
        thread.call(lambda: _stand_still(made))
        run = session(thread, tmp_path, RECIPE)
        check_end(run)
        with PaperJournal(tmp_path / JOURNAL) as journal:
            assert len(journal.orders()) > 5


def wait_for_order(folder: Path) -> float:
    """Return how many seconds it takes until a session has sent its first order."""
    began = time.monotonic()
    while time.monotonic() - began < 60:
        if (folder / JOURNAL).is_file():
            with PaperJournal(folder / JOURNAL) as journal:
                if journal.orders():
                    return time.monotonic() - began
        time.sleep(0.05)
    raise AssertionError((folder / "errors").read_text("utf-8"))


def _stand_still(made: Exchange) -> None:
    """Let the clock go on by hand only: what is compared must not move meanwhile."""
    clock = made.clock
    clock._start_ms, clock.speed = clock.now_ms(), STEPPED


# Many orders --------------------------------------------------------------------------------------


def act(desk: FuturesDesk, draws: random.Random) -> None:
    """Do one random thing, as an agent would."""
    open_now = desk.journal.orders("open")
    quantity = draws.choice([0.01, 0.02, 0.03])
    side: Side = draws.choice(["buy", "sell"])
    choice, up = draws.random(), 1 if side == "buy" else -1
    if len(open_now) > _MOST_OPEN:
        choice = 1.0
    if choice < 0.4:
        desk.place(replace(MARKET, side=side, quantity=quantity))
    elif choice < 0.6:
        price = round(3_012.0 - up * draws.randint(5, 25), 2)
        desk.place(replace(RESTING, side=side, quantity=quantity, price=price))
    elif choice < 0.75 or not open_now:
        stop = round(3_012.0 + up * draws.randint(8, 25), 2)
        kind = draws.choice([STOP, replace(STOP_LIMIT, price=stop)])
        desk.place(replace(kind, side=side, quantity=quantity, stop_price=stop, reduce_only=False))
    elif choice < 0.8:
        desk.book.move_margin(PERP, draws.choice([5.0, -3.0]))
    else:
        desk.client.cancel(draws.choice(open_now).intent.client_id)


def live_through(desk: FuturesDesk, n_turns: int, seed: int, *, n_acts: int) -> int:
    """Act and look after the account by turns, a third of all requests fail; return the orders."""
    draws = random.Random(seed)  # noqa: S311 - a test's choices
    for _ in range(n_turns):
        fault = Fault(
            **{
                "path": "/fapi/v1/(order|algoOrder|openOrders|openAlgoOrders|userTrades|allOrders|"
                        "positionMargin|income)$",
                "stage": draws.choice(["before", "after"]),
                "probability": 0.34,
                **draws.choice(FAULTS),
            }
        )  # fmt: skip
        desk.thread.call(lambda fault=fault: desk.thread.server.faults.add(fault))  # type: ignore[misc]
        for step in (*[lambda: act(desk, draws)] * n_acts, desk.look):
            try:
                step()
            except ExchangeFault:
                continue
        desk.thread.step(draws.choice([500, 5_000, 20_000, MINUTE_MS]))
        desk.calm()
    desk.settle()
    desk.settle()
    desk.check()
    ids = [one.intent.client_id for one in desk.journal.orders()]
    assert len(ids) == len(set(ids))
    return len(ids)


@pytest.mark.parametrize(
    ("n_turns", "n_acts", "least"),
    [(25, 2, 30), pytest.param(180, 16, 1_500, marks=pytest.mark.slow)],
)
@pytest.mark.slow
def test_orders_through_random_faults(
    tmp_path: Path, n_turns: int, n_acts: int, least: int
) -> None:
    """Orders, stops, cancels, margin, and funding meanwhile; nothing is lost or doubled."""
    made = serve()
    with ServerThread(Server(made)) as thread:
        thread.step(5 * MINUTE_MS)
        desk = FuturesDesk(thread, tmp_path / "journal")
        desk.truth.set_margin_mode("isolated", PERP)
        desk.reconcile()
        assert live_through(desk, n_turns, 3, n_acts=n_acts) > least
        desk.close()
