"""The world of a futures account: mark, funding and brackets of every step, made before the run."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from seawall.engine.perpetual.marks import FoundMark, MarkOrigin, align, find_mark
from seawall.engine.perpetual.opening import check_leverage, check_position
from seawall.engine.perpetual.stamps import (
    FoundFunding,
    Stamps,
    find_funding,
    label_inside,
    leave_out,
    place,
    with_rate,
)
from seawall.engine.perpetual.tables import BracketEpoch, find_epochs
from seawall.engine.simulated import simulate_contract
from seawall.errors import RecipeError
from seawall.market.catalog import Catalog
from seawall.market.funding import Spell
from seawall.market.series import Candles, FloatArray, Series, TimeArray
from seawall.perpetual_recipe import PerpetualSection
from seawall.recipe import SIMULATED, Recipe
from seawall.units import is_perpetual

__all__ = [
    "BracketEpoch",
    "PerpetualWorld",
    "Stamps",
    "build_perpetual_world",
    "perpetual_section",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class PerpetualWorld:
    """What a futures account is put into, beside the market's candles.

    Attributes:
        symbols: the contracts, in the order of all rows.
        section: the recipe's, or the default one.
        marks: float64, shape (n_steps, n, 4): open, high, low and close of the mark by step of the
            world's clock. A contract without a bar at a step has its last close four times; nan
            before its first.
        stamps: the settlements of funding that fall into bars that trade, but that of the instant
            in which a given position is opened.
        epochs: the brackets, the first from step 0 on.
        spells: by row, how often funding is settled from when on.
        labels: what has to be said beside every number.
        extra: series that were read beside the market's candles.
        sources: by symbol, where the mark comes from.
        clock_ms: int64, shape (n_steps,), of a market that goes on: the steps so far; ``None``: the
            feeds know them before the run.
    """

    symbols: tuple[str, ...]
    section: PerpetualSection
    marks: FloatArray
    stamps: Stamps
    epochs: tuple[BracketEpoch, ...]
    spells: tuple[tuple[Spell, ...], ...]
    labels: tuple[str, ...] = ()
    extra: tuple[Series, ...] = ()
    sources: Mapping[str, MarkOrigin]
    clock_ms: TimeArray | None = None

    def __len__(self) -> int:
        return len(self.marks)

    def epoch_at(self, step: int) -> BracketEpoch:
        """Return the brackets in force at a step of the world's clock."""
        return [epoch for epoch in self.epochs if epoch.first_step <= step][-1]

    def interval_at(self, row: int, time_ms: int) -> int:
        """Return the time between two settlements of a contract, as it is then, in milliseconds."""
        first, *later = self.spells[row]
        return next((one for one in reversed(later) if one.since_ms <= time_ms), first).interval_ms


def perpetual_section(recipe: Recipe) -> PerpetualSection | None:
    """Return the recipe's section, the default one for a market of perpetuals without, or None."""
    if recipe.perpetual is not None:
        return recipe.perpetual
    has_one = any(is_perpetual(symbol) for symbol in recipe.market.symbols)
    return PerpetualSection() if has_one else None


def build_perpetual_world(
    recipe: Recipe, candles: Mapping[str, Candles], clock_ms: TimeArray, catalog: Catalog
) -> PerpetualWorld:
    """Return the world of a recipe's futures account.

    Args:
        recipe: its market has perpetuals.
        candles: of the whole market by symbol, warm-up included.
        clock_ms: int64, shape (n_steps,), the close stamps of all bars.
        catalog: for marks, funding, spot candles and brackets.

    Raises:
        RecipeError: leverage or size beyond the brackets, no brackets, or none for the window.
        SeriesNotFound, DataError: a mark or funding is missing.
    """
    section = perpetual_section(recipe)
    if section is None:
        raise RecipeError(
            f"a futures account needs a perpetual, market.symbols are {list(recipe.market.symbols)}"
            ": write BASE/QUOTE:QUOTE, such as ETH/USDT:USDT"
        )
    market = recipe.market
    symbols = tuple(symbol for symbol in market.symbols if is_perpetual(symbol))
    tables = find_epochs(market, section.brackets, symbols, clock_ms, catalog)
    check_leverage(section, symbols, tables.brackets)
    found = [_find_one(recipe, section, symbol, candles, catalog) for symbol in symbols]
    marks = np.stack([align(mark.candles, clock_ms) for mark, _ in found], axis=1)
    first = int(np.searchsorted(clock_ms, market.since_ms, "right"))
    opens = np.array([_first_open(candles[symbol], market.since_ms) for symbol in symbols])
    check_position(section, symbols, tables.brackets[0], marks[first, :, 0], opens)
    fundings = [funding for _, funding in found]
    stamps = place(fundings, [mark.candles for mark, _ in found], clock_ms, market)
    if section.position is not None and section.position.entry is None:
        symbol = section.position.symbol or symbols[0]
        bars = candles[symbol].between(market.since_ms, None)
        stamps = leave_out(stamps, symbols.index(symbol), int(bars.time_ms[0]))
    inside = label_inside(stamps, clock_ms, market.timeframe_ms)
    labels = [label for mark, funding in found for label in (*mark.labels, *funding.labels)]
    extra = [one for mark, funding in found for one in (*mark.extra, *funding.extra)]
    return PerpetualWorld(
        symbols=symbols,
        section=section,
        marks=marks,
        stamps=stamps,
        epochs=tables.epochs,
        spells=tuple(funding.spells for funding in fundings),
        labels=(*tables.labels, *labels, *inside),
        extra=tuple(extra),
        sources={symbol: mark.origin for symbol, (mark, _) in zip(symbols, found, strict=True)},
    )


def _first_open(candles: Candles, since_ms: int) -> float:
    """Return the open of the first bar that trades; nan where there is none."""
    row = int(np.searchsorted(candles.time_ms, since_ms))
    return float(candles.open[row]) if row < len(candles) else float("nan")


def _find_one(
    recipe: Recipe,
    section: PerpetualSection,
    symbol: str,
    candles: Mapping[str, Candles],
    catalog: Catalog,
) -> tuple[FoundMark, FoundFunding]:
    """Return mark and funding of one contract."""
    market = recipe.market
    if market.venue == SIMULATED:
        return _simulate_one(recipe, section, symbol, candles[symbol])
    mark = find_mark(market, section.mark, candles[symbol], candles, catalog)
    return mark, find_funding(market, section.funding, candles[symbol], catalog)


def _simulate_one(
    recipe: Recipe, section: PerpetualSection, symbol: str, candles: Candles
) -> tuple[FoundMark, FoundFunding]:
    """Return mark and funding of one contract of a simulated market."""
    made = simulate_contract(recipe, symbol, section.funding.interval_ms)
    if section.mark.source == "last":
        label = f"assumption: the mark of {symbol} is its last price, wicks and all"
        mark = FoundMark(candles=candles, origin="last", labels=(label,))
    else:
        mark = FoundMark(candles=made.mark, origin="simulated", extra=(made.mark,))
    if section.funding.rate is not None:
        return mark, with_rate(recipe.market, section.funding, symbol)
    label = f"simulated: funding of {symbol} follows from a simulated premium"
    rates = made.funding
    spells = (Spell(recipe.market.since_ms, section.funding.interval_ms),)
    return mark, FoundFunding(rates.time_ms, rates.value, (label,), (rates,), spells)
