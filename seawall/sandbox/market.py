"""A market: its terms, its history, and where in the history the exchange's time stands.

Times are the exchange's (history already shifted), prices and quantities 1e-8 units.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from math import inf
from typing import Literal

import numpy as np

from seawall.errors import DataError, RecipeError
from seawall.market.series import PRICE_FIELDS, Candles
from seawall.sandbox.contract import Contract, make_contract
from seawall.sandbox.decimals import ONE
from seawall.sandbox.klines import INTERVALS, Kline, KlineTable, add_up, is_served
from seawall.sandbox.marks import Marks
from seawall.sandbox.refusals import invalid_interval
from seawall.sandbox.tape import Print, Tape
from seawall.units import DAY_MS, split_symbol, to_time_text

Product = Literal["spot", "linear"]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """A market's order grid and limits, in 1e-8 units of quote (prices, notional) or base.

    Attributes:
        tick: step of prices; ``lot``: step of quantities, and the least quantity.
        max_price: highest price; ``max_quantity``: largest order.
        min_notional, max_notional: value of one order.
        max_orders: open orders of one account; ``max_stops``: those that wait for a trigger.
        price_band: a bid may be this many times the last price, and an ask its inverse.
    """

    tick: int
    lot: int
    max_price: int = 1_000_000 * ONE
    max_quantity: int = 9_000 * ONE
    min_notional: int = 5 * ONE
    max_notional: int = 9_000_000 * ONE
    max_orders: int = 200
    max_stops: int = 5
    price_band: int = 5


@dataclass(frozen=True, kw_only=True)
class Liquidity:
    """How the order book is made around the path.

    Attributes:
        spread_bps: distance of best bid and ask, at least one tick on each side of the price.
        step_bps: distance of one level to the next, at least a tick.
        n_levels: of each side.
        level_notional: average value of a level, quote units; drawn between half and one and a
            half of it.
        participation: the share of a print's volume that resting orders may get.
        n_prints: trades into which a bar is cut.
    """

    spread_bps: float = 1.0
    step_bps: float = 0.5
    n_levels: int = 50
    level_notional: float = 50_000.0
    participation: float = 0.25
    n_prints: int = 12


class Market:
    """One listed market, and the print at which it stands."""

    def __init__(
        self,
        candles: Candles,
        terms: Terms,
        *,
        liquidity: Liquidity,
        seed: int,
        start_ms: int,
        contract: Contract | None = None,
    ) -> None:
        """List ``candles``, whose times are the exchange's; trading stands at ``start_ms``.

        ``contract``: of a perpetual; None: its mark is built, and there is no funding.

        Raises:
            DataError: no bar has opened by then.
        """
        self.symbol = candles.key.symbol
        self.product: Product = "linear" if ":" in self.symbol else "spot"
        self.base, self.quote = split_symbol(self.symbol)
        self.code = self.base + self.quote
        self.candles, self.terms, self.liquidity = candles, terms, liquidity
        self._seed = seed
        self.tape = self._make_tape(seed)
        self.timeframe_ms = candles.key.timeframe_ms
        self._times: list[int] = candles.time_ms.tolist()
        self._tables: dict[str, KlineTable] = {}
        if not self._times or self._times[0] > start_ms:
            raise DataError(
                f"a market must have a bar when the exchange opens, {candles.key} has none before "
                f"{to_time_text(start_ms)}: start later, or take a longer history"
            )
        self._prints: list[Print] = []
        self.jump(start_ms)
        self._summed = self.last.number, add_up(self._prints[: self._at + 1])
        self.contract: Contract | None = None
        self.marks: Marks | None = None
        if self.product == "linear":
            self.contract = contract or make_contract(candles)
            self.marks = Marks(
                self.contract.mark,
                seed=seed,
                n_prints=liquidity.n_prints,
                where=lambda: self.last.number,
            )

    @property
    def price(self) -> int:
        """The last price."""
        return self.last.price

    @property
    def mark_price(self) -> int:
        """The mark of a perpetual, the last price of spot."""
        return self.last.price if self.marks is None else self.marks.price

    @property
    def is_over(self) -> bool:
        """Whether its history has ended."""
        return self.next_ms == inf

    @property
    def close_ms(self) -> int:
        """When the bar in progress ends."""
        return self._times[self.bar] + self.timeframe_ms

    def jump(self, now_ms: int) -> None:
        """Go to the last print at or before ``now_ms``, whatever lies between."""
        self.bar = int(np.searchsorted(self.candles.time_ms, now_ms, "right")) - 1
        since_open = now_ms - self._times[self.bar]
        self._at = min(since_open // self.tape.step_ms, self.tape.n_prints - 1)
        self.is_closed = since_open >= self.timeframe_ms
        self._prints = self.tape.bar(self.bar)
        self.last = self._prints[self._at]
        self._find_next()

    def step(self) -> Print | None:
        """Go to the next print and return it, or to the bar's end, which is None."""
        if self._at + 1 < self.tape.n_prints:
            self._at += 1
        elif not self.is_closed:
            self.is_closed = True
            self._find_next()
            return None
        else:
            self.bar, self._at, self.is_closed = self.bar + 1, 0, False
            self._prints = self.tape.bar(self.bar)
        self.last = self._prints[self._at]
        self._find_next()
        return self.last

    def bars_ahead(self, now_ms: int) -> Iterator[tuple[int, int, int]]:
        """Yield ``(low, high, number)`` of what is left of this bar and of those over by then."""
        left = [one.price for one in self._prints[self._at + 1 :]]
        bar = self.bar
        if left:
            yield min(left), max(left), bar
        while bar + 1 < len(self._times) and self._times[bar + 1] + self.timeframe_ms <= now_ms:
            bar += 1
            low, high = float(self.candles.low[bar]), float(self.candles.high[bar])
            yield round(low * ONE), round(high * ONE), bar

    def skip_to_end_of(self, bar: int) -> None:
        """Go to the last print of a bar without looking at what lies between."""
        self.jump(self._times[bar] + self.timeframe_ms - 1)

    def gap(self, factor: float) -> None:
        """Multiply all prices from the next bar on: the market opens there with a jump.

        Raises:
            RecipeError: the factor is not above 0.
        """
        if not 0.0 < factor < inf:
            raise RecipeError(f"a price jumps by a factor > 0, is {factor}: 0.9 is a fall by 10 %")
        prices = {name: getattr(self.candles, name).copy() for name in PRICE_FIELDS}
        for values in prices.values():
            units = np.rint(values[self.bar + 1 :] * factor * ONE / self.terms.tick)
            values[self.bar + 1 :] = np.maximum(units, 1) * self.terms.tick / ONE
        self.candles = replace(self.candles, **prices)
        self.tape = self._make_tape(self._seed)
        self._tables.clear()
        if self.marks is not None:
            self.marks.gap(self.bar, factor)

    def supply(self, changed: Mapping[str, float]) -> None:
        """Change how the book is made from now on; the prints per bar stay.

        Raises:
            RecipeError: there is no such number.
        """
        known = {one.name for one in fields(Liquidity)} - {"n_prints"}
        for name in changed:
            if name not in known:
                raise RecipeError(f"liquidity has {', '.join(sorted(known))}, not {name!r}")
        numbers: dict[str, float | int] = dict(changed)
        if "n_levels" in numbers:
            numbers["n_levels"] = int(numbers["n_levels"])
        self.liquidity = replace(self.liquidity, **numbers)  # type: ignore[arg-type]  # by name

    def intervals(self) -> list[str]:
        """Return the kline intervals that are served."""
        return [text for text in INTERVALS if is_served(text, self.timeframe_ms)]

    def klines(self, interval: str) -> KlineTable:
        """Return the table of an interval.

        Raises:
            ApiError: it is not served.
        """
        table = self._tables.get(interval)
        if table is None:
            if not is_served(interval, self.timeframe_ms):
                raise invalid_interval()
            table = self._tables[interval] = KlineTable(self.tape, interval)
        return table

    def forming(self, interval: str) -> Kline:
        """Return the kline in progress."""
        return self.klines(interval).forming(self.bar, self._so_far())

    def _so_far(self) -> Kline:
        """Return what the bar in progress adds up to; made once for each print."""
        if self._summed[0] != self.last.number:
            self._summed = self.last.number, add_up(self._prints[: self._at + 1])
        return self._summed[1]

    def prints_of(self, bar: int) -> list[Print]:
        """Return the prints of a bar that have happened."""
        if bar == self.bar:
            return self._prints[: self._at + 1]
        return self.tape.bar(bar) if 0 <= bar < self.bar else []

    def bar_at(self, time_ms: int) -> int:
        """Return the bar that is the last to open at or before a time, -1 where none has."""
        return int(np.searchsorted(self.candles.time_ms[: self.bar + 1], time_ms, "right")) - 1

    def day(self, span_ms: int = DAY_MS) -> Kline:
        """Return the last 24 hours, or another span, up to the last print, as one kline."""
        since_ms = self.last.time_ms - span_ms + 1
        first = int(np.searchsorted(self.candles.time_ms, since_ms))
        today = self.klines_of_own().forming(self.bar, self._so_far())
        if first >= self.bar:
            return today._replace(open_ms=since_ms - 1, close_ms=self.last.time_ms)
        span = slice(first, self.bar)
        flows = self.tape.flows(first, self.bar)
        return Kline(
            open_ms=since_ms - 1,
            close_ms=self.last.time_ms,
            open=float(self.candles.open[first]),
            high=max(float(self.candles.high[span].max()), today.high),
            low=min(float(self.candles.low[span].min()), today.low),
            close=today.close,
            volume=float(self.candles.volume[span].sum()) + today.volume,
            quote_volume=float(flows.quote_volume.sum()) + today.quote_volume,
            n_trades=int(flows.n_trades.sum()) + today.n_trades,
            taker_base=float(flows.taker_base.sum()) + today.taker_base,
            taker_quote=float(flows.taker_quote.sum()) + today.taker_quote,
            first_number=first * self.tape.n_prints,
            last_number=today.last_number,
        )

    def klines_of_own(self) -> KlineTable:
        """Return the table of the source's own timeframe."""
        key = self.candles.key.timeframe
        if key not in self._tables:
            self._tables[key] = KlineTable(self.tape, key)
        return self._tables[key]

    def _make_tape(self, seed: int) -> Tape:
        tick, lot = self.terms.tick, self.terms.lot
        return Tape(self.candles, seed=seed, n_prints=self.liquidity.n_prints, tick=tick, lot=lot)

    def _find_next(self) -> None:
        self.next_ms: float
        if self._at + 1 < self.tape.n_prints:
            self.next_ms = self._prints[self._at + 1].time_ms
        elif not self.is_closed:
            self.next_ms = self._times[self.bar] + self.timeframe_ms
        elif self.bar + 1 < len(self._times):
            self.next_ms = self._times[self.bar + 1]
        else:
            self.next_ms = inf
