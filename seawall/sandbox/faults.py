"""Faults on demand: what a network and an exchange under stress do to requests and events.

A fault waits for requests that fit it. ``stage`` says whether the request has been accepted when
it strikes: ``before`` it the exchange has not seen it, ``after`` it an order is live although its
answer is late, wrong or lost.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import Literal

import numpy as np

from seawall.errors import RecipeError
from seawall.sandbox.refusals import ApiError
from seawall.units import to_time_ms

Stage = Literal["before", "after"]
EventFault = Literal["duplicate", "lose", "swap"]
_EVENT_FAULTS: tuple[EventFault, ...] = ("duplicate", "lose", "swap")
_STAGES: tuple[Stage, ...] = ("before", "after")
_STATUSES = (200, 599)
_TYPES: dict[str, type | UnionType] = {
    "path": str,
    "method": str,
    "stage": str,
    "delay_s": int | float,
    "is_drop": bool,
    "status": int,
    "body": str,
    "headers": Mapping,
    "keep_bytes": int,
    "n": int,
    "probability": int | float,
    "since_ms": int,
    "until_ms": int,
}


@dataclass(kw_only=True, slots=True)
class Fault:
    """What happens to some requests.

    Attributes:
        path: regular expression that is searched in the path; ``method``: empty for any.
        stage: ``before`` or ``after`` the exchange has accepted the request.
        delay_s: real seconds of waiting; before the request is handled, or before its answer.
        is_drop: the connection is reset without an answer.
        status, body: what is answered instead; a body alone comes with status 200.
        headers: sent along.
        keep_bytes: the answer is cut after so many bytes; 0 is an empty one.
        n: how many requests it strikes, 0 for all.
        probability: with which it strikes one that fits.
        since_ms, until_ms: of the exchange's time; 0 for always.
    """

    path: str = ""
    method: str = ""
    stage: Stage = "before"
    delay_s: float = 0.0
    is_drop: bool = False
    status: int | None = None
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    keep_bytes: int | None = None
    n: int = 1
    probability: float = 1.0
    since_ms: int = 0
    until_ms: int = 0
    n_struck: int = 0

    def __post_init__(self) -> None:
        if self.stage not in _STAGES:
            raise RecipeError(f"a fault strikes before or after, is {self.stage!r}: choose one")
        if self.status is not None and not _STATUSES[0] <= self.status <= _STATUSES[1]:
            raise RecipeError(f"a status lies in {_STATUSES}, is {self.status}: take 503")
        if not 0.0 <= self.probability <= 1.0:
            raise RecipeError(f"a probability lies in 0..1, is {self.probability}: take 1")
        try:
            re.compile(self.path)
        except re.error as error:
            raise RecipeError(
                f"a path is a regular expression, is {self.path!r}: {error}"
            ) from None

    @property
    def replaces(self) -> bool:
        """Whether another answer is sent in place of the real one."""
        return self.status is not None or self.body is not None

    def fits(self, method: str, path: str, now_ms: int) -> bool:
        """Return whether a request is one that it may strike."""
        if self.method and self.method != method:
            return False
        if now_ms < self.since_ms or (self.until_ms and now_ms >= self.until_ms):
            return False
        return re.search(self.path, path) is not None


class Faults:
    """The faults that wait, and those of the event streams."""

    def __init__(self, *, seed: int = 0) -> None:
        self._draws = np.random.default_rng(seed)
        self.waiting: dict[int, Fault] = {}
        self.events: dict[EventFault, int] = {}  # how many messages each still strikes
        self._held: str | None = None
        self._n_added = 0

    def add(self, fault: Fault) -> int:
        """Let a fault wait; return its number."""
        self._n_added += 1
        self.waiting[self._n_added] = fault
        return self._n_added

    def clear(self) -> None:
        """Take all faults away."""
        self.waiting.clear()
        self.events.clear()

    def take(self, method: str, path: str, now_ms: int) -> Fault | None:
        """Return the fault that strikes a request, None in peace."""
        for number, fault in self.waiting.items():
            if not fault.fits(method, path, now_ms):
                continue
            if fault.probability < 1.0 and self._draws.random() >= fault.probability:
                continue
            fault.n_struck += 1
            if fault.n and fault.n_struck >= fault.n:
                del self.waiting[number]
            return fault
        return None

    def strike_events(self, kind: EventFault, n: int) -> None:
        """Let a fault strike the next ``n`` messages of streams.

        Raises:
            RecipeError: there is no such fault.
        """
        if kind not in _EVENT_FAULTS:
            raise RecipeError(f"events are one of {_EVENT_FAULTS}, is {kind!r}: choose one")
        self.events[kind] = n

    def shape(self, text: str) -> Iterable[str]:
        """Return what is sent in place of one message: none, one or several."""
        if self._held is not None:
            held, self._held = self._held, None
            return text, held
        if not self.events:
            return (text,)
        kind = next(iter(self.events))
        self.events[kind] -= 1
        if self.events[kind] <= 0:
            del self.events[kind]
        if kind == "swap":
            self._held = text
            return ()
        return (text, text) if kind == "duplicate" else ()


def read_fault(table: Mapping[str, object]) -> Fault:
    """Return the fault that a table of TOML or JSON describes; ``at`` and ``until`` are times.

    Raises:
        RecipeError: a name or value is not one of a fault.
    """
    given = dict(table)
    for name, target in (("at", "since_ms"), ("until", "until_ms")):
        if name in given:
            given[target] = to_time_ms(str(given.pop(name)))
    for name, value in given.items():
        if name not in _TYPES:
            raise RecipeError(f"a fault has {', '.join(_TYPES)}, not {name!r}: remove it")
        if isinstance(value, bool) is not (_TYPES[name] is bool) or not isinstance(
            value, _TYPES[name]
        ):
            raise RecipeError(f"{name} of a fault cannot be {value!r}: change it")
    return Fault(**given)  # type: ignore[arg-type]  # each has its type


def unavailable() -> ApiError:
    """Return what a maintenance answers to everything."""
    return ApiError(-1016, "System is under maintenance.", status=503)
