"""A loan through the engine: who comes first, what it costs, and what is refused before the run."""

from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import pytest
from made_loans import SINCE, short_recipe, store_hours

from seawall.agent import Decision, Wake
from seawall.engine.loan.terms import find_terms
from seawall.engine.run import run, run_in
from seawall.engine.world import World, build_world
from seawall.errors import DataError, RecipeError
from seawall.loan_action import Repay, TargetHealth
from seawall.loan_recipe import LoanSection
from seawall.market.catalog import Catalog
from seawall.market.series import Candles, SeriesKey
from seawall.observation import Observation
from seawall.result import Result
from seawall.units import HOUR_MS, to_time_ms
from seawall.venues.lending import layout, parameters

_START_MS = to_time_ms(SINCE)
Bars = list[tuple[float, float, float, float]]


def _catalog(folder: Path, bars: Bars) -> Catalog:
    return store_hours(folder, np.array(bars, dtype=np.float64).T)


def _path(*closes: float, dips: dict[int, float] | None = None) -> Bars:
    """Return bars from 2,000 on through these closes; ``dips``: lows by place."""
    bars = []
    before = 2_000.0
    for place, close in enumerate(closes):
        low = (dips or {}).get(place, min(before, close))
        bars.append((before, max(before, close), min(low, before, close), close))
        before = close
    return bars


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., Result]:
    """Return a run over given bars: ``play(bars, agent, **settings)``."""

    def run_bars(bars: Bars, agent: object | None = None, **settings: object) -> Result:
        recipe = short_recipe().with_settings(settings)
        return run(recipe, catalog=_catalog(tmp_path, bars), agent=agent)

    return run_bars


def test_the_liquidator_acts_at_the_first_price_that_lets_it(play: Callable[..., Result]) -> None:
    """Aave v3.0, WETH: threshold 0.825 x 10 WETH against 14,000 USDC is 1 at 1,696.97.

    From 2,000 the bar falls to 1,600: the oracle reports in steps of at most 0.5 %; the first at
    which health is below 1 lies within half a per cent below that price, and above 0.95 one half
    of the debt may be repaid: 7,000 USDC, with a bonus of 5 %.
    """
    result = play(_path(2_000.0, 1_600.0, 1_700.0))
    first = result.liquidations.iloc[0]
    assert 1_697 * 0.995 <= first["price"] < 1_697.1
    assert first["repaid"] == pytest.approx(7_000, rel=1e-4)
    assert first["seized"] * first["price"] == pytest.approx(7_000 * 1.05, rel=1e-4)
    assert 0.995 < first["health_before"] < 1
    assert result.parts["liquidation_bonus"] < 0


def test_the_agent_is_not_asked_inside_the_bar(play: Callable[..., Result]) -> None:
    """One bar falls from a healthy loan to a liquidation: no agent can come first."""

    def panics(observation: Observation) -> float | None:
        loan = observation.loan
        return inf if loan is not None and loan.health < 1.15 else None

    result = play(_path(2_000.0, 1_600.0, 1_650.0, 1_700.0), panics)
    assert len(result.liquidations) >= 1
    assert result.liquidations["time"].min() < result.transactions["time"].min()


def test_the_worst_run_sees_the_dip_and_the_best_does_not(play: Callable[..., Result]) -> None:
    """A wick to 1,650 inside the bar, closes at 2,000: liquidated at worst, untouched at best."""
    result = play(_path(2_000.0, 2_000.0, 2_000.0, dips={1: 1_650.0}))
    assert len(result.liquidations) == 1
    assert result.other is not None
    assert len(result.other.liquidations) == 0
    assert result.band.pessimistic < result.band.optimistic


def test_the_lowest_health_of_doing_nothing_is_ordered(play: Callable[..., Result]) -> None:
    """On random paths the untouched loan is never healthier at worst than at best."""
    rng = np.random.default_rng(5)
    closes = 2_000 * np.exp(np.cumsum(rng.normal(0, 0.01, 46)))
    bars = [
        (o, max(o, c) * 1.004, min(o, c) * 0.996, c)
        for o, c in zip([2_000.0, *closes[:-1]], closes, strict=True)
    ]
    result = play(bars)
    loan = result.loan
    assert (loan["untouched_health"] <= loan["untouched_health_best"] * (1 + 1e-12)).all()
    assert loan["untouched_health"].min() < loan["untouched_health_best"].min()


def test_at_worst_a_transaction_waits_out_the_bar_of_its_block(play: Callable[..., Result]) -> None:
    """Decided at a close, in a block 12 s later: at best that bar's open, at worst the next one's.

    The bar does not tell what it did before the block: at worst all of it.
    """

    def repays_once(observation: Observation) -> Repay | list[Repay] | None:
        loan = observation.loan
        return [Repay(asset="USDC", amount=500.0)] if loan and loan.debt["USDC"] > 13_900 else None

    result = play(_path(*[2_000.0] * 6), repays_once)
    assert result.other is None  # a bare function is not played twice
    sent_ms = int(result.transactions["sent_ms"].iloc[0])
    landed_ms = int(
        result.transactions["time"].astype("datetime64[ms, UTC]").astype("int64").iloc[0]
    )
    assert landed_ms - sent_ms == HOUR_MS


class _RepaysOnce:
    """Repays 500 USDC at the first chance."""

    def decide(self, observation: Observation) -> Decision | None:
        """Repay once."""
        loan = observation.loan
        if loan is None or loan.debt["USDC"] < 13_900 or loan.pending:
            return None
        return Decision(actions=(Repay(asset="USDC", amount=500.0),), reason="why not")


def test_at_best_it_lands_at_the_open_of_its_block(play: Callable[..., Result]) -> None:
    """The same decision in both runs: an hour apart."""
    result = play(_path(*[2_000.0] * 6), _RepaysOnce())
    assert result.other is not None
    worst, best = result.transactions.iloc[0], result.other.transactions.iloc[0]
    assert worst["sent_ms"] == best["sent_ms"]
    assert (worst["time"] - best["time"]).total_seconds() == 3600
    assert worst["reason"] == "why not"


def test_a_target_health_is_reached(play: Callable[..., Result]) -> None:
    """From 1.18 to 1.6 in one bundle, swap and gas paid."""

    class Aims:
        def decide(self, observation: Observation) -> Decision | None:
            loan = observation.loan
            if loan is None or loan.health > 1.5 or loan.pending:
                return Decision(wake=Wake(health_below=1.1))
            return Decision(actions=(TargetHealth(health=1.6),))

    result = play(_path(*[2_000.0] * 6), Aims())
    done = result.transactions.iloc[0]
    assert done["status"] == "done"
    assert done["health_after"] == pytest.approx(1.6, rel=2e-3)
    assert done["gas_usd"] > 0
    assert done["swap_fee_usd"] > 0


def test_the_parts_add_up_to_the_change_of_the_equity(play: Callable[..., Result]) -> None:
    """Market, interest, gas, fees and liquidations are all there is."""
    result = play(_path(1_900.0, 1_600.0, 1_500.0, 1_650.0, 1_400.0), _RepaysOnce())
    equity = result.equity["equity"]
    assert sum(result.parts.values()) == pytest.approx(equity.iloc[-1] - equity.iloc[0], rel=1e-9)


def test_a_bar_without_move_and_interest_changes_nothing(play: Callable[..., Result]) -> None:
    """A flat price, rates of 0: the account stays as it was, to the bit."""
    result = play(
        _path(*[2_000.0] * 5),
        **{"loan.rates.utilisation": 1e-12, "loan.rates.source": "strategy"},
    )
    assert result.equity["equity"].nunique() == 1


def test_liquidators_do_not_act_where_it_does_not_pay(play: Callable[..., Result]) -> None:
    """At 1,000 times the gas the bonus of a small loan does not pay for the transaction."""
    small = {"loan.amount": 1.0, "loan.debt_amount": 1_400.0, "loan.gas.baseline_gwei": 1.0}
    bars = _path(2_000.0, 1_650.0, 1_640.0)
    assert len(play(bars, **small).liquidations) > 0
    assert len(play(bars, **small, **{"loan.gas.multiplier": 1_000.0}).liquidations) == 0


def test_a_stale_oracle_keeps_the_loan_alive_and_a_wick_kills_it(
    play: Callable[..., Result],
) -> None:
    """What the protocol does not see does not liquidate; what it sees does, real or not."""
    fault = {"asset": "WETH", "since": "2023-06-01T01:00", "until": "2023-06-01T04:00"}
    stale = {"loan.oracle.faults": [{"kind": "stale", **fault}]}
    fall = _path(2_000.0, 1_650.0, 1_650.0, 2_000.0, 2_000.0)
    assert len(play(fall).liquidations) > 0
    assert len(play(fall, **stale).liquidations) == 0
    wick = {"loan.oracle.faults": [{"kind": "wick", "factor": 0.8, **fault}]}
    flat = _path(*[2_000.0] * 5)
    assert len(play(flat).liquidations) == 0
    assert len(play(flat, **wick).liquidations) > 0


def test_an_oracle_that_is_down_stops_the_liquidator_too(play: Callable[..., Result]) -> None:
    """While nobody can read the price nobody can liquidate."""
    fault = {"asset": "WETH", "since": "2023-06-01T01:00", "until": "2023-06-01T04:00"}
    down = {"loan.oracle.faults": [{"kind": "down", **fault}]}
    fall = _path(2_000.0, 1_650.0, 1_650.0, 2_000.0, 2_000.0)
    assert len(play(fall, **down).liquidations) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loan.collateral": "WEHT"}, "did you mean WETH"),
        ({"loan.debt_amount": 16_400.0}, "the loan to value at the start must be at most"),
        ({"loan.debt_amount": 17_000.0}, "the health factor at the start must be > 1"),
        ({"loan.wallet": {"DAI": 5.0}}, "loan.wallet names 'DAI'"),
        ({"loan.rules": "v2"}, None),
        ({"loan.protocol": "compound", "loan.debt": "DAI"}, "must be USDC"),
        ({"loan.protocol": "morpho"}, "Morpho"),
        ({"strategy.name": "strategies.spot_trading"}, "needs a job that guards one"),
        ({"execution.decide_at": "open"}, "from close to close, execution.decide_at is 'open'"),
        ({"execution.fill": "close"}, "execution.fill is 'close': leave it out"),
        ({"execution.fills": "stock"}, "execution.fills is 'stock'"),
        ({"account.initial_holdings": {"ETH": 1.0}}, "account.initial_holdings is"),
        ({"loan.e_mode": True}, "loan.e_mode is for"),
        ({"loan.debt": "ETH"}, "write WETH"),
        ({"loan.prices": {"WETH": 1_000.0}}, "one for one"),
        ({"loan.parameters": {"WETH": {"threshold": 0.5}}}, "max_ltv <= threshold < 1"),
        ({"loan.parameters": {"WETH": {"bonus": 0.5}}}, "smaller bonus"),
        ({"loan.rates.pool_supply": {"USDC": 1_000.0}}, "must fit into its pool"),
        ({"loan.oracle.deviation": {"WBTC": 0.01}}, "loan.oracle.deviation names 'WBTC'"),
        (
            {
                "loan.oracle.faults": [
                    {"kind": "stale", "asset": "WETH", "since": "2024-01-01", "until": "2024-01-02"}
                ]
            },
            "must lie in the window",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_the_run(
    play: Callable[..., Result], settings: dict[str, object], message: str | None
) -> None:
    """One message each: the rule, the value, the remedy."""
    bars = _path(2_000.0, 2_000.0)
    if message is None:
        assert any(label.startswith("counterfactual") for label in play(bars, **settings).labels)
        return
    with pytest.raises(RecipeError, match=message) as caught:
        play(bars, **settings)
    assert "\n" not in str(caught.value)


def test_a_day_without_gas_is_refused(play: Callable[..., Result]) -> None:
    """No series and no leave to model: the run does not start."""
    with pytest.raises(DataError, match=r'set gas\.source = "model"'):
        play(_path(2_000.0), **{"loan.gas.source": "series"})


def test_dated_rates_that_are_missing_are_refused(play: Callable[..., Result]) -> None:
    """Rates of the series are wanted and there are none."""
    with pytest.raises(DataError, match="the loan needs dated rates"):
        play(_path(2_000.0), **{"loan.rates.source": "series"})


def test_a_market_before_its_time_needs_to_be_named(tmp_path: Path) -> None:
    """March 2020 had no Aave v2: refused, or a counterfactual that every table says."""
    early = {"market.since": "2020-03-12", "market.until": "2020-03-13"}
    bars = _path(*[2_000.0] * 5)
    catalog = _catalog(tmp_path, bars)
    shift_ms = _START_MS - to_time_ms("2020-03-12")
    key = SeriesKey("candles", "made", "ETH/USDT", "1h")
    candles = catalog.read_candles(key, None, None)
    catalog.write(replace(candles, time_ms=candles.time_ms - shift_ms), fetched_ms=None)
    with pytest.raises(RecipeError, match="Aave v2 began on 2020-12-03"):
        run(short_recipe().with_settings(early), catalog=catalog)
    result = run(short_recipe().with_settings({**early, "loan.rules": "v2"}), catalog=catalog)
    assert "counterfactual: rules of Aave v2 on 2020-03-12" in result.labels


def test_a_stored_loan_is_read_back(play: Callable[..., Result], tmp_path: Path) -> None:
    """Health, liquidations and parts survive the disk."""
    result = play(_path(2_000.0, 1_600.0, 1_700.0))
    folder = result.save(tmp_path / "out")
    again = Result.load(folder)
    assert again.parts == result.parts
    assert again.liquidations["repaid"].tolist() == result.liquidations["repaid"].tolist()
    assert again.loan["health"].tolist() == result.loan["health"].tolist()


def test_the_same_world_serves_many_agents(tmp_path: Path) -> None:
    """Two runs in one world give what two worlds give: nothing of a run stays behind."""
    recipe = short_recipe()
    catalog = _catalog(tmp_path, _path(1_900.0, 1_600.0, 1_700.0))
    world: World = build_world(recipe, catalog, offline=True)
    first, second = run_in(world, recipe), run_in(world, recipe)
    assert first.equity["equity"].tolist() == second.equity["equity"].tolist()
    assert first.parts == second.parts


def test_an_oracle_that_was_silent_reports_no_price_in_between(
    play: Callable[..., Result],
) -> None:
    """Down while the price halves: the first report after it is 1,000, and debt is left behind.

    10 WETH at 1,000 are 10,000 USD against 14,000 USDC: whoever repays gets all of it at a bonus
    of 5 %, 9,523.81 USDC, and some 4,476 USDC are lost to the lenders.
    """
    fault = {"asset": "WETH", "since": "2023-06-01T01:00", "until": "2023-06-01T04:00"}
    down = {"loan.oracle.faults": [{"kind": "down", **fault}]}
    bars = _path(2_000.0, 1_650.0, 1_300.0, 1_000.0, 1_000.0, 1_000.0)
    steps, jump = play(bars), play(bars, **down)
    assert steps.liquidations["bad_debt_usd"].sum() == 0
    assert jump.liquidations["price"].iloc[0] == pytest.approx(1_000.0)
    assert jump.liquidations["bad_debt_usd"].sum() == pytest.approx(4_476, rel=1e-3)


def test_the_integers_run_from_a_recipe(play: Callable[..., Result]) -> None:
    """``loan.exact``: the same liquidations, and the same equity to what six decimals allow."""
    bars = _path(1_900.0, 1_600.0, 1_500.0, 1_650.0)
    kernel, exact = play(bars), play(bars, **{"loan.exact": True})
    assert len(kernel.liquidations) == len(exact.liquidations) > 0
    ours, theirs = kernel.equity["equity"], exact.equity["equity"]
    assert ours.iloc[-1] == pytest.approx(theirs.iloc[-1], rel=1e-8)


def test_interest_goes_on_over_a_hole_in_the_data(tmp_path: Path) -> None:
    """Four bars, the third and fourth missing before the last: three hours of debt, not one."""
    catalog = _catalog(tmp_path, _path(*[2_000.0] * 5))
    key = SeriesKey("candles", "made", "ETH/USDT", "1h")
    whole = run(short_recipe(), catalog=catalog)
    candles = catalog.read_candles(key, None, None)
    catalog.write(
        Candles(
            key=key,
            time_ms=np.delete(candles.time_ms, [2, 3]),
            open=np.delete(candles.open, [2, 3]),
            high=np.delete(candles.high, [2, 3]),
            low=np.delete(candles.low, [2, 3]),
            close=np.delete(candles.close, [2, 3]),
            volume=np.delete(candles.volume, [2, 3]),
        ),
        fetched_ms=None,
    )
    holed = run(short_recipe(), catalog=catalog)
    assert holed.loan["debt_USDC"].iloc[-1] == pytest.approx(
        whole.loan["debt_USDC"].iloc[-1], rel=1e-9
    )


def test_a_fault_of_either_asset_of_a_feed_is_met(play: Callable[..., Result]) -> None:
    """ETH and WETH share a feed: a wick that is ordered of ETH kills the loan too."""
    fault = {"since": "2023-06-01T01:00", "until": "2023-06-01T04:00", "factor": 0.8}
    wick = {"loan.oracle.faults": [{"kind": "wick", "asset": "ETH", **fault}]}
    result = play(_path(*[2_000.0] * 5), **wick)
    assert len(result.liquidations) > 0
    assert "fault: wick oracle of ETH" in result.labels
    assert len(set(result.labels)) == len(result.labels)


def test_growth_of_any_asset_is_said(play: Callable[..., Result]) -> None:
    """Collateral that grows against its feed by the recipe's word carries a label."""
    grows = {"loan.prices": {"WETH": {"symbol": "ETH/USDT"}, "USDC": {"value": 1.0, "growth": 0.5}}}
    labels = play(_path(2_000.0), **grows).labels
    assert "modelled: USDC grows by 50.00% a year" in labels


def test_an_efficiency_mode_changes_inside_the_window() -> None:
    """Aave v3's mode for ETH went from 93 % to 95 % on 2024-02-07: two epochs, one for each."""
    loan = LoanSection(collateral="wstETH", debt="WETH", equity=1.0, leverage=3.0, e_mode=True)
    names = ("wstETH", "WETH", "ETH")
    terms = find_terms(loan, names, to_time_ms("2024-02-01"), to_time_ms("2024-02-14"))
    by_day = {e.since_ms: e.risk[0, layout.THRESHOLD] for e in terms.epochs}
    assert by_day[to_time_ms("2024-02-01")] == pytest.approx(0.93)
    assert by_day[to_time_ms("2024-02-07")] == pytest.approx(0.95)


def test_a_mode_alone_begins_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of it on a day on which no asset's own parameters change."""
    loan = LoanSection(collateral="wstETH", debt="WETH", equity=1.0, leverage=3.0, e_mode=True)
    (*_, newest) = parameters.emode_history("aave-v3", 1)
    later = replace(newest, since_ms=to_time_ms("2024-02-10"))
    monkeypatch.setattr(parameters, "emode_history", lambda *_: (later,))
    window = to_time_ms("2024-02-08"), to_time_ms("2024-02-14")
    terms = find_terms(loan, ("wstETH", "WETH", "ETH"), *window)
    assert [e.since_ms for e in terms.epochs] == [window[0], later.since_ms]
