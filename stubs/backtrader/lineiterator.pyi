from typing import Any

from .lineseries import LineSeries

class LineIterator(LineSeries):
    datas: list[Any]
    data: Any
    data0: Any
    data1: Any
    _clock: Any
    _ltype: int
    _lineiterators: dict[int, list[Any]]
    def _once(self) -> None: ...
    def _notify(self) -> None: ...

class IndicatorBase(LineIterator): ...
class ObserverBase(LineIterator): ...
class StrategyBase(LineIterator): ...
