"""Which leverage brackets hold at which step of a run, as the arrays that the venue reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seawall.errors import RecipeError
from seawall.market.bracket_files import find_brackets
from seawall.market.brackets import VENUE, Brackets
from seawall.market.catalog import Catalog
from seawall.market.series import FloatArray, TimeArray
from seawall.perpetual_recipe import BracketSection
from seawall.recipe import SIMULATED, MarketSection
from seawall.units import to_time_text
from seawall.venues.perpetual.tables import to_table

# A simulated asset has the brackets of this one, unless it has some of its own.
_STANDS_IN = "ETH/USDT:USDT"


@dataclass(frozen=True, kw_only=True, eq=False)
class BracketEpoch:
    """The brackets of all contracts from one step on.

    Attributes:
        first_step: of the world's clock.
        tables: float64, shape (n, n_tiers, N_TIER), as in ``venues.perpetual.layout``.
        names: by row, symbol and day on which the table was seen.
    """

    first_step: int
    tables: FloatArray
    names: tuple[str, ...]


class FoundBrackets(NamedTuple):
    """The epochs of a run, the tables of each in the order of the rows, and what has to be said."""

    epochs: tuple[BracketEpoch, ...]
    brackets: tuple[tuple[Brackets, ...], ...]
    labels: tuple[str, ...]


def find_epochs(
    market: MarketSection,
    section: BracketSection,
    symbols: tuple[str, ...],
    clock_ms: TimeArray,
    catalog: Catalog,
) -> FoundBrackets:
    """Return the brackets of a window; a table that was seen within it begins an epoch.

    Raises:
        RecipeError: a contract has no table, or none from before the window, and the recipe does
            not take the nearest one.
    """
    chosen: list[tuple[Brackets, ...]] = []
    labels: list[str] = []
    for symbol in symbols:
        tables, label = _choose(market, section, symbol, catalog)
        chosen.append(tables)
        labels.extend(label)
    n_tiers = max(len(one.tiers) for tables in chosen for one in tables)
    days = sorted({one.seen_ms for tables in chosen for one in tables[1:]})
    epochs: list[BracketEpoch] = []
    held: list[tuple[Brackets, ...]] = []
    for day_ms in (None, *days):
        now = tuple(_in_force(tables, day_ms) for tables in chosen)
        step = 0 if day_ms is None else int(np.searchsorted(clock_ms, day_ms, "right"))
        names = tuple(one.name for one in now)
        epochs.append(BracketEpoch(first_step=step, tables=to_table(now, n_tiers), names=names))
        held.append(now)
    return FoundBrackets(tuple(epochs), tuple(held), tuple(labels))


def _in_force(tables: Sequence[Brackets], day_ms: int | None) -> Brackets:
    """Return the last table that was seen by a day; None is the window's begin."""
    seen = [one for one in tables[1:] if day_ms is not None and one.seen_ms <= day_ms]
    return seen[-1] if seen else tables[0]


def _choose(
    market: MarketSection, section: BracketSection, symbol: str, catalog: Catalog
) -> tuple[tuple[Brackets, ...], tuple[str, ...]]:
    """Return the tables of a contract in the window, the first from its begin on, and labels."""
    is_simulated = market.venue == SIMULATED
    venue = VENUE if is_simulated else market.venue
    tables = find_brackets(catalog, venue, symbol)
    if not tables and is_simulated:
        tables = find_brackets(catalog, VENUE, _STANDS_IN)
    if not tables:
        raise RecipeError(
            f"a perpetual needs leverage brackets, there are none of {symbol} at {venue}: run "
            f"`seawall data get {venue} {symbol} --kind brackets`, or `seawall data import FILE "
            "--as-of DATE` with freqtrade's binance_leverage_tiers.json"
        )
    before = [one for one in tables if one.seen_ms <= market.since_ms]
    later = [one for one in tables if market.since_ms < one.seen_ms < market.until_ms]
    nearest = before[-1] if before else tables[0]
    # Where the nearest is in force from the begin on, nothing changes on its own day.
    in_force = (nearest, *(one for one in later if one is not nearest))
    if is_simulated:
        label = f"simulated: {symbol} has the leverage brackets of {nearest.name}"
        return in_force, (label,)
    if before:
        return in_force, ()
    begin = to_time_text(market.since_ms)
    if section.missing == "refuse":
        raise RecipeError(
            f"leverage brackets must be known for the window, those of {symbol} were first seen "
            f"on {nearest.day} and market.since is {begin}: import older ones with --as-of, or set "
            'perpetual.brackets.missing = "nearest" to take these, which is printed'
        )
    end = to_time_text(min(nearest.seen_ms, market.until_ms))
    label = f"assumption: the leverage brackets of {nearest.name} stand for {begin} .. {end}"
    return in_force, (label,)
