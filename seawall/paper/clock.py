"""The exchange's clock, as a session reads it.

At the wall's speed it is the wall and a difference that is measured now and then: a request for
each look would be one too many. Our own exchange may run faster, or be stepped: it is asked.
"""

import time
from collections.abc import Callable
from typing import Any

from seawall.paper.errors import PaperError
from seawall.units import MINUTE_MS, SECOND_MS

_MEASURE_MS = 10 * MINUTE_MS


class WallClock:
    """The exchange's time, from the wall's and the difference to it.

    Args:
        ask: returns the exchange's time in ms; what it raises leaves the difference as it was.
        wall: seconds since 1970.
    """

    def __init__(self, ask: Callable[[], int], *, wall: Callable[[], float] = time.time) -> None:
        self._ask, self._wall = ask, wall
        self._ahead_ms, self._next_ms = 0, 0

    def __call__(self) -> int:
        """Return the exchange's time in UTC milliseconds."""
        now_ms = int(self._wall() * SECOND_MS)
        if now_ms >= self._next_ms:
            self._next_ms = now_ms + _MEASURE_MS
            self._measure(now_ms)
        return int(self._wall() * SECOND_MS) + self._ahead_ms

    def peek(self) -> int:
        """Return the same without a request: for another thread than the one that measures."""
        return int(self._wall() * SECOND_MS) + self._ahead_ms

    def _measure(self, before_ms: int) -> None:
        try:
            told_ms = self._ask()
        except Exception:  # noqa: BLE001 - ccxt raises anything; the skew limit watches the result
            self._next_ms = before_ms + SECOND_MS
            return
        after_ms = int(self._wall() * SECOND_MS)
        self._ahead_ms = told_ms - (before_ms + after_ms) // 2


class AskedClock:
    """The time of an exchange that has a clock of its own, asked for at each look.

    Args:
        session: the guarded session of a client.
        url: where the time is told.
    """

    def __init__(self, session: Any, url: str) -> None:
        self._session, self._url = session, url
        self._last_ms = 0

    def __call__(self) -> int:
        """Return the exchange's time in UTC milliseconds; the last one told while it is silent.

        Raises:
            PaperError: it was never told.
        """
        try:
            answer = self._session.get(self._url, timeout=5).json()
            self._last_ms = int(answer["serverTime"])
        except (OSError, ValueError, KeyError, TypeError):
            if not self._last_ms:
                raise PaperError(
                    f"the local exchange must tell its time, {self._url} does not: start it with "
                    "seawall sandbox"
                ) from None
        return self._last_ms
