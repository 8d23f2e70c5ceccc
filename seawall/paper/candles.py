"""Candles as they close: history for the warm-up, then each new one, once, without a hole.

An exchange lists the candle that is still forming beside the closed ones; only those whose end
has passed on the exchange's clock are taken. What has been given stays as it was: a candle that
the exchange changes afterwards is noted. Several symbols are released stamp by stamp, together,
as in a backtest; one that stays away longer than ``patience_ms`` is not waited for.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from seawall.paper.calls import Calls, Rows
from seawall.paper.errors import PaperError
from seawall.paper.faults import ExchangeFault
from seawall.paper.reading import Unreadable, to_number
from seawall.units import SECOND_MS, to_duration_ms

_PAGE = 500
_POLL_SECONDS, _QUICK_SECONDS = 0.5, 0.1
_CLOSE_MS = 5_000  # after its end a candle is there, or late
_NO_INTERVAL = -1120  # Binance's code for a timeframe that it does not have


class Candle(NamedTuple):
    """One closed candle: opens at ``time_ms``; prices in quote, volume in base units."""

    time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class CandleSource:
    """The closed candles of one symbol.

    Args:
        calls: of a guarded client.
        symbol, timeframe: what is read.
        settle_ms: how long after its end a candle is taken: the exchange may still be writing it.

    Attributes:
        changed: open stamps of candles that the exchange changed after they were given.
    """

    def __init__(self, calls: Calls, symbol: str, timeframe: str, *, settle_ms: int = 0) -> None:
        self.symbol, self.timeframe_ms = symbol, to_duration_ms(timeframe)
        self.changed: list[int] = []
        self._calls, self._timeframe, self._settle_ms = calls, timeframe, settle_ms
        self._last: Candle | None = None

    def history(self, n: int) -> list[Candle]:
        """Return the last ``n`` closed candles, the oldest first; what follows begins after them.

        Raises:
            ExchangeFault: they cannot be asked for, or the answer is none.
        """
        end_ms = self._end_ms()
        candles = self._read(end_ms - n * self.timeframe_ms)
        self._last = candles[-1] if candles else self._last
        return candles

    def go_on_after(self, candle: Candle) -> None:
        """Begin after a candle that is known: what follows is what has closed since."""
        self._last = candle

    def fresh(self) -> list[Candle]:
        """Return what has closed since the last call, the oldest first.

        Raises:
            ExchangeFault: they cannot be asked for, or the answer is none.
        """
        last = self._last
        if last is None:
            return self.history(1)
        if last.time_ms + 2 * self.timeframe_ms > self._calls.clock() - self._settle_ms:
            return []
        candles = self._read(last.time_ms)
        if candles and candles[0].time_ms == last.time_ms and candles[0] != last:
            self.changed.append(last.time_ms)
        new = [candle for candle in candles if candle.time_ms > last.time_ms]
        self._last = new[-1] if new else last
        return new

    def _end_ms(self) -> int:
        """Return when the last candle that may be taken ends."""
        now_ms = self._calls.clock() - self._settle_ms
        return now_ms - now_ms % self.timeframe_ms

    def _ask(self, since_ms: int) -> Rows:
        """Return one page of rows from a time on."""
        arguments = (self.symbol, self._timeframe, since_ms, _PAGE)
        return self._calls.list(self._calls.exchange.fetch_ohlcv, *arguments)

    def _read(self, since_ms: int) -> list[Candle]:
        found: dict[int, Candle] = {}
        end_ms = self._end_ms()
        while since_ms < end_ms:
            rows = self._ask(since_ms)
            page = [self._calls.understand(_read_candle, row) for row in rows]
            found |= {one.time_ms: one for one in page if one.time_ms + self.timeframe_ms <= end_ms}
            last_ms = max((one.time_ms for one in page), default=0)
            if last_ms < since_ms:  # there is no more; a page may be shorter than was asked for
                break
            since_ms = last_ms + self.timeframe_ms
        return [found[time_ms] for time_ms in sorted(found)]


def check_timeframe(calls: Calls, symbol: str, timeframe: str) -> None:
    """Look whether the exchange has candles of a timeframe: our own has none finer than its bars.

    Raises:
        PaperError: it has not; the message names the shortest one that it has above it.
        ExchangeFault: it does not answer.
    """
    exchange = calls.exchange
    seconds = {one: int(exchange.parse_timeframe(one)) for one in exchange.timeframes}
    least = to_duration_ms(timeframe) // SECOND_MS
    longer = sorted((one for one in seconds if seconds[one] > least), key=seconds.__getitem__)
    for tried in (timeframe, *longer):
        try:
            calls.list(exchange.fetch_ohlcv, symbol, tried, None, 1)
        except ExchangeFault as error:
            if error.fault.code != _NO_INTERVAL:
                raise
            continue
        if tried == timeframe:
            return
        raise PaperError(
            f"the exchange's market {symbol} has {tried} bars, market.timeframe is {timeframe}: "
            f"set market.timeframe={tried}, or list the market with {timeframe} bars"
        )
    raise PaperError(
        f"the exchange's market {symbol} must have candles of market.timeframe, has none of "
        f"{timeframe} or longer: set another"
    )


class CandleGate:
    """Releases the candles of several sources together, stamp by stamp.

    Args:
        sources: their symbols differ.
        patience_ms: how long after a stamp one that is missing is waited for.

    Attributes:
        last_fault: what the last call met; ``""`` where it went well.
        data_ms: when the latest candle that was released had closed; ``None`` before the first.
        warm_ms: when the last one of the warm-up had closed; ``None`` where there was none.
    """

    def __init__(self, sources: Sequence[CandleSource], *, patience_ms: int = 30_000) -> None:
        self._sources, self._patience_ms = list(sources), patience_ms
        self._frames = {one.symbol: one.timeframe_ms for one in sources}
        self._waiting: dict[str, deque[Candle]] = {one.symbol: deque() for one in sources}
        self._ready: dict[str, deque[Candle]] = {one.symbol: deque() for one in sources}
        self._late: dict[tuple[str, int], int] = {}
        self.last_fault = ""
        self.data_ms: int | None = None
        self.warm_ms: int | None = None

    def warm_up(self, n: int) -> None:
        """Release the last ``n`` closed candles of each symbol.

        Raises:
            ExchangeFault: the exchange cannot be asked.
        """
        for source in self._sources:
            self._ready[source.symbol].extend(source.history(n))
        ends = [self.last_close(source.symbol) for source in self._sources]
        self.warm_ms = max((end_ms for end_ms in ends if end_ms is not None), default=None)

    def put(
        self, symbol: str, candles: Sequence[Candle], late: Mapping[int, int] | None = None
    ) -> None:
        """Release candles of a record, and go on after them.

        ``late`` has those that came late, by their open: the stamp of the step after which they
        came; they do so again.
        """
        for time_ms, after_ms in (late or {}).items():
            self._late[symbol, time_ms] = after_ms
        if candles:
            self._ready[symbol].extend(candles)
            source = next(one for one in self._sources if one.symbol == symbol)
            source.go_on_after(candles[-1])

    def last_close(self, symbol: str) -> int | None:
        """Return when the last candle that waits to be taken has closed."""
        queue = self._ready[symbol]
        return queue[-1].time_ms + self._frame(symbol) if queue else None

    def ready(self, name: str) -> list[Candle]:
        """Return the candles that wait to be taken, the oldest first."""
        return list(self._ready[name])

    def last_price(self, symbol: str) -> float:
        """Return the close of that candle, quote units; nan where none waits."""
        queue = self._ready[symbol]
        return queue[-1].close if queue else float("nan")

    def is_behind(self, now_ms: int) -> bool:
        """Return whether a later candle has closed than the last one that was taken.

        It waits to be released, or it must have closed by now and cannot be asked for.
        """
        next_ms = (self.data_ms or 0) + max(self._frames.values())
        return any(self._waiting.values()) or (bool(self.last_fault) and now_ms >= next_ms)

    def next_stamp(self) -> int | None:
        """Return the close stamp of what is to be taken next; ``None`` where nothing waits."""
        return min((self._stamp_of(s, q[0]) for s, q in self._ready.items() if q), default=None)

    def due(self, stamp_ms: int) -> dict[str, Candle]:
        """Return the released candles of a stamp, by symbol; they are not taken yet."""
        found = {
            symbol: queue[0]
            for symbol, queue in self._ready.items()
            if queue and self._stamp_of(symbol, queue[0]) == stamp_ms
        }
        in_time = {s: one for s, one in found.items() if (s, one.time_ms) not in self._late}
        return in_time or found

    def _stamp_of(self, symbol: str, candle: Candle) -> int:
        """Return when a candle is due: at its close, or after the step that did not have it."""
        return self._late.get((symbol, candle.time_ms), candle.time_ms + self._frame(symbol))

    def poll(self, now_ms: int) -> None:
        """Ask for what has closed, and release it where all have it; a fault is kept, not raised.

        Left out: a new question while something that was released waits to be taken.
        """
        if any(self._ready.values()):
            return
        try:
            for source in self._sources:
                self._waiting[source.symbol].extend(source.fresh())
            self.last_fault = ""
        except ExchangeFault as error:
            self.last_fault = str(error)
        self._release(now_ms)

    def take(self, symbol: str) -> Candle | None:
        """Return the next candle of a symbol that was released."""
        queue = self._ready[symbol]
        if not queue:
            return None
        candle = queue.popleft()
        closed_ms = candle.time_ms + self._frame(symbol)
        self.data_ms = max(closed_ms, self.data_ms or 0)
        return candle

    def _release(self, now_ms: int) -> None:
        """Release the next close stamp, if no symbol can still bring an earlier one."""
        ends = {s: q[0].time_ms + self._frame(s) for s, q in self._waiting.items() if q}
        if not ends:
            return
        stamp = min(ends.values())
        due = [s for s in self._waiting if stamp % self._frame(s) == 0]
        is_whole = all(ends.get(symbol) is not None for symbol in due)
        if is_whole or now_ms >= stamp + self._patience_ms:
            for symbol, end_ms in ends.items():
                if end_ms == stamp:
                    self._ready[symbol].append(self._waiting[symbol].popleft())

    def _frame(self, symbol: str) -> int:
        return self._frames[symbol]


def find_pause(now_ms: int, timeframe_ms: int) -> float:
    """Return the seconds until it is worth to look again: no longer than to the next close.

    Shortly after a close, while its candle may still be missing, one looks more often.
    """
    since_ms = now_ms % timeframe_ms
    if since_ms < _CLOSE_MS:
        return _QUICK_SECONDS
    return min(_POLL_SECONDS, (timeframe_ms - since_ms) / SECOND_MS)


def find_start(gate: CandleGate, sources: Sequence[CandleSource]) -> int:
    """Return the open of the first bar that may trade: that after the one that is forming now.

    The first decision is at the close of the forming bar: it is the first that can still be
    carried out at the price it sees.

    Raises:
        PaperError: a symbol has no closed candle.
    """
    ends = [gate.last_close(source.symbol) for source in sources]
    missing = [one.symbol for one, end_ms in zip(sources, ends, strict=True) if end_ms is None]
    if missing:
        raise PaperError(f"a session needs a closed candle, {', '.join(missing)} has none: wait")
    frame_ms = sources[0].timeframe_ms
    return max(end_ms for end_ms in ends if end_ms is not None) + frame_ms


def _read_candle(row: Any) -> Candle:
    """Return a row as a candle.

    Raises:
        Unreadable: it is none that can have been traded.
    """
    if not isinstance(row, (list, tuple)) or len(row) < len(Candle._fields):
        raise Unreadable(f"a candle has six values, is {row!r}")
    values = [to_number(value) for value in row[:6]]
    candle = Candle(int(values[0]), *values[1:])
    top, bottom = max(candle.open, candle.close), min(candle.open, candle.close)
    if not (0 < candle.low <= bottom and top <= candle.high and candle.volume >= 0):
        raise Unreadable(f"a candle must hold 0 < low <= open, close <= high, is {row!r}")
    return candle
