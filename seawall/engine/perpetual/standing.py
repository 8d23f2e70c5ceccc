"""What stands still for a futures account whose market goes on, and the world of its steps so far.

Brackets change by announcement, and the table that is in force now is the last that is known; so it
holds from the start on. The time between two settlements of funding is the exchange's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, cast

import numpy as np

from seawall.engine.perpetual.marks import MarkOrigin, align
from seawall.engine.perpetual.opening import check_leverage, check_position
from seawall.engine.perpetual.stamps import FoundFunding, Stamps, leave_out, place
from seawall.engine.perpetual.tables import BracketEpoch, find_epochs
from seawall.engine.perpetual.world import PerpetualWorld
from seawall.market.brackets import Brackets
from seawall.market.catalog import Catalog
from seawall.market.funding import Spell
from seawall.market.series import Candles, FloatArray, TimeArray
from seawall.perpetual_recipe import PerpetualSection
from seawall.recipe import MarketSection


@dataclass(frozen=True, kw_only=True, eq=False)
class PerpetualStanding:
    """What holds for the contracts of a market as long as it goes on.

    Attributes:
        symbols: the contracts, in the order of all rows.
        tables: float64, shape (n, n_tiers, N_TIER), as in ``venues.perpetual.layout``.
        names: by row, symbol and day of the table.
        intervals_ms: by row, between two settlements.
        sources: by symbol, where the mark comes from.
        labels: what has to be said of them.
        brackets: by row, the tables as they were found; none where they were read back.
    """

    symbols: tuple[str, ...]
    tables: FloatArray
    names: tuple[str, ...]
    intervals_ms: tuple[int, ...]
    sources: Mapping[str, MarkOrigin]
    labels: tuple[str, ...]
    brackets: tuple[Brackets, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, JSON-able but for ``inf``."""
        return {
            "symbols": list(self.symbols),
            "tables": self.tables.tolist(),
            "names": list(self.names),
            "intervals_ms": list(self.intervals_ms),
            "sources": dict(self.sources),
            "labels": list(self.labels),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` gave, equal to the bit."""
        return cls(
            symbols=tuple(values["symbols"]),
            tables=np.array(values["tables"], dtype=np.float64),
            names=tuple(values["names"]),
            intervals_ms=tuple(values["intervals_ms"]),
            sources={symbol: cast("MarkOrigin", one) for symbol, one in values["sources"].items()},
            labels=tuple(values["labels"]),
        )


def find_perpetual_standing(
    market: MarketSection,
    section: PerpetualSection,
    symbols: tuple[str, ...],
    now_ms: int,
    catalog: Catalog,
    *,
    intervals_ms: tuple[int, ...],
    sources: Mapping[str, MarkOrigin],
    labels: Sequence[str],
) -> PerpetualStanding:
    """Return what holds for contracts that are traded from now on.

    Args:
        market: whose venue the brackets are of, and whose window begins now.
        section: of the recipe.
        symbols: the contracts, in the order of the recipe.
        now_ms: UTC milliseconds.
        catalog: for brackets.
        intervals_ms: as of ``PerpetualStanding``.
        sources: likewise.
        labels: likewise, beside its own.

    Raises:
        RecipeError: a contract has no brackets, or a leverage is beyond them.
    """
    found = find_epochs(market, section.brackets, symbols, np.array([now_ms]), catalog)
    check_leverage(section, symbols, found.brackets)
    first = found.epochs[0]
    held = f"assumption: the leverage brackets of {', '.join(first.names)}, for as long as it runs"
    return PerpetualStanding(
        symbols=symbols,
        tables=first.tables,
        names=first.names,
        intervals_ms=intervals_ms,
        sources=sources,
        labels=(*found.labels, held, *labels),
        brackets=found.brackets[0],
    )


def check_opening(
    standing: PerpetualStanding, section: PerpetualSection, prices: Mapping[str, float]
) -> None:
    """Raise RecipeError where the given position cannot be opened at these prices, quote units."""
    marks = np.array([prices[symbol] for symbol in standing.symbols])
    if standing.brackets:
        check_position(section, standing.symbols, standing.brackets, marks, marks)


def mark_step(mark: Sequence[Candles], stamp_ms: int) -> FloatArray:
    """Return open, high, low and close of each contract's mark at a step, shape (n, 4).

    Args:
        mark: by row, candles that have closed; the last ones will do.
        stamp_ms: when the step is.
    """
    clock_ms = np.array([stamp_ms], dtype=np.int64)
    return np.stack([align(candles, clock_ms)[0] for candles in mark])


def place_step(
    found: Sequence[FoundFunding],
    mark: Sequence[Candles],
    step: int,
    stamps_ms: tuple[int, int],
    market: MarketSection,
) -> Stamps:
    """Return the settlements that fall into the bar of one step.

    Args:
        found: by row; those of other bars are passed over.
        mark: by row, candles that have closed; the last two will do.
        step: its number.
        stamps_ms: when the step before is, and when it is itself.
        market: whose window counts.
    """
    before_ms, stamp_ms = stamps_ms
    own = [
        FoundFunding(
            one.time_ms[is_in := (one.time_ms >= before_ms) & (one.time_ms < stamp_ms)],
            one.rate[is_in],
        )
        for one in found
    ]
    clock_ms = np.array([before_ms, stamp_ms], dtype=np.int64)
    placed = place(own, list(mark), clock_ms, market)
    return placed._replace(step=np.full(len(placed.step), step, dtype=np.int64))


def to_world(
    standing: PerpetualStanding,
    section: PerpetualSection,
    marks: FloatArray,
    stamps: Stamps,
    clock_ms: TimeArray,
) -> PerpetualWorld:
    """Return the world of the steps so far.

    Args:
        standing: what holds all the time.
        section: with the entry of its position, if it has one.
        marks: as of ``PerpetualWorld``.
        stamps: likewise.
        clock_ms: likewise.
    """
    epoch = BracketEpoch(first_step=0, tables=standing.tables, names=standing.names)
    return PerpetualWorld(
        symbols=standing.symbols,
        section=section,
        marks=marks,
        stamps=stamps,
        epochs=(epoch,),
        spells=tuple((Spell(0, one),) for one in standing.intervals_ms),
        labels=standing.labels,
        sources=standing.sources,
        clock_ms=clock_ms,
    )


def without_opening(
    stamps: Stamps, standing: PerpetualStanding, section: PerpetualSection, opened_ms: int
) -> Stamps:
    """Return settlements without that of the instant in which a given position is opened."""
    position = section.position
    if position is None or position.entry is not None:
        return stamps
    row = standing.symbols.index(position.symbol or standing.symbols[0])
    return leave_out(stamps, row, opened_ms)
