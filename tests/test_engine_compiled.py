"""The compiled twin equals the backtrader engine, and its random paths are what they say."""

from math import inf
from typing import Any

import backtrader as bt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.engine.broker import ExchangeBroker
from seawall.engine.cerebro import Cerebro
from seawall.engine.compiled import (
    PathResults,
    SizedAt,
    WeightPaths,
    measure_rates,
    random_weights,
    run_weights,
)
from seawall.engine.feed import ArrayFeed
from seawall.errors import RecipeError
from seawall.market.series import Candles, FloatArray, SeriesKey
from seawall.venues.parameters import SpotParameters

KEY = SeriesKey("candles", "made_up", "ETH/USDT", "5m")
BAR_MS = 300_000
N_BARS = 60
CASH = 10_000.0


class FollowWeights(bt.Strategy):
    """Send the weight of each bar as one market order, which replaces what is left of the last."""

    params = (("weights", ()), ("sized_at", "fill"))

    def __init__(self) -> None:
        self.order: bt.Order | None = None
        self.values: list[float] = []

    def notify_order(self, order: bt.Order) -> None:
        """Forget an order that is over."""
        if self.order is not None and order.ref == self.order.ref and not order.alive():
            self.order = None

    def next(self) -> None:
        """Note the equity and carry out the weight that is due."""
        self.values.append(self.broker.getvalue())
        weight = self.p.weights[len(self) - 1]
        if np.isnan(weight):
            return
        if self.order is not None:
            self.cancel(self.order)
        if self.p.sized_at == "fill":
            self.order = self.buy(size=1, target_weight=float(weight))
            return
        held, close = self.position.size, self.data.close[0]
        wanted = -held if weight == 0 else weight * self.broker.getvalue() / close - held
        if wanted:
            trade = self.buy if wanted > 0 else self.sell
            self.order = trade(size=abs(wanted), fit_to_cash=True)


def make_candles(seed: int, n_bars: int = N_BARS) -> Candles:
    """Return a random walk with gaps in time, in price, and some bars without volume."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, n_bars)))
    open_ = np.roll(close, 1) * np.exp(rng.normal(0, 0.005, n_bars))
    volume = rng.exponential(50, n_bars) * (rng.random(n_bars) > 0.05)
    steps = np.where(rng.random(n_bars) < 0.05, 4, 1)
    return Candles(
        key=KEY, time_ms=np.cumsum(steps) * BAR_MS, open=open_, close=close, volume=volume,
        high=np.maximum(open_, close) * 1.01, low=np.minimum(open_, close) * 0.99,
    )  # fmt: skip


def run_engine(
    candles: Candles, parameters: SpotParameters, weights: FloatArray, sized_at: SizedAt
) -> tuple[ExchangeBroker, list[float]]:
    """Return broker and equity of the backtrader engine on the same weights."""
    cerebro = Cerebro()
    cerebro.adddata(ArrayFeed(candles))
    broker = ExchangeBroker(parameters, cash=CASH)
    cerebro.broker = broker
    cerebro.addstrategy(FollowWeights, weights=weights, sized_at=sized_at)
    return broker, cerebro.run()[0].values


def venues() -> st.SearchStrategy[SpotParameters]:
    """Return spot venues with all frictions on or off."""
    return st.builds(
        SpotParameters,
        taker_fee_bps=st.sampled_from([0.0, 10.0, 40.0]),
        half_spread_bps=st.sampled_from([0.0, 5.0]),
        impact_bps=st.sampled_from([0.0, 30.0]),
        fixed_fee_base=st.sampled_from([0.0, 0.01]),
        allows_fee_debt=st.booleans(),
        participation_cap=st.sampled_from([inf, 0.1, 0.5]),
        lot_size=st.sampled_from([0.0, 0.01, 1.0]),
        min_notional=st.sampled_from([0.0, 50.0]),
        latency_ms=st.sampled_from([0, 1_000, 700_000]),
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    parameters=venues(),
    sized_at=st.sampled_from(["fill", "decision"]),
    order_rate=st.sampled_from([0.05, 0.3, 1.0]),
)
def test_twin_equals_engine(
    seed: int, parameters: SpotParameters, sized_at: SizedAt, order_rate: float
) -> None:
    """Fills and equity of random weight paths are the engine's to 1e-9."""
    candles = make_candles(seed)
    rng = np.random.default_rng(seed + 1)
    weights = np.where(
        rng.random(N_BARS) < order_rate, rng.choice([0, 0.3, 0.7, 1.0], N_BARS), np.nan
    )
    broker, values = run_engine(candles, parameters, weights, sized_at)
    twin = run_weights(
        candles, parameters, WeightPaths.from_dense(weights[None, :]),
        cash=CASH, sized_at=sized_at, keeps_equity=True, keeps_fills=True,
    )  # fmt: skip
    np.testing.assert_allclose(twin.equity[0], values, rtol=1e-9)
    filled = np.flatnonzero(twin.fill_quantities[0])
    assert [f.bar_ms for f in broker.fills] == list(candles.time_ms[filled])
    np.testing.assert_allclose(
        twin.fill_quantities[0][filled], [f.quantity for f in broker.fills], rtol=1e-9
    )
    np.testing.assert_allclose(
        twin.fill_prices[0][filled], [f.price for f in broker.fills], rtol=1e-9
    )
    assert twin.n_fills[0] == len(broker.fills)
    assert twin.fees[0] == pytest.approx(sum(f.fee for f in broker.fills), rel=1e-9, abs=1e-9)


def run_one(weights: list[float], prices: list[float], **kwargs: Any) -> PathResults:
    """Return one path on bars that open at the last close, without frictions."""
    close = np.array(prices)
    open_ = np.r_[close[0], close[:-1]]
    candles = Candles(
        key=KEY, time_ms=np.arange(len(close)) * BAR_MS, open=open_, close=close,
        high=np.maximum(open_, close), low=np.minimum(open_, close),
        volume=np.full(len(close), 1e9),
    )  # fmt: skip
    paths = WeightPaths.from_dense(np.array([weights]))
    return run_weights(candles, SpotParameters(**kwargs), paths, cash=1_000.0, keeps_equity=True)


def test_worked_example() -> None:
    """All in at 100 after bar 0, out at 110: 1000 / 100 = 10 coins, 10 * 110 = 1100."""
    nan = np.nan
    result = run_one([1.0, nan, 0.0, nan], [100.0, 120.0, 110.0, 90.0])
    np.testing.assert_allclose(result.equity[0], [1_000.0, 1_200.0, 1_100.0, 1_100.0])
    assert result.n_fills[0] == 2
    assert result.turnover[0] == pytest.approx(2_100.0)
    assert result.max_drawdown[0] == pytest.approx(1 - 1_100 / 1_200)
    assert result.exposure[0] == 0.5
    returns = [0.2, -1 / 12, 0.0]
    assert result.mean_return[0] == pytest.approx(np.mean(returns))
    assert result.std_return[0] == pytest.approx(np.std(returns, ddof=1))


def test_random_paths_match_their_rates() -> None:
    """Long share and switches per bar are as asked, within sampling noise."""
    n_bars = 200_000
    paths = random_weights(7, n_bars, n_paths=2, long_share=0.3, switch_rate=0.02)
    bars, weights = paths.bars[: paths.starts[1]], paths.weights[: paths.starts[1]]
    is_long = np.repeat(weights > 0, np.diff(np.r_[bars, n_bars]))
    long_share, switch_rate = measure_rates(is_long)
    assert long_share == pytest.approx(0.3, abs=0.02)
    assert switch_rate == pytest.approx(0.02, rel=0.05)


def test_random_paths_do_not_depend_on_their_number() -> None:
    """Path 0 is the same whether one or five are drawn, and differs from path 1."""
    one = random_weights(3, 500, n_paths=1, long_share=0.5, switch_rate=0.1)
    five = random_weights(3, 500, n_paths=5, long_share=0.5, switch_rate=0.1)
    np.testing.assert_array_equal(one.bars, five.bars[: five.starts[1]])
    assert not np.array_equal(one.bars, five.bars[five.starts[1] : five.starts[2]])


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_constant_paths_never_switch(share: float) -> None:
    """A share of 0 or 1 with no switches is one decision at the first bar."""
    paths = random_weights(1, 100, n_paths=3, long_share=share, switch_rate=0.0, first_bar=10)
    assert list(paths.bars) == [10, 10, 10]
    assert set(paths.weights) == {share}


def test_impossible_rates_are_refused() -> None:
    """A chain that is long 10 % of the time cannot switch on half of all bars."""
    with pytest.raises(RecipeError, match=r"use at most 0\.2"):
        random_weights(1, 100, long_share=0.1, switch_rate=0.5)


def test_negative_weights_are_refused() -> None:
    """Spot does not short in the twin either."""
    with pytest.raises(RecipeError, match="does not short"):
        WeightPaths.from_dense(np.array([[-0.5]]))


def test_fill_at_close_is_refused() -> None:
    """What the twin does not know it refuses by name."""
    with pytest.raises(RecipeError, match="next_open"):
        run_one([1.0, np.nan], [100.0, 100.0], fills_at_close=True)
