"""Accounts on the sandbox's mark: liquidation as the kernels do it, funding, adding up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_sandboxes import (
    BTC_CODE,
    BTC_PERP,
    CODE,
    PERP,
    algo,
    flat,
    funding,
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
    START_MS,
    RawClient,
    step,
    wavy,
)

from seawall.market.brackets import find_shipped
from seawall.sandbox.contract import make_contract
from seawall.sandbox.decimals import ONE
from seawall.sandbox.exchange import Exchange
from seawall.units import DAY_MS, HOUR_MS, MINUTE_MS, to_time_ms
from seawall.venues.perpetual import layout, liquidation, margin


def isolate(client: RawClient, leverage: int) -> None:
    """Choose isolated margin and a leverage."""
    client.signed("POST", "/fapi/v1/marginType", symbol=CODE, marginType="ISOLATED")
    client.signed("POST", "/fapi/v1/leverage", symbol=CODE, leverage=leverage)


def test_a_liquidation_is_the_kernels_at_the_price_that_was_shown() -> None:
    """The same account, liquidated by the kernel at ``liquidationPrice``, ends the same to 1e-8.

    A long of 30 ETH at 20x, isolated: all of it is in the second bracket, closed in two steps.
    """
    made = perpetuals(glide([3000, 2800], 40))
    alice = RawClient(made)
    isolate(alice, 20)
    order(alice, "BUY", "MARKET", quantity="30")
    shown = float(position(alice)["liquidationPrice"])
    seat, desk = made.linear.seats["alice"], made.linear
    wallet, held = seat.wallet.copy(), seat.positions.copy()
    mark = margin.find_liquidation_price(wallet, held, 0, desk.marks, desk.tables)
    assert mark == pytest.approx(shown, abs=1e-8)
    events = np.zeros((20, layout.N_EVENT))
    n = liquidation.liquidate(wallet, held, 0, np.array([mark]), desk.tables, desk.terms, events, 0)
    step(made, 40 * MINUTE_MS)
    forced = get(alice, "/fapi/v1/forceOrders")
    assert len(forced) == n
    assert forced[0]["clientOrderId"].startswith("autoclose-")
    assert float(forced[0]["avgPrice"]) == pytest.approx(mark, abs=1e-7)
    assert sum(float(one["executedQty"]) for one in forced) == pytest.approx(
        float(np.abs(events[:n, layout.CLOSED]).sum())
    )
    assert not held[0, layout.QUANTITY]
    assert seat.wallet == pytest.approx(wallet, abs=1e-6)
    assert abs(imbalance(made)) < 1e-6


def test_a_last_price_alone_liquidates_nobody() -> None:
    """The last price falls by 10 %, the mark does not: 20x survives; the other way round not."""
    for last, mark, is_alive in (
        ([3000, 3000, 2700, 3000], [3000, 3000, 2990, 3000], True),
        ([3000, 3000, 2990, 3000], [3000, 3000, 2700, 3000], False),
    ):
        candles = legs(last)
        made = perpetuals(candles, contract=make_contract(candles, mark=mark_as(candles, mark)))
        alice = RawClient(made)
        isolate(alice, 20)
        order(alice, "BUY", "MARKET", quantity="1")
        step(made, 3 * MINUTE_MS)
        assert (position(alice)["positionAmt"] == "1.00000000") is is_alive


def test_a_gap_is_liquidated_at_its_open_and_costs_no_more_than_the_margin() -> None:
    """3,000 then 2,000: the margin of 150 is gone, the insurance fund pays the rest."""
    made = perpetuals(flat(2), futures=10_000.0)
    alice = RawClient(made)
    isolate(alice, 20)
    order(alice, "BUY", "MARKET", quantity="1")
    made.all_markets[0].gap(2 / 3)
    step(made, 2 * MINUTE_MS)
    fee = 3000.15 * 0.0005
    wallet = float(get(alice, "/fapi/v3/balance")[0]["balance"])
    assert wallet == pytest.approx(10_000 - fee - 3000.15 / 20, abs=1e-3)
    kinds = [one["incomeType"] for one in get(alice, "/fapi/v1/income")]
    assert kinds.count("INSURANCE_CLEAR") == 2
    assert made.linear.house.insurance < -800
    assert abs(imbalance(made)) < 1e-6


def test_a_cross_account_loses_its_orders_first_and_is_never_below_zero() -> None:
    """Two positions and a resting bid on one wallet; the crash takes what it needs of both."""
    eth, btc = glide([3000, 2500], 60), glide([60_000, 52_000], 60, BTC_PERP)
    made = perpetuals(eth, btc, futures=3_000.0)
    alice = RawClient(made)
    order(alice, "BUY", "MARKET", quantity="6")
    order(alice, "BUY", "MARKET", symbol=BTC_CODE, quantity="0.3")
    order(alice, "BUY", "LIMIT", quantity="0.1", price="1000", timeInForce="GTC")
    stop = {"triggerPrice": "1500", "quantity": "1", "reduceOnly": "true"}
    algo(alice, "SELL", "STOP_MARKET", **stop)
    step(made, 60 * MINUTE_MS)
    assert len(get(alice, "/fapi/v1/forceOrders")) >= 2
    assert get(alice, "/fapi/v1/openOrders") == []
    assert get(alice, "/fapi/v1/openAlgoOrders") == []
    account = get(alice, "/fapi/v3/account")
    assert float(account["totalMarginBalance"]) >= 0
    assert abs(imbalance(made)) < 1e-6


def test_funding_is_settled_at_its_stamps_on_what_is_held() -> None:
    """Three stamps at 0.01 %, -0.02 % and 0.05 % of 2 * 3,000: 0.6, -1.2 and 3.0 for a long.

    What Alice pays Bob, who is short, receives; before the first stamp nobody has paid.
    """
    candles = flat(3 * 8 * 60 + 30)
    rates = funding([0.0001, -0.0002, 0.0005], first_ms=START_MS + 8 * HOUR_MS)
    contract = make_contract(candles, mark=mark_as(candles, [3000.0] * (len(candles) + 1)),
                             funding=rates)  # fmt: skip
    made = perpetuals(candles, contract=contract)
    alice, bob = RawClient(made), RawClient(made, KEY_BOB, SECRET_BOB)
    order(bob, "SELL", "LIMIT", quantity="2", price="3000.05", timeInForce="GTX")
    order(alice, "BUY", "MARKET", quantity="2")
    step(made, 8 * HOUR_MS - 1)
    assert get(alice, "/fapi/v1/income", incomeType="FUNDING_FEE") == []
    step(made, 17 * HOUR_MS)
    paid = get(alice, "/fapi/v1/income", incomeType="FUNDING_FEE", symbol=CODE)
    assert [one["income"] for one in paid] == ["-0.60000000", "1.20000000", "-3.00000000"]
    assert [one["time"] for one in paid] == rates.time_ms.tolist()
    got = get(bob, "/fapi/v1/income", incomeType="FUNDING_FEE")
    assert [float(one["income"]) for one in got] == [0.6, -1.2, 3.0]
    assert made.linear.house.funding == pytest.approx(0.0, abs=1e-12)
    shown = alice.public("/fapi/v1/fundingRate", symbol=CODE)
    assert [one["fundingRate"] for one in shown] == ["0.00010000", "-0.00020000", "0.00050000"]
    assert alice.public("/fapi/v1/premiumIndex", symbol=CODE)["lastFundingRate"] == "0.00050000"


def test_isolated_funding_is_paid_from_the_positions_margin() -> None:
    """A long of 1 at 10x holds 300.015; 1 % of 3,000 leaves 270.015."""
    candles = flat(9 * 60)
    rates = funding([0.01], first_ms=START_MS + 8 * HOUR_MS)
    contract = make_contract(candles, mark=mark_as(candles, [3000.0] * (len(candles) + 1)),
                             funding=rates)  # fmt: skip
    made = perpetuals(candles, contract=contract)
    alice = RawClient(made)
    isolate(alice, 10)
    order(alice, "BUY", "MARKET", quantity="1")
    step(made, 9 * HOUR_MS)
    assert position(alice)["isolatedWallet"] == "270.01500000"


def test_the_mark_is_served_as_its_source_has_it() -> None:
    """Klines of the mark equal the series to the bit, and at every print it is inside its bar."""
    candles = wavy(120, PERP)
    points = [2990 + (i * 53 % 89) / 8 for i in range(121)]
    mark = mark_as(candles, points)
    made = perpetuals(candles, contract=make_contract(candles, mark=mark))
    market, alice = made.all_markets[0], RawClient(made)
    order(alice, "BUY", "MARKET", quantity="1")
    for _ in range(600):
        step(made, 7_000)
        low, high = mark.low[market.bar], mark.high[market.bar]
        assert low - 1e-8 <= market.mark_price / ONE <= high + 1e-8
        assert made.linear.marks[0] == market.mark_price / ONE
    rows = alice.public("/fapi/v1/markPriceKlines", symbol=CODE, interval="1m", limit=1500)
    for i, name in enumerate(("open", "high", "low", "close"), start=1):
        served = np.array([float(row[i]) for row in rows[:-1]])
        assert np.array_equal(served, getattr(mark, name)[: len(served)]), name


def test_brackets_change_on_their_day() -> None:
    """The table of 2026-09-29 is in force from then on; before it that of 2024-10-24 is."""
    tables = find_shipped("binance", PERP)
    assert len(tables) == 2
    day_ms = to_time_ms("2026-09-29")
    candles = flat(3 * 24)
    shift_ms = day_ms - DAY_MS - START_MS
    key = candles.key.__class__("candles", "test", PERP, "1h")
    hourly = candles.__class__(
        key=key, time_ms=START_MS + shift_ms + HOUR_MS * np.arange(len(candles)),
        open=candles.open, high=candles.high, low=candles.low, close=candles.close,
        volume=candles.volume,
    )  # fmt: skip
    made = perpetuals(hourly, contract=make_contract(hourly), start_ms=START_MS + shift_ms)
    alice = RawClient(made)
    before = get(alice, "/fapi/v1/leverageBracket", symbol=CODE)[0]["brackets"]
    assert before[0]["notionalCap"] == tables[0].tiers[0].cap
    order(alice, "BUY", "MARKET", quantity="1")
    step(made, 25 * HOUR_MS)
    after = get(alice, "/fapi/v1/leverageBracket", symbol=CODE)[0]["brackets"]
    assert [one["cum"] for one in after] == [tier.amount for tier in tables[1].tiers]
    assert made.linear.tables[0, 0, layout.CAP] == tables[1].tiers[0].cap


def seen(made: Exchange) -> list[object]:
    """Return everything that both accounts can see of their futures."""
    paths = ("v1/allOrders", "v1/allAlgoOrders", "v3/account", "v3/positionRisk", "v1/forceOrders")
    found: list[object] = []
    for client in (RawClient(made), RawClient(made, KEY_BOB, SECRET_BOB)):
        found += [get(client, f"/fapi/{path}") for path in paths]
        found.append(get(client, "/fapi/v1/income", limit=1000))
        found += [get(client, "/fapi/v1/userTrades", symbol=code) for code in made.linear.codes]
    return found


def crash(n_prints_seen: int) -> Exchange:
    """Return an exchange after a day of wild swings, looked at in steps of so many minutes."""
    eth, btc = wavy(300, PERP), wavy(300, BTC_PERP, 60_000.0)
    rates = funding([0.0003] * 6, first_ms=START_MS + HOUR_MS, interval="1h")
    made = perpetuals(eth, btc, contract=make_contract(eth, funding=rates), futures=2_000.0)
    alice, bob = RawClient(made), RawClient(made, KEY_BOB, SECRET_BOB)
    isolate(bob, 100)
    order(bob, "SELL", "MARKET", quantity="20")
    order(alice, "BUY", "MARKET", quantity="8")
    order(alice, "SELL", "MARKET", symbol=BTC_CODE, quantity="0.2")
    order(alice, "BUY", "LIMIT", quantity="1", price="2998.50", timeInForce="GTC")
    algo(alice, "SELL", "TRAILING_STOP_MARKET", callbackRate="0.5", quantity="2")
    algo(bob, "BUY", "STOP_MARKET", triggerPrice="3026", closePosition="true")
    left = 290 * MINUTE_MS
    while left > 0:
        step(made, min(left, n_prints_seen * MINUTE_MS))
        left -= n_prints_seen * MINUTE_MS
    return made


def test_when_the_exchange_is_asked_makes_no_difference() -> None:
    """One step of 290 minutes, or steps of 7 minutes: the same to the last digit."""
    whole, watched = crash(290), crash(7)
    assert seen(whole) == seen(watched)
    assert whole.linear.house.to_list() == pytest.approx(watched.linear.house.to_list())
    assert len(get(RawClient(whole), "/fapi/v1/income", incomeType="FUNDING_FEE")) == 4


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["market", "limit", "stop", "leverage", "isolate", "margin", "pay", "step"]
        ),
        st.sampled_from(["alice", "bob"]),
        st.sampled_from([CODE, BTC_CODE]),
        st.booleans(),
        st.integers(min_value=1, max_value=40),
    ),
    min_size=15,
    max_size=40,
)


def stormy() -> tuple[Exchange, dict[str, RawClient]]:
    """Return two markets that swing by 10 %, with heavy funding, and two accounts' clients."""
    eth = glide([3000, 2700, 3200, 2900], 60)
    btc = glide([60_000, 63_000, 55_000, 60_000], 60, BTC_PERP)
    rates = funding([0.001, -0.002, 0.003], first_ms=START_MS + HOUR_MS, interval="1h")
    made = perpetuals(eth, btc, contract=make_contract(eth, funding=rates), futures=3_000.0)
    return made, {"alice": RawClient(made), "bob": RawClient(made, KEY_BOB, SECRET_BOB)}


What = tuple[str, str, str, bool, int]


def act(made: Exchange, client: RawClient, what: What) -> None:
    """Do one thing of a random life; what the exchange refuses changes nothing."""
    kind, _, code, is_buy, size = what
    if kind == "step":
        step(made, size * MINUTE_MS)
    elif kind in {"market", "limit", "stop"}:
        send(made, client, what)
    elif kind == "leverage":
        client.signed("POST", "/fapi/v1/leverage", symbol=code, leverage=size * 3)
    elif kind == "isolate":
        mode = "ISOLATED" if is_buy else "CROSSED"
        client.signed("POST", "/fapi/v1/marginType", symbol=code, marginType=mode)
    elif kind == "margin":
        params = {"symbol": code, "amount": size, "type": 1 if is_buy else 2}
        client.signed("POST", "/fapi/v1/positionMargin", **params)
    else:
        way = "MAIN_UMFUTURE" if is_buy else "UMFUTURE_MAIN"
        params = {"type": way, "asset": "USDT", "amount": size * 10}
        client.signed("POST", "/sapi/v1/asset/transfer", **params)


def send(made: Exchange, client: RawClient, what: What) -> None:
    """Send an order, its price so many times 0.05 % from the market's."""
    kind, _, code, is_buy, size = what
    side, price = "BUY" if is_buy else "SELL", made.linear.markets[code].price / ONE
    reduces = "true" if size % 3 == 0 else "false"
    quantity = f"{size * (1.0 if code == CODE else 0.05):.3f}"
    shape = {"symbol": code, "quantity": quantity, "reduceOnly": reduces}
    away = 0.0005 * size * (1 if is_buy else -1)
    if kind == "market":
        order(client, side, "MARKET", **shape)
    elif kind == "limit":
        level = f"{price * (1 - away):.2f}"
        order(client, side, "LIMIT", price=level, timeInForce="GTC", **shape)
    else:
        algo(client, side, "STOP_MARKET", triggerPrice=f"{price * (1 + away):.2f}", **shape)


@settings(max_examples=40, deadline=None)
@given(ACTIONS)
@pytest.mark.slow
def test_nothing_appears_or_vanishes(actions: list[What]) -> None:
    """Equities, the other side, fees and insurance are what was paid in, whatever is done.

    Each wallet is the sum of its incomes, no equity is below zero, and what accounts hold in all is
    what the other side holds against them.
    """
    made, clients = stormy()
    for what in actions:
        act(made, clients[what[1]], what)
        assert abs(imbalance(made)) < 1e-5
    step(made, 180 * MINUTE_MS)
    assert abs(imbalance(made)) < 1e-5
    desk = made.linear
    for seat in desk.seats.values():
        assert seat.money == pytest.approx(sum(one.amount for one in seat.incomes), abs=1e-6)
        equity = margin.find_equity(seat.wallet, seat.positions, desk.marks)
        assert equity > -1e-6 or not seat.is_flat
    held = sum(seat.positions[:, layout.QUANTITY] for seat in desk.seats.values())
    assert desk.house.holdings == pytest.approx(-held, abs=1e-9)
    spot = sum(one.balance("USDT").total for one in made.accounts.by_name.values()) / ONE
    assert spot + desk.house.paid_in == pytest.approx(2_006_000, abs=1e-5)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(ACTIONS)
def test_no_life_depends_on_when_it_is_looked_at(actions: list[What]) -> None:
    """Whole steps, or quarters of them: the same orders, fills, incomes and positions."""
    lives = []
    for n in (1, 4):
        made, clients = stormy()
        for what in [*actions, ("step", "alice", CODE, True, 100)]:
            for _ in range(n if what[0] == "step" else 0):
                step(made, what[4] * MINUTE_MS // n)
            if what[0] != "step":
                act(made, clients[what[1]], what)
        lives.append(seen(made))
    assert lives[0] == lives[1]
