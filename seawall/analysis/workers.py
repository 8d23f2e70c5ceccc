"""Processes that help another one, and end with it however it ends."""

import os
from multiprocessing import parent_process
from multiprocessing.connection import wait
from threading import Thread


def watch_parent() -> None:
    """End this process as soon as the one that started it is gone, killed or not."""
    Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
