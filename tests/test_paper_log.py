"""The log of a session tells what its journal does: orders, fills, refusals, pauses, ends."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paper_sessions import Run, keys
from sandbox_clients import KEY, SECRET, exchange, spot_client, wavy

from seawall.action import Order
from seawall.observation import Observation
from seawall.paper.journal import PaperJournal
from seawall.paper.kill_switch import KillSwitch
from seawall.paper.limits import Limits
from seawall.paper.places import JOURNAL, LOG, SWITCH
from seawall.sandbox.server import Server, ServerThread
from seawall.units import MINUTE_MS

SYMBOL = "ETH/USDT"
LIMITS = Limits(max_daily_loss=None, max_drawdown=None, max_order=5_000.0)


@pytest.fixture
def thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerThread]:
    """Return an exchange in the middle of a bar."""
    keys(monkeypatch)
    with ServerThread(Server(exchange(wavy(2_000)))) as made:
        made.step(100 * MINUTE_MS + 30_000)
        yield made


class Buyer:
    """An agent that buys one coin, then ten, which are too many."""

    n = 0

    def decide(self, _observation: Observation) -> list[Order] | None:
        """Buy."""
        self.n += 1
        wanted = {1: 1.0, 2: 10.0}
        if self.n not in wanted:
            return None
        return [Order(symbol=SYMBOL, side="buy", quantity=wanted[self.n])]


def read(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a log."""
    return [json.loads(line) for line in (folder / LOG).read_text("utf-8").splitlines()]


def test_a_sandbox_s_log_has_what_its_journal_has(thread: ServerThread, tmp_path: Path) -> None:
    """An order in each state, its fill, what was refused, a difference that was adopted, and what
    the kill switch sold; each once, without a secret.
    """  # noqa: D205 - one sentence, over two lines
    run = Run(thread, tmp_path, style="sandbox", limits=LIMITS)
    run.go(4, agent=Buyer())
    truth: Any = spot_client(thread)
    truth.create_order(SYMBOL, "market", "buy", 0.5)
    switch, end_ms = KillSwitch(tmp_path / SWITCH), run.clock() + MINUTE_MS
    run.go(
        9,
        agent=Buyer(),
        adopt=True,
        at_turn=lambda now: switch.press("flatten") if now > end_ms else None,
    )
    lines = read(tmp_path)
    with PaperJournal(tmp_path / JOURNAL) as journal:
        notes = [(one.kind, one.text) for one in journal.notes()]
        states = [
            (one.intent.client_id, state)
            for one in journal.orders()
            for _, state, _, _ in journal.history(one.intent.client_id)
        ]
        trades = [fill.trade_id for fill in journal.fills()]
    kinds = {kind for kind, _ in notes}
    assert {"refused", "difference", "ending"} <= kinds
    assert [(one["kind"], one["text"]) for one in lines if one["kind"] in kinds] == notes
    told = [(one["client_id"], one["state"]) for one in lines if one["kind"] == "order"]
    assert sorted(told) == sorted(states)
    assert [one["trade_id"] for one in lines if one["kind"] == "filled"] == trades
    assert any(one["text"].startswith("sold: sell") for one in lines if one["kind"] == "ending")
    text = (tmp_path / LOG).read_text("utf-8")
    assert SECRET not in text
    assert KEY not in text


def test_a_shadow_s_log_tells_each_fill_once(thread: ServerThread, tmp_path: Path) -> None:
    """As the engine notes it."""
    Run(thread, tmp_path, limits=LIMITS).go(5, agent=Buyer())
    with PaperJournal(tmp_path / JOURNAL) as journal:
        n_fills = len(journal.fills())
    assert n_fills == 1
    assert len([one for one in read(tmp_path) if one["kind"] == "filled"]) == n_fills
