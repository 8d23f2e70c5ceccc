"""What is wrong, or odd, with the rows of a series, each finding with its row numbers.

Works on raw tables as well as on stored series: what makes rows unfit to be stored is found here
first. Row numbers count from 0.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seawall.market.catalog import to_frame
from seawall.market.series import PRICE_FIELDS, Candles, FloatArray, Signal, TimeArray
from seawall.units import to_duration_text, to_time_text

Rule = Literal[
    "disorder",
    "duplicate",
    "not a number",
    "price <= 0",
    "high < low",
    "volume < 0",
    "known too early",
    "gap",
    "zero volume",
    "wick",
]
# Rows that break one of these cannot be stored; the others are facts about a market.
REFUSED: tuple[Rule, ...] = (
    "disorder",
    "duplicate",
    "not a number",
    "price <= 0",
    "high < low",
    "volume < 0",
    "known too early",
)
# On exchange history of 2017 to 2026 this many deviations leave 0 to 6 bars of a series.
WICK_DEVIATIONS = 4.0
MAD_TO_DEVIATION = 1.4826  # of a normal distribution
_FEWEST_WICKS = 100  # with fewer there is no bound worth the name
_ROWS_SHOWN = 20

RowArray = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, eq=False)
class Finding:
    """One rule and the rows that break it.

    Attributes:
        rule: what was looked for.
        rows: row numbers from 0, sorted; for a gap the first row after it.
        detail: the first case in words.
    """

    rule: Rule
    rows: RowArray
    detail: str

    @property
    def is_refused(self) -> bool:
        """Whether such rows cannot be stored."""
        return self.rule in REFUSED


@dataclass(frozen=True, kw_only=True, eq=False)
class QualityReport:
    """All findings about one table.

    Attributes:
        name: of the series or file.
        n_rows: rows looked at.
        timeframe_ms: the step that gaps were measured with.
        findings: those rules that some row breaks; empty where there is nothing to say.
    """

    name: str
    n_rows: int
    timeframe_ms: int
    findings: tuple[Finding, ...]

    @property
    def refused_rows(self) -> RowArray:
        """The numbers of all rows that cannot be stored, sorted, each once."""
        rows = [finding.rows for finding in self.findings if finding.is_refused]
        return np.unique(np.concatenate(rows)) if rows else np.array([], dtype=np.intp)

    def to_rows(self) -> list[dict[str, object]]:
        """Return one record per finding for tables and JSON, with the first twenty row numbers."""
        return [
            {
                "series": self.name,
                "finding": finding.rule,
                "count": len(finding.rows),
                "refused": finding.is_refused,
                "detail": finding.detail,
                "rows": [int(row) for row in finding.rows[:_ROWS_SHOWN]],
            }
            for finding in self.findings
        ]


def check(
    table: Candles | Signal | pd.DataFrame, *, name: str = "", timeframe_ms: int | None = None
) -> QualityReport:
    """Look through a series, or a raw table before it becomes one.

    Args:
        table: a frame has ``timestamp`` (int64 ms, or datetime in UTC) and either ``open, high,
            low, close`` and perhaps ``volume``, or ``value`` and perhaps ``known_at``; its index,
            if of integers, holds the row numbers that are reported.
        name: how the report calls it; that of the series by default.
        timeframe_ms: the step between rows; by default the commonest one.
    """
    if isinstance(table, Candles | Signal):
        name = name or str(table.key)
        timeframe_ms = timeframe_ms or table.key.timeframe_ms
        table = to_frame(table)
    time_ms = to_ms(table["timestamp"])
    step_ms = timeframe_ms or commonest_step_ms(time_ms)
    found = _check_times(time_ms, step_ms)
    if "open" in table:
        found += _check_candles(table)
    elif "value" in table:
        found += _check_values(table, time_ms)
    has_numbers = pd.api.types.is_integer_dtype(table.index.dtype)
    numbers = np.asarray(table.index if has_numbers else np.arange(len(table)), dtype=np.intp)
    kept = tuple(
        Finding(
            rule=rule,
            rows=np.sort(numbers[rows]),
            detail=detail or _describe_first(time_ms, rows),
        )
        for rule, rows, detail in found
        if len(rows)
    )
    return QualityReport(name=name, n_rows=len(table), timeframe_ms=step_ms, findings=kept)


def to_ms(times: "pd.Series[pd.Timestamp] | pd.Series[int]") -> TimeArray:
    """Return a column of times, integers of milliseconds or datetimes, as int64 milliseconds."""
    if pd.api.types.is_datetime64_any_dtype(times.dtype):
        index = pd.DatetimeIndex(times)
        return np.asarray(index.as_unit("ms").asi8, dtype=np.int64)
    return np.asarray(times, dtype=np.int64)


def commonest_step_ms(time_ms: TimeArray) -> int:
    """Return the commonest positive step between rows in time, 0 where there is none."""
    steps = np.diff(np.unique(time_ms))
    if not len(steps):
        return 0
    values, counts = np.unique(steps, return_counts=True)
    return int(values[np.argmax(counts)])


_Found = list[tuple[Rule, RowArray, str]]


def _check_times(time_ms: TimeArray, step_ms: int) -> _Found:
    """Return rows earlier than one before them, repeated times, and gaps."""
    latest_before = np.maximum.accumulate(time_ms)[:-1] if len(time_ms) else time_ms
    is_earlier = np.r_[False, time_ms[1:] < latest_before] if len(time_ms) else time_ms > 0
    is_repeated = np.asarray(pd.Series(time_ms).duplicated(), dtype=np.bool_)
    found: _Found = [
        ("disorder", np.flatnonzero(is_earlier & ~is_repeated), ""),
        ("duplicate", np.flatnonzero(is_repeated), ""),
    ]
    order = np.argsort(time_ms, kind="stable")
    steps = np.diff(time_ms[order])
    if step_ms and len(gaps := np.flatnonzero(steps * 2 >= step_ms * 3)):
        n_missing = int(np.sum(np.round(steps[gaps] / step_ms) - 1))
        widest = gaps[np.argmax(steps[gaps])]
        start, stop = (int(time_ms[order[widest + i]]) for i in (0, 1))
        detail = (
            f"{n_missing} rows of {to_duration_text(step_ms)} missing, most of them after "
            f"{to_time_text(start)} until {to_time_text(stop)}"
        )
        found.append(("gap", order[gaps + 1], detail))
    return found


def _check_candles(table: pd.DataFrame) -> _Found:
    """Return rows that no candle can have, bars without trades, and wicks beyond the bound."""
    o, high, low, close = (table[name].to_numpy(np.float64) for name in PRICE_FIELDS)
    prices = np.stack([o, high, low, close])
    is_number = np.isfinite(prices).all(axis=0)
    is_positive = (prices > 0).all(axis=0)
    top, bottom = np.maximum(o, close), np.minimum(o, close)
    is_consistent = (high >= top) & (low <= bottom)
    found: _Found = [
        ("price <= 0", np.flatnonzero(is_number & ~is_positive), ""),
        ("high < low", np.flatnonzero(is_number & ~is_consistent), ""),
    ]
    if "volume" in table:
        volume = table["volume"].to_numpy(np.float64)
        is_number &= np.isfinite(volume)
        found.append(("volume < 0", np.flatnonzero(volume < 0), ""))
        found.append(("zero volume", np.flatnonzero(volume == 0), ""))
    found.append(("not a number", np.flatnonzero(~is_number), ""))
    sound = np.flatnonzero(is_number & is_positive & is_consistent)
    wicks = np.maximum(np.log(high[sound] / top[sound]), np.log(bottom[sound] / low[sound]))
    bound = wick_bound(wicks)
    detail = f"longer than {np.expm1(bound):.1%} of the body's edge"
    found.append(("wick", sound[wicks > bound], detail))
    return found


def wick_bound(wicks: FloatArray) -> float:
    """Return the length beyond which a wick is odd, inf where there are too few wicks to tell.

    Args:
        wicks: float64, shape (n,), >= 0: log of high over the body's top, or of bottom over low.

    The bound is the median of the log of the lengths plus four robust deviations (median absolute
    deviation times 1.4826): wicks are spread over orders of magnitude, their logs about normally.
    """
    lengths = np.log(wicks[wicks > 0])
    if len(lengths) < _FEWEST_WICKS:
        return np.inf
    middle = np.median(lengths)
    deviation = MAD_TO_DEVIATION * np.median(np.abs(lengths - middle))
    return float(np.exp(middle + WICK_DEVIATIONS * deviation))


def _check_values(table: pd.DataFrame, time_ms: TimeArray) -> _Found:
    """Return values that are no numbers, and those known before the time that they describe."""
    is_number = np.isfinite(table["value"].to_numpy(np.float64))
    found: _Found = [("not a number", np.flatnonzero(~is_number), "")]
    if "known_at" in table:
        found.append(("known too early", np.flatnonzero(to_ms(table["known_at"]) < time_ms), ""))
    return found


def _describe_first(time_ms: TimeArray, rows: RowArray) -> str:
    return f"first at {to_time_text(int(time_ms[rows[0]]))}" if len(rows) else ""
