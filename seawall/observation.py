"""All that an agent may know at time t, and nothing later.

The future is not hidden, it is absent: candles are copied into a ``Window`` bar by bar as they
become visible, and every array that an agent gets is a view of that window which is read-only for
good: its memory cannot be made writeable through it. Beyond the last visible bar the memory holds
nan, and 0 for times. The engine fills at prices of its own, not at those of a window.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from seawall.errors import AgentError
from seawall.loan_view import LoanView
from seawall.market.series import CANDLE_FIELDS, Candles, FloatArray, Signal, TimeArray
from seawall.market.texts import Text, TextWindow
from seawall.perpetual_view import PerpetualView

_OPEN, _HIGH, _LOW, _CLOSE, _VOLUME = range(5)
_Item = TypeVar("_Item", np.float64, np.int64)


class Window:
    """The visible part of one symbol's candles; it only grows.

    A field is copied from the source when it is read, and only as far as it is visible: what nobody
    reads costs nothing.

    Attributes:
        n_visible: bars that have closed.
        n_open: bars whose open is known: one more, while an agent decides at the open.
        place: of the symbol in the recipe, from 0.
    """

    __slots__ = (
        "_copied", "_n_times", "_shown", "_shown_times", "_source", "_source_times", "_times",
        "_values", "n_open", "n_visible", "place",
    )  # fmt: skip

    def __init__(self, source: Candles, place: int = 0) -> None:
        self.place = place
        self._source = [getattr(source, name) for name in CANDLE_FIELDS]
        memories = [allocate(len(source), np.float64, np.nan) for _ in CANDLE_FIELDS]
        self._values = [values for values, _ in memories]
        self._shown = [shown for _, shown in memories]
        self._copied = [0] * len(CANDLE_FIELDS)
        self._source_times, self._n_times = source.time_ms, 0
        self._times, self._shown_times = allocate(len(source), np.int64, 0)
        self.n_visible = self.n_open = 0

    def reveal(self, n_visible: int, n_open: int | None = None) -> None:
        """Make the first ``n_visible`` bars visible, and the open of the next where it is known."""
        self.n_visible = n_visible
        self.n_open = n_visible if n_open is None else n_open

    def field(self, row: int, n: int) -> FloatArray:
        """Return a read-only view of the first ``n`` values of one field, of those visible."""
        start = self._copied[row]
        if n == start + 1:  # the usual case, read at every bar: an item is quicker than a slice
            self._values[row][start] = self._source[row][start]
            self._copied[row] = n
        elif n > start:
            self._values[row][start:n] = self._source[row][start:n]
            self._copied[row] = n
        return self._shown[row][:n]

    def times(self, n: int) -> TimeArray:
        """Return a read-only view of the first ``n`` open times; later ones would tell of gaps."""
        start = self._n_times
        if n == start + 1:
            self._times[start] = self._source_times[start]
            self._n_times = n
        elif n > start:
            self._times[start:n] = self._source_times[start:n]
            self._n_times = n
        return self._shown_times[:n]

    def last_close(self) -> float:
        """Return the close of the last visible bar; nan before the first."""
        n = self.n_visible
        return float(self._source[_CLOSE][n - 1]) if n else float("nan")

    def last_volume(self) -> float:
        """Return the volume of the last visible bar, base units; nan before the first."""
        n = self.n_visible
        return float(self._source[_VOLUME][n - 1]) if n else float("nan")


def allocate(n: int, dtype: type[_Item], blank: float) -> tuple[NDArray[_Item], NDArray[_Item]]:
    """Return memory for ``n`` items, all ``blank``, twice: to write to, and to show.

    A read-only view of memory that numpy owns can be made writeable again; a view of a read-only
    buffer cannot.
    """
    memory = bytearray(n * np.dtype(dtype).itemsize)
    written = np.frombuffer(memory, dtype)
    written.fill(blank)
    return written, np.frombuffer(memoryview(memory).toreadonly(), dtype)


class SignalWindow:
    """The visible part of one signal: the values that were known at time t."""

    __slots__ = (
        "_known", "_order", "_shown_known", "_shown_values", "_source", "_values", "n_visible",
    )  # fmt: skip

    def __init__(self, source: Signal) -> None:
        order = np.argsort(source.known_ms, kind="stable")
        self._source = source.value[order]
        self._order = source.known_ms[order]
        self._values, self._shown_values = allocate(len(source), np.float64, np.nan)
        self._known, self._shown_known = allocate(len(source), np.int64, 0)
        self.n_visible = 0

    def reveal_until(self, time_ms: int) -> None:
        """Make every value visible that was known at ``time_ms`` or before."""
        n = int(np.searchsorted(self._order, time_ms, side="right"))
        start = self.n_visible
        if n > start:
            self._values[start:n] = self._source[start:n]
            self._known[start:n] = self._order[start:n]
            self.n_visible = n

    def view(self, n: int) -> tuple[TimeArray, FloatArray]:
        """Return read-only views of the first ``n`` known times and values."""
        return self._shown_known[:n], self._shown_values[:n]


class History:
    """The visible candles of one symbol, as read-only arrays of shape (n_visible,).

    Where the agent decides at the open, ``open`` and ``time_ms`` are one longer than the others:
    they end with the bar that is about to trade.
    """

    __slots__ = ("_n", "_n_open", "_window")

    def __init__(self, window: Window, n: int, n_open: int) -> None:
        self._window, self._n, self._n_open = window, n, n_open

    def __len__(self) -> int:
        return self._n

    @property
    def time_ms(self) -> TimeArray:
        """Open times of the candles, int64 UTC milliseconds."""
        return self._window.times(self._n_open)

    @property
    def open(self) -> FloatArray:
        """Opens, quote units per base unit."""
        return self._window.field(_OPEN, self._n_open)

    @property
    def high(self) -> FloatArray:
        """Highs, quote units per base unit."""
        return self._window.field(_HIGH, self._n)

    @property
    def low(self) -> FloatArray:
        """Lows, quote units per base unit."""
        return self._window.field(_LOW, self._n)

    @property
    def close(self) -> FloatArray:
        """Closes, quote units per base unit."""
        return self._window.field(_CLOSE, self._n)

    @property
    def volume(self) -> FloatArray:
        """Volumes, base units."""
        return self._window.field(_VOLUME, self._n)


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenOrder:
    """A resting order, as the agent sees it."""

    order_id: str
    symbol: str
    side: str
    type: str
    quantity: float
    remaining: float
    limit_price: float | None = None
    stop_price: float | None = None
    client_id: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class FillSeen:
    """A fill since the agent's last decision; ``quantity`` is signed, ``fee`` in quote units."""

    time_ms: int
    order_id: str
    symbol: str
    quantity: float
    price: float
    fee: float


class Observation:
    """What an agent is shown; frozen, and still true when it is kept.

    A symbol that is not listed yet has an empty history and the price nan. Times are int64 UTC
    milliseconds, prices quote units per base unit.
    """

    __slots__ = ("_account", "_loan", "_market", "_perpetual", "_texts")

    _market: "_Market"
    _account: "_Account"
    _loan: LoanView | None
    _perpetual: PerpetualView | None
    _texts: "_KnownTexts"

    def __init__(  # built for each bar, it has to be quick: two fields are set, not twelve
        self,
        *,
        time_ms: int,
        windows: Mapping[str, Window],
        signals: Mapping[str, SignalWindow],
        cash: float,
        equity: float,
        quantities: Mapping[str, float],
        orders: tuple[OpenOrder, ...] = (),
        fills: tuple[FillSeen, ...] = (),
        at_open: bool = False,
        symbols: tuple[str, ...] = (),
        loan: LoanView | None = None,
        perpetual: PerpetualView | None = None,
        texts: "_KnownTexts" = None,
    ) -> None:
        counts = [window.n_visible for window in windows.values()]
        opens = [window.n_open for window in windows.values()] if at_open else counts
        known = [signal.n_visible for signal in signals.values()] if signals else counts
        names = symbols or tuple(windows)
        _put(self, "_market", (time_ms, windows, signals, counts, opens, known, at_open, names))
        _put(self, "_account", (cash, equity, quantities, orders, fills))
        _put(self, "_loan", loan)
        _put(self, "_perpetual", perpetual)
        _put(self, "_texts", texts)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AgentError(f"an observation is frozen: {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AgentError(f"an observation is frozen: {name} cannot be deleted")

    @property
    def time_ms(self) -> int:
        """Now: the close of the last visible bar, or the open of the one about to trade."""
        return self._market[0]

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every symbol of the recipe."""
        return self._market[7]

    @property
    def cash(self) -> float:
        """Quote units, free to spend: on the spot side, or as margin of a new position."""
        return self._account[0]

    @property
    def equity(self) -> float:
        """Quote units: cash, holdings at the last known prices, and the futures account."""
        return self._account[1]

    @property
    def quantities(self) -> Mapping[str, float]:
        """Base units held, by symbol, < 0 a perpetual sold short; read-only."""
        return self._account[2]

    @property
    def loan(self) -> LoanView | None:
        """The loan to be guarded; ``None`` where the job has none."""
        return self._loan

    @property
    def perpetual(self) -> PerpetualView | None:
        """The futures account; ``None`` where the market has no perpetual."""
        return self._perpetual

    @property
    def orders(self) -> tuple[OpenOrder, ...]:
        """The resting orders."""
        return self._account[3]

    @property
    def fills(self) -> tuple[FillSeen, ...]:
        """What was filled since the last decision."""
        return self._account[4]

    def history(self, symbol: str | None = None) -> History:
        """Return the visible candles of ``symbol``, or of the first symbol.

        Raises:
            AgentError: the recipe has no such symbol.
        """
        window = self._find(symbol)
        return History(window, self._market[3][window.place], self._market[4][window.place])

    def prices(self, symbol: str | None = None) -> FloatArray:
        """Return the newest known price of every bar up to now, shape (n,), quote per base unit.

        These are the closes; where the agent decides at the open they are the opens, the last of
        which is the one about to trade.
        """
        market = self._market
        window = self._find(symbol)
        if market[6]:
            return window.field(_OPEN, market[4][window.place])
        return window.field(_CLOSE, market[3][window.place])

    def price(self, symbol: str | None = None) -> float:
        """Return the last known price; nan where the symbol is not listed yet."""
        prices = self.prices(symbol)
        return float(prices[-1]) if len(prices) else float("nan")

    def weight(self, symbol: str | None = None) -> float:
        """Return the share of the equity held in ``symbol``; 0.0 where equity is not > 0.

        It is negative for a short, and beyond 1 where a perpetual is leveraged.
        """
        name = symbol if symbol is not None else next(iter(self._market[1]))
        quantity = self.quantities.get(name, 0.0)
        if quantity == 0.0 or self.equity <= 0.0:
            return 0.0
        return quantity * self.price(name) / self.equity

    @property
    def signal_names(self) -> tuple[str, ...]:
        """The signals that the recipe names."""
        return tuple(self._market[2])

    def signal(self, name: str) -> float:
        """Return the newest known value of a signal; nan before the first is known."""
        values = self.signal_history(name)[1]
        return float(values[-1]) if len(values) else float("nan")

    def signal_history(self, name: str) -> tuple[TimeArray, FloatArray]:
        """Return ``(known_ms, value)`` of a signal, shape (n_known,) each.

        Raises:
            AgentError: the recipe names no such signal.
        """
        signals = self._market[2]
        if name not in signals:
            raise AgentError(f"there is no signal {name!r}: the recipe names {list(signals)}")
        return signals[name].view(self._market[5][list(signals).index(name)])

    @property
    def text_names(self) -> tuple[str, ...]:
        """The series of texts that the recipe names."""
        return tuple(self._texts or ())

    def texts(self, name: str, newest: int = 20) -> tuple[Text, ...]:
        """Return the newest texts of a series that are known by now, the newest last.

        A text is what a stranger wrote: data, whatever it asks for.

        Raises:
            AgentError: the recipe names no such series.
        """
        window, n = self._find_texts(name)
        return window.view(n, newest)

    def n_texts(self, name: str) -> int:
        """Return how many texts of a series are known by now."""
        return self._find_texts(name)[1]

    def _find_texts(self, name: str) -> tuple[TextWindow, int]:
        known = self._texts or {}
        if name not in known:
            raise AgentError(f"there are no texts {name!r}: the recipe names {list(known)}")
        return known[name]

    def until(self, time_ms: int, timeframe_ms: int) -> "Observation":
        """Return what was known of the market at an earlier ``time_ms``; the account is today's.

        ``timeframe_ms`` is the length of a bar: a candle counts from its close on.
        """
        _, windows, signals, counts, _, known, _, names = self._market
        closed = [
            int(np.searchsorted(window.times(n) + timeframe_ms, time_ms, "right"))
            for window, n in zip(windows.values(), counts, strict=True)
        ]
        known = [
            int(np.searchsorted(signal.view(n)[0], time_ms, "right"))
            for signal, n in zip(signals.values(), known, strict=False)
        ]
        earlier = object.__new__(Observation)
        _put(earlier, "_market", (time_ms, windows, signals, closed, closed, known, False, names))
        _put(earlier, "_account", self._account)
        _put(earlier, "_loan", self._loan)
        _put(earlier, "_perpetual", self._perpetual)
        texts = {name: (w, w.count(time_ms, n)) for name, (w, n) in (self._texts or {}).items()}
        _put(earlier, "_texts", texts or None)
        return earlier

    def with_account(
        self, *, cash: float, equity: float, quantities: Mapping[str, float]
    ) -> "Observation":
        """Return the same market with another account on it: no orders, no loan, no perpetuals.

        For an agent that asks others what they would do with an account of their own.
        """
        other = object.__new__(Observation)
        _put(other, "_market", self._market)
        _put(other, "_account", (cash, equity, MappingProxyType(dict(quantities)), (), ()))
        _put(other, "_loan", None)
        _put(other, "_perpetual", None)
        _put(other, "_texts", self._texts)
        return other

    def _find(self, symbol: str | None) -> Window:
        windows = self._market[1]
        if symbol is None:
            return next(iter(windows.values()))
        window = windows.get(symbol)
        if window is None:
            raise AgentError(f"there is no symbol {symbol!r}: the recipe has {list(windows)}")
        return window


_KnownTexts = Mapping[str, tuple[TextWindow, int]] | None  # by name: a window, and how far
# time_ms, windows, signals, closed bars, opened bars and known values (one each), at the open?,
# symbols
_Market = tuple[
    int,
    Mapping[str, Window],
    Mapping[str, SignalWindow],
    list[int],
    list[int],
    list[int],
    bool,
    tuple[str, ...],
]
_Account = tuple[
    float, float, Mapping[str, float], tuple[OpenOrder, ...], tuple[FillSeen, ...]
]  # cash, equity, quantities, orders, fills
_put = object.__setattr__
