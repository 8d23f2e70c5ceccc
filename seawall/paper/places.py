"""Where the files of paper sessions are."""

import os
import tempfile
from pathlib import Path

JOURNAL, SWITCH, LOG = "journal.sqlite", "stop", "log.jsonl"  # in a session's folder


def lock_folder() -> Path:
    """Return where the locks of accounts are: one place for all sessions of a user."""
    return Path(tempfile.gettempdir()) / f"seawall-locks-{getattr(os, 'getuid', lambda: 0)()}"
