"""One session for each account: a second one would trade against the first one's belief."""

import os
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from seawall.paper.allowed import Venue
from seawall.paper.errors import AccountLocked

_PATIENCE_SECONDS = 1.0  # ``status`` holds the lock for a moment to see whether it is free


class AccountLock:
    """The lock of one account; the system lifts it when the process ends, however it ends.

    Args:
        folder: the same for all sessions of a user.
        venue, fingerprint: which account (``SandboxKeys.fingerprint``).
    """

    def __init__(self, folder: Path, venue: Venue, fingerprint: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = f"{venue.name.replace(' ', '-')}-{fingerprint}"
        self._lock = FileLock(
            folder / f"{self.name}.lock", timeout=_PATIENCE_SECONDS, is_singleton=False
        )
        self._owner = folder / f"{self.name}.owner"

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_error: object) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the account.

        Raises:
            AccountLocked: another session has it.
        """
        try:
            self._lock.acquire()
        except Timeout:
            raise AccountLocked(
                f"an account has one session, {self.name} is held by {self._read_owner()}: stop it"
            ) from None
        self._owner.write_text(f"process {os.getpid()}\n", "utf-8")

    def release(self) -> None:
        """Give the account back."""
        self._lock.release()

    def _read_owner(self) -> str:
        try:
            return self._owner.read_text("utf-8").strip() or "another process"
        except OSError:
            return "another process"
