"""Several processes that play the cells of a league, and none of them outlives it.

Each process is fed one cell at a time over a pipe of its own, so whoever dies or takes too long is
known, and nobody else is lost with it. A process watches its parent: where that is gone, however it
was ended, the process ends too.
"""

import os
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from seawall.analysis.workers import watch_parent
from seawall.errors import RecipeError
from seawall.tournament.cells import Cell, Task
from seawall.tournament.runner import play

_TRIES = 2  # of a cell whose process died: the machine may have been short of memory
_READY = "ready"
_PATIENCE_S = 5.0  # for a process that was told to end


class ProcessRunner:
    """Plays cells in several processes.

    Args:
        n_processes: how many; one for each core by default.
        limit_s: seconds that one cell may take; a cell that takes longer has failed. None: no
            limit.

    A process that dies (an agent may end it, or use up the memory) takes its own cell along: it is
    tried once more, and has failed if that ends its process again.

    Raises:
        RecipeError: a number is below 1.
    """

    def __init__(self, n_processes: int | None = None, *, limit_s: float | None = None) -> None:
        if (n_processes is not None and n_processes < 1) or (limit_s is not None and limit_s < 1):
            raise RecipeError(
                f"processes and the limit of a cell are >= 1, are {n_processes} and {limit_s}: "
                "leave them out"
            )
        self._n = n_processes or os.cpu_count() or 1
        self._limit_s = limit_s

    def run(self, tasks: Sequence[Task]) -> Iterator[Cell]:
        """Give the cells as they are done."""
        waiting = deque((task, 1) for task in tasks)
        workers: list[_Worker] = []
        try:
            while waiting or any(worker.task for worker in workers):
                _feed(workers, waiting, self._n)
                for worker in _wait(workers, self._limit_s):
                    cell = self._take(worker, waiting)
                    if not worker.is_alive:
                        workers.remove(worker)
                    if cell is not None:
                        yield cell
        finally:
            for worker in workers:
                worker.end()

    def _take(self, worker: "_Worker", waiting: "deque[tuple[Task, int]]") -> Cell | None:
        """Return what a process has to show; None where its cell waits again."""
        task, n_tries = worker.task, worker.n_tries
        if task is None:  # it died with nothing to do
            worker.end()
            return None
        was_ready = worker.is_ready
        cell = worker.take()
        if cell is not None or worker.is_ready != was_ready:
            return cell
        is_late = self._limit_s is not None and worker.age_s >= self._limit_s and worker.is_running
        worker.end()
        if is_late:
            text = f"a cell may take {self._limit_s:g} s, this one took longer: raise the limit"
            return Cell(task=task, key="", error=text)
        if n_tries < _TRIES:
            waiting.append((task, n_tries + 1))
            return None
        text = "its process ended: out of memory, or it was ended by the agent"
        return Cell(task=task, key="", error=text)


@dataclass(kw_only=True, eq=False)
class _Worker:
    """One process, and the cell that it plays."""

    process: SpawnProcess
    pipe: "Connection[Task, Cell | str]"
    task: Task | None = None
    n_tries: int = 0
    is_ready: bool = False
    is_alive: bool = True
    _since_s: float = field(default=0.0)

    @classmethod
    def start(cls) -> "_Worker":
        context = get_context("spawn")
        mine, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), daemon=True)
        process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        return cls(process=process, pipe=mine)

    @property
    def age_s(self) -> float:
        """Seconds since its cell was begun; starting Python does not count."""
        return time.monotonic() - self._since_s if self.is_ready else 0.0

    @property
    def is_running(self) -> bool:
        """Whether the process itself is still there."""
        return self.process.is_alive()

    def give(self, task: Task, n_tries: int) -> None:
        """Let it play a cell."""
        self.task, self.n_tries, self._since_s = task, n_tries, time.monotonic()
        with suppress(OSError):  # it died: the pipe says so when it is read
            self.pipe.send(task)

    def take(self) -> Cell | None:
        """Return its cell; None where there is none, or it has said that it is ready."""
        try:
            cell = self.pipe.recv() if self.pipe.poll() else None
        except (EOFError, OSError):
            return None
        if isinstance(cell, str):
            self.is_ready, self._since_s = True, time.monotonic()
            return None
        if cell is not None:
            self.task = None
        return cell

    def end(self) -> None:
        """End the process, whatever it does."""
        self.is_alive = False
        self.task = None
        self.pipe.close()
        self.process.kill()
        self.process.join(_PATIENCE_S)


def _feed(workers: list[_Worker], waiting: "deque[tuple[Task, int]]", n: int) -> None:
    """Give every process something to do; start more where there is more than they can do."""
    for worker in workers:
        if worker.task is None and waiting:
            worker.give(*waiting.popleft())
    while waiting and len(workers) < n:
        workers.append(_Worker.start())
        workers[-1].give(*waiting.popleft())


def _wait(workers: Sequence[_Worker], limit_s: float | None) -> list[_Worker]:
    """Return the processes that have something to show, or whose time is up."""
    timeout = None
    busy = [worker for worker in workers if worker.task is not None]
    if limit_s is not None and busy:
        timeout = max(0.0, limit_s - max(worker.age_s for worker in busy))
    ready = wait([worker.pipe for worker in workers], timeout)
    return [
        worker
        for worker in workers
        if worker.pipe in ready
        or (limit_s is not None and worker.task is not None and worker.age_s >= limit_s)
    ]


def _serve(pipe: "Connection[Cell | str, Task]") -> None:
    """Play what comes down the pipe, until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal interrupts everybody: see the parent
    watch_parent()
    with suppress(OSError):
        pipe.send(_READY)
    with open(os.devnull, "w", encoding="utf-8") as nothing:  # noqa: PTH123 - of a descriptor
        os.dup2(nothing.fileno(), 1)  # what programs print below Python would be among the results
        while True:
            try:
                task = pipe.recv()
            except (EOFError, OSError):
                return
            try:
                cell = play(task)
            except BaseException as error:  # noqa: BLE001 - an agent may raise even KeyboardInterrupt
                cell = Cell(task=task, key="", error=f"{type(error).__name__}: {error}")
            pipe.send(cell)
