"""The exchange's clock, as a session reads it.

At the wall's speed it is measured now and then: a request for each look would be one too many.
Our own exchange may run faster, or be stepped: it is asked.
"""

import time
from collections.abc import Callable
from typing import Any

from seawall.paper.errors import PaperError
from seawall.units import MINUTE_MS, SECOND_MS, to_time_text

_MEASURE_SECONDS = 600.0
_LEAP_SECONDS = 1.0
_LEAP_MS = MINUTE_MS  # of our own exchange's clock; a script may skew it by seconds


class WallClock:
    """The exchange's time: what it told last, and what has passed since.

    What has passed is taken from a clock that nobody sets. Where the wall's leaps (it was set, the
    machine slept) the exchange is asked again at once.

    Args:
        ask: returns the exchange's time in ms; what it raises leaves the difference as it was.
        wall: seconds since 1970; ``steady``: seconds that only pass.
    """

    def __init__(
        self,
        ask: Callable[[], int],
        *,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask, self._wall, self._steady = ask, wall, steady
        self._origin_ms = (wall() - steady()) * SECOND_MS  # of the exchange's time
        self._apart, self._next = 0.0, -1.0  # seconds: wall less steady; when to ask again

    def __call__(self) -> int:
        """Return the exchange's time in UTC milliseconds."""
        passed = self._steady()
        apart = self._wall() - passed
        has_leapt = self._next >= 0 and abs(apart - self._apart) > _LEAP_SECONDS
        if passed >= self._next or has_leapt:
            self._next, self._apart = passed + _MEASURE_SECONDS, apart
            self._measure(passed)
        return self.peek()

    def peek(self) -> int:
        """Return the same without a request: for another thread than the one that measures."""
        return round(self._steady() * SECOND_MS + self._origin_ms)

    def _measure(self, before: float) -> None:
        try:
            told_ms = self._ask()
        except Exception:  # noqa: BLE001 - ccxt raises anything; the skew limit watches the result
            self._next = before + 1.0
            return
        self._origin_ms = told_ms - (before + self._steady()) / 2 * SECOND_MS


class AskedClock:
    """The time of an exchange that has a clock of its own, asked for at each look.

    Args:
        session: the guarded session of a client.
        url: where the time is told.

    Attributes:
        fault: why its time stands still, ``""`` where it passes.
    """

    def __init__(self, session: Any, url: str) -> None:
        self._session, self._url = session, url
        self._last_ms = self._latest_ms = 0
        self.fault = ""

    def __call__(self) -> int:
        """Return the exchange's time in UTC milliseconds; the last one told while it is silent.

        Raises:
            PaperError: it was never told.
        """
        try:
            answer = self._session.get(self._url, timeout=5).json()
            told_ms = int(answer["serverTime"])
        except (OSError, ValueError, KeyError, TypeError):
            self.fault = f"the exchange does not tell its time: {self._url}"
            if not self._last_ms:
                raise PaperError(
                    f"the local exchange must tell its time, {self._url} does not: start it with "
                    "seawall sandbox"
                ) from None
            return self._last_ms
        self._last_ms, self._latest_ms = told_ms, max(told_ms, self._latest_ms)
        self.fault = ""
        if told_ms < self._latest_ms - _LEAP_MS:  # another start of it: its accounts are new too
            self.fault = (
                f"the exchange's time went back, nothing is decided before "
                f"{to_time_text(self._latest_ms)}: wait, or take another folder"
            )
        return told_ms
