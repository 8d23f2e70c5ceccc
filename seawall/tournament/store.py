"""Where cells are kept: one Parquet file each, named by its key, written whole or not at all."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import pandas as pd

from seawall.errors import ResultError
from seawall.market.catalog import Catalog
from seawall.tournament.cells import SCHEMA, Cell, Task, data_state

_META = "cell"  # of the file's attributes


class CellStore:
    """The cells under one folder.

    Args:
        root: the folder; made when the first cell is kept.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, task: Task) -> Cell | None:
        """Return the cell of a task, if it was played on the data that the catalog has now.

        A file that cannot be read is none: it is played again. So is what was asked outside.
        """
        if not task.is_settled:
            return None
        key = task.key
        try:
            table = pd.read_parquet(self._path(key))
            stored = json.loads(table.attrs[_META])
            if stored["schema"] != SCHEMA or stored["key"] != key:
                return None
            cell = _to_cell(task, table, stored)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        now = data_state(Catalog(Path(task.catalog)), list(cell.data))
        return cell if now == dict(cell.data) else None

    def keep(self, cell: Cell) -> None:
        """Write a cell down; one that failed, or asked outside, is not kept: it is tried again.

        Raises:
            ResultError: the folder cannot be written.
        """
        if cell.error or not cell.task.is_settled:
            return
        stored = {
            "schema": SCHEMA, "key": cell.key, "task": asdict(cell.task), "worth": dict(cell.worth),
            "labels": list(cell.labels), "data": dict(cell.data), "seconds": cell.seconds,
            "why_abstained": cell.why_abstained,
        }  # fmt: skip
        table = pd.DataFrame({"time_ms": cell.time_ms, "equity": cell.equity})
        table.attrs[_META] = json.dumps(stored)
        with self._writing():
            path = self._path(cell.key)
            draft = path.with_name(f".{path.name}.{os.getpid()}")
            path.parent.mkdir(parents=True, exist_ok=True)
            table.to_parquet(draft, index=False, compression="zstd")
            draft.replace(path)

    def check(self) -> None:
        """Raise where no cell could be kept: better before hours of play than after.

        Raises:
            ResultError: the folder cannot be written.
        """
        with self._writing():
            self.root.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self.root):
                pass

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ResultError(
                f"a league's cells must be kept, {self.root} cannot be written "
                f"({error.strerror or error}): make it writable, or work in another folder"
            ) from error

    def _path(self, key: str) -> Path:
        return self.root / key[:2] / f"{key}.parquet"


def _to_cell(task: Task, table: pd.DataFrame, stored: Mapping[str, Any]) -> Cell:
    return Cell(
        task=task,
        key=str(stored["key"]),
        time_ms=np.asarray(table["time_ms"].to_numpy(), dtype=np.int64),
        equity=np.asarray(table["equity"].to_numpy(), dtype=np.float64),
        worth={str(name): value for name, value in stored["worth"].items()},
        labels=tuple(str(label) for label in stored["labels"]),
        data={str(key): str(value) for key, value in stored["data"].items()},
        seconds=float(stored["seconds"]),
        why_abstained=str(stored.get("why_abstained", "")),  # older files do not say
    )
