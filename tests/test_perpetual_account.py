"""A position that is to be guarded is there from the window's start on; warm-up is only seen."""

from pathlib import Path

import pytest
from futures_runs import FLAT, HOUR_MS, PERP, START_MS, Market, make_section
from futures_runs import run as run_broker
from perpetual_runs import ETH, fill_catalog, make_recipe, play
from test_futures_exchange import buy, flat

from seawall.agent import Decision
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

    From then on each hour's funding of 0.1 % is its own: 20 at 2,000, and 19 at 1,900.
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
    assert min(row[0] for row in futures.funding) == since_ms
    assert [round(-side * row[-1]) for row in futures.funding] == [20, 20, 20, 19, 19]
    first, second = futures.snapshots[0], futures.snapshots[1]
    assert second[0] == since_ms + HOUR_MS
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
