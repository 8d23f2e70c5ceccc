"""What a perpetual has beside its candles: a mark, funding at its stamps, and dated brackets.

Times are the exchange's once ``shifted``. What a source does not have is stood in for and said so:
``labels``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from seawall.market.brackets import VENUE, Brackets, find_shipped
from seawall.market.funding import BASE_INTERVAL_MS, INTEREST_RATE, find_stamps
from seawall.market.mark import build_mark
from seawall.market.series import PRICE_FIELDS, Candles, FloatArray, Signal, TimeArray

STANDS_IN = "ETH/USDT:USDT"  # whose brackets a contract has that has none of its own


@dataclass(frozen=True, kw_only=True, eq=False)
class Contract:
    """The terms of one perpetual.

    Attributes:
        mark: a bar for each of the market's, at the same times; volumes are 0.
        stamps_ms, rates: int64 and float64, shape (n,): when funding is settled, and at what
            fraction of the notional, > 0 paid by longs.
        interval_ms: between two stamps.
        brackets: the oldest first; the first is in force from the beginning.
        labels: what stands in for something else.
    """

    mark: Candles
    stamps_ms: TimeArray
    rates: FloatArray
    interval_ms: int
    brackets: tuple[Brackets, ...]
    labels: tuple[str, ...] = ()

    def brackets_at(self, time_ms: int) -> Brackets:
        """Return the table in force at a time."""
        seen = [one for one in self.brackets if one.seen_ms <= time_ms]
        return seen[-1] if seen else self.brackets[0]

    def brackets_end_ms(self, time_ms: int) -> float:
        """Return when the table in force at a time is followed by another, inf where by none."""
        return min((one.seen_ms for one in self.brackets[1:] if one.seen_ms > time_ms),
                   default=np.inf)  # fmt: skip

    def n_settled(self, time_ms: int) -> int:
        """Return how many stamps lie at or before a time."""
        return int(np.searchsorted(self.stamps_ms, time_ms, "right"))

    def last_rate(self, time_ms: int) -> float:
        """Return the rate of the last stamp, the interest rate before the first."""
        n = self.n_settled(time_ms)
        return float(self.rates[n - 1]) if n else INTEREST_RATE

    def next_stamp_ms(self, time_ms: int) -> int:
        """Return when funding is settled next."""
        return (time_ms // self.interval_ms + 1) * self.interval_ms

    def shifted(self, shift_ms: int) -> "Contract":
        """Return it with every time moved."""
        return replace(
            self,
            mark=replace(self.mark, time_ms=self.mark.time_ms + shift_ms),
            stamps_ms=self.stamps_ms + shift_ms,
            brackets=tuple(replace(one, seen_ms=one.seen_ms + shift_ms) for one in self.brackets),
        )


def make_contract(
    candles: Candles,
    *,
    mark: Candles | None = None,
    spot: Candles | None = None,
    funding: Signal | None = None,
    brackets: Sequence[Brackets] = (),
) -> Contract:
    """Return the terms of the perpetual whose candles are given.

    Args:
        candles: of the perpetual.
        mark: of the same timeframe; bars that it lacks are built from candles.
        spot: of the same asset and timeframe, for bars of the mark that are built.
        funding: rates at their stamps; None: no funding.
        brackets: dated; none: those of Binance's contract of that name, or of ETH.

    Raises:
        DataError: spot has another timeframe.
    """
    symbol, labels = candles.key.symbol, []
    if mark is None:
        labels.append(f"the mark of {symbol} is built from candles")
    tables = tuple(brackets) or find_shipped(VENUE, symbol)
    if not tables:
        tables = find_shipped(VENUE, STANDS_IN)
        labels.append(f"{symbol} has the leverage brackets of {STANDS_IN}")
    interval_ms = BASE_INTERVAL_MS if funding is None else funding.key.timeframe_ms
    stamps_ms, rates = _read_funding(candles, funding, interval_ms)
    if funding is None:
        labels.append(f"{symbol} has no funding")
    return Contract(
        mark=_align(build_mark(candles, spot), mark),
        stamps_ms=stamps_ms,
        rates=rates,
        interval_ms=interval_ms,
        brackets=tables,
        labels=tuple(labels),
    )


def _read_funding(
    candles: Candles, funding: Signal | None, interval_ms: int
) -> tuple[TimeArray, FloatArray]:
    """Return stamps on the clock's grid and their rates; a stamp without a rate is none."""
    if funding is not None:
        # Settlements may be stamped some milliseconds late.
        return funding.time_ms // 60_000 * 60_000, funding.value
    stamps = find_stamps(int(candles.time_ms[0]), int(candles.close_ms[-1]), interval_ms)
    return stamps, np.zeros(len(stamps))


def _align(built: Candles, series: Candles | None) -> Candles:
    """Return the built mark with the bars of a series in its stead where there are some."""
    prices = {name: getattr(built, name).copy() for name in PRICE_FIELDS}
    if series is not None and series.key.timeframe == built.key.timeframe:
        _, at, found = np.intersect1d(
            built.time_ms, series.time_ms, assume_unique=True, return_indices=True
        )
        for name, values in prices.items():
            values[at] = getattr(series, name)[found]
    return replace(built, volume=np.zeros(len(built)), **prices)
