"""What a session's record says of its own circumstances: when it was away, which candle was late.

A replay has every candle in time and is never away; where the two differ, these are reasons.
"""

from typing import NamedTuple

from seawall.paper.outcome import SessionRun
from seawall.paper.record import Record
from seawall.paper.session import LATE, MISSED
from seawall.units import SECOND_MS, to_time_text

BY_SWITCH = "the kill switch"  # so the reasons of its orders begin
_NOBODY = "nobody was asked in the session"


class LateCandle(NamedTuple):
    """A candle that came when its step was over.

    Attributes:
        symbol, open_ms, close_ms: which one.
        came_ms: when; ``after_ms``: the last step that did not have it.
    """

    symbol: str
    open_ms: int
    close_ms: int
    came_ms: int
    after_ms: int

    def __str__(self) -> str:
        late = (self.came_ms - self.close_ms) / SECOND_MS
        return (
            f"the candle of {self.symbol} that opened at {to_time_text(self.open_ms)} came "
            f"{late:.0f} s after its end"
        )


class Circumstances:
    """The circumstances of one run.

    Args:
        record, run: what is compared.
    """

    def __init__(self, record: Record, run: SessionRun) -> None:
        frame_ms = run.recipe.market.timeframe_ms
        self._late = [
            LateCandle(symbol, int(opened), int(opened) + frame_ms, came_ms, int(after_ms))
            for key, came_ms, after_ms in record.journal.rows(
                "SELECT key, time_ms, payload FROM events WHERE kind = ? ORDER BY time_ms", LATE
            )
            for symbol, opened in [key.split()[-2:]]
        ]
        self._missed: dict[int, int] = {
            int(stamp_ms): came_ms
            for came_ms, stamp_ms in record.journal.rows(
                "SELECT time_ms, payload FROM events WHERE kind = ?", MISSED
            )
        }
        self._attended = {
            stamp_ms
            for row in record.sessions()
            if row.number in run.numbers
            for stamp_ms, *_ in record.journal.values(row.number)
            if stamp_ms > row.started_ms - frame_ms
        }

        closing = [
            (one.intent_ms, one.intent.symbol, one.intent.reason) for one in record.journal.orders()
        ]
        closing += [(one.time_ms, one.symbol, one.reason) for one in record.entries(run.numbers)]
        self._closed = {
            (time_ms // frame_ms * frame_ms, symbol)
            for time_ms, symbol, reason in closing
            if reason.startswith(BY_SWITCH)
        }

    def who_closed(self, symbol: str, bar_ms: int) -> str:
        """Return that a fill was the kill switch's; ``""``: it was not."""
        is_switch = (bar_ms, symbol) in self._closed
        return ": the kill switch has closed the position, in the replay there is none" * is_switch

    @staticmethod
    def why_not_filled(*, is_sent: bool) -> str:
        """Return what became of an order that was not filled, as far as the record tells."""
        return ": an order was sent, it waits or was cancelled" if is_sent else ": nothing was sent"

    @staticmethod
    def who_raised(ours: str, theirs: str) -> str:
        """Return which of the two agents raised, or was broken off, and what."""
        if ours and theirs:
            return f"both agents raised, one after other actions: {ours}; in the replay {theirs}"
        return f"the session's agent raised: {ours}" if ours else f"the replay's raised: {theirs}"

    def why_not_asked(self, time_ms: int) -> str:
        """Return why nobody was asked in the session at a moment at which the replay asks."""
        if time_ms in self._missed:
            late = (self._missed[time_ms] - time_ms) / SECOND_MS
            return (
                f"{_NOBODY}: the bar came {late:.0f} s after its end, when a later one had closed; "
                "only the newest is decided at"
            )
        if time_ms in self._attended:
            return f"{_NOBODY}: the agent slept, since it decided otherwise before"
        return f"{_NOBODY}: it was away, the bar closed while it did not run"

    def late_at(self, time_ms: int) -> str:
        """Return which candle was missing when a decision was made; ``""``: none."""
        missing = [one for one in self._late if one.close_ms <= time_ms <= one.after_ms]
        return _say(missing, "it was decided without it")

    def late_in(self, symbol: str, since_ms: int, until_ms: int) -> str:
        """Return which candle of a symbol that opened in a span came late; ``""``: none."""
        late = [
            one for one in self._late if one.symbol == symbol and since_ms <= one.open_ms < until_ms
        ]
        return _say(late, "no order is filled in a bar that is over")


def _say(late: list[LateCandle], consequence: str) -> str:
    if not late:
        return ""
    more = f", and {len(late) - 1} more were late" if len(late) > 1 else ""
    return f"{late[0]}{more}: {consequence}"
