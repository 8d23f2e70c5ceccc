"""Shadow sessions of loans, alone and hedged: guarded, liquidated, limited, stopped, gone on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paper_sessions import FREE
from sandbox_clients import START_MS, wavy
from shadow_markets import (
    DEEP_CRASH,
    HEDGE,
    LENT,
    LOAN,
    SPOT,
    UNTENDED,
    backtest_of,
    compare,
    entries_of,
    notes_of,
    recipe,
    result_of,
    run_in,
    session,
    told,
)

from seawall.analysis.report import write_report
from seawall.engine.loan.ahead import build_ahead, cut_ahead
from seawall.engine.loan.broker import LoanBroker
from seawall.engine.loan.standing import LoanStanding, find_loan_standing
from seawall.errors import DataError, RecipeError, SeawallError
from seawall.journal import Journal
from seawall.loan_action import Borrow, Repay, TargetHealth
from seawall.market.catalog import Catalog
from seawall.market.series import SeriesKey, Signal
from seawall.paper.gauges import DISTANCE, HEALTH
from seawall.paper.kill_switch import KillSwitch
from seawall.paper.limits import Limits
from seawall.paper.places import SWITCH
from seawall.paper.plan import Plan, to_live
from seawall.paper.status import read_status
from seawall.recipe import Recipe
from seawall.units import DAY_MS, MINUTE_MS

pytestmark = pytest.mark.slow  # whole sessions and processes


class Asks:
    """An agent that answers by the number of times it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.seen = answers, []  # type: ignore[var-annotated]

    def decide(self, observation: Any) -> Any:
        """Return the next answer; nothing after the last."""
        n = len(self.seen)
        self.seen.append(observation)
        return self.answers[n] if n < len(self.answers) else None


# What is the same as in a backtest ----------------------------------------------------------------


@pytest.mark.parametrize("of", [LENT, HEDGE], ids=["loan", "hedged"])
def test_a_shadow_of_a_loan_is_a_backtest(tmp_path: Path, of: Recipe) -> None:
    """Started twice: decisions, fills, transactions and transfers as replayed, the account to the
    bit, also in the result and in an ordinary backtest over the same series, which jumps over the
    bars that the agent sleeps through; the oracle follows the live candle.
    """  # noqa: D205 - one sentence, over two lines
    run_in(tmp_path, of, 14, 16, points=DEEP_CRASH)
    parity = compare(tmp_path)
    assert parity.differences == []
    assert parity.equity == parity.replayed_equity
    assert any("flash loan" in pair.recorded for pair in parity.events) == (of is LENT)
    assert any("transfer" in pair.recorded for pair in parity.events) == (of is HEDGE)
    result = result_of(tmp_path)
    assert float(result.equity.equity.iloc[-1]) == parity.equity
    alone = backtest_of(tmp_path, Catalog(tmp_path / "catalog"))
    assert np.array_equal(alone, result.equity.equity)
    assert "assumption: the oracle follows the live candle" in result.labels
    closes = result.prices[SPOT].iloc[1:].to_numpy()
    assert np.abs(result.loan.oracle_price.iloc[1:] / closes - 1).max() < 0.01
    status = read_status(tmp_path)
    assert status.gauges[HEALTH] == pytest.approx(float(result.loan.health.iloc[-1]))
    assert 0 < status.gauges[DISTANCE] < 1
    if of is LENT:
        assert len(result.transactions) == 1
        page = write_report(result, tmp_path / "report.html").read_text("utf-8")
        assert "health" in page.lower()


@pytest.mark.slow
def test_a_long_session_with_restarts_is_one(tmp_path: Path) -> None:
    """Bars of a hedged loan, started eight times: as if it had run through."""
    rng = np.random.default_rng(5)
    points = [3000.0] * 6 + [2700.0, 2400.0, 2450.0, 2000.0, 2300.0] * 4
    cuts = sorted(rng.choice(np.arange(1, 100), 7, replace=False).tolist())
    parts = np.diff([0, *cuts, 100]).tolist()
    run_in(tmp_path / "whole", HEDGE, 100, points=points)
    run_in(tmp_path / "parts", HEDGE, *parts, points=points)
    assert told(tmp_path / "parts") == told(tmp_path / "whole")
    parity = compare(tmp_path / "parts")
    assert parity.agrees
    assert parity.equity == parity.replayed_equity


@pytest.mark.slow
def test_what_closed_while_it_was_away_is_lived_through(tmp_path: Path) -> None:
    """Ten bars without it, in which the price falls: the loan has met them, nobody was asked."""
    agent = Asks()
    with session(tmp_path, UNTENDED) as run:
        run.go(5)
        run.thread.step(15 * MINUTE_MS)
        run.go(5, agent=agent)
    result = result_of(tmp_path)
    assert len(result.loan) >= 24
    assert float(result.loan.health.iloc[-1]) < 1.5
    whys = {pair.why for pair in compare(tmp_path).decisions if pair.recorded is None}
    assert len(whys) <= 1


def test_a_number_is_the_job_s(tmp_path: Path) -> None:
    """A bare number answers a health factor to a loan, and is recorded and replayed as one."""
    with session(tmp_path, UNTENDED) as run:
        run.go(6, agent=Asks(None, 2.0))
    assert compare(tmp_path, agent=Asks(None, 2.0)).agrees
    assert read_status(tmp_path).gauges[HEALTH] == pytest.approx(2.0, rel=0.1)


# Liquidation --------------------------------------------------------------------------------------


def test_a_liquidation_is_an_event(tmp_path: Path) -> None:
    """Nobody guards it: the margin call and the liquidation are noted, and replayed."""
    run_in(tmp_path, UNTENDED, 32, points=DEEP_CRASH)
    notes = notes_of(tmp_path, "liquidated")
    assert notes
    assert "seized for" in notes[0]
    assert notes_of(tmp_path, "margin call")[0].startswith("a liquidation is near: health factor")
    parity = compare(tmp_path)
    assert parity.agrees
    assert any("seized for" in pair.replayed for pair in parity.events)
    assert len(result_of(tmp_path).liquidations) == len(notes)


# Limits and the kill switch -----------------------------------------------------------------------


def test_limits_are_of_what_is_borrowed(tmp_path: Path) -> None:
    """Borrowing 2,000 USDC is refused at 1,000, by the desk; repaying as much is not."""
    limits = Limits(max_daily_loss=None, max_drawdown=None, max_order=1_000.0)
    agent = Asks(
        None,
        [Borrow(asset="USDC", amount=2_000.0)],
        [Repay(asset="USDC", amount=1_500.0)],
        [Borrow(asset="USDC", amount=500.0)],
    )
    with session(tmp_path, UNTENDED, limits=limits) as run:
        run.go(7, agent=agent)
    (refused,) = entries_of(tmp_path, "refused")
    assert "2,000" in refused
    assert len(entries_of(tmp_path, "done")) == 2


def test_told_to_flatten_it_repays_the_loan(tmp_path: Path) -> None:
    """The switch is pressed: wallet and collateral repay the debt with the next block; started
    again, the recorded bars do so again.
    """  # noqa: D205
    switch = KillSwitch(tmp_path / SWITCH)
    with session(tmp_path, HEDGE) as run:
        press_ms = run.clock() + 26 * MINUTE_MS
        why = run.go(40, at_turn=lambda now: switch.press("flatten") if now >= press_ms else None)
        assert why == "the kill switch says flatten"
        assert notes_of(tmp_path, "ending")[-1] == "flat; nothing is owed"
        before = told(tmp_path)
        switch.release()
        run.go(2)
    after = told(tmp_path)
    assert after[2][: len(before[2])] == before[2]
    assert after[1] == before[1]
    assert before[1]
    assert not read_status(tmp_path).gauges[HEALTH] < 1e9
    assert float(result_of(tmp_path).equity.equity.iloc[-1]) == after[2][-1][1]


@pytest.mark.slow
def test_told_to_cancel_it_takes_back_what_is_on_its_way(tmp_path: Path) -> None:
    """A transaction that would land two bars later is cancelled, and the loan stays as it is."""
    slow = UNTENDED.with_settings({"execution.latency": "3m"})
    switch = KillSwitch(tmp_path / SWITCH)
    with session(tmp_path, slow) as run:
        press_ms = run.clock() + 3 * MINUTE_MS
        run.go(
            20,
            agent=Asks(None, [Repay(asset="USDC", amount=1_000.0)]),
            at_turn=lambda now: switch.press("cancel") if now >= press_ms else None,
        )
        switch.release()
        run.go(5)
    assert entries_of(tmp_path, "sent")
    assert entries_of(tmp_path, "done") == []


# What stands still --------------------------------------------------------------------------------


def daily(name: str, venue: str, values: list[float]) -> Signal:
    """Return a series of days, the last known yesterday."""
    key = SeriesKey("signal", venue, name, "1d")
    times = START_MS - DAY_MS * np.arange(len(values) + 1, 1, -1, dtype=np.int64)
    return Signal(key=key, time_ms=times, known_ms=times + DAY_MS, value=np.array(values))


def test_rates_and_gas_are_the_last_known(tmp_path: Path) -> None:
    """From the catalog, labelled with their day; too old, they are the protocol's curve; a series
    that is missing is refused where it is wanted.
    """  # noqa: D205
    catalog = Catalog(tmp_path)
    section = replace_gas(UNTENDED, "series")
    with pytest.raises(DataError, match="needs a gas price"):
        find_loan_standing(section, START_MS, catalog)
    catalog.write(daily("ethereum_avg.gas_price_gwei", "gas", [20.0, 30.0]), fetched_ms=None)
    for asset, rate in (("WETH", 0.02), ("USDC", 0.05)):
        for kind in ("borrow_rate", "supply_rate"):
            catalog.write(
                daily(f"{asset}.{kind}", "aave-v3-ethereum", [0.5, rate]), fetched_ms=None
            )
    standing = find_loan_standing(section, START_MS, catalog)
    assert standing.gas_gwei == 30.0
    assert standing.epoch.borrow_rate[:2].tolist() == [0.02, 0.05]
    assert any("gas at 30 gwei as known on 2024-08-04" in label for label in standing.labels)
    assert any("rates as known on 2024-08-04" in label for label in standing.labels)
    again = LoanStanding.from_dict(standing.to_dict())
    assert again.to_dict() == standing.to_dict()
    old = find_loan_standing(section, START_MS + 30 * DAY_MS, catalog)
    assert any("protocol's curve" in label for label in old.labels)


def replace_gas(of: Recipe, source: str) -> Any:
    """Return the loan of a recipe with another source of gas."""
    return of.with_settings({"loan.gas.source": source}).loan


def world_of(n_bars: int, of: Recipe = UNTENDED) -> Any:
    """Return the world of a loan after so many bars of the window."""
    since_ms = START_MS + 20 * MINUTE_MS
    live = to_live(of, "local", since_ms)
    candles = wavy(20 + n_bars)
    assert live.loan is not None
    standing = find_loan_standing(live.loan, since_ms, Catalog())
    return build_ahead(live, {SPOT: candles}, candles.close_ms, standing, Catalog())


@pytest.mark.parametrize("exact", [False, True])
def test_a_world_that_grows_keeps_what_it_was(*, exact: bool) -> None:
    """Row by row the same however long it is; the bar ahead is nan, so nobody has read it; a loan
    that lives in worlds that grow is one that lives in the whole, to the bit.
    """  # noqa: D205
    of = UNTENDED.with_settings({"loan.exact": exact})
    whole = world_of(60, of)
    rows = whole.rows("worst")
    assert np.isnan(rows[-1]).all()
    assert not np.isnan(rows[:-1]).any()
    grown = LoanBroker(world_of(0, of), Journal(), "worst", candles={})
    for n in range(1, 61):
        world = world_of(n, of)
        assert np.array_equal(world.rows("worst")[: n + 1], rows[: n + 1])
        grown.extend(world)
        while grown._lived < n:
            grown._live(n)
    at_once = LoanBroker(cut_ahead(whole), Journal(), "worst", candles={})
    while at_once._lived < 60:
        at_once._live(60)
    assert np.array_equal(grown.trace[:61], at_once.trace[:61])
    assert not np.isnan(grown.trace[60, 0])


def test_a_past_that_changes_is_refused() -> None:
    """A longer world with another price in a bar that was lived through is no longer world."""
    broker = LoanBroker(world_of(10), Journal(), "worst", candles={})
    while broker._lived < 10:
        broker._live(10)
    world = world_of(11)
    changed = world.rows("worst").copy()
    changed[5] *= 1.001
    with pytest.raises(SeawallError, match="must stay as they were"):
        broker.extend(replace(world, _made={"worst": changed}))


# What is refused ----------------------------------------------------------------------------------


def test_what_only_a_past_can_have_is_refused(tmp_path: Path) -> None:
    """Planned faults of the oracle, ratios of the catalog, depegs, and a sandbox of a loan."""
    fault = {"kind": "stale", "asset": "WETH", "since": "2025-01-01", "until": "2025-01-02"}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"oracle": {"faults": [fault]}}, "no planned faults"),
        (
            {"prices": {"USDC": {"numerator": "BTC/USDT", "denominator": "BTC/USDC"}}},
            "is a ratio of series",
        ),
    ]
    for changed, match in cases:
        of = recipe("liquidation_protection", "do_nothing", SPOT, loan={**LOAN, **changed})
        with pytest.raises(RecipeError, match=match):
            Plan(recipe=of, style="shadow", exchange="binance", folder=tmp_path)
    with pytest.raises(RecipeError, match="sandbox"):
        Plan(recipe=LENT, style="sandbox", exchange="binance", folder=tmp_path, limits=FREE)


def test_a_loan_that_cannot_be_taken_is_refused_at_once(tmp_path: Path) -> None:
    """Beyond the largest loan to value: said before the session begins."""
    greedy = recipe("liquidation_protection", "do_nothing", SPOT, loan={**LOAN, "leverage": 5.5})
    with pytest.raises(RecipeError, match=r"loan to value|health factor"):
        run_in(tmp_path, greedy, 2)
    assert TargetHealth(health=2.0).health == 2.0
