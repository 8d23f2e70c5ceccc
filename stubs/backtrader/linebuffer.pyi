import array as _array
import datetime as _datetime
from collections.abc import Callable
from typing import Any

from .lineroot import LineRoot, LineSingle

NAN: float

class LineBuffer(LineSingle):
    UnBounded: int
    QBuffer: int
    array: _array.array[float]
    lines: Any
    mode: int
    bindings: list[LineBuffer]
    idx: int
    _idx: int
    lencount: int
    extension: int
    def __call__(self, ago: int | None = None) -> Any: ...
    def oncebinding(self) -> None: ...
    def get(self, ago: int = 0, size: int = 1) -> _array.array[float]: ...
    def datetime(
        self, ago: int = 0, tz: Any = None, naive: bool = True
    ) -> _datetime.datetime: ...
    def date(self, ago: int = 0, tz: Any = None, naive: bool = True) -> _datetime.date: ...
    def time(self, ago: int = 0, tz: Any = None, naive: bool = True) -> _datetime.time: ...

class PseudoArray:
    wrapped: Any

class LineActions(LineBuffer):
    _clock: Any
    def _once(self) -> None: ...

class _LineDelay(LineActions):
    a: Any
    ago: int

class _LineForward(LineActions):
    a: Any
    ago: int

class LinesOperation(LineActions):
    a: Any
    b: Any
    r: bool
    bline: bool
    btime: bool
    operation: Callable[..., Any]

class LineOwnOperation(LineActions):
    a: Any
    operation: Callable[[float], Any]
