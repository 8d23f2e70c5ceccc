"""An exchange moved along by its clock, with what a script does on the way."""

import asyncio
from math import inf

from seawall.sandbox.script import Act, Script
from seawall.sandbox.verbs import Verbs
from seawall.units import HOUR_MS

SLICE_MS = HOUR_MS  # after which whoever waits, such as a WebSocket, has a turn


class Stage:
    """One exchange and what is to happen to it.

    Attributes:
        acts: of a script, what is to come; ``mishaps``: what of it failed.
    """

    def __init__(self, verbs: Verbs) -> None:
        self.exchange, self.verbs = verbs.exchange, verbs
        self.acts: list[Act] = []
        self.mishaps: list[str] = []

    def follow(self, script: Script) -> None:
        """Let a script's faults wait, and do what else it says when its time comes."""
        for fault in script.faults:
            self.verbs.faults.add(fault)
        self.acts = sorted([*self.acts, *script.acts], key=lambda act: act.time_ms)

    async def advance(self, step_ms: int) -> int:
        """Move the clock and let all that happens happen; return the new time.

        In slices, between which WebSockets send what has piled up, and what a script does is done.

        Raises:
            RecipeError: the step is negative.
        """
        clock, left_ms = self.exchange.clock, step_ms
        while True:
            next_ms = self.acts[0].time_ms - clock.now_ms() if self.acts else SLICE_MS
            slice_ms = min(left_ms, SLICE_MS, max(1, next_ms))
            clock.advance(slice_ms)
            now_ms = self.catch_up()
            left_ms -= slice_ms
            if left_ms <= 0:
                return now_ms
            await asyncio.sleep(0)

    def catch_up(self, *, most_ms: float = inf) -> int:
        """Bring the exchange to the clock's time, do what a script says on the way; return it.

        By ``most_ms`` at the most: whoever is far behind lets messages be sent in between.
        """
        exchange = self.exchange
        while self.acts and self.acts[0].time_ms <= exchange.clock.now_ms():
            ahead_ms = max(0, self.acts[0].time_ms - exchange.event_ms)
            if ahead_ms > most_ms:
                break
            exchange.catch_up(most_ms=ahead_ms)
            mishap = self.verbs.act(self.acts.pop(0))
            self.mishaps += [mishap] if mishap else []
        return exchange.catch_up(most_ms=most_ms)
