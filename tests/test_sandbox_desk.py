"""The sandbox's matching: price, then time, partial fills, stops, and balances that add up."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sandbox_clients import (
    KEY,
    KEY_BOB,
    SECRET,
    SECRET_BOB,
    START_MS,
    RawClient,
    bars,
    exchange,
    market,
    step,
    wavy,
)

from seawall.sandbox.clock import STEPPED, Clock
from seawall.sandbox.decimals import ONE, parse_decimal, to_text
from seawall.sandbox.exchange import Exchange, Settings
from seawall.sandbox.market import Liquidity, Terms
from seawall.units import HOUR_MS, MINUTE_MS

FALLING = bars([(3000, 3001, 2990, 2991, 120.0), (2991, 2992, 2950, 2955, 120.0)])
THIN = Liquidity(participation=0.1, n_prints=12)


def totals(made: Exchange) -> Counter[str]:
    """Return what accounts, the other side and the fees hold together, by asset."""
    found: Counter[str] = Counter()
    for account in made.accounts.by_name.values():
        for asset, balance in account.balances.items():
            found[asset] += balance.total
    for counter in (made.spot.house, made.spot.fees):
        for asset, units in counter.items():
            found[asset] += units
    return found


def test_a_resting_order_fills_when_the_path_crosses_it() -> None:
    """A bid at 2,980 waits through the first bar (low 2,990) and fills in the second, as maker."""
    made = exchange(FALLING)
    alice = RawClient(made)
    _, order = alice.order("BUY", "LIMIT", quantity="1.5", price="2980", timeInForce="GTC")
    assert order["status"] == "NEW"
    step(made, MINUTE_MS - 1)
    assert alice.signed("GET", "/api/v3/order", symbol="ETHUSDT", orderId=1)[1]["status"] == "NEW"
    step(made, MINUTE_MS)
    _, found = alice.signed("GET", "/api/v3/order", symbol="ETHUSDT", orderId=1)
    assert (found["status"], found["executedQty"]) == ("FILLED", "1.50000000")
    trades = alice.signed("GET", "/api/v3/myTrades", symbol="ETHUSDT")[1]
    assert {(trade["price"], trade["isMaker"]) for trade in trades} == {("2980.00000000", True)}


def test_touching_a_price_does_not_fill_it() -> None:
    """A bid at the day's low keeps waiting: the made ask is half a spread above it."""
    made = exchange(FALLING)
    alice = RawClient(made)
    alice.order("BUY", "LIMIT", quantity="1", price="2950", timeInForce="GTC")
    step(made, HOUR_MS)
    assert len(alice.signed("GET", "/api/v3/openOrders")[1]) == 1


def test_fills_are_limited_by_the_volume_that_trades() -> None:
    """A tenth of each print: 120 ETH in 12 prints give about 1 ETH each, so 50 ETH come in parts.

    All prints together give at most 12 ETH; the order is filled by less than that.
    """
    made = exchange(FALLING, liquidity=THIN)
    alice = RawClient(made)
    alice.order("BUY", "LIMIT", quantity="50", price="2985", timeInForce="GTC")
    step(made, HOUR_MS)
    found = alice.signed("GET", "/api/v3/order", symbol="ETHUSDT", orderId=1)[1]
    trades = alice.signed("GET", "/api/v3/myTrades", symbol="ETHUSDT")[1]
    assert found["status"] == "PARTIALLY_FILLED"
    assert 0 < float(found["executedQty"]) <= 12.0
    assert len(trades) > 1
    assert sum(float(trade["qty"]) for trade in trades) == pytest.approx(
        float(found["executedQty"])
    )


def test_the_better_price_comes_first_and_then_the_earlier_order() -> None:
    """Bob's 2,985 is met before Alice's 2,984; of two at 2,984 hers, which came first."""
    made = exchange(FALLING, liquidity=THIN)
    alice, bob = RawClient(made), RawClient(made, KEY_BOB, SECRET_BOB)
    alice.order("BUY", "LIMIT", quantity="0.5", price="2984", timeInForce="GTC")
    bob.order("BUY", "LIMIT", quantity="0.5", price="2985", timeInForce="GTC")
    bob.order("BUY", "LIMIT", quantity="0.5", price="2984", timeInForce="GTC")
    met: list[tuple[str, int]] = []
    made.spot.reports.append(
        lambda account, order, kind, _trade: (
            met.append((account.name, order.order_id)) if kind == "TRADE" else None
        )
    )
    step(made, HOUR_MS)
    first_seen = list(dict.fromkeys(met))
    assert first_seen == [("bob", 2), ("alice", 1), ("bob", 3)]


def test_two_accounts_trade_with_each_other_inside_the_spread() -> None:
    """Alice asks 3,000.05 between the made quotes; Bob's market order takes hers first.

    The book's best ask is 3,000.15. Alice pays the maker fee in USDT, Bob the taker fee in ETH.
    """
    made = exchange(FALLING)
    alice, bob = RawClient(made), RawClient(made, KEY_BOB, SECRET_BOB)
    alice.order("SELL", "LIMIT", quantity="1", price="3000.05", timeInForce="GTC")
    _, order = bob.order("BUY", "MARKET", quantity="1.5")
    assert [(fill["price"], fill["qty"]) for fill in order["fills"]] == [
        ("3000.05000000", "1.00000000"),
        ("3000.15000000", "0.50000000"),
    ]
    assert order["fills"][0]["commission"] == "0.00100000"
    trade = alice.signed("GET", "/api/v3/myTrades", symbol="ETHUSDT")[1][0]
    assert (trade["commission"], trade["commissionAsset"]) == ("3.00005000", "USDT")
    assert trade["id"] == order["fills"][0]["tradeId"]


def test_an_account_does_not_trade_with_itself() -> None:
    """Its resting order expires instead; the rest of the book serves the new one."""
    made = exchange(FALLING)
    alice = RawClient(made)
    alice.order("SELL", "LIMIT", quantity="1", price="3000.05", timeInForce="GTC")
    _, order = alice.order("BUY", "MARKET", quantity="1")
    assert order["fills"][0]["price"] == "3000.15000000"
    old = alice.signed("GET", "/api/v3/order", symbol="ETHUSDT", orderId=1)[1]
    assert old["status"] == "EXPIRED_IN_MATCH"


def test_takers_eat_the_levels_until_the_next_print() -> None:
    """The second market order at one moment pays more than the first; a print refills."""
    made = exchange(FALLING, liquidity=Liquidity(level_notional=3_000.0, step_bps=10.0))
    alice = RawClient(made)
    prices = []
    for _ in range(2):
        _, order = alice.order("BUY", "MARKET", quantity="2")
        prices.append(float(order["cummulativeQuoteQty"]) / 2)
    assert prices[1] > prices[0]
    depth = alice.public("/api/v3/depth", symbol="ETHUSDT")
    assert float(depth["asks"][0][0]) > 3000.15
    step(made, 5_000)
    fresh = alice.public("/api/v3/depth", symbol="ETHUSDT")
    assert float(fresh["asks"][0][0]) < float(depth["asks"][0][0])


def test_what_the_book_cannot_give_expires() -> None:
    """IOC takes what is there, FOK all or nothing, a market order ends where the book does."""
    made = exchange(FALLING, liquidity=Liquidity(level_notional=3_000.0, n_levels=2))
    alice = RawClient(made)
    base = {"quantity": "50", "price": "3010"}
    _, ioc = alice.order("BUY", "LIMIT", timeInForce="IOC", **base)
    assert ioc["status"] == "EXPIRED"
    assert 0 < float(ioc["executedQty"]) < 5
    step(made, 5_000)
    _, fok = alice.order("BUY", "LIMIT", timeInForce="FOK", **base)
    assert (fok["status"], fok["executedQty"], fok["fills"]) == ("EXPIRED", "0.00000000", [])
    _, market_order = alice.order("BUY", "MARKET", quantity="50")
    assert market_order["status"] == "EXPIRED"
    assert 0 < float(market_order["executedQty"]) < 5
    assert not any(balance.locked for balance in made.accounts.by_name["alice"].balances.values())


def test_a_better_price_frees_what_it_saves() -> None:
    """Of 3 ETH at 3,010 the two levels at 3,000.15 and 3,001.50 or so give some; the rest rests.

    It locks 3,010 for each ETH that is left, and what the fills were cheaper by is free again.
    """
    made = exchange(FALLING, liquidity=Liquidity(level_notional=3_000.0, n_levels=2))
    _, order = RawClient(made).order("BUY", "LIMIT", quantity="3", price="3010", timeInForce="GTC")
    assert order["status"] == "PARTIALLY_FILLED"
    left = 3.0 - float(order["executedQty"])
    money = made.accounts.by_name["alice"].balance("USDT")
    assert money.locked == round(left * 3010 * ONE)
    paid = parse_decimal(order["cummulativeQuoteQty"])
    assert paid is not None
    assert money.free == 1_000_000 * ONE - paid - money.locked


def test_a_market_order_can_name_what_it_spends() -> None:
    """1,000 USDT at 3,000.15 buy 0.3333 ETH, on the lot; the rest of the money stays."""
    made = exchange(FALLING)
    _, order = RawClient(made).order("BUY", "MARKET", quoteOrderQty="1000")
    assert (order["status"], order["executedQty"]) == ("FILLED", "0.33330000")
    assert order["cummulativeQuoteQty"] == "999.94999500"
    assert made.accounts.by_name["alice"].balance("USDT").locked == 0


@pytest.mark.parametrize(
    ("side", "kind", "extra", "price"),
    [
        ("SELL", "STOP_LOSS", {}, 2980),
        ("SELL", "STOP_LOSS_LIMIT", {"price": "2900", "timeInForce": "GTC"}, 2980),
        ("BUY", "TAKE_PROFIT", {}, 2980),
        ("BUY", "TAKE_PROFIT_LIMIT", {"price": "2990", "timeInForce": "GTC"}, 2980),
    ],
)
def test_a_stop_waits_for_its_trigger(
    side: str, kind: str, extra: dict[str, str], price: int
) -> None:
    """It locks its money, works when the last price reaches the trigger, and fills near it."""
    made = exchange(FALLING)
    alice = RawClient(made)
    status, order = alice.order(side, kind, quantity="1", stopPrice=str(price), **extra)
    assert status == 200
    waiting = alice.signed("GET", "/api/v3/order", symbol="ETHUSDT", orderId=order["orderId"])[1]
    assert (waiting["status"], waiting["isWorking"]) == ("NEW", False)
    step(made, HOUR_MS)
    found = alice.signed("GET", "/api/v3/order", symbol="ETHUSDT", orderId=order["orderId"])[1]
    assert (found["status"], found["isWorking"]) == ("FILLED", True)
    paid = float(found["cummulativeQuoteQty"])
    assert price - 8 < paid < price + 1


def test_a_triggered_stop_that_cannot_be_paid_expires() -> None:
    """A stop-buy locks at its trigger; what the gap above costs more has to be free."""
    rising = bars([(3000, 3001, 2999, 3000, 50.0), (3300, 3310, 3290, 3300, 50.0)])
    made = exchange(rising)
    alice = RawClient(made)
    made.accounts.by_name["alice"].balance("USDT").free = 3100 * ONE
    alice.order("BUY", "STOP_LOSS", quantity="1", stopPrice="3050")
    step(made, HOUR_MS)
    found = alice.signed("GET", "/api/v3/order", symbol="ETHUSDT", orderId=1)[1]
    assert found["status"] == "EXPIRED"
    assert made.accounts.by_name["alice"].balance("USDT").free == 3100 * ONE


def test_orders_share_what_a_print_gives() -> None:
    """Two accounts with three orders together get no more of a print than its tenth."""
    made = exchange(FALLING, liquidity=THIN)
    alice, bob = RawClient(made), RawClient(made, KEY_BOB, SECRET_BOB)
    for client, price in ((alice, "2985"), (bob, "2985"), (alice, "2984")):
        client.order("BUY", "LIMIT", quantity="5", price=price, timeInForce="GTC")
    step(made, HOUR_MS)
    got: Counter[int] = Counter()
    for name in ("alice", "bob"):
        for trade in made.accounts.by_name[name].history("ETHUSDT").trades:
            got[trade.time_ms] += trade.quantity
    printed = {
        one.time_ms: one.quantity for bar in (0, 1) for one in made.all_markets[0].tape.bar(bar)
    }
    assert len(got) > 2
    for time_ms, quantity in got.items():
        assert quantity <= printed[time_ms] // 10


@settings(max_examples=25, deadline=None)
@given(
    cents=st.lists(st.integers(-900, 900), min_size=1, max_size=4),
    stop=st.integers(-900, 900),
    seed=st.integers(0, 99),
    step_ms=st.sampled_from([777, 5_000, 61_000, 400_000]),
)
@pytest.mark.slow
def test_when_the_market_is_looked_at_changes_nothing(
    cents: list[int], stop: int, seed: int, step_ms: int
) -> None:
    """One step of forty minutes and many short ones: the same fills at the same times."""
    results = []
    for each_ms in (40 * MINUTE_MS, step_ms):
        begin_ms = START_MS + 5 * MINUTE_MS  # at 3,021: bids below rest
        made = exchange(wavy(50), liquidity=THIN, seed=seed, start_ms=begin_ms)
        alice = RawClient(made)
        for away in cents:
            side, price = ("BUY" if away < 0 else "SELL"), f"{3012 + away * 0.015:.2f}"
            alice.order(side, "LIMIT", quantity="3", price=price, timeInForce="GTC")
        alice.order("SELL", "STOP_LOSS", quantity="1", stopPrice=f"{2999 + stop / 100:.2f}")
        for now_ms in range(0, 40 * MINUTE_MS, each_ms):
            step(made, min(each_ms, 40 * MINUTE_MS - now_ms))
        book = made.spot.books["ETHUSDT"]
        trades = list(made.accounts.by_name["alice"].history("ETHUSDT").trades)
        results.append((trades, book.update_id, book.quotes()))
    assert results[0] == results[1]


_KINDS = ["MARKET", "QUOTE", "GTC", "IOC", "FOK", "LIMIT_MAKER", "STOP", "OCO", "CANCEL"]
_ACTIONS = st.tuples(
    st.sampled_from(["alice", "bob"]),
    st.sampled_from(["BUY", "SELL"]),
    st.sampled_from(_KINDS),
    st.integers(1, 3000),  # quantity in hundredths
    st.integers(-300, 300),  # limit, in tenths of a dollar from the last price
    st.sampled_from([0, 0, 1_000, 30_000, 120_000]),  # ms until it is sent
)


@settings(max_examples=60, deadline=None)
@given(actions=st.lists(_ACTIONS, min_size=1, max_size=40), seed=st.integers(0, 3))
def test_nothing_appears_or_vanishes(
    actions: list[tuple[str, str, str, int, int, int]], seed: int
) -> None:
    """After every order of a random stream all books add up; open orders lock what is locked."""
    thin = Liquidity(level_notional=9_000.0, n_levels=5, participation=0.1)
    made = exchange(wavy(100), liquidity=thin, seed=seed)
    clients = {"alice": RawClient(made), "bob": RawClient(made, KEY_BOB, SECRET_BOB)}
    before = totals(made)
    for name, side, kind, hundredths, tenths, wait_ms in actions:
        step(made, wait_ms)
        _act(clients[name], side, kind, f"{hundredths / 100:.2f}", tenths)
        assert totals(made) == before
        for account in made.accounts.by_name.values():
            locked: Counter[str] = Counter()
            for order in account.history("ETHUSDT").open.values():
                assert order.left > 0
                locked[order.locked_asset] += order.locked
                if order.is_working:
                    limit = order.price if order.is_buy else ONE
                    assert order.locked == -(-limit * order.left // ONE)
            for asset, balance in account.balances.items():
                assert balance.free >= 0
                assert balance.locked == locked[asset]


def _act(client: RawClient, side: str, kind: str, quantity: str, tenths: int) -> None:
    price = client.exchange.all_markets[0].price // (ONE // 100) / 100
    limit = f"{price + tenths / 10:.2f}"
    if kind == "CANCEL":
        client.signed("DELETE", "/api/v3/openOrders", symbol="ETHUSDT")
    elif kind == "MARKET":
        client.order(side, "MARKET", quantity=quantity)
    elif kind == "QUOTE":
        client.order(side, "MARKET", quoteOrderQty=f"{float(quantity) * 100:.2f}")
    elif kind == "STOP":
        client.order(side, "STOP_LOSS", quantity=quantity, stopPrice=limit)
    elif kind == "OCO":
        away = abs(tenths) / 10 + 0.05
        above, below = f"{price + away:.2f}", f"{price - away:.2f}"
        limit, stop = (above, below) if side == "SELL" else (below, above)
        pair = {"price": limit, "stopPrice": stop, "quantity": quantity}
        client.signed("POST", "/api/v3/order/oco", symbol="ETHUSDT", side=side, **pair)
    elif kind == "LIMIT_MAKER":
        client.order(side, "LIMIT_MAKER", quantity=quantity, price=limit)
    else:
        client.order(side, "LIMIT", quantity=quantity, price=limit, timeInForce=kind)


def test_the_same_seed_gives_the_same_book() -> None:
    """Depth is drawn from the seed: equal with it, other sizes without it."""
    books = [
        RawClient(exchange(FALLING, seed=seed)).public("/api/v3/depth", symbol="ETHUSDT")
        for seed in (1, 1, 2)
    ]
    assert books[0] == books[1]
    assert books[0] != books[2]
    for side in ("bids", "asks"):
        sizes = [parse_decimal(size) for _, size in books[0][side]]
        assert len(sizes) == 50
        assert all(size and size % (ONE // 10_000) == 0 for size in sizes)


def test_a_long_memory_is_bounded() -> None:
    """Only the last orders that are over are kept; open ones never go."""
    made = exchange(FALLING, settings=Settings(kept=5, limits=None))
    alice = RawClient(made)
    alice.order("BUY", "LIMIT", quantity="1", price="2000", timeInForce="GTC")
    for i in range(20):
        alice.order("BUY" if i % 2 else "SELL", "MARKET", quantity="0.1")
    history = made.accounts.by_name["alice"].history("ETHUSDT")
    assert sorted(history.orders) == [1, 17, 18, 19, 20, 21]
    assert len(history.trades) == 5
    assert made.clock.now_ms() == START_MS


def test_a_market_buy_needs_no_more_than_it_will_pay() -> None:
    """On a grid finer than 1e-8 of quote each fill is rounded down, and so is what is asked for.

    Ticks of 0.0001 and lots of 0.000001: whoever has the sum of the rounded parts can buy, whoever
    has one unit less cannot.
    """
    fine = Terms(tick=ONE // 10_000, lot=ONE // 1_000_000, min_notional=1)
    thin = Liquidity(level_notional=2.0, spread_bps=0.01, step_bps=0.01)
    listed = market(FALLING, liquidity=thin, terms=fine)
    for missing, status in ((0, 200), (1, 400)):
        made = Exchange(Clock(START_MS, speed=STEPPED), [listed], settings=Settings(limits=None))
        asks = made.spot.books["ETHUSDT"].quotes()[1]
        wanted = asks[0][1] + asks[1][1] + 7 * fine.lot
        parts = [asks[0], asks[1], (asks[2][0], 7 * fine.lot)]
        cost = sum(price * size // ONE for price, size in parts)
        exact = sum(price * size for price, size in parts) / ONE
        assert cost < exact
        account = made.open_account("alice", key=KEY, secret=SECRET, balances={})
        account.balance("USDT").free = cost - missing
        answer = RawClient(made).order("BUY", "MARKET", quantity=to_text(wanted))
        assert answer[0] == status, answer
        if not missing:
            assert account.balance("USDT").total == 0
