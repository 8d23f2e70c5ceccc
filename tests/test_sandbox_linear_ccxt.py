"""The sandbox's perpetuals through unmodified ccxt clients: every USD-M method of the table."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from linear_sandboxes import BTC_PERP, PERP, funding
from sandbox_clients import (
    CCXT,
    KEY,
    SECRET,
    START_MS,
    async_client,
    close,
    exchange,
    run_with_client,
    urls,
    usdm_client,
    wavy,
)

from seawall.sandbox.contract import make_contract
from seawall.sandbox.faults import Fault
from seawall.sandbox.server import Server, ServerThread
from seawall.units import HOUR_MS, MINUTE_MS

NOW_MS = START_MS + 1500 * MINUTE_MS
TRIGGER = {"trigger": True}


@pytest.fixture(scope="module")
def thread() -> Iterator[ServerThread]:
    """Serve spot and two perpetuals on a clock that is stepped by hand."""
    eth = wavy(6000, PERP)
    rates = funding([0.0001, 0.0002, -0.0001] * 4, first_ms=START_MS)
    made = exchange(
        wavy(6000),
        eth,
        wavy(6000, BTC_PERP, 60_000.0),
        start_ms=NOW_MS,
        futures=100_000.0,
        contracts={PERP: make_contract(eth, spot=wavy(6000), funding=rates)},
    )
    with ServerThread(Server(made)) as running:
        yield running


@pytest.fixture(params=["api", "demo", "test"])
def client(thread: ServerThread, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Return a client with Alice's keys: by replaced URLs, ccxt's demo and its testnet."""
    made = usdm_client(thread, part=request.param)
    yield made
    made.cancel_all_orders(PERP)
    made.cancel_all_orders(PERP, TRIGGER)
    for held in made.fetch_positions():
        side = "sell" if held["side"] == "long" else "buy"
        made.create_order(held["symbol"], "market", side, held["contracts"], None,
                          {"reduceOnly": True})  # fmt: skip
    close(made)


def test_markets_load_with_their_grid_and_limits(client: Any) -> None:
    """Precision, notional, margin asset and contract kind are what ccxt reads of them."""
    markets = client.load_markets()
    assert set(markets) == {PERP, BTC_PERP}
    eth = markets[PERP]
    assert (eth["swap"], eth["linear"], eth["settle"], eth["contractSize"]) == (
        True, True, "USDT", 1.0,
    )  # fmt: skip
    assert (eth["precision"]["price"], eth["precision"]["amount"]) == (0.01, 0.0001)
    assert eth["limits"]["cost"]["min"] == 5.0
    assert eth["active"]


def test_public_methods_answer(client: Any) -> None:
    """Candles of price and mark, tickers, book, trades, funding and brackets."""
    assert client.fetch_time() == NOW_MS
    source = wavy(6000, PERP).close[1495:1498].tolist()
    since = {"since": NOW_MS - 5 * MINUTE_MS, "limit": 3}
    assert [row[4] for row in client.fetch_ohlcv(PERP, "1m", **since)] == source
    marks = client.fetch_ohlcv(PERP, "1m", **since, params={"price": "mark"})
    assert len(marks) == 3
    assert len(client.fetch_index_ohlcv(PERP, "1m", limit=3)) == 3
    ticker = client.fetch_ticker(PERP)
    for name in ("high", "low", "last", "baseVolume", "quoteVolume", "vwap", "timestamp"):
        assert ticker[name] > 0, name
    assert set(client.fetch_tickers()) == {PERP, BTC_PERP}
    best = client.fetch_bids_asks([PERP])[PERP]
    book = client.fetch_order_book(PERP, 5)
    assert (best["bid"], best["ask"]) == (book["bids"][0][0], book["asks"][0][0])
    assert book["timestamp"] == NOW_MS
    assert len(client.fetch_trades(PERP, limit=10)) == 10
    assert client.fetch_mark_price(PERP)["markPrice"] > 0
    assert client.fetch_last_prices([PERP])[PERP]["price"] == ticker["last"]


def test_funding_is_public(client: Any) -> None:
    """The last rate, the next stamp, the history and the interval."""
    rate = client.fetch_funding_rate(PERP)
    assert (rate["fundingRate"], rate["fundingTimestamp"] - NOW_MS) == (0.0001, 7 * HOUR_MS)
    assert rate["indexPrice"] > 0
    assert set(client.fetch_funding_rates()) == {PERP, BTC_PERP}
    history = client.fetch_funding_rate_history(PERP, limit=2)
    assert [one["fundingRate"] for one in history] == [-0.0001, 0.0001]
    since = client.fetch_funding_rate_history(PERP, since=START_MS, limit=1)
    assert since[0]["timestamp"] == START_MS
    assert client.fetch_funding_intervals()[PERP]["interval"] == "8h"


def test_leverage_brackets_and_modes(client: Any) -> None:
    """Tiers are Binance's; leverage and margin mode are set and read back."""
    tiers = client.fetch_leverage_tiers([PERP])[PERP]
    assert (tiers[0]["maxLeverage"], tiers[0]["maintenanceMarginRate"]) == (125.0, 0.004)
    assert client.set_leverage(7, PERP)["leverage"] == 7
    assert client.fetch_leverages()[PERP]["longLeverage"] == 7
    assert client.fetch_leverage(PERP)["longLeverage"] == 7
    client.set_margin_mode("isolated", BTC_PERP)
    assert client.fetch_margin_mode(BTC_PERP)["marginMode"] == "isolated"
    client.set_margin_mode("cross", BTC_PERP)
    with pytest.raises(CCXT.MarginModeAlreadySet):
        client.set_margin_mode("cross", BTC_PERP)
    assert client.fetch_position_mode(PERP)["hedged"] is False
    assert client.fetch_trading_fee(PERP)["taker"] == 0.0005
    with pytest.raises(CCXT.BadRequest, match="Coming soon"):
        client.set_position_mode(True)
    client.set_leverage(20, PERP)


def test_a_position_is_opened_seen_and_closed(client: Any) -> None:
    """Side, size, entry, mark, margin and profit; closed by an order that only reduces."""
    before = client.fetch_balance()["USDT"]["total"]
    order = client.create_order(PERP, "market", "buy", 2)
    assert (order["status"], order["filled"]) == ("closed", 2.0)
    held = client.fetch_positions([PERP])[0]
    assert (held["side"], held["contracts"], held["marginMode"]) == ("long", 2.0, "cross")
    assert held["entryPrice"] == order["average"]
    assert held["initialMargin"] == pytest.approx(2 * held["markPrice"] / 20, rel=1e-6)
    assert held["leverage"] is None  # as with version 3 of the real one
    assert client.fetch_positions([PERP], {"useV2": True})[0]["leverage"] == 20.0
    assert len(client.fetch_account_positions([PERP])) == 1
    balance = client.fetch_balance()["USDT"]
    assert balance["used"] == pytest.approx(held["initialMargin"], rel=1e-6)
    only = {"reduceOnly": True}
    closed = client.create_order(PERP, "market", "sell", 2, None, only)
    assert (closed["status"], closed["reduceOnly"]) == ("closed", True)
    assert client.fetch_positions([PERP]) == []
    trades = client.fetch_my_trades(PERP, limit=2)
    assert [trade["side"] for trade in trades] == ["buy", "sell"]
    assert (trades[0]["takerOrMaker"], trades[0]["fee"]["currency"]) == ("taker", "USDT")
    costs = sum(trade["fee"]["cost"] for trade in trades)
    gain = 2 * (trades[1]["price"] - trades[0]["price"])
    after = client.fetch_balance()["USDT"]["total"]
    assert after - before == pytest.approx(gain - costs, abs=1e-7)


def test_the_life_of_a_limit_order(client: Any) -> None:
    """Open, seen in every list by number and by client's id, edited and cancelled."""
    params = {"clientOrderId": f"mine-{id(client)}"}
    order = client.create_order(PERP, "limit", "buy", 1.5, 2900, params)
    assert (order["status"], order["price"], order["amount"]) == ("open", 2900.0, 1.5)
    assert client.fetch_order(order["id"], PERP)["status"] == "open"
    assert client.fetch_order(None, PERP, params)["id"] == order["id"]
    assert [one["id"] for one in client.fetch_open_orders(PERP)] == [order["id"]]
    assert order["id"] in [one["id"] for one in client.fetch_orders(PERP)]
    edited = client.edit_order(order["id"], PERP, "limit", "buy", 2, 2890)
    assert (edited["id"], edited["amount"], edited["price"]) == (order["id"], 2.0, 2890.0)
    assert client.cancel_order(order["id"], PERP)["status"] == "canceled"
    assert client.fetch_open_orders(PERP) == []
    assert order["id"] in [one["id"] for one in client.fetch_canceled_orders(PERP)]


def test_post_only_ioc_and_fok(client: Any) -> None:
    """Each unified way to say it reaches the exchange as what it is."""
    last = client.fetch_ticker(PERP)["last"]
    maker = client.create_order(PERP, "limit", "buy", 1, last - 50, {"postOnly": True})
    assert client.fetch_order(maker["id"], PERP)["postOnly"]
    with pytest.raises(CCXT.InvalidOrder, match="Post Only"):
        client.create_order(PERP, "limit", "buy", 1, last + 5, {"postOnly": True})
    far = client.create_order(PERP, "limit", "buy", 1, last - 50, {"timeInForce": "IOC"})
    assert far["status"] == "expired"
    with pytest.raises(CCXT.InvalidOrder, match="FOK"):
        client.create_order(PERP, "limit", "buy", 1, last - 50, {"timeInForce": "FOK"})
    near = client.create_order(PERP, "limit", "buy", 1, last + 5, {"timeInForce": "FOK"})
    assert near["status"] == "closed"


def test_stops_are_algo_orders(client: Any) -> None:
    """Stop, take profit and trailing stop: made, found, listed and cancelled with ``trigger``."""
    client.create_order(PERP, "market", "buy", 1)
    only = {"reduceOnly": True}
    stop = client.create_order(PERP, "market", "sell", 1, None, {"stopLossPrice": 2500, **only})
    assert (stop["status"], stop["triggerPrice"], stop["reduceOnly"]) == ("open", 2500.0, True)
    profit = client.create_order(PERP, "limit", "sell", 1, 3600, {"takeProfitPrice": 3550})
    assert (profit["takeProfitPrice"], profit["price"]) == (3550.0, 3600.0)
    trailing = client.create_order(PERP, "market", "sell", 1, None, {"trailingPercent": 2, **only})
    on_mark = {"stopLossPrice": 2400, "workingType": "MARK_PRICE", "closePosition": True}
    everything = client.create_order(PERP, "market", "sell", 1, None, on_mark)
    assert everything["info"]["closePosition"] is True
    made = [one["id"] for one in (stop, profit, trailing, everything)]
    assert [one["id"] for one in client.fetch_open_orders(PERP, params=TRIGGER)] == made
    assert client.fetch_order(stop["id"], PERP, TRIGGER)["triggerPrice"] == 2500.0
    assert set(made) <= {one["id"] for one in client.fetch_orders(PERP, params=TRIGGER)}
    assert client.cancel_order(stop["id"], PERP, TRIGGER)["id"] == stop["id"]
    client.cancel_all_orders(PERP, TRIGGER)
    assert client.fetch_open_orders(PERP, params=TRIGGER) == []
    assert client.fetch_order(profit["id"], PERP, TRIGGER)["status"] == "canceled"


def test_margin_is_added_and_taken_and_money_moved(client: Any) -> None:
    """An isolated short; what was added is in its collateral."""
    client.set_margin_mode("isolated", PERP)
    client.create_order(PERP, "market", "sell", 1)
    before = client.fetch_positions([PERP])[0]
    assert (before["marginMode"], before["side"]) == ("isolated", "short")
    assert client.add_margin(PERP, 50)["status"] == "ok"
    assert client.reduce_margin(PERP, 20)["type"] == "reduce"
    after = client.fetch_positions([PERP])[0]
    assert after["collateral"] - before["collateral"] == pytest.approx(30, abs=1e-6)
    assert after["liquidationPrice"] > before["liquidationPrice"] > after["markPrice"]
    client.create_order(PERP, "market", "buy", 1, None, {"reduceOnly": True})
    client.set_margin_mode("cross", PERP)
    wallet = client.fetch_balance()["USDT"]["total"]
    client.transfer("USDT", 100, "spot", "linear")
    assert client.fetch_balance()["USDT"]["total"] == pytest.approx(wallet + 100, abs=1e-6)


def test_several_orders_at_once_and_what_is_empty(client: Any) -> None:
    """Two in a batch; open interest, ledgers, liquidations and ratios have their shape."""
    shape = {"symbol": PERP, "type": "limit", "side": "buy", "amount": 1}
    batch = client.create_orders([shape | {"price": 2900}, shape | {"price": 2901}])
    assert [one["status"] for one in batch] == ["open", "open"]
    gone = client.cancel_orders([one["id"] for one in batch], PERP)
    assert [one["status"] for one in gone] == ["canceled", "canceled"]
    assert client.fetch_open_interest(PERP)["symbol"] == PERP
    assert client.fetch_my_liquidations(PERP) == []
    assert client.fetch_ledger("USDT")[0]["currency"] == "USDT"
    if "fapiData" in client.urls["api"]:
        assert client.fetch_open_interest_history(PERP) == []
        assert client.fetch_long_short_ratio_history(PERP) == []


def test_a_night_of_funding_shows_in_the_history(thread: ServerThread, client: Any) -> None:
    """Held over a stamp; a resting order is filled on the way."""
    client.create_order(PERP, "market", "buy", 1)
    before = len(client.fetch_funding_history(PERP))
    low = client.fetch_ticker(PERP)["low"]  # the path returns to it every 101 minutes
    order = client.create_order(PERP, "limit", "buy", 0.2, round(low + 1, 2))
    thread.step(8 * HOUR_MS)
    paid = client.fetch_funding_history(PERP)
    assert len(paid) == before + 1
    assert (paid[-1]["code"], paid[-1]["symbol"]) == ("USDT", PERP)
    assert client.fetch_order(order["id"], PERP)["status"] == "closed"
    assert client.fetch_my_trades(PERP, limit=1)[0]["takerOrMaker"] == "maker"


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (lambda c: c.create_order(PERP, "market", "buy", 3000), "-2019"),
        (
            lambda c: c.create_order(PERP, "market", "sell", 1, None, {"reduceOnly": True}),
            "-2022",
        ),
        (
            lambda c: c.create_order(PERP, "market", "sell", 1, None, {"stopLossPrice": 9000}),
            "-2021",
        ),
        (lambda c: c.create_order(PERP, "limit", "buy", 0.001, 2900), "-4164"),
        (lambda c: c.create_order(PERP, "limit", "buy", 1, 20_000), "-4016"),
        (lambda c: c.fapiPrivatePostLeverage({"symbol": "ETHUSDT", "leverage": 126}), "-4028"),
    ],
)
def test_refusals_carry_binances_codes(
    client: Any, act: Callable[[Any], object], code: str
) -> None:
    """On plain loopback ccxt knows the codes only by their text, as bare errors."""
    with pytest.raises(CCXT.ExchangeError, match=code):
        act(client)


def test_refusals_become_ccxts_errors_with_its_own_table(thread: ServerThread) -> None:
    """With ccxt's table for futures the classes are those of production."""
    client = usdm_client(thread)
    client.exceptions["exact"] = client.exceptions["linear"]["exact"]
    with pytest.raises(CCXT.InsufficientFunds):
        client.create_order(PERP, "market", "buy", 3000)
    with pytest.raises(CCXT.InvalidOrder):
        client.create_order(PERP, "market", "sell", 1, None, {"reduceOnly": True})
    with pytest.raises(CCXT.OrderImmediatelyFillable):
        client.create_order(PERP, "market", "sell", 1, None, {"stopLossPrice": 9000})
    close(client)


def test_one_client_trades_spot_and_perpetuals(thread: ServerThread) -> None:
    """``ccxt.binance`` loads both, and sends each order where it belongs."""
    config = {"urls": {"api": urls(thread.url)}, "apiKey": KEY, "secret": SECRET}
    client: Any = CCXT.binance({**config, "enableRateLimit": False})
    client.milliseconds = thread.server.exchange.clock.now_ms
    client.session.trust_env = False
    assert set(client.load_markets()) == {"ETH/USDT", PERP, BTC_PERP}
    assert client.create_order("ETH/USDT", "market", "buy", 0.1)["symbol"] == "ETH/USDT"
    assert client.create_order(PERP, "market", "sell", 0.1)["symbol"] == PERP
    assert client.fetch_balance({"type": "swap"})["USDT"]["total"] > 0
    client.create_order(PERP, "market", "buy", 0.1, None, {"reduceOnly": True})
    close(client)


def test_an_order_whose_answer_is_lost_is_live(thread: ServerThread, client: Any) -> None:
    """The connection is reset after the order was accepted: it is found by its client's id."""
    client.load_markets()
    fault = Fault(path="/fapi/v1/order$", method="POST", stage="after", is_drop=True)
    thread.call(lambda: thread.server.faults.add(fault))
    params = {"clientOrderId": f"lost-{id(client)}"}
    with pytest.raises(CCXT.NetworkError):
        client.create_order(PERP, "limit", "buy", 1, 2900, params)
    assert client.fetch_order(None, PERP, params)["status"] == "open"
    with pytest.raises(CCXT.ExchangeError, match="-4116"):
        client.create_order(PERP, "limit", "buy", 1, 2900, params)
    assert client.cancel_order(None, PERP, params)["status"] == "canceled"


def test_the_operator_pays_into_futures_wallets() -> None:
    """An account opened and paid over the admin API; what is bound cannot be taken."""
    made = exchange(wavy(60, PERP))
    with ServerThread(Server(made, token="operator")) as thread:  # noqa: S106 - of a test

        def ask(verb: str, **table: Any) -> Any:
            headers = {"X-Sandbox-Token": "operator"}
            url = f"{thread.url}/_admin/{verb}"
            return requests.post(url, json=table, timeout=5, headers=headers).json()

        fresh = {"name": "carol", "key": "key-of-carol", "secret": "secret-of-carol"}
        assert ask("account", **fresh, futures=500)["uid"] == 3
        pay = {"account": "carol", "asset": "USDT", "wallet": "futures"}
        assert ask("deposit", **pay, amount=250.5)["free"] == "750.50000000"
        assert "insufficient" in ask("deposit", **pay, amount=-751)["error"]
        assert "USDT" in ask("deposit", **{**pay, "asset": "ETH"}, amount=1)["error"]
        client = usdm_client(thread, key=fresh["key"], secret=fresh["secret"])
        assert client.fetch_balance()["USDT"]["free"] == 750.5
        close(client)


def test_the_asynchronous_client_trades_too(thread: ServerThread) -> None:
    """Load, look, open, list and close, all awaited."""

    async def body(_thread: ServerThread, client: Any) -> None:
        candles, rate, book = await asyncio.gather(
            client.fetch_ohlcv(PERP, "1m", limit=7),
            client.fetch_funding_rate(PERP),
            client.fetch_order_book(PERP),
        )
        assert len(candles) == 7
        assert book["bids"][0][0] < rate["markPrice"] + 50
        assert (await client.create_order(PERP, "market", "sell", 1))["status"] == "closed"
        assert (await client.fetch_positions([PERP]))[0]["side"] == "short"
        only = {"reduceOnly": True}
        await client.create_order(PERP, "market", "buy", 1, None, only)
        assert await client.fetch_positions([PERP]) == []

    run_with_client(thread, lambda thread: async_client(thread, "binanceusdm"), body)
