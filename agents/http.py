"""An agent behind an HTTP address, in any language."""

from collections.abc import Sequence
from typing import Literal

from seawall import Decision, Observation
from seawall.agent import AgentInfo
from seawall.remote.http import Endpoint
from seawall.remote.link import Link


class Http:
    """Posts each observation to an address; the response's body is the decision.

    ``seawall schema`` prints the form; ``seawall serve`` offers Seawall's own agents in it.

    Parameters:
        url: such as ``http://127.0.0.1:8000/decide``.
        hosts: names of hosts other than loopback that may be asked; they are sent all that is
            observed.
        timeout_ms, start_timeout_ms, max_restarts, bars, recording, mode, latency: as of ``stdio``;
            to start it again is to connect again.
    """

    def __init__(
        self,
        *,
        url: str,
        hosts: Sequence[str] = (),
        timeout_ms: int = 1_000,
        start_timeout_ms: int = 10_000,
        max_restarts: int = 3,
        bars: int | None = None,
        recording: str | None = None,
        mode: Literal["record", "replay"] = "record",
        latency: Literal["none", "measured"] = "none",
    ) -> None:
        self.link = Link(
            Endpoint(url, hosts),
            timeout_ms=timeout_ms,
            start_timeout_ms=start_timeout_ms,
            max_restarts=max_restarts,
            bars=bars,
            recording=recording,
            mode=mode,
            latency=latency,
        )

    def begin(self, info: AgentInfo) -> None:
        """Connect and shake hands."""
        self.link.begin(info)

    def decide(self, observation: Observation) -> Decision:
        """Return what the address answers."""
        return self.link.decide(observation)

    def end(self) -> None:
        """Say that it is over."""
        self.link.end()
