"""Each limit of a session, and its kill switch, against an agent that would go on: at the venue."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from paper_sessions import FREE, RECIPE, Run, keys
from sandbox_clients import exchange, spot_client, wavy

from seawall.action import Order, TargetWeight
from seawall.agent import Decision, Wake
from seawall.observation import Observation
from seawall.paper.journal import PaperJournal
from seawall.paper.kill_switch import KillSwitch
from seawall.paper.limits import Limits
from seawall.paper.opening import Surroundings, open_session
from seawall.paper.patience import Interrupted, watched
from seawall.paper.places import JOURNAL, SWITCH
from seawall.paper.plan import Plan
from seawall.paper.record import Record
from seawall.paper.status import read_status
from seawall.paper.supervisor import Watch
from seawall.sandbox.faults import Fault
from seawall.sandbox.server import Server, ServerThread
from seawall.units import HOUR_MS, MINUTE_MS

pytestmark = pytest.mark.slow  # whole sessions and processes

SYMBOL = "ETH/USDT"
ETH = wavy(2_000)


@pytest.fixture
def thread() -> Iterator[ServerThread]:
    """Return an exchange in the middle of its hundredth bar."""
    with ServerThread(Server(exchange(ETH))) as made:
        made.step(100 * MINUTE_MS + 30_000)
        yield made


@pytest.fixture(params=["shadow", "sandbox"])
def run(
    request: pytest.FixtureRequest,
    thread: ServerThread,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Return sessions of either style."""
    keys(monkeypatch)
    return Run(thread, tmp_path, style=request.param)


@pytest.fixture(params=["shadow", pytest.param("sandbox", marks=pytest.mark.slow)])
def long_run(
    request: pytest.FixtureRequest,
    thread: ServerThread,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Return the same, for what takes many bars and is the supervisor's alone."""
    keys(monkeypatch)
    return Run(thread, tmp_path, style=request.param)


class Eager:
    """An agent that buys a coin at every bar, and has a bid that rests."""

    def __init__(self, quantity: float = 1.0, n_orders: int = 1) -> None:
        self.quantity, self.n_orders, self.n_asked = quantity, n_orders, 0

    def decide(self, _observation: Observation) -> list[Order]:
        """Buy."""
        self.n_asked += 1
        buy = Order(symbol=SYMBOL, side="buy", quantity=self.quantity)
        bid = Order(symbol=SYMBOL, side="buy", type="limit", quantity=0.1, limit_price=1_000.0)
        return [*([buy] * self.n_orders), *([bid] * (self.n_asked == 1))]

    def state(self) -> bytes:
        """Return nothing."""
        return b""

    def restore(self, _state: bytes) -> None:
        """Take nothing back."""


def limit(run: Run, **limits: Any) -> Run:
    """Let the sessions have these limits and no others."""
    run.plan = replace(run.plan, limits=replace(FREE, **limits))
    return run


def bought(run: Run) -> float:
    """Return the coin that was bought, as the journal has it, and the exchange."""
    with PaperJournal(run.plan.folder / JOURNAL) as journal:
        found = sum(fill.signed for fill in journal.fills())
    if run.plan.style == "sandbox":
        truth: Any = spot_client(run.thread)
        trades = truth.fetch_my_trades(SYMBOL, None, 1000)
        signed = sum(t["amount"] if t["side"] == "buy" else -t["amount"] for t in trades)
        assert found == pytest.approx(signed, abs=1e-9)
    return found


def n_open(run: Run) -> int:
    """Return how many orders rest, in the shadow as its last session saw it."""
    if run.plan.style == "sandbox":
        truth: Any = spot_client(run.thread)
        return len(truth.fetch_open_orders(SYMBOL))
    return len(_Seeing.of(run).orders)


class _Seeing(Eager):
    """An agent that keeps what it is shown, and is shown what happens now only."""

    last: Observation | None = None

    @classmethod
    def of(cls, run: Run) -> Observation:
        """Return what the next session sees, without limits and switch."""
        KillSwitch(run.plan.folder / SWITCH).release()
        one = cls()
        Run(run.thread, run.plan.folder).go(2, agent=one)
        assert one.last is not None
        return one.last

    def decide(self, observation: Observation) -> list[Order]:
        """Look."""
        self.last = observation
        return []


def refusals(run: Run) -> str:
    """Return why orders were refused, all in one text."""
    with PaperJournal(run.plan.folder / JOURNAL) as journal:
        entries = [one.reason + one.text for one in Record(journal).entries()]
        return "\n".join([*entries, *(note.text for note in journal.notes("refused"))])


# On orders ----------------------------------------------------------------------------------------


def test_an_order_that_is_too_large_is_not_sent(run: Run) -> None:
    """One coin is worth about 3,000 of at most 2,000; the bid, worth 300, is."""
    limit(run, max_order=2_000.0).go(4, agent=Eager())
    assert bought(run) == 0
    assert "max_order" in refusals(run)
    assert n_open(run) == 1


def test_a_position_grows_no_further(run: Run) -> None:
    """Prices are 3,000 to 3,025: of 100 ETH there (none in the shadow) it comes to 2 more."""
    most = 7_500.0 if run.plan.style == "shadow" else 308_800.0
    limit(run, max_position=most).go(7, agent=Eager())
    assert bought(run) == pytest.approx(2.0, abs=0.01)
    assert "max_position" in refusals(run)


def test_so_many_orders_in_a_minute(run: Run) -> None:
    """Five a bar are asked for, a bar is a minute: three are sent."""
    limit(run, max_orders_per_minute=3).go(4, agent=Eager(0.01, n_orders=5))
    assert 0.06 < bought(run) <= 0.13
    assert "max_orders_per_minute" in refusals(run)


# On the account -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["max_drawdown", "max_daily_loss"])
def test_a_loss_ends_it_and_cancels(run: Run, name: str) -> None:
    """Fees and spread of a few bars are more than a hundredth of a per cent, which is the limit."""
    why = limit(run, **{name: 0.0001}).go(20, agent=_Churning())
    assert why.startswith(name)
    assert n_open(run) == 0


class _Churning(Eager):
    """An agent that is all in, and out, by turns."""

    def decide(self, observation: Observation) -> Any:
        """Turn around."""
        first = super().decide(observation)[1:]
        return [*first, TargetWeight(symbol=SYMBOL, weight=float(self.n_asked % 2))]


# On the clock -------------------------------------------------------------------------------------


def test_stale_data_stop_new_orders_until_they_are_fresh(long_run: Run) -> None:
    """No candles for minutes 3 to 8, two minutes are allowed: it pauses, and goes on; nothing is
    sent about bars that were too old when they came.
    """  # noqa: D205 - one sentence, over two lines
    run = long_run
    server, begin, paused = run.thread.server, run.clock(), set()

    def at_turn(now: int) -> None:
        minute = (now - begin) // MINUTE_MS
        if minute == 3 and not server.faults.waiting:
            away = Fault(path="/klines", status=503, body="<html></html>", n=0)
            run.thread.call(lambda: server.faults.add(away))
        if minute == 8:
            run.thread.call(server.faults.clear)
        if read_status(run.plan.folder).paused:
            paused.add(minute)

    limit(run, max_data_age_ms=2 * MINUTE_MS).go(14, agent=Eager(0.1), at_turn=at_turn)
    assert {5, 6, 7} <= paused
    assert not paused & {0, 1, 2, 11, 12, 13}
    assert bought(run) > 0.5


def test_a_wrong_clock_stops_new_orders(thread: ServerThread, tmp_path: Path) -> None:
    """Ours is five seconds off, two are allowed: nothing is sent. As on an exchange that is not
    ours: there the skew is measured.
    """  # noqa: D205
    exchange_clock = thread.server.exchange.clock.now_ms
    plan = Plan(
        recipe=RECIPE, style="shadow", exchange=f"local:{thread.url}", folder=tmp_path,
        limits=FREE, watch=Watch(check_ms=MINUTE_MS),
    )  # fmt: skip
    around = Surroundings(
        clock=lambda: exchange_clock() + 5_000, wait=lambda: thread.step(MINUTE_MS // 2),
        agent=Eager(), has_wall=False, listens=False,
    )  # fmt: skip
    with open_session(plan, around) as session:
        keeper: Any = session._desk._keeper  # type: ignore[attr-defined]  # not measured on our own
        keeper.limits = replace(keeper.limits, max_clock_skew_ms=2_000)
        session.is_done = lambda: session.n_steps >= 26
        session.run()
    with PaperJournal(tmp_path / JOURNAL) as journal:
        assert "max_clock_skew_ms" in journal.notes("paused")[0].text
        sent = [one for one in Record(journal).entries() if one.kind == "ordered"]
    assert len(sent) <= 2  # at the first step, before the clocks were compared


def test_an_agent_that_abstains_too_long_ends_it(long_run: Run) -> None:
    """It raises from its third answer on, ten minutes are allowed: halted then, not before."""
    run = long_run
    begin = run.clock()
    why = limit(run, max_silence_ms=10 * MINUTE_MS).go(60, agent=_Raising())
    assert why.startswith("max_silence_ms")
    minutes = (run.clock() - begin) / MINUTE_MS
    assert 11 < minutes < 16
    assert n_open(run) == 0


class _Raising(Eager):
    """An agent that breaks."""

    def decide(self, observation: Observation) -> Any:
        """Answer twice."""
        found = super().decide(observation)
        if self.n_asked > 2:
            raise ValueError("no idea")
        return found


def test_an_agent_that_sleeps_is_not_silent(long_run: Run) -> None:
    """It said so: an hour of sleep, five minutes of silence are allowed."""
    run = long_run
    why = limit(run, max_silence_ms=5 * MINUTE_MS).go(12, agent=_Sleeping())
    assert why == "the session was to end now"


class _Sleeping(Eager):
    """An agent that sleeps for an hour."""

    def decide(self, _observation: Observation) -> Any:
        """Sleep."""
        return Decision(wake=Wake(after_ms=HOUR_MS))


# An agent that does not come back -----------------------------------------------------------------


class Hanging(Eager):
    """An agent that buys, and hangs when it is asked again."""

    def decide(self, observation: Observation) -> Any:
        """Hang for ten minutes of the wall, catching whatever is an error."""
        found = super().decide(observation)
        if self.n_asked == 3:
            with suppress(Exception):
                time.sleep(600)
        return found


def later(what: Any) -> threading.Timer:
    """Do something in a second, while the session's thread is held up."""
    timer = threading.Timer(1.0, what)
    timer.start()
    return timer


def test_the_kill_switch_works_while_the_agent_hangs(run: Run) -> None:
    """Told to flatten while the agent sleeps for ten minutes: cancelled and sold within seconds."""
    switch = KillSwitch(run.plan.folder / SWITCH)
    timers: list[threading.Timer] = []

    def at_turn(_now: int) -> None:
        if not timers and agent.n_asked == 2:
            timers.append(later(lambda: switch.press("flatten")))

    agent, began = Hanging(), time.monotonic()
    why = run.go(20, agent=agent, at_turn=at_turn)
    timers[0].join()
    assert why == "the kill switch says flatten"
    assert time.monotonic() - began < 60
    assert "interrupted: the kill switch says flatten" in _errors(run)
    if run.plan.style == "sandbox":
        truth: Any = spot_client(run.thread)
        assert truth.fetch_balance()["total"]["ETH"] == pytest.approx(0.0, abs=0.01)
    else:
        assert bought(run) == pytest.approx(0.0, abs=1e-9)
    assert n_open(run) == 0


def test_an_agent_that_hangs_too_long_is_given_up(long_run: Run) -> None:
    """Two hours of the exchange pass while it hangs, one is allowed: the session ends."""
    run = long_run
    timers: list[threading.Timer] = []

    def at_turn(_now: int) -> None:
        if not timers and agent.n_asked == 2:
            timers.append(later(lambda: run.thread.step(2 * HOUR_MS)))

    agent = Hanging()
    why = limit(run, max_silence_ms=HOUR_MS).go(400, agent=agent, at_turn=at_turn)
    timers[0].join()
    assert why.startswith("max_silence_ms")
    assert "interrupted: max_silence_ms" in _errors(run)
    assert n_open(run) == 0


def _errors(run: Run) -> str:
    with PaperJournal(run.plan.folder / JOURNAL) as journal:
        record = Record(journal)
        made = record.decisions([one.number for one in record.sessions()])
    return "\n".join(one.error for one in made)


def test_a_block_that_ends_in_time_is_left_alone() -> None:
    """No reason, no interruption; afterwards no alarm is left."""
    with watched(lambda: ""):
        time.sleep(0.7)
    time.sleep(0.6)
    with pytest.raises(Interrupted, match="why"), watched(lambda: "why"):
        time.sleep(5)
    time.sleep(0.6)


def test_limits_are_those_of_the_issue() -> None:
    """Each is tried above."""
    assert {
        "max_order", "max_position", "max_daily_loss", "max_drawdown", "max_orders_per_minute",
        "max_data_age_ms", "max_clock_skew_ms", "max_silence_ms",
    } <= set(Limits.__dataclass_fields__)  # fmt: skip
