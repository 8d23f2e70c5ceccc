"""Who watches a session while it runs: the kill switch, the limits, the books, the clock.

``turn`` is called at every turn of the loop, before the strategy. It never trades for the
strategy; it only stops: new orders while something is doubtful (*paused*), or everything
(*ending*), in which case it cancels, and flattens if told so, until the exchange has confirmed it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from seawall.paper.allowed import Market
from seawall.paper.client import ExchangeClient
from seawall.paper.differences import UNRESOLVED
from seawall.paper.errors import NotReconciled
from seawall.paper.faults import ExchangeFault
from seawall.paper.kill_switch import KillSwitch, Order, Stopped, carry_out, keep_end, rank
from seawall.paper.limits import LimitKeeper, Pulse
from seawall.paper.reconcile import check
from seawall.units import MINUTE_MS

PAUSED, RESUMED = "paused", "resumed"  # kinds of notes
_MAX_DISAGREEMENTS = 3  # one may be a trade that is not listed yet; three in a row are none


@dataclass(frozen=True, kw_only=True)
class Watch:
    """How often a session is looked after, and what happens at its end.

    Attributes:
        check_ms: between two comparisons of journal and exchange, and of the clocks.
        on_halt: what is done where a limit, or a lasting difference, ends the session.
    """

    check_ms: int = MINUTE_MS
    on_halt: Order = "cancel"


class Supervisor:
    """Watches one session.

    Args:
        client, keeper, switch: of the session.
        symbols, market: what it trades.
        equity: returns what the account is worth, quote units; nan where it is not known.
        pulse: returns the signs of life; its skew is measured here.
        watch: how often, and what at the end.

    Attributes:
        ending: why the session ends; ``""`` while it goes on.
        is_over: whether all that an end asks for is confirmed.
    """

    def __init__(
        self,
        client: ExchangeClient,
        keeper: LimitKeeper,
        switch: KillSwitch,
        *,
        symbols: Iterable[str],
        market: Market,
        equity: Callable[[], float],
        pulse: Callable[[], Pulse],
        watch: Watch | None = None,
    ) -> None:
        self._client, self._keeper, self._switch = client, keeper, switch
        self._symbols, self._market = list(symbols), market
        self._equity, self._pulse, self._watch = equity, pulse, watch or Watch()
        self.ending, self.is_over = "", False
        self._end: Order = "stop"
        self._skew_ms: int | None = None
        self._next_check_ms = 0
        self._n_disagreements = 0
        self._breach, self._difference, self._told = "", "", ""

    def turn(self) -> None:
        """Look at everything once; cheap where nothing is due."""
        if self.is_over:
            return
        self._obey_switch()
        if not self.ending:
            self._check_limits()
        if not self.ending:
            self._check_books()
        if self.ending:
            self._carry_on_ending()

    @property
    def paused(self) -> str:
        """Why nothing new is sent now; ``""`` where it may be."""
        return self._breach or self._difference

    @property
    def refusal(self) -> str:
        """Why a new order is refused now, ``""`` where it is not; asked by the broker."""
        return self.ending or self.paused

    def find_interruption(self, silent_since_ms: int) -> str:
        """Return why an agent that is being asked is waited for no longer; ``""``: it is."""
        told = self._switch.read()
        if told is not None:
            return f"the kill switch says {told}"
        pulse = Pulse(data_ms=None, agent_ms=silent_since_ms, skew_ms=None)
        breach = self._keeper.check_pulse(pulse, self._client.clock())
        return "" if breach is None else f"{breach.limit}: {breach.text}"

    def halt(self, why: str, order: Order | None = None) -> None:
        """End the session: nothing new is sent, and ``order`` is carried out."""
        if not self.ending:
            self._note("ending", why)
        self.ending = self.ending or why
        chosen = order or self._watch.on_halt
        self._end = chosen if rank(chosen) > rank(self._end) else self._end

    def _obey_switch(self) -> None:
        told = self._switch.read()
        if told is not None and (not self.ending or rank(told) > rank(self._end)):
            self.halt(f"the kill switch says {told}", told)

    def _check_limits(self) -> None:
        now_ms, seen = self._client.clock(), self._pulse()
        pulse = Pulse(data_ms=seen.data_ms, agent_ms=seen.agent_ms, skew_ms=self._skew_ms)
        breach = self._keeper.check_pulse(pulse, now_ms)
        equity = self._equity()
        if breach is None and equity == equity:  # noqa: PLR0124 - not nan
            breach = self._keeper.check_equity(equity, now_ms)
        if breach is not None and breach.consequence == "halt":
            self.halt(f"{breach.limit}: {breach.text}")
        self._doubt("" if breach is None else f"{breach.limit}: {breach.text}", self._difference)

    def _check_books(self) -> None:
        """Compare journal and exchange, and the clocks, where it is time to."""
        now_ms = self._client.clock()
        if now_ms < self._next_check_ms:
            return
        self._next_check_ms = now_ms + self._watch.check_ms
        try:
            self._skew_ms = self._client.read_clock().skew_ms
            rows = check(self._client, self._symbols, market=self._market)
        except (ExchangeFault, NotReconciled) as error:
            self._note("fault", str(error))
            return
        wrong = [str(row) for row in rows if row.kind not in UNRESOLVED]
        self._n_disagreements = self._n_disagreements + 1 if wrong else 0
        self._doubt(self._breach, "; ".join(wrong))
        if self._n_disagreements >= _MAX_DISAGREEMENTS:
            self.halt(f"the journal and the exchange differ for good: {self._difference}")

    def _carry_on_ending(self) -> None:
        stopped = carry_out(self._end, self._client, self._symbols, market=self._market)
        self._say_end(stopped)

    def _say_end(self, stopped: Stopped) -> None:
        """Take what was done; a text is noted once, however often it is tried again."""
        if stopped.text != self._told:
            self._note("ending", stopped.text)
        self._told = stopped.text
        self.is_over = stopped.is_done
        if self.is_over:
            keep_end(self._client.journal, self._client.clock(), self._end, stopped.text)

    def _doubt(self, breach: str, difference: str) -> None:
        """Keep why nothing new is sent, and note where that begins."""
        before = self.paused
        self._breach, self._difference = breach, difference
        if self.paused and _rule(self.paused) != _rule(before):
            self._note(PAUSED, self.paused)
        elif before and not self.paused:
            self._note(RESUMED, "new orders are sent again")

    def _note(self, kind: str, text: str) -> None:
        self._client.journal.note(self._client.clock(), kind, text)


def _rule(text: str) -> str:
    """Return which limit or difference a text is of: what follows it changes as time goes by."""
    return text.partition(":")[0]
