"""What one sees of a session: the picture at two widths, distances to limits, ages, pauses."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from paper_sessions import FREE, RECIPE, Run
from rich.console import Console
from sandbox_clients import exchange, wavy

from seawall.action import Order, TargetWeight
from seawall.agent import Decision
from seawall.observation import Observation
from seawall.paper.forced import NOTE
from seawall.paper.gauges import (
    DISTANCE,
    HEALTH,
    LEVERAGE,
    RATIO,
    describe_gauges,
    keep_gauges,
    read_gauges,
)
from seawall.paper.journal import Note, PaperJournal
from seawall.paper.limits import Limits
from seawall.paper.places import JOURNAL
from seawall.paper.record import Record, Recorded, SessionRow, Setup
from seawall.paper.shadow import LIQUIDATED
from seawall.paper.status import Status, look, read_status
from seawall.paper.view import rows, show
from seawall.sandbox.faults import Fault
from seawall.sandbox.server import Server, ServerThread
from seawall.units import HOUR_MS, MINUTE_MS, to_time_ms

ETH = wavy(2_000)
NOW = to_time_ms("2025-01-01T12:00:00")

PICTURE = """\
╭──────────────────────── waves · binance spot shadow ─────────────────────────╮
│ state           running since 2025-01-01 03:00 UTC, session 2                │
│ paused          nothing new is sent: max_data_age_ms: data may be silent     │
│ equity          9,500.00 USDT (-5.00%)                                       │
│ positions       3 ETH/USDT  (6,000.00, 63%)                                  │
│ liquidation     health factor 1.204, margin ratio 42.0%, way to liquidation  │
│                 8.3%, leverage 3.20x                                         │
│ cash            3,500.00                                                     │
│ open orders     buy 1 ETH/USDT limit at 1900 (open)                          │
│                 buy 2 ETH/USDT limit at 1900 (open)                          │
│                 buy 3 ETH/USDT limit at 1900 (open)                          │
│                 and 2 more                                                   │
│ last decision   2025-01-01 11:58  ETH/USDT to weight 0.5: [red]the fast      │
│                 average crossed the slow one                                 │
│ so far          1,234 decisions, 77 fills                                    │
│ left of limits  drawdown 90%, daily loss 20%                                 │
│ data age        60 s, the last 1m bar closed 2025-01-01 11:59                │
│ signal          alternative/fear_greed/1d: 30 h old, known since 2024-12-31  │
│                 06:00                                                        │
│                                                                              │
│ what went wrong last                                                         │
│ 2025-01-01 11:50  fault: NetworkError: binance GET                           │
│ https://api.binance.com/api/v3/klines?interval=1m&limit=500                  │
╰──────────────────────────────────────────────────────────────────────────────╯
"""


def sample(**changes: Any) -> Status:
    """Return the status of a session that has everything to show."""
    setup = Setup(mode="shadow", exchange="binance", since_ms=0, cash=10_000.0)
    started_ms = NOW - 9 * HOUR_MS
    session = SessionRow(2, started_ms, None, "", "binance spot shadow", RECIPE, setup)
    reason = "[red]the fast average crossed the slow one"
    decision = Decision(actions=(TargetWeight(symbol="ETH/USDT", weight=0.5),), reason=reason)
    fault = "NetworkError: binance GET https://api.binance.com/api/v3/klines?interval=1m&limit=500"
    found = Status(
        session=session, is_running=True, now_ms=NOW, data_ms=NOW - MINUTE_MS, equity=9_500.0,
        cash=3_500.0, start_equity=10_000.0, holdings={"ETH/USDT": 3.0},
        prices={"ETH/USDT": 2_000.0}, decision=Recorded(NOW - 2 * MINUTE_MS, decision, "", 1, {}),
        gauges={HEALTH: 1.2041, RATIO: 0.42, DISTANCE: 0.083, LEVERAGE: 3.2},
        signals={"alternative/fear_greed/1d": NOW - 30 * HOUR_MS},
        n_decisions=1_234, n_fills=77, left={"max_drawdown": 0.9, "max_daily_loss": 0.2},
        open_orders=tuple(f"buy {n} ETH/USDT limit at 1900 (open)" for n in range(1, 6)),
        troubles=(Note(NOW - 10 * MINUTE_MS, "fault", fault),), switch="",
        paused="max_data_age_ms: data may be silent",
    )  # fmt: skip
    return replace(found, **changes)


def draw(status: Status, width: int) -> str:
    """Return the picture, as text."""
    console = Console(record=True, width=width, file=io.StringIO())
    console.print(show(status))
    return console.export_text()


def test_the_picture_at_eighty_columns() -> None:
    """To the letter: nothing is cut, nothing is read as markup."""
    assert draw(sample(), 80) == PICTURE


@pytest.mark.parametrize("width", [60, 120])
def test_the_picture_at_other_widths(width: int) -> None:
    """Everything is there, within the frame."""
    lines = draw(sample(), width).splitlines()
    assert {len(line) for line in lines} == {width}
    words = " ".join(" ".join(line[1:-1] for line in lines).split())
    for name, text in rows(sample()):
        assert name in words
        if width == 120:
            assert " ".join(text.split()) in words


@pytest.fixture
def thread() -> Iterator[ServerThread]:
    """Return an exchange in the middle of its hundredth bar."""
    with ServerThread(Server(exchange(ETH))) as made:
        made.step(100 * MINUTE_MS + 30_000)
        yield made


class _Buyer:
    """An agent that buys one coin at its first bar and then falls silent for good."""

    n = 0

    def decide(self, _observation: Observation) -> list[Order] | None:
        """Buy once."""
        self.n += 1
        return [Order(symbol="ETH/USDT", side="buy", quantity=1.0)] if self.n == 1 else None


def test_distances_to_all_limits(thread: ServerThread, tmp_path: Path) -> None:
    """One coin worth about 3,000 of at most 6,000: about half is left; the loss limits, the rate,
    ages and silence are there too, each between 0 and 1.
    """  # noqa: D205
    limits = Limits(
        max_order=5_000.0, max_position=6_000.0, max_daily_loss=0.2, max_drawdown=0.5,
        max_orders_per_minute=10, max_data_age_ms=10 * MINUTE_MS, max_silence_ms=HOUR_MS,
    )  # fmt: skip
    seen: list[Status] = []

    def at_turn(_now: int) -> None:
        seen.append(read_status(tmp_path))

    Run(thread, tmp_path, limits=limits).go(6, agent=_Buyer(), at_turn=at_turn)
    left = seen[-1].left
    assert set(left) == {
        "max_drawdown", "max_daily_loss", "max_position", "max_orders_per_minute",
        "max_data_age_ms", "max_silence_ms",
    }  # fmt: skip
    worth = seen[-1].worth["ETH/USDT"]
    assert left["max_position"] == pytest.approx(1 - worth / 6_000)
    assert min(one.left["max_orders_per_minute"] for one in seen) == pytest.approx(0.9)
    assert left["max_orders_per_minute"] == 1.0
    assert left["max_data_age_ms"] == pytest.approx(1 - (seen[-1].data_age_ms or 0) / 600_000)
    assert all(0 <= share <= 1 for share in left.values())


def test_a_pause_is_shown_while_it_lasts(thread: ServerThread, tmp_path: Path) -> None:
    """No candles for three minutes, two are allowed: paused, with the rule; then no more."""
    server, seen = thread.server, {}
    limits = replace(FREE, max_data_age_ms=2 * MINUTE_MS)
    begin = thread.server.exchange.clock.now_ms()

    def at_turn(now: int) -> None:
        minute = (now - begin) // MINUTE_MS
        if minute == 3 and not server.faults.waiting:
            away = Fault(path="/klines", status=503, body="<html></html>", n=0)
            thread.call(lambda: server.faults.add(away))
        if minute == 8:
            thread.call(server.faults.clear)
        seen[minute] = read_status(tmp_path)

    Run(thread, tmp_path, limits=limits).go(12, at_turn=at_turn)
    assert seen[2].paused == ""
    assert seen[7].paused.startswith("max_data_age_ms")
    assert dict(rows(seen[7]))["paused"].startswith("nothing new is sent")
    assert any(one.kind == "fault" for one in seen[7].troubles)
    assert seen[11].paused == ""
    assert json.loads(json.dumps(seen[7].to_dict()))["paused"] == seen[7].paused


def test_what_goes_wrong_again_and_again_is_one_line(tmp_path: Path) -> None:
    """A hundred times the same, and one other thing."""
    with PaperJournal(tmp_path / JOURNAL) as journal:
        setup = Setup(mode="shadow", exchange="local", since_ms=0, cash=1.0)
        Record(journal).begin(0, "local spot shadow", RECIPE, setup)
        for moment in range(100):
            journal.note(moment, "fault", "NetworkError: away")
        journal.note(100, "fault", "candles come again")
        troubles = look(journal, tmp_path).troubles
    texts = ["NetworkError: away (100 times)", "candles come again"]
    assert [one.text for one in troubles] == texts
    assert troubles[0].time_ms == 99


def test_a_liquidation_is_a_trouble(tmp_path: Path) -> None:
    """The exchange's in a sandbox, as well as our venue's in the shadow."""
    with PaperJournal(tmp_path / JOURNAL) as journal:
        setup = Setup(mode="local", exchange="local", since_ms=0, cash=1.0)
        Record(journal).begin(0, "local perpetual", RECIPE, setup)
        journal.note(1, NOTE, "liquidation: sell 1 ETH/USDT:USDT")
        journal.note(2, LIQUIDATED, "ETH/USDT:USDT: 1 at 2,700")
        found = look(journal, tmp_path)
    assert [one.kind for one in found.troubles] == [NOTE, LIQUIDATED]
    assert "forced: liquidation: sell 1 ETH/USDT:USDT" in draw(found, 100)


def test_gauges_are_those_of_the_last_step(tmp_path: Path) -> None:
    """What is not said any more, of a position that was closed, is shown no more."""
    with PaperJournal(tmp_path / JOURNAL) as journal:
        assert read_gauges(journal) == {}
        keep_gauges(journal, {RATIO: 0.5, LEVERAGE: 2.0})
        assert read_gauges(journal) == {RATIO: 0.5, LEVERAGE: 2.0}
        keep_gauges(journal, {RATIO: float("inf")})
        assert read_gauges(journal) == {RATIO: float("inf")}
        assert describe_gauges(read_gauges(journal)) == "margin ratio inf%"
        keep_gauges(journal, {})
        assert read_gauges(journal) == {}
    told = sample(gauges={RATIO: float("inf")}).to_dict()["gauges"]
    assert told == {RATIO: None}


def test_a_switch_that_cannot_be_read_means_cancel(tmp_path: Path) -> None:
    """As the session itself takes it."""
    with PaperJournal(tmp_path / JOURNAL) as journal:
        setup = Setup(mode="shadow", exchange="local", since_ms=0, cash=1.0)
        Record(journal).begin(0, "local spot shadow", RECIPE, setup)
        (tmp_path / "stop").mkdir()
        assert look(journal, tmp_path).switch == "cancel"
