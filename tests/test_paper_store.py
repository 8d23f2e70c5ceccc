"""The live feed and the paper broker: a plain strategy on the local exchange, bar by bar."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import backtrader as bt
import numpy as np
import pytest
from paper_desk import SYMBOL, Desk
from sandbox_clients import exchange, wavy

from seawall.engine.cerebro import Cerebro
from seawall.engine.feed import to_bt_time
from seawall.market.series import Candles
from seawall.paper.broker import PaperBroker
from seawall.paper.candles import CandleGate, CandleSource
from seawall.paper.faults import ExchangeFault
from seawall.paper.feed import LiveFeed
from seawall.paper.limits import LimitKeeper, Limits
from seawall.sandbox.server import Server, ServerThread
from seawall.units import MINUTE_MS

# backtrader's own loop of live feeds asks a function that Python 3.12 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
N_WARM_UP = 20
OTHER = "BTC/USDT"
ETH, BTC = wavy(2_000), wavy(2_000, OTHER, 60_000.0)
FREE = Limits(max_daily_loss=None, max_drawdown=None)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Return a desk in the middle of a bar, with two symbols."""
    with ServerThread(Server(exchange(ETH, BTC))) as thread:
        thread.step(100 * MINUTE_MS + 30_000)
        one = Desk(thread, tmp_path / "journal")
        yield one
        one.journal.close()


class Trader(bt.Strategy):
    """Calls a function at every bar, and keeps what it was told and saw."""

    params: Any = (("act", None),)

    def __init__(self) -> None:
        self.bars: list[tuple[Any, ...]] = []
        self.told: list[tuple[int, str]] = []
        self.average = bt.indicators.SMA(self.data.close, period=N_WARM_UP)

    def next(self) -> None:
        """Note the bars of this stamp, then act."""
        self.bars.append(tuple((data.datetime[0], data.close[0]) for data in self.datas))
        self.p.act(self)

    def notify_order(self, order: Any) -> None:
        """Note the status."""
        self.told.append((order.ref, order.getstatusname()))


def run(
    desk: Desk,
    act: Callable[[Any], None],
    *,
    n_bars: int = 10,
    symbols: tuple[str, ...] = (SYMBOL,),
    limits: Limits = FREE,
) -> Any:
    """Run a strategy for some live bars; the clock moves by half a bar whenever all wait."""
    client = desk.client
    sources = [CandleSource(client.calls, symbol, "1m") for symbol in symbols]
    gate = CandleGate(sources)
    gate.warm_up(N_WARM_UP)
    end_ms = desk.clock() + n_bars * MINUTE_MS
    cerebro = Cerebro()
    cerebro.broker = PaperBroker(client, LimitKeeper(limits, desk.journal), quote="USDT")
    for source in sources:
        feed = LiveFeed(
            source,
            gate,
            clock=desk.clock,
            wait=lambda: desk.thread.step(MINUTE_MS // 2),
            is_over=lambda: desk.clock() >= end_ms,
        )
        cerebro.adddata(feed, name=source.symbol)
    cerebro.addstrategy(Trader, act=act)
    return cerebro.run()[0]


def once(action: Callable[[Any], None]) -> Callable[[Any], None]:
    """Act at the first live bar only."""
    done: list[bool] = []

    def act(strategy: Any) -> None:
        if strategy.data.is_live and not done:
            done.append(True)
            action(strategy)

    return act


def rows_of(candles: Candles, first: int, last: int) -> list[tuple[float, float]]:
    """Return close stamps and closes as a feed gives them."""
    stamps = to_bt_time(candles.close_ms[first:last])
    return list(zip(stamps.tolist(), candles.close[first:last].tolist(), strict=True))


def test_bars_are_the_exchange_s_closed_ones(desk: Desk) -> None:
    """From the warm-up on every candle once, close-stamped, equal to the bit; no forming one."""
    strategy = run(desk, lambda _self: None)
    bars = [bar for (bar,) in strategy.bars]
    assert bars == rows_of(ETH, 99, 110)
    assert strategy.bars[0][0] == rows_of(ETH, 99, 100)[0]  # the average is full: 20 closed bars


def test_symbols_come_together(desk: Desk) -> None:
    """Each stamp is seen once, with both symbols' closes of it."""
    strategy = run(desk, lambda _self: None, symbols=(SYMBOL, OTHER))
    pairs = list(zip(rows_of(ETH, 99, 110), rows_of(BTC, 99, 110), strict=True))
    assert strategy.bars == pairs


def test_a_market_order_is_filled_and_booked(desk: Desk) -> None:
    """Bought 0.5: told as backtrader tells it; position, cash and value are the exchange's."""
    strategy = run(desk, once(lambda self: self.buy(size=0.5)))
    assert [word for _, word in strategy.told][:2] == ["Submitted", "Completed"]
    truth: Any = desk.truth
    total = truth.fetch_balance()["total"]
    broker = strategy.broker
    assert broker.getposition(strategy.data).size == pytest.approx(total["ETH"], abs=1e-9)
    assert broker.getcash() == pytest.approx(total["USDT"], abs=1e-6)
    price = strategy.data.close[0]
    assert broker.getvalue() == pytest.approx(total["USDT"] + total["ETH"] * price, rel=1e-12)
    desk.settle()
    desk.check(n_orders=1)


def test_a_warm_up_is_not_traded(desk: Desk) -> None:
    """An order from a bar that had closed before the start is refused."""
    strategy = run(desk, lambda self: None if len(self.bars) > 1 else self.buy(size=0.5))
    assert [word for _, word in strategy.told] == ["Submitted", "Rejected"]
    assert "warm-up" in desk.journal.notes("refused")[0].text
    desk.check(n_orders=0)


def test_a_resting_order_is_followed(desk: Desk) -> None:
    """Accepted, filled later when the market comes to it, and told."""
    price = round(float(ETH.low[100:110].min()) + 0.5, 2)
    act = once(lambda self: self.buy(size=0.2, price=price, exectype=bt.Order.Limit))
    strategy = run(desk, act, n_bars=30)
    words = [word for _, word in strategy.told]
    assert words[0] == "Submitted"
    assert words[-1] == "Completed"
    assert strategy.broker.get_orders_open() == []
    desk.settle()
    desk.check(n_orders=1)


def test_a_resting_order_is_cancelled(desk: Desk) -> None:
    """Cancelled at the exchange before the strategy is told so."""
    orders: list[Any] = []

    def act(self: Any) -> None:
        if not orders and self.data.is_live:
            orders.append(self.buy(size=0.2, price=1000.0, exectype=bt.Order.Limit))
        elif len(self.bars) == 5:
            self.cancel(orders[0])

    strategy = run(desk, act)
    assert [word for _, word in strategy.told] == ["Submitted", "Accepted", "Canceled"]
    desk.settle()
    desk.check(n_orders=1)


@pytest.mark.parametrize(
    ("wishes", "word"),
    [
        ({"size": 500.0}, "insufficient"),
        ({"size": 1e-9}, "rounds to zero"),
        ({"size": 1.0, "trailamount": 5.0, "exectype": bt.Order.StopTrail}, "trailamount"),
        ({"size": 2.0}, "max_order"),
    ],
)
def test_what_is_refused_is_told(desk: Desk, wishes: dict[str, Any], word: str) -> None:
    """By the exchange, by its steps, by this broker, by a limit: rejected, with the reason."""
    limits = Limits(max_order=5_000.0 if word == "max_order" else None, max_drawdown=None)
    strategy = run(desk, once(lambda self: self.buy(**wishes)), limits=limits)
    assert strategy.told[-1][1] == "Rejected"
    texts = [note.text for kind in ("refused", "rejected") for note in desk.journal.notes(kind)]
    assert word in " ".join(texts)
    desk.settle()
    desk.check(n_orders=0)


def test_wishes_about_the_size(desk: Desk) -> None:
    """Cash of 300, a weight of half the equity, and all the cash there is."""
    weights: list[float] = []

    def act(self: Any) -> None:
        if not self.data.is_live:
            return
        held = self.broker.getposition(self.data).size * self.data.close[0]
        weights.append(held / self.broker.getvalue())
        step = len(weights)
        if step == 1:
            self.buy(size=1.0, cash=300.0)
        elif step == 3:
            self.sell(size=1.0, target_weight=0.5)  # the weight decides the side
        elif step == 5:
            self.buy(size=1e6, fit_to_cash=True)

    strategy = run(desk, act)
    orders = desk.journal.orders()
    assert [one.state for one in orders] == ["filled"] * 3
    assert orders[0].filled * 3_010 == pytest.approx(300.0, rel=0.01)
    assert weights[4] == pytest.approx(0.5, abs=0.005)
    assert 0.99 < weights[6] < 1.0
    assert {word for _, word in strategy.told} == {"Submitted", "Partial", "Completed"}
    desk.settle()
    desk.check(n_orders=3)


@pytest.mark.parametrize("stage", ["before", "after"])
def test_an_answer_that_is_lost_does_not_lose_the_order(desk: Desk, stage: str) -> None:
    """The strategy is told what became of it: filled, or, never having arrived, rejected."""
    desk.strike(stage=stage, is_drop=True)
    strategy = run(desk, once(lambda self: self.buy(size=0.5)))
    assert strategy.told[-1][1] == ("Rejected" if stage == "before" else "Completed")
    desk.settle()
    desk.check(n_orders=0 if stage == "before" else 1)


@pytest.mark.parametrize("body", ["", "[]", "{}", "<html></html>", "[[1,2]]", "[[1,null,1,1,1,1]]"])
def test_no_candle_is_lost_or_made_up_by_a_fault(desk: Desk, body: str) -> None:
    """Three bad answers in a row: the bars come later, all of them, and no other."""
    desk.strike(path="klines", method="GET", body=body, n=3)
    client = desk.client
    source = CandleSource(client.calls, SYMBOL, "1m")
    gate = CandleGate([source])
    for _ in range(4):
        try:
            gate.warm_up(5)
        except ExchangeFault:
            continue
    while gate.take(SYMBOL) is not None:
        pass
    desk.strike(path="klines", method="GET", body=body, n=3)
    taken = []
    for _ in range(20):
        desk.thread.step(MINUTE_MS // 2)
        gate.poll(desk.clock())
        while (candle := gate.take(SYMBOL)) is not None:
            taken.append(candle)
    opens = np.array([one.time_ms for one in taken])
    assert np.all(np.diff(opens) == MINUTE_MS)
    row = int(np.searchsorted(ETH.time_ms, opens[0]))
    assert [one.close for one in taken] == ETH.close[row : row + len(taken)].tolist()
    assert len(taken) >= 9
    assert gate.last_fault == ""


def test_a_forming_candle_is_never_given(desk: Desk) -> None:
    """In the middle of a bar the last one given has ended; with time to settle, one more waits."""
    for settle_ms, last in ((0, 99), (31_000, 98)):
        source = CandleSource(desk.client.calls, SYMBOL, "1m", settle_ms=settle_ms)
        candles = source.history(3)
        assert [one.time_ms for one in candles] == ETH.time_ms[last - 2 : last + 1].tolist()
        assert source.fresh() == []


def test_long_histories_come_in_pages(desk: Desk) -> None:
    """Twelve hundred candles: more than a page, each once."""
    desk.thread.step(1_300 * MINUTE_MS)
    candles = CandleSource(desk.client.calls, SYMBOL, "1m").history(1_200)
    assert [one.time_ms for one in candles] == ETH.time_ms[200:1_400].tolist()


class _Fake:
    """Answers candles from a list that a test changes."""

    def __init__(self, rows: list[list[float]]) -> None:
        self.rows, self.options, self.now = rows, {}, 0  # type: ignore[var-annotated]
        self.last_json_response: Any = None

    def fetch_ohlcv(self, _symbol: str, _frame: str, since: int, _limit: int) -> list[list[float]]:
        """Return what opens from ``since`` on."""
        self.last_json_response = found = [row for row in self.rows if row[0] >= since]
        return found


def test_a_candle_that_changes_is_noted() -> None:
    """It stays as it was given; that it changed is known."""
    from seawall.paper.calls import Calls  # noqa: PLC0415

    rows = [[i * MINUTE_MS, 10.0, 11.0, 9.0, 10.0, 1.0] for i in range(3)]
    fake = _Fake(rows)
    source = CandleSource(Calls(fake, clock=lambda: fake.now), SYMBOL, "1m")
    fake.now = 2 * MINUTE_MS
    assert len(source.history(2)) == 2
    rows[1][4] = 10.5
    fake.now = 3 * MINUTE_MS
    assert [one.time_ms for one in source.fresh()] == [2 * MINUTE_MS]
    assert source.changed == [MINUTE_MS]


def test_one_symbol_that_stays_away_is_not_waited_for_forever() -> None:
    """After the patience the others go on; what comes late comes alone."""
    from seawall.paper.calls import Calls  # noqa: PLC0415

    first = [[i * MINUTE_MS, 10.0, 11.0, 9.0, 10.0, 1.0] for i in range(3)]
    second = first[:1]
    fakes = {"A/B": _Fake(first), "C/D": _Fake(second)}
    now = [MINUTE_MS]
    sources = [CandleSource(Calls(f, clock=lambda: now[0]), s, "1m") for s, f in fakes.items()]
    gate = CandleGate(sources, patience_ms=10_000)
    gate.warm_up(1)
    assert gate.take("A/B") is not None
    assert gate.take("C/D") is not None
    now[0] = 2 * MINUTE_MS
    gate.poll(now[0])
    assert gate.take("A/B") is None
    now[0] += 10_000
    gate.poll(now[0])
    assert gate.take("A/B") is not None
    assert gate.take("C/D") is None


class _Strict:
    """A supervisor that counts its turns and refuses everything new."""

    def __init__(self) -> None:
        self.n_turns, self.refusal = 0, "told so"

    def turn(self) -> None:
        """Count."""
        self.n_turns += 1


def test_a_supervisor_s_word_counts(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is called at every turn; what it refuses is not sent, a sale of what is held is."""
    strict = _Strict()
    real = PaperBroker.__init__

    def built(self: Any, *arguments: Any, **named: Any) -> None:
        real(self, *arguments, **named)
        self.supervisor = strict

    monkeypatch.setattr(PaperBroker, "__init__", built)

    def act(self: Any) -> None:
        if self.data.is_live and not self.told:
            self.buy(size=0.1)
            self.sell(size=0.1)

    strategy = run(desk, act)
    assert strict.n_turns > 10
    assert {word for ref, word in strategy.told if ref == 1} == {"Submitted", "Rejected"}
    assert (2, "Completed") in strategy.told
    desk.check(n_orders=1)
