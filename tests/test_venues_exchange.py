"""The spot exchange under any stream of orders: what must hold, and what its orders do."""

from dataclasses import replace
from math import inf, isfinite
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_venue import BAR_MS, Prices, Scripted

from seawall.venues.orders import VenueOrder

BUY, SELL = 1.0, -1.0
FLAT = (100.0, 100.0, 100.0, 100.0)
CASH = 10_000.0


@st.composite
def bars(draw: st.DrawFn) -> tuple[float, float, float, float, float]:
    """Return one valid bar around 100, sometimes without volume."""
    open_, close = draw(st.integers(80, 120)), draw(st.integers(80, 120))
    high = max(open_, close) + draw(st.integers(0, 10))
    low = min(open_, close) - draw(st.integers(0, 10))
    volume = draw(st.sampled_from([0.0, 20.0, 200.0, 1e6]))
    return float(open_), float(high), float(low), float(close), volume


@st.composite
def wishes(draw: st.DrawFn) -> dict[str, Any]:
    """Return what to send before a bar: any type, side, size and time in force."""
    kind = draw(
        st.sampled_from(
            ["market", "close", "limit", "stop", "stop_limit", "trailing", "trailing_limit"]
        )
    )
    wish: dict[str, Any] = {
        "type_": kind,
        "side": draw(st.sampled_from([BUY, SELL])),
        "quantity": draw(st.sampled_from([0.001, 0.5, 1.0, 7.77, 50.0, 1e4])),
        "time_in_force": draw(st.sampled_from(["gtc", "gtc", "ioc", "fok"])),
        "good_until_ms": draw(st.sampled_from([10**15, 5 * BAR_MS])),
        "post_only": kind == "limit" and draw(st.booleans()),
    }
    if "limit" in kind:
        wish["limit_price"] = float(draw(st.integers(75, 125)))
    if kind in ("stop", "stop_limit"):
        wish["stop_price"] = float(draw(st.integers(75, 125)))
    if kind.startswith("trailing"):
        wish |= {"trail_amount": 5.0, "extreme": 100.0, "limit_offset": 1.0}
    if kind == "market":
        wish |= draw(
            st.sampled_from([{}, {"cash": 1_000.0}, {"target_weight": 0.5}, {"target_weight": 1.0}])
        )
    return wish


def venues() -> st.SearchStrategy[dict[str, Any]]:
    """Return spot parameters with all frictions on or off; no fee debt: cash must stay >= 0."""
    return st.fixed_dictionaries(
        {
            "maker_fee_bps": st.sampled_from([0.0, 2.0]),
            "taker_fee_bps": st.sampled_from([0.0, 10.0]),
            "half_spread_bps": st.sampled_from([0.0, 5.0]),
            "impact_bps": st.sampled_from([0.0, 50.0]),
            "fixed_fee_base": st.sampled_from([0.0, 0.001]),
            "participation_cap": st.sampled_from([inf, 0.1]),
            "tick_size": st.sampled_from([0.0, 0.5]),
            "lot_size": st.sampled_from([0.0, 0.01]),
            "min_notional": st.sampled_from([0.0, 5.0]),
            "is_touch": st.booleans(),
            "ambiguity": st.sampled_from(["worst", "best"]),
            "latency_ms": st.sampled_from([0, 90_000]),
        }
    )


streams = st.lists(
    st.tuples(st.lists(wishes(), max_size=3), bars(), st.booleans()), min_size=2, max_size=12
)


def play(
    stream: list[Any], parameters: dict[str, Any], held: float
) -> tuple[Scripted, list[VenueOrder], list[float]]:
    """Return venue, orders and equity curve after a stream of orders, brackets among them."""
    venue = Scripted(cash=CASH, held=held, **parameters).meet(FLAT)
    orders: list[VenueOrder] = []
    curve = []
    for sent, bar, pairs in stream:
        fresh = [venue.send(**wish) for wish in sent]
        if pairs and len(fresh) > 1:
            venue.pair(fresh[0], fresh[1])
        elif pairs and fresh and fresh[0].side > 0:
            orders += venue.bracket(fresh[0], 90.0, 110.0)
        orders += fresh
        venue.meet(bar)
        curve.append(venue.equity)
        assert venue.exchange.account.cash >= 0
        assert venue.book.held >= 0
    venue.exchange.end(venue.n_bars * BAR_MS)
    return venue, orders, curve


@settings(max_examples=30, deadline=None)
@given(stream=streams, parameters=venues(), held=st.sampled_from([0.0, 3.0]))
def test_nothing_appears_or_vanishes(
    stream: list[Any], parameters: dict[str, Any], held: float
) -> None:
    """Cash and coin are what the fills and the ledger say, to 1e-9; equity is never below zero."""
    venue, orders, curve = play(stream, parameters, held)
    cash, coin = CASH, held
    for fill in venue.fills:
        cash -= fill.quantity * fill.raw_price + fill.slippage + fill.fee
        coin += fill.quantity
        assert fill.slippage >= 0
        assert fill.fee >= 0
    assert venue.exchange.account.cash == pytest.approx(cash, rel=1e-9, abs=1e-9 * CASH)
    assert venue.book.held == pytest.approx(coin, rel=1e-9, abs=1e-7)
    venue.exchange.account.check()
    assert min(curve) >= 0
    assert all(order.is_done for order in orders)


@settings(max_examples=30, deadline=None)
@given(stream=streams, parameters=venues(), held=st.sampled_from([0.0, 3.0]))
def test_no_fill_is_too_good_or_too_early(
    stream: list[Any], parameters: dict[str, Any], held: float
) -> None:
    """Every fill lies in its bar, within limit and cap, and not before its order arrived."""
    venue, orders, _ = play(stream, parameters, held)
    by_id = {order.order_id: order for order in orders}
    met = [(*FLAT, 1_000.0), *(bar for _, bar, _ in stream)]
    used: dict[int, float] = {}
    for fill in venue.fills:
        open_, high, low, _, volume = met[fill.bar_ms // BAR_MS]
        order = by_id[fill.order_id]
        side = 1.0 if fill.quantity > 0 else -1.0
        assert fill.bar_ms >= order.live_ms
        # A resting limit that the market gapped through keeps its own price, worse than the bar's.
        is_gap = fill.rule == "limit_gapped"
        assert is_gap or low - 1e-9 <= fill.raw_price <= high + 1e-9
        assert side * (fill.price - fill.raw_price) >= 0
        assert not is_gap or side * (fill.price - open_) >= 0
        if order.has_limit:
            assert side * (order.limit_price - fill.price) >= -1e-9
        if order.has_stop or order.type in ("stop", "stop_limit"):
            assert (
                order.type == "stop_limit"
                or side * (fill.raw_price - fill.trigger_price) >= -1e-9
                or fill.rule.endswith("_rest")
            )
        used[fill.bar_ms] = used.get(fill.bar_ms, 0.0) + abs(fill.quantity)
        assert used[fill.bar_ms] <= volume * parameters["participation_cap"] * (1 + 1e-9)


@settings(max_examples=30, deadline=None)
@given(stream=streams, parameters=venues(), held=st.sampled_from([0.0, 3.0]))
def test_every_order_ends_once(stream: list[Any], parameters: dict[str, Any], held: float) -> None:
    """Each order has exactly one end, nothing after it, and no more filled than asked."""
    venue, orders, _ = play(stream, parameters, held)
    ends = ("completed", "cancelled", "expired", "rejected", "no_cash")
    for order in orders:
        mine = [event for order_id, event in venue.recorder.events if order_id == order.order_id]
        assert sum(event in ends for event in mine) == 1
        assert mine[-1] in ends
        if not order.is_exit:
            assert order.filled <= order.quantity * (1 + 1e-9)


@settings(max_examples=30, deadline=None)
@given(stream=streams, parameters=venues(), cut=st.integers(1, 11))
def test_the_future_changes_no_fill(
    stream: list[Any], parameters: dict[str, Any], cut: int
) -> None:
    """What has filled up to a bar does not depend on what comes after it."""
    whole, _, _ = play(stream, parameters, 3.0)
    part, _, _ = play(stream[:cut], parameters, 3.0)
    until_ms = part.n_bars * BAR_MS
    assert [repr(fill) for fill in whole.fills if fill.bar_ms < until_ms] == [
        repr(f) for f in part.fills
    ]


def test_a_buy_beyond_the_cash_is_reduced() -> None:
    """200 at 100 with 10,000 and a fee of 10 bp: 10000 / 100.1 = 99.9001 coins, none of it lost."""
    venue = Scripted(cash=CASH, taker_fee_bps=10.0).meet(FLAT)
    venue.send("market", BUY, 200.0)
    venue.meet(FLAT)
    assert venue.fills[0].quantity == pytest.approx(10_000 / 100.1)
    assert 0 <= venue.exchange.account.cash < 1e-9
    assert venue.reasons("reduced") == ["the cash, price and fee allow no more"]
    assert venue.recorder.events[-1] == ("1", "completed")


def test_an_all_in_weight_survives_a_gap_up() -> None:
    """Weight 1 decided at 100, filled at 110: all the cash is spent, nothing is reported lost."""
    venue = Scripted(cash=CASH, lot_size=0.01).meet(FLAT)
    venue.send("market", BUY, 0.0, target_weight=1.0)
    venue.meet((110.0, 110.0, 110.0, 110.0))
    assert venue.fills[0].quantity == pytest.approx(90.90)
    assert venue.reasons("reduced") == []


def test_without_cash_a_buy_has_no_margin() -> None:
    """A second all-in buy finds nothing and is refused by name."""
    venue = Scripted(cash=CASH, lot_size=0.01).meet(FLAT)
    venue.send("market", BUY, 1_000.0)
    venue.send("market", BUY, 1.0)
    venue.meet(FLAT)
    assert venue.recorder.events[-1] == ("2", "no_cash")
    assert "a buy needs cash" in venue.reasons("refused")[0]


def test_fees_may_be_owed_where_the_recipe_says_so() -> None:
    """All of 10,000 into coin at 100, fee 40 bp: 100 coins and -40 of cash."""
    venue = Scripted(cash=CASH, taker_fee_bps=40.0, allows_fee_debt=True).meet(FLAT)
    venue.send("market", BUY, 0.0, cash=CASH)
    venue.meet(FLAT)
    assert venue.fills[0].quantity == 100.0
    assert venue.exchange.account.cash == pytest.approx(-40.0)


def test_the_fixed_fee_is_in_coin_at_the_fill_price() -> None:
    """0.4 % of 5,000 plus 0.00147 coin at 100: 20 + 0.147."""
    venue = Scripted(cash=CASH, taker_fee_bps=40.0, fixed_fee_base=0.00147).meet(FLAT)
    venue.send("market", BUY, 0.0, cash=5_000.0)
    venue.meet(FLAT)
    assert venue.fills[0].fee == pytest.approx(20.147)


def test_cash_sizes_a_sell() -> None:
    """Sell for 1,000 at an open of 125: 8 coins."""
    venue = Scripted(held=20.0).meet(FLAT)
    venue.send("market", SELL, 0.0, cash=1_000.0)
    venue.meet((125.0, 125.0, 125.0, 125.0))
    assert venue.fills[0].quantity == -8.0


def test_weights_that_sell_go_first() -> None:
    """Within one open a weight that reduces frees the cash that an earlier sent buy needs."""
    venue = Scripted(cash=0.0, held=100.0).meet(FLAT)
    venue.send("market", BUY, 5.0)
    venue.send("market", BUY, 0.0, target_weight=0.5)
    venue.meet(FLAT)
    assert [fill.quantity for fill in venue.fills] == [-50.0, 5.0]


@pytest.mark.parametrize("kind", ["ioc", "fok"])
def test_time_in_force_at_the_cap(kind: str) -> None:
    """25 with 10 to have: ioc takes 10 and cancels the rest, fok takes nothing."""
    venue = Scripted(participation_cap=0.1).meet(FLAT)
    venue.send("market", BUY, 25.0, time_in_force=kind)
    venue.meet(*[(*FLAT, 100.0)] * 2)
    assert [fill.quantity for fill in venue.fills] == ([10.0] if kind == "ioc" else [])
    assert venue.recorder.events[-1] == ("1", "cancelled")
    assert kind in venue.reasons("cancelled")[0]


def test_gtd_expires() -> None:
    """A limit good until the close of bar 2 does not see bar 3."""
    venue = Scripted().meet(FLAT)
    venue.send("limit", BUY, limit_price=90.0, good_until_ms=2 * BAR_MS)
    venue.meet(FLAT, (100.0, 100.0, 80.0, 90.0))
    assert venue.fills == []
    assert venue.recorder.events[-1] == ("1", "expired")


def test_gtd_expires_where_nothing_else_happens() -> None:
    """A limit far from the market expires with its time, not when the market comes near."""
    venue = Scripted().meet(FLAT)
    venue.send("limit", BUY, limit_price=10.0, good_until_ms=2 * BAR_MS)
    venue.meet(FLAT, FLAT)
    assert venue.reasons("expired") == ["its time is over"]


def test_weights_of_one_open_share_its_equity() -> None:
    """0.5, then 0.8 of 10,000 at 100: 50 and 30 coins, whatever the first of them has cost."""
    venue = Scripted(cash=CASH, half_spread_bps=100.0).meet(FLAT)
    venue.send("market", BUY, 0.0, target_weight=0.5)
    venue.send("market", BUY, 0.0, target_weight=0.8)
    venue.meet(FLAT)
    assert [fill.quantity for fill in venue.fills] == [50.0, 30.0]


def test_post_only_is_refused_where_it_would_take() -> None:
    """A buy limit of 101 at an open of 100 would take."""
    venue = Scripted().meet(FLAT)
    venue.send("limit", BUY, limit_price=101.0, post_only=True)
    venue.meet(FLAT)
    assert venue.fills == []
    assert "post-only" in venue.reasons("refused")[0]


def test_one_cancels_the_other() -> None:
    """Of a buy limit at 95 and a buy stop at 105 the first that fills cancels the other."""
    venue = Scripted().meet(FLAT)
    venue.pair(
        venue.send("limit", BUY, limit_price=95.0), venue.send("stop", BUY, stop_price=105.0)
    )
    venue.meet((100.0, 106.0, 99.0, 104.0), (100.0, 100.0, 90.0, 95.0))
    assert venue.prices == [105.0]
    assert ("1", "cancelled") in venue.recorder.events


def test_a_cancelled_order_takes_its_group_along() -> None:
    """Cancelling one of two that exclude each other cancels both."""
    venue = Scripted().meet(FLAT)
    first = venue.send("limit", BUY, limit_price=95.0)
    venue.pair(first, venue.send("stop", BUY, stop_price=105.0))
    venue.meet(FLAT)
    assert venue.exchange.cancel(first)
    assert venue.reasons("cancelled") == ["asked for", "goes with order 1"]


def test_an_exit_closes_what_its_entry_has_filled() -> None:
    """Entry 25 fills 10 at the cap and 15 in the bar that then stops all 25 of it."""
    venue = Scripted(participation_cap=0.1).meet(FLAT)
    entry = venue.send("market", BUY, 25.0)
    venue.bracket(entry, 95.0, 120.0)
    venue.meet((*FLAT, 100.0), (94.0, 94.0, 94.0, 94.0, 1_000.0))
    assert [fill.quantity for fill in venue.fills] == [10.0, 15.0, -25.0]


def test_an_exit_sells_no_more_than_its_entry_bought() -> None:
    """Entry 25 gets 10 and ends (ioc); its exit of 20 sells 10 of them, not of the 30 before."""
    venue = Scripted(held=30.0, participation_cap=0.1).meet(FLAT)
    entry = venue.send("market", BUY, 25.0, time_in_force="ioc")
    venue.send("stop", SELL, 20.0, stop_price=95.0, parent=entry)
    venue.meet((*FLAT, 100.0), (94.0, 94.0, 94.0, 94.0, 1_000.0))
    assert [fill.quantity for fill in venue.fills] == [10.0, -10.0]


def test_a_cancelled_entry_takes_its_exits_along() -> None:
    """Cancelling an entry that has not filled cancels the whole bracket."""
    venue = Scripted().meet(FLAT)
    entry = venue.send("limit", BUY, limit_price=90.0)
    venue.bracket(entry, 80.0, 110.0)
    venue.meet(FLAT)
    assert venue.exchange.cancel(entry)
    assert [e for _, e in venue.recorder.events[-3:]] == ["cancelled"] * 3
    assert not venue.exchange.cancel(entry)


def test_a_resting_sell_without_coin_is_refused_on_arrival() -> None:
    """A stop that sells what nobody holds never rests."""
    venue = Scripted().meet(FLAT)
    venue.send("stop", SELL, stop_price=90.0)
    venue.meet(FLAT)
    assert venue.recorder.events == [("1", "rejected")]


@pytest.mark.parametrize(
    ("kind", "wish", "word"),
    [
        ("limit", {"limit_price": -1.0}, "limit price"),
        ("stop", {"stop_price": float("nan")}, "stop price"),
        ("market", {"target_weight": -0.5}, "does not short"),
        ("trailing", {"extreme": 100.0}, "trail"),
        ("market", {"quantity": inf}, "quantity"),
    ],
)
def test_impossible_orders_are_refused_by_name(
    kind: str, wish: dict[str, float], word: str
) -> None:
    """Prices, sizes and weights that no venue could take say which of them it is."""
    venue = Scripted().meet(FLAT)
    venue.send(kind, BUY, **wish)
    venue.meet(FLAT)
    assert word in venue.reasons("refused")[0]
    assert venue.fills == []


def test_a_stop_remainder_trades_at_the_next_open() -> None:
    """Sell stop of 25 with 10 per bar: 10 at the trigger, then at the opens."""
    venue = Scripted(held=25.0, participation_cap=0.1).meet(FLAT)
    venue.send("stop", SELL, 25.0, stop_price=95.0)
    bar: Prices = (100.0, 100.0, 94.0, 96.0)
    venue.meet((*bar, 100.0), (93.0, 99.0, 93.0, 95.0, 100.0), (92.0, 99.0, 92.0, 95.0, 100.0))
    assert venue.prices == [95.0, 93.0, 92.0]
    assert venue.rules == ["stop", "stop_rest", "stop_rest"]


def test_a_gapped_stop_fills_once() -> None:
    """A reduced stop that the open triggers must not trade again as its own remainder."""
    venue = Scripted(cash=CASH).meet(FLAT)
    venue.send("stop", BUY, 10_000.0, stop_price=105.0)
    venue.meet((110.0, 110.0, 110.0, 110.0))
    assert venue.recorder.events == [("1", "accepted"), ("1", "completed")]
    assert venue.rules == ["stop_gapped"]


def test_worst_is_never_better_than_best() -> None:
    """On many random bars the pessimistic run of a bracket ends no higher than the optimistic."""
    rng = np.random.default_rng(5)
    for _ in range(200):
        ends = []
        close = 100 + rng.normal(0, 3)
        bar = (
            100.0,
            max(100, close) + rng.uniform(0, 10),
            min(100, close) - rng.uniform(0, 10),
            close,
        )
        for ambiguity in ("worst", "best"):
            venue = Scripted(ambiguity=ambiguity).meet(FLAT)
            venue.bracket(venue.send("market", BUY), 95.0, 105.0)
            venue.meet(bar)
            ends.append(venue.equity)
        assert ends[0] <= ends[1]
        assert all(isfinite(end) for end in ends)


def test_parameters_are_values() -> None:
    """Two venues with the same parameters are equal and hash alike."""
    parameters = Scripted(taker_fee_bps=1.0).book.parameters
    assert replace(parameters) == parameters
    assert hash(replace(parameters)) == hash(parameters)
