"""The interest of every bar: dated rates of the catalog, or the protocol's curve as it stands."""

from dataclasses import dataclass

import numpy as np

from seawall.engine.loan.terms import NATIVE, LoanTermsOfTime
from seawall.errors import DataError
from seawall.loan_recipe import LoanSection
from seawall.market.catalog import Catalog
from seawall.market.series import FloatArray, SeriesKey, Signal, TimeArray
from seawall.units import DAY_MS, to_time_text

STALE_MS = 3 * DAY_MS  # a snapshot older than this is no rate of the day


@dataclass(frozen=True, kw_only=True, eq=False)
class Rates:
    """Per year, shape (n_bars, n_assets); what has to be said of them; what was read."""

    borrow: FloatArray
    supply: FloatArray
    labels: tuple[str, ...]
    series: tuple[Signal, ...]


def find_rates(
    loan: LoanSection,
    names: tuple[str, ...],
    terms: LoanTermsOfTime,
    open_ms: TimeArray,
    catalog: Catalog,
) -> Rates:
    """Return borrow and supply rates of every bar.

    Raises:
        DataError: ``loan.rates.source`` is ``series``, and a day of an asset has none.
    """
    lent = tuple(name for name in names if name != NATIVE)
    borrow, supply = np.zeros((len(open_ms), len(names))), np.zeros((len(open_ms), len(names)))
    source = loan.rates.source
    if source == "strategy" or (source == "dated" and not _are_dated(loan, lent, open_ms, catalog)):
        for epoch in terms.epochs:
            start = int(np.searchsorted(open_ms, epoch.since_ms))
            borrow[start:], supply[start:] = epoch.borrow_rate, epoch.supply_rate
        used = [name for name in lent if borrow[:, names.index(name)].any()]
        stated = ", ".join(f"{name} {loan.rates.utilisation_of(name):.0%}" for name in used)
        labels = (f"assumption: rates of the protocol's curve at a utilisation of {stated}",)
        return Rates(borrow=borrow, supply=supply, labels=labels, series=())
    series = []
    for table, kind in ((borrow, "borrow_rate"), (supply, "supply_rate")):
        for name in lent:
            signal, values = _read(_key(loan, name, kind), open_ms, catalog)
            table[:, names.index(name)] = values
            series.append(signal)
    return Rates(borrow=borrow, supply=supply, labels=(), series=tuple(series))


def _key(loan: LoanSection, name: str, kind: str) -> SeriesKey:
    return SeriesKey("signal", loan.rates.series, f"{name}.{kind}", "1d")


def _are_dated(
    loan: LoanSection, lent: tuple[str, ...], open_ms: TimeArray, catalog: Catalog
) -> bool:
    """Return whether the catalog has a rate of every asset for every bar."""
    try:
        for name in lent:
            _read(_key(loan, name, "borrow_rate"), open_ms, catalog)
    except DataError:
        return False
    return True


def _read(key: SeriesKey, open_ms: TimeArray, catalog: Catalog) -> tuple[Signal, FloatArray]:
    """Return a series of rates, and the newest value known as each bar opens."""
    remedy = 'import the series, or set loan.rates.source = "strategy"'
    if not catalog.has(key):
        raise DataError(f"the loan needs dated rates, the catalog has no {key}: {remedy}")
    signal = catalog.read_signal(key, None, None)
    row = np.searchsorted(signal.known_ms, open_ms, "right") - 1
    age_ms = open_ms - signal.known_ms[np.maximum(row, 0)]
    missing = (row < 0) | (age_ms > STALE_MS)
    if missing.any():
        first = to_time_text(int(open_ms[np.flatnonzero(missing)[0]]))
        raise DataError(
            f"the loan needs a rate for every day, {key} has none for {int(missing.sum())} bars, "
            f"the first at {first}: {remedy}"
        )
    return signal, signal.value[row]
