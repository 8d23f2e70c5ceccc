from typing import Any

from .linebuffer import LineBuffer
from .lineroot import LineMultiple
from .metabase import Params

class Lines:
    lines: list[LineBuffer]
    def __len__(self) -> int: ...
    def __getitem__(self, line: int) -> LineBuffer: ...
    def __getattr__(self, name: str) -> LineBuffer: ...
    def reset(self) -> None: ...
    def advance(self, size: int = 1) -> None: ...
    def forward(self, value: float = ..., size: int = 1) -> None: ...

class LineSeries(LineMultiple):
    lines: Any
    l: Any
    line: LineBuffer
    params: Any
    p: Params
    plotinfo: Any
    plotlines: Any
    array: Any
    alias: tuple[str, ...]
    aliased: str
    csv: bool
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    def __call__(self, ago: int | None = None, line: int | str = -1) -> Any: ...
    def __getattr__(self, name: str) -> Any: ...
    def getlinealiases(self) -> tuple[str, ...]: ...

class LineSeriesStub(LineSeries):
    slave: bool
