"""The folders that results are stored in: one JSON file and tables, written whole or not at all.

Shared by results, comparisons and leagues: what may stand in a folder of ours, and what is damage.
"""

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from types import NoneType
from typing import Any

import pandas as pd
from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

from seawall.errors import RecipeError, ResultError

_JSON_TYPES: Mapping[object, tuple[type, ...]] = {
    float: (int, float, NoneType), int: (int,), str: (str,), int | None: (int, NoneType),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What one kind of folder on disk holds.

    Attributes:
        file: name of the JSON file; it is what makes a folder one of ours.
        tables: names of the tables, one Parquet file each.
    """

    file: str
    tables: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        """Every file name that is ever written there, the report's and the figure's too."""
        tables = (f"{name}.parquet" for name in self.tables)
        return frozenset((self.file, "report.html", "figure.png", *tables))


# What reading a damaged folder can raise; each is told in one line.
_DAMAGE = (
    OSError, ValueError, KeyError, TypeError, AttributeError, NotImplementedError, RecipeError,
)  # fmt: skip


def check_folder(folder: Path, layout: Layout) -> Path:
    """Return the full path of a folder that may be written to: new, empty, or an older one of ours.

    Raises:
        ResultError: it is a file, or holds what Seawall has not written: nothing of it is touched.
    """
    try:
        place = folder.resolve()
        if not place.exists():
            return place
        if not place.is_dir():
            raise ResultError(f"a result needs a folder, {folder} is a file: choose another name")
        found = list(place.iterdir())
    except OSError as error:
        raise ResultError(f"{folder} must be a folder ({error}): choose another") from None
    strange = [p.name for p in found if p.name not in layout.names or p.is_symlink() or p.is_dir()]
    if found and not strange and not {layout.file, "equity.parquet"} <= {p.name for p in found}:
        strange = [found[0].name]
    if strange:
        raise ResultError(
            f"a result replaces only an older one, {folder} holds {min(strange)!r}: choose another "
            "folder or empty it yourself"
        )
    return place


def write_folder(
    folder: Path,
    layout: Layout,
    *,
    summary: Mapping[str, object],
    tables: Mapping[str, pd.DataFrame],
) -> Path:
    """Write a JSON file and tables, whole or not at all; return the folder's full path.

    Raises:
        ResultError: see ``check_folder``, or it cannot be written.
    """
    place = check_folder(folder, layout)
    fresh = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        fresh.mkdir(parents=True)
        for name in layout.tables:
            tables[name].to_parquet(fresh / f"{name}.parquet")
        text = json.dumps(summary, indent=2, sort_keys=True, allow_nan=False)
        (fresh / layout.file).write_text(text + "\n", encoding="utf-8")
        _put_in_place(fresh, place, layout)
    except (OSError, ValueError) as error:
        raise ResultError(
            f"{folder} must be writable, is not ({in_one_line(error)}): choose another folder"
        ) from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return place


def _put_in_place(fresh: Path, place: Path, layout: Layout) -> None:
    """Let the new folder stand where the old one did; the old one goes only then."""
    if not place.exists():
        fresh.rename(place)
        return
    # An empty folder may be a mount, and nobody's working directory is taken from under them.
    if place == Path.cwd() or not any(place.iterdir()):
        for name in layout.names:
            (place / name).unlink(missing_ok=True)
        for path in sorted(fresh.iterdir(), key=lambda path: path.name == layout.file):
            path.rename(place / path.name)
        return
    old = place.with_name(f".{place.name}.{os.getpid()}.old")
    place.rename(old)
    try:
        fresh.rename(place)
    except OSError:
        old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def read_summary(folder: Path, layout: Layout, *, schema: int) -> dict[str, Any]:
    """Return the JSON object of a folder.

    Raises:
        ResultError: there is none, or another version wrote it.
    """
    try:
        stored = json.loads((folder / layout.file).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ResultError(
            f"{folder} must hold a result, has no readable {layout.file} ({in_one_line(error)}): "
            "give the folder that `seawall run` or `seawall compare` printed"
        ) from None
    if not isinstance(stored, dict):
        raise ResultError(f"{folder / layout.file} must be a JSON object, is none: run it again")
    if stored.get("schema") != schema:
        raise ResultError(
            f"results of schema {schema} can be read, {folder} has {stored.get('schema')!r:.40}: "
            "run it again"
        )
    return stored


@contextmanager
def telling_damage(folder: Path, remedy: str) -> Iterator[None]:
    """Say in one line what reading a damaged folder raises, and what to do.

    Raises:
        ResultError: it is damaged.
    """
    try:
        yield
    except _DAMAGE as error:
        raise ResultError(f"{folder} is damaged ({in_one_line(error)}): {remedy}") from None


def read_tables(folder: Path, layout: Layout) -> dict[str, pd.DataFrame]:
    """Return the tables of a folder by name."""
    return {name: pd.read_parquet(folder / f"{name}.parquet") for name in layout.tables}


def check_columns(
    name: str, table: pd.DataFrame, *, numbers: tuple[str, ...] = (), others: tuple[str, ...] = ()
) -> None:
    """Raise ValueError where a column is missing or of another type; an empty one has no type."""
    for column in (*numbers, *others):
        if list(table.columns).count(column) != 1:
            raise ValueError(f"{name}.parquet has no column {column}")
        dtype = table[column].dtype
        is_right = is_numeric_dtype(dtype) if column in numbers else True
        if column == "time":
            is_right = is_datetime64_any_dtype(dtype)
        if len(table) and not is_right:
            raise ValueError(f"column {column} of {name}.parquet holds {dtype}")


def check_curves(name: str, table: pd.DataFrame, columns: tuple[str, ...]) -> None:
    """Raise ValueError where a table is not one of numbers over time, or lacks a column."""
    check_columns(name, table, numbers=columns)
    if not isinstance(table.index, pd.DatetimeIndex) or table.index.tz is None:
        raise ValueError(f"the index of {name}.parquet is no UTC time")


def to_plain(values: Mapping[str, object]) -> dict[str, object]:
    """Return values for strict JSON: what is no finite number is ``None``."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


def read_values(kind: type, stored: object, *, apart: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the values of a dataclass of numbers and texts from JSON; ``None`` is nan for a float.

    Args:
        kind: the dataclass.
        stored: what JSON held.
        apart: fields that are read apart.

    Raises:
        TypeError: a name is missing or unknown, or a value is of another type.
    """
    wanted = {f.name: f.type for f in fields(kind) if f.name not in apart}
    if not isinstance(stored, dict) or set(stored) != set(wanted):
        raise TypeError(f"{kind.__name__} must have {len(wanted)} values, has others")
    for name, value in stored.items():
        if isinstance(value, bool) or not isinstance(value, _JSON_TYPES[wanted[name]]):
            raise TypeError(f"{name} of {kind.__name__} is {value!r:.40}")
    return {
        name: math.nan if value is None and wanted[name] is float else value
        for name, value in stored.items()
    }


def as_text(value: object) -> str:
    """Return a text as it is.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, str):
        raise TypeError(f"a text is wanted, is {value!r:.40}")
    return value


def as_texts(stored: Mapping[object, object]) -> dict[str, str]:
    """Return a mapping of texts to texts as it is; TypeError where it is none."""
    return {as_text(name): as_text(value) for name, value in stored.items()}


def in_one_line(error: Exception) -> str:
    """Return what an error says, without line breaks and not too long."""
    return " ".join(str(error).split())[:300]
