"""What the venues of a shadow are put into: it grows step by step, and is the same when replayed.

A loan's world is made by the engine's own functions from what has closed; a futures account's gets
a row a step. A session extends both under its broker; a restart, a report and a replay build them
from the record. The accounts open at the close of the last bar before the window: a loan is taken
at the prices that stand then, a given position is entered at the last price, since the next open,
which a backtest would take, is not known yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from seawall.engine.loan.ahead import build_ahead, cut_ahead
from seawall.engine.loan.standing import LoanStanding
from seawall.engine.loan.world import LoanWorld
from seawall.engine.perpetual.stamps import FoundFunding, Stamps
from seawall.engine.perpetual.standing import (
    PerpetualStanding,
    mark_step,
    place_step,
    to_world,
    without_opening,
)
from seawall.engine.perpetual.world import PerpetualWorld, perpetual_section
from seawall.errors import DataError
from seawall.market.catalog import Catalog
from seawall.market.series import Candles, FloatArray, SeriesKey
from seawall.paper.candles import Candle
from seawall.paper.growing_candles import GrowingCandles
from seawall.paper.shadow_funding import Settled, mark_name
from seawall.perpetual_recipe import PerpetualSection
from seawall.recipe import Recipe
from seawall.venues.futures_tape import Stamp

_NEVER, _NONE = np.empty(0, dtype=np.int64), np.empty(0)
_NO_STAMPS = Stamps(_NEVER, _NEVER, _NEVER, _NONE, _NONE)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What holds for a session's venues from its start on; ``None``: there is no such venue."""

    loan: LoanStanding | None = None
    perpetual: PerpetualStanding | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, JSON-able but for ``inf``."""
        parts = {"loan": self.loan, "perpetual": self.perpetual}
        return {name: one.to_dict() for name, one in parts.items() if one is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Standing":
        """Return what ``to_dict`` gave."""
        loan, perpetual = values.get("loan"), values.get("perpetual")
        return cls(
            loan=None if loan is None else LoanStanding.from_dict(loan),
            perpetual=None if perpetual is None else PerpetualStanding.from_dict(perpetual),
        )

    @property
    def is_needed(self) -> bool:
        """Whether there is any venue but spot."""
        return self.loan is not None or self.perpetual is not None


class Account(Protocol):
    """The broker of a shadow, as its world extends it."""

    def open_account(self, perpetual: PerpetualWorld | None, loan: LoanWorld | None) -> None:
        """Open the account in what is known so far."""

    def extend_perpetual(self, stamp_ms: int, marks: FloatArray, stamps: Sequence[Stamp]) -> None:
        """Add a step to what the futures account meets."""

    def extend_loan(self, world: LoanWorld) -> None:
        """Put the loan into a longer world."""


class GrowingPerpetual:
    """Marks and settlements of the contracts so far.

    Args:
        recipe: on the live market.
        standing: what holds all the time.
    """

    def __init__(self, recipe: Recipe, standing: PerpetualStanding) -> None:
        market = recipe.market
        self._market, self._standing = market, standing
        section = perpetual_section(recipe)
        self._section = PerpetualSection() if section is None else section
        self._marks = {
            symbol: GrowingCandles(SeriesKey("mark", market.venue, symbol, market.timeframe))
            for symbol in standing.symbols
        }
        self._rows: list[FloatArray] = []
        self._stamps: list[Stamps] = []
        self._clock: list[int] = []

    @property
    def before_ms(self) -> int:
        """When the last step was; the window's begin before the first."""
        return self._clock[-1] if self._clock else self._market.since_ms

    def step(
        self,
        stamp_ms: int,
        candles: Mapping[str, Candle],
        settled: Mapping[str, Sequence[Settled]],
    ) -> tuple[FloatArray, list[Stamp]]:
        """Add a step, and return its marks and its settlements.

        Args:
            stamp_ms: when it is.
            candles: by symbol, and by ``mark_name``.
            settled: by contract, since the step before.
        """
        for symbol, mark in self._marks.items():
            is_last = self._standing.sources[symbol] == "last"
            candle = candles.get(symbol if is_last else mark_name(symbol))
            if candle is not None:
                mark.append(candle)
        tails = [mark.series(2) for mark in self._marks.values()]
        row = mark_step(tails, stamp_ms)
        placed = _NO_STAMPS
        if any(settled.values()):
            placed = self._place(stamp_ms, tails, settled)
            self._stamps.append(placed)
        self._rows.append(row)
        self._clock.append(stamp_ms)
        return row, [Stamp(*one) for one in zip(*(c.tolist() for c in placed), strict=True)]

    def _place(
        self,
        stamp_ms: int,
        tails: Sequence[Candles],
        settled: Mapping[str, Sequence[Settled]],
    ) -> Stamps:
        found = []
        for symbol in self._marks:
            rows = settled.get(symbol, ())
            times = np.array([one.time_ms for one in rows], dtype=np.int64)
            rates = np.array([one.rate for one in rows], dtype=np.float64)
            found.append(FoundFunding(times, rates))
        span = (self.before_ms, stamp_ms)
        placed = place_step(found, tails, len(self._clock), span, self._market)
        opened_ms = self._market.since_ms
        return without_opening(placed, self._standing, self._section, opened_ms)

    def world(self, entries: Mapping[str, float]) -> PerpetualWorld:
        """Return the world of the steps so far.

        ``entries``: the last price of each contract before the window, quote units.
        """
        parts = self._stamps or [_NO_STAMPS]
        stamps = Stamps(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        n = len(self._standing.symbols)
        return to_world(
            self._standing,
            self._with_entry(entries),
            np.stack(self._rows) if self._rows else np.empty((0, n, 4)),
            stamps,
            np.array(self._clock, dtype=np.int64),
        )

    def _with_entry(self, entries: Mapping[str, float]) -> PerpetualSection:
        """Return the section with the price at which a given position is entered."""
        section = self._section
        position = section.position
        if position is None or position.entry is not None or not entries:
            return section
        price = entries[position.symbol or self._standing.symbols[0]]
        if not price > 0:
            raise DataError(
                f"a position is entered at the last price before the session, "
                f"{position.symbol or self._standing.symbols[0]} has none: set "
                "perpetual.position.entry, or begin in another folder"
            )
        entered = position.model_copy(update={"entry": price})
        return section.model_copy(update={"position": entered})


class ShadowWorld:
    """The worlds of a session's venues, and the account that lives in them.

    Args:
        recipe: on the live market.
        standing: what holds all the time.
        catalog: of no use to a live price, but asked.
        account: the broker; ``None`` where the record is read only.
    """

    def __init__(
        self,
        recipe: Recipe,
        standing: Standing,
        catalog: Catalog,
        account: Account | None = None,
    ) -> None:
        market = recipe.market
        self._recipe, self._standing, self._catalog = recipe, standing, catalog
        self._account, self.is_open = account, False
        self._candles = {
            symbol: GrowingCandles(SeriesKey("candles", market.venue, symbol, market.timeframe))
            for symbol in market.symbols
        }
        self._clock: list[int] = []
        self._perpetual: GrowingPerpetual | None = None
        if standing.perpetual is not None:
            self._perpetual = GrowingPerpetual(recipe, standing.perpetual)
        self._ready: tuple[int, LoanWorld] | None = None

    @property
    def before_ms(self) -> int:
        """When the last step was; the window's begin before the first."""
        return self._clock[-1] if self._clock else self._recipe.market.since_ms

    def foresee(self, loan: LoanWorld, until_ms: int) -> None:
        """Take a loan's world that was recorded: up to ``until_ms`` none has to be made."""
        self._ready = (until_ms, loan)

    def step(
        self,
        stamp_ms: int,
        candles: Mapping[str, Candle],
        settled: Mapping[str, Sequence[Settled]],
    ) -> None:
        """Add what closes at a stamp, and open the account where it is time to."""
        for symbol, series in self._candles.items():
            if symbol in candles:
                series.append(candles[symbol])
        self._clock.append(stamp_ms)
        added = None
        if self._perpetual is not None:
            added = self._perpetual.step(stamp_ms, candles, settled)
        if self._account is None or stamp_ms < self._recipe.market.since_ms:
            return
        if not self.is_open:
            self._account.open_account(self.perpetual(), self._loan_now(stamp_ms))
            self.is_open = True
            return
        if added is not None:
            self._account.extend_perpetual(stamp_ms, *added)
        loan = None if self._is_foreseen(stamp_ms) else self._loan_now(stamp_ms)
        if loan is not None:
            self._account.extend_loan(loan)

    def perpetual(self) -> PerpetualWorld | None:
        """Return what the futures account meets in the steps so far."""
        if self._perpetual is None:
            return None
        since_ms = self._recipe.market.since_ms
        last = {symbol: one.close_by(since_ms) for symbol, one in self._candles.items()}
        return self._perpetual.world(last)

    def loan(self) -> LoanWorld | None:
        """Return what the loan meets in the steps so far, with one bar ahead."""
        standing = self._standing.loan
        if standing is None:
            return None
        series = {symbol: one.series() for symbol, one in self._candles.items()}
        clock_ms = np.array(self._clock, dtype=np.int64)
        return build_ahead(self._recipe, series, clock_ms, standing, self._catalog)

    def closed_loan(self) -> LoanWorld | None:
        """Return the same of closed bars alone, as a backtest over them has it."""
        world = self.loan()
        return None if world is None else cut_ahead(world)

    def _is_foreseen(self, stamp_ms: int) -> bool:
        return self._ready is not None and stamp_ms <= self._ready[0]

    def _loan_now(self, stamp_ms: int) -> LoanWorld | None:
        if self._ready is not None and self._is_foreseen(stamp_ms):
            return self._ready[1]
        return self.loan()
