"""Holes of spot while its perpetual trades: filled for the valuation, and for nothing else."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from perpetual_runs import ETH, SINCE, SPOT, fill_catalog, make_recipe, play

from seawall.engine.perpetual.holes import fill_holes
from seawall.engine.world import build_world
from seawall.market.catalog import Catalog
from seawall.market.series import Candles, SeriesKey
from seawall.observation import Observation
from seawall.recipe import MarketSection
from seawall.units import HOUR_MS, to_time_ms

N = 12
RISING = [2_000.0 + 10.0 * k for k in range(N)]
HELD: list[float | None] = [*RISING[:5], *[None] * 4, *RISING[9:]]
SAID = (
    "assumption: ETH/USDT is missing in 4 of 12 bars (2025-03-01 05:00 .. 2025-03-01 09:00): "
    "valued at the close of ETH/USDT:USDT"
)


def catalog_with_a_hole(folder: Path) -> Catalog:
    """Return both legs at one price; spot has no bar from 05:00 to 09:00."""
    return fill_catalog(folder, {ETH: RISING, SPOT: HELD})


def market() -> MarketSection:
    """Return the market of ``make_recipe``."""
    return make_recipe("funding_carry", N, (SPOT, ETH)).market


def candles(symbol: str, is_there: NDArray[np.bool_]) -> Candles:
    """Return hourly bars at 2,000, 2,001 and so on, where they are there."""
    n = len(is_there)
    times = to_time_ms(SINCE) + HOUR_MS * np.arange(n, dtype=np.int64)
    price = 2_000.0 + np.arange(n, dtype=np.float64)[is_there]
    return Candles(
        key=SeriesKey("candles", "binance", symbol, "1h"),
        time_ms=times[is_there],
        open=price,
        high=price,
        low=price,
        close=price,
        volume=np.ones(len(price)),
    )


def test_a_missing_bar_is_the_perpetuals_open_and_close_without_volume(tmp_path: Path) -> None:
    """Closes 2,050 to 2,080 at 05:00 to 08:00, each opened 10 lower; what is there stays."""
    recipe = make_recipe("funding_carry", N, (SPOT, ETH))
    catalog = catalog_with_a_hole(tmp_path)
    world = build_world(recipe, catalog, offline=True)
    spot = world.candles[SPOT]
    assert len(spot) == N
    assert spot.close[5:9].tolist() == [2_050.0, 2_060.0, 2_070.0, 2_080.0]
    assert spot.open[5:9].tolist() == spot.low[5:9].tolist() == [2_040.0, 2_050.0, 2_060.0, 2_070.0]
    assert spot.high[5:9].tolist() == spot.close[5:9].tolist()
    assert spot.volume.tolist() == [1e6] * 5 + [0.0] * 4 + [1e6] * 3
    assert spot.close[[4, 9]].tolist() == [2_040.0, 2_090.0]
    assert "4 bars without trades at the close of ETH/USDT:USDT" in spot.source
    assert world.perpetual is not None
    assert SAID in world.perpetual.labels


def test_the_hash_is_that_of_what_was_read(tmp_path: Path) -> None:
    """A filled series is no series of the catalog."""
    catalog = catalog_with_a_hole(tmp_path)
    recipe = make_recipe("funding_carry", N, (SPOT, ETH))
    world = build_world(recipe, catalog, offline=True)
    key = SeriesKey("candles", "binance", SPOT, "1h")
    read = catalog.read_candles(key, recipe.market.since_ms, recipe.market.until_ms)
    assert world.hashes[str(key)] == read.sha256() != world.candles[SPOT].sha256()


def test_without_its_perpetual_spot_is_left_alone(tmp_path: Path) -> None:
    """Neither alone nor beside the perpetual of another base."""
    catalog = fill_catalog(tmp_path, {ETH: RISING, SPOT: HELD, "BTC/USDT:USDT": RISING})
    for symbols in ((SPOT,), (SPOT, "BTC/USDT:USDT")):
        recipe = make_recipe("spot_trading", N, symbols)
        world = build_world(recipe, catalog, offline=True)
        assert len(world.candles[SPOT]) == N - 4
        assert not world.read


def test_before_its_first_bar_there_is_no_spot_and_after_its_last_there_is_a_value() -> None:
    """Listed at 03:00, not seen any more from 10:00 on: two bars at the end, none before."""
    there = np.arange(N)
    read = {SPOT: candles(SPOT, (there >= 3) & (there < 10)), ETH: candles(ETH, there >= 0)}
    spot = fill_holes(market(), read).candles[SPOT]
    assert len(spot) == 9
    assert spot.volume[-3:].tolist() == [1.0, 0.0, 0.0]
    assert spot.close[-2:].tolist() == [2_010.0, 2_011.0]


def test_what_is_held_follows_the_perpetual_and_no_order_of_it_fills(tmp_path: Path) -> None:
    """Half of 10,000 in coin at 2,000: 2.5 ETH, worth 2.5 x 80 more at 08:00, in the hole.

    It is to be sold at 06:00 and is at the first open there is, 09:00.
    """
    seen: list[tuple[float, float]] = []

    def agent(observation: Observation) -> object:
        hour = (observation.time_ms - to_time_ms(SINCE)) // HOUR_MS
        seen.append((observation.price(SPOT), observation.equity))
        return {1: {SPOT: 0.5}, 6: {SPOT: 0.0}}.get(hour)

    recipe = make_recipe("spot_trading", N, (SPOT, ETH), {"account.cash": 10_000.0})
    job = play(recipe, catalog_with_a_hole(tmp_path), agent)
    (bought, quantity), (sold, _) = job.fills(SPOT)
    assert (bought, sold) == (1, 9)
    assert seen[7][0] == 2_070.0
    assert seen[7][1] == pytest.approx(10_000.0 + quantity * 70.0)
    assert seen[8][1] - seen[7][1] == pytest.approx(quantity * 10.0)


def test_a_carry_keeps_its_equity_through_a_hole_and_its_legs_wait(tmp_path: Path) -> None:
    """Both legs rise by 4 %: the equity stays; leaving in the hole is done after it, in both."""
    answers = iter([1.0, *[None] * 4, 0.0])
    equity: list[float] = []

    def agent(observation: Observation) -> object:
        equity.append(observation.equity)
        return next(answers, None)

    recipe = make_recipe("funding_carry", N, (SPOT, ETH))
    job = play(recipe, catalog_with_a_hole(tmp_path), agent)
    assert equity == pytest.approx([10_000.0] * len(equity))
    assert job.fills(SPOT)[-1][0] == job.fills(ETH)[-1][0] == 10
    assert job.held(SPOT) == job.held(ETH) == 0.0
    assert not job.texts("note")


@given(there=st.lists(st.booleans(), min_size=3, max_size=40))
@settings(deadline=None, max_examples=60)
def test_filled_spot_has_every_bar_of_its_perpetual_once(there: list[bool]) -> None:
    """From the first of its own on; where it had one nothing changes, elsewhere nothing trades."""
    is_there = np.array(there)
    is_there[-1] = True
    spot, perpetual = candles(SPOT, is_there), candles(ETH, np.ones(len(there), dtype=np.bool_))
    filled, labels = fill_holes(market(), {SPOT: spot, ETH: perpetual})
    first = int(np.argmax(is_there))
    assert filled[ETH] is perpetual
    assert filled[SPOT].time_ms.tolist() == perpetual.time_ms[first:].tolist()
    assert filled[SPOT].close.tolist() == perpetual.close[first:].tolist()
    assert (filled[SPOT].volume > 0).tolist() == is_there[first:].tolist()
    assert bool(labels) == (not is_there[first:].all()) == (filled[SPOT] is not spot)


def test_a_hole_in_the_warm_up_is_filled_and_not_counted(tmp_path: Path) -> None:
    """The label is of the window: what nobody holds needs no word."""
    catalog = catalog_with_a_hole(tmp_path)
    changes = {"market.since": "2025-03-01 10:00", "market.warmup": "10h"}
    recipe = make_recipe("funding_carry", N, (SPOT, ETH), changes)
    world = build_world(recipe, catalog, offline=True)
    assert len(world.candles[SPOT]) == N
    assert world.perpetual is not None
    assert not any("is missing" in label for label in world.perpetual.labels)
