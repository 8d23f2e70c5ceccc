"""Time, rates and names: the few units that everything shares.

Timestamps are int64 milliseconds since 1970 in UTC. A year has 365 days. Rates and weights are
fractions; a fee in basis points says so in its name (``fee_bps``).
"""

import re
from datetime import UTC, datetime

from seawall.errors import RecipeError

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
YEAR_MS = 365 * DAY_MS
BPS = 1e-4

_UNIT_MS = {"s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "w": 7 * DAY_MS}
_DURATION = re.compile(r"(\d+)([smhdw])")


def to_duration_ms(text: str) -> int:
    """Return the milliseconds of a duration such as ``"5m"``, ``"1h"``, ``"1d"`` or ``"2w"``.

    Raises:
        RecipeError: the text is no such duration.
    """
    match = _DURATION.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise RecipeError(
            f"a duration is a positive whole number and one of s, m, h, d, w, is {text!r}: "
            "write 5m, 1h or 1d"
        )
    return int(match[1]) * _UNIT_MS[match[2]]


def to_duration_text(duration_ms: int) -> str:
    """Return ``"5m"`` for 300,000: the largest unit that divides the duration."""
    for unit in ("w", "d", "h", "m", "s"):
        if duration_ms % _UNIT_MS[unit] == 0 and duration_ms >= _UNIT_MS[unit]:
            return f"{duration_ms // _UNIT_MS[unit]}{unit}"
    return f"{duration_ms}ms"


def to_time_ms(text: str) -> int:
    """Return the milliseconds of an ISO date or time; without an offset it is UTC.

    Raises:
        RecipeError: the text is no such date.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RecipeError(
            f"a time is an ISO date or time in UTC, is {text!r}: "
            "write 2024-08-05 or 2024-08-05T12:00"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * SECOND_MS)


def to_time_text(time_ms: int) -> str:
    """Return ``"2024-08-05 12:00"`` for a timestamp, in UTC, to the minute or second it needs."""
    moment = datetime.fromtimestamp(time_ms / SECOND_MS, tz=UTC)
    return moment.strftime("%Y-%m-%d %H:%M" if time_ms % MINUTE_MS == 0 else "%Y-%m-%d %H:%M:%S")


def split_symbol(symbol: str) -> tuple[str, str]:
    """Return base and quote of a symbol such as ``"ETH/USDT"`` or ``"ETH/USDT:USDT"``.

    Raises:
        RecipeError: the symbol has no base or no quote.
    """
    base, _, rest = symbol.partition("/")
    quote = rest.partition(":")[0]
    if not base or not quote:
        raise RecipeError(f"a symbol is BASE/QUOTE, is {symbol!r}: write ETH/USDT")
    return base, quote


def is_perpetual(symbol: str) -> bool:
    """Return whether a symbol is a perpetual's, ``"ETH/USDT:USDT"``; ``"ETH/USDT"`` is spot."""
    return ":" in symbol
