"""The exchange's clock: as fast as the wall, N times faster, or stepped by hand.

Everything that happens on the exchange happens at its time; nothing else reads the wall.
"""

import time
from collections.abc import Callable

from seawall.errors import RecipeError
from seawall.units import DAY_MS, SECOND_MS

STEPPED = 0.0


class Clock:
    """Exchange time in UTC milliseconds."""

    def __init__(
        self,
        start_ms: int,
        *,
        speed: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start at ``start_ms``; ``speed`` 1.0 is the wall's, ``STEPPED`` moves only by hand.

        ``monotonic`` gives real seconds.

        Raises:
            RecipeError: the speed is negative.
        """
        if not speed >= 0.0:
            raise RecipeError(
                f"the clock's speed must be >= 0, is {speed}: 1 is the wall's, 0 is stepped by hand"
            )
        self.speed = speed
        self._monotonic = monotonic
        self._start_ms, self._started = start_ms, monotonic()

    @property
    def is_stepped(self) -> bool:
        """Whether only ``advance`` moves it."""
        return self.speed == STEPPED

    def now_ms(self) -> int:
        """Return the exchange's time."""
        if self.speed == STEPPED:
            return self._start_ms
        passed = (self._monotonic() - self._started) * SECOND_MS * self.speed
        return self._start_ms + int(passed)

    def advance(self, step_ms: int) -> int:
        """Move forward by ``step_ms`` and return the new time; a running clock jumps ahead.

        Raises:
            RecipeError: the step is negative: the exchange's time never goes back.
        """
        if step_ms < 0:
            raise RecipeError(
                f"a step of the clock must be >= 0 ms, is {step_ms}: time never returns"
            )
        self._start_ms += step_ms
        return self.now_ms()


def shift_to_now(since_ms: int, now_ms: int) -> int:
    """Return the milliseconds by which history is moved so that it goes on at ``now_ms``.

    A whole number of days: the hour of the day, and with it candles and funding stamps, stay where
    they were. History then starts on the day of ``since_ms``, at the present hour.
    """
    return (now_ms - since_ms) // DAY_MS * DAY_MS
