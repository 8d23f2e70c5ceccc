"""Reconciliation: every difference is found, named, and adopted or refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paper_desk import MARKET, RESTING, SYMBOL, Desk
from sandbox_clients import KEY_BOB, SECRET_BOB, exchange, spot_client, wavy

from seawall.paper.errors import NotReconciled
from seawall.paper.order import OrderNews
from seawall.paper.reconcile import Reconciliation, check, reconcile
from seawall.sandbox.server import Server, ServerThread
from seawall.units import MINUTE_MS


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Return a desk whose journal has a baseline."""
    with ServerThread(Server(exchange(wavy(600)))) as thread:
        thread.step(5 * MINUTE_MS)
        one = Desk(thread, tmp_path / "journal")
        yield one
        one.journal.close()


def run(desk: Desk, *, adopt: bool = False) -> Reconciliation:
    """Reconcile the desk's account."""
    return reconcile(desk.client, [SYMBOL], market="spot", adopt=adopt)


def kinds(desk: Desk) -> list[str]:
    """Return the kinds of all differences, and that nothing was changed by looking."""
    found = [row.kind for row in check(desk.client, [SYMBOL], market="spot")]
    assert found == [row.kind for row in check(desk.client, [SYMBOL], market="spot")]
    return list(found)


def expect(desk: Desk, *wanted: str) -> None:
    """Assert what differs, that it is refused, and that it is gone once it is adopted."""
    assert kinds(desk) == list(wanted)
    with pytest.raises(NotReconciled, match="--adopt") as refusal:
        run(desk)
    for word in wanted:
        assert word in str(refusal.value)
    assert [row.kind for row in run(desk, adopt=True).differences] == list(wanted)
    assert kinds(desk) == []
    assert run(desk).differences == ()
    assert desk.journal.notes("difference")


def test_what_agrees_is_left_alone(desk: Desk) -> None:
    """After trades, resting orders and cancels of ours nothing differs."""
    desk.place()
    me = desk.place(RESTING).intent.client_id
    desk.place(RESTING)
    desk.client.cancel(me)
    assert kinds(desk) == []
    assert run(desk).agrees
    desk.check(n_orders=3)


def test_the_first_look_takes_balances_as_they_are(desk: Desk, tmp_path: Path) -> None:
    """A new journal believes nothing; what others left open is a difference all the same."""
    truth: Any = desk.truth
    fresh = Desk(desk.thread, tmp_path / "fresh")
    fresh.journal._database.execute("DELETE FROM meta WHERE name LIKE 'baseline%'")
    fresh.journal._database.execute("DELETE FROM baselines")
    report = run(fresh)
    assert report.is_first
    assert report.differences == ()
    assert fresh.journal.believed("balance") == truth.fetch_balance()["total"]
    fresh.journal.close()


def test_an_order_of_somebody_else(desk: Desk) -> None:
    """It is shown with what it is; adopted, it can be cancelled like one of ours."""
    truth: Any = desk.truth
    truth.create_order(SYMBOL, "limit", "buy", 0.5, 1200.0, {"clientOrderId": "byhand"})
    expect(desk, "foreign order")
    record = desk.journal.order("byhand")
    assert (record.state, record.intent.price, record.intent.reason) == ("open", 1200.0, "adopted")
    assert desk.client.cancel("byhand").state == "cancelled"
    desk.check(n_orders=1)


def test_a_trade_of_somebody_else(desk: Desk) -> None:
    """Its trade has no order here; what it did to the balances is known from it."""
    truth: Any = desk.truth
    desk.place()
    truth.create_order(SYMBOL, "market", "sell", 0.25)
    expect(desk, "foreign trade")
    desk.check(n_orders=2)


def test_a_deposit(desk: Desk) -> None:
    """Money that no trade explains."""
    accounts = desk.thread.server.exchange.accounts.by_name
    desk.thread.call(lambda: setattr(accounts["alice"].balance("USDT"), "free", 5 * 10**8))
    expect(desk, "balance")
    desk.check(n_orders=0)


def test_an_order_of_a_lost_journal(desk: Desk, tmp_path: Path) -> None:
    """Our own program, another journal: foreign to this one, by its mark."""
    other = Desk(desk.thread, tmp_path / "other")
    other.place(RESTING)
    other.journal.close()
    expect(desk, "foreign order")


def test_a_state_that_was_wrong(desk: Desk) -> None:
    """Believed rejected, open at the exchange: shown, and corrected when adopted."""
    me = desk.place(RESTING).intent.client_id
    desk.journal.correct(me, OrderNews(state="rejected", why="misread"), desk.clock())
    expect(desk, "order state")
    assert desk.journal.order(me).state == "open"
    desk.check(n_orders=1)


def test_an_order_that_may_still_arrive_cannot_be_adopted(desk: Desk) -> None:
    """Until the receive window has passed nobody knows; then it is lost, and all agrees."""
    desk.strike(stage="before", is_drop=True)
    desk.place()
    for adopt in (False, True):
        with pytest.raises(NotReconciled, match="may still arrive"):
            run(desk, adopt=adopt)
    desk.thread.step(MINUTE_MS)
    assert run(desk).differences == ()
    assert [one.state for one in desk.journal.orders()] == ["lost"]


def test_an_order_that_was_filled_while_nobody_looked(desk: Desk, tmp_path: Path) -> None:
    """A crash after the order was sent: the next start finds the fills by itself."""
    desk.strike(stage="after", is_drop=True)
    desk.place()
    desk.place(RESTING)
    desk.journal.close()
    reopened = Desk(desk.thread, tmp_path / "journal", is_new=False)
    assert run(reopened).differences == ()
    reopened.check(n_orders=2)
    reopened.journal.close()


def test_an_account_that_never_stands_still(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something trades between every two readings: refused, not guessed."""
    truth: Any = desk.truth
    real = desk.client.balances

    def busy() -> dict[str, float]:
        truth.create_order(SYMBOL, "market", "buy", 0.01)
        return real()

    monkeypatch.setattr(desk.client, "balances", busy)
    with pytest.raises(NotReconciled, match="stand still"):
        run(desk)


def test_another_account_is_not_ours(desk: Desk) -> None:
    """What Bob does changes nothing in Alice's comparison."""
    bob: Any = spot_client(desk.thread, key=KEY_BOB, secret=SECRET_BOB)
    bob.create_order(SYMBOL, "market", "buy", 0.5)
    bob.create_order(SYMBOL, "limit", "buy", 0.5, 1100.0)
    desk.place(MARKET)
    assert kinds(desk) == []
