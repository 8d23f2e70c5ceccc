"""What the catalog says about a stored series: one ``manifest.json`` beside one Parquet file.

The manifest is written last and atomically: it is the commit point, and the data file it names is
the only one that counts.
"""

import json
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from seawall.errors import DataError
from seawall.market.series import SeriesKey, TimeArray

SCHEMA_VERSION: Literal[1] = 1
MANIFEST_NAME = "manifest.json"

Interval = tuple[int, int]  # half-open: [from, to) in UTC milliseconds


class Filters(BaseModel):
    """The exchange's order grid: price step and minimum notional in quote, amount step in base."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tick_size: float | None = None
    lot_size: float | None = None
    min_notional: float | None = None


class Manifest(BaseModel):
    """What is stored of one series.

    Attributes:
        schema_version: of the folder's layout; any other is refused, never misread.
        key: the series.
        sha256: of the content, as ``series.sha256()`` gives it.
        data_file: name of the Parquet file beside the manifest; ``data_sha256``: of its bytes.
        rows: number of rows; ``first_ms`` and ``last_ms``: first and last timestamp, or None.
        gaps: all stretches without rows between the first and the last, half-open, in order.
        confirmed_gaps: stretches that the exchange was asked for again and has nothing for.
        source: where the rows come from, in words.
        is_simulated: made by a model; whatever is made from it is labelled so.
        fetched_ms: when the rows were last fetched, None for imported ones.
        filters: the exchange's order grid, where known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = SCHEMA_VERSION
    key: SeriesKey
    sha256: str
    data_file: str
    data_sha256: str
    rows: int
    first_ms: int | None
    last_ms: int | None
    gaps: tuple[Interval, ...] = ()
    confirmed_gaps: tuple[Interval, ...] = ()
    source: str = ""
    is_simulated: bool = False
    fetched_ms: int | None = None
    filters: Filters = Filters()

    @property
    def tick_size(self) -> float | None:
        """The step of prices in quote units, where known."""
        return self.filters.tick_size

    @property
    def lot_size(self) -> float | None:
        """The step of amounts in base units, where known."""
        return self.filters.lot_size

    @property
    def min_notional(self) -> float | None:
        """The least value of an order in quote units, where known."""
        return self.filters.min_notional

    @property
    def open_gaps(self) -> tuple[Interval, ...]:
        """The gaps that the exchange may still have rows for."""
        return subtract(self.gaps, self.confirmed_gaps)


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a series' folder.

    Raises:
        FileNotFoundError: there is none.
        DataError: it is of another schema version, or not readable.
    """
    path = folder / MANIFEST_NAME
    remedy = "delete that folder and fetch or import the series again"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        version = found.get("schema_version")
    except (ValueError, AttributeError) as error:
        raise DataError(f"a manifest must be a JSON object, {path} is not: {remedy}") from error
    if version != SCHEMA_VERSION:
        raise DataError(
            f"the catalog's schema version must be {SCHEMA_VERSION}, {path} says {version!r}: "
            f"upgrade Seawall, or {remedy}"
        )
    try:
        manifest = Manifest.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{place} of {path} is not valid ({first['msg']}): {remedy}") from error
    if Path(manifest.data_file).name != manifest.data_file:
        raise DataError(f"data_file of {path} must be a plain file name: {remedy}")
    return manifest


def find_gaps(time_ms: TimeArray, timeframe_ms: int) -> tuple[Interval, ...]:
    """Return the half-open stretches where rows are missing between the first and the last.

    A step counts as a gap from one and a half timeframes on: funding stamps are not exact.
    """
    before = np.flatnonzero(np.diff(time_ms) * 2 >= timeframe_ms * 3)
    return tuple((int(time_ms[i]) + timeframe_ms, int(time_ms[i + 1])) for i in before)


def subtract(intervals: tuple[Interval, ...], taken: tuple[Interval, ...]) -> tuple[Interval, ...]:
    """Return what is left of ``intervals`` outside ``taken``; both half-open, in any order."""
    left: list[Interval] = []
    holes = unite(taken)
    at = 0
    for start, stop in unite(intervals):
        while at < len(holes) and holes[at][1] <= start:
            at += 1
        cursor, index = start, at
        while index < len(holes) and holes[index][0] < stop:
            if cursor < holes[index][0]:
                left.append((cursor, holes[index][0]))
            cursor = max(cursor, holes[index][1])
            index += 1
        if cursor < stop:
            left.append((cursor, stop))
    return tuple(left)


def unite(intervals: tuple[Interval, ...]) -> tuple[Interval, ...]:
    """Return the union of half-open intervals, in order and without overlaps."""
    united: list[Interval] = []
    for start, stop in sorted(intervals):
        if united and start <= united[-1][1]:
            united[-1] = (united[-1][0], max(stop, united[-1][1]))
        else:
            united.append((start, stop))
    return tuple(united)
