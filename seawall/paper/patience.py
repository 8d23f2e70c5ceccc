"""An agent that does not come back is interrupted: the kill switch and the limits go before it.

A session waits for its agent in the main thread. While it does, an alarm looks every half second
whether there is a reason to go on without it; if there is, what the agent is doing is broken off
where it stands, sleeping and reading from a socket included.

Left out: threads other than the main one and systems without ``SIGALRM``, where an agent is waited
for; code that does not come back to the interpreter; an agent that swallows every exception.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_LOOK_SECONDS = 0.5


class Interrupted(BaseException):
    """Somebody has a reason to go on without an answer; the text says which."""


@contextmanager
def watched(find_reason: Callable[[], str]) -> Iterator[None]:
    """Run a block that may take long, unless there is a reason to break it off.

    Args:
        find_reason: returns it, ``""`` while there is none; called in the midst of the block.

    Raises:
        Interrupted: there was one.
    """
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return
    is_on = True

    def look(_number: int, _frame: FrameType | None) -> None:
        reason = find_reason() if is_on else ""
        if reason:
            raise Interrupted(reason)

    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _LOOK_SECONDS, _LOOK_SECONDS)
    try:
        yield
    finally:
        is_on = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
