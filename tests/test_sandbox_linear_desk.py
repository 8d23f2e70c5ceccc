"""The sandbox's futures desk: orders, margin, conditional orders, and Binance's refusals."""

import json
from urllib.parse import quote

import pytest
from linear_sandboxes import (
    BTC_CODE,
    BTC_PERP,
    CODE,
    PERP,
    algo,
    flat,
    get,
    glide,
    imbalance,
    legs,
    mark_as,
    order,
    perpetuals,
    position,
)
from sandbox_clients import (
    KEY_BOB,
    SECRET_BOB,
    RawClient,
    step,
    wavy,
)

from seawall.sandbox.contract import make_contract
from seawall.units import MINUTE_MS


def test_a_market_order_opens_and_closes_a_position() -> None:
    """Bought at the ask 3,000.15, sold at the bid 2,999.85: 0.30 per ETH and two fees of 0.05 %.

    Fees: 2 * 3,000.15 * 0.0005 = 3.00015 and 2 * 2,999.85 * 0.0005 = 2.99985, together 6.00.
    """
    made = perpetuals(flat(20))
    alice = RawClient(made)
    status, bought = order(alice, "BUY", "MARKET", quantity="2")
    assert (status, bought["status"], bought["avgPrice"]) == (200, "FILLED", "3000.15000000")
    held = position(alice)
    assert (held["positionAmt"], held["entryPrice"]) == ("2.00000000", "3000.15000000")
    assert held["unRealizedProfit"] == "-0.30000000"
    order(alice, "SELL", "MARKET", quantity="2")
    assert position(alice)["positionAmt"] == "0.00000000"
    wallet = get(alice, "/fapi/v2/balance")[0]
    assert float(wallet["balance"]) == pytest.approx(10_000 - 0.60 - 6.00, abs=1e-8)
    trades = get(alice, "/fapi/v1/userTrades", symbol=CODE)
    assert [trade["realizedPnl"] for trade in trades] == ["0.00000000", "-0.60000000"]
    assert abs(imbalance(made)) < 1e-8


def test_an_order_needs_its_margin_its_opening_loss_and_its_fee() -> None:
    """With 10,000 USDT and 20x: 66.6 ETH need 9,990.5 + 10.0 of loss + 99.9 of fee; 65 fit.

    65: 3,000.15 * 65 / 20 = 9,750.49, + 65 * 0.15 = 9.75, + 97.50 = 9,857.74 <= 10,000.
    """
    made = perpetuals(flat(20))
    alice = RawClient(made)
    refusal = order(alice, "BUY", "MARKET", quantity="66.6")
    assert refusal == (400, {"code": -2019, "msg": "Margin is insufficient."})
    assert order(alice, "BUY", "MARKET", quantity="65")[0] == 200
    assert order(alice, "BUY", "MARKET", quantity="1")[1]["code"] == -2019
    assert order(alice, "SELL", "MARKET", quantity="65")[0] == 200  # what closes needs nothing


def test_open_orders_bind_margin_and_those_against_them_do_not() -> None:
    """Bids of 30 ETH at 2,900 with 10x bind 8,700; asks of as much bind nothing more.

    The larger side counts: asks of 30 at 3,100 bind 9,300 in place of 8,700.
    """
    made = perpetuals(flat(20))
    alice = RawClient(made)
    alice.signed("POST", "/fapi/v1/leverage", symbol=CODE, leverage=10)
    limit = {"timeInForce": "GTC", "quantity": "30"}
    assert order(alice, "BUY", "LIMIT", price="2900", **limit)[0] == 200
    account = get(alice, "/fapi/v3/account")
    assert account["totalOpenOrderInitialMargin"] == "8700.00000000"
    assert account["availableBalance"] == "1300.00000000"
    assert order(alice, "BUY", "LIMIT", price="2900", **limit)[1]["code"] == -2019
    assert order(alice, "SELL", "LIMIT", price="3100", **limit)[0] == 200
    bound = get(alice, "/fapi/v3/account")["totalOpenOrderInitialMargin"]
    assert bound == "9300.00000000"
    alice.signed("DELETE", "/fapi/v1/allOpenOrders", symbol=CODE)
    assert get(alice, "/fapi/v3/account")["availableBalance"] == "10000.00000000"


def test_a_resting_order_is_filled_as_maker_and_an_ioc_expires() -> None:
    """The path falls through the bid; the maker's fee is 0.02 %."""
    made = perpetuals(legs([3000, 3000, 2950]))
    alice = RawClient(made)
    near = {"price": "2980", "quantity": "1"}
    assert order(alice, "BUY", "LIMIT", timeInForce="IOC", **near)[1]["status"] == "EXPIRED"
    assert order(alice, "BUY", "LIMIT", timeInForce="GTX", **near)[1]["status"] == "NEW"
    step(made, 2 * MINUTE_MS)
    trade = get(alice, "/fapi/v1/userTrades", symbol=CODE)[0]
    assert (trade["maker"], trade["price"], trade["commission"]) == (
        True, "2980.00000000", "0.59600000",
    )  # fmt: skip


def test_reduce_only_orders_never_open() -> None:
    """Refused without a position, cut to it, and expired once there is nothing left to reduce."""
    made = perpetuals(legs([3000, 3000, 3050, 3050]))
    alice = RawClient(made)
    wanted = {"reduceOnly": "true", "quantity": "5"}
    refused = order(alice, "SELL", "MARKET", **wanted)[1]
    assert refused == {"code": -2022, "msg": "ReduceOnly Order is rejected."}
    order(alice, "BUY", "MARKET", quantity="2")
    assert order(alice, "BUY", "MARKET", **wanted)[1]["code"] == -2022
    for price in ("3020", "3030"):
        limit = {"quantity": "2", "price": price, "timeInForce": "GTC", "reduceOnly": "true"}
        assert order(alice, "SELL", "LIMIT", **limit)[1]["status"] == "NEW"
    step(made, 3 * MINUTE_MS)
    found = get(alice, "/fapi/v1/allOrders", symbol=CODE)
    assert [(one["type"], one["status"]) for one in found] == [
        ("MARKET", "FILLED"), ("LIMIT", "FILLED"), ("LIMIT", "EXPIRED"),
    ]  # fmt: skip
    order(alice, "SELL", "MARKET", quantity="1")
    status, cut = order(alice, "BUY", "MARKET", **wanted)
    assert (status, cut["status"], cut["executedQty"]) == (200, "FILLED", "1.00000000")
    assert abs(imbalance(made)) < 1e-8


def test_two_accounts_trade_with_each_other() -> None:
    """Alice asks inside the spread, Bob takes hers: one is short what the other is long."""
    made = perpetuals(flat(20))
    alice, bob = RawClient(made), RawClient(made, KEY_BOB, SECRET_BOB)
    order(alice, "SELL", "LIMIT", quantity="1", price="3000.05", timeInForce="GTX")
    _, taken = order(bob, "BUY", "MARKET", quantity="1")
    assert taken["avgPrice"] == "3000.05000000"
    assert [position(one)["positionAmt"] for one in (alice, bob)] == [
        "-1.00000000", "1.00000000",
    ]  # fmt: skip
    assert made.linear.house.holdings[0] == 0.0


def test_conditional_orders_wait_for_last_price_or_mark() -> None:
    """The last price falls to 2,900, the mark only to 2,950: a stop at 2,940 on it stays."""
    candles = legs([3000, 3000, 2900, 2900])
    mark = mark_as(candles, [3000, 3000, 2950, 2950])
    made = perpetuals(candles, contract=make_contract(candles, mark=mark))
    alice = RawClient(made)
    order(alice, "BUY", "MARKET", quantity="3")
    stop = {"triggerPrice": "2940", "quantity": "1", "reduceOnly": "true"}
    on_last = algo(alice, "SELL", "STOP_MARKET", **stop)[1]
    on_mark = algo(alice, "SELL", "STOP_MARKET", workingType="MARK_PRICE", **stop)[1]
    assert (on_last["algoStatus"], on_mark["workingType"]) == ("NEW", "MARK_PRICE")
    step(made, 3 * MINUTE_MS)
    found = get(alice, "/fapi/v1/algoOrder", algoId=on_last["algoId"])
    assert found["algoStatus"] == "FINISHED"
    became = get(alice, "/fapi/v1/order", symbol=CODE, orderId=found["actualOrderId"])
    assert (became["type"], became["origType"]) == ("MARKET", "STOP_MARKET")
    assert float(became["avgPrice"]) < 2940
    waiting = get(alice, "/fapi/v1/openAlgoOrders")
    assert [one["algoId"] for one in waiting] == [on_mark["algoId"]]
    assert position(alice)["positionAmt"] == "2.00000000"


def test_a_take_profit_with_a_limit_rests_at_its_price() -> None:
    """Triggered at 3,040, it asks 3,045 and is filled there on the way to 3,060."""
    made = perpetuals(glide([3000, 3060], 20))
    alice = RawClient(made)
    order(alice, "BUY", "MARKET", quantity="1")
    profit = {"triggerPrice": "3040", "price": "3045", "quantity": "1", "reduceOnly": "true"}
    algo(alice, "SELL", "TAKE_PROFIT", **profit)
    step(made, 20 * MINUTE_MS)
    last = get(alice, "/fapi/v1/userTrades", symbol=CODE)[-1]
    assert (last["price"], last["maker"]) == ("3045.00000000", True)


def test_a_trailing_stop_follows_the_price_up() -> None:
    """From 3,000 to 3,100 and back: 1 % below the top is 3,069."""
    made = perpetuals(glide([3000, 3100, 3000], 50))
    alice = RawClient(made)
    order(alice, "BUY", "MARKET", quantity="1")
    algo(alice, "SELL", "TRAILING_STOP_MARKET", callbackRate="1", quantity="1")
    step(made, 100 * MINUTE_MS)
    sold = get(alice, "/fapi/v1/userTrades", symbol=CODE)[-1]
    assert 3066 < float(sold["price"]) <= 3069
    assert position(alice)["positionAmt"] == "0.00000000"


def test_a_close_position_order_closes_whatever_is_held_then() -> None:
    """Placed for one ETH, held are three when it triggers; a second one for stops is refused."""
    made = perpetuals(legs([3000, 3000, 2900, 2900]))
    alice = RawClient(made)
    order(alice, "BUY", "MARKET", quantity="1")
    close = {"triggerPrice": "2950", "closePosition": "true"}
    assert algo(alice, "SELL", "STOP_MARKET", **close)[0] == 200
    assert algo(alice, "SELL", "STOP_MARKET", **close)[1]["code"] == -4130
    profit = {"triggerPrice": "3200", "closePosition": "true"}
    assert algo(alice, "SELL", "TAKE_PROFIT_MARKET", **profit)[0] == 200
    order(alice, "BUY", "MARKET", quantity="2")
    step(made, 3 * MINUTE_MS)
    assert position(alice)["positionAmt"] == "0.00000000"
    step(made, MINUTE_MS)
    assert len(get(alice, "/fapi/v1/openAlgoOrders")) == 1


def test_a_conditional_order_that_the_desk_refuses_is_rejected() -> None:
    """It only reduces, and the position is gone when it triggers."""
    made = perpetuals(legs([3000, 3000, 2900]))
    alice = RawClient(made)
    order(alice, "BUY", "MARKET", quantity="1")
    stop = {"triggerPrice": "2950", "quantity": "1", "reduceOnly": "true"}
    number = algo(alice, "SELL", "STOP_MARKET", **stop)[1]["algoId"]
    order(alice, "SELL", "MARKET", quantity="1")
    step(made, 2 * MINUTE_MS)
    assert get(alice, "/fapi/v1/algoOrder", algoId=number)["algoStatus"] == "REJECTED"


@pytest.mark.parametrize(
    ("kind", "params", "code"),
    [
        ("STOP_MARKET", {"quantity": "1", "stopPrice": "2900"}, -4120),
        ("LIMIT_MAKER", {"quantity": "1", "price": "2900"}, -1116),
        ("MARKET", {"quantity": "1", "positionSide": "LONG"}, -4061),
        ("MARKET", {"quantity": "0.001"}, -4164),
        ("MARKET", {"quantity": "0.00001"}, -1111),
        ("MARKET", {"quantity": "0"}, -4003),
        ("MARKET", {}, -1102),
        ("MARKET", {"quantity": "1", "closePosition": "true"}, -4136),
        ("LIMIT", {"quantity": "1", "price": "2900"}, -1102),
        ("LIMIT", {"quantity": "1", "price": "2900.001", "timeInForce": "GTC"}, -1111),
        ("LIMIT", {"quantity": "1", "price": "20000", "timeInForce": "GTC"}, -4016),
        ("LIMIT", {"quantity": "1", "price": "3100", "timeInForce": "GTX"}, -5022),
        ("LIMIT", {"quantity": "1", "price": "2900", "timeInForce": "FOK"}, -5021),
        ("LIMIT", {"quantity": "1", "price": "2900", "timeInForce": "GTD"}, -1115),
    ],
)
def test_orders_are_refused_with_binances_codes(
    kind: str, params: dict[str, str], code: int
) -> None:
    """Each rule of the endpoint and of the market's filters; nothing is left behind."""
    made = perpetuals(flat(20))
    alice = RawClient(made)
    status, found = order(alice, "BUY", kind, **params)
    assert (status, found["code"]) == (400, code)
    assert get(alice, "/fapi/v1/allOrders") == []


@pytest.mark.parametrize(
    ("kind", "params", "code"),
    [
        ("STOP_MARKET", {"quantity": "1", "triggerPrice": "3100"}, -2021),
        ("TAKE_PROFIT_MARKET", {"quantity": "1", "triggerPrice": "2900"}, -2021),
        ("STOP", {"quantity": "1", "triggerPrice": "2900"}, -1102),
        ("STOP_MARKET", {"quantity": "1"}, -1102),
        ("STOP_MARKET", {"quantity": "1", "triggerPrice": "2900.001"}, -1111),
        ("STOP_MARKET", {"quantity": "0.001", "triggerPrice": "2900"}, -4164),
        ("TRAILING_STOP_MARKET", {"quantity": "1", "callbackRate": "11"}, -2007),
        ("TRAILING_STOP_MARKET", {"callbackRate": "1", "closePosition": "true"}, -4136),
        ("STOP_MARKET", {"triggerPrice": "2900", "closePosition": "true", "quantity": "1"}, -1106),
        ("MARKET", {"quantity": "1"}, -1116),
    ],
)
def test_conditional_orders_are_refused_with_binances_codes(
    kind: str, params: dict[str, str], code: int
) -> None:
    """Triggers that are reached, numbers off the grid, and what excludes each other."""
    made = perpetuals(flat(20))
    alice = RawClient(made)
    status, found = algo(alice, "SELL", kind, **params)
    assert (status, found["code"]) == (400, code)
    assert get(alice, "/fapi/v1/allAlgoOrders") == []


def test_leverage_and_margin_type_follow_binances_rules() -> None:
    """Same type -4046, orders -4047, a position -4048; isolated leverage goes up only, -4161."""
    made = perpetuals(flat(20))
    alice = RawClient(made)

    def ask(path: str, **params: object) -> object:
        answer = alice.signed("POST", f"/fapi/v1/{path}", symbol=CODE, **params)[1]
        return answer.get("code", answer)

    assert ask("marginType", marginType="CROSSED") == -4046
    order(alice, "BUY", "LIMIT", quantity="1", price="2900", timeInForce="GTC")
    assert ask("marginType", marginType="ISOLATED") == -4047
    alice.signed("DELETE", "/fapi/v1/allOpenOrders", symbol=CODE)
    assert ask("marginType", marginType="ISOLATED") == 200
    assert ask("leverage", leverage=10) == {
        "leverage": 10, "maxNotionalValue": "150000000", "symbol": CODE,
    }  # fmt: skip
    order(alice, "BUY", "MARKET", quantity="1")
    assert ask("marginType", marginType="CROSSED") == -4048
    assert ask("leverage", leverage=5) == -4161
    assert ask("leverage", leverage=126) == -4028
    assert ask("leverage", leverage=0) == -4028
    assert ask("leverage", leverage=20) != -4161
    assert ask("positionSide/dual", dualSidePosition="true") == -4084
    assert ask("positionSide/dual", dualSidePosition="false") == -4059


def test_brackets_bound_a_position_and_margin_bounds_a_leverage() -> None:
    """At 125x a position may be worth 50,000 (2024-10-24): 17 ETH are 51,000."""
    made = perpetuals(flat(20), futures=2_000.0)
    alice = RawClient(made)
    alice.signed("POST", "/fapi/v1/leverage", symbol=CODE, leverage=125)
    assert order(alice, "BUY", "MARKET", quantity="17")[1]["code"] == -2027
    assert order(alice, "BUY", "MARKET", quantity="16")[0] == 200
    lower = alice.signed("POST", "/fapi/v1/leverage", symbol=CODE, leverage=10)
    assert lower[1]["code"] == -2028
    assert position(alice)["leverage"] == "125"


def test_margin_is_moved_into_and_out_of_an_isolated_position() -> None:
    """1 ETH at 10x sets 300.015 aside; 100 more lower the liquidation price by about 100."""
    made = perpetuals(flat(20))
    alice = RawClient(made)

    def move(amount: str, kind: int) -> object:
        params = {"symbol": CODE, "amount": amount, "type": kind}
        return alice.signed("POST", "/fapi/v1/positionMargin", **params)[1]["code"]

    assert move("100", 1) == -4049
    alice.signed("POST", "/fapi/v1/leverage", symbol=CODE, leverage=10)
    alice.signed("POST", "/fapi/v1/marginType", symbol=CODE, marginType="ISOLATED")
    assert move("100", 1) == -4054
    order(alice, "BUY", "MARKET", quantity="1")
    before = position(alice)
    assert before["isolatedWallet"] == "300.01500000"
    assert move("0", 1) == -4055
    assert move("100", 1) == 200
    after = position(alice)
    assert after["isolatedWallet"] == "400.01500000"
    moved = float(before["liquidationPrice"]) - float(after["liquidationPrice"])
    assert moved == pytest.approx(100 / 0.996, rel=1e-6)
    assert move("200", 2) == -4051
    assert move("99", 2) == 200
    assert move("99999", 1) == -4050


def test_margin_of_open_orders_cannot_be_moved() -> None:
    """Of 10,000 a bid binds 2,900 * 60 / 20 = 8,700: 1,300 less the position's own are free."""
    made = perpetuals(flat(20))
    alice = RawClient(made)
    alice.signed("POST", "/fapi/v1/marginType", symbol=CODE, marginType="ISOLATED")
    order(alice, "BUY", "MARKET", quantity="1")
    order(alice, "BUY", "LIMIT", quantity="60", price="2900", timeInForce="GTC")
    move = {"symbol": CODE, "amount": "1200", "type": 1}
    assert alice.signed("POST", "/fapi/v1/positionMargin", **move)[1]["code"] == -4050
    alice.signed("DELETE", "/fapi/v1/allOpenOrders", symbol=CODE)
    assert alice.signed("POST", "/fapi/v1/positionMargin", **move)[1]["code"] == 200


def test_an_isolated_order_whose_margin_was_lost_expires() -> None:
    """A bid binds 8,700 of 10,000; closing BTC 10 % lower leaves about 8,000: parts of it fill.

    Were all of it filled, the wallet would be below zero and the insurance fund would pay.
    """
    eth = glide([3000, 3000, 2880], 30)
    btc = glide([60_000, 54_000, 54_000], 30, BTC_PERP)
    made = perpetuals(eth, btc)
    alice = RawClient(made)
    alice.signed("POST", "/fapi/v1/marginType", symbol=CODE, marginType="ISOLATED")
    bid = {"quantity": "60", "price": "2900", "timeInForce": "GTC"}
    assert order(alice, "BUY", "LIMIT", **bid)[1]["status"] == "NEW"
    assert order(alice, "BUY", "MARKET", symbol=BTC_CODE, quantity="0.33")[0] == 200
    step(made, 30 * MINUTE_MS)
    assert order(alice, "SELL", "MARKET", symbol=BTC_CODE, quantity="0.33")[0] == 200
    step(made, 30 * MINUTE_MS)
    found = get(alice, "/fapi/v1/allOrders", symbol=CODE)[0]
    assert found["status"] == "EXPIRED"
    assert float(found["executedQty"]) * 2900 / 20 < 8_050
    assert made.linear.house.insurance == 0.0
    assert float(get(alice, "/fapi/v3/account")["totalCrossWalletBalance"]) >= 0.0


def test_quantities_stay_on_their_grid() -> None:
    """0.1 + 0.1 + 0.1 is 0.3, not the 0.30000000000000004 of float64."""
    made = perpetuals(flat(20))
    alice = RawClient(made)
    for _ in range(3):
        order(alice, "BUY", "MARKET", quantity="0.1")
    assert made.linear.seats["alice"].positions[0, 0] == 0.3
    order(alice, "SELL", "MARKET", quantity="0.3")
    assert made.linear.seats["alice"].is_flat


def test_a_loss_beyond_the_wallet_is_the_insurance_funds() -> None:
    """The last price is 300 below the mark: whoever sells there with 200 is left with nothing.

    Bought at 3,000.15, sold at 2,699.86: 300.29 and fees of 2.85 are 103.14 more than 200.
    """
    candles = legs([3000, 3000, 2700, 2700])
    mark = mark_as(candles, [3000] * 4)
    made = perpetuals(candles, contract=make_contract(candles, mark=mark), futures=200.0)
    alice = RawClient(made)
    order(alice, "BUY", "MARKET", quantity="1")
    step(made, 2 * MINUTE_MS)
    order(alice, "SELL", "MARKET", quantity="1")
    rows = get(alice, "/fapi/v1/income")
    assert rows[-1]["incomeType"] == "INSURANCE_CLEAR"
    assert float(rows[-1]["income"]) == pytest.approx(103.14, abs=0.1)
    assert sum(float(one["income"]) for one in rows) == pytest.approx(0.0, abs=1e-6)
    assert get(alice, "/fapi/v3/account")["totalWalletBalance"] == "0.00000000"
    assert abs(imbalance(made)) < 1e-8


def test_money_moves_between_the_wallets() -> None:
    """What is needed as margin stays; spot and futures add up."""
    made = perpetuals(flat(20))
    alice = RawClient(made)

    def move(kind: str, amount: str) -> tuple[int, object]:
        params = {"type": kind, "asset": "USDT", "amount": amount}
        status, found = alice.signed("POST", "/sapi/v1/asset/transfer", **params)
        return status, found.get("code")

    assert move("MAIN_ISOLATED_MARGIN", "500.5") == (400, -1130)  # there is no such wallet
    assert move("MAIN_UMFUTURE", "500.5") == (200, None)
    assert get(alice, "/fapi/v3/balance")[0]["balance"] == "10500.50000000"
    order(alice, "BUY", "MARKET", quantity="60")
    assert move("UMFUTURE_MAIN", "10000") == (400, -5013)
    most = get(alice, "/fapi/v3/account")["maxWithdrawAmount"]
    assert move("UMFUTURE_MAIN", most) == (200, None)
    assert move("MAIN_UMFUTURE", "2000000") == (400, -5013)
    spot = get(alice, "/api/v3/account")["balances"]
    free = next(float(one["free"]) for one in spot if one["asset"] == "USDT")
    assert free == pytest.approx(1_000_000 - 500.5 + float(most), abs=1e-8)
    assert abs(imbalance(made)) < 1e-7


def test_batches_answer_each_order_for_itself_and_orders_can_be_changed() -> None:
    """One of two is refused; the other is moved to another price under the same number."""
    made = perpetuals(flat(20))
    alice = RawClient(made)
    shape = {"symbol": CODE, "side": "BUY", "quantity": "1", "price": "2900", "timeInForce": "GTC"}
    two = [shape | {"type": kind} for kind in ("LIMIT", "STOP")]
    batch = quote(json.dumps(two))
    _, answers = alice.signed("POST", "/fapi/v1/batchOrders", batchOrders=batch)
    assert (answers[0]["status"], answers[1]["code"]) == ("NEW", -4120)
    change = {"symbol": CODE, "orderId": 1, "side": "BUY", "quantity": "2", "price": "2890"}
    assert alice.signed("PUT", "/fapi/v1/order", **change)[1]["price"] == "2890.00000000"
    assert alice.signed("PUT", "/fapi/v1/order", **change)[1]["code"] == -5027
    too_much = change | {"quantity": "99"}
    assert alice.signed("PUT", "/fapi/v1/order", **too_much)[1]["code"] == -2019
    assert get(alice, "/fapi/v1/openOrder", symbol=CODE, orderId=1)["origQty"] == "2.00000000"
    query = {"symbol": CODE, "orderIdList": "[1,7]"}
    gone = alice.signed("DELETE", "/fapi/v1/batchOrders", **query)[1]
    assert (gone[0]["status"], gone[1]["code"]) == ("CANCELED", -2011)


def test_spot_and_futures_of_one_code_do_not_meet() -> None:
    """Both are ETHUSDT: each has its own orders, numbers, book and trades."""
    made = perpetuals(flat(20), wavy(20))
    assert {market.symbol for market in made.all_markets} == {PERP, "ETH/USDT"}
    alice = RawClient(made)
    order(alice, "BUY", "LIMIT", quantity="1", price="2900", timeInForce="GTC")
    assert alice.signed("GET", "/api/v3/openOrders")[1] == []
    alice.order("BUY", "LIMIT", quantity="2", price="2901", timeInForce="GTC")
    assert [one["origQty"] for one in get(alice, "/fapi/v1/openOrders")] == ["1.00000000"]
