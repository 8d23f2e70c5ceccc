"""The job that every tool is given, how its answer is printed, and how both travel as JSON.

One loan, one price per bar, one rule: at a health factor below ``close_below`` repay the debt out
of the collateral, and take the rest back.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from bench.timing import find_version, time_run

YEAR_S = 31_536_000


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to run.

    Attributes:
        close_s: when each bar closes, Unix seconds; all bars are equally long.
        price: USD per ETH at each close; a dollar of debt is worth one.
        collateral, debt: ETH and USDC at the start.
        threshold, max_ltv: of the collateral, fractions.
        bonus: what a liquidator gets of it for a dollar repaid, 1.05.
        supply_rate, borrow_rate: of ETH and USDC, per year.
        swap_fee: fraction of what is swapped.
        close_below: health factor at which the rule acts; 0: never.
    """

    close_s: tuple[int, ...]
    price: tuple[float, ...]
    collateral: float
    debt: float
    threshold: float
    max_ltv: float
    bonus: float
    supply_rate: float
    borrow_rate: float
    swap_fee: float
    close_below: float

    @property
    def bar_s(self) -> int:
        """The length of a bar in seconds."""
        return self.close_s[1] - self.close_s[0]


class Outcome(NamedTuple):
    """What became of the loan: liquidations, closings by the rule, health then, equity in USD."""

    n_liquidations: int
    n_closed: int
    acted_at: float
    first_equity: float
    last_equity: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Speed on the first job, what became of the loan in the second, and the versions."""

    bars_per_second: float
    fall: Outcome
    versions: str


Prepare = Callable[[Job], Callable[[], Outcome]]


def write_jobs(path: Path, timed: Job, fall: Job, n_runs: int) -> None:
    """Write both jobs for ``serve``."""
    path.write_text(json.dumps({"jobs": [asdict(timed), asdict(fall)], "n_runs": n_runs}))


def read_answer(text: str) -> Answer:
    """Return the answer that a rival's process printed in its last line."""
    values = json.loads(text.strip().splitlines()[-1])
    return Answer(**{**values, "fall": Outcome(*values["fall"])})


def serve(prepare: Prepare, package: str) -> None:
    """Run the jobs in the file that the command line names, and print the answer.

    Args:
        prepare: returns a run of a job, its data already in the form that the tool wants; a run
            is used once.
        package: what is timed.
    """
    given = json.loads(Path(sys.argv[1]).read_text())
    timed, fall = (Job(**values) for values in given["jobs"])
    runs = [prepare(timed) for _ in range(given["n_runs"])]
    waiting = iter(runs)

    def run_next() -> Outcome:
        return next(waiting)()

    speed = time_run(run_next, len(timed.price), len(runs))
    outcome = prepare(fall)()
    versions = ", ".join(map(find_version, (package, "numpy", "pandas")))
    answer = Answer(bars_per_second=speed, fall=outcome, versions=versions)
    print(json.dumps(asdict(answer)))
