"""Orders as backtrader makes and copies them, without its machinery; and what they become."""

from typing import Any

import backtrader as bt
import pandas as pd
import pytest

from seawall.engine.broker import ExchangeBroker
from seawall.engine.cerebro import Cerebro
from seawall.engine.feed import ArrayFeed
from seawall.engine.orders import copy_order, make_order, to_venue_order
from seawall.venues.orders import FOREVER_MS, Book
from seawall.venues.parameters import SpotParameters

DAY_MS = 86_400_000


def make_feed(prices: list[float]) -> Any:
    """Return a feed of hourly bars, all four prices the same."""
    index = pd.date_range("2024-01-01", periods=len(prices), freq="1h")
    table = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), prices), index=index)
    return ArrayFeed.from_frame(table.assign(volume=1e6), symbol="ETH/USDT", timeframe="1h")


@pytest.fixture
def data() -> Any:
    """Return a feed that stands on its last bar, at 100."""
    cerebro = Cerebro()
    cerebro.adddata(make_feed([90.0, 100.0]))
    cerebro.addstrategy(bt.Strategy)
    return cerebro.run()[0].data


def make_book() -> Book:
    """Return a book that nobody has traded on."""
    return Book(
        symbol="ETH/USDT", base="ETH", parameters=SpotParameters(), read_price=lambda _: 100.0
    )


def attributes(thing: Any) -> dict[str, Any]:
    """Return all that an order or a part of it holds, but its number and feed."""
    names = {**vars(thing.p), **vars(thing)} if hasattr(thing, "p") else vars(thing)
    parts = (bt.OrderData, bt.OrderExecutionBit)
    return {
        name: attributes(value) if isinstance(value, parts) else value
        for name, value in names.items()
        if name not in {"ref", "data", "p", "params"}
    }


WISHES: list[dict[str, Any]] = [
    {},
    {"exectype": bt.Order.Limit, "price": 95.0, "tradeid": 3},
    {"exectype": bt.Order.StopLimit, "price": 105.0, "plimit": 106.0, "transmit": False},
    {"exectype": bt.Order.StopTrail, "trailpercent": 0.03},
    {"exectype": bt.Order.StopTrailLimit, "price": 100.0, "plimit": 101.0, "trailamount": 4.0},
    {"exectype": bt.Order.Stop, "price": 95.0, "valid": pd.Timestamp("2024-01-03").to_pydatetime()},
]


@pytest.mark.parametrize("kind", [bt.BuyOrder, bt.SellOrder])
@pytest.mark.parametrize("wishes", WISHES, ids=str)
def test_an_order_is_what_backtrader_makes(
    kind: type[bt.Order], wishes: dict[str, Any], data: Any
) -> None:
    """Every attribute and parameter is the same, whichever way it was made."""
    settings = {name: value for name, value in wishes.items() if name != "plimit"}
    theirs = kind(data=data, size=2.0, pricelimit=wishes.get("plimit"), **settings)
    ours = make_order(kind, None, data, 2.0, {**wishes, "client_id": "mine"})
    assert ours.info.pop("client_id") == "mine"
    assert attributes(ours) == attributes(theirs)
    assert ours.data is theirs.data is ours.p.data
    for name in set(vars(theirs.p)) - {"data"}:
        assert getattr(ours.p, name) == getattr(theirs.p, name)
        assert getattr(ours, name) == getattr(theirs, name)


def test_a_copy_is_what_backtrader_clones(data: Any) -> None:
    """Two fills, a copy after each: the copy holds both, and tells of the new one alone."""
    pairs = []
    for copy in (copy_order, bt.Order.clone):
        order = make_order(bt.BuyOrder, None, data, 2.0, {})
        order.ref = 1
        copies = []
        for price in (100.0, 102.0):
            order.execute(1.0, 1.0, price, 0, 0.0, 0.0, 1.0, price, 0.1, None, 0.0, 1.0, price)
            copies.append(copy(order))
        pairs.append(copies)
    for ours, theirs in zip(*pairs, strict=True):
        mine, yours = attributes(ours), attributes(theirs)
        for part in (mine["executed"], yours["executed"]):
            part["exbits"] = [vars(bit) for bit in part["exbits"]]
        assert mine == yours
        assert [vars(bit) for bit in ours.executed.iterpending()] == [
            vars(bit) for bit in theirs.executed.iterpending()
        ]
    assert pairs[0][0].status == bt.Order.Partial
    assert [bit.price for bit in pairs[0][1].executed.iterpending()] == [102.0]


def test_an_order_keeps_what_it_was_asked(data: Any) -> None:
    """Side, size, prices and wishes of a stop-limit arrive at the exchange; others stay unset."""
    wishes = {"reason": "breakout", "post_only": True, "time_in_force": "ioc"}
    arguments = {"exectype": bt.Order.StopLimit, "price": 105.0, "plimit": 106.0, **wishes}
    order = to_venue_order(
        make_order(bt.SellOrder, None, data, 2.0, arguments), wishes, make_book(), None
    )
    assert (order.type, order.side, order.quantity) == ("stop_limit", -1.0, 2.0)
    assert (order.stop_price, order.limit_price) == (105.0, 106.0)
    assert (order.reason, order.post_only, order.time_in_force) == ("breakout", True, "ioc")
    assert order.good_until_ms == FOREVER_MS


def test_an_order_ends_when_it_was_told(data: Any) -> None:
    """``valid`` on 3 January, and the exchange's own word for it, which wins."""
    until = pd.Timestamp("2024-01-03")
    until_ms = int(until.timestamp() * 1_000)
    arguments = {"valid": until.to_pydatetime()}
    order = make_order(bt.BuyOrder, None, data, 2.0, arguments)
    assert to_venue_order(order, {}, make_book(), None).good_until_ms == until_ms
    later = {"good_until_ms": until_ms + DAY_MS}
    assert to_venue_order(order, later, make_book(), None).good_until_ms == until_ms + DAY_MS


def test_an_exit_is_not_sized_by_the_cash_of_its_entry(data: Any) -> None:
    """``cash`` sizes the entry; its exits close what it has bought, whatever their own size."""
    book = make_book()
    entry = make_order(bt.BuyOrder, None, data, 1.0, {})
    leader = to_venue_order(entry, {"cash": 500.0}, book, None)
    exit_ = make_order(bt.SellOrder, None, data, 0.5, {"exectype": bt.Order.Stop, "price": 95.0})
    follower = to_venue_order(exit_, {"cash": 500.0}, book, leader)
    assert follower.cash is None
    assert follower.follows_entry
    assert leader.children == [follower]


class Flood(bt.Strategy):
    """Asks on every bar for less than the venue's minimum."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def notify_order(self, order: bt.Order) -> None:
        """Note what became of it."""
        self.told.append(order.getstatusname())

    def next(self) -> None:
        """Ask, and hang the order on the first one's group."""
        order = self.buy(size=0.01, oco=getattr(self, "first", None))
        self.first = getattr(self, "first", order)


def test_refusals_on_every_bar_are_recorded_and_not_kept() -> None:
    """3,000 orders below the minimum: 3,000 refusals, no living order, no group that grows."""
    cerebro = Cerebro()
    cerebro.adddata(make_feed([100.0] * 3_001))
    broker = ExchangeBroker(SpotParameters(min_notional=5.0))
    cerebro.broker = broker
    cerebro.addstrategy(Flood)
    strategy = cerebro.run()[0]
    refused = [entry for entry in broker.journal.entries if entry.kind == "refused"]
    assert len(refused) == 3_000
    assert strategy.told.count("Rejected") == 3_000
    assert broker.get_orders_open() == []
    assert len(broker._orders) == 0
    assert max(len(order.group) for order in broker._venue_orders.values()) <= 3
    assert broker.orderstatus(strategy.first) == bt.Order.Rejected


def test_a_cancelled_order_is_not_open() -> None:
    """Cancelled between two bars it is gone at once, and the broker is idle after the next."""
    seen: list[list[int]] = []
    idle: list[bool] = []
    broker = ExchangeBroker(SpotParameters())

    class Cancel(bt.Strategy):
        def next(self) -> None:
            if len(self) == 1:
                self.order = self.buy(size=1, exectype=bt.Order.Limit, price=10.0)
            elif len(self) == 3:
                self.cancel(self.order)
            seen.append([order.ref for order in self.broker.get_orders_open()])
            if len(self) == 4:
                idle.append(broker.is_idle)

    cerebro = Cerebro()
    cerebro.adddata(make_feed([100.0] * 5))
    cerebro.broker = broker
    cerebro.addstrategy(Cancel)
    cerebro.run()
    assert seen == [[1], [1], [], [], []]
    assert idle == [True]
