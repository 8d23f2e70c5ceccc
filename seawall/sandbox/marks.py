"""The mark price of one perpetual: bars of its own, on a path in step with the market's prints.

Each bar of the mark belongs to the market's bar of the same number, and is cut into as many prints:
at the market's print ``n`` the mark stands at its own print ``n``. Prices in 1e-8 units.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from seawall.market.series import PRICE_FIELDS, Candles
from seawall.sandbox.decimals import ONE
from seawall.sandbox.klines import Kline, KlineTable, add_up, is_served
from seawall.sandbox.refusals import invalid_interval
from seawall.sandbox.tape import Tape

_TICK = 1  # a mark is not on the market's grid


class Marks:
    """The mark of one market, and where it stands."""

    def __init__(
        self, candles: Candles, *, seed: int, n_prints: int, where: Callable[[], int]
    ) -> None:
        """Walk ``candles``, a bar for each of the market's; ``where`` gives the print's number."""
        self.candles = candles
        self._seed, self._n_prints, self._where = seed, n_prints, where
        self._timeframe_ms = candles.key.timeframe_ms
        self._tables: dict[str, KlineTable] = {}
        self._tape = Tape(candles, seed=seed, n_prints=n_prints, tick=_TICK)

    @property
    def price(self) -> int:
        """The mark now."""
        return self.at(self._where())

    def at(self, number: int) -> int:
        """Return the mark at a print of the market."""
        bar, at = divmod(number, self._n_prints)
        return self._tape.bar(bar)[at].price

    def range_of(self, bar: int) -> tuple[float, float]:
        """Return the lowest and the highest mark of a bar, plain units."""
        return float(self.candles.low[bar]), float(self.candles.high[bar])

    def klines(self, interval: str) -> KlineTable:
        """Return the table of an interval.

        Raises:
            ApiError: it is not served.
        """
        table = self._tables.get(interval)
        if table is None:
            if not is_served(interval, self._timeframe_ms):
                raise invalid_interval()
            table = self._tables[interval] = KlineTable(self._tape, interval)
        return table

    def forming(self, interval: str) -> Kline:
        """Return the kline in progress."""
        bar, at = divmod(self._where(), self._n_prints)
        return self.klines(interval).forming(bar, add_up(self._tape.bar(bar)[: at + 1]))

    def gap(self, bar: int, factor: float) -> None:
        """Multiply all marks behind a bar: the market has jumped."""
        prices = {name: getattr(self.candles, name).copy() for name in PRICE_FIELDS}
        for values in prices.values():
            values[bar + 1 :] = np.maximum(np.rint(values[bar + 1 :] * factor * ONE), 1) / ONE
        self.candles = replace(self.candles, **prices)
        self._tape = Tape(self.candles, seed=self._seed, n_prints=self._n_prints, tick=_TICK)
        self._tables.clear()
