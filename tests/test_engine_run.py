"""A whole run on hand-made bars: headline, band, benchmark, limits, and when a fill is booked."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock

import backtrader as bt
import numpy as np
import pytest
from perpetual_runs import ETH, SINCE, fill_catalog, make_recipe, to_candles

import seawall
from seawall.action import Action, Order
from seawall.agent import Decision, Wake
from seawall.engine.accounts import trace_account
from seawall.engine.broker import ExchangeBroker
from seawall.engine.cerebro import Cerebro
from seawall.engine.feed import ArrayFeed
from seawall.engine.stock import StockBroker
from seawall.engine.world import build_world
from seawall.errors import AgentError, RecipeError
from seawall.fill import Fill
from seawall.market.catalog import Catalog
from seawall.market.series import Candles, SeriesKey
from seawall.observation import Observation
from seawall.perpetual_action import AddMargin
from seawall.recipe import Recipe
from seawall.result import Result
from seawall.units import HOUR_MS, to_time_ms
from seawall.workspace import find_recipe

SYMBOL = "BTC/USDT"
START_MS = to_time_ms("2024-01-01")
FLAT = (100.0, 101.0, 99.0, 100.0)
BOTH = (100.0, 106.0, 94.0, 100.0)  # reaches 94 and 106, and does not say in which order
FREE = {
    "costs.maker_fee_bps": 0.0, "costs.taker_fee_bps": 0.0, "costs.half_spread_bps": 0.0,
    "costs.impact_bps": 0.0, "execution.participation_cap": float("inf"),
}  # fmt: skip
Bars = Sequence[tuple[float, float, float, float]]


def play(
    folder: Path, bars: Bars, agent: object, *, n_warmup: int = 0, **settings: object
) -> Result:
    """Run an agent on hourly bars of (open, high, low, close), free of costs by default."""
    table = np.array(bars)
    candles = Candles(
        key=SeriesKey("candles", "made", SYMBOL, "1h"),
        time_ms=START_MS + HOUR_MS * np.arange(len(bars), dtype=np.int64),
        open=table[:, 0],
        high=table[:, 1],
        low=table[:, 2],
        close=table[:, 3],
        volume=np.full(len(bars), 1e6),
    )
    catalog = Catalog(folder)
    catalog.write(candles, fetched_ms=None)
    recipe = Recipe.from_dict(
        {
            "market": {
                "venue": "made",
                "symbols": [SYMBOL],
                "timeframe": "1h",
                "since": f"2024-01-01T{n_warmup:02}:00",
                "until": "2024-01-05",
                "warmup": f"{n_warmup}h" if n_warmup else "0d",
            }
        }
    )
    changes = {**FREE, **{key.replace("__", "."): value for key, value in settings.items()}}
    return seawall.run(recipe.with_settings(changes), agent=agent, catalog=catalog)


class Bracketed:
    """Buys 100 at first with a stop at 95 and a target at 105; buys 900 more once it has won."""

    def __init__(self) -> None:
        self.n = 0

    def decide(self, observation: Observation) -> list[Action]:
        """Answer the entry, then perhaps the regret."""
        self.n += 1
        if self.n == 1:
            return [
                Order(
                    symbol=SYMBOL, side="buy", quantity=100.0, stop_loss=95.0, take_profit=105.0
                )
            ]  # fmt: skip
        won = observation.cash > 100_100
        return [Order(symbol=SYMBOL, side="buy", quantity=900.0)] if won else []


def test_the_band_has_both_resolutions_of_a_bar(tmp_path: Path) -> None:
    """Stop first loses 500 of 100,000, target first wins 500; the lower is the headline."""
    result = play(tmp_path, [FLAT, FLAT, FLAT, BOTH, FLAT], Bracketed())
    assert result.band.n_ambiguous == 1
    assert result.band.pessimistic == result.metrics.total_return == pytest.approx(-0.005)
    assert result.band.optimistic == pytest.approx(0.005)


def test_the_headline_is_the_lower_end_even_where_the_kinder_bar_led_to_ruin(
    tmp_path: Path,
) -> None:
    """Having won, it buys 900 more and meets a fall to 60: -35.5 % is shown, not -0.5 %."""
    fall = (60.0, 61.0, 59.0, 60.0)
    bars = [FLAT, FLAT, FLAT, BOTH, FLAT, FLAT, fall, fall]
    result = play(tmp_path, bars, Bracketed())
    assert result.band.pessimistic == result.metrics.total_return == pytest.approx(-0.355)
    assert result.band.optimistic == pytest.approx(-0.005)
    assert result.equity["equity"].iloc[-1] == pytest.approx(64_500)


def test_a_function_is_not_run_twice_from_a_state_it_keeps(tmp_path: Path) -> None:
    """It is called once per bar, and the result says that it has no bounds."""
    asked: list[int] = []

    def agent(observation: Observation) -> list[Action] | None:
        asked.append(observation.time_ms)
        if len(asked) > 1:
            return None
        return [Order(symbol=SYMBOL, side="buy", quantity=100.0, stop_loss=95.0, take_profit=105.0)]

    result = play(tmp_path, [FLAT, FLAT, FLAT, BOTH, FLAT], agent)
    assert len(asked) == 5
    assert any("no bounds" in label for label in result.labels)


def test_at_the_open_a_fill_inside_a_bar_counts_from_its_close_on(tmp_path: Path) -> None:
    """A limit at 95 fills while the bar falls to 80: the profit of 100 - 95 never existed."""

    def agent(observation: Observation) -> list[Action] | None:
        if observation.orders or observation.quantities[SYMBOL]:
            return None
        return [Order(symbol=SYMBOL, side="buy", type="limit", limit_price=95.0, quantity=900.0)]

    fall, low = (100.0, 101.0, 80.0, 80.0), (80.0, 81.0, 79.0, 80.0)
    bars = [FLAT, FLAT, fall, low, low]
    result = play(tmp_path, bars, agent, execution__decide_at="open")
    expected = [100_000, 100_000, 100_000, 86_500, 86_500]
    assert result.equity["equity"].tolist() == pytest.approx(expected)
    last = play(tmp_path / "last", bars[:3], agent, execution__decide_at="open")
    assert last.metrics.total_return == pytest.approx(-0.135)


def test_the_drawdown_stop_watches_while_the_agent_sleeps(tmp_path: Path) -> None:
    """Five points lost per bar, stop at 10 %: out after the third loss, asleep or not."""

    def agent(observation: Observation) -> Decision:
        del observation
        order = Order(symbol=SYMBOL, side="buy", cash=100_000.0)
        return Decision(actions=(order,), wake=Wake(after_ms=10**11))

    bars = [
        FLAT,
        FLAT,
        *((100.0 - 5 * i, 101.0 - 5 * i, 94.0 - 5 * i, 95.0 - 5 * i) for i in range(12)),
    ]
    result = play(tmp_path, bars, agent, strategy__drawdown_stop=0.1)
    assert result.metrics.total_return == pytest.approx(-0.15)
    assert result.counts["decisions"] == 1


def test_max_weight_counts_what_is_on_its_way(tmp_path: Path) -> None:
    """Two buys of 40 % in one answer, limit 50 %: the second is refused by name."""

    def agent(observation: Observation) -> list[Action] | None:
        if observation.quantities[SYMBOL]:
            return None
        return [Order(symbol=SYMBOL, side="buy", quantity=400.0) for _ in range(2)]

    result = play(tmp_path, [FLAT] * 4, agent, strategy__max_weight=0.5)
    assert result.equity["exposure"].max() == pytest.approx(0.4)
    refused = result.journal[result.journal["kind"] == "refused"]
    assert refused["reason"].str.contains("max_weight is 0.5").all()
    assert len(refused) > 0


def test_the_benchmark_starts_with_the_same_equity_and_pays_the_same_costs(tmp_path: Path) -> None:
    """1,000 coins at 100 beside 100,000 in cash are 200,000 for both; the price doubles."""
    double = (200.0, 201.0, 199.0, 200.0)
    bars = [FLAT, FLAT, double, double]
    holding = play(tmp_path, bars, lambda _: None, account__initial_holdings={"BTC": 1000.0})
    assert holding.equity["benchmark"].iloc[0] == holding.equity["equity"].iloc[0] == 200_000
    assert holding.benchmark.total_return == pytest.approx(1.0)
    result = play(
        tmp_path / "costly", [FLAT] * 4, lambda _: 1.0,
        costs__fixed_fee_base=5.0, costs__taker_fee_bps=10.0,
    )  # fmt: skip
    assert result.benchmark.total_return == pytest.approx(result.metrics.total_return, abs=1e-4)


@pytest.mark.parametrize(
    ("agent", "kind", "message"),
    [("begin", AgentError, "cannot begin: KeyError"), ("lock", AgentError, "must be copyable")],
)
def test_an_agent_that_cannot_start_is_named(
    tmp_path: Path, agent: str, kind: type[Exception], message: str
) -> None:
    """One line, before the first bar."""

    class Broken:
        def __init__(self) -> None:
            self.lock = Lock() if agent == "lock" else None

        def begin(self, info: object) -> None:
            raise KeyError(info is None)

        def decide(self, observation: Observation) -> None:
            del observation

    with pytest.raises(kind, match=message):
        play(tmp_path, [FLAT] * 3, Broken())


def test_an_agent_that_exits_has_abstained(tmp_path: Path) -> None:
    """``sys.exit()`` in ``decide`` ends nothing but the decision."""

    def agent(observation: Observation) -> None:
        del observation
        raise SystemExit(0)

    result = play(tmp_path, [FLAT] * 3, agent)
    assert result.counts["abstained"] == 3


def test_a_parameter_that_is_no_number_is_refused(tmp_path: Path) -> None:
    """Not a TypeError from the depths."""
    with pytest.raises(RecipeError, match="max_weight must be a number, is 'abc'"):
        play(tmp_path, [FLAT] * 3, lambda _: None, strategy__max_weight="abc")


@pytest.mark.parametrize("fills", ["exchange", "stock"])
def test_a_plain_strategy_cannot_trade_its_warm_up(fills: str) -> None:
    """It buys in ``prenext`` from the first bar on; what is filled is filled in the window."""
    recipe = Recipe.from_file(seawall.find_recipe("plain_backtrader")).with_settings(
        {"execution.fills": fills, "market.until": "2025-01-15"}
    )
    world = build_world(recipe, Catalog(), offline=True)
    cerebro = Cerebro()
    cerebro.since_ms = world.since_ms
    broker: StockBroker | ExchangeBroker
    if fills == "stock":
        broker = StockBroker()
        broker.since_ms = world.since_ms
    else:
        broker = ExchangeBroker.from_recipe(recipe)
    cerebro.broker = broker
    cerebro.adddata(ArrayFeed(world.candles["ETH/USDT"]), name="ETH/USDT")
    cerebro.addstrategy(Eager)
    cerebro.run()
    filled_ms = (
        [fill.time_ms for fill in broker.fills]
        if isinstance(broker, ExchangeBroker)
        else [bt.num2date(done.dt).timestamp() * 1000 for done in broker.executions]
    )
    assert min(filled_ms) >= world.since_ms
    assert len(filled_ms) > 0


class Eager(bt.Strategy):
    """Buys a little on every bar, warm-up or not."""

    def prenext(self) -> None:
        """Do as ever."""
        self.next()

    def next(self) -> None:
        """Buy a little."""
        self.buy(size=0.01)


class Misplaced(bt.Strategy):
    """Orders on the coarser feed."""

    def next(self) -> None:
        """Buy a little of what is only shown."""
        self.buy(data=self.data1, size=0.01)


def test_a_coarser_feed_is_read_and_not_traded() -> None:
    """The order is rejected by name: it belongs on the symbol's own feed."""
    recipe = Recipe.from_file(seawall.find_recipe("plain_backtrader"))
    world = build_world(
        recipe.with_settings({"market.higher_timeframes": ["4h"], "market.until": "2025-01-05"}),
        Catalog(),
        offline=True,
    )
    cerebro, broker = Cerebro(), ExchangeBroker.from_recipe(recipe)
    cerebro.broker = broker
    coarse = ArrayFeed(world.higher[0][1])
    coarse.only_shows = True
    cerebro.adddata(ArrayFeed(world.candles["ETH/USDT"]), name="ETH/USDT")
    cerebro.adddata(coarse, name="ETH/USDT 4h")
    cerebro.addstrategy(Misplaced)
    cerebro.run()
    assert broker.fills == []
    assert "only shows coarser bars" in broker.journal.entries[-1].reason


def test_the_exit_that_is_cancelled_goes_when_the_other_fills(tmp_path: Path) -> None:
    """The journal of a bracket never steps back in time."""
    fall = (100.0, 101.0, 90.0, 92.0)
    journal = play(tmp_path, [FLAT, FLAT, FLAT, fall, fall], Bracketed()).journal
    assert {"filled", "cancelled"} <= set(journal["kind"])
    assert journal["time_ms"].is_monotonic_increasing


def test_coarser_bars_of_a_perpetual_are_read_and_its_own_are_traded() -> None:
    """Lock-in: the coarse feed stood in the account's place, and no order filled."""
    recipe = Recipe.from_file(find_recipe("futures_demo")).with_settings(
        {"market.until": "2025-02-01", "market.higher_timeframes": ["4h"]}
    )
    result = seawall.run(recipe, agent=lambda _: 1.0)
    assert set(result.fills["symbol"]) == {"ETH/USDT:USDT"}
    assert result.perpetual["quantity:ETH/USDT:USDT"].iloc[-1] > 0


def test_a_guard_without_a_position_is_refused() -> None:
    """The job of guarding one needs one."""
    with pytest.raises(RecipeError, match="guards a position, the recipe has none"):
        seawall.run(make_recipe("margin_protection", 6))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"agent.name": "agents.reduce_at_margin_ratio"}, "guards a leveraged position"),
        ({"agent.name": "agents.close_at"}, "guards a loan, the recipe has none"),
        ({"agent.name": "agents.funding_threshold"}, "answers for another kind of job"),
        ({"execution.fills": "stock"}, "execution.fills is 'stock'"),
        ({"execution.decide_at": "open"}, "execution.decide_at is 'open'"),
        ({"execution.fill": "close"}, "execution.fill is 'close'"),
    ],
)
def test_what_does_not_fit_a_futures_account_is_refused(
    settings: dict[str, object], message: str
) -> None:
    """One line each, before any data are read."""
    recipe = Recipe.from_file(find_recipe("futures_demo")).with_settings(settings)
    with pytest.raises(RecipeError, match=message) as caught:
        seawall.run(recipe)
    assert "\n" not in str(caught.value)


class _AddsAll:
    """Puts the whole reserve behind its position at the third close."""

    guards = "margin"

    def decide(self, observation: Observation) -> Decision | None:
        """Return what it adds, if there is still something to add to."""
        account = observation.perpetual
        is_third = observation.time_ms == to_time_ms(SINCE) + 3 * HOUR_MS
        if account is None or not (is_third and account.positions):
            return None
        return Decision(actions=(AddMargin(symbol=ETH, amount=1_000.0),))


def test_the_worse_pass_of_a_guarded_position_is_the_headline(tmp_path: Path) -> None:
    """Although the better one ends lower here: it lives through the wick, and loses its reserve.

    A 5x long from 2,000 is liquidated near 1,606. The wick to 1,500 in the second hour takes it in
    the worst pass, with 1,000 of reserve left; in the best one the reserve goes into it, and of the
    1,400 the fall to 1,000 takes 1,000.
    """
    recipe = make_recipe(
        "margin_protection",
        6,
        settings={
            "perpetual.position": {"symbol": ETH, "quantity": 1.0},
            "perpetual.margin": "isolated",
            "account.cash": 1_000.0,
        },
    )
    bars = to_candles(ETH, [2_000.0, 2_000.0, 2_000.0, 2_000.0, 1_000.0, 1_000.0])
    low = bars.low.copy()
    low[1] = 1_500.0
    catalog = Catalog(tmp_path)
    catalog.write(replace(bars, low=low), fetched_ms=None)
    result = seawall.run(recipe, agent=_AddsAll(), catalog=catalog)
    other = result.other
    assert other is not None
    assert result.equity["equity"].iloc[-1] == pytest.approx(1_000.0)
    assert other.equity["equity"].iloc[-1] == pytest.approx(400.0)
    assert result.margin_liquidations["price"].iloc[0] == pytest.approx(1_606.4, abs=0.1)


@pytest.mark.parametrize(
    ("position", "message"),
    [
        ({"quantity": 10.0, "entry": 1_000_000.0}, "it would be liquidated at once"),
        ({"quantity": 1.0, "entry": 2_600.0}, "it would be liquidated at once"),
        ({"quantity": -1.0, "entry": 1_500.0}, "it would be liquidated at once"),
        ({"notional": 1e6, "entry": 0.01}, "may have a notional below"),
    ],
)
def test_a_position_that_cannot_be_is_refused(
    position: dict[str, float], message: str, tmp_path: Path
) -> None:
    """A long of 5x from 2,600 has lost 600 of its 520 at 2,000; 1e6 / 0.01 units are 2e11 there."""
    recipe = make_recipe("margin_protection", 6, settings={"perpetual.position": position})
    with pytest.raises(RecipeError, match=message):
        seawall.run(recipe, catalog=fill_catalog(tmp_path, {ETH: [2_000.0] * 6}))


def test_the_benchmark_of_a_perpetual_pays_its_funding_and_its_fee() -> None:
    """It is what the agent of that name makes of the contract without leverage, to its rounding."""
    recipe = Recipe.from_file(find_recipe("futures_demo"))
    settings = {"agent.name": "agents.buy_and_hold", "strategy.leverage": 1.0}
    result = seawall.run(recipe.with_settings(settings))
    assert result.funding["amount"].sum() < -1_000.0
    assert result.benchmark.total_return == pytest.approx(result.metrics.total_return, abs=2e-3)


def test_a_fill_after_the_last_bar_counts_at_the_last_sample() -> None:
    """Lock-in: a paper session that is flattened after its last close has such fills."""
    recipe = Recipe.from_file(find_recipe("demo"))
    world = build_world(recipe, Catalog(), offline=True)
    last_ms = int(world.clock_ms[-1])
    late = Fill(
        time_ms=last_ms + HOUR_MS, bar_ms=last_ms, order_id="1", symbol="ETH/USDT", quantity=-1.0,
        price=3_000.0, raw_price=3_000.0, trigger_price=np.nan, slippage=0.0, fee=3.0,
        liquidity="taker", rule="market", is_ambiguous=False,
    )  # fmt: skip
    curve = trace_account(world, [late], cash=100.0, held={"ETH/USDT": 1.0}, at_open=False)
    assert (np.diff(curve.time_ms) > 0).all()
    assert curve.cash[-1] == 3_097.0
    assert curve.cash[-2] == 100.0
    assert curve.equity[-1] == 3_097.0
