"""A futures account over random orders, prices and fundings: what must always hold."""

from dataclasses import dataclass
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perpetual_accounts import BTC, ETH, FREE, START, Account

from seawall.market.series import FloatArray
from seawall.venues import spot
from seawall.venues.perpetual import layout, life, liquidation, margin, positions
from seawall.venues.perpetual.layout import CROSS, IS_ISOLATED, MARGIN, NOBODY, QUANTITY, WALLET

NEAR = 1e-9


@dataclass(frozen=True)
class Event:
    """One thing that happens: marks move first, then it is done.

    ``amount`` is a share: of what could be afforded or held, of the wallet, or a funding rate.
    """

    verb: str
    i: int
    amount: float
    moves: tuple[float, float]
    slip: float


VERBS = ["order", "order", "order", "reduce", "funding", "margin", "transfer", "careless"]
events = st.builds(
    Event,
    verb=st.sampled_from(VERBS),
    i=st.sampled_from([BTC, ETH]),
    amount=st.floats(-1.5, 1.5).filter(lambda x: abs(x) > 1e-3),
    moves=st.tuples(st.floats(-0.12, 0.12), st.floats(-0.12, 0.12)),
    slip=st.floats(-0.01, 0.01),
)
leverages = st.sampled_from([1.0, 2.0, 5.0, 10.0, 25.0, 75.0, 125.0])


@st.composite
def fresh(draw: st.DrawFn) -> Account:
    """Draw an account without positions, of any size, modes and leverages."""
    wallet = 10.0 ** draw(st.floats(1.5, 8.0))
    isolated = (draw(st.booleans()), draw(st.booleans()))
    it = Account(wallet, isolated=isolated, leverage=(draw(leverages), draw(leverages)))
    it.terms[:, liquidation.FEE_RATE] = draw(st.sampled_from([0.0, 0.0005, 0.0125]))
    return it


def _order(it: Account, event: Event, *, is_reduce_only: bool) -> None:
    """Place an order for a share of twice what the wallet carries, and fill what is affordable."""
    side, i = np.sign(event.amount), event.i
    price = float(it.marks[i] * (1.0 + event.slip))
    wanted = (
        abs(event.amount) * 2.0 * max(it.equity, 1.0) * it.positions[i, layout.LEVERAGE] / price
    )
    offer = spot.Offer(price, inf if side > 0.0 else 0.0, nan, inf, True)
    order = (side, wanted, is_reduce_only)
    found = positions.find_affordable(*it.state, i, order, offer, FREE, it.marks, it.tables)
    if found > 0.0:
        it.open(i, side * found, price, spot.compute_fee(found, price, True, FREE))


def _do(it: Account, event: Event) -> None:
    """Let one event happen, and what is due after it be liquidated."""
    targets = it.marks * np.exp(event.moves)
    for _ in range(100):
        fraction, who = liquidation.find_breach(*it.state, it.marks, targets, it.tables)
        if who == NOBODY:
            break
        it.marks += fraction * (targets - it.marks)
        it.liquidate(who)
    it.marks[:] = targets
    i, amount = event.i, event.amount
    if event.verb == "order":
        _order(it, event, is_reduce_only=False)
    elif event.verb == "reduce":
        _order(it, event, is_reduce_only=True)
    elif event.verb == "careless":  # a close at a price far from the mark
        price = float(it.marks[i] * (1.0 + 20.0 * event.slip))
        it.open(i, -float(it.positions[i, QUANTITY]) * min(abs(amount), 1.0), price, 1.0)
    elif event.verb == "funding":
        positions.settle_funding(*it.state, i, it.marks[i], 0.02 * amount)
    elif event.verb == "margin":
        asked = amount * max(it.equity, 1.0)
        positions.add_margin(*it.state, i, asked, it.marks, it.tables)
    else:
        positions.transfer(*it.state, amount * max(it.equity, 1.0), it.marks, it.tables)
    it.liquidate_due()


@settings(deadline=None, max_examples=300)
@given(fresh(), st.lists(events, min_size=5, max_size=25))
def test_nothing_appears_or_vanishes(it: Account, stream: list[Event]) -> None:
    """The sums explain the equity to 1e-9, it is never below zero, no margin is used twice.

    After each event: equity change = realised + unrealised - fees + funding - liquidation fees +
    insured + transferred; what is free and what is in use are within the equity; the margin of what
    is not isolated or not open is zero; nothing is due.
    """
    for event in stream:
        _do(it, event)
        scale = max(it.size(), 1.0)
        assert abs(it.find_missing()) <= NEAR * scale
        assert it.equity >= -1e-12 * scale
        free = margin.find_available(*it.state, it.marks)
        cross = margin.cross_margin(*it.state, it.marks, it.tables)
        assert free == 0.0 or free + cross.initial <= cross.balance + 1e-12 * scale
        apart = it.positions[:, MARGIN].sum()
        assert it.equity == pytest.approx(
            cross.balance + apart + sum(
                margin.find_unrealised(it.positions, i, it.marks[i])
                for i in range(2) if it.positions[i, IS_ISOLATED] > 0.0
            ), abs=1e-12 * scale,
        )  # fmt: skip
        is_set_aside = (it.positions[:, IS_ISOLATED] > 0.0) & (it.positions[:, QUANTITY] != 0.0)
        assert np.all(is_set_aside | (it.positions[:, MARGIN] == 0.0))
        assert it.account[WALLET] >= 0.0 or cross.initial > 0.0
        ratio = margin.find_margin_ratio(*it.state, it.marks, it.tables)
        assert 0.0 <= ratio < 1.0 + 1e-12


@settings(deadline=None, max_examples=200)
@given(fresh(), st.lists(events, min_size=1, max_size=15), st.sampled_from([BTC, ETH]))
def test_the_closed_form_is_the_bisection_in_any_state(
    it: Account, stream: list[Event], i: int
) -> None:
    """In every state that orders lead to, both liquidation prices agree to 1e-9."""
    for event in stream:
        _do(it, event)
    closed = margin.find_liquidation_price(*it.state, i, it.marks, it.tables)
    halved = margin.bisect_liquidation_price(*it.state, i, it.marks, it.tables)
    noise = 1e-13 * it.size() / max(abs(it.positions[i, QUANTITY]), 1e-9)
    assert np.nan_to_num(closed) == pytest.approx(np.nan_to_num(halved), rel=NEAR, abs=noise)


@settings(deadline=None, max_examples=300)
@given(
    st.floats(100.0, 1e8),
    st.sampled_from([1.0, -1.0]),
    st.floats(0.05, 0.95),
    leverages,
    st.lists(st.tuples(st.floats(-0.1, 0.1), st.floats(-0.01, 0.01)), max_size=10),
)
def test_cross_is_isolated_with_one_position_and_the_whole_wallet(
    wallet: float,
    side: float,
    share: float,
    leverage: float,
    bars: list[tuple[float, float]],
) -> None:
    """Over prices and fundings: liquidation price, ratio, breach, steps and equity are the same."""
    cross = Account(wallet, leverage=(leverage, 1.0))
    alone = Account(wallet, isolated=(True, False), leverage=(leverage, 1.0))
    for it in (cross, alone):
        it.open(BTC, side * share * leverage * wallet / START[BTC], START[BTC])
    alone.positions[BTC, MARGIN] += alone.account[WALLET]
    alone.account[WALLET] = 0.0
    for move, rate in bars:
        targets = cross.marks * np.exp(move)
        ways = [
            liquidation.find_breach(*it.state, it.marks, targets, it.tables)
            for it in (cross, alone)
        ]
        assert (ways[0][1], ways[1][1]) in {(NOBODY, NOBODY), (CROSS, BTC)}
        assert ways[0][0] == pytest.approx(ways[1][0], rel=NEAR, abs=1e-9, nan_ok=True)
        for it in (cross, alone):
            it.marks[:] = targets
            it.liquidate_due()
            positions.settle_funding(*it.state, BTC, it.marks[BTC], rate)
            it.liquidate_due()
        tiny = 1e-11 * cross.size()
        prices = [
            margin.find_liquidation_price(*it.state, BTC, it.marks, it.tables)
            for it in (cross, alone)
        ]
        assert np.nan_to_num(prices[0]) == pytest.approx(
            np.nan_to_num(prices[1]), rel=1e-7, abs=tiny
        )
        ratios = [margin.find_margin_ratio(*it.state, it.marks, it.tables) for it in (cross, alone)]
        assert ratios[0] == pytest.approx(ratios[1], rel=1e-6)
        assert cross.n_events == alone.n_events
        assert cross.equity == pytest.approx(alone.equity, abs=tiny)
        sums = [layout.LIQUIDATION_FEES, layout.INSURED, layout.FUNDING, layout.REALISED]
        assert cross.account[sums] == pytest.approx(alone.account[sums], abs=tiny)


@dataclass(frozen=True)
class History:
    """Bars and funding stamps, and the account that lives through them."""

    account: Account
    marks: FloatArray
    stamps: life.Stamps


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Draw an account with positions it can afford, and up to 40 bars of marks with funding."""
    it = draw(fresh())
    for i in range(2):
        event = Event("order", i, draw(st.floats(-0.5, 0.5)) or 0.1, (0.0, 0.0), 0.0)
        _order(it, event, is_reduce_only=False)
    n_bars = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    close = START * np.exp(np.cumsum(rng.normal(0.0, draw(st.floats(1e-4, 0.05)), (n_bars, 2)), 0))
    open_ = np.vstack([START, close[:-1]]) * np.exp(rng.normal(0.0, 0.002, (n_bars, 2)))
    wick = np.abs(rng.normal(0.0, 0.01, (2, n_bars, 2)))
    high = np.maximum(open_, close) * (1.0 + wick[0])
    low = np.minimum(open_, close) / (1.0 + wick[1])
    bar = np.sort(rng.integers(0, n_bars, n_bars // 2)).astype(np.int64)
    row = rng.integers(0, 2, len(bar)).astype(np.int64)
    rates = rng.normal(0.0, 0.003, len(bar))
    marks = np.stack([open_, high, low, close], axis=-1)
    return History(it, marks, life.Stamps(bar, row, rates, open_[bar, row].copy()))


def _live(
    history: History, spans: list[tuple[int, int]], *, is_worst: bool
) -> tuple[Account, FloatArray]:
    """Live through the spans, one kernel call each, on a copy; return it and its trace."""
    first, n_bars = history.account, len(history.marks)
    it = Account(first.first)
    it.account[:], it.positions[:] = first.account, first.positions
    it.terms[:], it.marks[:] = first.terms, history.marks[-1, :, life.CLOSE]
    trace = np.full((n_bars, life.N_TRACE), nan)
    for start, stop in spans:
        it.n_events += life.live_through(
            *it.state, it.tables, it.terms, history.marks, history.stamps, trace,
            it.events[it.n_events :], start, stop, is_worst,
        )  # fmt: skip
    return it, trace


@settings(deadline=None, max_examples=150)
@given(histories(), st.booleans())
def test_living_through_is_living_bar_by_bar(history: History, is_worst: bool) -> None:  # noqa: FBT001
    """One call over all bars is a call for each bar, and is what the other kernels say by hand."""
    n_bars = len(history.marks)
    whole, traced = _live(history, [(0, n_bars)], is_worst=is_worst)
    parts, pieces = _live(history, [(t, t + 1) for t in range(n_bars)], is_worst=is_worst)
    by_hand = _live_by_hand(history, is_worst=is_worst)
    for other in (parts, by_hand):
        assert np.array_equal(whole.account, other.account)
        assert np.array_equal(whole.positions, other.positions)
        assert whole.n_events == other.n_events
        assert np.array_equal(whole.events, other.events)
    assert np.array_equal(traced, pieces)
    assert traced[-1, life.SHOWN_EQUITY] == pytest.approx(whole.equity, abs=1e-12 * whole.size())
    explained = traced[:, life.SHOWN_WALLET] + traced[:, life.SHOWN_UNREALISED]
    assert traced[:, life.SHOWN_EQUITY] == pytest.approx(explained)
    assert abs(whole.find_missing()) <= NEAR * whole.size()
    assert np.all(traced[:, life.SHOWN_RATIO] < 1.0 + 1e-12)


def _live_by_hand(history: History, *, is_worst: bool) -> Account:
    """Live through all bars without ``is_safe`` and without ``life``."""
    it, _ = _live(history, [], is_worst=is_worst)
    stamps = history.stamps
    for t, bar in enumerate(history.marks):
        for k in np.flatnonzero(stamps.bar == t):
            positions.settle_funding(*it.state, stamps.row[k], stamps.mark[k], stamps.rate[k])
        before = it.n_events
        it.marks[:] = bar[:, life.OPEN]
        it.liquidate_due()
        if is_worst:
            is_long, is_short = it.positions[:, QUANTITY] > 0.0, it.positions[:, QUANTITY] < 0.0
            targets = np.where(is_long, bar[:, life.LOW], bar[:, life.CLOSE])
            targets = np.where(is_short, bar[:, life.HIGH], targets)
            while True:
                fraction, who = liquidation.find_breach(*it.state, it.marks, targets, it.tables)
                if who == NOBODY:
                    break
                it.marks += fraction * (targets - it.marks)
                it.liquidate(who)
        it.marks[:] = bar[:, life.CLOSE]
        it.liquidate_due()
        it.events[before : it.n_events, layout.AT_BAR] = t
    return it


@settings(deadline=None, max_examples=100)
@given(histories())
def test_the_worst_life_is_liquidated_no_later_than_the_best(history: History) -> None:
    """The first liquidation of the worst pass is in the same bar as that of the best or before."""
    worst, _ = _live(history, [(0, len(history.marks))], is_worst=True)
    best, _ = _live(history, [(0, len(history.marks))], is_worst=False)
    if best.n_events > 0:
        assert worst.n_events > 0
        assert worst.events[0, layout.AT_BAR] <= best.events[0, layout.AT_BAR]
    if worst.n_events == 0:
        assert np.array_equal(worst.account, best.account)


def test_a_wick_liquidates_in_the_worst_pass_only() -> None:
    """A long due at 2,008.03 in bars 2,500/2,550/1,990/2,450: due inside, not at open or close.

    Isolated, 10 ETH at 5x, with a funding of 0.01 % at 2,500: 2.50 of the margin of 5,000 is paid,
    which moves the price to 20,002.5 / 9.96 = 2,008.28.
    """
    it = Account(5_000.0, isolated=(False, True), leverage=(1.0, 5.0))
    it.open(ETH, 10.0, 2_500.0)
    bars = np.zeros((1, 2, 4))
    bars[0] = (60_000.0,) * 4, (2_500.0, 2_550.0, 1_990.0, 2_450.0)
    one = np.ones(1, dtype=np.int64)
    stamps = life.Stamps(0 * one, ETH * one, np.array([1e-4]), np.array([2_500.0]))
    history = History(it, bars, stamps)
    best, traced = _live(history, [(0, 1)], is_worst=False)
    assert best.n_events == 0
    assert traced[0] == pytest.approx((4_497.5, 4_997.5, 98.0 / 4_497.5, 98.0, -500.0))
    worst, traced = _live(history, [(0, 1)], is_worst=True)
    assert worst.n_events == 1
    assert worst.events[0, layout.PRICE] == pytest.approx(20_002.5 / 9.96)
    assert traced[0] == pytest.approx(0.0, abs=1e-9)


def test_a_gap_is_liquidated_at_the_open_mark() -> None:
    """Where the bar opens at 1,900, beyond 2,008.03, the position is closed at 1,900 in both."""
    it = Account(5_000.0, isolated=(False, True), leverage=(1.0, 5.0))
    it.open(ETH, 10.0, 2_500.0)
    bars = np.zeros((1, 2, 4))
    bars[0] = (60_000.0,) * 4, (1_900.0, 2_550.0, 1_850.0, 2_450.0)
    none = np.zeros(0, dtype=np.int64)
    history = History(it, bars, life.Stamps(none, none, np.zeros(0), np.zeros(0)))
    for is_worst in (False, True):
        lived, _ = _live(history, [(0, 1)], is_worst=is_worst)
        assert lived.events[0, layout.PRICE] == 1_900.0
        assert lived.account[layout.INSURED] == pytest.approx(1_000.0 + 0.0125 * 19_000.0)
