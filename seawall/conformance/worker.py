"""Runs of the tripwire in processes of their own: ``python -m seawall.conformance.worker JOBS``.

``JOBS`` is a JSON list of ``Job``. Each writes JSON: every decision, refusal and order that was
asked for, and what became of a loan or happened on a futures account, with its time; the files that
were read past the catalog; and the error that ended the run, if one did.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import backtrader as bt
import pandas as pd

from seawall.conformance.reads import Reads
from seawall.engine.perpetual.world import perpetual_section
from seawall.engine.run import check, run_in
from seawall.engine.world import build_world
from seawall.market.catalog import VARIABLE, Catalog
from seawall.recipe import Recipe
from seawall.units import DAY_MS

ORIGINAL_CATALOG = "SEAWALL_TRIPWIRE_ORIGINAL"  # where the catalog that is copied from lies
RUN_SECONDS = 900  # what runs longer is ended
_SAID = ("decision", "abstained", "refused", "note", "sent")
_HAPPENED = ("liquidated", "done", "failed", "funding")  # to a loan, or on a futures account
# Dated at the open of a bar, or within it, and known by its close.
_AT_OPEN = {"loan": ("note", "done", "failed"), "perpetual": _HAPPENED}
_EPOCH_DAY = 719_163  # the ordinal of 1970-01-01, from which backtrader's float days count


class Job(NamedTuple):
    """One run: the recipe's file, the catalog it sees, and the file it writes."""

    recipe: str
    catalog: str
    out: str


class Event(NamedTuple):
    """Something decided or asked for; ``time_ms`` is when."""

    time_ms: int
    text: str


class Trace:
    """What happens in a run, as far as it shows what the agent or strategy knew."""

    def __init__(self) -> None:
        self.orders: list[Event] = []
        self._first: Any = None

    def record_orders(self) -> None:
        """Listen to every order that a strategy asks for; the first pass of a run counts."""
        for name in ("buy", "sell", "cancel"):
            setattr(bt.Strategy, name, self._listened(name, getattr(bt.Strategy, name)))

    def _listened(self, name: str, ask: Callable[..., Any]) -> Callable[..., Any]:
        def listened(strategy: Any, *arguments: Any, **options: Any) -> Any:
            if self._first is None:
                self._first = strategy
            if strategy is self._first:
                time_ms = round((strategy.datetime[0] - _EPOCH_DAY) * DAY_MS)
                self.orders.append(Event(time_ms, _describe(name, arguments, options)))
            return ask(strategy, *arguments, **options)

        return listened


def trace_run(recipe: Recipe) -> dict[str, object]:
    """Run a recipe and return what was said and asked for, as plain values."""
    trace = Trace()
    trace.record_orders()
    reads = Reads(catalog=os.environ[VARIABLE], original=os.environ.get(ORIGINAL_CATALOG, ""))
    reads.listen()
    error = ""
    told: dict[str, list[Event]] = {"said": [], "happened": []}
    try:
        check(recipe)
        # Not ``run``: that notes a trial, and reads the ledger of trials past the catalog.
        journal = run_in(build_world(recipe, Catalog(), offline=True), recipe).journal
        told = {
            "said": _list(journal, _SAID, recipe),
            "happened": _list(journal, _HAPPENED, recipe),
        }
    except (Exception, SystemExit) as failure:  # noqa: BLE001 - its parent reports what ended a run
        error = _anonymous(f"{type(failure).__name__}: {failure}")
    return {**told, "orders": trace.orders, "files": sorted(reads.files), "error": error}


def _list(journal: pd.DataFrame, kinds: tuple[str, ...], recipe: Recipe) -> list[Event]:
    """Return the entries of some kinds, each at the time at which all of it is known."""
    rows = journal[journal["kind"].isin(kinds)]
    bar_ms = recipe.market.timeframe_ms
    late = _AT_OPEN["perpetual"] if recipe.loan is None else _AT_OPEN["loan"]
    if recipe.loan is not None and perpetual_section(recipe) is not None:
        late += _AT_OPEN["perpetual"]
    return [
        Event(int(t) + (bar_ms if kind in late else 0), _anonymous(f"{kind}: {text} ({why})"))
        for t, kind, text, why in zip(
            rows["time_ms"], rows["kind"], rows["text"], rows["reason"], strict=True
        )
    ]


def main(jobs: Path) -> None:
    """Run the jobs of a file one after the other, each in a process that has run nothing yet."""
    listed = [Job(**job) for job in json.loads(jobs.read_text(encoding="utf-8"))]
    for job in listed:
        if len(listed) == 1:
            _run_here(job)
        elif hasattr(os, "fork"):  # all of Seawall is imported by now, and nothing of the user's
            _run_in_child(job)
        else:
            _run_anew(job, jobs.with_suffix(".one.json"))


def _run_here(job: Job) -> None:
    os.environ[VARIABLE] = job.catalog
    recipe = Recipe.from_dict(json.loads(Path(job.recipe).read_text(encoding="utf-8")))
    Path(job.out).write_text(json.dumps(trace_run(recipe)), encoding="utf-8")


def _run_in_child(job: Job) -> None:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        signal.alarm(RUN_SECONDS)
        _run_here(job)
    finally:
        os._exit(0)  # the parent sees by the missing file that it went wrong


def _run_anew(job: Job, one: Path) -> None:
    one.write_text(json.dumps([job._asdict()]), encoding="utf-8")
    command = [sys.executable, "-m", "seawall.conformance.worker", str(one)]
    subprocess.run(command, check=False)  # noqa: S603 - our own interpreter and module


def _describe(name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> str:
    """Return an order in words that are the same in every run: no object's address or number."""
    plain = (int, float, str, bool)
    shown = [repr(value) for value in arguments if isinstance(value, plain)]
    shown += [f"{key}={value!r}" for key, value in options.items() if isinstance(value, plain)]
    return f"{name}({', '.join(shown)})"


def _anonymous(text: str) -> str:
    """Return the text without the folder of this process's catalog."""
    return text.replace(os.environ[VARIABLE], "<catalog>")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
