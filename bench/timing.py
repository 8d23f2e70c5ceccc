"""What every benchmark does alike: time a run, name the versions. Standard library only.

The environments of the rivals (``bench.rivals``) import it too: there is no Seawall there.
"""

import os
import platform
import time
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from math import inf


def time_run(run: Callable[[], object], n_bars: int, n_runs: int) -> float:
    """Return bars per second of processor time, the best of some runs."""
    best = inf
    for _ in range(n_runs):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return n_bars / best


def find_version(package: str) -> str:
    """Return a package's name and installed version, or that it is absent."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} absent"


def describe_machine(packages: Iterable[str]) -> str:
    """Return one line: processor, Python, and the versions of some packages."""
    versions = ", ".join(find_version(package) for package in packages)
    cores = f"{platform.machine()}, {os.cpu_count()} cores"
    return f"{cores}, Python {platform.python_version()}, {versions}"
