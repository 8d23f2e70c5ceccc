"""What a person or a program sees: tables, progress and JSON, on the right stream.

Results go to stdout, everything else to stderr. Progress shows on a terminal only. With ``--json``
stdout holds one JSON value and nothing else.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from seawall import workspace_folders

TEXTS = ("agent", "verdict", "found")  # columns that hold words
PIPE_WIDTH = 200  # columns where there is no terminal: a table in a log is not cut

out = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
err = Console(stderr=True, highlight=False)


class Advance(Protocol):
    """Called with how much is done and how much there is."""

    def __call__(self, done: int, total: int) -> None:
        """Show it."""


class Answer:
    """Whether the command has written its one JSON value."""

    is_given = False


def print_json(value: object) -> None:
    """Write the command's one JSON value to stdout."""
    Answer.is_given = True
    sys.stdout.write(json.dumps(value, indent=2, default=str, allow_nan=False) + "\n")


def write_json(value: object, path: Path) -> Path:
    """Write a JSON file whole or not at all, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(value, indent=2, default=str, allow_nan=False) + "\n")
    return fresh.replace(path)


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table to stdout: text to the left, numbers to the right; no number is ever cut."""
    out.print(Text(title, style="bold"), soft_wrap=True)
    table = Table(header_style="bold")
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    if sum(widths) + 3 * len(widths) + 1 > out.width:  # heads give way before numbers do
        header = [header[0], *(name.replace(" ", "\n") for name in header[1:])]
    for place, name in enumerate(header):
        if place == 0 or name in TEXTS:
            table.add_column(escape(name), justify="left", overflow="fold")
        else:
            width = max((len(row[place]) for row in rows), default=0)
            table.add_column(escape(name), justify="right", min_width=width)
    for row in rows:
        table.add_row(*(Text(cell, no_wrap=place > 0) for place, cell in enumerate(row)))
    out.print(table)


def say(text: str) -> None:
    """Write a line for the person at the terminal to stderr."""
    err.print(escape(text), soft_wrap=True)


@contextmanager
def progress(what: str) -> Iterator[Advance]:
    """Show a bar on stderr while something long runs; nothing where stderr is no terminal."""
    if not err.is_terminal:
        yield lambda done, total: None  # noqa: ARG005 - named as the protocol has them
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(escape(what), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def percent(value: float | None, digits: int = 2) -> str:
    """Return ``12.34 %``; a dash where there is no number."""
    return "-" if value is None or value != value else f"{100 * value:,.{digits}f} %"  # noqa: PLR0124 - nan


def number(value: float | None, digits: int = 2) -> str:
    """Return ``1,234.50``; a dash where there is no number."""
    return "-" if value is None or value != value else f"{value:,.{digits}f}"  # noqa: PLR0124 - nan


@contextmanager
def prints_aside() -> Iterator[None]:
    """Send what agents print to stderr: stdout is for results."""
    with redirect_stdout(sys.stderr):
        yield


def results_folder() -> Path:
    """Return where results are written unless another folder is named."""
    return (workspace_folders.WORKSPACE or Path.cwd()) / "results"
