"""A session that begins while somebody looks at it: neither keeps the other from it."""

import threading
from pathlib import Path

from filelock import FileLock

from seawall.paper.account_lock import AccountLock
from seawall.paper.allowed import find_venue
from seawall.paper.journal import PaperJournal

SPOT = find_venue("binance", "spot", "sandbox")
N_READERS, N_ROUNDS = 3, 20


def test_a_journal_may_be_looked_at_in_the_moment_it_is_made(tmp_path: Path) -> None:
    """Several open one file at once, as ``seawall paper status`` and a session do; none fails.

    All make the same journal: its mark, written by the first, is that of every other.
    """
    for number in range(N_ROUNDS):
        file, barrier = tmp_path / f"{number}.sqlite", threading.Barrier(N_READERS)
        marks: list[str] = []
        faults: list[Exception] = []

        def look(file: Path, barrier: threading.Barrier, marks: list[str]) -> None:
            barrier.wait(10)
            try:
                with PaperJournal(file) as journal:
                    marks.append(journal.mark)
            except Exception as error:  # noqa: BLE001 - of a thread; shown below
                faults.append(error)  # noqa: B023 - each round waits for its threads

        threads = [
            threading.Thread(target=look, args=(file, barrier, marks)) for _ in range(N_READERS)
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join(20)
        assert not faults
        assert len(marks) == N_READERS
        assert len(set(marks)) == 1


def test_a_look_at_the_lock_does_not_refuse_the_account(tmp_path: Path) -> None:
    """Who asks whether a session runs holds its lock for a moment: the session waits that long."""
    lock = AccountLock(tmp_path, SPOT, "f")
    looking = FileLock(tmp_path / f"{lock.name}.lock", is_singleton=False, thread_local=False)
    looking.acquire()
    timer = threading.Timer(0.05, looking.release)
    timer.start()
    with lock:
        assert (tmp_path / f"{lock.name}.owner").exists()
    timer.join()
