"""All that an agent may know at time t, and nothing later.

The future is not hidden, it is absent: candles are copied into a ``Window`` bar by bar as they
become visible, and every array that an agent gets is a read-only view of that window. Beyond the
last visible bar the memory holds nan. The engine never reads from a window, so nobody can bend a
result by writing to one.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from seawall.errors import AgentError
from seawall.market.series import CANDLE_FIELDS, Candles, FloatArray, Signal, TimeArray

_OPEN, _HIGH, _LOW, _CLOSE, _VOLUME = range(5)


class Window:
    """The visible part of one symbol's candles; it only grows.

    In a backtest ``source`` is the whole series and ``reveal`` copies from it; a live feed appends.
    """

    __slots__ = ("_source", "_times", "_times_source", "_values", "n_open", "n_visible")

    def __init__(self, source: Candles) -> None:
        self._source = np.array([getattr(source, name) for name in CANDLE_FIELDS])
        self._times_source = source.time_ms
        self._values = np.full_like(self._source, np.nan)
        self._times = np.zeros_like(source.time_ms)
        self.n_visible = 0
        self.n_open = 0

    def reveal(self, n_visible: int) -> None:
        """Make the first ``n_visible`` bars visible, whole."""
        start = self.n_visible
        if n_visible > start:
            self._values[:, start:n_visible] = self._source[:, start:n_visible]
            self._times[start:n_visible] = self._times_source[start:n_visible]
            self.n_visible = self.n_open = n_visible

    def reveal_open(self) -> None:
        """Make the open of the next bar visible, for an agent that decides at the open."""
        n = self.n_visible
        self._values[_OPEN, n] = self._source[_OPEN, n]
        self._times[n] = self._times_source[n]
        self.n_open = n + 1

    def last_close(self) -> float:
        """Return the close of the last visible bar; nan before the first."""
        return float(self._values[_CLOSE, self.n_visible - 1]) if self.n_visible else float("nan")

    def field(self, row: int, n: int) -> FloatArray:
        """Return a read-only view of the first ``n`` values of one field."""
        view = self._values[row, :n]
        view.flags.writeable = False
        return view

    def times(self, n: int) -> TimeArray:
        """Return a read-only view of the first ``n`` open times."""
        view = self._times[:n]
        view.flags.writeable = False
        return view


class SignalWindow:
    """The visible part of one signal: the values that were known at time t."""

    __slots__ = ("_known", "_order", "_source", "_values", "n_visible")

    def __init__(self, source: Signal) -> None:
        order = np.argsort(source.known_ms, kind="stable")
        self._source = source.value[order]
        self._order = source.known_ms[order]
        self._values = np.full_like(self._source, np.nan)
        self._known = np.zeros_like(self._order)
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
        known, values = self._known[:n], self._values[:n]
        known.flags.writeable = values.flags.writeable = False
        return known, values


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

    Attributes:
        time_ms: now, int64 UTC milliseconds: the close of the last visible bar, or the open of the
            bar that is about to trade where the agent decides at the open.
        symbols: every symbol of the recipe; one that is not listed yet has an empty history.
        cash: quote units, free to spend.
        equity: quote units, cash and holdings at the last known prices.
        quantities: base units held, by symbol.
        orders: the resting orders.
        fills: what was filled since the last decision.
    """

    __slots__ = (
        "_at_open", "_counts", "_open_counts", "_signal_counts", "_signals", "_windows",
        "cash", "equity", "fills", "orders", "quantities", "symbols", "time_ms",
    )  # fmt: skip

    _windows: Mapping[str, Window]
    _signals: Mapping[str, SignalWindow]
    _counts: tuple[int, ...]
    _open_counts: tuple[int, ...]
    _signal_counts: tuple[int, ...]
    _at_open: bool
    time_ms: int
    symbols: tuple[str, ...]
    cash: float
    equity: float
    quantities: Mapping[str, float]
    orders: tuple[OpenOrder, ...]
    fills: tuple[FillSeen, ...]

    def __init__(  # every field is set once; the class is built for each bar and has to be quick
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
    ) -> None:
        put = object.__setattr__
        put(self, "time_ms", time_ms)
        put(self, "symbols", tuple(windows))
        put(self, "cash", cash)
        put(self, "equity", equity)
        put(self, "quantities", quantities)
        put(self, "orders", orders)
        put(self, "fills", fills)
        put(self, "_windows", windows)
        put(self, "_signals", signals)
        counts = tuple([window.n_visible for window in windows.values()])
        put(self, "_counts", counts)
        put(
            self, "_open_counts", tuple([w.n_open for w in windows.values()]) if at_open else counts
        )
        put(
            self,
            "_signal_counts",
            tuple([s.n_visible for s in signals.values()]) if signals else (),
        )
        put(self, "_at_open", at_open)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AgentError(f"an observation is frozen: {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AgentError(f"an observation is frozen: {name} cannot be deleted")

    def history(self, symbol: str | None = None) -> History:
        """Return the visible candles of ``symbol``, or of the first symbol.

        Raises:
            AgentError: the recipe has no such symbol.
        """
        place = self._place(symbol)
        return History(
            self._windows[self.symbols[place]], self._counts[place], self._open_counts[place]
        )

    def prices(self, symbol: str | None = None) -> FloatArray:
        """Return the newest known price of every bar up to now, shape (n,), quote per base unit.

        These are the closes; where the agent decides at the open they are the opens, the last of
        which is the one about to trade.
        """
        place = self._place(symbol)
        window = self._windows[self.symbols[place]]
        if self._at_open:
            return window.field(_OPEN, self._open_counts[place])
        return window.field(_CLOSE, self._counts[place])

    def price(self, symbol: str | None = None) -> float:
        """Return the last known price; nan where the symbol is not listed yet."""
        prices = self.prices(symbol)
        return float(prices[-1]) if len(prices) else float("nan")

    def weight(self, symbol: str | None = None) -> float:
        """Return the share of the equity held in ``symbol``; 0.0 where equity is not > 0."""
        name = self.symbols[self._place(symbol)]
        quantity = self.quantities.get(name, 0.0)
        if quantity == 0.0 or self.equity <= 0.0:
            return 0.0
        return quantity * self.price(name) / self.equity

    @property
    def signal_names(self) -> tuple[str, ...]:
        """The signals that the recipe names."""
        return tuple(self._signals)

    def signal(self, name: str) -> float:
        """Return the newest known value of a signal; nan before the first is known."""
        values = self.signal_history(name)[1]
        return float(values[-1]) if len(values) else float("nan")

    def signal_history(self, name: str) -> tuple[TimeArray, FloatArray]:
        """Return ``(known_ms, value)`` of a signal, shape (n_known,) each.

        Raises:
            AgentError: the recipe names no such signal.
        """
        if name not in self._signals:
            raise AgentError(f"there is no signal {name!r}: the recipe names {list(self._signals)}")
        place = tuple(self._signals).index(name)
        return self._signals[name].view(self._signal_counts[place])

    def until(self, time_ms: int, timeframe_ms: int) -> "Observation":
        """Return what was known of the market at an earlier ``time_ms``; the account is today's.

        ``timeframe_ms`` is the length of a bar: a candle counts from its close on.
        """
        earlier = copy(self)
        windows = list(zip(self._windows.values(), self._counts, strict=True))
        counts = [
            int(np.searchsorted(w.times(n) + timeframe_ms, time_ms, "right")) for w, n in windows
        ]
        signals = list(zip(self._signals.values(), self._signal_counts, strict=True))
        known = [int(np.searchsorted(s.view(n)[0], time_ms, "right")) for s, n in signals]
        put = object.__setattr__
        put(earlier, "time_ms", time_ms)
        put(earlier, "_counts", tuple(counts))
        put(earlier, "_open_counts", tuple(counts))
        put(earlier, "_signal_counts", tuple(known))
        return earlier

    def __copy__(self) -> "Observation":
        fresh = object.__new__(Observation)
        for name in Observation.__slots__:
            object.__setattr__(fresh, name, getattr(self, name))
        return fresh

    def _place(self, symbol: str | None) -> int:
        if symbol is None:
            return 0
        if symbol not in self._windows:
            raise AgentError(f"there is no symbol {symbol!r}: the recipe has {list(self.symbols)}")
        return self.symbols.index(symbol)
