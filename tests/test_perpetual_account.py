"""A position that is to be guarded is there from the window's start on; warm-up is only seen."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from futures_runs import FLAT, HOUR_MS, PERP, START_MS, Market, make_section
from futures_runs import run as run_broker
from perpetual_runs import ETH, fill_catalog, make_recipe, play, to_candles
from test_futures_exchange import buy, flat

from seawall.action import Order
from seawall.agent import Decision
from seawall.engine.run import run
from seawall.observation import Observation
from seawall.perpetual_action import AddMargin
from seawall.units import to_time_ms

CRASH = [2_000.0, 1_000.0, 100.0, 100.0, 2_000.0, 2_000.0, 2_000.0, 1_900.0, 1_900.0, 1_900.0]
"""95 % down in the five hours of warm-up, and back; then 2,000, at last 1,900."""
SINCE = "2025-03-01T05:00"


@pytest.mark.parametrize("mode", ["isolated", "cross"])
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_guarded_position_is_not_touched_in_the_warm_up(
    tmp_path: Path, mode: str, side: float
) -> None:
    """It is entered at the first open, 2,000, whole: 4,000 behind 10 ETH at 5x, no funding before.

    It does not pay for the hour before that open. From then on each hour's funding of 0.1 % is its
    own: 20 at 2,000, and 19 at 1,900.
    """
    seen: list[tuple[int, float, float]] = []

    def agent(observation: Observation) -> Decision:
        view = observation.perpetual
        assert view is not None
        position = view.position()
        seen.append((observation.time_ms, position.entry_price, position.quantity))
        return Decision()

    settings = {
        "market.since": SINCE, "market.warmup": "5h", "perpetual.margin": mode,
        "perpetual.position.quantity": side * 10.0, "perpetual.position.leverage": 5.0,
        "perpetual.funding.rate": 0.001, "perpetual.funding.interval": "1h",
    }  # fmt: skip
    recipe = make_recipe("margin_protection", len(CRASH), (ETH,), settings)
    job = play(recipe, fill_catalog(tmp_path, {ETH: CRASH}), agent)
    futures, since_ms = job.broker.futures, to_time_ms(SINCE)
    assert not futures.events
    assert seen[0] == (since_ms, 2_000.0, side * 10.0)
    assert min(row[0] for row in futures.funding) == since_ms + HOUR_MS
    assert [round(-side * row[-1]) for row in futures.funding] == [20, 20, 19, 19]
    first, second = futures.snapshots[0], futures.snapshots[1]
    assert second[0] == since_ms + 2 * HOUR_MS
    assert job.broker.startingcash == 10_000.0
    for part in first[1:]:
        assert part.max() <= 4_000.0


def test_nothing_can_be_asked_for_in_the_warm_up() -> None:
    """An order and margin are refused by name, and the account stays as it starts."""
    section = make_section(margin="isolated", position={"quantity": 20.0, "leverage": 5.0})
    rows = [flat(50.0), flat(50.0), flat(50.0), FLAT, FLAT]
    market = Market(rows={PERP: rows}, funding=[(1, PERP, 0.5, 50.0)])
    more = AddMargin(symbol=PERP, amount=100.0)
    script = {1: lambda s: (s.broker.ask(more), buy(5)(s))}
    ran = run_broker(market, script, section=section, since_ms=START_MS + 3 * HOUR_MS)
    assert len(ran.texts("refused")) == 2
    assert all("warm-up" in text for text in ran.texts("refused"))
    assert ran.futures.funding == []
    assert len(ran.futures.snapshots) == 1
    assert ran.strategy.equities[-1] == 10_400.0


def test_the_worst_margin_ratio_sees_the_bar_in_which_a_position_is_opened(tmp_path: Path) -> None:
    """300 ETH at 100 on 10,000, at 90 in the bar: 0.4 % of 27,000 on 7,000, at its close 1.2 %."""
    catalog = fill_catalog(tmp_path, {ETH: [100.0] * 6})
    candles = to_candles(ETH, [100.0] * 6)
    low = candles.low.copy()
    low[2] = 90.0
    catalog.write(replace(candles, low=low), fetched_ms=None)
    seen: list[int] = []

    def agent(observation: Observation) -> Decision:
        seen.append(observation.time_ms)
        wanted = (Order(symbol=ETH, side="buy", quantity=300.0),) if len(seen) == 2 else ()
        return Decision(actions=wanted)

    recipe = make_recipe("futures_trading", 6, (ETH,), {"strategy.leverage": 10.0})
    result = run(recipe, agent=agent, catalog=catalog)
    assert len(result.fills) == 1
    frame = result.perpetual
    row = int(np.flatnonzero(frame[f"quantity:{ETH}"])[0])
    assert frame["margin_ratio"].iloc[row] == pytest.approx(0.012)
    assert frame["worst_margin_ratio"].iloc[row] == pytest.approx(108.0 / 7_000.0)
