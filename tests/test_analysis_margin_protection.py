"""What protection of a futures position cost: parts that add up, and false alarms by hand."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from synthetic_result import PERPETUAL, make_margin_recipe, make_margin_result, make_result

from seawall.analysis.guarded import guarded_symbol, kind_of, money_of, write_safety
from seawall.analysis.judgement import MARGIN_PARTS, Judgement, MarginProtection, Protection
from seawall.analysis.margin_protection import (
    find_acts,
    find_false_alarms,
    find_least_distance,
    judge_margin,
    measure_margin,
)
from seawall.analysis.perpetual_panels import funding_by_year
from seawall.errors import LedgerError, ResultError
from seawall.result import Result

FALL = 0.22  # the long dies at 19 %, with 800 more of margin at 24 %


def leave(fall: float = 0.3) -> Result:
    """Return the long that nobody touches."""
    return make_margin_result(fall=fall, added=None, sold=None)


def test_what_is_measured_is_what_the_tables_say() -> None:
    """Untouched, the 5x long falls by 30 %: liquidated once, all margin lost but what is left.

    Margin 3,600 at 1,800: liquidated at ``(18,000 - 3,600) / 9.9 = 1,454.5``, more as funding is
    paid; there 1 % of maintenance is left, the fee is 1.25 %: the fund pays the rest.
    """
    result = leave()
    own = measure_margin(result)
    struck = result.margin_liquidations
    assert own.n_liquidations == own.n_steps == len(struck) == 1
    assert struck["price"].iloc[0] == pytest.approx(1_454.5, rel=0.01)
    assert own.liquidated_usd == pytest.approx(10 * struck["price"].iloc[0])
    assert own.liquidation_fees_usd == pytest.approx(0.0125 * own.liquidated_usd)
    assert own.insurance_usd == pytest.approx(0.0025 * own.liquidated_usd)
    assert own.final_equity_usd == pytest.approx(5_000.0)
    assert own.start_equity_usd == 8_600.0
    assert own.worst_margin_ratio >= 1
    assert own.min_health <= 1
    assert own.funding_usd == pytest.approx(-result.funding["amount"].sum())
    assert own.funding_usd > 0
    assert (own.n_actions, own.n_false_alarms, own.margin_added_usd) == (0, 0, 0.0)
    assert 0 < own.min_distance < 0.02


def test_actions_and_what_they_cost_are_counted() -> None:
    """One transfer of 800 for 1, one sale of 4 at 5 bps; the liquidation's fill is no action."""
    result = make_margin_result()
    own = measure_margin(result)
    assert [(act.risk) for act in find_acts(result)] == [-1, -1]
    assert own.n_actions == 2
    assert own.n_refused == 1  # of the journal
    assert own.margin_added_usd == 800.0
    assert own.transfers_usd == 1.0
    assert own.trading_fees_usd == pytest.approx(result.fills["fee"].iloc[0])


def test_the_parts_add_up_to_the_difference_of_final_equities() -> None:
    """To 1e-9 of the equity, without a part for the rest."""
    mine, theirs = make_margin_result(fall=FALL), leave(FALL)
    found = judge_margin(mine, theirs, hindsight_usd=9_000.0)
    gained = mine.equity["equity"].iloc[-1] - theirs.equity["equity"].iloc[-1]
    assert tuple(found.price.parts) == MARGIN_PARTS
    assert math.fsum(found.price.parts.values()) == pytest.approx(gained, abs=1e-6)
    assert found.price.price_usd == pytest.approx(-gained)
    assert found.price.share_of_possible == pytest.approx(
        gained / (9_000 - theirs.equity["equity"].iloc[-1]), rel=1e-9
    )
    assert found.own.n_liquidations == 0 < found.untouched.n_liquidations
    assert not found.excess


def test_parts_that_do_not_add_up_are_a_defect() -> None:
    """Planted fault: a cent of funding that nobody paid."""
    mine, theirs = make_margin_result(fall=FALL), leave(FALL)
    planted = replace(mine, parts={**mine.parts, "funding": mine.parts["funding"] - 0.01})
    with pytest.raises(LedgerError, match="please report"):
        judge_margin(planted, theirs)


def test_more_than_hindsight_is_explained() -> None:
    """A bound below what the agent ended with is told, with what it does not bound."""
    mine, theirs = make_margin_result(fall=FALL), leave(FALL)
    assert "another symbol" in judge_margin(mine, theirs, hindsight_usd=5_200.0).excess


@pytest.mark.parametrize(
    ("fall", "added", "sold", "alarms"),
    [
        (0.3, (100, 800.0), (180, 4.0), 0),
        (0.1, (100, 800.0), (180, 4.0), 2),
        (0.1, None, (180, 4.0), 1),
        (0.3, (100, 3_000.0), (180, 4.0), 1),
        (0.3, None, (380, 1.0), 0),
    ],
    ids=["needed", "never-near", "sale-alone", "second-was-not-needed", "after-the-end"],
)
def test_false_alarms_by_hand(
    fall: float, added: tuple[int, float] | None, sold: tuple[int, float], alarms: int
) -> None:
    """An action is one where the position as it stood before is never liquidated.

    The long dies at 1,454, a fall of 19 %; 3,000 more of margin carry it to 1,151, 36 %, so that
    the sale behind it was not needed. A sale after the liquidation finds no position.
    """
    result = make_margin_result(fall=fall, added=added, sold=sold)
    assert len(find_false_alarms(result)) == alarms


def test_taking_more_risk_ends_the_wait() -> None:
    """What was added in bar 100 and taken out again in bar 120 need not have been."""
    result = make_margin_result(sold=None)
    moved = result.transfers
    back = moved.assign(
        time=moved["time"] + np.timedelta64(20, "h"), source="perpetual", target="spot"
    )
    before = len(find_false_alarms(result))
    both = replace(result, transfers=moved.merge(back, how="outer"))
    assert (before, len(find_false_alarms(both))) == (0, 1)


def test_funding_moves_the_price_that_is_looked_at() -> None:
    """A position that falls just short of its liquidation price is lost to funding: no alarm."""
    result = make_margin_result(fall=0.1, added=(50, 800.0), sold=None)
    course = result.perpetual[f"mark_low:{PERPETUAL}"]
    short_by = 1 - course.min() / result.perpetual[f"liquidation_price:{PERPETUAL}"].iloc[50]
    assert len(find_false_alarms(result)) == 1
    dear = result.funding.assign(rate=0.004)
    assert short_by < 0
    assert find_false_alarms(replace(result, funding=dear)) == []


def test_the_distance_is_on_the_side_of_the_position() -> None:
    """A long's liquidation price below the mark is a distance, nan ones are passed over."""
    result = leave()
    held = result.perpetual[result.perpetual[f"quantity:{PERPETUAL}"] > 0]
    mark, level = held[f"mark:{PERPETUAL}"], held[f"liquidation_price:{PERPETUAL}"]
    assert find_least_distance(result) == pytest.approx(((mark - level) / mark).min())
    gone = result.perpetual.assign(**{f"quantity:{PERPETUAL}": 0.0})
    assert math.isnan(find_least_distance(replace(result, perpetual=gone)))


def test_a_judgement_comes_back_from_its_plain_values() -> None:
    """A ratio without margin is inf again, an unknown bound nan, and the kind is told apart."""
    mine, theirs = make_margin_result(fall=FALL), leave(FALL)
    found = judge_margin(mine, theirs, hindsight_usd=9_000.0)
    lost = replace(found, own=replace(found.own, worst_margin_ratio=math.inf))
    stored = json.loads(json.dumps(lost.to_dict(), allow_nan=False))
    read = Judgement.from_dict(stored)
    assert isinstance(read.own, MarginProtection)
    assert (read.own, read.price) == (lost.own, lost.price)
    assert lost.own.min_health == 0.0
    assert math.isnan(read.price_best.hindsight_usd)
    assert read.to_dict() == stored
    assert not isinstance(read.own, Protection)
    with pytest.raises(ResultError, match="judgement is damaged"):
        Judgement.from_dict({**stored, "own": {**stored["own"], "n_steps": "many"}})


def test_a_result_without_a_position_is_refused() -> None:
    """Nothing can be said about its protection."""
    with pytest.raises(ResultError, match="guards none"):
        measure_margin(make_result(48))
    with pytest.raises(ResultError, match="guards none"):
        measure_margin(make_margin_result(guards=False))


def test_kinds_and_their_words() -> None:
    """A recipe with a position guards it, one with perpetuals alone nothing."""
    recipe = make_margin_recipe()
    assert (kind_of(recipe), guarded_symbol(recipe)) == ("margin", PERPETUAL)
    assert kind_of(make_margin_recipe(guards=False)) is None
    assert money_of(recipe) == "USDT"
    assert write_safety(4.0, "margin") == "25.00 %"
    assert write_safety(1.25, "loan") == "1.250"
    assert write_safety(math.inf, "margin") == "0.00 %"
    assert write_safety(0.0, "margin") == "no margin"


def test_funding_by_year_is_the_sum_of_the_stamps() -> None:
    """Received less paid is the net, in all what the account says."""
    result = leave()
    table = funding_by_year(result)
    assert table["net"].sum() == pytest.approx(result.parts["funding"])
    assert (table["received"] - table["paid"]).tolist() == pytest.approx(table["net"].tolist())
    assert table["stamps"].sum() == len(result.funding)
    assert funding_by_year(replace(result, funding=result.funding.iloc[:0])).empty
