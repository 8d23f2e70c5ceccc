"""The page of a futures account: what stands on it, and that it stays one file."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from loan_runs import run_agent
from synthetic_result import PERPETUAL, make_margin_result
from test_analysis_report import HOSTILE

from seawall.analysis.figures import to_costs
from seawall.analysis.margin_protection import judge_margin
from seawall.analysis.perpetual_figures import (
    MAX_RATIO,
    contract_figures,
    funding_figure,
    margin_figure,
    venues_figure,
)
from seawall.analysis.perpetual_panels import liquidations_table, transfers_table
from seawall.analysis.report import write_report
from seawall.result import Result

SECTIONS = (
    "margin", "contracts", "decomposition", "protection", "equity", "venues", "parts", "funding",
    "margin-liquidations", "transfers", "metrics", "journal", "recipe",
)  # fmt: skip


@pytest.fixture(scope="module")
def guarded() -> Result:
    """Return a guarded long that is saved."""
    return make_margin_result(fall=0.22)


@pytest.fixture(scope="module")
def lost() -> Result:
    """Return the same that nobody touched."""
    return make_margin_result(fall=0.22, added=None, sold=None)


def _sections(path: Path) -> list[str]:
    return re.findall(r'<section class="panel" id="([^"]+)"', path.read_text(encoding="utf-8"))


def test_a_guarded_position_has_every_section(
    guarded: Result, lost: Result, tmp_path: Path
) -> None:
    """Judged, it begins with the margin; each section stands there once."""
    judgement = judge_margin(guarded, lost, hindsight_usd=9_000.0, best_usd=9_100.0)
    path = write_report(guarded, tmp_path / "report.html", judgement=judgement)
    found = _sections(path)
    assert found[0] == "margin"
    assert set(SECTIONS) <= set(found)
    assert len(found) == len(set(found))
    text = path.read_text(encoding="utf-8")
    for words in ("Price of protection", "Share of the possible", "hindsight ends with 9,000 USDT"):
        assert words in text


def test_a_stored_judgement_is_shown_again(guarded: Result, lost: Result, tmp_path: Path) -> None:
    """The page from the stored values is the same, to the byte."""
    judgement = judge_margin(guarded, lost, hindsight_usd=9_000.0, best_usd=9_100.0)
    stored = replace(guarded, judgement=judgement.to_dict())
    one = write_report(stored, tmp_path / "one.html").read_bytes()
    assert one == write_report(guarded, tmp_path / "two.html", judgement=judgement).read_bytes()


def test_without_a_judgement_nothing_is_said_against_doing_nothing(
    lost: Result, tmp_path: Path
) -> None:
    """No decomposition, no share; the liquidation and the insurance fund are there."""
    path = write_report(lost, tmp_path / "report.html")
    assert "decomposition" not in _sections(path)
    text = path.read_text(encoding="utf-8")
    assert "Share of the possible" not in text
    assert "The insurance fund paid" in text


def test_a_trader_of_futures_begins_with_its_equity(tmp_path: Path) -> None:
    """Nothing is guarded: the account's cards and sections stand behind the usual ones."""
    result = make_margin_result(guards=False)
    path = write_report(result, tmp_path / "report.html")
    found = _sections(path)
    assert found[:3] == ["equity", "margin", "contracts"]
    assert "protection" not in found
    assert "Highest margin ratio" in path.read_text(encoding="utf-8")


def test_the_margin_ratio_is_drawn_up_to_its_limit(lost: Result) -> None:
    """A ratio without margin is infinite: it is drawn at the top, and a cross says why."""
    gone = lost.perpetual.assign(worst_margin_ratio=np.inf)
    figure = margin_figure(replace(lost, perpetual=gone))
    for trace in figure.traces:
        known = [value for value in trace["y"] if value is not None]  # type: ignore[attr-defined]
        assert max(known) <= MAX_RATIO
    names = [trace["name"] for trace in figure.traces]
    assert names[-1] == "liquidation"
    assert names.count("liquidation") == 2  # the limit, and the cross
    json.dumps([dict(trace) for trace in figure.traces], allow_nan=False)


def test_acts_are_marked_with_what_they_were(guarded: Result) -> None:
    """One sale and one transfer, in words."""
    traces = {str(trace["name"]): trace for trace in margin_figure(guarded).traces}
    assert traces["sold"]["text"] == [f"sold 4 {PERPETUAL}"]
    assert traces["transfer"]["text"] == ["800.00 from spot to perpetual"]
    assert "bought" not in traces


def test_a_far_liquidation_price_does_not_stretch_the_axis(guarded: Result) -> None:
    """At a tenth of the price it is left out of the range; near it is in it."""
    (near,) = contract_figures(guarded)
    column = f"liquidation_price:{PERPETUAL}"
    far_away = guarded.perpetual.assign(**{column: 100.0})
    (far,) = contract_figures(replace(guarded, perpetual=far_away))
    low = float(guarded.perpetual[f"mark_low:{PERPETUAL}"].min())
    ranges = [figure.layout["yaxis"]["range"][0] for figure in (near, far)]  # type: ignore[index]
    assert ranges[0] < guarded.perpetual[column].min() < low
    assert 0.9 * low < ranges[1] < low


def test_a_ratio_far_below_its_limit_fills_the_chart(guarded: Result) -> None:
    """At 5 % at most the axis ends near there; at 46 % it shows the limit."""
    small = guarded.perpetual.assign(worst_margin_ratio=0.05)
    ranges = [
        margin_figure(one).layout["yaxis"]["range"][1]  # type: ignore[index]
        for one in (guarded, replace(guarded, perpetual=small))
    ]
    assert ranges == [MAX_RATIO, pytest.approx(0.0575)]


def test_small_ratios_have_ticks_that_differ(guarded: Result) -> None:
    """An axis up to 5.75 % has ticks half a per cent apart: "4.0%", "3.5%", not "4%" twice."""
    small = guarded.perpetual.assign(worst_margin_ratio=0.05)
    formats = [
        margin_figure(one).layout["yaxis"]["tickformat"]  # type: ignore[index]
        for one in (guarded, replace(guarded, perpetual=small))
    ]
    assert formats == [".0%", ".1%"]


def test_a_hedged_loan_shows_both_accounts(guarded: Result, tmp_path: Path) -> None:
    """The loan's own page, with the margin behind its health and the rest behind its tables."""
    loan = run_agent("thin", "do_nothing")
    parts = {**guarded.parts, **loan.parts}
    hedged = replace(
        loan,
        perpetual=guarded.perpetual,
        margin_liquidations=guarded.margin_liquidations,
        funding=guarded.funding,
        transfers=guarded.transfers,
        parts=parts,
    )
    found = _sections(write_report(hedged, tmp_path / "report.html"))
    assert found[:4] == ["health", "price", "margin", "contracts"]
    assert {"protection", "venues", "parts", "funding", "transfers", "gas"} <= set(found)
    assert len(found) == len(set(found))


def test_venues_that_hold_nothing_are_not_drawn(guarded: Result) -> None:
    """No loan, no line for it; the last one is all together."""
    names = [trace["name"] for trace in venues_figure(guarded).traces]
    assert names == ["spot", "perpetual", "together"]


def test_funding_adds_up_contract_by_contract(guarded: Result) -> None:
    """The last point of the line is the sum; without a stamp there is no chart."""
    figure = funding_figure(guarded)
    assert figure is not None
    assert figure.traces[0]["y"][-1] == pytest.approx(guarded.parts["funding"])  # type: ignore[index]
    other = guarded.funding.assign(symbol="BTC/USDT:USDT")
    both = replace(guarded, funding=guarded.funding.merge(other, how="outer"))
    double = funding_figure(both)
    assert double is not None
    assert [trace["name"] for trace in double.traces][-1] == "together"
    assert len({str(trace["line"]) for trace in double.traces}) == 3
    assert funding_figure(replace(guarded, funding=guarded.funding.iloc[:0])) is None


def test_tables_hold_a_row_each(guarded: Result, lost: Result) -> None:
    """Liquidations with tier and fee; transfers with both times."""
    struck = liquidations_table(lost)
    assert [column.name for column in struck.columns][:3] == ["time", "symbol", "tier"]
    assert len(struck.rows) == 1
    moved = transfers_table(guarded)
    assert [column.format for column in moved.columns][:2] == ["time", "time"]
    assert len(moved.rows) == 1
    assert not transfers_table(lost).rows


def test_a_liquidation_fee_is_a_cost_of_its_own(lost: Result) -> None:
    """It is no taker fee."""
    costs = to_costs(lost)
    assert costs == {"fees, liquidation": pytest.approx(-lost.parts["liquidation_fees"])}


def test_hostile_text_is_text(lost: Result, tmp_path: Path) -> None:
    """Names of contracts and wallets full of markup make no tag."""
    frame = lost.perpetual.rename(columns=lambda name: name.replace(PERPETUAL, HOSTILE))
    result = replace(
        make_margin_result(guards=False),
        perpetual=frame,
        margin_liquidations=lost.margin_liquidations.assign(symbol=HOSTILE),
        funding=lost.funding.assign(symbol=HOSTILE),
    )
    text = write_report(result, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<img" not in text
    assert text.count("<script") == 3
