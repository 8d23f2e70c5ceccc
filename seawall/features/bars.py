"""What features are made from: the closed bars of one symbol, and the signals."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from seawall.market.series import FloatArray, TimeArray
from seawall.observation import Observation


class KnownValues(NamedTuple):
    """A signal: when each value was known, int64 ms, sorted, and the values; both of one length."""

    known_ms: TimeArray
    value: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Bars:
    """Closed bars of one symbol.

    Attributes:
        close_ms: int64, shape (n_bars,), when each bar closed: what is known later is not used.
        open, high, low, close: float64, shape (n_bars,), quote units per base unit.
        volume: float64, shape (n_bars,), base units.
        signals: by the name that the recipe gives them.
    """

    close_ms: TimeArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    signals: Mapping[str, KnownValues] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.close_ms)

    @classmethod
    def of(cls, observation: Observation, symbol: str, timeframe_ms: int) -> "Bars":
        """Return the closed bars of ``symbol`` that an observation shows, views of its memory.

        Raises:
            AgentError: there is no such symbol.
        """
        history = observation.history(symbol)
        n = len(history)  # where the agent decides at the open, one more open is known
        return cls(
            close_ms=history.time_ms[:n] + timeframe_ms,
            open=history.open[:n],
            high=history.high,
            low=history.low,
            close=history.close,
            volume=history.volume,
            signals={
                name: KnownValues(*observation.signal_history(name))
                for name in observation.signal_names
            },
        )

    def last(self, n: int) -> "Bars":
        """Return the newest ``n`` bars; the signals stay whole."""
        return self.between(max(len(self) - n, 0), len(self))

    def between(self, start: int, stop: int) -> "Bars":
        """Return the bars from place ``start`` to before ``stop``; the signals stay whole."""
        return replace(
            self,
            close_ms=self.close_ms[start:stop],
            open=self.open[start:stop],
            high=self.high[start:stop],
            low=self.low[start:stop],
            close=self.close[start:stop],
            volume=self.volume[start:stop],
        )
