"""The tripwire: whoever decides otherwise because the future is otherwise has seen it.

The whole recipe is run on the full data, on data cut off after t, and on data scrambled after t,
each run in a process of its own that finds nothing but the changed catalog. Every decision and
order up to t has to be the same. So it does not matter by which way the future leaks in.

Left out: what comes neither from the feeds nor from the catalog. A file that is read from elsewhere
is reported, because it cannot be cut; ``reads`` says which readers are seen and which are not.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

from seawall.conformance.futures import (
    CHANGES,
    WORDS,
    Change,
    Known,
    gather,
    write_brackets,
    write_future,
)
from seawall.conformance.report import Finding
from seawall.conformance.texts import write_future_texts
from seawall.conformance.worker import ORIGINAL_CATALOG, RUN_SECONDS, Job
from seawall.engine.perpetual.world import perpetual_section
from seawall.errors import AgentError
from seawall.market.catalog import VARIABLE, Catalog
from seawall.recipe import Recipe
from seawall.units import to_time_text

Advance = Callable[[int, int], None]
LOOK_AHEAD = "does not know the future"
ENDS = "runs to its end"
REPEATABLE = "decides the same in another process"
COVERED = "reads no data past the catalog"
_N_AT_DECISIONS = 2  # times at which something was decided: a leak of one bar shows only there
_CLOCK_PLACES = (0.55,)  # of the window: for what decides seldom
_HASH_SEEDS = ("1", "2")
_MOST_WORKERS = 4
_DIED = f"the process ended without a word, or had no end in {RUN_SECONDS} s"


@dataclass(frozen=True, kw_only=True)
class Said:
    """One decision or order of a run."""

    time_ms: int
    text: str

    def __str__(self) -> str:
        return f"{to_time_text(self.time_ms)} {self.text}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one run gave; ``happened`` is what became of a loan, or on a futures account."""

    said: tuple[Said, ...]
    orders: tuple[Said, ...]
    files: tuple[str, ...]
    error: str
    happened: tuple[Said, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One run: nothing changed, or everything after ``time_ms``."""

    change: Change | None
    time_ms: int = 0
    hash_seed: str = _HASH_SEEDS[0]

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.change or 'full'}-{self.time_ms}-{self.hash_seed}"

    def __str__(self) -> str:
        if self.change is None:
            return "nothing is changed"
        return f"everything after {to_time_text(self.time_ms)} is {WORDS[self.change]}"


def check_future(
    recipe: Recipe,
    *,
    catalog: Catalog | None = None,
    progress: Advance = lambda _done, _total: None,
) -> list[Finding]:
    """Return what is found when a recipe is run again with other hash seeds and other futures.

    Raises:
        AgentError: the recipe cannot even be run on the full data.
    """
    (findings,) = check_futures([recipe], catalog=catalog, progress=progress)
    return findings


def check_futures(
    recipes: Sequence[Recipe],
    *,
    catalog: Catalog | None = None,
    progress: Advance = lambda _done, _total: None,
) -> list[list[Finding]]:
    """Return the findings of ``check_future`` for several recipes, run together.

    Processes are started once for all of them, and each run still has one of its own.
    """
    original = (catalog or Catalog()).root.resolve()
    n_more = len(CHANGES) * (_N_AT_DECISIONS + len(_CLOCK_PLACES))
    with TemporaryDirectory(prefix="seawall-tripwire-") as name:
        stages = [
            _Stage(Path(name) / str(n), *gather(recipe, catalog), original=catalog)
            for n, recipe in enumerate(recipes)
        ]
        for seed in _HASH_SEEDS:
            for stage in stages:
                stage.prepare(Variant(change=None, hash_seed=seed))
        progress(0, 2 + n_more)
        _run_prepared(stages, original)
        progress(2, 2 + n_more)
        for stage in stages:
            for variant in stage.choose_variants():
                stage.prepare(variant)
        _run_prepared(stages, original)
        progress(2 + n_more, 2 + n_more)
        return [stage.judge() for stage in stages]


class _Stage:
    """Where the runs of one recipe take place: a folder with one catalog per future."""

    def __init__(
        self, folder: Path, recipe: Recipe, known: list[Known], *, original: Catalog | None = None
    ) -> None:
        self._folder, self._recipe, self._known = folder, recipe, known
        self._original = original
        folder.mkdir()
        (folder / "recipe.json").write_text(recipe.to_json(), encoding="utf-8")
        self._variants: list[Variant] = []
        self.waiting: list[Variant] = []

    def prepare(self, variant: Variant) -> None:
        """Write the catalog of a run and put the run on the list."""
        catalog = Catalog(self._folder / variant.name)
        write_future(catalog, self._known, change=variant.change, time_ms=variant.time_ms)
        if perpetual_section(self._recipe) is not None:
            write_brackets(catalog, self._recipe, self._original)
        write_future_texts(
            catalog, self._recipe, self._original, change=variant.change, time_ms=variant.time_ms
        )
        self._variants.append(variant)
        self.waiting.append(variant)

    def to_job(self, variant: Variant) -> Job:
        """Return the job that a worker does for a variant."""
        return Job(
            recipe=str(self._folder / "recipe.json"),
            catalog=str(self._folder / variant.name),
            out=str(self._folder / f"{variant.name}.json"),
        )

    def choose_variants(self) -> list[Variant]:
        """Return the other futures to try, by what was decided on the full data.

        Raises:
            AgentError: nothing was, because the recipe cannot be run.
        """
        full = self._read(self._variants[0])
        if full.error and not full.orders:
            raise AgentError(f"the recipe cannot be run on the full data: {full.error}")
        times = _choose_times(self._recipe, full)
        variants = [Variant(change=change, time_ms=t) for t in times for change in CHANGES]
        return [v for v in variants if v.change != "cut" or v.time_ms >= self._first_cut_ms()]

    def _first_cut_ms(self) -> int:
        """Return the first time after which every symbol has a bar that trades: a run needs one."""
        market = self._recipe.market
        bars = [
            known.series.between(market.since_ms, market.until_ms).time_ms
            for known in self._known
            if known.series.key.kind == "candles"
            and known.series.key.venue == market.venue
            and known.series.key.symbol in market.symbols
            and known.series.key.timeframe == market.timeframe
        ]
        return max(int(times[0]) for times in bars if len(times)) + market.timeframe_ms

    def judge(self) -> list[Finding]:
        """Return what is found, after all runs."""
        full, again, *others = [self._read(variant) for variant in self._variants]
        variants = self._variants[len(_HASH_SEEDS) :]
        differences = [
            _find_difference(self._recipe, full, other, variant)
            for other, variant in zip(others, variants, strict=True)
        ]
        found = next((text for text in differences if text), "")
        count = f"{len(full.said) + len(full.orders)} decisions and orders"
        detail = found or f"{count}, {len(variants)} other futures"
        blind = Finding(check=LOOK_AHEAD, passed=not found, detail=detail)
        return [_check_end(full), _check_repeat(full, again), _check_files(full), blind]

    def _read(self, variant: Variant) -> Outcome:
        out = self._folder / f"{variant.name}.json"
        if out.exists():
            return _read(out)
        return Outcome(said=(), orders=(), files=(), error=_DIED)


def _run_prepared(stages: Sequence[_Stage], original: Path) -> None:
    """Run everything that has been prepared, on as many cores as there are."""
    waiting = [(v.hash_seed, stage.to_job(v)) for stage in stages for v in stage.waiting]
    for stage in stages:
        stage.waiting = []
    n_workers = min(_MOST_WORKERS, os.cpu_count() or 1)
    shares: list[tuple[str, list[Job]]] = []
    for seed in _HASH_SEEDS:  # the seed is fixed when a process starts: one worker has one
        jobs = [job for its_seed, job in waiting if its_seed == seed]
        n_shares = n_workers if len(jobs) == len(waiting) else 1
        shares += [(seed, jobs[start::n_shares]) for start in range(min(n_shares, len(jobs)))]
    with ThreadPoolExecutor(max_workers=n_workers) as pool:
        list(pool.map(lambda share: _run_share(share[0], share[1], original), shares))


def _run_share(seed: str, jobs: list[Job], original: Path) -> None:
    """Run some jobs in one worker; a job that dies leaves no file behind."""
    listed = Path(jobs[0].out).with_suffix(".jobs")
    listed.write_text(json.dumps([job._asdict() for job in jobs]), encoding="utf-8")
    environment = {
        **os.environ,
        VARIABLE: str(listed.parent),  # replaced by each job's own
        ORIGINAL_CATALOG: str(original),
        "PYTHONHASHSEED": seed,
    }
    command = [sys.executable, "-m", "seawall.conformance.worker", str(listed)]
    subprocess.run(  # noqa: S603 - our own interpreter and module
        command, env=environment, capture_output=True, check=False
    )


def _read(out: Path) -> Outcome:
    stored = json.loads(out.read_text(encoding="utf-8"))
    return Outcome(
        said=tuple(Said(time_ms=t, text=text) for t, text in stored["said"]),
        orders=tuple(Said(time_ms=t, text=text) for t, text in stored["orders"]),
        files=tuple(stored["files"]),
        error=stored["error"],
        happened=tuple(Said(time_ms=t, text=text) for t, text in stored["happened"]),
    )


def _choose_times(recipe: Recipe, full: Outcome) -> list[int]:
    """Return the times after which the future is changed: at decisions, and between."""
    market = recipe.market
    window_ms = market.until_ms - market.since_ms
    bar_ms = market.timeframe_ms
    low_ms, high_ms = market.since_ms + window_ms // 5, market.until_ms - window_ms // 10
    spoken = sorted({e.time_ms for e in (*full.said, *full.orders)})
    inner = [t for t in spoken if low_ms <= t <= high_ms] or spoken
    places = [(i + 1) * len(inner) // (_N_AT_DECISIONS + 1) for i in range(_N_AT_DECISIONS)]
    times = {inner[place] for place in places} if inner else set()
    # One bar past a round time: inside the hour or day that a coarser series describes.
    times |= {
        market.since_ms + int(window_ms * p) // bar_ms * bar_ms + bar_ms for p in _CLOCK_PLACES
    }
    return sorted(times)


def _check_end(full: Outcome) -> Finding:
    detail = f"on the full data it raises {full.error}" if full.error else "on the full data"
    return Finding(check=ENDS, passed=not full.error, detail=detail)


def _check_repeat(first: Outcome, second: Outcome) -> Finding:
    for one, other in zip(_all_of(first), _all_of(second), strict=True):
        for a, b in zip_longest(one, other):
            if a != b:
                detail = f"{a or 'nothing'}, and with another hash seed {b or 'nothing'}: "
                detail += "sort what comes from a set, use the numbers of info.rng"
                return Finding(check=REPEATABLE, passed=False, detail=detail)
    if first.error != second.error:
        return Finding(check=REPEATABLE, passed=False, detail=f"once it raised {second.error}")
    detail = f"{len(first.said) + len(first.orders)} decisions and orders"
    return Finding(check=REPEATABLE, passed=True, detail=detail)


def _check_files(full: Outcome) -> Finding:
    if not full.files:
        detail = (
            "Python, SQLite and pyarrow opened no other file; other native readers are not seen"
        )
        return Finding(check=COVERED, passed=True, detail=detail)
    detail = f"it reads {full.files[0]}, which the tripwire cannot cut: open it with "
    detail += "seawall.Catalog() after `seawall data import`, or name it in the recipe"
    return Finding(check=COVERED, passed=False, detail=detail)


def _find_difference(recipe: Recipe, full: Outcome, other: Outcome, variant: Variant) -> str:
    """Return the first decision up to t that is not the same, in words; ``""``: there is none."""
    if other.error and other.error != full.error:
        return f"where {variant}, it raises {other.error}: does it read beyond the present?"
    last_ms = variant.time_ms
    if recipe.execution.decide_at == "open":  # at t the open of the bar after t is seen, rightly
        last_ms -= recipe.market.timeframe_ms
    elif recipe.loan is not None and variant.change == "cut":
        # At its last close a run shows the gas that was known before it: there is no next bar.
        last_ms -= recipe.market.timeframe_ms
    for one, two in zip(_all_of(full), _all_of(other), strict=True):
        before = [event for event in one if event.time_ms <= last_ms]
        after = [event for event in two if event.time_ms <= last_ms]
        for a, b in zip_longest(before, after):
            if a != b:
                return (
                    f"look-ahead: with the full data {a or 'nothing more is asked for'}; where "
                    f"{variant}, {b or 'nothing more is asked for'}: what is known at t cannot "
                    "depend on what follows t"
                )
    return ""


def _all_of(outcome: Outcome) -> tuple[tuple[Said, ...], ...]:
    return (outcome.said, outcome.orders, outcome.happened)
