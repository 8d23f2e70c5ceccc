"""The worlds of a shadow's venues as its record has them; the record is only read."""

from collections.abc import Mapping, Sequence

from seawall.market.catalog import Catalog
from seawall.paper.candles import Candle
from seawall.paper.record import Record
from seawall.paper.session import LATE
from seawall.paper.shadow_funding import Settled, mark_name, recorded_settled
from seawall.paper.shadow_world import ShadowWorld, Standing
from seawall.recipe import Recipe


def play_record(
    record: Record, recipe: Recipe, standing: Standing, catalog: Catalog, until_ms: int
) -> ShadowWorld:
    """Return the worlds of the steps that a session has recorded.

    Args:
        record: of the session.
        recipe: on the live market.
        standing: what held.
        catalog: for the engine.
        until_ms: the last step that counts.
    """
    world = ShadowWorld(recipe, standing, catalog)
    contracts = () if standing.perpetual is None else standing.perpetual.symbols
    funding = {symbol: recorded_settled(record.journal, symbol) for symbol in contracts}
    for stamp_ms, candles in recorded_steps(record, recipe, contracts).items():
        if stamp_ms > until_ms:
            break
        world.step(stamp_ms, candles, settled_in(funding, recipe, world.before_ms, stamp_ms))
    return world


def settled_in(
    funding: Mapping[str, Sequence[Settled]], recipe: Recipe, before_ms: int, stamp_ms: int
) -> dict[str, list[Settled]]:
    """Return what was settled in the bar of one step, by contract.

    Args:
        funding: all that was recorded.
        recipe: whose window counts.
        before_ms: when the step before is.
        stamp_ms: when it is itself.
    """
    since_ms = max(before_ms, recipe.market.since_ms)
    return {
        symbol: [one for one in rows if since_ms <= one.time_ms < stamp_ms]
        for symbol, rows in funding.items()
    }


def recorded_steps(
    record: Record, recipe: Recipe, contracts: tuple[str, ...]
) -> dict[int, Mapping[str, Candle]]:
    """Return the candles and marks of each step by its stamp, in order; none that came late."""
    market = recipe.market
    late = {(key.split()[-2], int(key.split()[-1])) for key, _ in record.journal.events(LATE)}
    found: dict[int, dict[str, Candle]] = {}
    for name in (*market.symbols, *map(mark_name, contracts)):
        for candle in record.candles(name, market.timeframe):
            if (name, candle.time_ms) not in late:
                stamp_ms = candle.time_ms + market.timeframe_ms
                found.setdefault(stamp_ms, {})[name] = candle
    steps = {s: one for s, one in found.items() if any(name in market.symbols for name in one)}
    return {stamp_ms: steps[stamp_ms] for stamp_ms in sorted(steps)}
