"""The loop of one bar: what the agent is shown, when it is asked, what becomes of its answer."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import backtrader as bt
import numpy as np
import pytest

import seawall
from seawall.action import Cancel, Order, TargetWeight
from seawall.agent import Decision, Feedback, Wake
from seawall.engine.cerebro import Cerebro
from seawall.engine.feed import ArrayFeed
from seawall.engine.world import build_world
from seawall.errors import RecipeError
from seawall.market.catalog import Catalog
from seawall.market.series import SeriesKey, Signal
from seawall.market.simulate import simulate
from seawall.observation import Observation
from seawall.recipe import Recipe
from seawall.result import Result
from seawall.units import DAY_MS, HOUR_MS

RECIPE = Recipe.from_toml(
    """
seed = 3
[market]
venue = "simulated"
symbols = ["ETH/USDT"]
timeframe = "1h"
since = "2025-01-01"
until = "2025-01-11"
warmup = "2d"
""",
    name="ten days",
)
N_BARS = 240
N_DECISIONS = N_BARS + 1  # the first is taken at the close of the last warm-up bar


def kinds(result: Result) -> list[str]:
    """Return the kinds of all journal entries, in order."""
    return list(result.journal["kind"])


def test_the_agent_is_asked_at_every_close_and_sees_the_warm_up() -> None:
    """240 bars after 48 of warm-up: asked before the first and after each, from 48 closes on."""
    seen: list[tuple[int, int]] = []

    def agent(observation: Observation) -> None:
        seen.append((observation.time_ms, len(observation.prices())))

    seawall.run(RECIPE, agent=agent)
    assert len(seen) == N_DECISIONS
    assert seen[0] == (RECIPE.market.since_ms, 48)
    assert [n for _, n in seen] == list(range(48, 48 + N_DECISIONS))


def test_an_order_decided_at_a_close_fills_at_the_next_open() -> None:
    """The decision at the last warm-up close is filled at the first open, and pays the costs."""
    result = seawall.run(RECIPE, agent=lambda _: 1.0)
    fill = result.fills.iloc[0]
    assert fill["time_ms"] == RECIPE.market.since_ms
    assert fill["price"] > fill["raw_price"]
    assert fill["price"] == pytest.approx(fill["raw_price"], rel=1e-3)


def test_an_agent_that_raises_or_talks_nonsense_has_abstained() -> None:
    """It is recorded with the reason, and the run goes on."""

    def moody(observation: Observation) -> object:
        if len(observation.prices()) % 2:
            raise ValueError("not today")
        return "buy!"

    result = seawall.run(RECIPE, agent=moody)
    assert result.counts["abstained"] == N_DECISIONS
    assert set(result.journal["text"].str.partition(":")[0]) == {"ValueError", "AgentError"}
    assert result.metrics.total_return == 0.0


def test_a_sleeping_agent_is_asked_again_when_it_said() -> None:
    """Woken every 24 hours, it is asked at the start of ten days and at their end."""
    result = seawall.run(
        RECIPE, agent=lambda _: Decision(reason="zzz", wake=Wake(after_ms=24 * HOUR_MS))
    )
    assert result.counts["decisions"] == 11


def test_a_price_wakes_the_agent() -> None:
    """Asked once at the start; then only at closes below the level."""

    def agent(observation: Observation) -> Decision:
        level = observation.price() * 0.98
        return Decision(reason=f"{level}", wake=Wake(below={"ETH/USDT": level}))

    result = seawall.run(RECIPE, agent=agent)
    levels = [float(text) for text in result.journal["reason"]]
    closes = result.prices["ETH/USDT"].loc[result.journal["time"]].to_numpy()
    assert 1 < len(levels) < N_BARS / 4
    assert (closes[1:] < np.array(levels[:-1])).all()


def test_a_fill_wakes_the_agent() -> None:
    """It buys, sleeps, and is asked again at the close of the bar that filled it."""

    def agent(observation: Observation) -> Decision | None:
        if observation.quantities["ETH/USDT"]:
            return Decision(reason="filled", wake=Wake(after_ms=10**12))
        action = TargetWeight(symbol="ETH/USDT", weight=0.5)
        return Decision(actions=(action,), wake=Wake(at_fill=True))

    result = seawall.run(RECIPE, agent=agent)
    assert result.counts["decisions"] == 2
    assert result.journal["reason"].tolist().count("filled") == 1


def test_orders_can_be_seen_and_cancelled_by_the_agents_own_name() -> None:
    """A limit far below rests, is seen, and is gone after the cancel."""
    seen: list[tuple[str, ...]] = []

    def agent(observation: Observation) -> Sequence[object] | None:
        seen.append(tuple(order.client_id for order in observation.orders))
        if len(seen) == 1:
            limit = observation.price() / 2
            return [
                Order(
                    symbol="ETH/USDT", side="buy", type="limit", quantity=1.0, limit_price=limit,
                    client_id="dip",
                )
            ]  # fmt: skip
        return [Cancel(order_id="dip")] if len(seen) == 3 else None

    result = seawall.run(RECIPE, agent=agent)
    assert seen[:5] == [(), ("dip",), ("dip",), (), ()]
    assert "cancelled" in kinds(result)


class Learner:
    """Notes when it is taught, and what."""

    taught: list[Feedback] = []  # noqa: RUF012 - shared on purpose: the engine runs a copy
    fitted: list[int] = []  # noqa: RUF012

    def fit(self, history: Observation) -> None:
        """Note how much could be seen."""
        self.fitted.append(len(history.prices()))

    def learn(self, feedback: Feedback) -> None:
        """Note the outcome."""
        self.taught.append(feedback)

    def decide(self, observation: Observation) -> float:
        """Hold half."""
        del observation
        return 0.5


def test_learning_is_told_outcomes_only_once_they_are_known_and_fit_ends_before_now() -> None:
    """Each outcome is known one bar after its decision; ``fit`` misses the last bar (embargo)."""
    Learner.taught.clear()
    Learner.fitted.clear()
    result = seawall.run(RECIPE, agent=Learner())
    assert Learner.fitted == [47]
    assert all(f.known_ms - f.decided_ms == HOUR_MS for f in Learner.taught)
    equity = result.equity["equity"].to_numpy()
    returns = [f.equity_return for f in Learner.taught]
    assert returns == pytest.approx((equity[1:] / equity[:-1] - 1).tolist(), abs=1e-12)


def test_at_the_open_the_agent_sees_the_open_it_trades_at() -> None:
    """Closes end one bar earlier; the fill is at that very open; the result is labelled."""
    shown: list[float] = []

    def agent(observation: Observation) -> float | None:
        history = observation.history()
        assert len(history.open) == len(history.close) + 1
        shown.append(observation.price())
        return 1.0 if len(shown) == 1 else None

    recipe = RECIPE.with_settings({"execution.decide_at": "open"})
    result = seawall.run(recipe, agent=agent)
    assert len(shown) == N_BARS - 1  # the last open only values the account
    assert result.fills.iloc[0]["raw_price"] == shown[0]
    assert any("optimistic" in label for label in result.labels)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strategy.max_weight": 2}, "max_weight must be > 0 and <= 1, is 2"),
        ({"strategy.drawdown_stop": 1.5}, "drawdown_stop must be >= 0 and < 1"),
        ({"strategy.max_turnover_per_day": 0}, "max_turnover_per_day must be > 0"),
        ({"strategy.sizing": "later"}, "sizing must be decision or fill"),
        ({"strategy.max_wait": 2}, "did you mean 'max_weight'"),
        ({"agent.name": "agents.sma_cross", "agent.fats": 2}, "did you mean 'fast'"),
        (
            {"strategy.name": "strategies.golden_cross", "agent.name": "agents.cash"},
            "decides itself",
        ),
    ],
)
def test_a_wrong_parameter_is_refused_before_the_run(
    settings: dict[str, object], message: str
) -> None:
    """The message has the rule, the value and the remedy."""
    with pytest.raises(RecipeError, match=message):
        seawall.run(RECIPE.with_settings({"agent.name": "agents.cash", **settings}))


def test_limits_are_kept() -> None:
    """A weight above the limit is cut, a short is refused by name, turnover ends at its limit."""
    cut = seawall.run(RECIPE.with_settings({"strategy.max_weight": 0.3}), agent=lambda _: 1.0)
    assert cut.equity["exposure"].max() < 0.35
    assert (cut.journal["text"] == "ETH/USDT to weight 0.3").sum() == cut.counts["reduced"] > 0
    short = seawall.run(RECIPE, agent=lambda _: -0.5)
    assert short.counts["refused"] == N_DECISIONS
    refused = short.journal[short.journal["kind"] == "refused"]
    assert refused["reason"].str.contains("spot does not short").all()
    limited = RECIPE.with_settings({"strategy.max_turnover_per_day": 1.5})
    flips = seawall.run(limited, agent=lambda o: float(len(o.prices()) % 2))
    days = flips.fills.assign(
        day=flips.fills["time"].dt.date, notional=lambda f: f["quantity"].abs() * f["price"]
    )
    assert days.groupby("day")["notional"].sum().max() < 1.7 * 100_000
    assert flips.counts["refused"] > 0


def test_the_drawdown_stop_sells_everything_for_good() -> None:
    """In a crash of 50 % a stop at 10 % ends in cash, with the reason in the journal."""
    recipe = RECIPE.with_settings(
        {
            "market.crash": {"at": "2025-01-05", "depth": 0.5, "duration": "12h"},
            "strategy.drawdown_stop": 0.1,
        }
    )
    result = seawall.run(recipe, agent=lambda _: 1.0)
    note = result.journal[result.journal["kind"] == "note"]
    assert note["reason"].str.contains("drawdown_stop is 10.00%").tolist() == [True]
    assert result.equity["exposure"].iloc[-1] == 0.0
    assert -0.35 < result.metrics.total_return < -0.09


def two_symbols(tmp_path: Path) -> tuple[Catalog, Recipe]:
    """Return a market where BTC is there from the start and ETH is listed three days later."""
    catalog = Catalog(tmp_path)
    for symbol, start in (("BTC/USDT", 0), ("ETH/USDT", 72)):
        made = simulate(
            SeriesKey("candles", "simulated", symbol, "1h"),
            seed=5, n_bars=240 - start, since_ms=RECIPE.market.since_ms + start * HOUR_MS,
            start_price=100.0,
        )  # fmt: skip
        catalog.write(replace(made, key=replace(made.key, venue="test")), fetched_ms=None)
    changes = {
        "market.venue": "test",
        "market.symbols": ["BTC/USDT", "ETH/USDT"],
        "market.warmup": "0d",
    }
    return catalog, RECIPE.with_settings(changes)


def test_a_symbol_that_is_listed_later_is_empty_until_then(tmp_path: Path) -> None:
    """Its price is nan and an order for it is refused; then it trades from its first bars on."""
    catalog, recipe = two_symbols(tmp_path)
    seen: list[tuple[int, float]] = []

    def agent(observation: Observation) -> dict[str, float]:
        eth = observation.history("ETH/USDT")
        seen.append((len(eth), observation.price("ETH/USDT")))
        return {"BTC/USDT": 0.5, "ETH/USDT": 0.4}

    result = seawall.run(recipe, agent=agent, catalog=catalog)
    assert [n for n, _ in seen] == [max(0, hour - 72) for hour in range(1, 241)]
    assert all(np.isnan(price) == (n == 0) for n, price in seen)
    assert result.counts["refused"] == 72
    fills = result.fills
    first_eth = fills[fills["symbol"] == "ETH/USDT"].iloc[0]
    assert first_eth["time_ms"] == recipe.market.since_ms + 73 * HOUR_MS
    worth = sum(
        fills.loc[fills["symbol"] == symbol, "quantity"].sum() * result.prices[symbol].iloc[-1]
        for symbol in recipe.market.symbols
    )
    paid = (fills["quantity"] * fills["price"] + fills["fee"]).sum()
    assert result.equity["equity"].iloc[-1] == pytest.approx(100_000 - paid + worth, rel=1e-12)


def test_higher_timeframes_reach_a_plain_strategy_only_once_they_have_closed() -> None:
    """Beside 1 h bars the 4 h feed shows the close of an hour that has ended, never a later one."""
    closes: list[tuple[float, float]] = []

    class Reader(bt.Strategy):
        """Notes the last closes of both feeds."""

        def next(self) -> None:
            """Note them."""
            closes.append((self.data0.close[0], self.data1.close[0]))

    coarse = RECIPE.with_settings({"market.higher_timeframes": ["4h"]})
    world = build_world(coarse, Catalog(), offline=True)
    cerebro = Cerebro()
    for candles in (world.candles["ETH/USDT"], world.higher[0][1]):
        cerebro.adddata(ArrayFeed(candles))
    cerebro.addstrategy(Reader)
    cerebro.run()
    hourly = world.candles["ETH/USDT"].close
    assert [c for _, c in closes] == [hourly[3 + 4 * (i // 4)] for i in range(len(closes))]


def test_a_signal_of_the_recipe_is_seen_from_when_it_was_known(tmp_path: Path) -> None:
    """A daily value is published an hour after its day has ended: at 01:00 of the next day."""
    catalog, recipe = two_symbols(tmp_path)
    days = RECIPE.market.since_ms + DAY_MS * np.arange(-2, 10, dtype=np.int64)
    mood = Signal(
        key=SeriesKey("signal", "test", "mood", "1d"),
        time_ms=days,
        known_ms=days + DAY_MS + HOUR_MS,
        value=np.arange(12.0),
    )
    catalog.write(mood, fetched_ms=None)
    seen: list[tuple[int, float]] = []

    def agent(observation: Observation) -> None:
        seen.append((observation.time_ms, observation.signal("test/mood/1d")))

    recipe = recipe.with_settings({"market.signals": ["test/mood/1d"]})
    result = seawall.run(recipe, agent=agent, catalog=catalog)
    for time_ms, value in seen:
        assert value == mood.value[mood.known_ms <= time_ms][-1]
    assert "signal/test/mood/1d" in result.data


def test_a_stop_far_below_the_market_does_not_make_an_order_small() -> None:
    """A buy stop at 1.0 is set off at once and pays the market: it is valued there."""

    def buy(observation: Observation) -> list[Order]:
        units = observation.equity / observation.price()
        return [Order(symbol="ETH/USDT", side="buy", type="stop", stop_price=1.0, quantity=units)]

    result = seawall.run(RECIPE.with_settings({"strategy.max_weight": 0.3}), agent=buy)
    assert len(result.fills) == 0
    assert result.journal["kind"].eq("refused").sum() == N_DECISIONS
