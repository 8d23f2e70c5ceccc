"""What is known about a market: candles, funding rates and signals, as frozen arrays.

A candle is stamped with its OPEN time, as exchanges do; it is *visible* only from
``time_ms + timeframe_ms`` on. A signal carries the time from which it was known.
"""

from dataclasses import dataclass, fields, replace
from hashlib import sha256
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from seawall.errors import DataError
from seawall.units import to_duration_ms, to_time_text

Kind = Literal["candles", "mark", "funding", "signal"]
KINDS: tuple[Kind, ...] = ("candles", "mark", "funding", "signal")
PRICE_FIELDS = ("open", "high", "low", "close")
CANDLE_FIELDS = (*PRICE_FIELDS, "volume")

FloatArray = NDArray[np.float64]
TimeArray = NDArray[np.int64]


@dataclass(frozen=True, order=True)
class SeriesKey:
    """What identifies a series: ``candles/binance/ETH-USDT/5m``.

    ``timeframe`` is the length of the period that one row describes (``"5m"``); funding and signals
    have one too (``"8h"``, ``"1d"``): a value describes the period that STARTS at its timestamp.
    For a signal ``symbol`` is its name (``"fear_greed"``).
    """

    kind: Kind
    venue: str
    symbol: str
    timeframe: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.venue}/{self.symbol.replace('/', '-')}/{self.timeframe}"

    @property
    def timeframe_ms(self) -> int:
        """The length of one row's period in milliseconds."""
        return to_duration_ms(self.timeframe)


@dataclass(frozen=True, kw_only=True, eq=False)
class Candles:
    """Open-stamped candles of one symbol.

    Attributes:
        key: kind ``candles`` or ``mark`` (a mark series has volume nan).
        time_ms: int64, shape (n_bars,), open times, strictly increasing.
        open, high, low, close: float64, shape (n_bars,), quote units per base unit, > 0.
        volume: float64, shape (n_bars,), base units, >= 0.
        source: where the series comes from, in words.
        is_simulated: made by a model; whatever is made from it is labelled so.
    """

    key: SeriesKey
    time_ms: TimeArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    source: str = ""
    is_simulated: bool = False

    def __post_init__(self) -> None:
        _freeze(self)
        _check_times(self.key, self.time_ms)
        for name in PRICE_FIELDS:
            values = getattr(self, name)
            bad = ~(np.isfinite(values) & (values > 0))
            if bad.any():
                _raise_at(self, bad, f"{name} must be a finite price > 0")
        top = np.maximum(self.open, self.close)
        bottom = np.minimum(self.open, self.close)
        if (bad := (self.high < top) | (self.low > bottom)).any():
            _raise_at(self, bad, "low <= open, close <= high must hold")
        if self.key.kind == "candles" and (bad := ~(self.volume >= 0)).any():
            _raise_at(self, bad, "volume must be >= 0")

    def __len__(self) -> int:
        return len(self.time_ms)

    @property
    def close_ms(self) -> TimeArray:
        """When each candle becomes visible: int64, shape (n_bars,)."""
        return self.time_ms + self.key.timeframe_ms

    def between(self, since_ms: int | None, until_ms: int | None) -> "Candles":
        """Return the candles that open at or after ``since_ms`` and before ``until_ms``."""
        return _between(self, since_ms, until_ms)

    def sha256(self) -> str:
        """Return the hash of the content: key, times and values, nothing else."""
        return _hash(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class Signal:
    """Any named numeric series, funding rates among them; each value is seen from ``known_ms`` on.

    Attributes:
        key: kind ``signal`` or ``funding``; ``timeframe`` is the period that one value describes.
        time_ms: int64, shape (n,), start of the period described (funding: the settlement), sorted.
        known_ms: int64, shape (n,), when the value was published; >= time_ms.
        value: float64, shape (n,), finite.
    """

    key: SeriesKey
    time_ms: TimeArray
    known_ms: TimeArray
    value: FloatArray
    source: str = ""
    is_simulated: bool = False

    def __post_init__(self) -> None:
        _freeze(self)
        _check_times(self.key, self.time_ms)
        if (bad := self.known_ms < self.time_ms).any():
            _raise_at(self, bad, "a value cannot be known before the time it describes")
        if (bad := ~np.isfinite(self.value)).any():
            _raise_at(self, bad, "value must be finite")

    def __len__(self) -> int:
        return len(self.time_ms)

    def between(self, since_ms: int | None, until_ms: int | None) -> "Signal":
        """Return the values whose time is at or after ``since_ms`` and before ``until_ms``."""
        return _between(self, since_ms, until_ms)

    def sha256(self) -> str:
        """Return the hash of the content: key, times and values, nothing else."""
        return _hash(self)


Series = Candles | Signal
S = TypeVar("S", Candles, Signal)


def _arrays(series: Series) -> dict[str, NDArray[np.generic]]:
    found = {f.name: getattr(series, f.name) for f in fields(series)}
    return {name: value for name, value in found.items() if isinstance(value, np.ndarray)}


def _freeze(series: S) -> None:
    """Make every array contiguous, of its dtype, of one length and read-only."""
    for name, value in _arrays(series).items():
        dtype = np.int64 if name.endswith("_ms") else np.float64
        array = np.array(value, dtype=dtype)  # a copy: nobody else can change it
        if array.shape != series.time_ms.shape:
            raise DataError(
                f"all arrays of {series.key} must have one length: {name} has {array.shape}, "
                f"time_ms has {series.time_ms.shape}"
            )
        array.flags.writeable = False
        object.__setattr__(series, name, array)


def _check_times(key: SeriesKey, time_ms: TimeArray) -> None:
    bad = np.flatnonzero(np.diff(time_ms) <= 0)
    if bad.size:
        row = int(bad[0]) + 1
        raise DataError(
            f"timestamps of {key} must strictly increase: row {row} "
            f"({to_time_text(int(time_ms[row]))}) does not; `seawall data check` lists all of them"
        )


def _raise_at(series: Series, bad: NDArray[np.bool_], rule: str) -> None:
    rows = np.flatnonzero(bad)
    when = to_time_text(int(series.time_ms[rows[0]]))
    raise DataError(
        f"{rule}: {len(rows)} rows of {series.key} break it, the first is row {rows[0]} ({when}); "
        "`seawall data check` lists them"
    )


def _between(series: S, since_ms: int | None, until_ms: int | None) -> S:
    start = 0 if since_ms is None else int(np.searchsorted(series.time_ms, since_ms))
    stop = len(series) if until_ms is None else int(np.searchsorted(series.time_ms, until_ms))
    cut = {name: array[start:stop] for name, array in _arrays(series).items()}
    return replace(series, **cut)  # type: ignore[arg-type]  # each stands for the array of its name


def _hash(series: Series) -> str:
    digest = sha256(str(series.key).encode())
    for name, array in sorted(_arrays(series).items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
