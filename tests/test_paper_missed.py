"""Bars that came when a later one had closed: seen in a sandbox, decided at by nobody."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paper_sessions import Run, keys
from sandbox_clients import exchange, spot_client, wavy

from seawall.action import Order
from seawall.agent import Decision, Wake
from seawall.observation import Observation
from seawall.paper.candles import Candle, CandleSource
from seawall.paper.faults import ExchangeFault, Fault
from seawall.paper.journal import PaperJournal
from seawall.paper.outcome import session_result
from seawall.paper.parity import Parity, replay
from seawall.paper.places import JOURNAL
from seawall.paper.record import Record
from seawall.paper.status import read_status
from seawall.sandbox.server import Server, ServerThread
from seawall.units import MINUTE_MS

SYMBOL = "ETH/USDT"
ETH = wavy(2_000)
FIRST, LAST = 103, 128  # bars whose ends nobody could ask for
STAMPS: list[int] = ETH.close_ms.tolist()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Return sessions of Alice's account on an exchange in the middle of its hundredth bar."""
    keys(monkeypatch)
    with ServerThread(Server(exchange(ETH))) as thread:
        thread.step(100 * MINUTE_MS + 30_000)
        yield Run(thread, tmp_path, style="sandbox")


def maintenance(run: Run) -> Callable[[int], None]:
    """Return what shuts the exchange for 26 bars; its market goes on."""
    server = run.thread.server

    def turn(now: int) -> None:
        is_shut = STAMPS[FIRST] <= now + run.step_ms < STAMPS[LAST]
        run.thread.call(lambda: setattr(server.exchange, "is_in_maintenance", is_shut))

    return turn


def compare(run: Run, agent: Any) -> Parity:
    """Return the parity of the last session, replayed with another agent."""
    with PaperJournal(run.plan.folder / JOURNAL) as journal:
        return replay(Record(journal), agent=agent)


class Noting:
    """An agent that keeps what it is shown, and answers by a function of it."""

    def __init__(self, answer: Callable[[int, Observation], Any]) -> None:
        self.answer, self.seen, self.fills = answer, [], []  # type: ignore[var-annotated]

    def decide(self, observation: Observation) -> Any:
        """Answer, by the number of the question and what is seen."""
        n = len(self.seen)
        self.seen.append(observation.time_ms)
        self.fills += observation.fills
        return self.answer(n, observation)


def flip(n: int, observation: Observation) -> list[Order]:
    """Return a bid that fills in the outage, and at each bar an order, in and out."""
    side = "buy" if observation.time_ms // MINUTE_MS % 2 else "sell"
    price = round(float(ETH.low[FIRST + 1 : LAST].min()) + 0.5, 2)
    bid = Order(symbol=SYMBOL, side="buy", type="limit", quantity=0.5, limit_price=price)
    flipped = Order(symbol=SYMBOL, side=side, quantity=1.0)  # type: ignore[arg-type]
    return [bid] * (n == 2) + [flipped]


def test_an_outage_is_stepped_through(run: Run) -> None:
    """26 bars could not be asked for: the agent is asked about the newest of them alone, with all
    candles and the fill of the bid in its hands; no order is of a missed bar, belief is truth, and
    status, report and replay name the 25 bars.
    """  # noqa: D205 - one sentence, over several lines
    agent = Noting(flip)
    run.go(32, agent=agent, at_turn=maintenance(run))
    assert agent.seen == [*STAMPS[100:FIRST], *STAMPS[LAST : LAST + 4]]
    with PaperJournal(run.plan.folder / JOURNAL) as journal:
        bars = [one.intent_ms // MINUTE_MS * MINUTE_MS for one in journal.orders()]
        assert sorted({*bars}) == agent.seen
        assert len(bars) == len(agent.seen) + 1
        assert journal.notes("refused") == []
        truth: Any = spot_client(run.thread)
        told, believed = truth.fetch_balance()["total"], journal.believed("balance")
        assert {name: believed[name] for name in ("ETH", "USDT")} == pytest.approx(
            {name: told[name] for name in ("ETH", "USDT")}, abs=1e-8
        )
        bid = next(one for one in journal.orders() if one.intent.price)
        assert (bid.state, bid.intent_ms // MINUTE_MS * MINUTE_MS) == ("filled", STAMPS[102])
        parts = [fill.quantity for fill in agent.fills if abs(fill.quantity) < 1]
        assert sum(parts) == pytest.approx(0.5)
        text = "nobody was asked about 25 bars, closed 2024-08-05 01:44 to 2024-08-05 02:08"
        assert [text in note.text for note in journal.notes("fault")].count(True) == 1
        assert any(text in one.text for one in read_status(run.plan.folder).troubles)
        assert any(text in one for one in session_result(Record(journal)).journal.text)
    pairs = compare(run, Noting(flip)).decisions
    missed = [pair.time_ms for pair in pairs if "a later one had closed" in pair.why]
    assert missed == STAMPS[FIRST:LAST]
    assert not any("away" in pair.why or "slept" in pair.why for pair in pairs)


def test_who_would_have_been_woken_is_asked_afterwards(run: Run) -> None:
    """A price that it waited for came and went in the outage: it is asked about the newest bar."""
    level = float(ETH.close[FIRST:LAST].max()) - 0.125
    assert max(ETH.close[[100, 101, 102, LAST, LAST + 1]]) < level
    sleep = Decision(wake=Wake(above={SYMBOL: level}))
    agent = Noting(lambda _n, _observation: sleep)
    run.go(30, agent=agent, at_turn=maintenance(run))
    assert agent.seen == [STAMPS[100], STAMPS[LAST]]


def test_an_agent_slower_than_its_bars_is_asked_about_the_newest(run: Run) -> None:
    """It answers after two and a half bars: each time the two that have closed since are passed."""

    def slow(_n: int, _observation: Observation) -> None:
        run.thread.step(5 * MINUTE_MS // 2)

    agent = Noting(slow)
    run.go(12, agent=agent)
    steps = [later - sooner for sooner, later in zip(agent.seen, agent.seen[1:], strict=False)]
    assert len(steps) >= 3
    assert {*steps} <= {2 * MINUTE_MS, 3 * MINUTE_MS}


def test_a_shadow_decides_at_every_bar(run: Run) -> None:
    """The same outage: it is asked about all bars, and decides and fills as its replay."""
    agent = Noting(flip)
    run.go(32, agent=agent, at_turn=maintenance(run), style="shadow")
    assert agent.seen == STAMPS[100 : LAST + 4]
    assert compare(run, Noting(flip)).differences == []


def test_a_second_outage_does_not_make_an_old_bar_the_newest(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three bars come together, then the exchange is away again before the last of them is seen: a
    later one must have closed by then, so nobody is asked about it.
    """  # noqa: D205
    real, shut = CandleSource.fresh, [True]

    def fresh(self: CandleSource) -> list[Candle]:
        if shut[0]:
            raise ExchangeFault(Fault(cause="unknown", text="away"), "away")
        found = real(self)
        if len(found) > 1 and run.clock() < STAMPS[104]:
            run.thread.step(MINUTE_MS)
            shut[0] = True
        return found

    def turn(now: int) -> None:
        shut[0] = not (STAMPS[102] <= now < STAMPS[103] or now >= STAMPS[108])

    monkeypatch.setattr(CandleSource, "fresh", fresh)
    agent = Noting(lambda _n, _observation: None)
    run.go(12, agent=agent, at_turn=turn)
    assert not {*STAMPS[100:103]} & {*agent.seen}
    assert agent.seen[0] >= STAMPS[107]
