"""The store of market data: one folder per series, one Parquet file and one manifest in each.

``<root>/<kind>/<venue>/<SYMBOL-WITH-DASH>/<timeframe>/`` holds ``data-<hash>.parquet`` and
``manifest.json``. Columns: candles and mark candles have ``timestamp, open, high, low, close`` and,
except mark, ``volume``; funding and signals have ``timestamp, known_at, value``. Timestamps are UTC
to the millisecond, prices in quote units per base unit, volume in base units.

A commit writes the data file under a new name, then replaces the manifest that names it. A process
killed at any moment leaves the old commit or the new one, whole.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import platformdirs
from filelock import FileLock, Timeout

from seawall.errors import DataError, SeriesNotFound
from seawall.market.manifest import (
    MANIFEST_NAME,
    Filters,
    Interval,
    Manifest,
    find_gaps,
    read_manifest,
    subtract,
    unite,
)
from seawall.market.series import (
    CANDLE_FIELDS,
    PRICE_FIELDS,
    Candles,
    Series,
    SeriesKey,
    Signal,
    TimeArray,
)
from seawall.units import to_time_text

VARIABLE = "SEAWALL_DATA"
LOCK_SECONDS = 60
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/+-]*")


class Catalog:
    """The series stored under one folder: ``$SEAWALL_DATA``, or the platform's data folder."""

    def __init__(self, root: Path | None = None) -> None:
        named = os.environ.get(VARIABLE)
        self.root = root or (Path(named) if named else platformdirs.user_data_path("seawall"))

    def has(self, key: SeriesKey) -> bool:
        """Return whether the series is stored."""
        return (self._folder(key) / MANIFEST_NAME).is_file()

    def keys(self) -> list[SeriesKey]:
        """Return the keys of all stored series, sorted."""
        found = self.root.glob(f"*/*/*/*/{MANIFEST_NAME}")
        return sorted(read_manifest(path.parent).key for path in found)

    def manifest(self, key: SeriesKey) -> Manifest:
        """Return what is known about a stored series, without reading its rows.

        Raises:
            SeriesNotFound: it is not stored.
            DataError: its folder is of another schema version, or damaged.
        """
        try:
            manifest = read_manifest(self._folder(key))
        except FileNotFoundError:
            raise SeriesNotFound(self._missing(key)) from None
        if manifest.key != key:
            raise DataError(
                f"two series cannot share a folder: {manifest.key!r} is stored where {key!r} would "
                "be: rename one of the symbols"
            )
        return manifest

    def read(
        self, key: SeriesKey, since_ms: int | None = None, until_ms: int | None = None
    ) -> Series:
        """Return a stored series, or the part of it with ``since_ms <= time < until_ms``.

        Raises:
            SeriesNotFound: it is not stored.
            DataError: its file does not have the hash that its manifest says.
        """
        manifest = self.manifest(key)
        try:
            series = self._load(manifest)
        except FileNotFoundError:  # a writer replaced it since: its manifest names another file
            manifest = self.manifest(key)
            try:
                series = self._load(manifest)
            except FileNotFoundError:
                raise DataError(_damaged(self._folder(key) / manifest.data_file)) from None
        return series.between(since_ms, until_ms)

    def read_candles(
        self, key: SeriesKey, since_ms: int | None = None, until_ms: int | None = None
    ) -> Candles:
        """Return stored candles; see ``read``."""
        series = self.read(key, since_ms, until_ms)
        if not isinstance(series, Candles):
            raise DataError(f"candles were asked for, {key} is a {key.kind} series: name another")
        return series

    def read_signal(
        self, key: SeriesKey, since_ms: int | None = None, until_ms: int | None = None
    ) -> Signal:
        """Return a stored signal or funding series; see ``read``."""
        series = self.read(key, since_ms, until_ms)
        if not isinstance(series, Signal):
            raise DataError(f"a signal was asked for, {key} is a {key.kind} series: name another")
        return series

    def write(
        self,
        series: Series,
        *,
        fetched_ms: int | None,
        confirmed_gaps: tuple[Interval, ...] = (),
        filters: Filters | None = None,
    ) -> Manifest:
        """Store a series in place of what was stored under its key, and return its manifest."""
        with self._locked(series.key):
            return self._commit(
                series,
                fetched_ms=fetched_ms,
                confirmed_gaps=confirmed_gaps,
                filters=filters or Filters(),
            )

    def append(
        self,
        series: Series,
        *,
        fetched_ms: int | None,
        confirmed_gaps: tuple[Interval, ...] = (),
        filters: Filters | None = None,
    ) -> Manifest:
        """Merge a series into the stored one of its key, and return the manifest.

        Of two rows with one timestamp the new one stays. Confirmed gaps are united and lose what
        rows now cover; ``filters`` None keeps those that are known.

        Raises:
            DataError: one of the two is simulated and the other is not.
        """
        with self._locked(series.key):
            if self.has(series.key):
                old = self.manifest(series.key)
                series = _merge(self.read(series.key), series)
                confirmed_gaps = unite((*old.confirmed_gaps, *confirmed_gaps))
                filters = filters or old.filters
                fetched_ms = old.fetched_ms if fetched_ms is None else fetched_ms
            return self._commit(
                series,
                fetched_ms=fetched_ms,
                confirmed_gaps=confirmed_gaps,
                filters=filters or Filters(),
            )

    def check_key(self, key: SeriesKey) -> None:
        """Raise DataError where a key cannot name a folder."""
        self._folder(key)

    def _folder(self, key: SeriesKey) -> Path:
        return self.folder_of(key.kind, key.venue, key.symbol, key.timeframe)

    def folder_of(self, *parts: str) -> Path:
        """Return the folder that names such as venue and symbol make; it need not exist.

        Raises:
            DataError: a name cannot be one of a folder.
        """
        for part in parts:
            if not _PART.fullmatch(part) or ".." in part:
                raise DataError(
                    "venue and symbol must be letters, digits and _ . : / + -, beginning with a "
                    f"letter, a digit or _, is {part!r}: rename it"
                )
        names = [part.replace("/", "-").replace(":", "_") for part in parts]
        return self.root.joinpath(*names)

    def _missing(self, key: SeriesKey) -> str:
        stored = {str(other): other for other in self.keys()}
        close = get_close_matches(str(key), list(stored), n=1, cutoff=0.75)
        meant = f" (did you mean {close[0]}?)" if close else ""
        return f"{key} is not in the catalog {self.root}{meant}: run `{fetch_line(key)}`"

    @contextmanager
    def _locked(self, key: SeriesKey) -> Iterator[None]:
        folder = self._folder(key)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / ".lock", timeout=LOCK_SECONDS):
                yield
        except Timeout:
            raise DataError(
                f"one process writes a series at a time, another has held {folder / '.lock'} for "
                f"{LOCK_SECONDS} s: wait for it to end"
            ) from None
        except OSError as error:
            raise DataError(
                f"the catalog must be writable, {folder} is not ({error.strerror}): "
                f"set {VARIABLE} to a folder that is"
            ) from error

    def _load(self, manifest: Manifest) -> Series:
        path = self._folder(manifest.key) / manifest.data_file
        if _hash_file(path) != manifest.data_sha256:
            raise DataError(_damaged(path))
        return _from_frame(pd.read_parquet(path), manifest)

    def _commit(
        self,
        series: Series,
        *,
        fetched_ms: int | None,
        confirmed_gaps: tuple[Interval, ...],
        filters: Filters,
    ) -> Manifest:
        """Write data, then manifest; each is whole on disk before it gets its name."""
        folder = self._folder(series.key)
        if self.has(series.key):
            self.manifest(series.key)  # raises where the folder is another series' or version's
        draft = folder / ".data.tmp"
        to_frame(series).to_parquet(draft, index=False, compression="zstd")
        data_sha256 = _hash_file(draft)
        times = series.time_ms
        gaps = find_gaps(times, series.key.timeframe_ms)
        if len(times):
            covered = (int(times[0]), int(times[-1]) + series.key.timeframe_ms)
            confirmed_gaps = _without_rows(confirmed_gaps, gaps, covered)
        manifest = Manifest(
            key=series.key,
            sha256=series.sha256(),
            data_file=f"data-{data_sha256[:16]}.parquet",
            data_sha256=data_sha256,
            rows=len(series),
            first_ms=int(times[0]) if len(times) else None,
            last_ms=int(times[-1]) if len(times) else None,
            gaps=gaps,
            confirmed_gaps=confirmed_gaps,
            source=series.source,
            is_simulated=series.is_simulated,
            fetched_ms=fetched_ms,
            filters=filters,
        )
        put_whole(draft, folder / manifest.data_file)
        draft = folder / ".manifest.tmp"
        draft.write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
        put_whole(draft, folder / MANIFEST_NAME)
        for other in folder.glob("data-*.parquet"):
            if other.name != manifest.data_file:
                other.unlink(missing_ok=True)
        return manifest


def fetch_line(key: SeriesKey, since_ms: int | None = None, until_ms: int | None = None) -> str:
    """Return the command that brings a series into the catalog."""
    if key.kind == "signal":
        return f"seawall data import FILE --kind signal --venue {key.venue} --symbol {key.symbol}"
    since = "2022-01-01" if since_ms is None else _to_date(since_ms)
    line = f"seawall data get {key.venue} {key.symbol}"
    line += "" if key.kind == "funding" else f" --timeframe {key.timeframe}"
    line += f" --since {since}"
    line += "" if until_ms is None else f" --until {_to_date(until_ms)}"
    return line + ("" if key.kind == "candles" else f" --kind {key.kind}")


def to_frame(series: Series) -> pd.DataFrame:
    """Return a series as the table it is stored as: UTC timestamps, float64 columns."""
    columns: dict[str, object] = {"timestamp": pd.to_datetime(series.time_ms, unit="ms", utc=True)}
    if isinstance(series, Candles):
        names = PRICE_FIELDS if series.key.kind == "mark" else CANDLE_FIELDS
        columns |= {name: getattr(series, name) for name in names}
    else:
        columns["known_at"] = pd.to_datetime(series.known_ms, unit="ms", utc=True)
        columns["value"] = series.value
    frame = pd.DataFrame(columns)
    times = [name for name in ("timestamp", "known_at") if name in frame]
    return frame.astype(dict.fromkeys(times, "datetime64[ms, UTC]"))


def _from_frame(frame: pd.DataFrame, manifest: Manifest) -> Series:
    key, source, is_simulated = manifest.key, manifest.source, manifest.is_simulated
    time_ms = _to_ms(frame["timestamp"])
    if key.kind in ("funding", "signal"):
        return Signal(
            key=key,
            time_ms=time_ms,
            known_ms=_to_ms(frame["known_at"]),
            value=frame["value"].to_numpy(np.float64),
            source=source,
            is_simulated=is_simulated,
        )
    prices = {name: frame[name].to_numpy(np.float64) for name in PRICE_FIELDS}
    volume = np.full(len(frame), np.nan) if key.kind == "mark" else frame["volume"].to_numpy()
    return Candles(
        key=key, time_ms=time_ms, volume=volume, source=source, is_simulated=is_simulated, **prices
    )


def _merge(old: Series, new: Series) -> Series:
    """Return the rows of both in order; of two with one timestamp the new one stays."""
    if old.is_simulated != new.is_simulated:
        raise DataError(
            f"simulated and real rows cannot be one series: {old.key} has both: "
            "give the simulated one another venue"
        )
    keep = ~np.isin(old.time_ms, new.time_ms)
    order = np.argsort(np.concatenate([old.time_ms[keep], new.time_ms]), kind="stable")
    names = [f.name for f in fields(old) if isinstance(getattr(old, f.name), np.ndarray)]
    merged = {
        name: np.concatenate([getattr(old, name)[keep], getattr(new, name)])[order]
        for name in names
    }
    sources = [text for text in (old.source, new.source) if text]
    source = sources[0] if sources and sources[-1] in sources[0] else "; ".join(sources)
    return type(old)(key=old.key, source=source, is_simulated=old.is_simulated, **merged)


def _without_rows(
    confirmed: tuple[Interval, ...], gaps: tuple[Interval, ...], covered: Interval
) -> tuple[Interval, ...]:
    """Return what of the confirmed gaps no row contradicts; ``covered`` is first to last row."""
    return subtract(unite(confirmed), subtract((covered,), gaps))


def put_whole(draft: Path, path: Path) -> None:
    """Give a finished draft its name such that a power cut leaves it whole or not there."""
    for step in (draft, None, path.parent):
        if step is None:
            os.replace(draft, path)  # noqa: PTH105 - the atomic rename, by its name
        elif os.name == "posix" or step.is_file():
            handle = os.open(step, os.O_RDWR if step.is_file() else os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)


def _hash_file(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _damaged(path: Path) -> str:
    return (
        f"a data file must have the hash that its manifest says, {path} does not: "
        "delete its folder and fetch or import the series again"
    )


def _to_ms(times: "pd.Series[pd.Timestamp]") -> TimeArray:
    return np.asarray(times.dt.as_unit("ms").astype("int64"), dtype=np.int64)


def _to_date(time_ms: int) -> str:
    return to_time_text(time_ms).removesuffix(" 00:00").replace(" ", "T")
