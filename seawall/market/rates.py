"""Splits a table of lending rates, one row per snapshot and asset, into daily signals.

Such a table has the columns ``network``, ``symbol``, ``liquidity_rate`` and
``variable_borrow_rate``, rates as fractions per year. Of it Ethereum is taken: per asset a
``WETH.supply_rate`` and a ``WETH.borrow_rate``, of the venue ``aave-v3-ethereum`` where the file
lies in a folder ``aave-v3``.

A value describes the UTC day of its snapshot and is known from the snapshot's own time on. Of two
snapshots in one day the first stays: it was known earlier.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from seawall.errors import DataError
from seawall.market.parts import Part, Understanding
from seawall.market.tables import Table
from seawall.units import DAY_MS

NETWORK = "ethereum"
RATES = {"liquidity_rate": "supply_rate", "variable_borrow_rate": "borrow_rate"}
_COLUMNS = {"network", "symbol", *RATES}


def is_lending_rates(table: Table) -> bool:
    """Return whether a table holds lending rates by network and asset."""
    return set(table.frame.columns) >= _COLUMNS


def name_venue(path: Path) -> str | None:
    """Return ``aave-v3-ethereum`` for a file in a folder ``aave-v3``; ``None`` for others."""
    folder = path.absolute().parent.name
    return f"{folder}-{NETWORK}" if folder.startswith("aave") else None


def split_rates(table: Table, given: Understanding) -> Iterator[Part]:
    """Return two parts per asset; of one asset where ``given.symbol`` names it.

    Raises:
        DataError: the table has no rates of Ethereum, or not of that asset.
    """
    frame = table.frame[table.frame["network"].astype(str) == NETWORK]
    if frame.empty:
        raise DataError(
            f"lending rates are taken of {NETWORK}, {table.path} has none: give another file"
        )
    assets = frame["symbol"].astype(str)
    chosen = sorted(assets.unique()) if given.symbol is None else [given.symbol]
    others = sorted(set(table.frame["network"].astype(str)) - {NETWORK})
    for asset in chosen:
        rows = frame[assets == asset]
        if rows.empty:
            raise DataError(
                f"lending rates are of {', '.join(sorted(assets.unique())[:8])} ..., {table.path} "
                f"has none of {asset!r}: name one that it has"
            )
        yield from _split_asset(table, asset, rows, n_networks_left=len(others))


def _split_asset(
    table: Table, asset: str, rows: pd.DataFrame, *, n_networks_left: int
) -> Iterator[Part]:
    """Return the supply and the borrow rate of one asset, a row per day."""
    days = rows["timestamp"] // DAY_MS * DAY_MS
    is_later = days.duplicated()
    kept = rows[~is_later]
    notes = ["known when the snapshot was taken, a row describes its day"]
    if is_later.any():
        notes.append(f"{int(is_later.sum())} later snapshots of a day stay out")
    if n_networks_left:
        notes.append(f"{n_networks_left} other networks stay out")
    known = pd.to_datetime(kept["timestamp"], unit="ms", utc=True)
    for column, name in RATES.items():
        values = pd.to_numeric(kept[column], errors="coerce")
        there = values.notna()
        if not there.any():
            continue
        empty = int((~there).sum())
        yield Part(
            table=table,
            frame=pd.DataFrame({"timestamp": days[kept.index], "value": values, "known_at": known})[
                there
            ],
            symbol=f"{asset}.{name}",
            timeframe="1d",
            notes=(*notes, *([f"{empty} rows have no value and stay out"] if empty else [])),
        )
