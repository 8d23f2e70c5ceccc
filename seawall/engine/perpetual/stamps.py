"""When funding is settled in a run, at which rate and mark."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seawall.errors import DataError, SeriesNotFound
from seawall.market.catalog import Catalog, fetch_line
from seawall.market.funding import FUNDING_TIMEFRAME, Spell, find_missing, find_spells, find_stamps
from seawall.market.series import Candles, FloatArray, SeriesKey, Signal, TimeArray
from seawall.perpetual_recipe import FundingSection
from seawall.recipe import MarketSection
from seawall.units import to_duration_ms, to_duration_text, to_time_text
from seawall.venues.futures_tape import LATE_MS

_SHOWN = 3


class Stamps(NamedTuple):
    """Every settlement of a run, sorted by time; all arrays of shape (k,).

    Attributes:
        step: int64, of the world's clock: the bar that contains the settlement.
        time_ms: int64.
        row: int64, of the contract.
        rate: float64, what a long position pays, as a fraction of its notional.
        mark: float64, the mark price at that time.
    """

    step: NDArray[np.int64]
    time_ms: TimeArray
    row: NDArray[np.int64]
    rate: FloatArray
    mark: FloatArray


class FoundFunding(NamedTuple):
    """Times and rates of one contract, how often, what was read, and what has to be said."""

    time_ms: TimeArray
    rate: FloatArray
    labels: tuple[str, ...] = ()
    extra: tuple[Signal, ...] = ()
    spells: tuple[Spell, ...] = ()


def find_funding(
    market: MarketSection, section: FundingSection, perpetual: Candles, catalog: Catalog
) -> FoundFunding:
    """Return the settlements of a contract in the window, from a given rate or the catalog.

    Those before the contract's first bar of the window and after its last are nobody's.

    Raises:
        SeriesNotFound: the catalog has no funding of the contract.
        DataError: a settlement is missing, and the recipe does not take it for zero.
    """
    symbol = perpetual.key.symbol
    if section.rate is not None:
        return with_rate(market, section, symbol)
    bars = perpetual.between(market.since_ms, market.until_ms)
    since_ms, until_ms = int(bars.time_ms[0]), int(bars.close_ms[-1])
    series = _read(market, section, symbol, catalog)
    if series is None:
        times = find_stamps(since_ms, until_ms, section.interval_ms)
        label = f"assumption: zero funding of {symbol}, the catalog has no rates"
        one = Spell(since_ms, section.interval_ms)
        return FoundFunding(times, np.zeros(len(times)), (label,), spells=(one,))
    spells = _read_spells(section, series, since_ms)
    labels = _name_changes(symbol, spells)
    missing = find_missing(series.time_ms, since_ms, until_ms, spells)
    if not len(missing):
        return FoundFunding(series.time_ms, series.value, labels, (series,), spells)
    shown = ", ".join(to_time_text(int(time_ms)) for time_ms in missing[:_SHOWN])
    more = f" and {len(missing) - _SHOWN:,} more" if len(missing) > _SHOWN else ""
    if section.missing == "refuse":
        raise DataError(
            f"funding must be known every {_name(spells)}, {series.key} has no rate at {shown}"
            f"{more}: {fetch_line(series.key, market.since_ms, market.until_ms)}, or set "
            'perpetual.funding.missing = "zero", which is printed'
        )
    times = np.concatenate([series.time_ms, missing])
    order = np.argsort(times)
    rates = np.concatenate([series.value, np.zeros(len(missing))])
    label = f"assumption: zero funding of {symbol} at {len(missing):,} settlements ({shown}{more})"
    return FoundFunding(times[order], rates[order], (*labels, label), (series,), spells)


def _read_spells(section: FundingSection, series: Signal, since_ms: int) -> tuple[Spell, ...]:
    """Return how often a series is settled; an interval that the recipe names must be that."""
    spells = find_spells(series.time_ms, since_ms, section.interval_ms)
    is_named = section.interval_ms != to_duration_ms(FUNDING_TIMEFRAME)
    if is_named and section.interval_ms not in {one.interval_ms for one in spells}:
        raise DataError(
            f"perpetual.funding.interval is {section.interval}, {series.key} is settled every "
            f"{_name(spells)}: leave the interval out, a series has its own"
        )
    return spells


def _name(spells: tuple[Spell, ...]) -> str:
    return " and ".join(dict.fromkeys(to_duration_text(one.interval_ms) for one in spells))


def _name_changes(symbol: str, spells: tuple[Spell, ...]) -> tuple[str, ...]:
    """Return what is to be said of a contract whose interval changes within the window."""
    if len(spells) == 1:
        return ()
    later = [
        f"from {to_time_text(one.since_ms)} every {to_duration_text(one.interval_ms)}"
        for one in spells[1 : _SHOWN + 1]
    ]
    more = f" and {len(spells) - 1 - _SHOWN} changes more" if len(spells) > _SHOWN + 1 else ""
    first = to_duration_text(spells[0].interval_ms)
    return (f"funding of {symbol} is settled every {first}, {', '.join(later)}{more}",)


def with_rate(market: MarketSection, section: FundingSection, symbol: str) -> FoundFunding:
    """Return settlements that all have the recipe's rate."""
    rate = section.rate or 0.0
    times = find_stamps(market.since_ms, market.until_ms, section.interval_ms)
    label = f"assumption: the funding rate of {symbol} is {rate:.4%} every {section.interval}"
    spells = (Spell(market.since_ms, section.interval_ms),)
    return FoundFunding(times, np.full(len(times), rate), (label,), spells=spells)


def place(
    found: list[FoundFunding], marks: list[Candles], clock_ms: TimeArray, market: MarketSection
) -> Stamps:
    """Return the settlements of all contracts that fall into a bar of the window.

    A settlement belongs to the first bar that closes after it. Its mark is the open of the mark's
    bar in which it falls, the last mark that is known then; where there is no such bar, the close
    before.

    Args:
        found: by row.
        marks: by row.
        clock_ms: the world's.
        market: whose window counts.
    """
    parts: list[tuple[TimeArray, NDArray[np.int64], FloatArray, FloatArray]] = []
    for row, (one, mark) in enumerate(zip(found, marks, strict=True)):
        is_in = (one.time_ms >= market.since_ms) & (
            one.time_ms < min(market.until_ms, clock_ms[-1])
        )
        times, rates = one.time_ms[is_in], one.rate[is_in]
        prices = _mark_at(mark, times)
        is_known = ~np.isnan(prices)  # before the first mark there is no position either
        rows = np.full(int(is_known.sum()), row, dtype=np.int64)
        parts.append((times[is_known], rows, rates[is_known], prices[is_known]))
    times, rows, rates, prices = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((rows, times))
    step = np.searchsorted(clock_ms, times[order], "right").astype(np.int64)
    return Stamps(step, times[order], rows[order], rates[order], prices[order])


def leave_out(stamps: Stamps, row: int, opened_ms: int) -> Stamps:
    """Return the settlements without that of the instant in which a position is opened.

    Who opens at a settlement has not held before it, and pays from the next one on.

    Args:
        stamps: of the run.
        row: of the contract.
        opened_ms: open stamp of the bar in which the position begins.
    """
    is_same = (stamps.time_ms >= opened_ms) & (stamps.time_ms <= opened_ms + LATE_MS)
    is_left = ~(is_same & (stamps.row == row))
    return Stamps(*(column[is_left] for column in stamps))


def label_inside(stamps: Stamps, clock_ms: TimeArray, bar_ms: int) -> tuple[str, ...]:
    """Return what is to be said where funding is settled inside bars: they are longer than it.

    Args:
        stamps: of the run.
        clock_ms: the world's.
        bar_ms: how long a bar is.
    """
    opens = clock_ms[stamps.step] - bar_ms
    if not np.any(stamps.time_ms > opens + LATE_MS):
        return ()
    return ("assumption: funding inside a bar is settled at the mark of the bar's open",)


def _mark_at(mark: Candles, times: TimeArray) -> FloatArray:
    """Return the mark known at each time, nan before the first: float64, shape (k,)."""
    if not len(mark):
        return np.full(len(times), np.nan)
    bar = np.searchsorted(mark.time_ms, times, "right") - 1
    at = np.maximum(bar, 0)
    prices = np.where(times < mark.close_ms[at], mark.open[at], mark.close[at])
    prices[bar < 0] = np.nan
    return np.asarray(prices, dtype=np.float64)


def _read(
    market: MarketSection, section: FundingSection, symbol: str, catalog: Catalog
) -> Signal | None:
    """Return the rates of the window; None where there are none and none is zero."""
    keys = [
        SeriesKey("funding", market.venue, symbol, timeframe)
        for timeframe in dict.fromkeys((FUNDING_TIMEFRAME, section.interval))
    ]
    for key in keys:
        if catalog.has(key):
            return catalog.read_signal(key, market.since_ms, market.until_ms)
    if section.missing == "zero":
        return None
    raise SeriesNotFound(
        f"a perpetual needs funding rates, the catalog in {catalog.root} has no {keys[0]}: "
        f"{fetch_line(keys[0], market.since_ms, market.until_ms)}, or set "
        'perpetual.funding.missing = "zero", or give a rate'
    )
