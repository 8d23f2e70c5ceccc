"""What stands still for a loan whose market goes on: the last terms, rates and gas that are known.

Rules and parameters change by governance, rates and gas from block to block; of none of them the
next value is known while a market is live, and no chain is asked. So the last known ones hold from
the start on, each labelled with its day.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from seawall.engine.loan.rates import STALE_MS
from seawall.engine.loan.terms import NATIVE, Epoch, LoanTermsOfTime, Market, find_terms
from seawall.errors import DataError, RecipeError
from seawall.loan_recipe import LoanSection
from seawall.market.catalog import Catalog
from seawall.market.series import FloatArray, SeriesKey, Signal
from seawall.units import to_time_text
from seawall.venues.lending.parameters import parameters_at, starts_ms

_ORACLE = "assumption: the oracle follows the live candle"


@dataclass(frozen=True, kw_only=True, eq=False)
class LoanStanding:
    """What holds for a loan as long as its market goes on.

    Attributes:
        epoch: rules and parameters, and the rates of every asset, per year.
        flash_premium, has_flash_loans: as in ``LoanTermsOfTime``.
        gas_gwei: what a unit of gas costs, before the recipe's multiplier; ``None``: the model.
        labels: what has to be said of them.
    """

    epoch: Epoch
    flash_premium: float
    has_flash_loans: bool
    gas_gwei: float | None
    labels: tuple[str, ...]

    @property
    def terms(self) -> LoanTermsOfTime:
        """The one epoch, as a world has it."""
        return LoanTermsOfTime(
            epochs=(self.epoch,),
            labels=(),
            flash_premium=self.flash_premium,
            has_flash_loans=self.has_flash_loans,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, JSON-able."""
        epoch = self.epoch
        return {
            "since_ms": epoch.since_ms,
            "name": epoch.name,
            "risk": epoch.risk.tolist(),
            "rules": epoch.rules.tolist(),
            "borrow_rate": epoch.borrow_rate.tolist(),
            "supply_rate": epoch.supply_rate.tolist(),
            "flash_premium": self.flash_premium,
            "has_flash_loans": self.has_flash_loans,
            "gas_gwei": self.gas_gwei,
            "labels": list(self.labels),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` gave, equal to the bit."""
        columns = ("risk", "rules", "borrow_rate", "supply_rate")
        epoch = Epoch(
            since_ms=int(values["since_ms"]),
            name=str(values["name"]),
            **{name: np.array(values[name], dtype=np.float64) for name in columns},
        )
        gas = values["gas_gwei"]
        return cls(
            epoch=epoch,
            flash_premium=float(values["flash_premium"]),
            has_flash_loans=bool(values["has_flash_loans"]),
            gas_gwei=None if gas is None else float(gas),
            labels=tuple(values["labels"]),
        )


def find_loan_standing(loan: LoanSection, now_ms: int, catalog: Catalog) -> LoanStanding:
    """Return what holds for a loan that begins now.

    Args:
        loan: of the recipe.
        now_ms: UTC milliseconds.
        catalog: for rates and gas.

    Raises:
        RecipeError: the recipe asks for what only a past window can have.
        DataError: rates or gas are to be a series, and there is none.
    """
    check_live(loan)
    names = tuple(dict.fromkeys((loan.collateral, loan.debt, NATIVE)))
    terms = find_terms(loan, names, now_ms, now_ms)
    last = terms.epochs[-1]
    borrow, supply, rate_label = _find_rates(loan, names, last, now_ms, catalog)
    gas, gas_label = _find_gas(loan, now_ms, catalog)
    day = _to_day(_find_known_ms(last, names, now_ms))
    epoch = Epoch(
        since_ms=last.since_ms, name=last.name, risk=last.risk, rules=last.rules,
        borrow_rate=borrow, supply_rate=supply,
    )  # fmt: skip
    held = f"assumption: rules and parameters of {last.name} as known on {day}"
    labels = (_ORACLE, f"{held}, for as long as it runs", *terms.labels, rate_label, gas_label)
    return LoanStanding(
        epoch=epoch,
        flash_premium=terms.flash_premium,
        has_flash_loans=terms.has_flash_loans,
        gas_gwei=gas,
        labels=tuple(label for label in labels if label),
    )


def check_live(loan: LoanSection) -> None:
    """Raise RecipeError where a loan asks for what a live market does not have."""
    if loan.oracle.faults:
        raise RecipeError(
            f"a live oracle has no planned faults, loan.oracle.faults has {len(loan.oracle.faults)}"
            ": leave them out"
        )
    for asset, price in loan.prices.items():
        if price.numerator is not None:
            raise RecipeError(
                f"a live price is a symbol's or a number, loan.prices.{asset} is a ratio of series "
                "of the catalog: name a symbol of the market, or write 1.0"
            )
        if price.market_discount is not None:
            raise RecipeError(
                f"a live market has no planned depeg, loan.prices.{asset}.market_discount is one: "
                "leave it out"
            )


def _find_known_ms(epoch: Epoch, names: tuple[str, ...], now_ms: int) -> int:
    """Return when the parameters that are in force came into it, as far as a table says."""
    if not epoch.name.startswith("aave"):
        return now_ms
    market: Market = "aave-v2" if epoch.name == "aave v2" else "aave-v3"
    then_ms = max(now_ms, starts_ms(market))
    rows = [parameters_at(market, name, then_ms) for name in names if name != NATIVE]
    return max(row.since_ms for row in rows)


def _find_rates(
    loan: LoanSection, names: tuple[str, ...], epoch: Epoch, now_ms: int, catalog: Catalog
) -> tuple[FloatArray, FloatArray, str]:
    """Return borrow and supply rates per asset, and what has to be said of them."""
    lent = [name for name in names if name != NATIVE]
    keys = {
        (name, kind): SeriesKey("signal", loan.rates.series, f"{name}.{kind}", "1d")
        for name in lent
        for kind in ("borrow_rate", "supply_rate")
    }
    found = {place: _read_last(key, now_ms, catalog) for place, key in keys.items()}
    missing = [str(keys[place]) for place, one in found.items() if one is None]
    if loan.rates.source == "series" and missing:
        raise DataError(
            f"the loan needs dated rates, the catalog has none of {missing[0]} that is known by "
            'now: import the series, or set loan.rates.source = "strategy"'
        )
    known = {place: one for place, one in found.items() if one is not None}
    is_fresh = all(now_ms - known_ms <= STALE_MS for known_ms, _ in known.values())
    is_usable = not missing and (is_fresh or loan.rates.source == "series")
    if loan.rates.source == "strategy" or not is_usable:
        used = [name for name in lent if epoch.borrow_rate[names.index(name)]]
        stated = ", ".join(f"{name} {loan.rates.utilisation_of(name):.0%}" for name in used)
        label = f"assumption: rates of the protocol's curve at a utilisation of {stated}"
        return epoch.borrow_rate, epoch.supply_rate, label
    tables = {kind: np.zeros(len(names)) for kind in ("borrow_rate", "supply_rate")}
    for (name, kind), (_, value) in known.items():
        tables[kind][names.index(name)] = value
    day = _to_day(min(known_ms for known_ms, _ in known.values()))
    label = f"assumption: rates as known on {day}, for as long as it runs"
    return tables["borrow_rate"], tables["supply_rate"], label


def _find_gas(loan: LoanSection, now_ms: int, catalog: Catalog) -> tuple[float | None, str]:
    """Return the last known gas price, and what has to be said of it; ``None``: the model's."""
    if loan.gas.source == "model":
        return None, ""
    venue, _, rest = loan.gas.series.partition("/")
    name, _, timeframe = rest.rpartition("/")
    key = SeriesKey("signal", venue, name, timeframe)
    last = _read_last(key, now_ms, catalog)
    if last is None or not last[1] > 0:
        raise DataError(
            f"the loan needs a gas price, the catalog has none of {key} that is known by now: "
            'import the series, or set loan.gas.source = "model"'
        )
    known_ms, gwei = last
    day = _to_day(known_ms)
    return gwei, f"assumption: gas at {gwei:.4g} gwei as known on {day}, for as long as it runs"


def _read_last(key: SeriesKey, now_ms: int, catalog: Catalog) -> tuple[int, float] | None:
    """Return when the last value of a series was known, and the value; ``None``: there is none."""
    if not catalog.has(key):
        return None
    signal: Signal = catalog.read_signal(key, None, None)
    row = int(np.searchsorted(signal.known_ms, now_ms, "right")) - 1
    return None if row < 0 else (int(signal.known_ms[row]), float(signal.value[row]))


def _to_day(time_ms: int) -> str:
    return to_time_text(time_ms).partition(" ")[0]
