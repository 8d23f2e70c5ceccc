"""How numbers are written for a reader: percentages, a true minus sign, a dash for none."""

import math
from typing import Literal

from seawall.units import DAY_MS, HOUR_MS, to_time_text

Form = Literal[
    "percent", "signed", "ratio", "health", "margin", "money", "count", "tenth", "time", "span"
]  # fmt: skip
PERCENT: Form = "percent"
SIGNED: Form = "signed"
RATIO: Form = "ratio"
HEALTH: Form = "health"
MARGIN: Form = "margin"  # a ratio, liquidated at 1
MONEY: Form = "money"
COUNT: Form = "count"
TENTH: Form = "tenth"
TIME: Form = "time"
SPAN: Form = "span"


def write_number(value: float | None, form: Form) -> str:
    """Return a number as a reader wants it; a dash where there is none."""
    if form == MARGIN and value == math.inf:
        return "no margin"
    if value is None or not math.isfinite(value):
        return "–"  # noqa: RUF001 - an en dash is meant
    if form == TIME:
        return to_time_text(int(value))
    if form == SPAN:
        return write_span(int(value))
    text = {
        PERCENT: f"{100 * value:,.2f} %",
        MARGIN: f"{100 * value:,.2f} %",
        SIGNED: f"{100 * value:+,.2f} %",
        RATIO: f"{value:,.2f}",
        HEALTH: f"{value:,.3f}",  # 0.998 is not 1
        MONEY: f"{value:,.2f}",
        COUNT: f"{value:,.0f}",
        TENTH: f"{value:,.1f}",
    }[form]
    return with_minus(text)


def write_span(span_ms: int) -> str:
    """Return ``"12 d 4 h"`` for a time span."""
    days, rest = divmod(span_ms, DAY_MS)
    hours = rest // HOUR_MS
    return f"{days} d {hours} h" if days else f"{rest / HOUR_MS:.1f} h"


def tone(value: float | None) -> str:
    """Return ``good`` above 0, ``bad`` below, nothing otherwise."""
    if value is None or not math.isfinite(value) or value == 0:
        return ""
    return "good" if value > 0 else "bad"


def write_points(fraction: float) -> str:
    """Return a difference of returns in percentage points: ``"+5.00 pp"`` for 0.05."""
    return with_minus(f"{100 * fraction:+,.2f} pp")


def with_minus(text: str) -> str:
    """Return text with each hyphen as a minus sign, which is as wide as a plus."""
    return text.replace("-", "\N{MINUS SIGN}")
