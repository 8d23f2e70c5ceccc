"""Holds the dated bonuses against what liquidators got: the liquidation events of Aave v2.

A liquidation seizes ``repaid * (1 + bonus)``, in the protocol's own prices. The events give both
sides in USD, in the prices of whoever collected them, so that a row holds where the two agree
within 1 %. Taken are the rows from 2021-08-01 on with both values and more than 100 USD repaid.

Every row that misses belongs to the first class of these whose rule it meets:

- ``no dated bonus``: the table knows none for the collateral at that time.
- ``fixed in ether``: the source prices one of the two assets at a constant number of ether, though
  it is no ether: three quarters of the asset's rows (20 at least) lie within 1 % of one number.
- ``wrong throughout``: the rows of one of the two assets as collateral (10 at least) miss by more
  than 5 % in the median: the source prices another token.
- ``share of a pool``: the collateral is a pool's share, which Aave prices by the pool's reserves.
- ``another moment``: the prices that other rows give to the two assets within an hour differ by as
  much as the row misses: prices moved between the liquidation and the quote.
- ``unexplained``: the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seawall.errors import DataError
from seawall.units import HOUR_MS, to_time_ms
from seawall.venues.lending.parameters import Bonus, bonuses

FILE = Path("defi") / "aave-v2" / "liquidations.parquet"
SINCE = "2021-08-01"
LEAST_USD = 100.0
TOLERANCE = 0.01
READ_OFF = "read off the liquidation events"  # a source that is no independent one

NO_BONUS = "no dated bonus"
FIXED_IN_ETHER = "fixed in ether"
WRONG_THROUGHOUT = "wrong throughout"
POOL_SHARE = "share of a pool"
ANOTHER_MOMENT = "another moment"
UNEXPLAINED = "unexplained"
CLASSES = (NO_BONUS, FIXED_IN_ETHER, WRONG_THROUGHOUT, POOL_SHARE, ANOTHER_MOMENT, UNEXPLAINED)

_POOL_SHARES = ("AmmBpt", "AmmUni", "AmmGUni")
_SIDES = ("collateral", "debt")


@dataclass(frozen=True, kw_only=True)
class EventsReport:
    """What the events say about the table of bonuses.

    Attributes:
        n_weth, n_weth_within: rows with WETH as collateral, and those within 1 %.
        n_all, n_all_within: rows with any collateral, and those within 1 %.
        n_read_off: rows within 1 % whose bonus was read off these very events; they prove nothing.
        misses: number of rows by class, all classes.
        table: a row per miss: time, collateral, debt, repaid_usd, seized_usd, bonus, error, class.
    """

    n_weth: int
    n_weth_within: int
    n_all: int
    n_all_within: int
    n_read_off: int
    misses: Mapping[str, int]
    table: pd.DataFrame

    @property
    def weth_share(self) -> float:
        """Share of the rows with WETH as collateral that hold."""
        return self.n_weth_within / self.n_weth

    @property
    def share(self) -> float:
        """Share of all rows that hold."""
        return self.n_all_within / self.n_all

    @property
    def independent_share(self) -> float:
        """The same, with the rows whose bonus was read off the events counted as misses."""
        return (self.n_all_within - self.n_read_off) / self.n_all


def check_events(folder: Path) -> EventsReport:
    """Hold the dated bonuses against the liquidation events in a data folder.

    Args:
        folder: the folder that holds ``defi/aave-v2/liquidations.parquet``.

    Raises:
        DataError: the file is not there.
    """
    path = folder / FILE
    if not path.is_file():
        raise DataError(
            f"the liquidation events must be there, {path} is not: name its data folder"
        )
    events = _prepare(pd.read_parquet(path))
    misses = events[~events["is_within"]].copy()
    misses["class"] = _classify(events, misses)
    counts = misses["class"].value_counts()
    is_weth = events["collateral_asset"] == "WETH"
    return EventsReport(
        n_weth=int(is_weth.sum()),
        n_weth_within=int(events.loc[is_weth, "is_within"].sum()),
        n_all=len(events),
        n_all_within=int(events["is_within"].sum()),
        n_read_off=int((events["is_within"] & events["is_read_off"]).sum()),
        misses={name: int(counts.get(name, 0)) for name in CLASSES},
        table=_to_table(misses),
    )


def _prepare(raw: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that count, with the dated bonus and by how much each row misses it."""
    time_ms = np.asarray(raw["timestamp"].dt.as_unit("ms").astype("int64"), dtype=np.int64)
    counts = (
        (time_ms >= to_time_ms(SINCE))
        & raw["collateral_usd"].notna()
        & raw["debt_usd"].notna()
        & (raw["debt_usd"] > LEAST_USD)
    )
    events = raw.assign(time_ms=time_ms)[counts].sort_values("time_ms", kind="stable")
    events = events.reset_index(drop=True)
    assets = events["collateral_asset"].astype(str)
    found = [_bonus_at(a, int(t)) for a, t in zip(assets, events["time_ms"], strict=True)]
    events["bonus"] = [np.nan if b is None else b.bonus_bps / 10_000 for b in found]
    events["is_read_off"] = [b is not None and READ_OFF in b.source for b in found]
    events["error"] = events["collateral_usd"] / (events["debt_usd"] * events["bonus"]) - 1.0
    events["is_within"] = events["error"].abs() < TOLERANCE
    for side in _SIDES:
        events[f"{side}_price"] = events[f"{side}_usd"] / events[f"{side}_amount"]
    return events


def _bonus_at(asset: str, time_ms: int) -> Bonus | None:
    held = [bonus for bonus in bonuses("aave-v2", asset) if bonus.since_ms <= time_ms]
    return held[-1] if held else None


def _classify(events: pd.DataFrame, misses: pd.DataFrame) -> list[str]:
    """Return the class of each miss: the first whose rule it meets."""
    fixed = _find_fixed_in_ether(events)
    wrong = _find_wrong_throughout(events)
    quotes = _Quotes(events)
    collaterals = misses["collateral_asset"].astype(str)
    debts = misses["debt_asset"].astype(str)
    has_bonus = misses["bonus"].notna()
    classes: list[str] = []
    for row, collateral, debt, is_known in zip(
        misses.index.tolist(), collaterals, debts, has_bonus, strict=True
    ):
        pair = {collateral, debt}
        if not is_known:
            classes.append(NO_BONUS)
        elif pair & fixed:
            classes.append(FIXED_IN_ETHER)
        elif pair & wrong:
            classes.append(WRONG_THROUGHOUT)
        elif collateral.startswith(_POOL_SHARES):
            classes.append(POOL_SHARE)
        elif quotes.explain(row):
            classes.append(ANOTHER_MOMENT)
        else:
            classes.append(UNEXPLAINED)
    return classes


def _find_fixed_in_ether(events: pd.DataFrame) -> set[str]:
    """Return the assets whose price in the source is a constant number of ether."""
    ether = events[events["collateral_asset"] == "WETH"][["time_ms", "collateral_price"]]
    priced = pd.merge_asof(
        events, ether.rename(columns={"collateral_price": "ether"}), on="time_ms",
        direction="nearest",
    )  # fmt: skip
    found: set[str] = set()
    for side in _SIDES:
        for asset, rows in priced.groupby(f"{side}_asset"):
            in_ether = rows[f"{side}_price"] / rows["ether"]
            is_near = (in_ether / in_ether.median() - 1.0).abs() < TOLERANCE
            if "WETH" not in str(asset) and len(rows) >= 20 and is_near.mean() >= 0.75:  # noqa: PLR2004
                found.add(str(asset))
    return found


def _find_wrong_throughout(events: pd.DataFrame) -> set[str]:
    """Return the assets that, as collateral, miss by more than 5 % in the median."""
    grouped = events["error"].abs().groupby(events["collateral_asset"].astype(str))
    is_wrong = (grouped.size() >= 10) & (grouped.median() > 0.05)  # noqa: PLR2004
    return {str(asset) for asset in is_wrong.index[is_wrong]}


class _Quotes:
    """What all rows say an asset was worth, by time."""

    def __init__(self, events: pd.DataFrame) -> None:
        self._events = events
        sides = [
            pd.DataFrame(
                {
                    "row": events.index,
                    "asset": events[f"{side}_asset"].astype(str),
                    "time_ms": events["time_ms"],
                    "price": events[f"{side}_price"],
                }
            )
            for side in _SIDES
        ]
        self._by_asset = dict(list(pd.concat(sides).groupby("asset")))

    def explain(self, row: int) -> bool:
        """Return whether quotes within an hour differ from a row's by as much as it misses."""
        low_collateral, high_collateral = self._range(row, "collateral")
        low_debt, high_debt = self._range(row, "debt")
        needed = 1.0 / (1.0 + float(self._events["error"].to_numpy()[row]))
        least = low_collateral / high_debt * (1.0 - TOLERANCE)
        most = high_collateral / low_debt * (1.0 + TOLERANCE)
        return bool(least <= needed <= most)

    def _range(self, row: int, side: str) -> tuple[float, float]:
        """Return the lowest and highest quote within an hour, relative to the row's own."""
        quotes = self._by_asset[str(self._events[f"{side}_asset"].iloc[row])]
        is_near = (quotes["time_ms"] - self._events["time_ms"].iloc[row]).abs() <= HOUR_MS
        prices: NDArray[np.float64] = quotes.loc[is_near, "price"].to_numpy(np.float64)
        relative = prices / float(self._events[f"{side}_price"].to_numpy()[row])
        return float(relative.min()), float(relative.max())


def _to_table(misses: pd.DataFrame) -> pd.DataFrame:
    names = {
        "timestamp": "time",
        "collateral_asset": "collateral",
        "debt_asset": "debt",
        "debt_usd": "repaid_usd",
        "collateral_usd": "seized_usd",
        "bonus": "bonus",
        "error": "error",
        "class": "class",
    }
    return misses[list(names)].rename(columns=names).reset_index(drop=True)
