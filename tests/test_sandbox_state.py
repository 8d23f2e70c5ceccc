"""What of an exchange survives a restart."""

from pathlib import Path

import pytest
from sandbox_clients import KEY, KEY_BOB, SECRET, SECRET_BOB, START_MS, RawClient, exchange, wavy

from seawall.errors import DataError
from seawall.sandbox.exchange import Exchange
from seawall.sandbox.market import Liquidity
from seawall.sandbox.state import State, saved_time_ms
from seawall.units import HOUR_MS, MINUTE_MS


def trade_a_while(made: Exchange, state: State | None) -> None:
    """Place orders of every fate, with time in between."""
    alice, bob = RawClient(made), RawClient(made, KEY_BOB, SECRET_BOB)
    for i, price in enumerate(("2998.50", "3001.25", "2900", "3001.25")):
        client = bob if i % 2 else alice
        client.order("BUY", "LIMIT", quantity="2", price=price, timeInForce="GTC")
        client.order("SELL", "MARKET", quantity="0.5")
        client.order("SELL", "STOP_LOSS", quantity="1", stopPrice="2950")
        made.clock.advance(3 * MINUTE_MS)
        made.catch_up()
        if state is not None:
            state.flush()


def seen(made: Exchange) -> object:
    """Return everything that both accounts can see."""
    found = []
    for client in (RawClient(made), RawClient(made, KEY_BOB, SECRET_BOB)):
        account = client.signed("GET", "/api/v3/account")[1]
        account.pop("updateTime")
        found += [
            account,
            client.signed("GET", "/api/v3/allOrders", symbol="ETHUSDT")[1],
            client.signed("GET", "/api/v3/openOrders")[1],
            client.signed("GET", "/api/v3/myTrades", symbol="ETHUSDT")[1],
        ]
    return found


def test_a_restarted_exchange_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    """Killed without a goodbye and started from its file, it makes the same fills as one that ran
    through, and its books balance to the unit.
    """  # noqa: D205 - one sentence, over two lines
    path = tmp_path / "exchange.sqlite"
    whole, first = exchange(wavy(200)), exchange(wavy(200))
    trade_a_while(whole, None)
    killed = State(path, first)
    trade_a_while(first, killed)
    killed._file.close()  # without what a stop writes
    saved_ms = saved_time_ms(path)
    assert saved_ms is not None
    second = exchange(wavy(200), start_ms=first.clock.now_ms())
    state = State(path, second)
    assert seen(second) == seen(whole)
    for made in (whole, second):
        made.clock.advance(HOUR_MS)
        made.catch_up()
        RawClient(made).order("BUY", "MARKET", quantity="1")
    assert seen(second) == seen(whole)
    assert (second.spot.house, second.spot.fees) == (whole.spot.house, whole.spot.fees)
    state.close()


def test_the_queue_survives_too(tmp_path: Path) -> None:
    """Bob came before Alice at one price, and is still met first after the restart."""
    path = tmp_path / "exchange.sqlite"
    thin = Liquidity(participation=0.1)
    first = exchange(wavy(200), liquidity=thin)
    state = State(path, first)
    bid = {"quantity": "1", "price": "2999", "timeInForce": "GTC"}
    for key, secret in ((KEY_BOB, SECRET_BOB), (KEY, SECRET)):
        RawClient(first, key, secret).order("BUY", "LIMIT", **bid)
        first.clock.advance(1)
    state.close()
    second = exchange(wavy(200), liquidity=thin, start_ms=first.clock.now_ms())
    state = State(path, second)
    met: list[str] = []
    second.spot.reports.append(lambda account, *_: met.append(account.name))
    second.clock.advance(2 * HOUR_MS)
    second.catch_up()
    assert list(dict.fromkeys(met)) == ["bob", "alice"]
    state.close()


def test_orders_fill_while_the_exchange_is_down(tmp_path: Path) -> None:
    """The market went on: what its path crossed meanwhile is found filled at the start."""
    path = tmp_path / "exchange.sqlite"
    first = exchange(wavy(200))
    state = State(path, first)
    RawClient(first).order("BUY", "LIMIT", quantity="1", price="2999", timeInForce="GTC")
    state.close()
    second = exchange(wavy(200))  # its market stands where the exchange stopped
    again = State(path, second)
    second.clock.advance(2 * HOUR_MS)
    found = RawClient(second).signed("GET", "/api/v3/order", symbol="ETHUSDT", orderId=1)[1]
    assert found["status"] == "FILLED"
    assert START_MS < found["updateTime"] < START_MS + 2 * HOUR_MS
    again.close()


def test_settings_are_remembered_and_foreign_files_refused(tmp_path: Path) -> None:
    """A shift of history is kept for the next start; a file that is no state is not touched."""
    path = tmp_path / "exchange.sqlite"
    state = State(path, exchange(wavy(5)))
    state.remember("shift_ms", "86400000")
    state.close()
    state = State(path, exchange(wavy(5)))
    assert state.recall("shift_ms") == "86400000"
    assert state.recall("nothing") is None
    state.close()
    other = tmp_path / "notes.txt"
    other.write_text("not a database at all, but long enough to be read as one" * 20)
    with pytest.raises(DataError, match="name another"):
        State(other, exchange(wavy(5)))
    assert saved_time_ms(tmp_path / "none") is None
