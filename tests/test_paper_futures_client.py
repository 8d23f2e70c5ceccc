"""The futures client: orders, stops that wait apart, margin, and belief equal to truth."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from futures_desk import CLOSING, MARKET, RESTING, STOP, STOP_LIMIT, FuturesDesk
from linear_sandboxes import PERP, funding, glide, perpetuals
from sandbox_clients import KEY, SECRET

from seawall.paper.connect import connect
from seawall.paper.errors import GuardRefused, NotReconciled
from seawall.paper.guard import local_venue
from seawall.paper.order import OrderIntent
from seawall.sandbox.contract import make_contract
from seawall.sandbox.server import Server, ServerThread
from seawall.units import MINUTE_MS

FALL = glide([3000.0, 3000.0, 2600.0, 2600.0], 60)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[FuturesDesk]:
    """Return a desk whose account was looked at once, an hour before a fall by 400."""
    with ServerThread(Server(perpetuals(FALL))) as thread:
        thread.step(5 * MINUTE_MS)
        one = FuturesDesk(thread, tmp_path / "journal")
        one.reconcile()
        yield one
        one.close()


def test_orders_are_followed_to_their_ends(desk: FuturesDesk) -> None:
    """Filled, resting, cancelled; a position that is turned and closed."""
    assert desk.place().state == "filled"
    resting = desk.place(RESTING)
    assert resting.state == "open"
    desk.check(n_sent=2)
    assert desk.client.cancel(resting.intent.client_id).state == "cancelled"
    assert desk.place(CLOSING).state == "filled"
    desk.check(n_sent=3)
    assert desk.journal.believed("position")[PERP] == 0.0


@pytest.mark.parametrize("intent", [STOP, STOP_LIMIT], ids=["market", "limit"])
def test_a_stop_waits_apart_and_becomes_an_order(desk: FuturesDesk, intent: OrderIntent) -> None:
    """Open under the number of an algo order; triggered, under that of the order it has become."""
    desk.place()
    stop = desk.place(intent)
    assert stop.state == "open"
    assert stop.exchange_id.startswith("algo:")
    desk.check()
    desk.thread.step(100 * MINUTE_MS)
    desk.look()
    record = desk.journal.order(stop.intent.client_id)
    assert (record.state, record.filled) == ("filled", 0.5)
    assert not record.exchange_id.startswith("algo:")
    (fill,) = [one for one in desk.journal.fills(PERP) if one.side == "sell"]
    assert desk.journal.client_id_of(PERP, fill.exchange_order_id) == stop.intent.client_id
    desk.check(n_sent=2)


def test_a_stop_that_rests_after_its_trigger_can_be_cancelled(desk: FuturesDesk) -> None:
    """Its limit is far away: it is open as an order, and cancelled by that order's number."""
    desk.place()
    stop = desk.place(replace(STOP_LIMIT, price=2_980.0))
    desk.thread.step(100 * MINUTE_MS)
    desk.look()
    assert desk.journal.order(stop.intent.client_id).state == "open"
    desk.check()
    assert desk.client.cancel(stop.intent.client_id).state == "cancelled"
    desk.check()


def test_a_waiting_stop_is_cancelled(desk: FuturesDesk) -> None:
    """By its client's id, among those that wait apart."""
    desk.place()
    stop = desk.place(STOP)
    assert desk.client.cancel(stop.intent.client_id).state == "cancelled"
    desk.check()


def test_a_stop_that_is_reached_already_is_refused(desk: FuturesDesk) -> None:
    """Rejected in the exchange's words, as insufficient margin and nothing to reduce are."""
    stop = desk.place(replace(STOP, stop_price=3_100.0))
    assert (stop.state, "trigger" in stop.why) == ("rejected", True)
    large = desk.place(replace(MARKET, quantity=900.0))
    assert (large.state, "Margin is insufficient" in large.why) == ("rejected", True)
    nothing = desk.place(CLOSING)
    assert (nothing.state, "ReduceOnly" in nothing.why) == ("rejected", True)
    desk.check(n_sent=0)


def test_margin_is_moved_once(desk: FuturesDesk) -> None:
    """Into an isolated position and out of it; what is too much is refused."""
    desk.truth.set_margin_mode("isolated", PERP)
    desk.reconcile(adopt=True)
    desk.place()
    before = desk.book.asks.account().positions[PERP].isolated
    assert desk.book.move_margin(PERP, 50.0).outcome == "done"
    assert desk.book.move_margin(PERP, -20.0).outcome == "done"
    after = desk.book.asks.account().positions[PERP].isolated
    assert after - before == pytest.approx(30.0)
    assert desk.book.move_margin(PERP, 1e9).outcome == "refused"
    assert [amount for _, amount in desk.book.asks.moves(PERP, 0)] == [50.0, -20.0]
    desk.check()


@pytest.mark.parametrize("stage", ["before", "after"])
@pytest.mark.parametrize("what", [{"is_drop": True}, {"body": ""}])
def test_margin_whose_answer_is_lost(
    desk: FuturesDesk, stage: str, what: dict[str, object]
) -> None:
    """Unknown, never sent again, and found out from the exchange's list of moves."""
    desk.truth.set_margin_mode("isolated", PERP)
    desk.reconcile(adopt=True)
    desk.place()
    desk.strike(path="positionMargin$", stage=stage, **what)
    before = desk.book.asks.account().positions[PERP].isolated
    assert desk.book.move_margin(PERP, 50.0).outcome == "unknown"
    with pytest.raises(NotReconciled, match="may still arrive") if stage == "before" else _no():
        desk.reconcile()
    desk.thread.step(MINUTE_MS)
    desk.book.resolve_moves()
    moved = desk.book.asks.account().positions[PERP].isolated - before
    assert moved == pytest.approx(50.0 if stage == "after" else 0.0)
    assert desk.journal.events("margin moved")[-1][1][3] == ("done" if moved else "lost")
    desk.check()


def test_a_liquidation_is_an_order_of_the_exchange(tmp_path: Path) -> None:
    """Its fills are counted once and are nobody's: the books agree without --adopt."""
    with ServerThread(Server(perpetuals(FALL, futures=700.0))) as thread:
        thread.step(5 * MINUTE_MS)
        desk = FuturesDesk(thread, tmp_path / "journal")
        desk.reconcile()
        desk.truth.set_leverage(20, PERP)
        desk.reconcile(adopt=True)
        desk.place(replace(MARKET, quantity=3.0))
        thread.step(120 * MINUTE_MS)
        desk.look()
        forced = [one for one in desk.journal.orders() if one.intent.reason.startswith("forced")]
        assert len(forced) >= 1
        assert {one.state for one in forced} == {"filled"}
        assert desk.journal.believed("position")[PERP] == pytest.approx(0.0)
        assert len(desk.journal.notes("forced")) == len(forced)
        desk.check()
        desk.close()


def test_funding_is_counted_once(tmp_path: Path) -> None:
    """Every stamp, however often incomes are read; the wallet is what they add up to."""
    candles = glide([3000.0, 3010.0], 600)
    rates = funding([0.001] * 12, first_ms=int(candles.time_ms[0]) + 60 * MINUTE_MS, interval="1h")
    made = perpetuals(candles, contract=make_contract(candles, funding=rates))
    with ServerThread(Server(made)) as thread:
        thread.step(5 * MINUTE_MS)
        desk = FuturesDesk(thread, tmp_path / "journal")
        desk.reconcile()
        desk.place()
        for _ in range(5):
            thread.step(60 * MINUTE_MS)
            for _ in range(3):
                desk.book.sync_incomes()
        fees = desk.book.incomes("FUNDING_FEE")
        assert len(fees) == 5
        assert desk.book.funding(PERP) == pytest.approx(sum(one.amount for one in fees))
        assert desk.book.funding(PERP) < -7.0
        desk.check()
        desk.close()


def test_a_name_is_no_address(desk: FuturesDesk) -> None:
    """Where ccxt keeps what calls wait for is let pass, as nothing can be reached there."""

    async def main() -> None:
        venue = local_venue(desk.thread.url, "perpetual")
        client = connect(venue, {"apiKey": KEY, "secret": SECRET}, flavour="pro")
        try:
            assert client.client("authenticationFlights").url == "authenticationFlights"
            with pytest.raises(GuardRefused):
                client.client("authenticationFlights/elsewhere")
            with pytest.raises(GuardRefused):
                await client.fetch("authenticationFlights")
        finally:
            await client.close()

    asyncio.run(main())


class _no:  # noqa: N801 - stands where ``pytest.raises`` would
    def __enter__(self) -> None:
        """Expect nothing."""

    def __exit__(self, *_error: object) -> None:
        """Expect nothing."""
