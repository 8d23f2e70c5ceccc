"""Paper sessions on the local exchange: shadow and sandbox, stopped, killed and started again."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paper_sessions import FREE, RECIPE, Run, keys
from sandbox_clients import KEY, SECRET, exchange, spot_client, wavy

from seawall.action import Cancel, Order
from seawall.agent import Decision, Thinking, Wake
from seawall.errors import RecipeError
from seawall.market.series import SeriesKey
from seawall.observation import Observation
from seawall.paper import opening_sandbox
from seawall.paper.candles import Candle, CandleSource
from seawall.paper.errors import AccountLocked, GuardRefused, NotReconciled, PaperError
from seawall.paper.growing import GrowingMarket
from seawall.paper.journal import PaperJournal
from seawall.paper.kill_switch import KillSwitch
from seawall.paper.limits import Limits
from seawall.paper.outcome import recorded_fills, session_result
from seawall.paper.parity import replay
from seawall.paper.places import JOURNAL, LOG, SWITCH
from seawall.paper.plan import Plan
from seawall.paper.reconcile import reconcile
from seawall.paper.record import Record
from seawall.paper.status import read_status
from seawall.sandbox.server import Server, ServerThread
from seawall.units import HOUR_MS, MINUTE_MS

ETH, BTC = wavy(2_000), wavy(2_000, "BTC/USDT", 60_000.0)
SYMBOL = "ETH/USDT"


def serve() -> ServerThread:
    """Return the exchange, not started."""
    return ServerThread(Server(exchange(ETH, BTC)))


@pytest.fixture
def thread() -> Iterator[ServerThread]:
    """Return an exchange in the middle of its hundredth bar."""
    with serve() as made:
        made.step(100 * MINUTE_MS + 30_000)
        yield made


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Any]:
    """Return a function that opens the record of a folder."""
    opened: list[PaperJournal] = []

    def read(folder: Path = tmp_path) -> Record:
        opened.append(PaperJournal(folder / JOURNAL))
        return Record(opened[-1])

    yield read
    for journal in opened:
        journal.close()


class Scripted:
    """An agent that answers by the number of times it was asked, and keeps what it saw.

    It has a state, an empty one: so it is not reminded of what an earlier one has seen.
    """

    def __init__(self, *answers: Any) -> None:
        self.answers, self.seen = answers, []  # type: ignore[var-annotated]

    def decide(self, observation: Observation) -> Any:
        """Return the next answer; nothing after the last."""
        n = len(self.seen)
        self.seen.append(observation)
        answer = self.answers[n] if n < len(self.answers) else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def state(self) -> bytes:
        """Return nothing."""
        return b""

    def restore(self, _state: bytes) -> None:
        """Take nothing back."""


class _Reminded:
    """An agent that has no state, and keeps what it is shown."""

    def __init__(self) -> None:
        self.seen: list[Observation] = []

    def decide(self, observation: Observation) -> None:
        """Note."""
        self.seen.append(observation)


def bid(price: float, quantity: float = 0.5) -> list[Order]:
    """Return a limit order to buy."""
    return [Order(symbol=SYMBOL, side="buy", type="limit", quantity=quantity, limit_price=price)]


def _wait_for(is_so: Callable[[], bool]) -> None:
    """Return when it is so; a test that waits for longer than ten seconds fails."""
    end = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.005)


def told(record: Record) -> tuple[list[Any], ...]:
    """Return decisions, fills, values and entries of all sessions, as two runs are compared."""
    numbers = [one.number for one in record.sessions()]
    decisions = [(d.time_ms, d.decision, d.error) for d in record.decisions(numbers)]
    values = sorted({value for one in numbers for value in record.journal.values(one)})
    return decisions, record.journal.fills(), values, record.entries()


# What an agent is shown ---------------------------------------------------------------------------


def test_a_window_grows_and_shows_no_future() -> None:
    """Over three blocks: equal to the source to the bit, read-only, nan beyond the last bar, and
    what was given before stays as it was.
    """  # noqa: D205 - one sentence, over two lines
    n = 9_000
    candles = wavy(n)
    market = GrowingMarket({SYMBOL: SeriesKey("candles", "test", SYMBOL, "1m")})
    window, early = market.windows[SYMBOL], None
    for row in range(n):
        values = [float(getattr(candles, name)[row]) for name in Candle._fields[1:]]
        stamp_ms = int(candles.close_ms[row])
        market.step(stamp_ms, {SYMBOL: Candle(int(candles.time_ms[row]), *values)})
        if row == 99:
            early = window.field(3, 100)
    assert early is not None
    assert early.tolist() == candles.close[:100].tolist()
    for place, name in enumerate(("open", "high", "low", "close", "volume")):
        assert window.field(place, n).tolist() == getattr(candles, name).tolist()
    assert window.times(n).tolist() == candles.time_ms.tolist()
    assert np.isnan(window.field(3, n).base[n:]).all()  # type: ignore[index]
    with pytest.raises(ValueError, match="read-only"):
        window.field(3, n)[0] = 1.0
    assert market.n_closed[SYMBOL][-1] == n
    assert market.clock_ms == candles.close_ms.tolist()


def test_the_first_decision_has_a_full_history(thread: ServerThread, tmp_path: Path) -> None:
    """Started in the middle of bar 100: asked first at its close, with 20 bars of warm-up before
    it, all closed, equal to the exchange's.
    """  # noqa: D205
    agent = Scripted()
    Run(thread, tmp_path).go(3, agent=agent)
    first = agent.seen[0]
    assert first.time_ms == ETH.close_ms[100]
    assert first.prices().tolist() == ETH.close[80:101].tolist()
    assert [one.time_ms for one in agent.seen] == ETH.close_ms[100:103].tolist()


# The shadow ---------------------------------------------------------------------------------------


def test_a_shadow_needs_no_key_and_sends_none(thread: ServerThread, tmp_path: Path) -> None:
    """Keys in the environment are not looked at; the exchange's accounts stay as they were."""
    Run(thread, tmp_path).go(20)
    truth: Any = spot_client(thread)
    assert truth.fetch_balance()["total"]["USDT"] == 1_000_000
    assert truth.fetch_my_trades(SYMBOL) == []
    status = read_status(tmp_path)
    assert status.n_fills > 5
    assert not status.is_running


def test_stopped_and_started_it_is_as_if_it_had_run_through(tmp_path: Path, record: Any) -> None:
    """Three starts over 30 bars decide and fill as one does: account, orders and sleep go on."""
    for name, parts in (("whole", [30]), ("parts", [9, 12, 9])):
        with serve() as thread:
            thread.step(100 * MINUTE_MS + 30_000)
            run = Run(thread, tmp_path / name)
            for n_bars in parts:
                run.go(n_bars)
    whole, parts_ = told(record(tmp_path / "whole")), told(record(tmp_path / "parts"))
    assert len(whole[0]) >= 28
    assert parts_ == whole
    assert len(record(tmp_path / "parts").sessions()) == 3


class _KilledError(BaseException):
    """What a test raises in place of a kill."""


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 4))]
)
def test_killed_anywhere_it_goes_on(
    tmp_path: Path, record: Any, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Ended without a goodbye at random writes, again and again: the same decisions and fills."""
    with serve() as thread:
        thread.step(100 * MINUTE_MS + 30_000)
        Run(thread, tmp_path / "whole").go(25)
    rng = np.random.default_rng(seed)
    left = [int(rng.integers(20, 120))]
    real = PaperJournal.transaction

    def failing(self: PaperJournal) -> Any:
        left[0] -= 1
        if left[0] == 0:
            left[0] = int(rng.integers(20, 120))
            raise _KilledError
        return real(self)

    with serve() as thread:
        thread.step(100 * MINUTE_MS + 30_000)
        run = Run(thread, tmp_path / "killed")
        end_ms = thread.server.exchange.clock.now_ms() + 25 * MINUTE_MS
        n_killed = 0
        while run.clock() < end_ms:
            try:
                with monkeypatch.context() as patch:
                    patch.setattr(PaperJournal, "transaction", failing)
                    run.go(-(-(end_ms - run.clock()) // MINUTE_MS))
            except _KilledError:
                n_killed += 1
    assert n_killed > 2
    assert told(record(tmp_path / "killed")) == told(record(tmp_path / "whole"))


def test_nobody_is_asked_about_what_closed_while_it_was_away(
    thread: ServerThread, tmp_path: Path, record: Any
) -> None:
    """Ten bars without it: seen by the venue, where the resting bid fills, not by the agent."""
    low = float(ETH.low[105:115].min())
    first = Scripted(bid(round(low + 0.5, 2)), None, None)
    run = Run(thread, tmp_path)
    run.go(3, agent=first)
    thread.step(10 * MINUTE_MS)
    second = Scripted()
    run.go(3, agent=second)
    assert [one.time_ms for one in first.seen] == ETH.close_ms[100:103].tolist()
    assert second.seen[0].time_ms == ETH.close_ms[112]  # still the last that has closed
    assert len(record().journal.fills()) == 1
    assert second.seen[0].quantities[SYMBOL] == 0.5


def test_what_it_raised_and_when_it_slept_is_remembered(
    thread: ServerThread, tmp_path: Path, record: Any
) -> None:
    """An error is an abstention, also when it is run again; a sleep of five bars goes on."""
    run = Run(thread, tmp_path)
    sleep = Decision(reason="later", wake=Wake(after_ms=5 * MINUTE_MS))
    run.go(3, agent=Scripted(ValueError("no idea"), sleep))
    again = Scripted()
    run.go(5, agent=again)
    assert [one.time_ms for one in again.seen] == ETH.close_ms[106:108].tolist()
    kinds = [one.kind for one in record().entries()]
    assert kinds.count("abstained") == 1


class _Counting:
    """An agent that counts how often it was asked, over restarts."""

    def __init__(self) -> None:
        self.n = 0

    def decide(self, _observation: Observation) -> None:
        """Count."""
        self.n += 1

    def state(self) -> bytes:
        """Return the count."""
        return str(self.n).encode()

    def restore(self, state: bytes) -> None:
        """Take the count back."""
        self.n = int(state)


def test_an_agent_gets_its_state_back(thread: ServerThread, tmp_path: Path) -> None:
    """Asked three and four times: seven."""
    run = Run(thread, tmp_path)
    run.go(3, agent=_Counting())
    last = _Counting()
    run.go(4, agent=last)
    assert last.n == 7


def test_the_kill_switch_cancels_and_sells(
    thread: ServerThread, tmp_path: Path, record: Any
) -> None:
    """Told to flatten, the bid is gone and the coin sold at the next open; a start is refused
    until the switch is off, and then finds the account as it was left.
    """  # noqa: D205
    switch = KillSwitch(tmp_path / SWITCH)
    agent = Scripted([*bid(1_000.0), Order(symbol=SYMBOL, side="buy", quantity=1.0)])
    press_ms = thread.server.exchange.clock.now_ms() + 4 * MINUTE_MS
    run = Run(thread, tmp_path)
    why = run.go(
        20, agent=agent, at_turn=lambda now: switch.press("flatten") if now >= press_ms else None
    )
    assert why == "the kill switch says flatten"
    fills = record().journal.fills()
    assert sum(fill.signed for fill in fills) == 0
    assert fills[-1].time_ms <= press_ms + 2 * MINUTE_MS
    with pytest.raises(PaperError, match="kill switch is on"):
        run.go(1)
    switch.release()
    later = Scripted()
    run.go(2, agent=later)
    assert later.seen[-1].quantities[SYMBOL] == 0
    assert later.seen[-1].orders == ()


def test_limits_hold_in_the_shadow_too(thread: ServerThread, tmp_path: Path, record: Any) -> None:
    """An order worth 3,000 is refused at 1,000, and refused again when the bars are run again."""
    run = Run(thread, tmp_path, limits=Limits(max_order=1_000.0, max_drawdown=None))
    run.go(3, agent=Scripted([Order(symbol=SYMBOL, side="buy", quantity=1.0)]))
    run.plan = Plan(
        recipe=RECIPE, style="shadow", exchange=run.plan.exchange, folder=tmp_path, limits=FREE
    )
    run.go(3, agent=Scripted())
    assert record().journal.fills() == []
    refusals = [one for one in record().entries() if one.kind == "refused"]
    assert len(refusals) == 1
    assert "max_order" in refusals[0].reason + refusals[0].text


def test_a_loss_ends_the_session(thread: ServerThread, tmp_path: Path) -> None:
    """A drawdown of a thousandth is reached by fees alone."""
    limits = Limits(max_drawdown=0.001, max_daily_loss=None)
    why = Run(thread, tmp_path, limits=limits).go(60)
    assert why.startswith("max_drawdown")


def test_a_folder_belongs_to_one_recipe(thread: ServerThread, tmp_path: Path) -> None:
    """Another recipe in it is refused by name."""
    Run(thread, tmp_path).go(2)
    other = RECIPE.with_settings({"agent.slow": 9})
    with pytest.raises(PaperError, match="belongs to one recipe"):
        Run(thread, tmp_path, recipe=other).go(2)


def test_a_candle_that_comes_late_is_seen_at_the_next_step(
    thread: ServerThread, tmp_path: Path, record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One symbol's candles stay away for two minutes: the other's steps wait no longer than the
    patience, nothing is lost, and a restart, which runs the bars again, sees the same.
    """  # noqa: D205
    real = CandleSource.fresh

    def fresh(self: CandleSource) -> list[Candle]:
        is_away = ETH.close_ms[103] <= clock() < ETH.close_ms[105]
        return [] if is_away and self.symbol == "BTC/USDT" else real(self)

    monkeypatch.setattr(CandleSource, "fresh", fresh)
    clock = thread.server.exchange.clock.now_ms
    pair = RECIPE.with_settings({"market.symbols": [SYMBOL, "BTC/USDT"]})
    run = Run(thread, tmp_path, recipe=pair)
    agent, again = Scripted([Order(symbol=SYMBOL, side="buy", quantity=1.0)]), _Reminded()
    run.go(10, agent=agent)
    assert any("after its step" in note.text for note in record().journal.notes("fault"))
    run.go(4, agent=again)
    lengths = [len(one.prices("BTC/USDT")) for one in agent.seen]
    assert sorted(lengths) == lengths
    assert lengths[3] < 24
    assert [len(one.prices("BTC/USDT")) for one in again.seen][:10] == lengths
    assert len(again.seen) == 14
    for symbol, source in ((SYMBOL, ETH), ("BTC/USDT", BTC)):
        assert again.seen[-1].prices(symbol).tolist() == source.close[80:114].tolist()


# The sandbox --------------------------------------------------------------------------------------


@pytest.fixture
def sandbox(thread: ServerThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return sessions of Alice's account on the exchange."""
    keys(monkeypatch)
    return Run(thread, tmp_path, style="sandbox")


def check_belief(run: Run, record: Record) -> None:
    """Assert that what is believed is true, and that nothing is unresolved."""
    truth: Any = spot_client(run.thread)
    total = truth.fetch_balance()["total"]
    believed = record.journal.believed("balance")
    for asset in ("ETH", "USDT"):
        assert believed[asset] == pytest.approx(total[asset], abs=1e-8)
    assert len(record.journal.fills()) == len(truth.fetch_my_trades(SYMBOL, None, 1000))
    open_there = {one["clientOrderId"] for one in truth.fetch_open_orders(SYMBOL)}
    assert {one.intent.client_id for one in record.journal.orders("open")} == open_there
    assert record.journal.unresolved() == []


def test_a_sandbox_session_trades_on_the_exchange(sandbox: Run, record: Any) -> None:
    """The recipe's own agent, 40 bars: belief is truth, the result's equity is the account's."""
    sandbox.go(40)
    book = record()
    assert len(book.journal.fills()) > 4
    check_belief(sandbox, book)
    result = session_result(book)
    assert result.labels[0] == "paper: local spot local"
    last = max(value for one in book.sessions() for value in book.journal.values(one.number))
    assert result.equity.equity.iloc[-1] == pytest.approx(last[1], rel=1e-9)


@pytest.mark.slow
def test_news_of_orders_come_by_the_stream(sandbox: Run, record: Any) -> None:
    """A bid that fills between two looks is told by the account's stream; a dropped stream is
    noted and listened to again; belief is truth.
    """  # noqa: D205
    thread, sandbox.has_streams = sandbox.thread, True
    hub = thread.server.hub
    dropped: list[int] = []

    def drop() -> None:
        for one in list(hub.connections):
            one.end("drop")

    def turn(now: int) -> None:
        if not dropped and now >= ETH.close_ms[104]:
            dropped.append(now)
            thread.call(drop)
        _wait_for(lambda: bool(thread.call(lambda: any(hub._listeners.values()))))

    low = float(ETH.low[102:104].min())
    again = bid(round(float(ETH.low[106:110].min()) + 0.5, 2))
    sandbox.go(14, agent=Scripted(bid(round(low + 0.5, 2)), None, None, None, again), at_turn=turn)
    book = record()
    events = book.journal.seen("order event")
    assert len(events) >= 3
    assert len(book.journal.notes("stream")) >= 1
    assert [one.state for one in book.journal.orders()] == ["filled", "filled"]
    check_belief(sandbox, book)


def test_open_orders_are_taken_over(sandbox: Run, record: Any) -> None:
    """The agent of the next start sees the bid under its client id, cancels it, and it is gone."""
    first = Scripted(bid(1_000.0))
    sandbox.go(3, agent=first)
    order = first.seen[-1].orders[0]
    second = Scripted(None, [Cancel(order_id=order.client_id)])
    sandbox.go(4, agent=second)
    assert [one.client_id for one in second.seen[0].orders] == [order.client_id]
    assert second.seen[-1].orders == ()
    (record_,) = record().journal.orders()
    assert record_.state == "cancelled"
    check_belief(sandbox, record())


def test_what_is_foreign_is_refused_or_adopted(sandbox: Run, record: Any) -> None:
    """An order of somebody else on the account: no start; with --adopt it is cancelled."""
    sandbox.go(2, agent=Scripted())
    truth: Any = spot_client(sandbox.thread)
    truth.create_order(SYMBOL, "limit", "buy", 0.5, 1_000.0)
    with pytest.raises(NotReconciled, match="foreign order"):
        sandbox.go(2, agent=Scripted())
    sandbox.go(2, agent=Scripted(), adopt=True)
    assert truth.fetch_open_orders(SYMBOL) == []
    check_belief(sandbox, record())


def test_an_account_has_one_session(sandbox: Run, tmp_path: Path) -> None:
    """A second one, in another folder, is refused while the first runs."""
    errors: list[BaseException] = []

    def second(_now: int) -> None:
        if errors:
            return
        try:
            Run(sandbox.thread, tmp_path / "other", style="sandbox").go(1)
        except AccountLocked as error:
            errors.append(error)

    sandbox.go(2, agent=Scripted(), at_turn=second)
    assert len(errors) == 1


def test_keys_are_nowhere(sandbox: Run, tmp_path: Path) -> None:
    """After a run with faults, no file of the session holds the key or the secret."""
    sandbox.thread.server.faults.clear()
    sandbox.go(15)
    with pytest.raises(GuardRefused):
        Plan(recipe=RECIPE, style="sandbox", exchange="kraken", folder=tmp_path).venue  # noqa: B018
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) >= 2
    for file in files:
        content = file.read_bytes()
        assert KEY.encode() not in content
        assert SECRET.encode() not in content


# What one sees ------------------------------------------------------------------------------------


def test_the_log_is_json_and_the_status_is_the_journal_s(
    thread: ServerThread, tmp_path: Path, record: Any
) -> None:
    """Every line is an object with a time; the status says what the last step wrote."""
    seen: list[bool] = []
    run = Run(thread, tmp_path)
    run.go(12, at_turn=lambda _now: seen.append(read_status(tmp_path).is_running))
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert {"session", "step", "decision", "filled"} <= {line["kind"] for line in lines}
    assert all(line["time_ms"] > 0 for line in lines)
    assert all(seen)
    status = read_status(tmp_path)
    assert not status.is_running
    assert status.equity == record().journal.values(1)[-1][1]
    assert status.decision is not None
    assert status.decision.decision.reason
    assert json.loads(json.dumps(status.to_dict()))["fills"] == status.n_fills


def test_a_session_has_a_result_like_a_backtest(
    thread: ServerThread, tmp_path: Path, record: Any
) -> None:
    """Equity, fills and journal are the session's; it can be saved and read again."""
    Run(thread, tmp_path / "session").go(30)
    book = record(tmp_path / "session")
    result = session_result(book)
    values = book.journal.values(1)
    assert result.equity.equity.to_numpy() == pytest.approx([v[1] for v in values], rel=1e-12)
    assert len(result.fills) == len(book.journal.fills())
    assert result.counts["decisions"] == 30
    folder = result.save(tmp_path / "result")
    assert type(result).load(folder).metrics == result.metrics


class _Thinker:
    """Does nothing, and each time that costs a quarter."""

    def decide(self, _observation: Any) -> Decision:
        """Return the bill."""
        thinking = Thinking(n_calls=1, input_tokens=10, output_tokens=1, cost=0.25, latency_ms=0)
        return Decision(thinking=thinking)


@pytest.mark.parametrize("style", ["shadow", "sandbox"])
def test_thinking_is_off_the_result(
    thread: ServerThread,
    tmp_path: Path,
    record: Any,
    monkeypatch: pytest.MonkeyPatch,
    style: Any,
) -> None:
    """Five decisions at 0.25 are owed, off the equity from their time on, as in a backtest."""
    keys(monkeypatch)
    Run(thread, tmp_path / "session", style=style).go(5, agent=_Thinker())
    book = record(tmp_path / "session")
    result = session_result(book)
    assert result.metrics.thinking == 1.25
    equity = result.equity.equity.to_numpy()
    told = np.array([value[1] for value in book.journal.values(1)])  # a venue's, without it
    owed = np.array([0.5, 0.75, 1.0, 1.25])
    assert equity[1:] == pytest.approx(told[1:] - owed, rel=1e-12)
    parity = replay(book, agent=_Thinker())
    assert parity.replayed_equity == pytest.approx(parity.equity)


def test_a_bar_that_closes_while_a_session_opens_is_traded(
    thread: ServerThread, tmp_path: Path, record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked for at it is sent: only the warm-up is seen and not traded."""

    def slow(*asked: Any, **named: Any) -> Any:
        thread.step(2 * MINUTE_MS)
        return reconcile(*asked, **named)

    keys(monkeypatch)
    monkeypatch.setattr(opening_sandbox, "reconcile", slow)
    agent = Scripted(bid(1_900.0))
    Run(thread, tmp_path / "session", style="sandbox").go(4, agent=agent)
    journal = record(tmp_path / "session").journal
    assert journal.notes("refused") == []
    assert len(journal.orders()) == 1


def test_a_recipe_that_cannot_be_run_live_is_refused(tmp_path: Path) -> None:
    """By key, value and remedy."""
    wrong: list[tuple[dict[str, object], str]] = [
        ({"execution.decide_at": "open"}, "decide_at"),
        ({"execution.fills": "stock"}, "fills"),
        ({"execution.fill": "close"}, "execution.fill"),
    ]
    for settings, word in wrong:
        recipe = RECIPE.with_settings(settings)
        with pytest.raises(RecipeError, match=word):
            Plan(recipe=recipe, style="shadow", exchange="binance", folder=tmp_path)


def test_bars_that_the_exchange_has_not_are_refused_with_those_it_has(tmp_path: Path) -> None:
    """Hourly bars, asked for minutes; nothing is begun."""
    candles = wavy(300)
    hours = replace(
        candles,
        key=SeriesKey("candles", "test", "ETH/USDT", "1h"),
        time_ms=candles.time_ms[0] + HOUR_MS * np.arange(300, dtype=np.int64),
    )
    with ServerThread(Server(exchange(hours))) as made:
        made.step(100 * HOUR_MS)
        with pytest.raises(PaperError, match=r"has 1h bars, .* is 1m: set market\.timeframe=1h"):
            Run(made, tmp_path / "p").go(1)
        assert not (tmp_path / "p").exists()
        recipe = RECIPE.with_settings({"market.timeframe": "1h", "market.warmup": "20h"})
        run = Run(made, tmp_path / "p", recipe=recipe)
        run.go(60)
        assert (tmp_path / "p" / JOURNAL).exists()


def test_recorded_fills_are_the_venue_s(thread: ServerThread, tmp_path: Path, record: Any) -> None:
    """Rows of the shadow keep what a trade does not: rule, raw price, the bar."""
    Run(thread, tmp_path).go(10)
    from seawall.paper.outcome import find_run  # noqa: PLC0415

    book = record()
    fills = recorded_fills(book, find_run(book))
    assert {fill.rule for fill in fills} == {"market"}
    assert all(fill.slippage > 0 for fill in fills)
