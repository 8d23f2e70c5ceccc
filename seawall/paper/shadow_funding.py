"""What a shadow's futures account is told beside candles: marks, and funding as it is settled.

Both are the exchange's own, by public requests. A settlement that should have been told and is
not, is waited for; after that the last rate stands in, and it is noted: money moves at its time,
and nothing that comes later changes what has been.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from seawall.market.funding import find_stamps
from seawall.paper.calls import Calls, Rows
from seawall.paper.candles import CandleGate, CandleSource
from seawall.paper.faults import ExchangeFault
from seawall.paper.journal import PaperJournal
from seawall.paper.reading import to_number
from seawall.units import HOUR_MS, MINUTE_MS, SECOND_MS, to_duration_ms

FUNDING = "funding"  # an event whose content is a ``Settled``
_MARK = "mark "
_PATIENCE_MS = MINUTE_MS
_ASK_EVERY_MS = SECOND_MS
_PAGE = 500  # rows, as of other candles
_SEEN = 3  # settlements that tell the time between two


class Settled(NamedTuple):
    """One settlement: when, to the minute; what longs pay; and whether nobody has told the rate."""

    time_ms: int
    rate: float
    is_assumed: bool = False


def mark_name(symbol: str) -> str:
    """Return under which name the mark of a contract is read and recorded."""
    return f"{_MARK}{symbol}"


def has_marks(exchange: Any) -> bool:
    """Return whether an exchange lists candles of its marks."""
    return bool(exchange.has.get("fetchMarkOHLCV"))


class MarkSource(CandleSource):
    """The closed candles of a contract's mark; ``symbol`` is ``mark_name``."""

    def __init__(self, calls: Calls, symbol: str, timeframe: str, *, settle_ms: int = 0) -> None:
        super().__init__(calls, mark_name(symbol), timeframe, settle_ms=settle_ms)
        self._contract = symbol

    def _ask(self, since_ms: int) -> Rows:
        """Return one page of rows; a mark has no volume."""
        exchange = self._calls.exchange
        arguments = (self._contract, self._timeframe, since_ms, _PAGE, {"price": "mark"})
        rows = self._calls.list(exchange.fetch_ohlcv, *arguments)
        return [[*row[:5], 0.0] if isinstance(row, (list, tuple)) else row for row in rows]


class FundingSource:
    """The settlements of one contract.

    Args:
        calls: of the contract's market; ``None`` where the recipe gives the rate.
        symbol: the contract.
        interval_ms: between two settlements.
        known: settlements that were recorded.
        rate: the recipe's; it stands in where there are no calls.
    """

    def __init__(
        self,
        calls: Calls | None,
        symbol: str,
        interval_ms: int,
        *,
        known: Sequence[Settled] = (),
        rate: float = 0.0,
    ) -> None:
        self.symbol, self.interval_ms = symbol, interval_ms
        self._calls, self._rate = calls, rate
        self._known: dict[int, Settled] = {one.time_ms: one for one in known}
        self._asked_ms = max(self._known, default=0)

    def between(self, since_ms: int, until_ms: int) -> list[Settled]:
        """Return what was settled in ``since_ms <= time < until_ms``."""
        times = sorted(self._known)
        first, last = bisect_left(times, since_ms), bisect_left(times, until_ms)
        return [self._known[time_ms] for time_ms in times[first:last]]

    def lacks(self, since_ms: int, until_ms: int) -> bool:
        """Return whether settlements of a span are to be asked for before it can be lived through.

        Funding is settled at full hours; who has asked after the last of them has been told all.
        """
        last_hour_ms = (until_ms - 1) // HOUR_MS * HOUR_MS
        if last_hour_ms < since_ms:
            return False
        due = find_stamps(since_ms, until_ms, self.interval_ms).tolist()
        return self._asked_ms < until_ms or any(time_ms not in self._known for time_ms in due)

    def ask(self, since_ms: int, until_ms: int) -> None:
        """Ask for the settlements of a span.

        Raises:
            ExchangeFault: they cannot be asked for.
        """
        if self._calls is None:
            for time_ms in find_stamps(since_ms, until_ms, self.interval_ms).tolist():
                self._known.setdefault(time_ms, Settled(time_ms, self._rate))
            self._asked_ms = max(self._asked_ms, until_ms)
            return
        now_ms = self._calls.clock()
        for one in read_settled(self._calls, self.symbol, since_ms):
            if one.time_ms >= since_ms:  # bars that follow need not ask again
                self._known.setdefault(one.time_ms, one)
        self._asked_ms = max(self._asked_ms, now_ms)

    def assume(self, since_ms: int, until_ms: int) -> list[Settled]:
        """Let the last rate stand in for what was not told; return what it stands in for."""
        self._asked_ms = max(self._asked_ms, until_ms)
        assumed = []
        for time_ms in find_stamps(since_ms, until_ms, self.interval_ms).tolist():
            if time_ms not in self._known:
                earlier = self.between(0, time_ms)
                rate = earlier[-1].rate if earlier else 0.0
                self._known[time_ms] = Settled(time_ms, rate, is_assumed=True)
                assumed.append(self._known[time_ms])
        return assumed


class ShadowGate(CandleGate):
    """Releases candles and marks, and funding with them.

    Args:
        sources: of candles and of marks.
        fundings: of the contracts.
        on_assumed: called with what is to be noted where a rate stands in.
        patience_ms: how long after a stamp candles are waited for.

    Attributes:
        since_ms: funding of bars that open earlier is nobody's; ``None``: of all.
    """

    def __init__(
        self,
        sources: Sequence[CandleSource],
        fundings: Sequence[FundingSource],
        *,
        on_assumed: Callable[[str], object],
        patience_ms: int = 30_000,
    ) -> None:
        super().__init__(sources, patience_ms=patience_ms)
        self._fundings, self._on_assumed = list(fundings), on_assumed
        self.since_ms: int | None = None
        self._played_ms = 0
        self._next_ask_ms = 0

    def next_stamp(self) -> int | None:
        """Return what is to be taken next; ``None`` too while its funding is not told."""
        stamp_ms = super().next_stamp()
        if stamp_ms is None or not self._lacking(stamp_ms):
            return stamp_ms
        return None

    def due(self, stamp_ms: int) -> dict[str, Any]:
        """Return the released candles of a stamp, by name; they are not taken yet."""
        found = super().due(stamp_ms)
        self._played_ms = max(self._played_ms, stamp_ms)
        return found

    def poll(self, now_ms: int) -> None:
        """Ask for what has closed, and for the funding of what waits."""
        super().poll(now_ms)
        stamp_ms = super().next_stamp()
        lacking = [] if stamp_ms is None else self._lacking(stamp_ms)
        if stamp_ms is None or not lacking or now_ms < self._next_ask_ms:
            return
        self._next_ask_ms = now_ms + _ASK_EVERY_MS
        begin_ms = self._begin_ms(stamp_ms)
        for funding in lacking:
            try:
                funding.ask(begin_ms, stamp_ms)
            except ExchangeFault as error:
                self.last_fault = str(error)
            if now_ms >= stamp_ms + _PATIENCE_MS and funding.lacks(begin_ms, stamp_ms):
                self._assume(funding, begin_ms, stamp_ms)

    def settled(self, stamp_ms: int, before_ms: int) -> dict[str, list[Settled]]:
        """Return what was settled in the bar that ends at a stamp, by contract."""
        since_ms = max(before_ms, self.since_ms or 0)
        return {one.symbol: one.between(since_ms, stamp_ms) for one in self._fundings}

    def _assume(self, funding: FundingSource, begin_ms: int, stamp_ms: int) -> None:
        for one in funding.assume(begin_ms, stamp_ms):
            self._on_assumed(
                f"the funding of {funding.symbol} was not told {_PATIENCE_MS // SECOND_MS} s after "
                f"its bar: the last rate stands in, {one.rate:.6%}"
            )

    def _begin_ms(self, stamp_ms: int) -> int:
        frame_ms = max(self._frames.values())
        begin_ms = self._played_ms if 0 < self._played_ms < stamp_ms else stamp_ms - frame_ms
        return max(begin_ms, self.since_ms or 0)

    def _lacking(self, stamp_ms: int) -> list[FundingSource]:
        """Return the contracts whose funding has to be told before a stamp can be played."""
        if self.since_ms is None or stamp_ms <= self.since_ms:
            return []
        begin_ms = self._begin_ms(stamp_ms)
        return [one for one in self._fundings if one.lacks(begin_ms, stamp_ms)]


def read_settled(calls: Calls, symbol: str, since_ms: int | None) -> list[Settled]:
    """Return what an exchange says was settled, from a time on, or of late; times to the minute.

    Raises:
        ExchangeFault: it cannot be asked, or the answer cannot be read.
    """
    method = calls.exchange.fetch_funding_rate_history
    rows = calls.list(method, symbol, since_ms, None if since_ms is not None else _SEEN)
    return sorted(calls.understand(_read_row, row) for row in rows)


def find_interval(calls: Calls, symbol: str) -> int | None:
    """Return how long it is between the last two settlements, or is said to be; ``None``: unknown.

    Raises:
        ExchangeFault: it cannot be asked.
    """
    times = [one.time_ms for one in read_settled(calls, symbol, None)][-2:]
    if len(times) < 2:  # noqa: PLR2004 - a difference takes two
        return _read_interval(calls, symbol)
    hours = round((times[1] - times[0]) / HOUR_MS)
    return hours * HOUR_MS if hours > 0 else None


def _read_interval(calls: Calls, symbol: str) -> int | None:
    exchange = calls.exchange
    if not exchange.has.get("fetchFundingIntervals"):
        return None
    answer = calls.call(exchange.fetch_funding_intervals, [symbol])
    own = answer.get(symbol) if isinstance(answer, dict) else None
    interval = own.get("interval") if isinstance(own, dict) else None
    return to_duration_ms(interval) if isinstance(interval, str) else None


def recorded_settled(journal: PaperJournal, symbol: str) -> list[Settled]:
    """Return the settlements of a contract that sessions have lived through."""
    rows = [Settled(*row[1:]) for _, row in journal.events(FUNDING) if row[0] == symbol]
    return sorted(rows)


def record_settled(
    journal: PaperJournal, settled: Mapping[str, Sequence[Settled]], seen_ms: int
) -> None:
    """Write down what a step has settled."""
    for symbol, rows in settled.items():
        for one in rows:
            journal.see(f"{FUNDING} {symbol} {one.time_ms}", seen_ms, FUNDING, [symbol, *one])


def _read_row(row: Any) -> Settled:
    time_ms = int(to_number(row["timestamp"]))
    return Settled(time_ms // MINUTE_MS * MINUTE_MS, to_number(row["fundingRate"]))
