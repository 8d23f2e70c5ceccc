"""Every row of the table of faults on USD-M, orders, stops and margin: then belief is truth.

The account is the same from row to row, so that what one leaves behind would show in the next.
"""

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from futures_child import Busy
from futures_desk import MARKET, ORDERS, FuturesDesk
from linear_sandboxes import PERP, perpetuals
from paper_sessions import Run, keys
from request_faults import FAULTS
from sandbox_clients import CCXT, usdm_client, wavy
from test_paper_faults import NO_ANSWER, REFUSED, Row
from test_paper_futures_session import TRADING, Scripted, session

from seawall.paper.faults import ExchangeFault
from seawall.paper.journal import PaperJournal
from seawall.paper.order import OrderIntent
from seawall.paper.places import JOURNAL
from seawall.sandbox.faults import Fault
from seawall.sandbox.server import Server, ServerThread
from seawall.units import MINUTE_MS

pytestmark = pytest.mark.slow  # whole sessions and processes

WAVES = wavy(8_000, PERP)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FuturesDesk]:
    """Return a desk that all rows share."""
    with ServerThread(Server(perpetuals(WAVES, futures=100_000.0))) as thread:
        thread.step(5 * MINUTE_MS)
        one = FuturesDesk(thread, tmp_path_factory.mktemp("desk") / "journal")
        one.truth.set_margin_mode("isolated", PERP)
        one.reconcile()
        one.place(replace(MARKET, quantity=2.0))
        yield one
        one.close()


@pytest.fixture(autouse=True)
def end(desk: FuturesDesk) -> Iterator[None]:
    """Cancel what a row has left open."""
    yield
    desk.calm()
    for record in desk.journal.orders("open"):
        desk.client.cancel(record.intent.client_id)


def n_sent(desk: FuturesDesk) -> int:
    """Return how many orders have reached the exchange, those that wait apart among them."""
    seat = desk.thread.server.exchange.linear.seats["alice"]
    plain = [one for one in seat.history("ETHUSDT").orders.values() if not one.stop_price]
    return len(plain) + len(seat.algos.orders)


def cases(rows: list[Row]) -> list[Any]:
    """Return every row for every kind of order; most stops, and all limits, are slow."""
    return [
        pytest.param(
            row, intent, id=f"{row.name}-{name}",
            marks=[pytest.mark.slow] * ("limit" in name or (name == "stop" and place % 4 != 0)),
        )
        for name, intent in ORDERS.items()
        for place, row in enumerate(rows)
    ]  # fmt: skip


@pytest.mark.parametrize(("row", "intent"), cases(REFUSED))
def test_what_is_refused_is_rejected(desk: FuturesDesk, row: Row, intent: OrderIntent) -> None:
    """The exchange said no: the order is over, nothing is sent again."""
    before = n_sent(desk)
    desk.strike(**row.fault)
    record = desk.place(intent)
    assert (record.state, row.word in record.why) == (row.state, True)
    desk.settle()
    desk.check()
    assert n_sent(desk) == before


@pytest.mark.parametrize(("row", "intent"), cases(NO_ANSWER))
def test_an_order_that_never_arrived(desk: FuturesDesk, row: Row, intent: OrderIntent) -> None:
    """Unknown at first, lost after the receive window, and not sent again."""
    before = n_sent(desk)
    desk.strike(stage="before", **row.fault)
    me = desk.place(intent).intent.client_id
    assert desk.client.resolve(me).state == "unknown"
    desk.settle()
    assert desk.journal.order(me).state == "lost"
    desk.check()
    assert n_sent(desk) == before


@pytest.mark.parametrize(("row", "intent"), cases(NO_ANSWER))
def test_an_order_that_is_live(desk: FuturesDesk, row: Row, intent: OrderIntent) -> None:
    """Unknown at first, then what the exchange says, by our id; one order, counted once."""
    before = n_sent(desk)
    desk.strike(stage="after", **row.fault)
    record = desk.place(intent)
    assert record.state == row.state
    expected = "filled" if intent.type == "market" else "open"
    assert desk.client.resolve(record.intent.client_id).state == expected
    desk.settle()
    desk.check()
    assert n_sent(desk) == before + 1


@pytest.mark.parametrize("row", NO_ANSWER[::3], ids=lambda row: row.name)
@pytest.mark.parametrize("stage", ["before", "after"])
def test_a_cancel_without_an_answer(desk: FuturesDesk, row: Row, stage: str) -> None:
    """A stop that waits apart: cancelled, or still open, as the exchange says when it is asked."""
    stop = desk.place(ORDERS["stop"])
    desk.strike(path="algoOrder$", method="DELETE", stage=stage, **row.fault)
    try:
        state = desk.client.cancel(stop.intent.client_id).state
    except ExchangeFault:
        state = desk.client.resolve(stop.intent.client_id).state
    assert state == ("cancelled" if stage == "after" else "open")
    desk.settle()
    desk.check()


@pytest.mark.parametrize("body", ["", "{}", "[]", "null", "<html></html>", '[{"symbol": "ETH'])
@pytest.mark.parametrize("path", ["positionRisk$", "v3/account$"])
def test_a_cut_answer_is_never_flat(desk: FuturesDesk, path: str, body: str) -> None:
    """Two ETH are held: whatever comes in place of the list, the answer is none."""
    desk.strike(path=path, method="GET", body=body, n=10)
    with pytest.raises(ExchangeFault):
        desk.client.positions([PERP])
    desk.calm()
    assert desk.client.positions([PERP])[PERP] > 0


@pytest.mark.parametrize("body", ["", "{}", "null", "<html></html>"])
@pytest.mark.parametrize(
    "path", ["openOrders$", "openAlgoOrders$", "income$", "symbolConfig$", "userTrades$"]
)
def test_a_cut_list_is_no_list(desk: FuturesDesk, path: str, body: str) -> None:
    """A comparison that cannot be made is none: nothing is adopted, nothing is believed."""
    desk.strike(path=path, method="GET", body=body, n=10)
    with pytest.raises(ExchangeFault):
        desk.reconcile()
    desk.calm()


def test_an_empty_list_of_orders_is_a_difference(desk: FuturesDesk) -> None:
    """An empty one may be true: what is believed open is shown as different, and not forgotten."""
    stop = desk.place(ORDERS["stop"])
    desk.strike(path="openAlgoOrders$", method="GET", body="[]")
    assert desk.kinds() == ["order state"]
    assert desk.kinds() == []
    assert desk.journal.order(stop.intent.client_id).state == "open"


def test_errors_have_the_classes_they_have_on_binance(desk: FuturesDesk) -> None:
    """On loopback ccxt does not know them by itself."""
    exchange = desk.client.exchange
    for code, kind in ((-2019, CCXT.InsufficientFunds), (-2021, CCXT.OrderImmediatelyFillable),
                       (-2022, CCXT.InvalidOrder), (-2013, CCXT.OrderNotFound)):  # fmt: skip
        desk.strike(path="/fapi/v1/time$", method="GET", status=400,
                    body=f'{{"code":{code},"msg":"x"}}')  # fmt: skip
        with pytest.raises(kind):
            exchange.fetch_time()


def test_nothing_is_opened_while_the_account_is_not_told(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its positions are not listed: a weight is refused with the reason; then all goes on."""
    keys(monkeypatch)
    with ServerThread(Server(perpetuals(WAVES, futures=100_000.0))) as thread:
        thread.step(20 * MINUTE_MS + 30_000)
        run = session(thread, tmp_path, TRADING)
        first_ms = run.clock()

        def trouble(now: int) -> None:
            thread.call(thread.server.faults.clear)
            if first_ms + MINUTE_MS < now < first_ms + 4 * MINUTE_MS:
                fault = Fault(path="positionRisk$", body="[]", n=100)
                thread.call(lambda: thread.server.faults.add(fault))

        run.go(9, agent=Scripted({PERP: 1.0}, None, {PERP: 2.0}, None, None, {PERP: 2.0}),
               at_turn=trouble)  # fmt: skip
        journal = agree(run)
        assert len(journal.fills()) == 2
        assert any("has not told of the account" in one.text for one in journal.notes("refused"))
        journal.close()


# Whole sessions -----------------------------------------------------------------------------------


def agree(run: Run) -> PaperJournal:
    """Let the account settle in a start without faults, and assert that belief is truth."""
    run.thread.call(run.thread.server.faults.clear)
    run.go(3, agent=Scripted())
    journal, client = PaperJournal(run.plan.folder / JOURNAL), usdm_client(run.thread)
    told = {one["symbol"]: one for one in client.fetch_positions()}.get(PERP)
    signed = 0.0 if told is None else told["contracts"] * (1 if told["side"] == "long" else -1)
    assert journal.believed("position").get(PERP, 0.0) == pytest.approx(signed, abs=1e-9)
    seat = run.thread.server.exchange.linear.seats["alice"]
    assert len(journal.fills()) == len(seat.history("ETHUSDT").trades)
    assert journal.unresolved() == []
    client.session.close()
    return journal


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_session_lives_through_faults(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Bars of trading, stops and margin while a fifth of all requests meet a fault."""
    draws = random.Random(seed)  # noqa: S311 - a test's choices
    keys(monkeypatch)
    recipe = TRADING.with_settings({"perpetual.margin": "isolated"})
    with ServerThread(Server(perpetuals(WAVES, futures=100_000.0))) as thread:
        thread.step(20 * MINUTE_MS + 30_000)
        run = session(thread, tmp_path, recipe)

        def trouble(_now: int) -> None:
            thread.call(thread.server.faults.clear)
            fault = {"path": "/fapi/", "stage": draws.choice(["before", "after"]),
                     "probability": 0.2, **draws.choice(FAULTS)}  # fmt: skip
            thread.call(lambda: thread.server.faults.add(Fault(**fault)))

        run.go(30, agent=Busy(), at_turn=trouble)
        journal = agree(run)
        assert len(journal.fills()) > 3
        assert len(journal.notes("fault")) > 3
        assert len(journal.events("margin moved")) >= 1
        journal.close()
