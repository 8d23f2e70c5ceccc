"""The price a protocol sees: what its oracle reports, which is not the candle.

A feed reports when the price has moved by its deviation threshold from what it last reported, or
when its heartbeat is due. A track holds, for every bar, the lowest and the highest price that was
in force inside it and what stands at its close. It is made before the run from market bars alone:
no account moves it.

``best``: only closes are looked at. ``worst``: a bar does not tell in which order it met its
extremes, so two more histories are followed, the one that leans low and the one that leans high.
Each may take a bar's extreme where any of the three histories could have reported it: because it
deviates enough from what stood, because the other extreme does and this one deviates from that,
or because a heartbeat falls into the bar. At a close each history reports the close if it must, or
rather its own extreme, where that would have been report enough. All are histories a feed may have
had: prices of the bar's path, never further from a close than the threshold.

By construction, for every bar: ``worst.low <= best.low``, ``worst.high >= best.high``, and
``worst.close_low <= close <= worst.close_high``. The closes of the two runs are ordered for
whoever is hurt by a low price and for whoever is hurt by a high one: take the side that is worse
for the account. ``close`` is what only closes give, the same in both runs.

Faults are given, not drawn: stale, down, a wick, a capped exchange rate.

Source: Chainlink data feeds (deviation threshold, heartbeat); ETH/USD on Ethereum 0.5 % and 1 h,
USDC/USD 24 h. Aave's capped ratio: bgd-labs/aave-capo ``PriceCapAdapterBase.sol``.
Left out: the seconds a report needs to reach the chain, rounding to 8 decimals, and reports of
prices between a bar's extremes (liquidations look at them: ``count_steps``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seawall.errors import DataError, RecipeError
from seawall.kernel import kernel
from seawall.units import SECOND_MS, YEAR_MS

FloatArray = NDArray[np.float64]
TimeArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

YEAR_S: Final = YEAR_MS // SECOND_MS
WSTETH_MAX_GROWTH: Final = 0.0968  # a year; Aave proposal of 2024-02-27, SetPriceCapAdapters

CLOSES, LEANS_LOW, LEANS_HIGH = 0, 1, 2
_ROUNDING = 1e-12  # 99.5 is half a per cent below 100, whatever the last bit says


@dataclass(frozen=True, kw_only=True)
class Feed:
    """When a feed reports.

    Attributes:
        deviation: fraction of the price last reported, 0 < deviation < 1.
        heartbeat_s: seconds from the last report, > 0.
    """

    deviation: float = 0.005
    heartbeat_s: int = 3600

    def __post_init__(self) -> None:
        if not 0.0 < self.deviation < 1.0:
            raise RecipeError(
                f"a feed's deviation must be above 0 and below 1, is {self.deviation}: "
                "half a per cent is 0.005"
            )
        if not self.heartbeat_s > 0:
            raise RecipeError(
                f"a feed's heartbeat must be > 0 seconds, is {self.heartbeat_s}: an hour is 3600"
            )


@dataclass(frozen=True, kw_only=True)
class Window:
    """When something is wrong: seconds since 1970, ``since_s`` included, ``until_s`` not."""

    since_s: int
    until_s: int

    def __post_init__(self) -> None:
        if not self.since_s < self.until_s:
            raise RecipeError(
                f"a fault must end after it starts, is {self.since_s} to {self.until_s} (seconds "
                "since 1970): set until to a later time"
            )


@dataclass(frozen=True, kw_only=True)
class Stale(Window):
    """The feed reports nothing; what stood before the window stands."""

    kind: Literal["stale"] = "stale"


@dataclass(frozen=True, kw_only=True)
class Down(Window):
    """The feed reports nothing and cannot be read: whatever needs a price is refused."""

    kind: Literal["down"] = "down"


@dataclass(frozen=True, kw_only=True)
class Wick(Window):
    """What the feed sees is ``factor`` times the market's price, > 0."""

    kind: Literal["wick"] = "wick"
    factor: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.factor < np.inf:
            raise RecipeError(
                f"a wick's factor must be a finite number > 0, is {self.factor}: 0.9 is 10 % down"
            )


@dataclass(frozen=True, kw_only=True)
class Capped(Window):
    """An exchange rate is capped from a snapshot at ``since_s`` that lies too low.

    On 2026-03-10 Aave's cap stood 2.85 % below the rate of wstETH: ``below=0.0285``.

    Attributes:
        below: how far the snapshot lies below the rate of that moment, fraction, 0 <= below < 1.
        max_growth_per_year: of the snapshot, linear, fraction >= 0.
    """

    kind: Literal["capped"] = "capped"
    below: float = 0.0
    max_growth_per_year: float = WSTETH_MAX_GROWTH

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.below < 1.0 or not self.max_growth_per_year >= 0.0:
            raise RecipeError(
                "a cap must lie 0 <= below < 1 under the rate and grow by >= 0 a year, is "
                f"{self.below} and {self.max_growth_per_year}: give fractions"
            )


Fault = Stale | Down | Wick | Capped


@dataclass(frozen=True, kw_only=True, eq=False)
class OracleTrack:
    """What a feed reports over the bars of a run; float64, shape (n_bars,), USD, > 0.

    Attributes:
        low, high: the lowest and highest price in force inside the bar; ``best``: the one at the
            close.
        close: what stands at the close if only closes are looked at.
        close_low, close_high: the lowest and highest that may stand there; ``best``: ``close``.
        is_down: bool; the feed cannot be read in some part of the bar: refuse the account.
        is_down_throughout: bool; it cannot be read at all in the bar: nobody can liquidate.
    """

    low: FloatArray
    high: FloatArray
    close: FloatArray
    close_low: FloatArray
    close_high: FloatArray
    is_down: BoolArray
    is_down_throughout: BoolArray

    def __len__(self) -> int:
        return len(self.close)


class Bars(NamedTuple):
    """Market bars of a feed's price: float64, shape (n_bars,), USD per token, > 0.

    ``close_s``: int64, shape (n_bars,), seconds since 1970, increasing; a bar is the time since the
    close before it.
    """

    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    close_s: TimeArray


def track(
    bars: Bars,
    feed: Feed,
    *,
    intrabar: Literal["worst", "best"],
    faults: Sequence[Fault] = (),
    start_s: int | None = None,
) -> OracleTrack:
    """Return what ``feed`` reports over market bars.

    ``intrabar``: how what a bar does not tell is resolved. ``faults``: stale, down and wick concern
    the feed; capped is left to ``report_ratio``. ``start_s``: when the first bar opens; by default
    it is as long as the second, and a second if it is alone.

    Before the first bar the first open stands, reported as it opens. The heartbeat counts from the
    last report; a report inside a bar is dated to its close. In a window of which a bar has only a
    part, the close counts as inside or outside and the extremes may be either.

    Raises:
        DataError: there is no bar, or the arrays differ in length.
    """
    lengths = {len(column) for column in bars}
    if len(lengths) != 1 or 0 in lengths:
        raise DataError(
            f"a feed needs bars, and all columns of one length, is {sorted(lengths)}: give it the "
            "candles of its price series"
        )
    close_s = bars.close_s
    opens_s = _find_opens(close_s, start_s)
    seen = _observe(bars, opens_s, faults)
    silent = [fault for fault in faults if isinstance(fault, Stale | Down)]
    down = [fault for fault in faults if isinstance(fault, Down)]
    out = np.empty((5, len(close_s)))
    _follow(
        np.stack((seen.low, seen.high, seen.close)),
        close_s,
        np.stack((~_covers(silent, opens_s, close_s), ~_holds(silent, close_s))),
        _Rules(feed.deviation - _ROUNDING, feed.heartbeat_s, float(bars.open[0]), int(opens_s[0])),
        intrabar == "worst",
        out,
    )
    return OracleTrack(
        low=out[0],
        high=out[1],
        close=out[2],
        close_low=out[3],
        close_high=out[4],
        is_down=_touches(down, opens_s, close_s),
        is_down_throughout=_covers(down, opens_s, close_s),
    )


class _Rules(NamedTuple):
    deviation: float
    heartbeat_s: int
    first_price: float
    first_s: int


@kernel
def _follow(  # noqa: PLR0917 - a kernel takes no keywords
    seen: FloatArray,
    close_s: TimeArray,
    may_report: BoolArray,
    rules: _Rules,
    is_worst: bool,  # noqa: FBT001
    out: FloatArray,
) -> None:
    """Follow three histories of a feed over bars; fill ``out`` with the rows of a track.

    ``seen`` is (low, high, close) by bar, ``may_report`` (inside the bar, at its close) by bar.
    """
    deviation, heartbeat = rules.deviation, rules.heartbeat_s
    stands = np.full(3, rules.first_price)
    reported_s = np.full(3, rules.first_s)
    for t in range(len(close_s)):
        low, high, close, now_s = seen[0, t], seen[1, t], seen[2, t], close_s[t]
        is_due = now_s - reported_s.min() >= heartbeat
        is_open = is_worst and may_report[0, t]
        sees_low = is_open and (is_due or _can_report(low, high, stands, deviation))
        sees_high = is_open and (is_due or _can_report(high, low, stands, deviation))
        out[0, t], out[1, t] = stands[LEANS_LOW], stands[LEANS_HIGH]
        if sees_low and low < stands[LEANS_LOW]:
            out[0, t] = stands[LEANS_LOW] = low
            reported_s[LEANS_LOW] = now_s
        if sees_high and high > stands[LEANS_HIGH]:
            out[1, t] = stands[LEANS_HIGH] = high
            reported_s[LEANS_HIGH] = now_s
        for k in range(3):
            if not may_report[1, t]:
                break
            if now_s - reported_s[k] >= heartbeat or _deviates(close, stands[k], deviation):
                reported_s[k] = now_s
                stands[k] = close
                if k == LEANS_LOW and sees_low and not _deviates(close, low, deviation):
                    stands[k] = low
                if k == LEANS_HIGH and sees_high and not _deviates(close, high, deviation):
                    stands[k] = high
        out[2, t] = stands[CLOSES]
        if is_worst:
            _lean(LEANS_LOW, int(stands.argmin()), stands, reported_s)
            _lean(LEANS_HIGH, int(stands.argmax()), stands, reported_s)
            out[3, t], out[4, t] = stands[LEANS_LOW], stands[LEANS_HIGH]
            out[0, t], out[1, t] = min(out[0, t], out[3, t]), max(out[1, t], out[4, t])
        else:
            out[:, t] = stands[CLOSES]


@kernel
def _lean(leaning: int, furthest: int, stands: FloatArray, reported_s: TimeArray) -> None:
    """Let a history that leans become the one that by now stands further out, if one does."""
    stands[leaning], reported_s[leaning] = stands[furthest], reported_s[furthest]


@kernel
def _deviates(price: float, standing: float, deviation: float) -> bool:
    return bool(abs(price / standing - 1.0) >= deviation)


@kernel
def _can_report(extreme: float, other: float, stands: FloatArray, deviation: float) -> bool:
    """Return whether any history could report a bar's extreme, the other one before it or not."""
    for standing in stands:
        if _deviates(extreme, standing, deviation):
            return True
        if _deviates(other, standing, deviation) and _deviates(extreme, other, deviation):
            return True
    return False


@kernel
def count_steps(last: FloatArray, target: FloatArray, deviation: FloatArray) -> int:
    """Return in how many reports feeds go from ``last`` to ``target``, at least 1.

    ``max over feeds of ceil(|log(target / last)| / -log(1 - deviation))``: no step down is larger
    than a feed's threshold. All arrays float64, shape (n_feeds,), prices > 0.
    """
    most = 1.0
    for f in range(len(last)):
        needed = abs(np.log(target[f] / last[f])) / -np.log(1.0 - deviation[f])
        most = max(most, np.ceil(needed - 1e-9))
    return int(most)


@kernel
def price_at_step(
    last: FloatArray, target: FloatArray, step: int, n_steps: int, out: FloatArray
) -> None:
    """Fill ``out`` with the prices after ``step`` of ``n_steps``: equal ratios, then the target."""
    for f in range(len(last)):
        out[f] = target[f]
        if step < n_steps:
            out[f] = last[f] * (target[f] / last[f]) ** (step / n_steps)


def cap_ratio(
    ratio: FloatArray,
    time_s: TimeArray,
    *,
    snapshot_ratio: float,
    snapshot_s: int,
    max_growth_per_year: float = WSTETH_MAX_GROWTH,
) -> FloatArray:
    """Return ``min(ratio, snapshot * (1 + growth * years since))``, as Aave's CAPO reads a rate.

    ``ratio``: float64, shape (n,), such as ETH per wstETH; ``time_s``: int64, seconds. The growth
    is linear and of 365-day years; before the snapshot the cap is the snapshot itself.
    """
    years = np.maximum(time_s - snapshot_s, 0) / YEAR_S
    return np.minimum(ratio, snapshot_ratio * (1.0 + max_growth_per_year * years))


def report_ratio(ratio: FloatArray, time_s: TimeArray, faults: Sequence[Fault]) -> FloatArray:
    """Return an exchange rate as the protocol reads it: under its ``capped`` faults, no others.

    The snapshot of a fault is the rate that holds at its start (the first one, if it starts
    earlier), less ``below``. An exchange rate is read from its contract: it has no threshold and no
    heartbeat.
    """
    read = np.array(ratio, dtype=np.float64)
    for fault in faults:
        if not isinstance(fault, Capped):
            continue
        row = max(int(np.searchsorted(time_s, fault.since_s, side="right")) - 1, 0)
        capped = cap_ratio(
            read,
            time_s,
            snapshot_ratio=float(ratio[row]) * (1.0 - fault.below),
            snapshot_s=fault.since_s,
            max_growth_per_year=fault.max_growth_per_year,
        )
        read = np.where(_holds([fault], time_s), capped, read)
    return read


def _find_opens(close_s: TimeArray, start_s: int | None) -> TimeArray:
    """Return when each bar opens: at the close before it."""
    if start_s is None:
        length = int(close_s[1] - close_s[0]) if len(close_s) > 1 else 1
        start_s = int(close_s[0]) - length
    return np.concatenate((np.array([start_s], dtype=np.int64), close_s[:-1]))


def _observe(bars: Bars, opens_s: TimeArray, faults: Sequence[Fault]) -> Bars:
    """Return the bars that the feed sees, wicks included."""
    _, high, low, close, close_s = bars
    for fault in faults:
        if not isinstance(fault, Wick):
            continue
        is_in, factor = _holds([fault], close_s), fault.factor
        is_part = _touches([fault], opens_s, close_s) | is_in
        is_whole = is_in & (opens_s >= fault.since_s)
        mixed_low, mixed_high = np.minimum(low, low * factor), np.maximum(high, high * factor)
        low = np.where(is_whole, low * factor, np.where(is_part, mixed_low, low))
        high = np.where(is_whole, high * factor, np.where(is_part, mixed_high, high))
        close = np.where(is_in, close * factor, close)
    return bars._replace(high=high, low=low, close=close)


def _holds(windows: Sequence[Window], time_s: TimeArray) -> BoolArray:
    """Return whether each time lies in a window."""
    found = np.zeros(len(time_s), dtype=np.bool_)
    for window in windows:
        found |= (time_s >= window.since_s) & (time_s < window.until_s)
    return found


def _touches(windows: Sequence[Window], opens_s: TimeArray, close_s: TimeArray) -> BoolArray:
    """Return whether each bar has a part in a window."""
    found = np.zeros(len(close_s), dtype=np.bool_)
    for window in windows:
        found |= (opens_s < window.until_s) & (close_s > window.since_s)
    return found


def _covers(windows: Sequence[Window], opens_s: TimeArray, close_s: TimeArray) -> BoolArray:
    """Return whether each bar lies in one window altogether."""
    found = np.zeros(len(close_s), dtype=np.bool_)
    for window in windows:
        found |= (opens_s >= window.since_s) & (close_s <= window.until_s)
    return found
