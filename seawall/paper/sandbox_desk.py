"""What stands between a strategy and a sandbox."""

from seawall.paper.broker import PaperBroker
from seawall.paper.futures_record import FuturesRecorder
from seawall.paper.gauges import gauges_of_futures
from seawall.paper.log import SessionLog
from seawall.paper.supervisor import Supervisor


class SandboxDesk:
    """What stands between a strategy and a sandbox: the broker does the work.

    Args:
        broker: of the session.
        log: likewise.
        since_ms: steps up to then are warm-up: the account is not looked at for them.
        recorder: writes down what a futures account needs beside what the client writes.

    Attributes:
        supervisor: the broker's.
    """

    def __init__(
        self,
        broker: PaperBroker,
        log: SessionLog,
        *,
        since_ms: int,
        recorder: FuturesRecorder | None = None,
    ) -> None:
        self.broker, self._log, self._since_ms = broker, log, since_ms
        self._recorder = recorder
        self._has_taken_over = False

    @property
    def supervisor(self) -> Supervisor | None:
        """Who watches the session."""
        return self.broker.supervisor

    def turn(self) -> None:
        """Look after limits, the kill switch and orders."""
        self.broker.next()

    def begin_step(self, stamp_ms: int) -> None:
        """Look at the account, and date what will be decided.

        A bar that was missed takes no look, so that what was missed is soon caught up with. At the
        first step, take over what is open of earlier sessions.
        """
        strategy = self.broker.cerebro.runningstrats[0]
        self.broker.decided_ms = stamp_ms
        if stamp_ms > self._since_ms and not strategy.is_missed:
            self.broker.side.refresh(at_once=True)
        if self._has_taken_over:
            return
        self._has_taken_over = True
        taken = self.broker.take_over(strategy)
        if taken:
            self._log.write("orders", stamp_ms, text=f"taken over: {', '.join(taken)}")

    def end_step(self, stamp_ms: int) -> None:
        """Record a futures account; of all else the client has written everything down."""
        if self._recorder is not None and stamp_ms > self._since_ms:
            self._recorder.step(stamp_ms)

    def look_last(self) -> bool:
        """Look at the account; return whether what is known is of now."""
        self.broker.side.refresh(at_once=True)
        return not self.broker.side.doubt()

    def gauges(self) -> dict[str, float]:
        """Return how near a futures position is to its liquidation; coin is not liquidated."""
        futures = self.broker.futures
        return {} if futures is None else gauges_of_futures(futures.side.peek())
