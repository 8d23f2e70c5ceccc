"""What stands between a strategy and a sandbox."""

from seawall.paper.broker import PaperBroker
from seawall.paper.log import SessionLog
from seawall.paper.supervisor import Supervisor


class SandboxDesk:
    """What stands between a strategy and a sandbox: the broker does the work.

    Attributes:
        supervisor: the broker's.
    """

    def __init__(self, broker: PaperBroker, log: SessionLog) -> None:
        self.broker, self._log = broker, log
        self._has_taken_over = False

    @property
    def supervisor(self) -> Supervisor | None:
        """Who watches the session."""
        return self.broker.supervisor

    def turn(self) -> None:
        """Look after limits, the kill switch and orders."""
        self.broker.next()

    def begin_step(self, stamp_ms: int) -> None:
        """At the first step, take over what earlier sessions have left open."""
        if self._has_taken_over:
            return
        self._has_taken_over = True
        taken = self.broker.take_over(self.broker.cerebro.runningstrats[0])
        if taken:
            self._log.write("orders", stamp_ms, text=f"taken over: {', '.join(taken)}")

    def end_step(self, stamp_ms: int) -> None:
        """Do nothing: the client has written everything down."""
