"""An agent in any language, as a child process that speaks lines of JSON."""

from collections.abc import Sequence
from typing import Literal

from seawall import Decision, Observation
from seawall.agent import AgentInfo
from seawall.remote.link import Link
from seawall.remote.stdio import Child


class Stdio:
    """Starts a program and asks it: one line on its stdin is answered by one on its stdout.

    ``seawall schema`` prints the form. The program runs with the user's rights.

    Parameters:
        command: program and arguments, such as ``["node", "my_agent.js"]``; no shell reads it.
        timeout_ms: for one decision; later is an abstention.
        start_timeout_ms: until it answers the handshake.
        max_restarts: in one run, of a child that dies or does not answer any more.
        bars: candles of each symbol that it is sent; left out: as many as it asks for, or 64.
        recording: a ``.jsonl`` file of what it has answered: with it the run is reproducible.
        mode: ``record`` asks what the recording lacks, ``replay`` never starts the program.
        latency: ``measured``: what an answer took delays its orders; needs a recording.
    """

    def __init__(
        self,
        *,
        command: Sequence[str],
        timeout_ms: int = 1_000,
        start_timeout_ms: int = 10_000,
        max_restarts: int = 3,
        bars: int | None = None,
        recording: str | None = None,
        mode: Literal["record", "replay"] = "record",
        latency: Literal["none", "measured"] = "none",
    ) -> None:
        self.link = Link(
            Child(command),
            timeout_ms=timeout_ms,
            start_timeout_ms=start_timeout_ms,
            max_restarts=max_restarts,
            bars=bars,
            recording=recording,
            mode=mode,
            latency=latency,
        )

    def begin(self, info: AgentInfo) -> None:
        """Start the program and shake hands."""
        self.link.begin(info)

    def decide(self, observation: Observation) -> Decision:
        """Return what the program answers."""
        return self.link.decide(observation)

    def end(self) -> None:
        """Let the program end."""
        self.link.end()
