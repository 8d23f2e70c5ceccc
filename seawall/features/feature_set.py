"""Which features a model uses, by name, in order.

A name is ``WHAT_N`` for a feature of the last ``N`` bars (``return_24``, ``rsi_14``), ``WHAT`` for
one of the calendar (``hour_sine``), ``WHAT_N:SIGNAL`` or ``WHAT:SIGNAL`` for one of a signal that
the recipe names (``value:sentiment/fear_greed/1d``, ``score_30:dune/ETH.unique_addresses/1d``);
there ``N`` counts the signal's own values.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from seawall.errors import AgentError, RecipeError
from seawall.features.bars import Bars
from seawall.features.candles import CANDLE_FEATURES
from seawall.features.signals import AGE, SIGNAL_FEATURES, compute_age, compute_signal
from seawall.market.series import FloatArray
from seawall.units import to_duration_ms

VERSION = 1  # raised when a name comes to mean other numbers
LARGEST_N = 10_000
MOST_NUMBERS = 4_000_000  # held at once: a window of n at each of many rows is n times as many
_NAME = re.compile(r"(?P<what>[a-z_]+?)(?:_(?P<n>\d+))?(?::(?P<signal>\S+))?")


@dataclass(frozen=True, kw_only=True)
class _Feature:
    """A name, taken apart; ``n`` is 0 where it has none."""

    name: str
    what: str
    n: int
    signal: str

    @property
    def period_ms(self) -> int:
        return to_duration_ms(self.signal.rpartition("/")[2])

    @property
    def n_bars(self) -> int:
        """How many bars the newest value is made from."""
        return 1 if self.signal else max(self.n + CANDLE_FEATURES[self.what].n_extra, 1)

    def compute(self, bars: Bars, n_rows: int) -> FloatArray:
        """Return the values at the closes of the newest ``n_rows`` bars."""
        if not self.signal:
            return self._compute_in_parts(bars, n_rows)
        known = bars.signals.get(self.signal)
        if known is None:
            raise AgentError(
                f"the feature {self.name} needs the signal {self.signal!r}, the recipe names "
                f"{list(bars.signals)}: add it to market.signals"
            )
        close_ms = bars.close_ms[len(bars) - n_rows :]
        if self.what == AGE:
            return compute_age(known, close_ms, period_ms=self.period_ms)
        how = SIGNAL_FEATURES[self.what]
        return compute_signal(how, known, close_ms, n=self.n, period_ms=self.period_ms)

    def _compute_in_parts(self, bars: Bars, n_rows: int) -> FloatArray:
        compute = CANDLE_FEATURES[self.what].compute
        size = max(MOST_NUMBERS // (self.n + 1), 1)
        if n_rows <= size:
            return compute(bars, self.n, n_rows)
        first = len(bars) - n_rows
        ends = [*range(first + size, len(bars), size), len(bars)]
        starts = [first, *ends[:-1]]
        parts = zip(starts, ends, strict=True)
        return np.concatenate(
            [compute(bars.between(0, end), self.n, end - start) for start, end in parts]
        )


class FeatureSet:
    """Features in the order of a model's columns.

    Attributes:
        names: as they were given.
        lookback: bars from which the newest row is made.

    Raises:
        RecipeError: a name is none, or stands twice.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._features = tuple(_parse(name) for name in names)
        self.names = tuple(feature.name for feature in self._features)
        if not self.names:
            raise RecipeError('features must be names, there is none: write ["return_24"]')
        if twice := sorted({name for name in self.names if self.names.count(name) > 1}):
            raise RecipeError(f"features must be distinct, {twice[0]!r} stands twice: remove one")
        self.lookback = max(feature.n_bars for feature in self._features)

    @property
    def hash(self) -> str:
        """The hash of the names, their order and what they mean, 16 hexadecimal digits."""
        text = "\n".join([f"version {VERSION}", *self.names])
        return sha256(text.encode()).hexdigest()[:16]

    def table(self, bars: Bars, n_rows: int | None = None) -> FloatArray:
        """Return the features at the close of every bar, float64, shape (n_bars, n_features).

        What is not known yet is nan. With ``n_rows`` only those of the newest bars.

        Raises:
            AgentError: a signal is not among those of ``bars``.
        """
        n = len(bars) if n_rows is None else min(n_rows, len(bars))
        columns = [feature.compute(bars, n) for feature in self._features]
        return np.stack(columns, axis=1)

    def latest(self, bars: Bars) -> FloatArray:
        """Return the features at the close of the newest bar, shape (n_features,).

        They are the last row of ``table``. All are nan where there is no bar.

        Raises:
            AgentError: a signal is not among those of ``bars``.
        """
        if not len(bars):
            return np.full(len(self.names), np.nan)
        row: FloatArray = self.table(bars, 1)[0]
        return row


def _parse(name: object) -> _Feature:
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        raise RecipeError(
            f"a feature is WHAT_N, WHAT or WHAT_N:SIGNAL, is {name!r}: write return_24"
        )
    what, n, signal = match["what"], int(match["n"] or 0), match["signal"] or ""
    known = {**SIGNAL_FEATURES, AGE: None} if signal else CANDLE_FEATURES
    if what not in known:
        kind = "of a signal" if signal else "of bars"
        raise RecipeError(
            f"there is no feature {what!r} {kind}, in {name!r}: there are {', '.join(known)}"
        )
    how = known[what]
    takes_n, smallest = (False, 0) if how is None else (how.takes_n, how.smallest)
    if takes_n and not smallest <= n <= LARGEST_N:
        raise RecipeError(
            f"{what} must have a number from {smallest} to {LARGEST_N}, is {name!r}: write "
            f"{what}_{max(smallest, 24)}"
        )
    if not takes_n and match["n"] is not None:
        raise RecipeError(f"{what} has no number, is {name!r}: write {what}")
    feature = _Feature(name=match[0], what=what, n=n, signal=signal)
    if signal:
        _check_signal(feature)
    return feature


def _check_signal(feature: _Feature) -> None:
    try:
        _ = feature.period_ms
    except RecipeError as error:
        raise RecipeError(
            f"a signal is VENUE/NAME/TIMEFRAME, in {feature.name!r}: {error}"
        ) from None
