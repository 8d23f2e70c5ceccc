"""A virtual environment per rival, in the user's cache folder, made once."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import platformdirs

from bench.rivals.job import Answer, Job, read_answer, write_jobs

ROOT = Path(__file__).parents[1]
INSTALL_SECONDS, RUN_SECONDS = 900, 600


class Rival(NamedTuple):
    """Another tool: its name and version on PyPI, and the module that drives it."""

    package: str
    version: str
    module: str


RIVALS = (
    Rival("fractal-defi", "1.3.1", "bench.rivals.run_fractal"),
    Rival("zelos-demeter", "1.3.0", "bench.rivals.run_demeter"),
)


class NoRivalError(Exception):
    """A rival cannot be installed or run here; the message says why, in one line."""


def ask(rival: Rival, timed: Job, fall: Job, *, n_runs: int) -> Answer:
    """Return how fast a rival does one job, and what becomes of the loan in the other.

    Raises:
        NoRivalError: it does not install, or its run fails.
    """
    folder = _environment(rival)
    path = folder / "jobs.json"
    write_jobs(path, timed, fall, n_runs)
    done = _run([_python(folder), "-m", rival.module, path], RUN_SECONDS, "does not run")
    return read_answer(done)


def _environment(rival: Rival) -> Path:
    """Return the folder of an environment that holds the rival; it is made on the first call."""
    release = "{}.{}".format(*sys.version_info[:2])
    name = f"{rival.package}-{rival.version}-py{release}"
    folder = platformdirs.user_cache_path("seawall") / "bench" / name
    ready = folder / "ready"
    if not ready.is_file():
        print(f"installing {rival.package} {rival.version}: once, a minute or two", flush=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        _run([sys.executable, "-m", "venv", "--clear", folder], INSTALL_SECONDS, "has no venv")
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        wanted = f"{rival.package}=={rival.version}"
        _run([_python(folder), *install, wanted], INSTALL_SECONDS, "does not install")
        ready.touch()
    return folder


def _python(folder: Path) -> Path:
    windows = folder / "Scripts" / "python.exe"
    return windows if windows.is_file() else folder / "bin" / "python"


def _run(command: list[str | Path], seconds: int, what: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - the commands stand in this file
            command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise NoRivalError(f"{what}: not within {seconds} s") from None
    except OSError as error:
        raise NoRivalError(f"{what}: {error}") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise NoRivalError(f"{what}: {lines[-1]}")
    return done.stdout
