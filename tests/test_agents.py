"""The shipped agents: what each decides, worked out by hand, and the published numbers."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seawall.agents._averages import RollingWindow

from seawall.action import Order, TargetWeight
from seawall.agent import Agent, AgentInfo, Decision, to_decision
from seawall.errors import AgentError, RecipeError
from seawall.market.series import Candles, FloatArray, SeriesKey
from seawall.observation import Observation, Window
from seawall.units import DAY_MS, to_time_ms
from seawall.workspace import load

SYMBOL = "BTC/USDT"
AGENTS = (
    "bollinger", "buy_and_hold", "cash", "dca", "donchian", "macd", "matched_random", "momentum",
    "rebalance", "rsi", "sma_cross",
)  # fmt: skip


class Begins(Protocol):
    """An agent with the hook of that name."""

    def begin(self, info: AgentInfo) -> None:
        """Take it."""


class Restarts(Protocol):
    """An agent that survives a restart."""

    def state(self) -> bytes:
        """Return it."""

    def restore(self, state: bytes) -> None:
        """Take it."""


def make(name: str, **parameters: object) -> Agent:
    """Return a shipped agent."""
    agent: Agent = load(f"agents.{name}")(**parameters)
    return agent


def to_candles(prices: Sequence[float], symbol: str = SYMBOL, timeframe: str = "1d") -> Candles:
    """Return candles whose open, high, low and close are all one price."""
    price = np.array(prices, dtype=np.float64)
    key = SeriesKey("candles", "test", symbol, timeframe)
    return Candles(
        key=key,
        time_ms=np.arange(len(price), dtype=np.int64) * key.timeframe_ms,
        open=price,
        high=price,
        low=price,
        close=price,
        volume=np.ones(len(price)),
    )


class Market:
    """Candles that become visible bar by bar, and an account that trades at the newest price."""

    def __init__(self, *series: Candles, cash: float = 1_000.0, at_open: bool = False) -> None:
        self.series = {one.key.symbol: one for one in series}
        self.windows = {s: Window(one, n) for n, (s, one) in enumerate(self.series.items())}
        self.cash, self.at_open = cash, at_open
        self.held = dict.fromkeys(self.series, 0.0)
        self.fee = 0.0

    def observe(self, time_ms: int) -> Observation:
        """Return what is known at a time."""
        for symbol, one in self.series.items():
            n_closed = int(np.searchsorted(one.close_ms, time_ms, "right"))
            self.windows[symbol].reveal(n_closed)
            if self.at_open and n_closed < len(one) and one.time_ms[n_closed] <= time_ms:
                self.windows[symbol].reveal(n_closed, n_closed + 1)
        observation = self._observation(time_ms, 0.0)
        worth = sum(q * observation.price(s) for s, q in self.held.items() if q)
        return self._observation(time_ms, self.cash + worth)

    def _observation(self, time_ms: int, equity: float) -> Observation:
        return Observation(
            time_ms=time_ms,
            windows=self.windows,
            signals={},
            cash=self.cash,
            equity=equity,
            quantities=dict(self.held),
            at_open=self.at_open,
        )

    def carry_out(self, decision: Decision, observation: Observation) -> None:
        """Trade at the newest price; ``fee`` is a share of the notional."""
        for action in decision.actions:
            assert isinstance(action, (TargetWeight, Order))
            price, held = observation.price(action.symbol), self.held[action.symbol]
            if isinstance(action, TargetWeight):
                quantity = action.weight * observation.equity / price - held
            else:
                size = action.quantity or (action.cash or 0.0) / price
                quantity = size if action.side == "buy" else -size
            self.held[action.symbol] = held + quantity
            self.cash -= quantity * price + abs(quantity) * price * self.fee


def play(agent: Agent, market: Market, times: Sequence[int]) -> list[Decision]:
    """Ask an agent at some times and return all that it answered."""
    decisions = []
    for time_ms in times:
        observation = market.observe(time_ms)
        decision = to_decision(agent.decide(observation), observation.symbols)
        market.carry_out(decision, observation)
        decisions.append(decision)
    return decisions


def weights(agent: Agent, prices: Sequence[float], timeframe: str = "1d") -> dict[int, float]:
    """Return the target weights that an agent asks for, by the bar at whose close it does."""
    candles = to_candles(prices, timeframe=timeframe)
    decisions = play(agent, Market(candles), candles.close_ms.tolist())
    return {
        bar: action.weight
        for bar, decision in enumerate(decisions)
        for action in decision.actions
        if isinstance(action, TargetWeight)
    }


def begin(agent: Agent, *symbols: str, seed: int = 1) -> Agent:
    """Tell an agent what it is up to."""
    info = AgentInfo(
        symbols=symbols or (SYMBOL,),
        timeframe_ms=DAY_MS,
        decide_at="close",
        taker_fee_bps=10.0,
        rng=np.random.default_rng(seed),
    )
    cast("Begins", agent).begin(info)
    return agent


# Every agent --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", AGENTS)
def test_every_agent_says_for_whom_it_is_in_its_docstring(name: str) -> None:
    """The class is named after its file and documents every parameter of its constructor."""
    agent_class = load(f"agents.{name}")
    parameters = getattr(agent_class.__init__, "__kwdefaults__", None) or {}
    assert agent_class.__doc__
    for parameter in parameters:
        assert parameter in agent_class.__doc__, parameter


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("at_open", [False, True])
def test_every_agent_survives_an_empty_history(name: str, *, at_open: bool) -> None:
    """Before the first bar there is no price: nothing is asked for, nothing is raised."""
    market = Market(to_candles([100.0]), at_open=at_open)
    market.windows[SYMBOL] = Window(to_candles([]))
    market.series[SYMBOL] = to_candles([])
    assert play(make(name), market, [0])[0].actions == ()


@pytest.mark.parametrize("name", AGENTS)
def test_every_agent_has_a_reason(name: str) -> None:
    """Whoever asks for something says why, in words that name no memory address."""
    rng = np.random.default_rng(3)
    prices = 100 * np.exp(np.cumsum(rng.normal(0, 0.03, size=400)))
    candles = to_candles(prices.tolist())
    decisions = play(make(name), Market(candles), candles.close_ms.tolist())
    spoken = [d for d in decisions if d.actions]
    assert all(d.reason and "0x" not in d.reason for d in spoken)
    assert spoken or name == "cash"


@pytest.mark.parametrize("name", ["sma_cross", "macd", "rsi", "bollinger"])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
@pytest.mark.slow
def test_sleeping_changes_no_state(name: str, data: st.DataObject) -> None:
    """Asked now and then, an indicator stands where it stands when asked on every bar.

    The last bar's action in the ``half`` style depends on the indicator alone.
    """
    n = 150
    moves = data.draw(st.lists(st.integers(-3, 3), min_size=n, max_size=n))
    prices = [100.0 * 1.01 ** sum(moves[:i]) for i in range(n)]
    asked = [*sorted(data.draw(st.sets(st.integers(0, n - 2)))), n - 1]
    candles = to_candles(prices)
    times = candles.close_ms

    def last(bars: Sequence[int]) -> bool:
        market = Market(candles)
        agent = make(name, style="half")
        answer = None
        for bar in bars:
            market.held[SYMBOL] = 1.0  # so that a sell shows too
            answer = agent.decide(market.observe(int(times[bar])))
        return answer is not None and to_decision(answer, (SYMBOL,)).actions != ()

    assert last(range(n)) == last(asked)


BAD = [
    ("sma_cross", {"fast": 20, "slow": 20}, "agent.fast must be below agent.slow"),
    ("sma_cross", {"fast": 0}, "agent.fast must be a whole number >= 1, is 0"),
    ("sma_cross", {"fast": 2.5}, "agent.fast must be a whole number"),
    ("sma_cross", {"style": "double"}, "agent.style must be one of 'weight', 'half'"),
    ("sma_cross", {"weight": 1.5}, "agent.weight must be a number > 0 and <= 1, is 1.5"),
    ("sma_cross", {"wait_for_cross": "yes"}, "agent.wait_for_cross must be true or false"),
    ("macd", {"fast": 26, "slow": 12}, "agent.fast must be below agent.slow"),
    ("macd", {"inverted": 1}, "agent.inverted must be true or false"),
    ("rsi", {"oversold": 80.0}, "agent.oversold must be below agent.overbought"),
    ("rsi", {"oversold": "low"}, "agent.oversold must be a number"),
    ("bollinger", {"n": 1}, "agent.n must be a whole number >= 2"),
    ("bollinger", {"exit_at": "lower"}, "agent.exit_at must be one of"),
    ("donchian", {"entry_bars": True}, "agent.entry_bars must be a whole number"),
    ("momentum", {"lookback": "long"}, "agent.lookback: a duration is"),
    ("momentum", {"target_volatility": float("nan")}, "agent.target_volatility must be a number"),
    ("dca", {"cash_per_purchase": -1.0}, "agent.cash_per_purchase must be a number > 0"),
    ("rebalance", {"weights": {"A/B": 0.7, "C/B": 0.7}}, "agent.weights must be at most 1"),
    ("rebalance", {"weights": {"A/B": -0.1}}, "agent.weights.A/B must be from 0 to 1"),
    ("rebalance", {"weights": "equal"}, "agent.weights must be shares by symbol"),
    ("matched_random", {"long_share": 0.1, "switches_per_bar": 0.3}, "must be <= 0.2"),
    ("buy_and_hold", {"style": "half"}, "agent.style must be one of 'weight', 'all'"),
]


@pytest.mark.parametrize(("name", "parameters", "message"), BAD)
def test_bad_parameters_are_refused_by_name(
    name: str, parameters: dict[str, object], message: str
) -> None:
    """The message gives the rule and the value, whatever type the recipe has."""
    with pytest.raises(RecipeError) as caught:
        make(name, **parameters)
    assert message in str(caught.value)


# One by one ---------------------------------------------------------------------------------------


def test_cash_sells_what_is_held_once() -> None:
    """Coin held at the start is sold; after that nothing is asked for."""
    market = Market(to_candles([10.0, 11.0, 12.0]))
    market.held[SYMBOL] = 3.0
    first, second = play(make("cash"), market, [DAY_MS, 2 * DAY_MS])
    assert first.actions == (TargetWeight(symbol=SYMBOL, weight=0.0),)
    assert second.actions == ()


def test_buy_and_hold_buys_a_late_listing_when_it_appears() -> None:
    """Two symbols get half each; the second is bought on its first bar, and that is all."""
    late = to_candles([5.0, 5.0, 5.0, 5.0], "ETH/USDT").between(2 * DAY_MS, None)
    market = Market(to_candles([10.0, 10.0, 10.0, 10.0]), late)
    decisions = play(make("buy_and_hold"), market, [n * DAY_MS for n in (1, 2, 3, 4)])
    assert [len(d.actions) for d in decisions] == [1, 0, 1, 0]
    assert decisions[2].actions == (TargetWeight(symbol="ETH/USDT", weight=0.5),)


def test_sma_cross_follows_the_state_or_waits_for_a_crossing() -> None:
    """Means of 1 and 3 bars: 3 > mean(1, 2, 3) at bar 2, 2 < mean(3, 4, 2) at bar 4, 5 > 11/3."""
    prices = [1.0, 2.0, 3.0, 4.0, 2.0, 5.0]
    assert weights(make("sma_cross", fast=1, slow=3), prices) == {2: 1.0, 4: 0.0, 5: 1.0}
    assert weights(make("sma_cross", fast=1, slow=3, wait_for_cross=True), prices) == {5: 1.0}


def test_sma_cross_takes_a_standstill_for_no_crossing() -> None:
    """After a swing of nine orders of magnitude the price stands still: the means are equal."""
    prices = [0.1, 1e8, 0.3, 7.7, *[0.1] * 60]
    agent = make("sma_cross", fast=3, slow=7)
    asked = weights(agent, prices)
    assert max(asked, default=0) < 4 + 7
    still = weights(make("sma_cross", fast=3, slow=7), [0.1] * 60)
    assert still == {}


@settings(max_examples=50, deadline=None)
@given(prices=st.lists(st.floats(1e-9, 1e9), min_size=5, max_size=40), n=st.integers(2, 5))
def test_a_rolling_window_is_exact(prices: list[float], n: int) -> None:
    """Mean and deviation equal those of the window alone, whatever went through it before."""
    window = RollingWindow(n)
    for price in prices:
        window.push(price)
    newest = prices[-n:]
    assert float(window.exact_mean()) == pytest.approx(statistics.fmean(newest), rel=1e-15)
    assert window.mean() == pytest.approx(statistics.fmean(newest), abs=1e-15 * max(prices))
    rounding = 1e-15 * max(newest)  # of the mean: equal prices may deviate by it
    assert window.deviation() == pytest.approx(statistics.stdev(newest), rel=1e-9, abs=rounding)


def test_macd_equals_pandas_and_can_be_inverted() -> None:
    """The sign of line minus signal line is that of pandas' recursive exponential means."""
    rng = np.random.default_rng(5)
    price = pd.Series(100 * np.exp(np.cumsum(rng.normal(0, 0.02, size=300))))

    def mean(values: "pd.Series[float]", span: int) -> "pd.Series[float]":
        return values.ewm(span=span, adjust=False).mean()

    line = mean(price, 12) - mean(price, 26)
    above = (line > mean(line, 9)).to_numpy()
    changes = [bar for bar in range(35, 300) if above[bar] != above[bar - 1]]
    asked = weights(make("macd"), price.tolist())
    assert [bar for bar in asked if bar > 34] == changes
    assert all(asked[bar] == above[bar] for bar in changes)
    inverted = weights(make("macd", inverted=True), price.tolist())
    assert all(inverted[bar] == (not above[bar]) for bar in changes if bar in inverted)


def test_rsi_is_wilders() -> None:
    """N = 2, changes +1, -1, -4: gain 1/2, 1/4; loss 1/2, (1/2 + 4)/2 = 9/4; RSI = 10 < 30.

    The rise of 9 after it: gain (1/4 + 9)/2 = 37/8, loss 9/8, RSI = 100 * 37/46 = 80.4 > 70.
    """
    assert weights(make("rsi", n=2), [10.0, 11.0, 10.0, 6.0, 15.0]) == {3: 1.0, 4: 0.0}


def test_bollinger_sells_at_the_middle_or_the_upper_band() -> None:
    """N = 3, width 1: of (10, 10, 4) the mean is 8 and the deviation 3.46; 4 is below 4.54.

    (10, 4, 8): mean 7.33, deviation 3.06; 8 is above the middle, not above 10.39. (4, 8, 12): mean
    8, deviation 4: 12 is not above 12. (8, 12, 30): mean 16.67, deviation 11.72: 30 is above 28.39.
    """
    prices = [10.0, 10.0, 4.0, 8.0, 12.0, 30.0]
    middle = make("bollinger", n=3, width=1.0)
    assert weights(middle, prices) == {2: 1.0, 3: 0.0}
    upper = make("bollinger", n=3, width=1.0, exit_at="upper")
    assert weights(upper, prices) == {2: 1.0, 5: 0.0}


def test_donchian_compares_with_the_bars_before() -> None:
    """Highest of 3 bars before: 5 > 4 at bar 3; lowest of 2 before: 3 < 4 at bar 5 (bars 3, 4)."""
    agent = make("donchian", entry_bars=3, exit_bars=2)
    assert weights(agent, [2.0, 4.0, 3.0, 5.0, 4.0, 3.0]) == {3: 1.0, 5: 0.0}


def test_donchian_at_the_open_does_not_skip_the_newest_whole_bar() -> None:
    """At the open of day 3 the highs of days 0 to 2 are known: 5 is above all three."""
    market = Market(to_candles([2.0, 4.0, 3.0, 5.0, 4.0]), at_open=True)
    agent = make("donchian", entry_bars=3, exit_bars=2)
    decisions = play(agent, market, [n * DAY_MS for n in range(4)])
    assert [len(d.actions) for d in decisions] == [0, 0, 0, 1]


def test_momentum_sizes_to_the_target() -> None:
    """Daily log returns of +2 % and -1 % by turns: deviation 1.5 % a day times sqrt(365).

    With ddof 1 over 28 returns it is 0.015 * sqrt(28 / 27), so 29.18 % a year: half of a target of
    58.37 % fits a weight of one half at a target of 14.59 %.
    """
    returns = np.tile([0.02, -0.01], 30)
    prices = 100 * np.exp(np.concatenate([[0.0], np.cumsum(returns)]))
    volatility = 0.015 * np.sqrt(28 / 27) * np.sqrt(365)
    agent = make("momentum", target_volatility=volatility / 2, band=0.0)
    asked = weights(agent, prices.tolist())
    assert min(asked) == 28
    assert asked[28] == pytest.approx(0.5, rel=1e-6)
    falling = weights(make("momentum"), prices[::-1].tolist())
    assert falling == {}


def test_momentum_sells_when_the_trend_turns_within_the_band() -> None:
    """A weight that goes to zero is traded however small it was."""
    prices = [*np.linspace(100, 130, 31), *np.linspace(128, 90, 20)]
    asked = weights(make("momentum", band=0.5, max_weight=0.3), prices)
    assert list(asked.values()) in ([0.3, 0.0], [asked[28], 0.0])


def test_dca_divides_the_cash_and_stops_at_the_end_of_it() -> None:
    """1,000 in 4 purchases every 2 days: 250 on days 1, 3, 5 and 7, then nothing."""
    candles = to_candles([10.0] * 12)
    market = Market(candles)
    agent = make("dca", every="2d", purchases=4)
    decisions = play(agent, market, candles.close_ms.tolist())
    spent = {
        bar: a.cash for bar, d in enumerate(decisions) for a in d.actions if isinstance(a, Order)
    }
    assert spent == {0: 250.0, 2: 250.0, 4: 250.0, 6: 250.0}
    assert decisions[0].wake is not None
    assert decisions[0].wake.after_ms == 2 * DAY_MS


def test_dca_goes_on_after_a_restart() -> None:
    """Amount and next purchase survive; foreign state is refused by name."""
    candles = to_candles([10.0] * 6)
    market = Market(candles)
    agent = make("dca", every="2d", purchases=4)
    play(agent, market, [DAY_MS])
    fresh = make("dca", every="2d", purchases=4)
    cast("Restarts", fresh).restore(cast("Restarts", agent).state())
    second, third = play(fresh, market, [2 * DAY_MS, 3 * DAY_MS])
    assert second.actions == ()
    assert third.actions == (Order(symbol=SYMBOL, side="buy", cash=250.0),)
    for state in (b"", b"\xff", json.dumps([1]).encode()):
        with pytest.raises(AgentError, match="no state of dca"):
            cast("Restarts", fresh).restore(state)


def test_rebalance_trades_beyond_the_band() -> None:
    """60/40, the first doubles: 0.6 becomes 1.2 / 1.6 = 75 %, 15 points off: back to 60."""
    rising = to_candles([10.0, 10.0, 20.0, 20.0])
    market = Market(rising, to_candles([5.0] * 4, "ETH/USDT"))
    agent = make("rebalance", weights={SYMBOL: 0.6, "ETH/USDT": 0.4})
    decisions = play(begin(agent, SYMBOL, "ETH/USDT"), market, rising.close_ms.tolist())
    assert [len(d.actions) for d in decisions] == [2, 0, 2, 0]
    assert "75.0%, should be 60.0%" in decisions[2].reason


def test_rebalance_names_a_symbol_that_is_not_there() -> None:
    """A typo in the weights is found before the first bar."""
    with pytest.raises(RecipeError, match=r"agent.weights names 'XRP/USDT'"):
        begin(make("rebalance", weights={"XRP/USDT": 1.0}), SYMBOL)


@pytest.mark.slow
def test_matched_random_has_the_long_share_and_the_turnover_it_is_given() -> None:
    """Over 40,000 bars both are within a tenth of what was asked for, and the seed fixes them."""
    n = 40_000
    asked = weights(begin(make("matched_random", long_share=0.3, switches_per_bar=0.05)), [1.0] * n)
    is_long = np.zeros(n)
    state = 0.0
    for bar in range(n):
        state = asked.get(bar, state)
        is_long[bar] = state
    assert is_long.mean() == pytest.approx(0.3, rel=0.1)
    assert len(asked) / n == pytest.approx(0.05, rel=0.1)
    short = {bar: weight for bar, weight in asked.items() if bar < 500}
    repeat = begin(make("matched_random", long_share=0.3, switches_per_bar=0.05))
    assert weights(repeat, [1.0] * 500) == short
    other = begin(make("matched_random", long_share=0.3, switches_per_bar=0.05), seed=2)
    assert weights(other, [1.0] * 500) != short


@pytest.mark.parametrize("long_share", [0.0, 1.0])
def test_matched_random_at_the_ends_never_changes(long_share: float) -> None:
    """All or none of the bars in the market leaves nothing to switch."""
    asked = weights(begin(make("matched_random", long_share=long_share)), [1.0] * 200)
    assert asked == ({0: 1.0} if long_share else {})


# Published numbers --------------------------------------------------------------------------------

WINDOWS = (("2023-10-01", "2023-12-01"), ("2023-06-17", "2023-08-25"), ("2023-04-12", "2023-06-16"))
PUBLISHED = [
    ("buy_and_hold", {"style": "all"}, (39.66, -0.83, -15.61)),
    ("sma_cross", {"fast": 1, "slow": 15, "style": "half"}, (22.58, 3.65, -21.74)),
    ("sma_cross", {"fast": 15, "slow": 30, "style": "half"}, (38.53, -3.14, -7.68)),
    ("macd", {"inverted": True, "style": "half"}, (13.57, -6.71, -9.51)),
    ("bollinger", {"exit_at": "upper", "style": "half"}, (2.97, -3.19, -1.17)),
    ("macd", {"style": "half"}, (17.84, 3.00, -9.69)),
]


@pytest.mark.parametrize(("name", "parameters", "expected"), PUBLISHED)
def test_the_agents_give_the_published_cryptotrade_returns(
    name: str,
    parameters: dict[str, object],
    expected: tuple[float, ...],
    shared_data: Path,
) -> None:
    """In a plain loop over daily opens: half in coin at first, fee 0.4 % and 0.00147 coin a trade.

    The first day trades, the last only values. Sixty days before it are warm-up.
    """
    frame = pd.read_parquet(shared_data / "candles" / "coinmarketcap" / "BTC-USD-1d.parquet")
    opens = frame["open"].to_numpy(np.float64)
    start_ms = frame["timestamp"].iloc[0].value // 1_000_000
    for (since, until), percent in zip(WINDOWS, expected, strict=True):
        first = (to_time_ms(since) - start_ms) // DAY_MS
        last = (to_time_ms(until) - start_ms) // DAY_MS
        found = trade_at_opens(make(name, **parameters), opens, first, last)
        assert abs(100 * (found / 1e6 - 1) - percent) < 0.01


def trade_at_opens(agent: Agent, opens: FloatArray, first: int, last: int) -> float:
    """Return the last day's equity of the published account."""
    candles = to_candles(opens[first - 60 : last + 1].tolist())
    market = Market(candles, cash=5e5, at_open=True)
    market.held[SYMBOL] = 5e5 / float(opens[first])
    market.fee = 0.004
    for day in range(60, 60 + last - first):
        observation = market.observe(day * DAY_MS)
        decision = to_decision(agent.decide(observation), observation.symbols)
        market.carry_out(decision, observation)
        market.cash -= len(decision.actions) * 0.00147 * observation.price()
    return market.cash + market.held[SYMBOL] * float(opens[last])


@pytest.mark.slow
def test_the_sma_cross_makes_the_4623_trades_of_the_5_minute_series(shared_data: Path) -> None:
    """All cash in and out at the next open, 0.1 % of notional: 5,831.0898, long at the end."""
    frame = pd.read_parquet(shared_data / "candles" / "binance" / "BTC-USDT-5m.parquet")
    opens, closes = frame["open"].tolist(), frame["close"].tolist()
    window = Window(to_candles(closes, timeframe="5m"))
    agent = make("sma_cross", wait_for_cross=True)
    cash, held, n_orders = 100_000.0, 0.0, 0
    target: float | None = None
    for bar, price in enumerate(opens):
        if target is not None:
            if target:
                cash, held = 0.0, cash / (price * 1.001)
            else:
                cash, held = held * price * 0.999, 0.0
            n_orders += 1
        window.reveal(bar + 1)
        observation = Observation(
            time_ms=bar, windows={SYMBOL: window}, signals={}, cash=cash, equity=1.0,
            quantities={SYMBOL: held},
        )  # fmt: skip
        decision = to_decision(agent.decide(observation), (SYMBOL,))
        target = next((a.weight for a in decision.actions if isinstance(a, TargetWeight)), None)
    assert n_orders == 4_623
    assert cash + held * closes[-1] == pytest.approx(5_831.0898, rel=1e-6)
