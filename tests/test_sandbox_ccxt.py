"""The sandbox through unmodified ccxt clients: every spot method of the table, sync and async."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sandbox_clients import (
    CCXT,
    KEY,
    SECRET,
    START_MS,
    async_client,
    close,
    exchange,
    run_with_client,
    spot_client,
    urls,
    wavy,
)

from seawall.sandbox.server import Server, ServerThread
from seawall.units import HOUR_MS, MINUTE_MS

NOW_MS = START_MS + 1500 * MINUTE_MS
ETH, BTC = "ETH/USDT", "BTC/USDT"


@pytest.fixture(scope="module")
def thread() -> Iterator[ServerThread]:
    """Serve two markets and two accounts on a clock that is stepped by hand."""
    made = exchange(wavy(2000), wavy(2000, BTC, 60_000.0), start_ms=NOW_MS)
    with ServerThread(Server(made)) as running:
        yield running


@pytest.fixture
def client(thread: ServerThread) -> Iterator[Any]:
    """Return a synchronous client with Alice's keys."""
    made = spot_client(thread)
    yield made
    close(made)


@pytest.mark.parametrize("key", [KEY, ""])
def test_markets_load_with_and_without_keys(thread: ServerThread, key: str) -> None:
    """With keys ccxt asks for currencies and margin pairs too; both know the grid."""
    client = spot_client(thread, key=key)
    markets = client.load_markets()
    assert {ETH, BTC} == set(markets)
    assert markets[ETH]["precision"]["price"] == 0.01
    assert markets[ETH]["precision"]["amount"] == 0.0001
    assert markets[ETH]["limits"]["cost"]["min"] == 5.0
    assert markets[ETH]["active"]
    close(client)


@pytest.mark.parametrize(
    ("part", "switch"), [("test", "set_sandbox_mode"), ("demo", "enable_demo_trading")]
)
def test_markets_load_through_sandbox_and_demo_mode(
    thread: ServerThread, part: str, switch: str
) -> None:
    """The client's own ways to a sandbox, with their URLs on loopback, and an order through it."""
    client: Any = CCXT.binance({"urls": {part: urls(thread.url)}, "apiKey": KEY, "secret": SECRET})
    getattr(client, switch)(True)
    client.milliseconds = thread.server.exchange.clock.now_ms
    client.session.trust_env = False
    client.load_markets()
    assert client.create_order(BTC, "market", "buy", 0.01)["status"] == "closed"
    close(client)


def test_public_methods_answer(client: Any) -> None:
    """Time, status, candles, tickers, book and trades have what ccxt reads of them."""
    assert client.fetch_time() == NOW_MS
    assert client.fetch_status()["status"] == "ok"
    candles = client.fetch_ohlcv(ETH, "1m", since=NOW_MS - 5 * MINUTE_MS, limit=3)
    source = wavy(2000).close[1495:1498].tolist()
    assert [row[4] for row in candles] == source
    assert len(client.fetch_ohlcv(ETH, "1h", limit=5)) == 5
    ticker = client.fetch_ticker(ETH)
    for name in ("bid", "bidVolume", "ask", "high", "low", "last", "baseVolume", "vwap"):
        assert ticker[name] > 0, name
    assert ticker["symbol"] == ETH
    assert set(client.fetch_tickers([ETH, BTC])) == {ETH, BTC}
    assert set(client.fetch_bids_asks([ETH])) == {ETH}
    book = client.fetch_order_book(ETH, 5)
    assert book["bids"][0][0] < ticker["last"] < book["asks"][0][0]
    assert book["nonce"] > 0
    trades = client.fetch_trades(ETH, limit=10)
    assert len(trades) == 10
    assert trades[-1]["timestamp"] <= NOW_MS


def test_the_life_of_a_limit_order(client: Any) -> None:
    """Open, seen in every list, its money locked, cancelled, its money free again."""
    before = client.fetch_balance()["USDT"]
    order = client.create_order(ETH, "limit", "buy", 1.5, 2900, {"clientOrderId": "mine-limit"})
    assert (order["status"], order["price"], order["amount"]) == ("open", 2900.0, 1.5)
    assert order["clientOrderId"] == "mine-limit"
    assert client.fetch_balance()["USDT"]["used"] == before["used"] + 4350.0
    assert client.fetch_order(order["id"], ETH)["status"] == "open"
    assert client.fetch_order(None, ETH, {"clientOrderId": "mine-limit"})["id"] == order["id"]
    assert [one["id"] for one in client.fetch_open_orders(ETH)] == [order["id"]]
    assert order["id"] in [one["id"] for one in client.fetch_orders(ETH)]
    assert client.cancel_order(order["id"], ETH)["status"] == "canceled"
    assert client.fetch_balance()["USDT"] == before


def test_a_market_order_is_filled_and_paid(client: Any) -> None:
    """Its fills, its trade and the balances say the same."""
    before = client.fetch_balance()["total"]
    order = client.create_order(ETH, "market", "buy", 0.5)
    assert (order["status"], order["filled"], order["fee"]["currency"]) == ("closed", 0.5, "ETH")
    trade = client.fetch_my_trades(ETH, limit=1)[0]
    assert (trade["order"], trade["takerOrMaker"]) == (order["id"], "taker")
    after = client.fetch_balance()["total"]
    assert before["USDT"] - after["USDT"] == pytest.approx(order["cost"], abs=1e-8)
    assert after["ETH"] - before["ETH"] == pytest.approx(0.5 * 0.999, abs=1e-8)
    assert client.fetch_trading_fee(ETH)["taker"] == 0.001


def test_a_market_order_with_a_price_spends_its_product(client: Any) -> None:
    """Ccxt sends amount times price as quoteOrderQty: the trap of a price that looks harmless."""
    order = client.create_order(ETH, "market", "buy", 0.1, 3000)
    assert 299 < order["cost"] <= 300


def test_stops_wait_and_post_only_and_ioc_and_fok_are_obeyed(client: Any) -> None:
    """Each unified way to say it reaches the exchange as what it is."""
    stop = client.create_order(ETH, "limit", "sell", 1, 2800, {"stopPrice": 2850})
    assert (stop["status"], stop["triggerPrice"]) == ("open", 2850.0)
    last = client.fetch_ticker(ETH)["last"]
    with pytest.raises(CCXT.OrderImmediatelyFillable):
        client.create_order(ETH, "limit", "buy", 1, last + 5, {"postOnly": True})
    maker = client.create_order(ETH, "limit", "buy", 1, last - 50, {"postOnly": True})
    assert client.fetch_order(maker["id"], ETH)["postOnly"]
    for rule in ("IOC", "FOK"):
        far = client.create_order(ETH, "limit", "buy", 1, last - 50, {"timeInForce": rule})
        assert (far["status"], far["filled"]) == ("expired", 0.0)
    near = client.create_order(ETH, "limit", "buy", 1, last + 5, {"timeInForce": "FOK"})
    assert near["status"] == "closed"
    cancelled = client.cancel_all_orders(ETH)
    assert {one["id"] for one in cancelled} == {stop["id"], maker["id"]}


def test_an_order_can_be_edited(client: Any) -> None:
    """Ccxt edits by cancel and replace."""
    order = client.create_order(ETH, "limit", "buy", 1, 2900)
    edited = client.edit_order(order["id"], ETH, "limit", "buy", 2, 2890)
    assert (edited["amount"], edited["price"]) == (2.0, 2890.0)
    client.cancel_order(edited["id"], ETH)


def test_a_step_of_the_clock_fills_what_the_path_crosses(thread: ServerThread, client: Any) -> None:
    """A bid eight dollars below waits now and is filled, as maker, some minutes later."""
    last = client.fetch_ticker(ETH)["last"]
    order = client.create_order(ETH, "limit", "buy", 0.2, round(last - 8, 2))
    assert order["status"] == "open"
    thread.step(HOUR_MS)
    found = client.fetch_order(order["id"], ETH)
    assert (found["status"], found["average"]) == ("closed", round(last - 8, 2))
    assert client.fetch_my_trades(ETH, limit=1)[0]["takerOrMaker"] == "maker"
    assert NOW_MS < found["lastUpdateTimestamp"] <= NOW_MS + HOUR_MS


@pytest.mark.parametrize(
    ("act", "error", "text"),
    [
        (lambda c: c.create_order(ETH, "market", "buy", 4000), CCXT.InsufficientFunds, "balance"),
        (lambda c: c.create_order(ETH, "limit", "buy", 1, 20_000), CCXT.InvalidOrder, "PERCENT"),
        (lambda c: c.create_order(ETH, "limit", "buy", 0.001, 2900), CCXT.BadRequest, "NOTIONAL"),
        (lambda c: c.cancel_order("999", ETH), CCXT.OrderNotFound, "Unknown order"),
        (lambda c: c.fetch_order("999", ETH), CCXT.OrderNotFound, "does not exist"),
        (
            lambda c: c.create_order(ETH, "limit", "sell", 1, 2800, {"stopPrice": 9000}),
            CCXT.OrderImmediatelyFillable,
            "trigger immediately",
        ),
        (
            lambda c: c.private_post_order(
                {"symbol": "ETHUSDT", "side": "BUY", "type": "MARKET", "quantity": "1.00001"}
            ),
            CCXT.InvalidOrder,
            "lot size",
        ),
        (lambda c: c.public_get_depth({"symbol": "NOUSDT"}), CCXT.BadSymbol, "Invalid symbol"),
    ],
)
def test_refusals_become_ccxts_errors(
    client: Any, act: Callable[[Any], object], error: type[Exception], text: str
) -> None:
    """The code and text that ccxt maps to its classes."""
    with pytest.raises(error, match=text):
        act(client)


def test_wrong_keys_become_ccxts_errors(thread: ServerThread) -> None:
    """A wrong secret and an unknown key are authentication errors, a late clock is a nonce's."""
    for key, secret in ((KEY, "wrong"), ("nobody-knows-it", SECRET)):
        client: Any = spot_client(thread, key=key, secret=secret)
        with pytest.raises(CCXT.AuthenticationError):
            client.fetch_balance({"type": "spot"})
        close(client)
    client = spot_client(thread)
    client.load_markets()
    client.milliseconds = lambda: thread.server.exchange.clock.now_ms() - 20_000
    with pytest.raises(CCXT.InvalidNonce, match="outside of the recvWindow"):
        client.fetch_balance()
    close(client)


def test_the_asynchronous_client_trades_too(thread: ServerThread) -> None:
    """Load, look, buy, list and cancel, all awaited."""

    async def body(_thread: ServerThread, client: Any) -> None:
        candles, ticker, book = await asyncio.gather(
            client.fetch_ohlcv(ETH, "1m", limit=7),
            client.fetch_ticker(ETH),
            client.fetch_order_book(ETH),
        )
        assert len(candles) == 7
        assert book["bids"][0][0] == ticker["bid"]
        order = await client.create_order(ETH, "market", "sell", 0.25)
        assert order["status"] == "closed"
        resting = await client.create_order(ETH, "limit", "buy", 1, 2900)
        assert [one["id"] for one in await client.fetch_open_orders(ETH)] == [resting["id"]]
        assert (await client.cancel_order(resting["id"], ETH))["status"] == "canceled"

    run_with_client(
        thread, lambda thread: async_client(thread, "binance", defaultType="spot"), body
    )
