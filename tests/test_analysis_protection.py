"""What protection cost: parts that add up, false alarms by hand, and no agent above the bound."""

import json
import math
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from loan_runs import AGENTS, SHORT, recipe_of, run_agent, world_of
from synthetic_result import make_result

from seawall.analysis.contender import to_contender
from seawall.analysis.hindsight_world import find_hindsight
from seawall.analysis.league import judge_alone
from seawall.analysis.league_table import BOUNDS
from seawall.analysis.protection import (
    PARTS,
    Judgement,
    find_false_alarms,
    find_price,
    judge,
    measure_protection,
    share_of_possible,
)
from seawall.engine.run import run_in
from seawall.engine.world import build_world
from seawall.errors import LedgerError, ResultError
from seawall.market.catalog import Catalog
from seawall.market.importer import import_files
from seawall.recipe import SIMULATED, Recipe
from seawall.result import Result
from seawall.workspace import find_recipe, list_names

LOANS = [
    name
    for name in list_names("backtests")
    # Over years hindsight compounds to sums that no grid holds: nobody is measured by it there.
    if name.startswith(("loan_", "wsteth_loop")) and "_span_" not in name
]
REAL = [
    name for name in LOANS if Recipe.from_file(find_recipe(name)).market.venue != SIMULATED
]  # weeks; the simulated ones take half a year
PROTECTIONS = [(name, agent) for name, agent in product(sorted(SHORT), AGENTS)]


@pytest.fixture(scope="module")
def catalog(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Return a catalog with the real series that the loans' recipes need."""
    catalog = Catalog(tmp_path_factory.mktemp("catalog"))
    dollars = [f"candles/binanceus/BTC-{quote}-1m.parquet" for quote in ("USDC", "USDT")]
    files = ["candles/binance/ETH-USDT-1h.parquet", "gas/ethereum-avg-1d.parquet", *dollars]
    import_files([shared_data / name for name in files], catalog)
    return catalog


def _last(result: Result) -> float:
    return float(result.loan["equity"].iloc[-1])


@pytest.mark.parametrize(("name", "agent"), PROTECTIONS)
def test_the_parts_add_up_to_the_difference_of_final_equities(name: str, agent: str) -> None:
    """To 1e-9 of the equity, either way to resolve bars, without a part for the rest."""
    mine, theirs = run_agent(name, agent), run_agent(name, "do_nothing")
    for one, other in ((mine, theirs), (mine.other, theirs.other)):
        assert one is not None
        assert other is not None
        price = find_price(one, other)
        gained = _last(one) - _last(other)
        assert tuple(price.parts) == PARTS
        scale = float(one.loan["equity"].abs().max())
        assert math.fsum(price.parts.values()) == pytest.approx(gained, abs=1e-9 * scale)
        assert price.price_usd == pytest.approx(-gained, abs=1e-9 * scale)
        assert price.upside_given_up_usd == max(0.0, -price.parts["market"])


def test_parts_that_do_not_add_up_are_a_defect() -> None:
    """Planted fault: a cent of gas that nobody paid."""
    mine, theirs = run_agent("thin", "defi_saver"), run_agent("thin", "do_nothing")
    planted = replace(mine, parts={**mine.parts, "gas": mine.parts["gas"] - 0.01})
    with pytest.raises(LedgerError, match="please report"):
        find_price(planted, theirs)


def test_runs_with_different_starts_have_no_price() -> None:
    """The same agent with another loan is another experiment."""
    with pytest.raises(ResultError, match="one start"):
        find_price(run_agent("depeg", "close_at"), run_agent("crash", "do_nothing"))


def test_what_is_measured_is_what_the_tables_say() -> None:
    """The untouched thin loan is struck three times; sums and counts are those of its tables."""
    result = run_agent("thin", "do_nothing")
    own, struck = measure_protection(result), result.liquidations
    assert own.n_liquidations == len(struck) == 3
    assert own.seized == pytest.approx(struck["seized"].sum())
    assert own.repaid_usd == pytest.approx(struck["repaid_usd"].sum())
    assert own.bonus_usd + own.liquidation_fee_usd == pytest.approx(
        own.seized_usd - own.repaid_usd, rel=0.2
    )
    assert own.min_health == result.loan["min_health"].min() < 1
    assert own.below_110 == (result.loan["health"].iloc[1:] < 1.1).mean() > 0
    assert (own.n_actions, own.n_failed, own.n_false_alarms) == (0, 0, 0)
    assert own.total_return == pytest.approx(_last(result) / own.start_equity_usd - 1)
    assert own.final_equity_collateral == pytest.approx(
        _last(result) / result.loan["market_price"].iloc[-1]
    )


def test_a_judgement_has_both_ways_and_the_bound() -> None:
    """It is the same by itself and from runs and bounds found apart."""
    result, untouched = run_agent("thin", "defi_saver"), run_agent("thin", "do_nothing")
    world, recipe = world_of("thin"), recipe_of("thin")
    worst, best = (find_hindsight(world, recipe, bound, n_states=64) for bound in BOUNDS)
    found = judge(
        result, untouched, hindsight_usd=worst.final_equity_usd, best_usd=best.final_equity_usd
    )
    assert judge_alone(result, recipe, world, n_states=64) == found
    assert found.price.hindsight_usd == worst.final_equity_usd
    assert found.price_best.hindsight_usd == best.final_equity_usd
    assert 0 < found.price.share_of_possible < 1
    assert found.own.n_liquidations == 0 < found.untouched.n_liquidations
    stored = found.to_dict()
    assert stored["price"] == found.price.to_dict()
    assert find_price(result, untouched).to_dict()["hindsight_usd"] is None


@pytest.mark.parametrize(
    ("agent", "untouched", "best", "share"),
    [
        (100.0, 100.0, 200.0, 0.0),
        (150.0, 100.0, 200.0, 0.5),
        (50.0, 100.0, 200.0, -0.5),
        (200.0, 100.0, 200.0, 1.0),
        (100.5, 100.0, 101.0, 0.5),
        (1_000.4, 1_000.0, 1_000.9, math.nan),
        (150.0, 100.0, math.nan, math.nan),
    ],
)
def test_the_share_of_the_possible(
    agent: float, untouched: float, best: float, share: float
) -> None:
    """Of a start of 1,000: what was gained over what could be; a dash below 1 USD, 0.1 %."""
    found = share_of_possible(agent, untouched, best, 1_000.0)
    assert found == pytest.approx(share, nan_ok=True)


def _by_hand(worst: list[float], sent: list[tuple[int, float, float]]) -> Result:
    """Return hours of a loan at 2 % for 5 %, and transactions at a bar with health to and from.

    ``worst``: of the untouched loan, hour by hour. What is sent lands half an hour after a close.
    """
    times = pd.date_range("2025-01-01", periods=len(worst), freq="h", tz="UTC", name="time")
    debt, years = np.full(len(worst), 100.0), np.arange(len(worst)) / 8_760
    for bar, before, after in sent:
        debt[bar + 1 :] *= before / after
    loan = pd.DataFrame(
        {
            "untouched_health": worst,
            "collateral_WETH": 2.0 * (1 + 0.02 * years),
            "debt_USDC": debt * (1 + 0.05 * years),
            "supply_rate_WETH": 0.02,
            "borrow_rate_USDC": 0.05,
        },
        index=times,
    )
    transactions = pd.DataFrame(
        {
            "time": [times[bar] + pd.Timedelta(minutes=30) for bar, _, _ in sent],
            "status": "done",
            "health_before": [before for _, before, _ in sent],
            "health_after": [after for _, _, after in sent],
        }
    )
    return replace(run_agent("thin", "do_nothing"), loan=loan, transactions=transactions)


@pytest.mark.parametrize(
    ("worst", "sent", "alarms"),
    [
        ([1.5, 1.3, 1.2, 1.2, 1.2, 1.3], [(1, 1.3, 1.6)], [0]),
        ([1.5, 1.3, 1.2, 0.9, 1.2, 1.3], [(1, 1.3, 1.6)], []),
        ([1.5, 0.9, 1.2, 1.2, 1.2, 1.3], [(1, 1.3, 1.6)], [0]),
        ([1.5, 1.3, 1.2, 0.9, 1.2, 1.3], [(1, 1.3, 2.6), (2, 2.4, 4.0)], [1]),
        ([1.5, 1.3, 1.2, 1.1, 0.9, 1.3], [(1, 1.3, 1.6), (2, 1.5, 1.2)], [0]),
        ([1.5, 1.3, 1.2, 1.1, 1.1, 1.3], [(1, 1.3, 1.1)], []),
        ([1.5, 1.3, 1.2, 1.1, 1.1, 1.3], [(1, math.inf, math.inf)], []),
    ],
    ids=[
        "never-came-near", "would-have-been-struck", "struck-before-it", "second-was-not-needed",
        "leverage-up-ends-the-wait", "no-protection", "no-debt",
    ],
)  # fmt: skip
def test_false_alarms_by_hand(
    worst: list[float], sent: list[tuple[int, float, float]], alarms: list[int]
) -> None:
    """A transaction that raised health where the loan before it stays at 1 or above.

    Fourth: the first halves the debt, so the low of 0.9 is one of 1.8 for the loan that the second
    protects. Fifth: leverage goes up in bar 2, and the low of 0.9 comes after it.
    """
    assert find_false_alarms(_by_hand(worst, sent)) == alarms


def test_a_result_without_a_loan_is_refused() -> None:
    """Nothing can be said about its protection."""
    result = make_result(48)
    with pytest.raises(ResultError, match="has none"):
        measure_protection(result)


@pytest.mark.slow
@pytest.mark.parametrize("name", LOANS)
def test_no_shipped_agent_beats_hindsight_in_a_shipped_recipe(name: str, catalog: Catalog) -> None:
    """All seven guards, bars resolved either way."""
    recipe = Recipe.from_file(find_recipe(name))
    world = build_world(recipe, catalog, offline=True)
    most = {bound: find_hindsight(world, recipe, bound).final_equity_usd for bound in BOUNDS}
    for agent in AGENTS:
        result = run_in(world, to_contender(agent).recipe(recipe))
        for bound, one in zip(BOUNDS, (result, result.other or result), strict=True):
            assert _last(one) <= most[bound] * (1 + 1e-9), (agent, bound)


@pytest.mark.slow
@pytest.mark.parametrize("name", LOANS)
def test_refining_the_grid_changes_hindsight_by_less_than_1_percent(
    name: str, catalog: Catalog
) -> None:
    """Twice the states, bars resolved either way."""
    recipe = Recipe.from_file(find_recipe(name))
    world = build_world(recipe, catalog, offline=True)
    for bound in BOUNDS:
        usual = find_hindsight(world, recipe, bound)
        fine = find_hindsight(world, recipe, bound, n_states=2 * usual.n_states)
        assert usual.final_equity_usd == pytest.approx(fine.final_equity_usd, rel=0.01)


def test_a_judgement_comes_back_from_its_plain_values() -> None:
    """An unknown bound is nan again, a health factor without debt inf again."""
    result, untouched = run_agent("thin", "defi_saver"), run_agent("thin", "do_nothing")
    found = judge(result, untouched, hindsight_usd=30_000.0)
    free = replace(found, own=replace(found.own, min_health=math.inf))
    stored = json.loads(json.dumps(free.to_dict(), allow_nan=False))
    read = Judgement.from_dict(stored)
    assert read.own == free.own
    assert (read.untouched_best, read.price) == (free.untouched_best, free.price)
    assert math.isnan(read.price_best.hindsight_usd)
    assert read.to_dict() == stored
    for group, values in (("own", {"seized": "much"}), ("price", {"parts": {}}), ("price", None)):
        damaged = {**stored, group: None if values is None else {**stored[group], **values}}
        with pytest.raises(ResultError, match="judgement is damaged"):
            Judgement.from_dict(damaged)


def test_more_than_hindsight_is_explained() -> None:
    """A bound below what the agent ended with is told, one above is not."""
    result, untouched = run_agent("thin", "defi_saver"), run_agent("thin", "do_nothing")
    ended, other = _last(result), _last(untouched)
    assert ended > other
    over = judge(result, untouched, hindsight_usd=(ended + other) / 2)
    assert over.price.share_of_possible > 1
    assert "borrowing the collateral" in over.excess
    assert not judge(result, untouched, hindsight_usd=ended + 1.0).excess
    assert not judge(result, untouched).excess
