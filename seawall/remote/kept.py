"""What an agent behind a server has been sent in its run, put together again.

Each question brings what is new, and how much lies before it; so the agent sees histories that grow
as they do where it runs in the process.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from seawall.errors import AgentError
from seawall.market.series import CANDLE_FIELDS, Candles, FloatArray, SeriesKey, TimeArray
from seawall.market.texts import Text
from seawall.observation import Window, allocate
from seawall.remote.form import BeforeForm

Item = TypeVar("Item", np.float64, np.int64)
_BLOCK = 1_024  # bars at first; doubled when they are full


class KeptWindow(Window):
    """The candles of one symbol as far as they have been sent.

    A view that was given away before the memory grew keeps the memory it was made of.
    """

    __slots__ = ("_n_sent",)

    def __init__(self, key: SeriesKey, place: int) -> None:
        none, never = np.empty(0), np.empty(0, dtype=np.int64)
        empty = Candles(
            key=key, time_ms=never, open=none, high=none, low=none, close=none, volume=none
        )
        super().__init__(empty, place)
        self._n_sent = 0

    def put(self, candles: Candles, first: int) -> None:
        """Take candles, the first of which is bar ``first``; those that are there are sent again.

        Raises:
            AgentError: they do not follow those that are there.
        """
        _check_place(candles.key.symbol, first, self._n_sent)
        if not len(candles):
            return  # not listed yet, or no new bar
        before = self._source_times[first - 1 : first] if first else self._source_times[:0]
        if len(before) and candles.time_ms[0] <= before[0]:
            raise AgentError("candles must follow those that were sent before, they begin earlier")
        end = first + len(candles)
        if end > len(self._times):
            self._grow(max(_BLOCK, 2 * len(self._times), end))
        self._source_times[first:end] = candles.time_ms
        for source, name in zip(self._source, CANDLE_FIELDS, strict=True):
            source[first:end] = getattr(candles, name)
        self._n_sent = max(self._n_sent, end)

    def _grow(self, capacity: int) -> None:
        """Move to larger memory, into which is copied what is read."""
        self._source = [_extend(values, capacity) for values in self._source]
        self._source_times = _extend(self._source_times, capacity)
        memories = [allocate(capacity, np.float64, np.nan) for _ in CANDLE_FIELDS]
        self._values = [values for values, _ in memories]
        self._shown = [shown for _, shown in memories]
        self._times, self._shown_times = allocate(capacity, np.int64, 0)
        self._copied, self._n_times = [0] * len(CANDLE_FIELDS), 0


class Kept:
    """All that has been sent in one run.

    Attributes:
        before: how much lies before what the question at hand brings.
    """

    def __init__(self) -> None:
        self.before = BeforeForm(candles={}, signals={}, texts={})
        self._windows: dict[str, KeptWindow] = {}
        self._signals: dict[str, tuple[TimeArray, FloatArray]] = {}
        self._texts: dict[str, tuple[int, tuple[Text, ...]]] = {}  # after how many, and which

    def join_candles(self, symbol: str, place: int, candles: Candles) -> tuple[KeptWindow, int]:
        """Return a symbol's window with these candles in it, and which bar the first of them is."""
        window = self._windows.get(symbol)
        if window is None:
            window = self._windows[symbol] = KeptWindow(candles.key, place)
        first = self.before.candles.get(symbol, 0)
        window.put(candles, first)
        return window, first

    def join_signal(
        self, name: str, known_ms: TimeArray, values: FloatArray
    ) -> tuple[TimeArray, FloatArray]:
        """Return a signal from its first value on, and keep it."""
        first = self.before.signals.get(name, 0)
        had_ms, had = self._signals.get(name, (known_ms[:0], values[:0]))
        _check_place(name, first, len(had))
        joined = (
            np.concatenate([had_ms[:first], known_ms]), np.concatenate([had[:first], values])
        )  # fmt: skip
        self._signals[name] = joined
        return joined

    def join_texts(self, name: str, texts: Sequence[Text]) -> tuple[Text, ...]:
        """Return the texts of a series that have been sent, and keep them."""
        first = self.before.texts.get(name, 0)
        start, had = self._texts.get(name, (first, ()))
        _check_place(name, first, start + len(had))
        joined = (*had[: max(first - start, 0)], *texts)
        self._texts[name] = (start, joined)
        return joined


def _check_place(name: str, first: int, n_had: int) -> None:
    """Raise where a question leaves out what has never been sent.

    Raises:
        AgentError: it does.
    """
    if first > n_had:
        raise AgentError(
            f"a question must follow what was sent before, of {name} it leaves out {first} and "
            f"{n_had} have come: begin with a hello, and send all"
        )


def _extend(values: NDArray[Item], capacity: int) -> NDArray[Item]:
    """Return a copy that is ``capacity`` long; what follows the end is 0 and shown to nobody."""
    longer = np.zeros(capacity, dtype=values.dtype)
    longer[: len(values)] = values
    return longer
