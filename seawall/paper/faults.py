"""What an error of ccxt means for a trader: above all, whether an order may be live after it.

ccxt's classes do not say it: a reset connection, a time-out, a 503 and an answer that cannot be
read may all hide an accepted order; 429 and 418 share a class; a wrong key may look like too many
requests; the same code has another class on another URL. So classes, HTTP status, the exchange's
code and its words are read together, and what is not certain is unknown.

Source: the table of faults measured with ccxt 4.5.90, and Binance's documentation of its errors.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from seawall.paper.errors import PaperError

Cause = Literal[
    "rejected",  # the exchange looked at it and said no
    "unknown",  # no answer, or none that can be read
    "rate_limited",  # too many requests: wait
    "banned",  # too many requests after a warning: wait long
    "maintenance",  # the exchange is not trading
    "bad_keys",  # key, signature or permission
    "clock",  # our clock and the exchange's differ
    "not_found",  # it has no such order
]

_NEVER_ARRIVED = frozenset({"rejected", "rate_limited", "banned", "bad_keys", "clock"})
_CODE = re.compile(r"[\"']code[\"']\s*:\s*[\"']?(-?\d+)")
_STATUS = re.compile(r"^\S+ (\d{3}) ")
_BAN = re.compile(r"banned until (\d{13})")
_UNKNOWN_CODES = frozenset({-1000, -1001, -1006, -1007})
_KEY_CODES = frozenset({-1002, -1022, -2014, -2015})
_CLOCK_CODES = frozenset({-1021})
_CLOSED_CODES = frozenset({-1016})
_REFUSAL_CODES = (
    range(-1008, -1007),
    range(-1013, -1012),
    range(-1199, -1099),
    range(-5099, -2009),
)
_RETRY_MS = 60_000  # where a 429 or 418 does not say how long
_REJECTIONS = (
    "InvalidOrder", "InsufficientFunds", "BadRequest", "BadSymbol", "NotSupported",
    "ArgumentsRequired", "OperationRejected", "ContractUnavailable",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One failed request, understood.

    Attributes:
        cause: see ``Cause``.
        text: the error in words; not yet cleaned of secrets.
        code: the exchange's, or ``None``.
        retry_ms: after how long to ask again; 0 where nothing was said.
    """

    cause: Cause
    text: str
    code: int | None = None
    retry_ms: int = 0

    @property
    def may_be_live(self) -> bool:
        """Whether an order that met this fault may have been accepted."""
        return self.cause not in _NEVER_ARRIVED


class ExchangeFault(PaperError):  # noqa: N818 - reads as what happened
    """A request failed; ``fault`` says what it means."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


def read_fault(
    error: Exception, headers: Mapping[str, str] | None = None, *, now_ms: int = 0
) -> Fault:
    """Return what an error means.

    Args:
        error: what a call of ccxt raised.
        headers: of the last response: ``Retry-After`` is not in the error.
        now_ms: the time, for a ban that says until when.
    """
    text = str(error)
    match = _CODE.search(text)
    code = int(match[1]) if match else None
    cause = _find_cause(error, text, code)
    wait_ms = _read_wait(text, headers or {}, now_ms) if cause in ("rate_limited", "banned") else 0
    return Fault(cause=cause, text=f"{type(error).__name__}: {text}", code=code, retry_ms=wait_ms)


def _find_cause(error: Exception, text: str, code: int | None) -> Cause:  # noqa: PLR0911 - one table, read from top to bottom
    names = {kind.__name__ for kind in type(error).__mro__}
    match = _STATUS.match(text)
    status = int(match[1]) if match else 0
    if code in _KEY_CODES or names & {"AuthenticationError", "PermissionDenied"}:
        return "bad_keys"  # before the limits: -2015 becomes DDoSProtection after a first success
    if names & {"DDoSProtection", "RateLimitExceeded"}:
        return "banned" if status == 418 or "banned" in text else "rate_limited"  # noqa: PLR2004
    if "InvalidNonce" in names or code in _CLOCK_CODES:
        return "clock"
    if "OnMaintenance" in names or code in _CLOSED_CODES:
        return "maintenance"
    if code in _UNKNOWN_CODES or "RequestTimeout" in names:
        return "unknown"
    if "duplicate" in text.lower():
        return "unknown"  # our own id is there already: it is live, or was
    if "OrderNotFound" in names:
        return "not_found"
    if names & set(_REJECTIONS):
        return "rejected"
    if names & {"ExchangeError", "OperationFailed"} and code is not None and _is_refusal(code):
        return "rejected"  # on an unusual URL ccxt does not know the code's class
    return "unknown"


def _is_refusal(code: int) -> bool:
    """Return whether one of Binance's codes says that the request was looked at and refused."""
    return any(code in codes for codes in _REFUSAL_CODES)


def _read_wait(text: str, headers: Mapping[str, str], now_ms: int) -> int:
    until = _BAN.search(text)
    if until and int(until[1]) > now_ms > 0:
        return int(until[1]) - now_ms
    lower = {name.lower(): value for name, value in headers.items()}
    value = str(lower.get("retry-after", ""))
    return int(value) * 1000 if value.isdigit() else _RETRY_MS
