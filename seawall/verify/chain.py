"""Proofs against what a chain has stored: rates and indices of Aave v3, integer by integer.

No contract is run: the chain has run it. The data are those of the folder ``defi/aave-v3``.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from seawall.errors import DataError
from seawall.venues.lending.aave_rates import rates_of
from seawall.venues.lending.aave_state import RateCurve
from seawall.venues.lending.fixed import (
    RAY,
    YEAR_S,
    compounded_growth_binomial,
    compounded_growth_taylor,
    linear_growth,
    ray_mul,
)
from seawall.venues.lending.rules import RULES
from seawall.verify.proof import Proof

SNAPSHOT = Path("defi/aave-v3/ethereum-reserves-2025-03-19.csv")
SERIES = tuple(Path(f"defi/aave-v3/polygon-{x}-reserve-1m.csv.gz") for x in ("USDC", "WETH"))
_OWN_RULES = "GHO"

_Growth = Callable[[int, int], int]


class RateComparison(NamedTuple):
    """How many borrow rates the strategy gives to the ray, and the largest difference."""

    n_reserves: int
    n_equal: int
    largest_error_ray: int


class IndexComparison(NamedTuple):
    """How index changes compare with both ways to compound.

    Attributes:
        n_changes: times that the stored indices changed from one minute to the next.
        n_single_steps: changes for which one whole number of seconds explains the supply index.
        n_binomial, n_taylor: of these, the borrow indices that the old (up to v3.3) and the new
            (v3.4 on) compounding give exactly.
        largest_error_ray: of the old one.
    """

    n_changes: int
    n_single_steps: int
    n_binomial: int
    n_taylor: int
    largest_error_ray: int


class _Row(NamedTuple):
    """One minute of a reserve, in ray."""

    liquidity_rate: int
    borrow_rate: int
    liquidity_index: int
    borrow_index: int


def compare_rates(data_folder: Path) -> RateComparison:
    """Compare the rate strategy with the borrow rates of Ethereum on 2025-03-19, GHO left out.

    GHO is minted, not lent: its rate does not follow utilisation.
    """
    table = _read(data_folder / SNAPSHOT)
    errors = [_rate_error(row) for row in table.to_dict("records") if row["symbol"] != _OWN_RULES]
    return RateComparison(len(errors), errors.count(0), max(errors))


def compare_indices(data_folder: Path) -> IndexComparison:
    """Compare both ways to compound with index changes on Polygon, 14 to 17 August 2023."""
    n_changes, old, new = 0, [], []
    for path in SERIES:
        for before, after in _changes(data_folder / path):
            n_changes += 1
            elapsed_s = _seconds_between(before, after)
            if elapsed_s is not None:
                old.append(_index_error(before, after, compounded_growth_binomial, elapsed_s))
                new.append(_index_error(before, after, compounded_growth_taylor, elapsed_s))
    return IndexComparison(n_changes, len(old), old.count(0), new.count(0), max(old, default=0))


def chain_proofs(data_folder: Path) -> list[Proof]:
    """Return the proofs against chain data, skipped where the data are not in the folder."""
    return [_rate_proof(data_folder), _index_proof(data_folder)]


def _rate_proof(data_folder: Path) -> Proof:
    protocol, against = "Aave v3 rate strategy", "Ethereum, 2025-03-19"
    if not (data_folder / SNAPSHOT).is_file():
        return Proof(protocol=protocol, against=against, skipped=f"{SNAPSHOT} is not in the data")
    rates = compare_rates(data_folder)
    return Proof(
        protocol=protocol,
        against=against,
        compared=rates.n_reserves,
        largest_error=rates.largest_error_ray,
        detail=f"borrow rate of {rates.n_equal} of {rates.n_reserves} reserves to the ray",
    )


def _index_proof(data_folder: Path) -> Proof:
    protocol, against = "Aave v3 compounding", "Polygon, August 2023"
    missing = [path for path in SERIES if not (data_folder / path).is_file()]
    if missing:
        return Proof(protocol=protocol, against=against, skipped=f"{missing[0]} is not in the data")
    indices = compare_indices(data_folder)
    return Proof(
        protocol=protocol,
        against=against,
        compared=indices.n_single_steps,
        largest_error=indices.largest_error_ray,
        detail=(
            f"{indices.n_single_steps:,} single steps of {indices.n_changes:,} changes: "
            f"v3.0 right in {indices.n_binomial:,}, v3.4 in {indices.n_taylor:,}"
        ),
    )


def _read(path: Path) -> pd.DataFrame:
    """Return a table of text: a ray does not fit into 64 bits."""
    if not path.is_file():
        raise DataError(f"chain data must be there, {path.name} is not: point to the data folder")
    return pd.read_csv(path, dtype=str)


def _rate_error(row: Mapping[Hashable, str]) -> int:
    curve = RateCurve(
        base=int(row["baseVariableBorrowRate"]),
        slope1=int(row["variableRateSlope1"]),
        slope2=int(row["variableRateSlope2"]),
        optimal=int(row["optimalUsageRatio"]),
    )
    rates = rates_of(
        RULES["v3.3"],
        curve,
        debt=ray_mul(int(row["totalScaledVariableDebt"]), int(row["variableBorrowIndex"])),
        available=int(row["virtualUnderlyingBalance"]),
        reserve_factor_bps=int(row["reserveFactor"]),
    )
    return abs(rates.borrow - int(row["variableBorrowRate"]))


def _changes(path: Path) -> Iterator[tuple[_Row, _Row]]:
    columns = [f"{name}_ray" for name in ("liquidity_rate", "variable_borrow_rate")]
    columns += [f"{name}_ray" for name in ("liquidity_index", "variable_borrow_index")]
    rows = [_Row(*map(int, x)) for x in _read(path)[columns].itertuples(index=False)]
    for before, after in pairwise(rows):
        if before[2:] != after[2:]:
            yield before, after


def _seconds_between(before: _Row, after: _Row) -> int | None:
    """Return the one number of seconds that explains the supply index, if there is one."""
    if before.liquidity_rate == 0:
        return None
    grown = (after.liquidity_index - before.liquidity_index) * RAY * YEAR_S
    guess = grown // (before.liquidity_index * before.liquidity_rate)
    for elapsed_s in (guess, guess + 1):
        growth = linear_growth(before.liquidity_rate, elapsed_s)
        if ray_mul(growth, before.liquidity_index) == after.liquidity_index:
            return elapsed_s
    return None


def _index_error(before: _Row, after: _Row, growth: _Growth, elapsed_s: int) -> int:
    index = ray_mul(growth(before.borrow_rate, elapsed_s), before.borrow_index)
    return abs(index - after.borrow_index)
