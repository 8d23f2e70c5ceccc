"""Spot orders of which one cancels the other, over the raw API and through unmodified ccxt."""

import json
from pathlib import Path
from typing import Any

import pytest
from sandbox_clients import (
    CCXT,
    KEY,
    SECRET,
    RawClient,
    bars,
    close,
    exchange,
    spot_client,
    step,
    wavy,
)

from seawall.sandbox.decimals import ONE
from seawall.sandbox.exchange import Exchange, Settings
from seawall.sandbox.market import Liquidity
from seawall.sandbox.server import Server, ServerThread
from seawall.sandbox.spot_feed import open_spot_hub
from seawall.sandbox.state import State
from seawall.sandbox.streams import Connection
from seawall.units import HOUR_MS, MINUTE_MS

FALLING = bars([(3000, 3001, 2990, 2991, 120.0), (2991, 2992, 2950, 2955, 120.0)])
RISING = bars([(3000, 3010, 2999, 3009, 120.0), (3009, 3050, 3008, 3045, 120.0)])
LISTS, ORDER = "/api/v3/orderList", {"symbol": "ETHUSDT"}
NO_LIMITS = Settings(limits=None)


def pair(client: RawClient, side: object = "SELL", **changes: object) -> tuple[int, Any]:
    """Place a pair around 3,000 in the older way: profit ten dollars away, loss twenty."""
    sign = 1 if side == "SELL" else -1
    shape: dict[str, object] = {
        **ORDER, "side": side, "quantity": "2", "price": 3000 + sign * 10,
        "stopPrice": 3000 - sign * 20,
    }  # fmt: skip
    return client.signed("POST", "/api/v3/order/oco", **{**shape, **changes})


def statuses(client: RawClient) -> dict[str, str]:
    """Return the status of each order by its type."""
    orders = client.signed("GET", "/api/v3/allOrders", **ORDER)[1]
    return {one["type"]: one["status"] for one in orders}


def free(made: Exchange, asset: str) -> float:
    """Return what Alice has free of an asset."""
    return made.accounts.by_name["alice"].balance(asset).free / ONE


def test_a_pair_is_two_orders_that_lock_once() -> None:
    """Two coins offered twice lock two coins; both are open, and belong to one list."""
    made = exchange(FALLING)
    alice = RawClient(made)
    status, answer = pair(alice, listClientOrderId="mine")
    assert (status, answer["contingencyType"], answer["listOrderStatus"]) == (
        200, "OCO", "EXECUTING",
    )  # fmt: skip
    kinds = {one["type"]: one for one in answer["orderReports"]}
    assert set(kinds) == {"LIMIT_MAKER", "STOP_LOSS"}
    assert kinds["STOP_LOSS"]["stopPrice"] == "2980.00000000"
    assert free(made, "ETH") == 98.0
    opened = alice.signed("GET", "/api/v3/openOrders", **ORDER)[1]
    assert {one["orderListId"] for one in opened} == {answer["orderListId"]}
    for query in ({"orderListId": answer["orderListId"]}, {"origClientOrderId": "mine"}):
        assert alice.signed("GET", LISTS, **query)[1]["orders"] == answer["orders"]
    assert len(alice.signed("GET", "/api/v3/openOrderList")[1]) == 1


def test_a_pair_to_buy_locks_what_the_dearer_one_costs() -> None:
    """Two coins: 5,980 USDT at the limit, 6,050 at the stop's own limit; 6,050 are locked."""
    made = exchange(RISING)
    alice = RawClient(made)
    before = free(made, "USDT")
    limits = {"stopLimitPrice": 3025, "stopLimitTimeInForce": "GTC"}
    assert pair(alice, "BUY", **limits)[0] == 200
    assert before - free(made, "USDT") == 6_050.0
    assert alice.signed("DELETE", "/api/v3/openOrders", **ORDER)[0] == 200
    assert free(made, "USDT") == before


@pytest.mark.parametrize(
    ("candles", "filled", "ended"),
    [(FALLING, "STOP_LOSS", "LIMIT_MAKER"), (RISING, "LIMIT_MAKER", "STOP_LOSS")],
)
def test_one_fills_and_the_other_expires(candles: Any, filled: str, ended: str) -> None:
    """Down through the stop or up through the limit: two coins are sold, once."""
    made = exchange(candles)
    alice = RawClient(made)
    _, answer = pair(alice)
    step(made, HOUR_MS)
    assert statuses(alice) == {filled: "FILLED", ended: "EXPIRED"}
    balance = made.accounts.by_name["alice"].balance("ETH")
    assert (balance.free, balance.locked) == (98 * ONE, 0)
    found = alice.signed("GET", LISTS, orderListId=answer["orderListId"])[1]
    assert (found["listStatusType"], found["listOrderStatus"]) == ("ALL_DONE", "ALL_DONE")
    assert alice.signed("GET", "/api/v3/openOrderList")[1] == []
    trades = alice.signed("GET", "/api/v3/myTrades", **ORDER)[1]
    assert {one["orderListId"] for one in trades} == {answer["orderListId"]}


def test_a_part_of_a_fill_ends_the_other() -> None:
    """The limit goes on alone for what is left, and its lock is what that needs."""
    thin = Liquidity(participation=0.01, n_prints=12)
    made = exchange(RISING, liquidity=thin)
    alice = RawClient(made)
    pair(alice, quantity="50")
    step(made, HOUR_MS)
    assert statuses(alice) == {"LIMIT_MAKER": "PARTIALLY_FILLED", "STOP_LOSS": "EXPIRED"}
    (rest,) = made.accounts.by_name["alice"].history("ETHUSDT").open.values()
    assert made.accounts.by_name["alice"].balance("ETH").locked == rest.left


@pytest.mark.parametrize("way", ["list", "order", "all"])
def test_a_cancel_of_one_is_a_cancel_of_both(way: str) -> None:
    """By the list, by either order, or by all of the market: nothing stays locked."""
    made = exchange(FALLING)
    alice = RawClient(made)
    _, answer = pair(alice, listClientOrderId="mine")
    path, query = {
        "list": (LISTS, {"listClientOrderId": "mine"}),
        "order": ("/api/v3/order", {"orderId": answer["orders"][1]["orderId"]}),
        "all": ("/api/v3/openOrders", {}),
    }[way]
    status, told = alice.signed("DELETE", path, **ORDER, **query)
    assert status == 200
    if way == "list":
        assert [one["status"] for one in told["orderReports"]] == ["CANCELED"] * 2
    assert set(statuses(alice).values()) == {"CANCELED"}
    assert free(made, "ETH") == 100.0
    assert alice.signed("DELETE", LISTS, **ORDER, listClientOrderId="mine")[1]["code"] == -2011
    assert len(alice.signed("GET", "/api/v3/allOrderList", fromId=1)[1]) == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"price": 2990}, -2010),  # a profit below the price
        ({"stopPrice": 3005}, -2010),
        ({"stopLimitPrice": 2970}, -1102),  # without its time in force
        ({"quantity": "200"}, -2010),
        ({"price": "3010.001"}, -1013),
        ({"limitClientOrderId": "same", "stopClientOrderId": "same"}, -2010),
        ({"symbol": "NOUSDT"}, -1121),
        ({"limitIcebergQty": "1"}, -1128),
        ({"side": "HOLD"}, -1117),
        ({"newOrderRespType": "ALL"}, -1100),
    ],
)
def test_what_is_no_pair_is_refused_and_changes_nothing(
    changes: dict[str, object], code: int
) -> None:
    """With Binance's code; no order is left, nothing is locked."""
    made = exchange(FALLING)
    alice = RawClient(made)
    assert pair(alice, **changes)[1]["code"] == code
    assert statuses(alice) == {}
    assert free(made, "ETH") == 100.0
    assert alice.signed("GET", LISTS, orderListId=1)[1]["code"] == -2013


def test_the_newer_way_says_what_is_above_and_what_is_below() -> None:
    """A take-profit that waits, above; a stop with a limit below; two stops are no pair."""
    made = exchange(RISING)
    alice = RawClient(made)
    above = {"aboveType": "TAKE_PROFIT", "aboveStopPrice": "3020"}
    below = {
        "belowType": "STOP_LOSS_LIMIT", "belowStopPrice": "2950", "belowPrice": "2940",
        "belowTimeInForce": "GTC",
    }  # fmt: skip
    shape = {**ORDER, "side": "SELL", "quantity": "1"}
    status, answer = alice.signed("POST", f"{LISTS}/oco", **shape, **above, **below)
    assert status == 200, answer
    step(made, HOUR_MS)
    assert statuses(alice) == {"TAKE_PROFIT": "FILLED", "STOP_LOSS_LIMIT": "EXPIRED"}
    wrong = {**shape, **below, "aboveType": "STOP_LOSS", "aboveStopPrice": "3090"}
    assert alice.signed("POST", f"{LISTS}/oco", **wrong)[1]["code"] == -1128
    status, answer = alice.signed("POST", f"{LISTS}/oco", **shape, **above, belowType="STOP_LOSS")
    assert (answer["code"], "belowStopPrice" in answer["msg"]) == (-1102, True)


def test_an_account_hears_of_its_lists() -> None:
    """Begun after both orders, over after the last of them; each report names the list."""
    made = exchange(FALLING)
    hub, connection = open_spot_hub(made), Connection()
    alice = RawClient(made)
    hub.listen(connection, made.accounts.by_name["alice"])
    pair(alice, quantity="0.1")
    step(made, HOUR_MS)
    events = []
    while not connection.queue.empty():
        events.append(json.loads(connection.queue.get_nowait())["event"])
    told = [(e["e"], e.get("x", e.get("l"))) for e in events if e["e"] != "outboundAccountPosition"]
    assert told == [
        ("executionReport", "NEW"), ("executionReport", "NEW"), ("listStatus", "EXEC_STARTED"),
        ("executionReport", "EXPIRED"), ("executionReport", "NEW"), ("executionReport", "TRADE"),
        ("listStatus", "ALL_DONE"),
    ]  # fmt: skip
    assert {e["g"] for e in events if "g" in e} == {1}


def test_a_pair_survives_a_restart(tmp_path: Path) -> None:
    """Read from the file it is one list again: the stop still ends the limit."""
    path = tmp_path / "exchange.sqlite"
    first = exchange(FALLING)
    state = State(path, first)
    pair(RawClient(first), listClientOrderId="mine")
    state.close()
    second = exchange(FALLING)
    again = State(path, second)
    alice = RawClient(second)
    assert free(second, "ETH") == 98.0
    step(second, HOUR_MS)
    assert statuses(alice) == {"LIMIT_MAKER": "EXPIRED", "STOP_LOSS": "FILLED"}
    assert pair(alice, price=2990, stopPrice=2900)[1]["orderListId"] == 2
    again.close()


def test_lists_are_forgotten_with_their_orders() -> None:
    """Of those that are over the last are kept."""
    made = exchange(wavy(20), settings=Settings(kept=3, limits=None))
    alice = RawClient(made)
    for _ in range(9):
        assert pair(alice, price=3050, stopPrice=2900)[0] == 200
        alice.signed("DELETE", "/api/v3/openOrders", **ORDER)
    assert len(made.accounts.by_name["alice"].order_lists) == 3


def test_ccxt_places_and_cancels_a_pair() -> None:
    """Through its implicit methods, as bots do: the market says that it takes such orders."""
    with ServerThread(Server(exchange(wavy(300)))) as thread:
        client: Any = spot_client(thread, key=KEY, secret=SECRET)
        assert client.load_markets()["ETH/USDT"]["info"]["ocoAllowed"]
        last = client.fetch_ticker("ETH/USDT")["last"]
        shape = {**ORDER, "side": "SELL", "quantity": "1"}
        client.private_post_order_oco(
            {**shape, "price": f"{last + 40:.2f}", "stopPrice": f"{last - 40:.2f}"}
        )
        opened = client.fetch_open_orders("ETH/USDT")
        assert sorted(one["type"] for one in opened) == ["limit", "market"]
        with pytest.raises(CCXT.BadRequest):
            client.private_get_orderlist()
        client.cancel_order(opened[0]["id"], "ETH/USDT")
        assert client.fetch_open_orders("ETH/USDT") == []
        made = client.private_post_orderlist_oco(
            {
                **shape, "aboveType": "LIMIT_MAKER", "abovePrice": f"{last + 40:.2f}",
                "belowType": "STOP_LOSS", "belowStopPrice": f"{last - 40:.2f}",
            }
        )  # fmt: skip
        number = made["orderListId"]
        told = client.private_delete_orderlist({**ORDER, "orderListId": number})
        assert told["listOrderStatus"] == "ALL_DONE"
        thread.step(MINUTE_MS)
        assert client.fetch_balance()["ETH"]["used"] == 0
        close(client)
