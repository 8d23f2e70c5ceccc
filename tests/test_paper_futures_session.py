"""Paper sessions on a futures sandbox: trade, guard a position, be liquidated, stop, go on."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from linear_sandboxes import PERP, funding, glide, perpetuals
from paper_sessions import FREE, Run, keys
from sandbox_clients import usdm_client

from seawall.action import Cancel, Order, TargetWeight
from seawall.errors import RecipeError
from seawall.observation import Observation
from seawall.paper import opening_sandbox
from seawall.paper.errors import GuardRefused, NotReconciled, PaperError
from seawall.paper.futures_opening import set_contracts
from seawall.paper.journal import PaperJournal
from seawall.paper.kill_switch import KillSwitch
from seawall.paper.limits import Limits
from seawall.paper.outcome import session_result
from seawall.paper.places import JOURNAL, SWITCH
from seawall.paper.plan import Plan
from seawall.paper.record import Record
from seawall.paper.status import read_status
from seawall.perpetual_action import AddMargin, SetLeverage, SetMarginMode, TargetLeverage, Transfer
from seawall.recipe import Recipe
from seawall.sandbox.contract import make_contract
from seawall.sandbox.server import Server, ServerThread
from seawall.units import MINUTE_MS

pytestmark = pytest.mark.slow  # whole sessions and processes

MARKET = {
    "venue": "simulated", "symbols": [PERP], "timeframe": "1m", "since": "2025-01-01",
    "until": "2025-02-01", "warmup": "5m",
}  # fmt: skip
TRADING = Recipe.from_dict(
    {
        "name": "futures", "market": MARKET, "account": {"cash": 10_000},
        "agent": {"name": "agents.cash"}, "strategy": {"name": "strategies.futures_trading"},
        "perpetual": {"leverage": 5, "margin": "cross"},
    }
)  # fmt: skip
GUARDING = Recipe.from_dict(
    {
        "name": "guard", "market": MARKET, "account": {"cash": 1_000},
        "agent": {"name": "agents.reduce_at_margin_ratio", "trigger": 0.08, "target": 0.05},
        "strategy": {"name": "strategies.margin_protection"},
        "perpetual": {"margin": "isolated", "position": {"quantity": 1.0, "leverage": 10}},
    }
)  # fmt: skip
FALL = glide([3000.0, 3000.0, 2680.0, 2680.0], 15)
QUIET = glide([3000.0, 3010.0], 600)


class Scripted:
    """An agent that answers by the number of times it was asked, and keeps what it saw."""

    def __init__(self, *answers: Any) -> None:
        self.answers = answers
        self.seen: list[Observation] = []

    def decide(self, observation: Observation) -> Any:
        """Return the next answer; nothing after the last."""
        n = len(self.seen)
        self.seen.append(observation)
        return self.answers[n] if n < len(self.answers) else None

    def state(self) -> bytes:
        """Return nothing."""
        return b""

    def restore(self, _state: bytes) -> None:
        """Take nothing back."""


def serve(candles: Any = QUIET, *, money: float = 10_000.0, **terms: Any) -> ServerThread:
    """Return an exchange, not started."""
    return ServerThread(Server(perpetuals(candles, futures=money, **terms)))


@pytest.fixture
def thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerThread]:
    """Return an exchange on which little happens, in the middle of a bar."""
    keys(monkeypatch)
    with serve() as made:
        made.step(20 * MINUTE_MS + 30_000)
        yield made


@pytest.fixture
def falling(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerThread]:
    """Return an exchange whose price falls by 10.7 % in 15 minutes, five minutes from now."""
    keys(monkeypatch)
    with serve(FALL) as made:
        made.step(10 * MINUTE_MS + 30_000)
        yield made


def session(thread: ServerThread, folder: Path, recipe: Recipe = TRADING, **how: Any) -> Run:
    """Return sessions of Alice's futures."""
    run = Run(thread, folder, style="sandbox", recipe=recipe, **how)
    run.step_ms = MINUTE_MS
    return run


def record_of(folder: Path) -> Record:
    """Return the record of a folder; the caller closes its journal."""
    return Record(PaperJournal(folder / JOURNAL))


def finish(run: Run) -> Record:
    """Start once more without doing anything, and assert that belief is truth."""
    run.thread.call(run.thread.server.faults.clear)
    run.go(2, agent=Scripted())
    record = record_of(run.plan.folder)
    journal, client = record.journal, usdm_client(run.thread)
    told = {one["symbol"]: one for one in client.fetch_positions()}.get(PERP)
    signed = 0.0 if told is None else told["contracts"] * (1 if told["side"] == "long" else -1)
    assert journal.believed("position").get(PERP, 0.0) == pytest.approx(signed, abs=1e-9)
    listed = client.fetch_open_orders(PERP) + client.fetch_open_orders(
        PERP, params={"trigger": True}
    )
    assert {one.intent.client_id for one in journal.orders("open")} == {
        one["clientOrderId"] for one in listed
    }
    assert len(journal.fills()) == len(
        run.thread.server.exchange.linear.seats["alice"].history("ETHUSDT").trades
    )
    assert journal.unresolved() == []
    client.session.close()
    return record


def kinds(record: Record) -> list[str]:
    """Return the kinds of what the strategy and the account wrote."""
    return [one.kind for one in record.entries()]


# Trading ------------------------------------------------------------------------------------------


def test_an_agent_trades_and_sees_what_the_exchange_tells(
    thread: ServerThread, tmp_path: Path
) -> None:
    """A weight of 2, a bid, a stop, a cancel, and out again: positions, margin, equity are true."""
    agent = Scripted(
        {PERP: 2.0},
        [Order(symbol=PERP, side="buy", type="limit", quantity=0.1, limit_price=2_950.0),
         Order(symbol=PERP, side="sell", type="stop", quantity=1.0, stop_price=2_900.0,
               reduce_only=True)],
        [Cancel(order_id="all")],
        {PERP: 0.0},
    )  # fmt: skip
    run = session(thread, tmp_path)
    run.go(7, agent=agent)
    first, second, third, fourth, fifth = agent.seen[:5]
    view = first.perpetual
    assert view is not None
    assert (view.equity, view.available, view.positions) == (10_000.0, 10_000.0, {})
    assert view.contracts[PERP].taker_fee == pytest.approx(0.0005)
    held = second.perpetual.position()  # type: ignore[union-attr]
    assert held.quantity == second.quantities[PERP] == pytest.approx(6.66, abs=0.01)
    assert (held.leverage, held.is_isolated) == (5.0, False)
    assert held.margin == pytest.approx(second.equity, rel=1e-9)
    assert second.cash == pytest.approx(second.equity - held.notional / 5, rel=1e-6)
    assert [one.type for one in third.orders] == ["limit", "stop"]
    assert third.cash < second.cash  # the bid binds margin
    assert fourth.orders == ()
    assert fifth.perpetual.positions == {}  # type: ignore[union-attr]
    record = finish(run)
    assert [one.state for one in record.journal.orders()] == [
        "filled", "cancelled", "cancelled", "filled",
    ]  # fmt: skip
    record.journal.close()


def test_news_come_by_the_stream(falling: ServerThread, tmp_path: Path) -> None:
    """A stop that is triggered is told as what waits apart: it is asked for, not believed."""
    hub = falling.server.hubs["fstream"]
    run = session(falling, tmp_path)
    run.has_streams = True

    def turn(_now: int) -> None:
        end = time.monotonic() + 10
        while not falling.call(lambda: any(hub._listeners.values())):
            assert time.monotonic() < end
            time.sleep(0.005)

    stop = Order(symbol=PERP, side="sell", type="stop", quantity=1.0, stop_price=2_950.0,
                 reduce_only=True)  # fmt: skip
    run.go(16, agent=Scripted({PERP: 1.0}, [stop]), at_turn=turn)
    record = finish(run)
    assert [one.state for one in record.journal.orders()] == ["filled", "filled"]
    assert record.journal.orders()[1].filled == 1.0
    assert record.journal.seen("order event")
    record.journal.close()


def test_leverage_margin_and_mode_are_set(thread: ServerThread, tmp_path: Path) -> None:
    """Each is done at the exchange, or refused by name; a transfer always is."""
    agent = Scripted(
        [SetMarginMode(symbol=PERP, mode="isolated"), SetLeverage(symbol=PERP, leverage=8.0),
         SetLeverage(symbol=PERP, leverage=2.5), SetLeverage(symbol=PERP, leverage=500.0),
         AddMargin(symbol=PERP, amount=10.0), TargetWeight(symbol=PERP, weight=1.0)],
        [AddMargin(symbol=PERP, amount=200.0), AddMargin(symbol=PERP, amount=-50.0),
         Transfer(source="perpetual", target="spot", amount=10.0)],
    )  # fmt: skip
    run = session(thread, tmp_path)
    run.go(5, agent=agent)
    before = agent.seen[1].perpetual.position()  # type: ignore[union-attr]
    after = agent.seen[2].perpetual.position()  # type: ignore[union-attr]
    assert (before.leverage, before.is_isolated) == (8.0, True)
    assert after.margin - before.margin == pytest.approx(150.0, abs=5.0)
    assert after.liquidation_price < before.liquidation_price - 40
    record = finish(run)
    rows = [(one.kind, one.text, one.reason) for one in record.entries()]
    refused = [reason for kind, _, reason in rows if kind == "refused"]
    assert [why.split(":")[0] for why in refused] == [
        "an exchange's leverage is a whole number, is 2.5",
        "there is no position to back",
        "a sandbox's futures account has no other wallet to move money to or from",
    ]
    assert [text for kind, text, _ in rows if kind == "done"] == [
        f"set the margin of {PERP} to isolated", f"set the leverage of {PERP} to 8x",
        f"add 200 of margin to {PERP}", f"take 50 of margin from {PERP}",
    ]  # fmt: skip
    assert "500" in next(text for kind, text, _ in rows if kind == "failed")
    record.journal.close()


def test_funding_is_told_and_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three stamps over two starts: in the agent's view, the journal and the wallet, each once."""
    keys(monkeypatch)
    rates = funding([0.001] * 24, first_ms=int(QUIET.time_ms[0]) + 60 * MINUTE_MS, interval="1h")
    with serve(contract=make_contract(QUIET, funding=rates)) as made:
        made.step(20 * MINUTE_MS + 30_000)
        run = session(
            made,
            tmp_path,
            TRADING.with_settings({"market.timeframe": "5m", "market.warmup": "10m"}),
        )
        run.step_ms = 5 * MINUTE_MS
        run.go(110, agent=Scripted({PERP: 1.0}))
        agent = Scripted()
        run.go(80, agent=agent)
        record = finish(run)
        told = [one for one in record.entries() if one.kind == "funding"]
        assert len(told) == 3
        paid = sum(one[1][3] for one in record.journal.events("income") if "FUNDING" in one[0])
        assert paid == pytest.approx(-30.0, abs=1.0)
        last = agent.seen[-1].perpetual
        assert last is not None
        assert last.funding_rate() == pytest.approx(0.001)
        assert last.next_funding_ms() > agent.seen[-1].time_ms
        record.journal.close()


# Guarding -----------------------------------------------------------------------------------------


def test_a_position_is_never_opened_silently(thread: ServerThread, tmp_path: Path) -> None:
    """Flat: refused without --open; with it the recipe's position is there, set as it says."""
    run = session(thread, tmp_path, GUARDING)
    with pytest.raises(PaperError, match="--open"):
        run.go(2)
    agent = Scripted()
    run.go(3, agent=agent, opens=True)
    held = agent.seen[0].perpetual.position()  # type: ignore[union-attr]
    assert (held.quantity, held.leverage, held.is_isolated) == (1.0, 10.0, True)
    assert held.liquidation_price == pytest.approx(2_712, abs=10)
    run.go(2, agent=Scripted())  # it is there now: nothing has to be said
    record = finish(run)
    assert len(record.journal.orders()) == 1
    record.journal.close()


def test_what_a_start_opened_late_is_what_it_began_with(
    thread: ServerThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened after the first bar had begun, the position is in the start, and no fill of it."""

    def slow(*asked: Any) -> None:
        thread.step(2 * MINUTE_MS)
        set_contracts(*asked)

    monkeypatch.setattr(opening_sandbox, "set_contracts", slow)
    run = session(thread, tmp_path, GUARDING)
    run.go(5, agent=Scripted(), opens=True)
    record = finish(run)
    result = session_result(record)
    assert len(record.journal.fills()) == 1
    assert len(result.fills) == 0
    assert result.parts["trading_fees"] == 0.0
    record.journal.close()


def test_a_position_that_is_there_is_taken_over_if_told_so(
    thread: ServerThread, tmp_path: Path
) -> None:
    """Opened by hand: a difference, adopted with --adopt; it stays as it is set."""
    client = usdm_client(thread)
    client.set_leverage(7, PERP)
    client.set_margin_mode("isolated", PERP)
    client.create_order(PERP, "market", "buy", 2.0)
    run = session(thread, tmp_path, GUARDING)
    with pytest.raises(NotReconciled, match="foreign trade"):
        run.go(2, opens=True)
    agent = Scripted()
    run.go(3, agent=agent, adopt=True)
    held = agent.seen[0].perpetual.position()  # type: ignore[union-attr]
    assert (held.quantity, held.leverage) == (2.0, 7.0)
    record = finish(run)
    assert record.journal.orders() == []
    assert any("stays at 7x" in one.text for one in record.journal.notes("futures"))
    record.journal.close()
    client.session.close()


def test_the_guard_reduces_through_a_fall(falling: ServerThread, tmp_path: Path) -> None:
    """A 10x long lives through 10.7 %: reduced at the margin ratio, its margin kept in it."""
    run = session(falling, tmp_path, GUARDING)
    run.go(28, opens=True)
    record = finish(run)
    journal = record.journal
    reductions = [one for one in journal.orders() if one.intent.reduce_only]
    assert reductions
    assert {one.state for one in reductions} == {"filled"}
    assert 0.0 < journal.believed("position")[PERP] < 1.0
    assert journal.notes("forced") == []
    moved = [row for _, row in journal.events("margin moved")]
    assert moved
    assert {row[3] for row in moved} == {"done"}
    assert read_status(tmp_path).to_dict()["cash"] is not None
    journal.close()


def test_unguarded_it_is_liquidated_and_that_is_told_once(
    falling: ServerThread, tmp_path: Path
) -> None:
    """Nobody acts: the exchange closes it; the agent is told once, and the session goes on."""
    agent = Scripted()
    run = session(falling, tmp_path, GUARDING)
    run.go(28, agent=agent, opens=True)
    flags = [one.perpetual.is_liquidated for one in agent.seen]  # type: ignore[union-attr]
    assert flags.count(True) == 1
    struck = agent.seen[flags.index(True)]
    assert struck.perpetual.positions == {}  # type: ignore[union-attr]
    assert struck.fills
    record = finish(run)
    assert len(record.journal.notes("forced")) >= 1
    told = [one.text for one in read_status(tmp_path).troubles if one.kind == "forced"]
    assert told[0].startswith(f"liquidation: sell 1 {PERP}")
    assert record.journal.believed("position")[PERP] == pytest.approx(0.0)
    assert not any("differ" in one.text for one in record.journal.notes("difference"))
    record.journal.close()


@pytest.mark.slow
def test_margin_is_added_by_the_agent_of_the_job(falling: ServerThread, tmp_path: Path) -> None:
    """The free wallet of the futures account is what margin comes from: there is no reserve."""
    recipe = GUARDING.with_settings({"agent.name": "agents.add_margin_at_ratio"})
    run = session(falling, tmp_path, recipe)
    run.go(28, opens=True)
    record = finish(run)
    assert [row[3] for _, row in record.journal.events("margin moved")].count("done") >= 1
    assert record.journal.believed("position")[PERP] == 1.0
    record.journal.close()


def test_what_a_reduction_loses_is_not_put_back(falling: ServerThread, tmp_path: Path) -> None:
    """After a loss 5x it is too: what is set free backs the rest, less fee and loss."""
    asked = [*[None] * 10, [TargetLeverage(symbol=PERP, leverage=5.0)]]
    agent = Scripted(*asked)
    run = session(falling, tmp_path, GUARDING)
    run.go(14, agent=agent, opens=True)
    before = agent.seen[10].perpetual.position()  # type: ignore[union-attr]
    after = agent.seen[11].perpetual.position()  # type: ignore[union-attr]
    assert before.unrealised < -100
    assert after.quantity < 0.5
    moved = abs(after.mark_price / before.mark_price - 1)
    assert after.real_leverage == pytest.approx(5.0, rel=0.02 + 6 * moved)
    finish(run).journal.close()


def test_target_leverage_reduces_and_keeps_margin(thread: ServerThread, tmp_path: Path) -> None:
    """From 10x to 4x: margin that the reduction sets free is put back, so that 4x it is."""
    agent = Scripted([TargetLeverage(symbol=PERP, leverage=4.0)])
    run = session(thread, tmp_path, GUARDING)
    run.go(4, agent=agent, opens=True)
    held = agent.seen[2].perpetual.position()  # type: ignore[union-attr]
    assert held.real_leverage == pytest.approx(4.0, rel=0.02)
    finish(run).journal.close()


# Limits and the kill switch -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "word"),
    [(Limits(max_order=100.0), "max_order"), (Limits(max_position=1_000.0), "max_position"),
     (Limits(max_leverage=0.5), "max_leverage")],
)  # fmt: skip
def test_limits_hold_what_the_agent_asks(
    thread: ServerThread, tmp_path: Path, limits: Limits, word: str
) -> None:
    """A weight of 1 is beyond each of them: nothing is sent, and the reason is noted."""
    run = session(thread, tmp_path, limits=limits)
    run.go(3, agent=Scripted({PERP: 1.0}))
    record = finish(run)
    assert record.journal.orders() == []
    assert word in record.journal.notes("refused")[0].text
    record.journal.close()


def test_a_limit_forbids_to_open_the_recipe_s_position(
    thread: ServerThread, tmp_path: Path
) -> None:
    """What --open may open is within the limits too."""
    run = session(thread, tmp_path, GUARDING, limits=Limits(max_position=1_000.0))
    with pytest.raises(PaperError, match="max_position"):
        run.go(2, opens=True)


def test_the_kill_switch_flattens(thread: ServerThread, tmp_path: Path) -> None:
    """Orders, stops that wait apart, and the position: all gone, by an order that only reduces."""
    bid = Order(symbol=PERP, side="buy", type="limit", quantity=0.1, limit_price=2_950.0)
    stop = Order(symbol=PERP, side="sell", type="stop", quantity=1.0, stop_price=2_900.0)
    run = session(thread, tmp_path)
    run.go(4, agent=Scripted({PERP: -1.0}, [bid, stop]))
    switch = KillSwitch(tmp_path / SWITCH)
    seen: list[int] = []

    def press(_now: int) -> None:
        seen.append(1)
        if len(seen) == 2:
            switch.press("flatten")

    assert "flatten" in run.go(10, agent=Scripted(), at_turn=press)
    switch.release()
    record = finish(run)
    last = record.journal.orders()[-1]
    assert (last.intent.reduce_only, last.intent.side, last.state) == (True, "buy", "filled")
    assert record.journal.orders("open") == []
    assert record.journal.believed("position")[PERP] == pytest.approx(0.0)
    record.journal.close()


@pytest.mark.slow
def test_a_drawdown_ends_the_session_and_flattens(falling: ServerThread, tmp_path: Path) -> None:
    """The equity is the exchange's: wallet and unrealised loss."""
    from dataclasses import replace  # noqa: PLC0415

    from seawall.paper.supervisor import Watch  # noqa: PLC0415

    run = session(falling, tmp_path, limits=Limits(max_drawdown=0.05, max_daily_loss=None))
    run.plan = replace(run.plan, watch=Watch(on_halt="flatten"))
    why = run.go(30, agent=Scripted({PERP: 1.0}))
    assert why.startswith("max_drawdown")
    record = record_of(tmp_path)
    assert record.journal.believed("position")[PERP] == pytest.approx(0.0)
    record.journal.close()


# Refusals -----------------------------------------------------------------------------------------


def test_what_a_futures_sandbox_is_not_is_refused(tmp_path: Path) -> None:
    """Another exchange, two markets at once, a loan's wallet: by name, with what to do."""
    with pytest.raises(GuardRefused, match="binance"):
        Plan(recipe=TRADING, style="sandbox", exchange="bybit", folder=tmp_path)
    both = TRADING.with_settings({"market.symbols": [PERP, "ETH/USDT"]})
    with pytest.raises(RecipeError, match="one account"):
        Plan(recipe=both, style="sandbox", exchange="binance", folder=tmp_path)


def test_a_fractional_leverage_is_refused(thread: ServerThread, tmp_path: Path) -> None:
    """An exchange takes whole numbers."""
    recipe = TRADING.with_settings({"perpetual.leverage": 2.5})
    with pytest.raises(RecipeError, match="whole number"):
        session(thread, tmp_path, recipe).go(2)


def test_a_mode_that_differs_under_a_position_is_refused(
    thread: ServerThread, tmp_path: Path
) -> None:
    """A cross position cannot be guarded as an isolated one."""
    client = usdm_client(thread)
    client.create_order(PERP, "market", "buy", 1.0)
    with pytest.raises(PaperError, match="margin mode"):
        session(thread, tmp_path, GUARDING).go(2, adopt=True)
    client.session.close()


@pytest.mark.slow
def test_the_log_is_lines_of_json(thread: ServerThread, tmp_path: Path) -> None:
    """Each step with equity and position."""
    run = session(thread, tmp_path, limits=FREE)
    run.go(3, agent=Scripted({PERP: 1.0}))
    lines = [json.loads(one) for one in (tmp_path / "log.jsonl").read_text("utf-8").splitlines()]
    steps = [one for one in lines if one["kind"] == "step"]
    assert steps[-1]["holdings"][PERP] > 3
